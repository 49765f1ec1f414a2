//! Search by the table's vector index.
//!
//! The index answers what is nearest to an embedding, at most 100 nodes, of one tenant if it is parted, with any number
//! of equalities on the fields that it filters by. Everything else is for [`exact`](super::exact): other sorts of
//! query, more answers, a filter of which so many of the nearest fail that too few are left. So no answer is narrower
//! than asked for; what the index itself may miss, being approximate and a moment behind, it misses.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::kit::exact_search::answer_open;
use store_core::kit::similarity::rounded;
use store_core::{
    Condition, Embedding, Filter, Metric, QueryKind, QueryPlan, Result, Scalar, ScoredNode, VectorQuery,
};

use super::engine::Engine;
use super::exact::ReadAll;
use super::rows::{self, Keep, TENANT};
use super::set::{Index, Ready, Set};
use super::table::{self, INDEX};
use crate::filter::Expression;

/// Nodes that the service answers at most.
const TOP_K: usize = 100;
/// How many times more nodes than wanted are asked for, where some may fail what is left of the filter.
const SPARE: usize = 4;
/// Searches of one call that are under way at once.
const AT_ONCE: usize = 4;

/// The engine that asks the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct IndexSearch;

/// A query as the index takes it.
#[derive(Clone, Debug)]
struct Asked<'a> {
    embedding: &'a Embedding,
    /// Least score.
    least: Option<f64>,
    expression: Expression,
    condition: Option<String>,
    pushed_down: Option<Filter>,
    /// The part of the filter that is ours to finish.
    rest: Option<Filter>,
    /// Nodes to ask for.
    top_k: usize,
}

/// A query as the index takes it; or why it does not.
fn asked<'a>(index: &Index, query: &'a VectorQuery) -> Result<Asked<'a>, &'static str> {
    let (embedding, least) = match &query.kind {
        QueryKind::Dense { embedding } => (embedding, query.min_score),
        QueryKind::Range { embedding, radius } => {
            (embedding, Some(query.min_score.map_or(*radius, |least| least.max(*radius))))
        }
        _ => return Err("the index answers searches by vector alone"),
    };
    if query.top_k > TOP_K {
        return Err("the index answers at most 100 nodes");
    }
    if query.selector.ids.is_some() || query.selector.ref_docs.is_some() {
        return Err("the nodes or documents are named");
    }
    let parts = match &query.selector.filter {
        None => &[],
        Some(Filter::All(parts)) => parts.as_slice(),
        Some(other) => std::slice::from_ref(other),
    };
    let (mut expression, mut conditions) = (Expression::default(), Vec::new());
    let (mut pushed, mut rest, mut used) = (Vec::new(), Vec::new(), Vec::new());
    for part in parts {
        // One equality for each attribute is all that the service takes.
        match equality(index, part).filter(|(name, _)| !used.contains(name)) {
            Some((name, value)) => {
                conditions.push(format!("{} = {}", expression.name(&name), expression.value(value)));
                used.push(name);
                pushed.push(part.clone());
            }
            None => rest.push(part.clone()),
        }
    }
    if index.tenant.is_some() && !used.iter().any(|name| name == TENANT) {
        return Err("the index is parted, and the filter names no part of it");
    }
    let whole = |mut parts: Vec<Filter>| match parts.len() {
        0 => None,
        1 => parts.pop(),
        _ => Some(Filter::All(parts)),
    };
    let rest = whole(rest);
    let spare = if rest.is_some() { query.top_k.saturating_mul(SPARE) } else { query.top_k };

    Ok(Asked {
        embedding,
        least,
        expression,
        condition: (!conditions.is_empty()).then(|| conditions.join(" AND ")),
        pushed_down: whole(pushed),
        rest,
        // Some more, since the service does not order equal scores.
        top_k: spare.saturating_add(10).min(TOP_K),
    })
}

/// The attribute and its value that mean the same as a part of the filter, for every node.
fn equality(index: &Index, part: &Filter) -> Option<(String, AttributeValue)> {
    let Filter::Field { key, condition: Condition::Eq(value) } = part else { return None };
    if index.tenant.as_ref() == Some(key) {
        // Every node has a text there.
        return match value {
            Scalar::Text(text) if (1..=rows::MAX_KEY).contains(&text.len()) => {
                Some((TENANT.to_owned(), AttributeValue::S(text.clone())))
            }
            _ => None,
        };
    }
    let field = index.fields.iter().find(|field| field.key == *key)?;
    Some((rows::inline_name(key), rows::asked(field, value)?))
}

/// The score by the store's definition, of the service's: a distance, but for the dot product.
fn score(metric: Metric, of_service: f64) -> f64 {
    rounded(match metric {
        Metric::Dot => of_service,
        Metric::Euclidean => 1.0 / (1.0 + of_service),
        Metric::Cosine => (1.0 - of_service).clamp(-1.0, 1.0),
    })
}

impl IndexSearch {
    /// Answers by the index; `None` where the index can not tell.
    async fn query(&self, set: &Set, ready: &Ready, query: &VectorQuery) -> Result<Option<Vec<ScoredNode>>> {
        let Some(index) = &ready.index else { return Ok(None) };
        let Ok(asked) = asked(index, query) else { return Ok(None) };
        let search = set
            .space
            .client()?
            .search_vectors()
            .table_name(&ready.table)
            .index_name(INDEX)
            .set_search_vector(Some(rows::to_numbers(asked.embedding)))
            .top_k(i32::try_from(asked.top_k).unwrap_or(1))
            .set_search_condition_expression(asked.condition.clone())
            .set_expression_attribute_names(asked.expression.names())
            .set_expression_attribute_values(asked.expression.values());
        let answer = match set.space.call(search.send()).await {
            // An index that is active may not be searched for some minutes yet, and it may go.
            Err(error) if table::is_not_ready(&error) => {
                set.look_again();
                return Ok(None);
            }
            answer => answer?,
        };
        let results = answer.search_results.unwrap_or_default();
        let mut ids = Vec::with_capacity(results.len());
        let mut scores = Vec::with_capacity(results.len());
        for result in results {
            let key = result.item.as_ref().and_then(|item| item.get(&ready.keys.sort));
            if let Some(Ok(id)) = key.map(|value| value.as_s().cloned()) {
                ids.push(id);
                scores.push(score(ready.config.metric, result.score));
            }
        }
        let exhausted = ids.len() < asked.top_k;
        let below = scores.last().is_some_and(|last| asked.least.is_some_and(|least| *last < rounded(least)));
        let consistent = set.space.config.consistent_reads;
        let rows = set.read(ready, &ids, Keep::node(query.with_embeddings), consistent).await?;
        let mut found: Vec<ScoredNode> = rows
            .into_iter()
            .zip(scores)
            .filter_map(|(row, score)| Some(ScoredNode::new(row?.node?, score)))
            .filter(|found| asked.least.is_none_or(|least| found.score >= rounded(least)))
            .filter(|found| query.selector.selects(&found.node))
            .collect();
        // The service may know more that are selected.
        if found.len() < query.top_k && !exhausted && !below {
            return Ok(None);
        }
        found.sort_by(|left, right| {
            right.score.total_cmp(&left.score).then_with(|| left.node.id.cmp(&right.node.id))
        });
        found.truncate(query.top_k);
        Ok(Some(found))
    }
}

#[async_trait]
impl Engine for IndexSearch {
    async fn queries(
        &self,
        set: &Arc<Set>,
        ready: &Arc<Ready>,
        queries: &[VectorQuery],
    ) -> Result<Vec<Vec<ScoredNode>>> {
        // Collected first: a stream over borrowed queries is not general enough for the compiler.
        let searches: Vec<_> = queries.iter().map(|query| self.query(set, ready, query)).collect();
        let answers = stream::iter(searches).buffered(AT_ONCE).try_collect().await?;
        let exactly = |open: Vec<VectorQuery>| async move { ReadAll.queries(set, ready, &open).await };
        answer_open(queries, answers, exactly).await
    }

    fn explain(&self, ready: &Ready, query: &VectorQuery) -> QueryPlan {
        let Some(index) = &ready.index else { return ReadAll.explain(ready, query) };
        let asked = match asked(index, query) {
            Ok(asked) => asked,
            Err(why) => {
                let mut plan = ReadAll.explain(ready, query);
                plan.summary = format!("{why}; {}", plan.summary);
                return plan;
            }
        };
        let how = "the vector index finds what is nearest, and may miss some";
        let mut plan = QueryPlan::new(match &asked.rest {
            None => how.to_owned(),
            Some(_) => format!(
                "{how}; the {} nearest are held against the rest of the filter here, and if too few are left every \
                 node is read",
                asked.top_k
            ),
        });
        let condition = asked.condition.map(|text| {
            let mut names: Vec<_> = asked.expression.names().unwrap_or_default().into_iter().collect();
            names.sort();
            let names: Vec<_> = names.into_iter().map(|(token, name)| format!("{token}={name:?}")).collect();
            format!(" SearchConditionExpression {text} with {}", names.join(", "))
        });
        plan.native = Some(format!(
            "SearchVectors {} {INDEX} TopK {}{}",
            ready.table,
            asked.top_k,
            condition.unwrap_or_default()
        ));
        plan.pushed_down = asked.pushed_down;
        plan.applied_after = asked.rest;
        plan
    }
}
