//! How alike two vectors are: the three metrics, their scores, and the kernels underneath.
//!
//! Vectors are `f32`; scores are `f64`, computed with `f64` sums and then rounded to the 24 significant bits
//! that `f32` data can carry. Two rows whose scores differ only by rounding noise thus score *equal*, and equal
//! scores are ordered by id.
//!
//! | metric | score | range |
//! |---|---|---|
//! | [`Metric::Cosine`] | q·x / (‖q‖ ‖x‖) | −1 to 1 |
//! | [`Metric::Dot`] | q·x | any |
//! | [`Metric::Euclidean`] | 1 / (1 + ‖q − x‖) | above 0, up to 1 |
//!
//! Higher is better in all three.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How two vectors are compared. The default is [`Metric::Cosine`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The cosine of the angle between the vectors, −1 to 1; a vector of zeros has no direction and is refused.
    #[default]
    Cosine,
    /// The dot product (inner product), of any size.
    Dot,
    /// 1 / (1 + Euclidean distance), above 0 and up to 1.
    Euclidean,
}

impl Metric {
    /// The name used in configurations and on the wire: `cosine`, `dot`, `euclidean`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Dot => "dot",
            Self::Euclidean => "euclidean",
        }
    }

    /// The score of two vectors of one length; higher is better.
    ///
    /// This is *the* score: every search returns exactly this number, whichever way it found the row.
    ///
    /// ```
    /// use store_core::kit::similarity::Metric;
    /// assert_eq!(Metric::Cosine.score(&[3.0, 4.0], &[6.0, 8.0]), 1.0);
    /// assert_eq!(Metric::Dot.score(&[3.0, 4.0], &[6.0, 8.0]), 50.0);
    /// assert_eq!(Metric::Euclidean.score(&[3.0, 4.0], &[6.0, 8.0]), f64::from(1.0_f32 / 6.0));
    /// ```
    #[must_use]
    pub fn score(self, a: &[f32], b: &[f32]) -> f64 {
        rounded(match self {
            Self::Cosine => cosine(a, b),
            Self::Dot => dot(a, b),
            Self::Euclidean => 1.0 / (1.0 + euclidean_distance(a, b)),
        })
    }

    /// Whether `vector` can be stored or searched for: the right length, every component finite, and not all
    /// zeros where a direction is needed. [`crate::ErrorKind::InvalidInput`] says what is wrong.
    pub fn check(self, vector: &[f32], dimensions: usize) -> Result<()> {
        check_values(vector, dimensions)?;
        if self == Self::Cosine && vector.iter().all(|value| *value == 0.0) {
            return Err(Error::invalid_input(
                "a vector of zeros has no direction, so cosine can not compare it",
            ));
        }
        Ok(())
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Metric {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "cosine" => Ok(Self::Cosine),
            "dot" => Ok(Self::Dot),
            "euclidean" => Ok(Self::Euclidean),
            other => {
                Err(Error::config(format!("unknown metric {other:?}: expected cosine, dot or euclidean")))
            }
        }
    }
}

/// Length and finiteness; returns the squared norm, which the check computes anyway.
pub(crate) fn check_values(vector: &[f32], dimensions: usize) -> Result<f64> {
    if vector.len() != dimensions {
        return Err(Error::invalid_input(format!(
            "the vector has {} dimensions where {dimensions} are expected",
            vector.len()
        )));
    }
    // Squares of finite f32 never overflow an f64, so this sum is finite exactly when every component is.
    let squared = squared_norm(vector);
    if squared.is_finite() {
        return Ok(squared);
    }
    let at = vector.iter().position(|value| !value.is_finite()).unwrap_or_default();
    Err(Error::invalid_input(format!("component {at} of the vector is not a finite number")))
}

/// The dot product with `f64` sums: the exact products, added with a relative error near 10⁻¹⁶.
///
/// Where the lengths differ, what is beyond the shorter one is ignored.
#[must_use]
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    wide_sum(a, b, |x, y| x * y)
}

/// The sum of the squares, with `f64` sums.
#[must_use]
pub fn squared_norm(a: &[f32]) -> f64 {
    dot(a, a)
}

/// The cosine of the angle between two vectors, within −1 and 1; 0 where one of them is all zeros.
#[must_use]
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    // One root of the product: it makes the cosine of a vector with itself exactly 1.
    let norms = (squared_norm(a) * squared_norm(b)).sqrt();
    if norms == 0.0 { 0.0 } else { (dot(a, b) / norms).clamp(-1.0, 1.0) }
}

/// The Euclidean distance, from the differences themselves, so that it keeps its precision for near vectors
/// (the shorter way through norms and the dot product would cancel).
#[must_use]
pub fn euclidean_distance(a: &[f32], b: &[f32]) -> f64 {
    wide_sum(a, b, |x, y| (x - y) * (x - y)).sqrt()
}

/// The dot product with `f32` sums: as fast as memory can be read, for scans.
///
/// Its error is bounded by the length and the norms; searches use it only to rule rows out, never as a score.
/// Where the lengths differ, what is beyond the shorter one is ignored.
#[must_use]
#[inline]
pub fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    // Sixteen independent sums: enough for the compiler to use vector registers and to hide the latency of
    // additions. More gains nothing, a scan then waits for memory (docs/performance.md).
    const LANES: usize = 16;
    let (a, b) = same_length(a, b);
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((sum, x), y) in sums.iter_mut().zip(a).zip(b) {
            *sum += x * y;
        }
    }
    // One after the other: a shape of the sum that pairs lanes makes the compiler shuffle them inside the loop, which
    // then takes twice as long.
    let total: f32 = sums.iter().sum();
    total + a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum::<f32>()
}

/// Rounds to 24 significant bits, the precision of `f32` at the range of `f64`; −0 becomes 0. Every score is so, and
/// what scores are held against must be.
#[must_use]
pub fn rounded(score: f64) -> f64 {
    const DROPPED: u64 = 1 << (52 - 23);
    if !score.is_finite() {
        return score;
    }
    // A carry out of the fraction moves into the exponent, which is what rounding up means there.
    f64::from_bits((score.to_bits() + DROPPED / 2) & !(DROPPED - 1)) + 0.0
}

fn same_length<'a>(a: &'a [f32], b: &'a [f32]) -> (&'a [f32], &'a [f32]) {
    let length = a.len().min(b.len());
    (a.get(..length).unwrap_or(a), b.get(..length).unwrap_or(b))
}

fn wide_sum(a: &[f32], b: &[f32], term: impl Fn(f64, f64) -> f64) -> f64 {
    const LANES: usize = 16;
    let (a, b) = same_length(a, b);
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f64; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((sum, x), y) in sums.iter_mut().zip(a).zip(b) {
            *sum += term(f64::from(*x), f64::from(*y));
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(x, y)| term(f64::from(*x), f64::from(*y))).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // Exactness is what these tests are about.
mod tests {
    use super::*;
    use crate::ErrorKind;
    use proptest::prelude::*;

    fn naive_dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    }

    fn pair() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
        (0..70_usize).prop_flat_map(|length| {
            (prop::collection::vec(-1e3_f32..1e3, length), prop::collection::vec(-1e3_f32..1e3, length))
        })
    }

    proptest! {
        #[test]
        fn kernels_agree_with_the_naive_loop((a, b) in pair()) {
            let scale = (squared_norm(&a) * squared_norm(&b)).sqrt() + 1e-30;
            let expected = naive_dot(&a, &b);
            prop_assert!((dot(&a, &b) - expected).abs() <= 1e-13 * scale);
            prop_assert!((f64::from(dot_f32(&a, &b)) - expected).abs() <= 1e-5 * scale);
            let distance: f64 =
                a.iter().zip(&b).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum::<f64>().sqrt();
            prop_assert!((euclidean_distance(&a, &b) - distance).abs() <= 1e-12 * distance);
        }

        #[test]
        fn scores_are_symmetric_and_in_range((a, b) in pair()) {
            for metric in [Metric::Cosine, Metric::Dot, Metric::Euclidean] {
                prop_assert_eq!(metric.score(&a, &b), metric.score(&b, &a));
            }
            prop_assert!((-1.0..=1.0).contains(&Metric::Cosine.score(&a, &b)));
            let euclidean = Metric::Euclidean.score(&a, &b);
            prop_assert!(euclidean > 0.0 && euclidean <= 1.0);
            if a.iter().any(|value| *value != 0.0) {
                prop_assert_eq!(Metric::Cosine.score(&a, &a), 1.0);
            }
            prop_assert_eq!(Metric::Euclidean.score(&a, &a), 1.0);
        }

        #[test]
        fn rounding_is_monotone_and_matches_f32(a in any::<f32>(), b in -1e30_f64..1e30) {
            if a.is_normal() {
                prop_assert_eq!(rounded(f64::from(a)), f64::from(a));
                if f64::from(a) <= b {
                    prop_assert!(rounded(f64::from(a)) <= rounded(b));
                }
            }
            prop_assert!((rounded(b) - b).abs() <= b.abs() * 2_f64.powi(-24));
        }
    }

    #[test]
    fn extreme_values_neither_overflow_nor_vanish() {
        let huge = [f32::MAX; 40];
        let tiny = [f32::from_bits(1); 40];
        assert_eq!(Metric::Cosine.score(&huge, &tiny), 1.0);
        assert!(Metric::Dot.score(&huge, &huge).is_finite());
        assert!(Metric::Euclidean.score(&huge, &tiny) > 0.0);
    }

    #[test]
    fn near_vectors_keep_their_distance() {
        let a = [1000.0_f32; 8];
        let mut b = a;
        b[3] = 1000.0 + 6.103_515_6e-5;
        assert_eq!(euclidean_distance(&a, &b), f64::from(b[3]) - 1000.0);
    }

    #[test]
    fn multiples_of_one_vector_score_equal() {
        let query = [0.3_f32, -0.7, 0.2];
        let one = [1.0_f32, 1.0, 0.5];
        for factor in [3.0_f32, 7.0, 11.0, 0.1] {
            let other: Vec<f32> = one.iter().map(|value| value * factor).collect();
            let (a, b) = (Metric::Cosine.score(&query, &one), Metric::Cosine.score(&query, &other));
            assert!((a - b).abs() <= 1.2e-7 * a.abs(), "{a} {b}");
        }
        assert_eq!(
            Metric::Cosine.score(&[1.0, 0.0], &[1.0, 1.0]),
            Metric::Cosine.score(&[1.0, 0.0], &[3.0, 3.0])
        );
    }

    #[test]
    fn zeros_and_lengths() {
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 2.0]), 0.0);
        assert_eq!(dot(&[], &[]), 0.0);
        assert_eq!(dot_f32(&[1.0, 2.0], &[3.0]), 3.0);
        assert_eq!(rounded(-0.0).to_bits(), 0);
    }

    #[test]
    fn check_says_what_is_wrong() {
        let message = |result: Result<()>| {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            error.to_string()
        };
        assert!(Metric::Dot.check(&[0.0, 0.0], 2).is_ok());
        assert!(message(Metric::Cosine.check(&[0.0, -0.0], 2)).contains("zeros"));
        assert!(message(Metric::Dot.check(&[0.0], 2)).contains("1 dimensions where 2"));
        assert!(message(Metric::Dot.check(&[0.0, f32::NAN], 2)).contains("component 1"));
        assert!(message(Metric::Dot.check(&[f32::INFINITY, 0.0], 2)).contains("component 0"));
    }

    #[test]
    fn names_round_trip() {
        for metric in [Metric::Cosine, Metric::Dot, Metric::Euclidean] {
            assert_eq!(metric.to_string().parse::<Metric>().unwrap(), metric);
            assert_eq!(serde_json::to_value(metric).unwrap(), metric.as_str());
        }
        assert!("l2".parse::<Metric>().unwrap_err().to_string().contains("cosine, dot or euclidean"));
    }
}
