//! What a client factory is told, in which order, and what it may ask from inside that.

#[cfg(test)]
mod reconnecting;
#[cfg(test)]
mod world;

use std::{rc::Rc, time::Duration};
use tress::{Connector, EventType, Phase, prelude::*};
use world::{Probe, Recorder, World, name, times};

#[test]
fn a_connection_from_its_start_to_its_end() {
    let world = World::new();
    let to = world.server();
    let connector = world.client.connect_client(to, world.recorder());
    assert_eq!(world.log.take(), "", "nothing is called from inside");
    world.idle();
    assert!(connector.is_connected());
    assert_eq!(world.log.take(), "start, connecting, build, made");
    world.keeper.close();
    world.idle();
    assert_eq!(world.log.take(), "ended, lost cleanly, stop");
    assert!(!connector.is_connected());
}

#[test]
fn what_cannot_be_connected_to_is_told_from_the_next_turn() {
    for (to, told) in [
        ("nonsense:1", "failed bad endpoint"),
        ("tcp:nowhere", "failed bad endpoint"),
        ("", "failed bad endpoint"),
        ("tcp:10.0.0.1:8", "failed to connect"),
        ("tcp:10.9.9.9:8", "failed timed out"),
    ] {
        let world = World::new();
        let connector = world.client.connect_client(to, world.recorder());
        assert_eq!(connector.destination(), to);
        assert_eq!(world.log.take(), "");
        world.idle();
        assert_eq!(world.log.take(), format!("start, connecting, {told}, stop"));
    }
}

#[test]
fn a_factory_may_decline() {
    let world = World::new();
    let declines = Recorder {
        declines: true,
        ..world.recorder()
    };
    world.client.connect_client(world.server(), declines);
    world.idle();
    let told = "start, connecting, build, failed no protocol, stop";
    assert_eq!(world.log.take(), told);
}

#[test]
fn a_protocol_that_fails_at_once_has_lost_its_connection() {
    let world = World::new();
    let fails = Recorder {
        fails: true,
        on_lost: times(1, Connector::connect),
        ..world.recorder()
    };
    world.client.connect_client(world.server(), fails);
    world.idle();
    let once = "connecting, build, made, ended, lost otherwise";
    assert_eq!(world.log.take(), format!("start, {once}, {once}, stop"));
}

#[test]
fn connect_inside_a_hook_starts_again_and_the_factory_stays_started() {
    let world = World::new();
    let again = Recorder {
        closes: true,
        on_lost: times(1, Connector::connect),
        ..world.recorder()
    };
    world.client.connect_client(world.server(), again);
    world.idle();
    let once = "connecting, build, made, ended, lost cleanly";
    assert_eq!(world.log.take(), format!("start, {once}, {once}, stop"));

    let again = Recorder {
        on_failed: times(2, Connector::connect),
        ..world.recorder()
    };
    world.client.connect_client("bad", again);
    world.idle();
    let once = "connecting, failed bad endpoint";
    let told = format!("start, {once}, {once}, {once}, stop");
    assert_eq!(world.log.take(), told);
}

#[test]
fn a_connector_left_alone_can_connect_again_later() {
    let world = World::new();
    let connector = world.client.connect_client("bad", world.recorder());
    world.idle();
    connector.connect();
    connector.connect();
    world.idle();
    let told = "start, connecting, failed bad endpoint, stop";
    assert_eq!(world.log.take(), format!("{told}, {told}"));
}

#[test]
fn an_attempt_is_given_up_from_inside_a_hook() {
    let world = World::new();
    let gives_up = Recorder {
        on_started: times(1, Connector::stop_connecting),
        ..world.recorder()
    };
    world.client.connect_client(world.server(), gives_up);
    world.idle();
    let told = "start, connecting, failed cancelled, stop";
    assert_eq!(world.log.take(), told);
}

#[test]
fn an_attempt_is_given_up_from_outside_even_when_the_connection_comes_at_once() {
    let world = World::new();
    let connector = world
        .client
        .connect_client("tcp:10.0.0.1:7", world.recorder());
    connector.disconnect();
    world.idle();
    assert_eq!(world.log.take(), "", "it had not begun");

    connector.connect();
    world.server();
    world.until("connecting");
    connector.stop_connecting();
    world.network.advance(Duration::from_secs(1));
    world.idle();
    let told = "start, connecting, failed cancelled, stop";
    assert_eq!(world.log.take(), told);
}

#[test]
fn giving_up_one_attempt_spares_the_next() {
    let world = World::new();
    let both = Recorder {
        on_started: times(1, Connector::stop_connecting),
        on_failed: times(1, Connector::connect),
        ..world.recorder()
    };
    let connector = world.client.connect_client(world.server(), both);
    world.idle();
    assert!(connector.is_connected());
    let told = "start, connecting, failed cancelled, connecting, build, made";
    assert_eq!(world.log.take(), told);
}

#[test]
fn disconnect_closes_and_stop_connecting_does_not() {
    let world = World::new();
    let connector = world
        .client
        .connect_client(world.server(), world.recorder());
    world.idle();
    connector.stop_connecting();
    world.idle();
    assert!(connector.is_connected());
    world.log.take();
    connector.disconnect();
    world.idle();
    assert_eq!(world.log.take(), "ended, lost cleanly, stop");
}

#[test]
fn a_panic_in_a_hook_ends_nothing() {
    let world = World::new();
    let panics = || times(1, |_| panic!("a hook that panics"));
    let recorder = Recorder {
        closes: true,
        on_started: panics(),
        on_lost: panics(),
        ..world.recorder()
    };
    world.client.connect_client(world.server(), recorder);
    world.idle();
    let told = "start, connecting, build, made, ended, lost cleanly, stop";
    assert_eq!(world.log.take(), told);

    let recorder = Recorder {
        on_failed: panics(),
        ..world.recorder()
    };
    world.client.connect_client("bad", recorder);
    world.idle();
    let told = "start, connecting, failed bad endpoint, stop";
    assert_eq!(world.log.take(), told);
}

#[test]
fn nothing_is_connected_while_the_reactor_closes_everything() {
    let world = World::new();
    let again = Recorder {
        on_lost: times(10, Connector::connect),
        ..world.recorder()
    };
    world.client.connect_client(world.server(), again);
    world.idle();
    world.log.take();
    let log = world.log.clone();
    let after = move || log.add("after");
    let _trigger = world
        .client
        .add_system_event_trigger(Phase::After, EventType::Shutdown, after);
    world.client.start().unwrap();
    world.client.stop().unwrap();
    world.until("after");
    assert_eq!(world.log.take(), "ended, lost cleanly, stop, after");
    assert!(!world.client.is_running());
}

#[test]
fn a_creator_makes_one_connection_a_call() {
    let world = World::new();
    let log = world.log.clone();
    let creator = ClientCreator::new(&world.client, move || Probe {
        log: log.clone(),
        closes: false,
        fails: false,
    });
    let to = world.server();
    for _ in 0..2 {
        let log = world.log.clone();
        creator
            .connect(to)
            .add_callback(move |connection| {
                log.add("connected");
                connection.call(|probe, _| probe.log.add("called"))
            })
            .detach();
        world.idle();
        assert_eq!(world.log.take(), "made, connected, called");
    }
    let failed = creator.connect("bad").try_result().unwrap().unwrap_err();
    assert_eq!(name(&failed), "bad endpoint");
}

#[test]
fn a_reactor_that_is_dropped_frees_its_factories() {
    let alive = Rc::new(());
    let world = World::new();
    for to in [world.server(), "bad", "tcp:10.9.9.9:8"] {
        let held = Rc::clone(&alive);
        let recorder = Recorder {
            on_lost: times(1, move |_| assert_eq!(*held, ())),
            ..world.recorder()
        };
        world.client.connect_client(to, Reconnecting::new(recorder));
        world.pass(Duration::from_millis(100));
    }
    assert_eq!(Rc::strong_count(&alive), 4);
    drop(world);
    assert_eq!(Rc::strong_count(&alive), 1);
}
