//! Caches.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use libtest_mimic::Trial;
use store_core::{Error, ErrorKind};
use store_dynamodb::{CacheConfig, DynamoDbCache};

use crate::LONG;
use crate::common::{self, Db, test};
use crate::faults::{Fault, Faults};

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("cache_answers_until_the_time_ends", cache_answers_until_the_time_ends),
        test("cache_loads_once_in_a_process", cache_loads_once_in_a_process),
        test("cache_does_not_keep_what_was_invalidated", cache_does_not_keep_what_was_invalidated),
        test("cache_does_not_wait_for_what_was_invalidated", cache_does_not_wait_for_what_was_invalidated),
        test("cache_answers_stale_values_while_it_loads", cache_answers_stale_values_while_it_loads),
        test(
            "cache_is_gone_around_when_it_can_not_be_reached",
            cache_is_gone_around_when_it_can_not_be_reached,
        ),
        test("cache_remembers_what_is_absent", cache_remembers_what_is_absent),
    ]
}

fn cache(db: &Db, config: CacheConfig) -> DynamoDbCache<Vec<u64>> {
    DynamoDbCache::new(&db.store, "c", config.with_jitter(0.0)).unwrap()
}

async fn cache_answers_until_the_time_ends(db: Db) {
    let cache = cache(&db, CacheConfig::new(Duration::from_millis(1_500)));
    assert_eq!(cache.get("k").await.unwrap(), None);
    cache.put("k", &vec![1, 2]).await.unwrap();
    assert_eq!(cache.get("k").await.unwrap(), Some(vec![1, 2]));
    common::eventually("its time ends", || async { cache.get("k").await.unwrap().is_none() }).await;
    // The item is there still: the server has not removed it.
    assert_eq!(db.items(&db.main()).await.len(), 1);
    assert_eq!(cache.get_or_load("k", || async { Ok(Some(vec![3])) }).await.unwrap(), Some(vec![3]));
    assert_eq!(cache.get("k").await.unwrap(), Some(vec![3]));
    cache.invalidate("k").await.unwrap();
    assert_eq!(cache.get("k").await.unwrap(), None);
    let other: DynamoDbCache<String> = DynamoDbCache::new(&db.store, "c", CacheConfig::new(LONG)).unwrap();
    cache.put("k", &vec![1]).await.unwrap();
    let error = other.get("k").await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupt, Some("k")));
    let error = cache.put("k", &vec![u64::MAX; 30_000]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}

async fn cache_loads_once_in_a_process(db: Db) {
    let cache = cache(&db, CacheConfig::new(LONG));
    let loads = Arc::new(AtomicUsize::new(0));
    let tasks = (0..16).map(|_| {
        let (cache, loads) = (cache.clone(), Arc::clone(&loads));
        tokio::spawn(async move {
            let load = || async move {
                loads.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(30)).await;
                Ok(Some(vec![7]))
            };
            cache.get_or_load("k", load).await.unwrap()
        })
    });
    for found in join_all(tasks).await {
        assert_eq!(found.unwrap(), Some(vec![7]));
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.hits + stats.misses + stats.coalesced), (1, 16), "{stats:?}");
    // A failure is its caller's, and is not kept.
    let failing = || async { Err(Error::new(ErrorKind::Other, "no database")) };
    let error = cache.get_or_load("f", failing).await.unwrap_err();
    assert!(error.to_string().contains("no database"), "{error}");
    assert_eq!(cache.get_or_load("f", || async { Ok(Some(vec![1])) }).await.unwrap(), Some(vec![1]));
}

async fn cache_does_not_keep_what_was_invalidated(db: Db) {
    let mine = cache(&db, CacheConfig::new(LONG));
    let theirs = DynamoDbCache::<Vec<u64>>::new(&db.another().await, "c", CacheConfig::new(LONG)).unwrap();
    for before in [None, Some(vec![0])] {
        // A value, or none, whose time is over.
        if let Some(value) = &before {
            let short = cache(&db, CacheConfig::new(Duration::from_millis(1)));
            short.put("k", value).await.unwrap();
            common::eventually("over", || async { short.get("k").await.unwrap().is_none() }).await;
        }
        let other = theirs.clone();
        let load = || async move {
            other.invalidate("k").await.unwrap();
            Ok(Some(vec![1]))
        };
        assert_eq!(mine.get_or_load("k", load).await.unwrap(), Some(vec![1]));
        assert_eq!(mine.get("k").await.unwrap(), None, "{before:?}");
        // Nor over what was put meanwhile.
        let other = theirs.clone();
        let load = || async move {
            other.put("k", &vec![9]).await.unwrap();
            Ok(Some(vec![1]))
        };
        mine.get_or_load("k", load).await.unwrap();
        assert_eq!(mine.get("k").await.unwrap(), Some(vec![9]));
        mine.invalidate("k").await.unwrap();
    }
    assert_eq!((mine.stats().loads, mine.stats().discarded), (4, 4));
}

/// Who comes after an invalidation does not wait for a load that began before it.
async fn cache_does_not_wait_for_what_was_invalidated(db: Db) {
    let cache = cache(&db, CacheConfig::new(LONG));
    let (open, gate) = tokio::sync::watch::channel(false);
    let slow = {
        let (cache, mut gate) = (cache.clone(), gate.clone());
        let load = || async move {
            gate.wait_for(|open| *open).await.unwrap();
            Ok(Some(vec![1]))
        };
        tokio::spawn(async move { cache.get_or_load("k", load).await.unwrap() })
    };
    common::eventually("it loads", || async { cache.stats().loads == 1 }).await;
    cache.invalidate("k").await.unwrap();
    assert_eq!(cache.get_or_load("k", || async { Ok(Some(vec![2])) }).await.unwrap(), Some(vec![2]));
    open.send(true).unwrap();
    assert_eq!(slow.await.unwrap(), Some(vec![1]));
    assert_eq!(cache.get("k").await.unwrap(), Some(vec![2]));
}

async fn cache_answers_stale_values_while_it_loads(db: Db) {
    let fresh = Duration::from_millis(50);
    let cache = cache(&db, CacheConfig::new(fresh).with_stale(LONG));
    cache.put("k", &vec![1]).await.unwrap();
    tokio::time::sleep(fresh).await;
    let (open, gate) = tokio::sync::watch::channel(false);
    for _ in 0..5 {
        let mut gate = gate.clone();
        let load = || async move {
            gate.wait_for(|open| *open).await.unwrap();
            Ok(Some(vec![2]))
        };
        assert_eq!(cache.get_or_load("k", load).await.unwrap(), Some(vec![1]));
    }
    open.send(true).unwrap();
    common::eventually("it is loaded", || async { cache.get("k").await.unwrap() == Some(vec![2]) }).await;
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.stale, stats.misses, stats.loads), (0, 5, 0, 1), "{stats:?}");
    // A failure leaves what there is.
    tokio::time::sleep(fresh).await;
    let failing = || async { Err(Error::new(ErrorKind::Other, "no database")) };
    assert_eq!(cache.get_or_load("k", failing).await.unwrap(), Some(vec![2]));
    common::eventually("it fails", || async { cache.stats().failures == 1 }).await;
    assert_eq!(cache.get("k").await.unwrap(), Some(vec![2]));
    // What is invalidated is not even stale.
    cache.invalidate("k").await.unwrap();
    assert_eq!(cache.get("k").await.unwrap(), None);
}

async fn cache_is_gone_around_when_it_can_not_be_reached(db: Db) {
    let faults = Faults::default();
    let store = faults.store(db.client(), db.config.clone());
    let config = CacheConfig::new(LONG);
    let strict = DynamoDbCache::<Vec<u64>>::new(&store, "c", config).unwrap();
    let lenient = DynamoDbCache::<Vec<u64>>::new(&store, "c", config.with_bypass(true)).unwrap();
    strict.put("k", &vec![1]).await.unwrap();
    faults.spoil("GetItem", Fault::Throttled, usize::MAX);
    let load = || async { Ok(Some(vec![2])) };
    assert_eq!(strict.get_or_load("k", load).await.unwrap_err().kind(), ErrorKind::Throttled);
    assert_eq!(lenient.get_or_load("k", load).await.unwrap(), Some(vec![2]));
    assert_eq!((lenient.stats().bypassed, lenient.stats().loads), (1, 0));
    faults.heal();
    assert_eq!(lenient.get_or_load("k", load).await.unwrap(), Some(vec![1]));
}

async fn cache_remembers_what_is_absent(db: Db) {
    let forgetful = cache(&db, CacheConfig::new(LONG));
    let nothing = || async { Ok(None) };
    let something = || async { Ok(Some(vec![1])) };
    assert_eq!(forgetful.get_or_load("k", nothing).await.unwrap(), None);
    assert_eq!(forgetful.get_or_load("k", something).await.unwrap(), Some(vec![1]));
    let cache = cache(&db, CacheConfig::new(LONG).with_negative_ttl(Duration::from_secs(1)));
    assert_eq!(cache.get_or_load("n", nothing).await.unwrap(), None);
    assert_eq!(cache.get_or_load("n", something).await.unwrap(), None);
    common::eventually("it is forgotten", || async {
        cache.get_or_load("n", something).await.unwrap() == Some(vec![1])
    })
    .await;
}
