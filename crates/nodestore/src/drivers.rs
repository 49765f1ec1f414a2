//! The drivers of the backends compiled in.

use std::sync::Arc;

use async_trait::async_trait;
use store_core::{Backend, MemoryBackend, Result};

use crate::registry::Driver;
use crate::url::{Target, config};

/// `memory:`; with a namespace one store for the whole process, without one a new store for each opening.
#[derive(Debug)]
pub(crate) struct Memory;

#[async_trait]
impl Driver for Memory {
    fn schemes(&self) -> &[&'static str] {
        &["memory"]
    }

    async fn open(&self, target: &Target) -> Result<Arc<dyn Backend>> {
        if !matches!(target.rest(), "" | "//" | "///") {
            return Err(config(format!(
                "{:?} has more than memory: takes, which is store.namespace and store.create; a store that is kept \
                 is embedded:///path",
                crate::redact(target.url())
            )));
        }
        Ok(match target.namespace() {
            Some(namespace) => Arc::new(MemoryBackend::shared(namespace)),
            None => Arc::new(MemoryBackend::new()),
        })
    }
}

/// `embedded:///path`; options are those of [`EmbeddedConfig`](store_embedded::EmbeddedConfig).
#[cfg(feature = "embedded")]
#[derive(Debug)]
pub(crate) struct Embedded;

#[cfg(feature = "embedded")]
#[async_trait]
impl Driver for Embedded {
    fn schemes(&self) -> &[&'static str] {
        &["embedded"]
    }

    async fn open(&self, target: &Target) -> Result<Arc<dyn Backend>> {
        let mut settings: store_embedded::EmbeddedConfig = target.rest().parse()?;
        if let Some(namespace) = target.namespace() {
            settings.namespace = namespace.to_owned();
        }
        if let Some(create) = target.create() {
            settings.create = create;
        }
        Ok(Arc::new(store_embedded::EmbeddedBackend::open(settings).await?))
    }
}

/// `mongodb://…`, `mongodb+srv://…`; options are those of [`MongoConfig`](store_mongodb::MongoConfig) and of the
/// driver's URL.
#[cfg(feature = "mongodb")]
#[derive(Debug)]
pub(crate) struct Mongo;

#[cfg(feature = "mongodb")]
#[async_trait]
impl Driver for Mongo {
    fn schemes(&self) -> &[&'static str] {
        &["mongodb", "mongodb+srv"]
    }

    async fn open(&self, target: &Target) -> Result<Arc<dyn Backend>> {
        let mut settings: store_mongodb::MongoConfig = target.url().parse()?;
        if let Some(namespace) = target.namespace() {
            settings.namespace = Some(namespace.to_owned());
        }
        if let Some(create) = target.create() {
            settings.create = create;
        }
        Ok(Arc::new(store_mongodb::MongoBackend::connect(settings).await?))
    }
}

/// `redis://…`, `redis-cluster://…`, `redis-sentinel://…`, with TLS `rediss…`, and the same of Valkey; options are
/// those of [`RedisConfig`](store_redis::RedisConfig) and [`RedisConnection`](store_redis::RedisConnection).
#[cfg(feature = "redis")]
#[derive(Debug)]
pub(crate) struct Redis;

#[cfg(feature = "redis")]
#[async_trait]
impl Driver for Redis {
    fn schemes(&self) -> &[&'static str] {
        crate::registry::REDIS_SCHEMES
    }

    async fn open(&self, target: &Target) -> Result<Arc<dyn Backend>> {
        let mut settings: store_redis::RedisConfig = target.url().parse()?;
        if let Some(namespace) = target.namespace() {
            settings.namespace = Some(namespace.to_owned());
        }
        if let Some(create) = target.create() {
            settings.create = create;
        }
        Ok(Arc::new(store_redis::RedisBackend::connect(settings).await?))
    }
}

/// `dynamodb://region/table`; options are those of [`DynamoDbConfig`](store_dynamodb::DynamoDbConfig) and
/// [`DynamoDbConnection`](store_dynamodb::DynamoDbConnection).
#[cfg(feature = "dynamodb")]
#[derive(Debug)]
pub(crate) struct DynamoDb;

#[cfg(feature = "dynamodb")]
#[async_trait]
impl Driver for DynamoDb {
    fn schemes(&self) -> &[&'static str] {
        &["dynamodb"]
    }

    async fn open(&self, target: &Target) -> Result<Arc<dyn Backend>> {
        let mut settings: store_dynamodb::DynamoDbConfig = target.url().parse()?;
        if let Some(namespace) = target.namespace() {
            settings.namespace = Some(namespace.to_owned());
        }
        if let Some(create) = target.create() {
            settings.create = create;
        }
        Ok(Arc::new(store_dynamodb::DynamoDbBackend::connect(settings).await?))
    }
}

/// `cassandra://host,host/keyspace`; options are those of [`CassandraConfig`](store_cassandra::CassandraConfig) and
/// [`CassandraConnection`](store_cassandra::CassandraConnection).
#[cfg(feature = "cassandra")]
#[derive(Debug)]
pub(crate) struct Cassandra;

#[cfg(feature = "cassandra")]
#[async_trait]
impl Driver for Cassandra {
    fn schemes(&self) -> &[&'static str] {
        &["cassandra"]
    }

    async fn open(&self, target: &Target) -> Result<Arc<dyn Backend>> {
        let mut settings: store_cassandra::CassandraConfig = target.url().parse()?;
        if let Some(namespace) = target.namespace() {
            settings.namespace = Some(namespace.to_owned());
        }
        if let Some(create) = target.create() {
            settings.create = create;
        }
        Ok(Arc::new(store_cassandra::CassandraBackend::connect(settings).await?))
    }
}
