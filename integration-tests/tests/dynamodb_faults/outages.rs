//! A server that freezes, dies and comes back.

use std::time::Duration;

use nodestore_integration_tests::dynamodb::Local;
use store_core::{Backend as _, ErrorKind, KvStoreExt as _};
use store_dynamodb::DynamoDbBackend;

use crate::common::{Done, Test, block_on, expect, value};
use crate::open;

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("fault_frozen_server_times_out_and_heals", frozen_server),
    ("fault_restarted_server_is_found_again", restarted_server),
];

const TIMEOUT: Duration = Duration::from_secs(3);

/// A server that took the connection and says nothing.
fn frozen_server() -> Done {
    let server = Local::start()?;
    block_on(async {
        let store = open(server.url()?, "faults", TIMEOUT).await?;
        let kv = store.kv()?;
        made(&store).await?;
        let [port] = *server.ports() else { return Err("one server was asked for".into()) };
        server.freeze(port)?;
        let Err(read) = kv.get("kept", "before").await else { return Err("a frozen server answers".into()) };
        expect(&read, ErrorKind::Timeout, "3000 ms")?;
        let Err(write) = kv.put("kept", "frozen", value(2)).await else {
            return Err("a frozen server acknowledges".into());
        };
        expect(&write, ErrorKind::Timeout, "whether a write was made is not known")?;
        if !(read.is_retryable() && write.is_retryable()) {
            return Err("a timeout is no reason to give up".into());
        }
        // One that was never spoken to.
        let stranger = open(server.url()?, "faults", TIMEOUT).await?;
        let Err(error) = stranger.ping().await else { return Err("a frozen server answers".into()) };
        if !(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable) && error.is_retryable()) {
            return Err(format!("a frozen server is {error:?}").into());
        }
        server.thaw(port)?;
        // The same store, the same connections: whatever they hold, it answers again.
        heals(&store).await
    })
}

/// The connections that a store holds die with the server; it makes new ones by itself once it is back.
fn restarted_server() -> Done {
    let server = Local::start()?;
    block_on(async {
        let store = open(server.url()?, "faults", TIMEOUT).await?;
        made(&store).await?;
        let [port] = *server.ports() else { return Err("one server was asked for".into()) };
        server.kill(port)?;
        for _ in 0..3 {
            let Err(error) = store.kv()?.put("kept", "dead", value(2)).await else {
                return Err("a dead server acknowledges".into());
            };
            if !(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) && error.is_retryable())
            {
                return Err(format!("a dead server is {error:?}").into());
            }
        }
        tokio::task::block_in_place(|| server.restart(port))?;
        heals(&store).await?;
        // Back before anyone noticed.
        server.kill(port)?;
        tokio::task::block_in_place(|| server.restart(port))?;
        heals(&store).await
    })
}

/// Has the table made, by calls that a busy machine may delay.
async fn made(store: &DynamoDbBackend) -> Done {
    while let Err(error) = store.kv()?.put("kept", "before", value(1)).await {
        if !error.is_retryable() {
            return Err(error.into());
        }
    }
    Ok(())
}

/// Calls until one succeeds; until then all may say only that it is worth a retry. What was there is there.
async fn heals(store: &DynamoDbBackend) -> Done {
    loop {
        match store.kv()?.put("kept", "after", value(3)).await {
            Ok(()) => break,
            Err(error) if error.is_retryable() => {}
            Err(error) => return Err(format!("{error:?} is not retryable").into()),
        }
    }
    loop {
        match store.kv()?.get("kept", "before").await {
            Ok(found) if found == Some(value(1)) => return Ok(()),
            Ok(_) => return Err("what was written before is gone".into()),
            Err(error) if error.is_retryable() => {}
            Err(error) => return Err(error.into()),
        }
    }
}
