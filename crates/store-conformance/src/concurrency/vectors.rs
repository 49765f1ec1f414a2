//! Vectors under many writers.

use serde_json::json;
use store_core::{GetOptions, MetadataPatch, Selector, VectorQuery, VectorStore};

use super::{TASKS, each, handles};
use crate::case::{Need, cases};
use crate::check::{CaseResult, Failure, holds, same, same_items};
use crate::harness::Env;
use crate::nodes::ids_of;
use crate::run::in_tasks;
use crate::vectors::{configure, is_ranking, put, vector};

cases! { "concurrency", Env:
    vectors_configure_once_for_all [Need::Vectors],
    vectors_upserts_lose_nothing [Need::Vectors],
    vectors_updates_of_one_node_lose_nothing [Need::Vectors],
    vectors_upserts_are_never_torn [Need::Vectors],
    vectors_pages_give_steady_nodes_once [Need::Vectors],
}

/// Eight tasks configure alike at the same time: all succeed, and one configuration stands.
async fn vectors_configure_once_for_all(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.vectors()?, second.vectors()?]);
    in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            configure(&*store, 2).await?;
            put(&*store, vec![vector(&format!("n{task}"), &[1.0, 0.0])]).await
        }
    })
    .await?;
    same("nodes", &store(1).count(&Selector::all()).await?, &TASKS)
}

/// Eight tasks write different nodes: all are there, found and searched.
async fn vectors_upserts_lose_nothing(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.vectors()?, second.vectors()?]);
    let metric = configure(&*store(0), 3).await?;
    let node = |task: usize, n: usize| {
        let mut random = crate::data::Random((task * 1_000 + n) as u64);
        vector(&format!("{task}/{n:02}"), &random.embedding(3))
    };
    in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            for start in (0..40).step_by(8) {
                put(&*store, (start..start + 8).map(|n| node(task, n)).collect()).await?;
                let found = store.query_many(&[VectorQuery::dense(vec![1.0, 0.0, 0.0], 3)]).await?;
                holds(
                    found.first().is_some_and(|found| found.len() == 3),
                    "a query during the writes finds too few",
                )?;
            }
            Ok(())
        }
    })
    .await?;
    let nodes: Vec<_> = (0..TASKS).flat_map(|task| (0..40).map(move |n| node(task, n))).collect();
    let page = store(1).get(&Selector::all(), GetOptions::default().with_embeddings(true)).await?;
    same_items("all nodes", &page.items, &nodes)?;
    let query = [0.3, -0.5, 1.0];
    let found = store(0).query_many(&[VectorQuery::dense(query.to_vec(), 25)]).await?.concat();
    is_ranking("the nearest", metric, &query, &nodes, 25, &found)
}

/// Eight tasks set a key of their own on the same nodes: each update is atomic for each node, none undoes another.
async fn vectors_updates_of_one_node_lose_nothing(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.vectors()?, second.vectors()?]);
    configure(&*store(0), 2).await?;
    put(&*store(0), ["a", "b", "c"].map(|id| vector(id, &[1.0, 0.0]).with_metadata("stays", 1.0)).to_vec())
        .await?;
    in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            for round in 0..10 {
                let patch = MetadataPatch::new()
                    .with_set(format!("task {task}"), round)
                    .with_set(format!("{task} {round}"), true)
                    .with_unset(format!("{task} {}", round - 1));
                same("updated", &store.update(&Selector::ids(["a", "b", "c"]), &patch).await?, &3_usize)?;
            }
            Ok(())
        }
    })
    .await?;
    for node in store(1).get(&Selector::all(), GetOptions::default()).await?.items {
        let found: Vec<(String, serde_json::Value)> = node.metadata.into_iter().collect();
        let mut expected = vec![("stays".to_owned(), json!(1.0))];
        for task in 0..TASKS {
            expected.extend([(format!("task {task}"), json!(9)), (format!("{task} 9"), json!(true))]);
        }
        same_items(format!("metadata of {}", node.id), &found, &expected)?;
    }
    Ok(())
}

/// A reader sees one writer's whole node: text, metadata, embedding and source of the same write.
async fn vectors_upserts_are_never_torn(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.vectors()?, second.vectors()?]);
    configure(&*store(0), 2).await?;
    let node = |mark: u16| {
        let mut node = vector("k", &[f32::from(mark), 1.0])
            .with_metadata("mark", mark)
            .with_source(format!("doc {mark}"));
        node.set_text(format!("text {mark}"));
        node
    };
    put(&*store(0), vec![node(1)]).await?;
    in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            let marks = (0..25_u16).map(|round| round * 8 + u16::try_from(task).unwrap_or_default() + 1);
            for mark in marks {
                if task % 2 == 0 {
                    put(&*store, vec![node(mark)]).await?;
                    continue;
                }
                let page = store.get(&Selector::all(), GetOptions::default().with_embeddings(true)).await?;
                same("nodes", &page.items.len(), &1_usize)?;
                for found in page.items {
                    let mark = found.metadata.get("mark").and_then(serde_json::Value::as_u64);
                    let mark = mark.and_then(|mark| u16::try_from(mark).ok());
                    let mark = mark.ok_or_else(|| Failure::new("the mark is gone"))?;
                    same("a node read between writes", &found, &node(mark))?;
                }
            }
            Ok(())
        }
    })
    .await?;
    Ok(())
}

/// While others write and delete, the pages of a `get` give the nodes that stay exactly once.
async fn vectors_pages_give_steady_nodes_once(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.vectors()?, second.vectors()?]);
    configure(&*store(0), 2).await?;
    let steady: Vec<String> = (0..60).map(|n| format!("n{n:02}")).collect();
    put(&*store(0), steady.iter().map(|id| vector(id, &[1.0, 0.5])).collect()).await?;
    in_tasks(TASKS, |task| {
        let (store, steady) = (store(task), steady.clone());
        async move {
            for round in 0..8 {
                if task >= 3 {
                    let ids =
                        (0..6).map(|n| format!("n{:02}x{task}", (n * 11 + round) % 60)).collect::<Vec<_>>();
                    put(&*store, ids.iter().map(|id| vector(id, &[0.0, 1.0])).collect()).await?;
                    store.delete(&Selector::ids(ids)).await?;
                    continue;
                }
                let (mut seen, mut options) = (Vec::new(), GetOptions::default().with_limit(9));
                loop {
                    let page = store.get(&Selector::all(), options).await?;
                    seen.extend(ids_of(&page.items));
                    let Some(next) = page.next else { break };
                    options = GetOptions::default().with_limit(9).with_after(next);
                }
                seen.retain(|id| !id.contains('x'));
                same_items("the steady nodes", &seen, &steady)?;
            }
            Ok(())
        }
    })
    .await?;
    Ok(())
}
