//! The bodies of the fuzz targets of this crate: see `fuzz/` and `scripts/fuzz`.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "tests, in the shape that a fuzzer wants")]

#[path = "../../../fuzz/common.rs"]
#[allow(dead_code, reason = "each crate needs a part of it")]
mod common;

use common::{check_error, check_place, json, parts, text};
use serde_json::Value;

use crate::kit::{doc_query, url_text};
use crate::python::{parse_json, parse_json_telling, python_json, python_json_utf8, repr, str as python_str};
use crate::{
    ChatMessage, Cursor, Error, Filter, IndexStruct, JsonObject, MetadataMode, Node, Scalar, Timestamp,
};

/// Nodes of every form, and index structs: `JSON`, or `metadata of a vector store NUL extra NUL text`.
pub fn node(data: &[u8]) {
    let [first, extra, body] = parts(data);
    let Some(first) = text(first) else { return };
    let object = match parse_json(first) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return,
        Err(error) => return check_error(&error),
    };
    match Node::from_json(object.clone()) {
        Ok(node) => comes_back(&node),
        Err(error) => check_error(&error),
    }
    match IndexStruct::from_json(object.clone()) {
        Ok(index) => {
            assert_eq!(IndexStruct::from_json(index.to_json()).unwrap(), index);
            assert_eq!(IndexStruct::from_json(index.to_stored_json()).unwrap(), index);
            let _ = index.node_ids();
        }
        Err(error) => check_error(&error),
    }
    let extra = json(extra).and_then(|extra| extra.as_object().cloned()).unwrap_or_default();
    let body = text(body).map(str::to_owned);
    match Node::from_vector_parts(object, extra, body) {
        Ok(node) => comes_back(&node),
        Err(error) => check_error(&error),
    }
}

/// A node is the same in each of its forms, and nothing that is asked of it fails without saying why.
fn comes_back(node: &Node) {
    let object = node.to_json();
    let again = Node::from_json(object.clone()).unwrap();
    assert_eq!(again, *node);
    assert_eq!(Value::Object(again.to_json()).to_string(), Value::Object(object.clone()).to_string());
    assert_eq!(serde_json::to_string(node).unwrap(), Value::Object(object).to_string());
    let _ = node.hash();
    for mode in [MetadataMode::All, MetadataMode::Embed, MetadataMode::Llm, MetadataMode::None] {
        if let Err(error) = node.content_with(mode) {
            check_error(&error);
        }
    }
    let kept = node.to_vector_metadata(false).and_then(|metadata| {
        Node::from_vector_parts(metadata, node.to_vector_extra()?, Some(node.text_content().to_owned()))
    });
    let mut bare = node.clone();
    bare.embedding = None;
    assert_eq!(kept.unwrap(), bare);
}

/// Chat messages of every form.
pub fn chat(data: &[u8]) {
    let Some(Ok(Value::Object(object))) = text(data).map(parse_json) else { return };
    match ChatMessage::from_json(object) {
        Ok(message) => {
            let object = message.to_json();
            let again = ChatMessage::from_json(object.clone()).unwrap();
            assert_eq!(again, message);
            assert_eq!(Value::Object(again.to_json()).to_string(), Value::Object(object).to_string());
            let _ = message.text();
        }
        Err(error) => check_error(&error),
    }
}

/// Filters as people write them: `filter NUL metadata`.
pub fn filter_text(data: &[u8]) {
    let [filter, metadata] = parts(data);
    let Some(filter) = text(filter) else { return };
    match Filter::parse(filter) {
        Ok(filter) => agrees(&filter, metadata),
        Err(error) => check_place(&error),
    }
}

/// Filters in LlamaIndex's JSON: `filter NUL metadata`.
pub fn filter_json(data: &[u8]) {
    let [filter, metadata] = parts(data);
    let Some(filter) = json(filter) else { return };
    match Filter::from_json(&filter) {
        Ok(filter) => agrees(&filter, metadata),
        Err(error) => check_place(&error),
    }
}

/// A filter that was read is valid, is the same in each spelling, and means the same however it is asked.
fn agrees(filter: &Filter, metadata: &[u8]) {
    filter.validate().unwrap();
    assert_eq!(Filter::from_json(&filter.to_json()).unwrap(), *filter);
    assert_eq!(Filter::parse(&filter.to_string()).unwrap(), *filter);
    let metadata = json(metadata).and_then(|metadata| metadata.as_object().cloned()).unwrap_or_default();
    let matches = filter.matches(&metadata);
    assert_eq!(filter.matcher().matches(&metadata), matches);
    assert_eq!((!filter.clone()).matches(&metadata), !matches);
}

/// The small readers: Python's JSON, timestamps, scalars, `%XX`, cursors.
pub fn texts(data: &[u8]) {
    let Some(text) = text(data) else { return };
    match parse_json_telling(text) {
        Ok((value, _)) => {
            assert_eq!(parse_json(&python_json(&value)).unwrap(), value);
            assert_eq!(parse_json(&python_json_utf8(&value)).unwrap(), value);
            let _texts = (python_str(&value), repr(&value));
            if let Ok(scalar) = Scalar::from_json(&value) {
                assert_eq!(Scalar::from_json(&scalar.to_json()).unwrap(), scalar);
            }
            if let Value::Object(object) = value {
                let _ = doc_query::project_json(object, Some(&["metadata.a.b".to_owned()]));
            }
        }
        Err(error) => check_error(&error),
    }
    if let Some(time) = Timestamp::from_iso(text) {
        assert_eq!(Timestamp::from_iso(&time.to_string()), Some(time));
        assert_eq!(Timestamp::from_nanoseconds(time.as_nanoseconds()).unwrap(), time);
    }
    assert_eq!(url_text::decode(&url_text::encode(text)).unwrap(), text);
    // Nothing but its kind is said of a text that may be a secret.
    let _ = url_text::decode(text);
    let cursor = Cursor::new(text);
    let errors = [cursor.decode::<String>("").err(), cursor.decode::<doc_query::Place>("").err()];
    for error in errors.iter().flatten() {
        assert!(error.message().contains("begin again"), "{error}");
    }
    let place = doc_query::Place { id: text.to_owned(), keys: vec![JsonObject::new().into(), text.into()] };
    assert_eq!(Cursor::encode(text, &place).decode::<doc_query::Place>(text).unwrap(), place);
}

#[cfg(test)]
mod tests {
    use super::common::replay;

    #[test]
    fn corpus() {
        replay("node", super::node);
        replay("chat", super::chat);
        replay("filter_text", super::filter_text);
        replay("filter_json", super::filter_json);
        replay("texts", super::texts);
    }
}
