//! Alternating slices: every participant is driven in turn, in an order that rotates, round after round.

use crate::report::Report;
use crate::stats::median;
use std::io;

/// The figures of one metric, by participant and by round.
#[derive(Debug, Default)]
pub struct Samples {
    rows: Vec<(String, Vec<Option<f64>>)>,
}

impl Samples {
    /// Notes a figure; a participant that failed leaves a hole.
    pub fn note(&mut self, who: &str, round: usize, value: Option<f64>) {
        let at = self
            .rows
            .iter()
            .position(|(name, _)| name == who)
            .unwrap_or_else(|| {
                self.rows.push((who.to_owned(), Vec::new()));
                self.rows.len() - 1
            });
        let values = &mut self.rows[at].1;
        values.resize(values.len().max(round + 1), None);
        values[round] = value;
    }

    /// The median of one participant's figures.
    #[must_use]
    pub fn median(&self, who: &str) -> Option<f64> {
        median(
            &self
                .of(who)?
                .iter()
                .flatten()
                .copied()
                .collect::<Vec<f64>>(),
        )
    }

    /// The median over the rounds of the ratio within a round.
    #[must_use]
    pub fn ratio(&self, who: &str, to: &str) -> Option<f64> {
        let (mine, theirs) = (self.of(who)?, self.of(to)?);
        let ratios = mine
            .iter()
            .zip(theirs)
            .filter_map(|(mine, theirs)| Some((*mine)? / (*theirs)?));
        median(
            &ratios
                .filter(|ratio| ratio.is_finite())
                .collect::<Vec<f64>>(),
        )
    }

    fn of(&self, who: &str) -> Option<&[Option<f64>]> {
        self.rows
            .iter()
            .find(|(name, _)| name == who)
            .map(|(_, values)| values.as_slice())
    }

    /// Forgets the participants that `keep` does not name.
    #[must_use]
    pub fn only(mut self, keep: impl Fn(&str) -> bool) -> Self {
        self.rows.retain(|(who, _)| keep(who));
        self
    }

    /// Puts medians and ratios into the report.
    pub fn into_report(self, report: &mut Report, metric: &str) {
        for (who, _) in &self.rows {
            if let Some(value) = self.median(who) {
                report.set(who, metric, value);
            }
            if let Some(ratio) = self.ratio(who, report.baseline()) {
                report.set_ratio(who, metric, ratio);
            }
        }
    }
}

/// Drives every participant once per round, starting with another one each time.
///
/// A participant that fails is left out from then on and its reason printed; its earlier figures are forgotten.
pub fn alternate<T>(
    report: &mut Report,
    metric: &str,
    rounds: usize,
    participants: &mut Vec<(String, T)>,
    mut slice: impl FnMut(&mut T, usize) -> io::Result<f64>,
) -> Samples {
    let mut samples = Samples::default();
    let mut failed: Vec<String> = Vec::new();
    for round in 0..rounds {
        for turn in 0..participants.len() {
            let at = (turn + round) % participants.len();
            let (who, participant) = &mut participants[at];
            if failed.contains(who) {
                continue;
            }
            match slice(participant, round) {
                Ok(value) => samples.note(who, round, Some(value)),
                Err(error) => {
                    report.skip(who, metric, &error.to_string());
                    failed.push(who.clone());
                }
            }
        }
    }
    participants.retain(|(who, _)| !failed.contains(who));
    samples.only(|who| !failed.iter().any(|name| name == who))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_a_round() {
        let mut samples = Samples::default();
        for (round, (mine, theirs)) in [(2.0, 1.0), (20.0, 10.0), (90.0, 30.0)]
            .into_iter()
            .enumerate()
        {
            samples.note("me", round, Some(mine));
            samples.note("bare", round, Some(theirs));
        }
        assert_eq!(samples.median("me"), Some(20.0));
        assert_eq!(samples.ratio("me", "bare"), Some(2.0));
        assert_eq!(samples.ratio("me", "nobody"), None);
    }

    #[test]
    fn every_round_starts_with_another_and_a_failure_leaves() {
        let mut report = Report::new("x", "bare");
        let mut order = String::new();
        let mut all: Vec<(String, char)> = ['a', 'b', 'c'].map(|c| (c.to_string(), c)).into();
        let samples = alternate(&mut report, "m", 3, &mut all, |c, round| {
            order.push(*c);
            if *c == 'b' && round == 1 {
                Err(io::Error::other("broke"))
            } else {
                Ok(1.0)
            }
        });
        assert_eq!(order, "abcbcaca");
        assert_eq!(samples.median("a"), Some(1.0));
        assert_eq!(samples.median("b"), None);
        assert_eq!(all.len(), 2);
    }
}
