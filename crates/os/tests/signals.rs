//! Signals of a real process: a loop that waits is woken, several reactors get each, and what nobody handles any more
//! does what it did before. One test at a time, as a signal is for all of them.

#[path = "world/leftovers.rs"]
mod leftovers;

use leftovers::Leftovers;
use rustix::process::{Signal as SystemSignal, getpid, kill_process};
use std::{cell::Cell, os::unix::process::ExitStatusExt, process::Command, rc::Rc, time::Duration};
use tress_core::{Reactor, Signal, SignalHandle, error::CannotCatch};
use tress_os::Mio;

/// Set in a process of its own, to what it plays.
const ROLE: &str = "TRESS_SIGNALS_ROLE";

fn reactor() -> Reactor {
    Reactor::with(Mio::new().expect("epoll works"))
}

fn raise(signal: SystemSignal) {
    kill_process(getpid(), signal).expect("it is our own");
}

/// Without a timeout: were it not woken, it would wait for ever.
#[test]
fn a_waiting_loop_is_woken() {
    let _none = Leftovers::none();
    let reactor = reactor();
    let handle = reactor.on_signal(Signal::Usr1, |reactor| reactor.stop().expect("it runs"));
    let _handle = handle.expect("it can be caught");
    let me = std::process::id().to_string();
    let told = Rc::new(Cell::new(None));
    let place = Rc::clone(&told);
    reactor.call_when_running(move || {
        // By another process, which comes when this one waits, or before.
        let shell = Command::new("sh")
            .args(["-c", "kill -USR1 \"$0\"", &me])
            .spawn();
        place.set(Some(shell.expect("there is a shell")));
    });
    reactor.run().expect("the driver works");
    let mut shell = told.take().expect("it was started");
    assert!(shell.wait().expect("it is our child").success());
}

#[test]
fn every_reactor_gets_it() {
    let _none = Leftovers::none();
    let count = Rc::new(Cell::new(0));
    let reactors = [reactor(), reactor()];
    let handles = [0, 1].map(|index: usize| {
        let count = Rc::clone(&count);
        reactors[index].on_signal(Signal::Usr2, move |_| count.set(count.get() + 1))
    });
    raise(SystemSignal::USR2);
    for reactor in &reactors {
        reactor.turn(None).expect("the driver works");
        reactor
            .turn(Some(Duration::ZERO))
            .expect("the driver works");
    }
    assert_eq!(count.get(), 2);
    let [one, other] = handles.map(|handle| handle.expect("it can be caught"));
    drop(one);
    raise(SystemSignal::USR2);
    reactors[1].turn(None).expect("the driver works");
    reactors[1]
        .turn(Some(Duration::ZERO))
        .expect("the driver works");
    assert_eq!(count.get(), 3);
    drop(other);
}

/// Under any of its names.
#[test]
fn what_cannot_be_caught_is_told() {
    let _none = Leftovers::none();
    let reactor = reactor();
    for (signal, text) in [
        (Signal::Number(9), "the system lets no program catch it"),
        (Signal::Number(19), "the system lets no program catch it"),
        (
            Signal::Segv,
            "it says that the program is broken, which cannot go on",
        ),
        (
            Signal::Ill,
            "it says that the program is broken, which cannot go on",
        ),
        (
            Signal::Number(8),
            "it says that the program is broken, which cannot go on",
        ),
        // The C library's own.
        (Signal::Number(32), "Invalid argument (os error 22)"),
    ] {
        let failure = reactor.on_signal(signal, |_| ()).expect_err("it cannot");
        let cannot = failure.check::<CannotCatch>().expect("it is that error");
        assert_eq!(cannot.error.to_string(), text, "{signal}");
    }
    let known = reactor.on_signal(Signal::Number(12), |_| ());
    drop(known.expect("it is USR2"));
}

/// The signal's own end of a process that plays this role.
#[track_caller]
fn check(role: &str, expected: Option<i32>) {
    let program = std::env::current_exe().expect("this program has a path");
    let status = Command::new("sh")
        // As `nohup` does.
        .args([
            "-c",
            "test \"$1\" = ignored && trap '' USR1; exec \"$0\" --exact play --nocapture",
        ])
        .arg(program)
        .arg(role)
        .env(ROLE, role)
        .output()
        .expect("there is a shell")
        .status;
    assert_eq!(status.signal(), expected, "{role}: {status}");
    assert_eq!(status.success(), expected.is_none(), "{role}: {status}");
}

#[test]
fn a_signal_nobody_handles_does_what_it_did() {
    let _none = Leftovers::none();
    check("dropped", Some(10));
    check("reactor dropped", Some(10));
    check("handled again", None);
    check("ignored", None);
}

/// No test: what the processes above do.
#[test]
fn play() {
    let _none = Leftovers::none();
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let reactor = reactor();
    let handle = caught(&reactor);
    match &*role {
        "reactor dropped" => {
            drop(reactor);
            raise(SystemSignal::USR1);
            drop(handle);
        }
        "handled again" => {
            drop(handle);
            drop(caught(&reactor));
        }
        _ => {
            drop(handle);
            raise(SystemSignal::USR1);
        }
    }
}

/// A handler that has been called once. What wakes the loop may come a turn before the call, so one turn is not enough;
/// and a turn that makes the call at its beginning has nothing left to wait for.
fn caught(reactor: &Reactor) -> SignalHandle {
    let called = Rc::new(Cell::new(false));
    let place = Rc::clone(&called);
    let handle = reactor.on_signal(Signal::Usr1, move |_| place.set(true));
    raise(SystemSignal::USR1);
    while !called.get() {
        let longest = Duration::from_millis(10);
        reactor.turn(Some(longest)).expect("the driver works");
    }
    handle.expect("it can be caught")
}
