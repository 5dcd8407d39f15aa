//! What was opened elsewhere: it becomes a port or a connection like any other, from the next turn on, and is closed
//! whatever goes wrong. Where a driver has no such thing, it says so.

use super::{
    World,
    recorder::{Echoes, Log, Recorder, connected, short, watch},
};
use crate::{
    address::Address,
    datagram::DatagramProtocol,
    descriptor::Descriptor,
    error::CannotListen,
    factory::Factory,
    failure::{Failure, Result},
    limits::Limits,
    protocol::Protocol,
};
use std::time::Duration;

struct Quiet;

impl Protocol for Quiet {}
impl DatagramProtocol for Quiet {
    fn datagram_received(
        &mut self,
        _: &crate::datagram::DatagramTransport,
        _: &[u8],
        _: &Address,
    ) -> Result {
        Ok(())
    }
}

/// Every way, with its reason; and what is refused is closed.
pub fn adopting_is_refused_where_there_is_no_such_thing(world: &dyn World) {
    let reactor = world.reactor();
    let text = "this driver takes over nothing that was opened elsewhere";
    for way in 0..4 {
        let Some((file, is_closed)) = world.descriptor() else {
            return;
        };
        if world.adopts() {
            return;
        }
        let failed = match way {
            0 => reactor.adopt_port(file, || Quiet).map(drop),
            1 => reactor.adopt_datagrams(file, Quiet).map(drop),
            2 => {
                let log = watch(reactor.adopt_connection(file, || Quiet));
                Err(Failure::msg(log.events()[0].clone()))
            }
            _ => {
                let log = watch(reactor.adopt_files(None, Some(file), Quiet));
                Err(Failure::msg(log.events()[0].clone()))
            }
        };
        let failure = failed.expect_err("it has none");
        match failure.check::<CannotListen>() {
            Some(cannot) => assert_eq!(cannot.error.to_string(), text),
            None => assert_eq!(failure.to_string(), "could not connect"),
        }
        drop(is_closed);
    }
}

/// As one that we opened.
pub fn an_adopted_port_serves(world: &dyn World) {
    let Some((socket, to)) = world.open_port() else {
        return;
    };
    let (reactor, log) = (world.reactor(), Log::default());
    let port = reactor.adopt_port(socket, Echoes(log.clone()));
    let port = port.expect("it listens");
    log.check(&["start"]);
    let at = port.local_address().to_string();
    let end = at.rsplit([':', '/']).next().expect("it has parts");
    assert!(to.ends_with(end), "{to} and {at}");
    for _ in 0..2 {
        let client = Recorder::new().on_made(|transport| {
            transport.write(b"hello");
            Ok(())
        });
        let seen = client.seen();
        world.client().connect_protocol(&to, client).detach();
        world.until(&mut || seen.received() == 5);
        seen.transport().lose_connection();
        world.until(&mut || seen.is_lost());
    }
    port.stop_listening();
    assert!(!port.is_listening());
    log.check(&["start", "build", "build", "stop"]);
}

/// Both ends of a pair, each with a recorder.
#[track_caller]
fn pair(world: &dyn World) -> Option<[Descriptor; 2]> {
    let pair = world.open_pair();
    assert_eq!(pair.is_some(), world.adopts());
    pair
}

/// Never from inside whoever calls; and then it is a connection in every way.
pub fn an_adopted_connection_begins_in_a_later_turn(world: &dyn World) {
    let Some([one, other]) = pair(world) else {
        return;
    };
    let (client, server) = (Recorder::new(), Recorder::echo());
    let (seen, served) = (client.seen(), server.seen());
    let (mut client, mut server) = (Some(client), Some(server));
    let made = watch(
        world
            .client()
            .adopt_connection(one, move |_: &Address| client.take()),
    );
    let reactor = world.reactor();
    let made_there = watch(reactor.adopt_connection(other, move |_: &Address| server.take()));
    seen.check(&[]);
    made.check(&[]);
    world.until(&mut || seen.is_made() && served.is_made());
    made.check(&["ok"]);
    made_there.check(&["ok"]);
    seen.transport().write(&[b'x'; 100_000]);
    world.until(&mut || seen.received() == 100_000);
    seen.transport().lose_connection();
    world.until(&mut || seen.is_lost() && served.is_lost());
    // How much output counts as waiting is the driver's matter.
    let mut events = served.events();
    events.retain(|event| !event.starts_with("write "));
    events.dedup();
    assert_eq!(events, ["made", "data", "read closed", "lost: done"]);
    assert_eq!(world.reactor().statistics().connections, 0);
}

/// It has no idle deadline, and uses up no place of those that are.
pub fn an_adopted_connection_is_none_that_was_accepted(world: &dyn World) {
    let Some([one, _other]) = pair(world) else {
        return;
    };
    let reactor = world.reactor();
    super::recorder::set_limits(&reactor, |limits| limits.connections = 1);
    let client = Recorder::new();
    let seen = client.seen();
    let mut client = Some(client);
    let adopted = reactor.adopt_connection(one, move |_: &Address| client.take());
    adopted.detach();
    world.until(&mut || seen.is_made());
    world.advance(Limits::default().idle * 3);
    seen.check(&["made"]);
    let port = super::recorder::listen(world, Recorder::echo);
    let accepted = connected(world, &port, Recorder::new());
    accepted.transport().write(b"x");
    world.until(&mut || accepted.received() == 1);
}

/// Before it begins: its protocol is never built, and the other end sees that it is closed.
pub fn adopting_is_cancelled(world: &dyn World) {
    let Some([one, other]) = pair(world) else {
        return;
    };
    let (reactor, log) = (world.reactor(), Log::default());
    let adopted = reactor.adopt_connection(one, Echoes(log.clone()));
    let canceller = adopted.canceller().expect("it can be cancelled");
    let end = watch(adopted);
    canceller.cancel();
    end.check(&["connecting was cancelled"]);
    log.check(&["start", "stop"]);
    let peer = adopt_end(world, other);
    world.until(&mut || peer.is_lost());
}

/// The other end of a pair.
fn adopt_end(world: &dyn World, descriptor: Descriptor) -> super::recorder::Seen {
    let peer = Recorder::new();
    let seen = peer.seen();
    let mut peer = Some(peer);
    let adopted = world
        .client()
        .adopt_connection(descriptor, move |_: &Address| peer.take());
    adopted.detach();
    seen
}

/// What has not begun when the reactor closes everything fails, and so does what comes after that.
pub fn adopting_while_stopping(world: &dyn World) {
    let Some([one, other]) = pair(world) else {
        return;
    };
    let reactor = world.reactor();
    let (log, end) = (Log::default(), Log::default());
    let (inside, failed) = (log.clone(), end.clone());
    reactor.start().expect("it does not run");
    let of_the_trigger = reactor.clone();
    let adopt = move || {
        let adopted = of_the_trigger.adopt_connection(one, Echoes(inside.clone()));
        let noted = adopted.add_both(move |result| {
            failed.note(result.map_or_else(|failure| short(&failure), |_| "ok".to_owned()));
        });
        noted.detach();
    };
    let phase = crate::reactor::Phase::During;
    let when = crate::reactor::EventType::Shutdown;
    reactor.add_system_event_trigger(phase, when, adopt);
    reactor.stop().expect("it runs");
    world.until(&mut || !reactor.is_running());
    end.check(&["the reactor is not running"]);
    log.check(&["start", "stop"]);
    let peer = adopt_end(world, other);
    world.until(&mut || peer.is_lost());
    assert_eq!(reactor.statistics().connections, 0);
}

/// Its factory builds none, or fails at it: closed at once, and the reason is told.
pub fn an_adopted_connection_nobody_wants(world: &dyn World) {
    for panics in [false, true] {
        let Some([one, other]) = pair(world) else {
            return;
        };
        let factory = move |_: &Address| -> Option<Quiet> {
            assert!(!panics, "ouch");
            None
        };
        let end = watch(world.reactor().adopt_connection(one, factory));
        let peer = adopt_end(world, other);
        world.until(&mut || peer.is_lost());
        world.until(&mut || !end.events().is_empty());
        let expected = if panics {
            "ouch"
        } else {
            "the factory built no protocol"
        };
        assert!(end.events()[0].contains(expected), "{:?}", end.events());
    }
}

/// It is never begun with.
struct Broken;

impl Factory for Broken {
    type Protocol = Quiet;

    fn build_protocol(&mut self, _: &Address) -> Option<Quiet> {
        panic!("it did not start");
    }

    fn start_factory(&mut self) -> Result {
        Err(Failure::msg("no"))
    }
}

/// For a port and for a connection.
pub fn a_factory_that_fails_closes_what_it_was_for(world: &dyn World) {
    let Some([one, other]) = pair(world) else {
        return;
    };
    watch(world.reactor().adopt_connection(one, Broken)).check(&["no"]);
    let peer = adopt_end(world, other);
    world.until(&mut || peer.is_lost());
    let Some((socket, to)) = world.open_port() else {
        return;
    };
    let failure = world.reactor().adopt_port(socket, Broken).expect_err("no");
    assert_eq!(failure.to_string(), "no");
    let end = watch(world.client().connect(&to, || Quiet));
    world.until(&mut || !end.events().is_empty());
    assert_ne!(end.events(), ["ok"]);
    world.advance(Duration::ZERO);
}
