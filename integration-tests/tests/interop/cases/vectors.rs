//! Vectors: nodes with embeddings, found by direction and by metadata.

use serde_json::{Value, json};
use store_core::{JsonObject, Node};

use super::nodes::{self, Sample};
use super::{Case, Role};
use crate::CaseResult;
use crate::side::{Pair, Side, same};

/// What is asked for, and more answers than there are nodes.
const NEAR: [f32; 3] = [1.0, 0.0, 0.0];
const MOST: usize = 1_000;

pub(super) fn cases() -> Vec<Case> {
    let samples = nodes::classes().into_iter().chain(nodes::contents());
    let mut cases: Vec<Case> = samples
        .map(|sample| Case::new(Role::Vectors, sample.name, move |pair| there_and_back(pair, &sample)))
        .collect();
    let vectors = |name, run: fn(&Pair<'_>) -> CaseResult| Case::new(Role::Vectors, name, run);
    cases.extend([
        vectors("a node is written over", overwritten),
        vectors("the nearest first", nearest),
        vectors("a source document is deleted", deleted),
        vectors("filtered by a text", by_text),
        vectors("filtered by a number", by_number),
        vectors("metadata is changed", changed),
    ]);
    cases
}

pub(super) fn node(pair: &Pair<'_>, name: &str, embedding: [f32; 3], source: &str) -> Node {
    let node = Node::text(format!("text of {name}")).with_id(pair.named(name)).with_embedding(embedding);
    node.with_source(pair.named(source))
}

pub(super) fn adding(nodes: &[&Node]) -> Value {
    json!({"nodes": nodes.iter().map(|node| node.to_json()).collect::<Vec<_>>()})
}

fn source(pair: &Pair<'_>, source: &str) -> Value {
    json!({"source": pair.named(source)})
}

fn query(pair: &Pair<'_>, filters: Value) -> Value {
    let mut query = json!({"embedding": NEAR, "k": MOST, "prefix": pair.prefix});
    if let (Some(query), true) = (query.as_object_mut(), filters.is_object()) {
        query.insert("filters".to_owned(), filters);
    }
    query
}

/// The members of each answer.
fn found(side: &dyn Side, query: Value, members: &[&str]) -> CaseResult<Value> {
    let answers = side.call("vectors.query", query)?;
    let rows = answers.as_array().into_iter().flatten().map(|row| {
        members.iter().map(|member| row.get(*member).cloned().unwrap_or_default()).collect::<Vec<_>>()
    });
    Ok(rows.collect())
}

/// Both sides find this.
fn both_find(pair: &Pair<'_>, query: &Value, members: &[&str], expected: &Value) -> CaseResult {
    for side in [pair.reader, pair.writer] {
        same(&format!("{}: {query}", side.name()), &found(side, query.clone(), members)?, expected)?;
    }
    Ok(())
}

/// As it is found: without its embedding.
fn shown(node: &Node) -> Value {
    let mut node = node.clone();
    node.embedding = None;
    json!([[node.to_json()]])
}

fn there_and_back(pair: &Pair<'_>, sample: &Sample) -> CaseResult {
    let mut node = sample.node(&pair.named("n"))?.with_embedding([0.6, 0.8, 0.0]);
    // In all stores it is deleted by its source.
    node = node.with_source(pair.named("doc"));
    let all = query(pair, Value::Null);
    pair.writer.call("vectors.add", adding(&[&node]))?;
    both_find(pair, &all, &["node"], &shown(&node))?;
    node.metadata = JsonObject::from_iter([("changed".to_owned(), json!("é"))]);
    pair.reader.call("vectors.delete", source(pair, "doc"))?;
    pair.reader.call("vectors.add", adding(&[&node]))?;
    both_find(pair, &all, &["node"], &shown(&node))?;
    pair.writer.call("vectors.delete", source(pair, "doc"))?;
    both_find(pair, &all, &["node"], &json!([]))
}

fn overwritten(pair: &Pair<'_>) -> CaseResult {
    let old = node(pair, "n", [0.6, 0.8, 0.0], "doc").with_metadata("tag", "old");
    let new = node(pair, "n", [0.28, 0.96, 0.0], "doc").with_metadata("year", 1);
    let all = query(pair, Value::Null);
    pair.writer.call("vectors.add", adding(&[&old]))?;
    let end = pair.reader.call("vectors.add", adding(&[&new])).and_then(|_| {
        both_find(pair, &all, &["node"], &shown(&new))?;
        pair.writer.call("vectors.add", adding(&[&old]))?;
        both_find(pair, &all, &["node"], &shown(&old))
    });
    pair.writer.call("vectors.delete", source(pair, "doc"))?;
    end
}

fn nearest(pair: &Pair<'_>) -> CaseResult {
    let embeddings = [("far", [0.28, 0.96, 0.0]), ("near", [0.96, 0.0, 0.28]), ("behind", [-0.6, 0.8, 0.0])];
    let nodes = embeddings.map(|(name, embedding)| node(pair, name, embedding, "doc"));
    let [far, near, behind] = &nodes;
    pair.writer.call("vectors.add", adding(&[far, near]))?;
    pair.reader.call("vectors.add", adding(&[behind]))?;
    let row = |node: &Node, score: f64| json!([node.id.as_str(), score]);
    let expected = json!([row(near, 0.96), row(far, 0.28), row(behind, -0.6)]);
    both_find(pair, &query(pair, Value::Null), &["id", "score"], &expected)?;
    pair.reader.call("vectors.delete", source(pair, "doc"))?;
    both_find(pair, &query(pair, Value::Null), &["id"], &json!([]))
}

fn deleted(pair: &Pair<'_>) -> CaseResult {
    let one = node(pair, "one", [0.96, 0.28, 0.0], "old");
    let two = node(pair, "two", [0.6, 0.8, 0.0], "old");
    let three = node(pair, "three", [0.28, 0.96, 0.0], "new");
    pair.writer.call("vectors.add", adding(&[&one, &two, &three]))?;
    let all = query(pair, Value::Null);
    pair.reader.call("vectors.delete", source(pair, "none"))?;
    both_find(pair, &all, &["id"], &json!([[one.id.as_str()], [two.id.as_str()], [three.id.as_str()]]))?;
    pair.reader.call("vectors.delete", source(pair, "old"))?;
    both_find(pair, &all, &["id"], &json!([[three.id.as_str()]]))?;
    pair.reader.call("vectors.delete", source(pair, "new"))?;
    both_find(pair, &all, &["id"], &json!([]))
}

/// Two nodes of each of two values, from both sides; a third value has none.
fn filtered(pair: &Pair<'_>, key: &str, values: &[Value; 3]) -> CaseResult {
    let [wanted, other, absent] = values;
    let rows = [("a", wanted, 0.96), ("b", other, 0.8), ("c", wanted, 0.6), ("d", other, 0.28)];
    let nodes = rows.map(|(name, value, x): (_, _, f32)| {
        node(pair, name, [x, (1.0 - x * x).sqrt(), 0.0], "doc").with_metadata(key, value.clone())
    });
    let [a, b, c, d] = &nodes;
    pair.writer.call("vectors.add", adding(&[a, b]))?;
    let first = json!([[a.id.as_str()]]);
    both_find(pair, &query(pair, json!({key: wanted})), &["id"], &first)?;
    pair.reader.call("vectors.add", adding(&[c, d]))?;
    let two = json!([[a.id.as_str()], [c.id.as_str()]]);
    both_find(pair, &query(pair, json!({key: wanted})), &["id"], &two)?;
    both_find(pair, &query(pair, json!({key: absent})), &["id"], &json!([]))?;
    pair.reader.call("vectors.delete", source(pair, "doc")).map(drop)
}

fn by_text(pair: &Pair<'_>) -> CaseResult {
    filtered(pair, "tag", &["it's", "other", "absent"].map(Value::from))
}

fn by_number(pair: &Pair<'_>) -> CaseResult {
    filtered(pair, "year", &[1999, 2024, 7].map(Value::from))
}

/// Our side changes metadata in place, which Python can not.
fn changed(pair: &Pair<'_>) -> CaseResult {
    let mut node = node(pair, "n", [0.6, 0.8, 0.0], "doc").with_metadata("tag", "old");
    pair.writer.call("vectors.add", adding(&[&node]))?;
    pair.ours.is("vectors.update", json!({"id": node.id.as_str(), "set": {"tag": "new"}}), &json!(1))?;
    node.metadata = JsonObject::from_iter([("tag".to_owned(), json!("new"))]);
    both_find(pair, &query(pair, Value::Null), &["node"], &shown(&node))?;
    both_find(pair, &query(pair, json!({"tag": "new"})), &["id"], &json!([[node.id.as_str()]]))?;
    both_find(pair, &query(pair, json!({"tag": "old"})), &["id"], &json!([]))?;
    pair.reader.call("vectors.delete", source(pair, "doc")).map(drop)
}
