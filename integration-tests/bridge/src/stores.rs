//! The stores that are open.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nodestore::{Backend, Error, Result};

/// The open stores, by handle.
#[derive(Debug, Default)]
pub(crate) struct Stores(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    last: u64,
    stores: BTreeMap<u64, Arc<dyn Backend>>,
}

impl Stores {
    /// Adds a store and answers its handle; handles are never used again.
    pub(crate) fn add(&self, store: Arc<dyn Backend>) -> u64 {
        let mut open = self.lock();
        open.last += 1;
        let handle = open.last;
        open.stores.insert(handle, store);
        handle
    }

    /// The store of a handle.
    ///
    /// # Errors
    /// `InvalidInput` without a handle, for an unknown one, and for one that is closed.
    pub(crate) fn get(&self, handle: Option<u64>) -> Result<Arc<dyn Backend>> {
        let known = |handle| self.lock().stores.get(&handle).map(Arc::clone);
        found(handle, known)
    }

    /// Takes the store of a handle out; as [`get`](Self::get).
    pub(crate) fn take(&self, handle: Option<u64>) -> Result<Arc<dyn Backend>> {
        found(handle, |handle| self.lock().stores.remove(&handle))
    }

    /// Closes what is left open.
    pub(crate) async fn close(&self) {
        let stores = std::mem::take(&mut self.lock().stores);
        for (handle, store) in stores {
            if let Err(error) = store.close().await {
                tracing::warn!(handle, %error, "the store was not closed well");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Nothing is half done when a panic ends a call in here.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn found(
    handle: Option<u64>,
    find: impl FnOnce(u64) -> Option<Arc<dyn Backend>>,
) -> Result<Arc<dyn Backend>> {
    let handle =
        handle.ok_or_else(|| Error::invalid_input("\"store\" is missing: the handle that open answered"))?;
    find(handle).ok_or_else(|| Error::invalid_input("no store is open under this handle; open gives one"))
}
