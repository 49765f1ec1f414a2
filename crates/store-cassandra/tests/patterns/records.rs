//! Counters and idempotency records.

use std::time::Duration;

use libtest_mimic::Trial;
use store_cassandra::{Begun, CassandraCounter, CassandraIdempotency, CounterConfig, IdempotencyConfig};
use store_core::ErrorKind;

use crate::common::{Db, eventually, test};

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("counter_counts_what_was_answered", counter_counts_what_was_answered),
        test("counter_does_not_repeat_what_went_unanswered", counter_does_not_repeat_what_went_unanswered),
        test("idempotency_replays_the_answer", idempotency_replays_the_answer),
        test("idempotency_lease_ends", idempotency_lease_ends),
        test("idempotency_with_lost_answers_is_done_once", idempotency_with_lost_answers_is_done_once),
        test("records_refuse_what_can_not_be", records_refuse_what_can_not_be),
    ]
}

async fn counter_counts_what_was_answered(db: Db) {
    let counter = CassandraCounter::new(&db.store, "a", CounterConfig::default()).unwrap();
    assert_eq!(counter.get().await.unwrap(), 0);
    counter.add(5).await.unwrap();
    counter.add(-7).await.unwrap();
    assert_eq!(counter.get().await.unwrap(), -2);
    // However many shards another takes, all are counted.
    for shards in [1, 64] {
        let config = CounterConfig::default().with_shards(shards);
        let other = CassandraCounter::new(&db.store, "a", config).unwrap();
        for _ in 0..20 {
            other.add(1).await.unwrap();
        }
    }
    let other = CassandraCounter::new(&db.store, "a'; --", CounterConfig::default()).unwrap();
    other.add(i64::MAX).await.unwrap();
    let sums = CassandraCounter::get_many(&db.store, &["a'; --", "none", "a", "a"]).await.unwrap();
    assert_eq!(sums, [i64::MAX, 0, 38, 38]);
    assert_eq!(CassandraCounter::get_many(&db.store, &[]).await.unwrap(), [0; 0]);
    let error = CassandraCounter::get_many(&db.store, &["a", ""]).await.unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::InvalidInput, Some("counter.get_many")));
    // Two rows that are together beyond what 64 bits hold.
    for shard in [70, 71] {
        let add = format!("value = value + {} WHERE name = 'great' AND shard = {shard}", i64::MAX);
        db.cql(&format!("UPDATE {} SET {add}", db.table("counters"))).await;
    }
    let great = CassandraCounter::new(&db.store, "great", CounterConfig::default()).unwrap();
    let error = great.get().await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::LimitExceeded, Some("great")));
}

/// Additions that are cut off while the nodes go on with them.
async fn counter_does_not_repeat_what_went_unanswered(db: Db) {
    let sum = CassandraCounter::new(&db.store, "a", CounterConfig::default()).unwrap();
    sum.add(0).await.unwrap();
    let (mut answered, mut open) = (0, 0);
    for hurry in [1, 1, 2, 2, 60_000] {
        let store = db.with(|config| config.with_operation_timeout(Duration::from_millis(hurry))).await;
        let counter = CassandraCounter::new(&store, "a", CounterConfig::default()).unwrap();
        for _ in 0..25 {
            match counter.add(1).await {
                Ok(()) => answered += 1,
                Err(error) => {
                    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Timeout, false), "{error}");
                    open += 1;
                }
            }
        }
    }
    assert!(answered >= 25, "{answered}");
    // What is still under way comes to its end.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let sum = sum.get().await.unwrap();
    assert!((answered..=answered + open).contains(&sum), "{sum}: {answered} answered, {open} open");
}

fn records(db: &Db, config: IdempotencyConfig) -> CassandraIdempotency<String> {
    CassandraIdempotency::new(&db.store, "r", config).unwrap()
}

async fn idempotency_replays_the_answer(db: Db) {
    let records = records(&db, IdempotencyConfig::default().with_keep(Duration::from_secs(2)));
    let Begun::New(claim) = records.begin("k").await.unwrap() else { panic!("not new") };
    let Begun::Running(left) = records.begin("k").await.unwrap() else { panic!("not at work") };
    assert!(left > Duration::from_secs(30) && left <= Duration::from_secs(61), "{left:?}");
    claim.complete(&"done".to_owned()).await.unwrap();
    // An answer may be left again, as by one who did not hear that it was.
    claim.complete(&"done".to_owned()).await.unwrap();
    let Begun::Done(answer) = records.begin("k").await.unwrap() else { panic!("not done") };
    assert_eq!(answer, "done");
    assert!(matches!(records.begin("other").await.unwrap(), Begun::New(_)));
    let numbers: CassandraIdempotency<u8> =
        CassandraIdempotency::new(&db.store, "r", IdempotencyConfig::default()).unwrap();
    let error = numbers.begin("k").await.map(drop).unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupt, Some("k")));
    // What is no longer kept is new.
    eventually("it is forgotten", || async { matches!(records.begin("k").await.unwrap(), Begun::New(_)) })
        .await;
}

async fn idempotency_lease_ends(db: Db) {
    let records = records(&db, IdempotencyConfig::default().with_lease(Duration::from_millis(500)));
    let again = async |key: &str| {
        for _ in 0..600 {
            if let Begun::New(claim) = records.begin(key).await.unwrap() {
                return claim;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("never new")
    };
    let Begun::New(slow) = records.begin("k").await.unwrap() else { panic!("not new") };
    let second = again("k").await;
    let error = slow.complete(&"slow".to_owned()).await.unwrap_err();
    assert_eq!((error.kind(), error.key(), error.is_retryable()), (ErrorKind::Conflict, Some("k"), false));
    assert!(!slow.give_up().await.unwrap());
    second.complete(&"second".to_owned()).await.unwrap();
    let Begun::Done(answer) = records.begin("k").await.unwrap() else { panic!("not done") };
    assert_eq!(answer, "second");
    // What failed may be begun at once.
    let Begun::New(claim) = records.begin("f").await.unwrap() else { panic!("not new") };
    assert!(claim.give_up().await.unwrap());
    let Begun::New(claim) = records.begin("f").await.unwrap() else { panic!("not new") };
    assert!(claim.give_up().await.unwrap());
    // An answer is welcome after the lease, too, where nobody else began.
    let Begun::New(late) = records.begin("l").await.unwrap() else { panic!("not new") };
    assert!(again("l").await.give_up().await.unwrap());
    late.complete(&"late".to_owned()).await.unwrap();
    assert!(matches!(records.begin("l").await.unwrap(), Begun::Done(_)));
}

/// Calls that are cut off while the nodes go on with them.
async fn idempotency_with_lost_answers_is_done_once(db: Db) {
    assert!(records(&db, IdempotencyConfig::default()).begin("").await.is_err());
    let (mut new, mut failed) = (0, 0);
    for hurry in [2, 3, 4, 6, 10, 60_000] {
        let store = db.with(|config| config.with_operation_timeout(Duration::from_millis(hurry))).await;
        let hurried: CassandraIdempotency<u64> =
            CassandraIdempotency::new(&store, "r", IdempotencyConfig::default()).unwrap();
        let patient: CassandraIdempotency<u64> =
            CassandraIdempotency::new(&db.store, "r", IdempotencyConfig::default()).unwrap();
        for number in 0..20 {
            let key = format!("{hurry}/{number}");
            match hurried.begin(&key).await {
                Ok(Begun::New(claim)) => {
                    // Whoever is told to do it is the only one.
                    assert!(!matches!(patient.begin(&key).await.unwrap(), Begun::New(_)));
                    let completed = claim.complete(&number).await;
                    match patient.begin(&key).await.unwrap() {
                        Begun::Done(answer) => assert_eq!(answer, number),
                        other => assert!(completed.is_err(), "{other:?}"),
                    }
                    new += 1;
                }
                Ok(other) => panic!("nobody else has this key: {other:?}"),
                Err(error) => {
                    assert_eq!((error.kind(), error.key()), (ErrorKind::Timeout, Some(key.as_str())));
                    failed += 1;
                }
            }
        }
    }
    assert!(new >= 20 && failed > 0, "{new} {failed}");
}

async fn records_refuse_what_can_not_be(db: Db) {
    let long = "x".repeat(1_025);
    let config = IdempotencyConfig::default();
    for error in [
        CassandraCounter::new(&db.store, "", CounterConfig::default()).map(drop).unwrap_err(),
        CassandraCounter::new(&db.store, long.as_str(), CounterConfig::default()).map(drop).unwrap_err(),
        CassandraCounter::new(&db.store, "a", CounterConfig::default().with_shards(0)).map(drop).unwrap_err(),
        CassandraCounter::new(&db.store, "a", CounterConfig::default().with_shards(65))
            .map(drop)
            .unwrap_err(),
        CassandraIdempotency::<u8>::new(&db.store, "", config).map(drop).unwrap_err(),
        CassandraIdempotency::<u8>::new(&db.store, "a", config.with_keep(Duration::ZERO))
            .map(drop)
            .unwrap_err(),
        CassandraIdempotency::<u8>::new(&db.store, "a", config.with_lease(Duration::MAX))
            .map(drop)
            .unwrap_err(),
        records(&db, config).begin("").await.map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    let error = records(&db, config).begin(&long).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    let Begun::New(claim) = records(&db, config).begin("k").await.unwrap() else { panic!("not new") };
    let error = claim.complete(&"x".repeat(3 << 20)).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::LimitExceeded, Some("k")));
    assert!(claim.give_up().await.unwrap());
}
