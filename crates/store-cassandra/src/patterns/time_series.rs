//! Time series.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use futures::{FutureExt as _, Stream, StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use store_core::{BoxStream, Error, JsonObject, Result, check};
use tokio::sync::OnceCell;

use super::series::CassandraSeries;
use crate::CassandraBackend;
use crate::codec::{bigint, int, text};
use crate::error::at;
use crate::schema::{self, quoted};
use crate::session::{Call, Class, Value};
use crate::space::Space;
use crate::tables;

/// Rows and bytes that are written in one request, all of one partition.
const BATCH_ROWS: usize = 100;
const BATCH_BYTES: usize = 1 << 18;
/// Requests for writes at the same time.
const WRITES: usize = 32;
/// Buckets that are read ahead.
const AHEAD: usize = 4;
/// Rows read in one request.
const PAGE: i32 = 1_000;
/// The most buckets of one range.
const MAX_BUCKETS: i64 = 100_000;

/// Rows in order of time, of a type of yours: each a JSON object with the member `time`, an integer, and members for
/// the keys, ids and columns of the series.
///
/// A range is read from the partitions that it touches, newest first, four of them ahead, each page by page: memory
/// stays flat however long it is. It costs a request for each bucket that it touches and each shard, whether there are
/// rows or not. Rows of the same millisecond that lie in different shards come in no particular order.
///
/// Writes are prepared inserts, in unlogged batches of one partition each. A batch that fails names by their numbers the
/// rows of which it is not known that they were written; to write a row again does no harm.
///
/// ```no_run
/// # use std::time::Duration;
/// # use futures::TryStreamExt as _;
/// # use serde::{Deserialize, Serialize};
/// # use store_cassandra::{CassandraBackend, CassandraConfig, CassandraSeries, CassandraTimeSeries, SeriesType};
/// #[derive(Serialize, Deserialize)]
/// struct Metrics {
///     model: String,
///     time: i64,
///     accuracy: f64,
///     loss: f64,
/// }
/// # async fn example() -> store_core::Result<()> {
/// let store = CassandraBackend::connect(CassandraConfig::new("app").with_create(true)).await?;
/// let series = CassandraSeries::new("model_metrics", Duration::from_hours(24 * 30))
///     .with_key("model")
///     .with_column("accuracy", SeriesType::Float)
///     .with_column("loss", SeriesType::Float)
///     .with_ttl(Duration::from_hours(24 * 365));
/// let metrics: CassandraTimeSeries<Metrics> = CassandraTimeSeries::new(&store, series)?;
/// let now = 1_750_000_000_000;
/// metrics.put(&[Metrics { model: "m1".to_owned(), time: now, accuracy: 0.9, loss: 0.2 }]).await?;
/// let newest: Vec<Metrics> = metrics.range(&["m1"], now - 3_600_000..now + 1).try_collect().await?;
/// # let _ = newest;
/// # Ok(())
/// # }
/// ```
pub struct CassandraTimeSeries<T> {
    inner: Arc<Inner>,
    row: PhantomData<fn() -> T>,
}

struct Inner {
    space: Arc<Space>,
    series: CassandraSeries,
    /// The table's full name, once it is known to be there.
    table: OnceCell<String>,
}

/// Part of a series, made small.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TimeSample {
    /// Where the step begins, in milliseconds since 1970.
    pub start: i64,
    /// How many rows have a number.
    pub count: u64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// The sum divided by the count.
    pub mean: f64,
    /// The newest.
    pub last: f64,
}

impl<T> Clone for CassandraTimeSeries<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), row: PhantomData }
    }
}

impl<T> fmt::Debug for CassandraTimeSeries<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CassandraTimeSeries").field("series", &self.inner.series.name).finish_non_exhaustive()
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> CassandraTimeSeries<T> {
    /// The series of this declaration. Nothing is sent yet; the table is made at the first use, if the store may.
    ///
    /// # Errors
    /// `InvalidInput` for a declaration that can not be.
    pub fn new(backend: &CassandraBackend, series: CassandraSeries) -> Result<Self> {
        series.check().map_err(at("time_series"))?;
        let inner = Inner { space: Arc::clone(&backend.space), series, table: OnceCell::new() };
        Ok(Self { inner: Arc::new(inner), row: PhantomData })
    }

    /// Writes rows.
    ///
    /// # Errors
    /// `InvalidInput` for a row that does not fit the series, before anything is written. Else `failed` has the numbers
    /// of the rows, from 0, of which it is not known that they were written.
    pub async fn put(&self, rows: &[T]) -> Result<()> {
        self.inner.put(rows).await.map_err(at("time_series.put"))
    }

    /// The rows of a time, newest first. `key` has a text for each key of the series; times are in milliseconds since
    /// 1970, the last one is not in it.
    #[must_use]
    pub fn range(&self, key: &[&str], times: Range<i64>) -> BoxStream<T> {
        let rows = self.inner.rows(key, times, self.inner.series.all());
        let rows = rows.and_then(|(_, row)| async move {
            serde_json::from_value(Json::Object(row)).map_err(|error| {
                Error::corrupt("a row of the series does not have the type's form").with_source(error)
            })
        });
        rows.map_err(at("time_series.range")).boxed()
    }

    /// The same with only these columns, and the time; the others are not sent.
    #[must_use]
    pub fn select(&self, key: &[&str], times: Range<i64>, columns: &[&str]) -> BoxStream<JsonObject> {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        let rows = self.inner.rows(key, times, columns).map_ok(|(_, row)| row);
        rows.map_err(at("time_series.select")).boxed()
    }

    /// A column of numbers, summed up by steps of time, newest first; steps without a number are left out. Steps are
    /// counted from 1970.
    #[must_use]
    pub fn downsample(
        &self,
        key: &[&str],
        times: Range<i64>,
        column: &str,
        step: Duration,
    ) -> BoxStream<TimeSample> {
        let step = i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(1);
        let rows = self.inner.rows(key, times, vec![column.to_owned()]);
        let column = column.to_owned();
        let numbers = rows.try_filter_map(move |(time, row)| {
            let number = row.get(&column).and_then(Json::as_f64);
            std::future::ready(Ok(number.map(|number| (time.div_euclid(step) * step, number))))
        });
        samples(numbers.boxed()).map_err(at("time_series.downsample")).boxed()
    }

    /// Deletes the bucket that a time is in, by one tombstone for each of its shards.
    pub async fn delete_bucket(&self, key: &[&str], time: i64) -> Result<()> {
        self.inner.delete_bucket(key, time).await.map_err(at("time_series.delete_bucket"))
    }
}

/// Sums up neighbours of the same step.
fn samples(
    numbers: futures::stream::BoxStream<'static, Result<(i64, f64)>>,
) -> impl Stream<Item = Result<TimeSample>> + Send {
    let state = (numbers, None::<(TimeSample, f64)>);
    stream::try_unfold(state, |(mut numbers, mut open)| async move {
        while let Some((start, number)) = numbers.next().await.transpose()? {
            match &mut open {
                Some((sample, sum)) if sample.start == start => {
                    *sum += number;
                    sample.count += 1;
                    sample.min = sample.min.min(number);
                    sample.max = sample.max.max(number);
                }
                _ => {
                    let next =
                        TimeSample { start, count: 1, min: number, max: number, mean: number, last: number };
                    if let Some(done) = open.replace((next, number)) {
                        return Ok(Some((whole(done), (numbers, open))));
                    }
                }
            }
        }
        Ok(open.take().map(|done| (whole(done), (numbers, None))))
    })
}

#[expect(clippy::cast_precision_loss, reason = "no one reads 2^53 rows")]
fn whole((sample, sum): (TimeSample, f64)) -> TimeSample {
    TimeSample { mean: sum / sample.count as f64, ..sample }
}

/// A row on its way: its number, the values of its partition key, and all its values.
struct Placed {
    number: usize,
    partition: Vec<Value>,
    values: Vec<Value>,
    bytes: usize,
}

impl Inner {
    /// The table's full name.
    async fn table(&self) -> Result<&str> {
        let make = async {
            let space = &*self.space;
            let name = schema::table_name(&space.config, &self.series.name);
            let full = schema::qualified(&space.keyspace, &name);
            let _changing = space.tables.changing().await;
            if !tables::exists(space, &name).await? {
                if !space.config.create {
                    return Err(tables::missing(&space.keyspace, &name));
                }
                tables::make_keyspace(space).await?;
                let make = format!("CREATE TABLE IF NOT EXISTS {full} {}", self.series.definition());
                space.driver().change_schema(&make).await?;
            }
            Ok(full)
        };
        self.table.get_or_try_init(|| make).await.map(String::as_str)
    }

    async fn put<T: Serialize>(&self, rows: &[T]) -> Result<()> {
        let placed = rows.iter().enumerate().map(|(number, row)| {
            self.place(number, row).map_err(|error| error.with_failed([number.to_string()]))
        });
        let placed: Vec<Placed> = placed.collect::<Result<_>>()?;
        if placed.is_empty() {
            return Ok(());
        }
        let mut partitions: HashMap<Vec<u8>, Vec<Placed>> = HashMap::new();
        for row in placed {
            partitions.entry(flat(&row.partition)).or_default().push(row);
        }
        let table = self.table().await?;
        let insert = self.insert(table);
        let mut writes = Vec::new();
        for rows in partitions.values() {
            for run in store_core::batches::cut(rows, BATCH_ROWS, BATCH_BYTES, |row| row.bytes) {
                let calls: Vec<Call> = run
                    .iter()
                    .map(|row| Call::new(Class::Write, insert.as_str(), row.values.clone()))
                    .collect();
                let write = self.space.driver().batch(Class::Write, calls);
                writes.push(async move { (run, write.await) }.boxed());
            }
        }
        let (mut failed, mut first) = (Vec::new(), None);
        let mut answers = stream::iter(writes).buffer_unordered(WRITES);
        while let Some((run, answer)) = answers.next().await {
            if let Err(error) = answer {
                failed.extend(run.iter().map(|row| row.number));
                first.get_or_insert(error);
            }
        }
        let Some(error) = first else { return Ok(()) };
        failed.sort_unstable();
        Err(error.with_failed(failed.into_iter().map(|number| number.to_string())))
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
        values.extend(ids);
        values.extend(columns);
        let bytes = flat(&values).len();
        Ok(Placed { number, partition, values, bytes })
    }

    /// The values of a partition's key.
    fn partition(&self, key: &[impl AsRef<str>], bucket: i64, shard: u8) -> Result<Vec<Value>> {
        if key.len() != self.series.keys.len() {
            return Err(Error::invalid_input(format!(
                "the series has {} keys, and {} are given",
                self.series.keys.len(),
                key.len()
            )));
        }
        for (name, value) in self.series.keys.iter().zip(key) {
            check::non_empty(name, value.as_ref())?;
        }
        let mut values: Vec<Value> = key.iter().map(|value| text(value.as_ref())).collect();
        values.push(bigint(bucket.saturating_mul(self.series.length())));
        values.push(int(i32::from(shard)));
        Ok(values)
    }

    fn insert(&self, table: &str) -> String {
        let mut names: Vec<String> = self.series.keys.iter().map(|key| quoted(key)).collect();
        names.extend(["bucket", "shard", "time"].map(str::to_owned));
        names.extend(self.series.fields().map(|(name, _)| quoted(name)));
        let marks = vec!["?"; names.len()].join(", ");
        format!("INSERT INTO {table} ({}) VALUES ({marks})", names.join(", "))
    }

    /// `a = ? AND … AND bucket = ? AND shard = ?`
    fn of_partition(&self) -> String {
        let mut terms: Vec<String> =
            self.series.keys.iter().map(|key| format!("{} = ?", quoted(key))).collect();
        terms.extend(["bucket = ?", "shard = ?"].map(str::to_owned));
        terms.join(" AND ")
    }

    /// The rows of a range with some columns, newest first.
    fn rows(
        self: &Arc<Self>,
        key: &[&str],
        times: Range<i64>,
        columns: Vec<String>,
    ) -> futures::stream::BoxStream<'static, Result<(i64, JsonObject)>> {
        let length = self.series.length();
        let (first, last) = (times.start.div_euclid(length), times.end.saturating_sub(1).div_euclid(length));
        if let Err(error) = self.check_range(key, &columns, &times, last.saturating_sub(first)) {
            return stream::once(async { Err(error) }).boxed();
        }
        if times.is_empty() {
            return stream::empty().boxed();
        }
        let ask = Arc::new(Ask {
            inner: Arc::clone(self),
            key: key.iter().map(|&text| text.to_owned()).collect(),
            times,
            columns,
        });
        let buckets = stream::iter((first..=last).rev());
        let opened = buckets.map(move |bucket| Bucket::open(Arc::clone(&ask), bucket)).buffered(AHEAD);
        opened.map_ok(Bucket::rows).try_flatten().boxed()
    }

    fn check_range(&self, key: &[&str], columns: &[String], times: &Range<i64>, buckets: i64) -> Result<()> {
        self.partition(key, 0, 0)?;
        let known = self.series.all();
        if let Some(unknown) = columns.iter().find(|&column| column != "time" && !known.contains(column)) {
            return Err(Error::invalid_input(format!(
                "the series has no column {unknown:?}; it has {}",
                known.join(", ")
            )));
        }
        if !times.is_empty() && buckets >= MAX_BUCKETS {
            return Err(Error::invalid_input(format!(
                "the range touches {buckets} buckets, and {MAX_BUCKETS} are the most; read less at once"
            )));
        }
        Ok(())
    }

    async fn delete_bucket(&self, key: &[&str], time: i64) -> Result<()> {
        let bucket = time.div_euclid(self.series.length());
        let partitions = (0..self.series.shards).map(|shard| self.partition(key, bucket, shard));
        let partitions: Vec<Vec<Value>> = partitions.collect::<Result<_>>()?;
        let delete = format!("DELETE FROM {} WHERE {}", self.table().await?, self.of_partition());
        let deletes = partitions
            .into_iter()
            .map(|partition| self.space.run(Call::new(Class::Write, delete.as_str(), partition)).boxed());
        try_join_all(deletes).await.map(drop)
    }
}

/// What is asked for.
struct Ask {
    inner: Arc<Inner>,
    key: Vec<String>,
    times: Range<i64>,
    columns: Vec<String>,
}

/// A bucket that is being read: its shards together.
struct Bucket {
    ask: Arc<Ask>,
    lanes: Vec<Lane>,
}

/// A shard that is being read.
struct Lane {
    partition: Vec<Value>,
    rows: VecDeque<(i64, JsonObject)>,
    state: Option<Vec<u8>>,
}

impl Bucket {
    async fn open(ask: Arc<Ask>, bucket: i64) -> Result<Self> {
        let mut lanes = Vec::new();
        for shard in 0..ask.inner.series.shards {
            let partition = ask.inner.partition(&ask.key, bucket, shard)?;
            let lane = Lane { partition, rows: VecDeque::new(), state: None };
            lanes.push(ask.read(lane).boxed());
        }
        let lanes = try_join_all(lanes).await?;
        Ok(Self { ask, lanes })
    }

    fn rows(self) -> impl Stream<Item = Result<(i64, JsonObject)>> {
        stream::try_unfold(self, |mut bucket| async move {
            let row = bucket.next().await?;
            Ok(row.map(|row| (row, bucket)))
        })
    }

    /// The newest row of all shards.
    async fn next(&mut self) -> Result<Option<(i64, JsonObject)>> {
        for lane in &mut self.lanes {
            while lane.rows.is_empty() && lane.state.is_some() {
                let partition = std::mem::take(&mut lane.partition);
                let more = Lane { partition, rows: VecDeque::new(), state: lane.state.take() };
                *lane = self.ask.read(more).await?;
            }
        }
        let time = |lane: &Lane| lane.rows.front().map(|(time, _)| *time);
        let newest = self.lanes.iter_mut().max_by_key(|lane| time(lane));
        Ok(newest.and_then(|lane| lane.rows.pop_front()))
    }
}

impl Ask {
    /// Reads the next page of a shard.
    async fn read(&self, mut lane: Lane) -> Result<Lane> {
        let mut names = vec!["time".to_owned()];
        names.extend(self.columns.iter().filter(|name| *name != "time").map(|name| quoted(name)));
        let select = format!(
            "SELECT {} FROM {} WHERE {} AND time >= ? AND time < ?",
            names.join(", "),
            self.inner.table().await?,
            self.inner.of_partition()
        );
        let mut values = lane.partition.clone();
        values.extend([bigint(self.times.start), bigint(self.times.end)]);
        let mut call = Call::new(Class::Read, select, values).with_page(PAGE);
        if let Some(state) = lane.state.take() {
            call = call.after(state);
        }
        let rows = self.inner.space.run(call).await?;
        for row in rows.iter() {
            lane.rows.push_back(self.inner.series.read(&row, &self.columns)?);
        }
        lane.state = rows.next().map(<[u8]>::to_vec);
        Ok(lane)
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
