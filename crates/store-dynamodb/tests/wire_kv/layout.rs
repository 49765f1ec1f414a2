//! Items as LlamaIndex's Python packages write and read them.

use futures::TryStreamExt as _;
use serde_json::{Value, json};
use store_core::filter::field;
use store_core::{
    AddOptions, Backend as _, DocStore, ErrorKind, IndexStruct, JsonObject, KvStoreExt as _, Node, NodeId,
    RefDocDeleted, ScanOptions, Update,
};
use store_dynamodb::aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};

use crate::common::{Db, test};
use crate::{insert, node, object, scanned, set, stored, text_of};
use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("key_values_are_native_attributes", key_values_are_native_attributes),
        test("documents_are_written_in_pythons_layout", documents_are_written_in_pythons_layout),
        test("what_python_wrote_is_read", what_python_wrote_is_read),
        test(
            "oldest_nodes_and_ref_docs_are_read_and_removed",
            oldest_nodes_and_ref_docs_are_read_and_removed,
        ),
        test("a_table_of_pythons_is_used_as_it_is", a_table_of_pythons_is_used_as_it_is),
        test("a_missing_table_is_told", a_missing_table_is_told),
    ]
}

async fn key_values_are_native_attributes(db: Db) {
    let kv = db.store.kv().unwrap();
    kv.put("data", "k", object(json!({"n": 1}))).await.unwrap();
    assert_eq!(stored(&db, "data", "k").await, Some(json!({"n": {"N": "1"}})));
    // Python shows each attribute as a member.
    for (value, item) in [
        (json!({}), json!({})),
        (
            json!({"a": 1, "b": [0.5, {"c": "t"}]}),
            json!({"a": {"N": "1"}, "b": {"L": [{"N": "0.5"}, {"M": {"c": {"S": "t"}}}]}}),
        ),
    ] {
        kv.put("data", "k", object(value)).await.unwrap();
        assert_eq!(stored(&db, "data", "k").await, Some(item));
    }
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
