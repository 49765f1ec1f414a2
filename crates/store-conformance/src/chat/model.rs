//! Random chat histories against lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use store_core::{ChatMessage, ChatStore};

use super::texts;
use crate::case::{Need, cases};
use crate::check::{CaseResult, same};
use crate::data::all;
use crate::harness::Env;
use crate::model::histories;

cases! { "chat", Env:
    random_operations_match_a_list [Need::Chat],
}

const KEYS: [&str; 3] = ["k", "k/1", "😀"];

#[derive(Clone, Debug)]
enum Op {
    Append(Vec<u8>),
    Replace(Vec<u8>),
    Delete,
    RemoveAt(i64),
    InsertAt(i64, u8),
    Pop,
    Last(usize),
}

fn op() -> impl Strategy<Value = (usize, Op)> {
    let texts = || prop::collection::vec(any::<u8>(), 0..4);
    let index = || prop_oneof![9 => -6..7_i64, 1 => any::<i64>()];
    let op = prop_oneof![
        4 => texts().prop_map(Op::Append),
        1 => texts().prop_map(Op::Replace),
        1 => Just(Op::Delete),
        3 => index().prop_map(Op::RemoveAt),
        3 => (index(), any::<u8>()).prop_map(|(index, text)| Op::InsertAt(index, text)),
        2 => Just(Op::Pop),
        1 => (0..5_usize).prop_map(Op::Last),
    ];
    (0..KEYS.len(), op)
}

/// Random appends, replacements, removals and insertions, each compared with a list.
async fn random_operations_match_a_list(env: &Env) -> CaseResult {
    let store = env.chat()?;
    histories(
        &env.harness,
        || prop::collection::vec(op(), 1..25),
        move |number, ops| {
            let store = Arc::clone(&store);
            Box::pin(async move {
                let mut model: BTreeMap<String, Vec<String>> = BTreeMap::new();
                for (step, (key, op)) in ops.into_iter().enumerate() {
                    let key = format!("{number} {}", KEYS.get(key).copied().unwrap_or("k"));
                    let list = model.entry(key.clone()).or_default();
                    apply(&*store, &key, list, step, op).await?;
                    same(format!("{key} after step {step}"), &texts(&*store, &key).await?, &*list)?;
                }
                let mut keys = all(store.keys(None)).await?;
                keys.retain(|key| key.starts_with(&format!("{number} ")));
                let expected: Vec<&String> =
                    model.iter().filter(|(_, list)| !list.is_empty()).map(|(key, _)| key).collect();
                crate::check::same_items("keys at the end", &keys, &expected)?;
                for key in keys {
                    store.delete(&key).await?;
                }
                Ok(())
            })
        },
    )
    .await
}

fn said(texts: &[String]) -> Vec<ChatMessage> {
    texts.iter().map(ChatMessage::user).collect()
}

fn named(texts: Vec<u8>) -> Vec<String> {
    texts.into_iter().map(|text| format!("m{text}")).collect()
}

async fn apply(store: &dyn ChatStore, key: &str, list: &mut Vec<String>, step: usize, op: Op) -> CaseResult {
    match op {
        Op::Append(texts) => {
            let texts = named(texts);
            store.append(key, said(&texts)).await?;
            list.extend(texts);
        }
        Op::Replace(texts) => {
            *list = named(texts);
            store.replace(key, said(list)).await?;
        }
        Op::Delete => {
            same(format!("step {step}: delete"), &store.delete(key).await?, &!list.is_empty())?;
            list.clear();
        }
        Op::RemoveAt(index) => {
            let place = if index < 0 { index.saturating_add_unsigned(list.len() as u64) } else { index };
            let place = usize::try_from(place).ok().filter(|place| *place < list.len());
            let expected = place.map(|place| list.remove(place));
            let removed = store.remove_at(key, index).await?.and_then(|message| message.text());
            same(format!("step {step}: remove at {index}"), &removed, &expected)?;
        }
        Op::InsertAt(index, text) => {
            let text = format!("m{text}");
            store.insert_at(key, index, ChatMessage::user(text.as_str())).await?;
            let place = if index < 0 { index.saturating_add_unsigned(list.len() as u64) } else { index };
            let place = usize::try_from(place.max(0)).unwrap_or(usize::MAX).min(list.len());
            list.insert(place, text);
        }
        Op::Pop => {
            let popped = store.pop(key).await?.and_then(|message| message.text());
            same(format!("step {step}: pop"), &popped, &list.pop())?;
        }
        Op::Last(count) => {
            let found = store.messages(key, Some(count)).await?;
            let expected = list.get(list.len().saturating_sub(count)..).unwrap_or_default();
            same(format!("step {step}: the last {count}"), &found, &said(expected))?;
        }
    }
    Ok(())
}
