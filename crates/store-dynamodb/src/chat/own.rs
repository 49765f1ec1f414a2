//! Chat histories in our own layout: an item for each message.
//!
//! The partition of a session holds its *head* (one item, which every change writes under the condition that it is as
//! it was read) and the messages under sort keys in their order (see [`place`](super::place)), after the name of the
//! history's *generation*. A window is one query from the end, which meets the head first. A batch that is greater
//! than a transaction is written apart, as a *run*, and then takes one place.
//!
//! **Changes are transactions** of head and messages: whole or not at all, and made once, since the service knows a
//! request that is repeated. `replace` begins a new generation: the head changes over to it in one write. What it
//! replaced is deleted afterwards. A process that dies in between leaves items that belong to nothing: no reader looks
//! at them, and a `replace` or `delete` of the session a day later, or the table's time to live, removes them.
//!
//! **Reads** that take more than one request look at the head again at their end, and begin anew if a message was
//! inserted or removed meanwhile, or the history replaced; what was appended meanwhile is left out.
//!
//! **Sessions** that have messages are listed in a partition of their own, which is written only when a session gets
//! its first message or loses its last: what every message writes is in the session's partition, so that no partition
//! is every session's. (With a time to live the listing is written with every message.)

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::TransactWriteItem;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::kit::check;
use store_core::kit::turns::{Remembered, Turns};
use store_core::{BoxStream, ChatMessage, ChatStore, Error, Result};

use super::item::{
    Encoded, Entry, Head, LISTING, MAX_SESSION, Run, expires, head_key, key, listed, listing_key, partition,
    slot, sort_of,
};
use super::place::{self, between, place};
use super::read::{Ask, Found};
use super::{named, seconds};
use crate::batch::Backoff;
use crate::codec::Item;
use crate::error::at;
use crate::query::{self, Part};
use crate::space::Space;
use crate::tables::{self, Keys};
use crate::transaction::{Committed, Condition, MAX_BYTES, MAX_ITEMS, commit, conflict, delete, put};

/// Messages that are put in one transaction, with the head and the listing.
const MOST: usize = MAX_ITEMS - 2;

/// How often a reading that meets changes begins anew before it takes what it read.
const ROUNDS: u32 = 16;
/// What is removed with the texts, since they are needed soon.
const FEW: usize = 16;

/// What the handles of a store share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    turns: Turns,
    /// Heads as this process left them, so that an append need not read one first.
    heads: Remembered<Head>,
}

/// The chat role in our own layout.
#[derive(Clone, Debug)]
pub(crate) struct OwnChatStore {
    pub(super) space: Arc<Space>,
}

/// Where a message is, or comes to.
enum Spot {
    At(Entry),
    /// Past the end.
    End,
}

impl OwnChatStore {
    pub(crate) fn new(space: Arc<Space>) -> Self {
        Self { space }
    }

    pub(super) async fn table_keys(&self) -> Result<Keys> {
        tables::main(&self.space).await
    }

    fn expires(&self) -> Option<i64> {
        let ttl = i64::try_from(self.space.config.chat_ttl?.as_secs()).unwrap_or(i64::MAX);
        Some(seconds().saturating_add(ttl))
    }

    fn encode(&self, session: &str, messages: &[ChatMessage]) -> Result<Vec<Encoded>> {
        let expires = self.expires();
        messages.iter().map(|message| Encoded::new(session, message, expires)).collect()
    }

    async fn messages_of(&self, session: &str, last: Option<usize>) -> Result<Vec<ChatMessage>> {
        session_name(session)?;
        if last == Some(0) {
            return Ok(Vec::new());
        }
        let most = last.unwrap_or(usize::MAX);
        let found = self.steady(session, most, self.space.config.consistent_reads).await?;
        found.entries.iter().rev().map(Entry::message).collect()
    }

    /// The newest messages, newest first, as they were at one moment.
    async fn steady(&self, session: &str, most: usize, mut consistent: bool) -> Result<Found> {
        let mut backoff = Backoff::new(self.space.config.operation_timeout);
        for round in 1.. {
            let found = self.newest(session, Ask { most, texts: true, consistent }).await?;
            let Some(head) = &found.head else { return Ok(found) };
            let expected = usize::try_from(head.count).unwrap_or(usize::MAX).min(most);
            let whole = found.entries.len() == expected;
            if whole && found.at_once {
                return Ok(found);
            }
            let now = self.head(session).await?;
            let same = now.as_ref().is_some_and(|now| now.same(head));
            // A head may be there before the messages that came with it; and of what only grows the count is enough.
            if same && (whole || head.mortal || (consistent && round > 3)) {
                return Ok(found);
            }
            // Each message was there while it was read, and they are in order.
            if round > ROUNDS && now.is_some_and(|now| now.generation == head.generation) {
                return Ok(found);
            }
            consistent = true;
            if !backoff.pause(false).await {
                break;
            }
        }
        Err(conflict(&self.space))
    }

    async fn append_to(&self, session: &str, messages: &[ChatMessage]) -> Result<()> {
        session_name(session)?;
        let messages = self.encode(session, messages)?;
        if messages.is_empty() {
            return Ok(());
        }
        let _turn = self.space.chats.turns.take(session).await;
        self.add(session, &messages).await
    }

    /// Adds at the end.
    async fn add(&self, session: &str, messages: &[Encoded]) -> Result<()> {
        let mut backoff = Backoff::new(self.space.config.operation_timeout);
        let mut stored = match self.space.chats.heads.get(session) {
            Some(head) => Some(head),
            None => self.head(session).await?,
        };
        // What a history begins with that is not there: nobody else has its generation.
        let new = Head::new(stored.as_ref().map(|head| head.generation.as_str()));
        let mut staged: Option<(String, Run)> = None;
        loop {
            let head = live(stored.as_ref()).cloned().unwrap_or_else(|| new.clone());
            if !fits(session, messages) && staged.as_ref().is_none_or(|(of, _)| *of != head.generation) {
                if let Some((generation, run)) = staged.take() {
                    self.unstage(session, &generation, &run).await;
                }
                staged =
                    Some((head.generation.clone(), self.stage(session, &head.generation, messages).await?));
            }
            let run = staged.as_ref().map(|(_, run)| run);
            match self.write(session, stored.as_ref(), head, messages, run).await {
                Ok(None) => return Ok(()),
                Ok(Some(met)) => stored = met,
                Err(error) => return Err(error),
            }
            if !backoff.pause(false).await {
                return Err(conflict(&self.space));
            }
        }
    }

    /// Puts messages after those of a head, and the head, if the stored one is as it was. Answers the stored one if it
    /// is not.
    async fn write(
        &self,
        session: &str,
        stored: Option<&Head>,
        mut head: Head,
        messages: &[Encoded],
        run: Option<&Run>,
    ) -> Result<Option<Option<Head>>> {
        let keys = self.table_keys().await?;
        let table = &self.space.main;
        let (fresh, before) = (head.count == 0, head.expires);
        let first = head.next;
        let mut puts = Vec::with_capacity(messages.len());
        if let Some(run) = run {
            puts.push(put(table, run.item(&keys, session, slot(&head.generation, &place(first))), None)?);
        }
        for message in messages {
            head.outlive(message.expires);
            if run.is_none() {
                let sort = slot(&head.generation, &place(place::after(first, puts.len())?));
                puts.push(put(table, message.item(&keys, session, sort), None)?);
            }
        }
        head.next = place::after(first, puts.len())?;
        let listing = (fresh || head.expires != before).then_some(listed(&keys, session, head.expires));
        self.change(session, stored, Some(head), puts, listing).await
    }

    /// Makes a change with its head, if the stored head is as it was; answers the stored one if it is not. Without a
    /// new head the history ends.
    async fn change(
        &self,
        session: &str,
        stored: Option<&Head>,
        head: Option<Head>,
        actions: Vec<TransactWriteItem>,
        listing: Option<Item>,
    ) -> Result<Option<Option<Head>>> {
        let keys = self.table_keys().await?;
        let table = &self.space.main;
        let condition = stored.map_or_else(|| Condition::absent(&keys.partition), Head::unchanged);
        let mut all = Vec::with_capacity(actions.len() + 2);
        if let Some(head) = &head {
            all.push(put(table, head.item(&keys, session), Some(condition))?);
        } else {
            all.push(delete(table, head_key(&keys, session), Some(condition))?);
            all.push(delete(table, listing_key(&keys, session), None)?);
        }
        if let Some(listing) = listing {
            all.push(put(table, listing, None)?);
        }
        all.extend(actions);
        // Whatever becomes of it: a call that is dropped here does not leave a head that may be old.
        self.space.chats.heads.set(session, None);
        match commit(&self.space, all).await? {
            Committed::Yes => {
                self.space.chats.heads.set(session, head);
                Ok(None)
            }
            Committed::No(met) => {
                let met = met.into_iter().next().flatten();
                met.as_ref().map(Head::read).transpose().map(Some)
            }
        }
    }

    async fn replace_by(&self, session: &str, messages: &[ChatMessage]) -> Result<()> {
        session_name(session)?;
        let messages = self.encode(session, messages)?;
        let _turn = self.space.chats.turns.take(session).await;
        if messages.is_empty() {
            return self.remove_all(session).await.map(drop);
        }
        let mut backoff = Backoff::new(self.space.config.operation_timeout);
        let mut stored = self.head(session).await?;
        let mut staged = None;
        loop {
            match self.swap(session, stored.as_ref(), &messages, &mut staged).await? {
                None => return Ok(()),
                Some(met) => stored = met,
            }
            if !backoff.pause(false).await {
                return Err(conflict(&self.space));
            }
        }
    }

    /// Replaces a history, if its head is as it was; answers the stored one if it is not.
    async fn swap(
        &self,
        session: &str,
        stored: Option<&Head>,
        messages: &[Encoded],
        staged: &mut Option<(Head, Option<Run>)>,
    ) -> Result<Option<Option<Head>>> {
        if staged.is_none() {
            let head = Head::new(stored.map(|head| head.generation.as_str()));
            let run = if fits(session, messages) {
                None
            } else {
                Some(self.stage(session, &head.generation, messages).await?)
            };
            *staged = Some((head, run));
        }
        let Some((head, run)) = staged.as_ref() else { return Ok(None) };
        let met = self.write(session, stored, head.clone(), messages, run.as_ref()).await?;
        if met.is_none()
            && let Some(old) = stored
        {
            self.sweep(session, &old.generation).await;
        }
        Ok(met)
    }

    async fn delete_session(&self, session: &str) -> Result<bool> {
        session_name(session)?;
        let _turn = self.space.chats.turns.take(session).await;
        self.remove_all(session).await
    }

    async fn remove_all(&self, session: &str) -> Result<bool> {
        let mut backoff = Backoff::new(self.space.config.operation_timeout);
        let mut stored = self.head(session).await?;
        loop {
            let Some(head) = &stored else { return Ok(false) };
            let any = if head.mortal {
                let ask = Ask { most: 1, texts: false, consistent: true };
                !self.newest(session, ask).await?.entries.is_empty()
            } else {
                true
            };
            match self.change(session, Some(head), None, Vec::new(), None).await? {
                None => {
                    self.sweep(session, &head.generation).await;
                    return Ok(any);
                }
                Some(met) => stored = met,
            }
            if !backoff.pause(false).await {
                return Err(conflict(&self.space));
            }
        }
    }

    /// The message at an index, and the head that it was read under; below the start the first of all.
    async fn find(&self, session: &str, index: i64, below: bool) -> Result<Option<(Head, Spot)>> {
        let ask = |most: usize| Ask { most, texts: most <= FEW, consistent: true };
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let (found, wanted) = if index < 0 {
            let wanted = count(index.unsigned_abs());
            (self.newest(session, ask(wanted)).await?, wanted)
        } else {
            let stored = self.head(session).await?;
            let Some(head) = live(stored.as_ref()).cloned() else { return Ok(None) };
            let (place, length) = (count(index.unsigned_abs()), count(head.count));
            if place >= length {
                return Ok(Some((head, Spot::End)));
            }
            let (front, back) = (place + 1, length - place);
            if back < front && !head.mortal {
                (self.newest(session, ask(back)).await?, back)
            } else {
                (self.oldest(session, head, ask(front)).await?, front)
            }
        };
        let Some(head) = found.head else { return Ok(None) };
        let mut entries = found.entries;
        let spot = if entries.len() == wanted || (below && index < 0) { entries.pop() } else { None };
        Ok(Some((head, spot.map_or(Spot::End, Spot::At))))
    }

    async fn remove(&self, session: &str, index: i64) -> Result<Option<ChatMessage>> {
        session_name(session)?;
        let _turn = self.space.chats.turns.take(session).await;
        let mut backoff = Backoff::new(self.space.config.operation_timeout);
        loop {
            let Some((head, Spot::At(mut entry))) = self.find(session, index, false).await? else {
                return Ok(None);
            };
            if entry.text.is_some() || self.fetch(session, &head, &mut entry).await? {
                // One that can not be read stays.
                let message = entry.message()?;
                if self.take(session, &head, &entry).await? {
                    return Ok(Some(message));
                }
            }
            if !backoff.pause(false).await {
                return Err(conflict(&self.space));
            }
        }
    }

    /// Reads the text of a message of which only the key is known; whether it is there.
    async fn fetch(&self, session: &str, head: &Head, entry: &mut Entry) -> Result<bool> {
        let keys = self.table_keys().await?;
        let key = key(&keys, partition(session), entry.sort(&head.generation));
        let get = self.space.client()?.get_item().table_name(&self.space.main);
        let found = self.space.call(get.set_key(Some(key)).consistent_read(true).send()).await?;
        let Some(mut item) = found.item else { return Ok(false) };
        *entry = Entry::of(&mut item, std::mem::take(&mut entry.place), entry.within.take());
        Ok(true)
    }

    /// Removes a message, if the head is as it was.
    async fn take(&self, session: &str, stored: &Head, entry: &Entry) -> Result<bool> {
        let keys = self.table_keys().await?;
        let table = &self.space.main;
        let sort = entry.sort(&stored.generation);
        let mut actions = vec![delete(table, key(&keys, partition(session), sort), None)?];
        if let Some((run, _)) = &entry.within {
            let sort = slot(&stored.generation, &entry.place);
            actions.push(if run.count > 1 {
                let run = Run { count: run.count - 1, ..run.clone() };
                put(table, run.item(&keys, session, sort), None)?
            } else {
                delete(table, key(&keys, partition(session), sort), None)?
            });
        }
        let last = if stored.mortal {
            let ask = Ask { most: 2, texts: false, consistent: true };
            self.newest(session, ask).await?.entries.len() < 2
        } else {
            stored.count <= 1
        };
        let head = (!last).then(|| Head {
            edits: stored.edits + 1,
            count: stored.count.saturating_sub(1),
            ..stored.clone()
        });
        Ok(self.change(session, Some(stored), head, actions, None).await?.is_none())
    }

    async fn insert(&self, session: &str, index: i64, message: &ChatMessage) -> Result<()> {
        session_name(session)?;
        let message = Encoded::new(session, message, self.expires())?;
        let _turn = self.space.chats.turns.take(session).await;
        let mut backoff = Backoff::new(self.space.config.operation_timeout);
        loop {
            let Some((head, Spot::At(entry))) = self.find(session, index, true).await? else {
                return self.add(session, &[message]).await;
            };
            if self.put_before(session, &head, &entry, &message).await? {
                return Ok(());
            }
            if !backoff.pause(false).await {
                return Err(conflict(&self.space));
            }
        }
    }

    /// Puts a message before another, if the head is as it was.
    async fn put_before(&self, session: &str, stored: &Head, at: &Entry, message: &Encoded) -> Result<bool> {
        let keys = self.table_keys().await?;
        let table = &self.space.main;
        let sort = at.sort(&stored.generation);
        let Some((row, place)) = sort.rsplit_once('/') else { return Ok(false) };
        let row = format!("{row}/");
        let before = self.before(session, &row, &sort).await?;
        let Some(free) = between(before.as_deref(), place) else {
            return self.rewrite(session, stored, at, message).await;
        };
        let free = format!("{row}{free}");
        let condition = Condition::absent(&keys.partition);
        let mut actions = vec![put(table, message.item(&keys, session, free), Some(condition))?];
        if let Some((run, _)) = &at.within {
            let expires = run.expires.zip(message.expires).map(|(run, new)| run.max(new));
            let run = Run { count: run.count + 1, expires, ..run.clone() };
            let sort = slot(&stored.generation, &at.place);
            actions.push(put(table, run.item(&keys, session, sort), None)?);
        }
        let mut head = Head { edits: stored.edits + 1, ..stored.clone() };
        head.outlive(message.expires);
        let listing = (head.expires != stored.expires).then_some(listed(&keys, session, head.expires));
        Ok(self.change(session, Some(stored), Some(head), actions, listing).await?.is_none())
    }

    /// The place before a sort key in its row, whatever stands there.
    async fn before(&self, session: &str, row: &str, sort: &str) -> Result<Option<String>> {
        let keys = self.table_keys().await?;
        let part = Part {
            partition: partition(session),
            from: row.to_owned(),
            to: sort.to_owned(),
            backwards: true,
            fields: Some(&[]),
            consistent: true,
        };
        let page = query::page(&self.space, &self.space.main, &keys, &part, Some(2), None).await?;
        let mut found = page.items.iter().map(|item| sort_of(&keys, item)).filter(|found| *found < sort);
        Ok(found.next().and_then(|found| found.strip_prefix(row)).map(str::to_owned))
    }

    /// Writes a history anew with a message more, since there is no room before the one at the place; if the head is as
    /// it was.
    async fn rewrite(&self, session: &str, stored: &Head, at: &Entry, message: &Encoded) -> Result<bool> {
        let found = self.steady(session, usize::MAX, true).await?;
        if found.head.as_ref() != Some(stored) {
            return Ok(false);
        }
        let place = |entry: &Entry| entry.sort(&stored.generation);
        let mut messages = Vec::with_capacity(found.entries.len() + 1);
        for entry in found.entries.into_iter().rev() {
            if place(&entry) == place(at) {
                messages.push(message.clone());
            }
            let text = entry.text.unwrap_or_default();
            messages.push(Encoded { text, expires: entry.expires });
        }
        Ok(self.swap(session, Some(stored), &messages, &mut None).await?.is_none())
    }

    fn sessions(&self, after: Option<String>) -> impl futures::Stream<Item = Result<String>> + use<> {
        let store = self.clone();
        // Every name sorts after this one.
        let mut first = after.clone().filter(|after| !after.is_empty()).unwrap_or_else(|| "\0".to_owned());
        first.truncate(first.floor_char_boundary(MAX_SESSION));
        let pages = stream::try_unfold(Some(None), move |state: Option<Option<Item>>| {
            let (store, first) = (store.clone(), first.clone());
            async move {
                let Some(start) = state else { return Ok(None) };
                let keys = store.table_keys().await?;
                let part = Part {
                    partition: LISTING.to_owned(),
                    from: first,
                    to: "\u{10ffff}".repeat(MAX_SESSION / 4),
                    backwards: false,
                    fields: Some(&[crate::schema::EXPIRES]),
                    consistent: store.space.config.consistent_reads,
                };
                let page = query::page(&store.space, &store.space.main, &keys, &part, None, start).await?;
                let now = seconds();
                let names: Vec<String> = page
                    .items
                    .iter()
                    .filter(|item| expires(item).is_none_or(|expires| expires > now))
                    .map(|item| sort_of(&keys, item).to_owned())
                    .collect();
                Ok::<_, Error>(Some((names, page.next.map(Some))))
            }
        });
        let names = pages.map_ok(|names| stream::iter(names.into_iter().map(Ok))).try_flatten();
        names.try_filter(move |name| {
            let listed = after.as_ref().is_none_or(|after| name > after);
            futures::future::ready(listed)
        })
    }
}

/// A head that has not expired.
fn live(head: Option<&Head>) -> Option<&Head> {
    head.filter(|head| head.expires.is_none_or(|expires| expires > seconds()))
}

/// Whether messages go in one transaction.
fn fits(session: &str, messages: &[Encoded]) -> bool {
    let bytes: usize = messages.iter().map(|message| message.size(session)).sum();
    messages.len() <= MOST && bytes <= MAX_BYTES
}

fn session_name(session: &str) -> Result<()> {
    check::non_empty("session key", session)?;
    check::within("session key", session, session.len(), MAX_SESSION)
}

#[async_trait]
impl ChatStore for OwnChatStore {
    async fn messages(&self, key: &str, last: Option<usize>) -> Result<Vec<ChatMessage>> {
        self.messages_of(key, last).await.map_err(named("chat.messages", key))
    }

    async fn append(&self, key: &str, messages: Vec<ChatMessage>) -> Result<()> {
        self.append_to(key, &messages).await.map_err(named("chat.append", key))
    }

    async fn replace(&self, key: &str, messages: Vec<ChatMessage>) -> Result<()> {
        self.replace_by(key, &messages).await.map_err(named("chat.replace", key))
    }

    async fn delete(&self, key: &str) -> Result<bool> {
        self.delete_session(key).await.map_err(named("chat.delete", key))
    }

    async fn remove_at(&self, key: &str, index: i64) -> Result<Option<ChatMessage>> {
        self.remove(key, index).await.map_err(named("chat.remove_at", key))
    }

    async fn insert_at(&self, key: &str, index: i64, message: ChatMessage) -> Result<()> {
        self.insert(key, index, &message).await.map_err(named("chat.insert_at", key))
    }

    async fn pop(&self, key: &str) -> Result<Option<ChatMessage>> {
        self.remove(key, -1).await.map_err(named("chat.pop", key))
    }

    fn keys(&self, after: Option<String>) -> BoxStream<String> {
        self.sessions(after).map_err(at("chat.keys")).boxed()
    }
}
