//! What users may do who may not do everything, and which of a cluster's servers are read from.

use std::time::Duration;

use futures::TryStreamExt as _;
use libtest_mimic::Failed;
use nodestore_integration_tests::redis::{Layout, Options, Servers, ask};
use store_core::filter::field;
use store_core::{
    AddMode, AddOptions, Backend as _, ChatMessage, ErrorKind, KvStoreExt as _, Metric, Node, ScanOptions,
    Selector, Update, VectorConfig, VectorQuery, VectorStoreExt as _,
};
use store_redis::{
    CacheConfig, EventLogConfig, GroupConfig, LeaderboardConfig, LockConfig, PubSubEvent, RateLimit,
    RedisBackend, RedisCache, RedisConfig, RedisEventLog, RedisLeaderboard, RedisLock, RedisPubSub,
    RedisRateLimiter, RedisSemaphore, RedisSessions, ScoreMode, SemaphoreConfig,
};

use crate::common::{Done, Test, block_on, expect, value};
use crate::open;
use crate::outages::COLLECTIONS;
use crate::refusals::is_diagnosed;

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("rights_that_the_page_names_are_enough", of_the_page),
    ("rights_that_lack_are_diagnosed", lacking),
    ("replicas_are_read_from", replicas),
];

const TIMEOUT: Duration = Duration::from_secs(10);
const PAGE: &str = include_str!("../../../docs/redis.md");

/// The command by which the page makes a user, for our namespace.
fn acl_of_the_page() -> Result<Vec<String>, Failed> {
    let line = PAGE.split('`').find(|code| code.starts_with("ACL SETUSER app"));
    let line = line.ok_or("the page names no rights")?.replace("kb:", "faults:").replace("PASSWORD", "apppw");
    Ok(line.split_whitespace().map(str::to_owned).collect())
}

/// A store of the user whom this makes.
async fn store_of(servers: &Servers, acl: &[&str]) -> Result<RedisBackend, Failed> {
    let [port] = *servers.ports() else { return Err("one server was asked for".into()) };
    ask(port, acl)?;
    Ok(open(&format!("redis://app:apppw@127.0.0.1:{port}"), TIMEOUT).await?)
}

fn of_the_page() -> Done {
    let acl = acl_of_the_page()?;
    let acl: Vec<&str> = acl.iter().map(String::as_str).collect();
    for search in [false, true] {
        let servers = Servers::start(Options { search, ..Options::default() })?;
        block_on(async {
            let store = store_of(&servers, &acl).await?;
            values(&store).await?;
            vectors(&store).await?;
            patterns(&store).await?;
            let findings = store.diagnose().await?.findings;
            if let Some(lacking) = findings.iter().find(|finding| finding.subject == "rights") {
                return Err(format!("{lacking:?}").into());
            }
            store.drop_namespace().await?;

            let url = servers.url()?.replace("redis://", "redis://app:apppw@");
            let config = url.parse::<RedisConfig>()?.with_namespace("other");
            let Err(error) = RedisBackend::connect(config).await?.kv()?.put("a", "b", value(1)).await else {
                return Err("it may write elsewhere".into());
            };
            expect(&error, ErrorKind::Unauthorized, "ACL SETUSER")
        })?;
    }
    Ok(())
}

async fn values(store: &RedisBackend) -> Done {
    let (kv, docs, index, chat) = (store.kv()?, store.docs()?, store.index()?, store.chat()?);
    kv.put("kept", "key", value(1)).await?;
    kv.update("kept", "key", |_| Ok(Update::Put(value(2)))).await?;
    let all: Vec<_> = kv.scan("kept", ScanOptions::default()).try_collect().await?;
    if all != [("key".to_owned(), value(2))] {
        return Err(format!("{all:?}").into());
    }
    kv.delete("kept", "key").await?;

    let node = Node::text("text").with_id("node").with_source("source");
    docs.add(vec![node], AddOptions::default()).await?;
    docs.delete_ref_doc(&"source".into()).await?;
    let structs: Vec<_> = index.scan(None).try_collect().await?;
    if !structs.is_empty() {
        return Err(format!("{structs:?}").into());
    }

    chat.append("session", vec![ChatMessage::user("one")]).await?;
    chat.replace("session", vec![ChatMessage::user("two"), ChatMessage::user("three")]).await?;
    chat.remove_at("session", 0).await?;
    chat.pop("session").await?;
    chat.delete("session").await?;
    Ok(())
}

async fn vectors(store: &RedisBackend) -> Done {
    let vectors = store.vectors()?;
    vectors.configure(VectorConfig::new(2, Metric::Cosine)).await?;
    let node =
        |id: &str| Node::text(id).with_id(id).with_metadata("tag", id).with_embedding(vec![1.0_f32, 0.5]);
    vectors.upsert(vec![node("a"), node("b")], AddMode::Overwrite).await?;
    let query = VectorQuery::dense(vec![1.0, 0.5], 10);
    for (query, count) in
        [(query.clone(), 2), (query.with_selector(field("tag").eq("a")), 1), (VectorQuery::text("a", 10), 1)]
    {
        let found = vectors.query(&query).await?.len();
        if found != count {
            return Err(format!("{found} are found by {query:?}").into());
        }
    }
    vectors.delete(&Selector::from(field("tag").eq("a"))).await?;
    store.drop_vector_set(None).await?;
    Ok(())
}

/// Scripts, channels and connections of their own.
async fn patterns(store: &RedisBackend) -> Done {
    let cache: RedisCache<u64> = RedisCache::new(store, "cache", CacheConfig::new(TIMEOUT))?;
    cache.get_or_load("key", || async { Ok(Some(1)) }).await?;
    cache.invalidate("key").await?;
    let limiter = RedisRateLimiter::new(store, "limiter", RateLimit::sliding_window(1, TIMEOUT))?;
    limiter.check("user", 1).await?;
    let lock = RedisLock::new(store, "lock", LockConfig::default())?;
    lock.acquire(TIMEOUT).await?.release().await?;
    let semaphore = RedisSemaphore::new(store, "semaphore", SemaphoreConfig::new(1))?;
    semaphore.acquire(TIMEOUT).await?.release().await?;
    let board = RedisLeaderboard::new(store, "board", LeaderboardConfig::new(ScoreMode::Sum))?;
    board.submit("one", 1.0).await?;
    board.around("one", 1).await?;
    let sessions: RedisSessions<u64> = RedisSessions::new(store, "sessions", TIMEOUT)?;
    let session = sessions.create("user", &1).await?;
    sessions.rotate(&session).await?;
    sessions.destroy_all("user").await?;

    let messages: RedisPubSub<u64> = RedisPubSub::new(store);
    let mut heard = messages.subscribe(["channel"]).await?;
    messages.publish("channel", &1).await?;
    let event = heard.try_next().await?;
    if !matches!(event, Some(PubSubEvent::Message { value: 1, .. })) {
        return Err(format!("{event:?} is heard").into());
    }
    let log: RedisEventLog<u64> = RedisEventLog::new(store, "log", EventLogConfig::default())?;
    let group = log.group("group", "reader", GroupConfig::default())?;
    group.ensure().await?;
    log.append(&1).await?;
    let event = group.read().await?.try_next().await?.ok_or("the log ends")?;
    group.ack([&event.id]).await?;
    Ok(())
}

/// `doctor` answers a user who may next to nothing, and says what is missing.
fn lacking() -> Done {
    let servers = Servers::start(Options::default())?;
    block_on(async {
        let acl = "ACL SETUSER app on >apppw ~faults:* +@read +@connection -scan";
        let store = store_of(&servers, &acl.split(' ').collect::<Vec<_>>()).await?;
        is_diagnosed(&store, "HDEL, UNLINK, PERSIST, EVAL, SCAN").await?;
        // Whatever else is asked, it is left out where it is refused.
        let facts = store.diagnose().await?.facts;
        if facts.iter().any(|fact| fact.name == "memory") {
            return Err(format!("INFO was answered: {facts:?}").into());
        }
        Ok(())
    })
}

/// Reads go to the replicas, and nothing else does.
fn replicas() -> Done {
    let servers = Servers::start(Options { layout: Layout::Cluster, replicas: true, ..Options::default() })?;
    // The masters come first.
    let replicas = servers.ports().get(3..).ok_or("no replicas")?;
    block_on(async {
        let store = open(&format!("{}&readFromReplicas=true", servers.url()?), TIMEOUT).await?;
        let kv = store.kv()?;
        for collection in COLLECTIONS {
            kv.put(collection, "key", value(1)).await?;
            while kv.get(collection, "key").await? != Some(value(1)) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            kv.update(collection, "key", |_| Ok(Update::Put(value(2)))).await?;
        }
        for port in replicas {
            let stats = ask(*port, &["INFO", "commandstats"])?.texts().concat();
            // Writes come from its master only; what a script would have to read does not come to it.
            if !stats.contains("cmdstat_hmget:") || stats.contains("cmdstat_eval") {
                return Err(format!("{port} was asked for {stats}").into());
            }
        }
        is_diagnosed(&store, "reads may go to replicas").await
    })
}
