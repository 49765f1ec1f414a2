//! Embedders: from text to vectors.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::Result;

/// An embedding: one `f32` per dimension.
pub type Embedding = Vec<f32>;

/// Turns texts into vectors. Stores do not embed; retrievers, ingestion and the program do, with one of these.
///
/// [`HashEmbedder`](crate::HashEmbedder) needs no model and compares wording only. To plug in a model, implement
/// this trait over the client of your choice: three methods.
///
/// ```
/// use store_core::{Embedder, Embedding, Result};
///
/// #[derive(Debug)]
/// struct Lengths;
///
/// #[async_trait::async_trait]
/// impl Embedder for Lengths {
///     async fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>> {
///         Ok(texts.iter().map(|text| vec![text.len() as f32, 1.0]).collect())
///     }
///     fn dimensions(&self) -> usize {
///         2
///     }
///     fn model(&self) -> &str {
///         "lengths"
///     }
/// }
/// ```
#[async_trait]
pub trait Embedder: fmt::Debug + Send + Sync + 'static {
    /// The embeddings of `texts`, in their order, each of [`dimensions`](Self::dimensions) values; an empty batch
    /// gives an empty answer. Questions and documents are embedded alike.
    async fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>>;

    /// Values in each embedding; at least 1, and the same for the embedder's whole life.
    fn dimensions(&self) -> usize;

    /// Names what made the vectors: embeddings of two models can not be compared, so a store's user can keep the
    /// name beside the store and check it. It changes whenever the vectors of a text would.
    fn model(&self) -> &str;
}

macro_rules! forward {
    ($pointer:ident) => {
        #[deny(clippy::missing_trait_methods)]
        #[async_trait]
        impl<T: Embedder + ?Sized> Embedder for $pointer<T> {
            async fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>> {
                (**self).embed(texts).await
            }

            fn dimensions(&self) -> usize {
                (**self).dimensions()
            }

            fn model(&self) -> &str {
                (**self).model()
            }
        }
    };
}

forward!(Arc);
forward!(Box);
