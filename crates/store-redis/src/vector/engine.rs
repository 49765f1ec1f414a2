//! What finds nodes: the search module, or whatever stands in for it.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::{
    BoxStream, Error, ErrorKind, QueryKind, QueryPlan, Result, ScoredNode, Selector, VectorCapabilities,
    VectorConfig, VectorQuery,
};

use super::beside::Beside;
use super::set::Set;

/// Queries of one call that the server works on at once.
const QUERIES: usize = 4;

/// Ids that may be selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Candidates {
    /// Each once.
    pub(super) ids: Vec<String>,
    /// Whether all of them are selected for sure; else the caller reads them and asks
    /// [`selects`](super::set::selects).
    pub(super) sure: bool,
}

/// What finds the nodes of a set. The rows themselves are written and read by the store, the same for every engine.
#[async_trait]
pub(super) trait Engine: std::fmt::Debug + Send + Sync {
    fn capabilities(&self) -> VectorCapabilities;

    /// Makes what the searches need, if it is not there, and holds it against the configuration if it is. Called at
    /// `configure`, and before the first use of a set by a handle.
    async fn prepare(&self, set: &Arc<Set>, config: &VectorConfig) -> Result<()>;

    /// Removes what [`prepare`](Self::prepare) made, if it is there; the rows stay.
    async fn forget(&self, set: &Set) -> Result<()>;

    /// Answers a query that was found right, and asks what is to be asked beside it.
    async fn query(
        &self,
        set: &Arc<Set>,
        config: &VectorConfig,
        query: &VectorQuery,
        beside: &Beside,
    ) -> Result<Vec<ScoredNode>>;

    /// Answers several queries that were found right, each as [`query`](Self::query) does.
    async fn queries(
        &self,
        set: &Arc<Set>,
        config: &VectorConfig,
        queries: &[VectorQuery],
        beside: &Beside,
    ) -> Result<Vec<Vec<ScoredNode>>> {
        // Collected first: a stream over borrowed queries is not general enough for the compiler.
        let searches: Vec<_> = queries.iter().map(|query| self.query(set, config, query, beside)).collect();
        stream::iter(searches).buffered(QUERIES).try_collect().await
    }

    /// How [`query`](Self::query) would answer.
    fn explain(&self, set: &Set, config: &VectorConfig, query: &VectorQuery) -> Result<QueryPlan>;

    /// At least all that a selector without ids selects, in any order, each id once, as a stream of bounded parts.
    fn candidates(
        &self,
        set: &Arc<Set>,
        config: &Arc<VectorConfig>,
        selector: &Selector,
    ) -> BoxStream<Candidates>;

    /// How many candidates are selected for sure, without naming them, and the stream of the others; `None` where
    /// that is no cheaper than [`candidates`](Self::candidates).
    async fn sure_count(
        &self,
        set: &Arc<Set>,
        config: &Arc<VectorConfig>,
        selector: &Selector,
    ) -> Result<Option<(usize, BoxStream<Candidates>)>>;
}

/// The error of a sort of query that nothing here answers.
pub(super) fn not_offered(kind: &QueryKind) -> Error {
    Error::new(ErrorKind::Unsupported, format!("this backend does not offer {:?} queries", kind.name()))
}
