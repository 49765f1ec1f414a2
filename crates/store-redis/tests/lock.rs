//! Locks and semaphores, on real servers.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unchecked_time_subtraction,
    reason = "a test fails by a panic"
)]

mod common;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

use common::proxy::Proxy;
use common::{Db, eventually, on_both, test};
use futures::future::join_all;
use store_core::ErrorKind;
use store_redis::{LockConfig, RedisCommand, RedisLock, RedisSemaphore, SemaphoreConfig};

fn main() -> ExitCode {
    common::run([
        on_both("one_holder_at_a_time", one_holder_at_a_time),
        on_both("a_lease_ends_and_its_holder_is_told", a_lease_ends_and_its_holder_is_told),
        on_both("fences_grow_when_the_counter_is_lost", fences_grow_when_the_counter_is_lost),
        on_both("semaphore_counts_and_frees_the_crashed", semaphore_counts_and_frees_the_crashed),
        on_both("hostile_names_stay_apart", hostile_names_stay_apart),
        vec![
            test("renewed_beyond_its_lease", renewed_beyond_its_lease),
            test("a_removed_key_is_a_lost_lock", a_removed_key_is_a_lost_lock),
            test("cut_off_it_is_lost_in_time", cut_off_it_is_lost_in_time),
            test("dropped_futures_and_guards_leave_no_lock", dropped_futures_and_guards_leave_no_lock),
            test("a_cycle_is_two_round_trips", a_cycle_is_two_round_trips),
            test("many_compete_without_meeting", many_compete_without_meeting),
            test("semaphore_under_competition", semaphore_under_competition),
            test("another_thing_of_that_name_is_left_alone", another_thing_of_that_name_is_left_alone),
        ],
    ])
}

const LONG: Duration = Duration::from_secs(30);

fn lease(ms: u64) -> LockConfig {
    LockConfig::default().with_lease(Duration::from_millis(ms))
}

async fn one_holder_at_a_time(db: Db) {
    let other = db.another().await;
    let mine = RedisLock::new(&db.store, "a", LockConfig::default()).unwrap();
    let theirs = RedisLock::new(&other, "a", LockConfig::default()).unwrap();
    let guard = mine.try_acquire().await.unwrap().unwrap();
    assert!(theirs.try_acquire().await.unwrap().is_none());
    let error = theirs.acquire(Duration::from_millis(30)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.operation(), error.key()),
        (ErrorKind::Timeout, Some("acquire"), Some("a"))
    );
    assert!(error.to_string().contains("held by others"), "{error}");
    assert!(!guard.is_lost());
    db.assert_all_expire().await;
    let first = guard.fence();
    let (released, next) = tokio::join!(guard.release(), theirs.acquire(LONG));
    assert!(released.unwrap());
    let next = next.unwrap();
    assert!(next.fence() > first && next.fence() < 1 << 53);
    assert!(next.release().await.unwrap());
}

async fn a_lease_ends_and_its_holder_is_told(db: Db) {
    let lock = RedisLock::new(&db.store, "a", lease(200).with_renewal(false)).unwrap();
    let old = lock.try_acquire().await.unwrap().unwrap();
    let other = RedisLock::new(&db.store, "a", LockConfig::default()).unwrap();
    let new = other.acquire(LONG).await.unwrap();
    old.lost().await;
    assert!(old.is_lost() && new.fence() > old.fence());
    // The old holder does not release the new one's.
    assert!(!old.release().await.unwrap());
    assert!(lock.try_acquire().await.unwrap().is_none());
    assert!(new.release().await.unwrap());
}

async fn fences_grow_when_the_counter_is_lost(db: Db) {
    let lock = RedisLock::new(&db.store, "a", LockConfig::default()).unwrap();
    let mut last = 0;
    for turn in 0..20 {
        let guard = lock.try_acquire().await.unwrap().unwrap();
        assert!(guard.fence() > last, "{} after {last}", guard.fence());
        last = guard.fence();
        guard.release().await.unwrap();
        if turn % 3 == 0 {
            db.store.command(RedisCommand::write("DEL").key("lock:{a}:fence")).await.unwrap();
        }
    }
    // One that is ahead of the clock is counted on.
    let ahead = last + 1_000_000_000_000;
    db.store.command(RedisCommand::write("SET").key("lock:{a}:fence").arg(ahead)).await.unwrap();
    assert_eq!(lock.try_acquire().await.unwrap().unwrap().fence(), ahead + 1);
}

async fn renewed_beyond_its_lease(db: Db) {
    let lock = RedisLock::new(&db.store, "a", lease(1_500)).unwrap();
    let guard = lock.try_acquire().await.unwrap().unwrap();
    let other = RedisLock::new(&db.store, "a", lease(600)).unwrap();
    assert_eq!(other.acquire(Duration::from_secs(3)).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(!guard.is_lost());
    assert!(guard.release().await.unwrap());
    assert!(other.try_acquire().await.unwrap().is_some());
}

async fn a_removed_key_is_a_lost_lock(db: Db) {
    let guard = RedisLock::new(&db.store, "a", lease(600)).unwrap().try_acquire().await.unwrap().unwrap();
    db.store.command(RedisCommand::write("DEL").key("lock:{a}")).await.unwrap();
    guard.lost().await;
    assert!(guard.is_lost() && !guard.release().await.unwrap());
}

async fn cut_off_it_is_lost_in_time(db: Db) {
    let proxy = Proxy::start(&db.url).await;
    let far = db.through(&proxy.url()).await;
    let held = RedisLock::new(&far, "a", lease(3_000)).unwrap().try_acquire().await.unwrap().unwrap();
    // A cut alone is survived: the connection is made again.
    proxy.cut();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!held.is_lost());
    // Now there is no way any more: the lease ends here when it ends there.
    drop(proxy);
    held.lost().await;
    let next = RedisLock::new(&db.store, "a", LockConfig::default()).unwrap();
    next.acquire(LONG).await.unwrap().release().await.unwrap();
}

async fn dropped_futures_and_guards_leave_no_lock(db: Db) {
    let lock = RedisLock::new(&db.store, "a", LockConfig::default()).unwrap();
    let free = async || lock.try_acquire().await.unwrap().is_some();
    drop(lock.try_acquire().await.unwrap().unwrap());
    eventually("free after a guard was dropped", &free).await;
    for turn in 0..60_u64 {
        // At any point: before it is sent, on its way, answered.
        let acquire = lock.acquire(LONG);
        let _ = tokio::time::timeout(Duration::from_micros(turn * 20), acquire).await;
    }
    eventually("free after futures were dropped", &free).await;
    let semaphore = RedisSemaphore::new(&db.store, "s", SemaphoreConfig::new(2)).unwrap();
    for turn in 0..60_u64 {
        let _ = tokio::time::timeout(Duration::from_micros(turn * 20), semaphore.acquire(LONG)).await;
    }
    eventually("all permits free", async || {
        let (one, two) = (semaphore.try_acquire().await.unwrap(), semaphore.try_acquire().await.unwrap());
        one.is_some() && two.is_some()
    })
    .await;
}

async fn a_cycle_is_two_round_trips(db: Db) {
    let proxy = Proxy::start(&db.url).await;
    let store = db.through(&proxy.url()).await;
    let lock = RedisLock::new(&store, "a", LockConfig::default()).unwrap();
    let semaphore = RedisSemaphore::new(&store, "s", SemaphoreConfig::new(1)).unwrap();
    let cycle = async || {
        lock.try_acquire().await.unwrap().unwrap().release().await.unwrap();
        semaphore.try_acquire().await.unwrap().unwrap().release().await.unwrap();
    };
    cycle().await;
    proxy.forget();
    for _ in 0..10 {
        cycle().await;
    }
    assert_eq!(proxy.commands(), ["EVALSHA"; 40]);
}

async fn many_compete_without_meeting(db: Db) {
    let (inside, last) = (Arc::new(AtomicI32::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let lock = RedisLock::new(&db.another().await, "a", LockConfig::default()).unwrap();
        let (inside, last) = (Arc::clone(&inside), Arc::clone(&last));
        tasks.push(async move {
            for _ in 0..25 {
                let guard = lock.acquire(LONG).await.unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                assert!(last.swap(guard.fence(), Ordering::SeqCst) < guard.fence());
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                assert!(guard.release().await.unwrap());
            }
        });
    }
    join_all(tasks).await;
}

async fn semaphore_counts_and_frees_the_crashed(db: Db) {
    let config = SemaphoreConfig::new(3);
    let crashing = RedisSemaphore::new(
        &db.store,
        "s",
        config.with_lease(Duration::from_millis(300)).with_renewal(false),
    )
    .unwrap();
    let living = RedisSemaphore::new(&db.another().await, "s", config).unwrap();
    let kept = living.try_acquire().await.unwrap().unwrap();
    let lost =
        [crashing.try_acquire().await.unwrap().unwrap(), crashing.try_acquire().await.unwrap().unwrap()];
    assert!(living.try_acquire().await.unwrap().is_none());
    db.assert_all_expire().await;
    let (one, two) = (living.acquire(LONG).await.unwrap(), living.acquire(LONG).await.unwrap());
    assert!(living.try_acquire().await.unwrap().is_none());
    for permit in lost {
        permit.lost().await;
        assert!(!permit.release().await.unwrap());
    }
    assert!(living.try_acquire().await.unwrap().is_none());
    for permit in [kept, one, two] {
        assert!(!permit.is_lost() && permit.release().await.unwrap());
    }
    assert!(db.keys().await.is_empty());
}

async fn semaphore_under_competition(db: Db) {
    let inside = Arc::new(AtomicI32::new(0));
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let semaphore = RedisSemaphore::new(&db.another().await, "s", SemaphoreConfig::new(3)).unwrap();
        let inside = Arc::clone(&inside);
        tasks.push(async move {
            for _ in 0..15 {
                let permit = semaphore.acquire(LONG).await.unwrap();
                assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                assert!(permit.release().await.unwrap());
            }
        });
    }
    join_all(tasks).await;
}

async fn another_thing_of_that_name_is_left_alone(db: Db) {
    let lock = RedisLock::new(&db.store, "a", LockConfig::default()).unwrap();
    db.store.command(RedisCommand::write("SADD").key("lock:{a}").arg("x")).await.unwrap();
    let error = lock.acquire(LONG).await.unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidInput && !error.is_retryable(), "{error}");
    db.store.command(RedisCommand::write("DEL").key("lock:{a}")).await.unwrap();
    db.store.command(RedisCommand::write("SET").key("lock:{a}").arg("mine")).await.unwrap();
    assert!(lock.try_acquire().await.unwrap().is_none());
    let kept: String =
        db.store.command(RedisCommand::read("GET").key("lock:{a}")).await.unwrap().to().unwrap();
    assert_eq!(kept, "mine");
}

async fn hostile_names_stay_apart(db: Db) {
    let mut held = Vec::new();
    for name in ["a", "a}", "{a}", "}", "{}", "a:fence", "a%3Afence", "*", "nul\0", "two\r\nlines", "žába 🐸"]
    {
        let lock = RedisLock::new(&db.store, name, LockConfig::default()).unwrap();
        held.push(lock.try_acquire().await.unwrap().unwrap_or_else(|| panic!("{name:?} is another's")));
        let semaphore = RedisSemaphore::new(&db.store, name, SemaphoreConfig::new(1)).unwrap();
        semaphore.try_acquire().await.unwrap().unwrap().release().await.unwrap();
    }
    for guard in held {
        assert!(guard.release().await.unwrap());
    }
    let long = "x".repeat(1_025);
    for name in ["", long.as_str()] {
        let error = RedisLock::new(&db.store, name, LockConfig::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    assert!(RedisLock::new(&db.store, "a", lease(0)).is_err());
    assert!(RedisSemaphore::new(&db.store, "a", SemaphoreConfig::new(0)).is_err());
}
