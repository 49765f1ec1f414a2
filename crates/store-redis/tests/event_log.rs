//! Logs of events, on real servers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

mod common;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use common::proxy::Proxy;
use common::{Db, eventually, on_both, test};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use store_core::{Backend as _, BoxStream, ErrorKind};
use store_redis::fred::interfaces::ClientLike as _;
use store_redis::fred::types::{ClusterHash, CustomCommand};
use store_redis::{
    EventLogConfig, GroupConfig, GroupStart, LogEvent, RedisCommand, RedisEventGroup, RedisEventLog,
};

fn main() -> ExitCode {
    common::run([
        on_both("appended_once_and_read_in_order", appended_once_and_read_in_order),
        on_both("a_group_shares_and_acknowledges", a_group_shares_and_acknowledges),
        on_both("the_stuck_are_claimed_and_die_at_last", the_stuck_are_claimed_and_die_at_last),
        vec![
            test("trimmed_by_number_and_age", trimmed_by_number_and_age),
            test("waiting_readers_hold_nobody_up", waiting_readers_hold_nobody_up),
            test("goes_on_after_the_connection_was_cut", goes_on_after_the_connection_was_cut),
            test("what_is_no_event_is_told_and_dies", what_is_no_event_is_told_and_dies),
            test("bad_input_is_refused", bad_input_is_refused),
        ],
    ])
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Job {
    number: u32,
}

fn job(number: u32) -> Job {
    Job { number }
}

fn log(db: &Db) -> RedisEventLog<Job> {
    RedisEventLog::new(&db.store, "jobs", EventLogConfig::default()).unwrap()
}

async fn next(events: &mut BoxStream<LogEvent<Job>>) -> LogEvent<Job> {
    let event = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
    event.unwrap().unwrap().unwrap()
}

async fn ensured(log: &RedisEventLog<Job>, consumer: &str, config: GroupConfig) -> RedisEventGroup<Job> {
    let group = log.group("workers", consumer, config).unwrap();
    group.ensure().await.unwrap();
    group
}

async fn appended_once_and_read_in_order(db: Db) {
    let log = log(&db);
    assert!(log.is_empty().await.unwrap());
    let first = log.append_once("a", &job(0)).await.unwrap();
    let again = log.append_once("a", &job(77)).await.unwrap();
    assert!(first.new && !again.new && first.id == again.id);
    assert!(log.append_once("b}:id:a", &job(1)).await.unwrap().new);
    let second = log.append(&job(2)).await.unwrap();
    let many = log.append_many(&(3..2_500).map(job).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(many.len(), 2_497);
    let all: Vec<LogEvent<Job>> = log.events(None).try_collect().await.unwrap();
    assert_eq!(
        all.iter().map(|event| event.value.number).collect::<Vec<_>>(),
        (0..2_500).collect::<Vec<_>>()
    );
    assert_eq!((&all[0].id, all[0].deliveries), (&first.id, 0));
    let rest: Vec<LogEvent<Job>> = log.events(Some(&second)).try_collect().await.unwrap();
    assert_eq!(rest[0].id, many[0]);
    assert_eq!((rest.len(), log.len().await.unwrap()), (2_497, 2_500));
    // The idempotency ids expire, the log stays.
    let forever: Vec<String> =
        db.keys().await.into_iter().filter(|(_, left)| *left == -1).map(|(key, _)| key).collect();
    assert_eq!(forever, ["log:{jobs}"]);
}

async fn a_group_shares_and_acknowledges(db: Db) {
    let log = log(&db);
    log.append_many(&(0..300).map(job).collect::<Vec<_>>()).await.unwrap();
    let config = GroupConfig::default().with_batch(10);
    let one = ensured(&log, "one", config).await;
    assert!(!one.ensure().await.unwrap());
    let two = ensured(&log, "two", config).await;
    let (mut ones, mut twos) = (one.read().await.unwrap(), two.read().await.unwrap());
    let mut seen = BTreeSet::new();
    for _ in 0..150 {
        for (group, events) in [(&one, &mut ones), (&two, &mut twos)] {
            let event = next(events).await;
            assert_eq!(event.deliveries, 1);
            assert!(seen.insert(event.value.number), "{event:?} was given out twice");
            assert_eq!(group.ack([&event.id]).await.unwrap(), 1);
            assert_eq!(group.ack([&event.id]).await.unwrap(), 0);
        }
    }
    assert_eq!(seen.len(), 300);
    let lag = one.lag().await.unwrap();
    assert_eq!((lag.pending, lag.unread), (0, Some(0)));
    // New ones come to those who wait.
    log.append(&job(300)).await.unwrap();
    let (event, from) = tokio::select! {
        event = next(&mut ones) => (event, &one),
        event = next(&mut twos) => (event, &two),
    };
    assert_eq!((event.value, from.lag().await.unwrap().pending), (job(300), 1));
    // Another group reads for itself, one that begins now only what comes.
    let late = log.group("late", "one", GroupConfig::default().with_start(GroupStart::New)).unwrap();
    assert_eq!(late.lag().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(late.ensure().await.unwrap());
    let mut late_events = late.read().await.unwrap();
    log.append(&job(301)).await.unwrap();
    assert_eq!(next(&mut late_events).await.value, job(301));
}

async fn the_stuck_are_claimed_and_die_at_last(db: Db) {
    let log = log(&db);
    let config = GroupConfig::default().with_claim_after(Duration::from_millis(200)).with_max_deliveries(3);
    let dying = ensured(&log, "dying", config).await;
    log.append_many(&[job(1), job(2)]).await.unwrap();
    let mut events = dying.read().await.unwrap();
    let (first, second) = (next(&mut events).await, next(&mut events).await);
    dying.ack([&first.id]).await.unwrap();
    drop(events);
    let other = ensured(&log, "other", config).await;
    let mut events = other.read().await.unwrap();
    let claimed = next(&mut events).await;
    assert_eq!((claimed.id.as_str(), claimed.value, claimed.deliveries), (second.id.as_str(), job(2), 2));
    assert_eq!(next(&mut events).await.deliveries, 3);
    // Nobody acknowledges it: it is put aside, and does not hold up the others.
    log.append(&job(3)).await.unwrap();
    let event = next(&mut events).await;
    assert_eq!(event.value, job(3));
    other.ack([&event.id]).await.unwrap();
    let letters = async || log.dead_letters().try_collect::<Vec<_>>().await.unwrap();
    let reading = tokio::spawn(async move { events.next().await });
    eventually("a dead letter", async || letters().await.len() == 1).await;
    reading.abort();
    let letter = letters().await.remove(0);
    assert_eq!(
        (letter.event.as_str(), letter.group.as_str(), letter.deliveries),
        (second.id.as_str(), "workers", 3)
    );
    assert_eq!(letter.json.as_ref(), br#"{"number":2}"#);
    assert_eq!(other.lag().await.unwrap().pending, 0);
    // It may be tried again.
    let id = log.revive(&letter.id).await.unwrap().unwrap();
    assert_eq!(log.revive(&letter.id).await.unwrap(), None);
    assert!(letters().await.is_empty());
    let all: Vec<LogEvent<Job>> = log.events(None).try_collect().await.unwrap();
    assert_eq!((all[3].id.as_str(), &all[3].value), (id.as_str(), &job(2)));
}

async fn trimmed_by_number_and_age(db: Db) {
    let few: RedisEventLog<Job> =
        RedisEventLog::new(&db.store, "few", EventLogConfig::default().with_max_events(500)).unwrap();
    few.append_many(&(0..3_000).map(job).collect::<Vec<_>>()).await.unwrap();
    let kept = few.len().await.unwrap();
    assert!((500..800).contains(&kept), "{kept}");
    for i in 0..300 {
        few.append(&job(i)).await.unwrap();
    }
    let kept = few.len().await.unwrap();
    assert!((500..800).contains(&kept), "{kept}");
    let young: RedisEventLog<Job> = RedisEventLog::new(
        &db.store,
        "young",
        EventLogConfig::default().with_max_age(Duration::from_millis(50)),
    )
    .unwrap();
    young.append_many(&(0..1_000).map(job).collect::<Vec<_>>()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    young.append(&job(1)).await.unwrap();
    let kept = young.len().await.unwrap();
    assert!(kept <= 200, "{kept}");
}

async fn waiting_readers_hold_nobody_up(db: Db) {
    let log = log(&db);
    let before = reading(&db).await;
    let mut readers = Vec::new();
    for i in 0..8 {
        let group = ensured(&log, &format!("reader-{i}"), GroupConfig::default()).await;
        let mut events = group.read().await.unwrap();
        readers.push(tokio::spawn(async move { events.next().await }));
    }
    let wait = || async { reading(&db).await.difference(&before).count() >= readers.len() };
    eventually("all readers wait", wait).await;
    // They do so on other connections than those that all calls share.
    let mut shared = BTreeSet::new();
    for client in db.store.client().unwrap().clients() {
        shared.insert(client.custom::<String, _>(client_command(), vec!["ID"]).await.unwrap());
    }
    let reading = reading(&db).await;
    assert!(reading.is_disjoint(&shared), "{reading:?} {shared:?}");
    // All that was answered while they wait; now one of them is given something to do.
    assert!(!readers.iter().any(tokio::task::JoinHandle::is_finished));
    log.append(&job(1)).await.unwrap();
    eventually("one has it", || async { readers.iter().any(tokio::task::JoinHandle::is_finished) }).await;
    readers.iter().for_each(tokio::task::JoinHandle::abort);
}

fn client_command() -> CustomCommand {
    CustomCommand::new_static("CLIENT", ClusterHash::Random, false)
}

/// The connections of the server on which somebody reads a log, by their ids.
async fn reading(db: &Db) -> BTreeSet<String> {
    let list: String =
        db.store.client().unwrap().next().custom(client_command(), vec!["LIST"]).await.unwrap();
    let reading = list.lines().filter(|line| line.contains(" cmd=xreadgroup "));
    reading.map(|line| line.trim_start_matches("id=").split(' ').next().unwrap().to_owned()).collect()
}

async fn goes_on_after_the_connection_was_cut(db: Db) {
    let proxy = Proxy::start(&db.url).await;
    let far: RedisEventLog<Job> =
        RedisEventLog::new(&db.through(&proxy.url()).await, "jobs", EventLogConfig::default()).unwrap();
    let config = GroupConfig::default().with_claim_after(Duration::from_millis(500)).with_max_deliveries(100);
    let group = ensured(&far, "one", config).await;
    let mut events = group.read().await.unwrap();
    let log = log(&db);
    let mut done = BTreeSet::new();
    let appending = async {
        for number in 0..200 {
            log.append(&job(number)).await.unwrap();
            if number % 50 == 25 {
                proxy.cut();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let reading = async {
        while done.len() < 200 {
            let event = next(&mut events).await;
            // At least once: an acknowledgement may be lost on its way.
            while group.ack([&event.id]).await.is_err() {}
            done.insert(event.value.number);
        }
    };
    tokio::join!(appending, reading);
    assert_eq!(done.len(), 200);
}

async fn what_is_no_event_is_told_and_dies(db: Db) {
    let log = log(&db);
    let config = GroupConfig::default().with_claim_after(Duration::from_millis(100)).with_max_deliveries(1);
    let group = ensured(&log, "one", config).await;
    for (field, value) in [("d", "no JSON"), ("other", "x")] {
        let add = RedisCommand::write("XADD").key("log:{jobs}").arg("*").arg(field).arg(value);
        db.store.command(add).await.unwrap();
    }
    log.append(&job(1)).await.unwrap();
    let mut events = group.read().await.unwrap();
    for _ in 0..2 {
        let error = events.next().await.unwrap().unwrap_err();
        assert!(error.kind() == ErrorKind::Corrupt && error.key().is_some(), "{error}");
    }
    let event = next(&mut events).await;
    group.ack([&event.id]).await.unwrap();
    let reading = tokio::spawn(async move { events.next().await });
    eventually("two dead letters", async || log.dead_letters().count().await == 2).await;
    reading.abort();
    assert_eq!(group.lag().await.unwrap().pending, 0);
    let mut all = log.events(None);
    assert_eq!(all.next().await.unwrap().unwrap_err().kind(), ErrorKind::Corrupt);
}

async fn bad_input_is_refused(db: Db) {
    let log = log(&db);
    assert!(RedisEventLog::<Job>::new(&db.store, "", EventLogConfig::default()).is_err());
    assert!(RedisEventLog::<Job>::new(&db.store, "a", EventLogConfig::default().with_max_events(0)).is_err());
    assert_eq!(log.append_once("", &job(1)).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    for config in [GroupConfig::default().with_batch(0), GroupConfig::default().with_max_deliveries(0)] {
        assert!(log.group("a", "b", config).is_err());
    }
    assert!(log.group("", "b", GroupConfig::default()).is_err());
    // No group, and a key of another kind.
    let error = log.group("none", "b", GroupConfig::default()).unwrap().read().await.unwrap().next().await;
    assert_eq!(error.unwrap().unwrap_err().kind(), ErrorKind::NotFound);
    db.store.command(RedisCommand::write("SET").key("log:{text}").arg("mine")).await.unwrap();
    let text: RedisEventLog<Job> = RedisEventLog::new(&db.store, "text", EventLogConfig::default()).unwrap();
    assert_eq!(text.append(&job(1)).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    let kept: String =
        db.store.command(RedisCommand::read("GET").key("log:{text}")).await.unwrap().to().unwrap();
    assert_eq!(kept, "mine");
    // Closed, a reader ends.
    let store = db.another().await;
    let log: RedisEventLog<Job> = RedisEventLog::new(&store, "jobs", EventLogConfig::default()).unwrap();
    let group = ensured(&log, "one", GroupConfig::default()).await;
    let mut events = group.read().await.unwrap();
    store.close().await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(events.next().await.is_none());
}
