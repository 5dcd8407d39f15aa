//! The chat of Twisted's `servers.rst` (greeting, names, lines to all others), and clients that talk, pause, burst, leave
//! and come back. A client knows what it has to hear: of each speaker every line from the first on, in order, once.

use crate::{
    ledger::{Clockwork, Ledger},
    log::Log,
    words::sentence,
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};
use tress_core::{
    Failure, Limits, Reactor, Result, Time, WeakReactor,
    client::{ClientService, Jitter, ReconnectPolicy},
    framing::{LineReceiver, LineTransport, Lines},
};
use tress_tls::TlsInfo;

/// How long a client waits for the server.
const PATIENCE: Duration = Duration::from_secs(5);
/// How late the engine may be to notice that a deadline has passed: it looks twice a second.
const NOTICED: Duration = Duration::from_secs(1);

/// Who is there, by name.
pub(crate) struct Room {
    users: RefCell<BTreeMap<String, LineTransport>>,
    log: Log,
}

impl Room {
    pub(crate) fn new(log: Log) -> Rc<Self> {
        Rc::new(Self {
            users: RefCell::default(),
            log,
        })
    }

    /// A protocol for whoever comes.
    pub(crate) fn door(self: &Rc<Self>) -> Lines<Guest> {
        Lines::new(Guest {
            room: Rc::clone(self),
            name: None,
        })
    }
}

/// One connection of the server.
pub(crate) struct Guest {
    room: Rc<Room>,
    name: Option<String>,
}

impl Guest {
    fn enter(&mut self, transport: &LineTransport, name: String) {
        let mut users = self.room.users.borrow_mut();
        if users.contains_key(&name) {
            transport.send_line(b"Name taken, please choose another.");
            return;
        }
        transport.send_line(format!("Welcome, {name}!").as_bytes());
        users.insert(name.clone(), transport.clone());
        self.name = Some(name);
    }
}

impl LineReceiver for Guest {
    fn connection_made(&mut self, transport: &LineTransport) -> Result {
        transport.send_line(b"What's your name?");
        Ok(())
    }

    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        let text = str::from_utf8(line)?;
        let Some(name) = &self.name else {
            self.enter(transport, text.to_owned());
            return Ok(());
        };
        let message = format!("<{name}> {text}");
        for (other, transport) in &*self.room.users.borrow() {
            if other != name {
                transport.send_line(message.as_bytes());
            }
        }
        self.room.log.write(&message);
        Ok(())
    }

    fn connection_lost(&mut self, _: Failure) {
        if let Some(name) = &self.name {
            self.room.users.borrow_mut().remove(name);
        }
    }
}

/// A client on one host, over all its connections.
pub(crate) struct Talker {
    ledger: Ledger,
    clockwork: Clockwork,
    reactor: WeakReactor,
    number: u64,
    is_secure: bool,
    connections: Cell<u64>,
    /// The connection on which it is in the room.
    within: RefCell<Option<(u64, LineTransport)>>,
    /// Lines that it heard, over all connections.
    heard: Cell<u64>,
    /// The connection that it left last, and when that was gone, or is at the latest.
    left: Cell<Option<(u64, Time)>>,
    is_stopping: Cell<bool>,
}

impl Talker {
    /// Starts one, which keeps itself connected.
    pub(crate) fn start(
        reactor: &Reactor,
        ledger: &Ledger,
        clockwork: &Clockwork,
        number: u64,
        to: &str,
    ) -> Result<(Rc<Self>, ClientService<Lines<Speaker>>)> {
        let talker = Rc::new(Self {
            ledger: ledger.clone(),
            clockwork: clockwork.clone(),
            reactor: reactor.downgrade(),
            number,
            is_secure: to.starts_with("tls:"),
            connections: Cell::new(ledger.below(1 << 40)),
            within: RefCell::default(),
            heard: Cell::new(0),
            left: Cell::new(None),
            is_stopping: Cell::new(false),
        });
        let maker = Rc::clone(&talker);
        let service = ClientService::new(reactor, to, move || Speaker::make(&maker))?;
        let service = service.with_policy(ReconnectPolicy {
            initial_delay: Duration::from_millis(100),
            factor: 1.5,
            jitter: Jitter::Added(Duration::from_millis(100)),
            max_delay: Duration::from_secs(2),
            max_retries: None,
        });
        service.start_service();
        Ok((talker, service))
    }

    pub(crate) fn stop(&self) {
        self.is_stopping.set(true);
    }

    /// Whether it is in the room, and how many lines it has heard.
    pub(crate) fn state(&self) -> (bool, u64) {
        (self.within.borrow().is_some(), self.heard.get())
    }

    /// When it was gone, or is at the latest, after it left by itself: until then it hears nothing.
    pub(crate) fn gone_at(&self) -> Option<Time> {
        self.left.get().map(|(_, gone)| gone)
    }

    /// Leaves. What it said is sent first, which over a small window takes as long as the engine lets it.
    fn leave(&self, connection: u64, transport: &LineTransport) {
        if let Some(reactor) = self.reactor.upgrade() {
            let latest = reactor.now() + Limits::default().shutdown + NOTICED;
            self.left.set(Some((connection, latest)));
        }
        transport.lose_connection();
    }

    /// This connection is gone; if it was left, then in time.
    fn is_gone(&self, connection: u64) {
        if let Some((left, latest)) = self.left.get()
            && left == connection
            && let Some(reactor) = self.reactor.upgrade()
        {
            let now = reactor.now();
            self.ledger.check(now <= latest, || {
                format!(
                    "c{}n{connection} was gone at {now:?}, not by {latest:?}",
                    self.number
                )
            });
            self.left.set(Some((left, now)));
        }
    }

    /// Says something now and then, for as long as this connection is there.
    fn talk(self: &Rc<Self>, connection: u64, name: Rc<str>, said: u64, is_paused: Rc<Cell<bool>>) {
        let Some(reactor) = self.reactor.upgrade() else {
            return;
        };
        let talker = Rc::clone(self);
        let pause = self.ledger.millis(20, 400);
        self.clockwork.later(&reactor, pause, move |_| {
            let within = talker.within.borrow().clone();
            let Some((_, transport)) = within.filter(|(within, _)| *within == connection) else {
                return;
            };
            if talker.is_stopping.get() {
                return;
            }
            let ledger = &talker.ledger;
            let lines = if ledger.one_in(30) { 60 } else { 1 };
            for number in said..said + lines {
                let line = format!("{number} {}", sentence(&name, number));
                transport.send_line(line.as_bytes());
            }
            match ledger.below(120) {
                0 => talker.leave(connection, &transport),
                1 => transport.abort_connection(),
                2..8 => talker.pause(&transport, &is_paused),
                _ => {}
            }
            talker.talk(connection, name, said + lines, is_paused);
        });
    }

    /// Hears nothing for a while.
    fn pause(&self, transport: &LineTransport, is_paused: &Rc<Cell<bool>>) {
        let Some(reactor) = self.reactor.upgrade() else {
            return;
        };
        if is_paused.replace(true) {
            return;
        }
        transport.pause_producing();
        let (transport, is_paused) = (transport.clone(), Rc::clone(is_paused));
        let pause = self.ledger.millis(50, 1500);
        self.clockwork.later(&reactor, pause, move |_| {
            is_paused.set(false);
            transport.resume_producing();
        });
    }
}

/// One connection of a client.
pub(crate) struct Speaker {
    talker: Rc<Talker>,
    connection: u64,
    name: Rc<str>,
    greeting: Greeting,
    /// The number of the last line of each speaker.
    heard: BTreeMap<String, u64>,
    is_paused: Rc<Cell<bool>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Greeting {
    Nothing,
    Asked,
    Welcome,
    Lost,
}

impl Speaker {
    fn make(talker: &Rc<Talker>) -> Lines<Self> {
        let connection = talker.connections.get() + 1;
        talker.connections.set(connection);
        Lines::new(Self {
            talker: Rc::clone(talker),
            connection,
            name: format!("c{}n{connection}", talker.number).into(),
            greeting: Greeting::Nothing,
            heard: BTreeMap::new(),
            is_paused: Rc::default(),
        })
    }

    fn broke(&self, what: &str, line: &str) {
        let name = &self.name;
        self.talker.ledger.broke(format!("{name}: {what}: {line}"));
    }

    fn hear(&mut self, line: &str) {
        let parsed = line.strip_prefix('<').and_then(|rest| {
            let (speaker, text) = rest.split_once("> ")?;
            let (number, words) = text.split_once(' ')?;
            Some((speaker, number.parse::<u64>().ok()?, words))
        });
        let Some((speaker, number, words)) = parsed else {
            return self.broke("a line that nobody says", line);
        };
        if words != sentence(speaker, number) {
            self.broke("a line that nobody said", line);
        }
        if speaker == &*self.name {
            self.broke("its own line", line);
        }
        match self.heard.insert(speaker.to_owned(), number) {
            Some(before) if number != before + 1 => {
                self.broke(&format!("a line after number {before}"), line);
            }
            _ => {}
        }
        self.talker.heard.set(self.talker.heard.get() + 1);
    }
}

impl LineReceiver for Speaker {
    fn connection_made(&mut self, transport: &LineTransport) -> Result {
        // A server that crashed before it said a word never says one, and nobody says so.
        transport.set_idle_timeout(Some(PATIENCE));
        if transport.info::<TlsInfo>().is_some() != self.talker.is_secure {
            self.broke(
                "TLS where there should be none, or none where there should be",
                "",
            );
        }
        Ok(())
    }

    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        let text = String::from_utf8_lossy(line);
        if self.is_paused.get() {
            self.broke("a line while it is paused", &text);
        }
        match self.greeting {
            Greeting::Nothing if text == "What's your name?" => {
                transport.send_line(self.name.as_bytes());
                self.greeting = Greeting::Asked;
            }
            Greeting::Asked if text == format!("Welcome, {}!", self.name) => {
                self.greeting = Greeting::Welcome;
                let within = (self.connection, transport.clone());
                self.talker.within.replace(Some(within));
                let (name, is_paused) = (Rc::clone(&self.name), Rc::clone(&self.is_paused));
                self.talker.talk(self.connection, name, 1, is_paused);
            }
            Greeting::Welcome => {
                self.hear(&text);
                if self.talker.ledger.one_in(200) {
                    self.talker.pause(transport, &self.is_paused);
                }
            }
            Greeting::Nothing | Greeting::Asked => self.broke("no greeting", &text),
            Greeting::Lost => self.broke("a line after the end", &text),
        }
        Ok(())
    }

    fn connection_lost(&mut self, _: Failure) {
        if self.greeting == Greeting::Lost {
            self.broke("a second end", "");
        }
        self.greeting = Greeting::Lost;
        self.talker.is_gone(self.connection);
        let mut within = self.talker.within.borrow_mut();
        if within
            .as_ref()
            .is_some_and(|(within, _)| *within == self.connection)
        {
            *within = None;
        }
    }
}
