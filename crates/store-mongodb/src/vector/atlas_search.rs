//! Queries answered by Atlas search.
//!
//! [`AtlasSearch::query`] answers a query or says, by `None`, that the plain server must: where there is no search,
//! where the index is missing, still building or of other dimensions, for a selector by ids (which the plain server
//! answers exactly from its own index), and for a filter that leaves too few of the 10,000 nearest.
//!
//! What Atlas finds is what its index holds, which follows the writes by about a second.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use bson::raw::RawDocumentBuf;
use bson::{Document, RawDocument};
use futures::TryStreamExt as _;
use mongodb::Collection;
use store_core::kit::fusion::reciprocal_rank_fusion;
use store_core::kit::mmr;
use store_core::{
    Error, ErrorKind, Filter, Node, NodeId, QueryKind, RefDocId, Result, ScoredNode, Selector, VectorConfig,
    VectorQuery, filter::Matcher,
};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::atlas::{self, Keep, MAX_CANDIDATES, SCORE, TextStage, VectorStage};
use super::atlas_indexes::Known;
use super::prefilter::{self, Prefilter};
use super::rows;
use super::search_index::{FoundIndex, refused};
use super::select::Selected;
use super::{EMBEDDING, TEXT};
use crate::space::Space;

/// How many times `top_k` is asked for first when a part of the filter is applied afterwards.
const OVERFETCH: usize = 10;
/// How many times as much is asked for each time that was too little.
const WIDENING: usize = 4;
/// How deep rankings are read to be fused, and how many are weighed for MMR, at least; ten times `top_k` else.
const DEPTH: usize = 100;

/// What is remembered of the search of each collection, as long as the store is open.
#[derive(Debug, Default)]
pub(crate) struct Searches(std::sync::Mutex<HashMap<String, Arc<Memory>>>);

#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) known: Mutex<Option<(Instant, Arc<Known>)>>,
    /// Whether the server has refused `$rankFusion`.
    pub(super) no_fusion: AtomicBool,
}

impl Searches {
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn of(&self, collection: &str) -> Arc<Memory> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(collection.to_owned()).or_default())
    }
}

/// The search of one vector set.
#[derive(Clone, Debug)]
pub(crate) struct AtlasSearch {
    pub(super) space: Arc<Space>,
    pub(super) collection: String,
    pub(super) memory: Arc<Memory>,
}

/// A query that Atlas search can answer.
pub(super) struct Asked<'a> {
    config: &'a VectorConfig,
    query: &'a VectorQuery,
    pub(super) split: Prefilter,
    /// The selector as a match.
    matching: Document,
    admits: Admits<'a>,
}

/// The selector, to hold answers against.
struct Admits<'a> {
    ids: Option<HashSet<&'a NodeId>>,
    ref_docs: Option<HashSet<&'a RefDocId>>,
    filter: Option<Matcher<'a>>,
}

impl<'a> Admits<'a> {
    fn of(selector: &'a Selector) -> Self {
        Self {
            ids: selector.ids.as_ref().map(|ids| ids.iter().collect()),
            ref_docs: selector.ref_docs.as_ref().map(|ids| ids.iter().collect()),
            filter: selector.filter.as_ref().map(Filter::matcher),
        }
    }

    fn admits(&self, node: &Node) -> bool {
        let of_ref_doc =
            |ids: &HashSet<&RefDocId>| node.ref_doc_id().is_some_and(|ref_doc| ids.contains(&ref_doc));
        self.ids.as_ref().is_none_or(|ids| ids.contains(&node.id))
            && self.ref_docs.as_ref().is_none_or(of_ref_doc)
            && self.filter.as_ref().is_none_or(|filter| filter.matches(&node.metadata))
    }
}

impl AtlasSearch {
    pub(crate) fn new(space: Arc<Space>, collection: impl Into<String>) -> Self {
        let collection = collection.into();
        let memory = space.searches.of(&collection);
        Self { space, collection, memory }
    }

    pub(super) fn collection(&self) -> Result<Collection<RawDocumentBuf>> {
        Ok(self.space.vector_database()?.collection(&self.collection))
    }

    /// The query, if Atlas search can answer it; otherwise why not, in words.
    pub(super) async fn ask<'a>(
        &self,
        config: &'a VectorConfig,
        query: &'a VectorQuery,
    ) -> Result<std::result::Result<Asked<'a>, String>> {
        let known = self.known().await?;
        if let Some(absent) = &known.absent {
            return Ok(Err(absent.clone()));
        }
        let by_text = matches!(query.kind, QueryKind::Text { .. } | QueryKind::Hybrid { .. });
        let by_vector = !matches!(query.kind, QueryKind::Text { .. });
        let names = &self.space.config;
        let why = |index: Option<&FoundIndex>, name: &str| match index {
            None => Some(format!("the collection has no search index {name:?}")),
            Some(index) if !index.queryable => {
                Some(format!("the search index {name:?} is {} and not queryable yet", index.status))
            }
            Some(_) => None,
        };
        if by_vector {
            if let Some(why) = why(known.vector.as_ref(), &names.vector_index) {
                return Ok(Err(why));
            }
            let differences = known.vector.as_ref().map(|index| index.differences(config, EMBEDDING));
            if let Some(first) = differences.into_iter().flatten().next() {
                return Ok(Err(format!("the search index {:?} does not fit ({first})", names.vector_index)));
            }
        }
        if by_text {
            if let Some(why) = why(known.text.as_ref(), &names.text_index) {
                return Ok(Err(why));
            }
            if known.text.as_ref().is_some_and(|index| !index.has_words_of(TEXT)) {
                return Ok(Err(format!(
                    "the search index {:?} has not the words of {TEXT:?}",
                    names.text_index
                )));
            }
        }
        if query.top_k > MAX_CANDIDATES {
            return Ok(Err(format!("top_k is more than the {MAX_CANDIDATES} answers that search gives")));
        }
        let nothing_declared = BTreeSet::default();
        let declared = known.vector.as_ref().map_or(&nothing_declared, |index| &index.filters);
        let split = match prefilter::split(&query.selector, declared) {
            Some(split) => split,
            None if !by_vector => Prefilter::default(),
            None => {
                return Ok(Err("the selector names nodes that the plain server finds by itself".to_owned()));
            }
        };
        let selected = Selected::of(&query.selector)?;
        // What is in a match must be the whole filter, as the best are chosen after it.
        if by_text && selected.rest.is_some() {
            return Ok(Err("a part of the filter can not be applied by the server".to_owned()));
        }
        let matching = selected.matches;
        Ok(Ok(Asked { config, query, split, matching, admits: Admits::of(&query.selector) }))
    }

    /// Answers a query that [`store_core::kit::vector_check`] found right; `None`: the plain server must.
    pub(crate) async fn query(
        &self,
        config: &VectorConfig,
        query: &VectorQuery,
    ) -> Result<Option<Vec<ScoredNode>>> {
        let asked = match self.ask(config, query).await? {
            Ok(asked) => asked,
            Err(why) => {
                tracing::debug!(why, "the plain server answers");
                return Ok(None);
            }
        };
        if asked.split.nothing {
            return Ok(Some(Vec::new()));
        }
        let keep = if query.with_embeddings { Keep::All } else { Keep::Without(EMBEDDING) };
        let mut found = match &query.kind {
            QueryKind::Dense { embedding } | QueryKind::Range { embedding, .. } => {
                self.nearest(&asked, embedding, query.top_k, keep).await?
            }
            QueryKind::Text { text } => Some(self.by_words(&asked, text, query.top_k, keep).await?),
            QueryKind::Hybrid { embedding, text, alpha } => {
                self.hybrid(&asked, embedding, text, *alpha, keep).await?
            }
            QueryKind::Mmr { embedding, threshold } => self.diverse(&asked, embedding, *threshold).await?,
            // A kind that this does not know yet.
            _ => None,
        };
        let radius =
            if let QueryKind::Range { radius, .. } = query.kind { radius } else { f64::NEG_INFINITY };
        // The least score of MMR is one of nearness, which `diverse` sees to.
        let least = match query.kind {
            QueryKind::Mmr { .. } => f64::NEG_INFINITY,
            _ => query.min_score.unwrap_or(f64::NEG_INFINITY).max(radius),
        };
        if let Some(found) = &mut found {
            found.retain(|answer| answer.score >= least);
            found.truncate(query.top_k);
        }
        Ok(found)
    }

    /// The documents that a pipeline answers.
    async fn run(&self, pipeline: Vec<Document>) -> Result<Vec<RawDocumentBuf>> {
        let collection = self.collection()?;
        let run = async {
            let cursor = collection.aggregate(pipeline).with_type::<RawDocumentBuf>().await?;
            cursor.try_collect().await
        };
        self.space.call(run).await.map_err(|error| error.with_collection(&self.collection))
    }

    pub(super) fn vector_stage<'a>(
        &'a self,
        asked: &Asked<'_>,
        vector: &'a [f32],
        limit: usize,
    ) -> VectorStage<'a> {
        let config = &self.space.config;
        VectorStage {
            index: &config.vector_index,
            path: EMBEDDING,
            vector,
            limit,
            oversampling: (!config.search.exact).then_some(config.search.oversampling),
            filter: asked.split.native.clone(),
        }
    }

    pub(super) fn text_stage<'a>(&'a self, asked: &Asked<'_>, query: &'a str, limit: usize) -> TextStage<'a> {
        let index = &self.space.config.text_index;
        TextStage { index, path: TEXT, query, limit, matching: asked.matching.clone() }
    }

    /// How many neighbours are asked for first.
    pub(super) fn first_limit(asked: &Asked<'_>, k: usize) -> usize {
        let factor = if asked.split.rest.is_empty() { 1 } else { OVERFETCH };
        k.saturating_mul(factor).min(MAX_CANDIDATES)
    }

    /// The `k` nearest of what the selector admits; `None` when they are not among the greatest number of
    /// neighbours that can be asked for.
    async fn nearest(
        &self,
        asked: &Asked<'_>,
        vector: &[f32],
        k: usize,
        keep: Keep<'_>,
    ) -> Result<Option<Vec<ScoredNode>>> {
        let mut limit = Self::first_limit(asked, k);
        loop {
            let rows = self.run(self.vector_stage(asked, vector, limit).pipeline(keep)).await?;
            let complete = rows.len() < limit;
            let mut found = read(&rows, &asked.admits)?;
            if found.len() >= k || complete {
                for answer in &mut found {
                    answer.score = atlas::score(asked.config.metric, answer.score);
                }
                sort(&mut found);
                found.truncate(k);
                return Ok(Some(found));
            }
            if limit == MAX_CANDIDATES {
                return Ok(None);
            }
            limit = limit.saturating_mul(WIDENING).min(MAX_CANDIDATES);
        }
    }

    async fn by_words(
        &self,
        asked: &Asked<'_>,
        text: &str,
        k: usize,
        keep: Keep<'_>,
    ) -> Result<Vec<ScoredNode>> {
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.run(self.text_stage(asked, text, k).pipeline(keep)).await?;
        let mut found = read(&rows, &asked.admits)?;
        sort(&mut found);
        Ok(found)
    }

    async fn hybrid(
        &self,
        asked: &Asked<'_>,
        vector: &[f32],
        text: &str,
        alpha: f64,
        keep: Keep<'_>,
    ) -> Result<Option<Vec<ScoredNode>>> {
        let top_k = asked.query.top_k;
        let depth = depth(top_k);
        let one_side = alpha <= 0.0 || alpha >= 1.0 || text.trim().is_empty();
        if !one_side && asked.split.rest.is_empty() && !self.memory.no_fusion.load(Ordering::Relaxed) {
            let (vectors, texts) =
                (self.vector_stage(asked, vector, depth), self.text_stage(asked, text, depth));
            match self.run(atlas::rank_fusion(&vectors, &texts, alpha, top_k, keep)).await {
                Ok(rows) => {
                    let mut found = read(&rows, &asked.admits)?;
                    if found.len() == rows.len() {
                        sort(&mut found);
                        return Ok(Some(found));
                    }
                }
                // A server before 8.0, or one that knows another form of the stage.
                Err(error) if refused(&error) => {
                    self.memory.no_fusion.store(true, Ordering::Relaxed);
                    tracing::debug!(%error, "rankings are fused here");
                }
                Err(error) => return Err(error),
            }
        }
        let by_vector = async {
            if alpha > 0.0 { self.nearest(asked, vector, depth, keep).await } else { Ok(Some(Vec::new())) }
        };
        let by_text = async {
            if alpha < 1.0 { self.by_words(asked, text, depth, keep).await } else { Ok(Vec::new()) }
        };
        let (by_vector, by_text) = futures::future::try_join(by_vector, by_text).await?;
        Ok(by_vector.map(|by_vector| fused(by_vector, by_text, alpha, top_k)))
    }

    /// Chosen from the nearest by maximal marginal relevance.
    async fn diverse(
        &self,
        asked: &Asked<'_>,
        vector: &[f32],
        threshold: f64,
    ) -> Result<Option<Vec<ScoredNode>>> {
        let top_k = asked.query.top_k;
        let Some(mut nearest) = self.nearest(asked, vector, depth(top_k), Keep::All).await? else {
            return Ok(None);
        };
        let least = asked.query.min_score.unwrap_or(f64::NEG_INFINITY);
        nearest.retain(|answer| answer.score >= least);
        let embeddings: Vec<Vec<f32>> =
            nearest.iter().map(|answer| answer.node.embedding_f32().unwrap_or_default()).collect();
        let candidates =
            nearest.iter().zip(&embeddings).map(|(answer, vector)| (&answer.node, vector.as_slice()));
        let by_id = |left: &&Node, right: &&Node| left.id.cmp(&right.id);
        let chosen = mmr::select(asked.config.metric, vector, candidates, threshold, top_k, by_id)?;
        let answers = chosen.into_iter().map(|(node, score)| {
            let mut node = node.clone();
            if !asked.query.with_embeddings {
                node.embedding = None;
            }
            ScoredNode::new(node, score)
        });
        Ok(Some(answers.collect()))
    }
}

/// How deep rankings are read that are fused or chosen from.
pub(super) fn depth(top_k: usize) -> usize {
    top_k.saturating_mul(10).clamp(DEPTH, MAX_CANDIDATES)
}

/// The admitted of the rows, with the server's scores.
fn read(rows: &[RawDocumentBuf], admits: &Admits<'_>) -> Result<Vec<ScoredNode>> {
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(node) = rows::to_node(row)? else { continue };
        if admits.admits(&node) {
            found.push(ScoredNode::new(node, score_of(row)?));
        }
    }
    Ok(found)
}

fn score_of(row: &RawDocument) -> Result<f64> {
    row.get_f64(SCORE).map_err(|error| {
        Error::new(ErrorKind::Other, "the server answered a document without a score").with_source(error)
    })
}

fn sort(found: &mut [ScoredNode]) {
    found.sort_by(|left, right| {
        right.score.total_cmp(&left.score).then_with(|| left.node.id.cmp(&right.node.id))
    });
}

/// Two rankings as one.
fn fused(by_vector: Vec<ScoredNode>, by_text: Vec<ScoredNode>, alpha: f64, top_k: usize) -> Vec<ScoredNode> {
    let ids = |ranking: &[ScoredNode]| ranking.iter().map(|it| it.node.id.clone()).collect::<Vec<_>>();
    let order = reciprocal_rank_fusion(ids(&by_vector), ids(&by_text), alpha, top_k);
    let mut nodes: HashMap<NodeId, Node> =
        by_text.into_iter().chain(by_vector).map(|answer| (answer.node.id.clone(), answer.node)).collect();
    let answers =
        order.into_iter().filter_map(|(id, score)| Some(ScoredNode::new(nodes.remove(&id)?, score)));
    answers.collect()
}

#[cfg(test)]
#[path = "atlas_search_tests.rs"]
mod tests;
