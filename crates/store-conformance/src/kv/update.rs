//! Reading, deciding and writing in one step.

use serde_json::json;
use store_core::{Error, ErrorKind, JsonObject, KvStore, KvStoreExt, PutMode, PutOptions, Update};

use super::C;
use crate::case::cases;
use crate::check::{CaseResult, holds, invalid, refused, same};
use crate::data::{numbered, object};

cases! { "kv", Kv:
    update_puts_keeps_and_deletes,
    update_sees_the_old_value,
    update_keep_writes_nothing,
    update_replaces_whole_values,
    update_of_equal_keys_is_refused,
    update_error_ends_the_call,
    update_compares_and_swaps,
    all_ways_to_write_follow_each_other,
}

/// `Put`, `Keep` and `Delete`, of keys that are there and that are not; the answer holds the values afterwards,
/// in the order of the keys.
async fn update_puts_keeps_and_deletes(store: &dyn KvStore) -> CaseResult {
    let there = ["put", "keep", "delete"].map(|key| (key.to_owned(), numbered(1))).to_vec();
    store.put_many(C, there, PutOptions::default()).await?;
    let keys = ["delete absent", "put", "keep absent", "delete", "put absent", "keep"];
    let after = store
        .update_many(C, &keys, &mut |key, _| {
            Ok(match key {
                "put" | "put absent" => Update::Put(numbered(2)),
                "keep" | "keep absent" => Update::Keep,
                _ => Update::Delete,
            })
        })
        .await?;
    let expected = vec![None, Some(numbered(2)), None, None, Some(numbered(2)), Some(numbered(1))];
    same("the answer", &after, &expected)?;
    same("read back", &store.get_many(C, &keys).await?, &expected)
}

/// The closure is given each key with its value as stored, `None` where there is none.
async fn update_sees_the_old_value(store: &dyn KvStore) -> CaseResult {
    let value = object(json!({"z": 1.0, "a": {"y": 2, "b": null}}));
    store.put(C, "a", value.clone()).await?;
    let mut seen: Vec<(String, Option<JsonObject>)> = Vec::new();
    store
        .update_many(C, &["b", "a"], &mut |key, old| {
            // On a conflict the closure runs again.
            if !seen.iter().any(|(other, _)| other == key) {
                seen.push((key.to_owned(), old.cloned()));
            }
            Ok(Update::Keep)
        })
        .await?;
    seen.sort_by(|left, right| left.0.cmp(&right.0));
    same("what the closure saw", &seen, &[("a".to_owned(), Some(value)), ("b".to_owned(), None)])
}

/// `Keep` creates no entry and changes none.
async fn update_keep_writes_nothing(store: &dyn KvStore) -> CaseResult {
    same("the answer", &store.update(C, "a", |_| Ok(Update::Keep)).await?, &None::<JsonObject>)?;
    same("read back", &store.get(C, "a").await?, &None::<JsonObject>)?;
    same("nothing to delete", &store.delete(C, "a").await?, &false)
}

/// What an update puts stands alone: no member of the old value stays.
async fn update_replaces_whole_values(store: &dyn KvStore) -> CaseResult {
    store.put(C, "a", object(json!({"old": 1, "both": {"x": 1}}))).await?;
    let new = object(json!({"both": {"y": 2.0}}));
    let after = store.update(C, "a", |_| Ok(Update::Put(new.clone()))).await?;
    same("the answer", &after, &Some(new.clone()))?;
    same("read back", &store.get(C, "a").await?, &Some(new))
}

/// A key given twice is `InvalidInput`, before anything is written.
async fn update_of_equal_keys_is_refused(store: &dyn KvStore) -> CaseResult {
    let put = &mut |_: &str, _: Option<&JsonObject>| Ok(Update::Put(numbered(1)));
    invalid("b a b", store.update_many(C, &["b", "a", "b"], put).await)?;
    same("read back", &store.get_many(C, &["a", "b"]).await?, &[None::<JsonObject>, None])
}

/// An error from the closure ends the call with that error, and its key stays as it was.
async fn update_error_ends_the_call(store: &dyn KvStore) -> CaseResult {
    store.put(C, "a", numbered(1)).await?;
    let ours = || Error::new(ErrorKind::LimitExceeded, "the closure says no");
    let error = refused("one key", store.update(C, "a", |_| Err(ours())).await, &[ErrorKind::LimitExceeded])?;
    holds(error.message() == "the closure says no", format!("the message became {:?}", error.message()))?;
    let mut answered = 0;
    let result = store
        .update_many(C, &["b", "a", "c"], &mut |key, _| {
            answered += 1;
            if key == "a" { Err(ours()) } else { Ok(Update::Put(numbered(2))) }
        })
        .await;
    refused("one of three keys", result, &[ErrorKind::LimitExceeded])?;
    holds(answered > 0, "the closure never ran")?;
    same("a", &store.get(C, "a").await?, &Some(numbered(1)))
}

/// Compare and swap, as the wire protocol asks for it: member order does not matter in the comparison.
async fn update_compares_and_swaps(store: &dyn KvStore) -> CaseResult {
    store.put(C, "a", object(json!({"x": 1, "y": 2}))).await?;
    let expect = object(json!({"y": 2, "x": 1}));
    let swap = |old: Option<&JsonObject>| {
        Ok(if old == Some(&expect) { Update::Put(numbered(1)) } else { Update::Keep })
    };
    same("the first swap", &store.update(C, "a", swap).await?, &Some(numbered(1)))?;
    same("the second finds another value", &store.update(C, "a", swap).await?, &Some(numbered(1)))?;
    same("read back", &store.get(C, "a").await?, &Some(numbered(1)))
}

/// Put, update, delete and insert, each at once after the other: each sees the one before, and takes its place.
async fn all_ways_to_write_follow_each_other(store: &dyn KvStore) -> CaseResult {
    let add = |old: Option<&JsonObject>| {
        let n = old.and_then(|old| old.get("n")).and_then(serde_json::Value::as_u64).unwrap_or(0);
        Ok(Update::Put(object(json!({"n": n + 1}))))
    };
    let insert = PutOptions::default().with_mode(PutMode::Insert);
    for round in 0..30 {
        store.put(C, "k", numbered(round)).await?;
        same("put, update", &store.update(C, "k", add).await?, &Some(numbered(round + 1)))?;
        same("read back", &store.get(C, "k").await?, &Some(numbered(round + 1)))?;
        store.put(C, "k", numbered(round + 5)).await?;
        same("update, put", &store.get(C, "k").await?, &Some(numbered(round + 5)))?;
        same("put, delete", &store.delete(C, "k").await?, &true)?;
        store.put_many(C, vec![("k".into(), numbered(round + 7))], insert).await?;
        same("delete, insert", &store.get(C, "k").await?, &Some(numbered(round + 7)))?;
        store.put(C, "k", numbered(round + 8)).await?;
        same("insert, put", &store.get(C, "k").await?, &Some(numbered(round + 8)))?;
        same("delete by update", &store.update(C, "k", |_| Ok(Update::Delete)).await?, &None::<JsonObject>)?;
        same("update, delete", &store.delete(C, "k").await?, &false)?;
        store.put_many(C, vec![("k".into(), numbered(round + 9))], insert).await?;
        same("update, insert", &store.update(C, "k", add).await?, &Some(numbered(round + 10)))?;
        same("update, delete", &store.delete(C, "k").await?, &true)?;
        same("delete, update", &store.update(C, "k", add).await?, &Some(numbered(1)))?;
    }
    Ok(())
}
