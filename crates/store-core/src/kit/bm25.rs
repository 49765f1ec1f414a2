//! Text search in memory: BM25 over numbered texts.
//!
//! score = Σ over the query's words of idf · (k₁ + 1) · tf / (tf + k₁ · (1 − b + b · length / average length)) with
//! idf = ln(1 + (N − n + 0.5) / (n + 0.5)), the form Lucene and tantivy use, k₁ = 1.2, b = 0.75. N counts the texts,
//! n those that hold the word, tf how often this one does; lengths are in words. Words are those of
//! [`crate::kit::tokens`]; a word that stands twice in a query counts once.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::kit::tokens::tokens;
use crate::kit::top_k::TopK;
use crate::kit::vector_search::{Rows, ScoredRow};

/// How soon another occurrence of a word stops counting.
pub const K1: f64 = 1.2;
/// How much a long text is held against it, 0 to 1.
pub const B: f64 = 0.75;

/// An index of texts by row number. Updates cost time in proportion to the text, not to the index.
///
/// ```
/// use store_core::kit::bm25::Bm25Index;
/// use store_core::kit::vector_search::Rows;
/// let mut index = Bm25Index::default();
/// index.add(0, "The cat sat on the mat.");
/// index.add(1, "A dog barked at the moon.");
/// let found = index.search("Which cat?", 10, Rows::All, |a, b| a.cmp(&b));
/// assert_eq!(found.iter().map(|found| found.row).collect::<Vec<_>>(), [0]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Bm25Index {
    // Word → row → how often.
    postings: HashMap<Arc<str>, BTreeMap<u32, u32>>,
    texts: HashMap<u32, Text>,
    total_length: u64,
}

#[derive(Clone, Debug)]
struct Text {
    length: u32,
    words: Box<[Arc<str>]>,
}

impl Bm25Index {
    /// How many texts are indexed, those without a word included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether nothing is indexed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Indexes `text` as `row`, in place of what was indexed there.
    pub fn add(&mut self, row: u32, text: &str) {
        self.remove(row);
        let mut counts: HashMap<_, u32> = HashMap::new();
        let mut length = 0_u32;
        for token in tokens(text) {
            length = length.saturating_add(1);
            let count = counts.entry(token.text).or_default();
            *count = count.saturating_add(1);
        }
        let mut words = Vec::with_capacity(counts.len());
        for (word, count) in counts {
            let word = match self.postings.get_key_value(&*word) {
                Some((word, _)) => Arc::clone(word),
                None => Arc::from(word),
            };
            self.postings.entry(Arc::clone(&word)).or_default().insert(row, count);
            words.push(word);
        }
        self.total_length += u64::from(length);
        self.texts.insert(row, Text { length, words: words.into() });
    }

    /// Takes `row` out; whether it was there.
    pub fn remove(&mut self, row: u32) -> bool {
        let Some(text) = self.texts.remove(&row) else { return false };
        self.total_length -= u64::from(text.length);
        for word in text.words {
            if let Some(rows) = self.postings.get_mut(&word) {
                rows.remove(&row);
                if rows.is_empty() {
                    self.postings.remove(&word);
                }
            }
        }
        true
    }

    /// The best `k` texts that hold a word of `query`, best first; every score is above 0. `ties` orders rows of
    /// equal score (by id), at the cut as well; `rows` applies before the best are chosen.
    #[must_use]
    pub fn search(
        &self,
        query: &str,
        k: usize,
        rows: Rows<'_>,
        mut ties: impl FnMut(u32, u32) -> Ordering,
    ) -> Vec<ScoredRow> {
        // In a fixed order of words, so that texts with the same words get the same sum to the last bit.
        let words: BTreeSet<_> = tokens(query).map(|token| token.text).collect();
        let count = self.texts.len() as f64;
        // Above 0 wherever it is used: a word that is found has length.
        let average = self.total_length as f64 / count;
        let mut scores: HashMap<u32, f64> = HashMap::new();
        for postings in words.iter().filter_map(|word| self.postings.get(&**word)) {
            let holding = postings.len() as f64;
            let idf = idf(count, holding);
            for (row, frequency) in postings {
                let length = self.texts.get(row).map_or(0, |text| text.length);
                *scores.entry(*row).or_default() += part(idf, *frequency, length, average);
            }
        }
        let listed: Option<HashSet<u32>> = match rows {
            Rows::Listed(rows) => Some(rows.iter().copied().collect()),
            Rows::All | Rows::Where(_) => None,
        };
        let mut best = TopK::new(k, |a: &u32, b: &u32| ties(*a, *b));
        for (row, score) in scores {
            if best.accepts(score)
                && listed.as_ref().is_none_or(|listed| listed.contains(&row))
                && rows.filter().is_none_or(|filter| filter(row))
            {
                best.push(score, row);
            }
        }
        best.into_sorted().into_iter().map(|(score, row)| ScoredRow { row, score }).collect()
    }
}

/// The same search over texts that pass by once, for stores that keep no index of words: the scores are those of
/// [`Bm25Index`] over the same texts, to the last bit. Holds what was found, not the texts.
///
/// ```
/// use store_core::kit::bm25::Bm25Scan;
/// let mut scan = Bm25Scan::new("Which cat?");
/// for (id, text) in [(0, "The cat sat on the mat."), (1, "A dog barked at the moon.")] {
///     scan.add(text, || Some(id));
/// }
/// let found = scan.finish(10, Ord::cmp);
/// assert_eq!(found.iter().map(|(_, id)| *id).collect::<Vec<_>>(), [0]);
/// ```
#[derive(Clone, Debug)]
pub struct Bm25Scan<T> {
    /// In order, each once.
    words: Vec<Box<str>>,
    /// How many texts hold each word.
    holding: Vec<u64>,
    count: u64,
    total_length: u64,
    found: Vec<Found<T>>,
}

#[derive(Clone, Debug)]
struct Found<T> {
    item: T,
    length: u32,
    /// How often each word of the query stands in it.
    frequencies: Box<[u32]>,
}

impl<T> Bm25Scan<T> {
    /// A search for these words.
    #[must_use]
    pub fn new(query: &str) -> Self {
        let words: BTreeSet<Box<str>> = tokens(query).map(|token| token.text.into()).collect();
        let holding = vec![0; words.len()];
        Self { words: words.into_iter().collect(), holding, count: 0, total_length: 0, found: Vec::new() }
    }

    /// Whether there is no word to look for, so that nothing can be found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Shows a text. `item` is asked for when the text holds a word of the query; `None` for a text that counts, but
    /// is not to be found.
    pub fn add(&mut self, text: &str, item: impl FnOnce() -> Option<T>) {
        let mut frequencies = vec![0_u32; self.words.len()].into_boxed_slice();
        let mut length = 0_u32;
        for token in tokens(text) {
            length = length.saturating_add(1);
            let place = self.words.binary_search_by(|word| (**word).cmp(&*token.text)).ok();
            if let Some(frequency) = place.and_then(|place| frequencies.get_mut(place)) {
                *frequency = frequency.saturating_add(1);
            }
        }
        self.count += 1;
        self.total_length += u64::from(length);
        for (holding, frequency) in self.holding.iter_mut().zip(&frequencies) {
            *holding += u64::from(*frequency > 0);
        }
        if frequencies.iter().any(|frequency| *frequency > 0)
            && let Some(item) = item()
        {
            self.found.push(Found { item, length, frequencies });
        }
    }

    /// The best `k`, best first; `ties` orders items of equal score, at the cut as well.
    #[must_use]
    pub fn finish(self, k: usize, ties: impl FnMut(&T, &T) -> Ordering) -> Vec<(f64, T)> {
        let count = self.count as f64;
        let average = self.total_length as f64 / count;
        let weights: Vec<f64> = self.holding.iter().map(|holding| idf(count, *holding as f64)).collect();
        let mut best = TopK::new(k, ties);
        for Found { item, length, frequencies } in self.found {
            let mut score = 0.0;
            // A word that is not there adds nothing at all, not even a zero.
            for (idf, frequency) in weights.iter().zip(frequencies).filter(|(_, frequency)| *frequency > 0) {
                score += part(*idf, frequency, length, average);
            }
            best.push(score, item);
        }
        best.into_sorted()
    }
}

fn idf(count: f64, holding: f64) -> f64 {
    (1.0 + (count - holding + 0.5) / (holding + 0.5)).ln()
}

/// What a word adds to the score of a text that holds it.
fn part(idf: f64, frequency: u32, length: u32, average: f64) -> f64 {
    let frequency = f64::from(frequency);
    let norm = K1 * (1.0 - B + B * f64::from(length) / average);
    idf * (K1 + 1.0) * frequency / (frequency + norm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(
        texts: &BTreeMap<u32, String>,
        query: &str,
        k: usize,
        keep: impl Fn(u32) -> bool,
    ) -> Vec<(u32, f64)> {
        let words = |text: &str| tokens(text).map(|token| token.text.into_owned()).collect::<Vec<_>>();
        let count = texts.len() as f64;
        let average = texts.values().map(|text| words(text).len()).sum::<usize>() as f64 / count;
        let mut found = Vec::new();
        for (row, text) in texts {
            let held = words(text);
            let mut score = 0.0;
            for word in words(query).into_iter().collect::<BTreeSet<_>>() {
                let n = texts.values().filter(|text| words(text).contains(&word)).count() as f64;
                let tf = held.iter().filter(|other| **other == word).count() as f64;
                let idf = (1.0 + (count - n + 0.5) / (n + 0.5)).ln();
                if tf > 0.0 {
                    score += idf * 2.2 * tf / (tf + 1.2 * (0.25 + 0.75 * held.len() as f64 / average));
                }
            }
            if score > 0.0 && keep(*row) {
                found.push((*row, score));
            }
        }
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
        found.truncate(k);
        found
    }

    fn text() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "B", "b", "c", "é", "!"]), 0..12)
            .prop_map(|words| words.join(" "))
    }

    proptest! {
        #[test]
        fn equals_the_formula_after_any_updates(
            steps in prop::collection::vec((0..12_u32, prop::option::weighted(0.8, text())), 0..40),
            query in text(),
            k in 0..8_usize,
            kept in prop::collection::hash_set(0..12_u32, 0..12),
        ) {
            let (mut index, mut texts) = (Bm25Index::default(), BTreeMap::new());
            for (row, text) in steps {
                if let Some(text) = text {
                    index.add(row, &text);
                    texts.insert(row, text);
                } else {
                    prop_assert_eq!(index.remove(row), texts.remove(&row).is_some());
                }
            }
            prop_assert_eq!(index.len(), texts.len());
            let listed: Vec<u32> = kept.iter().copied().collect();
            let keep = |row: u32| kept.contains(&row);
            for rows in [Rows::All, Rows::Listed(&listed), Rows::Where(&keep)] {
                let all = matches!(rows, Rows::All);
                let found = index.search(&query, k, rows, |a, b| b.cmp(&a));
                let expected = naive(&texts, &query, k, |row| all || keep(row));
                let mut scan = Bm25Scan::new(&query);
                for (row, text) in &texts {
                    scan.add(text, || (all || keep(*row)).then_some(*row));
                }
                let scanned = scan.finish(k, |a, b| b.cmp(a)).into_iter();
                prop_assert_eq!(scanned.map(|(score, row)| ScoredRow { row, score }).collect::<Vec<_>>(), found.clone());
                prop_assert_eq!(found.iter().map(|f| f.row).collect::<Vec<_>>(), expected.iter().map(|e| e.0).collect::<Vec<_>>());
                for (found, (_, score)) in found.iter().zip(expected) {
                    prop_assert!((found.score - score).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn removing_everything_leaves_nothing() {
        let mut index = Bm25Index::default();
        index.add(1, "one two two");
        index.add(2, "two three");
        index.add(1, "four");
        assert!(index.search("one", 9, Rows::All, |a, b| a.cmp(&b)).is_empty());
        assert!(index.remove(1) && index.remove(2) && !index.remove(2));
        assert!(index.is_empty() && index.postings.is_empty() && index.total_length == 0);
        assert!(index.search("two", 9, Rows::All, |a, b| a.cmp(&b)).is_empty());
    }

    #[test]
    fn a_word_in_every_text_still_scores() {
        let mut index = Bm25Index::default();
        (0..5).for_each(|row| index.add(row, "same words"));
        let found = index.search("SAME", 3, Rows::All, |a, b| b.cmp(&a));
        assert_eq!(found.iter().map(|found| found.row).collect::<Vec<_>>(), [4, 3, 2]);
        assert!(found.iter().all(|found| found.score > 0.0));
    }
}
