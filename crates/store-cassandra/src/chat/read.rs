//! Reading histories, and finding messages by their index.

use futures::future::join;
use futures::{FutureExt as _, StreamExt as _, stream};
use store_core::{ChatMessage, Result};

use super::bucket::{Ask, Part, Stored};
use super::head::{Bucket, End, Head, Root, decode};
use super::{CassandraChatStore, Patience, session_name};
use crate::session::Class;

/// Buckets that are read at the same time, where all are needed.
const AT_ONCE: usize = 8;
/// Messages to which the text is read with the places.
const FEW: usize = 16;

/// A message, found by its index.
#[derive(Debug)]
pub(super) struct Spot {
    pub(super) bucket: Bucket,
    pub(super) head: Head,
    pub(super) position: String,
    /// The message, if it was read.
    pub(super) text: Option<String>,
    /// The place of the message before it in its bucket.
    pub(super) before: Option<String>,
    /// Whether its bucket has no other.
    pub(super) only: bool,
}

/// What a reading of a history's buckets came to.
pub(super) enum Seen<T> {
    Found(T),
    /// A bucket of the list is gone: it was replaced, or has expired.
    Gap(T),
}

impl CassandraChatStore {
    pub(super) async fn messages_of(&self, session: &str, last: Option<usize>) -> Result<Vec<ChatMessage>> {
        session_name(session)?;
        if last == Some(0) {
            return Ok(Vec::new());
        }
        let most = last.unwrap_or(usize::MAX);
        let texts = self.steady(session, |root| self.newest(session, root, most)).await?;
        texts.iter().rev().map(|text| decode(text)).collect()
    }

    /// Reads by a history's list, again if the list was another's by then.
    pub(super) async fn steady<'a, T, F>(&'a self, session: &str, read: impl Fn(Root) -> F) -> Result<T>
    where
        F: Future<Output = Result<Seen<T>>> + 'a,
    {
        let mut patience = Patience::new(&self.space);
        let mut root = match self.space.chats.ends.get(session) {
            // In one round trip where the list is remembered: it is looked at beside, in case that it is another by now.
            Some(End { root: known, .. }) => {
                let (now, found) = join(self.root(session, Class::Read), read(known.clone())).await;
                let now = now?;
                if now == known
                    && let Seen::Found(found) = found?
                {
                    return Ok(found);
                }
                now
            }
            None => self.root(session, Class::Read).await?,
        };
        loop {
            let found = match read(root.clone()).await? {
                Seen::Found(found) => return Ok(found),
                Seen::Gap(found) => found,
            };
            let now = self.root(session, Class::Read).await?;
            if now == root {
                return Ok(found);
            }
            root = now;
            patience.pause().await?;
        }
    }

    /// The texts of the newest messages, newest first.
    async fn newest(&self, session: &str, root: Root, most: usize) -> Result<Seen<Vec<String>>> {
        let buckets: Vec<Bucket> = root.alive().rev().cloned().collect();
        let ask = Ask { most, backwards: true, texts: true, head: false };
        // A window that one bucket may hold should not read another for nothing.
        let at_once = if most > super::head::FULL_MESSAGES { AT_ONCE } else { 1 };
        let mut parts = Vec::with_capacity(buckets.len());
        for bucket in &buckets {
            parts.push(self.read_bucket(session, bucket, ask).boxed());
        }
        let mut parts = stream::iter(parts).buffered(at_once);
        let (mut texts, mut gap) = (Vec::new(), false);
        while let Some(Part { there, rows, .. }) = parts.next().await.transpose()? {
            gap |= !there;
            texts.extend(rows.into_iter().filter_map(|row| row.text).take(most - texts.len()));
            if texts.len() >= most {
                break;
            }
        }
        Ok(if gap { Seen::Gap(texts) } else { Seen::Found(texts) })
    }

    /// The message at an index; negative ones count from the end.
    pub(super) async fn spot(&self, session: &str, index: i64) -> Result<Option<Spot>> {
        self.steady(session, |root| self.find(session, root, index)).await
    }

    async fn find(&self, session: &str, root: Root, index: i64) -> Result<Seen<Option<Spot>>> {
        let backwards = index < 0;
        let skip = if backwards { index.unsigned_abs() - 1 } else { index.unsigned_abs() };
        // No history has so many.
        let mut skip = usize::try_from(skip).unwrap_or(usize::MAX).min(usize::MAX - 2);
        let mut buckets: Vec<Bucket> = root.alive().cloned().collect();
        if backwards {
            buckets.reverse();
        }
        let mut gap = false;
        for bucket in buckets {
            let ask = Ask { most: skip + 2, backwards, texts: skip < FEW, head: true };
            let Part { head, rows, .. } = self.read_bucket(session, &bucket, ask).await?;
            let Some(head) = head else {
                gap = true;
                continue;
            };
            if rows.len() <= skip {
                skip -= rows.len();
                continue;
            }
            let only = rows.len() == 1;
            let before =
                if backwards { rows.get(skip + 1) } else { skip.checked_sub(1).and_then(|at| rows.get(at)) };
            let before = before.map(|row| row.position.clone());
            let Some(Stored { position, text }) = rows.into_iter().nth(skip) else { continue };
            let spot = Some(Spot { bucket, head, position, text, before, only });
            return Ok(if gap { Seen::Gap(spot) } else { Seen::Found(spot) });
        }
        Ok(if gap { Seen::Gap(None) } else { Seen::Found(None) })
    }

    /// Whether any message of a list is there.
    pub(super) async fn any(&self, session: &str, root: &Root) -> Result<bool> {
        let ask = Ask { most: 1, backwards: true, texts: false, head: false };
        for bucket in root.alive().collect::<Vec<_>>().into_iter().rev() {
            if !self.read_bucket(session, bucket, ask).await?.rows.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
