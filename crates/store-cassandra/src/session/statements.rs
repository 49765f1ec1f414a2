//! Prepared statements, by their text.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cdrs_tokio::query::PreparedQuery;

/// Our own statements are few; what filters and readers make of them is bounded by this.
const MOST: usize = 1_000;

/// The statements that were prepared. The driver prepares one again where a node has forgotten it.
#[derive(Debug, Default)]
pub(super) struct Statements(Mutex<HashMap<String, Arc<PreparedQuery>>>);

impl Statements {
    pub(super) fn get(&self, text: &str) -> Option<Arc<PreparedQuery>> {
        self.lock().get(text).cloned()
    }

    pub(super) fn put(&self, text: &str, prepared: PreparedQuery) -> Arc<PreparedQuery> {
        let prepared = Arc::new(prepared);
        let mut known = self.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(text.to_owned(), Arc::clone(&prepared));
        prepared
    }

    pub(super) fn forget(&self, text: &str) {
        self.lock().remove(text);
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<PreparedQuery>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
