#![doc = include_str!("../README.md")]

mod backend;
pub mod cache;
mod chat;
mod chat_message;
mod chat_window;
mod diagnosis;
mod docs;
mod embedder;
mod error;
pub mod filter;
mod forward;
#[cfg(any(test, nodestore_fuzz))]
pub mod fuzzing;
mod hash_embedder;
mod index;
mod index_struct;
mod ingestion;
mod json;
pub mod kit;
mod kv;
mod kv_layers;
mod llamaindex_query;
mod memory;
mod node;
mod page;
pub mod python;
mod reader;
mod retriever;
mod retrievers;
#[cfg(test)]
mod test_support;
mod vectors;

use std::pin::Pin;

pub use backend::{Backend, Capabilities};
pub use chat::ChatStore;
pub use chat_message::{
    AudioBlock, CacheControl, ChatMessage, CitableBlock, CitationBlock, ContentBlock, DocumentBlock,
    ImageBlock, MessageRole, ThinkingBlock, ToolCallBlock, ToolKwargs, VideoBlock,
};
pub use chat_window::ChatWindow;
pub use diagnosis::{Diagnosis, Fact, Finding, Severity};
pub use docs::{
    AddMode, AddOptions, AddReport, DocQuery, DocStore, DocStoreExt, Order, RefDocDeleted, RefDocInfo,
};
pub use embedder::{Embedder, Embedding};
pub use error::{Error, ErrorKind, Result};
pub use filter::{Condition, Filter, Scalar, Timestamp};
pub use hash_embedder::HashEmbedder;
pub use index::IndexStore;
pub use index_struct::IndexStruct;
pub use ingestion::{IngestEvent, IngestFailure, IngestReport, Ingestion, nodes_from_chunks};
pub use kit::similarity::Metric;
pub use kv::{KvCapabilities, KvStore, KvStoreExt, PutMode, PutOptions, ScanOptions, Update, UpdateFn};
pub use kv_layers::{DocCollections, KvChatStore, KvDocStore, KvIndexStore};
pub use llamaindex_query::{VectorStoreQuery, VectorStoreQueryMode};
pub use memory::{MemoryBackend, MemoryKvStore, MemoryVectorStore};
pub use node::{
    Document, ImageContent, IndexContent, MediaContent, MediaResource, MetadataMode, Node, NodeContent,
    NodeId, RefDocId, Related, RelatedNode, Relationship, Relationships, TextContent,
};
pub use page::{Cursor, Page};
pub use reader::{MissingField, Reader};
pub use retriever::Retriever;
pub use retrievers::{DEFAULT_TOP_K, HybridRetriever, TextRetriever, VectorRetriever};
pub use vectors::{
    DistinctOptions, DistinctValues, FieldKind, FieldType, FilterableField, GetOptions, MetadataPass,
    MetadataPatch, QueryKind, QueryKindName, QueryPlan, ScoredNode, Selector, VectorCapabilities,
    VectorConfig, VectorFields, VectorQuery, VectorStore, VectorStoreExt,
};

/// A JSON object whose members keep their order.
pub type JsonObject = serde_json::Map<String, serde_json::Value>;

/// A stream of results that borrows neither the store nor its arguments.
pub type BoxStream<T> = Pin<Box<dyn futures::Stream<Item = Result<T>> + Send + 'static>>;
