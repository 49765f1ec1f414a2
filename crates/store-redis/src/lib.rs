#![doc = include_str!("../README.md")]

mod backend;
mod chat;
mod command;
mod config;
mod diagnose;
mod docs;
mod driver;
mod error;
mod filter;
#[cfg(any(test, nodestore_fuzz))]
pub mod fuzzing;
mod keys;
mod kv;
mod kv_scan;
mod kv_update;
mod kv_write;
mod patterns;
mod reader;
mod retriever;
mod schema;
mod script;
mod server;
mod space;
mod time_to_live;
mod value;
mod vector;

pub use backend::RedisBackend;
pub use command::{RedisArg, RedisCommand, RedisPipeline};
pub use config::{Protocol, RedisConfig, RedisConnection, Topology};
pub use fred;
pub use patterns::*;
pub use reader::RedisReader;
pub use retriever::RedisTextRetriever;
pub use script::{RedisScript, RedisScriptCall};
pub use store_core::MissingField;
pub use value::RedisValue;
pub use vector::{RedisVectorEngine, RedisVectorIndex, RedisVectorOptions};
