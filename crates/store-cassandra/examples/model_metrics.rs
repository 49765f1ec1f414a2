//! Metrics of models by time: accuracy and loss of each training step, with a summary by the hour.
//!
//! ```sh
//! cargo run -p store-cassandra --example model_metrics -- 'cassandra://127.0.0.1/demo?store.create=true'
//! ```

use std::time::Duration;

use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store_cassandra::{CassandraBackend, CassandraSeries, CassandraTimeSeries, SeriesType};
use store_core::{Backend as _, Error, Result};

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
/// 1 January 2026, midnight in UTC.
const NEW_YEAR: i64 = 1_767_225_600_000;

#[tokio::main]
async fn main() -> Result<()> {
    let url =
        std::env::args().nth(1).ok_or_else(|| Error::config("name a cluster: cassandra://host/keyspace"))?;
    let store = CassandraBackend::connect(url.parse()?).await?;
    let (model, epoch) = run(&store).await?;
    println!("the best is {model} of epoch {epoch}");
    store.close().await
}

/// Writes the metrics of two trainings, and answers the model and the epoch of the best accuracy.
pub async fn run(store: &CassandraBackend) -> Result<(String, i64)> {
    let day = Duration::from_hours(24);
    // A partition for each model and month.
    let series = CassandraSeries::new("model_metrics", day * 30)
        .with_key("model")
        .with_column("epoch", SeriesType::Integer)
        .with_column("loss", SeriesType::Float)
        .with_column("accuracy", SeriesType::Float)
        .with_ttl(day * 365 * 10);
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

    let range = NEW_YEAR..NEW_YEAR + 24 * 60 * MINUTE;
    let mut best: Option<(f64, String, i64)> = None;
    for (model, _) in models {
        // Only the columns that are needed are sent.
        let mut rows = metrics.select(&[model], range.clone(), &["epoch", "accuracy"]);
        while let Some(row) = rows.try_next().await? {
            let (accuracy, epoch) = (row.get("accuracy"), row.get("epoch"));
            let (Some(accuracy), Some(epoch)) =
                (accuracy.and_then(Value::as_f64), epoch.and_then(Value::as_i64))
            else {
                continue;
            };
            if best.as_ref().is_none_or(|(most, _, _)| accuracy > *most) {
                best = Some((accuracy, model.to_owned(), epoch));
            }
        }
        let hours = metrics.downsample(&[model], range.clone(), "loss", Duration::from_hours(1));
        for hour in hours.try_collect::<Vec<_>>().await? {
            let begins = (hour.start - NEW_YEAR) / MINUTE;
            println!(
                "{model}, minute {begins}: loss {:.3} to {:.3}, mean {:.3}",
                hour.max, hour.min, hour.mean
            );
        }
    }
    best.map(|(_, model, epoch)| (model, epoch)).ok_or_else(|| Error::corrupt("no metrics are there"))
}
