//! Key-values: a row each.
//!
//! Puts and deletes are plain writes with the time of the client that makes them (see [`crate::clock`]); inserts and
//! updates are lightweight transactions, with the time of the nodes. A transaction waits until what it found there is
//! older than it. A put takes the place of a transaction's value as long as the client's clock is not behind those of
//! the nodes: keep clocks in step, or change a key in one of the two ways only. A delete removes what it has read, and
//! nothing that was written since.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::kit::batches::cut;
use store_core::kit::check;
use store_core::{
    BoxStream, Error, JsonObject, KvCapabilities, KvStore, Node, PutMode, PutOptions, Result, ScanOptions,
    UpdateFn,
};

use crate::codec::{text, texts};
use crate::config::CassandraConfig;
use crate::error::at;
use crate::kv_layout::{
    KEY_VALUES, MAX_COLLECTION_BYTES, MAX_KEY_BYTES, buckets, by_bucket, partition, value,
};
use crate::kv_scan::Scan;
use crate::runs::READS;
use crate::session::{Call, Class, Row, Rows};
use crate::space::Space;

/// Keys that one request reads from a bucket.
const KEYS: usize = 32;

pub(crate) fn capabilities(config: &CassandraConfig) -> KvCapabilities {
    let capabilities = KvCapabilities::new().with_ttl(true);
    let capabilities = capabilities.with_max_key_bytes(MAX_KEY_BYTES);
    capabilities.with_max_value_bytes(config.max_value_bytes).with_larger_values("store.max_value_bytes")
}

/// The key-value role.
#[derive(Clone, Debug)]
pub(crate) struct CassandraKvStore {
    pub(crate) space: Arc<Space>,
}

impl CassandraKvStore {
    pub(crate) fn new(space: Arc<Space>) -> Self {
        Self { space }
    }

    /// Refuses a collection or a key that the table could not hold.
    pub(crate) fn check<'a>(collection: &str, keys: impl IntoIterator<Item = &'a str> + Clone) -> Result<()> {
        check::collection_and_keys(collection, keys.clone())?;
        check::within("collection name", collection, collection.len(), MAX_COLLECTION_BYTES)?;
        keys.into_iter().try_for_each(|key| check::within("key", key, key.len(), MAX_KEY_BYTES))
    }

    /// How many buckets a collection has, as the table says.
    pub(crate) async fn buckets(&self) -> Result<u16> {
        let space = &self.space;
        loop {
            space.tables.ready(space, &KEY_VALUES).await?;
            // Another call may have found it gone in between.
            if let Some(comment) = space.tables.comment(&KEY_VALUES) {
                return buckets(&comment);
            }
        }
    }

    async fn get(&self, collection: &str, keys: &[&str]) -> Result<Vec<Option<JsonObject>>> {
        Self::check(collection, keys.iter().copied())?;
        let mut found: HashMap<String, JsonObject> = HashMap::with_capacity(keys.len());
        let keep = |row: &Row<'_>| {
            let key = row.needed_text("key")?;
            if let Some(value) = value(row, key)? {
                found.insert(key.to_owned(), value);
            }
            Ok(())
        };
        self.read(collection, keys, "key, value", keep).await?;
        let unique = check::unique_by(keys.to_vec(), false, |key| *key).len() == keys.len();
        let take = |key: &&str| if unique { found.remove(*key) } else { found.get(*key).cloned() };
        Ok(keys.iter().map(take).collect())
    }

    /// Takes the rows of keys, in no order: each as it comes, while the others are waited for.
    pub(crate) async fn read(
        &self,
        collection: &str,
        keys: &[&str],
        columns: &str,
        mut take: impl FnMut(&Row<'_>) -> Result<()> + Send,
    ) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let groups = by_bucket(keys.to_vec(), self.buckets().await?, |key| key);
        let mut runs = Vec::with_capacity(groups.len());
        for (bucket, keys) in &groups {
            runs.extend(cut(keys, KEYS, usize::MAX, |_| 0).map(|keys| (*bucket, keys)));
        }
        let mut reads = Vec::with_capacity(runs.len());
        for (bucket, keys) in runs {
            reads.push(self.read_bucket(Class::Read, collection, bucket, keys, columns));
        }
        let mut reads = stream::iter(reads).buffer_unordered(READS);
        while let Some(rows) = reads.try_next().await? {
            rows.iter().try_for_each(|row| take(&row))?;
        }
        Ok(())
    }

    /// The rows of keys of one bucket.
    pub(crate) async fn read_bucket(
        &self,
        class: Class,
        collection: &str,
        bucket: i32,
        keys: &[&str],
        columns: &str,
    ) -> Result<Rows> {
        let call = |table: &str| {
            let mut values = partition(collection, bucket);
            let which = if let [key] = keys {
                values.push(text(*key));
                "="
            } else {
                values.push(texts(keys.iter().copied()));
                "IN"
            };
            let read = format!(
                "SELECT {columns} FROM {table} WHERE collection = ? AND bucket = ? AND key {which} ?"
            );
            Call::new(class, read, values)
        };
        self.space.on(&KEY_VALUES, call).await
    }
}

/// Names backend, operation and collection in an error.
fn named(operation: &'static str, collection: &str) -> impl Fn(Error) -> Error {
    move |error| at(operation)(error).with_collection(collection)
}

#[async_trait]
impl KvStore for CassandraKvStore {
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
        let scan = match Scan::new(self.clone(), collection, options) {
            Ok(scan) => scan,
            Err(error) => return stream::iter([Err(named("kv.scan", collection)(error))]).boxed(),
        };
        let collection = collection.to_owned();
        stream::try_unfold(scan, |mut scan| async move {
            let entry = scan.next().await?;
            Ok(entry.map(|entry| (entry, scan)))
        })
        .map_err(move |error| named("kv.scan", &collection)(error))
        .boxed()
    }

    fn capabilities(&self) -> KvCapabilities {
        capabilities(&self.space.config)
    }
}
