//! Embedders: from text to vectors.

/// An embedding: one `f32` per dimension.
pub type Embedding = Vec<f32>;
