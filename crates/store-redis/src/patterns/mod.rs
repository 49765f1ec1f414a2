//! Patterns of production: small types over a store, each with keys of its own.

mod cache;
mod event_group;
mod event_log;
mod leaderboard;
mod lease;
mod lock;
mod pub_sub;
mod rate_limit;
mod semantic_cache;
mod semaphore;
mod sessions;

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::Result;
use store_core::kit::{check, own_types};

pub use cache::{CacheConfig, RedisCache};
pub use event_group::{GroupConfig, GroupLag, GroupStart, RedisEventGroup};
pub use event_log::{Appended, DeadLetter, EventLogConfig, LogEvent, RedisEventLog};
pub use leaderboard::{LeaderboardConfig, LeaderboardEntry, RedisLeaderboard, ScoreMode};
pub use lock::{LockConfig, RedisLock};
pub use pub_sub::{PubSubEvent, RedisPubSub};
pub use rate_limit::{OnFailure, RateDecision, RateLimit, RedisRateLimiter};
pub use semantic_cache::{CacheScope, SemanticCache, SemanticHit};
pub use semaphore::{RedisPermit, RedisSemaphore, SemaphoreConfig};
pub use sessions::RedisSessions;
pub use store_core::cache::CacheStats;
pub use store_core::kit::lease::LockGuard;

use crate::command::MAX_STRING;
use crate::space::Space;

/// The longest name of something, in bytes.
const MAX_NAME: usize = 1_024;
/// The longest time that a key may be kept: a hundred years.
const MAX_TIME: Duration = Duration::from_hours(100 * 366 * 24);

/// The first key of something with a name; its other keys begin with it, and are in its slot.
fn key(space: &Space, kind: &str, name: &str) -> Result<String> {
    self::name(kind, name)?;
    Ok(format!("{}{kind}:{{{}}}", space.prefix, escaped(name)))
}

/// Refuses an empty name and one that is too long; `what` says of what.
fn name(what: &str, name: &str) -> Result<()> {
    check::name(what, name, MAX_NAME)
}

/// A name that neither ends a hash tag nor looks like another name with something behind it.
fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '%' => text.push_str("%25"),
            ':' => text.push_str("%3A"),
            '{' => text.push_str("%7B"),
            '}' => text.push_str("%7D"),
            c => text.push(c),
        }
    }
    text
}

/// A duration in milliseconds, as the server counts; `what` names it where it can not be.
fn millis(what: &str, time: Duration) -> Result<i64> {
    check::time(what, time, MAX_TIME)?;
    Ok(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

/// A value as JSON, small enough for the server.
fn to_json<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<Vec<u8>> {
    let json = own_types::to_json(value)?.into_bytes();
    check::within("value", key, json.len(), MAX_STRING)?;
    Ok(json)
}

/// A value from its JSON.
fn from_json<T: DeserializeOwned>(key: &str, json: &[u8]) -> Result<T> {
    own_types::from_json(json).map_err(|error| error.with_key(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_names_are_one() {
        assert_eq!(escaped("a}b:{c}%7D"), "a%7Db%3A%7Bc%7D%257D");
        assert_ne!(escaped("a:b"), escaped("a%3Ab"));
    }

    #[test]
    fn times_are_bounded() {
        assert_eq!(millis("lease", Duration::from_secs(2)).unwrap(), 2_000);
        assert!(millis("lease", Duration::from_micros(999)).is_err());
        assert!(millis("lease", Duration::MAX).is_err());
    }
}
