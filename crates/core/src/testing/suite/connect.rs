//! Making connections: refused, wrong, late, cancelled. Names no driver.

use super::{
    World,
    recorder::{
        Echoes, Log, Recorder, check_echo, connect, connected, echoes, listen, pair, watch,
    },
};
use crate::{
    address::Address,
    client::ClientCallbacks,
    deferred::{Canceller, Deferred},
    endpoint::BadEndpoint,
    error::Panicked,
    factory::Sharing,
    failure::Failure,
    reactor::{EventType, Phase, Port},
};
use std::{cell::RefCell, rc::Rc, time::Duration};

/// Nobody listens there: the Deferred fails and no protocol is built.
pub fn create_failure(world: &dyn World) {
    let port = listen(world, Recorder::new);
    let to = world.connect_to(&port);
    port.stop_listening();
    let (log, factory) = echoes();
    let end = watch(world.client().connect_shared(&to, &factory, None));
    world.until(&mut || !end.events().is_empty());
    end.check(&["could not connect"]);
    log.check(&[]);
    assert_eq!(world.client().statistics().timers, 0, "its timeout is gone");
}

/// The local address to connect from is not ours.
pub fn bind_failure(world: &dyn World) {
    let port = listen(world, Recorder::new);
    let Some(to) = world.connect_from_elsewhere(&port) else {
        return;
    };
    let end = watch(world.client().connect(&to, Recorder::new));
    world.until(&mut || !end.events().is_empty());
    end.check(&["could not connect"]);
}

/// A port below 0 is refused before anything is opened.
pub fn connect_port_underflow(world: &dyn World) {
    check_bad(world, "tcp:127.0.0.1:-1", "port `-1`");
}

/// A port above 65535 is refused before anything is opened.
pub fn connect_port_overflow(world: &dyn World) {
    check_bad(world, "tcp:127.0.0.1:65536", "port `65536`");
}

/// Nobody can listen at port 0, so connecting to it fails.
pub fn connect_port_zero(world: &dyn World) {
    let end = watch(world.client().connect("tcp:127.0.0.1:0", Recorder::new));
    world.until(&mut || !end.events().is_empty());
    end.check(&["could not connect"]);
}

/// A slip of the pen in an endpoint is told, on either side, and nothing is opened.
pub fn bad_endpoint_strings(world: &dyn World) {
    check_bad(world, "", "expected a kind");
    check_bad(
        world,
        "nonsense:1",
        "unknown kind of endpoint `nonsense`; expected one of `tcp`, `tcp6`",
    );
    check_bad(world, "tcp:127.0.0.1", "expected a port number");
    check_bad(world, "tcp:nowhere.example:80", "no IP address");
    check_bad(world, "tcp:127.0.0.1:80:colour=red", "`colour`");
    check_bad(
        world,
        "tcp6:::1:2:3",
        "too many; expected `tcp6:ADDRESS:PORT[:",
    );
    for (at, problem) in [
        ("tcp:65536", "port `65536`"),
        ("tcp:-1", "port `-1`"),
        ("tcp", "expected a port number"),
        ("tcp:0:interface=nowhere", "no IP address"),
        ("tcp:0:interfaces=127.0.0.1", "`interfaces`"),
        ("tcp:1:reuse=yes", "reuse `yes` is neither 0 nor 1"),
        ("tcp:0:reuse=1", "reuse `1` needs a port"),
        ("tcp:0:1", "too many; expected `tcp:PORT[:"),
        ("tcp:0\\", "lone `\\`"),
    ] {
        let failure = world.reactor().listen(at, Recorder::new).err();
        check_problem(at, failure, problem);
    }
}

#[track_caller]
fn check_bad(world: &dyn World, to: &str, problem: &str) {
    let result = world.client().connect(to, Recorder::new).try_result();
    check_problem(to, result.expect("it fails at once").err(), problem);
}

#[track_caller]
fn check_problem(endpoint: &str, failure: Option<Failure>, problem: &str) {
    let failure = failure.expect("it fails");
    let bad = failure.check::<BadEndpoint>();
    let bad = bad.expect("it fails because of the endpoint");
    assert!(bad.problem.contains(problem), "{endpoint}: {bad}");
}

/// `local_address` has the port that the system chose, and it can be reached there.
pub fn listening_at_port_zero_tells_the_real_one(world: &dyn World) {
    let one = listen(world, Recorder::echo);
    let two = listen(world, Recorder::echo);
    assert_ne!(one.local_address().port(), Some(0));
    assert_ne!(one.local_address(), two.local_address());
    check_echo(world, &one);
    check_echo(world, &two);
}

/// Where somebody listens nobody else can.
pub fn listening_twice_at_one_address_is_refused(world: &dyn World) {
    let port = listen(world, Recorder::echo);
    let (log, factory) = echoes();
    let options = crate::driver::ListenOptions::default();
    let second = world
        .reactor()
        .listen_at(port.local_address(), &options, &factory);
    let failure = second.expect_err("the address is taken");
    assert!(failure.check::<crate::error::CannotListen>().is_some());
    log.check(&[]);
    check_echo(world, &port);
}

/// `connection_made` comes first, then the Deferred fires.
pub fn connect_fires_after_connection_made(world: &dyn World) {
    let port = listen(world, Recorder::echo);
    let log = Log::default();
    let (made, fired) = (log.clone(), log.clone());
    let client = Recorder::new().on_made(move |_| {
        made.note("made");
        Ok(())
    });
    let to = world.connect_to(&port);
    let connecting = world.client().connect_protocol(&to, client);
    connecting.map(move |_| fired.note("fired")).detach();
    log.check(&[]);
    world.until(&mut || log.events().len() == 2);
    log.check(&["made", "fired"]);
}

/// A protocol whose `connection_made` fails has no connection: the Deferred fails with the same reason.
pub fn connect_fails_when_connection_made_fails(world: &dyn World) {
    let port = listen(world, Recorder::echo);
    let client = Recorder::new().on_made(|_| Err(Failure::msg("not today")));
    let seen = client.seen();
    let to = world.connect_to(&port);
    let end = watch(world.client().connect_protocol(&to, client));
    world.until(&mut || !end.events().is_empty());
    seen.check(&["made", "lost: not today"]);
    end.check(&["not today"]);
}

/// The same for a panic.
pub fn connect_fails_when_connection_made_panics(world: &dyn World) {
    let port = listen(world, Recorder::echo);
    let client = Recorder::new().on_made(|_| panic!("oh"));
    let seen = client.seen();
    let to = world.connect_to(&port);
    let end = watch(world.client().connect_protocol(&to, client));
    world.until(&mut || !end.events().is_empty());
    world.settle();
    let panicked = Panicked("oh".to_owned()).to_string();
    seen.check(&["made", &format!("lost: {panicked}")]);
    end.check(&[&panicked]);
}

/// An attempt that nobody answers ends at the limit `connect`, 30 s by default, and not before.
pub fn connect_timeout(world: &dyn World) {
    if let Some(to) = world.silent() {
        check_timeout(world, &to, Duration::from_secs(30));
    }
}

/// An endpoint can have its own.
pub fn connect_timeout_of_the_endpoint(world: &dyn World) {
    if let Some(to) = world.silent() {
        check_timeout(world, &format!("{to}:timeout=3"), Duration::from_secs(3));
    }
}

#[track_caller]
fn check_timeout(world: &dyn World, to: &str, after: Duration) {
    let (log, factory) = echoes();
    let end = watch(world.client().connect_shared(to, &factory, None));
    let little = Duration::from_millis(1);
    world.advance(after.checked_sub(little).expect("longer than that"));
    end.check(&[]);
    world.advance(little);
    end.check(&["Connect deadline"]);
    log.check(&[]);
}

/// A connection that was made is not ended by the timeout of its attempt.
pub fn connect_timeout_ends_with_the_attempt(world: &dyn World) {
    let pair = pair(world, Recorder::echo(), Recorder::new());
    pair.server.transport().set_idle_timeout(None);
    assert_eq!(world.client().statistics().timers, 0);
    world.advance(Duration::from_secs(3600));
    pair.client.check(&["made"]);
    pair.server.check(&["made"]);
}

/// A cancelled attempt fails at once and builds no protocol.
pub fn cancel_connect(world: &dyn World) {
    let port = listen(world, Recorder::echo);
    let (log, factory) = echoes();
    let to = world.connect_to(&port);
    let connecting = world.client().connect_shared(&to, &factory, None);
    let canceller = connecting.canceller().expect("it waits");
    let end = watch(connecting);
    canceller.cancel();
    end.check(&["connecting was cancelled"]);
    world.settle();
    end.check(&["connecting was cancelled"]);
    log.check(&[]);
    assert_eq!(world.client().statistics().timers, 0);
    check_echo(world, &port);
}

/// An attempt that nobody answers can be cancelled after some time.
pub fn cancel_connect_later(world: &dyn World) {
    let Some(to) = world.silent() else { return };
    let connecting = world.client().connect(&to, Recorder::new);
    let canceller = connecting.canceller().expect("it waits");
    let end = watch(connecting);
    world.advance(Duration::from_secs(5));
    end.check(&[]);
    canceller.cancel();
    end.check(&["connecting was cancelled"]);
    world.advance(Duration::from_secs(60));
    end.check(&["connecting was cancelled"]);
}

/// Cancelling after the Deferred has fired leaves the connection alone.
pub fn cancel_after_connect_does_nothing(world: &dyn World) {
    let port = listen(world, Recorder::echo);
    let client = Recorder::new();
    let seen = client.seen();
    let to = world.connect_to(&port);
    let connecting = world.client().connect_protocol(&to, client);
    let canceller = connecting.canceller().expect("it waits");
    let end = watch(connecting);
    world.until(&mut || end.count("ok") == 1);
    canceller.cancel();
    world.settle();
    seen.check(&["made"]);
    end.check(&["ok"]);
}

/// Cancelled inside the factory or inside `connection_made`, there is no connection: the Deferred fails, and what
/// is there of the connection ends.
pub fn cancel_connect_inside_its_callbacks(world: &dyn World) {
    let server = Recorder::new();
    let seen = server.seen();
    let port = super::recorder::listen_once(world, server);
    let (place, cancel) = canceller();
    let client = Recorder::new();
    let own = client.seen();
    let mut client = Some(client);
    let build = move |_: &Address| {
        cancel();
        client.take()
    };
    let end = connect_cancellable(world, &port, build, &place);
    world.until(&mut || !end.events().is_empty() && is_gone(&seen));
    world.settle();
    assert!(is_gone(&seen), "it lives on");
    end.check(&["connecting was cancelled"]);
    own.check(&[]);

    let server = Recorder::new();
    let seen = server.seen();
    let port = super::recorder::listen_once(world, server);
    let (place, cancel) = canceller();
    let client = Recorder::new().on_made(move |transport| {
        transport.write(b"hello");
        cancel();
        Ok(())
    });
    let own = client.seen();
    let mut client = Some(client);
    let build = move |_: &Address| client.take();
    let end = connect_cancellable(world, &port, build, &place);
    world.until(&mut || own.is_lost() && is_gone(&seen));
    world.settle();
    assert!(is_gone(&seen), "it lives on");
    own.check(&["made", "lost: aborted"]);
    end.check(&["connecting was cancelled"]);
    assert_eq!(world.client().statistics().connections, 0);
    assert_eq!(world.client().statistics().timers, 0);
}

/// It has ended, or never began: under a layer a connection may be gone before its protocol is built.
fn is_gone(seen: &super::recorder::Seen) -> bool {
    seen.is_lost() || !seen.is_made()
}

type Place = Rc<RefCell<Option<Canceller>>>;

/// A place for a canceller, and what uses it.
fn canceller() -> (Place, impl Fn()) {
    let place = Place::default();
    let taken = Rc::clone(&place);
    let cancel = move || {
        let canceller = taken.take();
        canceller.expect("it is there, once").cancel();
    };
    (place, cancel)
}

fn connect_cancellable(
    world: &dyn World,
    port: &Port,
    build: impl FnMut(&Address) -> Option<Recorder> + 'static,
    place: &Place,
) -> Log {
    let connecting = world.client().connect(&world.connect_to(port), build);
    place.replace(connecting.canceller());
    watch(connecting)
}

/// A factory is started before its connection and stopped after it, or after the attempt that came to nothing.
pub fn connect_starts_and_stops_its_factory(world: &dyn World) {
    let port = listen(world, Recorder::echo);
    let log = Log::default();
    let to = world.connect_to(&port);
    let mut transport = None;
    let connecting = world.client().connect(&to, Echoes(log.clone()));
    log.check(&["start"]);
    let slot = Rc::new(RefCell::new(None));
    let made = Rc::clone(&slot);
    connecting.add_callback(move |connection| drop(made.replace(Some(connection))));
    world.until(&mut || {
        transport = slot.take();
        transport.is_some()
    });
    log.check(&["start", "build"]);
    let transport = transport.expect("it is connected");
    transport.transport().abort_connection();
    world.until(&mut || log.count("stop") == 1);

    port.stop_listening();
    let log = Log::default();
    let end = watch(world.client().connect(&to, Echoes(log.clone())));
    world.until(&mut || !end.events().is_empty());
    end.check(&["could not connect"]);
    log.check(&["start", "stop"]);
}

/// What a factory fails to start with is what connecting fails with: nothing is opened.
pub fn connect_fails_when_start_factory_fails(world: &dyn World) {
    let port = listen(world, Recorder::echo);
    let start = || Err::<(), _>(Failure::msg("no start"));
    let factory = || Sharing::from_start(start, |_: Rc<()>| Recorder::new());
    let to = world.connect_to(&port);
    let end = watch(world.client().connect(&to, factory()));
    end.check(&["no start"]);
    let told = Log::default();
    let failed = told.clone();
    let client = ClientCallbacks::new(factory())
        .client_connection_failed(move |_, reason| failed.note(reason.to_string()));
    world.client().connect_client(&to, client);
    told.check(&[]);
    world.until(&mut || !told.events().is_empty());
    told.check(&["no start"]);
    assert_eq!(world.client().statistics().connections, 0);
}

/// A reactor that closes everything opens nothing any more: whoever is told of an end cannot connect again.
pub fn connect_while_stopping(world: &dyn World) {
    let reactor = world.reactor();
    let port = listen(world, Recorder::echo);
    let to = world.connect_to(&port);
    let log = Log::default();
    let again = |what: &'static str| {
        let (own, to, log) = (reactor.clone(), to.clone(), log.clone());
        move || {
            let log = log.clone();
            own.connect(&to, Recorder::new).add_both(move |result| {
                log.note(match result {
                    Ok(_) => format!("{what}: ok"),
                    Err(failure) => format!("{what}: {failure}"),
                });
            });
        }
    };
    let client = Recorder::new().on_lost(again("lost"));
    let seen = client.seen();
    reactor.connect_protocol(&to, client);
    world.until(&mut || seen.is_made());
    for phase in [Phase::During, Phase::After] {
        let what = if phase == Phase::During {
            "during"
        } else {
            "after"
        };
        reactor.add_system_event_trigger(phase, EventType::Shutdown, again(what));
    }
    reactor.start().expect("it did not run");
    reactor.stop().expect("it runs");
    world.until(&mut || !reactor.is_running());
    log.check(&[
        "during: the reactor is not running",
        "lost: the reactor is not running",
        "after: the reactor is not running",
    ]);
    assert_eq!(reactor.statistics().connections, 0);
    assert_eq!(reactor.statistics().timers, 0);
    // The next run may.
    check_echo(world, &listen(world, Recorder::echo));
}

/// A program that ends by itself: the loop runs until its task is done, with what came of it.
pub fn run_until_a_deferred_fires(world: &dyn World) {
    let reactor = world.reactor();
    if !world.waits_for_threads() {
        return;
    }
    let log = Log::default();
    let stopped = log.clone();
    let note = move || stopped.note("stopped");
    reactor.add_system_event_trigger(Phase::After, EventType::Shutdown, note);
    let value = reactor
        .run_until(Deferred::succeed(1))
        .expect("it is there");
    assert_eq!(value, 1);
    log.check(&["stopped"]);
    let own = reactor.clone();
    let task = async move {
        own.after(Duration::ZERO).await?;
        Err::<(), _>(Failure::msg("no luck"))
    };
    let failure = reactor.run_until(task).expect_err("it fails");
    assert_eq!(failure.to_string(), "no luck");
    assert!(!reactor.is_running());
    // Stopped before it is done.
    let own = reactor.clone();
    reactor.call_later(Duration::ZERO, move || own.stop());
    let (resolver, never) = Deferred::<()>::pair();
    let failure = reactor.run_until(never).expect_err("it is cancelled");
    assert_eq!(failure.to_string(), "cancelled");
    assert!(resolver.is_cancelled());
}

/// An attempt cancelled from inside a callback of the loop fails at once; other attempts go on.
pub fn user_fail(world: &dyn World) {
    let port = listen(world, Recorder::echo);
    let to = world.connect_to(&port);
    let connecting = world.client().connect(&to, Recorder::new);
    let canceller = connecting.canceller().expect("it waits");
    let end = watch(connecting);
    let other = Recorder::new().on_made(move |_| {
        canceller.cancel();
        Ok(())
    });
    let seen = other.seen();
    let first = Rc::new(RefCell::new(Some(other)));
    world.client().call_later(Duration::ZERO, {
        let (client, to) = (world.client(), to);
        move || {
            let other = first.borrow_mut().take().expect("called once");
            client.connect_protocol(&to, other).detach();
        }
    });
    world.until(&mut || seen.is_made() && !end.events().is_empty());
    world.settle();
    seen.check(&["made"]);
    // It may have been there before the other was.
    let ended = end.events();
    assert!(
        ended == ["ok"] || ended == ["connecting was cancelled"],
        "{ended:?}"
    );
}

/// Nobody keeps the Deferred: the connection is made all the same.
pub fn dropping_the_deferred_does_not_cancel(world: &dyn World) {
    let port = listen(world, Recorder::echo);
    let client = connect(world, &port, Recorder::new());
    world.until(&mut || client.is_made());
    client.check(&["made"]);
}

/// A client's factory that builds nothing: the Deferred fails, the server sees the end.
pub fn client_build_protocol_returns_none(world: &dyn World) {
    let server = Recorder::new();
    let seen = server.seen();
    let port = super::recorder::listen_once(world, server);
    let to = world.connect_to(&port);
    let nobody = |_: &Address| None::<Recorder>;
    let end = watch(world.client().connect(&to, nobody));
    world.until(&mut || !end.events().is_empty());
    end.check(&["the factory built no protocol"]);
    world.until(&mut || seen.is_lost() || !seen.is_made());
    let port = listen(world, Recorder::echo);
    connected(world, &port, Recorder::new());
}
