//! Key-values, documents and index structs as LlamaIndex's Python packages keep them: what they write is read, and
//! what we write is their form.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

mod common;

use std::process::ExitCode;
use std::time::Duration;

use common::proxy::Proxy;
use common::{Db, on_both, test};
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use store_core::{
    AddOptions, Backend as _, ErrorKind, IndexStruct, JsonObject, KvStore, KvStoreExt as _, Node, NodeId,
    PutMode, PutOptions, RefDocDeleted, ScanOptions, Update,
};
use store_redis::{RedisBackend, RedisCommand, RedisConfig};

fn main() -> ExitCode {
    common::run([
        on_both("key_values_are_written_as_compact_json", key_values_are_written_as_compact_json),
        on_both("documents_are_written_in_pythons_layout", documents_are_written_in_pythons_layout),
        on_both("what_python_wrote_is_read", what_python_wrote_is_read),
        on_both("oldest_ref_docs_are_read_and_removed", oldest_ref_docs_are_read_and_removed),
        on_both("hostile_names_are_names", hostile_names_are_names),
        on_both("a_key_of_another_type_is_refused_and_left", a_key_of_another_type_is_refused_and_left),
        on_both("broken_values_are_named", broken_values_are_named),
        on_both("a_scan_of_great_values_goes_in_steps", a_scan_of_great_values_goes_in_steps),
        vec![
            test("prefixes_keep_stores_apart", prefixes_keep_stores_apart),
            test("names_of_our_own_are_refused", names_of_our_own_are_refused),
            test("time_to_live_is_the_fields_or_refused", time_to_live_is_the_fields_or_refused),
            test("half_a_gigabyte_is_the_limit", half_a_gigabyte_is_the_limit),
            test("great_values_are_compared_by_their_hash", great_values_are_compared_by_their_hash),
            test("batches_are_few_commands", batches_are_few_commands),
        ],
    ])
}

fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

async fn stored(db: &Db, hash: &str, field: &str) -> Option<String> {
    let get = RedisCommand::read("HGET").key(hash).arg(field);
    db.store.command(get).await.unwrap().to().unwrap()
}

async fn set(db: &Db, hash: &str, field: &str, text: impl Into<Vec<u8>>) {
    let set = RedisCommand::write("HSET").key(hash).arg(field).arg(text.into());
    db.store.command(set).await.unwrap();
}

async fn scanned(kv: &dyn KvStore, collection: &str, options: ScanOptions) -> Vec<String> {
    let entries: Vec<_> = kv.scan(collection, options).try_collect().await.unwrap();
    entries.into_iter().map(|(key, _)| key).collect()
}

async fn key_values_are_written_as_compact_json(db: Db) {
    let kv = db.store.kv().unwrap();
    let value = json!({"z": 1, "great": u64::MAX, "double": 1.0, "null": null, "text": "Zażółć 🚀\u{0}\n\"", "a": [{}, ""]});
    kv.put("docs", "k", object(value)).await.unwrap();
    let text = r#"{"z":1,"great":18446744073709551615,"double":1.0,"null":null,"text":"Zażółć 🚀\u0000\n\"","a":[{},""]}"#;
    assert_eq!(stored(&db, "docs", "k").await.as_deref(), Some(text));
    kv.put("docs", "k", object(json!({"only": 1}))).await.unwrap();
    assert_eq!(stored(&db, "docs", "k").await.as_deref(), Some(r#"{"only":1}"#));
    kv.update("docs", "k", |_| Ok(Update::Put(object(json!({"n": 2}))))).await.unwrap();
    assert_eq!(stored(&db, "docs", "k").await.as_deref(), Some(r#"{"n":2}"#));
    let insert = PutOptions::default().with_mode(PutMode::Insert);
    kv.put_many("docs", vec![("i".to_owned(), object(json!({})))], insert).await.unwrap();
    assert_eq!(stored(&db, "docs", "i").await.as_deref(), Some("{}"));
    assert_eq!(db.keys().await, [("docs".to_owned(), -1)]);
    // The last field takes the hash with it.
    assert_eq!(kv.delete_many("docs", &["k", "i", "k"]).await.unwrap(), 2);
    assert_eq!(db.keys().await, []);
}

fn node(id: &str, source: Option<&str>) -> Node {
    let node = Node::text("Café").with_id(id).with_metadata("a", 1);
    source.map_or(node.clone(), |source| node.with_source(source))
}

async fn documents_are_written_in_pythons_layout(db: Db) {
    let docs = db.store.docs().unwrap();
    let nodes = vec![node("n-1", Some("doc-1")), node("n-2", None)];
    docs.add(nodes.clone(), AddOptions::default()).await.unwrap();
    let index = IndexStruct::list(["n-1"]).with_id("i");
    db.store.index().unwrap().put(index).await.unwrap();
    let text = |json: JsonObject| Some(Value::Object(json).to_string());
    assert_eq!(stored(&db, "docstore/doc", "n-1").await, text(nodes[0].to_json()));
    let (first, second) = (nodes[0].hash(), nodes[1].hash());
    let entry = format!(r#"{{"doc_hash":"{first}","ref_doc_id":"doc-1"}}"#);
    assert_eq!(stored(&db, "docstore/metadata", "n-1").await, Some(entry));
    assert_eq!(stored(&db, "docstore/metadata", "n-2").await, Some(format!(r#"{{"doc_hash":"{second}"}}"#)));
    let info = r#"{"node_ids":["n-1"],"metadata":{"a":1}}"#;
    assert_eq!(stored(&db, "docstore/ref_doc_info", "doc-1").await.as_deref(), Some(info));
    let index =
        r#"{"__type__":"list","__data__":"{\"index_id\": \"i\", \"summary\": null, \"nodes\": [\"n-1\"]}"}"#;
    assert_eq!(stored(&db, "index_store/index", "i").await.as_deref(), Some(index));
    let mut keys: Vec<String> = db.keys().await.into_iter().map(|(key, _)| key).collect();
    keys.sort();
    assert_eq!(keys, ["docstore/doc", "docstore/metadata", "docstore/ref_doc_info", "index_store/index"]);
    // Python loses the source when it sets a hash.
    docs.set_hashes(vec![("n-1".into(), "h".to_owned())]).await.unwrap();
    let entry = r#"{"doc_hash":"h","ref_doc_id":"doc-1"}"#;
    assert_eq!(stored(&db, "docstore/metadata", "n-1").await.as_deref(), Some(entry));
}

/// A node as today's Python stores it.
const PYTHONS_NODE: &str = r#"{"__data__": {"id_": "n-1", "embedding": [0.5, 1.0], "metadata": {"z": 1, "a": 2.0, "x": NaN}, "excluded_embed_metadata_keys": [], "excluded_llm_metadata_keys": [], "relationships": {"1": {"node_id": "doc-1", "node_type": "4", "metadata": {}, "hash": "h", "class_name": "RelatedNodeInfo"}}, "metadata_template": "{key}: {value}", "metadata_separator": "\n", "text": "Za\u017c\u00f3\u0142\u0107 \ud83d\ude80 \ud83d", "mimetype": "text/plain", "start_char_idx": 0, "end_char_idx": 4, "text_template": "{metadata_str}\n\n{content}", "class_name": "TextNode"}, "__type__": "1"}"#;

/// A node as LlamaIndex before 0.6.38 stored it.
const OLDEST_NODE: &str = r#"{"__data__": {"doc_id": "n-0", "text": "old", "extra_info": {"z": 7}, "relationships": {"1": "doc-1"}, "embedding": null}, "__type__": "1"}"#;

async fn what_python_wrote_is_read(db: Db) {
    set(&db, "docstore/doc", "n-1", PYTHONS_NODE).await;
    set(&db, "docstore/doc", "n-0", OLDEST_NODE).await;
    set(&db, "docstore/metadata", "n-1", r#"{"doc_hash": "h1", "ref_doc_id": "doc-1"}"#).await;
    set(&db, "docstore/ref_doc_info", "doc-1", r#"{"node_ids": ["n-1"], "metadata": {"m": Infinity}}"#).await;
    let index = r#"{"__type__": "list", "__data__": "{\"index_id\": \"i\", \"summary\": \"s\", \"nodes\": [\"\\u017c\"]}"}"#;
    set(&db, "index_store/index", "i", index).await;
    let numbers = r#"{"big": 123456789012345678901234567890, "nan": [NaN, -Infinity], "zero": -0}"#;
    set(&db, "data", "k", numbers).await;
    let docs = db.store.docs().unwrap();
    let found = docs.get_many(&["n-1".into(), "n-0".into()]).await.unwrap();
    let (today, oldest) = (found[0].as_ref().unwrap(), found[1].as_ref().unwrap());
    assert_eq!(json!(today.metadata).to_string(), r#"{"z":1,"a":2.0,"x":null}"#);
    assert_eq!(today.text_content(), "Zażółć 🚀 \u{fffd}");
    assert_eq!(today.embedding.as_deref(), Some([0.5, 1.0].as_slice()));
    assert_eq!((oldest.text_content(), json!(oldest.metadata)), ("old", json!({"z": 7})));
    assert_eq!(docs.hashes(&["n-1".into()]).await.unwrap(), [Some("h1".to_owned())]);
    let info = docs.ref_doc(&"doc-1".into()).await.unwrap().unwrap();
    assert_eq!((info.node_ids, json!(info.metadata)), (vec![NodeId::from("n-1")], json!({"m": null})));
    let index = db.store.index().unwrap().get("i").await.unwrap().unwrap();
    assert_eq!(index.node_ids(), ["ż"]);
    let kv = db.store.kv().unwrap();
    let read = json!({"big": 123_456_789_012_345_678_901_234_567_890.0, "nan": [null, null], "zero": 0});
    assert_eq!(kv.get("data", "k").await.unwrap(), Some(object(read)));
    assert_eq!(scanned(&*kv, "docstore/doc", ScanOptions::default()).await, ["n-0", "n-1"]);
    // Python's own text is the condition of an update, whatever its spaces.
    kv.update("docstore/metadata", "n-1", |old| {
        assert_eq!(old.unwrap()["doc_hash"], "h1");
        Ok(Update::Delete)
    })
    .await
    .unwrap();
    assert_eq!(stored(&db, "docstore/metadata", "n-1").await, None);
}

async fn oldest_ref_docs_are_read_and_removed(db: Db) {
    set(&db, "docstore/doc", "n-1", PYTHONS_NODE).await;
    set(&db, "docstore/ref_doc_info", "doc-1", r#"{"doc_ids": ["n-1"], "extra_info": {"m": 1}}"#).await;
    let docs = db.store.docs().unwrap();
    let info = docs.ref_doc(&"doc-1".into()).await.unwrap().unwrap();
    assert_eq!((info.node_ids.len(), json!(info.metadata)), (1, json!({"m": 1})));
    let deleted = docs.delete_ref_doc(&"doc-1".into()).await.unwrap();
    assert_eq!(deleted, Some(RefDocDeleted::new(1)));
    assert_eq!(db.keys().await, []);
}

/// What a pattern, a hash tag, a line or a script could mistake for something else.
const HOSTILE: [&str; 22] = [
    "*",
    "?",
    "[a-z]",
    "\\",
    "\\*",
    "{}",
    "{",
    "}",
    "{a}",
    "a}b",
    "}{",
    "\0",
    "a\0b",
    "\r\n",
    "$3\r\nfoo\r\n",
    "\"",
    "'",
    "|",
    ":",
    "-1",
    "FIELDS",
    "k*",
];

async fn hostile_names_are_names(db: Db) {
    let kv = db.store.kv().unwrap();
    let value = |place: usize, name: &str| object(json!({"place": place, "name": name}));
    for collection in HOSTILE {
        let entries = HOSTILE.iter().enumerate().map(|(place, key)| ((*key).to_owned(), value(place, key)));
        kv.put_many(collection, entries.collect(), PutOptions::default()).await.unwrap();
    }
    kv.put("kept", "k", value(0, "k")).await.unwrap();
    let mut sorted = HOSTILE;
    sorted.sort_unstable();
    for collection in HOSTILE {
        let expected: Vec<_> =
            HOSTILE.iter().enumerate().map(|(place, key)| Some(value(place, key))).collect();
        assert_eq!(kv.get_many(collection, &HOSTILE).await.unwrap(), expected, "{collection:?}");
        assert_eq!(scanned(&*kv, collection, ScanOptions::default()).await, sorted);
        for prefix in HOSTILE {
            let found = scanned(&*kv, collection, ScanOptions::default().with_prefix(prefix)).await;
            let expected: Vec<&str> = sorted.into_iter().filter(|key| key.starts_with(prefix)).collect();
            assert_eq!(found, expected, "{prefix:?}");
        }
        let same =
            kv.update_many(collection, &HOSTILE, &mut |_, old| Ok(Update::Put(old.cloned().unwrap()))).await;
        assert_eq!(same.unwrap(), expected);
        let insert = PutOptions::default().with_mode(PutMode::Insert);
        let entries = HOSTILE.map(|key| (key.to_owned(), value(0, "new"))).to_vec();
        let error = kv.put_many(collection, entries, insert).await.unwrap_err();
        assert_eq!(error.failed(), HOSTILE);
        for (place, key) in HOSTILE.iter().enumerate() {
            assert!(kv.delete(collection, key).await.unwrap(), "{key:?}");
            let left = scanned(&*kv, collection, ScanOptions::default()).await;
            assert_eq!(left.len(), HOSTILE.len() - place - 1, "after {key:?}");
        }
    }
    assert_eq!(db.keys().await, [("kept".to_owned(), -1)]);
}

async fn a_key_of_another_type_is_refused_and_left(db: Db) {
    let kv = db.store.kv().unwrap();
    let push = RedisCommand::write("RPUSH").key("taken").arg("a").arg("b");
    db.store.command(push).await.unwrap();
    let one = || vec![("a".to_owned(), object(json!({})))];
    let insert = PutOptions::default().with_mode(PutMode::Insert);
    for error in [
        kv.get_many("taken", &["a"]).await.map(drop).unwrap_err(),
        kv.put_many("taken", one(), PutOptions::default()).await.unwrap_err(),
        kv.put_many("taken", one(), insert).await.unwrap_err(),
        kv.delete_many("taken", &["a"]).await.map(drop).unwrap_err(),
        kv.update("taken", "a", |_| Ok(Update::Delete)).await.map(drop).unwrap_err(),
        kv.scan("taken", ScanOptions::default()).try_collect::<Vec<_>>().await.map(drop).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.collection()), (ErrorKind::InvalidInput, Some("taken")), "{error}");
        assert!(error.to_string().contains("left as it is"), "{error}");
    }
    let all = RedisCommand::read("LRANGE").key("taken").arg(0).arg(-1);
    assert_eq!(db.store.command(all).await.unwrap().to::<Vec<String>>().unwrap(), ["a", "b"]);
}

async fn broken_values_are_named(db: Db) {
    let kv = db.store.kv().unwrap();
    for (key, text) in [("no json", "{'a': 1}"), ("a list", "[1]"), ("a text", "\"x\""), ("cut", "{\"a\": ")]
    {
        set(&db, "docs", key, text).await;
        for error in [
            kv.get("docs", key).await.map(drop).unwrap_err(),
            kv.update("docs", key, |_| Ok(Update::Keep)).await.map(drop).unwrap_err(),
            kv.scan("docs", ScanOptions::default()).try_collect::<Vec<_>>().await.map(drop).unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupt, Some(key)), "{error}");
            assert_eq!(error.collection(), Some("docs"));
        }
        // It can be put right, or removed.
        kv.put("docs", key, object(json!({}))).await.unwrap();
        assert!(kv.delete("docs", key).await.unwrap());
    }
    set(&db, "docs", "bytes", vec![0xff, 0xfe]).await;
    assert_eq!(kv.get("docs", "bytes").await.unwrap_err().kind(), ErrorKind::Corrupt);
    kv.delete("docs", "bytes").await.unwrap();
    // A name that is no text is not ours.
    let other = RedisCommand::write("HSET").key("docs").arg(vec![0xff]).arg("{}");
    db.store.command(other).await.unwrap();
    kv.put("docs", "k", object(json!({}))).await.unwrap();
    assert_eq!(scanned(&*kv, "docs", ScanOptions::default()).await, ["k"]);
}

async fn a_scan_of_great_values_goes_in_steps(db: Db) {
    let kv = db.store.kv().unwrap();
    let text = "x".repeat(60_000);
    let entries = (0..150).map(|n| (format!("k{n:03}"), object(json!({"n": n, "text": text}))));
    kv.put_many("docs", entries.collect(), PutOptions::default()).await.unwrap();
    let mut scan = kv.scan("docs", ScanOptions::default().with_after("k009").with_prefix("k"));
    let (mut seen, mut key) = (9, String::new());
    while let Some((next, value)) = scan.try_next().await.unwrap() {
        seen += 1;
        assert_eq!((next.as_str(), &value["n"]), (format!("k{seen:03}").as_str(), &json!(seen)));
        assert!(next > key);
        key = next;
        if seen == 20 {
            // Gone before its batch is read, or there all the time: never half.
            kv.delete_many("docs", &["k149"]).await.unwrap();
        }
    }
    assert_eq!(seen, 148);
}

async fn prefixes_keep_stores_apart(db: Db) {
    let open = async |prefix: &str| {
        let config = RedisConfig::new(db.url.clone()).with_prefix(format!("{}:{prefix}", db.name));
        RedisBackend::connect(config).await.unwrap()
    };
    for prefix in ["*", "a", "ab", "{", "\0\r\n"] {
        let store = open(prefix).await;
        store.kv().unwrap().put("docs", "k", object(json!({"prefix": prefix}))).await.unwrap();
        assert_eq!(store.drop_namespace().await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    for prefix in ["*", "a", "ab", "{", "\0\r\n"] {
        let kv = open(prefix).await.kv().unwrap();
        assert_eq!(kv.get("docs", "k").await.unwrap(), Some(object(json!({"prefix": prefix}))));
        assert_eq!(scanned(&*kv, "docs", ScanOptions::default()).await, ["k"]);
    }
    assert_eq!(db.keys().await.len(), 5);
}

async fn names_of_our_own_are_refused(db: Db) {
    let kv = db.store.kv().unwrap();
    let put = kv.put("nodestore:lock:a", "k", object(json!({}))).await.unwrap_err();
    let get = kv.get("nodestore:lock:a", "k").await.unwrap_err();
    let scan = kv.scan("nodestore:lock:a", ScanOptions::default()).try_collect::<Vec<_>>().await.unwrap_err();
    for error in [put, get, scan] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    assert_eq!(db.keys().await, []);
}

async fn time_to_live_is_the_fields_or_refused(db: Db) {
    let kv = db.store.kv().unwrap();
    let two = || ["a", "b"].map(|key| (key.to_owned(), object(json!({})))).to_vec();
    let hour = PutOptions::default().with_ttl(Duration::from_hours(1));
    if !kv.capabilities().ttl {
        let error = kv.put_many("docs", two(), hour).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("7.4"), "{error}");
        assert_eq!(db.keys().await, []);
        return;
    }
    let left = async || {
        let ask = RedisCommand::read("HPTTL").key("docs").arg("FIELDS").arg(3).arg("a").arg("b").arg("c");
        db.store.command(ask).await.unwrap().to::<Vec<i64>>().unwrap()
    };
    let is_hour = |left: i64| (3_500_000..=3_600_000).contains(&left);
    kv.put_many("docs", two(), hour).await.unwrap();
    assert!(left().await[..2].iter().all(|left| is_hour(*left)));
    // An insert does not touch what it meets.
    let three = two().into_iter().chain([("c".to_owned(), object(json!({})))]).collect();
    kv.put("docs", "b", object(json!({}))).await.unwrap();
    let error = kv.put_many("docs", three, hour.with_mode(PutMode::Insert)).await.unwrap_err();
    assert_eq!(error.failed(), ["a", "b"]);
    let [a, b, c] = left().await[..] else { panic!("three fields") };
    assert!(is_hour(a) && b == -1 && is_hour(c), "{a} {b} {c}");
    kv.put("docs", "a", object(json!({}))).await.unwrap();
    assert_eq!(left().await[0], -1);
    let ages = PutOptions::default().with_ttl(Duration::MAX);
    kv.put_many("docs", two(), ages).await.unwrap();
    assert!(left().await[0] > 31_000_000_000_000);
}

async fn half_a_gigabyte_is_the_limit(db: Db) {
    let kv = db.store.kv().unwrap();
    // Key and value count together, so that no such value has to be made.
    let long = "k".repeat((512 << 20) - 5);
    let value = object(json!({"a": 1}));
    let two = vec![("a".to_owned(), value.clone()), (long.clone(), value.clone())];
    for mode in [PutMode::Upsert, PutMode::Insert] {
        let error =
            kv.put_many("docs", two.clone(), PutOptions::default().with_mode(mode)).await.unwrap_err();
        assert_eq!((error.kind(), error.failed().len()), (ErrorKind::LimitExceeded, 1));
        assert!(
            error.message().contains("536870914") && error.message().contains("536870912"),
            "{}",
            error.message()
        );
    }
    let longer = format!("{long}123456");
    for kind in [
        kv.get("docs", &longer).await.map(drop).unwrap_err().kind(),
        kv.delete("docs", &longer).await.map(drop).unwrap_err().kind(),
        kv.update("docs", &longer, |_| Ok(Update::Keep)).await.map(drop).unwrap_err().kind(),
    ] {
        assert_eq!(kind, ErrorKind::LimitExceeded);
    }
    assert_eq!(db.keys().await, []);
}

async fn great_values_are_compared_by_their_hash(db: Db) {
    let kv = db.store.kv().unwrap();
    let great = |letter: &str| object(json!({"v": letter.repeat(3 << 20)}));
    kv.put("docs", "k", great("a")).await.unwrap();
    let (mut meets, proxy) = (0, Proxy::start(&db.url).await);
    let through = db.through(&proxy.url()).await.kv().unwrap();
    // Another changes it once, between reading and writing.
    let rival = db.another().await.kv().unwrap();
    let runtime = tokio::runtime::Handle::current();
    let after = through
        .update("docs", "k", |old| {
            meets += 1;
            if meets == 1 {
                let put = rival.put("docs", "k", great("b"));
                tokio::task::block_in_place(|| runtime.block_on(put)).unwrap();
            }
            let letter = if old == Some(&great("b")) { "c" } else { "d" };
            Ok(Update::Put(great(letter)))
        })
        .await
        .unwrap();
    assert_eq!((meets, after), (2, Some(great("c"))));
    assert_eq!(kv.get("docs", "k").await.unwrap(), Some(great("c")));
    assert!(proxy.bytes() < 2 * (3 << 20) + 10_000, "{} bytes were sent", proxy.bytes());
    assert_eq!(kv.update("docs", "k", |_| Ok(Update::Delete)).await.unwrap(), None);
    assert_eq!(db.keys().await, []);
}

async fn batches_are_few_commands(db: Db) {
    let proxy = Proxy::start(&db.url).await;
    let store = db.through(&proxy.url()).await;
    let (kv, docs) = (store.kv().unwrap(), store.docs().unwrap());
    let names: Vec<String> = (0..1_000).map(|n| format!("k{n}")).collect();
    let keys: Vec<&str> = names.iter().map(String::as_str).collect();
    let entries = || names.iter().map(|key| (key.clone(), object(json!({"n": 1})))).collect::<Vec<_>>();
    let sent = |name: &str| {
        let count = proxy.count(name);
        proxy.forget();
        count
    };
    kv.put_many("docs", entries(), PutOptions::default()).await.unwrap();
    assert_eq!(sent("HSET"), 2);
    kv.get_many("docs", &keys).await.unwrap();
    assert_eq!(sent("HMGET"), 2);
    let insert = PutOptions::default().with_mode(PutMode::Insert);
    for known in [false, true] {
        let error = kv.put_many("docs", entries(), insert).await.unwrap_err();
        assert_eq!(error.failed().len(), 1_000);
        assert_eq!((proxy.count("HSETNX"), proxy.count("EVALSHA")), (0, 2), "{known}");
        sent("EVALSHA");
    }
    kv.update_many("docs", &keys, &mut |_, _| Ok(Update::Keep)).await.unwrap();
    assert_eq!((proxy.count("EVALSHA"), sent("HMGET")), (0, 2));
    kv.update_many("docs", &keys, &mut |_, _| Ok(Update::Delete)).await.unwrap();
    assert_eq!((proxy.count("EVALSHA"), sent("HMGET")), (2, 2));
    let nodes: Vec<Node> =
        (0..1_000).map(|n| node(&format!("n{n}"), Some(&format!("doc {}", n / 50)))).collect();
    docs.add(nodes, AddOptions::default()).await.unwrap();
    let added = proxy.count("HSET") + proxy.count("HMGET") + proxy.count("EVALSHA") + proxy.count("EVAL");
    assert!(added <= 20, "a thousand nodes added by {added} commands");
    proxy.forget();
    assert_eq!(docs.delete_ref_doc(&"doc 3".into()).await.unwrap(), Some(RefDocDeleted::new(50)));
    let commands = ["HGET", "HMGET", "HDEL", "EVALSHA", "EVAL"].map(|name| proxy.count(name));
    // One script is new to the server, perhaps.
    let [reads, batches, deletes, scripts, new] = commands;
    assert_eq!((reads, batches, deletes, scripts), (2, 0, 1, 2), "{commands:?}");
    assert!(new <= 1, "{commands:?}");
}
