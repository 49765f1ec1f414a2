//! Chat histories: one row for each message, `session · position` → JSON.
//!
//! Positions leave gaps, so that appending, inserting and removing write one row whatever the history's length.
//! Only when a gap is used up are the positions of that session spread anew.

use std::sync::Arc;

use async_trait::async_trait;
use store_core::kit::check;
use store_core::{BoxStream, ChatMessage, ChatStore, Error, Result};

use crate::codec::{self, Span};
use crate::engine::{Rows, Table, WriteTable};
use crate::error::at;
use crate::schema::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use crate::space::{Chunk, Handle};

/// Position of a session's first message: in the middle, so that there is room before it.
const FIRST: u64 = 1 << 62;

/// Distance of two messages appended one after the other; 32 inserts fit between them.
const GAP: u64 = 1 << 32;

/// The chat role.
#[derive(Debug)]
pub(crate) struct EmbeddedChatStore {
    handle: Arc<Handle>,
}

impl EmbeddedChatStore {
    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self { handle }
    }

    async fn remove(&self, key: &str, index: i64) -> Result<Option<ChatMessage>> {
        valid_key(key)?;
        let key = key.to_owned();
        let write = self.handle.write(move |tx, tables| {
            let mut chat = tx.table(&tables.chat)?;
            let Some((row, json)) = row_at(&chat, &key, index)? else { return Ok(None) };
            // Read before the removal: a write must not fail once it has changed something.
            let message = decode(&json)?;
            chat.remove(&row)?;
            Ok(Some(message))
        });
        write.await
    }
}

fn valid_key(key: &str) -> Result<()> {
    check::non_empty("session key", key)?;
    check::within("session key", key, key.len(), MAX_KEY_BYTES)
}

fn decode(json: &[u8]) -> Result<ChatMessage> {
    ChatMessage::from_json(codec::object(json)?)
}

fn encode(key: &str, message: &ChatMessage) -> Result<Vec<u8>> {
    let json = codec::to_json(message)?;
    check::within("chat message", key, json.len(), MAX_VALUE_BYTES)?;
    Ok(json)
}

fn encode_all(key: &str, messages: &[ChatMessage]) -> Result<Vec<Vec<u8>>> {
    messages.iter().map(|message| encode(key, message)).collect()
}

/// The rows of a session.
fn session(key: &str) -> Span {
    Span::prefix(&codec::join(key, b""))
}

fn row(key: &str, position: u64) -> Vec<u8> {
    codec::join(key, &position.to_be_bytes())
}

fn position(row: &[u8]) -> Result<u64> {
    Ok(codec::take_u64(codec::split(row)?.1)?.0)
}

/// The row at an index, negative ones from the end, found from the nearer known end.
fn row_at(chat: &impl Table, key: &str, index: i64) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
    let mut rows = chat.range(&session(key))?;
    let found = match usize::try_from(index) {
        Ok(index) => rows.nth(index),
        Err(_) => match usize::try_from(index.unsigned_abs() - 1) {
            Ok(index) => rows.nth_back(index),
            Err(_) => None,
        },
    };
    found.map(|row| row.map(|(row, json)| (row.value().to_vec(), json.value().to_vec()))).transpose()
}

/// The position of a session's last message.
fn last_position(chat: &impl Table, key: &str) -> Result<Option<u64>> {
    let last = chat.range(&session(key))?.next_back().transpose()?;
    last.map(|(row, _)| position(row.value())).transpose()
}

fn append(chat: &mut WriteTable<'_>, key: &str, messages: &[Vec<u8>]) -> Result<()> {
    let mut last = last_position(chat, key)?;
    if last.is_some_and(|last| last > u64::MAX / 2) {
        respace(chat, key)?;
        last = last_position(chat, key)?;
    }
    let mut next = last.map_or(FIRST, |last| last + GAP);
    for message in messages {
        chat.insert(&row(key, next), message)?;
        next += GAP;
    }
    Ok(())
}

/// A free position before the row at `index` (0 is the front), or `None` when that gap is used up.
fn free_before(chat: &impl Table, key: &str, index: i64) -> Result<Option<u64>> {
    let mut rows = chat.range(&session(key))?;
    let (before, at) = neighbours(&mut rows, index)?;
    Ok(match (before, at) {
        (None, None) => Some(FIRST),
        (Some(before), None) => before.checked_add(GAP),
        (None, Some(at)) => at.checked_sub(GAP),
        (Some(before), Some(at)) => Some(before + (at - before) / 2).filter(|free| *free > before),
    })
}

/// The positions of the messages between which an insert at `index` belongs.
fn neighbours(rows: &mut Rows<'_>, index: i64) -> Result<(Option<u64>, Option<u64>)> {
    let place = |row: Option<<Rows<'_> as Iterator>::Item>| match row {
        Some(row) => position(row?.0.value()).map(Some),
        None => Ok(None),
    };
    if index < 0 {
        // One row from the end is the last one: the insert goes before it.
        let steps = usize::try_from(index.unsigned_abs() - 1).unwrap_or(usize::MAX);
        let mut first = None;
        for _ in 0..=steps {
            match place(rows.next_back())? {
                Some(position) => first = Some(position),
                None => return Ok((None, first)),
            }
        }
        return Ok((place(rows.next_back())?, first));
    }
    let mut before = None;
    let steps = usize::try_from(index).unwrap_or(usize::MAX);
    for _ in 0..steps {
        match place(rows.next())? {
            Some(position) => before = Some(position),
            None => return Ok((before, None)),
        }
    }
    Ok((before, place(rows.next())?))
}

/// Spreads a session's positions anew.
fn respace(chat: &mut WriteTable<'_>, key: &str) -> Result<()> {
    let messages = chat
        .range(&session(key))?
        .map(|row| row.map(|(_, json)| json.value().to_vec()))
        .collect::<Result<Vec<_>>>()?;
    chat.remove_span(&session(key))?;
    append(chat, key, &messages)
}

fn insert(chat: &mut WriteTable<'_>, key: &str, index: i64, message: &[u8]) -> Result<()> {
    let mut free = free_before(chat, key, index)?;
    if free.is_none() {
        respace(chat, key)?;
        free = free_before(chat, key, index)?;
    }
    let free =
        free.ok_or_else(|| Error::corrupt("a chat history has no room for a message").with_key(key))?;
    chat.insert(&row(key, free), message)?;
    Ok(())
}

#[async_trait]
impl ChatStore for EmbeddedChatStore {
    async fn messages(&self, key: &str, last: Option<usize>) -> Result<Vec<ChatMessage>> {
        valid_key(key).map_err(at("chat.messages"))?;
        let key = key.to_owned();
        let read = self.handle.read(move |tx, tables| {
            let chat = tx.table(&tables.chat)?;
            let rows = chat.range(&session(&key))?.rev().take(last.unwrap_or(usize::MAX));
            let mut messages = rows.map(|row| decode(row?.1.value())).collect::<Result<Vec<_>>>()?;
            messages.reverse();
            Ok(messages)
        });
        read.await.map_err(at("chat.messages"))
    }

    async fn append(&self, key: &str, messages: Vec<ChatMessage>) -> Result<()> {
        let messages = valid_key(key).and_then(|()| encode_all(key, &messages)).map_err(at("chat.append"))?;
        if messages.is_empty() {
            return Ok(());
        }
        let key = key.to_owned();
        let write =
            self.handle.write(move |tx, tables| append(&mut tx.table(&tables.chat)?, &key, &messages));
        write.await.map_err(at("chat.append"))
    }

    async fn replace(&self, key: &str, messages: Vec<ChatMessage>) -> Result<()> {
        let messages =
            valid_key(key).and_then(|()| encode_all(key, &messages)).map_err(at("chat.replace"))?;
        let key = key.to_owned();
        let write = self.handle.write(move |tx, tables| {
            let mut chat = tx.table(&tables.chat)?;
            chat.remove_span(&session(&key))?;
            append(&mut chat, &key, &messages)
        });
        write.await.map_err(at("chat.replace"))
    }

    async fn delete(&self, key: &str) -> Result<bool> {
        valid_key(key).map_err(at("chat.delete"))?;
        let key = key.to_owned();
        let write =
            self.handle.write(move |tx, tables| Ok(tx.table(&tables.chat)?.remove_span(&session(&key))? > 0));
        write.await.map_err(at("chat.delete"))
    }

    async fn remove_at(&self, key: &str, index: i64) -> Result<Option<ChatMessage>> {
        self.remove(key, index).await.map_err(at("chat.remove_at"))
    }

    async fn insert_at(&self, key: &str, index: i64, message: ChatMessage) -> Result<()> {
        let message = valid_key(key).and_then(|()| encode(key, &message)).map_err(at("chat.insert_at"))?;
        let key = key.to_owned();
        let write =
            self.handle.write(move |tx, tables| insert(&mut tx.table(&tables.chat)?, &key, index, &message));
        write.await.map_err(at("chat.insert_at"))
    }

    async fn pop(&self, key: &str) -> Result<Option<ChatMessage>> {
        self.remove(key, -1).await.map_err(at("chat.pop"))
    }

    fn keys(&self, after: Option<String>) -> BoxStream<String> {
        self.handle.stream("chat.keys", move |tx, tables, next| {
            let chat = tx.table(&tables.chat)?;
            // From one session straight to the next: a long history costs no more than a short one.
            let mut last = match next {
                Some(next) => Some(codec::text(next)?.to_owned()),
                None => after.clone(),
            };
            let sessions = std::iter::from_fn(|| {
                let span = last.as_deref().map_or_else(Span::all, Span::past);
                let first = chat.range(&span).and_then(|mut rows| rows.next().transpose()).transpose()?;
                Some(first.and_then(|(row, _)| {
                    let key = codec::split(row.value())?.0.into_owned();
                    last = Some(key.clone());
                    Ok((key.clone().into_bytes(), key.len(), key))
                }))
            });
            Chunk::fill(sessions)
        })
    }
}

#[cfg(test)]
#[path = "chat_tests.rs"]
mod tests;
