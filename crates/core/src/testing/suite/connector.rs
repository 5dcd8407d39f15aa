//! Client factories and their connector: who is told what, in which order, and connecting again.

use super::{
    World,
    recorder::{Log, Recorder, listen, short},
};
use crate::{
    Address,
    client::{ClientFactory, Connector},
    factory::Factory,
    failure::Failure,
};

/// Writes down what it is told, and does what it is made for.
struct Told {
    log: Log,
    /// Connects again after so many ends.
    again: usize,
    /// Stops the reactor when nothing comes of it.
    stops: bool,
}

impl Told {
    fn new(log: &Log) -> Self {
        Self {
            log: log.clone(),
            again: 0,
            stops: false,
        }
    }

    fn ended(&mut self, connector: &Connector) {
        if self.again > 0 {
            self.again -= 1;
            connector.connect();
        }
    }
}

impl Factory for Told {
    type Protocol = Recorder;

    fn build_protocol(&mut self, _: &Address) -> Option<Recorder> {
        self.log.note("build");
        Some(Recorder::new().on_made(|transport| {
            transport.lose_connection();
            Ok(())
        }))
    }

    fn stop_factory(&mut self) {
        self.log.note("stop");
    }
}

impl ClientFactory for Told {
    fn started_connecting(&mut self, connector: &Connector) {
        self.log.note(format!("to {}", connector.destination()));
    }

    fn client_connection_failed(&mut self, connector: &Connector, reason: Failure) {
        self.log.note(format!("failed {}", short(&reason)));
        if self.stops {
            let reactor = connector.reactor().expect("it is alive");
            reactor.stop().expect("it runs");
        }
        self.ended(connector);
    }

    fn client_connection_lost(&mut self, connector: &Connector, _: Failure) {
        self.log.note("lost");
        self.ended(connector);
    }
}

/// Whom the hooks are told about is the connector that was given out: it knows its destination.
pub fn connector_identity(world: &dyn World) {
    let port = listen(world, Recorder::echo);
    let (log, to) = (Log::default(), world.connect_to(&port));
    let connector = world.client().connect_client(&to, Told::new(&log));
    assert_eq!(connector.destination(), to);
    world.until(&mut || log.count("stop") == 1);
    log.check(&[&format!("to {to}"), "build", "lost", "stop"]);
    assert!(!connector.is_connected());
}

/// `connect` inside a hook starts again, with the same factory, which is stopped once at the end.
pub fn reconnect(world: &dyn World) {
    let port = listen(world, Recorder::echo);
    let (log, to) = (Log::default(), world.connect_to(&port));
    let factory = Told {
        again: 2,
        ..Told::new(&log)
    };
    world.client().connect_client(&to, factory);
    world.until(&mut || log.count("stop") == 1);
    let counts = ["build", "lost", "stop"].map(|event| log.count(event));
    assert_eq!(counts, [3, 3, 1], "{:?}", log.events());
    assert_eq!(log.count(&format!("to {to}")), 3);
}

/// What comes to nothing is told, and may stop the reactor from inside the hook.
pub fn connection_failed_stops_reactor(world: &dyn World) {
    let port = listen(world, Recorder::echo);
    let to = world.connect_to(&port);
    port.stop_listening();
    world.settle();
    let (log, client) = (Log::default(), world.client());
    client.start().expect("it does not run");
    let factory = Told {
        stops: true,
        ..Told::new(&log)
    };
    client.connect_client(&to, factory);
    world.until(&mut || !client.is_running());
    assert_eq!(log.count("build"), 0);
    let events = log.events();
    assert!(
        events.iter().any(|event| event.starts_with("failed")),
        "{events:?}"
    );
}
