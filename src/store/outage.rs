//! Whether MongoDB takes writes, shared by all writers; with the log lines and the observer's view of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::{error, info, warn};

use super::observer::StoreObserver;
use crate::core::availability::{
    Availability, Caller, EndedOutage, FailureEffect, OutageCause, OutagePolicy, Permit,
};
use crate::core::evidence::{BegunInsert, Evidence, InsertSpan};

/// What writers of one pool know of MongoDB. Pools that share their knowledge may have different policies.
pub struct OutageTracker {
    shared: Arc<Shared>,
    /// What this pool's writers do with records while MongoDB is unavailable.
    policy: OutagePolicy,
}

struct Shared {
    /// Behind a lock, because a writer needs permission before each insert, and only one may probe.
    state: Mutex<TrackerState>,
    /// The policy of the first pool, which the log tells.
    policy: OutagePolicy,
    observer: Arc<dyn StoreObserver>,
}

struct TrackerState {
    availability: Availability,
    /// The collection was checked and has its unique indexes. Nothing is written before.
    is_collection_prepared: bool,
    evidence: Evidence,
    /// Records sent to the dead letter topic during this outage.
    redirected: usize,
    /// Why the last outage began.
    cause: String,
}

impl OutageTracker {
    /// MongoDB counts as available, and the collection as not yet prepared.
    pub fn new(
        reconnect_interval: Duration,
        policy: OutagePolicy,
        observer: Arc<dyn StoreObserver>,
    ) -> Self {
        let shared = Shared {
            state: Mutex::new(TrackerState {
                availability: Availability::new(reconnect_interval, policy),
                is_collection_prepared: false,
                evidence: Evidence::default(),
                redirected: 0,
                cause: String::new(),
            }),
            policy,
            observer,
        };
        Self {
            shared: Arc::new(shared),
            policy,
        }
    }

    /// The same knowledge, for a pool whose records always wait for MongoDB.
    pub fn waiting(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            policy: OutagePolicy::Wait,
        }
    }

    pub fn policy(&self) -> OutagePolicy {
        self.policy
    }

    pub fn is_available(&self) -> bool {
        self.state().availability.is_available()
    }

    /// Whether MongoDB is unavailable, and the documents can't be the cause.
    pub fn is_certainly_unavailable(&self) -> bool {
        self.state().availability.is_certainly_unavailable()
    }

    /// Whether all records wait for MongoDB now, however long that takes. While the documents may be the cause of an
    /// outage, those that were not refused are still written.
    pub fn makes_records_wait(&self) -> bool {
        let state = self.state();
        if state.availability.is_certainly_unavailable() {
            self.policy == OutagePolicy::Wait
        } else {
            !state.is_collection_prepared
        }
    }

    pub fn is_collection_prepared(&self) -> bool {
        self.state().is_collection_prepared
    }

    /// The collection was checked and has its unique indexes: from now on writers may write.
    pub fn collection_prepared(&self) {
        self.state().is_collection_prepared = true;
        self.shared.observer.collection_prepared();
    }

    /// Why MongoDB became unavailable; fit for a log line.
    pub fn cause(&self) -> String {
        self.state().cause.clone()
    }

    /// Asks for permission to write, or to send a ping. Nobody gets it before the collection is prepared: who prepares it finds
    /// out whether MongoDB is available. If it is, the documents wait.
    pub fn permit(&self, caller: Caller) -> Permit {
        let mut state = self.state();
        if !state.is_collection_prepared {
            return Permit::Denied;
        }
        state.availability.permit(caller, Instant::now())
    }

    /// Whether `caller` would get a permission now.
    pub fn would_permit(&self, caller: Caller) -> bool {
        let permit = self.state().availability.permit_now(caller, Instant::now());
        permit != Permit::Denied
    }

    pub fn insert_begins(&self) -> BegunInsert {
        self.state().evidence.begin()
    }

    /// `took_any` is the result of `InsertOutcome::took_any`.
    pub fn insert_ended(&self, insert: &BegunInsert, took_any: bool) -> InsertSpan {
        self.state().evidence.end(insert, took_any)
    }

    /// The server stored a document, or refused one for a reason that is certainly about that document.
    pub fn succeeded(&self) {
        let mut state = self.state();
        let ended = state.availability.succeeded(Instant::now());
        self.report_end(state, ended);
    }

    /// The server answered a ping.
    pub fn ping_succeeded(&self) {
        let mut state = self.state();
        let ended = state.availability.ping_succeeded(Instant::now());
        self.report_end(state, ended);
    }

    fn report_end(&self, mut state: MutexGuard<'_, TrackerState>, ended: Option<EndedOutage>) {
        let Some(outage) = ended else {
            return;
        };
        let redirected = std::mem::take(&mut state.redirected);
        self.report(true);
        drop(state);
        info!(redirected, seconds = outage.lasted.as_secs_f64();
            "MongoDB is available again");
    }

    /// The attempts were used up, or a probe failed. `why` is fit for a log line.
    pub fn failed(&self, cause: OutageCause, why: &str) {
        let mut state = self.state();
        let effect = state.availability.failed(cause, Instant::now());
        if effect == FailureEffect::None {
            return;
        }
        why.clone_into(&mut state.cause);
        if effect == FailureEffect::Began {
            self.report(false);
        }
        drop(state);
        match effect {
            FailureEffect::None => {}
            FailureEffect::Began => {
                let consequence = self.consequence(cause);
                error!("MongoDB is unavailable: {consequence}: {why}");
            }
            FailureEffect::BecameCertain => {
                let consequence = self.consequence(cause);
                warn!("MongoDB takes no messages at all: {consequence}: {why}");
            }
        }
    }

    fn consequence(&self, cause: OutageCause) -> &'static str {
        let are_documents_suspect = cause == OutageCause::UnknownRefusals;
        match self.shared.policy {
            OutagePolicy::Redirect if are_documents_suspect => {
                "the messages that it refused are redirected to the dead letter topic until it takes one, \
                 and the others are still tried"
            }
            OutagePolicy::Redirect => {
                "messages are redirected to the dead letter topic until it is back"
            }
            OutagePolicy::Wait if are_documents_suspect => {
                "the messages that it refused wait until it takes one, and the others are still tried"
            }
            OutagePolicy::Wait => "messages wait, and consumption pauses, until it is back",
            OutagePolicy::Stop if are_documents_suspect => {
                "the messages that it refused are tried a few times more, and the others are still tried"
            }
            OutagePolicy::Stop => "stopping",
        }
    }

    /// A probe ended without a result.
    pub fn probe_ended(&self) {
        self.state().availability.probe_ended(Instant::now());
    }

    pub fn count_redirected(&self, records: usize) {
        self.state().redirected += records;
    }

    /// Tells the observer whether MongoDB takes writes. After a change of the state this is called under the lock:
    /// otherwise a late report could contradict a newer one.
    pub fn report(&self, available: bool) {
        self.shared.observer.mongodb_available(available);
    }

    fn state(&self) -> MutexGuard<'_, TrackerState> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn tracker(policy: OutagePolicy, observer: Arc<dyn StoreObserver>) -> OutageTracker {
        let tracker = OutageTracker::new(Duration::from_secs(60), policy, observer);
        tracker.collection_prepared();
        tracker
    }

    struct Unobserved;
    impl StoreObserver for Unobserved {}

    #[test]
    fn records_that_were_not_refused_do_not_wait_while_documents_may_be_the_cause() {
        let outage = tracker(OutagePolicy::Wait, Arc::new(Unobserved));
        outage.failed(OutageCause::UnknownRefusals, "why");
        assert!(!outage.is_available() && !outage.makes_records_wait());
        outage.failed(OutageCause::NoAnswer, "why");
        assert!(outage.makes_records_wait());
    }

    #[test]
    fn records_wait_until_the_collection_is_prepared_unless_there_is_an_outage() {
        let outage =
            OutageTracker::new(Duration::ZERO, OutagePolicy::Redirect, Arc::new(Unobserved));
        let may_write = |outage: &OutageTracker| outage.permit(Caller::Writer) != Permit::Denied;
        assert!(!may_write(&outage) && outage.makes_records_wait());
        // An outage is what the policy is for. Who prepares the collection finds out that it is over.
        outage.failed(OutageCause::NoAnswer, "why");
        assert!(!may_write(&outage) && !outage.makes_records_wait());
        assert_eq!(outage.permit(Caller::Ping), Permit::Denied);
        outage.ping_succeeded();
        assert!(!may_write(&outage) && outage.makes_records_wait());
        outage.collection_prepared();
        assert!(may_write(&outage) && !outage.makes_records_wait());
    }

    /// Looks whether the tracker is locked while it reports.
    #[derive(Default)]
    struct LockObserver {
        tracker: OnceLock<Arc<OutageTracker>>,
        was_unlocked: AtomicBool,
        available: AtomicBool,
    }

    impl StoreObserver for LockObserver {
        fn mongodb_available(&self, available: bool) {
            let is_unlocked = self.tracker.get().unwrap().shared.state.try_lock().is_ok();
            self.was_unlocked.fetch_or(is_unlocked, Ordering::Relaxed);
            self.available.store(available, Ordering::Relaxed);
        }
    }

    #[test]
    fn no_change_overtakes_the_report_of_an_earlier_one() {
        let observer = Arc::new(LockObserver::default());
        let outage = Arc::new(tracker(OutagePolicy::Wait, Arc::clone(&observer) as Arc<_>));
        assert!(observer.tracker.set(Arc::clone(&outage)).is_ok());
        observer.available.store(true, Ordering::Relaxed);
        outage.failed(OutageCause::NoAnswer, "why");
        assert!(!observer.available.load(Ordering::Relaxed));
        outage.succeeded();
        assert!(observer.available.load(Ordering::Relaxed));
        assert!(!observer.was_unlocked.load(Ordering::Relaxed));
    }
}
