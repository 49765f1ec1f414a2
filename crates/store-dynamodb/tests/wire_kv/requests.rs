//! How many requests it takes, and what is done about answers that are lost or say too little.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use store_core::filter::field;
use store_core::{
    AddOptions, AddReport, Backend as _, ErrorKind, JsonObject, KvStoreExt as _, NodeId, PutOptions,
    RefDocDeleted, ScanOptions, Update,
};

use crate::common::{Db, test};
use crate::faults::{Fault, Faults};
use crate::{insert, node, object, scanned};
use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("batches_are_few_requests", batches_are_few_requests),
        test("documents_are_few_requests", documents_are_few_requests),
        test("lost_answers_change_nothing", lost_answers_change_nothing),
        test("what_is_left_undone_is_done_or_named", what_is_left_undone_is_done_or_named),
    ]
}

fn counted(counts: &[(&str, usize)]) -> BTreeMap<String, usize> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

async fn batches_are_few_requests(db: Db) {
    let faults = Faults::default();
    let store = faults.store(db.client(), db.config.clone());
    let kv = store.kv().unwrap();
    let keys: Vec<String> = (0..10_000).map(|n| format!("k{n:05}")).collect();
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let entries = |count: usize| {
        keys.iter().take(count).map(|key| (key.clone(), object(json!({"n": 1})))).collect::<Vec<_>>()
    };
    kv.put("c", "k", object(json!({}))).await.unwrap();
    faults.counts();
    kv.put_many("c", entries(10_000), PutOptions::default()).await.unwrap();
    assert_eq!(faults.counts(), counted(&[("BatchWriteItem", 400)]));
    assert!(kv.get_many("c", &names).await.unwrap().iter().all(Option::is_some));
    assert_eq!(faults.counts(), counted(&[("BatchGetItem", 100)]));
    assert_eq!(scanned(&*kv, "c", ScanOptions::default()).await.len(), 10_001);
    assert!(faults.counts()["Query"] <= 3);
    kv.put_many("new", entries(1_000), insert()).await.unwrap();
    assert_eq!(faults.counts(), counted(&[("TransactWriteItems", 10)]));
    // Each request once more without those that are there.
    assert_eq!(kv.put_many("new", entries(1_050), insert()).await.unwrap_err().failed().len(), 1_000);
    assert_eq!(faults.counts(), counted(&[("TransactWriteItems", 11)]));
    let mut add = |_: &str, _: Option<&JsonObject>| Ok(Update::Put(object(json!({"n": 2}))));
    kv.update_many("new", &names[..1_000], &mut add).await.unwrap();
    // Plain values are claimed before they are changed.
    assert_eq!(faults.counts(), counted(&[("BatchGetItem", 20), ("TransactWriteItems", 20)]));
    let order = object(json!({"z": 1, "a": 1}));
    let entries = names[..1_000].iter().map(|name| ((*name).to_owned(), order.clone())).collect();
    kv.put_many("new", entries, PutOptions::default()).await.unwrap();
    faults.counts();
    kv.update_many("new", &names[..1_000], &mut add).await.unwrap();
    assert_eq!(faults.counts(), counted(&[("BatchGetItem", 10), ("TransactWriteItems", 10)]));
    assert_eq!(kv.delete_many("new", &names[..1_000]).await.unwrap(), 1_000);
    assert_eq!(faults.counts(), counted(&[("BatchGetItem", 10), ("BatchWriteItem", 40)]));
}

async fn documents_are_few_requests(db: Db) {
    let faults = Faults::default();
    let store = faults.store(db.client(), db.config.clone());
    let docs = store.docs().unwrap();
    let id = |n: usize| format!("n{n:04}");
    let nodes = |from: usize, count: usize| {
        (from..from + count).map(|n| node(&id(n), Some("doc"))).collect::<Vec<_>>()
    };
    docs.add(nodes(0, 1), AddOptions::default()).await.unwrap();
    faults.counts();
    assert_eq!(docs.add(nodes(1, 1_000), AddOptions::default()).await.unwrap(), AddReport::new(1_000, 0));
    let counts = faults.counts();
    assert!(counts.values().sum::<usize>() <= 70, "{counts:?}");
    let ids: Vec<NodeId> = (0..1_000).map(|n| id(n).into()).collect();
    assert!(docs.exist_many(&ids).await.unwrap().iter().all(|exists| *exists));
    assert_eq!(faults.counts(), counted(&[("BatchGetItem", 10)]));
    assert_eq!(docs.count(None).await.unwrap(), 1_001);
    assert_eq!(docs.count(Some(&field("a").exists())).await.unwrap(), 1_001);
    let counts = faults.counts();
    assert!(counts.len() == 1 && counts["Query"] <= 5, "{counts:?}");
    assert_eq!(docs.delete_ref_doc(&"doc".into()).await.unwrap(), Some(RefDocDeleted::new(1_001)));
    // The list, 1,002 hashes by 100, as many nodes by 25, the list.
    let expected = [("BatchGetItem", 1), ("BatchWriteItem", 41), ("TransactWriteItems", 12)];
    assert_eq!(faults.counts(), counted(&expected));
    assert_eq!(db.items(&db.main()).await.len(), 0);
}

/// The service has done it, and its answer is lost: the driver asks again, and it is done once.
async fn lost_answers_change_nothing(db: Db) {
    let faults = Faults::default();
    let store = faults.store(db.client(), db.config.clone());
    let kv = store.kv().unwrap();
    let entries = || ["a", "b"].map(|key| (key.to_owned(), object(json!({"n": 1})))).to_vec();
    kv.put("c", "k", object(json!({"n": 0}))).await.unwrap();
    faults.spoil("TransactWriteItems", Fault::Lost, 1);
    kv.put_many("c", entries(), insert()).await.unwrap();
    faults.spoil("TransactWriteItems", Fault::Lost, 2);
    let mut runs = 0;
    let add = |old: Option<&JsonObject>| {
        runs += 1;
        Ok(Update::Put(object(json!({"n": old.unwrap()["n"].as_i64().unwrap() + 1}))))
    };
    let after = kv.update("c", "k", add).await.unwrap();
    // Once more when the key was claimed.
    assert_eq!((after, runs), (Some(object(json!({"n": 1}))), 2));
    faults.spoil("BatchWriteItem", Fault::Lost, 1);
    kv.put_many("c", entries(), PutOptions::default()).await.unwrap();
    faults.spoil("BatchGetItem", Fault::Lost, 1);
    assert_eq!(kv.get_many("c", &["a", "x"]).await.unwrap(), [Some(object(json!({"n": 1}))), None]);
    faults.spoil("BatchWriteItem", Fault::Lost, 1);
    assert_eq!(kv.delete_many("c", &["a", "b", "k", "x"]).await.unwrap(), 3);
    assert_eq!(db.items(&db.main()).await.len(), 0);
}

async fn what_is_left_undone_is_done_or_named(db: Db) {
    let faults = Faults::default();
    let config = db.config.clone().with_operation_timeout(Duration::from_secs(2));
    let store = faults.store(db.client(), config);
    let kv = store.kv().unwrap();
    let keys: Vec<String> = (0..30).map(|n| format!("k{n:02}")).collect();
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let entries = |n: i32| keys.iter().map(|key| (key.clone(), object(json!({"n": n})))).collect::<Vec<_>>();
    kv.put("c", "k", object(json!({}))).await.unwrap();
    faults.spoil("BatchWriteItem", Fault::Undone, 3);
    kv.put_many("c", entries(1), PutOptions::default()).await.unwrap();
    faults.spoil("BatchGetItem", Fault::Undone, 3);
    let found = kv.get_many("c", &names).await.unwrap();
    assert_eq!(found, vec![Some(object(json!({"n": 1}))); 30]);
    faults.heal();
    faults.spoil("BatchGetItem", Fault::Undone, usize::MAX);
    let error = kv.get_many("c", &names).await.unwrap_err();
    let mut failed = error.failed().to_vec();
    failed.sort_unstable();
    assert_eq!((error.kind(), error.is_retryable(), failed), (ErrorKind::Throttled, true, keys.clone()));
    faults.heal();
    faults.spoil("BatchWriteItem", Fault::Undone, usize::MAX);
    let error = kv.put_many("c", entries(2), PutOptions::default()).await.unwrap_err();
    let mut failed = error.failed().to_vec();
    failed.sort_unstable();
    // The time may be over in the middle of a request, of which it is not known what it wrote.
    assert!(matches!(error.kind(), ErrorKind::Throttled | ErrorKind::Timeout), "{error}");
    assert_eq!(failed, keys);
}
