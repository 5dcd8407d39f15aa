//! Child processes and the program's own services in an application, in the simulator: what a file may say of them, how they
//! start, stop and change with the rest, and random deeds against a model.

use super::super::*;
use crate::{
    control::{Application as _, CANNOT_START, NO_SUCH_SERVICE},
    services::{MultiService, ServerService, TimerService},
    testing::logged,
};
use proptest::prelude::*;
use std::{cell::Cell, time::Duration};
use tress_core::{
    Protocol,
    process::{ChildState, Command, Supervised},
    restart::{Intensity, RestartPolicy},
    signal::Signal,
};
use tress_rpc::Fault;
use tress_sim::{ProgramEvent, ProgramHandle, World};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// An application in a world in which nothing takes time but what programs do.
struct Town {
    world: World,
    reactor: Reactor,
    files: super::control::InMemory,
    application: Application,
}

fn world() -> World {
    let world = World::new(7);
    let mut policy = world.policy();
    policy.latency = Duration::ZERO;
    policy.jitter = Duration::ZERO;
    world.set_policy(policy);
    // Goes on for ever, and says its first argument.
    world.add_program("waits", || {
        |child: &mut ProgramHandle, event: ProgramEvent<'_>| {
            if event == ProgramEvent::Started {
                let says = child
                    .arguments()
                    .first()
                    .and_then(|a| a.to_str())
                    .map(str::to_owned);
                if let Some(says) = says {
                    child.write(1, says.as_bytes());
                }
            }
        }
    });
    world.add_program("ignores", || {
        |child: &mut ProgramHandle, event: ProgramEvent<'_>| {
            if event == ProgramEvent::Started {
                child.catch_signal(Signal::Term);
            }
        }
    });
    world.add_program("tells", || {
        |child: &mut ProgramHandle, event: ProgramEvent<'_>| {
            if event == ProgramEvent::Started {
                let variables = child.environment().iter();
                let variables = variables
                    .map(|(name, value)| format!("{}={}\n", name.display(), value.display()));
                let all: String = variables.collect();
                child.write(2, all.as_bytes());
                child.exit(3);
            }
        }
    });
    world
}

impl Town {
    fn of(text: &str) -> Self {
        let (world, files) = (world(), super::control::InMemory::default());
        let reactor = Reactor::with(world.host("10.0.0.1"));
        let mut registry = Registry::builtin();
        registry.set_files(files.clone());
        let application = Application::parse("f.toml", text.as_bytes(), &registry, &reactor);
        files.write("f.toml", text);
        Self {
            world,
            reactor,
            files,
            application: application.unwrap(),
        }
    }

    fn started(text: &str) -> Self {
        let mut town = Self::of(text);
        town.application.start(&town.reactor).unwrap();
        town.settle();
        town
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

    #[track_caller]
    fn ask<T: 'static, F: Future<Output = Result<T>> + 'static>(
        &self,
        f: impl FnOnce(Control) -> F,
    ) -> Result<T, Fault> {
        let asked = self.reactor.spawn(f(self.application.control()));
        let answer = asked.try_result().expect("at once");
        answer.map_err(|failure| Fault::of(&failure))
    }

    #[track_caller]
    fn start(&self, name: &str) -> Result<String, Fault> {
        let name = name.to_owned();
        self.ask(|control| async move { control.start(name).await })
    }

    #[track_caller]
    fn stop(&self, name: &str) -> Result<String, Fault> {
        let name = name.to_owned();
        self.ask(|control| async move { control.stop(name).await })
    }

    #[track_caller]
    fn reload(&self, text: &str) -> Result<crate::control::Reloaded, Fault> {
        self.files.write("f.toml", text);
        self.ask(|control| async move { control.reload().await })
    }

    /// `name state` of all; `name` alone where it runs.
    #[track_caller]
    fn list(&self) -> String {
        let services = self.ask(|control| async move { control.list().await });
        let said = services
            .unwrap()
            .into_iter()
            .map(|service| match &*service.state {
                "running" => service.name,
                state => format!("{} {state}", service.name),
            });
        said.collect::<Vec<_>>().join(", ")
    }

    /// The number of the process of a child that runs.
    fn process(&self, name: &str) -> Option<u32> {
        self.child(name).map(|process| process.id())
    }

    fn child(&self, name: &str) -> Option<tress_core::Process> {
        let state = self.application.tree.state.borrow();
        let found = state.tasks.iter().find(|entry| entry.task.name == name);
        found.and_then(|entry| entry.task.process())
    }

    #[track_caller]
    fn kill(&self, name: &str) {
        let process = self.child(name).expect("it runs");
        process.signal_process(Signal::Kill).unwrap();
        self.settle();
    }

    /// Stops all; how long that took.
    #[track_caller]
    fn stop_all(&mut self) -> Duration {
        let before = self.world.now();
        let over = Rc::new(Cell::new(false));
        let fires = Rc::clone(&over);
        let stopped = self.application.stop(&self.reactor);
        stopped.add_both(move |_| fires.set(true)).detach();
        self.settle();
        for _ in 0..10_000 {
            if over.get() {
                return self.world.now().since(before);
            }
            self.run(MILLISECOND);
        }
        panic!("it does not stop");
    }
}

fn run(name: &str, command: &str, more: &str) -> String {
    format!("[[run]]\nname = '{name}'\ncommand = {command}\n{more}\n")
}

/// The report on `text`; empty when nothing is wrong.
#[track_caller]
fn check(more: &str, report: &str) {
    super::check(&run("web", "['serve', '-v']", more), report);
}

#[test]
fn wrong_sections() {
    check("", "");
    check(
        "user = 1000\ngroup = 0\nrestart = 'on-failure'\nrestart_limit = 5\nrestart_period = '1m'",
        "",
    );
    check(
        "directory = 'data'\nenvironment = { A = '' }\ninherit_environment = true\nkill_time = '1ms'",
        "",
    );
    check(
        "usr = 5",
        "f.toml:4: run.usr: unknown key `usr`; expected one of `name`, `command`, `directory`, `environment`, \
        `inherit_environment`, `user`, `group`, `restart`, `threshold`, `min_restart_delay`, `max_restart_delay`, \
        `restart_limit`, `restart_period`, `kill_time`; did you mean `user`?",
    );
    check(
        "user = 4294967295",
        "f.toml:4: run.user: expected a number below 4294967295",
    );
    check(
        "restart = 'no'",
        "f.toml:4: run.restart: unknown value `no`; expected one of `always`, `on-failure`, `never`",
    );
    for key in [
        "threshold",
        "min_restart_delay",
        "kill_time",
        "restart_period",
    ] {
        check(
            &format!("{key} = '0s'"),
            &format!("f.toml:4: run.{key}: expected more than nothing"),
        );
    }
    check(
        "min_restart_delay = '2s'\nmax_restart_delay = '1s'",
        "f.toml:5: run.max_restart_delay: expected no less than `min_restart_delay`",
    );
    for limit in ["0", "1001"] {
        check(
            &format!("restart_limit = {limit}"),
            "f.toml:4: run.restart_limit: expected 1 to 1000; `restart = \"never\"` is for none at all",
        );
    }
}

#[test]
fn wrong_names_and_commands() {
    check(
        "environment = { 'A=B' = '' }",
        "f.toml:4: run.environment: no variable can be called so, or have a zero byte",
    );
    check(
        "[[run]]\nname = 'web'\ncommand = 'x'",
        "f.toml:5: run.name: `web` is the name of another service",
    );
    for (section, report) in [
        (
            "name = 'a b'\ncommand = 'x'",
            "f.toml:2: run.name: `a b` is no name for a service; expected at most 64 letters, digits, `-` and `_`",
        ),
        (
            "command = 'x'",
            "f.toml:1: run: missing key `name`; expected a string",
        ),
        (
            "name = 'a'",
            "f.toml:1: run: missing key `command`; expected a string or a list of strings",
        ),
        (
            "name = 'a'\ncommand = ''",
            "f.toml:3: run.command: expected a program, found an empty string",
        ),
        (
            "name = 'a'\ncommand = []",
            "f.toml:3: run.command: the list is empty; expected at least one string",
        ),
        (
            "name = 'a'\ncommand = 'sleep 5'",
            "f.toml:3: run.command: no shell reads it; expected a list such as [\"sleep\", \"5\"]",
        ),
        (
            "name = 'a'\ncommand = ['x',\n\"a\\u0000\"]",
            "f.toml:4: run.command: no argument can have a zero byte",
        ),
    ] {
        super::check(&format!("[[run]]\n{section}\n"), report);
    }
    super::check(
        "[run]\nname = 'a'\n",
        "f.toml:1: run: expected [[run]] in double brackets, found a table",
    );
}

#[test]
fn a_name_that_is_given_is_no_name_for_what_is_derived() {
    let town = Town::started(
        &(super::USERS.to_owned() + super::FINGER + &run("users-finger", "'waits'", "")),
    );
    assert_eq!(town.list(), "users-finger-2, users-finger");
}

#[test]
fn children_start_with_the_rest_and_stop_in_reverse_order() {
    let (one, two) = (
        run("one", "'waits'", ""),
        run("two", "['ignores']", "kill_time = '1s'"),
    );
    let mut town = Town::started(&format!("{one}{two}{}", run("three", "'waits'", "")));
    assert_eq!(
        (town.list(), town.processes()),
        ("one, two, three".into(), 3)
    );
    let mut took = Duration::ZERO;
    let said = logged(|| took = town.stop_all());
    let stopped = said.iter().filter(|line| line.ends_with(": stopped"));
    let stopped: Vec<_> = stopped
        .map(|line| line.split([' ', ':']).nth(1).unwrap())
        .collect();
    assert_eq!(stopped, ["three", "two", "one"]);
    assert_eq!((took, town.processes()), (SECOND, 0));
}

#[test]
fn a_stop_is_bounded_whatever_children_do() {
    let all = ["a", "b", "c"].map(|name| run(name, "'ignores'", ""));
    let mut town = Town::started(&all.concat());
    let mut took = Duration::ZERO;
    let said = logged(|| took = town.stop_all());
    // Two thirds of three quarters of five seconds.
    assert_eq!(took.as_millis(), 2500);
    let late = said.iter().filter(|line| line.contains("did not stop"));
    assert_eq!(late.count(), 3, "{said:?}");
    // And the reactor leaves none behind.
    let stop = town.reactor.clone();
    town.reactor
        .call_later(Duration::ZERO, move || stop.stop().unwrap());
    town.reactor.run().unwrap();
    assert_eq!(town.processes(), 0);
}

#[test]
fn one_that_cannot_be_started_starts_nothing() {
    let text = super::USERS.to_owned()
        + super::FINGER
        + &run("one", "'waits'", "")
        + &run("two", "'unknown'", "");
    let mut town = Town::of(&text);
    let error = town
        .application
        .start(&town.reactor)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cannot start two: cannot start `unknown`"),
        "{error}"
    );
    town.run(SECOND);
    assert_eq!(town.processes(), 0);
    // Nor does an address that is taken.
    let mut town = Town::of(&text.replace("'unknown'", "'waits'"));
    struct Quiet;
    impl Protocol for Quiet {}
    let _taken = town.reactor.listen("tcp:79", || Quiet).unwrap();
    town.application.start(&town.reactor).unwrap_err();
    assert_eq!(town.processes(), 0, "not even for a moment");
}

#[test]
fn what_a_child_writes_is_in_the_log_and_it_gets_what_the_section_says() {
    let text = run(
        "tells",
        "'tells'",
        "environment = { B = 'x', A = '1' }\nrestart = 'never'",
    ) + &run("says", "['waits', 'hello\\nyou', 'x']", "").replace('\'', "\"");
    let mut town = Town::of(&text);
    let said = logged(|| {
        town.application.start(&town.reactor).unwrap();
        town.settle();
        town.stop_all();
    });
    for line in [
        "INFO [tells] A=1",
        "INFO [tells] B=x",
        "INFO [says] hello",
        "INFO [says] you",
    ] {
        assert!(said.iter().any(|said| said == line), "{line} in {said:?}");
    }
    let over = "INFO tells: a process has ended with exit code 3; it is not started again";
    assert!(said.iter().any(|said| said == over), "{said:?}");
}

#[test]
fn children_are_listed_stopped_and_started() {
    let text = run("one", "'waits'", "")
        + &run("two", "'ignores'", "kill_time = '1s'")
        + &run("once", "'tells'", "restart = 'never'");
    let town = Town::started(&text);
    assert_eq!(town.list(), "one, two, once finished");
    let services = town
        .ask(|control| async move { control.list().await })
        .unwrap();
    assert_eq!((&*services[0].what, services[0].at.len()), ("[run]", 1));
    assert_eq!(
        services[0].at[0],
        format!("process {}", town.process("one").unwrap())
    );
    assert_eq!(town.stop("one"), Ok("stopped".into()));
    assert_eq!(town.stop("two"), Ok("stopped".into()));
    town.settle();
    assert_eq!(town.list(), "one stopped, two stopping, once finished");
    assert_eq!(town.stop("one"), Ok("does not run".into()));
    town.run(SECOND);
    assert_eq!(
        (town.list(), town.processes()),
        ("one stopped, two stopped, once finished".into(), 0)
    );
    assert_eq!(town.start("one"), Ok("started".into()));
    assert_eq!(town.start("one"), Ok("runs already".into()));
    assert_eq!(town.start("once"), Ok("started".into()));
    assert_eq!(town.start("three").unwrap_err().code(), NO_SUCH_SERVICE);
    town.run(SECOND);
    town.kill("one");
    assert_eq!(
        town.processes(),
        1,
        "it lived long enough to be there again"
    );
    let figures = town
        .ask(|control| async move { control.statistics().await })
        .unwrap();
    let restarts: Vec<u64> = figures
        .services
        .iter()
        .map(|service| service.restarts)
        .collect();
    assert_eq!(restarts, [2, 0, 1], "by hand and by itself");
    town.ask(|control| async move { control.detach("one".into()).await })
        .unwrap();
    town.settle();
    assert_eq!(
        (town.list(), town.processes()),
        ("two stopped, once finished".into(), 0)
    );
}

#[test]
fn a_reload_restarts_what_has_changed_and_nothing_else() {
    let (one, two) = (run("one", "'waits'", ""), run("two", "'waits'", ""));
    let slow = run("slow", "'ignores'", "kill_time = '1s'");
    let mut town = Town::started(&format!("{one}{two}{slow}"));
    let before = ["one", "two", "slow"].map(|name| town.process(name));
    let changed = run("slow", "['waits', 'x']", "");
    let new = run("new", "'waits'", "");
    let done = town
        .reload(&format!("# comment\n{changed}{one}{new}"))
        .unwrap();
    assert_eq!(
        (done.kept, done.restarted),
        (vec!["one".into()], vec!["slow".to_owned()])
    );
    assert_eq!(
        (done.started, done.stopped),
        (vec!["new".into()], vec!["two".to_owned()])
    );
    town.settle();
    assert_eq!(
        town.list(),
        "slow waiting, one, new",
        "the old one has its time"
    );
    town.run(SECOND);
    assert_eq!(
        (town.list(), town.processes()),
        ("slow, one, new".into(), 3)
    );
    assert_eq!(town.process("one"), before[0]);
    assert_ne!(town.process("slow"), before[2]);
    // A wrong file changes nothing, nor does one with a child that cannot be started.
    town.reload(&format!("{one}{}", run("two", "'sleep 5'", "")))
        .unwrap_err();
    let error = town
        .reload(&format!(
            "{one}{}{}",
            run("more", "'waits'", ""),
            run("two", "'unknown'", "")
        ))
        .unwrap_err();
    assert_eq!(error.code(), CANNOT_START);
    town.settle();
    assert_eq!(
        (town.list(), town.processes()),
        ("slow, one, new".into(), 3)
    );
    // One that was stopped starts; one that is replaced can be stopped before it has started.
    town.stop("one").unwrap();
    town.settle();
    let done = town.reload(&format!("{one}{slow}")).unwrap();
    assert_eq!(
        (done.started, done.restarted),
        (vec!["one".into()], vec!["slow".to_owned()])
    );
    town.settle();
    assert_eq!((town.list(), town.processes()), ("one, slow".into(), 2));
    town.reload(&format!("{one}{changed}")).unwrap();
    town.stop("slow").unwrap();
    town.run(SECOND * 2);
    assert_eq!(
        (town.list(), town.processes()),
        ("one, slow stopped".into(), 1)
    );
    town.stop_all();
    assert_eq!(town.processes(), 0);
}

#[test]
fn a_child_that_is_replaced_by_what_cannot_be_started_is_tried_again() {
    let town = Town::started(&run("one", "'waits'", ""));
    town.reload(&run("one", "'unknown'", "restart_limit = 1"))
        .unwrap();
    town.run(SECOND * 4);
    assert_eq!((town.list(), town.processes()), ("one given up".into(), 0));
    let error = town.start("one").unwrap_err();
    assert_eq!(error.code(), CANNOT_START);
    let done = town.reload(&run("one", "'waits'", "")).unwrap();
    assert_eq!(done.restarted, ["one"]);
    town.settle();
    assert_eq!(town.list(), "one");
}

struct Quiet;
impl Protocol for Quiet {}

#[test]
fn an_application_without_a_file() {
    let world = world();
    let reactor = Reactor::with(world.host("10.0.0.1"));
    let mut application = Application::new("own", &reactor);
    let calls = Rc::new(Cell::new(0));
    let counts = Rc::clone(&calls);
    let timer = TimerService::new("tick", SECOND, move || counts.update(|calls| calls + 1));
    application
        .add(&reactor, ServerService::new("tcp:7", || Quiet))
        .unwrap();
    application.add(&reactor, timer).unwrap();
    let child = Supervised::new(&reactor, "child", Command::new("waits"), || Silent);
    application.add(&reactor, child.clone()).unwrap();
    assert_eq!((child.state(), calls.get()), (ChildState::Stopped, 0));
    application.start(&reactor).unwrap();
    let mut town = Town {
        world,
        reactor,
        files: super::control::InMemory::default(),
        application,
    };
    town.settle();
    assert_eq!(town.list(), "server at `tcp:7`, tick, child");
    // What is added to one that runs starts at once, or is not there.
    let reactor = town.reactor.clone();
    town.application
        .add(&reactor, TimerService::new("tick", SECOND, || ()))
        .unwrap();
    town.application
        .add(&reactor, ServerService::new("tcp:7", || Quiet))
        .unwrap_err();
    assert_eq!(town.list(), "server at `tcp:7`, tick, child, tick-2");
    let kept = town
        .ask(|control| async move { control.reload().await })
        .unwrap()
        .kept;
    assert_eq!(kept.len(), 4);
    town.run(SECOND * 2);
    assert_eq!(calls.get(), 3);
    town.stop("server at `tcp:7`").unwrap();
    let _taken = town.reactor.listen("tcp:7", || Quiet).unwrap();
    assert_eq!(
        town.start("server at `tcp:7`").unwrap_err().code(),
        CANNOT_START
    );
    town.stop_all();
    assert_eq!((town.processes(), child.state()), (0, ChildState::Stopped));
    town.run(SECOND * 2);
    assert_eq!(calls.get(), 3);
}

/// Has nothing to say to its child.
pub(super) struct Silent;
impl tress_core::ProcessProtocol for Silent {}

#[test]
fn it_runs_until_the_reactor_stops() {
    let world = world();
    let reactor = Reactor::with(world.host("10.0.0.1"));
    let mut application = Application::new("own", &reactor);
    let child = Supervised::new(&reactor, "child", Command::new("waits"), || Silent);
    application.add(&reactor, child.clone()).unwrap();
    let stop = reactor.clone();
    reactor.call_later(SECOND, move || stop.stop().unwrap());
    crate::run_application(application, &reactor).unwrap();
    assert_eq!((child.state(), child.restarts()), (ChildState::Stopped, 0));
    let mut application = Application::new("own", &reactor);
    let child = Supervised::new(&reactor, "child", Command::new("unknown"), || Silent);
    application.add(&reactor, child).unwrap();
    let error = crate::run_application(application, &reactor).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("own: cannot start child: cannot start `unknown`"),
        "{error}"
    );
}

/// What is done, by the number of a service.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Start(usize),
    Stop(usize),
    /// `kill -9`, where there is a process.
    Crash(usize),
    /// Milliseconds.
    Wait(u64),
    /// The file again, unchanged.
    Reload,
}

fn deed() -> impl Strategy<Value = Deed> {
    let which = 0..NAMES.len();
    prop_oneof![
        2 => which.clone().prop_map(Deed::Start),
        2 => which.clone().prop_map(Deed::Stop),
        5 => which.prop_map(Deed::Crash),
        4 => prop_oneof![Just(100_u64), Just(500), Just(1000), Just(3000)].prop_map(Deed::Wait),
        1 => Just(Deed::Reload),
    ]
}

/// Three of the file, the last of which has to be killed; and one in a service that the program has added.
const NAMES: [&str; 4] = ["a", "b", "slow", "inner"];
const SLOW: usize = 2;
const INNER: usize = 3;
const KILL_TIME: u64 = 700;

/// What one of them does, at a time in milliseconds: written as simply as it can be.
#[derive(Clone, Debug, Default)]
struct Model {
    wanted: bool,
    /// It has run since then.
    since: Option<u64>,
    /// It starts then.
    due: Option<u64>,
    /// It ends then, having been stopped.
    ends: Option<u64>,
    gave_up: bool,
    delay: u64,
    restarts: Vec<u64>,
}

impl Model {
    fn start(&mut self, now: u64) {
        if self.wanted && self.since.is_some() {
            return;
        }
        (self.wanted, self.gave_up) = (true, false);
        (self.delay, self.restarts) = (1000, Vec::new());
        if self.ends.is_none() {
            (self.since, self.due) = (Some(now), None);
        }
    }

    fn stop(&mut self, which: usize, now: u64) {
        self.wanted = false;
        (self.due, self.gave_up) = (None, false);
        if self.since.take().is_some() && which == SLOW {
            self.ends = Some(now + KILL_TIME);
        }
    }

    fn crash(&mut self, now: u64) {
        if self.ends.is_some() {
            self.ended(now);
        } else if let Some(since) = self.since.take() {
            let wait = if now - since >= 1000 { 0 } else { self.delay };
            self.delay = if wait == 0 {
                1000
            } else {
                4000.min(2 * self.delay)
            };
            let at = now + wait;
            self.restarts.retain(|before| at - before < 20_000);
            self.gave_up = self.restarts.len() == 3;
            if !self.gave_up {
                self.restarts.push(at);
                self.due = Some(at);
                self.pass(now);
            }
        }
    }

    fn ended(&mut self, now: u64) {
        self.ends = None;
        self.since = self.wanted.then_some(now);
    }

    fn pass(&mut self, now: u64) {
        if let Some(due) = self.due.take_if(|due| *due <= now) {
            self.since = Some(due);
        }
        if let Some(end) = self.ends.take_if(|end| *end <= now) {
            self.ended(end);
        }
    }

    fn word(&self) -> &'static str {
        match (self.wanted, self.ends) {
            (_, Some(_)) => "stopping",
            (false, None) => "stopped",
            (true, None) if self.since.is_some() => "running",
            (true, None) if self.gave_up => "given up",
            (true, None) => "waiting",
        }
    }
}

fn tree() -> (Town, Supervised) {
    let more = "max_restart_delay = '4s'\nrestart_limit = 3\nrestart_period = '20s'";
    let slow = format!("{more}\nkill_time = '{KILL_TIME}ms'");
    let text =
        run("a", "'waits'", more) + &run("b", "'waits'", more) + &run("slow", "'ignores'", &slow);
    let mut town = Town::of(&text);
    let policy = RestartPolicy {
        max_restart_delay: SECOND * 4,
        intensity: Some(Intensity {
            restarts: 3,
            period: SECOND * 20,
        }),
        ..RestartPolicy::default()
    };
    let child = Supervised::new(&town.reactor, "child", Command::new("waits"), || Silent);
    let child = child.with_policy(policy);
    let mut inner = MultiService::new("inner");
    inner.add(TimerService::new("timer", SECOND, || ()));
    inner.add(child.clone());
    let reactor = town.reactor.clone();
    town.application.add(&reactor, inner).unwrap();
    town.application.start(&reactor).unwrap();
    town.settle();
    (town, child)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever is done, each service is what its own model says, and no deed touches another's process; and the whole stops.
    #[test]
    fn whatever_happens_in_whatever_order(deeds in prop::collection::vec(deed(), 1..40)) {
        let (mut town, child) = tree();
        let mut now = 0;
        let mut models = NAMES.map(|_| Model::default());
        models.iter_mut().for_each(|model| model.start(now));
        let process = |town: &Town, which: usize| match which {
            INNER => child.process(),
            _ => town.child(NAMES[which]),
        };
        for deed in deeds {
            let before = [0, 1, 2, 3].map(|which| process(&town, which).map(|process| process.id()));
            let since = models.clone().map(|model| model.since);
            match deed {
                Deed::Start(which) => {
                    models[which].start(now);
                    town.start(NAMES[which]).ok();
                }
                Deed::Stop(which) => {
                    models[which].stop(which, now);
                    town.stop(NAMES[which]).unwrap();
                }
                Deed::Crash(which) => {
                    models[which].crash(now);
                    if let Some(process) = process(&town, which) {
                        process.signal_process(Signal::Kill).unwrap();
                    }
                }
                Deed::Wait(milliseconds) => {
                    now += milliseconds;
                    models.iter_mut().for_each(|model| model.pass(now));
                    town.run(MILLISECOND * u32::try_from(milliseconds).unwrap());
                }
                Deed::Reload => {
                    for (which, model) in models.iter_mut().enumerate() {
                        if which != INNER && (!model.wanted || model.gave_up) {
                            model.start(now);
                        }
                    }
                    town.ask(|control| async move { control.reload().await }).unwrap();
                }
            }
            town.settle();
            let listed = town.ask(|control| async move { control.list().await }).unwrap();
            for (which, model) in models.iter().enumerate() {
                prop_assert_eq!(&*listed[which].state, model.word(), "{:?} {}", deed, NAMES[which]);
                let there = process(&town, which).map(|process| process.id());
                let runs = model.since.is_some() || model.ends.is_some();
                prop_assert_eq!(there.is_some(), runs, "{:?} {}", deed, NAMES[which]);
                if model.since.is_some() && model.since == since[which] {
                    prop_assert_eq!(there, before[which], "{:?} {}", deed, NAMES[which]);
                }
            }
            let there = models.iter().filter(|model| model.since.is_some() || model.ends.is_some());
            prop_assert_eq!(town.processes(), there.count());
        }
        town.stop_all();
        town.settle();
        prop_assert_eq!(town.processes(), 0);
        town.run(SECOND * 60);
        prop_assert_eq!(town.processes(), 0);
        prop_assert_eq!(town.reactor.next_deadline(), None);
    }
}
