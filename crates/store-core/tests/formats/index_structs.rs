//! Index structs.

use proptest::prelude::*;
use serde_json::{Value, json};
use store_core::IndexStruct;

use super::{assert_refused, common, damaged, object};

#[test]
fn both_forms_are_read_and_pythons_is_written() {
    // As llama-index-core 0.14.25 stores it.
    let stored = r#"{"__type__":"vector_store","__data__":"{\"index_id\": \"i\", \"summary\": null, \"nodes_dict\": {\"\\u00e9\": \"n\"}, \"doc_id_dict\": {}, \"embeddings_dict\": {}}"}"#;
    let index = IndexStruct::vector_store([("é", "n")]).with_id("i");
    assert_eq!(Value::Object(index.to_stored_json()).to_string(), stored);
    assert_eq!(IndexStruct::from_json(object(stored)).unwrap(), index);
    assert_eq!(IndexStruct::from_json(index.to_json()).unwrap(), index);
    let text = serde_json::to_string(&index).unwrap();
    assert_eq!(text, Value::Object(index.to_json()).to_string());
    assert_eq!(serde_json::from_str::<IndexStruct>(&text).unwrap(), index);
}

#[test]
fn known_types_show_their_nodes() {
    let of = |type_name: &str, data: Value| {
        let Value::Object(mut data) = data else { panic!() };
        data.insert("index_id".to_owned(), "i".into());
        IndexStruct::new(type_name, data).unwrap()
    };
    for (type_name, data, expected) in [
        ("vector_store", json!({"nodes_dict": {"v": "a", "w": "b", "x": "a"}}), vec!["a", "b"]),
        ("multimodal", json!({"nodes_dict": {"v": "a"}}), vec!["a"]),
        ("list", json!({"nodes": ["b", "a", "b", 3]}), vec!["b", "a"]),
        ("tree", json!({"all_nodes": {"0": "a", "1": "b"}}), vec!["a", "b"]),
        ("keyword_table", json!({"table": {"k": ["a", "b"], "l": ["b", "c"]}}), vec!["a", "b", "c"]),
        ("kg", json!({"table": {"k": ["a"]}}), vec!["a"]),
        ("document_summary", json!({"node_id_to_summary_id": {"a": "s", "b": "s"}}), vec!["a", "b"]),
        ("pandas", json!({"nodes": ["a"]}), vec![]),
        ("list", json!({"nodes": {"a": [["b"]]}}), vec![]),
    ] {
        assert_eq!(of(type_name, data).node_ids(), expected, "{type_name}");
    }
    let index = of("new_type", json!({"summary": "s", "map": {"a": 1}, "more": 2.0}));
    assert_eq!((index.type_name(), index.summary()), ("new_type", Some("s")));
    assert_eq!(index.map("map").unwrap().len(), 1);
    assert_eq!(index.map("more"), None);
    assert_eq!(
        Value::Object(index.data().clone()).to_string(),
        r#"{"summary":"s","map":{"a":1},"more":2.0,"index_id":"i"}"#
    );
}

#[test]
fn broken_structs_are_refused() {
    for (text, part) in [
        (r"{}", r#""__type__" is missing"#),
        (r#"{"__type__":"list"}"#, r#"the "__data__" of an index struct"#),
        (r#"{"__type__":"list","__data__":5}"#, r#"the "__data__" of an index struct"#),
        (r#"{"__type__":"list","__data__":"[]"}"#, r#"the "__data__" of an index struct"#),
        (r#"{"__type__":"list","__data__":"{"}"#, "not valid JSON"),
        (r#"{"__type__":"list","__data__":{}}"#, r#"needs an "index_id""#),
        (r#"{"__type__":"list","__data__":{"index_id":""}}"#, r#"needs an "index_id""#),
        (r#"{"__type__":"","__data__":{"index_id":"i"}}"#, "is empty"),
    ] {
        assert_refused(IndexStruct::from_json(object(text)), part, text);
    }
}

proptest! {
    #[test]
    fn random_structs_come_back_equal(mut data in common::object(), type_name in "[a-z_]{1,9}") {
        data.insert("index_id".to_owned(), "i".into());
        let index = IndexStruct::new(type_name, data).unwrap();
        prop_assert_eq!(&IndexStruct::from_json(index.to_json()).unwrap(), &index);
        prop_assert_eq!(&IndexStruct::from_json(index.to_stored_json()).unwrap(), &index);
    }

    #[test]
    fn damaged_structs_never_panic(json in damaged(Just(Value::Object(IndexStruct::keyword_table([("k", vec!["n"])]).to_json())))) {
        if let Value::Object(json) = json
            && let Ok(index) = IndexStruct::from_json(json)
        {
            let _ = index.node_ids();
        }
    }
}
