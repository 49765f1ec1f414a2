//! Key-values: a hash for each collection, a field for each key, as Python writes it; each value is JSON text.
//!
//! What we write is compact JSON in UTF-8, which Python reads as it reads its own. Fields whose names are no UTF-8 are
//! not ours to see.
//!
//! **A scan gives the keys in order**, which a hash has not: it lists the names of all fields first, and holds them
//! while it is under way. Values are held only as far as one batch goes, or all of them if the whole collection is
//! small; so a value that changes during a scan may come as it was when its batch was read.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use serde_json::Value as Json;
use store_core::kit::batches::cut;
use store_core::kit::check;
use store_core::python::parse_json;
use store_core::{
    BoxStream, Error, JsonObject, KvCapabilities, KvStore, Node, PutMode, PutOptions, Result, ScanOptions,
    UpdateFn,
};

use crate::driver::{Cmd, bytes, items};
use crate::error::at;
use crate::kv_scan::Scan;
use crate::schema;
use crate::space::Space;

/// The greatest key and value together. A Redis string takes 512 MB (`proto-max-bulk-len`), and a command of two such
/// is more than a connection may send at once (`client-query-buffer-limit`).
pub(crate) const MAX_BYTES: usize = 512 << 20;
/// Keys in one command: what others' commands have to wait for.
pub(crate) const RUN_KEYS: usize = 500;
/// Bytes of keys and values in one command.
pub(crate) const RUN_BYTES: usize = 1 << 20;
/// Keys whose commands are sent together.
pub(crate) const TRIP_KEYS: usize = 8_000;
/// Bytes of keys and values whose commands are sent together.
pub(crate) const TRIP_BYTES: usize = 16 << 20;

pub(crate) fn capabilities(space: &Space) -> KvCapabilities {
    KvCapabilities::new().with_ttl(space.server.field_expiry).with_max_value_bytes(MAX_BYTES)
}

/// The key-value role.
#[derive(Clone, Debug)]
pub(crate) struct RedisKvStore {
    pub(crate) space: Arc<Space>,
}

impl RedisKvStore {
    pub(crate) fn new(space: Arc<Space>) -> Self {
        Self { space }
    }

    /// The hash of a collection.
    pub(crate) fn hash(&self, collection: &str) -> Result<Bytes> {
        check::non_empty("collection name", collection)?;
        schema::not_ours("collection", collection)?;
        Ok(Bytes::from(schema::collection(&self.space.prefix, collection)))
    }

    async fn get(&self, collection: &str, keys: &[&str]) -> Result<Vec<Option<JsonObject>>> {
        let hash = self.keyed(collection, keys)?;
        let mut values = Vec::with_capacity(keys.len());
        for trip in cut(keys, TRIP_KEYS, TRIP_BYTES, |key| key.len()) {
            for (key, value) in trip.iter().zip(self.read(&hash, trip, false).await?) {
                values.push(value.map(|value| decode(key, &value)).transpose()?);
            }
        }
        Ok(values)
    }

    /// The hash of a collection, for keys that are checked.
    pub(crate) fn keyed(&self, collection: &str, keys: &[&str]) -> Result<Bytes> {
        let hash = self.hash(collection)?;
        check::collection_and_keys(collection, keys.iter().copied())?;
        keys.iter().try_for_each(|key| check::within("key", key, key.len(), MAX_BYTES))?;
        Ok(hash)
    }

    /// The stored bytes of keys, in one round trip; from the node that takes writes if they must be `fresh`.
    pub(crate) async fn read(&self, hash: &Bytes, keys: &[&str], fresh: bool) -> Result<Vec<Option<Bytes>>> {
        let runs = cut(keys, RUN_KEYS, RUN_BYTES, |key| key.len());
        let mut commands: Vec<Cmd> =
            runs.map(|run| Cmd::read("HMGET", hash.clone()).args(run.iter().copied())).collect();
        if commands.len() == 1
            && !fresh
            && let Some(only) = commands.pop()
        {
            return Ok(items(self.space.call(only).await?).into_iter().map(bytes).collect());
        }
        let mut values = Vec::with_capacity(keys.len());
        for answer in self.space.pipeline(commands).await? {
            values.extend(items(answer?).into_iter().map(bytes));
        }
        Ok(values)
    }
}

/// The value of stored bytes.
pub(crate) fn decode(key: &str, stored: &[u8]) -> Result<JsonObject> {
    let damaged = |why: String| Error::corrupt(format!("the stored value {why}")).with_key(key);
    let text = std::str::from_utf8(stored).map_err(|_| damaged("is no UTF-8".to_owned()))?;
    match parse_json(text) {
        Ok(Json::Object(object)) => Ok(object),
        Ok(_) => Err(damaged("is JSON, but no object".to_owned())),
        Err(error) => Err(damaged(format!("can not be read: {}", error.message())).with_source(error)),
    }
}

/// The bytes that are stored of a value; one that is too large is refused.
pub(crate) fn encode(key: &str, value: &JsonObject) -> Result<Bytes> {
    let mut text = Vec::with_capacity(128);
    encode_into(&mut text, key, value)?;
    Ok(Bytes::from(text))
}

/// [`encode`], into a buffer that is empty.
pub(crate) fn encode_into(text: &mut Vec<u8>, key: &str, value: &impl Serialize) -> Result<()> {
    serde_json::to_writer(&mut *text, value)
        .map_err(|error| Error::invalid_input("the value can not be written as JSON").with_source(error))?;
    check::within("value with its key", key, key.len() + text.len(), MAX_BYTES)
}

/// Names backend, operation and collection in an error.
fn named(operation: &'static str, collection: &str) -> impl Fn(Error) -> Error {
    move |error| at(operation)(error).with_collection(collection)
}

#[async_trait]
impl KvStore for RedisKvStore {
    async fn get_many(&self, collection: &str, keys: &[&str]) -> Result<Vec<Option<JsonObject>>> {
        self.get(collection, keys).await.map_err(named("kv.get_many", collection))
    }

    async fn put_many(
        &self,
        collection: &str,
        entries: Vec<(String, JsonObject)>,
        options: PutOptions,
    ) -> Result<()> {
        self.put(collection, entries, options).await.map_err(named("kv.put_many", collection))
    }

    async fn put_nodes(&self, collection: &str, nodes: &[Node], mode: PutMode) -> Result<()> {
        let entries = nodes.iter().map(|node| (node.id.as_str().to_owned(), node)).collect();
        let put = self.put(collection, entries, PutOptions::default().with_mode(mode));
        put.await.map_err(named("kv.put_many", collection))
    }

    async fn delete_many(&self, collection: &str, keys: &[&str]) -> Result<usize> {
        self.delete(collection, keys).await.map_err(named("kv.delete_many", collection))
    }

    async fn update_many(
        &self,
        collection: &str,
        keys: &[&str],
        apply: &mut UpdateFn<'_>,
    ) -> Result<Vec<Option<JsonObject>>> {
        self.update(collection, keys, apply).await.map_err(named("kv.update_many", collection))
    }

    fn scan(&self, collection: &str, options: ScanOptions) -> BoxStream<(String, JsonObject)> {
        let hash = match self.hash(collection) {
            Ok(hash) => hash,
            Err(error) => return stream::iter([Err(named("kv.scan", collection)(error))]).boxed(),
        };
        let collection = collection.to_owned();
        stream::try_unfold(Scan::new(self.clone(), hash, options), |mut scan| async move {
            let entry = scan.next().await?;
            Ok(entry.map(|entry| (entry, scan)))
        })
        .map_err(move |error| named("kv.scan", &collection)(error))
        .boxed()
    }

    fn capabilities(&self) -> KvCapabilities {
        capabilities(&self.space)
    }
}
