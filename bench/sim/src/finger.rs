//! The finger service: a whole application from a TOML file, whose users are on a simulated disk, and clients that ask and
//! set. Whoever gets an answer to its end gets one that was set, whole.

use crate::{
    ledger::{Clockwork, Ledger},
    words::sentence,
};
use std::{cell::Cell, fmt, io, path::Path, rc::Rc, time::Duration};
use tress_app::{
    Application, Registry,
    files::{Files, Stamp},
};
use tress_core::{
    Failure, Protocol, Reactor, Result, Transport, WeakReactor, error::ConnectionDone,
};
use tress_sim::Disk;

/// Where the application's file is; the users are beside it.
const FILE: &str = "/town/town.toml";
const USERS: &str = "/town/users";
const TEXT: &str = r#"
[app]
name = "town"

[provide.users]
kind = "finger.file"
path = "users"
reload = "5s"

[[serve]]
what = "users"
as = "finger"
at = "tcp:1079"

[[serve]]
what = "users"
as = "finger-setter"
anonymous = true
at = "tcp:1080"
"#;
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(4);
const USER: &str = "moshez";

/// The files of a simulated host.
struct OnDisk(Disk);

impl fmt::Debug for OnDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Files for OnDisk {
    fn read(&self, path: &Path, most: usize) -> io::Result<(Vec<u8>, Stamp)> {
        let (mut bytes, number) = self.0.read(path)?;
        let stamp = stamp(number, bytes.len());
        bytes.truncate(most);
        Ok((bytes, stamp))
    }

    fn stamp(&self, path: &Path) -> Option<Stamp> {
        let (number, length) = self.0.version(path)?;
        Some(stamp(number, length))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.0.write(path, bytes)
    }
}

fn stamp(number: u64, length: usize) -> Stamp {
    Stamp {
        modified: None,
        length: length as u64,
        number,
    }
}

/// Starts the application on this reactor.
pub(crate) fn serve(reactor: &Reactor, disk: &Disk) -> Result<Application> {
    if disk.version(Path::new(USERS)).is_none() {
        disk.write(Path::new(USERS), line(0).as_bytes())?;
    }
    let mut registry = Registry::builtin();
    registry.set_files(OnDisk(disk.clone()));
    let mut application = Application::parse(FILE, TEXT.as_bytes(), &registry, reactor)?;
    application.start(reactor)?;
    Ok(application)
}

fn line(number: u64) -> String {
    format!("{USER}: {}\n", status(number))
}

fn status(number: u64) -> String {
    format!("{number} {}", sentence(USER, number))
}

/// The highest number that anybody has tried to set; shared by all clients of a town.
pub(crate) type Tried = Rc<Cell<u64>>;

/// A client on one host.
pub(crate) struct Asker {
    ledger: Ledger,
    clockwork: Clockwork,
    reactor: WeakReactor,
    tried: Tried,
    at: &'static str,
    sets: bool,
    answers: Cell<u64>,
    is_stopping: Cell<bool>,
}

impl Asker {
    /// Starts one, which asks, and sets if it is said to, again and again.
    pub(crate) fn start(
        reactor: &Reactor,
        ledger: &Ledger,
        clockwork: &Clockwork,
        tried: &Tried,
        at: &'static str,
        sets: bool,
    ) -> Rc<Self> {
        let asker = Rc::new(Self {
            ledger: ledger.clone(),
            clockwork: clockwork.clone(),
            reactor: reactor.downgrade(),
            tried: Rc::clone(tried),
            at,
            sets,
            answers: Cell::new(0),
            is_stopping: Cell::new(false),
        });
        asker.later();
        asker
    }

    pub(crate) fn stop(&self) {
        self.is_stopping.set(true);
    }

    /// How many whole answers it has got.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.get()
    }

    fn later(self: &Rc<Self>) {
        let Some(reactor) = self.reactor.upgrade().filter(|_| !self.is_stopping.get()) else {
            return;
        };
        let (asker, pause) = (Rc::clone(self), self.ledger.millis(100, 600));
        self.clockwork
            .later(&reactor, pause, move |reactor| asker.ask(reactor));
    }

    fn ask(self: &Rc<Self>, reactor: &Reactor) {
        if self.is_stopping.get() {
            return;
        }
        let sets = self.sets && self.ledger.one_in(3);
        let port = if sets { 1080 } else { 1079 };
        let to = format!("tcp:{}:{port}:timeout=5", self.at);
        let question = Question {
            asker: Rc::clone(self),
            sets,
            answer: Vec::new(),
            again: Rc::new(Again(Rc::clone(self))),
        };
        // What never becomes a connection lets go of the question, and so asks again.
        reactor
            .connect_protocol(&to, question)
            .add_errback(|_| Err(Failure::msg("handled")))
            .add_both(|_| ())
            .detach();
    }

    /// Everything came, and then the end.
    fn check_whole(&self, answer: &str) {
        let number = answer
            .split(' ')
            .next()
            .and_then(|number| number.parse::<u64>().ok());
        let is_right = number.is_some_and(|number| {
            number <= self.tried.get() && answer == format!("{}\r\n", status(number))
        });
        self.ledger
            .check(is_right, || format!("finger answered {answer:?}"));
        self.answers.set(self.answers.get() + 1);
    }
}

/// Asks again when it goes, whatever became of its connection.
struct Again(Rc<Asker>);

impl Drop for Again {
    fn drop(&mut self) {
        self.0.later();
    }
}

struct Question {
    asker: Rc<Asker>,
    sets: bool,
    answer: Vec<u8>,
    #[expect(dead_code, reason = "it is dropped with the question")]
    again: Rc<Again>,
}

impl Protocol for Question {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        // A server that crashed after it had read the question never answers, and nobody says so.
        transport.set_idle_timeout(Some(PATIENCE));
        if !self.sets {
            transport.write(b"moshez\r\n");
            return Ok(());
        }
        let number = self.asker.tried.get() + 1;
        self.asker.tried.set(number);
        let text = format!("{USER}\r\n{}\r\n", status(number));
        transport.write(text.as_bytes());
        transport.lose_write_connection();
        Ok(())
    }

    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result {
        self.answer.extend_from_slice(data);
        let length = self.answer.len();
        self.asker
            .ledger
            .check(length < 1000, || format!("{length} bytes of an answer"));
        Ok(())
    }

    fn connection_lost(&mut self, reason: Failure) {
        let text = String::from_utf8_lossy(&self.answer);
        if self.sets {
            let ledger = &self.asker.ledger;
            ledger.check(text.is_empty(), || format!("the setter said {text:?}"));
        } else if reason.check::<ConnectionDone>().is_some() && !self.asker.is_stopping.get() {
            self.asker.check_whole(&text);
        }
    }
}
