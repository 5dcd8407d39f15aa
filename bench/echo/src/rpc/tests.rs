//! What the bench of calls holds, and that the client and the servers of tress understand each other.

use super::wire::Wire;
use super::*;
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

fn report(to_twisted: f64, to_redis: f64) -> Report {
    let mut report = Report::new("x", BASELINE);
    for (who, _, _) in TWISTED {
        report.set(who, RATE, 1.0);
        report.set_ratio(who, RATE, to_redis);
        report.set(who, TO_TWISTED, to_twisted);
    }
    report
}

#[test]
fn figures_at_their_bounds_hold_and_others_are_named() {
    held(&Report::new("x", BASELINE)).unwrap();
    held(&report(30.0, 0.5)).unwrap();
    let broken = held(&report(29.9, 0.49)).unwrap_err().to_string();
    let broken: Vec<&str> = broken.split("; ").collect();
    assert!(
        broken.len() == 3
            && broken[0].contains("tress-amp to that of twisted-amp is 29.900")
            && broken[1].contains("tress-pb to that of twisted-pb")
            && broken[2].contains("tress-amp to that of redis is 0.490"),
        "{broken:?}"
    );
}

#[test]
fn requests_of_a_protocol_are_of_one_length_and_numbered_apart() {
    for wire in [
        Wire::Amp,
        Wire::Pb,
        Wire::JsonRpcLines,
        Wire::Http,
        Wire::HttpJsonRpc("/"),
        Wire::Redis,
    ] {
        let all: Vec<_> = (0..wire.requests())
            .map(|number| wire.request(number))
            .collect();
        assert!(all.iter().all(|one| one.len() == all[0].len()), "{wire:?}");
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), wire.requests(), "{wire:?}");
        assert_eq!(wire.request(wire.requests()), wire.request(0));
    }
}

#[test]
fn words_that_make_no_sense_are_refused() {
    for line in ["", "amp", "redis 81", "finger 81"] {
        let words = line.split(' ').map(str::to_owned);
        let error = servers::serve(words).unwrap_err().to_string();
        assert!(error.contains("rpc-server amp|pb"), "{error}");
    }
}

/// A server on a thread, which serves until this process ends; a connection to it.
fn open(wire: Wire, speaks: Wire) -> io::Result<Load> {
    let port = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    let words = [wire.name().to_owned(), port.to_string()];
    std::thread::spawn(move || servers::serve(words.into_iter()));
    let until = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "{wire:?} does not listen");
        std::thread::yield_now();
    }
    Load::open(port, speaks)
}

#[test]
fn the_client_is_understood_through_every_protocol() {
    for wire in [
        Wire::Amp,
        Wire::Pb,
        Wire::JsonRpcLines,
        Wire::Http,
        Wire::HttpJsonRpc("/jsonrpc"),
    ] {
        let mut load = open(wire, wire).unwrap();
        let (calls, _) = load.run(Duration::from_millis(1)).unwrap();
        assert!(calls >= IN_FLIGHT, "{wire:?}");
        let other = if wire == Wire::Amp {
            Wire::Http
        } else {
            Wire::Amp
        };
        assert!(open(wire, other).is_err(), "{wire:?}");
    }
}
