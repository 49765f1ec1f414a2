//! Time series in Cassandra: events by day, read as one stream over all days, and metrics of models, summed up by the
//! hour.
//!
//! ```sh
//! cargo run -p nodestore-examples --bin time_series -- 'cassandra://127.0.0.1/demo?store.create=true'
//! ```

use std::time::Duration;

use futures::TryStreamExt as _;
use nodestore::cassandra::{CassandraBackend, CassandraSeries, CassandraTimeSeries, SeriesType};
use nodestore::prelude::*;
use nodestore::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The day is the bucket: it follows from the time.
#[derive(Debug, Serialize, Deserialize)]
struct Event {
    /// Milliseconds since 1970.
    time: i64,
    user: String,
    r#type: String,
    data: Value,
}

#[derive(Debug, Serialize, Deserialize)]
struct Metrics {
    model: String,
    /// Milliseconds since 1970.
    time: i64,
    epoch: i64,
    loss: f64,
    /// Not measured in every epoch.
    accuracy: Option<f64>,
}

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 1 January 2026, midnight in UTC.
const NEW_YEAR: i64 = 1_767_225_600_000;
/// How long rows are kept.
const TEN_YEARS: Duration = Duration::from_hours(10 * 365 * 24);

#[tokio::main]
async fn main() -> Result<()> {
    let url =
        std::env::args().nth(1).ok_or_else(|| Error::config("name a cluster: cassandra://host/keyspace"))?;
    let store = CassandraBackend::connect(url.parse()?).await?;
    events_by_day(&store).await?;
    model_metrics(&store).await?;
    store.close().await
}

/// Writes some events, and reads them over the days.
async fn events_by_day(store: &CassandraBackend) -> Result<()> {
    let series = CassandraSeries::new("events_by_day", Duration::from_hours(24))
        .with_id("user", SeriesType::Text)
        .with_column("type", SeriesType::Text)
        .with_column("data", SeriesType::Json)
        .with_ttl(TEN_YEARS);
    // 100,000 events a day of 300 bytes are a good partition; 10 million are not, and want shards.
    if let Some(warning) = series.estimate(100_000, 300).warning {
        println!("{warning}");
    }
    let events: CassandraTimeSeries<Event> = CassandraTimeSeries::new(store, series)?;

    let event = |hours: i64, user: &str, kind: &str, data: Value| Event {
        time: NEW_YEAR + hours * HOUR,
        user: user.to_owned(),
        r#type: kind.to_owned(),
        data,
    };
    let all = [
        event(1, "anna", "search", json!({"query": "cranes"})),
        event(25, "anna", "click", json!({"node": "n1", "rank": 2})),
        event(30, "ben", "search", json!({"query": "owls", "hits": 12})),
        event(50, "anna", "search", json!({"query": "how far do cranes fly"})),
        event(50, "ben", "click", json!({"node": "n7"})),
        event(60, "ben", "feedback", json!({"stars": 4.5})),
    ];
    // Each of them once, however often this runs: by its time and its user.
    let new = events.put_once(&all).await?;
    println!("{} of {} events are new", new.iter().filter(|new| **new).count(), all.len());

    // The days come as one stream, newest first; a page of a day is in memory, not all of them.
    let mut found = events.range(&[], NEW_YEAR..NEW_YEAR + 30 * DAY);
    while let Some(event) = found.try_next().await? {
        let since = event.time - NEW_YEAR;
        let (day, hour) = (1 + since / DAY, since % DAY / HOUR);
        println!("{day} January, {hour}:00 {} {} {}", event.user, event.r#type, event.data);
    }
    Ok(())
}

/// Writes the metrics of two trainings, sums up their losses, and finds the best accuracy.
async fn model_metrics(store: &CassandraBackend) -> Result<()> {
    // A partition for each model and month.
    let series = CassandraSeries::new("model_metrics", Duration::from_hours(30 * 24))
        .with_key("model")
        .with_column("epoch", SeriesType::Integer)
        .with_column("loss", SeriesType::Float)
        .with_column("accuracy", SeriesType::Float)
        .with_ttl(TEN_YEARS);
    let metrics: CassandraTimeSeries<Metrics> = CassandraTimeSeries::new(store, series)?;

    let models = [("resnet-18", 0.90), ("resnet-50", 0.94)];
    for (model, limit) in models {
        let of_epoch = |epoch: u32| {
            let left = 0.9_f64.powi(epoch.cast_signed());
            Metrics {
                model: model.to_owned(),
                time: NEW_YEAR + i64::from(epoch) * 5 * MINUTE,
                epoch: i64::from(epoch),
                loss: 2.0 * left + 0.1,
                accuracy: epoch.is_multiple_of(3).then_some(limit - 0.5 * left),
            }
        };
        metrics.put(&(0..40).map(of_epoch).collect::<Vec<_>>()).await?;
    }

    let range = NEW_YEAR..NEW_YEAR + DAY;
    for (model, _) in models {
        let mut hours = metrics.downsample(&[model], range.clone(), "loss", Duration::from_hours(1));
        while let Some(hour) = hours.try_next().await? {
            let begins = (hour.start - NEW_YEAR) / HOUR;
            println!(
                "{model}, hour {begins}: loss {:.3} to {:.3}, mean {:.3}",
                hour.max, hour.min, hour.mean
            );
        }
        // Only the columns that are needed are sent.
        let mut rows = metrics.select(&[model], range.clone(), &["epoch", "accuracy"]);
        let mut best: Option<(f64, i64)> = None;
        while let Some(row) = rows.try_next().await? {
            let accuracy = row.get("accuracy").and_then(Value::as_f64);
            let epoch = row.get("epoch").and_then(Value::as_i64);
            best = best.into_iter().chain(accuracy.zip(epoch)).max_by(|a, b| a.0.total_cmp(&b.0));
        }
        if let Some((accuracy, epoch)) = best {
            println!("{model}: the best accuracy is {accuracy:.3}, of epoch {epoch}");
        }
    }
    Ok(())
}
