//! Thousands of operations on a service whose answers fail at random: what was acknowledged is there, each change once,
//! and what could not be read is never taken for missing.
//!
//! `STORE_TEST_FAULT_OPERATIONS` says how many, by default 1,500; `STORE_TEST_SEED` chooses the failures.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod common;
mod faults;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use common::{Db, test};
use faults::Faults;
use serde_json::json;
use store_core::{
    Backend as _, Error, ErrorKind, JsonObject, KvStore, KvStoreExt as _, PutMode, PutOptions, Update,
};

const C: &str = "things";
const TASKS: usize = 4;
const KEYS: u64 = 40;

fn main() -> ExitCode {
    common::run([test("no_acknowledged_write_is_lost", no_acknowledged_write_is_lost)])
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// What a key may hold: one state when all is known, several after an error. `None` is absent.
type States = BTreeSet<Option<u64>>;

fn value(n: u64) -> JsonObject {
    JsonObject::from_iter([("n".to_owned(), json!(n)), ("half".to_owned(), json!(n as f64))])
}

fn number(value: Option<&JsonObject>) -> Option<u64> {
    value.map(|value| {
        assert_eq!(value["half"].as_f64(), value["n"].as_f64(), "half a value: {value:?}");
        value["n"].as_u64().unwrap()
    })
}

/// One writer of keys of its own.
struct Writer {
    kv: Arc<dyn KvStore>,
    random: fastrand::Rng,
    keys: BTreeMap<String, States>,
    failed: usize,
}

impl Writer {
    /// Some keys, all different.
    fn some(&mut self, most: usize) -> Vec<String> {
        let keys: Vec<&String> = self.keys.keys().collect();
        let count = self.random.usize(1..=most);
        self.random.choose_multiple(keys, count).into_iter().cloned().collect()
    }

    /// A change of these keys was acknowledged, or not; what `failed` does not name was made.
    fn changed(&mut self, after: &[(String, Option<u64>)], answer: Result<(), Error>) {
        let error = answer.err();
        self.failed += usize::from(error.is_some());
        for (key, new) in after {
            let states = self.keys.get_mut(key).unwrap();
            let unknown = error.as_ref().is_some_and(|error| error.failed().contains(key));
            if !unknown {
                states.clear();
            }
            states.insert(*new);
        }
    }

    fn read(&mut self, keys: &[String], found: &[Option<JsonObject>]) {
        for (key, found) in keys.iter().zip(found) {
            let states = self.keys.get_mut(key).unwrap();
            let found = number(found.as_ref());
            assert!(states.contains(&found), "{key} holds {found:?}, and should hold one of {states:?}");
            *states = States::from([found]);
        }
    }

    async fn step(&mut self, n: u64) {
        let kv = Arc::clone(&self.kv);
        match self.random.u32(0..10) {
            0..=2 => {
                let keys = self.some(30);
                let entries = keys.iter().map(|key| (key.clone(), value(n))).collect();
                let after: Vec<_> = keys.into_iter().map(|key| (key, Some(n))).collect();
                self.changed(&after, kv.put_many(C, entries, PutOptions::default()).await);
            }
            3 => {
                let keys = self.some(5);
                let entries = keys.iter().map(|key| (key.clone(), value(n))).collect();
                let insert = PutOptions::default().with_mode(PutMode::Insert);
                let answer = kv.put_many(C, entries, insert).await;
                let existing = match &answer {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => error.failed().to_vec(),
                    _ => Vec::new(),
                };
                for key in &existing {
                    // What is told to exist may, and stays.
                    let states = self.keys.get_mut(key).unwrap();
                    states.remove(&None);
                    assert!(!states.is_empty(), "{key} is told to exist, and does not");
                }
                let new = keys.into_iter().filter(|key| !existing.contains(key));
                let after: Vec<_> = new.map(|key| (key, Some(n))).collect();
                if let Err(error) = &answer
                    && error.kind() != ErrorKind::AlreadyExists
                {
                    self.changed(&after, answer);
                } else {
                    for (key, _) in &after {
                        let states = &self.keys[key];
                        assert!(states.contains(&None), "{key} was inserted over one of {states:?}");
                    }
                    self.changed(&after, Ok(()));
                }
            }
            4 | 5 => {
                let key = self.some(1).remove(0);
                let mut seen = None;
                let answer = kv.update(C, &key, |old| {
                    seen = Some(number(old));
                    Ok(Update::Put(value(number(old).unwrap_or(0) + 1)))
                });
                let answer = answer.await;
                if let Some(seen) = seen {
                    let states = self.keys.get_mut(&key).unwrap();
                    assert!(states.contains(&seen), "an update of {key} saw {seen:?}, not one of {states:?}");
                    *states = States::from([seen]);
                    let new = Some(seen.unwrap_or(0) + 1);
                    let failed = answer.map(|after| assert_eq!(number(after.as_ref()), new));
                    self.changed(&[(key, new)], failed);
                } else {
                    self.failed += usize::from(answer.is_err());
                }
            }
            6 => {
                let keys = self.some(5);
                let names: Vec<&str> = keys.iter().map(String::as_str).collect();
                let answer = kv.delete_many(C, &names).await;
                if let Ok(count) = answer {
                    let sure = keys.iter().filter(|key| !self.keys[*key].contains(&None)).count();
                    let maybe = keys.iter().filter(|key| self.keys[*key].iter().any(Option::is_some)).count();
                    assert!((sure..=maybe).contains(&count), "{count} deleted, of {sure} to {maybe}");
                }
                let after: Vec<_> = keys.into_iter().map(|key| (key, None)).collect();
                self.changed(&after, answer.map(drop));
            }
            _ => {
                let keys = self.some(30);
                let names: Vec<&str> = keys.iter().map(String::as_str).collect();
                match kv.get_many(C, &names).await {
                    Ok(found) => self.read(&keys, &found),
                    Err(_) => self.failed += 1,
                }
            }
        }
    }
}

async fn no_acknowledged_write_is_lost(db: Db) {
    let operations = setting("STORE_TEST_FAULT_OPERATIONS", 1_500);
    let seed = setting("STORE_TEST_SEED", 20_240_501);
    db.store.kv().unwrap().put(C, "first", value(0)).await.unwrap();
    let faults = Faults::default();
    let config = db.config.clone().with_operation_timeout(Duration::from_secs(20));
    let store = faults.store(db.client(), config);
    faults.spoil_at_random(80, seed);
    let tasks = (0..TASKS as u64).map(|task| {
        let keys = (0..KEYS).map(|key| (format!("{task}/{key}"), States::from([None])));
        let mut writer = Writer {
            kv: store.kv().unwrap(),
            random: fastrand::Rng::with_seed(seed + task),
            keys: keys.collect(),
            failed: 0,
        };
        tokio::spawn(async move {
            for n in 0..operations / TASKS as u64 {
                writer.step(n + 1_000).await;
            }
            writer
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let (mut failed, mut unknown) = (0, 0);
    let kv = db.store.kv().unwrap();
    for task in tasks {
        let mut writer = task.await.unwrap();
        let keys: Vec<String> = writer.keys.keys().cloned().collect();
        let names: Vec<&str> = keys.iter().map(String::as_str).collect();
        unknown += writer.keys.values().filter(|states| states.len() > 1).count();
        writer.read(&keys, &kv.get_many(C, &names).await.unwrap());
        failed += writer.failed;
    }
    println!("seed {seed}: {operations} operations, {failed} failed, {unknown} keys not known at the end");
    println!("answers spoiled: {:?}", faults.spoiled());
    assert!(failed as u64 * 4 < operations, "{failed} of {operations} failed: too few were acknowledged");
}
