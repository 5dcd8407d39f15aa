//! `react`: exit codes, and what stands on stderr. Each program is this one again, in a process of its own.

#![cfg(all(test, feature = "mio"))]

use std::{
    env,
    process::{Command, ExitCode, Termination},
};
use tress::{Reacted, error::Exit, prelude::*};

const MARK: &str = "TRESS_REACT";

/// Runs `program` in a process of its own, which is this test again, up to the check of this name.
#[track_caller]
fn check(name: &str, program: impl FnOnce() -> Reacted, code: i32, stderr: &str) {
    if let Some(mark) = env::var_os(MARK) {
        if mark == name {
            end(program());
        }
        return;
    }
    let thread = std::thread::current();
    let test = thread.name().expect("libtest names its threads");
    let output = Command::new(env::current_exe().expect("this program has a path"))
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(MARK, name)
        .output()
        .expect("it starts");
    let said = String::from_utf8(output.stderr).expect("it is text");
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.starts_with(stderr), "{said}");
    let lines = usize::from(!stderr.is_empty());
    assert_eq!(said.lines().count(), lines, "{said}");
}

/// A test cannot return a code: it ends with that which the program would end with.
fn end(reacted: Reacted) -> ! {
    let code = reacted.report();
    let code = (0..=u8::MAX).find(|number| code == ExitCode::from(*number));
    std::process::exit(i32::from(code.expect("it is a number")));
}

#[test]
fn success_is_0() {
    let main = |reactor: Reactor| reactor.after(Duration::ZERO);
    check("success", || tress::react(main), 0, "");
}

#[test]
fn a_failure_is_1_and_stands_on_stderr_once() {
    let main = |reactor: Reactor| async move {
        reactor.after(Duration::ZERO).await?;
        Err(Failure::msg("no luck"))
    };
    check("failure", || tress::react(main), 1, "Error: no luck (at ");
}

#[test]
fn an_exit_is_its_code_and_nothing_is_said() {
    for code in [0, 3, 255] {
        let program = move || tress::react(move |_| Deferred::fail(Exit(code)));
        check(&format!("exit {code}"), program, i32::from(code), "");
    }
}

#[test]
fn stopped_before_the_end_is_0() {
    let main = |reactor: Reactor| async move {
        let own = reactor.clone();
        reactor.call_later(Duration::ZERO, move || own.stop());
        reactor.after(Duration::from_secs(3600)).await
    };
    check("stopped", || tress::react(main), 0, "");
}

#[test]
fn a_signal_to_stop_is_0() {
    for signal in ["INT", "TERM"] {
        let main = move |reactor: Reactor| async move {
            let kill = format!("kill -{signal} {}", std::process::id());
            Command::new("sh").args(["-c", &kill]).status()?;
            reactor.after(Duration::from_secs(3600)).await
        };
        check(signal, move || tress::react(main), 0, "");
    }
}

#[test]
fn the_result_can_be_had() {
    let result = tress::react(|_| Deferred::fail(Exit(3))).result();
    let failure = result.expect_err("it exits");
    assert_eq!(failure.check(), Some(&Exit(3)));
    assert!(tress::react(|_| async { Ok(()) }).result().is_ok());
}
