//! Nodes with embeddings, in LlamaIndex's layout, searched by the search module or without it.
//!
//! The rows ([`rows`]), their writing ([`write`]) and everything that goes by id are the same for all; what finds
//! nodes is an [`engine`]: the module ([`search`]), a vector set ([`vector_set`]), or a read of every row ([`exact`]).

mod answer;
mod any_index;
mod beside;
mod engine;
mod exact;
mod fields;
mod index;
mod linked;
mod options;
mod plan;
mod prefilter;
mod ranking;
mod rows;
mod scan;
mod search;
mod select;
mod set;
pub(crate) mod terms;
mod vector_set;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use store_core::kit::{check, vector_check};
use store_core::{
    AddMode, AddReport, Error, ErrorKind, GetOptions, MetadataPatch, Node, Page, QueryPlan, Result,
    ScoredNode, Selector, VectorCapabilities, VectorConfig, VectorFields, VectorQuery, VectorStore,
};

pub(crate) use self::any_index::{IndexQuery, IndexRow, keys_of_index, search_index};
use self::beside::Beside;
use self::engine::Engine;
use self::exact::ReadAll;
pub use self::options::{RedisVectorEngine, RedisVectorIndex, RedisVectorOptions};
#[cfg(any(test, nodestore_fuzz))]
pub(crate) use self::rows::{Keep, from_bytes, spelled, spelled_back, to_bytes, to_fields, to_node};
use self::search::ModuleSearch;
use self::set::Set;
pub(crate) use self::set::{Memories, set_names};
use self::vector_set::VectorSetSearch;
use crate::error::at;
use crate::space::Space;

/// What the vector role of this space can do; `None` where there is no engine for it.
pub(crate) fn capabilities(space: &Space) -> Option<VectorCapabilities> {
    engine(space).ok().map(|engine| engine.capabilities())
}

/// Whether queries by words read every node, here, and those by vector unless there is a vector set: no index helps.
pub(crate) fn is_exact(space: &Space) -> bool {
    let server = &space.server;
    match space.config.vectors.engine {
        RedisVectorEngine::Search => false,
        // In a cluster an index sees the keys of one node only, unless the module is the coordinator's edition.
        RedisVectorEngine::Auto => !server.search || server.mode == "cluster",
        RedisVectorEngine::Exact | RedisVectorEngine::VectorSet => true,
    }
}

/// The engine of a space.
fn engine(space: &Space) -> Result<Arc<dyn Engine>> {
    let server = &space.server;
    if space.config.vectors.engine == RedisVectorEngine::VectorSet {
        let refused = |why: &str| Err(Error::new(ErrorKind::Unsupported, why));
        return if !server.vector_sets {
            refused("the server has no vector sets (Redis 8 has them); choose another store.vector_engine")
        } else if server.mode == "cluster" {
            refused(
                "in a cluster a vector set and its rows are on different nodes and can not change in one step; choose \
                 another store.vector_engine",
            )
        } else {
            Ok(Arc::new(VectorSetSearch))
        };
    }
    if is_exact(space) {
        return Ok(Arc::new(ReadAll));
    }
    if space.server.search {
        return Ok(Arc::new(ModuleSearch));
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        "the server has no search module; open the store with store.vector_engine=exact, or load the module",
    ))
}

/// Removes the indexes of every set of the space; they are no keys, and a SCAN does not meet them.
pub(crate) async fn drop_indexes(space: &Space) -> Result<()> {
    if space.server.search { index::drop_all(space).await } else { Ok(()) }
}

/// The vector role: one vector set.
#[derive(Clone, Debug)]
pub(crate) struct RedisVectorStore {
    set: Arc<Set>,
    engine: Arc<dyn Engine>,
}

/// Removes a set; answers whether it was configured.
pub(crate) async fn drop_set(space: &Arc<Space>, set: Option<&str>) -> Result<bool> {
    let store = RedisVectorStore::new(Arc::clone(space), set)?;
    if let Some(config) = store.set.stored_config().await? {
        store.remove_all(&config).await?;
    }
    store.engine.forget(&store.set).await?;
    linked::forget(&store.set).await?;
    store.set.remove_config().await
}

impl RedisVectorStore {
    /// A set of the space; `Unsupported` where the server lacks what was asked for.
    pub(crate) fn new(space: Arc<Space>, set: Option<&str>) -> Result<Self> {
        let engine = engine(&space)?;
        Ok(Self { set: Arc::new(Set::new(space, set)), engine })
    }

    /// The configuration, once the engine is ready for it; `Config` when there is none.
    async fn configured(&self) -> Result<Arc<VectorConfig>> {
        let config = self.set.configured().await?;
        self.prepare(&config).await?;
        Ok(config)
    }

    async fn prepare(&self, config: &Arc<VectorConfig>) -> Result<()> {
        let mut ready = self.set.memory.ready.lock().await;
        if ready.as_ref().is_none_or(|ready| !Arc::ptr_eq(ready, config)) {
            self.engine_for(config).await?;
            *ready = Some(Arc::clone(config));
        }
        Ok(())
    }

    async fn set_config(&self, config: &VectorConfig) -> Result<()> {
        if let Some(stored) = self.set.stored_config().await? {
            vector_check::same_config(&stored, config)?;
        }
        self.engine_for(config).await?;
        self.set.store_config(config).await
    }

    /// Makes the engine ready for a configuration.
    async fn engine_for(&self, config: &VectorConfig) -> Result<()> {
        if self.set.linked.is_none() {
            linked::refuse(&self.set).await?;
        }
        self.engine.prepare(&self.set, config).await
    }

    /// Answers queries. In one round trip where the configuration is known: it is asked for along with them, in case
    /// that another handle has changed it.
    async fn answers(&self, queries: &[VectorQuery]) -> Result<Vec<Vec<ScoredNode>>> {
        let known = self.set.memory.ready.lock().await.clone();
        if let Some(known) = known {
            let beside = Beside::new(self.set.config_command());
            let answers = self.answer_all(&known, queries, &beside).await;
            let config = match beside.answer(&self.set.space).await? {
                Some(config) => self.set.config_of(&config)?,
                None => return answers,
            };
            if config.is_some_and(|config| Arc::ptr_eq(&config, &known)) {
                match answers {
                    // Somebody dropped it; it is made again below.
                    Err(error) if index::is_unknown(&error) => *self.set.memory.ready.lock().await = None,
                    answers => return answers,
                }
            }
        }
        let config = self.configured().await?;
        self.answer_all(&config, queries, &Beside::nothing()).await
    }

    async fn answer_all(
        &self,
        config: &VectorConfig,
        queries: &[VectorQuery],
        beside: &Beside,
    ) -> Result<Vec<Vec<ScoredNode>>> {
        queries.iter().try_for_each(|query| vector_check::query(query, config))?;
        if let [query] = queries {
            return Ok(vec![self.engine.query(&self.set, config, query, beside).await?]);
        }
        self.engine.queries(&self.set, config, queries, beside).await
    }
}

#[async_trait]
impl VectorStore for RedisVectorStore {
    async fn configure(&self, config: VectorConfig) -> Result<()> {
        let configure = async {
            vector_check::config(&config, self.capabilities().max_dimensions)?;
            self.set_config(&config).await
        };
        configure.await.map_err(at("vectors.configure"))
    }

    async fn config(&self) -> Result<Option<VectorConfig>> {
        let config = self.set.stored_config().await.map_err(at("vectors.config"))?;
        Ok(config.map(|config| VectorConfig::clone(&config)))
    }

    fn capabilities(&self) -> VectorCapabilities {
        self.engine.capabilities()
    }

    async fn upsert(&self, nodes: Vec<Node>, mode: AddMode) -> Result<AddReport> {
        let upsert = async {
            let config = self.configured().await?;
            self.write(&config, nodes, mode).await
        };
        upsert.await.map_err(at("vectors.upsert"))
    }

    async fn query_many(&self, queries: &[VectorQuery]) -> Result<Vec<Vec<ScoredNode>>> {
        self.answers(queries).await.map_err(at("vectors.query"))
    }

    async fn explain(&self, query: &VectorQuery) -> Result<QueryPlan> {
        let explain = async {
            let config = self.configured().await?;
            vector_check::query(query, &config)?;
            self.engine.explain(&self.set, &config, query)
        };
        explain.await.map_err(at("vectors.explain"))
    }

    async fn get(&self, selector: &Selector, options: GetOptions) -> Result<Page<Node>> {
        let get = async {
            let config = self.configured().await?;
            self.page(&config, selector, &options).await
        };
        get.await.map_err(at("vectors.get"))
    }

    async fn update(&self, selector: &Selector, patch: &MetadataPatch) -> Result<usize> {
        let update = async {
            let config = self.configured().await?;
            check::restricted(selector)?;
            vector_check::patch(patch)?;
            self.patch(&config, selector, patch).await
        };
        update.await.map_err(at("vectors.update"))
    }

    async fn delete(&self, selector: &Selector) -> Result<usize> {
        let delete = async {
            let config = self.configured().await?;
            check::restricted(selector)?;
            self.remove(&config, selector).await
        };
        delete.await.map_err(at("vectors.delete"))
    }

    async fn count(&self, selector: &Selector) -> Result<usize> {
        let count = async {
            let config = self.configured().await?;
            check::valid_selector(selector)?;
            self.count_selected(&config, selector).await
        };
        count.await.map_err(at("vectors.count"))
    }

    async fn clear(&self) -> Result<()> {
        let clear = async {
            let config = self.configured().await?;
            self.remove_all(&config).await
        };
        clear.await.map_err(at("vectors.clear"))
    }

    fn fields(&self) -> Option<&dyn VectorFields> {
        Some(self)
    }
}
