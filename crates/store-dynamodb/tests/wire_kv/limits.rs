//! What does not fit, what has odd names, and what may not be touched.

use futures::TryStreamExt as _;
use serde_json::{Value, json};
use store_core::filter::field;
use store_core::{
    AddOptions, Backend as _, DocStore, ErrorKind, IndexStruct, JsonObject, KvStoreExt as _, Node,
    PutOptions, ScanOptions, Update,
};

use crate::common::{Db, ITEM, names, numbers, test, told};
use crate::{insert, node, object, scanned, text_of};
use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("names_of_members_are_data", names_of_members_are_data),
        test("names_of_our_own_are_refused", names_of_our_own_are_refused),
        test("values_at_the_limit", values_at_the_limit),
        test("keys_at_the_limit", keys_at_the_limit),
        test("documents_at_the_limit", documents_at_the_limit),
        test("empty_names_are_refused", empty_names_are_refused),
        test("numbers_at_the_limit", numbers_at_the_limit),
        test("names_of_metadata_are_data", names_of_metadata_are_data),
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

/// A node or an index struct takes an item, and not a byte more.
async fn documents_at_the_limit(db: Db) {
    let docs = db.store.docs().unwrap();
    let node = |id: &str, length: usize| Node::text("x".repeat(length)).with_id(id);
    let great = 10 << 20;
    let error = docs.add(vec![node("a", great)], AddOptions::default()).await.unwrap_err();
    let fits = ITEM - (told(&error) - great);
    assert_eq!(error.failed(), ["a"]);
    docs.add(vec![node("b", fits)], AddOptions::default()).await.unwrap();
    assert_eq!(docs.get_many(&["b".into()]).await.unwrap(), [Some(node("b", fits))]);
    let batch = vec![node("small", 1), node("c", fits + 1)];
    let error = docs.add(batch, AddOptions::default()).await.unwrap_err();
    assert_eq!((told(&error), error.failed()), (ITEM + 1, &["c".to_owned()][..]));
    assert_eq!(docs.count(None).await.unwrap(), 1);

    let structs = db.store.index().unwrap();
    let index = |id: &str, length: usize| {
        let data = json!({"index_id": id, "summary": "x".repeat(length), "nodes": []});
        IndexStruct::new("list", object(data)).unwrap()
    };
    let error = structs.put(index("a", great)).await.unwrap_err();
    let fits = ITEM - (told(&error) - great);
    structs.put(index("b", fits)).await.unwrap();
    assert_eq!(structs.get("b").await.unwrap(), Some(index("b", fits)));
    assert_eq!(told(&structs.put(index("b", fits + 1)).await.unwrap_err()), ITEM + 1);
    assert_eq!(structs.get("b").await.unwrap(), Some(index("b", fits)));
}

async fn empty_names_are_refused(db: Db) {
    let kv = db.store.kv().unwrap();
    let one = || object(json!({"n": 1}));
    kv.put("c", "k", one()).await.unwrap();
    let two = || ["", "a"].map(|key| (key.to_owned(), one())).to_vec();
    let docs = db.store.docs().unwrap();
    for error in [
        kv.put("", "k", one()).await.unwrap_err(),
        kv.put("c", "", one()).await.unwrap_err(),
        kv.put_many("c", two(), PutOptions::default()).await.unwrap_err(),
        kv.put_many("c", two(), insert()).await.unwrap_err(),
        kv.get("c", "").await.unwrap_err(),
        kv.get("", "k").await.unwrap_err(),
        kv.delete("c", "").await.unwrap_err(),
        kv.update("c", "", |_| Ok(Update::Put(object(json!({}))))).await.unwrap_err(),
        kv.scan("", ScanOptions::default()).try_collect::<Vec<_>>().await.unwrap_err(),
        docs.add(vec![node("a", None), node("", None)], AddOptions::default()).await.unwrap_err(),
        docs.delete_ref_doc(&"".into()).await.unwrap_err(),
        db.store.index().unwrap().get("").await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.message().contains("empty"), "{error}");
    }
    assert_eq!(db.items(&db.main()).await.len(), 1);
}

/// Every number comes back as it was, whether the service can hold it or not.
async fn numbers_at_the_limit(db: Db) {
    let kv = db.store.kv().unwrap();
    let text = numbers().to_string();
    kv.put("c", "put", object(numbers())).await.unwrap();
    kv.put_many("c", vec![("insert".to_owned(), object(numbers()))], insert()).await.unwrap();
    kv.update("c", "update", |_| Ok(Update::Put(object(numbers())))).await.unwrap();
    for key in ["put", "insert", "update"] {
        assert_eq!(text_of(&*kv, "c", key).await, text, "{key}");
    }
    // What was read is the condition of the next write.
    let more = |old: Option<&JsonObject>| {
        let mut new = old.unwrap().clone();
        new.insert("more".to_owned(), json!(5e-324));
        Ok(Update::Put(new))
    };
    assert_eq!(kv.update("c", "put", more).await.unwrap().unwrap()["more"], json!(5e-324));
    let docs = db.store.docs().unwrap();
    let node = node("n", Some("d")).with_metadata("numbers", numbers());
    docs.add(vec![node.clone()], AddOptions::default()).await.unwrap();
    let found = docs.get_many(&["n".into()]).await.unwrap().remove(0).unwrap();
    assert_eq!((found.hash(), &found), (node.hash(), &node));
    for (least, count) in [(5e-324, 1), (1e-323, 0)] {
        let filter = field("numbers.least").gte(least);
        assert_eq!(docs.count(Some(&filter)).await.unwrap(), count, "{least}");
    }
    let mut data = object(numbers());
    data.insert("index_id".to_owned(), json!("i"));
    let index = IndexStruct::new("list", data).unwrap();
    db.store.index().unwrap().put(index.clone()).await.unwrap();
    assert_eq!(db.store.index().unwrap().get("i").await.unwrap(), Some(index));
}

/// No field's name is taken for a part of an expression.
async fn names_of_metadata_are_data(db: Db) {
    let docs = db.store.docs().unwrap();
    let nodes: Vec<Node> =
        names().iter().map(|name| node(&format!("of {name}"), None).with_metadata(*name, 7)).collect();
    docs.add(nodes.clone(), AddOptions::default()).await.unwrap();
    for (name, node) in names().iter().zip(&nodes) {
        let filter = field(*name).eq(7);
        assert_eq!(docs.count(Some(&filter)).await.unwrap(), 1, "{name:?}");
        assert_eq!(
            docs.get_many(std::slice::from_ref(&node.id)).await.unwrap(),
            [Some(node.clone())],
            "{name:?}"
        );
    }
}
