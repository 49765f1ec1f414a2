//! The items of chats in our own layout, and their keys.

use aws_sdk_dynamodb::types::AttributeValue;
use store_core::kit::check;
use store_core::python::parse_json;
use store_core::{ChatMessage, Error, Result};

use super::place::{FIRST, generation};
use crate::codec::{Item, MAX_ITEM_BYTES};
use crate::schema::EXPIRES;
use crate::tables::Keys;
use crate::transaction::Condition;

/// The partition that lists the sessions that have messages, by their sort keys.
pub(super) const LISTING: &str = "nodestore:chats";
/// What the partition of a session begins with.
const PARTITION: &str = "nodestore:chat/";
/// The head's sort key, the greatest of its partition: read backwards, it comes first.
pub(super) const HEAD: &str = "n";
/// What sort keys of messages begin with, and those of messages in runs.
pub(super) const SLOTS: &str = "m/";
pub(super) const RUNS: &str = "a/";
/// Sorts after every place, generation and run.
pub(super) const LAST: &str = "~";

/// The most bytes of a session's name, which is a sort key.
pub(super) const MAX_SESSION: usize = 1_024;
/// What an item takes beside its message and the session's name, at most.
const OVERHEAD: usize = 1_200;

const GENERATION: &str = "_generation";
const NEXT: &str = "_next";
const EDITS: &str = "_edits";
const COUNT: &str = "_count";
const MORTAL: &str = "_mortal";
const MESSAGE: &str = "_message";
const RUN: &str = "_run";

/// All attributes but messages.
pub(super) const SMALL: [&str; 7] = [GENERATION, NEXT, EDITS, COUNT, MORTAL, RUN, EXPIRES];

/// What is known of a history: one item, which every change writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Which messages are the history's: those of this generation. A replacement begins a new one.
    pub(super) generation: String,
    /// The number of the next place at the end; what stands there or after it is not there yet.
    pub(super) next: u64,
    /// How many changes but appends there were.
    pub(super) edits: u64,
    /// How many messages there are, also those that expired.
    pub(super) count: u64,
    /// Whether a message expires, so that there may be fewer than `count`.
    pub(super) mortal: bool,
    /// When the last message expires, if all do.
    pub(super) expires: Option<i64>,
}

impl Head {
    /// Of a new generation, without messages. `before` is the generation that it follows.
    pub(super) fn new(before: Option<&str>) -> Self {
        let generation = generation(before);
        Self { generation, next: FIRST, edits: 0, count: 0, mortal: false, expires: None }
    }

    pub(super) fn read(item: &Item) -> Result<Self> {
        let number = |name: &str| item.get(name)?.as_n().ok()?.parse::<u64>().ok();
        let generation = item.get(GENERATION).and_then(|value| value.as_s().ok());
        match (generation, number(NEXT), number(EDITS), number(COUNT)) {
            (Some(generation), Some(next), Some(edits), Some(count)) => Ok(Self {
                generation: generation.clone(),
                next,
                edits,
                count,
                mortal: item.contains_key(MORTAL),
                expires: expires(item),
            }),
            _ => Err(Error::corrupt(format!("the item {HEAD:?} of the history is no head of a history"))),
        }
    }

    pub(super) fn item(&self, keys: &Keys, session: &str) -> Item {
        let mut item = key(keys, partition(session), HEAD.to_owned());
        item.insert(GENERATION.to_owned(), AttributeValue::S(self.generation.clone()));
        item.insert(NEXT.to_owned(), number(self.next));
        item.insert(EDITS.to_owned(), number(self.edits));
        item.insert(COUNT.to_owned(), number(self.count));
        if self.mortal {
            item.insert(MORTAL.to_owned(), AttributeValue::Bool(true));
        }
        expire(item, self.expires)
    }

    /// The stored head is this one still.
    pub(super) fn unchanged(&self) -> Condition {
        Condition::default()
            .with("#g = :g AND #n = :n AND #e = :e")
            .named("#g", GENERATION)
            .named("#n", NEXT)
            .named("#e", EDITS)
            .valued(":g", AttributeValue::S(self.generation.clone()))
            .valued(":n", number(self.next))
            .valued(":e", number(self.edits))
    }

    /// Whether the same messages are there as in another, but for appended ones.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.generation == other.generation && self.edits == other.edits
    }

    /// Takes in a message that expires then, or never.
    pub(super) fn outlive(&mut self, expires: Option<i64>) {
        self.expires = match (self.expires, expires) {
            (held, Some(new)) if held.is_some() || self.count == 0 => Some(held.unwrap_or(new).max(new)),
            _ => None,
        };
        self.mortal |= expires.is_some();
        self.count += 1;
    }
}

/// A message ready to be written; its place is not yet known.
#[derive(Clone, Debug)]
pub(super) struct Encoded {
    pub(super) text: String,
    pub(super) expires: Option<i64>,
}

impl Encoded {
    /// Encodes a message; one that is larger than an item can be is refused.
    pub(super) fn new(session: &str, message: &ChatMessage, expires: Option<i64>) -> Result<Self> {
        let text = serde_json::to_string(&message.to_json()).map_err(|error| {
            Error::invalid_input("the message can not be written as JSON").with_source(error)
        })?;
        let encoded = Self { text, expires };
        check::within("chat message", session, encoded.size(session), MAX_ITEM_BYTES)?;
        Ok(encoded)
    }

    /// What its item takes at most, in bytes.
    pub(super) fn size(&self, session: &str) -> usize {
        self.text.len() + session.len() + OVERHEAD
    }

    pub(super) fn item(&self, keys: &Keys, session: &str, sort: String) -> Item {
        let mut item = key(keys, partition(session), sort);
        item.insert(MESSAGE.to_owned(), AttributeValue::S(self.text.clone()));
        expire(item, self.expires)
    }
}

/// Messages that stand apart and take one place together: a batch that is greater than a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) id: String,
    /// How many messages there are, also those that expired.
    pub(super) count: u64,
    /// When the last of them expires, if all do.
    pub(super) expires: Option<i64>,
}

impl Run {
    pub(super) fn item(&self, keys: &Keys, session: &str, sort: String) -> Item {
        let mut item = key(keys, partition(session), sort);
        item.insert(RUN.to_owned(), AttributeValue::S(self.id.clone()));
        item.insert(COUNT.to_owned(), number(self.count));
        expire(item, self.expires)
    }

    /// The run that an item stands for; `None` when it is a message.
    pub(super) fn of(item: &Item) -> Option<Self> {
        let id = item.get(RUN)?.as_s().ok()?.clone();
        let count = item.get(COUNT)?.as_n().ok()?.parse().ok()?;
        Some(Self { id, count, expires: expires(item) })
    }
}

/// A message of a history, as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its place, or its run's.
    pub(super) place: String,
    /// The run that it is in, and its place there.
    pub(super) within: Option<(Run, String)>,
    pub(super) expires: Option<i64>,
    /// `None` when only keys were read.
    pub(super) text: Option<String>,
}

impl Entry {
    pub(super) fn of(item: &mut Item, place: String, within: Option<(Run, String)>) -> Self {
        let text = match item.remove(MESSAGE) {
            Some(AttributeValue::S(text)) => Some(text),
            _ => None,
        };
        Self { place, within, expires: expires(item), text }
    }

    pub(super) fn sort(&self, generation: &str) -> String {
        match &self.within {
            Some((run, place)) => in_run(generation, &run.id, place),
            None => slot(generation, &self.place),
        }
    }

    pub(super) fn message(&self) -> Result<ChatMessage> {
        let damaged = |why: &str| {
            Error::corrupt(format!("the stored message at the place {} can not be read: {why}", self.place))
        };
        let text = self.text.as_deref().ok_or_else(|| damaged("it is no text"))?;
        match parse_json(text).map_err(|error| damaged(error.message()).with_source(error))? {
            serde_json::Value::Object(json) => {
                ChatMessage::from_json(json).map_err(|error| damaged(error.message()).with_source(error))
            }
            _ => Err(damaged("it is no JSON object")),
        }
    }
}

/// An item that makes a session be listed.
pub(super) fn listed(keys: &Keys, session: &str, expires: Option<i64>) -> Item {
    expire(listing_key(keys, session), expires)
}

pub(super) fn listing_key(keys: &Keys, session: &str) -> Item {
    key(keys, LISTING.to_owned(), session.to_owned())
}

pub(super) fn head_key(keys: &Keys, session: &str) -> Item {
    key(keys, partition(session), HEAD.to_owned())
}

pub(super) fn partition(session: &str) -> String {
    format!("{PARTITION}{session}")
}

pub(super) fn slot(generation: &str, place: &str) -> String {
    format!("{SLOTS}{generation}/{place}")
}

pub(super) fn in_run(generation: &str, run: &str, place: &str) -> String {
    format!("{RUNS}{generation}/{run}/{place}")
}

/// Generation and place of a slot's sort key.
pub(super) fn of_slot(sort: &str) -> Option<(&str, &str)> {
    sort.strip_prefix(SLOTS)?.split_once('/')
}

pub(super) fn key(keys: &Keys, partition: String, sort: String) -> Item {
    let (partition, sort) = (AttributeValue::S(partition), AttributeValue::S(sort));
    [(keys.partition.clone(), partition), (keys.sort.clone(), sort)].into()
}

pub(super) fn sort_of<'a>(keys: &Keys, item: &'a Item) -> &'a str {
    item.get(&keys.sort).and_then(|value| value.as_s().ok()).map_or("", String::as_str)
}

/// When an item expires, in seconds of the epoch.
pub(super) fn expires(item: &Item) -> Option<i64> {
    item.get(EXPIRES)?.as_n().ok()?.parse().ok()
}

fn expire(mut item: Item, expires: Option<i64>) -> Item {
    if let Some(expires) = expires {
        item.insert(EXPIRES.to_owned(), AttributeValue::N(expires.to_string()));
    }
    item
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}
