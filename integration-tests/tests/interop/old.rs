//! Nodes and folders that old releases of LlamaIndex write themselves, by `integration-tests/interop/old.py`.
//!
//! A release is only unpacked (`scripts/python-env --files scripts/python/old-….txt` prints where) and runs on the packages
//! of the suite. The variable names the place.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use libtest_mimic::{Completion, Trial};
use nodestore::folder::Import;
use nodestore::{
    Backend as _, DocStoreExt as _, MemoryBackend, NodeId, RefDocId, VectorQuery, VectorStoreExt as _,
};
use serde::Deserialize;
use serde_json::{Value, json};
use store_core::python::parse_json;
use tokio::runtime::Runtime;

use crate::CaseResult;
use crate::cases::OLD_NODES;
use crate::ours::told;
use crate::python;
use crate::side::same;

/// A release.
#[derive(Clone, Copy)]
struct Release {
    version: &'static str,
    variable: &'static str,
}

const RELEASES: [Release; 2] = [
    Release { version: "0.8.16", variable: "NODESTORE_OLD_PYTHON_0_8" },
    Release { version: "0.11.23", variable: "NODESTORE_OLD_PYTHON_0_11" },
];

/// What `old.py folder` says of a node.
#[derive(Deserialize)]
struct Shown {
    id: String,
    class: String,
    text: String,
    metadata: Value,
    source: Option<String>,
    hash: String,
    /// Previous, next, parent.
    near: [Option<String>; 3],
    children: Vec<String>,
}

/// What `old.py folder` says.
#[derive(Deserialize)]
struct Folder {
    nodes: Vec<Shown>,
    ref_doc: Value,
    /// Id, type and summary.
    structs: Vec<[String; 3]>,
}

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |release: Release, what: &str, run: fn(Release) -> CaseResult| {
        let name = format!("old::{}::{what}", release.version.replace('.', "_"));
        Trial::ignorable_test(name, move || {
            let variable = [python::VARIABLE, release.variable]
                .into_iter()
                .find(|name| std::env::var_os(name).is_none());
            if let Some(variable) = variable {
                let why = format!("{variable} is not set; scripts/test-all sets it");
                return if nodestore_integration_tests::required() {
                    Err(why.into())
                } else {
                    Ok(Completion::ignored_with(why))
                };
            }
            run(release)?;
            Ok(Completion::Completed)
        })
    };
    let of = |release| [trial(release, "samples", samples), trial(release, "folder", folder)];
    RELEASES.into_iter().flat_map(of).collect()
}

/// The answer of `old.py`.
fn old(release: Release, arguments: &[&str], input: &str) -> CaseResult<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/old.py");
    let mut child = Command::new(std::env::var_os(python::VARIABLE).unwrap_or_default())
        .args(["-B", "-W", "ignore"])
        .arg(script)
        .args(arguments)
        .env("PYTHONPATH", std::env::var_os(release.variable).unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("Python does not start: {error}"))?;
    let mut stdin = child.stdin.take().ok_or("no stdin")?;
    // It reads all before it answers.
    stdin.write_all(input.as_bytes()).map_err(|error| format!("Python does not read: {error}"))?;
    drop(stdin);
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("Python ended with {}", output.status));
    }
    parse_json(&String::from_utf8_lossy(&output.stdout)).map_err(|error| error.to_string())
}

/// The samples of old nodes, which every store must read, are what the release itself makes of them.
fn samples(release: Release) -> CaseResult {
    let mut lines = Vec::new();
    for line in OLD_NODES.lines() {
        let mut line: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        if line.get("release") == Some(&json!(release.version)) {
            lines.push(line.get_mut("old").map(Value::take).unwrap_or_default());
        }
    }
    let input = lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    // Documents with an image lose it when 0.8 reads them.
    for line in lines.iter_mut().filter(|line| line.get("__type__") == Some(&json!("4"))) {
        if let (Some(data), "0.8.16") =
            (line.pointer_mut("/__data__").and_then(Value::as_object_mut), release.version)
        {
            data.shift_remove("image");
        }
    }
    if lines.is_empty() {
        return Err(format!("no nodes of {}", release.version));
    }
    same("the nodes", &old(release, &["nodes"], &input)?, &json!(lines))
}

/// A folder that the release persisted is imported whole.
fn folder(release: Release) -> CaseResult {
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = place.path().join("storage");
    let shown = old(release, &["folder", &path.display().to_string()], "")?;
    let shown = Folder::deserialize(shown).map_err(|error| error.to_string())?;
    let runtime = Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(imported(&path, shown))
}

async fn imported(path: &Path, shown: Folder) -> CaseResult {
    let store = MemoryBackend::new();
    Import::new(path).run(&store).await.map_err(told)?;
    let docs = store.docs().map_err(told)?;
    for node in shown.nodes {
        let id = NodeId::from(node.id.as_str());
        let found = docs.get(&id).await.map_err(told)?.ok_or_else(|| format!("{id} is not there"))?;
        let hash = docs.hash(&id).await.map_err(told)?;
        let links = &found.relationships;
        let near = [links.previous(), links.next(), links.parent()]
            .map(|link| link.map(|link| link.node_id.as_str()));
        let children: Vec<&str> = links.children().iter().map(|child| child.node_id.as_str()).collect();
        let found = json!([
            found.class_name(),
            found.text_content(),
            found.metadata,
            found.ref_doc_id().map(RefDocId::into_string),
            hash,
            near,
            children
        ]);
        let expected =
            json!([node.class, node.text, node.metadata, node.source, node.hash, node.near, node.children]);
        same(&format!("the node {id}"), &found, &expected)?;
    }
    let info = docs.ref_doc(&"d".into()).await.map_err(told)?.ok_or("the source document is not there")?;
    let ids: Vec<&str> = info.node_ids.iter().map(NodeId::as_str).collect();
    same("the source document", &json!({"node_ids": ids, "metadata": info.metadata}), &shown.ref_doc)?;
    let index = store.index().map_err(told)?;
    for [id, index_type, summary] in shown.structs {
        let found =
            index.get(&id).await.map_err(told)?.ok_or_else(|| format!("the index {id} is not there"))?;
        let found = json!([found.type_name(), found.summary()]);
        same(&format!("the index {id}"), &found, &json!([index_type, summary]))?;
    }
    let vectors = store.vectors().map_err(told)?;
    let found = vectors.query(&VectorQuery::dense(vec![1.0, 0.0], 3)).await.map_err(told)?;
    let found: Vec<[&str; 2]> =
        found.iter().map(|found| [found.node.id.as_str(), found.node.text_content()]).collect();
    same("the nearest", &json!(found), &json!([["t", "Tokaj 🍷"], ["u", ""], ["i", "a cat"]]))
}
