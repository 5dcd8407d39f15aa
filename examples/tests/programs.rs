//! Runs every example on a virtual network and looks at what its peer sees, or at what it prints.

#![cfg(test)]

#[expect(dead_code, reason = "the tests have their own main")]
#[path = "../answer.rs"]
mod answer;
#[expect(dead_code, reason = "the tests have their own main")]
#[path = "../client_service.rs"]
mod client_service;
#[expect(dead_code, reason = "the tests have their own main")]
#[path = "../echo.rs"]
mod echo;
#[expect(dead_code, reason = "the tests have their own main")]
#[path = "../echo_client.rs"]
mod echo_client;
#[expect(dead_code, reason = "the tests have their own main")]
#[path = "../greeter.rs"]
mod greeter;
#[expect(dead_code, reason = "the tests have their own main")]
#[path = "../limited_echo.rs"]
mod limited_echo;
#[expect(dead_code, reason = "the tests have their own main")]
#[path = "../log_file.rs"]
mod log_file;
#[expect(dead_code, reason = "the tests have their own main")]
#[path = "../qotd.rs"]
mod qotd;
#[expect(dead_code, reason = "the tests have their own main")]
#[path = "../qotd_factory.rs"]
mod qotd_factory;
#[expect(dead_code, reason = "the tests have their own main")]
#[path = "../reconnecting_client.rs"]
mod reconnecting_client;
#[expect(dead_code, reason = "the tests have their own main")]
#[path = "../welcome.rs"]
mod welcome;

use std::{cell::RefCell, env, fs, process::Command};
use tress::{Limits, prelude::*, sim::World};

const SERVER: &str = "tcp:10.0.0.1:8007";

/// The other end of a connection: keeps what it receives. Clones are the same.
#[derive(Clone, Default)]
struct Peer(Rc<RefCell<Seen>>);

#[derive(Default)]
struct Seen {
    transport: Option<Transport>,
    received: Vec<u8>,
    closed: bool,
}

impl Protocol for Peer {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.0.borrow_mut().transport = Some(transport.clone());
        Ok(())
    }

    fn data_received(&mut self, _transport: &Transport, data: &[u8]) -> Result {
        self.0.borrow_mut().received.extend_from_slice(data);
        Ok(())
    }

    fn connection_lost(&mut self, _reason: Failure) {
        self.0.borrow_mut().closed = true;
    }
}

impl Peer {
    fn transport(&self) -> Transport {
        let transport = self.0.borrow().transport.clone();
        transport.expect("it is connected")
    }

    fn send(&self, text: &str) {
        self.transport().write(text.as_bytes());
    }

    /// What it has received since the last time.
    fn received(&self) -> String {
        let received = std::mem::take(&mut self.0.borrow_mut().received);
        String::from_utf8(received).unwrap()
    }

    fn is_closed(&self) -> bool {
        self.0.borrow().closed
    }
}

/// A program, and a reactor for its peers.
struct Network {
    world: World,
    server: Reactor,
    client: Reactor,
}

impl Network {
    fn new() -> Self {
        let world = World::new(1);
        let server = Reactor::with(world.host("10.0.0.1"));
        let client = Reactor::with(world.host("10.0.0.2"));
        Self {
            world,
            server,
            client,
        }
    }

    fn idle(&self) {
        let reactors = [&self.server, &self.client];
        self.world.run_until_idle(&reactors).unwrap();
    }

    fn pass(&self, time: Duration) {
        let reactors = [&self.server, &self.client];
        self.world.run_for(time, &reactors).unwrap();
    }

    /// One more connection to the program.
    fn connect(&self) -> Peer {
        let peer = Peer::default();
        self.client.connect_protocol(SERVER, peer.clone());
        peer
    }

    /// Somebody for the program to connect to.
    fn listen(&self, at: &str) -> Peer {
        let peer = Peer::default();
        let listener = peer.clone();
        self.server.listen(at, move || listener.clone()).unwrap();
        peer
    }
}

#[test]
fn echo_sends_back_what_it_gets() {
    let network = Network::new();
    network.server.listen("tcp:8007", || echo::Echo).unwrap();
    let peer = network.connect();
    network.idle();
    peer.send("hello");
    network.idle();
    assert_eq!(peer.received(), "hello");
    assert!(!peer.is_closed());
}

#[test]
fn qotd_says_its_sentence_and_closes() {
    let network = Network::new();
    network.server.listen("tcp:8007", || qotd::Qotd).unwrap();
    let peer = network.connect();
    network.idle();
    assert_eq!(peer.received(), "An apple a day keeps the doctor away\r\n");
    assert!(peer.is_closed());
}

#[test]
fn qotd_factory_says_the_quote_it_was_given() {
    let network = Network::new();
    let quote = "configurable quote".into();
    let factory = qotd_factory::QotdFactory { quote };
    network.server.listen("tcp:8007", factory).unwrap();
    for _ in 0..2 {
        let peer = network.connect();
        network.idle();
        assert_eq!(peer.received(), "configurable quote\r\n");
        assert!(peer.is_closed());
    }
}

#[test]
fn limited_echo_turns_away_the_hundred_and_first() {
    let network = Network::new();
    let factory = Sharing::new(Cell::new(0), limited_echo::Echo);
    network.server.listen("tcp:8007", factory).unwrap();
    let peers: Vec<Peer> = (0..100).map(|_| network.connect()).collect();
    network.idle();
    let check_refused = || {
        let refused = network.connect();
        network.idle();
        assert_eq!(refused.received(), "Too many connections, try later");
        assert!(refused.is_closed());
    };
    check_refused();
    check_refused();
    for peer in &peers {
        peer.send("hello");
    }
    network.idle();
    assert!(peers.iter().all(|peer| peer.received() == "hello"));

    peers[7].transport().lose_connection();
    network.idle();
    let welcome = network.connect();
    network.idle();
    welcome.send("hello");
    network.idle();
    assert_eq!(welcome.received(), "hello");
    check_refused();
}

#[test]
fn answer_knows_one_answer() {
    let network = Network::new();
    let serve = || Lines::new(answer::Answer);
    network.server.listen("tcp:8007", serve).unwrap();
    let peer = network.connect();
    network.idle();
    peer.send("How are you?\r\nWhat?\r\n");
    network.idle();
    assert_eq!(peer.received(), "Fine\r\nI don't know what you mean\r\n");
}

#[test]
fn log_file_appends_lines_while_it_listens() {
    let path = env::temp_dir().join(format!("tress-lines-{}.log", std::process::id()));
    fs::write(&path, "from before\n").unwrap();
    let network = Network::new();
    let nowhere = path.join("no directory");
    let factory = log_file::logfile_factory(nowhere);
    let failure = network.server.listen("tcp:8007", factory).unwrap_err();
    assert!(failure.check::<std::io::Error>().is_some());

    let factory = log_file::logfile_factory(path.clone());
    let port = network.server.listen("tcp:8007", factory).unwrap();
    let [one, other] = [network.connect(), network.connect()];
    network.idle();
    one.send("first\r\nsec");
    network.idle();
    other.send("in between\r\n");
    network.idle();
    one.send("ond\r\n");
    network.idle();
    let written = fs::read_to_string(&path).unwrap();
    assert_eq!(written, "from before\nfirst\nin between\nsecond\n");
    port.stop_listening();
    one.send("to the end\r\n");
    network.idle();
    let written = fs::read_to_string(&path).unwrap();
    assert!(written.ends_with("to the end\n"));
    fs::remove_file(&path).unwrap();
}

#[test]
fn welcome_says_hello_and_leaves() {
    let network = Network::new();
    let peer = network.listen("tcp:8007");
    let client = welcome::WelcomeMessage;
    network.client.connect_protocol(SERVER, client);
    network.idle();
    assert_eq!(peer.received(), "Hello server, I am the client!\r\n");
    assert!(peer.is_closed());
}

#[test]
fn greeter_says_hello_then_something_else_then_leaves() {
    let network = Network::new();
    let peer = network.listen("tcp:8007");
    let creator = ClientCreator::new(&network.client, || greeter::Greeter);
    let connected = creator.connect(SERVER);
    let greeting = async { greeter::got_protocol(connected.await?).await };
    let greeted = network.client.spawn(greeting);
    let half = Duration::from_millis(500);
    network.pass(half);
    assert_eq!(peer.received(), "MESSAGE Hello\n");
    network.pass(half + half);
    assert_eq!(peer.received(), "MESSAGE This is sent in a second\n");
    assert!(!peer.is_closed());
    network.pass(half + half);
    assert_eq!(peer.received(), "");
    assert!(peer.is_closed());
    assert!(matches!(greeted.try_result(), Ok(Ok(()))));
}

#[test]
fn echo_client_prints_how_its_connection_fares() {
    let expected = "Started to connect.\n\
        Connection failed. Reason: could not connect: connection refused\n\
        Started to connect.\n\
        Connected.\n\
        a line\n\
        Lost connection. Reason: connection was closed cleanly\n";
    check_output("echo_client", expected, || {
        let network = Network::new();
        let connect = || {
            let factory = echo_client::echo_client_factory();
            network.client.connect_client(SERVER, factory);
        };
        connect();
        network.idle();
        let peer = network.listen("tcp:8007");
        connect();
        network.idle();
        peer.send("a line\n");
        network.idle();
        peer.transport().lose_connection();
        network.idle();
    });
}

#[test]
fn reconnecting_client_comes_back() {
    let expected = "Started to connect.\n\
        Connection failed. Reason: could not connect: connection refused\n\
        Started to connect.\n\
        Connected.\n\
        one\n\
        Lost connection. Reason: connection was closed cleanly\n\
        Started to connect.\n\
        Connected.\n\
        two\n";
    check_output("reconnecting_client", expected, || {
        let network = Network::new();
        // Nobody sends anything for a while.
        network.server.set_limits({
            let mut limits = Limits::default();
            limits.idle = Duration::ZERO;
            limits
        });
        let factory = reconnecting_client::echo_client_factory();
        network.client.connect_client(SERVER, factory);
        network.pass(Duration::from_millis(100));
        let peer = network.listen("tcp:8007");
        network.pass(Duration::from_secs(5));
        peer.send("one\n");
        network.pass(Duration::from_secs(1));
        peer.transport().lose_connection();
        network.pass(Duration::from_secs(5));
        peer.send("two\n");
        network.pass(Duration::from_secs(1));
    });
}

#[test]
fn client_service_says_hello_whenever_there_is_somebody() {
    let network = Network::new();
    client_service::say_hello(&network.client, SERVER).unwrap();
    network.pass(Duration::from_secs(3));
    let peer = network.listen("tcp:8007");
    network.pass(Duration::from_secs(8));
    let heard = peer.received();
    assert!(heard.starts_with("hellohellohello"), "{heard}");
    peer.transport().lose_connection();
    network.pass(Duration::from_secs(5));
    assert_eq!(peer.received().get(..5), Some("hello"));
}

/// Runs `program` in a process of its own, which is this test again, and looks at its standard output.
#[track_caller]
fn check_output(name: &str, expected: &str, program: impl FnOnce()) {
    const MARK: &str = "TRESS_EXAMPLE";
    if env::var_os(MARK).is_some() {
        println!("BEGIN");
        program();
        println!("END");
        return;
    }
    let thread = std::thread::current();
    let test = thread.name().expect("libtest names its threads");
    let child = Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(MARK, name)
        .output()
        .unwrap();
    let output = String::from_utf8(child.stdout).unwrap();
    let (_, printed) = output.split_once("BEGIN\n").expect(&output);
    let (printed, _) = printed.split_once("END\n").expect(&output);
    assert_eq!(printed, expected);
}
