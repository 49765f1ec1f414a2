//! Key-values as documents, and the order of their keys.
//!
//! A document is `{"_id": key, …members}`, as in Python. What Python has no place for stands in the member
//! `_nodestore`: the time of expiry (`expires_at`), the whole value (`value`) where it can not stand beside `_id`
//! because it has a member `_id`, `_nodestore` or one that begins with `$`, and the id of the GridFS file (`file`)
//! that holds a value too large for a document.

use std::time::Duration;

use bson::oid::ObjectId;
use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf};
use bson::{DateTime, Document, doc};
use store_core::kit::check;
use store_core::{Error, JsonObject, Node, Result};

use crate::codec::{self, DocumentWriter, MAX_DOCUMENT_BYTES};
use crate::schema::{EXPIRES_AT, EXTRA, FILE, VALUE};

/// What a stored document holds.
#[derive(Debug)]
pub(crate) enum Stored {
    /// Nothing any more; the server removes it later.
    Expired,
    /// A value.
    Value(JsonObject),
    /// A value in a file of GridFS.
    File(ObjectId),
}

/// Reads a stored document.
pub(crate) fn decode(document: &RawDocument, now: DateTime) -> Result<Stored> {
    let mut value = JsonObject::new();
    for member in document {
        let (name, member) = member.map_err(codec::damaged)?;
        match (name.as_str(), member) {
            ("_id", _) => {}
            (EXTRA, RawBsonRef::Document(extra)) => {
                if is_past(extra, now) {
                    return Ok(Stored::Expired);
                }
                if let Ok(file) = extra.get_object_id(FILE) {
                    return Ok(Stored::File(file));
                }
                if let Ok(whole) = extra.get_document(VALUE) {
                    return codec::to_json(whole).map(Stored::Value);
                }
            }
            (name, member) => {
                value.insert(name.to_owned(), codec::to_value(member)?);
            }
        }
    }
    Ok(Stored::Value(value))
}

/// Whether a stored document has expired.
pub(crate) fn is_expired(document: &RawDocument, now: DateTime) -> bool {
    document.get_document(EXTRA).is_ok_and(|extra| is_past(extra, now))
}

/// The file that holds the value of a stored document, if one does.
pub(crate) fn file_of(document: &RawDocument) -> Option<ObjectId> {
    document.get_document(EXTRA).ok()?.get_object_id(FILE).ok()
}

fn is_past(extra: &RawDocument, now: DateTime) -> bool {
    extra.get_datetime(EXPIRES_AT).is_ok_and(|at| at <= now)
}

/// The document of a key and its value, of any size; `about` is how many bytes it may take.
pub(crate) fn encode(
    key: &str,
    value: &JsonObject,
    expires: Option<DateTime>,
    about: usize,
) -> Result<RawDocumentBuf> {
    let encode = || {
        let mut document = DocumentWriter::with_capacity(about);
        document.text("_id", key)?;
        let beside = !value.keys().any(|name| name == "_id" || name == EXTRA || name.starts_with('$'));
        if beside {
            document.members(value)?;
        }
        if !beside || expires.is_some() {
            document.open_object(EXTRA)?;
            if !beside {
                document.object(VALUE, value)?;
            }
            if let Some(expires) = expires {
                document.date(EXPIRES_AT, expires)?;
            }
            document.close();
        }
        document.finish()
    };
    encode().map_err(|error: Error| error.with_key(key).with_failed([key]))
}

/// The document of a node, as [`encode`] makes it of the node's JSON; `about` is how many bytes it may take.
pub(crate) fn encode_node(node: &Node, about: usize) -> Result<RawDocumentBuf> {
    let key = node.id.as_str();
    let mut document = DocumentWriter::with_capacity(about);
    let written = document.text("_id", key).and_then(|()| document.members_of(node));
    // What is refused, or unknown there (numbers, with `arbitrary_precision` of `serde_json`), its JSON decides.
    written.and_then(|()| document.finish()).or_else(|_| encode(key, &node.to_json(), None, about))
}

/// Whether a document can hold the value; the error for one that can not names its size and the limit.
pub(crate) fn fits(key: &str, document: &RawDocument) -> Result<()> {
    check::within("value with its key", key, document.as_bytes().len(), MAX_DOCUMENT_BYTES)
}

/// The document of a key whose value lies in a file.
pub(crate) fn pointer(key: &str, file: ObjectId) -> Result<RawDocumentBuf> {
    let document = doc! {"_id": key, EXTRA: {FILE: file}};
    RawDocumentBuf::try_from(&document).map_err(codec::damaged)
}

/// The keys with a prefix, after a key: text is ordered by bytes, and only text compares with text.
pub(crate) fn key_range(prefix: &str, after: Option<&str>) -> Document {
    let mut range = match after {
        Some(after) if after >= prefix => doc! {"$gt": after},
        _ => doc! {"$gte": prefix},
    };
    if let Some(end) = end_of_prefix(prefix) {
        range.insert("$lt", end);
    }
    range
}

/// The least text greater than every one with this prefix, if there is one.
fn end_of_prefix(prefix: &str) -> Option<String> {
    let mut end: Vec<char> = prefix.chars().collect();
    while let Some(last) = end.pop() {
        // The greatest character has no successor; between U+D7FF and U+E000 there are none.
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            end.push(next);
            return Some(end.into_iter().collect());
        }
    }
    None
}

/// When something that lives so long from now expires.
pub(crate) fn expiry(now: DateTime, ttl: Duration) -> DateTime {
    let ttl = i64::try_from(ttl.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX);
    // The end of the year 9999: later is as good as never.
    let latest = DateTime::from_millis(253_402_300_799_999);
    DateTime::from_millis(now.timestamp_millis().saturating_add(ttl)).min(latest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nodes_are_encoded_as_their_json_is() {
        let mut full = Node::text("Grüße\0🚀")
            .with_id("a")
            .with_embedding([0.5, f32::NAN, -1.0])
            .with_metadata("numbers", json!([1, i64::MAX, u64::MAX, -0.0, 1e300, null, true]))
            .with_metadata("deep", json!({"": [[], {}, [{"a": "b"}]]}))
            .with_source("source");
        full.excluded_llm_metadata_keys = (0..12).map(|key| key.to_string()).collect();
        for node in [full, Node::document("text"), Node::index("text", "i")] {
            let expected = encode(node.id.as_str(), &node.to_json(), None, 0).unwrap();
            assert_eq!(encode_node(&node, 0).unwrap(), expected, "{node:?}");
        }
    }

    #[test]
    fn nodes_that_can_not_be_held_are_refused_as_their_json_is() {
        let deep = (0..200).fold(json!(1), |inside, _| json!([inside]));
        for node in [Node::text("").with_metadata("a\0b", 1), Node::text("").with_metadata("deep", deep)] {
            let expected = encode(node.id.as_str(), &node.to_json(), None, 0).unwrap_err();
            let error = encode_node(&node, 0).unwrap_err();
            assert_eq!((error.kind(), error.to_string()), (expected.kind(), expected.to_string()));
            assert_eq!(error.failed(), expected.failed());
        }
    }

    #[test]
    fn prefixes_end_before_the_next_text() {
        let end = |prefix: &str| end_of_prefix(prefix);
        assert_eq!(end(""), None);
        assert_eq!(end("ab").as_deref(), Some("ac"));
        assert_eq!(end("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(end("\u{10ffff}\u{10ffff}"), None);
        assert_eq!(end("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(end("\u{7f}").as_deref(), Some("\u{80}"));
    }

    #[test]
    fn times_to_live_round_up_and_end_in_the_year_9999() {
        let now = DateTime::from_millis(1_000);
        assert_eq!(expiry(now, Duration::from_nanos(1)).timestamp_millis(), 1_001);
        assert_eq!(expiry(now, Duration::MAX).try_to_rfc3339_string().unwrap(), "9999-12-31T23:59:59.999Z");
    }
}
