#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod copy;
mod drivers;
mod embedder;
pub mod folder;
#[cfg(any(test, nodestore_fuzz))]
pub mod fuzzing;
mod open;
pub mod prelude;
mod registry;
mod url;
mod watch;

pub use embedder::{CacheCounts, CachedEmbedder, EmbedderNote, vectors_in_use};
#[cfg(feature = "openai")]
pub use embedder::{OpenAiConfig, OpenAiCounts, OpenAiEmbedder};
pub use open::{OpenOptions, open, open_with};
pub use registry::{Driver, Registry};
#[cfg(feature = "cassandra")]
pub use store_cassandra as cassandra;
pub use store_core::*;
#[cfg(feature = "dynamodb")]
pub use store_dynamodb as dynamodb;
#[cfg(feature = "embedded")]
pub use store_embedded as embedded;
#[cfg(feature = "mongodb")]
pub use store_mongodb as mongodb;
#[cfg(feature = "redis")]
pub use store_redis as redis;
pub use url::{Target, embedded_url, is_url, redact};

/// The examples of the workspace's README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}
