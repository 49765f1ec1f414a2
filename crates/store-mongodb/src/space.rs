//! What a backend and all its roles share: the client, the settings, the databases.

use std::sync::atomic::{AtomicBool, Ordering};

use mongodb::{Client, Database};
use store_core::Result;

use crate::config::{CHAT_DATABASE, KV_DATABASE, MongoConfig, VECTOR_DATABASE};
use crate::error::{closed, from_driver, timed_out};
use crate::schema::Known;

/// One namespace of a server.
#[derive(Debug)]
pub(crate) struct Space {
    client: Client,
    pub(crate) config: MongoConfig,
    /// What is known to be there on the server.
    pub(crate) known: Known,
    closed: AtomicBool,
}

impl Space {
    pub(crate) fn new(client: Client, config: MongoConfig) -> Self {
        Self { client, config, known: Known::default(), closed: AtomicBool::new(false) }
    }

    /// The client; `Unavailable` once closed.
    pub(crate) fn client(&self) -> Result<&Client> {
        if self.closed.load(Ordering::Acquire) { Err(closed()) } else { Ok(&self.client) }
    }

    /// The database of key-values, documents and indexes.
    pub(crate) fn kv_database(&self) -> Result<Database> {
        self.database(KV_DATABASE)
    }

    /// The database of chats.
    pub(crate) fn chat_database(&self) -> Result<Database> {
        self.database(CHAT_DATABASE)
    }

    /// The database of vectors.
    pub(crate) fn vector_database(&self) -> Result<Database> {
        self.database(VECTOR_DATABASE)
    }

    fn database(&self, default: &str) -> Result<Database> {
        Ok(self.client()?.database(self.config.namespace.as_deref().unwrap_or(default)))
    }

    /// Waits for the driver, as long as the configuration allows: it has no timeout of its own for a server that
    /// took a command and does not answer.
    pub(crate) async fn call<T>(
        &self,
        call: impl IntoFuture<Output = mongodb::error::Result<T>>,
    ) -> Result<T> {
        self.try_call(call).await?.map_err(from_driver)
    }

    /// As [`call`](Self::call), with the driver's own error for those who read it closer.
    pub(crate) async fn try_call<T>(
        &self,
        call: impl IntoFuture<Output = mongodb::error::Result<T>>,
    ) -> Result<mongodb::error::Result<T>> {
        let limit = self.config.operation_timeout;
        tokio::time::timeout(limit, call.into_future()).await.map_err(|_| timed_out(limit))
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}
