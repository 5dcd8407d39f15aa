//! Storms of connects and aborts: slots are used again at once, and no event reaches a wrong protocol (RT-02).

use super::{
    World,
    recorder::{Recorder, Seen, connect, listen},
};
use std::{cell::RefCell, rc::Rc};

const ROUNDS: usize = 200;
const PEERS: usize = 4;

/// A port that keeps what its protocols saw.
fn keeping(world: &dyn World) -> (crate::Port, Rc<RefCell<Vec<Seen>>>) {
    let all: Rc<RefCell<Vec<Seen>>> = Rc::default();
    let keep = Rc::clone(&all);
    let port = listen(world, move || {
        let server = Recorder::echo();
        keep.borrow_mut().push(server.seen());
        server
    });
    (port, all)
}

/// A client that says who it is.
fn named(world: &dyn World, port: &crate::Port, name: &str) -> Seen {
    let name = name.to_owned();
    let client = Recorder::new().on_made(move |transport| {
        transport.write(name.as_bytes());
        Ok(())
    });
    connect(world, port, client)
}

/// A server's protocol has heard one client only, and ended once.
#[track_caller]
fn check_one_name(seen: &Seen) {
    let bytes = seen.bytes();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.matches('<').count() <= 1, "mixed up: {text}");
    let events = seen.events();
    let ends = events.iter().filter(|event| event.starts_with("lost"));
    assert!(ends.count() <= 1, "{events:?}");
    let end = events.iter().position(|event| event.starts_with("lost"));
    assert!(
        end.is_none_or(|end| end + 1 == events.len()),
        "something came after the end: {events:?}"
    );
}

/// Two hundred rounds: some peers abort before, some after they were heard, some in the middle of it.
pub fn connect_and_abort(world: &dyn World) {
    let (port, servers) = keeping(world);
    for round in 0..ROUNDS {
        let clients: Vec<(String, Seen)> = (0..PEERS)
            .map(|peer| {
                let name = format!("<{round}.{peer}>");
                let client = named(world, &port, &name);
                (name, client)
            })
            .collect();
        world.until(&mut || clients.iter().all(|(_, client)| client.is_made()));
        for (peer, (_, client)) in clients.iter().enumerate() {
            if (round + peer) % 2 == 0 {
                client.transport().abort_connection();
            }
        }
        world.until(&mut || {
            clients
                .iter()
                .all(|(name, client)| client.is_lost() || client.received() == name.len())
        });
        for (name, client) in &clients {
            assert!(name.as_bytes().starts_with(&client.bytes()), "{name}");
            client.transport().abort_connection();
        }
        world.until(&mut || clients.iter().all(|(_, client)| client.is_lost()));
    }
    world.settle();
    let servers = servers.borrow();
    servers.iter().for_each(check_one_name);
    let living = servers.iter().filter(|server| !server.is_lost()).count();
    assert_eq!(living, 0, "connections that nobody ended");
    assert_eq!(world.reactor().statistics().connections, 0);
    assert_eq!(world.reactor().statistics().failures, 0);
}

/// A peer's end, and the next peer's first bytes, in one turn: the old protocol sees its end, the new one the bytes.
pub fn connect_and_reuse_in_one_turn(world: &dyn World) {
    let (port, servers) = keeping(world);
    let mut last = named(world, &port, "<first>");
    world.until(&mut || last.received() == "<first>".len());
    for round in 0..ROUNDS {
        let name = format!("<{round}>");
        // Neither side has had a turn between the two.
        last.transport().abort_connection();
        let next = named(world, &port, &name);
        let server = servers.borrow().last().cloned();
        server
            .expect("it was accepted")
            .transport()
            .abort_connection();
        world.until(&mut || next.received() == name.len());
        assert_eq!(next.bytes(), name.as_bytes());
        last = next;
    }
    servers.borrow().iter().for_each(check_one_name);
    assert_eq!(servers.borrow().len(), ROUNDS + 1);
}
