//! A node's metadata as the service can hold it against a filter.
//!
//! Members that are null are left out (null is missing), as are those that no filter can name (an empty name, or one
//! with a dot in it) and what is inside the members of a list, which equals nothing. What the service can not hold (a
//! number beyond its range, deep nesting) leaves the shadow out whole: such a row is marked as [`odd`](super::rows),
//! and held against filters here.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;
use store_core::JsonObject;

use crate::filter::number;

/// How deep objects may nest: the service takes 32, with the shadow itself.
const MAX_DEPTH: usize = 28;

/// The shadow; `None` where the service can not hold it.
pub(super) fn of(metadata: &JsonObject) -> Option<AttributeValue> {
    object(metadata, 0)
}

fn object(members: &JsonObject, depth: usize) -> Option<AttributeValue> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut shadow = HashMap::with_capacity(members.len());
    for (name, member) in members {
        let value = match member {
            _ if name.is_empty() || name.contains('.') => continue,
            Value::Null => continue,
            Value::Object(members) => object(members, depth + 1)?,
            Value::Array(items) => AttributeValue::L(items.iter().map(item).collect::<Option<Vec<_>>>()?),
            scalar => item(scalar)?,
        };
        shadow.insert(name.clone(), value);
    }
    Some(AttributeValue::M(shadow))
}

fn item(value: &Value) -> Option<AttributeValue> {
    Some(match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(value) => AttributeValue::Bool(*value),
        Value::Number(value) => AttributeValue::N(number(value)?),
        Value::String(text) => AttributeValue::S(text.clone()),
        Value::Array(_) | Value::Object(_) => AttributeValue::M(HashMap::new()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shadow(metadata: &Value) -> Option<AttributeValue> {
        of(metadata.as_object().unwrap())
    }

    #[test]
    fn what_no_filter_sees_is_left_out() {
        let full = json!({"a": null, "b.c": 1, "": 2, "d": {"e": null}, "f": [1, null, {"g": 1}]});
        let seen = json!({"d": {}, "f": [1, null, {}]});
        assert_eq!(shadow(&full), shadow(&seen));
        assert!(shadow(&seen).is_some());
    }

    #[test]
    fn what_can_not_be_held_leaves_no_shadow() {
        assert_eq!(shadow(&json!({"a": 1e300})), None);
        assert_eq!(shadow(&json!({"a": [{"b": 1}, 5e-324]})), None);
        let deep = (0..40).fold(json!(1), |value, _| json!({"a": value}));
        assert_eq!(shadow(&json!({"a": deep})), None);
    }
}
