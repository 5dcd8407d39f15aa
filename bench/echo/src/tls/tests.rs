//! What the bench of TLS holds, and that its servers and its client understand each other.

use super::certificate::{Certificate, Sessions};
use super::client::{self, Batch, Connection};
use super::*;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

fn report(figures: &[(&str, &str, f64)]) -> Report {
    let mut report = Report::new("x", TOKIO);
    for (who, metric, value) in figures {
        report.set(who, metric, *value);
    }
    report
}

#[track_caller]
fn check(figures: &[(&str, &str, f64)], broken: &[&str]) {
    let text = held(&report(figures)).map_or_else(|error| error.to_string(), |()| String::new());
    let said: Vec<&str> = text.split("; ").filter(|line| !line.is_empty()).collect();
    assert_eq!(said.len(), broken.len(), "{text}");
    let named = said.iter().zip(broken);
    assert!(
        named.into_iter().all(|(line, name)| line.starts_with(name)),
        "{text}"
    );
}

#[test]
fn what_was_not_measured_holds() {
    check(&[], &[]);
    check(&[(TRESS, MEMORY, 1e9)], &[]);
}

#[test]
fn figures_at_their_bounds_hold() {
    for rate in RATES {
        check(&[(TRESS, rate, 97.0), (TOKIO, rate, 100.0)], &[]);
    }
    check(&[(TRESS, MEMORY, 7_000.0), (TOKIO, MEMORY, 10_000.0)], &[]);
}

#[test]
fn figures_beyond_their_bounds_are_named() {
    for rate in RATES {
        check(&[(TRESS, rate, 96.0), (TOKIO, rate, 100.0)], &[rate]);
    }
    check(
        &[(TRESS, MEMORY, 7_100.0), (TOKIO, MEMORY, 10_000.0)],
        &[MEMORY],
    );
}

#[test]
fn the_ratio_of_the_rounds_counts_and_not_that_of_the_medians() {
    let mut report = report(&[(TRESS, RATES[0], 50.0), (TOKIO, RATES[0], 100.0)]);
    report.set_ratio(TRESS, RATES[0], 1.0);
    held(&report).unwrap();
}

/// A server on a thread: this program is the test's and cannot be started as one.
fn with_server(who: &'static str, service: Service, test: impl FnOnce(&Certificate, u16)) {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let scratch = std::env::temp_dir().join(format!("tress-bench-tls-{process}-{number}"));
    std::fs::create_dir_all(&scratch).unwrap();
    let certificate = Certificate::make(&scratch).unwrap();
    let port = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    let mut words = vec![who.to_owned(), service.name().to_owned(), port.to_string()];
    words.extend(certificate.files());
    // It serves until this process ends.
    std::thread::spawn(move || servers::serve(words.into_iter()));
    let until = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "{who} does not listen");
        std::thread::yield_now();
    }
    test(&certificate, port);
    std::fs::remove_dir_all(&scratch).unwrap();
}

#[test]
fn both_servers_shake_hands_in_full_and_resume() {
    for who in [TRESS, TOKIO] {
        with_server(who, Service::Echo, |certificate, port| {
            let config = certificate.client(Sessions::Forgotten).unwrap();
            let batch = Batch::new(port, config, false);
            batch.come_and_go(20, 2).unwrap();
            let config = certificate.client(Sessions::Kept).unwrap();
            let batch = Batch::new(port, config, true);
            assert!(batch.come_and_go(1, 2).is_err(), "{who}: nothing to resume");
            batch.warm(2).unwrap();
            batch.come_and_go(20, 3).unwrap();
        });
    }
}

#[test]
fn both_servers_take_and_give_bulk() {
    for who in [TRESS, TOKIO] {
        with_server(who, Service::Sink, |certificate, port| {
            let config = certificate.client(Sessions::Forgotten).unwrap();
            bulk::push(&mut Connection::open(port, &config).unwrap(), 2).unwrap();
        });
        with_server(who, Service::Source, |certificate, port| {
            let config = certificate.client(Sessions::Forgotten).unwrap();
            let mut connection = Connection::open(port, &config).unwrap();
            bulk::pull(&mut connection, 1).unwrap();
            bulk::pull(&mut connection, 1).unwrap();
        });
    }
}

#[test]
fn both_servers_echo_on_many_connections() {
    for who in [TRESS, TOKIO] {
        with_server(who, Service::Echo, |certificate, port| {
            let config = certificate.client(Sessions::Forgotten).unwrap();
            let mut all = client::open_all(port, &config, 17).unwrap();
            assert_eq!(client::lockstep(&mut all, 40).unwrap(), 51);
        });
    }
}
