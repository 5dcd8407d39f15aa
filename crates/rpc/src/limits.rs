//! The limits of what is served in one table: name, unit, default, range, meaning. Enforces none of them.

use crate::calls::ExposureLimits;
use std::time::Duration;
use tress_core::limits::Unit;

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct ExposureLimit {
    /// The name in files and listings.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// As it stands in a file: `1MiB`, `32`, `30s`.
    pub default: &'static str,
    /// The least and the most that it may be: bytes, a count, or milliseconds.
    pub range: [u64; 2],
    /// What it means and what happens beyond it, and its range in words.
    pub meaning: &'static str,
    field: Field,
}

#[derive(Clone, Copy, Debug)]
enum Field {
    Number(fn(&mut ExposureLimits) -> &mut usize),
    Time(fn(&mut ExposureLimits) -> &mut Duration),
}

impl ExposureLimit {
    /// `request_bytes`
    pub const REQUEST_BYTES: Self = Self {
        name: "request_bytes",
        unit: Unit::Bytes,
        default: "1MiB",
        range: [256, 1 << 30],
        meaning: "Bytes of one request, 256B to 1GiB; a longer one is refused.",
        field: Field::Number(|limits| &mut limits.request_bytes),
    };
    /// `response_bytes`
    pub const RESPONSE_BYTES: Self = Self {
        name: "response_bytes",
        unit: Unit::Bytes,
        default: "16MiB",
        range: [256, 1 << 30],
        meaning: "Bytes of one answer, 256B to 1GiB; instead of a longer one an error is sent.",
        field: Field::Number(|limits| &mut limits.response_bytes),
    };
    /// `nesting`
    pub const NESTING: Self = Self {
        name: "nesting",
        unit: Unit::Count,
        default: "32",
        range: [1, 100],
        meaning: "Lists and records in each other in a request, 1 to 100; more are refused.",
        field: Field::Number(|limits| &mut limits.nesting),
    };
    /// `batch`
    pub const BATCH: Self = Self {
        name: "batch",
        unit: Unit::Count,
        default: "100",
        range: [1, 10_000],
        meaning: "Calls in one request, where there are batches, 1 to 10000; more are refused.",
        field: Field::Number(|limits| &mut limits.batch),
    };
    /// `calls_in_flight`
    pub const CALLS_IN_FLIGHT: Self = Self {
        name: "calls_in_flight",
        unit: Unit::Count,
        default: "1000",
        range: [1, 1_000_000],
        meaning: "Calls of one connection that wait for their results, 1 to 1000000; more are refused.",
        field: Field::Number(|limits| &mut limits.calls_in_flight),
    };
    /// `call_deadline`
    pub const CALL_DEADLINE: Self = Self {
        name: "call_deadline",
        unit: Unit::Time,
        default: "30s",
        range: [1, 86_400_000],
        meaning: "How long a call may take, 1ms to 24h; then it is cancelled.",
        field: Field::Time(|limits| &mut limits.call_deadline),
    };
    /// `login_attempts`
    pub const LOGIN_ATTEMPTS: Self = Self {
        name: "login_attempts",
        unit: Unit::Count,
        default: "3",
        range: [1, 1000],
        meaning: "Logins of one connection that may fail, 1 to 1000; then it is closed.",
        field: Field::Number(|limits| &mut limits.login_attempts),
    };
    /// `login_deadline`
    pub const LOGIN_DEADLINE: Self = Self {
        name: "login_deadline",
        unit: Unit::Time,
        default: "60s",
        range: [1000, 3_600_000],
        meaning: "How long a connection may take to log in, where it must, 1s to 1h; then it is closed.",
        field: Field::Time(|limits| &mut limits.login_deadline),
    };
    /// `login_delay`
    pub const LOGIN_DELAY: Self = Self {
        name: "login_delay",
        unit: Unit::Time,
        default: "1s",
        range: [0, 60_000],
        meaning: "How long after a login that failed this is said, and nothing else is read, 0ms to 1m.",
        field: Field::Time(|limits| &mut limits.login_delay),
    };

    /// The value in `limits`: bytes, a count, or milliseconds.
    #[must_use]
    pub fn get(&self, limits: &ExposureLimits) -> u64 {
        let mut limits = *limits;
        match self.field {
            Field::Number(field) => *field(&mut limits) as u64,
            Field::Time(field) => u64::try_from(field(&mut limits).as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Changes the value in `limits`: bytes, a count, or milliseconds.
    pub fn set(&self, limits: &mut ExposureLimits, value: u64) {
        match self.field {
            Field::Number(field) => *field(limits) = usize::try_from(value).unwrap_or(usize::MAX),
            Field::Time(field) => *field(limits) = Duration::from_millis(value),
        }
    }

    /// The range in words, `256B to 1GiB`.
    #[must_use]
    pub fn words(&self) -> String {
        let units: &[(u64, &str)] = match self.unit {
            Unit::Bytes => &[
                (1 << 30, "GiB"),
                (1 << 20, "MiB"),
                (1 << 10, "KiB"),
                (1, "B"),
            ],
            Unit::Count => &[(1, "")],
            Unit::Time => &[(3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")],
        };
        let [least, most] = self.range.map(|end| {
            let whole = |(worth, _): &&(u64, &str)| end >= *worth && end % worth == 0;
            let (worth, name) = units
                .iter()
                .find(whole)
                .or_else(|| units.last())
                .unwrap_or(&(1, ""));
            format!("{}{name}", end / worth)
        });
        format!("{least} to {most}")
    }
}

impl ExposureLimits {
    /// The table: every limit, in the order in which listings show it.
    pub const TABLE: &'static [ExposureLimit] = &[
        ExposureLimit::REQUEST_BYTES,
        ExposureLimit::RESPONSE_BYTES,
        ExposureLimit::NESTING,
        ExposureLimit::BATCH,
        ExposureLimit::CALLS_IN_FLIGHT,
        ExposureLimit::CALL_DEADLINE,
        ExposureLimit::LOGIN_ATTEMPTS,
        ExposureLimit::LOGIN_DEADLINE,
        ExposureLimit::LOGIN_DELAY,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_field_its_default_and_its_range() {
        let mut limits = ExposureLimits::default();
        for (place, row) in ExposureLimits::TABLE.iter().enumerate() {
            let [least, most] = row.range;
            assert!((least..=most).contains(&row.get(&limits)), "{}", row.name);
            assert!(
                row.meaning.contains(&format!(", {}", row.words())),
                "{}",
                row.name
            );
            row.set(&mut limits, 7_000 + place as u64);
        }
        let values = ExposureLimits::TABLE.iter().map(|row| row.get(&limits));
        assert!(values.eq(7_000..7_009), "{limits:?}");
        assert!(
            format!("{limits:?}").contains("login_delay: 7.008s"),
            "{limits:?}"
        );
    }
}
