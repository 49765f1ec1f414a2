//! Putting and deleting key-values.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::kit::check;
use store_core::{Error, JsonObject, KvCapabilities, PutMode, PutOptions, Result};

use crate::batch::{self, Write};
use crate::codec::{self, Item, MAX_ITEM_BYTES, item_size};
use crate::conditional::{self, Change};
use crate::kv::{CHUNKS, DynamoKvStore};
use crate::kv_layout::{self, expiry, is_expired, key, now, seconds};
use crate::large::{self, Head};
use crate::schema::{EXPIRES, LARGE};
use crate::tables::Keys;
use crate::transaction::{self, Condition};

/// Large values that are written at the same time.
const LARGE_AT_ONCE: usize = 4;

/// What is written of a value.
#[derive(Debug)]
pub(crate) enum Encoded {
    /// An item, with its bytes.
    Whole(Item, usize),
    /// Chunks first, and then an item.
    Large(JsonObject),
}

impl DynamoKvStore {
    /// What is written of a value; `LimitExceeded` for one that is too large.
    pub(crate) fn encode(
        &self,
        keys: &Keys,
        collection: &str,
        name: &str,
        value: JsonObject,
        expires: Option<u64>,
    ) -> Result<Encoded> {
        if !self.spills() {
            let item = kv_layout::item(keys, collection, name, value, expires)?;
            let bytes = codec::check_size(name, &item).map_err(|error| {
                let message = format!("{}; with the option {CHUNKS} the store takes it", error.message());
                Error::new(error.kind(), message).with_key(name).with_failed([name])
            })?;
            return Ok(Encoded::Whole(item, bytes));
        }
        let item = kv_layout::item(keys, collection, name, value.clone(), expires)?;
        let bytes = item_size(&item);
        if bytes <= MAX_ITEM_BYTES {
            return Ok(Encoded::Whole(item, bytes));
        }
        large::encode(name, &value)?;
        Ok(Encoded::Large(value))
    }

    /// The item to write, when its chunks are there, and its bytes.
    pub(crate) async fn saved(
        &self,
        keys: &Keys,
        collection: &str,
        name: &str,
        encoded: Encoded,
        expires: Option<u64>,
    ) -> Result<(Item, usize)> {
        match encoded {
            Encoded::Whole(item, bytes) => Ok((item, bytes)),
            Encoded::Large(value) => {
                let head = large::save(&self.space, keys, collection, name, &value, expires).await?;
                let bytes = item_size(&head);
                Ok((head, bytes))
            }
        }
    }

    pub(crate) async fn put(
        &self,
        collection: &str,
        entries: Vec<(String, JsonObject)>,
        options: PutOptions,
    ) -> Result<()> {
        // Values are measured as they are encoded, not once more before.
        check::put(collection, &entries, &options, &KvCapabilities::new().with_ttl(true))?;
        Self::check(collection, entries.iter().map(|(name, _)| name.as_str()))?;
        if entries.is_empty() {
            return Ok(());
        }
        let entries = check::unique_by(entries, true, |(name, _)| name.clone());
        let expires = options.ttl.map(expiry);
        let keys = self.keys().await?;
        let mut encoded = Vec::with_capacity(entries.len());
        for (name, value) in entries {
            let one = self.encode(&keys, collection, &name, value, expires)?;
            encoded.push((name, one));
        }
        let all: Vec<String> = encoded.iter().map(|(name, _)| name.clone()).collect();
        let before = if self.spills() && options.mode == PutMode::Upsert {
            self.heads(&keys, collection, &all).await?
        } else {
            Vec::new()
        };
        let keys_of_table = &keys;
        let items: Vec<(Item, usize)> = stream::iter(encoded)
            .map(
                |(name, one)| async move { self.saved(keys_of_table, collection, &name, one, expires).await },
            )
            .buffered(LARGE_AT_ONCE)
            .try_collect()
            .await
            // Of all that is to be written nothing can be seen yet.
            .map_err(|error: Error| error.with_failed(all.iter().map(String::as_str)))?;
        let heads: Vec<Option<Head>> = items.iter().map(|(item, _)| Head::of(item)).collect();
        if options.mode == PutMode::Upsert {
            let writes = items.into_iter().map(|(item, bytes)| Write::put_of(item, bytes)).collect();
            batch::write(&self.space, &self.space.main, writes, &keys.sort).await?;
            for (name, gone) in before {
                let place = all.iter().position(|other| *other == name);
                let keep = place.and_then(|place| heads.get(place)?.as_ref());
                large::sweep(&self.space, &keys, collection, &name, keep, Some(&gone)).await;
            }
            return Ok(());
        }
        let mut changes = Vec::with_capacity(items.len());
        for (place, ((item, bytes), name)) in items.into_iter().zip(&all).enumerate() {
            let write = transaction::put(&self.space.main, item, Some(absent(&keys)))?;
            changes.push(Change { place, key: name.clone(), write, bytes });
        }
        let lost = conditional::each(&self.space, changes).await?;
        let mut existing = Vec::with_capacity(lost.len());
        for place in lost {
            let Some(name) = all.get(place) else { continue };
            existing.push(name.clone());
            if let Some(Some(head)) = heads.get(place) {
                large::remove(&self.space, &keys, collection, name, head).await;
            }
        }
        if existing.is_empty() { Ok(()) } else { Err(check::already_exist("key", existing)) }
    }

    /// The keys that have a large value, with what their items say of it.
    async fn heads(&self, keys: &Keys, collection: &str, names: &[String]) -> Result<Vec<(String, Head)>> {
        let asked: Vec<&str> = names.iter().map(String::as_str).collect();
        let items = self.read_all(keys, collection, &asked, Some(&[LARGE]), true).await?;
        let heads = names.iter().zip(items);
        Ok(heads.filter_map(|(name, item)| Some((name.clone(), Head::of(&item?)?))).collect())
    }

    pub(crate) async fn delete(&self, collection: &str, names: &[&str]) -> Result<usize> {
        Self::check(collection, names.iter().copied())?;
        let names = check::unique_by(names.to_vec(), false, |name| *name);
        if names.is_empty() {
            return Ok(0);
        }
        let keys = self.keys().await?;
        let found = self.read_all(&keys, collection, &names, Some(&[EXPIRES, LARGE]), true).await;
        let found = found.map_err(|error| error.with_failed(names.iter().copied()))?;
        let now = now();
        let (mut deletes, mut heads, mut count) = (Vec::new(), Vec::new(), 0);
        for (name, item) in names.iter().zip(found) {
            let Some(item) = item else { continue };
            count += usize::from(!is_expired(&item, now));
            heads.extend(Head::of(&item).map(|head| (*name, head)));
            deletes.push(Write::delete(key(&keys, collection, name)));
        }
        batch::write(&self.space, &self.space.main, deletes, &keys.sort).await?;
        for (name, head) in heads {
            large::sweep(&self.space, &keys, collection, name, None, Some(&head)).await;
        }
        Ok(count)
    }
}

/// The condition that nothing is there, or that it has expired.
pub(crate) fn absent(keys: &Keys) -> Condition {
    let condition = Condition { quiet: true, ..Condition::default() };
    condition
        .with("attribute_not_exists(#p) OR #e <= :now")
        .named("#p", &keys.partition)
        .named("#e", EXPIRES)
        .valued(":now", seconds(now()))
}
