//! Chat histories: ordered messages by session key.

use async_trait::async_trait;

use crate::{BoxStream, ChatMessage, Result};

/// A store of chat histories.
///
/// Keys are non-empty text of any characters. Many writers lose and double nothing, all readers see one order,
/// and a writer that waits for its answers keeps its own order. A bad message refuses the whole call.
#[async_trait]
pub trait ChatStore: std::fmt::Debug + Send + Sync + 'static {
    /// The history, oldest first; with `last`, only the newest so many. An unknown key is empty.
    async fn messages(&self, key: &str, last: Option<usize>) -> Result<Vec<ChatMessage>>;

    /// Adds messages at the end, in order, all or none.
    async fn append(&self, key: &str, messages: Vec<ChatMessage>) -> Result<()>;

    /// Replaces the whole history atomically: a reader sees the old or the new one. Empty = delete.
    async fn replace(&self, key: &str, messages: Vec<ChatMessage>) -> Result<()>;

    /// Removes the history; answers whether there was any message.
    async fn delete(&self, key: &str) -> Result<bool>;

    /// Removes and answers the message at `index`; negative counts from the end (−1 the last). Out of range:
    /// `None`, no change.
    async fn remove_at(&self, key: &str, index: i64) -> Result<Option<ChatMessage>>;

    /// Inserts before the message at `index`; at or past the length appends, negative counts from the end
    /// (−1 = before the last), below the start = at the front.
    async fn insert_at(&self, key: &str, index: i64, message: ChatMessage) -> Result<()>;

    /// Removes and answers the last message.
    async fn pop(&self, key: &str) -> Result<Option<ChatMessage>>;

    /// The keys of the histories that have messages, after `after`, each once, in an order that is a function
    /// of the key alone.
    fn keys(&self, after: Option<String>) -> BoxStream<String>;
}
