//! Maximal marginal relevance.

use store_core::{
    Metric, Node, QueryKind, QueryKindName, ScoredNode, VectorConfig, VectorQuery, VectorStore,
    VectorStoreExt,
};

use super::{cloud, configure, put, query_ids, score, vector};
use crate::case::{Need, cases};
use crate::check::{CaseResult, Failure, holds, invalid, near, same};
use crate::data::Random;

const MMR: Need = Need::Query(QueryKindName::Mmr);

cases! { "vectors", Vectors:
    mmr_by_cosine_follows_the_formula [MMR, Need::Metric(Metric::Cosine)],
    mmr_by_dot_follows_the_formula [MMR, Need::Metric(Metric::Dot)],
    mmr_by_euclidean_follows_the_formula [MMR, Need::Metric(Metric::Euclidean)],
    mmr_compares_with_the_last_chosen_only [MMR, Need::Metric(Metric::Cosine)],
    mmr_ties_are_ordered_by_id [MMR],
    mmr_weighs_all_candidates [MMR],
    mmr_threshold_out_of_range_is_refused [MMR],
}

fn mmr(embedding: &[f32], threshold: f64, top_k: usize) -> VectorQuery {
    VectorQuery::new(QueryKind::Mmr { embedding: embedding.to_vec(), threshold }, top_k)
}

/// Replays the choice step by step: each answer has the greatest value of those left, and that value as its
/// score.
fn is_choice(
    metric: Metric,
    query: &[f32],
    threshold: f64,
    nodes: &[Node],
    found: &[ScoredNode],
) -> CaseResult {
    let embedding = |node: &Node| node.embedding_f32().unwrap_or_default();
    let mut left: Vec<&Node> = nodes.iter().collect();
    let mut last: Option<&Node> = None;
    for (step, answer) in found.iter().enumerate() {
        let value = |node: &Node| {
            let relevance = threshold * score(metric, query, &embedding(node));
            let likeness = last.map(|last| score(metric, &embedding(node), &embedding(last)));
            likeness.map_or(relevance, |likeness| relevance - (1.0 - threshold) * likeness)
        };
        let place = left.iter().position(|node| node.id == answer.node.id);
        let place = place
            .ok_or_else(|| Failure::new(format!("{} was chosen twice, or is unknown", answer.node.id)))?;
        let best = left.iter().map(|node| value(node)).fold(f64::NEG_INFINITY, f64::max);
        let chosen = left.remove(place);
        near(
            format!("threshold {threshold}, step {step}: the score of {}", chosen.id),
            answer.score,
            value(chosen),
            super::TOLERANCE,
        )?;
        holds(
            value(chosen) >= best - super::TOLERANCE * best.abs().max(1.0),
            format!(
                "threshold {threshold}, step {step}: {} has {}, another {best}",
                chosen.id,
                value(chosen)
            ),
        )?;
        last = Some(chosen);
    }
    Ok(())
}

async fn follows_the_formula(store: &dyn VectorStore, metric: Metric) -> CaseResult {
    store.configure(VectorConfig::new(5, metric)).await?;
    let nodes = cloud(61, 70, 5);
    put(store, nodes.clone()).await?;
    if !store.capabilities().needs_embeddings {
        put(store, vec![Node::text("no embedding").with_id("bare")]).await?;
    }
    let mut random = Random(62);
    for threshold in [0.0, 0.3, 0.5, 0.8, 1.0] {
        let query = random.embedding(5);
        for top_k in [1, 12, 70, 90] {
            let found = store.query(&mmr(&query, threshold, top_k)).await?;
            same(format!("threshold {threshold}: answers of {top_k}"), &found.len(), &top_k.min(70))?;
            is_choice(metric, &query, threshold, &nodes, &found)?;
        }
    }
    Ok(())
}

/// t·s(q, x) first, then t·s(q, x) − (1 − t)·s(x, last chosen), in the order chosen, by cosine.
async fn mmr_by_cosine_follows_the_formula(store: &dyn VectorStore) -> CaseResult {
    follows_the_formula(store, Metric::Cosine).await
}

/// The same by dot product.
async fn mmr_by_dot_follows_the_formula(store: &dyn VectorStore) -> CaseResult {
    follows_the_formula(store, Metric::Dot).await
}

/// The same by Euclidean score.
async fn mmr_by_euclidean_follows_the_formula(store: &dyn VectorStore) -> CaseResult {
    follows_the_formula(store, Metric::Euclidean).await
}

/// As in Python: the likeness that counts is the one to the last chosen, not to all chosen. Here the third
/// answer is the twin of the first.
async fn mmr_compares_with_the_last_chosen_only(store: &dyn VectorStore) -> CaseResult {
    store.configure(VectorConfig::new(3, Metric::Cosine)).await?;
    let nodes = vec![
        vector("across", &[0.0, -1.0, 0.0]),
        vector("first", &[1.0, 0.0, 0.0]),
        vector("half", &[0.5, 0.0, 0.75_f32.sqrt()]),
        vector("twin", &[1.0, 0.000_1, 0.0]),
    ];
    put(store, nodes).await?;
    // Third choice: twin has 0.4 − 0.6 · 0, half 0.4 · 0.5 − 0.6 · 0. Compared with all chosen, half would win:
    // twin 0.4 − 0.6 · 1, half 0.4 · 0.5 − 0.6 · 0.5.
    let found = query_ids(store, &mmr(&[1.0, 0.0, 0.0], 0.4, 4)).await?;
    same("threshold 0.4", &found, &["first", "across", "twin", "half"])
}

/// Equal values are ordered by id: with threshold 0 the first choice is among equals.
async fn mmr_ties_are_ordered_by_id(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    put(store, ["d", "b", "é", "a", "B"].map(|id| vector(id, &[2.0, 1.0])).to_vec()).await?;
    for threshold in [0.0, 0.5, 1.0] {
        let found = query_ids(store, &mmr(&[1.0, 1.0], threshold, 5)).await?;
        same(format!("threshold {threshold}"), &found, &["B", "a", "b", "d", "é"])?;
    }
    Ok(())
}

/// Every selected node is weighed, however far down the ranking by relevance: no list is cut off first.
async fn mmr_weighs_all_candidates(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let mut nodes: Vec<Node> =
        (0..200_u16).map(|n| vector(&format!("n{n:03}"), &[1.0, f32::from(n) / 1e4])).collect();
    nodes.push(vector("opposite", &[-1.0, 0.0]));
    put(store, nodes).await?;
    let found = query_ids(store, &mmr(&[1.0, 0.0], 0.1, 2)).await?;
    same("the second answer is the last by relevance", &found, &["n000", "opposite"])
}

/// The threshold lies between 0 and 1.
async fn mmr_threshold_out_of_range_is_refused(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    put(store, vec![vector("a", &[1.0, 0.0])]).await?;
    for threshold in [-0.1, 1.1, f64::NAN] {
        invalid(format!("threshold {threshold}"), store.query(&mmr(&[1.0, 0.0], threshold, 1)).await)?;
    }
    Ok(())
}
