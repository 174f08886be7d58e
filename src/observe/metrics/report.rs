//! What `/status` shows of the metrics.

use std::sync::atomic::Ordering;

use prometheus::Histogram;

use super::MetricsCollector;
use crate::observe::status::{Measurements, OutageReplay, Resources, Sum, Totals, Writers};

/// What is in flight now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InFlightNow {
    pub messages: i64,
    pub bytes: i64,
    pub oldest_seconds: f64,
}

impl MetricsCollector {
    pub fn totals(&self) -> Totals {
        let families = &self.families;
        let rebalances = [
            &families.rebalances_assign,
            &families.rebalances_revoke,
            &families.rebalances_lost,
        ];
        let dead_letters = || {
            families
                .dead_letters
                .counts()
                .filter(|&(_, count)| count > 0)
        };
        Totals {
            consumed: families.messages_consumed.get(),
            stored: families.messages_stored.get(),
            already_stored: families.messages_already_stored.get(),
            dead_lettered: dead_letters().map(|(_, count)| count).sum(),
            dead_lettered_by_reason: dead_letters()
                .map(|(reason, count)| (reason.to_owned(), count))
                .collect(),
            mongodb_retries: families.mongodb_retries.get(),
            commit_failures: families.offset_commit_failures.get(),
            offsets_skipped: families.offsets_skipped.get(),
            rebalances: rebalances.iter().map(|counter| counter.get()).sum(),
        }
    }

    pub fn measurements(&self) -> Measurements {
        let families = &self.families;
        Measurements {
            batch_size: sum_of(&families.batch_size),
            mongodb_write_seconds: sum_of(&families.mongodb_write_time),
            commit_seconds: sum_of(&families.offset_commit_time),
            processing_seconds: sum_of(&families.processing_time),
            delivery_delay_seconds: sum_of(&families.delivery_delay),
        }
    }

    pub fn in_flight(&self) -> InFlightNow {
        InFlightNow {
            messages: self.families.in_flight_messages.get(),
            bytes: self.families.in_flight_bytes.get(),
            oldest_seconds: self.oldest_in_flight().as_secs_f64(),
        }
    }

    pub fn writers(&self) -> Writers {
        Writers {
            busy: self.families.writers_busy.get(),
            threads: self.families.writer_threads.get(),
        }
    }

    pub fn outage_replay(&self) -> OutageReplay {
        let families = &self.families;
        OutageReplay {
            waiting: self
                .knows_waiting_letters
                .load(Ordering::Relaxed)
                .then(|| families.letters_waiting.get()),
            stored: families.letters_brought_home.get(),
            failed: families.letters_refused_again.get(),
        }
    }

    /// What the process uses; the limits of memory are not known here.
    pub fn resources(&self) -> Resources {
        let families = self.registry.gather();
        let value_of = |name: &str| {
            let family = families.iter().find(|family| family.name() == name)?;
            let metric = family.get_metric().first()?;
            // One of them is not set, and 0.
            Some(metric.get_gauge().get_value() + metric.get_counter().get_value())
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts of bytes and files, which the library gives as fractions"
        )]
        let whole = |name| value_of(name).map(|value| value as u64);
        Resources {
            cpu_seconds: value_of("process_cpu_seconds_total"),
            memory_bytes: whole("process_resident_memory_bytes"),
            open_files: whole("process_open_fds"),
            max_open_files: whole("process_max_fds"),
            ..Resources::default()
        }
    }
}

fn sum_of(histogram: &Histogram) -> Sum {
    Sum {
        count: histogram.get_sample_count(),
        sum: histogram.get_sample_sum(),
    }
}
