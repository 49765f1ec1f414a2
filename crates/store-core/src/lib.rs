#![doc = include_str!("../README.md")]

mod backend;
pub mod batches;
pub mod bm25;
mod bounds;
pub mod cache;
mod chat;
mod chat_message;
pub mod chat_place;
mod chat_window;
pub mod check;
mod diagnosis;
pub mod doc_query;
mod docs;
mod embedder;
pub mod epoch;
mod error;
pub mod exact_search;
pub mod field_values;
pub mod filter;
mod forward;
pub mod fusion;
#[cfg(any(test, nodestore_fuzz))]
pub mod fuzzing;
mod hash_embedder;
pub mod idempotency;
mod index;
mod index_struct;
mod ingestion;
mod json;
mod kv;
mod kv_layers;
#[cfg(feature = "tokio")]
pub mod lease;
mod llamaindex_query;
mod matrix;
mod memory;
pub mod mmr;
mod node;
pub mod own_types;
mod page;
pub mod python;
mod reader;
pub mod records;
mod retriever;
mod retrievers;
#[cfg(feature = "tokio")]
pub mod rounds;
pub mod settings;
pub mod similarity;
#[cfg(test)]
mod test_support;
#[cfg(feature = "tls")]
pub mod tls;
pub mod tokens;
pub mod top_k;
#[cfg(feature = "tokio")]
pub mod turns;
pub mod url_text;
pub mod vector_check;
pub mod vector_search;
pub mod vector_table;
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
pub use similarity::Metric;
pub use vectors::{
    DistinctOptions, DistinctValues, FieldKind, FieldType, FilterableField, GetOptions, MetadataPass,
    MetadataPatch, QueryKind, QueryKindName, QueryPlan, ScoredNode, Selector, VectorCapabilities,
    VectorConfig, VectorFields, VectorQuery, VectorStore, VectorStoreExt,
};

/// A JSON object whose members keep their order.
pub type JsonObject = serde_json::Map<String, serde_json::Value>;

/// A stream of results that borrows neither the store nor its arguments.
pub type BoxStream<T> = Pin<Box<dyn futures::Stream<Item = Result<T>> + Send + 'static>>;
