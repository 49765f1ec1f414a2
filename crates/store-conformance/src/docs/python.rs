//! Documents beside LlamaIndex's Python, where both write the same key-values. A store that keeps its documents
//! otherwise is asked the same, and what is written beside them changes nothing.

use serde_json::json;
use store_core::{AddOptions, DocStore, KvStore, KvStoreExt, RefDocDeleted};

use crate::case::{Need, cases};
use crate::check::{CaseResult, same};
use crate::data::{all, object};
use crate::harness::Env;
use crate::nodes::{child, ids, ids_of, ref_doc};

cases! { "docs", Env:
    delete_leaves_a_ref_doc_that_python_forgot [Need::Docs, Need::Kv],
    delete_ref_doc_removes_nodes_whose_entries_python_cut [Need::Docs, Need::Kv],
}

/// What Python's `set_document_hash` leaves of the entries of nodes: the hash, and no word of their source document.
async fn set_hashes_as_python(kv: &dyn KvStore, ids: &[&str]) -> CaseResult {
    for id in ids {
        kv.put("docstore/metadata", id, object(json!({"doc_hash": "set by Python"}))).await?;
    }
    Ok(())
}

/// The ids of the hashes that are left.
async fn hashed(docs: &dyn DocStore) -> CaseResult<Vec<String>> {
    Ok(all(docs.scan_hashes(None)).await?.into_iter().map(|(id, _)| id.into_string()).collect())
}

/// A deleted node leaves its ref doc also if Python set its hash since.
async fn delete_leaves_a_ref_doc_that_python_forgot(env: &Env) -> CaseResult {
    let docs = env.docs()?;
    let nodes = ["a", "b", "c"].map(|id| child(id, "doc")).into_iter().chain([child("d", "other")]);
    docs.add(nodes.collect(), AddOptions::default()).await?;
    set_hashes_as_python(&*env.kv()?, &["a", "d"]).await?;
    same("delete", &docs.delete_many(&ids(&["d", "a", "b"])).await?, &3_usize)?;
    let left = docs.ref_doc(&ref_doc("doc")).await?.map(|info| info.node_ids);
    same("doc", &left, &Some(ids(&["c"])))?;
    let other = docs.ref_doc(&ref_doc("other")).await?.map(|info| info.node_ids);
    same("other", &other, &None::<Vec<String>>)?;
    same("nodes left", &ids_of(&all(docs.scan(None)).await?), &["c"])?;
    same("hashes left", &hashed(&*docs).await?, &["c"])
}

/// And goes with it.
async fn delete_ref_doc_removes_nodes_whose_entries_python_cut(env: &Env) -> CaseResult {
    let docs = env.docs()?;
    let nodes = ["a", "b"].map(|id| child(id, "doc")).into_iter().chain([child("c", "other")]);
    docs.add(nodes.collect(), AddOptions::default()).await?;
    set_hashes_as_python(&*env.kv()?, &["a", "c"]).await?;
    same("answer", &docs.delete_ref_doc(&ref_doc("doc")).await?, &Some(RefDocDeleted::new(2)))?;
    same("nodes left", &ids_of(&all(docs.scan(None)).await?), &["c"])?;
    same("hashes left", &hashed(&*docs).await?, &["c"])
}
