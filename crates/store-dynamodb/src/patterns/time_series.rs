//! Time series.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::Peekable;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::kit::check;
use store_core::kit::own_types::{from_json, to_json};
use store_core::{BoxStream, Error, Result};

use super::{text, text_of};
use crate::DynamoDbBackend;
use crate::batch::{self, Write};
use crate::codec::{Item, MAX_ITEM_BYTES};
use crate::error::at;
use crate::kv_layout::{expiry, is_expired, key, now, seconds};
use crate::query::{self, Part};
use crate::schema::EXPIRES;
use crate::space::Space;
use crate::tables::{self, Keys};

const VALUE: &str = "_value";
/// The most shards: each range is read from all of them.
const MAX_SHARDS: u8 = 64;
/// The longest id of a point, in bytes.
const MAX_ID: usize = 512;
/// The digits of a time in microseconds, with which a sort key begins.
const DIGITS: usize = 16;
/// The latest time that has so many digits, in the year 2286.
const LATEST: u64 = 9_999_999_999_999_999;
/// Sorts after every id.
const LAST: &str = "\u{10ffff}";

/// How the points of a [`DynamoDbTimeSeries`] are spread and kept. What is stored is found only with the same bucket and
/// the same number of shards: choose them once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimeSeriesConfig {
    /// What time goes in one partition; default a day. At best so much that a range which is often read lies in few, and
    /// that a partition takes less than some 100 MB.
    pub bucket: Duration,
    /// Over how many partitions the points of one bucket are spread, 1 to 64; default 1. A partition takes 1,000 writes
    /// of 1 KB in a second: more points need more shards. A range is read from all of them at the same time.
    pub shards: u8,
    /// How long points are kept, counted from when they are written; default `None`: for ever.
    pub ttl: Option<Duration>,
}

impl Default for TimeSeriesConfig {
    fn default() -> Self {
        Self { bucket: Duration::from_hours(24), shards: 1, ttl: None }
    }
}

impl TimeSeriesConfig {
    /// Sets what time goes in one partition.
    #[must_use]
    pub fn with_bucket(mut self, bucket: Duration) -> Self {
        self.bucket = bucket;
        self
    }

    /// Sets over how many partitions the points of one bucket are spread.
    #[must_use]
    pub fn with_shards(mut self, shards: u8) -> Self {
        self.shards = shards;
        self
    }

    /// Sets how long points are kept.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    fn check(&self) -> Result<()> {
        super::time("bucket", self.bucket)?;
        if let Some(ttl) = self.ttl {
            super::time("time to live", ttl)?;
        }
        if !(1..=MAX_SHARDS).contains(&self.shards) {
            return Err(Error::invalid_input(format!(
                "there are {} shards; there may be 1 to {MAX_SHARDS}",
                self.shards
            )));
        }
        Ok(())
    }
}

/// A point of a time series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimePoint<T> {
    /// When, in microseconds since 1970 (UTC); up to the year 2286.
    pub micros: u64,
    /// What tells points of the same microsecond apart: a point of the same time and id replaces the other.
    pub id: String,
    /// What was measured.
    pub value: T,
}

impl<T> TimePoint<T> {
    /// A point.
    #[must_use]
    pub fn new(micros: u64, id: impl Into<String>, value: T) -> Self {
        Self { micros, id: id.into(), value }
    }
}

/// Series of points in time, of a type of yours as JSON: each by a key, such as a sensor's name.
///
/// The points of a series lie in partitions by time, `nodestore:series/NAME/KEY/BUCKET/SHARD`, under sort keys of their
/// time and id; the shard follows from time and id. So no partition grows for ever, writes of now are spread over as
/// many partitions as there are shards, and a range is read from the buckets that it touches, in order, each from all
/// its shards at once.
///
/// **What it guarantees.** A point that was written is found by its time, once, however often it is written; points come
/// in the order of time and id. **What it does not.** A batch is no transaction: an error tells by their ids what was
/// not written. A range that is read while points are written to it may have them or not.
///
/// A range costs a query for each bucket that it touches and each shard, whether there are points or not: read ranges
/// that have few buckets.
///
/// ```no_run
/// # use std::time::Duration;
/// # use futures::TryStreamExt as _;
/// # use serde::{Deserialize, Serialize};
/// # use store_dynamodb::{DynamoDbBackend, DynamoDbConfig, DynamoDbTimeSeries, TimePoint, TimeSeriesConfig};
/// #[derive(Serialize, Deserialize)]
/// struct Reading {
///     celsius: f64,
/// }
/// # async fn example() -> store_core::Result<()> {
/// let store = DynamoDbBackend::connect(DynamoDbConfig::new("app")).await?;
/// let config = TimeSeriesConfig::default().with_shards(4).with_ttl(Duration::from_hours(24 * 90));
/// let readings: DynamoDbTimeSeries<Reading> = DynamoDbTimeSeries::new(&store, "readings", config)?;
/// let now = 1_750_000_000_000_000;
/// readings.put("roof", vec![TimePoint::new(now, "a", Reading { celsius: 21.5 })]).await?;
/// let hour = 3_600_000_000;
/// let last: Vec<_> = readings.range("roof", now - hour..now + 1).try_collect().await?;
/// # let _ = last;
/// # Ok(())
/// # }
/// ```
pub struct DynamoDbTimeSeries<T> {
    inner: Arc<Inner>,
    value: PhantomData<fn() -> T>,
}

#[derive(Debug)]
struct Inner {
    space: Arc<Space>,
    base: String,
    config: TimeSeriesConfig,
    bucket: u64,
}

impl<T> Clone for DynamoDbTimeSeries<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), value: PhantomData }
    }
}

impl<T> fmt::Debug for DynamoDbTimeSeries<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbTimeSeries").field("partitions", &self.inner.base).finish_non_exhaustive()
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> DynamoDbTimeSeries<T> {
    /// The series of this name. Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidInput` for an empty or too long name (512 bytes), and for settings that can not be.
    pub fn new(backend: &DynamoDbBackend, name: &str, config: TimeSeriesConfig) -> Result<Self> {
        let base =
            config.check().and_then(|()| super::partition("series", name)).map_err(at("time_series"))?;
        let bucket = u64::try_from(config.bucket.as_micros()).unwrap_or(u64::MAX);
        let inner = Inner { space: Arc::clone(&backend.space), base, config, bucket };
        Ok(Self { inner: Arc::new(inner), value: PhantomData })
    }

    /// Writes points, in batches, several at once; of points of the same time and id the last one counts.
    ///
    /// # Errors
    /// `InvalidInput` for a key, an id or a time that can not be, `LimitExceeded` for a point of more than 400 KB, before
    /// anything is written. Else `failed` has the ids of all that were not written, or of which it is not known.
    pub async fn put(&self, key: &str, points: Vec<TimePoint<T>>) -> Result<()> {
        let put = async {
            let keys = tables::main(&self.inner.space).await?;
            let points = check::unique_by(points, true, |point| (point.micros, point.id.clone()));
            let writes = points.iter().map(|point| self.inner.item(&keys, key, point));
            self.inner.write(&keys, writes.collect::<Result<_>>()?).await
        };
        put.await.map_err(|error| at("time_series.put")(error).with_key(key))
    }

    /// Removes points by their times and ids; those that are not there are no error.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn delete(&self, key: &str, points: &[(u64, &str)]) -> Result<()> {
        let delete = async {
            let keys = tables::main(&self.inner.space).await?;
            let points = check::unique_by(points.to_vec(), true, |point| *point);
            let writes = points.into_iter().map(|(micros, id)| {
                let (partition, sort) = self.inner.place(key, micros, id)?;
                Ok(Write::delete(super::key(&keys, &partition, &sort)))
            });
            self.inner.write(&keys, writes.collect::<Result<_>>()?).await
        };
        delete.await.map_err(|error| at("time_series.delete")(error).with_key(key))
    }

    /// The points from the first time on and before the second, oldest first, read as they are asked for.
    #[must_use]
    pub fn range(&self, key: &str, micros: std::ops::Range<u64>) -> BoxStream<TimePoint<T>> {
        self.read(key, micros, false)
    }

    /// The points from the first time on and before the second, newest first, read as they are asked for.
    #[must_use]
    pub fn range_backwards(&self, key: &str, micros: std::ops::Range<u64>) -> BoxStream<TimePoint<T>> {
        self.read(key, micros, true)
    }

    fn read(&self, series: &str, micros: std::ops::Range<u64>, backwards: bool) -> BoxStream<TimePoint<T>> {
        let failed = series.to_owned();
        let named = move |error| at("time_series.range")(error).with_key(failed.as_str());
        if let Err(error) = check::name("series key", series, super::MAX_KEY) {
            return stream::once(futures::future::ready(Err(named(error)))).boxed();
        }
        if micros.is_empty() {
            return stream::empty().boxed();
        }
        let (first, last) = (micros.start.min(LATEST), (micros.end - 1).min(LATEST));
        let (inner, series) = (Arc::clone(&self.inner), series.to_owned());
        let (low, high) = (first / inner.bucket, last / inner.bucket);
        let buckets = (low..=high).map(move |number| if backwards { high - (number - low) } else { number });
        let range =
            Range { from: format!("{first:0DIGITS$}/"), to: format!("{last:0DIGITS$}/{LAST}"), backwards };
        let items = stream::iter(buckets).flat_map(move |bucket| {
            let shards = (0..inner.config.shards)
                .map(|shard| {
                    let partition = inner.partition(&series, bucket, shard);
                    Arc::clone(&inner).shard(partition, range.clone())
                })
                .collect();
            merged(shards, backwards)
        });
        items.and_then(|(sort, item)| futures::future::ready(point(&sort, &item))).map_err(named).boxed()
    }
}

/// The sort keys of a range, both included.
#[derive(Clone, Debug)]
struct Range {
    from: String,
    to: String,
    backwards: bool,
}

impl Inner {
    fn partition(&self, series: &str, bucket: u64, shard: u8) -> String {
        format!("{}/{}/{bucket}/{shard}", self.base, super::escaped(series))
    }

    /// Partition and sort key of a point.
    fn place(&self, series: &str, micros: u64, id: &str) -> Result<(String, String)> {
        check::name("series key", series, super::MAX_KEY)?;
        check::name("id of a point", id, MAX_ID).map_err(|error| error.with_failed([id]))?;
        if micros > LATEST {
            let message =
                format!("the time of the point {id:?} is {micros}; it is microseconds, at most {LATEST}");
            return Err(Error::invalid_input(message).with_failed([id]));
        }
        let sort = format!("{micros:0DIGITS$}/{id}");
        let shard = shard(&sort, self.config.shards);
        let partition = self.partition(series, micros / self.bucket, shard);
        check::within("name with the series key", id, partition.len(), super::MAX_PARTITION)?;
        Ok((partition, sort))
    }

    fn item<T: Serialize>(&self, keys: &Keys, series: &str, point: &TimePoint<T>) -> Result<Write> {
        let (partition, sort) = self.place(series, point.micros, &point.id)?;
        let mut item = key(keys, &partition, &sort);
        item.insert(VALUE.to_owned(), text(to_json(&point.value)?));
        if let Some(ttl) = self.config.ttl {
            item.insert(EXPIRES.to_owned(), seconds(expiry(ttl)));
        }
        let write = Write::put(item);
        check::within("point", &point.id, write.bytes, MAX_ITEM_BYTES)?;
        Ok(write)
    }

    /// Writes, and names points by their ids where that fails.
    async fn write(&self, keys: &Keys, writes: Vec<Write>) -> Result<()> {
        if writes.is_empty() {
            return Ok(());
        }
        let written = batch::write(&self.space, &self.space.main, writes, &keys.sort).await;
        written.map_err(|error| {
            let ids: Vec<String> = error
                .failed()
                .iter()
                .map(|sort| sort.get(DIGITS + 1..).unwrap_or_default().to_owned())
                .collect();
            error.with_failed(ids)
        })
    }

    /// The items of a partition in order, with their sort keys.
    fn shard(self: Arc<Self>, partition: String, range: Range) -> BoxStream<(String, Item)> {
        let pages = stream::try_unfold(Some(None), move |state: Option<Option<Item>>| {
            let (inner, partition, range) = (Arc::clone(&self), partition.clone(), range.clone());
            async move {
                let Some(start) = state else { return Ok(None) };
                let keys = tables::main(&inner.space).await?;
                let part = Part {
                    partition,
                    from: range.from,
                    to: range.to,
                    backwards: range.backwards,
                    fields: None,
                    consistent: inner.space.config.consistent_reads,
                };
                let page = query::page(&inner.space, &inner.space.main, &keys, &part, None, start).await?;
                let now = now();
                let items: Vec<Result<(String, Item)>> = page
                    .items
                    .into_iter()
                    .filter(|item| !is_expired(item, now))
                    .map(|item| Ok((text_of(&item, &keys.sort).unwrap_or_default().to_owned(), item)))
                    .collect();
                Ok::<_, Error>(Some((stream::iter(items), page.next.map(Some))))
            }
        });
        pages.try_flatten().boxed()
    }
}

type Shard = std::pin::Pin<Box<Peekable<BoxStream<(String, Item)>>>>;

/// The items of several ordered streams, in order; all are read at the same time.
fn merged(
    shards: Vec<BoxStream<(String, Item)>>,
    backwards: bool,
) -> impl Stream<Item = Result<(String, Item)>> + Send {
    let shards: Vec<Shard> = shards.into_iter().map(|shard| Box::pin(shard.peekable())).collect();
    stream::unfold(shards, move |mut shards| async move {
        let heads = futures::future::join_all(shards.iter_mut().map(|shard| async move {
            // An error comes first, whatever else there is.
            shard.as_mut().peek().await.map(|head| head.as_ref().ok().map(|(sort, _)| sort.clone()))
        }))
        .await;
        let heads = heads.into_iter().enumerate().filter_map(|(place, head)| head.map(|head| (head, place)));
        let next = heads.min_by(|(one, _), (other, _)| match (one, other) {
            (Some(one), Some(other)) if backwards => other.cmp(one),
            (one, other) => one.cmp(other),
        });
        let (_, place) = next?;
        let item = shards.get_mut(place)?.next().await?;
        Some((item, shards))
    })
}

fn point<T: DeserializeOwned>(sort: &str, item: &Item) -> Result<TimePoint<T>> {
    let damaged = || Error::corrupt(format!("the item {sort:?} is no point of a time series"));
    let (micros, id) = sort.split_once('/').ok_or_else(damaged)?;
    let micros = micros.parse().map_err(|_| damaged())?;
    let value = from_json(text_of(item, VALUE).ok_or_else(damaged)?.as_bytes())?;
    Ok(TimePoint { micros, id: id.to_owned(), value })
}

/// The shard of a sort key: FNV-1a, which is the same everywhere and always.
fn shard(sort: &str, shards: u8) -> u8 {
    let hash = sort.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    u8::try_from((hash >> 32) % u64::from(shards.max(1))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_even_and_stay() {
        let mut counts = [0_usize; 8];
        for number in 0..8_000_u64 {
            let sort = format!("{:0DIGITS$}/a", 1_750_000_000_000_000 + number * 1_000);
            counts[usize::from(shard(&sort, 8))] += 1;
        }
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
        // What is stored is found by it.
        assert_eq!(shard("1750000000000000/a", 64), shard("1750000000000000/a", 64));
        assert_eq!(shard("anything", 1), 0);
    }
}
