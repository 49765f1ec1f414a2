//! Answers about metadata fields from the metadata itself, for stores that hold it at hand.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{DistinctOptions, DistinctValues, FieldKind, JsonObject, doc_query};

/// A scalar in the order of [`distinct`]: bools, numbers, texts, each by value; an integer before the equal float.
#[derive(Debug)]
struct Scalar(Value);

impl Scalar {
    fn new(value: &Value) -> Option<Self> {
        matches!(value, Value::Bool(_) | Value::Number(_) | Value::String(_)).then(|| Self(value.clone()))
    }
}

impl Ord for Scalar {
    fn cmp(&self, other: &Self) -> Ordering {
        doc_query::compare(&self.0, &other.0).then_with(|| self.0.is_f64().cmp(&other.0.is_f64()))
    }
}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scalar {}

fn scalars<'a>(metadata: impl Iterator<Item = &'a JsonObject>, key: &str) -> BTreeSet<Scalar> {
    metadata.filter_map(|object| Scalar::new(doc_query::value_at(object, key)?)).collect()
}

/// [`VectorFields::distinct`](crate::VectorFields::distinct) over this metadata.
#[must_use]
pub fn distinct<'a>(
    metadata: impl Iterator<Item = &'a JsonObject>,
    key: &str,
    options: &DistinctOptions,
) -> DistinctValues {
    let wanted = options.search.as_deref().map(str::to_lowercase);
    let holds = |value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        wanted.as_ref().is_none_or(|wanted| text.to_lowercase().contains(wanted))
    };
    let values: Vec<Value> =
        scalars(metadata, key).into_iter().map(|scalar| scalar.0).filter(|value| holds(value)).collect();
    let total = values.len();
    let page = values.into_iter().skip(options.offset).take(options.limit.unwrap_or(usize::MAX));
    DistinctValues::new(page.collect(), total)
}

/// How many different scalar values the field has.
#[must_use]
pub fn count_distinct<'a>(metadata: impl Iterator<Item = &'a JsonObject>, key: &str) -> usize {
    scalars(metadata, key).len()
}

/// [`VectorFields::min_max`](crate::VectorFields::min_max) over this metadata.
#[must_use]
pub fn min_max<'a>(metadata: impl Iterator<Item = &'a JsonObject>, key: &str) -> Option<(Value, Value)> {
    let values = scalars(metadata, key);
    let mut ordered = values.into_iter().filter(|scalar| !scalar.0.is_boolean()).map(|scalar| scalar.0);
    let min = ordered.next()?;
    let max = ordered.next_back().unwrap_or_else(|| min.clone());
    Some((min, max))
}

/// The kind of one value; `None` for null.
#[must_use]
pub fn kind_of(value: &Value) -> Option<FieldKind> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(_) => FieldKind::Bool,
        Value::Number(number) if number.is_f64() => FieldKind::Float,
        Value::Number(_) => FieldKind::Integer,
        Value::String(_) => FieldKind::Text,
        Value::Array(_) => FieldKind::List,
        Value::Object(_) => FieldKind::Object,
    })
}

/// [`VectorFields::field_info`](crate::VectorFields::field_info) over this metadata, in key order.
#[must_use]
pub fn field_info<'a>(metadata: impl Iterator<Item = &'a JsonObject>) -> Vec<(String, FieldKind)> {
    let mut kinds: BTreeMap<&str, FieldKind> = BTreeMap::new();
    for (key, value) in metadata.flatten() {
        let Some(kind) = kind_of(value) else { continue };
        let known = kinds.entry(key).or_insert(kind);
        if *known != kind {
            *known = FieldKind::Mixed;
        }
    }
    kinds.into_iter().map(|(key, kind)| (key.to_owned(), kind)).collect()
}
