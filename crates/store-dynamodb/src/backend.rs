//! The backend: one store of an account and region, every role.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use store_core::kit::check;
use store_core::{
    Backend, Capabilities, ChatStore, Diagnosis, DocStore, IndexStore, KvIndexStore, KvStore, Reader, Result,
    VectorStore,
};

use crate::chat::chat_store;
use crate::config::DynamoDbConfig;
use crate::diagnose::look;
use crate::docs::DynamoDocStore;
use crate::error::{NAME, at};
use crate::kv::{self, DynamoKvStore};
use crate::schema;
use crate::space::Space;
use crate::tables;
use crate::vector::{self, DynamoDbVectorStore};

/// A DynamoDB store.
///
/// Clones share the connections, and are closed together.
#[derive(Clone, Debug)]
pub struct DynamoDbBackend {
    pub(crate) space: Arc<Space>,
}

impl DynamoDbBackend {
    /// A store with a client of its own. Nothing is sent yet: a service that can not be reached, or a missing table, is
    /// an error of the first call.
    ///
    /// Settings that can not be are refused with `Config`.
    pub async fn connect(config: DynamoDbConfig) -> Result<Self> {
        let connect = async { Space::new(config.client().await?, config) };
        Ok(Self { space: Arc::new(connect.await.map_err(at("connect"))?) })
    }

    /// A store on a client of your own. The configured connection is not looked at.
    pub fn from_client(client: Client, config: DynamoDbConfig) -> Result<Self> {
        Ok(Self { space: Arc::new(Space::new(client, config).map_err(at("connect"))?) })
    }

    /// What the store was opened with.
    #[must_use]
    pub fn config(&self) -> &DynamoDbConfig {
        &self.space.config
    }

    /// The driver's client; `Unavailable` once closed.
    pub fn client(&self) -> Result<&Client> {
        self.space.client()
    }
}

#[async_trait]
impl Backend for DynamoDbBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        let mut offers = Capabilities::new(true);
        offers.chat = true;
        offers.kv = Some(kv::capabilities(&self.space.config));
        offers.docs = true;
        offers.index = true;
        offers.reader = true;
        offers.vectors = Some(vector::capabilities(&self.space));
        offers
    }

    async fn ping(&self) -> Result<()> {
        let ping = async {
            let list = self.space.client()?.list_tables().limit(1);
            self.space.call(list.send()).await.map(|_| ())
        };
        ping.await.map_err(at("ping"))
    }

    async fn diagnose(&self) -> Result<Diagnosis> {
        look(&self.space).await.map_err(at("diagnose"))
    }

    async fn drop_namespace(&self) -> Result<()> {
        let drop = async {
            check::may_drop(self.space.config.namespace.as_deref(), "table", "delete the table")?;
            for table in tables::of_store(&self.space).await? {
                tables::delete(&self.space, &table).await?;
            }
            Ok(())
        };
        drop.await.map_err(at("drop_namespace"))
    }

    async fn close(&self) -> Result<()> {
        self.space.close();
        Ok(())
    }

    fn kv(&self) -> Result<Arc<dyn KvStore>> {
        Ok(Arc::new(DynamoKvStore::new(Arc::clone(&self.space))))
    }

    fn docs(&self) -> Result<Arc<dyn DocStore>> {
        Ok(Arc::new(DynamoDocStore::new(Arc::clone(&self.space))))
    }

    fn index(&self) -> Result<Arc<dyn IndexStore>> {
        let kv = DynamoKvStore::new(Arc::clone(&self.space));
        Ok(Arc::new(KvIndexStore::with_collection(kv, schema::INDEX_STRUCTS).with_backend(NAME)))
    }

    fn chat(&self) -> Result<Arc<dyn ChatStore>> {
        Ok(chat_store(&self.space))
    }

    fn vectors(&self) -> Result<Arc<dyn VectorStore>> {
        Ok(Arc::new(DynamoDbVectorStore::new(Arc::clone(&self.space), None)))
    }

    fn vector_set(&self, name: &str) -> Result<Arc<dyn VectorStore>> {
        check::vector_set_name(name).map_err(at("vector_set"))?;
        Ok(Arc::new(DynamoDbVectorStore::new(Arc::clone(&self.space), Some(name))))
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
