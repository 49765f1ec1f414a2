#![doc = include_str!("../README.md")]

mod backend;
mod codec;
mod config;
mod error;
mod filter;
mod space;

pub use backend::MongoBackend;
pub use config::MongoConfig;
pub use mongodb;
