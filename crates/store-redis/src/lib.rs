#![doc = include_str!("../README.md")]

mod backend;
mod config;
mod diagnose;
mod driver;
mod error;
mod kv;
mod schema;
mod script;
mod server;
mod space;

pub use backend::RedisBackend;
pub use config::{Protocol, RedisConfig, RedisConnection, Topology};
pub use fred;
