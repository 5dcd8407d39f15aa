//! What a process protocol hears, in which order, and that it ends once.

use super::{Does, World, command, run, start};
use crate::signal::Signal;

/// Started first, ended last, each pipe lost once, exited once.
pub fn events_come_in_order_and_ended_is_last(world: &dyn World) {
    let Some(command) = command(world, Does::WritesToBoth) else {
        return;
    };
    let heard = run(world, &command).heard;
    assert_eq!(
        (heard.text(1), heard.text(2)),
        ("one\n".into(), "two\n".into())
    );
    heard.check_life(
        &["exited code 3", "lost 0", "lost 1", "lost 2"],
        "ended code 3",
    );
    assert_eq!(world.reactor().statistics().processes, 0);
    assert_eq!(world.reactor().statistics().connections, 0);
}

/// Nothing is heard before the next turn.
pub fn nothing_is_heard_before_the_next_turn(world: &dyn World) {
    let Some(command) = command(world, Does::Exits(6)) else {
        return;
    };
    let started = start(world, &command);
    started.heard.check(&[]);
    assert!(started.process.status().is_none());
    world.until(&mut || started.heard.has_ended());
    started.heard.check_life(
        &["exited code 6", "lost 0", "lost 1", "lost 2"],
        "ended code 6",
    );
    let status = started.process.status().expect("it has ended");
    assert_eq!(status.to_string(), "code 6");
}

/// The code 0 is `ProcessDone`, everything else `ProcessTerminated`.
pub fn success_is_process_done_and_everything_else_process_terminated(world: &dyn World) {
    for (does, ended) in [
        (Does::Exits(0), "ended done"),
        (Does::Exits(255), "ended code 255"),
        (Does::Raises(Signal::Term), "ended SIGTERM"),
        (Does::Raises(Signal::Kill), "ended SIGKILL"),
        (Does::Raises(Signal::Segv), "ended SIGSEGV"),
    ] {
        let Some(command) = command(world, does) else {
            return;
        };
        let heard = run(world, &command).heard;
        assert!(heard.has(ended), "{does:?}: {:?}", heard.log.events());
    }
}

/// It has exited, but what it has started keeps its pipes: the end waits for them.
pub fn process_ended_waits_for_the_pipes(world: &dyn World) {
    let Some(command) = command(world, Does::LeavesItsPipes) else {
        return;
    };
    let started = start(world, &command);
    world.until(&mut || started.heard.has("exited done"));
    world.settle();
    assert!(
        !started.heard.has_ended(),
        "{:?}",
        started.heard.log.events()
    );
    assert!(
        started
            .process
            .status()
            .is_some_and(|status| status.is_success())
    );
    started.process.lose_connection();
    world.until(&mut || started.heard.has_ended());
    started
        .heard
        .check_life(&["exited done", "lost 0", "lost 1", "lost 2"], "ended done");
}

/// Its pipes are lost while it runs, and it goes on.
pub fn a_child_that_closes_its_own_descriptors(world: &dyn World) {
    let Some(command) = command(world, Does::ClosesItsPipes) else {
        return;
    };
    let started = start(world, &command);
    let lost = ["lost 0", "lost 1", "lost 2"];
    world.until(&mut || lost.iter().all(|lost| started.heard.has(lost)));
    assert!(started.process.write(b"x").is_err());
    world.settle();
    assert!(started.process.status().is_none());
    started
        .process
        .signal_process(Signal::Cont)
        .expect("it runs");
    world.until(&mut || started.heard.has_ended());
    started.heard.check_life(
        &["exited code 4", "lost 0", "lost 1", "lost 2"],
        "ended code 4",
    );
}

/// Each ends it; a number is as good as a name.
pub fn signals_by_name_and_number(world: &dyn World) {
    for (name, ended) in [
        ("HUP", "ended SIGHUP"),
        ("INT", "ended SIGINT"),
        ("KILL", "ended SIGKILL"),
        ("TERM", "ended SIGTERM"),
        ("15", "ended SIGTERM"),
    ] {
        let Some(command) = command(world, Does::Copies) else {
            return;
        };
        let started = start(world, &command);
        let signal = name.parse().expect("it is one");
        started.process.signal_process(signal).expect("it runs");
        world.until(&mut || started.heard.has_ended());
        assert!(
            started.heard.has(ended),
            "{name}: {:?}",
            started.heard.log.events()
        );
    }
}

/// A child that is stopped does nothing; what was written to it waits.
pub fn stop_and_continue(world: &dyn World) {
    let Some(command) = command(world, Does::Copies) else {
        return;
    };
    let started = start(world, &command);
    started
        .process
        .signal_process(Signal::Stop)
        .expect("it runs");
    started.process.write(b"x").expect("it runs");
    world.settle();
    assert_eq!(started.heard.text(1), "");
    started
        .process
        .signal_process(Signal::Cont)
        .expect("it runs");
    world.until(&mut || started.heard.text(1) == "x");
    started.process.lose_connection();
    world.until(&mut || started.heard.has_ended());
}

/// To send one to a child that has ended fails, and says so.
pub fn signals_after_the_end_are_refused(world: &dyn World) {
    let Some(command) = command(world, Does::Exits(0)) else {
        return;
    };
    let process = run(world, &command).process;
    let failure = process
        .signal_process(Signal::Term)
        .expect_err("it has ended");
    let text = failure.to_string();
    assert!(text.ends_with(" has exited already, with code 0"), "{text}");
    assert!(
        failure
            .check::<crate::process::ProcessExitedAlready>()
            .is_some()
    );
}
