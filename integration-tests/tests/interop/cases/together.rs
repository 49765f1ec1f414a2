//! Both languages at work on one store at the same time.

use serde_json::{Value, json};
use store_core::Node;

use super::{Case, Role, vectors};
use crate::CaseResult;
use crate::side::{Pair, id};

/// How much Python does.
const THEIRS: usize = 40;
/// How many tasks ours has, and how much each does.
const TASKS: usize = 3;
const EACH: usize = 30;

/// One request.
type Request = (&'static str, Value);

pub(super) fn cases() -> Vec<Case> {
    let case =
        |role, name, run: fn(&Pair<'_>) -> CaseResult| Case { at_once: true, ..Case::new(role, name, run) };
    vec![
        case(Role::KeyValues, "both at once: upserts", upserts),
        case(Role::KeyValues, "both at once: our updates undo no put", updates),
        case(Role::Documents, "both at once: sources of their own", own_sources),
        case(Role::Documents, "both at once: one source, nothing of Python's is lost", one_source),
        case(Role::Documents, "both at once: one source, nothing of ours is lost", one_source_whole),
        case(Role::Chats, "both at once: nothing of Python's is lost", appends),
        case(Role::Chats, "both at once: nothing of ours is lost", appends_whole),
        case(Role::Vectors, "both at once: upserts", vector_upserts),
    ]
}

/// The requests of our tasks.
fn tasks(request: impl Fn(usize, usize) -> Request) -> Vec<Vec<Request>> {
    (0..TASKS).map(|task| (0..EACH).map(|n| request(task, n)).collect()).collect()
}

fn theirs(request: impl Fn(usize) -> Request) -> Vec<Request> {
    (0..THEIRS).map(request).collect()
}

/// The same keys again and again: each ends as one side wrote it, whole.
fn upserts(pair: &Pair<'_>) -> CaseResult {
    let put = |key: usize, by: &str, n: usize| {
        let value = json!({"by": by, "copy": [by, n], "n": n});
        ("kv.put", json!({"collection": "interop/upserts", "key": format!("k{}", key % 5), "value": value}))
    };
    pair.at_once(theirs(|n| put(n, "python", n)), tasks(|task, n| put(n + task, "ours", n)))?;
    let all = pair.ours.call("kv.all", json!({"collection": "interop/upserts"}))?;
    let seen = pair.python.call("kv.all", json!({"collection": "interop/upserts"}))?;
    if seen != all {
        return Err(format!("Python sees {seen}, ours {all}"));
    }
    let values: Vec<&Value> = all.as_object().into_iter().flatten().map(|(_, value)| value).collect();
    let whole = |value: &&Value| value.get("copy") == Some(&json!([value.get("by"), value.get("n")]));
    if values.len() == 5 && values.iter().all(whole) { Ok(()) } else { Err(format!("not whole: {all}")) }
}

/// An update that was read before a put of Python's must not be written after it.
fn updates(pair: &Pair<'_>) -> CaseResult {
    let key = json!({"collection": "interop/updates", "key": "k"});
    let put =
        |n: usize| ("kv.put", json!({"collection": "interop/updates", "key": "k", "value": {"theirs": n}}));
    let count = |_, _| ("kv.count", json!({"collection": "interop/updates", "key": "k", "member": "ours"}));
    pair.at_once(theirs(put), tasks(count))?;
    for side in [pair.ours, pair.python] {
        let found = side.call("kv.get", key.clone())?;
        if found.get("theirs") != Some(&json!(THEIRS - 1)) {
            return Err(format!("Python's last put was undone: {found}"));
        }
    }
    Ok(())
}

fn node(pair: &Pair<'_>, by: &str, n: usize, source: &str) -> Node {
    Node::text("t").with_id(pair.named(&format!("{by} {n:03}"))).with_source(pair.named(source))
}

fn adding(node: &Node) -> Request {
    ("docs.add", json!({"nodes": [node.to_json()]}))
}

/// Both add; the ids that each side's nodes have, and what the lists of both sources hold afterwards.
fn both_add(pair: &Pair<'_>, sources: [&str; 2]) -> CaseResult<[Vec<String>; 3]> {
    let [python, ours] = sources;
    pair.at_once(
        theirs(|n| adding(&node(pair, "python", n, python))),
        tasks(|task, n| adding(&node(pair, "ours", task * EACH + n, ours))),
    )?;
    let ids = |by: &str, source: &str, count: usize| -> Vec<String> {
        (0..count).map(|n| node(pair, by, n, source).id.into_string()).collect()
    };
    let (theirs, own) = (ids("python", python, THEIRS), ids("ours", ours, TASKS * EACH));
    // Nodes and hashes are entries of their own: of these nothing is ever lost.
    let listed = pair.ours.call("docs.listed", json!({"prefix": pair.prefix}))?;
    for part in ["nodes", "hashes"] {
        let count = listed.get(part).and_then(Value::as_array).map_or(0, Vec::len);
        if count != theirs.len() + own.len() {
            return Err(format!("{count} {part} of {}", theirs.len() + own.len()));
        }
    }
    let mut held = Vec::new();
    for source in sources {
        let info = pair.ours.call("docs.ref_doc", id(&pair.named(source)))?;
        let listed = info.get("node_ids").and_then(Value::as_array).into_iter().flatten();
        held.extend(listed.filter_map(Value::as_str).map(str::to_owned));
    }
    Ok([theirs, own, held])
}

fn all_held(what: &str, wanted: &[String], held: &[String]) -> CaseResult {
    let lost: Vec<&String> = wanted.iter().filter(|id| !held.contains(id)).collect();
    if lost.is_empty() { Ok(()) } else { Err(format!("{} of {what} are lost: {lost:?}", lost.len())) }
}

fn own_sources(pair: &Pair<'_>) -> CaseResult {
    let [theirs, own, held] = both_add(pair, ["their source", "our source"])?;
    all_held("Python's", &theirs, &held)?;
    all_held("ours", &own, &held)
}

fn one_source(pair: &Pair<'_>) -> CaseResult {
    let [theirs, _, held] = both_add(pair, ["doc", "doc"])?;
    all_held("Python's", &theirs, &held)
}

fn one_source_whole(pair: &Pair<'_>) -> CaseResult {
    let [_, own, held] = both_add(pair, ["doc", "doc"])?;
    all_held("ours", &own, &held)
}

/// Both append; what Python said, what each of our tasks said, and what is there afterwards.
fn both_append(pair: &Pair<'_>) -> CaseResult<(Vec<Vec<String>>, Vec<String>)> {
    let add = |text: &str| {
        let message = json!({"role": "user", "blocks": [{"block_type": "text", "text": text}]});
        ("chat.add", json!({"key": pair.named("chat"), "message": message}))
    };
    pair.at_once(theirs(|n| add(&format!("python {n}"))), tasks(|task, n| add(&format!("ours {task} {n}"))))?;
    let history = pair.ours.call("chat.get", json!({"key": pair.named("chat")}))?;
    let texts = history.as_array().into_iter().flatten();
    let texts = texts.filter_map(|message| message.pointer("/blocks/0/text")?.as_str().map(str::to_owned));
    let mut said: Vec<Vec<String>> = vec![(0..THEIRS).map(|n| format!("python {n}")).collect()];
    said.extend((0..TASKS).map(|task| (0..EACH).map(|n| format!("ours {task} {n}")).collect()));
    Ok((said, texts.collect()))
}

/// What one said is there, in its order.
fn in_order(said: &[String], history: &[String]) -> CaseResult {
    let there: Vec<&String> = history.iter().filter(|text| said.contains(text)).collect();
    if there == said.iter().collect::<Vec<_>>() {
        Ok(())
    } else {
        Err(format!("messages are lost or moved: {there:?}"))
    }
}

fn appends(pair: &Pair<'_>) -> CaseResult {
    let (said, history) = both_append(pair)?;
    said.first().map_or(Ok(()), |theirs| in_order(theirs, &history))
}

fn appends_whole(pair: &Pair<'_>) -> CaseResult {
    let (said, history) = both_append(pair)?;
    said.iter().skip(1).try_for_each(|ours| in_order(ours, &history))
}

/// Nodes of each side's own, and some that both write: these end as one side wrote them, whole.
fn vector_upserts(pair: &Pair<'_>) -> CaseResult {
    let upsert = |by: &str, own: String, n: usize| {
        let name = if n.is_multiple_of(2) { own } else { format!("shared {}", n % 5) };
        let node = vectors::node(pair, &name, [0.6, 0.8, 0.0], "doc").with_metadata("by", by);
        let mut node = node.to_json();
        if let Some(text) = node.get_mut("__data__").and_then(|data| data.get_mut("text")) {
            *text = format!("by {by}").into();
        }
        ("vectors.add", json!({"nodes": [node]}))
    };
    pair.at_once(
        theirs(|n| upsert("python", format!("python {n}"), n)),
        tasks(|task, n| upsert("ours", format!("ours {task} {n}"), n)),
    )?;
    for side in [pair.ours, pair.python] {
        let query = json!({"embedding": [1.0, 0.0, 0.0], "k": 1_000, "prefix": pair.prefix});
        let found = side.call("vectors.query", query)?;
        let rows: Vec<&Value> = found.as_array().into_iter().flatten().collect();
        let expected = THEIRS / 2 + TASKS * EACH / 2 + 5;
        if rows.len() != expected {
            return Err(format!("{} finds {} nodes of {expected}", side.name(), rows.len()));
        }
        for row in rows {
            let data = row.pointer("/node/__data__").unwrap_or(&Value::Null);
            let by = data.pointer("/metadata/by").and_then(Value::as_str).unwrap_or_default();
            if data.get("text") != Some(&json!(format!("by {by}"))) {
                return Err(format!("{} finds a node of two halves: {row}", side.name()));
            }
        }
    }
    pair.ours.call("vectors.delete", json!({"source": pair.named("doc")})).map(drop)
}
