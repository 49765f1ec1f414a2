//! Which embedder filled a store, noted in the store, and which vector set is in use.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use store_core::{Backend, KvStoreExt, Result, VectorStore};

/// What a store says of its vectors: which embedder made them, and in which vector set they are.
///
/// The program `nodestore` writes it with the first ingest, and switches to another set with `reembed` by writing it
/// once. It is one key-value, [`COLLECTION`](Self::COLLECTION) and [`KEY`](Self::KEY); it holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EmbedderNote {
    /// [`Embedder::model`](crate::Embedder::model) of what made the vectors.
    pub model: String,
    /// Values in each vector.
    pub dimensions: usize,
    /// The base URL of the endpoint, for a model that is asked over the network; secrets in it are replaced by `***`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Whether the endpoint is asked for these dimensions, in place of the model's own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asks_dimensions: bool,
    /// The vector set; `None` is the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
}

impl EmbedderNote {
    /// The collection of the note.
    pub const COLLECTION: &'static str = "nodestore";
    /// The key of the note.
    pub const KEY: &'static str = "embedder";

    /// A model that filled the default vector set.
    #[must_use]
    pub fn new(model: impl Into<String>, dimensions: usize) -> Self {
        Self { model: model.into(), dimensions, endpoint: None, asks_dimensions: false, set: None }
    }

    /// Reads the note of a store, if it has one; a backend without key-values has none.
    ///
    /// # Errors
    /// `Corrupt` for one that can not be read, and what the store says.
    pub async fn read(backend: &dyn Backend) -> Result<Option<Self>> {
        if backend.capabilities().kv.is_none() {
            return Ok(None);
        }
        backend.kv()?.get_as(Self::COLLECTION, Self::KEY).await
    }

    /// Writes the note: from now on this set is in use.
    pub async fn write(&self, backend: &dyn Backend) -> Result<()> {
        backend.kv()?.put_as(Self::COLLECTION, Self::KEY, self).await
    }

    /// The vector set that the note names.
    pub fn vectors(&self, backend: &dyn Backend) -> Result<Arc<dyn VectorStore>> {
        match &self.set {
            Some(name) => backend.vector_set(name),
            None => backend.vectors(),
        }
    }
}

/// The vectors in use: those of the set that the store's [`EmbedderNote`] names, else the default ones.
///
/// `nodestore reembed` fills a new set beside the old one and switches when it is complete. A service that opens its
/// vectors by this function at its start follows the switch with its next start; it needs an embedder of the new model
/// then, so compare [`EmbedderNote::model`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> nodestore::Result<()> {
/// let store = nodestore::open("memory:").await?;
/// let vectors = nodestore::vectors_in_use(&*store).await?;
/// assert!(vectors.config().await?.is_none());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`EmbedderNote::read`], and `Unsupported` from a backend without vectors.
pub async fn vectors_in_use(backend: &dyn Backend) -> Result<Arc<dyn VectorStore>> {
    match EmbedderNote::read(backend).await? {
        Some(note) => note.vectors(backend),
        None => backend.vectors(),
    }
}
