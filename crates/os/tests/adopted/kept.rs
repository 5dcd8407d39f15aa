//! Ports that were opened elsewhere and that somebody else keeps a copy of, as systemd does: what the behaviour suite says
//! of listening holds for them, and when they are stopped they are heard of no more.

use crate::world::SocketWorld;
use crate::world::leftovers::Leftovers;
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    cell::RefCell,
    net::{Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};
use tress_core::{
    Port, Protocol, Reactor, Result, SharedFactory,
    driver::Opened,
    endpoint::{EndpointKind, EndpointSpec, Side},
    reactor::Target,
    testing::suite::BEHAVIOURS,
};
use tress_os::Mio;

struct Quiet;

impl Protocol for Quiet {}

/// `kept:` listens at a socket of which it keeps a copy; `kept:PATH` at a UNIX socket.
#[derive(Clone, Default)]
pub(crate) struct Kept(Rc<RefCell<Vec<Socket>>>);

impl EndpointKind for Kept {
    fn listen(
        &self,
        reactor: &Reactor,
        spec: &EndpointSpec,
        factory: &SharedFactory,
    ) -> Result<Port> {
        let socket = match spec.arguments.first().filter(|path| !path.is_empty()) {
            None => {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
                socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
                socket
            }
            Some(path) => {
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                socket.bind(&SockAddr::unix(path)?)?;
                socket
            }
        };
        socket.listen(1024)?;
        self.0.borrow_mut().push(socket.try_clone()?);
        let opened = Opened::Port(OwnedFd::from(socket).into());
        reactor.adopt_at(&spec.to_string(), opened, factory)
    }

    fn target(&self, _: &Reactor, spec: &EndpointSpec) -> Result<Target> {
        Err(spec.problem("it is to listen at"))
    }

    fn check(&self, _: &Reactor, _: &EndpointSpec, _: Side) -> Result {
        Ok(())
    }

    fn usage(&self, _: Side) -> &'static str {
        "kept:[PATH]"
    }
}

fn world(unix: bool) -> SocketWorld {
    let make = |clock| {
        let reactor = Reactor::with(Mio::with_clock(clock).expect("epoll works"));
        reactor.endpoint_kind("kept", Kept::default());
        reactor
    };
    let world = SocketWorld::new(make, "nothing").with_datagrams(false);
    let world = if unix {
        world.with_unix_sockets()
    } else {
        world
    };
    world.with_kept_ports()
}

/// They say that nobody answers where a port was stopped: the copy does.
const NOT_FOR_COPIES: [&str; 3] = [
    "connection_failed_stops_reactor",
    "stop_listening_keeps_open_connections",
    "shutdown_stops_listening",
];

/// Everything else that the suite says of ports.
#[track_caller]
fn check(unix: bool) {
    let mut failed = Vec::new();
    for (theme, name, behaviour) in BEHAVIOURS {
        let wanted = matches!(
            *theme,
            "accept" | "connector" | "shutdown" | "close" | "storms"
        );
        let wanted = wanted && !NOT_FOR_COPIES.contains(name);
        let run = || behaviour(&world(unix));
        if wanted && catch_unwind(AssertUnwindSafe(run)).is_err() {
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}

#[test]
fn tcp_ports_that_others_have_too() {
    let _none = Leftovers::none();
    check(false);
}

#[test]
fn unix_ports_that_others_have_too() {
    let _none = Leftovers::none();
    check(true);
}

/// Closing a copy ends no event: the loop must not wake for whoever connects to the others.
#[test]
fn a_stopped_port_is_heard_of_no_more() {
    let _none = Leftovers::none();
    let reactor = Reactor::with(Mio::new().expect("epoll works"));
    let kept = Kept::default();
    reactor.endpoint_kind("kept", kept.clone());
    let port = reactor.listen("kept:", || Quiet).expect("it can listen");
    let turn = || reactor.turn(Some(Duration::ZERO)).expect("it works");
    turn();
    port.stop_listening();
    let address = kept.0.borrow()[0].local_addr().expect("it is bound");
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there is a socket");
    client.connect(&address).expect("the copy listens");
    let mio = reactor.poll_fd().expect("it has one");
    assert_eq!(watched(mio), 1, "it wakes for a port that it does not have");
    turn();
    assert_eq!(reactor.statistics().accepted, 0);
    assert!(!reactor.has_backlog());
}

/// How many descriptors an epoll watches: one is the waker's.
fn watched(epoll: i32) -> usize {
    let path = format!("/proc/self/fdinfo/{epoll}");
    let info = std::fs::read_to_string(path).expect("this is Linux");
    info.lines().filter(|line| line.starts_with("tfd:")).count()
}
