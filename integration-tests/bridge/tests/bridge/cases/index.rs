//! Index structs.

use serde_json::{Value, json};

use super::{Case, sorted};
use crate::CaseResult;
use crate::store::{Store, same};

pub(super) const CASES: &[Case] = &[
    Case { name: "index::structs_come_and_go", run: structs_come_and_go },
    Case { name: "index::a_scan_has_pages", run: a_scan_has_pages },
];

fn list(id: &str) -> Value {
    json!({"__type__": "list", "__data__": {"index_id": id, "summary": null, "nodes": ["b", "a"], "own": 1.0}})
}

fn structs_come_and_go(store: &Store) -> CaseResult {
    let id = json!({"index_id": "go é"});
    store.is("index.get", id.clone(), Value::Null)?;
    store.is("index.put", json!({"struct": list("go é")}), Value::Null)?;
    store.is("index.get", id.clone(), list("go é"))?;
    store.is("index.delete", id.clone(), json!(true))?;
    store.is("index.delete", id.clone(), json!(false))?;
    store.is("index.get", id, Value::Null)
}

fn a_scan_has_pages(store: &Store) -> CaseResult {
    let structs: Vec<_> = (1..=5).map(|n| list(&format!("page-{n}"))).collect();
    for index in &structs {
        store.ok("index.put", json!({"struct": index}))?;
    }
    let mut found = store.pages("index.scan", json!({}))?;
    found.retain(|index| {
        index.pointer("/__data__/index_id").and_then(Value::as_str).is_some_and(|id| id.starts_with("page-"))
    });
    same("all structs", &sorted(found), &sorted(structs))
}
