//! Metadata filters as conditions on the entries of `metadata_s`, the map of texts that LlamaIndex's layout keeps.
//!
//! An entry can only be asked whether it equals a text, and conditions can only be joined by AND. So a filter is parted
//! at its outermost AND; an equality narrows what is read, all else is held against what was read here. The map keeps
//! no types (`1`, `1.0` and the text `1.0` are the same text), so an equality whose text could be another type's is
//! held against what was read as well. Nothing that the filter matches is ever left out.

use serde_json::Value;
use store_core::{Condition, Filter, Scalar, python};

/// The entries that a layout of LlamaIndex's writes by itself, over metadata of the same name.
pub(crate) const RESERVED: [&str; 5] = ["_node_content", "_node_type", "document_id", "doc_id", "ref_doc_id"];
/// Bytes of an entry that the index takes (`sai_string_term_size_fail_threshold`, 8 KB by default), with some to spare.
pub(crate) const MAX_ENTRY: usize = 8_000;
/// Conditions of one statement.
const MAX_CONDITIONS: usize = 8;

/// A filter, parted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Parted {
    /// Key and text of the entries that every row has which the filter matches.
    pub(crate) entries: Vec<(String, String)>,
    /// The part of the filter that `entries` answers wholly.
    pub(crate) pushed_down: Option<Filter>,
    /// The part that is ours to finish.
    pub(crate) rest: Option<Filter>,
}

/// A metadata value as the map keeps it (cassio); `None` for what it can not keep.
pub(crate) fn entry(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => python::str(&Value::from(number.as_f64()?)),
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => return None,
    })
}

/// Whether an entry is one that the map keeps.
pub(crate) fn fits(key: &str, text: &str) -> bool {
    key.len() + text.len() <= MAX_ENTRY
}

/// Parts a filter that was found right.
pub(crate) fn part(filter: Option<&Filter>) -> Parted {
    let parts = match filter {
        None => &[],
        Some(Filter::All(parts)) => parts.as_slice(),
        Some(other) => std::slice::from_ref(other),
    };
    let (mut entries, mut pushed, mut rest) = (Vec::<(String, String)>::new(), Vec::new(), Vec::new());
    for part in parts {
        let found = narrows(part).filter(|(key, ..)| {
            entries.len() < MAX_CONDITIONS && entries.iter().all(|(other, _)| other != key)
        });
        let whole = found.as_ref().is_some_and(|(.., whole)| *whole);
        entries.extend(found.map(|(key, text, _)| (key, text)));
        if whole { &mut pushed } else { &mut rest }.push(part.clone());
    }
    Parted { entries, pushed_down: joined(pushed), rest: joined(rest) }
}

fn joined(mut parts: Vec<Filter>) -> Option<Filter> {
    match parts.pop() {
        Some(only) if parts.is_empty() => Some(only),
        last => {
            parts.extend(last);
            (!parts.is_empty()).then_some(Filter::All(parts))
        }
    }
}

/// Key and text of an entry that all rows have which the filter matches, and whether no others have it.
fn narrows(filter: &Filter) -> Option<(String, String, bool)> {
    let Filter::Field { key, condition } = filter else { return None };
    let value = match condition {
        Condition::Eq(value) => value,
        Condition::In(values) => match values.as_slice() {
            [only] => only,
            _ => return None,
        },
        _ => return None,
    };
    // A dot leads into an object, which the map does not keep.
    if key.contains('.') || RESERVED.contains(&key.as_str()) {
        return None;
    }
    let (text, whole) = match value {
        Scalar::Text(text) if !text.is_empty() => (text.clone(), is_plain(text)),
        Scalar::Bool(value) => (value.to_string(), false),
        // The text of an integer reads as the float nearest to it.
        Scalar::Integer(value) => (float(value.to_string().parse().ok()?)?, false),
        Scalar::Float(value) => (float(*value)?, false),
        // Null is missing as well, and an instant may be written in many ways.
        Scalar::Text(_) | Scalar::Null | Scalar::Timestamp(_) => return None,
    };
    fits(key, &text).then(|| (key.clone(), text, whole))
}

/// A number's text; none for zero, which has two.
fn float(value: f64) -> Option<String> {
    (value != 0.0 && value.is_finite()).then(|| python::str(&Value::from(value)))
}

/// Whether no number, bool or null has this text.
fn is_plain(text: &str) -> bool {
    !matches!(text, "true" | "false" | "null" | "inf" | "nan")
        && !text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
