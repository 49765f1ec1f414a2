//! Source documents: which nodes they have, and what deleting them removes.

use serde_json::json;
use store_core::{AddOptions, AddReport, DocStore, DocStoreExt, Node, RefDocDeleted, RefDocInfo};

use crate::case::cases;
use crate::check::{CaseResult, same, same_items};
use crate::data::{all, object, odd_object};
use crate::nodes::{child, ids, ids_of, ref_doc};

cases! { "docs", Docs:
    ref_doc_lists_nodes_in_the_order_added,
    ref_doc_without_nodes_is_none,
    ref_doc_metadata_is_the_union_of_the_call,
    ref_doc_metadata_is_kept_unless_empty,
    ref_doc_metadata_comes_back_equal,
    node_moves_to_another_ref_doc,
    node_leaves_when_added_without_source,
    last_source_of_equal_ids_counts,
    store_text_false_writes_hash_and_ref_doc,
    store_text_false_does_not_exist_for_skip_and_fail,
    store_text_false_leaves_a_stored_node,
    delete_leaves_the_ref_doc,
    delete_of_the_last_node_ends_the_ref_doc,
    delete_leaves_the_stored_document,
    delete_ref_doc_removes_all_of_it,
    delete_ref_doc_of_nothing_is_none,
    delete_ref_doc_of_a_document_without_nodes,
    delete_ref_doc_leaves_moved_nodes,
    deleted_document_leaves_its_own_source,
    scan_ref_docs_gives_each_once,
}

async fn add(store: &dyn DocStore, nodes: Vec<Node>) -> CaseResult<AddReport> {
    Ok(store.add(nodes, AddOptions::default()).await?)
}

async fn members(store: &dyn DocStore, id: &str) -> CaseResult<Option<Vec<String>>> {
    let info = store.ref_doc(&ref_doc(id)).await?;
    Ok(info.map(|info| info.node_ids.into_iter().map(store_core::NodeId::into_string).collect()))
}

/// A ref doc lists its nodes in the order added; one added again keeps its place.
async fn ref_doc_lists_nodes_in_the_order_added(store: &dyn DocStore) -> CaseResult {
    add(store, vec![child("z", "doc"), child("a", "doc")]).await?;
    add(store, vec![child("m", "doc"), child("x", "other")]).await?;
    add(store, vec![child("b", "doc"), child("z", "doc")]).await?;
    same("doc", &members(store, "doc").await?, &Some(["z", "a", "m", "b"]))?;
    same("other", &members(store, "other").await?, &Some(["x"]))
}

/// A document has no info of its own until it is some node's source.
async fn ref_doc_without_nodes_is_none(store: &dyn DocStore) -> CaseResult {
    add(store, vec![Node::document("d").with_id("doc")]).await?;
    same("doc", &members(store, "doc").await?, &None::<Vec<String>>)?;
    same("scan", &all(store.scan_ref_docs(None)).await?, &[(); 0])
}

/// The metadata of a ref doc is the union over the nodes of the call; a later node wins, in the earlier one's
/// place.
async fn ref_doc_metadata_is_the_union_of_the_call(store: &dyn DocStore) -> CaseResult {
    let nodes = vec![
        child("n1", "doc").with_metadata("file", "a").with_metadata("page", 1),
        child("n2", "other").with_metadata("file", "x"),
        child("n3", "doc").with_metadata("page", 2.0).with_metadata("lang", "de"),
    ];
    add(store, nodes).await?;
    let info = store.ref_doc(&ref_doc("doc")).await?;
    let metadata = object(json!({"file": "a", "page": 2.0, "lang": "de"}));
    same("doc", &info, &Some(RefDocInfo::new(ids(&["n1", "n3"]), metadata)))
}

/// Later calls keep it, unless it is empty.
async fn ref_doc_metadata_is_kept_unless_empty(store: &dyn DocStore) -> CaseResult {
    let metadata = async || CaseResult::Ok(store.ref_doc(&ref_doc("doc")).await?.map(|info| info.metadata));
    add(store, vec![child("n1", "doc")]).await?;
    same("empty at first", &metadata().await?, &Some(object(json!({}))))?;
    add(store, vec![child("n2", "doc").with_metadata("a", 1)]).await?;
    same("given by the second call", &metadata().await?, &Some(object(json!({"a": 1}))))?;
    add(store, vec![child("n3", "doc").with_metadata("a", 2).with_metadata("b", 2)]).await?;
    same("kept by the third", &metadata().await?, &Some(object(json!({"a": 1}))))?;
    add(store, vec![child("n2", "doc").with_metadata("a", 3)]).await?;
    same("kept when a node changes", &metadata().await?, &Some(object(json!({"a": 1}))))
}

/// Its order and number kinds come back.
async fn ref_doc_metadata_comes_back_equal(store: &dyn DocStore) -> CaseResult {
    let mut node = child("n", "doc");
    node.metadata = odd_object();
    add(store, vec![node]).await?;
    let expected = RefDocInfo::new(ids(&["n"]), odd_object());
    same("ref_doc", &store.ref_doc(&ref_doc("doc")).await?, &Some(expected.clone()))?;
    same("scan", &all(store.scan_ref_docs(None)).await?, &[("doc".to_owned(), expected)])
}

/// A node added again under another source moves there, and stands last; a ref doc left without nodes goes.
async fn node_moves_to_another_ref_doc(store: &dyn DocStore) -> CaseResult {
    add(store, vec![child("a", "doc-1"), child("b", "doc-1"), child("c", "doc-2")]).await?;
    add(store, vec![child("a", "doc-2")]).await?;
    same("doc-1", &members(store, "doc-1").await?, &Some(["b"]))?;
    same("doc-2", &members(store, "doc-2").await?, &Some(["c", "a"]))?;
    add(store, vec![child("b", "doc-3")]).await?;
    same("doc-1 is empty", &members(store, "doc-1").await?, &None::<Vec<String>>)?;
    add(store, vec![child("a", "doc-1")]).await?;
    same("doc-1 again", &members(store, "doc-1").await?, &Some(["a"]))?;
    same("doc-2 again", &members(store, "doc-2").await?, &Some(["c"]))
}

/// Added again without a source it belongs nowhere.
async fn node_leaves_when_added_without_source(store: &dyn DocStore) -> CaseResult {
    add(store, vec![child("a", "doc"), child("b", "doc")]).await?;
    add(store, vec![Node::text("alone").with_id("a")]).await?;
    same("doc", &members(store, "doc").await?, &Some(["b"]))?;
    same("delete the ref doc", &store.delete_ref_doc(&ref_doc("doc")).await?, &Some(RefDocDeleted::new(1)))?;
    same("a stays", &store.exists(&"a".into()).await?, &true)
}

/// Of equal ids in one call only the last says where the node belongs.
async fn last_source_of_equal_ids_counts(store: &dyn DocStore) -> CaseResult {
    let nodes = vec![
        child("a", "doc-1").with_metadata("from", "the first"),
        child("b", "doc-2"),
        child("a", "doc-2").with_metadata("from", "the last"),
    ];
    same("report", &add(store, nodes).await?, &AddReport::new(2, 0))?;
    same("doc-1", &members(store, "doc-1").await?, &None::<Vec<String>>)?;
    let info = store.ref_doc(&ref_doc("doc-2")).await?;
    let both: Vec<String> = info.iter().flat_map(|info| &info.node_ids).map(ToString::to_string).collect();
    same_items("doc-2", &both, &["a", "b"])?;
    same("its metadata", &info.map(|info| info.metadata), &Some(object(json!({"from": "the last"}))))
}

fn without_text() -> AddOptions {
    AddOptions::default().with_store_text(false)
}

/// `store_text: false` writes hash and ref doc, but no node.
async fn store_text_false_writes_hash_and_ref_doc(store: &dyn DocStore) -> CaseResult {
    let node = child("a", "doc").with_metadata("m", 1.0);
    same("report", &store.add(vec![node.clone()], without_text()).await?, &AddReport::new(1, 0))?;
    same("no node", &store.get(&"a".into()).await?, &None::<Node>)?;
    same("no scan", &all(store.scan(None)).await?, &[(); 0])?;
    same("the hash", &store.hash(&"a".into()).await?, &Some(node.hash()))?;
    let info = RefDocInfo::new(ids(&["a"]), object(json!({"m": 1.0})));
    same("the ref doc", &store.ref_doc(&ref_doc("doc")).await?, &Some(info))?;
    // Deleting it counts no node, and still removes hash and ref doc: that is how its traces go away.
    same("delete", &store.delete_many(&ids(&["a"])).await?, &0_usize)?;
    same("the hash afterwards", &store.hash(&"a".into()).await?, &None::<String>)?;
    same("the ref doc afterwards", &members(store, "doc").await?, &None::<Vec<String>>)
}

/// Such a node does not exist for `Skip` and `Fail`.
async fn store_text_false_does_not_exist_for_skip_and_fail(store: &dyn DocStore) -> CaseResult {
    use store_core::AddMode::{Fail, Skip};
    store.add(vec![child("a", "doc"), child("b", "doc")], without_text()).await?;
    let (a, b) = (child("a", "doc").with_metadata("v", 2), child("b", "doc").with_metadata("v", 2));
    let skipped = store.add(vec![a.clone()], AddOptions::default().with_mode(Skip)).await?;
    same("skip", &skipped, &AddReport::new(1, 0))?;
    let failed = store.add(vec![b.clone()], AddOptions::default().with_mode(Fail)).await?;
    same("fail", &failed, &AddReport::new(1, 0))?;
    same("a b", &store.get_many(&ids(&["a", "b"])).await?, &[Some(&a), Some(&b)])?;
    same("hashes", &store.hashes(&ids(&["a", "b"])).await?, &[Some(a.hash()), Some(b.hash())])
}

/// Over a stored node it changes hash and ref doc and leaves the node; with `Skip` it changes nothing.
async fn store_text_false_leaves_a_stored_node(store: &dyn DocStore) -> CaseResult {
    let stored = child("a", "doc-1");
    add(store, vec![stored.clone()]).await?;
    let other = child("a", "doc-2").with_metadata("v", 2);
    let skip = without_text().with_mode(store_core::AddMode::Skip);
    same("skip", &store.add(vec![other.clone()], skip).await?, &AddReport::new(0, 1))?;
    same("the hash after skip", &store.hash(&"a".into()).await?, &Some(stored.hash()))?;
    store.add(vec![other.clone()], without_text()).await?;
    same("the node", &store.get(&"a".into()).await?, &Some(stored))?;
    same("the hash", &store.hash(&"a".into()).await?, &Some(other.hash()))?;
    same("doc-1", &members(store, "doc-1").await?, &None::<Vec<String>>)?;
    same("doc-2", &members(store, "doc-2").await?, &Some(["a"]))
}

/// A deleted node leaves its ref doc; the others keep their order.
async fn delete_leaves_the_ref_doc(store: &dyn DocStore) -> CaseResult {
    add(store, ["a", "b", "c", "d", "e"].map(|id| child(id, "doc")).to_vec()).await?;
    add(store, vec![child("f", "other")]).await?;
    same("delete", &store.delete_many(&ids(&["d", "b", "f"])).await?, &3_usize)?;
    same("doc", &members(store, "doc").await?, &Some(["a", "c", "e"]))?;
    same("other", &members(store, "other").await?, &None::<Vec<String>>)?;
    add(store, vec![child("b", "doc")]).await?;
    same("b added again stands last", &members(store, "doc").await?, &Some(["a", "c", "e", "b"]))
}

/// A ref doc without nodes goes, with its metadata.
async fn delete_of_the_last_node_ends_the_ref_doc(store: &dyn DocStore) -> CaseResult {
    add(store, vec![child("a", "doc").with_metadata("old", 1)]).await?;
    store.delete(&"a".into()).await?;
    same("ref_doc", &members(store, "doc").await?, &None::<Vec<String>>)?;
    same("scan", &all(store.scan_ref_docs(None)).await?, &[(); 0])?;
    add(store, vec![child("a", "doc").with_metadata("new", 2)]).await?;
    let info = RefDocInfo::new(ids(&["a"]), object(json!({"new": 2})));
    same("begun anew", &store.ref_doc(&ref_doc("doc")).await?, &Some(info))
}

/// The document stored under the ref doc's id stays, with its hash, when the last node is deleted.
async fn delete_leaves_the_stored_document(store: &dyn DocStore) -> CaseResult {
    let document = Node::document("the source").with_id("doc");
    add(store, vec![document.clone(), child("a", "doc")]).await?;
    same("delete", &store.delete_many(&ids(&["a"])).await?, &1_usize)?;
    same("the document", &store.get(&"doc".into()).await?, &Some(&document))?;
    same("its hash", &store.hash(&"doc".into()).await?, &Some(document.hash()))
}

/// Its nodes, their hashes, its info, and the document stored under its id, which is not counted.
async fn delete_ref_doc_removes_all_of_it(store: &dyn DocStore) -> CaseResult {
    let mut nodes: Vec<Node> = (0..60).map(|n| child(&format!("n{n}"), "doc")).collect();
    nodes.push(Node::document("the source").with_id("doc"));
    nodes.push(child("other", "doc-2"));
    add(store, nodes).await?;
    same("answer", &store.delete_ref_doc(&ref_doc("doc")).await?, &Some(RefDocDeleted::new(60)))?;
    same("nodes left", &ids_of(&all(store.scan(None)).await?), &["other"])?;
    let hashed: Vec<_> = all(store.scan_hashes(None)).await?.into_iter().map(|(id, _)| id).collect();
    same("hashes left", &hashed, &["other"])?;
    let ref_docs: Vec<_> = all(store.scan_ref_docs(None)).await?.into_iter().map(|(id, _)| id).collect();
    same("ref docs left", &ref_docs, &["doc-2"])?;
    same("again", &store.delete_ref_doc(&ref_doc("doc")).await?, &None::<RefDocDeleted>)
}

/// Deleting what is not there is `None`.
async fn delete_ref_doc_of_nothing_is_none(store: &dyn DocStore) -> CaseResult {
    add(store, vec![child("a", "doc")]).await?;
    for id in ["nobody", "do", "doc1", "DOC"] {
        same(id, &store.delete_ref_doc(&ref_doc(id)).await?, &None::<RefDocDeleted>)?;
    }
    same("doc", &members(store, "doc").await?, &Some(["a"]))
}

/// A document that no node names as its source is removed as well.
async fn delete_ref_doc_of_a_document_without_nodes(store: &dyn DocStore) -> CaseResult {
    add(store, vec![Node::document("alone").with_id("doc"), Node::document("other").with_id("doc-2")])
        .await?;
    same("answer", &store.delete_ref_doc(&ref_doc("doc")).await?, &Some(RefDocDeleted::new(0)))?;
    same("left", &ids_of(&all(store.scan(None)).await?), &["doc-2"])?;
    same("its hash", &store.hash(&"doc".into()).await?, &None::<String>)
}

/// Nodes that moved away before are not removed with their old ref doc.
async fn delete_ref_doc_leaves_moved_nodes(store: &dyn DocStore) -> CaseResult {
    add(store, vec![child("a", "doc-1"), child("b", "doc-1")]).await?;
    add(store, vec![child("b", "doc-2")]).await?;
    same("answer", &store.delete_ref_doc(&ref_doc("doc-1")).await?, &Some(RefDocDeleted::new(1)))?;
    same("left", &ids_of(&all(store.scan(None)).await?), &["b"])?;
    same("doc-2", &members(store, "doc-2").await?, &Some(["b"]))
}

/// A document that has a source itself leaves that one when it goes: no list names what is gone.
async fn deleted_document_leaves_its_own_source(store: &dyn DocStore) -> CaseResult {
    let document = Node::document("part of a collection").with_id("doc").with_source("collection");
    add(store, vec![document, child("x", "collection"), child("a", "doc")]).await?;
    same("answer", &store.delete_ref_doc(&ref_doc("doc")).await?, &Some(RefDocDeleted::new(1)))?;
    same("the collection", &members(store, "collection").await?, &Some(["x"]))
}

/// A scan of ref docs gives each once with its nodes.
async fn scan_ref_docs_gives_each_once(store: &dyn DocStore) -> CaseResult {
    let mut expected = Vec::new();
    let mut nodes = Vec::new();
    for number in 0..40 {
        let (id, members) = (format!("doc {number}"), [format!("{number}/b"), format!("{number}/a")]);
        nodes.extend(members.iter().map(|member| child(member, &id).with_metadata("n", number)));
        let members = members.iter().map(|member| member.as_str().into()).collect();
        expected.push((id, RefDocInfo::new(members, object(json!({"n": number})))));
    }
    add(store, nodes).await?;
    let found = all(store.scan_ref_docs(None)).await?;
    same_items("40 ref docs", &found, &expected)?;
    same("the second scan", &all(store.scan_ref_docs(None)).await?, &found)
}
