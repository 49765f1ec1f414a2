use serde_json::json;
use store_core::{Backend as _, KvStoreExt as _};

use super::*;
use crate::{EmbeddedBackend, EmbeddedConfig};

fn object(value: serde_json::Value) -> JsonObject {
    serde_json::from_value(value).unwrap()
}

async fn open(folder: &tempfile::TempDir) -> EmbeddedBackend {
    EmbeddedBackend::open(EmbeddedConfig::new(folder.path())).await.unwrap()
}

/// Rows of the two tables, dead ones too.
async fn rows(store: &EmbeddedKvStore) -> (u64, u64) {
    let read = store.handle.read(|tx, t| Ok((tx.table(&t.kv)?.len()?, tx.table(&t.kv_expiry)?.len()?)));
    read.await.unwrap()
}

/// Puts `count` rows that expire at `expiry`, as of `now`.
async fn put_at(store: &EmbeddedKvStore, first: u32, count: u32, expiry: u64, now: u64) {
    let records: Vec<Record> = (first..first + count)
        .map(|n| {
            (
                codec::join("c", format!("{n:05}").as_bytes()),
                encode("k", &object(json!({"n": n})), expiry, 0).unwrap(),
            )
        })
        .collect();
    let space = store.handle.space().unwrap();
    let inner = Arc::clone(&space);
    let write = move |tx: &WriteTx| put_records(tx, &inner, &records, false, now);
    space.engine.write(write).await.unwrap();
}

#[tokio::test]
async fn later_writes_remove_what_expired_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let backend = open(&folder).await;
    let store = EmbeddedKvStore::new(Arc::new(Handle::new(backend.space().unwrap())));
    put_at(&store, 0, 200, 1_000, 0).await;
    put_at(&store, 200, 10, 5_000, 0).await;
    put_at(&store, 300, 10, 0, 0).await;
    assert_eq!(rows(&store).await, (220, 210));
    // A row written anew without a time to live is no longer in the order of expiry.
    put_at(&store, 0, 1, 0, 0).await;
    assert_eq!(rows(&store).await, (220, 209));
    // One write sweeps a bounded number, as of its own time.
    put_at(&store, 400, 1, 0, 1_000).await;
    assert_eq!(rows(&store).await, (221 - 65, 209 - 65));
    for extra in 0..4 {
        put_at(&store, 500 + extra, 1, 0, 1_000).await;
    }
    // 199 expired; left are 1 renewed, 10 that live on for now, 10 without expiry and 5 written since.
    assert_eq!(rows(&store).await, (26, 10));
}

#[tokio::test]
async fn what_expired_is_absent_for_every_call() {
    let folder = tempfile::tempdir().unwrap();
    let backend = open(&folder).await;
    let kv = backend.kv().unwrap();
    let soon = PutOptions::default().with_ttl(Duration::from_nanos(1));
    let put = |key: &str| vec![(key.to_owned(), object(json!({"old": true})))];
    for key in ["get", "delete", "insert", "update"] {
        kv.put_many("c", put(key), soon).await.unwrap();
    }
    while millis() < u64::MAX && kv.get("c", "update").await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(kv.get("c", "get").await.unwrap(), None);
    assert!(!kv.delete("c", "delete").await.unwrap());
    let insert = PutOptions::default().with_mode(PutMode::Insert);
    kv.put_many("c", put("insert"), insert).await.unwrap();
    let seen = kv.update("c", "update", |old| {
        assert_eq!(old, None);
        Ok(Update::Put(object(json!({"new": true}))))
    });
    assert_eq!(seen.await.unwrap(), Some(object(json!({"new": true}))));
    let keys: Vec<String> =
        kv.scan("c", ScanOptions::default()).map(|entry| entry.unwrap().0).collect().await;
    assert_eq!(keys, ["insert", "update"]);
}

#[tokio::test]
async fn an_update_sees_a_put_that_came_in_between() {
    let folder = tempfile::tempdir().unwrap();
    let backend = open(&folder).await;
    let kv = backend.kv().unwrap();
    let mut runs = 0;
    // The put goes through another thread's runtime while the update decides.
    let other = Arc::clone(&kv);
    let after = kv
        .update("c", "k", move |old| {
            runs += 1;
            if runs == 1 {
                assert_eq!(old, None);
                let other = Arc::clone(&other);
                let put = std::thread::spawn(move || {
                    futures::executor::block_on(other.put("c", "k", object(json!({"n": 10})))).unwrap();
                });
                put.join().unwrap();
                return Ok(Update::Put(object(json!({"n": 1}))));
            }
            assert_eq!(old, Some(&object(json!({"n": 10}))));
            Ok(Update::Put(object(json!({"n": 11}))))
        })
        .await;
    assert_eq!(after.unwrap(), Some(object(json!({"n": 11}))));
}

#[tokio::test]
async fn a_refused_update_keeps_the_keys_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let backend = open(&folder).await;
    let kv = backend.kv().unwrap();
    let mut apply = |key: &str, _: Option<&JsonObject>| match key {
        "b" => Err(Error::invalid_input("no")),
        _ => Ok(Update::Put(object(json!({"key": key})))),
    };
    let error = kv.update_many("c", &["a", "b", "d"], &mut apply).await.unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::InvalidInput, Some("kv.update_many")));
    let stored = kv.get_many("c", &["a", "b", "d"]).await.unwrap();
    assert_eq!(stored, [Some(object(json!({"key": "a"}))), None, None]);
}

#[test]
fn times_to_live_round_up_and_never_overflow() {
    assert_eq!(expiry_of(Duration::from_nanos(1), 100), 101);
    assert_eq!(expiry_of(Duration::from_millis(5), 100), 105);
    assert_eq!(expiry_of(Duration::MAX, 100), u64::MAX);
}
