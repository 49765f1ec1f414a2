//! Chat messages as LlamaIndex keeps them in MongoDB: bytes stand as binary values that hold base64 text.

use bson::oid::ObjectId;
use bson::raw::{RawArray, RawBson, RawBsonRef, RawDocument, RawDocumentBuf};
use bson::spec::BinarySubtype;
use serde_json::Value;
use store_core::kit::check;
use store_core::{ChatMessage, Error, JsonObject, Result};

use crate::codec::{DocumentWriter, Index, MAX_DOCUMENT_BYTES, damaged, to_value};

/// What a message's document takes beside the message and the session's key, at most.
const OVERHEAD: usize = 128;

/// A message ready to be written; its position is not yet known.
#[derive(Clone, Debug)]
pub(super) struct Encoded {
    /// Chosen here, so that a message that was written by an attempt whose answer was lost is known again.
    pub(super) id: ObjectId,
    message: RawDocumentBuf,
}

impl Encoded {
    /// The whole document, its members in Python's order; with another `_id` if its place asks for one.
    pub(super) fn document(&self, key: &str, index: i64, id: ObjectId) -> RawDocumentBuf {
        let index = i32::try_from(index).map_or(RawBson::Int64(index), RawBson::Int32);
        bson::rawdoc! {
            "_id": id,
            "session_id": key,
            "index": index,
            "message": self.message.clone(),
            "created_at": bson::DateTime::now(),
        }
    }
}

/// Encodes messages; one that is larger than a document can be is refused.
pub(super) fn encode(key: &str, messages: &[ChatMessage]) -> Result<Vec<Encoded>> {
    let encode = |message: &ChatMessage| {
        let mut writer = DocumentWriter::new();
        for (name, value) in &message.to_json() {
            match value {
                Value::Array(blocks) if name == "blocks" => write_blocks(&mut writer, name, blocks)?,
                value => writer.value(name, value)?,
            }
        }
        let message = writer.finish()?;
        let size = message.as_bytes().len().saturating_add(key.len()).saturating_add(OVERHEAD);
        check::within("chat message", key, size, MAX_DOCUMENT_BYTES)?;
        Ok(Encoded { id: ObjectId::new(), message })
    };
    messages.iter().map(encode).collect::<Result<_>>().map_err(|error: Error| error.with_key(key))
}

fn write_blocks(writer: &mut DocumentWriter, name: &str, blocks: &[Value]) -> Result<()> {
    writer.open_array(name)?;
    let mut index = Index::new();
    for block in blocks {
        match block {
            Value::Object(block) => write_block(writer, index.text(), block)?,
            other => writer.value(index.text(), other)?,
        }
        index.advance();
    }
    writer.close();
    Ok(())
}

fn write_block(writer: &mut DocumentWriter, name: &str, block: &JsonObject) -> Result<()> {
    let kind = block.get("block_type").and_then(Value::as_str).unwrap_or_default();
    writer.open_object(name)?;
    for (name, value) in block {
        match value {
            Value::String(base64) if holds_bytes(kind, name) => writer.binary(name, base64.as_bytes())?,
            Value::Array(blocks) if kind == "citable" && name == "content" => {
                write_blocks(writer, name, blocks)?;
            }
            Value::Object(block) if kind == "citation" && name == "cited_content" => {
                write_block(writer, name, block)?;
            }
            value => writer.value(name, value)?,
        }
    }
    writer.close();
    Ok(())
}

/// Whether a block's member holds bytes: as base64 text in JSON, as a binary value of that text in MongoDB.
fn holds_bytes(kind: &str, name: &str) -> bool {
    matches!(
        (kind, name),
        ("image", "image") | ("audio", "audio") | ("video", "video") | ("document", "data")
    )
}

/// Reads the message of a stored document, of any release.
pub(super) fn decode(key: &str, document: &RawDocument) -> Result<ChatMessage> {
    let read = || {
        let Some(RawBsonRef::Document(message)) = document.get("message").map_err(damaged)? else {
            return Err(Error::corrupt("it has no object \"message\""));
        };
        let mut json = JsonObject::new();
        for member in message {
            let (name, value) = member.map_err(damaged)?;
            let name = name.as_str();
            let value = match value {
                RawBsonRef::Array(blocks) if matches!(name, "blocks" | "content") => read_blocks(blocks)?,
                value => to_value(value)?,
            };
            json.insert(name.to_owned(), value);
        }
        ChatMessage::from_json(json)
    };
    read().map_err(|error: Error| {
        let id = match document.get("_id") {
            Ok(Some(RawBsonRef::ObjectId(id))) => id.to_hex(),
            other => format!("{other:?}"),
        };
        let message = format!("the stored message with _id {id} can not be read: {}", error.message());
        Error::corrupt(message).with_key(key).with_source(error)
    })
}

fn read_blocks(blocks: &RawArray) -> Result<Value> {
    let read = |item: bson::error::Result<RawBsonRef<'_>>| match item.map_err(damaged)? {
        RawBsonRef::Document(block) => read_block(block),
        other => to_value(other),
    };
    blocks.into_iter().map(read).collect()
}

fn read_block(block: &RawDocument) -> Result<Value> {
    let kind = block.get_str("block_type").unwrap_or_default();
    let mut json = JsonObject::new();
    for member in block {
        let (name, value) = member.map_err(damaged)?;
        let name = name.as_str();
        let value = match value {
            // Base64 text as a rule; anything else is taken for the bytes themselves when the message is made.
            RawBsonRef::Binary(binary)
                if holds_bytes(kind, name) && binary.subtype == BinarySubtype::Generic =>
            {
                std::str::from_utf8(binary.bytes).map_or_else(|_| to_value(value), |text| Ok(text.into()))?
            }
            RawBsonRef::Array(blocks) if matches!((kind, name), ("citable", "content")) => {
                read_blocks(blocks)?
            }
            RawBsonRef::Array(blocks) if matches!((kind, name), ("citation", "cited_content")) => {
                read_blocks(blocks)?
            }
            RawBsonRef::Document(block) if matches!((kind, name), ("citation", "cited_content")) => {
                read_block(block)?
            }
            value => to_value(value)?,
        };
        json.insert(name.to_owned(), value);
    }
    Ok(Value::Object(json))
}
