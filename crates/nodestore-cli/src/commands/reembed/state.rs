//! What the store knows of a re-embedding that is not finished.

use nodestore::{EmbedderNote, Error, KvStoreExt};
use serde::{Deserialize, Serialize};

use crate::embedding;
use crate::failure::Failure;
use crate::store::Store;

/// Beside the note about the embedder.
const KEY: &str = "reembed";

/// A re-embedding from its first write to its last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// What the note will be: the model, and the set that is being filled.
    pub(super) next: EmbedderNote,
    /// The set that is left; `None` is the default one.
    pub(super) from: Option<String>,
    /// Whether that set stays.
    pub(super) keep: bool,
}

impl State {
    pub(super) async fn read(store: &Store) -> Result<Option<Self>, Failure> {
        Ok(store.backend.kv()?.get_as(embedding::COLLECTION, KEY).await?)
    }

    pub(super) async fn write(&self, store: &Store) -> Result<(), Failure> {
        Ok(store.backend.kv()?.put_as(embedding::COLLECTION, KEY, self).await?)
    }

    pub(super) async fn forget(store: &Store) -> Result<(), Failure> {
        store.backend.kv()?.delete(embedding::COLLECTION, KEY).await?;
        Ok(())
    }

    /// The name of the set that is being filled.
    pub(super) fn set(&self) -> Result<&str, Failure> {
        let set = self.next.set.as_deref();
        set.ok_or_else(|| Error::corrupt("the note about the re-embedding names no vector set").into())
    }

    /// The last step: without the old set, unless it stays.
    pub(super) async fn clean_up(&self, store: &Store) -> Result<(), Failure> {
        if !self.keep {
            store.backend.drop_vector_set(self.from.as_deref()).await?;
        }
        Self::forget(store).await
    }
}

/// A name that no vector set has yet.
pub(super) async fn free_name(store: &Store, in_use: Option<&str>) -> Result<String, Failure> {
    let taken = store.backend.vector_sets().await?;
    let names = (2_u64..).map(|number| format!("v{number}"));
    let mut free = names.filter(|name| in_use != Some(name.as_str()) && !taken.contains(name));
    Ok(free.next().unwrap_or_default())
}
