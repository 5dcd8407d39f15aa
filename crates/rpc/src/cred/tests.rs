//! Whom each checker lets in, and what is wrong with password files.

use super::*;
use tress_core::testing::memory::Table;

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
    let login = portal.login(table.reactor(), credentials);
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
