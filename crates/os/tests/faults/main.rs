//! Faults at every system call: each scenario is played once to count its calls, and then once more for each of them
//! and each way it can go wrong. Nothing may hang, spin or leak, and every connection is lost exactly once.

mod actor;
mod gram;
mod local;
mod scenarios;
mod stage;
mod strace;

use stage::{Kind, Outcome, Scenario, run};
use std::{
    path::{Path, PathBuf},
    sync::Mutex,
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

/// One test at a time: what it leaves open is counted.
static ALONE_HERE: Mutex<()> = Mutex::new(());
/// Set to a scenario's name in a process of its own.
const ALONE: &str = "TRESS_FAULTS_ALONE";
/// Set to a word: only scenarios with that in their name.
const ONLY: &str = "TRESS_FAULTS_ONLY";
/// At least so many triples of scenario, call and fault, where there is io_uring.
const TRIPLES: usize = 10_000;

/// What `the_kernel_and_the_seam_agree` starts; in the whole run it does nothing.
#[test]
fn one_alone() {
    if let Ok(scenario) = std::env::var(ALONE) {
        let directory = directory();
        strace::play_alone(&scenario, &directory);
        std::fs::remove_dir_all(&directory).ok();
    }
}

#[test]
fn the_kernel_and_the_seam_agree() {
    let _alone = ALONE_HERE.lock();
    let directory = directory();
    let differences = strace::differences(&directory);
    std::fs::remove_dir_all(&directory).ok();
    match differences {
        Ok((count, differences)) => {
            eprintln!("{count} faults by the kernel and by the seam");
            assert!(differences.is_empty(), "{differences:#?}");
        }
        Err(reason) => eprintln!("skipped: {reason}"),
    }
}

#[test]
fn no_fault_of_a_system_call_hangs_spins_or_leaks() {
    let _alone = ALONE_HERE.lock();
    let directory = directory();
    let (lacks_uring, only) = (lacks_uring(), std::env::var(ONLY));
    if let Some(error) = &lacks_uring {
        eprintln!("skipped on io_uring: {error}");
    }
    let mut total = Total::default();
    for scenario in scenarios::SCENARIOS.iter().chain(local::SCENARIOS) {
        if only
            .as_ref()
            .is_ok_and(|only| !scenario.name.contains(only))
        {
            continue;
        }
        for &kind in scenario.kinds {
            if lacks_uring.is_some() && kind != Kind::Mio {
                continue;
            }
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
    assert!(
        lacks_uring.is_some() || only.is_ok() || total.triples >= TRIPLES,
        "only {} triples",
        total.triples
    );
}

fn every_fault(kind: Kind, scenario: &Scenario, directory: &Path, total: &mut Total) {
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
        Call::Read
            | Call::Recv
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

/// Why there is no io_uring, if there is none.
fn lacks_uring() -> Option<String> {
    #[cfg(all(feature = "uring", target_os = "linux"))]
    return tress_os::Uring::new().err().map(|error| error.to_string());
    #[cfg(not(all(feature = "uring", target_os = "linux")))]
    Some("it is not built in".to_owned())
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
