//! Key-values, documents and index structs as LlamaIndex's Python packages keep them: what they write is read, and
//! what we write is their form.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

mod common;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bson::oid::ObjectId;
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Decimal128, Document, doc};
use common::{Db, test};
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use store_core::{
    AddOptions, Backend as _, DocQuery, ErrorKind, Filter, IndexStruct, JsonObject, KvStore, KvStoreExt as _,
    Node, NodeId, PutMode, PutOptions, RefDocDeleted, ScanOptions, Update,
};
use store_mongodb::mongodb::Client;
use store_mongodb::mongodb::event::EventHandler;
use store_mongodb::mongodb::event::command::CommandEvent;
use store_mongodb::mongodb::options::ClientOptions;
use store_mongodb::{MongoBackend, MongoConfig, MongoLargeValues};

fn main() -> ExitCode {
    common::run(vec![
        test("key_values_are_written_in_pythons_form", key_values_are_written_in_pythons_form),
        test(
            "values_with_names_of_the_servers_own_are_wrapped",
            values_with_names_of_the_servers_own_are_wrapped,
        ),
        test("documents_are_written_in_pythons_form", documents_are_written_in_pythons_form),
        test("what_python_wrote_is_read", what_python_wrote_is_read),
        test("values_of_every_bson_type_are_read", values_of_every_bson_type_are_read),
        test("foreign_ids_are_passed_over", foreign_ids_are_passed_over),
        test("small_and_large_collections_are_listed_alike", small_and_large_collections_are_listed_alike),
        test("older_nodes_are_found", older_nodes_are_found),
        test("oldest_ref_docs_are_read_and_removed", oldest_ref_docs_are_read_and_removed),
        test("hostile_values_are_data", hostile_values_are_data),
        test("what_can_not_be_held_is_refused", what_can_not_be_held_is_refused),
        test("sixteen_megabytes_are_the_limit", sixteen_megabytes_are_the_limit),
        test("great_values_go_to_gridfs", great_values_go_to_gridfs),
        test("expiry_is_indexed_at_its_first_use", expiry_is_indexed_at_its_first_use),
        test("batches_are_few_requests", batches_are_few_requests),
        test("an_update_sees_a_number_that_changed_its_type", an_update_sees_a_number_that_changed_its_type),
    ])
}

fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

async fn stored(db: &Db, collection: &str, key: &str) -> Document {
    db.collection(collection).find_one(doc! {"_id": key}).await.unwrap().unwrap()
}

async fn insert(db: &Db, collection: &str, documents: impl IntoIterator<Item = Document>) {
    db.collection(collection).insert_many(documents).await.unwrap();
}

async fn scanned(kv: &dyn KvStore, collection: &str) -> Vec<String> {
    let entries: Vec<_> = kv.scan(collection, ScanOptions::default()).try_collect().await.unwrap();
    entries.into_iter().map(|(key, _)| key).collect()
}

async fn key_values_are_written_in_pythons_form(db: Db) {
    let kv = db.store.kv().unwrap();
    let value = object(json!({
        "z": 1, "long": 3_000_000_000_i64, "least": i64::MIN, "great": u64::MAX, "double": 1.0, "null": null,
        "text": "a\u{0}b", "list": [true, {"b": 1, "a": 2}], "a.b": {"$inc": 1, "c.d": []}, "": 0,
    }));
    kv.put("docs", "k", value).await.unwrap();
    let expected = doc! {
        "_id": "k", "z": 1, "long": 3_000_000_000_i64, "least": i64::MIN,
        "great": Bson::Decimal128("18446744073709551615".parse::<Decimal128>().unwrap()), "double": 1.0,
        "null": null, "text": "a\u{0}b", "list": [true, {"b": 1, "a": 2}], "a.b": {"$inc": 1, "c.d": []}, "": 0,
    };
    let found = stored(&db, "docs", "k").await;
    assert_eq!(found, expected);
    assert!(found.keys().eq(expected.keys()), "{found}");
    // A put replaces: nothing of the old value stays, though Python merges.
    kv.put("docs", "k", object(json!({"only": 1}))).await.unwrap();
    assert_eq!(stored(&db, "docs", "k").await, doc! {"_id": "k", "only": 1});
}

async fn values_with_names_of_the_servers_own_are_wrapped(db: Db) {
    let kv = db.store.kv().unwrap();
    for (key, value) in [
        ("id", json!({"a": 1, "_id": "another"})),
        ("dollar", json!({"$set": {"x": 1}})),
        ("ours", json!({"_nodestore": {"value": {}, "expires_at": 0}})),
    ] {
        kv.put("docs", key, object(value.clone())).await.unwrap();
        let inner = bson::serialize_to_bson(&value).unwrap();
        let found = stored(&db, "docs", key).await;
        assert_eq!(found.get_document("_nodestore").unwrap().keys().collect::<Vec<_>>(), ["value"]);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["_id", "_nodestore"], "{inner}");
        assert_eq!(kv.get("docs", key).await.unwrap(), Some(object(value)));
    }
}

fn node(id: &str, source: Option<&str>) -> Node {
    let node = Node::text("Café").with_id(id).with_metadata("a", 1);
    source.map_or(node.clone(), |source| node.with_source(source))
}

async fn documents_are_written_in_pythons_form(db: Db) {
    let docs = db.store.docs().unwrap();
    let nodes = vec![node("n-1", Some("doc-1")), node("n-2", None)];
    let (json, hash) = (nodes[0].to_json(), nodes[0].hash());
    docs.add(nodes.clone(), AddOptions::default()).await.unwrap();
    let found = stored(&db, "docstore/data", "n-1").await;
    assert_eq!(found.keys().collect::<Vec<_>>(), ["_id", "__data__", "__type__"]);
    assert_eq!(found.get_str("__type__").unwrap(), "1");
    let data = found.get_document("__data__").unwrap();
    assert!(data.keys().eq(json["__data__"].as_object().unwrap().keys()), "{data}");
    assert_eq!(data.get_i32("start_char_idx").ok(), None);
    assert_eq!(data.get_document("metadata").unwrap(), &doc! {"a": 1});
    let entry = stored(&db, "docstore/metadata", "n-1").await;
    assert_eq!(entry, doc! {"_id": "n-1", "doc_hash": hash, "ref_doc_id": "doc-1"});
    let entry = stored(&db, "docstore/metadata", "n-2").await;
    assert_eq!(entry, doc! {"_id": "n-2", "doc_hash": nodes[1].hash()});
    let info = stored(&db, "docstore/ref_doc_info", "doc-1").await;
    assert_eq!(info, doc! {"_id": "doc-1", "node_ids": ["n-1"], "metadata": {"a": 1}});
    let index = IndexStruct::list(["n-1"]).with_id("i");
    db.store.index().unwrap().put(index).await.unwrap();
    let found = stored(&db, "index_store/data", "i").await;
    let text = r#"{"index_id": "i", "summary": null, "nodes": ["n-1"]}"#;
    assert_eq!(found, doc! {"_id": "i", "__type__": "list", "__data__": text});
}

/// A node as today's Python stores it.
fn pythons_node(id: &str) -> Document {
    doc! {"_id": id, "__data__": {
        "id_": id, "embedding": [0.5, 1.0], "metadata": {"z": 1, "a": 2.0}, "excluded_embed_metadata_keys": [],
        "excluded_llm_metadata_keys": [], "relationships": {"1": {
            "node_id": "doc-1", "node_type": "4", "metadata": {}, "hash": "h", "class_name": "RelatedNodeInfo",
        }},
        "metadata_template": "{key}: {value}", "metadata_separator": "\n", "text": "Zażółć 🚀",
        "mimetype": "text/plain", "start_char_idx": 0, "end_char_idx": 4,
        "text_template": "{metadata_str}\n\n{content}", "class_name": "TextNode",
    }, "__type__": "1"}
}

/// A node as LlamaIndex before 0.6.38 stored it.
fn oldest_node(id: &str, n: i32) -> Document {
    doc! {"_id": id, "__data__": {
        "doc_id": id, "text": "old", "extra_info": {"z": n}, "relationships": {"1": "doc-1"}, "embedding": null,
    }, "__type__": "1"}
}

async fn what_python_wrote_is_read(db: Db) {
    insert(&db, "docstore/data", [pythons_node("n-1"), oldest_node("n-0", 7)]).await;
    insert(&db, "docstore/metadata", [doc! {"_id": "n-1", "doc_hash": "h1", "ref_doc_id": "doc-1"}]).await;
    insert(&db, "docstore/ref_doc_info", [doc! {"_id": "doc-1", "metadata": {"m": 1}, "node_ids": ["n-1"]}])
        .await;
    let index =
        doc! {"_id": "i", "__data__": {"index_id": "i", "summary": "s", "nodes": ["n"]}, "__type__": "list"};
    insert(&db, "index_store/data", [index]).await;
    let docs = db.store.docs().unwrap();
    let found = docs.get_many(&["n-1".into(), "n-0".into()]).await.unwrap();
    let (today, oldest) = (found[0].as_ref().unwrap(), found[1].as_ref().unwrap());
    assert_eq!(json!(today.metadata), json!({"z": 1, "a": 2.0}));
    assert_eq!(today.text_content(), "Zażółć 🚀");
    assert_eq!(today.embedding.as_deref(), Some([0.5, 1.0].as_slice()));
    assert_eq!((oldest.text_content(), json!(oldest.metadata)), ("old", json!({"z": 7})));
    assert_eq!(docs.hashes(&["n-1".into()]).await.unwrap(), [Some("h1".to_owned())]);
    let info = docs.ref_doc(&"doc-1".into()).await.unwrap().unwrap();
    assert_eq!((info.node_ids, json!(info.metadata)), (vec![NodeId::from("n-1")], json!({"m": 1})));
    let index = db.store.index().unwrap().get("i").await.unwrap().unwrap();
    assert_eq!(index.node_ids(), ["n"]);
}

async fn values_of_every_bson_type_are_read(db: Db) {
    let oid = ObjectId::parse_str("65f0c0ffee65f0c0ffee65f0").unwrap();
    let document = doc! {
        "_id": "k", "oid": oid, "date": DateTime::from_millis(1_714_564_800_123), "nan": f64::NAN,
        "bytes": Binary { subtype: BinarySubtype::Generic, bytes: vec![1, 2, 255] },
        "whole": Bson::Decimal128("12".parse::<Decimal128>().unwrap()),
        "broken": Bson::Decimal128("1.5".parse::<Decimal128>().unwrap()),
        "int": 1, "long": 1_i64, "double": 1.0, "_nodestore": "no document",
    };
    insert(&db, "docs", [document]).await;
    let found = db.store.kv().unwrap().get("docs", "k").await.unwrap();
    let expected = json!({
        "oid": "65f0c0ffee65f0c0ffee65f0", "date": "2024-05-01T12:00:00.123Z", "nan": null, "bytes": "AQL/",
        "whole": 12, "broken": 1.5, "int": 1, "long": 1, "double": 1.0, "_nodestore": "no document",
    });
    assert_eq!(found, Some(object(expected)));
}

async fn foreign_ids_are_passed_over(db: Db) {
    let ids: Vec<Bson> = vec![
        ObjectId::new().into(),
        7.into(),
        Bson::Null,
        true.into(),
        DateTime::now().into(),
        doc! {"a": 1}.into(),
    ];
    insert(&db, "docstore/data", ids.into_iter().map(|id| doc! {"_id": id, "x": 1})).await;
    let (kv, docs) = (db.store.kv().unwrap(), db.store.docs().unwrap());
    docs.add(vec![node("7", None)], AddOptions::default()).await.unwrap();
    assert_eq!(scanned(&*kv, "docstore/data").await, ["7"]);
    assert_eq!(docs.find(&DocQuery::new()).await.unwrap().items.len(), 1);
    assert_eq!(kv.delete_many("docstore/data", &["7", "null", "true"]).await.unwrap(), 1);
    assert_eq!(db.collection("docstore/data").count_documents(doc! {}).await.unwrap(), 6);
}

/// A small collection is read as it lies and put into order by us, a large one by the server.
async fn small_and_large_collections_are_listed_alike(db: Db) {
    let docs = db.store.docs().unwrap();
    let metadata = db.collection("docstore/metadata");
    let id = |place: u32| {
        NodeId::new(format!("{:04} {}", (place * 1_237) % 2_500, ["a", "é", "🚀", "z"][place as usize % 4]))
    };
    for (what, source) in [("small", "d".to_owned()), ("large", "d".repeat(2_500))] {
        let entry = |place: u32| doc! {"_id": id(place).as_str(), "doc_hash": place.to_string(), "ref_doc_id": &source};
        insert(&db, "docstore/metadata", (0..2_500).map(entry)).await;
        insert(&db, "docstore/metadata", [doc! {"doc_hash": "foreign"}]).await;
        let mut expected: Vec<(NodeId, String)> =
            (0..2_500).map(|place| (id(place), place.to_string())).collect();
        expected.sort();
        let all = || async { docs.scan_hashes(None).try_collect::<Vec<_>>().await.unwrap() };
        assert_eq!(all().await, expected, "{what}");
        for place in [0, 999, 1_000, 2_498, 2_499] {
            let after =
                docs.scan_hashes(Some(expected[place].0.clone())).try_collect::<Vec<_>>().await.unwrap();
            assert_eq!(after, expected[place + 1..], "{what}, after {place}");
        }
        // Entries that hold more, or no hash, change nothing for the others.
        for odd in [0, 70, 1_000, 2_496] {
            let key = doc! {"_id": expected[odd].0.as_str()};
            metadata.update_one(key.clone(), doc! {"$set": {"more": 1}}).await.unwrap();
            assert_eq!(all().await, expected, "{what}, with more at {odd}");
            metadata.update_one(key, doc! {"$unset": {"doc_hash": 1}}).await.unwrap();
            let (gone, _) = expected.remove(odd);
            assert_eq!(all().await, expected, "{what}, without {gone}");
            metadata.delete_one(doc! {"_id": gone.as_str()}).await.unwrap();
        }
        metadata.delete_many(doc! {}).await.unwrap();
    }
}

async fn older_nodes_are_found(db: Db) {
    let docs = db.store.docs().unwrap();
    let mut misspelt = pythons_node("b");
    let data = misspelt.get_document_mut("__data__").unwrap();
    data.remove("metadata_separator");
    data.insert("metadata_seperator", " | ");
    data.remove("class_name");
    insert(&db, "docstore/data", [pythons_node("a"), misspelt]).await;
    let is_one = Filter::from_json(&json!({"key": "z", "value": 1})).unwrap();
    let query = DocQuery::new().with_filter(is_one).with_projection(["metadata_separator", "metadata.a"]);
    let items = docs.find(&query).await.unwrap().items;
    let data: Vec<&Value> = items.iter().map(|item| &item["__data__"]).collect();
    let expected = |id: &str, separator: &str| json!({"id_": id, "metadata": {"a": 2.0}, "metadata_separator": separator, "class_name": "TextNode"});
    assert_eq!(data, [&expected("a", "\n"), &expected("b", " | ")]);
    // A store that has looked remembers that there were none.
    insert(&db, "docstore/data", [oldest_node("c", 1), oldest_node("d", 2)]).await;
    let fresh = common::open(&common::url().unwrap()).await;
    insert(&fresh, "docstore/data", [pythons_node("a"), oldest_node("c", 1), oldest_node("d", 2)]).await;
    let items = fresh.store.docs().unwrap().find(&query).await.unwrap().items;
    let ids: Vec<&Value> = items.iter().map(|item| &item["__data__"]["id_"]).collect();
    assert_eq!(ids, ["a", "c"]);
    fresh.store.drop_namespace().await.unwrap();
}

async fn oldest_ref_docs_are_read_and_removed(db: Db) {
    insert(&db, "docstore/data", [pythons_node("n-1")]).await;
    insert(&db, "docstore/ref_doc_info", [doc! {"_id": "doc-1", "doc_ids": ["n-1"], "extra_info": {"m": 1}}])
        .await;
    let docs = db.store.docs().unwrap();
    let info = docs.ref_doc(&"doc-1".into()).await.unwrap().unwrap();
    assert_eq!((info.node_ids.len(), json!(info.metadata)), (1, json!({"m": 1})));
    let deleted = docs.delete_ref_doc(&"doc-1".into()).await.unwrap();
    assert_eq!(deleted, Some(RefDocDeleted::new(1)));
    for name in ["docstore/data", "docstore/metadata", "docstore/ref_doc_info"] {
        assert_eq!(db.collection(name).count_documents(doc! {}).await.unwrap(), 0, "{name}");
    }
}

async fn hostile_values_are_data(db: Db) {
    let kv = db.store.kv().unwrap();
    kv.put("docs", "other", object(json!({"x": 1}))).await.unwrap();
    let values = [
        json!({"$where": "sleep(10000)"}),
        json!({"a": {"$gt": ""}, "b": [{"$ne": null}]}),
        json!({"a": {"$ref": "docs", "$id": "other", "$db": "x"}}),
        json!({"a": {"$ref": 1}, "b": {"$id": 1}, "c": {"$db": 1}}),
        json!({"a": {"$numberLong": "1"}, "b": {"$oid": "65f0c0ffee65f0c0ffee65f0"}, "c": {"$date": 1}}),
        json!({"a.b": 1, "a": {"b": 2}, ".": {"..": {"$.": 1}}}),
        json!({"$$ROOT": "$$ROOT", "x": "$x", "y": "$$NOW"}),
        json!({"updates": [], "ordered": true, "writeConcern": {"w": 0}, "lsid": 1, "txnNumber": 1}),
    ];
    for key in ["k", "{\"$gt\": \"\"}", "$where", "a.b", "\0", "docs', {}); //"] {
        for (place, value) in values.iter().enumerate() {
            let value = object(value.clone());
            let mode = if place == 0 { PutMode::Insert } else { PutMode::Upsert };
            let entries = vec![(key.to_owned(), value.clone()), (format!("{key} beside"), value.clone())];
            kv.put_many("docs", entries, PutOptions::default().with_mode(mode)).await.unwrap();
            assert_eq!(kv.get("docs", key).await.unwrap().as_ref(), Some(&value), "{key}");
            let same = |old: Option<&JsonObject>| {
                assert_eq!(old, Some(&value));
                Ok(Update::Put(old.cloned().unwrap()))
            };
            assert_eq!(kv.update("docs", key, same).await.unwrap().as_ref(), Some(&value), "{key}");
        }
        assert!(kv.delete("docs", key).await.unwrap(), "{key}");
    }
    assert_eq!(kv.get("docs", "other").await.unwrap(), Some(object(json!({"x": 1}))));
}

fn nested(levels: usize) -> JsonObject {
    object((0..levels).fold(json!({"end": 1}), |inner, _| json!({"in": inner})))
}

async fn what_can_not_be_held_is_refused(db: Db) {
    let kv = db.store.kv().unwrap();
    for (value, kind) in [
        (object(json!({"a": {"b\u{0}c": 1}})), ErrorKind::InvalidInput),
        (object(json!({"\u{0}": 1})), ErrorKind::InvalidInput),
        (nested(100), ErrorKind::LimitExceeded),
    ] {
        let entries = vec![("good".to_owned(), nested(1)), ("bad".to_owned(), value.clone())];
        for mode in [PutMode::Insert, PutMode::Upsert] {
            let put = kv.put_many("docs", entries.clone(), PutOptions::default().with_mode(mode)).await;
            let error = put.unwrap_err();
            assert_eq!(
                (error.kind(), error.key(), error.failed()),
                (kind, Some("bad"), &["bad".to_owned()][..])
            );
        }
        let update = kv.update("docs", "bad", |_| Ok(Update::Put(value.clone()))).await;
        assert_eq!(update.unwrap_err().kind(), kind);
    }
    assert_eq!(db.collection("docs").count_documents(doc! {}).await.unwrap(), 0);
    kv.put("docs", "deep", nested(80)).await.unwrap();
    kv.update("docs", "deep", |_| Ok(Update::Put(nested(81)))).await.unwrap();
    assert_eq!(kv.get("docs", "deep").await.unwrap(), Some(nested(81)));
}

fn megabytes(tenths: usize) -> JsonObject {
    object(json!({"v": "x".repeat(tenths * (1 << 20) / 10)}))
}

async fn sixteen_megabytes_are_the_limit(db: Db) {
    let kv = db.store.kv().unwrap();
    let (kept, refused) = (megabytes(159), megabytes(161));
    kv.put("docs", "k", kept.clone()).await.unwrap();
    assert_eq!(kv.get("docs", "k").await.unwrap().as_ref(), Some(&kept));
    let two = vec![("a".to_owned(), megabytes(1)), ("k".to_owned(), refused.clone())];
    let error = kv.put_many("docs", two, PutOptions::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.failed()), (ErrorKind::LimitExceeded, &["k".to_owned()][..]));
    assert!(error.message().contains("16777216"), "{error}");
    assert_eq!(kv.get("docs", "a").await.unwrap(), None);
    // Two documents of that size do not fit into one command together: a transaction compares them.
    let other = object(json!({"v": "y".repeat(15 << 20)}));
    kv.update("docs", "k", |old| {
        assert_eq!(old.map(JsonObject::len), Some(1));
        Ok(Update::Put(other.clone()))
    })
    .await
    .unwrap();
    assert_eq!(kv.get("docs", "k").await.unwrap(), Some(other));
}

async fn files(db: &Db) -> (u64, bool) {
    let files = db.collection("nodestore.values.files").count_documents(doc! {}).await.unwrap();
    let pieces = db.collection("nodestore.values.chunks").count_documents(doc! {}).await.unwrap();
    (files, pieces > 0)
}

async fn great_values_go_to_gridfs(db: Db) {
    let config = MongoConfig::new(common::url().unwrap())
        .with_namespace(db.name.clone())
        .with_large_values(MongoLargeValues::GridFs);
    let store = MongoBackend::connect(config).await.unwrap();
    let kv = store.kv().unwrap();
    let (great, greater) = (megabytes(170), megabytes(200));
    let entries = vec![("small".to_owned(), megabytes(1)), ("k".to_owned(), great.clone())];
    kv.put_many("docs", entries, PutOptions::default()).await.unwrap();
    assert_eq!(files(&db).await, (1, true));
    assert_eq!(
        kv.get_many("docs", &["k", "small"]).await.unwrap(),
        [Some(great.clone()), Some(megabytes(1))]
    );
    assert_eq!(scanned(&*kv, "docs").await, ["k", "small"]);
    // Also by a store that writes none itself.
    assert_eq!(db.store.kv().unwrap().get("docs", "k").await.unwrap().as_ref(), Some(&great));
    let insert = PutOptions::default().with_mode(PutMode::Insert);
    let again = kv.put_many("docs", vec![("k".to_owned(), greater.clone())], insert).await.unwrap_err();
    assert_eq!((again.kind(), files(&db).await.0), (ErrorKind::AlreadyExists, 1));
    let swap = |old: Option<&JsonObject>| {
        assert_eq!(old, Some(&great));
        Ok(Update::Put(greater.clone()))
    };
    kv.update("docs", "k", swap).await.unwrap();
    assert_eq!((kv.get("docs", "k").await.unwrap(), files(&db).await.0), (Some(greater), 1));
    kv.put("docs", "k", megabytes(1)).await.unwrap();
    assert_eq!((kv.get("docs", "k").await.unwrap(), files(&db).await), (Some(megabytes(1)), (0, false)));
    kv.put("docs", "k", great).await.unwrap();
    assert_eq!(kv.delete_many("docs", &["k", "nobody", "small"]).await.unwrap(), 2);
    assert_eq!(files(&db).await, (0, false));
    let ttl = PutOptions::default().with_ttl(Duration::from_mins(1));
    let error = kv.put_many("docs", vec![("k".to_owned(), megabytes(170))], ttl).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}

async fn expiry_is_indexed_at_its_first_use(db: Db) {
    let kv = db.store.kv().unwrap();
    let names = || async { db.collection("docs").list_index_names().await.unwrap() };
    kv.put("docs", "k", nested(1)).await.unwrap();
    assert_eq!(names().await, ["_id_"]);
    let hour = PutOptions::default().with_ttl(Duration::from_hours(1));
    for _ in 0..2 {
        kv.put_many("docs", vec![("k".to_owned(), nested(1))], hour).await.unwrap();
        assert_eq!(names().await, ["_id_", "_nodestore.expires_at_1"]);
    }
    let found = stored(&db, "docs", "k").await;
    let left = found.get_document("_nodestore").unwrap().get_datetime("expires_at").unwrap();
    let left = left.timestamp_millis() - DateTime::now().timestamp_millis();
    assert!((3_500_000..=3_600_000).contains(&left), "{left} ms");
    kv.put("docs", "k", nested(1)).await.unwrap();
    assert!(!stored(&db, "docs", "k").await.contains_key("_nodestore"));
}

/// Batches do not become requests for each key.
async fn batches_are_few_requests(db: Db) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let mut options = ClientOptions::parse(common::url().unwrap()).await.unwrap();
    options.command_event_handler = Some(EventHandler::callback(move |event| {
        if matches!(event, CommandEvent::Started(_)) {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let config = MongoConfig::new("").with_namespace(db.name.clone());
    let store = MongoBackend::from_client(Client::with_options(options).unwrap(), config).unwrap();
    let (kv, docs) = (store.kv().unwrap(), store.docs().unwrap());
    let requests = || count.swap(0, Ordering::Relaxed);
    let names: Vec<String> = (0..1_000).map(|n| format!("k{n}")).collect();
    let keys: Vec<&str> = names.iter().map(String::as_str).collect();
    let entries = || names.iter().map(|key| (key.clone(), nested(1))).collect::<Vec<_>>();
    kv.put_many("docs", entries(), PutOptions::default()).await.unwrap();
    assert_eq!(requests(), 1, "a thousand new values");
    kv.put_many("docs", entries(), PutOptions::default()).await.unwrap();
    assert_eq!(requests(), 2, "a thousand that exist, which nobody knew");
    kv.put_many("docs", entries(), PutOptions::default()).await.unwrap();
    assert_eq!(requests(), 1, "a thousand that exist");
    kv.get_many("docs", &keys).await.unwrap();
    assert_eq!(requests(), 1, "a thousand read");
    assert_eq!(kv.delete_many("docs", &keys).await.unwrap(), 1_000);
    assert_eq!(requests(), 1, "a thousand deleted");
    let nodes = |round: i32| {
        let node =
            |n: i32| node(&format!("n{n}"), Some(&format!("doc {}", n / 50))).with_metadata("round", round);
        (0..1_000).map(node).collect::<Vec<Node>>()
    };
    docs.add(nodes(0), AddOptions::default()).await.unwrap();
    let added = requests();
    assert!(added <= 4, "a thousand nodes added in {added} requests");
    // Now it is known that they exist.
    docs.add(nodes(1), AddOptions::default()).await.unwrap();
    requests();
    docs.add(nodes(2), AddOptions::default()).await.unwrap();
    let replaced = requests();
    assert!(replaced <= 5, "a thousand nodes with their hashes replaced in {replaced} requests");
    let ids: Vec<NodeId> = (0..1_000).map(|n| NodeId::new(format!("n{n}"))).collect();
    let hashes: Vec<Option<String>> = nodes(2).iter().map(|node| Some(node.hash())).collect();
    assert_eq!(docs.hashes(&ids).await.unwrap(), hashes);
    requests();
    assert_eq!(docs.exist_many(&ids).await.unwrap(), vec![true; 1_000]);
    assert_eq!(docs.count(Some(&store_core::filter::field("round").eq(2))).await.unwrap(), 1_000);
    // Whether there are nodes of the oldest form is asked once.
    assert_eq!(requests(), 3, "a thousand looked for, and a thousand counted");
    assert_eq!(docs.delete_ref_doc(&"doc 3".into()).await.unwrap(), Some(RefDocDeleted::new(50)));
    let removed = requests();
    assert!(removed <= 5, "a source document with fifty nodes removed in {removed} requests");
}

/// The server's comparison alone would not tell them apart.
async fn an_update_sees_a_number_that_changed_its_type(db: Db) {
    let kv = db.store.kv().unwrap();
    kv.put("c", "k", object(json!({"n": 1, "list": [{"x": 2}]}))).await.unwrap();
    let others = [doc! {"n": 1.0, "list": [{"x": 2}]}, doc! {"n": 1.0, "list": [{"x": 2.0}]}];
    let mut seen = Vec::new();
    let collection = db.collection("c");
    let after = kv
        .update("c", "k", |old| {
            let other = others.get(seen.len()).cloned();
            seen.extend(old.map(|old| Value::Object(old.clone())));
            if let Some(other) = other {
                // Another writes in between.
                tokio::task::block_in_place(|| {
                    let write = collection.replace_one(doc! {"_id": "k"}, other).into_future();
                    tokio::runtime::Handle::current().block_on(write).unwrap();
                });
            }
            let mut new = old.cloned().unwrap_or_default();
            new.insert("new".to_owned(), true.into());
            Ok(Update::Put(new))
        })
        .await
        .unwrap();
    let last = json!({"n": 1.0, "list": [{"x": 2.0}]});
    assert_eq!(seen, [json!({"n": 1, "list": [{"x": 2}]}), json!({"n": 1.0, "list": [{"x": 2}]}), last]);
    assert_eq!(after, Some(object(json!({"n": 1.0, "list": [{"x": 2.0}], "new": true}))));
    assert_eq!(kv.get("c", "k").await.unwrap(), after);
}
