//! The committer, with the test in the place of the commit thread.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::commit_thread::CommitAnswer;
use super::committer::Committer;
use super::in_flight::InFlight;
use super::messages::{CommitterHandle, CommitterMessage, Outcome, Settlement};
use super::observer::CommitObserver;
use super::settings::CommitterSettings;
use crate::core::offset_tracker::Commit;
use crate::core::partition::{Epoch, Offset, RecordId, TopicPartition};
use crate::core::record::{Timestamp, Weight};
use crate::core::record_run::RecordRun;
use crate::core::time_limits::RevokeDeadlines;
use crate::kafka::{AssignedPartition, CommitError};
use crate::runtime::PauseSwitch;

const P: TopicPartition = TopicPartition::consumed(0);
const EPOCH: Epoch = Epoch(1);
const BOUND: Duration = Duration::from_secs(30);

struct NoObserver;

impl CommitObserver for NoObserver {}

/// A committer that commits after each record, and its requests and their answers.
struct Setup {
    committer: CommitterHandle,
    requests: Receiver<Vec<Commit>>,
    answers: Sender<CommitAnswer>,
    in_flight: Arc<InFlight>,
}

impl Setup {
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing watches threads in a unit test"
    )]
    fn start() -> Self {
        let limit = Weight {
            messages: 100,
            bytes: 100,
        };
        let (committer, messages) = CommitterHandle::channel();
        let (send_requests, requests) = bounded(1);
        let (answers, receive_answers) = bounded(1);
        let in_flight = Arc::new(InFlight::new(limit));
        let running = Committer::new(
            messages,
            send_requests,
            receive_answers,
            Arc::clone(&in_flight),
            Arc::new(NoObserver),
            CommitterSettings {
                thread_prefix: "",
                in_flight_limit: limit,
                commit_frequency: 1,
                commit_interval: BOUND,
                repeats_at_drain: false,
                stalled_after: BOUND,
                pause: PauseSwitch::default(),
            },
        );
        thread::spawn(move || running.run());
        let assigned = AssignedPartition {
            partition: P,
            epoch: EPOCH,
            start: Offset(0),
            committed: Some(Offset(0)),
        };
        committer.send(CommitterMessage::Assigned(vec![assigned]));
        Self {
            committer,
            requests,
            answers,
            in_flight,
        }
    }

    fn settle(&self, offset: i64) {
        let run = RecordRun::of(RecordId {
            partition: P,
            epoch: EPOCH,
            offset: Offset(offset),
        });
        let weight = Weight {
            messages: 1,
            bytes: 1,
        };
        let taken_at = Instant::now();
        self.in_flight.add(weight);
        self.committer.send(CommitterMessage::Dispatched {
            runs: vec![(run, Timestamp::NotAvailable)],
            taken_at,
        });
        self.committer.send(CommitterMessage::Settled(Settlement {
            runs: vec![run],
            outcome: Outcome::Stored,
            weight,
            taken_at,
            written_at: Vec::new(),
        }));
    }

    fn request(&self) -> Vec<Commit> {
        self.requests.recv_timeout(BOUND).expect("a request")
    }

    fn answer(&self, commits: Vec<Commit>, result: Result<(), CommitError>) {
        let answer = CommitAnswer {
            commits,
            result,
            took: Duration::ZERO,
        };
        self.answers.send(answer).expect("the committer runs");
    }
}

#[test]
fn refusal_of_a_commit_from_before_the_drain_does_not_end_the_drain() {
    let setup = Setup::start();
    setup.settle(0);
    let early = setup.request();
    let now = Instant::now();
    let deadlines = RevokeDeadlines {
        drain_until: now + BOUND,
        commit_until: now + BOUND,
    };
    let drained = setup.committer.drain(vec![P], deadlines);
    // Once the room of this record is free again, the committer has handled all messages sent before, also the drain.
    setup.settle(1);
    while setup.in_flight.now().messages > 0 {
        setup.in_flight.wait_for_room(Duration::from_millis(10));
    }
    setup.answer(early, Err(CommitError::not_ours()));
    let own = setup.request();
    assert_eq!(own[0].offset, Offset(2));
    setup.answer(own, Ok(()));
    let drained = drained.recv_timeout(BOUND).expect("an answer");
    assert!(
        drained.is_committed && drained.unsettled == 0,
        "{drained:?}"
    );
}

#[test]
fn refusal_of_the_drains_own_commit_ends_the_drain() {
    let setup = Setup::start();
    let now = Instant::now();
    let deadlines = RevokeDeadlines {
        drain_until: now,
        commit_until: now + BOUND,
    };
    setup.settle(0);
    let first = setup.request();
    let drained = setup.committer.drain(vec![P], deadlines);
    setup.answer(first, Err(CommitError::not_ours()));
    let own = setup.request();
    setup.answer(own, Err(CommitError::not_ours()));
    let drained = drained.recv_timeout(BOUND).expect("an answer");
    assert!(!drained.is_committed, "{drained:?}");
}

#[test]
fn beginning_of_a_recreated_log_is_committed_after_a_late_commit_of_the_old_one() {
    let setup = Setup::start();
    setup.settle(6);
    let early = setup.request();
    assert_eq!(early[0].offset, Offset(7));
    setup
        .committer
        .send(CommitterMessage::Recreated(vec![(P, EPOCH)]));
    setup.settle(7);
    setup.answer(early, Ok(()));
    let beginning = Commit {
        partition: P,
        epoch: EPOCH,
        offset: Offset(0),
    };
    let refused = setup.request();
    assert_eq!(refused, [beginning]);
    setup.answer(refused, Err(CommitError::not_ours()));
    let again = setup.request();
    assert_eq!(again, [beginning]);
    setup.answer(again, Ok(()));
    let now = Instant::now();
    let deadlines = RevokeDeadlines {
        drain_until: now + BOUND,
        commit_until: now + BOUND,
    };
    let drained = setup.committer.drain(vec![P], deadlines);
    let drained = drained.recv_timeout(BOUND).expect("an answer");
    assert!(drained.is_committed, "{drained:?}");
    assert!(setup.requests.is_empty(), "nothing more is committed");
}
