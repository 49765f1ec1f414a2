//! Terms: what filters look for in sets whose rows are all ours.
//!
//! Each row has a set with one *term* for everything that a filter may ask for by equality: that the metadata at a path
//! is of some kind, that it equals a value, that it is a list with this element. A term is a hash of path, kind and
//! value. Whatever is found by one is held against the filter all the same, so that two that meet do no harm.
//!
//! A number of a declared field, or its instant, also stands in a column of its own as a `varint`, which an index can
//! compare: instants by their nanoseconds, numbers by a place among all numbers that JSON can hold, so that neither
//! integers beyond 2^53 nor floats are rounded.

use serde_json::Value;
use store_core::filter::{canonical, lookup, scalars_of};
use store_core::{Error, FieldType, FilterableField, JsonObject, Result, Scalar};

use super::rows::hash;
use crate::filter::told_by_entry;

/// The column of the terms.
pub(crate) const TERMS: &str = "nodestore_terms";
/// Terms of a row.
const MAX_TERMS: usize = 20_000;
/// Integers between two floats that are next to each other, of those that JSON can hold, are fewer.
const BETWEEN: i128 = 1 << 12;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Number,
    Text,
    List,
    EmptyList,
    Object,
}

impl Kind {
    fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Null => return None,
            Value::Bool(_) => Self::Bool,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::Text,
            Value::Array(items) if items.is_empty() => Self::EmptyList,
            Value::Array(_) => Self::List,
            Value::Object(_) => Self::Object,
        })
    }

    fn mark(self) -> &'static str {
        match self {
            Self::Bool => "b",
            Self::Number => "n",
            Self::Text => "s",
            Self::List => "l",
            Self::EmptyList => "e",
            Self::Object => "o",
        }
    }
}

/// The term of a path that holds this kind of value.
pub(crate) fn of_kind(path: &str, kind: Kind) -> String {
    term(&["k", path, kind.mark()])
}

/// The term of a path that holds something, or nothing or null. The second is written for declared fields alone.
pub(crate) fn of_presence(path: &str, there: bool) -> String {
    term(&[if there { "+" } else { "-" }, path])
}

/// The term of a path that holds this value. It is not written where [`told_by_entry`] says so.
pub(crate) fn of_value(path: &str, value: &Scalar) -> String {
    let (mark, value) = canonical(value);
    term(&["=", path, mark, &value])
}

/// The term of a path that holds a list with this element.
pub(crate) fn of_element(path: &str, value: &Scalar) -> String {
    let (mark, value) = canonical(value);
    term(&["[", path, mark, &value])
}

/// A hash of the parts, each with its length before it, so that no two lists of parts look the same.
fn term(parts: &[&str]) -> String {
    let parts: Vec<String> = parts.iter().map(|part| format!("{}:{part}", part.len())).collect();
    hash(&parts.concat())
}

/// The column of a declared field, if its type has one.
pub(crate) fn column(field: &FilterableField) -> Option<String> {
    let mark = match field.field_type {
        FieldType::Integer | FieldType::Float => "n",
        FieldType::Timestamp => "t",
        _ => return None,
    };
    Some(format!("nodestore_{mark}_{}", hash(&field.key)))
}

/// The place of a number among all that JSON can hold: that of the greatest float that is not greater, and how far it is
/// beyond it.
pub(crate) fn number(value: &Scalar) -> Option<i128> {
    match value {
        Scalar::Float(value) => Some(place(*value)),
        Scalar::Integer(value) => {
            let near = value.to_string().parse::<f64>().ok()?;
            let below = if whole(near) > *value { near.next_down() } else { near };
            Some(place(below) + (value - whole(below)))
        }
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "what is near one of JSON's integers is below 2^65")]
fn whole(value: f64) -> i128 {
    value as i128
}

/// Bits that are ordered as the floats are.
fn place(value: f64) -> i128 {
    // Adding 0 turns −0 into 0.
    let bits = (value + 0.0).to_bits();
    let size = i128::from(bits & !(1 << 63));
    BETWEEN * if bits >> 63 == 1 { -size } else { size }
}

/// What stands beside a node's metadata.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Shadows {
    pub(crate) terms: Vec<String>,
    /// The numbers of the columns, in the order of the declared fields that have one.
    pub(crate) numbers: Vec<Option<i128>>,
}

/// The shadows of metadata, in a set with these declared fields.
pub(crate) fn shadows(metadata: &JsonObject, fields: &[FilterableField]) -> Result<Shadows> {
    let mut terms = Vec::with_capacity(32);
    each("", metadata, &mut terms);
    let value = |field: &FilterableField| lookup(metadata, &field.key);
    let missing = fields.iter().filter(|field| value(field).is_none_or(Value::is_null));
    terms.extend(missing.map(|field| of_presence(&field.key, false)));
    terms.sort_unstable();
    terms.dedup();
    if terms.len() > MAX_TERMS {
        return Err(Error::invalid_input(format!(
            "the metadata has more than {MAX_TERMS} values for filters to look for; shorten its lists, or use a set \
             that is not exclusive"
        )));
    }
    let declared = fields.iter().filter(|field| column(field).is_some());
    let numbers = declared.map(|field| {
        let wanted = |scalar: &Scalar| match scalar {
            Scalar::Timestamp(at) => (field.field_type == FieldType::Timestamp).then(|| at.as_nanoseconds()),
            scalar => (field.field_type != FieldType::Timestamp).then(|| number(scalar)).flatten(),
        };
        value(field).and_then(|value| scalars_of(value).iter().find_map(wanted))
    });
    Ok(Shadows { terms, numbers: numbers.collect() })
}

fn each(path: &str, object: &JsonObject, terms: &mut Vec<String>) {
    for (name, value) in object {
        // No key reaches a name that is empty or holds a dot.
        if name.is_empty() || name.contains('.') || terms.len() > MAX_TERMS {
            continue;
        }
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let Some(kind) = Kind::of(value) else { continue };
        terms.extend([of_presence(&path, true), of_kind(&path, kind)]);
        match value {
            Value::Object(object) => each(&path, object, terms),
            Value::Array(items) => {
                let elements = items.iter().take(MAX_TERMS + 1).flat_map(scalars_of);
                terms.extend(elements.map(|value| of_element(&path, &value)));
            }
            Value::String(text) if told_by_entry(&path, text) => {}
            scalar => terms.extend(scalars_of(scalar).iter().map(|value| of_value(&path, value))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_have_the_order_of_their_places() {
        let floats =
            [f64::MIN, -1e19, -2.5, -1.0, -5e-324, 0.0, 5e-324, 0.1, 1.0, 1e15, 9.3e18, 1.9e19, f64::MAX];
        let integers = [
            i128::from(i64::MIN),
            i128::from(i64::MIN) + 1,
            -(1 << 53) - 1,
            -1,
            0,
            1,
            1 << 53,
            (1 << 53) + 1,
            (1 << 53) + 2,
            i128::from(i64::MAX),
            i128::from(u64::MAX) - 1,
            i128::from(u64::MAX),
        ];
        let all = floats.map(Scalar::Float).into_iter().chain(integers.map(Scalar::Integer));
        let all: Vec<Scalar> = all.collect();
        for left in &all {
            for right in &all {
                let order = left.order_of(&right.to_json()).unwrap();
                assert_eq!(number(right).cmp(&number(left)), order, "{left:?} {right:?}");
            }
        }
        assert_eq!(number(&Scalar::Float(-0.0)), number(&Scalar::Integer(0)));
    }

    #[test]
    fn shadows_are_of_all_that_filters_reach() {
        let field = |key: &str, field_type| FilterableField { key: key.to_owned(), field_type };
        let fields = [field("in.year", FieldType::Integer), field("when", FieldType::Timestamp)];
        let metadata = json!({"tag": "a", "in": {"year": 2024}, "list": [1, "x"], "no.way": 1});
        let found = shadows(metadata.as_object().unwrap(), &fields).unwrap();
        assert_eq!(found.numbers, [number(&Scalar::Integer(2024)), None]);
        let text = |text: &str| Scalar::Text(text.to_owned());
        for term in [
            of_presence("tag", true),
            of_kind("in", Kind::Object),
            of_value("in.year", &Scalar::Float(2024.0)),
            of_element("list", &Scalar::Integer(1)),
            of_element("list", &text("x")),
            of_presence("when", false),
        ] {
            assert!(found.terms.contains(&term));
        }
        assert!(!found.terms.contains(&of_value("tag", &text("a"))), "the entry tells it");
        assert_eq!(found.terms.len(), 12);
        let list: Vec<usize> = (0..MAX_TERMS).collect();
        assert!(shadows(json!({"list": list}).as_object().unwrap(), &fields).is_err());
    }
}
