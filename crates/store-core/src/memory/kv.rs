//! Key-values in memory.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, RwLock};
use std::time::Instant;

use async_trait::async_trait;
use futures::{StreamExt, stream};

use super::{NAME, read, write};
use crate::kit::check;
use crate::{
    BoxStream, Error, JsonObject, KvCapabilities, KvStore, PutMode, PutOptions, Result, ScanOptions, Update,
    UpdateFn,
};

/// Entries that a scan copies in one go while it holds the lock.
const SCAN_STEP: usize = 256;

#[derive(Debug)]
struct Entry {
    value: JsonObject,
    expires: Option<Instant>,
}

impl Entry {
    fn alive(&self) -> bool {
        self.expires.is_none_or(|at| Instant::now() < at)
    }
}

type Collections = BTreeMap<String, BTreeMap<String, Entry>>;

/// Key-values in memory, in key order.
#[derive(Debug, Default)]
pub struct MemoryKvStore {
    collections: Arc<RwLock<Collections>>,
}

impl MemoryKvStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn reset(&self) {
        write(&self.collections).clear();
    }
}

fn value<'a>(collections: &'a Collections, collection: &str, key: &str) -> Option<&'a JsonObject> {
    let entry = collections.get(collection)?.get(key)?;
    entry.alive().then_some(&entry.value)
}

fn remove(collections: &mut Collections, collection: &str, key: &str) -> bool {
    let Some(entries) = collections.get_mut(collection) else { return false };
    let alive = entries.remove(key).is_some_and(|entry| entry.alive());
    if entries.is_empty() {
        collections.remove(collection);
    }
    alive
}

fn at(operation: &'static str) -> impl Fn(Error) -> Error {
    move |error| error.with_backend(NAME).with_operation(operation)
}

#[async_trait]
impl KvStore for MemoryKvStore {
    async fn get_many(&self, collection: &str, keys: &[&str]) -> Result<Vec<Option<JsonObject>>> {
        check::collection_and_keys(collection, keys.iter().copied()).map_err(at("kv.get_many"))?;
        let collections = read(&self.collections);
        Ok(keys.iter().map(|key| value(&collections, collection, key).cloned()).collect())
    }

    async fn put_many(
        &self,
        collection: &str,
        entries: Vec<(String, JsonObject)>,
        options: PutOptions,
    ) -> Result<()> {
        check::put(collection, &entries, &options, &self.capabilities()).map_err(at("kv.put_many"))?;
        if entries.is_empty() {
            return Ok(());
        }
        // An instant too far away to be told is as good as never.
        let expires = options.ttl.and_then(|ttl| Instant::now().checked_add(ttl));
        let mut collections = write(&self.collections);
        let stored = collections.entry(collection.to_owned()).or_default();
        let mut existing = Vec::new();
        for (key, value) in entries {
            if options.mode == PutMode::Insert && stored.get(&key).is_some_and(Entry::alive) {
                existing.push(key);
            } else {
                stored.insert(key, Entry { value, expires });
            }
        }
        if existing.is_empty() {
            return Ok(());
        }
        Err(check::already_exist("key", existing).with_collection(collection)).map_err(at("kv.put_many"))
    }

    async fn delete_many(&self, collection: &str, keys: &[&str]) -> Result<usize> {
        check::collection_and_keys(collection, keys.iter().copied()).map_err(at("kv.delete_many"))?;
        let mut collections = write(&self.collections);
        Ok(keys.iter().filter(|key| remove(&mut collections, collection, key)).count())
    }

    async fn update_many(
        &self,
        collection: &str,
        keys: &[&str],
        apply: &mut UpdateFn<'_>,
    ) -> Result<Vec<Option<JsonObject>>> {
        check::collection_and_keys(collection, keys.iter().copied()).map_err(at("kv.update_many"))?;
        check::no_duplicates("key", keys.iter().copied()).map_err(at("kv.update_many"))?;
        let mut collections = write(&self.collections);
        let mut after = Vec::with_capacity(keys.len());
        for key in keys {
            let old = value(&collections, collection, key);
            after.push(match apply(key, old)? {
                Update::Keep => old.cloned(),
                Update::Put(new) => {
                    let entry = Entry { value: new.clone(), expires: None };
                    collections.entry(collection.to_owned()).or_default().insert((*key).to_owned(), entry);
                    Some(new)
                }
                Update::Delete => {
                    remove(&mut collections, collection, key);
                    None
                }
            });
        }
        Ok(after)
    }

    fn scan(&self, collection: &str, options: ScanOptions) -> BoxStream<(String, JsonObject)> {
        if let Err(error) = check::non_empty("collection name", collection) {
            return stream::iter([Err(at("kv.scan")(error))]).boxed();
        }
        let collections = Arc::clone(&self.collections);
        let collection = collection.to_owned();
        let ScanOptions { prefix, after } = options;
        stream::unfold(Some(after), move |after| {
            let step = after.map(|after| {
                let items = page(&collections, &collection, &prefix, after.as_deref());
                let next =
                    items.last().map(|(key, _)| Some(key.clone())).filter(|_| items.len() == SCAN_STEP);
                (stream::iter(items.into_iter().map(Ok)), next)
            });
            std::future::ready(step)
        })
        .flatten()
        .boxed()
    }

    fn capabilities(&self) -> KvCapabilities {
        KvCapabilities::new().with_ttl(true)
    }
}

fn page(
    collections: &RwLock<Collections>,
    collection: &str,
    prefix: &str,
    after: Option<&str>,
) -> Vec<(String, JsonObject)> {
    let collections = read(collections);
    let Some(entries) = collections.get(collection) else { return Vec::new() };
    let start = match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    };
    entries
        .range::<str, _>((start, Bound::Unbounded))
        .take_while(|(key, _)| key.starts_with(prefix))
        .filter(|(_, entry)| entry.alive())
        .take(SCAN_STEP)
        .map(|(key, entry)| (key.clone(), entry.value.clone()))
        .collect()
}
