//! The time of this machine's clock, since 1970. A clock before that counts as at it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// To the nanosecond.
#[must_use]
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// In whole seconds.
#[must_use]
pub fn seconds() -> u64 {
    now().as_secs()
}

/// In whole milliseconds.
#[must_use]
pub fn millis() -> u64 {
    u64::try_from(now().as_millis()).unwrap_or(u64::MAX)
}

/// In whole microseconds.
#[must_use]
pub fn micros() -> u64 {
    u64::try_from(now().as_micros()).unwrap_or(u64::MAX)
}
