//! The seam tells the truth: what it makes of a call that fails is what comes of it when the kernel fails it, which
//! `strace` has it do. The program is this one, which plays a scenario once and says how everything in it ended.

use crate::{
    ALONE,
    scenarios::{self, ECHO, HALF_CLOSE},
    stage::{Kind, Scenario, run},
};
use std::{path::Path, process::Command};
use tress_os::seam::{
    Call,
    faults::{Fault, Plan},
};

/// What is in front of the line that says how everything ended.
const SAID: &str = "ENDED ";

/// A scenario, a call as the kernel and as the seam has it, how many of them come before the scenario, and an error. No
/// false `EAGAIN` where bytes are moved: `strace` does not see to it that the kernel tells of the socket again.
type Pair = (&'static str, &'static str, Call, u32, i32);
const PAIRS: &[Pair] = &[
    (ECHO, "recvfrom", Call::Recv, 0, libc::EINTR),
    (ECHO, "recvfrom", Call::Recv, 0, libc::ECONNRESET),
    (ECHO, "recvfrom", Call::Recv, 0, libc::ENOMEM),
    (ECHO, "sendto", Call::Send, 0, libc::EINTR),
    (ECHO, "sendto", Call::Send, 0, libc::EPIPE),
    (ECHO, "sendto", Call::Send, 0, libc::ENOBUFS),
    (ECHO, "accept4", Call::Accept, 0, libc::EINTR),
    (ECHO, "accept4", Call::Accept, 0, libc::ETIMEDOUT),
    (ECHO, "accept4", Call::Accept, 0, libc::EMFILE),
    (ECHO, "connect", Call::Connect, 0, libc::EINTR),
    (ECHO, "connect", Call::Connect, 0, libc::EAGAIN),
    (ECHO, "connect", Call::Connect, 0, libc::ETIMEDOUT),
    (ECHO, "bind", Call::Bind, 0, libc::ENOMEM),
    (ECHO, "listen", Call::Listen, 0, libc::ENOBUFS),
    (ECHO, "epoll_wait", Call::EpollWait, 0, libc::EINTR),
    (ECHO, "epoll_wait", Call::EpollWait, 0, libc::ENOMEM),
    (ECHO, "epoll_wait", Call::EpollWait, 0, libc::EPIPE),
    // The first one is for the waker.
    (ECHO, "epoll_ctl", Call::EpollCtl, 1, libc::ENOMEM),
    (HALF_CLOSE, "shutdown", Call::Shutdown, 0, libc::ENOBUFS),
];

/// How many of the calls of each pair fail, one in each run.
const NUMBERS: u32 = 3;

/// Plays all pairs both ways: how many there were, and what differs.
pub(crate) fn differences(directory: &Path) -> Result<(usize, Vec<String>), String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err("the names of the calls are those of Linux on x86_64".to_owned());
    }
    let mut differences = Vec::new();
    let mut count = 0;
    for &(name, by_kernel, call, earlier, error) in PAIRS {
        let scenario = named(name).expect("there is that scenario");
        for number in 1..=NUMBERS {
            let fault = Fault::Error(error);
            let plan = Plan {
                call,
                number,
                fault,
            };
            let expected = run(Kind::Mio, scenario, directory, Some(plan));
            if !expected.calls.is_fulfilled {
                continue;
            }
            count += 1;
            let inject = format!("inject={by_kernel}:error={error}:when={}", number + earlier);
            let said = traced(name, by_kernel, &inject)?;
            let expected = expected.ends.join("; ");
            if said != expected {
                differences.push(format!(
                    "{name}, {inject}: the seam gave {expected}, the kernel gave {said}"
                ));
            }
        }
    }
    Ok((count, differences))
}

/// What this program says when it plays a scenario, with a fault by the kernel.
fn traced(scenario: &str, call: &str, inject: &str) -> Result<String, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null"])
        .args(["-e", &format!("trace={call}"), "-e", inject])
        .arg(program)
        .args(["--exact", "one_alone", "--nocapture", "--test-threads=1"])
        .env(ALONE, scenario)
        .output();
    let output = output.map_err(|error| format!("strace cannot be run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find_map(|line| line.strip_prefix(SAID));
    line.map(str::to_owned)
        .ok_or_else(|| format!("strace may not trace: {said}"))
}

/// Plays this scenario once and says how everything ended.
#[expect(clippy::print_stderr, reason = "whoever started this reads it")]
pub(crate) fn play_alone(name: &str, directory: &Path) {
    if let Some(scenario) = named(name) {
        let outcome = run(Kind::Mio, scenario, directory, None);
        eprintln!("{SAID}{}", outcome.ends.join("; "));
    }
}

fn named(name: &str) -> Option<&'static Scenario> {
    let mut scenarios = scenarios::SCENARIOS.iter();
    scenarios.find(|scenario| scenario.name == name)
}
