//! Changes of histories.

use futures::try_join;
use store_core::kit::chat_place::{after, between, place};
use store_core::{ChatMessage, Error, ErrorKind, Result};

use super::bucket::{Placed, fits, size};
use super::head::{Bucket, End, Head, Root, decode, encode, long};
use super::read::Spot;
use super::{CassandraChatStore, Patience, session_name};
use crate::session::Class;

/// The most digits of a place: some 80,000 inserts in one and the same spot.
const LONGEST: usize = 20_000;

impl CassandraChatStore {
    pub(super) async fn append_to(&self, session: &str, messages: &[ChatMessage]) -> Result<()> {
        session_name(session)?;
        let messages = self.encoded(session, messages)?;
        if messages.is_empty() {
            return Ok(());
        }
        self.change(session, |store, session| async move { store.add(&session, &messages).await }).await
    }

    /// Replaces a history; answers whether there was any message.
    pub(super) async fn replace_by(&self, session: &str, messages: &[ChatMessage]) -> Result<bool> {
        session_name(session)?;
        let messages = self.encoded(session, messages)?;
        self.change(session, |store, session| async move { store.put(&session, &messages).await }).await
    }

    pub(super) async fn remove(&self, session: &str, index: i64) -> Result<Option<ChatMessage>> {
        session_name(session)?;
        self.change(session, move |store, session| async move { store.take(&session, index).await }).await
    }

    pub(super) async fn insert(&self, session: &str, index: i64, message: &ChatMessage) -> Result<()> {
        session_name(session)?;
        let text = encode(session, message, self.space.config.max_value_bytes)?;
        self.change(session, move |store, session| async move { store.put_at(&session, index, text).await })
            .await
    }

    fn encoded(&self, session: &str, messages: &[ChatMessage]) -> Result<Vec<String>> {
        let most = self.space.config.max_value_bytes;
        messages.iter().map(|message| encode(session, message, most)).collect()
    }

    /// The end of a history as it is stored.
    async fn end(&self, session: &str, class: Class) -> Result<End> {
        let root = self.root(session, class).await?;
        let head = match root.buckets.last() {
            Some(bucket) => self.head(session, bucket, class).await?,
            None => None,
        };
        Ok(End { root, head })
    }

    /// Adds at the end.
    async fn add(&self, session: &str, messages: &[String]) -> Result<()> {
        let mut patience = Patience::new(&self.space);
        let mut staged: Option<Vec<(Bucket, Head)>> = None;
        let mut end = match self.space.chats.ends.get(session) {
            Some(end) => end,
            None => self.end(session, Class::Read).await?,
        };
        loop {
            // Whatever becomes of it: a call that fails does not leave an end that may be old.
            self.space.chats.ends.set(session, None);
            let added = if fits(messages)
                && let Some((bucket, head)) = end.open().filter(|(bucket, _)| bucket.takes(self.ttl()))
            {
                let added = self.add_to(session, &end.root, (bucket, head), messages).await?;
                added.map(|head| End { root: end.root.clone(), head: Some(head) })
            } else {
                self.link(session, &end, messages, &mut staged).await?
            };
            if let Some(end) = added {
                self.space.chats.ends.set(session, Some(end));
                let unused = staged.into_iter().flatten().map(|(bucket, _)| bucket);
                self.drop_buckets(session, unused).await;
                return Ok(());
            }
            if let Err(error) = patience.pause().await {
                let unused = staged.into_iter().flatten().map(|(bucket, _)| bucket);
                self.drop_buckets(session, unused).await;
                return Err(error);
            }
            end = self.end(session, Class::SerialRead).await?;
        }
    }

    /// Adds to a bucket, if its head is as it was; answers its new one.
    async fn add_to(
        &self,
        session: &str,
        root: &Root,
        (bucket, head): (&Bucket, &Head),
        messages: &[String],
    ) -> Result<Option<Head>> {
        let mut rows: Placed<'_> = Vec::with_capacity(messages.len());
        for (number, message) in messages.iter().enumerate() {
            rows.push((place(after(head.next, number)?), message));
        }
        let mut new = head.with(long(messages.len()), long(size(messages)));
        new.next = after(head.next, messages.len())?;
        let change = self.change_bucket(session, bucket, (head, new), &rows, None);
        let ((), made) = try_join!(self.renew(session, root), change)?;
        Ok(made)
    }

    /// Adds new buckets, if the end is as it was; answers the new one.
    async fn link(
        &self,
        session: &str,
        end: &End,
        messages: &[String],
        staged: &mut Option<Vec<(Bucket, Head)>>,
    ) -> Result<Option<End>> {
        if staged.is_none() {
            *staged = Some(self.stage(session, messages).await?);
        }
        if let Some((bucket, head)) = end.open()
            && !self.close(session, bucket, head).await?
        {
            return Ok(None);
        }
        let buckets = end.root.alive().cloned();
        let new = staged.iter().flatten().map(|(bucket, _)| bucket.clone());
        let Some(root) = self.swap(session, &end.root, buckets.chain(new).collect()).await? else {
            return Ok(None);
        };
        let head = staged.take().and_then(|mut staged| staged.pop()).map(|(_, head)| head);
        Ok(Some(End { root, head }))
    }

    /// Puts messages in the place of a history; answers whether that had any.
    async fn put(&self, session: &str, messages: &[String]) -> Result<bool> {
        let mut patience = Patience::new(&self.space);
        self.space.chats.ends.set(session, None);
        let mut end = self.end(session, Class::Read).await?;
        if messages.is_empty() && end.root.buckets.is_empty() {
            return Ok(false);
        }
        let staged = self.stage(session, messages).await?;
        let head = staged.last().map(|(_, head)| head.clone());
        let buckets: Vec<Bucket> = staged.into_iter().map(|(bucket, _)| bucket).collect();
        loop {
            if messages.is_empty() && end.root.buckets.is_empty() {
                return Ok(false);
            }
            let closed = match end.open() {
                Some((bucket, head)) => self.close(session, bucket, head).await?,
                None => true,
            };
            let found = messages.is_empty() && self.any(session, &end.root).await?;
            if closed && let Some(root) = self.swap(session, &end.root, buckets.clone()).await? {
                if head.is_some() {
                    self.space.chats.ends.set(session, Some(End { root, head }));
                }
                self.drop_buckets(session, end.root.buckets).await;
                return Ok(found);
            }
            if let Err(error) = patience.pause().await {
                self.drop_buckets(session, buckets).await;
                return Err(error);
            }
            end = self.end(session, Class::SerialRead).await?;
        }
    }

    /// Removes and answers the message at an index.
    async fn take(&self, session: &str, index: i64) -> Result<Option<ChatMessage>> {
        let mut patience = Patience::new(&self.space);
        loop {
            let Some(spot) = self.spot(session, index).await? else { return Ok(None) };
            if let Some(text) = self.take_spot(session, &spot).await? {
                if spot.only {
                    self.unlink(session, &spot.bucket).await?;
                }
                return decode(&text).map(Some);
            }
            patience.pause().await?;
        }
    }

    /// Removes a message, if its bucket is as it was; answers its text. A bucket that holds no other is closed.
    async fn take_spot(&self, session: &str, spot: &Spot) -> Result<Option<String>> {
        let Spot { bucket, head, position, text, only, .. } = spot;
        let text = match text {
            Some(text) => text.clone(),
            None => match self.text_at(session, bucket, position).await? {
                Some(text) => text,
                None => return Ok(None),
            },
        };
        let new = head.with(-1, -long(text.len()));
        let new = Head { closed: head.closed || *only, ..new };
        let remembered = self.space.chats.ends.get(session);
        self.space.chats.ends.set(session, None);
        let made = self.change_bucket(session, bucket, (head, new), &Vec::new(), Some(position)).await?;
        let Some(new) = made else { return Ok(None) };
        self.keep(session, remembered, bucket, (head, new));
        Ok(Some(text))
    }

    /// Remembers the end after a change of a bucket, if it is that bucket's.
    fn keep(&self, session: &str, end: Option<End>, bucket: &Bucket, (old, new): (&Head, Head)) {
        let Some(end) = end else { return };
        let is_last = end.root.buckets.last() == Some(bucket);
        if !is_last || end.head.as_ref() == Some(old) {
            let head = if is_last { Some(new) } else { end.head };
            self.space.chats.ends.set(session, Some(End { root: end.root, head }));
        }
    }

    /// Takes an empty bucket from its history's list.
    async fn unlink(&self, session: &str, bucket: &Bucket) -> Result<()> {
        self.space.chats.ends.set(session, None);
        let mut patience = Patience::new(&self.space);
        let mut class = Class::Read;
        loop {
            let root = self.root(session, class).await?;
            let left: Vec<Bucket> = root.buckets.iter().filter(|other| *other != bucket).cloned().collect();
            if left.len() == root.buckets.len() {
                return Ok(());
            }
            if self.swap(session, &root, left).await?.is_some() {
                self.drop_buckets(session, [bucket.clone()]).await;
                return Ok(());
            }
            class = Class::SerialRead;
            patience.pause().await?;
        }
    }

    /// Puts a message before the one at an index.
    async fn put_at(&self, session: &str, index: i64, text: String) -> Result<()> {
        let messages = [text];
        let mut patience = Patience::new(&self.space);
        loop {
            let mut spot = self.spot(session, index).await?;
            if spot.is_none() && index < 0 {
                // Before the start.
                spot = self.spot(session, 0).await?;
            }
            let Some(spot) = spot else { return self.add(session, &messages).await };
            if self.put_before(session, &spot, &messages).await? {
                return Ok(());
            }
            patience.pause().await?;
        }
    }

    /// Puts a message before another, if its bucket is as it was.
    async fn put_before(&self, session: &str, spot: &Spot, messages: &[String]) -> Result<bool> {
        let Spot { bucket, head, position, before, .. } = spot;
        let free = between(before.as_deref(), position, LONGEST).ok_or_else(|| {
            let message = "there is no place left before the message, after so many inserts there; replace the \
                           history by itself";
            Error::new(ErrorKind::LimitExceeded, message)
        })?;
        let new = head.with(1, long(size(messages)));
        let rows: Placed<'_> = messages.iter().map(|text| (free.clone(), text.as_str())).collect();
        let remembered = self.space.chats.ends.get(session);
        self.space.chats.ends.set(session, None);
        let root = remembered.as_ref().map(|end| end.root.clone()).unwrap_or_default();
        let change = self.change_bucket(session, bucket, (head, new), &rows, None);
        let ((), made) = try_join!(self.renew(session, &root), change)?;
        let Some(new) = made else { return Ok(false) };
        self.keep(session, remembered, bucket, (head, new));
        Ok(true)
    }
}
