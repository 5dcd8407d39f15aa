//! Logins over AMP, JSON-RPC lines and lines for people: one list of behaviours, and each protocol's words for them.

use std::{cell::RefCell, fmt::Write, rc::Rc, time::Duration};
use tress_core::{
    Address, Deferred, Factory, Failure, Protocol, Reactor, Resolver, Result, Transport,
    testing::{
        logged,
        memory::{Table, Tester},
    },
};
use tress_rpc::{
    CallContext, ExposureLimits, Object, Unsayable, Value,
    amp::{AmpClient, AmpFactory},
    cred::{Anonymous, Avatar, Checker, Credentials, Memory, Portal, Realm, Session, Sort, Tokens},
    interface,
    jsonrpc::{JsonRpcClient, JsonRpcLines},
    line::LineFactory,
};

/// Knows its callers.
#[interface(crate = "tress_rpc")]
trait Hall {
    /// Who calls.
    async fn who(&self, context: CallContext) -> Result<String>;
}

struct Plain;

impl Hall for Plain {
    async fn who(&self, context: CallContext) -> Result<String> {
        Ok(context.avatar.as_deref().unwrap_or("nobody").to_owned())
    }
}

fn hall() -> Object {
    <dyn DynHall>::object(Rc::new(Plain))
}

/// What is said in a protocol.
struct Words {
    name: &'static str,
    serve: fn(Option<Portal>, ExposureLimits) -> Any,
    login: fn(&[&str]) -> Vec<u8>,
    who: fn() -> Vec<u8>,
    /// The answers to these: to a login, to a call, and a fault.
    welcome: fn() -> Vec<u8>,
    is: fn(&str) -> Vec<u8>,
    refused: fn(&str, &str) -> Vec<u8>,
}

const PROTOCOLS: [Words; 3] = [
    Words {
        name: "amp",
        serve: |portal, limits| {
            let factory = AmpFactory::new(&hall(), limits).expect("it can be said");
            any(match portal {
                Some(portal) => factory.portal(portal).expect("it has no Login"),
                None => factory,
            })
        },
        login: |words| {
            let names: &[&str] = match words.len() {
                1 => &["token"],
                _ => &["username", "password", "more"],
            };
            let pairs = names.iter().copied().zip(words.iter().copied());
            boxed(
                [("_ask", "1"), ("_command", "Login")]
                    .into_iter()
                    .chain(pairs),
            )
        },
        who: || boxed([("_ask", "1"), ("_command", "who")]),
        welcome: || boxed([("_answer", "1")]),
        is: |who| boxed([("_answer", "1"), ("result", who)]),
        refused: |code, message| {
            boxed([
                ("_error", "1"),
                ("_error_code", code),
                ("_error_description", message),
            ])
        },
    },
    Words {
        name: "jsonrpc-lines",
        serve: |portal, limits| {
            let factory = JsonRpcLines::new(&hall(), limits);
            any(match portal {
                Some(portal) => factory.portal(portal),
                None => factory,
            })
        },
        login: |words| {
            let words = serde_json::to_string(words).expect("they are texts");
            let request =
                format!(r#"{{"jsonrpc":"2.0","method":"rpc.login","params":{words},"id":1}}"#);
            format!("{request}\n").into_bytes()
        },
        who: || {
            br#"{"jsonrpc":"2.0","method":"who","id":1}"#.iter().copied().chain([b'\n']).collect()
        },
        welcome: || b"{\"jsonrpc\":\"2.0\",\"result\":null,\"id\":1}\n".to_vec(),
        is: |who| format!("{{\"jsonrpc\":\"2.0\",\"result\":\"{who}\",\"id\":1}}\n").into_bytes(),
        refused: |code, message| {
            let number = match code {
                "bad-arguments" => -32602,
                "unknown-method" => -32601,
                _ => -32000,
            };
            let error =
                format!(r#"{{"code":{number},"message":"{message}","data":{{"code":"{code}"}}}}"#);
            format!("{{\"jsonrpc\":\"2.0\",\"error\":{error},\"id\":1}}\n").into_bytes()
        },
    },
    Words {
        name: "lines",
        serve: |portal, limits| {
            let factory = LineFactory::new(&hall(), limits).expect("it can be said");
            any(match portal {
                Some(portal) => factory.portal(portal).expect("it has no login"),
                None => factory,
            })
        },
        login: |words| {
            let mut line = "login".to_owned();
            for word in words {
                write!(line, " \"{word}\"").expect("it is a text");
            }
            (line + "\r\n").into_bytes()
        },
        who: || b"who\r\n".to_vec(),
        welcome: || b"ok\r\n\r\n".to_vec(),
        is: |who| format!("{who}\r\n\r\n").into_bytes(),
        refused: |code, message| format!("! {code}: {message}\r\n\r\n").into_bytes(),
    },
];

fn boxed<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut out = Vec::new();
    for part in pairs.into_iter().flat_map(|(key, value)| [key, value]) {
        let length = u16::try_from(part.len()).expect("it is short");
        out.extend(length.to_be_bytes());
        out.extend(part.as_bytes());
    }
    out.extend([0, 0]);
    out
}

/// Whatever protocol a factory makes.
struct Any(Box<dyn Protocol>);

fn any(mut factory: impl Factory) -> Any {
    let protocol = factory.build_protocol(&Address::Unknown);
    Any(Box::new(protocol.expect("it takes everybody")))
}

impl Protocol for Any {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.0.connection_made(transport)
    }
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        self.0.data_received(transport, data)
    }
    fn read_closed(&mut self, transport: &Transport) -> Result {
        self.0.read_closed(transport)
    }
    fn reading_resumed(&mut self, transport: &Transport) -> Result {
        self.0.reading_resumed(transport)
    }
    fn connection_lost(&mut self, reason: Failure) {
        self.0.connection_lost(reason);
    }
}

/// A server and a peer whom a test plays.
struct Site {
    words: &'static Words,
    tester: Tester<Any>,
}

impl Site {
    fn new(words: &'static Words, portal: Option<Portal>) -> Self {
        let protocol = (words.serve)(portal, ExposureLimits::default());
        let tester = Tester::on(&Table::new(), protocol);
        Self { words, tester }
    }

    fn login(&self, words: &[&str]) -> &Self {
        self.tester.receive(&(self.words.login)(words));
        self
    }

    fn who(&self) -> &Self {
        self.tester.receive(&(self.words.who)());
        self
    }

    fn passes(&self, time: Duration) -> &Self {
        self.tester.advance(time);
        self
    }

    #[track_caller]
    fn hears(&self, expect: &[u8]) -> &Self {
        let (sent, expect) = (self.tester.sent(), expect.escape_ascii().to_string());
        assert_eq!(
            sent.escape_ascii().to_string(),
            expect,
            "{}",
            self.words.name
        );
        self
    }

    #[track_caller]
    fn welcome(&self) -> &Self {
        self.hears(&(self.words.welcome)())
    }

    #[track_caller]
    fn is(&self, who: &str) -> &Self {
        self.hears(&(self.words.is)(who))
    }

    #[track_caller]
    fn refused(&self, code: &str, message: &str) -> &Self {
        self.hears(&(self.words.refused)(code, message))
    }

    #[track_caller]
    fn unauthorized(&self) -> &Self {
        self.refused("unauthorized", "log in first")
    }
}

/// Bob has the password `pw w`, and a robot the token `t`.
fn checkers() -> Vec<Rc<dyn Checker>> {
    vec![
        Rc::new(Memory::new([("bob".to_owned(), "pw w".to_owned())])),
        Rc::new(Tokens::new([("t".to_owned(), "robot".to_owned())])),
    ]
}

fn portal() -> Option<Portal> {
    Some(Portal::new(checkers()))
}

const WRONG: &str = "no user with these credentials";
const SECOND: Duration = Duration::from_secs(1);

fn everywhere(check: impl Fn(&'static Words)) {
    for words in const { &PROTOCOLS } {
        check(words);
    }
}

#[test]
fn callers_log_in_and_call() {
    everywhere(|words| {
        Site::new(words, portal()).who().unauthorized();
        let site = Site::new(words, portal());
        site.login(&["bob", "pw w"]).welcome().who().is("bob");
        site.login(&["bob", "pw w"])
            .refused("unauthorized", "somebody has logged in before");
        site.who().is("bob");
        Site::new(words, portal())
            .login(&["t"])
            .welcome()
            .who()
            .is("robot");
    });
}

#[test]
fn without_a_portal_there_are_no_logins() {
    everywhere(|words| {
        let site = Site::new(words, None);
        site.who().is("nobody").login(&["bob", "pw w"]);
        let said = site.tester.sent();
        let said = String::from_utf8_lossy(&said);
        assert!(
            said.contains("UNHANDLED") || said.contains("unknown-method"),
            "{said}"
        );
        site.who().is("nobody");
    });
}

#[test]
fn some_may_call_without_a_name() {
    everywhere(|words| {
        let mut checkers = checkers();
        checkers.push(Rc::new(Anonymous));
        let site = Site::new(words, Some(Portal::new(checkers)));
        for _ in 0..2 {
            site.who().is("nobody").passes(50 * SECOND);
        }
        site.login(&["bob", "no"])
            .hears(b"")
            .passes(SECOND)
            .refused("unauthorized", WRONG);
        site.who()
            .is("nobody")
            .login(&["bob", "pw w"])
            .welcome()
            .who()
            .is("bob");
    });
}

#[test]
fn a_wrong_login_is_said_late_and_the_third_closes() {
    everywhere(|words| {
        let site = Site::new(words, portal());
        for round in 1..=3 {
            site.login(&["bob", "pw"]).hears(b"");
            // What comes meanwhile waits.
            site.who()
                .passes(SECOND - Duration::from_millis(1))
                .hears(b"");
            site.passes(Duration::from_millis(1));
            let wrong = (words.refused)("unauthorized", WRONG);
            let first = (words.refused)("unauthorized", "log in first");
            let both = [wrong.clone(), first].concat();
            site.hears(if round < 3 { &both } else { &wrong });
            assert_eq!(site.tester.is_closed(), round == 3, "{}", words.name);
        }
    });
}

#[test]
fn calls_may_follow_a_login_without_waiting() {
    everywhere(|words| {
        let all = [
            (words.login)(&["bob", "pw w"]),
            (words.who)(),
            (words.who)(),
        ]
        .concat();
        let expect = [(words.welcome)(), (words.is)("bob"), (words.is)("bob")].concat();
        Site::new(words, portal()).tester.receive(&all);
        for every in 1..20 {
            let site = Site::new(words, portal());
            site.tester.receive_cut(&all, every);
            site.tester.peer_closes_write();
            site.hears(&expect);
            assert!(site.tester.is_closed(), "{}", words.name);
        }
        let slow = Slow::default();
        let site = Site::new(words, Some(Portal::new([Rc::new(slow.clone()) as _])));
        site.tester.receive(&all);
        site.tester.peer_closes_write();
        site.hears(b"");
        slow.decide(Ok(Some("bob".into())));
        site.tester.settle();
        site.hears(&expect);
        assert!(site.tester.is_closed(), "{}", words.name);
    });
}

#[test]
fn who_does_not_log_in_is_cut_off() {
    everywhere(|words| {
        let site = Site::new(words, portal());
        site.passes(59 * SECOND).who().unauthorized();
        assert!(!site.tester.is_closed());
        site.passes(SECOND);
        assert!(site.tester.is_closed(), "{}", words.name);
        let site = Site::new(words, portal());
        for _ in 0..20 {
            site.login(&["bob", "pw w"]).who().passes(5 * SECOND);
        }
        assert!(!site.tester.is_closed(), "{}", words.name);
    });
}

#[test]
fn what_is_no_login_is_said_at_once_and_not_counted() {
    everywhere(|words| {
        let site = Site::new(words, portal());
        for _ in 0..9 {
            site.login(&["bob", "pw w", "more"]);
            let said = site.tester.sent();
            let said = String::from_utf8_lossy(&said);
            assert!(
                said.contains("bad-arguments") && !said.contains("pw w"),
                "{said}"
            );
        }
        site.login(&["bob", "pw w"]).welcome();
    });
}

/// Decides when it is told to.
#[derive(Clone, Default)]
struct Slow {
    waiting: Rc<RefCell<Vec<Resolver<Avatar>>>>,
    cancelled: Rc<RefCell<usize>>,
}

impl Slow {
    fn decide(&self, avatar: Result<Avatar>) {
        let waiting = self.waiting.borrow_mut().pop();
        waiting.expect("somebody waits").fire(avatar);
    }
}

impl Checker for Slow {
    fn sorts(&self) -> &[Sort] {
        &[Sort::Password, Sort::Token]
    }

    fn check(&self, _: &Reactor, _: &Credentials) -> Deferred<Avatar> {
        let cancelled = Rc::clone(&self.cancelled);
        let (resolver, decided) = Deferred::with_canceller(move || *cancelled.borrow_mut() += 1);
        self.waiting.borrow_mut().push(resolver);
        decided
    }
}

#[test]
fn a_login_ends_with_its_deadline_or_its_connection() {
    everywhere(|words| {
        let slow = Slow::default();
        let portal = || Some(Portal::new([Rc::new(slow.clone()) as _]));
        let site = Site::new(words, portal());
        site.login(&["t"]).passes(30 * SECOND).hears(b"");
        assert_eq!(*slow.cancelled.borrow(), 1, "{}", words.name);
        site.passes(SECOND)
            .refused("deadline", "nobody decided in time");
        site.login(&["t"]);
        site.tester.peer_resets();
        assert_eq!(*slow.cancelled.borrow(), 2, "{}", words.name);
        // Also while a wrong one is kept back.
        let site = Site::new(words, portal());
        site.login(&["t"]);
        slow.decide(Err(Failure::msg("the disk is broken")));
        site.tester.settle();
        let log = logged(|| {
            site.hears(b"").tester.peer_resets();
            site.passes(9 * SECOND).hears(b"");
        });
        assert!(log.is_empty(), "{log:?}");
        // What is wrong with us is none of the caller's business.
        let site = Site::new(words, portal());
        site.login(&["t"]);
        slow.decide(Err(Failure::msg("the disk is broken")));
        site.tester.settle();
        site.passes(SECOND);
        let said = site.tester.sent();
        let said = String::from_utf8_lossy(&said);
        assert!(!said.is_empty() && !said.contains("disk"), "{said}");
    });
}

#[test]
fn logs_name_who_fails_and_no_secret() {
    everywhere(|words| {
        let log = logged(|| {
            let site = Site::new(words, portal());
            site.login(&["eve", "s3cret"]).passes(SECOND);
            site.login(&["tok3n"]).passes(SECOND);
            site.login(&["bob", "pw w", "more"]);
            site.login(&["bob", "pw w"]).who();
        });
        let expect = [
            "INFO 192.0.2.1:1: login 1 as `eve` failed",
            "INFO 192.0.2.1:1: login 2 as a token failed",
            "DEBUG 192.0.2.1:1 has logged in as `bob`",
        ];
        assert_eq!(log, expect, "{}", words.name);
    });
}

#[test]
fn our_clients_log_in() {
    let table = Table::new();
    let reactor = table.reactor();
    let context = CallContext::local(reactor);
    let serve = |port: u16, words: &'static Words| {
        let factory = || (words.serve)(portal(), ExposureLimits::default());
        let listening = reactor.listen(&format!("tcp:{port}"), factory);
        listening.expect("it is free");
        format!("tcp:192.0.2.2:{port}")
    };
    let bob = || Credentials::Password {
        user: "bob".into(),
        password: "pw w".into(),
    };
    let end = |login: Deferred<()>| {
        table.settle();
        table.advance(SECOND);
        match login.try_result() {
            Ok(Ok(())) => "in".to_owned(),
            Ok(Err(failure)) => failure.to_string(),
            Err(_) => "nothing".to_owned(),
        }
    };
    let descriptor = hall().descriptor();
    let amp = AmpClient::new(descriptor, ExposureLimits::default()).expect("it can be said");
    let json = JsonRpcClient::new(descriptor, ExposureLimits::default());
    reactor
        .connect_protocol(&serve(1, const { &PROTOCOLS[0] }), amp.protocol())
        .detach();
    reactor
        .connect_protocol(&serve(2, const { &PROTOCOLS[1] }), json.protocol())
        .detach();
    table.settle();
    let token = || Credentials::Token("x".into());
    let wrong = format!("unauthorized: {WRONG}");
    assert_eq!(end(amp.login(&context, token())), wrong);
    assert_eq!(end(json.login(&context, token())), wrong);
    let neither = "bad-arguments: expected a password or a token";
    assert_eq!(end(amp.login(&context, Credentials::Anonymous)), neither);
    assert_eq!(end(amp.login(&context, bob())), "in");
    assert_eq!(end(json.login(&context, bob())), "in");
    for client in [tress_rpc::Client::new(amp), tress_rpc::Client::new(json)] {
        let who = client.call::<Value>(&context, "who", tress_rpc::Arguments::default());
        table.settle();
        let who = who
            .try_result()
            .expect("it is there")
            .expect("it is let in");
        assert_eq!(who, Value::from("bob"));
    }
}

/// Gives each a hall of their own.
#[derive(Default)]
struct Palace(Rc<RefCell<Vec<String>>>);

struct Own(String);

impl Hall for Own {
    async fn who(&self, context: CallContext) -> Result<String> {
        let who = context.avatar.as_deref().unwrap_or("nobody").to_owned();
        Ok(format!("{who} of {}", self.0))
    }
}

impl Realm for Palace {
    fn request_avatar(&self, _: &Reactor, avatar: Avatar, _: &Object) -> Deferred<Session> {
        let name = avatar.as_deref().unwrap_or("all").to_owned();
        let hall = <dyn DynHall>::object(Rc::new(Own(name.clone())));
        let gone = Rc::clone(&self.0);
        let session = Session::new(avatar, &hall);
        Deferred::succeed(session.on_logout(move || gone.borrow_mut().push(name)))
    }
}

#[test]
fn each_calls_what_the_realm_gives_them_until_they_go() {
    everywhere(|words| {
        let palace = Rc::<Palace>::default();
        let gone = Rc::clone(&palace.0);
        let mut checkers = checkers();
        checkers.push(Rc::new(Anonymous));
        let portal = Portal::new(checkers).with_realm(palace);
        let site = Site::new(words, Some(portal));
        site.who().is("nobody of all");
        site.login(&["bob", "pw w"])
            .welcome()
            .who()
            .is("bob of bob");
        assert!(gone.borrow().is_empty());
        site.tester.peer_resets();
        assert_eq!(*gone.borrow(), ["all", "bob"], "{}", words.name);
    });
}

#[test]
fn help_says_how_to_log_in() {
    let site = Site::new(const { &PROTOCOLS[2] }, portal());
    let how = b"login NAME PASSWORD: says who you are\r\nlogin TOKEN: the same with a secret that is yours alone\r\n\r\n";
    site.tester.receive(b"help\r\n");
    site.hears(how).login(&["t"]).welcome();
    site.tester.receive(b"help\r\n");
    site.hears(b"Knows its callers.\r\nwho: Who calls.\r\n\r\n");
    site.tester.receive(b"help login\r\n");
    site.hears(how);
}

#[test]
fn a_method_that_is_called_so_is_refused() {
    /// Has doors.
    #[interface(crate = "tress_rpc")]
    trait Doors {
        /// One.
        #[name = "Login"]
        async fn amp(&self) -> Result<()>;
        /// Another.
        async fn login(&self) -> Result<()>;
    }
    impl Doors for Plain {
        async fn amp(&self) -> Result<()> {
            Ok(())
        }
        async fn login(&self) -> Result<()> {
            Ok(())
        }
    }
    let doors = <dyn DynDoors>::object(Rc::new(Plain));
    let limits = ExposureLimits::default();
    let amp = AmpFactory::new(&doors, limits).expect("without logins it can be said");
    let lines = LineFactory::new(&doors, limits).expect("without logins it can be said");
    let portal = portal().expect("it is one");
    let why = |refused: Unsayable| refused.to_string();
    let amp = why(amp.portal(portal.clone()).expect_err("it is taken"));
    assert_eq!(
        amp,
        "`Doors.Login` cannot be served over AMP: where callers log in, `Login` is how they do"
    );
    let lines = why(lines.portal(portal).expect_err("it is taken"));
    assert_eq!(
        lines,
        "`Doors.login` cannot be served over lines: where callers log in, `login` is how they do"
    );
}
