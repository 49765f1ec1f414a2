//! Chat histories, in LlamaIndex's layout: one document for each message in the collection `sessions`.
//!
//! `{_id, session_id, index, message, created_at}`; a history is in the order of `index`, then `_id`, since Python's
//! racing appends may give two messages one index. Appends count on from the greatest index, as Python's do. Python
//! moves all later messages down when one is removed; we leave the gap, and an insert shares the index of the
//! message that it stands before (see [`place`]), so that either writes one document whatever the history's length.
//!
//! **Changes are transactions**, so that a batch is there whole or not at all, `replace` is atomic, and an attempt
//! whose answer was lost is never made twice. Each one first writes the session's *head*: a document in a collection
//! of our own, which makes two changes of one history conflict, whatever process they come from. It lies apart from
//! `sessions`, where Python would see it, and from our settings, because there is one for each session that was
//! lately written to. It also knows the index that the last append of ours wrote. An append reads the history's end
//! at the same time and outside the transaction, and looks closer only if the two differ, as after an append of
//! Python's. A head that is lost costs one more look, no more: the server removes it after an hour.
//!
//! **Time to live**: the server removes a message some time after its hour; a store that was opened with one does not
//! see it from that hour on, whoever wrote it. Only appends still count on from an expired end, so that no index is
//! given twice.
//!
//! Reads take one snapshot that a majority holds, as long as they may be. A standalone server has neither
//! transactions nor snapshots: there the same steps are made one by one, by one process at a time.

mod message;
mod place;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bson::raw::RawDocumentBuf;
use bson::{Bson, DateTime, Document, doc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use mongodb::options::{IndexOptions, ReadConcern, WriteConcern};
use mongodb::{Collection, IndexModel};
use store_core::kit::check;
use store_core::{BoxStream, ChatMessage, ChatStore, Error, Result};

use crate::error::{at, code};
use crate::space::Space;
use crate::transaction;

/// How long a head is kept.
const HEAD_SECONDS: u64 = 3_600;
/// No history is longer; what a server skips must fit 64 bits together with other numbers.
const FURTHEST: u64 = 1 << 40;
/// The server's codes for an index that is there with other options or under another name.
const OTHER_OPTIONS: [i32; 2] = [85, 86];

/// In [`Space::known`]: the indexes are there.
const PREPARED: &str = "chat indexes";

/// The chat role.
#[derive(Clone, Debug)]
pub(crate) struct MongoChatStore {
    space: Arc<Space>,
}

impl MongoChatStore {
    pub(crate) fn new(space: Arc<Space>) -> Self {
        Self { space }
    }

    fn sessions(&self) -> Result<Collection<RawDocumentBuf>> {
        Ok(self.space.chat_database()?.collection(&self.space.config.chat_collection))
    }

    fn heads(&self) -> Result<Collection<RawDocumentBuf>> {
        let name = format!("nodestore.{}", self.space.config.chat_collection);
        Ok(self.space.chat_database()?.collection(&name))
    }

    /// Matches the messages of a session that are there for readers.
    fn visible(&self, session: impl Into<Bson>) -> Document {
        let mut visible = doc! {"session_id": session.into()};
        // As the server does: a message without a date never expires.
        visible
            .extend(self.expired().map(|expired| ("created_at".to_owned(), doc! {"$not": expired}.into())));
        visible
    }

    /// What `created_at` of an expired message is; `None` where messages stay.
    fn expired(&self) -> Option<Document> {
        let ttl =
            i64::try_from(self.space.config.chat_ttl?.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000);
        let limit = DateTime::now().timestamp_millis().saturating_sub(ttl);
        Some(doc! {"$lte": DateTime::from_millis(limit)})
    }

    /// Makes the indexes at the first use, and answers whether the server has transactions.
    async fn prepare(&self) -> Result<bool> {
        let known = &self.space.known;
        if !known.has(PREPARED) {
            self.make_indexes().await?;
            known.set(PREPARED, true);
        }
        transaction::supported(&self.space).await
    }

    async fn make_indexes(&self) -> Result<()> {
        if !self.space.config.create {
            return Ok(());
        }
        let index = |keys, options| IndexModel::builder().keys(keys).options(options).build();
        let expiry = |name: &str, seconds| {
            let options = IndexOptions::builder().name(name.to_owned());
            options.expire_after(Duration::from_secs(seconds)).build()
        };
        let (sessions, heads) = (self.sessions()?, self.heads()?);
        let order = index(doc! {"session_id": 1, "index": 1, "_id": 1}, IndexOptions::default());
        let old = index(doc! {"since": 1}, expiry("since_1", HEAD_SECONDS));
        for made in [
            self.space.call(sessions.create_index(order)).await,
            self.space.call(heads.create_index(old)).await,
        ] {
            match made {
                Err(error) if code(&error).is_some_and(|code| OTHER_OPTIONS.contains(&code)) => {}
                made => drop(made?),
            }
        }
        if let Some(ttl) = self.space.config.chat_ttl {
            let model = index(doc! {"created_at": 1}, expiry("created_at_1", ttl.as_secs()));
            let made = self.space.call(sessions.create_index(model)).await;
            made.map_err(|error| match code(&error) {
                Some(code) if OTHER_OPTIONS.contains(&code) => {
                    let name = sessions.name();
                    let message = format!(
                        "messages shall be kept for {} s, but {name:?} has an index on created_at that says otherwise; \
                         what exists is never altered: set the same time, or change or drop that index",
                        ttl.as_secs()
                    );
                    Error::config(message).with_collection(name).with_source(error)
                }
                _ => error,
            })?;
        }
        Ok(())
    }

    async fn read(&self, key: &str, last: Option<usize>) -> Result<Vec<ChatMessage>> {
        check::non_empty("session key", key)?;
        if last == Some(0) {
            return Ok(Vec::new());
        }
        let transactions = self.prepare().await?;
        let sessions = self.sessions()?;
        let fields = doc! {"message": 1};
        let mut find = sessions.find(self.visible(key)).projection(fields).sort(steps::BACKWARDS.clone());
        // One answer holds as much as 16 MB.
        find = find.batch_size(u32::try_from(i32::MAX).unwrap_or(u32::MAX));
        if let Some(last) = last.and_then(|last| i64::try_from(last).ok()) {
            find = find.limit(last);
        }
        if transactions {
            find = find.read_concern(ReadConcern::snapshot());
        }
        let mut cursor = self.space.call(find).await?;
        let mut messages = Vec::new();
        while self.space.call(cursor.advance()).await? {
            messages.push(message::decode(key, cursor.current())?);
        }
        messages.reverse();
        Ok(messages)
    }

    /// Removes the message at an index. No head is taken: a removal is one atomic write, and appends look for the end
    /// themselves.
    async fn remove(&self, key: &str, index: i64) -> Result<Option<ChatMessage>> {
        check::non_empty("session key", key)?;
        self.prepare().await?;
        let sessions = self.sessions()?;
        loop {
            let (sort, skip) = steps::at(index);
            let find =
                sessions.find_one(self.visible(key)).sort(sort).skip(skip).selection_criteria(steps::PRIMARY);
            let Some(document) = self.space.call(find).await? else { return Ok(None) };
            // Read before the removal: what can not be read is not removed.
            let removed = message::decode(key, &document)?;
            let id = document.get("_id").map_err(crate::codec::damaged)?;
            let Some(id) = id.and_then(|id| bson::Bson::try_from(id).ok()) else { return Ok(None) };
            let delete = sessions.delete_one(doc! {"_id": id}).write_concern(WriteConcern::majority());
            if self.space.call(delete).await?.deleted_count > 0 {
                return Ok(Some(removed));
            }
            // Another took it in between: what stands there now?
        }
    }

    fn stream_keys(self, after: Option<String>) -> BoxStream<String> {
        let opened = async move {
            self.prepare().await?;
            let past = doc! {"$match": self.visible(doc! {"$gt": after.unwrap_or_default()})};
            let pipeline = [past, doc! {"$group": {"_id": "$session_id"}}, doc! {"$sort": {"_id": 1}}];
            let sessions = self.sessions()?;
            let cursor = self.space.call(sessions.aggregate(pipeline).allow_disk_use(true)).await?;
            Ok(stream::try_unfold((self.space, cursor), |(space, mut cursor)| async move {
                space.client()?;
                let Some(group) = space.call(cursor.try_next()).await? else { return Ok(None) };
                let key = group
                    .get_str("_id")
                    .map_err(|error| Error::corrupt("a session's key is no text").with_source(error))?;
                Ok(Some((key.to_owned(), (space, cursor))))
            }))
        };
        stream::once(opened).try_flatten().map_err(at("chat.keys")).boxed()
    }
}

#[async_trait]
impl ChatStore for MongoChatStore {
    async fn messages(&self, key: &str, last: Option<usize>) -> Result<Vec<ChatMessage>> {
        self.read(key, last).await.map_err(at("chat.messages"))
    }

    async fn append(&self, key: &str, messages: Vec<ChatMessage>) -> Result<()> {
        self.change(key, messages, steps::Step::Append).await.map(drop).map_err(at("chat.append"))
    }

    async fn replace(&self, key: &str, messages: Vec<ChatMessage>) -> Result<()> {
        self.change(key, messages, steps::Step::Replace).await.map(drop).map_err(at("chat.replace"))
    }

    async fn delete(&self, key: &str) -> Result<bool> {
        self.change(key, Vec::new(), steps::Step::Replace).await.map_err(at("chat.delete"))
    }

    async fn remove_at(&self, key: &str, index: i64) -> Result<Option<ChatMessage>> {
        self.remove(key, index).await.map_err(at("chat.remove_at"))
    }

    async fn insert_at(&self, key: &str, index: i64, message: ChatMessage) -> Result<()> {
        let step = steps::Step::Insert(index);
        self.change(key, vec![message], step).await.map(drop).map_err(at("chat.insert_at"))
    }

    async fn pop(&self, key: &str) -> Result<Option<ChatMessage>> {
        self.remove(key, -1).await.map_err(at("chat.pop"))
    }

    fn keys(&self, after: Option<String>) -> BoxStream<String> {
        self.clone().stream_keys(after)
    }
}
