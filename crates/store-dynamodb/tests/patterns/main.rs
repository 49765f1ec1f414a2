//! Locks, counters, caches, idempotency records and time series, on a real server.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test fails by a panic"
)]

mod cache;
#[path = "../common/mod.rs"]
mod common;
#[path = "../faults/mod.rs"]
mod faults;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use common::{Db, seconds, test};
use faults::{Fault, Faults};
use futures::TryStreamExt as _;
use futures::future::join_all;
use serde_json::json;
use store_core::ErrorKind;
use store_dynamodb::{
    Begun, CacheConfig, CounterConfig, DynamoDbCache, DynamoDbCounter, DynamoDbIdempotency, DynamoDbLock,
    DynamoDbTimeSeries, IdempotencyConfig, LockConfig, TimePoint, TimeSeriesConfig,
};

fn main() -> ExitCode {
    let others = [
        test("lock_has_one_holder_at_a_time", lock_has_one_holder_at_a_time),
        test("lock_lease_ends_and_its_holder_is_told", lock_lease_ends_and_its_holder_is_told),
        test("lock_is_renewed_beyond_its_lease", lock_is_renewed_beyond_its_lease),
        test("lock_that_was_removed_is_lost", lock_that_was_removed_is_lost),
        test("lock_fences_grow_whatever_is_stored", lock_fences_grow_whatever_is_stored),
        test("lock_dropped_is_released", lock_dropped_is_released),
        test("lock_under_competition", lock_under_competition),
        test("counter_counts_what_was_answered", counter_counts_what_was_answered),
        test("counter_counts_a_key_once", counter_counts_a_key_once),
        test("idempotency_replays_the_answer", idempotency_replays_the_answer),
        test("idempotency_has_one_at_work", idempotency_has_one_at_work),
        test("idempotency_lease_ends", idempotency_lease_ends),
        test("series_are_read_in_order_over_buckets", series_are_read_in_order_over_buckets),
        test("series_are_spread_over_partitions", series_are_spread_over_partitions),
        test("series_points_are_replaced_removed_and_expire", series_points_are_replaced_removed_and_expire),
        test("series_are_written_whole", series_are_written_whole),
        test("lost_answers_change_nothing_twice", lost_answers_change_nothing_twice),
        test("hostile_names_stay_apart", hostile_names_stay_apart),
        test("what_can_not_be_is_refused", what_can_not_be_is_refused),
    ];
    common::run(others.into_iter().chain(cache::tests()))
}

const LONG: Duration = Duration::from_secs(30);

fn lease(ms: u64) -> LockConfig {
    LockConfig::default().with_lease(Duration::from_millis(ms)).with_clock_skew(Duration::ZERO)
}

async fn lock_has_one_holder_at_a_time(db: Db) {
    let mine = DynamoDbLock::new(&db.store, "a", LockConfig::default()).unwrap();
    let theirs = DynamoDbLock::new(&db.another().await, "a", LockConfig::default()).unwrap();
    let guard = mine.try_acquire().await.unwrap().unwrap();
    assert!(theirs.try_acquire().await.unwrap().is_none());
    let error = theirs.acquire(Duration::from_millis(30)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.operation(), error.key()),
        (ErrorKind::Timeout, Some("acquire"), Some("a"))
    );
    assert!(error.to_string().contains("held by others"), "{error}");
    assert!(!guard.is_lost());
    let stored = db.items(&db.main()).await.remove(0);
    assert_eq!((&stored["pk"], &stored["sk"]), (&json!({"S": "nodestore:lock/a"}), &json!({"S": "lock"})));
    assert!(stored["_nodestore_expires"]["N"].as_str().unwrap().parse::<u64>().unwrap() > seconds());
    let first = guard.fence();
    let (released, next) = tokio::join!(guard.release(), theirs.acquire(LONG));
    assert!(released.unwrap());
    let next = next.unwrap();
    assert!(next.fence() > first);
    assert!(next.release().await.unwrap());
}

async fn lock_lease_ends_and_its_holder_is_told(db: Db) {
    let lock = DynamoDbLock::new(&db.store, "a", lease(300).with_renewal(false)).unwrap();
    let old = lock.try_acquire().await.unwrap().unwrap();
    let other = DynamoDbLock::new(&db.store, "a", lease(30_000)).unwrap();
    let new = other.acquire(LONG).await.unwrap();
    old.lost().await;
    assert!(old.is_lost() && new.fence() > old.fence());
    // The old holder does not release the new one's.
    assert!(!old.release().await.unwrap());
    assert!(lock.try_acquire().await.unwrap().is_none());
    assert!(new.release().await.unwrap());
}

async fn lock_is_renewed_beyond_its_lease(db: Db) {
    let guard =
        DynamoDbLock::new(&db.store, "a", lease(1_500)).unwrap().try_acquire().await.unwrap().unwrap();
    let other = DynamoDbLock::new(&db.store, "a", lease(600)).unwrap();
    assert_eq!(other.acquire(Duration::from_secs(3)).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(!guard.is_lost());
    assert!(guard.release().await.unwrap());
    assert!(other.try_acquire().await.unwrap().is_some());
}

async fn remove(db: &Db, partition: &str, sort: &str) {
    let key = json!({"pk": {"S": partition}, "sk": {"S": sort}});
    let key = common::attributes(key.as_object().unwrap().clone());
    db.client().delete_item().table_name(db.main()).set_key(Some(key)).send().await.unwrap();
}

async fn lock_that_was_removed_is_lost(db: Db) {
    let guard = DynamoDbLock::new(&db.store, "a", lease(900)).unwrap().try_acquire().await.unwrap().unwrap();
    remove(&db, "nodestore:lock/a", "lock").await;
    guard.lost().await;
    assert!(guard.is_lost() && !guard.release().await.unwrap());
    assert_eq!(db.items(&db.main()).await.len(), 0);
}

async fn lock_fences_grow_whatever_is_stored(db: Db) {
    let lock = DynamoDbLock::new(&db.store, "a", LockConfig::default()).unwrap();
    let mut last = 0;
    for turn in 0..12 {
        let guard = lock.try_acquire().await.unwrap().unwrap();
        assert!(guard.fence() > last, "{} after {last}", guard.fence());
        last = guard.fence();
        assert!(guard.release().await.unwrap());
        if turn % 3 == 0 {
            remove(&db, "nodestore:lock/a", "lock").await;
        }
    }
    // One that is ahead of the clock is counted on.
    let ahead = last + 1_000_000_000_000;
    let item =
        json!({"pk": {"S": "nodestore:lock/a"}, "sk": {"S": "lock"}, "_fence": {"N": ahead.to_string()}});
    db.put(&db.main(), item).await;
    assert_eq!(lock.try_acquire().await.unwrap().unwrap().fence(), ahead + 1);
}

async fn lock_dropped_is_released(db: Db) {
    let lock = DynamoDbLock::new(&db.store, "a", LockConfig::default()).unwrap();
    drop(lock.try_acquire().await.unwrap().unwrap());
    drop(lock.acquire(LONG).await.unwrap());
    // A call that is dropped half-way.
    for patience in 0..20 {
        let call = lock.try_acquire();
        drop(tokio::time::timeout(Duration::from_millis(patience), call).await);
    }
    assert!(lock.acquire(LONG).await.unwrap().release().await.unwrap());
}

async fn lock_under_competition(db: Db) {
    let inside = Arc::new(AtomicI32::new(0));
    let tasks = (0..6).map(|_| {
        let (db, inside) = (db.clone(), Arc::clone(&inside));
        tokio::spawn(async move {
            let lock = DynamoDbLock::new(&db.another().await, "a", LockConfig::default()).unwrap();
            let mut fences = Vec::new();
            for _ in 0..5 {
                let guard = lock.acquire(LONG).await.unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                tokio::time::sleep(Duration::from_millis(2)).await;
                fences.push(guard.fence());
                assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                assert!(guard.release().await.unwrap());
            }
            fences
        })
    });
    let fences: Vec<Vec<u64>> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    assert!(fences.iter().all(|fences| fences.is_sorted()));
    assert_eq!(fences.concat().iter().collect::<BTreeSet<_>>().len(), 30);
}

async fn counter_counts_what_was_answered(db: Db) {
    let counter = DynamoDbCounter::new(&db.store, "a", CounterConfig::default()).unwrap();
    assert_eq!(counter.get().await.unwrap(), 0);
    assert_eq!(counter.add(5).await.unwrap(), 5);
    assert_eq!(counter.add(-7).await.unwrap(), -2);
    let tasks = (0..8).map(|_| {
        let counter = counter.clone();
        tokio::spawn(async move {
            let mut sums = Vec::new();
            for _ in 0..20 {
                sums.push(counter.add(1).await.unwrap());
            }
            sums
        })
    });
    let sums: Vec<i64> = join_all(tasks).await.into_iter().flat_map(Result::unwrap).collect();
    // Each addition saw a sum of its own.
    assert_eq!(sums.iter().collect::<BTreeSet<_>>().len(), 160);
    assert_eq!(counter.get().await.unwrap(), 158);
    assert_eq!(counter.add(i64::MAX).await.unwrap_err().kind(), ErrorKind::LimitExceeded);
}

async fn counter_counts_a_key_once(db: Db) {
    let config = CounterConfig::default().with_remember(Duration::from_secs(2));
    let counter = DynamoDbCounter::new(&db.store, "a", config).unwrap();
    let tasks = (0..6).map(|_| {
        let counter = counter.clone();
        tokio::spawn(async move {
            let mut new = 0;
            for key in 0..10 {
                new += usize::from(counter.add_once(&format!("key {key}"), 3).await.unwrap());
            }
            new
        })
    });
    let new: usize = join_all(tasks).await.into_iter().map(Result::unwrap).sum();
    assert_eq!((new, counter.get().await.unwrap()), (10, 30));
    // What is forgotten counts again.
    common::eventually("the key is forgotten", || async { counter.add_once("key 0", 3).await.unwrap() })
        .await;
    assert_eq!(counter.get().await.unwrap(), 33);
    assert_eq!(counter.add_once("", 1).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

fn records(db: &Db, config: IdempotencyConfig) -> DynamoDbIdempotency<String> {
    DynamoDbIdempotency::new(&db.store, "r", config).unwrap()
}

async fn idempotency_replays_the_answer(db: Db) {
    let records = records(&db, IdempotencyConfig::default().with_keep(Duration::from_secs(2)));
    let Begun::New(claim) = records.begin("k").await.unwrap() else { panic!("not new") };
    claim.complete(&"done".to_owned()).await.unwrap();
    // An answer may be left again, as by one who did not hear that it was.
    claim.complete(&"done".to_owned()).await.unwrap();
    let Begun::Done(answer) = records.begin("k").await.unwrap() else { panic!("not done") };
    assert_eq!(answer, "done");
    assert!(matches!(records.begin("other").await.unwrap(), Begun::New(_)));
    // What is no longer kept is new.
    common::eventually("it is forgotten", || async {
        matches!(records.begin("k").await.unwrap(), Begun::New(_))
    })
    .await;
}

async fn idempotency_has_one_at_work(db: Db) {
    let tasks = (0..8).map(|number| {
        let db = db.clone();
        tokio::spawn(async move {
            let store = db.another().await;
            let records: DynamoDbIdempotency<usize> =
                DynamoDbIdempotency::new(&store, "r", IdempotencyConfig::default()).unwrap();
            loop {
                match records.begin("k").await.unwrap() {
                    Begun::New(claim) => {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        claim.complete(&number).await.unwrap();
                        return (true, number);
                    }
                    Begun::Done(by) => return (false, by),
                    Begun::Running(left) => {
                        assert!(left <= Duration::from_mins(1));
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            }
        })
    });
    let found: Vec<(bool, usize)> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    let did: Vec<usize> = found.iter().filter(|(did, _)| *did).map(|(_, by)| *by).collect();
    assert_eq!(did.len(), 1);
    assert!(found.iter().all(|(_, by)| *by == did[0]));
}

async fn idempotency_lease_ends(db: Db) {
    let records = records(&db, IdempotencyConfig::default().with_lease(Duration::from_millis(300)));
    let Begun::New(slow) = records.begin("k").await.unwrap() else { panic!("not new") };
    let mut second = None;
    for _ in 0..1_000 {
        if let Begun::New(claim) = records.begin("k").await.unwrap() {
            second = Some(claim);
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let second = second.unwrap();
    let error = slow.complete(&"slow".to_owned()).await.unwrap_err();
    assert_eq!((error.kind(), error.key(), error.is_retryable()), (ErrorKind::Conflict, Some("k"), false));
    assert!(!slow.give_up().await.unwrap());
    second.complete(&"second".to_owned()).await.unwrap();
    let Begun::Done(answer) = records.begin("k").await.unwrap() else { panic!("not done") };
    assert_eq!(answer, "second");
    // What failed may be begun at once.
    let Begun::New(claim) = records.begin("f").await.unwrap() else { panic!("not new") };
    assert!(claim.give_up().await.unwrap());
    assert!(matches!(records.begin("f").await.unwrap(), Begun::New(_)));
}

const HOUR: u64 = 3_600_000_000;
const START: u64 = 1_750_000_000_000_000;

fn series(db: &Db, config: TimeSeriesConfig) -> DynamoDbTimeSeries<f64> {
    DynamoDbTimeSeries::new(&db.store, "s", config).unwrap()
}

fn hours() -> TimeSeriesConfig {
    TimeSeriesConfig::default().with_bucket(Duration::from_hours(1))
}

async fn series_are_read_in_order_over_buckets(db: Db) {
    let series = series(&db, hours().with_shards(3));
    let mut points: Vec<TimePoint<f64>> = (0..400_u32)
        .map(|number| {
            TimePoint::new(START + u64::from(number) * HOUR / 60, format!("p{number:03}"), f64::from(number))
        })
        .collect();
    // Several at one time.
    points.extend(["a", "b", "c"].map(|id| TimePoint::new(START + HOUR, id, -1.0)));
    let mut shuffled = points.clone();
    fastrand::Rng::with_seed(3).shuffle(&mut shuffled);
    series.put("k", shuffled).await.unwrap();
    series.put("other", vec![TimePoint::new(START, "x", 0.0)]).await.unwrap();
    points.sort_by_key(|point| (point.micros, point.id.clone()));
    let all: Vec<_> = series.range("k", START..START + 7 * HOUR).try_collect().await.unwrap();
    assert_eq!(all, points);
    for (from, to) in
        [(HOUR / 2, 3 * HOUR / 2), (0, 1), (HOUR, HOUR + 1), (5 * HOUR, 5 * HOUR), (6 * HOUR, 90 * HOUR)]
    {
        let range = START + from..START + to;
        let expected: Vec<_> = points.iter().filter(|point| range.contains(&point.micros)).cloned().collect();
        let found: Vec<_> = series.range("k", range.clone()).try_collect().await.unwrap();
        assert_eq!(found, expected, "{range:?}");
        let mut found: Vec<_> = series.range_backwards("k", range).try_collect().await.unwrap();
        found.reverse();
        assert_eq!(found, expected);
    }
    let newest: Vec<_> = futures::StreamExt::take(series.range_backwards("k", START..START + 7 * HOUR), 5)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(newest, points.iter().rev().take(5).cloned().collect::<Vec<_>>());
}

async fn series_are_spread_over_partitions(db: Db) {
    let series = series(&db, hours().with_shards(4));
    let points = (0..200).map(|number| TimePoint::new(START + number * 1_000, "a", 0.0));
    series.put("k", points.collect()).await.unwrap();
    let items = db.items(&db.main()).await;
    let bucket = START / HOUR;
    for shard in 0..4 {
        let partition = json!({"S": format!("nodestore:series/s/k/{bucket}/{shard}")});
        let count = items.iter().filter(|item| item["pk"] == partition).count();
        assert!(count > 25, "shard {shard}: {count}");
    }
    assert_eq!(items.len(), 200);
}

async fn series_points_are_replaced_removed_and_expire(db: Db) {
    let keeping = series(&db, hours());
    keeping.put("k", vec![TimePoint::new(START, "a", 1.0), TimePoint::new(START, "a", 2.0)]).await.unwrap();
    keeping.put("k", vec![TimePoint::new(START, "a", 3.0), TimePoint::new(START, "b", 4.0)]).await.unwrap();
    let found: Vec<_> = keeping.range("k", START..START + 1).try_collect().await.unwrap();
    assert_eq!(found, [TimePoint::new(START, "a", 3.0), TimePoint::new(START, "b", 4.0)]);
    keeping.delete("k", &[(START, "a"), (START, "none"), (START, "a")]).await.unwrap();
    let mortal = series(&db, hours().with_ttl(Duration::from_secs(1)));
    mortal.put("k", vec![TimePoint::new(START, "c", 5.0)]).await.unwrap();
    common::eventually("it expires", || async {
        let found: Vec<_> = keeping.range("k", START..START + 1).try_collect().await.unwrap();
        found == [TimePoint::new(START, "b", 4.0)]
    })
    .await;
    assert_eq!(db.items(&db.main()).await.len(), 2);
}

/// The service did it, and its answer was lost.
async fn lost_answers_change_nothing_twice(db: Db) {
    let faults = Faults::default();
    let store = faults.store(db.client(), db.config.clone());
    let lock = DynamoDbLock::new(&store, "a", LockConfig::default()).unwrap();
    for _ in 0..3 {
        faults.spoil("UpdateItem", Fault::Lost, 1);
        let guard = lock.try_acquire().await.unwrap().unwrap();
        assert!(lock.try_acquire().await.unwrap().is_none());
        faults.spoil("UpdateItem", Fault::Lost, 1);
        assert!(guard.release().await.unwrap());
    }
    let counter = DynamoDbCounter::new(&store, "a", CounterConfig::default()).unwrap();
    faults.counts();
    faults.spoil("UpdateItem", Fault::Lost, 1);
    // It is not known whether it was counted, and not asked again.
    assert_eq!(counter.add(1).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!((faults.counts()["UpdateItem"], counter.get().await.unwrap()), (1, 1));
    for number in 0..3 {
        faults.spoil("TransactWriteItems", Fault::Lost, 1);
        assert!(counter.add_once(&format!("key {number}"), 10).await.unwrap());
    }
    assert_eq!(counter.get().await.unwrap(), 31);
    let records: DynamoDbIdempotency<u8> =
        DynamoDbIdempotency::new(&store, "r", IdempotencyConfig::default()).unwrap();
    faults.spoil("UpdateItem", Fault::Lost, 1);
    let Begun::New(claim) = records.begin("k").await.unwrap() else { panic!("not new") };
    faults.spoil("UpdateItem", Fault::Lost, 1);
    assert!(claim.give_up().await.unwrap());
    let Begun::New(claim) = records.begin("k").await.unwrap() else { panic!("not new") };
    faults.spoil("UpdateItem", Fault::Lost, 1);
    claim.complete(&7).await.unwrap();
    assert!(matches!(records.begin("k").await.unwrap(), Begun::Done(7)));
}

/// What the service leaves undone is asked for again.
async fn series_are_written_whole(db: Db) {
    let faults = Faults::default();
    let store = faults.store(db.client(), db.config.clone());
    let series: DynamoDbTimeSeries<u64> =
        DynamoDbTimeSeries::new(&store, "s", hours().with_shards(2)).unwrap();
    faults.spoil("BatchWriteItem", Fault::Undone, 3);
    let points: Vec<_> = (0..60).map(|number| TimePoint::new(START + number, "a", number)).collect();
    series.put("k", points.clone()).await.unwrap();
    let found: Vec<_> = series.range("k", START..START + 60).try_collect().await.unwrap();
    assert_eq!(found, points);
}

async fn hostile_names_stay_apart(db: Db) {
    let names = ["a", "a/b", "a%2Fb", "b", "b/c", "#", ":", "ключ 🚀", "\0"];
    for (number, name) in (0_u32..).zip(&names) {
        let counter = DynamoDbCounter::new(&db.store, *name, CounterConfig::default()).unwrap();
        counter.add(i64::from(number) + 1).await.unwrap();
        let cache: DynamoDbCache<u32> = DynamoDbCache::new(&db.store, name, CacheConfig::new(LONG)).unwrap();
        cache.put("c", &number).await.unwrap();
        cache.put("b/c", &(number + 100)).await.unwrap();
        series(&db, hours()).put(name, vec![TimePoint::new(START, *name, f64::from(number))]).await.unwrap();
    }
    for (number, name) in (0_u32..).zip(&names) {
        let counter = DynamoDbCounter::new(&db.store, *name, CounterConfig::default()).unwrap();
        assert_eq!(counter.get().await.unwrap(), i64::from(number) + 1, "{name:?}");
        let cache: DynamoDbCache<u32> = DynamoDbCache::new(&db.store, name, CacheConfig::new(LONG)).unwrap();
        assert_eq!(cache.get("c").await.unwrap(), Some(number), "{name:?}");
        assert_eq!(cache.get("b/c").await.unwrap(), Some(number + 100), "{name:?}");
        let found: Vec<_> = series(&db, hours()).range(name, START..START + 1).try_collect().await.unwrap();
        assert_eq!(found, [TimePoint::new(START, *name, f64::from(number))]);
    }
}

async fn what_can_not_be_is_refused(db: Db) {
    let long = "x".repeat(513);
    for error in [
        DynamoDbLock::new(&db.store, "", LockConfig::default()).map(drop).unwrap_err(),
        DynamoDbLock::new(&db.store, long.as_str(), LockConfig::default()).map(drop).unwrap_err(),
        DynamoDbLock::new(&db.store, "a", lease(0)).map(drop).unwrap_err(),
        DynamoDbCounter::new(&db.store, "", CounterConfig::default()).map(drop).unwrap_err(),
        DynamoDbCache::<u8>::new(&db.store, "a", CacheConfig::new(Duration::ZERO)).map(drop).unwrap_err(),
        DynamoDbCache::<u8>::new(&db.store, "a", CacheConfig::new(LONG).with_jitter(1.5))
            .map(drop)
            .unwrap_err(),
        DynamoDbTimeSeries::<u8>::new(&db.store, "a", hours().with_shards(0)).map(drop).unwrap_err(),
        DynamoDbTimeSeries::<u8>::new(&db.store, "a", hours().with_shards(65)).map(drop).unwrap_err(),
        series(&db, hours()).put("k", vec![TimePoint::new(u64::MAX, "a", 0.0)]).await.unwrap_err(),
        series(&db, hours()).put("k", vec![TimePoint::new(1, "", 0.0)]).await.unwrap_err(),
        series(&db, hours()).range("", 0..1).try_collect::<Vec<_>>().await.map(drop).unwrap_err(),
        records(&db, IdempotencyConfig::default()).begin("").await.map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    let texts: DynamoDbTimeSeries<String> = DynamoDbTimeSeries::new(&db.store, "a", hours()).unwrap();
    let error = texts.put("k", vec![TimePoint::new(1, "great", "x".repeat(410_000))]).await.unwrap_err();
    assert_eq!((error.kind(), error.failed()), (ErrorKind::LimitExceeded, &["great".to_owned()][..]));
    // Without its table nothing is made unasked.
    let store = db.with(|config| config.with_namespace("none").with_create(false)).await;
    let lock = DynamoDbLock::new(&store, "a", LockConfig::default()).unwrap();
    assert_eq!(lock.try_acquire().await.map(drop).unwrap_err().kind(), ErrorKind::NotFound);
}
