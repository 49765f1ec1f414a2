//! Searches by a vector set (Redis 8) beside the rows.
//!
//! VSIM names the nearest elements; their rows are read, held against the selector, and scored by their own
//! embeddings. The filter of VSIM is made of terms, so that it is answered by the server as far as terms go. All
//! else (words, named nodes, lists of nodes) is done by reading the rows.

use std::sync::Arc;

use async_trait::async_trait;
use store_core::kit::similarity::rounded;
use store_core::{
    BoxStream, Error, ErrorKind, Filter, Metric, QueryKind, QueryPlan, Result, ScoredNode, Selector,
    VectorCapabilities, VectorConfig, VectorQuery,
};

use super::answer::{members, name, number};
use super::beside::Beside;
use super::engine::{Candidates, Engine};
use super::exact::ReadAll;
use super::linked::{Linked, MAX_EF, TERMS, UNKNOWN};
use super::rows::{self, Keep};
use super::set::Set;
use super::terms;
use crate::driver::Cmd;
use crate::filter::{Native, tagged, translate};

/// Fewest candidates that a search weighs: the server's own default.
const EF: usize = 200;
/// Elements that are asked for beyond those that are wanted, as equals may stand behind the last one.
const MORE: usize = 8;
/// How many times as many are asked for when there were too few, and at first where a part of the filter is ours to
/// finish.
const GROWTH: usize = 8;
/// Most elements that one search asks for; beyond that every row is read.
const MOST: usize = 20_000;
/// Most bytes of a filter for the server; beyond that every row is read.
const MAX_FILTER: usize = 64 << 10;
/// By how much the server's score of an element may differ from ours.
const MARGIN: f64 = 5e-5;
/// Elements that a filtered search may look at: all.
const FILTER_EF: &str = "4294967295";

/// The engine of a vector set; what it does not answer is answered as by [`ReadAll`].
#[derive(Clone, Copy, Debug)]
pub(super) struct VectorSetSearch;

/// A selector as a vector set takes it.
struct Narrowed {
    /// `None` when nothing restricts.
    filter: Option<String>,
    pushed_down: Option<Filter>,
    /// The part that is ours to finish.
    rest: Option<Filter>,
}

impl Narrowed {
    fn of(selector: &Selector, config: &VectorConfig) -> Self {
        // Nothing declared: then all of it is a matter of terms.
        let plain = VectorConfig::new(config.dimensions, config.metric);
        let mut parts = Vec::new();
        let (mut pushed_down, mut rest) = (None, None);
        if let Some(filter) = &selector.filter {
            let filter = translate(filter, &plain);
            parts.push(filter.native);
            (pushed_down, rest) = (filter.pushed_down, filter.rest);
        }
        if let Some(sources) = &selector.ref_docs {
            let of: Vec<String> = sources.iter().map(|id| terms::of_source(id.as_str())).collect();
            parts.push(tagged(&of));
        }
        let native = Native::all(parts);
        let filter = (native != Native::Everything)
            .then(|| format!("{} or .{UNKNOWN} == 1", native.expression(TERMS)));
        Self { filter, pushed_down, rest }
    }

    /// How many elements to ask for at first.
    fn wanted(&self, top: usize) -> usize {
        let wanted = top.saturating_add(MORE);
        if self.rest.is_some() { wanted.saturating_mul(GROWTH) } else { wanted }
    }

    /// The end of the command: which elements, and how many.
    fn arguments(&self, set: &Set, wanted: usize) -> Vec<String> {
        let ef = wanted.max(EF).max(set.space.config.vectors.hnsw_ef_runtime as usize).min(MAX_EF);
        let mut arguments = vec![
            "WITHSCORES".to_owned(),
            "COUNT".to_owned(),
            wanted.to_string(),
            "EF".to_owned(),
            ef.to_string(),
        ];
        if let Some(filter) = &self.filter {
            arguments.extend(["FILTER", filter, "FILTER-EF", FILTER_EF].map(str::to_owned));
        }
        arguments
    }
}

/// What a query is near to, and the least score of its answers; `None` where the vector set does not serve it.
fn near<'a>(query: &'a VectorQuery, narrowed: &Narrowed) -> Option<(&'a [f32], Option<f64>)> {
    let selector = &query.selector;
    let served = selector.ids.is_none()
        && selector.ref_docs.as_ref().is_none_or(|sources| !sources.is_empty())
        && narrowed.filter.as_ref().is_none_or(|filter| filter.len() <= MAX_FILTER)
        && narrowed.wanted(query.top_k) <= MOST;
    match &query.kind {
        QueryKind::Dense { embedding } if served => Some((embedding, query.min_score)),
        QueryKind::Range { embedding, radius } if served => {
            Some((embedding, Some(query.min_score.map_or(*radius, |least| least.max(*radius)))))
        }
        _ => None,
    }
}

/// The nearest of the selected nodes; `None` when more elements than [`MOST`] would have to be looked at.
async fn nearest(
    set: &Set,
    config: &VectorConfig,
    query: &VectorQuery,
    (embedding, least): (&[f32], Option<f64>),
    narrowed: &Narrowed,
    beside: &Beside,
) -> Result<Option<Vec<ScoredNode>>> {
    let linked = linked(set)?;
    let vector = bytes::Bytes::from(rows::to_bytes(embedding));
    let mut wanted = narrowed.wanted(query.top_k);
    while wanted <= MOST {
        let command = Cmd::read("VSIM", linked.key.as_str()).arg("FP32").arg(vector.clone());
        let command = command.args(narrowed.arguments(set, wanted));
        let answer = members(beside.call(&set.space, command).await?);
        // From 0 for opposite to 1 for the same direction.
        let score = |value| number(value).map_or(f64::NEG_INFINITY, |score| score * 2.0 - 1.0);
        let all = answer.len() < wanted;
        let farthest = answer.iter().map(|(_, value)| score(value)).fold(f64::INFINITY, f64::min);
        let ids: Vec<String> = answer.iter().map(|(id, _)| name(id)).collect();
        let mut found = Vec::with_capacity(ids.len());
        for mut node in set.read(&ids, Keep { embedding: true }).await?.into_iter().flatten() {
            let of_node = node.embedding_f32().filter(|vector| vector.len() == config.dimensions);
            let Some(of_node) = of_node.filter(|_| query.selector.selects(&node)) else { continue };
            let score = config.metric.score(embedding, &of_node);
            if score.is_nan() || least.is_some_and(|least| score < rounded(least)) {
                continue;
            }
            if !query.with_embeddings {
                node.embedding = None;
            }
            found.push(ScoredNode::new(node, score));
        }
        found.sort_unstable_by(|left, right| {
            right.score.total_cmp(&left.score).then_with(|| left.node.id.cmp(&right.node.id))
        });
        // Nothing behind the farthest element is better than this.
        let behind = farthest + MARGIN;
        let cut = found.get(query.top_k.saturating_sub(1)).map(|answer| answer.score);
        if all || cut.is_some_and(|cut| cut > behind) || least.is_some_and(|least| least > behind) {
            found.truncate(query.top_k);
            return Ok(Some(found));
        }
        wanted = wanted.saturating_mul(GROWTH);
    }
    Ok(None)
}

fn linked(set: &Set) -> Result<&Linked> {
    let none = || Error::new(ErrorKind::Unsupported, "the store was opened without a vector set");
    set.linked.as_ref().ok_or_else(none)
}

#[async_trait]
impl Engine for VectorSetSearch {
    fn capabilities(&self) -> VectorCapabilities {
        let mut capabilities = ReadAll.capabilities();
        capabilities.metrics = vec![Metric::Cosine];
        capabilities
    }

    async fn prepare(&self, set: &Arc<Set>, config: &VectorConfig) -> Result<()> {
        linked(set)?.prepare(set, config).await
    }

    async fn forget(&self, set: &Set) -> Result<()> {
        super::linked::forget(set).await
    }

    async fn query(
        &self,
        set: &Arc<Set>,
        config: &VectorConfig,
        query: &VectorQuery,
        beside: &Beside,
    ) -> Result<Vec<ScoredNode>> {
        let narrowed = Narrowed::of(&query.selector, config);
        if let Some(near) = near(query, &narrowed)
            && let Some(found) = Box::pin(nearest(set, config, query, near, &narrowed, beside)).await?
        {
            return Ok(found);
        }
        ReadAll.query(set, config, query, beside).await
    }

    fn explain(&self, set: &Set, config: &VectorConfig, query: &VectorQuery) -> Result<QueryPlan> {
        let narrowed = Narrowed::of(&query.selector, config);
        if near(query, &narrowed).is_none() {
            return ReadAll.explain(set, config, query);
        }
        let how = "the vector set's graph of embeddings (HNSW), which may miss some; what it finds is read and scored \
                   here";
        let mut plan = QueryPlan::new(match &narrowed.rest {
            None => how.to_owned(),
            Some(_) => format!(
                "{how}, and held against a part of the filter; where too few of {MOST} match, every node is read"
            ),
        });
        let arguments = narrowed.arguments(set, narrowed.wanted(query.top_k)).join(" ");
        plan.native = Some(format!("VSIM {} FP32 $vector {arguments}", linked(set)?.key));
        plan.pushed_down = narrowed.pushed_down;
        plan.applied_after = narrowed.rest;
        Ok(plan)
    }

    fn candidates(
        &self,
        set: &Arc<Set>,
        config: &Arc<VectorConfig>,
        selector: &Selector,
    ) -> BoxStream<Candidates> {
        ReadAll.candidates(set, config, selector)
    }

    async fn sure_count(
        &self,
        set: &Arc<Set>,
        config: &Arc<VectorConfig>,
        selector: &Selector,
    ) -> Result<Option<(usize, BoxStream<Candidates>)>> {
        ReadAll.sure_count(set, config, selector).await
    }
}
