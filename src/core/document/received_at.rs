//! The `received_at` field: a clock reading, formatted once for the whole batch.

use std::time::SystemTime;

use jiff::Timestamp;

/// When a batch was received: RFC 3339, UTC, milliseconds, `Z`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedAt(String);

impl ReceivedAt {
    /// Fractions of a millisecond are cut off. A clock outside of the years 1970 to 9999, where
    /// RFC 3339 has no form for it or the clock was never set, is taken as the nearest end of them.
    #[must_use]
    pub fn new(t: SystemTime) -> Self {
        let timestamp = match Timestamp::try_from(t) {
            Ok(timestamp) => timestamp.max(Timestamp::UNIX_EPOCH),
            Err(_) if t < SystemTime::UNIX_EPOCH => Timestamp::UNIX_EPOCH,
            Err(_) => Timestamp::MAX,
        };
        Self(format!("{timestamp:.3}"))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
