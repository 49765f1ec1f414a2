//! Index structs, in LlamaIndex's own shape.

use crate::JsonObject;

/// How an index of LlamaIndex is put together: a type name and its data.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexStruct {
    type_name: String,
    data: JsonObject,
}

impl IndexStruct {
    /// The index's id.
    #[must_use]
    pub fn index_id(&self) -> &str {
        self.data.get("index_id").and_then(|id| id.as_str()).unwrap_or_default()
    }

    /// The type as Python writes it: `vector_store`, `list`, …
    #[must_use]
    pub fn type_name(&self) -> &str {
        &self.type_name
    }
}
