//! Times to live, as the server takes them.

use std::time::Duration;

/// The longest, a thousand years in milliseconds: the server takes some eight thousand.
const LONGEST_MS: u128 = 1_000 * 365 * 24 * 3_600 * 1_000;

/// A time to live in milliseconds, rounded up, and no longer than the server takes it.
pub(crate) fn millis(ttl: Duration) -> u128 {
    ttl.as_nanos().div_ceil(1_000_000).min(LONGEST_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_live_are_never_shorter_than_asked_and_never_too_long() {
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::from_millis(2)), 2);
        assert_eq!(millis(Duration::MAX), LONGEST_MS);
    }
}
