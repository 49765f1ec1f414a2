//! Nodes as documents, in LlamaIndex's layout.
//!
//! `{_id, embedding: [double], text, metadata: {…, _node_content, _node_type, document_id, doc_id, ref_doc_id}}`.
//! `_node_content` holds the whole node but text and embedding, and is what is read back; the metadata beside it is
//! there to be filtered by. What Python's layout has no place for stands in a member `_nodestore`, which Python does
//! not look at:
//!
//! | member | when | what |
//! |---|---|---|
//! | `metadata` | user metadata has one of the five names | those entries |
//! | `type`, `text_resource` | the node is a `Document`, an `ImageDocument` or a `Node` | its `__type__`, and its text resource without the text: Python reads a `Document` back as a `TextNode` |
//! | `source` | the source document is called `None` | that id: Python writes `None` where there is none |
//!
//! Documents whose `_id` is no text are not ours to see.

use std::borrow::Cow;

use bson::raw::{RawArray, RawBsonRef, RawDocument, RawDocumentBuf};
use serde_json::{Map, Value};
use store_core::kit::check;
use store_core::kit::stored_json::stored_json;
use store_core::{Error, JsonObject, Node, RefDocId, Result};

use super::{EMBEDDING, TEXT};
use crate::codec::{self, DocumentWriter, MAX_DOCUMENT_BYTES, damaged, to_json};
use crate::filter::{RESERVED, member_name};
use crate::schema::EXTRA;

pub(super) const METADATA: &str = "metadata";
/// The path of the id of the source document.
pub(super) const REF_DOC_PATH: &str = "metadata.ref_doc_id";
/// What stands there when there is none.
pub(super) const NO_REF_DOC: &str = "None";
/// The path of the id of a source document that is really called so.
pub(super) const SOURCE_PATH: &str = "_nodestore.source";
/// In [`EXTRA`].
const HIDDEN: &str = "metadata";
const SOURCE: &str = "source";
const TEXT_RESOURCE: &str = "text_resource";

/// A node's document, ready to be written.
pub(super) fn to_document(node: &Node, embedding: Option<&[f32]>) -> Result<RawDocumentBuf> {
    let id = node.id.as_str();
    let encode = || {
        let source = node.ref_doc_id().map(RefDocId::into_string);
        if let Some(source) = &source {
            check::non_empty("id of the source document", source)?;
        }
        let metadata = metadata(node)?;
        let mut writer = DocumentWriter::with_capacity(about(node, embedding, &metadata));
        writer.text("_id", id)?;
        if let Some(embedding) = embedding {
            writer.vector(EMBEDDING, embedding)?;
        }
        writer.text(TEXT, node.text_content())?;
        writer.object(METADATA, &metadata)?;
        let extra = extra(node, source)?;
        if !extra.is_empty() {
            writer.object(EXTRA, &extra)?;
        }
        let document = writer.finish()?;
        check::within("node", id, document.as_bytes().len(), MAX_DOCUMENT_BYTES)?;
        Ok(document)
    };
    encode().map_err(|error: Error| error.with_key(id).with_failed([id]))
}

/// How many bytes the document will have, roughly and rather more: growing means copying.
fn about(node: &Node, embedding: Option<&[f32]>, metadata: &JsonObject) -> usize {
    let texts = metadata.values().filter_map(Value::as_str).map(str::len).sum::<usize>();
    node.text_content().len() + texts + 32 * metadata.len() + 13 * embedding.map_or(0, <[f32]>::len) + 256
}

/// The member `metadata`.
fn metadata(node: &Node) -> Result<JsonObject> {
    Ok(spelled(node.to_vector_metadata(false)?))
}

/// The user's metadata under names that LlamaIndex writes itself.
fn hidden(node: &Node) -> JsonObject {
    let entries = node.metadata.iter().filter(|(name, _)| RESERVED.contains(&name.as_str()));
    spelled(entries.map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn extra(node: &Node, source: Option<String>) -> Result<JsonObject> {
    let mut extra = Map::new();
    let hidden = hidden(node);
    if !hidden.is_empty() {
        extra.insert(HIDDEN.to_owned(), hidden.into());
    }
    if let Some(source) = source.filter(|source| source == NO_REF_DOC) {
        extra.insert(SOURCE.to_owned(), source.into());
    }
    for (name, value) in node.to_vector_extra()? {
        // Names are free only in maps of embeddings: a text keeps them all.
        let value = if name == TEXT_RESOURCE { value.to_string().into() } else { value };
        extra.insert(name, value);
    }
    Ok(extra)
}

/// The object with every name as the server can hold it.
fn spelled(object: JsonObject) -> JsonObject {
    fn is_plain(object: &JsonObject) -> bool {
        object
            .iter()
            .all(|(name, value)| matches!(member_name(name), Cow::Borrowed(_)) && is_plain_value(value))
    }
    fn is_plain_value(value: &Value) -> bool {
        match value {
            Value::Array(items) => items.iter().all(is_plain_value),
            Value::Object(object) => is_plain(object),
            _ => true,
        }
    }
    fn spell(value: Value) -> Value {
        match value {
            Value::Array(items) => items.into_iter().map(spell).collect(),
            Value::Object(object) => Value::Object(spelled(object)),
            other => other,
        }
    }
    if is_plain(&object) {
        return object;
    }
    object.into_iter().map(|(name, value)| (member_name(&name).into_owned(), spell(value))).collect()
}

/// What an update of the metadata sets: the member `metadata`, and the hidden entries if there are any.
pub(super) fn changed(node: &Node) -> Result<(RawDocumentBuf, Option<RawDocumentBuf>)> {
    let encode = |object: &JsonObject| {
        let mut writer = DocumentWriter::new();
        writer.members(object)?;
        writer.finish()
    };
    let hidden = hidden(node);
    let hidden = (!hidden.is_empty()).then(|| encode(&hidden)).transpose()?;
    Ok((encode(&metadata(node)?)?, hidden))
}

/// The `_id`, where it is text.
pub(super) fn id(document: &RawDocument) -> Option<&str> {
    document.get("_id").ok().flatten().and_then(bson::RawBsonRef::as_str)
}

/// Reads a node; `None` for a document that is not ours. The embedding is read if it is there.
pub(crate) fn to_node(document: &RawDocument) -> Result<Option<Node>> {
    let Some(id) = id(document) else { return Ok(None) };
    let read = || {
        let (mut text, mut metadata, mut extra, mut embedding) = (None, None, None, None);
        for member in document {
            let (name, value) = member.map_err(damaged)?;
            match (name.as_str(), value) {
                (TEXT, RawBsonRef::String(value)) => text = Some(value.to_owned()),
                (METADATA, RawBsonRef::Document(value)) => metadata = Some(to_json(value)?),
                (EXTRA, RawBsonRef::Document(value)) => extra = Some(to_json(value)?),
                (EMBEDDING, RawBsonRef::Array(values)) => {
                    embedding = Some(floats(values).collect::<Result<Vec<f64>>>()?);
                }
                _ => {}
            }
        }
        let mut extra = extra.unwrap_or_default();
        if let Some(Value::String(json)) = extra.get(TEXT_RESOURCE) {
            let resource = stored_json("its text resource", json.as_bytes())?;
            extra.insert(TEXT_RESOURCE.to_owned(), resource);
        }
        let mut node = Node::from_vector_parts(metadata.unwrap_or_default(), extra, text)?;
        node.id = id.into();
        node.embedding = embedding;
        Ok(node)
    };
    read().map(Some).map_err(|error: Error| {
        let message = format!("a stored node can not be read: {}", error.message());
        Error::corrupt(message).with_source(error).with_key(id)
    })
}

fn floats(values: &RawArray) -> impl Iterator<Item = Result<f64>> {
    values.into_iter().map(|value| match value.map_err(damaged)? {
        RawBsonRef::Double(value) => Ok(value),
        other => codec::to_value(other)?
            .as_f64()
            .ok_or_else(|| Error::corrupt("its embedding holds something that is no number")),
    })
}

/// The embedding of a document as single-precision numbers; `None` without one.
#[expect(
    clippy::cast_possible_truncation,
    reason = "embeddings are kept as f32, which these numbers came from"
)]
pub(super) fn embedding(document: &RawDocument) -> Result<Option<Vec<f32>>> {
    match document.get(EMBEDDING).map_err(damaged)? {
        Some(RawBsonRef::Array(values)) => {
            floats(values).map(|value| Ok(value? as f32)).collect::<Result<_>>().map(Some)
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
