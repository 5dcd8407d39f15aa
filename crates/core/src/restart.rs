//! `RestartPolicy`: whether what has ended is started again, and when. Reads no clock, starts nothing, waits for nothing.
//!
//! What lived shorter than a threshold waits before it is started again, each time twice as long as before; what lived
//! longer is started again at once. An intensity bounds how often that happens before it is given up.
//! Source: Twisted's `runner/procmon.py` for threshold and delays; Erlang's supervisors for the intensity.

use crate::time::Time;
use std::{collections::VecDeque, fmt, time::Duration};

/// What is started again, when, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// After which ends.
    pub when: RestartWhen,
    /// What lived at least so long is started again at once, and the next delay is the shortest.
    pub threshold: Duration,
    /// How long what lived shorter waits the first time; doubled each time in a row. Less than 1 ms counts as 1 ms.
    pub min_restart_delay: Duration,
    /// No delay is longer; less than the shortest counts as that.
    pub max_restart_delay: Duration,
    /// How often it is started again before it is given up; `None`: as often as it takes.
    pub intensity: Option<Intensity>,
}

/// After which ends something is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestartWhen {
    /// After each.
    #[default]
    Always,
    /// After each but success: code 0 of a process.
    OnFailure,
    /// After none.
    Never,
}

/// At most so many restarts within so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intensity {
    /// A number of restarts; one more is not made.
    pub restarts: u32,
    /// Any time of this length.
    pub period: Duration,
}

impl fmt::Display for Intensity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} times within {:?}", self.restarts, self.period)
    }
}

/// A delay in words, for what is logged: `at once`, `in 2s`.
#[derive(Clone, Copy, Debug)]
pub struct Delay(pub Duration);

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Duration::ZERO => f.write_str("at once"),
            delay => write!(f, "in {delay:?}"),
        }
    }
}

impl Default for RestartPolicy {
    /// Twisted's numbers: after each end, a threshold of 1 s, delays from 1 s to an hour, never given up.
    fn default() -> Self {
        Self {
            when: RestartWhen::Always,
            threshold: Duration::from_secs(1),
            min_restart_delay: Duration::from_secs(1),
            max_restart_delay: Duration::from_secs(3600),
            intensity: None,
        }
    }
}

/// What comes after an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is started again after this time.
    Restart(Duration),
    /// It has ended as it was to.
    Leave,
    /// It has failed too often, and is started again only when somebody says so.
    GiveUp(Intensity),
}

/// What has come of a policy so far, for one thing that is started again and again.
#[derive(Clone, Debug)]
pub struct Restarts {
    policy: RestartPolicy,
    /// Before the next restart of what lived too short.
    delay: Duration,
    /// When it was started again, as far back as the period of the intensity goes: never more than that allows.
    recent: VecDeque<Time>,
    total: u64,
}

impl Restarts {
    /// None yet.
    #[must_use]
    pub fn new(policy: RestartPolicy) -> Self {
        Self {
            policy,
            delay: shortest(&policy),
            recent: VecDeque::new(),
            total: 0,
        }
    }

    /// It was started at `started` and has ended at `now`, or could not be started at all (then both are the same): what comes
    /// next. A restart counts from here on.
    pub fn ended(&mut self, started: Time, now: Time, success: bool) -> Next {
        match (self.policy.when, success) {
            (RestartWhen::Always, _) | (RestartWhen::OnFailure, false) => {}
            (RestartWhen::OnFailure, true) | (RestartWhen::Never, _) => return Next::Leave,
        }
        let delay = if now.since(started) < self.policy.threshold {
            let longest = self.policy.max_restart_delay.max(shortest(&self.policy));
            let doubled = self.delay.saturating_mul(2).min(longest);
            std::mem::replace(&mut self.delay, doubled)
        } else {
            self.delay = shortest(&self.policy);
            Duration::ZERO
        };
        if let Some(intensity) = self.policy.intensity {
            let at = now + delay;
            self.recent
                .retain(|before| at.since(*before) < intensity.period);
            if self.recent.len() >= intensity.restarts as usize {
                return Next::GiveUp(intensity);
            }
            self.recent.push_back(at);
        }
        self.total += 1;
        Next::Restart(delay)
    }

    /// Somebody has started it by hand: what failed before counts no more. The total stays.
    pub fn begin_anew(&mut self) {
        self.delay = shortest(&self.policy);
        self.recent.clear();
    }

    /// How many restarts were decided so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }
}

fn shortest(policy: &RestartPolicy) -> Duration {
    policy.min_restart_delay.max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RestartPolicy = RestartPolicy {
        when: RestartWhen::Always,
        threshold: Duration::from_secs(1),
        min_restart_delay: Duration::from_secs(1),
        max_restart_delay: Duration::from_secs(10),
        intensity: None,
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// What comes after lives of these many milliseconds, each begun when the policy said so.
    #[track_caller]
    fn check(policy: RestartPolicy, lives: &[u64], expected: &[Next]) {
        let mut restarts = Restarts::new(policy);
        let mut now = Time(1);
        let mut all = Vec::new();
        for life in lives {
            let started = now;
            now = now + Duration::from_millis(*life);
            let next = restarts.ended(started, now, false);
            if let Next::Restart(delay) = next {
                now = now + delay;
            }
            all.push(next);
        }
        assert_eq!(all, expected);
        let restarted = expected
            .iter()
            .filter(|next| matches!(next, Next::Restart(_)));
        assert_eq!(restarts.total(), restarted.count() as u64);
    }

    fn after(seconds: &[u64]) -> Vec<Next> {
        let delays = seconds.iter().map(|s| Duration::from_secs(*s));
        delays.map(Next::Restart).collect()
    }

    #[test]
    fn short_lives_wait_twice_as_long_each_time_up_to_the_longest_delay() {
        check(POLICY, &[0, 999, 1, 0, 0, 0], &after(&[1, 2, 4, 8, 10, 10]));
    }

    #[test]
    fn a_life_of_the_threshold_is_long_enough_and_starts_the_delays_again() {
        check(POLICY, &[0, 0, 1000, 999, 0], &after(&[1, 2, 0, 1, 2]));
    }

    #[test]
    fn delays_that_make_no_sense_are_no_busy_loop() {
        let policy = RestartPolicy {
            min_restart_delay: Duration::ZERO,
            max_restart_delay: Duration::ZERO,
            ..POLICY
        };
        let least = Next::Restart(Duration::from_millis(1));
        check(policy, &[0, 0], &[least, least]);
        let policy = RestartPolicy {
            min_restart_delay: Duration::MAX,
            max_restart_delay: seconds(1),
            ..POLICY
        };
        let longest = Next::Restart(Duration::MAX);
        check(policy, &[0, 0], &[longest, longest]);
    }

    #[test]
    fn one_restart_more_than_the_intensity_allows_is_not_made() {
        let intensity = Intensity {
            restarts: 3,
            period: seconds(10),
        };
        let policy = RestartPolicy {
            intensity: Some(intensity),
            ..POLICY
        };
        let up = Next::GiveUp(intensity);
        // Restarts at 1, 3 and 7 s: the fourth would come at 15, when the first and the second are history.
        check(policy, &[0; 5], &after(&[1, 2, 4, 8, 10]));
        let mut expected = after(&[0, 0, 0]);
        expected.push(up);
        check(policy, &[3000, 3000, 3000, 3000], &expected);
        // One that is exactly a period ago does not count.
        check(policy, &[1000, 5000, 4000, 1000], &after(&[0, 0, 0, 0]));
        let none = RestartPolicy {
            intensity: Some(Intensity {
                restarts: 0,
                ..intensity
            }),
            ..POLICY
        };
        check(
            none,
            &[5000],
            &[Next::GiveUp(Intensity {
                restarts: 0,
                ..intensity
            })],
        );
    }

    #[test]
    fn what_is_kept_is_bounded_by_the_intensity() {
        let intensity = Intensity {
            restarts: 2,
            period: Duration::MAX,
        };
        let mut restarts = Restarts::new(RestartPolicy {
            intensity: Some(intensity),
            ..POLICY
        });
        for now in 0..10 {
            restarts.ended(Time(now), Time(now), false);
        }
        assert_eq!(restarts.recent.len(), 2);
        restarts.begin_anew();
        let next = restarts.ended(Time(0), Time(0), false);
        assert_eq!(next, Next::Restart(seconds(1)), "nothing counts any more");
        assert_eq!(restarts.total(), 3);
    }

    #[test]
    fn success_may_be_the_end() {
        for (when, success, expected) in [
            (RestartWhen::Always, true, Next::Restart(seconds(1))),
            (RestartWhen::OnFailure, true, Next::Leave),
            (RestartWhen::OnFailure, false, Next::Restart(seconds(1))),
            (RestartWhen::Never, true, Next::Leave),
            (RestartWhen::Never, false, Next::Leave),
        ] {
            let mut restarts = Restarts::new(RestartPolicy { when, ..POLICY });
            let next = restarts.ended(Time(0), Time(0), success);
            assert_eq!(next, expected, "{when:?} {success}");
        }
    }
}
