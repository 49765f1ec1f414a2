//! Key-values: one row each in the table `kv`, and one in `kv_expiry` for those that expire.
//!
//! A row of `kv` is `collection · key` → the time of expiry (8 bytes, big-endian milliseconds since 1970; 0 =
//! never) and the value as JSON. `kv_expiry` orders the same keys by time. Expired rows are unseen at once and
//! removed by later writes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use store_core::kit::check;
use store_core::kit::epoch::millis;
use store_core::{
    BoxStream, Error, ErrorKind, JsonObject, KvCapabilities, KvStore, PutMode, PutOptions, Result,
    ScanOptions, Update, UpdateFn,
};

use crate::codec::{self, Span};
use crate::engine::{Table, WriteTable, WriteTx};
use crate::error::at;
use crate::schema::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use crate::space::{Chunk, ChunkRow, Handle, Space};

/// Expired rows that a write removes besides as many as it writes: so the dead never outnumber the living for
/// long, and no single write pays for all of them.
const SWEEP: usize = 64;

/// How often an update that meets plain puts on its keys looks again before it answers `Conflict`.
const UPDATE_ROUNDS: usize = 100;

pub(crate) fn capabilities() -> KvCapabilities {
    KvCapabilities::new()
        .with_ttl(true)
        .with_max_key_bytes(MAX_KEY_BYTES)
        .with_max_value_bytes(MAX_VALUE_BYTES)
}

/// The key-value role.
#[derive(Debug)]
pub(crate) struct EmbeddedKvStore {
    handle: Arc<Handle>,
}

impl EmbeddedKvStore {
    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self { handle }
    }

    async fn put(
        &self,
        collection: &str,
        entries: Vec<(String, JsonObject)>,
        options: PutOptions,
    ) -> Result<()> {
        // Values are measured as they are encoded, not once more before.
        let unmeasured = KvCapabilities::new().with_ttl(true).with_max_key_bytes(MAX_KEY_BYTES);
        check::put(collection, &entries, &options, &unmeasured)?;
        check_collection(collection)?;
        if entries.is_empty() {
            return Ok(());
        }
        let expiry = options.ttl.map_or(0, |ttl| expiry_of(ttl, millis()));
        let mut records: Vec<Record> = Vec::with_capacity(entries.len());
        for (key, value) in &entries {
            // The values of a batch tend to be alike.
            let about = records.last().map_or(0, |(_, record)| record.len() + 64);
            let record =
                encode(key, value, expiry, about).map_err(|error| error.with_collection(collection))?;
            records.push((codec::join(collection, key.as_bytes()), record));
        }
        let keys: Vec<String> = entries.into_iter().map(|(key, _)| key).collect();
        let insert = options.mode == PutMode::Insert;
        let space = self.handle.space()?;
        let inner = Arc::clone(&space);
        let write = move |tx: &WriteTx| put_records(tx, &inner, &records, insert, millis());
        let existing = space.engine.write(write).await?;
        if existing.is_empty() {
            return Ok(());
        }
        let existing = existing.into_iter().filter_map(|place| keys.get(place).cloned()).collect();
        Err(check::already_exist("key", existing).with_collection(collection))
    }

    async fn update(
        &self,
        collection: &str,
        keys: &[&str],
        apply: &mut UpdateFn<'_>,
    ) -> Result<Vec<Option<JsonObject>>> {
        check_keys(collection, keys)?;
        check::no_duplicates("key", keys.iter().copied())?;
        let space = self.handle.space()?;
        let rows: Vec<Vec<u8>> = keys.iter().map(|key| codec::join(collection, key.as_bytes())).collect();
        // Updates of one key wait for each other here; only plain puts can still come in between.
        let _locks = space.lock_keys(rows.iter().map(Vec::as_slice)).await;
        let mut after = vec![None; keys.len()];
        let mut open: Vec<usize> = (0..keys.len()).collect();
        for _ in 0..UPDATE_ROUNDS {
            let wanted: Vec<Vec<u8>> = open.iter().filter_map(|place| rows.get(*place).cloned()).collect();
            let read = self.handle.read(move |tx, tables| {
                let (table, now) = (tx.table(&tables.kv)?, millis());
                wanted.iter().map(|row| read_alive(&table, row, now)).collect::<Result<Vec<_>>>()
            });
            let mut changes = Vec::new();
            let mut refused = None;
            for (place, old) in open.iter().zip(read.await?) {
                let (Some(key), Some(row), Some(after)) =
                    (keys.get(*place), rows.get(*place), after.get_mut(*place))
                else {
                    continue;
                };
                match decide(key, old, apply) {
                    Ok((value, change)) => {
                        *after = value;
                        changes.extend(change.map(|(old, new)| (*place, row.clone(), old, new)));
                    }
                    Err(error) => {
                        refused = Some(error.with_collection(collection));
                        break;
                    }
                }
            }
            open = if changes.is_empty() {
                Vec::new()
            } else {
                let inner = Arc::clone(&space);
                space.engine.write(move |tx| swap_records(tx, &inner, &changes, millis())).await?
            };
            if let Some(error) = refused {
                return Err(error);
            }
            if open.is_empty() {
                return Ok(after);
            }
        }
        let key = open.first().and_then(|place| keys.get(*place)).copied().unwrap_or_default();
        Err(Error::new(ErrorKind::Conflict, "plain puts kept changing the key")
            .with_collection(collection)
            .with_key(key))
    }
}

/// A row's key and its record: time of expiry and JSON.
type Record = (Vec<u8>, Vec<u8>);

/// A change of [`swap_records`]: place in the call, row, the record that must still be there, the new one.
type Swap = (usize, Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>);

/// When something that lives so long from now expires, rounded up to a millisecond.
fn expiry_of(ttl: Duration, now: u64) -> u64 {
    let ttl = u64::try_from(ttl.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    now.saturating_add(ttl)
}

/// A record; `about` is how many bytes it may take.
fn encode(key: &str, value: &JsonObject, expiry: u64, about: usize) -> Result<Vec<u8>> {
    let mut record = Vec::with_capacity(about);
    record.extend(expiry.to_be_bytes());
    codec::append_json(&mut record, value).map_err(|error| error.with_key(key).with_failed([key]))?;
    check::within("value", key, record.len() - size_of::<u64>(), MAX_VALUE_BYTES)?;
    Ok(record)
}

/// The JSON of a record that has not expired.
fn alive(record: &[u8], now: u64) -> Result<Option<&[u8]>> {
    let (expiry, json) = codec::take_u64(record)?;
    Ok((expiry == 0 || expiry > now).then_some(json))
}

/// A record that has not expired, with its value.
fn read_alive(table: &impl Table, row: &[u8], now: u64) -> Result<Option<(Vec<u8>, JsonObject)>> {
    let Some(stored) = table.get(row)? else { return Ok(None) };
    let Some(json) = alive(stored.value(), now)? else { return Ok(None) };
    Ok(Some((stored.value().to_vec(), codec::object(json)?)))
}

fn expiry_row(expiry: u64, row: &[u8]) -> Vec<u8> {
    [expiry.to_be_bytes().as_slice(), row].concat()
}

/// The two tables of a write. The second is opened when it is needed: most stores never do.
struct KvTables<'tx> {
    rows: WriteTable<'tx>,
    expiry: Option<WriteTable<'tx>>,
    tx: &'tx WriteTx,
    space: &'tx Space,
}

impl<'tx> KvTables<'tx> {
    fn open(tx: &'tx WriteTx, space: &'tx Space) -> Result<Self> {
        Ok(Self { rows: tx.table(&space.tables.kv)?, expiry: None, tx, space })
    }

    fn expiry(&mut self) -> Result<&mut WriteTable<'tx>> {
        let table = match self.expiry.take() {
            Some(table) => table,
            None => self.tx.table(&self.space.tables.kv_expiry)?,
        };
        Ok(self.expiry.insert(table))
    }

    fn insert(&mut self, row: &[u8], record: &[u8]) -> Result<()> {
        let old = self.rows.insert(row, record)?.map(|old| codec::take_u64(old.value()).map(|(at, _)| at));
        self.forget(row, old.transpose()?)?;
        let (expiry, _) = codec::take_u64(record)?;
        if expiry > 0 {
            self.space.expiring.store(true, Ordering::Relaxed);
            self.expiry()?.insert(&expiry_row(expiry, row), &[])?;
        }
        Ok(())
    }

    /// Answers whether there was a value that had not expired.
    fn remove(&mut self, row: &[u8], now: u64) -> Result<bool> {
        let old = self.rows.remove(row)?.map(|old| codec::take_u64(old.value()).map(|(at, _)| at));
        let old = old.transpose()?;
        self.forget(row, old)?;
        Ok(old.is_some_and(|expiry| expiry == 0 || expiry > now))
    }

    fn forget(&mut self, row: &[u8], expiry: Option<u64>) -> Result<()> {
        if let Some(expiry) = expiry.filter(|expiry| *expiry > 0) {
            self.expiry()?.remove(&expiry_row(expiry, row))?;
        }
        Ok(())
    }

    /// Removes up to `most` rows that have expired.
    fn sweep(&mut self, now: u64, most: usize) -> Result<()> {
        if !self.space.expiring.load(Ordering::Relaxed) {
            return Ok(());
        }
        let expiry = self.expiry()?;
        if expiry.len()? == 0 {
            self.space.expiring.store(false, Ordering::Relaxed);
            return Ok(());
        }
        let mut dead = Vec::new();
        for entry in expiry.range(&Span::all())?.take(most) {
            let (key, _) = entry?;
            let (expiry, row) = codec::take_u64(key.value())?;
            if expiry > now {
                break;
            }
            dead.push((key.value().to_vec(), row.to_vec()));
        }
        for (entry, row) in dead {
            self.expiry()?.remove(&entry)?;
            self.rows.remove(&row)?;
        }
        Ok(())
    }
}

/// Writes records; with `insert` only those of absent keys. Answers the places of the keys that exist.
fn put_records(
    tx: &WriteTx,
    space: &Space,
    records: &[Record],
    insert: bool,
    now: u64,
) -> Result<Vec<usize>> {
    let mut kv = KvTables::open(tx, space)?;
    let mut existing = Vec::new();
    for (place, (row, record)) in records.iter().enumerate() {
        let exists =
            insert && kv.rows.get(row)?.is_some_and(|old| alive(old.value(), now).is_ok_and(|a| a.is_some()));
        if exists {
            existing.push(place);
        } else {
            kv.insert(row, record)?;
        }
    }
    kv.sweep(now, SWEEP + records.len())?;
    Ok(existing)
}

/// Makes the changes whose old record is still there; answers the places of the others.
fn swap_records(tx: &WriteTx, space: &Space, changes: &[Swap], now: u64) -> Result<Vec<usize>> {
    let mut kv = KvTables::open(tx, space)?;
    let mut conflicts = Vec::new();
    for (place, row, old, new) in changes {
        let same = match kv.rows.get(row)? {
            Some(stored) if alive(stored.value(), now)?.is_some() => old.as_deref() == Some(stored.value()),
            _ => old.is_none(),
        };
        match new {
            _ if !same => conflicts.push(*place),
            Some(record) => kv.insert(row, record)?,
            None => {
                kv.remove(row, now)?;
            }
        }
    }
    kv.sweep(now, SWEEP + changes.len())?;
    Ok(conflicts)
}

/// Removes rows; answers how many held a value.
fn remove_records(tx: &WriteTx, space: &Space, rows: &[Vec<u8>], now: u64) -> Result<usize> {
    let mut kv = KvTables::open(tx, space)?;
    let mut removed = 0;
    for row in rows {
        removed += usize::from(kv.remove(row, now)?);
    }
    Ok(removed)
}

/// What the old record must still be, and what it becomes.
type Change = (Option<Vec<u8>>, Option<Vec<u8>>);

/// Asks `apply` about one key: the value afterwards, and the change to make, if any.
fn decide(
    key: &str,
    old: Option<(Vec<u8>, JsonObject)>,
    apply: &mut UpdateFn<'_>,
) -> Result<(Option<JsonObject>, Option<Change>)> {
    let (record, value) = old.unzip();
    Ok(match apply(key, value.as_ref())? {
        Update::Keep => (value, None),
        Update::Put(new) => {
            let encoded = encode(key, &new, 0, 0)?;
            (Some(new), Some((record, Some(encoded))))
        }
        Update::Delete => (None, record.map(|record| (Some(record), None))),
    })
}

fn check_collection(collection: &str) -> Result<()> {
    check::within("collection name", collection, collection.len(), MAX_KEY_BYTES)
}

fn check_keys(collection: &str, keys: &[&str]) -> Result<()> {
    check::collection_and_keys(collection, keys.iter().copied())?;
    check_collection(collection)?;
    keys.iter().try_for_each(|key| check::within("key", key, key.len(), MAX_KEY_BYTES))
}

fn joined(collection: &str, keys: &[&str]) -> Vec<Vec<u8>> {
    keys.iter().map(|key| codec::join(collection, key.as_bytes())).collect()
}

#[async_trait]
impl KvStore for EmbeddedKvStore {
    async fn get_many(&self, collection: &str, keys: &[&str]) -> Result<Vec<Option<JsonObject>>> {
        check::collection_and_keys(collection, keys.iter().copied()).map_err(at("kv.get_many"))?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let rows = joined(collection, keys);
        let read = self.handle.read(move |tx, tables| {
            let (table, now) = (tx.table(&tables.kv)?, millis());
            rows.iter().map(|row| Ok(read_alive(&table, row, now)?.map(|(_, value)| value))).collect()
        });
        read.await.map_err(at("kv.get_many"))
    }

    async fn put_many(
        &self,
        collection: &str,
        entries: Vec<(String, JsonObject)>,
        options: PutOptions,
    ) -> Result<()> {
        self.put(collection, entries, options).await.map_err(at("kv.put_many"))
    }

    async fn delete_many(&self, collection: &str, keys: &[&str]) -> Result<usize> {
        check::collection_and_keys(collection, keys.iter().copied()).map_err(at("kv.delete_many"))?;
        if keys.is_empty() {
            return Ok(0);
        }
        let rows = joined(collection, keys);
        let write = async {
            let space = self.handle.space()?;
            let inner = Arc::clone(&space);
            space.engine.write(move |tx| remove_records(tx, &inner, &rows, millis())).await
        };
        write.await.map_err(at("kv.delete_many"))
    }

    async fn update_many(
        &self,
        collection: &str,
        keys: &[&str],
        apply: &mut UpdateFn<'_>,
    ) -> Result<Vec<Option<JsonObject>>> {
        self.update(collection, keys, apply).await.map_err(at("kv.update_many"))
    }

    fn scan(&self, collection: &str, options: ScanOptions) -> BoxStream<(String, JsonObject)> {
        if let Err(error) = check::non_empty("collection name", collection) {
            return stream::iter([Err(at("kv.scan")(error))]).boxed();
        }
        let mut span = Span::prefix(&codec::join(collection, options.prefix.as_bytes()));
        if let Some(after) = &options.after {
            span = span.after(&codec::join(collection, after.as_bytes()));
        }
        self.handle.stream("kv.scan", move |tx, tables, after| {
            let (table, now) = (tx.table(&tables.kv)?, millis());
            let span = after.map_or_else(|| span.clone(), |after| span.clone().after(after));
            let rows = table.range(&span)?.filter_map(|row| scanned(row, now).transpose());
            Chunk::fill(rows)
        })
    }

    fn capabilities(&self) -> KvCapabilities {
        capabilities()
    }
}

type Row<'a> = Result<(crate::engine::Guard<'a>, crate::engine::Guard<'a>)>;

/// A row of a scan as [`Chunk::fill`] takes it; `None` when it has expired.
fn scanned(row: Row<'_>, now: u64) -> Result<Option<ChunkRow<(String, JsonObject)>>> {
    let (row, record) = row?;
    let Some(json) = alive(record.value(), now)? else { return Ok(None) };
    let (_, key) = codec::split(row.value())?;
    let item = (codec::text(key)?.to_owned(), codec::object(json)?);
    Ok(Some((row.value().to_vec(), json.len(), item)))
}

#[cfg(test)]
#[path = "kv_tests.rs"]
mod tests;
