//! The end of the process.

use signal_hook::low_level;

/// Ends the process with this code, and without the exit handlers of the C libraries. OpenSSL's frees what the threads of
/// Kafka's client may still use for a handshake, and then a segmentation fault would take the place of the code. Waits for
/// nothing: what is written to standard output is flushed at once.
pub fn end_process(code: i32) -> ! {
    low_level::exit(code)
}
