//! Values too large for an item: their JSON text in chunks, items of a partition that all values of the key have.
//!
//! The chunks are written first, under a new id, then the item that names them; then the chunks of the value before
//! are removed. A reader who finds that chunks have gone reads the item again. What is left over when a writer dies in
//! between are chunks that no item names; a later writer of a large value of that key, or in the place of one, removes
//! them when they are an hour old.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use store_core::kit::check;
use store_core::kit::epoch::millis;
use store_core::kit::stored_json::stored_json;
use store_core::{Error, JsonObject, Result};

use crate::batch::{self, Read, Write};
use crate::codec::Item;
use crate::kv_layout::{key, seconds};
use crate::schema::{DATA, EXPIRES, LARGE, OWN};
use crate::space::Space;
use crate::tables::Keys;

/// The largest value, in bytes of compact JSON: it is read and written in one piece of memory.
pub(crate) const MAX_BYTES: usize = 16 << 20;
/// Bytes in a chunk; keys and names fit beside them.
const CHUNK: usize = 390 << 10;
/// The most chunks of a value.
const MAX_CHUNKS: usize = MAX_BYTES.div_ceil(CHUNK);
/// How long an unfinished write may take before its chunks count as left over.
const LEFT_OVER: u64 = 3_600_000;

/// What an item says of the chunks of its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    id: String,
    chunks: usize,
}

impl Head {
    /// What the item of a large value says; `None` for all others.
    pub(crate) fn of(item: &Item) -> Option<Self> {
        let mut parts = item.get(LARGE)?.as_s().ok()?.split(' ');
        Some(Self { id: parts.next()?.to_owned(), chunks: parts.next()?.parse().ok()? })
    }

    /// Refuses one that no writer wrote: each chunk that it says would be asked for.
    fn check(&self) -> Result<()> {
        if self.chunks <= MAX_CHUNKS {
            return Ok(());
        }
        let chunks = self.chunks;
        Err(Error::corrupt(format!(
            "the stored value says that it has {chunks} chunks; it can have {MAX_CHUNKS}"
        )))
    }
}

/// Where the chunks of a key lie.
fn partition(collection: &str, name: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(collection);
    // No byte of UTF-8, so that no two pairs are one text.
    hash.update([0xff]);
    hash.update(name);
    format!("{OWN}large/{}", URL_SAFE_NO_PAD.encode(hash.finalize()))
}

fn sort(id: &str, number: usize) -> String {
    format!("{id}/{number:05}")
}

/// Writes the chunks of a value under a new id, and answers the item that names them, which is not written.
pub(crate) async fn save(
    space: &Space,
    keys: &Keys,
    collection: &str,
    name: &str,
    value: &JsonObject,
    expires: Option<u64>,
) -> Result<Item> {
    let text = encode(name, value)?;
    let id = format!("{:013}-{:016x}", millis(), fastrand::u64(..));
    let partition = partition(collection, name);
    let expires = expires.map(|second| (EXPIRES.to_owned(), seconds(second)));
    let mut writes = Vec::new();
    for (number, chunk) in text.chunks(CHUNK).enumerate() {
        let mut item = key(keys, &partition, &sort(&id, number));
        item.insert(DATA.to_owned(), AttributeValue::B(Blob::new(chunk)));
        item.extend(expires.clone());
        writes.push(Write::put(item));
    }
    let mut head = key(keys, collection, name);
    let told = format!("{id} {} {}", writes.len(), text.len());
    head.insert(LARGE.to_owned(), AttributeValue::S(told));
    head.extend(expires);
    let written = batch::write(space, &space.main, writes, &keys.sort).await;
    written.map_err(|error| error.with_failed([name]))?;
    Ok(head)
}

/// The text of a value; `LimitExceeded` for one that is too large even for chunks.
pub(crate) fn encode(name: &str, value: &JsonObject) -> Result<Vec<u8>> {
    let text = serde_json::to_vec(value)
        .map_err(|error| Error::invalid_input("the value can not be written as JSON").with_source(error))?;
    check::within("value", name, text.len(), MAX_BYTES)?;
    Ok(text)
}

/// Reads a large value; `None` when its chunks are gone.
pub(crate) async fn load(
    space: &Space,
    keys: &Keys,
    collection: &str,
    name: &str,
    head: &Head,
) -> Result<Option<JsonObject>> {
    head.check().map_err(|error| error.with_key(name))?;
    let partition = partition(collection, name);
    let wanted = (0..head.chunks).map(|number| key(keys, &partition, &sort(&head.id, number))).collect();
    // Chunks are written before what names them.
    let read =
        Read { table: &space.main, key: &[&keys.partition, &keys.sort], fields: None, consistent: true };
    let mut text = Vec::new();
    for chunk in batch::get(space, &read, wanted).await? {
        let Some(bytes) = chunk.as_ref().and_then(|chunk| chunk.get(DATA)?.as_b().ok()) else {
            return Ok(None);
        };
        text.extend_from_slice(bytes.as_ref());
    }
    stored_json("the stored value, put together from its chunks,", &text)
        .map(Some)
        .map_err(|error| error.with_key(name))
}

/// Removes the chunks of a value that was not written after all. What can not be removed now is left over.
pub(crate) async fn remove(space: &Space, keys: &Keys, collection: &str, name: &str, head: &Head) {
    let partition = partition(collection, name);
    let deletes =
        (0..head.chunks).map(|number| Write::delete(key(keys, &partition, &sort(&head.id, number))));
    let removed = async { batch::write(space, &space.main, deletes.collect(), &keys.sort).await };
    if let Err(error) = removed.await {
        tracing::warn!(%error, "the chunks of a value that was not written are left over");
    }
}

/// After a value was replaced: removes the chunks of the one before, and what others left over. `keep` is the one that
/// was written, if it has chunks; one written since is too young to count as left over. What can not be removed now is
/// left for the next time.
pub(crate) async fn sweep(
    space: &Space,
    keys: &Keys,
    collection: &str,
    name: &str,
    keep: Option<&Head>,
    gone: Option<&Head>,
) {
    if let Err(error) = try_sweep(space, keys, collection, name, keep, gone).await {
        tracing::warn!(%error, "the chunks of a value that was replaced are left over");
    }
}

async fn try_sweep(
    space: &Space,
    keys: &Keys,
    collection: &str,
    name: &str,
    keep: Option<&Head>,
    gone: Option<&Head>,
) -> Result<()> {
    let partition = partition(collection, name);
    let now = millis();
    let mut deletes = Vec::new();
    let mut after = None;
    loop {
        let query = space
            .client()?
            .query()
            .table_name(&space.main)
            .key_condition_expression("#p = :p")
            .projection_expression("#s")
            .expression_attribute_names("#p", &keys.partition)
            .expression_attribute_names("#s", &keys.sort)
            .expression_attribute_values(":p", AttributeValue::S(partition.clone()))
            .consistent_read(true)
            .set_exclusive_start_key(after);
        let page = space.call(query.send()).await?;
        for item in page.items.into_iter().flatten() {
            let Some(AttributeValue::S(sort)) = item.get(&keys.sort) else { continue };
            let id = sort.split('/').next().unwrap_or_default();
            let begun = id.split('-').next().and_then(|millis| millis.parse::<u64>().ok());
            let left_over = begun.is_some_and(|begun| begun.saturating_add(LEFT_OVER) < now);
            let is = |head: Option<&Head>| head.is_some_and(|head| head.id == id);
            if !is(keep) && (left_over || is(gone)) {
                deletes.push(Write::delete(key(keys, &partition, sort)));
            }
        }
        after = page.last_evaluated_key;
        if after.is_none() {
            return batch::write(space, &space.main, deletes, &keys.sort).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_key_has_its_own_chunks() {
        let all = [("a", "bc"), ("ab", "c"), ("a", "b"), ("", "abc")];
        let partitions: HashSet<String> =
            all.iter().map(|(collection, name)| partition(collection, name)).collect();
        assert_eq!(partitions.len(), all.len());
        assert!(partitions.iter().all(|partition| partition.starts_with(OWN)));
    }

    #[test]
    fn a_head_is_read_as_it_is_written() {
        let item = |text: &str| Item::from([(LARGE.to_owned(), AttributeValue::S(text.to_owned()))]);
        assert_eq!(Head::of(&item("x-y 3 900000")), Some(Head { id: "x-y".to_owned(), chunks: 3 }));
        assert_eq!(Head::of(&item("x")), None);
        assert_eq!(Head::of(&Item::new()), None);
    }

    #[test]
    fn a_head_that_asks_for_too_much_is_damaged() {
        let head = |chunks: usize| Head { id: "x-y".to_owned(), chunks };
        head(MAX_CHUNKS).check().unwrap();
        assert_eq!(head(usize::MAX).check().unwrap_err().kind(), store_core::ErrorKind::Corrupt);
    }
}
