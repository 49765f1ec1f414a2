//! Nodes as hashes, in LlamaIndex's layout.
//!
//! The key is `<prefix>llama_index/vector_<id>`; the fields are `id`, `doc_id`, `text`, `vector` (`f32`, little
//! endian), the metadata whose values are texts or numbers, and the five of LlamaIndex's own (`_node_content`, …).
//! `_node_content` holds the whole node but text and embedding, and is what is read back: the metadata beside it is
//! there for Python's filters. Where a field is declared to hold numbers, nothing else stands beside: an index that has
//! it as a number leaves a row with anything else out. In Python, metadata called `text`, `id` or `vector` overwrites the field of that name,
//! and bools, nulls, lists and objects can not be written at all; here they stand in `_node_content` alone.
//!
//! Fields of ours, which Python does not look at:
//!
//! | field | when | what |
//! |---|---|---|
//! | `_nodestore_terms` | unless the metadata has too many values | what filters look for, see [`terms`](super::terms) |
//! | `_nodestore_n_…`, `_nodestore_s_…`, `_nodestore_f_…` | a declared field holds a number, an instant | that, to be compared by order |
//! | `_nodestore_words` | the search module would part the text in another way | its words, parted by spaces |
//! | `_nodestore_extra` | the node is a `Document`, an `ImageDocument` or a `Node` | its class and text resource, as JSON: Python reads a `TextNode` |
//!
//! A key can not hold NUL for the search module, so in ids it is spelled by a code point that is no character.

use std::borrow::Cow;

use bytes::Bytes;
use fred::types::Value;
use serde_json::Value as Json;
use store_core::kit::stored_json::stored_json;
use store_core::kit::{check, tokens};
use store_core::{Error, JsonObject, Node, RefDocId, Result, VectorConfig, python};

use super::terms;
use crate::driver::{bytes, text};

/// The fields of LlamaIndex's schema.
pub(crate) const ID: &str = "id";
pub(crate) const DOC_ID: &str = "doc_id";
pub(crate) const TEXT: &str = "text";
pub(crate) const VECTOR: &str = "vector";
/// The field that holds the node itself.
pub(crate) const CONTENT: &str = "_node_content";
pub(crate) const CLASS: &str = "_node_type";
/// Fields of ours.
pub(crate) const EXTRA: &str = "_nodestore_extra";
pub(crate) const WORDS: &str = "_nodestore_words";
/// What the names of fields of ours begin with.
const OURS: &str = "_nodestore";
/// The fields that the module's schema of LlamaIndex names; metadata of these names is not written beside.
const TAKEN: [&str; 4] = [ID, DOC_ID, TEXT, VECTOR];
/// LlamaIndex's own that are no fields of its schema.
const OWN: [&str; 4] = [CONTENT, CLASS, "document_id", "ref_doc_id"];
/// Bytes of one node: a server takes 512 MB in one value by default.
const MAX_BYTES: usize = 512 << 20;
/// Begins what stands for NUL in a key.
const ESCAPE: char = '\u{FDD0}';

/// What is read of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keep {
    pub(crate) embedding: bool,
}

impl Keep {
    pub(crate) const NODE: Self = Self { embedding: false };

    /// The fields to read, in the order that [`to_node`] wants.
    pub(crate) fn fields(self) -> &'static [&'static str] {
        const ALL: [&str; 5] = [CONTENT, CLASS, TEXT, EXTRA, VECTOR];
        if self.embedding { &ALL } else { ALL.split_last().map_or(&[], |(_, rest)| rest) }
    }
}

/// The id as it stands in a key.
pub(crate) fn spelled(id: &str) -> Cow<'_, str> {
    if !id.contains(['\0', ESCAPE]) {
        return id.into();
    }
    id.replace(ESCAPE, "\u{FDD0}1").replace('\0', "\u{FDD0}0").into()
}

/// The id that [`spelled`] spelled.
pub(crate) fn spelled_back(id: &str) -> String {
    id.replace("\u{FDD0}0", "\0").replace("\u{FDD0}1", "\u{FDD0}")
}

/// A node's fields and their values, one after the other.
pub(crate) fn to_fields(node: &Node, embedding: Option<&[f32]>, config: &VectorConfig) -> Result<Vec<Value>> {
    let id = node.id.as_str();
    let encode = || {
        let mut row = Row(Vec::with_capacity(64));
        let metadata = metadata_fields(node, config, &mut row)?;
        row.put_own(ID, id);
        row.put_own(TEXT, node.text_content());
        if let Some(embedding) = embedding {
            row.put_own(VECTOR, Bytes::from(to_bytes(embedding)));
        }
        let plain = words(node.text_content());
        if let Some(words) = plain {
            row.put_own(WORDS, words);
        }
        // Of LlamaIndex's own five, the last ones.
        row.0.extend(metadata);
        let size: usize = row.0.iter().map(|value| value.as_bytes().map_or(8, <[u8]>::len)).sum();
        check::within("node", id, size, MAX_BYTES)?;
        Ok(row.0)
    };
    encode().map_err(|error: Error| error.with_key(id).with_failed([id]))
}

/// What an update of the metadata sets; the fields of text and embedding stay.
pub(crate) fn changed(node: &Node, config: &VectorConfig) -> Result<Vec<Value>> {
    let mut row = Row(Vec::with_capacity(64));
    let own = metadata_fields(node, config, &mut row)?;
    row.put_own(ID, node.id.as_str());
    row.0.extend(own);
    Ok(row.0)
}

/// Whether metadata of this name stands in a field of its own, where Python's filters look for it.
pub(super) fn stands_beside(name: &str) -> bool {
    // The search module ends a name at NUL, and a dot parts a path.
    !name.is_empty()
        && !name.contains(['.', '\0'])
        && !name.starts_with(OURS)
        && !TAKEN.contains(&name)
        && !OWN.contains(&name)
}

struct Row(Vec<Value>);

impl Row {
    /// Puts a field whose name is known here, so that it is not copied.
    fn put_own(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.push(Value::from_static_str(name));
        self.0.push(value.into());
    }

    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.push(name.into());
        self.0.push(value.into());
    }
}

/// Puts the metadata and our shadows of it; answers LlamaIndex's own five, which stand last.
fn metadata_fields(node: &Node, config: &VectorConfig, row: &mut Row) -> Result<Vec<Value>> {
    let source = node.ref_doc_id().map(RefDocId::into_string);
    if let Some(source) = &source {
        check::non_empty("id of the source document", source)?;
    }
    let own = node.to_vector_own()?;
    for (name, value) in &node.metadata {
        let taken = TAKEN.contains(&name.as_str()) || own.iter().any(|(own, _)| own == name);
        if !taken && !name.starts_with(OURS) {
            let of_numbers = terms::holds_numbers(config, name);
            match value {
                Json::String(text) if !of_numbers => row.put(name, text.as_str()),
                Json::Number(_) if of_numbers && !terms::is_taken(value) => {}
                Json::Number(_) => row.put(name, python::repr(value)),
                _ => {}
            }
        }
    }
    if let Some(shadows) = terms::shadows(&node.metadata, source.as_deref(), config) {
        row.put_own(terms::FIELD, shadows.terms);
        for (field, value) in shadows.numbers {
            row.put(&field, value);
        }
    }
    let extra = node.to_vector_extra()?;
    if !extra.is_empty() {
        row.put_own(EXTRA, Json::Object(extra).to_string());
    }
    let mut last = Row(Vec::with_capacity(2 * own.len()));
    for (name, value) in own {
        last.put_own(name, value);
    }
    Ok(last.0)
}

/// The words of a text as the search module finds them, where it would not find them in the text itself: it parts
/// words at a space and at ASCII punctuation only, and lower-cases ASCII only (`RediSearch`, "Tokenization").
fn words(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_graphic() && c != '_' && c != '\\' || c == ' ' || c == '\t';
    if text.chars().all(plain) {
        return None;
    }
    let mut words = String::with_capacity(text.len());
    for token in tokens::tokens(text) {
        words.push_str(&token.text);
        words.push(' ');
    }
    Some(words)
}

/// An embedding as the module keeps it.
pub(crate) fn to_bytes(embedding: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(embedding.len() * 4);
    for value in embedding {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes
}

/// The embedding that [`to_bytes`] wrote; `None` for bytes that are none of so many dimensions.
pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Vec<f32>> {
    let (values, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| values.iter().map(|value| f32::from_le_bytes(*value)).collect())
}

/// Reads a node from the values of [`Keep::fields`]; `None` when no field is there, so that there is no row.
pub(crate) fn to_node(id: &str, values: Vec<Value>) -> Result<Option<Node>> {
    if values.iter().all(Value::is_null) {
        return Ok(None);
    }
    let read = || {
        let mut values = values.into_iter();
        let mut next = || values.next().unwrap_or(Value::Null);
        let mut metadata = JsonObject::new();
        for name in [CONTENT, CLASS] {
            if let Some(text) = text(&next()) {
                metadata.insert(name.to_owned(), text.into());
            }
        }
        let content = next();
        let content = text(&content).map(str::to_owned).unwrap_or_default();
        let extra = match text(&next()) {
            Some(extra) => stored_json(&format!("its field {EXTRA}"), extra.as_bytes())?,
            None => JsonObject::new(),
        };
        let mut node = Node::from_vector_parts(metadata, extra, Some(content))?;
        node.id = id.into();
        node.embedding = match bytes(next()) {
            Some(bytes) => {
                let values = from_bytes(&bytes);
                let values =
                    values.ok_or_else(|| Error::corrupt("its embedding is not made of f32 values"))?;
                Some(values.into_iter().map(f64::from).collect())
            }
            None => None,
        };
        Ok(node)
    };
    read().map(Some).map_err(|error: Error| {
        let message = format!("a stored node can not be read: {}", error.message());
        Error::corrupt(message).with_source(error).with_key(id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_spelled_and_back() {
        for id in ["a", "a\0b", "\u{FDD0}", "\u{FDD0}0", "\0\u{FDD0}1"] {
            assert!(!spelled(id).contains('\0'));
            assert_eq!(spelled_back(&spelled(id)), id);
        }
    }

    #[test]
    fn only_texts_that_the_module_parts_otherwise_have_words() {
        assert_eq!(words("it's plain, \"ASCII\" (text)-1.5"), None);
        assert_eq!(words("new\nline"), Some("new line ".to_owned()));
        assert_eq!(words("snake_case Ärger—so"), Some("snake case ärger so ".to_owned()));
    }

    #[test]
    fn embeddings_come_back() {
        let values = [1.0, -0.0, f32::MIN_POSITIVE, 1e30];
        assert_eq!(from_bytes(&to_bytes(&values)).unwrap(), values);
        assert_eq!(from_bytes(&[1, 2, 3]), None);
    }
}
