//! Vectors: bridge section 8.

mod changes;
mod configure;
mod dense;
mod fields;
mod hybrid;
mod mmr;
mod model;
mod select;
mod sets;
mod text;
mod write;

use store_core::{AddMode, Metric, Node, ScoredNode, VectorConfig, VectorQuery, VectorStore, VectorStoreExt};

use crate::case::Case;
use crate::check::{CaseResult, Failure, holds, near};
use crate::data::Random;

pub(crate) const SUITES: &[&[Case]] = &[
    configure::CASES,
    write::CASES,
    dense::CASES,
    text::CASES,
    hybrid::CASES,
    mmr::CASES,
    select::CASES,
    sets::CASES,
    changes::CASES,
    fields::CASES,
    model::CASES,
];

/// Configures for so many dimensions by cosine, or by what the store offers instead.
pub(crate) async fn configure(store: &dyn VectorStore, dimensions: usize) -> CaseResult<Metric> {
    let offered = store.capabilities().metrics;
    let metric =
        if offered.contains(&Metric::Cosine) { Some(Metric::Cosine) } else { offered.first().copied() };
    let metric = metric.ok_or_else(|| Failure::new("the capabilities offer no metric"))?;
    store.configure(VectorConfig::new(dimensions, metric)).await?;
    Ok(metric)
}

pub(crate) async fn put(store: &dyn VectorStore, nodes: Vec<Node>) -> CaseResult {
    store.upsert(embedded(store, nodes).await?, AddMode::Overwrite).await?;
    Ok(())
}

/// The nodes as the store takes them: where each needs an embedding, all have one.
pub(crate) async fn embedded(store: &dyn VectorStore, mut nodes: Vec<Node>) -> CaseResult<Vec<Node>> {
    if store.capabilities().needs_embeddings {
        let dimensions = store.config().await?.map_or(0, |config| config.dimensions);
        for node in nodes.iter_mut().filter(|node| node.embedding.is_none()) {
            *node = node.clone().with_embedding(vec![1.0_f32; dimensions]);
        }
    }
    Ok(nodes)
}

/// A text node with an embedding.
pub(crate) fn vector(id: &str, embedding: &[f32]) -> Node {
    Node::text(format!("text of {id}")).with_id(id).with_embedding(embedding)
}

/// So many nodes with embeddings that look random, `n000` and on, with their number as metadata.
pub(crate) fn cloud(seed: u64, count: usize, dimensions: usize) -> Vec<Node> {
    let mut random = Random(seed);
    (0..count)
        .map(|n| vector(&format!("n{n:03}"), &random.embedding(dimensions)).with_metadata("n", n))
        .collect()
}

pub(crate) fn found_ids(found: &[ScoredNode]) -> Vec<String> {
    found.iter().map(|found| found.node.id.as_str().to_owned()).collect()
}

/// The ids a query finds, in order.
pub(crate) async fn query_ids(store: &dyn VectorStore, query: &VectorQuery) -> CaseResult<Vec<String>> {
    Ok(found_ids(&store.query(query).await?))
}

fn wide(vector: &[f32]) -> impl Iterator<Item = f64> {
    vector.iter().map(|value| f64::from(*value))
}

/// The score by its definition, in `f64`.
pub(crate) fn score(metric: Metric, left: &[f32], right: &[f32]) -> f64 {
    let dot: f64 = wide(left).zip(wide(right)).map(|(left, right)| left * right).sum();
    let norm = |vector: &[f32]| wide(vector).map(|value| value * value).sum::<f64>().sqrt();
    match metric {
        Metric::Cosine => dot / (norm(left) * norm(right)),
        Metric::Dot => dot,
        Metric::Euclidean => {
            let squares = wide(left).zip(wide(right)).map(|(left, right)| (left - right) * (left - right));
            1.0 / (1.0 + squares.sum::<f64>().sqrt())
        }
    }
}

/// What a store may lose by computing in `f32`.
pub(crate) const TOLERANCE: f64 = 1e-5;

fn embedding(node: &Node) -> Vec<f32> {
    node.embedding_f32().unwrap_or_default()
}

/// Scores that fall, and equal ones by id.
#[track_caller]
pub(crate) fn in_order(what: &str, found: &[ScoredNode]) -> CaseResult {
    for (first, second) in found.iter().zip(found.iter().skip(1)) {
        let right = first.score > second.score
            || (first.score.total_cmp(&second.score).is_eq() && first.node.id < second.node.id);
        holds(
            right,
            format!(
                "{what}: {} with {} stands before {} with {}",
                first.node.id, first.score, second.node.id, second.score
            ),
        )?;
    }
    Ok(())
}

/// Holds what a dense query found against all the nodes that take part.
#[track_caller]
pub(crate) fn is_ranking(
    what: &str,
    metric: Metric,
    query: &[f32],
    nodes: &[Node],
    top_k: usize,
    found: &[ScoredNode],
) -> CaseResult {
    holds(
        found.len() == nodes.len().min(top_k),
        format!("{what}: {} answers for top_k {top_k} of {} nodes", found.len(), nodes.len()),
    )?;
    in_order(what, found)?;
    let scored = |node: &Node| score(metric, query, &embedding(node));
    for answer in found {
        let node = nodes.iter().find(|node| node.id == answer.node.id);
        let node = node.ok_or_else(|| Failure::new(format!("{what}: {} takes no part", answer.node.id)))?;
        near(format!("{what}: the score of {}", node.id), answer.score, scored(node), TOLERANCE)?;
    }
    let least = found.last().map_or(f64::INFINITY, |last| last.score);
    for node in nodes.iter().filter(|node| !found.iter().any(|answer| answer.node.id == node.id)) {
        let missed = scored(node);
        let room = TOLERANCE * least.abs().max(1.0);
        holds(
            missed <= least + room,
            format!("{what}: {} with {missed} was left out below {least}", node.id),
        )?;
    }
    Ok(())
}
