//! Nodes with embeddings, searched by a vector index or without one.
//!
//! The rows ([`rows`]), their writing ([`write`]) and everything that goes by id are the same for all; what finds
//! nodes is an [`engine`]: a vector index of the table ([`native`]), or a read of every row ([`exact`]).

mod engine;
mod exact;
mod fields;
mod native;
mod options;
mod rows;
mod scan;
mod select;
mod set;
mod shadow;
mod sources;
mod table;
mod write;

use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use store_core::kit::{check, vector_check};
use store_core::{
    AddMode, AddReport, GetOptions, MetadataPatch, Node, Page, QueryPlan, Result, ScoredNode, Selector,
    VectorCapabilities, VectorConfig, VectorFields, VectorQuery, VectorStore,
};

use self::engine::Engine;
use self::exact::ReadAll;
use self::native::IndexSearch;
pub use self::options::{DynamoDbVectorEngine, DynamoDbVectorLayout, DynamoDbVectorOptions};
pub(crate) use self::set::{Memories, set_names};
use self::set::{Ready, Set, State};
pub(crate) use self::table::how;
use crate::error::at;
use crate::space::Space;
use crate::tables;

/// What the vector role can do.
pub(crate) fn capabilities(space: &Space) -> VectorCapabilities {
    let mut capabilities = VectorCapabilities::new().with_fields(true);
    if space.config.vectors.engine == DynamoDbVectorEngine::Native {
        capabilities.max_dimensions = Some(table::MAX_DIMENSIONS);
    }
    capabilities.needs_embeddings = space.config.vectors.layout == DynamoDbVectorLayout::LlamaIndex;
    capabilities
}

/// The engine of a set.
fn engine(ready: &Ready) -> &'static dyn Engine {
    match ready.state {
        State::Active => &IndexSearch,
        // An index that does not hold every row yet would answer too little.
        State::None | State::Building(_) | State::Gone => &ReadAll,
    }
}

/// The vector role: one vector set.
#[derive(Clone, Debug)]
pub(crate) struct DynamoDbVectorStore {
    set: Arc<Set>,
}

/// Removes a set; answers whether it was configured.
pub(crate) async fn drop_set(space: &Arc<Space>, name: Option<&str>) -> Result<bool> {
    let store = DynamoDbVectorStore::new(Arc::clone(space), name);
    let ready = store.set.stored().await?;
    if space.config.vectors.layout == DynamoDbVectorLayout::Nodestore {
        if ready.is_some() {
            tables::delete(space, &store.set.own_table()).await?;
        }
        return Ok(ready.is_some());
    }
    let Some(ready) = ready else { return Ok(false) };
    store.remove_all(&ready).await?;
    store.set.forget().await?;
    Ok(true)
}

impl DynamoDbVectorStore {
    /// A set of the space.
    pub(crate) fn new(space: Arc<Space>, name: Option<&str>) -> Self {
        Self { set: Arc::new(Set::new(space, name)) }
    }

    /// Answers queries. In one round trip where the set is known: its configuration is asked for beside, in case that
    /// another handle has changed it.
    async fn answers(&self, queries: &[VectorQuery]) -> Result<Vec<Vec<ScoredNode>>> {
        let used = self.set.memory.used.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(used) = used {
            let (now, answers) =
                futures::future::join(self.set.stored(), self.answer_all(&used, queries)).await;
            if now?.is_some_and(|now| Arc::ptr_eq(&now, &used)) {
                return answers;
            }
        }
        let ready = self.set.configured().await?;
        *self.set.memory.used.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&ready));
        self.answer_all(&ready, queries).await
    }

    async fn answer_all(&self, ready: &Arc<Ready>, queries: &[VectorQuery]) -> Result<Vec<Vec<ScoredNode>>> {
        queries.iter().try_for_each(|query| vector_check::query(query, &ready.config))?;
        engine(ready).queries(&self.set, ready, queries).await
    }
}

#[async_trait]
impl VectorStore for DynamoDbVectorStore {
    async fn configure(&self, config: VectorConfig) -> Result<()> {
        let configure = async {
            vector_check::config(&config, self.capabilities().max_dimensions)?;
            self.set.configure(&config).await
        };
        configure.await.map_err(at("vectors.configure"))
    }

    async fn config(&self) -> Result<Option<VectorConfig>> {
        let ready = self.set.stored().await.map_err(at("vectors.config"))?;
        Ok(ready.map(|ready| ready.config.clone()))
    }

    fn capabilities(&self) -> VectorCapabilities {
        capabilities(&self.set.space)
    }

    async fn upsert(&self, nodes: Vec<Node>, mode: AddMode) -> Result<AddReport> {
        let upsert = async {
            let ready = self.set.configured().await?;
            self.write(&ready, nodes, mode).await
        };
        upsert.await.map_err(at("vectors.upsert"))
    }

    async fn query_many(&self, queries: &[VectorQuery]) -> Result<Vec<Vec<ScoredNode>>> {
        self.answers(queries).await.map_err(at("vectors.query"))
    }

    async fn explain(&self, query: &VectorQuery) -> Result<QueryPlan> {
        let explain = async {
            let ready = self.set.configured().await?;
            vector_check::query(query, &ready.config)?;
            Ok(engine(&ready).explain(&ready, query))
        };
        explain.await.map_err(at("vectors.explain"))
    }

    async fn get(&self, selector: &Selector, options: GetOptions) -> Result<Page<Node>> {
        let get = async {
            let ready = self.set.configured().await?;
            self.page(&ready, selector, &options).await
        };
        get.await.map_err(at("vectors.get"))
    }

    async fn update(&self, selector: &Selector, patch: &MetadataPatch) -> Result<usize> {
        let update = async {
            let ready = self.set.configured().await?;
            check::restricted(selector)?;
            vector_check::patch(patch)?;
            self.patch(&ready, selector, patch).await
        };
        update.await.map_err(at("vectors.update"))
    }

    async fn delete(&self, selector: &Selector) -> Result<usize> {
        let delete = async {
            let ready = self.set.configured().await?;
            check::restricted(selector)?;
            self.remove(&ready, selector).await
        };
        delete.await.map_err(at("vectors.delete"))
    }

    async fn count(&self, selector: &Selector) -> Result<usize> {
        let count = async {
            let ready = self.set.configured().await?;
            check::valid_selector(selector)?;
            self.count_selected(&ready, selector).await
        };
        count.await.map_err(at("vectors.count"))
    }

    async fn clear(&self) -> Result<()> {
        let clear = async {
            let ready = self.set.configured().await?;
            self.remove_all(&ready).await
        };
        clear.await.map_err(at("vectors.clear"))
    }

    fn fields(&self) -> Option<&dyn VectorFields> {
        Some(self)
    }
}
