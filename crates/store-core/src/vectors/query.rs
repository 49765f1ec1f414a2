//! Queries, their answers, and how a backend would answer them.

use serde::{Deserialize, Serialize};

use super::Selector;
use crate::{Embedding, Filter, Node};

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

    /// Says whether answers carry their embeddings; default `false`.
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
    #[must_use]
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
