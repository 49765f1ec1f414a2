//! Adding, reading, deleting and scanning nodes.

use serde_json::json;
use store_core::{AddMode, AddOptions, AddReport, DocStore, DocStoreExt, ErrorKind, Node, NodeId};

use crate::case::cases;
use crate::check::{CaseResult, failed_exactly, invalid, refused, same, same_items};
use crate::data::{all, odd_keys};
use crate::nodes::{child, every_class, ids, ids_of, node, older_forms, plain};

cases! { "docs", Docs:
    add_then_get,
    every_class_comes_back_equal,
    older_forms_are_stored_in_todays,
    embeddings_come_back_exactly,
    get_many_keeps_order,
    exist_many_keeps_order,
    add_replaces_whole_nodes,
    overwrite_takes_the_last_of_equal_ids,
    skip_leaves_existing_and_takes_the_first,
    fail_writes_absent_and_names_existing,
    fail_refuses_equal_ids,
    delete_counts_what_existed,
    empty_batches_do_nothing,
    empty_ids_are_refused,
    odd_ids_are_kept_apart,
    scan_gives_each_node_once,
    scan_goes_on_after_any_id,
    ten_thousand_nodes,
}

fn mode(mode: AddMode) -> AddOptions {
    AddOptions::default().with_mode(mode)
}

/// What was added comes back, and is counted.
async fn add_then_get(store: &dyn DocStore) -> CaseResult {
    let nodes = vec![plain("a", 1), plain("b", 2)];
    same("report", &store.add(nodes.clone(), AddOptions::default()).await?, &AddReport::new(2, 0))?;
    same("a", &store.get(&"a".into()).await?, &nodes.first())?;
    same("b exists", &store.exists(&"b".into()).await?, &true)?;
    same("c", &store.get(&"c".into()).await?, &None::<Node>)?;
    same("c exists", &store.exists(&"c".into()).await?, &false)
}

/// One node of each class, with everything set, comes back to the letter: member order and number kinds.
async fn every_class_comes_back_equal(store: &dyn DocStore) -> CaseResult {
    for form in every_class() {
        let put = node(form.clone())?;
        store.add(vec![put.clone()], AddOptions::default()).await?;
        let class = put.class_name();
        same(class, &store.get(&put.id).await?, &Some(form))?;
        same(format!("the hash of the {class}"), &store.hash(&put.id).await?, &Some(put.hash()))?;
    }
    same("nodes", &all(store.scan(None)).await?.len(), &every_class().len())
}

/// Forms of older releases are read, and come back in today's.
async fn older_forms_are_stored_in_todays(store: &dyn DocStore) -> CaseResult {
    for (form, [id, class, text]) in older_forms() {
        let put = node(form)?;
        store.add(vec![put.clone()], AddOptions::default()).await?;
        let back = store.get(&id.into()).await?;
        same(id, &back, &Some(&put))?;
        let shape = back.map(|node| vec![node.class_name().to_owned(), node.text_content().to_owned()]);
        same(format!("class and text of {id}"), &shape, &Some([class, text]))?;
    }
    let sources = store.ref_doc(&"doc-1".into()).await?.map(|info| info.node_ids);
    same("their source", &sources, &Some(ids(&["o-1", "o-2"])))
}

/// Embeddings in a document store keep every bit of their `f64`.
async fn embeddings_come_back_exactly(store: &dyn DocStore) -> CaseResult {
    let mut put = plain("a", 1);
    put.embedding = Some(vec![0.1, -0.0, 1.0, 1e-300, 1.0 / 3.0, f64::from(0.1_f32)]);
    store.add(vec![put.clone()], AddOptions::default()).await?;
    same("a", &store.get(&"a".into()).await?, &Some(put))
}

/// Answers stand in the order of the ids, `None` where there is no node, repeated where an id is.
async fn get_many_keeps_order(store: &dyn DocStore) -> CaseResult {
    let nodes: Vec<Node> = (0..40).map(|n| plain(&format!("n{n}"), n)).collect();
    store.add(nodes.clone(), AddOptions::default()).await?;
    let order: Vec<usize> = (0..50).map(|n| n * 31 % 45).collect();
    let asked: Vec<NodeId> = order.iter().map(|n| format!("n{n}").into()).collect();
    let expected: Vec<Option<&Node>> = order.iter().map(|n| nodes.get(*n)).collect();
    same("50 ids", &store.get_many(&asked).await?, &expected)
}

/// One answer for each id, in order, twice if it is asked twice; only nodes count, not what has a hash alone.
async fn exist_many_keeps_order(store: &dyn DocStore) -> CaseResult {
    store.add(vec![plain("a", 1), plain("b", 2)], AddOptions::default()).await?;
    store.add(vec![child("hash", "doc")], AddOptions::default().with_store_text(false)).await?;
    let ids: Vec<NodeId> = ["b", "none", "a", "hash", "b", "doc"].map(NodeId::from).to_vec();
    let found = store.exist_many(&ids).await?;
    same("b, none, a, hash, b, doc", &found, &[true, false, true, false, true, false])?;
    same("no ids", &store.exist_many(&[]).await?.len(), &0_usize)?;
    invalid("an empty id", store.exist_many(&["a".into(), "".into()]).await)?;
    store.delete(&"b".into()).await?;
    same("b, deleted", &store.exists(&"b".into()).await?, &false)
}

/// A node written again is replaced whole: no metadata, text or link of the old one stays.
async fn add_replaces_whole_nodes(store: &dyn DocStore) -> CaseResult {
    let old = child("a", "doc").with_metadata("old", 1).with_metadata("both", json!({"x": 1}));
    store.add(vec![old], AddOptions::default()).await?;
    let new = Node::document("another class").with_id("a").with_metadata("both", json!({"y": 2.0}));
    same("report", &store.add(vec![new.clone()], AddOptions::default()).await?, &AddReport::new(1, 0))?;
    same("a", &store.get(&"a".into()).await?, &Some(new.clone()))?;
    same("scan", &all(store.scan(None)).await?, &[new])
}

/// Of equal ids in one call the last wins, and counts once.
async fn overwrite_takes_the_last_of_equal_ids(store: &dyn DocStore) -> CaseResult {
    let nodes = vec![plain("a", 1), plain("b", 2), plain("a", 3), plain("a", 4)];
    same("report", &store.add(nodes, AddOptions::default()).await?, &AddReport::new(2, 0))?;
    let expected = vec![Some(plain("a", 4)), Some(plain("b", 2))];
    same("a b", &store.get_many(&ids(&["a", "b"])).await?, &expected)?;
    same("hash of a", &store.hash(&"a".into()).await?, &Some(plain("a", 4).hash()))
}

/// `Skip` leaves existing nodes, their hashes and their ref docs; of equal ids the first wins.
async fn skip_leaves_existing_and_takes_the_first(store: &dyn DocStore) -> CaseResult {
    let old = child("a", "doc-1").with_metadata("v", 1);
    store.add(vec![old.clone()], AddOptions::default()).await?;
    let nodes = vec![
        child("a", "doc-2").with_metadata("v", 2),
        plain("b", 1),
        plain("c", 1),
        plain("b", 2),
        child("a", "doc-2"),
    ];
    same("report", &store.add(nodes, mode(AddMode::Skip)).await?, &AddReport::new(2, 1))?;
    let expected = vec![Some(old.clone()), Some(plain("b", 1)), Some(plain("c", 1))];
    same("a b c", &store.get_many(&ids(&["a", "b", "c"])).await?, &expected)?;
    let hashes = [old.hash(), plain("b", 1).hash()].map(Some);
    same("hashes", &store.hashes(&ids(&["a", "b"])).await?, &hashes)?;
    let members = store.ref_doc(&"doc-1".into()).await?.map(|info| info.node_ids);
    same("doc-1", &members, &Some(ids(&["a"])))?;
    same("doc-2", &store.ref_doc(&"doc-2".into()).await?, &None::<store_core::RefDocInfo>)
}

/// `Fail` writes the absent nodes, with hash and ref doc, then fails naming exactly the existing ids, which stay.
async fn fail_writes_absent_and_names_existing(store: &dyn DocStore) -> CaseResult {
    store.add(vec![plain("b", 1), plain("d", 1)], mode(AddMode::Fail)).await?;
    let nodes = ["a", "b", "c", "d"].map(|id| child(id, "doc")).to_vec();
    let error = refused(
        "a to d over b and d",
        store.add(nodes, mode(AddMode::Fail)).await,
        &[ErrorKind::AlreadyExists],
    )?;
    failed_exactly(&error, &["b", "d"])?;
    let expected = [child("a", "doc"), plain("b", 1), child("c", "doc"), plain("d", 1)].map(Some);
    same("a to d", &store.get_many(&ids(&["a", "b", "c", "d"])).await?, &expected)?;
    same("hash of a", &store.hash(&"a".into()).await?, &Some(child("a", "doc").hash()))?;
    same("hash of b", &store.hash(&"b".into()).await?, &Some(plain("b", 1).hash()))?;
    let members = store.ref_doc(&"doc".into()).await?.map(|info| info.node_ids);
    same("the ref doc", &members, &Some(ids(&["a", "c"])))
}

/// `Fail` with equal ids in one call is `InvalidInput`, names them, and writes nothing.
async fn fail_refuses_equal_ids(store: &dyn DocStore) -> CaseResult {
    let nodes = vec![plain("x", 1), plain("a", 1), plain("y", 1), plain("a", 2)];
    let error = invalid("a twice", store.add(nodes, mode(AddMode::Fail)).await)?;
    failed_exactly(&error, &["a"])?;
    same("nodes", &all(store.scan(None)).await?, &[(); 0])?;
    same("hashes", &all(store.scan_hashes(None)).await?, &[(); 0])
}

/// A delete counts the nodes that existed, each once, and removes their hashes.
async fn delete_counts_what_existed(store: &dyn DocStore) -> CaseResult {
    store.add((0..5).map(|n| plain(&format!("n{n}"), n)).collect(), AddOptions::default()).await?;
    let count = store.delete_many(&ids(&["n1", "missing", "n3", "n1"])).await?;
    same("two existing of four given", &count, &2_usize)?;
    same("again", &store.delete_many(&ids(&["n1", "n3"])).await?, &0_usize)?;
    same("one", &store.delete(&"n0".into()).await?, &true)?;
    same_items("left", &ids_of(&all(store.scan(None)).await?), &["n2", "n4"])?;
    same("hash of n1", &store.hash(&"n1".into()).await?, &None::<String>)?;
    same("hashes left", &all(store.scan_hashes(None)).await?.len(), &2_usize)
}

/// An empty batch is a no-op, in every call.
async fn empty_batches_do_nothing(store: &dyn DocStore) -> CaseResult {
    for add_mode in [AddMode::Overwrite, AddMode::Skip, AddMode::Fail] {
        same("add", &store.add(vec![], mode(add_mode)).await?, &AddReport::default())?;
    }
    same("get_many", &store.get_many(&[]).await?, &[(); 0])?;
    same("delete_many", &store.delete_many(&[]).await?, &0_usize)?;
    same("hashes", &store.hashes(&[]).await?, &[(); 0])?;
    store.set_hashes(vec![]).await?;
    same("scan", &all(store.scan(None)).await?, &[(); 0])
}

/// An empty id is `InvalidInput` in every call, and refuses the whole batch.
async fn empty_ids_are_refused(store: &dyn DocStore) -> CaseResult {
    let batch = || vec![plain("a", 1), plain("", 2)];
    for add_mode in [AddMode::Overwrite, AddMode::Skip, AddMode::Fail] {
        failed_exactly(&invalid("add", store.add(batch(), mode(add_mode)).await)?, &[""])?;
    }
    invalid("get_many", store.get_many(&ids(&["a", ""])).await)?;
    invalid("delete_many", store.delete_many(&ids(&["a", ""])).await)?;
    invalid("ref_doc", store.ref_doc(&"".into()).await)?;
    invalid("delete_ref_doc", store.delete_ref_doc(&"".into()).await)?;
    invalid("hashes", store.hashes(&ids(&[""])).await)?;
    invalid("set_hashes", store.set_hashes(vec![("a".into(), "h".into()), ("".into(), "h".into())]).await)?;
    same("nodes", &all(store.scan(None)).await?, &[(); 0])?;
    same("hashes", &all(store.scan_hashes(None)).await?, &[(); 0])
}

/// Ids are free text, of nodes and of source documents.
async fn odd_ids_are_kept_apart(store: &dyn DocStore) -> CaseResult {
    let keys = odd_keys();
    let nodes: Vec<Node> =
        keys.iter().enumerate().map(|(n, key)| child(key, key).with_metadata("n", n)).collect();
    store.add(nodes.clone(), AddOptions::default()).await?;
    let asked: Vec<NodeId> = keys.iter().map(|key| key.as_str().into()).collect();
    for (put, found) in nodes.iter().zip(store.get_many(&asked).await?) {
        same(format!("{:?}", put.id), &found, &Some(put))?;
    }
    for key in &keys {
        let info = store.ref_doc(&key.as_str().into()).await?.map(|info| info.node_ids);
        same(format!("ref doc {key:?}"), &info, &Some([key]))?;
    }
    same_items("scan", &ids_of(&all(store.scan(None)).await?), &keys)?;
    let ref_docs: Vec<_> = all(store.scan_ref_docs(None)).await?.into_iter().map(|(id, _)| id).collect();
    same_items("scan of ref docs", &ref_docs, &keys)?;
    let hashed: Vec<_> = all(store.scan_hashes(None)).await?.into_iter().map(|(id, _)| id).collect();
    same_items("scan of hashes", &hashed, &keys)
}

/// A scan gives every node, each once, in an order that stays.
async fn scan_gives_each_node_once(store: &dyn DocStore) -> CaseResult {
    same("none yet", &all(store.scan(None)).await?, &[(); 0])?;
    let nodes: Vec<Node> = (0..300).map(|n| plain(&format!("n{}", n * 7 % 300), n)).collect();
    store.add(nodes.clone(), AddOptions::default()).await?;
    let found = all(store.scan(None)).await?;
    same_items("300 nodes", &found, &nodes)?;
    same("the second scan", &all(store.scan(None)).await?, &found)
}

/// Any id resumes a scan, also a deleted one; the same for ref docs and hashes.
async fn scan_goes_on_after_any_id(store: &dyn DocStore) -> CaseResult {
    let nodes = (0..30).map(|n| child(&format!("n{n}"), &format!("doc {n}"))).collect();
    store.add(nodes, AddOptions::default()).await?;
    let order = ids_of(&all(store.scan(None)).await?);
    let ref_docs = all(store.scan_ref_docs(None)).await?;
    let hashes = all(store.scan_hashes(None)).await?;
    for place in [0, 1, 13, 28, 29] {
        for (id, rest) in order.get(place).into_iter().zip(order.get(place + 1..)) {
            let found = all(store.scan(Some(id.as_str().into()))).await?;
            same(format!("nodes after {id}"), &ids_of(&found), rest)?;
        }
        for ((id, _), rest) in ref_docs.get(place).into_iter().zip(ref_docs.get(place + 1..)) {
            same(format!("ref docs after {id}"), &all(store.scan_ref_docs(Some(id.clone()))).await?, rest)?;
        }
        for ((id, _), rest) in hashes.get(place).into_iter().zip(hashes.get(place + 1..)) {
            same(format!("hashes after {id}"), &all(store.scan_hashes(Some(id.clone()))).await?, rest)?;
        }
    }
    for (id, rest) in order.get(11).into_iter().zip(order.get(12..)) {
        store.delete(&id.as_str().into()).await?;
        let found = all(store.scan(Some(id.as_str().into()))).await?;
        same(format!("nodes after {id}, deleted"), &ids_of(&found), rest)?;
    }
    Ok(())
}

/// Ten thousand nodes: written in batches, counted, read, deleted by source document.
async fn ten_thousand_nodes(store: &dyn DocStore) -> CaseResult {
    for batch in 0..10 {
        let nodes =
            (0..1_000).map(|n| child(&format!("n-{batch}-{n}"), &format!("doc {}", n % 100))).collect();
        same("report", &store.add(nodes, AddOptions::default()).await?, &AddReport::new(1_000, 0))?;
    }
    let found = ids_of(&all(store.scan(None)).await?);
    let different: std::collections::BTreeSet<_> = found.iter().collect();
    same("nodes and different ids", &(found.len(), different.len()), &(10_000_usize, 10_000_usize))?;
    same("hashes", &all(store.scan_hashes(None)).await?.len(), &10_000_usize)?;
    let asked: Vec<NodeId> = (0..1_000).map(|n| format!("n-7-{n}").into()).collect();
    let read = store.get_many(&asked).await?;
    let expected: Vec<_> =
        (0..1_000).map(|n| Some(child(&format!("n-7-{n}"), &format!("doc {}", n % 100)))).collect();
    same("one batch", &read, &expected)?;
    let members = store.ref_doc(&"doc 42".into()).await?.map(|info| info.node_ids.len());
    same("nodes of doc 42", &members, &Some(100_usize))?;
    let deleted = store.delete_ref_doc(&"doc 42".into()).await?.map(|deleted| deleted.nodes);
    same("deleted with doc 42", &deleted, &Some(100_usize))?;
    same("left", &all(store.scan(None)).await?.len(), &9_900_usize)
}
