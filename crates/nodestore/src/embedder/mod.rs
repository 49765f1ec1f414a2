//! Embedders beside those of `store-core`, and the note that says which one filled a store.

mod base64;
mod cached;
#[cfg(feature = "openai")]
mod openai;

pub use self::cached::{CacheCounts, CachedEmbedder};
#[cfg(feature = "openai")]
pub use self::openai::{OpenAiConfig, OpenAiCounts, OpenAiEmbedder};
