//! Retrievers: from a question to ranked nodes.

use async_trait::async_trait;

use crate::{Result, ScoredNode};

/// Answers a question with ranked nodes.
#[async_trait]
pub trait Retriever: std::fmt::Debug + Send + Sync + 'static {
    /// The best nodes for the question, best first.
    async fn retrieve(&self, question: &str) -> Result<Vec<ScoredNode>>;
}
