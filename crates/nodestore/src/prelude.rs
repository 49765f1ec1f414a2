//! What most programs need: `use nodestore::prelude::*;`.

pub use store_core::{
    AddMode, AddOptions, Backend, ChatMessage, ChatStore, DocStore, DocStoreExt, Document, Embedder, Filter,
    HashEmbedder, IndexStore, KvStore, KvStoreExt, Metric, Node, NodeId, Reader, RefDocId, Retriever,
    ScoredNode, Selector, VectorConfig, VectorQuery, VectorStore, VectorStoreExt, filter::field,
};
