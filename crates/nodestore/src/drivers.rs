//! The drivers of the backends compiled in.

use std::sync::Arc;

use async_trait::async_trait;
use store_core::{Backend, MemoryBackend, Result};

use crate::registry::{Driver, schemes};
use crate::url::{Target, config};

/// `memory:`; with a namespace one store for the whole process, without one a new store for each opening.
#[derive(Debug)]
pub(crate) struct Memory;

#[async_trait]
impl Driver for Memory {
    fn schemes(&self) -> &[&'static str] {
        schemes::MEMORY
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
        schemes::EMBEDDED
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

/// A driver of a server: its URL is read by the store's configuration.
macro_rules! server {
    ($(#[$meta:meta])* $driver:ident, $schemes:expr, $config:ty, $backend:ty) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub(crate) struct $driver;

        $(#[$meta])*
        #[async_trait]
        impl Driver for $driver {
            fn schemes(&self) -> &[&'static str] {
                $schemes
            }

            async fn open(&self, target: &Target) -> Result<Arc<dyn Backend>> {
                let mut settings: $config = target.url().parse()?;
                if let Some(namespace) = target.namespace() {
                    settings.namespace = Some(namespace.to_owned());
                }
                if let Some(create) = target.create() {
                    settings.create = create;
                }
                Ok(Arc::new(<$backend>::connect(settings).await?))
            }
        }
    };
}

// Options are those of the configuration and of its connection.
server!(
    #[cfg(feature = "mongodb")]
    Mongo,
    schemes::MONGODB,
    store_mongodb::MongoConfig,
    store_mongodb::MongoBackend
);
server!(
    #[cfg(feature = "redis")]
    Redis,
    schemes::REDIS,
    store_redis::RedisConfig,
    store_redis::RedisBackend
);
server!(
    #[cfg(feature = "dynamodb")]
    DynamoDb,
    schemes::DYNAMODB,
    store_dynamodb::DynamoDbConfig,
    store_dynamodb::DynamoDbBackend
);
server!(
    #[cfg(feature = "cassandra")]
    Cassandra,
    schemes::CASSANDRA,
    store_cassandra::CassandraConfig,
    store_cassandra::CassandraBackend
);
