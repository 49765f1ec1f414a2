//! Buckets: reading them, changing them, writing whole ones.

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use store_core::chat_place::{FIRST, after, place};
use store_core::{Error, Result, batches};
use tracing::warn;

use super::CassandraChatStore;
use super::head::{Bucket, FULL_BYTES, FULL_MESSAGES, Head, long, micros};
use super::root::is_open;
use crate::codec::{bigint, int, text};
use crate::schema::Table;
use crate::session::{Call, Class, Row, Rows, Value, bytes};

/// The messages.
pub(super) static MESSAGES: Table = Table {
    name: "chat_messages",
    definition: "(session text, bucket text, position text, message text, change text, \
                 version bigint static, last_change text static, next bigint static, messages bigint static, \
                 bytes bigint static, closed boolean static, PRIMARY KEY ((session, bucket), position)) \
                 WITH CLUSTERING ORDER BY (position DESC)",
    then: &[],
};

/// Rows and bytes that are written in one request.
const BATCH_ROWS: usize = 200;
const BATCH_BYTES: usize = 1 << 19;
/// Requests that are made at the same time for new buckets, and for old ones.
const AT_ONCE: usize = 8;
/// Later than every write to a bucket, also by nodes whose clocks are ahead: no bucket is used again.
const FUTURE_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// Rows of one request on their way.
pub(super) type Placed<'a> = Vec<(String, &'a str)>;

/// Whether messages go in one request.
pub(super) fn fits(messages: &[String]) -> bool {
    messages.len() <= BATCH_ROWS && size(messages) <= BATCH_BYTES
}

pub(super) fn size(messages: &[String]) -> usize {
    messages.iter().map(String::len).sum()
}

/// A message with its place, its text if that was read.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) position: String,
    pub(super) text: Option<String>,
}

/// What was read of a bucket: its head, `None` if there is no such bucket any more, and rows.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) head: Option<Head>,
    pub(super) rows: Vec<Stored>,
}

/// What to read of a bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) most: usize,
    /// From its newest message on, or from its oldest.
    pub(super) backwards: bool,
    /// With the messages' texts.
    pub(super) texts: bool,
}

impl CassandraChatStore {
    /// The head of a bucket.
    pub(super) async fn head(&self, session: &str, bucket: &Bucket, class: Class) -> Result<Option<Head>> {
        Ok(self.head_and_change(session, bucket, class).await?.map(|(head, _)| head))
    }

    async fn head_and_change(
        &self,
        session: &str,
        bucket: &Bucket,
        class: Class,
    ) -> Result<Option<(Head, String)>> {
        let columns = Head::COLUMNS;
        let read = |table: &str| {
            let read = format!(
                "SELECT DISTINCT session, bucket, {columns}, last_change FROM {table} WHERE session = ? AND bucket = ?"
            );
            Call::new(class, read, vec![text(session), text(bucket.id.as_str())])
        };
        let rows = self.space.on(&MESSAGES, read).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let change = row.text("last_change")?.unwrap_or_default().to_owned();
        Ok(Head::read(&row)?.map(|head| (head, change)))
    }

    /// Reads messages of a bucket from one of its ends, page after page.
    pub(super) async fn read_bucket(&self, session: &str, bucket: &Bucket, ask: Ask) -> Result<Part> {
        let order = if ask.backwards { "DESC" } else { "ASC" };
        let columns = Head::COLUMNS;
        let message = if ask.texts { ", message" } else { "" };
        let most = i32::try_from(ask.most).unwrap_or(i32::MAX);
        let (mut part, mut state) = (Part::default(), None::<Vec<u8>>);
        loop {
            let read = |table: &str| {
                let read = format!(
                    "SELECT position, {columns}{message} FROM {table} WHERE session = ? AND bucket = ? \
                     ORDER BY position {order} LIMIT ?"
                );
                let call =
                    Call::new(Class::Read, read, vec![text(session), text(bucket.id.as_str()), int(most)]);
                let call = call.with_page(1_000);
                match &state {
                    Some(state) => call.after(state.clone()),
                    None => call,
                }
            };
            let rows = self.space.on(&MESSAGES, read).await?;
            if state.is_none() {
                part.head = rows.first().as_ref().map(Head::read).transpose()?.flatten();
            }
            for row in rows.iter() {
                part.rows.extend(stored(&row, ask.texts)?);
            }
            state = rows.next().map(<[u8]>::to_vec);
            if state.is_none() {
                return Ok(part);
            }
        }
    }

    /// The text of the message at a position.
    pub(super) async fn text_at(
        &self,
        session: &str,
        bucket: &Bucket,
        position: &str,
    ) -> Result<Option<String>> {
        let rows = self.at(session, bucket, position, "message").await?;
        rows.first().map(|row| row.needed_text("message").map(str::to_owned)).transpose()
    }

    async fn at(&self, session: &str, bucket: &Bucket, position: &str, column: &str) -> Result<Rows> {
        let read = |table: &str| {
            let read =
                format!("SELECT {column} FROM {table} WHERE session = ? AND bucket = ? AND position = ?");
            Call::new(Class::Read, read, vec![text(session), text(bucket.id.as_str()), text(position)])
        };
        self.space.on(&MESSAGES, read).await
    }

    /// Changes a bucket, if its head is as it was: another head, rows added, a row removed. Answers whether it was.
    pub(super) async fn change_bucket(
        &self,
        session: &str,
        bucket: &Bucket,
        (old, new): (&Head, &Head),
        rows: &Placed<'_>,
        removed: Option<&str>,
    ) -> Result<bool> {
        let change = mark();
        let key = || [text(session), text(bucket.id.as_str())];
        let calls = |table: &str| {
            let mut calls = Vec::with_capacity(rows.len() + 2);
            let head = format!(
                "UPDATE {table} USING TTL ? SET {SET_HEAD} WHERE session = ? AND bucket = ? IF version = ?"
            );
            let mut values = vec![self.ttl_value()];
            values.extend(head_values(new, &change));
            values.extend(key());
            values.push(bigint(old.version));
            calls.push(Call::new(Class::Conditional, head, values));
            for (position, message) in rows {
                let values = self.row(session, bucket, position, message, &change);
                calls.push(Call::new(Class::Conditional, insert(table, ""), values));
            }
            if let Some(position) = removed {
                let delete = format!("DELETE FROM {table} WHERE session = ? AND bucket = ? AND position = ?");
                let mut values = key().to_vec();
                values.push(text(position));
                calls.push(Call::new(Class::Conditional, delete, values));
            }
            calls
        };
        match self.space.batch_on(&MESSAGES, Class::Conditional, calls).await {
            Ok(answer) => answer.applied(),
            Err(error) if is_open(&error) => {
                let first = rows.first().map(|(position, _)| position.as_str());
                self.was_changed(session, bucket, old, (&change, first), error).await
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a change was made whose answer was lost.
    async fn was_changed(
        &self,
        session: &str,
        bucket: &Bucket,
        old: &Head,
        (change, first): (&str, Option<&str>),
        error: Error,
    ) -> Result<bool> {
        // A serial read ends what is under way: what was not made then never will be.
        let Ok(now) = self.head_and_change(session, bucket, Class::SerialRead).await else {
            return Err(error);
        };
        let Some((head, last)) = now else { return Err(error) };
        if head.version <= old.version.saturating_add(1) {
            return Ok(head.version > old.version && last == change);
        }
        let Some(first) = first else { return Err(error) };
        // Others came after; the row says whose it is. If it is gone, all that is known is that it is not there.
        let Ok(rows) = self.at(session, bucket, first, "change").await else { return Err(error) };
        let Some(row) = rows.first() else { return Err(error) };
        Ok(row.text("change")? == Some(change))
    }

    /// Closes a bucket for appends, if its head is as it was.
    pub(super) async fn close(&self, session: &str, bucket: &Bucket, head: &Head) -> Result<bool> {
        let new = Head { version: head.version.saturating_add(1), closed: true, ..head.clone() };
        self.change_bucket(session, bucket, (head, &new), &Vec::new(), None).await
    }

    /// Writes messages into new buckets, which nobody knows yet.
    pub(super) async fn stage(&self, session: &str, messages: &[String]) -> Result<Vec<(Bucket, Head)>> {
        let mut staged = Vec::new();
        for run in batches::cut(messages, FULL_MESSAGES, FULL_BYTES, String::len) {
            staged.push(self.stage_bucket(session, run).boxed());
        }
        stream::iter(staged).buffered(AT_ONCE).try_collect().await
    }

    async fn stage_bucket(&self, session: &str, messages: &[String]) -> Result<(Bucket, Head)> {
        let bucket = Bucket::new(self.ttl());
        let mut head = Head::new().with(long(messages.len()), long(size(messages)));
        head.next = after(FIRST, messages.len())?;
        let change = mark();
        let mut first = 0;
        for run in batches::cut(messages, BATCH_ROWS, BATCH_BYTES, String::len) {
            let places = (0..run.len()).map(|number| after(FIRST, first + number).map(place));
            let places: Vec<String> = places.collect::<Result<_>>()?;
            let calls = |table: &str| {
                // The earliest timestamp: every change to come is later, whatever the clocks say.
                let mut calls = Vec::with_capacity(run.len() + 1);
                let write = format!(
                    "UPDATE {table} USING TIMESTAMP 1 AND TTL ? SET {SET_HEAD} WHERE session = ? AND bucket = ?"
                );
                let mut values = vec![self.ttl_value()];
                values.extend(head_values(&head, &change));
                values.extend([text(session), text(bucket.id.as_str())]);
                calls.push(Call::new(Class::Write, write, values));
                for (position, message) in places.iter().zip(run) {
                    let values = self.row(session, &bucket, position, message, &change);
                    calls.push(Call::new(Class::Write, insert(table, "TIMESTAMP 1 AND "), values));
                }
                calls
            };
            self.space.batch_on(&MESSAGES, Class::Write, calls).await?;
            first += run.len();
        }
        Ok((bucket, head))
    }

    /// Deletes buckets that no list has any more. What can not be deleted now is seen by nobody.
    pub(super) async fn drop_buckets(&self, session: &str, buckets: impl IntoIterator<Item = Bucket>) {
        let mut deletes = Vec::new();
        for bucket in buckets {
            deletes.push(self.drop_bucket(session, bucket).boxed());
        }
        stream::iter(deletes).buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    async fn drop_bucket(&self, session: &str, bucket: Bucket) {
        let delete = |table: &str| {
            let delete = format!("DELETE FROM {table} USING TIMESTAMP ? WHERE session = ? AND bucket = ?");
            let stamp = micros().saturating_add(FUTURE_MICROS);
            let values = vec![bigint(stamp), text(session), text(bucket.id.as_str())];
            Call::new(Class::Write, delete, values)
        };
        if let Err(error) = self.space.on(&MESSAGES, delete).await {
            warn!(error = %error, "messages of a chat that are seen no more could not be deleted");
        }
    }

    /// The values of [`insert`].
    fn row(&self, session: &str, bucket: &Bucket, position: &str, message: &str, change: &str) -> Vec<Value> {
        let values = [session, &bucket.id, position, message, change];
        values.into_iter().map(text).chain([self.ttl_value()]).collect()
    }

    /// 0 is without end.
    fn ttl_value(&self) -> Value {
        int(self.ttl().map_or(0, |ttl| i32::try_from(ttl).unwrap_or(i32::MAX)))
    }
}

fn insert(table: &str, timestamp: &str) -> String {
    format!(
        "INSERT INTO {table} (session, bucket, position, message, change) VALUES (?, ?, ?, ?, ?) \
         USING {timestamp}TTL ?"
    )
}

/// A row as it was read; `None` for a bucket that has nothing but its head.
fn stored(row: &Row<'_>, texts: bool) -> Result<Option<Stored>> {
    let Some(position) = row.text("position")? else { return Ok(None) };
    let text = if texts { Some(row.needed_text("message")?.to_owned()) } else { None };
    Ok(Some(Stored { position: position.to_owned(), text }))
}

const SET_HEAD: &str = "version = ?, last_change = ?, next = ?, messages = ?, bytes = ?, closed = ?";

/// The values of [`SET_HEAD`].
fn head_values(head: &Head, change: &str) -> [Value; 6] {
    [
        bigint(head.version),
        text(change),
        bigint(i64::try_from(head.next).unwrap_or(i64::MAX)),
        bigint(head.messages),
        bigint(head.bytes),
        bytes(vec![u8::from(head.closed)]),
    ]
}

/// A name for a change that no other has.
fn mark() -> String {
    format!("{:016x}", fastrand::u64(..))
}
