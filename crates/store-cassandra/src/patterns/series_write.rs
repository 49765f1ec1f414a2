//! Writing the rows of a time series.

use std::collections::{HashMap, HashSet};

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use serde::Serialize;
use serde_json::Value as Json;
use store_core::kit::batches::cut;
use store_core::{Error, Result};

use super::time_series::Inner;
use crate::codec::bigint;
use crate::schema::quoted;
use crate::session::{Call, Class, Rows, Value, bytes};

/// Rows and bytes that are written in one request, all of one partition.
const BATCH_ROWS: usize = 100;
const BATCH_BYTES: usize = 1 << 18;
/// Requests for writes at the same time.
const WRITES: usize = 32;

/// A row on its way: its number, the values of its partition key, and all its values.
struct Placed {
    number: usize,
    partition: Vec<Value>,
    /// How many values make the key within the partition.
    keys: usize,
    values: Vec<Value>,
    bytes: usize,
}

impl Placed {
    /// The key within the partition.
    fn key(&self) -> Vec<u8> {
        let from = self.partition.len();
        flat(self.values.get(from..from + self.keys).unwrap_or_default())
    }
}

/// Does all writes, some at a time; an error names the rows that were not written, or of which that is not known.
async fn each<R>(writes: Vec<BoxFuture<'_, (Vec<&Placed>, Result<R>)>>) -> Result<Vec<R>> {
    let (mut done, mut failed, mut first) = (Vec::new(), Vec::new(), None);
    let mut answers = stream::iter(writes).buffer_unordered(WRITES);
    while let Some((rows, answer)) = answers.next().await {
        match answer {
            Ok(answer) => done.push(answer),
            Err(error) => {
                failed.extend(rows.into_iter().map(|row| row.number));
                first.get_or_insert(error);
            }
        }
    }
    let Some(error) = first else { return Ok(done) };
    failed.sort_unstable();
    Err(error.with_failed(failed.into_iter().map(|number| number.to_string())))
}

impl Inner {
    /// The rows by their partitions.
    fn partitions<T: Serialize>(&self, rows: &[T]) -> Result<HashMap<Vec<u8>, Vec<Placed>>> {
        let mut partitions: HashMap<Vec<u8>, Vec<Placed>> = HashMap::new();
        for (number, row) in rows.iter().enumerate() {
            let row = self.place(number, row).map_err(|error| error.with_failed([number.to_string()]))?;
            partitions.entry(flat(&row.partition)).or_default().push(row);
        }
        Ok(partitions)
    }

    pub(super) async fn put<T: Serialize>(&self, rows: &[T]) -> Result<()> {
        let partitions = self.partitions(rows)?;
        if partitions.is_empty() {
            return Ok(());
        }
        let table = self.table().await?;
        let insert = self.insert(table);
        let mut writes = Vec::new();
        for rows in partitions.values() {
            for run in cut(rows, BATCH_ROWS, BATCH_BYTES, |row| row.bytes) {
                let calls: Vec<Call> = run
                    .iter()
                    .map(|row| Call::new(Class::Write, insert.as_str(), row.values.clone()))
                    .collect();
                let write = self.space.driver().batch(Class::Write, calls);
                writes.push(async move { (run.iter().collect(), write.await) }.boxed());
            }
        }
        each(writes).await.map(drop)
    }

    pub(super) async fn put_once<T: Serialize>(&self, rows: &[T]) -> Result<Vec<bool>> {
        let partitions = self.partitions(rows)?;
        let mut new = vec![false; rows.len()];
        if partitions.is_empty() {
            return Ok(new);
        }
        let insert = format!("{} IF NOT EXISTS", self.insert(self.table().await?));
        let mut writes = Vec::new();
        for (partition, rows) in &partitions {
            // One of each: a transaction would not see that another row of it has the same key.
            let mut keys = HashSet::new();
            let rows: Vec<&Placed> = rows.iter().filter(|row| keys.insert(row.key())).collect();
            let insert = insert.as_str();
            writes.push(async move { self.put_run(insert, partition, rows).await }.boxed());
        }
        for number in each(writes).await?.into_iter().flatten() {
            if let Some(new) = new.get_mut(number) {
                *new = true;
            }
        }
        Ok(new)
    }

    /// Inserts rows of one partition that are not there; answers the numbers of these.
    async fn put_run<'a>(
        &self,
        insert: &str,
        partition: &[u8],
        rows: Vec<&'a Placed>,
    ) -> (Vec<&'a Placed>, Result<Vec<usize>>) {
        let place = i32::try_from(crate::kv_layout::hash(partition) >> 33).unwrap_or_default();
        // Two transactions at once on one partition hinder each other.
        let limit = self.space.config.operation_timeout;
        let _turn = match self.space.turns.take(&self.series.name, vec![place], limit).await {
            Ok(turn) => turn,
            Err(error) => return (rows, Err(error)),
        };
        let mut new = Vec::new();
        let sizes: Vec<usize> =
            cut(&rows, BATCH_ROWS, BATCH_BYTES, |row| row.bytes).map(<[_]>::len).collect();
        let mut rows = rows.into_iter();
        for size in sizes {
            let mut run: Vec<&Placed> = rows.by_ref().take(size).collect();
            while !run.is_empty() {
                let calls = run.iter().map(|row| Call::new(Class::Conditional, insert, row.values.clone()));
                let there = match self.space.driver().batch(Class::Conditional, calls.collect()).await {
                    Ok(answer) => self.there(&answer),
                    Err(error) => Err(error),
                };
                let left = run.len();
                match there {
                    Ok(None) => break,
                    Ok(Some(there)) => run.retain(|row| !there.contains(&row.key())),
                    Err(error) => return (run.into_iter().chain(rows).collect(), Err(error)),
                }
                if run.len() == left {
                    let error = Error::corrupt("the nodes refuse an insert, and do not say what is there");
                    return (run.into_iter().chain(rows).collect(), Err(error));
                }
            }
            new.extend(run.iter().map(|row| row.number));
        }
        (Vec::new(), Ok(new))
    }

    /// The keys of the rows that were there, in the answer to a transaction; `None` where it was made.
    fn there(&self, answer: &Rows) -> Result<Option<HashSet<Vec<u8>>>> {
        if answer.applied()? {
            return Ok(None);
        }
        let mut there = HashSet::new();
        for row in answer.iter() {
            let columns =
                std::iter::once("time").chain(self.series.ids.iter().map(|(name, _)| name.as_str()));
            let cells = columns.map(|column| {
                let cell = row.bytes(column)?;
                Ok(cell.map_or(Value::Null, |cell| bytes(cell.to_vec())))
            });
            there.insert(flat(&cells.collect::<Result<Vec<Value>>>()?));
        }
        Ok(Some(there))
    }

    fn place<T: Serialize>(&self, number: usize, row: &T) -> Result<Placed> {
        let row = serde_json::to_value(row)
            .map_err(|error| Error::invalid_input("the row can not be written as JSON").with_source(error))?;
        let Json::Object(row) = row else {
            return Err(Error::invalid_input("the row is no JSON object"));
        };
        let time = row.get("time").and_then(Json::as_i64).ok_or_else(|| {
            Error::invalid_input("the row has no time: an integer, milliseconds since 1970")
        })?;
        let (ids, columns) = self.series.values(&row)?;
        let mut key = Vec::with_capacity(self.series.keys.len());
        for name in &self.series.keys {
            let value = row.get(name).and_then(Json::as_str);
            key.push(value.ok_or_else(|| Error::invalid_input(format!("the row has no text {name:?}")))?);
        }
        let shard = shard(time, &ids, self.series.shards);
        let partition = self.partition(&key, time.div_euclid(self.series.length()), shard)?;
        let mut values = partition.clone();
        values.push(bigint(time));
        let keys = 1 + ids.len();
        values.extend(ids);
        values.extend(columns);
        let bytes = flat(&values).len();
        Ok(Placed { number, partition, keys, values, bytes })
    }

    fn insert(&self, table: &str) -> String {
        let mut names: Vec<String> = self.series.keys.iter().map(|key| quoted(key)).collect();
        names.extend(["bucket", "shard", "time"].map(str::to_owned));
        names.extend(self.series.fields().map(|(name, _)| quoted(name)));
        let marks = vec!["?"; names.len()].join(", ");
        format!("INSERT INTO {table} ({}) VALUES ({marks})", names.join(", "))
    }
}

/// The shard of a row: the FNV-1a hash (Fowler, Noll, Vo; 32 bits) of its time and ids by their number.
fn shard(time: i64, ids: &[Value], shards: u8) -> u8 {
    let bytes = time.to_be_bytes().into_iter().chain(flat(ids));
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    // The high half: the low bits of neighbours are too much alike.
    u8::try_from((hash >> 16) % u32::from(shards.max(1))).unwrap_or_default()
}

/// Values one after the other, each with its length.
fn flat(values: &[Value]) -> Vec<u8> {
    let mut all = Vec::new();
    for value in values {
        if let Value::Some(bytes) = value {
            all.extend_from_slice(&bytes.len().to_be_bytes());
            all.extend_from_slice(bytes);
        } else {
            all.push(0xff);
        }
    }
    all
}
