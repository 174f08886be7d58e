//! What happened between two answers of the same worker.

use crate::observe::status::{Status, Sum};

/// For each second, or the mean, between two looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rates {
    pub(super) stored: f64,
    pub(super) dead_lettered: f64,
    /// `None`: there was no insert.
    pub(super) insert_seconds: Option<f64>,
    /// `None`: there was no batch.
    pub(super) batch_size: Option<f64>,
}

impl Rates {
    /// A worker that was started anew in between counts from its start.
    pub(super) fn between(before: &Status, after: &Status) -> Self {
        let is_same = before.started_at == after.started_at;
        let seconds = if is_same {
            after.uptime_seconds - before.uptime_seconds
        } else {
            after.uptime_seconds
        };
        let base = |count: u64| if is_same { count } else { 0 };
        #[expect(clippy::cast_precision_loss, reason = "for people to read")]
        let rate = |before: u64, after: u64| {
            after.saturating_sub(base(before)) as f64 / seconds.max(0.001)
        };
        let mean = |before: Sum, after: Sum| {
            let before = if is_same { before } else { Sum::default() };
            mean(before, after)
        };
        Self {
            stored: rate(before.totals.stored, after.totals.stored),
            dead_lettered: rate(before.totals.dead_lettered, after.totals.dead_lettered),
            insert_seconds: mean(
                before.measurements.mongodb_write_seconds,
                after.measurements.mongodb_write_seconds,
            ),
            batch_size: mean(
                before.measurements.batch_size,
                after.measurements.batch_size,
            ),
        }
    }
}

fn mean(before: Sum, after: Sum) -> Option<f64> {
    let count = after.count.saturating_sub(before.count);
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    let mean = (after.sum - before.sum) / count as f64;
    (count > 0).then_some(mean)
}
