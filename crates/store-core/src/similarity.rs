//! How embeddings are compared.

use serde::{Deserialize, Serialize};

/// How two embeddings are compared; higher scores are better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Cosine of the angle, in [−1, 1].
    #[default]
    Cosine,
    /// Dot product.
    Dot,
    /// `1 / (1 + Euclidean distance)`, in (0, 1].
    Euclidean,
}
