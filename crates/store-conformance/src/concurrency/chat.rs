//! Chats under many writers.

use std::collections::BTreeSet;

use store_core::{ChatMessage, ChatStore};

use super::{TASKS, each, handles};
use crate::case::{Need, cases};
use crate::check::{CaseResult, Failure, holds, same, same_items};
use crate::harness::Env;
use crate::run::in_tasks;

cases! { "concurrency", Env:
    chat_appends_lose_nothing [Need::Chat],
    chat_reads_during_appends_see_one_order [Need::Chat],
    chat_replace_is_atomic_for_readers [Need::Chat],
    chat_replaces_and_appends_end_whole [Need::Chat],
    chat_pops_take_each_message_once [Need::Chat],
    chat_removals_take_each_message_once [Need::Chat],
    chat_inserts_lose_nothing [Need::Chat],
    chat_histories_do_not_meet [Need::Chat],
    chat_keys_give_steady_histories_once [Need::Chat],
}

fn said(texts: impl IntoIterator<Item = String>) -> Vec<ChatMessage> {
    texts.into_iter().map(ChatMessage::user).collect()
}

async fn texts(store: &dyn ChatStore, key: &str) -> CaseResult<Vec<String>> {
    Ok(store.messages(key, None).await?.iter().map(|message| message.text().unwrap_or_default()).collect())
}

fn own(history: &[String], task: usize) -> Vec<&String> {
    let start = format!("{task}/");
    history.iter().filter(|text| text.starts_with(&start)).collect()
}

/// Eight tasks append, one and several messages at a time: nothing is lost or doubled, each task keeps its own
/// order, and every reader is given the same history.
async fn chat_appends_lose_nothing(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.chat()?, second.chat()?]);
    let text = |task: usize, n: usize| format!("{task}/{n:02}");
    in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            let mut n = 0;
            while n < 24 {
                let size = n % 3 + 1;
                store.append("k", said((n..n + size).map(|n| text(task, n)))).await?;
                n += size;
            }
            Ok(n)
        }
    })
    .await?;
    let history = texts(&*store(0), "k").await?;
    for task in 0..TASKS {
        let mine = own(&history, task);
        let expected: Vec<String> = (0..mine.len().max(24)).map(|n| text(task, n)).collect();
        same(format!("task {task}'s messages, in order"), &mine, &expected)?;
    }
    let different: BTreeSet<&String> = history.iter().collect();
    same("no message twice", &different.len(), &history.len())?;
    same("another reader", &texts(&*store(1), "k").await?, &history)
}

/// While others append, what a reader sees is the beginning of what there will be: an append goes to the end,
/// never before a message that was read already.
async fn chat_reads_during_appends_see_one_order(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.chat()?, second.chat()?]);
    let seen = in_tasks(TASKS, |task| {
        let store = store(task / 2);
        async move {
            let mut seen = Vec::new();
            for n in 0..20 {
                if task % 2 == 0 {
                    store.append("k", said([format!("{task}/{n}")])).await?;
                } else {
                    seen.push(texts(&*store, "k").await?);
                }
            }
            Ok(seen)
        }
    })
    .await?;
    let history = texts(&*store(0), "k").await?;
    same("messages", &history.len(), &(TASKS / 2 * 20))?;
    for seen in seen.into_iter().flatten() {
        let beginning = history.get(..seen.len()).unwrap_or_default();
        same("what was read, and the beginning of the whole", &seen, beginning)?;
    }
    Ok(())
}

/// A reader sees the old history or the new one, whole, never a mixture and never an empty one.
async fn chat_replace_is_atomic_for_readers(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.chat()?, second.chat()?]);
    // Generations of different lengths, longer than a page of most servers' scripts.
    let length = |generation: usize| 5 + generation * 17 % 60;
    let history =
        move |generation: usize| said((0..length(generation)).map(move |n| format!("{generation} {n}")));
    store(0).replace("k", history(0)).await?;
    in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            for round in 0..25 {
                if task < 2 {
                    store.replace("k", history(task + 2 * round)).await?;
                    continue;
                }
                let found = texts(&*store, "k").await?;
                let generation = found.first().and_then(|text| text.split(' ').next()).unwrap_or("none");
                let generation: usize = generation.parse().map_err(|_| {
                    Failure::new(format!("a reader saw {} messages, the first of {generation}", found.len()))
                })?;
                let expected: Vec<String> =
                    (0..length(generation)).map(|n| format!("{generation} {n}")).collect();
                same(format!("generation {generation} as read"), &found, &expected)?;
                let newest = store.messages("k", Some(2)).await?;
                same("the newest two", &newest.len(), &2_usize)?;
            }
            Ok(())
        }
    })
    .await?;
    Ok(())
}

/// Replacing while others append: the end is one replaced history, followed by appends only, each at most once.
async fn chat_replaces_and_appends_end_whole(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.chat()?, second.chat()?]);
    in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            for round in 0..15 {
                if task < 2 {
                    store.replace("k", said((0..4).map(|n| format!("new {task}.{round} {n}")))).await?;
                } else {
                    store.append("k", said([format!("{task}/{round:02}")])).await?;
                }
            }
            Ok(())
        }
    })
    .await?;
    let history = texts(&*store(0), "k").await?;
    let replaced = history.iter().take_while(|text| text.starts_with("new")).count();
    same("messages of the last replacement", &replaced, &4_usize)?;
    let marks: BTreeSet<&str> =
        history.iter().take(4).map(|text| text.rsplit_once(' ').map_or("", |(mark, _)| mark)).collect();
    same("replacements they are of", &marks.len(), &1_usize)?;
    let rest = history.get(4..).unwrap_or_default();
    let different: BTreeSet<&String> = rest.iter().collect();
    same("no append twice", &different.len(), &rest.len())?;
    for task in 2..TASKS {
        let mine = own(rest, task);
        let mut sorted = mine.clone();
        sorted.sort();
        same(format!("task {task}'s order"), &mine, &sorted)?;
    }
    holds(!rest.iter().any(|text| text.starts_with("new")), "a part of another replacement is left")
}

/// Of many pops each message goes to one, and all go.
async fn chat_pops_take_each_message_once(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.chat()?, second.chat()?]);
    let all: Vec<String> = (0..60).map(|n| format!("m{n}")).collect();
    store(0).append("k", said(all.clone())).await?;
    let taken = in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            let mut taken = Vec::new();
            while let Some(message) = store.pop("k").await? {
                taken.push(message.text().unwrap_or_default());
            }
            Ok(taken)
        }
    })
    .await?;
    same_items("what was popped", &taken.concat(), &all)?;
    same("left", &texts(&*store(1), "k").await?, &[(); 0])
}

/// Of many removals from the front each message goes to one, and all go.
async fn chat_removals_take_each_message_once(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.chat()?, second.chat()?]);
    let all: Vec<String> = (0..48).map(|n| format!("m{n}")).collect();
    store(0).append("k", said(all.clone())).await?;
    let taken = in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            let mut taken = Vec::new();
            while let Some(message) = store.remove_at("k", 0).await? {
                taken.push(message.text().unwrap_or_default());
            }
            Ok(taken)
        }
    })
    .await?;
    same_items("what was removed", &taken.concat(), &all)?;
    same("left", &texts(&*store(1), "k").await?, &[(); 0])
}

/// Inserts in the middle, at the front and appends, all at once: nothing is lost or doubled, what was there keeps
/// its order.
async fn chat_inserts_lose_nothing(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.chat()?, second.chat()?]);
    let steady: Vec<String> = (0..6).map(|n| format!("steady {n}")).collect();
    store(0).append("k", said(steady.clone())).await?;
    in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            for round in 0..10 {
                let message = ChatMessage::user(format!("{task}/{round}"));
                match task % 4 {
                    0 => store.insert_at("k", 0, message).await?,
                    1 => store.insert_at("k", 3, message).await?,
                    2 => store.insert_at("k", -2, message).await?,
                    _ => store.append("k", vec![message]).await?,
                }
            }
            Ok(())
        }
    })
    .await?;
    let history = texts(&*store(1), "k").await?;
    let kept: Vec<&String> = history.iter().filter(|text| text.starts_with("steady")).collect();
    same("what was there, in order", &kept, &steady)?;
    let mut expected = steady;
    expected.extend((0..TASKS).flat_map(|task| (0..10).map(move |round| format!("{task}/{round}"))));
    same_items("everything", &history, &expected)
}

/// Eight histories written at once keep to themselves.
async fn chat_histories_do_not_meet(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.chat()?, second.chat()?]);
    in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            let key = format!("k{task}");
            for round in 0..10 {
                store.append(&key, said([format!("{task}/{round}"), "gone".to_owned()])).await?;
                store.pop(&key).await?;
            }
            Ok(())
        }
    })
    .await?;
    for task in 0..TASKS {
        let expected: Vec<String> = (0..10).map(|round| format!("{task}/{round}")).collect();
        same(format!("k{task}"), &texts(&*store(task), &format!("k{task}")).await?, &expected)?;
    }
    Ok(())
}

/// While other histories come and go, every listing gives those that stay exactly once.
async fn chat_keys_give_steady_histories_once(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.chat()?, second.chat()?]);
    let steady: Vec<String> = (0..40).map(|n| format!("k{n:02}")).collect();
    for key in &steady {
        store(0).append(key, said(["a".to_owned()])).await?;
    }
    in_tasks(TASKS, |task| {
        let (store, steady) = (store(task), steady.clone());
        async move {
            for round in 0..10 {
                if task >= 3 {
                    let key = format!("k{:02}x{task}", round * 7 % 40);
                    store.append(&key, said(["b".to_owned()])).await?;
                    store
                        .append(steady.get(round).map_or("k00", String::as_str), said(["c".to_owned()]))
                        .await?;
                    store.delete(&key).await?;
                    continue;
                }
                let mut keys = crate::data::all(store.keys(None)).await?;
                keys.retain(|key| !key.contains('x'));
                same_items("the steady keys", &keys, &steady)?;
            }
            Ok(())
        }
    })
    .await?;
    Ok(())
}
