//! Maximal marginal relevance: results that are like the query and unlike each other.

use std::cmp::Ordering;

use super::bounds::{Bounds, Interval, Shortlist};
use crate::kit::similarity::{Metric, dot_f32, squared_norm};
use crate::{Error, Result};

/// The threshold where none is given: both halves count the same.
pub const DEFAULT_THRESHOLD: f64 = 0.5;

struct Candidate<'a, T> {
    item: T,
    vector: &'a [f32],
    norm: f64,
    // t · s(q, x)
    relevance: f64,
}

/// Chooses up to `k` of `candidates`, in the order chosen, each with the value it was chosen for.
///
/// With t = `threshold` and s = [`Metric::score`]: first the candidate x with the greatest t·s(q, x); then, again
/// and again, the one with the greatest t·s(q, x) − (1 − t)·s(x, last), where *last* is the one chosen before.
/// As in LlamaIndex, only the last one counts and not all that were chosen. Equal values are ordered by `ties`.
///
/// All candidates are weighed, none is cut off beforehand. Costs one dot product for each candidate and each item
/// chosen, and 48 bytes for each candidate besides the item; the vectors are not copied.
///
/// `InvalidInput` for a query that [`Metric::check`] refuses and for a `threshold` outside 0 to 1. Candidates of
/// another length than the query's, or with components that are not finite, are passed over.
pub fn select<'a, T>(
    metric: Metric,
    query: &[f32],
    candidates: impl IntoIterator<Item = (T, &'a [f32])>,
    threshold: f64,
    k: usize,
    mut ties: impl FnMut(&T, &T) -> Ordering,
) -> Result<Vec<(T, f64)>> {
    metric.check(query, query.len())?;
    if !(0.0..=1.0).contains(&threshold) {
        return Err(Error::invalid_input(format!(
            "the MMR threshold is {threshold} where 0 to 1 is expected"
        )));
    }
    let mut candidates: Vec<Candidate<'a, T>> = candidates
        .into_iter()
        .filter(|(_, vector)| vector.len() == query.len())
        .map(|(item, vector)| Candidate {
            item,
            vector,
            norm: squared_norm(vector).sqrt(),
            relevance: threshold * metric.score(query, vector),
        })
        .filter(|candidate| candidate.norm.is_finite())
        .collect();
    let mut chosen = Vec::with_capacity(k.min(candidates.len()));
    let mut last: Option<&[f32]> = None;
    while chosen.len() < k {
        let best = match last {
            None => best_of(
                candidates.iter().enumerate().map(|(at, c)| (at, c.relevance)),
                &candidates,
                &mut ties,
            ),
            Some(last) => next(metric, last, &candidates, threshold, &mut ties),
        };
        let Some((at, value)) = best else { break };
        let candidate = candidates.swap_remove(at);
        last = Some(candidate.vector);
        // Adding 0 turns −0 into 0.
        chosen.push((candidate.item, value + 0.0));
    }
    Ok(chosen)
}

fn next<T>(
    metric: Metric,
    last: &[f32],
    candidates: &[Candidate<'_, T>],
    threshold: f64,
    ties: &mut impl FnMut(&T, &T) -> Ordering,
) -> Option<(usize, f64)> {
    let bounds = Bounds::new(metric, last);
    let weight = 1.0 - threshold;
    // The fast product rules candidates out, the few left are scored exactly; the margin of the cut covers the
    // rounding of the value itself.
    let cut = |value: f64| value - 1e-12 * (1.0 + value.abs());
    let mut shortlist = Shortlist::new(1, f64::NEG_INFINITY);
    for (at, candidate) in candidates.iter().enumerate() {
        let likeness = bounds.score(dot_f32(last, candidate.vector), candidate.norm);
        let mut interval = Interval {
            lower: candidate.relevance - weight * likeness.upper,
            upper: candidate.relevance - weight * likeness.lower,
        };
        if interval.upper < shortlist.cut() {
            continue;
        }
        if !interval.is_known() {
            let value = candidate.relevance - weight * metric.score(last, candidate.vector);
            interval = Interval { lower: value, upper: value };
        }
        shortlist.push(interval, at, cut);
    }
    let values = shortlist.into_items(cut).filter_map(|at| {
        let candidate = candidates.get(at)?;
        Some((at, candidate.relevance - weight * metric.score(last, candidate.vector)))
    });
    best_of(values, candidates, ties)
}

fn best_of<T>(
    values: impl Iterator<Item = (usize, f64)>,
    candidates: &[Candidate<'_, T>],
    ties: &mut impl FnMut(&T, &T) -> Ordering,
) -> Option<(usize, f64)> {
    values.reduce(|best, other| {
        let order = best.1.partial_cmp(&other.1).unwrap_or(Ordering::Equal).then_with(|| {
            match (candidates.get(best.0), candidates.get(other.0)) {
                (Some(best), Some(other)) => ties(&other.item, &best.item),
                _ => Ordering::Equal,
            }
        });
        if order == Ordering::Less { other } else { best }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use proptest::prelude::*;

    /// The formula, word for word.
    fn naive(metric: Metric, query: &[f32], rows: &[Vec<f32>], t: f64, k: usize) -> Vec<(usize, f64)> {
        let mut left: Vec<usize> = (0..rows.len()).collect();
        let mut chosen: Vec<(usize, f64)> = Vec::new();
        while chosen.len() < k && !left.is_empty() {
            let value = |x: usize| match chosen.last() {
                None => t * metric.score(query, &rows[x]),
                Some((last, _)) => {
                    t * metric.score(query, &rows[x]) - (1.0 - t) * metric.score(&rows[x], &rows[*last])
                }
            };
            let best = *left
                .iter()
                .max_by(|a, b| value(**a).partial_cmp(&value(**b)).unwrap().then(b.cmp(a)))
                .unwrap();
            chosen.push((best, value(best)));
            left.retain(|x| *x != best);
        }
        chosen
    }

    proptest! {
        #[test]
        fn equals_the_formula(
            query in prop::collection::vec(-3..4_i8, 5),
            rows in prop::collection::vec(prop::collection::vec(-3..4_i8, 5), 0..60),
            t in prop_oneof![Just(0.5), Just(1.0), Just(0.0), 0.0..1.0_f64],
            k in 0..12_usize,
        ) {
            let float = |row: &Vec<i8>| row.iter().map(|value| f32::from(*value) * 0.37).collect::<Vec<f32>>();
            let (query, rows) = (float(&query), rows.iter().map(float).collect::<Vec<_>>());
            for metric in [Metric::Cosine, Metric::Dot, Metric::Euclidean] {
                prop_assume!(metric.check(&query, 5).is_ok());
                let candidates = rows.iter().enumerate().map(|(at, row)| (at, row.as_slice()));
                let found = select(metric, &query, candidates, t, k, Ord::cmp).unwrap();
                let expected = naive(metric, &query, &rows, t, k);
                prop_assert_eq!(found.len(), expected.len());
                for ((row, value), (expected_row, expected_value)) in found.iter().zip(&expected) {
                    prop_assert_eq!((row, *value), (expected_row, *expected_value + 0.0));
                }
            }
        }
    }

    #[test]
    fn a_duplicate_of_the_last_comes_late() {
        let rows: [(&str, &[f32]); 3] = [("a", &[1.0, 0.0]), ("b", &[1.0, 0.0]), ("c", &[0.6, 0.8])];
        let found = select(Metric::Cosine, &[1.0, 0.0], rows, 0.5, 3, Ord::cmp).unwrap();
        let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let found = select(Metric::Cosine, &[0.8, 0.6], rows, 0.4, 3, Ord::cmp).unwrap();
        let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["c", "a", "b"]);
    }

    #[test]
    fn refuses_bad_arguments_and_passes_bad_candidates_over() {
        let one: [(u8, &[f32]); 3] = [(0, &[1.0]), (1, &[1.0, 2.0]), (2, &[f32::NAN])];
        for t in [-0.1, 1.1, f64::NAN] {
            let error = select(Metric::Dot, &[1.0], one, t, 1, Ord::cmp).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        assert!(select(Metric::Cosine, &[0.0], one, 0.5, 1, Ord::cmp).is_err());
        let found = select(Metric::Dot, &[1.0], one, 0.5, 9, Ord::cmp).unwrap();
        assert_eq!(found, [(0, 0.5)]);
    }
}
