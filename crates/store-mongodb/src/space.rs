//! What a backend and all its roles share: the client, the settings, the databases.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mongodb::{Client, Database};
use store_core::Result;
use store_core::kit::turns::Turns;

use crate::config::{CHAT_DATABASE, KV_DATABASE, MongoConfig, VECTOR_DATABASE};
use crate::diagnose::Opened;
use crate::error::{closed, from_driver, timed_out};
use crate::schema::Known;
use crate::vector::{Configurations, Searches};

/// How long a server may take to hear that we are leaving.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long dropped streams may take to be ended on the server.
const LOOSE_ENDS: Duration = Duration::from_secs(1);

/// One namespace of a server.
#[derive(Debug)]
pub(crate) struct Space {
    client: Client,
    pub(crate) config: MongoConfig,
    /// What is known to be there on the server.
    pub(crate) known: Known,
    /// What is known of the search of Atlas.
    pub(crate) searches: Searches,
    /// How vector sets were configured when last looked at.
    pub(crate) configurations: Configurations,
    /// The turns in which chats are changed.
    pub(crate) turns: Turns,
    /// Whether the client is ours, made by `connect`, and goes with the store.
    pub(crate) own: bool,
    /// What our own client was made with.
    pub(crate) opened: Opened,
    closed: AtomicBool,
}

impl Space {
    /// A space on a client of our own, made with these options.
    pub(crate) fn of_own(client: Client, config: MongoConfig, opened: Opened) -> Self {
        Self { own: true, opened, ..Self::of_caller(client, config) }
    }

    /// A space on a client of the caller's.
    pub(crate) fn of_caller(client: Client, config: MongoConfig) -> Self {
        Self {
            client,
            config,
            known: Known::default(),
            turns: Turns::default(),
            searches: Searches::default(),
            configurations: Configurations::default(),
            own: false,
            opened: Opened::default(),
            closed: AtomicBool::new(false),
        }
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
        let named = self.config.namespace.as_deref().or(self.config.database.as_deref());
        Ok(self.client()?.database(named.unwrap_or(default)))
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
        self.client()?;
        let limit = self.config.operation_timeout;
        tokio::time::timeout(limit, call.into_future()).await.map_err(|_| timed_out(limit))
    }

    /// Lets go of the client; one of the caller's is left alone. Calls in flight may yet finish, streams end with
    /// `Unavailable` at their next item.
    pub(crate) async fn close(&self) {
        if !self.closed.swap(true, Ordering::AcqRel) && self.own {
            // The driver ends dropped streams on the server behind our back, and panics in that thread when the
            // process ends first. Streams that somebody holds, and a server that does not answer, are not waited for.
            let shutdown = self.client.clone().shutdown();
            if tokio::time::timeout(LOOSE_ENDS, shutdown.into_future()).await.is_err() {
                let shutdown = self.client.clone().shutdown().immediate(true);
                let _ = tokio::time::timeout(GOODBYE, shutdown.into_future()).await;
            }
        }
    }
}
