//! Exact search: rows are read in pages, and compared here.
//!
//! Of the rows only what a query needs is sent, and only rows that satisfy what its [filter](crate::filter)
//! demands. Queries of one call share one reading.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::kit::exact_search::{ExactSearch, Need, SearchRow, scored};
use store_core::{BoxStream, QueryPlan, Result, ScoredNode, VectorQuery};

use super::rows::{Keep, Row, latest};
use super::scan::{self, Want};
use super::set::{Ready, Set, each_once};
use crate::filter::part;

/// Rows that are read by name at once.
const READ: usize = 400;

fn keep(need: Need) -> Keep {
    Keep { node: need.metadata, text: need.text, embedding: need.embedding, ..Keep::ID }
}

impl Row {
    /// The row as a search sees it.
    fn shown(&self) -> SearchRow<'_> {
        let text = self.text.as_deref().unwrap_or_default();
        SearchRow { id: &self.id, text, embedding: self.embedding.as_deref() }
    }
}

/// Shows every row of the stream to every search.
async fn pass(mut rows: BoxStream<Vec<Row>>, searches: &mut [&mut ExactSearch<'_>]) -> Result<()> {
    while let Some(part) = rows.try_next().await? {
        for row in &part {
            searches.iter_mut().try_for_each(|search| search.offer_node(row.shown(), row.node.as_ref()))?;
        }
    }
    Ok(())
}

/// The rows of these ids, in parts.
pub(super) fn by_name(set: &Arc<Set>, ready: &Arc<Ready>, ids: &[String], keep: Keep) -> BoxStream<Vec<Row>> {
    let parts: Vec<_> = ids.chunks(READ).map(<[String]>::to_vec).collect();
    let (set, ready) = (Arc::clone(set), Arc::clone(ready));
    stream::iter(parts)
        .then(move |ids| {
            let (set, ready) = (Arc::clone(&set), Arc::clone(&ready));
            async move { Ok(latest(scan::by_ids(&set, &ready, &ids, keep).await?)) }
        })
        .boxed()
}

/// The nodes of a ranking, if they are selected still.
async fn fetch(
    set: &Arc<Set>,
    ready: &Arc<Ready>,
    ranked: Vec<(String, f64)>,
    query: &VectorQuery,
) -> Result<Vec<ScoredNode>> {
    if ranked.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = ranked.iter().map(|(id, _)| id.clone()).collect();
    let rows = scan::named(set, ready, &ids, Keep::node(query.with_embeddings)).await?;
    Ok(scored(ranked, rows.into_iter().map(|row| row?.node), &query.selector))
}

/// Answers queries that were found right.
pub(super) async fn queries(
    set: &Arc<Set>,
    ready: &Arc<Ready>,
    queries: &[VectorQuery],
) -> Result<Vec<Vec<ScoredNode>>> {
    let mut searches: Vec<_> = queries.iter().map(|query| ExactSearch::new(query, &ready.config)).collect();
    // Those without named nodes share one reading of all.
    let mut of_all = Vec::new();
    for search in searches.iter_mut().filter(|search| !search.is_vain()) {
        if !search.is_named() {
            of_all.push(search);
            continue;
        }
        let selector = &search.query().selector;
        let keep = keep(search.need());
        let rows = match (&selector.ids, &selector.ref_docs) {
            (None, Some(sources)) => scan::of_sources(set, ready, sources, keep, None),
            (ids, _) => by_name(set, ready, &each_once(ids.as_deref().unwrap_or_default()), keep),
        };
        pass(rows, &mut [search]).await?;
    }
    if !of_all.is_empty() {
        let need = of_all.iter().fold(Need::default(), |need, search| need.and(search.need()));
        let mut want = Want::all(keep(need));
        // Several could not be asked for in one reading.
        if let [search] = of_all.as_slice()
            && !search.wants_all()
        {
            want.alternatives = part(search.query().selector.filter.as_ref(), ready.offers()).alternatives;
        }
        pass(scan::rows(set, ready, &want), &mut of_all).await?;
    }
    let mut answers = Vec::with_capacity(queries.len());
    for (search, query) in searches.into_iter().zip(queries) {
        answers.push(fetch(set, ready, search.finish()?, query).await?);
    }
    Ok(answers)
}

/// How [`queries`] would answer one of them.
pub(super) fn explain(ready: &Ready, query: &VectorQuery) -> QueryPlan {
    let search = ExactSearch::new(query, &ready.config);
    if search.is_vain() {
        return QueryPlan::new("nothing can be found, and nothing is asked for");
    }
    if search.is_named() {
        let mut plan = QueryPlan::new(match &query.selector.ids {
            Some(ids) => format!("the {} named nodes are read and compared here", ids.len()),
            None => "the nodes of the named documents are read and compared here".to_owned(),
        });
        plan.applied_after.clone_from(&query.selector.filter);
        return plan;
    }
    if search.wants_all() {
        let mut plan = QueryPlan::new("every node is read, and its words are weighed here");
        plan.native = Some(format!("SELECT … FROM {}", ready.table));
        plan.applied_after.clone_from(&query.selector.filter);
        return plan;
    }
    let parted = part(query.selector.filter.as_ref(), ready.offers());
    match parted.alternatives.as_slice() {
        [] => {
            let mut plan = QueryPlan::new("the filter matches nothing, and nothing is asked for");
            plan.pushed_down.clone_from(&query.selector.filter);
            plan
        }
        several if several.iter().all(|tests| !tests.is_empty()) => {
            let mut plan = QueryPlan::new(
                "the nodes that the filter's conditions find are read and compared here, exactly",
            );
            let conditions = scan::shown(&parted.alternatives);
            plan.native = Some(format!("SELECT … FROM {} WHERE {conditions}", ready.table));
            plan.pushed_down = parted.pushed_down;
            plan.applied_after = parted.rest;
            plan
        }
        _ => {
            let mut plan = QueryPlan::new("every node is read and compared here, exactly");
            plan.native = Some(format!("SELECT … FROM {}", ready.table));
            plan.applied_after.clone_from(&query.selector.filter);
            plan
        }
    }
}
