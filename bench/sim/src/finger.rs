//! The finger service: a whole application from a TOML file, whose users are on a simulated disk, and clients that ask and
//! set. Whoever gets an answer to its end gets one that was set, whole; once nothing goes wrong any more, none that is older
//! than what the server had taken when it was asked.

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

/// What was set; clones are the same, which all clients of a town share.
#[derive(Clone, Default)]
pub(crate) struct Statuses(Rc<Numbers>);

#[derive(Default)]
struct Numbers {
    /// The highest number that anybody has tried to set.
    tried: Cell<u64>,
    /// The highest that the server has taken, from when what it takes is kept.
    kept: Cell<Option<u64>>,
}

impl Statuses {
    /// From now on what the server takes is kept. The disk must no longer be full at times, and nothing that was said
    /// before may still be on its way: it could come last.
    pub(crate) fn are_kept(&self) {
        self.0.kept.set(Some(0));
    }

    fn try_next(&self) -> u64 {
        let number = self.0.tried.get() + 1;
        self.0.tried.set(number);
        number
    }

    /// The server took this, and ended well.
    fn take(&self, number: u64) {
        self.0.kept.update(|kept| kept.map(|kept| kept.max(number)));
    }

    /// The least number that can be the answer to what is asked now.
    fn least(&self) -> u64 {
        self.0.kept.get().unwrap_or(0)
    }
}

/// A client on one host.
pub(crate) struct Asker {
    ledger: Ledger,
    clockwork: Clockwork,
    reactor: WeakReactor,
    statuses: Statuses,
    at: &'static str,
    sets_one_in: Cell<Option<u64>>,
    answers: Cell<u64>,
    taken: Cell<u64>,
    is_stopping: Cell<bool>,
}

impl Asker {
    /// Starts one, which asks again and again; or sets, one time in so many.
    pub(crate) fn start(
        reactor: &Reactor,
        ledger: &Ledger,
        clockwork: &Clockwork,
        statuses: &Statuses,
        at: &'static str,
        sets_one_in: Option<u64>,
    ) -> Rc<Self> {
        let asker = Rc::new(Self {
            ledger: ledger.clone(),
            clockwork: clockwork.clone(),
            reactor: reactor.downgrade(),
            statuses: statuses.clone(),
            at,
            sets_one_in: Cell::new(sets_one_in),
            answers: Cell::new(0),
            taken: Cell::new(0),
            is_stopping: Cell::new(false),
        });
        asker.later();
        asker
    }

    pub(crate) fn stop(&self) {
        self.is_stopping.set(true);
    }

    /// Sets nothing any more.
    pub(crate) fn only_ask(&self) {
        self.sets_one_in.set(None);
    }

    /// How many of its settings the server has taken.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.get()
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
        let sets_one_in = self.sets_one_in.get();
        let sets = sets_one_in.is_some_and(|many| self.ledger.one_in(many));
        let port = if sets { 1080 } else { 1079 };
        let to = format!("tcp:{}:{port}:timeout=5", self.at);
        let question = Question {
            asker: Rc::clone(self),
            sets,
            number: 0,
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

    /// Everything came, and then the end. What is older than `least` was replaced before this was asked.
    fn check_whole(&self, answer: &str, least: u64) {
        let number = answer
            .split(' ')
            .next()
            .and_then(|number| number.parse::<u64>().ok());
        let is_right = number.is_some_and(|number| {
            let possible = least..=self.statuses.0.tried.get();
            possible.contains(&number) && answer == format!("{}\r\n", status(number))
        });
        self.ledger.check(is_right, || {
            format!("finger answered {answer:?}, and had taken number {least}")
        });
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
    /// What it sets, or the least that can be the answer; known once there is a connection.
    number: u64,
    answer: Vec<u8>,
    #[expect(dead_code, reason = "it is dropped with the question")]
    again: Rc<Again>,
}

impl Protocol for Question {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        // A server that crashed after it had read the question never answers, and nobody says so.
        transport.set_idle_timeout(Some(PATIENCE));
        if !self.sets {
            self.number = self.asker.statuses.least();
            transport.write(b"moshez\r\n");
            return Ok(());
        }
        self.number = self.asker.statuses.try_next();
        let text = format!("{USER}\r\n{}\r\n", status(self.number));
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
        let (text, asker) = (String::from_utf8_lossy(&self.answer), &self.asker);
        let ended_well = reason.check::<ConnectionDone>().is_some();
        if self.sets {
            let ledger = &asker.ledger;
            ledger.check(text.is_empty(), || format!("the setter said {text:?}"));
            if ended_well {
                asker.taken.set(asker.taken.get() + 1);
                asker.statuses.take(self.number);
            }
        } else if ended_well && !asker.is_stopping.get() {
            asker.check_whole(&text, self.number);
        }
    }
}
