//! Buckets: reading them, changing them, writing whole ones.

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use store_core::Result;
use store_core::kit::batches;
use store_core::kit::chat_place::{FIRST, after, place};
use tracing::warn;

use super::CassandraChatStore;
use super::head::{Bucket, FULL_BYTES, FULL_MESSAGES, Head, long};
use crate::clock::micros;
use crate::codec::{bigint, int, text};
use crate::schema::Table;
use crate::session::{Call, Class, Row, Rows, Value, bytes};
use crate::transaction::{Fate, MARK_SECONDS, Marks, once};

/// The messages.
pub(super) static MESSAGES: Table = Table {
    name: "chat_messages",
    definition: "(session text, bucket text, position text, message text, \
                 version bigint static, next bigint static, messages bigint static, bytes bigint static, \
                 closed boolean static, marks blob static, PRIMARY KEY ((session, bucket), position)) \
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

/// What was read of a bucket.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// Whether it is there, or is no longer.
    pub(super) there: bool,
    /// If it was asked for, and is there.
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
    /// With the head.
    pub(super) head: bool,
}

impl CassandraChatStore {
    /// The head of a bucket.
    pub(super) async fn head(&self, session: &str, bucket: &Bucket, class: Class) -> Result<Option<Head>> {
        Ok(self.head_and_marks(session, bucket, class).await?.0)
    }

    /// The marks of a bucket stay when it has gone.
    async fn head_and_marks(
        &self,
        session: &str,
        bucket: &Bucket,
        class: Class,
    ) -> Result<(Option<Head>, Marks)> {
        let rows = self.statics(session, bucket, Head::COLUMNS, class).await?;
        let Some(row) = rows.first() else { return Ok((None, Marks::default())) };
        Ok((Head::read(&row)?, Marks::read(&row, "marks")?))
    }

    async fn statics(&self, session: &str, bucket: &Bucket, columns: &str, class: Class) -> Result<Rows> {
        let read = |table: &str| {
            let read = format!(
                "SELECT DISTINCT session, bucket, {columns} FROM {table} WHERE session = ? AND bucket = ?"
            );
            Call::new(class, read, vec![text(session), text(bucket.id.as_str())])
        };
        self.space.on(&MESSAGES, read).await
    }

    /// Reads messages of a bucket from one of its ends, page after page.
    pub(super) async fn read_bucket(&self, session: &str, bucket: &Bucket, ask: Ask) -> Result<Part> {
        let order = if ask.backwards { "DESC" } else { "ASC" };
        let columns = if ask.head { Head::COLUMNS } else { "version" };
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
            if state.is_none()
                && let Some(row) = rows.first()
            {
                part.there = row.integer("version")?.is_some();
                part.head = if ask.head { Head::read(&row)? } else { None };
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
        let read = |table: &str| {
            let read =
                format!("SELECT message FROM {table} WHERE session = ? AND bucket = ? AND position = ?");
            Call::new(Class::Read, read, vec![text(session), text(bucket.id.as_str()), text(position)])
        };
        let rows = self.space.on(&MESSAGES, read).await?;
        rows.first().map(|row| row.needed_text("message").map(str::to_owned)).transpose()
    }

    /// Changes a bucket, if its head is as it was: another head, rows added, a row removed. Answers the new head, `None`
    /// if it was another by then.
    pub(super) async fn change_bucket(
        &self,
        session: &str,
        bucket: &Bucket,
        (old, new): (&Head, Head),
        rows: &Placed<'_>,
        removed: Option<&str>,
    ) -> Result<Option<Head>> {
        let mark = self.space.writer.mark();
        let new = Head { marks: old.marks.with(&mark), ..new };
        let key = || [text(session), text(bucket.id.as_str())];
        let calls = |table: &str| {
            let mut calls = Vec::with_capacity(rows.len() + 2);
            let head = format!(
                "UPDATE {table} USING TTL ? SET {SET_HEAD} WHERE session = ? AND bucket = ? IF version = ?"
            );
            let mut values = vec![self.ttl_value()];
            values.extend(head_values(&new));
            values.extend(key());
            values.push(bigint(old.version));
            calls.push(Call::new(Class::Conditional, head, values));
            for (position, message) in rows {
                let values = self.row(session, bucket, position, message);
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
        let attempt = || async { self.space.batch_on(&MESSAGES, Class::Conditional, calls).await?.applied() };
        let look = || async {
            let (head, marks) = self.head_and_marks(session, bucket, Class::SerialRead).await?;
            let same = head.is_some_and(|head| head.version == old.version);
            Ok(Fate::of(&mark, &old.marks, &marks, same))
        };
        let made = once(self.space.config.operation_timeout, attempt, look).await?;
        Ok(made.then_some(new))
    }

    /// Closes a bucket for appends, if its head is as it was.
    pub(super) async fn close(&self, session: &str, bucket: &Bucket, head: &Head) -> Result<bool> {
        let new = Head { version: head.version.saturating_add(1), closed: true, ..head.clone() };
        Ok(self.change_bucket(session, bucket, (head, new), &Vec::new(), None).await?.is_some())
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
        head.marks = head.marks.with(&self.space.writer.mark());
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
                values.extend(head_values(&head));
                values.extend([text(session), text(bucket.id.as_str())]);
                calls.push(Call::new(Class::Write, write, values));
                for (position, message) in places.iter().zip(run) {
                    let values = self.row(session, &bucket, position, message);
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
        let mut answers = stream::iter(deletes).buffer_unordered(AT_ONCE);
        while let Some(answer) = answers.next().await {
            if let Err(error) = answer {
                warn!(error = %error, "messages of a chat that are seen no more could not be deleted");
            }
        }
    }

    /// Deletes all but the marks, which stay for a while: whose answer was lost looks for them.
    async fn drop_bucket(&self, session: &str, bucket: Bucket) -> Result<()> {
        let columns = "marks, WRITETIME(marks) AS marked";
        let found = self.statics(session, &bucket, columns, Class::Read).await?;
        let marks = match found.first() {
            Some(row) => row.integer("marked")?.zip(Some(Marks::read(&row, "marks")?)),
            None => None,
        };
        let delete = |table: &str| {
            let key = "WHERE session = ? AND bucket = ?";
            let call = |change: String, before: Vec<Value>| {
                let values = before.into_iter().chain([text(session), text(bucket.id.as_str())]);
                Call::new(Class::Write, change, values.collect())
            };
            let stamp = || vec![bigint(micros().saturating_add(FUTURE_MICROS))];
            let Some((marked, marks)) = &marks else {
                return vec![call(format!("DELETE FROM {table} USING TIMESTAMP ? {key}"), stamp())];
            };
            let rest = "version, next, messages, bytes, closed";
            vec![
                call(format!("DELETE FROM {table} USING TIMESTAMP ? {key} AND position >= ''"), stamp()),
                call(format!("DELETE {rest} FROM {table} USING TIMESTAMP ? {key}"), stamp()),
                // Of two cells alike and of one time the one that ends counts.
                call(
                    format!("UPDATE {table} USING TIMESTAMP ? AND TTL ? SET marks = ? {key}"),
                    vec![bigint(*marked), int(MARK_SECONDS), marks.value()],
                ),
            ]
        };
        self.space.batch_on(&MESSAGES, Class::Write, delete).await.map(drop)
    }

    /// The values of [`insert`].
    fn row(&self, session: &str, bucket: &Bucket, position: &str, message: &str) -> Vec<Value> {
        let values = [session, &bucket.id, position, message];
        values.into_iter().map(text).chain([self.ttl_value()]).collect()
    }

    /// 0 is without end.
    fn ttl_value(&self) -> Value {
        int(self.ttl().map_or(0, |ttl| i32::try_from(ttl).unwrap_or(i32::MAX)))
    }
}

fn insert(table: &str, timestamp: &str) -> String {
    format!(
        "INSERT INTO {table} (session, bucket, position, message) VALUES (?, ?, ?, ?) USING {timestamp}TTL ?"
    )
}

/// A row as it was read; `None` for a bucket that has nothing but its head.
fn stored(row: &Row<'_>, texts: bool) -> Result<Option<Stored>> {
    let Some(position) = row.text("position")? else { return Ok(None) };
    let text = if texts { Some(row.needed_text("message")?.to_owned()) } else { None };
    Ok(Some(Stored { position: position.to_owned(), text }))
}

const SET_HEAD: &str = "version = ?, next = ?, messages = ?, bytes = ?, closed = ?, marks = ?";

/// The values of [`SET_HEAD`].
fn head_values(head: &Head) -> [Value; 6] {
    [
        bigint(head.version),
        bigint(i64::try_from(head.next).unwrap_or(i64::MAX)),
        bigint(head.messages),
        bigint(head.bytes),
        bytes(vec![u8::from(head.closed)]),
        head.marks.value(),
    ]
}
