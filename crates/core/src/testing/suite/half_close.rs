//! One direction closed: the other goes on until it is closed as well.

use super::{
    World,
    recorder::{Pair, Recorder, pair, pattern},
};
use crate::failure::Failure;

/// An end that does not close when its peer sends no more.
fn patient() -> Recorder {
    Recorder::new().on_read_closed(|_| Ok(()))
}

/// Both sides close their own direction, one after the other: both end cleanly, once.
pub fn double_half_close(world: &dyn World) {
    let pair = pair(world, patient(), patient());
    check_double(world, &pair.client, &pair.server);
}

/// The same when the server begins.
pub fn double_half_close_the_other_way(world: &dyn World) {
    let pair = pair(world, patient(), patient());
    check_double(world, &pair.server, &pair.client);
}

#[track_caller]
fn check_double(world: &dyn World, first: &super::recorder::Seen, second: &super::recorder::Seen) {
    first.transport().write(b"question");
    first.transport().lose_write_connection();
    world.until(&mut || second.has("read closed"));
    world.settle();
    first.check(&["made"]);
    second.check(&["made", "data", "read closed"]);
    second.transport().write(b"answer");
    second.transport().lose_write_connection();
    world.until(&mut || first.is_lost() && second.is_lost());
    world.settle();
    first.check(&["made", "data", "read closed", "lost: done"]);
    second.check(&["made", "data", "read closed", "lost: done"]);
    assert_eq!(first.bytes(), b"answer");
}

/// A protocol that overrides `read_closed` can send as much as it likes.
pub fn read_closed_can_go_on_writing(world: &dyn World) {
    let sent = pattern(1 << 20);
    let answer = sent.clone();
    let server = Recorder::new().on_read_closed(move |transport| {
        transport.write(&answer);
        transport.lose_connection();
        Ok(())
    });
    let pair = pair(world, server, Recorder::new());
    pair.client.transport().lose_write_connection();
    world.until(&mut || pair.client.is_lost() && pair.server.is_lost());
    assert!(pair.client.bytes() == sent, "the bytes are others");
    pair.server
        .check_life(&["made", "read closed", "lost: done"]);
    let events = pair.client.events();
    assert_eq!(events.last().map(|event| &**event), Some("lost: done"));
}

/// A protocol that does not override it closes after sending what it has.
pub fn read_closed_closes_by_default(world: &dyn World) {
    let pair = pair(world, Recorder::echo(), patient());
    pair.client.transport().write(b"echo");
    pair.client.transport().lose_write_connection();
    world.until(&mut || pair.client.is_lost() && pair.server.is_lost());
    pair.server
        .check(&["made", "data", "read closed", "lost: done"]);
    pair.client
        .check(&["made", "data", "read closed", "lost: done"]);
}

/// `lose_write_connection` sends everything written first.
pub fn half_close_flushes_first(world: &dyn World) {
    let pair = pair(world, patient(), patient());
    let sent = pattern(1 << 20);
    pair.client.transport().write(&sent);
    pair.client.transport().lose_write_connection();
    world.until(&mut || pair.server.has("read closed"));
    assert!(pair.server.bytes() == sent, "the bytes are others");
    pair.client.check_life(&["made"]);
}

/// The second time nothing happens.
pub fn half_close_twice(world: &dyn World) {
    let Pair { server, client, .. } = pair(world, patient(), patient());
    client.transport().lose_write_connection();
    client.transport().lose_write_connection();
    world.until(&mut || server.has("read closed"));
    client.transport().lose_write_connection();
    world.settle();
    server.check(&["made", "read closed"]);
    client.check(&["made"]);
}

/// Nothing can be written after `lose_write_connection`.
pub fn writes_after_half_close_are_dropped(world: &dyn World) {
    let pair = pair(world, patient(), patient());
    let client = pair.client.transport();
    client.write(b"before");
    client.lose_write_connection();
    client.write(b" after");
    world.until(&mut || pair.server.has("read closed"));
    client.write(b" later");
    world.settle();
    assert_eq!(pair.server.bytes(), b"before");
    pair.client.check(&["made"]);
}

/// Both calls together: everything is sent and both ends end cleanly.
pub fn half_close_then_lose_connection(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    let client = pair.client.transport();
    client.write(b"all");
    client.lose_write_connection();
    client.lose_connection();
    world.until(&mut || pair.client.is_lost() && pair.server.is_lost());
    pair.server
        .check(&["made", "data", "read closed", "lost: done"]);
    pair.client.check(&["made", "lost: done"]);
}

/// A failing `read_closed` ends the connection with that reason.
pub fn read_closed_throws(world: &dyn World) {
    let server = Recorder::new().on_read_closed(|_| Err(Failure::msg("not yet")));
    let pair = pair(world, server, patient());
    pair.client.transport().lose_write_connection();
    world.until(&mut || pair.server.is_lost() && pair.client.is_lost());
    pair.server.check(&["made", "read closed", "lost: not yet"]);
}
