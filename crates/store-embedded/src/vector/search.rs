//! Queries: the rows a selector admits, ranked in memory and by words, then read from disk.

use std::cell::RefCell;
use std::cmp::Ordering;

use roaring::RoaringBitmap;
use store_core::kit::fusion::reciprocal_rank_fusion_by;
use store_core::kit::vector_check;
use store_core::kit::vector_search::{Rows, ScoredRow, Search};
use store_core::kit::vector_table::VectorSnapshot;
use store_core::{Error, ErrorKind, Metric, Node, QueryKind, QueryPlan, Result, ScoredNode, VectorQuery};

use super::words::WordSearcher;
use super::{rows, with_index};
use crate::engine::{Guard, ReadTable, ReadTx, Table as _};
use crate::packed::from_packed;
use crate::schema::Tables;
use crate::space::Space;

/// A list of rows is read row by row when it names less than one of this many; else all rows are looked at in
/// their order.
const SPARSE: u64 = 4;

/// Answers every query from one snapshot. `None` when memory or the word index is not at that snapshot.
pub(super) fn run(
    tx: &ReadTx,
    tables: &Tables,
    space: &Space,
    queries: &[VectorQuery],
) -> Result<Option<Vec<Vec<ScoredNode>>>> {
    let config = rows::configured(&tx.table(&tables.vector_meta)?)?;
    queries.iter().try_for_each(|query| vector_check::query(query, &config))?;
    let by_words =
        |query: &VectorQuery| matches!(query.kind, QueryKind::Text { .. } | QueryKind::Hybrid { .. });
    let by_vector = |query: &VectorQuery| !matches!(query.kind, QueryKind::Text { .. });
    let mut searcher = Searcher {
        metric: config.metric,
        ids: tx.table(&tables.vector_rows)?,
        vectors: None,
        words: None,
        failed: RefCell::new(None),
    };
    if queries.iter().any(by_vector) {
        let Some(vectors) = space.vectors.at(tx, tables, space.engine.generation())? else { return Ok(None) };
        searcher.vectors = Some(vectors);
    }
    if queries.iter().any(by_words) {
        let Some(words) = space.vectors.words_at(tx, tables, &space.words_folder())? else { return Ok(None) };
        searcher.words = Some(words);
    }
    let mut found: Vec<Option<Vec<ScoredRow>>> = vec![None; queries.len()];
    for place in 0..queries.len() {
        let (Some(query), Some(None)) = (queries.get(place), found.get(place)) else { continue };
        let selected = with_index(tx, tables, |index| index.select(&query.selector))?;
        let alike: Vec<usize> = (place..queries.len())
            .filter(|other| {
                *other == place || queries.get(*other).is_some_and(|other| one_scan(query, other))
            })
            .collect();
        let batch: Vec<&VectorQuery> = alike.iter().filter_map(|place| queries.get(*place)).collect();
        for (place, answer) in alike.into_iter().zip(searcher.search(&batch, selected.as_ref())?) {
            if let Some(slot) = found.get_mut(place) {
                *slot = Some(answer);
            }
        }
    }
    if let Some(error) = searcher.failed.into_inner() {
        return Err(error);
    }
    let answers = queries.iter().zip(found).map(|(query, found)| {
        let nodes = Answers::open(tx, tables, query.with_embeddings)?;
        let scored = found
            .into_iter()
            .flatten()
            .map(|ScoredRow { row, score }| Ok(nodes.node(row)?.map(|node| ScoredNode::new(node, score))));
        scored.filter_map(Result::transpose).collect::<Result<Vec<_>>>()
    });
    answers.collect::<Result<Vec<_>>>().map(Some)
}

/// Whether one look at the vectors answers both.
fn one_scan(left: &VectorQuery, right: &VectorQuery) -> bool {
    let dense = |query: &VectorQuery| matches!(query.kind, QueryKind::Dense { .. });
    dense(left)
        && dense(right)
        && left.top_k == right.top_k
        && left.min_score == right.min_score
        && left.selector == right.selector
}

struct Searcher {
    metric: Metric,
    ids: ReadTable,
    vectors: Option<VectorSnapshot>,
    words: Option<WordSearcher>,
    /// What went wrong in a place that can not say so.
    failed: RefCell<Option<Error>>,
}

impl Searcher {
    /// Equal scores are in the order of ids, which are on disk: they are read only for those.
    fn by_id(&self, left: u32, right: u32) -> Ordering {
        let id = |row: u32| self.ids.get(&row.to_be_bytes());
        match (id(left), id(right)) {
            (Ok(left), Ok(right)) => left.as_ref().map(Guard::value).cmp(&right.as_ref().map(Guard::value)),
            (Err(error), _) | (_, Err(error)) => {
                *self.failed.borrow_mut() = Some(error);
                Ordering::Equal
            }
        }
    }

    fn vectors(&self) -> Result<&VectorSnapshot> {
        self.vectors.as_ref().ok_or_else(|| Error::new(ErrorKind::Other, "the search has no vectors at hand"))
    }

    fn words(&self, text: &str, k: usize, selected: Option<&RoaringBitmap>) -> Result<Vec<ScoredRow>> {
        let words = self.words.as_ref();
        let words = words.ok_or_else(|| Error::new(ErrorKind::Other, "the search has no words at hand"))?;
        let admits = |row: u32| selected.is_none_or(|rows| rows.contains(row));
        words.search(text, k, admits, |left, right| self.by_id(left, right))
    }

    /// Answers queries that one look at the vectors serves (several, if all are dense and alike).
    fn search(
        &self,
        batch: &[&VectorQuery],
        selected: Option<&RoaringBitmap>,
    ) -> Result<Vec<Vec<ScoredRow>>> {
        let admits = |row: u32| selected.is_some_and(|rows| rows.contains(row));
        let listed: Vec<u32>;
        let total = self.vectors.as_ref().map_or(0, VectorSnapshot::len) as u64;
        let rows = match selected {
            None => Rows::All,
            Some(rows) if rows.len() * SPARSE < total => {
                listed = rows.iter().collect();
                Rows::Listed(&listed)
            }
            Some(_) => Rows::Where(&admits),
        };
        let ties = |left, right| self.by_id(left, right);
        let Some(first) = batch.first() else { return Ok(Vec::new()) };
        let plan = |k, min_score| Search::new(self.metric, k).with_rows(rows).with_min_score(min_score);
        let enough = |found: &ScoredRow| first.min_score.is_none_or(|least| found.score >= least);
        let one = match &first.kind {
            QueryKind::Dense { .. } => {
                let embedding = |query: &&VectorQuery| match &query.kind {
                    QueryKind::Dense { embedding } => embedding.clone(),
                    _ => Vec::new(),
                };
                let embeddings: Vec<Vec<f32>> = batch.iter().map(embedding).collect();
                let embeddings: Vec<&[f32]> = embeddings.iter().map(Vec::as_slice).collect();
                return self.vectors()?.search_batch(&embeddings, &plan(first.top_k, first.min_score), ties);
            }
            QueryKind::Range { embedding, radius } => {
                let least = first.min_score.map_or(*radius, |least| least.max(*radius));
                self.vectors()?.search(embedding, &plan(first.top_k, Some(least)), ties)?
            }
            QueryKind::Mmr { embedding, threshold } => self.vectors()?.search_mmr(
                embedding,
                &plan(first.top_k, first.min_score),
                *threshold,
                ties,
            )?,
            QueryKind::Text { text } => {
                self.words(text, first.top_k, selected)?.into_iter().filter(enough).collect()
            }
            QueryKind::Hybrid { embedding, text, alpha } => {
                let vectors = self.vectors()?;
                let by_vector = vectors.search(embedding, &plan(vectors.len(), None), ties)?;
                let by_text = self.words(text, usize::MAX, selected)?;
                let row = |found: ScoredRow| found.row;
                let fused = reciprocal_rank_fusion_by(
                    by_vector.into_iter().map(row),
                    by_text.into_iter().map(row),
                    *alpha,
                    first.top_k,
                    |left, right| self.by_id(*left, *right),
                );
                fused.into_iter().map(|(row, score)| ScoredRow { row, score }).filter(enough).collect()
            }
            other => {
                let message = format!("this backend does not offer {:?} queries", other.name());
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
        };
        Ok(vec![one])
    }
}

/// How a query would be answered.
pub(super) fn explain(tx: &ReadTx, tables: &Tables, query: &VectorQuery) -> Result<QueryPlan> {
    let all = tx.table(&tables.vector_ids)?.len()?;
    let selected = with_index(tx, tables, |index| index.select(&query.selector))?;
    let candidates = selected.map_or(all, |rows| rows.len());
    let how = match query.kind {
        QueryKind::Text { .. } => "BM25 over the word index",
        QueryKind::Hybrid { .. } => {
            "exact search of the vectors in memory and BM25 over the word index, fused by rank"
        }
        _ => "exact search of the vectors in memory",
    };
    let mut plan = QueryPlan::new(format!("{how}: {candidates} of {all} nodes take part"));
    plan.pushed_down.clone_from(&query.selector.filter);
    plan.candidates = Some(candidates);
    Ok(plan)
}

/// Reads nodes by row.
pub(super) struct Answers {
    nodes: ReadTable,
    vectors: Option<ReadTable>,
}

impl Answers {
    pub(super) fn open(tx: &ReadTx, tables: &Tables, with_embeddings: bool) -> Result<Self> {
        let vectors = with_embeddings.then(|| tx.table(&tables.vectors)).transpose()?;
        Ok(Self { nodes: tx.table(&tables.vector_nodes)?, vectors })
    }

    pub(super) fn node(&self, row: u32) -> Result<Option<Node>> {
        let number = row.to_be_bytes();
        let Some(stored) = self.nodes.get(&number)? else { return Ok(None) };
        let mut node: Node = from_packed(stored.value())?;
        if let Some(vectors) = &self.vectors
            && let Some(bytes) = vectors.get(&number)?
        {
            let mut vector = Vec::new();
            rows::read_vector(bytes.value(), &mut vector);
            node.set_embedding(&vector);
        }
        Ok(Some(node))
    }
}
