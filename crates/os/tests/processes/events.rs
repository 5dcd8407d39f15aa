//! What a process protocol hears, and what can be asked of a process, as far as it needs a real system.

use crate::world::{World, shell};
use tress_core::{
    Signal,
    process::{ChildDescriptor, Command, ExitStatus, Terminal},
};
use tress_os::seam::{
    Call,
    faults::{self, Fault, Plan},
};

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
fn one_that_something_else_waited_for_has_ended_somehow() {
    let world = World::new();
    let (process, heard) = world.start(&shell("exit 6"));
    let ended = world.reactor.get_process_value(&shell("exit 7"));
    // Both, behind the reactor's back.
    for _ in 0..2 {
        let waited = rustix::process::wait(rustix::process::WaitOptions::empty());
        assert!(waited.expect("it is a child").is_some());
    }
    world.until(|| heard.ended());
    assert!(
        heard.has("ended a status that something else has taken"),
        "{:?}",
        heard.all()
    );
    assert_eq!(process.status(), Some(ExitStatus::Unknown));
    let failure = world.result(ended).expect_err("there is no code to give");
    assert_eq!(
        failure.to_string(),
        "a process has ended with a status that something else has taken"
    );
    world.end();
}

#[test]
fn output_that_could_not_be_read_does_not_pass_for_all() {
    let world = World::new();
    let output = |line| world.reactor.get_process_output_and_value(&shell(line));
    reading_fails();
    let failure = world.result(output("echo a; sleep 60"));
    let text = failure.expect_err("nobody knows the rest").to_string();
    assert!(faults::end().is_fulfilled);
    assert!(text.starts_with("reading descriptor "), "{text}");
    reading_fails();
    let value = world.reactor.get_process_value(&shell("echo a; exit 3"));
    assert_eq!(world.result(value).expect("it needs no output"), 3);
    assert!(faults::end().is_fulfilled);
    world.end();
}

/// The first byte that this thread's drivers read of a pipe cannot be read.
fn reading_fails() {
    faults::begin(Some(Plan {
        call: Call::Read,
        number: 1,
        fault: Fault::Error(libc::EIO),
    }));
}

#[test]
fn a_pipe_says_why_it_ended() {
    let world = World::new();
    reading_fails();
    let (process, heard) = world.start(&shell("exec 1>&-; read a"));
    world.until(|| heard.events().len() == 2);
    assert!(faults::end().is_fulfilled);
    let lost = "lost 1: connection was lost: Input/output error (os error 5)";
    assert_eq!(heard.events(), ["made", lost]);
    process.lose_connection();
    world.until(|| heard.ended());
    assert!(
        heard.has("lost 0") && heard.has("lost 2"),
        "those were closed"
    );
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
