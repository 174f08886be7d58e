//! The queue between the threads that log and the one thread that writes the log. A thread that logs never waits
//! for the reader of the log.

use std::io::Write;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most bytes that wait to be written: some thousand lines. As much again is being written at most.
const LIMIT: usize = 1 << 20;

/// Lines that wait to be written. When the queue is full, new lines are dropped and counted.
pub(super) struct LineQueue {
    /// A mutex, because threads share the lines. It is held only while bytes are copied, never during a write.
    state: Mutex<QueueState>,
    /// Lines were added.
    filled: Condvar,
    /// All lines were written, or could not be.
    written: Condvar,
    /// All lines that were dropped since the process started.
    dropped: AtomicU64,
}

struct QueueState {
    /// Whole lines, each with its line feed.
    lines: Vec<u8>,
    /// The number of these lines.
    count: u64,
    /// The dropped lines that no line of the log has reported yet.
    unreported: u64,
    is_writing: bool,
}

impl LineQueue {
    pub(super) const fn new() -> Self {
        Self {
            state: Mutex::new(QueueState {
                lines: Vec::new(),
                count: 0,
                unreported: 0,
                is_writing: false,
            }),
            filled: Condvar::new(),
            written: Condvar::new(),
            dropped: AtomicU64::new(0),
        }
    }

    /// Adds a line, which ends with a line feed, or drops it if the queue is full. Never waits for a write.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.lines.len() + line.len() > LIMIT {
            state.unreported += 1;
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.lines.extend_from_slice(line);
        state.count += 1;
        drop(state);
        self.filled.notify_one();
    }

    /// Waits up to `timeout` for lines, and writes them in one call. If lines were dropped before, the line that
    /// `report` makes of their number follows. `buffer` is reused between calls. Only one thread may call this.
    pub(super) fn write_next(
        &self,
        out: &mut impl Write,
        buffer: &mut Vec<u8>,
        timeout: Duration,
        report: impl FnOnce(u64) -> Vec<u8>,
    ) {
        buffer.clear();
        let (count, unreported) = {
            let (mut state, _) = self
                .filled
                .wait_timeout_while(self.lock(), timeout, |state| state.lines.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            if state.lines.is_empty() {
                return;
            }
            mem::swap(buffer, &mut state.lines);
            state.is_writing = true;
            (
                mem::take(&mut state.count),
                mem::take(&mut state.unreported),
            )
        };
        if unreported > 0 {
            buffer.extend(report(unreported));
        }
        let written = out.write_all(buffer).and_then(|()| out.flush());
        let mut state = self.lock();
        state.is_writing = false;
        if written.is_err() {
            // Nobody reads the log any more, or not now. The worker goes on.
            state.unreported += count + unreported;
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
        drop(state);
        self.written.notify_all();
    }

    /// Waits until every line is written, up to `timeout`. Returns whether that was done.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let (state, waited) = self
            .written
            .wait_timeout_while(self.lock(), timeout, |state| {
                !state.lines.is_empty() || state.is_writing
            })
            .unwrap_or_else(PoisonError::into_inner);
        drop(state);
        !waited.timed_out()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::thread;

    use super::*;

    fn report(dropped: u64) -> Vec<u8> {
        format!("{dropped} dropped\n").into_bytes()
    }

    fn written(queue: &LineQueue) -> String {
        let mut out = Vec::new();
        queue.write_next(&mut out, &mut Vec::new(), Duration::ZERO, report);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_written_in_their_order() {
        let queue = LineQueue::new();
        assert_eq!(written(&queue), "");
        queue.push(b"one\n");
        queue.push(b"two\n");
        assert_eq!(written(&queue), "one\ntwo\n");
        assert_eq!(written(&queue), "");
        assert_eq!(queue.dropped(), 0);
    }

    #[test]
    fn lines_that_do_not_fit_are_dropped_and_reported_once() {
        let queue = LineQueue::new();
        let line = [b'x'; 1024];
        let fits = LIMIT / line.len();
        for _ in 0..fits + 7 {
            queue.push(&line);
        }
        assert_eq!(queue.dropped(), 7);
        let text = written(&queue);
        assert_eq!(text.len(), LIMIT + "7 dropped\n".len());
        assert!(text.ends_with("7 dropped\n"));
        queue.push(b"next\n");
        assert_eq!(written(&queue), "next\n");
        assert_eq!(queue.dropped(), 7);
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_can_not_be_written_count_as_dropped() {
        let queue = LineQueue::new();
        queue.push(b"one\n");
        queue.push(b"two\n");
        queue.write_next(&mut Closed, &mut Vec::new(), Duration::ZERO, report);
        assert_eq!(queue.dropped(), 2);
        assert!(queue.flush(Duration::ZERO), "nothing is left to write");
        queue.push(b"three\n");
        assert_eq!(written(&queue), "three\n2 dropped\n");
    }

    #[test]
    fn a_flush_waits_for_the_writing_thread_but_not_for_ever() {
        let queue = LineQueue::new();
        assert!(queue.flush(Duration::ZERO));
        queue.push(b"one\n");
        assert!(!queue.flush(Duration::from_millis(10)), "nobody writes");
        thread::scope(|scope| {
            scope.spawn(|| written(&queue));
            assert!(queue.flush(Duration::from_secs(60)));
        });
    }
}
