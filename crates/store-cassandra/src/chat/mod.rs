//! Chat histories: a row for each message, in partitions of a bounded size.
//!
//! A history is a list of *buckets*. A bucket is a partition of `chat_messages`: its messages by their place (see
//! [`chat_place`](store_core::kit::chat_place)), newest first, and in static columns its *head*: a version, the next place,
//! how full it is, and whether it is closed for appends. The list stands in the session's row of `chat_heads`. A window
//! is one read of the list and one of the newest bucket, from its end.
//!
//! **Changes inside a bucket** (append, insert, remove) are one lightweight transaction of head and rows, under the
//! condition that the head's version is as it was known: whole or not at all, whoever else writes. A process remembers
//! the ends of histories as it left them, so that an append is this one request and reads nothing first, however long
//! the history is.
//!
//! **New buckets** are written where nobody looks, and then put in the list by one lightweight transaction: for the
//! first messages, for a batch that is too great for one request, and where the newest bucket is full. Before that the
//! bucket that was the newest is closed, so that no one who still knows it as such adds to it. `replace` puts new
//! buckets in the place of all others, and `delete` none; then the old partitions are deleted, each by one tombstone. A
//! process that dies on its way leaves buckets that belong to nothing: no reader sees them.
//!
//! **The answer to a transaction may be lost.** Bucket and list have the marks of those who changed them last (see
//! [`transaction`](crate::transaction)), which stay for a while when a bucket is deleted; nothing is made twice.
//!
//! **Sessions** are listed in `chat_sessions`, spread over 16 partitions. That is written when a session gets its first
//! message or loses its last, with timestamps that follow the list's own changes. With a time to live every message
//! renews it.

mod bucket;
mod change;
mod head;
mod read;
mod root;

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _};
use store_core::kit::check;
use store_core::kit::turns::{Remembered, Turns};
use store_core::{BoxStream, ChatMessage, ChatStore, Error, ErrorKind, Result};

use crate::deadline;
use crate::error::at;
use crate::kv_turns::in_time;
use crate::space::Space;
use crate::transaction::Pauses;
use head::End;

/// The most bytes of a session's name, which is part of a partition's key; those have 65,535 at most.
const MAX_SESSION: usize = 65_000;

/// What the handles of a store share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    turns: Turns,
    /// Ends of histories as this process left them.
    ends: Remembered<End>,
}

/// The time that a change may take, and its pauses.
struct Patience(Pauses);

impl Patience {
    fn new(space: &Space) -> Self {
        Self(Pauses::new(space.config.operation_timeout))
    }

    /// Pauses, since another change was quicker; `Conflict` once the time is over.
    async fn pause(&mut self) -> Result<()> {
        if self.0.pause().await {
            return Ok(());
        }
        let message = "others changed the history each time, until the time was over; nothing was changed";
        Err(Error::new(ErrorKind::Conflict, message))
    }
}

/// The chat role.
#[derive(Clone, Debug)]
pub(crate) struct CassandraChatStore {
    space: Arc<Space>,
}

impl CassandraChatStore {
    pub(crate) fn new(space: Arc<Space>) -> Self {
        Self { space }
    }

    /// Makes a change of a session in its turn, and to its end, even if the caller stops waiting: a change that is cut
    /// off between two requests leaves what nobody needs.
    async fn change<T, F>(&self, session: &str, change: impl FnOnce(Self, String) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let (store, name) = (self.clone(), session.to_owned());
        let change = change(self.clone(), name.clone());
        let limit = self.space.config.operation_timeout;
        let in_turn = deadline::within(limit, async move {
            let _turn = in_time(limit, store.space.chats.turns.take(&name)).await?;
            change.await
        });
        tokio::spawn(in_turn).await.unwrap_or_else(|error| {
            let message = format!("the call was cut off as its runtime ended; {}", Error::UNKNOWN_WRITE);
            Err(Error::new(ErrorKind::Unavailable, message).with_retryable(false).with_source(error))
        })
    }
}

/// Names backend, operation and session in an error.
fn named(operation: &'static str, session: &str) -> impl Fn(Error) -> Error {
    move |error| at(operation)(error).with_key(session)
}

fn session_name(session: &str) -> Result<()> {
    check::non_empty("session key", session)?;
    check::within("session key", session, session.len(), MAX_SESSION)
}

#[async_trait]
impl ChatStore for CassandraChatStore {
    async fn messages(&self, key: &str, last: Option<usize>) -> Result<Vec<ChatMessage>> {
        self.messages_of(key, last).await.map_err(named("chat.messages", key))
    }

    async fn append(&self, key: &str, messages: Vec<ChatMessage>) -> Result<()> {
        self.append_to(key, &messages).await.map_err(named("chat.append", key))
    }

    async fn replace(&self, key: &str, messages: Vec<ChatMessage>) -> Result<()> {
        self.replace_by(key, &messages).await.map(drop).map_err(named("chat.replace", key))
    }

    async fn delete(&self, key: &str) -> Result<bool> {
        self.replace_by(key, &[]).await.map_err(named("chat.delete", key))
    }

    async fn remove_at(&self, key: &str, index: i64) -> Result<Option<ChatMessage>> {
        self.remove(key, index).await.map_err(named("chat.remove_at", key))
    }

    async fn insert_at(&self, key: &str, index: i64, message: ChatMessage) -> Result<()> {
        self.insert(key, index, &message).await.map_err(named("chat.insert_at", key))
    }

    async fn pop(&self, key: &str) -> Result<Option<ChatMessage>> {
        self.remove(key, -1).await.map_err(named("chat.pop", key))
    }

    fn keys(&self, after: Option<String>) -> BoxStream<String> {
        self.sessions(after).map_err(at("chat.keys")).boxed()
    }
}
