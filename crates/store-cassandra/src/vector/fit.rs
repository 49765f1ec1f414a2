//! Embeddings as the vector index can take them.
//!
//! The index computes with `f32`: the squares of great values overflow there, and those of small ones vanish, which the
//! server answers by failing the write. The cosine does not change with a vector's length, so such an embedding is kept
//! divided by a power of two, and what it was stands in our own column. For the other metrics it is refused.

use std::borrow::Cow;

use store_core::kit::similarity::squared_norm;
use store_core::{Error, Metric, Result};

/// Squared lengths that the index takes well.
const GOOD: std::ops::Range<f64> = 1e-12..1e12;
/// The greatest squared length whose sums and differences are finite.
const MOST: f64 = 1e36;

/// Whether the index can compute with an embedding.
pub(super) fn is_fit(metric: Metric, embedding: &[f32]) -> bool {
    let squared = squared_norm(embedding);
    if metric == Metric::Cosine { GOOD.contains(&squared) } else { squared <= MOST }
}

/// The embedding as it is kept.
pub(super) fn fit(metric: Metric, embedding: &[f32]) -> Result<Cow<'_, [f32]>> {
    if is_fit(metric, embedding) {
        return Ok(Cow::Borrowed(embedding));
    }
    if metric != Metric::Cosine {
        return Err(Error::invalid_input(
            "the embedding is longer than 1e18, with which the server's vector index can not compute by this metric; \
             scale the embeddings down",
        ));
    }
    let factor = (-squared_norm(embedding).log2() / 2.0).round().exp2();
    Ok(embedding.iter().map(|value| scaled(*value, factor)).collect())
}

#[expect(clippy::cast_possible_truncation, reason = "the result is near 1 or smaller, and is to be an f32")]
fn scaled(value: f32, factor: f64) -> f32 {
    (f64::from(value) * factor) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_embeddings_stay() {
        let plain = [0.1, -3.0, 100.0];
        for metric in [Metric::Cosine, Metric::Dot, Metric::Euclidean] {
            assert_eq!(*fit(metric, &plain).unwrap(), plain);
        }
        assert_eq!(*fit(Metric::Dot, &[0.0]).unwrap(), [0.0]);
    }

    #[test]
    fn great_and_small_ones_keep_their_direction() {
        for odd in [[1e30, 3e29, -0.0], [f32::MAX, f32::MAX, 1.0], [1e-30, 2e-31, 0.0]] {
            let kept = fit(Metric::Cosine, &odd).unwrap();
            assert!(is_fit(Metric::Cosine, &kept));
            let query = [0.3, 0.5, -0.7];
            let score = |embedding: &[f32]| Metric::Cosine.score(&query, embedding).to_bits();
            assert_eq!(score(&kept), score(&odd));
            assert!(fit(Metric::Dot, &odd).is_ok() == (odd[0] < 1.0));
        }
    }
}
