//! Getting, putting and deleting, in batches.

use serde_json::json;
use store_core::{ErrorKind, JsonObject, KvStore, KvStoreExt, PutMode, PutOptions, ScanOptions, Update};

use super::C;
use crate::case::cases;
use crate::check::{CaseResult, failed_exactly, holds, invalid, refused, same};
use crate::data::{all, numbered, object};

cases! { "kv", Kv:
    put_then_get,
    get_missing_is_none,
    get_many_keeps_order,
    get_many_repeats_a_repeated_key,
    unknown_collection_is_empty,
    put_replaces_whole_values,
    put_many_last_of_equal_keys_wins,
    insert_writes_absent_keys,
    insert_leaves_existing_and_names_them,
    insert_equal_keys_in_one_call_are_refused,
    upsert_after_insert_replaces,
    delete_counts_what_existed,
    deleted_is_gone,
    empty_batches_do_nothing,
    collections_are_apart,
    dropped_read_harms_nothing,
}

fn insert() -> PutOptions {
    PutOptions::default().with_mode(PutMode::Insert)
}

/// What was put comes back.
async fn put_then_get(store: &dyn KvStore) -> CaseResult {
    store.put(C, "a", object(json!({"x": 1, "y": [true, null]}))).await?;
    same("a", &store.get(C, "a").await?, &Some(object(json!({"x": 1, "y": [true, null]}))))
}

/// A missing key is `None`, never an error.
async fn get_missing_is_none(store: &dyn KvStore) -> CaseResult {
    store.put(C, "a", numbered(1)).await?;
    same("a missing key beside another", &store.get(C, "b").await?, &None::<JsonObject>)
}

/// Answers stand in the order of the keys asked for, `None` where there is nothing.
async fn get_many_keeps_order(store: &dyn KvStore) -> CaseResult {
    let entries = (0..50).map(|n| (format!("k{n}"), numbered(n))).collect();
    store.put_many(C, entries, PutOptions::default()).await?;
    // Neither sorted nor in the order written.
    let order: Vec<usize> = (0..60).map(|n| (n * 37 + 11) % 60).collect();
    let keys: Vec<String> = order.iter().map(|n| format!("k{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let expected: Vec<_> = order.iter().map(|n| (*n < 50).then(|| numbered(*n))).collect();
    same("60 keys of which 10 are missing", &store.get_many(C, &keys).await?, &expected)
}

/// A key asked for twice is answered twice.
async fn get_many_repeats_a_repeated_key(store: &dyn KvStore) -> CaseResult {
    store.put(C, "a", numbered(1)).await?;
    let (one, none) = (Some(numbered(1)), None);
    let answer = store.get_many(C, &["a", "b", "a", "b", "a"]).await?;
    same("a b a b a", &answer, &vec![one.clone(), none.clone(), one.clone(), none, one])
}

/// A collection comes into being with its first key; before, it is empty.
async fn unknown_collection_is_empty(store: &dyn KvStore) -> CaseResult {
    let unknown = "nobody wrote here";
    same("get", &store.get(unknown, "a").await?, &None::<JsonObject>)?;
    same("delete", &store.delete_many(unknown, &["a", "b"]).await?, &0_usize)?;
    same("scan", &all(store.scan(unknown, ScanOptions::default())).await?, &[(); 0])
}

/// A put replaces the whole value: no member of the old one stays.
async fn put_replaces_whole_values(store: &dyn KvStore) -> CaseResult {
    store.put(C, "a", object(json!({"old": 1, "both": {"x": 1, "y": 2}}))).await?;
    let new = object(json!({"both": {"y": 3}, "new": []}));
    store.put(C, "a", new.clone()).await?;
    same("after the second put", &store.get(C, "a").await?, &Some(new))?;
    store.put(C, "a", object(json!({}))).await?;
    same("after a put of an empty object", &store.get(C, "a").await?, &Some(object(json!({}))))
}

/// Of equal keys in one upsert the last wins.
async fn put_many_last_of_equal_keys_wins(store: &dyn KvStore) -> CaseResult {
    let entries = [("a", 1), ("b", 2), ("a", 3), ("c", 4), ("a", 5), ("b", 6)];
    let entries = entries.map(|(key, n)| (key.to_owned(), numbered(n))).to_vec();
    store.put_many(C, entries, PutOptions::default()).await?;
    let expected = vec![Some(numbered(5)), Some(numbered(6)), Some(numbered(4))];
    same("a b c", &store.get_many(C, &["a", "b", "c"]).await?, &expected)
}

/// An insert of absent keys is a put.
async fn insert_writes_absent_keys(store: &dyn KvStore) -> CaseResult {
    store.put_many(C, vec![("a".into(), numbered(1)), ("b".into(), numbered(2))], insert()).await?;
    let expected = vec![Some(numbered(1)), Some(numbered(2))];
    same("a b", &store.get_many(C, &["a", "b"]).await?, &expected)
}

/// An insert writes every absent key, then fails with `AlreadyExists` whose `failed` is exactly the existing
/// keys; those keep their values.
async fn insert_leaves_existing_and_names_them(store: &dyn KvStore) -> CaseResult {
    store.put_many(C, vec![("b".into(), numbered(1)), ("d".into(), numbered(2))], insert()).await?;
    let entries = ["a", "b", "c", "d", "e"].map(|key| (key.to_owned(), numbered(9))).to_vec();
    let error = refused(
        "inserting a to e over b and d",
        store.put_many(C, entries, insert()).await,
        &[ErrorKind::AlreadyExists],
    )?;
    failed_exactly(&error, &["b", "d"])?;
    let expected = [9, 1, 9, 2, 9].map(|n| Some(numbered(n)));
    same("a to e", &store.get_many(C, &["a", "b", "c", "d", "e"]).await?, &expected)
}

/// Equal keys in one insert are `InvalidInput`, found before anything is written; `failed` names them.
async fn insert_equal_keys_in_one_call_are_refused(store: &dyn KvStore) -> CaseResult {
    let entries = ["x", "a", "y", "a"].map(|key| (key.to_owned(), numbered(1))).to_vec();
    let error = invalid("a twice", store.put_many(C, entries, insert()).await)?;
    failed_exactly(&error, &["a"])?;
    same("what was written", &all(store.scan(C, ScanOptions::default())).await?, &[(); 0])
}

/// What was inserted is put over.
async fn upsert_after_insert_replaces(store: &dyn KvStore) -> CaseResult {
    store.put_many(C, vec![("a".into(), object(json!({"x": 1, "y": 2})))], insert()).await?;
    store.put(C, "a", object(json!({"y": 3}))).await?;
    same("a", &store.get(C, "a").await?, &Some(object(json!({"y": 3}))))?;
    store.delete(C, "a").await?;
    store.put_many(C, vec![("a".into(), numbered(4))], insert()).await?;
    same("inserted after a delete", &store.get(C, "a").await?, &Some(numbered(4)))
}

/// A delete counts the keys that existed, each once.
async fn delete_counts_what_existed(store: &dyn KvStore) -> CaseResult {
    let entries = (0..6).map(|n| (format!("k{n}"), numbered(n))).collect();
    store.put_many(C, entries, PutOptions::default()).await?;
    let count = store.delete_many(C, &["k1", "missing", "k3", "k1", "k1", "gone"]).await?;
    same("two existing of six given", &count, &2_usize)?;
    same("the same again", &store.delete_many(C, &["k1", "k3"]).await?, &0_usize)?;
    same("one", &store.delete(C, "k0").await?, &true)?;
    same("one that is gone", &store.delete(C, "k0").await?, &false)
}

/// A deleted key is gone for every read, its neighbours are not.
async fn deleted_is_gone(store: &dyn KvStore) -> CaseResult {
    let entries = ["a", "b", "c"].map(|key| (key.to_owned(), numbered(1))).to_vec();
    store.put_many(C, entries, PutOptions::default()).await?;
    store.delete_many(C, &["b"]).await?;
    let expected = vec![Some(numbered(1)), None, Some(numbered(1))];
    same("get", &store.get_many(C, &["a", "b", "c"]).await?, &expected)?;
    let keys: Vec<String> =
        all(store.scan(C, ScanOptions::default())).await?.into_iter().map(|(key, _)| key).collect();
    holds(!keys.contains(&"b".to_owned()) && keys.len() == 2, format!("a scan still gives {keys:?}"))
}

/// An empty batch is a no-op, in every call.
async fn empty_batches_do_nothing(store: &dyn KvStore) -> CaseResult {
    store.put(C, "a", numbered(1)).await?;
    for collection in [C, "unknown"] {
        same("get_many", &store.get_many(collection, &[]).await?, &[(); 0])?;
        store.put_many(collection, vec![], PutOptions::default()).await?;
        store.put_many(collection, vec![], insert()).await?;
        same("delete_many", &store.delete_many(collection, &[]).await?, &0_usize)?;
        let mut called = false;
        let mut delete = |_: &str, _: Option<&JsonObject>| {
            called = true;
            Ok(Update::Delete)
        };
        same("update_many", &store.update_many(collection, &[], &mut delete).await?, &[(); 0])?;
        holds(!called, "update_many of no key called its closure")?;
    }
    same("a", &store.get(C, "a").await?, &Some(numbered(1)))
}

/// The same key in two collections is two entries.
async fn collections_are_apart(store: &dyn KvStore) -> CaseResult {
    // Names that meet when collection and key are joined, cut or escaped carelessly.
    let pairs = [
        ("a", "b/c"),
        ("a/b", "c"),
        ("a", "b:c"),
        ("a:b", "c"),
        ("a", "bc"),
        ("ab", "c"),
        ("a.b", "c"),
        ("a", "b.c"),
        ("A", "bc"),
        ("a#b", "c"),
        ("a", "b#c"),
        ("a\0b", "c"),
        ("a", "b\0c"),
        ("docstore/data", "c"),
        ("$a", "c"),
        ("ключ", "c"),
        ("é", "c"),
        ("e\u{301}", "c"),
        ("😀 and spaces", "c"),
        ("system.users", "c"),
    ];
    for (number, (collection, key)) in pairs.into_iter().enumerate() {
        store.put(collection, key, numbered(number)).await?;
    }
    for (number, (collection, key)) in pairs.into_iter().enumerate() {
        let found = store.get(collection, key).await?;
        same(format!("{collection:?} {key:?}"), &found, &Some(numbered(number)))?;
    }
    let scanned = all(store.scan("ab", ScanOptions::default())).await?;
    same("a scan of ab", &scanned, &[("c".to_owned(), numbered(5))])?;
    same("delete in ab", &store.delete("ab", "c").await?, &true)?;
    same("a/b keeps its c", &store.get("a/b", "c").await?, &Some(numbered(1)))
}

/// A read that is dropped before its answer leaves the store as it was.
async fn dropped_read_harms_nothing(store: &dyn KvStore) -> CaseResult {
    let entries = (0..200).map(|n| (format!("k{n:03}"), numbered(n))).collect();
    store.put_many(C, entries, PutOptions::default()).await?;
    for _ in 0..5 {
        let mut stream = store.scan(C, ScanOptions::default());
        holds(futures::StreamExt::next(&mut stream).await.is_some(), "a scan of 200 entries is empty")?;
        drop(stream);
        drop(store.get_many(C, &["k000"]));
    }
    same("k199", &store.get(C, "k199").await?, &Some(numbered(199)))?;
    same("entries", &all(store.scan(C, ScanOptions::default())).await?.len(), &200_usize)
}
