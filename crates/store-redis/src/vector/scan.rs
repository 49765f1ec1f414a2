//! The rows of a set where no index knows them: SCAN meets every key of the server, and matches ours.

use std::collections::HashSet;
use std::sync::Arc;

use fred::types::Value;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::kit::exact_search::Need;
use store_core::{BoxStream, Node, Result};

use super::rows::{self, CLASS, CONTENT, EXTRA, TEXT, VECTOR};
use super::set::{READ, Set};
use crate::driver::{Cmd, bytes, items, text};
use crate::keys::{Keys, keys};
use crate::schema::begins_with;

/// Round trips that read rows and are under way at once.
const READS: usize = 2;

/// The fields of a row, in order, and whether they are read.
fn fields(need: Need) -> impl Iterator<Item = (&'static str, bool)> {
    [
        (CONTENT, need.metadata),
        (CLASS, need.metadata),
        (TEXT, need.text),
        (EXTRA, need.metadata),
        (VECTOR, need.embedding),
    ]
    .into_iter()
}

/// A row, as far as it was asked for.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) node: Option<Node>,
    pub(super) text: Option<String>,
    pub(super) embedding: Option<Vec<f32>>,
}

/// The ids of all rows of a set, each once, in parts and in no order. What is added or removed meanwhile may be met
/// or not. The ids are held until the end, as SCAN may meet a key twice.
pub(super) fn ids(set: &Arc<Set>) -> BoxStream<Vec<String>> {
    let found = keys(&set.space, Keys { pattern: begins_with(&set.rows), kind: Some("hash") });
    let (set, mut seen) = (Arc::clone(set), HashSet::new());
    let new = move |keys: Vec<bytes::Bytes>| {
        let ids = keys.iter().filter_map(|key| set.id(key));
        ids.filter(|id| seen.insert(id.clone())).collect::<Vec<String>>()
    };
    found.map_ok(new).boxed()
}

/// Reads the rows of these ids, as a stream of bounded parts; what is gone is left out.
pub(super) fn rows(set: &Arc<Set>, ids: BoxStream<Vec<String>>, need: Need) -> BoxStream<Vec<Row>> {
    let parts = |ids: Vec<String>| {
        let parts: Vec<_> = ids.chunks(READ).map(|ids| Ok(ids.to_vec())).collect();
        stream::iter(parts)
    };
    let set = Arc::clone(set);
    let read = move |ids: Vec<String>| {
        let set = Arc::clone(&set);
        async move { read(&set, ids, need).await }
    };
    ids.map_ok(parts).try_flatten().map_ok(read).try_buffered(READS).boxed()
}

async fn read(set: &Set, ids: Vec<String>, need: Need) -> Result<Vec<Row>> {
    let wanted: Vec<&'static str> =
        fields(need).filter(|(_, wanted)| *wanted).map(|(name, _)| name).collect();
    let command = |id: &String| Cmd::read("HMGET", set.key(id)).args(wanted.iter().copied());
    let answers = set.space.pipeline(ids.iter().map(command).collect()).await?;
    let mut found = Vec::with_capacity(ids.len());
    for (id, answer) in ids.into_iter().zip(answers) {
        let values = items(answer?);
        if values.iter().all(Value::is_null) {
            continue;
        }
        let mut row = Row { id, node: None, text: None, embedding: None };
        let mut parts = Vec::with_capacity(4);
        for ((name, _), value) in fields(need).filter(|(_, wanted)| *wanted).zip(values) {
            match name {
                VECTOR => row.embedding = bytes(value).and_then(|bytes| rows::from_bytes(&bytes)),
                TEXT => row.text = text(&value).map(str::to_owned),
                _ => parts.push(value),
            }
        }
        if need.metadata {
            // The place of the text, which no filter looks at.
            parts.insert(parts.len().min(2), Value::Null);
            row.node = rows::to_node(&row.id, parts)?;
        }
        found.push(row);
    }
    Ok(found)
}
