//! Answers about metadata fields, from their values.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::kit::doc_query;
use crate::{DistinctOptions, DistinctValues, FieldKind, JsonObject};

/// The order of [`distinct`](crate::VectorFields::distinct): bools, numbers, texts, each by value; an integer before the equal float.
#[must_use]
pub fn compare(left: &Value, right: &Value) -> Ordering {
    doc_query::compare(left, right).then_with(|| left.is_f64().cmp(&right.is_f64()))
}

/// The page of values, already different and in order, that the options ask for.
#[must_use]
pub fn page(mut values: Vec<Value>, options: &DistinctOptions) -> DistinctValues {
    if let Some(wanted) = options.search.as_deref().map(str::to_lowercase) {
        values.retain(|value| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            text.to_lowercase().contains(&wanted)
        });
    }
    let total = values.len();
    let page = values.into_iter().skip(options.offset).take(options.limit.unwrap_or(usize::MAX));
    DistinctValues::new(page.collect(), total)
}

/// The first and last of values in order, bools apart.
#[must_use]
pub fn least_and_greatest(values: Vec<Value>) -> Option<(Value, Value)> {
    let mut ordered = values.into_iter().filter(|value| !value.is_boolean());
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

/// Values that are held before equal ones are looked for.
const UNSORTED: usize = 4_096;

/// The different scalar values of one field, shown one after the other: memory for each value once, however often it
/// is met.
#[derive(Debug, Default)]
pub struct ScalarValues {
    /// In order, each once.
    sorted: Vec<Value>,
    new: Vec<Value>,
}

impl ScalarValues {
    /// Shows a value; null, lists and objects are passed over.
    pub fn add(&mut self, value: &Value) {
        if matches!(value, Value::Bool(_) | Value::Number(_) | Value::String(_)) {
            self.new.push(value.clone());
            if self.new.len() >= UNSORTED.max(self.sorted.len()) {
                self.settle();
            }
        }
    }

    fn settle(&mut self) {
        self.sorted.append(&mut self.new);
        self.sorted.sort_by(compare);
        self.sorted.dedup_by(|left, right| compare(left, right).is_eq());
    }

    /// The values, in the order of [`compare`].
    #[must_use]
    pub fn into_sorted(mut self) -> Vec<Value> {
        self.settle();
        self.sorted
    }
}

/// The kinds of the top-level fields, of metadata shown one after the other.
#[derive(Debug, Default)]
pub struct FieldKinds(BTreeMap<String, FieldKind>);

impl FieldKinds {
    /// Shows the metadata of one node.
    pub fn add(&mut self, metadata: &JsonObject) {
        for (key, value) in metadata {
            let Some(kind) = kind_of(value) else { continue };
            match self.0.get_mut(key) {
                Some(known) if *known != kind => *known = FieldKind::Mixed,
                Some(_) => {}
                None => {
                    self.0.insert(key.clone(), kind);
                }
            }
        }
    }

    /// The kinds, in key order.
    #[must_use]
    pub fn into_sorted(self) -> Vec<(String, FieldKind)> {
        self.0.into_iter().collect()
    }
}
