//! Handles, namespaces, capabilities.

use serde_json::{Value, json};

use super::Case;
use crate::CaseResult;
use crate::store::{Store, check_error, same};

pub(super) const CASES: &[Case] = &[
    Case { name: "capabilities_have_their_form", run: capabilities_have_their_form },
    Case { name: "a_namespace_is_emptied_and_closed", run: a_namespace_is_emptied_and_closed },
];

fn capabilities_have_their_form(store: &Store) -> CaseResult {
    let found = store.ok("capabilities", json!({}))?;
    let members: Vec<&str> = found.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let known = ["backend", "shared", "ops", "query_kinds", "ttl", "filter"];
    let holds = members == known
        && found.get("backend").is_some_and(Value::is_string)
        && found.get("shared").is_some_and(Value::is_boolean)
        && found.get("ttl").is_some_and(Value::is_boolean)
        && found.pointer("/filter/operators").is_some_and(Value::is_array)
        && found.pointer("/filter/may_refuse").is_some_and(Value::is_boolean);
    let kinds = found.get("query_kinds").and_then(Value::as_array).into_iter().flatten();
    let known =
        kinds.map(Value::as_str).all(|kind| matches!(kind, Some("dense" | "text" | "hybrid" | "mmr")));
    if holds && known { Ok(()) } else { Err(format!("capabilities: {found}")) }
}

/// In a namespace of its own, through two handles.
fn a_namespace_is_emptied_and_closed(store: &Store) -> CaseResult {
    if !store.offered().any(|op| op.starts_with("index.")) {
        return Ok(());
    }
    let namespace = format!("x{}", std::process::id());
    let (first, second) = (store.open_again(&namespace)?, store.open_again(&namespace)?);
    let ok =
        |handle, op: &str, args| store.through(handle, op, args)?.map_err(|error| format!("{op}: {error}"));
    let index = json!({"__type__": "list", "__data__": {"index_id": "i", "nodes": []}});
    ok(first, "index.put", json!({"struct": index}))?;
    let get = json!({"index_id": "i"});
    same("through the second handle", &ok(second, "index.get", get.clone())?, &index)?;
    store.is("index.get", get.clone(), Value::Null)?;
    same("drop", &ok(first, "drop", json!({}))?, &Value::Null)?;
    same("after the drop", &ok(first, "index.get", get.clone())?, &Value::Null)?;
    same("after the drop", &ok(second, "index.get", get.clone())?, &Value::Null)?;
    same("close", &ok(first, "close", json!({}))?, &Value::Null)?;
    for op in ["index.get", "close"] {
        let args = if op == "close" { json!({}) } else { get.clone() };
        match store.through(first, op, args)? {
            Ok(answer) => return Err(format!("{op} of a closed handle answered {answer}")),
            Err(error) => check_error("a closed handle", &error, op, "invalid_input", &[])?,
        };
    }
    // The other handle goes on.
    same("after the close", &ok(second, "index.get", get)?, &Value::Null)?;
    ok(second, "drop", json!({}))?;
    ok(second, "close", json!({}))?;
    Ok(())
}
