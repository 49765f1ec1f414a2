//! Questions about metadata fields.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Selector;
use crate::filter::lookup;
use crate::kit::field_values::{self, FieldKinds, ScalarValues};
use crate::{Condition, Error, Filter, JsonObject, Result};

/// A page of the different values of a field.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DistinctValues {
    /// Values, distinct by type and value (`1`, `1.0`, `"1"` and `true` are four), sorted bool, number, text.
    pub values: Vec<Value>,
    /// How many there are before paging.
    pub total: usize,
}

impl DistinctValues {
    /// A page of values and their total.
    #[must_use]
    pub fn new(values: Vec<Value>, total: usize) -> Self {
        Self { values, total }
    }
}

/// Options of [`VectorFields::distinct`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DistinctOptions {
    /// Keeps values whose text form holds this, ignoring case.
    pub search: Option<String>,
    /// Values to pass over; default 0.
    pub offset: usize,
    /// Most values; `None` (default) = all.
    pub limit: Option<usize>,
}

impl DistinctOptions {
    /// Keeps values whose text form holds this, ignoring case.
    #[must_use]
    pub fn with_search(mut self, search: impl Into<String>) -> Self {
        self.search = Some(search.into());
        self
    }

    /// Passes over so many values.
    #[must_use]
    pub fn with_offset(mut self, offset: usize) -> Self {
        self.offset = offset;
        self
    }

    /// Answers at most so many.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }
}

/// The type of a metadata field over all nodes that have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FieldKind {
    /// Only texts.
    Text,
    /// Only integers.
    Integer,
    /// Only floats.
    Float,
    /// Only bools.
    Bool,
    /// Only lists.
    List,
    /// Only objects.
    Object,
    /// More than one of these.
    Mixed,
}

/// Questions about metadata fields. Keys are in dot notation; null and missing values are left out.
#[async_trait]
pub trait VectorFields: std::fmt::Debug + Send + Sync {
    /// The different scalar values of a field.
    async fn distinct(
        &self,
        key: &str,
        selector: &Selector,
        options: DistinctOptions,
    ) -> Result<DistinctValues>;

    /// How many different scalar values each field has, in the order of `keys`.
    async fn count_distinct(&self, keys: &[&str], selector: &Selector) -> Result<Vec<usize>>;

    /// Least and greatest value of a field, numbers before texts; `None` when it has neither.
    async fn min_max(&self, key: &str, selector: &Selector) -> Result<Option<(Value, Value)>>;

    /// The types of the top-level fields in use, by key.
    async fn field_info(&self) -> Result<Vec<(String, FieldKind)>>;
}

/// A vector store that can show the metadata of its nodes, one after the other: it answers every question of
/// [`VectorFields`] so.
#[async_trait]
pub trait MetadataPass: std::fmt::Debug + Send + Sync {
    /// The backend's name, for errors.
    const BACKEND: &'static str;

    /// Shows the metadata of each node that is selected, in any order, and holds no more of it than it must.
    /// `Config` before the store is configured, `InvalidInput` for a selector that can not be answered.
    async fn each_metadata(
        &self,
        selector: &Selector,
        show: impl for<'a> FnMut(&'a JsonObject) + Send,
    ) -> Result<()>;
}

/// The different scalars of each field, in order.
async fn scalars<S: MetadataPass>(store: &S, keys: &[&str], selector: &Selector) -> Result<Vec<Vec<Value>>> {
    for key in keys {
        Filter::Field { key: (*key).to_owned(), condition: Condition::Exists(true) }.validate()?;
    }
    let mut values: Vec<ScalarValues> = keys.iter().map(|_| ScalarValues::default()).collect();
    let look = |metadata: &JsonObject| {
        for (key, values) in keys.iter().zip(&mut values) {
            if let Some(value) = lookup(metadata, key) {
                values.add(value);
            }
        }
    };
    store.each_metadata(selector, look).await?;
    Ok(values.into_iter().map(ScalarValues::into_sorted).collect())
}

fn at<S: MetadataPass>(operation: &'static str) -> impl Fn(Error) -> Error {
    move |error| error.with_backend(S::BACKEND).with_operation(operation)
}

#[async_trait]
impl<S: MetadataPass> VectorFields for S {
    async fn distinct(
        &self,
        key: &str,
        selector: &Selector,
        options: DistinctOptions,
    ) -> Result<DistinctValues> {
        let values = scalars(self, &[key], selector).await.map_err(at::<S>("vectors.distinct"))?;
        Ok(field_values::page(values.into_iter().next().unwrap_or_default(), &options))
    }

    async fn count_distinct(&self, keys: &[&str], selector: &Selector) -> Result<Vec<usize>> {
        let values = scalars(self, keys, selector).await.map_err(at::<S>("vectors.count_distinct"))?;
        Ok(values.iter().map(Vec::len).collect())
    }

    async fn min_max(&self, key: &str, selector: &Selector) -> Result<Option<(Value, Value)>> {
        let values = scalars(self, &[key], selector).await.map_err(at::<S>("vectors.min_max"))?;
        Ok(values.into_iter().next().and_then(field_values::least_and_greatest))
    }

    async fn field_info(&self) -> Result<Vec<(String, FieldKind)>> {
        let mut kinds = FieldKinds::default();
        let look = |metadata: &JsonObject| kinds.add(metadata);
        self.each_metadata(&Selector::all(), look).await.map_err(at::<S>("vectors.field_info"))?;
        Ok(kinds.into_sorted())
    }
}
