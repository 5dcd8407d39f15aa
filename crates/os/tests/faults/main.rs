//! Faults at every system call: each scenario is played once to count its calls, and then once more for each of them
//! and each way it can go wrong. Nothing may hang, spin or leak, and every connection is lost exactly once.
#![expect(clippy::print_stderr, reason = "how many there were, and which failed")]

mod actor;
mod gram;
mod local;
mod scenarios;
mod stage;

use stage::{Kind, Outcome, Scenario, run};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};
use tress_os::seam::{
    Call,
    faults::{Fault, Plan},
};

/// `EINTR`, `EAGAIN`, `EPIPE`, `ECONNRESET`, `ENOBUFS`, `ENOMEM`, `ETIMEDOUT`.
const ERRORS: [i32; 7] = [
    libc::EINTR,
    libc::EAGAIN,
    libc::EPIPE,
    libc::ECONNRESET,
    libc::ENOBUFS,
    libc::ENOMEM,
    libc::ETIMEDOUT,
];
/// So many failures are shown.
const SHOWN: usize = 40;

#[derive(Default)]
struct Total {
    triples: usize,
    hangs: usize,
    leaks: usize,
    wrong: Vec<String>,
}

/// One test, alone in its process: what it leaves open is counted.
#[test]
fn no_fault_of_a_system_call_hangs_spins_or_leaks() {
    let directory = directory();
    let mut total = Total::default();
    for scenario in scenarios::SCENARIOS.iter().chain(local::SCENARIOS) {
        for &kind in scenario.kinds {
            let start = Instant::now();
            let before = total.triples;
            every_fault(kind, scenario, &directory, &mut total);
            eprintln!(
                "{kind:?} {}: {} triples, {:?}",
                scenario.name,
                total.triples - before,
                start.elapsed()
            );
        }
    }
    std::fs::remove_dir_all(&directory).ok();
    eprintln!(
        "{} triples, {} hangs, {} leaks",
        total.triples, total.hangs, total.leaks
    );
    for wrong in total.wrong.iter().take(SHOWN) {
        eprintln!("{wrong}");
    }
    assert!(
        total.wrong.is_empty(),
        "{} runs went wrong",
        total.wrong.len()
    );
}

fn every_fault(kind: Kind, scenario: &Scenario, directory: &PathBuf, total: &mut Total) {
    let plain = run(kind, scenario, directory, None);
    note(
        total,
        &format!("{kind:?} {} without a fault", scenario.name),
        &plain,
    );
    if plain.disturbed > 0 {
        total.wrong.push(format!(
            "{kind:?} {}: disturbed without a fault",
            scenario.name
        ));
    }
    for (&call, made) in &plain.calls.made {
        for (number, &is_divisible) in (1..).zip(made) {
            for fault in faults_of(call, is_divisible) {
                let plan = Plan {
                    call,
                    number,
                    fault,
                };
                let outcome = run(kind, scenario, directory, Some(plan));
                // With threads and two ends not every run makes the same calls.
                total.triples += usize::from(outcome.calls.is_fulfilled);
                let what = format!(
                    "{kind:?} {}: {call:?} number {number}, {}",
                    scenario.name,
                    name(fault)
                );
                note(total, &what, &outcome);
                if is_harmless(scenario, call, fault) && outcome.disturbed > 0 {
                    total.wrong.push(format!("{what}: it has ended something"));
                }
            }
        }
    }
}

/// Every way such a call can go wrong.
fn faults_of(call: Call, is_divisible: bool) -> impl Iterator<Item = Fault> {
    let makes = matches!(
        call,
        Call::Accept | Call::Dup | Call::EpollCreate | Call::EventFd | Call::Open | Call::Socket
    );
    let shortage = [libc::EMFILE, libc::ENFILE].map(Fault::Error);
    let shortage = shortage.into_iter().filter(move |_| makes);
    let short = is_divisible.then_some(Fault::Short);
    let errors = ERRORS.map(Fault::Error).into_iter();
    errors.chain(shortage).chain(short)
}

/// Whether whoever is connected must not notice.
fn is_harmless(scenario: &Scenario, call: Call, fault: Fault) -> bool {
    let Fault::Error(error) = fault else {
        return true;
    };
    let is_about_bytes = matches!(
        call,
        Call::Recv
            | Call::Recvmmsg
            | Call::Recvmsg
            | Call::Send
            | Call::Sendmmsg
            | Call::Sendmsg
            | Call::Writev
    );
    match call {
        _ if error == libc::EINTR => true,
        // Who closes asks once whether something is unread, and must believe the answer.
        _ if is_about_bytes => error == libc::EAGAIN && scenario.name != scenarios::UNREAD,
        // The latter are about a peer that has gone.
        Call::Accept => {
            [libc::EAGAIN, libc::EPIPE, libc::ECONNRESET, libc::ETIMEDOUT].contains(&error)
        }
        Call::EpollWait | Call::IoUringEnter => {
            [libc::EAGAIN, libc::ENOMEM, libc::ENOBUFS].contains(&error)
        }
        // They are made again.
        Call::AsyncCancel | Call::PollAdd | Call::Timeout => true,
        _ => false,
    }
}

/// The first that is wrong is shown, and all are counted.
fn note(total: &mut Total, what: &str, outcome: &Outcome) {
    let any = |words: &[&str]| {
        let mut wrong = outcome.wrong.iter();
        usize::from(wrong.any(|wrong| words.iter().any(|word| wrong.starts_with(word))))
    };
    total.hangs += any(&["hang", "spin"]);
    total.leaks += any(&["leak"]);
    if let Some(wrong) = outcome.wrong.first() {
        total.wrong.push(format!("{what}: {wrong}"));
    }
}

fn name(fault: Fault) -> String {
    match fault {
        Fault::Error(error) => std::io::Error::from_raw_os_error(error).to_string(),
        Fault::Short => "short".to_owned(),
    }
}

fn directory() -> PathBuf {
    let path =
        Path::new(&std::env::temp_dir()).join(format!("tress-faults-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a directory can be made");
    path
}
