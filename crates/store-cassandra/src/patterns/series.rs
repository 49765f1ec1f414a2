//! What a time series consists of: its columns, its partitions, how long it is kept.

use std::time::Duration;

use serde_json::Value as Json;
use store_core::kit::stored_json::stored_json;
use store_core::{Error, JsonObject, Result};

use crate::codec::{bigint, text};
use crate::schema::quoted;
use crate::session::{Row, Value, bytes};

/// The columns that every series has.
pub(super) const OWN: [&str; 3] = ["bucket", "shard", "time"];
/// The most shards: each range is read from all of them.
const MAX_SHARDS: u8 = 64;
/// The longest name of a column or a series.
const MAX_NAME: usize = 32;
/// Windows in which a series with a time to live is compacted: some thirty over that time.
const WINDOWS: u64 = 30;
/// What a partition should not exceed.
const GREAT_ROWS: u64 = 1_000_000;
const GREAT_BYTES: u64 = 100_000_000;
/// Cassandra's limit, twenty years.
const MAX_TTL: u64 = 630_720_000;

/// What a column of a series holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeriesType {
    /// `text`.
    Text,
    /// `bigint`.
    Integer,
    /// `double`.
    Float,
    /// `boolean`.
    Bool,
    /// Any JSON value, as `text`.
    Json,
}

impl SeriesType {
    fn cql(self) -> &'static str {
        match self {
            Self::Text | Self::Json => "text",
            Self::Integer => "bigint",
            Self::Float => "double",
            Self::Bool => "boolean",
        }
    }

    /// A value as the column has it; JSON's null is null.
    fn encode(self, column: &str, value: &Json) -> Result<Value> {
        let wrong = |what: &str| {
            Error::invalid_input(format!("the column {column:?} holds {what}, and the row has {value}"))
        };
        Ok(match (self, value) {
            (Self::Json, value) => text(value.to_string()),
            (_, Json::Null) => Value::Null,
            (Self::Text, value) => text(value.as_str().ok_or_else(|| wrong("text"))?),
            (Self::Integer, value) => bigint(value.as_i64().ok_or_else(|| wrong("integers of 64 bits"))?),
            (Self::Float, value) => {
                let number = value.as_f64().ok_or_else(|| wrong("numbers"))?;
                bytes(number.to_be_bytes().to_vec())
            }
            (Self::Bool, value) => {
                bytes(vec![u8::from(value.as_bool().ok_or_else(|| wrong("true and false"))?)])
            }
        })
    }

    fn decode(self, row: &Row<'_>, column: &str) -> Result<Json> {
        Ok(match self {
            Self::Text => row.text(column)?.map_or(Json::Null, Json::from),
            Self::Integer => row.integer(column)?.map_or(Json::Null, Json::from),
            Self::Bool => row.bytes(column)?.map_or(Json::Null, |cell| Json::from(cell.first() == Some(&1))),
            Self::Float => match row.bytes(column)?.map(<[u8; 8]>::try_from) {
                Some(Ok(cell)) => Json::from(f64::from_be_bytes(cell)),
                Some(Err(_)) => return Err(Error::corrupt(format!("the column {column:?} holds no double"))),
                None => Json::Null,
            },
            Self::Json => match row.text(column)? {
                Some(text) => stored_json(&format!("the column {column:?}"), text.as_bytes())?,
                None => Json::Null,
            },
        })
    }
}

/// The declaration of a series: a table whose partitions are spans of time, newest rows first.
///
/// The primary key is `((keys…, bucket, shard), time, ids…)`: `time` is a `timestamp` (milliseconds since 1970, UTC),
/// `bucket` the beginning of its span, and `shard` follows from time and ids.
#[derive(Clone, Debug)]
pub struct CassandraSeries {
    pub(super) name: String,
    bucket: Duration,
    pub(super) shards: u8,
    ttl: Option<Duration>,
    pub(super) keys: Vec<String>,
    pub(super) ids: Vec<(String, SeriesType)>,
    columns: Vec<(String, SeriesType)>,
}

impl CassandraSeries {
    /// A series in a table of this name, with partitions of `bucket`: at best so much that a range which is often read
    /// lies in few, and that a partition stays under some 100 MB ([`estimate`](Self::estimate)).
    #[must_use]
    pub fn new(name: impl Into<String>, bucket: Duration) -> Self {
        let (keys, ids, columns) = (Vec::new(), Vec::new(), Vec::new());
        Self { name: name.into(), bucket, shards: 1, ttl: None, keys, ids, columns }
    }

    /// Adds a text to the partition key: each of its values is a series of its own, such as a model's id.
    #[must_use]
    pub fn with_key(mut self, name: impl Into<String>) -> Self {
        self.keys.push(name.into());
        self
    }

    /// Adds a column that tells rows of the same millisecond apart, such as a user. A row of the same key, time and ids
    /// replaces the other.
    #[must_use]
    pub fn with_id(mut self, name: impl Into<String>, holds: SeriesType) -> Self {
        self.ids.push((name.into(), holds));
        self
    }

    /// Adds a column.
    #[must_use]
    pub fn with_column(mut self, name: impl Into<String>, holds: SeriesType) -> Self {
        self.columns.push((name.into(), holds));
        self
    }

    /// Sets over how many partitions the rows of a bucket are spread, 1 to 64; default 1. For more writes at once than
    /// one node takes: each range is then read from all of them.
    #[must_use]
    pub fn with_shards(mut self, shards: u8) -> Self {
        self.shards = shards;
        self
    }

    /// Sets how long rows are kept, counted from when they are written. The table that is made has this as its own, and
    /// is compacted by windows of a thirtieth of it, so that what has expired goes by whole files.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// How great a partition gets with so many rows a day of a key, of so many bytes. `warning` says if that is too much.
    #[must_use]
    pub fn estimate(&self, rows_a_day: u64, row_bytes: u64) -> BucketEstimate {
        let share =
            u128::from(rows_a_day) * self.bucket.as_millis() / 86_400_000 / u128::from(self.shards.max(1));
        let rows = u64::try_from(share).unwrap_or(u64::MAX);
        let bytes = rows.saturating_mul(row_bytes);
        let warning = (rows > GREAT_ROWS || bytes > GREAT_BYTES).then(|| {
            format!(
                "a partition of {} gets {rows} rows and {} MB; take a shorter bucket or more shards, so that it stays \
                 under {GREAT_ROWS} rows and {} MB",
                self.name,
                bytes / 1_000_000,
                GREAT_BYTES / 1_000_000
            )
        });
        BucketEstimate { rows, bytes, warning }
    }

    pub(super) fn check(&self) -> Result<()> {
        let refused = |message: String| Err(Error::invalid_input(message));
        let names = self.keys.iter().chain(self.ids.iter().chain(&self.columns).map(|(name, _)| name));
        let mut seen = OWN.to_vec();
        for name in std::iter::once(&self.name).chain(names) {
            let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if !name.starts_with(|c: char| c.is_ascii_lowercase())
                || !name.chars().all(legal)
                || name.len() > MAX_NAME
            {
                return refused(format!(
                    "the name {name:?} is not allowed: it has a-z, 0-9 and _, a letter first, at most {MAX_NAME}"
                ));
            }
            if *name != self.name {
                if seen.contains(&name.as_str()) {
                    return refused(format!(
                        "the column {name:?} is there twice, or one that every series has: bucket, shard, time"
                    ));
                }
                seen.push(name);
            }
        }
        if self.bucket < Duration::from_secs(1) || self.bucket > Duration::from_hours(24 * 3_660) {
            return refused("the bucket must be between a second and ten years".to_owned());
        }
        if !(1..=MAX_SHARDS).contains(&self.shards) {
            return refused(format!("there are {} shards; there may be 1 to {MAX_SHARDS}", self.shards));
        }
        if self.ttl.is_some_and(|ttl| !(1..=MAX_TTL).contains(&ttl.as_secs())) {
            return refused("the time to live must be between a second and twenty years".to_owned());
        }
        Ok(())
    }

    /// What stands behind the name in `CREATE TABLE`.
    pub(super) fn definition(&self) -> String {
        let mut columns: Vec<String> = self.keys.iter().map(|key| format!("{} text", quoted(key))).collect();
        columns.extend(["bucket timestamp", "shard int", "time timestamp"].map(str::to_owned));
        let all = self.ids.iter().chain(&self.columns);
        columns.extend(all.map(|(name, holds)| format!("{} {}", quoted(name), holds.cql())));
        let keys: Vec<String> = self.keys.iter().map(|key| quoted(key) + ", ").collect();
        let ids = |order: &str| -> String {
            let ids = self.ids.iter().map(|(name, _)| format!(", {}{order}", quoted(name)));
            ids.collect::<Vec<_>>().concat()
        };
        let mut cql = format!(
            "({}, PRIMARY KEY (({}bucket, shard), time{})) WITH CLUSTERING ORDER BY (time DESC{})",
            columns.join(", "),
            keys.concat(),
            ids(""),
            ids(" ASC")
        );
        let Some(ttl) = self.ttl else { return cql };
        let (size, unit) = window(ttl.as_secs());
        let kept = format!(
            " AND default_time_to_live = {} AND compaction = {{'class': 'TimeWindowCompactionStrategy', \
             'compaction_window_unit': '{unit}', 'compaction_window_size': {size}}}",
            ttl.as_secs()
        );
        cql.push_str(&kept);
        cql
    }

    /// A bucket's length in milliseconds.
    pub(super) fn length(&self) -> i64 {
        i64::try_from(self.bucket.as_millis()).unwrap_or(i64::MAX).max(1)
    }

    /// The columns of a row but keys and the series' own, ids first.
    pub(super) fn fields(&self) -> impl Iterator<Item = &(String, SeriesType)> {
        self.ids.iter().chain(&self.columns)
    }

    /// The values of a row's ids, and of its other columns.
    pub(super) fn values(&self, row: &JsonObject) -> Result<(Vec<Value>, Vec<Value>)> {
        let known = |name: &str| {
            name == "time"
                || self.keys.iter().chain(self.fields().map(|(name, _)| name)).any(|key| key == name)
        };
        if let Some(name) = row.keys().find(|name| !known(name)) {
            return Err(Error::invalid_input(format!("the row has {name:?}, and the series no such column")));
        }
        let value =
            |(name, holds): &(String, SeriesType)| holds.encode(name, row.get(name).unwrap_or(&Json::Null));
        let ids: Vec<Value> = self.ids.iter().map(value).collect::<Result<_>>()?;
        if ids.iter().any(|id| matches!(id, Value::Null)) {
            return Err(Error::invalid_input("an id of the row is null; it is part of the key"));
        }
        Ok((ids, self.columns.iter().map(value).collect::<Result<_>>()?))
    }

    /// Reads selected columns of a row.
    pub(super) fn read(&self, row: &Row<'_>, columns: &[String]) -> Result<(i64, JsonObject)> {
        let time = row.integer("time")?.ok_or_else(|| Error::corrupt("a row has no time"))?;
        let mut object = JsonObject::new();
        for name in &self.keys {
            if columns.contains(name) {
                object.insert(name.clone(), Json::from(row.needed_text(name)?));
            }
        }
        object.insert("time".to_owned(), Json::from(time));
        for (name, holds) in self.fields() {
            if columns.contains(name) {
                object.insert(name.clone(), holds.decode(row, name)?);
            }
        }
        Ok((time, object))
    }

    /// The columns of a row as it was written.
    pub(super) fn all(&self) -> Vec<String> {
        self.keys.iter().chain(self.fields().map(|(name, _)| name)).cloned().collect()
    }
}

/// A compaction window for rows that live so many seconds.
fn window(ttl: u64) -> (u64, &'static str) {
    let minutes = (ttl / WINDOWS).div_ceil(60).max(1);
    match minutes {
        1..120 => (minutes, "MINUTES"),
        120..2_880 => (minutes / 60, "HOURS"),
        _ => (minutes / 1_440, "DAYS"),
    }
}

/// How great a partition of a series gets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BucketEstimate {
    /// Rows.
    pub rows: u64,
    /// Bytes, before compression.
    pub bytes: u64,
    /// What to do, if that is too much.
    pub warning: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_made_for_its_series() {
        let series = CassandraSeries::new("metrics", Duration::from_hours(24))
            .with_key("model")
            .with_id("step", SeriesType::Integer)
            .with_column("loss", SeriesType::Float)
            .with_ttl(Duration::from_hours(24 * 90));
        series.check().unwrap();
        assert_eq!(
            series.definition(),
            "(\"model\" text, bucket timestamp, shard int, time timestamp, \"step\" bigint, \"loss\" double, PRIMARY \
             KEY ((\"model\", bucket, shard), time, \"step\")) WITH CLUSTERING ORDER BY (time DESC, \"step\" ASC) AND \
             default_time_to_live = 7776000 AND compaction = {'class': 'TimeWindowCompactionStrategy', \
             'compaction_window_unit': 'DAYS', 'compaction_window_size': 3}"
        );
        assert_eq!([window(60), window(3 * 24 * 3_600)], [(1, "MINUTES"), (2, "HOURS")]);
    }

    #[test]
    fn what_can_not_be_is_refused() {
        let day = Duration::from_hours(24);
        assert!(CassandraSeries::new("a;b", day).check().is_err());
        assert!(CassandraSeries::new("a", day).with_key("time").check().is_err());
        assert!(CassandraSeries::new("a", day).with_key("x").with_key("x").check().is_err());
        assert!(CassandraSeries::new("a", day).with_shards(0).check().is_err());
        assert!(CassandraSeries::new("a", Duration::ZERO).check().is_err());
        assert!(CassandraSeries::new("a", day).with_ttl(Duration::ZERO).check().is_err());
    }

    #[test]
    fn great_partitions_are_told() {
        let series = CassandraSeries::new("events", Duration::from_hours(24));
        assert_eq!(series.estimate(100_000, 200).warning, None);
        let great = series.estimate(10_000_000, 200);
        assert_eq!((great.rows, great.bytes), (10_000_000, 2_000_000_000));
        assert!(great.warning.is_some());
        assert_eq!(series.with_shards(32).estimate(10_000_000, 200).warning, None);
    }
}
