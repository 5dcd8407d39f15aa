//! Child processes of the virtual network, where they are not as the behaviour suite has them: time, seeds, descriptors,
//! and what only a simulation can show.

use std::{cell::RefCell, rc::Rc, time::Duration};
use tress_core::{
    Failure, Process, ProcessProtocol, Reactor, Result,
    process::{ChildDescriptor, Command, ProcessTerminated},
    signal::Signal,
};
use tress_sim::{ProgramEvent, ProgramHandle, World};

type Lines = Rc<RefCell<Vec<String>>>;

/// Writes down what it hears, and when in milliseconds.
struct Recorder(Lines, World);

impl Recorder {
    fn note(&self, what: &str) {
        let now = Duration::from_nanos(self.1.now().0).as_millis();
        self.0.borrow_mut().push(format!("{now} {what}"));
    }
}

impl ProcessProtocol for Recorder {
    fn connection_made(&mut self, process: &Process) -> Result {
        self.note("made");
        // It fails where the test has closed that pipe.
        process.write(b"x").ok();
        Ok(())
    }

    fn child_data_received(&mut self, _: &Process, descriptor: u32, data: &[u8]) -> Result {
        self.note(&format!("{descriptor}: {}", String::from_utf8_lossy(data)));
        Ok(())
    }

    fn process_ended(&mut self, reason: Failure) {
        let terminated = reason.check::<ProcessTerminated>();
        let how = terminated.map(|terminated| terminated.status.to_string());
        self.note(&how.unwrap_or_else(|| "done".to_owned()));
    }
}

/// A world without jitter, a reactor in it, and what a protocol of it hears.
fn world(seed: u64) -> (World, Reactor, Lines) {
    let world = World::new(seed);
    let mut policy = world.policy();
    policy.latency = Duration::from_millis(10);
    policy.jitter = Duration::ZERO;
    world.set_policy(policy);
    let reactor = Reactor::with(world.host("10.0.0.1"));
    (world, reactor, Lines::default())
}

fn copies(child: &mut ProgramHandle, event: ProgramEvent<'_>) {
    match event {
        ProgramEvent::Data(0, data) => child.write(1, data),
        ProgramEvent::Closed(0) => child.exit(0),
        _ => {}
    }
}

#[track_caller]
fn refused(reactor: &Reactor, command: &Command) -> String {
    struct Silent;
    impl ProcessProtocol for Silent {}
    let refused = reactor.spawn_process(command, Silent);
    refused.expect_err("it is refused").to_string()
}

#[test]
fn a_child_takes_its_time() {
    let (world, reactor, lines) = world(1);
    world.add_program("waits", || {
        |child: &mut ProgramHandle, event: ProgramEvent<'_>| match event {
            ProgramEvent::Data(0, _) => child.after(Duration::from_secs(1)),
            ProgramEvent::Alarm => {
                child.write(1, b"ring");
                child.exit(7);
            }
            _ => {}
        }
    });
    let recorder = Recorder(Rc::clone(&lines), world.clone());
    let started = reactor.spawn_process(&Command::new("waits"), recorder);
    let process = started.expect("there is one");
    world.run_until_idle(&[&reactor]).expect("it ends");
    // There and back take ten milliseconds each.
    let expected = ["0 made", "1020 1: ring", "1020 code 7"];
    assert_eq!(*lines.borrow(), expected);
    assert!(process.status().is_some());
}

#[test]
fn the_same_seed_gives_the_same_life() {
    let run = |seed| {
        let (world, reactor, lines) = world(seed);
        world.set_policy(tress_sim::Policy::default());
        world.add_program("copies", || copies);
        for _ in 0..3 {
            let recorder = Recorder(Rc::clone(&lines), world.clone());
            let started = reactor.spawn_process(&Command::new("copies"), recorder);
            let process = started.expect("there is one");
            process.write(&[b'.'; 3000]).expect("it runs");
            process.close_stdin();
        }
        world.run_until_idle(&[&reactor]).expect("it ends");
        let lines = lines.take();
        assert_eq!(
            lines.iter().filter(|line| line.ends_with("done")).count(),
            3
        );
        (lines, world.trace_hash())
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7).1, run(8).1);
}

#[test]
fn what_a_virtual_child_cannot_have_is_refused() {
    let (world, reactor, _) = world(1);
    world.add_program("copies", || copies);
    let inherits = Command::new("copies").descriptor(3, ChildDescriptor::Inherit(2));
    assert_eq!(
        refused(&reactor, &inherits),
        "cannot start `copies`: its descriptor 3: the virtual network has no open files"
    );
    assert_eq!(reactor.statistics().processes, 0);
}

#[test]
fn descriptors_run_out_for_children_too() {
    let (world, reactor, lines) = world(1);
    world.add_program("copies", || copies);
    // Three pipes, and one by which it is known.
    for limit in 0..4 {
        world.set_descriptor_limit("10.0.0.1", Some(limit));
        let text = refused(&reactor, &Command::new("copies"));
        let expected = "cannot start `copies`: its pipes: Too many open files (os error 24)";
        assert_eq!(text, expected);
    }
    world.set_descriptor_limit("10.0.0.1", Some(4));
    for _ in 0..3 {
        let recorder = Recorder(Rc::clone(&lines), world.clone());
        let started = reactor.spawn_process(&Command::new("copies"), recorder);
        started.expect("there is room for one").close_stdin();
        world.run_until_idle(&[&reactor]).expect("it ends");
    }
    let ended = lines.borrow();
    assert_eq!(
        ended.iter().filter(|line| line.ends_with("done")).count(),
        3
    );
}

#[test]
fn a_program_that_is_blocked_reads_nothing_and_does_nothing_else() {
    let (world, reactor, lines) = world(1);
    world.add_program("floods", || {
        |child: &mut ProgramHandle, event: ProgramEvent<'_>| {
            if event == ProgramEvent::Started {
                child.write(1, &[b'.'; 100_000]);
                child.write(2, b"after");
                child.exit(0);
            }
        }
    });
    let recorder = Recorder(Rc::clone(&lines), world.clone());
    let started = reactor.spawn_process(&Command::new("floods"), recorder);
    let process = started.expect("there is one");
    process.pipe(1).expect("it is open").pause_producing();
    world
        .run_until_idle(&[&reactor])
        .expect("nothing more happens");
    assert_eq!(*lines.borrow(), ["0 made"], "the pipe is full");
    process.pipe(1).expect("it is open").resume_producing();
    world.run_until_idle(&[&reactor]).expect("it ends");
    let lines = lines.borrow();
    assert!(
        lines.iter().any(|line| line.ends_with("2: after")),
        "{lines:?}"
    );
    assert!(lines.iter().any(|line| line.ends_with("done")), "{lines:?}");
}

#[test]
fn children_that_are_not_detached_die_with_their_driver() {
    let (world, reactor, _) = world(1);
    let heard = Lines::default();
    let told = Rc::clone(&heard);
    world.add_program("listens", move || {
        let told = Rc::clone(&told);
        move |child: &mut ProgramHandle, event: ProgramEvent<'_>| {
            let detached = !child.arguments().is_empty();
            told.borrow_mut().push(format!("{detached} {event:?}"));
            if event == ProgramEvent::Closed(0) {
                child.exit(0);
            }
        }
    });
    let detached = Command::new("listens").argument("detached").detached();
    for command in [Command::new("listens"), detached] {
        let recorder = Recorder(Lines::default(), world.clone());
        reactor
            .spawn_process(&command, recorder)
            .expect("there is one");
    }
    world
        .run_until_idle(&[&reactor])
        .expect("nothing more happens");
    let before = heard.take();
    assert_eq!(before.len(), 4, "{before:?}");
    drop(reactor);
    world.advance(Duration::from_secs(1));
    assert_eq!(heard.take(), ["true Closed(0)"]);
}

#[test]
fn signals_that_do_nothing_by_default_do_nothing() {
    let (world, reactor, lines) = world(1);
    world.add_program("copies", || copies);
    let recorder = Recorder(Rc::clone(&lines), world.clone());
    let started = reactor.spawn_process(&Command::new("copies"), recorder);
    let process = started.expect("there is one");
    for signal in [
        Signal::Chld,
        Signal::Winch,
        Signal::Number(23),
        Signal::Cont,
    ] {
        process.signal_process(signal).expect("it runs");
    }
    for signal in [Signal::Tstp, Signal::Ttin, Signal::Ttou, Signal::Number(19)] {
        process.signal_process(signal).expect("it runs");
        process.signal_process(Signal::Number(18)).expect("it runs");
    }
    process.close_stdin();
    world.run_until_idle(&[&reactor]).expect("it ends");
    assert_eq!(
        lines.borrow().last().map(|line| line.ends_with("done")),
        Some(true)
    );
}

#[test]
fn a_stopped_child_hears_of_its_signals_when_it_goes_on() {
    let (world, reactor, lines) = world(1);
    world.add_program("copies", || copies);
    let recorder = Recorder(Rc::clone(&lines), world.clone());
    let started = reactor.spawn_process(&Command::new("copies"), recorder);
    let process = started.expect("there is one");
    process.signal_process(Signal::Stop).expect("it runs");
    process.signal_process(Signal::Hup).expect("it runs");
    world
        .run_until_idle(&[&reactor])
        .expect("nothing more happens");
    assert!(process.status().is_none());
    process.signal_process(Signal::Cont).expect("it runs");
    world.run_until_idle(&[&reactor]).expect("it ends");
    let status = process.status().expect("it has ended");
    assert_eq!(status.to_string(), "SIGHUP");
}
