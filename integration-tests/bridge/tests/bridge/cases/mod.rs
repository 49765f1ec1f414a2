//! The cases: of the program, and of each role on each backend.

mod chat;
mod docs;
mod index;
mod kv;
mod program;
mod refusals;
mod stores;
mod vectors;

use std::sync::Arc;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::CaseResult;
use crate::backends::Backend;
use crate::store::Store;

/// A case on a store. It runs beside all others of its backend.
struct Case {
    name: &'static str,
    run: fn(&Store) -> CaseResult,
}

/// The cases of each role; the first part of the role's operations says which stores have it.
const ROLES: &[(&str, &[Case])] = &[
    ("", stores::CASES),
    ("", refusals::CASES),
    ("kv.", kv::CASES),
    ("docs.", docs::CASES),
    ("index.", index::CASES),
    ("chat.", chat::CASES),
    ("vectors.", vectors::CASES),
];

/// The cases of one backend.
pub(crate) fn of_store(backend: &Arc<Backend>) -> Vec<Trial> {
    let cases = ROLES.iter().flat_map(|(role, cases)| cases.iter().map(move |case| (*role, case)));
    let trial = |(role, case): (&'static str, &'static Case)| {
        let name = format!("{}::{}", backend.name, case.name);
        let backend = Arc::clone(backend);
        crate::trial(name, backend.missing(), move || {
            let store = backend.store()?;
            let offered = store.offered().any(|op| op.starts_with(role));
            if offered { (case.run)(&store) } else { Ok(()) }
        })
    };
    cases.map(trial).collect()
}

/// The cases that need no backend.
pub(crate) fn of_the_program() -> Vec<Trial> {
    let trial = |(name, run): &program::ProgramCase| crate::trial(format!("program::{name}"), None, *run);
    program::CASES.iter().map(trial).collect()
}

/// A node in today's form.
fn node(id: &str, source: Option<&str>, text: &str, metadata: &Value, embedding: &Value) -> Value {
    let source = source.map(|id| {
        json!({"1": {
            "node_id": id, "node_type": "4", "metadata": {}, "hash": null, "class_name": "RelatedNodeInfo",
        }})
    });
    json!({
        "__data__": {
            "id_": id,
            "embedding": embedding,
            "metadata": metadata,
            "excluded_embed_metadata_keys": [],
            "excluded_llm_metadata_keys": [],
            "relationships": source.unwrap_or_else(|| json!({})),
            "metadata_template": "{key}: {value}",
            "metadata_separator": "\n",
            "text": text,
            "mimetype": "text/plain",
            "start_char_idx": null,
            "end_char_idx": null,
            "text_template": "{metadata_str}\n\n{content}",
            "class_name": "TextNode",
        },
        "__type__": "1",
    })
}

/// The items in the order of their JSON.
fn sorted(mut items: Vec<Value>) -> Value {
    items.sort_by_key(ToString::to_string);
    Value::Array(items)
}

/// The ids of nodes, in order.
fn ids(nodes: &Value) -> Vec<&str> {
    nodes
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|node| node.pointer("/__data__/id_")?.as_str())
        .collect()
}
