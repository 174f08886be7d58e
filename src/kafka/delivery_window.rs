//! The dead letters under way: how many there may be, and for how long none of them got an answer.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most letters under way: enough for full requests while another request waits for its answer. More would
/// only cost memory, and after a crash each of them may be written a second time.
const MAX_LETTERS: usize = 1000;

/// The most bytes of letters under way.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Shared by the threads that send letters and those that bring the answers.
pub(super) struct DeliveryWindow {
    /// The letters under way have failed when no answer has come for so long.
    patience: Duration,
    max_letters: usize,
    state: Mutex<WindowState>,
    /// Half of the window is free: to wake senders up for each letter would cost more than the letters.
    room: Condvar,
}

struct WindowState {
    letters: usize,
    bytes: usize,
    /// The time of the last answer, or of the first of the letters under way if that is later.
    silent_since: Instant,
    has_expired: bool,
}

/// The place of one letter in the window. The drop gives it back: the letter has got its answer.
pub(super) struct Place {
    window: Arc<DeliveryWindow>,
    bytes: usize,
    /// The letter was never sent, so that giving its place back is no answer.
    is_withdrawn: bool,
}

impl Place {
    /// Gives the place back of a letter that the producer did not take. The clock goes on.
    pub(super) fn withdraw(mut self) {
        self.is_withdrawn = true;
    }
}

impl DeliveryWindow {
    /// `queue` is how many letters the producer's queue holds, where that is configured.
    pub(super) fn new(queue: Option<usize>, patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            patience,
            max_letters: queue.map_or(MAX_LETTERS, |queue| queue.clamp(1, MAX_LETTERS)),
            state: Mutex::new(WindowState {
                letters: 0,
                bytes: 0,
                silent_since: Instant::now(),
                has_expired: false,
            }),
            room: Condvar::new(),
        })
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// A place for a letter of so many bytes. `None` while there is no room. One letter alone always fits.
    pub(super) fn enter(self: &Arc<Self>, bytes: usize) -> Option<Place> {
        let mut state = self.state();
        let fits =
            state.letters < self.max_letters && state.bytes.saturating_add(bytes) <= MAX_BYTES;
        if state.letters > 0 && !fits {
            return None;
        }
        if state.letters == 0 {
            state.silent_since = Instant::now();
        }
        state.letters += 1;
        state.bytes += bytes;
        Some(Place {
            window: Arc::clone(self),
            bytes,
            is_withdrawn: false,
        })
    }

    /// Waits until half of the window is free, up to `timeout`.
    pub(super) fn wait_for_room(&self, timeout: Duration) {
        let waiting = self
            .room
            .wait_timeout_while(self.state(), timeout, |state| {
                !state.is_half_free(self.max_letters)
            });
        // The caller tries to enter, whether there is room or not.
        drop(waiting);
    }

    /// Whether no answer came for too long. Once that is so, it stays so: what is under way has failed.
    pub(super) fn check_expiry(&self, now: Instant) -> bool {
        let mut state = self.state();
        let silent = now.saturating_duration_since(state.silent_since);
        state.has_expired |= state.letters > 0 && silent >= self.patience;
        state.has_expired
    }

    /// Whether [`check_expiry`](Self::check_expiry) was true.
    pub(super) fn has_expired(&self) -> bool {
        self.state().has_expired
    }

    fn state(&self) -> MutexGuard<'_, WindowState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WindowState {
    fn is_half_free(&self, max_letters: usize) -> bool {
        self.letters <= max_letters / 2 && self.bytes <= MAX_BYTES / 2
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.window.state();
        let was_half_free = state.is_half_free(self.window.max_letters);
        state.letters -= 1;
        state.bytes -= self.bytes;
        if !self.is_withdrawn {
            state.silent_since = Instant::now();
        }
        if !was_half_free && state.is_half_free(self.window.max_letters) {
            drop(state);
            self.window.room.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn letters_and_bytes_are_limited_and_one_letter_always_fits() {
        let window = DeliveryWindow::new(None, PATIENCE);
        let huge = window.enter(10 * MAX_BYTES);
        assert!(huge.is_some(), "alone it fits");
        assert!(window.enter(1).is_none());
        drop(huge);
        let letters: Vec<_> = std::iter::from_fn(|| window.enter(1)).collect();
        assert_eq!(letters.len(), MAX_LETTERS);
        drop(letters);
        let small_queue = DeliveryWindow::new(Some(1), PATIENCE);
        let first = small_queue.enter(1);
        assert!(first.is_some() && small_queue.enter(1).is_none());
        let large: Vec<_> = std::iter::from_fn(|| window.enter(MAX_BYTES / 4)).collect();
        assert_eq!(large.len(), 4);
    }

    #[test]
    fn sender_waits_until_half_of_the_window_is_free() {
        let window = DeliveryWindow::new(None, PATIENCE);
        let mut letters: Vec<_> = std::iter::from_fn(|| window.enter(1)).collect();
        letters.truncate(MAX_LETTERS / 2 + 1);
        let started = Instant::now();
        window.wait_for_room(Duration::from_millis(20));
        assert!(started.elapsed() >= Duration::from_millis(20));
        letters.pop();
        window.wait_for_room(Duration::from_secs(3600));
    }

    #[test]
    fn a_letter_that_the_producer_did_not_take_leaves_the_clock_alone() {
        let window = DeliveryWindow::new(None, PATIENCE);
        let _under_way = window.enter(1);
        let before = window.state().silent_since;
        window.enter(1).expect("room").withdraw();
        let state = window.state();
        assert_eq!((state.silent_since, state.letters), (before, 1));
    }

    #[test]
    fn each_answer_restarts_the_clock() {
        let window = DeliveryWindow::new(None, PATIENCE);
        let later = Instant::now() + 2 * PATIENCE;
        assert!(!window.check_expiry(later), "nothing is under way");
        let first = window.enter(1);
        let second = window.enter(1);
        window.state().silent_since = later;
        assert!(!window.check_expiry(later + PATIENCE / 2));
        assert!(window.check_expiry(later + PATIENCE));
        window.state().has_expired = false;
        drop(first);
        let answered = window.state().silent_since;
        assert!(!window.check_expiry(answered + PATIENCE / 2));
        assert!(window.check_expiry(answered + PATIENCE));
        drop(second);
        assert!(window.has_expired(), "what has failed stays failed");
    }
}
