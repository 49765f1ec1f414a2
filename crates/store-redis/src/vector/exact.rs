//! Exact search without the search module: every row is read, and compared here.
//!
//! Of the rows only what a query needs is sent (the embeddings, for one by vector without a filter), in parts, and
//! none of it is kept but what may yet be an answer. In memory are the ids; for a hybrid query a score beside each;
//! for maximal marginal relevance, which weighs them against each other, the embeddings of all that is selected.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::kit::exact_search::{ExactSearch, Need, SearchRow, scored};
use store_core::{
    BoxStream, NodeId, QueryPlan, Result, ScoredNode, Selector, VectorCapabilities, VectorConfig, VectorQuery,
};

use super::beside::Beside;
use super::engine::{Candidates, Engine};
use super::rows::Keep;
use super::scan::{self, Row};
use super::set::Set;
use crate::schema::begins_with;

/// The engine that reads every row.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadAll;

impl Row {
    /// The row as a search sees it.
    fn shown(&self) -> SearchRow<'_> {
        let text = self.text.as_deref().unwrap_or_default();
        SearchRow { id: &self.id, text, embedding: self.embedding.as_deref() }
    }
}

/// Shows every row to every search.
async fn pass(
    set: &Arc<Set>,
    ids: BoxStream<Vec<String>>,
    searches: &mut [&mut ExactSearch<'_>],
) -> Result<()> {
    let need = searches.iter().fold(Need::default(), |need, search| need.and(search.need()));
    let mut rows = scan::rows(set, ids, need);
    while let Some(part) = rows.try_next().await? {
        for row in &part {
            searches.iter_mut().try_for_each(|search| search.offer_node(row.shown(), row.node.as_ref()))?;
        }
    }
    Ok(())
}

/// The nodes of a ranking, if they are selected still.
async fn fetch(set: &Set, ranked: Vec<(String, f64)>, query: &VectorQuery) -> Result<Vec<ScoredNode>> {
    let ids: Vec<String> = ranked.iter().map(|(id, _)| id.clone()).collect();
    let nodes = set.read(&ids, Keep { embedding: query.with_embeddings }).await?;
    Ok(scored(ranked, nodes, &query.selector))
}

/// Answers queries; those without named nodes share one reading of all.
async fn answers(
    set: &Arc<Set>,
    config: &VectorConfig,
    queries: &[VectorQuery],
) -> Result<Vec<Vec<ScoredNode>>> {
    let mut searches: Vec<_> = queries.iter().map(|query| ExactSearch::new(query, config)).collect();
    let mut of_all = Vec::new();
    for search in searches.iter_mut().filter(|search| !search.is_vain()) {
        match search.named() {
            Some(ids) => {
                let ids = ids.into_iter().map(NodeId::into_string).collect();
                pass(set, stream::iter([Ok(ids)]).boxed(), &mut [search]).await?;
            }
            None => of_all.push(search),
        }
    }
    if !of_all.is_empty() {
        pass(set, scan::ids(set), &mut of_all).await?;
    }
    let mut answers = Vec::with_capacity(queries.len());
    for (search, query) in searches.into_iter().zip(queries) {
        answers.push(fetch(set, search.finish()?, query).await?);
    }
    Ok(answers)
}

#[async_trait]
impl Engine for ReadAll {
    fn capabilities(&self) -> VectorCapabilities {
        VectorCapabilities::new().with_fields(true)
    }

    async fn prepare(&self, _set: &Arc<Set>, _config: &VectorConfig) -> Result<()> {
        Ok(())
    }

    async fn forget(&self, _set: &Set) -> Result<()> {
        Ok(())
    }

    async fn query(
        &self,
        set: &Arc<Set>,
        config: &VectorConfig,
        query: &VectorQuery,
        beside: &Beside,
    ) -> Result<Vec<ScoredNode>> {
        let found = self.queries(set, config, std::slice::from_ref(query), beside).await?;
        Ok(found.into_iter().next().unwrap_or_default())
    }

    async fn queries(
        &self,
        set: &Arc<Set>,
        config: &VectorConfig,
        queries: &[VectorQuery],
        beside: &Beside,
    ) -> Result<Vec<Vec<ScoredNode>>> {
        Box::pin(join(beside.ask(&set.space), answers(set, config, queries))).await.1
    }

    fn explain(&self, set: &Set, config: &VectorConfig, query: &VectorQuery) -> Result<QueryPlan> {
        let search = ExactSearch::new(query, config);
        let pattern = begins_with(&set.rows);
        let (how, native) = match search.named() {
            _ if search.is_vain() => ("nothing can be found, and nothing is asked for".to_owned(), None),
            Some(ids) => (format!("the {} named nodes are read and compared here", ids.len()), None),
            None => (
                "no index: every node of the set is read and compared here, exactly".to_owned(),
                Some(format!("SCAN 0 MATCH {pattern} TYPE hash, on every primary; HMGET of each key")),
            ),
        };
        let mut plan = QueryPlan::new(how);
        plan.native = native;
        plan.applied_after.clone_from(&query.selector.filter);
        Ok(plan)
    }

    fn candidates(
        &self,
        set: &Arc<Set>,
        _config: &Arc<VectorConfig>,
        selector: &Selector,
    ) -> BoxStream<Candidates> {
        if selector.ref_docs.as_ref().is_some_and(Vec::is_empty) {
            return stream::empty().boxed();
        }
        let sure = selector.is_unrestricted();
        scan::ids(set).map_ok(move |ids| Candidates { ids, sure }).boxed()
    }

    async fn sure_count(
        &self,
        _set: &Arc<Set>,
        _config: &Arc<VectorConfig>,
        _selector: &Selector,
    ) -> Result<Option<(usize, BoxStream<Candidates>)>> {
        Ok(None)
    }
}
