//! What is too large, or no name at all, is refused before anything is written, and nothing else is touched.

use std::time::Duration;

use futures::TryStreamExt as _;
use libtest_mimic::Failed;
use store_cassandra::{CassandraBackend, CassandraVectorOptions};
use store_core::{
    Backend as _, ChatMessage, Error, ErrorKind, JsonObject, KvStoreExt as _, PutOptions, ScanOptions, Update,
};

use crate::common::{Done, Test, block_on, expect, value};
use crate::{config, namespace, open, server};

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("hostile_names_are_refused", hostile_names),
    ("names_in_capitals_and_reserved_words_are_names", odd_keyspaces),
    ("neighbours_keep_what_they_have", neighbours),
    ("fault_value_larger_than_the_node_takes", large_value),
    ("fault_key_too_long", long_key),
    ("fault_message_too_large", large_message),
];

const TIMEOUT: Duration = Duration::from_mins(1);
const HOSTILE: [&str; 12] = [
    "a\"",
    "a\"; DROP KEYSPACE nodestore; --",
    "a'b",
    "a b",
    "a.b",
    "a;b",
    "ключ",
    "a\u{0}b",
    "ａｂｃ",
    "a/*",
    "a\\",
    "",
];

fn text_of(size: usize) -> JsonObject {
    JsonObject::from_iter([("text".to_owned(), "x".repeat(size).into())])
}

/// What is not allowed is refused, whoever asks.
fn hostile_names() -> Done {
    let url = server()?;
    block_on(async {
        let name = namespace();
        let store = open(url, &name, TIMEOUT).await?;
        store.kv()?.put("kept", "key", value(1)).await?;
        for hostile in HOSTILE {
            let opened = [
                config(url, hostile, TIMEOUT)?,
                config(url, &name, TIMEOUT)?.with_keyspace(hostile),
                config(url, &name, TIMEOUT)?
                    .with_vectors(CassandraVectorOptions::default().with_table(hostile)),
            ];
            for config in opened {
                match CassandraBackend::connect(config).await {
                    Ok(_) => return Err(format!("{hostile:?} is a name").into()),
                    Err(error) => is_refused(&error)?,
                }
            }
            match store.vector_set(hostile) {
                Ok(_) => return Err(format!("{hostile:?} is a set").into()),
                Err(error) => is_refused(&error)?,
            }
            match store.drop_vector_set(Some(hostile)).await {
                Ok(_) => return Err(format!("{hostile:?} is a set to be dropped").into()),
                Err(error) => is_refused(&error)?,
            }
        }
        only(&store, &[("key", 1)]).await
    })
}

fn is_refused(error: &Error) -> Done {
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::Config if !error.is_retryable() => Ok(()),
        _ => Err(format!("{error:?}").into()),
    }
}

/// Whether a collection holds just this.
async fn only(store: &CassandraBackend, expected: &[(&str, u64)]) -> Done {
    let mut all: Vec<_> = store.kv()?.scan("kept", ScanOptions::default()).try_collect().await?;
    all.sort_by(|one, other| one.0.cmp(&other.0));
    let expected: Vec<_> = expected.iter().map(|(key, number)| ((*key).to_owned(), value(*number))).collect();
    if all == expected {
        Ok(())
    } else {
        Err(format!("{} entries, not {}", all.len(), expected.len()).into())
    }
}

fn odd_keyspaces() -> Done {
    let url = server()?;
    block_on(async {
        let name = namespace();
        let mut stores = Vec::new();
        for (number, keyspace) in (0..).zip(["Select", "select", "SELECT", "_9"]) {
            let config = config(url, &name, TIMEOUT)?.with_keyspace(keyspace);
            let store = CassandraBackend::connect(config).await?;
            store.kv()?.put("kept", "key", value(number)).await?;
            store.chat()?.append("session", vec![ChatMessage::user(keyspace)]).await?;
            stores.push((store, number));
        }
        let (first, _) = stores.first().ok_or("no store")?;
        first.drop_namespace().await?;
        only(first, &[]).await?;
        for (store, number) in stores.iter().skip(1) {
            only(store, &[("key", *number)]).await?;
        }
        for (store, _) in &stores {
            store.drop_namespace().await?;
        }
        Ok(())
    })
}

/// Namespaces of which one begins like the other, and none at all.
fn neighbours() -> Done {
    let url = server()?;
    block_on(async {
        let name = namespace();
        let (short, long) =
            (open(url, &name, TIMEOUT).await?, open(url, &format!("{name}0"), TIMEOUT).await?);
        for store in [&short, &long] {
            store.kv()?.put("kept", "key", value(1)).await?;
            store.chat()?.append("session", vec![ChatMessage::user("hello")]).await?;
        }
        short.drop_namespace().await?;
        only(&short, &[]).await?;
        only(&long, &[("key", 1)]).await?;
        if long.chat()?.messages("session", None).await?.len() != 1 {
            return Err("a neighbour's chat is gone".into());
        }
        Ok(())
    })
}

/// A value of 16 MB: refused by us, and by the node when we are told to take it.
fn large_value() -> Done {
    let url = server()?;
    block_on(async {
        let name = namespace();
        let store = open(url, &name, TIMEOUT).await?;
        let most = config(url, &name, TIMEOUT)?.with_max_value_bytes(64 << 20);
        let most = CassandraBackend::connect(most).await?;
        store.kv()?.put("kept", "key", value(1)).await?;
        let kv = store.kv()?;
        let both = vec![("other".to_owned(), value(2)), ("key".to_owned(), text_of(16 << 20))];
        let Err(error) = kv.put_many("kept", both, PutOptions::default()).await else {
            return Err("16 MB are a value".into());
        };
        expect(&error, ErrorKind::LimitExceeded, "\"key\"")?;
        let Err(error) = kv.update("kept", "key", |_| Ok(Update::Put(text_of(16 << 20)))).await else {
            return Err("16 MB are a value".into());
        };
        expect(&error, ErrorKind::LimitExceeded, "\"key\"")?;
        only(&store, &[("key", 1)]).await?;

        for size in [16 << 20, 20 << 20] {
            let answers = [
                most.kv()?.put("kept", "key", text_of(size)).await,
                most.kv()?.update("kept", "key", |_| Ok(Update::Put(text_of(size)))).await.map(drop),
            ];
            for answer in answers {
                let Err(error) = answer else { return Err(format!("{size} bytes are a value").into()) };
                expect(&error, ErrorKind::LimitExceeded, "commitlog_segment_size")?;
            }
            // Its connection serves others.
            only(&most, &[("key", 1)]).await?;
        }
        // What it takes, it gives.
        most.kv()?.put("kept", "large", text_of(8 << 20)).await?;
        if most.kv()?.get("kept", "large").await? != Some(text_of(8 << 20)) {
            return Err("8 MB are not what they were".into());
        }
        Ok(())
    })
}

fn long_key() -> Done {
    let url = server()?;
    block_on(async {
        let store = open(url, &namespace(), TIMEOUT).await?;
        let kv = store.kv()?;
        let (longest, longer) = ("k".repeat(65_535), "k".repeat(65_536));
        kv.put("kept", &longest, value(1)).await?;
        kv.update("kept", &longest, |_| Ok(Update::Put(value(2)))).await?;
        let refused = [
            kv.put("kept", &longer, value(1)).await,
            kv.put_many(
                "kept",
                vec![("short".to_owned(), value(1)), (longer.clone(), value(1))],
                PutOptions::default(),
            )
            .await,
            kv.get("kept", &longer).await.map(drop),
            kv.delete("kept", &longer).await.map(drop),
            kv.update("kept", &longer, |_| Ok(Update::Put(value(3)))).await.map(drop),
            store.chat()?.append(&longer, vec![ChatMessage::user("hello")]).await,
        ];
        for answer in refused {
            let Err(error) = answer else { return Err("65,536 bytes are a key".into()) };
            expect(&error, ErrorKind::LimitExceeded, "65536")?;
        }
        only(&store, &[(&longest, 2)]).await
    })
}

fn large_message() -> Done {
    let url = server()?;
    block_on(async {
        let store = open(url, &namespace(), TIMEOUT).await?;
        let chat = store.chat()?;
        let large = || ChatMessage::user("x".repeat(4 << 20));
        chat.append("session", vec![ChatMessage::user("before")]).await?;
        let refused = [
            chat.append("session", vec![ChatMessage::user("with it"), large()]).await,
            chat.replace("session", vec![large()]).await,
            chat.insert_at("session", 0, large()).await,
        ];
        for answer in refused {
            let Err(error) = answer else { return Err("4 MB are a message".into()) };
            expect(&error, ErrorKind::LimitExceeded, "\"session\"")?;
        }
        let texts: Vec<_> =
            chat.messages("session", None).await?.iter().filter_map(ChatMessage::text).collect();
        if texts == ["before"] { Ok(()) } else { Err(Failed::from(format!("{} messages", texts.len()))) }
    })
}
