//! Datagrams that arrive: whole, to the right one, and what a failure costs.

use super::{Grams, open, place, reachable, refused, two};
use crate::{
    Failure, Result,
    testing::logged,
    testing::suite::{
        World,
        recorder::{Log, watch},
    },
};
use std::{cell::Cell, rc::Rc, time::Duration};

/// Two writes are two datagrams, and one of no bytes is one, too.
pub fn datagrams_come_whole_and_apart(world: &dyn World) {
    let log = Log::default();
    let Some(two) = two(world, Grams::new(&log)) else {
        return;
    };
    for data in [&b"one"[..], b"", b"three", &[7; 5000]] {
        two.send(data);
    }
    world.until(&mut || log.events().len() == 5);
    log.check(&["start", "one", "", "three", "5000 bytes"]);
    assert_eq!(two.server.statistics().received, 4);
    assert_eq!(two.client.statistics().sent, 4);
}

/// A port that is not connected answers each to where it came from.
pub fn an_answer_goes_to_whom_it_is_for(world: &dyn World) {
    let Some(two) = two(world, Grams::echo(&Log::default())) else {
        return;
    };
    let log = Log::default();
    let to = world.datagrams_to(&two.server);
    let other = world.client().connect_datagrams(&to, Grams::new(&log));
    let other = other.expect("it is there");
    two.send(b"one");
    other.write(b"other").expect("there is room");
    two.send(b"two");
    world.until(&mut || two.log.events().len() == 3 && log.events().len() == 2);
    two.log.check(&["start", "one", "two"]);
    log.check(&["start", "other"]);
}

/// Many datagrams that come together are all answered.
pub fn answers_of_one_batch_all_arrive(world: &dyn World) {
    let Some(two) = two(world, Grams::echo(&Log::default())) else {
        return;
    };
    // Fewer than a UNIX socket's queue holds.
    let texts: Vec<String> = (0..8).map(|number| number.to_string()).collect();
    for text in &texts {
        two.send(text.as_bytes());
    }
    world.until(&mut || two.log.events().len() == 9);
    assert_eq!(two.log.events()[1..], texts);
}

/// The error of one datagram is logged with whom it came from, and counted; the next is delivered.
pub fn a_bad_datagram_does_not_end_the_port(world: &dyn World) {
    check_failure(world, "not this one", || Err(Failure::msg("not this one")));
}

/// The same when it panics.
pub fn a_panic_does_not_end_the_port(world: &dyn World) {
    check_failure(world, "a callback panicked: no", || panic!("no"));
}

fn check_failure(world: &dyn World, problem: &str, fail: impl Fn() -> Result + 'static) {
    let log = Log::default();
    let protocol = Grams::new(&log).on_datagram(move |_, data, _| match data {
        b"bad" => fail(),
        _ => Ok(()),
    });
    let Some(two) = two(world, protocol) else {
        return;
    };
    let lines = logged(|| {
        for data in [&b"good"[..], b"bad", b"fine"] {
            two.send(data);
        }
        world.until(&mut || log.count("fine") == 1);
    });
    log.check(&["start", "good", "bad", "fine"]);
    assert!(two.server.is_listening());
    assert_eq!(two.server.statistics().failures, 1);
    assert_eq!(world.reactor().statistics().failures, 1);
    let [line] = &lines[..] else {
        panic!("{lines:?}");
    };
    let from = two.client.local_address();
    let from = from.to_string().replace("0.0.0.0", "");
    assert!(line.starts_with("ERROR "), "{line}");
    for part in ["Grams failed with a datagram of", &from, problem] {
        assert!(line.contains(part), "{line} has no {part}");
    }
}

/// Anybody can make them, so they do not fill the log.
pub fn failures_are_logged_once_a_second(world: &dyn World) {
    let log = Log::default();
    let protocol = Grams::new(&log).on_datagram(|_, _, _| Err(Failure::msg("no")));
    let Some(two) = two(world, protocol) else {
        return;
    };
    let lines = logged(|| {
        for _ in 0..3 {
            two.send(b"x");
        }
        world.until(&mut || log.count("x") == 3);
        world.advance(Duration::from_secs(1));
        two.send(b"x");
        world.until(&mut || log.count("x") == 4);
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].contains("(4 failures so far)"), "{lines:?}");
}

/// As with a datagram, nothing ends.
pub fn connection_refused_throws(world: &dyn World) {
    let Some((client, log)) = refused(world, |_| Err(Failure::msg("no"))) else {
        return;
    };
    let lines = logged(|| {
        client.write(b"x").expect("there is room");
        world.until(&mut || log.count("refused") == 1);
    });
    assert!(
        lines.iter().any(|line| line.contains("Grams failed")),
        "{lines:?}"
    );
    assert!(client.is_listening());
}

/// Others go on, and whoever waits for the end is told.
pub fn stop_protocol_panics(world: &dyn World) {
    let log = Log::default();
    let protocol = Grams::new(&log).on_stop(|| panic!("no stop"));
    let Some(two) = two(world, protocol) else {
        return;
    };
    let end = watch(two.server.stop_listening());
    world.until(&mut || end.count("ok") == 1);
    assert_eq!(world.reactor().statistics().failures, 1);
    log.check(&["start", "stop"]);
}

/// What it sends to itself comes after it has returned.
pub fn a_datagram_protocol_is_never_re_entered(world: &dyn World) {
    let Some(at) = place(world) else { return };
    let (log, depth) = (Log::default(), Rc::new(Cell::new(0)));
    let outside = Rc::clone(&depth);
    let protocol = Grams::new(&log).on_datagram(move |transport, data, _| {
        assert_eq!(depth.replace(1), 0, "it is entered again");
        if data.len() < 5 {
            let (own, longer) = (transport.local_address(), [data, b"x"].concat());
            transport.write_to(&longer, &reachable(&own))?;
            transport.write_to(b"last!", &reachable(&own))?;
        }
        depth.set(0);
        Ok(())
    });
    let port = open(&world.reactor(), &at, protocol);
    let own = reachable(&port.local_address());
    port.write_to(b"x", &own).expect("there is room");
    world.until(&mut || log.count("last!") == 4 && log.count("xxxxx") == 1);
    assert_eq!(outside.get(), 0);
}
