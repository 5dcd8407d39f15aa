//! Making one connection: a name is looked up if there is one, then its addresses race (RFC 8305), then the layers of
//! the one that is there come up. Builds no protocol.
//!
//! ```text
//! Resolving --addresses--> Racing --one is there--> Rising --layers are up--> Over
//!     |                    ^  | |                      |                       ^
//!     |    the next begins +--+ +--the last failed-----)-----------------------+
//!     +--no address-----------------given up-----------+-----------------------+
//! ```
//! Another address begins [`CONNECTION_ATTEMPT_DELAY`] after the last one began, or as soon as any fails. Given up is
//! in any state by a cancel, and before `Rising` by the timeout and by a reactor that closes everything. What ends the
//! connection while it rises ends this too.
//! An address that needs no lookup is a race of one, and so is a connection that was made elsewhere: it has won.

use super::{Core, DelayedCall, Entry, Reactor};
use crate::{
    address::Address,
    deferred::{Canceller, Deferred, Resolver},
    driver::{ConnectOptions, Token},
    error::{
        ConnectError, ConnectingCancelled, Deadline, DnsLookupError, NoAddressWorked, ReactorGone,
        TimedOut,
    },
    factory::SharedFactory,
    failure::{Failure, Result},
    names::{CONNECTION_ATTEMPT_DELAY, HostName, NameResolver, interleave},
    transport::{Link, Origin, Transport},
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt::Write,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::{Rc, Weak},
    time::Duration,
};

/// What the table holds while a connection is being made to one address.
pub(super) struct Attempt {
    dial: Rc<Dial>,
    index: usize,
}

/// A connection that is being made, to whichever address works. The lookup holds it, then its attempts.
pub(super) struct Dial {
    purpose: Purpose,
    /// The name and the port, when there is a name.
    host: Option<(HostName, u16)>,
    state: Cell<State>,
}

/// What is the same for every address.
pub(super) struct Purpose {
    pub(super) factory: SharedFactory,
    pub(super) origin: Rc<Origin>,
    pub(super) options: ConnectOptions,
    /// How long all of it may take.
    pub(super) after: Duration,
    /// Those of its link.
    pub(super) flags: u32,
}

#[derive(Default)]
enum State {
    /// Its addresses are not known yet.
    Resolving { open: Open, lookup: Lookup },
    /// At least one attempt is under way.
    Racing { open: Open, race: Race },
    /// The connection is there; its protocol has not been told, as layers may have to come up first.
    Rising {
        resolver: Resolver<Transport>,
        link: Weak<Link>,
    },
    /// It was made, it failed, or nobody wants it any more.
    #[default]
    Over,
}

/// What there is until the end.
struct Open {
    resolver: Resolver<Transport>,
    timeout: DelayedCall,
}

/// What gives the lookup up, and its place among all lookups.
#[derive(Default)]
struct Lookup {
    canceller: Option<Canceller>,
    id: Option<u64>,
}

struct Race {
    /// In the order in which they are tried.
    addresses: Vec<Address>,
    /// How many of them have been begun.
    begun: usize,
    running: Vec<(usize, Token)>,
    failed: Vec<(usize, Failure)>,
    /// Begins the next one.
    pace: Option<DelayedCall>,
}

/// A connection that is there, and what it was made for.
pub(super) struct Won {
    pub(super) to: Address,
    pub(super) factory: SharedFactory,
    pub(super) origin: Rc<Origin>,
    pub(super) flags: u32,
    pub(super) dial: Rc<Dial>,
}

/// Everything that waits for addresses, in the order in which it began.
#[derive(Default)]
pub(super) struct Lookups(RefCell<(u64, BTreeMap<u64, Weak<Dial>>)>);

impl Dial {
    /// Connects to an address.
    pub(super) fn to_address(
        reactor: &Reactor,
        address: Address,
        purpose: Purpose,
    ) -> Deferred<Transport> {
        let (dial, deferred) = Self::new(reactor, purpose, None);
        dial.race(&reactor.0, vec![address]);
        deferred
    }

    /// Looks a name up and connects to one of its addresses.
    pub(super) fn to_host(
        reactor: &Reactor,
        names: &dyn NameResolver,
        name: &HostName,
        port: u16,
        purpose: Purpose,
    ) -> Deferred<Transport> {
        let (dial, deferred) = Self::new(reactor, purpose, Some((name.clone(), port)));
        let asked = catch_unwind(AssertUnwindSafe(|| names.lookup(reactor, name, port)));
        let asked = asked.unwrap_or_else(|payload| Deferred::fail(Failure::from_panic(&*payload)));
        dial.resolving(&reactor.0, asked.canceller());
        asked.add_both(move |answer| dial.resolved(answer)).detach();
        deferred
    }

    /// Takes this connection, which is there already. It begins in the next turn, never from inside whoever calls.
    pub(super) fn adopted(
        reactor: &Reactor,
        (token, peer): (Token, Address),
        purpose: Purpose,
    ) -> Deferred<Transport> {
        let (dial, deferred) = Self::new(reactor, purpose, None);
        if let State::Resolving { open, .. } = dial.state.take() {
            let mut race = Race::new(vec![peer]);
            race.begun = 1;
            race.running.push((0, token));
            dial.state.set(State::Racing { open, race });
        }
        let attempt = Box::new(Attempt { dial, index: 0 });
        reactor
            .0
            .put(token, Entry::Connecting(token.generation, attempt));
        let weak = reactor.downgrade();
        reactor.call_later(Duration::ZERO, move || {
            if let Some(reactor) = weak.upgrade() {
                reactor.0.connected(token);
            }
        });
        deferred
    }

    fn new(
        reactor: &Reactor,
        purpose: Purpose,
        host: Option<(HostName, u16)>,
    ) -> (Rc<Self>, Deferred<Transport>) {
        let mut made = None;
        let dial = Rc::new_cyclic(|me: &Weak<Self>| {
            let cancelled = me.clone();
            let (resolver, deferred) = Deferred::with_canceller(move || {
                if let Some(dial) = cancelled.upgrade() {
                    dial.give_up(ConnectingCancelled.into());
                }
            });
            made = Some(deferred);
            let late = me.clone();
            let timeout = reactor.call_later(purpose.after, move || {
                if let Some(dial) = late.upgrade() {
                    dial.timed_out();
                }
            });
            Self {
                purpose,
                host,
                state: Cell::new(State::Resolving {
                    open: Open { resolver, timeout },
                    lookup: Lookup::default(),
                }),
            }
        });
        (dial, made.expect("it was made with the dial"))
    }

    /// The lookup is under way.
    fn resolving(self: &Rc<Self>, core: &Core, canceller: Option<Canceller>) {
        match self.state.take() {
            State::Resolving { open, .. } => {
                let id = core.lookups.enter(self);
                let lookup = Lookup {
                    canceller,
                    id: Some(id),
                };
                self.state.set(State::Resolving { open, lookup });
            }
            state => self.state.set(state),
        }
    }

    /// The lookup has an end.
    fn resolved(self: &Rc<Self>, answer: Result<Vec<SocketAddr>>) {
        match (self.state.take(), self.core()) {
            (State::Resolving { open, lookup }, Ok(core)) => {
                core.lookups.leave(lookup.id);
                match answer.and_then(|answer| self.in_order(answer)) {
                    Err(failure) => open.fail(self.doing(failure, |_| ())),
                    Ok(addresses) => self.begin_next(&core, open, Race::new(addresses)),
                }
            }
            (State::Resolving { open, .. }, Err(gone)) => open.fail(gone),
            // It was given up meanwhile.
            (state @ (State::Racing { .. } | State::Rising { .. } | State::Over), _) => {
                self.state.set(state);
            }
        }
    }

    /// The addresses in the order in which they are tried, if there is any.
    fn in_order(&self, answer: Vec<SocketAddr>) -> Result<Vec<Address>> {
        match &self.host {
            Some((name, _)) if answer.is_empty() => Err(DnsLookupError {
                name: name.to_string(),
                problem: "it has no address".to_owned(),
            }
            .into()),
            _ => Ok(interleave(answer).into_iter().map(Address::from).collect()),
        }
    }

    /// The addresses are known: the first one begins.
    fn race(self: &Rc<Self>, core: &Rc<Core>, addresses: Vec<Address>) {
        match self.state.take() {
            State::Resolving { open, .. } => self.begin_next(core, open, Race::new(addresses)),
            state @ (State::Racing { .. } | State::Rising { .. } | State::Over) => {
                self.state.set(state);
            }
        }
    }

    /// Tries the next address that can be tried at all.
    fn begin_next(self: &Rc<Self>, core: &Rc<Core>, open: Open, mut race: Race) {
        while let Some((index, address)) = race.next() {
            let connecting = core
                .driver
                .borrow_mut()
                .connect(&address, &self.purpose.options);
            match connecting {
                Ok(token) => {
                    race.running.push((index, token));
                    let dial = Rc::clone(self);
                    let attempt = Box::new(Attempt { dial, index });
                    core.put(token, Entry::Connecting(token.generation, attempt));
                    break;
                }
                Err(error) => race.failed.push((index, ConnectError(error).into())),
            }
        }
        if race.running.is_empty() {
            return open.fail(self.all_failed(race));
        }
        race.keep_pace(core, self);
        self.state.set(State::Racing { open, race });
    }

    /// The last one has had its time for itself.
    fn next_is_due(self: &Rc<Self>) {
        let Ok(core) = self.core() else { return };
        match self.state.take() {
            State::Racing { open, race } => self.begin_next(&core, open, race),
            state @ (State::Resolving { .. } | State::Rising { .. } | State::Over) => {
                self.state.set(state);
            }
        }
    }

    /// One address does not work.
    fn attempt_failed(self: &Rc<Self>, core: &Rc<Core>, index: usize, reason: Failure) {
        match self.state.take() {
            State::Racing { open, mut race } => {
                race.running.retain(|(other, _)| *other != index);
                race.failed.push((index, reason));
                if race.begun < race.addresses.len() || race.running.is_empty() {
                    self.begin_next(core, open, race);
                } else {
                    self.state.set(State::Racing { open, race });
                }
            }
            state @ (State::Resolving { .. } | State::Rising { .. } | State::Over) => {
                self.state.set(state);
            }
        }
    }

    fn timed_out(&self) {
        let late = TimedOut {
            deadline: Deadline::Connect,
            after: self.purpose.after,
        };
        self.give_up(late.into());
    }

    /// No connection is made any more.
    fn give_up(&self, reason: Failure) {
        let core = self.core();
        match self.state.take() {
            State::Resolving { open, lookup } => {
                if let Ok(core) = core {
                    core.lookups.leave(lookup.id);
                }
                if let Some(canceller) = lookup.canceller {
                    canceller.cancel();
                }
                open.fail(self.doing(reason, |doing| doing.push_str(": looking up its name")));
            }
            State::Racing { open, race } => {
                let reason = self.doing(reason, |doing| race.tell(doing));
                if let Ok(core) = core {
                    race.end(&core);
                }
                open.fail(reason);
            }
            State::Rising { resolver, link } => {
                if let Some(link) = link.upgrade() {
                    Transport(link).abort_connection();
                }
                resolver.fail(reason);
            }
            State::Over => {}
        }
    }

    /// This is the connection; whoever cancels from now on aborts it.
    pub(super) fn rises(&self, connection: &Transport) {
        match self.state.take() {
            State::Rising { resolver, .. } => {
                let link = Rc::downgrade(&connection.0);
                self.state.set(State::Rising { resolver, link });
            }
            state @ (State::Resolving { .. } | State::Racing { .. } | State::Over) => {
                self.state.set(state);
            }
        }
    }

    /// Its protocol has been told of it, or it has ended before.
    pub(super) fn is_up(&self, result: Result<Transport>) {
        match self.state.take() {
            State::Rising { resolver, .. } => resolver.fire(result),
            state @ (State::Resolving { .. } | State::Racing { .. } | State::Over) => {
                self.state.set(state);
            }
        }
    }

    /// Whether nobody waits for it any more.
    pub(super) fn is_over(&self) -> bool {
        let state = self.state.take();
        let over = matches!(state, State::Over);
        self.state.set(state);
        over
    }

    /// What no address was there for: the one error, or all of them.
    fn all_failed(&self, mut race: Race) -> Failure {
        race.failed.sort_by_key(|(index, _)| *index);
        let Race {
            addresses, failed, ..
        } = race;
        match &self.host {
            None => failed
                .into_iter()
                .next()
                .map_or_else(|| Failure::msg("there was no address"), |(_, only)| only),
            Some((name, port)) => NoAddressWorked {
                to: format!("{name}:{port}"),
                failures: failed
                    .into_iter()
                    .map(|(index, failure)| (addresses[index].clone(), failure))
                    .collect(),
            }
            .into(),
        }
    }

    /// With a name, what was being done when it failed.
    fn doing(&self, failure: Failure, tell: impl FnOnce(&mut String)) -> Failure {
        let Some((name, port)) = &self.host else {
            return failure;
        };
        let mut doing = format!("connecting to {name}:{port}");
        tell(&mut doing);
        failure.context(doing)
    }

    fn core(&self) -> Result<Rc<Core>, ReactorGone> {
        let core = &self.purpose.origin.shared.core;
        core.upgrade().ok_or(ReactorGone)
    }
}

impl Attempt {
    /// It came to nothing.
    pub(super) fn failed(self, core: &Rc<Core>, reason: Failure) {
        self.dial.attempt_failed(core, self.index, reason);
    }

    /// It is not wanted any more, nor are those beside it. Its own socket is closed already.
    pub(super) fn give_up(self, reason: Failure) {
        self.dial.give_up(reason);
    }

    /// It is there: those beside it are closed.
    pub(super) fn won(self, core: &Core) -> Option<Won> {
        match self.dial.state.take() {
            State::Racing { open, race } => {
                race.end(core);
                let purpose = &self.dial.purpose;
                let (factory, origin) = (purpose.factory.clone(), Rc::clone(&purpose.origin));
                let flags = purpose.flags;
                let to = race.addresses.into_iter().nth(self.index)?;
                self.dial.state.set(State::Rising {
                    resolver: open.close(),
                    link: Weak::new(),
                });
                let dial = self.dial;
                Some(Won {
                    to,
                    factory,
                    origin,
                    flags,
                    dial,
                })
            }
            state @ (State::Resolving { .. } | State::Rising { .. } | State::Over) => {
                self.dial.state.set(state);
                None
            }
        }
    }
}

impl Open {
    fn close(self) -> Resolver<Transport> {
        self.timeout.cancel().ok();
        self.resolver
    }

    fn fail(self, reason: impl Into<Failure>) {
        self.close().fail(reason);
    }
}

impl Race {
    fn new(addresses: Vec<Address>) -> Self {
        Self {
            addresses,
            begun: 0,
            running: Vec::new(),
            failed: Vec::new(),
            pace: None,
        }
    }

    /// The address that begins now.
    fn next(&mut self) -> Option<(usize, Address)> {
        let index = self.begun;
        let address = self.addresses.get(index)?.clone();
        self.begun += 1;
        Some((index, address))
    }

    /// The one that has just begun has its time for itself, if another waits.
    fn keep_pace(&mut self, core: &Rc<Core>, dial: &Rc<Dial>) {
        if let Some(pace) = self.pace.take() {
            pace.cancel().ok();
        }
        if self.begun < self.addresses.len() {
            let dial = Rc::downgrade(dial);
            let reactor = Reactor(Rc::clone(core));
            self.pace = Some(reactor.call_later(CONNECTION_ATTEMPT_DELAY, move || {
                if let Some(dial) = dial.upgrade() {
                    dial.next_is_due();
                }
            }));
        }
    }

    /// Closes what runs. What the table holds no more is somebody else's.
    fn end(&self, core: &Core) {
        if let Some(pace) = &self.pace {
            pace.cancel().ok();
        }
        for (_, token) in &self.running {
            if let Some(entry) = core.take(*token) {
                core.driver.borrow_mut().close(*token, true);
                drop(entry);
            }
        }
    }

    /// How every address fares.
    fn tell(&self, text: &mut String) {
        for (index, address) in self.addresses.iter().enumerate().take(self.begun) {
            let failed = self.failed.iter().find(|(failed, _)| *failed == index);
            let separator = if index == 0 { ": " } else { "; " };
            let told = match failed {
                Some((_, failure)) => write!(text, "{separator}{address}: {failure}"),
                None => write!(text, "{separator}{address}: no answer"),
            };
            told.expect("a string takes everything");
        }
        match self.addresses.len() - self.begun {
            0 => {}
            more => write!(text, "; {more} not tried").expect("a string takes everything"),
        }
    }
}

#[cfg(test)]
impl Core {
    pub(crate) fn lookups_waiting(&self) -> usize {
        self.lookups.0.borrow().1.len()
    }
}

impl Lookups {
    fn enter(&self, dial: &Rc<Dial>) -> u64 {
        let (last, dials) = &mut *self.0.borrow_mut();
        *last += 1;
        dials.insert(*last, Rc::downgrade(dial));
        *last
    }

    fn leave(&self, id: Option<u64>) {
        if let Some(id) = id {
            self.0.borrow_mut().1.remove(&id);
        }
    }

    /// Nothing is looked up for a connection any more.
    pub(super) fn give_up(&self, reason: impl Fn() -> Failure) {
        let dials = std::mem::take(&mut self.0.borrow_mut().1);
        for dial in dials.into_values().filter_map(|dial| dial.upgrade()) {
            dial.give_up(reason());
        }
    }
}
