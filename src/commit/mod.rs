//! Decides which offsets may be committed, and commits them.
//!
//! *Invariant:* an offset is committed only when every record received below it is settled.
//!
//! *Invariant:* a settlement never overtakes its dispatch. [`Dispatcher::dispatch`] tells the committer of a
//! batch before it returns the batch, and every settlement comes from the batch that it returned.

mod commit_thread;
mod committer;
mod dispatch;
mod in_flight;
mod messages;
mod new_logs;
mod observer;
mod ownership;
mod settings;
#[cfg(test)]
mod tests;
mod view;

use commit_thread::CommitThread;
use committer::Committer;
use in_flight::InFlight;

pub use dispatch::{DispatchedBatch, Dispatcher, RecordReceipt};
pub use messages::{CommitterHandle, CommitterMessage, Drained, Outcome, Settlement};
pub use observer::CommitObserver;
pub use ownership::Ownership;
pub use settings::CommitterSettings;

use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded};

use crate::failure::Failure;
use crate::kafka::CommitOffsets;
use crate::runtime::Threads;

/// Starts the committer, which receives `messages`, and its commit thread. Returns the dispatcher, which makes dispatched
/// batches.
pub fn start(
    threads: &mut Threads,
    handle: CommitterHandle,
    messages: Receiver<CommitterMessage>,
    settings: CommitterSettings,
    ownership: Ownership,
    offsets: impl CommitOffsets + 'static,
    observer: Arc<dyn CommitObserver>,
) -> Result<Dispatcher, Failure> {
    let prefix = settings.thread_prefix;
    // One commit at a time.
    let (requests, to_commit) = bounded(1);
    let (answers, answered) = bounded(1);
    let commit_thread = CommitThread {
        requests: to_commit,
        answers,
        ownership,
        offsets,
    };
    threads.spawn(format!("{prefix}commit"), move || {
        commit_thread.run();
        Ok(())
    })?;
    let in_flight = Arc::new(InFlight::new(settings.in_flight_limit));
    let dispatcher = Dispatcher::new(handle, Arc::clone(&in_flight), Arc::clone(&observer));
    let committer = Committer::new(messages, requests, answered, in_flight, observer, settings);
    threads.spawn(format!("{prefix}committer"), move || committer.run())?;
    Ok(dispatcher)
}
