#![doc = include_str!("../README.md")]

mod backend;
mod chat;
mod codec;
mod config;
mod diagnose;
mod docs;
mod engine;
mod error;
#[cfg(any(test, nodestore_fuzz))]
pub mod fuzzing;
mod index;
mod kv;
mod packed;
mod schema;
mod space;
mod vector;

pub use backend::EmbeddedBackend;
pub use config::{DEFAULT_NAMESPACE, EmbeddedConfig};
