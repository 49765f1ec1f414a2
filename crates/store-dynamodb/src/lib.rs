#![doc = include_str!("../README.md")]

mod admit;
mod attempts;
mod backend;
mod batch;
mod chat;
mod codec;
mod conditional;
mod config;
mod decimal;
mod diagnose;
mod docs;
mod docs_find;
mod error;
mod filter;
#[cfg(any(test, nodestore_fuzz))]
pub mod fuzzing;
mod kv;
mod kv_layout;
mod kv_scan;
mod kv_update;
mod kv_write;
mod large;
mod patterns;
mod query;
mod reader;
mod schema;
mod single_table;
mod space;
mod tables;
mod transact;
mod transaction;
mod vector;

pub use aws_sdk_dynamodb;
pub use backend::DynamoDbBackend;
pub use config::{
    DynamoDbBilling, DynamoDbChatLayout, DynamoDbConfig, DynamoDbConnection, DynamoDbLargeValues,
    DynamoDbRetryMode, DynamoDbTableOptions,
};
pub use patterns::{
    Begun, CacheConfig, CacheStats, CounterConfig, DynamoDbCache, DynamoDbCounter, DynamoDbIdempotency,
    DynamoDbLock, DynamoDbTimeSeries, IdempotencyClaim, IdempotencyConfig, LockConfig, LockGuard, TimePoint,
    TimeSeriesConfig,
};
pub use reader::{DynamoDbKey, DynamoDbReader, DynamoDbSortKey};
pub use single_table::{
    DynamoDbBatch, DynamoDbEntity, DynamoDbIndex, DynamoDbItems, DynamoDbQuery, DynamoDbRecord,
    DynamoDbSingleTable, DynamoDbTableDesign,
};
pub use store_core::MissingField;
pub use transact::DynamoDbTransaction;
pub use vector::{DynamoDbVectorEngine, DynamoDbVectorLayout, DynamoDbVectorOptions};
