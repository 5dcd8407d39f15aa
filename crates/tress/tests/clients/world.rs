//! What the tests of clients have in common: a virtual network, and a factory that logs what it is told.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};
use tress::{
    Connector, Failure,
    error::{ConnectError, ConnectingCancelled, ConnectionDone, NoProtocol, NotRunning, TimedOut},
    prelude::*,
};

/// What happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, event: impl Into<String>) {
        self.0.borrow_mut().push(event.into());
    }

    pub(crate) fn count(&self, event: &str) -> usize {
        self.0.borrow().iter().filter(|e| *e == event).count()
    }

    /// What has happened since the last time.
    pub(crate) fn take(&self) -> String {
        self.0.take().join(", ")
    }
}

pub(crate) type Hook = Box<dyn FnMut(&Connector)>;

/// Logs everything, then does what the test wants.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) log: Log,
    pub(crate) declines: bool,
    pub(crate) closes: bool,
    pub(crate) fails: bool,
    pub(crate) on_started: Option<Hook>,
    pub(crate) on_failed: Option<Hook>,
    pub(crate) on_lost: Option<Hook>,
}

pub(crate) struct Probe {
    pub(crate) log: Log,
    pub(crate) closes: bool,
    pub(crate) fails: bool,
}

impl Protocol for Probe {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.log.add("made");
        if self.closes {
            transport.lose_connection();
        }
        if self.fails {
            return Err(Failure::msg("connection_made fails"));
        }
        Ok(())
    }

    fn connection_lost(&mut self, _reason: Failure) {
        self.log.add("ended");
    }
}

impl Factory for Recorder {
    type Protocol = Probe;

    fn build_protocol(&mut self, _peer: &Address) -> Option<Probe> {
        self.log.add("build");
        (!self.declines).then(|| Probe {
            log: self.log.clone(),
            closes: self.closes,
            fails: self.fails,
        })
    }

    fn start_factory(&mut self) -> Result {
        self.log.add("start");
        Ok(())
    }

    fn stop_factory(&mut self) {
        self.log.add("stop");
    }
}

impl ClientFactory for Recorder {
    fn started_connecting(&mut self, connector: &Connector) {
        self.log.add("connecting");
        call(&mut self.on_started, connector);
    }

    fn client_connection_failed(&mut self, connector: &Connector, reason: Failure) {
        self.log.add(format!("failed {}", name(&reason)));
        call(&mut self.on_failed, connector);
    }

    fn client_connection_lost(&mut self, connector: &Connector, reason: Failure) {
        self.log.add(format!("lost {}", name(&reason)));
        call(&mut self.on_lost, connector);
    }
}

fn call(hook: &mut Option<Hook>, connector: &Connector) {
    if let Some(hook) = hook {
        hook(connector);
    }
}

/// A short name of the error.
pub(crate) fn name(reason: &Failure) -> &'static str {
    if reason.check::<ConnectionDone>().is_some() {
        "cleanly"
    } else if reason.check::<ConnectError>().is_some() {
        "to connect"
    } else if reason.check::<ConnectingCancelled>().is_some() {
        "cancelled"
    } else if reason.check::<NoProtocol>().is_some() {
        "no protocol"
    } else if reason.check::<NotRunning>().is_some() {
        "not running"
    } else if reason.check::<TimedOut>().is_some() {
        "timed out"
    } else if reason.check::<tress::endpoint::BadEndpoint>().is_some() {
        "bad endpoint"
    } else {
        "otherwise"
    }
}

/// A hook that acts only the first `times`.
pub(crate) fn times(times: usize, hook: impl Fn(&Connector) + 'static) -> Option<Hook> {
    let left = Cell::new(times);
    Some(Box::new(move |connector| {
        if left.get() > 0 {
            left.set(left.get() - 1);
            hook(connector);
        }
    }))
}

/// A server that keeps its connections, to close them.
#[derive(Clone, Default)]
pub(crate) struct Keeper(pub(crate) Rc<RefCell<Vec<Transport>>>);

impl Protocol for Keeper {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.0.borrow_mut().push(transport.clone());
        Ok(())
    }
}

impl Keeper {
    pub(crate) fn close(&self) {
        for transport in self.0.take() {
            transport.lose_connection();
        }
    }
}

/// A client and a server on a virtual network.
pub(crate) struct World {
    pub(crate) network: tress_sim::World,
    pub(crate) client: Reactor,
    server: Reactor,
    pub(crate) keeper: Keeper,
    pub(crate) log: Log,
}

impl World {
    pub(crate) fn new() -> Self {
        let network = tress_sim::World::new(1);
        Self {
            client: Reactor::with(network.host("10.0.0.2")),
            server: Reactor::with(network.host("10.0.0.1")),
            network,
            keeper: Keeper::default(),
            log: Log::default(),
        }
    }

    pub(crate) fn recorder(&self) -> Recorder {
        Recorder {
            log: self.log.clone(),
            ..Recorder::default()
        }
    }

    /// A server's address, as an endpoint to connect to.
    pub(crate) fn server(&self) -> &'static str {
        let keeper = self.keeper.clone();
        self.server.listen("tcp:7", move || keeper.clone()).unwrap();
        "tcp:10.0.0.1:7"
    }

    /// Until nothing is in flight and no timed call waits.
    #[track_caller]
    pub(crate) fn idle(&self) {
        let reactors = [&self.client, &self.server];
        self.network.run_until_idle(&reactors).unwrap();
    }

    /// Lets this much time pass.
    #[track_caller]
    pub(crate) fn pass(&self, time: Duration) {
        let reactors = [&self.client, &self.server];
        self.network.run_for(time, &reactors).unwrap();
    }

    /// Until this event, or until nothing happens any more.
    #[track_caller]
    pub(crate) fn until(&self, event: &str) {
        let reactors = [&self.client, &self.server];
        while self.log.count(event) == 0 {
            assert!(self.network.step(&reactors).unwrap(), "no {event:?} came");
        }
    }
}
