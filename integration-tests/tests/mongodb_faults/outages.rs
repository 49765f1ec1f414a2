//! Servers that freeze, die and come back.

use std::time::Duration;

use libtest_mimic::Failed;
use nodestore_integration_tests::mongodb::{Cluster, Options};
use store_core::{Backend as _, ErrorKind, KvStoreExt as _};
use store_mongodb::MongoBackend;
use store_mongodb::mongodb::bson::doc;

use crate::common::{Done, Test, block_on, expect, value};
use crate::open;

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("fault_frozen_server_times_out_and_heals", frozen_server),
    ("fault_frozen_primary_is_replaced", frozen_primary),
    ("fault_restarted_server_is_found_again", restarted_server),
];

const TIMEOUT: Duration = Duration::from_secs(3);

/// The port of the replica set's primary, as a member sees it.
pub(crate) async fn primary(store: &MongoBackend) -> Result<u16, Failed> {
    let hello = store.client()?.database("admin").run_command(doc! {"hello": 1}).await?;
    let address = hello.get_str("primary").map_err(|_| "there is no primary")?;
    Ok(address.rsplit(':').next().unwrap_or_default().parse()?)
}

/// A server that took the connection and says nothing: the driver alone would wait for ever.
fn frozen_server() -> Done {
    let cluster = Cluster::start(Options::default())?;
    block_on(async {
        let store = open(cluster.url()?, TIMEOUT).await?;
        let kv = store.kv()?;
        kv.put("kept", "before", value(1)).await?;
        let [port] = *cluster.ports() else { return Err("one member was asked for".into()) };
        cluster.freeze(port)?;
        let Err(read) = kv.get("kept", "before").await else { return Err("a frozen server answers".into()) };
        expect(&read, ErrorKind::Timeout, "3000 ms")?;
        let Err(write) = kv.put("kept", "frozen", value(2)).await else {
            return Err("a frozen server acknowledges".into());
        };
        expect(&write, ErrorKind::Timeout, "whether a write was made is not known")?;
        if !(read.is_retryable() && write.is_retryable()) {
            return Err("a timeout is no reason to give up".into());
        }
        cluster.thaw(port)?;
        // The same store, the same connections: whatever they hold, it answers again.
        heals(&store).await?;
        if kv.get("kept", "before").await? != Some(value(1)) {
            return Err("what was written before is gone".into());
        }
        Ok(())
    })
}

/// The others elect a new primary, and the store goes there while the old one's connections are still open.
fn frozen_primary() -> Done {
    let cluster = Cluster::start(Options { members: 3, ..Options::default() })?;
    block_on(async {
        // The driver finds out that a server is frozen by its own checks only.
        let url = format!("{}&connectTimeoutMS=1000&heartbeatFrequencyMS=500", cluster.url()?);
        let store = open(&url, TIMEOUT).await?;
        store.kv()?.put("kept", "before", value(1)).await?;
        let old = primary(&store).await?;
        cluster.freeze(old)?;
        heals(&store).await?;
        if primary(&store).await? == old {
            return Err("a frozen member is still the primary".into());
        }
        cluster.thaw(old)?;
        if store.kv()?.get("kept", "before").await? != Some(value(1)) {
            return Err("what was written before is gone".into());
        }
        Ok(())
    })
}

/// The connections that a store holds die with the server; the first call after it is back makes new ones.
fn restarted_server() -> Done {
    let cluster = Cluster::start(Options::default())?;
    block_on(async {
        let store = open(cluster.url()?, TIMEOUT).await?;
        let kv = store.kv()?;
        kv.put("kept", "before", value(1)).await?;
        let [port] = *cluster.ports() else { return Err("one member was asked for".into()) };

        cluster.kill(port)?;
        // The first call finds its connection broken, the next one finds no server.
        for next_step in ["", "start the server"] {
            let Err(error) = kv.put("kept", "dead", value(2)).await else {
                return Err("a dead server acknowledges".into());
            };
            expect(&error, ErrorKind::Unavailable, next_step)?;
        }
        cluster.restart(port)?;
        heals(&store).await?;

        // Back before anyone noticed.
        cluster.kill(port)?;
        cluster.restart(port)?;
        heals(&store).await?;
        if kv.get("kept", "before").await? != Some(value(1)) {
            return Err("what was acknowledged before is gone".into());
        }
        Ok(())
    })
}

/// Calls until one succeeds; until then all may say only that it is worth a retry.
async fn heals(store: &MongoBackend) -> Done {
    loop {
        match store.kv()?.put("kept", "after", value(3)).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_retryable() => {}
            Err(error) => return Err(format!("{error:?} is not retryable").into()),
        }
    }
}
