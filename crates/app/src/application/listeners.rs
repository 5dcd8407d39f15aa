//! What listens, and the one way from that to something else: whole, or back to where it was. Knows no names and no file.
//!
//! An endpoint that stays keeps its socket, so no peer that waits there is lost: what it serves is changed below it. What is
//! new is opened before anything is closed, but for what needs an address that is about to be free.

use super::{
    http,
    load::{Made, Service},
};
use crate::{config::Problem, services::CannotStart};
use std::rc::Rc;
use tress_core::{Address, Limits, Port, Reactor, Result, SharedFactory, Transport};
use tress_rpc::http::HttpFactory;

/// An endpoint that listens, and what for.
pub(super) struct Listener {
    at: String,
    serves: Serves,
    factory: SharedFactory,
    port: Port,
    /// Ports that it had before a change that was taken back: their connections are its own still.
    earlier: Vec<Port>,
}

/// What is served at an endpoint. Clones are the same.
#[derive(Clone)]
enum Serves {
    One(Rc<Service>),
    Http(HttpFactory, Vec<Rc<Service>>),
}

/// An endpoint that is to listen.
pub(super) struct Wanted {
    at: String,
    serves: Serves,
}

/// What a change left behind.
#[derive(Default)]
pub(super) struct Ended {
    /// Listens no more; its connections may still be open.
    pub(super) closed: Vec<Listener>,
    /// Connections to be ended, and whether they may finish what they are at: where the endpoint stays, as whoever is there
    /// asked something that is served still; and where the application itself is served, so that who asks for this is told.
    pub(super) connections: Vec<(Transport, bool)>,
}

/// All endpoints of these, in their order; what is served over HTTP comes last.
///
/// # Errors
/// Some cannot be at one endpoint.
pub(super) fn wanted(services: &[Rc<Service>]) -> Result<Vec<Wanted>, Problem> {
    let mut wanted = Vec::new();
    for service in services {
        if let Made::Factory(..) = service.made {
            wanted.extend(service.section.endpoints.iter().map(|at| Wanted {
                at: at.value.clone(),
                serves: Serves::One(Rc::clone(service)),
            }));
        }
    }
    for (at, group) in http::groups(services) {
        let serves = Serves::Http(http::factory(&group)?, group);
        wanted.push(Wanted { at, serves });
    }
    Ok(wanted)
}

impl Serves {
    fn services(&self) -> &[Rc<Service>] {
        match self {
            Self::One(service) => std::slice::from_ref(service),
            Self::Http(_, group) => group,
        }
    }

    fn is_control(&self) -> bool {
        self.services().iter().any(|service| service.is_control())
    }

    fn protocol(&self) -> &'static str {
        match self {
            Self::One(service) => match service.made {
                Made::Factory(protocol, _) => protocol,
                Made::Http { .. } => "http",
            },
            Self::Http(..) => "http",
        }
    }

    fn factory(&self) -> SharedFactory {
        match self {
            Self::One(service) => match &service.made {
                Made::Factory(_, factory) => factory.clone(),
                Made::Http { .. } => unreachable!("those are in groups"),
            },
            Self::Http(factory, _) => SharedFactory::new(factory.clone()),
        }
    }
}

impl Wanted {
    /// Whether it is there already: then at most what is shown over HTTP changes.
    fn is(&self, listener: &Listener) -> bool {
        self.at == listener.at
            && match (&self.serves, &listener.serves) {
                (Serves::One(wanted), Serves::One(there)) => Rc::ptr_eq(wanted, there),
                (Serves::Http(..), Serves::Http(..)) => true,
                (Serves::One(_), Serves::Http(..)) | (Serves::Http(..), Serves::One(_)) => false,
            }
    }

    fn open(self, reactor: &Reactor) -> Result<Listener, CannotStart> {
        let factory = self.serves.factory();
        let (at, protocol) = (&self.at, self.serves.protocol());
        match reactor.listen_shared(at, &factory) {
            Ok(port) => {
                say_where(at, protocol, &port);
                Ok(Listener {
                    at: self.at,
                    serves: self.serves,
                    factory,
                    port,
                    earlier: Vec::new(),
                })
            }
            Err(reason) => {
                let service = format!("`{protocol}` at `{at}`");
                Err(CannotStart { service, reason })
            }
        }
    }
}

fn say_where(at: &str, protocol: &str, port: &Port) {
    match chosen(at, port) {
        Some(address) => {
            tracing::info!(target: "tress", "listening at {at} as {protocol} ({address})");
        }
        None => tracing::info!(target: "tress", "listening at {at} as {protocol}"),
    }
}

/// The address, where the system chose it.
fn chosen<'p>(at: &str, port: &'p Port) -> Option<&'p Address> {
    let address = port.local_address();
    let number = address.port()?.to_string();
    (!at.contains(&number)).then_some(address)
}

impl Listener {
    pub(super) fn close(&self) {
        self.port.stop_listening();
        tracing::info!(target: "tress", "stopped listening at {}", self.at);
    }

    /// All ports whose connections are its own.
    pub(super) fn ports(&self) -> impl Iterator<Item = &Port> {
        self.earlier.iter().chain([&self.port])
    }

    fn connections(&self) -> impl Iterator<Item = Transport> {
        self.ports().flat_map(Port::connections)
    }

    /// Another process listens from now on: who is connected may finish.
    pub(super) fn leave(&self) {
        match &self.serves {
            Serves::Http(factory, _) => factory.leave(),
            Serves::One(_) => {}
        }
    }

    /// Why another process cannot listen there; with several workers, if there are `many`.
    pub(super) fn stays(&self, many: bool) -> Option<String> {
        let why = if !self.port.is_socket() {
            "is a connection and no socket that listens"
        } else if many && self.at.contains(":reuse=1") {
            "is a socket for each worker, of which one knows the first's only"
        } else {
            return None;
        };
        Some(format!("`{}` {why}: it cannot be passed on", self.at))
    }

    /// For connections that come from now on.
    pub(super) fn set_limits(&self, limits: &Rc<Limits>) {
        self.port.set_limits(limits);
    }

    /// Whether it serves that one.
    pub(super) fn serves(&self, service: &Rc<Service>) -> bool {
        self.serves
            .services()
            .iter()
            .any(|served| Rc::ptr_eq(served, service))
    }

    /// The endpoint, and the address where the system chose it.
    pub(super) fn described(&self) -> String {
        match chosen(&self.at, &self.port) {
            Some(address) => format!("{} ({address})", self.at),
            None => self.at.clone(),
        }
    }

    fn wanted(self) -> Wanted {
        Wanted {
            at: self.at,
            serves: self.serves,
        }
    }
}

/// What happens to one endpoint that is wanted.
enum Step {
    /// It is there.
    Keep(Listener, Wanted),
    /// It is there and is to serve something else.
    Switch(Listener, Wanted),
    /// It does; this was served before.
    Switched(Listener, Serves, SharedFactory),
    Open(Wanted),
    Opened(Listener),
}

/// Makes what listens what is wanted, or leaves it as it was.
///
/// # Errors
/// The first that cannot listen.
pub(super) fn rearrange(
    reactor: &Reactor,
    listeners: &mut Vec<Listener>,
    wanted: Vec<Wanted>,
) -> Result<Ended, CannotStart> {
    let (mut steps, left) = pair(std::mem::take(listeners), wanted);
    let mut failed = open(reactor, &mut steps, !left.is_empty());
    let mut closed = false;
    if failed.is_none() {
        failed = switch(&mut steps);
    }
    if failed.is_none() && steps.iter().any(|step| matches!(step, Step::Open(_))) {
        // Those that could not be opened may need what is about to be free.
        left.iter().rev().for_each(Listener::close);
        closed = true;
        failed = open(reactor, &mut steps, false);
    }
    if let Some(error) = failed {
        *listeners = undo(reactor, steps, left, closed);
        return Err(error);
    }
    if !closed {
        left.iter().rev().for_each(Listener::close);
    }
    let mut ended = Ended::default();
    for listener in &left {
        ended.connections_of(listener);
    }
    ended.closed = left;
    *listeners = steps
        .into_iter()
        .filter_map(|step| commit(step, &mut ended))
        .collect();
    Ok(ended)
}

impl Ended {
    fn connections_of(&mut self, listener: &Listener) {
        let is_control = listener.serves.is_control();
        let connections = listener.connections();
        self.connections
            .extend(connections.map(|connection| (connection, is_control)));
    }
}

/// What there is for each that is wanted: the same first, then the same endpoint; and what is left of what there is.
fn pair(listeners: Vec<Listener>, wanted: Vec<Wanted>) -> (Vec<Step>, Vec<Listener>) {
    let mut there: Vec<Option<Listener>> = listeners.into_iter().map(Some).collect();
    let mut take = |test: &dyn Fn(&Listener) -> bool| {
        let found = there.iter_mut().find(|one| one.as_ref().is_some_and(test));
        found.and_then(Option::take)
    };
    let same: Vec<(Option<Listener>, Wanted)> = wanted
        .into_iter()
        .map(|wanted| (take(&|there| wanted.is(there)), wanted))
        .collect();
    let steps = same.into_iter().map(|(same, wanted)| {
        if let Some(same) = same {
            return Step::Keep(same, wanted);
        }
        match take(&|there| there.at == wanted.at) {
            Some(other) => Step::Switch(other, wanted),
            None => Step::Open(wanted),
        }
    });
    let steps = steps.collect();
    (steps, there.into_iter().flatten().collect())
}

/// Opens what is to be opened. With `all`, goes on after one that cannot be, which stays as it is; otherwise that is an error.
fn open(reactor: &Reactor, steps: &mut [Step], all: bool) -> Option<CannotStart> {
    for step in steps {
        let Step::Open(wanted) = step else { continue };
        let attempt = Wanted {
            at: wanted.at.clone(),
            serves: wanted.serves.clone(),
        };
        match attempt.open(reactor) {
            Ok(listener) => *step = Step::Opened(listener),
            Err(_) if all => {}
            Err(error) => return Some(error),
        }
    }
    None
}

/// Puts what is to be served behind the endpoints that stay.
fn switch(steps: &mut [Step]) -> Option<CannotStart> {
    for step in steps {
        let (listener, wanted) = match step {
            Step::Switch(listener, wanted) => (listener, wanted),
            Step::Keep(..) | Step::Switched(..) | Step::Open(_) | Step::Opened(_) => continue,
        };
        let factory = wanted.serves.factory();
        if let Err(reason) = listener.port.set_factory(&factory) {
            let service = format!("`{}` at `{}`", wanted.serves.protocol(), wanted.at);
            return Some(CannotStart { service, reason });
        }
        let switched = Listener {
            at: wanted.at.clone(),
            serves: wanted.serves.clone(),
            factory,
            port: listener.port.clone(),
            earlier: listener.earlier.clone(),
        };
        *step = Step::Switched(switched, listener.serves.clone(), listener.factory.clone());
    }
    None
}

/// What is there for good.
fn commit(step: Step, ended: &mut Ended) -> Option<Listener> {
    match step {
        Step::Keep(mut listener, wanted) => {
            if let (Serves::Http(there, group), Serves::Http(wanted, new)) =
                (&mut listener.serves, &wanted.serves)
            {
                there.show(wanted);
                group.clone_from(new);
            }
            Some(listener)
        }
        Step::Switched(listener, ..) => {
            let connections = listener.connections();
            ended
                .connections
                .extend(connections.map(|open| (open, true)));
            tracing::info!(
                target: "tress",
                "serving {} at {} from now on", listener.serves.protocol(), listener.at
            );
            Some(listener)
        }
        Step::Opened(listener) => Some(listener),
        Step::Switch(..) | Step::Open(_) => None, // there are none left
    }
}

/// What there was, again.
fn undo(reactor: &Reactor, steps: Vec<Step>, left: Vec<Listener>, closed: bool) -> Vec<Listener> {
    let mut listeners = Vec::new();
    for step in steps.into_iter().rev() {
        match step {
            Step::Keep(listener, _) | Step::Switch(listener, _) => listeners.push(listener),
            Step::Switched(mut listener, serves, factory) => {
                if let Err(failure) = listener.port.set_factory(&factory) {
                    tracing::error!(target: "tress", "{} is not as it was: {failure}", listener.at);
                }
                (listener.serves, listener.factory) = (serves, factory);
                listeners.push(listener);
            }
            Step::Opened(listener) => listener.close(),
            Step::Open(_) => {}
        }
    }
    listeners.reverse();
    for listener in left {
        if !closed {
            listeners.push(listener);
            continue;
        }
        let mut earlier = listener.earlier.clone();
        earlier.push(listener.port.clone());
        match listener.wanted().open(reactor) {
            Ok(listener) => listeners.push(Listener {
                earlier,
                ..listener
            }),
            Err(error) => tracing::error!(target: "tress", "{error}, where it had listened before"),
        }
    }
    listeners
}
