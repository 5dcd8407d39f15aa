//! How children end that do not end by themselves: asked, killed, with the reactor, or not at all. In bounded time.

use super::{Does, World, command, recorder, refused, run, start};
use crate::{
    EventType, Phase,
    error::Cancelled,
    failure::Failure,
    process::{Command, ProcessProtocol},
    reactor::Reactor,
    testing::suite::recorder::{Log, set_limits, short, watch},
};
use std::time::Duration;

const GRACE: Duration = Duration::from_secs(3);

/// It has its time; then it is killed, and whoever has its pipes has as long again.
pub fn a_child_that_ignores_sigterm_is_killed_in_bounded_time(world: &dyn World) {
    let Some(command) = command(world, Does::IgnoresTerm) else {
        return;
    };
    let started = start(world, &command);
    let (process, heard) = (started.process, started.heard);
    world.until(&mut || heard.text(1) == "ready\n");
    let stopped = watch(process.stop(GRACE));
    let again = watch(process.stop(Duration::ZERO));
    world.settle();
    assert!(process.status().is_none(), "it had no time yet");
    world.advance(GRACE);
    world.until(&mut || process.status().is_some());
    world.advance(GRACE);
    world.until(&mut || stopped.count("ok") == 1);
    assert_eq!(again.events(), ["ok"]);
    assert!(heard.has("ended SIGKILL"), "{:?}", heard.log.events());
}

/// One that ends when it is asked is not killed.
pub fn a_child_that_ends_at_sigterm_is_not_killed(world: &dyn World) {
    let Some(command) = command(world, Does::SaysGoodbye) else {
        return;
    };
    let started = start(world, &command);
    let (process, heard) = (started.process, started.heard);
    world.until(&mut || heard.text(1) == "up\n");
    let stopped = watch(process.stop(GRACE));
    world.until(&mut || stopped.count("ok") == 1);
    assert!(process.status().is_some_and(|status| status.is_success()));
    assert_eq!(heard.text(1), "up\nbye\n");
    let ended = watch(process.when_ended());
    world.settle();
    assert_eq!(ended.events(), ["ok"]);
    world.advance(2 * GRACE);
    heard.check_life(&["exited done", "lost 0", "lost 1", "lost 2"], "ended done");
}

/// Polite ones end when they are asked, the others are killed when half of the time is over; the reactor waits for them.
pub fn a_stop_of_the_reactor_stops_its_children(world: &dyn World) {
    let reactor = world.reactor();
    let commands = [Does::Copies, Does::IgnoresTermInSilence].map(|does| command(world, does));
    let [Some(polite), Some(stubborn)] = commands else {
        return;
    };
    let (polite, stubborn) = (start(world, &polite), start(world, &stubborn));
    let after = Log::default();
    let last = after.clone();
    reactor.add_system_event_trigger(Phase::After, EventType::Shutdown, move || {
        last.note("stopped")
    });
    reactor.start().expect("it does not run");
    world.until(&mut || stubborn.heard.has("lost 1") && stubborn.heard.has("lost 2"));
    reactor.stop().expect("it runs");
    world.until(&mut || polite.heard.has_ended());
    assert!(!stubborn.heard.has_ended() && reactor.is_running());
    world.advance(reactor.limits().shutdown / 2);
    world.until(&mut || stubborn.heard.has_ended());
    assert!(
        stubborn.heard.has("ended SIGKILL"),
        "{:?}",
        stubborn.heard.log.events()
    );
    world.until(&mut || !reactor.is_running());
    after.check(&["stopped"]);
}

/// Starts another child at the end of its own, and writes down what comes of it.
struct Again {
    reactor: Reactor,
    command: Command,
    log: Log,
}

impl ProcessProtocol for Again {
    fn process_ended(&mut self, _: Failure) {
        let (_, protocol) = recorder();
        let late = self.reactor.spawn_process(&self.command, protocol);
        self.log.note(late.expect_err("too late").to_string());
    }
}

/// While the reactor stops none is started any more; afterwards they are again.
pub fn nothing_is_spawned_while_stopping(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    let Some(copies) = command(world, Does::Copies) else {
        return;
    };
    let again = Again {
        reactor: reactor.clone(),
        command: copies.clone(),
        log: log.clone(),
    };
    let first = reactor.spawn_process(&copies, again);
    first.expect("it can be started");
    reactor.start().expect("it does not run");
    reactor.stop().expect("it runs");
    world.until(&mut || !reactor.is_running());
    log.check(&["the reactor is not running"]);
    let started = start(world, &copies);
    started.process.lose_connection();
    world.until(&mut || started.heard.has_ended());
}

/// Its protocol hears the end when the reactor stops; the child is not asked to end, and ends when it reads that nobody is there.
pub fn a_detached_child_is_left_to_itself(world: &dyn World) {
    let reactor = world.reactor();
    let Some(command) = command(world, Does::SaysGoodbye) else {
        return;
    };
    let started = start(world, &command.detached());
    let (process, heard) = (started.process, started.heard);
    reactor.start().expect("it does not run");
    world.until(&mut || heard.text(1) == "up\n");
    reactor.stop().expect("it runs");
    world.until(&mut || !reactor.is_running());
    assert!(
        heard.has("ended the reactor is not running"),
        "{:?}",
        heard.log.events()
    );
    assert!(process.status().is_none());
    let ended = watch(process.when_ended());
    world.settle();
    assert_eq!(ended.events(), [short(&Cancelled.into())]);
    assert_eq!(reactor.statistics().processes, 0);
}

/// More than the limit `processes` are refused, and one that has ended makes room.
pub fn more_children_than_the_limit_are_not_started(world: &dyn World) {
    let Some(command) = command(world, Does::Copies) else {
        return;
    };
    set_limits(&world.reactor(), |limits| limits.processes = 1);
    let started = start(world, &command);
    let shown = command.shown();
    let expected = format!("cannot start {shown}: 1 run already: the limit `processes`");
    assert_eq!(refused(world, &command), expected);
    started.process.close_stdin();
    world.until(&mut || started.heard.has_ended());
    let ends = super::command(world, Does::Exits(0)).expect("there was one before");
    run(world, &ends);
}
