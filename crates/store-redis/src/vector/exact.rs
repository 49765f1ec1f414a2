//! Exact search without the search module: every row is read, and compared here.
//!
//! Of the rows only what a query needs is sent (the embeddings, for one by vector without a filter), in parts, and
//! none of it is kept but what may yet be an answer. In memory are the ids; for a hybrid query a score beside each;
//! for maximal marginal relevance, which weighs them against each other, the embeddings of all that is selected.

use std::cmp::Ordering;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::bm25::Bm25Scan;
use store_core::fusion::reciprocal_rank_fusion;
use store_core::similarity::rounded;
use store_core::top_k::TopK;
use store_core::{
    BoxStream, Error, ErrorKind, QueryKind, QueryPlan, Result, ScoredNode, Selector, VectorCapabilities,
    VectorConfig, VectorQuery, mmr,
};

use super::beside::Beside;
use super::engine::{Candidates, Engine, not_offered};
use super::rows::Keep;
use super::scan::{self, Need, Row};
use super::set::{Set, selects};
use crate::schema::begins_with;

/// Bytes of embeddings that are weighed for maximal marginal relevance.
const MAX_MMR_BYTES: usize = 512 << 20;

/// The engine that reads every row.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExactSearch;

type Ties = fn(&String, &String) -> Ordering;

/// A query on its way through the rows.
struct Search<'a> {
    query: &'a VectorQuery,
    config: &'a VectorConfig,
    sort: Sort<'a>,
}

/// What a sort of query keeps of the rows.
enum Sort<'a> {
    Near { embedding: &'a [f32], least: Option<f64>, best: TopK<String, Ties> },
    Words(Bm25Scan<String>),
    Both { embedding: &'a [f32], near: Vec<(f64, String)>, words: Bm25Scan<String>, alpha: f64 },
    Diverse { embedding: &'a [f32], threshold: f64, candidates: Vec<(String, Vec<f32>)> },
}

impl<'a> Search<'a> {
    fn new(query: &'a VectorQuery, config: &'a VectorConfig) -> Result<Self> {
        let near = |embedding: &'a [f32], least| {
            let best = TopK::new(query.top_k, Ord::cmp as Ties);
            Sort::Near { embedding, least, best }
        };
        let sort = match &query.kind {
            QueryKind::Dense { embedding } => near(embedding, query.min_score),
            QueryKind::Range { embedding, radius } => {
                near(embedding, Some(query.min_score.map_or(*radius, |least| least.max(*radius))))
            }
            QueryKind::Text { text } => Sort::Words(Bm25Scan::new(text)),
            QueryKind::Hybrid { embedding, text, alpha } => {
                // A side without weight says nothing.
                let words = Bm25Scan::new(if *alpha < 1.0 { text } else { "" });
                Sort::Both { embedding, near: Vec::new(), words, alpha: *alpha }
            }
            QueryKind::Mmr { embedding, threshold } => {
                Sort::Diverse { embedding, threshold: *threshold, candidates: Vec::new() }
            }
            other => return Err(not_offered(other)),
        };
        Ok(Self { query, config, sort })
    }

    /// Whether no row can be an answer.
    fn is_vain(&self) -> bool {
        let selector = &self.query.selector;
        let nothing = match &self.sort {
            Sort::Words(words) => words.is_empty(),
            Sort::Both { words, alpha, .. } => words.is_empty() && *alpha <= 0.0,
            Sort::Near { .. } | Sort::Diverse { .. } => false,
        };
        nothing
            || selector.ids.as_ref().is_some_and(Vec::is_empty)
            || selector.ref_docs.as_ref().is_some_and(Vec::is_empty)
    }

    /// The only rows to look at, each once. A search by words weighs them by how often all texts hold them.
    fn named(&self) -> Option<Vec<String>> {
        let by_words = match &self.sort {
            Sort::Words(_) => true,
            Sort::Both { words, .. } => !words.is_empty(),
            Sort::Near { .. } | Sort::Diverse { .. } => false,
        };
        let ids = self.query.selector.ids.as_ref().filter(|_| !by_words)?;
        let mut ids: Vec<String> = ids.iter().map(|id| id.as_str().to_owned()).collect();
        ids.sort_unstable();
        ids.dedup();
        Some(ids)
    }

    fn need(&self) -> Need {
        let selector = &self.query.selector;
        let node = selector.filter.is_some() || selector.ref_docs.is_some();
        match &self.sort {
            Sort::Near { .. } | Sort::Diverse { .. } => Need { node, text: false, vector: true },
            Sort::Words(_) => Need { node, text: true, vector: false },
            Sort::Both { words, alpha, .. } => Need { node, text: !words.is_empty(), vector: *alpha > 0.0 },
        }
    }

    fn offer(&mut self, row: &Row) -> Result<()> {
        let (query, config) = (self.query, self.config);
        let selected = || match &row.node {
            Some(node) => selects(&query.selector, node),
            // Nothing but ids can restrict then.
            None => query.selector.ids.as_ref().is_none_or(|ids| ids.iter().any(|id| id.as_str() == row.id)),
        };
        let vector = row.vector.as_deref().filter(|vector| vector.len() == config.dimensions);
        let text = row.text.as_deref().unwrap_or_default();
        match &mut self.sort {
            Sort::Near { embedding, least, best } => {
                let Some(vector) = vector else { return Ok(()) };
                let score = config.metric.score(embedding, vector);
                if best.accepts(score) && enough(score, *least) && selected() {
                    best.push(score, row.id.clone());
                }
            }
            Sort::Words(words) => words.add(text, || selected().then(|| row.id.clone())),
            Sort::Both { embedding, near, words, alpha } => {
                let selected = selected();
                if let Some(vector) = vector.filter(|_| selected && *alpha > 0.0) {
                    let score = config.metric.score(embedding, vector);
                    if !score.is_nan() {
                        near.push((score, row.id.clone()));
                    }
                }
                if !words.is_empty() {
                    words.add(text, || selected.then(|| row.id.clone()));
                }
            }
            Sort::Diverse { embedding, candidates, .. } => {
                let Some(vector) = vector else { return Ok(()) };
                if !enough(config.metric.score(embedding, vector), query.min_score) || !selected() {
                    return Ok(());
                }
                let most = MAX_MMR_BYTES / (config.dimensions * 4);
                if candidates.len() >= most {
                    let message = format!(
                        "maximal marginal relevance weighs every embedding that is selected, here more than {most} \
                         of {} dimensions; restrict the query by a filter",
                        config.dimensions
                    );
                    return Err(Error::new(ErrorKind::LimitExceeded, message));
                }
                candidates.push((row.id.clone(), vector.to_vec()));
            }
        }
        Ok(())
    }

    /// The ids that were found and their scores, best first.
    fn finish(self) -> Result<Vec<(String, f64)>> {
        let (query, config) = (self.query, self.config);
        let swapped = |found: Vec<(f64, String)>| found.into_iter().map(|(score, id)| (id, score)).collect();
        let mut found: Vec<(String, f64)> = match self.sort {
            Sort::Near { best, .. } => swapped(best.into_sorted()),
            Sort::Words(words) => swapped(words.finish(query.top_k, Ord::cmp)),
            Sort::Both { mut near, words, alpha, .. } => {
                near.sort_unstable_by(|left, right| {
                    right.0.total_cmp(&left.0).then_with(|| left.1.cmp(&right.1))
                });
                let by_words = words.finish(usize::MAX, Ord::cmp);
                let ids = |ranked: Vec<(f64, String)>| ranked.into_iter().map(|(_, id)| id);
                reciprocal_rank_fusion(ids(near), ids(by_words), alpha, query.top_k)
            }
            Sort::Diverse { embedding, threshold, candidates } => {
                let rows = candidates.iter().map(|(id, vector)| (id, vector.as_slice()));
                let chosen = mmr::select(config.metric, embedding, rows, threshold, query.top_k, Ord::cmp)?;
                return Ok(chosen.into_iter().map(|(id, score)| (id.clone(), score)).collect());
            }
        };
        if matches!(query.kind, QueryKind::Text { .. } | QueryKind::Hybrid { .. }) {
            found.retain(|(_, score)| query.min_score.is_none_or(|least| *score >= least));
        }
        Ok(found)
    }
}

fn enough(score: f64, least: Option<f64>) -> bool {
    least.is_none_or(|least| score >= rounded(least))
}

/// Shows every row to every search.
async fn pass(set: &Arc<Set>, ids: BoxStream<Vec<String>>, searches: &mut [&mut Search<'_>]) -> Result<()> {
    let need = searches.iter().fold(Need::default(), |need, search| need.and(search.need()));
    let mut rows = scan::rows(set, ids, need);
    while let Some(part) = rows.try_next().await? {
        for row in &part {
            searches.iter_mut().try_for_each(|search| search.offer(row))?;
        }
    }
    Ok(())
}

/// The nodes of a ranking, if they are selected still.
async fn fetch(set: &Set, ranked: Vec<(String, f64)>, query: &VectorQuery) -> Result<Vec<ScoredNode>> {
    let ids: Vec<String> = ranked.iter().map(|(id, _)| id.clone()).collect();
    let nodes = set.read(&ids, Keep { embedding: query.with_embeddings }).await?;
    let found = nodes.into_iter().zip(ranked).filter_map(|(node, (_, score))| Some((node?, score)));
    let selected = found.filter(|(node, _)| selects(&query.selector, node));
    Ok(selected.map(|(node, score)| ScoredNode::new(node, score)).collect())
}

/// Answers queries; those without named nodes share one reading of all.
async fn answers(
    set: &Arc<Set>,
    config: &VectorConfig,
    queries: &[VectorQuery],
) -> Result<Vec<Vec<ScoredNode>>> {
    let mut searches =
        queries.iter().map(|query| Search::new(query, config)).collect::<Result<Vec<Search<'_>>>>()?;
    let mut of_all = Vec::new();
    for search in searches.iter_mut().filter(|search| !search.is_vain()) {
        match search.named() {
            Some(ids) => pass(set, stream::iter([Ok(ids)]).boxed(), &mut [search]).await?,
            None => of_all.push(search),
        }
    }
    if !of_all.is_empty() {
        pass(set, scan::ids(set), &mut of_all).await?;
    }
    let mut answers = Vec::with_capacity(queries.len());
    for (search, query) in searches.into_iter().zip(queries) {
        answers.push(fetch(set, search.finish()?, query).await?);
    }
    Ok(answers)
}

#[async_trait]
impl Engine for ExactSearch {
    fn capabilities(&self) -> VectorCapabilities {
        VectorCapabilities::new().with_fields(true)
    }

    async fn prepare(&self, _set: &Arc<Set>, _config: &VectorConfig) -> Result<()> {
        Ok(())
    }

    async fn forget(&self, _set: &Set) -> Result<()> {
        Ok(())
    }

    async fn query(
        &self,
        set: &Arc<Set>,
        config: &VectorConfig,
        query: &VectorQuery,
        beside: &Beside,
    ) -> Result<Vec<ScoredNode>> {
        let found = self.queries(set, config, std::slice::from_ref(query), beside).await?;
        Ok(found.into_iter().next().unwrap_or_default())
    }

    async fn queries(
        &self,
        set: &Arc<Set>,
        config: &VectorConfig,
        queries: &[VectorQuery],
        beside: &Beside,
    ) -> Result<Vec<Vec<ScoredNode>>> {
        Box::pin(join(beside.ask(&set.space), answers(set, config, queries))).await.1
    }

    fn explain(&self, set: &Set, config: &VectorConfig, query: &VectorQuery) -> Result<QueryPlan> {
        let search = Search::new(query, config)?;
        let pattern = begins_with(&set.rows);
        let (how, native) = match search.named() {
            _ if search.is_vain() => ("nothing can be found, and nothing is asked for".to_owned(), None),
            Some(ids) => (format!("the {} named nodes are read and compared here", ids.len()), None),
            None => (
                "no index: every node of the set is read and compared here, exactly".to_owned(),
                Some(format!("SCAN 0 MATCH {pattern} TYPE hash, on every primary; HMGET of each key")),
            ),
        };
        let mut plan = QueryPlan::new(how);
        plan.native = native;
        plan.applied_after.clone_from(&query.selector.filter);
        Ok(plan)
    }

    fn candidates(
        &self,
        set: &Arc<Set>,
        _config: &Arc<VectorConfig>,
        selector: &Selector,
    ) -> BoxStream<Candidates> {
        if selector.ref_docs.as_ref().is_some_and(Vec::is_empty) {
            return stream::empty().boxed();
        }
        let sure = selector.is_unrestricted();
        scan::ids(set).map_ok(move |ids| Candidates { ids, sure }).boxed()
    }

    async fn sure_count(
        &self,
        _set: &Arc<Set>,
        _config: &Arc<VectorConfig>,
        _selector: &Selector,
    ) -> Result<Option<(usize, BoxStream<Candidates>)>> {
        Ok(None)
    }
}
