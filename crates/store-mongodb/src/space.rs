//! What a backend and all its roles share: the client, the settings, the databases.

use std::sync::atomic::{AtomicBool, Ordering};

use mongodb::{Client, Database};
use store_core::Result;

use crate::config::{CHAT_DATABASE, KV_DATABASE, MongoConfig, VECTOR_DATABASE};
use crate::error::{closed, from_driver, timed_out};

/// One namespace of a server.
#[derive(Debug)]
pub(crate) struct Space {
    client: Client,
    pub(crate) config: MongoConfig,
    closed: AtomicBool,
}

impl Space {
    pub(crate) fn new(client: Client, config: MongoConfig) -> Self {
        Self { client, config, closed: AtomicBool::new(false) }
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
        let limit = self.config.operation_timeout;
        match tokio::time::timeout(limit, call.into_future()).await {
            Ok(answer) => answer.map_err(from_driver),
            Err(_) => Err(timed_out(limit)),
        }
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}
