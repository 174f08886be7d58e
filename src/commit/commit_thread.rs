//! The thread that makes the commit call. The call has no time limit, so only this thread may wait for it.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::ownership::Ownership;
use crate::core::offset_tracker::Commit;
use crate::kafka::{CommitError, CommitOffsets};

/// Makes the commit calls that the committer requests, one at a time.
pub struct CommitThread<O> {
    pub requests: Receiver<Vec<Commit>>,
    pub answers: Sender<CommitAnswer>,
    pub ownership: Ownership,
    pub offsets: O,
}

/// The result of one request.
pub struct CommitAnswer {
    /// The requested commits that were still ours immediately before the call.
    pub commits: Vec<Commit>,
    pub result: Result<(), CommitError>,
    pub took: Duration,
}

impl<O: CommitOffsets> CommitThread<O> {
    /// Runs until the committer is gone.
    pub fn run(self) {
        for commits in &self.requests {
            let answer = self.commit(commits);
            if self.answers.send(answer).is_err() {
                break;
            }
        }
    }

    fn commit(&self, mut commits: Vec<Commit>) -> CommitAnswer {
        // The most important line of the program. The broker accepts a commit for a partition that another
        // member owns by now, and that would move that member's offset, possibly backwards.
        commits.retain(|commit| self.ownership.may_commit(commit.partition, commit.epoch));
        let started = Instant::now();
        let result = if commits.is_empty() {
            None
        } else {
            self.offsets.commit(&commits)
        };
        match result {
            Some(result) => CommitAnswer {
                commits,
                result,
                took: started.elapsed(),
            },
            None => CommitAnswer {
                commits: Vec::new(),
                result: Ok(()),
                took: Duration::ZERO,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use crossbeam_channel::bounded;

    use super::*;
    use crate::core::partition::{Offset, TopicPartition};
    use crate::kafka::Assignment;

    /// Remembers what was committed.
    #[derive(Clone, Default)]
    struct Recorder(Arc<Mutex<Vec<Commit>>>);

    impl CommitOffsets for Recorder {
        fn commit(&self, commits: &[Commit]) -> Option<Result<(), CommitError>> {
            self.0.lock().unwrap().extend(commits);
            Some(Ok(()))
        }
    }

    #[test]
    fn only_partitions_that_are_still_ours_are_committed() {
        let assignment = Arc::new(Assignment::default());
        let [kept, waiting, revoked, renewed] = [0, 1, 2, 3].map(TopicPartition::consumed);
        let commit = |partition: TopicPartition| Commit {
            partition,
            epoch: assignment.begin(partition, Offset(0)),
            offset: Offset(5),
        };
        let commits = [kept, waiting, revoked, renewed].map(commit);
        assignment.wait_for_start(waiting);
        assignment.end(revoked);
        assignment.end(renewed);
        assignment.begin(renewed, Offset(3));

        let recorder = Recorder::default();
        let (requests, to_commit) = bounded(1);
        let (answers, answered) = bounded(1);
        let thread = CommitThread {
            requests: to_commit,
            answers,
            ownership: Ownership::Assigned(Arc::clone(&assignment)),
            offsets: recorder.clone(),
        };
        requests.send(commits.to_vec()).unwrap();
        drop(requests);
        thread.run();
        assert_eq!(answered.recv().unwrap().commits, commits[..2]);
        assert_eq!(*recorder.0.lock().unwrap(), commits[..2]);
    }
}
