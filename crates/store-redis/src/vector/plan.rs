//! How the module would answer a query, in words.

use store_core::{QueryKind, QueryPlan, Result, VectorConfig, VectorQuery};

use super::engine::not_offered;
use super::options::RedisVectorIndex;
use super::prefilter::Prefilter;
use super::ranking::{By, Ranking, by_radius, words};
use super::set::Set;

/// How [`query`](super::engine::Engine::query) would answer.
pub(super) fn plan(set: &Set, config: &VectorConfig, query: &VectorQuery) -> Result<QueryPlan> {
    let prefilter = Prefilter::of(set, config, &query.selector);
    let text = |by| {
        Ranking { by, config, prefilter: &prefilter, min_score: None }.text(query.top_k.saturating_add(1))
    };
    let index = match set.space.config.vectors.index {
        RedisVectorIndex::Flat => "the search module compares every selected embedding (FLAT)",
        RedisVectorIndex::Hnsw => "the search module walks its graph of embeddings (HNSW), and may miss some",
    };
    let by_ids = query.selector.ids.is_some();
    let (how, native) = match &query.kind {
        QueryKind::Dense { .. } | QueryKind::Range { .. } | QueryKind::Mmr { .. } if by_ids => {
            ("the named nodes are read and compared here".to_owned(), None)
        }
        QueryKind::Dense { embedding } => (index.to_owned(), Some(text(By::Vector(embedding)))),
        QueryKind::Range { embedding, radius } => {
            (index.to_owned(), Some(text(by_radius(config.metric, embedding, *radius))))
        }
        QueryKind::Text { text: of } => {
            ("the search module's index of words (BM25)".to_owned(), Some(text(By::Words(words(of)))))
        }
        QueryKind::Hybrid { embedding, text: of, .. } => {
            let both = [text(By::Vector(embedding)), text(By::Words(words(of)))];
            (format!("{index}; its index of words (BM25) beside, fused here by rank"), Some(both.join("\n")))
        }
        QueryKind::Mmr { .. } => {
            ("every selected embedding is read and weighed here".to_owned(), Some(prefilter.native.text()))
        }
        other => return Err(not_offered(other)),
    };
    let mut plan = QueryPlan::new(match &prefilter.rest {
        None => how,
        Some(_) => format!("{how}; what is found is held against a part of the filter here"),
    });
    plan.native = native.map(|native| format!("FT.SEARCH {} {native}", set.index));
    plan.pushed_down = prefilter.pushed_down;
    plan.applied_after = prefilter.rest;
    Ok(plan)
}
