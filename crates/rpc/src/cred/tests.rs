//! Whom each checker lets in, and what is wrong with password files.

use super::*;
use crate::{self as tress_rpc, interface};
use std::cell::RefCell;
use tress_core::{Result, testing::memory::Table};

/// `secret`, with little work: `argon2 somesalt16bytes! -id -m 3 -t 1` has the same form.
fn hashed(password: &str) -> String {
    use argon2::{Algorithm, Argon2, Params, Version, password_hash::PasswordHasher};
    let params = Params::new(8, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2.hash_password_with_salt(password.as_bytes(), b"0123456789abcdef");
    let hash: argon2::password_hash::phc::PasswordHash = hash.unwrap();
    hash.to_string()
}

fn password(user: &str, password: &str) -> Credentials {
    let (user, password) = (user.to_owned(), password.to_owned());
    Credentials::Password { user, password }
}

fn pair(one: &str, other: &str) -> (String, String) {
    (one.to_owned(), other.to_owned())
}

/// Who is let in, as text.
fn login(portal: &Portal, credentials: Credentials) -> String {
    let table = Table::new();
    let login = portal.authenticate(table.reactor(), credentials);
    for _ in 0..5 {
        table.advance(std::time::Duration::ZERO);
    }
    match login.try_result().expect("it has an end") {
        Ok(Some(avatar)) => avatar.to_string(),
        Ok(None) => "anonymous".into(),
        Err(failure) => failure.to_string(),
    }
}

const NOBODY: &str = "no user with these credentials";

#[test]
fn checkers_let_in_whom_they_know() {
    let file = PasswordFile::read(&format!("# users\n\nalice:{}\n", hashed("secret"))).unwrap();
    let checkers: [Rc<dyn Checker>; 3] = [
        Rc::new(Memory::new([pair("bob", "pw"), pair("alice", "other")])),
        Rc::new(Tokens::new([pair("t1", "robot"), pair("t2", "cron")])),
        Rc::new(file),
    ];
    let portal = Portal::new(checkers);
    assert_eq!(login(&portal, password("bob", "pw")), "bob");
    assert_eq!(login(&portal, password("bob", "pw ")), NOBODY);
    assert_eq!(login(&portal, password("alice", "other")), "alice");
    assert_eq!(
        login(&portal, password("alice", "secret")),
        "alice",
        "the second checker"
    );
    assert_eq!(login(&portal, password("alice", "")), NOBODY);
    assert_eq!(login(&portal, password("eve", "secret")), NOBODY);
    assert_eq!(login(&portal, Credentials::Token("t2".into())), "cron");
    assert_eq!(login(&portal, Credentials::Token("t".into())), NOBODY);
    assert_eq!(login(&portal, Credentials::Anonymous), NOBODY);
    assert_eq!(login(&Portal::open(), Credentials::Anonymous), "anonymous");
    assert_eq!(login(&Portal::open(), password("bob", "pw")), NOBODY);
    let challenge = |right: &'static str| Credentials::Challenge {
        user: "bob".into(),
        answers: Rc::new(move |password| password == right),
    };
    assert_eq!(login(&portal, challenge("pw")), "bob");
    assert_eq!(login(&portal, challenge("no")), NOBODY);
    assert!(portal.takes(Sort::Challenge) && !portal.takes(Sort::Anonymous));
}

#[test]
fn a_checker_that_breaks_is_not_a_wrong_password() {
    struct Broken;
    impl Checker for Broken {
        fn sorts(&self) -> &[Sort] {
            &[Sort::Password]
        }
        fn check(&self, _: &Reactor, _: &Credentials) -> Deferred<Avatar> {
            Deferred::fail(tress_core::Failure::msg("the disk is broken"))
        }
    }
    let memory = Rc::new(Memory::new([pair("bob", "pw")]));
    let portal = Portal::new([Rc::new(Broken) as Rc<dyn Checker>, memory]);
    assert_eq!(login(&portal, password("bob", "pw")), "bob");
    assert_eq!(login(&portal, password("bob", "no")), "the disk is broken");
}

#[test]
fn password_files_say_which_line_is_wrong() {
    let good = hashed("a");
    for (text, expect) in [
        ("alice", "line 1: expected `user:hash`"),
        ("# x\n:hash", "line 2: expected `user:hash`"),
        ("alice:secret", "line 1: expected an Argon2 hash, such as"),
        (
            "alice:$2b$12$abc",
            "line 1: expected an Argon2 hash, such as",
        ),
        (
            "alice:$argon2id$v=19$m=4194304,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg",
            "line 1: a hash that takes more than 1048576 KiB of memory",
        ),
        (
            &format!("a:{good}\nb:{good}\na:{good}"),
            "line 3: `a` comes twice",
        ),
    ] {
        let error = PasswordFile::read(text).unwrap_err().to_string();
        assert!(error.starts_with(expect), "{text}: {error}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!(
        "{:?} {:?} {:?} {:?}",
        password("bob", "pw"),
        Credentials::Token("t".into()),
        Memory::new([pair("bob", "pw")]),
        Tokens::new([pair("t", "robot")]),
    );
    assert_eq!(
        shown,
        "Password(\"bob\", …) Token(…) Memory(1 users) Tokens(1)"
    );
}

#[test]
fn a_hash_of_ours_is_one_that_can_be_checked() {
    let hash = hash_password("secret", *b"0123456789abcdef").unwrap();
    assert!(
        hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{hash}"
    );
    assert!(PasswordFile::read(&format!("alice:{hash}")).is_ok());
}

/// What is served.
#[interface(crate = "tress_rpc")]
trait Room {
    async fn rest(&self) -> Result<()>;
}

/// What is not.
#[interface(crate = "tress_rpc")]
trait Other {
    async fn rest(&self) -> Result<()>;
}

/// Both, and never asked.
struct Bed;

impl Room for Bed {
    async fn rest(&self) -> Result<()> {
        Ok(())
    }
}

impl Other for Bed {
    async fn rest(&self) -> Result<()> {
        Ok(())
    }
}

fn room() -> Object {
    <dyn DynRoom>::object(Rc::new(Bed))
}

/// Gives each avatar a room of its own, and counts those that have gone; nobody comes in as `eve`.
#[derive(Default)]
struct Hotel {
    rooms: RefCell<Vec<(Avatar, Object)>>,
    gone: Rc<RefCell<Vec<Avatar>>>,
}

impl Realm for Hotel {
    fn request_avatar(
        &self,
        _reactor: &Reactor,
        avatar: Avatar,
        object: &Object,
    ) -> Deferred<Session> {
        if avatar.as_deref() == Some("eve") {
            return Deferred::fail(tress_core::Failure::msg("no room"));
        }
        let room = match avatar.as_deref() {
            Some("bob") => object.clone(),
            _ => room(),
        };
        let rooms = &self.rooms;
        rooms.borrow_mut().push((avatar.clone(), room.clone()));
        let (gone, who) = (Rc::clone(&self.gone), avatar.clone());
        let session = Session::new(avatar, &room);
        Deferred::succeed(session.on_logout(move || gone.borrow_mut().push(who)))
    }
}

#[test]
fn a_realm_gives_each_its_own_object_and_hears_once_when_they_go() {
    let table = Table::new();
    let hotel = Rc::<Hotel>::default();
    let users = ["alice", "bob", "eve"].map(|user| pair(user, "pw"));
    let checkers: [Rc<dyn Checker>; 2] = [Rc::new(Memory::new(users)), Rc::new(Anonymous)];
    let portal = Portal::new(checkers).with_realm(Rc::clone(&hotel) as Rc<dyn Realm>);
    let lobby = room();
    let same = |one: &Object, other: &Object| {
        let (one, other) = (one.get::<dyn DynRoom>(), other.get::<dyn DynRoom>());
        matches!((one, other), (Ok(one), Ok(other)) if Rc::ptr_eq(&one, &other))
    };
    let login = |credentials| {
        let login = portal.login(table.reactor(), credentials, &lobby);
        for _ in 0..5 {
            table.advance(std::time::Duration::ZERO);
        }
        login.try_result().expect("it has an end")
    };
    let alice = login(password("alice", "pw")).unwrap();
    let bob = login(password("bob", "pw")).unwrap();
    let nobody = login(Credentials::Anonymous).unwrap();
    assert_eq!(alice.avatar().as_deref(), Some("alice"));
    assert_eq!(nobody.avatar().as_deref(), None);
    assert!(same(bob.object(), &lobby) && !same(alice.object(), &lobby));
    assert!(!same(alice.object(), nobody.object()));
    assert!(same(alice.object(), &hotel.rooms.borrow()[0].1));
    let error = login(password("eve", "pw")).unwrap_err();
    assert_eq!(error.to_string(), "no room");
    assert_eq!(login(password("eve", "")).unwrap_err().to_string(), NOBODY);
    assert_eq!(
        hotel.rooms.borrow().len(),
        3,
        "a wrong password asks for none"
    );
    assert!(hotel.gone.borrow().is_empty());
    drop(bob);
    drop((alice, nobody));
    let gone: Vec<_> = hotel.gone.take();
    assert_eq!(gone, [Some("bob".into()), Some("alice".into()), None]);
    // A login that nobody waits for ends as well.
    let login = portal.login(table.reactor(), password("bob", "pw"), &lobby);
    drop(login);
    for _ in 0..5 {
        table.advance(std::time::Duration::ZERO);
    }
    assert_eq!(hotel.gone.borrow().len() + 3, hotel.rooms.borrow().len());
    // Without a realm of its own there is one object for all.
    let portal = Portal::open();
    let session = portal.enter(table.reactor(), None, &lobby).try_result();
    let session = session.unwrap().unwrap();
    assert!(same(session.object(), &lobby));
}

#[test]
fn a_realm_keeps_to_the_interface() {
    let table = Table::new();
    let portal = Portal::open().with_realm(Rc::<Hotel>::default());
    let entered = portal.enter(table.reactor(), None, &<dyn DynOther>::object(Rc::new(Bed)));
    let error = entered.try_result().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the object offers `Room`, not `Other`");
}

/// How many Argon2 jobs a login costs: none is done before the loop turns.
fn waits(file: &PasswordFile, table: &Table, user: &str, shown: &str) -> bool {
    let checked = file.check(table.reactor(), &password(user, shown));
    let waits = checked.try_result().err();
    let waited = waits.is_some();
    if let Some(checked) = waits {
        checked.detach();
    }
    table.settle();
    waited
}

#[test]
fn a_right_password_is_remembered_for_a_while_and_a_wrong_one_is_not() {
    let text = format!("alice:{}\nbob:{}", hashed("secret"), hashed("secret"));
    let file = PasswordFile::read(&text).unwrap();
    let table = Table::new();
    assert!(waits(&file, &table, "alice", "secret"), "the first time");
    assert!(!waits(&file, &table, "alice", "secret"));
    assert!(waits(&file, &table, "bob", "secret"), "somebody else");
    for _ in 0..2 {
        assert!(waits(&file, &table, "alice", "wrong"));
        assert!(waits(&file, &table, "alic", "esecret"));
    }
    table.advance(REMEMBERED_FOR - std::time::Duration::from_millis(1));
    assert!(!waits(&file, &table, "alice", "secret"));
    table.advance(std::time::Duration::from_millis(1));
    assert!(waits(&file, &table, "alice", "secret"), "it was forgotten");
    // The file is read again.
    let file = PasswordFile::read(&text).unwrap();
    assert!(waits(&file, &table, "alice", "secret"));
}

#[test]
fn so_many_are_remembered_and_no_more() {
    let mut lines = String::new();
    for number in 0..=REMEMBERED_MOST {
        lines += &format!("u{number}:{}\n", hashed("pw"));
    }
    let file = PasswordFile::read(&lines).unwrap();
    let table = Table::new();
    for number in 0..=REMEMBERED_MOST {
        assert!(waits(&file, &table, &format!("u{number}"), "pw"));
        table.advance(std::time::Duration::from_millis(1));
    }
    assert!(!waits(&file, &table, &format!("u{REMEMBERED_MOST}"), "pw"));
    assert!(!waits(&file, &table, "u1", "pw"));
    assert!(waits(&file, &table, "u0", "pw"), "the oldest made room");
}

#[test]
fn a_flood_of_logins_is_refused_and_holds_no_loop() {
    let file = PasswordFile::read(&format!("alice:{}", hashed("secret"))).unwrap();
    let table = Table::new();
    let ask = || file.check(table.reactor(), &password("alice", "wrong"));
    let mut waiting: Vec<_> = (0..CHECKS_IN_FLIGHT).map(|_| ask()).collect();
    let refused = ask().try_result().expect("at once").unwrap_err();
    assert_eq!(refused.to_string(), "busy: 64 logins wait, and no more may");
    // One that is not wanted any more makes room.
    waiting.pop().unwrap().cancel();
    let next = ask().try_result();
    assert!(next.is_err(), "it waits");
    table.settle();
    for checked in waiting {
        let failure = checked.try_result().expect("it has an end").unwrap_err();
        assert_eq!(failure.to_string(), NOBODY);
    }
    assert!(ask().try_result().is_err(), "there is room again");
}
