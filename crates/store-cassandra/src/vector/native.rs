//! Search by the table's vector index.
//!
//! The index answers the rows nearest to an embedding, at most 1,000, of those with certain entries of metadata. They
//! are scored and held against the whole filter here. Everything else is for [`exact`](super::exact): other sorts of
//! query, more answers, named nodes, a filter that so many of the nearest fail that too few are left, more rows of one
//! score than could be ordered. So no answer is narrower than asked for; what the index itself misses, being
//! approximate, it misses.

use std::borrow::Cow;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::similarity::rounded;
use store_core::{Embedding, QueryKind, QueryPlan, Result, ScoredNode, VectorQuery};

use super::exact::{self, conditions};
use super::fit::fit;
use super::rows::{self, Keep, latest};
use super::set::{Ready, Set};
use super::table::is_building;
use crate::codec::{int, text, vector};
use crate::config::CassandraConsistency;
use crate::filter::{Parted, part};
use crate::session::{Call, Class};

/// Rows that the index answers at most.
const MOST: usize = 1_000;
/// How many times more rows than wanted are asked for, where some may fail what is left of the filter.
const SPARE: usize = 4;
/// Searches of one call that are under way at once.
const AT_ONCE: usize = 8;

/// A query as the index takes it.
struct Asked<'a> {
    embedding: &'a Embedding,
    /// The embedding as the index takes it.
    fitted: Cow<'a, [f32]>,
    /// Least score.
    least: Option<f64>,
    parted: Parted,
    limit: usize,
}

/// A query as the index takes it; or why it does not.
fn asked<'a>(ready: &Ready, query: &'a VectorQuery) -> Result<Asked<'a>, &'static str> {
    let (embedding, least) = match &query.kind {
        QueryKind::Dense { embedding } => (embedding, query.min_score),
        QueryKind::Range { embedding, radius } => {
            (embedding, Some(query.min_score.map_or(*radius, |least| least.max(*radius))))
        }
        _ => return Err("the index answers searches by vector alone"),
    };
    if query.top_k >= MOST {
        return Err("the index answers less than 1,000 nodes");
    }
    if query.selector.ids.is_some() || query.selector.ref_docs.is_some() {
        return Err("the nodes or documents are named");
    }
    let filter = query.selector.filter.as_ref();
    let mut parted = part(filter);
    if !ready.live.entries {
        parted = Parted { rest: filter.cloned(), ..Parted::default() };
    }
    let spare = if parted.rest.is_some() { query.top_k.saturating_mul(SPARE) } else { query.top_k };
    // Some more, since the index does not order equal scores.
    let limit = spare.saturating_add(10).min(MOST);
    let fitted =
        fit(ready.config.metric, embedding).map_err(|_| "the index can not compute with the embedding")?;
    Ok(Asked { embedding, fitted, least, parted, limit })
}

fn statement(ready: &Ready, keep: Keep, asked: &Asked<'_>) -> String {
    let entries = vec!["metadata_s[?] = ?"; asked.parted.entries.len()].join(" AND ");
    let entries = if entries.is_empty() { entries } else { format!(" WHERE {entries}") };
    let columns = keep.columns(ready.live.own);
    format!("SELECT {columns} FROM {}{entries} ORDER BY vector ANN OF ? LIMIT ?", ready.table)
}

/// Answers by the index; `None` where it can not tell.
async fn query(set: &Set, ready: &Ready, query: &VectorQuery) -> Result<Option<Vec<ScoredNode>>> {
    let Ok(asked) = asked(ready, query) else { return Ok(None) };
    let keep = Keep::node(true);
    let entries = asked.parted.entries.iter();
    let mut values: Vec<_> =
        entries.flat_map(|(key, value)| [text(key.as_str()), text(value.as_str())]).collect();
    values.extend([vector(&asked.fitted), int(i32::try_from(asked.limit).unwrap_or(1))]);
    let call = Call::new(Class::Read, statement(ready, keep, &asked), values)
        // The server takes no other for this, and would lower it with a warning.
        .with_consistency(CassandraConsistency::LocalOne);
    let answer = match set.space.run(call).await {
        Err(error) if is_building(&error) => return Ok(None),
        answer => answer?,
    };
    let whole = answer.len() < asked.limit;
    let rows = answer.iter().map(|row| rows::read(&row, keep, ready.live.own)).collect::<Result<_>>()?;
    let (mut found, mut last) = (Vec::new(), f64::INFINITY);
    for row in latest(rows) {
        let (Some(mut node), Some(embedding)) = (row.node, row.embedding) else { continue };
        let score = ready.config.metric.score(asked.embedding, &embedding);
        last = last.min(score);
        if asked.least.is_none_or(|least| score >= rounded(least)) && query.selector.selects(&node) {
            if !query.with_embeddings {
                node.embedding = None;
            }
            found.push(ScoredNode::new(node, score));
        }
    }
    found.sort_by(|left, right| {
        right.score.total_cmp(&left.score).then_with(|| left.node.id.cmp(&right.node.id))
    });
    found.truncate(query.top_k);
    let below = asked.least.is_some_and(|least| last < rounded(least));
    // Beyond the last row there may be others of its score.
    let enough = found.len() == query.top_k && found.last().is_some_and(|found| found.score > last);
    Ok((whole || below || enough).then_some(found))
}

/// Answers queries that were found right.
pub(super) async fn queries(
    set: &Arc<Set>,
    ready: &Arc<Ready>,
    queries: &[VectorQuery],
) -> Result<Vec<Vec<ScoredNode>>> {
    // Collected first: a stream over borrowed queries is not general enough for the compiler.
    let searches: Vec<_> = queries.iter().map(|one| query(set, ready, one)).collect();
    let mut answers: Vec<Option<Vec<ScoredNode>>> =
        stream::iter(searches).buffered(AT_ONCE).try_collect().await?;
    let open: Vec<VectorQuery> = queries
        .iter()
        .zip(&answers)
        .filter(|(_, answer)| answer.is_none())
        .map(|(query, _)| query.clone())
        .collect();
    if !open.is_empty() {
        let mut exact = exact::queries(set, ready, &open).await?.into_iter();
        answers.iter_mut().filter(|answer| answer.is_none()).for_each(|answer| *answer = exact.next());
    }
    Ok(answers.into_iter().map(Option::unwrap_or_default).collect())
}

/// How [`queries`] would answer one of them.
pub(super) fn explain(ready: &Ready, query: &VectorQuery) -> QueryPlan {
    let asked = match asked(ready, query) {
        Ok(asked) => asked,
        Err(why) => {
            let mut plan = exact::explain(ready, query);
            plan.summary = format!("{why}; {}", plan.summary);
            return plan;
        }
    };
    let how = "the vector index finds what is nearest, and may miss some";
    let mut plan = QueryPlan::new(match &asked.parted.rest {
        None => how.to_owned(),
        Some(_) => format!(
            "{how}; the {} nearest are held against the rest of the filter here, and if too few are left nodes are \
             read without the index",
            asked.limit
        ),
    });
    let entries = match asked.parted.entries.as_slice() {
        [] => String::new(),
        entries => format!(" WHERE {}", conditions(entries)),
    };
    plan.native = Some(format!(
        "SELECT … FROM {}{entries} ORDER BY vector ANN OF … LIMIT {}",
        ready.table, asked.limit
    ));
    plan.pushed_down = asked.parted.pushed_down;
    plan.applied_after = asked.parted.rest;
    plan
}
