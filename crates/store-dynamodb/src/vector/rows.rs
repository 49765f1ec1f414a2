//! Nodes as items.
//!
//! In a table of our own the key is `node/<partition>` and the node's id; the attributes are
//!
//! | attribute | type | what |
//! |---|---|---|
//! | `vector` | B, with a vector index L of N | the embedding, `f32` (little endian in B); absent without one |
//! | `text` | S | the text |
//! | `content` | S | LlamaIndex's `_node_content`: the whole node as JSON, without text and embedding |
//! | `class` | S | LlamaIndex's `_node_type` |
//! | `extra` | S | what these two lose of a node, if anything |
//! | `metadata` | M | what filters look at, see [`shadow`](super::shadow) |
//! | `odd` | BOOL | there is no such shadow |
//! | `doc_id` | S | the source document, if any: the sort key of the local index [`BY_DOC`] |
//! | `revision` | S | another with each write, to tell whether the node is still what was read |
//! | `tenant`, `by:<field>` | S, N | what the vector index parts and filters by, see [`inline`] |
//!
//! In LlamaIndex's layout the key is the partition and the id, the embedding is `value` (L of N), and the others
//! begin with `_nodestore_`. LlamaIndex has no place for a node without an embedding there, so such a node is refused.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;
use store_core::filter::lookup;
use store_core::kit::check;
use store_core::kit::stored_json::stored_json;
use store_core::{Error, FieldType, FilterableField, JsonObject, Node, RefDocId, Result, Scalar};

use super::set::Ready;
use super::shadow;
use crate::codec::{Item, MAX_ITEM_BYTES, check_size, item_size};
use crate::filter::{number, scalar};

/// The local index of the nodes of a source document.
pub(super) const BY_DOC: &str = "by_doc";
/// Its sort key.
pub(super) const DOC_ID: &str = "doc_id";
/// The attribute that parts the vector index.
pub(super) const TENANT: &str = "tenant";
/// Attributes of a row, as a rule.
const ATTRIBUTES: usize = 12;
/// Bytes of a sort key, and of a value that an index knows.
pub(super) const MAX_KEY: usize = 1024;

/// The names of a row's attributes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) vector: &'static str,
    pub(super) text: &'static str,
    pub(super) content: &'static str,
    pub(super) class: &'static str,
    pub(super) extra: &'static str,
    pub(super) shadow: &'static str,
    pub(super) odd: &'static str,
    pub(super) revision: &'static str,
}

/// In a table of our own.
pub(super) static OWN: Names = Names {
    vector: "vector",
    text: "text",
    content: "content",
    class: "class",
    extra: "extra",
    shadow: "metadata",
    odd: "odd",
    revision: "revision",
};

/// In LlamaIndex's layout.
pub(super) static LLAMAINDEX: Names = Names {
    vector: "value",
    text: "_nodestore_text",
    content: "_nodestore_content",
    class: "_nodestore_class",
    extra: "_nodestore_extra",
    shadow: "_nodestore_metadata",
    odd: "_nodestore_odd",
    revision: "_nodestore_revision",
};

/// How an embedding stands in its attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Bytes: `f32`, little endian.
    Bytes,
    /// A list of numbers, as a vector index and Python want it.
    Numbers,
}

/// What is read of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each part may be read or not")]
pub(super) struct Keep {
    /// The node, without text and embedding.
    pub(super) node: bool,
    pub(super) text: bool,
    pub(super) embedding: bool,
    /// Also the source document that LlamaIndex's layout keeps apart, of a node that Python wrote.
    pub(super) source: bool,
}

impl Keep {
    pub(super) const ID: Self = Self { node: false, text: false, embedding: false, source: false };
    /// The node as far as selectors look at it.
    pub(super) const METADATA: Self = Self { node: true, ..Self::ID };
    /// The node as far as updates look at it.
    pub(super) const UPDATE: Self = Self { source: true, ..Self::METADATA };

    /// Whole nodes.
    pub(super) fn node(embedding: bool) -> Self {
        Self { node: true, text: true, embedding, source: true }
    }

    /// The attributes to read, with the sort key's.
    pub(super) fn attributes(self, ready: &Ready) -> Vec<&str> {
        let names = ready.names;
        let mut attributes = vec![ready.keys.sort.as_str()];
        if self.node {
            attributes.extend([names.content, names.class, names.extra, names.revision]);
        }
        if self.text {
            attributes.push(names.text);
        }
        if self.embedding {
            attributes.push(names.vector);
        }
        attributes
    }
}

/// A row, as far as it was read.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: String,
    /// With its text and embedding, if these were read.
    pub(super) node: Option<Node>,
    pub(super) text: Option<String>,
    pub(super) embedding: Option<Vec<f32>>,
    pub(super) revision: Option<String>,
    /// Whether Python wrote it: it has an embedding and nothing else.
    pub(super) bare: bool,
}

/// A new revision.
pub(super) fn revision() -> String {
    format!("{:016x}", fastrand::u64(..))
}

/// A node's item with its key, within the service's limits, and its bytes.
pub(super) fn to_item(ready: &Ready, node: &Node, embedding: Option<&[f32]>) -> Result<(Item, usize)> {
    let id = node.id.as_str();
    let encode = || {
        check::within("id of the node", id, id.len(), MAX_KEY)?;
        let names = ready.names;
        let mut item = ready.key(id);
        item.reserve(ATTRIBUTES);
        match embedding {
            Some(embedding) => {
                item.insert(names.vector.to_owned(), to_attribute(embedding, ready.encoding));
            }
            None if *names == LLAMAINDEX => {
                return Err(Error::invalid_input(
                    "the node has no embedding, and LlamaIndex's layout has no place for such a one; give it one, \
                     or open the store without store.vector_layout=llamaindex",
                ));
            }
            None => {}
        }
        item.insert(names.text.to_owned(), AttributeValue::S(node.text_content().to_owned()));
        metadata(ready, node, &mut item)?;
        let mut bytes = item_size(&item);
        if bytes > MAX_ITEM_BYTES {
            // It may fit without.
            if item.remove(names.shadow).is_some() {
                item.insert(names.odd.to_owned(), AttributeValue::Bool(true));
            }
            bytes = check_size(id, &item)?;
        }
        Ok((item, bytes))
    };
    encode().map_err(|error: Error| error.with_key(id).with_failed([id]))
}

/// Adds the attributes of a node that its metadata decides.
pub(super) fn metadata(ready: &Ready, node: &Node, item: &mut Item) -> Result<()> {
    let names = ready.names;
    let [(_, content), (_, class), ..] = node.to_vector_own()?;
    item.insert(names.content.to_owned(), AttributeValue::S(content));
    item.insert(names.class.to_owned(), AttributeValue::S(class));
    let extra = node.to_vector_extra()?;
    if !extra.is_empty() {
        item.insert(names.extra.to_owned(), AttributeValue::S(Value::Object(extra).to_string()));
    }
    match shadow::of(&node.metadata) {
        Some(shadow) => item.insert(names.shadow.to_owned(), shadow),
        None => item.insert(names.odd.to_owned(), AttributeValue::Bool(true)),
    };
    if let Some(source) = node.ref_doc_id().map(RefDocId::into_string) {
        check::non_empty("id of the source document", &source)?;
        check::within("id of the source document", &source, source.len(), MAX_KEY)?;
        if ready.by_doc {
            item.insert(DOC_ID.to_owned(), AttributeValue::S(source));
        }
    }
    item.extend(inline(ready, &node.metadata)?);
    item.insert(names.revision.to_owned(), AttributeValue::S(revision()));
    Ok(())
}

/// The attributes that the vector index parts and filters by: those of the declared fields whose value is of the
/// declared type, and short enough.
fn inline(ready: &Ready, metadata: &JsonObject) -> Result<Item> {
    let mut item = Item::new();
    let Some(index) = &ready.index else { return Ok(item) };
    if let Some(tenant) = &index.tenant {
        let value = lookup(metadata, tenant).and_then(Value::as_str);
        let value = value.filter(|value| (1..=MAX_KEY).contains(&value.len())).ok_or_else(|| {
            Error::invalid_input(format!(
                "the node has no text of 1 to {MAX_KEY} bytes in the metadata field {tenant:?}, by which the vector \
                 index is parted, so that the index would never find it"
            ))
        })?;
        item.insert(TENANT.to_owned(), AttributeValue::S(value.to_owned()));
    }
    for field in &index.fields {
        if let Some(value) = lookup(metadata, &field.key).and_then(|value| stored(field, value)) {
            item.insert(inline_name(&field.key), value);
        }
    }
    Ok(item)
}

/// The attribute by which the vector index filters a field.
pub(super) fn inline_name(key: &str) -> String {
    format!("by:{key}")
}

/// The type of that attribute, by its letter.
pub(super) fn inline_type(field: &FilterableField) -> &'static str {
    match field.field_type {
        FieldType::Integer | FieldType::Float => "N",
        FieldType::Text | FieldType::Bool | FieldType::Timestamp => "S",
    }
}

fn stored(field: &FilterableField, value: &Value) -> Option<AttributeValue> {
    match (field.field_type, value) {
        (FieldType::Integer | FieldType::Float, Value::Number(value)) => number(value).map(AttributeValue::N),
        (FieldType::Text | FieldType::Timestamp, Value::String(text)) => short(text),
        (FieldType::Bool, Value::Bool(value)) => Some(AttributeValue::S(value.to_string())),
        _ => None,
    }
}

fn short(text: &str) -> Option<AttributeValue> {
    (1..=MAX_KEY).contains(&text.len()).then(|| AttributeValue::S(text.to_owned()))
}

/// What the attribute of a field is, if the field equals this scalar; `None` where it does not tell.
pub(super) fn asked(field: &FilterableField, value: &Scalar) -> Option<AttributeValue> {
    match (field.field_type, value) {
        (FieldType::Integer | FieldType::Float, Scalar::Integer(_) | Scalar::Float(_)) => scalar(value),
        (FieldType::Text | FieldType::Timestamp, Scalar::Text(text)) => short(text),
        (FieldType::Bool, Scalar::Bool(value)) => Some(AttributeValue::S(value.to_string())),
        _ => None,
    }
}

/// An embedding as an attribute.
pub(super) fn to_attribute(embedding: &[f32], encoding: Encoding) -> AttributeValue {
    match encoding {
        Encoding::Bytes => AttributeValue::B(Blob::new(to_bytes(embedding))),
        Encoding::Numbers => AttributeValue::L(to_numbers(embedding)),
    }
}

/// An embedding as numbers, each with the fewest digits that name it.
pub(super) fn to_numbers(embedding: &[f32]) -> Vec<AttributeValue> {
    let number = |value: &f32| match value.abs() {
        0.0 => "0".to_owned(),
        1e-5..1e15 => value.to_string(),
        _ => format!("{value:e}"),
    };
    embedding.iter().map(|value| AttributeValue::N(number(value))).collect()
}

fn to_bytes(embedding: &[f32]) -> Vec<u8> {
    embedding.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The embedding in an attribute of either encoding; `None` for what is none.
fn from_attribute(attribute: &AttributeValue) -> Option<Vec<f32>> {
    match attribute {
        AttributeValue::B(bytes) => {
            let (values, rest) = bytes.as_ref().as_chunks::<4>();
            rest.is_empty().then(|| values.iter().map(|value| f32::from_le_bytes(*value)).collect())
        }
        AttributeValue::L(numbers) => {
            let number = |value: &AttributeValue| value.as_n().ok()?.parse::<f32>().ok();
            numbers.iter().map(number).collect()
        }
        _ => None,
    }
}

/// Reads a row from an item, as far as it was asked for.
pub(super) fn from_item(ready: &Ready, mut item: Item, keep: Keep) -> Result<Row> {
    let names = ready.names;
    let mut text = |name: &str| match item.remove(name) {
        Some(AttributeValue::S(text)) => Some(text),
        _ => None,
    };
    let id = text(&ready.keys.sort).unwrap_or_default();
    let (content, class, extra) = (text(names.content), text(names.class), text(names.extra));
    let (body, revision) = (text(names.text), text(names.revision));
    let bare = keep.node && content.is_none();
    let read = || {
        let embedding = match item.get(names.vector).filter(|_| keep.embedding) {
            None => None,
            Some(value) => Some(
                from_attribute(value)
                    .ok_or_else(|| Error::corrupt("its embedding is not made of f32 values"))?,
            ),
        };
        let mut node = None;
        if keep.node {
            let mut parts = JsonObject::new();
            for (name, value) in [("_node_content", content), ("_node_type", class)] {
                if let Some(value) = value {
                    parts.insert(name.to_owned(), value.into());
                }
            }
            let extra = match extra {
                None => JsonObject::new(),
                Some(extra) => stored_json(&format!("its attribute {}", names.extra), extra.as_bytes())?,
            };
            let mut read = Node::from_vector_parts(parts, extra, body.clone().or(Some(String::new())))?;
            read.id = id.as_str().into();
            read.embedding = embedding.as_ref().map(|values| values.iter().copied().map(f64::from).collect());
            node = Some(read);
        }
        Ok(Row { id: id.clone(), node, text: body, embedding, revision, bare })
    };
    read().map_err(|error: Error| {
        let message = format!("a stored node can not be read: {}", error.message());
        Error::corrupt(message).with_source(error).with_key(&id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embeddings_come_back() {
        let values = [1.0, 0.1, f32::MIN_POSITIVE, 1e30, -3.402_823_5e38];
        for encoding in [Encoding::Bytes, Encoding::Numbers] {
            assert_eq!(from_attribute(&to_attribute(&values, encoding)).unwrap(), values);
        }
        assert_eq!(from_attribute(&AttributeValue::B(Blob::new([1, 2, 3]))), None);
        assert_eq!(from_attribute(&AttributeValue::L(vec![AttributeValue::Bool(true)])), None);
    }
}
