//! Many write and read while every kind of fault befalls them, by a seed that is printed. What was acknowledged is
//! there, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libtest_mimic::Failed;
use store_core::{Backend as _, JsonObject, PutOptions};
use store_dynamodb::DynamoDbBackend;

use crate::common::{Done, Test, block_on, soak, value};
use crate::proxy::{Proxy, random};
use crate::writers::Writers;
use crate::{namespace, open, server};

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("fault_of_every_kind_loses_and_doubles_nothing", lose_and_double_nothing),
    ("fault_of_every_kind_hides_nothing", hide_nothing),
];

const TIMEOUT: Duration = Duration::from_secs(10);
/// Of a hundred requests.
const FAULTS: u64 = 10;

/// That of `STORE_TEST_SEED`, or a new one; printed.
pub(crate) fn seed() -> Result<u64, Failed> {
    let seed = match std::env::var("STORE_TEST_SEED") {
        Ok(seed) => seed.parse()?,
        Err(_) => fastrand::u64(..),
    };
    println!("STORE_TEST_SEED={seed}");
    Ok(seed)
}

fn lose_and_double_nothing() -> Done {
    let total = if soak() { 20_000 } else { 1_000 };
    block_on(async {
        let proxy = Proxy::start(server()?).await?;
        let store = open(proxy.url(), &namespace(), TIMEOUT).await?;
        proxy.set(random(seed()?, FAULTS));
        let writers = Writers::start(store);
        writers.reach(total).await;
        let faults = proxy.to_string();
        proxy.heal();
        // All is well again, whatever went before.
        writers.go_on(50).await;
        let outcome = writers.stop().await?;
        outcome.nothing_lost().await?;
        outcome.tell(&format!("there were {faults}"));
        Ok(())
    })
}

/// Batches of keys, each written again and again by one and read by others.
const BATCH: u64 = 60;
const BATCHES: u64 = 4;

/// A key that was acknowledged is never told to be missing, nor an older value than was acknowledged before it was
/// asked for; of a batch that fails, what is not named is written.
fn hide_nothing() -> Done {
    let rounds = if soak() { 400 } else { 15 };
    block_on(async {
        let proxy = Proxy::start(server()?).await?;
        let namespace = namespace();
        let store = open(proxy.url(), &namespace, TIMEOUT).await?;
        let (stop, seed) = (Arc::new(AtomicBool::new(false)), seed()?);
        for batch in 0..BATCHES {
            store.kv()?.put_many("batches", entries(batch, 0), PutOptions::default()).await?;
        }
        proxy.set(random(seed, FAULTS * 2));
        let readers = [0, 1].map(|_| tokio::spawn(read(store.clone(), Arc::clone(&stop))));
        let writers: Vec<_> =
            (0..BATCHES).map(|batch| tokio::spawn(write(store.clone(), batch, rounds))).collect();
        for writer in writers {
            let ended = writer.await?;
            if ended.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            ended?;
        }
        stop.store(true, Ordering::Relaxed);
        let mut reads = 0;
        for reader in readers {
            reads += reader.await??;
        }
        println!("{} batches written and {reads} read while there were {proxy}", rounds * BATCHES);
        if reads == 0 { Err("nothing was ever read".into()) } else { Ok(()) }
    })
}

fn key(batch: u64, number: u64) -> String {
    format!("{batch} {number}")
}

fn entries(batch: u64, round: u64) -> Vec<(String, JsonObject)> {
    (0..BATCH).map(|number| (key(batch, number), value(round))).collect()
}

/// Writes a batch in rounds, and looks after each whether what must be there is.
async fn write(store: DynamoDbBackend, batch: u64, rounds: u64) -> Done {
    let kv = store.kv()?;
    // The oldest value that each key may have.
    let mut least = vec![0; usize::try_from(BATCH)?];
    for round in 1..=rounds {
        let failed = match kv.put_many("batches", entries(batch, round), PutOptions::default()).await {
            Ok(()) => Vec::new(),
            Err(error) if error.is_retryable() && !error.failed().is_empty() => error.failed().to_vec(),
            Err(error) => return Err(format!("round {round}: {error:?}").into()),
        };
        for (number, least) in (0..).zip(&mut least) {
            if !failed.contains(&key(batch, number)) {
                *least = round;
            }
        }
        let keys: Vec<String> = (0..BATCH).map(|number| key(batch, number)).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let found = match kv.get_many("batches", &keys).await {
            Ok(found) => found,
            Err(error) if error.is_retryable() => continue,
            Err(error) => return Err(error.into()),
        };
        for ((key, found), least) in keys.iter().zip(found).zip(&least) {
            let is = found.as_ref().and_then(|found| found.get("n")?.as_u64());
            if is.is_none_or(|is| is < *least || is > round) {
                return Err(
                    format!("{key} is {is:?} in round {round}, at least {least} was acknowledged").into()
                );
            }
        }
    }
    Ok(())
}

/// Reads all keys, which are all there.
async fn read(store: DynamoDbBackend, stop: Arc<AtomicBool>) -> Result<u64, Failed> {
    let keys: Vec<String> =
        (0..BATCHES).flat_map(|batch| (0..BATCH).map(move |number| key(batch, number))).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut reads = 0;
    while !stop.load(Ordering::Relaxed) {
        match store.kv()?.get_many("batches", &keys).await {
            Ok(found) => {
                if let Some((key, _)) = keys.iter().zip(&found).find(|(_, found)| found.is_none()) {
                    return Err(format!("{key} is told to be missing").into());
                }
                reads += 1;
            }
            Err(error) if error.is_retryable() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(reads)
}
