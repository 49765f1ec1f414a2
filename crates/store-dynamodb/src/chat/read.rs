//! Reading histories of our own layout, from either end.

use std::collections::VecDeque;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::Result;

use super::item::{
    Entry, HEAD, Head, LAST, Run, SLOTS, SMALL, head_key, in_run, of_slot, partition, slot, sort_of,
};
use super::own::OwnChatStore;
use super::place::place;
use super::seconds;
use crate::codec::Item;
use crate::query::{self, Part};
use crate::tables::Keys;

/// Runs that are read at the same time.
const AT_ONCE: usize = 8;
/// Items that are read beyond those that are asked for: the head, and one that may not count.
const SPARE: usize = 2;

/// What to read of a history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    /// So many messages at most.
    pub(super) most: usize,
    /// With their texts, or the keys alone.
    pub(super) texts: bool,
    /// Whether the read sees every write that was answered before it.
    pub(super) consistent: bool,
}

/// What was read.
#[derive(Debug)]
pub(super) struct Found {
    /// `None` when there is no history.
    pub(super) head: Option<Head>,
    /// In the order in which they were read.
    pub(super) entries: Vec<Entry>,
    /// Whether it took one request, so that nothing changed meanwhile.
    pub(super) at_once: bool,
}

/// What stands at a place: a message, or a run of them.
enum Slot {
    Message(Entry),
    Run(String, Run),
}

impl Slot {
    /// How many messages it is at most.
    fn count(&self) -> usize {
        match self {
            Self::Message(_) => 1,
            Self::Run(_, run) => usize::try_from(run.count).unwrap_or(usize::MAX),
        }
    }
}

impl OwnChatStore {
    /// The head of a history as it is stored, even if it expired.
    pub(super) async fn head(&self, session: &str) -> Result<Option<Head>> {
        let keys = self.table_keys().await?;
        let get = self.space.client()?.get_item().table_name(&self.space.main);
        let get = get.set_key(Some(head_key(&keys, session))).consistent_read(true);
        let found = self.space.call(get.send()).await?.item;
        found.as_ref().map(Head::read).transpose()
    }

    /// The newest messages, newest first, and the head: one request where it is a window of an ordinary history.
    pub(super) async fn newest(&self, session: &str, ask: Ask) -> Result<Found> {
        self.read(session, None, ask).await
    }

    /// The oldest messages of a history, oldest first.
    pub(super) async fn oldest(&self, session: &str, head: Head, ask: Ask) -> Result<Found> {
        self.read(session, Some(head), ask).await
    }

    /// With a head forwards, else backwards from the head.
    async fn read(&self, session: &str, head: Option<Head>, ask: Ask) -> Result<Found> {
        let keys = self.table_keys().await?;
        let (from, to) = match &head {
            Some(head) => (slot(&head.generation, ""), slot(&head.generation, LAST)),
            None => (SLOTS.to_owned(), HEAD.to_owned()),
        };
        let backwards = head.is_none();
        let part = Part {
            partition: partition(session),
            from,
            to,
            backwards,
            fields: (!ask.texts).then_some(&SMALL[..]),
            consistent: ask.consistent,
        };
        let mut reading = Reading { store: self, keys: &keys, session, ask, backwards, now: seconds(), head };
        let (mut entries, mut at_once, mut after) = (Vec::new(), true, None);
        loop {
            let left = ask.most.saturating_sub(entries.len());
            let most = left.checked_add(SPARE);
            let page = query::page(&self.space, &self.space.main, &keys, &part, most, after).await?;
            let (slots, over) = reading.slots(page.items)?;
            let Some(head) = &reading.head else { return Ok(Found { head: None, entries, at_once }) };
            at_once &= !slots.iter().any(|slot| matches!(slot, Slot::Run(..)));
            reading.expand(head, slots, &mut entries).await?;
            after = page.next.filter(|_| !over && entries.len() < ask.most);
            if after.is_none() {
                return Ok(Found { head: reading.head, entries, at_once });
            }
            at_once = false;
        }
    }
}

struct Reading<'a> {
    store: &'a OwnChatStore,
    keys: &'a Keys,
    session: &'a str,
    ask: Ask,
    backwards: bool,
    now: i64,
    head: Option<Head>,
}

impl Reading<'_> {
    fn expired(&self, expires: Option<i64>) -> bool {
        expires.is_some_and(|expires| expires <= self.now)
    }

    /// What of a page is the history's, and whether nothing after it can be.
    fn slots(&mut self, items: Vec<Item>) -> Result<(Vec<Slot>, bool)> {
        let mut slots = Vec::with_capacity(items.len());
        // The first place that is not there yet.
        let mut end = self.head.as_ref().map(|head| place(head.next));
        for mut item in items {
            let sort = sort_of(self.keys, &item);
            let Some(head) = &self.head else {
                let head = if sort == HEAD { Some(Head::read(&item)?) } else { None };
                match head.filter(|head| !self.expired(head.expires)) {
                    Some(head) => {
                        end = Some(place(head.next));
                        self.head = Some(head);
                    }
                    // What there is besides was left by a history that is gone.
                    None => return Ok((Vec::new(), true)),
                }
                continue;
            };
            let Some((generation, at)) = of_slot(sort) else { continue };
            if generation < head.generation.as_str() {
                return Ok((slots, true));
            }
            if generation > head.generation.as_str() || Some(at) >= end.as_deref() {
                continue;
            }
            let at = at.to_owned();
            let slot = match Run::of(&item) {
                Some(run) => Slot::Run(at, run),
                None => Slot::Message(Entry::of(&mut item, at, None)),
            };
            let (Slot::Message(Entry { expires, .. }) | Slot::Run(_, Run { expires, .. })) = &slot;
            if !self.expired(*expires) {
                slots.push(slot);
            }
        }
        Ok((slots, false))
    }

    /// Adds the messages of these slots, reading those that are in runs, until there are enough.
    async fn expand(&self, head: &Head, slots: Vec<Slot>, entries: &mut Vec<Entry>) -> Result<()> {
        let mut slots: VecDeque<Slot> = slots.into();
        while entries.len() < self.ask.most && !slots.is_empty() {
            let left = self.ask.most - entries.len();
            let mut sum = 0_usize;
            let enough = slots.iter().position(|slot| {
                sum = sum.saturating_add(slot.count());
                sum >= left
            });
            let rest = slots.split_off(enough.map_or(slots.len(), |last| last + 1));
            let read = slots.into_iter().map(|slot| async move {
                match slot {
                    Slot::Message(entry) => Ok(vec![entry]),
                    Slot::Run(at, run) => self.run(head, &at, run, left).await,
                }
            });
            let mut read = stream::iter(read).buffered(AT_ONCE);
            while let Some(found) = read.try_next().await? {
                entries.extend(found);
            }
            slots = rest;
        }
        entries.truncate(self.ask.most);
        Ok(())
    }

    /// So many messages of a run.
    async fn run(&self, head: &Head, at: &str, run: Run, most: usize) -> Result<Vec<Entry>> {
        let part = Part {
            partition: partition(self.session),
            from: in_run(&head.generation, &run.id, ""),
            to: in_run(&head.generation, &run.id, LAST),
            backwards: self.backwards,
            fields: (!self.ask.texts).then_some(&SMALL[..]),
            consistent: self.ask.consistent,
        };
        let space = &self.store.space;
        let (mut entries, mut after) = (Vec::new(), None);
        loop {
            let left = most.saturating_sub(entries.len());
            let page =
                query::page(space, &space.main, self.keys, &part, left.checked_add(SPARE), after).await?;
            for mut item in page.items {
                let Some((_, inner)) = sort_of(self.keys, &item).rsplit_once('/') else { continue };
                let within = Some((run.clone(), inner.to_owned()));
                let entry = Entry::of(&mut item, at.to_owned(), within);
                if !self.expired(entry.expires) {
                    entries.push(entry);
                }
            }
            after = page.next.filter(|_| entries.len() < most);
            if after.is_none() {
                return Ok(entries);
            }
        }
    }
}
