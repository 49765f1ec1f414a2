//! Exact nearest-neighbour search over a [`VectorSnapshot`].
//!
//! One query is a scan at the speed of memory; three or more at once share their reads. Both only rule rows
//! out; the rows that remain are scored with [`Metric::score`], so a query gives the same answer to the last bit
//! alone, in a batch, or over a list of rows.

use std::cmp::Ordering;
use std::fmt;

use super::bounds::{Bounds, Shortlist};
use super::matrix::Queries;
use crate::Result;
use crate::kit::mmr;
use crate::kit::similarity::{Metric, dot_f32, rounded};
use crate::kit::top_k::TopK;
use crate::kit::vector_table::{BLOCK_ROWS, VectorSnapshot};

/// From this many queries tiles are faster than one scan each.
const BATCH_FROM: usize = 3;
/// Queries that pass over the rows together: bounds the memory for products (64 × 1,024 × 4 bytes).
const BATCH_QUERIES: usize = 64;

/// Which rows a search looks at.
#[derive(Clone, Copy, Default)]
pub enum Rows<'a> {
    /// Every row that holds a vector.
    #[default]
    All,
    /// These rows, each named once, best in ascending order; only they are read. For selective filters.
    /// A row that holds no vector is passed over.
    Listed(&'a [u32]),
    /// The rows for which this answers `true`. It is asked only about rows near enough to be found, so it may be
    /// costly; where the rows are known and few, [`Rows::Listed`] reads less memory.
    Where(&'a dyn Fn(u32) -> bool),
}

impl Rows<'_> {
    pub(crate) fn filter(&self) -> Option<&dyn Fn(u32) -> bool> {
        match self {
            Self::Where(filter) => Some(filter),
            Self::All | Self::Listed(_) => None,
        }
    }
}

impl fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("All"),
            Self::Listed(rows) => write!(f, "Listed({} rows)", rows.len()),
            Self::Where(_) => f.write_str("Where(…)"),
        }
    }
}

/// What to search for.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// How vectors are compared.
    pub metric: Metric,
    /// At most this many rows come back.
    pub k: usize,
    /// Rows with a lower score are left out; `None`: no limit. Compared at the precision of scores (24 bits).
    pub min_score: Option<f64>,
    /// Which rows are looked at; default all.
    pub rows: Rows<'a>,
}

impl<'a> Search<'a> {
    /// The best `k` of all rows.
    #[must_use]
    pub fn new(metric: Metric, k: usize) -> Self {
        Self { metric, k, min_score: None, rows: Rows::All }
    }

    /// Every row with a score of at least `radius`, however many there are.
    #[must_use]
    pub fn within(metric: Metric, radius: f64) -> Self {
        Self { metric, k: usize::MAX, min_score: Some(radius), rows: Rows::All }
    }

    /// Leaves out rows with a lower score.
    #[must_use]
    pub fn with_min_score(mut self, min_score: Option<f64>) -> Self {
        self.min_score = min_score;
        self
    }

    /// Restricts the search; this happens before the best `k` are chosen.
    #[must_use]
    pub fn with_rows(mut self, rows: Rows<'a>) -> Self {
        self.rows = rows;
        self
    }
}

/// A row that a search found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoredRow {
    /// The row's number.
    pub row: u32,
    /// Its score; higher is better.
    pub score: f64,
}

impl VectorSnapshot {
    /// The best rows for `query`, best first; `ties` orders rows of equal score (by id), at the cut as well.
    ///
    /// Fewer than `k` rows match: all of them. `InvalidInput` for a query that [`Metric::check`] refuses.
    pub fn search(
        &self,
        query: &[f32],
        search: &Search<'_>,
        ties: impl FnMut(u32, u32) -> Ordering,
    ) -> Result<Vec<ScoredRow>> {
        search.metric.check(query, self.dimensions())?;
        let mut scan = Scan::new(self, query, search);
        match search.rows {
            Rows::Listed(rows) => {
                for row in rows {
                    if let Some((vector, norm)) = self.vector_and_norm(*row) {
                        scan.offer(*row, dot_f32(query, vector), norm);
                    }
                }
            }
            Rows::All | Rows::Where(_) => {
                // First all products of a block, then a look at them: the loop over memory stays as tight as it can be.
                let mut products = [0.0_f32; BLOCK_ROWS];
                for block in self.blocks() {
                    for (product, vector) in products.iter_mut().zip(block.vectors()) {
                        *product = dot_f32(query, vector);
                    }
                    for ((row, product), norm) in (block.first_row..).zip(products).zip(block.norms) {
                        scan.offer(row, product, *norm);
                    }
                }
            }
        }
        Ok(scan.finish(ties))
    }

    /// [`search`](Self::search) for several queries, with the same answers in the queries' order; much faster than
    /// one after the other when there are three or more.
    pub fn search_batch(
        &self,
        queries: &[&[f32]],
        search: &Search<'_>,
        mut ties: impl FnMut(u32, u32) -> Ordering,
    ) -> Result<Vec<Vec<ScoredRow>>> {
        if queries.len() < BATCH_FROM {
            return queries.iter().map(|query| self.search(query, search, &mut ties)).collect();
        }
        for query in queries {
            search.metric.check(query, self.dimensions())?;
        }
        let mut found = Vec::with_capacity(queries.len());
        for queries in queries.chunks(BATCH_QUERIES) {
            let mut batch = Batch::new(self, queries, search);
            match search.rows {
                Rows::Listed(rows) => batch.scan_listed(rows),
                Rows::All | Rows::Where(_) => {
                    for block in self.blocks() {
                        batch.scan(&(block.first_row..), block.values, block.norms);
                    }
                }
            }
            found.extend(batch.scans.into_iter().map(|scan| scan.finish(&mut ties)));
        }
        Ok(found)
    }

    /// Maximal marginal relevance over every row that `search` admits: like the query, unlike each other. See
    /// [`mmr::select`] for the formula; rows come in the order chosen, each with the value it was chosen for.
    ///
    /// `min_score` applies to the similarity with the query. Costs one scan for each row chosen.
    pub fn search_mmr(
        &self,
        query: &[f32],
        search: &Search<'_>,
        threshold: f64,
        mut ties: impl FnMut(u32, u32) -> Ordering,
    ) -> Result<Vec<ScoredRow>> {
        search.metric.check(query, self.dimensions())?;
        let least = search.min_score.map_or(f64::NEG_INFINITY, rounded);
        let admits = |vector: &[f32]| least.is_infinite() || search.metric.score(query, vector) >= least;
        let candidates: Vec<(u32, &[f32])> = match search.rows {
            Rows::All => self.iter().filter(|(_, vector)| admits(vector)).collect(),
            Rows::Where(filter) => {
                self.iter().filter(|(row, vector)| filter(*row) && admits(vector)).collect()
            }
            Rows::Listed(rows) => rows
                .iter()
                .filter_map(|row| Some((*row, self.get(*row)?)))
                .filter(|(_, vector)| admits(vector))
                .collect(),
        };
        let chosen = mmr::select(search.metric, query, candidates, threshold, search.k, |a, b| ties(*a, *b))?;
        Ok(chosen.into_iter().map(|(row, score)| ScoredRow { row, score }).collect())
    }
}

/// One query on its way through the rows.
struct Scan<'a> {
    snapshot: &'a VectorSnapshot,
    query: &'a [f32],
    search: &'a Search<'a>,
    bounds: Bounds,
    shortlist: Shortlist<u32>,
}

impl<'a> Scan<'a> {
    fn new(snapshot: &'a VectorSnapshot, query: &'a [f32], search: &'a Search<'a>) -> Self {
        let bounds = Bounds::new(search.metric, query);
        let cut = search.min_score.map_or(f64::NEG_INFINITY, |score| bounds.cut_of_score(score));
        Self { snapshot, query, search, bounds, shortlist: Shortlist::new(search.k, cut) }
    }

    #[inline]
    fn offer(&mut self, row: u32, dot: f32, norm: f64) {
        let interval = self.bounds.key(dot, norm);
        // A NaN fails this comparison, so whatever is not known goes on.
        if interval.upper < self.shortlist.cut() {
            return;
        }
        self.consider(row, norm, interval);
    }

    #[cold]
    fn consider(&mut self, row: u32, norm: f64, mut interval: super::bounds::Interval) {
        if norm.is_nan() || self.search.rows.filter().is_some_and(|filter| !filter(row)) {
            return;
        }
        if !interval.is_known() {
            let Some(vector) = self.snapshot.get(row) else { return };
            interval = self.bounds.exact_key(self.query, vector);
            if interval.upper < self.shortlist.cut() {
                return;
            }
        }
        self.shortlist.push(interval, row, |key| self.bounds.cut(key));
    }

    fn finish(self, mut ties: impl FnMut(u32, u32) -> Ordering) -> Vec<ScoredRow> {
        let least = self.search.min_score.map_or(f64::NEG_INFINITY, rounded);
        let mut best = TopK::new(self.search.k, |a: &u32, b: &u32| ties(*a, *b));
        for row in self.shortlist.into_items(|key| self.bounds.cut(key)) {
            let Some(vector) = self.snapshot.get(row) else { continue };
            let score = self.search.metric.score(self.query, vector);
            if score >= least {
                best.push(score, row);
            }
        }
        best.into_sorted().into_iter().map(|(score, row)| ScoredRow { row, score }).collect()
    }
}

/// Several queries on their way through the rows, with the memory they share.
struct Batch<'a> {
    snapshot: &'a VectorSnapshot,
    scans: Vec<Scan<'a>>,
    queries: Queries,
    products: Vec<f32>,
}

impl<'a> Batch<'a> {
    fn new(snapshot: &'a VectorSnapshot, queries: &[&'a [f32]], search: &'a Search<'a>) -> Self {
        Self {
            snapshot,
            scans: queries.iter().map(|query| Scan::new(snapshot, query, search)).collect(),
            queries: Queries::new(queries, snapshot.dimensions()),
            products: Vec::new(),
        }
    }

    fn scan(&mut self, rows: &(impl Iterator<Item = u32> + Clone), values: &[f32], norms: &[f64]) {
        let count = self.queries.products(values, &mut self.products);
        if count == 0 {
            return;
        }
        for (scan, products) in self.scans.iter_mut().zip(self.products.chunks_exact(count)) {
            for ((row, dot), norm) in rows.clone().zip(products).zip(norms) {
                scan.offer(row, *dot, *norm);
            }
        }
    }

    fn scan_listed(&mut self, rows: &[u32]) {
        let snapshot = self.snapshot;
        let (mut present, mut values, mut norms) = (Vec::new(), Vec::new(), Vec::new());
        for rows in rows.chunks(BLOCK_ROWS) {
            present.clear();
            values.clear();
            norms.clear();
            for row in rows {
                if let Some((vector, norm)) = snapshot.vector_and_norm(*row) {
                    present.push(*row);
                    values.extend_from_slice(vector);
                    norms.push(norm);
                }
            }
            self.scan(&present.iter().copied(), &values, &norms);
        }
    }
}

#[cfg(test)]
#[path = "vector_search_tests.rs"]
mod tests;
