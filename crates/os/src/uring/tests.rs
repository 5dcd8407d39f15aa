//! The driver without the core: rings of both kinds, and what the behaviour suite cannot see.

use super::*;
use bytes::Bytes;
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr},
    time::Instant,
};

/// A blocking peer.
pub(super) type Peer = std::net::TcpStream;

pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// What was reported, bytes copied.
pub(super) struct Seen(pub(super) Vec<(Report, Vec<u8>)>);

pub(super) struct World {
    pub(super) driver: Uring,
    pub(super) port: Token,
    at: SocketAddr,
    pub(super) lease: Lease,
}

/// A driver that listens; `None`, with a word, where there is no io_uring.
pub(super) fn world(setup: Setup, options: &UringOptions) -> Option<World> {
    match Uring::with_setup(setup, SystemClock, options) {
        Ok(driver) => Some(World::of(driver)),
        Err((_, error)) => {
            eprintln!("skipped: this machine has no io_uring for us: {error}");
            None
        }
    }
}

/// Listens with what can be had of the options, and it is not half made; or why it cannot be had.
#[cfg(feature = "faults")]
fn made_with(options: &UringOptions, call: Call, number: u32, error: i32) -> io::Result<World> {
    use seam::faults::{self, Fault, Plan};
    let fault = Fault::Error(error);
    faults::begin(Some(Plan {
        call,
        number,
        fault,
    }));
    let made = Uring::with_options(SystemClock, options);
    assert!(faults::end().is_fulfilled, "nothing was refused");
    made.map(World::of)
}
impl World {
    fn of(mut driver: Uring) -> Self {
        let any = Address::Ip(SocketAddr::from(([127, 0, 0, 1], 0)));
        let (port, at) = driver
            .listen(&any, &ListenOptions::default())
            .expect("port 0 is free");
        Self::around(driver, port, &at)
    }

    pub(super) fn around(driver: Uring, port: Token, at: &Address) -> Self {
        let Address::Ip(at) = *at else {
            panic!("it listens at {at}")
        };
        Self {
            driver,
            port,
            at,
            lease: Lease::default(),
        }
    }

    pub(super) fn turn(&mut self, seen: &mut Seen) {
        let wait = Duration::from_millis(1);
        self.driver.wait(Some(wait)).expect("io_uring works");
        while let Some(report) = self.driver.next(&mut self.lease) {
            let bytes = match report {
                Report::Data { .. } => self.lease.bytes().to_vec(),
                _ => Vec::new(),
            };
            seen.0.push((report, bytes));
        }
    }

    pub(super) fn until(&mut self, seen: &mut Seen, mut condition: impl FnMut(&Seen) -> bool) {
        let start = Instant::now();
        while !condition(seen) {
            let count = seen.0.len();
            assert!(
                start.elapsed() < PATIENCE,
                "waited in vain: {count} reports, {} bytes",
                seen.bytes().len()
            );
            self.turn(seen);
        }
    }

    pub(super) fn accept(&mut self) -> (Peer, Token) {
        let peer = Peer::connect(self.at).expect("it listens");
        let mut seen = Seen(Vec::new());
        self.until(&mut seen, |seen| !seen.0.is_empty());
        let Some((Report::Accepted { port, conn, .. }, _)) = seen.0.pop() else {
            panic!("nobody was accepted")
        };
        assert_eq!(port, self.port);
        (peer, conn)
    }

    pub(super) fn quiet(&mut self) -> Seen {
        let mut seen = Seen(Vec::new());
        for _ in 0..20 {
            self.turn(&mut seen);
        }
        seen
    }
}

impl Seen {
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
    }

    fn is_read_closed(&self) -> bool {
        let closed = |(report, _): &(Report, _)| matches!(report, Report::ReadClosed { .. });
        self.0.iter().any(closed)
    }
}

/// Both kinds of ring; the plain one is the fallback, which no machine of ours needs.
pub(super) fn on_both(test: fn(World)) {
    on_both_with(&UringOptions::default(), test);
}

pub(super) fn on_both_with(options: &UringOptions, test: fn(World)) {
    for setup in [Setup::Deferred, Setup::Plain] {
        if let Some(world) = world(setup, options) {
            test(world);
        }
    }
}

/// The same, and without each feature of the kernel that can be turned off by itself.
fn on_every_knob(test: fn(World)) {
    on_both(test);
    let off: [fn(&mut UringOptions); 5] = [
        |options| options.multishot_accept = false,
        |options| options.multishot_receive = false,
        |options| options.provided_buffers = false,
        |options| options.batched_submission = false,
        |options| (options.buffers, options.buffer_bytes) = (16, 512),
    ];
    for off in off {
        let mut options = UringOptions::default();
        off(&mut options);
        if let Some(world) = world(Setup::best(), &options) {
            test(world);
        }
    }
}

/// Where Linux refuses a part, it works without; where it refuses all, it says so.
#[cfg(feature = "faults")]
#[test]
fn an_old_kernel_has_less_or_none() {
    if world(Setup::best(), &UringOptions::default()).is_none() {
        return;
    }
    let (all, mut plain) = (UringOptions::default(), UringOptions::default());
    plain.deferred_work = false;
    // Linux 5.19: it knows no such flags. 6.0: it knows them, and the probe or the buffers fail by chance.
    let (setup, register) = (Call::IoUringSetup, Call::IoUringRegister);
    for (call, number) in [(setup, 1), (register, 1)] {
        let made = made_with(&all, call, number, libc::EINVAL);
        check_echo(made.expect("without them it works"));
    }
    // 5.18: it knows of no buffers that all share.
    for options in [&all, &plain] {
        let made = made_with(options, register, 2, libc::EINVAL);
        let made = made.expect("without them it works");
        let used = made.driver.ring.options();
        assert!(!used.provided_buffers && !used.multishot_receive);
        assert!(used.multishot_accept && used.batched_submission);
        check_echo(made);
    }
    for (call, number, error, why) in [
        (setup, 1, libc::ENOSYS, ": this Linux has no io_uring"),
        (setup, 1, libc::EPERM, "kernel.io_uring_disabled"),
        (setup, 1, libc::ENOMEM, "RLIMIT_MEMLOCK"),
        (setup, 1, libc::EINVAL, "Invalid argument"),
        (register, 1, libc::EINVAL, "Invalid argument"),
        (register, 2, libc::ENOMEM, "Cannot allocate memory"),
    ] {
        let refused = made_with(&plain, call, number, error).err();
        let said = refused.expect("it cannot be had").to_string();
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn echo() {
    on_every_knob(check_echo);
}

fn check_echo(mut world: World) {
    let (mut peer, conn) = world.accept();
    world.driver.start_reading(conn);
    for round in 0..100_u32 {
        let sent = format!("round {round}").into_bytes();
        peer.write_all(&sent).expect("it is open");
        let mut seen = Seen(Vec::new());
        world.until(&mut seen, |seen| seen.bytes() == sent);
        let mut out = Outgoing::from(Bytes::from(seen.bytes()));
        world.driver.send(conn, &mut out).expect("it is open");
        assert!(out.is_empty() && !out.is_done(), "it was taken");
        world.until(&mut seen, |seen| {
            let sent = |(report, _): &(Report, _)| matches!(report, Report::Sent { .. });
            seen.0.iter().any(sent)
        });
        let mut answer = vec![0; sent.len()];
        peer.read_exact(&mut answer).expect("it is open");
        assert_eq!(answer, sent);
    }
}

#[test]
fn no_data_comes_while_reading_is_stopped_and_none_is_lost() {
    on_every_knob(|mut world| {
        let (mut peer, conn) = world.accept();
        peer.write_all(b"one ").expect("it is open");
        assert!(world.quiet().0.is_empty(), "nobody wanted it");
        world.driver.start_reading(conn);
        let mut all = Seen(Vec::new());
        world.until(&mut all, |seen| seen.bytes() == b"one ");
        // The receive is armed: this is parked.
        peer.write_all(b"two ").expect("it is open");
        world.driver.stop_reading(conn);
        peer.write_all(b"three ").expect("it is open");
        peer.shutdown(Shutdown::Write).expect("it is open");
        assert!(world.quiet().0.is_empty(), "nobody wanted it");
        world.driver.start_reading(conn);
        world.driver.stop_reading(conn);
        assert!(world.quiet().0.is_empty(), "nobody wanted it");
        world.driver.start_reading(conn);
        world.until(&mut all, Seen::is_read_closed);
        assert_eq!(all.bytes(), b"one two three ");
    });
}

#[test]
fn more_than_all_buffers_hold_comes_from_many_peers_at_once() {
    on_every_knob(|mut world| {
        const PEERS: usize = 8;
        const EACH: usize = 2 << 20;
        let mut seen = Seen(Vec::new());
        let (mut conns, mut senders) = (Vec::new(), Vec::new());
        for number in 0..PEERS {
            let (mut peer, conn) = world.accept();
            conns.push(conn);
            senders.push(std::thread::spawn(move || {
                let byte = u8::try_from(number).expect("there are few");
                peer.write_all(&vec![byte; EACH]).expect("it is open");
                peer
            }));
        }
        for &conn in &conns {
            world.driver.start_reading(conn);
        }
        let mut received = 0;
        world.until(&mut seen, |seen| {
            received = seen.0.iter().map(|(_, bytes)| bytes.len()).sum();
            received == PEERS * EACH
        });
        for sender in senders {
            drop(sender.join().expect("it could send"));
        }
    });
}

#[test]
fn a_token_is_dead_at_once_whatever_is_in_flight() {
    on_every_knob(|mut world| {
        for abort in [true, false] {
            let (mut peer, conn) = world.accept();
            world.driver.start_reading(conn);
            let mut out = Outgoing::from(Bytes::from(vec![b'x'; 16 << 20]));
            world.driver.send(conn, &mut out).expect("it is open");
            world.quiet();
            peer.write_all(b"late").expect("it is open");
            world.driver.close(conn, abort);
            assert!(world.quiet().0.is_empty(), "somebody was told");
            assert_eq!(world.driver.local_address(conn), Address::Unknown);
            let mut rest = Vec::new();
            let end = peer.read_to_end(&mut rest);
            assert!(rest.len() < 16 << 20);
            assert!(end.is_err() || !abort, "it was not reset");
        }
    });
}

#[test]
fn dropping_the_driver_ends_what_is_in_flight() {
    on_every_knob(|mut world| {
        let (mut peer, conn) = world.accept();
        world.driver.start_reading(conn);
        let mut out = Outgoing::from(Bytes::from(vec![b'x'; 16 << 20]));
        world.driver.send(conn, &mut out).expect("it is open");
        world.quiet();
        let start = Instant::now();
        drop(world);
        assert!(
            start.elapsed() < Duration::from_millis(400),
            "it waited in vain"
        );
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).ok();
        assert!(rest.len() < 16 << 20);
    });
}

#[test]
fn a_wait_ends_when_another_thread_wakes_it() {
    on_both(|mut world| {
        for _ in 0..10 {
            let waker = world.driver.waker();
            let thread = std::thread::spawn(move || waker.wake());
            let start = Instant::now();
            world.driver.wait(Some(PATIENCE)).expect("io_uring works");
            assert!(start.elapsed() < PATIENCE / 2, "it slept");
            while world.driver.next(&mut world.lease).is_some() {}
            thread.join().expect("it only wakes");
        }
    });
}

/// A foreign loop turns only when the descriptor says so, or while there is backlog.
#[test]
fn a_host_that_watches_the_descriptor_misses_nothing() {
    on_both(|mut world| {
        let mut host = mio::Poll::new().expect("epoll works");
        let mut events = mio::Events::with_capacity(4);
        let descriptor = world.driver.poll_fd().expect("a ring has one");
        let mut source = mio::unix::SourceFd(&descriptor);
        let registry = host.registry();
        let readable = mio::Interest::READABLE;
        let registered = registry.register(&mut source, mio::Token(0), readable);
        registered.expect("a ring can be watched");
        let mut peer = Peer::connect(world.at).expect("it listens");
        let mut echoed = 0;
        while world.driver.backlog() {
            echo_once(&mut world);
        }
        for round in 0..50_usize {
            // A look in vain: from here on it hears only of what is new.
            let looked = host.poll(&mut events, Some(Duration::ZERO));
            looked.expect("epoll works");
            peer.write_all(b"ping").expect("it is open");
            while echoed < (round + 1) * 4 {
                host.poll(&mut events, Some(PATIENCE)).expect("epoll works");
                assert!(!events.is_empty(), "nobody told the host");
                echoed += echo_once(&mut world);
                while world.driver.backlog() {
                    echoed += echo_once(&mut world);
                }
            }
            let mut answer = [0; 4];
            peer.read_exact(&mut answer).expect("it is open");
            assert_eq!(&answer, b"ping");
        }
    });
}

/// Between two turns, an operation that is started is not the kernel's yet: the host has to hear of it.
#[test]
fn what_is_started_while_a_host_waits_is_told() {
    on_both(|mut world| {
        let descriptor = world.driver.poll_fd().expect("it has one");
        let mut host = mio::Poll::new().expect("epoll works");
        let mut events = mio::Events::with_capacity(4);
        let mut source = mio::unix::SourceFd(&descriptor);
        let readable = mio::Interest::READABLE;
        let registered = host
            .registry()
            .register(&mut source, mio::Token(0), readable);
        registered.expect("an eventfd can be watched");
        let (mut connected, mut accepted) = (0, 0);
        while connected < 5 || accepted < 5 {
            while world.driver.backlog() {
                let turned = world.driver.wait(Some(Duration::ZERO));
                turned.expect("io_uring works");
                while let Some(report) = world.driver.next(&mut world.lease) {
                    connected += usize::from(matches!(report, Report::Connected { .. }));
                    accepted += usize::from(matches!(report, Report::Accepted { .. }));
                }
            }
            // A look in vain, unless something has come since.
            let looked = host.poll(&mut events, Some(Duration::ZERO));
            looked.expect("epoll works");
            if connected == accepted && events.is_empty() && connected < 5 {
                let to = Address::Ip(world.at);
                let started = world.driver.connect(&to, &ConnectOptions::default());
                started.expect("it starts");
            }
            if connected < 5 || accepted < 5 {
                if events.is_empty() {
                    host.poll(&mut events, Some(PATIENCE)).expect("epoll works");
                    assert!(!events.is_empty(), "nobody told the host");
                }
                let turned = world.driver.wait(Some(Duration::ZERO));
                turned.expect("io_uring works");
                while let Some(report) = world.driver.next(&mut world.lease) {
                    connected += usize::from(matches!(report, Report::Connected { .. }));
                    accepted += usize::from(matches!(report, Report::Accepted { .. }));
                }
            }
        }
    });
}

/// A turn without waiting that answers everything; returns how many bytes came.
fn echo_once(world: &mut World) -> usize {
    let mut count = 0;
    world
        .driver
        .wait(Some(Duration::ZERO))
        .expect("io_uring works");
    while let Some(report) = world.driver.next(&mut world.lease) {
        match report {
            Report::Accepted { conn, .. } => world.driver.start_reading(conn),
            Report::Data { conn } => {
                let bytes = Bytes::copy_from_slice(world.lease.bytes());
                count += bytes.len();
                let sent = world.driver.send(conn, &mut Outgoing::from(bytes));
                sent.expect("it is open");
            }
            _ => {}
        }
    }
    count
}

/// A port of two drivers, and who listens there first.
fn with_a_copy(mut first: World) -> [World; 2] {
    let copy = first.driver.copy_port(first.port).expect("it is a port");
    let mut second = world(Setup::Plain, &UringOptions::default()).expect("it worked a moment ago");
    second.driver.close(second.port, false);
    let adopted = second.driver.adopt(Opened::Port(copy));
    (second.port, _) = adopted.expect("it listens");
    second.at = first.at;
    // What accepted for the first alone has ended.
    assert!(first.quiet().0.is_empty() && second.quiet().0.is_empty());
    [first, second]
}

/// However long the other has no turn: it may be in the middle of a callback.
#[test]
fn a_peer_of_a_copied_port_is_whose_turn_it_is() {
    on_every_knob(|first| {
        let mut both = with_a_copy(first);
        let mut open = Vec::new();
        for round in 0..12 {
            // Both wait, then one of them has turns, for two rounds each.
            for world in &mut both {
                assert!(world.quiet().0.is_empty(), "nobody came");
            }
            open.push(both[round / 2 % 2].accept());
        }
    });
}

#[test]
fn peers_of_a_copied_port_are_taken_once_and_all() {
    on_every_knob(|first| {
        const PEERS: usize = 300;
        let mut both = with_a_copy(first);
        let at = both[0].at;
        let peers = || Peer::connect(at).expect("it listens");
        let open: Vec<Peer> = (0..PEERS).map(|_| peers()).collect();
        let mut counts = [0; 2];
        let start = Instant::now();
        while counts.iter().sum::<usize>() < PEERS {
            assert!(start.elapsed() < PATIENCE, "{counts:?}");
            for (world, count) in both.iter_mut().zip(&mut counts) {
                let mut seen = Seen(Vec::new());
                world.turn(&mut seen);
                assert!(seen.0.len() <= 64, "{} at once", seen.0.len());
                let accepted = |(report, _): &(Report, _)| matches!(report, Report::Accepted { port, .. } if *port == world.port);
                assert!(seen.0.iter().all(accepted));
                *count += seen.0.len();
            }
        }
        assert!(counts.iter().all(|count| *count > 60), "{counts:?}");
        for world in &mut both {
            assert!(world.quiet().0.is_empty(), "somebody came twice");
        }
        drop(open);
    });
}

/// Nobody waits for one that pauses or has closed the port.
#[test]
fn a_copied_port_that_one_does_not_read_is_the_others() {
    on_both(|first| {
        let [mut first, mut second] = with_a_copy(first);
        let mut open = Vec::new();
        first.quiet();
        first.driver.stop_reading(first.port);
        assert!(first.quiet().0.is_empty() && second.quiet().0.is_empty());
        open.push(Peer::connect(first.at).expect("it listens"));
        assert!(first.quiet().0.is_empty(), "it is paused");
        assert_eq!(second.quiet().0.len(), 1);
        second.driver.stop_reading(second.port);
        open.push(Peer::connect(first.at).expect("it listens"));
        assert!(first.quiet().0.is_empty() && second.quiet().0.is_empty());
        first.driver.start_reading(first.port);
        assert_eq!(first.quiet().0.len(), 1);
        first.driver.close(first.port, false);
        second.driver.start_reading(second.port);
        open.push(second.accept().0);
        assert!(first.quiet().0.is_empty(), "it is closed");
    });
}

#[test]
fn the_deferred_ring_is_not_for_every_linux() {
    for (release, best) in [
        ("6.5.0-14-generic", Setup::Deferred),
        ("6.6.9", Setup::Plain),
        ("6.8.0-31-generic", Setup::Plain),
        ("6.9-rc1", Setup::Deferred),
        ("6.18.44-fc-v669", Setup::Deferred),
        ("", Setup::Deferred),
    ] {
        assert_eq!(Setup::best_for(release), best, "{release}");
    }
}

#[test]
fn what_is_beside_the_ring_ends_a_wait() {
    on_both(|mut world| {
        let (reader, mut writer) = io::pipe().expect("there is a pipe");
        let opened = Opened::Files {
            input: Some(std::os::fd::OwnedFd::from(reader).into()),
            output: None,
        };
        let (conn, _) = world.driver.adopt(opened).expect("it is a pipe");
        world.driver.start_reading(conn);
        assert!(world.quiet().0.is_empty(), "nothing was written");
        for round in 0..10 {
            let late = std::thread::spawn(move || {
                writer.write_all(b"x").expect("it is open");
                writer
            });
            let start = Instant::now();
            let mut seen = Seen(Vec::new());
            while seen.bytes().is_empty() {
                world.driver.wait(Some(PATIENCE)).expect("io_uring works");
                while let Some(report) = world.driver.next(&mut world.lease) {
                    seen.0.push((report, world.lease.bytes().to_vec()));
                }
            }
            assert!(start.elapsed() < PATIENCE / 2, "it slept in round {round}");
            writer = late.join().expect("it only writes");
        }
        drop(writer);
        let mut seen = Seen(Vec::new());
        world.until(&mut seen, Seen::is_read_closed);
    });
}
