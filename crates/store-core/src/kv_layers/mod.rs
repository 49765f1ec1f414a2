//! The document, index and chat roles over any key-value store, in LlamaIndex's layout where it has one.

mod chat;
mod docs;
mod index;
mod ref_docs;

pub use chat::KvChatStore;
pub use docs::{DocCollections, KvDocStore};
pub use index::KvIndexStore;

use crate::Error;

/// An error of a layer itself, with the names that a caller looks for.
fn named(error: Error, backend: Option<&'static str>, operation: &'static str) -> Error {
    let error = error.with_operation(operation);
    match backend {
        Some(backend) => error.with_backend(backend),
        None => error,
    }
}
