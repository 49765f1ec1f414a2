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

use bytes::Bytes;
use common::{check_error, json, parts, text};
use fred::types::Value;
use serde_json::Value as Json;
use store_core::{Error, FieldType, Filter, FilterableField, Metric, VectorConfig};

use crate::filter::translate;
use crate::kv::{decode, encode};
use crate::value::RedisValue;
use crate::vector::{Keep, from_bytes, spelled, spelled_back, to_bytes, to_fields, to_node};

/// What is stored in Redis, and filters on their way there: `content or filter NUL class NUL text NUL extra NUL vector`.
pub fn redis(data: &[u8]) {
    let all: [&[u8]; 5] = parts(data);
    let config = VectorConfig::new(4, Metric::Cosine).with_filterable([
        FilterableField { key: "n".to_owned(), field_type: FieldType::Float },
        FilterableField { key: "t".to_owned(), field_type: FieldType::Timestamp },
    ]);
    match decode("key", all[0]) {
        Ok(object) => assert_eq!(decode("key", &encode("key", &object).unwrap()).unwrap(), object),
        Err(error) => check_error(&error),
    }
    if let Some(values) = from_bytes(data) {
        assert_eq!(to_bytes(&values), data);
    }
    if let Some(first) = text(all[0]) {
        assert_eq!(spelled_back(&spelled(first)), first);
        if let Ok(filter) = Filter::parse(first) {
            let native = translate(&filter, &config).native;
            let safe = |c: char| c.is_ascii_alphanumeric() || "_@:{}()[]|*-+. ".contains(c);
            assert!(native.text().chars().all(safe), "a user's text stands in a query: {}", native.text());
            let safe = |c: char| safe(c) || c == '"';
            assert!(native.expression("a").chars().all(safe), "{}", native.expression("a"));
        }
    }
    if let Some(value) = json(all[0]) {
        let value = answer(&value);
        let _ = (
            value.clone().to::<Vec<String>>(),
            value.clone().to::<std::collections::BTreeMap<String, f64>>(),
        );
        let _ = (value.clone().to::<Json>(), value.to::<(bool, Option<u8>, i64)>());
    }
    row(all, &config);
}

/// A node's row comes back as it is.
fn row(all: [&[u8]; 5], config: &VectorConfig) {
    let values = all
        .map(|part| if part.is_empty() { Value::Null } else { Value::Bytes(Bytes::copy_from_slice(part)) });
    let node = match to_node("id", values.to_vec()) {
        Ok(Some(node)) => node,
        Ok(None) => return,
        Err(error) => return check_error(&error),
    };
    let embedding = node.embedding_f32();
    if embedding.iter().flatten().any(|value| !value.is_finite()) {
        return;
    }
    let fields = match to_fields(&node, embedding.as_deref(), config) {
        Ok(fields) => fields,
        Err(error) => return check_error(&error),
    };
    let find = |name: &&str| {
        let pair = fields.chunks(2).find(|pair| pair[0].as_bytes() == Some(name.as_bytes()));
        pair.map_or(Value::Null, |pair| pair[1].clone())
    };
    let again = Keep { embedding: true }.fields().iter().map(find).collect();
    assert_eq!(to_node("id", again).unwrap(), Some(node));
}

/// An answer of the same shape.
fn answer(value: &Json) -> RedisValue {
    match value {
        Json::Null => RedisValue::Null,
        Json::Bool(truth) => RedisValue::Bool(*truth),
        Json::Number(number) => number
            .as_i64()
            .map_or_else(|| RedisValue::Double(number.as_f64().unwrap_or_default()), RedisValue::Integer),
        Json::String(text) => RedisValue::Bytes(Bytes::copy_from_slice(text.as_bytes())),
        Json::Array(items) => RedisValue::List(items.iter().map(answer).collect()),
        Json::Object(members) => RedisValue::Map(
            members
                .iter()
                .map(|(name, value)| {
                    (RedisValue::Bytes(Bytes::copy_from_slice(name.as_bytes())), answer(value))
                })
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn corpus() {
        super::common::replay("redis", super::redis);
    }
}
