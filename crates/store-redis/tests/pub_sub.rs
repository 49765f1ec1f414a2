//! Messages to whoever listens, on real servers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

mod common;

use std::process::ExitCode;
use std::time::Duration;

use common::proxy::Proxy;
use common::{Db, on_both, test};
use futures::StreamExt as _;
use store_core::{Backend as _, BoxStream, ErrorKind};
use store_redis::{PubSubEvent, RedisCommand, RedisPubSub};

fn main() -> ExitCode {
    common::run([
        on_both("published_after_subscribing_it_comes", published_after_subscribing_it_comes),
        on_both("patterns_match_in_their_namespace", patterns_match_in_their_namespace),
        vec![
            test("goes_on_after_the_connection_was_cut", goes_on_after_the_connection_was_cut),
            test("a_slow_reader_is_told_what_it_missed", a_slow_reader_is_told_what_it_missed),
            test("bad_messages_and_names", bad_messages_and_names),
            test("ends_with_the_store", ends_with_the_store),
        ],
    ])
}

type Events = BoxStream<PubSubEvent<u32>>;

/// The next event; a test that waits for one in vain fails after a while.
async fn next(events: &mut Events) -> PubSubEvent<u32> {
    let event = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
    event.unwrap().unwrap().unwrap()
}

fn message(channel: &str, value: u32) -> PubSubEvent<u32> {
    PubSubEvent::Message { channel: channel.to_owned(), value }
}

async fn published_after_subscribing_it_comes(db: Db) {
    let far: RedisPubSub<u32> = RedisPubSub::new(&db.another().await);
    let here: RedisPubSub<u32> = RedisPubSub::new(&db.store);
    for turn in 0..10 {
        let mut events = here.subscribe(["a", "b"]).await.unwrap();
        far.publish("b", &turn).await.unwrap();
        far.publish("c", &99).await.unwrap();
        here.publish("a", &(turn + 1)).await.unwrap();
        // A cluster's node may yet hear what was published at another before.
        let mut missing = vec![message("a", turn + 1), message("b", turn)];
        while !missing.is_empty() {
            match next(&mut events).await {
                PubSubEvent::Message { channel, value }
                    if value < turn || (channel == "a" && value == turn) => {}
                event => {
                    let place = missing.iter().position(|missing| *missing == event);
                    missing.remove(place.unwrap_or_else(|| panic!("{event:?} in turn {turn}")));
                }
            }
        }
    }
    // In the order of one publisher.
    let mut events = here.subscribe(["order"]).await.unwrap();
    for i in 0..500 {
        far.publish("order", &i).await.unwrap();
    }
    for i in 0..500 {
        assert_eq!(next(&mut events).await, message("order", i));
    }
}

async fn patterns_match_in_their_namespace(db: Db) {
    let stranger = common::open(&db.url).await;
    let theirs: RedisPubSub<u32> = RedisPubSub::new(&stranger.store);
    let ours: RedisPubSub<u32> = RedisPubSub::new(&db.store);
    let mut events = ours.subscribe_patterns(["doc:*", "x[12]"]).await.unwrap();
    theirs.publish("doc:1", &1).await.unwrap();
    ours.publish("other", &2).await.unwrap();
    ours.publish("x3", &3).await.unwrap();
    ours.publish("doc:1", &4).await.unwrap();
    assert_eq!(next(&mut events).await, message("doc:1", 4));
    ours.publish("x2", &5).await.unwrap();
    assert_eq!(next(&mut events).await, message("x2", 5));
}

async fn goes_on_after_the_connection_was_cut(db: Db) {
    let proxy = Proxy::start(&db.url).await;
    let store = db.through(&proxy.url()).await;
    let here: RedisPubSub<u32> = RedisPubSub::new(&store);
    let far: RedisPubSub<u32> = RedisPubSub::new(&db.store);
    let mut channel = here.subscribe(["a"]).await.unwrap();
    // The driver's own subscriber would not come back with patterns alone.
    let mut pattern = here.subscribe_patterns(["a*"]).await.unwrap();
    for turn in 0..3 {
        proxy.cut();
        for events in [&mut channel, &mut pattern] {
            assert_eq!(next(events).await, PubSubEvent::Interrupted);
            // It says so before the server has the subscription again.
            loop {
                far.publish("a", &turn).await.unwrap();
                let again = tokio::time::timeout(Duration::from_millis(100), events.next()).await;
                match again {
                    Ok(Some(Ok(PubSubEvent::Message { value, .. }))) if value == turn => break,
                    Ok(Some(Ok(_))) | Err(_) => {}
                    Ok(other) => panic!("{other:?}"),
                }
            }
        }
        // What was published too often.
        for events in [&mut channel, &mut pattern] {
            while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(300), events.next()).await
            {
                event.unwrap();
            }
        }
    }
}

async fn a_slow_reader_is_told_what_it_missed(db: Db) {
    let here: RedisPubSub<u32> = RedisPubSub::new(&db.store).with_buffer(10);
    let mut events = here.subscribe(["a"]).await.unwrap();
    for i in 0..200 {
        here.publish("a", &i).await.unwrap();
    }
    let (mut read, mut missed) = (0, 0);
    while read + missed < 200 {
        match next(&mut events).await {
            PubSubEvent::Message { .. } => read += 1,
            PubSubEvent::Missed(count) => missed += count,
            other => panic!("{other:?}"),
        }
    }
    assert!(read >= 10 && missed > 0 && read + missed == 200, "{read} read, {missed} missed");
    here.publish("a", &7).await.unwrap();
    assert_eq!(next(&mut events).await, message("a", 7));
}

async fn bad_messages_and_names(db: Db) {
    let here: RedisPubSub<u32> = RedisPubSub::new(&db.store);
    let mut events = here.subscribe(["a", "*", "\0{}\r\n"]).await.unwrap();
    db.store.command(RedisCommand::write("PUBLISH").key("a").arg("no number")).await.unwrap();
    let error = events.next().await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupt, Some("a")));
    // A star is a name here, not a pattern.
    here.publish("b", &1).await.unwrap();
    here.publish("\0{}\r\n", &2).await.unwrap();
    assert_eq!(next(&mut events).await, message("\0{}\r\n", 2));
    for bad in ["", &"x".repeat(1_025)] {
        assert_eq!(here.publish(bad, &1).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(here.subscribe([bad]).await.is_err());
    }
    assert!(here.subscribe([""; 0]).await.is_err());
}

async fn ends_with_the_store(db: Db) {
    let store = db.another().await;
    let mut events = RedisPubSub::<u32>::new(&store).subscribe(["a"]).await.unwrap();
    store.close().await.unwrap();
    let error = events.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(events.next().await.is_none());
}
