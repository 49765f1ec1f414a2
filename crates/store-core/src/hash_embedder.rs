//! An embedder that needs no model.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::kit::tokens::tokens;
use crate::{Embedder, Embedding, Error, Result};

/// Embeds by hashing words and their letters: it compares **wording, not meaning**.
///
/// Texts that share words, or words that share most of their letters (`index`, `indexes`), come out alike;
/// `car` and `automobile` do not. It needs no model, no network and no state, gives the same vector for the same
/// text on every machine and in every release, and takes microseconds: good for tests, for trying things out and
/// as a baseline. For meaning, plug in a model through [`Embedder`].
///
/// How it works (feature hashing, Weinberger and others, ICML 2009): a text's features are its words
/// ([`crate::kit::tokens`]) and the runs of three and four characters in each word, with a mark at both ends. Each feature is
/// hashed to one dimension and a sign. A word weighs √(how often) · min(1, bytes / 6)², so that short words, which
/// say least, count least in every language without a list of them; its runs share four times the squared weight
/// of the word itself. The sum is scaled to length 1. It is never all zeros: a text without a word is hashed as a
/// whole.
///
/// ```
/// # async fn example() -> store_core::Result<()> {
/// use store_core::{Embedder, HashEmbedder};
/// let embedder = HashEmbedder::new(256)?;
/// let embeddings = embedder.embed(&["Where is the store?", ""]).await?;
/// assert_eq!(embeddings[0].len(), 256);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashEmbedder {
    dimensions: usize,
}

/// The default number of dimensions.
const DEFAULT_DIMENSIONS: usize = 384;
// The weights were chosen on 1,334 paragraphs of documentation and 400 questions made from their words: as they stand,
// inflected, and misspelt as well. Mean reciprocal rank at 384 dimensions 0.85, 0.73 and 0.66; with words alone
// 0.83, 0.33 and 0.25; of BM25 0.97, 0.62 and 0.52.
/// From this many bytes a word counts fully. Bytes, not characters: a character that takes three says more.
const FULL_WEIGHT_BYTES: f64 = 6.0;
/// The squared weight that a word's character runs share, against 1 for the word itself.
const RUNS_SHARE: f64 = 4.0;
/// Lengths of the character runs.
const RUN_LENGTHS: [usize; 2] = [3, 4];
/// Stands at both ends of a word, so that beginnings and endings have runs of their own.
const EDGE: char = '\u{1}';

impl HashEmbedder {
    /// An embedder into `dimensions` values: any number from 1; more means fewer collisions, 256 to 1,024 is usual.
    ///
    /// `Config` for 0.
    pub fn new(dimensions: usize) -> Result<Self> {
        if dimensions == 0 {
            return Err(Error::config("an embedding needs at least 1 dimension"));
        }
        Ok(Self { dimensions })
    }

    /// The embedding of one text; what [`Embedder::embed`] gives, without a future.
    #[must_use]
    pub fn embed_one(&self, text: &str) -> Embedding {
        // Ordered, so that sums of equal features come out equal to the last bit.
        let mut words: BTreeMap<_, u32> = BTreeMap::new();
        for token in tokens(text) {
            let count = words.entry(token.text).or_default();
            *count = count.saturating_add(1);
        }
        let mut sums = vec![0.0_f64; self.dimensions];
        for (word, count) in words {
            // Only operations that every machine rounds alike: no logarithm.
            let size = (word.len() as f64 / FULL_WEIGHT_BYTES).min(1.0);
            let weight = f64::from(count).sqrt() * size * size;
            add(&mut sums, hash(b'w', word.bytes()), weight);
            let marked: Vec<char> =
                std::iter::once(EDGE).chain(word.chars()).chain(std::iter::once(EDGE)).collect();
            let runs = || RUN_LENGTHS.into_iter().flat_map(|length| marked.windows(length));
            let weight = weight * (RUNS_SHARE / runs().count().max(1) as f64).sqrt();
            for run in runs() {
                add(&mut sums, hash(b'r', run.iter().flat_map(|c| u32::from(*c).to_le_bytes())), weight);
            }
        }
        let mut norm = sums.iter().map(|sum| sum * sum).sum::<f64>().sqrt();
        // No words, or features that cancel each other out.
        if norm < 1e-9 {
            sums.fill(0.0);
            add(&mut sums, hash(b't', text.bytes()), 1.0);
            norm = 1.0;
        }
        sums.into_iter().map(|sum| narrow(sum / norm)).collect()
    }
}

impl Default for HashEmbedder {
    /// 384 dimensions.
    fn default() -> Self {
        Self { dimensions: DEFAULT_DIMENSIONS }
    }
}

#[async_trait]
impl Embedder for HashEmbedder {
    async fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>> {
        Ok(texts.iter().map(|text| self.embed_one(text)).collect())
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn model(&self) -> &'static str {
        "nodestore-hash-1"
    }
}

/// Adds a feature with its sign at its place.
fn add(sums: &mut [f64], hash: u64, weight: f64) {
    // The high bits choose the place (a multiplication maps them evenly to any number of dimensions), the
    // lowest bit the sign.
    let place = (u128::from(hash) * sums.len() as u128) >> 64;
    if let Some(sum) = usize::try_from(place).ok().and_then(|place| sums.get_mut(place)) {
        *sum += if hash & 1 == 0 { weight } else { -weight };
    }
}

/// FNV-1a over the kind and the bytes, then the finishing step of splitmix64, which spreads the last bytes over all
/// bits. Stored vectors depend on it: it never changes.
fn hash(kind: u8, bytes: impl Iterator<Item = u8>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in std::iter::once(kind).chain(bytes) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[allow(clippy::cast_possible_truncation)] // Rounding to the precision of an embedding is the purpose.
fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::similarity::cosine;
    use crate::{Embedder, ErrorKind};
    use proptest::prelude::*;
    use std::sync::Arc;

    #[test]
    fn golden_vectors_never_change() {
        // From an independent program after the description above; stored vectors depend on them.
        let golden: [(&str, [f32; 8]); 4] = [
            ("", [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]),
            ("?!", [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
            (
                "The quick brown fox jumps over the lazy dog",
                [
                    -0.021_643_47,
                    -0.346_214_56,
                    0.441_688_5,
                    0.190_904_51,
                    -0.058_976_132,
                    -0.323_558_57,
                    0.724_720_24,
                    -0.121_433_29,
                ],
            ),
            (
                "Straße 東京 42, ΣΑΣ",
                [
                    0.0,
                    0.284_352_9,
                    -0.222_808_44,
                    0.400_661_35,
                    -0.793_979_8,
                    0.126_205_52,
                    0.092_642_22,
                    0.232_499_36,
                ],
            ),
        ];
        for (text, vector) in golden {
            assert_eq!(HashEmbedder::new(8).unwrap().embed_one(text), vector, "{text}");
        }
        assert_eq!(hash(b'w', b"store".iter().copied()), 0xd3f3_6d0a_508f_245e);
    }

    #[test]
    fn wording_decides() {
        let embedder = HashEmbedder::default();
        let like = |a: &str, b: &str| cosine(&embedder.embed_one(a), &embedder.embed_one(b));
        assert!(like("open a store", "Open a store!") > 0.999);
        assert!(like("where are indexes stored", "storing an index") > 0.3);
        assert!(like("where are indexes stored", "a dog barked at the moon") < 0.15);
        // Short words alone make nothing alike.
        assert!(
            like("the cat is on the mat", "the end is on the way")
                < like("the cat is on the mat", "a cat mat")
        );
    }

    #[tokio::test]
    async fn is_an_embedder_behind_pointers_too() {
        let embedder: Arc<dyn Embedder> = Arc::new(HashEmbedder::new(16).unwrap());
        let boxed: Box<dyn Embedder> = Box::new(Arc::clone(&embedder));
        let vectors = boxed.embed(&["a", "b", "a"]).await.unwrap();
        assert_eq!(
            (vectors.len(), vectors[0].len(), boxed.dimensions(), boxed.model()),
            (3, 16, 16, "nodestore-hash-1")
        );
        assert_eq!(vectors[0], vectors[2]);
        assert!(boxed.embed(&[]).await.unwrap().is_empty());
        assert_eq!(HashEmbedder::new(0).unwrap_err().kind(), ErrorKind::Config);
    }

    proptest! {
        #[test]
        fn always_of_length_one(text in "\\PC{0,40}", dimensions in 1..50_usize) {
            let vector = HashEmbedder::new(dimensions).unwrap().embed_one(&text);
            prop_assert_eq!(vector.len(), dimensions);
            let norm: f32 = vector.iter().map(|value| value * value).sum();
            prop_assert!((norm - 1.0).abs() < 1e-5);
        }
    }
}
