#![doc = include_str!("../README.md")]

mod aggregation;
mod backend;
mod batches;
mod bulk;
mod chat;
mod codec;
mod config;
mod date_range;
mod diagnose;
mod doc_entries;
mod docs;
mod docs_query;
mod error;
mod field_path;
mod filter;
#[cfg(any(test, nodestore_fuzz))]
pub mod fuzzing;
mod grid_fs;
mod indexes;
mod insert_once;
mod kv;
mod kv_layout;
mod kv_update;
mod kv_write;
mod plain_text;
mod python_text;
mod reader;
mod retriever;
mod scan;
mod schema;
mod serializer;
mod sharding;
mod space;
mod target;
mod time_series;
mod transaction;
mod vector;
mod watch;

pub use aggregation::{MongoAggregation, stage};
pub use backend::MongoBackend;
pub use bson;
pub use config::{
    AuthMechanism, Compressor, MongoConfig, MongoConnection, MongoLargeValues, ReadConcern, ReadPreference,
    WriteConcern,
};
pub use date_range::DateRange;
pub use indexes::{IndexDifference, IndexReport, MongoIndex};
pub use mongodb;
pub use reader::MongoReader;
pub use retriever::MongoTextRetriever;
pub use sharding::ShardKey;
pub use store_core::MissingField;
pub use time_series::{Bucket, Granularity, Measure, MongoTimeSeries, TimeSeriesConfig};
pub use transaction::MongoTransaction;
pub use vector::SearchConfig;
pub use watch::{Change, ChangeKind, MongoChanges, MongoWatch, WatchToken};
