//! Chat histories, in the layout of LlamaIndex's Python package: a list for each session, a message of compact JSON in
//! each of its places.
//!
//! The key is the session's own name, after the prefix; in a namespace it is `NAMESPACE:chat:SESSION`, where no other
//! role has keys. Without a namespace a session may meet another's key: a key that holds no list is refused, and is
//! neither changed nor deleted.
//!
//! Every change is one command or one script (see [`scripts`]), so that a batch is there whole or not at all, in its
//! order. A message that can not be read is not removed: a removal reads the message first and takes it if it still
//! stands there.

mod scripts;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use fred::types::Value;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value as Json;
use store_core::kit::check;
use store_core::python::parse_json;
use store_core::{BoxStream, ChatMessage, ChatStore, Error, ErrorKind, Result};

use crate::driver::{Cmd, bytes, integer, items, unexpected};
use crate::error::{at, server_says};
use crate::keys::{Keys, keys};
use crate::kv::MAX_BYTES;
use crate::schema::{self, begins_with};
use crate::script::Script;
use crate::space::Space;
use crate::time_to_live::millis;

/// The most messages of one call; a command takes some more words.
const MAX_MESSAGES: usize = 1_000_000;
/// How often a removal that meets others looks again before it answers `Conflict`.
const ROUNDS: usize = 1_000;

/// The chat role.
#[derive(Clone, Debug)]
pub(crate) struct RedisChatStore {
    space: Arc<Space>,
}

impl RedisChatStore {
    pub(crate) fn new(space: Arc<Space>) -> Self {
        Self { space }
    }

    fn list(&self, session: &str) -> Result<Bytes> {
        check::non_empty("session key", session)?;
        check::within("session key", session, session.len(), MAX_BYTES)?;
        schema::chat(&self.space.config, session).map(Bytes::from)
    }

    /// How long a session is kept after a write, as scripts are told; 0 is for ever.
    fn ttl(&self) -> Bytes {
        Bytes::from(self.space.config.chat_ttl.map_or(0, millis).to_string())
    }

    async fn run(&self, script: &Script, list: Bytes, args: Vec<Bytes>) -> Result<Value> {
        self.space.script(script, [list], args).await
    }

    async fn read(&self, session: &str, newest: Option<usize>) -> Result<Vec<ChatMessage>> {
        let list = self.list(session)?;
        let first = match newest {
            Some(0) => return Ok(Vec::new()),
            Some(count) => i64::try_from(count).map_or(0, |count| -count),
            None => 0,
        };
        let found = self.space.call(Cmd::read("LRANGE", list).arg(first).arg(-1)).await?;
        let stored = items(found);
        let count = stored.len();
        let message = |(place, stored): (usize, Value)| match bytes(stored) {
            Some(stored) => decode(&stored, &format!("{} before the end", count - place)),
            None => Err(Error::corrupt("the server answers LRANGE with what is no text")),
        };
        stored.into_iter().enumerate().map(message).collect()
    }

    async fn push(&self, session: &str, messages: &[ChatMessage]) -> Result<()> {
        let list = self.list(session)?;
        let messages = encode(session, messages)?;
        if messages.is_empty() {
            return Ok(());
        }
        if self.space.config.chat_ttl.is_none() {
            return self.space.call(Cmd::write("RPUSH", list).args(messages)).await.map(drop);
        }
        let args = std::iter::once(self.ttl()).chain(messages).collect();
        self.run(&scripts::APPEND, list, args).await.map(drop)
    }

    async fn set(&self, session: &str, messages: &[ChatMessage]) -> Result<()> {
        let list = self.list(session)?;
        let args = std::iter::once(self.ttl()).chain(encode(session, messages)?).collect();
        self.run(&scripts::REPLACE, list, args).await.map(drop)
    }

    async fn remove_all(&self, session: &str) -> Result<bool> {
        let deleted = self.run(&scripts::DELETE, self.list(session)?, Vec::new()).await?;
        integer(&deleted).map(|deleted| deleted > 0).ok_or_else(|| unexpected("a script", &deleted))
    }

    async fn remove(&self, session: &str, index: i64) -> Result<Option<ChatMessage>> {
        let list = self.list(session)?;
        let place = || Bytes::from(index.to_string());
        let mut found = self.space.call(Cmd::read("LINDEX", list.clone()).arg(index).at_primary()).await?;
        for _ in 0..ROUNDS {
            let Some(stored) = bytes(found) else { return Ok(None) };
            let message = decode(&stored, &format!("at {index}"))?;
            let args = vec![self.ttl(), place(), stored, marker()];
            found = self.run(&scripts::REMOVE, list.clone(), args).await?;
            if matches!(found, Value::Integer(_)) {
                return Ok(Some(message));
            }
            // Another was quicker, and this is what stands there now.
        }
        let message = format!("others changed the history each of the {ROUNDS} times it was read");
        Err(Error::new(ErrorKind::Conflict, message))
    }

    async fn insert(&self, session: &str, index: i64, message: ChatMessage) -> Result<()> {
        let list = self.list(session)?;
        let mut args = vec![self.ttl(), Bytes::from(index.to_string()), marker()];
        args.extend(encode(session, &[message])?);
        self.run(&scripts::INSERT, list, args).await.map(drop)
    }

    /// The names of all sessions after this one, in order. Only their names are held.
    async fn sessions(&self, after: Option<&str>) -> Result<Vec<String>> {
        let prefix = schema::chat_prefix(&self.space.config);
        let lists = Keys { pattern: begins_with(&prefix), kind: Some("list") };
        let mut found = keys(&self.space, lists);
        let mut sessions = Vec::new();
        while let Some(part) = found.try_next().await? {
            for key in part {
                let key = std::str::from_utf8(&key).ok().and_then(|key| key.strip_prefix(&prefix));
                let Some(session) = key.filter(|session| !session.is_empty()) else { continue };
                let listed = schema::chat(&self.space.config, session).is_ok();
                if listed && after.is_none_or(|after| session > after) {
                    sessions.push(session.to_owned());
                }
            }
        }
        // SCAN may give a key twice.
        sessions.sort_unstable();
        sessions.dedup();
        Ok(sessions)
    }
}

fn encode(session: &str, messages: &[ChatMessage]) -> Result<Vec<Bytes>> {
    if messages.len() > MAX_MESSAGES {
        let message = format!(
            "{} messages in one call, the limit is {MAX_MESSAGES}; nothing was written",
            messages.len()
        );
        return Err(Error::new(ErrorKind::LimitExceeded, message));
    }
    let mut total = 0;
    let mut encoded = Vec::with_capacity(messages.len());
    for message in messages {
        let text = serde_json::to_vec(message).map_err(|error| {
            Error::invalid_input("the message can not be written as JSON").with_source(error)
        })?;
        total += text.len();
        check::within("sum of the messages of one call", session, total, MAX_BYTES)?;
        encoded.push(Bytes::from(text));
    }
    Ok(encoded)
}

fn decode(stored: &[u8], place: &str) -> Result<ChatMessage> {
    let damaged = |why: &str| Error::corrupt(format!("the stored message {place} can not be read: {why}"));
    let text = std::str::from_utf8(stored).map_err(|_| damaged("it is no UTF-8"))?;
    match parse_json(text).map_err(|error| damaged(error.message()).with_source(error))? {
        Json::Object(json) => {
            ChatMessage::from_json(json).map_err(|error| damaged(error.message()).with_source(error))
        }
        _ => Err(damaged("it is no JSON object")),
    }
}

/// What stands in a message's place for a moment: no JSON, so it is no message, and no other's marker.
fn marker() -> Bytes {
    Bytes::from(format!("nodestore {:032x}", fastrand::u128(..)))
}

/// Names backend, operation and session in an error.
fn named(operation: &'static str, session: &str) -> impl Fn(Error) -> Error {
    move |error| {
        let error = if server_says(&error, "WRONGTYPE") {
            let message = "the key holds no list, so it is no chat, and is left as it is; choose another name for the \
                           session, or open the store with store.namespace";
            Error::invalid_input(message).with_source(error)
        } else {
            error
        };
        at(operation)(error).with_key(session)
    }
}

#[async_trait]
impl ChatStore for RedisChatStore {
    async fn messages(&self, key: &str, last: Option<usize>) -> Result<Vec<ChatMessage>> {
        self.read(key, last).await.map_err(named("chat.messages", key))
    }

    async fn append(&self, key: &str, messages: Vec<ChatMessage>) -> Result<()> {
        self.push(key, &messages).await.map_err(named("chat.append", key))
    }

    async fn replace(&self, key: &str, messages: Vec<ChatMessage>) -> Result<()> {
        self.set(key, &messages).await.map_err(named("chat.replace", key))
    }

    async fn delete(&self, key: &str) -> Result<bool> {
        self.remove_all(key).await.map_err(named("chat.delete", key))
    }

    async fn remove_at(&self, key: &str, index: i64) -> Result<Option<ChatMessage>> {
        self.remove(key, index).await.map_err(named("chat.remove_at", key))
    }

    async fn insert_at(&self, key: &str, index: i64, message: ChatMessage) -> Result<()> {
        self.insert(key, index, message).await.map_err(named("chat.insert_at", key))
    }

    async fn pop(&self, key: &str) -> Result<Option<ChatMessage>> {
        self.remove(key, -1).await.map_err(named("chat.pop", key))
    }

    fn keys(&self, after: Option<String>) -> BoxStream<String> {
        let store = self.clone();
        let listed = async move {
            let sessions = store.sessions(after.as_deref()).await?;
            Ok(stream::iter(sessions).map(move |session| {
                store.space.driver()?;
                Ok(session)
            }))
        };
        stream::once(listed).try_flatten().map_err(at("chat.keys")).boxed()
    }
}
