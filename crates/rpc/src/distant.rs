//! Calls from one reactor's thread to an object on another's. Values and failures cross; nothing else does. Knows no
//! interface and starts no thread.
//!
//! Who waits stands in a table on the caller's side, so that each is answered once: by the answer, by its deadline, by a
//! cancel, or by the home's end. On the home's side a call that is dropped unanswered says so.

use crate::{
    arguments::{Arguments, BadCall},
    client::Carrier,
    descriptor::Descriptor,
    fault::Fault,
    object::{CallContext, Object},
    value::Value,
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    convert::Infallible,
    error::Error,
    fmt,
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tress_core::{
    Address, Canceller, Deferred, DelayedCall, EventType, Failure, Phase, Reactor, Remote,
    Resolver, Result, ThreadFailure, reactor::Rejected,
};

/// What a [`Distant`] allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// `calls_in_flight`: calls of one client that wait for their answers; one more fails with [`TooManyCalls`]. 1000 by
    /// default.
    pub in_flight: usize,
    /// `call_deadline`: how long one waits for its answer, unless its caller waits less long
    /// ([`CallContext::deadline`]); then it fails with [`NoAnswer`] and is cancelled at home. 30 s by default.
    pub deadline: Duration,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            in_flight: 1000,
            deadline: Duration::from_secs(30),
        }
    }
}

/// As many calls of one client wait as may: [`CallLimits::in_flight`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyCalls {
    /// How many.
    pub limit: usize,
}

impl fmt::Display for TooManyCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit } = self;
        write!(f, "{limit} calls wait for answers, and no more may")
    }
}

impl Error for TooManyCalls {}

/// No answer came in time: [`CallLimits::deadline`], or the caller's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAnswer {
    /// What the object is called at home.
    pub object: String,
    /// How long it was waited for.
    pub after: Duration,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, after } = self;
        write!(
            f,
            "no answer from `{object}` within {after:?} (`call_deadline`)"
        )
    }
}

impl Error for NoAnswer {}

/// The home of an object has stopped, before the call or while it waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HomeStopped {
    /// What the object is called there.
    pub object: String,
}

impl fmt::Display for HomeStopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the home of `{}` has stopped", self.object)
    }
}

impl Error for HomeStopped {}

/// The objects of one reactor that others may call, by name and interface.
pub struct Homes {
    objects: RefCell<BTreeMap<(String, &'static str), Object>>,
    /// Calls that run.
    running: RefCell<BTreeMap<u64, Running>>,
    last: Cell<u64>,
    stopped: Cell<bool>,
}

struct Running {
    /// The caller's number of it; numbers of other callers may be the same.
    key: CallKey,
    canceller: Option<Canceller>,
    answer: Rc<RefCell<Option<Answer>>>,
}

/// Which client, and which of its calls.
#[derive(Clone)]
struct CallKey(Arc<()>, u64);

impl CallKey {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) && self.1 == other.1
    }
}

impl Homes {
    /// Those of this reactor. When it stops, calls that still run fail with [`HomeStopped`].
    #[must_use]
    pub fn of(reactor: &Reactor) -> Rc<Self> {
        let made = reactor.extension(|| {
            let homes = Self {
                objects: RefCell::default(),
                running: RefCell::default(),
                last: Cell::new(0),
                stopped: Cell::new(false),
            };
            Ok::<_, Infallible>(homes)
        });
        let Ok(homes) = made;
        if homes.last.replace(homes.last.get().max(1)) == 0 {
            let stopping = Rc::downgrade(&homes);
            reactor.add_system_event_trigger(Phase::After, EventType::Shutdown, move || {
                if let Some(homes) = stopping.upgrade() {
                    homes.stop();
                }
            });
        }
        homes
    }

    /// Lets other threads call this object by this name.
    pub fn publish(&self, name: &str, object: Object) {
        let place = (name.to_owned(), object.descriptor().name);
        let old = self.objects.borrow_mut().insert(place, object);
        drop(old);
    }

    /// A call has come.
    fn call(self: &Rc<Self>, reactor: &Reactor, call: Call) {
        let place = (call.name.clone(), call.interface);
        let object = self.objects.borrow().get(&place).cloned();
        let Some(object) = object.filter(|_| !self.stopped.get()) else {
            return; // the answer, when it is dropped, says that nobody is at home
        };
        let peer = call.peer.map_or(Address::Unknown, Address::from);
        let context = CallContext {
            avatar: call.avatar.map(Rc::from),
            deadline: Some(reactor.now() + call.left),
            ..CallContext::from_peer(reactor, peer)
        };
        let called = object.call(&context, &call.method, call.arguments);
        let id = self.last.get() + 1;
        self.last.set(id);
        let answer = Rc::new(RefCell::new(Some(call.answer)));
        let running = Running {
            key: call.key,
            canceller: called.canceller(),
            answer: Rc::clone(&answer),
        };
        self.running.borrow_mut().insert(id, running);
        let homes = Rc::downgrade(self);
        let answered = called.add_both(move |result| {
            let running = homes.upgrade();
            let running = running.and_then(|homes| homes.running.borrow_mut().remove(&id));
            drop(running);
            let answer = answer.borrow_mut().take();
            if let Some(answer) = answer {
                answer.give(result.map_err(|failure| crossing(&failure)));
            }
        });
        answered.detach();
    }

    /// Nobody waits for this call any more.
    fn cancel(&self, key: &CallKey) {
        let canceller = {
            let running = self.running.borrow();
            let found = running.values().find(|running| running.key.is(key));
            found.and_then(|running| running.canceller.clone())
        };
        if let Some(canceller) = canceller {
            canceller.cancel();
        }
    }

    fn stop(&self) {
        self.stopped.set(true);
        let running = self.running.take();
        for running in running.into_values() {
            drop(running.answer.borrow_mut().take());
        }
    }
}

impl fmt::Debug for Homes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let objects = self.objects.borrow();
        f.debug_list().entries(objects.keys()).finish()
    }
}

/// As another thread may have it: what callers are told keeps its type, so that each protocol there has its words for it.
fn crossing(failure: &Failure) -> ThreadFailure {
    if let Some(fault) = failure.check::<Fault>() {
        return fault.clone().into();
    }
    if let Some(bad) = failure.check::<BadCall>() {
        return bad.clone().into();
    }
    failure.clone().into()
}

/// All that crosses on the way there.
struct Call {
    name: String,
    interface: &'static str,
    method: String,
    arguments: Arguments,
    peer: Option<std::net::SocketAddr>,
    avatar: Option<String>,
    /// How long the caller waits. Not until when: each reactor has a clock of its own.
    left: Duration,
    key: CallKey,
    answer: Answer,
}

/// The way back of one call; dropped without an answer, it says that the home has stopped.
struct Answer {
    back: Remote,
    key: CallKey,
    object: Option<String>,
}

impl Answer {
    fn give(mut self, result: Result<Value, ThreadFailure>) {
        self.object = None;
        self.send(result);
    }

    fn send(&self, result: Result<Value, ThreadFailure>) {
        let key = self.key.clone();
        // Where there is no room the caller's deadline tells it.
        let sent = self.back.call_from_thread(move |reactor| {
            Waiting::of(reactor).answered(&key, result.map_err(Failure::from));
        });
        if let Err(Rejected::Full(full, _)) = sent {
            tracing::warn!(target: "tress", "an answer to another worker is lost: {full}");
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            self.send(Err(HomeStopped { object }.into()));
        }
    }
}

/// The calls of one reactor that wait for answers from others.
#[derive(Default)]
struct Waiting {
    calls: RefCell<BTreeMap<u64, Waiter>>,
    last: Cell<u64>,
}

struct Waiter {
    resolver: Resolver<Value>,
    timeout: DelayedCall,
    in_flight: Rc<Cell<usize>>,
}

impl Waiting {
    fn of(reactor: &Reactor) -> Rc<Self> {
        let Ok(waiting) = reactor.extension(|| Ok::<_, Infallible>(Self::default()));
        waiting
    }

    /// Takes out the one that waits, if it still does.
    fn take(&self, id: u64) -> Option<Resolver<Value>> {
        let waiter = self.calls.borrow_mut().remove(&id)?;
        waiter.in_flight.set(waiter.in_flight.get() - 1);
        // It may be what runs now.
        waiter.timeout.cancel().ok();
        Some(waiter.resolver)
    }

    fn answered(&self, key: &CallKey, result: Result<Value>) {
        if let Some(resolver) = self.take(key.1) {
            resolver.fire(result);
        }
    }
}

/// Carries calls to an object that was [published](Homes::publish) on another reactor.
pub struct Distant {
    home: Remote,
    name: String,
    descriptor: &'static Descriptor,
    limits: CallLimits,
    in_flight: Rc<Cell<usize>>,
    /// Tells this client's calls from those of others.
    own: Arc<()>,
}

impl Distant {
    /// The object of this name and interface, at that home.
    #[must_use]
    pub fn new(home: &Remote, name: &str, descriptor: &'static Descriptor) -> Self {
        Self::with_limits(home, name, descriptor, CallLimits::default())
    }

    /// The same with limits of its own.
    #[must_use]
    pub fn with_limits(
        home: &Remote,
        name: &str,
        descriptor: &'static Descriptor,
        limits: CallLimits,
    ) -> Self {
        Self {
            home: home.clone(),
            name: name.to_owned(),
            descriptor,
            limits,
            in_flight: Rc::default(),
            own: Arc::default(),
        }
    }

    /// How long this caller waits for an answer.
    fn patience(&self, context: &CallContext) -> Duration {
        let most = self.limits.deadline;
        let own = context.deadline;
        own.map_or(most, |own| own.since(context.reactor.now()).min(most))
    }

    /// Enters who waits so long; cancelling or the deadline takes it out again and cancels the call at home.
    fn wait(
        &self,
        reactor: &Reactor,
        waiting: &Rc<Waiting>,
        key: &CallKey,
        after: Duration,
    ) -> Deferred<Value> {
        let give_up = {
            let (home, key, waiting) = (self.home.clone(), key.clone(), Rc::downgrade(waiting));
            move || {
                let key = key.clone();
                let resolver = waiting.upgrade().and_then(|waiting| waiting.take(key.1));
                // A home that is gone or full has other worries; what it answers reaches nobody.
                home.call_from_thread(move |home| Homes::of(home).cancel(&key))
                    .ok();
                resolver
            }
        };
        let cancelled = give_up.clone();
        let (resolver, deferred) = Deferred::with_canceller(move || drop(cancelled()));
        let object = self.name.clone();
        let timeout = reactor.call_later(after, move || {
            if let Some(resolver) = give_up() {
                resolver.fail(NoAnswer { object, after });
            }
        });
        self.in_flight.set(self.in_flight.get() + 1);
        let waiter = Waiter {
            resolver,
            timeout,
            in_flight: Rc::clone(&self.in_flight),
        };
        waiting.calls.borrow_mut().insert(key.1, waiter);
        deferred
    }
}

impl Carrier for Distant {
    fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
    }

    fn call(&self, context: &CallContext, method: &str, arguments: Arguments) -> Deferred<Value> {
        let limit = self.limits.in_flight;
        if self.in_flight.get() >= limit {
            return Deferred::fail(TooManyCalls { limit });
        }
        let reactor = &context.reactor;
        let waiting = Waiting::of(reactor);
        waiting.last.set(waiting.last.get() + 1);
        let key = CallKey(Arc::clone(&self.own), waiting.last.get());
        let left = self.patience(context);
        let deferred = self.wait(reactor, &waiting, &key, left);
        let call = Call {
            name: self.name.clone(),
            interface: self.descriptor.name,
            method: method.to_owned(),
            arguments,
            peer: match context.peer {
                Address::Ip(address) => Some(address),
                _ => None,
            },
            avatar: context.avatar.as_deref().map(str::to_owned),
            left,
            key: key.clone(),
            answer: Answer {
                back: reactor.remote(),
                key: key.clone(),
                object: Some(self.name.clone()),
            },
        };
        let sent = self
            .home
            .call_from_thread(move |home| Homes::of(home).call(home, call));
        let failure = match sent {
            Ok(()) => return deferred,
            Err(Rejected::Gone(..)) => Failure::from(HomeStopped {
                object: self.name.clone(),
            }),
            Err(Rejected::Full(full, _)) => Failure::from(full),
        };
        waiting.answered(&key, Err(failure));
        deferred
    }
}

impl fmt::Debug for Distant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Distant({} of {})", self.descriptor.name, self.name)
    }
}
