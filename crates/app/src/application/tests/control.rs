//! An application that is changed while it runs: on a network and with files in memory.

use super::{super::*, FINGER, USERS};
use crate::{
    Access, Exposure, Make, Provider, ProviderKind, Serves, Sharing,
    control::{Application as _, CANNOT_START, NO_SUCH_SERVICE, NOT_RUNNING, REFUSED, Reloaded},
    files::{Files, Stamp},
    testing::logged,
};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tress_core::{Failure, Protocol, SharedFactory, Transport, testing::memory::Table};
use tress_protocols::finger::DynFinger;
use tress_rpc::{Fault, Object, cred::Sort, fault::BUSY};

/// Files in memory; clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct InMemory(Rc<RefCell<BTreeMap<PathBuf, String>>>);

impl InMemory {
    pub(super) fn write(&self, path: &str, text: &str) {
        self.0.borrow_mut().insert(path.into(), text.to_owned());
    }
}

impl Files for InMemory {
    fn read(&self, path: &Path, most: usize) -> io::Result<(Vec<u8>, Stamp)> {
        let files = self.0.borrow();
        let text = files.get(path).ok_or(io::ErrorKind::NotFound)?;
        let bytes = text.bytes().take(most).collect();
        let length = text.len() as u64;
        Ok((
            bytes,
            Stamp {
                length,
                ..Stamp::default()
            },
        ))
    }

    fn stamp(&self, path: &Path) -> Option<Stamp> {
        self.read(path, 0).ok().map(|(_, stamp)| stamp)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.write(&path.to_string_lossy(), &String::from_utf8_lossy(bytes));
        Ok(())
    }
}

/// What is done to a noted provider, by its name.
type Log = Rc<RefCell<Vec<String>>>;

thread_local! {
    static LOG: Log = Log::default();
}

fn note(what: String) {
    LOG.with(|log| log.borrow_mut().push(what));
}

fn noted() -> String {
    LOG.with(|log| log.take()).join(" ")
}

/// A provider that says what is done to it, and of whose start the application is asked.
struct Noted(String, bool, Control);

impl Provider for Noted {
    fn object(&self, interface: &str) -> Option<Object> {
        struct Nobody;
        impl tress_protocols::finger::Finger for Nobody {
            async fn user(&self, _name: String) -> Result<Option<String>> {
                Ok(None)
            }
            async fn users(&self) -> Result<Vec<String>> {
                Ok(Vec::new())
            }
        }
        (interface == "Finger").then(|| <dyn DynFinger>::object(Rc::new(Nobody)))
    }

    fn start(&mut self, reactor: &Reactor) -> Result {
        note(format!("+{}", self.0));
        let control = self.2.clone();
        let inside = reactor.spawn(async move { control.list().await });
        let refused = inside.try_result().unwrap().unwrap_err();
        assert_eq!(Fault::of(&refused).code(), BUSY);
        match self.1 {
            true => Err(Failure::msg("it is broken")),
            false => Ok(()),
        }
    }

    fn reload(&mut self) {
        note(format!("?{}", self.0));
    }

    fn stop(&mut self) -> tress_core::Deferred<()> {
        note(format!("-{}", self.0));
        tress_core::Deferred::succeed(())
    }
}

pub(super) const NOTED: ProviderKind = ProviderKind {
    name: "noted",
    doc: "",
    options: &[
        crate::config::OptionSpec {
            name: "says",
            value: crate::config::ValueKind::String,
            required: false,
            default: "x",
            doc: "",
        },
        crate::config::OptionSpec {
            name: "fails",
            value: crate::config::ValueKind::Bool,
            required: false,
            default: "false",
            doc: "",
        },
    ],
    interfaces: &[<dyn DynFinger>::DESCRIPTOR],
    make: |context, options| {
        let name = format!("{}:{}", context.name, options.string("says")?);
        let fails = options.bool("fails", false)?;
        Ok(Box::new(Noted(name, fails, context.application.clone())))
    },
    sharing: Sharing::PerWorker,
};

/// Echoes what it is told, with a word of its section before it.
struct Echo(String);

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        transport.write(self.0.as_bytes());
        transport.write(data);
        Ok(())
    }
}

const ECHO: Exposure = Exposure {
    name: "echo",
    serves: Serves::Any(|_| Ok(())),
    access: Access::Logins(&[Sort::Password]),
    doc: "",
    options: &[crate::config::OptionSpec {
        name: "word",
        value: crate::config::ValueKind::String,
        required: false,
        default: "?",
        doc: "",
    }],
    make: Make::Factory(|serving| {
        let word = serving.options.string("word")?.to_owned();
        Ok(SharedFactory::new(move || Echo(word.clone())))
    }),
};

/// Says something, if it has anything to say, and keeps what it hears, and whether the connection has ended.
#[derive(Clone, Default)]
pub(super) struct Heard(Rc<RefCell<(String, Option<Transport>, bool)>>, String);

impl Protocol for Heard {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.write(self.1.as_bytes());
        self.0.borrow_mut().1 = Some(transport.clone());
        Ok(())
    }

    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result {
        self.0
            .borrow_mut()
            .0
            .push_str(&String::from_utf8_lossy(data));
        Ok(())
    }

    fn connection_lost(&mut self, _reason: Failure) {
        self.0.borrow_mut().2 = true;
    }
}

impl Heard {
    pub(super) fn saying(says: &str) -> Self {
        Self(Rc::default(), says.to_owned())
    }

    pub(super) fn has_ended(&self) -> bool {
        self.0.borrow().2
    }

    /// All that it has heard since it said something last.
    pub(super) fn all(&self) -> String {
        self.0.borrow().0.clone()
    }

    /// Says something more.
    pub(super) fn say(&self, says: &str) {
        let transport = self.0.borrow().1.clone().unwrap();
        self.0.borrow_mut().0.clear();
        transport.write(says.as_bytes());
    }
}

/// An application that runs.
pub(super) struct Running {
    pub(super) table: Table,
    files: InMemory,
    application: Application,
}

const FILE: &str = "f.toml";

impl Running {
    pub(super) fn of(text: &str) -> Self {
        let (table, files) = (Table::new(), InMemory::default());
        let mut registry = Registry::builtin();
        registry.set_files(files.clone());
        registry.set_upgrade(super::upgrade::hook());
        registry.register_provider(NOTED).register_exposure(ECHO);
        let loaded = Application::parse(FILE, text.as_bytes(), &registry, table.reactor());
        let mut application = loaded.unwrap();
        application.start(table.reactor()).unwrap();
        files.write(FILE, text);
        Self {
            table,
            files,
            application,
        }
    }

    pub(super) fn end(&mut self) {
        self.application.stop(self.table.reactor()).detach();
    }

    pub(super) fn control(&self) -> Control {
        self.application.control()
    }

    /// Done at once, as everything is.
    #[track_caller]
    fn ask<T: 'static, F: Future<Output = Result<T>> + 'static>(
        &self,
        f: impl FnOnce(Control) -> F,
    ) -> Result<T, Fault> {
        let asked = self.table.reactor().spawn(f(self.application.control()));
        let answer = asked.try_result().expect("at once");
        answer.map_err(|failure| Fault::of(&failure))
    }

    #[track_caller]
    pub(super) fn start(&self, name: &'static str) -> Result<String, Fault> {
        self.ask(|control| async move { control.start(name.into()).await })
    }

    #[track_caller]
    pub(super) fn stop(&self, name: &'static str) -> Result<String, Fault> {
        self.ask(|control| async move { control.stop(name.into()).await })
    }

    #[track_caller]
    pub(super) fn attach(&self, text: &str) -> Result<Vec<String>, Fault> {
        let text = text.to_owned();
        self.ask(|control| async move { control.attach(text).await })
    }

    #[track_caller]
    pub(super) fn detach(&self, name: &'static str) -> Result<(), Fault> {
        self.ask(|control| async move { control.detach(name.into()).await })
    }

    #[track_caller]
    pub(super) fn reload(&self, text: &str) -> Result<Reloaded, Fault> {
        self.files.write(FILE, text);
        self.ask(|control| async move { control.reload().await })
    }

    /// `name state`, with `*` where it was attached.
    #[track_caller]
    fn list(&self) -> String {
        let services = self.ask(|control| async move { control.list().await });
        let said = services.unwrap().into_iter().map(|service| {
            let attached = if service.attached { "*" } else { "" };
            let state = if service.state == "running" {
                ""
            } else {
                " stopped"
            };
            format!("{}{attached}{state}", service.name)
        });
        said.collect::<Vec<_>>().join(", ")
    }

    pub(super) fn connect(&self, port: u16) -> Heard {
        let heard = Heard::default();
        let at = format!("tcp:192.0.2.2:{port}");
        self.table
            .reactor()
            .connect_protocol(&at, heard.clone())
            .detach();
        self.table.settle();
        heard
    }

    /// What this connection is told when it says something.
    fn hear(&self, heard: &Heard, says: &str) -> String {
        if let Some(transport) = heard.0.borrow().1.clone() {
            transport.write(says.as_bytes());
        }
        self.table.settle();
        std::mem::take(&mut heard.0.borrow_mut().0)
    }

    /// Whether somebody listens there.
    pub(super) fn listens(&self, port: u16) -> bool {
        let heard = self.connect(port);
        let connected = heard.0.borrow().1.clone();
        connected.inspect(Transport::abort_connection).is_some()
    }

    /// The reports of one service: open, accepted, refused, received, sent, restarts.
    fn figures(&self, name: &str) -> [u64; 6] {
        let all = self
            .ask(|control| async move { control.statistics().await })
            .unwrap();
        let found = all
            .services
            .iter()
            .find(|service| service.name == name)
            .unwrap();
        [
            found.connections,
            found.accepted,
            found.refused,
            found.received,
            found.sent,
            found.restarts,
        ]
    }
}

pub(super) fn echo(what: &str, port: u16, more: &str) -> String {
    format!(
        "[[serve]]\nwhat = '{what}'\nas = 'echo'\nat = 'tcp:{port}'\nanonymous = true\n{more}\n"
    )
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Fault>, code: &str, message: &str) {
    let fault = result.unwrap_err();
    assert_eq!((fault.code(), fault.message()), (code, message));
}

#[test]
fn services_have_names() {
    let text = format!(
        "{USERS}{FINGER}{}{}{}{}",
        FINGER.replace("79", "80"),
        FINGER.replace("79", "81") + "name = 'users-finger'\n",
        FINGER.replace("79", "82") + "name = 'mine'\n",
        echo("users", 83, ""),
    );
    let running = Running::of(&text);
    assert_eq!(
        running.list(),
        "users-finger-2, users-finger-3, users-finger, mine, users-echo"
    );
    let table = Table::new();
    for (name, expected) in [
        (
            "'a b'",
            "`a b` is no name for a service; expected at most 64 letters, digits, `-` and `_`",
        ),
        (
            "''",
            "`` is no name for a service; expected at most 64 letters, digits, `-` and `_`",
        ),
        ("7", "expected a string, found an integer"),
    ] {
        let text = format!("{USERS}{FINGER}name = {name}\n");
        let problems = super::load(&table, &text).unwrap_err().to_string();
        assert_eq!(problems, format!("f.toml:8: serve.name: {expected}"));
    }
    let twice = format!(
        "{USERS}{FINGER}name = 'a'\n{}name = 'a'\n",
        FINGER.replace("79", "80")
    );
    let problems = super::load(&table, &twice).unwrap_err().to_string();
    assert_eq!(
        problems,
        "f.toml:13: serve.name: `a` is the name of another service"
    );
}

#[test]
fn a_service_stops_and_starts_again() {
    let running = Running::of(&format!("{USERS}{FINGER}{}", echo("users", 80, "")));
    let (one, other) = (running.connect(80), running.connect(79));
    assert_eq!(running.hear(&one, "a"), "?a");
    assert_eq!(running.stop("users-echo"), Ok("stopped".into()));
    assert_eq!(running.list(), "users-finger, users-echo stopped");
    running.table.settle();
    assert!(one.has_ended() && !other.has_ended());
    assert!(!running.listens(80));
    assert_eq!(running.stop("users-echo"), Ok("does not run".into()));
    assert_eq!(running.start("users-echo"), Ok("started".into()));
    assert_eq!(running.start("users-echo"), Ok("runs already".into()));
    assert_eq!(running.hear(&running.connect(80), "b"), "?b");
    let message = "unknown service `users-ehco`; expected one of `users-finger`, `users-echo`; did you mean `users-echo`?";
    refused(running.start("users-ehco"), NO_SUCH_SERVICE, message);
    refused(running.stop("users-ehco"), NO_SUCH_SERVICE, message);
    refused(running.detach("users-ehco"), NO_SUCH_SERVICE, message);
    // Somebody else has its address now.
    running.stop("users-echo").unwrap();
    let taken = running
        .table
        .reactor()
        .listen("tcp:80", || Echo(String::new()))
        .unwrap();
    let error = running.start("users-echo").unwrap_err();
    assert_eq!(error.code(), CANNOT_START);
    let expected = "cannot start `echo` at `tcp:80`: cannot listen at 0.0.0.0:80: ";
    assert!(error.message().starts_with(expected), "{error}");
    assert_eq!(running.list(), "users-finger, users-echo stopped");
    taken.stop_listening();
    running.start("users-echo").unwrap();
}

#[test]
fn what_a_connection_was_told_leaves_before_it_ends() {
    let running = Running::of(&format!("{USERS}{}", echo("users", 80, "")));
    let one = running.connect(80);
    one.0.borrow().1.clone().unwrap().write(b"last words");
    running.table.settle();
    running.stop("users-echo").unwrap();
    running.table.settle();
    assert!(one.has_ended());
    assert_eq!(one.0.borrow().0, "?last words");
}

#[test]
fn what_is_attached_is_checked_first_and_refused_whole() {
    let running = Running::of(&format!("{USERS}{FINGER}"));
    let good = echo("users", 80, "name = 'new'");
    let wrong = format!("{good}[[serve]]\nwhat = 'user'\nas = 'echo'\nat = 'tcp:x'\n");
    refused(
        running.attach(&wrong),
        REFUSED,
        "attach:8: serve.what: unknown provider `user`; expected `users`; did you mean `users`?\n\
         attach:10: serve.at: port `x` is no number from 0 to 65535",
    );
    refused(
        running.attach("[provide.a]\nkind = 'x'\n"),
        REFUSED,
        "attach: nothing to attach: there is no [[serve]] section\n\
         attach:1: provide: `provide` cannot be attached: expected [[serve]] and nothing else",
    );
    refused(
        running.attach("[["),
        REFUSED,
        "attach:1:3: unquoted keys cannot be empty, expected letters, numbers, `-`, `_`",
    );
    refused(
        running.attach(
            &FINGER
                .replace("79", "80")
                .replace("[[serve]]\n", "[[serve]]\nname = 'users-finger'\n"),
        ),
        REFUSED,
        "attach:2: serve.name: `users-finger` is the name of another service",
    );
    // The second cannot listen: nor does the first.
    let taken = running
        .table
        .reactor()
        .listen("tcp:81", || Echo(String::new()))
        .unwrap();
    let second = format!("{good}{}", echo("users", 81, ""));
    assert_eq!(running.attach(&second).unwrap_err().code(), CANNOT_START);
    assert!(!running.listens(80));
    assert_eq!(running.list(), "users-finger");
    taken.stop_listening();
    assert_eq!(running.attach(&second), Ok(names(&["new", "users-echo"])));
    assert_eq!(running.list(), "users-finger, new*, users-echo*");
    let one = running.connect(81);
    assert_eq!(running.hear(&one, "a"), "?a");
    running.stop("users-echo").unwrap();
    running.start("users-echo").unwrap();
    running.detach("users-echo").unwrap();
    running.table.settle();
    assert!(one.has_ended() && !running.listens(81) && running.listens(80));
    assert_eq!(running.list(), "users-finger, new*");
    running.detach("users-finger").unwrap();
    assert_eq!(running.list(), "new*");
}

#[test]
fn a_reload_changes_what_has_changed() {
    let before = format!(
        "{USERS}{}{}{}",
        echo("users", 80, ""),
        echo("users", 81, "word = 'b'"),
        echo("users", 82, "")
    );
    let running = Running::of(&before);
    let open: Vec<Heard> = [80, 81, 82].map(|port| running.connect(port)).into();
    let after = format!(
        "# comments\n\n{USERS}{}{}{}",
        echo("users", 83, ""),
        echo("users", 81, "word = 'c'"),
        echo("users", 80, "")
    );
    let log = logged(|| {
        let done = running.reload(&after).unwrap();
        assert_eq!(done.kept, ["users-echo-3"]);
        assert_eq!(done.restarted, ["users-echo", "users-echo-2"]);
        assert_eq!((done.started.len(), done.stopped.len()), (0, 0));
    });
    let said = |words: &str| log.iter().any(|line| line.ends_with(words));
    assert!(
        said("listening at tcp:83 as echo") && said("stopped listening at tcp:82"),
        "{log:?}"
    );
    assert!(
        said("serving echo at tcp:81 from now on") && log.len() == 3,
        "{log:?}"
    );
    running.table.settle();
    assert_eq!(
        [0, 1, 2].map(|n: usize| open[n].has_ended()),
        [false, false, true]
    );
    assert_eq!(running.hear(&open[1], "it may finish"), "bit may finish");
    running.table.advance(Duration::from_secs(1));
    running.table.settle();
    assert_eq!(
        [0, 1, 2].map(|n: usize| open[n].has_ended()),
        [false, true, true]
    );
    assert_eq!(running.hear(&open[0], "still"), "?still");
    assert_eq!(running.hear(&running.connect(81), "a"), "ca");
    assert!(running.listens(83) && !running.listens(82));
    // Nothing has changed.
    let again = running.reload(&after).unwrap();
    assert_eq!(again.kept.len(), 3);
    assert_eq!(running.hear(&open[0], "and on"), "?and on");
}

#[test]
fn a_wrong_file_changes_nothing() {
    let before = format!("{USERS}{}", echo("users", 80, ""));
    let running = Running::of(&before);
    let open = running.connect(80);
    refused(
        running.reload(&format!(
            "{before}[limits]\nidel = 1\n[[serve]]\nwhat = 'x'\nas = 'echo'\nat = 'tcp:y'\n"
        )),
        REFUSED,
        "f.toml:11: limits.idel: unknown key `idel`; expected one of `line`, `string`, `idle`, `handshake`, `shutdown`, `worker_stop`, \
         `upgrade`, `drain`, `connect`, `connections`, `connections_per_peer`, `bytes_per_turn`, `output_high_water`, `output_hard`, \
         `datagram`, `datagram_output`, `descriptors`, `stall`, `thread_calls`, `processes`, `process_output`, \
         `threads`, `jobs_waiting`; did you mean `idle`?\n\
         f.toml:13: serve.what: unknown provider `x`; expected `users`\n\
         f.toml:15: serve.at: port `y` is no number from 0 to 65535",
    );
    refused(
        running.reload(&format!("[app]\ndriver = 'auto'\nname = 'n'\n{before}")),
        REFUSED,
        "f.toml:2: app.driver: an application that runs cannot change this: expected what it was started with, or a start anew",
    );
    running.files.0.borrow_mut().clear();
    let gone = running.ask(|control| async move { control.reload().await });
    refused(
        gone,
        REFUSED,
        "f.toml: cannot read the file: entity not found",
    );
    assert_eq!(running.hear(&open, "a"), "?a");
    assert_eq!(running.reload(&before).unwrap().kept, ["users-echo"]);
}

#[test]
fn a_reload_that_fails_is_taken_back() {
    let before = format!(
        "[provide.n]\nkind = 'noted'\n{}{}",
        echo("n", 80, "word = 'a'"),
        echo("n", 82, "")
    );
    let running = Running::of(&before);
    let open = [80, 82].map(|port| running.connect(port));
    let taken = running
        .table
        .reactor()
        .listen("tcp:81", || Echo(String::new()))
        .unwrap();
    assert_eq!(noted(), "+n:x");
    // One is changed, one is gone, one is new and cannot be: the port is somebody else's.
    let after = format!(
        "[provide.n]\nkind = 'noted'\nsays = 'y'\n{}{}",
        echo("n", 80, "word = 'b'"),
        echo("n", 81, "")
    );
    let error = running.reload(&after).unwrap_err();
    assert_eq!(error.code(), CANNOT_START);
    assert!(
        error
            .message()
            .starts_with("cannot start `echo` at `tcp:81`: "),
        "{error}"
    );
    assert_eq!(noted(), "+n:y -n:y");
    running.table.settle();
    assert_eq!(running.list(), "n-echo, n-echo-2");
    assert!(!open[0].has_ended() && !open[1].has_ended());
    assert_eq!(running.hear(&running.connect(80), "x"), "ax");
    assert_eq!(running.hear(&running.connect(82), "x"), "?x");
    // A provider that cannot start.
    let broken = after.replace("says = 'y'", "fails = true");
    refused(
        running.reload(&broken),
        CANNOT_START,
        "cannot start provider `n`: it is broken",
    );
    assert_eq!(noted(), "+n:x");
    assert_eq!(running.hear(&open[0], "x"), "ax");
    taken.stop_listening();
    running.reload(&after).unwrap();
    assert_eq!(noted(), "+n:y");
    running.table.advance(Duration::from_secs(1));
    running.table.settle();
    assert_eq!(noted(), "-n:x");
    assert!(open[0].has_ended() && open[1].has_ended());
    assert_eq!(running.hear(&running.connect(80), "x"), "bx");
}

#[test]
fn a_changed_provider_restarts_what_stands_on_it() {
    let file = |a: &str, b: &str| {
        let provider =
            |name: &str, says: &str| format!("[provide.{name}]\nkind = 'noted'\n{says}\n");
        format!(
            "{}{}{}{}",
            provider("a", a),
            provider("b", b),
            echo("a", 80, ""),
            echo("b", 81, "")
        )
    };
    let mut running = Running::of(&file("", ""));
    let open = [80, 81].map(|port| running.connect(port));
    assert_eq!(noted(), "+a:x +b:x");
    let done = running.reload(&file("", "says = 'y'")).unwrap();
    assert_eq!(
        (done.kept, done.restarted),
        (names(&["a-echo"]), names(&["b-echo"]))
    );
    assert_eq!(
        noted(),
        "+b:y ?a:x",
        "the one that stays looks at its sources"
    );
    running.table.advance(Duration::from_secs(1));
    running.table.settle();
    assert_eq!(noted(), "-b:x", "once its connections have finished");
    assert_eq!([0, 1].map(|n: usize| open[n].has_ended()), [false, true]);
    assert!(running.listens(81));
    let done = running
        .reload(&format!("{USERS}{}", echo("users", 80, "")))
        .unwrap();
    running.table.advance(Duration::from_millis(999));
    assert_eq!(noted(), "");
    running.application.stop(running.table.reactor()).detach();
    assert_eq!(noted(), "-b:y -a:x", "a stop does not forget them");
    running.table.advance(Duration::from_secs(1));
    assert_eq!(noted(), "");
    assert_eq!(
        (done.started, done.stopped),
        (names(&["users-echo"]), names(&["a-echo", "b-echo"]))
    );
}

#[test]
fn after_a_reload_it_is_what_the_file_says_and_nothing_else() {
    let file = format!("{USERS}{}{}", echo("users", 80, ""), echo("users", 81, ""));
    let running = Running::of(&file);
    running.attach(&echo("users", 82, "name = 'gone'")).unwrap();
    running.attach(&echo("users", 83, "name = 'kept'")).unwrap();
    let open = [82, 83].map(|port| running.connect(port));
    running.stop("users-echo").unwrap();
    running.detach("users-echo-2").unwrap();
    let done = running
        .reload(&format!("{file}{}", echo("users", 83, "")))
        .unwrap();
    running.table.settle();
    assert_eq!(running.list(), "users-echo, users-echo-2, users-echo-3");
    assert_eq!(
        [0, 1].map(|n: usize| open[n].has_ended()),
        [true, false],
        "the file has one of them now"
    );
    assert_eq!(done.started, ["users-echo", "users-echo-2"]);
    assert_eq!(
        (done.kept, done.stopped),
        (names(&["users-echo-3"]), names(&["gone"]))
    );
    for port in [80, 81, 83] {
        assert!(running.listens(port), "{port}");
    }
    assert!(!running.listens(82));
}

#[test]
fn limits_say_where_they_were_set_and_change_for_who_comes_next() {
    let file = format!("{USERS}{}", echo("users", 80, ""));
    let running = Running::of(&file);
    let open = running.connect(80);
    let limits = |name: &'static str| {
        let limits = running
            .ask(|control| async move { control.limits().await })
            .unwrap();
        let limit = limits.into_iter().find(|limit| limit.name == name).unwrap();
        format!("{} {} {}", limit.value, limit.unit, limit.set)
    };
    assert_eq!(limits("idle"), "60000 milliseconds default");
    assert_eq!(limits("line"), "16384 bytes default");
    let done = running.reload(&format!("{file}[limits]\nconnections = 2\nidle = '5s'\n"));
    assert_eq!(done.unwrap().kept, ["users-echo"]);
    assert_eq!(limits("idle"), "5000 milliseconds f.toml:12");
    assert_eq!(limits("connections"), "2 count f.toml:11");
    let second = running.connect(80);
    let third = running.connect(80);
    assert_eq!(running.figures("users-echo"), [2, 2, 1, 0, 0, 0]);
    assert!(third.0.borrow().1.is_none() || third.has_ended());
    assert!(!second.has_ended());
    running.table.advance(Duration::from_secs(12));
    running.table.settle();
    assert!(second.has_ended(), "it came under the new limit");
    assert!(!open.has_ended(), "it did not");
}

#[test]
fn figures_are_a_service_s_own_and_outlive_its_listeners() {
    let file = format!("{USERS}{}{}", echo("users", 80, ""), echo("users", 81, ""));
    let running = Running::of(&file);
    let first = running.connect(80);
    assert_eq!(running.hear(&first, "abc"), "?abc");
    assert_eq!(running.figures("users-echo"), [1, 1, 0, 3, 4, 0]);
    running.stop("users-echo").unwrap();
    assert_eq!(
        running.figures("users-echo"),
        [1, 1, 0, 3, 4, 0],
        "it has not ended"
    );
    running.table.settle();
    assert_eq!(running.figures("users-echo"), [0, 1, 0, 3, 4, 0]);
    running.start("users-echo").unwrap();
    let second = running.connect(80);
    running.hear(&second, "d");
    assert_eq!(running.figures("users-echo"), [1, 2, 0, 4, 6, 1]);
    // Changed, at the same endpoint; and the other keeps its own.
    running
        .reload(&file.replacen("anonymous = true\n", "anonymous = true\nword = '!'\n", 1))
        .unwrap();
    running.table.advance(Duration::from_secs(1));
    running.table.settle();
    assert_eq!(running.figures("users-echo"), [0, 2, 0, 4, 6, 2]);
    assert_eq!(running.figures("users-echo-2"), [0; 6]);
    let all = running
        .ask(|control| async move { control.statistics().await })
        .unwrap();
    assert_eq!(
        (all.application.as_str(), all.reloads, all.connections),
        ("f", 1, 0)
    );
}

#[test]
fn whoever_asks_before_or_after_is_told_so() {
    let (table, files) = (Table::new(), InMemory::default());
    let mut registry = Registry::builtin();
    registry.set_files(files);
    let text = format!("{USERS}{FINGER}");
    let loaded = Application::parse(FILE, text.as_bytes(), &registry, table.reactor());
    let mut running = Running {
        table: table.clone(),
        files: InMemory::default(),
        application: loaded.unwrap(),
    };
    let message = "the application does not run";
    refused(running.stop("users-finger"), NOT_RUNNING, message);
    running.application.start(table.reactor()).unwrap();
    running.stop("users-finger").unwrap();
    running.application.stop(table.reactor()).detach();
    refused(running.start("users-finger"), NOT_RUNNING, message);
    let control = running.application.control();
    drop(running);
    let asked = table.reactor().spawn(async move { control.list().await });
    let gone = asked.try_result().unwrap().unwrap_err();
    assert_eq!(
        Fault::of(&gone),
        Fault::new(NOT_RUNNING, "the application has ended")
    );
}

#[test]
fn with_several_workers_services_stay() {
    let table = Table::new();
    let text = format!("[app]\nworkers = 2\n{USERS}{FINGER}");
    let mut application = super::load(&table, &text).unwrap();
    application.start(table.reactor()).unwrap();
    let running = Running {
        table: table.clone(),
        files: InMemory::default(),
        application,
    };
    assert_eq!(running.stop("users-finger").unwrap_err().code(), REFUSED);
    assert_eq!(running.attach("").unwrap_err().code(), REFUSED);
    assert_eq!(running.list(), "users-finger");
}
