//! What happens to a store on Cassandra when nodes are killed or frozen, when answers are lost, when the schema changes
//! under it, or when the cluster is not what it should be.
//!
//! Tests that hurt nodes share a ring of three, one after the other. With `STORE_TEST_SOAK` those that kill are the long
//! ones.

#[path = "../common/mod.rs"]
mod common;
mod connecting;
mod failover;
mod lost_answers;
mod outages;
mod proxy;
mod refusals;
mod schema;
mod together;
#[path = "../common/writers.rs"]
mod writers;

use std::ops::Deref;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use nodestore_integration_tests::cassandra::{self, Nodes, Options};
use nodestore_integration_tests::{Missing, Server};
use store_cassandra::{CassandraBackend, CassandraConfig};
use store_core::Error;

fn main() -> ExitCode {
    let mut trials = vec![
        failover::TRIALS,
        outages::TRIALS,
        lost_answers::TRIALS,
        schema::TRIALS,
        refusals::TRIALS,
        connecting::TRIALS,
    ];
    // Three nodes on two cores lose sight of each other under so many writers, and close connections.
    if common::soak() {
        trials.push(together::TRIALS);
    }
    common::run_all(1, &trials)
}

/// Three nodes, and the right to hurt them.
struct Ring {
    nodes: &'static Nodes,
    _turn: MutexGuard<'static, ()>,
}

impl Deref for Ring {
    type Target = Nodes;

    fn deref(&self) -> &Nodes {
        self.nodes
    }
}

/// The ring, once nobody else hurts it, with all its nodes at work. It ends with this process.
fn ring() -> Result<Ring, Missing> {
    static RING: OnceLock<Result<Nodes, Missing>> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let start = || Nodes::start(Options { nodes: 3, ..Options::default() });
    let nodes = RING.get_or_init(start).as_ref().map_err(Clone::clone)?;
    for port in nodes.ports() {
        // A test that failed may have left them frozen or dead.
        if let Err(gone) = nodes.thaw(*port) {
            eprintln!("{gone}");
        }
        nodes.restart(*port)?;
    }
    Ok(Ring { nodes, _turn: turn })
}

/// The URL of the node that all share who do it no harm; it ends with this process.
fn server() -> Result<&'static str, Missing> {
    static SERVER: OnceLock<Result<Server, Missing>> = OnceLock::new();
    SERVER.get_or_init(cassandra::find).as_ref().map(|server| server.url.as_str()).map_err(Clone::clone)
}

/// A namespace that no other test has, on a server that may have been used before.
fn namespace() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("f{}n{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A store in a namespace, with the tables that it needs, whose calls may take this long.
async fn open(url: &str, namespace: &str, timeout: Duration) -> Result<CassandraBackend, Error> {
    CassandraBackend::connect(config(url, namespace, timeout)?).await
}

fn config(url: &str, namespace: &str, timeout: Duration) -> Result<CassandraConfig, Error> {
    let config = url.parse::<CassandraConfig>()?.with_namespace(namespace).with_create(true);
    Ok(config.with_operation_timeout(timeout))
}
