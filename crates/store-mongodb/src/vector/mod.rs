//! Vectors: what Atlas search has to do with them.

mod atlas;
#[allow(dead_code, reason = "for the vector store to call")]
mod atlas_explain;
#[allow(dead_code, reason = "for the vector store to call")]
mod atlas_indexes;
#[allow(dead_code, reason = "for the vector store to call")]
mod atlas_search;
mod prefilter;
mod search_index;

pub(crate) use self::atlas::{SCORE, number};
pub use self::search_index::SearchConfig;
pub(crate) use self::search_index::{FoundIndex, no_search};

/// The member that holds a node's embedding.
const EMBEDDING: &str = "embedding";
/// The member that holds a node's text.
const TEXT: &str = "text";
