//! Open files that go through UNIX sockets between our process and others: Python's, and Twisted's both ways.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this whole file is a test, which says what it skips"
)]

mod peers;

use peers::{World, skip, twisted};
use rustix::io::{FdFlags, fcntl_getfd};
use std::{
    cell::RefCell,
    ffi::OsStr,
    fs::File,
    io::{self, BufRead, BufReader, Write},
    os::fd::OwnedFd,
    process::{Command, Stdio},
    rc::Rc,
};
use tress_core::{Descriptor, Protocol, Result, Transport};

type Log = Rc<RefCell<Vec<String>>>;

/// Writes into the open files that it gets, and sends one with each byte that it gets.
struct Files(Log);

impl Files {
    fn new() -> (Log, Self) {
        let log = Log::default();
        (Rc::clone(&log), Self(log))
    }
}

impl Protocol for Files {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.receive_file_descriptors()
    }

    fn file_descriptor_received(&mut self, _: &Transport, file: Descriptor) -> Result {
        assert_eq!(fcntl_getfd(&file)?, FdFlags::CLOEXEC);
        let mut file = File::from(OwnedFd::from(file));
        file.write_all(b"written by ours")?;
        self.0.borrow_mut().push("file".to_owned());
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        let text = String::from_utf8_lossy(data).into_owned();
        self.0.borrow_mut().push(text);
        // The peer writes into the pipe; what it wrote is written down here.
        let (reader, writer) = io::pipe()?;
        transport.send_file_descriptor(OwnedFd::from(writer))?;
        transport.write(b"!");
        let log = Rc::clone(&self.0);
        PIPES.with(|pipes| pipes.borrow_mut().push((reader, log)));
        Ok(())
    }
}

type Pipe = (io::PipeReader, Log);

thread_local! {
    /// The reading ends of what was sent.
    static PIPES: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// Reads what the peers wrote into the pipes that they were sent.
fn read_pipes() {
    for (reader, log) in PIPES.take() {
        let text = io::read_to_string(reader).unwrap();
        log.borrow_mut().push(text);
    }
}

const EXPECTED: [&str; 3] = ["file", "x", "written by the peer"];

fn at(world: &World) -> String {
    world.directory.join("socket").display().to_string()
}

const PYTHON: &str = "\
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect(sys.argv[1])
reading, writing = os.pipe()
socket.send_fds(s, [b'x'], [writing])
os.close(writing)
print(os.read(reading, 100))
data, files, flags, _ = socket.recv_fds(s, 100, 9)
print(data, len(files))
os.write(files[0], b'written by the peer')
";

const TWISTED_CLIENT: &str = "\
import os, sys
from twisted.internet import endpoints, interfaces, protocol, task, defer
from zope.interface import implementer

@implementer(interfaces.IFileDescriptorReceiver)
class Client(protocol.Protocol):
    def connectionMade(self):
        self.done = defer.Deferred()
        self.reading, writing = os.pipe()
        self.transport.sendFileDescriptor(writing)
        self.transport.write(b'x')
        self.files = []
    def fileDescriptorReceived(self, file):
        self.files.append(file)
    def dataReceived(self, data):
        print(os.read(self.reading, 100))
        print(data, len(self.files), flush=True)
        os.write(self.files[0], b'written by the peer')
        self.done.callback(None)

async def main(reactor, at):
    point = endpoints.UNIXClientEndpoint(reactor, at)
    client = await endpoints.connectProtocol(point, Client())
    await client.done

task.react(main, sys.argv[1:])
";

const ANSWERED: &str = "b'written by ours'\nb'!' 1\n";

#[track_caller]
fn check_client(python: &OsStr, script: &str) {
    let world = World::new();
    let (log, files) = Files::new();
    let mut files = Some(files);
    let build = move |_: &tress_core::Address| files.take();
    let listening = world.reactor.listen(&format!("unix:{}", at(&world)), build);
    listening.expect("it can listen");
    let mut command = Command::new(python);
    command.args(["-c", script, &at(&world)]);
    assert_eq!(world.output(command, b""), ANSWERED);
    assert_eq!(world.names(), 2, "our socket and its lock file");
    read_pipes();
    assert_eq!(*log.borrow(), EXPECTED);
}

#[test]
fn open_files_go_to_pythons_sockets_and_back() {
    if Command::new("python3").arg("-V").output().is_err() {
        return skip("Python", "no python3 on the PATH");
    }
    check_client("python3".as_ref(), PYTHON);
}

#[test]
fn open_files_go_to_twisteds_client_and_back() {
    let Some(python) = twisted() else { return };
    check_client(&python, TWISTED_CLIENT);
}

const TWISTED_SERVER: &str = "\
import os, sys
from twisted.internet import interfaces, protocol, reactor
from zope.interface import implementer

@implementer(interfaces.IFileDescriptorReceiver)
class Server(protocol.Protocol):
    def connectionMade(self):
        self.reading, writing = os.pipe()
        self.transport.sendFileDescriptor(writing)
        self.transport.write(b'x')
    def fileDescriptorReceived(self, file):
        self.file = file
    def dataReceived(self, data):
        print(os.read(self.reading, 100))
        print(data, 1, flush=True)
        os.write(self.file, b'written by the peer')
        reactor.stop()

factory = protocol.Factory.forProtocol(Server)
reactor.listenUNIX(sys.argv[1], factory)
print('listens', flush=True)
reactor.run()
";

#[test]
fn open_files_go_to_twisteds_server_and_back() {
    let Some(python) = twisted() else { return };
    let world = World::new();
    let mut command = Command::new(python);
    command.args(["-c", TWISTED_SERVER, &at(&world)]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = peers::Killed(child.unwrap());
    let mut output = BufReader::new(child.0.stdout.take().unwrap());
    let mut first = String::new();
    output.read_line(&mut first).unwrap();
    assert_eq!(first, "listens\n");
    let (log, files) = Files::new();
    let to = format!("unix:{}", at(&world));
    world.reactor.connect_protocol(&to, files).detach();
    world.until(|| child.0.try_wait().unwrap().is_some());
    assert_eq!(io::read_to_string(output).unwrap(), ANSWERED);
    read_pipes();
    assert_eq!(*log.borrow(), EXPECTED);
}
