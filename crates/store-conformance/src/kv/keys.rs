//! Keys: non-empty text of any characters.

use store_core::{JsonObject, KvStore, KvStoreExt, PutMode, PutOptions, ScanOptions, Update};

use super::C;
use crate::case::cases;
use crate::check::{CaseResult, failed_exactly, invalid, same, same_items};
use crate::data::{all, numbered, odd_keys};

cases! { "kv", Kv:
    empty_key_is_refused,
    empty_key_refuses_the_whole_batch,
    empty_collection_is_refused,
    odd_keys_are_kept_apart,
    odd_keys_are_deleted_alone,
    odd_keys_are_inserted_and_updated,
    odd_collections_are_kept_apart,
    prefix_keys_are_kept_apart,
    long_keys_are_kept_apart,
}

/// An empty key is `InvalidInput` in every call.
async fn empty_key_is_refused(store: &dyn KvStore) -> CaseResult {
    invalid("get_many", store.get_many(C, &["a", ""]).await)?;
    invalid("put", store.put(C, "", numbered(1)).await)?;
    invalid("delete_many", store.delete_many(C, &["a", ""]).await)?;
    let keep = &mut |_: &str, _: Option<&JsonObject>| Ok(Update::Keep);
    invalid("update_many", store.update_many(C, &["a", ""], keep).await)?;
    Ok(())
}

/// One empty key in a batch: `failed` names it, and nothing of the batch is written or removed.
async fn empty_key_refuses_the_whole_batch(store: &dyn KvStore) -> CaseResult {
    store.put(C, "old", numbered(1)).await?;
    let entries = || ["a", "", "b"].map(|key| (key.to_owned(), numbered(2))).to_vec();
    for mode in [PutMode::Upsert, PutMode::Insert] {
        let options = PutOptions::default().with_mode(mode);
        let error = invalid("put_many", store.put_many(C, entries(), options).await)?;
        failed_exactly(&error, &[""])?;
    }
    invalid("delete_many", store.delete_many(C, &["old", ""]).await)?;
    let put = &mut |_: &str, _: Option<&JsonObject>| Ok(Update::Put(numbered(2)));
    invalid("update_many", store.update_many(C, &["old", "a", ""], put).await)?;
    let left = all(store.scan(C, ScanOptions::default())).await?;
    same("what is stored", &left, &[("old".to_owned(), numbered(1))])
}

/// An empty collection name is `InvalidInput` in every call.
async fn empty_collection_is_refused(store: &dyn KvStore) -> CaseResult {
    invalid("get_many", store.get_many("", &["a"]).await)?;
    invalid("put", store.put("", "a", numbered(1)).await)?;
    invalid("delete_many", store.delete_many("", &["a"]).await)?;
    let keep = &mut |_: &str, _: Option<&JsonObject>| Ok(Update::Keep);
    invalid("update_many", store.update_many("", &["a"], keep).await)?;
    invalid(
        "scan",
        futures::TryStreamExt::try_collect::<Vec<_>>(store.scan("", ScanOptions::default())).await,
    )?;
    Ok(())
}

fn odd_entries() -> Vec<(String, JsonObject)> {
    odd_keys().into_iter().enumerate().map(|(number, key)| (key, numbered(number))).collect()
}

/// Every key keeps its own value: no folding of case, no normalising, no trimming, no escaping that two keys
/// share; and a scan gives each exactly as it was.
async fn odd_keys_are_kept_apart(store: &dyn KvStore) -> CaseResult {
    store.put_many(C, odd_entries(), PutOptions::default()).await?;
    let keys = odd_keys();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for ((key, expected), found) in odd_entries().into_iter().zip(store.get_many(C, &keys).await?) {
        same(format!("{key:?}"), &found, &Some(expected))?;
    }
    same_items("a scan", &all(store.scan(C, ScanOptions::default())).await?, &odd_entries())
}

/// Deleting one of them leaves all the others.
async fn odd_keys_are_deleted_alone(store: &dyn KvStore) -> CaseResult {
    store.put_many(C, odd_entries(), PutOptions::default()).await?;
    let mut left = odd_entries();
    while let Some((key, _)) = left.pop() {
        same(format!("{key:?} was there"), &store.delete(C, &key).await?, &true)?;
        if left.len().is_multiple_of(16) {
            same_items(format!("after {key:?}"), &all(store.scan(C, ScanOptions::default())).await?, &left)?;
        }
    }
    Ok(())
}

/// Inserts and updates know them apart too.
async fn odd_keys_are_inserted_and_updated(store: &dyn KvStore) -> CaseResult {
    store.put_many(C, odd_entries(), PutOptions::default().with_mode(PutMode::Insert)).await?;
    let keys = odd_keys();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let add = &mut |_: &str, old: Option<&JsonObject>| {
        let mut value = old.cloned().unwrap_or_default();
        value.insert("updated".to_owned(), true.into());
        Ok(Update::Put(value))
    };
    store.update_many(C, &keys, add).await?;
    let expected: Vec<_> = odd_entries()
        .into_iter()
        .map(|(_, mut value)| {
            value.insert("updated".to_owned(), true.into());
            Some(value)
        })
        .collect();
    same("all of them", &store.get_many(C, &keys).await?, &expected)
}

/// A collection's name is free text as well.
async fn odd_collections_are_kept_apart(store: &dyn KvStore) -> CaseResult {
    // Each may cost a table somewhere: a dozen will do.
    let names = ["a", "A", "ab", "é", "e\u{301}", "a/b", "a.b", "$a", "#", ":", " ", "😀\0", "it's"];
    for (number, name) in names.into_iter().enumerate() {
        store.put(name, "k", numbered(number)).await?;
    }
    for (number, name) in names.into_iter().enumerate() {
        let found = all(store.scan(name, ScanOptions::default())).await?;
        same(format!("{name:?}"), &found, &[("k".to_owned(), numbered(number))])?;
    }
    Ok(())
}

/// A key that begins with another is another key.
async fn prefix_keys_are_kept_apart(store: &dyn KvStore) -> CaseResult {
    let keys = ["a", "ab", "abc", "a/", "a:", "a\0", "aa"];
    for (number, key) in keys.into_iter().enumerate() {
        store.put(C, key, numbered(number)).await?;
    }
    same("delete a", &store.delete(C, "a").await?, &true)?;
    let expected: Vec<_> = (0..keys.len()).map(|number| (number > 0).then(|| numbered(number))).collect();
    same("the others", &store.get_many(C, &keys).await?, &expected)
}

/// Keys that differ only in their last character, as long as the backend takes them (at most 1,000 bytes here).
async fn long_keys_are_kept_apart(store: &dyn KvStore) -> CaseResult {
    let length = store.capabilities().max_key_bytes.unwrap_or(1_000).min(1_000);
    let stem = "k".repeat(length.saturating_sub(1));
    let entries: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .enumerate()
        .map(|(n, end)| (format!("{stem}{end}"), numbered(n)))
        .collect();
    store.put_many(C, entries.clone(), PutOptions::default()).await?;
    for (key, value) in &entries {
        same(
            format!("the key that ends in {:?}", key.chars().last()),
            &store.get(C, key).await?,
            &Some(value.clone()),
        )?;
    }
    same_items("a scan", &all(store.scan(C, ScanOptions::default())).await?, &entries)
}
