//! Real files and sockets, and this test program again as another process.

use super::*;
use crate::{Mio, sys};
use std::{
    cell::Cell,
    io::{BufRead, BufReader, Lines, Read, Write},
    os::unix::{
        fs::symlink,
        net::{UnixListener, UnixStream},
    },
    process::{self, Child, ChildStderr, ChildStdin, Command, Stdio},
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};
use tress_core::{
    Port, Protocol, Reactor, Result as CoreResult, Transport,
    driver::{Driver, Lease, Report, SocketOption, UnixOptions},
    error::{CannotListen, ConnectError},
    reactor::SharedPorts,
    testing::logged,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A directory that is gone after the test, with the path of a socket in it.
struct Directory {
    path: PathBuf,
    socket: PathBuf,
}

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tress-un-{}-{number}", process::id()));
        fs::create_dir_all(&path).unwrap();
        let socket = path.join("socket");
        Self { path, socket }
    }

    /// With a socket that nobody has any more.
    fn with_stale() -> Self {
        let directory = Self::new();
        leave_stale(&directory.socket);
        directory
    }

    /// An endpoint at the socket.
    fn at(&self, options: &str) -> String {
        format!("unix:{}{options}", self.socket.display())
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.path).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn mode(&self) -> u32 {
        mode_of(&self.socket)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).ok();
    }
}

fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Leaves a socket that nobody has. A process that another test starts just now has it, too, for a moment.
fn leave_stale(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
    let address = SockAddr::unix(path).unwrap();
    let start = Instant::now();
    let is_refused = || {
        let probe = new_socket(Type::DGRAM).unwrap().connect(&address);
        probe.unwrap_err().kind() == io::ErrorKind::ConnectionRefused
    };
    while !is_refused() {
        assert!(start.elapsed() < PATIENCE, "somebody has it");
        std::thread::yield_now();
    }
}

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> CoreResult {
        transport.write(data);
        Ok(())
    }
}

fn reactor() -> Reactor {
    Reactor::with(Mio::new().expect("epoll works"))
}

/// Turns the reactor until the condition holds.
#[track_caller]
fn until(reactor: &Reactor, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "it does not hold");
        reactor.turn(Some(Duration::from_millis(1))).unwrap();
    }
}

#[track_caller]
fn listen_at(reactor: &Reactor, at: &str) -> Port {
    reactor.listen(at, || Echo).expect("it can listen")
}

/// Why nobody can listen there. The path is named.
#[track_caller]
fn refusal(reactor: &Reactor, directory: &Directory, options: &str) -> String {
    let failed = reactor.listen(&directory.at(options), || Echo);
    let failure = failed.expect_err("nobody can listen there");
    let cannot = failure.check::<CannotListen>().expect("it is that error");
    assert_eq!(cannot.at, directory.socket.display().to_string());
    assert_eq!(cannot.error.kind(), io::ErrorKind::AddrInUse);
    cannot.error.to_string()
}

/// Shows that what listens at the path answers.
#[track_caller]
fn check_echo(reactor: &Reactor, path: &Path) {
    let mut client = UnixStream::connect(path).unwrap();
    client.set_nonblocking(true).unwrap();
    client.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    until(reactor, || {
        client.read(&mut answer).is_ok_and(|count| count == 5)
    });
    assert_eq!(&answer, b"hello");
}

#[test]
fn the_mode_is_exact_and_666_by_default() {
    let (reactor, directory) = (reactor(), Directory::new());
    for (options, mode) in [
        ("", 0o666),
        (":mode=600", 0o600),
        (":mode=777", 0o777),
        (":mode=0", 0),
        (":mode=002", 0o002),
    ] {
        let port = listen_at(&reactor, &directory.at(options));
        assert_eq!(directory.mode(), mode, "{options}");
        port.stop_listening();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn no_file_has_ever_more_rights_than_its_mode() {
    let directory = Directory::new();
    for mode in [0o600, 0o004, 0] {
        let socket = new_socket(Type::STREAM).unwrap();
        restrict(&socket, mode).unwrap();
        socket
            .bind(&SockAddr::unix(&directory.socket).unwrap())
            .unwrap();
        assert_eq!(directory.mode() & !mode, 0, "{mode:o}");
        fs::remove_file(&directory.socket).unwrap();
    }
}

#[test]
fn who_connects_before_it_listens_is_refused() {
    let directory = Directory::new();
    let socket = new_socket(Type::STREAM).unwrap();
    let address = SockAddr::unix(&directory.socket).unwrap();
    let held = lock(&directory.socket).unwrap();
    let mut file = bind(&socket, &address, &directory.socket, 0o666, held).unwrap();
    let refused = UnixStream::connect(&directory.socket).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    // But it is not taken for a stale one, even by who could take the lock.
    file.lock = None;
    let held = lock(&directory.socket).unwrap();
    let error = remove_stale(&directory.socket, &address, &held).unwrap_err();
    assert_eq!(error.to_string(), "a living process has a socket there");
    drop(held);
    drop(file);
    assert_eq!(directory.names(), [""; 0]);
}

#[test]
fn the_file_and_its_lock_are_gone_after_stop_listening() {
    let (reactor, directory) = (reactor(), Directory::new());
    let port = listen_at(&reactor, &directory.at(""));
    assert_eq!(directory.names(), ["socket", "socket.lock"]);
    check_echo(&reactor, &directory.socket);
    port.stop_listening();
    assert_eq!(directory.names(), [""; 0]);
    let port = listen_at(&reactor, &directory.at(":lockfile=0"));
    assert_eq!(directory.names(), ["socket"]);
    check_echo(&reactor, &directory.socket);
    port.stop_listening();
    assert_eq!(directory.names(), [""; 0]);
}

#[test]
fn the_file_is_gone_after_the_reactor() {
    let (reactor, directory) = (reactor(), Directory::new());
    listen_at(&reactor, &directory.at(""));
    drop(reactor);
    assert_eq!(directory.names(), [""; 0]);
}

#[test]
fn the_file_of_another_is_left() {
    for lock in [":lockfile=0", ""] {
        let (reactor, directory) = (reactor(), Directory::new());
        let port = listen_at(&reactor, &directory.at(lock));
        fs::remove_file(&directory.socket).unwrap();
        leave_stale(&directory.socket);
        let logged = logged(|| port.stop_listening());
        assert_eq!(directory.names(), ["socket"]);
        assert!(format!("{logged:?}").contains("another file by now"));
    }
}

#[test]
fn a_file_that_somebody_removed_is_no_trouble() {
    let (reactor, directory) = (reactor(), Directory::new());
    let port = listen_at(&reactor, &directory.at(""));
    fs::remove_file(&directory.socket).unwrap();
    drop(logged(|| port.stop_listening()));
    assert_eq!(directory.names(), [""; 0]);
}

#[test]
fn a_stale_socket_is_replaced() {
    for options in ["", ":lockfile=0"] {
        let (reactor, directory) = (reactor(), Directory::with_stale());
        let port = listen_at(&reactor, &directory.at(options));
        check_echo(&reactor, &directory.socket);
        port.stop_listening();
        assert_eq!(directory.names(), [""; 0]);
    }
}

#[test]
fn a_socket_in_use_is_not_replaced_and_its_server_hears_of_nobody() {
    let (reactor, directory) = (reactor(), Directory::new());
    let server = UnixListener::bind(&directory.socket).unwrap();
    server.set_nonblocking(true).unwrap();
    for options in ["", ":lockfile=0"] {
        let refusal = refusal(&reactor, &directory, options);
        assert_eq!(refusal, "a living process has a socket there");
    }
    assert_eq!(directory.names(), ["socket"]);
    let nobody = server.accept().unwrap_err();
    assert_eq!(nobody.kind(), io::ErrorKind::WouldBlock);
    UnixStream::connect(&directory.socket).unwrap();
    server.accept().unwrap();
}

#[test]
fn a_socket_of_another_type_in_use_is_not_replaced() {
    let (reactor, directory) = (reactor(), Directory::new());
    let _datagrams = std::os::unix::net::UnixDatagram::bind(&directory.socket).unwrap();
    let refusal = refusal(&reactor, &directory, "");
    assert_eq!(refusal, "a datagram socket is there");
}

#[test]
fn what_is_no_socket_is_never_removed() {
    let reactor = reactor();
    let make: [fn(&Path); 4] = [
        |path| fs::write(path, "text").unwrap(),
        |path| fs::create_dir(path).unwrap(),
        |path| symlink("nowhere", path).unwrap(),
        |path| {
            let other = path.with_file_name("other");
            leave_stale(&other);
            symlink(other, path).unwrap();
        },
    ];
    for make in make {
        let directory = Directory::new();
        make(&directory.socket);
        let before = directory.names();
        for options in ["", ":lockfile=0"] {
            let refusal = refusal(&reactor, &directory, options);
            assert!(refusal.contains("no socket"), "{refusal}");
            assert_eq!(directory.names(), before);
        }
    }
}

#[test]
fn a_lock_of_a_living_process_keeps_others_out() {
    let (reactor, directory) = (reactor(), Directory::with_stale());
    symlink("1", directory.path.join("socket.lock")).unwrap();
    for options in ["", ":lockfile=0"] {
        let refusal = refusal(&reactor, &directory, options);
        assert!(refusal.contains("holds its lock file"), "{refusal}");
        assert!(refusal.ends_with("/socket.lock"), "{refusal}");
    }
    assert_eq!(directory.names(), ["socket", "socket.lock"]);
}

#[test]
fn a_lock_file_that_is_none_is_told() {
    let (reactor, directory) = (reactor(), Directory::new());
    fs::write(directory.path.join("socket.lock"), "text").unwrap();
    let failed = reactor.listen(&directory.at(""), || Echo);
    let failure = failed.expect_err("it has no lock");
    let cannot = failure.check::<CannotListen>().unwrap();
    assert!(
        cannot.error.to_string().contains("no symbolic link"),
        "{cannot:?}"
    );
    assert_eq!(directory.names(), ["socket.lock"]);
}

#[test]
fn a_name_of_108_bytes_is_refused_and_one_of_107_is_not() {
    let directory = Directory::new();
    let fill = 107 - directory.path.as_os_str().len() - 1;
    let longest = directory.path.join("x".repeat(fill));
    let too_long = directory.path.join("x".repeat(fill + 1));
    let mut driver = Mio::new().unwrap();
    let mut listen = |path: &Path| {
        let address = Address::Unix(UnixName::Path(path.into()));
        driver.listen(&address, &ListenOptions::default())
    };
    let error = listen(&too_long).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("has 108 bytes; the limit is 107")
    );
    let (_, address) = listen(&longest).unwrap();
    assert_eq!(address.to_string(), longest.display().to_string());
}

#[test]
fn nobody_listens_at_or_connects_to_an_unnamed_socket() {
    let mut driver = Mio::new().unwrap();
    let unnamed = Address::Unix(UnixName::Unnamed);
    let listening = driver.listen(&unnamed, &ListenOptions::default());
    assert_eq!(listening.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    let connecting = driver.connect(&unnamed, &ConnectOptions::default());
    assert_eq!(connecting.unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn the_path_is_known_although_the_working_directory_changes() {
    // Not changed here, where other tests run: what is kept is absolute.
    let name = format!("tress-relative-{}", process::id());
    let options = ListenOptions::default();
    let (socket, file) = listen(&UnixName::Path(Path::new(&name).into()), &options).unwrap();
    let file = file.unwrap();
    assert!(file.path.is_absolute() && file.path.exists());
    drop(file);
    drop(socket);
    assert!(!Path::new(&name).exists());
    assert!(!Path::new(&format!("{name}.lock")).exists());
}

/// What a server and its client know of each other: the port's address, the accepted peer's, the local ones of the
/// accepted and of the connecting one, and the connecting one's peer.
fn addresses(at: &str) -> [Address; 5] {
    struct Tells(Rc<Cell<Option<Address>>>, Rc<Cell<Option<Address>>>);

    impl Protocol for Tells {
        fn connection_made(&mut self, transport: &Transport) -> CoreResult {
            self.0.set(Some(transport.host()));
            self.1.set(Some(transport.peer()));
            Ok(())
        }
    }

    let reactor = reactor();
    let place = || Rc::new(Cell::new(None));
    let [host, peer, client_host, client_peer] = [place(), place(), place(), place()];
    let (told_host, told_peer) = (Rc::clone(&host), Rc::clone(&peer));
    let factory = move || Tells(Rc::clone(&told_host), Rc::clone(&told_peer));
    let port = reactor.listen(at, factory).unwrap();
    let client = Tells(Rc::clone(&client_host), Rc::clone(&client_peer));
    reactor.connect_protocol(at, client).detach();
    let mut found = [const { None }; 4];
    until(&reactor, || {
        for (place, found) in [&host, &peer, &client_host, &client_peer]
            .iter()
            .zip(&mut found)
        {
            *found = found.take().or_else(|| place.take());
        }
        found.iter().all(Option::is_some)
    });
    let [host, peer, client_host, client_peer] = found.map(Option::unwrap);
    let address = port.local_address().clone();
    [address, peer, host, client_host, client_peer]
}

#[test]
fn a_peer_that_was_accepted_is_unnamed() {
    let directory = Directory::new();
    let named = Address::Unix(UnixName::Path((*directory.socket).into()));
    let unnamed = Address::Unix(UnixName::Unnamed);
    let [port, peer, host, client_host, client_peer] = addresses(&directory.at(""));
    assert_eq!((&port, &host, &client_peer), (&named, &named, &named));
    assert_eq!((&peer, &client_host), (&unnamed, &unnamed));
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_name_has_no_file() {
    let name = format!("tress-abstract-{}", process::id());
    let named = Address::Unix(UnixName::Abstract(name.as_bytes().into()));
    let [port, peer, host, ..] = addresses(&format!("unix:@{name}"));
    assert_eq!((&port, &host), (&named, &named));
    assert_eq!(peer, Address::Unix(UnixName::Unnamed));
    assert!(!Path::new(&name).exists());
    assert!(!Path::new(&format!("@{name}")).exists());
}

/// What connecting to the endpoint comes to.
#[track_caller]
fn connecting(reactor: &Reactor, to: &str) -> String {
    let told = Rc::new(Cell::new(None));
    let tell = Rc::clone(&told);
    reactor.connect(to, || Echo).add_both(move |result| {
        tell.set(Some(match result {
            Ok(_) => "ok".to_owned(),
            Err(failure) => match failure.check::<ConnectError>() {
                Some(ConnectError(error)) => error.to_string(),
                None => failure.to_string(),
            },
        }));
    });
    let mut what = None;
    until(reactor, || {
        what = told.take();
        what.is_some()
    });
    what.unwrap()
}

#[test]
fn a_client_may_ask_for_the_lock_file() {
    let (reactor, directory) = (reactor(), Directory::new());
    let port = listen_at(&reactor, &directory.at(":lockfile=0"));
    assert_eq!(connecting(&reactor, &directory.at("")), "ok");
    let refused = connecting(&reactor, &directory.at(":lockfile=1"));
    assert!(
        refused.starts_with("no living process holds its lock file"),
        "{refused}"
    );
    port.stop_listening();
    let _port = listen_at(&reactor, &directory.at(":lockfile=1"));
    assert_eq!(connecting(&reactor, &directory.at(":lockfile=1")), "ok");
    assert_eq!(directory.names(), ["socket", "socket.lock"]);
}

#[test]
fn a_unix_socket_takes_the_options_of_a_connection() {
    let (reactor, directory) = (reactor(), Directory::new());
    let port = listen_at(&reactor, &directory.at(""));
    let mut driver = Mio::new().unwrap();
    let conn = driver.connect(port.local_address(), &ConnectOptions::default());
    let conn = conn.unwrap();
    driver.wait(None).unwrap();
    let report = driver.next(&mut Lease::default());
    assert!(
        matches!(report, Some(Report::Connected { .. })),
        "{report:?}"
    );
    for option in [
        SocketOption::NoDelay(true),
        SocketOption::NoDelay(false),
        SocketOption::KeepAlive(true),
    ] {
        driver.set_option(conn, option).expect("it does not matter");
    }
}

#[test]
fn a_full_backlog_is_told() {
    let (reactor, directory) = (reactor(), Directory::new());
    let address = SockAddr::unix(&directory.socket).unwrap();
    let server = new_socket(Type::STREAM).unwrap();
    server.bind(&address).unwrap();
    server.listen(0).unwrap();
    let _first = UnixStream::connect(&directory.socket).unwrap();
    let refused = connecting(&reactor, &directory.at(""));
    assert!(
        refused.ends_with("has as many connections waiting as it may (its backlog)"),
        "{refused}"
    );
}

/// Set to an endpoint in the other process, which listens there when it is told to.
const OTHER: &str = "TRESS_UNIX_OTHER";

#[test]
fn the_other_process() {
    let Ok(at) = std::env::var(OTHER) else { return };
    let reactor = reactor();
    let mut port = None;
    for line in io::stdin().lines() {
        let line = line.unwrap();
        let answer = match line.split_once(' ') {
            Some(("listen", at_time)) => {
                let at_time = at_time.parse().unwrap();
                while sys::monotonic() < at_time {
                    std::hint::spin_loop();
                }
                match reactor.listen(&at, || Echo) {
                    Ok(listening) => {
                        port = Some(listening);
                        "listens".to_owned()
                    }
                    Err(failure) => match failure.check::<CannotListen>() {
                        Some(cannot) => cannot.error.to_string(),
                        None => failure.to_string(),
                    },
                }
            }
            _ => {
                if let Some(port) = port.take() {
                    port.stop_listening();
                }
                "stopped".to_owned()
            }
        };
        writeln!(io::stderr(), "{answer}").unwrap();
    }
}

/// Another process; killed when the test ends.
struct Other {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStderr>>,
}

impl Other {
    fn new(at: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let test = "unix::tests::the_other_process";
        command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
        command.env(OTHER, at);
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stderr.take().unwrap()).lines(),
            child,
        }
    }

    fn tell(&mut self, line: &str) {
        self.input
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    #[track_caller]
    fn answer(&mut self) -> String {
        self.output.next().expect("it answers").unwrap()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The id of a process that is no more.
fn dead_process() -> String {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id().to_string()
}

#[test]
fn of_two_processes_exactly_one_gets_a_stale_socket() {
    // The last: whoever left the socket left its lock, too.
    for (options, dead) in [
        (":lockfile=0", None),
        ("", None),
        ("", Some(dead_process())),
    ] {
        let directory = Directory::new();
        let mut both = [0, 1].map(|_| Other::new(&directory.at(options)));
        for round in 0..50 {
            leave_stale(&directory.socket);
            if let Some(dead) = &dead {
                symlink(dead, directory.path.join("socket.lock")).unwrap();
            }
            // Both are awake by then, and begin in the same microsecond.
            let together = sys::monotonic() + 300_000;
            both.iter_mut()
                .for_each(|other| other.tell(&format!("listen {together}")));
            let answers = both.each_mut().map(Other::answer);
            let winners = answers.iter().filter(|answer| *answer == "listens");
            assert_eq!(winners.count(), 1, "round {round}: {answers:?}");
            UnixStream::connect(&directory.socket).expect("the winner listens");
            for other in &mut both {
                other.tell("stop");
                assert_eq!(other.answer(), "stopped");
            }
            assert_eq!(directory.names(), [""; 0]);
        }
    }
}

#[test]
fn what_a_killed_process_left_is_replaced() {
    for options in [":lockfile=0", ""] {
        let (reactor, directory) = (reactor(), Directory::new());
        let mut other = Other::new(&directory.at(options));
        other.tell("listen 0");
        assert_eq!(other.answer(), "listens");
        let refusal = refusal(&reactor, &directory, "");
        assert!(refusal.starts_with("a living process"), "{refusal}");
        other.kill();
        listen_at(&reactor, &directory.at(options));
        check_echo(&reactor, &directory.socket);
    }
}

#[test]
fn options_are_twisteds_by_default() {
    let defaults = UnixOptions::default();
    assert_eq!((defaults.mode, defaults.lock_file), (0o666, true));
}

/// Two reactors stand for two processes: the one that listened first ends, and what it left is the other's.
#[test]
fn a_file_is_left_to_who_goes_on() {
    let directory = Directory::new();
    let at = directory.at(":mode=600");
    let (old, new) = (reactor(), reactor());
    let port = listen_at(&old, &at);
    let copies = old.copy_ports().unwrap().into_inner();
    assert_eq!(copies.len(), 1);
    assert_eq!(copies[0].0, directory.socket.display().to_string());
    new.borrow_ports(SharedPorts::inherited(copies));
    let other = listen_at(&new, &directory.at(":mode=660"));
    new.return_ports();
    check_echo(&new, &directory.socket);
    old.leave_files();
    port.stop_listening();
    assert_eq!(directory.names(), ["socket", "socket.lock"]);
    assert_eq!(directory.mode(), 0o600);
    new.take_files(process::id());
    assert_eq!(directory.mode(), 0o660);
    check_echo(&new, &directory.socket);
    other.stop_listening();
    assert!(directory.names().is_empty());
}

/// What is not left is the old one's still, and what has not been taken is not removed.
#[test]
fn a_file_that_was_not_left_is_not_taken() {
    let directory = Directory::new();
    let (old, new) = (reactor(), reactor());
    let port = listen_at(&old, &directory.at(""));
    let copies = old.copy_ports().unwrap().into_inner();
    new.borrow_ports(SharedPorts::inherited(copies));
    let other = listen_at(&new, &directory.at(""));
    let lines = logged(|| new.take_files(process::id() + 1));
    assert!(
        lines[0].contains("another process holds its lock file"),
        "{lines:?}"
    );
    other.stop_listening();
    assert_eq!(directory.names(), ["socket", "socket.lock"]);
    check_echo(&old, &directory.socket);
    port.stop_listening();
    assert!(directory.names().is_empty());
}

/// Several at one endpoint are passed on in the order in which they were opened, and each once.
#[test]
fn copies_come_in_order() {
    let (old, new) = (reactor(), reactor());
    let at = "tcp:0:interface=127.0.0.1";
    let ports: Vec<Port> = (0..5).map(|_| listen_at(&old, at)).collect();
    ports[1].stop_listening();
    let ports = [
        &ports[0],
        &ports[2],
        &ports[3],
        &ports[4],
        &listen_at(&old, at),
    ]
    .map(Port::clone);
    new.borrow_ports(SharedPorts::inherited(
        old.copy_ports().unwrap().into_inner(),
    ));
    for port in &ports {
        assert_eq!(listen_at(&new, at).local_address(), port.local_address());
    }
    let fresh = listen_at(&new, at);
    assert!(
        ports
            .iter()
            .all(|port| port.local_address() != fresh.local_address())
    );
}
