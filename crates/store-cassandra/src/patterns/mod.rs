//! What is often built on Cassandra.

mod counter;
mod ensure;
mod idempotency;
mod indexes;
mod lock;
mod series;
mod series_write;
mod time_series;
mod views;

use std::time::Duration;

use store_core::Result;
use store_core::kit::check;

pub use counter::{CassandraCounter, CounterConfig};
pub use ensure::{SchemaDifference, SchemaReport};
pub use idempotency::CassandraIdempotency;
pub use indexes::CassandraIndex;
pub use lock::CassandraLock;
pub use series::{BucketEstimate, CassandraSeries, SeriesType};
pub use store_core::kit::idempotency::{Begun, IdempotencyClaim, IdempotencyConfig};
pub use store_core::kit::lease::{LockConfig, LockGuard};
pub use time_series::{CassandraTimeSeries, TimeSample};
pub use views::CassandraView;

/// The longest name of something, in bytes.
const MAX_NAME: usize = 1_024;
/// The longest time that something may be kept; Cassandra itself counts no more than twenty years.
const MAX_TIME: Duration = Duration::from_hours(10 * 366 * 24);

/// Refuses an empty name and one that is too long; `what` says of what.
fn name(what: &str, name: &str) -> Result<()> {
    check::name(what, name, MAX_NAME)
}

/// Refuses a time that can not be; `what` names it.
fn time(what: &str, time: Duration) -> Result<()> {
    check::time(what, time, MAX_TIME)
}

/// The seconds of `USING TTL` for something that must not end sooner: a node counts from the beginning of its second.
fn ttl(time: Duration) -> i32 {
    let whole = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    i32::try_from(whole.saturating_add(1)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_times_are_bounded() {
        assert!(name("lock", "a").is_ok() && name("lock", &"x".repeat(1_024)).is_ok());
        assert!(name("lock", "").is_err() && name("lock", &"x".repeat(1_025)).is_err());
        assert!(time("lease", Duration::from_secs(2)).is_ok());
        assert!(time("lease", Duration::from_micros(999)).is_err());
        assert!(time("lease", Duration::MAX).is_err());
    }

    #[test]
    fn nothing_ends_sooner() {
        assert_eq!(ttl(Duration::from_millis(1)), 2);
        assert_eq!(ttl(Duration::from_secs(30)), 31);
        assert_eq!(ttl(Duration::from_millis(30_001)), 32);
        assert!(ttl(MAX_TIME) < 630_720_000);
    }
}
