//! The oracle: whether metadata satisfies a filter. Every backend is held against it.

use std::cmp::Ordering;

use serde_json::Value;

use super::{Condition, Filter, Scalar};
use crate::JsonObject;

/// The value at a path of object members (`a.b` reads `{"a": {"b": …}}`); `None` when any of them is missing.
///
/// Lists are not entered, and a member whose own name holds a dot can not be reached.
///
/// ```
/// # use serde_json::json;
/// use store_core::filter::lookup;
/// let metadata = json!({"a": {"b": 1}, "a.b": 2});
/// assert_eq!(lookup(metadata.as_object().unwrap(), "a.b"), Some(&json!(1)));
/// ```
#[must_use]
pub fn lookup<'a>(metadata: &'a JsonObject, key: &str) -> Option<&'a Value> {
    let Some((first, rest)) = key.split_once('.') else { return metadata.get(key) };
    rest.split('.').try_fold(metadata.get(first)?, |value, part| value.as_object()?.get(part))
}

impl Filter {
    /// Whether the metadata satisfies the filter.
    ///
    /// Defined for every filter, but meant for one that passed [`validate`](Filter::validate): without it, very
    /// deep nesting could exhaust the stack.
    #[must_use]
    pub fn matches(&self, metadata: &JsonObject) -> bool {
        match self {
            Self::All(filters) => filters.iter().all(|filter| filter.matches(metadata)),
            Self::Any(filters) => filters.iter().any(|filter| filter.matches(metadata)),
            Self::Not(filter) => !filter.matches(metadata),
            Self::Field { key, condition } => condition.matches_value(lookup(metadata, key)),
        }
    }
}

impl Condition {
    /// Whether one field's value (`None` = missing) satisfies the condition.
    #[must_use]
    pub fn matches_value(&self, value: Option<&Value>) -> bool {
        let ordered = |scalar: &Scalar, wanted: fn(Ordering) -> bool| {
            value.and_then(|value| scalar.order_of(value)).is_some_and(wanted)
        };
        match self {
            Self::Eq(scalar) => scalar.equals(value),
            Self::Ne(scalar) => !scalar.equals(value),
            Self::Gt(scalar) => ordered(scalar, Ordering::is_gt),
            Self::Gte(scalar) => ordered(scalar, Ordering::is_ge),
            Self::Lt(scalar) => ordered(scalar, Ordering::is_lt),
            Self::Lte(scalar) => ordered(scalar, Ordering::is_le),
            Self::Between(low, high) => ordered(low, Ordering::is_ge) && ordered(high, Ordering::is_le),
            Self::In(scalars) => scalars.iter().any(|scalar| scalar.equals(value)),
            Self::NotIn(scalars) => !scalars.iter().any(|scalar| scalar.equals(value)),
            Self::Contains(scalar) => contains(value, scalar),
            Self::AnyOf(scalars) => scalars.iter().any(|scalar| contains(value, scalar)),
            Self::AllOf(scalars) => {
                matches!(value, Some(Value::Array(_) | Value::String(_)))
                    && scalars.iter().all(|scalar| contains(value, scalar))
            }
            Self::TextMatch(part) => value.and_then(Value::as_str).is_some_and(|text| text.contains(part)),
            Self::TextMatchInsensitive(part) => {
                value.and_then(Value::as_str).is_some_and(|text| contains_lower(text, &part.to_lowercase()))
            }
            Self::IsEmpty => match value {
                None | Some(Value::Null) => true,
                Some(Value::String(text)) => text.is_empty(),
                Some(Value::Array(items)) => items.is_empty(),
                Some(_) => false,
            },
            Self::Exists(wanted) => value.is_some_and(|value| !value.is_null()) == *wanted,
        }
    }
}

/// A list with an equal element, or a text that holds the text.
fn contains(value: Option<&Value>, scalar: &Scalar) -> bool {
    match (value, scalar) {
        (Some(Value::Array(items)), _) => items.iter().any(|item| scalar.equals(Some(item))),
        (Some(Value::String(text)), Scalar::Text(part)) => text.contains(part),
        _ => false,
    }
}

/// Whether `text`, lower-cased, holds `part`, which is in lower case already (both by `str::to_lowercase`).
pub(super) fn contains_lower(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(part)
}
