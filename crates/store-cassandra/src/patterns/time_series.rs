//! Time series.

use std::collections::VecDeque;
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
use store_core::kit::check;
use store_core::{BoxStream, Error, JsonObject, Result};
use tokio::sync::OnceCell;

use super::ensure::SchemaReport;
use super::indexes::CassandraIndex;
use super::series::CassandraSeries;
use super::views::CassandraView;
use crate::CassandraBackend;
use crate::codec::{bigint, int, text};
use crate::error::at;
use crate::schema::{self, quoted};
use crate::session::{Call, Class, Value};
use crate::space::Space;
use crate::tables;

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

pub(super) struct Inner {
    pub(super) space: Arc<Space>,
    pub(super) series: CassandraSeries,
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

    /// Writes the rows that are not there yet, and answers for each whether it was this call that wrote it. A row that is
    /// there stays as it is. Of any number of callers with the same row, by its keys, time and ids, one is told `true`:
    /// give the series an event's own id as an id, and the event the time at which it happened.
    ///
    /// It costs a lightweight transaction for up to 100 rows of one partition, and another for those of them that are not
    /// there when some are. Do not write the same rows by [`put`](Self::put) as well.
    ///
    /// # Errors
    /// As with [`put`](Self::put). Of a row whose write was not answered it is not known who wrote it: called again,
    /// nothing is written twice, but the row may be told as known.
    pub async fn put_once(&self, rows: &[T]) -> Result<Vec<bool>> {
        self.inner.put_once(rows).await.map_err(at("time_series.put_once"))
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

    /// Makes the declared indexes and views of the series' table that are missing, and the table, if the store may. See
    /// [`ensure_schema`](CassandraBackend::ensure_schema).
    ///
    /// # Errors
    /// As there.
    pub async fn ensure_schema(
        &self,
        indexes: &[CassandraIndex],
        views: &[CassandraView],
    ) -> Result<SchemaReport> {
        let ensure = async {
            self.inner.table().await?;
            let space = &*self.inner.space;
            let name = schema::table_name(&space.config, &self.inner.series.name);
            super::ensure::ensure(space, &name, indexes, views).await
        };
        ensure.await.map_err(at("time_series.ensure_schema"))
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

impl Inner {
    /// The table's full name.
    pub(super) async fn table(&self) -> Result<&str> {
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

    /// The values of a partition's key.
    pub(super) fn partition(&self, key: &[impl AsRef<str>], bucket: i64, shard: u8) -> Result<Vec<Value>> {
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
