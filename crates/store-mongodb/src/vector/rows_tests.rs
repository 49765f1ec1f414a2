use serde_json::json;

use super::*;

fn stored(node: &Node) -> JsonObject {
    to_json(&to_document(node, None).unwrap()).unwrap()
}

#[test]
fn a_plain_text_node_has_nothing_of_ours() {
    let node = Node::text("quartz").with_id("n").with_metadata("page", 1).with_source("d");
    let names: Vec<String> = stored(&node).keys().cloned().collect();
    assert_eq!(names, ["_id", "text", "metadata"]);
    assert_eq!(to_node(&to_document(&node, None).unwrap()).unwrap(), Some(node));
}

#[test]
fn what_python_has_no_place_for_stands_apart() {
    let node = Node::document("quartz").with_id("n").with_metadata("doc_id", 7).with_source("None");
    let extra = stored(&node).shift_remove(EXTRA).unwrap();
    assert_eq!(extra["metadata"], json!({"doc_id": 7}));
    assert_eq!(extra["source"], "None");
    assert_eq!(extra["type"], "4");
    assert!(!extra["text_resource"].as_str().unwrap().contains("quartz"));
    assert_eq!(to_node(&to_document(&node, None).unwrap()).unwrap(), Some(node));
}

#[test]
fn names_with_nul_are_spelled_beside_the_content() {
    let node = Node::text("").with_id("n").with_metadata("a", json!([{"b\0": 1}])).with_metadata("c\0", 1);
    let metadata = stored(&node).shift_remove(METADATA).unwrap();
    assert_eq!(metadata["a"], json!([{"b\u{FDD0}0": 1}]));
    assert_eq!(to_node(&to_document(&node, None).unwrap()).unwrap(), Some(node));
}

#[test]
fn documents_of_others_are_passed_over_and_broken_ones_named() {
    let foreign = RawDocumentBuf::try_from(&bson::doc! {"_id": bson::oid::ObjectId::new()}).unwrap();
    assert_eq!(to_node(&foreign).unwrap(), None);
    let broken = bson::doc! {"_id": "n", "text": "", "metadata": {"_node_content": "{"}};
    let error = to_node(&RawDocumentBuf::try_from(&broken).unwrap()).unwrap_err();
    assert_eq!(error.kind(), store_core::ErrorKind::Corrupt);
    assert_eq!(error.key(), Some("n"));
}
