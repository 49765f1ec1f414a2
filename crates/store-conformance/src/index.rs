//! Index structs: bridge section 6.

use serde_json::{Value, json};
use store_core::{IndexStore, IndexStruct};

use crate::case::{Case, cases};
use crate::check::{CaseResult, holds, invalid, same, same_items};
use crate::data::{all, object, odd_keys, odd_object};

pub(crate) const SUITES: &[&[Case]] = &[CASES];

cases! { "index", Index:
    put_then_get_every_type,
    missing_is_none,
    put_replaces_the_whole_struct,
    delete_says_whether_it_existed,
    scan_gives_each_once,
    scan_goes_on_after_any_id,
    odd_ids_are_kept_apart,
    odd_data_comes_back,
    empty_id_is_refused,
}

fn index(type_name: &str, data: Value) -> CaseResult<IndexStruct> {
    Ok(IndexStruct::new(type_name, object(data))?)
}

fn list(id: &str, nodes: &[&str]) -> CaseResult<IndexStruct> {
    index("list", json!({"index_id": id, "summary": null, "nodes": nodes}))
}

/// Every type that LlamaIndex has comes back as it was.
async fn put_then_get_every_type(store: &dyn IndexStore) -> CaseResult {
    let types = [
        (
            "vector_store",
            json!({"nodes_dict": {"v2": "n2", "v1": "n1"}, "doc_id_dict": {}, "embeddings_dict": {}}),
        ),
        ("multimodal", json!({"nodes_dict": {}, "doc_id_dict": {}, "embeddings_dict": {}})),
        ("list", json!({"nodes": ["n2", "n1"]})),
        (
            "tree",
            json!({"all_nodes": {"10": "x", "9": "y"}, "root_nodes": {"0": "x"}, "node_id_to_children_ids": {"x": ["y"]}}),
        ),
        ("keyword_table", json!({"table": {"zebra": ["n1"], "ant": ["n2", "n1"]}})),
        (
            "kg",
            json!({"table": {}, "rel_map": {"s": [["rel", "obj"]]}, "embedding_dict": {"s": [0.5, -1.0]}}),
        ),
        (
            "document_summary",
            json!({"summary_id_to_node_ids": {}, "node_id_to_summary_id": {}, "doc_id_to_summary_id": {}}),
        ),
        ("simple_lpg", json!({})),
        ("empty", json!({})),
        ("sql", json!({"context_dict": {"t": "a table"}})),
    ];
    for (name, more) in types {
        let mut data = object(json!({"index_id": format!("the {name}"), "summary": "s"}));
        data.extend(object(more));
        let put = IndexStruct::new(name, data)?;
        store.put(put.clone()).await?;
        same(name, &store.get(put.index_id()).await?, &Some(put))?;
    }
    same("structs", &all(store.scan(None)).await?.len(), &10_usize)
}

/// A missing index is `None`.
async fn missing_is_none(store: &dyn IndexStore) -> CaseResult {
    store.put(list("a", &[])?).await?;
    same("b", &store.get("b").await?, &None::<IndexStruct>)
}

/// A put over an existing id leaves nothing of the old struct, its type neither.
async fn put_replaces_the_whole_struct(store: &dyn IndexStore) -> CaseResult {
    store.put(list("a", &["n1", "n2"])?).await?;
    let new = index("sql", json!({"index_id": "a", "summary": null, "context_dict": {"x": "y"}}))?;
    store.put(new.clone()).await?;
    same("get", &store.get("a").await?, &Some(new.clone()))?;
    same("scan", &all(store.scan(None)).await?, &[new])
}

/// A delete answers whether there was anything.
async fn delete_says_whether_it_existed(store: &dyn IndexStore) -> CaseResult {
    store.put(list("a", &[])?).await?;
    store.put(list("ab", &[])?).await?;
    same("the first", &store.delete("a").await?, &true)?;
    same("the second", &store.delete("a").await?, &false)?;
    same("get", &store.get("a").await?, &None::<IndexStruct>)?;
    same("ab stays", &store.get("ab").await?.is_some(), &true)
}

/// A scan gives all structs, each once.
async fn scan_gives_each_once(store: &dyn IndexStore) -> CaseResult {
    same("none yet", &all(store.scan(None)).await?, &[(); 0])?;
    let mut structs = Vec::new();
    for number in 0..60 {
        let put = list(&format!("i{number}"), &["n"])?;
        store.put(put.clone()).await?;
        structs.push(put);
    }
    same_items("sixty", &all(store.scan(None)).await?, &structs)
}

/// Any id resumes a scan, also a deleted one.
async fn scan_goes_on_after_any_id(store: &dyn IndexStore) -> CaseResult {
    for number in 0..20 {
        store.put(list(&format!("i{number}"), &[])?).await?;
    }
    let order = all(store.scan(None)).await?;
    for (place, at) in order.iter().enumerate() {
        let rest = order.get(place + 1..).unwrap_or_default();
        let id = at.index_id().to_owned();
        same(format!("after {id}"), &all(store.scan(Some(id.clone()))).await?, rest)?;
        if place % 5 == 0 {
            store.delete(&id).await?;
            same(format!("after {id}, deleted"), &all(store.scan(Some(id))).await?, rest)?;
        }
        // Put back for the places behind.
        store.put(at.clone()).await?;
    }
    Ok(())
}

/// Ids are free text.
async fn odd_ids_are_kept_apart(store: &dyn IndexStore) -> CaseResult {
    let keys = odd_keys();
    let mut structs = Vec::new();
    for key in &keys {
        let put = list(key, &[key])?;
        store.put(put.clone()).await?;
        structs.push(put);
    }
    for (key, put) in keys.iter().zip(&structs) {
        same(format!("{key:?}"), &store.get(key).await?, &Some(put))?;
    }
    same_items("a scan", &all(store.scan(None)).await?, &structs)
}

/// Data keeps order and number kinds.
async fn odd_data_comes_back(store: &dyn IndexStore) -> CaseResult {
    let put = index(
        "list",
        json!({"z": 1.0, "index_id": "a", "odd": odd_object(), "summary": null, "b": [-0.0, 1, 1.0]}),
    )?;
    store.put(put.clone()).await?;
    same("get", &store.get("a").await?, &Some(put.clone()))?;
    same("scan", &all(store.scan(None)).await?, &[put])
}

/// An empty id is `InvalidInput` (where the struct itself does not refuse it).
async fn empty_id_is_refused(store: &dyn IndexStore) -> CaseResult {
    invalid("get", store.get("").await)?;
    invalid("delete", store.delete("").await)?;
    if let Ok(nameless) =
        IndexStruct::new("list", object(json!({"index_id": "", "summary": null, "nodes": []})))
    {
        invalid("put", store.put(nameless).await)?;
    }
    holds(all(store.scan(None)).await?.is_empty(), "something was written")
}
