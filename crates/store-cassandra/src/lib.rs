#![doc = include_str!("../README.md")]
mod backend;
mod chat;
mod clock;
mod codec;
mod config;
mod diagnose;
mod docs;
mod error;
mod filter;
mod kv;
mod kv_layout;
mod kv_scan;
mod kv_turns;
mod kv_update;
mod kv_write;
mod patterns;
mod runs;
mod schema;
mod session;
mod space;
mod tables;
mod vector;

pub use backend::CassandraBackend;
pub use cdrs_tokio;
pub use config::{
    CassandraBalancingPolicy, CassandraCompression, CassandraConfig, CassandraConnection,
    CassandraConsistency, CassandraReplication,
};
pub use patterns::{BucketEstimate, CassandraSeries, CassandraTimeSeries, SeriesType, TimeSample};
pub use session::{CassandraBalancing, CassandraSession, CassandraTcpSession, CassandraTlsSession};
pub use vector::{CassandraVectorEngine, CassandraVectorOptions};
