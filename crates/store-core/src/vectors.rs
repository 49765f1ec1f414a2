//! Vectors: nodes with embeddings, searched by vector and by words, filtered by metadata.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    AddMode, AddReport, Cursor, Embedding, Filter, JsonObject, Metric, Node, NodeId, Page, RefDocId, Result,
};

/// What a vector store holds; set once by [`VectorStore::configure`] and kept with the data.
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

/// What sort of search a query is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum QueryKind {
    /// Nearest by embedding.
    Dense {
        /// The query's embedding.
        embedding: Embedding,
    },
    /// Best by words (BM25 where the backend has it); only nodes that hold a query word.
    Text {
        /// The query's text.
        text: String,
    },
    /// Both, fused by rank: `alpha / (60 + rank by vector) + (1 − alpha) / (60 + rank by text)`, ranks from 1.
    Hybrid {
        /// The query's embedding.
        embedding: Embedding,
        /// The query's text.
        text: String,
        /// Weight of the vectors, 0 to 1: 1 = vectors only, 0 = text only.
        alpha: f64,
    },
    /// Maximal marginal relevance: near the query, unlike the one chosen before.
    Mmr {
        /// The query's embedding.
        embedding: Embedding,
        /// Weight of relevance against novelty, 0 to 1; LlamaIndex's default is 0.5.
        threshold: f64,
    },
    /// Everything whose score is at least `radius`, best first, at most `top_k`.
    Range {
        /// The query's embedding.
        embedding: Embedding,
        /// Least score.
        radius: f64,
    },
}

impl QueryKind {
    /// The kind without its arguments.
    #[must_use]
    pub fn name(&self) -> QueryKindName {
        match self {
            Self::Dense { .. } => QueryKindName::Dense,
            Self::Text { .. } => QueryKindName::Text,
            Self::Hybrid { .. } => QueryKindName::Hybrid,
            Self::Mmr { .. } => QueryKindName::Mmr,
            Self::Range { .. } => QueryKindName::Range,
        }
    }
}

/// The name of a [`QueryKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum QueryKindName {
    /// [`QueryKind::Dense`].
    Dense,
    /// [`QueryKind::Text`].
    Text,
    /// [`QueryKind::Hybrid`].
    Hybrid,
    /// [`QueryKind::Mmr`].
    Mmr,
    /// [`QueryKind::Range`].
    Range,
}

/// A query of a vector store.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct VectorQuery {
    /// What sort of search.
    pub kind: QueryKind,
    /// Most answers; at least 1. The selector applies before.
    pub top_k: usize,
    /// Least score; `None` (default) = any.
    pub min_score: Option<f64>,
    /// Which nodes take part; the default selects all.
    pub selector: Selector,
    /// Whether answers carry their embeddings; default `false`.
    pub with_embeddings: bool,
}

impl VectorQuery {
    /// A query of any kind.
    #[must_use]
    pub fn new(kind: QueryKind, top_k: usize) -> Self {
        Self { kind, top_k, min_score: None, selector: Selector::default(), with_embeddings: false }
    }

    /// The `top_k` nearest by embedding.
    #[must_use]
    pub fn dense(embedding: Embedding, top_k: usize) -> Self {
        Self::new(QueryKind::Dense { embedding }, top_k)
    }

    /// The `top_k` best by words.
    #[must_use]
    pub fn text(text: impl Into<String>, top_k: usize) -> Self {
        Self::new(QueryKind::Text { text: text.into() }, top_k)
    }

    /// The `top_k` best by both, with equal weight.
    #[must_use]
    pub fn hybrid(embedding: Embedding, text: impl Into<String>, top_k: usize) -> Self {
        Self::new(QueryKind::Hybrid { embedding, text: text.into(), alpha: 0.5 }, top_k)
    }

    /// The `top_k` of maximal marginal relevance, with threshold 0.5.
    #[must_use]
    pub fn mmr(embedding: Embedding, top_k: usize) -> Self {
        Self::new(QueryKind::Mmr { embedding, threshold: 0.5 }, top_k)
    }

    /// Answers only scores of at least this.
    #[must_use]
    pub fn with_min_score(mut self, min_score: f64) -> Self {
        self.min_score = Some(min_score);
        self
    }

    /// Searches only what is selected.
    #[must_use]
    pub fn with_selector(mut self, selector: impl Into<Selector>) -> Self {
        self.selector = selector.into();
        self
    }

    /// Answers carry their embeddings.
    #[must_use]
    pub fn with_embeddings(mut self, with_embeddings: bool) -> Self {
        self.with_embeddings = with_embeddings;
        self
    }
}

/// A node and its score; higher is better.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ScoredNode {
    /// The node.
    pub node: Node,
    /// Cosine in [−1, 1]; the dot product; Euclidean `1 / (1 + distance)`; BM25 > 0; the fused score.
    pub score: f64,
}

impl ScoredNode {
    /// A node with its score.
    #[must_use]
    pub fn new(node: Node, score: f64) -> Self {
        Self { node, score }
    }
}

/// Which nodes an operation is about: its present parts, joined by AND.
///
/// An absent part does not restrict; an empty list selects nothing. Reading, an empty selector means
/// everything; `update` and `delete` refuse it, so that no call erases a store by accident.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Selector {
    /// Only these nodes.
    pub ids: Option<Vec<NodeId>>,
    /// Only nodes of these source documents.
    pub ref_docs: Option<Vec<RefDocId>>,
    /// Only nodes whose metadata matches.
    pub filter: Option<Filter>,
}

impl Selector {
    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// These nodes.
    #[must_use]
    pub fn ids(ids: impl IntoIterator<Item = impl Into<NodeId>>) -> Self {
        Self { ids: Some(ids.into_iter().map(Into::into).collect()), ..Self::default() }
    }

    /// The nodes of these source documents.
    #[must_use]
    pub fn ref_docs(ids: impl IntoIterator<Item = impl Into<RefDocId>>) -> Self {
        Self { ref_docs: Some(ids.into_iter().map(Into::into).collect()), ..Self::default() }
    }

    /// Also restricts by metadata.
    #[must_use]
    pub fn with_filter(mut self, filter: impl Into<Filter>) -> Self {
        self.filter = Some(filter.into());
        self
    }

    /// Also restricts to these nodes.
    #[must_use]
    pub fn with_ids(mut self, ids: impl IntoIterator<Item = impl Into<NodeId>>) -> Self {
        self.ids = Some(ids.into_iter().map(Into::into).collect());
        self
    }

    /// Also restricts to the nodes of these source documents.
    #[must_use]
    pub fn with_ref_docs(mut self, ids: impl IntoIterator<Item = impl Into<RefDocId>>) -> Self {
        self.ref_docs = Some(ids.into_iter().map(Into::into).collect());
        self
    }

    /// Whether nothing restricts: no part, or only an empty `All` filter.
    #[must_use]
    pub fn is_unrestricted(&self) -> bool {
        let everything = |filter: &Filter| matches!(filter, Filter::All(parts) if parts.is_empty());
        self.ids.is_none() && self.ref_docs.is_none() && self.filter.as_ref().is_none_or(everything)
    }

    /// Whether this node is selected: the law that every backend's answer is held against.
    #[must_use]
    pub fn selects(&self, node: &Node) -> bool {
        self.ids.as_ref().is_none_or(|ids| ids.contains(&node.id))
            && self
                .ref_docs
                .as_ref()
                .is_none_or(|sources| node.ref_doc_id().is_some_and(|source| sources.contains(&source)))
            && self.filter.as_ref().is_none_or(|filter| filter.matches(&node.metadata))
    }
}

impl From<Filter> for Selector {
    fn from(filter: Filter) -> Self {
        Self::default().with_filter(filter)
    }
}

/// Options of [`VectorStore::get`].
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct GetOptions {
    /// Whether nodes carry their embeddings; default `false`.
    pub with_embeddings: bool,
    /// Most items in the page; `None` (default) = all.
    pub limit: Option<usize>,
    /// Goes on after a page of the same selector.
    pub after: Option<Cursor>,
}

impl GetOptions {
    /// Nodes carry their embeddings.
    #[must_use]
    pub fn with_embeddings(mut self, with_embeddings: bool) -> Self {
        self.with_embeddings = with_embeddings;
        self
    }

    /// Sets the page size; at least 1.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Goes on after a page of the same selector.
    #[must_use]
    pub fn with_after(mut self, after: Cursor) -> Self {
        self.after = Some(after);
        self
    }
}

/// A change of top-level metadata; the other metadata, text and embedding stay.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct MetadataPatch {
    /// Entries to set: an existing one keeps its place, a new one goes last.
    pub set: JsonObject,
    /// Entries to remove; a key that is also set is `InvalidInput`.
    pub unset: Vec<String>,
}

impl MetadataPatch {
    /// A patch that changes nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an entry.
    #[must_use]
    pub fn with_set(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.set.insert(key.into(), value.into());
        self
    }

    /// Removes an entry.
    #[must_use]
    pub fn with_unset(mut self, key: impl Into<String>) -> Self {
        self.unset.push(key.into());
        self
    }

    /// Changes `metadata` as the patch says.
    pub fn apply(&self, metadata: &mut JsonObject) {
        metadata.retain(|key, _| !self.unset.contains(key));
        metadata.extend(self.set.clone());
    }
}

/// How a backend would answer a query; for people, logs and `doctor`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct QueryPlan {
    /// What finds the answers, in a few words: `exact scan of 1,000 of 100,000 vectors in memory`.
    pub summary: String,
    /// The native query, as text, where there is one.
    pub native: Option<String>,
    /// The part of the filter which the backend applies itself.
    pub pushed_down: Option<Filter>,
    /// The part of the filter which we apply afterwards, before top-k.
    pub applied_after: Option<Filter>,
    /// Nodes that take part, where this is known without running the query.
    pub candidates: Option<u64>,
}

impl QueryPlan {
    /// A plan with this summary and nothing else known.
    pub fn new(summary: impl Into<String>) -> Self {
        Self {
            summary: summary.into(),
            native: None,
            pushed_down: None,
            applied_after: None,
            candidates: None,
        }
    }
}

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

/// A page of the different values of a field.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DistinctValues {
    /// Values, distinct by type and value (`1`, `1.0`, `"1"` and `true` are four), sorted bool, number, text.
    pub values: Vec<Value>,
    /// How many there are before paging.
    pub total: usize,
}

impl DistinctValues {
    /// A page of values and their total.
    #[must_use]
    pub fn new(values: Vec<Value>, total: usize) -> Self {
        Self { values, total }
    }
}

/// Options of [`VectorFields::distinct`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DistinctOptions {
    /// Keeps values whose text form holds this, ignoring case.
    pub search: Option<String>,
    /// Values to pass over; default 0.
    pub offset: usize,
    /// Most values; `None` (default) = all.
    pub limit: Option<usize>,
}

impl DistinctOptions {
    /// Keeps values whose text form holds this, ignoring case.
    #[must_use]
    pub fn with_search(mut self, search: impl Into<String>) -> Self {
        self.search = Some(search.into());
        self
    }

    /// Passes over so many values.
    #[must_use]
    pub fn with_offset(mut self, offset: usize) -> Self {
        self.offset = offset;
        self
    }

    /// Answers at most so many.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }
}

/// The type of a metadata field over all nodes that have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FieldKind {
    /// Only texts.
    Text,
    /// Only integers.
    Integer,
    /// Only floats.
    Float,
    /// Only bools.
    Bool,
    /// Only lists.
    List,
    /// Only objects.
    Object,
    /// More than one of these.
    Mixed,
}

/// Questions about metadata fields. Keys are in dot notation; null and missing values are left out.
#[async_trait]
pub trait VectorFields: std::fmt::Debug + Send + Sync {
    /// The different scalar values of a field.
    async fn distinct(
        &self,
        key: &str,
        selector: &Selector,
        options: DistinctOptions,
    ) -> Result<DistinctValues>;

    /// How many different scalar values each field has, in the order of `keys`.
    async fn count_distinct(&self, keys: &[&str], selector: &Selector) -> Result<Vec<usize>>;

    /// Least and greatest value of a field, numbers before texts; `None` when it has neither.
    async fn min_max(&self, key: &str, selector: &Selector) -> Result<Option<(Value, Value)>>;

    /// The types of the top-level fields in use, by key.
    async fn field_info(&self) -> Result<Vec<(String, FieldKind)>>;
}
