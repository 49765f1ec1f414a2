//! The bodies of the fuzz targets of this crate: see `fuzz/` and `scripts/fuzz`.
#![allow(
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "tests, in the shape that a fuzzer wants"
)]

#[path = "../../../fuzz/common.rs"]
#[allow(dead_code, reason = "each crate needs a part of it")]
mod common;
use bson::raw::{RawBsonRef, RawDocument};
use bson::{Bson, Document};
use common::{check_error, json, parts, text};
use serde_json::Value;
use store_core::{Error, Filter, Node};

use crate::codec::{DocumentWriter, to_json};
use crate::doc_entries;
use crate::filter::{Place, member_name, spelled_back, translate};
use crate::python_text::python_str;
use crate::vector::to_node;
use crate::watch::WatchToken;

/// What is stored in MongoDB, and filters on their way there: `JSON NUL edits`, where the JSON is written as BSON and
/// then damaged (two bytes of place and one of value, again and again); else `filter, token or BSON`.
pub fn mongodb(data: &[u8]) {
    let [first, edits] = parts(data);
    let mut bytes = data.to_vec();
    if let Some(Value::Object(object)) = json(first) {
        let mut writer = DocumentWriter::new();
        let written = writer.members(&object).and_then(|()| writer.finish());
        match written {
            Ok(document) => {
                assert_eq!(
                    Value::Object(to_json(&document).unwrap()).to_string(),
                    Value::Object(object).to_string()
                );
                bytes = document.into_bytes();
            }
            Err(error) => return check_error(&error),
        }
        let (edits, _) = edits.as_chunks::<3>();
        for [high, low, value] in edits {
            let place = usize::from(u16::from_be_bytes([*high, *low])) % bytes.len();
            bytes[place] = *value;
        }
    } else if let Some(text) = text(data) {
        assert_eq!(spelled_back(&member_name(text)), text);
        if let Err(error) = text.parse::<WatchToken>() {
            assert!(error.message().contains("the token is none"), "{error}");
        }
        if let Ok(filter) = Filter::parse(text) {
            for place in [Place::Docs, Place::Vectors] {
                operators(&translate(&filter, place).matches);
            }
        }
    }
    // The length of the whole, which the server sees to.
    let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX).to_le_bytes();
    if let Some(place) = bytes.get_mut(..4) {
        place.copy_from_slice(&length);
    }
    if let Ok(document) = RawDocument::from_bytes(&bytes) {
        stored(document);
    }
}

fn stored(document: &RawDocument) {
    match to_json(document) {
        Ok(object) => {
            let mut writer = DocumentWriter::new();
            if let Ok(again) = writer.members(&object).and_then(|()| writer.finish()) {
                assert_eq!(to_json(&again).unwrap(), object);
            }
            // The quick reader of nodes and core's agree.
            if let Some(node) = doc_entries::node(document) {
                let mut object = object;
                object.shift_remove("_id");
                assert_eq!(Node::from_json(object).unwrap(), node);
            }
        }
        Err(error) => check_error(&error),
    }
    let _ = (doc_entries::hash(document), doc_entries::ref_doc(document));
    let _ = python_str(RawBsonRef::Document(document));
    if let Err(error) = to_node(document) {
        check_error(&error);
    }
}

/// No name of a user's is an operator, in a match or in an expression.
fn operators(matches: &Document) {
    const KNOWN: [&str; 42] = [
        "$add",
        "$and",
        "$anyElementTrue",
        "$arrayElemAt",
        "$concat",
        "$cond",
        "$dateFromParts",
        "$dayOfMonth",
        "$elemMatch",
        "$eq",
        "$exists",
        "$expr",
        "$getField",
        "$gt",
        "$gte",
        "$ifNull",
        "$in",
        "$indexOfBytes",
        "$isArray",
        "$let",
        "$literal",
        "$lt",
        "$lte",
        "$map",
        "$multiply",
        "$ne",
        "$nin",
        "$nor",
        "$not",
        "$options",
        "$or",
        "$regex",
        "$regexFind",
        "$regexMatch",
        "$size",
        "$substrBytes",
        "$subtract",
        "$toDecimal",
        "$toInt",
        "$toLong",
        "$type",
        "$alwaysFalse",
    ];
    for (name, value) in matches {
        assert!(!name.starts_with('$') || KNOWN.contains(&name.as_str()), "{name} in {matches}");
        nested(value);
    }
}

fn nested(value: &Bson) {
    match value {
        Bson::Document(inner) => operators(inner),
        Bson::Array(items) => items.iter().for_each(nested),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn corpus() {
        super::common::replay("mongodb", super::mongodb);
    }
}
