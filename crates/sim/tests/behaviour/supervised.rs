//! Supervised children: when they are started again, how they are stopped, and what their owners are told. In the simulator,
//! where a second takes no time.

use std::{cell::RefCell, rc::Rc, time::Duration};
use tress_core::{
    Failure, Process, ProcessProtocol, Reactor, Result,
    process::{ChildEvent, ChildState, Command, LAST_WORDS, Supervised},
    restart::{Intensity, Next, RestartPolicy, RestartWhen},
    signal::Signal,
    testing::logged,
};
use tress_sim::{ProgramEvent, ProgramHandle, World};

type Lines = Rc<RefCell<Vec<String>>>;

const SECOND: Duration = Duration::from_secs(1);

/// Says what its child does.
struct Noted(Lines, World, &'static str);

impl Noted {
    fn note(&self, what: &str) {
        let now = Duration::from_nanos(self.1.now().0).as_millis();
        self.0.borrow_mut().push(format!("{now} {what}"));
    }
}

impl ProcessProtocol for Noted {
    fn connection_made(&mut self, _: &Process) -> Result {
        self.note("made");
        match self.2 {
            "fails" => Err(Failure::msg("no")),
            _ => Ok(()),
        }
    }

    fn process_ended(&mut self, _: Failure) {
        self.note("ended");
        assert_ne!(self.2, "panics");
    }
}

struct Town {
    world: World,
    reactor: Reactor,
    lines: Lines,
}

/// A world in which nothing takes time but what the programs do.
fn town() -> Town {
    let world = World::new(7);
    let mut policy = world.policy();
    policy.latency = Duration::ZERO;
    policy.jitter = Duration::ZERO;
    world.set_policy(policy);
    // Lives as many milliseconds as its argument says; with none, for ever.
    world.add_program("lives", || {
        |child: &mut ProgramHandle, event: ProgramEvent<'_>| match event {
            ProgramEvent::Started => {
                let milliseconds = child
                    .arguments()
                    .first()
                    .and_then(|a| a.to_str()?.parse().ok());
                if let Some(milliseconds) = milliseconds {
                    child.after(Duration::from_millis(milliseconds));
                }
            }
            ProgramEvent::Alarm => child.exit(0),
            _ => {}
        }
    });
    world.add_program("ignores", || {
        |child: &mut ProgramHandle, event: ProgramEvent<'_>| {
            if event == ProgramEvent::Started {
                child.catch_signal(Signal::Term);
            }
        }
    });
    // Leaves its pipes to a process that goes on.
    world.add_program("leaves", || {
        |child: &mut ProgramHandle, event: ProgramEvent<'_>| {
            if event == ProgramEvent::Started {
                child.exit_and_go_on(1);
            }
        }
    });
    let reactor = Reactor::with(world.host("10.0.0.1"));
    Town {
        world,
        reactor,
        lines: Lines::default(),
    }
}

impl Town {
    fn child(&self, command: Command, does: &'static str) -> Supervised {
        let (lines, world) = (Rc::clone(&self.lines), self.world.clone());
        let make = move || Noted(Rc::clone(&lines), world.clone(), does);
        let lines = Rc::clone(&self.lines);
        Supervised::new(&self.reactor, "it", command, make).on_event(move |_, event| {
            lines.borrow_mut().push(match event {
                ChildEvent::Started(_) => "started".to_owned(),
                ChildEvent::Ended { reason, next } => match next {
                    Some(Next::Restart(delay)) => format!("{reason}, again in {delay:?}"),
                    Some(Next::Leave) => format!("{reason}, left"),
                    Some(Next::GiveUp(_)) => format!("{reason}, given up"),
                    None => format!("{reason}, stopped"),
                },
            });
        })
    }

    fn run(&self, time: Duration) {
        self.world.run_for(time, &[&self.reactor]).expect("it runs");
    }

    fn settle(&self) {
        self.world.settle(&[&self.reactor]).expect("it runs");
    }

    fn processes(&self) -> usize {
        self.reactor.statistics().processes
    }

    /// What has happened since this was called last.
    #[track_caller]
    fn check(&self, expected: &[&str]) {
        assert_eq!(self.lines.take(), expected);
    }
}

fn lives(milliseconds: u64) -> Command {
    Command::new("lives").argument(milliseconds.to_string())
}

fn kill(child: &Supervised) {
    let process = child.process().expect("it runs");
    process
        .signal_process(Signal::Kill)
        .expect("it can be killed");
}

#[test]
fn short_lives_wait_longer_and_longer() {
    let town = town();
    let child = town.child(lives(500), "");
    child.start().unwrap();
    town.run(SECOND * 9);
    town.check(&[
        "started",
        "0 made",
        "500 ended",
        "a process has finished without error, again in 1s",
        "started",
        "1500 made",
        "2000 ended",
        "a process has finished without error, again in 2s",
        "started",
        "4000 made",
        "4500 ended",
        "a process has finished without error, again in 4s",
        "started",
        "8500 made",
        "9000 ended",
        "a process has finished without error, again in 8s",
    ]);
    assert_eq!((child.restarts(), child.state()), (4, ChildState::Waiting));
    assert_eq!(town.processes(), 0);
}

#[test]
fn long_lives_go_on_at_once_and_siblings_are_left_alone() {
    let town = town();
    let (child, sibling) = (
        town.child(Command::new("lives"), ""),
        town.child(Command::new("lives"), ""),
    );
    child.start().unwrap();
    sibling.start().unwrap();
    town.settle();
    let id = sibling.process().expect("it runs").id();
    for round in 1..=100 {
        town.run(SECOND);
        let before = child.process().expect("it runs").id();
        kill(&child);
        town.settle();
        assert_ne!(child.process().expect("it runs again").id(), before);
        assert_eq!(child.restarts(), round);
    }
    assert_eq!(sibling.process().expect("it runs").id(), id);
    assert_eq!((sibling.restarts(), town.processes()), (0, 2));
}

#[test]
fn too_many_restarts_are_given_up_until_somebody_starts_it() {
    let town = town();
    let intensity = Intensity {
        restarts: 2,
        period: SECOND * 60,
    };
    let policy = RestartPolicy {
        intensity: Some(intensity),
        ..RestartPolicy::default()
    };
    let child = town.child(lives(0), "").with_policy(policy);
    let said = logged(|| {
        child.start().unwrap();
        town.run(SECOND * 120);
    });
    let errors: Vec<_> = said
        .iter()
        .filter(|line| line.starts_with("ERROR"))
        .collect();
    assert_eq!(
        errors,
        [
            "ERROR it: a process has finished without error; it is given up, as it would be started again more often than 2 times \
          within 60s"
        ]
    );
    assert_eq!((child.restarts(), child.state()), (2, ChildState::GivenUp));
    assert_eq!(
        town.lines
            .take()
            .iter()
            .filter(|line| *line == "started")
            .count(),
        3
    );
    child.start().unwrap();
    town.run(SECOND * 2);
    assert_eq!(child.state(), ChildState::Waiting, "it has two more");
    assert_eq!(child.restarts(), 4);
}

#[test]
fn success_can_be_the_end() {
    let town = town();
    let policy = RestartPolicy {
        when: RestartWhen::OnFailure,
        ..RestartPolicy::default()
    };
    let child = town.child(lives(10), "").with_policy(policy);
    child.start().unwrap();
    town.run(SECOND);
    town.check(&[
        "started",
        "0 made",
        "10 ended",
        "a process has finished without error, left",
    ]);
    assert_eq!(child.state(), ChildState::Finished);
    child.start().unwrap();
    kill(&child);
    town.settle();
    assert_eq!(child.state(), ChildState::Waiting);
}

#[test]
fn stopping_asks_first_and_kills_then() {
    for (program, seconds) in [("lives", 0), ("ignores", 3)] {
        let town = town();
        let child = town
            .child(Command::new(program), "")
            .with_kill_time(SECOND * 3);
        child.start().unwrap();
        town.settle();
        let stopped = child.stop();
        let again = child.stop();
        town.settle();
        if seconds > 0 {
            assert_eq!(child.state(), ChildState::Stopping);
            town.run(SECOND * seconds - Duration::from_millis(1));
            assert_eq!(child.state(), ChildState::Stopping, "it has its time");
            town.run(Duration::from_millis(1));
        }
        assert_eq!(child.state(), ChildState::Stopped);
        stopped.try_result().expect("it has ended").unwrap();
        again.try_result().expect("both know").unwrap();
        child.stop().try_result().expect("at once").unwrap();
        // So long the reactor looks after connections.
        town.run(Duration::from_millis(600));
        assert_eq!(town.reactor.next_deadline(), None, "nothing is left");
        town.run(SECOND * 10);
        assert_eq!((town.processes(), child.restarts()), (0, 0));
    }
}

#[test]
fn one_that_waits_stops_at_once_and_starts_at_once() {
    let town = town();
    let child = town.child(lives(0), "");
    child.start().unwrap();
    town.run(SECOND * 2);
    assert_eq!(child.state(), ChildState::Waiting);
    assert_eq!(
        child.age().as_millis(),
        999,
        "it ended a few nanoseconds after it began"
    );
    town.lines.take();
    child.start().unwrap();
    town.run(Duration::from_millis(1));
    assert_eq!(town.lines.borrow().len(), 4, "it has run");
    assert!(
        town.lines.borrow()[3].ends_with("again in 1s"),
        "and the delays begin anew"
    );
    child.stop().try_result().expect("at once").unwrap();
    assert_eq!(child.state(), ChildState::Stopped);
    town.run(SECOND);
    assert_eq!(town.reactor.next_deadline(), None);
    // And so they do here.
    town.lines.take();
    child.start().unwrap();
    town.run(Duration::from_millis(1));
    assert!(
        town.lines
            .take()
            .pop()
            .is_some_and(|last| last.ends_with("again in 1s"))
    );
}

#[test]
fn a_start_while_it_stops_comes_after_its_end() {
    let town = town();
    let child = town.child(Command::new("ignores"), "");
    child.start().unwrap();
    town.settle();
    let id = child.process().expect("it runs").id();
    let stopped = child.stop();
    child.start().unwrap();
    child.start().unwrap();
    town.run(SECOND * 4);
    assert_eq!(child.process().expect("it is there").id(), id);
    town.run(SECOND);
    stopped.try_result().expect("that one has ended").unwrap();
    assert_ne!(child.process().expect("the next is there").id(), id);
    assert_eq!((child.restarts(), town.processes()), (0, 1));
    // A stop after that wins.
    child.restart().unwrap();
    child.stop().detach();
    town.run(SECOND * 5);
    assert_eq!((child.state(), town.processes()), (ChildState::Stopped, 0));
    child.restart().unwrap();
    assert_eq!(child.state(), ChildState::Running);
    town.settle();
    child.restart().unwrap();
    town.run(SECOND * 5);
    assert_eq!((child.state(), town.processes()), (ChildState::Running, 1));
}

#[test]
fn one_that_is_to_start_later_can_be_started_and_stopped_before() {
    let town = town();
    let child = town.child(Command::new("lives"), "");
    child.start_later(SECOND * 5);
    town.run(SECOND * 4);
    assert_eq!((child.state(), town.processes()), (ChildState::Waiting, 0));
    child.stop().detach();
    town.run(SECOND * 4);
    assert_eq!((child.state(), town.processes()), (ChildState::Stopped, 0));
    child.start_later(Duration::MAX);
    child.start().unwrap();
    town.settle();
    assert_eq!(child.state(), ChildState::Running);
    child.start_later(SECOND);
    town.run(SECOND * 2);
    assert_eq!((child.state(), town.processes()), (ChildState::Running, 1));
    let unknown = town.child(Command::new("unknown"), "");
    unknown.start_later(Duration::ZERO);
    town.settle();
    assert_eq!(
        (unknown.state(), unknown.restarts()),
        (ChildState::Waiting, 1)
    );
}

#[test]
fn what_cannot_be_started_is_an_error_first_and_a_short_life_later() {
    let town = town();
    let unknown = town.child(Command::new("unknown"), "");
    let error = unknown.start().unwrap_err();
    assert!(
        error.to_string().starts_with("cannot start `unknown`"),
        "{error}"
    );
    assert_eq!(
        (unknown.state(), town.reactor.next_deadline()),
        (ChildState::Stopped, None)
    );
    town.check(&[]);
    let child = town.child(Command::new("lives"), "");
    child.start().unwrap();
    town.run(SECOND);
    let mut limits = (*town.reactor.limits()).clone();
    limits.processes = 0;
    town.reactor.set_limits(limits.clone());
    kill(&child);
    town.settle();
    let last = town.lines.take().pop().unwrap_or_default();
    assert_eq!(
        last,
        "cannot start `lives`: 0 run already: the limit `processes`, again in 1s"
    );
    town.run(SECOND);
    limits.processes = 1;
    town.reactor.set_limits(limits);
    town.run(SECOND);
    assert_eq!((child.state(), child.restarts()), (ChildState::Waiting, 3));
    town.run(SECOND);
    assert_eq!((child.state(), child.restarts()), (ChildState::Running, 3));
}

#[test]
fn owners_that_fail_cost_their_child_and_no_more() {
    for does in ["fails", "panics"] {
        let town = town();
        let child = town.child(lives(100), does);
        child.start().unwrap();
        town.run(SECOND * 2);
        assert_eq!(child.restarts(), 2, "{does}");
        child.stop().detach();
        town.run(SECOND * 10);
        assert_eq!(
            (child.state(), town.processes()),
            (ChildState::Stopped, 0),
            "{does}"
        );
    }
    let town = town();
    let make = || -> Noted { panic!("there is none") };
    let child = Supervised::new(&town.reactor, "it", lives(0), make);
    assert!(
        child
            .start()
            .unwrap_err()
            .to_string()
            .contains("there is none")
    );
    assert_eq!((child.state(), town.processes()), (ChildState::Stopped, 0));
}

#[test]
fn pipes_that_somebody_else_keeps_are_closed_after_a_while() {
    let town = town();
    let child = town.child(Command::new("leaves"), "");
    child.start().unwrap();
    town.run(LAST_WORDS - Duration::from_millis(1));
    assert_eq!(
        child.state(),
        ChildState::Running,
        "what it wrote may still come"
    );
    town.run(Duration::from_millis(1));
    assert_eq!(child.state(), ChildState::Waiting);
    let last = town.lines.take().pop().unwrap_or_default();
    assert_eq!(
        last, "a process has ended with exit code 1, again in 1s",
        "its life was short"
    );
}

#[test]
fn owners_may_stop_and_start_it_from_what_they_are_told() {
    let town = town();
    let lines = Rc::clone(&town.lines);
    let make = {
        let (lines, world) = (Rc::clone(&town.lines), town.world.clone());
        move || Noted(Rc::clone(&lines), world.clone(), "")
    };
    let child =
        Supervised::new(&town.reactor, "it", lives(100), make).on_event(move |child, event| {
            match event {
                ChildEvent::Started(_) => child.stop().detach(),
                ChildEvent::Ended { .. } if lines.borrow().len() < 6 => child.start().unwrap(),
                ChildEvent::Ended { .. } => {}
            }
        });
    child.start().unwrap();
    town.run(SECOND * 10);
    town.check(&[
        "0 made", "0 ended", "0 made", "0 ended", "0 made", "0 ended",
    ]);
    assert_eq!((child.state(), town.processes()), (ChildState::Stopped, 0));
}

#[test]
fn a_reactor_that_stops_starts_none_again() {
    let ignores = || Command::new("ignores");
    let cases = [
        (Command::new("lives"), 0, false),
        (lives(100), 0, false),
        (ignores(), 0, false),
        (lives(100), 3, false),
        (ignores(), 1, true),
    ];
    for (command, seconds, restarts) in cases {
        let town = town();
        let child = town.child(command, "");
        child.start().unwrap();
        town.run(SECOND * seconds);
        if restarts {
            child.restart().unwrap();
        }
        for _ in 0..2 {
            // Not in the second run either.
            let stop = town.reactor.clone();
            let time = Duration::from_millis(10)
                + SECOND * 10 * u32::from(child.state() == ChildState::Stopped);
            town.reactor.call_later(time, move || stop.stop().unwrap());
            town.reactor.run().unwrap();
            assert_eq!((child.state(), town.processes()), (ChildState::Stopped, 0));
        }
        child.start().unwrap();
        assert_eq!(child.state(), ChildState::Running, "but when it is told to");
    }
}
