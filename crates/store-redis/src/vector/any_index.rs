//! Indexes of the search module, whoever made them: their keys, and their search by words.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use store_core::{BoxStream, Error, ErrorKind, JsonObject, Node, Result};

use super::answer::{aggregated, name, searched};
use super::ranking::words;
use super::rows::{self, Keep};
use crate::driver::{Cmd, text};
use crate::space::Space;

/// Keys of one part.
const PART: &str = "1000";
/// Milliseconds after which the server forgets a listing that nobody reads on.
const IDLE: &str = "60000";

/// The keys in an index, in parts and in no order; `Unsupported` without the module.
pub(crate) fn keys_of_index(space: &Arc<Space>, index: &str) -> BoxStream<Vec<Bytes>> {
    enum Step {
        Begin,
        Next(i64),
        End,
    }
    if !space.server.search {
        let error = Error::new(
            ErrorKind::Unsupported,
            "the server has no search module, so there is no index; read keys by a pattern, or load the module",
        );
        return stream::iter([Err(error)]).boxed();
    }
    let (space, index) = (Arc::clone(space), index.to_owned());
    let step = move |step: Step| {
        let (space, index) = (Arc::clone(&space), index.clone());
        async move {
            let command = match step {
                Step::Begin => Cmd::read("FT.AGGREGATE", index).args([
                    "*",
                    "LOAD",
                    "1",
                    "@__key",
                    "WITHCURSOR",
                    "COUNT",
                    PART,
                    "MAXIDLE",
                    IDLE,
                    "DIALECT",
                    "2",
                ]),
                // Each part is given once, so a lost answer must not be asked for again.
                Step::Next(cursor) => {
                    Cmd::keyless("FT.CURSOR").arg("READ").arg(index).arg(cursor).keyed_at(1).once()
                }
                Step::End => return Ok(None),
            };
            let (hits, cursor) = aggregated(space.call(command).await?)?;
            let keys: Vec<Bytes> =
                hits.into_iter().map(|hit| hit.key).filter(|key| !key.is_empty()).collect();
            Ok(Some((keys, cursor.map_or(Step::End, Step::Next))))
        }
    };
    stream::try_unfold(Step::Begin, step).boxed()
}

/// A search by words.
pub(crate) struct IndexQuery<'a> {
    pub(crate) index: &'a str,
    /// The field of the words, a plain name.
    pub(crate) field: &'a str,
    pub(crate) text: &'a str,
    /// Fields that come back beside it.
    pub(crate) returned: &'a [String],
    pub(crate) top_k: usize,
}

/// A hash that holds a word.
#[derive(Debug)]
pub(crate) struct IndexRow {
    pub(crate) key: String,
    pub(crate) score: f64,
    /// The node, where the hash is one in LlamaIndex's layout.
    pub(crate) node: Option<Node>,
    pub(crate) fields: JsonObject,
}

/// The hashes that hold a word of a text, best first.
pub(crate) async fn search_index(space: &Space, query: &IndexQuery<'_>) -> Result<Vec<IndexRow>> {
    let words = words(query.text);
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = (0..words.len()).map(|n| format!("$w{n}")).collect();
    let top_k = query.top_k.to_string();
    let mut fields: Vec<&str> = Keep::NODE.fields().to_vec();
    fields.extend(query.returned.iter().map(String::as_str).chain([query.field]));
    let mut command = Cmd::read("FT.SEARCH", query.index)
        .arg(format!("@{}:({})", query.field, names.join("|")))
        .args(["WITHSCORES", "SCORER", "BM25STD", "VERBATIM", "RETURN"])
        .arg(fields.len().to_string())
        .args(fields)
        .args(["LIMIT", "0", &top_k, "PARAMS", &(words.len() * 2).to_string()]);
    for (n, word) in words.iter().enumerate() {
        command = command.arg(format!("w{n}")).arg(word.as_str());
    }
    let (_, hits) = searched(space.call(command.args(["DIALECT", "2"])).await?, true)?;
    let mut found = Vec::with_capacity(hits.len());
    for mut hit in hits {
        let key = String::from_utf8_lossy(&hit.key).into_owned();
        let Some(score) = hit.score.filter(|score| score.is_finite()) else { continue };
        let is_node = hit.get(rows::CONTENT).is_some();
        let node = match key.split_once("/vector_").filter(|_| is_node) {
            Some((_, id)) => {
                let values = Keep::NODE.fields().iter().map(|field| hit.take(field)).collect();
                rows::to_node(&rows::spelled_back(id), values)?
            }
            None => None,
        };
        let fields = hit.fields.iter().filter_map(|(field, value)| Some((name(field), text(value)?.into())));
        found.push(IndexRow { score, node, fields: fields.collect(), key });
    }
    Ok(found)
}
