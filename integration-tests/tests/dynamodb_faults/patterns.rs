//! Locks, counters and records of requests while faults of every kind befall those who use them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libtest_mimic::Failed;
use store_dynamodb::{
    Begun, CounterConfig, DynamoDbBackend, DynamoDbCounter, DynamoDbIdempotency, DynamoDbLock,
    IdempotencyConfig, LockConfig,
};

use crate::common::{Done, Test, block_on, soak};
use crate::proxied::Pair;
use crate::proxy::random;
use crate::random::seed;

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("fault_of_every_kind_keeps_counters_right", counters),
    ("fault_of_every_kind_leaves_one_holder", one_holder),
    ("fault_of_every_kind_lets_a_request_begin_once", begun_once),
];

const TIMEOUT: Duration = Duration::from_secs(10);
const WORKERS: i64 = 4;
/// Of a hundred requests.
const FAULTS: u64 = 15;

/// What has a key counts once, however often it is asked for; what has none counts if it was acknowledged.
fn counters() -> Done {
    let each = if soak() { 800 } else { 30 };
    block_on(async {
        let pair = Pair::start(TIMEOUT).await?;
        pair.proxy.set(random(seed()?, FAULTS));
        let workers: Vec<_> =
            (0..WORKERS).map(|worker| tokio::spawn(count(pair.store.clone(), worker, each))).collect();
        let (mut acknowledged, mut unknown) = (0, 0);
        for worker in workers {
            let (its, maybe) = worker.await??;
            (acknowledged, unknown) = (acknowledged + its, unknown + maybe);
        }
        let counter = |name| DynamoDbCounter::new(&pair.direct, name, CounterConfig::default());
        let (once, any) = (counter("once")?.get().await?, counter("any")?.get().await?);
        println!(
            "{any} for {acknowledged} acknowledged and {unknown} unknown, while there were {}",
            pair.proxy
        );
        if once != WORKERS * each {
            return Err(format!("{} additions with keys are counted to {once}", WORKERS * each).into());
        }
        if any < acknowledged || any > acknowledged + unknown {
            return Err(format!(
                "{acknowledged} to {} additions are counted to {any}",
                acknowledged + unknown
            )
            .into());
        }
        Ok(())
    })
}

/// Answers how many additions without a key were acknowledged, and of how many that is not known.
async fn count(store: DynamoDbBackend, worker: i64, times: i64) -> Result<(i64, i64), Failed> {
    let once = DynamoDbCounter::new(&store, "once", CounterConfig::default())?;
    let any = DynamoDbCounter::new(&store, "any", CounterConfig::default())?;
    let (mut acknowledged, mut unknown) = (0, 0);
    for time in 0..times {
        let key = format!("{worker} {time}");
        while let Err(error) = once.add_once(&key, 1).await {
            if !error.is_retryable() {
                return Err(error.into());
            }
        }
        if once.add_once(&key, 1).await.is_ok_and(|counted| counted) {
            return Err(format!("{key} counts a second time").into());
        }
        match any.add(1).await {
            Ok(_) => acknowledged += 1,
            Err(error) if error.is_retryable() => unknown += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok((acknowledged, unknown))
}

/// No two hold it at the same time, and each holder's number is greater than that of all before.
fn one_holder() -> Done {
    let total = if soak() { 1_500 } else { 60 };
    block_on(async {
        let pair = Pair::start(TIMEOUT).await?;
        pair.proxy.set(random(seed()?, FAULTS));
        let seen = Arc::new(Seen::default());
        let holders: Vec<_> =
            (0..WORKERS).map(|_| tokio::spawn(hold(pair.store.clone(), Arc::clone(&seen), total))).collect();
        for holder in holders {
            holder.await??;
        }
        println!("{total} holders, each with a number of its own, while there were {}", pair.proxy);
        Ok(())
    })
}

#[derive(Debug, Default)]
struct Seen {
    fences: Mutex<BTreeSet<u64>>,
    inside: AtomicI64,
    held: AtomicUsize,
}

async fn hold(store: DynamoDbBackend, seen: Arc<Seen>, total: usize) -> Done {
    // Longer than any answer may take here, so that no lease ends while its holder is at work.
    let config = LockConfig::default().with_lease(Duration::from_secs(20));
    let lock = DynamoDbLock::new(&store, "one", config)?;
    while seen.held.load(Ordering::Relaxed) < total {
        let guard = match lock.acquire(TIMEOUT * 3).await {
            Ok(guard) => guard,
            Err(error) if error.is_retryable() => continue,
            Err(error) => return Err(error.into()),
        };
        if seen.inside.fetch_add(1, Ordering::AcqRel) != 0 && !guard.is_lost() {
            return Err("two hold it".into());
        }
        let fence = guard.fence();
        {
            let mut fences = seen.fences.lock().unwrap_or_else(PoisonError::into_inner);
            if fences.last().is_some_and(|last| *last >= fence) {
                return Err(format!("a holder with {fence} after one with {:?}", fences.last()).into());
            }
            fences.insert(fence);
        }
        tokio::task::yield_now().await;
        seen.inside.fetch_sub(1, Ordering::AcqRel);
        seen.held.fetch_add(1, Ordering::Relaxed);
        match guard.release().await {
            // It may have been lost meanwhile.
            Ok(_) => {}
            Err(error) if error.is_retryable() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Of all who come with a key one begins, and whoever is given an answer is given that one's.
fn begun_once() -> Done {
    let keys = if soak() { 800 } else { 40 };
    block_on(async {
        let pair = Pair::start(TIMEOUT).await?;
        pair.proxy.set(random(seed()?, FAULTS));
        let begun = Arc::new(Mutex::new(BTreeSet::new()));
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| tokio::spawn(begin(pair.store.clone(), worker, keys, Arc::clone(&begun))))
            .collect();
        let mut given = 0;
        for worker in workers {
            given += worker.await??;
        }
        let begun = begun.lock().unwrap_or_else(PoisonError::into_inner).len();
        println!("{begun} of {keys} begun, {given} answers given, while there were {}", pair.proxy);
        if begun == 0 || given == 0 { Err("nothing was begun and answered".into()) } else { Ok(()) }
    })
}

/// Answers how often it was given an answer that was left.
async fn begin(
    store: DynamoDbBackend,
    worker: i64,
    keys: u64,
    begun: Arc<Mutex<BTreeSet<String>>>,
) -> Result<u64, Failed> {
    let config = IdempotencyConfig::default().with_lease(Duration::from_hours(1));
    let records: DynamoDbIdempotency<String> = DynamoDbIdempotency::new(&store, "work", config)?;
    let mut given = 0;
    for number in 0..keys {
        let key = format!("request {number}");
        // The others may be at work on it, or one may have begun whose answer was lost to it.
        for _ in 0..3 {
            match records.begin(&key).await {
                Ok(Begun::New(claim)) => {
                    if !begun.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone()) {
                        return Err(format!("{key} begins a second time").into());
                    }
                    while let Err(error) = claim.complete(&format!("{key} by {worker}")).await {
                        if !error.is_retryable() || error.kind() == store_core::ErrorKind::Conflict {
                            return Err(error.into());
                        }
                    }
                }
                Ok(Begun::Done(answer)) => {
                    if !answer.starts_with(&format!("{key} by ")) {
                        return Err(format!("{key} is answered by {answer:?}").into());
                    }
                    given += 1;
                    break;
                }
                Ok(Begun::Running(_)) => {}
                Err(error) if error.is_retryable() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(given)
}
