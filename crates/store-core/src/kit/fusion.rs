//! Hybrid search: two rankings of one collection become one.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::Hash;

use crate::kit::top_k::TopK;

/// The constant of reciprocal-rank fusion, 60 as in Cormack, Clarke and Büttcher (SIGIR 2009).
pub const RANK_CONSTANT: f64 = 60.0;

/// Reciprocal-rank fusion of a ranking by vector and one by text.
///
/// The score of a key is `alpha / (60 + rank by vector) + (1 − alpha) / (60 + rank by text)` with ranks from 1;
/// a ranking that does not hold the key adds 0. `alpha` 1 means vectors only, 0 text only: a key that only the
/// ranking without weight holds is left out. Equal scores are ordered by key, ascending; at most `limit` keys
/// come back, best first. A key that stands twice in one ranking counts where it stands first.
///
/// How deep the two rankings reach is the caller's choice; the fused order is exact when each holds every match.
///
/// ```
/// let fused = store_core::kit::fusion::reciprocal_rank_fusion(["a", "b"], ["b", "c"], 0.5, 10);
/// assert_eq!(fused.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["b", "a", "c"]);
/// assert_eq!(fused[0].1, 0.5 / 62.0 + 0.5 / 61.0);
/// ```
#[must_use]
pub fn reciprocal_rank_fusion<K: Clone + Eq + Hash + Ord>(
    by_vector: impl IntoIterator<Item = K>,
    by_text: impl IntoIterator<Item = K>,
    alpha: f64,
    limit: usize,
) -> Vec<(K, f64)> {
    reciprocal_rank_fusion_by(by_vector, by_text, alpha, limit, Ord::cmp)
}

/// [`reciprocal_rank_fusion`] with the caller's order of equal scores, for keys that are not ordered as their
/// ids are (row numbers).
#[must_use]
pub fn reciprocal_rank_fusion_by<K: Clone + Eq + Hash>(
    by_vector: impl IntoIterator<Item = K>,
    by_text: impl IntoIterator<Item = K>,
    alpha: f64,
    limit: usize,
    ties: impl FnMut(&K, &K) -> Ordering,
) -> Vec<(K, f64)> {
    let mut ranks: HashMap<K, [Option<f64>; 2]> = HashMap::new();
    // A ranking of no weight says nothing: its keys would only trail with a score of 0.
    if alpha > 0.0 {
        for (position, key) in by_vector.into_iter().enumerate() {
            let [rank, _] = ranks.entry(key).or_default();
            rank.get_or_insert(position as f64 + 1.0);
        }
    }
    if alpha < 1.0 {
        for (position, key) in by_text.into_iter().enumerate() {
            let [_, rank] = ranks.entry(key).or_default();
            rank.get_or_insert(position as f64 + 1.0);
        }
    }
    let part = |weight: f64, rank: Option<f64>| rank.map_or(0.0, |rank| weight / (RANK_CONSTANT + rank));
    let mut best = TopK::new(limit, ties);
    for (key, [vector, text]) in ranks {
        best.push(part(alpha, vector) + part(1.0 - alpha, text), key);
    }
    best.into_sorted().into_iter().map(|(score, key)| (key, score)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn follows_the_formula() {
        let fused = reciprocal_rank_fusion(["x", "y", "z"], ["z", "w"], 0.7, 10);
        let expected = [
            ("z", 0.7 / 63.0 + (1.0 - 0.7) / 61.0),
            ("x", 0.7 / 61.0),
            ("y", 0.7 / 62.0),
            ("w", (1.0 - 0.7) / 62.0),
        ];
        assert_eq!(fused, expected);
    }

    #[test]
    fn equal_scores_are_ordered_by_key() {
        let fused = reciprocal_rank_fusion(["b", "a"], ["a", "b"], 0.5, 1);
        assert_eq!(fused, [("a", 0.5 / 62.0 + 0.5 / 61.0)]);
    }

    #[test]
    fn the_ends_of_alpha_use_one_ranking() {
        assert_eq!(reciprocal_rank_fusion([1, 2], [3], 1.0, 9), [(1, 1.0 / 61.0), (2, 1.0 / 62.0)]);
        assert_eq!(reciprocal_rank_fusion([1, 2], [3], 0.0, 9), [(3, 1.0 / 61.0)]);
        assert_eq!(reciprocal_rank_fusion([1], [1], f64::NAN, 9), []);
    }

    proptest! {
        #[test]
        fn equals_the_naive_fusion(
            vector in prop::sample::subsequence((0..30_u32).collect::<Vec<_>>(), 0..30).prop_shuffle(),
            text in prop::sample::subsequence((0..30_u32).collect::<Vec<_>>(), 0..30).prop_shuffle(),
            alpha in 0.01..0.99_f64,
            limit in 0..40_usize,
        ) {
            let rank = |list: &[u32], key: u32| list.iter().position(|other| *other == key);
            let mut expected: Vec<(u32, f64)> = (0..30)
                .filter(|key| vector.contains(key) || text.contains(key))
                .map(|key| {
                    let part = |weight: f64, at: Option<usize>| at.map_or(0.0, |at| weight / (60.0 + (at + 1) as f64));
                    (key, part(alpha, rank(&vector, key)) + part(1.0 - alpha, rank(&text, key)))
                })
                .collect();
            expected.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            expected.truncate(limit);
            prop_assert_eq!(reciprocal_rank_fusion(vector, text, alpha, limit), expected);
        }
    }
}
