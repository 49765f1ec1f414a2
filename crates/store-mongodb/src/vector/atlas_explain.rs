//! How Atlas search would answer a query, in words.

use std::sync::atomic::Ordering;

use bson::{Bson, Document};
use store_core::{Filter, QueryKind, QueryPlan, Result, VectorConfig, VectorQuery};

use super::EMBEDDING;
use super::atlas::{self, Keep, TextStage, VectorStage};
use super::atlas_search::{AtlasSearch, depth};

impl AtlasSearch {
    /// How a query would be answered; `Err` with the reason when not by Atlas search.
    pub(crate) async fn explain(
        &self,
        config: &VectorConfig,
        query: &VectorQuery,
    ) -> Result<std::result::Result<QueryPlan, String>> {
        let asked = match self.ask(config, query).await? {
            Ok(asked) => asked,
            Err(why) => return Ok(Err(why)),
        };
        let names = &self.space.config;
        let keep = if query.with_embeddings { Keep::All } else { Keep::Without(EMBEDDING) };
        let by_vector = |stage: &VectorStage<'_>| {
            let limit = stage.limit;
            let how = match stage.candidates() {
                Some(candidates) => format!("{candidates} candidates for {limit} answers"),
                None => format!("every embedding compared, for {limit} answers"),
            };
            let widened =
                if asked.split.rest.is_empty() { "" } else { ", up to 10,000 if the filter leaves too few" };
            format!("Atlas $vectorSearch in {:?}: {how}{widened}", names.vector_index)
        };
        let stage = |vector, k| self.vector_stage(&asked, vector, Self::first_limit(&asked, k));
        let by_words = |text| self.text_stage(&asked, text, query.top_k);
        let (summary, pipeline) = match &query.kind {
            QueryKind::Dense { embedding } | QueryKind::Range { embedding, .. } => {
                let stage = stage(embedding, query.top_k);
                (by_vector(&stage), stage.pipeline(keep))
            }
            QueryKind::Mmr { embedding, .. } => {
                let stage = stage(embedding, depth(query.top_k));
                let summary = format!("{}; {} of them chosen by MMR here", by_vector(&stage), query.top_k);
                (summary, stage.pipeline(Keep::All))
            }
            QueryKind::Text { text } => {
                let summary = format!("Atlas $search in {:?}", names.text_index);
                (summary, by_words(text).pipeline(keep))
            }
            QueryKind::Hybrid { embedding, text, alpha } => {
                let depth = depth(query.top_k);
                let stage = stage(embedding, depth);
                let texts = TextStage { limit: depth, ..by_words(text) };
                let native = asked.split.rest.is_empty() && !self.memory.no_fusion.load(Ordering::Relaxed);
                let by = if native { "by $rankFusion where the server has it" } else { "here" };
                let summary = by_vector(&stage);
                let summary = format!("{summary}, and $search in {:?}, fused {by}", names.text_index);
                (summary, atlas::rank_fusion(&stage, &texts, *alpha, query.top_k, keep))
            }
            _ => return Ok(Err("search does not know this kind of query".to_owned())),
        };
        let mut plan = QueryPlan::new(summary);
        plan.native = Some(shown(pipeline));
        let group = |parts: &[Filter]| match parts {
            [] => None,
            [one] => Some(one.clone()),
            several => Some(Filter::All(several.to_vec())),
        };
        // A match takes the whole filter.
        let in_match = matches!(query.kind, QueryKind::Text { .. });
        plan.pushed_down = if in_match { query.selector.filter.clone() } else { group(&asked.split.pushed) };
        plan.applied_after = if in_match { None } else { group(&asked.split.rest) };
        Ok(Ok(plan))
    }
}

/// A pipeline for people: the query's embedding in a word.
fn shown(mut pipeline: Vec<Document>) -> String {
    fn shorten(value: &mut Bson) {
        match value {
            Bson::Document(document) => {
                for (name, value) in document.iter_mut() {
                    match value.as_array().filter(|_| name == "queryVector").map(Vec::len) {
                        Some(length) => *value = format!("{length} numbers").into(),
                        None => shorten(value),
                    }
                }
            }
            Bson::Array(items) => items.iter_mut().for_each(shorten),
            _ => {}
        }
    }
    for stage in &mut pipeline {
        let mut value = Bson::Document(std::mem::take(stage));
        shorten(&mut value);
        if let Bson::Document(shortened) = value {
            *stage = shortened;
        }
    }
    serde_json::to_string(&pipeline).unwrap_or_default()
}
