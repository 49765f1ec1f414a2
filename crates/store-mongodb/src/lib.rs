#![doc = include_str!("../README.md")]

mod backend;
mod bulk;
mod codec;
mod config;
mod error;
mod filter;
mod kv;
mod schema;
mod space;

pub use backend::MongoBackend;
pub use config::MongoConfig;
pub use mongodb;
