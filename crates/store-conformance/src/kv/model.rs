//! Random key-value histories against a map.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use store_core::{ErrorKind, JsonObject, KvStore, PutMode, PutOptions, ScanOptions, Update};

use crate::case::{Need, cases};
use crate::check::{CaseResult, failed_exactly, refused, same, same_items};
use crate::data::{all, object};
use crate::harness::Env;
use crate::model::histories;

cases! { "kv", Env:
    random_operations_match_a_map [Need::Kv],
}

// A few keys that meet often, all awkward.
const KEYS: [&str; 8] = ["a", "ab", "A", "é", "e\u{301}", "a/b", "\0", "😀"];

#[derive(Clone, Debug)]
enum Op {
    Put(Vec<(usize, Value)>),
    Insert(BTreeMap<usize, Value>),
    Delete(Vec<usize>),
    Update(BTreeMap<usize, Update>),
    Get(Vec<usize>),
    ScanPrefix(usize),
    ScanAfter(usize),
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-c.$é]{0,2}", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
    .prop_map(|value| json!({"z": 1.0, "v": value, "a": 1}))
}

fn update() -> impl Strategy<Value = Update> {
    prop_oneof![
        2 => value().prop_map(|value| Update::Put(object(value))),
        1 => Just(Update::Delete),
        1 => Just(Update::Keep),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..KEYS.len();
    prop_oneof![
        3 => prop::collection::vec((key.clone(), value()), 1..5).prop_map(Op::Put),
        2 => prop::collection::btree_map(key.clone(), value(), 1..5).prop_map(Op::Insert),
        2 => prop::collection::vec(key.clone(), 1..5).prop_map(Op::Delete),
        2 => prop::collection::btree_map(key.clone(), update(), 1..4).prop_map(Op::Update),
        1 => prop::collection::vec(key.clone(), 1..6).prop_map(Op::Get),
        1 => key.clone().prop_map(Op::ScanPrefix),
        1 => key.prop_map(Op::ScanAfter),
    ]
}

/// Random puts, inserts, deletes, updates, reads and scans, each compared with a map.
async fn random_operations_match_a_map(env: &Env) -> CaseResult {
    let store = env.kv()?;
    histories(
        &env.harness,
        || prop::collection::vec(op(), 1..25),
        move |number, ops| {
            let store = std::sync::Arc::clone(&store);
            Box::pin(async move {
                let collection = format!("model {number}");
                let mut model = BTreeMap::new();
                for (step, op) in ops.into_iter().enumerate() {
                    apply(&*store, &collection, &mut model, step, op).await?;
                }
                let found = all(store.scan(&collection, ScanOptions::default())).await?;
                same_items("the scan at the end", &found, &model.clone().into_iter().collect::<Vec<_>>())
            })
        },
    )
    .await
}

fn key(number: usize) -> String {
    KEYS.get(number).copied().unwrap_or("a").to_owned()
}

type Model = BTreeMap<String, JsonObject>;

async fn apply(store: &dyn KvStore, c: &str, model: &mut Model, step: usize, op: Op) -> CaseResult {
    let options = PutOptions::default();
    match op {
        Op::Put(entries) => {
            let entries: Vec<_> = entries.into_iter().map(|(k, value)| (key(k), object(value))).collect();
            model.extend(entries.iter().cloned());
            store.put_many(c, entries, options).await?;
        }
        Op::Insert(entries) => {
            let entries: Vec<_> = entries.into_iter().map(|(k, value)| (key(k), object(value))).collect();
            let taken: Vec<String> =
                entries.iter().map(|(key, _)| key.clone()).filter(|key| model.contains_key(key)).collect();
            for (key, value) in &entries {
                model.entry(key.clone()).or_insert_with(|| value.clone());
            }
            let result = store.put_many(c, entries, options.with_mode(PutMode::Insert)).await;
            if taken.is_empty() {
                result?;
            } else {
                let error = refused(format!("step {step}: insert"), result, &[ErrorKind::AlreadyExists])?;
                failed_exactly(&error, &taken.iter().map(String::as_str).collect::<Vec<_>>())?;
            }
        }
        Op::Delete(keys) => {
            let keys: Vec<String> = keys.into_iter().map(key).collect();
            let expected = keys.iter().filter(|key| model.remove(*key).is_some()).count();
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            same(format!("step {step}: delete"), &store.delete_many(c, &keys).await?, &expected)?;
        }
        Op::Update(changes) => {
            let changes: BTreeMap<String, _> =
                changes.into_iter().map(|(k, change)| (key(k), change)).collect();
            let keys: Vec<&str> = changes.keys().map(String::as_str).collect();
            let after = store
                .update_many(c, &keys, &mut |key, _| Ok(changes.get(key).cloned().unwrap_or(Update::Keep)))
                .await?;
            for (key, change) in &changes {
                match change {
                    Update::Put(value) => drop(model.insert(key.clone(), value.clone())),
                    Update::Delete => drop(model.remove(key)),
                    Update::Keep => {}
                }
            }
            let expected: Vec<_> = changes.keys().map(|key| model.get(key).cloned()).collect();
            same(format!("step {step}: update"), &after, &expected)?;
        }
        Op::Get(keys) => {
            let keys: Vec<String> = keys.into_iter().map(key).collect();
            let expected: Vec<_> = keys.iter().map(|key| model.get(key).cloned()).collect();
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            same(format!("step {step}: get"), &store.get_many(c, &keys).await?, &expected)?;
        }
        Op::ScanPrefix(prefix) => {
            let prefix = key(prefix);
            let found = all(store.scan(c, ScanOptions::default().with_prefix(prefix.as_str()))).await?;
            let expected: Vec<_> =
                model.clone().into_iter().filter(|(key, _)| key.starts_with(&prefix)).collect();
            same_items(format!("step {step}: scan of prefix {prefix:?}"), &found, &expected)?;
        }
        Op::ScanAfter(after) => {
            let after = key(after);
            let order = all(store.scan(c, ScanOptions::default())).await?;
            let found = all(store.scan(c, ScanOptions::default().with_after(after.as_str()))).await?;
            let tail = order.get(order.len() - found.len().min(order.len())..).unwrap_or_default();
            same(format!("step {step}: scan after {after:?}, the end of the whole"), &found, tail)?;
            if let Some(place) = order.iter().position(|(key, _)| *key == after) {
                same(
                    format!("step {step}: entries behind {after:?}"),
                    &found.len(),
                    &(order.len() - place - 1),
                )?;
            }
        }
    }
    Ok(())
}
