//! Chat histories.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, future, stream};

use super::part::{Both, Page, Part, Side, json, pages};
use crate::{BoxStream, ChatMessage, ChatStore, Result};

/// Histories in a page, and asked for at the same time.
const CHATS: usize = 16;

type Chat = (String, Vec<ChatMessage>);

/// Chat histories, each read and written as a whole.
#[derive(Debug)]
pub(super) struct Chats(pub(super) Both<dyn ChatStore>);

async fn read(store: Arc<dyn ChatStore>, key: String) -> Result<Chat> {
    let messages = store.messages(&key, None).await?;
    Ok((key, messages))
}

#[async_trait]
impl Part for Chats {
    type Record = Chat;

    fn name(&self) -> &'static str {
        "chats"
    }

    fn pages(&self, side: Side, after: Option<String>) -> BoxStream<Page<Chat>> {
        let store = Arc::clone(self.0.of(side));
        let keys = store.keys(after);
        let chats = keys.map_ok(move |key| read(Arc::clone(&store), key)).try_buffered(CHATS);
        pages::<Self>(Box::pin(chats), CHATS)
    }

    async fn write(&self, chats: Vec<Chat>) -> Result<()> {
        let replace = |(key, messages): Chat| {
            let to = Arc::clone(&self.0.to);
            async move { to.replace(&key, messages).await }
        };
        let all: Vec<_> = chats.into_iter().map(replace).collect();
        future::try_join_all(all).await?;
        Ok(())
    }

    async fn find(&self, chats: &[Chat]) -> Result<Vec<Option<Chat>>> {
        let asked: Vec<_> = chats.iter().map(|(key, _)| read(Arc::clone(&self.0.to), key.clone())).collect();
        let found: Vec<Chat> = stream::iter(asked).buffered(CHATS).try_collect().await?;
        Ok(found.into_iter().map(|chat| (!chat.1.is_empty()).then_some(chat)).collect())
    }

    async fn count(&self, side: Side) -> Result<usize> {
        self.0.of(side).keys(None).try_fold(0, async |sum, _| Ok(sum + 1)).await
    }

    fn key((key, _): &Chat) -> &str {
        key
    }

    fn content((_, messages): &Chat) -> Result<Vec<u8>> {
        json(&messages.iter().map(ChatMessage::to_json).collect::<Vec<_>>())
    }

    fn bytes((_, messages): &Chat) -> usize {
        messages.iter().map(|message| message.text().map_or(0, |text| text.len())).sum()
    }
}
