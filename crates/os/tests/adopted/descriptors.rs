//! What only descriptors have: files that are always ready, short reads of pipes and terminals, ends that are errors, and
//! flags that others see. Nothing is left open after a test.

use crate::world::leftovers::Leftovers;
use rustix::{
    fs::{OFlags, fcntl_getfl},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};
use socket2::{Domain, Socket, Type};
use std::{
    cell::RefCell,
    fs::{self, File},
    io::{self, PipeReader, PipeWriter, Read, Seek, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    time::{Duration, Instant},
};
use tress_core::{
    Address, DatagramProtocol, DatagramTransport, Descriptor, Failure, Protocol, Reactor, Result,
    Transport,
    error::{CannotListen, ConnectError},
    testing::ManualClock,
};
use tress_os::Mio;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Default)]
pub(crate) struct Seen {
    pub(crate) bytes: Rc<RefCell<Vec<u8>>>,
    events: Rc<RefCell<Vec<String>>>,
    transport: Rc<RefCell<Option<Transport>>>,
}

impl Seen {
    fn note(&self, event: impl Into<String>) {
        self.events.borrow_mut().push(event.into());
    }

    pub(crate) fn has(&self, event: &str) -> bool {
        self.events
            .borrow()
            .iter()
            .any(|known| known.starts_with(event))
    }

    pub(crate) fn transport(&self) -> Transport {
        self.transport.borrow().clone().expect("it was made")
    }

    #[track_caller]
    fn check(&self, expected: &[&str]) {
        assert_eq!(*self.events.borrow(), expected);
    }
}

pub(crate) struct Recorder(pub(crate) Seen);

impl Protocol for Recorder {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.0.transport.replace(Some(transport.clone()));
        self.0.note("made");
        Ok(())
    }

    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result {
        self.0.bytes.borrow_mut().extend_from_slice(data);
        Ok(())
    }

    fn read_closed(&mut self, transport: &Transport) -> Result {
        self.0.note("read closed");
        transport.lose_connection();
        Ok(())
    }

    fn connection_lost(&mut self, reason: Failure) {
        self.0.note(format!("lost: {reason}"));
    }
}

impl DatagramProtocol for Recorder {
    fn datagram_received(&mut self, to: &DatagramTransport, data: &[u8], from: &Address) -> Result {
        self.0.bytes.borrow_mut().extend_from_slice(data);
        to.write_to(data, from)?;
        Ok(())
    }
}

pub(crate) struct World(pub(crate) Reactor);

impl World {
    pub(crate) fn new() -> Self {
        let driver = Mio::with_clock(ManualClock::new()).expect("epoll works");
        Self(Reactor::with(driver))
    }

    fn files(&self, input: Option<OwnedFd>, output: Option<OwnedFd>) -> Seen {
        let seen = Seen::default();
        let [input, output] = [input, output].map(|end| end.map(Descriptor::from));
        let adopted = self.0.adopt_files(input, output, Recorder(seen.clone()));
        let end = seen.clone();
        let noted = adopted.add_errback(move |failure| {
            end.note(format!("refused: {failure}"));
            Err(failure)
        });
        noted.add_both(|_| ()).detach();
        seen
    }

    #[track_caller]
    pub(crate) fn until(&self, mut condition: impl FnMut() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < PATIENCE, "it does not come to hold");
            let turned = self.0.turn(Some(Duration::from_millis(5)));
            turned.expect("the driver works");
        }
    }

    /// Nothing happens any more, and the loop knows.
    #[track_caller]
    pub(crate) fn is_quiet(&self) {
        for _ in 0..10 {
            self.0.turn(Some(Duration::ZERO)).expect("the driver works");
        }
        assert!(!self.0.has_backlog(), "it goes round");
    }
}

fn pipe() -> (PipeReader, PipeWriter) {
    io::pipe().expect("there is a pipe")
}

fn waits(file: impl AsFd) -> bool {
    let flags = fcntl_getfl(file).expect("it is open");
    !flags.contains(OFlags::NONBLOCK)
}

/// A file without a name.
fn file(content: &[u8]) -> File {
    let path = std::env::temp_dir().join(format!(
        "tress-adopted-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path);
    let mut file = file.expect("a file can be made");
    fs::remove_file(&path).expect("it is there");
    file.write_all(content).expect("there is room");
    file.rewind().expect("it is a file");
    file
}

fn copy(file: &File) -> OwnedFd {
    file.try_clone().expect("there is room").into()
}

/// Read to the end, although no system tells that it is ready; a pause holds.
#[test]
fn a_file_is_always_ready() {
    let _none = Leftovers::none();
    let world = World::new();
    let content: Vec<u8> = (0..500_000_u32).map(|n| (n % 251) as u8).collect();
    let (from, mut to) = (file(&content), file(b""));
    let seen = world.files(Some(copy(&from)), Some(copy(&to)));
    world.until(|| !seen.bytes.borrow().is_empty());
    let transport = seen.transport();
    transport.pause_producing();
    let so_far = seen.bytes.borrow().len();
    assert!(so_far < content.len(), "it was read in one turn");
    world.is_quiet();
    assert_eq!(seen.bytes.borrow().len(), so_far);
    transport.write(b"written");
    transport.resume_producing();
    world.until(|| seen.has("lost"));
    assert!(*seen.bytes.borrow() == content);
    seen.check(&["made", "read closed", "lost: connection was closed cleanly"]);
    let mut written = String::new();
    to.rewind().expect("it is a file");
    to.read_to_string(&mut written).expect("it is text");
    assert_eq!(written, "written");
    world.is_quiet();
}

/// One read takes all of it, and the next write is seen.
#[test]
fn a_pipe_is_read_as_it_comes() {
    let _none = Leftovers::none();
    let world = World::new();
    let (reader, mut writer) = pipe();
    let seen = world.files(Some(reader.into()), None);
    for count in 1..=20 {
        writer.write_all(b"x").expect("there is room");
        world.until(|| seen.bytes.borrow().len() == count);
        world.is_quiet();
    }
    // Bytes and the end together.
    writer.write_all(&[b'y'; 50_000]).expect("there is room");
    drop(writer);
    world.until(|| seen.has("lost"));
    assert_eq!(seen.bytes.borrow().len(), 50_020);
    seen.check(&["made", "read closed", "lost: connection was closed cleanly"]);
}

/// With nothing to be read, the end of the reader is the end.
#[test]
fn a_pipe_that_is_only_written_ends_with_its_reader() {
    let _none = Leftovers::none();
    for much in [0, 10_000_000] {
        let world = World::new();
        let (reader, writer) = pipe();
        let seen = world.files(None, Some(writer.into()));
        world.until(|| seen.has("made"));
        seen.transport().write(&vec![0; much]);
        world.is_quiet();
        seen.check(&["made"]);
        drop(reader);
        world.until(|| seen.has("lost"));
        let lost = seen.events.borrow()[1].clone();
        assert!(lost.starts_with("lost: connection was lost: "), "{lost}");
        world.is_quiet();
    }
}

/// With something to be read, only a write finds out.
#[test]
fn a_pair_of_pipes_outlives_the_reader() {
    let _none = Leftovers::none();
    let world = World::new();
    let ((input, mut to), (from, output)) = (pipe(), pipe());
    let seen = world.files(Some(input.into()), Some(output.into()));
    world.until(|| seen.has("made"));
    drop(from);
    to.write_all(b"still read").expect("there is room");
    world.until(|| seen.bytes.borrow().len() == 10);
    world.is_quiet();
    seen.check(&["made"]);
    seen.transport().write(b"x");
    world.until(|| seen.has("lost: connection was lost: "));
}

/// A line at a time, and an error at the end, which is one.
#[test]
fn the_end_of_a_terminal_is_an_end() {
    let _none = Leftovers::none();
    let world = World::new();
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).expect("there are terminals");
    grantpt(&master).expect("it is ours");
    unlockpt(&master).expect("it is ours");
    let name = ptsname(&master, Vec::new()).expect("it has a name");
    let name = name.to_str().expect("it is ASCII").to_owned();
    let slave = File::options().read(true).write(true).open(name);
    let mut slave = slave.expect("it is unlocked");
    let other = master.try_clone().expect("there is room");
    let seen = world.files(Some(master), Some(other));
    slave
        .write_all(b"one\ntwo\nthree\n")
        .expect("there is room");
    world.until(|| seen.bytes.borrow().len() == 17);
    world.is_quiet();
    drop(slave);
    world.until(|| seen.has("lost"));
    assert_eq!(*seen.bytes.borrow(), b"one\r\ntwo\r\nthree\r\n");
    seen.check(&["made", "read closed", "lost: connection was closed cleanly"]);
}

/// Whoever shares them finds them as they were, however it ended; but for ports, where a wait would hold others up.
#[test]
fn what_waited_waits_again() {
    let _none = Leftovers::none();
    for abort in [false, true] {
        let world = World::new();
        let (input, _to) = pipe();
        let shared = input.try_clone().expect("there is room");
        let seen = world.files(Some(input.into()), None);
        world.until(|| seen.has("made"));
        assert!(!waits(&shared));
        if abort {
            seen.transport().abort_connection();
        } else {
            seen.transport().lose_connection();
        }
        world.until(|| seen.has("lost"));
        assert!(waits(&shared));
    }
    let (ours, theirs) = Socket::pair(Domain::UNIX, Type::STREAM, None).expect("a pair");
    let shared = ours.try_clone().expect("there is room");
    let world = World::new();
    world
        .0
        .adopt_connection(OwnedFd::from(ours), || Recorder(Seen::default()))
        .detach();
    world.is_quiet();
    assert!(!waits(&shared));
    drop(world);
    assert!(waits(&shared));
    drop(theirs);
    // What did not wait before does not after.
    let world = World::new();
    let (input, to) = pipe();
    rustix::io::ioctl_fionbio(&input, true).expect("it is a pipe");
    let shared = input.try_clone().expect("there is room");
    let seen = world.files(Some(input.into()), None);
    drop(to);
    world.until(|| seen.has("lost"));
    assert!(!waits(&shared));
}

/// A socket in each direction: the end of one is told although copies are open.
#[test]
fn two_sockets_as_files() {
    let _none = Leftovers::none();
    let world = World::new();
    let pair = || Socket::pair(Domain::UNIX, Type::STREAM, None).expect("there is a pair");
    let ((mut to, input), (mut from, output)) = (pair(), pair());
    let copy = output.try_clone().expect("there is room");
    let seen = world.files(Some(OwnedFd::from(input)), Some(OwnedFd::from(output)));
    to.write_all(b"hello").expect("there is room");
    world.until(|| seen.bytes.borrow().len() == 5);
    assert!(waits(&copy), "each call says that it does not wait");
    seen.transport().write(b"answer");
    seen.transport().lose_write_connection();
    world.is_quiet();
    let mut answer = String::new();
    from.read_to_string(&mut answer).expect("it ends");
    assert_eq!(answer, "answer");
    to.shutdown(Shutdown::Write).expect("it is connected");
    world.until(|| seen.has("lost"));
    seen.check(&["made", "read closed", "lost: connection was closed cleanly"]);
}

#[test]
fn what_is_wrong_is_told_and_closed() {
    let _none = Leftovers::none();
    let world = World::new();
    let reactor = &world.0;
    let stream = || Socket::new(Domain::IPV4, Type::STREAM, None).expect("there is a socket");
    let datagrams = || Socket::new(Domain::IPV4, Type::DGRAM, None).expect("there is a socket");
    let listening = || {
        let socket = stream();
        socket.listen(1).expect("any port is free");
        socket
    };
    let port = |socket: OwnedFd| {
        let failure = reactor.adopt_port(socket, || Recorder(Seen::default()));
        let failure = failure.expect_err("it is none");
        let cannot = failure.check::<CannotListen>().expect("it is that error");
        assert_eq!(cannot.at, "a socket that was opened elsewhere");
        cannot.error.to_string()
    };
    let wanted = "expected a stream socket that listens; it is ";
    assert_eq!(
        port(stream().into()),
        format!("{wanted}a socket that does not listen")
    );
    assert_eq!(
        port(datagrams().into()),
        format!("{wanted}a datagram socket")
    );
    assert_eq!(port(pipe().0.into()), format!("{wanted}no socket"));
    let connection = |socket: OwnedFd| {
        let place = Rc::new(RefCell::new(String::new()));
        let told = Rc::clone(&place);
        let adopted = reactor.adopt_connection(socket, || Recorder(Seen::default()));
        let ended = adopted.add_both(move |result| {
            let failure = result.expect_err("it is none");
            let error = failure.check::<ConnectError>().expect("it is that error");
            told.replace(error.0.to_string());
        });
        ended.detach();
        place.take()
    };
    let wanted = "expected a stream socket that is connected; it is ";
    assert_eq!(
        connection(listening().into()),
        format!("{wanted}a socket that listens")
    );
    assert_eq!(
        connection(datagrams().into()),
        format!("{wanted}a datagram socket")
    );
    assert!(connection(stream().into()).contains("not connected"));
    let failure = reactor.adopt_datagrams(OwnedFd::from(stream()), Recorder(Seen::default()));
    let text = failure.expect_err("it is none").to_string();
    assert!(
        text.ends_with("expected a datagram socket; it is a stream socket"),
        "{text}"
    );
    let (reader, writer) = pipe();
    let refused = |seen: Seen, part: &str| {
        let event = seen.events.borrow()[0].clone();
        assert!(event.contains(part), "{event}");
    };
    refused(world.files(None, None), "nothing to read from");
    refused(
        world.files(Some(writer.into()), None),
        "open for writing only",
    );
    refused(
        world.files(None, Some(reader.into())),
        "open for reading only",
    );
    assert_eq!(reactor.statistics().connections, 0);
}

/// Whoever wants to keep one gives a copy.
#[test]
fn datagrams_of_a_socket_from_elsewhere() {
    let _none = Leftovers::none();
    let world = World::new();
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("there is a socket");
    socket
        .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .expect("port 0 is free");
    let copy = socket.try_clone().expect("there is room");
    let seen = Seen::default();
    let port = world
        .0
        .adopt_datagrams(OwnedFd::from(socket), Recorder(seen.clone()));
    let port = port.expect("it is one");
    let address = copy.local_addr().expect("it is bound");
    assert_eq!(
        port.local_address().to_string(),
        address.as_socket().expect("IP").to_string()
    );
    let client = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("there is a socket");
    client.connect(&address).expect("it is there");
    client.send(b"hello").expect("there is room");
    world.until(|| seen.bytes.borrow().len() == 5);
    let mut answer = [0; 9];
    assert_eq!((&client).read(&mut answer).expect("it is answered"), 5);
    port.stop_listening().detach();
    // The copy gets what comes, and the loop hears nothing of it.
    client.send(b"again").expect("there is room");
    world.is_quiet();
    assert_eq!((&copy).read(&mut answer).expect("it is there"), 5);
    assert_eq!(seen.bytes.borrow().len(), 5);
}
