//! The embedded store of nodestore: every role on disk, with no server.
#![allow(dead_code, unused_imports, reason = "the roles that use all of it are on their way")]

mod backend;
mod codec;
mod config;
mod engine;
mod error;
mod schema;
mod space;

pub use backend::EmbeddedBackend;
pub use config::{DEFAULT_NAMESPACE, EmbeddedConfig};
