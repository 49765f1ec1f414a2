//! The backend: one namespace of one server, every role.

use std::sync::Arc;

use async_trait::async_trait;
use fred::clients::Pool;
use futures::TryStreamExt as _;
use store_core::kit::check;
use store_core::{
    Backend, Capabilities, ChatStore, Diagnosis, DocStore, IndexStore, KvIndexStore, KvStore, Reader, Result,
    VectorStore,
};

use crate::chat::RedisChatStore;
use crate::config::RedisConfig;
use crate::diagnose::look;
use crate::docs::RedisDocStore;
use crate::driver::{Cmd, Driver};
use crate::error::{NAME, at};
use crate::keys::{Keys, keys};
use crate::kv::{self, RedisKvStore};
use crate::schema::{self, begins_with};
use crate::space::Space;
use crate::vector::{self, RedisVectorStore};

/// A Redis store: every role on a server, a cluster, or a service of Sentinel.
///
/// Clones share the connections, and are closed together.
#[derive(Clone, Debug)]
pub struct RedisBackend {
    pub(crate) space: Arc<Space>,
}

impl RedisBackend {
    /// A store on the configured server, with connections of its own, which are made now: a server that can not be
    /// reached or does not let us in is an error here. Lost connections are made again, for ever.
    ///
    /// Settings that can not be are refused with `Config`, and before anything is sent: a URL that can not be read, a
    /// certificate's file that is not there, two settings that contradict each other.
    pub async fn connect(mut config: RedisConfig) -> Result<Self> {
        let connect = async {
            let pool = config.pool()?;
            let limit = config.connect_timeout();
            let replicas = config.connection.read_from_replicas == Some(true);
            let driver = Driver::connect(pool, limit, config.operation_timeout, replicas).await?;
            Space::new(driver, config).await
        };
        Ok(Self { space: Arc::new(connect.await.map_err(at("connect"))?) })
    }

    /// A store on a pool of your own, connected already, which [`close`](Backend::close) leaves open. The configured
    /// URL and connection are not looked at.
    ///
    /// Give the pool a reconnect policy without end and timeouts: without them it stays dead after an outage, and a
    /// server that goes silent is waited for. For a cluster set its `max_redirections` to 0, as the store follows them
    /// itself: the driver mixes up answers where it follows `ASK`.
    pub async fn from_client(client: Pool, config: RedisConfig) -> Result<Self> {
        let connect = async {
            config.validate()?;
            Space::new(Driver::of_caller(client, config.operation_timeout, false), config).await
        };
        Ok(Self { space: Arc::new(connect.await.map_err(at("connect"))?) })
    }

    /// What the store was opened with; what its URL said is in the fields of the connection.
    #[must_use]
    pub fn config(&self) -> &RedisConfig {
        &self.space.config
    }

    /// The driver's pool; `Unavailable` once closed.
    pub fn client(&self) -> Result<&Pool> {
        Ok(self.space.driver()?.pool())
    }

    /// What all roles share.
    pub(crate) fn space(&self) -> &Arc<Space> {
        &self.space
    }
}

#[async_trait]
impl Backend for RedisBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::new(true);
        capabilities.kv = Some(kv::capabilities(&self.space));
        capabilities.docs = true;
        capabilities.index = true;
        capabilities.chat = true;
        capabilities.vectors = vector::capabilities(&self.space);
        capabilities.reader = true;
        capabilities
    }

    async fn ping(&self) -> Result<()> {
        self.space.call(Cmd::keyless("PING")).await.map(|_| ()).map_err(at("ping"))
    }

    async fn diagnose(&self) -> Result<Diagnosis> {
        look(&self.space).await.map_err(at("diagnose"))
    }

    async fn drop_namespace(&self) -> Result<()> {
        let drop = async {
            check::may_drop(self.space.config.namespace.as_deref(), "server", "remove the keys")?;
            vector::drop_indexes(&self.space).await?;
            remove_all(&self.space).await
        };
        drop.await.map_err(at("drop_namespace"))
    }

    async fn close(&self) -> Result<()> {
        self.space.close().await;
        Ok(())
    }

    fn kv(&self) -> Result<Arc<dyn KvStore>> {
        Ok(Arc::new(RedisKvStore::new(Arc::clone(&self.space))))
    }

    fn docs(&self) -> Result<Arc<dyn DocStore>> {
        Ok(Arc::new(RedisDocStore::new(Arc::clone(&self.space))))
    }

    fn index(&self) -> Result<Arc<dyn IndexStore>> {
        let kv = RedisKvStore::new(Arc::clone(&self.space));
        Ok(Arc::new(KvIndexStore::with_collection(kv, schema::INDEX_STRUCTS).with_backend(NAME)))
    }

    fn chat(&self) -> Result<Arc<dyn ChatStore>> {
        Ok(Arc::new(RedisChatStore::new(Arc::clone(&self.space))))
    }

    fn vectors(&self) -> Result<Arc<dyn VectorStore>> {
        let store = RedisVectorStore::new(Arc::clone(&self.space), None).map_err(at("vectors"))?;
        Ok(Arc::new(store))
    }

    fn vector_set(&self, name: &str) -> Result<Arc<dyn VectorStore>> {
        check::vector_set_name(name).map_err(at("vector_set"))?;
        let store = RedisVectorStore::new(Arc::clone(&self.space), Some(name)).map_err(at("vector_set"))?;
        Ok(Arc::new(store))
    }

    async fn vector_sets(&self) -> Result<Vec<String>> {
        vector::set_names(&self.space).await.map_err(at("vector_sets"))
    }

    async fn drop_vector_set(&self, name: Option<&str>) -> Result<bool> {
        let drop = async {
            name.map_or(Ok(()), check::vector_set_name)?;
            vector::drop_set(&self.space, name).await
        };
        drop.await.map_err(at("drop_vector_set"))
    }

    fn collection_reader(&self, collection: &str) -> Result<Arc<dyn Reader>> {
        Ok(Arc::new(self.reader(collection)))
    }
}

/// Removes every key of the space: those that are there when it begins, and whatever else SCAN meets.
async fn remove_all(space: &Arc<Space>) -> Result<()> {
    let mut found = keys(space, Keys { pattern: begins_with(&space.prefix), kind: None });
    while let Some(part) = found.try_next().await? {
        let removed = space.pipeline(part.into_iter().map(|key| Cmd::write("UNLINK", key)).collect()).await?;
        removed.into_iter().try_for_each(|one| one.map(|_| ()))?;
    }
    Ok(())
}
