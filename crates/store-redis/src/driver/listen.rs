//! Connections beside the pool: for what blocks, and for what is published.

use std::time::Duration;

use bytes::Bytes;
use fred::clients::{Client, Pool};
use fred::interfaces::{ClientLike as _, EventInterface as _, PubsubInterface as _};
use fred::prelude::Server;
use fred::types::Message;
use store_core::Result;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use super::{Driver, Task, connected, keep};
use crate::error::{from_driver, not_connected};

/// What a listener hears.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A message, and its channel.
    Message { channel: String, payload: Bytes },
    /// So many messages came faster than they were taken.
    Missed(u64),
    /// The connection was lost and made again; nothing is subscribed.
    Reconnected,
    /// There is no connection any more.
    Closed,
}

/// A connection of its own for subscriptions.
pub(crate) struct Listener {
    client: Client,
    keeper: JoinHandle<()>,
    messages: Receiver<Message>,
    reconnected: Receiver<Server>,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

impl Driver {
    /// One connection of our own, made as the pool's are: for commands that block.
    pub(crate) async fn own_connection(&self, connect_limit: Duration) -> Result<Self> {
        let like = self.pool.next();
        let pool = Pool::new(
            like.client_config(),
            Some(like.perf_config()),
            Some(like.connection_config().clone()),
            like.client_reconnect_policy(),
            1,
        );
        Self::connect(pool.map_err(from_driver)?, connect_limit, self.limit, false).await
    }

    /// A connection for subscriptions, that keeps so many messages until they are taken.
    pub(crate) async fn listener(&self, connect_limit: Duration, buffer: usize) -> Result<Listener> {
        let like = self.pool.next();
        let mut performance = like.perf_config();
        performance.broadcast_channel_capacity = buffer;
        let connection = like.connection_config().clone();
        let policy = like.client_reconnect_policy();
        let client = Client::new(like.client_config(), Some(performance), Some(connection), policy);
        let messages = client.message_rx();
        let task = Task::of(&client);
        let ready = tokio::time::timeout(connect_limit, connected(&client)).await;
        ready
            .map_err(|_| not_connected(connect_limit, like.client_config().uses_tls()))?
            .map_err(from_driver)?;
        // Asked for only now, as the driver tells of the first connection too.
        let reconnected = client.reconnect_rx();
        // Ends with the listener.
        let keeper = tokio::spawn(keep(client.clone(), task));
        Ok(Listener { client, keeper, messages, reconnected })
    }
}

impl Listener {
    /// Asks for channels and patterns. The driver does not wait for the server's answer.
    pub(crate) async fn subscribe(&self, channels: &[String], patterns: &[String]) -> Result<()> {
        if !channels.is_empty() {
            self.client.subscribe(channels.to_vec()).await.map_err(from_driver)?;
        }
        if !patterns.is_empty() {
            self.client.psubscribe(patterns.to_vec()).await.map_err(from_driver)?;
        }
        Ok(())
    }

    /// Waits for what comes next; may be dropped without a loss.
    pub(crate) async fn next(&mut self) -> Heard {
        tokio::select! {
            biased;
            server = self.reconnected.recv() => match server {
                Ok(_) | Err(RecvError::Lagged(_)) => Heard::Reconnected,
                Err(RecvError::Closed) => Heard::Closed,
            },
            message = self.messages.recv() => match message {
                Ok(message) => Heard::Message {
                    channel: message.channel.to_string(),
                    payload: super::bytes(message.value).unwrap_or_default(),
                },
                Err(RecvError::Lagged(count)) => Heard::Missed(count),
                Err(RecvError::Closed) => Heard::Closed,
            },
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The keeper would keep the connection for ever.
        self.keeper.abort();
    }
}
