//! The primary is killed again and again while many write. What was acknowledged is there, once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use libtest_mimic::Failed;
use nodestore_integration_tests::mongodb::{Cluster, Options};
use store_core::{
    Backend as _, ChatMessage, Error, KvStoreExt as _, PutMode, PutOptions, ScanOptions, Update,
};
use store_mongodb::MongoBackend;
use store_mongodb::mongodb::bson::{Document, doc};

use crate::common::{Done, Test, block_on, soak, value};
use crate::open;
use crate::outages::primary;
use crate::written::{Expected, Progress, Written, in_order, key, write};

pub(crate) const TRIALS: &[(&str, Test)] =
    &[("fault_killed_primary_loses_and_doubles_nothing", killed_primary)];

/// As long as a call may take: longer than an election.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The key of the counter that all its writers count up.
const COUNTER: &str = "all";

/// Writes, and kills of the primary among them.
fn size() -> (u64, u64) {
    if soak() { (20_000, 5) } else { (2_000, 2) }
}

#[derive(Clone, Copy, Debug)]
enum Writer {
    /// Inserts keys that nobody else has.
    Keys(usize),
    /// Counts one number up, together with others.
    Counter,
    /// Appends to a history, together with all of the same name.
    Chat(&'static str, usize),
}

const WRITERS: [Writer; 8] = [
    Writer::Keys(0),
    Writer::Keys(1),
    Writer::Counter,
    Writer::Counter,
    Writer::Chat("own", 0),
    Writer::Chat("shared", 1),
    Writer::Chat("shared", 2),
    Writer::Chat("shared", 3),
];

fn killed_primary() -> Done {
    let (writes, kills) = size();
    let cluster = Cluster::start(Options { members: 3, ..Options::default() })?;
    block_on(async {
        let store = open(cluster.url()?, TIMEOUT).await?;
        let progress = Progress::new();
        let tasks = WRITERS.map(|writer| {
            let store = store.clone();
            let one = move |number| write_one(store.clone(), writer, number);
            tokio::spawn(write(Arc::clone(&progress), one))
        });
        let hurt = hurt(&cluster, &store, &progress, writes, kills).await;
        progress.stop();
        let mut written = Vec::new();
        for task in tasks {
            written.push(task.await??);
        }
        hurt?;
        check_keys(&store, &written).await?;
        check_counter(&store, &written).await?;
        check_chats(&store, &written).await?;
        progress.tell(&written, &format!("the primary was killed {kills} times"));
        Ok(())
    })
}

/// Kills the primary at even distances between the writes, and starts it again.
async fn hurt(cluster: &Cluster, store: &MongoBackend, progress: &Progress, writes: u64, kills: u64) -> Done {
    for kill in 1..=kills {
        progress.reach(writes * kill / (kills + 1)).await;
        let port = primary(store).await?;
        cluster.kill(port)?;
        // A new one serves before the old one is back.
        progress.go_on(50).await;
        tokio::task::block_in_place(|| cluster.restart(port))?;
        while !all_well(store, cluster.ports().len()).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    progress.reach(writes).await;
    Ok(())
}

/// Whether every member is the primary or follows it.
pub(crate) async fn all_well(store: &MongoBackend, members: usize) -> bool {
    let Ok(client) = store.client() else { return false };
    let Ok(status) = client.database("admin").run_command(doc! {"replSetGetStatus": 1}).await else {
        return false;
    };
    let Ok(list) = status.get_array("members") else { return false };
    let names = list.iter().filter_map(|member| member.as_document()?.get_str("stateStr").ok());
    names.filter(|name| ["PRIMARY", "SECONDARY"].contains(name)).count() == members
}

async fn write_one(store: MongoBackend, writer: Writer, number: u64) -> Result<(), Error> {
    match writer {
        Writer::Keys(own) => {
            let entry = (key(own, number), value(number));
            // Of a write that the driver repeats, the first must not count as somebody else's.
            let insert = PutOptions::default().with_mode(PutMode::Insert);
            store.kv()?.put_many("keys", vec![entry], insert).await
        }
        Writer::Counter => {
            let count = |old: Option<&_>| Ok(Update::Put(value(counted(old) + 1)));
            store.kv()?.update("counter", COUNTER, count).await.map(|_| ())
        }
        Writer::Chat(session, own) => {
            store.chat()?.append(session, vec![ChatMessage::user(key(own, number))]).await
        }
    }
}

fn counted(value: Option<&store_core::JsonObject>) -> u64 {
    value.and_then(|value| value.get("n")?.as_u64()).unwrap_or_default()
}

/// What the writers have done that `named` gives a name.
fn expected(written: &[Written], named: impl Fn(Writer) -> Option<usize>) -> Expected {
    let named =
        WRITERS.into_iter().zip(written).filter_map(|(writer, written)| Some((named(writer)?, written)));
    Expected::of(named)
}

async fn check_keys(store: &MongoBackend, written: &[Written]) -> Done {
    let entries: Vec<_> = store.kv()?.scan("keys", ScanOptions::default()).try_collect().await?;
    let found: BTreeSet<String> = entries.iter().map(|(key, _)| key.clone()).collect();
    if found.len() != entries.len() {
        return Err("the scan has a key twice".into());
    }
    let named = |writer| if let Writer::Keys(own) = writer { Some(own) } else { None };
    expected(written, named).compare("keys", &found)
}

async fn check_counter(store: &MongoBackend, written: &[Written]) -> Done {
    let (mut least, mut most) = (0, 0);
    for (writer, written) in WRITERS.into_iter().zip(written) {
        if matches!(writer, Writer::Counter) {
            least += u64::try_from(written.acknowledged.len())?;
            most += u64::try_from(written.acknowledged.len() + written.unknown.len())?;
        }
    }
    let found = counted(store.kv()?.get("counter", COUNTER).await?.as_ref());
    if least == 0 || found < least || found > most {
        return Err(format!("the counter is {found} after {least} to {most} increments").into());
    }
    Ok(())
}

async fn check_chats(store: &MongoBackend, written: &[Written]) -> Done {
    for session in ["own", "shared"] {
        let messages = store.chat()?.messages(session, None).await?;
        let texts: Vec<String> = messages.iter().filter_map(ChatMessage::text).collect();
        let found: BTreeSet<String> = texts.iter().cloned().collect();
        if found.len() != messages.len() {
            return Err(format!("{session}: {} messages, {} different", messages.len(), found.len()).into());
        }
        let named = |writer| match writer {
            Writer::Chat(of, own) if of == session => Some(own),
            _ => None,
        };
        expected(written, named).compare(session, &found)?;
        in_order(&texts)?;
        positions(store, session, texts.len()).await?;
    }
    Ok(())
}

/// The stored positions are 0, 1, 2 … as LlamaIndex's Python package reads them.
async fn positions(store: &MongoBackend, session: &str, count: usize) -> Done {
    let sessions = store.client()?.database("faults").collection::<Document>("sessions");
    let cursor = sessions.find(doc! {"session_id": session}).sort(doc! {"index": 1}).await?;
    let documents: Vec<Document> = cursor.try_collect().await?;
    let found: Vec<i64> = documents
        .iter()
        .map(|document| document.get_i32("index").map(i64::from).or_else(|_| document.get_i64("index")))
        .collect::<Result<_, _>>()?;
    let gap = (0..).zip(&found).find(|(expected, found)| expected != *found);
    match gap {
        Some((expected, found)) => Err(format!("{session}: position {found} in place of {expected}").into()),
        None if found.len() == count => Ok(()),
        None => Err(Failed::from(format!("{session}: {} positions for {count} messages", found.len()))),
    }
}
