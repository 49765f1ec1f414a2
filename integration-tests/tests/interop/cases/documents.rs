//! Documents: nodes with their hashes and source documents.

use serde::Deserialize;
use serde_json::{Value, json};
use store_core::{JsonObject, Node};

use super::nodes::{self, Expected, Sample};
use super::{Case, Role};
use crate::CaseResult;
use crate::side::{Pair, id};

/// Nodes of older releases, and what llama-index-core 0.14.25 writes after reading them.
pub(crate) const OLD: &str = include_str!("../../../../crates/store-core/tests/formats/legacy.jsonl");
const RELEASES: [(&str, &str); 6] = [
    ("nodes of LlamaIndex 0.6", "0.6.0"),
    ("nodes of LlamaIndex 0.8", "0.8.16"),
    ("nodes of LlamaIndex 0.9", "0.9.48"),
    ("nodes of LlamaIndex 0.10", "0.10.68"),
    ("nodes of LlamaIndex 0.11", "0.11.23"),
    ("nodes of LlamaIndex 0.12", "0.12.42"),
];

pub(super) fn cases() -> Vec<Case> {
    let documents = |name, run: fn(&Pair<'_>) -> CaseResult| Case::new(Role::Documents, name, run);
    let samples = nodes::classes().into_iter().chain(nodes::contents());
    let mut cases: Vec<Case> = samples
        .map(|sample| Case::new(Role::Documents, sample.name, move |pair| there_and_back(pair, &sample)))
        .collect();
    let old = RELEASES
        .into_iter()
        .map(|(name, release)| Case::new(Role::Documents, name, move |pair| old_nodes(pair, release)));
    cases.extend(old);
    cases.extend([
        documents("source documents of old releases", old_ref_docs),
        documents("source documents grow and shrink", ref_docs),
        documents("a source document is deleted", deleted_ref_doc),
        documents("a node moves to another source", moved),
        documents("hashes are set", hashes),
        documents("a hash is set, then the node deleted", hash_then_delete),
        documents("hashes without nodes", without_text),
        documents("existing nodes are refused", existing),
        documents("listing", listing),
    ]);
    cases
}

fn ids(ids: &[&str]) -> Value {
    json!({"ids": ids})
}

fn adding(nodes: &[&Node]) -> Value {
    json!({"nodes": nodes.iter().map(|node| node.to_json()).collect::<Vec<_>>()})
}

fn node(pair: &Pair<'_>, name: &str, source: Option<&str>) -> Node {
    let node = Node::text(format!("text of {name}")).with_id(pair.named(name)).with_metadata("of", name);
    source.map_or(node.clone(), |source| node.with_source(pair.named(source)))
}

fn there_and_back(pair: &Pair<'_>, sample: &Sample) -> CaseResult {
    let name = pair.named("n");
    let mut node = sample.node(&name)?;
    let expected = Expected::of(&node);
    pair.writer.call("docs.add", adding(&[&node]))?;
    pair.both("docs.get", &ids(&[&name]), &expected.answer())?;
    pair.both("docs.hash", &id(&name), &json!(expected.hash))?;
    node.metadata = JsonObject::from_iter([("changed".to_owned(), json!("é"))]);
    let changed = Expected::of(&node);
    pair.reader.call("docs.add", adding(&[&node]))?;
    pair.both("docs.get", &ids(&[&name]), &changed.answer())?;
    pair.both("docs.hash", &id(&name), &json!(changed.hash))?;
    pair.reader.call("docs.delete", ids(&[&name]))?;
    pair.both("docs.get", &ids(&[&name]), &json!([null]))?;
    pair.both("docs.hash", &id(&name), &Value::Null)
}

/// The old form is read here, and written in today's for Python; not by Python, which reads not all of its own.
fn old_nodes(pair: &Pair<'_>, release: &str) -> CaseResult {
    #[derive(Deserialize)]
    struct Line {
        release: String,
        old: Value,
        now: Value,
    }
    let mut count = 0;
    for line in OLD.lines() {
        // Python gives a URL without a path one.
        let line = line.replace("\"https://h\"", "\"https://h/\"");
        let Line { release: written_by, mut old, mut now } =
            serde_json::from_str(&line).map_err(|error| error.to_string())?;
        if written_by != release {
            continue;
        }
        count += 1;
        let name = pair.named(&count.to_string());
        for value in [&mut old, &mut now] {
            for member in ["/__data__/doc_id", "/__data__/id_"] {
                if let Some(id) = value.pointer_mut(member) {
                    *id = name.as_str().into();
                }
            }
        }
        let Value::Object(today) = now else { return Err("no object".to_owned()) };
        let expected = Expected::of(&Node::from_json(today).map_err(|error| error.to_string())?);
        let old = json!({"part": "data", "id": name, "value": old});
        pair.writer.call("docs.add_old", old)?;
        pair.ours.is("docs.get", ids(&[&name]), &expected.answer())?;
        pair.ours.call("docs.add", json!({"nodes": [expected.json]}))?;
        pair.python.is("docs.get", ids(&[&name]), &expected.answer())?;
        pair.python.call("docs.delete", ids(&[&name]))?;
        pair.ours.is("docs.get", ids(&[&name]), &json!([null]))?;
    }
    if count == 0 { Err(format!("no nodes of {release}")) } else { Ok(()) }
}

fn old_ref_docs(pair: &Pair<'_>) -> CaseResult {
    let (doc, first) = (pair.named("doc"), node(pair, "first", Some("doc")));
    let value = json!({"doc_ids": [first.id.as_str()], "extra_info": {"k": 1}});
    pair.writer.call("docs.add_old", json!({"part": "ref_doc_info", "id": doc, "value": value}))?;
    pair.writer.call("docs.add", adding(&[&first]))?;
    let info = json!({"node_ids": [first.id.as_str()], "metadata": {"k": 1}});
    pair.both("docs.ref_doc", &id(&doc), &info)?;
    let second = node(pair, "second", Some("doc"));
    pair.reader.call("docs.add", adding(&[&second]))?;
    let info = json!({"node_ids": [first.id.as_str(), second.id.as_str()], "metadata": {"k": 1}});
    pair.both("docs.ref_doc", &id(&doc), &info)?;
    pair.reader.call("docs.delete_ref_doc", id(&doc))?;
    pair.both("docs.ref_doc", &id(&doc), &Value::Null)
}

fn ref_docs(pair: &Pair<'_>) -> CaseResult {
    let [first, second, third] = ["first", "second", "third"].map(|name| node(pair, name, Some("doc")));
    let [one, two, three] = [&first, &second, &third].map(|node| node.id.as_str());
    let doc = id(&pair.named("doc"));
    pair.writer.call("docs.add", adding(&[&first, &second]))?;
    // Of nodes that come together the last one's metadata wins; later ones change nothing.
    let info = |nodes: &[&str]| json!({"node_ids": nodes, "metadata": {"of": "second"}});
    pair.both("docs.ref_doc", &doc, &info(&[one, two]))?;
    pair.reader.call("docs.add", adding(&[&third]))?;
    pair.both("docs.ref_doc", &doc, &info(&[one, two, three]))?;
    pair.writer.call("docs.add", adding(&[&first]))?;
    pair.reader.call("docs.delete", ids(&[two]))?;
    pair.both("docs.ref_doc", &doc, &info(&[one, three]))?;
    pair.writer.call("docs.delete", ids(&[one]))?;
    pair.reader.call("docs.delete", ids(&[three]))?;
    pair.both("docs.ref_doc", &doc, &Value::Null)?;
    pair.both("docs.get", &ids(&[one, two, three]), &json!([null, null, null]))
}

fn deleted_ref_doc(pair: &Pair<'_>) -> CaseResult {
    let document = Node::document("whole").with_id(pair.named("doc"));
    let parts = ["first", "second"].map(|name| node(pair, name, Some("doc")));
    let [first, second] = &parts;
    pair.writer.call("docs.add", adding(&[&document, first, second]))?;
    pair.reader.call("docs.delete_ref_doc", id(document.id.as_str()))?;
    let all = [document.id.as_str(), first.id.as_str(), second.id.as_str()];
    pair.both("docs.get", &ids(&all), &json!([null, null, null]))?;
    all.iter().try_for_each(|one| pair.both("docs.hash", &id(one), &Value::Null))?;
    pair.both("docs.ref_doc", &id(document.id.as_str()), &Value::Null)
}

fn moved(pair: &Pair<'_>) -> CaseResult {
    let stays = node(pair, "stays", Some("old"));
    pair.writer.call("docs.add", adding(&[&node(pair, "moves", Some("old")), &stays]))?;
    let moves = node(pair, "moves", Some("new"));
    pair.reader.call("docs.add", adding(&[&moves]))?;
    let info = json!({"node_ids": [moves.id.as_str()], "metadata": {"of": "moves"}});
    pair.both("docs.ref_doc", &id(&pair.named("new")), &info)?;
    let info = json!({"node_ids": [stays.id.as_str()], "metadata": {"of": "stays"}});
    pair.both("docs.ref_doc", &id(&pair.named("old")), &info)
}

fn hashes(pair: &Pair<'_>) -> CaseResult {
    let of_source = node(pair, "n", Some("doc"));
    let name = of_source.id.as_str();
    pair.writer.call("docs.add", adding(&[&of_source]))?;
    pair.reader.call("docs.set_hash", json!({"id": name, "hash": "ż"}))?;
    pair.both("docs.hash", &id(name), &json!("ż"))?;
    let info = json!({"node_ids": [name], "metadata": {"of": "n"}});
    pair.both("docs.ref_doc", &id(&pair.named("doc")), &info)?;
    let alone = pair.named("alone");
    pair.reader.call("docs.set_hash", json!({"id": alone, "hash": "h"}))?;
    pair.both("docs.hash", &id(&alone), &json!("h"))
}

fn hash_then_delete(pair: &Pair<'_>) -> CaseResult {
    let [first, second] = ["first", "second"].map(|name| node(pair, name, Some("doc")));
    pair.writer.call("docs.add", adding(&[&first, &second]))?;
    pair.reader.call("docs.set_hash", json!({"id": first.id.as_str(), "hash": "h"}))?;
    pair.ours.call("docs.delete", ids(&[first.id.as_str()]))?;
    let info = json!({"node_ids": [second.id.as_str()], "metadata": {"of": "second"}});
    pair.both("docs.ref_doc", &id(&pair.named("doc")), &info)
}

fn without_text(pair: &Pair<'_>) -> CaseResult {
    let node = node(pair, "n", Some("doc"));
    let name = node.id.as_str();
    pair.writer.call("docs.add", json!({"nodes": [node.to_json()], "store_text": false}))?;
    pair.both("docs.get", &ids(&[name]), &json!([null]))?;
    pair.both("docs.hash", &id(name), &json!(node.hash()))?;
    let info = json!({"node_ids": [name], "metadata": {"of": "n"}});
    pair.both("docs.ref_doc", &id(&pair.named("doc")), &info)?;
    pair.reader.call("docs.delete_ref_doc", id(&pair.named("doc")))?;
    pair.both("docs.hash", &id(name), &Value::Null)
}

fn existing(pair: &Pair<'_>) -> CaseResult {
    let node = node(pair, "n", None);
    pair.writer.call("docs.add", adding(&[&node]))?;
    let again = json!({"nodes": [node.to_json()], "insert": true});
    pair.reader.refused("docs.add", again, node.id.as_str())?;
    pair.both("docs.get", &ids(&[node.id.as_str()]), &Expected::of(&node).answer())
}

fn listing(pair: &Pair<'_>) -> CaseResult {
    let nodes: Vec<Node> = (10..40).map(|n| node(pair, &format!("n{n}"), Some("doc"))).collect();
    let all: Vec<&Node> = nodes.iter().collect();
    pair.writer.call("docs.add", adding(&all))?;
    let listed = |ids: Vec<&str>| json!({"nodes": ids, "ref_docs": [pair.named("doc")], "hashes": ids});
    let names = || nodes.iter().map(|node| node.id.as_str());
    let prefix = json!({"prefix": pair.prefix});
    pair.both("docs.listed", &prefix, &listed(names().collect()))?;
    pair.reader.call("docs.delete", ids(&names().take(3).collect::<Vec<_>>()))?;
    pair.both("docs.listed", &prefix, &listed(names().skip(3).collect()))
}
