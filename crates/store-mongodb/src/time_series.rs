//! Measurements over time in time-series collections, which the server keeps packed by series and time.

use std::time::Duration;

use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf};
use bson::{Bson, Document, doc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::kit::check;
use store_core::{BoxStream, Error, ErrorKind, Result};

use crate::aggregation::MongoAggregation;
use crate::codec::MAX_DOCUMENT_BYTES;
use crate::date_range::DateRange;
use crate::error::server_code;
use crate::target::Target;
use crate::{MongoBackend, bulk, field_path};

const ENSURE: &str = "time_series.ensure";
const INSERT: &str = "time_series.insert";
/// The code of a collection that another made first.
const EXISTS: i32 = 48;

/// How far apart the measurements of one series usually are, by which the server packs them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Granularity {
    /// Seconds. The default.
    #[default]
    Seconds,
    /// Minutes.
    Minutes,
    /// Hours.
    Hours,
}

impl Granularity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Minutes => "minutes",
            Self::Hours => "hours",
        }
    }
}

/// What a time-series collection is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimeSeriesConfig {
    /// The field with the time, a date at the top level.
    pub time_field: String,
    /// The field that says which series a measurement belongs to; `None`: they are all one.
    pub series_field: Option<String>,
    /// How far apart measurements are; default seconds.
    pub granularity: Granularity,
    /// After what time, in whole seconds, the server removes a measurement; default never.
    pub expire_after: Option<Duration>,
}

impl TimeSeriesConfig {
    /// Measurements with their time in this field, all of one series.
    #[must_use]
    pub fn new(time_field: impl Into<String>) -> Self {
        Self {
            time_field: time_field.into(),
            series_field: None,
            granularity: Granularity::Seconds,
            expire_after: None,
        }
    }

    /// Sets the field that names the series.
    #[must_use]
    pub fn with_series_field(mut self, field: impl Into<String>) -> Self {
        self.series_field = Some(field.into());
        self
    }

    /// Sets how far apart measurements are.
    #[must_use]
    pub fn with_granularity(mut self, granularity: Granularity) -> Self {
        self.granularity = granularity;
        self
    }

    /// Sets the time after which measurements are removed.
    #[must_use]
    pub fn with_expire_after(mut self, time: Duration) -> Self {
        self.expire_after = Some(time);
        self
    }

    fn check(&self) -> Result<()> {
        for field in std::iter::once(&self.time_field).chain(&self.series_field) {
            field_path::check("field", field)?;
            if field.contains('.') || field == "_id" {
                return Err(Error::invalid_input(format!(
                    "the field {field:?} can be neither the time nor the series: they stand at the top level, and \
                     are not _id"
                )));
            }
        }
        if self.series_field.as_ref() == Some(&self.time_field) {
            return Err(Error::invalid_input("time and series can not be the same field"));
        }
        if self.expire_after.is_some_and(|time| time.as_secs() == 0) {
            return Err(Error::invalid_input("measurements can expire after a second at the earliest"));
        }
        Ok(())
    }

    fn expire_seconds(&self) -> Option<i64> {
        self.expire_after.map(|time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
    }
}

/// The width of the buckets of [`MongoTimeSeries::downsample`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    unit: &'static str,
    count: u32,
    zone: Option<String>,
}

impl Bucket {
    fn new(unit: &'static str, count: u32) -> Self {
        Self { unit, count, zone: None }
    }

    /// So many seconds.
    #[must_use]
    pub fn seconds(count: u32) -> Self {
        Self::new("second", count)
    }

    /// So many minutes.
    #[must_use]
    pub fn minutes(count: u32) -> Self {
        Self::new("minute", count)
    }

    /// So many hours.
    #[must_use]
    pub fn hours(count: u32) -> Self {
        Self::new("hour", count)
    }

    /// So many days.
    #[must_use]
    pub fn days(count: u32) -> Self {
        Self::new("day", count)
    }

    /// So many months.
    #[must_use]
    pub fn months(count: u32) -> Self {
        Self::new("month", count)
    }

    /// The zone whose days and hours are meant, `Europe/Warsaw` or `+02:00`; default UTC.
    #[must_use]
    pub fn in_time_zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    fn truncated(&self, time: String) -> Result<Document> {
        if self.count == 0 {
            return Err(Error::invalid_input("a bucket is at least one unit wide"));
        }
        let mut truncate = doc! {"date": time, "unit": self.unit, "binSize": i64::from(self.count)};
        if let Some(zone) = &self.zone {
            truncate.insert("timezone", doc! {"$literal": zone});
        }
        Ok(doc! {"$dateTrunc": truncate})
    }
}

/// What is made of the measurements in a bucket. The text is the field, which may be a path.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Measure {
    /// How many there are.
    Count,
    /// The mean of the numbers.
    Average(String),
    /// The sum of the numbers.
    Sum(String),
    /// The smallest.
    Minimum(String),
    /// The greatest.
    Maximum(String),
    /// The one of the earliest measurement.
    First(String),
    /// The one of the latest measurement.
    Last(String),
}

impl Measure {
    fn accumulator(&self) -> Result<Document> {
        let (operator, field) = match self {
            Self::Count => return Ok(doc! {"$sum": 1}),
            Self::Average(field) => ("$avg", field),
            Self::Sum(field) => ("$sum", field),
            Self::Minimum(field) => ("$min", field),
            Self::Maximum(field) => ("$max", field),
            Self::First(field) => ("$first", field),
            Self::Last(field) => ("$last", field),
        };
        field_path::check("field", field)?;
        Ok(doc! {operator: format!("${field}")})
    }

    fn needs_order(&self) -> bool {
        matches!(self, Self::First(_) | Self::Last(_))
    }
}

/// A time-series collection: measurements of a type of yours, one document each. Needs MongoDB 5.0.
///
/// ```no_run
/// # use store_mongodb::{MongoBackend, MongoConfig};
/// use std::time::Duration;
/// use bson::{DateTime, doc};
/// use futures::TryStreamExt;
/// use serde::{Deserialize, Serialize};
/// use store_mongodb::{Bucket, DateRange, Granularity, Measure, TimeSeriesConfig};
///
/// #[derive(Debug, Serialize, Deserialize)]
/// struct Reading {
///     at: DateTime,
///     sensor: String,
///     celsius: f64,
/// }
///
/// #[derive(Debug, Deserialize)]
/// struct Hour {
///     at: DateTime,
///     series: String,
///     mean: f64,
/// }
///
/// # async fn measure() -> store_core::Result<()> {
/// let store = MongoBackend::connect(MongoConfig::new("mongodb://localhost/house")).await?;
/// let config = TimeSeriesConfig::new("at")
///     .with_series_field("sensor")
///     .with_granularity(Granularity::Minutes)
///     .with_expire_after(Duration::from_secs(90 * 86_400));
/// let readings = store.time_series("readings", config);
/// readings.ensure().await?;
/// readings.insert(&[Reading { at: DateTime::now(), sensor: "attic".into(), celsius: 21.5 }]).await?;
///
/// let day = DateRange::last(Duration::from_secs(86_400))?;
/// let mean = [("mean", Measure::Average("celsius".into()))];
/// let hours: Vec<Hour> = readings.downsample(&Bucket::hours(1), day, None, mean)?.try_collect().await?;
/// let latest: Vec<Reading> = readings.last_points(day)?.try_collect().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MongoTimeSeries {
    target: Target,
    config: TimeSeriesConfig,
}

impl MongoBackend {
    /// A time-series collection of the store's database; see [`MongoTimeSeries`]. Nothing is sent before the first
    /// call.
    #[must_use]
    pub fn time_series(&self, collection: impl Into<String>, config: TimeSeriesConfig) -> MongoTimeSeries {
        MongoTimeSeries { target: Target::new(&self.space, collection), config }
    }
}

impl MongoTimeSeries {
    /// Means another database of the same server.
    #[must_use]
    pub fn in_database(mut self, database: impl Into<String>) -> Self {
        self.target.database = Some(database.into());
        self
    }

    /// Creates the collection if it is not there, and an index for the last points of each series; answers whether
    /// it was created. One that is there is left as it is.
    ///
    /// # Errors
    /// `Config` for a collection that is there and is made otherwise, saying how; `Unsupported` for a server before
    /// 5.0; `NotFound` for an absent one where the store is not to create anything.
    pub async fn ensure(&self) -> Result<bool> {
        self.ensure_now().await.map_err(self.target.at(ENSURE))
    }

    async fn ensure_now(&self) -> Result<bool> {
        self.config.check()?;
        let collection = self.target.collection::<RawDocumentBuf>()?;
        self.supported().await?;
        if let Some(existing) = self.existing().await? {
            return self.same(&existing).map(|()| false);
        }
        let space = &self.target.space;
        if !space.config.create {
            return Err(Error::new(
                ErrorKind::NotFound,
                "there is no such time-series collection, and the store is not to create any (store.create=false)",
            ));
        }
        let mut options = doc! {"timeField": &self.config.time_field};
        if let Some(series) = &self.config.series_field {
            options.insert("metaField", series);
        }
        options.insert("granularity", self.config.granularity.as_str());
        let mut create = doc! {"create": &self.target.collection, "timeseries": options};
        if let Some(seconds) = self.config.expire_seconds() {
            create.insert("expireAfterSeconds", seconds);
        }
        create.insert("writeConcern", doc! {"w": "majority"});
        match space.call(self.target.database()?.run_command(create)).await {
            // Another process was faster.
            Err(error) if server_code(&error) == Some(EXISTS) => {
                let existing = self.existing().await?.ok_or(error)?;
                return self.same(&existing).map(|()| false);
            }
            answer => answer?,
        };
        if let Some(series) = &self.config.series_field {
            let index =
                mongodb::IndexModel::builder().keys(doc! {series: 1, &self.config.time_field: -1}).build();
            space.call(collection.create_index(index)).await?;
        }
        Ok(true)
    }

    async fn supported(&self) -> Result<()> {
        let space = &self.target.space;
        let build = space.call(self.target.database()?.run_command(doc! {"buildInfo": 1})).await?;
        check_version(build.get_str("version").unwrap_or_default())
    }

    /// The server's description of the collection.
    async fn existing(&self) -> Result<Option<Document>> {
        let database = self.target.database()?;
        let list = doc! {"listCollections": 1, "filter": {"name": &self.target.collection}};
        let answer = self.target.space.call(database.run_command(list)).await?;
        let batch = answer.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
        Ok(batch.ok().and_then(|batch| batch.first()).and_then(Bson::as_document).cloned())
    }

    fn same(&self, existing: &Document) -> Result<()> {
        let differences = differences(&self.config, existing);
        if differences.is_empty() {
            return Ok(());
        }
        Err(Error::config(format!(
            "the collection is there and made otherwise: {}; nothing was changed (collMod changes granularity and \
             expiry, anything else needs a new collection)",
            differences.join(", ")
        )))
    }

    /// Inserts measurements, a thousand at a time; answers how many. The collection should be there by
    /// [`ensure`](Self::ensure), or the server makes an ordinary one.
    ///
    /// # Errors
    /// Before anything is written: `InvalidInput` for one that is no document or whose time is no date, and
    /// `LimitExceeded` for one over 16 MB. What the server refused later is in `failed` by its place in the list, and
    /// all else was written; after a lost connection `failed` names what may not have been written. The server has
    /// no unique ids here: a measurement that is inserted again is there twice.
    pub async fn insert<T: Serialize>(&self, measurements: &[T]) -> Result<usize> {
        self.insert_now(measurements).await.map_err(self.target.at(INSERT))
    }

    async fn insert_now<T: Serialize>(&self, measurements: &[T]) -> Result<usize> {
        self.config.check()?;
        let collection = self.target.collection::<RawDocumentBuf>()?;
        let documents: Vec<RawDocumentBuf> = measurements
            .iter()
            .enumerate()
            .map(|(place, measurement)| self.document(place, measurement))
            .collect::<Result<_>>()?;
        let mut done = 0;
        let mut failed: Vec<usize> = Vec::new();
        let mut reason = None;
        for request in bulk::requests(&documents) {
            match bulk::insert(&self.target.space, &collection, request).await {
                Ok(refused) => {
                    failed.extend(refused.iter().map(|refused| done + refused.index));
                    reason = reason.or_else(|| refused.first().map(bulk::Refused::error));
                }
                Err(error) => {
                    failed.extend(done..documents.len());
                    reason = Some(error);
                    break;
                }
            }
            done += request.len();
        }
        match reason {
            None => Ok(documents.len()),
            Some(error) => Err(error.with_failed(failed.iter().map(ToString::to_string))),
        }
    }

    fn document<T: Serialize>(&self, place: usize, measurement: &T) -> Result<RawDocumentBuf> {
        let key = place.to_string();
        let refuse = |message: String| {
            Error::invalid_input(message).with_key(key.as_str()).with_failed([key.as_str()])
        };
        let document = bson::serialize_to_raw_document_buf(measurement)
            .map_err(|error| refuse(format!("the measurement is no document: {error}")).with_source(error))?;
        check::within("measurement", &key, document.as_bytes().len(), MAX_DOCUMENT_BYTES)?;
        if !matches!(member(&document, &self.config.time_field), Some(RawBsonRef::DateTime(_))) {
            return Err(refuse(format!(
                "the measurement's {:?} is no date of MongoDB's; make the field a bson::DateTime, or serialize it \
                 as one",
                self.config.time_field
            )));
        }
        Ok(document)
    }

    /// The measurements of a range in the order of time, of one series or (`None`) of all.
    pub fn range<T: DeserializeOwned + Send + 'static>(
        &self,
        range: DateRange,
        series: Option<Bson>,
    ) -> Result<BoxStream<T>> {
        let found = self.found(range, series)?;
        Ok(found.stage(doc! {"$sort": {&self.config.time_field: 1}}).with_allow_disk_use(true).stream())
    }

    /// The last measurement of each series in a range, in the order of the series.
    pub fn last_points<T: DeserializeOwned + Send + 'static>(
        &self,
        range: DateRange,
    ) -> Result<BoxStream<T>> {
        let Some(series) = &self.config.series_field else {
            return Err(Error::invalid_input(
                "there are no series to take the last point of; set a series field",
            )
            .with_collection(self.target.collection.as_str()));
        };
        // In this order and form the server needs one look into the index for each series.
        let stages = [
            doc! {"$sort": {series: 1, &self.config.time_field: -1}},
            doc! {"$group": {"_id": format!("${series}"), "last": {"$first": "$$ROOT"}}},
            doc! {"$sort": {"_id": 1}},
            doc! {"$replaceWith": "$last"},
        ];
        Ok(self.found(range, None)?.stages(stages).with_allow_disk_use(true).stream())
    }

    /// What each series measured in buckets of time, as documents of `at` (the bucket's begin), `series` and the
    /// named measures; in the order of time, then series. Buckets without a measurement are left out.
    pub fn downsample<'a, T: DeserializeOwned + Send + 'static>(
        &self,
        bucket: &Bucket,
        range: DateRange,
        series: Option<Bson>,
        measures: impl IntoIterator<Item = (&'a str, Measure)>,
    ) -> Result<BoxStream<T>> {
        let time = &self.config.time_field;
        let mut id = doc! {"at": bucket.truncated(format!("${time}"))?};
        if let Some(field) = &self.config.series_field {
            id.insert("series", format!("${field}"));
        }
        let mut group = doc! {"_id": id};
        let mut shown = doc! {"_id": 0, "at": "$_id.at", "series": "$_id.series"};
        let mut ordered = false;
        for (name, measure) in measures {
            field_path::check("measure", name)?;
            if name.contains('.') || shown.contains_key(name) {
                return Err(Error::invalid_input(format!(
                    "a measure can not be called {name:?}: names have no dots, differ, and are not at, series or _id"
                )));
            }
            group.insert(name, measure.accumulator()?);
            shown.insert(name, 1);
            ordered |= measure.needs_order();
        }
        let mut found = self.found(range, series)?;
        if ordered {
            found = found.stage(doc! {"$sort": {time: 1}});
        }
        let stages = [
            doc! {"$group": group},
            doc! {"$sort": {"_id.at": 1, "_id.series": 1}},
            doc! {"$project": shown},
        ];
        Ok(found.stages(stages).with_allow_disk_use(true).stream())
    }

    /// An aggregation of the measurements in a range, of one series or of all.
    fn found(&self, range: DateRange, series: Option<Bson>) -> Result<MongoAggregation> {
        self.config.check()?;
        let mut matches = range.on(&self.config.time_field)?;
        match (series, &self.config.series_field) {
            (None, _) => {}
            (Some(value), Some(field)) => {
                matches.insert(field, doc! {"$eq": value});
            }
            (Some(_), None) => {
                return Err(Error::invalid_input("there are no series to choose from; set a series field")
                    .with_collection(self.target.collection.as_str()));
            }
        }
        Ok(MongoAggregation::new(self.target.clone()).stage(doc! {"$match": matches}))
    }
}

fn member<'a>(document: &'a RawDocument, name: &str) -> Option<RawBsonRef<'a>> {
    document.get(name).ok().flatten()
}

/// `Unsupported` for a server that has no time-series collections; an unknown version passes.
fn check_version(version: &str) -> Result<()> {
    match version.split('.').next().and_then(|major| major.parse::<u32>().ok()) {
        Some(major) if major < 5 => Err(Error::new(
            ErrorKind::Unsupported,
            format!("time-series collections need MongoDB 5.0, and the server is {version}"),
        )),
        _ => Ok(()),
    }
}

/// How a collection that is there differs from what is wanted.
fn differences(wanted: &TimeSeriesConfig, existing: &Document) -> Vec<String> {
    let options = existing.get_document("options");
    let Ok(series) = options.and_then(|options| options.get_document("timeseries")) else {
        return vec!["it is no time-series collection".to_owned()];
    };
    let mut differences = Vec::new();
    let mut compare = |name: &str, wanted: Option<String>, there: Option<String>| {
        if wanted != there {
            let shown = |value: Option<String>| value.unwrap_or_else(|| "not set".to_owned());
            differences.push(format!("{name} is {} instead of {}", shown(there), shown(wanted)));
        }
    };
    let text = |name: &str| series.get_str(name).ok().map(str::to_owned);
    compare("the time field", Some(wanted.time_field.clone()), text("timeField"));
    compare("the series field", wanted.series_field.clone(), text("metaField"));
    compare("the granularity", Some(wanted.granularity.as_str().to_owned()), text("granularity"));
    let expiry = existing.get_document("options").ok().and_then(|options| options.get("expireAfterSeconds"));
    let expiry = expiry.and_then(|value| match value {
        Bson::Int32(seconds) => Some(i64::from(*seconds)),
        Bson::Int64(seconds) => Some(*seconds),
        _ => None,
    });
    let seconds = |value: i64| format!("{value} s");
    compare("the expiry", wanted.expire_seconds().map(seconds), expiry.map(seconds));
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_before_5_are_refused_by_their_version() {
        for version in ["4.4.29", "3.6.0"] {
            let error = check_version(version).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(version), "{error}");
        }
        for version in ["5.0.0", "6.0.5", "10.1", ""] {
            check_version(version).unwrap();
        }
    }

    #[test]
    fn fields_that_can_not_be_are_refused() {
        let config = TimeSeriesConfig::new;
        config("at").with_series_field("sensor").check().unwrap();
        let bad =
            [config(""), config("a.b"), config("$a"), config("_id"), config("at").with_series_field("at")];
        assert!(bad.iter().all(|config| config.check().is_err()));
        assert!(config("at").with_expire_after(Duration::from_millis(10)).check().is_err());
    }
}
