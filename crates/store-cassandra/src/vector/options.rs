//! How vectors are kept and found.

use serde::Deserialize;
use store_core::{Error, Result};

use crate::error::NAME;

/// The table of the default set when none is named.
const TABLE: &str = "vectors";

/// What finds the nodes of a vector set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CassandraVectorEngine {
    /// The table's vector index, which is approximate, where it can answer; else [`Exact`](Self::Exact).
    #[default]
    Auto,
    /// Every node is read and compared here, exactly, in bounded memory.
    Exact,
}

/// How a [`CassandraConfig`](crate::CassandraConfig) keeps and finds vectors.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct CassandraVectorOptions {
    /// What finds the nodes; in a URL `store.vector_engine=auto|exact`.
    pub engine: CassandraVectorEngine,
    /// The table of the default set, a named set's begins with it: a letter first, then `a-z`, `0-9` and `_`. With a
    /// namespace their names begin with that. Name the table of LlamaIndex's `CassandraVectorStore` here to share it.
    /// Default `vectors`; in a URL `store.vector_table`.
    pub table: String,
}

impl Default for CassandraVectorOptions {
    fn default() -> Self {
        Self { engine: CassandraVectorEngine::Auto, table: TABLE.to_owned() }
    }
}

impl CassandraVectorOptions {
    /// Sets what finds the nodes.
    #[must_use]
    pub fn with_engine(mut self, engine: CassandraVectorEngine) -> Self {
        self.engine = engine;
        self
    }

    /// Sets the table of the default set.
    #[must_use]
    pub fn with_table(mut self, table: impl Into<String>) -> Self {
        self.table = table.into();
        self
    }

    /// Sets one of the settings of a URL; `None` when it is none of these.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Option<Result<()>> {
        match (key, value) {
            ("store.vector_engine", "auto") => self.engine = CassandraVectorEngine::Auto,
            ("store.vector_engine", "exact") => self.engine = CassandraVectorEngine::Exact,
            ("store.vector_engine", _) => {
                let message = format!("the option {key} is {value:?}; it must be auto or exact");
                return Some(Err(Error::config(message).with_backend(NAME)));
            }
            ("store.vector_table", _) => value.clone_into(&mut self.table),
            _ => return None,
        }
        Some(Ok(()))
    }

    /// Refuses settings that can not be.
    pub(crate) fn validate(&self) -> Result<()> {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let begins = self.table.starts_with(|c: char| c.is_ascii_lowercase());
        if begins && self.table.len() <= 48 && self.table.chars().all(legal) {
            return Ok(());
        }
        let message = format!(
            "store.vector_table is {:?}; it must begin with a letter and have at most 48 of a-z, 0-9 and _",
            self.table
        );
        Err(Error::config(message).with_backend(NAME))
    }
}
