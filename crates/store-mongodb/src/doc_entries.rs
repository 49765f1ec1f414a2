//! What the three collections of documents hold, read straight from the stored bytes.
//!
//! Only what most entries are is read here: text nodes of today's form, hashes, lists of nodes. Of anything else (older
//! forms, other classes, values in files, members of another type) these answer `None`: core reads it as JSON, knows
//! all the forms, and has the words for what is wrong.

use bson::raw::{RawArray, RawBsonRef, RawDocument};
use store_core::{
    JsonObject, Node, NodeContent, NodeId, RefDocId, RefDocInfo, Related, RelatedNode, Relationship,
    Relationships, TextContent,
};

use crate::codec::to_json;

/// What `__type__` says of a text node.
const TEXT_NODE: &str = "1";

/// A text node.
pub(crate) fn node(stored: &RawDocument) -> Option<Node> {
    let (mut data, mut kind) = (None, None);
    for member in stored {
        match member.ok() {
            Some((name, RawBsonRef::Document(members))) if name == "__data__" => data = Some(members),
            Some((name, RawBsonRef::String(text))) if name == "__type__" => kind = Some(text),
            Some((name, _)) if name == "_id" => {}
            _ => return None,
        }
    }
    if kind == Some(TEXT_NODE) { text_node(data?) } else { None }
}

fn text_node(data: &RawDocument) -> Option<Node> {
    let [mut id, mut metadata_template, mut metadata_separator, mut text_template] = [const { None }; 4];
    let [mut text, mut mimetype] = [const { None }; 2];
    let [mut start_char_idx, mut end_char_idx] = [None; 2];
    let [mut excluded_embed_metadata_keys, mut excluded_llm_metadata_keys] = [const { Vec::new() }; 2];
    let (mut embedding, mut metadata, mut relationships) = (None, None, Relationships::new());
    for member in data {
        let (name, value) = member.ok()?;
        match (name.as_str(), value) {
            ("id_", RawBsonRef::String(value)) => id = Some(value),
            ("embedding" | "start_char_idx" | "end_char_idx", RawBsonRef::Null)
            | ("class_name", RawBsonRef::String(_)) => {}
            ("embedding", RawBsonRef::Array(values)) => embedding = Some(numbers(values)?),
            ("metadata", RawBsonRef::Document(members)) => metadata = Some(json(members)?),
            ("excluded_embed_metadata_keys", RawBsonRef::Array(keys)) => {
                excluded_embed_metadata_keys = texts(keys)?;
            }
            ("excluded_llm_metadata_keys", RawBsonRef::Array(keys)) => {
                excluded_llm_metadata_keys = texts(keys)?;
            }
            ("relationships", RawBsonRef::Document(links)) => relationships = links_of(links)?,
            ("metadata_template", RawBsonRef::String(value)) => metadata_template = Some(value),
            ("metadata_separator", RawBsonRef::String(value)) => metadata_separator = Some(value),
            ("text_template", RawBsonRef::String(value)) => text_template = Some(value),
            ("text", RawBsonRef::String(value)) => text = Some(value),
            ("mimetype", RawBsonRef::String(value)) => mimetype = Some(value),
            ("start_char_idx", value) => start_char_idx = Some(integer(value)?),
            ("end_char_idx", value) => end_char_idx = Some(integer(value)?),
            _ => return None,
        }
    }
    Some(Node {
        id: NodeId::from(id?),
        embedding,
        metadata: metadata?,
        excluded_embed_metadata_keys,
        excluded_llm_metadata_keys,
        relationships,
        metadata_template: metadata_template?.to_owned(),
        metadata_separator: metadata_separator?.to_owned(),
        text_template: text_template?.to_owned(),
        content: NodeContent::Text(TextContent {
            text: text?.to_owned(),
            mimetype: mimetype?.to_owned(),
            start_char_idx,
            end_char_idx,
        }),
    })
}

fn links_of(links: &RawDocument) -> Option<Relationships> {
    let mut relationships = Relationships::new();
    for link in links {
        let (key, value) = link.ok()?;
        let related = match value {
            RawBsonRef::Document(link) => Related::One(related_node(link)?),
            RawBsonRef::Array(links) => Related::Many(
                links
                    .into_iter()
                    .map(|link| related_node(link.ok()?.as_document()?))
                    .collect::<Option<_>>()?,
            ),
            _ => return None,
        };
        relationships.set(Relationship::from_key(key.as_str())?, related);
    }
    Some(relationships)
}

fn related_node(link: &RawDocument) -> Option<RelatedNode> {
    let (mut id, mut node_type, mut metadata, mut hash) = (None, None, JsonObject::new(), None);
    for member in link {
        let (name, value) = member.ok()?;
        match (name.as_str(), value) {
            ("node_id", RawBsonRef::String(value)) => id = Some(value),
            ("node_type", RawBsonRef::String(value)) => node_type = Some(value.to_owned()),
            ("metadata", RawBsonRef::Document(members)) => metadata = json(members)?,
            ("hash", RawBsonRef::String(value)) => hash = Some(value.to_owned()),
            ("node_type" | "hash", RawBsonRef::Null) | ("class_name", RawBsonRef::String(_)) => {}
            _ => return None,
        }
    }
    Some(RelatedNode { node_id: NodeId::from(id?), node_type, metadata, hash })
}

/// The hash of a node, by its id.
pub(crate) fn hash(stored: &RawDocument) -> Option<(NodeId, String)> {
    let (mut id, mut hash) = (None, None);
    for member in stored {
        match member.ok() {
            Some((name, RawBsonRef::String(value))) if name == "_id" => id = Some(value),
            Some((name, RawBsonRef::String(value))) if name == "doc_hash" => hash = Some(value),
            Some((name, RawBsonRef::String(_))) if name == "ref_doc_id" => {}
            _ => return None,
        }
    }
    Some((NodeId::from(id?), hash?.to_owned()))
}

/// A source document with its nodes.
pub(crate) fn ref_doc(stored: &RawDocument) -> Option<(RefDocId, RefDocInfo)> {
    let (mut id, mut nodes, mut metadata) = (None, None, JsonObject::new());
    for member in stored {
        match member.ok() {
            Some((name, RawBsonRef::String(value))) if name == "_id" => id = Some(value),
            Some((name, RawBsonRef::Array(ids))) if name == "node_ids" => nodes = Some(ids),
            Some((name, RawBsonRef::Document(members))) if name == "metadata" => metadata = json(members)?,
            _ => return None,
        }
    }
    let nodes = texts(nodes?)?.into_iter().map(NodeId::from).collect();
    Some((RefDocId::from(id?), RefDocInfo::new(nodes, metadata)))
}

fn json(members: &RawDocument) -> Option<JsonObject> {
    to_json(members).ok()
}

fn texts(items: &RawArray) -> Option<Vec<String>> {
    items.into_iter().map(|item| Some(item.ok()?.as_str()?.to_owned())).collect()
}

fn integer(value: RawBsonRef<'_>) -> Option<i64> {
    value.as_i64().or_else(|| value.as_i32().map(i64::from))
}

/// Numbers that JSON has, too.
fn numbers(items: &RawArray) -> Option<Vec<f64>> {
    items.into_iter().map(|item| item.ok()?.as_f64().filter(|number| number.is_finite())).collect()
}

#[cfg(test)]
mod tests {
    use bson::raw::RawDocumentBuf;
    use serde_json::{Value, json};
    use store_core::Error;

    use super::*;
    use crate::kv_layout::encode;

    fn stored(value: &Value) -> RawDocumentBuf {
        encode("key", value.as_object().unwrap(), None, 0).unwrap()
    }

    fn full() -> Node {
        let link = |id: &str| RelatedNode {
            node_type: Some("1".to_owned()),
            metadata: JsonObject::from_iter([("k".to_owned(), json!([1, {"deep": null}]))]),
            hash: Some("h".to_owned()),
            ..RelatedNode::new(id)
        };
        let mut node = Node::text("Grüße 🚀")
            .with_id("n")
            .with_embedding([0.5, -1.25])
            .with_metadata("page", 3)
            .with_metadata("big", i64::MAX)
            .with_metadata("tags", json!(["a", 1.5, true, {"x": 0.0}]))
            .with_source("doc")
            .with_relationship(Relationship::Next, Related::One(link("next")))
            .with_relationship(Relationship::Child, Related::Many(vec![link("a"), RelatedNode::new("b")]));
        node.excluded_embed_metadata_keys = vec!["page".to_owned()];
        node.excluded_llm_metadata_keys = vec!["tags".to_owned(), "big".to_owned()];
        node.metadata_template = "{key}={value}".to_owned();
        node.metadata_separator = "; ".to_owned();
        node.text_template = "{content}".to_owned();
        if let NodeContent::Text(content) = &mut node.content {
            content.mimetype = "text/html".to_owned();
            (content.start_char_idx, content.end_char_idx) = (Some(7), Some(1 << 40));
        }
        node
    }

    #[test]
    fn text_nodes_are_read_as_core_reads_them() {
        for expected in [full(), Node::text("").with_id("plain")] {
            let found = node(&stored(&Value::Object(expected.to_json())));
            assert_eq!(found, Some(expected));
        }
    }

    /// Whatever is read without core is what core reads, also with a member changed.
    #[test]
    fn changed_members_are_left_to_core_or_read_alike() {
        let whole = full().to_json();
        let others = [
            json!(null),
            json!(1),
            json!(4.0),
            json!(4.5),
            json!("text"),
            json!([]),
            json!([null]),
            json!([1]),
            json!({}),
            json!({"1": "id"}),
            json!({"9": {"node_id": "x"}}),
            json!({"3": [{"node_id": "x", "metadata": null}]}),
            json!({"3": {"node_id": "x", "new": 1}}),
        ];
        let names: Vec<String> = whole["__data__"].as_object().unwrap().keys().cloned().collect();
        let mut read = 0;
        for name in
            names.iter().map(String::as_str).chain(["extra_info", "metadata_seperator", "text_resource"])
        {
            for other in others.iter().map(Some).chain([None]) {
                let mut changed = Value::Object(whole.clone());
                let data = changed["__data__"].as_object_mut().unwrap();
                match other {
                    Some(other) => data.insert(name.to_owned(), other.clone()),
                    None => data.shift_remove(name),
                };
                if let Some(found) = node(&stored(&changed)) {
                    let expected: Result<Node, Error> = Node::from_json(changed.as_object().unwrap().clone());
                    assert_eq!(found, expected.unwrap(), "{name} is {other:?}");
                    read += 1;
                }
            }
        }
        assert!(read > 20, "{read}");
    }

    #[test]
    fn other_entries_are_left_to_core() {
        let text = Value::Object(full().to_json());
        for (name, value) in
            [("__type__", json!("4")), ("__type__", json!(1)), ("_nodestore", json!({})), ("x", json!(1))]
        {
            let mut other = text.clone();
            other[name] = value;
            assert_eq!(node(&stored(&other)), None, "{name}");
        }
        assert_eq!(node(&stored(&Value::Object(Node::document("x").to_json()))), None);
        for other in [json!({}), json!({"doc_hash": null}), json!({"doc_hash": "h", "x": 1})] {
            assert_eq!(hash(&stored(&other)), None);
        }
        for other in
            [json!({"doc_ids": ["a"]}), json!({"node_ids": [1]}), json!({"node_ids": [], "metadata": null})]
        {
            assert_eq!(ref_doc(&stored(&other)), None);
        }
    }

    #[test]
    fn hashes_and_lists_are_read() {
        let entry = stored(&json!({"doc_hash": "h", "ref_doc_id": "d"}));
        assert_eq!(hash(&entry), Some((NodeId::new("key"), "h".to_owned())));
        let entry = stored(&json!({"node_ids": ["a", "b"], "metadata": {"k": 1}}));
        let metadata = JsonObject::from_iter([("k".to_owned(), json!(1))]);
        let info = RefDocInfo::new(vec![NodeId::new("a"), NodeId::new("b")], metadata);
        assert_eq!(ref_doc(&entry), Some((RefDocId::new("key"), info)));
    }
}
