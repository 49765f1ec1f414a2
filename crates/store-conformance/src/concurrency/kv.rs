//! Key-values under many writers.

use serde_json::{Value, json};
use store_core::{ErrorKind, JsonObject, KvStore, KvStoreExt, PutMode, PutOptions, ScanOptions, Update};

use super::{TASKS, each, handles};
use crate::case::{Need, cases};
use crate::check::{CaseResult, holds, refused, same, same_items};
use crate::data::{all, numbered, object};
use crate::harness::Env;
use crate::run::in_tasks;

cases! { "concurrency", Env:
    kv_counters_lose_nothing [Need::Kv],
    kv_counters_of_many_keys_lose_nothing [Need::Kv],
    kv_inserts_have_one_winner [Need::Kv],
    kv_swaps_have_one_winner [Need::Kv],
    kv_puts_are_never_torn [Need::Kv],
    kv_batches_lose_nothing [Need::Kv],
    kv_scans_give_steady_keys_once [Need::Kv],
}

const C: &str = "things";

fn count(value: Option<&JsonObject>) -> i64 {
    value.and_then(|value| value.get("n")).and_then(Value::as_i64).unwrap_or(0)
}

/// Eight tasks count the same key up, fifty times each: none is lost, and the other members stay.
async fn kv_counters_lose_nothing(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.kv()?, second.kv()?]);
    store(0).put(C, "counter", object(json!({"z": 1.0, "other": [1]}))).await?;
    in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            for _ in 0..50 {
                let add = |old: Option<&JsonObject>| {
                    let mut value = old.cloned().unwrap_or_default();
                    value.insert("n".to_owned(), (count(old) + 1).into());
                    Ok(Update::Put(value))
                };
                store.update(C, "counter", add).await?;
            }
            Ok(())
        }
    })
    .await?;
    let expected = object(json!({"z": 1.0, "other": [1], "n": 50 * TASKS}));
    same("the counter", &store(1).get(C, "counter").await?, &Some(expected))
}

/// The same over several keys in one call, in another order in each task; each key is atomic for itself.
async fn kv_counters_of_many_keys_lose_nothing(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.kv()?, second.kv()?]);
    in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            let mut keys = ["a", "b", "c", "d", "e"];
            keys.rotate_left(task % 5);
            for _ in 0..15 {
                let add = &mut |_: &str, old: Option<&JsonObject>| {
                    Ok(Update::Put(object(json!({"n": count(old) + 1}))))
                };
                let after = store.update_many(C, &keys, add).await?;
                holds(after.iter().all(|value| count(value.as_ref()) > 0), "an update answers no value")?;
            }
            Ok(())
        }
    })
    .await?;
    let found = store(0).get_many(C, &["a", "b", "c", "d", "e"]).await?;
    same("the counters", &found, &vec![Some(object(json!({"n": 15 * TASKS}))); 5])
}

/// Of eight inserts of one key, one wins; the others are told, and leave its value.
async fn kv_inserts_have_one_winner(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.kv()?, second.kv()?]);
    for round in 0..10 {
        let key = format!("key {round}");
        let won = in_tasks(TASKS, |task| {
            let (store, key) = (store(task), key.clone());
            async move {
                let insert = PutOptions::default().with_mode(PutMode::Insert);
                match store.put_many(C, vec![(key, numbered(task))], insert).await {
                    Ok(()) => Ok(Some(task)),
                    Err(error) => {
                        refused("a late insert", Err::<(), _>(error), &[ErrorKind::AlreadyExists])?;
                        Ok(None)
                    }
                }
            }
        })
        .await?;
        let winners: Vec<usize> = won.into_iter().flatten().collect();
        same(format!("winners of {key}"), &winners.len(), &1_usize)?;
        let expected = winners.first().map(|winner| numbered(*winner));
        same(&key, &store(1).get(C, &key).await?, &expected)?;
    }
    Ok(())
}

/// Of eight that want to swap the same old value, one succeeds.
async fn kv_swaps_have_one_winner(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.kv()?, second.kv()?]);
    store(0).put(C, "lock", object(json!({"n": 0}))).await?;
    let won = in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            let mut mine = false;
            let take = |old: Option<&JsonObject>| {
                mine = count(old) == 0;
                Ok(if mine { Update::Put(object(json!({"n": task + 1}))) } else { Update::Keep })
            };
            store.update(C, "lock", take).await?;
            Ok(mine)
        }
    })
    .await?;
    let winners: Vec<usize> = won.iter().enumerate().filter(|(_, won)| **won).map(|(task, _)| task).collect();
    same("winners", &winners.len(), &1_usize)?;
    let expected = winners.first().map(|winner| object(json!({"n": winner + 1})));
    same("the lock", &store(0).get(C, "lock").await?, &expected)
}

/// A reader sees one writer's whole value, never parts of two.
async fn kv_puts_are_never_torn(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.kv()?, second.kv()?]);
    let value = |task: usize, round: usize| {
        let mark = format!("{task}.{round}");
        object(json!({"a": mark, "list": vec![mark.clone(); 40], "z": mark, format!("only {task}"): mark}))
    };
    store(0).put(C, "k", value(9, 9)).await?;
    in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            for round in 0..25 {
                if task % 4 == 3 {
                    let Some(found) = store.get(C, "k").await? else { continue };
                    let marks: Vec<String> = found
                        .get("a")
                        .and_then(Value::as_str)
                        .unwrap_or("")
                        .split('.')
                        .map(str::to_owned)
                        .collect();
                    let mark =
                        |place: usize| marks.get(place).and_then(|mark| mark.parse().ok()).unwrap_or(0);
                    same("a value read between writes", &found, &value(mark(0), mark(1)))?;
                } else {
                    store.put(C, "k", value(task, round)).await?;
                }
            }
            Ok(())
        }
    })
    .await?;
    Ok(())
}

/// Batches of different keys, written at once, are all there; deletes at once count each key once in all.
async fn kv_batches_lose_nothing(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.kv()?, second.kv()?]);
    let entry = |task: usize, n: usize| (format!("{task}/{n:03}"), numbered(task * 1_000 + n));
    in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            for start in (0..200).step_by(50) {
                let entries = (start..start + 50).map(|n| entry(task, n)).collect();
                store.put_many(C, entries, PutOptions::default()).await?;
            }
            Ok(())
        }
    })
    .await?;
    let expected: Vec<_> = (0..TASKS).flat_map(|task| (0..200).map(move |n| entry(task, n))).collect();
    same_items("everything", &all(store(1).scan(C, ScanOptions::default())).await?, &expected)?;
    let deleted = in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            let keys: Vec<String> = (0..200).map(|n| entry(task, n).0).collect();
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            Ok(store.delete_many(C, &keys).await?)
        }
    })
    .await?;
    same("deleted by each", &deleted, &[200_usize; TASKS])?;
    same("left", &all(store(0).scan(C, ScanOptions::default())).await?, &[(); 0])
}

/// While others write and delete, every scan gives the keys that stay exactly once.
async fn kv_scans_give_steady_keys_once(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.kv()?, second.kv()?]);
    let steady = |n: usize| format!("k{n:03}");
    let entries = (0..200).map(|n| (steady(n), numbered(n))).collect();
    store(0).put_many(C, entries, PutOptions::default()).await?;
    in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            for round in 0..12 {
                if task < 3 {
                    let mut keys: Vec<String> = all(store.scan(C, ScanOptions::default()))
                        .await?
                        .into_iter()
                        .map(|(key, _)| key)
                        .collect();
                    keys.retain(|key| !key.contains('x'));
                    let expected: Vec<String> = (0..200).map(steady).collect();
                    same_items("the steady keys", &keys, &expected)?;
                } else {
                    let name = |n: usize| format!("k{:03}x{task}", n * 13 % 200);
                    let entries = (0..30).map(|n| (name(n + round), numbered(n))).collect();
                    store.put_many(C, entries, PutOptions::default()).await?;
                    let gone: Vec<String> = (0..30).map(|n| name(n + round)).collect();
                    let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
                    store.delete_many(C, &gone).await?;
                }
            }
            Ok(())
        }
    })
    .await?;
    Ok(())
}
