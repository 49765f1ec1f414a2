//! Exact search: every row is read, and compared here.
//!
//! Of the rows only what a query needs is sent, in pages; the service leaves out what it can tell that the filter does
//! not match. Queries of one call share one reading.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::kit::exact_search::{ExactSearch, Need, SearchRow, scored};
use store_core::{BoxStream, QueryPlan, Result, ScoredNode, Selector, VectorQuery};

use super::engine::Engine;
use super::rows::{Keep, Row};
use super::scan::{self, Want};
use super::select::resolved;
use super::set::{Ready, Set, each_once};
use crate::filter::{Expression, Native, Parted, part};

/// Rows that are read by name at once.
const READ: usize = 400;

/// The engine that reads every row.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadAll;

/// The filter of a selector, parted.
pub(super) fn parted(ready: &Ready, selector: &Selector) -> Parted {
    match &selector.filter {
        Some(filter) => part(filter, ready.names.shadow),
        None => Parted { native: Native::Everything, pushed_down: None, rest: None },
    }
}

fn keep(need: Need) -> Keep {
    Keep { node: need.metadata, text: need.text, embedding: need.embedding, source: false }
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
fn by_name(
    set: &Arc<Set>,
    ready: &Arc<Ready>,
    ids: &[String],
    keep: Keep,
    consistent: bool,
) -> BoxStream<Vec<Row>> {
    let parts: Vec<_> = ids.chunks(READ).map(<[String]>::to_vec).collect();
    let (set, ready) = (Arc::clone(set), Arc::clone(ready));
    stream::iter(parts)
        .then(move |ids| {
            let (set, ready) = (Arc::clone(&set), Arc::clone(&ready));
            async move {
                let rows = set.read(&ready, &ids, keep, consistent).await?;
                Ok(rows.into_iter().flatten().collect())
            }
        })
        .boxed()
}

/// The nodes of a ranking, if they are selected still.
pub(super) async fn fetch(
    set: &Set,
    ready: &Ready,
    ranked: Vec<(String, f64)>,
    query: &VectorQuery,
) -> Result<Vec<ScoredNode>> {
    if ranked.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = ranked.iter().map(|(id, _)| id.clone()).collect();
    let consistent = set.space.config.consistent_reads;
    let rows = set.read(ready, &ids, Keep::node(query.with_embeddings), consistent).await?;
    Ok(scored(ranked, rows.into_iter().map(|row| row?.node), &query.selector))
}

#[async_trait]
impl Engine for ReadAll {
    async fn queries(
        &self,
        set: &Arc<Set>,
        ready: &Arc<Ready>,
        queries: &[VectorQuery],
    ) -> Result<Vec<Vec<ScoredNode>>> {
        let consistent = set.space.config.consistent_reads;
        let mut plain = Vec::with_capacity(queries.len());
        for query in queries {
            let selector = resolved(set, ready, &query.selector, consistent).await?.into_owned();
            plain.push(VectorQuery::clone(query).with_selector(selector));
        }
        let mut searches: Vec<_> = plain.iter().map(|query| ExactSearch::new(query, &ready.config)).collect();
        // Those without named nodes share one reading of all.
        let mut of_all = Vec::new();
        for search in searches.iter_mut().filter(|search| !search.is_vain()) {
            if !search.is_named() {
                of_all.push(search);
                continue;
            }
            let selector = &search.query().selector;
            let ids = match (&selector.ids, &selector.ref_docs) {
                (None, Some(sources)) => scan::of_sources(set, ready, sources, consistent).await?,
                (ids, _) => each_once(ids.as_deref().unwrap_or_default()),
            };
            let rows = by_name(set, ready, &ids, keep(search.need()), consistent);
            pass(rows, &mut [search]).await?;
        }
        if !of_all.is_empty() {
            let need = of_all.iter().fold(Need::default(), |need, search| need.and(search.need()));
            let filter = match of_all.as_slice() {
                [search] if !search.wants_all() => parted(ready, &search.query().selector).native,
                // What any of several looks at could be too long to be asked for, and seldom saves anything.
                _ => Native::Everything,
            };
            let want = Want { keep: keep(need), filter, consistent };
            pass(scan::rows(set, ready, want), &mut of_all).await?;
        }
        let mut answers = Vec::with_capacity(queries.len());
        for (search, query) in searches.into_iter().zip(&plain) {
            answers.push(fetch(set, ready, search.finish()?, query).await?);
        }
        Ok(answers)
    }

    fn explain(&self, ready: &Ready, query: &VectorQuery) -> QueryPlan {
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
        let count = ready.partitions.len();
        if search.wants_all() {
            let mut plan = QueryPlan::new(format!(
                "no index: every node of {count} partitions is read, and its words are weighed here"
            ));
            plan.native = Some(native(ready, &Native::Everything));
            plan.applied_after.clone_from(&query.selector.filter);
            return plan;
        }
        let parted = parted(ready, &query.selector);
        let mut plan = QueryPlan::new(format!(
            "no index: every node of {count} partitions is read by the service, and what it admits is compared here, \
             exactly"
        ));
        plan.native = Some(native(ready, &parted.native));
        plan.pushed_down = parted.pushed_down;
        plan.applied_after = parted.rest;
        plan
    }
}

/// The request, in words.
fn native(ready: &Ready, filter: &Native) -> String {
    let mut expression = Expression::default();
    let of = format!("Query {} {}={}", ready.table, ready.keys.partition, ready.partitions.join("|"));
    match expression.text(filter) {
        None => of,
        Some(text) => {
            let mut names: Vec<_> = expression.names().unwrap_or_default().into_iter().collect();
            names.sort();
            let names: Vec<_> = names.into_iter().map(|(token, name)| format!("{token}={name:?}")).collect();
            format!("{of} FilterExpression {text} with {}", names.join(", "))
        }
    }
}
