//! Host names with the operating system's resolver and real sockets. What the machine cannot do is skipped, with its
//! reason.

use std::{fs, time::Duration};
use tress_core::{
    Deferred, Protocol, Reactor,
    error::{DnsLookupError, TimedOut},
};
use tress_os::{Mio, SystemResolver};

struct Quiet;

impl Protocol for Quiet {}

fn reactor() -> Reactor {
    let reactor = Reactor::with(Mio::new().expect("epoll works"));
    reactor.set_name_resolver(SystemResolver::new());
    reactor
}

/// A name of this machine's own file that stands for 127.0.0.1, other than `localhost`.
fn own_name() -> Option<String> {
    let hosts = fs::read_to_string("/etc/hosts").ok()?;
    let lines = hosts.lines().filter_map(|line| line.split('#').next());
    let mut names = lines.flat_map(|line| {
        let mut words = line.split_whitespace();
        let is_ours = words.next() == Some("127.0.0.1");
        words.filter(move |_| is_ours)
    });
    let name = names.find(|name| !name.starts_with("localhost"));
    name.map(str::to_owned)
}

#[test]
fn a_name_of_this_machine_is_connected_to() {
    let Some(name) = own_name() else {
        return println!("skipped: /etc/hosts has no name for 127.0.0.1 but localhost");
    };
    let reactor = reactor();
    let port = reactor
        .listen("tcp:0:interface=127.0.0.1", || Quiet)
        .expect("there is room for a port");
    let port = port.local_address().port().expect("it has one");
    let to = format!("tcp:{name}:{port}:timeout=20");
    let connected = reactor.connect(&to, || Quiet);
    let connection = reactor.run_until(connected).expect("it is connected");
    let peer = connection.transport().peer();
    assert!(
        peer.ip().expect("it is an IP address").is_loopback(),
        "{peer}"
    );
    let statistics = reactor.statistics();
    assert_eq!((statistics.timers, statistics.tasks), (0, 0));
}

#[test]
fn a_name_that_cannot_exist_is_an_error_that_names_it() {
    let reactor = reactor();
    let connecting: Deferred<_> = reactor.connect("tcp:tress.invalid:80:timeout=20", || Quiet);
    let failure = reactor.run_until(connecting).expect_err("RFC 6761 says so");
    if failure.check::<TimedOut>().is_some() {
        return println!(
            "skipped: the resolver did not answer in {:?}",
            Duration::from_secs(20)
        );
    }
    let error = failure
        .check::<DnsLookupError>()
        .expect("the name was not found");
    assert_eq!(error.name, "tress.invalid");
    let text = failure.to_string();
    let expected = "connecting to tress.invalid:80: cannot look up `tress.invalid`: ";
    assert!(text.starts_with(expected), "{text}");
}
