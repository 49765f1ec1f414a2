//! The bodies of the fuzz targets of this crate: see `fuzz/` and `scripts/fuzz`.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "tests, in the shape that a fuzzer wants")]

#[path = "../../../fuzz/common.rs"]
#[allow(dead_code, reason = "each crate needs a part of it")]
mod common;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use common::{check_error, json, parts, text};
use serde_json::Value;
use store_core::{Cursor, Error, Filter, JsonObject};

use crate::codec::{self, Item};
use crate::decimal::Decimal;
use crate::filter::{Expression, part};
use crate::reader::{read_cursor, read_only};
use crate::tables::Keys;

/// What is stored in DynamoDB, and texts on their way there: `JSON NUL filter, statement, number or cursor`. The JSON
/// is taken as a value, and where it has the form of attributes (`{"a": {"S": "x"}}`) also as an item.
pub fn dynamodb(data: &[u8]) {
    let [value, other] = parts(data);
    let keys = Keys { partition: "pk".to_owned(), sort: "sk".to_owned() };
    if let Some(Value::Object(value)) = json(value) {
        comes_back(value.clone(), &keys);
        let item: Item =
            value.iter().filter_map(|(name, value)| Some((name.clone(), attribute(value)?))).collect();
        let (_, _) = (codec::item_size(&item), codec::from_map(item.clone()));
        // What somebody else's item holds is a value as any other.
        comes_back(codec::decode(item, &keys), &keys);
    }
    let Some(other) = text(other) else { return };
    if let Some(decimal) = Decimal::parse(other) {
        let _ = (decimal.size(), decimal.fit(), decimal.integer(), decimal.is_integer());
    }
    if let Ok(filter) = Filter::parse(other) {
        let mut expression = Expression::default();
        let text = expression.text(&part(&filter, "s").native).unwrap_or_default();
        let safe = |c: char| c.is_ascii_alphanumeric() || "#:_.,()<>= ".contains(c);
        assert!(text.chars().all(safe), "a user's text stands in an expression: {text}");
    }
    match read_only(other) {
        Ok(()) => assert!(other.to_ascii_lowercase().contains("select"), "{other}"),
        Err(error) => assert!(error.message().contains("refused"), "{error}"),
    }
    if let Err(error) = read_cursor(&Cursor::new(other)) {
        assert!(error.message().contains("begin again"), "{error}");
    }
}

/// A value is the same once it was stored, or is refused with a place or a limit.
fn comes_back(value: JsonObject, keys: &Keys) {
    match codec::encode(value.clone(), keys) {
        Ok(item) => {
            let again = Value::Object(codec::decode(item, keys));
            assert_eq!(again.to_string(), Value::Object(value).to_string());
        }
        Err(error) => check_error(&error),
    }
}

/// An attribute in the JSON of the service.
fn attribute(value: &Value) -> Option<AttributeValue> {
    let (kind, value) = value.as_object().filter(|members| members.len() == 1)?.iter().next()?;
    let texts =
        || value.as_array()?.iter().map(|text| Some(text.as_str()?.to_owned())).collect::<Option<Vec<_>>>();
    Some(match kind.as_str() {
        "S" => AttributeValue::S(value.as_str()?.to_owned()),
        "N" => AttributeValue::N(value.as_str()?.to_owned()),
        "B" => AttributeValue::B(Blob::new(value.as_str()?)),
        "BOOL" => AttributeValue::Bool(value.as_bool()?),
        "NULL" => AttributeValue::Null(true),
        "SS" => AttributeValue::Ss(texts()?),
        "NS" => AttributeValue::Ns(texts()?),
        "L" => AttributeValue::L(value.as_array()?.iter().map(attribute).collect::<Option<_>>()?),
        "M" => {
            let members = value.as_object()?.iter();
            AttributeValue::M(
                members
                    .map(|(name, value)| Some((name.clone(), attribute(value)?)))
                    .collect::<Option<_>>()?,
            )
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn corpus() {
        super::common::replay("dynamodb", super::dynamodb);
    }
}
