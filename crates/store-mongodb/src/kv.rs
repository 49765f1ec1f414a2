//! Key-values: a document each, in a collection of the same name, as in Python; see [`crate::kv_layout`].
//!
//! Documents whose `_id` is no text are not ours to see.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bson::oid::ObjectId;
use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{DateTime, Document, doc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use mongodb::Collection;
use mongodb::options::FindOptions;
use store_core::kit::batches::cut;
use store_core::kit::check;
use store_core::{
    BoxStream, Error, ErrorKind, JsonObject, KvCapabilities, KvStore, Node, PutMode, PutOptions, Result,
    ScanOptions, UpdateFn,
};

use crate::batches::Batches;
use crate::codec::MAX_DOCUMENT_BYTES;
use crate::config::MongoLargeValues;
use crate::error::at;
use crate::grid_fs::{self, MAX_FILE_BYTES};
use crate::kv_layout::{Stored, decode};
use crate::scan::Scan;
use crate::space::Space;
use crate::{bulk, schema};

/// Keys in one read.
const READ_KEYS: usize = 10_000;
/// Bytes of keys in one read; a command takes 16 MB.
const READ_BYTES: usize = 8 << 20;
/// How often a value is read again whose file was replaced while it was read.
const FILE_ROUNDS: usize = 16;

pub(crate) fn capabilities(large_values: MongoLargeValues) -> KvCapabilities {
    let can = KvCapabilities::new().with_ttl(true);
    match large_values {
        MongoLargeValues::Refuse => {
            can.with_max_value_bytes(MAX_DOCUMENT_BYTES).with_larger_values("store.large_values=gridfs")
        }
        MongoLargeValues::GridFs => can.with_max_value_bytes(MAX_FILE_BYTES),
    }
}

/// The key-value role.
#[derive(Clone, Debug)]
pub(crate) struct MongoKvStore {
    pub(crate) space: Arc<Space>,
    /// Whether an update does no harm if it is made once more, or if another makes just the same change.
    pub(crate) repeatable: bool,
}

impl MongoKvStore {
    pub(crate) fn new(space: Arc<Space>) -> Self {
        Self { space, repeatable: false }
    }

    /// For updates that do no harm if they are made once more: many of them go in one request.
    pub(crate) fn with_repeatable_updates(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// The MongoDB collection of a key-value collection.
    pub(crate) fn collection(&self, name: &str) -> Result<Collection<RawDocumentBuf>> {
        Ok(self.space.kv_database()?.collection(&schema::kv_collection(name, &self.space.config)))
    }

    /// Whether values too large for a document go to GridFS.
    pub(crate) fn spills(&self) -> bool {
        self.space.config.large_values == MongoLargeValues::GridFs
    }

    async fn get(&self, collection: &str, keys: &[&str]) -> Result<Vec<Option<JsonObject>>> {
        check::collection_and_keys(collection, keys.iter().copied())?;
        let target = self.collection(collection)?;
        let mut values = vec![None; keys.len()];
        let mut files: Vec<(usize, ObjectId)> = Vec::new();
        let now = DateTime::now();
        let take = |place: usize, document: &RawDocument| {
            match decode(document, now)? {
                Stored::Expired => {}
                Stored::File(file) => files.push((place, file)),
                Stored::Value(value) => {
                    if let Some(slot) = values.get_mut(place) {
                        *slot = Some(value);
                    }
                }
            }
            Ok(())
        };
        self.read(&target, keys, take).await?;
        for (place, file) in files {
            let (Some(key), Some(slot)) = (keys.get(place), values.get_mut(place)) else { continue };
            *slot = self.value_of(&target, key, Stored::File(file)).await?;
        }
        Ok(values)
    }

    /// The value of what was read of a key, from its file if it lies in one.
    pub(crate) async fn value_of(
        &self,
        collection: &Collection<RawDocumentBuf>,
        key: &str,
        stored: Stored,
    ) -> Result<Option<JsonObject>> {
        let mut stored = stored;
        for _ in 0..FILE_ROUNDS {
            let file = match stored {
                Stored::Expired => return Ok(None),
                Stored::Value(value) => return Ok(Some(value)),
                Stored::File(file) => file,
            };
            let loaded = grid_fs::load(&self.space, file).await.map_err(|error| error.with_key(key))?;
            if loaded.is_some() {
                return Ok(loaded);
            }
            let again = self.space.call(collection.find_one(doc! {"_id": key})).await?;
            let Some(again) = again else { return Ok(None) };
            stored = decode(&again, DateTime::now())?;
            if matches!(stored, Stored::File(same) if same == file) {
                let message =
                    "the file of GridFS that holds the value is gone; put the value again or delete it";
                return Err(Error::corrupt(message).with_key(key));
            }
        }
        Err(Error::new(ErrorKind::Conflict, "others kept replacing the value while it was read")
            .with_key(key))
    }

    /// Hands over the stored documents of `keys`, each with the place of its key; expired ones too.
    pub(crate) async fn read(
        &self,
        collection: &Collection<RawDocumentBuf>,
        keys: &[&str],
        mut take: impl FnMut(usize, &RawDocument) -> Result<()>,
    ) -> Result<()> {
        let mut places: HashMap<&str, Vec<usize>> = HashMap::with_capacity(keys.len());
        for (place, key) in keys.iter().enumerate() {
            places.entry(key).or_default().push(place);
        }
        for keys in key_batches(keys) {
            let options = FindOptions::builder().batch_size(bulk::one_batch(keys.len())).build();
            let mut batches = Batches::open(&self.space, collection.clone(), one_of(keys), options).await?;
            while let Some(mut batch) = batches.next().await? {
                while let Some(document) = batch.take()? {
                    let key = bulk::id(document)?;
                    for place in places.get(key).into_iter().flatten() {
                        take(*place, document).map_err(|error| error.with_key(key))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Cuts keys into reads that the server takes, in order.
pub(crate) fn key_batches<'a, 'k>(keys: &'a [&'k str]) -> impl Iterator<Item = &'a [&'k str]> {
    cut(keys, READ_KEYS, READ_BYTES, |key| key.len() + 16)
}

/// Matches the documents of these keys.
pub(crate) fn one_of(keys: &[&str]) -> Document {
    match keys {
        [key] => doc! {"_id": key},
        keys => doc! {"_id": {"$in": keys}},
    }
}

/// A scan under way.
struct Entries {
    store: MongoKvStore,
    target: Collection<RawDocumentBuf>,
    documents: Scan,
}

impl Entries {
    async fn next(&mut self) -> Result<Option<(String, JsonObject)>> {
        while self.documents.advance().await? {
            let Some(document) = self.documents.current()? else { break };
            let key = bulk::id(document)?.to_owned();
            let stored = decode(document, DateTime::now()).map_err(|error| error.with_key(&key))?;
            if let Some(value) = self.store.value_of(&self.target, &key, stored).await? {
                return Ok(Some((key, value)));
            }
        }
        Ok(None)
    }
}

/// Names backend, operation and collection in an error.
fn named(operation: &'static str, collection: &str) -> impl Fn(Error) -> Error {
    move |error| at(operation)(error).with_collection(collection)
}

#[async_trait]
impl KvStore for MongoKvStore {
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
        // One too large for a document goes to its file as JSON.
        if self.spills() {
            let entries = nodes.iter().map(|node| (node.id.as_str().to_owned(), node.to_json()));
            return self.put_many(collection, entries.collect(), PutOptions::default().with_mode(mode)).await;
        }
        self.write_nodes(collection, nodes, mode).await.map_err(named("kv.put_many", collection))
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
        let open = check::non_empty("collection name", collection).and_then(|()| self.collection(collection));
        let target = match open {
            Ok(target) => target,
            Err(error) => return stream::iter([Err(named("kv.scan", collection)(error))]).boxed(),
        };
        let ScanOptions { prefix, after, .. } = options;
        let documents = Scan::new(Arc::clone(&self.space), target.clone(), prefix, after);
        let entries = Entries { store: self.clone(), target, documents };
        let collection = collection.to_owned();
        stream::try_unfold(entries, |mut entries| async move {
            let entry = entries.next().await?;
            Ok(entry.map(|entry| (entry, entries)))
        })
        .map_err(move |error| named("kv.scan", &collection)(error))
        .boxed()
    }

    fn capabilities(&self) -> KvCapabilities {
        capabilities(self.space.config.large_values)
    }
}
