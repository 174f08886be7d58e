//! The guard against floods of rejections. If most messages are rejected, their producer is at fault, and going on would
//! send the whole topic to the dead letter topic.

use std::collections::VecDeque;

use super::partition::Offset;

/// What was counted of one partition. Commits carry it, so that a restart goes on counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RejectionCount {
    /// How many of the last messages were rejected.
    pub rejected: u32,
    /// How many messages that were: the window, or fewer.
    pub messages: u32,
    /// How many messages of the partition were rejected in a row.
    pub in_a_row: u64,
    /// Behind the last message that was counted. Where a restart begins below it, it counts some once more.
    pub up_to: Offset,
    /// The message that would have been one too many.
    pub refused: Option<Offset>,
}

/// How many messages were rejected in a row: those that can't become documents, and those that MongoDB refused. They are
/// two runs, because a batch is judged before it is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Runs {
    unfit: u64,
    refused: u64,
}

impl Runs {
    pub fn restored(in_a_row: u64) -> Self {
        Self {
            unfit: in_a_row,
            refused: in_a_row,
        }
    }

    /// A message has become a document.
    pub fn accepted(&mut self) {
        self.unfit = 0;
    }

    /// A message was stored.
    pub fn stored(&mut self) {
        *self = Self::default();
    }

    /// `was_accepted`: MongoDB has refused the message's document.
    pub fn rejected(&mut self, was_accepted: bool) {
        if was_accepted {
            self.refused += 1;
        } else {
            self.unfit += 1;
        }
    }

    /// The length of the run that a rejection of this kind belongs to.
    pub fn of(self, was_accepted: bool) -> u64 {
        if was_accepted {
            self.refused
        } else {
            self.unfit
        }
    }

    pub fn longest(self) -> u64 {
        self.unfit.max(self.refused)
    }

    /// Makes each run at least as long as the other's.
    pub fn at_least(&mut self, other: Self) {
        self.unfit = self.unfit.max(other.unfit);
        self.refused = self.refused.max(other.refused);
    }
}

/// The last messages of one partition, in the order in which they were settled: whether each was rejected.
#[derive(Debug)]
pub struct RejectionWindow {
    /// The most messages that are remembered.
    length: u32,
    /// The most of them that may be rejected.
    allowed: u32,
    /// Neighbours with the same end are one run; the oldest is in front.
    runs: VecDeque<Run>,
    messages: u32,
    rejected: u32,
}

/// How evenly rejections are spread over a restored window.
const PARTS: u32 = 100;

#[derive(Debug, Clone, Copy)]
struct Run {
    is_rejected: bool,
    count: u32,
}

impl RejectionWindow {
    /// Remembers `length` messages, at least one, of which `allowed` may be rejected.
    pub fn new(length: u32, allowed: u32) -> Self {
        Self {
            length,
            allowed,
            runs: VecDeque::new(),
            messages: 0,
            rejected: 0,
        }
    }

    /// The same with what another window has counted. The order of its messages isn't known: the rejected ones count as
    /// evenly spread.
    pub fn restored(length: u32, allowed: u32, count: RejectionCount) -> Self {
        let mut window = Self::new(length, allowed);
        let messages = count.messages.min(length);
        let rejected = count.rejected.min(messages);
        let accepted = messages - rejected;
        // The share of each part, so that all parts together have every message.
        let part = |whole: u32, number: u32| {
            let up_to = |number: u32| u64::from(whole) * u64::from(number) / u64::from(PARTS);
            u32::try_from(up_to(number + 1) - up_to(number)).unwrap_or(whole)
        };
        for number in 0..PARTS {
            window.push(false, part(accepted, number));
            window.push(true, part(rejected, number));
        }
        window
    }

    /// Counts messages that were not rejected.
    pub fn accept(&mut self, messages: u32) {
        self.push(false, messages);
    }

    /// Counts one rejected message. Returns false, and counts nothing, if that would be more than is allowed.
    pub fn reject(&mut self) -> bool {
        let oldest = self.runs.iter().find(|run| run.count > 0);
        let leaves =
            self.messages == self.length && oldest.is_some_and(|oldest| oldest.is_rejected);
        let rejected = self.rejected - u32::from(leaves) + 1;
        if rejected > self.allowed {
            return false;
        }
        self.push(true, 1);
        true
    }

    /// The same for a message that was counted as accepted. If that has left the window, it is counted anew.
    pub fn reject_accepted(&mut self) -> bool {
        if self.rejected + 1 > self.allowed {
            return false;
        }
        let accepted = |run: &&mut Run| !run.is_rejected && run.count > 0;
        let Some(accepted) = self.runs.iter_mut().rfind(accepted) else {
            return self.reject();
        };
        accepted.count -= 1;
        self.messages -= 1;
        // An empty run is passed over, and leaves with its neighbours.
        self.push(true, 1);
        true
    }

    pub fn rejected(&self) -> u32 {
        self.rejected
    }

    pub fn messages(&self) -> u32 {
        self.messages
    }

    fn push(&mut self, is_rejected: bool, count: u32) {
        let count = count.min(self.length);
        if count == 0 {
            return;
        }
        let mut too_many = (self.messages + count).saturating_sub(self.length);
        while let Some(oldest) = self.runs.front_mut()
            && too_many > 0
        {
            let leaving = oldest.count.min(too_many);
            oldest.count -= leaving;
            too_many -= leaving;
            self.messages -= leaving;
            if oldest.is_rejected {
                self.rejected -= leaving;
            }
            if oldest.count == 0 {
                self.runs.pop_front();
            }
        }
        self.messages += count;
        if is_rejected {
            self.rejected += count;
        }
        match self.runs.back_mut() {
            Some(last) if last.is_rejected == is_rejected => last.count += count,
            _ => self.runs.push_back(Run { is_rejected, count }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_rejection_above_what_is_allowed_is_refused_before_the_window_is_full() {
        let mut window = RejectionWindow::new(10, 2);
        assert!(window.reject() && window.reject());
        assert!(!window.reject());
        window.accept(7);
        assert!(
            !window.reject(),
            "two of nine, and it would be the third of ten"
        );
        window.accept(2);
        assert!(window.reject(), "the oldest has left");
    }

    #[test]
    fn what_was_counted_is_restored_and_fades_with_good_messages() {
        let mut window = RejectionWindow::new(4, 2);
        window.accept(1);
        assert!(window.reject() && window.reject());
        let count = RejectionCount {
            rejected: window.rejected(),
            messages: window.messages(),
            in_a_row: 0,
            up_to: Offset(3),
            refused: None,
        };
        let mut restored = RejectionWindow::restored(4, 2, count);
        assert_eq!((restored.rejected(), restored.messages()), (2, 3));
        assert!(!restored.reject());
        restored.accept(3);
        assert!(restored.reject());
    }

    #[test]
    fn a_share_that_stays_the_same_is_still_allowed_after_a_restart() {
        let count = RejectionCount {
            rejected: 500,
            messages: 1000,
            in_a_row: 0,
            up_to: Offset(1000),
            refused: None,
        };
        let mut restored = RejectionWindow::restored(1000, 550, count);
        assert_eq!((restored.rejected(), restored.messages()), (500, 1000));
        for _ in 0..1000 {
            assert!(restored.reject());
            restored.accept(1);
        }
    }

    #[test]
    fn a_message_that_was_accepted_and_is_rejected_later_counts_once() {
        let mut window = RejectionWindow::new(10, 3);
        window.accept(4);
        assert!(window.reject_accepted() && window.reject_accepted());
        assert_eq!((window.rejected(), window.messages()), (2, 4));
        window.accept(7);
        assert_eq!((window.rejected(), window.messages()), (2, 10));
        assert!(window.reject_accepted());
        assert!(!window.reject_accepted(), "it would be the fourth");
        let mut all = RejectionWindow::new(2, 2);
        all.accept(1);
        assert!(all.reject_accepted() && all.reject_accepted() && all.reject());
        assert_eq!((all.rejected(), all.messages()), (2, 2));
    }

    #[test]
    fn nothing_is_allowed_and_everything_is_allowed() {
        assert!(!RejectionWindow::new(5, 0).reject());
        let mut all = RejectionWindow::new(5, 5);
        assert!((0..100).all(|_| all.reject()));
    }

    proptest! {
        #[test]
        fn window_counts_as_a_list_of_the_last_messages(
            length in 1_u32..20,
            allowed in 0_u32..20,
            steps in vec((any::<bool>(), 1_u32..8), 0..60),
        ) {
            let mut window = RejectionWindow::new(length, allowed);
            let mut model: VecDeque<bool> = VecDeque::new();
            let most = usize::try_from(length).unwrap();
            for (is_rejected, count) in steps {
                if is_rejected {
                    let mut after = model.clone();
                    after.push_back(true);
                    let last = after.len().saturating_sub(most);
                    let after: VecDeque<bool> = after.split_off(last);
                    let rejected = after.iter().filter(|&&rejected| rejected).count();
                    let is_allowed = rejected <= usize::try_from(allowed).unwrap();
                    prop_assert_eq!(window.reject(), is_allowed);
                    if is_allowed {
                        model = after;
                    }
                } else {
                    window.accept(count);
                    model.extend((0..count).map(|_| false));
                    let last = model.len().saturating_sub(most);
                    model = model.split_off(last);
                }
                let rejected = model.iter().filter(|&&rejected| rejected).count();
                prop_assert_eq!(usize::try_from(window.rejected()).unwrap(), rejected);
                prop_assert_eq!(usize::try_from(window.messages()).unwrap(), model.len());
            }
        }
    }
}
