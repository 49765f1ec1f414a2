//! Content hashes: the worked examples of the format, and their edges.

use serde_json::json;
use store_core::{MediaResource, Node};

fn sha256_of(text: &str) -> String {
    // A text node without metadata hashes its text and `{}`: enough to check the digits of a known input.
    Node::text(text).hash()
}

#[test]
fn a_text_node_hashes_text_and_metadata() {
    assert_eq!(sha256_of("hello"), "7debe8d278fe6c55c45f979269ab268102d75f8d48644d244cd0050dae0846ac");
    let node = with_metadata(Node::text("Zażółć 🚀"));
    assert_eq!(node.hash(), "383dbda9ca848d4c01881f87d9aa619f4dd62c614ec20da7de3232149cdbede5");
    let mut index = Node::index("Zażółć 🚀", "elsewhere");
    index.metadata = node.metadata;
    assert_eq!(index.hash(), "383dbda9ca848d4c01881f87d9aa619f4dd62c614ec20da7de3232149cdbede5");
}

#[test]
fn a_document_hashes_metadata_text_and_resources() {
    let resource = MediaResource::from_text("Zażółć 🚀");
    assert_eq!(resource.hash(), "f9857a5b37071ab33fbcbb680e7e839b7b6710f79d70abe04f37464628803c49");
    let document = with_metadata(Node::document("Zażółć 🚀"));
    assert_eq!(document.hash(), "94e0272269adf187273ebbd783c0c85ca8f47e9f509f9281a4ec557aaad35d14");
    let plain = Node::document("hello");
    assert_eq!(plain.hash(), "d7914fe546b684688bb95f4f888a92dfc680603a75f23eb823658031fff766d9");
}

#[test]
fn a_template_python_can_not_fill_hashes_as_the_default_one() {
    let mut document = with_metadata(Node::document("Zażółć 🚀"));
    document.metadata_template = "{nope}".to_owned();
    assert_eq!(document.hash(), with_metadata(Node::document("Zażółć 🚀")).hash());
}

fn with_metadata(node: Node) -> Node {
    node.with_metadata("s", "it's")
        .with_metadata("n", 2.0)
        .with_metadata("ok", true)
        .with_metadata("z", json!(null))
}
