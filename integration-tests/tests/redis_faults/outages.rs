//! Servers that freeze, die and come back.

use std::time::Duration;

use nodestore_integration_tests::redis::{Layout, Options, Servers};
use store_core::{Backend as _, ErrorKind, KvStoreExt as _};
use store_redis::RedisBackend;

use crate::common::{Done, Test, block_on, expect, value};
use crate::failover::{follows, master};
use crate::open;

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("fault_frozen_server_times_out_and_heals", frozen_server),
    ("fault_frozen_master_is_replaced", frozen_master),
    ("fault_frozen_cluster_node_times_out_and_heals", frozen_node),
    ("fault_restarted_server_is_found_again", restarted_server),
];

const TIMEOUT: Duration = Duration::from_secs(3);
/// So many that each node of a cluster holds some.
pub(crate) const COLLECTIONS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// A server that took the connection and says nothing.
fn frozen_server() -> Done {
    let servers = Servers::start(Options::default())?;
    block_on(async {
        let store = open(servers.url()?, TIMEOUT).await?;
        let kv = store.kv()?;
        kv.put("kept", "before", value(1)).await?;
        let [port] = *servers.ports() else { return Err("one server was asked for".into()) };
        servers.freeze(port)?;
        let Err(read) = kv.get("kept", "before").await else { return Err("a frozen server answers".into()) };
        expect(&read, ErrorKind::Timeout, "3000 ms")?;
        let Err(write) = kv.put("kept", "frozen", value(2)).await else {
            return Err("a frozen server acknowledges".into());
        };
        expect(&write, ErrorKind::Timeout, "whether a write was made is not known")?;
        if !(read.is_retryable() && write.is_retryable()) {
            return Err("a timeout is no reason to give up".into());
        }
        servers.thaw(port)?;
        // The same store, the same connections: whatever they hold, it answers again.
        heals(&store).await?;
        if kv.get("kept", "before").await? != Some(value(1)) {
            return Err("what was written before is gone".into());
        }
        Ok(())
    })
}

/// The sentinels name the replica, and the store goes there while the old master's connections are still open.
fn frozen_master() -> Done {
    let servers = Servers::start(Options { layout: Layout::Sentinel, ..Options::default() })?;
    block_on(async {
        let store = open(servers.url()?, TIMEOUT).await?;
        store.kv()?.put("kept", "before", value(1)).await?;
        let old = master(&servers)?;
        servers.freeze(old)?;
        heals(&store).await?;
        if master(&servers)? == old {
            return Err("a frozen server is still the master".into());
        }
        servers.thaw(old)?;
        while !follows(old) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        heals(&store).await?;
        if store.kv()?.get("kept", "before").await? != Some(value(1)) {
            return Err("what was written before is gone".into());
        }
        Ok(())
    })
}

/// Nobody replaces it: its keys are out of reach until it goes on.
fn frozen_node() -> Done {
    let servers = Servers::start(Options { layout: Layout::Cluster, ..Options::default() })?;
    block_on(async {
        let store = open(servers.url()?, TIMEOUT).await?;
        let kv = store.kv()?;
        for collection in COLLECTIONS {
            kv.put(collection, "before", value(1)).await?;
        }
        for port in servers.ports() {
            servers.freeze(*port)?;
            let mut refused = 0;
            for collection in COLLECTIONS {
                match kv.put(collection, "frozen", value(2)).await {
                    Ok(()) => {}
                    Err(error) if error.is_retryable() => refused += 1,
                    Err(error) => return Err(format!("{error:?} is not retryable").into()),
                }
            }
            if refused == 0 {
                return Err("a frozen node acknowledges".into());
            }
            servers.thaw(*port)?;
            heals(&store).await?;
        }
        for collection in COLLECTIONS {
            while let Err(error) = kv.put(collection, "after", value(3)).await {
                if !error.is_retryable() {
                    return Err(format!("{error:?} is not retryable").into());
                }
            }
        }
        Ok(())
    })
}

/// The connections that a store holds die with the server; it makes new ones by itself once it is back.
fn restarted_server() -> Done {
    let servers = Servers::start(Options { persist: true, ..Options::default() })?;
    block_on(async {
        let store = open(servers.url()?, TIMEOUT).await?;
        let kv = store.kv()?;
        kv.put("kept", "before", value(1)).await?;
        let [port] = *servers.ports() else { return Err("one server was asked for".into()) };

        servers.kill(port)?;
        for _ in 0..3 {
            let Err(error) = kv.put("kept", "dead", value(2)).await else {
                return Err("a dead server acknowledges".into());
            };
            if !(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) && error.is_retryable())
            {
                return Err(format!("a dead server is {error:?}").into());
            }
        }
        servers.restart(port)?;
        heals(&store).await?;

        // Back before anyone noticed.
        servers.kill(port)?;
        servers.restart(port)?;
        heals(&store).await?;
        if kv.get("kept", "before").await? != Some(value(1)) {
            return Err("what was acknowledged before is gone".into());
        }
        Ok(())
    })
}

/// Calls until one succeeds; until then all may say only that it is worth a retry.
pub(crate) async fn heals(store: &RedisBackend) -> Done {
    loop {
        match store.kv()?.put("kept", "after", value(3)).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_retryable() => {}
            Err(error) => return Err(format!("{error:?} is not retryable").into()),
        }
    }
}
