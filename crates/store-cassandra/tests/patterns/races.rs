//! Many at once, each with a store of its own: on one node by the tests beside, on a ring by the integration tests, which
//! include this file.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

use futures::TryStreamExt as _;
use futures::future::join_all;
use serde_json::{Value, json};
use store_cassandra::{
    Begun, CassandraBackend, CassandraCounter, CassandraIdempotency, CassandraLock, CassandraSeries,
    CassandraTimeSeries, CounterConfig, IdempotencyConfig, LockConfig, SeriesType,
};

const PATIENCE: Duration = Duration::from_mins(2);

/// A holder of each store takes and releases a lock so often: never two at once, and fencing numbers that only grow.
pub(crate) async fn lock(stores: &[CassandraBackend], name: &str, cycles: usize) {
    let (inside, last) = (Arc::new(AtomicI32::new(0)), Arc::new(AtomicU64::new(0)));
    let holders = stores.iter().map(|store| {
        let lock = CassandraLock::new(store, name, LockConfig::default()).unwrap();
        let (inside, last) = (Arc::clone(&inside), Arc::clone(&last));
        tokio::spawn(async move {
            for _ in 0..cycles {
                let guard = lock.acquire(PATIENCE).await.unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                let before = last.swap(guard.fence(), Ordering::SeqCst);
                assert!(before < guard.fence(), "{} after {before}", guard.fence());
                tokio::time::sleep(Duration::from_millis(1)).await;
                assert!(!guard.is_lost());
                assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                assert!(guard.release().await.unwrap());
            }
        })
    });
    for holder in join_all(holders).await {
        holder.unwrap();
    }
}

/// So many tasks add to a counter, spread over the stores; none is lost, none counts twice.
pub(crate) async fn counter(stores: &[CassandraBackend], name: &str, tasks: usize, additions: i64) {
    let before = CassandraCounter::get_many(&stores[0], &[name]).await.unwrap();
    let adding = stores.iter().cycle().take(tasks).map(|store| {
        let counter = CassandraCounter::new(store, name, CounterConfig::default()).unwrap();
        tokio::spawn(async move {
            for by in 1..=additions {
                counter.add(by).await.unwrap();
            }
        })
    });
    for task in join_all(adding).await {
        task.unwrap();
    }
    let each = additions * (additions + 1) / 2;
    let after = CassandraCounter::get_many(&stores[0], &[name]).await.unwrap();
    assert_eq!(after[0] - before[0], each * i64::try_from(tasks).unwrap());
}

/// So many tasks do what a key stands for; one does it, and all are given its answer.
pub(crate) async fn idempotent(stores: &[CassandraBackend], key: &str, tasks: usize) {
    let doing = stores.iter().cycle().take(tasks).enumerate().map(|(number, store)| {
        let records: CassandraIdempotency<usize> =
            CassandraIdempotency::new(store, "races", IdempotencyConfig::default()).unwrap();
        let key = key.to_owned();
        tokio::spawn(async move {
            loop {
                match records.begin(&key).await.unwrap() {
                    Begun::New(claim) => {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        claim.complete(&number).await.unwrap();
                        return (true, number);
                    }
                    Begun::Done(by) => return (false, by),
                    Begun::Running(left) => {
                        assert!(left <= Duration::from_secs(62), "{left:?}");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }
        })
    });
    let found: Vec<(bool, usize)> = join_all(doing).await.into_iter().map(Result::unwrap).collect();
    let did: BTreeSet<usize> = found.iter().filter(|(did, _)| *did).map(|(_, by)| *by).collect();
    assert_eq!(did.len(), 1, "{found:?}");
    assert!(found.iter().all(|(_, by)| did.contains(by)), "{found:?}");
}

/// So many tasks insert the same events; each is inserted once, by one of them, and stays as that one wrote it.
pub(crate) async fn events_once(stores: &[CassandraBackend], tasks: usize, events: usize) {
    let series = || {
        CassandraSeries::new("events_once", Duration::from_hours(1))
            .with_id("id", SeriesType::Text)
            .with_column("by", SeriesType::Integer)
            .with_shards(2)
    };
    let inserting = stores.iter().cycle().take(tasks).enumerate().map(|(number, store)| {
        let series: CassandraTimeSeries<Value> = CassandraTimeSeries::new(store, series()).unwrap();
        tokio::spawn(async move {
            let row = |event: usize| json!({"time": event * 1_000, "id": format!("e{event}"), "by": number});
            // In as many calls, each beginning elsewhere, and some events twice in a call.
            let all: Vec<Value> = (0..events).map(|event| row((event + number) % events)).collect();
            let mut mine = Vec::new();
            for run in all.chunks(7) {
                let twice: Vec<Value> = run.iter().chain(run.first()).cloned().collect();
                let new = series.put_once(&twice).await.unwrap();
                let new = twice.into_iter().zip(new).filter(|(_, new)| *new);
                mine.extend(new.map(|(row, _)| row["id"].as_str().unwrap().to_owned()));
            }
            (number, mine)
        })
    });
    let mine: Vec<(usize, Vec<String>)> = join_all(inserting).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(mine.iter().map(|(_, mine)| mine.len()).sum::<usize>(), events);
    let series: CassandraTimeSeries<Value> = CassandraTimeSeries::new(&stores[0], series()).unwrap();
    let end = i64::try_from(events).unwrap() * 1_000;
    let found: Vec<Value> = series.range(&[], 0..end).try_collect().await.unwrap();
    assert_eq!(found.len(), events);
    for row in found {
        let (id, by) = (row["id"].as_str().unwrap(), row["by"].as_u64().unwrap());
        let (_, mine) = &mine[usize::try_from(by).unwrap()];
        assert!(mine.iter().any(|mine| mine == id), "{id} was written by {by}, who was not told so");
    }
}
