//! Search by the table's vector index.
//!
//! The index answers the rows nearest to an embedding, at most 1,000, of those that satisfy some conditions. They are
//! scored and held against the whole filter here. First as many are asked for as should do; where more of them fail the
//! filter, or have one score, 1,000. Everything else is for [`exact`](super::exact): other sorts of query, more answers,
//! named nodes, a filter that so many of the nearest fail that too few are left, more rows of one score than could be
//! ordered. So no answer is narrower than asked for; what the index itself misses, being approximate, it misses.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use futures::future::try_join_all;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::kit::exact_search::answer_open;
use store_core::kit::mmr;
use store_core::kit::similarity::rounded;
use store_core::{Embedding, QueryKind, QueryPlan, Result, ScoredNode, VectorQuery};

use super::exact;
use super::fit::fit;
use super::rows::{self, Keep, Row, latest};
use super::scan::{condition, shown};
use super::set::{Ready, Set};
use super::table::is_building;
use crate::codec::{int, vector};
use crate::config::CassandraConsistency;
use crate::filter::{Parted, Tests, part};
use crate::session::{Call, Class, Rows};

/// Rows that the index answers at most.
const MOST: usize = 1_000;
/// How many times more rows than wanted are asked for, where some may fail what is left of the filter.
const SPARE: usize = 4;
/// And so many besides.
const BESIDES: usize = 10;
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
    /// How many nodes are wanted of the nearest.
    wanted: usize,
    /// Of maximal marginal relevance.
    threshold: Option<f64>,
}

impl Asked<'_> {
    /// How many rows are asked for, first and then.
    fn limits(&self) -> [usize; 2] {
        let first = match &self.parted.rest {
            // One more tells whether others have the score of the last one.
            None => self.wanted + 1,
            Some(_) => self.wanted.saturating_mul(SPARE).saturating_add(BESIDES),
        };
        [first.min(MOST), MOST]
    }
}

/// A query as the index takes it; or why it does not.
fn asked<'a>(set: &Set, ready: &Ready, query: &'a VectorQuery) -> Result<Asked<'a>, &'static str> {
    let prefetch = set.space.config.vectors.mmr_prefetch;
    let (mut wanted, mut threshold) = (query.top_k, None);
    let (embedding, least) = match (&query.kind, prefetch) {
        (QueryKind::Dense { embedding }, _) => (embedding, query.min_score),
        (QueryKind::Range { embedding, radius }, _) => {
            (embedding, Some(query.min_score.map_or(*radius, |least| least.max(*radius))))
        }
        (QueryKind::Mmr { embedding, threshold: weight }, Some(factor)) => {
            wanted = prefetched(query.top_k, factor);
            threshold = Some(*weight);
            (embedding, query.min_score)
        }
        _ => return Err("the index answers searches by vector alone"),
    };
    if wanted >= MOST {
        return Err("the index answers less than 1,000 nodes");
    }
    if query.selector.ids.is_some() || query.selector.ref_docs.is_some() {
        return Err("the nodes or documents are named");
    }
    let parted = part(query.selector.filter.as_ref(), ready.offers());
    let fitted =
        fit(ready.config.metric, embedding).map_err(|_| "the index can not compute with the embedding")?;
    Ok(Asked { embedding, fitted, least, parted, wanted, threshold })
}

/// How many nodes are weighed for maximal marginal relevance (LlamaIndex: `max(k, int(k * factor))`).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the factor is from 1 to 1,000, and what is too much is refused"
)]
fn prefetched(top_k: usize, factor: f64) -> usize {
    top_k.max((top_k as f64 * factor) as usize)
}

fn statement(ready: &Ready, keep: Keep, tests: &Tests, asked: &Asked<'_>, limit: usize) -> Call {
    let (conditions, values): (Vec<_>, Vec<_>) = tests.iter().map(condition).unzip();
    let conditions =
        if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    let columns = keep.columns(ready.live.own);
    let text = format!("SELECT {columns} FROM {}{conditions} ORDER BY vector ANN OF ? LIMIT ?", ready.table);
    let mut values: Vec<_> = values.into_iter().flatten().collect();
    values.extend([vector(&asked.fitted), int(i32::try_from(limit).unwrap_or(1))]);
    // The server takes no other consistency for this, and would lower it with a warning.
    Call::new(Class::Read, text, values).with_consistency(CassandraConsistency::LocalOne)
}

/// A node that was found, and its embedding as it is kept.
struct Found {
    scored: ScoredNode,
    embedding: Vec<f32>,
}

/// What the answers to all alternatives tell; `None` where too few rows were asked for.
fn settle(
    ready: &Ready,
    query: &VectorQuery,
    asked: &Asked<'_>,
    keep: Keep,
    answers: &[Rows],
    limit: usize,
) -> Result<Option<Vec<Found>>> {
    // Beyond the last row of an answer there may be others of its score.
    let mut edge = f64::NEG_INFINITY;
    let mut rows: Vec<(Row, f64)> = Vec::new();
    for answer in answers {
        let mut last = f64::INFINITY;
        for row in
            latest(answer.iter().map(|row| rows::read(&row, keep, ready.live.own)).collect::<Result<_>>()?)
        {
            let Some(embedding) = &row.embedding else { continue };
            let score = ready.config.metric.score(asked.embedding, embedding);
            last = last.min(score);
            rows.push((row, score));
        }
        if answer.len() >= limit {
            edge = edge.max(last);
        }
    }
    let mut found = Vec::new();
    for row in latest_of(rows, answers.len()) {
        let (Row { node: Some(mut node), embedding: Some(embedding), .. }, score) = row else { continue };
        if asked.least.is_none_or(|least| score >= rounded(least)) && query.selector.selects(&node) {
            if !query.with_embeddings {
                node.embedding = None;
            }
            found.push(Found { scored: ScoredNode::new(node, score), embedding });
        }
    }
    found.sort_by(|left, right| by_score(&left.scored, &right.scored));
    found.truncate(asked.wanted);
    let whole = edge == f64::NEG_INFINITY;
    let below = asked.least.is_some_and(|least| edge < rounded(least));
    let enough = found.len() == asked.wanted && found.last().is_some_and(|found| found.scored.score > edge);
    Ok((whole || below || enough).then_some(found))
}

/// Rows that several answers have are one.
fn latest_of(rows: Vec<(Row, f64)>, answers: usize) -> Vec<(Row, f64)> {
    if answers == 1 {
        return rows;
    }
    let (rows, scores): (Vec<Row>, Vec<f64>) = rows.into_iter().unzip();
    let mut by_row = std::collections::HashMap::with_capacity(rows.len());
    for (row, score) in rows.iter().zip(scores) {
        by_row.insert((row.partition.clone(), row.id.clone()), score);
    }
    let score = |row: &Row| by_row.get(&(row.partition.clone(), row.id.clone())).copied();
    latest(rows).into_iter().filter_map(|row| score(&row).map(|score| (row, score))).collect()
}

fn by_score(left: &ScoredNode, right: &ScoredNode) -> Ordering {
    right.score.total_cmp(&left.score).then_with(|| left.node.id.cmp(&right.node.id))
}

/// Answers by the index; `None` where it can not tell.
async fn query(set: &Set, ready: &Ready, query: &VectorQuery) -> Result<Option<Vec<ScoredNode>>> {
    let Ok(asked) = asked(set, ready, query) else { return Ok(None) };
    let keep = Keep::node(true);
    let mut before = 0;
    for limit in asked.limits() {
        if limit <= before {
            continue;
        }
        before = limit;
        let alternatives = asked.parted.alternatives.iter();
        let calls = alternatives.map(|tests| set.space.run(statement(ready, keep, tests, &asked, limit)));
        let answers = match try_join_all(calls).await {
            Err(error) if is_building(&error) => return Ok(None),
            answers => answers?,
        };
        if let Some(found) = settle(ready, query, &asked, keep, &answers, limit)? {
            return diverse(ready, query, &asked, found).map(Some);
        }
    }
    Ok(None)
}

/// The nodes in the order that is asked for.
fn diverse(
    ready: &Ready,
    query: &VectorQuery,
    asked: &Asked<'_>,
    found: Vec<Found>,
) -> Result<Vec<ScoredNode>> {
    let Some(threshold) = asked.threshold else {
        return Ok(found.into_iter().map(|found| found.scored).collect());
    };
    let candidates = found.iter().map(|found| (&found.scored.node, found.embedding.as_slice()));
    let ties = |left: &&store_core::Node, right: &&store_core::Node| left.id.cmp(&right.id);
    let chosen = mmr::select(ready.config.metric, asked.embedding, candidates, threshold, query.top_k, ties)?;
    Ok(chosen.into_iter().map(|(node, value)| ScoredNode::new(node.clone(), value)).collect())
}

/// Answers queries that were found right.
pub(super) async fn queries(
    set: &Arc<Set>,
    ready: &Arc<Ready>,
    queries: &[VectorQuery],
) -> Result<Vec<Vec<ScoredNode>>> {
    // Collected first: a stream over borrowed queries is not general enough for the compiler.
    let searches: Vec<_> = queries.iter().map(|one| query(set, ready, one)).collect();
    let answers = stream::iter(searches).buffered(AT_ONCE).try_collect().await?;
    let exactly = |open: Vec<VectorQuery>| async move { exact::queries(set, ready, &open).await };
    answer_open(queries, answers, exactly).await
}

/// How [`queries`] would answer one of them.
pub(super) fn explain(set: &Set, ready: &Ready, query: &VectorQuery) -> QueryPlan {
    let asked = match asked(set, ready, query) {
        Ok(asked) => asked,
        Err(why) => {
            let mut plan = exact::explain(ready, query);
            plan.summary = format!("{why}; {}", plan.summary);
            return plan;
        }
    };
    let mut plan = QueryPlan::new("the filter matches nothing, and nothing is asked for");
    plan.pushed_down.clone_from(&query.selector.filter);
    if asked.parted.alternatives.is_empty() {
        return plan;
    }
    let [first, then] = asked.limits();
    let how = "the vector index finds what is nearest, and may miss some";
    plan.summary = match &asked.parted.rest {
        None => how.to_owned(),
        Some(_) => format!(
            "{how}; the {first} nearest are held against the rest of the filter here, then {then}, and if too few are \
             left nodes are read without the index"
        ),
    };
    if let Some(threshold) = asked.threshold {
        plan.summary = format!(
            "{}; of the {} nearest those are chosen that are unlike each other, with threshold {threshold}",
            plan.summary, asked.wanted
        );
    }
    let conditions = shown(&asked.parted.alternatives);
    let conditions = if conditions.is_empty() { conditions } else { format!(" WHERE {conditions}") };
    plan.native =
        Some(format!("SELECT … FROM {}{conditions} ORDER BY vector ANN OF … LIMIT {first}", ready.table));
    plan.pushed_down = asked.parted.pushed_down;
    plan.applied_after = asked.parted.rest;
    plan
}
