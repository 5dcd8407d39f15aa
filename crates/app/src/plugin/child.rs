//! A plug-in that runs: one child for all objects of it on this reactor, started with the first and ended with the last of
//! them. When it ends by itself, calls that wait for its answers fail with `busy`, and it is started again.
//!
//! ```text
//! Down --first object--> Starting --it has told the same as before--> Up --its end--> Resting --later--> Starting
//!   ^                        |                                                          |
//!   +--last object, or too often within a minute (until a reload)----------------------+
//! ```

use super::{Known, Told, learn::introduced, link::Link, told};
use crate::{
    config::{Options, Problem},
    registry::{Provider, ProviderContext, Sharing},
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    convert::Infallible,
    rc::{Rc, Weak},
    time::Duration,
};
use tress_core::{
    Address, Deferred, DelayedCall, Failure, Reactor, Resolver, Result, Time, WeakReactor,
    restart::{Delay, Intensity, Next, RestartPolicy, Restarts},
    wording::quoted,
};
use tress_rpc::{
    Arguments, BadCall, CallContext, Carrier, Client, Descriptor, Fault, Fitting, MakeTwin, Object,
    Value, fault,
};

/// Starts anew that count together, and how long one must have lived to be started again at once.
const WITHIN: Duration = Duration::from_secs(60);
/// How long after its end another is started again; twice as long after each further end.
const FIRST_REST: Duration = Duration::from_millis(100);
/// And no longer than this.
const LONGEST_REST: Duration = Duration::from_secs(10);

fn policy(restarts: usize) -> RestartPolicy {
    RestartPolicy {
        threshold: WITHIN,
        min_restart_delay: FIRST_REST,
        max_restart_delay: LONGEST_REST,
        intensity: Some(Intensity {
            restarts: u32::try_from(restarts).unwrap_or(u32::MAX),
            period: WITHIN,
        }),
        ..RestartPolicy::default()
    }
}

/// The children of one reactor, by the names of their plug-ins.
#[derive(Default)]
struct Children(RefCell<BTreeMap<String, Weak<Child>>>);

/// Makes a provider of a kind that a plug-in told.
pub(super) fn make(
    context: &ProviderContext<'_>,
    options: &Options,
) -> Result<Box<dyn Provider>, Problem> {
    let wrong = |why: &str| options.problem("kind", why);
    let known = context
        .plugin
        .ok_or_else(|| wrong("its plug-in was not asked"))?;
    let Sharing::Home([(interface, twin)]) = context.kind.sharing else {
        return Err(wrong("its plug-in told of no interface"));
    };
    let (_, kind) = context.kind.name.split_once('.').unwrap_or_default();
    let child = Child::of(context.reactor, known);
    Ok(Box::new(Provided {
        object: child.name_for(context.name),
        child,
        kind: kind.to_owned(),
        options: told::values(options, context.kind.options)?,
        fitting: Rc::new(Fitting::new(interface)),
        twin: *twin,
    }))
}

/// `[provide.NAME]` of a kind that a plug-in told.
struct Provided {
    child: Rc<Child>,
    /// What the child knows the object by.
    object: String,
    kind: String,
    options: Value,
    fitting: Rc<Fitting>,
    twin: MakeTwin,
}

impl Provider for Provided {
    fn object(&self, interface: &str) -> Option<Object> {
        let carrier = Calls {
            child: Rc::clone(&self.child),
            object: self.object.clone(),
            fitting: Rc::clone(&self.fitting),
        };
        let is_offered = interface == self.fitting.descriptor().name;
        is_offered.then(|| (self.twin)(Client::new(carrier)))
    }

    fn start(&mut self, _reactor: &Reactor) -> Result {
        let made = Made {
            kind: self.kind.clone(),
            options: self.options.clone(),
            refused: None,
        };
        self.child.add(&self.object, made);
        Ok(())
    }

    fn reload(&mut self) {
        self.child.again();
    }

    fn stop(&mut self) -> Deferred<()> {
        self.child.remove(&self.object)
    }
}

/// A plug-in on one reactor.
struct Child {
    known: Known,
    reactor: WeakReactor,
    state: RefCell<State>,
    objects: RefCell<BTreeMap<String, Made>>,
    restarts: RefCell<Restarts>,
    /// When it was started last.
    since: Cell<Time>,
    names: Cell<u64>,
}

enum State {
    Down,
    Starting(Rc<Link>, Vec<Resolver<Client>>),
    Up(Rc<Link>),
    Resting(DelayedCall),
}

/// An object that it has made, or is to make.
struct Made {
    kind: String,
    options: Value,
    /// Why it has not.
    refused: Option<Fault>,
}

impl Child {
    /// The one of this plug-in.
    fn of(reactor: &Reactor, known: &Known) -> Rc<Self> {
        let Ok(children) = reactor.extension(|| Ok::<_, Infallible>(Children::default()));
        let name = &known.spec().name;
        let found = children.0.borrow().get(name).and_then(Weak::upgrade);
        if let Some(found) = found {
            return found;
        }
        let child = Rc::new(Self {
            known: known.clone(),
            reactor: reactor.downgrade(),
            state: RefCell::new(State::Down),
            objects: RefCell::default(),
            restarts: RefCell::new(Restarts::new(policy(known.spec().restarts))),
            since: Cell::new(reactor.now()),
            names: Cell::new(0),
        });
        let weak = Rc::downgrade(&child);
        children.0.borrow_mut().insert(name.clone(), weak);
        child
    }

    /// A name that no other object of this child has had: one that is replaced lives on for a moment.
    fn name_for(&self, provider: &str) -> String {
        self.names.set(self.names.get() + 1);
        match self.names.get() {
            1 => provider.to_owned(),
            number => format!("{provider}#{number}"),
        }
    }

    fn shown(&self) -> String {
        self.known.spec().shown()
    }

    /// An object more.
    fn add(self: &Rc<Self>, name: &str, made: Made) {
        self.objects.borrow_mut().insert(name.to_owned(), made);
        let link = match &*self.state.borrow() {
            State::Up(link) => Some(Rc::clone(link)),
            State::Starting(..) | State::Resting(_) => return,
            State::Down => None,
        };
        match link {
            Some(link) => self.make(&link, name),
            None => self.begin(),
        }
    }

    /// An object less. Fires when the child has ended, if it was the last.
    fn remove(&self, name: &str) -> Deferred<()> {
        self.objects.borrow_mut().remove(name);
        let Some(reactor) = self.reactor.upgrade() else {
            return Deferred::succeed(());
        };
        if !self.objects.borrow().is_empty() {
            if let State::Up(link) = &*self.state.borrow() {
                let arguments = vec![Value::from(name)];
                let forgotten =
                    link.client
                        .call::<()>(&CallContext::local(&reactor), "forget", arguments);
                // What has no word for it, or is gone, has forgotten it.
                forgotten.add_both(|_| ()).detach();
            }
            return Deferred::succeed(());
        }
        let old = self.state.replace(State::Down);
        let link = match old {
            State::Down => return Deferred::succeed(()),
            State::Resting(again) => {
                again.cancel().ok();
                return Deferred::succeed(());
            }
            State::Up(link) => link,
            State::Starting(link, waiting) => {
                self.refuse(waiting);
                link
            }
        };
        let ended = link.stop(&reactor, self.known.spec().stop);
        ended.add_both(move |_| drop(link))
    }

    /// The operator asks for it: one that stays down is started once more.
    fn again(self: &Rc<Self>) {
        let is_down = matches!(&*self.state.borrow(), State::Down);
        if is_down && !self.objects.borrow().is_empty() {
            self.restarts.borrow_mut().begin_anew();
            self.begin();
        }
    }

    /// Starts it.
    fn begin(self: &Rc<Self>) {
        let Some(reactor) = self.reactor.upgrade() else {
            return;
        };
        let spec = self.known.spec();
        self.since.set(reactor.now());
        let link = match Link::start(spec, &reactor) {
            Ok(link) => Rc::new(link),
            Err(failure) => return self.fell(&reactor, &failure.to_string(), Vec::new()),
        };
        self.state
            .replace(State::Starting(Rc::clone(&link), Vec::new()));
        let (child, own) = (Rc::downgrade(self), Rc::downgrade(&link));
        let on_end = link.when_ended().add_callback(move |why| {
            if let (Some(child), Some(link)) = (child.upgrade(), own.upgrade()) {
                child.ended(&link, &why);
            }
        });
        on_end.detach();
        let (child, own) = (Rc::downgrade(self), Rc::downgrade(&link));
        let told = introduced(&reactor, &link, spec).add_both(move |told| {
            if let (Some(child), Some(link)) = (child.upgrade(), own.upgrade()) {
                child.told(&link, told);
            }
        });
        told.detach();
    }

    /// It has said who it is, or something else.
    fn told(self: &Rc<Self>, link: &Rc<Link>, told: Result<Told>) {
        let is_current =
            matches!(&*self.state.borrow(), State::Starting(own, _) if Rc::ptr_eq(own, link));
        let Some(reactor) = self.reactor.upgrade().filter(|_| is_current) else {
            return;
        };
        let wrong = match told {
            Ok(told) => self.differs(&told),
            Err(failure) => Some(failure.to_string()),
        };
        if let Some(wrong) = wrong {
            let old = self.state.replace(State::Down);
            let stopped = link.stop(&reactor, self.known.spec().stop);
            let link = Rc::clone(link);
            stopped.add_both(move |_| drop(link)).detach();
            if let State::Starting(_, waiting) = old {
                self.fell(&reactor, &wrong, waiting);
            }
            return;
        }
        tracing::info!(target: "tress", "{} runs: {}", self.shown(), self.known.told().name);
        let old = self.state.replace(State::Up(Rc::clone(link)));
        let names: Vec<String> = self.objects.borrow().keys().cloned().collect();
        for name in names {
            self.make(link, &name);
        }
        if let State::Starting(_, waiting) = old {
            for resolver in waiting {
                resolver.resolve(link.client.clone());
            }
        }
    }

    /// What it tells of a kind that is in use, if that is not what it told when the file was read.
    fn differs(&self, told: &Told) -> Option<String> {
        let objects = self.objects.borrow();
        let known = &self.known.told().kinds;
        let other = objects
            .values()
            .find(|made| told.kinds.get(&made.kind) != known.get(&made.kind))?;
        Some(format!(
            "it tells something else of its kind `{}` than when the application was started; start that anew",
            other.kind
        ))
    }

    /// Has it make an object. What is asked of the object comes after this, in the same pipe.
    fn make(self: &Rc<Self>, link: &Rc<Link>, name: &str) {
        let Some(reactor) = self.reactor.upgrade() else {
            return;
        };
        let arguments = {
            let objects = self.objects.borrow();
            let Some(made) = objects.get(name) else {
                return;
            };
            let kind = Value::from(&*made.kind);
            vec![kind, name.into(), made.options.clone()]
        };
        let made = link
            .client
            .call::<()>(&CallContext::local(&reactor), "make", arguments);
        let (child, name) = (Rc::downgrade(self), name.to_owned());
        let done = made.add_both(move |made| {
            let Some(child) = child.upgrade() else { return };
            let refused = made.err().map(|failure| Fault::of(&failure));
            if let Some(fault) = &refused {
                let shown = child.shown();
                let said = quoted(&fault.to_string());
                tracing::error!(target: "tress", "{shown} does not make `{name}`: {said}");
            }
            if let Some(made) = child.objects.borrow_mut().get_mut(&name) {
                made.refused = refused;
            }
        });
        done.detach();
    }

    /// It has ended.
    fn ended(self: &Rc<Self>, link: &Rc<Link>, why: &str) {
        let Some(reactor) = self.reactor.upgrade() else {
            return;
        };
        let is_current = match &*self.state.borrow() {
            State::Starting(own, _) | State::Up(own) => Rc::ptr_eq(own, link),
            State::Down | State::Resting(_) => false,
        };
        if !is_current {
            return;
        }
        match self.state.replace(State::Down) {
            State::Starting(_, waiting) => self.fell(&reactor, why, waiting),
            State::Up(_) | State::Down | State::Resting(_) => self.fell(&reactor, why, Vec::new()),
        }
    }

    /// It does not run any more: it is started again, unless that was done too often.
    fn fell(self: &Rc<Self>, reactor: &Reactor, why: &str, waiting: Vec<Resolver<Client>>) {
        let (shown, since) = (self.shown(), self.since.get());
        let next = self
            .restarts
            .borrow_mut()
            .ended(since, reactor.now(), false);
        match next {
            Next::Restart(after) => {
                tracing::error!(target: "tress", "{shown}: {why}; it is started again {}", Delay(after));
                let child = Rc::downgrade(self);
                let again = reactor.call_later(after, move || {
                    if let Some(child) = child.upgrade() {
                        child.begin();
                    }
                });
                self.state.replace(State::Resting(again));
            }
            Next::GiveUp(intensity) => {
                tracing::error!(target: "tress", "{shown}: {why}; it stays down until the next reload, as it would be started again more often than {intensity} (`restarts`)");
                self.state.replace(State::Down);
            }
            Next::Leave => drop(self.state.replace(State::Down)),
        }
        self.refuse(waiting);
    }

    fn refuse(&self, waiting: Vec<Resolver<Client>>) {
        for resolver in waiting {
            resolver.fail(self.unreachable());
        }
    }

    fn unreachable(&self) -> Fault {
        Fault::new(fault::BUSY, "the object cannot be reached")
    }

    /// What calls it, now or once it has started.
    fn client(&self) -> Deferred<Client> {
        let most = self.known.spec().calls_in_flight;
        match &mut *self.state.borrow_mut() {
            State::Up(link) => Deferred::succeed(link.client.clone()),
            State::Starting(_, waiting) if waiting.len() < most => {
                let (resolver, deferred) = Deferred::pair();
                waiting.push(resolver);
                deferred
            }
            State::Starting(..) | State::Down | State::Resting(_) => {
                Deferred::fail(self.unreachable())
            }
        }
    }

    /// Why it has not made this object.
    fn refused(&self, object: &str) -> Option<Fault> {
        let objects = self.objects.borrow();
        objects.get(object).and_then(|made| made.refused.clone())
    }
}

/// Carries the calls of one object.
struct Calls {
    child: Rc<Child>,
    object: String,
    fitting: Rc<Fitting>,
}

impl Carrier for Calls {
    fn descriptor(&self) -> &'static Descriptor {
        self.fitting.descriptor()
    }

    fn call(&self, context: &CallContext, method: &str, arguments: Arguments) -> Deferred<Value> {
        let record = match self.fitting.arguments(method, arguments) {
            Ok(record) => record,
            Err(bad) => return Deferred::fail(bad),
        };
        if let Some(fault) = self.child.refused(&self.object) {
            return Deferred::fail(fault);
        }
        let peer = match &context.peer {
            Address::Unknown => Value::Nothing,
            peer => Value::String(peer.to_string()),
        };
        let avatar = context
            .avatar
            .as_deref()
            .map_or(Value::Nothing, Value::from);
        let arguments = vec![
            self.object.as_str().into(),
            method.into(),
            record,
            peer,
            avatar,
        ];
        let (fitting, method) = (Rc::clone(&self.fitting), method.to_owned());
        let fit = move |called: Result<Value>| match called {
            Ok(value) => Ok(fitting.result(&method, value)?),
            Err(failure) => Err(own(failure)),
        };
        let context = context.clone();
        let called = self
            .child
            .client()
            .add_callback(move |client| client.call::<Value>(&context, "call", arguments));
        called.add_both(fit)
    }
}

/// That the plug-in does not know how to be called is nothing that the caller has done.
fn own(failure: Failure) -> Failure {
    if failure.check::<BadCall>().is_some() {
        return Failure::msg(format!("a plug-in does not answer `call`: {failure}"));
    }
    failure
}
