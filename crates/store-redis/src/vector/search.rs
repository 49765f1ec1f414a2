//! Searches by the module.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::kit::fusion::reciprocal_rank_fusion;
use store_core::kit::mmr;
use store_core::kit::top_k::TopK;
use store_core::{
    BoxStream, Error, ErrorKind, Node, QueryKind, QueryPlan, Result, ScoredNode, Selector,
    VectorCapabilities, VectorConfig, VectorQuery,
};

use super::answer::{Hit, aggregated, searched};
use super::beside::Beside;
use super::engine::{Candidates, Engine, not_offered};
use super::index;
use super::prefilter::Prefilter;
use super::ranking::{By, Ranking, by_radius, finish, in_parts, words};
use super::rows::{self, Keep, VECTOR};
use super::set::{READ, Set};
use crate::driver::Cmd;

/// Most rows that one query takes in one answer; more come in parts. A server's `MAXSEARCHRESULTS` may be as low as
/// 10,000.
const AT_ONCE: usize = 1_000;
/// How many times as many rows are asked for when there were too few.
const GROWTH: usize = 8;
/// Most rows that are held against the part of a filter that is ours to finish, for one query.
const MAX_FINISHED: usize = 100_000;
/// Bytes of embeddings that are weighed for MMR here.
const MAX_MMR_BYTES: usize = 512 << 20;

/// The engine of the search module.
#[derive(Clone, Copy, Debug)]
pub(super) struct ModuleSearch;

impl ModuleSearch {
    /// Every row of a long answer, as a stream of parts.
    fn parts(set: &Arc<Set>, command: Cmd) -> BoxStream<Vec<Hit>> {
        enum Step {
            Begin(Cmd),
            Next(i64),
            End,
        }
        let set = Arc::clone(set);
        let step = move |step: Step| {
            let set = Arc::clone(&set);
            async move {
                let command = match step {
                    Step::Begin(command) => command,
                    // Each part is given once, so a lost answer must not be asked for again.
                    Step::Next(cursor) => Cmd::keyless("FT.CURSOR")
                        .arg("READ")
                        .arg(set.index.as_str())
                        .arg(cursor)
                        .keyed_at(1)
                        .once(),
                    Step::End => return Ok(None),
                };
                let (hits, cursor) = aggregated(set.space.call(command).await?)?;
                Ok(Some((hits, cursor.map_or(Step::End, Step::Next))))
            }
        };
        stream::try_unfold(Step::Begin(command), step).boxed()
    }

    /// The best of a ranking, ties by id: first in one answer with all that is wanted of a node.
    async fn top(
        &self,
        set: &Set,
        ranking: &Ranking<'_>,
        query: &VectorQuery,
        beside: &Beside,
    ) -> Result<Vec<ScoredNode>> {
        let keep = Keep { embedding: query.with_embeddings };
        // One more tells whether the cut parts equals.
        let wanted = query.top_k.saturating_add(1);
        if wanted > AT_ONCE {
            return self.top_of_many(set, ranking, query, wanted).await;
        }
        let command = ranking.search(set, wanted, keep);
        let by_words = matches!(ranking.by, By::Words(_));
        let (_, hits) = searched(beside.call(&set.space, command).await?, by_words)?;
        let all = hits.len() < wanted;
        let mut found: Vec<ScoredNode> = Vec::with_capacity(hits.len());
        let mut clean = true;
        let mut last = f64::INFINITY;
        for mut hit in hits {
            let (Some(id), Some(score)) = (set.id(&hit.key), ranking.score(&hit)) else { continue };
            last = last.min(score);
            // Behind a full answer only equals of its last may stand before it.
            if found.len() >= query.top_k && found.last().is_some_and(|worst| score < worst.score) {
                continue;
            }
            let values = keep.fields().iter().map(|field| hit.take(field)).collect();
            match rows::to_node(&id, values)? {
                Some(node) if query.selector.selects(&node) => found.push(ScoredNode::new(node, score)),
                // Gone since, or found by a part of the filter only.
                _ => clean = false,
            }
        }
        order(&mut found);
        let cut = found.get(query.top_k.saturating_sub(1)).map(|answer| answer.score);
        // All that is as good as the last of the answer may go on behind it.
        let whole = all || cut.is_some_and(|cut| cut > last) && (clean || found.len() >= query.top_k);
        if !whole && ranking.enough(last) {
            return self.top_of_many(set, ranking, query, wanted.saturating_mul(GROWTH)).await;
        }
        found.retain(|answer| ranking.enough(answer.score));
        found.truncate(query.top_k);
        Ok(found)
    }

    /// The same by keys first: for many answers, for many equals, and where a filter is ours to finish.
    async fn top_of_many(
        &self,
        set: &Set,
        ranking: &Ranking<'_>,
        query: &VectorQuery,
        wanted: usize,
    ) -> Result<Vec<ScoredNode>> {
        let keep = Keep { embedding: query.with_embeddings };
        let mut wanted = wanted;
        loop {
            let mut ranked = self.ranked(set, ranking, wanted).await?;
            let count = ranked.len();
            ranked.retain(|(_, score)| ranking.enough(*score));
            // Behind one that is not good enough comes no better one.
            let all =
                count < wanted || ranked.len() < count || matches!(ranking.by, By::Words(_) | By::Range(..));
            let last = ranked.last().map(|(_, score)| *score);
            let mut found: Vec<ScoredNode> = Vec::new();
            let mut read = 0;
            let mut rows = ranked.chunks(READ.max(query.top_k.min(AT_ONCE)));
            // The order is by score and id, so that nothing better comes behind.
            while found.len() < query.top_k
                && let Some(part) = rows.next()
            {
                read += part.len();
                if read > MAX_FINISHED.max(query.top_k.saturating_mul(2)) {
                    let message = format!(
                        "a part of the filter is finished here, and among the {MAX_FINISHED} best nodes too few \
                         match it; narrow the filter by equality, or declare the fields that it orders by"
                    );
                    return Err(Error::new(ErrorKind::LimitExceeded, message));
                }
                let ids: Vec<String> = part.iter().map(|(id, _)| id.clone()).collect();
                let nodes = set.read(&ids, keep).await?;
                for (node, (_, score)) in nodes.into_iter().zip(part) {
                    if let Some(node) = node.filter(|node| query.selector.selects(node)) {
                        found.push(ScoredNode::new(node, *score));
                    }
                }
            }
            tracing::debug!(ranked = count, read, found = found.len(), "finished a search here");
            found.truncate(query.top_k);
            let cut = found.get(query.top_k.saturating_sub(1)).map(|answer| answer.score);
            if all || cut.zip(last).is_some_and(|(cut, last)| cut > last) {
                return Ok(found);
            }
            wanted = wanted.saturating_mul(GROWTH);
        }
    }

    /// The ids of a ranking and their scores, best first, ties by id.
    async fn ranked(&self, set: &Set, ranking: &Ranking<'_>, wanted: usize) -> Result<Vec<(String, f64)>> {
        // The module makes room for as many as are asked for.
        let wanted =
            if let By::Vector(_) = ranking.by { wanted.min(self.size(set).await? + 1) } else { wanted };
        let mut ranked = Vec::new();
        let mut command = ranking.aggregate(set, wanted);
        loop {
            let (hits, cursor) = aggregated(set.space.call(command).await?)?;
            for hit in hits {
                ranked.extend(set.id(&hit.key).zip(ranking.score(&hit)));
            }
            let Some(cursor) = cursor else { break };
            command = Cmd::keyless("FT.CURSOR").arg("READ").arg(set.index.as_str()).arg(cursor);
            command = command.keyed_at(1).once();
        }
        if let Some(ids) = &ranking.prefilter.ids {
            ranked.retain(|(id, _)| ids.contains(id));
        }
        ranked.sort_unstable_by(|left: &(String, f64), right| {
            right.1.total_cmp(&left.1).then_with(|| left.0.cmp(&right.0))
        });
        Ok(ranked)
    }

    /// How many rows the index holds.
    async fn size(&self, set: &Set) -> Result<usize> {
        count(set, "*").await
    }

    /// Searches the rows of these ids, which are read.
    async fn among(
        &self,
        set: &Set,
        config: &VectorConfig,
        query: &VectorQuery,
        embedding: &[f32],
        least: Option<f64>,
    ) -> Result<Vec<ScoredNode>> {
        let nodes = self.selected_with_embeddings(set, config, query).await?;
        let by_id = |left: &Node, right: &Node| left.id.cmp(&right.id);
        let mut best = TopK::new(query.top_k, by_id);
        for (mut node, vector) in nodes {
            let score = config.metric.score(embedding, &vector);
            if least.is_none_or(|least| score >= least) {
                if !query.with_embeddings {
                    node.embedding = None;
                }
                best.push(score, node);
            }
        }
        Ok(best.into_sorted().into_iter().map(|(score, node)| ScoredNode::new(node, score)).collect())
    }

    /// The nodes of a selector's ids that are selected and have an embedding of the right length.
    async fn selected_with_embeddings(
        &self,
        set: &Set,
        config: &VectorConfig,
        query: &VectorQuery,
    ) -> Result<Vec<(Node, Vec<f32>)>> {
        let mut seen = HashSet::new();
        let ids = query.selector.ids.iter().flatten().filter(|id| seen.insert(id.as_str()));
        let ids: Vec<String> = ids.map(|id| id.as_str().to_owned()).collect();
        let mut found = Vec::new();
        for ids in ids.chunks(READ * 2) {
            let nodes = set.read(ids, Keep { embedding: true }).await?.into_iter().flatten();
            for node in nodes.filter(|node| query.selector.selects(node)) {
                let vector = node.embedding_f32().filter(|vector| vector.len() == config.dimensions);
                found.extend(vector.map(|vector| (node, vector)));
            }
        }
        Ok(found)
    }

    /// Both rankings of ids, whole, so that the fused order is exact.
    async fn fused(
        &self,
        set: &Arc<Set>,
        config: &VectorConfig,
        prefilter: &mut Prefilter,
        query: &VectorQuery,
        (embedding, text, alpha): (&[f32], &str, f64),
    ) -> Result<Vec<ScoredNode>> {
        if !prefilter.is_sure(set).await? {
            prefilter.ids = Some(self.verified(set, prefilter, &query.selector).await?);
        }
        let prefilter = &*prefilter;
        // Boxed: both at once are a large future.
        let by_vector = Box::pin(async {
            // A side without weight says nothing.
            if alpha <= 0.0 {
                return Ok(Vec::new());
            }
            let ranking = Ranking { by: By::Vector(embedding), config, prefilter, min_score: None };
            self.ranked(set, &ranking, usize::MAX - 1).await
        });
        let by_text = Box::pin(async {
            let words = words(text);
            if alpha >= 1.0 || words.is_empty() {
                return Ok(Vec::new());
            }
            let ranking = Ranking { by: By::Words(words), config, prefilter, min_score: None };
            self.ranked(set, &ranking, usize::MAX - 1).await
        });
        let (by_vector, by_text) = futures::future::try_join(by_vector, by_text).await?;
        let ids = |ranked: Vec<(String, f64)>| ranked.into_iter().map(|(id, _)| id);
        let mut ranked = reciprocal_rank_fusion(ids(by_vector), ids(by_text), alpha, query.top_k);
        ranked.retain(|(_, score)| query.min_score.is_none_or(|least| *score >= least));
        self.fetch(set, ranked, query).await
    }

    /// The ids of all that is selected.
    async fn verified(
        &self,
        set: &Arc<Set>,
        prefilter: &Prefilter,
        selector: &Selector,
    ) -> Result<HashSet<String>> {
        if let Some(ids) = &selector.ids {
            let ids: Vec<String> = ids.iter().map(|id| id.as_str().to_owned()).collect();
            let nodes = set.read(&ids, Keep::NODE).await?.into_iter().flatten();
            return Ok(nodes
                .filter(|node| selector.selects(node))
                .map(|node| node.id.into_string())
                .collect());
        }
        let mut ids = HashSet::new();
        let mut parts = Self::parts(set, listing(set, &prefilter.native.text(), &[]));
        while let Some(hits) = parts.try_next().await? {
            let part: Vec<String> = hits.iter().filter_map(|hit| set.id(&hit.key)).collect();
            let nodes = set.read(&part, Keep::NODE).await?.into_iter().flatten();
            ids.extend(nodes.filter(|node| selector.selects(node)).map(|node| node.id.into_string()));
        }
        Ok(ids)
    }

    /// Chooses by maximal marginal relevance; every candidate is weighed here.
    async fn diverse(
        &self,
        set: &Arc<Set>,
        config: &VectorConfig,
        prefilter: &Prefilter,
        query: &VectorQuery,
        (embedding, threshold): (&[f32], f64),
    ) -> Result<Vec<ScoredNode>> {
        let most = MAX_MMR_BYTES / (config.dimensions * 4);
        let mut candidates: Vec<(String, Vec<f32>)> = Vec::new();
        if query.selector.ids.is_some() {
            let found = self.selected_with_embeddings(set, config, query).await?;
            candidates.extend(found.into_iter().map(|(node, vector)| (node.id.into_string(), vector)));
        } else {
            let sure = prefilter.is_sure(set).await?;
            let ids = if sure { None } else { Some(self.verified(set, prefilter, &query.selector).await?) };
            let mut parts =
                Self::parts(set, listing(set, &prefilter.native.text(), &[&format!("@{VECTOR}")]));
            while let Some(hits) = parts.try_next().await? {
                for mut hit in hits {
                    let Some(id) = set.id(&hit.key) else { continue };
                    let bytes = crate::driver::bytes(hit.take(VECTOR));
                    let Some(vector) = bytes.and_then(|bytes| rows::from_bytes(&bytes)) else { continue };
                    if vector.len() == config.dimensions && ids.as_ref().is_none_or(|ids| ids.contains(&id)) {
                        candidates.push((id, vector));
                    }
                }
                if candidates.len() > most {
                    let message = format!(
                        "maximal marginal relevance weighs every embedding that is selected, here more than \
                         {most} of {} dimensions; restrict the query by a filter",
                        config.dimensions
                    );
                    return Err(Error::new(ErrorKind::LimitExceeded, message));
                }
            }
        }
        let relevance = |vector: &[f32]| config.metric.score(embedding, vector);
        let enough = |vector: &[f32]| query.min_score.is_none_or(|least| relevance(vector) >= least);
        let candidates = candidates.iter().filter(|(_, vector)| enough(vector));
        let candidates = candidates.map(|(id, vector)| (id.as_str(), vector.as_slice()));
        let chosen =
            mmr::select(config.metric, embedding, candidates, threshold, query.top_k, |left, right| {
                left.cmp(right)
            })?;
        let chosen = chosen.into_iter().map(|(id, score)| (id.to_owned(), score)).collect();
        self.fetch(set, chosen, query).await
    }

    /// The nodes of a ranking. One that was deleted a moment ago is left out.
    async fn fetch(
        &self,
        set: &Set,
        ranked: Vec<(String, f64)>,
        query: &VectorQuery,
    ) -> Result<Vec<ScoredNode>> {
        let ids: Vec<String> = ranked.iter().map(|(id, _)| id.clone()).collect();
        let nodes = set.read(&ids, Keep { embedding: query.with_embeddings }).await?;
        let scored = nodes.into_iter().zip(ranked);
        Ok(scored.filter_map(|(node, (_, score))| Some(ScoredNode::new(node?, score))).collect())
    }

    /// Answers a query.
    async fn find(
        &self,
        set: &Arc<Set>,
        config: &VectorConfig,
        query: &VectorQuery,
        beside: &Beside,
    ) -> Result<Vec<ScoredNode>> {
        let mut prefilter = Prefilter::of(set, config, &query.selector);
        if prefilter.is_nothing() {
            return Ok(Vec::new());
        }
        let by_ids = query.selector.ids.is_some();
        match &query.kind {
            QueryKind::Dense { embedding } if by_ids => {
                self.among(set, config, query, embedding, query.min_score).await
            }
            QueryKind::Dense { embedding } => {
                let by = By::Vector(embedding);
                let ranking = Ranking { by, config, prefilter: &prefilter, min_score: query.min_score };
                self.top(set, &ranking, query, beside).await
            }
            QueryKind::Range { embedding, radius: least } => {
                let least = query.min_score.map_or(*least, |other| other.max(*least));
                if by_ids {
                    return self.among(set, config, query, embedding, Some(least)).await;
                }
                let by = by_radius(config.metric, embedding, least);
                let ranking = Ranking { by, config, prefilter: &prefilter, min_score: Some(least) };
                self.top(set, &ranking, query, beside).await
            }
            QueryKind::Text { text } => {
                let words = words(text);
                if words.is_empty() {
                    return Ok(Vec::new());
                }
                let by = By::Words(words);
                let ranking = Ranking { by, config, prefilter: &prefilter, min_score: query.min_score };
                self.top(set, &ranking, query, beside).await
            }
            QueryKind::Hybrid { embedding, text, alpha } => {
                Box::pin(self.fused(set, config, &mut prefilter, query, (embedding, text, *alpha))).await
            }
            QueryKind::Mmr { embedding, threshold } => {
                self.diverse(set, config, &prefilter, query, (embedding, *threshold)).await
            }
            other => Err(not_offered(other)),
        }
    }
}

/// The command that lists the keys of all that a query finds, with fields.
fn listing(set: &Set, query: &str, fields: &[&str]) -> Cmd {
    let command = Cmd::read("FT.AGGREGATE", set.index.as_str()).arg(query).arg("LOAD");
    let command = command.arg((fields.len() + 1).to_string()).arg("@__key").args(fields.iter().copied());
    finish(set, in_parts(command))
}

/// How many rows a query finds.
pub(super) async fn count(set: &Set, query: &str) -> Result<usize> {
    Ok(searched(set.space.call(count_command(set, query)).await?, false)?.0)
}

/// The command that counts.
pub(super) fn count_command(set: &Set, query: &str) -> Cmd {
    let command = Cmd::read("FT.SEARCH", set.index.as_str()).args([query, "LIMIT", "0", "0"]);
    finish(set, command)
}

/// Best first, ties by id.
fn order(found: &mut [ScoredNode]) {
    found.sort_unstable_by(|left, right| {
        right.score.total_cmp(&left.score).then_with(|| left.node.id.cmp(&right.node.id))
    });
}

#[async_trait]
impl Engine for ModuleSearch {
    fn capabilities(&self) -> VectorCapabilities {
        VectorCapabilities::new().with_fields(true)
    }

    async fn prepare(&self, set: &Arc<Set>, config: &VectorConfig) -> Result<()> {
        index::prepare(set, config).await
    }

    async fn forget(&self, set: &Set) -> Result<()> {
        index::drop_one(&set.space, &set.index).await
    }

    async fn query(
        &self,
        set: &Arc<Set>,
        config: &VectorConfig,
        query: &VectorQuery,
        beside: &Beside,
    ) -> Result<Vec<ScoredNode>> {
        let ranked =
            matches!(query.kind, QueryKind::Dense { .. } | QueryKind::Range { .. } | QueryKind::Text { .. });
        if ranked && query.selector.ids.is_none() && query.top_k < AT_ONCE {
            return Box::pin(self.find(set, config, query, beside)).await;
        }
        Box::pin(join(beside.ask(&set.space), self.find(set, config, query, beside))).await.1
    }

    fn explain(&self, set: &Set, config: &VectorConfig, query: &VectorQuery) -> Result<QueryPlan> {
        super::plan::plan(set, config, query)
    }

    fn candidates(
        &self,
        set: &Arc<Set>,
        config: &Arc<VectorConfig>,
        selector: &Selector,
    ) -> BoxStream<Candidates> {
        let prefilter = Prefilter::of(set, config, selector);
        let (marked, others) = prefilter.halves();
        listed(set, marked, prefilter.is_whole()).chain(listed(set, others, false)).boxed()
    }

    async fn sure_count(
        &self,
        set: &Arc<Set>,
        config: &Arc<VectorConfig>,
        selector: &Selector,
    ) -> Result<Option<(usize, BoxStream<Candidates>)>> {
        let prefilter = Prefilter::of(set, config, selector);
        if !prefilter.is_whole_now(set).await? {
            return Ok(None);
        }
        let (marked, others) = prefilter.halves();
        let sure = match marked {
            Some(query) => count(set, &query).await?,
            None => 0,
        };
        Ok(Some((sure, listed(set, others, false))))
    }
}

/// The ids of all that a query finds.
fn listed(set: &Arc<Set>, query: Option<String>, sure: bool) -> BoxStream<Candidates> {
    let Some(query) = query else { return stream::empty().boxed() };
    let of = Arc::clone(set);
    let ids = move |hits: Vec<Hit>| Candidates {
        ids: hits.iter().filter_map(|hit| of.id(&hit.key)).collect(),
        sure,
    };
    ModuleSearch::parts(set, listing(set, &query, &[])).map_ok(ids).boxed()
}
