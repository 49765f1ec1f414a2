//! Key-values, documents and index structs as LlamaIndex's Python packages keep them: what they write is read, and
//! what we write is their form; and what may become of them on the way.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

mod common;
mod faults;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use common::{Db, attributes, seconds, test};
use faults::{Fault, Faults};
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use store_core::filter::field;
use store_core::{
    AddOptions, AddReport, Backend as _, DocStore, ErrorKind, IndexStruct, JsonObject, KvStore,
    KvStoreExt as _, Node, NodeId, PutMode, PutOptions, RefDocDeleted, ScanOptions, Update,
};
use store_dynamodb::DynamoDbLargeValues;
use store_dynamodb::aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, ConditionCheck, KeySchemaElement, KeyType, Put, ScalarAttributeType,
};

fn main() -> ExitCode {
    common::run([
        test("key_values_are_native_attributes", key_values_are_native_attributes),
        test("documents_are_written_in_pythons_layout", documents_are_written_in_pythons_layout),
        test("what_python_wrote_is_read", what_python_wrote_is_read),
        test(
            "oldest_nodes_and_ref_docs_are_read_and_removed",
            oldest_nodes_and_ref_docs_are_read_and_removed,
        ),
        test("a_table_of_pythons_is_used_as_it_is", a_table_of_pythons_is_used_as_it_is),
        test("a_missing_table_is_told", a_missing_table_is_told),
        test("names_of_members_are_data", names_of_members_are_data),
        test("names_of_our_own_are_refused", names_of_our_own_are_refused),
        test("values_at_the_limit", values_at_the_limit),
        test("keys_at_the_limit", keys_at_the_limit),
        test("expired_items_are_absent", expired_items_are_absent),
        test("an_update_sees_each_change", an_update_sees_each_change),
        test("large_values_go_to_chunks", large_values_go_to_chunks),
        test("a_large_value_is_never_half", a_large_value_is_never_half),
        test("left_over_chunks_are_collected", left_over_chunks_are_collected),
        test("batches_are_few_requests", batches_are_few_requests),
        test("documents_are_few_requests", documents_are_few_requests),
        test("lost_answers_change_nothing", lost_answers_change_nothing),
        test("what_is_left_undone_is_done_or_named", what_is_left_undone_is_done_or_named),
        test("transactions_happen_or_not", transactions_happen_or_not),
    ])
}

fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

/// What is stored of a key, without the key itself.
async fn stored(db: &Db, collection: &str, key: &str) -> Option<Value> {
    let items = db.items(&db.main()).await;
    let is_it = |item: &&Value| item["pk"] == json!({"S": collection}) && item["sk"] == json!({"S": key});
    let mut item = items.iter().find(is_it)?.clone();
    item.as_object_mut().unwrap().retain(|name, _| name != "pk" && name != "sk");
    Some(item)
}

/// Stores an item as Python would.
async fn set(db: &Db, collection: &str, key: &str, value: Value) {
    let mut item = json!({"pk": {"S": collection}, "sk": {"S": key}});
    item.as_object_mut().unwrap().extend(object(value));
    db.put(&db.main(), item).await;
}

async fn scanned(kv: &dyn KvStore, collection: &str, options: ScanOptions) -> Vec<String> {
    let entries: Vec<_> = kv.scan(collection, options).try_collect().await.unwrap();
    entries.into_iter().map(|(key, _)| key).collect()
}

async fn text_of(kv: &dyn KvStore, collection: &str, key: &str) -> String {
    Value::Object(kv.get(collection, key).await.unwrap().unwrap()).to_string()
}

fn insert() -> PutOptions {
    PutOptions::default().with_mode(PutMode::Insert)
}

async fn key_values_are_native_attributes(db: Db) {
    let kv = db.store.kv().unwrap();
    kv.put("data", "k", object(json!({"n": 1}))).await.unwrap();
    assert_eq!(stored(&db, "data", "k").await, Some(json!({"n": {"N": "1"}})));
    let value =
        r#"{"z":1,"d":1.0,"null":null,"t":"Ża\u0000","l":[{},0.1,1e+22,true],"big":18446744073709551615}"#;
    kv.put("data", "k", object(serde_json::from_str(value).unwrap())).await.unwrap();
    let mut item = stored(&db, "data", "k").await.unwrap();
    let beside = item.as_object_mut().unwrap().remove("_nodestore").unwrap();
    // Servers differ in how they write the number back.
    let great = &mut item["l"]["L"][2]["N"];
    assert_eq!(great.as_str().unwrap().parse(), Ok(1e22));
    *great = json!("10000000000000000000000");
    let list = json!({"L": [{"M": {}}, {"N": "0.1"}, {"N": "10000000000000000000000"}, {"BOOL": true}]});
    let expected = json!({"z": {"N": "1"}, "d": {"N": "1"}, "null": {"NULL": true}, "t": {"S": "Ża\0"}, "l": list,
        "big": {"N": "18446744073709551615"}});
    assert_eq!(item, expected);
    let marks = r#"{"":[5,1,3,4,2,0],"1":1,"2":2}"#;
    assert_eq!(beside["S"].as_str().unwrap().get(16..), Some(marks));
    assert_eq!(text_of(&*kv, "data", "k").await, value);
    // Python has read and written it, with a change.
    item["z"] = json!({"N": "2"});
    item["_nodestore"] = beside;
    set(&db, "data", "k", item).await;
    let plain = r#"{"big":18446744073709551615,"d":1,"l":[{},0.1,10000000000000000000000,true],"null":null,"t":"Ża\u0000","z":2}"#;
    assert_eq!(text_of(&*kv, "data", "k").await, plain.replace("10000000000000000000000", "1e+22"));
    assert_eq!(kv.delete_many("data", &["k", "k", "none"]).await.unwrap(), 1);
    assert_eq!(db.items(&db.main()).await, [Value::Null; 0]);
}

fn node(id: &str, source: Option<&str>) -> Node {
    let node = Node::text("Café").with_id(id).with_metadata("a", 1);
    source.map_or(node.clone(), |source| node.with_source(source))
}

/// A node as today's Python stores it.
fn pythons_node(id: &str) -> Value {
    let empty = json!({"L": []});
    let source = json!({"node_id": {"S": "doc-1"}, "node_type": {"S": "4"}, "metadata": {"M": {}},
        "hash": {"NULL": true}, "class_name": {"S": "RelatedNodeInfo"}});
    let data = json!({
        "id_": {"S": id}, "embedding": {"NULL": true}, "metadata": {"M": {"a": {"N": "1"}}},
        "excluded_embed_metadata_keys": empty, "excluded_llm_metadata_keys": empty,
        "relationships": {"M": {"1": {"M": source}}},
        "metadata_template": {"S": "{key}: {value}"}, "metadata_separator": {"S": "\n"},
        "text": {"S": "Café"}, "mimetype": {"S": "text/plain"}, "start_char_idx": {"NULL": true},
        "end_char_idx": {"NULL": true}, "text_template": {"S": "{metadata_str}\n\n{content}"},
        "class_name": {"S": "TextNode"},
    });
    json!({"__data__": {"M": data}, "__type__": {"S": "1"}})
}

async fn documents_are_written_in_pythons_layout(db: Db) {
    let docs = db.store.docs().unwrap();
    let nodes = vec![node("n-1", Some("doc-1")), node("n-2", None).with_metadata("A", 2.0)];
    docs.add(nodes.clone(), AddOptions::default()).await.unwrap();
    let struct_data = object(json!({"index_id": "i", "summary": null, "nodes": ["n-1"]}));
    let index = IndexStruct::new("list", struct_data).unwrap();
    db.store.index().unwrap().put(index.clone()).await.unwrap();
    assert_eq!(stored(&db, "docstore/data", "n-1").await, Some(pythons_node("n-1")));
    let (first, second) = (nodes[0].hash(), nodes[1].hash());
    let entry = json!({"doc_hash": {"S": first}, "ref_doc_id": {"S": "doc-1"}});
    assert_eq!(stored(&db, "docstore/metadata", "n-1").await, Some(entry));
    assert_eq!(stored(&db, "docstore/metadata", "n-2").await, Some(json!({"doc_hash": {"S": second}})));
    let info = json!({"node_ids": {"L": [{"S": "n-1"}]}, "metadata": {"M": {"a": {"N": "1"}}}});
    assert_eq!(stored(&db, "docstore/ref_doc_info", "doc-1").await, Some(info));
    let stored_struct = stored(&db, "index_store/data", "i").await.unwrap();
    let data = r#"{"index_id": "i", "summary": null, "nodes": ["n-1"]}"#;
    assert_eq!(stored_struct["__data__"], json!({"S": data}));
    assert_eq!(stored_struct["__type__"], json!({"S": "list"}));
    // The hash of a node depends on the order and the kinds of its metadata.
    let back = docs.get_many(&["n-1".into(), "n-2".into()]).await.unwrap();
    assert_eq!(back.iter().flatten().map(Node::hash).collect::<Vec<_>>(), [first, second]);
    assert_eq!(db.store.index().unwrap().get("i").await.unwrap(), Some(index));
    // Python loses the source when it sets a hash.
    docs.set_hashes(vec![("n-1".into(), "h".to_owned())]).await.unwrap();
    let entry = json!({"doc_hash": {"S": "h"}, "ref_doc_id": {"S": "doc-1"}});
    assert_eq!(stored(&db, "docstore/metadata", "n-1").await, Some(entry));
}

async fn what_python_wrote_is_read(db: Db) {
    let kv = db.store.kv().unwrap();
    kv.put("begin", "k", object(json!({}))).await.unwrap();
    set(&db, "docstore/data", "n-1", pythons_node("n-1")).await;
    set(&db, "docstore/metadata", "n-1", json!({"doc_hash": {"S": "h1"}, "ref_doc_id": {"S": "doc-1"}}))
        .await;
    let info = json!({"node_ids": {"L": [{"S": "n-1"}]}, "metadata": {"M": {"m": {"N": "0.5"}}}});
    set(&db, "docstore/ref_doc_info", "doc-1", info).await;
    let data = r#"{"index_id": "i", "summary": "s", "nodes": ["\u017c"]}"#;
    set(&db, "index_store/data", "i", json!({"__type__": {"S": "list"}, "__data__": {"S": data}})).await;
    let numbers = json!({"many": {"N": "9".repeat(38)}, "small": {"N": "1E-130"}, "great": {"N": "9.9E+125"},
        "whole": {"N": "2.0"}, "bytes": {"B": "ab"}, "half": {"N": "0.5"}});
    set(&db, "data", "k", numbers).await;
    let docs = db.store.docs().unwrap();
    let found = docs.get_many(&["n-1".into(), "n-0".into()]).await.unwrap();
    assert_eq!(found, [Some(node("n-1", Some("doc-1"))), None]);
    assert_eq!(docs.hashes(&["n-1".into()]).await.unwrap(), [Some("h1".to_owned())]);
    let info = docs.ref_doc(&"doc-1".into()).await.unwrap().unwrap();
    assert_eq!((info.node_ids, json!(info.metadata)), (vec![NodeId::from("n-1")], json!({"m": 0.5})));
    let index = db.store.index().unwrap().get("i").await.unwrap().unwrap();
    assert_eq!(index.node_ids(), ["ż"]);
    let read = r#"{"bytes":"YWI=","great":9.9e+125,"half":0.5,"many":1e+38,"small":1e-130,"whole":2}"#;
    assert_eq!(text_of(&*kv, "data", "k").await, read);
    // Its items are the condition of an update.
    kv.update("docstore/metadata", "n-1", |old| {
        assert_eq!(old.unwrap()["doc_hash"], "h1");
        Ok(Update::Delete)
    })
    .await
    .unwrap();
    assert_eq!(stored(&db, "docstore/metadata", "n-1").await, None);
}

async fn oldest_nodes_and_ref_docs_are_read_and_removed(db: Db) {
    let docs = db.store.docs().unwrap();
    docs.add(vec![node("n-2", None)], AddOptions::default()).await.unwrap();
    let data = json!({"doc_id": {"S": "n-1"}, "text": {"S": "old"}, "extra_info": {"M": {"z": {"N": "7"}}},
        "relationships": {"M": {"1": {"S": "doc-1"}}}, "embedding": {"NULL": true}});
    set(&db, "docstore/data", "n-1", json!({"__data__": {"M": data}, "__type__": {"S": "1"}})).await;
    let info = json!({"doc_ids": {"L": [{"S": "n-1"}]}, "extra_info": {"M": {"m": {"N": "1"}}}});
    set(&db, "docstore/ref_doc_info", "doc-1", info).await;
    let read = docs.get_many(&["n-1".into()]).await.unwrap().remove(0).unwrap();
    assert_eq!((read.text_content(), json!(read.metadata)), ("old", json!({"z": 7})));
    let with = |key: &str| field(key).exists();
    assert_eq!(docs.count(Some(&with("z"))).await.unwrap(), 1);
    assert_eq!(docs.count(Some(&with("a"))).await.unwrap(), 1);
    assert_eq!(docs.count(None).await.unwrap(), 2);
    assert_eq!(docs.exist_many(&["n-1".into(), "x".into()]).await.unwrap(), [true, false]);
    let info = docs.ref_doc(&"doc-1".into()).await.unwrap().unwrap();
    assert_eq!((info.node_ids.len(), json!(info.metadata)), (1, json!({"m": 1})));
    assert_eq!(docs.delete_ref_doc(&"doc-1".into()).await.unwrap(), Some(RefDocDeleted::new(1)));
    assert_eq!(docs.count(None).await.unwrap(), 1);
}

async fn a_table_of_pythons_is_used_as_it_is(db: Db) {
    let table = format!("python.{}", db.name);
    let definition = |name: &str| {
        let kind = ScalarAttributeType::S;
        AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
    };
    let element = |name: &str, kind: KeyType| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
    };
    let create = db.client().create_table().table_name(&table).billing_mode(BillingMode::PayPerRequest);
    let create =
        create.attribute_definitions(definition("name")).attribute_definitions(definition("my.sort"));
    let create = create.key_schema(element("name", KeyType::Hash));
    create.key_schema(element("my.sort", KeyType::Range)).send().await.unwrap();
    let store = db
        .with(|mut config| {
            config.namespace = None;
            config.with_table(table.clone()).with_create(false)
        })
        .await;
    let kv = store.kv().unwrap();
    let value = object(json!({"name": "a value's own", "my.sort": 2.0, "pk": 1, "x": {"name": 1}}));
    kv.put_many("c", vec![("k".to_owned(), value.clone())], insert()).await.unwrap();
    assert_eq!(
        kv.put_many("c", vec![("k".to_owned(), value.clone())], insert()).await.unwrap_err().failed(),
        ["k"]
    );
    assert_eq!(text_of(&*kv, "c", "k").await, Value::Object(value.clone()).to_string());
    let add = |old: Option<&JsonObject>| {
        let mut new = old.unwrap().clone();
        new.insert("n".to_owned(), 1.into());
        Ok(Update::Put(new))
    };
    assert_eq!(kv.update("c", "k", add).await.unwrap().unwrap().len(), 5);
    let item = &db.items(&table).await[0];
    assert_eq!((&item["name"], &item["my.sort"]), (&json!({"S": "c"}), &json!({"S": "k"})));
    assert_eq!((&item["pk"], &item["x"]), (&json!({"N": "1"}), &json!({"M": {"name": {"N": "1"}}})));
    let docs = store.docs().unwrap();
    docs.add(vec![node("n", Some("d"))], AddOptions::default()).await.unwrap();
    assert_eq!(docs.count(Some(&field("a").exists())).await.unwrap(), 1);
    assert_eq!(docs.delete_ref_doc(&"d".into()).await.unwrap(), Some(RefDocDeleted::new(1)));
    assert_eq!(scanned(&*kv, "c", ScanOptions::default().with_prefix("k")).await, ["k"]);
    assert!(kv.delete("c", "k").await.unwrap());
    assert_eq!(db.items(&table).await.len(), 0);
    assert_eq!(store.drop_namespace().await.unwrap_err().kind(), ErrorKind::InvalidInput);
    db.client().delete_table().table_name(&table).send().await.unwrap();
}

async fn a_missing_table_is_told(db: Db) {
    let store = db.with(|config| config.with_create(false)).await;
    let kv = store.kv().unwrap();
    let put = kv.put("c", "k", object(json!({}))).await.unwrap_err();
    let get = kv.get("c", "k").await.unwrap_err();
    let scan = kv.scan("c", ScanOptions::default()).try_collect::<Vec<_>>().await.unwrap_err();
    for error in [put, get, scan] {
        assert_eq!((error.kind(), error.collection()), (ErrorKind::NotFound, Some("c")), "{error}");
        assert!(error.message().contains(&db.main()) && error.message().contains("store.create"), "{error}");
    }
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
            seen.push(old.cloned().unwrap());
            Ok(if place % 2 == 0 { Update::Delete } else { Update::Put(object(json!({"seen": 1}))) })
        })
        .await
        .unwrap();
        assert_eq!(seen, [before, between], "{key}");
    }
}

/// Two thirds of a megabyte, which tells one from another.
fn large(mark: &str) -> JsonObject {
    object(json!({"z": mark, "text": mark.repeat(700_000 / mark.len()), "a": 1.0}))
}

async fn chunks(db: &Db) -> Vec<Value> {
    let mut items = db.items(&db.main()).await;
    items.retain(|item| item["pk"]["S"].as_str().unwrap().starts_with("nodestore:large/"));
    items
}

async fn large_values_go_to_chunks(db: Db) {
    let store = db.with(|config| config.with_large_values(DynamoDbLargeValues::Chunks)).await;
    let kv = store.kv().unwrap();
    kv.put("c", "k", large("ab")).await.unwrap();
    assert_eq!(chunks(&db).await.len(), 2);
    let head = stored(&db, "c", "k").await.unwrap();
    assert_eq!(head.as_object().unwrap().keys().collect::<Vec<_>>(), ["_nodestore_large"]);
    assert_eq!(text_of(&*kv, "c", "k").await, Value::Object(large("ab")).to_string());
    // Also one that would write none reads it.
    assert_eq!(db.store.kv().unwrap().get("c", "k").await.unwrap(), Some(large("ab")));
    let entries: Vec<_> = kv.scan("c", ScanOptions::default()).try_collect().await.unwrap();
    assert_eq!(entries, [("k".to_owned(), large("ab"))]);
    assert_eq!(
        kv.put_many("c", vec![("k".to_owned(), large("x"))], insert()).await.unwrap_err().failed(),
        ["k"]
    );
    assert_eq!(chunks(&db).await.len(), 2);
    // Replaced by a large one, by a small one, and large again; the old chunks go.
    kv.put("c", "k", large("cd")).await.unwrap();
    assert_eq!((kv.get("c", "k").await.unwrap(), chunks(&db).await.len()), (Some(large("cd")), 2));
    let shrink = |old: Option<&JsonObject>| {
        assert_eq!(old, Some(&large("cd")));
        Ok(Update::Put(object(json!({"n": 1}))))
    };
    kv.update("c", "k", shrink).await.unwrap();
    assert_eq!((stored(&db, "c", "k").await, chunks(&db).await.len()), (Some(json!({"n": {"N": "1"}})), 0));
    kv.update("c", "k", |_| Ok(Update::Put(large("ef")))).await.unwrap();
    kv.put_many("c", vec![("new".to_owned(), large("gh"))], insert()).await.unwrap();
    assert_eq!(kv.get_many("c", &["k", "new"]).await.unwrap(), [Some(large("ef")), Some(large("gh"))]);
    kv.put("c", "k", object(json!({"n": 2}))).await.unwrap();
    assert_eq!(chunks(&db).await.len(), 2);
    assert_eq!(kv.delete_many("c", &["k", "new"]).await.unwrap(), 2);
    assert_eq!(db.items(&db.main()).await.len(), 0);
    let docs = store.docs().unwrap();
    let text = Node::text("long ".repeat(200_000)).with_id("n").with_source("d").with_metadata("m", 1);
    docs.add(vec![text.clone()], AddOptions::default()).await.unwrap();
    assert_eq!(docs.get_many(&["n".into()]).await.unwrap(), [Some(text)]);
    assert_eq!(docs.count(Some(&field("m").exists())).await.unwrap(), 1);
    assert_eq!(docs.delete_ref_doc(&"d".into()).await.unwrap(), Some(RefDocDeleted::new(1)));
    assert_eq!(db.items(&db.main()).await.len(), 0);
    let error = kv.put("c", "k", object(json!({"v": "x".repeat(16 << 20)}))).await.unwrap_err();
    assert_eq!((error.kind(), db.items(&db.main()).await.len()), (ErrorKind::LimitExceeded, 0));
}

/// Readers see one value or the other while writers replace a large one, and nothing is left over at the end.
async fn a_large_value_is_never_half(db: Db) {
    let store = db.with(|config| config.with_large_values(DynamoDbLargeValues::Chunks)).await;
    let kv = store.kv().unwrap();
    let marks = ["ab", "cd", "ef"];
    kv.put("c", "k", large(marks[0])).await.unwrap();
    let writers = marks.map(|mark| {
        let kv = Arc::clone(&kv);
        tokio::spawn(async move {
            for round in 0..6 {
                match round % 3 {
                    0 => kv.put("c", "k", large(mark)).await.unwrap(),
                    1 => drop(kv.update("c", "k", |_| Ok(Update::Put(large(mark)))).await.unwrap()),
                    _ => kv.put("c", "k", object(json!({"small": mark}))).await.unwrap(),
                }
            }
        })
    });
    let reader = {
        let kv = Arc::clone(&kv);
        tokio::spawn(async move {
            for _ in 0..40 {
                let value = kv.get("c", "k").await.unwrap().unwrap();
                let whole = marks.iter().any(|mark| value == large(mark)) || value.contains_key("small");
                assert!(whole, "half a value of {} members", value.len());
            }
        })
    };
    for task in writers {
        task.await.unwrap();
    }
    reader.await.unwrap();
}

async fn left_over_chunks_are_collected(db: Db) {
    let store = db.with(|config| config.with_large_values(DynamoDbLargeValues::Chunks)).await;
    let kv = store.kv().unwrap();
    kv.put("c", "k", large("ab")).await.unwrap();
    // A writer died two hours ago, and another is at work.
    let own = chunks(&db).await[0].clone();
    let hours = |hours: u64| format!("{:013}-0123456789abcdef/00000", (seconds() - hours * 3_600) * 1_000);
    let (dead, at_work) = (hours(2), hours(0));
    for sort in [&dead, &at_work] {
        let mut item = own.clone();
        item["sk"] = json!({"S": sort});
        db.put(&db.main(), item).await;
    }
    let sorts = async |what: &str| {
        let sorts: Vec<Value> = chunks(&db).await.iter().map(|chunk| chunk["sk"]["S"].clone()).collect();
        (sorts.len(), sorts.contains(&json!(what)))
    };
    assert_eq!((sorts(&dead).await, sorts(&at_work).await), ((4, true), (4, true)));
    // Who writes nothing collects nothing: what is old may be in use.
    kv.put_many("c", vec![("k".to_owned(), large("x"))], insert()).await.unwrap_err();
    assert_eq!((sorts(&dead).await, sorts(&at_work).await), ((4, true), (4, true)));
    kv.put("c", "k", large("cd")).await.unwrap();
    assert_eq!((sorts(&dead).await, sorts(&at_work).await), ((3, false), (3, true)));
    assert_eq!(kv.get("c", "k").await.unwrap(), Some(large("cd")));
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
    assert_eq!((after, runs), (Some(object(json!({"n": 1}))), 1));
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
    assert_eq!((error.kind(), failed), (ErrorKind::Throttled, keys));
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
