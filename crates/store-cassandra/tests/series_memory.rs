//! What reading a long time series takes: alone in its process, whose memory is measured.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

mod common;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use common::{Db, test};
use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store_cassandra::{CassandraSeries, CassandraTimeSeries, SeriesType};

fn main() -> ExitCode {
    common::run([test("soak_a_long_range_takes_little_memory", a_long_range_takes_little_memory)])
}

const DAY: i64 = 24 * 3_600 * 1_000;
/// 1 June 2025.
const START: i64 = 1_748_736_000_000;

#[derive(Debug, Serialize, Deserialize)]
struct Event {
    time: i64,
    user: String,
    data: Value,
}

/// A range over 30 days, 100,000 events each with `STORE_TEST_SOAK`, 4,000 else: read as a stream it takes a part of the
/// memory that the events would.
async fn a_long_range_takes_little_memory(db: Db) {
    let soak = std::env::var_os("STORE_TEST_SOAK").is_some();
    let (days, each) = (30, if soak { 100_000 } else { 4_000 });
    // Some 120 MB in the short form, and over a gigabyte in the long one, if all were held.
    let body = "x".repeat(if soak { 200 } else { 800 });
    let series = CassandraSeries::new("events_by_day", Duration::from_hours(24))
        .with_id("user", SeriesType::Text)
        .with_column("data", SeriesType::Json);
    let series: CassandraTimeSeries<Event> = CassandraTimeSeries::new(&db.store, series).unwrap();
    let begin = Instant::now();
    for day in 0..days {
        let mut n = 0;
        while n < each {
            let rows = (n..(n + 2_000).min(each)).map(|n| Event {
                time: START + day * DAY + n * (DAY / each),
                user: format!("u{}", n % 100),
                data: json!({"body": body, "n": n}),
            });
            series.put(&rows.collect::<Vec<_>>()).await.unwrap();
            n += 2_000;
        }
    }
    let written = begin.elapsed();
    let before = memory("VmRSS:");
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let begin = Instant::now();
    let mut rows = series.range(&[], START..START + days * DAY);
    let (mut count, mut last) = (0, i64::MAX);
    while let Some(event) = rows.try_next().await.unwrap() {
        assert!(event.time < last, "{} after {last}", event.time);
        last = event.time;
        count += 1;
    }
    let (read, peak) = (begin.elapsed(), memory("VmHWM:"));
    assert_eq!(count, days * each);
    println!(
        "{count} events of 30 days: written in {:.1} s, read in {:.1} s; {} MB before, {} MB at most",
        written.as_secs_f64(),
        read.as_secs_f64(),
        before / 1_024,
        peak / 1_024
    );
    assert!(peak.saturating_sub(before) < 48 * 1_024, "{before} kB before, {peak} kB at most");
}

/// Of this process, in kilobytes (Linux).
fn memory(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    line.trim().strip_suffix("kB").unwrap().trim().parse().unwrap()
}
