//! The worker's modules that read what others wrote, and a measure of what that costs.
//!
//! The modules are the worker's own files. Nothing of the worker has to be public for this, and neither librdkafka nor
//! MongoDB's driver is compiled.

#[allow(dead_code, unused_imports)]
#[path = "../../src/config/mod.rs"]
pub mod config;
#[allow(dead_code, unused_imports)]
#[path = "../../src/core/mod.rs"]
pub mod core;
pub mod kafka;

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What an input may cost: a fixed part, and a part for each of its bytes.
pub struct Budget {
    pub memory: u64,
    pub memory_per_byte: u64,
    pub time: Duration,
    pub time_per_byte: Duration,
}

impl Budget {
    /// The budget with the usual time: a hundred times what an input takes in a fuzz target, which is slow. What
    /// grows with the square of the input exceeds it far below the longest input.
    pub const fn of_memory(memory: u64, memory_per_byte: u64) -> Self {
        Self {
            memory,
            memory_per_byte,
            time: Duration::from_millis(50),
            time_per_byte: Duration::from_micros(5),
        }
    }

    /// Calls `read`, and panics if it takes more than an input of `bytes` may cost.
    pub fn check<T>(&self, bytes: usize, read: impl FnOnce() -> T) -> T {
        let mut result = None;
        let began = cpu_time();
        let allocated = allocation_counter::measure(|| result = Some(read()));
        let taken = cpu_time() - began;

        let bytes = u32::try_from(bytes).expect("an input of less than 4 GiB");
        let memory = self.memory + self.memory_per_byte * u64::from(bytes);
        assert!(
            allocated.bytes_max <= memory,
            "{bytes} bytes took {} bytes of memory, and may take {memory}",
            allocated.bytes_max
        );
        let time = self.time + self.time_per_byte * bytes;
        assert!(
            taken <= time,
            "{bytes} bytes took {taken:?}, and may take {time:?}"
        );
        result.expect("invariant: `measure` calls the function")
    }
}

/// The CPU time of this thread: other programs on the machine don't lengthen it.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime)
        .try_into()
        .expect("a CPU time isn't negative")
}
