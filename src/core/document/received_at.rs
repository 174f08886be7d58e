//! The value of the `received_at` field, formatted once for a whole batch.

use std::time::SystemTime;

use jiff::Timestamp;

/// When a batch was received: RFC 3339, UTC, milliseconds, `Z`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedAt(String);

impl ReceivedAt {
    /// Cuts off fractions of a millisecond. A time outside the years 1970 to 9999 becomes the nearest
    /// time inside them: RFC 3339 can't write a later one, and an earlier one means an unset clock.
    pub fn new(t: SystemTime) -> Self {
        let timestamp = match Timestamp::try_from(t) {
            Ok(timestamp) => timestamp.max(Timestamp::UNIX_EPOCH),
            Err(_) if t < SystemTime::UNIX_EPOCH => Timestamp::UNIX_EPOCH,
            Err(_) => Timestamp::MAX,
        };
        Self(format!("{timestamp:.3}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}
