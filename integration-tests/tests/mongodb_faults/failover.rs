//! The primary is killed again and again while many write. What was acknowledged is there, once.

use std::time::Duration;

use futures::TryStreamExt as _;
use libtest_mimic::Failed;
use nodestore_integration_tests::mongodb::{Cluster, Options};
use store_core::Backend as _;
use store_mongodb::MongoBackend;
use store_mongodb::mongodb::bson::{Document, doc};

use crate::common::{Done, Test, block_on, soak};
use crate::open;
use crate::outages::primary;
use crate::writers::{SESSIONS, Writers};

pub(crate) const TRIALS: &[(&str, Test)] =
    &[("fault_killed_primary_loses_and_doubles_nothing", killed_primary)];

/// As long as a call may take: longer than an election.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Writes, and kills of the primary among them.
fn size() -> (u64, u64) {
    if soak() { (20_000, 5) } else { (2_000, 2) }
}

fn killed_primary() -> Done {
    let (total, kills) = size();
    let cluster = Cluster::start(Options { members: 3, ..Options::default() })?;
    block_on(async {
        let store = open(cluster.url()?, TIMEOUT).await?;
        let writers = Writers::start(store.clone());
        let hurt = hurt(&cluster, &store, &writers, total, kills).await;
        let outcome = writers.stop().await?;
        hurt?;
        outcome.nothing_lost().await?;
        for session in SESSIONS {
            positions(&store, session).await?;
        }
        outcome.tell(&format!("the primary was killed {kills} times"));
        Ok(())
    })
}

/// Kills the primary at even distances between the writes, and starts it again.
async fn hurt(cluster: &Cluster, store: &MongoBackend, writers: &Writers, total: u64, kills: u64) -> Done {
    for kill in 1..=kills {
        writers.reach(total * kill / (kills + 1)).await;
        let port = primary(store).await?;
        cluster.kill(port)?;
        // A new one serves before the old one is back.
        writers.go_on(50).await;
        tokio::task::block_in_place(|| cluster.restart(port))?;
        while !all_well(store, cluster.ports().len()).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    writers.reach(total).await;
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

/// The stored positions are 0, 1, 2 … as LlamaIndex's Python package reads them.
async fn positions(store: &MongoBackend, session: &str) -> Done {
    let count = store.chat()?.messages(session, None).await?.len();
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
