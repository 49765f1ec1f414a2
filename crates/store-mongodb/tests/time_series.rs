//! Time-series collections, on a real server.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod common;

use std::process::ExitCode;
use std::time::Duration;

use bson::{Bson, DateTime, doc};
use common::{Db, test};
use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use store_core::ErrorKind;
use store_mongodb::{Bucket, DateRange, Granularity, Measure, MongoTimeSeries, TimeSeriesConfig};

fn main() -> ExitCode {
    common::run(vec![
        test("ensured_twice_and_by_many", ensured_twice_and_by_many),
        test("says_what_differs", says_what_differs),
        test("ranges_and_last_points", ranges_and_last_points),
        test("downsampled", downsampled),
        test("bad_measurements_are_refused_before_a_write", bad_measurements_are_refused_before_a_write),
        test("hostile_names_and_values", hostile_names_and_values),
    ])
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
struct Reading {
    at: DateTime,
    sensor: String,
    celsius: f64,
}

fn at(text: &str) -> DateTime {
    DateTime::parse_rfc3339_str(text).unwrap()
}

fn reading(time: &str, sensor: &str, celsius: f64) -> Reading {
    Reading { at: at(time), sensor: sensor.to_owned(), celsius }
}

fn config() -> TimeSeriesConfig {
    TimeSeriesConfig::new("at").with_series_field("sensor").with_granularity(Granularity::Minutes)
}

async fn ensured(db: &Db) -> MongoTimeSeries {
    let series = db.store.time_series("readings", config());
    assert!(series.ensure().await.unwrap());
    series
}

async fn ensured_twice_and_by_many(db: Db) {
    let series = db.store.time_series("readings", config().with_expire_after(Duration::from_hours(24)));
    let racing = (0..8).map(|_| series.ensure());
    let created = futures::future::try_join_all(racing).await.unwrap();
    assert_eq!(created.iter().filter(|created| **created).count(), 1);
    assert!(!series.ensure().await.unwrap());
    let list = doc! {"listCollections": 1, "filter": {"name": "readings"}};
    let answer = db.database().run_command(list).await.unwrap();
    let batch = answer.get_document("cursor").unwrap().get_array("firstBatch").unwrap();
    assert_eq!(batch[0].as_document().unwrap().get_str("type").unwrap(), "timeseries");
}

async fn says_what_differs(db: Db) {
    ensured(&db).await;
    let other = TimeSeriesConfig::new("time").with_expire_after(Duration::from_mins(1));
    let error = db.store.time_series("readings", other).ensure().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    for part in [
        "the time field is at instead of time",
        "the series field is sensor instead of not set",
        "the granularity is minutes instead of seconds",
        "the expiry is not set instead of 60 s",
        "collMod",
    ] {
        assert!(error.to_string().contains(part), "{error}");
    }
    db.collection("plain").insert_one(doc! {}).await.unwrap();
    let error = db.store.time_series("plain", config()).ensure().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("no time-series"), "{error}");
}

async fn ranges_and_last_points(db: Db) {
    let series = ensured(&db).await;
    let written = [
        reading("2024-05-01T12:00:00Z", "attic", 20.0),
        reading("2024-05-01T10:00:00Z", "attic", 18.0),
        reading("2024-05-01T11:00:00Z", "cellar", 9.0),
        reading("2024-05-02T00:00:00Z", "cellar", 8.0),
    ];
    assert_eq!(series.insert(&written).await.unwrap(), 4);
    assert_eq!(series.insert::<Reading>(&[]).await.unwrap(), 0);
    let day = DateRange::parse("2024-05-01T00:00:00Z", "2024-05-02T00:00:00Z").unwrap();
    let all: Vec<Reading> = series.range(day, None).unwrap().try_collect().await.unwrap();
    assert_eq!(all, [written[1].clone(), written[2].clone(), written[0].clone()]);
    let attic: Vec<Reading> =
        series.range(DateRange::all(), Some("attic".into())).unwrap().try_collect().await.unwrap();
    assert_eq!(attic, [written[1].clone(), written[0].clone()]);
    let last: Vec<Reading> = series.last_points(day).unwrap().try_collect().await.unwrap();
    assert_eq!(last, [written[0].clone(), written[2].clone()]);
    let last: Vec<Reading> = series.last_points(DateRange::all()).unwrap().try_collect().await.unwrap();
    assert_eq!(last, [written[0].clone(), written[3].clone()]);
    // More than one request holds.
    let many: Vec<Reading> = (0..2_500_u32)
        .map(|i| Reading {
            at: DateTime::from_millis(i64::from(i)),
            sensor: "many".to_owned(),
            celsius: f64::from(i),
        })
        .collect();
    assert_eq!(series.insert(&many).await.unwrap(), 2_500);
    let read: Vec<Reading> =
        series.range(DateRange::all(), Some("many".into())).unwrap().try_collect().await.unwrap();
    assert_eq!(read, many);
}

#[derive(Debug, Deserialize, PartialEq)]
struct Hour {
    at: DateTime,
    series: String,
    mean: f64,
    count: i32,
    first: f64,
    last: f64,
    low: f64,
    high: f64,
    sum: f64,
}

async fn downsampled(db: Db) {
    let series = ensured(&db).await;
    let written = [
        reading("2024-05-01T10:50:00Z", "attic", 30.0),
        reading("2024-05-01T10:10:00Z", "attic", 18.0),
        reading("2024-05-01T10:30:00Z", "attic", 12.0),
        reading("2024-05-01T10:59:59Z", "cellar", 9.0),
        reading("2024-05-01T11:00:00Z", "attic", 7.0),
    ];
    series.insert(&written).await.unwrap();
    let celsius = || "celsius".to_owned();
    let measures = || {
        [
            ("mean", Measure::Average(celsius())),
            ("count", Measure::Count),
            ("first", Measure::First(celsius())),
            ("last", Measure::Last(celsius())),
            ("low", Measure::Minimum(celsius())),
            ("high", Measure::Maximum(celsius())),
            ("sum", Measure::Sum(celsius())),
        ]
    };
    let range = DateRange::all();
    let hours: Vec<Hour> =
        series.downsample(&Bucket::hours(1), range, None, measures()).unwrap().try_collect().await.unwrap();
    let hour = |time: &str, series: &str, numbers: [f64; 6], count| {
        let [mean, first, last, low, high, sum] = numbers;
        Hour { at: at(time), series: series.to_owned(), mean, count, first, last, low, high, sum }
    };
    assert_eq!(
        hours,
        [
            hour("2024-05-01T10:00:00Z", "attic", [20.0, 18.0, 30.0, 12.0, 30.0, 60.0], 3),
            hour("2024-05-01T10:00:00Z", "cellar", [9.0; 6], 1),
            hour("2024-05-01T11:00:00Z", "attic", [7.0; 6], 1),
        ]
    );
    // A day in Tokyo begins at three in the afternoon of the day before, by UTC.
    let day = Bucket::days(1).in_time_zone("Asia/Tokyo");
    let days: Vec<Hour> = series
        .downsample(&day, range, Some("attic".into()), measures())
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(days.len(), 1);
    assert_eq!((days[0].at, days[0].count), (at("2024-04-30T15:00:00Z"), 4));
}

async fn bad_measurements_are_refused_before_a_write(db: Db) {
    let series = ensured(&db).await;
    let good = doc! {"at": DateTime::now(), "sensor": "a"};
    for bad in [doc! {"sensor": "a"}, doc! {"at": "2024-05-01T00:00:00Z", "sensor": "a"}] {
        let error = series.insert(&[good.clone(), bad]).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.failed()),
            (ErrorKind::InvalidInput, &["1".to_owned()][..]),
            "{error}"
        );
        assert!(error.to_string().contains("bson::DateTime"), "{error}");
    }
    let error = series.insert(&["no document"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let large = doc! {"at": DateTime::now(), "sensor": "a", "text": "x".repeat(17 << 20)};
    let error = series.insert(&[good.clone(), large]).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::LimitExceeded, Some("1")));
    let rows: Vec<bson::Document> =
        series.range(DateRange::all(), None).unwrap().try_collect().await.unwrap();
    assert!(rows.is_empty());
    // What only the server refuses: it keeps a text three times, and three of this are over 16 MB. What it
    // refused is named, and all else is there.
    let large = doc! {"at": DateTime::now(), "sensor": "b", "text": "x".repeat(8 << 20)};
    let error = series.insert(&[large, good]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
    assert_eq!(error.failed().first().map(String::as_str), Some("0"), "{error}");
    let rows: Vec<bson::Document> =
        series.range(DateRange::all(), None).unwrap().try_collect().await.unwrap();
    assert_eq!(rows.len() + error.failed().len(), 2);
}

async fn hostile_names_and_values(db: Db) {
    let series = ensured(&db).await;
    for sensor in [Bson::from("$at"), doc! {"$gt": ""}.into()] {
        // An operator's name can not be a series' own, and as a value to look for it finds nothing else.
        let _ = series.insert(&[doc! {"at": DateTime::now(), "sensor": "plain"}]).await.unwrap();
        let found: Vec<bson::Document> =
            series.range(DateRange::all(), Some(sensor)).unwrap().try_collect().await.unwrap();
        assert!(found.is_empty());
    }
    let zone = Bucket::hours(1).in_time_zone("$sensor");
    let rows = series.downsample::<Hour>(&zone, DateRange::all(), None, []).unwrap();
    let error = rows.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(error.to_string().contains("zone"), "{error}");
    for name in ["at", "series", "_id", "$x", "a.b", ""] {
        assert!(
            series
                .downsample::<Hour>(&Bucket::hours(1), DateRange::all(), None, [(name, Measure::Count)])
                .is_err()
        );
    }
    for field in ["$where", "", "a..b"] {
        let measure = [("m", Measure::Sum(field.to_owned()))];
        assert!(series.downsample::<Hour>(&Bucket::hours(1), DateRange::all(), None, measure).is_err());
    }
    assert!(series.downsample::<Hour>(&Bucket::hours(0), DateRange::all(), None, []).is_err());
    let single = db.store.time_series("single", TimeSeriesConfig::new("at"));
    assert!(single.last_points::<Reading>(DateRange::all()).is_err());
    assert!(single.range::<Reading>(DateRange::all(), Some(1.into())).is_err());
}
