//! Chat histories in the layout of LlamaIndex's Python package: an item for each session.
//!
//! `{SessionId: S, History: L of M, TTL: N}`, where the first is the table's partition key, whatever its name, and the
//! last the second at which the chat expires, if it does. Messages are native maps, members and numbers as Python
//! writes them; what DynamoDB does not keep of one (the order of its extras, floats that are whole) stands in a member
//! `_nodestore` beside them, which Python passes over. Bytes are texts of base64: Python can not read back the binary
//! values that it writes itself, which are read here.
//!
//! Every change is one request, and made once, since the service knows a request that is repeated (it is a transaction
//! of one item): an append is added to the list by the server; what depends on what is there is written under the
//! condition that this is so still. Python reads and writes the whole item without a condition, and may undo what
//! others write meanwhile.
//!
//! An item takes 400 KB at most, and each change is charged by the size of the whole. Listing the sessions reads the
//! whole table.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;
use store_core::kit::check;
use store_core::{BoxStream, ChatMessage, ChatStore, Error, ErrorKind, JsonObject, Result};

use super::{named, seconds};
use crate::batch::Backoff;
use crate::codec::{Item, MAX_ITEM_BYTES, from_map, in_plain_order, item_size, to_map};
use crate::error::at;
use crate::schema::{self, CHAT_EXPIRES, CHAT_HISTORY};
use crate::space::Space;
use crate::tables::{self, Keys};
use crate::transaction::{Committed, Condition, commit, conflict, delete, put, update};

/// The most bytes of a session's name, which is a partition key.
const MAX_SESSION: usize = 2_048;
/// Members of messages and their blocks whose own members are free, so that their order tells something.
const FREE: [&str; 4] =
    ["additional_kwargs", "additional_information", "additional_location_info", "tool_kwargs"];

/// There is no item, or it expired, or it has no history.
const NOTHING: &str = "attribute_not_exists(#h) OR #t <= :now";

/// The chat role in LlamaIndex's layout.
#[derive(Clone, Debug)]
pub(crate) struct PythonChatStore {
    space: Arc<Space>,
    table: String,
}

/// A history as it is stored; not empty.
type History = Vec<AttributeValue>;

impl PythonChatStore {
    pub(crate) fn new(space: Arc<Space>) -> Self {
        let table = schema::chat_table(&space.config, &space.main);
        Self { space, table }
    }

    async fn table_keys(&self) -> Result<Keys> {
        tables::chats(&self.space, &self.table).await
    }

    fn key(keys: &Keys, session: &str) -> Item {
        [(keys.partition.clone(), AttributeValue::S(session.to_owned()))].into()
    }

    fn expires(&self) -> Option<AttributeValue> {
        let ttl = i64::try_from(self.space.config.chat_ttl?.as_secs()).unwrap_or(i64::MAX);
        Some(AttributeValue::N(seconds().saturating_add(ttl).to_string()))
    }

    /// The whole item; refused if it is too large.
    fn item(&self, keys: &Keys, session: &str, history: History) -> Result<Item> {
        let mut item = Self::key(keys, session);
        item.insert(CHAT_HISTORY.to_owned(), AttributeValue::L(history));
        item.extend(self.expires().map(|expires| (CHAT_EXPIRES.to_owned(), expires)));
        let size = item_size(&item);
        if size > MAX_ITEM_BYTES { Err(too_large(session, &format!("{size} bytes"))) } else { Ok(item) }
    }

    /// The history that is stored, unless it is empty or expired.
    async fn stored(&self, session: &str, consistent: bool) -> Result<Option<History>> {
        let keys = self.table_keys().await?;
        let get = self.space.client()?.get_item().table_name(&self.table);
        let get = get.set_key(Some(Self::key(&keys, session))).consistent_read(consistent);
        let Some(mut item) = self.space.call(get.send()).await?.item else { return Ok(None) };
        let expires = item.get(CHAT_EXPIRES).and_then(|expires| expires.as_n().ok());
        let expires = expires.and_then(|expires| expires.parse::<f64>().ok());
        #[expect(clippy::cast_precision_loss, reason = "seconds are far below 2^53")]
        if expires.is_some_and(|expires| expires <= seconds() as f64) {
            return Ok(None);
        }
        match item.remove(CHAT_HISTORY) {
            Some(AttributeValue::L(history)) => Ok(Some(history).filter(|history| !history.is_empty())),
            None | Some(AttributeValue::Null(_)) => Ok(None),
            Some(_) => Err(Error::corrupt(format!("the stored {CHAT_HISTORY} is no list of messages"))),
        }
    }

    /// What is stored is this history still.
    fn unchanged(history: &History) -> Condition {
        Condition::default()
            .with("#h = :old")
            .named("#h", CHAT_HISTORY)
            .valued(":old", AttributeValue::L(history.clone()))
            .quietly()
    }

    fn nothing() -> Condition {
        Condition::default()
            .with(NOTHING)
            .named("#h", CHAT_HISTORY)
            .named("#t", CHAT_EXPIRES)
            .valued(":now", AttributeValue::N(seconds().to_string()))
            .quietly()
    }

    /// Makes a change; whether its condition held.
    async fn change(&self, session: &str, change: TransactWriteItem) -> Result<bool> {
        match commit(&self.space, vec![change]).await {
            Ok(Committed::Yes) => Ok(true),
            Ok(Committed::No(_)) => Ok(false),
            Err(error) if error.kind() == ErrorKind::LimitExceeded => {
                Err(too_large(session, "more").with_source(error))
            }
            Err(error) => Err(error),
        }
    }

    async fn read(&self, session: &str, last: Option<usize>) -> Result<Vec<ChatMessage>> {
        session_name(session)?;
        if last == Some(0) {
            return Ok(Vec::new());
        }
        let history = self.stored(session, self.space.config.consistent_reads).await?.unwrap_or_default();
        let first = last.map_or(0, |last| history.len().saturating_sub(last));
        history.into_iter().enumerate().skip(first).map(|(place, stored)| decode(place, stored)).collect()
    }

    async fn add(&self, session: &str, messages: &[ChatMessage]) -> Result<()> {
        session_name(session)?;
        let history: History = messages.iter().map(encode).collect::<Result<_>>()?;
        if history.is_empty() {
            return Ok(());
        }
        let keys = self.table_keys().await?;
        let item = self.item(&keys, session, history.clone())?;
        let mut backoff = Backoff::new(self.space.config.operation_timeout);
        loop {
            let after = Condition::default()
                .with("attribute_type(#h, :list) AND (attribute_not_exists(#t) OR #t > :now)")
                .named("#h", CHAT_HISTORY)
                .named("#t", CHAT_EXPIRES)
                .valued(":list", AttributeValue::S("L".to_owned()))
                .valued(":now", AttributeValue::N(seconds().to_string()))
                .valued(":new", AttributeValue::L(history.clone()))
                .quietly();
            let (change, after) = self.lasting("SET #h = list_append(#h, :new)", after);
            let key = Self::key(&keys, session);
            if self.change(session, update(&self.table, key, &change, after)?).await? {
                return Ok(());
            }
            if self.change(session, put(&self.table, item.clone(), Some(Self::nothing()))?).await? {
                return Ok(());
            }
            // Where it is a list now, another came between; what is no list is refused.
            self.stored(session, true).await?;
            if !backoff.pause(false).await {
                return Err(conflict(&self.space));
            }
        }
    }

    /// An update that also says when the chat expires: after the configured time, or never.
    fn lasting(&self, change: &str, condition: Condition) -> (String, Condition) {
        match self.expires() {
            Some(expires) => {
                let joint = if change.starts_with("SET") { "," } else { " SET" };
                (format!("{change}{joint} #t = :expires"), condition.valued(":expires", expires))
            }
            None if change.starts_with("REMOVE") => (format!("{change}, #t"), condition),
            None => (format!("{change} REMOVE #t"), condition),
        }
    }

    async fn set(&self, session: &str, messages: &[ChatMessage]) -> Result<()> {
        session_name(session)?;
        let history: History = messages.iter().map(encode).collect::<Result<_>>()?;
        let keys = self.table_keys().await?;
        let change = if history.is_empty() {
            delete(&self.table, Self::key(&keys, session), None)?
        } else {
            put(&self.table, self.item(&keys, session, history)?, None)?
        };
        self.change(session, change).await.map(drop)
    }

    async fn delete_all(&self, session: &str) -> Result<bool> {
        session_name(session)?;
        let keys = self.table_keys().await?;
        let there = Condition::default().with("attribute_exists(#p)").named("#p", &keys.partition).quietly();
        let any = match self.stored(session, true).await {
            Ok(history) => history.is_some(),
            // What is no history goes too.
            Err(error) if error.kind() == ErrorKind::Corrupt => true,
            Err(error) => return Err(error),
        };
        let change = delete(&self.table, Self::key(&keys, session), Some(there))?;
        Ok(self.change(session, change).await? && any)
    }

    async fn remove(&self, session: &str, index: i64) -> Result<Option<ChatMessage>> {
        session_name(session)?;
        let keys = self.table_keys().await?;
        let mut backoff = Backoff::new(self.space.config.operation_timeout);
        loop {
            let Some(history) = self.stored(session, true).await? else { return Ok(None) };
            let Some(place) = place(index, history.len()).filter(|place| *place < history.len()) else {
                return Ok(None);
            };
            let Some(stored) = history.get(place).cloned() else { return Ok(None) };
            // One that can not be read stays.
            let message = decode(place, stored)?;
            let (key, condition) = (Self::key(&keys, session), Self::unchanged(&history));
            let change = if history.len() == 1 {
                delete(&self.table, key, Some(condition))?
            } else {
                let (change, condition) = self.lasting(&format!("REMOVE #h[{place}]"), condition);
                update(&self.table, key, &change, condition.named("#t", CHAT_EXPIRES))?
            };
            if self.change(session, change).await? {
                return Ok(Some(message));
            }
            if !backoff.pause(false).await {
                return Err(conflict(&self.space));
            }
        }
    }

    async fn insert(&self, session: &str, index: i64, message: ChatMessage) -> Result<()> {
        session_name(session)?;
        let new = encode(&message)?;
        let keys = self.table_keys().await?;
        let mut backoff = Backoff::new(self.space.config.operation_timeout);
        loop {
            let Some(mut history) = self.stored(session, true).await? else {
                return self.add(session, &[message]).await;
            };
            let place = place(index, history.len()).unwrap_or(0);
            if place >= history.len() {
                return self.add(session, &[message]).await;
            }
            let condition = Self::unchanged(&history);
            history.insert(place, new.clone());
            let item = self.item(&keys, session, history)?;
            if self.change(session, put(&self.table, item, Some(condition))?).await? {
                return Ok(());
            }
            if !backoff.pause(false).await {
                return Err(conflict(&self.space));
            }
        }
    }

    /// The sessions that have messages, in the order in which the service keeps their hashes.
    fn sessions(&self, after: Option<String>) -> impl futures::Stream<Item = Result<String>> + use<> {
        let (store, after) = (self.clone(), after.filter(|after| !after.is_empty()));
        let pages = stream::try_unfold(Some(None), move |state: Option<Option<Item>>| {
            let (store, after) = (store.clone(), after.clone());
            async move {
                let Some(start) = state else { return Ok(None) };
                let keys = store.table_keys().await?;
                let start = start.or_else(|| after.map(|after| Self::key(&keys, &after)));
                let scan = store
                    .space
                    .client()?
                    .scan()
                    .table_name(&store.table)
                    .projection_expression("#p")
                    .filter_expression("size(#h) > :none AND (attribute_not_exists(#t) OR #t > :now)")
                    .expression_attribute_names("#p", &keys.partition)
                    .expression_attribute_names("#h", CHAT_HISTORY)
                    .expression_attribute_names("#t", CHAT_EXPIRES)
                    .expression_attribute_values(":none", AttributeValue::N("0".to_owned()))
                    .expression_attribute_values(":now", AttributeValue::N(seconds().to_string()))
                    .consistent_read(store.space.config.consistent_reads)
                    .set_exclusive_start_key(start);
                let answer = store.space.call(scan.send()).await?;
                let name = |mut item: Item| match item.remove(&keys.partition) {
                    Some(AttributeValue::S(name)) => Some(Ok(name)),
                    _ => None,
                };
                let names: Vec<Result<String>> =
                    answer.items.into_iter().flatten().filter_map(name).collect();
                Ok::<_, Error>(Some((stream::iter(names), answer.last_evaluated_key.map(Some))))
            }
        });
        pages.try_flatten()
    }
}

fn session_name(session: &str) -> Result<()> {
    check::non_empty("session key", session)?;
    check::within("session key", session, session.len(), MAX_SESSION)
}

/// A place from the front; negative counts from the end, `None` before the front.
fn place(index: i64, length: usize) -> Option<usize> {
    match usize::try_from(index) {
        Ok(place) => Some(place),
        Err(_) => length.checked_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX)),
    }
}

fn too_large(session: &str, size: &str) -> Error {
    let message = format!(
        "the chat would take {size}, and LlamaIndex's layout keeps a chat in one item of {MAX_ITEM_BYTES} bytes at most; \
         nothing was written: remove its oldest messages, or open the store without store.chat_layout=llamaindex, where \
         chats may be of any length"
    );
    Error::new(ErrorKind::LimitExceeded, message).with_key(session).with_failed([session])
}

fn encode(message: &ChatMessage) -> Result<AttributeValue> {
    to_map(ordered(message.to_json())).map(AttributeValue::M)
}

/// The members of messages and blocks in the order that they have when nothing says otherwise, since theirs tells
/// nothing.
fn ordered(object: JsonObject) -> JsonObject {
    let order = |(name, value): (String, Value)| {
        let value = if FREE.contains(&name.as_str()) { value } else { ordered_value(value) };
        (name, value)
    };
    in_plain_order(object.into_iter().map(order).collect())
}

fn ordered_value(value: Value) -> Value {
    match value {
        Value::Object(object) => Value::Object(ordered(object)),
        Value::Array(items) => Value::Array(items.into_iter().map(ordered_value).collect()),
        value => value,
    }
}

fn decode(place: usize, stored: AttributeValue) -> Result<ChatMessage> {
    let damaged = |why: &str| Error::corrupt(format!("the stored message {place} can not be read: {why}"));
    let AttributeValue::M(mut map) = stored else { return Err(damaged("it is no map")) };
    for name in ["blocks", "content"] {
        if let Some(blocks) = map.get_mut(name) {
            base64_as_text(blocks);
        }
    }
    ChatMessage::from_json(from_map(map)).map_err(|error| damaged(error.message()).with_source(error))
}

/// Python writes bytes as binary values of base64 text.
fn base64_as_text(value: &mut AttributeValue) {
    match value {
        AttributeValue::B(bytes) => {
            if let Ok(text) = std::str::from_utf8(bytes.as_ref()) {
                *value = AttributeValue::S(text.to_owned());
            }
        }
        AttributeValue::L(items) => items.iter_mut().for_each(base64_as_text),
        AttributeValue::M(members) => members.values_mut().for_each(base64_as_text),
        _ => {}
    }
}

#[async_trait]
impl ChatStore for PythonChatStore {
    async fn messages(&self, key: &str, last: Option<usize>) -> Result<Vec<ChatMessage>> {
        self.read(key, last).await.map_err(named("chat.messages", key))
    }

    async fn append(&self, key: &str, messages: Vec<ChatMessage>) -> Result<()> {
        self.add(key, &messages).await.map_err(named("chat.append", key))
    }

    async fn replace(&self, key: &str, messages: Vec<ChatMessage>) -> Result<()> {
        self.set(key, &messages).await.map_err(named("chat.replace", key))
    }

    async fn delete(&self, key: &str) -> Result<bool> {
        self.delete_all(key).await.map_err(named("chat.delete", key))
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
        self.sessions(after).map_err(at("chat.keys")).boxed()
    }
}
