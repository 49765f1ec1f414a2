//! What most programs need: `use nodestore::prelude::*;`.

pub use store_core::{
    AddMode, AddOptions, Backend, ChatMessage, ChatStore, ChatWindow, DocStore, DocStoreExt, Document,
    Embedder, Filter, HashEmbedder, HybridRetriever, IndexStore, Ingestion, KvStore, KvStoreExt, Metric,
    Node, NodeId, Reader, RefDocId, Retriever, ScoredNode, Selector, TextRetriever, VectorConfig,
    VectorQuery, VectorRetriever, VectorStore, VectorStoreExt, filter::field, nodes_from_chunks,
};
