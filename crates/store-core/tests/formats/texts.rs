//! Texts with metadata.

use serde_json::json;
use store_core::{MediaContent, MediaResource, MetadataMode, Node};

use super::assert_refused;

const MODES: [MetadataMode; 4] =
    [MetadataMode::All, MetadataMode::Embed, MetadataMode::Llm, MetadataMode::None];

fn contents(node: &Node) -> [String; 4] {
    MODES.map(|mode| node.content_with(mode).unwrap())
}

#[test]
fn each_mode_leaves_its_own_keys_out() {
    let mut node = Node::text(" body ").with_metadata("a", 1).with_metadata("b", json!(["x", null]));
    node.excluded_embed_metadata_keys.push("a".to_owned());
    node.excluded_llm_metadata_keys.extend(["b".to_owned(), "missing".to_owned()]);
    assert_eq!(
        contents(&node),
        ["a: 1\nb: ['x', None]\n\n body", "b: ['x', None]\n\n body", "a: 1\n\n body", " body "]
    );
    let shown = MODES.map(|mode| node.metadata_str(mode).unwrap());
    assert_eq!(shown, ["a: 1\nb: ['x', None]", "b: ['x', None]", "a: 1", ""]);
}

#[test]
fn templates_are_filled_once() {
    let mut node = Node::text("{metadata_str}").with_metadata("{value}", "{key}");
    node.metadata_template = "{{{key}}}={value}".to_owned();
    node.metadata_separator = "{content}".to_owned();
    node.text_template = "\u{1f}[{content}|{metadata_str}] ".to_owned();
    assert_eq!(node.content_with(MetadataMode::All).unwrap(), "[{metadata_str}|{{value}}={key}]");
}

#[test]
fn text_nodes_and_documents_differ_in_blank_metadata() {
    let blank = |mut node: Node| {
        node.metadata_template = " ".to_owned();
        node.text_template = "{metadata_str}|{content} ".to_owned();
        node.with_metadata("a", 1)
    };
    assert_eq!(contents(&blank(Node::text(" t "))), [" t "; 4]);
    assert_eq!(contents(&blank(Node::document(" t "))), ["| t", "| t", "| t", " t "]);
}

#[test]
fn a_node_without_text_has_no_content_at_all() {
    let node = Node::multimodal(MediaContent::default()).with_metadata("a", 1);
    assert_eq!(contents(&node), [""; 4]);
    let mut node =
        Node::multimodal(MediaContent { text: Some(MediaResource::default()), ..MediaContent::default() });
    assert_eq!(contents(&node), [""; 4]);
    node.set_text("now");
    assert_eq!((node.text_content(), contents(&node)), ("now", ["now"; 4].map(str::to_owned)));
}

#[test]
fn a_broken_template_is_refused_with_its_placeholder_and_node() {
    let mut node = Node::text("t").with_id("n7").with_metadata("a", 1);
    node.metadata_template = "{key}: {wert}".to_owned();
    assert_refused(node.metadata_str(MetadataMode::All), r#""n7": the template"#, "metadata");
    assert_refused(node.content_with(MetadataMode::Llm), "unknown placeholder {wert}", "content");
    assert_eq!(node.content_with(MetadataMode::None).unwrap(), "t");
    node.metadata_template = "{key}".to_owned();
    node.text_template = "{text}".to_owned();
    assert_refused(node.content_with(MetadataMode::All), "{metadata_str} and {content}", "text");
}
