//! How often one place in the program may log. Knows no output; the clock is the caller's.

use std::{collections::BTreeMap, fmt, time::Duration};
use tracing::Metadata;
use tress_core::Time;

/// So many lines of one cause in this time; with none there is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) most: u64,
    pub(super) period: Duration,
}

/// Where something is logged, and for which module. A program has only so many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cause {
    target: &'static str,
    file: Option<&'static str>,
    line: Option<u32>,
}

impl Cause {
    pub(super) fn of(metadata: &Metadata<'static>) -> Self {
        Self {
            target: metadata.target(),
            file: metadata.file(),
            line: metadata.line(),
        }
    }
}

/// What was logged in the present period of each cause.
#[derive(Debug)]
pub(super) struct Limiter {
    rate: Rate,
    causes: BTreeMap<Cause, Logged>,
}

#[derive(Debug)]
struct Logged {
    since: Time,
    lines: u64,
    left_out: u64,
}

/// So many lines of a cause were left out, of which nothing was said yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    cause: Cause,
    lines: u64,
    rate: Rate,
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is logged; and before it this is said.
    Logged(Option<LeftOut>),
    /// It is left out, as the first of its period or not. So long it will be until that ends.
    LeftOut { first: bool, left: Duration },
}

impl Limiter {
    pub(super) fn new(rate: Rate) -> Self {
        let causes = BTreeMap::new();
        Self { rate, causes }
    }

    /// From now on; what was counted is forgotten, and what is to be said of it comes back.
    pub(super) fn change(&mut self, rate: Rate) -> Vec<LeftOut> {
        if rate == self.rate {
            return Vec::new();
        }
        let left = self.all();
        *self = Self::new(rate);
        left
    }

    pub(super) fn judge(&mut self, cause: Cause, now: Time) -> Verdict {
        let rate = self.rate;
        if rate.most == 0 {
            return Verdict::Logged(None);
        }
        let logged = self.causes.entry(cause).or_insert(Logged {
            since: now,
            lines: 0,
            left_out: 0,
        });
        let mut left = None;
        if now.since(logged.since) >= rate.period {
            left = logged.taken(cause, rate);
            (logged.since, logged.lines) = (now, 0);
        }
        if logged.lines < rate.most {
            logged.lines += 1;
            return Verdict::Logged(left);
        }
        logged.left_out += 1;
        Verdict::LeftOut {
            first: logged.left_out == 1,
            left: rate.period.saturating_sub(now.since(logged.since)),
        }
    }

    /// What is to be said of periods that have ended.
    pub(super) fn due(&mut self, now: Time) -> Vec<LeftOut> {
        let rate = self.rate;
        self.take(|logged| now.since(logged.since) >= rate.period)
    }

    /// What is to be said of all.
    pub(super) fn all(&mut self) -> Vec<LeftOut> {
        self.take(|_| true)
    }

    fn take(&mut self, wanted: impl Fn(&Logged) -> bool) -> Vec<LeftOut> {
        let rate = self.rate;
        let causes = self.causes.iter_mut();
        let wanted = causes.filter(|(_, logged)| wanted(logged));
        wanted
            .filter_map(|(cause, logged)| logged.taken(*cause, rate))
            .collect()
    }
}

impl Logged {
    fn taken(&mut self, cause: Cause, rate: Rate) -> Option<LeftOut> {
        let lines = std::mem::take(&mut self.left_out);
        (lines > 0).then_some(LeftOut { cause, lines, rate })
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cause, lines, rate } = self;
        let Cause { target, file, line } = cause;
        write!(f, "left out {lines} lines of `{target}`")?;
        if let (Some(file), Some(line)) = (file, line) {
            write!(f, " from {file}:{line}")?;
        }
        let Rate { most, period } = rate;
        write!(f, ", which may log {most} in {period:?} (`log.rate`)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn cause(line: u32) -> Cause {
        Cause {
            target: "tress",
            file: Some("a.rs"),
            line: Some(line),
        }
    }

    const fn at(milliseconds: u64) -> Time {
        Time(milliseconds * 1_000_000)
    }

    fn limiter(most: u64) -> Limiter {
        let period = Duration::from_secs(1);
        Limiter::new(Rate { most, period })
    }

    /// Whether it is logged, with what is said before it in brackets.
    #[track_caller]
    fn check(limiter: &mut Limiter, line: u32, now: Time, expected: &str) {
        let found = match limiter.judge(cause(line), now) {
            Verdict::Logged(None) => "logged".to_owned(),
            Verdict::Logged(Some(left)) => format!("[{}] logged", left.lines),
            Verdict::LeftOut { first, left } => format!("left out {first} {left:?}"),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn so_many_in_a_period_and_each_cause_for_itself() {
        let mut limiter = limiter(2);
        check(&mut limiter, 1, at(0), "logged");
        check(&mut limiter, 1, at(10), "logged");
        check(&mut limiter, 1, at(999), "left out true 1ms");
        check(&mut limiter, 1, at(999), "left out false 1ms");
        check(&mut limiter, 2, at(999), "logged");
        check(&mut limiter, 1, at(1000), "[2] logged");
        check(&mut limiter, 1, at(1001), "logged");
        check(&mut limiter, 1, at(1002), "left out true 998ms");
        check(&mut limiter, 1, at(5000), "[1] logged");
        assert_eq!(limiter.all(), []);
    }

    #[test]
    fn what_was_left_out_is_said_once() {
        let mut limiter = limiter(1);
        for now in [0, 1, 2] {
            limiter.judge(cause(1), at(now));
        }
        assert_eq!(limiter.due(at(999)), []);
        let due = limiter.due(at(1000));
        let text = due.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            text,
            ["left out 2 lines of `tress` from a.rs:1, which may log 1 in 1s (`log.rate`)"]
        );
        assert_eq!(limiter.due(at(1000)), []);
        check(&mut limiter, 1, at(1000), "logged");
        limiter.judge(cause(1), at(1000));
        let rate = Rate {
            most: 5,
            ..limiter.rate
        };
        assert_eq!(limiter.change(rate).len(), 1);
        assert_eq!(limiter.change(rate), []);
    }

    #[test]
    fn without_a_limit_nothing_is_kept() {
        let mut limiter = limiter(0);
        for now in 0..100 {
            check(&mut limiter, 1, at(now), "logged");
        }
        assert!(limiter.causes.is_empty());
    }
}
