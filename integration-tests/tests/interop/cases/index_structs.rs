//! Index structs of every type.

use serde_json::{Value, json};
use store_core::IndexStruct;

use super::{Case, Role};
use crate::CaseResult;
use crate::side::{Pair, id};

pub(super) fn cases() -> Vec<Case> {
    let members = [
        (
            "vector_store",
            json!({"nodes_dict": {"v'1": "n1", "ż": "n2"}, "doc_id_dict": {}, "embeddings_dict": {}}),
        ),
        ("multimodal", json!({"nodes_dict": {"v1": "n1"}, "doc_id_dict": {}, "embeddings_dict": {}})),
        ("list", json!({"nodes": ["n1", "ż 🚀"]})),
        (
            "tree",
            json!({"all_nodes": {"0": "n0", "1": "n1"}, "root_nodes": {"0": "n0"},
            "node_id_to_children_ids": {"n0": ["n1"], "n1": []}}),
        ),
        // A set in Python: of one, which has no order.
        ("keyword_table", json!({"table": {"wine": ["n1"], "é": ["n2"]}})),
        (
            "kg",
            json!({"table": {"wine": ["n1"]}, "rel_map": {"a": [["b", "c"]]}, "embedding_dict": {"t": [0.5, -1.0]}}),
        ),
        (
            "document_summary",
            json!({"summary_id_to_node_ids": {"s": ["n1", "n2"]},
            "node_id_to_summary_id": {"n1": "s", "n2": "s"}, "doc_id_to_summary_id": {"d": "s"}}),
        ),
        ("simple_lpg", json!({})),
        ("empty", json!({})),
    ];
    let mut cases: Vec<Case> = members
        .into_iter()
        .map(|(kind, members)| {
            Case::new(Role::IndexStructs, kind, move |pair| there_and_back(pair, kind, &members))
        })
        .collect();
    cases.push(Case::new(Role::IndexStructs, "listing", listing));
    cases
}

/// As it is stored.
fn stored(
    pair: &Pair<'_>,
    name: &str,
    kind: &str,
    summary: Option<&str>,
    members: &Value,
) -> CaseResult<Value> {
    let mut data = json!({"index_id": pair.named(name), "summary": summary});
    for (member, value) in members.as_object().into_iter().flatten() {
        if let Some(data) = data.as_object_mut() {
            data.insert(member.clone(), value.clone());
        }
    }
    let json = serde_json::from_value(json!({"__type__": kind, "__data__": data}))
        .map_err(|error| error.to_string())?;
    let index = IndexStruct::from_json(json).map_err(|error| error.to_string())?;
    Ok(Value::Object(index.to_stored_json()))
}

fn there_and_back(pair: &Pair<'_>, kind: &str, members: &Value) -> CaseResult {
    let name = id(&pair.named("i"));
    let first = stored(pair, "i", kind, None, members)?;
    pair.writer.call("index.put", json!({"struct": first}))?;
    pair.both("index.get", &name, &first)?;
    let changed = stored(pair, "i", kind, Some("Zażółć 🚀"), members)?;
    pair.reader.call("index.put", json!({"struct": changed}))?;
    pair.both("index.get", &name, &changed)?;
    pair.reader.call("index.delete", name.clone())?;
    pair.both("index.get", &name, &Value::Null)
}

fn listing(pair: &Pair<'_>) -> CaseResult {
    let names = ["a", "b", "c"];
    for name in names {
        let index = stored(pair, name, "list", None, &json!({"nodes": [name]}))?;
        pair.writer.call("index.put", json!({"struct": index}))?;
    }
    let prefix = json!({"prefix": pair.prefix});
    pair.both("index.listed", &prefix, &json!(names.map(|name| pair.named(name))))?;
    pair.reader.call("index.delete", id(&pair.named("b")))?;
    pair.both("index.listed", &prefix, &json!([pair.named("a"), pair.named("c")]))
}
