//! What a vector store is set up for.

use serde::{Deserialize, Serialize};

use crate::Metric;

/// What a vector store holds; set once by [`VectorStore::configure`](crate::VectorStore::configure) and kept with the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VectorConfig {
    /// Values in each embedding; at least 1.
    pub dimensions: usize,
    /// How embeddings are compared.
    pub metric: Metric,
    /// Metadata fields that queries will filter by, for backends which index them; `None` = not known, any
    /// field may be filtered.
    pub filterable: Option<Vec<FilterableField>>,
}

impl VectorConfig {
    /// Embeddings of so many dimensions, compared by `metric`; any field may be filtered.
    #[must_use]
    pub fn new(dimensions: usize, metric: Metric) -> Self {
        Self { dimensions, metric, filterable: None }
    }

    /// Declares the metadata fields that queries will filter by.
    #[must_use]
    pub fn with_filterable(mut self, fields: impl IntoIterator<Item = FilterableField>) -> Self {
        self.filterable = Some(fields.into_iter().collect());
        self
    }
}

/// A metadata field that queries will filter by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterableField {
    /// Path in dot notation.
    pub key: String,
    /// The type of its values.
    #[serde(rename = "type")]
    pub field_type: FieldType,
}

/// The type of a metadata field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// Text.
    Text,
    /// Integers.
    Integer,
    /// Floats.
    Float,
    /// Bools.
    Bool,
    /// Texts that are ISO 8601 instants.
    Timestamp,
}
