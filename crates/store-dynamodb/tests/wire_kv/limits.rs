//! What does not fit, what has odd names, and what may not be touched.

use futures::TryStreamExt as _;
use serde_json::{Value, json};
use store_core::{
    AddOptions, Backend as _, DocStore, ErrorKind, JsonObject, KvStoreExt as _, PutOptions, ScanOptions,
    Update,
};

use crate::common::{Db, test};
use crate::{insert, node, object, scanned, text_of};
use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("names_of_members_are_data", names_of_members_are_data),
        test("names_of_our_own_are_refused", names_of_our_own_are_refused),
        test("values_at_the_limit", values_at_the_limit),
        test("keys_at_the_limit", keys_at_the_limit),
    ]
}

async fn names_of_members_are_data(db: Db) {
    let kv = db.store.kv().unwrap();
    let names = [
        "SELECT",
        "name",
        "status",
        "#",
        "#p",
        "#a0",
        ":",
        ":p",
        ":now",
        ".",
        "a.b",
        "[0]",
        "a[0]",
        "size(a)",
        "\0",
        "\"",
        " ",
        "😀",
        "_nodestore",
        "_nodestore_expires",
        "_nodestore_large",
        "_nodestore_data",
        "pk",
        "sk",
        "",
        "ttl",
    ];
    for name in names {
        let value = |n: usize| object(json!({name: {name: [n, 1.0, {name: null}]}}));
        kv.put_many("c", vec![(format!("k{name}"), value(1))], insert()).await.unwrap();
        let again = kv.put_many("c", vec![(format!("k{name}"), value(2))], insert()).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists, "{name:?}: {again}");
        let both = |old: Option<&JsonObject>| {
            let mut new = old.unwrap().clone();
            new.insert(format!("{name}2"), 2.0.into());
            Ok(Update::Put(new))
        };
        let after = kv.update("c", &format!("k{name}"), both).await.unwrap().unwrap();
        assert_eq!(
            text_of(&*kv, "c", &format!("k{name}")).await,
            Value::Object(after).to_string(),
            "{name:?}"
        );
        kv.update("c", &format!("k{name}"), |_| Ok(Update::Delete)).await.unwrap();
    }
    let all: JsonObject = names.iter().rev().map(|name| ((*name).to_owned(), json!(1.0))).collect();
    kv.put("c", "all", all.clone()).await.unwrap();
    assert_eq!(text_of(&*kv, "c", "all").await, Value::Object(all).to_string());
    assert_eq!(scanned(&*kv, "c", ScanOptions::default()).await, ["all"]);
}

async fn names_of_our_own_are_refused(db: Db) {
    let kv = db.store.kv().unwrap();
    let put = kv.put("nodestore:chats", "k", object(json!({}))).await.unwrap_err();
    let get = kv.get("nodestore:chats", "k").await.unwrap_err();
    let scan = kv.scan("nodestore:x", ScanOptions::default()).try_collect::<Vec<_>>().await.unwrap_err();
    for error in [put, get, scan] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}

/// A value whose item takes so many bytes, with the key `k` in `c`.
fn of_size(bytes: usize) -> JsonObject {
    // Names and texts of the two keys and of the member: "pk" "c" "sk" "k" "v".
    object(json!({"v": "x".repeat(bytes - 7)}))
}

async fn values_at_the_limit(db: Db) {
    let kv = db.store.kv().unwrap();
    kv.put("c", "k", of_size(400 << 10)).await.unwrap();
    for options in [PutOptions::default(), insert()] {
        for bytes in [(400 << 10) + 1, 10 << 20] {
            let error = kv.put_many("c", vec![("k".to_owned(), of_size(bytes))], options).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.failed()),
                (ErrorKind::LimitExceeded, &["k".to_owned()][..]),
                "{error}"
            );
            let text = error.to_string();
            assert!(
                text.contains(&bytes.to_string()) && text.contains("409600") && text.contains("\"v\""),
                "{text}"
            );
        }
    }
    let grow = |_: Option<&JsonObject>| Ok(Update::Put(of_size((400 << 10) + 1)));
    assert_eq!(kv.update("c", "k", grow).await.unwrap_err().kind(), ErrorKind::LimitExceeded);
    assert_eq!(kv.get("c", "k").await.unwrap(), Some(of_size(400 << 10)));
    // What we take the service takes too: numbers, lists and objects are counted as it does, or a little more.
    let item = |count: usize| {
        let list: Vec<Value> =
            (0..count).map(|n| json!([n, 0.1, -1.5e-7, {"é": n as f64 / 3.0}, null, true, ""])).collect();
        object(json!({ "list": list }))
    };
    let (mut taken, mut refused) = (1, 20_000);
    while refused - taken > 1 {
        let count = usize::midpoint(taken, refused);
        match kv.put("c", "k", item(count)).await {
            Ok(()) => taken = count,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
                assert!(error.to_string().contains("409600"), "{error}");
                refused = count;
            }
        }
    }
    kv.put("c", "k", item(taken)).await.unwrap();
    assert_eq!(kv.get("c", "k").await.unwrap(), Some(item(taken)));
}

async fn keys_at_the_limit(db: Db) {
    let kv = db.store.kv().unwrap();
    let one = || object(json!({"n": 1}));
    for (collection, key) in [("c".repeat(2_048), "k".repeat(1_024)), ("é".repeat(1_024), "é".repeat(512))]
    {
        kv.put(&collection, &key, one()).await.unwrap();
        kv.update(&collection, &key, |_| Ok(Update::Put(one()))).await.unwrap();
        assert_eq!(
            scanned(&*kv, &collection, ScanOptions::default().with_prefix(&key)).await,
            [key.as_str()]
        );
        let after = ScanOptions::default().with_after(&key);
        assert_eq!(scanned(&*kv, &collection, after).await, [""; 0]);
        let longer = format!("{key}x");
        assert_eq!(scanned(&*kv, &collection, ScanOptions::default().with_prefix(&longer)).await, [""; 0]);
        for error in [
            kv.put(&collection, &longer, one()).await.unwrap_err(),
            kv.get(&collection, &longer).await.unwrap_err(),
            kv.delete(&collection, &longer).await.unwrap_err(),
            kv.update(&collection, &longer, |_| Ok(Update::Keep)).await.unwrap_err(),
        ] {
            assert_eq!(
                (error.kind(), error.failed()),
                (ErrorKind::LimitExceeded, &[longer.clone()][..]),
                "{error}"
            );
            assert!(error.message().contains("1025") && error.message().contains("1024"), "{error}");
        }
        let error = kv.put(&format!("{collection}x"), "k", one()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
        assert!(error.message().contains("2049") && error.message().contains("2048"), "{error}");
        assert!(kv.delete(&collection, &key).await.unwrap());
    }
    let docs = db.store.docs().unwrap();
    let error = docs.add(vec![node(&"n".repeat(1_025), None)], AddOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert_eq!(docs.count(None).await.unwrap(), 0);
}
