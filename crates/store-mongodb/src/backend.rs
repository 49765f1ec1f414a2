//! The backend: one namespace of one server, every role.

use std::sync::Arc;

use async_trait::async_trait;
use bson::doc;
use mongodb::Client;
use store_core::kit::check;
use store_core::{
    Backend, Capabilities, ChatStore, Diagnosis, DocStore, IndexStore, KvIndexStore, KvStore, Reader, Result,
    VectorStore,
};

use crate::chat::MongoChatStore;
use crate::config::MongoConfig;
use crate::diagnose::{Opened, look};
use crate::docs::MongoDocStore;
use crate::error::{NAME, at, from_driver};
use crate::kv::{self, MongoKvStore};
use crate::space::Space;
use crate::vector::{self, MongoVectorStore};

/// A MongoDB store: every role on a server, a replica set, a sharded cluster or Atlas.
///
/// Clones share the client, and are closed together.
#[derive(Clone, Debug)]
pub struct MongoBackend {
    pub(crate) space: Arc<Space>,
}

impl MongoBackend {
    /// A store on the configured server, with a client of its own.
    ///
    /// Settings that can not be are refused here with `Config`: a URL that can not be read, a certificate's file
    /// that is not there, two settings that contradict each other. An SRV name is looked up. The server itself is
    /// first asked by the first call, [`ping`](Backend::ping) for example; until then nobody knows whether it is
    /// there and lets us in.
    pub async fn connect(mut config: MongoConfig) -> Result<Self> {
        let client = async {
            let options = config.client_options().await?;
            let opened = Opened::new(&options);
            Ok((Client::with_options(options).map_err(from_driver)?, opened))
        };
        let (client, opened) = client.await.map_err(at("connect"))?;
        Ok(Self { space: Arc::new(Space::of_own(client, config, opened)) })
    }

    /// A store on a client of your own, which [`close`](Backend::close) leaves open. The configured URL and
    /// connection are not looked at; the client's default database counts as the one in a URL's path.
    ///
    /// Give the client the write concern `majority`, or acknowledged writes may be lost when a primary fails.
    pub fn from_client(client: Client, mut config: MongoConfig) -> Result<Self> {
        let in_path = client.default_database().map(|database| database.name().to_owned());
        config.validate().and_then(|()| config.settle_database(in_path.as_deref())).map_err(at("connect"))?;
        Ok(Self { space: Arc::new(Space::of_caller(client, config)) })
    }

    /// What the store was opened with, after all defaults.
    #[must_use]
    pub fn config(&self) -> &MongoConfig {
        &self.space.config
    }

    /// The driver's client; `Unavailable` once closed.
    pub fn client(&self) -> Result<&Client> {
        self.space.client()
    }

    /// What all roles share.
    pub(crate) fn space(&self) -> &Arc<Space> {
        &self.space
    }
}

#[async_trait]
impl Backend for MongoBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::new(true);
        capabilities.kv = Some(kv::capabilities(self.space.config.large_values));
        capabilities.docs = true;
        capabilities.index = true;
        capabilities.chat = true;
        capabilities.vectors = Some(vector::capabilities());
        capabilities.reader = true;
        capabilities
    }

    async fn ping(&self) -> Result<()> {
        let ping = async {
            let database = self.space.kv_database()?;
            self.space.call(database.run_command(doc! {"ping": 1})).await
        };
        ping.await.map(|_| ()).map_err(at("ping"))
    }

    async fn diagnose(&self) -> Result<Diagnosis> {
        look(&self.space).await.map_err(at("diagnose"))
    }

    async fn drop_namespace(&self) -> Result<()> {
        let drop = async {
            check::may_drop(self.space.config.namespace.as_deref(), "databases", "drop the collections")?;
            let database = self.space.kv_database()?;
            self.space.known.clear();
            self.space.searches.clear();
            self.space.call(database.drop()).await
        };
        drop.await.map_err(at("drop_namespace"))
    }

    async fn close(&self) -> Result<()> {
        self.space.close().await;
        Ok(())
    }

    fn kv(&self) -> Result<Arc<dyn KvStore>> {
        Ok(Arc::new(MongoKvStore::new(Arc::clone(&self.space))))
    }

    fn docs(&self) -> Result<Arc<dyn DocStore>> {
        Ok(Arc::new(MongoDocStore::new(Arc::clone(&self.space))))
    }

    fn index(&self) -> Result<Arc<dyn IndexStore>> {
        let kv = MongoKvStore::new(Arc::clone(&self.space));
        Ok(Arc::new(KvIndexStore::new(kv).with_backend(NAME)))
    }

    fn chat(&self) -> Result<Arc<dyn ChatStore>> {
        Ok(Arc::new(MongoChatStore::new(Arc::clone(&self.space))))
    }

    fn vectors(&self) -> Result<Arc<dyn VectorStore>> {
        Ok(Arc::new(MongoVectorStore::new(Arc::clone(&self.space), None)))
    }

    fn vector_set(&self, name: &str) -> Result<Arc<dyn VectorStore>> {
        check::vector_set_name(name).map_err(at("vector_set"))?;
        Ok(Arc::new(MongoVectorStore::new(Arc::clone(&self.space), Some(name))))
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
