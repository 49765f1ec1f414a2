//! Key-values: JSON objects under a collection and a key.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{BoxStream, Error, JsonObject, Node, Result};

/// What an [`KvStore::update_many`] closure wants done with one key.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// Leave it as it is; nothing is written.
    Keep,
    /// Store this value in place of the old one.
    Put(JsonObject),
    /// Remove the key.
    Delete,
}

/// The closure of [`KvStore::update_many`]: sees key and current value, may run again after a conflict.
pub type UpdateFn<'a> = dyn FnMut(&str, Option<&JsonObject>) -> Result<Update> + Send + 'a;

/// How [`KvStore::put_many`] treats existing keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PutMode {
    /// Replace whole values; of equal keys in one call the last wins.
    #[default]
    Upsert,
    /// Write every absent key, then fail with `AlreadyExists` whose `failed` is exactly the existing keys.
    /// Equal keys in one call are `InvalidInput`.
    Insert,
}

/// Options of [`KvStore::put_many`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutOptions {
    /// Upsert (default) or insert.
    pub mode: PutMode,
    /// Time to live; gone for every read once it has passed (a backend may round up to a second). A put
    /// without it ends an earlier one. `None` (default): forever. Zero is `InvalidInput`.
    pub ttl: Option<Duration>,
}

impl PutOptions {
    /// Sets the mode.
    #[must_use]
    pub fn with_mode(mut self, mode: PutMode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets the time to live.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }
}

/// Options of [`KvStore::scan`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanOptions {
    /// Only keys that start with this text, taken literally; empty (default) = all.
    pub prefix: String,
    /// Only keys after this one in the store's order; `None` (default) = from the start. Any key resumes a
    /// scan, also one that is gone.
    pub after: Option<String>,
}

impl ScanOptions {
    /// Only keys with this prefix.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Only keys after this one.
    #[must_use]
    pub fn with_after(mut self, after: impl Into<String>) -> Self {
        self.after = Some(after.into());
        self
    }
}

/// What a key-value store can do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KvCapabilities {
    /// Whether values can carry a time to live.
    pub ttl: bool,
    /// Longest key, in UTF-8 bytes; `None` = no limit of its own.
    pub max_key_bytes: Option<usize>,
    /// Largest encoded value, in bytes; `None` = no limit of its own.
    pub max_value_bytes: Option<usize>,
    /// The option of the store's URL by which it takes larger values; `None` = there is none.
    pub larger_values: Option<&'static str>,
}

impl KvCapabilities {
    /// Capabilities without limits and without time to live; set the fields that differ.
    #[must_use]
    pub fn new() -> Self {
        Self { ttl: false, max_key_bytes: None, max_value_bytes: None, larger_values: None }
    }

    /// Says whether values can carry a time to live.
    #[must_use]
    pub fn with_ttl(mut self, ttl: bool) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets the longest key, in UTF-8 bytes.
    #[must_use]
    pub fn with_max_key_bytes(mut self, bytes: usize) -> Self {
        self.max_key_bytes = Some(bytes);
        self
    }

    /// Sets the largest encoded value, in bytes.
    #[must_use]
    pub fn with_max_value_bytes(mut self, bytes: usize) -> Self {
        self.max_value_bytes = Some(bytes);
        self
    }

    /// Sets the option by which larger values are taken.
    #[must_use]
    pub fn with_larger_values(mut self, option: &'static str) -> Self {
        self.larger_values = Some(option);
        self
    }
}

impl Default for KvCapabilities {
    fn default() -> Self {
        Self::new()
    }
}

/// A store of JSON objects under collection and key.
///
/// Collections come into being with their first key; an unknown one is empty. Collections and keys are
/// non-empty text of any characters; an empty one is `InvalidInput`. An empty batch is a no-op.
#[async_trait]
pub trait KvStore: std::fmt::Debug + Send + Sync + 'static {
    /// The values of `keys`, in their order; `None` where there is none.
    async fn get_many(&self, collection: &str, keys: &[&str]) -> Result<Vec<Option<JsonObject>>>;

    /// Writes whole values. Everything is checked before anything is written.
    async fn put_many(
        &self,
        collection: &str,
        entries: Vec<(String, JsonObject)>,
        options: PutOptions,
    ) -> Result<()>;

    /// Writes nodes as their JSON ([`Node::to_json`]) under their ids; each id is given once. A store that encodes values
    /// itself needs no JSON in between.
    async fn put_nodes(&self, collection: &str, nodes: &[Node], mode: PutMode) -> Result<()> {
        let entries = nodes.iter().map(|node| (node.id.as_str().to_owned(), node.to_json()));
        self.put_many(collection, entries.collect(), PutOptions::default().with_mode(mode)).await
    }

    /// Removes keys; answers how many existed (a key given twice counts once). Exact unless others delete the
    /// same keys at the same time.
    async fn delete_many(&self, collection: &str, keys: &[&str]) -> Result<usize>;

    /// Reads, decides and writes each key atomically (per key, not across keys), and answers the values
    /// afterwards. `apply` may run again for a key on conflict; a key given twice is `InvalidInput`. An error
    /// from `apply` ends the call; keys already written stay written.
    async fn update_many(
        &self,
        collection: &str,
        keys: &[&str],
        apply: &mut UpdateFn<'_>,
    ) -> Result<Vec<Option<JsonObject>>>;

    /// All entries, in an order that is a function of the key alone. What is there all the time comes exactly
    /// once.
    fn scan(&self, collection: &str, options: ScanOptions) -> BoxStream<(String, JsonObject)>;

    /// What this store can do.
    fn capabilities(&self) -> KvCapabilities;
}

/// Single-item and typed calls for every [`KvStore`].
#[async_trait]
pub trait KvStoreExt: KvStore {
    /// One value.
    async fn get(&self, collection: &str, key: &str) -> Result<Option<JsonObject>> {
        Ok(self.get_many(collection, &[key]).await?.into_iter().next().flatten())
    }

    /// Stores one value, replacing what was there.
    async fn put(&self, collection: &str, key: &str, value: JsonObject) -> Result<()> {
        self.put_many(collection, vec![(key.to_owned(), value)], PutOptions::default()).await
    }

    /// Removes one key; answers whether it existed.
    async fn delete(&self, collection: &str, key: &str) -> Result<bool> {
        Ok(self.delete_many(collection, &[key]).await? > 0)
    }

    /// Reads, decides and writes one key atomically; answers the value afterwards.
    async fn update<F>(&self, collection: &str, key: &str, mut apply: F) -> Result<Option<JsonObject>>
    where
        F: FnMut(Option<&JsonObject>) -> Result<Update> + Send,
    {
        let values = self.update_many(collection, &[key], &mut |_, old| apply(old)).await?;
        Ok(values.into_iter().next().flatten())
    }

    /// One value as `T`; `Corrupt` when the stored object is no `T`.
    async fn get_as<T: DeserializeOwned + Send>(&self, collection: &str, key: &str) -> Result<Option<T>> {
        let Some(value) = self.get(collection, key).await? else { return Ok(None) };
        serde_json::from_value(value.into()).map(Some).map_err(|error| {
            Error::corrupt(format!("the stored value is no {}: {error}", std::any::type_name::<T>()))
                .with_operation("kv.get_as")
                .with_collection(collection)
                .with_key(key)
        })
    }

    /// Stores `value`, which must serialize as a JSON object.
    async fn put_as<T: Serialize + Sync>(&self, collection: &str, key: &str, value: &T) -> Result<()> {
        let refuse = |why: String| {
            Error::invalid_input(why).with_operation("kv.put_as").with_collection(collection).with_key(key)
        };
        match serde_json::to_value(value).map_err(|error| refuse(error.to_string()))? {
            serde_json::Value::Object(object) => self.put(collection, key, object).await,
            _ => Err(refuse("the value does not serialize as a JSON object".to_owned())),
        }
    }
}

impl<T: KvStore + ?Sized> KvStoreExt for T {}
