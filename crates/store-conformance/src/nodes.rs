//! Nodes and messages of every shape.

use serde_json::{Value, json};
use store_core::{ChatMessage, Node, NodeId, RefDocId};

use crate::check::CaseResult;
use crate::data::{object, odd_numbers, odd_object};

/// A node from its JSON.
pub(crate) fn node(json: Value) -> CaseResult<Node> {
    Ok(Node::from_json(object(json))?)
}

/// A message from its JSON.
pub(crate) fn message(json: Value) -> CaseResult<ChatMessage> {
    Ok(ChatMessage::from_json(object(json))?)
}

/// A small text node, told from others by its number.
pub(crate) fn plain(id: &str, number: usize) -> Node {
    Node::text(format!("text {number}")).with_id(id).with_metadata("n", number)
}

/// A small text node of a source document.
pub(crate) fn child(id: &str, source: &str) -> Node {
    Node::text(format!("text of {id}")).with_id(id).with_source(source)
}

pub(crate) fn ids(ids: &[&str]) -> Vec<NodeId> {
    ids.iter().map(|id| NodeId::from(*id)).collect()
}

pub(crate) fn ref_doc(id: &str) -> RefDocId {
    RefDocId::from(id)
}

/// The ids of nodes, in their order.
pub(crate) fn ids_of(nodes: &[Node]) -> Vec<String> {
    nodes.iter().map(|node| node.id.as_str().to_owned()).collect()
}

fn related(id: &str) -> Value {
    json!({
        "node_id": id, "node_type": "4", "metadata": {"z": 1.0, "a": [1]}, "hash": "h", "class_name": "RelatedNodeInfo",
    })
}

fn media(text: Option<&str>) -> Value {
    json!({"embeddings": null, "text": text, "path": null, "url": null, "mimetype": null})
}

fn head(id: &str) -> Value {
    json!({
        "id_": id,
        "embedding": null,
        "metadata": odd_object(),
        "excluded_embed_metadata_keys": ["z", "a", "é"],
        "excluded_llm_metadata_keys": [""],
        "relationships": {
            "1": related("doc-1"), "2": related("before"), "3": related("after"), "4": related("above"),
            "5": [related("below 1"), related("below 2")],
        },
        "metadata_template": "{key}=>{value}",
        "metadata_separator": " | ",
    })
}

fn with(mut data: Value, more: Value) -> Value {
    if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
        data.extend(more);
    }
    data
}

fn text_part(text: &str) -> Value {
    json!({
        "text": text, "mimetype": "text/markdown", "start_char_idx": 0, "end_char_idx": 4,
        "text_template": "{metadata_str}\n--\n{content}",
    })
}

/// One node of each class, in today's JSON, every member in use.
pub(crate) fn every_class() -> Vec<Value> {
    let text = "Café \u{0}\u{1f} 😀\n\"quoted\" \\ \u{2028}";
    let wrap = |kind: &str, data: Value| json!({"__data__": data, "__type__": kind});
    vec![
        wrap("1", with(with(head("text"), text_part(text)), json!({"class_name": "TextNode"}))),
        wrap(
            "2",
            with(
                with(head("image"), text_part(text)),
                json!({
                    "image": "aGVsbG8=", "image_path": "a/b.png", "image_url": "https://example.org/b.png",
                    "image_mimetype": "image/png", "text_embedding": [0.5, -0.0, 1e-7], "class_name": "ImageNode",
                }),
            ),
        ),
        wrap(
            "3",
            with(
                with(head("index"), text_part("")),
                json!({"index_id": "the index", "obj": null, "class_name": "IndexNode"}),
            ),
        ),
        wrap(
            "5",
            with(
                head("media"),
                json!({
                    "text_resource": media(Some(text)),
                    "image_resource": {
                        "embeddings": {"dense": [1.0, 2.0]}, "text": null, "path": "a/b.png", "url": null,
                        "mimetype": "image/png",
                    },
                    "audio_resource": null,
                    "video_resource": {
                        "embeddings": null, "text": null, "path": null, "url": "https://example.org/v.mp4",
                        "mimetype": "video/mp4",
                    },
                    "text_template": "{metadata_str}\n\n{content}",
                    "class_name": "Node",
                }),
            ),
        ),
        wrap(
            "4",
            with(
                with(head("document"), media_part(Some(text))),
                json!({"class_name": "Document", "text": text}),
            ),
        ),
        wrap(
            "4",
            with(
                with(head("empty document"), media_part(None)),
                json!({"class_name": "Document", "text": ""}),
            ),
        ),
        wrap(
            "4",
            with(
                with(head("image document"), media_part(Some(text))),
                json!({"class_name": "ImageDocument", "text": text}),
            ),
        ),
    ]
}

fn media_part(text: Option<&str>) -> Value {
    json!({
        "text_resource": text.map(|text| media(Some(text))), "image_resource": null, "audio_resource": null,
        "video_resource": null, "text_template": "{metadata_str}\n\n{content}",
    })
}

/// Forms that older releases wrote, each with the id, class and text it is to be read as.
pub(crate) fn older_forms() -> Vec<(Value, [&'static str; 3])> {
    vec![
        // Before 0.6.38.
        (
            json!({
                "__data__": {
                    "text": "oldest", "doc_id": "o-1", "embedding": null, "doc_hash": "x", "extra_info": {"b": 1, "a": 2.0},
                    "node_info": {"start": 0, "end": 6}, "relationships": {"1": "doc-1"},
                },
                "__type__": "1",
            }),
            ["o-1", "TextNode", "oldest"],
        ),
        // 0.8: no class name, the separator's name misspelled.
        (
            json!({
                "__data__": {
                    "id_": "o-2", "embedding": null, "metadata": {"b": 1, "a": 2.0},
                    "excluded_embed_metadata_keys": [], "excluded_llm_metadata_keys": [],
                    "relationships": {"1": {"node_id": "doc-1", "node_type": "4", "metadata": {}, "hash": "h"}},
                    "hash": "x", "text": "eight", "start_char_idx": 0, "end_char_idx": 5,
                    "text_template": "{metadata_str}\n\n{content}", "metadata_template": "{key}: {value}",
                    "metadata_seperator": "\n",
                },
                "__type__": "1",
            }),
            ["o-2", "TextNode", "eight"],
        ),
        // 0.8 again: a document, which today's Python can not read.
        (
            json!({
                "__data__": {
                    "id_": "o-3", "embedding": null, "metadata": {}, "excluded_embed_metadata_keys": [],
                    "excluded_llm_metadata_keys": [], "relationships": {}, "hash": "x", "text": "eight too",
                    "start_char_idx": null, "end_char_idx": null, "text_template": "{metadata_str}\n\n{content}",
                    "metadata_template": "{key}: {value}", "metadata_seperator": "\n",
                },
                "__type__": "4",
            }),
            ["o-3", "Document", "eight too"],
        ),
        // 0.9 to 0.11: a document with a text node's members.
        (
            json!({
                "__data__": {
                    "id_": "o-4", "embedding": null, "metadata": {"k": "v"}, "excluded_embed_metadata_keys": [],
                    "excluded_llm_metadata_keys": [], "relationships": {}, "text": "ten", "mimetype": "text/plain",
                    "start_char_idx": null, "end_char_idx": null, "text_template": "{metadata_str}\n\n{content}",
                    "metadata_template": "{key}: {value}", "metadata_seperator": "\n", "class_name": "Document",
                },
                "__type__": "4",
            }),
            ["o-4", "Document", "ten"],
        ),
        // 0.12 and 0.13: both spellings.
        (
            json!({
                "__data__": {
                    "id_": "o-5", "embedding": null, "metadata": {"k": 1.0}, "excluded_embed_metadata_keys": [],
                    "excluded_llm_metadata_keys": [], "relationships": {}, "metadata_template": "{key}: {value}",
                    "metadata_separator": "\n", "text": "twelve", "mimetype": "text/plain", "start_char_idx": null,
                    "end_char_idx": null, "metadata_seperator": "\n",
                    "text_template": "{metadata_str}\n\n{content}", "class_name": "TextNode",
                },
                "__type__": "1",
            }),
            ["o-5", "TextNode", "twelve"],
        ),
    ]
}

/// Messages of every role and block.
pub(crate) fn every_message() -> Vec<Value> {
    let blocks = json!([
        {"block_type": "text", "text": "Grüße \u{0} 😀 \"x\" \\ \n"},
        {"block_type": "text", "text": ""},
        {"block_type": "image", "image": "aGVsbG8=", "path": null, "url": null, "image_mimetype": "image/png", "detail": null},
        {"block_type": "audio", "audio": null, "path": null, "url": "https://example.org/a.mp3", "format": "mp3"},
        {"block_type": "thinking", "content": "hm", "num_tokens": 3, "additional_information": {"z": 1, "a": 1.0}},
        {"block_type": "tool_call", "tool_call_id": "c-1", "tool_name": "f", "tool_kwargs": {"z": 1.0, "a": [1, null]}},
    ]);
    let roles = ["system", "developer", "user", "assistant", "function", "tool", "chatbot", "model"];
    let mut messages: Vec<Value> = roles
        .iter()
        .map(|role| json!({"role": role, "additional_kwargs": {"z": 1, "a": {"y": 1.0}}, "blocks": blocks}))
        .collect();
    messages.push(json!({"role": "user", "additional_kwargs": {}, "blocks": []}));
    messages.push(json!({"role": "tool", "additional_kwargs": odd_object(), "blocks": []}));
    messages.push(json!({"role": "user", "additional_kwargs": {"numbers": odd_numbers()}, "blocks": []}));
    messages
}
