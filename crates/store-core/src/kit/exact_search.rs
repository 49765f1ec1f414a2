//! Queries answered by a look at every row, for backends without an index.
//!
//! The backend shows each row once, in any order and in parts; nothing is kept of it but what may yet be an answer.
//! In memory are the ids of at most `top_k` rows; for a hybrid query the ids of all that are selected, with a score;
//! for maximal marginal relevance, which weighs rows against each other, their embeddings too.

use std::cmp::Ordering;

use crate::kit::bm25::Bm25Scan;
use crate::kit::fusion::reciprocal_rank_fusion;
use crate::kit::mmr;
use crate::kit::similarity::rounded;
use crate::kit::top_k::TopK;
use crate::{
    Error, ErrorKind, Node, NodeId, QueryKind, Result, ScoredNode, Selector, VectorConfig, VectorQuery,
};

/// Bytes of embeddings that are weighed for maximal marginal relevance.
const MAX_MMR_BYTES: usize = 512 << 20;

type Ties = fn(&String, &String) -> Ordering;

/// What a search looks at in each row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Source document and metadata, to hold them against the selector.
    pub metadata: bool,
    /// The text.
    pub text: bool,
    /// The embedding.
    pub embedding: bool,
}

impl Need {
    /// What either needs.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            metadata: self.metadata || other.metadata,
            text: self.text || other.text,
            embedding: self.embedding || other.embedding,
        }
    }
}

/// A row as it is shown to a search. What the search does not [need](ExactSearch::need) may be absent.
#[derive(Clone, Copy, Debug)]
pub struct SearchRow<'a> {
    /// The node's id.
    pub id: &'a str,
    /// Its text; empty where it has none.
    pub text: &'a str,
    /// Its embedding. One of other dimensions than the store's is passed over.
    pub embedding: Option<&'a [f32]>,
}

/// One query on its way through the rows.
///
/// The query must have passed [`vector_check::query`](crate::kit::vector_check::query).
///
/// ```
/// use store_core::kit::exact_search::{ExactSearch, SearchRow};
/// use store_core::{Metric, VectorConfig, VectorQuery};
///
/// let config = VectorConfig::new(2, Metric::Cosine);
/// let query = VectorQuery::dense(vec![1.0, 0.0], 1);
/// let mut search = ExactSearch::new(&query, &config);
/// for (id, embedding) in [("a", [0.0, 1.0]), ("b", [2.0, 0.0])] {
///     search.offer(SearchRow { id, text: "", embedding: Some(&embedding) }, || true)?;
/// }
/// assert_eq!(search.finish()?, [("b".to_owned(), 1.0)]);
/// # Ok::<(), store_core::Error>(())
/// ```
pub struct ExactSearch<'a> {
    query: &'a VectorQuery,
    config: &'a VectorConfig,
    sort: Sort<'a>,
}

impl std::fmt::Debug for ExactSearch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExactSearch").field("query", self.query).finish_non_exhaustive()
    }
}

/// What a sort of query keeps of the rows.
enum Sort<'a> {
    Near { embedding: &'a [f32], least: Option<f64>, best: TopK<String, Ties> },
    Words(Bm25Scan<String>),
    Both { embedding: &'a [f32], near: Vec<(f64, String)>, words: Bm25Scan<String>, alpha: f64 },
    Diverse { embedding: &'a [f32], threshold: f64, candidates: Vec<(String, Vec<f32>)> },
}

impl<'a> ExactSearch<'a> {
    /// A search for what the query asks.
    #[must_use]
    pub fn new(query: &'a VectorQuery, config: &'a VectorConfig) -> Self {
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
        };
        Self { query, config, sort }
    }

    /// The query.
    #[must_use]
    pub fn query(&self) -> &'a VectorQuery {
        self.query
    }

    /// Whether no row can be an answer, so that none needs to be shown.
    #[must_use]
    pub fn is_vain(&self) -> bool {
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

    /// Whether rows that are not selected must be shown as well: a search by words weighs them by how many of all
    /// texts hold them.
    #[must_use]
    pub fn wants_all(&self) -> bool {
        match &self.sort {
            Sort::Words(_) => true,
            Sort::Both { words, .. } => !words.is_empty(),
            Sort::Near { .. } | Sort::Diverse { .. } => false,
        }
    }

    /// The only rows that need to be shown, each once and in order; `None` when no ids are selected, or when the
    /// search [wants all](Self::wants_all).
    #[must_use]
    pub fn named(&self) -> Option<Vec<NodeId>> {
        let mut ids = self.query.selector.ids.clone().filter(|_| !self.wants_all())?;
        ids.sort_unstable();
        ids.dedup();
        Some(ids)
    }

    /// Whether no rows need to be shown but those that the selector names, or those of documents that it names.
    #[must_use]
    pub fn is_named(&self) -> bool {
        let selector = &self.query.selector;
        !self.wants_all() && (selector.ids.is_some() || selector.ref_docs.is_some())
    }

    /// What the search looks at in each row.
    #[must_use]
    pub fn need(&self) -> Need {
        let selector = &self.query.selector;
        let metadata = selector.filter.is_some() || selector.ref_docs.is_some();
        match &self.sort {
            Sort::Near { .. } | Sort::Diverse { .. } => Need { metadata, text: false, embedding: true },
            Sort::Words(_) => Need { metadata, text: true, embedding: false },
            Sort::Both { words, alpha, .. } => {
                Need { metadata, text: !words.is_empty(), embedding: *alpha > 0.0 }
            }
        }
    }

    /// Shows a row. `selected` answers whether the selector selects it; it is asked only where that matters.
    ///
    /// # Errors
    /// `LimitExceeded` when maximal marginal relevance would have to weigh more than 512 MB of embeddings.
    pub fn offer(&mut self, row: SearchRow<'_>, selected: impl FnOnce() -> bool) -> Result<()> {
        let (query, config) = (self.query, self.config);
        let id = || row.id.to_owned();
        let embedding = row.embedding.filter(|embedding| embedding.len() == config.dimensions);
        match &mut self.sort {
            Sort::Near { embedding: target, least, best } => {
                let Some(embedding) = embedding else { return Ok(()) };
                let score = config.metric.score(target, embedding);
                if best.accepts(score) && enough(score, *least) && selected() {
                    best.push(score, id());
                }
            }
            Sort::Words(words) => words.add(row.text, || selected().then(id)),
            Sort::Both { embedding: target, near, words, alpha } => {
                let selected = selected();
                if let Some(embedding) = embedding.filter(|_| selected && *alpha > 0.0) {
                    let score = config.metric.score(target, embedding);
                    if !score.is_nan() {
                        near.push((score, id()));
                    }
                }
                if !words.is_empty() {
                    words.add(row.text, || selected.then(id));
                }
            }
            Sort::Diverse { embedding: target, candidates, .. } => {
                let Some(embedding) = embedding else { return Ok(()) };
                if !enough(config.metric.score(target, embedding), query.min_score) || !selected() {
                    return Ok(());
                }
                let most = MAX_MMR_BYTES / (config.dimensions.max(1) * 4);
                if candidates.len() >= most {
                    let message = format!(
                        "maximal marginal relevance weighs every embedding that is selected, here more than {most} \
                         of {} dimensions; restrict the query by a filter",
                        config.dimensions
                    );
                    return Err(Error::new(ErrorKind::LimitExceeded, message));
                }
                candidates.push((id(), embedding.to_vec()));
            }
        }
        Ok(())
    }

    /// [Shows](Self::offer) a row with its node, which is absent where the search needs no metadata.
    ///
    /// # Errors
    /// As [`offer`](Self::offer).
    pub fn offer_node(&mut self, row: SearchRow<'_>, node: Option<&Node>) -> Result<()> {
        let selector = &self.query.selector;
        self.offer(row, || match node {
            Some(node) => selector.selects(node),
            // Nothing but ids can restrict then.
            None => selector.ids.as_ref().is_none_or(|ids| ids.iter().any(|id| id.as_str() == row.id)),
        })
    }

    /// The ids that were found and their scores, best first; of equal scores the lesser id first.
    ///
    /// # Errors
    /// `InvalidInput` for a query that should not have passed its check.
    pub fn finish(self) -> Result<Vec<(String, f64)>> {
        let (query, config) = (self.query, self.config);
        let swapped = |found: Vec<(f64, String)>| found.into_iter().map(|(score, id)| (id, score)).collect();
        let mut found: Vec<(String, f64)> = match self.sort {
            Sort::Near { best, .. } => return Ok(swapped(best.into_sorted())),
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
        found.retain(|(_, score)| query.min_score.is_none_or(|least| *score >= least));
        Ok(found)
    }
}

/// The nodes of a ranking, in its order, if they are there and selected still: they are read after it was made.
pub fn scored(
    ranked: Vec<(String, f64)>,
    nodes: impl IntoIterator<Item = Option<Node>>,
    selector: &Selector,
) -> Vec<ScoredNode> {
    let found = nodes.into_iter().zip(ranked).filter_map(|(node, (_, score))| Some((node?, score)));
    let selected = found.filter(|(node, _)| selector.selects(node));
    selected.map(|(node, score)| ScoredNode::new(node, score)).collect()
}

/// Answers the queries that an index could not answer, all in one reading.
pub async fn answer_open<F: Future<Output = Result<Vec<Vec<ScoredNode>>>>>(
    queries: &[VectorQuery],
    mut answers: Vec<Option<Vec<ScoredNode>>>,
    exactly: impl FnOnce(Vec<VectorQuery>) -> F,
) -> Result<Vec<Vec<ScoredNode>>> {
    let open = queries.iter().zip(&answers).filter(|(_, answer)| answer.is_none());
    let open: Vec<VectorQuery> = open.map(|(query, _)| query.clone()).collect();
    if !open.is_empty() {
        let mut exact = exactly(open).await?.into_iter();
        answers.iter_mut().filter(|answer| answer.is_none()).for_each(|answer| *answer = exact.next());
    }
    Ok(answers.into_iter().map(Option::unwrap_or_default).collect())
}

fn enough(score: f64, least: Option<f64>) -> bool {
    least.is_none_or(|least| score >= rounded(least))
}
