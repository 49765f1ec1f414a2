//! Who may begin a lightweight transaction.
//!
//! Two at once on one partition hinder each other on the nodes, and both begin again. Those of one store take turns.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use store_core::{Error, ErrorKind, Result};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout_at;

use crate::deadline;
use crate::kv_layout::hash;

/// Partitions share a turn by chance.
const PLACES: usize = 256;

/// A turn for each partition.
#[derive(Debug)]
pub(crate) struct Turns(Vec<Arc<Mutex<()>>>);

impl Default for Turns {
    fn default() -> Self {
        Self((0..PLACES).map(|_| Arc::default()).collect())
    }
}

impl Turns {
    /// Waits for the turn in these buckets of a collection, at most this long, and keeps it until the answer is dropped.
    pub(crate) async fn take(
        &self,
        collection: &str,
        buckets: Vec<i32>,
        limit: Duration,
    ) -> Result<Vec<OwnedMutexGuard<()>>> {
        let base = hash(collection.as_bytes());
        let place = |bucket: i32| {
            let place = base.wrapping_add(u64::from(bucket.unsigned_abs()));
            usize::try_from(place % PLACES as u64).unwrap_or_default()
        };
        // In one order for all, so that no two wait for each other.
        let places: BTreeSet<usize> = buckets.into_iter().map(place).collect();
        let mut turns = Vec::with_capacity(places.len());
        for place in places {
            if let Some(turn) = self.0.get(place) {
                turns.push(in_time(limit, Arc::clone(turn).lock_owned()).await?);
            }
        }
        Ok(turns)
    }
}

/// Waits for a turn within the time of the call.
pub(crate) async fn in_time<T>(limit: Duration, turn: impl Future<Output = T>) -> Result<T> {
    timeout_at(deadline::until(limit), turn).await.map_err(|_| {
        let message = format!(
            "other calls of this store that change the same took all of the {} ms; nothing was written",
            limit.as_millis()
        );
        Error::new(ErrorKind::Timeout, message)
    })
}
