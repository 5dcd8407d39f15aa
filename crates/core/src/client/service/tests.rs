//! What Twisted's tests of its `ClientService` say, sentence by sentence, and what they leave open, on a clock set by
//! hand. An attempt is one lookup of a name: it fails or goes on when the test says so.

use super::*;
use crate::{
    client::Jitter,
    endpoint::{EndpointKind, EndpointSpec},
    layer::{Inner, Layer, Next},
    names::{HostName, NameResolver},
    reactor::{Port, Target},
    testing::{logged, memory::Table},
};
use std::{collections::VecDeque, net::SocketAddr};

const TO: &str = "tcp:server.test:7";
const SECOND: Duration = Duration::from_secs(1);
/// As by default, but exact.
const EXACT: ReconnectPolicy = ReconnectPolicy {
    jitter: Jitter::None,
    ..ReconnectPolicy::service()
};
/// Longer than the first retries wait, and shorter than an attempt may take.
const A_RETRY: Duration = Duration::from_secs(5);

#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn note(&self, event: impl Into<String>) {
        self.0.borrow_mut().push(event.into());
    }

    /// What has happened since the last time.
    #[track_caller]
    fn check(&self, expected: &str) {
        assert_eq!(self.0.take().join(", "), expected);
    }
}

/// Lookups that have no answer yet.
#[derive(Clone, Default)]
struct Lookups(Rc<RefCell<VecDeque<Resolver<Vec<SocketAddr>>>>>, Log);

impl NameResolver for Lookups {
    fn lookup(&self, _: &Reactor, _: &HostName, _: u16) -> Deferred<Vec<SocketAddr>> {
        self.1.note("connecting");
        let (resolver, answer) = Deferred::pair();
        self.0.borrow_mut().push_back(resolver);
        answer
    }
}

/// The protocol of the client: the number of the connection, and what it does when it is made.
struct Probe {
    number: usize,
    log: Log,
    made: Made,
    on_made: Hook,
}

/// The connections that were made, in their order.
#[derive(Clone, Default)]
struct Made(Rc<RefCell<Vec<Transport>>>);

type Hook = Rc<dyn Fn() -> Result>;

impl Protocol for Probe {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.made.0.borrow_mut().push(transport.clone());
        self.log.note(format!("made {}", self.number));
        (self.on_made)()
    }

    fn connection_lost(&mut self, _: Failure) {
        self.log.note(format!("lost {}", self.number));
    }
}

/// Builds probes, and says so.
struct Probes {
    log: Log,
    made: Made,
    built: usize,
    /// What happens inside `build_protocol`; `None` is built when it fails.
    on_build: Hook,
    on_made: Hook,
    on_start: Hook,
}

impl Factory for Probes {
    type Protocol = Probe;

    fn build_protocol(&mut self, _: &Address) -> Option<Probe> {
        self.built += 1;
        (self.on_build)().ok()?;
        Some(Probe {
            number: self.built,
            log: self.log.clone(),
            made: self.made.clone(),
            on_made: Rc::clone(&self.on_made),
        })
    }

    fn start_factory(&mut self) -> Result {
        self.log.note("start");
        (self.on_start)()
    }

    fn stop_factory(&mut self) {
        self.log.note("stop");
    }
}

/// The other end: keeps its connections, to close them.
#[derive(Clone, Default)]
struct Server(Rc<RefCell<Vec<Transport>>>);

impl Protocol for Server {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.0.borrow_mut().push(transport.clone());
        Ok(())
    }
}

/// What came of a Deferred: its value or its failure as text, or nothing yet.
#[derive(Clone, Default)]
struct Watch(Rc<RefCell<Option<String>>>);

impl Watch {
    fn new<T: 'static>(deferred: Deferred<T>, text: impl Fn(T) -> String + 'static) -> Self {
        let watch = Self::default();
        let own = watch.clone();
        let seen = move |result: Result<T>| {
            let seen = result.map_or_else(|failure| failure.to_string(), &text);
            assert_eq!(own.0.replace(Some(seen)), None, "it fires once");
        };
        deferred.add_both(seen).detach();
        watch
    }

    #[track_caller]
    fn check(&self, expected: &str) {
        let seen = self.0.borrow();
        let seen = seen.as_deref().unwrap_or("waits");
        assert_eq!(seen, expected);
    }
}

/// A service, and the world that its attempts meet.
struct World {
    table: Table,
    log: Log,
    made: Made,
    lookups: Lookups,
    server: Server,
    service: ClientService<Probe>,
}

impl World {
    /// A service that was started.
    fn started() -> Self {
        let world = Self::new();
        world.service.start_service();
        world.log.check("start, connecting");
        world
    }

    /// One that was started and has its first connection.
    fn connected() -> Self {
        let world = Self::started();
        world.accept();
        world.log.check("made 1");
        world
    }

    /// One that waits for its first retry.
    fn waiting() -> Self {
        let world = Self::started();
        world.refuse();
        world
    }

    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut Probes)) -> Self {
        Self::on(&Table::new(), change)
    }

    fn on(table: &Table, change: impl FnOnce(&mut Probes)) -> Self {
        let log = Log::default();
        let made = Made::default();
        let lookups = Lookups(Rc::default(), log.clone());
        table.reactor().set_name_resolver(lookups.clone());
        let server = Server::default();
        let keeps = server.clone();
        let port = table.reactor().listen("tcp:7", move || keeps.clone());
        port.expect("the table is empty");
        let fine: Hook = Rc::new(|| Ok(()));
        let mut probes = Probes {
            log: log.clone(),
            made: made.clone(),
            built: 0,
            on_build: Rc::clone(&fine),
            on_made: Rc::clone(&fine),
            on_start: fine,
        };
        change(&mut probes);
        let service = ClientService::new(table.reactor(), TO, probes);
        Self {
            table: table.clone(),
            log,
            made,
            lookups,
            server,
            service: service.expect("it is an endpoint").with_policy(EXACT),
        }
    }

    /// The attempt under way finds the server.
    #[track_caller]
    fn accept(&self) {
        let lookup = self.lookups.0.borrow_mut().pop_front();
        let lookup = lookup.expect("an attempt is under way");
        lookup.resolve(vec![([192, 0, 2, 2], 7).into()]);
        self.table.settle();
    }

    /// The attempt under way fails.
    #[track_caller]
    fn refuse(&self) {
        let lookup = self.lookups.0.borrow_mut().pop_front();
        let lookup = lookup.expect("an attempt is under way");
        lookup.fail(Failure::msg("refused"));
        self.table.settle();
    }

    /// The server closes its connections.
    fn server_closes(&self) {
        for transport in self.server.0.take() {
            transport.lose_connection();
        }
        self.table.settle();
    }

    fn when_connected(&self, failures: Option<u32>) -> Watch {
        let made = self.made.clone();
        let number = move |connection: Connection<Probe>| {
            let made = made.0.borrow();
            let mut made = made.iter();
            let number = made.position(|one| Rc::ptr_eq(&one.0, &connection.transport().0));
            format!("connection {}", number.map_or(0, |index| index + 1))
        };
        Watch::new(self.service.when_connected(failures), number)
    }

    fn stop(&self) -> Watch {
        Watch::new(self.service.stop_service(), |()| "stopped".to_owned())
    }

    #[track_caller]
    fn check_state(&self, expected: &str) {
        let state = format!("{:?}", self.service);
        assert_eq!(state, format!("ClientService({TO}, {expected})"));
    }

    /// It has stopped, and nothing of it is left.
    #[track_caller]
    fn check_stopped(&self) {
        self.check_state("stopped");
        let timers = self.table.reactor().statistics().timers;
        assert_eq!(timers, 0, "nothing is tried any more");
        self.when_connected(None).check("cancelled");
    }
}

const REFUSED: &str = "connecting to server.test:7: refused";

#[test]
fn when_it_is_started_a_connection_attempt_is_made() {
    let world = World::new();
    world.table.settle();
    world.log.check("");
    world.check_state("new");
    world.service.start_service();
    world.log.check("start, connecting");
    world.check_state("connecting");
}

#[test]
fn what_is_no_endpoint_is_refused_before_anything_is_tried() {
    let table = Table::new();
    let service = ClientService::new(table.reactor(), "tpc:1", Server::default);
    let problem = service.expect_err("there is no such kind").to_string();
    assert!(
        problem.contains("unknown kind of endpoint `tpc`"),
        "{problem}"
    );
}

#[test]
fn the_factory_is_started_before_the_first_attempt_and_stopped_when_it_has_stopped() {
    let world = World::started();
    world.refuse();
    world.table.advance(A_RETRY);
    world.log.check("connecting");
    world.accept();
    world.server_closes();
    world.table.advance(A_RETRY);
    world.log.check("made 1, lost 1, connecting");
    world.stop().check("stopped");
    world.log.check("stop");
    world.service.start_service();
    world.log.check("start, connecting");
}

#[test]
fn a_factory_that_cannot_start_is_an_attempt_that_failed() {
    let starts = Cell::new(0);
    let second = move || {
        starts.set(starts.get() + 1);
        match starts.get() {
            1 => Err(Failure::msg("no log file")),
            _ => Ok(()),
        }
    };
    let world = World::with(|probes| probes.on_start = Rc::new(second));
    let told = world.when_connected(Some(1));
    world.service.start_service();
    told.check("no log file");
    world.table.advance(A_RETRY);
    world.log.check("start, start, connecting");
}

#[test]
fn stopped_while_connected_it_makes_no_attempt_and_fires_when_the_connection_is_gone() {
    let world = World::connected();
    let stopped = world.stop();
    stopped.check("waits");
    world.check_state("closing");
    world.table.settle();
    stopped.check("stopped");
    world.log.check("lost 1, stop");
    world.table.advance(A_RETRY);
    world.log.check("");
    world.check_stopped();
}

#[test]
fn what_was_written_before_it_is_stopped_arrives() {
    struct Reader(Rc<RefCell<Vec<u8>>>);
    impl Protocol for Reader {
        fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result {
            self.0.borrow_mut().extend_from_slice(data);
            Ok(())
        }
    }
    let table = Table::new();
    let received = Rc::<RefCell<Vec<u8>>>::default();
    let reader = Rc::clone(&received);
    let port = table
        .reactor()
        .listen("tcp:8", move || Reader(Rc::clone(&reader)));
    port.expect("the table is empty");
    let service = ClientService::new(table.reactor(), "tcp:192.0.2.2:8", Server::default);
    let service = service.expect("it is an endpoint");
    service.start_service();
    table.settle();
    let connected = service.when_connected(None).try_result();
    let connection = connected.expect("it is there").expect("it is there");
    connection.transport().write(b"good bye");
    service.stop_service().detach();
    table.settle();
    assert_eq!(*received.borrow(), b"good bye");
}

#[test]
fn restarted_after_having_been_connected_it_waits_until_it_has_disconnected() {
    let world = World::connected();
    let stopped = world.stop();
    world.service.start_service();
    stopped.check("waits");
    world.log.check("");
    world.table.settle();
    stopped.check("stopped");
    world.log.check("lost 1, connecting");
    world.accept();
    world.log.check("made 2");
}

#[test]
fn started_while_stopping_it_connects_anew_and_new_waiters_get_that() {
    let world = World::connected();
    let stopped = world.stop();
    let next = world.when_connected(None);
    world.service.start_service();
    next.check("waits");
    world.table.settle();
    stopped.check("stopped");
    next.check("waits");
    world.accept();
    next.check("connection 2");
    world.stop().check("waits");
}

#[test]
fn started_while_stopped_it_connects_anew() {
    let world = World::started();
    world.stop().check("stopped");
    world.when_connected(None).check("cancelled");
    world.lookups.0.borrow_mut().clear();
    world.service.start_service();
    world.accept();
    world.when_connected(None).check("connection 1");
}

#[test]
fn stopped_while_retrying_the_attempt_is_cancelled() {
    let world = World::waiting();
    world.table.advance(A_RETRY);
    world.log.check("connecting");
    let stopped = world.stop();
    stopped.check("stopped");
    let given_up = world.lookups.0.borrow_mut().pop_front();
    assert!(given_up.expect("it was under way").is_cancelled());
    world.check_stopped();
}

#[test]
fn stopped_while_connecting_the_attempt_is_cancelled() {
    let world = World::started();
    world.stop().check("stopped");
    world.log.check("stop");
    world.check_stopped();
}

#[test]
fn stopped_and_started_while_connecting_it_makes_another_attempt() {
    let world = World::started();
    let (first, second) = (world.stop(), world.stop());
    world.service.start_service();
    first.check("stopped");
    second.check("stopped");
    world.log.check("stop, start, connecting");
    world.lookups.0.borrow_mut().pop_front();
    world.accept();
    world.log.check("made 1");
}

/// After how long the next attempt begins.
#[track_caller]
fn check_delay(world: &World, seconds: f64) {
    let delay = Duration::from_secs_f64(seconds);
    world.log.0.take();
    world.table.advance(delay - Duration::from_nanos(1));
    world.log.check("");
    world.table.advance(Duration::from_nanos(1));
    world.log.check("connecting");
}

#[test]
fn the_first_retry_waits_the_initial_delay_and_each_later_one_longer() {
    let world = World::started();
    for seconds in [1.0, 1.5, 2.25, 3.375] {
        world.refuse();
        check_delay(&world, seconds);
    }
    for _ in 0..20 {
        world.refuse();
        let next = world.table.reactor().next_deadline();
        world.table.advance(next.expect("it tries again"));
    }
    world.refuse();
    check_delay(&world, 60.0);
}

#[test]
fn a_connection_starts_the_delays_from_the_beginning() {
    let world = World::started();
    for seconds in [1.0, 1.5] {
        world.refuse();
        check_delay(&world, seconds);
    }
    world.accept();
    world.server_closes();
    check_delay(&world, 1.0);
    world.refuse();
    check_delay(&world, 1.5);
}

#[test]
fn stopping_starts_the_delays_from_the_beginning() {
    let world = World::started();
    for seconds in [1.0, 1.5] {
        world.refuse();
        check_delay(&world, seconds);
    }
    world.service.stop_service().detach();
    world.service.start_service();
    world.lookups.0.borrow_mut().pop_front();
    world.refuse();
    check_delay(&world, 1.0);
}

#[test]
fn by_default_the_delays_are_scattered_by_up_to_a_second() {
    let table = Table::new();
    let service = ClientService::new(table.reactor(), "tcp:192.0.2.2:9", Server::default);
    let service = service.expect("it is an endpoint");
    service.start_service();
    let log = logged(|| table.settle());
    let next = table.reactor().next_deadline().expect("it tries again");
    assert!((SECOND..2 * SECOND).contains(&next), "{next:?}");
    let said = format!("INFO connecting to tcp:192.0.2.2:9 again in {next:?}: could not connect: ");
    assert!(log[0].starts_with(&said), "{log:?}");
}

#[test]
fn an_attempt_that_fails_is_followed_by_another() {
    let world = World::waiting();
    let connected = world.when_connected(None);
    world.check_state("waiting");
    world.table.advance(SECOND);
    world.log.check("connecting");
    connected.check("waits");
    world.accept();
    connected.check("connection 1");
}

#[test]
fn a_connection_that_is_lost_is_made_again() {
    let world = World::connected();
    world.when_connected(None).check("connection 1");
    world.server_closes();
    world.check_state("waiting");
    let next = world.when_connected(Some(1));
    world.table.advance(SECOND);
    world.accept();
    next.check("connection 2");
    world.log.check("lost 1, connecting, made 2");
    world.when_connected(None).check("connection 2");
}

#[test]
fn a_factory_that_declines_is_asked_again() {
    let declines = |probes: &mut Probes| probes.on_build = Rc::new(|| Err(Failure::msg("no")));
    let world = World::with(declines);
    world.service.start_service();
    let connected = world.when_connected(None);
    let told = world.when_connected(Some(2));
    for _ in 0..2 {
        world.accept();
        connected.check("waits");
        world.table.advance(A_RETRY);
    }
    told.check("the factory built no protocol");
    world.log.check("start, connecting, connecting, connecting");
    world.stop().check("stopped");
    connected.check("cancelled");
}

#[test]
fn a_connection_lost_while_stopping_completes_the_stop() {
    let world = World::connected();
    let stopped = world.stop();
    world.server_closes();
    stopped.check("stopped");
    world.check_stopped();
}

#[test]
fn a_second_start_is_logged_and_does_nothing() {
    let complains = |world: &World, state: &str| {
        world.check_state(state);
        world.log.0.take();
        let log = logged(|| world.service.start_service());
        let complaint = format!("WARN the client service of {TO} was started twice");
        assert_eq!(log, [complaint], "{state}");
        world.check_state(state);
        world.log.check("");
    };
    complains(&World::started(), "connecting");
    complains(&World::connected(), "connected");
    complains(&World::waiting(), "waiting");
    let restarting = World::connected();
    restarting.service.stop_service().detach();
    let log = logged(|| restarting.service.start_service());
    assert!(log.is_empty(), "{log:?}");
    complains(&restarting, "closing");
    let preparing = World::new();
    let (_never, done) = Deferred::<()>::pair();
    let done = Cell::new(Some(done));
    let service = preparing.prepared_by(move |_| done.take().expect("it is called once"));
    service.start_service();
    preparing.accept();
    complains(&preparing, "preparing");
}

#[test]
fn everybody_who_waits_gets_the_same_connection() {
    let world = World::started();
    let waiters = [None, None, Some(1)].map(|failures| world.when_connected(failures));
    for waiter in &waiters {
        waiter.check("waits");
    }
    world.accept();
    for waiter in &waiters {
        waiter.check("connection 1");
    }
}

#[test]
fn who_waits_before_the_first_start_gets_the_first_connection() {
    let world = World::new();
    let connected = world.when_connected(Some(1));
    world.service.start_service();
    connected.check("waits");
    world.accept();
    connected.check("connection 1");
}

#[test]
fn who_waits_fails_after_as_many_failures_as_they_said() {
    let world = World::started();
    let waiters = [None, Some(0), Some(1), Some(2), Some(3)].map(|n| world.when_connected(n));
    let check = |expected: [&str; 5]| {
        for (waiter, expected) in waiters.iter().zip(expected) {
            waiter.check(expected);
        }
    };
    check(["waits"; 5]);
    world.refuse();
    check(["waits", REFUSED, REFUSED, "waits", "waits"]);
    world.table.advance(A_RETRY);
    check(["waits", REFUSED, REFUSED, "waits", "waits"]);
    world.refuse();
    check(["waits", REFUSED, REFUSED, REFUSED, "waits"]);
    world.table.advance(A_RETRY);
    world.accept();
    let connection = "connection 1";
    check([connection, REFUSED, REFUSED, REFUSED, connection]);
    world.when_connected(Some(1)).check(connection);
}

#[test]
fn a_lost_connection_is_no_failure_to_who_waits() {
    let world = World::connected();
    world.server_closes();
    let connected = world.when_connected(Some(1));
    world.table.advance(A_RETRY);
    world.refuse();
    connected.check(REFUSED);
}

#[test]
fn who_waits_is_cancelled_when_it_is_stopped() {
    for world in [World::new(), World::started(), World::waiting()] {
        let waiters = [None, None, Some(1)].map(|failures| world.when_connected(failures));
        world.service.stop_service().detach();
        for waiter in &waiters {
            waiter.check("cancelled");
        }
        world.check_stopped();
    }
}

#[test]
fn who_waits_while_it_closes_is_cancelled_when_it_has_stopped_or_is_stopped_again() {
    let world = World::connected();
    world.service.stop_service().detach();
    let connected = world.when_connected(None);
    connected.check("waits");
    world.table.settle();
    connected.check("cancelled");

    let world = World::connected();
    world.service.stop_service().detach();
    world.service.start_service();
    let connected = world.when_connected(None);
    world.service.stop_service().detach();
    connected.check("cancelled");
    world.table.settle();
    world.check_stopped();
}

#[test]
fn stopped_while_waiting_the_retry_is_cancelled() {
    let world = World::waiting();
    world.log.0.take();
    world.stop().check("stopped");
    world.log.check("stop");
    world.check_stopped();
}

#[test]
fn stopped_before_it_was_started_it_has_stopped() {
    let world = World::new();
    world.stop().check("stopped");
    world.log.check("");
    world.check_stopped();
}

#[test]
fn stopped_twice_both_fire_when_it_has_disconnected() {
    let world = World::connected();
    let both = [world.stop(), world.stop()];
    for stopped in &both {
        stopped.check("waits");
    }
    world.table.settle();
    for stopped in &both {
        stopped.check("stopped");
    }
    world.log.check("lost 1, stop");
}

#[test]
fn stopped_while_restarting_it_stops() {
    let world = World::connected();
    let first = world.stop();
    world.service.start_service();
    let second = world.stop();
    world.table.settle();
    first.check("stopped");
    second.check("stopped");
    world.log.check("lost 1, stop");
    world.check_stopped();
}

#[test]
fn stopped_when_it_has_stopped_fires_at_once() {
    let world = World::connected();
    world.service.stop_service().detach();
    world.table.settle();
    world.stop().check("stopped");
    world.stop().check("stopped");
    world.check_stopped();
}

#[test]
fn who_waits_may_cancel_and_is_forgotten() {
    let world = World::started();
    let given_up = world.service.when_connected(Some(1));
    given_up.cancel();
    Watch::new(given_up, |_| "connected".to_owned()).check("cancelled");
    let connected = world.when_connected(None);
    for _ in 0..1000 {
        let given_up = world.service.when_connected(None);
        given_up.cancel();
        given_up
            .add_errback(|_| Err(Cancelled.into()))
            .add_both(|_| ())
            .detach();
    }
    let kept = world.service.0.connect_waiters.borrow().len();
    assert!(kept < 10, "{kept}");
    world.accept();
    connected.check("connection 1");
}

#[test]
fn everything_may_be_asked_from_inside_what_it_calls() {
    let world = World::started();
    let service = world.service.clone();
    let again = service.clone();
    let told = service.when_connected(None).add_callback(move |first| {
        let stopped = again.stop_service();
        again.start_service();
        let next = again.when_connected(None);
        stopped.add_callback(move |()| {
            next.add_callback(move |second| second.call(|probe: &mut Probe, _| Ok(probe.number)))
                .map(move |number| (first, number))
        })
    });
    let told = Watch::new(told, |(_, number)| format!("then {number}"));
    world.accept();
    world.log.check("made 1, lost 1, connecting");
    world.accept();
    told.check("then 2");
}

#[test]
fn a_factory_may_stop_it_while_it_builds() {
    let stops = Rc::<RefCell<Option<ClientService<Probe>>>>::default();
    let service = Rc::clone(&stops);
    let stop = move || {
        let service = service.borrow().clone();
        service.expect("it is set").stop_service().detach();
        Ok(())
    };
    let world = World::with(|probes| probes.on_build = Rc::new(stop));
    *stops.borrow_mut() = Some(world.service.clone());
    world.service.start_service();
    world.accept();
    world.log.check("start, connecting, stop");
    world.check_stopped();
    stops.take();
}

#[test]
fn a_factory_may_stop_and_start_it_while_it_builds() {
    let held = Rc::<RefCell<Option<ClientService<Probe>>>>::default();
    let own = Rc::clone(&held);
    let restart = move || {
        if let Some(service) = own.take() {
            service.stop_service().detach();
            service.start_service();
        }
        Ok(())
    };
    let world = World::with(|probes| probes.on_build = Rc::new(restart));
    *held.borrow_mut() = Some(world.service.clone());
    world.service.start_service();
    world.accept();
    let connected = world.when_connected(Some(1));
    world.log.check("start, connecting, connecting");
    world.refuse();
    connected.check(REFUSED);
    world.table.advance(A_RETRY);
    world.accept();
    world.log.check("connecting, made 2");
}

#[test]
fn the_last_word_from_inside_the_lookup_counts() {
    let world = World::new();
    let held = Rc::new(RefCell::new(Some(world.service.clone())));
    let (own, lookups) = (Rc::clone(&held), world.lookups.clone());
    let stop_again = move || {
        if let Some(service) = own.take() {
            service.stop_service().detach();
            service.start_service();
            service.stop_service().detach();
        }
    };
    world
        .table
        .reactor()
        .set_name_resolver(Inside(stop_again, lookups));
    world.service.start_service();
    world.log.check("start, connecting, stop");
    world.check_stopped();
}

#[test]
fn it_may_be_stopped_and_started_from_inside_the_lookup() {
    let world = World::new();
    let held = Rc::new(RefCell::new(Some(world.service.clone())));
    let (own, lookups) = (Rc::clone(&held), world.lookups.clone());
    let restart = move || {
        if let Some(service) = own.take() {
            service.stop_service().detach();
            service.start_service();
        }
    };
    world
        .table
        .reactor()
        .set_name_resolver(Inside(restart, lookups));
    world.service.start_service();
    world.log.check("start, connecting, connecting");
    let first = world.lookups.0.borrow_mut().pop_front();
    assert!(first.expect("it was asked").is_cancelled());
    world.accept();
    world.when_connected(None).check("connection 1");
}

/// Does something before it looks up.
struct Inside<F>(F, Lookups);

impl<F: Fn() + 'static> NameResolver for Inside<F> {
    fn lookup(&self, reactor: &Reactor, name: &HostName, port: u16) -> Deferred<Vec<SocketAddr>> {
        let lookup = self.1.lookup(reactor, name, port);
        (self.0)();
        lookup
    }
}

#[test]
fn a_protocol_may_stop_it_while_it_is_made_and_its_end_is_waited_for() {
    let held = Rc::<RefCell<Option<(ClientService<Probe>, Watch)>>>::default();
    let own = Rc::clone(&held);
    let stop = move || {
        let service = own.borrow().as_ref().map(|(service, _)| service.clone());
        let service = service.expect("it is set");
        let stopped = Watch::new(service.stop_service(), |()| "stopped".to_owned());
        stopped.check("waits");
        *own.borrow_mut() = Some((service, stopped));
        Ok(())
    };
    let world = World::with(|probes| probes.on_made = Rc::new(stop));
    *held.borrow_mut() = Some((world.service.clone(), Watch::default()));
    world.service.start_service();
    world.accept();
    world.log.check("start, connecting, made 1, lost 1, stop");
    let (_, stopped) = held.take().expect("it is set");
    stopped.check("stopped");
    world.check_stopped();
}

#[test]
fn a_protocol_that_fails_when_it_is_made_is_an_attempt_that_failed() {
    let world = World::with(|probes| probes.on_made = Rc::new(|| Err(Failure::msg("not you"))));
    world.service.start_service();
    let (told, twice) = (world.when_connected(Some(1)), world.when_connected(Some(2)));
    world.accept();
    told.check("not you");
    twice.check("waits");
    check_delay(&world, 1.0);
    world.accept();
    twice.check("not you");
    check_delay(&world, 1.5);
}

impl World {
    fn prepared_by<R: Outcome<Value = ()>>(
        &self,
        hook: impl Fn(usize) -> R + 'static,
    ) -> ClientService<Probe> {
        let hook = Rc::new(hook);
        let log = self.log.clone();
        self.service.clone().prepare_connection(move |connection| {
            let (hook, log) = (Rc::clone(&hook), log.clone());
            connection
                .call(|probe: &mut Probe, _| Ok(probe.number))
                .add_callback(move |number| {
                    log.note(format!("prepare {number}"));
                    hook(number)
                })
        })
    }
}

#[test]
fn the_hook_gets_each_new_connection_after_it_was_made() {
    let world = World::new();
    let service = world.prepared_by(|_| ());
    service.start_service();
    world.refuse();
    world.table.advance(A_RETRY);
    world.log.check("start, connecting, connecting");
    world.accept();
    world.log.check("made 1, prepare 1");
    world.when_connected(None).check("connection 1");
    world.server_closes();
    world.table.advance(A_RETRY);
    world.accept();
    world.log.check("lost 1, connecting, made 2, prepare 2");
    world.when_connected(None).check("connection 2");
}

#[test]
fn who_waits_gets_the_connection_when_the_hook_is_done() {
    let world = World::new();
    let (resolver, done) = Deferred::<()>::pair();
    let done = Cell::new(Some(done));
    let service = world.prepared_by(move |_| done.take().expect("it is called once"));
    service.start_service();
    let connected = world.when_connected(Some(1));
    world.accept();
    world.check_state("preparing");
    connected.check("waits");
    world.when_connected(None).check("waits");
    resolver.resolve(());
    connected.check("connection 1");
    world.check_state("connected");
}

#[test]
fn a_hook_that_fails_or_panics_closes_the_connection_and_is_an_attempt_that_failed() {
    let world = World::new();
    let service = world.prepared_by(|number| match number {
        1 => Err(Failure::msg("bad password")),
        _ => panic!("oh"),
    });
    service.start_service();
    let told = [Some(1), Some(2), None].map(|failures| world.when_connected(failures));
    let check = |expected: [&str; 3]| {
        for (waiter, expected) in told.iter().zip(expected) {
            waiter.check(expected);
        }
    };
    world.accept();
    world
        .log
        .check("start, connecting, made 1, prepare 1, lost 1");
    check(["bad password", "waits", "waits"]);
    check_delay(&world, 1.0);
    world.accept();
    world.log.check("made 2, prepare 2, lost 2");
    let panicked = "a callback panicked: oh";
    check(["bad password", panicked, "waits"]);
    check_delay(&world, 1.5);
    world.stop().check("stopped");
    check(["bad password", panicked, "cancelled"]);
}

#[test]
fn a_connection_lost_while_the_hook_looks_at_it_cancels_the_hook_and_is_a_failure() {
    let world = World::new();
    let held = Rc::<RefCell<Option<Resolver<()>>>>::default();
    let to = Rc::clone(&held);
    let service = world.prepared_by(move |_| {
        let (resolver, waits) = Deferred::pair();
        *to.borrow_mut() = Some(resolver);
        waits
    });
    service.start_service();
    let told = world.when_connected(Some(1));
    world.accept();
    world.server_closes();
    told.check("connection was closed cleanly");
    let resolver = held.take().expect("the hook was called");
    assert!(resolver.is_cancelled());
    resolver.resolve(());
    world.check_state("waiting");
    check_delay(&world, 1.0);
}

#[test]
fn stopped_while_the_hook_looks_at_a_connection_the_hook_is_cancelled_and_the_end_waited_for() {
    let world = World::new();
    let service = world.prepared_by(|_| Deferred::pair().1);
    service.start_service();
    let connected = world.when_connected(None);
    world.accept();
    // The hook that drops its resolver has failed: the connection was rejected.
    world
        .log
        .check("start, connecting, made 1, prepare 1, lost 1");
    world.check_state("waiting");
    connected.check("waits");

    let world = World::new();
    let held = Rc::<RefCell<Vec<Resolver<()>>>>::default();
    let to = Rc::clone(&held);
    let service = world.prepared_by(move |_| {
        let (resolver, waits) = Deferred::pair();
        to.borrow_mut().push(resolver);
        waits
    });
    service.start_service();
    world.accept();
    let stopped = world.stop();
    assert!(held.borrow()[0].is_cancelled());
    stopped.check("waits");
    world.table.settle();
    stopped.check("stopped");
    world.check_stopped();
}

#[test]
fn it_gives_up_after_the_last_retry_and_tells_everybody_why() {
    let world = World::new();
    let policy = ReconnectPolicy {
        max_retries: Some(1),
        ..EXACT
    };
    let service = world.service.clone().with_policy(policy);
    service.start_service();
    let told = world.when_connected(None);
    world.refuse();
    world.table.advance(SECOND);
    told.check("waits");
    let log = logged(|| world.refuse());
    told.check(REFUSED);
    let said = format!("WARN gave up connecting to {TO} after 1 retries: {REFUSED}");
    assert_eq!(log, [said]);
    world.log.check("start, connecting, connecting, stop");
    world.check_stopped();
    service.start_service();
    world.accept();
    world.when_connected(None).check("connection 1");
}

#[test]
fn a_reactor_that_stops_stops_it_whatever_its_state() {
    for (world, told) in [
        (World::started(), "stop"),
        (World::waiting(), "stop"),
        (World::connected(), "lost 1, stop"),
    ] {
        let reactor = world.table.reactor();
        reactor.start().expect("it does not run");
        reactor.stop().expect("it runs");
        world.table.advance(A_RETRY);
        assert!(!reactor.is_running());
        world.log.check(told);
        world.check_stopped();
        world.lookups.0.borrow_mut().clear();
        world.log.0.take();
        world.service.start_service();
        world.log.check("start, connecting");
    }
}

#[test]
fn the_handle_may_be_dropped_and_a_reactor_that_is_dropped_frees_everything() {
    for begin in [World::new, World::started, World::waiting, World::connected] {
        let held = Rc::new(());
        let world = begin();
        let kept = Rc::clone(&held);
        let service = world.service.clone().prepare_connection(move |_| {
            let _ = &kept;
        });
        assert_eq!(Rc::strong_count(&held), 2);
        let _made = world.made.clone();
        drop(service);
        drop(world);
        assert_eq!(Rc::strong_count(&held), 1);
    }
}

#[test]
fn a_service_nobody_holds_goes_on() {
    let world = World::waiting();
    let World {
        table,
        log,
        lookups,
        service,
        ..
    } = world;
    drop(service);
    log.0.take();
    table.advance(SECOND);
    log.check("connecting");
    let lookup = lookups.0.borrow_mut().pop_front().expect("it goes on");
    lookup.resolve(vec![([192, 0, 2, 2], 7).into()]);
    table.settle();
    log.check("made 1");
}

#[test]
fn a_service_nobody_holds_is_stopped_by_its_reactor_and_a_stopped_one_is_freed() {
    let world = World::connected();
    let held = Rc::new(());
    let kept = Rc::clone(&held);
    let service = world.service.prepare_connection(move |_| {
        let _ = &kept;
    });
    drop(service);
    assert_eq!(Rc::strong_count(&held), 2);
    let reactor = world.table.reactor();
    reactor.start().expect("it does not run");
    reactor.stop().expect("it runs");
    world.table.advance(A_RETRY);
    world.log.check("lost 1, stop");
    assert_eq!(Rc::strong_count(&held), 1);

    let world = World::started();
    let kept = Rc::clone(&held);
    let service = world.service.prepare_connection(move |_| {
        let _ = &kept;
    });
    service.stop_service().detach();
    drop(service);
    assert_eq!(Rc::strong_count(&held), 1);
}

#[test]
fn a_hook_that_ends_late_says_nothing_of_the_next_connection() {
    let world = World::new();
    let held = Rc::<RefCell<Vec<Resolver<()>>>>::default();
    let to = Rc::clone(&held);
    let service = world.prepared_by(move |_| {
        let ((resolver, waits), later) = (Deferred::<()>::pair(), Rc::clone(&to));
        to.borrow_mut().push(resolver);
        // Cancelled, it takes its time.
        waits.add_errback(move |_| {
            let (resolver, waits) = Deferred::pair();
            later.borrow_mut().push(resolver);
            waits
        })
    });
    service.start_service();
    world.accept();
    world.server_closes();
    world.table.advance(SECOND);
    world.accept();
    world.check_state("preparing");
    let late = held.borrow_mut().remove(1);
    late.resolve(());
    world.check_state("preparing");
}

/// `late:…` is `…` under a layer that is up when the server has said `!`, and fails when it says anything else.
struct Late;
struct LateLayer;
struct LateProtocol(Inner);

impl Layer for LateLayer {
    fn wrap(self: Box<Self>, inner: Inner) -> Box<dyn Protocol> {
        Box::new(LateProtocol(inner))
    }
}

impl Protocol for LateProtocol {
    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result {
        match data {
            b"!" => self.0.connection_made(),
            _ => Err(Failure::msg("no handshake")),
        }
    }

    fn inner_requests(&mut self, transport: &Transport) -> Result {
        if let Next::Close = self.0.settle(None)? {
            transport.lose_connection();
        }
        Ok(())
    }

    fn connection_lost(&mut self, reason: Failure) {
        self.0.connection_lost(reason);
    }
}

impl EndpointKind for Late {
    fn listen(&self, _: &Reactor, spec: &EndpointSpec, _: &SharedFactory) -> Result<Port> {
        Err(spec.problem("it only connects"))
    }

    fn target(&self, reactor: &Reactor, spec: &EndpointSpec) -> Result<Target> {
        let mut target = reactor.target(&spec.inner(&[])?)?;
        target
            .layers
            .push(Rc::new(|_| Ok(Box::new(LateLayer) as Box<dyn Layer>)));
        Ok(target)
    }

    fn check(&self, reactor: &Reactor, spec: &EndpointSpec, side: Side) -> Result {
        reactor.check_spec(&spec.inner(&[])?, side)
    }

    fn usage(&self, _: Side) -> &'static str {
        "late:ENDPOINT"
    }
}

impl World {
    /// Under a layer, connected, and the layer is not up.
    fn late() -> Self {
        let table = Table::new();
        table.reactor().endpoint_kind("late", Late);
        let mut world = Self::on(&table, |_| ());
        let log = world.log.clone();
        let made = world.made.clone();
        let fine: Hook = Rc::new(|| Ok(()));
        let probes = Probes {
            log,
            made,
            built: 0,
            on_build: Rc::clone(&fine),
            on_made: Rc::clone(&fine),
            on_start: fine,
        };
        let service = ClientService::new(table.reactor(), &format!("late:{TO}"), probes);
        world.service = service.expect("it is an endpoint").with_policy(EXACT);
        world.service.start_service();
        world.accept();
        world.log.check("start, connecting");
        world
    }

    fn server_says(&self, words: &[u8]) {
        let last = self.server.0.borrow().last().cloned();
        last.expect("it is connected").write(words);
        self.table.settle();
    }
}

#[test]
fn under_a_layer_it_is_connected_when_the_layer_is_up() {
    let world = World::late();
    let connected = world.when_connected(Some(1));
    connected.check("waits");
    world.server_says(b"!");
    world.log.check("made 1");
    connected.check("connection 1");
    world.server_closes();
    world.log.check("lost 1");
    world.table.advance(SECOND);
    world.log.check("connecting");
    let stopped = world.stop();
    stopped.check("stopped");
}

#[test]
fn a_layer_that_fails_before_it_is_up_is_an_attempt_that_failed() {
    let world = World::late();
    let told = world.when_connected(Some(1));
    world.server_says(b"?");
    told.check("no handshake");
    world.log.check("");
    world.table.advance(SECOND);
    world.log.check("connecting");
    world.accept();
    world.server_says(b"!");
    world.log.check("made 1");
    world.when_connected(None).check("connection 1");
}

#[test]
fn stopped_before_the_layer_is_up_the_connection_ends_and_no_protocol_is_built() {
    let world = World::late();
    let stopped = world.stop();
    world.service.start_service();
    world.table.settle();
    stopped.check("stopped");
    assert_eq!(world.server.0.borrow().len(), 1);
    world.log.check("stop, start, connecting");
    assert_eq!(world.table.reactor().statistics().connections, 0);
    world.accept();
    world.server_says(b"!");
    world.log.check("made 1");
}
