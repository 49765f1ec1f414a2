//! What is known of a history and of its buckets, and messages as they are stored.

use store_core::kit::chat_place::FIRST;
use store_core::kit::check;
use store_core::python::parse_json;
use store_core::{ChatMessage, Error, Result};

use crate::clock::micros;
use crate::session::Row;
use crate::transaction::Marks;

/// Messages and bytes of a bucket; then another is begun.
pub(super) const FULL_MESSAGES: usize = 1_000;
pub(super) const FULL_BYTES: usize = 1 << 20;

/// A bucket in a history's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) id: String,
    /// When all that may be in it has expired, in seconds of the epoch. It takes no message that outlives this.
    pub(super) expires: Option<i64>,
}

impl Bucket {
    /// A new one, for messages that live so many seconds. It takes messages for as long as one of them lives.
    pub(super) fn new(ttl: Option<i64>) -> Self {
        let id = format!("{:x}{:08x}", micros(), fastrand::u32(..));
        Self { id, expires: ttl.map(|ttl| seconds().saturating_add(ttl.saturating_mul(2))) }
    }

    /// Whether a message that lives so long from now may come in.
    pub(super) fn takes(&self, ttl: Option<i64>) -> bool {
        let Some(expires) = self.expires else { return true };
        ttl.is_some_and(|ttl| seconds().saturating_add(ttl) <= expires)
    }
}

/// The list of a history's buckets, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Root {
    pub(super) buckets: Vec<Bucket>,
    /// Grows with each change; `None` when there is no list.
    pub(super) stamp: Option<i64>,
    /// Of those who changed it last.
    pub(super) marks: Marks,
}

impl Root {
    /// Reads `id,id:expires,…`.
    pub(super) fn parse(text: &str, stamp: Option<i64>, marks: Marks) -> Result<Self> {
        let parse = |entry: &str| {
            let (id, expires) = entry.split_once(':').map_or((entry, None), |(id, at)| (id, Some(at)));
            let expires = expires.map(str::parse).transpose().map_err(|error| {
                Error::corrupt(format!("the list of the history's buckets can not be read at {entry:?}"))
                    .with_source(error)
            })?;
            Ok(Bucket { id: id.to_owned(), expires })
        };
        let entries = text.split(',').filter(|entry| !entry.is_empty());
        Ok(Self { buckets: entries.map(parse).collect::<Result<_>>()?, stamp, marks })
    }

    pub(super) fn text(buckets: &[Bucket]) -> String {
        let entry = |bucket: &Bucket| match bucket.expires {
            Some(expires) => format!("{}:{expires}", bucket.id),
            None => bucket.id.clone(),
        };
        buckets.iter().map(entry).collect::<Vec<_>>().join(",")
    }

    /// The buckets in which something may still live.
    pub(super) fn alive(&self) -> impl DoubleEndedIterator<Item = &Bucket> {
        let now = seconds();
        self.buckets.iter().filter(move |bucket| bucket.expires.is_none_or(|expires| expires > now))
    }
}

/// When all buckets will have expired, if they will.
pub(super) fn last_expiry(buckets: &[Bucket]) -> Option<i64> {
    buckets.iter().map(|bucket| bucket.expires).reduce(|one, other| Some(one?.max(other?))).flatten()
}

/// The head of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Grows with each change.
    pub(super) version: i64,
    /// The number of the next place at the end.
    pub(super) next: u64,
    pub(super) messages: i64,
    pub(super) bytes: i64,
    /// Whether nothing more is appended.
    pub(super) closed: bool,
    /// Of those who changed it last.
    pub(super) marks: Marks,
}

impl Head {
    /// The static columns of a bucket, as they are read.
    pub(super) const COLUMNS: &str = "version, next, messages, bytes, closed, marks";

    /// Of a bucket that holds nothing yet.
    pub(super) fn new() -> Self {
        Self { version: 0, next: FIRST, messages: 0, bytes: 0, closed: false, marks: Marks::default() }
    }

    /// `None` when there is no such bucket any more.
    pub(super) fn read(row: &Row<'_>) -> Result<Option<Self>> {
        let Some(version) = row.integer("version")? else { return Ok(None) };
        let next = row.integer("next")?.and_then(|next| u64::try_from(next).ok());
        let next = next.ok_or_else(|| Error::corrupt("the bucket's head has no next place"))?;
        let messages = row.integer("messages")?.unwrap_or_default();
        let bytes = row.integer("bytes")?.unwrap_or_default();
        let (closed, marks) = (row.flag("closed")?, Marks::read(row, "marks")?);
        Ok(Some(Self { version, next, messages, bytes, closed, marks }))
    }

    /// After a change that brings or takes so much.
    pub(super) fn with(&self, messages: i64, bytes: i64) -> Self {
        let mut head = Self { version: self.version.saturating_add(1), ..self.clone() };
        head.messages = head.messages.saturating_add(messages).max(0);
        head.bytes = head.bytes.saturating_add(bytes).max(0);
        head.closed |= head.messages >= long(FULL_MESSAGES) || head.bytes >= long(FULL_BYTES);
        head
    }
}

/// The end of a history: its list, and the head of the newest bucket.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) root: Root,
    pub(super) head: Option<Head>,
}

impl End {
    /// The newest bucket, and its head if it is open.
    pub(super) fn open(&self) -> Option<(&Bucket, &Head)> {
        self.root.buckets.last().zip(self.head.as_ref().filter(|head| !head.closed))
    }
}

/// The message as it is stored: JSON, of so many bytes at most.
pub(super) fn encode(session: &str, message: &ChatMessage, most: usize) -> Result<String> {
    let text = serde_json::to_string(&message.to_json()).map_err(|error| {
        Error::invalid_input("the message can not be written as JSON").with_key(session).with_source(error)
    })?;
    check::within("chat message", session, text.len(), most)?;
    Ok(text)
}

pub(super) fn decode(text: &str) -> Result<ChatMessage> {
    let damaged = |why: &str| Error::corrupt(format!("a stored message can not be read: {why}"));
    match parse_json(text).map_err(|error| damaged(error.message()).with_source(error))? {
        serde_json::Value::Object(json) => {
            ChatMessage::from_json(json).map_err(|error| damaged(error.message()).with_source(error))
        }
        _ => Err(damaged("it is no JSON object")),
    }
}

/// A length as a `bigint`.
pub(super) fn long(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// The time in seconds of the epoch.
pub(super) fn seconds() -> i64 {
    micros() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_back() {
        let buckets = vec![
            Bucket { id: "a1".to_owned(), expires: None },
            Bucket { id: "b2".to_owned(), expires: Some(1_900_000_000) },
        ];
        let text = Root::text(&buckets);
        assert_eq!(text, "a1,b2:1900000000");
        let root = Root { buckets: buckets.clone(), stamp: Some(7), marks: Marks::default().with(&[1; 16]) };
        assert_eq!(Root::parse(&text, Some(7), root.marks.clone()).unwrap(), root);
        assert_eq!(Root::parse("", None, Marks::default()).unwrap(), Root::default());
        assert!(Root::parse("a:b", None, Marks::default()).is_err());
        assert_eq!(last_expiry(&buckets), None);
        assert_eq!(last_expiry(&buckets[1..]), Some(1_900_000_000));
        assert_eq!(last_expiry(&[]), None);
    }

    #[test]
    fn a_bucket_takes_what_it_outlives() {
        let forever = Bucket::new(None);
        assert!(forever.takes(None) && forever.takes(Some(60)));
        let mortal = Bucket::new(Some(60));
        assert!(mortal.takes(Some(60)) && !mortal.takes(None) && !mortal.takes(Some(600)));
    }

    #[test]
    fn a_full_bucket_is_closed() {
        assert!(!Head::new().with(999, 0).closed);
        assert!(Head::new().with(1_000, 0).closed);
        assert!(Head::new().with(1, 1 << 20).closed);
        assert!(Head { closed: true, ..Head::new() }.with(-1, -1).closed);
    }
}
