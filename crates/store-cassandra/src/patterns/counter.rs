//! Counters.

use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use store_core::{Error, ErrorKind, Result};

use crate::CassandraBackend;
use crate::codec::{bigint, int, text};
use crate::error::{at, is_unknown};
use crate::runs::READS;
use crate::schema::Table;
use crate::session::{Call, Class};
use crate::space::Space;

/// A counter is the sum of its shards.
static COUNTERS: Table = Table {
    name: "counters",
    definition: "(name text, shard int, value counter, PRIMARY KEY (name, shard)) \
                 WITH comment = 'counters of nodestore'",
    then: &[],
};
/// The most shards.
const MAX_SHARDS: u8 = 64;

/// How a [`CassandraCounter`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CounterConfig {
    /// Over how many rows additions are spread, 1 to 64; default 8. Additions to one row wait for each other, and all are
    /// read together. It may be changed at any time.
    pub shards: u8,
}

impl Default for CounterConfig {
    fn default() -> Self {
        Self { shards: 8 }
    }
}

impl CounterConfig {
    /// Sets over how many rows additions are spread.
    #[must_use]
    pub fn with_shards(mut self, shards: u8) -> Self {
        self.shards = shards;
        self
    }
}

/// A counter across processes, by its name; it begins at 0.
///
/// **What it guarantees.** Every addition that was answered is counted, once; readers that come after it see it, as the
/// store's consistency levels have it.
///
/// **What it does not.** Whether an [`add`](Self::add) that ended with `Timeout` was counted is not known: it is not sent
/// again, since Cassandra could count it twice, and its error is not retryable. So a counter is as exact as the cluster
/// is well. What must be exact has a key: insert it once ([`CassandraIdempotency`](crate::CassandraIdempotency), or
/// [`put_once`](crate::CassandraTimeSeries::put_once) of a series) and count the rows. An addition can not answer the sum,
/// and a counter is never deleted or set: Cassandra may bring back a deleted one.
///
/// The table `counters` has a partition for each counter, with a row for each shard.
///
/// ```no_run
/// # use store_cassandra::{CassandraBackend, CassandraConfig, CassandraCounter, CounterConfig};
/// # async fn example() -> store_core::Result<()> {
/// let store = CassandraBackend::connect(CassandraConfig::new("app").with_create(true)).await?;
/// let tokens = CassandraCounter::new(&store, "tokens/anna", CounterConfig::default())?;
/// tokens.add(1_200).await?;
/// assert!(tokens.get().await? >= 1_200);
/// let all = CassandraCounter::get_many(&store, &["tokens/anna", "tokens/ben"]).await?;
/// assert_eq!(all.len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CassandraCounter {
    space: Arc<Space>,
    name: String,
    shards: u8,
}

impl CassandraCounter {
    /// The counter of this name. Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidInput` for an empty or too long name (1,024 bytes), or a number of shards that can not be.
    pub fn new(backend: &CassandraBackend, name: impl Into<String>, config: CounterConfig) -> Result<Self> {
        let name = name.into();
        super::name("counter", &name).map_err(at("counter"))?;
        if !(1..=MAX_SHARDS).contains(&config.shards) {
            let message = format!("there are {} shards; there may be 1 to {MAX_SHARDS}", config.shards);
            return Err(at("counter")(Error::invalid_input(message)));
        }
        Ok(Self { space: Arc::clone(&backend.space), name, shards: config.shards })
    }

    /// Adds.
    ///
    /// # Errors
    /// An error that is not retryable leaves open whether it was counted.
    pub async fn add(&self, by: i64) -> Result<()> {
        let shard = fastrand::u8(0..self.shards);
        let add = |table: &str| {
            let add = format!("UPDATE {table} SET value = value + ? WHERE name = ? AND shard = ?");
            let values = vec![bigint(by), text(self.name.as_str()), int(i32::from(shard))];
            Call::new(Class::WriteOnce, add, values)
        };
        let added = self.space.on(&COUNTERS, add).await;
        added.map(drop).map_err(|error| at("counter.add")(open(error)).with_key(self.name.as_str()))
    }

    /// The sum.
    ///
    /// # Errors
    /// `LimitExceeded` when it is beyond 64 bits. (A single row that goes beyond them begins at the other end: Cassandra does
    /// not tell.)
    pub async fn get(&self) -> Result<i64> {
        sum(&self.space, &self.name).await.map_err(at("counter.get"))
    }

    /// The sums of many counters, in their order, some read at a time.
    ///
    /// # Errors
    /// As with [`get`](Self::get).
    pub async fn get_many(backend: &CassandraBackend, names: &[&str]) -> Result<Vec<i64>> {
        let sums: Vec<_> = names.iter().map(|name| checked_sum(&backend.space, name).boxed()).collect();
        stream::iter(sums).buffered(READS).try_collect().await.map_err(at("counter.get_many"))
    }
}

async fn checked_sum(space: &Space, name: &str) -> Result<i64> {
    super::name("counter", name).map_err(|error| error.with_key(name))?;
    sum(space, name).await
}

async fn sum(space: &Space, name: &str) -> Result<i64> {
    let read = |table: &str| {
        let read = format!("SELECT value FROM {table} WHERE name = ?");
        Call::new(Class::Read, read, vec![text(name)])
    };
    let rows = space.on(&COUNTERS, read).await.map_err(|error| error.with_key(name))?;
    let mut sum = 0_i128;
    for row in rows.iter() {
        sum += i128::from(row.integer("value")?.unwrap_or_default());
    }
    i64::try_from(sum).map_err(|_| {
        let message = "the counter's sum is no whole number of 64 bits";
        Error::new(ErrorKind::LimitExceeded, message).with_key(name)
    })
}

/// The error of an addition: one of unknown outcome must not be repeated.
fn open(error: Error) -> Error {
    if !is_unknown(&error) {
        return error;
    }
    let message = format!(
        "{}; whether it was counted is not known, and it was not sent again, since that could count it twice",
        error.message()
    );
    Error::new(error.kind(), message).with_retryable(false).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::timed_out;

    #[test]
    fn what_may_be_counted_is_not_repeated() {
        let open = open(timed_out(std::time::Duration::from_secs(1)));
        assert_eq!((open.kind(), open.is_retryable()), (ErrorKind::Timeout, false));
        assert!(open.message().contains("not sent again"), "{open}");
        let nothing = Error::new(ErrorKind::Unavailable, "too few replicas are up; nothing was written");
        assert!(super::open(nothing).is_retryable());
    }
}
