//! Putting and deleting key-values.

use serde::Serialize;
use store_core::kit::batches::cut;
use store_core::kit::check;
use store_core::{KvCapabilities, PutMode, PutOptions, Result};

use crate::codec::{bigint, int, text};
use crate::kv::CassandraKvStore;
use crate::kv_layout::{KEY_VALUES, by_bucket, encode, partition, seconds};
use crate::runs::{WRITES, each};
use crate::session::{Call, Class, Row, Value};
use crate::transaction::{MARK_SECONDS, Marks};

/// Rows that one request writes to a bucket.
pub(crate) const ROWS: usize = 64;
/// Bytes that one request writes, unless one row has more.
pub(crate) const BYTES: usize = 256 << 10;

/// A key and its value as JSON.
pub(crate) type Entry = (String, String);

/// A row that has a value: since when it has that, and its marks and since when it has these.
#[derive(Clone)]
struct There {
    key: String,
    written: i64,
    marks: Option<(Marks, i64)>,
}

impl There {
    const COLUMNS: &str = "key, WRITETIME(value) AS written, mark, WRITETIME(mark) AS marked";

    /// `None` of a row without a value.
    fn of(row: &Row<'_>) -> Result<Option<Self>> {
        let Some(written) = row.integer("written")? else { return Ok(None) };
        let key = row.needed_text("key")?.to_owned();
        let marked = row.integer("marked")?;
        let marks = marked.map(|marked| Marks::read(row, "mark").map(|marks| (marks, marked)));
        Ok(Some(Self { key, written, marks: marks.transpose()? }))
    }

    /// Whether a transaction wrote the value.
    fn is_of_transaction(&self) -> bool {
        self.marks.as_ref().is_some_and(|(_, marked)| *marked == self.written)
    }
}

impl CassandraKvStore {
    /// The text of a value; `LimitExceeded` for one that is too large.
    pub(crate) fn encoded(&self, key: &str, value: &impl Serialize) -> Result<String> {
        let text = encode(value).map_err(|error| error.with_key(key).with_failed([key]))?;
        check::within("value", key, text.len(), self.space.config.max_value_bytes)?;
        Ok(text)
    }

    /// Puts values, or nodes, that are their JSON: no object is made of them in between.
    pub(crate) async fn put<V: Serialize + Send>(
        &self,
        collection: &str,
        entries: Vec<(String, V)>,
        options: PutOptions,
    ) -> Result<()> {
        // Values are measured as they are encoded, not once more before.
        check::put(collection, &entries, &options, &KvCapabilities::new().with_ttl(true))?;
        Self::check(collection, entries.iter().map(|(key, _)| key.as_str()))?;
        let mut encoded: Vec<Entry> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let text = self.encoded(&key, &value)?;
            encoded.push((key, text));
        }
        if encoded.is_empty() {
            return Ok(());
        }
        if options.mode == PutMode::Insert {
            return self.insert(collection, encoded, options.ttl).await;
        }
        let entries = check::unique_by(encoded, true, |(key, _)| key.clone());
        let groups = by_bucket(entries, self.buckets().await?, |(key, _)| key);
        let (mut runs, mut writes) = (Vec::new(), Vec::new());
        for (bucket, entries) in &groups {
            for run in cut(entries, ROWS, BYTES, |(key, text)| key.len() + text.len()) {
                runs.push(run);
                writes.push(self.upsert(collection, *bucket, run, options));
            }
        }
        let names = |place: usize| names(runs.get(place).copied().unwrap_or_default());
        each(writes, WRITES, names).await.map(drop)
    }

    async fn upsert(
        &self,
        collection: &str,
        bucket: i32,
        entries: &[Entry],
        options: PutOptions,
    ) -> Result<()> {
        let seconds = options.ttl.map(|ttl| seconds(Some(ttl)));
        let time = self.space.clock.next();
        let calls = |table: &str| {
            let ttl = seconds.map_or("", |_| " USING TTL ?");
            let write =
                format!("UPDATE {table}{ttl} SET value = ? WHERE collection = ? AND bucket = ? AND key = ?");
            let call = |(key, value): &Entry| {
                let mut values: Vec<_> = seconds.map(int).into_iter().collect();
                values.push(text(value.as_str()));
                values.extend(partition(collection, bucket));
                values.push(text(key.as_str()));
                Call::new(Class::Write, write.clone(), values).at_time(time)
            };
            entries.iter().map(call).collect::<Vec<Call>>()
        };
        self.space.batch_on(&KEY_VALUES, Class::Write, calls).await.map(drop)
    }

    /// Reads which keys have a value and since when, and removes just those values: one that is written meanwhile
    /// stays, and what was not there leaves no trace. Marks stay for a while.
    pub(crate) async fn delete(&self, collection: &str, keys: &[&str]) -> Result<usize> {
        Self::check(collection, keys.iter().copied())?;
        let keys = check::unique_by(keys.to_vec(), false, |key| *key);
        let mut there: Vec<There> = Vec::new();
        let take = |row: &Row<'_>| {
            there.extend(There::of(row)?);
            Ok(())
        };
        let read = self.read(collection, &keys, There::COLUMNS, take).await;
        read.map_err(|error| error.with_failed(keys.iter().copied()))?;
        if there.is_empty() {
            return Ok(0);
        }
        let groups = by_bucket(there, self.buckets().await?, |row| &row.key);
        let (mut runs, mut deletes) = (Vec::new(), Vec::new());
        for (bucket, rows) in &groups {
            for run in cut(rows, ROWS, BYTES, |row| row.key.len()) {
                runs.push(run);
                deletes.push(self.remove(collection, *bucket, run));
            }
        }
        let keys = |rows: &[There]| rows.iter().map(|row| row.key.clone()).collect();
        let names = |place: usize| keys(runs.get(place).copied().unwrap_or_default());
        Ok(each(deletes, WRITES, names).await?.iter().sum())
    }

    /// Answers how many values were removed.
    async fn remove(&self, collection: &str, bucket: i32, rows: &[There]) -> Result<usize> {
        let rows = self.settled(collection, bucket, rows).await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let calls = |table: &str| {
            let row = "WHERE collection = ? AND bucket = ? AND key = ?";
            let mut calls = Vec::with_capacity(rows.len());
            for There { key, written, marks } in &rows {
                let mut call = |change: String, mut values: Vec<Value>| {
                    values.extend(partition(collection, bucket));
                    values.push(text(key.as_str()));
                    calls.push(Call::new(Class::Write, change, values));
                };
                let what = if marks.is_some() { "value " } else { "" };
                call(format!("DELETE {what}FROM {table} USING TIMESTAMP ? {row}"), vec![bigint(*written)]);
                if let Some((marks, marked)) = marks {
                    // Of two cells alike and of one time the one that ends counts; what is later stays.
                    let keep = format!("UPDATE {table} USING TIMESTAMP ? AND TTL ? SET mark = ? {row}");
                    call(keep, vec![bigint(*marked), int(MARK_SECONDS), marks.value()]);
                }
            }
            calls
        };
        self.space.batch_on(&KEY_VALUES, Class::Write, calls).await?;
        Ok(rows.len())
    }

    /// The rows once all transactions on them that were begun are at their end. One that has been answered may yet be
    /// completed once more by a node that met it in the middle, and then has a later time, at which its value would come
    /// back after a deletion.
    async fn settled(&self, collection: &str, bucket: i32, rows: &[There]) -> Result<Vec<There>> {
        let (open, mut settled): (Vec<There>, Vec<There>) =
            rows.iter().cloned().partition(There::is_of_transaction);
        if !open.is_empty() {
            let keys: Vec<&str> = open.iter().map(|row| row.key.as_str()).collect();
            let found =
                self.read_bucket(Class::SerialRead, collection, bucket, &keys, There::COLUMNS).await?;
            for row in found.iter() {
                settled.extend(There::of(&row)?);
            }
        }
        Ok(settled)
    }
}

fn names(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|(key, _)| key.clone()).collect()
}
