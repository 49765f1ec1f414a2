//! How vectors are kept and found.

use serde::Deserialize;
use store_core::Result;
use store_core::kit::settings::Setting;

/// What finds the nodes of a vector store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RedisVectorEngine {
    /// The search module if the server has it and is no cluster, else [`Exact`](Self::Exact).
    #[default]
    Auto,
    /// The search module; opening the role on a server without it is `Unsupported`.
    Search,
    /// No module: every row is read and compared here, exactly, in bounded memory.
    Exact,
    /// A vector set (Redis 8) beside the rows, compared by cosine only: searches by vector walk its graph and may miss
    /// some nodes, all else is as with [`Exact`](Self::Exact). A set of vectors that was made so is opened so by
    /// everyone.
    VectorSet,
}

/// The sort of index that the search module keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RedisVectorIndex {
    /// Every vector is compared: exact. LlamaIndex's default.
    #[default]
    Flat,
    /// A graph (HNSW): faster on many vectors, and may miss some.
    Hnsw,
}

/// How a [`RedisConfig`](crate::RedisConfig) keeps and finds vectors. An index that exists must agree with it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct RedisVectorOptions {
    /// What finds the nodes; in a URL `store.vector_engine=auto|search|exact|vector_set`.
    pub engine: RedisVectorEngine,
    /// The sort of index; in a URL `store.vector_index=flat|hnsw`.
    pub index: RedisVectorIndex,
    /// HNSW: most edges of a vector in each layer; default 16, as in LlamaIndex. `store.hnsw_m`.
    pub hnsw_m: u32,
    /// HNSW: candidates that are weighed when a vector is added; default 200. `store.hnsw_ef_construction`.
    pub hnsw_ef_construction: u32,
    /// HNSW: candidates that are weighed by a search; default 10, in a vector set at least 200, the server's own
    /// default. `store.hnsw_ef_runtime`.
    pub hnsw_ef_runtime: u32,
    /// HNSW: how much farther than its radius a search by radius looks, as a share of it; default 0.01.
    /// `store.hnsw_epsilon`.
    pub hnsw_epsilon: f64,
}

impl Default for RedisVectorOptions {
    fn default() -> Self {
        Self {
            engine: RedisVectorEngine::Auto,
            index: RedisVectorIndex::Flat,
            hnsw_m: 16,
            hnsw_ef_construction: 200,
            hnsw_ef_runtime: 10,
            hnsw_epsilon: 0.01,
        }
    }
}

impl RedisVectorOptions {
    /// Sets what finds the nodes.
    #[must_use]
    pub fn with_engine(mut self, engine: RedisVectorEngine) -> Self {
        self.engine = engine;
        self
    }

    /// Sets the sort of index.
    #[must_use]
    pub fn with_index(mut self, index: RedisVectorIndex) -> Self {
        self.index = index;
        self
    }

    /// Sets the most edges of a vector in each layer of HNSW.
    #[must_use]
    pub fn with_hnsw_m(mut self, edges: u32) -> Self {
        self.hnsw_m = edges;
        self
    }

    /// Sets how many candidates HNSW weighs when a vector is added.
    #[must_use]
    pub fn with_hnsw_ef_construction(mut self, candidates: u32) -> Self {
        self.hnsw_ef_construction = candidates;
        self
    }

    /// Sets how many candidates HNSW weighs in a search.
    #[must_use]
    pub fn with_hnsw_ef_runtime(mut self, candidates: u32) -> Self {
        self.hnsw_ef_runtime = candidates;
        self
    }

    /// Sets how much farther than its radius a search by radius looks, as a share of it.
    #[must_use]
    pub fn with_hnsw_epsilon(mut self, share: f64) -> Self {
        self.hnsw_epsilon = share;
        self
    }

    /// Sets one of the settings of a URL; `None` when it is none of these.
    pub(crate) fn set(&mut self, setting: Setting<'_>) -> Option<Result<()>> {
        let Setting { key, value } = setting;
        let bad = |what: &str| setting.must_be(what);
        let number = |target: &mut u32| {
            let number = value.parse().ok().filter(|number| *number > 0);
            *target = number.ok_or_else(|| bad("a number above 0"))?;
            Ok(())
        };
        Some(match key {
            "store.vector_engine" => {
                let known = match value {
                    "auto" => Some(RedisVectorEngine::Auto),
                    "search" => Some(RedisVectorEngine::Search),
                    "exact" => Some(RedisVectorEngine::Exact),
                    "vector_set" => Some(RedisVectorEngine::VectorSet),
                    _ => None,
                };
                known
                    .map(|engine| self.engine = engine)
                    .ok_or_else(|| bad("auto, search, exact or vector_set"))
            }
            "store.vector_index" => {
                let known = match value {
                    "flat" => Some(RedisVectorIndex::Flat),
                    "hnsw" => Some(RedisVectorIndex::Hnsw),
                    _ => None,
                };
                known.map(|index| self.index = index).ok_or_else(|| bad("flat or hnsw"))
            }
            "store.hnsw_m" => number(&mut self.hnsw_m),
            "store.hnsw_ef_construction" => number(&mut self.hnsw_ef_construction),
            "store.hnsw_ef_runtime" => number(&mut self.hnsw_ef_runtime),
            "store.hnsw_epsilon" => {
                let known = value.parse::<f64>().ok().filter(|epsilon| *epsilon > 0.0 && epsilon.is_finite());
                known.map(|epsilon| self.hnsw_epsilon = epsilon).ok_or_else(|| bad("a number above 0"))
            }
            _ => return None,
        })
    }
}
