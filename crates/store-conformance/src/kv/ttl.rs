//! Values with a time to live.

use std::time::Duration;

use store_core::{ErrorKind, JsonObject, KvStore, KvStoreExt, PutMode, PutOptions, ScanOptions, Update};

use super::C;
use crate::case::{Need, cases};
use crate::check::{CaseResult, Failure, failed_exactly, invalid, refused, same};
use crate::data::{all, numbered};

cases! { "kv", Kv:
    ttl_ends_every_read [Need::KvTtl],
    ttl_over_makes_room_for_insert [Need::KvTtl],
    ttl_over_is_absent_for_update_and_delete [Need::KvTtl],
    ttl_ends_with_a_put_without_one [Need::KvTtl],
    ttl_of_a_later_put_counts [Need::KvTtl],
    ttl_keeps_what_is_not_over [Need::KvTtl],
    ttl_zero_is_refused [Need::KvTtl],
}

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_hours(1);

fn with(ttl: Duration) -> PutOptions {
    PutOptions::default().with_ttl(ttl)
}

fn entries(keys: &[&str]) -> Vec<(String, JsonObject)> {
    keys.iter().map(|key| ((*key).to_owned(), numbered(1))).collect()
}

/// Waits until a key reads as gone; a store may round up to a second, a busy one may be slow.
async fn until_gone(store: &dyn KvStore, key: &str) -> CaseResult {
    for _ in 0..200 {
        if store.get(C, key).await?.is_none() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(Failure::new(format!("{key:?} with a time to live of {SHORT:?} was still there after 10 s")))
}

/// Once the time has passed the entry is gone for get and scan; others stay.
async fn ttl_ends_every_read(store: &dyn KvStore) -> CaseResult {
    store.put_many(C, entries(&["short", "brief"]), with(SHORT)).await?;
    store.put_many(C, entries(&["steady"]), PutOptions::default()).await?;
    until_gone(store, "short").await?;
    until_gone(store, "brief").await?;
    let expected = vec![None, None, Some(numbered(1))];
    same("get_many", &store.get_many(C, &["short", "brief", "steady"]).await?, &expected)?;
    let left = all(store.scan(C, ScanOptions::default())).await?;
    same("scan", &left, &entries(&["steady"]))
}

/// An insert takes the place of an entry whose time has passed, though a server may sweep it later.
async fn ttl_over_makes_room_for_insert(store: &dyn KvStore) -> CaseResult {
    store.put_many(C, entries(&["a"]), with(SHORT)).await?;
    store.put_many(C, entries(&["b"]), with(LONG)).await?;
    until_gone(store, "a").await?;
    let insert = PutOptions::default().with_mode(PutMode::Insert);
    let again = ["a", "b"].map(|key| (key.to_owned(), numbered(2))).to_vec();
    let error =
        refused("a is over, b is not", store.put_many(C, again, insert).await, &[ErrorKind::AlreadyExists])?;
    failed_exactly(&error, &["b"])?;
    same("a b", &store.get_many(C, &["a", "b"]).await?, &[Some(numbered(2)), Some(numbered(1))])
}

/// An update is given `None`, and a delete counts nothing.
async fn ttl_over_is_absent_for_update_and_delete(store: &dyn KvStore) -> CaseResult {
    store.put_many(C, entries(&["a", "b"]), with(SHORT)).await?;
    until_gone(store, "a").await?;
    until_gone(store, "b").await?;
    same("delete", &store.delete_many(C, &["a"]).await?, &0_usize)?;
    let mut seen = Some(numbered(0));
    let after = store.update(C, "b", |old| {
        seen = old.cloned();
        Ok(Update::Put(numbered(2)))
    });
    same("the answer of update", &after.await?, &Some(numbered(2)))?;
    same("what update saw", &seen, &None::<JsonObject>)?;
    same("b", &store.get(C, "b").await?, &Some(numbered(2)))
}

/// A put without a time to live ends an earlier one.
async fn ttl_ends_with_a_put_without_one(store: &dyn KvStore) -> CaseResult {
    store.put_many(C, entries(&["witness", "a"]), with(SHORT)).await?;
    store.put(C, "a", numbered(2)).await?;
    // Written later with as short a time: when it is over, the first one is too.
    store.put_many(C, entries(&["witness"]), with(SHORT)).await?;
    until_gone(store, "witness").await?;
    same("a", &store.get(C, "a").await?, &Some(numbered(2)))?;
    same("a scan", &all(store.scan(C, ScanOptions::default())).await?, &[("a".to_owned(), numbered(2))])
}

/// A put with another time to live sets it anew.
async fn ttl_of_a_later_put_counts(store: &dyn KvStore) -> CaseResult {
    store.put_many(C, entries(&["longer"]), with(SHORT)).await?;
    store.put_many(C, entries(&["longer"]), with(LONG)).await?;
    store.put_many(C, entries(&["shorter"]), with(LONG)).await?;
    store.put_many(C, entries(&["shorter"]), with(SHORT)).await?;
    until_gone(store, "shorter").await?;
    same("longer", &store.get(C, "longer").await?, &Some(numbered(1)))
}

/// An entry whose time has not passed is like any other, up to a hundred years.
async fn ttl_keeps_what_is_not_over(store: &dyn KvStore) -> CaseResult {
    store.put_many(C, entries(&["hour"]), with(LONG)).await?;
    store.put_many(C, entries(&["century"]), with(LONG * 24 * 36_525)).await?;
    let insert = with(LONG).with_mode(PutMode::Insert);
    store.put_many(C, entries(&["inserted"]), insert).await?;
    let found = store.get_many(C, &["hour", "century", "inserted"]).await?;
    same("get_many", &found, &vec![Some(numbered(1)); 3])?;
    same("scan", &all(store.scan(C, ScanOptions::default())).await?.len(), &3_usize)?;
    same("delete", &store.delete_many(C, &["hour", "century", "inserted"]).await?, &3_usize)
}

/// A time to live of zero is `InvalidInput`, before anything is written.
async fn ttl_zero_is_refused(store: &dyn KvStore) -> CaseResult {
    store.put(C, "a", numbered(2)).await?;
    invalid("put_many", store.put_many(C, entries(&["a", "b"]), with(Duration::ZERO)).await)?;
    same("a b", &store.get_many(C, &["a", "b"]).await?, &[Some(numbered(2)), None])
}
