//! Who may begin a lightweight transaction.
//!
//! Two at once on one partition hinder each other on the nodes, and both begin again. Those of one store take turns.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

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
    /// Waits for the turn in these buckets of a collection, and keeps it until the answer is dropped.
    pub(crate) async fn take(&self, collection: &str, buckets: Vec<i32>) -> Vec<OwnedMutexGuard<()>> {
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
                turns.push(Arc::clone(turn).lock_owned().await);
            }
        }
        turns
    }
}
