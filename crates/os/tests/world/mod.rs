//! Where the behaviour suite runs on a driver of the operating system: real sockets, on the loopback interface or in a
//! directory, and a clock set by hand. Does not know which driver.

pub(crate) mod leftovers;

use signal_hook::{consts, low_level::raise};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    any::Any,
    cell::{Cell, RefCell},
    fs::{self, File},
    io::{self, Read},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
    path::PathBuf,
    process::Command,
    rc::Rc,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use tress_core::{
    Address, DatagramTransport, Descriptor, Port, Reactor, Result, Signal,
    driver::Interface,
    process,
    testing::{
        ManualClock,
        suite::{World, jobs::JobsRun, processes::Does},
    },
};

/// Longer than any behaviour takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// A wait in which nothing came was this long.
const QUIET: Duration = Duration::from_millis(1);
/// Set to a behaviour's name in a process of its own, where descriptors may run out without harm to other tests.
pub(crate) const ALONE: &str = "TRESS_SUITE_ALONE";

/// Who turns the reactors.
pub(crate) trait Turner {
    /// Lets both go on for at most about this long. False when nothing happened.
    fn go_on(&self, reactors: [&Reactor; 2], longest: Duration) -> bool;

    /// One turn, which does not wait.
    fn turn(&self, reactor: &Reactor);

    /// Runs one of them until it has stopped.
    fn run(&self, reactor: &Reactor) -> Result;

    /// Whether it is another loop than theirs.
    fn is_host(&self) -> bool;

    /// The clock was set: no loop that waits for the real time can know.
    fn clock_was_set(&self);
}

/// Each turns itself.
struct Itself;

impl Turner for Itself {
    fn go_on(&self, reactors: [&Reactor; 2], longest: Duration) -> bool {
        let start = Instant::now();
        for reactor in reactors {
            reactor.turn(Some(longest)).expect("the driver works");
        }
        start.elapsed() < longest
    }

    fn turn(&self, reactor: &Reactor) {
        let turned = reactor.turn(Some(Duration::ZERO));
        turned.expect("the driver works");
    }

    fn run(&self, reactor: &Reactor) -> Result {
        reactor.run()
    }

    fn is_host(&self) -> bool {
        false
    }

    fn clock_was_set(&self) {}
}

/// Two reactors on real sockets.
pub(crate) struct SocketWorld {
    /// Who turns them; dropped before them.
    pub(crate) turner: Rc<dyn Turner>,
    server: Reactor,
    client: Reactor,
    clock: ManualClock,
    /// What a silent endpoint is made of.
    silence: RefCell<Vec<Socket>>,
    alone: &'static str,
    /// Where the sockets are, when they are UNIX sockets, and how many have been there.
    directory: Option<Directory>,
    sockets: Cell<u32>,
    has_datagrams: bool,
    starts_processes: bool,
    /// Connections are pipes, of which nobody sees how they were closed.
    has_pipes: bool,
    adopts: bool,
    /// Ports are opened elsewhere, by a kind of endpoint of that name.
    has_kept_ports: bool,
}

/// Whoever raises signals, as they reach all that run in this process.
static SIGNALS: Mutex<()> = Mutex::new(());

/// A directory that is gone when this is dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tress-unix-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a directory can be made");
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

impl SocketWorld {
    /// With reactors that `make` makes. `alone` is the test that runs `close_peer_on_emfile`.
    pub(crate) fn new(make: impl Fn(ManualClock) -> Reactor, alone: &'static str) -> Self {
        let clock = ManualClock::new();
        Self {
            server: make(clock.clone()),
            client: make(clock.clone()),
            turner: Rc::new(Itself),
            clock,
            silence: RefCell::default(),
            alone,
            directory: None,
            sockets: Cell::new(0),
            has_datagrams: false,
            starts_processes: false,
            has_pipes: false,
            adopts: false,
            has_kept_ports: false,
        }
    }

    /// The same with ports that a kind of endpoint called `kept` opens.
    pub(crate) fn with_kept_ports(self) -> Self {
        Self {
            has_kept_ports: true,
            ..self
        }
    }

    /// The same on a driver that takes over what was opened elsewhere.
    pub(crate) fn with_adoption(self) -> Self {
        Self {
            adopts: true,
            ..self
        }
    }

    /// The same on a driver whose connections are pipes.
    pub(crate) fn with_pipes(self) -> Self {
        Self {
            has_pipes: true,
            ..self
        }
    }

    /// The same with UNIX sockets.
    pub(crate) fn with_unix_sockets(self) -> Self {
        Self {
            directory: Some(Directory::new()),
            ..self
        }
    }

    /// The same on a driver that has datagrams, or has not.
    pub(crate) fn with_datagrams(self, has_datagrams: bool) -> Self {
        Self {
            has_datagrams,
            ..self
        }
    }

    /// The same on a driver that starts processes, or does not.
    pub(crate) fn with_processes(self, starts_processes: bool) -> Self {
        Self {
            starts_processes,
            ..self
        }
    }

    /// A name for another socket.
    fn next_name(&self, Directory(directory): &Directory) -> String {
        self.sockets.set(self.sockets.get() + 1);
        format!("{}/{}", directory.display(), self.sockets.get())
    }

    /// Lets both go on. False when nothing happened.
    fn go_on(&self, longest: Duration) -> bool {
        self.turner.go_on([&self.server, &self.client], longest)
    }
}

impl World for SocketWorld {
    fn reactor(&self) -> Reactor {
        self.server.clone()
    }

    fn client(&self) -> Reactor {
        self.client.clone()
    }

    fn listen_at(&self) -> String {
        match &self.directory {
            None if self.has_kept_ports => "kept:".to_owned(),
            None => "tcp:0:interface=127.0.0.1".to_owned(),
            Some(directory) if self.has_kept_ports => format!("kept:{}", self.next_name(directory)),
            Some(directory) => format!("unix:{}", self.next_name(directory)),
        }
    }

    fn connect_to(&self, port: &Port) -> String {
        match port.local_address() {
            Address::Ip(address) => format!("tcp:127.0.0.1:{}", address.port()),
            other => format!("unix:{other}"),
        }
    }

    fn datagrams_at(&self) -> Option<String> {
        if !self.has_datagrams {
            return None;
        }
        let Some(directory) = &self.directory else {
            return Some("udp:0:interface=127.0.0.1".to_owned());
        };
        Some(format!("unixgram:{}", self.next_name(directory)))
    }

    fn datagrams_to(&self, port: &DatagramTransport) -> String {
        match (&self.directory, port.local_address()) {
            (Some(directory), name) => {
                let own = self.next_name(directory);
                format!("unixgram:{name}:bindAddress={own}")
            }
            (None, address) => format!("udp:{address}"),
        }
    }

    fn multicast_interface(&self) -> Interface {
        Interface::Address(Ipv4Addr::LOCALHOST)
    }

    fn broadcast(&self) -> Option<IpAddr> {
        Some([127, 255, 255, 255].into())
    }

    fn jobs_run(&self) -> JobsRun {
        JobsRun::OnThreads
    }

    fn passes_descriptors(&self) -> bool {
        self.directory.is_some()
    }

    /// The writing end of a pipe: when all its copies are closed, the reading end ends.
    fn descriptor(&self) -> Option<(Descriptor, Box<dyn Fn() -> bool>)> {
        let (reader, writer) = io::pipe().expect("there is a pipe");
        rustix::io::ioctl_fionbio(&reader, true).expect("it is a pipe");
        let is_closed = move || (&reader).read(&mut [0]).is_ok();
        Some((OwnedFd::from(writer).into(), Box::new(is_closed)))
    }

    fn signals(&self) -> Option<Box<dyn Fn(Signal)>> {
        let alone = SIGNALS.lock().unwrap_or_else(PoisonError::into_inner);
        let raise_one = move |signal: Signal| {
            let _held = &alone;
            let number = match signal {
                Signal::Winch => consts::SIGWINCH,
                Signal::Cont => consts::SIGCONT,
                Signal::Int => consts::SIGINT,
                Signal::Term => consts::SIGTERM,
                other => panic!("{other} is not raised in tests"),
            };
            // To this thread: its handlers have run then. One for the process may reach another thread, later.
            raise(number).expect("it can be raised");
        };
        Some(Box::new(raise_one))
    }

    fn adopts(&self) -> bool {
        self.adopts
    }

    fn open_port(&self) -> Option<(Descriptor, String)> {
        if !self.adopts {
            return None;
        }
        let (socket, to) = match &self.directory {
            None => {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None);
                let socket = socket.expect("there is a socket");
                let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                socket.bind(&any.into()).expect("port 0 is free");
                let address = socket.local_addr().expect("it is bound");
                let port = address.as_socket().expect("it is IP").port();
                (socket, format!("tcp:127.0.0.1:{port}"))
            }
            Some(directory) => {
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None);
                let socket = socket.expect("there is a socket");
                let name = self.next_name(directory);
                let address = SockAddr::unix(&name).expect("it is short");
                socket.bind(&address).expect("the name is free");
                (socket, format!("unix:{name}"))
            }
        };
        socket.listen(8).expect("it is bound");
        Some((OwnedFd::from(socket).into(), to))
    }

    fn open_pair(&self) -> Option<[Descriptor; 2]> {
        if !self.adopts {
            return None;
        }
        let (one, other) = Socket::pair(Domain::UNIX, Type::STREAM, None).expect("there is a pair");
        Some([one, other].map(|end| OwnedFd::from(end).into()))
    }

    fn tells_peers_apart(&self) -> bool {
        self.directory.is_none()
    }

    fn until(&self, condition: &mut dyn FnMut() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(
                start.elapsed() < PATIENCE,
                "the condition does not hold after {PATIENCE:?}"
            );
            self.go_on(QUIET / 4);
        }
    }

    fn turn(&self, reactor: &Reactor) {
        self.turner.turn(reactor);
    }

    fn run(&self, reactor: &Reactor) -> Result {
        self.turner.run(reactor)
    }

    fn is_hosted(&self) -> bool {
        self.turner.is_host()
    }

    fn settle(&self) {
        for _ in 0..5 {
            self.go_on(Duration::ZERO);
        }
        let mut quiet = 0;
        for _ in 0..1000 {
            quiet = if self.go_on(QUIET) { 0 } else { quiet + 1 };
            if quiet == 3 {
                return;
            }
        }
    }

    fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.turner.clock_was_set();
        self.settle();
    }

    fn pass(&self) -> Rc<dyn Fn(Duration)> {
        // A protocol keeps it, and who turns keeps the reactor.
        let (clock, turner) = (self.clock.clone(), Rc::downgrade(&self.turner));
        Rc::new(move |by| {
            clock.advance(by);
            if let Some(turner) = turner.upgrade() {
                turner.clock_was_set();
            }
        })
    }

    /// The end of a UNIX socket looks the same however it was closed, unless something was left unread.
    fn shows_resets(&self) -> bool {
        self.directory.is_none() && !self.has_pipes
    }

    /// A port whose queue is full: Linux leaves further attempts unanswered. To a UNIX socket they fail.
    fn silent(&self) -> Option<String> {
        if self.directory.is_some() {
            return None;
        }
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).expect("there is a socket");
        let listener = socket();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        listener.bind(&SockAddr::from(any)).expect("port 0 is free");
        listener.listen(0).expect("it is bound");
        let address = listener.local_addr().expect("it is bound");
        let to = address.as_socket().expect("it is an IP address");
        let mut silence = vec![listener];
        for _ in 0..4 {
            let client = socket();
            client.set_nonblocking(true).expect("it is a socket");
            // It is in progress, and stays so when the queue is full.
            client.connect(&address).ok();
            silence.push(client);
        }
        self.silence.borrow_mut().extend(silence);
        Some(format!("tcp:127.0.0.1:{}", to.port()))
    }

    fn connect_from_elsewhere(&self, port: &Port) -> Option<String> {
        if self.directory.is_some() {
            return None;
        }
        Some(format!("{}:bindAddress=192.0.2.7", self.connect_to(port)))
    }

    fn command(&self, does: Does) -> Option<process::Command> {
        let line = match does {
            Does::Copies | Does::CopiesInItsTerminal => "exec cat".to_owned(),
            Does::CopiesAndGoesOn => "trap '' PIPE; cat; while :; do sleep 0.01; done".to_owned(),
            Does::WritesToBoth => "echo one; echo two >&2; exit 3".to_owned(),
            Does::Exits(code) => format!("exit {code}"),
            Does::Raises(signal) => {
                let name = signal.name().expect("it has one");
                format!("ulimit -c 0; kill -{name} $$")
            }
            Does::LeavesItsPipes => "exec 3<&0; (read line <&3; echo late) &".to_owned(),
            Does::ClosesItsPipes => "exec 0<&- 1>&- 2>&-; kill -STOP $$; exit 4".to_owned(),
            Does::IgnoresTerm => "trap '' TERM; echo ready; while :; do sleep 1; done".to_owned(),
            Does::IgnoresTermInSilence => {
                "trap '' TERM; exec 1>&- 2>&-; while :; do sleep 0.01; done".to_owned()
            }
            Does::SaysGoodbye => "trap 'echo bye; exit 0' TERM; echo up; read line".to_owned(),
            Does::Complains => "echo bad >&2; while :; do sleep 0.01; done".to_owned(),
            Does::Floods => "exec yes".to_owned(),
            Does::Waits => "exec sleep 1000".to_owned(),
            Does::TellsArguments => "for each; do echo \"$each\"; done".to_owned(),
            Does::TellsEnvironment => {
                return self
                    .starts_processes
                    .then(|| process::Command::new("/usr/bin/env"));
            }
            Does::Crosses => "read a <&3; read b <&7; echo $b$a >&5; echo $a$b >&4".to_owned(),
            Does::AnswersAtItsSocket => "read a <&3; echo got $a >&3".to_owned(),
            other => panic!("nobody has told how to start {other:?}"),
        };
        // Without a `PATH` the shell has its own.
        let command = process::Command::new("/bin/sh").arguments(["-c", &line, "sh"]);
        self.starts_processes.then_some(command)
    }

    fn exhaust(&self) -> Option<Box<dyn Any>> {
        if self.has_pipes || self.has_kept_ports {
            return None;
        }
        if std::env::var_os(ALONE).is_none() {
            run_alone(self.alone);
            return None;
        }
        let mut files = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            files.push(file);
        }
        files.pop();
        Some(Box::new(files))
    }
}

/// Runs one test in a process that may open few files.
fn run_alone(test: &str) {
    let program = std::env::current_exe().expect("this program has a path");
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""])
        .arg(program)
        .args(["--exact", test, "--test-threads=1", "--nocapture"])
        .env(ALONE, "close_peer_on_emfile")
        .output();
    let output = output.expect("there is a shell");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}
