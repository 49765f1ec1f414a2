//! Time series on a real node.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

mod common;

use std::process::ExitCode;
use std::time::Duration;

use common::{Db, eventually, test};
use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store_cassandra::{CassandraSeries, CassandraTimeSeries, SeriesType};
use store_core::ErrorKind;

fn main() -> ExitCode {
    common::run([
        test(
            "events_come_newest_first_from_many_buckets_and_shards",
            events_come_newest_first_from_many_buckets_and_shards,
        ),
        test("one_partition_is_read_page_by_page", one_partition_is_read_page_by_page),
        test("metrics_are_kept_by_model_and_summed_up", metrics_are_kept_by_model_and_summed_up),
        test("rows_expire", rows_expire),
        test("what_does_not_fit_is_refused_before_a_write", what_does_not_fit_is_refused_before_a_write),
        test("rows_are_inserted_once", rows_are_inserted_once),
    ])
}

const DAY: i64 = 24 * 3_600 * 1_000;
/// 1 June 2025.
const START: i64 = 1_748_736_000_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Event {
    user: String,
    time: i64,
    r#type: String,
    data: Value,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Metrics {
    model: String,
    time: i64,
    accuracy: Option<f64>,
    loss: f64,
    epoch: i64,
    best: bool,
}

fn events() -> CassandraSeries {
    CassandraSeries::new("events_by_day", Duration::from_hours(24))
        .with_id("user", SeriesType::Text)
        .with_column("type", SeriesType::Text)
        .with_column("data", SeriesType::Json)
        .with_shards(3)
}

fn event(user: &str, time: i64) -> Event {
    Event {
        user: user.to_owned(),
        time,
        r#type: "click".to_owned(),
        data: json!({"at": time, "list": [1, 2.5]}),
    }
}

async fn events_come_newest_first_from_many_buckets_and_shards(db: Db) {
    let series: CassandraTimeSeries<Event> = CassandraTimeSeries::new(&db.store, events()).unwrap();
    // Ten days, three hundred a day, with a user for each; written in no order. More than a page of rows in all.
    let mut all: Vec<Event> =
        (0..3_000).map(|n| event(&format!("u{}", n % 7), START + n * (DAY / 300))).collect();
    let mut mixed = all.clone();
    mixed.sort_by_key(|event| event.time.wrapping_mul(0x9e37_79b9) & 0xffff);
    series.put(&mixed).await.unwrap();
    // Written again: still one row each.
    series.put(&mixed[..50]).await.unwrap();
    all.reverse();
    let found: Vec<Event> = series.range(&[], START..START + 10 * DAY).try_collect().await.unwrap();
    assert_eq!(found, all);
    // The ends: the first is in it, the last is not, whether at a bucket's border or not.
    for (from, to) in [(START + DAY, START + 2 * DAY), (START + 5, START + 3 * DAY + 7), (START, START + 1)] {
        let found: Vec<Event> = series.range(&[], from..to).try_collect().await.unwrap();
        let expected: Vec<Event> =
            all.iter().filter(|event| (from..to).contains(&event.time)).cloned().collect();
        assert_eq!(found, expected, "{from}..{to}");
    }
    let none: Vec<Event> = series.range(&[], START - 5 * DAY..START).try_collect().await.unwrap();
    assert_eq!(none, []);
    // Some columns.
    let rows: Vec<_> = series.select(&[], START..START + 1, &["user"]).try_collect().await.unwrap();
    assert_eq!(Value::from(rows), json!([{"time": START, "user": "u0"}]));
    // A bucket goes at once, with all its shards.
    series.delete_bucket(&[], START + DAY + 5).await.unwrap();
    let left: Vec<Event> = series.range(&[], START..START + 3 * DAY).try_collect().await.unwrap();
    assert_eq!(left.len(), 600);
}

async fn one_partition_is_read_page_by_page(db: Db) {
    let series: CassandraTimeSeries<Event> =
        CassandraTimeSeries::new(&db.store, events().with_shards(1)).unwrap();
    let all: Vec<Event> = (0..2_500).map(|n| event("u", START + n)).collect();
    series.put(&all).await.unwrap();
    let found: Vec<Event> = series.range(&[], START..START + DAY).try_collect().await.unwrap();
    assert_eq!(found, all.into_iter().rev().collect::<Vec<_>>());
}

async fn metrics_are_kept_by_model_and_summed_up(db: Db) {
    let series = CassandraSeries::new("model_metrics", Duration::from_hours(24 * 30))
        .with_key("model")
        .with_column("accuracy", SeriesType::Float)
        .with_column("loss", SeriesType::Float)
        .with_column("epoch", SeriesType::Integer)
        .with_column("best", SeriesType::Bool)
        .with_ttl(Duration::from_hours(24 * 365));
    let series: CassandraTimeSeries<Metrics> = CassandraTimeSeries::new(&db.store, series).unwrap();
    let metrics = |model: &str, n: u8| Metrics {
        model: model.to_owned(),
        time: START + i64::from(n) * 60_000,
        accuracy: (!n.is_multiple_of(10)).then(|| f64::from(n) / 100.0),
        loss: f64::from(n),
        epoch: i64::MIN + i64::from(n),
        best: n.is_multiple_of(2),
    };
    let all: Vec<Metrics> = (0..60).flat_map(|n| [metrics("a", n), metrics("b", n)]).collect();
    series.put(&all).await.unwrap();
    let range = START - DAY..START + DAY;
    let found: Vec<Metrics> = series.range(&["a"], range.clone()).try_collect().await.unwrap();
    assert_eq!(found, (0..60).rev().map(|n| metrics("a", n)).collect::<Vec<_>>());

    let quarter = Duration::from_mins(15);
    let samples: Vec<_> =
        series.downsample(&["b"], range.clone(), "loss", quarter).try_collect().await.unwrap();
    let starts: Vec<i64> = samples.iter().map(|sample| (sample.start - START) / 60_000).collect();
    assert_eq!(starts, [45, 30, 15, 0]);
    let first = samples.first().unwrap();
    assert_eq!((first.count, first.min, first.max, first.mean, first.last), (15, 45.0, 59.0, 52.0, 59.0));
    // What is null does not count.
    let hour = Duration::from_hours(1);
    let samples: Vec<_> = series.downsample(&["b"], range, "accuracy", hour).try_collect().await.unwrap();
    assert_eq!(samples.iter().map(|sample| sample.count).sum::<u64>(), 54);
}

async fn rows_expire(db: Db) {
    let series: CassandraTimeSeries<Event> =
        CassandraTimeSeries::new(&db.store, events().with_ttl(Duration::from_secs(1))).unwrap();
    series.put(&[event("u", START)]).await.unwrap();
    eventually("they expire", || async {
        series.range(&[], START..START + 1).try_collect::<Vec<_>>().await.unwrap().is_empty()
    })
    .await;
}

async fn what_does_not_fit_is_refused_before_a_write(db: Db) {
    let series: CassandraTimeSeries<Value> = CassandraTimeSeries::new(&db.store, events()).unwrap();
    let good = json!({"user": "u", "time": START, "type": "t", "data": null});
    for bad in [
        json!({"user": "u", "type": "t"}),
        json!({"time": START, "type": "t"}),
        json!({"user": "u", "time": START, "type": 7}),
        json!({"user": "u", "time": START, "other": 7}),
        json!([1]),
    ] {
        let error = series.put(&[good.clone(), bad.clone()]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad}");
        assert_eq!(error.failed(), ["1"], "{bad}");
    }
    let found: Vec<Value> = series.range(&[], START..START + DAY).try_collect().await.unwrap();
    assert_eq!(found, [(); 0].map(|()| Value::Null));
    let refused = [
        series.range(&["too many"], START..START + 1).try_collect::<Vec<_>>().await.unwrap_err(),
        series.range(&[], i64::MIN..i64::MAX).try_collect::<Vec<_>>().await.unwrap_err(),
        series.select(&[], START..START + 1, &["x\" FROM y"]).try_collect::<Vec<_>>().await.unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    // An unusual request, but not a wrong one.
    let empty: Vec<Value> = series.range(&[], START..START).try_collect().await.unwrap();
    assert!(empty.is_empty());
}

async fn rows_are_inserted_once(db: Db) {
    let series: CassandraTimeSeries<Event> = CassandraTimeSeries::new(&db.store, events()).unwrap();
    let all: Vec<Event> = (0..250).map(|n| event("u", START + n * (DAY / 100))).collect();
    assert_eq!(series.put_once(&all[50..80]).await.unwrap(), [true; 30]);
    let again = Event { r#type: "other".to_owned(), ..event("u", all[60].time) };
    let mut rows = all.clone();
    rows.extend([again.clone(), event("other", all[60].time), event("other", all[60].time)]);
    let mut expected = vec![true; 253];
    expected[50..80].fill(false);
    expected[250] = false;
    expected[252] = false;
    assert_eq!(series.put_once(&rows).await.unwrap(), expected);
    assert_eq!(series.put_once(&[again]).await.unwrap(), [false]);
    // What is there stays as it was.
    let found: Vec<Event> = series.range(&[], START..START + 3 * DAY).try_collect().await.unwrap();
    assert_eq!(found.len(), 251);
    assert!(found.iter().all(|event| event.r#type == "click"));
    assert_eq!(series.put_once(&[]).await.unwrap(), [false; 0]);
    let untyped: CassandraTimeSeries<Value> = CassandraTimeSeries::new(&db.store, events()).unwrap();
    let good = json!({"user": "new", "time": START, "type": "t", "data": null});
    let error = untyped.put_once(&[good.clone(), json!({"time": START})]).await.unwrap_err();
    assert_eq!((error.kind(), error.failed()), (ErrorKind::InvalidInput, &["1".to_owned()][..]));
    assert_eq!(untyped.put_once(&[good]).await.unwrap(), [true]);
}
