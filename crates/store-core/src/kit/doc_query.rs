//! Answering a [`DocQuery`] from a plain scan: filter, sort, projection and cursor, for backends that can not
//! push a query down.
//!
//! Without a sort a page reads on from its cursor and holds at most `limit` nodes. With one it reads the whole
//! collection and holds at most `limit` nodes besides the one in hand.

use std::cmp::Ordering;

use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::filter::{compare_numbers, lookup};
use crate::kit::check;
use crate::{
    BoxStream, Cursor, DocQuery, Error, ErrorKind, Filter, JsonObject, Node, NodeId, Order, Page, Result,
};

/// Most nodes that a sorted query without a limit holds.
pub const MAX_SORTED: usize = 100_000;

/// Refuses a query that can not be answered: a bad filter, an empty key, a limit of zero.
pub fn validate(query: &DocQuery) -> Result<()> {
    if let Some(filter) = &query.filter {
        filter.validate()?;
    }
    check::page_limit(query.limit)?;
    let paths = query.sort.iter().map(|(key, _)| key).chain(query.projection.iter().flatten());
    for path in paths {
        if path.split('.').any(str::is_empty) {
            return Err(Error::invalid_input(format!("the path {path:?} has an empty part")));
        }
    }
    Ok(())
}

/// One page, from a scan of all nodes; `scan` starts after the given id.
pub async fn find_by_scan(
    scan: impl FnOnce(Option<NodeId>) -> BoxStream<Node>,
    query: &DocQuery,
) -> Result<Page<JsonObject>> {
    validate(query)?;
    if query.sort.is_empty() {
        page_in_scan_order(scan, query).await
    } else {
        page_in_sort_order(scan, query).await
    }
}

/// How many nodes a filter matches, all without one, from a scan of all nodes.
pub async fn count_by_scan(scan: impl FnOnce() -> BoxStream<Node>, filter: Option<&Filter>) -> Result<usize> {
    filter.map_or(Ok(()), Filter::validate)?;
    let mut nodes = scan();
    let mut count = 0;
    while let Some(node) = nodes.next().await.transpose()? {
        count += usize::from(filter.is_none_or(|filter| filter.matches(&node.metadata)));
    }
    Ok(count)
}

/// A node's JSON with only what the projection keeps.
#[must_use]
pub fn project(node: &Node, projection: Option<&[String]>) -> JsonObject {
    project_json(node.to_json(), projection)
}

/// [`project`] of a node that is JSON already, in today's form; it may lack members which the projection leaves out.
#[must_use]
pub fn project_json(mut json: JsonObject, projection: Option<&[String]>) -> JsonObject {
    let Some(paths) = projection else { return json };
    if let Some(Value::Object(data)) = json.get_mut("__data__") {
        let kept = std::mem::take(data)
            .into_iter()
            .filter_map(|(name, value)| {
                let whole = name == "id_" || name == "class_name" || paths.contains(&name);
                if whole {
                    return Some((name, value));
                }
                let inner: Vec<&str> =
                    paths.iter().filter_map(|path| path.strip_prefix(&name)?.strip_prefix('.')).collect();
                keep_paths(value, &inner).map(|value| (name, value))
            })
            .collect();
        *data = kept;
    }
    json
}

/// The part of an object which the paths reach, in its own order; `None` when they reach nothing.
fn keep_paths(value: Value, paths: &[&str]) -> Option<Value> {
    let Value::Object(object) = value else { return None };
    let kept: JsonObject = object
        .into_iter()
        .filter_map(|(name, value)| {
            if paths.contains(&name.as_str()) {
                return Some((name, value));
            }
            let inner: Vec<&str> =
                paths.iter().filter_map(|path| path.strip_prefix(&name)?.strip_prefix('.')).collect();
            keep_paths(value, &inner).map(|value| (name, value))
        })
        .collect();
    (!kept.is_empty()).then_some(Value::Object(kept))
}

/// What a cursor of `find` says: where the last page ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// The id of the last node.
    pub id: String,
    /// The values of its sort keys; none without a sort.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Value>,
}

impl Place {
    /// Where the query goes on; `InvalidInput` when its cursor belongs to another one.
    pub fn of(query: &DocQuery) -> Result<Option<Self>> {
        query.after.as_ref().map(|cursor| cursor.decode(&bound_to(query))).transpose()
    }

    /// The cursor with which the query goes on here.
    #[must_use]
    pub fn cursor(&self, query: &DocQuery) -> Cursor {
        Cursor::encode(&bound_to(query), self)
    }
}

/// What a cursor is bound to; limit and projection may differ from page to page.
fn bound_to(query: &DocQuery) -> String {
    format!("docs.find {:?} {:?}", query.filter, query.sort)
}

async fn page_in_scan_order(
    scan: impl FnOnce(Option<NodeId>) -> BoxStream<Node>,
    query: &DocQuery,
) -> Result<Page<JsonObject>> {
    let after = Place::of(query)?;
    let mut nodes = scan(after.map(|place| NodeId::new(place.id)));
    let mut items = Vec::new();
    while let Some(node) = nodes.next().await.transpose()? {
        if query.filter.as_ref().is_some_and(|filter| !filter.matches(&node.metadata)) {
            continue;
        }
        items.push(project(&node, query.projection.as_deref()));
        if query.limit == Some(items.len()) {
            let place = Place { id: node.id.into_string(), keys: Vec::new() };
            return Ok(Page { items, next: Some(place.cursor(query)) });
        }
    }
    Ok(Page::whole(items))
}

async fn page_in_sort_order(
    scan: impl FnOnce(Option<NodeId>) -> BoxStream<Node>,
    query: &DocQuery,
) -> Result<Page<JsonObject>> {
    let after = Place::of(query)?;
    let most = query.limit.unwrap_or(MAX_SORTED);
    let mut nodes = scan(None);
    let mut kept_nodes: Vec<(Vec<Value>, Node)> = Vec::new();
    let mut dropped = false;
    while let Some(node) = nodes.next().await.transpose()? {
        if query.filter.as_ref().is_some_and(|filter| !filter.matches(&node.metadata)) {
            continue;
        }
        let keys = sort_keys(&node.metadata, query);
        let past = |place: &Place| {
            order(query, &keys, node.id.as_str(), &place.keys, &place.id) == Ordering::Greater
        };
        if !after.as_ref().is_none_or(past) {
            continue;
        }
        kept_nodes.push((keys, node));
        // Twice the page in hand before each cut: every node is then moved a bounded number of times.
        if kept_nodes.len() >= most.saturating_mul(2).max(1024) {
            sort_and_cut(&mut kept_nodes, most, query);
            dropped = true;
        }
    }
    dropped |= kept_nodes.len() > most;
    sort_and_cut(&mut kept_nodes, most, query);
    if dropped && query.limit.is_none() {
        return Err(too_many());
    }
    let next = kept_nodes
        .last()
        .filter(|_| dropped)
        .map(|(keys, node)| Place { id: node.id.as_str().to_owned(), keys: keys.clone() }.cursor(query));
    let items = kept_nodes.iter().map(|(_, node)| project(node, query.projection.as_deref())).collect();
    Ok(Page { items, next })
}

fn sort_and_cut(kept_nodes: &mut Vec<(Vec<Value>, Node)>, most: usize, query: &DocQuery) {
    kept_nodes.sort_by(|(left, a), (right, b)| order(query, left, a.id.as_str(), right, b.id.as_str()));
    kept_nodes.truncate(most);
}

/// The error of a sorted query without a limit that met more than [`MAX_SORTED`] nodes.
#[must_use]
pub fn too_many() -> Error {
    Error::new(
        ErrorKind::LimitExceeded,
        format!(
            "a sorted query without a limit met more than {MAX_SORTED} nodes; set a limit and page through"
        ),
    )
}

/// The values of a node's sort keys; null for a missing one.
#[must_use]
pub fn sort_keys(metadata: &JsonObject, query: &DocQuery) -> Vec<Value> {
    query.sort.iter().map(|(path, _)| lookup(metadata, path).cloned().unwrap_or_default()).collect()
}

fn order(query: &DocQuery, left: &[Value], left_id: &str, right: &[Value], right_id: &str) -> Ordering {
    let by_key = query.sort.iter().zip(left.iter().zip(right)).map(|((_, order), (left, right))| {
        let ascending = compare(left, right);
        if *order == Order::Ascending { ascending } else { ascending.reverse() }
    });
    by_key.fold(Ordering::Equal, Ordering::then).then_with(|| left_id.cmp(right_id))
}

/// The order of sort keys: missing, bools, numbers by exact value, texts by code point, all else equal.
#[must_use]
pub fn compare(left: &Value, right: &Value) -> Ordering {
    fn rank(value: &Value) -> u8 {
        match value {
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Number(_) => 2,
            Value::String(_) => 3,
            Value::Array(_) | Value::Object(_) => 4,
        }
    }
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Number(left), Value::Number(right)) => compare_numbers(left, right),
        (Value::String(left), Value::String(right)) => left.cmp(right),
        _ => rank(left).cmp(&rank(right)),
    }
}

/// Takes a node's metadata into that of its source document, which is the union of its nodes'; what nodes say
/// differently is as the last of them says it. Nodes of one source mostly say the same, and that is not copied again.
pub fn merge_metadata(source: &mut JsonObject, node: &JsonObject) {
    for (key, value) in node {
        if source.get(key) != Some(value) {
            source.insert(key.clone(), value.clone());
        }
    }
}

/// Refuses empty ids, for every call that takes some.
pub fn valid_ids<'a>(ids: impl IntoIterator<Item = &'a NodeId>) -> Result<()> {
    ids.into_iter().try_for_each(|id| {
        check::non_empty("node id", id.as_str()).map_err(|error| error.with_failed([id.as_str()]))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn missing_is_smallest_then_bools_numbers_texts() {
        let mut values = [json!("a"), json!([1]), json!(2), json!(null), json!(true), json!(1.5), json!("B")];
        values.sort_by(compare);
        assert_eq!(json!(values), json!([null, true, 1.5, 2, "B", "a", [1]]));
    }
}
