//! Chats on a real node, named by `STORE_TEST_CASSANDRA_URL`: their time to live, and the largest message.

#![allow(clippy::unwrap_used, reason = "a test may end at once")]

use std::process::ExitCode;
use std::time::Duration;

use futures::TryStreamExt as _;
use store_cassandra::{CassandraBackend, CassandraConfig};
use store_conformance::server;
use store_core::{Backend as _, ChatMessage, ChatStore, ErrorKind};
use tokio::time::{Instant, sleep};

const SERVER: &str = "STORE_TEST_CASSANDRA_URL";

fn main() -> ExitCode {
    store_conformance::tests_on! {
        SERVER;
        messages_expire_one_by_one_and_the_session_with_the_last,
        a_history_outlives_its_first_messages,
        a_message_may_be_as_large_as_a_value,
    }
}

/// A store of the test's own.
async fn store(test: &str, set: impl FnOnce(CassandraConfig) -> CassandraConfig) -> CassandraBackend {
    let config: CassandraConfig = server::url(SERVER).unwrap().parse().unwrap();
    let config = config.with_namespace(format!("chat{test}{}", std::process::id())).with_create(true);
    let config = config.with_operation_timeout(Duration::from_mins(1));
    CassandraBackend::connect(set(config)).await.unwrap()
}

async fn texts(chat: &dyn ChatStore, session: &str) -> Vec<String> {
    let messages = chat.messages(session, None).await.unwrap();
    messages.iter().map(|message| message.text().unwrap()).collect()
}

async fn sessions(chat: &dyn ChatStore) -> Vec<String> {
    chat.keys(None).try_collect().await.unwrap()
}

async fn say(chat: &dyn ChatStore, session: &str, text: &str) {
    chat.append(session, vec![ChatMessage::user(text)]).await.unwrap();
}

async fn messages_expire_one_by_one_and_the_session_with_the_last() {
    let ttl = Duration::from_secs(6);
    let backend = store("ttl", |config| config.with_chat_ttl(ttl)).await;
    let chat = backend.chat().unwrap();
    // In more buckets than one: what is written at once and too great for one request has a bucket of its own.
    chat.append("s", vec![ChatMessage::user("a".repeat(600_000))]).await.unwrap();
    say(&*chat, "s", "b").await;
    sleep(ttl / 2).await;
    say(&*chat, "s", "c").await;
    say(&*chat, "other", "d").await;
    assert_eq!(texts(&*chat, "s").await.last().map(String::as_str), Some("c"));
    assert!(sessions(&*chat).await.contains(&"s".to_owned()));

    let whole = ["a".repeat(600_000), "b".to_owned(), "c".to_owned()];
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        // The oldest go first: what is left is an end of the history.
        let left = texts(&*chat, "s").await;
        assert!(whole.ends_with(&left), "{} are left", left.len());
        if left.is_empty() && sessions(&*chat).await.is_empty() {
            break;
        }
        assert!(Instant::now() < until, "{} messages and {:?} stay", left.len(), sessions(&*chat).await);
        sleep(Duration::from_millis(200)).await;
    }
    assert!(!chat.delete("s").await.unwrap());

    // This process remembers an end that is gone.
    say(&*chat, "s", "e").await;
    assert_eq!(texts(&*chat, "s").await, ["e"]);
    assert_eq!(sessions(&*chat).await, ["s"]);
    backend.drop_namespace().await.unwrap();
}

/// A history is kept as long as it is written to, whatever goes of it meanwhile.
async fn a_history_outlives_its_first_messages() {
    let ttl = Duration::from_secs(2);
    let backend = store("kept", |config| config.with_chat_ttl(ttl)).await;
    let chat = backend.chat().unwrap();
    let mut said = Vec::new();
    for number in 0..10 {
        said.push(number.to_string());
        say(&*chat, "s", &number.to_string()).await;
        let left = texts(&*chat, "s").await;
        assert!(said.ends_with(&left), "{left:?}");
        sleep(ttl / 4).await;
    }
    assert!(texts(&*chat, "s").await.len() < said.len(), "nothing has expired");
    backend.drop_namespace().await.unwrap();
}

async fn a_message_may_be_as_large_as_a_value() {
    let backend = store("large", |config| config.with_max_value_bytes(10_000)).await;
    let chat = backend.chat().unwrap();
    say(&*chat, "s", &"x".repeat(9_000)).await;
    let large = || ChatMessage::user("x".repeat(10_000));
    let refused = [
        chat.append("s", vec![ChatMessage::user("small"), large()]).await,
        chat.replace("s", vec![large()]).await,
        chat.insert_at("s", 0, large()).await,
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
        assert!(error.message().contains("the limit is 10000 bytes"), "{error}");
    }
    assert_eq!(texts(&*chat, "s").await, ["x".repeat(9_000)]);
    backend.drop_namespace().await.unwrap();
}
