//! Locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use libtest_mimic::Trial;
use store_cassandra::{CassandraLock, LockConfig};
use store_core::{Backend as _, ErrorKind};

use crate::common::{Db, test};

const LONG: Duration = Duration::from_mins(1);

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("lock_has_one_holder_at_a_time", lock_has_one_holder_at_a_time),
        test("lock_of_a_holder_that_died_is_free_again", lock_of_a_holder_that_died_is_free_again),
        test("lock_lease_ends_and_its_holder_is_told", lock_lease_ends_and_its_holder_is_told),
        test("lock_is_renewed_beyond_its_lease", lock_is_renewed_beyond_its_lease),
        test("lock_that_was_removed_is_lost", lock_that_was_removed_is_lost),
        test("lock_fences_grow_whatever_is_stored", lock_fences_grow_whatever_is_stored),
        test("lock_dropped_is_released", lock_dropped_is_released),
        test("lock_with_lost_answers_has_one_holder", lock_with_lost_answers_has_one_holder),
        test("lock_names_stay_apart", lock_names_stay_apart),
    ]
}

fn lease(ms: u64) -> LockConfig {
    LockConfig::default().with_lease(Duration::from_millis(ms)).with_clock_skew(Duration::ZERO)
}

/// Past the millisecond of the last transaction, so that what is written now is later.
async fn later() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

async fn lock_has_one_holder_at_a_time(db: Db) {
    let mine = CassandraLock::new(&db.store, "a", LockConfig::default()).unwrap();
    let theirs = CassandraLock::new(&db.another().await, "a", LockConfig::default()).unwrap();
    let guard = mine.try_acquire().await.unwrap().unwrap();
    assert!(theirs.try_acquire().await.unwrap().is_none());
    let error = theirs.acquire(Duration::from_millis(30)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.operation(), error.key()),
        (ErrorKind::Timeout, Some("acquire"), Some("a"))
    );
    assert!(error.to_string().contains("held by others"), "{error}");
    assert!(!guard.is_lost());
    let first = guard.fence();
    let (released, next) = tokio::join!(guard.release(), theirs.acquire(LONG));
    assert!(released.unwrap());
    let next = next.unwrap();
    assert!(next.fence() > first);
    assert!(next.release().await.unwrap());
}

async fn lock_of_a_holder_that_died_is_free_again(db: Db) {
    let dying = db.another().await;
    let old = CassandraLock::new(&dying, "a", lease(1_500)).unwrap().try_acquire().await.unwrap().unwrap();
    dying.close().await.unwrap();
    let lock = CassandraLock::new(&db.store, "a", LockConfig::default()).unwrap();
    assert!(lock.try_acquire().await.unwrap().is_none());
    let new = lock.acquire(LONG).await.unwrap();
    old.lost().await;
    assert!(old.is_lost() && new.fence() > old.fence());
    assert!(old.release().await.is_err());
    assert!(!new.is_lost() && new.release().await.unwrap());
}

async fn lock_lease_ends_and_its_holder_is_told(db: Db) {
    let lock = CassandraLock::new(&db.store, "a", lease(300).with_renewal(false)).unwrap();
    let old = lock.try_acquire().await.unwrap().unwrap();
    let other = CassandraLock::new(&db.store, "a", LockConfig::default()).unwrap();
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
        CassandraLock::new(&db.store, "a", lease(3_000)).unwrap().try_acquire().await.unwrap().unwrap();
    let other = CassandraLock::new(&db.store, "a", LockConfig::default()).unwrap();
    // The nodes would give it away after five seconds at most.
    assert_eq!(other.acquire(Duration::from_secs(7)).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(!guard.is_lost());
    assert!(guard.release().await.unwrap());
    assert!(other.try_acquire().await.unwrap().is_some());
}

async fn lock_that_was_removed_is_lost(db: Db) {
    let guard =
        CassandraLock::new(&db.store, "a", lease(1_500)).unwrap().try_acquire().await.unwrap().unwrap();
    later().await;
    db.cql(&format!("DELETE FROM {} WHERE name = 'a'", db.table("locks"))).await;
    guard.lost().await;
    assert!(guard.is_lost() && !guard.release().await.unwrap());
}

async fn lock_fences_grow_whatever_is_stored(db: Db) {
    let lock = CassandraLock::new(&db.store, "a", LockConfig::default()).unwrap();
    let mut last = 0;
    for turn in 0..9 {
        let guard = lock.try_acquire().await.unwrap().unwrap();
        assert!(guard.fence() > last, "{} after {last}", guard.fence());
        last = guard.fence();
        assert!(guard.release().await.unwrap());
        if turn % 3 == 0 {
            later().await;
            db.cql(&format!("DELETE FROM {} WHERE name = 'a'", db.table("locks"))).await;
            later().await;
        }
    }
    // One that is ahead of the clock is counted on.
    let ahead = last + 1_000_000_000_000;
    later().await;
    db.cql(&format!("UPDATE {} SET fence = {ahead} WHERE name = 'a'", db.table("locks"))).await;
    later().await;
    assert_eq!(lock.try_acquire().await.unwrap().unwrap().fence(), ahead + 1);
}

async fn lock_dropped_is_released(db: Db) {
    let lock = CassandraLock::new(&db.store, "a", LockConfig::default()).unwrap();
    drop(lock.try_acquire().await.unwrap().unwrap());
    drop(lock.acquire(LONG).await.unwrap());
    // A call that is dropped half-way.
    for patience in 0..20 {
        let call = lock.try_acquire();
        drop(tokio::time::timeout(Duration::from_millis(patience), call).await);
    }
    assert!(lock.acquire(LONG).await.unwrap().release().await.unwrap());
}

/// Calls that are cut off while the nodes go on with them: an answer that comes too late is lost.
async fn lock_with_lost_answers_has_one_holder(db: Db) {
    let lock = CassandraLock::new(&db.store, "a", LockConfig::default()).unwrap();
    lock.acquire(LONG).await.unwrap().release().await.unwrap();
    let (inside, last) = (Arc::new(AtomicI32::new(0)), Arc::new(AtomicU64::new(0)));
    let (had, failed) = (Arc::new(AtomicI32::new(0)), Arc::new(AtomicI32::new(0)));
    let mut holders = Vec::new();
    for hurry in [2, 4, 6, 10, 60_000] {
        let store = db.with(|config| config.with_operation_timeout(Duration::from_millis(hurry))).await;
        let lock = CassandraLock::new(&store, "a", LockConfig::default()).unwrap();
        let (inside, last) = (Arc::clone(&inside), Arc::clone(&last));
        let (had, failed) = (Arc::clone(&had), Arc::clone(&failed));
        holders.push(tokio::spawn(async move {
            for _ in 0..40 {
                let Ok(guard) = lock.acquire(Duration::from_millis(50)).await else {
                    failed.fetch_add(1, Ordering::SeqCst);
                    continue;
                };
                had.fetch_add(1, Ordering::SeqCst);
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                assert!(last.swap(guard.fence(), Ordering::SeqCst) < guard.fence());
                tokio::task::yield_now().await;
                assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                // An error leaves it to the background.
                let _ = guard.release().await;
            }
        }));
    }
    for holder in join_all(holders).await {
        holder.unwrap();
    }
    assert!(had.load(Ordering::SeqCst) > 0 && failed.load(Ordering::SeqCst) > 0, "{had:?} {failed:?}");
    // Nothing is left behind.
    let next = lock.acquire(LONG).await.unwrap();
    assert!(next.fence() > last.load(Ordering::SeqCst) && next.release().await.unwrap());
}

async fn lock_names_stay_apart(db: Db) {
    let mut held = Vec::new();
    for name in ["a", "A", "a'; DROP TABLE x; --", "\"", "ключ 🚀", "\0", " "] {
        let lock = CassandraLock::new(&db.store, name, LockConfig::default()).unwrap();
        held.push(lock.try_acquire().await.unwrap().unwrap_or_else(|| panic!("{name:?} is another's")));
    }
    for guard in held {
        assert!(guard.release().await.unwrap());
    }
    let long = "x".repeat(1_025);
    for (name, config) in [
        ("", LockConfig::default()),
        (long.as_str(), LockConfig::default()),
        ("a", lease(0)),
        ("a", LockConfig::default().with_clock_skew(Duration::MAX)),
    ] {
        let error = CassandraLock::new(&db.store, name, config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    // Without its table nothing is made unasked.
    let store = db.with(|config| config.with_namespace("none").with_create(false)).await;
    let lock = CassandraLock::new(&store, "a", LockConfig::default()).unwrap();
    assert_eq!(lock.try_acquire().await.map(drop).unwrap_err().kind(), ErrorKind::NotFound);
}
