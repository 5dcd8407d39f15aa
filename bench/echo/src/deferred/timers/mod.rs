//! Timers: what adding, cancelling and firing one costs, what a pending one occupies, and what is left of a million.
//!
//! Each measurement is a process of its own, so that memory starts fresh; processes of all peers take turns. Every peer
//! follows the same plan and its clock is set by hand, so none reads the system's clock. Where a comparison cannot
//! be even, it is to the peer's advantage: see the peers.

mod of_tokio;
mod of_tress;

use super::{Bench, Sizes, TRESS};
use crate::compile;
use crate::lines::{self, Asker};
use crate::measure::{cpu_during, number};
use crate::proc::resident_bytes;
use crate::slices::{Samples, alternate};
use of_tokio::TokioTimers;
use of_tress::TressTimers;
use rustix::process::Signal;
use std::io;
use std::process::Command;
use std::time::Duration;

/// Deadlines lie up to so many milliseconds ahead: ten minutes.
const SPREAD_MS: u64 = 600_000;
/// Jumps of the clock in which all deadlines pass.
const JUMPS: u32 = 100;
/// How far each goes.
const JUMP: Duration = Duration::from_millis(SPREAD_MS / JUMPS as u64);

/// Of ten timers so many are cancelled.
const CANCELLED_OF_TEN: usize = 9;

/// Timers of one peer, which all do as they are asked in this order.
trait Timers {
    /// Adds one for each of these delays, milliseconds from now.
    fn add(&mut self, delays: &[u32]);
    /// Cancels these, by their place in the list of delays.
    fn cancel(&mut self, places: &[u32]);
    /// Lets this much time pass and fires what is due.
    fn advance(&mut self, by: Duration);
    /// How many have fired.
    fn fired(&self) -> usize;
    /// Gives back whatever is held for them.
    fn let_go(&mut self);
}

/// The same random numbers for every peer; the peer in C has a copy of this.
struct Plan {
    delays: Vec<u32>,
    /// All places in random order. The first nine in ten are cancelled.
    order: Vec<u32>,
}

impl Plan {
    fn new(count: u32) -> Self {
        let mut random = XorShift(0x9e37_79b9_7f4a_7c15);
        let delays = (0..count).map(|_| 1 + random.below(SPREAD_MS)).collect();
        let mut order: Vec<u32> = (0..count).collect();
        for last in (1..order.len()).rev() {
            let other = random.below(last as u64 + 1);
            order.swap(last, other as usize);
        }
        Self { delays, order }
    }

    fn cancelled(&self) -> &[u32] {
        &self.order[..self.order.len() / 10 * CANCELLED_OF_TEN]
    }
}

/// Marsaglia's generator of 64 bits.
struct XorShift(u64);

impl XorShift {
    /// A number below `bound`, which is far below 2^32: the bias is of no account.
    #[expect(clippy::cast_possible_truncation, reason = "the bound fits")]
    fn below(&mut self, bound: u64) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound) as u32
    }
}

/// The metrics, in the order in which they are found out.
const METRICS: [&str; 6] = [
    "timer_add_ns",
    "timer_bytes",
    "timer_cancel_ns",
    "timer_fire_ns",
    "timer_bytes_left",
    "timer_bytes_left_percent",
];

/// Fills `timer_add_ns`, `timer_cancel_ns`, `timer_fire_ns`, `timer_bytes`, `timer_bytes_left` and the last as a part of
/// what all timers occupied, `timer_bytes_left_percent`.
pub fn measure(bench: &mut Bench) {
    let count = bench.sizes.timers;
    let trim = compile::c(
        &bench.target,
        "trim.so",
        include_str!("../../../peers/trim.c"),
        &["-shared", "-fPIC"],
    );
    let trim = match trim {
        Ok(library) => library,
        Err(error) => return bench.report.skip("all", "timers", &error.to_string()),
    };
    let commands = [
        (TRESS, own("tress", count)),
        ("tokio", own("tokio", count)),
        ("libuv", libuv(bench, count)),
    ];
    let mut peers = Vec::new();
    for (who, command) in commands {
        bench.report.row(who);
        match command {
            Ok(mut command) => {
                command.env("LD_PRELOAD", &trim);
                peers.push((who.to_owned(), (who, command)));
            }
            Err(error) => bench.report.skip(who, "timers", &error.to_string()),
        }
    }
    measure_in_turn(bench, &mut peers);
}

fn measure_in_turn(bench: &mut Bench, peers: &mut Vec<(String, (&str, Command))>) {
    let Sizes {
        timer_rounds,
        timers,
        ..
    } = bench.sizes;
    let cores = bench.cores;
    let mut all = METRICS.map(|metric| (metric, Samples::default()));
    let report = &mut bench.report;
    let live = |peer: &mut (&str, Command), round: usize| {
        let (who, command) = peer;
        let mut peer = cores.on_server_core(|| Asker::open(command))?;
        let figures = live_and_die(&mut peer, timers)?;
        for ((_, samples), figure) in all.iter_mut().zip(figures) {
            samples.note(who, round, Some(figure));
        }
        Ok(figures[0])
    };
    drop(alternate(report, "timers", timer_rounds, peers, live));
    // Of a peer that failed in a later round nothing is to be quoted.
    let quotable = |who: &str| peers.iter().any(|(name, _)| name == who);
    for (metric, samples) in all {
        samples.only(quotable).into_report(report, metric);
    }
}

/// One process from start to end: the figures in the order of [`METRICS`].
fn live_and_die(peer: &mut Asker, count: usize) -> io::Result<[f64; 6]> {
    let cancelled = count / 10 * CANCELLED_OF_TEN;
    let before = resident_bytes(peer.pid())? as f64;
    let add = nanos_each(peer, "add", count)?;
    let all = resident_bytes(peer.pid())? as f64 - before;
    let cancel = nanos_each(peer, "cancel", cancelled)?;
    let fire = nanos_each(peer, "fire", count - cancelled)?;
    let fired = peer.ask_number("fired")?;
    if fired != (count - cancelled) as u64 {
        return Err(io::Error::other(format!("{fired} timers fired")));
    }
    order(peer, "let go")?;
    // The allocator keeps most of what was freed, whoever freed it. This asks what the peer keeps.
    peer.signal(Signal::USR1)?;
    peer.ask("fired")?;
    let left = resident_bytes(peer.pid())? as f64 - before;
    let percent = 100.0 * left / all;
    Ok([add, all / number(count), cancel, fire, left, percent])
}

/// Nanoseconds of the processor's time that each of so many timers takes.
fn nanos_each(peer: &mut Asker, what: &str, count: usize) -> io::Result<f64> {
    let (nanos, ()) = cpu_during(peer.pid(), || order(peer, what))?;
    Ok(nanos / number(count))
}

fn order(peer: &mut Asker, what: &str) -> io::Result<()> {
    match peer.ask(what)?.as_str() {
        "done" => Ok(()),
        reason => Err(io::Error::other(reason)),
    }
}

fn own(kind: &str, count: usize) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["timers", kind, &count.to_string()]);
    Ok(command)
}

fn libuv(bench: &Bench, count: usize) -> io::Result<Command> {
    let source = include_str!("../../../peers/libuv_timers.c");
    let program = compile::c(&bench.target, "libuv_timers", source, &["-luv"])?;
    let mut command = Command::new(program);
    command.arg(count.to_string());
    Ok(command)
}

/// `tress-bench timers PEER COUNT`: does what each line says, `add`, `cancel`, `fire`, `let go`, in this order, and
/// answers `done`; the answer to `fired` is how many have.
///
/// # Errors
/// There is no such peer, or nobody listens to the answers.
pub fn serve(peer: Option<&str>, count: Option<&str>) -> io::Result<()> {
    let wrong = || io::Error::other("timers tress|tokio COUNT");
    let count: u32 = count.and_then(|word| word.parse().ok()).ok_or_else(wrong)?;
    let mut timers: Box<dyn Timers> = match peer {
        Some("tress") => Box::new(TressTimers::new()),
        Some("tokio") => Box::new(TokioTimers::new()?),
        _ => return Err(wrong()),
    };
    let plan = Plan::new(count);
    lines::serve(|question| answer(timers.as_mut(), &plan, question))
}

fn answer(timers: &mut dyn Timers, plan: &Plan, question: &str) -> io::Result<String> {
    match question {
        "add" => timers.add(&plan.delays),
        "cancel" => timers.cancel(plan.cancelled()),
        "fire" => (0..JUMPS).for_each(|_| timers.advance(JUMP)),
        "let go" => timers.let_go(),
        "fired" => return Ok(timers.fired().to_string()),
        _ => return Err(io::Error::other("add, cancel, fire, let go or fired")),
    }
    Ok("done".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_is_within_its_bounds_and_cancels_nobody_twice() {
        let plan = Plan::new(1_000);
        assert!(plan.delays.iter().all(|ms| (1..=600_000).contains(ms)));
        assert!(plan.delays.iter().any(|ms| *ms < 10_000));
        assert!(plan.delays.iter().any(|ms| *ms > 590_000));
        assert_eq!(plan.cancelled().len(), 900);
        assert_ne!(&plan.order[..3], [0, 1, 2]);
        let mut order = plan.order;
        order.sort_unstable();
        assert!(order.into_iter().eq(0..1_000));
    }

    #[track_caller]
    fn check(mut timers: impl Timers) {
        let plan = Plan::new(1_000);
        let talk = [
            ("fired", "0"),
            ("add", "done"),
            ("fired", "0"),
            ("cancel", "done"),
            ("fire", "done"),
            ("fired", "100"),
            ("let go", "done"),
        ];
        for (question, expect) in talk {
            let said = answer(&mut timers, &plan, question).unwrap();
            assert_eq!(said, expect, "{question}");
        }
        assert!(answer(&mut timers, &plan, "nonsense").is_err());
    }

    #[test]
    fn an_order_that_is_not_done_fails_with_the_answer() {
        let script = "echo ready; while read -r line; do echo \"$line\"; done";
        let mut peer = Asker::open(Command::new("sh").args(["-c", script])).unwrap();
        order(&mut peer, "done").unwrap();
        let error = order(&mut peer, "no memory").unwrap_err();
        assert_eq!(error.to_string(), "no memory");
    }

    #[test]
    fn every_peer_fires_what_was_not_cancelled() {
        check(TressTimers::new());
        check(TokioTimers::new().unwrap());
    }
}
