//! One kind of fault at a time: what the store makes of it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use libtest_mimic::Failed;
use store_core::{Backend as _, ErrorKind, JsonObject, KvStoreExt as _, PutMode, PutOptions, Update};
use store_dynamodb::DynamoDbBackend;

use crate::common::{Done, Test, block_on, expect, value};
use crate::proxy::{Code, Fault, Proxy, Request};
use crate::{namespace, open, server};

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("fault_ten_thousand_ids_in_a_hundred_requests", ten_thousand_ids),
    ("fault_batches_in_part_are_read_to_the_end", read_in_part),
    ("fault_batches_in_part_are_written_to_the_end", written_in_part),
    ("fault_throttled_reads_are_no_missing_keys", throttled_reads),
    ("fault_throttled_writes_are_told", throttled_writes),
    ("fault_lost_answers_are_no_failed_conditions", lost_answers),
    ("fault_transaction_conflicts_are_waited_out", conflicts),
];

/// As long as a call may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// As long as one may that is to fail.
const SHORT: Duration = Duration::from_secs(3);

/// A store through a proxy, and one past it.
pub(crate) struct Pair {
    pub(crate) proxy: Proxy,
    pub(crate) store: DynamoDbBackend,
    pub(crate) direct: DynamoDbBackend,
}

impl Pair {
    pub(crate) async fn start(timeout: Duration) -> Result<Self, Failed> {
        let proxy = Proxy::start(server()?).await?;
        let namespace = namespace();
        let store = open(proxy.url(), &namespace, timeout).await?;
        let direct = open(server()?, &namespace, TIMEOUT).await?;
        // Its table is there before the first fault.
        direct.kv()?.put("made", "first", value(0)).await?;
        store.kv()?.get("made", "first").await?;
        Ok(Self { proxy, store, direct })
    }
}

fn entries(count: u64) -> Vec<(String, JsonObject)> {
    (0..count).map(|number| (format!("key {number:05}"), value(number))).collect()
}

/// Whether these are found, each with its own value.
fn all_there(entries: &[(String, JsonObject)], found: &[Option<JsonObject>]) -> Done {
    if entries.len() != found.len() {
        return Err(format!("{} answers to {} keys", found.len(), entries.len()).into());
    }
    for ((key, value), found) in entries.iter().zip(found) {
        if found.as_ref() != Some(value) {
            return Err(format!("{key} is {found:?}").into());
        }
    }
    Ok(())
}

fn keys(entries: &[(String, JsonObject)]) -> Vec<&str> {
    entries.iter().map(|(key, _)| key.as_str()).collect()
}

/// Each in the request of a hundred keys; what the service leaves undone, in one more for each time.
fn ten_thousand_ids() -> Done {
    block_on(async {
        let pair = Pair::start(TIMEOUT).await?;
        let entries = entries(10_000);
        pair.direct.kv()?.put_many("many", entries.clone(), PutOptions::default()).await?;
        for percent in [0, 20] {
            pair.proxy.set(move |request| {
                let hit = request.number % 100 < percent && request.operation == "BatchGetItem";
                hit.then_some(Fault::Split(60))
            });
            let found = pair.store.kv()?.get_many("many", &keys(&entries)).await?;
            all_there(&entries, &found)?;
            let (requests, faults) = (pair.proxy.requests("BatchGetItem"), pair.proxy.faults());
            println!("10000 ids in {requests} requests, of which {faults} were done in part");
            if requests > 100 + faults || (percent > 0 && faults == 0) {
                return Err(format!("{requests} requests with {faults} faults").into());
            }
            if pair.proxy.requests("GetItem") + pair.proxy.requests("Query") > 0 {
                return Err("keys are read one by one".into());
            }
        }
        Ok(())
    })
}

fn every_batch_in_part(request: &Request) -> Option<Fault> {
    let batch = ["BatchGetItem", "BatchWriteItem"].contains(&request.operation.as_str());
    // A single key can not be done in part.
    (batch && request.number.is_multiple_of(2))
        .then_some(Fault::Split(1 + usize::try_from(request.number).ok()? % 9))
}

fn read_in_part() -> Done {
    block_on(async {
        let pair = Pair::start(TIMEOUT).await?;
        let entries = entries(250);
        pair.direct.kv()?.put_many("many", entries.clone(), PutOptions::default()).await?;
        pair.proxy.set(every_batch_in_part);
        let mut asked = keys(&entries);
        asked.push("nobody's");
        let mut found = pair.store.kv()?.get_many("many", &asked).await?;
        if found.pop() != Some(None) {
            return Err("a key that nobody wrote is found".into());
        }
        all_there(&entries, &found)?;
        if pair.proxy.faults() == 0 { Err("there was no fault".into()) } else { Ok(()) }
    })
}

fn written_in_part() -> Done {
    block_on(async {
        let pair = Pair::start(TIMEOUT).await?;
        let entries = entries(250);
        pair.proxy.set(every_batch_in_part);
        pair.store.kv()?.put_many("many", entries.clone(), PutOptions::default()).await?;
        all_there(&entries, &pair.direct.kv()?.get_many("many", &keys(&entries)).await?)?;
        let (gone, kept) = entries.split_at(125);
        let deleted = pair.store.kv()?.delete_many("many", &keys(gone)).await?;
        if deleted != gone.len() {
            return Err(format!("{deleted} of {} were deleted", gone.len()).into());
        }
        all_there(kept, &pair.direct.kv()?.get_many("many", &keys(kept)).await?)?;
        let left = pair.direct.kv()?.get_many("many", &keys(gone)).await?;
        if left.iter().any(Option::is_some) {
            return Err("what was deleted is there".into());
        }
        if pair.proxy.faults() == 0 { Err("there was no fault".into()) } else { Ok(()) }
    })
}

/// The service never comes to the end of it, or does not even begin.
fn throttled_reads() -> Done {
    block_on(async {
        let pair = Pair::start(SHORT).await?;
        let entries = entries(250);
        pair.direct.kv()?.put_many("many", entries.clone(), PutOptions::default()).await?;
        let (one, many) = (keys(entries.get(..1).unwrap_or_default()), keys(&entries));
        for fault in [Fault::Refuse(Code::Provisioned), Fault::Refuse(Code::Throttling)] {
            pair.proxy.set(move |_| Some(fault));
            for asked in [&one, &many] {
                let Err(error) = pair.store.kv()?.get_many("many", asked).await else {
                    return Err("a throttled read succeeds".into());
                };
                told(&error)?;
                some_of(error.failed(), asked)?;
            }
        }
        // The last key of each request is handed back for ever.
        pair.proxy.set(|request| (request.operation == "BatchGetItem").then_some(Fault::Split(40)));
        let Err(error) = pair.store.kv()?.get_many("many", &many).await else {
            return Err("a read of which a part is throttled succeeds".into());
        };
        told(&error)?;
        some_of(error.failed(), &many)?;
        if error.failed().is_empty() {
            return Err("no throttled key is named".into());
        }
        pair.proxy.heal();
        all_there(&entries, &pair.store.kv()?.get_many("many", &many).await?)
    })
}

fn told(error: &store_core::Error) -> Done {
    if !error.is_retryable() {
        return Err(format!("a retry would help: {error:?}").into());
    }
    expect(error, ErrorKind::Throttled, "slower")
}

fn some_of(failed: &[String], asked: &[&str]) -> Done {
    match failed.iter().find(|key| !asked.contains(&key.as_str())) {
        Some(strange) => Err(format!("nobody asked for {strange}").into()),
        None => Ok(()),
    }
}

/// What is not named as failed is written, with the new value; what is named may be.
fn throttled_writes() -> Done {
    block_on(async {
        let pair = Pair::start(SHORT).await?;
        let old = entries(250);
        let new: Vec<_> = old.iter().map(|(key, _)| (key.clone(), value(99_999))).collect();
        pair.direct.kv()?.put_many("many", old.clone(), PutOptions::default()).await?;
        pair.proxy.set(|request| (request.operation == "BatchWriteItem").then_some(Fault::Split(5)));
        let Err(error) = pair.store.kv()?.put_many("many", new.clone(), PutOptions::default()).await else {
            return Err("a write of which a part is throttled succeeds".into());
        };
        told(&error)?;
        some_of(error.failed(), &keys(&new))?;
        let failed: BTreeSet<&str> = error.failed().iter().map(String::as_str).collect();
        let found = pair.direct.kv()?.get_many("many", &keys(&new)).await?;
        let mut written = 0;
        for (((key, new), (_, old)), found) in new.iter().zip(&old).zip(found) {
            let is = |value: &JsonObject| found.as_ref() == Some(value);
            // The proxy leaves out what it hands back, so nothing here is of unknown outcome.
            if !(if failed.contains(key.as_str()) { is(old) } else { is(new) }) {
                return Err(format!("{key} is {found:?}, failed: {}", failed.contains(key.as_str())).into());
            }
            written += usize::from(is(new));
        }
        if written == 0 || failed.is_empty() {
            return Err(format!("{written} written, {} failed", failed.len()).into());
        }
        pair.proxy.heal();
        pair.store.kv()?.put_many("many", new.clone(), PutOptions::default()).await?;
        all_there(&new, &pair.direct.kv()?.get_many("many", &keys(&new)).await?)
    })
}

/// The driver sends it again, and the condition fails by the own write of the first time.
fn lost_answers() -> Done {
    block_on(async {
        let pair = Pair::start(TIMEOUT).await?;
        let kv = pair.store.kv()?;
        for fault in [Fault::DropAfter, Fault::ErrorAfter] {
            let collection = format!("{fault:?}");
            pair.proxy.set(the_first_time(fault));
            let insert = PutOptions::default().with_mode(PutMode::Insert);
            for number in 0..3 {
                kv.put_many(&collection, vec![(format!("{number}"), value(number))], insert).await?;
            }
            let many: Vec<_> = (3..30).map(|number| (format!("{number}"), value(number))).collect();
            kv.put_many(&collection, many, insert).await?;
            let Err(error) = kv.put_many(&collection, vec![("0".to_owned(), value(7))], insert).await else {
                return Err("a key is inserted twice".into());
            };
            if error.kind() != ErrorKind::AlreadyExists || error.failed() != ["0"] {
                return Err(format!("a key that is there is {error:?}").into());
            }
            for round in 1..=5 {
                let count = |old: Option<&JsonObject>| {
                    let old = old.and_then(|old| old.get("n")?.as_u64()).unwrap_or_default();
                    Ok(Update::Put(value(old + 1)))
                };
                let written = kv.update(&collection, "counter", count).await?;
                if written != Some(value(round)) {
                    return Err(format!("after {round} increments the counter is {written:?}").into());
                }
            }
            if !kv.delete(&collection, "1").await? {
                return Err("what was deleted is told to have been missing".into());
            }
            if pair.proxy.faults() == 0 {
                return Err("there was no fault".into());
            }
            pair.proxy.heal();
            let found = pair.direct.kv()?.get_many(&collection, &["0", "1", "29", "counter"]).await?;
            if found != [Some(value(0)), None, Some(value(29)), Some(value(5))] {
                return Err(format!("{found:?} is there").into());
            }
        }
        Ok(())
    })
}

/// A fault for each write that was not sent before; what is sent again comes through.
pub(crate) fn the_first_time(fault: Fault) -> impl Fn(&Request) -> Option<Fault> + Send + Sync {
    let seen = Mutex::new(BTreeSet::new());
    move |request| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        (writes(request) && seen.insert(request.body.to_string())).then_some(fault)
    }
}

fn writes(request: &Request) -> bool {
    ["PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"]
        .contains(&request.operation.as_str())
}

/// Three times each, then it is done.
fn conflicts() -> Done {
    block_on(async {
        let pair = Pair::start(TIMEOUT).await?;
        let kv = pair.store.kv()?;
        let left = std::sync::atomic::AtomicU32::new(12);
        pair.proxy.set(move |request| {
            use std::sync::atomic::Ordering::Relaxed;
            let hit =
                writes(request) && left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
            hit.then_some(Fault::Refuse(Code::Conflict))
        });
        let insert = PutOptions::default().with_mode(PutMode::Insert);
        for number in 0..4 {
            let entry = (format!("{number}"), value(number));
            kv.put_many("one", vec![entry], insert).await?;
            kv.update("one", "counter", |_| Ok(Update::Put(value(number)))).await?;
        }
        let found = kv.get_many("one", &["0", "3", "counter"]).await?;
        if found != [Some(value(0)), Some(value(3)), Some(value(3))] {
            return Err(format!("{found:?} is there").into());
        }
        if pair.proxy.faults() == 12 {
            Ok(())
        } else {
            Err(format!("{} faults of 12", pair.proxy.faults()).into())
        }
    })
}
