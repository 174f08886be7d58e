//! Medians and quartiles. Pure.

use serde::{Deserialize, Serialize};

/// The spread of a series of observations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub count: usize,
    pub min: f64,
    pub lower_quartile: f64,
    pub median: f64,
    pub upper_quartile: f64,
    pub p99: f64,
    pub max: f64,
}

impl Summary {
    /// `None` where nothing was observed.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        Some(Self {
            count: sorted.len(),
            min: *sorted.first()?,
            lower_quartile: quantile(&sorted, 0.25),
            median: quantile(&sorted, 0.5),
            upper_quartile: quantile(&sorted, 0.75),
            p99: quantile(&sorted, 0.99),
            max: *sorted.last()?,
        })
    }
}

/// The quantile, interpolated between the two nearest values: type 7 of R, as in spreadsheets.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index of a slice"
)]
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * float(sorted.len() as u64 - 1);
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}

/// A count as a number to calculate with. All counts are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
pub fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-9
    }

    #[test]
    fn quartiles_lie_between_the_nearest_values() {
        let summary = Summary::of(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((summary.count, summary.min, summary.max), (4, 1.0, 4.0));
        assert!(close(summary.lower_quartile, 1.75));
        assert!(close(summary.median, 2.5));
        assert!(close(summary.upper_quartile, 3.25));
        assert!(close(summary.p99, 3.97));
    }

    #[test]
    fn one_value_is_every_quantile() {
        let summary = Summary::of(&[7.0]).unwrap();
        assert_eq!((summary.min, summary.median, summary.max), (7.0, 7.0, 7.0));
        assert!(close(summary.p99, 7.0));
    }

    #[test]
    fn nothing_has_no_summary() {
        assert_eq!(Summary::of(&[]), None);
    }
}
