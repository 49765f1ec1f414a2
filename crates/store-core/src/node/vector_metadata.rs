//! Nodes as the metadata of a vector store, the form all of LlamaIndex's vector stores share.

use serde_json::Value;

use super::Node;
use super::read::{Class, plain_links};
use super::wire::{Form, NodeData};
use crate::json::{Members, wrong};
use crate::python::{dumps_utf8, parse_json};
use crate::{Error, JsonObject, Result};

/// What Python writes where a node has no source document.
const NO_REF_DOC: &str = "None";

impl Node {
    /// The node as the metadata of a vector store, without text and embedding, which the store keeps by themselves:
    /// the node's own metadata, then `_node_content` (the node's JSON as text), `_node_type` (its class) and
    /// `document_id`, `doc_id` and `ref_doc_id` (the id of its source document, or the text `None`). These five
    /// replace metadata of the same name, which `_node_content` still holds.
    ///
    /// `flat` is for stores that take only texts, numbers, bools and nulls.
    ///
    /// # Errors
    /// `InvalidInput` when `flat` is set and a metadata value is a list or an object.
    pub fn to_vector_metadata(&self, flat: bool) -> Result<JsonObject> {
        let nested = |value: &Value| matches!(value, Value::Array(_) | Value::Object(_));
        if flat && let Some((key, _)) = self.metadata.iter().find(|(_, value)| nested(value)) {
            return Err(Error::invalid_input(format!(
                "the metadata value of {key:?} is a list or an object, but this store takes only texts, numbers, \
                 bools and nulls; flatten it or leave it out"
            ))
            .with_key(self.id.as_str()));
        }
        let mut metadata = self.metadata.clone();
        for (name, value) in self.to_vector_own()? {
            metadata.insert(name.to_owned(), value.into());
        }
        Ok(metadata)
    }

    /// The five members that [`to_vector_metadata`](Self::to_vector_metadata) adds to the node's own metadata, by
    /// themselves: names and values, in that order.
    ///
    /// # Errors
    /// `InvalidInput` when the node can not be written as JSON.
    pub fn to_vector_own(&self) -> Result<[(&'static str, String); 5]> {
        let content = dumps_utf8(&NodeData { node: self, form: Form::WithoutText })?;
        let ref_doc_id = self.ref_doc_id().map(super::RefDocId::into_string).filter(|id| !id.is_empty());
        let ref_doc_id = ref_doc_id.unwrap_or_else(|| NO_REF_DOC.to_owned());
        Ok([
            ("_node_content", content),
            ("_node_type", self.class_name().to_owned()),
            ("document_id", ref_doc_id.clone()),
            ("doc_id", ref_doc_id.clone()),
            ("ref_doc_id", ref_doc_id),
        ])
    }

    /// Reads what [`to_vector_metadata`](Self::to_vector_metadata) or Python wrote; `text` becomes the node's text.
    ///
    /// As in Python a `Document` comes back as a `TextNode`. Metadata without `_node_content` is read as the oldest
    /// form, a `TextNode` with the texts `node_info` and `relationships` beside its own metadata: that form does not
    /// hold the node's id, so the caller sets it from the store's key.
    ///
    /// # Errors
    /// `InvalidInput` when `_node_content` is no JSON text of a node, or a member of the oldest form is broken.
    pub fn from_vector_metadata(mut metadata: JsonObject, text: Option<String>) -> Result<Self> {
        let mut node = match metadata.shift_remove("_node_content") {
            None | Some(Value::Null) => from_oldest(metadata)?,
            Some(Value::String(content)) => {
                let class = match metadata.get("_node_type").and_then(Value::as_str) {
                    Some("Node") => Class::Multimodal,
                    Some("IndexNode") => Class::Index,
                    Some("ImageNode") => Class::Image,
                    _ => Class::Text,
                };
                Self::read(class, Members::of(parse_json(&content)?, "_node_content")?)?
            }
            Some(other) => return Err(wrong("_node_content", "text", &other)),
        };
        if let Some(text) = text {
            node.set_text(text);
        }
        Ok(node)
    }
}

fn from_oldest(mut metadata: JsonObject) -> Result<Node> {
    let info = json_text(metadata.shift_remove("node_info"), "node_info")?;
    let links = plain_links(json_text(metadata.shift_remove("relationships"), "relationships")?);
    metadata.shift_remove("text");
    let parent = links.get("4").and_then(|link| link.get("node_id")).cloned();
    let ref_doc_id = metadata.shift_remove("ref_doc_id");
    let ref_doc_id = parent.or(ref_doc_id);
    // The ids a store added by itself go; one that says something else is the user's, and moves to the end.
    for name in ["id", "document_id", "doc_id"] {
        if let Some(id) = metadata.shift_remove(name)
            && !id.is_null()
            && Some(&id) != ref_doc_id.as_ref()
        {
            metadata.insert(name.to_owned(), id);
        }
    }
    let mut data = JsonObject::new();
    for (from, to) in [("start", "start_char_idx"), ("end", "end_char_idx")] {
        if let Some(index) = info.get(from) {
            data.insert(to.to_owned(), index.clone());
        }
    }
    data.insert("metadata".to_owned(), metadata.into());
    data.insert("relationships".to_owned(), links.into());
    Node::read(Class::Text, Members::new(data))
}

/// An object inside a JSON text; absent, null or empty is the empty object.
fn json_text(value: Option<Value>, name: &str) -> Result<JsonObject> {
    let value = match value {
        None | Some(Value::Null) => return Ok(JsonObject::new()),
        Some(Value::String(text)) if text.is_empty() => return Ok(JsonObject::new()),
        Some(Value::String(text)) => parse_json(&text)?,
        Some(value) => value,
    };
    match value {
        Value::Object(object) => Ok(object),
        other => Err(wrong(name, "a JSON object as text", &other)),
    }
}
