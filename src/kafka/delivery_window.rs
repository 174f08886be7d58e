//! The dead letters under way: how many there may be, and for how long none of them got an answer.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most letters under way: enough for full requests while another request waits for its answer. More would
/// only cost memory, and after a crash each of them may be written a second time.
const MAX_LETTERS: u64 = 800;

/// The most bytes of letters under way.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Shared by the threads that send letters and those that bring the answers. Each letter enters and leaves, on several
/// threads at once, so that takes a few atomic operations and no lock.
pub(super) struct DeliveryWindow {
    /// The letters under way have failed when no answer has come for so long.
    patience: Duration,
    max_letters: u64,
    /// The letters under way and their bytes: a packed [`Load`].
    load: AtomicU64,
    created: Instant,
    /// When the last answer came, or when the first of the letters under way was sent if that is later. In nanoseconds
    /// since `created`.
    silent_since: AtomicU64,
    has_expired: AtomicBool,
    /// The producer's own queue was full although there was room here. The next answer makes room in it.
    is_queue_full: AtomicBool,
    /// Held while a sender looks whether it has to wait, and while senders are woken up.
    lock: Mutex<()>,
    /// Half of the window is free: to wake senders up for each letter would cost more than the letters.
    room: Condvar,
}

/// The place of one letter in the window. The drop gives it back: the letter has got its answer.
pub(super) struct Place {
    window: Arc<DeliveryWindow>,
    load: Load,
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
        let queue = queue.map_or(MAX_LETTERS, |queue| {
            u64::try_from(queue).unwrap_or(MAX_LETTERS)
        });
        Arc::new(Self {
            patience,
            max_letters: queue.clamp(1, MAX_LETTERS),
            load: AtomicU64::new(0),
            created: Instant::now(),
            silent_since: AtomicU64::new(0),
            has_expired: AtomicBool::new(false),
            is_queue_full: AtomicBool::new(false),
            lock: Mutex::default(),
            room: Condvar::new(),
        })
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// A place for a letter of so many bytes. `None` while there is no room. One letter alone always fits.
    pub(super) fn enter(self: &Arc<Self>, bytes: usize) -> Option<Place> {
        let letter = Load {
            letters: 1,
            bytes: u64::try_from(bytes)
                .unwrap_or(u64::MAX)
                .min(Load::MOST_BYTES),
        };
        if self.load().letters == 0 {
            // Before the letter counts: the time in which nothing was under way is no silence.
            self.note_answer();
        }
        let entered = self.load.fetch_update(AcqRel, Acquire, |packed| {
            let load = Load::of(packed).plus(letter);
            let fits = load.letters <= self.max_letters && load.bytes <= MAX_BYTES;
            (load.letters == 1 || fits).then(|| load.packed())
        });
        entered.is_ok().then(|| Place {
            window: Arc::clone(self),
            load: letter,
            is_withdrawn: false,
        })
    }

    /// The producer did not take a letter because its own queue is full.
    pub(super) fn queue_is_full(&self) {
        self.is_queue_full.store(true, Release);
    }

    /// Waits until half of the window is free and the producer's queue has room, up to `timeout`.
    pub(super) fn wait_for_room(&self, timeout: Duration) {
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = self.room.wait_timeout_while(guard, timeout, |()| {
            self.is_queue_full.load(Acquire) || !self.is_half_free(self.load())
        });
        // The caller tries to enter, whether there is room or not.
        drop(waiting);
    }

    /// Whether no answer came for too long. Once that is so, it stays so: what is under way has failed.
    pub(super) fn check_expiry(&self, now: Instant) -> bool {
        let is_under_way = self.load().letters > 0;
        let silent_since = self.created + Duration::from_nanos(self.silent_since.load(Acquire));
        if is_under_way && now.saturating_duration_since(silent_since) >= self.patience {
            self.has_expired.store(true, Release);
        }
        self.has_expired()
    }

    /// Whether [`check_expiry`](Self::check_expiry) was true.
    pub(super) fn has_expired(&self) -> bool {
        self.has_expired.load(Acquire)
    }

    fn load(&self) -> Load {
        Load::of(self.load.load(Acquire))
    }

    fn note_answer(&self) {
        let nanos = u64::try_from(self.created.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.silent_since.store(nanos, Release);
    }

    fn is_half_free(&self, load: Load) -> bool {
        load.letters <= self.max_letters / 2 && load.bytes <= MAX_BYTES / 2
    }

    fn leave(&self, letter: Load) {
        let before = Load::of(self.load.fetch_sub(letter.packed(), AcqRel));
        let is_room_new = !self.is_half_free(before) && self.is_half_free(before.minus(letter));
        let had_full_queue =
            self.is_queue_full.load(Acquire) && self.is_queue_full.swap(false, AcqRel);
        if is_room_new || had_full_queue {
            // A sender that has looked and does not wait yet would miss this.
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            // One sender fills the free half as fast as all of them, who would wake up for a few letters each. If it has
            // less to send, the others look again when their time is up.
            self.room.notify_one();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_withdrawn {
            // Before the place is free: the window must not look silent to whoever takes it.
            self.window.note_answer();
        }
        self.window.leave(self.load);
    }
}

/// Letters and their bytes, which are counted together, in one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Load {
    letters: u64,
    bytes: u64,
}

impl Load {
    const BYTES_BITS: u32 = 48;
    /// Of one letter. Kafka's largest message is smaller.
    const MOST_BYTES: u64 = 1 << 32;

    fn of(packed: u64) -> Self {
        Self {
            letters: packed >> Self::BYTES_BITS,
            bytes: packed & ((1 << Self::BYTES_BITS) - 1),
        }
    }

    fn packed(self) -> u64 {
        (self.letters << Self::BYTES_BITS) + self.bytes
    }

    fn plus(self, other: Self) -> Self {
        Self {
            letters: self.letters + other.letters,
            bytes: self.bytes + other.bytes,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            letters: self.letters - other.letters,
            bytes: self.bytes - other.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);
    /// A quarter of the window.
    const LARGE: usize = 1024 * 1024;

    fn fill(window: &Arc<DeliveryWindow>, bytes: usize) -> Vec<Place> {
        std::iter::from_fn(|| window.enter(bytes)).collect()
    }

    fn waits(window: &DeliveryWindow) -> bool {
        let timeout = Duration::from_millis(20);
        let started = Instant::now();
        window.wait_for_room(timeout);
        started.elapsed() >= timeout
    }

    fn letters(window: &DeliveryWindow) -> u64 {
        window.load().letters
    }

    #[test]
    fn letters_and_bytes_are_limited_and_one_letter_always_fits() {
        let window = DeliveryWindow::new(None, PATIENCE);
        let huge = window.enter(40 * LARGE);
        assert!(huge.is_some(), "alone it fits");
        assert!(window.enter(1).is_none());
        drop(huge);
        let small = fill(&window, 1);
        assert_eq!(u64::try_from(small.len()).unwrap(), MAX_LETTERS);
        drop(small);
        assert_eq!(window.load(), Load::of(0));
        let small_queue = DeliveryWindow::new(Some(1), PATIENCE);
        let first = small_queue.enter(1);
        assert!(first.is_some() && small_queue.enter(1).is_none());
        assert_eq!(fill(&window, LARGE).len(), 4);
    }

    #[test]
    fn sender_waits_until_half_of_the_window_is_free() {
        let window = DeliveryWindow::new(None, PATIENCE);
        let mut places = fill(&window, 1);
        while letters(&window) > MAX_LETTERS / 2 + 1 {
            places.pop();
        }
        assert!(waits(&window));
        places.pop();
        window.wait_for_room(Duration::from_secs(3600));
    }

    #[test]
    fn sender_waits_for_an_answer_where_the_queue_of_the_producer_is_full() {
        let window = DeliveryWindow::new(None, PATIENCE);
        let under_way = window.enter(1);
        window.enter(1).expect("room").withdraw();
        window.queue_is_full();
        assert!(waits(&window));
        drop(under_way);
        window.wait_for_room(Duration::from_secs(3600));
    }

    #[test]
    fn a_letter_that_the_producer_did_not_take_leaves_the_clock_alone() {
        let window = DeliveryWindow::new(None, PATIENCE);
        let _under_way = window.enter(1);
        let before = window.silent_since.load(Acquire);
        window.enter(1).expect("room").withdraw();
        assert_eq!(window.silent_since.load(Acquire), before);
        assert_eq!(letters(&window), 1);
    }

    #[test]
    fn each_answer_restarts_the_clock() {
        let window = DeliveryWindow::new(None, PATIENCE);
        let later = Instant::now() + 2 * PATIENCE;
        assert!(!window.check_expiry(later), "nothing is under way");
        let first = window.enter(1);
        let second = window.enter(1);
        let sent = window.created + Duration::from_nanos(window.silent_since.load(Acquire));
        assert!(!window.check_expiry(sent + PATIENCE / 2));
        drop(first);
        let answered = window.created + Duration::from_nanos(window.silent_since.load(Acquire));
        assert!(answered > sent);
        assert!(!window.check_expiry(answered + PATIENCE / 2));
        assert!(window.check_expiry(answered + PATIENCE));
        drop(second);
        assert!(window.has_expired(), "what has failed stays failed");
    }
}
