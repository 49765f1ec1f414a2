//! Nodes of a ring are killed and frozen again and again while many write. What was acknowledged is there, once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use store_cassandra::cdrs_tokio::types::ByName as _;
use store_cassandra::{CassandraBackend, CassandraSession};
use store_core::{Backend as _, ChatMessage};

use crate::common::{Done, Test, block_on, soak};
use crate::outages::heals;
use crate::writers::{Outcome, Writers};
use crate::{Ring, namespace, open, ring};

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("fault_killed_nodes_lose_and_double_nothing", killed_nodes),
    ("fault_frozen_nodes_lose_and_double_nothing", frozen_nodes),
];

/// As long as a call may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What a busy machine adds to that.
const LATE: Duration = Duration::from_secs(2);
/// How long a node is frozen.
const FROZEN: Duration = Duration::from_secs(10);
/// How long it may take until the store uses a node again that is back.
const BACK: Duration = Duration::from_mins(1);

/// Each node is killed and started again, also the one by which the driver learns of the others.
fn killed_nodes() -> Done {
    let (total, kills) = if soak() { (20_000, 9) } else { (900, 3) };
    let ring = ring()?;
    let outcome = hurt(&ring, total, kills, |port| {
        ring.kill(port)?;
        Ok(ring.restart(port)?)
    })?;
    outcome.tell(&format!("a node of three was killed {kills} times"));
    Ok(())
}

/// A node keeps its connections and says nothing; the others take it for alive for most of that time.
fn frozen_nodes() -> Done {
    let (total, times) = if soak() { (20_000, 6) } else { (600, 2) };
    let ring = ring()?;
    let outcome = hurt(&ring, total, times, |port| {
        ring.freeze(port)?;
        std::thread::sleep(FROZEN);
        Ok(ring.thaw(port)?)
    })?;
    outcome.tell(&format!("a node of three was frozen for {} s {times} times", FROZEN.as_secs()));
    Ok(())
}

/// Hurts nodes one after the other at even distances between the writes.
fn hurt(ring: &Ring, total: u64, times: u64, hurt: impl Fn(u16) -> Done) -> Result<Outcome, Failed> {
    let mut ended = None;
    block_on(async {
        let store = open(ring.url()?, &namespace(), TIMEOUT).await?;
        // Making tables takes its own time.
        heals(&store).await?;
        store.chat()?.append("before", vec![ChatMessage::user("hello")]).await?;
        let writers = Writers::start(store.clone());
        let mut ports = ring.ports().iter().cycle();
        for time in 1..=times {
            writers.reach(total * time / (times + 1)).await;
            let port = *ports.next().ok_or("no node")?;
            tokio::task::block_in_place(|| hurt(port))?;
            all_used(ring, &store).await?;
            writers.go_on(50).await;
        }
        writers.reach(total).await;
        let outcome = writers.stop().await?;
        outcome.nothing_lost().await?;
        let longest = outcome.longest_call();
        if longest > TIMEOUT + LATE {
            return Err(format!("a call took {} ms", longest.as_millis()).into());
        }
        ended = Some(outcome);
        Ok(())
    })?;
    ended.ok_or_else(|| "it ended too early".into())
}

/// Waits until each node of the ring answers requests of the store.
pub(crate) async fn all_used(ring: &Ring, store: &CassandraBackend) -> Done {
    let CassandraSession::Tcp(session) = store.session()? else { return Err("no TLS was asked for".into()) };
    let all: BTreeSet<u16> = ring.ports().iter().copied().collect();
    let (mut used, begin) = (BTreeSet::new(), Instant::now());
    while used != all {
        if begin.elapsed() > BACK {
            return Err(format!("only {used:?} of {all:?} are used").into());
        }
        let asked = tokio::time::timeout(TIMEOUT, session.query("SELECT rpc_port FROM system.local")).await;
        let Ok(Ok(answer)) = asked else { continue };
        let rows = answer.response_body()?.into_rows().ok_or("no rows")?;
        let row = rows.first().ok_or("no row")?;
        let port: Option<i32> = row.by_name("rpc_port")?;
        used.insert(u16::try_from(port.unwrap_or_default())?);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
