//! The backend: one namespace of one server, every role.

use std::sync::Arc;

use async_trait::async_trait;
use bson::doc;
use mongodb::Client;
use mongodb::options::ClientOptions;
use secrecy::ExposeSecret as _;
use store_core::{
    Backend, Capabilities, ChatStore, Diagnosis, DocStore, Error, ErrorKind, IndexStore, KvDocStore,
    KvIndexStore, KvStore, Result, VectorStore, check,
};

use crate::config::MongoConfig;
use crate::error::{NAME, at, from_driver};
use crate::kv::{self, MongoKvStore};
use crate::space::Space;

/// A MongoDB store.
#[derive(Clone, Debug)]
pub struct MongoBackend {
    pub(crate) space: Arc<Space>,
}

impl MongoBackend {
    /// Connects to the server of the configured URL. Nothing is sent before the first call.
    pub async fn connect(config: MongoConfig) -> Result<Self> {
        let options = ClientOptions::parse(config.url.expose_secret())
            .await
            .map_err(from_driver)
            .map_err(at("connect"))?;
        let client = Client::with_options(options).map_err(from_driver).map_err(at("connect"))?;
        Self::from_client(client, config)
    }

    /// A store on a client of your own; the configured URL is not looked at.
    pub fn from_client(client: Client, config: MongoConfig) -> Result<Self> {
        if let Some(namespace) = &config.namespace {
            check::plain_name("namespace", namespace).map_err(at("connect"))?;
        }
        Ok(Self { space: Arc::new(Space::new(client, config)) })
    }

    /// The driver's client; `Unavailable` once closed.
    pub fn client(&self) -> Result<&Client> {
        self.space.client()
    }
}

fn missing(operation: &'static str) -> Error {
    Error::unsupported(NAME, operation)
}

#[async_trait]
impl Backend for MongoBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::new(true);
        capabilities.kv = Some(kv::capabilities());
        capabilities.docs = true;
        capabilities.index = true;
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
        Ok(Diagnosis::new())
    }

    async fn drop_namespace(&self) -> Result<()> {
        let drop = async {
            if self.space.config.namespace.is_none() {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    "the store was opened without a namespace, and others may share its databases; open it with \
                     store.namespace, or drop the collections yourself",
                ));
            }
            let database = self.space.kv_database()?;
            self.space.known.clear();
            self.space.call(database.drop()).await
        };
        drop.await.map_err(at("drop_namespace"))
    }

    async fn close(&self) -> Result<()> {
        self.space.close();
        Ok(())
    }

    fn kv(&self) -> Result<Arc<dyn KvStore>> {
        Ok(Arc::new(MongoKvStore::new(Arc::clone(&self.space))))
    }

    fn docs(&self) -> Result<Arc<dyn DocStore>> {
        let kv = MongoKvStore::new(Arc::clone(&self.space));
        Ok(Arc::new(KvDocStore::new(kv).with_backend(NAME)))
    }

    fn index(&self) -> Result<Arc<dyn IndexStore>> {
        let kv = MongoKvStore::new(Arc::clone(&self.space));
        Ok(Arc::new(KvIndexStore::new(kv).with_backend(NAME)))
    }

    fn chat(&self) -> Result<Arc<dyn ChatStore>> {
        Err(missing("chat"))
    }

    fn vectors(&self) -> Result<Arc<dyn VectorStore>> {
        Err(missing("vectors"))
    }

    fn vector_set(&self, _name: &str) -> Result<Arc<dyn VectorStore>> {
        Err(missing("vector_set"))
    }

    async fn vector_sets(&self) -> Result<Vec<String>> {
        Err(missing("vector_sets"))
    }

    async fn drop_vector_set(&self, _name: Option<&str>) -> Result<bool> {
        Err(missing("drop_vector_set"))
    }
}
