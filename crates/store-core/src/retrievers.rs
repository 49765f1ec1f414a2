//! Retrievers over any stores: by vector, by words, and by both.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::{self, Either};

use crate::kit::check;
use crate::kit::fusion::reciprocal_rank_fusion;
use crate::{
    DocStore, Embedder, Embedding, Error, Node, NodeId, QueryKind, QueryKindName, Result, Retriever,
    ScoredNode, Selector, VectorQuery, VectorStore, VectorStoreExt,
};

/// Answers of a retriever unless [`with_top_k`](VectorRetriever::with_top_k) says otherwise.
pub const DEFAULT_TOP_K: usize = 10;

/// The name errors carry.
const OPERATION: &str = "retriever.retrieve";

/// What the three retrievers have in common.
#[derive(Clone, Debug)]
struct Options {
    top_k: usize,
    selector: Selector,
    min_score: Option<f64>,
    docs: Option<Arc<dyn DocStore>>,
}

impl Options {
    fn new() -> Self {
        Self { top_k: DEFAULT_TOP_K, selector: Selector::default(), min_score: None, docs: None }
    }

    /// Refuses what no store could answer, before anything is embedded.
    fn check(&self, question: &str) -> Result<()> {
        check::question(question, self.top_k, self.min_score)
    }

    fn query(&self, kind: QueryKind) -> VectorQuery {
        let mut query = VectorQuery::new(kind, self.top_k).with_selector(self.selector.clone());
        query.min_score = self.min_score;
        query
    }

    /// Takes nodes that came without text from the document store, where one is given and has them.
    async fn fill(&self, mut answers: Vec<ScoredNode>) -> Result<Vec<ScoredNode>> {
        let Some(docs) = &self.docs else { return Ok(answers) };
        let bare: Vec<&mut Node> =
            answers.iter_mut().map(|answer| &mut answer.node).filter(|node| has_no_text(node)).collect();
        let ids: Vec<NodeId> = bare.iter().map(|node| node.id.clone()).collect();
        if ids.is_empty() {
            return Ok(answers);
        }
        for (node, stored) in bare.into_iter().zip(docs.get_many(&ids).await?) {
            if let Some(stored) = stored {
                *node = Node { embedding: node.embedding.take(), ..stored };
            }
        }
        Ok(answers)
    }
}

fn has_no_text(node: &Node) -> bool {
    node.text_content().is_empty()
}

async fn embed_question(embedder: &dyn Embedder, question: &str) -> Result<Embedding> {
    let embeddings = embedder.embed(&[question]).await?;
    let count = embeddings.len();
    match <[Embedding; 1]>::try_from(embeddings) {
        Ok([embedding]) => Ok(embedding),
        Err(_) => Err(Error::new(
            crate::ErrorKind::Other,
            format!("the embedder {} answered {count} embeddings for one text", embedder.model()),
        )),
    }
}

/// The builder methods that all retrievers share.
macro_rules! common_options {
    () => {
        /// Sets the most answers; default [`DEFAULT_TOP_K`], at least 1.
        #[must_use]
        pub fn with_top_k(mut self, top_k: usize) -> Self {
            self.options.top_k = top_k;
            self
        }

        /// Searches only what is selected, before the best are chosen; default everything. Takes a
        /// [`Filter`](crate::Filter) too.
        #[must_use]
        pub fn with_selector(mut self, selector: impl Into<Selector>) -> Self {
            self.options.selector = selector.into();
            self
        }

        /// Answers only scores of at least this, on the scale of this retriever's scores; default any.
        #[must_use]
        pub fn with_min_score(mut self, min_score: f64) -> Self {
            self.options.min_score = Some(min_score);
            self
        }

        /// Fills in answers that come without text from this store, for vector stores that keep none; an answer
        /// it does not have stays bare. One read for all answers of a question; default none.
        #[must_use]
        pub fn with_docs(mut self, docs: Arc<dyn DocStore>) -> Self {
            self.options.docs = Some(docs);
            self
        }
    };
}

/// Finds the nodes nearest to a question by embedding.
///
/// Scores are those of the store's metric. [`retrieve`](Retriever::retrieve) refuses an empty question, `top_k` 0
/// and a threshold outside 0 to 1 with `InvalidInput`, before anything is embedded.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> store_core::Result<()> {
/// use std::sync::Arc;
/// use store_core::{
///     AddMode, Backend, Embedder, HashEmbedder, MemoryBackend, Metric, Node, Retriever, VectorConfig,
///     VectorRetriever,
/// };
///
/// let store = MemoryBackend::new().vectors()?;
/// let embedder = Arc::new(HashEmbedder::new(64)?);
/// store.configure(VectorConfig::new(embedder.dimensions(), Metric::Cosine)).await?;
/// let mut nodes = vec![Node::text("The cat sleeps on the sofa."), Node::text("Stocks fell on Monday.")];
/// for node in &mut nodes {
///     let embeddings = embedder.embed(&[&node.text_content()]).await?;
///     node.set_embedding(&embeddings[0]);
/// }
/// store.upsert(nodes, AddMode::Overwrite).await?;
///
/// let answers = VectorRetriever::new(store, embedder).with_top_k(1).retrieve("where does the cat sleep?").await?;
/// assert_eq!(answers[0].node.text_content(), "The cat sleeps on the sofa.");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct VectorRetriever {
    store: Arc<dyn VectorStore>,
    embedder: Arc<dyn Embedder>,
    mmr: Option<f64>,
    options: Options,
}

impl VectorRetriever {
    /// A retriever over this store; `embedder` must be the one that made the store's vectors.
    #[must_use]
    pub fn new(store: Arc<dyn VectorStore>, embedder: Arc<dyn Embedder>) -> Self {
        Self { store, embedder, mmr: None, options: Options::new() }
    }

    /// Chooses by maximal marginal relevance: answers near the question and unlike the one before. `threshold`
    /// weighs nearness against novelty, 0 to 1 (LlamaIndex's default is 0.5); scores are then the values the
    /// answers were chosen for.
    #[must_use]
    pub fn with_mmr(mut self, threshold: f64) -> Self {
        self.mmr = Some(threshold);
        self
    }

    common_options!();

    async fn answer(&self, question: &str) -> Result<Vec<ScoredNode>> {
        self.options.check(question)?;
        if let Some(threshold) = self.mmr.filter(|threshold| !(0.0..=1.0).contains(threshold)) {
            return Err(Error::invalid_input(format!(
                "the MMR threshold is {threshold} where 0 to 1 is expected"
            )));
        }
        let embedding = embed_question(&self.embedder, question).await?;
        let kind = match self.mmr {
            Some(threshold) => QueryKind::Mmr { embedding, threshold },
            None => QueryKind::Dense { embedding },
        };
        self.options.fill(self.store.query(&self.options.query(kind)).await?).await
    }
}

#[async_trait]
impl Retriever for VectorRetriever {
    async fn retrieve(&self, question: &str) -> Result<Vec<ScoredNode>> {
        self.answer(question).await.map_err(|error| error.with_operation(OPERATION))
    }
}

/// Finds the nodes that hold the words of a question, best first (BM25 where the store has it).
///
/// [`retrieve`](Retriever::retrieve) refuses an empty question and `top_k` 0 with `InvalidInput`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> store_core::Result<()> {
/// use store_core::filter::field;
/// use store_core::{AddMode, Backend, MemoryBackend, Metric, Node, Retriever, TextRetriever, VectorConfig};
///
/// let store = MemoryBackend::new().vectors()?;
/// store.configure(VectorConfig::new(3, Metric::Cosine)).await?;
/// let old = Node::text("Cats in the old town").with_metadata("year", 1999);
/// let new = Node::text("Cats in the new town").with_metadata("year", 2024);
/// store.upsert(vec![old, new], AddMode::Overwrite).await?;
///
/// let recent = TextRetriever::new(store).with_selector(field("year").gte(2020));
/// let answers = recent.retrieve("town cats").await?;
/// assert_eq!(answers.len(), 1);
/// assert_eq!(answers[0].node.text_content(), "Cats in the new town");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TextRetriever {
    store: Arc<dyn VectorStore>,
    options: Options,
}

impl TextRetriever {
    /// A retriever over this store's texts.
    #[must_use]
    pub fn new(store: Arc<dyn VectorStore>) -> Self {
        Self { store, options: Options::new() }
    }

    common_options!();

    async fn answer(&self, question: &str) -> Result<Vec<ScoredNode>> {
        self.options.check(question)?;
        let query = self.options.query(QueryKind::Text { text: question.to_owned() });
        self.options.fill(self.store.query(&query).await?).await
    }
}

#[async_trait]
impl Retriever for TextRetriever {
    async fn retrieve(&self, question: &str) -> Result<Vec<ScoredNode>> {
        self.answer(question).await.map_err(|error| error.with_operation(OPERATION))
    }
}

/// Finds nodes by vector and by words, fused by rank.
///
/// The score is `alpha / (60 + rank by vector) + (1 − alpha) / (60 + rank by text)`, ranks from 1 (see
/// [`fusion`](crate::kit::fusion)). A store that answers hybrid queries is asked once. Otherwise, and over two stores,
/// both sides are asked at the same time and their rankings fused here; `alpha` 0 and 1 ask one side only.
///
/// [`retrieve`](Retriever::retrieve) refuses an empty question, `top_k` 0 and an `alpha` outside 0 to 1 with
/// `InvalidInput`, before anything is embedded.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> store_core::Result<()> {
/// use std::sync::Arc;
/// use store_core::{
///     AddMode, Backend, Embedder, HashEmbedder, HybridRetriever, MemoryBackend, Metric, Node, Retriever,
///     VectorConfig,
/// };
///
/// let store = MemoryBackend::new().vectors()?;
/// let embedder = Arc::new(HashEmbedder::new(64)?);
/// store.configure(VectorConfig::new(embedder.dimensions(), Metric::Cosine)).await?;
/// let embeddings = embedder.embed(&["error E0382: use of moved value"]).await?;
/// let node = Node::text("error E0382: use of moved value").with_embedding(&embeddings[0]);
/// store.upsert(vec![node], AddMode::Overwrite).await?;
///
/// let answers = HybridRetriever::new(store, embedder).with_alpha(0.3).retrieve("what is E0382?").await?;
/// assert_eq!(answers[0].score, 0.3 / 61.0 + (1.0 - 0.3) / 61.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct HybridRetriever {
    vectors: Arc<dyn VectorStore>,
    embedder: Arc<dyn Embedder>,
    /// `None`: the store of the vectors.
    texts: Option<Arc<dyn VectorStore>>,
    alpha: f64,
    depth: Option<usize>,
    options: Options,
}

impl HybridRetriever {
    /// A retriever over one store; `embedder` must be the one that made the store's vectors.
    #[must_use]
    pub fn new(store: Arc<dyn VectorStore>, embedder: Arc<dyn Embedder>) -> Self {
        Self { vectors: store, embedder, texts: None, alpha: 0.5, depth: None, options: Options::new() }
    }

    /// A retriever over two stores of the same nodes: one searched by vector, the other by words. A node that
    /// both find is taken from the first, unless only the second has its text.
    #[must_use]
    pub fn over_two(
        vectors: Arc<dyn VectorStore>,
        embedder: Arc<dyn Embedder>,
        texts: Arc<dyn VectorStore>,
    ) -> Self {
        Self { texts: Some(texts), ..Self::new(vectors, embedder) }
    }

    /// Sets the weight of the vectors: 1 = vectors only, 0 = words only; default 0.5.
    #[must_use]
    pub fn with_alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Sets how deep each ranking is read where the fusion happens here; default ten times `top_k`, at least 100.
    /// What stands below in a ranking counts as absent from it. Never less than `top_k`.
    #[must_use]
    pub fn with_depth(mut self, depth: usize) -> Self {
        self.depth = Some(depth);
        self
    }

    common_options!();

    async fn answer(&self, question: &str) -> Result<Vec<ScoredNode>> {
        self.options.check(question)?;
        if !(0.0..=1.0).contains(&self.alpha) {
            return Err(Error::invalid_input(format!("alpha is {} where 0 to 1 is expected", self.alpha)));
        }
        let native =
            self.texts.is_none() && self.vectors.capabilities().query_kinds.contains(&QueryKindName::Hybrid);
        let answers = if native {
            let embedding = embed_question(&self.embedder, question).await?;
            let kind = QueryKind::Hybrid { embedding, text: question.to_owned(), alpha: self.alpha };
            self.vectors.query(&self.options.query(kind)).await?
        } else {
            self.fused(question).await?
        };
        self.options.fill(answers).await
    }

    async fn fused(&self, question: &str) -> Result<Vec<ScoredNode>> {
        let depth = self.depth.unwrap_or_else(|| self.options.top_k.saturating_mul(10).max(100));
        // The least score is one of the fused scores, so the rankings are read without it.
        let ranking = |kind| {
            VectorQuery::new(kind, depth.max(self.options.top_k)).with_selector(self.options.selector.clone())
        };
        let by_vector = async {
            let embedding = embed_question(&self.embedder, question).await?;
            self.vectors.query(&ranking(QueryKind::Dense { embedding })).await
        };
        let by_text = async {
            let texts = self.texts.as_ref().unwrap_or(&self.vectors);
            texts.query(&ranking(QueryKind::Text { text: question.to_owned() })).await
        };
        let nothing = || future::ready(Ok(Vec::new()));
        let by_vector = if self.alpha > 0.0 { Either::Left(by_vector) } else { Either::Right(nothing()) };
        let by_text = if self.alpha < 1.0 { Either::Left(by_text) } else { Either::Right(nothing()) };
        let (by_vector, by_text) = future::try_join(by_vector, by_text).await?;

        let ids = |ranking: &[ScoredNode]| -> Vec<NodeId> {
            ranking.iter().map(|answer| answer.node.id.clone()).collect()
        };
        let fused = reciprocal_rank_fusion(ids(&by_vector), ids(&by_text), self.alpha, self.options.top_k);
        let mut nodes: HashMap<NodeId, Node> = HashMap::new();
        for ScoredNode { node, .. } in by_vector.into_iter().chain(by_text) {
            if nodes.get(&node.id).is_none_or(has_no_text) {
                nodes.insert(node.id.clone(), node);
            }
        }
        let enough = |score: f64| self.options.min_score.is_none_or(|least| score >= least);
        Ok(fused
            .into_iter()
            .filter(|(_, score)| enough(*score))
            .filter_map(|(id, score)| nodes.remove(&id).map(|node| ScoredNode::new(node, score)))
            .collect())
    }
}

#[async_trait]
impl Retriever for HybridRetriever {
    async fn retrieve(&self, question: &str) -> Result<Vec<ScoredNode>> {
        self.answer(question).await.map_err(|error| error.with_operation(OPERATION))
    }
}

#[cfg(test)]
#[path = "retrievers_tests.rs"]
mod tests;
