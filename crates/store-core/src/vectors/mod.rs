//! Vectors: nodes with embeddings, searched by vector and by words, filtered by metadata.

mod config;
mod fields;
mod query;
mod selector;

use async_trait::async_trait;

use crate::{AddMode, AddReport, Metric, Node, Page, Result};

pub use config::{FieldType, FilterableField, VectorConfig};
pub use fields::{DistinctOptions, DistinctValues, FieldKind, MetadataPass, VectorFields};
pub use query::{QueryKind, QueryKindName, QueryPlan, ScoredNode, VectorQuery};
pub use selector::{GetOptions, MetadataPatch, Selector};

/// What a vector store can do.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct VectorCapabilities {
    /// The kinds of query it answers.
    pub query_kinds: Vec<QueryKindName>,
    /// The metrics it offers.
    pub metrics: Vec<Metric>,
    /// Whether some filters are refused with `Unsupported` or `InvalidInput`.
    pub may_refuse_filters: bool,
    /// Whether a node without an embedding is refused with `InvalidInput`.
    pub needs_embeddings: bool,
    /// Whether [`VectorStore::fields`] answers.
    pub fields: bool,
    /// Most dimensions; `None` = no limit of its own.
    pub max_dimensions: Option<usize>,
}

impl VectorCapabilities {
    /// Every kind and metric, every filter, every node, no field operations, no limit; set the fields that differ.
    #[must_use]
    pub fn new() -> Self {
        use QueryKindName as Kind;
        Self {
            query_kinds: vec![Kind::Dense, Kind::Text, Kind::Hybrid, Kind::Mmr, Kind::Range],
            metrics: vec![Metric::Cosine, Metric::Dot, Metric::Euclidean],
            may_refuse_filters: false,
            needs_embeddings: false,
            fields: false,
            max_dimensions: None,
        }
    }

    /// Says whether [`VectorStore::fields`] answers.
    #[must_use]
    pub fn with_fields(mut self, fields: bool) -> Self {
        self.fields = fields;
        self
    }
}

impl Default for VectorCapabilities {
    fn default() -> Self {
        Self::new()
    }
}

/// A store of nodes with embeddings.
///
/// Before [`configure`](VectorStore::configure), every call but `config` and `capabilities` is `Config`.
/// Vectors are kept at least as `f32`; everything else comes back equal. Ties are ordered by id.
#[async_trait]
pub trait VectorStore: std::fmt::Debug + Send + Sync + 'static {
    /// Sets dimensions, metric and filterable fields; kept with the data. Equal again is fine, other
    /// dimensions or another metric are `Config`.
    async fn configure(&self, config: VectorConfig) -> Result<()>;

    /// What was configured, if anything was.
    async fn config(&self) -> Result<Option<VectorConfig>>;

    /// What this store can do.
    fn capabilities(&self) -> VectorCapabilities;

    /// Writes nodes. A wrong dimension, a value that is not finite, or an all-zero embedding under cosine is
    /// `InvalidInput`, names the nodes, and nothing is written. A node without embedding is stored and found by
    /// everything but a search by vector.
    async fn upsert(&self, nodes: Vec<Node>, mode: AddMode) -> Result<AddReport>;

    /// Answers each query, best first, equal scores by id.
    async fn query_many(&self, queries: &[VectorQuery]) -> Result<Vec<Vec<ScoredNode>>>;

    /// How [`query_many`](VectorStore::query_many) would answer this query.
    async fn explain(&self, query: &VectorQuery) -> Result<QueryPlan>;

    /// One page of the selected nodes, in a stable order of the backend's own.
    async fn get(&self, selector: &Selector, options: GetOptions) -> Result<Page<Node>>;

    /// Changes the metadata of the selected nodes, atomically for each; answers how many were selected.
    async fn update(&self, selector: &Selector, patch: &MetadataPatch) -> Result<usize>;

    /// Removes the selected nodes; answers how many.
    async fn delete(&self, selector: &Selector) -> Result<usize>;

    /// How many nodes are selected.
    async fn count(&self, selector: &Selector) -> Result<usize>;

    /// Removes all nodes and keeps the configuration.
    async fn clear(&self) -> Result<()>;

    /// Questions about metadata fields, where the backend answers them.
    fn fields(&self) -> Option<&dyn VectorFields>;
}

/// Single-item calls for every [`VectorStore`].
#[async_trait]
pub trait VectorStoreExt: VectorStore {
    /// Answers one query, best first, equal scores by id.
    async fn query(&self, query: &VectorQuery) -> Result<Vec<ScoredNode>> {
        Ok(self.query_many(std::slice::from_ref(query)).await?.into_iter().next().unwrap_or_default())
    }
}

impl<T: VectorStore + ?Sized> VectorStoreExt for T {}
