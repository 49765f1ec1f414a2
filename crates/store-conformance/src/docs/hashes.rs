//! Content hashes.

use store_core::{AddOptions, DocStore, DocStoreExt, Node};

use crate::case::cases;
use crate::check::{CaseResult, same, same_items};
use crate::data::all;
use crate::nodes::{child, ids, plain};

cases! { "docs", Docs:
    add_sets_the_hash,
    hashes_keep_order,
    set_hashes_keeps_node_and_ref_doc,
    set_hashes_works_without_a_node,
    add_takes_back_a_set_hash,
    scan_hashes_gives_each_once,
    documents_with_the_same_text_stay_two,
}

/// The hash of an added node is the node's own, and follows it.
async fn add_sets_the_hash(store: &dyn DocStore) -> CaseResult {
    let first = plain("a", 1);
    store.add(vec![first.clone()], AddOptions::default()).await?;
    same("the first", &store.hash(&"a".into()).await?, &Some(first.hash()))?;
    let second = Node::document("x").with_id("a");
    store.add(vec![second.clone()], AddOptions::default()).await?;
    same("the second", &store.hash(&"a".into()).await?, &Some(second.hash()))
}

/// Hashes stand in the order of the ids, `None` where there is none.
async fn hashes_keep_order(store: &dyn DocStore) -> CaseResult {
    store.add(vec![plain("a", 1), plain("b", 2)], AddOptions::default()).await?;
    let expected = [Some(plain("b", 2).hash()), None, Some(plain("a", 1).hash()), Some(plain("b", 2).hash())];
    same("b x a b", &store.hashes(&ids(&["b", "x", "a", "b"])).await?, &expected)
}

/// A hash that is set replaces the old one; node and ref doc stay, so that deleting the node still leaves its
/// ref doc.
async fn set_hashes_keeps_node_and_ref_doc(store: &dyn DocStore) -> CaseResult {
    store.add(vec![child("a", "doc"), child("b", "doc")], AddOptions::default()).await?;
    // Of this one nothing but the hash's own entry says where it belongs.
    store.add(vec![child("c", "doc")], AddOptions::default().with_store_text(false)).await?;
    store.set_hashes(vec![("a".into(), "mine".into()), ("b".into(), "é \0 \"".into())]).await?;
    store.set_hashes(vec![("c".into(), "mine".into())]).await?;
    same("hashes", &store.hashes(&ids(&["a", "b"])).await?, &[Some("mine"), Some("é \0 \"")])?;
    same("the node", &store.get(&"a".into()).await?, &Some(child("a", "doc")))?;
    let members = store.ref_doc(&"doc".into()).await?.map(|info| info.node_ids);
    same("its ref doc", &members, &Some(ids(&["a", "b", "c"])))?;
    same("delete", &store.delete_many(&ids(&["a", "c"])).await?, &1_usize)?;
    let members = store.ref_doc(&"doc".into()).await?.map(|info| info.node_ids);
    same("its ref doc without them", &members, &Some(ids(&["b"])))
}

/// Hashes can be set for ids without a node; they create no node.
async fn set_hashes_works_without_a_node(store: &dyn DocStore) -> CaseResult {
    store.set_hashes(vec![("a".into(), "h".into())]).await?;
    same("the hash", &store.hash(&"a".into()).await?, &Some("h"))?;
    same("no node", &store.get(&"a".into()).await?, &None::<Node>)?;
    same("no scan", &all(store.scan(None)).await?, &[(); 0])?;
    same("scan_hashes", &all(store.scan_hashes(None)).await?, &[("a".to_owned(), "h".to_owned())])
}

/// An add sets the hash again.
async fn add_takes_back_a_set_hash(store: &dyn DocStore) -> CaseResult {
    store.set_hashes(vec![("a".into(), "mine".into())]).await?;
    store.add(vec![plain("a", 1)], AddOptions::default()).await?;
    same("the hash", &store.hash(&"a".into()).await?, &Some(plain("a", 1).hash()))
}

/// A scan of hashes gives each id once, with nodes and without.
async fn scan_hashes_gives_each_once(store: &dyn DocStore) -> CaseResult {
    let nodes: Vec<Node> = (0..50).map(|n| plain(&format!("n{n}"), n)).collect();
    let mut expected: Vec<(String, String)> =
        nodes.iter().map(|node| (node.id.as_str().to_owned(), node.hash())).collect();
    store.add(nodes, AddOptions::default()).await?;
    store.set_hashes(vec![("alone".into(), "h".into())]).await?;
    expected.push(("alone".into(), "h".into()));
    let found = all(store.scan_hashes(None)).await?;
    same_items("51 hashes", &found, &expected)?;
    same("the second scan", &all(store.scan_hashes(None)).await?, &found)
}

/// Two documents with the same text have one hash, and both stay (a map from hash to one id would lose one).
async fn documents_with_the_same_text_stay_two(store: &dyn DocStore) -> CaseResult {
    let twins = ["a", "b"].map(|id| Node::document("the same").with_id(id)).to_vec();
    store.add(twins.clone(), AddOptions::default()).await?;
    let hash = twins.first().map(Node::hash).unwrap_or_default();
    let expected = ["a", "b"].map(|id| (id.to_owned(), hash.clone()));
    same_items("scan_hashes", &all(store.scan_hashes(None)).await?, &expected)
}
