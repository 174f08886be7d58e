//! What all writers share.

use std::sync::Arc;
use std::time::Duration;

use super::batch_limit::BatchLimit;
use super::dead_letters::DeadLetters;
use super::flood_guard::FloodGuard;
use super::observer::StoreObserver;
use super::outage::OutageTracker;
use super::yielding::Yielding;
use crate::commit::Ownership;
use crate::core::document::MessageRules;
use crate::runtime::StopSignal;

pub struct Stage {
    pub dead_letters: DeadLetters,
    pub outage: Arc<OutageTracker>,
    pub flood: Arc<FloodGuard>,
    pub ownership: Ownership,
    pub stop: StopSignal,
    pub observer: Arc<dyn StoreObserver>,
    pub batch_limit: Arc<BatchLimit>,
    /// What a message must be, and where its `_id` comes from.
    pub rules: Arc<MessageRules>,
    /// How often an insert is tried before MongoDB counts as unavailable.
    pub max_attempts: u32,
    /// The wait before the second attempt.
    pub retry_backoff: Duration,
    /// `None`: the messages are live, or nothing else is.
    pub yielding: Option<Yielding>,
}
