//! Changing key-values by lightweight transactions: inserts, and reading, deciding and writing in one step.
//!
//! All rows of one bucket go in one transaction, which is made whole or not at all. Each has a mark of its own, written
//! into the rows beside the value, also into one whose value goes, and before the marks of those before it: so a call
//! whose answer was lost finds out what became of it, and never makes a change twice.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use store_core::batches::cut;
use store_core::{Error, ErrorKind, JsonObject, Result, Update, UpdateFn, check};
use tokio::time::{Instant, sleep};

use crate::clock::wait_past;
use crate::codec::{int, text};
use crate::kv::CassandraKvStore;
use crate::kv_layout::{KEY_VALUES, bucket, by_bucket, decode, partition, seconds};
use crate::kv_write::{BYTES, Entry, ROWS};
use crate::runs::{TRANSACTIONS, each};
use crate::session::{Call, Class, Row, Rows, Value, bytes};

/// What is read of a row to change it.
const COLUMNS: &str = "key, value, mark, WRITETIME(value) AS written, WRITETIME(mark) AS marked, \
                       toUnixTimestamp(now()) AS now";
/// A transaction's own number, by chance.
type Mark = [u8; 16];
/// Marks that a row keeps.
const MARKS: usize = 4;
/// How long the mark of a deletion stays, in seconds: far longer than a call may take.
const MARK_SECONDS: i32 = 3_600;
/// The longest wait for a value that is from the future.
const FUTURE: i64 = 2_000_000;
/// The longest pause after others were faster.
const PAUSE: Duration = Duration::from_millis(100);

/// What a row held when it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Held {
    value: Option<String>,
    /// The marks of the last transactions, the newest first.
    mark: Option<Vec<u8>>,
}

impl Held {
    fn of(row: &Row<'_>) -> Result<Self> {
        let mark = row.bytes("mark")?.map(<[u8]>::to_vec);
        Ok(Self { value: row.text("value")?.map(str::to_owned), mark })
    }

    fn marks(&self) -> &[Mark] {
        self.mark.as_deref().unwrap_or_default().as_chunks().0
    }
}

/// A change of one row.
#[derive(Debug)]
struct Change {
    key: String,
    /// What must be there; `None`: no value, whatever else.
    held: Option<Held>,
    /// The new value; `None` to have none.
    value: Option<String>,
    ttl: i32,
}

impl Change {
    fn size(&self) -> usize {
        let held = self.held.as_ref().and_then(|held| held.value.as_ref()).map_or(0, String::len);
        self.key.len() + held + self.value.as_ref().map_or(0, String::len)
    }

    /// The marks of the row after it.
    fn marks(&self, mark: &Mark) -> Vec<u8> {
        let before = self.held.as_ref().map_or(&[][..], Held::marks);
        [mark].into_iter().chain(before).take(MARKS).flatten().copied().collect()
    }

    fn call(&self, table: &str, collection: &str, bucket: i32, mark: &Mark) -> Call {
        let nullable = |text: Option<&String>| text.map_or(Value::Null, |value| self::text(value.as_str()));
        let mut values = vec![int(self.ttl), nullable(self.value.as_ref()), bytes(self.marks(mark))];
        values.extend(partition(collection, bucket));
        values.push(text(self.key.as_str()));
        let condition = match &self.held {
            None => "value = null",
            Some(held) => {
                values.push(nullable(held.value.as_ref()));
                values.push(held.mark.as_ref().map_or(Value::Null, |mark| bytes(mark.clone())));
                "value = ? AND mark = ?"
            }
        };
        let change = format!(
            "UPDATE {table} USING TTL ? SET value = ?, mark = ? \
             WHERE collection = ? AND bucket = ? AND key = ? IF {condition}"
        );
        Call::new(Class::Conditional, change, values)
    }

    /// Whether others were faster for certain: the row still tells of the transaction that we saw as the last, but not
    /// of ours.
    fn missed(&self, found: Option<&Held>, mark: &Mark) -> bool {
        let seen = self.held.as_ref().and_then(|held| held.marks().first());
        let told = found.map_or(&[][..], Held::marks);
        seen.is_some_and(|seen| told.contains(seen)) && !told.contains(mark)
    }

    /// Whether a row is as it must be for this change.
    fn fits(&self, found: Option<&Held>) -> bool {
        match &self.held {
            None => found.is_none_or(|found| found.value.is_none()),
            Some(held) => found.map_or(*held == Held::default(), |found| found == held),
        }
    }
}

impl CassandraKvStore {
    /// Writes what is not there; `AlreadyExists` names the others.
    pub(crate) async fn insert(
        &self,
        collection: &str,
        entries: Vec<Entry>,
        ttl: Option<Duration>,
    ) -> Result<()> {
        let ttl = seconds(ttl);
        let entries =
            entries.into_iter().map(|(key, value)| Change { key, held: None, value: Some(value), ttl });
        let groups = by_bucket(entries.collect(), self.buckets().await?, |change| &change.key);
        self.space.clock.passed().await;
        let runs = split(groups);
        let mut inserts = Vec::with_capacity(runs.len());
        for (bucket, changes) in &runs {
            inserts.push(self.insert_run(collection, *bucket, changes.iter().collect()));
        }
        let existing = each(inserts, TRANSACTIONS, |place| names(runs.get(place))).await?.concat();
        if existing.is_empty() { Ok(()) } else { Err(check::already_exist("key", existing)) }
    }

    /// Answers the keys that are there already.
    async fn insert_run(
        &self,
        collection: &str,
        bucket: i32,
        mut changes: Vec<&Change>,
    ) -> Result<Vec<String>> {
        let mut existing = Vec::new();
        let mut pauses = Pauses::new(self.space.config.operation_timeout);
        while !changes.is_empty() {
            let turn = self.space.turns.take(collection, vec![bucket]).await;
            if self.transact(collection, bucket, &changes).await? {
                break;
            }
            drop(turn);
            let found = self.held(Class::Read, collection, bucket, &changes).await?;
            let before = changes.len();
            changes.retain(|change| {
                let there = !change.fits(found.get(&change.key));
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
        let buckets = self.buckets().await?;
        let mut after: HashMap<&str, Option<JsonObject>> = HashMap::with_capacity(keys.len());
        let mut open = keys.to_vec();
        let mut pauses = Pauses::new(self.space.config.operation_timeout);
        loop {
            let theirs = open.iter().map(|key| bucket(key, buckets)).collect();
            let turns = self.space.turns.take(collection, theirs).await;
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
                    let made = self.transact(collection, run.0, &run.1.iter().collect::<Vec<_>>()).await?;
                    Ok(if made { Vec::new() } else { names(Some(run)) })
                });
            }
            let lost = each(writes, TRANSACTIONS, |place| names(runs.get(place))).await?.concat();
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
            Update::Delete => Ok((
                None,
                Some(Change { key: key.to_owned(), held: Some(held), value: None, ttl: MARK_SECONDS }),
            )),
            Update::Put(value) => {
                let text = self.encoded(key, &value)?;
                let change = Change { key: key.to_owned(), held: Some(held), value: Some(text), ttl: 0 };
                Ok((Some(value), Some(change)))
            }
        }
    }

    /// Makes changes in one bucket, all or none: `false` when a row is not as it must be. An error names what may or
    /// may not have been made.
    async fn transact(&self, collection: &str, bucket: i32, changes: &[&Change]) -> Result<bool> {
        let mark: Mark = fastrand::u128(..).to_be_bytes();
        let mut pauses = Pauses::new(self.space.config.operation_timeout);
        let mut lost: Option<Error> = None;
        loop {
            let calls = |table: &str| {
                let call = |change: &&Change| change.call(table, collection, bucket, &mark);
                changes.iter().map(call).collect::<Vec<Call>>()
            };
            match self.space.batch_on(&KEY_VALUES, Class::Conditional, calls).await {
                Ok(answer) if answer.applied()? => return Ok(true),
                Ok(_) if lost.is_none() => return Ok(false),
                Ok(_) => {}
                Err(error) if may_be_made(&error) => lost = Some(error),
                Err(error) => return Err(error),
            }
            // Some answer was lost. This read ends what others left half done, also ours.
            let found = loop {
                match self.held(Class::SerialRead, collection, bucket, changes).await {
                    Ok(found) => break found,
                    Err(error) if may_be_made(&error) && pauses.pause().await => {}
                    Err(error) => return Err(lost.unwrap_or(error)),
                }
            };
            if found.values().any(|held| held.marks().contains(&mark)) {
                return Ok(true);
            }
            if changes.iter().all(|change| change.fits(found.get(&change.key))) {
                if pauses.pause().await {
                    continue;
                }
                return Err(lost.unwrap_or_else(|| too_slow(keys_of(changes))));
            }
            if changes.iter().any(|change| change.missed(found.get(&change.key), &mark)) {
                return Ok(false);
            }
            let why = "the answer was lost, and others have changed the key since: whether the change was made can not \
                       be known";
            let error = Error::new(ErrorKind::Timeout, why).with_retryable(false);
            return Err(match lost {
                Some(lost) => error.with_source(lost),
                None => error,
            });
        }
    }

    async fn held(
        &self,
        class: Class,
        collection: &str,
        bucket: i32,
        changes: &[&Change],
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

fn names(run: Option<&(i32, Vec<Change>)>) -> Vec<String> {
    run.iter().flat_map(|(_, changes)| changes).map(|change| change.key.clone()).collect()
}

fn keys_of(changes: &[&Change]) -> Vec<String> {
    changes.iter().map(|change| change.key.clone()).collect()
}

/// Whether a transaction may have been made though its call failed.
fn may_be_made(error: &Error) -> bool {
    error.is_retryable() && matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable)
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

/// Growing pauses of random length, until the time is over.
#[derive(Debug)]
struct Pauses {
    until: Instant,
    longest: Duration,
}

impl Pauses {
    fn new(limit: Duration) -> Self {
        Self { until: Instant::now() + limit, longest: Duration::from_millis(2) }
    }

    /// `false` once the time is over.
    async fn pause(&mut self) -> bool {
        sleep(self.longest.mul_f64(fastrand::f64())).await;
        self.longest = (self.longest * 2).min(PAUSE);
        Instant::now() < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(marks: &[u8]) -> Held {
        let mark = marks.iter().flat_map(|mark| [*mark; 16]).collect();
        Held { value: Some("{}".to_owned()), mark: Some(mark) }
    }

    fn change(held: Option<Held>) -> Change {
        Change { key: "k".to_owned(), held, value: Some("{}".to_owned()), ttl: 0 }
    }

    #[test]
    fn a_row_keeps_the_last_marks() {
        let mut row = Held::default();
        for mark in 1..=6 {
            row.mark = Some(change(Some(row.clone())).marks(&[mark; 16]));
        }
        assert_eq!(row, Held { value: None, ..held(&[6, 5, 4, 3]) });
        assert_eq!(change(None).marks(&[1; 16]), [1; 16]);
    }

    #[test]
    fn what_became_of_a_lost_change_is_told_by_the_marks() {
        let ours = change(Some(held(&[2, 1])));
        assert!(ours.fits(Some(&held(&[2, 1]))) && !ours.fits(Some(&held(&[3, 2, 1]))) && !ours.fits(None));
        assert!(ours.missed(Some(&held(&[4, 3, 2, 1])), &[9; 16]));
        // Made, and overtaken.
        assert!(!ours.missed(Some(&held(&[4, 9, 2, 1])), &[9; 16]));
        // Nobody knows.
        assert!(!ours.missed(Some(&held(&[6, 5, 4, 3])), &[9; 16]));
        assert!(!ours.missed(None, &[9; 16]));
        assert!(!change(Some(Held::default())).missed(Some(&held(&[3])), &[9; 16]));
    }

    #[test]
    fn an_insert_needs_no_value() {
        let insert = change(None);
        assert!(insert.fits(None) && insert.fits(Some(&Held { value: None, ..held(&[1]) })));
        assert!(!insert.fits(Some(&held(&[1]))));
    }
}
