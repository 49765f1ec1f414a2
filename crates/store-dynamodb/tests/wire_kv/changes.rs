//! What becomes of an item: its time ends, others change it, transactions.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use store_core::{
    AddOptions, Backend as _, ErrorKind, JsonObject, KvStoreExt as _, PutOptions, ScanOptions, Update,
};
use store_dynamodb::aws_sdk_dynamodb::types::{ConditionCheck, Put};

use crate::common::{Db, attributes, seconds, test};
use crate::{insert, node, object, scanned, set, stored};
use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("expired_items_are_absent", expired_items_are_absent),
        test("an_update_sees_each_change", an_update_sees_each_change),
        test("transactions_happen_or_not", transactions_happen_or_not),
    ]
}

async fn expired_items_are_absent(db: Db) {
    let kv = db.store.kv().unwrap();
    let hour = PutOptions::default().with_ttl(Duration::from_hours(1));
    kv.put_many("c", vec![("k".to_owned(), object(json!({"n": 1})))], hour).await.unwrap();
    let item = stored(&db, "c", "k").await.unwrap();
    let expires: u64 = item["_nodestore_expires"]["N"].as_str().unwrap().parse().unwrap();
    assert!((seconds() + 3_590..=seconds() + 3_601).contains(&expires), "{expires}");
    let past = json!({"n": {"N": "1"}, "_nodestore_expires": {"N": (seconds() - 1).to_string()}});
    for key in ["a", "b", "c", "d"] {
        set(&db, "c", key, past.clone()).await;
    }
    assert_eq!(kv.get_many("c", &["a", "k"]).await.unwrap()[0], None);
    assert_eq!(scanned(&*kv, "c", ScanOptions::default()).await, ["k"]);
    assert!(!kv.delete("c", "a").await.unwrap());
    assert_eq!(stored(&db, "c", "a").await, None);
    let two = ["b", "k"].map(|key| (key.to_owned(), object(json!({"n": 2})))).to_vec();
    assert_eq!(kv.put_many("c", two, insert()).await.unwrap_err().failed(), ["k"]);
    assert_eq!(stored(&db, "c", "b").await, Some(json!({"n": {"N": "2"}})));
    let put = |old: Option<&JsonObject>| {
        assert_eq!(old, None);
        Ok(Update::Put(object(json!({"n": 3}))))
    };
    kv.update("c", "c", put).await.unwrap();
    assert_eq!(stored(&db, "c", "c").await, Some(json!({"n": {"N": "3"}})));
    assert_eq!(kv.update("c", "d", |_| Ok(Update::Delete)).await.unwrap(), None);
    let docs = db.store.docs().unwrap();
    docs.add(vec![node("n", None)], AddOptions::default()).await.unwrap();
    set(&db, "docstore/data", "gone", past).await;
    assert_eq!(docs.count(None).await.unwrap(), 1);
    assert_eq!(docs.exist_many(&["n".into(), "gone".into()]).await.unwrap(), [true, false]);
}

/// Another writer comes between the read and the write of an update: whatever it writes, the update sees it.
async fn an_update_sees_each_change(db: Db) {
    let kv = db.store.kv().unwrap();
    let wide = |last: i32| {
        let mut value: JsonObject = (0..150).map(|n| (format!("m{n:03}"), json!(n))).collect();
        value.insert("m149".to_owned(), last.into());
        value
    };
    let cases = [
        (json!({"n": 1}), json!({"n": 1, "m": 2})),
        (json!({}), json!({"n": 1})),
        (json!({"a": 1, "b": 2}), json!({"a": 1, "b": 2, "c": 3})),
        (json!({"a": 1}), json!({"a": 1, "b": 2})),
        (json!({"doc_hash": "h"}), json!({"doc_hash": "h", "x": 1})),
        (json!({"n": 1, "m": 2}), json!({"m": 2, "n": 1, "l": null})),
        (json!({"doc_hash": "h"}), json!({"doc_hash": "h", "ref_doc_id": "d"})),
        (json!({"node_ids": ["a"], "metadata": {}}), json!({"node_ids": ["a"], "metadata": {"x": 1.0}})),
        (json!({"n": {"a": [1]}}), json!({"n": {"a": [1, 2]}})),
        (json!({"n": 1, "pk": 1}), json!({"n": 1, "pk": 2})),
        (Value::Object(wide(1)), Value::Object(wide(2))),
    ];
    for (place, (before, between)) in cases.into_iter().enumerate() {
        let (before, between, key) = (object(before), object(between), format!("k{place}"));
        kv.put("c", &key, before.clone()).await.unwrap();
        let mut seen = Vec::new();
        let other = Arc::clone(&kv);
        kv.update("c", &key, |old| {
            if seen.is_empty() {
                let put = other.put("c", &key, between.clone());
                tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(put)).unwrap();
            }
            // Asked again once the key is claimed.
            if seen.last() != old {
                seen.push(old.cloned().unwrap());
            }
            Ok(if place % 2 == 0 { Update::Delete } else { Update::Put(object(json!({"seen": 1}))) })
        })
        .await
        .unwrap();
        assert_eq!(seen, [before, between], "{key}");
        let after = (place % 2 == 1).then(|| json!({"seen": {"N": "1"}}));
        assert_eq!(stored(&db, "c", &key).await, after, "{key}");
    }
}

async fn transactions_happen_or_not(db: Db) {
    let store = &db.store;
    store.kv().unwrap().put("c", "there", object(json!({"n": 1}))).await.unwrap();
    let key = |sort: &str| attributes(object(json!({"pk": {"S": "c"}, "sk": {"S": sort}})));
    let put = |sort: &str| {
        let put = Put::builder().table_name(db.main()).set_item(Some(key(sort)));
        put.condition_expression("attribute_not_exists(pk)").build().unwrap()
    };
    let check = |sort: &str| {
        let check = ConditionCheck::builder().table_name(db.main()).set_key(Some(key(sort)));
        check.condition_expression("attribute_exists(pk)").build().unwrap()
    };
    store.transaction().send().await.unwrap();
    store.transaction().put(put("a")).check(check("there")).send().await.unwrap();
    let error = store.transaction().put(put("b")).check(check("x")).put(put("a")).send().await.unwrap_err();
    assert_eq!((error.kind(), error.failed()), (ErrorKind::Conflict, &["1".to_owned(), "2".to_owned()][..]));
    assert!(error.message().contains("item 1: ConditionalCheckFailed"), "{error}");
    assert_eq!(stored(&db, "c", "b").await, None);
    // Sent twice with one token it happens once.
    for _ in 0..2 {
        store.transaction().put(put("b")).with_token(&db.name).send().await.unwrap();
    }
    let many = (0..101).fold(store.transaction(), |all, n| all.put(put(&format!("m{n}"))));
    assert_eq!((many.len(), many.send().await.unwrap_err().kind()), (101, ErrorKind::LimitExceeded));
    let error = store.transaction().put(put("c")).with_token("x".repeat(37)).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(db.items(&db.main()).await.len(), 3);
}
