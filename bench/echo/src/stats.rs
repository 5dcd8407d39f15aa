//! Medians and percentiles.

/// The middle value, or the mean of the two middle ones; nothing of an empty list.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        even if even % 2 == 0 => Some(f64::midpoint(sorted[half - 1], sorted[half])),
        _ => Some(sorted[half]),
    }
}

/// The value that `per_mille` thousandths of the values do not exceed (nearest rank); nothing of an empty list.
#[must_use]
pub fn percentile(values: &mut [u64], per_mille: usize) -> Option<u64> {
    values.sort_unstable();
    let rank = (values.len() * per_mille).div_ceil(1000).max(1);
    values.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_even_and_none() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let mut values: Vec<u64> = (1..=1000).rev().collect();
        assert_eq!(percentile(&mut values, 500), Some(500));
        assert_eq!(percentile(&mut values, 999), Some(999));
        assert_eq!(percentile(&mut values, 1000), Some(1000));
        assert_eq!(percentile(&mut [5], 1), Some(5));
        assert_eq!(percentile(&mut [], 500), None);
    }
}
