//! A lock is taken and given back by many while its server is killed: no two holders have the same fencing number.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libtest_mimic::Failed;
use nodestore_integration_tests::redis::{Layout, Options, Servers};
use store_core::Error;
use store_redis::{LockConfig, RedisBackend, RedisLock};

use crate::common::{Done, Test, block_on, soak};
use crate::failover::{follows, master};
use crate::open;

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("fault_lock_of_a_killed_server", killed_server),
    ("fault_lock_over_a_sentinel_failover", sentinel_failover),
];

const TIMEOUT: Duration = Duration::from_secs(10);
/// A lock that its holder could not give back is free again after this.
const LEASE: Duration = Duration::from_secs(1);
const CLIENTS: usize = 4;

/// Times that the lock is held, and kills among them.
fn size() -> (usize, usize) {
    if soak() { (20_000, 5) } else { (400, 1) }
}

#[derive(Debug, Default)]
struct Seen {
    fences: Mutex<BTreeSet<u64>>,
    held: AtomicUsize,
    stop: AtomicBool,
}

impl Seen {
    async fn reach(&self, count: usize) {
        while self.held.load(Ordering::Relaxed) < count && !self.stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// It has the lock on its disk, and is started again.
fn killed_server() -> Done {
    let servers = Servers::start(Options { persist: true, ..Options::default() })?;
    let [port] = *servers.ports() else { return Err("one server was asked for".into()) };
    cycles(&servers, |_last| {
        servers.kill(port)?;
        Ok(servers.restart(port)?)
    })
}

/// The server that takes over may have neither the lock nor the last fencing number.
fn sentinel_failover() -> Done {
    let servers = Servers::start(Options { layout: Layout::Sentinel, ..Options::default() })?;
    cycles(&servers, |last| {
        let old = master(&servers)?;
        servers.kill(old)?;
        while master(&servers)? == old {
            std::thread::sleep(Duration::from_millis(50));
        }
        if !last {
            servers.restart(old)?;
            while !follows(old) {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    })
}

/// `kill` is told whether it is the last time.
fn cycles(servers: &Servers, kill: impl Fn(bool) -> Done) -> Done {
    let (total, kills) = size();
    block_on(async {
        let seen = Arc::new(Seen::default());
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            // Each by connections of its own, as from a process of its own.
            let store = open(servers.url()?, TIMEOUT).await?;
            clients.push(tokio::spawn(hold(store, Arc::clone(&seen))));
        }
        for number in 1..=kills {
            seen.reach(total * number / (kills + 1)).await;
            tokio::task::block_in_place(|| kill(number == kills))?;
            // All that follows is held of a server that came after the kill.
            seen.reach(seen.held.load(Ordering::Relaxed) + CLIENTS * 2).await;
        }
        seen.reach(total).await;
        seen.stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.await??;
        }
        println!("{} holders, each with a number of its own", seen.held.load(Ordering::Relaxed));
        Ok(())
    })
}

/// Takes the lock and gives it back, again and again.
async fn hold(store: RedisBackend, seen: Arc<Seen>) -> Result<(), Failed> {
    let ended = async {
        let lock = RedisLock::new(&store, "one", LockConfig::default().with_lease(LEASE))?;
        let mut last = 0;
        while !seen.stop.load(Ordering::Relaxed) {
            let guard = match lock.acquire(TIMEOUT).await {
                Ok(guard) => guard,
                Err(error) if error.is_retryable() => continue,
                Err(error) => return Err(Failed::from(error)),
            };
            let fence = guard.fence();
            if fence <= last {
                return Err(format!("a holder with {fence} after one with {last}").into());
            }
            last = fence;
            if !seen.fences.lock().unwrap_or_else(PoisonError::into_inner).insert(fence) {
                return Err(format!("two holders with {fence}").into());
            }
            seen.held.fetch_add(1, Ordering::Relaxed);
            match guard.release().await {
                // It may have been lost meanwhile.
                Ok(_) => {}
                Err(error) if Error::is_retryable(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
    .await;
    if ended.is_err() {
        seen.stop.store(true, Ordering::Relaxed);
    }
    ended
}
