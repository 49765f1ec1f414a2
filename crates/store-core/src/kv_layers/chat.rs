//! Chat histories over any key-value store, for backends without a layout of their own.

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, future};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::named;
use crate::kit::check;
use crate::{
    BoxStream, ChatMessage, ChatStore, Error, ErrorKind, JsonObject, KvStore, KvStoreExt, PutOptions, Result,
    ScanOptions, Update,
};

/// Messages that a header holds before they move into a segment of their own.
const SEGMENT: usize = 64;

/// How often a call that meets other writers on one session begins again before it answers `Conflict`.
const ROUNDS: usize = 64;

/// A chat store over any key-value store.
///
/// Each session is one header, changed atomically: the newest messages themselves, and the names of segments
/// of 64 messages that hold the older ones and are never changed once written. So an append costs the same
/// however long the history is, a window reads only the segments it needs, and every change is seen whole or
/// not at all. A layout of our own: LlamaIndex has none for plain key-value stores.
#[derive(Clone, Debug)]
pub struct KvChatStore<K> {
    kv: K,
    backend: Option<&'static str>,
    headers: String,
    segments: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Header {
    /// Key and length of each segment, oldest first.
    segments: Vec<(String, usize)>,
    /// The newest messages.
    tail: Vec<Value>,
}

impl Header {
    fn read(stored: Option<&JsonObject>) -> Result<Self> {
        let Some(stored) = stored else { return Ok(Self::default()) };
        Self::deserialize(stored)
            // Its error may show what is stored.
            .map_err(|_| Error::corrupt("the session's header can not be read"))
    }

    fn update(&self) -> Result<Update> {
        if self.len() == 0 {
            return Ok(Update::Delete);
        }
        match serde_json::to_value(self) {
            Ok(Value::Object(object)) => Ok(Update::Put(object)),
            _ => Err(Error::new(ErrorKind::Other, "the session's header can not be written")),
        }
    }

    fn sealed(&self) -> usize {
        self.segments.iter().map(|(_, len)| len).sum()
    }

    fn len(&self) -> usize {
        self.sealed() + self.tail.len()
    }

    /// Where the message at `position` is: a segment and a place in it, or a place in the tail.
    fn locate(&self, position: usize) -> (Option<&str>, usize) {
        let mut place = position;
        for (key, len) in &self.segments {
            if place < *len {
                return (Some(key), place);
            }
            place -= len;
        }
        (None, place)
    }
}

/// What a change does at one position of a history.
enum Edit<'a> {
    Remove(i64),
    Insert(i64, &'a Value),
}

/// What an edit found out while it held the header.
enum Step {
    /// Nothing to change, or changed in the header itself; the message removed, if one was.
    Done(Option<Value>),
    /// The message lies in this segment, at this place.
    InSegment(String, usize),
}

impl<K: KvStore> KvChatStore<K> {
    /// In the collections `chat_store/sessions` and `chat_store/segments`.
    #[must_use]
    pub fn new(kv: K) -> Self {
        Self {
            kv,
            backend: None,
            headers: "chat_store/sessions".into(),
            segments: "chat_store/segments".into(),
        }
    }

    /// Names the backend in this layer's own errors; the key-value store names itself in its own.
    #[must_use]
    pub fn with_backend(mut self, backend: &'static str) -> Self {
        self.backend = Some(backend);
        self
    }

    async fn change<T: Send>(
        &self,
        key: &str,
        mut change: impl FnMut(&mut Header) -> T + Send,
    ) -> Result<(Header, T)> {
        let mut answer = None;
        let apply = |old: Option<&JsonObject>| {
            let mut header = Header::read(old)?;
            let before = header.clone();
            answer = Some(change(&mut header));
            if header == before { Ok(Update::Keep) } else { header.update() }
        };
        let after = self.kv.update(&self.headers, key, apply).await?;
        let answer =
            answer.ok_or_else(|| Error::new(ErrorKind::Other, "the store did not run the update"))?;
        Ok((Header::read(after.as_ref())?, answer))
    }

    /// Writes messages as segments, and answers their names and lengths.
    async fn write_segments(&self, messages: &[Value]) -> Result<Vec<(String, usize)>> {
        let mut names = Vec::new();
        let mut entries = Vec::new();
        for messages in messages.chunks(SEGMENT) {
            let name = Uuid::new_v4().to_string();
            let mut segment = JsonObject::new();
            segment.insert("messages".into(), Value::Array(messages.to_vec()));
            entries.push((name.clone(), segment));
            names.push((name, messages.len()));
        }
        if !entries.is_empty() {
            self.kv.put_many(&self.segments, entries, PutOptions::default()).await?;
        }
        Ok(names)
    }

    async fn drop_segments(&self, segments: &[(String, usize)]) -> Result<()> {
        let keys: Vec<&str> = segments.iter().map(|(key, _)| key.as_str()).collect();
        if !keys.is_empty() {
            self.kv.delete_many(&self.segments, &keys).await?;
        }
        Ok(())
    }

    /// The messages of these segments in order; `None` when one of them is gone, which means that the header
    /// has changed meanwhile.
    async fn read_segments(&self, keys: &[&str]) -> Result<Option<Vec<Vec<Value>>>> {
        if keys.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let stored = self.kv.get_many(&self.segments, keys).await?;
        let messages =
            |segment: Option<JsonObject>| match segment.and_then(|mut segment| segment.remove("messages")) {
                Some(Value::Array(messages)) => Some(messages),
                _ => None,
            };
        Ok(stored.into_iter().map(messages).collect())
    }

    /// Moves the oldest messages of a long tail into segments.
    async fn seal(&self, key: &str, header: Header) -> Result<()> {
        let moved = header.tail.get(..whole_segments(header.tail.len())).unwrap_or_default();
        if moved.is_empty() {
            return Ok(());
        }
        let names = self.write_segments(moved).await?;
        let (_, sealed) = self
            .change(key, |now| {
                let same = now.segments == header.segments && now.tail.starts_with(moved);
                if same {
                    now.tail.drain(..moved.len());
                    now.segments.extend(names.iter().cloned());
                }
                same
            })
            .await?;
        // Otherwise another writer was faster; the next append looks again.
        if sealed { Ok(()) } else { self.drop_segments(&names).await }
    }

    async fn edit(&self, key: &str, edit: Edit<'_>) -> Result<Option<Value>> {
        for _ in 0..ROUNDS {
            let (header, step) = self.change(key, |header| edit_header(header, &edit)).await?;
            let (segment, place) = match step {
                Step::Done(message) => {
                    self.seal(key, header).await?;
                    return Ok(message);
                }
                Step::InSegment(segment, place) => (segment, place),
            };
            let Some(mut messages) = self.read_segments(&[&segment]).await?.and_then(|mut read| read.pop())
            else {
                continue;
            };
            let removed = match &edit {
                Edit::Remove(_) if place < messages.len() => Some(messages.remove(place)),
                Edit::Insert(_, message) if place <= messages.len() => {
                    messages.insert(place, (*message).clone());
                    None
                }
                _ => {
                    return Err(
                        Error::corrupt("a segment holds fewer messages than its header says").with_key(key)
                    );
                }
            };
            let fresh = self.write_segments(&messages).await?;
            let (_, replaced) = self
                .change(key, |header| {
                    let Some(at) = header.segments.iter().position(|(name, _)| *name == segment) else {
                        return false;
                    };
                    header.segments.splice(at..=at, fresh.clone());
                    true
                })
                .await?;
            self.drop_segments(&if replaced { vec![(segment, 0)] } else { fresh }).await?;
            if replaced {
                return Ok(removed);
            }
        }
        Err(Error::new(ErrorKind::Conflict, "other writers kept changing the session").with_key(key))
    }

    async fn read(&self, key: &str, last: Option<usize>) -> Result<Vec<ChatMessage>> {
        for _ in 0..ROUNDS {
            let stored = self.kv.get(&self.headers, key).await?;
            let mut header = Header::read(stored.as_ref())?;
            let wanted = last.unwrap_or(usize::MAX).min(header.len());
            let mut found = header.tail.len();
            let mut keys = Vec::new();
            for (segment, len) in header.segments.iter().rev() {
                if found >= wanted {
                    break;
                }
                keys.push(segment.as_str());
                found += len;
            }
            keys.reverse();
            let Some(segments) = self.read_segments(&keys).await? else { continue };
            let mut messages: Vec<Value> = segments.into_iter().flatten().collect();
            messages.append(&mut header.tail);
            messages.drain(..messages.len().saturating_sub(wanted));
            return messages.into_iter().map(message).collect();
        }
        Err(Error::new(ErrorKind::Conflict, "other writers kept changing the session").with_key(key))
    }
}

/// How many of a tail's messages move into segments: whole segments, as long as one more stays.
fn whole_segments(tail: usize) -> usize {
    (tail / SEGMENT).saturating_sub(1) * SEGMENT
}

fn edit_header(header: &mut Header, edit: &Edit<'_>) -> Step {
    let len = header.len();
    let position = match edit {
        Edit::Remove(index) => match resolve(*index, len) {
            Some(position) if position < len => position,
            _ => return Step::Done(None),
        },
        Edit::Insert(index, _) => resolve(*index, len).unwrap_or(0).min(len),
    };
    match (header.locate(position), edit) {
        ((Some(segment), place), _) => Step::InSegment(segment.to_owned(), place),
        ((None, place), Edit::Remove(_)) => Step::Done(Some(header.tail.remove(place))),
        ((None, place), Edit::Insert(_, message)) => {
            header.tail.insert(place.min(header.tail.len()), (*message).clone());
            Step::Done(None)
        }
    }
}

/// A position from the start; negative counts from the end, `None` below the start.
fn resolve(index: i64, len: usize) -> Option<usize> {
    match usize::try_from(index) {
        Ok(position) => Some(position),
        Err(_) => len.checked_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX)),
    }
}

fn message(stored: Value) -> Result<ChatMessage> {
    match stored {
        Value::Object(object) => ChatMessage::from_json(object),
        _ => Err(Error::corrupt("the stored chat message is no JSON object")),
    }
}

fn stored(messages: Vec<ChatMessage>) -> Vec<Value> {
    messages.into_iter().map(|message| Value::Object(message.to_json())).collect()
}

fn session(key: &str) -> Result<()> {
    check::non_empty("session key", key)
}

#[async_trait]
impl<K: KvStore> ChatStore for KvChatStore<K> {
    async fn messages(&self, key: &str, last: Option<usize>) -> Result<Vec<ChatMessage>> {
        let read = async {
            session(key)?;
            self.read(key, last).await
        };
        read.await.map_err(|error| named(error, self.backend, "chat.messages"))
    }

    async fn append(&self, key: &str, messages: Vec<ChatMessage>) -> Result<()> {
        let append = async {
            session(key)?;
            if messages.is_empty() {
                return Ok(());
            }
            let messages = stored(messages);
            let (header, ()) =
                self.change(key, |header| header.tail.extend(messages.iter().cloned())).await?;
            self.seal(key, header).await
        };
        append.await.map_err(|error| named(error, self.backend, "chat.append"))
    }

    async fn replace(&self, key: &str, messages: Vec<ChatMessage>) -> Result<()> {
        let replace = async {
            session(key)?;
            let mut tail = stored(messages);
            let segments =
                self.write_segments(tail.get(..whole_segments(tail.len())).unwrap_or_default()).await?;
            tail.drain(..whole_segments(tail.len()));
            let fresh = Header { segments, tail };
            let (_, old) = self.change(key, |header| std::mem::replace(header, fresh.clone())).await?;
            self.drop_segments(&old.segments).await
        };
        replace.await.map_err(|error: Error| named(error, self.backend, "chat.replace"))
    }

    async fn delete(&self, key: &str) -> Result<bool> {
        let delete = async {
            session(key)?;
            let (_, old) = self.change(key, std::mem::take).await?;
            self.drop_segments(&old.segments).await?;
            Ok(old.len() > 0)
        };
        delete.await.map_err(|error: Error| named(error, self.backend, "chat.delete"))
    }

    async fn remove_at(&self, key: &str, index: i64) -> Result<Option<ChatMessage>> {
        let remove = async {
            session(key)?;
            self.edit(key, Edit::Remove(index)).await?.map(message).transpose()
        };
        remove.await.map_err(|error| named(error, self.backend, "chat.remove_at"))
    }

    async fn insert_at(&self, key: &str, index: i64, message: ChatMessage) -> Result<()> {
        let insert = async {
            session(key)?;
            let message = Value::Object(message.to_json());
            self.edit(key, Edit::Insert(index, &message)).await?;
            Ok(())
        };
        insert.await.map_err(|error: Error| named(error, self.backend, "chat.insert_at"))
    }

    async fn pop(&self, key: &str) -> Result<Option<ChatMessage>> {
        let pop = async {
            session(key)?;
            self.edit(key, Edit::Remove(-1)).await?.map(message).transpose()
        };
        pop.await.map_err(|error| named(error, self.backend, "chat.pop"))
    }

    fn keys(&self, after: Option<String>) -> BoxStream<String> {
        let headers = self.kv.scan(&self.headers, ScanOptions { after, ..ScanOptions::default() });
        headers.and_then(|(key, _)| future::ready(Ok(key))).boxed()
    }
}
