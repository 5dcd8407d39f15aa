//! The built-in providers, and that the tables are right. Time is a manual clock.

use super::*;
use crate::{
    Application, Registry,
    config::{Config, Problems},
    registry::{Provider, ProviderContext},
    testing::{Directory, logged},
};
use std::{cell::RefCell, rc::Rc};
use std::{fs, path::Path, time::Duration};
use tress_core::{Deferred, Result, testing::memory::Table};
use tress_data::rusqlite;
use tress_protocols::finger::{DynFinger, DynFingerSetter};
use tress_rpc::{CallContext, Object};

/// A provider of this kind with these options, which are right.
fn provider(table: &Table, directory: &Path, kind: &str, options: &str) -> Box<dyn Provider> {
    let registry = Registry::builtin();
    let kind = registry.provider(kind).unwrap();
    let text = format!(
        "[provide.users]\nkind='{}'\n{options}\n[[serve]]\nwhat='users'\nas='x'\nat='x'",
        kind.name
    );
    let mut problems = Problems::new(directory.join("a.toml").to_string_lossy());
    let mut config = Config::read(text.as_bytes(), &mut problems);
    let options = &mut config.provide[0].options;
    options.check(kind.options, &mut problems);
    assert_eq!(problems.to_string(), "");
    let context = ProviderContext {
        name: "users",
        kind,
        plugin: None,
        reactor: table.reactor(),
        files: registry.files(),
        application: &crate::Control::default(),
    };
    (kind.make)(&context, options).unwrap()
}

struct Finger(Table, Object, Object);

impl Finger {
    fn of(table: &Table, provider: &dyn Provider) -> Self {
        let object = |interface| provider.object(interface).unwrap();
        Self(table.clone(), object("Finger"), object("FingerSetter"))
    }

    fn context(&self) -> CallContext {
        CallContext::local(self.0.reactor())
    }

    fn user(&self, name: &str) -> Option<String> {
        let finger = self.1.get::<dyn DynFinger>().unwrap();
        let answer = finger.user(&self.context(), name.to_owned());
        answer.try_result().unwrap().unwrap()
    }

    fn users(&self) -> Vec<String> {
        let finger = self.1.get::<dyn DynFinger>().unwrap();
        finger.users(&self.context()).try_result().unwrap().unwrap()
    }

    fn set(&self, name: &str, status: &str) -> Result {
        let setter = self.2.get::<dyn DynFingerSetter>().unwrap();
        let done = setter.set_user(&self.context(), name.to_owned(), status.to_owned());
        done.try_result().unwrap()
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn memory() {
    let (table, directory) = (Table::new(), Directory::new());
    let mut memory = provider(
        &table,
        &directory,
        "finger.memory",
        "users = {shawn='alive', moshez='Happy'}",
    );
    memory.start(table.reactor()).unwrap();
    let finger = Finger::of(&table, &*memory);
    assert_eq!(finger.user("moshez"), some("Happy"));
    assert_eq!(finger.user("nobody"), None);
    finger.set("moshez", "Sorry!").unwrap();
    finger.set("zoe", "here").unwrap();
    assert_eq!(finger.user("moshez"), some("Sorry!"));
    assert_eq!(finger.users(), ["moshez", "shawn", "zoe"]);
    assert!(memory.object("Quoter").is_none());
    for number in 0..9_997 {
        finger.set(&format!("user{number}"), "").unwrap();
    }
    finger.set("moshez", "full").unwrap();
    assert!(finger.set("one more", "").is_err());
}

/// A provider that was not stopped, as that of a host that crashed, does not keep the loop that it was started on.
#[test]
fn a_file_keeps_no_reactor() {
    let (table, directory) = (Table::new(), Directory::new());
    directory.file("users", "moshez: Happy\n");
    let mut file = provider(&table, &directory, "finger.file", "path = 'users'");
    let reactor = tress_core::Reactor::with(tress_sim::World::new(1).host("10.0.0.1"));
    file.start(&reactor).unwrap();
    let weak = reactor.downgrade();
    drop(reactor);
    assert!(weak.upgrade().is_none());
}

#[test]
fn an_edit_is_seen_within_a_second() {
    let (table, directory) = (Table::new(), Directory::new());
    directory.file("users", "# mine\nmoshez : Happy: and well \n");
    let mut file = provider(&table, &directory, "finger.file", "path = 'users'");
    file.start(table.reactor()).unwrap();
    let finger = Finger::of(&table, &*file);
    assert_eq!(finger.user("moshez"), some("Happy: and well"));
    directory.file("users", "shawn: alive, and longer than before\n");
    table.advance(Duration::from_millis(999));
    assert_eq!(finger.users(), ["moshez"]);
    table.advance(Duration::from_millis(1));
    assert_eq!(finger.users(), ["shawn"]);
    file.stop().try_result().unwrap().unwrap();
    directory.file("users", "x: y\n");
    table.advance(Duration::from_secs(60));
    assert_eq!(finger.users(), ["shawn"]);
}

#[test]
fn a_change_that_does_not_show_is_seen_at_the_latest_after_reload() {
    let (table, directory) = (Table::new(), Directory::new());
    let path = directory.file("users", "moshez: a\n");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    let mut file = provider(
        &table,
        &directory,
        "finger.file",
        "path = 'users'\nreload = '5s'",
    );
    file.start(table.reactor()).unwrap();
    let finger = Finger::of(&table, &*file);
    directory.file("users", "moshez: b\n");
    let edited = fs::File::options().append(true).open(&path).unwrap();
    edited.set_modified(time).unwrap();
    table.advance(Duration::from_millis(4_999));
    assert_eq!(finger.user("moshez"), some("a"));
    table.advance(Duration::from_millis(1));
    assert_eq!(finger.user("moshez"), some("b"));
    directory.file("users", "moshez: c\n");
    edited.set_modified(time).unwrap();
    file.reload();
    assert_eq!(finger.user("moshez"), some("c"));
}

#[test]
fn an_unreadable_file_keeps_the_last_good_content_and_warns_once() {
    let (table, directory) = (Table::new(), Directory::new());
    let path = directory.file("users", "moshez: a\n");
    let mut file = provider(&table, &directory, "finger.file", "path = 'users'");
    file.start(table.reactor()).unwrap();
    let finger = Finger::of(&table, &*file);
    let bad: [(&dyn Fn(), &str); 3] = [
        (&|| fs::remove_file(&path).unwrap(), "No such file"),
        (
            &|| drop(directory.file("users", "no colon\n")),
            "line 1: no colon",
        ),
        (
            &|| {
                fs::remove_file(&path).unwrap();
                fs::create_dir(&path).unwrap();
            },
            "it is no plain file",
        ),
    ];
    for (spoil, words) in bad {
        spoil();
        let log = logged(|| table.advance(Duration::from_secs(100)));
        assert_eq!(log.len(), 1, "{log:?}");
        assert!(log[0].contains("WARN") && log[0].contains(words), "{log:?}");
        assert_eq!(finger.user("moshez"), some("a"));
        assert!(finger.set("moshez", "lost").is_err());
    }
    fs::remove_dir(&path).unwrap();
    directory.file("users", "moshez: good again\n");
    let log = logged(|| table.advance(Duration::from_secs(1)));
    assert!(
        log.len() == 1 && log[0].contains("can be read again"),
        "{log:?}"
    );
    assert_eq!(finger.user("moshez"), some("good again"));
}

#[test]
fn a_file_that_is_unreadable_at_start_is_an_error() {
    let (table, directory) = (Table::new(), Directory::new());
    let start = |path: &str| {
        let options = format!("path = '{path}'");
        let mut file = provider(&table, &directory, "finger.file", &options);
        file.start(table.reactor()).unwrap_err().to_string()
    };
    assert!(start("absent").contains("absent: No such file"));
    assert!(start(".").contains("it is no plain file"));
    directory.file("bad", "moshez: a\nshawn\n");
    assert!(start("bad").contains("bad: line 2: no colon; expected `user: status`"));
    assert_eq!(table.reactor().next_deadline(), None);
}

#[test]
fn a_setter_keeps_comments_and_edits() {
    let (table, directory) = (Table::new(), Directory::new());
    let path = directory.file("users", "# who is here\nmoshez: a\n\n  # and\nshawn: b\n");
    let mut file = provider(&table, &directory, "finger.file", "path = 'users'");
    file.start(table.reactor()).unwrap();
    let finger = Finger::of(&table, &*file);
    finger.set("moshez", "Sorry!").unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, "# who is here\nmoshez: Sorry!\n\n  # and\nshawn: b\n");
    // An operator's edit that was not read yet is not lost.
    directory.file("users", "# mine\nmoshez: c\n");
    finger.set("zoe", "here").unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, "# mine\nmoshez: c\nzoe: here\n");
    assert_eq!(finger.users(), ["moshez", "zoe"]);
    for (name, status) in [("a:b", "c"), ("#a", "b"), ("a", "\u{1b}"), ("", "b")] {
        assert!(finger.set(name, status).is_err(), "{name:?} {status:?}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert_eq!(directory.names(), ["users"]);
}

#[test]
fn the_tables_are_right() {
    let table = Table::new();
    for kind in PROVIDERS {
        assert!(kind.doc.ends_with('.'), "{}", kind.name);
        for option in kind.options {
            assert!(option.doc.ends_with('.'), "{}.{}", kind.name, option.name);
        }
    }
    for (options, what) in [("path = 'users'", "finger.file"), ("", "finger.memory")] {
        let protocols = Registry::builtin();
        let protocols = protocols.protocols_of(protocols.provider(what).unwrap());
        let every = [
            "amp",
            "finger",
            "finger-setter",
            "http",
            "jsonrpc",
            "jsonrpc-lines",
            "lines",
            "pb",
            "xmlrpc",
        ];
        assert_eq!(protocols, every);
        for (number, protocol) in protocols.iter().enumerate() {
            let text = format!(
                "[provide.a]\nkind='{what}'\n{options}\n[[serve]]\nwhat='a'\nas='{protocol}'\nat='tcp:{number}:interface=127.0.0.1'\n"
            );
            let registry = Registry::builtin();
            let loaded = Application::parse("a.toml", text.as_bytes(), &registry, table.reactor());
            assert!(loaded.is_ok(), "{loaded:?}");
        }
    }
}

/// Says something, and keeps what it hears.
struct Asker {
    says: &'static str,
    heard: Rc<RefCell<String>>,
}

impl tress_core::Protocol for Asker {
    fn connection_made(&mut self, transport: &tress_core::Transport) -> Result {
        transport.write(self.says.as_bytes());
        Ok(())
    }

    fn data_received(&mut self, _: &tress_core::Transport, data: &[u8]) -> Result {
        self.heard
            .borrow_mut()
            .push_str(&String::from_utf8_lossy(data));
        Ok(())
    }
}

#[test]
fn one_object_is_served_as_everything() {
    let table = Table::new();
    let mut text =
        "[provide.users]\nkind = 'finger.memory'\nusers = { moshez = 'Happy' }\n".to_owned();
    let served = [
        ("finger", "moshez\r\n"),
        ("lines", "getUser moshez\r\ngetUsers\r\nsetUser a b\r\n"),
        (
            "jsonrpc-lines",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"Finger.getUser\",\"params\":[\"moshez\"]}\n",
        ),
        (
            "amp",
            "\0\x04_ask\0\x011\0\x08_command\0\x07getUser\0\x04name\0\x06moshez\0\0",
        ),
    ];
    for (port, (protocol, _)) in (1..).zip(&served) {
        text.push_str(&format!(
            "[[serve]]\nwhat = 'users'\nas = '{protocol}'\nat = 'tcp:{port}:interface=127.0.0.1'\n"
        ));
    }
    text.push_str("[[serve]]\nwhat = 'users'\ninterface = 'FingerSetter'\nas = 'lines'\nat = 'tcp:9:interface=127.0.0.1'\n");
    let registry = Registry::builtin();
    let loaded = Application::parse("a.toml", text.as_bytes(), &registry, table.reactor());
    let mut application = loaded.unwrap();
    application.start(table.reactor()).unwrap();
    let ask = |port: u16, says: &'static str| {
        let heard = Rc::<RefCell<String>>::default();
        let asker = Asker {
            says,
            heard: Rc::clone(&heard),
        };
        let to = format!("tcp:127.0.0.1:{port}");
        table.reactor().connect_protocol(&to, asker).detach();
        table.settle();
        heard.take()
    };
    let answers: Vec<String> = (1..)
        .zip(&served)
        .map(|(port, (_, says))| ask(port, says))
        .collect();
    assert!(answers[0].contains("Happy"), "{answers:?}");
    assert_eq!(
        answers[1],
        "Happy\r\n\r\nmoshez\r\n\r\n! unknown-method: `Finger` has no method `setUser`; try `help`\r\n\r\n"
    );
    assert_eq!(
        answers[2],
        "{\"jsonrpc\":\"2.0\",\"result\":\"Happy\",\"id\":1}\n"
    );
    assert_eq!(
        answers[3],
        "\0\x07_answer\0\x011\0\x06result\0\x05Happy\0\0"
    );
    assert_eq!(ask(9, "setUser a b\r\n"), "ok\r\n\r\n");
    assert!(ask(2, "getUser a\n").starts_with('b'));
}

#[test]
fn one_listener_speaks_all_of_http_for_several_objects() {
    let users = "[provide.users]\nkind = 'finger.memory'\nusers = { moshez = 'Happy' }\n";
    let serve = |interface: &str, protocols: &str, more: &str| {
        format!(
            "[[serve]]\nwhat = 'users'\ninterface = '{interface}'\nas = {protocols}\nat = 'tcp:80:interface=127.0.0.1'\n{more}\n"
        )
    };
    let table = Table::new();
    let load = |text: &str| {
        let registry = Registry::builtin();
        let loaded = Application::parse("a.toml", text.as_bytes(), &registry, table.reactor());
        loaded.map_err(|problems| problems.to_string())
    };
    let both = |one: &str, other: &str| {
        let all = "['http', 'jsonrpc', 'xmlrpc']";
        format!(
            "{users}{}{}",
            serve("Finger", all, one),
            serve("FingerSetter", all, other)
        )
    };
    let mut application = load(&both("", "path = '/set'")).expect("they have paths of their own");
    application.start(table.reactor()).unwrap();
    let post = |path: &str, body: &str| {
        let heard = Rc::<RefCell<String>>::default();
        let says = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let asker = Asker {
            says: says.leak(),
            heard: Rc::clone(&heard),
        };
        table
            .reactor()
            .connect_protocol("tcp:127.0.0.1:80", asker)
            .detach();
        table.settle();
        let answer = heard.take();
        answer
            .split_once("\r\n\r\n")
            .map(|(_, body)| body.to_owned())
    };
    let set = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"setUser\",\"params\":[\"a\",\"b\"]}";
    let done = "{\"jsonrpc\":\"2.0\",\"result\":null,\"id\":1}";
    assert_eq!(post("/set/jsonrpc", set).as_deref(), Some(done));
    assert_eq!(
        post("/Finger/getUser", "{\"name\":\"a\"}").as_deref(),
        Some("\"b\"")
    );
    application.stop(table.reactor()).detach();
    let rights = load(&both("", "path = '/set'\nanonymous = true")).unwrap_err();
    let expected = "a.toml:10: serve.auth: sections at one endpoint share who may call; `users` has another `auth` or `anonymous`";
    assert_eq!(rights, expected);
    let alone = load(&format!(
        "{users}{}",
        serve("Finger", "['http', 'lines']", "")
    ))
    .unwrap_err();
    let expected = "a.toml:7: serve.as: `lines` needs an endpoint of its own; write a [[serve]] section for it";
    assert_eq!(alone, expected);
    let path = load(&format!(
        "{users}{}",
        serve("Finger", "'http'", "path = 'set'")
    ))
    .unwrap_err();
    assert!(path.starts_with("a.toml:7: serve.as: "), "{path}");
}

/// What a request needs is done by the time it is asked for: jobs run on the table's own thread.
fn sqlite(table: &Table, directory: &Directory, options: &str) -> Box<dyn Provider> {
    let options = format!("database = 'users.sqlite'\n{options}");
    provider(table, directory, "finger.sqlite", &options)
}

/// Turns the table until the Deferred has fired.
fn fired<T: 'static>(table: &Table, mut deferred: Deferred<T>) -> Result<T> {
    loop {
        match deferred.try_result() {
            Ok(result) => return result,
            Err(waits) => deferred = waits,
        }
        table.settle();
    }
}

#[test]
fn statuses_in_sqlite() {
    let (table, directory) = (Table::new(), Directory::new());
    let mut file = sqlite(&table, &directory, "users_max = 2");
    let finger = Finger::of(&table, &*file);
    let ask = || finger.1.get::<dyn DynFinger>().unwrap();
    let user = |name: &str| fired(&table, ask().user(&finger.context(), name.to_owned()));
    let users = || fired(&table, ask().users(&finger.context()));
    let set = |name: &str, status: &str| {
        let setter = finger.2.get::<dyn DynFingerSetter>().unwrap();
        let done = setter.set_user(&finger.context(), name.to_owned(), status.to_owned());
        fired(&table, done)
    };
    let closed = user("moshez").unwrap_err().to_string();
    assert!(closed.contains("users.sqlite is not open"), "{closed}");
    file.start(table.reactor()).unwrap();
    assert_eq!(user("moshez").unwrap(), None);
    set("moshez", "Happy").unwrap();
    set("'; DROP TABLE users; --", "").unwrap();
    assert_eq!(user("moshez").unwrap(), some("Happy"));
    assert_eq!(users().unwrap(), ["'; DROP TABLE users; --", "moshez"]);
    let full = set("one more", "").unwrap_err().to_string();
    assert_eq!(full, "there are 2 users already");
    set("moshez", "Sorry!").unwrap();
    fired(&table, file.stop()).unwrap();
    assert!(user("moshez").is_err());
    file.start(table.reactor()).unwrap();
    assert_eq!(user("moshez").unwrap(), some("Sorry!"));
}

#[test]
fn another_table_of_that_name_is_refused_at_start() {
    let (table, directory) = (Table::new(), Directory::new());
    let other = rusqlite::Connection::open(directory.join("users.sqlite")).unwrap();
    other
        .execute_batch("CREATE TABLE users (id, nick)")
        .unwrap();
    let mut file = sqlite(&table, &directory, "");
    let refused = file.start(table.reactor()).unwrap_err().to_string();
    assert!(
        refused.contains("users.sqlite: no such column: status"),
        "{refused}"
    );
}

/// What is answered to these bytes at an application that serves `Finger` so; and what is wrong with it.
fn asked(table: &Table, serve: &str, says: &str) -> Result<String, String> {
    let directory = Directory::new();
    directory.file("pw", "secret\n");
    let file = directory.file("f.toml", "").display().to_string();
    let text = format!(
        "[provide.users]\nkind = 'finger.memory'\nusers = {{ moshez = 'Happy' }}\n\
         [auth.staff]\nkind = 'memory'\nusers = {{ bob = {{ file = 'pw' }} }}\n\
         [[serve]]\nwhat = 'users'\n{serve}\nat = 'tcp:80:interface=127.0.0.1'\n"
    );
    let registry = Registry::builtin();
    let loaded = Application::parse(&file, text.as_bytes(), &registry, table.reactor());
    let mut application =
        loaded.map_err(|problems| problems.to_string().replace(&format!("{file}:"), ""))?;
    application.start(table.reactor()).unwrap();
    let heard = Rc::<RefCell<String>>::default();
    let asker = Asker {
        says: says.to_owned().leak(),
        heard: Rc::clone(&heard),
    };
    let to = "tcp:127.0.0.1:80";
    table.reactor().connect_protocol(to, asker).detach();
    table.settle();
    application.stop(table.reactor()).detach();
    Ok(heard.take())
}

#[test]
fn callers_log_in_as_the_protocol_has_it() {
    for (protocol, says, expect) in [
        (
            "lines",
            "login bob secret\ngetUsers\n",
            "ok\r\n\r\nmoshez\r\n\r\n",
        ),
        (
            "lines",
            "getUsers\n",
            "! unauthorized: log in first\r\n\r\n",
        ),
        (
            "jsonrpc-lines",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rpc.login\",\"params\":[\"bob\",\"secret\"]}\n",
            "{\"jsonrpc\":\"2.0\",\"result\":null,\"id\":1}\n",
        ),
        (
            "amp",
            "\0\x04_ask\0\x011\0\x08_command\0\x05Login\0\x08username\0\x03bob\0\x08password\0\x06secret\0\0",
            "\0\x07_answer\0\x011\0\0",
        ),
    ] {
        let serve = format!("as = '{protocol}'\nauth = 'staff'");
        let answer = asked(&Table::new(), &serve, says);
        assert_eq!(answer.as_deref(), Ok(expect), "{protocol}: {says}");
    }
}

#[test]
fn limits_of_what_is_served_are_keys() {
    let big = format!("getUser {}\n", "x".repeat(300));
    let deep = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\",\"params\":[[[]]]}\n";
    let two = "[{\"jsonrpc\":\"2.0\",\"method\":\"a\"},{\"jsonrpc\":\"2.0\",\"method\":\"a\"}]\n";
    for (protocol, key, says, expect) in [
        (
            "lines",
            "request_bytes = 256",
            &*big,
            "! too-large: a line has 256 bytes at most",
        ),
        ("jsonrpc-lines", "nesting = 1", deep, "nested deeper than 1"),
        (
            "jsonrpc-lines",
            "batch = 1",
            two,
            "a batch has 1 requests at most",
        ),
    ] {
        let serve = format!("as = '{protocol}'\n{key}");
        let answer = asked(&Table::new(), &serve, says).unwrap();
        assert!(answer.contains(expect), "{key}: {answer}");
    }
    for (protocol, key, expect) in [
        (
            "lines",
            "nesting = 3",
            "10: serve.nesting: unknown key `nesting`",
        ),
        (
            "finger",
            "request_bytes = 999",
            "10: serve.request_bytes: unknown key `request_bytes`",
        ),
        ("amp", "batch = 3", "10: serve.batch: unknown key `batch`"),
        ("amp", "nesting = 0", "10: serve.nesting: expected 1 to 100"),
        (
            "http",
            "request_bytes = '2GiB'",
            "10: serve.request_bytes: expected 256B to 1GiB",
        ),
        (
            "pb",
            "call_deadline = '25h'",
            "10: serve.call_deadline: expected 1ms to 24h",
        ),
        (
            "pb",
            "call_deadline = 3",
            "10: serve.call_deadline: expected a duration",
        ),
        (
            "http",
            "login_delay = '2m'",
            "10: serve.login_delay: expected 0ms to 1m",
        ),
    ] {
        let serve = format!("as = '{protocol}'\n{key}");
        let problem = asked(&Table::new(), &serve, "").unwrap_err();
        assert!(problem.starts_with(expect), "{key}: {problem}");
    }
}

/// The defaults in listings are those of the library.
#[test]
fn the_defaults_of_limits_are_the_defaults() {
    use crate::config::{parse_duration, parse_size};
    use tress_core::limits::Unit;
    let limits = tress_rpc::ExposureLimits::default();
    for limit in tress_rpc::ExposureLimits::TABLE {
        let said = match limit.unit {
            Unit::Bytes => parse_size(limit.default).unwrap(),
            Unit::Count => limit.default.parse().unwrap(),
            Unit::Time => {
                let time = parse_duration(limit.default).unwrap();
                u64::try_from(time.as_millis()).unwrap()
            }
        };
        assert_eq!(said, limit.get(&limits), "{}", limit.name);
    }
}

#[test]
fn a_changed_password_file_counts_and_a_wrong_one_does_not() {
    use tress_rpc::cred::{Credentials, hash_password};
    let hashed = |password: &str| hash_password(password, *b"0123456789abcdef").unwrap();
    let (table, directory) = (Table::new(), Directory::new());
    directory.file("users", &format!("bob:{}\n", hashed("old")));
    let text = "[auth.a]\nkind = 'file'\npath = 'users'\n";
    let registry = Registry::builtin();
    let mut problems = Problems::new(directory.join("a.toml").to_string_lossy());
    let config = Config::read(text.as_bytes(), &mut problems);
    let kind = registry.checker("file").unwrap();
    let checker = (kind.make)(&config.auth[0].options, registry.files()).unwrap();
    let is_bob = |password: &str| {
        let (user, password) = ("bob".to_owned(), password.to_owned());
        let credentials = Credentials::Password { user, password };
        let checked = checker.check(table.reactor(), &credentials);
        table.settle();
        checked.try_result().unwrap().is_ok()
    };
    assert!(is_bob("old") && is_bob("old") && !is_bob("new"));
    directory.file("users", &format!("# changed\nbob:{}\n", hashed("new")));
    assert!(is_bob("old"), "within a second of the last look");
    table.advance(Duration::from_secs(1));
    assert!(
        !is_bob("old"),
        "it was remembered, and the file has changed"
    );
    assert!(is_bob("new"));
    directory.file("users", "bob:new\n");
    table.advance(Duration::from_secs(1));
    let log = logged(|| {
        for _ in 0..3 {
            assert!(is_bob("new"));
            table.advance(Duration::from_secs(1));
        }
    });
    assert!(
        log.len() == 1 && log[0].contains("the users stay as they were"),
        "{log:?}"
    );
}
