//! Nodes as older releases of LlamaIndex wrote them.

use serde::Deserialize;
use serde_json::Value;
use store_core::{JsonObject, Node};

use super::{assert_refused, object, text_of};

/// Each line holds a node as that release wrote it (0.6.0: by the rules of today's reader) and what
/// llama-index-core 0.14.25 writes after reading it. The documents of 0.8, where today's reader fails, were given
/// their class name; the images of URLs were not fetched.
const SAMPLES: &str = include_str!("legacy.jsonl");

#[derive(Deserialize)]
struct Sample {
    release: String,
    old: JsonObject,
    now: JsonObject,
}

#[test]
fn every_release_is_read_as_python_reads_it() {
    let mut count = 0;
    for line in SAMPLES.lines() {
        let sample: Sample = serde_json::from_str(line).unwrap();
        let node = Node::from_json(sample.old.clone()).unwrap();
        let what = format!("{}: {}", sample.release, text_of(sample.old));
        assert_eq!(text_of(node.to_json()), text_of(sample.now), "{what}");
        assert_eq!(Node::from_json(node.to_json()).unwrap(), node, "{what}");
        count += 1;
    }
    assert_eq!(count, 38);
}

#[test]
fn the_oldest_links_may_be_missing_or_lists() {
    let node = Node::from_json(object(
        r#"{"__type__":"1","__data__":{"doc_id":null,"text":"t","extra_info":{},
            "relationships":{"5":["a","b"],"2":null,"1":{"node_id":"d","hash":"h"}}}}"#,
    ))
    .unwrap();
    assert_eq!(node.id.as_str().len(), 36);
    let children: Vec<_> = node.relationships.children().iter().map(|child| child.node_id.as_str()).collect();
    assert_eq!(children, ["a", "b"]);
    assert_eq!(node.relationships.source().unwrap().hash.as_deref(), Some("h"));
    assert!(node.relationships.previous().is_none());
}

#[test]
fn the_oldest_form_knows_no_class_name() {
    let text = r#"{"__type__":"4","__data__":{"extra_info":{},"text":"t","class_name":"ImageDocument"}}"#;
    assert_eq!(Node::from_json(object(text)).unwrap().class_name(), "Document");
}

#[test]
fn the_oldest_form_has_no_multimodal_nodes_and_its_own_names() {
    for (text, part) in [
        (r#"{"__type__":"5","__data__":{"extra_info":{}}}"#, r#"unknown node type "5""#),
        (r#"{"__type__":"1","__data__":{"extra_info":[]}}"#, r#""metadata" must be an object"#),
        (r#"{"__type__":"1","__data__":{"extra_info":{},"doc_id":5}}"#, r#""id_" must be text"#),
        (r#"{"__type__":"3","__data__":{"extra_info":{}}}"#, r#""index_id" is missing"#),
        (r#"{"__type__":"1","__data__":{"extra_info":{},"relationships":[]}}"#, r#""relationships" must be"#),
        (r#"{"__type__":"1","__data__":{"extra_info":{},"relationships":{"x":"d"}}}"#, r#"relationship "x""#),
    ] {
        assert_refused(Node::from_json(object(text)), part, text);
    }
}

#[test]
fn of_both_separators_the_misspelt_one_wins() {
    let text = r#"{"__type__":"1","__data__":{"metadata_separator":"a","metadata_seperator":"b"}}"#;
    let node = Node::from_json(object(text)).unwrap();
    assert_eq!(node.metadata_separator, "b");
    assert_eq!(node.to_json()["__data__"].get("metadata_seperator"), None::<&Value>);
}
