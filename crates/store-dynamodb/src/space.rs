//! What a backend and all its roles share: the client, the settings, the tables.

use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use store_core::{ErrorKind, Result};

use crate::attempts;
use crate::chat;
use crate::config::DynamoDbConfig;
use crate::error::{closed, from_driver};
use crate::schema;
use crate::tables::Tables;
use crate::vector::Memories;

/// One store of an account and region.
#[derive(Debug)]
pub(crate) struct Space {
    client: Client,
    pub(crate) config: DynamoDbConfig,
    /// The table of all roles but vectors.
    pub(crate) main: String,
    /// What is known of the tables.
    pub(crate) tables: Tables,
    /// What the handles of the chat role share.
    pub(crate) chats: chat::Shared,
    /// What is known of the vector sets.
    pub(crate) vectors: Memories,
    closed: AtomicBool,
}

impl Space {
    pub(crate) fn new(client: Client, config: DynamoDbConfig) -> Result<Self> {
        config.validate()?;
        let main = schema::main_table(&config).unwrap_or_default();
        Ok(Self {
            client,
            config,
            main,
            tables: Tables::default(),
            chats: chat::Shared::default(),
            vectors: Memories::default(),
            closed: AtomicBool::new(false),
        })
    }

    /// The client; `Unavailable` once closed.
    pub(crate) fn client(&self) -> Result<&Client> {
        if self.closed.load(Ordering::Acquire) { Err(closed()) } else { Ok(&self.client) }
    }

    /// Waits for the driver, as long as the configuration allows.
    pub(crate) fn call<T, E>(
        &self,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> impl Future<Output = Result<T>>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let call = self.try_call(call);
        async move {
            let answer = call.await?.map_err(from_driver);
            // Another may have dropped the namespace.
            if answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
                self.tables.doubt();
            }
            answer
        }
    }

    /// As [`call`](Self::call), with the driver's own error for those who read it closer.
    pub(crate) fn try_call<T, E>(
        &self,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> impl Future<Output = Result<Result<T, SdkError<E, HttpResponse>>>> {
        // The driver's futures are of 20 KB; on the heap at once, ours do not become as large.
        let call = Box::pin(call);
        async move {
            self.client()?;
            let limit = self.config.operation_timeout;
            attempts::until(attempts::deadline(limit), limit, call).await
        }
    }

    /// Lets go of the client. Calls in flight may yet finish, streams end with `Unavailable` at their next item.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}
