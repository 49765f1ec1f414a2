//! Checks that every store makes before it writes.

use std::collections::HashSet;
use std::hash::Hash;
use std::time::Duration;

use serde::Serialize;

use crate::{Error, ErrorKind, KvCapabilities, PutMode, PutOptions, Result, Selector};

/// Refuses an empty collection, key or id; `what` names it in the message.
pub fn non_empty(what: &str, text: &str) -> Result<()> {
    if text.is_empty() {
        return Err(Error::invalid_input(format!("the {what} is empty; it must be non-empty text")));
    }
    Ok(())
}

/// Refuses a name that some backend could not hold as part of a table's, an index's or a file's name: 1 to 32
/// characters of a–z and 0–9, a letter first. `what` names it in the message.
pub fn plain_name(what: &str, name: &str) -> Result<()> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if name.len() <= 32 && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(legal) {
        return Ok(());
    }
    Err(Error::invalid_input(format!(
        "the {what} {name:?} is not allowed: it starts with a letter a–z and holds only a–z and 0–9, at most 32 \
         characters"
    )))
}

/// Refuses an empty name and one of more than `limit` bytes; `what` says of what.
pub fn name(what: &str, name: &str, limit: usize) -> Result<()> {
    non_empty(what, name)?;
    if name.len() > limit {
        return Err(Error::invalid_input(format!(
            "the name of the {what} takes {} bytes, at most {limit} are allowed",
            name.len()
        )));
    }
    Ok(())
}

/// Refuses a time under a millisecond and one over `most`, some whole years; `what` names it.
pub fn time(what: &str, time: Duration, most: Duration) -> Result<()> {
    if time < Duration::from_millis(1) || time > most {
        let years = most.as_secs() / (366 * 24 * 3600);
        return Err(Error::invalid_input(format!(
            "the {what} is {time:?}; it is at least a millisecond and at most {years} years"
        )));
    }
    Ok(())
}

/// Refuses the name of a vector set that is no [`plain_name`].
pub fn vector_set_name(name: &str) -> Result<()> {
    plain_name("vector set", name).map_err(|error| error.with_key(name))
}

/// Refuses to drop a store that was opened without a namespace. `place` is what it may share with others, `by_hand` what
/// the user can do instead.
pub fn may_drop(namespace: Option<&str>, place: &str, by_hand: &str) -> Result<()> {
    if namespace.is_some() {
        return Ok(());
    }
    Err(Error::invalid_input(format!(
        "the store was opened without a namespace, and others may share its {place}; open it with store.namespace, or \
         {by_hand} yourself"
    )))
}

/// Refuses a page of no items.
pub fn page_limit(limit: Option<usize>) -> Result<()> {
    if limit == Some(0) {
        return Err(Error::invalid_input("the limit is 0; it must be at least 1, or absent for everything"));
    }
    Ok(())
}

/// Refuses what no [`Retriever`](crate::Retriever) could answer: a question without words, no answers, a least score that
/// is no number.
pub fn question(question: &str, top_k: usize, min_score: Option<f64>) -> Result<()> {
    if top_k == 0 {
        return Err(Error::invalid_input("top_k is 0: ask for at least 1 answer"));
    }
    if min_score.is_some_and(f64::is_nan) {
        return Err(Error::invalid_input("min_score is not a number"));
    }
    if question.trim().is_empty() {
        return Err(Error::invalid_input("the question is empty: give at least one word"));
    }
    Ok(())
}

/// Refuses an empty collection or an empty key among `keys`.
pub fn collection_and_keys<'a>(collection: &str, keys: impl IntoIterator<Item = &'a str>) -> Result<()> {
    non_empty("collection name", collection)?;
    keys.into_iter().try_for_each(|key| {
        non_empty("key", key).map_err(|error| error.with_collection(collection).with_failed([key]))
    })
}

/// Checks a whole [`put_many`](crate::KvStore::put_many) against its contract and the store's limits, so that a
/// refusal comes before the first write.
pub fn put<V: Serialize>(
    collection: &str,
    entries: &[(String, V)],
    options: &PutOptions,
    capabilities: &KvCapabilities,
) -> Result<()> {
    collection_and_keys(collection, entries.iter().map(|(key, _)| key.as_str()))?;
    if options.ttl.is_some_and(|ttl| ttl.is_zero()) {
        return Err(Error::invalid_input("the time to live is zero; leave it out to keep the value forever"));
    }
    if options.ttl.is_some() && !capabilities.ttl {
        return Err(Error::new(ErrorKind::Unsupported, "this backend keeps no time to live"));
    }
    if options.mode == PutMode::Insert {
        no_duplicates("key", entries.iter().map(|(key, _)| key.as_str()))?;
    }
    for (key, value) in entries {
        if let Some(limit) = capabilities.max_key_bytes {
            within("key", key, key.len(), limit)?;
        }
        if let Some(limit) = capabilities.max_value_bytes {
            within("value", key, encoded_size(value)?, limit)?;
        }
    }
    Ok(())
}

/// Refuses a value given twice, naming each such value once.
pub fn no_duplicates<'a>(what: &str, keys: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let mut seen = HashSet::new();
    let mut twice: Vec<&str> = keys.into_iter().filter(|key| !seen.insert(*key)).collect();
    if twice.is_empty() {
        return Ok(());
    }
    twice.sort_unstable();
    twice.dedup();
    let first = twice.first().copied().unwrap_or_default();
    Err(Error::invalid_input(format!("the {what} {first:?} is given more than once in one call"))
        .with_failed(twice))
}

/// The error of an insert that met existing keys; they keep their values, the others are written.
#[must_use]
pub fn already_exist(what: &str, existing: Vec<String>) -> Error {
    let message = match existing.as_slice() {
        [only] => format!("the {what} {only:?} exists already and keeps its value"),
        many => format!("{} {what}s exist already and keep their values; the others are written", many.len()),
    };
    Error::new(ErrorKind::AlreadyExists, message).with_failed(existing)
}

/// Refuses `size` bytes over `limit` with key, size and limit.
pub fn within(what: &str, key: &str, size: usize, limit: usize) -> Result<()> {
    if size <= limit {
        return Ok(());
    }
    let message = format!("the {what} takes {size} bytes, the limit is {limit} bytes; nothing was written");
    Err(Error::new(ErrorKind::LimitExceeded, message).with_key(key).with_failed([key]))
}

/// The size of a value as compact JSON, in bytes.
pub fn encoded_size(value: &impl Serialize) -> Result<usize> {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value)
        .map_err(|error| Error::invalid_input("the value can not be written as JSON").with_source(error))?;
    Ok(count.0)
}

/// Refuses a selector without any restriction, for calls that change or remove what is selected.
pub fn restricted(selector: &Selector) -> Result<()> {
    if selector.is_unrestricted() {
        return Err(Error::invalid_input(
            "the selector restricts nothing, so the call would touch the whole store; name ids, source documents \
             or a filter, or use clear",
        ));
    }
    valid_selector(selector)
}

/// Refuses a selector with an empty id or a filter that can not be answered.
pub fn valid_selector(selector: &Selector) -> Result<()> {
    selector.ids.iter().flatten().try_for_each(|id| non_empty("node id", id.as_str()))?;
    selector.ref_docs.iter().flatten().try_for_each(|id| non_empty("ref doc id", id.as_str()))?;
    selector.filter.as_ref().map_or(Ok(()), crate::Filter::validate)
}

/// The items with each key once, in first-seen order; of equal keys the `last` or the first item stays.
#[must_use]
pub fn unique_by<T, K: Eq + Hash>(items: Vec<T>, last: bool, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut places = std::collections::HashMap::with_capacity(items.len());
    let mut unique: Vec<T> = Vec::with_capacity(items.len());
    for item in items {
        match places.entry(key(&item)) {
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(unique.len());
                unique.push(item);
            }
            std::collections::hash_map::Entry::Occupied(place) => {
                if last && let Some(slot) = unique.get_mut(*place.get()) {
                    *slot = item;
                }
            }
        }
    }
    unique
}
