//! Reading, deciding and writing key-values in one step.
//!
//! Python's layout has no versions: a change is made on the condition that the item still is what was read. Each of
//! its attributes must be the same, but the condition language can not say "and there are no others". An item with an
//! attribute beside its value loses or changes that when it gains a member (see [`crate::codec`]); so do LlamaIndex's
//! own small shapes, or they gain what is named. Any other item is claimed: it gets random digits for that attribute,
//! which mean nothing to a reader, is read again, and changed on the condition that they are there. Items of more than
//! 80 attributes are told by the one beside them and the first 80.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use store_core::kit::batches::cut;
use store_core::kit::check;
use store_core::{Error, ErrorKind, JsonObject, Result, Update, UpdateFn};

use crate::batch::Backoff;
use crate::codec::{Item, MAX_ITEM_BYTES, SHAPES, item_size};
use crate::conditional::{self, Change};
use crate::kv::DynamoKvStore;
use crate::kv_layout::{is_expired, key, now};
use crate::kv_write::absent;
use crate::large::{self, Head};
use crate::schema::{BESIDE, EXPIRES, LARGE};
use crate::tables::Keys;
use crate::transaction::{self, Condition};

/// Keys that one round reads, decides and writes.
const KEYS: usize = 800;
/// The longest pause after others were faster.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// Attributes in a condition, which may have 300 operators and 4 KB.
const COMPARED: usize = 80;

/// The bytes of a claim: the attribute's name and its digits.
const CLAIM_BYTES: usize = BESIDE.len() + 16;

/// What is to be done about a key.
enum Planned {
    /// Its item is marked, to be read and decided upon again.
    Claim(TransactWriteItem, usize),
    /// Its change, the bytes that it takes, and the heads of the old and new value.
    Change(TransactWriteItem, usize, Option<Head>, Option<Head>),
}

/// What became of the chunks of a key by a change.
#[derive(Debug)]
struct Chunks<'a> {
    place: usize,
    name: &'a str,
    old: Option<Head>,
    new: Option<Head>,
}

impl DynamoKvStore {
    pub(crate) async fn update(
        &self,
        collection: &str,
        names: &[&str],
        apply: &mut UpdateFn<'_>,
    ) -> Result<Vec<Option<JsonObject>>> {
        Self::check(collection, names.iter().copied())?;
        check::no_duplicates("key", names.iter().copied())?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let keys = self.keys().await?;
        let mut after = Vec::with_capacity(names.len());
        for some in cut(names, KEYS, usize::MAX, |_| 0) {
            let done = after.len() + some.len();
            let answer = self.update_some(&keys, collection, some, apply).await;
            after.extend(answer.map_err(|error| {
                let failed = error.failed().to_vec();
                let later = names.iter().skip(if failed.is_empty() { names.len() } else { done });
                error.with_failed(failed.into_iter().chain(later.map(|name| (*name).to_owned())))
            })?);
        }
        Ok(after)
    }

    async fn update_some(
        &self,
        keys: &Keys,
        collection: &str,
        names: &[&str],
        apply: &mut UpdateFn<'_>,
    ) -> Result<Vec<Option<JsonObject>>> {
        let mut after = vec![None; names.len()];
        let mut open: Vec<usize> = (0..names.len()).collect();
        let backoff = Backoff::new(self.space.config.operation_timeout);
        let mut backoff = backoff.with_pauses_up_to(LONGEST_PAUSE);
        let mut first = true;
        loop {
            let wanted: Vec<&str> = open.iter().filter_map(|place| names.get(*place).copied()).collect();
            let stored = self.read_all(keys, collection, &wanted, None, true).await;
            let stored = stored.map_err(|error| error.with_failed(wanted.iter().copied()))?;
            let (mut changes, mut chunks, mut refused) = (Vec::new(), Vec::new(), None);
            let mut claimed = Vec::new();
            for ((place, name), stored) in open.iter().zip(&wanted).zip(stored) {
                match self.decide(keys, collection, name, stored, apply).await {
                    Ok((value, planned)) => {
                        if let Some(slot) = after.get_mut(*place) {
                            *slot = value;
                        }
                        let (write, bytes) = match planned {
                            None => continue,
                            Some(Planned::Claim(write, bytes)) => {
                                claimed.push(*place);
                                (write, bytes)
                            }
                            Some(Planned::Change(write, bytes, old, new)) => {
                                if old.is_some() || new.is_some() {
                                    chunks.push(Chunks { place: *place, name, old, new });
                                }
                                (write, bytes)
                            }
                        };
                        changes.push(Change { place: *place, key: (*name).to_owned(), write, bytes });
                    }
                    Err(error) => {
                        refused = Some(error);
                        break;
                    }
                }
            }
            let before = open.len();
            let lost = conditional::each(&self.space, changes).await?;
            open = check::unique_by([claimed, lost.clone()].concat(), true, |place| *place);
            open.sort_unstable();
            for Chunks { place, name, old, new } in chunks {
                if !open.contains(&place) {
                    large::sweep(&self.space, keys, collection, name, new.as_ref(), old.as_ref()).await;
                } else if let Some(new) = new {
                    large::remove(&self.space, keys, collection, name, &new).await;
                }
            }
            if let Some(error) = refused {
                return Err(error);
            }
            if open.is_empty() {
                return Ok(after);
            }
            // All that is open was claimed, and nobody is in the way.
            if lost.is_empty() && std::mem::take(&mut first) {
                continue;
            }
            if !backoff.pause(open.len() < before).await {
                let open: Vec<&str> = open.iter().filter_map(|place| names.get(*place).copied()).collect();
                let message = "others changed the key each time it was read, until the time was over";
                let key = open.first().copied().unwrap_or_default();
                return Err(Error::new(ErrorKind::Conflict, message).with_key(key).with_failed(open));
            }
        }
    }

    /// Asks `apply` about one key: the value afterwards, and what is to be done, if anything.
    async fn decide(
        &self,
        keys: &Keys,
        collection: &str,
        name: &str,
        stored: Option<Item>,
        apply: &mut UpdateFn<'_>,
    ) -> Result<(Option<JsonObject>, Option<Planned>)> {
        let stored = stored.filter(|item| !is_expired(item, now()));
        let old = match &stored {
            Some(item) => self.value(keys, collection, name, item.clone()).await?,
            None => None,
        };
        let table = &self.space.main;
        let old_head = stored.as_ref().and_then(Head::of);
        let bytes = stored.as_ref().map_or(0, item_size);
        let claim = |stored: &Item| {
            let condition = same(stored, keys).named("#claim", BESIDE).valued(":claim", digits());
            let write =
                transaction::update(table, key(keys, collection, name), "SET #claim = :claim", condition);
            write.map(|write| Planned::Claim(write, 2 * bytes + CLAIM_BYTES))
        };
        let unclaimed = stored.as_ref().filter(|stored| !shows_gains(stored, keys));
        match apply(name, old.as_ref())? {
            Update::Keep => Ok((old, None)),
            Update::Put(value) => {
                // What can not be written is refused before its key is claimed.
                let encoded = self.encode(keys, collection, name, value.clone(), None)?;
                if let Some(stored) = unclaimed {
                    return Ok((None, Some(claim(stored)?)));
                }
                let (item, size) = self.saved(keys, collection, name, encoded, None).await?;
                let new_head = Head::of(&item);
                let bytes = bytes + size;
                let condition = match &stored {
                    None => absent(keys),
                    Some(stored) => same(stored, keys),
                };
                let write = transaction::put(table, item, Some(condition))?;
                Ok((Some(value), Some(Planned::Change(write, bytes, old_head, new_head))))
            }
            Update::Delete => {
                if let Some(stored) = unclaimed {
                    return Ok((None, Some(claim(stored)?)));
                }
                let Some(stored) = stored else { return Ok((None, None)) };
                let condition = same(&stored, keys);
                let write = transaction::delete(table, key(keys, collection, name), Some(condition))?;
                Ok((None, Some(Planned::Change(write, bytes, old_head, None))))
            }
        }
    }
}

/// A mark that nobody else makes, and that says nothing of the value.
fn digits() -> AttributeValue {
    AttributeValue::S(format!("{:016x}", fastrand::u64(..)))
}

/// Whether a member that came since the item was read would show in [`same`]; or there is no room to claim it.
fn shows_gains(item: &Item, keys: &Keys) -> bool {
    let names = item.keys().map(String::as_str);
    let names: Vec<&str> =
        names.filter(|name| ![keys.partition.as_str(), &keys.sort, EXPIRES].contains(name)).collect();
    names.iter().any(|name| name.starts_with(BESIDE))
        || SHAPES
            .iter()
            .any(|shape| shape.len() == names.len() && shape.iter().all(|name| names.contains(name)))
        || item_size(item) + CLAIM_BYTES > MAX_ITEM_BYTES
}

/// The condition that an item still is what was read.
pub(crate) fn same(item: &Item, keys: &Keys) -> Condition {
    let is_key = |name: &str| name == keys.partition || name == keys.sort;
    let mut attributes: Vec<(&String, &AttributeValue)> =
        item.iter().filter(|(name, _)| !is_key(name)).collect();
    // What stands beside the value comes first.
    attributes.sort_unstable_by_key(|(name, _)| (!name.starts_with(BESIDE), *name));
    let mut terms = vec!["attribute_exists(#p)".to_owned()];
    let mut condition = Condition { quiet: true, ..Condition::default() }.named("#p", &keys.partition);
    for (number, (name, value)) in attributes.into_iter().take(COMPARED).enumerate() {
        terms.push(format!("#a{number} = :a{number}"));
        condition =
            condition.named(&format!("#a{number}"), name).valued(&format!(":a{number}"), value.clone());
    }
    let mut others: Vec<&str> = SHAPES.concat();
    others.extend([BESIDE, EXPIRES, LARGE]);
    others.sort_unstable();
    others.dedup();
    others.retain(|name| !item.contains_key(*name) && !is_key(name));
    for (number, name) in others.into_iter().enumerate() {
        terms.push(format!("attribute_not_exists(#n{number})"));
        condition = condition.named(&format!("#n{number}"), name);
    }
    condition.with(&terms.join(" AND "))
}
