//! The document, index and chat roles over any key-value store, in LlamaIndex's layout where it has one.

mod chat;
mod docs;
mod index;
mod ref_docs;

pub use chat::KvChatStore;
pub use docs::{DocCollections, KvDocStore};
pub use index::KvIndexStore;
