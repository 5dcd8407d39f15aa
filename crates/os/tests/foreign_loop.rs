//! What a foreign loop sees of the mio driver: its descriptor, its deadlines, and what is left when it looked once.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use std::{
    cell::Cell,
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    os::fd::BorrowedFd,
    rc::Rc,
    time::Duration,
};
use tress_core::{
    Address, DatagramProtocol, DatagramTransport, Protocol, Reactor, Result, Transport,
    driver::Driver, testing::ManualClock,
};
use tress_os::Mio;

/// More than the driver takes from the kernel at once.
const PORTS: usize = 1100;
/// Descriptors that they need.
const DESCRIPTORS: u64 = PORTS as u64 + 200;

fn reactor(clock: &ManualClock) -> Reactor {
    Reactor::with(Mio::with_clock(clock.clone()).expect("epoll works"))
}

/// Turns it as a foreign loop does that has been told once.
fn turn_until_it_rests(reactor: &Reactor) {
    loop {
        let turned = reactor.turn(Some(Duration::ZERO));
        turned.expect("the driver works");
        if reactor.rest(None) != Some(Duration::ZERO) {
            return;
        }
    }
}

fn is_readable(reactor: &Reactor) -> bool {
    let descriptor = reactor.poll_fd().expect("it has one");
    // SAFETY: the reactor owns it, and lives longer than this call.
    #[expect(unsafe_code, reason = "a foreign loop knows a number")]
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let mut watched = [PollFd::new(&descriptor, PollFlags::IN)];
    poll(&mut watched, Some(&Timespec::default())).expect("it is a descriptor") == 1
}

struct Counts(Rc<Cell<usize>>);

impl DatagramProtocol for Counts {
    fn datagram_received(&mut self, _: &DatagramTransport, _: &[u8], _: &Address) -> Result {
        self.0.set(self.0.get() + 1);
        Ok(())
    }
}

/// The kernel reports so many sockets at once and no more; a loop that is told of edges hears nothing of the others.
#[test]
fn more_events_than_one_look_takes() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: limit.current.map(|current| current.max(DESCRIPTORS)),
        ..limit
    };
    if setrlimit(Resource::Nofile, wanted).is_err() {
        println!("skipped: not so many descriptors are allowed here");
        return;
    }
    let (reactor, received) = (reactor(&ManualClock::new()), Rc::new(Cell::new(0)));
    let ports: Vec<_> = (0..PORTS)
        .map(|_| {
            let counts = Counts(Rc::clone(&received));
            let port = reactor.listen_datagrams("udp:0:interface=127.0.0.1", counts);
            port.expect("a port is free").local_address()
        })
        .collect();
    turn_until_it_rests(&reactor);
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    for port in ports {
        let to = SocketAddr::from(([127, 0, 0, 1], port.port().expect("it is UDP")));
        sender.send_to(b"x", to).expect("it is there");
    }
    assert!(is_readable(&reactor));
    turn_until_it_rests(&reactor);
    assert_eq!(received.get(), PORTS);
    assert!(!is_readable(&reactor));
}

/// The kernel counts milliseconds: were they rounded down, a loop would spin until what it waits for is due.
#[test]
fn a_wait_does_not_end_before_its_time() {
    let mut driver = Mio::new().expect("epoll works");
    // What making it has left to do is done.
    driver.wait(Some(Duration::ZERO)).expect("epoll works");
    for micros in [1, 400, 1_500] {
        let (until, start) = (Duration::from_micros(micros), driver.now());
        driver.wait(Some(until)).expect("epoll works");
        let took = driver.now().since(start);
        assert!(took >= until, "{took:?} instead of {until:?}");
    }
}

/// What is asked between two turns makes the descriptor readable, once the loop has said that it waits.
#[test]
fn what_is_asked_makes_the_descriptor_readable() {
    let clock = ManualClock::new();
    let reactor = reactor(&clock);
    turn_until_it_rests(&reactor);
    assert!(!is_readable(&reactor));
    reactor.call_later(Duration::from_secs(5), || ());
    assert!(is_readable(&reactor));
    turn_until_it_rests(&reactor);
    assert!(!is_readable(&reactor));
    reactor.call_later(Duration::from_secs(6), || ());
    assert!(!is_readable(&reactor), "it is not due before the other");
    assert_eq!(reactor.rest(None), Some(Duration::from_secs(5)));
}

/// Closes its connection at once, and leaves what comes unread.
struct Closes;

impl Protocol for Closes {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.pause_producing();
        Ok(())
    }
}

/// A socket that lingers is the driver's own business, but somebody must tell the foreign loop when it ends.
#[test]
fn a_socket_that_lingers_has_a_deadline() {
    let clock = ManualClock::new();
    let reactor = reactor(&clock);
    let transport: Rc<Cell<Option<Transport>>> = Rc::default();
    struct Shows(Closes, Rc<Cell<Option<Transport>>>);
    impl Protocol for Shows {
        fn connection_made(&mut self, transport: &Transport) -> Result {
            self.1.set(Some(transport.clone()));
            self.0.connection_made(transport)
        }
    }
    let shown = Rc::clone(&transport);
    let port = reactor.listen("tcp:0:interface=127.0.0.1", move || {
        Shows(Closes, Rc::clone(&shown))
    });
    let port = port.expect("a port is free").local_address().port();
    let mut peer =
        TcpStream::connect(("127.0.0.1", port.expect("it is TCP"))).expect("it is there");
    peer.write_all(b"unread").expect("it is open");
    turn_until_it_rests(&reactor);
    let transport = transport.take().expect("it was made");
    transport.lose_connection();
    turn_until_it_rests(&reactor);
    // The last sweep for deadlines of connections: none is left.
    let linger = Duration::from_secs(2);
    clock.advance(linger / 2);
    turn_until_it_rests(&reactor);
    assert_eq!(reactor.rest(None), Some(linger / 2));
    // All that we sent has come, and the end.
    assert_eq!(peer.read(&mut [0; 1]).expect("it is closed in order"), 0);
    peer.write_all(b"more").expect("nobody has reset it");
    turn_until_it_rests(&reactor);
    clock.advance(linger / 2);
    assert_eq!(reactor.rest(None), Some(Duration::ZERO));
    turn_until_it_rests(&reactor);
    assert_eq!(reactor.next_deadline(), None);
}
