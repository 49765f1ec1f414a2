#![doc = include_str!("../README.md")]
mod backend;
mod cells;
mod chat;
mod clock;
mod codec;
mod config;
mod deadline;
mod diagnose;
mod docs;
mod error;
mod filter;
#[cfg(any(test, nodestore_fuzz))]
pub mod fuzzing;
mod kv;
mod kv_layout;
mod kv_scan;
mod kv_turns;
mod kv_update;
mod kv_write;
mod patterns;
mod reader;
mod retriever;
mod runs;
mod schema;
mod session;
mod space;
mod tables;
mod tool;
mod transaction;
mod vector;

pub use backend::CassandraBackend;
pub use cdrs_tokio;
pub use config::{
    CassandraBalancingPolicy, CassandraCompression, CassandraConfig, CassandraConnection,
    CassandraConsistency, CassandraReplication,
};
pub use patterns::{
    Begun, BucketEstimate, CassandraCounter, CassandraIdempotency, CassandraIndex, CassandraLock,
    CassandraSeries, CassandraTimeSeries, CassandraView, CounterConfig, IdempotencyClaim, IdempotencyConfig,
    LockConfig, LockGuard, SchemaDifference, SchemaReport, SeriesType, TimeSample,
};
pub use reader::CassandraReader;
pub use retriever::CassandraTextRetriever;
pub use session::{CassandraBalancing, CassandraSession, CassandraTcpSession, CassandraTlsSession};
pub use store_core::MissingField;
pub use tool::{
    CassandraTool, CqlQuery, SelectCondition, SelectOp, SelectOrder, TableSelect, ToolAnswer, ToolColumn,
    ToolFunction, ToolIndex, ToolRows, ToolSchema, ToolTable,
};
pub use vector::{CassandraVectorEngine, CassandraVectorOptions};
