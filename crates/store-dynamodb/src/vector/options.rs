//! How vectors are kept and found.

use serde::Deserialize;
use store_core::kit::settings::Setting;
use store_core::{Error, Result};

/// What finds the nodes of a vector set. Decided when the set is configured first, and kept with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DynamoDbVectorEngine {
    /// A vector index if the service has them, else [`Exact`](Self::Exact).
    #[default]
    Auto,
    /// A vector index of the table; `Unsupported` where the service has none (DynamoDB Local).
    Native,
    /// No index: every node is read and compared here, exactly, in bounded memory.
    Exact,
}

/// How the items of a vector set look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DynamoDbVectorLayout {
    /// A table for each set, with everything that searches and filters need.
    #[default]
    Nodestore,
    /// LlamaIndex's: two partitions of the main table, `vector_store/embedding` and
    /// `vector_store/text_id_to_doc_id` (`<set>/…` for a named set). Python reads the embeddings; text and metadata,
    /// which it does not keep, stand beside them. Always searched exactly.
    LlamaIndex,
}

/// How a [`DynamoDbConfig`](crate::DynamoDbConfig) keeps and finds vectors.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct DynamoDbVectorOptions {
    /// What finds the nodes; in a URL `store.vector_engine=auto|native|exact`.
    pub engine: DynamoDbVectorEngine,
    /// How the items look; in a URL `store.vector_layout=nodestore|llamaindex`.
    pub layout: DynamoDbVectorLayout,
    /// Partitions that a new set of our own layout is spread over, 1 to 64; default 4. Each takes 10 GB and some
    /// 1,000 writes a second, and a search without an index reads them side by side. Kept with the set.
    /// `store.vector_partitions`.
    pub partitions: usize,
    /// The metadata field whose text parts the vector index of a new set, so that a search that selects one value of
    /// it looks at that part alone; a node without it is refused. Default `None`. Kept with the set.
    /// `store.vector_tenant`.
    pub tenant: Option<String>,
}

/// Most partitions of a set.
pub(super) const MAX_PARTITIONS: usize = 64;

impl Default for DynamoDbVectorOptions {
    fn default() -> Self {
        Self {
            engine: DynamoDbVectorEngine::Auto,
            layout: DynamoDbVectorLayout::Nodestore,
            partitions: 4,
            tenant: None,
        }
    }
}

impl DynamoDbVectorOptions {
    /// Sets what finds the nodes.
    #[must_use]
    pub fn with_engine(mut self, engine: DynamoDbVectorEngine) -> Self {
        self.engine = engine;
        self
    }

    /// Sets how the items look.
    #[must_use]
    pub fn with_layout(mut self, layout: DynamoDbVectorLayout) -> Self {
        self.layout = layout;
        self
    }

    /// Sets how many partitions a new set is spread over.
    #[must_use]
    pub fn with_partitions(mut self, partitions: usize) -> Self {
        self.partitions = partitions;
        self
    }

    /// Sets the metadata field that parts the vector index of a new set.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Sets one of the settings of a URL; `None` when it is none of these.
    pub(crate) fn set(&mut self, setting: Setting<'_>) -> Option<Result<()>> {
        let Setting { key, value } = setting;
        let bad = |what: &str| setting.must_be(what);
        Some(match key {
            "store.vector_engine" => {
                let known = match value {
                    "auto" => Some(DynamoDbVectorEngine::Auto),
                    "native" => Some(DynamoDbVectorEngine::Native),
                    "exact" => Some(DynamoDbVectorEngine::Exact),
                    _ => None,
                };
                known.map(|engine| self.engine = engine).ok_or_else(|| bad("auto, native or exact"))
            }
            "store.vector_layout" => {
                let known = match value {
                    "nodestore" => Some(DynamoDbVectorLayout::Nodestore),
                    "llamaindex" => Some(DynamoDbVectorLayout::LlamaIndex),
                    _ => None,
                };
                known.map(|layout| self.layout = layout).ok_or_else(|| bad("nodestore or llamaindex"))
            }
            "store.vector_partitions" => {
                let known = value.parse().ok();
                known.map(|count| self.partitions = count).ok_or_else(|| bad("a number from 1 to 64"))
            }
            "store.vector_tenant" => {
                self.tenant = Some(value.to_owned());
                Ok(())
            }
            _ => return None,
        })
    }

    /// Refuses settings that can not be, or contradict each other.
    pub(crate) fn validate(&self) -> Result<()> {
        if !(1..=MAX_PARTITIONS).contains(&self.partitions) {
            return Err(Error::config(format!(
                "store.vector_partitions is {}; it must be a number from 1 to {MAX_PARTITIONS}",
                self.partitions
            )));
        }
        if self.tenant.as_ref().is_some_and(|tenant| tenant.split('.').any(str::is_empty)) {
            return Err(Error::config("store.vector_tenant has an empty part; name a metadata field"));
        }
        if self.layout == DynamoDbVectorLayout::LlamaIndex
            && (self.engine == DynamoDbVectorEngine::Native || self.tenant.is_some())
        {
            return Err(Error::config(
                "store.vector_layout=llamaindex stands in the main table, which has no vector index: leave \
                 store.vector_engine and store.vector_tenant out",
            ));
        }
        Ok(())
    }
}
