#![doc = include_str!("../README.md")]

mod backend;
mod batch;
mod chat;
mod codec;
mod config;
mod decimal;
mod error;
mod query;
mod schema;
mod space;
mod tables;
mod transaction;

pub use aws_sdk_dynamodb;
pub use backend::DynamoDbBackend;
pub use config::{
    DynamoDbBilling, DynamoDbChatLayout, DynamoDbConfig, DynamoDbConnection, DynamoDbRetryMode,
    DynamoDbTableOptions,
};
