//! What a process protocol hears, and what can be asked of a process.

use crate::world::{Heard, Recorder, World, shell};
use std::time::Duration;
use tress_core::{
    EventType, Failure, Phase, Process, ProcessProtocol, Result, Signal,
    process::{
        ChildDescriptor, Command, NotWritable, OutputTooLong, ProcessExitedAlready,
        ProcessTerminated, Terminal, UnexpectedErrorOutput,
    },
};

#[test]
fn events_come_in_order_and_ended_is_last() {
    let world = World::new();
    let heard = world.run(&shell("echo one; echo two >&2; exit 3"));
    assert_eq!(heard.data(1), "one\n");
    assert_eq!(heard.data(2), "two\n");
    let mut events = heard.events();
    assert_eq!(events.first().map(String::as_str), Some("made"));
    assert_eq!(events.last().map(String::as_str), Some("ended code 3"));
    events.sort();
    let expected = [
        "ended code 3",
        "exited code 3",
        "lost 0",
        "lost 1",
        "lost 2",
        "made",
    ];
    assert_eq!(events, expected);
    world.end();
}

#[test]
fn success_is_process_done_and_everything_else_process_terminated() {
    let world = World::new();
    for (line, ended) in [
        ("exit 0", "ended done"),
        ("exit 255", "ended code 255"),
        ("kill -TERM $$", "ended SIGTERM"),
        ("ulimit -c 0; kill -SEGV $$", "ended SIGSEGV"),
    ] {
        let heard = world.run(&shell(line));
        assert!(heard.has(ended), "{line}: {:?}", heard.all());
    }
    world.end();
}

#[test]
fn process_ended_waits_for_the_pipes() {
    let world = World::new();
    // What goes on in the background has the pipes as well.
    let (process, heard) = world.start(&shell("exec 3<&0; (read line <&3; echo late) & echo $!"));
    world.until(|| heard.has("exited done"));
    world.settle();
    assert!(!heard.ended(), "{:?}", heard.all());
    assert!(process.status().is_some_and(|status| status.is_success()));
    process.lose_connection();
    world.until(|| heard.ended());
    world.end();
}

#[test]
fn spawn_process_early_is_reaped() {
    let world = World::new();
    let (process, heard) = world.start(&shell("exit 6"));
    let path = format!("/proc/{}/status", process.id());
    let is_over = || {
        let status = std::fs::read_to_string(&path).expect("nobody has waited for it");
        status.contains("State:\tZ")
    };
    while !is_over() {
        std::thread::yield_now();
    }
    assert_eq!(heard.all(), [""; 0], "nothing is heard outside of a turn");
    world.until(|| heard.ended());
    assert_eq!(heard.all()[0], "made");
    assert!(heard.has("ended code 6"));
    world.end();
}

#[test]
fn lose_connection_closes_all_pipes() {
    let world = World::new();
    let line = "exec 3<&0; cat <&3 >/dev/null; trap '' PIPE; echo x; echo out=$? >&9; echo x >&2; echo err=$? >&9";
    let path = std::env::temp_dir().join(format!("tress-lost-{}", std::process::id()));
    let file = std::fs::File::create(&path).expect("it can be made");
    let file = ChildDescriptor::File(std::rc::Rc::new(file.into()));
    let (process, heard) = world.start(&shell(line).descriptor(9, file));
    process.write(b"some").expect("it runs");
    process.lose_connection();
    world.until(|| heard.ended());
    let said = std::fs::read_to_string(&path).expect("it is there");
    std::fs::remove_file(&path).expect("it is there");
    assert_eq!(said, "out=1\nerr=1\n", "the child could write to neither");
    world.end();
}

#[test]
fn write_and_close_stdin() {
    let world = World::new();
    let (process, heard) = world.start(&Command::new("cat"));
    process.write(b"hello ").expect("it runs");
    process.write_to_child(0, b"child").expect("it runs");
    process.close_stdin();
    world.until(|| heard.ended());
    assert_eq!(heard.data(1), "hello child");
    assert!(heard.has("ended done"));
    world.end();
}

#[test]
fn what_cannot_be_written_to_says_why() {
    let world = World::new();
    let (process, heard) = world.start(&Command::new("cat"));
    let refused = |descriptor: u32, part: &str| {
        let failure = process
            .write_to_child(descriptor, b"x")
            .expect_err("refused");
        assert!(failure.check::<NotWritable>().is_some());
        assert!(failure.to_string().contains(part), "{failure}");
        assert!(failure.to_string().contains("`cat`"), "{failure}");
    };
    refused(1, "the child writes there");
    refused(7, "it is none of its pipes");
    process.close_stdin();
    refused(0, "it was closed");
    world.until(|| heard.ended());
    let failure = process.write(b"x").expect_err("it has ended");
    assert!(failure.check::<ProcessExitedAlready>().is_some());
    assert_eq!(failure.to_string(), "`cat` has exited already, with code 0");
    let failure = process
        .signal_process(Signal::Hup)
        .expect_err("it has ended");
    assert!(failure.check::<ProcessExitedAlready>().is_some());
    world.end();
}

#[test]
fn a_child_that_closes_its_own_descriptors() {
    let world = World::new();
    let (process, heard) = world.start(&shell("exec 0<&- 1>&- 2>&-; kill -STOP $$; exit 4"));
    world.until(|| heard.has("lost 0") && heard.has("lost 1") && heard.has("lost 2"));
    assert!(process.write(b"x").is_err());
    assert!(!heard.ended());
    process.signal_process(Signal::Cont).expect("it runs");
    world.until(|| heard.ended());
    assert!(heard.has("ended code 4"));
    world.end();
}

#[test]
fn signals_by_name_and_number() {
    let world = World::new();
    for (name, ended) in [
        ("HUP", "ended SIGHUP"),
        ("INT", "ended SIGINT"),
        ("KILL", "ended SIGKILL"),
        ("TERM", "ended SIGTERM"),
        ("15", "ended SIGTERM"),
    ] {
        let (process, heard) = world.start(&Command::new("cat"));
        let signal = name.parse().expect("it is one");
        process.signal_process(signal).expect("it runs");
        world.until(|| heard.ended());
        assert!(heard.has(ended), "{name}: {:?}", heard.all());
    }
    assert!("TREM".parse::<Signal>().is_err());
    world.end();
}

#[test]
fn stop_and_continue() {
    let world = World::new();
    let (process, heard) = world.start(&Command::new("cat"));
    process.signal_process(Signal::Stop).expect("it runs");
    process.write(b"x").expect("it runs");
    world.settle();
    assert_eq!(heard.data(1), "");
    process.signal_process(Signal::Cont).expect("it runs");
    world.until(|| heard.data(1) == "x");
    process.lose_connection();
    world.until(|| heard.ended());
    world.end();
}

#[test]
fn a_child_that_ignores_sigterm_is_killed_in_bounded_time() {
    let world = World::new();
    let (process, heard) = world.start(&shell(
        "trap '' TERM; echo ready; while :; do sleep 1; done",
    ));
    world.until(|| heard.data(1) == "ready\n");
    let stopped = process.stop(Duration::from_secs(3));
    let again = process.stop(Duration::ZERO);
    world.settle();
    assert!(process.status().is_none(), "it had no time yet");
    world.clock.advance(Duration::from_secs(3));
    world.until(|| process.status().is_some());
    // What it had started has its pipes for another second; nobody waits for that for longer than the grace.
    world.clock.advance(Duration::from_secs(3));
    let status = world.result(stopped).expect("it has ended");
    assert_eq!(status.to_string(), "SIGKILL");
    assert!(world.result(again).is_ok());
    assert!(heard.has("ended SIGKILL"));
    world.end();
}

#[test]
fn a_child_that_ends_at_sigterm_is_not_killed() {
    let world = World::new();
    let (process, heard) = world.start(&shell("trap 'echo bye; exit 0' TERM; echo up; read line"));
    world.until(|| heard.data(1) == "up\n");
    let stopped = process.stop(Duration::from_secs(3));
    let status = world.result(stopped).expect("it has ended");
    assert!(status.is_success());
    assert_eq!(heard.data(1), "up\nbye\n");
    let ended = world.result(process.when_ended());
    assert_eq!(ended.ok(), Some(status));
    world.end();
}

/// Fails where it is told to.
struct Failing {
    at: &'static str,
    panics: bool,
    heard: Heard,
}

impl Failing {
    fn at(&self, place: &str) -> Result {
        self.heard.push(place);
        match (self.at == place, self.panics) {
            (true, true) => panic!("as it was told"),
            (true, false) => Err(Failure::msg("as it was told")),
            (false, _) => Ok(()),
        }
    }
}

impl ProcessProtocol for Failing {
    fn connection_made(&mut self, process: &Process) -> Result {
        process.write(b"x")?;
        self.at("made")
    }

    fn out_received(&mut self, process: &Process, _: &[u8]) -> Result {
        self.at("out")?;
        process.close_stdin();
        Ok(())
    }

    fn child_connection_lost(&mut self, _: &Process, _: u32) -> Result {
        self.at("lost")
    }

    fn process_exited(&mut self, _: &Process, _: &Failure) -> Result {
        self.at("exited")
    }

    fn process_ended(&mut self, _: Failure) {
        self.at("ended").ok();
    }
}

#[test]
fn a_callback_that_fails_ends_its_child() {
    let world = World::new();
    for at in ["made", "out", "lost", "exited", "ended"] {
        for panics in [false, true] {
            let failures = world.reactor.statistics().failures;
            let heard = Heard::default();
            let protocol = Failing {
                at,
                panics,
                heard: heard.clone(),
            };
            // It would go on for ever.
            let command = shell("trap '' PIPE; cat; while :; do sleep 0.01; done");
            let (other, other_heard) = world.start(&Command::new("cat"));
            let process = world.reactor.spawn_process(&command, protocol);
            let process = process.expect("it can be started");
            if matches!(at, "exited" | "ended") {
                world.until(|| heard.has("out"));
                process.signal_process(Signal::Kill).expect("it runs");
            }
            world.until(|| heard.ended());
            let is_silent = at == "ended" && !panics;
            let failed = world.reactor.statistics().failures - failures;
            assert!(is_silent || failed >= 1, "{at}: {failed}");
            let ends = heard.all().iter().filter(|heard| *heard == "ended").count();
            assert_eq!(ends, 1, "{at}");
            assert!(other.status().is_none(), "the others go on");
            other.close_stdin();
            world.until(|| other_heard.ended());
        }
    }
    // The killed shells' own children have the pipes for a moment.
    world.end();
}

#[test]
fn the_output_of_a_process() {
    let world = World::new();
    let reactor = world.reactor.clone();
    let output = world.result(reactor.get_process_output(&shell("echo out; exit 3")));
    assert_eq!(output.expect("it wrote"), b"out\n");
    let value = world.result(reactor.get_process_value(&shell("echo out; echo err >&2; exit 3")));
    assert_eq!(value.expect("it exited"), 3);
    let all = reactor.get_process_output_and_value(&shell("echo out; echo err >&2; exit 3"));
    let all = world.result(all).expect("it exited");
    assert_eq!((all.out, all.err), (b"out\n".to_vec(), b"err\n".to_vec()));
    assert_eq!(all.status.to_string(), "code 3");
    let signalled = world.result(reactor.get_process_value(&shell("kill -KILL $$")));
    let failure = signalled.expect_err("a signal is no value");
    assert!(failure.check::<ProcessTerminated>().is_some());
    let unexpected =
        reactor.get_process_output(&shell("echo bad >&2; while :; do sleep 0.01; done"));
    let failure = world
        .result(unexpected)
        .expect_err("it wrote to the wrong one");
    assert!(failure.check::<UnexpectedErrorOutput>().is_some());
    assert!(failure.to_string().ends_with(": bad"), "{failure}");
    let missing = world.result(reactor.get_process_output(&Command::new("/no/such/program")));
    let failure = missing.expect_err("there is none");
    assert!(
        failure.to_string().contains("`/no/such/program`"),
        "{failure}"
    );
    drop(reactor);
    world.end();
}

#[test]
fn output_has_a_limit_and_can_be_cancelled() {
    let world = World::new();
    let mut limits = (*world.reactor.limits()).clone();
    limits.process_output = 1000;
    world.reactor.set_limits(limits);
    let flood = world.reactor.get_process_output(&Command::new("yes"));
    let failure = world.result(flood).expect_err("it never ends");
    assert_eq!(failure.check(), Some(&OutputTooLong { limit: 1000 }));
    let endless = world.reactor.get_process_output(&shell("exec sleep 1000"));
    world.settle();
    let canceller = endless.canceller().expect("it waits");
    let handled = endless.add_errback(|_| Ok(Vec::new()));
    canceller.cancel();
    assert!(world.result(handled).is_ok());
    world.end();
}

#[test]
fn a_terminal_is_all_three() {
    let world = World::new();
    let command = shell("test -t 0 && test -t 1 && test -t 2 && stty size && tty >/dev/null && read a && echo got $a")
        .terminal(Terminal {
            rows: 30,
            columns: 90,
            is_raw: false,
        });
    let (process, heard) = world.start(&command);
    world.until(|| heard.data(1).contains("30 90"));
    process.set_terminal_size(40, 100).expect("it has one");
    process.write(b"line\n").expect("it runs");
    world.until(|| heard.ended());
    // It echoes what is written to it.
    assert_eq!(heard.data(1), "30 90\r\nline\r\ngot line\r\n");
    let lost: Vec<_> = heard.events();
    assert_eq!(
        lost.iter()
            .filter(|event| event.starts_with("lost"))
            .count(),
        1
    );
    assert!(heard.has("lost 1") && heard.has("ended done"));
    world.end();
}

#[test]
fn a_terminal_is_the_childs_own() {
    let world = World::new();
    let (process, heard) = world.start(
        &shell("trap 'echo interrupted; exit 5' INT; trap 'stty size' WINCH; echo up; while :; do read a; done")
            .terminal(Terminal::default()),
    );
    world.until(|| heard.data(1).contains("up"));
    process.set_terminal_size(41, 101).expect("it has one");
    world.until(|| heard.data(1).contains("41 101"));
    process.write(b"\x03").expect("it runs");
    world.until(|| heard.ended());
    assert!(heard.data(1).contains("interrupted"));
    assert!(heard.has("ended code 5"));
    world.end();
}

#[test]
fn a_terminal_excludes_a_map() {
    let world = World::new();
    let command = Command::new("cat")
        .terminal(Terminal::default())
        .descriptor(3, ChildDescriptor::Read);
    let refused = world
        .reactor
        .spawn_process(&command, Recorder(Heard::default()));
    let failure = refused.expect_err("it cannot have both");
    let text = "cannot start `cat`: its terminal: a child in a terminal has no other descriptors";
    assert_eq!(failure.to_string(), text);
    world.end();
}

#[test]
fn a_stop_of_the_reactor_stops_its_children() {
    let world = World::new();
    let (_, polite) = world.start(&Command::new("cat"));
    let (_, stubborn) = world.start(&shell(
        "trap '' TERM; exec 1>&- 2>&-; while :; do sleep 0.01; done",
    ));
    let after = Heard::default();
    let last = after.clone();
    world
        .reactor
        .add_system_event_trigger(Phase::After, EventType::Shutdown, move || {
            last.push("stopped")
        });
    world.reactor.start().expect("it does not run");
    world.until(|| stubborn.has("lost 2"));
    world.reactor.stop().expect("it runs");
    world.until(|| polite.ended());
    assert!(!stubborn.ended());
    assert!(world.reactor.is_running());
    world.clock.advance(world.reactor.limits().shutdown / 2);
    world.until(|| stubborn.ended());
    assert!(stubborn.has("ended SIGKILL"), "{:?}", stubborn.all());
    world.until(|| !world.reactor.is_running());
    assert_eq!(after.all(), ["stopped"]);
    let refused = world
        .reactor
        .spawn_process(&Command::new("cat"), Recorder(Heard::default()));
    refused.expect("it can run again").lose_connection();
    world.end();
}

#[test]
fn a_detached_child_outlives_the_reactors_run() {
    let world = World::new();
    let directory = std::env::temp_dir().join(format!("tress-detached-{}", std::process::id()));
    let command = shell(&format!(
        "trap '' PIPE; echo up; read a; touch {}",
        directory.display()
    ))
    .detached();
    world.reactor.start().expect("it does not run");
    let (process, heard) = world.start(&command);
    world.until(|| heard.data(1) == "up\n");
    world.reactor.stop().expect("it runs");
    world.until(|| !world.reactor.is_running());
    assert!(
        heard.has("ended the reactor is not running"),
        "{:?}",
        heard.all()
    );
    assert!(process.status().is_none());
    assert!(world.result(process.when_ended()).is_err());
    world.until(|| directory.exists());
    std::fs::remove_file(&directory).expect("it is there");
    // It has been waited for, too.
    world.settle();
    world.end();
}

#[test]
fn dropping_the_reactor_ends_its_children() {
    let world = World::new();
    let (process, heard) = world.start(&Command::new("cat"));
    world.until(|| heard.has("made"));
    let id = process.id();
    let World { reactor, .. } = world;
    drop(reactor);
    let proc = format!("/proc/{id}");
    assert!(!std::path::Path::new(&proc).exists(), "it was waited for");
    assert!(process.signal_process(Signal::Term).is_err());
    assert!(process.write(b"x").is_err());
}
