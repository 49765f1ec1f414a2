//! The time of our writes.
//!
//! Cassandra keeps the write of the latest time. Plain writes carry ours, so that one which is sent again, or which a
//! slow node makes late, changes nothing that was written since. A lightweight transaction has the time of the nodes,
//! whole milliseconds and a count: it must not begin in the millisecond of a plain write that it is to replace.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use store_core::kit::epoch;

/// Microseconds of a millisecond.
const MILLI: i64 = 1_000;

/// Gives each write of a store a time after that of the one before.
#[derive(Debug, Default)]
pub(crate) struct Clock(AtomicI64);

impl Clock {
    /// The time of a write: microseconds since 1970.
    pub(crate) fn next(&self) -> i64 {
        let now = micros();
        let later = |last: i64| now.max(last.saturating_add(1));
        let last = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(later(last)));
        later(last.unwrap_or_default())
    }

    /// Waits, a millisecond or two at most, until all times that were given so far lie before those of a lightweight
    /// transaction that begins now.
    pub(crate) async fn passed(&self) {
        let last = self.0.load(Ordering::Acquire);
        wait_past(last, micros()).await;
    }
}

/// Waits until a clock that shows `now` has come to a whole millisecond after `time`.
pub(crate) async fn wait_past(time: i64, now: i64) {
    let left = (time / MILLI + 1).saturating_mul(MILLI).saturating_sub(now);
    if left > 0 {
        tokio::time::sleep(Duration::from_micros(left.unsigned_abs())).await;
    }
}

/// The time in microseconds of the epoch, as timestamps of writes are counted.
pub(crate) fn micros() -> i64 {
    i64::try_from(epoch::micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_rise() {
        let clock = Clock::default();
        let before = micros();
        let times: Vec<i64> = (0..10_000).map(|_| clock.next()).collect();
        assert!(times.first().is_some_and(|first| *first >= before));
        assert!(times.is_sorted_by(|one, next| one < next));
    }

    #[tokio::test]
    async fn a_transaction_waits_for_the_next_millisecond() {
        let clock = Clock::default();
        for _ in 0..20 {
            let time = clock.next();
            clock.passed().await;
            assert!(micros() / MILLI > time / MILLI);
        }
    }
}
