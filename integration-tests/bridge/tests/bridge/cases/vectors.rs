//! Vectors. One case, step by step: a namespace has one default vector set.

use serde_json::{Value, json};

use super::{Case, ids, node};
use crate::CaseResult;
use crate::store::{Store, same};

pub(super) const CASES: &[Case] = &[Case { name: "vectors::every_operation", run: every_operation }];

fn every_operation(store: &Store) -> CaseResult {
    nothing_comes_before_the_configuration(store)?;
    configured_once(store)?;
    nodes_are_written(store)?;
    nodes_are_read(store)?;
    queries_are_answered(store)?;
    bad_queries_are_refused(store)?;
    if store.offered().any(|op| op == "vectors.distinct") {
        fields_are_asked_for(store)?;
    } else {
        store.refused("vectors.field_info", json!({}), "unsupported", &[])?;
    }
    selected_nodes_are_changed(store)
}

fn nothing_comes_before_the_configuration(store: &Store) -> CaseResult {
    store.refused("vectors.count", json!({}), "config", &[])?;
    store.refused("vectors.get", json!({}), "config", &[])?;
    store.refused("vectors.clear", json!({}), "config", &[]).map(drop)
}

fn configured_once(store: &Store) -> CaseResult {
    let fields = json!([
        {"key": "year", "type": "integer"},
        {"key": "tag", "type": "text"},
    ]);
    let of = |dimensions: Value, metric: &str, fields: &Value| json!({"dimensions": dimensions, "metric": metric, "filterable": fields});
    for bad in [
        of(json!(0), "cosine", &fields),
        of(json!(2.0), "cosine", &fields),
        of(json!(2), "manhattan", &fields),
        of(json!(2), "cosine", &json!([{"key": "a", "type": "list"}])),
        of(json!(2), "cosine", &json!([{"key": "a"}])),
        of(json!(2), "cosine", &json!([{"key": "a", "type": "text", "more": 1}])),
        json!({"dimensions": 2}),
    ] {
        store.refused("vectors.configure", bad, "invalid_input", &[])?;
    }
    store.is("vectors.configure", of(json!(2), "cosine", &fields), Value::Null)?;
    store.is("vectors.configure", of(json!(2), "cosine", &fields), Value::Null)?;
    store.refused("vectors.configure", of(json!(3), "cosine", &fields), "config", &[])?;
    store.refused("vectors.configure", of(json!(2), "dot", &fields), "config", &[]).map(drop)
}

fn wine(id: &str, year: i64, text: &str, embedding: &Value) -> Value {
    node(id, Some("wines"), text, &json!({"year": year, "tag": id, "z": {"b": [1, 2.5]}}), embedding)
}

fn wines() -> [Value; 3] {
    [
        wine("a", 2020, "red wine", &json!([1.0, 0.0])),
        wine("b", 2021, "white wine", &json!([0.75, 1.0])),
        wine("c", 2022, "old cheese", &json!([0.0, 1.0])),
    ]
}

fn nodes_are_written(store: &Store) -> CaseResult {
    let both = json!({"nodes": [wine("a", 1, "t", &json!([1.0])), wine("b", 1, "t", &json!([0.0, 0.0]))]});
    store.refused("vectors.upsert", both, "invalid_input", &["a", "b"])?;
    store.is("vectors.count", json!({}), json!(0))?;
    store.is("vectors.upsert", json!({"nodes": wines()}), json!({"written": 3, "skipped": 0}))?;
    let [a, ..] = wines();
    store.is("vectors.upsert", json!({"nodes": [a], "mode": "skip"}), json!({"written": 0, "skipped": 1}))?;
    store.refused("vectors.upsert", json!({"nodes": [a], "mode": "fail"}), "already_exists", &["a"]).map(drop)
}

fn without_embedding(mut node: Value) -> Value {
    if let Some(embedding) = node.pointer_mut("/__data__/embedding") {
        *embedding = Value::Null;
    }
    node
}

fn nodes_are_read(store: &Store) -> CaseResult {
    store.is("vectors.count", json!({"selector": {}}), json!(3))?;
    store.is("vectors.count", json!({"selector": {"ids": []}}), json!(0))?;
    store.is("vectors.count", json!({"selector": {"ref_docs": ["wines"], "ids": ["a", "x"]}}), json!(1))?;
    let filter = json!({"key": "year", "operator": ">=", "value": 2021});
    store.is("vectors.count", json!({"selector": {"filter": filter}}), json!(2))?;
    let found = Value::from(store.pages("vectors.get", json!({}))?);
    let mut listed = ids(&found);
    listed.sort_unstable();
    same("the pages", &json!(listed), &json!(["a", "b", "c"]))?;
    let [a, ..] = wines();
    let get = |embeddings: Value| json!({"selector": {"ids": ["a"]}, "embeddings": embeddings});
    let page = |node: &Value| json!({"items": [node], "next": null});
    store.is("vectors.get", get(json!(true)), page(&a))?;
    store.is("vectors.get", get(Value::Null), page(&without_embedding(a)))
}

fn queries_are_answered(store: &Store) -> CaseResult {
    let kinds = store.can("query_kinds").as_array().cloned().unwrap_or_default();
    for (kind, expected) in
        [("dense", &["a", "b"][..]), ("mmr", &["a", "b"]), ("text", &["a", "b"]), ("hybrid", &["a", "b"])]
    {
        let mut query = json!({"kind": kind, "top_k": 2});
        for (name, value, used) in [
            ("embedding", json!([1, 0.0]), kind != "text"),
            ("text", json!("wine"), matches!(kind, "text" | "hybrid")),
            ("threshold", json!(1), kind == "mmr"),
            ("alpha", json!(0.5), kind == "hybrid"),
        ] {
            if let (Some(query), true) = (query.as_object_mut(), used) {
                query.insert(name.to_owned(), value);
            }
        }
        if !kinds.contains(&json!(kind)) {
            store.refused("vectors.query", query, "unsupported", &[])?;
            continue;
        }
        let found = store.ok("vectors.query", query)?;
        let nodes: Vec<_> =
            found.as_array().into_iter().flatten().map(|one| one.get("node").cloned()).collect();
        let nodes = json!(nodes);
        let mut listed = ids(&nodes);
        if kind == "text" {
            // How two texts of two words each score is the engine's.
            listed.sort_unstable();
        }
        same(kind, &json!(listed), &json!(expected))?;
        if !found.pointer("/0/score").is_some_and(Value::is_f64) {
            return Err(format!("{kind}: {found}"));
        }
    }
    let filter = json!({"key": "year", "operator": ">", "value": 2020});
    let query = json!({
        "kind": "dense", "embedding": [1.0, 0.0], "top_k": 1, "selector": {"filter": filter}, "embeddings": true,
    });
    let found = store.ok("vectors.query", query)?;
    let [_, b, _] = wines();
    same("the node", found.pointer("/0/node").unwrap_or(&Value::Null), &b)?;
    let cosine = found.pointer("/0/score").and_then(Value::as_f64).unwrap_or_default();
    if (cosine - 0.6).abs() < 1e-5 { Ok(()) } else { Err(format!("the score is {cosine}")) }
}

fn bad_queries_are_refused(store: &Store) -> CaseResult {
    for bad in [
        json!({"kind": "dense", "embedding": [1.0], "top_k": 1}),
        json!({"kind": "dense", "embedding": [0.0, 0.0], "top_k": 1}),
        json!({"kind": "dense", "embedding": [1.0, 0.0], "top_k": 0}),
        json!({"kind": "dense", "embedding": [1.0, 0.0], "top_k": -1}),
        json!({"kind": "dense", "embedding": [1.0, 0.0]}),
        json!({"kind": "dense", "embedding": ["1", 0.0], "top_k": 1}),
        json!({"kind": "dense", "top_k": 1}),
        json!({"kind": "text", "top_k": 1}),
        json!({"kind": "near", "top_k": 1}),
        json!({"top_k": 1}),
        json!({"kind": "dense", "embedding": [1.0, 0.0], "top_k": 1, "selector": {"id": ["a"]}}),
        json!({"kind": "dense", "embedding": [1.0, 0.0], "top_k": 1, "selector": []}),
        json!({"kind": "dense", "embedding": [1.0, 0.0], "top_k": 1, "selector": {"filter": {"key": "a"}}}),
    ] {
        store.refused("vectors.query", bad, "invalid_input", &[])?;
    }
    Ok(())
}

fn fields_are_asked_for(store: &Store) -> CaseResult {
    let distinct = json!({"key": "year", "offset": 1, "limit": 1});
    store.is("vectors.distinct", distinct, json!({"values": [2021], "total": 3}))?;
    let search = json!({"key": "tag", "search": "B"});
    store.is("vectors.distinct", search, json!({"values": ["b"], "total": 1}))?;
    let selector = json!({"ids": ["a", "b"]});
    let counted = json!({"keys": ["year", "none"], "selector": selector});
    store.is("vectors.count_distinct", counted, json!({"year": 2, "none": 0}))?;
    store.is(
        "vectors.min_max",
        json!({"key": "year", "selector": selector}),
        json!({"min": 2020, "max": 2021}),
    )?;
    store.is("vectors.min_max", json!({"key": "none"}), json!({"min": null, "max": null}))?;
    let info = store.ok("vectors.field_info", json!({}))?;
    for (key, kind) in [("year", "integer"), ("tag", "text"), ("z", "object")] {
        same(key, info.get(key).unwrap_or(&Value::Null), &json!({"type": kind}))?;
    }
    Ok(())
}

fn selected_nodes_are_changed(store: &Store) -> CaseResult {
    let patch = json!({"set": {"year": 1999, "new": 1.0}, "unset": ["z"]});
    for everything in [json!({}), Value::Null, json!({"filter": {"filters": []}})] {
        let update = json!({"selector": everything, "patch": patch});
        store.refused("vectors.update", update, "invalid_input", &[])?;
        store.refused("vectors.delete", json!({"selector": everything}), "invalid_input", &[])?;
    }
    let one = json!({"ids": ["a"]});
    let both = json!({"selector": one, "patch": {"set": {"k": 1}, "unset": ["k"]}});
    store.refused("vectors.update", both, "invalid_input", &[])?;
    store.refused("vectors.update", json!({"selector": one, "patch": {"add": {}}}), "invalid_input", &[])?;
    store.is("vectors.update", json!({"selector": one, "patch": patch}), json!(1))?;
    let found = store.ok("vectors.get", json!({"selector": one}))?;
    let metadata = found.pointer("/items/0/__data__/metadata").unwrap_or(&Value::Null);
    same("the metadata", metadata, &json!({"year": 1999, "tag": "a", "new": 1.0}))?;
    store.is("vectors.delete", json!({"selector": {"ids": ["a", "x"]}}), json!(1))?;
    store.is("vectors.count", json!({}), json!(2))?;
    store.is("vectors.clear", json!({}), Value::Null)?;
    store.is("vectors.count", json!({}), json!(0))
}
