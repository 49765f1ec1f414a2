//! Caches, on real servers; the semantic cache on the store in memory, as it stands on any.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]
#![allow(clippy::unused_async, reason = "loaders are asynchronous")]

mod common;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::proxy::Proxy;
use common::{Db, eventually, on_both, test};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use store_core::{Backend as _, Embedder, Error, ErrorKind, HashEmbedder, MemoryBackend, Result};
use store_redis::{CacheConfig, CacheScope, RedisCache, RedisCommand, SemanticCache};
use tokio::sync::Notify;

fn main() -> ExitCode {
    common::run([
        on_both("values_are_loaded_once_and_expire", values_are_loaded_once_and_expire),
        on_both(
            "one_load_for_a_thousand_misses_in_two_processes",
            one_load_for_a_thousand_misses_in_two_processes,
        ),
        on_both("a_slow_loader_does_not_undo_an_invalidation", a_slow_loader_does_not_undo_an_invalidation),
        vec![
            test("stale_while_it_is_loaded_anew", stale_while_it_is_loaded_anew),
            test("absence_is_remembered_if_asked_for", absence_is_remembered_if_asked_for),
            test("a_failed_load_is_told_and_not_kept", a_failed_load_is_told_and_not_kept),
            test("a_panic_or_a_dead_process_lets_others_load", a_panic_or_a_dead_process_lets_others_load),
            test("a_load_outlives_its_caller", a_load_outlives_its_caller),
            test("a_hit_is_one_round_trip", a_hit_is_one_round_trip),
            test("bypassed_when_asked_for", bypassed_when_asked_for),
            test("hostile_keys_and_values", hostile_keys_and_values),
            test("semantic_answers_stay_in_their_scope", semantic_answers_stay_in_their_scope),
        ],
    ])
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Profile {
    name: String,
    age: u32,
}

fn profile(name: &str) -> Profile {
    Profile { name: name.to_owned(), age: 7 }
}

const MINUTE: Duration = Duration::from_mins(1);

fn cache(db: &Db, config: CacheConfig) -> RedisCache<Profile> {
    RedisCache::new(&db.store, "profiles", config).unwrap()
}

async fn found(name: &str) -> Result<Option<Profile>> {
    Ok(Some(profile(name)))
}

async fn never() -> Result<Option<Profile>> {
    panic!("nothing is to be loaded")
}

async fn values_are_loaded_once_and_expire(db: Db) {
    let cache = cache(&db, CacheConfig::new(Duration::from_millis(500)).with_jitter(0.0));
    assert_eq!(cache.get("a").await.unwrap(), None);
    assert_eq!(cache.get_or_load("a", || found("Ann")).await.unwrap(), Some(profile("Ann")));
    db.assert_all_expire().await;
    assert_eq!(cache.get_or_load("a", || found("Bob")).await.unwrap(), Some(profile("Ann")));
    let stats = cache.stats();
    assert_eq!((stats.misses, stats.hits, stats.loads), (1, 1, 1));
    eventually("expired", async || cache.get("a").await.unwrap().is_none()).await;
    assert_eq!(cache.get_or_load("a", || found("Bob")).await.unwrap(), Some(profile("Bob")));
    cache.put("a", &profile("Cid")).await.unwrap();
    assert_eq!(cache.get_or_load("a", never).await.unwrap(), Some(profile("Cid")));
    cache.invalidate("a").await.unwrap();
    assert_eq!(cache.get("a").await.unwrap(), None);
    assert!(db.keys().await.is_empty());
}

async fn one_load_for_a_thousand_misses_in_two_processes(db: Db) {
    let other = db.another().await;
    let config = CacheConfig::new(MINUTE);
    let caches = [cache(&db, config), RedisCache::new(&other, "profiles", config).unwrap()];
    let loads = Arc::new(AtomicU32::new(0));
    let calls = (0..1_000).map(|i| {
        let (cache, loads) = (caches[i % 2].clone(), Arc::clone(&loads));
        tokio::spawn(async move {
            cache
                .get_or_load("a", || async move {
                    loads.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    found("Ann").await
                })
                .await
        })
    });
    for answer in join_all(calls).await {
        assert_eq!(answer.unwrap().unwrap(), Some(profile("Ann")));
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    let [one, two] = [caches[0].stats(), caches[1].stats()];
    assert_eq!((one.loads + two.loads, one.misses + two.misses), (1, 1));
    let all = [one, two].map(|stats| stats.hits + stats.coalesced + stats.misses);
    assert_eq!(all, [500, 500]);
    assert!(one.coalesced > 0 && two.coalesced > 0, "{one:?} {two:?}");
    db.assert_all_expire().await;
}

async fn a_slow_loader_does_not_undo_an_invalidation(db: Db) {
    let other = db.another().await;
    let config = CacheConfig::new(MINUTE);
    let cache = cache(&db, config);
    let far: RedisCache<Profile> = RedisCache::new(&other, "profiles", config).unwrap();
    for by in [&cache, &far] {
        let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let slow = {
            let (cache, begun, go) = (cache.clone(), Arc::clone(&begun), Arc::clone(&go));
            tokio::spawn(async move {
                let load = || async move {
                    begun.notify_one();
                    go.notified().await;
                    found("old").await
                };
                cache.get_or_load("a", load).await
            })
        };
        begun.notified().await;
        by.invalidate("a").await.unwrap();
        // Whoever comes now does not wait for the old value, in either process.
        assert_eq!(cache.get_or_load("a", || found("new")).await.unwrap(), Some(profile("new")));
        go.notify_one();
        // The one who began before is answered with what there was.
        assert_eq!(slow.await.unwrap().unwrap(), Some(profile("old")));
        assert_eq!(far.get_or_load("a", never).await.unwrap(), Some(profile("new")));
        cache.invalidate("a").await.unwrap();
    }
    assert_eq!(cache.stats().discarded, 2);
    // The same with a write in place of the invalidation.
    let (begun, go) = (Notify::new(), Arc::new(Notify::new()));
    let load = || {
        begun.notify_one();
        let go = Arc::clone(&go);
        async move {
            go.notified().await;
            found("old").await
        }
    };
    let put = async {
        begun.notified().await;
        far.put("a", &profile("put")).await.unwrap();
        go.notify_one();
    };
    let (answer, ()) = tokio::join!(cache.get_or_load("a", load), put);
    assert_eq!(answer.unwrap(), Some(profile("old")));
    assert_eq!(cache.get("a").await.unwrap(), Some(profile("put")));
}

async fn stale_while_it_is_loaded_anew(db: Db) {
    let config = CacheConfig::new(Duration::from_millis(50)).with_stale(MINUTE);
    let cache = cache(&db, config);
    cache.get_or_load("a", || found("old")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    let go = Arc::new(Notify::new());
    let wait = Arc::clone(&go);
    let load = || async move {
        wait.notified().await;
        found("new").await
    };
    // Nobody waits for the load, and only one loads.
    assert_eq!(cache.get_or_load("a", load).await.unwrap(), Some(profile("old")));
    assert_eq!(cache.get_or_load("a", never).await.unwrap(), Some(profile("old")));
    assert_eq!(cache.stats().stale, 2);
    go.notify_one();
    eventually("the new value", async || cache.get("a").await.unwrap() == Some(profile("new"))).await;
    // A load that fails leaves the stale value.
    tokio::time::sleep(Duration::from_millis(60)).await;
    let fail = || async { Err(Error::new(ErrorKind::Unavailable, "down")) };
    assert_eq!(cache.get_or_load("a", fail).await.unwrap(), Some(profile("new")));
    eventually("a failure", async || cache.stats().failures == 1).await;
    eventually("loaded again", async || {
        cache.get_or_load("a", || found("newer")).await.unwrap() == Some(profile("newer"))
    })
    .await;
    db.assert_all_expire().await;
}

async fn absence_is_remembered_if_asked_for(db: Db) {
    let nothing = || async { Ok(None) };
    let plain = cache(&db, CacheConfig::new(MINUTE));
    assert_eq!(plain.get_or_load("a", nothing).await.unwrap(), None);
    assert_eq!(plain.get_or_load("a", || found("Ann")).await.unwrap(), Some(profile("Ann")));
    let negative = cache(&db, CacheConfig::new(MINUTE).with_negative_ttl(Duration::from_secs(1)));
    assert_eq!(negative.get_or_load("b", nothing).await.unwrap(), None);
    db.assert_all_expire().await;
    assert_eq!(negative.get_or_load("b", never).await.unwrap(), None);
    tokio::time::sleep(Duration::from_millis(1_010)).await;
    assert_eq!(negative.get_or_load("b", || found("Bob")).await.unwrap(), Some(profile("Bob")));
}

async fn a_failed_load_is_told_and_not_kept(db: Db) {
    let cache = cache(&db, CacheConfig::new(MINUTE));
    let loads = AtomicU32::new(0);
    let load = || {
        loads.fetch_add(1, Ordering::SeqCst);
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Err(Error::new(ErrorKind::Throttled, "too many"))
        }
    };
    let (one, two) = tokio::join!(cache.get_or_load("a", load), cache.get_or_load("a", load));
    for answer in [one, two] {
        let error = answer.unwrap_err();
        assert_eq!((error.kind(), error.key()), (ErrorKind::Throttled, Some("a")));
        assert!(error.to_string().contains("the loader failed: too many"), "{error}");
    }
    assert!(loads.load(Ordering::SeqCst) <= 2);
    assert_eq!(cache.get_or_load("a", || found("Ann")).await.unwrap(), Some(profile("Ann")));
}

async fn a_panic_or_a_dead_process_lets_others_load(db: Db) {
    let cache = cache(&db, CacheConfig::new(MINUTE).with_lease(Duration::from_millis(300)));
    let error = cache.get_or_load("a", never).await.unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
    assert_eq!(cache.get_or_load("a", || found("Ann")).await.unwrap(), Some(profile("Ann")));
    // A process that took the lease and is no more.
    for (field, value) in [("l", "gone"), ("e", "99999999999999")] {
        let set = RedisCommand::write("HSET").key("cache:profiles:b").arg(field).arg(value);
        db.store.command(set).await.unwrap();
    }
    db.store.command(RedisCommand::write("PEXPIRE").key("cache:profiles:b").arg(300)).await.unwrap();
    assert_eq!(cache.get_or_load("b", || found("Bob")).await.unwrap(), Some(profile("Bob")));
}

async fn a_load_outlives_its_caller(db: Db) {
    let cache = cache(&db, CacheConfig::new(MINUTE));
    let (begun, go) = (Notify::new(), Arc::new(Notify::new()));
    let load = || {
        begun.notify_one();
        let go = Arc::clone(&go);
        async move {
            go.notified().await;
            found("Ann").await
        }
    };
    tokio::select! {
        _ = cache.get_or_load("a", load) => panic!("it can not be loaded yet"),
        () = begun.notified() => {}
    }
    go.notify_one();
    eventually("loaded all the same", async || cache.get("a").await.unwrap().is_some()).await;
}

async fn a_hit_is_one_round_trip(db: Db) {
    let proxy = Proxy::start(&db.url).await;
    let store = db.through(&proxy.url()).await;
    let cache: RedisCache<Profile> = RedisCache::new(&store, "p", CacheConfig::new(MINUTE)).unwrap();
    cache.get_or_load("a", || found("Ann")).await.unwrap();
    proxy.forget();
    for _ in 0..10 {
        cache.get_or_load("a", never).await.unwrap();
    }
    assert_eq!((proxy.count("EVALSHA"), proxy.count("EVAL")), (10, 0));
}

async fn bypassed_when_asked_for(db: Db) {
    let store = db.another().await;
    let config = CacheConfig::new(MINUTE);
    let plain: RedisCache<Profile> = RedisCache::new(&store, "p", config).unwrap();
    let bypassing: RedisCache<Profile> = RedisCache::new(&store, "p", config.with_bypass(true)).unwrap();
    store.close().await.unwrap();
    assert_eq!(plain.get_or_load("a", never).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(bypassing.get_or_load("a", || found("Ann")).await.unwrap(), Some(profile("Ann")));
    assert_eq!(bypassing.stats().bypassed, 1);
}

async fn hostile_keys_and_values(db: Db) {
    let config = CacheConfig::new(MINUTE);
    let texts: RedisCache<String> = RedisCache::new(&db.store, "a", config).unwrap();
    let other: RedisCache<String> = RedisCache::new(&db.store, "a:b", config).unwrap();
    for key in ["b", "b:c", "*", "{", "}", "\0\r\n", "ž", "'; return 1 --"] {
        texts.put(key, &key.to_owned()).await.unwrap();
        assert_eq!(texts.get(key).await.unwrap().as_deref(), Some(key));
        assert_eq!(other.get(key).await.unwrap(), None);
    }
    assert_eq!(other.get("c").await.unwrap(), None);
    for key in ["", &"x".repeat(1_025)] {
        assert_eq!(texts.get(key).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    // Another type's value, and a key of another kind, are told and left alone.
    let numbers: RedisCache<u32> = RedisCache::new(&db.store, "a", config).unwrap();
    assert_eq!(numbers.get("b").await.unwrap_err().kind(), ErrorKind::Corrupt);
    db.store.command(RedisCommand::write("SET").key("cache:a:text").arg("mine")).await.unwrap();
    let error = texts.get_or_load("text", || async { Ok(None) }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    for bad in [config.with_jitter(2.0), config.with_jitter(f64::NAN), CacheConfig::new(Duration::ZERO)] {
        assert!(RedisCache::<u32>::new(&db.store, "a", bad).is_err());
    }
}

async fn semantic_answers_stay_in_their_scope(_: Db) {
    let backend = MemoryBackend::new();
    let embedder: Arc<dyn Embedder> = Arc::new(HashEmbedder::default());
    let cache: SemanticCache<Profile> =
        SemanticCache::new(backend.vector_set("answers").unwrap(), Arc::clone(&embedder), 0.8);
    cache.ensure().await.unwrap();
    let scope = CacheScope::new("acme", "small");
    let asked = "how do I reset my password today";
    cache.put(&scope, asked, &profile("answer")).await.unwrap();
    let hit = cache.get(&scope, "how do I reset my password").await.unwrap().unwrap();
    assert_eq!((hit.answer, hit.question.as_str()), (profile("answer"), asked));
    assert!(hit.similarity >= 0.8 && hit.similarity <= 1.0001);
    assert_eq!(cache.get(&scope, "what does a goat eat").await.unwrap(), None);
    // The very same question of another tenant, or for another model.
    for other in [
        CacheScope::new("other", "small"),
        CacheScope::new("acme", "large"),
        CacheScope::new("small", "acme"),
    ] {
        assert_eq!(cache.get(&other, asked).await.unwrap(), None);
        assert!(!cache.invalidate(&other, asked).await.unwrap());
    }
    for bad in [CacheScope::new("", "small"), CacheScope::new("acme", "")] {
        assert_eq!(cache.get(&bad, asked).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(cache.invalidate_scope(&bad).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    cache.put(&scope, asked, &profile("better")).await.unwrap();
    assert_eq!(cache.get(&scope, asked).await.unwrap().unwrap().answer, profile("better"));
    // Times.
    let short: SemanticCache<Profile> =
        SemanticCache::new(backend.vector_set("answers").unwrap(), embedder, 0.8)
            .with_ttl(Duration::from_millis(1));
    short.put(&scope, "short lived words", &profile("gone")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(short.get(&scope, "short lived words").await.unwrap(), None);
    assert_eq!(short.remove_expired().await.unwrap(), 1);
    cache.put(&CacheScope::new("other", "small"), asked, &profile("theirs")).await.unwrap();
    assert_eq!(cache.invalidate_scope(&scope).await.unwrap(), 1);
    assert!(cache.get(&CacheScope::new("other", "small"), asked).await.unwrap().is_some());
}
