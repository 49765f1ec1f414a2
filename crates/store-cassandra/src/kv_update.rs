//! Changing key-values by lightweight transactions: inserts, and reading, deciding and writing in one step.
//!
//! All rows of one bucket go in one transaction, which is made whole or not at all. Each has a mark of its own (see
//! [`transaction`](crate::transaction)), written into the rows beside the value, also into one whose value goes: so a call
//! whose answer was lost finds out what became of it, and never makes a change twice.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use store_core::kit::batches::cut;
use store_core::kit::check;
use store_core::{Error, ErrorKind, JsonObject, Result, Update, UpdateFn};

use crate::clock::wait_past;
use crate::codec::{int, text};
use crate::deadline;
use crate::kv::CassandraKvStore;
use crate::kv_layout::{KEY_VALUES, bucket, by_bucket, decode, partition, seconds};
use crate::kv_write::{BYTES, Entry, ROWS};
use crate::runs::{TRANSACTIONS, each};
use crate::session::{Call, Class, Row, Rows, Value};
use crate::transaction::{Fate, MARK_SECONDS, Mark, Marks, Pauses, once};

/// What is read of a row to change it.
const COLUMNS: &str = "key, value, mark, WRITETIME(value) AS written, WRITETIME(mark) AS marked, \
                       toUnixTimestamp(now()) AS now";
/// Keys that are changed in the time of one call, sixteen transactions at once; more of them have more time.
const KEYS_IN_TIME: usize = 256;
/// The longest wait for a value that is from the future.
const FUTURE: i64 = 2_000_000;

/// What a row held when it was read; nothing where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Held {
    value: Option<String>,
    marks: Marks,
}

impl Held {
    fn of(row: &Row<'_>) -> Result<Self> {
        Ok(Self { value: row.text("value")?.map(str::to_owned), marks: Marks::read(row, "mark")? })
    }
}

/// A change of one row.
#[derive(Debug)]
struct Change {
    key: String,
    /// What must be there.
    held: Held,
    /// The new value; `None` to have none.
    value: Option<String>,
    ttl: i32,
}

impl Change {
    fn size(&self) -> usize {
        let values = [&self.held.value, &self.value].into_iter().flatten().map(String::len);
        self.key.len() + values.sum::<usize>() + 2 * self.held.marks.size()
    }

    /// A statement, or two where the value has less time to live than its marks.
    fn calls(&self, table: &str, collection: &str, bucket: i32, mark: &Mark) -> Vec<Call> {
        let nullable = |text: Option<&String>| text.map_or(Value::Null, |value| self::text(value.as_str()));
        let row = || partition(collection, bucket).into_iter().chain([text(self.key.as_str())]);
        let (value, marks) = (nullable(self.value.as_ref()), self.held.marks.with(mark).value());
        let held = [nullable(self.held.value.as_ref()), self.held.marks.value()];
        let call = |ttl: i32, set: &str, values: Vec<Value>, condition: &str, held: &[Value]| {
            let change = format!(
                "UPDATE {table} USING TTL ? SET {set} WHERE collection = ? AND bucket = ? AND key = ?{condition}"
            );
            let values = [int(ttl)].into_iter().chain(values).chain(row()).chain(held.iter().cloned());
            Call::new(Class::Conditional, change, values.collect())
        };
        let condition = " IF value = ? AND mark = ?";
        if (1..MARK_SECONDS).contains(&self.ttl) {
            vec![
                call(self.ttl, "value = ?", vec![value], condition, &held),
                call(MARK_SECONDS, "mark = ?", vec![marks], "", &[]),
            ]
        } else {
            vec![call(self.ttl, "value = ?, mark = ?", vec![value, marks], condition, &held)]
        }
    }

    /// What a serial read tells of a transaction with this mark.
    fn fate(&self, mark: &Mark, found: &Held) -> Fate {
        Fate::of(mark, &self.held.marks, &found.marks, self.held == *found)
    }
}

impl CassandraKvStore {
    /// The time of a call that changes so many keys: that of the configuration for each [`KEYS_IN_TIME`].
    fn time_for(&self, keys: usize) -> Duration {
        let times = u32::try_from(keys.div_ceil(KEYS_IN_TIME)).unwrap_or(u32::MAX);
        self.space.config.operation_timeout.saturating_mul(times.max(1))
    }

    /// Writes what is not there; `AlreadyExists` names the others.
    pub(crate) async fn insert(
        &self,
        collection: &str,
        entries: Vec<Entry>,
        ttl: Option<Duration>,
    ) -> Result<()> {
        deadline::within(self.time_for(entries.len()), self.insert_in_time(collection, entries, ttl)).await
    }

    async fn insert_in_time(
        &self,
        collection: &str,
        entries: Vec<Entry>,
        ttl: Option<Duration>,
    ) -> Result<()> {
        let ttl = seconds(ttl);
        // What is not there has no marks either, but for a while after a deletion.
        let new = |(key, value): Entry| Change { key, held: Held::default(), value: Some(value), ttl };
        let entries = entries.into_iter().map(new);
        let groups = by_bucket(entries.collect(), self.buckets().await?, |change| &change.key);
        self.space.clock.passed().await;
        let runs = split(groups);
        let keys: Vec<Vec<String>> = runs.iter().map(|(_, changes)| keys_of(changes)).collect();
        let mut inserts = Vec::with_capacity(runs.len());
        for (bucket, changes) in runs {
            inserts.push(self.insert_run(collection, bucket, changes));
        }
        let names = |place: usize| keys.get(place).cloned().unwrap_or_default();
        let existing = each(inserts, TRANSACTIONS, names).await?.concat();
        if existing.is_empty() { Ok(()) } else { Err(check::already_exist("key", existing)) }
    }

    /// Answers the keys that are there already.
    async fn insert_run(
        &self,
        collection: &str,
        bucket: i32,
        mut changes: Vec<Change>,
    ) -> Result<Vec<String>> {
        let (mut existing, limit) = (Vec::new(), self.space.config.operation_timeout);
        let mut pauses = Pauses::new(limit);
        while !changes.is_empty() {
            let turn = self.space.turns.take(collection, vec![bucket], limit).await?;
            if self.transact(collection, bucket, &changes).await? {
                break;
            }
            drop(turn);
            let mut found = self.held(Class::Read, collection, bucket, &changes).await?;
            let before = changes.len();
            changes.retain_mut(|change| {
                change.held = found.remove(&change.key).unwrap_or_default();
                let there = change.held.value.is_some();
                if there {
                    existing.push(change.key.clone());
                }
                !there
            });
            if changes.len() == before && !pauses.pause().await {
                return Err(too_slow(keys_of(&changes)));
            }
        }
        Ok(existing)
    }

    pub(crate) async fn update(
        &self,
        collection: &str,
        keys: &[&str],
        apply: &mut UpdateFn<'_>,
    ) -> Result<Vec<Option<JsonObject>>> {
        Self::check(collection, keys.iter().copied())?;
        check::no_duplicates("key", keys.iter().copied())?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        deadline::within(self.time_for(keys.len()), self.update_in_time(collection, keys, apply)).await
    }

    async fn update_in_time(
        &self,
        collection: &str,
        keys: &[&str],
        apply: &mut UpdateFn<'_>,
    ) -> Result<Vec<Option<JsonObject>>> {
        let limit = self.time_for(keys.len());
        let buckets = self.buckets().await?;
        let mut after: HashMap<&str, Option<JsonObject>> = HashMap::with_capacity(keys.len());
        let mut open = keys.to_vec();
        let mut pauses = Pauses::new(limit);
        loop {
            let theirs = open.iter().map(|key| bucket(key, buckets)).collect();
            let turns = self.space.turns.take(collection, theirs, limit).await;
            let turns = turns.map_err(|error| error.with_failed(open.iter().copied()))?;
            let read = self.read_to_change(collection, &open).await;
            let held = read.map_err(|error| error.with_failed(open.iter().copied()))?;
            let (mut changes, mut refused) = (Vec::new(), None);
            for key in &open {
                match self.decide(key, held.get(*key), apply) {
                    Ok((value, change)) => {
                        after.insert(key, value);
                        changes.extend(change);
                    }
                    Err(error) => {
                        refused = Some(error);
                        break;
                    }
                }
            }
            let runs = split(by_bucket(changes, buckets, |change| &change.key));
            let mut writes = Vec::with_capacity(runs.len());
            for run in &runs {
                writes.push(async move {
                    let made = self.transact(collection, run.0, &run.1).await?;
                    Ok(if made { Vec::new() } else { keys_of(&run.1) })
                });
            }
            let names =
                |place: usize| runs.get(place).map(|(_, changes)| keys_of(changes)).unwrap_or_default();
            let lost = each(writes, TRANSACTIONS, names).await?.concat();
            drop(turns);
            if let Some(error) = refused {
                return Err(error);
            }
            if lost.is_empty() {
                return Ok(keys.iter().map(|key| after.remove(key).flatten()).collect());
            }
            open.retain(|key| lost.iter().any(|lost| lost == key));
            if !pauses.pause().await {
                return Err(too_slow(lost));
            }
        }
    }

    /// The rows of keys, none of them of a time that a transaction of now might not replace.
    async fn read_to_change(&self, collection: &str, keys: &[&str]) -> Result<HashMap<String, Held>> {
        let mut held = HashMap::with_capacity(keys.len());
        let mut latest: Option<(i64, i64)> = None;
        let take = |row: &Row<'_>| {
            let key = row.needed_text("key")?;
            held.insert(key.to_owned(), Held::of(row)?);
            let written = row.integer("written")?;
            // The nodes order transactions themselves.
            if let (Some(written), Some(now)) = (written, row.integer("now")?)
                && row.integer("marked")? != Some(written)
            {
                let now = now.saturating_mul(1_000);
                if written.saturating_sub(now) > FUTURE {
                    return Err(from_the_future(key, written.saturating_sub(now)));
                }
                let later = latest.is_none_or(|(other, then)| written - now > other - then);
                latest = if later { Some((written, now)) } else { latest };
            }
            Ok(())
        };
        self.read(collection, keys, COLUMNS, take).await?;
        if let Some((written, now)) = latest {
            wait_past(written, now).await;
        }
        self.space.clock.passed().await;
        Ok(held)
    }

    /// Asks `apply` about one key: the value afterwards, and the change to make, if any.
    fn decide(
        &self,
        key: &str,
        held: Option<&Held>,
        apply: &mut UpdateFn<'_>,
    ) -> Result<(Option<JsonObject>, Option<Change>)> {
        let held = held.cloned().unwrap_or_default();
        let old = held.value.as_ref().map(|stored| decode(key, stored)).transpose()?;
        match apply(key, old.as_ref())? {
            Update::Keep => Ok((old, None)),
            Update::Delete if old.is_none() => Ok((None, None)),
            Update::Delete => {
                Ok((None, Some(Change { key: key.to_owned(), held, value: None, ttl: MARK_SECONDS })))
            }
            Update::Put(value) => {
                let text = self.encoded(key, &value)?;
                let change = Change { key: key.to_owned(), held, value: Some(text), ttl: 0 };
                Ok((Some(value), Some(change)))
            }
        }
    }

    /// Makes changes in one bucket, all or none: `false` when a row is not as it must be. An error names what may or
    /// may not have been made.
    async fn transact(&self, collection: &str, bucket: i32, changes: &[Change]) -> Result<bool> {
        let mark = self.space.writer.mark();
        let calls = |table: &str| {
            let calls = |change: &Change| change.calls(table, collection, bucket, &mark);
            changes.iter().flat_map(calls).collect::<Vec<Call>>()
        };
        let attempt =
            || async { self.space.batch_on(&KEY_VALUES, Class::Conditional, calls).await?.applied() };
        let look = || async {
            let found = self.held(Class::SerialRead, collection, bucket, changes).await?;
            let none = Held::default();
            let fate = |change: &Change| change.fate(&mark, found.get(&change.key).unwrap_or(&none));
            Ok(Fate::of_rows(&changes.iter().map(fate).collect::<Vec<Fate>>()))
        };
        once(self.space.config.operation_timeout, attempt, look).await
    }

    async fn held(
        &self,
        class: Class,
        collection: &str,
        bucket: i32,
        changes: &[Change],
    ) -> Result<HashMap<String, Held>> {
        let keys: Vec<&str> = changes.iter().map(|change| change.key.as_str()).collect();
        let rows: Rows = self.read_bucket(class, collection, bucket, &keys, "key, value, mark").await?;
        rows.iter().map(|row| Ok((row.needed_text("key")?.to_owned(), Held::of(&row)?))).collect()
    }
}

/// Cuts the changes of each bucket into what one transaction takes.
fn split(groups: BTreeMap<i32, Vec<Change>>) -> Vec<(i32, Vec<Change>)> {
    let mut runs = Vec::with_capacity(groups.len());
    for (bucket, changes) in groups {
        let lengths: Vec<usize> = cut(&changes, ROWS, BYTES, Change::size).map(<[Change]>::len).collect();
        let mut changes = changes.into_iter();
        runs.extend(lengths.into_iter().map(|length| (bucket, changes.by_ref().take(length).collect())));
    }
    runs
}

fn keys_of(changes: &[Change]) -> Vec<String> {
    changes.iter().map(|change| change.key.clone()).collect()
}

fn too_slow(keys: Vec<String>) -> Error {
    let message = "others changed the key each time it was read, until the time was over";
    let key = keys.first().cloned().unwrap_or_default();
    Error::new(ErrorKind::Conflict, message).with_key(key).with_failed(keys)
}

fn from_the_future(key: &str, micros: i64) -> Error {
    let message = format!(
        "the value was written with a time that is {} s ahead of the nodes', and no transaction can replace it before; \
         set the clock of the client that wrote it",
        micros / 1_000_000
    );
    Error::new(ErrorKind::Conflict, message).with_key(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_outlive_what_is_short_lived() {
        let change = |ttl| {
            let held = Held { value: Some("{}".to_owned()), marks: Marks::default().with(&[1; 16]) };
            Change { key: "k".to_owned(), held, value: Some("{}".to_owned()), ttl }
        };
        let statements = |ttl| change(ttl).calls("t", "c", 0, &[2; 16]).len();
        assert_eq!([0, 1, 3_599, 3_600, 100_000].map(statements), [1, 2, 2, 1, 1]);
    }
}
