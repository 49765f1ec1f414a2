//! The backend: one store of a cluster, every role.

use std::sync::Arc;

use async_trait::async_trait;
use store_core::kit::check;
use store_core::{
    Backend, Capabilities, ChatStore, Diagnosis, DocStore, IndexStore, KvIndexStore, KvStore, Reader, Result,
    VectorStore,
};

use crate::chat::CassandraChatStore;
use crate::config::CassandraConfig;
use crate::diagnose::look;
use crate::docs::CassandraDocStore;
use crate::error::{NAME, at};
use crate::kv::{self, CassandraKvStore};
use crate::session::{Call, CassandraSession, Class};
use crate::space::Space;
use crate::tables;
use crate::vector::{self, CassandraVectorStore};

/// A Cassandra store.
///
/// Clones share the session, and are closed together.
#[derive(Clone, Debug)]
pub struct CassandraBackend {
    pub(crate) space: Arc<Space>,
}

impl CassandraBackend {
    /// A store with a session of its own.
    ///
    /// Settings that can not be are refused with `Config`, a wrong password with `Unauthorized`; a cluster that can not
    /// be reached is `Unavailable`.
    pub async fn connect(config: CassandraConfig) -> Result<Self> {
        let connect = async { Space::new(config.session().await?, config) };
        Ok(Self { space: Arc::new(connect.await.map_err(at("connect"))?) })
    }

    /// A store on a session of your own. The configured connection is not looked at.
    pub fn from_session(session: CassandraSession, config: CassandraConfig) -> Result<Self> {
        Ok(Self { space: Arc::new(Space::new(session, config).map_err(at("connect"))?) })
    }

    /// What the store was opened with.
    #[must_use]
    pub fn config(&self) -> &CassandraConfig {
        &self.space.config
    }

    /// The driver's session; `Unavailable` once closed.
    pub fn session(&self) -> Result<&CassandraSession> {
        self.space.driver().session()
    }
}

#[async_trait]
impl Backend for CassandraBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        let mut offers = Capabilities::new(true);
        offers.kv = Some(kv::capabilities(&self.space.config));
        offers.docs = true;
        offers.index = true;
        offers.vectors = Some(vector::capabilities());
        offers.chat = true;
        offers.reader = true;
        offers
    }

    async fn ping(&self) -> Result<()> {
        let ping = Call::new(Class::Read, "SELECT key FROM system.local WHERE key = 'local'", Vec::new());
        self.space.run(ping).await.map(|_| ()).map_err(at("ping"))
    }

    async fn diagnose(&self) -> Result<Diagnosis> {
        look(&self.space).await.map_err(at("diagnose"))
    }

    async fn drop_namespace(&self) -> Result<()> {
        let drop = async {
            check::may_drop(self.space.config.namespace.as_deref(), "keyspace", "drop the tables")?;
            tables::drop_all(&self.space).await
        };
        drop.await.map_err(at("drop_namespace"))
    }

    async fn close(&self) -> Result<()> {
        self.space.close();
        Ok(())
    }

    fn kv(&self) -> Result<Arc<dyn KvStore>> {
        Ok(Arc::new(CassandraKvStore::new(Arc::clone(&self.space))))
    }

    fn docs(&self) -> Result<Arc<dyn DocStore>> {
        Ok(Arc::new(CassandraDocStore::new(Arc::clone(&self.space))))
    }

    fn index(&self) -> Result<Arc<dyn IndexStore>> {
        let kv = CassandraKvStore::new(Arc::clone(&self.space));
        Ok(Arc::new(KvIndexStore::new(kv).with_backend(NAME)))
    }

    fn chat(&self) -> Result<Arc<dyn ChatStore>> {
        Ok(Arc::new(CassandraChatStore::new(Arc::clone(&self.space))))
    }

    fn vectors(&self) -> Result<Arc<dyn VectorStore>> {
        Ok(Arc::new(CassandraVectorStore::new(Arc::clone(&self.space), None)))
    }

    fn vector_set(&self, name: &str) -> Result<Arc<dyn VectorStore>> {
        check::vector_set_name(name).map_err(at("vector_set"))?;
        Ok(Arc::new(CassandraVectorStore::new(Arc::clone(&self.space), Some(name))))
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
