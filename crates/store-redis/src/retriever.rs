//! Retrieving by words from any index of the search module.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use store_core::kit::check;
use store_core::{DEFAULT_TOP_K, Error, ErrorKind, Node, Result, Retriever, ScoredNode};

use crate::RedisBackend;
use crate::error::at;
use crate::space::Space;
use crate::vector::{IndexQuery, IndexRow, search_index};

const RETRIEVE: &str = "retriever.retrieve";
/// Answers that the search module gives to one question.
const MOST: usize = 10_000;

/// Finds the hashes of any index of the search module that hold a word of a question, best first (BM25), as nodes.
///
/// A hash of LlamaIndex's layout comes back as the node that was stored. Of any other, the node has the text field as
/// its text, the key of the hash as its id, and the metadata fields that were asked for. Equal scores are ordered by
/// id. Embeddings are not read.
///
/// Over the store's own vectors, with filters, by vector or by both, use core's retrievers
/// ([`TextRetriever`](store_core::TextRetriever), [`HybridRetriever`](store_core::HybridRetriever)) on
/// [`vectors`](store_core::Backend::vectors): they need no module.
///
/// ```no_run
/// # use store_redis::{RedisBackend, RedisConfig};
/// use store_core::Retriever;
///
/// # async fn retrieve() -> store_core::Result<()> {
/// let store = RedisBackend::connect(RedisConfig::new("redis://localhost")).await?;
/// let retriever = store.text_retriever("articles").with_text_field("body").with_top_k(3);
/// for answer in retriever.retrieve("which cats sleep by day?").await? {
///     println!("{} {}", answer.score, answer.node.text_content());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RedisTextRetriever {
    space: Arc<Space>,
    index: String,
    text_field: String,
    metadata: Vec<String>,
    top_k: usize,
    min_score: Option<f64>,
}

impl RedisBackend {
    /// A retriever by words over an index of hashes, by the index's own name; see [`RedisTextRetriever`].
    #[must_use]
    pub fn text_retriever(&self, index: impl Into<String>) -> RedisTextRetriever {
        RedisTextRetriever {
            space: Arc::clone(&self.space),
            index: index.into(),
            text_field: "text".to_owned(),
            metadata: Vec::new(),
            top_k: DEFAULT_TOP_K,
            min_score: None,
        }
    }
}

impl RedisTextRetriever {
    /// The field that holds the text, which the index must have as `TEXT`: letters, digits and `_`, not a digit
    /// first. Default `text`.
    #[must_use]
    pub fn with_text_field(mut self, field: impl Into<String>) -> Self {
        self.text_field = field.into();
        self
    }

    /// The fields that become metadata, where they are there; default none.
    #[must_use]
    pub fn with_metadata(mut self, fields: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.metadata = fields.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the most answers; default [`DEFAULT_TOP_K`], at least 1, at most 10,000.
    #[must_use]
    pub fn with_top_k(mut self, top_k: usize) -> Self {
        self.top_k = top_k;
        self
    }

    /// Answers only scores of at least this; default any.
    #[must_use]
    pub fn with_min_score(mut self, min_score: f64) -> Self {
        self.min_score = Some(min_score);
        self
    }

    fn check(&self, question: &str) -> Result<()> {
        check::question(question, self.top_k, self.min_score)?;
        if self.top_k > MOST {
            let message = format!("top_k is {}; the search module answers at most {MOST}", self.top_k);
            return Err(Error::invalid_input(message));
        }
        // It becomes a part of the query.
        let name = &self.text_field;
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if name.is_empty() || !plain || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(Error::invalid_input(format!(
                "the text field {name:?} must be of letters, digits and _, and not begin with a digit"
            )));
        }
        if !self.space.server.search {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the server has no search module; search the store's own vectors by words with TextRetriever",
            ));
        }
        Ok(())
    }

    async fn answer(&self, question: &str) -> Result<Vec<ScoredNode>> {
        self.check(question)?;
        let query = IndexQuery {
            index: &self.index,
            field: &self.text_field,
            text: question,
            returned: &self.metadata,
            top_k: self.top_k,
        };
        let mut answers = Vec::new();
        for row in search_index(&self.space, &query).await? {
            let score = row.score;
            if self.min_score.is_none_or(|least| score >= least) {
                answers.push(ScoredNode::new(self.node(row), score));
            }
        }
        answers.sort_by(|left, right| {
            right.score.total_cmp(&left.score).then_with(|| left.node.id.cmp(&right.node.id))
        });
        Ok(answers)
    }

    fn node(&self, row: IndexRow) -> Node {
        if let Some(node) = row.node {
            return node;
        }
        let text = row.fields.get(&self.text_field).and_then(Value::as_str).unwrap_or_default();
        let mut node = Node::text(text).with_id(row.key);
        let wanted = |name: &String| Some((name.clone(), row.fields.get(name)?.clone()));
        node.metadata = self.metadata.iter().filter_map(wanted).collect();
        node
    }
}

#[async_trait]
impl Retriever for RedisTextRetriever {
    async fn retrieve(&self, question: &str) -> Result<Vec<ScoredNode>> {
        self.answer(question).await.map_err(at(RETRIEVE))
    }
}
