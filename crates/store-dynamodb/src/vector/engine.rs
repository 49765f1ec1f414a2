//! What finds nodes: a vector index, or a read of every row.

use std::sync::Arc;

use async_trait::async_trait;
use store_core::{QueryPlan, Result, ScoredNode, VectorQuery};

use super::set::{Ready, Set};

/// What finds the nodes of a set. The rows themselves are written and read by the store, the same for both.
#[async_trait]
pub(super) trait Engine: std::fmt::Debug + Send + Sync {
    /// Answers queries that were found right.
    async fn queries(
        &self,
        set: &Arc<Set>,
        ready: &Arc<Ready>,
        queries: &[VectorQuery],
    ) -> Result<Vec<Vec<ScoredNode>>>;

    /// How [`queries`](Self::queries) would answer one of them.
    fn explain(&self, ready: &Ready, query: &VectorQuery) -> QueryPlan;
}
