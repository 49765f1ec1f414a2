//! Embedders beside those of `store-core`, and the note that says which one filled a store.

mod base64;
mod cached;
mod note;
#[cfg(feature = "openai")]
mod openai;

pub use self::cached::{CacheCounts, CachedEmbedder};
pub use self::note::{EmbedderNote, vectors_in_use};
#[cfg(feature = "openai")]
pub use self::openai::{OpenAiConfig, OpenAiCounts, OpenAiEmbedder};
