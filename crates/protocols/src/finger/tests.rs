//! Every case as a table, on the memory transport; queries cut at every byte.

use super::*;
use proptest::prelude::*;
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};
use tress_core::{
    Address, Deferred, Failure, Protocol, Resolver, Result, Transport,
    framing::Lines,
    testing::{
        logged,
        memory::{Table, Tester},
    },
};

/// Users in a list.
#[derive(Default)]
struct Users(RefCell<Vec<(String, String)>>);

impl Users {
    fn new() -> Rc<Self> {
        let users = Self::default();
        for (name, status) in [
            ("moshez", "Happy and well"),
            ("shawn", "alive"),
            ("evil", "a\r\nb\u{1b}[2J"),
            ("mo shez", ""),
        ] {
            let pair = (name.to_owned(), status.to_owned());
            users.0.borrow_mut().push(pair);
        }
        Rc::new(users)
    }
}

impl Finger for Users {
    async fn user(&self, name: String) -> Result<Option<String>> {
        if name == "broken" {
            return Err(Failure::msg("no disk"));
        }
        let users = self.0.borrow();
        let found = users.iter().find(|(user, _)| *user == name);
        Ok(found.map(|(_, status)| status.clone()))
    }

    async fn users(&self) -> Result<Vec<String>> {
        let users = self.0.borrow();
        Ok(users.iter().map(|(user, _)| user.clone()).collect())
    }
}

impl FingerSetter for Users {
    async fn set_user(&self, name: String, status: String) -> Result<()> {
        if name == "broken" {
            return Err(Failure::msg("no disk"));
        }
        self.0.borrow_mut().push((name, status));
        Ok(())
    }
}

fn server(forwarding: bool) -> Lines<FingerProtocol> {
    let options = FingerOptions {
        forwarding,
        ..FingerOptions::default()
    };
    FingerProtocol::new(Users::new(), options)
}

#[track_caller]
fn check(query: &[u8], answer: &str) {
    let answered = |feed: &dyn Fn(&Tester<_>)| {
        let tester = Tester::new(server(false));
        feed(&tester);
        assert!(tester.is_closed(), "{:?}", query.escape_ascii());
        let sent = String::from_utf8(tester.sent()).unwrap();
        assert_eq!(sent, answer, "{:?}", query.escape_ascii());
    };
    answered(&|tester| tester.receive(query));
    answered(&|tester| tester.receive_cut(query, 1));
    for cut in 1..query.len() {
        answered(&|tester| {
            tester.receive(&query[..cut]);
            tester.receive(&query[cut..]);
        });
    }
}

#[test]
fn answers() {
    let unknown = "No such user\r\n";
    let everybody = "moshez: Happy and well\r\nshawn: alive\r\nevil: a  b [2J\r\nmo shez: \r\n";
    check(b"moshez\r\n", "Happy and well\r\n");
    check(b"moshez\n", "Happy and well\r\n");
    check(b"/W moshez\r\n", "Happy and well\r\n");
    check(b" /w  shawn \r\n", "alive\r\n");
    check(b"mo shez\r\n", "\r\n");
    check(b"evil\r\n", "a  b [2J\r\n");
    check(b"nobody\r\n", unknown);
    check(b"Moshez\r\n", unknown);
    check(b"mo\tshez\r\n", unknown);
    check(b"moshez\r\r\n", unknown);
    check(b"\xff\r\n", unknown);
    check(b"\r\n", everybody);
    check(b"\n", everybody);
    check(b"/W\r\n", everybody);
    check(b"moshez@host\r\n", "Finger forwarding service denied\r\n");
    check(b"@\r\n", "Finger forwarding service denied\r\n");
    check(b"broken\r\n", "Internal error in server\r\n");
    check(b"moshez\r\nshawn\r\nrest", "Happy and well\r\n");
}

#[test]
fn a_long_list_is_whole_and_leaves_the_loop_turns() {
    let users = Users::default();
    let names: Vec<String> = (0..1000).map(|number| format!("user{number}")).collect();
    let pairs = names.iter().map(|name| (name.clone(), "here".to_owned()));
    users.0.borrow_mut().extend(pairs);
    let server = FingerProtocol::new(Rc::new(users), FingerOptions::default());
    let tester = Tester::new(server);
    tester.receive(b"\r\n");
    let expected: String = names
        .iter()
        .map(|name| format!("{name}: here\r\n"))
        .collect();
    assert_eq!(String::from_utf8(tester.sent()).unwrap(), expected);
    assert!(tester.reactor().statistics().turns >= 3);
}

#[test]
fn a_query_that_does_not_end_is_not_answered() {
    let tester = Tester::new(server(false));
    tester.receive(b"moshez");
    assert!(!tester.is_closed());
    tester.peer_closes_write();
    assert!(tester.is_closed() && !tester.was_aborted());
    assert_eq!(tester.sent(), b"");
}

#[test]
fn a_query_has_at_most_1024_bytes() {
    let longest = [&[b'a'; MAX_BYTES][..], b"\r\n"].concat();
    let too_long = [&[b'a'; MAX_BYTES + 1][..], b"\r\n"].concat();
    for every in [1, 7, 2000] {
        let tester = Tester::new(server(false));
        tester.receive_cut(&longest, every);
        assert_eq!(tester.sent(), b"No such user\r\n");
        let tester = Tester::new(server(false));
        tester.receive_cut(&too_long, every);
        assert_eq!(tester.sent(), b"");
        assert!(tester.is_closed());
    }
}

#[test]
fn a_query_must_arrive_in_time() {
    let tester = Tester::new(server(false));
    for _ in 0..10 {
        tester.receive(b"m");
        tester.advance(Duration::from_secs(1));
    }
    tester.advance(Duration::from_secs(1));
    assert!(tester.is_closed());
}

#[test]
fn a_failure_of_the_object_is_logged() {
    let log = logged(|| check(b"broken\r\n", "Internal error in server\r\n"));
    assert!(
        log[0].contains("ERROR") && log[0].contains("no disk"),
        "{log:?}"
    );
}

/// Answers when it is told to.
#[derive(Default)]
struct Slow(RefCell<Option<Resolver<Option<String>>>>, Rc<Cell<bool>>);

#[expect(refining_impl_trait, reason = "callbacks, not async")]
impl Finger for Slow {
    fn user(&self, _name: String) -> Deferred<Option<String>> {
        let cancelled = Rc::clone(&self.1);
        let (resolver, answer) = Deferred::with_canceller(move || cancelled.set(true));
        self.0.replace(Some(resolver));
        answer
    }

    async fn users(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

#[test]
fn a_slow_answer_reaches_a_client_that_has_closed_its_side() {
    let slow = Rc::new(Slow::default());
    let tester = Tester::new(FingerProtocol::new(slow.clone(), FingerOptions::default()));
    tester.receive(b"moshez\r\n");
    tester.peer_closes_write();
    assert!(!tester.is_closed());
    let resolver = slow.0.take().unwrap();
    resolver.resolve(Some("late".to_owned()));
    tester.settle();
    assert_eq!(tester.sent(), b"late\r\n");
    assert!(tester.is_closed());
}

#[test]
fn a_client_that_leaves_cancels_its_call() {
    let slow = Rc::new(Slow::default());
    let tester = Tester::new(FingerProtocol::new(slow.clone(), FingerOptions::default()));
    let log = logged(|| {
        tester.receive(b"moshez\r\n");
        tester.peer_resets();
    });
    assert!(slow.1.get());
    assert_eq!(log, [""; 0]);
}

/// Another finger server, which remembers what it was asked.
struct Remote(Rc<RefCell<Vec<u8>>>, Vec<u8>);

impl Protocol for Remote {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        self.0.borrow_mut().extend_from_slice(data);
        transport.write(&self.1);
        transport.lose_connection();
        Ok(())
    }
}

/// A client of a server that forwards, and what the other server was asked.
fn forwarding(answer: &[u8]) -> (Tester<Lines<FingerProtocol>>, Rc<RefCell<Vec<u8>>>) {
    let table = Table::new();
    let asked = Rc::new(RefCell::default());
    let (to, answer) = (Rc::clone(&asked), answer.to_vec());
    let remote = move || Remote(Rc::clone(&to), answer.clone());
    table.reactor().listen("tcp:79", remote).unwrap();
    (Tester::on(&table, server(true)), asked)
}

#[test]
fn forwarded_queries() {
    for (query, asked) in [
        ("moshez@192.0.2.9\r\n", "moshez\r\n"),
        ("/W moshez@192.0.2.9\r\n", "/W moshez\r\n"),
        ("a@b@localhost\r\n", "a@b\r\n"),
        ("@::1\r\n", "\r\n"),
    ] {
        let (tester, remote) = forwarding(b"Any\nbytes");
        tester.receive(query.as_bytes());
        assert_eq!(*remote.borrow(), asked.as_bytes(), "{query}");
        assert_eq!(tester.sent(), b"Any\nbytes");
        assert!(tester.is_closed());
    }
}

#[test]
fn hosts_that_cannot_be_asked() {
    let no_host = "That is no host name and no address\r\n";
    let refused = "Could not connect to remote host\r\n";
    for (query, answer) in [
        ("a@\r\n", no_host),
        ("a@under the hill\r\n", no_host),
        ("a@1.2.3.4:backlog=5\r\n", no_host),
        ("a@192.0.2.9\r\n", refused),
        // Its reactor has nobody who looks names up.
        ("a@example.com\r\n", refused),
    ] {
        let tester = Tester::new(server(true));
        tester.receive(query.as_bytes());
        let sent = String::from_utf8(tester.sent()).unwrap();
        assert_eq!(sent, answer, "{query}");
        assert!(tester.is_closed());
    }
}

#[test]
fn a_long_forwarded_answer_waits_for_a_slow_client() {
    let answer = vec![b'x'; 1 << 20];
    let (tester, _) = forwarding(&answer);
    tester.peer_stops_reading();
    tester.receive(b"a@localhost\r\n");
    let queued = tester.transport().statistics().queued;
    assert!((1..300_000).contains(&queued), "{queued}");
    tester.peer_reads_on();
    assert_eq!(tester.sent().len(), answer.len());
    assert!(tester.is_closed());
}

#[test]
fn a_client_that_leaves_ends_the_forwarding() {
    struct Silent(Rc<RefCell<Option<Failure>>>);
    impl Protocol for Silent {
        fn connection_lost(&mut self, reason: Failure) {
            self.0.replace(Some(reason));
        }
    }
    let table = Table::new();
    let ended: Rc<RefCell<Option<Failure>>> = Rc::default();
    let to = Rc::clone(&ended);
    let remote = move || Silent(Rc::clone(&to));
    table.reactor().listen("tcp:79", remote).unwrap();
    let tester = Tester::on(&table, server(true));
    tester.receive(b"a@localhost\r\n");
    assert!(ended.borrow().is_none());
    tester.peer_resets();
    assert!(ended.borrow().is_some());
}

/// What is set, and what is logged, after the client did this.
#[track_caller]
fn check_setter(act: impl Fn(&Tester<FingerSetterProtocol>), set: &[(&str, &str)], lines: usize) {
    let users = Rc::new(Users::default());
    let setter = FingerSetterProtocol::new(users.clone(), Address::Unknown);
    let tester = Tester::new(setter);
    let log = logged(|| act(&tester));
    let users = users.0.borrow();
    let found: Vec<_> = users
        .iter()
        .map(|(u, s)| (u.as_str(), s.as_str()))
        .collect();
    assert_eq!(found, set);
    assert_eq!(log.len(), lines, "{log:?}");
    assert_eq!(tester.sent(), b"");
    assert!(tester.has_ended());
}

#[test]
fn two_lines_and_the_end_set_a_status() {
    for (bytes, set) in [
        ("moshez\r\nSorry!\r\n", ("moshez", "Sorry!")),
        ("moshez\nSorry!\n", ("moshez", "Sorry!")),
        (" mo shez \r\n\tSorry: no \r\n", ("mo shez", "Sorry: no")),
        ("moshez\r\n\r\n", ("moshez", "")),
        ("é\r\nü\r\n", ("é", "ü")),
    ] {
        for every in [1, 2, 3, 100] {
            let act = |tester: &Tester<_>| {
                tester.receive_cut(bytes.as_bytes(), every);
                tester.peer_closes_write();
            };
            check_setter(act, &[set], 0);
        }
    }
    let longest = format!("a\n{}\n", "b".repeat(MAX_BYTES - 3));
    let act = |tester: &Tester<_>| {
        tester.receive(longest.as_bytes());
        tester.peer_closes_write();
    };
    check_setter(act, &[("a", &longest[2..MAX_BYTES - 1])], 0);
}

#[test]
fn anything_else_sets_nothing() {
    let too_long = format!("a\n{}\n", "b".repeat(MAX_BYTES - 2));
    for bytes in [
        "",
        "moshez",
        "moshez\r\n",
        "moshez\r\nSorry!",
        "moshez\r\nSorry!\r",
        "moshez\r\nSorry!\r\nmore\r\n",
        "moshez\r\nSorry!\r\n\r\n",
        "moshez\r\nSorry!\r\nm",
        "\r\nSorry!\r\n",
        " \r\nSorry!\r\n",
        "mo\u{1b}[2J\r\nSorry!\r\n",
        "moshez\r\nSor\rry!\r\n",
        "broken\r\nSorry!\r\n",
        &too_long,
    ] {
        for every in [1, 5, 2000] {
            let act = |tester: &Tester<_>| {
                tester.receive_cut(bytes.as_bytes(), every);
                if !tester.has_ended() {
                    tester.peer_closes_write();
                }
            };
            check_setter(act, &[], 1);
        }
    }
    let act = |tester: &Tester<_>| {
        tester.receive(b"a\xff\r\nb\r\n");
        tester.peer_closes_write();
    };
    check_setter(act, &[], 1);
}

#[test]
fn a_reset_or_silence_sets_nothing() {
    let reset = |tester: &Tester<_>| {
        tester.receive(b"moshez\r\nSorry!\r\n");
        tester.peer_resets();
    };
    check_setter(reset, &[], 1);
    let silent = |tester: &Tester<_>| {
        tester.receive(b"moshez\r\nSorry!\r\n");
        tester.advance(Duration::from_secs(11));
    };
    check_setter(silent, &[], 1);
}

#[test]
fn descriptors_name_what_the_interfaces_have() {
    let methods = |descriptor: &tress_rpc::Descriptor| -> Vec<String> {
        descriptor.methods.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        methods(<dyn DynFinger>::DESCRIPTOR),
        ["getUser(name: string) -> string?", "getUsers() -> [string]"]
    );
    assert_eq!(
        methods(<dyn DynFingerSetter>::DESCRIPTOR),
        ["setUser(name: string, status: string)"]
    );
}

proptest! {
    #[test]
    fn whatever_is_sent_sets_one_status_or_none(
        bytes in prop::collection::vec(prop::sample::select(&b"ab :\r\n\t\x1b\xff"[..]), 0..12),
        every in 1_usize..13,
    ) {
        let users = Rc::new(Users::default());
        let tester = Tester::new(FingerSetterProtocol::new(users.clone(), Address::Unknown));
        tester.receive_cut(&bytes, every);
        tester.peer_closes_write();
        prop_assert!(tester.is_closed() && tester.sent().is_empty());
        let users = users.0.borrow();
        let clean = |text: &str| !text.chars().any(char::is_control) && text.trim() == text;
        prop_assert!(users.len() <= 1);
        prop_assert!(users.iter().all(|(name, status)| !name.is_empty() && clean(name) && clean(status)));
    }
}
