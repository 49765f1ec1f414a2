//! Putting and deleting key-values.

use store_core::batches::cut;
use store_core::{JsonObject, KvCapabilities, PutMode, PutOptions, Result, check};

use crate::codec::{bigint, int, text};
use crate::kv::CassandraKvStore;
use crate::kv_layout::{KEY_VALUES, by_bucket, encode, partition, seconds};
use crate::runs::{WRITES, each};
use crate::session::{Call, Class, Row};

/// Rows that one request writes to a bucket.
pub(crate) const ROWS: usize = 64;
/// Bytes that one request writes, unless one row has more.
pub(crate) const BYTES: usize = 256 << 10;

/// A key and its value as JSON.
pub(crate) type Entry = (String, String);

impl CassandraKvStore {
    /// The text of a value; `LimitExceeded` for one that is too large.
    pub(crate) fn encoded(&self, key: &str, value: &JsonObject) -> Result<String> {
        let text = encode(value).map_err(|error| error.with_key(key).with_failed([key]))?;
        check::within("value", key, text.len(), self.space.config.max_value_bytes)?;
        Ok(text)
    }

    pub(crate) async fn put(
        &self,
        collection: &str,
        entries: Vec<(String, JsonObject)>,
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
    /// stays, and what was not there leaves no trace.
    pub(crate) async fn delete(&self, collection: &str, keys: &[&str]) -> Result<usize> {
        Self::check(collection, keys.iter().copied())?;
        let keys = check::unique_by(keys.to_vec(), false, |key| *key);
        let mut there: Vec<(String, i64)> = Vec::new();
        let take = |row: &Row<'_>| {
            if let Some(written) = row.integer("written")? {
                there.push((row.needed_text("key")?.to_owned(), written));
            }
            Ok(())
        };
        let read = self.read(collection, &keys, "key, WRITETIME(value) AS written", take).await;
        read.map_err(|error| error.with_failed(keys.iter().copied()))?;
        if there.is_empty() {
            return Ok(0);
        }
        let count = there.len();
        let groups = by_bucket(there, self.buckets().await?, |(key, _)| key);
        let (mut runs, mut deletes) = (Vec::new(), Vec::new());
        for (bucket, rows) in &groups {
            for run in cut(rows, ROWS, BYTES, |(key, _)| key.len()) {
                runs.push(run);
                deletes.push(self.remove(collection, *bucket, run));
            }
        }
        let names = |place: usize| names(runs.get(place).copied().unwrap_or_default());
        each(deletes, WRITES, names).await?;
        Ok(count)
    }

    async fn remove(&self, collection: &str, bucket: i32, rows: &[(String, i64)]) -> Result<()> {
        let calls = |table: &str| {
            let remove = format!(
                "DELETE FROM {table} USING TIMESTAMP ? WHERE collection = ? AND bucket = ? AND key = ?"
            );
            let call = |(key, written): &(String, i64)| {
                let mut values = vec![bigint(*written)];
                values.extend(partition(collection, bucket));
                values.push(text(key.as_str()));
                Call::new(Class::Write, remove.clone(), values)
            };
            rows.iter().map(call).collect::<Vec<Call>>()
        };
        self.space.batch_on(&KEY_VALUES, Class::Write, calls).await.map(drop)
    }
}

fn names<T>(rows: &[(String, T)]) -> Vec<String> {
    rows.iter().map(|(key, _)| key.clone()).collect()
}
