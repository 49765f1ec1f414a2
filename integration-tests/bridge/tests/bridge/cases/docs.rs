//! Documents. The cases share one store, so each has ids of its own.

use serde_json::{Value, json};

use super::{Case, ids, node, sorted};
use crate::CaseResult;
use crate::store::{Store, same};

pub(super) const CASES: &[Case] = &[
    Case { name: "docs::nodes_come_back_equal", run: nodes_come_back_equal },
    Case { name: "docs::modes_are_kept", run: modes_are_kept },
    Case { name: "docs::ref_docs_know_their_nodes", run: ref_docs_know_their_nodes },
    Case { name: "docs::hashes_are_set_and_listed", run: hashes_are_set_and_listed },
    Case { name: "docs::listings_have_pages", run: listings_have_pages },
    Case { name: "docs::find_filters_sorts_and_projects", run: find_filters_sorts_and_projects },
];

fn plain(id: &str, source: Option<&str>) -> Value {
    node(id, source, id, &json!({"of": source}), &Value::Null)
}

fn nodes_come_back_equal(store: &Store) -> CaseResult {
    let metadata =
        json!({"z": 1, "a": 1.0, "n": {"b": [1, 2.5, "é", null]}, "big": 9_007_199_254_740_993_i64});
    let full = node("eq-1", Some("eq-doc"), "Tokaj\u{0}\n", &metadata, &json!([1.0, -0.5]));
    store.is("docs.add", json!({"nodes": [full]}), json!({"written": 1, "skipped": 0}))?;
    let get = json!({"ids": ["eq-x", "eq-1"]});
    store.is("docs.get_many", get.clone(), json!([null, full]))?;
    // An older form, with a member that is not known, is normalised.
    let older =
        json!({"__type__": "1", "__data__": {"id_": "eq-2", "text": "t", "metadata": {"k": 1}, "odd": 1}});
    store.is("docs.add", json!({"nodes": [older]}), json!({"written": 1, "skipped": 0}))?;
    let today = node("eq-2", None, "t", &json!({"k": 1}), &Value::Null);
    store.is("docs.get_many", json!({"ids": ["eq-2"]}), json!([today]))?;
    store.is("docs.delete_many", json!({"ids": ["eq-1", "eq-x", "eq-2", "eq-1"]}), json!(2))?;
    store.is("docs.get_many", get, json!([null, null]))
}

fn modes_are_kept(store: &Store) -> CaseResult {
    let add = |ids: &[&str], mode: &str| {
        let nodes: Vec<_> = ids.iter().map(|id| plain(id, None)).collect();
        json!({"nodes": nodes, "mode": mode})
    };
    store.is("docs.add", add(&["mode-a"], "fail"), json!({"written": 1, "skipped": 0}))?;
    store.is(
        "docs.add",
        add(&["mode-a", "mode-b", "mode-b"], "skip"),
        json!({"written": 1, "skipped": 1}),
    )?;
    store.refused("docs.add", add(&["mode-c", "mode-a"], "fail"), "already_exists", &["mode-a"])?;
    store.refused("docs.add", add(&["mode-d", "mode-d"], "fail"), "invalid_input", &["mode-d"])?;
    let found = store.ok("docs.get_many", json!({"ids": ["mode-a", "mode-b", "mode-c", "mode-d"]}))?;
    same("the nodes", &json!(ids(&found)), &json!(["mode-a", "mode-b", "mode-c"]))
}

fn ref_docs_know_their_nodes(store: &Store) -> CaseResult {
    let nodes = [plain("ref-1", Some("ref-doc")), plain("ref-2", Some("ref-doc"))];
    store.ok("docs.add", json!({"nodes": nodes}))?;
    let hash_only = json!({"nodes": [plain("ref-3", Some("ref-doc"))], "store_text": false});
    store.is("docs.add", hash_only, json!({"written": 1, "skipped": 0}))?;
    let id = json!({"ref_doc_id": "ref-doc"});
    let info = json!({"node_ids": ["ref-1", "ref-2", "ref-3"], "metadata": {"of": "ref-doc"}});
    store.is("docs.ref_doc", id.clone(), info)?;
    store.is("docs.get_many", json!({"ids": ["ref-3"]}), json!([null]))?;
    let hash = store.ok("docs.hashes", json!({"ids": ["ref-3", "ref-x"]}))?;
    if !hash.pointer("/0").is_some_and(Value::is_string) || hash.pointer("/1") != Some(&Value::Null) {
        return Err(format!("hashes: {hash}"));
    }
    store.is("docs.delete_many", json!({"ids": ["ref-1"]}), json!(1))?;
    let deleted = store.ok("docs.delete_ref_doc", id.clone())?;
    same("existed", deleted.get("existed").unwrap_or(&Value::Null), &json!(true))?;
    store.is("docs.ref_doc", id.clone(), Value::Null)?;
    store.is("docs.get_many", json!({"ids": ["ref-2"]}), json!([null]))?;
    store.is("docs.delete_ref_doc", id, json!({"existed": false, "nodes": 0}))
}

fn hashes_are_set_and_listed(store: &Store) -> CaseResult {
    let hashes = json!({"hash-a": "1", "hash-b": "é", "hash-c": "3"});
    store.is("docs.set_hashes", json!({"hashes": hashes}), Value::Null)?;
    store.is("docs.hashes", json!({"ids": ["hash-b", "hash-x", "hash-a"]}), json!(["é", null, "1"]))?;
    let mut all = store.pages("docs.all_hashes", json!({}))?;
    all.retain(|item| first(item).starts_with("hash-"));
    same("all hashes", &sorted(all), &json!([["hash-a", "1"], ["hash-b", "é"], ["hash-c", "3"]]))
}

fn first(item: &Value) -> &str {
    item.pointer("/0").and_then(Value::as_str).unwrap_or_default()
}

fn listings_have_pages(store: &Store) -> CaseResult {
    let expected: Vec<String> = (1..=5).map(|n| format!("list-{n}")).collect();
    let nodes: Vec<_> = expected.iter().map(|id| plain(id, Some(&format!("doc-{id}")))).collect();
    store.ok("docs.add", json!({"nodes": nodes}))?;
    let mut found = store.pages("docs.scan", json!({}))?;
    found.retain(|node| {
        node.pointer("/__data__/text").is_some_and(|text| expected.iter().any(|id| text == id))
    });
    same("all nodes", &sorted(found), &sorted(nodes))?;
    let mut ref_docs = store.pages("docs.ref_docs", json!({}))?;
    ref_docs.retain(|item| first(item).starts_with("doc-list-"));
    let info = |id: &String| {
        let source = format!("doc-{id}");
        json!([source, {"node_ids": [id], "metadata": {"of": source}}])
    };
    same("all ref docs", &sorted(ref_docs), &sorted(expected.iter().map(info).collect()))
}

fn find_filters_sorts_and_projects(store: &Store) -> CaseResult {
    let of = |n: i64, year: &Value| {
        node(
            &format!("find-{n}"),
            None,
            "t",
            &json!({"case": "find", "year": year, "m": {"n": n}}),
            &Value::Null,
        )
    };
    let nodes = [
        of(1, &json!(2024)),
        of(2, &json!(2022)),
        of(3, &json!(2024.5)),
        of(4, &Value::Null),
        of(5, &json!("x")),
    ];
    store.ok("docs.add", json!({"nodes": nodes}))?;
    let filter = json!({"key": "case", "value": "find"});
    let query = json!({"filter": filter, "sort": [["year", "asc"]]});
    let found = Value::from(store.pages("docs.find", query)?);
    same("by year", &json!(ids(&found)), &json!(["find-4", "find-2", "find-1", "find-3", "find-5"]))?;
    let both = json!({"filters": [filter, {"key": "year", "operator": ">", "value": 2022}]});
    let query = json!({"filter": both, "sort": [["year", "desc"]], "projection": ["metadata.m.n"]});
    let kept = |n: i64| {
        let data = json!({"id_": format!("find-{n}"), "metadata": {"m": {"n": n}}, "class_name": "TextNode"});
        json!({"__data__": data, "__type__": "1"})
    };
    store.is("docs.find", query, json!({"items": [kept(3), kept(1)], "next": null}))?;
    store.refused("docs.find", json!({"sort": [["year", "up"]]}), "invalid_input", &[])?;
    store.refused("docs.find", json!({"sort": [["year"]]}), "invalid_input", &[])?;
    store.refused("docs.find", json!({"limit": 2, "after": "rubbish"}), "invalid_input", &[]).map(drop)
}
