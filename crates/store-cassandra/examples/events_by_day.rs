//! Events by day: date, user, time, type, data.
//!
//! ```sh
//! cargo run -p store-cassandra --example events_by_day -- 'cassandra://127.0.0.1/demo?store.create=true'
//! ```

use std::time::Duration;

use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store_cassandra::{CassandraBackend, CassandraSeries, CassandraTimeSeries, SeriesType};
use store_core::{Backend as _, Error, Result};

/// The date is the bucket: it follows from the time.
#[derive(Debug, Serialize, Deserialize)]
struct Event {
    /// Milliseconds since 1970.
    time: i64,
    user: String,
    r#type: String,
    data: Value,
}

const HOUR: i64 = 3_600_000;
/// 1 January 2026, midnight in UTC.
const NEW_YEAR: i64 = 1_767_225_600_000;

#[tokio::main]
async fn main() -> Result<()> {
    let url =
        std::env::args().nth(1).ok_or_else(|| Error::config("name a cluster: cassandra://host/keyspace"))?;
    let store = CassandraBackend::connect(url.parse()?).await?;
    let days = run(&store).await?;
    println!("events of each day, the last one first: {days:?}");
    store.close().await
}

/// Writes some events, and counts them by day.
pub async fn run(store: &CassandraBackend) -> Result<Vec<usize>> {
    let day = Duration::from_hours(24);
    let series = CassandraSeries::new("events_by_day", day)
        .with_id("user", SeriesType::Text)
        .with_column("type", SeriesType::Text)
        .with_column("data", SeriesType::Json)
        .with_ttl(day * 365 * 10);
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
    let mut days: Vec<(i64, usize)> = Vec::new();
    let mut found = events.range(&[], NEW_YEAR..NEW_YEAR + 30 * 24 * HOUR);
    while let Some(event) = found.try_next().await? {
        let day = event.time.div_euclid(24 * HOUR);
        match days.last_mut().filter(|(last, _)| *last == day) {
            Some((_, count)) => *count += 1,
            None => days.push((day, 1)),
        }
    }
    Ok(days.into_iter().map(|(_, count)| count).collect())
}
