//! Key-values at their limits.

use serde_json::{Value, json};
use store_core::{
    Error, ErrorKind, JsonObject, KvStore, KvStoreExt, PutMode, PutOptions, Result, ScanOptions, Update,
};

use crate::case::{Need, cases};
use crate::check::{CaseResult, Failure, describe, failed_exactly, holds, refused, same, same_items};
use crate::data::{all, numbered, object};

cases! { "limits", Kv:
    kv_value_at_the_limit_and_one_byte_more [Need::KvValueLimit],
    kv_value_over_the_limit_refuses_the_batch [Need::KvValueLimit],
    kv_update_over_the_limit_is_refused [Need::KvValueLimit],
    kv_key_at_the_limit_and_one_byte_more [Need::KvKeyLimit],
    kv_key_over_the_limit_refuses_the_batch [Need::KvKeyLimit],
    kv_great_values,
    kv_great_batches,
    kv_batch_greater_than_a_request,
}

const C: &str = "things";

fn of_length(length: usize) -> JsonObject {
    object(json!({"v": "x".repeat(length)}))
}

fn value_limit(store: &dyn KvStore) -> CaseResult<usize> {
    store.capabilities().max_value_bytes.ok_or_else(|| Failure::new("no limit of values is stated"))
}

fn key_limit(store: &dyn KvStore) -> CaseResult<usize> {
    store.capabilities().max_key_bytes.ok_or_else(|| Failure::new("no limit of keys is stated"))
}

/// `LimitExceeded` that names the key, its size and the limit.
fn names_the_limit(what: &str, result: Result<()>, key: &str) -> CaseResult<Error> {
    let error = refused(what, result, &[ErrorKind::LimitExceeded])?;
    failed_exactly(&error, &[key])?;
    let text = error.to_string();
    let shown: String = key.chars().take(20).collect();
    holds(text.contains(&shown), format!("{what}: no key in {}", describe(&error)))?;
    let numbers = error.message().split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty()).count();
    holds(numbers >= 2, format!("{what}: size and limit are not both in {}", describe(&error)))?;
    holds(!error.is_retryable(), format!("{what}: {} claims that a retry helps", describe(&error)))?;
    Ok(error)
}

/// Whether a text of that length is kept; if not, it must be refused for the limit.
async fn takes(store: &dyn KvStore, length: usize) -> CaseResult<bool> {
    match store.put(C, "k", of_length(length)).await {
        Ok(()) => Ok(true),
        Err(error) => names_the_limit("a value over the limit", Err(error), "k").map(|_| false),
    }
}

/// There is one length up to which every value is kept and from which every one is refused with `LimitExceeded`,
/// to the byte: it lies within a few KB of the stated limit, whatever the encoding, and a text of the limit's own
/// length is over it.
async fn kv_value_at_the_limit_and_one_byte_more(store: &dyn KvStore) -> CaseResult {
    let limit = value_limit(store)?;
    holds(!takes(store, limit).await?, "a text as long as the limit is kept, though it needs a frame")?;
    // Compact JSON is tried first: great values are slow to write.
    let mut kept = limit.saturating_sub(r#"{"v":""}"#.len());
    if !takes(store, kept).await? || takes(store, kept + 1).await? {
        kept = limit.saturating_sub(4_096.min(limit / 2));
        holds(takes(store, kept).await?, "a value well below the limit is refused")?;
        let mut over = limit;
        while over - kept > 1 {
            let length = usize::midpoint(kept, over);
            if takes(store, length).await? { kept = length } else { over = length }
        }
    }
    holds(takes(store, kept).await?, "the greatest value is refused the second time")?;
    holds(!takes(store, kept + 1).await?, "one byte more is kept the second time")?;
    let found = store.get(C, "k").await?;
    let found = found.as_ref().and_then(|value| value.get("v")).and_then(Value::as_str).unwrap_or("");
    same("the length of the greatest value, read back", &found.len(), &kept)?;
    holds(found.bytes().all(|byte| byte == b'x'), "the greatest value came back changed")
}

/// One value over the limit in a batch: nothing of it is written.
async fn kv_value_over_the_limit_refuses_the_batch(store: &dyn KvStore) -> CaseResult {
    let limit = value_limit(store)?;
    store.put(C, "old", numbered(1)).await?;
    for mode in [PutMode::Upsert, PutMode::Insert] {
        let entries = vec![
            ("a".to_owned(), numbered(1)),
            ("over".to_owned(), of_length(limit + 1)),
            ("z".to_owned(), numbered(1)),
        ];
        let put = store.put_many(C, entries, PutOptions::default().with_mode(mode)).await;
        names_the_limit("a batch", put, "over")?;
    }
    same(
        "what is stored",
        &all(store.scan(C, ScanOptions::default())).await?,
        &[("old".to_owned(), numbered(1))],
    )
}

/// An update that puts a value over the limit leaves the old one.
async fn kv_update_over_the_limit_is_refused(store: &dyn KvStore) -> CaseResult {
    let limit = value_limit(store)?;
    store.put(C, "k", numbered(1)).await?;
    let result = store.update(C, "k", |_| Ok(Update::Put(of_length(limit + 1)))).await;
    refused("an update", result, &[ErrorKind::LimitExceeded])?;
    same("k", &store.get(C, "k").await?, &Some(numbered(1)))
}

/// Keys count in bytes of UTF-8: one of exactly the limit is kept, one byte more is refused.
async fn kv_key_at_the_limit_and_one_byte_more(store: &dyn KvStore) -> CaseResult {
    let limit = key_limit(store)?;
    let ascii = "k".repeat(limit);
    let wide = format!("{}{}", "é".repeat(limit / 2), "k".repeat(limit % 2));
    for key in [&ascii, &wide] {
        store.put(C, key, numbered(1)).await?;
        same("at the limit", &store.get(C, key).await?, &Some(numbered(1)))?;
        let longer = format!("{key}x");
        names_the_limit("one byte more", store.put(C, &longer, numbered(2)).await, &longer)?;
    }
    let keys: Vec<String> =
        all(store.scan(C, ScanOptions::default())).await?.into_iter().map(|(key, _)| key).collect();
    same_items("the keys stored", &keys, &[ascii, wide])
}

/// One key over the limit in a batch: nothing of it is written.
async fn kv_key_over_the_limit_refuses_the_batch(store: &dyn KvStore) -> CaseResult {
    let long = "k".repeat(key_limit(store)? + 1);
    let entries =
        vec![("a".to_owned(), numbered(1)), (long.clone(), numbered(1)), ("z".to_owned(), numbered(1))];
    names_the_limit("a batch", store.put_many(C, entries, PutOptions::default()).await, &long)?;
    same("what is stored", &all(store.scan(C, ScanOptions::default())).await?, &[(); 0])
}

/// Values as great as the backend takes, up to 4 MB, by every way in and out.
async fn kv_great_values(store: &dyn KvStore) -> CaseResult {
    let length = store.capabilities().max_value_bytes.map_or(4 << 20, |limit| (limit / 2).min(4 << 20));
    store.put(C, "a", of_length(length)).await?;
    same("get", &store.get(C, "a").await?, &Some(of_length(length)))?;
    store.update(C, "b", |_| Ok(Update::Put(of_length(length - 1)))).await?;
    let found = all(store.scan(C, ScanOptions::default())).await?;
    same_items(
        "scan",
        &found,
        &[("a".to_owned(), of_length(length)), ("b".to_owned(), of_length(length - 1))],
    )?;
    same("delete", &store.delete_many(C, &["a", "b"]).await?, &2_usize)
}

/// Two thousand keys in one call, of each kind.
async fn kv_great_batches(store: &dyn KvStore) -> CaseResult {
    let keys: Vec<String> = (0..2_000).map(|n| format!("key {n}")).collect();
    let entries = || keys.iter().cloned().enumerate().map(|(n, key)| (key, numbered(n))).collect::<Vec<_>>();
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    store.put_many(C, entries(), PutOptions::default().with_mode(PutMode::Insert)).await?;
    let expected: Vec<_> = (0..2_000).map(|n| Some(numbered(n))).collect();
    same("get_many", &store.get_many(C, &names).await?, &expected)?;
    let insert = store.put_many(C, entries(), PutOptions::default().with_mode(PutMode::Insert)).await;
    let error = refused("all again", insert, &[ErrorKind::AlreadyExists])?;
    failed_exactly(&error, &names)?;
    let some = names.get(..500).unwrap_or_default();
    let mut odd = |_: &str, old: Option<&JsonObject>| {
        let n = old.and_then(|old| old.get("n")).and_then(Value::as_u64).unwrap_or(0);
        Ok(if n.is_multiple_of(2) { Update::Delete } else { Update::Keep })
    };
    let after = store.update_many(C, some, &mut odd).await?;
    same("update_many", &after.iter().flatten().count(), &250_usize)?;
    same("delete_many", &store.delete_many(C, &names).await?, &1_750_usize)?;
    same("left", &all(store.scan(C, ScanOptions::default())).await?, &[(); 0])
}

/// Sixteen megabytes in one call: more than any server takes in one request.
async fn kv_batch_greater_than_a_request(store: &dyn KvStore) -> CaseResult {
    let length = store.capabilities().max_value_bytes.map_or(256 << 10, |limit| (limit / 2).min(256 << 10));
    let count = (16 << 20) / length.max(16 << 10);
    let keys: Vec<String> = (0..count).map(|n| format!("key {n}")).collect();
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let entries = keys.iter().cloned().enumerate().map(|(n, key)| (key, of_length(length - n))).collect();
    store.put_many(C, entries, PutOptions::default()).await?;
    for (n, found) in store.get_many(C, &names).await?.into_iter().enumerate() {
        same(format!("key {n}"), &found, &Some(of_length(length - n)))?;
    }
    same("a scan", &all(store.scan(C, ScanOptions::default())).await?.len(), &count)?;
    same("deleted", &store.delete_many(C, &names).await?, &count)
}
