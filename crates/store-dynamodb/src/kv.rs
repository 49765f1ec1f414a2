//! Key-values: an item each in the main table, as in Python: the partition is the collection, the sort key the key,
//! and each member of the value an attribute of its own.
//!
//! An item that has expired is absent for every call, by the caller's clock; the service removes it within days.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::kit::check;
use store_core::{
    BoxStream, Error, ErrorKind, JsonObject, KvCapabilities, KvStore, PutOptions, Result, ScanOptions,
    UpdateFn,
};

use crate::batch::{self, Read};
use crate::codec::{self, Item, MAX_ITEM_BYTES};
use crate::config::{DynamoDbConfig, DynamoDbLargeValues};
use crate::error::at;
use crate::kv_layout::{is_expired, key, now};
use crate::kv_scan::Scan;
use crate::large::{self, Head};
use crate::schema;
use crate::space::Space;
use crate::tables::{self, Keys};

/// The longest sort key, in bytes of UTF-8.
pub(crate) const MAX_KEY_BYTES: usize = 1_024;
/// The longest partition key.
pub(crate) const MAX_COLLECTION_BYTES: usize = 2_048;
/// The option by which larger values are taken.
pub(crate) const CHUNKS: &str = "store.large_values=chunks";
/// How often a large value is read again that was replaced while it was read.
const ROUNDS: usize = 16;

pub(crate) fn capabilities(config: &DynamoDbConfig) -> KvCapabilities {
    let can = KvCapabilities::new().with_ttl(true).with_max_key_bytes(MAX_KEY_BYTES);
    match config.large_values {
        DynamoDbLargeValues::Refuse => can.with_max_value_bytes(MAX_ITEM_BYTES).with_larger_values(CHUNKS),
        DynamoDbLargeValues::Chunks => can.with_max_value_bytes(large::MAX_BYTES),
    }
}

/// The key-value role.
#[derive(Clone, Debug)]
pub(crate) struct DynamoKvStore {
    pub(crate) space: Arc<Space>,
    /// Whether reads see every write that was answered before them, whatever the configuration says.
    strong: bool,
}

impl DynamoKvStore {
    pub(crate) fn new(space: Arc<Space>) -> Self {
        Self { space, strong: false }
    }

    /// For what decides by its reads what it writes.
    pub(crate) fn strong(&self) -> Self {
        Self { space: Arc::clone(&self.space), strong: true }
    }

    /// Whether a read sees every write that was answered before it.
    pub(crate) fn consistent(&self) -> bool {
        self.strong || self.space.config.consistent_reads
    }

    /// Whether values too large for an item go to chunks.
    pub(crate) fn spills(&self) -> bool {
        self.space.config.large_values == DynamoDbLargeValues::Chunks
    }

    /// Refuses a collection or a key that the table could not hold.
    pub(crate) fn check<'a>(
        collection: &str,
        names: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Result<()> {
        check::collection_and_keys(collection, names.clone())?;
        schema::not_ours("collection", collection)?;
        check::within("collection name", collection, collection.len(), MAX_COLLECTION_BYTES)?;
        names.into_iter().try_for_each(|name| check::within("key", name, name.len(), MAX_KEY_BYTES))
    }

    /// The keys of the table.
    pub(crate) async fn keys(&self) -> Result<Keys> {
        tables::main(&self.space).await
    }

    async fn get(&self, collection: &str, names: &[&str]) -> Result<Vec<Option<JsonObject>>> {
        Self::check(collection, names.iter().copied())?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let keys = self.keys().await?;
        let items = self.read(&keys, collection, names, None, self.consistent()).await?;
        let mut values = Vec::with_capacity(names.len());
        for (name, item) in names.iter().zip(items) {
            values.push(match item {
                Some(item) => self.value(&keys, collection, name, item).await?,
                None => None,
            });
        }
        Ok(values)
    }

    /// The items of keys that have not expired.
    pub(crate) async fn read(
        &self,
        keys: &Keys,
        collection: &str,
        names: &[&str],
        fields: Option<&[&str]>,
        consistent: bool,
    ) -> Result<Vec<Option<Item>>> {
        let mut items = self.read_all(keys, collection, names, fields, consistent).await?;
        let now = now();
        for item in &mut items {
            item.take_if(|item| is_expired(item, now));
        }
        Ok(items)
    }

    /// The items of keys, also expired ones.
    pub(crate) async fn read_all(
        &self,
        keys: &Keys,
        collection: &str,
        names: &[&str],
        fields: Option<&[&str]>,
        consistent: bool,
    ) -> Result<Vec<Option<Item>>> {
        let key_names = [keys.partition.as_str(), &keys.sort];
        let read = Read { table: &self.space.main, key: &key_names, fields, consistent };
        let wanted = names.iter().map(|name| key(keys, collection, name)).collect();
        batch::get(&self.space, &read, wanted).await
    }

    /// The value of an item that has not expired; that of a large one is fetched.
    pub(crate) async fn value(
        &self,
        keys: &Keys,
        collection: &str,
        name: &str,
        mut item: Item,
    ) -> Result<Option<JsonObject>> {
        for _ in 0..ROUNDS {
            let Some(head) = Head::of(&item) else { return Ok(Some(codec::decode(item, keys))) };
            if let Some(value) = large::load(&self.space, keys, collection, name, &head).await? {
                return Ok(Some(value));
            }
            // It was replaced meanwhile.
            let again = self.read(keys, collection, &[name], None, true).await?;
            let Some(again) = again.into_iter().next().flatten() else { return Ok(None) };
            if Head::of(&again).as_ref() == Some(&head) {
                return Err(Error::corrupt("chunks of the stored value are missing").with_key(name));
            }
            item = again;
        }
        let message = format!("others replaced the value each of the {ROUNDS} times it was read");
        Err(Error::new(ErrorKind::Conflict, message).with_key(name))
    }
}

/// Names backend, operation and collection in an error.
fn named(operation: &'static str, collection: &str) -> impl Fn(Error) -> Error {
    move |error| at(operation)(error).with_collection(collection)
}

#[async_trait]
impl KvStore for DynamoKvStore {
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
