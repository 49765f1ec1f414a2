//! How vectors are kept and found.

use serde::Deserialize;
use store_core::kit::settings::Setting;
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
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct CassandraVectorOptions {
    /// What finds the nodes; in a URL `store.vector_engine=auto|exact`.
    pub engine: CassandraVectorEngine,
    /// The table of the default set, a named set's begins with it: a letter first, then `a-z`, `0-9` and `_`. With a
    /// namespace their names begin with that. Name the table of LlamaIndex's `CassandraVectorStore` here to share it.
    /// Default `vectors`; in a URL `store.vector_table`.
    pub table: String,
    /// Whether none but this store writes to the sets that it makes. Their tables then have columns of ours beside
    /// LlamaIndex's, so that more filters are answered by the server: ranges of declared numbers and instants, equality
    /// with its type, elements of lists, fields in objects, and whether there is a field. LlamaIndex can read them and
    /// delete from them, but what it writes there is **not found** by such filters. It is settled when a set is made.
    /// Default `false`; in a URL `store.vector_exclusive`.
    pub exclusive: bool,
    /// How many times more of the nearest nodes than wanted are weighed by a search for maximal marginal relevance:
    /// at least 1. LlamaIndex's `mmr_prefetch_factor` is 4. `None`, the default: all nodes are weighed, which reads
    /// them all. In a URL `store.vector_mmr_prefetch`.
    pub mmr_prefetch: Option<f64>,
}

impl Default for CassandraVectorOptions {
    fn default() -> Self {
        Self {
            engine: CassandraVectorEngine::Auto,
            table: TABLE.to_owned(),
            exclusive: false,
            mmr_prefetch: None,
        }
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

    /// Sets whether none but this store writes to the sets that it makes.
    #[must_use]
    pub fn with_exclusive(mut self, exclusive: bool) -> Self {
        self.exclusive = exclusive;
        self
    }

    /// Sets how many times more nodes than wanted are weighed for maximal marginal relevance.
    #[must_use]
    pub fn with_mmr_prefetch(mut self, factor: f64) -> Self {
        self.mmr_prefetch = Some(factor);
        self
    }

    /// Sets one of the settings of a URL; `None` when it is none of these.
    pub(crate) fn set(&mut self, setting: Setting<'_>) -> Option<Result<()>> {
        Some(match (setting.key, setting.value) {
            ("store.vector_engine", value) => {
                let known = match value {
                    "auto" => Some(CassandraVectorEngine::Auto),
                    "exact" => Some(CassandraVectorEngine::Exact),
                    _ => None,
                };
                known.map(|engine| self.engine = engine).ok_or_else(|| setting.must_be("auto or exact"))
            }
            ("store.vector_exclusive", _) => setting.switch().map(|exclusive| self.exclusive = exclusive),
            ("store.vector_mmr_prefetch", _) => {
                let factor = setting.parsed("a number of at least 1");
                factor.map(|factor| self.mmr_prefetch = Some(factor))
            }
            ("store.vector_table", table) => {
                table.clone_into(&mut self.table);
                Ok(())
            }
            _ => return None,
        })
    }

    /// Refuses settings that can not be.
    pub(crate) fn validate(&self) -> Result<()> {
        if let Some(factor) = self.mmr_prefetch.filter(|factor| !(1.0..=1_000.0).contains(factor)) {
            let message = format!("store.vector_mmr_prefetch is {factor}; it must be from 1 to 1,000");
            return Err(Error::config(message).with_backend(NAME));
        }
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
