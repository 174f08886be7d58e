//! What an audit does with missing messages: it only reports them, or counts what a repair would do, or stores them.

use std::collections::BTreeMap;

use super::repair_report::{PartitionRepair, RepairReport};
use crate::cli::PartitionOffset;
use crate::core::partition::{Offset, TopicPartition};
use crate::core::record::Batch;
use crate::failure::Failure;
use crate::kafka::{ConsumedMessage, Ranges};
use crate::replay::Repair;

/// The most messages, and the most of their bytes, that are kept until it is known which of them are missing.
const MOST_MESSAGES: usize = 1000;
const MOST_BYTES: usize = 4 << 20;

pub(super) enum Repairs {
    None,
    DryRun(Found),
    Real(Box<RealRepair>),
}

/// The missing messages of each partition.
#[derive(Default)]
pub(super) struct Found(BTreeMap<TopicPartition, PartitionRepair>);

/// A repair, and the messages for which it isn't known yet whether they are missing.
pub(super) struct RealRepair {
    repair: Repair,
    found: Found,
    candidates: Batch,
    /// The indexes of the candidates that are missing.
    missing: Vec<usize>,
}

/// A candidate, by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate(usize);

impl Repairs {
    pub(super) fn real(repair: Repair) -> Self {
        Self::Real(Box::new(RealRepair {
            repair,
            found: Found::default(),
            candidates: empty_batch(),
            missing: Vec::new(),
        }))
    }

    /// Keeps a copy of a message that may be missing, if it is to be stored then.
    pub(super) fn keep(&mut self, message: &ConsumedMessage<'_>) -> Option<Candidate> {
        match self {
            Self::None | Self::DryRun(_) => None,
            Self::Real(real) => {
                Repair::copy(message, &mut real.candidates);
                Some(Candidate(real.candidates.len() - 1))
            }
        }
    }

    /// Whether so many copies are kept that it should be found out which of them are missing.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::None | Self::DryRun(_) => false,
            Self::Real(real) => {
                real.candidates.len() >= MOST_MESSAGES || real.candidates.bytes() >= MOST_BYTES
            }
        }
    }

    /// Notes a missing message. `can_be_stored`: it can become a document.
    pub(super) fn found_missing(
        &mut self,
        partition: TopicPartition,
        candidate: Option<Candidate>,
        can_be_stored: bool,
    ) {
        match self {
            Self::None => {}
            Self::DryRun(found) => found.add(partition, can_be_stored),
            Self::Real(real) => {
                real.found.add(partition, can_be_stored);
                real.missing.extend(candidate.map(|candidate| candidate.0));
            }
        }
    }

    /// Hands the missing candidates over and forgets all others. Everything below `positions` was audited. Waits while
    /// too much is in flight. Fails when nothing can be settled any more.
    pub(super) fn store(
        &mut self,
        positions: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), Failure> {
        let Self::Real(real) = self else {
            return Ok(());
        };
        // The look-up comes after the messages that can't become documents.
        real.missing.sort_unstable();
        for index in real.missing.drain(..) {
            real.repair.add(&mut real.candidates, index)?;
        }
        real.candidates = empty_batch();
        real.repair.audited_to(positions)
    }

    /// A phrase for the progress.
    pub(super) fn progress(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::DryRun(found) => format!(", {} missing", found.sum()),
            Self::Real(real) => {
                let (found, settled) = (real.found.sum(), real.repair.settled());
                format!(", {found} missing, {settled} of them repaired")
            }
        }
    }

    /// Waits until everything that was handed over is settled. `failure` is what ended the audit early, if anything did.
    /// `ranges` is what was to be audited.
    pub(super) fn finish(
        self,
        failure: Option<Failure>,
        ranges: &Ranges,
    ) -> (Option<RepairReport>, Result<(), Failure>) {
        let result = failure.map_or(Ok(()), Err);
        let (found, outcome) = match self {
            Self::None => return (None, result),
            Self::DryRun(found) => {
                let report = RepairReport {
                    is_dry_run: true,
                    partitions: found.0,
                    unfinished: Vec::new(),
                };
                return (Some(report), result);
            }
            Self::Real(real) => (real.found, real.repair.finish(result.err())),
        };
        let mut partitions = found.0;
        for (partition, settled) in outcome.settled {
            partitions.entry(partition).or_default().settled = settled;
        }
        let unfinished = ranges.iter().filter_map(|(&partition, range)| {
            let repaired_to = outcome.repaired_to.get(&partition).copied();
            let offset = repaired_to.unwrap_or(range.start);
            (offset < range.end).then_some(PartitionOffset { partition, offset })
        });
        let report = RepairReport {
            is_dry_run: false,
            partitions,
            unfinished: unfinished.collect(),
        };
        (Some(report), outcome.result)
    }
}

impl Found {
    fn add(&mut self, partition: TopicPartition, can_be_stored: bool) {
        let found = self.0.entry(partition).or_default();
        if can_be_stored {
            found.to_store += 1;
        } else {
            found.to_dead_letter += 1;
        }
    }

    fn sum(&self) -> u64 {
        let of = |found: &PartitionRepair| found.to_store + found.to_dead_letter;
        self.0.values().map(of).sum()
    }
}

fn empty_batch() -> Batch {
    Batch::new(std::time::Instant::now())
}
