//! The best `k` of many scored items, in memory proportional to `k`.

use std::cmp::Ordering;
use std::fmt;

/// Keeps the `k` items with the highest scores; equal scores are ordered by the caller's comparison, at the cut
/// as well, so that the result is a function of the items and not of the order they came in.
///
/// An item whose score is NaN is ignored. Each `push` costs amortised constant time.
///
/// ```
/// use store_core::kit::top_k::TopK;
/// let mut best = TopK::new(2, |a: &&str, b: &&str| a.cmp(b));
/// for (id, score) in [("c", 1.0), ("a", 1.0), ("d", 0.5), ("b", 1.0)] {
///     best.push(score, id);
/// }
/// assert_eq!(best.into_sorted(), [(1.0, "a"), (1.0, "b")]);
/// ```
pub struct TopK<T, C> {
    limit: usize,
    // Up to twice the limit; then the lower half goes at once.
    entries: Vec<(f64, T)>,
    // No score below this one can enter any more.
    floor: f64,
    ties: C,
}

impl<T, C: FnMut(&T, &T) -> Ordering> TopK<T, C> {
    /// Keeps `limit` items; `ties` orders items of equal score, the lesser first.
    #[must_use]
    pub fn new(limit: usize, ties: C) -> Self {
        Self { limit, entries: Vec::new(), floor: f64::NEG_INFINITY, ties }
    }

    /// Whether an item of this score may still enter: when it may not, there is no need to make it.
    #[must_use]
    pub fn accepts(&self, score: f64) -> bool {
        // False for NaN.
        score >= self.floor && self.limit > 0
    }

    /// Offers one item.
    pub fn push(&mut self, score: f64, item: T) {
        if !self.accepts(score) {
            return;
        }
        self.entries.push((score, item));
        if self.entries.len() >= self.limit.saturating_mul(2).max(16) {
            self.shrink();
        }
    }

    /// The kept items, best first.
    #[must_use]
    pub fn into_sorted(mut self) -> Vec<(f64, T)> {
        self.shrink();
        let ties = &mut self.ties;
        self.entries.sort_unstable_by(|a, b| order(a, b, ties));
        self.entries
    }

    fn shrink(&mut self) {
        if self.entries.len() <= self.limit {
            return;
        }
        let Some(last) = self.limit.checked_sub(1) else { return };
        let ties = &mut self.ties;
        let (_, (score, _), _) = self.entries.select_nth_unstable_by(last, |a, b| order(a, b, ties));
        self.floor = *score;
        self.entries.truncate(self.limit);
    }
}

impl<T, C> fmt::Debug for TopK<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopK")
            .field("limit", &self.limit)
            .field("len", &self.entries.len())
            .finish_non_exhaustive()
    }
}

fn order<T>(a: &(f64, T), b: &(f64, T), ties: &mut impl FnMut(&T, &T) -> Ordering) -> Ordering {
    // Scores are never NaN here, so this is a total order in which −0 and 0 are equal.
    b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal).then_with(|| ties(&a.1, &b.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_sort_and_truncate(
            scores in prop::collection::vec(prop_oneof![8 => (-3..3_i32).prop_map(f64::from), 1 => Just(f64::NAN)], 0..200),
            limit in 0..40_usize,
        ) {
            let mut best = TopK::new(limit, |a: &usize, b: &usize| b.cmp(a));
            for (item, score) in scores.iter().enumerate() {
                best.push(*score, item);
            }
            let mut expected: Vec<(f64, usize)> =
                scores.iter().enumerate().filter(|(_, s)| !s.is_nan()).map(|(i, s)| (*s, i)).collect();
            expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
            expected.truncate(limit);
            prop_assert_eq!(best.into_sorted(), expected);
        }
    }

    #[test]
    fn an_unbounded_limit_keeps_everything() {
        let mut best = TopK::new(usize::MAX, |a: &i32, b: &i32| a.cmp(b));
        (0..100).for_each(|item| best.push(f64::from(item), item));
        assert_eq!(best.into_sorted().len(), 100);
    }
}
