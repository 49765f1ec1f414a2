//! Index structs over any key-value store.

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, future};

use super::named;
use crate::kit::check;
use crate::{BoxStream, IndexStore, IndexStruct, KvStore, KvStoreExt, Result, ScanOptions};

/// LlamaIndex's index store over any key-value store: one entry per struct in `index_store/data`, with the
/// struct's data as JSON text inside, as Python writes it.
#[derive(Clone, Debug)]
pub struct KvIndexStore<K> {
    kv: K,
    backend: Option<&'static str>,
    collection: String,
}

impl<K: KvStore> KvIndexStore<K> {
    /// With Python's default collection, `index_store/data`.
    #[must_use]
    pub fn new(kv: K) -> Self {
        Self::with_collection(kv, "index_store/data")
    }

    /// With another collection (Redis: `index_store/index`).
    #[must_use]
    pub fn with_collection(kv: K, collection: impl Into<String>) -> Self {
        Self { kv, backend: None, collection: collection.into() }
    }

    /// Names the backend in this layer's own errors; the key-value store names itself in its own.
    #[must_use]
    pub fn with_backend(mut self, backend: &'static str) -> Self {
        self.backend = Some(backend);
        self
    }
}

#[async_trait]
impl<K: KvStore> IndexStore for KvIndexStore<K> {
    async fn put(&self, index: IndexStruct) -> Result<()> {
        check::non_empty("index id", index.index_id())
            .map_err(|error| named(error, self.backend, "index.put"))?;
        self.kv.put(&self.collection, index.index_id(), index.to_stored_json()).await
    }

    async fn get(&self, index_id: &str) -> Result<Option<IndexStruct>> {
        check::non_empty("index id", index_id).map_err(|error| named(error, self.backend, "index.get"))?;
        let stored = self.kv.get(&self.collection, index_id).await?;
        stored
            .map(|stored| IndexStruct::from_json(stored).map_err(|error| error.with_key(index_id)))
            .transpose()
    }

    async fn delete(&self, index_id: &str) -> Result<bool> {
        check::non_empty("index id", index_id).map_err(|error| named(error, self.backend, "index.delete"))?;
        self.kv.delete(&self.collection, index_id).await
    }

    fn scan(&self, after: Option<String>) -> BoxStream<IndexStruct> {
        let options = ScanOptions { after, ..ScanOptions::default() };
        let structs = self.kv.scan(&self.collection, options);
        let read = |(key, stored)| {
            future::ready(IndexStruct::from_json(stored).map_err(|error| error.with_key(key)))
        };
        structs.and_then(read).boxed()
    }
}
