//! Whoever listens goes on listening when the server is killed, and is told that it may have missed something.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::TryStreamExt as _;
use nodestore_integration_tests::redis::{Layout, Options, Servers};
use store_redis::{PubSubEvent, RedisBackend, RedisPubSub};

use crate::common::{Done, Test, block_on};
use crate::failover::master;
use crate::open;

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("fault_subscriber_goes_on_after_a_kill_and_a_restart", killed_server),
    ("fault_subscriber_goes_on_after_a_sentinel_failover", sentinel_failover),
];

const TIMEOUT: Duration = Duration::from_secs(10);
const CHANNEL: &str = "numbers";
/// Messages that come before the kill and after it.
const ENOUGH: u32 = 50;

fn killed_server() -> Done {
    let servers = Servers::start(Options { persist: true, ..Options::default() })?;
    let [port] = *servers.ports() else { return Err("one server was asked for".into()) };
    goes_on(&servers, || {
        servers.kill(port)?;
        Ok(servers.restart(port)?)
    })
}

fn sentinel_failover() -> Done {
    let servers = Servers::start(Options { layout: Layout::Sentinel, ..Options::default() })?;
    goes_on(&servers, || Ok(servers.kill(master(&servers)?)?))
}

fn goes_on(servers: &Servers, kill: impl FnOnce() -> Done) -> Done {
    block_on(async {
        let listener: RedisPubSub<u64> = RedisPubSub::new(&open(servers.url()?, TIMEOUT).await?);
        let mut events = listener.subscribe([CHANNEL]).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let publisher = tokio::spawn(publish(open(servers.url()?, TIMEOUT).await?, Arc::clone(&stop)));
        let (mut last, mut heard, mut interrupted, mut kill) = (0, 0, false, Some(kill));
        while heard < ENOUGH || !interrupted {
            match events.try_next().await?.ok_or("the subscription ends")? {
                PubSubEvent::Message { value, .. } if value > last => {
                    last = value;
                    heard += 1;
                }
                PubSubEvent::Message { value, .. } => {
                    return Err(format!("{value} comes after {last}").into());
                }
                PubSubEvent::Interrupted if kill.is_none() => {
                    (interrupted, heard) = (true, 0);
                }
                PubSubEvent::Missed(_) if kill.is_none() => {}
                other => return Err(format!("{other:?}, and nobody did anything").into()),
            }
            if heard == ENOUGH
                && let Some(kill) = kill.take()
            {
                tokio::task::block_in_place(kill)?;
            }
        }
        stop.store(true, Ordering::Relaxed);
        publisher.await?
    })
}

/// One number after the other, and none twice.
async fn publish(store: RedisBackend, stop: Arc<AtomicBool>) -> Done {
    let numbers: RedisPubSub<u64> = RedisPubSub::new(&store);
    for number in 1.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        match numbers.publish(CHANNEL, &number).await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(error) if error.is_retryable() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
