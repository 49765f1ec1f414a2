//! What the handles of a store share of the keys that they change: turns, and what this process knows of them.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::{Mutex as StdMutex, PoisonError};

use tokio::sync::{Mutex, MutexGuard};

/// Keys share a turn by chance.
const PLACES: usize = 32;
/// Keys of which something is remembered.
const REMEMBERED: usize = 4_096;

/// The turns in which one process changes what has a key: changes made at once would only conflict.
#[derive(Debug, Default)]
pub struct Turns([Mutex<()>; PLACES]);

impl Turns {
    /// Waits for the key's turn, and keeps it until the answer is dropped.
    pub async fn take(&self, key: &str) -> Option<MutexGuard<'_, ()>> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        let place = usize::try_from(hash % PLACES as u64).ok()?;
        Some(self.0.get(place)?.lock().await)
    }
}

/// What one process knows of keys, as it left them; of a few thousand, and then begun anew.
pub struct Remembered<T>(StdMutex<HashMap<String, T>>);

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self(StdMutex::default())
    }
}

impl<T> fmt::Debug for Remembered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembered").finish_non_exhaustive()
    }
}

impl<T: Clone> Remembered<T> {
    /// What is known of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Remembers it, or forgets it.
    pub fn set(&self, key: &str, known: Option<T>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known {
            Some(known) => {
                if all.len() >= REMEMBERED {
                    all.clear();
                }
                all.insert(key.to_owned(), known);
            }
            None => drop(all.remove(key)),
        }
    }
}
