//! `ReconnectPolicy`: how long to wait before the next attempt. Reads no clock and waits for nothing.

use std::time::Duration;

/// How long to wait between attempts: `min(initial_delay * factor ^ retry, max_delay)`, the first retry being number 0,
/// and then scattered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReconnectPolicy {
    /// Before the first retry. (Twisted multiplies first: there the first retry waits `factor` times as long.)
    pub initial_delay: Duration,
    /// Each retry waits this many times as long as the one before; less than 1 counts as 1.
    pub factor: f64,
    /// How much delays scatter around that, so that a thousand clients do not return at once.
    pub jitter: Jitter,
    /// No retry waits longer, but for [`Jitter::Added`].
    pub max_delay: Duration,
    /// Retries in a row before it gives up; `None` means never. A connection starts the count again.
    pub max_retries: Option<u32>,
}

/// How delays scatter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Jitter {
    /// Not at all.
    None,
    /// A random time from zero to this comes on top, also of the longest delay.
    Added(Duration),
    /// By a normal distribution whose standard deviation is this, relative to the delay. Never beyond the longest
    /// delay. (In Twisted it may exceed that.)
    Relative(f64),
}

impl Default for ReconnectPolicy {
    /// Twisted's numbers for a reconnecting factory: from 1 s to an hour; the factor is e, the jitter Planck's constant
    /// times the speed of light, per mole.
    fn default() -> Self {
        Self {
            initial_delay: Duration::from_secs(1),
            factor: std::f64::consts::E,
            jitter: Jitter::Relative(0.119_626_565_582),
            max_delay: Duration::from_secs(3600),
            max_retries: None,
        }
    }
}

impl ReconnectPolicy {
    /// Twisted's numbers for a [`ClientService`](super::ClientService) (`backoffPolicy`): from 1 s to a minute, half as
    /// long again each time, and up to a second on top.
    #[must_use]
    pub const fn service() -> Self {
        Self {
            initial_delay: Duration::from_secs(1),
            factor: 1.5,
            jitter: Jitter::Added(Duration::from_secs(1)),
            max_delay: Duration::from_secs(60),
            max_retries: None,
        }
    }

    /// How long to wait before this retry (the first is 0), given random bits; `None` when it gives up.
    pub(super) fn delay(&self, retry: u32, mut entropy: impl FnMut() -> u64) -> Option<Duration> {
        if self.max_retries.is_some_and(|most| retry >= most) {
            return None;
        }
        let delay = self.exact_delay(retry);
        Some(match self.jitter {
            Jitter::Added(most) => {
                let added = most.mul_f64(uniform(&mut entropy));
                self.within_max(delay).saturating_add(added)
            }
            Jitter::Relative(deviation) if deviation > 0.0 => {
                self.within_max(delay + delay * deviation * normal(entropy))
            }
            Jitter::Relative(_) | Jitter::None => self.within_max(delay),
        })
    }

    /// The delay in seconds, before it is scattered.
    fn exact_delay(&self, retry: u32) -> f64 {
        let max = self.max_delay.as_secs_f64();
        let factor = self.factor.max(1.0);
        let mut delay = self.initial_delay.as_secs_f64().min(max);
        for _ in 0..retry {
            if delay >= max || delay <= 0.0 || factor <= 1.0 {
                break;
            }
            delay = (delay * factor).min(max);
        }
        delay
    }

    fn within_max(&self, seconds: f64) -> Duration {
        let delay = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(self.max_delay);
        delay.min(self.max_delay)
    }
}

/// A number of the uniform distribution from 0 to 1, without 1.
fn uniform(mut entropy: impl FnMut() -> u64) -> f64 {
    const BITS: u32 = f64::MANTISSA_DIGITS;
    (entropy() >> (u64::BITS - BITS)) as f64 / (1_u64 << BITS) as f64
}

/// A number of the standard normal distribution, near enough: the sum of twelve uniform ones, less its mean. It never
/// leaves six deviations, and unlike a logarithm it is the same on every machine, so that a simulation replays it.
fn normal(mut entropy: impl FnMut() -> u64) -> f64 {
    let mut sum = 0.0;
    for _ in 0..3 {
        for piece in entropy().to_le_bytes().chunks_exact(2) {
            sum += (f64::from(u16::from_le_bytes([piece[0], piece[1]])) + 0.5) / 65_536.0;
        }
    }
    sum - 6.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXACT: ReconnectPolicy = ReconnectPolicy {
        initial_delay: Duration::from_secs(1),
        factor: 2.0,
        jitter: Jitter::None,
        max_delay: Duration::from_secs(10),
        max_retries: Some(6),
    };

    #[track_caller]
    fn check(policy: ReconnectPolicy, seconds: &[f64]) {
        let delays = (0..).map_while(|retry| policy.delay(retry, || 0));
        let delays: Vec<_> = delays.take(seconds.len() + 1).collect();
        let expected: Vec<_> = seconds
            .iter()
            .map(|s| Duration::from_secs_f64(*s))
            .collect();
        assert_eq!(delays, expected);
    }

    /// Numbers that look random: `SplitMix64`.
    fn entropy() -> impl FnMut() -> u64 {
        let mut state = 1_u64;
        move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }
    }

    #[test]
    fn delays_grow_from_the_initial_one_to_the_longest() {
        check(EXACT, &[1.0, 2.0, 4.0, 8.0, 10.0, 10.0]);
    }

    #[test]
    fn a_factor_that_makes_no_sense_is_no_busy_loop() {
        for (factor, seconds) in [
            (f64::NAN, [1.0, 1.0]),
            (f64::INFINITY, [1.0, 10.0]),
            (-1.0, [1.0, 1.0]),
        ] {
            let policy = ReconnectPolicy {
                factor,
                max_retries: Some(2),
                ..EXACT
            };
            check(policy, &seconds);
        }
    }

    #[test]
    fn a_services_delays_are_twisteds_from_the_initial_one_on() {
        let policy = ReconnectPolicy {
            max_retries: Some(4),
            ..ReconnectPolicy::service()
        };
        check(policy, &[1.0, 1.5, 2.25, 3.375]);
        let endless = ReconnectPolicy::service();
        let longest = endless.delay(u32::MAX, || u64::MAX);
        let longest = longest.expect("it never gives up");
        assert!(longest > Duration::from_secs(60), "the jitter is on top");
        assert!(longest <= Duration::from_secs(61));
    }

    #[test]
    fn an_added_jitter_is_spread_evenly() {
        let policy = ReconnectPolicy::service();
        let mut entropy = entropy();
        let delays = (0..10_000).filter_map(|_| policy.delay(0, &mut entropy));
        let delays: Vec<f64> = delays.map(|delay| delay.as_secs_f64()).collect();
        assert!(delays.iter().all(|delay| (1.0..=2.0).contains(delay)));
        let mean = delays.iter().sum::<f64>() / 10_000.0;
        assert!((mean - 1.5).abs() < 0.02, "{mean}");
    }

    #[test]
    fn a_relative_jitter_scatters_as_much_as_it_says_and_never_beyond_the_longest_delay() {
        let policy = ReconnectPolicy::default();
        let mut entropy = entropy();
        let delays = (0..10_000).filter_map(|_| policy.delay(0, &mut entropy));
        let delays: Vec<f64> = delays.map(|delay| delay.as_secs_f64()).collect();
        let count = 10_000.0;
        let mean = delays.iter().sum::<f64>() / count;
        let variance = delays.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / count;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        assert!(
            (variance.sqrt() - 0.119_626_565_582).abs() < 0.005,
            "{variance}"
        );
        let longest = (0..1000)
            .filter_map(|_| policy.delay(100, &mut entropy))
            .max();
        assert_eq!(longest, Some(policy.max_delay));
    }
}
