//! Calls that are dropped half-way: a unit is written whole or not at all.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use serde_json::{Value, json};
use store_core::{AddOptions, ChatMessage, DocStoreExt, GetOptions, KvStoreExt, Selector};

use crate::case::{Need, cases};
use crate::check::{CaseResult, Failure, holds, same};
use crate::data::{all, object};
use crate::harness::Env;
use crate::nodes::child;
use crate::vectors::{configure, put, vector};

cases! { "concurrency", Env:
    kv_cancelled_puts_leave_whole_values [Need::Kv],
    docs_cancelled_adds_are_made_good_by_repeating [Need::Docs],
    chat_cancelled_appends_leave_all_or_none [Need::Chat],
    chat_cancelled_replaces_leave_old_or_new [Need::Chat],
    vectors_cancelled_upserts_leave_whole_nodes [Need::Vectors],
}

/// Runs a call for a while and drops it: for up to nine turns of the scheduler, in odd rounds then for up to seven
/// milliseconds, so that some are met before, some within and some after their work.
async fn cut_short<T>(round: usize, call: impl Future<Output = T>) {
    let patience = async {
        for _ in 0..round % 10 {
            tokio::task::yield_now().await;
        }
        if round % 2 == 1 {
            tokio::time::sleep(Duration::from_millis(round as u64 / 2 % 8)).await;
        }
    };
    match select(pin!(call), pin!(patience)).await {
        Either::Left(_) | Either::Right(_) => {}
    }
}

/// A put that is dropped leaves the old value or the new one.
async fn kv_cancelled_puts_leave_whole_values(env: &Env) -> CaseResult {
    let store = env.kv()?;
    let value = |mark: usize| object(json!({"mark": mark, "list": vec![mark; 200], "end": mark}));
    store.put("c", "k", value(0)).await?;
    for round in 1..30 {
        cut_short(round, store.put("c", "k", value(round))).await;
        let found = store.get("c", "k").await?;
        let mark = found.as_ref().and_then(|value| value.get("mark")).and_then(Value::as_u64);
        let mark = mark.and_then(|mark| usize::try_from(mark).ok());
        let mark = mark.ok_or_else(|| Failure::new("the value is gone"))?;
        holds(mark <= round, "a value that nobody wrote")?;
        same(format!("round {round}"), &found, &Some(value(mark)))?;
    }
    Ok(())
}

/// An add that is dropped between node, hash and ref doc is made good by repeating it.
async fn docs_cancelled_adds_are_made_good_by_repeating(env: &Env) -> CaseResult {
    let store = env.docs()?;
    for round in 0..20 {
        let ids = [format!("{round}/a"), format!("{round}/b")];
        let nodes = || ids.iter().map(|id| child(id, &format!("doc {}", round % 3))).collect::<Vec<_>>();
        cut_short(round, store.add(nodes(), AddOptions::default())).await;
        store.add(nodes(), AddOptions::default()).await?;
        for node in nodes() {
            same(format!("node {}", node.id), &store.get(&node.id).await?, &Some(&node))?;
            same(format!("hash of {}", node.id), &store.hash(&node.id).await?, &Some(node.hash()))?;
        }
    }
    for doc in 0..3 {
        let listed = store.ref_doc(&format!("doc {doc}").into()).await?.unwrap_or_default().node_ids;
        let expected: Vec<String> =
            (0..20).filter(|n| n % 3 == doc).flat_map(|n| [format!("{n}/a"), format!("{n}/b")]).collect();
        crate::check::same_items(format!("the nodes of doc {doc}"), &listed, &expected)?;
    }
    same("nodes", &all(store.scan(None)).await?.len(), &40_usize)
}

/// An append that is dropped leaves all its messages or none, in order, and the next one follows.
async fn chat_cancelled_appends_leave_all_or_none(env: &Env) -> CaseResult {
    let store = env.chat()?;
    let batch = |round: usize| (0..7).map(|n| ChatMessage::user(format!("{round} {n}"))).collect::<Vec<_>>();
    for round in 0..30 {
        cut_short(round, store.append("k", batch(round))).await;
        if round % 5 == 4 {
            store.append("k", batch(100 + round)).await?;
        }
    }
    let history = store.messages("k", None).await?;
    let mut kept = 0;
    for whole in history.chunks(7) {
        let first = whole.first().and_then(ChatMessage::text).unwrap_or_default();
        let round = first.split(' ').next().and_then(|round| round.parse().ok());
        let round = round.ok_or_else(|| Failure::new(format!("{first:?} begins a batch")))?;
        same(format!("the batch of round {round}"), whole, &batch(round))?;
        kept += usize::from(round >= 100);
    }
    same("appends that were waited for", &kept, &6_usize)
}

/// A replacement that is dropped leaves the old history or the new one.
async fn chat_cancelled_replaces_leave_old_or_new(env: &Env) -> CaseResult {
    let store = env.chat()?;
    let history =
        |mark: usize| (0..=mark % 9).map(|n| ChatMessage::user(format!("{mark} {n}"))).collect::<Vec<_>>();
    store.replace("k", history(0)).await?;
    for round in 1..30 {
        cut_short(round, store.replace("k", history(round))).await;
        let found = store.messages("k", None).await?;
        let first = found.first().and_then(ChatMessage::text).unwrap_or_default();
        let mark = first.split(' ').next().and_then(|mark| mark.parse().ok());
        let mark = mark.ok_or_else(|| Failure::new(format!("round {round}: the history is gone")))?;
        same(format!("round {round}"), &found, &history(mark))?;
    }
    Ok(())
}

/// An upsert that is dropped leaves each node as it was or as it should be.
async fn vectors_cancelled_upserts_leave_whole_nodes(env: &Env) -> CaseResult {
    let store = env.vectors()?;
    configure(&*store, 2).await?;
    let node = |id: &str, mark: u16| vector(id, &[f32::from(mark) + 1.0, 1.0]).with_metadata("mark", mark);
    let nodes = |mark: u16| ["a", "b", "c"].map(|id| node(id, mark)).to_vec();
    put(&*store, nodes(0)).await?;
    for round in 1..30_u16 {
        cut_short(usize::from(round), put(&*store, nodes(round))).await;
        let found = store.get(&Selector::all(), GetOptions::default().with_embeddings(true)).await?.items;
        same(format!("nodes of round {round}"), &found.len(), &3_usize)?;
        for found in found {
            let mark =
                found.metadata.get("mark").and_then(Value::as_u64).and_then(|mark| u16::try_from(mark).ok());
            let mark = mark.ok_or_else(|| Failure::new("the mark is gone"))?;
            same(format!("{} of round {round}", found.id), &found, &node(found.id.as_str(), mark))?;
        }
    }
    Ok(())
}
