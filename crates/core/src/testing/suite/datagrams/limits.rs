//! What is too long, too much, or takes too long.

use super::{Grams, open, place, reachable, two};
use crate::{
    address::Address,
    datagram::DatagramError,
    driver::DATAGRAMS_PER_TURN,
    testing::logged,
    testing::suite::{
        World,
        recorder::{Log, Recorder, connected, flag, listen, set_limits},
    },
};
use std::{cell::RefCell, rc::Rc, time::Duration};

/// Whoever writes is told.
pub fn a_datagram_that_is_too_long_is_not_sent(world: &dyn World) {
    let Some(two) = two(world, Grams::default()) else {
        return;
    };
    let limit = match two.client.peer() {
        Some(Address::Ip(_)) => 65_507,
        _ => 65_527,
    };
    let long = vec![0; 65_528];
    let bytes = limit + 1;
    let expected = Err(DatagramError::TooLong { bytes, limit });
    assert_eq!(two.client.write(&long[..bytes]), expected);
    let peer = two.client.peer().expect("it is connected");
    assert_eq!(two.client.write_to(&long[..bytes], &peer), expected);
    assert_eq!(two.client.write(&long[..limit]), Ok(()));
}

/// Not even its beginning: what is cut is another message. It is counted.
pub fn a_datagram_that_is_too_long_is_not_delivered(world: &dyn World) {
    set_limits(&world.reactor(), |limits| limits.datagram = 10);
    let log = Log::default();
    if place(world).is_none() {
        return;
    }
    let Some(two) = two(world, Grams::new(&log)) else {
        return;
    };
    set_limits(&world.client(), |limits| limits.datagram = 65_527);
    let to = world.datagrams_to(&two.server);
    let client = world.client().connect_datagrams(&to, Grams::default());
    let client = client.expect("it is there");
    for data in [&b"just fits!"[..], b"is too long", b"fits"] {
        client.write(data).expect("there is room");
    }
    world.until(&mut || log.count("fits") == 1);
    log.check(&["start", "just fits!", "fits"]);
    let statistics = two.server.statistics();
    assert_eq!((statistics.received, statistics.receive_dropped), (2, 1));
    assert_eq!(world.reactor().statistics().datagrams_dropped, 1);
}

/// Whoever writes is told, and what waits stays.
pub fn a_full_queue_drops_the_newest(world: &dyn World) {
    set_limits(&world.client(), |limits| limits.datagram_output = 300);
    let log = Log::default();
    let Some(two) = two(world, Grams::new(&log)) else {
        return;
    };
    two.send(&[b'a'; 90]);
    assert_eq!(two.client.statistics().queued, 154);
    let full = Err(DatagramError::QueueFull { limit: 300 });
    assert_eq!(two.client.write(&[b'b'; 90]), full);
    two.send(&[b'c'; 82]);
    assert_eq!(two.client.statistics().queued, 300);
    assert_eq!(two.client.write(b""), full);
    world.until(&mut || log.events().len() == 3);
    let statistics = two.client.statistics();
    assert_eq!((statistics.sent, statistics.send_dropped), (2, 2));
    assert_eq!(statistics.queued, 0);
    two.send(&[b'd'; 90]);
    world.until(&mut || log.events().len() == 4);
    assert!(log.events()[2].starts_with('c'));
}

/// A connection is served although datagrams never stop.
pub fn a_flood_of_datagrams_starves_no_connection(world: &dyn World) {
    let (log, over) = (Log::default(), flag());
    let stop = Rc::clone(&over);
    // It keeps its own queue filled: whatever the loop takes out of it is put back.
    let protocol = Grams::new(&log).on_datagram(move |transport, data, _| {
        if !stop.get() {
            let own = reachable(&transport.local_address());
            transport.write_to(data, &own).ok();
        }
        Ok(())
    });
    let Some(at) = place(world) else { return };
    let flooded = open(&world.reactor(), &at, protocol);
    let own = reachable(&flooded.local_address());
    for _ in 0..8 {
        flooded.write_to(b"flood", &own).expect("there is room");
    }
    let port = listen(world, Recorder::echo);
    let client = connected(world, &port, Recorder::new());
    world.until(&mut || log.count("flood") > 100);
    let before = log.count("flood");
    client.transport().write(b"hello");
    world.until(&mut || client.received() == 5);
    let after = log.count("flood");
    assert!(after > before, "it floods all the time");
    over.set(true);
    world.settle();
}

/// However many wait, the rest has its turn after [`DATAGRAMS_PER_TURN`] of one port; twice in a turn when a driver has
/// some left over and finds the port again.
pub fn datagrams_per_turn_are_bounded(world: &dyn World) {
    let (log, turns) = (Log::default(), Rc::new(RefCell::new(Vec::new())));
    let noted = Rc::clone(&turns);
    let protocol = Grams::new(&log).on_datagram(move |port, _, _| {
        noted.borrow_mut().push(port.reactor()?.statistics().turns);
        Ok(())
    });
    let Some(two) = two(world, protocol) else {
        return;
    };
    let clients: Vec<_> = (0..4).map(|_| two.another(world)).collect();
    world.until(&mut || {
        for client in &clients {
            for _ in 0..60 {
                client.write(b"x").ok();
            }
        }
        // Until so many have been sent that one turn cannot take them, the server's reactor is not turned.
        world.turn(&world.client());
        log.count("x") > 400
    });
    let turns = turns.borrow();
    let most = turns.chunk_by(|one, next| one == next).map(<[u64]>::len);
    let most = most.max().expect("some came");
    assert!(most <= 2 * DATAGRAMS_PER_TURN, "{most} in one turn");
}

/// Named by its protocol.
pub fn a_slow_datagram_is_a_stall(world: &dyn World) {
    let (log, pass) = (Log::default(), world.pass());
    let protocol = Grams::new(&log).on_datagram(move |_, _, _| {
        pass(Duration::from_secs(1));
        Ok(())
    });
    let Some(two) = two(world, protocol) else {
        return;
    };
    let lines = logged(|| {
        two.send(b"slow");
        world.until(&mut || log.count("slow") == 1);
    });
    assert_eq!(world.reactor().statistics().stalls, 1);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("Grams held the loop for 1s")),
        "{lines:?}"
    );
}
