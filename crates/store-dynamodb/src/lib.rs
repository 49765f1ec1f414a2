#![doc = include_str!("../README.md")]

mod backend;
mod batch;
mod codec;
mod config;
mod decimal;
mod error;
mod schema;
mod space;
mod tables;

pub use aws_sdk_dynamodb;
pub use backend::DynamoDbBackend;
pub use config::{
    DynamoDbBilling, DynamoDbConfig, DynamoDbConnection, DynamoDbRetryMode, DynamoDbTableOptions,
};
