//! Documents under many writers.

use std::collections::{BTreeMap, BTreeSet};

use store_core::{AddMode, AddOptions, DocStore, DocStoreExt, ErrorKind, Node, NodeId};

use super::{TASKS, each, handles};
use crate::case::{Need, cases};
use crate::check::{CaseResult, failed_exactly, holds, refused, same, same_items};
use crate::data::all;
use crate::harness::Env;
use crate::nodes::{child, ids_of, plain};
use crate::run::in_tasks;

cases! { "concurrency", Env:
    docs_ref_doc_merges_lose_nothing [Need::Docs],
    docs_adds_and_deletes_leave_no_dangling_edge [Need::Docs],
    docs_moves_end_in_one_ref_doc [Need::Docs],
    docs_moves_and_deletes_of_the_same_nodes_agree [Need::Docs],
    docs_failing_adds_have_one_winner [Need::Docs],
    docs_hashes_set_during_adds_are_whole [Need::Docs],
    docs_scans_give_steady_nodes_once [Need::Docs],
}

/// Eight tasks add nodes of the same source documents: every node is listed, once, each task's own in its order.
async fn docs_ref_doc_merges_lose_nothing(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.docs()?, second.docs()?]);
    let id = |task: usize, round: usize, doc: usize| format!("{task}/{round:02}/{doc}");
    in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            for round in 0..12 {
                let nodes = (0..2).map(|doc| child(&id(task, round, doc), &format!("doc {doc}"))).collect();
                store.add(nodes, AddOptions::default()).await?;
            }
            Ok(())
        }
    })
    .await?;
    for doc in 0..2 {
        let info = store(1).ref_doc(&format!("doc {doc}").into()).await?.unwrap_or_default();
        let listed: Vec<String> = info.node_ids.into_iter().map(NodeId::into_string).collect();
        let expected: Vec<String> =
            (0..TASKS).flat_map(|task| (0..12).map(move |round| id(task, round, doc))).collect();
        same_items(format!("the nodes of doc {doc}"), &listed, &expected)?;
        for task in 0..TASKS {
            let start = format!("{task}/");
            let own: Vec<&String> = listed.iter().filter(|id| id.starts_with(&start)).collect();
            let in_order: Vec<String> = (0..12).map(|round| id(task, round, doc)).collect();
            same(format!("task {task}'s nodes of doc {doc}, in order"), &own, &in_order)?;
        }
    }
    same("all nodes", &all(store(0).scan(None)).await?.len(), &(TASKS * 24))
}

/// Adds and deletes of different nodes of one source document: in the end its list is exactly what is stored.
async fn docs_adds_and_deletes_leave_no_dangling_edge(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.docs()?, second.docs()?]);
    in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            for round in 0..12 {
                let ids = [format!("{task}/{round}/stays"), format!("{task}/{round}/goes")];
                let nodes = ids.iter().map(|id| child(id, "doc")).collect();
                store.add(nodes, AddOptions::default()).await?;
                let gone: NodeId = ids.into_iter().nth(1).unwrap_or_default().into();
                same("deleted", &store.delete(&gone).await?, &true)?;
            }
            Ok(())
        }
    })
    .await?;
    let stored = ids_of(&all(store(0).scan(None)).await?);
    same("nodes stored", &stored.len(), &(TASKS * 12))?;
    let listed = store(1).ref_doc(&"doc".into()).await?.unwrap_or_default().node_ids;
    same_items("the list of the source document", &listed, &stored)?;
    let hashed: Vec<NodeId> = all(store(0).scan_hashes(None)).await?.into_iter().map(|(id, _)| id).collect();
    same_items("the ids with a hash", &hashed, &stored)
}

/// Tasks that add one node under different sources: in the end it is listed once, by the source of the hash
/// entry that stands; no other list keeps it. (Node and hash may be of two writers, that much is allowed.)
async fn docs_moves_end_in_one_ref_doc(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.docs()?, second.docs()?]);
    in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            for round in 0..10 {
                let nodes =
                    ["a", "b", "c"].map(|id| child(id, &format!("doc {}", (task + round) % 3))).to_vec();
                store.add(nodes, AddOptions::default()).await?;
            }
            Ok(())
        }
    })
    .await?;
    let mut lists: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (ref_doc, info) in all(store(0).scan_ref_docs(None)).await? {
        for id in info.node_ids {
            lists.entry(id.into_string()).or_default().insert(ref_doc.as_str().to_owned());
        }
    }
    let listed: Vec<&String> = lists.keys().collect();
    same("the nodes listed", &listed, &["a", "b", "c"])?;
    for (id, lists) in &lists {
        holds(lists.len() == 1, format!("{id} is listed by {lists:?}"))?;
    }
    // One more write by one writer settles everything.
    store(1).add(["a", "b", "c"].map(|id| child(id, "last")).to_vec(), AddOptions::default()).await?;
    let ref_docs: Vec<_> = all(store(0).scan_ref_docs(None)).await?.into_iter().map(|(id, _)| id).collect();
    same("the ref docs left", &ref_docs, &["last"])
}

/// Tasks that add the same nodes under different sources while others delete them: in the end those that have a hash
/// are listed, each once, and no other. (A node itself may be gone while its hash is there, that much is allowed.)
async fn docs_moves_and_deletes_of_the_same_nodes_agree(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.docs()?, second.docs()?]);
    let ids = ["a", "b", "c"];
    in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            for round in 0..10 {
                if task % 2 == 0 {
                    let doc = format!("doc {}", (task / 2 + round) % 3);
                    store.add(ids.map(|id| child(id, &doc)).to_vec(), AddOptions::default()).await?;
                } else {
                    store.delete_many(&ids.map(NodeId::from)).await?;
                }
            }
            Ok(())
        }
    })
    .await?;
    let lists = all(store(0).scan_ref_docs(None)).await?;
    let listed: Vec<NodeId> = lists.into_iter().flat_map(|(_, info)| info.node_ids).collect();
    let hashed: Vec<NodeId> = all(store(1).scan_hashes(None)).await?.into_iter().map(|(id, _)| id).collect();
    same_items("the nodes listed, and those with a hash", &listed, &hashed)
}

/// Of eight that add the same new node and must not replace it, one succeeds.
async fn docs_failing_adds_have_one_winner(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.docs()?, second.docs()?]);
    for round in 0..6 {
        let id = format!("n{round}");
        let won = in_tasks(TASKS, |task| {
            let (store, id) = (store(task), id.clone());
            async move {
                let node = plain(&id, task);
                match store.add(vec![node.clone()], AddOptions::default().with_mode(AddMode::Fail)).await {
                    Ok(_) => Ok(Some(node)),
                    Err(error) => {
                        let error = refused("a late add", Err::<(), _>(error), &[ErrorKind::AlreadyExists])?;
                        failed_exactly(&error, &[&id])?;
                        Ok(None)
                    }
                }
            }
        })
        .await?;
        let winners: Vec<Node> = won.into_iter().flatten().collect();
        same(format!("winners of {id}"), &winners.len(), &1_usize)?;
        same(&id, &store(0).get(&id.as_str().into()).await?, &winners.first())?;
        same(
            format!("hash of {id}"),
            &store(1).hash(&id.as_str().into()).await?,
            &winners.first().map(Node::hash),
        )?;
    }
    Ok(())
}

/// Setting hashes while others add nodes of the same source loses no edge.
async fn docs_hashes_set_during_adds_are_whole(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.docs()?, second.docs()?]);
    let id = |n: usize| format!("n{n}");
    store(0).add((0..10).map(|n| child(&id(n), "doc")).collect(), AddOptions::default()).await?;
    in_tasks(TASKS, |task| {
        let store = store(task);
        async move {
            for round in 0..10 {
                if task % 2 == 0 {
                    store
                        .set_hashes((0..10).map(|n| (id(n).into(), format!("{task}.{round}"))).collect())
                        .await?;
                } else {
                    store.add(vec![child(&id(task), "doc")], AddOptions::default()).await?;
                }
            }
            Ok(())
        }
    })
    .await?;
    let listed = store(1).ref_doc(&"doc".into()).await?.unwrap_or_default().node_ids;
    same_items("the nodes of doc", &listed, &(0..10).map(id).collect::<Vec<_>>())?;
    same(
        "delete the ref doc",
        &store(0).delete_ref_doc(&"doc".into()).await?.map(|gone| gone.nodes),
        &Some(10_usize),
    )?;
    same("hashes left", &all(store(1).scan_hashes(None)).await?.len(), &0_usize)
}

/// While others add and delete, every scan gives the nodes, hashes and ref docs that stay exactly once.
async fn docs_scans_give_steady_nodes_once(env: &Env) -> CaseResult {
    let [first, second] = handles(env).await?;
    let store = each([first.docs()?, second.docs()?]);
    let steady: Vec<String> = (0..60).map(|n| format!("n{n:02}")).collect();
    store(0).add(steady.iter().map(|id| child(id, id)).collect(), AddOptions::default()).await?;
    in_tasks(TASKS, |task| {
        let (store, steady) = (store(task), steady.clone());
        async move {
            for round in 0..6 {
                if task >= 3 {
                    let ids: Vec<String> =
                        (0..5).map(|n| format!("n{:02}x{task}", (n * 11 + round) % 60)).collect();
                    store.add(ids.iter().map(|id| child(id, id)).collect(), AddOptions::default()).await?;
                    store.delete_many(&ids.into_iter().map(NodeId::from).collect::<Vec<_>>()).await?;
                    continue;
                }
                let stays = |id: &str| !id.contains('x');
                let mut nodes = ids_of(&all(store.scan(None)).await?);
                nodes.retain(|id| stays(id));
                same_items("the steady nodes", &nodes, &steady)?;
                let hashed = all(store.scan_hashes(None)).await?.into_iter().map(|(id, _)| id.into_string());
                let hashed: Vec<String> = hashed.filter(|id| stays(id)).collect();
                same_items("the steady hashes", &hashed, &steady)?;
                let ref_docs =
                    all(store.scan_ref_docs(None)).await?.into_iter().map(|(id, _)| id.into_string());
                let ref_docs: Vec<String> = ref_docs.filter(|id| stays(id)).collect();
                same_items("the steady ref docs", &ref_docs, &steady)?;
            }
            Ok(())
        }
    })
    .await?;
    Ok(())
}
