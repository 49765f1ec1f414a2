//! Servers are killed again and again while many write. What was acknowledged is there, once, as far as Redis itself
//! kept it.

use std::time::Duration;

use libtest_mimic::Failed;
use nodestore_integration_tests::redis::{Answer, Layout, Options, Servers, ask};

use crate::common::{Done, Test, block_on, soak};
use crate::open;
use crate::writers::Writers;

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("fault_killed_server_loses_and_doubles_nothing", killed_server),
    ("fault_killed_cluster_node_loses_and_doubles_nothing", killed_node),
    ("fault_cluster_failover_loses_only_what_redis_loses", cluster_failover),
    ("fault_sentinel_failover_loses_only_what_redis_loses", sentinel_failover),
];

/// As long as a call may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Writes, and kills among them.
fn size() -> (u64, u64) {
    if soak() { (20_000, 5) } else { (2_000, 2) }
}

/// It writes to the disk before it acknowledges, and is started again.
fn killed_server() -> Done {
    killed_and_back(Layout::Single)
}

/// A cluster with a part missing answers nothing at all, until that is back.
fn killed_node() -> Done {
    killed_and_back(Layout::Cluster)
}

fn killed_and_back(layout: Layout) -> Done {
    let (total, kills) = size();
    let servers = Servers::start(Options { layout, persist: true, ..Options::default() })?;
    block_on(async {
        let writers = Writers::start(open(servers.url()?, TIMEOUT).await?);
        let mut ports = servers.ports().iter().cycle();
        for kill in 1..=kills {
            writers.reach(total * kill / (kills + 1)).await;
            let port = *ports.next().ok_or("no server")?;
            servers.kill(port)?;
            tokio::task::block_in_place(|| servers.restart(port))?;
            writers.go_on(50).await;
        }
        writers.reach(total).await;
        let outcome = writers.stop().await?;
        outcome.nothing_lost().await?;
        outcome.tell(&format!("a server was killed {kills} times"));
        Ok(())
    })
}

/// The replica that takes over may lack the last writes that the killed master acknowledged, and nothing else.
fn sentinel_failover() -> Done {
    let (total, kills) = if soak() { size() } else { (2_000, 1) };
    let servers = Servers::start(Options { layout: Layout::Sentinel, ..Options::default() })?;
    block_on(async {
        let writers = Writers::start(open(servers.url()?, TIMEOUT).await?);
        for kill in 1..=kills {
            writers.reach(total * kill / (kills + 1)).await;
            let port = master(&servers)?;
            servers.kill(port)?;
            // The other one serves before this one is back.
            writers.go_on(50).await;
            if kill == kills {
                break;
            }
            tokio::task::block_in_place(|| servers.restart(port))?;
            // The sentinels take their time to tell it so.
            while !follows(port) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        writers.reach(total).await;
        let outcome = writers.stop().await?;
        let lost = outcome.lost(usize::try_from(kills)?).await?;
        outcome.tell(&format!("the master was killed {kills} times; {lost} of them were not replicated yet"));
        Ok(())
    })
}

/// A master with a replica is killed, and comes back as the replica of that one.
fn cluster_failover() -> Done {
    let (total, kills) = if soak() { size() } else { (2_000, 1) };
    let servers = Servers::start(Options { layout: Layout::Cluster, replicas: true, ..Options::default() })?;
    block_on(async {
        let writers = Writers::start(open(servers.url()?, TIMEOUT).await?);
        // The masters come first.
        for (kill, port) in (1..=kills).zip(servers.ports()) {
            writers.reach(total * kill / (kills + 1)).await;
            servers.kill(*port)?;
            while !replaced(&servers, *port) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            writers.go_on(50).await;
            tokio::task::block_in_place(|| servers.restart(*port))?;
            while !follows(*port) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        writers.reach(total).await;
        let outcome = writers.stop().await?;
        let lost = outcome.lost(usize::try_from(kills)?).await?;
        outcome.tell(&format!(
            "{kills} masters of a cluster were killed; {lost} of them were not replicated yet"
        ));
        Ok(())
    })
}

/// Whether the others say that a node failed, and that there are three masters besides.
fn replaced(servers: &Servers, failed: u16) -> bool {
    let others = servers.ports().iter().filter(|port| **port != failed);
    others.copied().all(|port| {
        let Ok(nodes) = ask(port, &["CLUSTER", "NODES"]) else { return false };
        let nodes = nodes.texts().concat();
        nodes.lines().filter(|node| node.contains("master") && !node.contains("fail")).count() == 3
            && nodes.lines().any(|node| node.contains(&format!(":{failed}@")) && node.contains("fail"))
    })
}

/// The port of the master, as the sentinels see it.
pub(crate) fn master(servers: &Servers) -> Result<u16, Failed> {
    let sentinel = *servers.ports().get(2).ok_or("no sentinel")?;
    let answer = ask(sentinel, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"])?;
    let port = answer.texts().get(1).copied().unwrap_or_default().parse()?;
    Ok(port)
}

/// Whether a server is a replica that has all of its master's data.
pub(crate) fn follows(port: u16) -> bool {
    let Ok(Answer::List(role)) = ask(port, &["ROLE"]) else { return false };
    let role: Vec<&str> = role.iter().flat_map(Answer::texts).collect();
    role.first() == Some(&"slave") && role.contains(&"connected")
}
