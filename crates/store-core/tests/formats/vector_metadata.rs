//! Nodes as the metadata of vector stores.

use proptest::prelude::*;
use serde_json::{Value, json};
use store_core::{JsonObject, MediaContent, MediaResource, MetadataMode, Node, Relationship};

use super::{assert_refused, common, damaged, object};

fn of(value: Value) -> JsonObject {
    serde_json::from_value(value).unwrap()
}

#[test]
fn holds_what_python_writes() {
    let node = Node::text("Café")
        .with_id("n")
        .with_metadata("é", 1)
        .with_metadata("doc_id", "mine")
        .with_source("d");
    let metadata = node.clone().with_embedding([1.0]).to_vector_metadata(false).unwrap();
    let keys: Vec<&str> = metadata.keys().map(String::as_str).collect();
    assert_eq!(keys, ["é", "doc_id", "_node_content", "_node_type", "document_id", "ref_doc_id"]);
    for name in ["document_id", "doc_id", "ref_doc_id"] {
        assert_eq!(metadata[name], "d");
    }
    let content = concat!(
        r#"{"id_": "n", "embedding": null, "metadata": {"é": 1, "doc_id": "mine"}, "#,
        r#""excluded_embed_metadata_keys": [], "excluded_llm_metadata_keys": [], "relationships": {"1": "#,
        r#"{"node_id": "d", "node_type": "4", "metadata": {}, "hash": null, "class_name": "RelatedNodeInfo"}}, "#,
        r#""metadata_template": "{key}: {value}", "metadata_separator": "\n", "text": "", "mimetype": "text/plain", "#,
        r#""start_char_idx": null, "end_char_idx": null, "text_template": "{metadata_str}\n\n{content}", "#,
        r#""class_name": "TextNode"}"#
    );
    assert_eq!(metadata["_node_content"], content);
    assert_eq!(metadata["_node_type"], "TextNode");
    assert_eq!(Node::from_vector_metadata(metadata, Some("Café".to_owned())).unwrap(), node);
}

#[test]
fn a_document_comes_back_as_a_text_node_and_the_others_as_they_are() {
    let media = || MediaContent {
        text: Some(MediaResource::from_text("t")),
        image: Some(MediaResource::from_path("a.png")),
        ..MediaContent::default()
    };
    for (node, expected) in [
        (Node::text("t"), "TextNode"),
        (Node::index("t", "i"), "IndexNode"),
        (Node::image(store_core::ImageContent::default()), "ImageNode"),
        (Node::multimodal(media()), "Node"),
        (Node::document("t"), "TextNode"),
        (Node::image_document(media()), "TextNode"),
    ] {
        let metadata = node.to_vector_metadata(true).unwrap();
        assert_eq!(metadata["ref_doc_id"], "None");
        assert_eq!(metadata["_node_type"], node.class_name());
        let content = object(metadata["_node_content"].as_str().unwrap());
        assert!(!content.contains_key("text_resource"));
        assert!(content.get("text").is_none_or(|text| text == ""));
        let read = Node::from_vector_metadata(metadata, Some("t".to_owned())).unwrap();
        assert_eq!((read.class_name(), read.text_content(), &read.id), (expected, "t", &node.id));
        if expected == node.class_name() && expected != "ImageNode" {
            assert_eq!(read, node);
        }
    }
}

#[test]
fn an_empty_source_is_none_as_in_python() {
    let metadata = Node::text("").with_source("").to_vector_metadata(false).unwrap();
    assert_eq!(metadata["doc_id"], "None");
}

#[test]
fn flat_metadata_takes_no_lists() {
    let flat =
        Node::text("").with_metadata("a", 1.5).with_metadata("b", Value::Null).with_metadata("c", true);
    assert!(flat.to_vector_metadata(true).is_ok());
    for nested in [json!([]), json!({})] {
        let node = flat.clone().with_id("n").with_metadata("tags", nested);
        assert_refused(node.to_vector_metadata(true), r#""n": the metadata value of "tags""#, "flat");
        assert!(node.to_vector_metadata(false).is_ok());
    }
}

#[test]
fn the_oldest_form_is_read() {
    let metadata = of(json!({
        "doc_id": "d", "page": 3, "document_id": "other", "id": "d", "ref_doc_id": "d", "text": "old",
        "node_info": "{\"start\": 1, \"end\": 9}", "relationships": "{\"1\": \"d\", \"2\": \"p\"}", "tag": "x"
    }));
    let node = Node::from_vector_metadata(metadata, Some("the text".to_owned())).unwrap();
    assert_eq!(
        Value::Object(node.metadata.clone()).to_string(),
        r#"{"page":3,"tag":"x","document_id":"other"}"#
    );
    assert_eq!(node.ref_doc_id().unwrap().as_str(), "d");
    assert_eq!(node.relationships.previous().unwrap().node_id.as_str(), "p");
    let text = node.content.as_text().unwrap();
    assert_eq!((text.start_char_idx, text.end_char_idx), (Some(1), Some(9)));
    assert_eq!(node.text_content(), "the text");

    // The parent is asked before `ref_doc_id`.
    let metadata =
        of(json!({"doc_id": "p", "id": "d", "ref_doc_id": "d", "relationships": "{\"4\": \"p\"}"}));
    let node = Node::from_vector_metadata(metadata, None).unwrap();
    assert_eq!(Value::Object(node.metadata).to_string(), r#"{"id":"d"}"#);
    assert!(node.relationships.get(Relationship::Parent).is_some());

    let node =
        Node::from_vector_metadata(of(json!({"a": 1, "node_info": "", "relationships": ""})), None).unwrap();
    assert_eq!((node.metadata_str(MetadataMode::All).unwrap().as_str(), node.text_content()), ("a: 1", ""));
}

#[test]
fn broken_metadata_is_refused() {
    for (metadata, part) in [
        (json!({"_node_content": 1}), r#""_node_content" must be text"#),
        (json!({"_node_content": "{"}), "not valid JSON"),
        (json!({"_node_content": "[]"}), r#""_node_content" must be an object"#),
        (json!({"_node_content": "{\"id_\": \"n\", \"text\": 1}"}), r#""n": the member "text""#),
        (json!({"node_info": "["}), "not valid JSON"),
        (json!({"node_info": 5}), r#""node_info" must be a JSON object"#),
        (json!({"relationships": "[]"}), r#""relationships" must be a JSON object"#),
        (json!({"relationships": "{\"9\": \"a\"}"}), r#"unknown relationship "9""#),
    ] {
        assert_refused(Node::from_vector_metadata(of(metadata.clone()), None), part, &metadata.to_string());
    }
}

proptest! {
    #[test]
    fn random_nodes_come_back(node in common::node()) {
        let metadata = node.to_vector_metadata(false).unwrap();
        let text = node.text_content().to_owned();
        let read = Node::from_vector_metadata(metadata.clone(), Some(text)).unwrap();
        prop_assert_eq!(&read.id, &node.id);
        prop_assert_eq!(&read.metadata, &node.metadata);
        prop_assert_eq!(&read.relationships, &node.relationships);
        prop_assert_eq!(read.text_content(), node.text_content());
        if node.content.as_text().is_some() {
            let mut node = node;
            node.embedding = None;
            prop_assert_eq!(&read, &node);
        }
    }

    #[test]
    fn damaged_metadata_never_panics(
        metadata in damaged(common::node().prop_map(|node| Value::Object(node.to_vector_metadata(false).unwrap()))),
        other in common::object(),
    ) {
        if let Value::Object(metadata) = metadata {
            let _ = Node::from_vector_metadata(metadata, None);
        }
        let _ = Node::from_vector_metadata(other, Some(String::new()));
    }
}
