//! Ruling rows out by a fast, inexact dot product without ever changing a result.
//!
//! A scan computes dot products with `f32` sums. Each is off by a bounded amount, so it puts the row's true score
//! into an interval. A row is dropped only when k other rows are better by their *lower* ends than this one by
//! its *upper* end; the few that remain are scored exactly. The ranking is therefore that of the exact scores,
//! ties included, however the dot products were summed: alone, in a batch, with or without a list of rows.

use crate::kit::similarity::{Metric, euclidean_distance, rounded, squared_norm};

/// Twice the rounding error of one `f32` operation: the factor two covers the second-order terms of the bound and
/// the (far smaller) errors of the `f64` arithmetic around it.
const ERROR_PER_TERM: f64 = 1.0 / 8_388_608.0; // 2^-23
/// Above the relative width within which two numbers can round to one score (24 bits).
const SAME_SCORE: f64 = 1.0 / 4_194_304.0; // 2^-22
/// The relative error of the `f64` sums that make up a squared distance, generously.
const WIDE_ERROR: f64 = 1e-14;

/// An interval that holds a row's true key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interval {
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

impl Interval {
    pub(crate) fn is_known(&self) -> bool {
        self.lower.is_finite() && self.upper.is_finite()
    }
}

/// Turns inexact dot products with one query into intervals.
///
/// The *key* of a row rises with its score: the score itself, except for the Euclidean metric, where it is the
/// negated squared distance (no root and no division for each row).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    metric: Metric,
    query_norm: f64,
    // |computed − true dot product| ≤ relative · ‖x‖ + absolute
    relative: f64,
    absolute: f64,
}

impl Bounds {
    pub(crate) fn new(metric: Metric, query: &[f32]) -> Self {
        let query_norm = squared_norm(query).sqrt();
        // |fl(q·x) − q·x| ≤ n·u·Σ|q||x| ≤ n·u·‖q‖‖x‖ for any order of the n additions (Higham, Accuracy and
        // Stability of Numerical Algorithms, §3.1), plus what products below the normal range lose.
        let terms = query.len() as f64 + 16.0;
        Self {
            metric,
            query_norm,
            relative: terms * ERROR_PER_TERM * query_norm,
            absolute: terms * f64::from(f32::from_bits(1)),
        }
    }

    /// The interval of the key of a row with this norm; NaN ends where nothing is known (an overflow, a norm of
    /// zero under cosine, an absent row), which no comparison rules out.
    pub(crate) fn key(&self, dot: f32, norm: f64) -> Interval {
        // An overflow on the way says nothing about the true value.
        let dot = if dot.is_finite() { f64::from(dot) } else { f64::NAN };
        let slack = self.relative * norm + self.absolute;
        let (key, slack) = match self.metric {
            Metric::Dot => (dot, slack),
            Metric::Cosine => {
                let scale = 1.0 / (norm * self.query_norm);
                (dot * scale, slack * scale)
            }
            Metric::Euclidean => {
                let squares = self.query_norm * self.query_norm + norm * norm;
                (2.0 * dot - squares, 2.0 * slack + squares * WIDE_ERROR)
            }
        };
        Interval { lower: key - slack, upper: key + slack }
    }

    /// The interval of the score itself, rounding included.
    pub(crate) fn score(&self, dot: f32, norm: f64) -> Interval {
        let Interval { lower, upper } = self.key(dot, norm);
        let (lower, upper) = match self.metric {
            Metric::Dot | Metric::Cosine => (lower, upper),
            Metric::Euclidean => {
                (1.0 / (1.0 + (-lower).max(0.0).sqrt()), 1.0 / (1.0 + (-upper).max(0.0).sqrt()))
            }
        };
        Interval { lower: lower - lower.abs() * SAME_SCORE, upper: upper + upper.abs() * SAME_SCORE }
    }

    /// The key computed exactly, for rows of which the dot product says nothing.
    pub(crate) fn exact_key(&self, query: &[f32], row: &[f32]) -> Interval {
        let key = match self.metric {
            Metric::Dot | Metric::Cosine => self.metric.score(query, row),
            Metric::Euclidean => -euclidean_distance(query, row).powi(2),
        };
        Interval { lower: key, upper: key }
    }

    /// The least key with which a row can still reach `score`.
    pub(crate) fn cut_of_score(&self, score: f64) -> f64 {
        let score = rounded(score);
        match self.metric {
            Metric::Dot | Metric::Cosine => self.cut(score),
            Metric::Euclidean if score <= 0.0 => f64::NEG_INFINITY,
            Metric::Euclidean => {
                let distance = (1.0 / score - 1.0).max(0.0);
                self.cut(-(distance * distance))
            }
        }
    }

    /// The least key whose score can round to the same value as that of `key`.
    pub(crate) fn cut(&self, key: f64) -> f64 {
        match self.metric {
            Metric::Dot | Metric::Cosine => key - key.abs() * SAME_SCORE,
            Metric::Euclidean => {
                // 1/(1+d) is rounded, so it is 1+d that may differ by the relative width.
                let distance = (-key).max(0.0).sqrt();
                let distance = distance + (1.0 + distance) * SAME_SCORE;
                -(distance * distance) * (1.0 + WIDE_ERROR)
            }
        }
    }
}

/// The rows that may be among the best `limit`, each with the interval of its key.
#[derive(Debug)]
pub(crate) struct Shortlist<T> {
    limit: usize,
    entries: Vec<(Interval, T)>,
    cut: f64,
    shrink_at: usize,
}

impl<T> Shortlist<T> {
    /// For the best `limit`, of rows whose key can reach `cut`.
    pub(crate) fn new(limit: usize, cut: f64) -> Self {
        Self { limit, entries: Vec::new(), cut, shrink_at: shrink_at(limit, 0) }
    }

    /// A row whose upper end is below this is out.
    pub(crate) fn cut(&self) -> f64 {
        self.cut
    }

    /// Takes a row in; `widen` lowers a key to the least one that may tie with it.
    pub(crate) fn push(&mut self, interval: Interval, item: T, widen: impl Fn(f64) -> f64) {
        self.entries.push((interval, item));
        if self.entries.len() >= self.shrink_at {
            self.shrink(widen);
        }
    }

    /// What is left after the last cut.
    pub(crate) fn into_items(mut self, widen: impl Fn(f64) -> f64) -> impl Iterator<Item = T> {
        self.shrink(widen);
        self.entries.into_iter().map(|(_, item)| item)
    }

    fn shrink(&mut self, widen: impl Fn(f64) -> f64) {
        let Some(last) = self.limit.checked_sub(1) else {
            self.entries.clear();
            return;
        };
        if self.entries.len() > self.limit {
            let (_, (interval, _), _) =
                self.entries.select_nth_unstable_by(last, |a, b| b.0.lower.total_cmp(&a.0.lower));
            self.cut = self.cut.max(widen(interval.lower));
        }
        let cut = self.cut;
        self.entries.retain(|(interval, _)| interval.upper >= cut);
        // Many ties keep the list long; doubling keeps the cost of shrinking linear in all.
        self.shrink_at = shrink_at(self.limit, self.entries.len());
    }
}

fn shrink_at(limit: usize, kept: usize) -> usize {
    limit.saturating_mul(2).max(kept.saturating_mul(2)).saturating_add(32)
}
