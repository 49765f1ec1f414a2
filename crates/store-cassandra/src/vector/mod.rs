//! Nodes with embeddings, in cassio's table as LlamaIndex's `CassandraVectorStore` uses it.
//!
//! Both sides see each other's [rows]. What finds nodes is the table's vector index ([`native`]), or a read of the
//! rows that could be meant ([`exact`]).

mod exact;
mod fields;
mod fit;
mod native;
mod options;
mod rows;
mod scan;
mod select;
mod set;
mod table;
pub(crate) mod terms;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use store_core::kit::{check, vector_check};
use store_core::{
    AddMode, AddReport, GetOptions, MetadataPatch, Node, Page, QueryPlan, Result, ScoredNode, Selector,
    VectorCapabilities, VectorConfig, VectorFields, VectorQuery, VectorStore,
};

pub use self::options::{CassandraVectorEngine, CassandraVectorOptions};
pub(crate) use self::set::{Memories, set_names};
use self::set::{Ready, Set};
use crate::error::at;
use crate::space::Space;

/// What the vector role can do.
pub(crate) fn capabilities() -> VectorCapabilities {
    let mut capabilities = VectorCapabilities::new().with_fields(true);
    capabilities.max_dimensions = Some(table::MAX_DIMENSIONS);
    capabilities
}

/// Removes a set; answers whether it was configured.
pub(crate) async fn drop_set(space: &Arc<Space>, name: Option<&str>) -> Result<bool> {
    Set::new(Arc::clone(space), name).drop().await
}

/// The vector role: one vector set.
#[derive(Clone, Debug)]
pub(crate) struct CassandraVectorStore {
    set: Arc<Set>,
}

impl CassandraVectorStore {
    /// A set of the space.
    pub(crate) fn new(space: Arc<Space>, name: Option<&str>) -> Self {
        Self { set: Arc::new(Set::new(space, name)) }
    }

    /// Answers queries. In one round trip where the set is known: the table is looked at beside, in case that another
    /// handle has changed it.
    async fn answers(&self, queries: &[VectorQuery]) -> Result<Vec<Vec<ScoredNode>>> {
        if let Some(fresh) = self.set.fresh() {
            match self.answer_all(&fresh, queries).await {
                // It may have been dropped or changed in that moment.
                Err(error) if !error.is_retryable() => {}
                answers => return answers,
            }
        }
        if let Some(known) = self.set.known() {
            let (now, answers) =
                futures::future::join(self.set.stored(), self.answer_all(&known, queries)).await;
            if now?.is_some_and(|now| Arc::ptr_eq(&now, &known)) {
                return answers;
            }
        }
        let ready = self.set.configured().await?;
        self.answer_all(&ready, queries).await
    }

    async fn answer_all(&self, ready: &Arc<Ready>, queries: &[VectorQuery]) -> Result<Vec<Vec<ScoredNode>>> {
        queries.iter().try_for_each(|query| vector_check::query(query, &ready.config))?;
        if ready.has_index(&self.set.space) {
            native::queries(&self.set, ready, queries).await
        } else {
            exact::queries(&self.set, ready, queries).await
        }
    }
}

#[async_trait]
impl VectorStore for CassandraVectorStore {
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
        capabilities()
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
            let native = ready.has_index(&self.set.space);
            Ok(if native { native::explain(&self.set, &ready, query) } else { exact::explain(&ready, query) })
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
