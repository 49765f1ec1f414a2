//! Chats with a fault.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use store_core::{BoxStream, ChatMessage, ChatStore, Result};

use super::{Fault, pause};

#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) inner: Arc<dyn ChatStore>,
    pub(crate) fault: Fault,
}

#[async_trait]
impl ChatStore for Faulty {
    async fn messages(&self, key: &str, last: Option<usize>) -> Result<Vec<ChatMessage>> {
        self.inner.messages(key, last).await
    }

    async fn append(&self, key: &str, mut messages: Vec<ChatMessage>) -> Result<()> {
        match self.fault {
            Fault::AppendReadsThenReplaces => {
                let mut all = self.inner.messages(key, None).await?;
                pause().await;
                all.extend(messages);
                self.inner.replace(key, all).await
            }
            Fault::AppendCutsBatches => {
                messages.truncate(100);
                self.inner.append(key, messages).await
            }
            Fault::AppendGoesOneByOne => {
                for message in messages {
                    self.inner.append(key, vec![message]).await?;
                    pause().await;
                }
                Ok(())
            }
            _ => self.inner.append(key, messages).await,
        }
    }

    async fn replace(&self, key: &str, messages: Vec<ChatMessage>) -> Result<()> {
        if self.fault != Fault::ReplaceDeletesThenAppends {
            return self.inner.replace(key, messages).await;
        }
        self.inner.delete(key).await?;
        pause().await;
        self.inner.append(key, messages).await
    }

    async fn delete(&self, key: &str) -> Result<bool> {
        self.inner.delete(key).await
    }

    async fn remove_at(&self, key: &str, index: i64) -> Result<Option<ChatMessage>> {
        let removed = self.inner.remove_at(key, index).await?;
        if self.fault == Fault::RemoveReversesTheRest && removed.is_some() {
            let mut rest = self.inner.messages(key, None).await?;
            rest.reverse();
            self.inner.replace(key, rest).await?;
        }
        Ok(removed)
    }

    async fn insert_at(&self, key: &str, index: i64, message: ChatMessage) -> Result<()> {
        let index = if self.fault == Fault::InsertIgnoresNegativePositions { index.max(0) } else { index };
        self.inner.insert_at(key, index, message).await
    }

    async fn pop(&self, key: &str) -> Result<Option<ChatMessage>> {
        self.inner.pop(key).await
    }

    fn keys(&self, after: Option<String>) -> BoxStream<String> {
        if self.fault != Fault::KeysOfEmptyHistories {
            return self.inner.keys(after);
        }
        // As if each key that a case may have emptied were still listed.
        let seen: BTreeSet<String> = ["deleted", "popped"].into_iter().map(str::to_owned).collect();
        Box::pin(self.inner.keys(after).chain(stream::iter(seen.into_iter().map(Ok))))
    }
}
