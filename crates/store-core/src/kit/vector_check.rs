//! Checks that every vector store makes before it writes or searches.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kit::{check, doc_query};
use crate::{
    AddMode, Cursor, Embedding, Error, GetOptions, MetadataPatch, Node, QueryKind, Result, Selector,
    VectorConfig, VectorQuery,
};

/// The error of every call before [`configure`](crate::VectorStore::configure).
#[must_use]
pub fn not_configured() -> Error {
    Error::config("the vector store is not configured yet: call configure with dimensions and metric first")
}

/// A call of [`get`](crate::VectorStore::get) that was found right: where its page begins, and what its cursors are
/// bound to.
#[derive(Clone, Debug)]
pub struct PageStart<P> {
    bound: String,
    /// Where the page before it ended.
    pub after: Option<P>,
    /// The most nodes of the page.
    pub limit: usize,
}

impl<P: DeserializeOwned> PageStart<P> {
    /// Refuses a selector that can not be, a page of no nodes, and a cursor of another selector.
    pub fn of(selector: &Selector, options: &GetOptions) -> Result<Self> {
        check::valid_selector(selector)?;
        check::page_limit(options.limit)?;
        let bound = format!("vectors.get {selector:?}");
        let after = options.after.as_ref().map(|cursor| cursor.decode(&bound)).transpose()?;
        Ok(Self { bound, after, limit: options.limit.unwrap_or(usize::MAX) })
    }
}

impl<P> PageStart<P> {
    /// The cursor of the page that begins after this place.
    #[must_use]
    pub fn next(&self, place: &impl Serialize) -> Cursor {
        Cursor::encode(&self.bound, place)
    }
}

/// Refuses a configuration without dimensions, past `max_dimensions`, or with an empty field path.
pub fn config(config: &VectorConfig, max_dimensions: Option<usize>) -> Result<()> {
    if config.dimensions == 0 {
        return Err(Error::invalid_input("the dimensions are 0; an embedding has at least 1"));
    }
    if let Some(limit) = max_dimensions.filter(|limit| config.dimensions > *limit) {
        let message = format!("{} dimensions are more than the {limit} this store takes", config.dimensions);
        return Err(Error::invalid_input(message));
    }
    for field in config.filterable.iter().flatten() {
        if field.key.split('.').any(str::is_empty) {
            return Err(Error::invalid_input(format!(
                "the filterable field {:?} has an empty part",
                field.key
            )));
        }
    }
    Ok(())
}

/// Refuses dimensions or a metric other than those in place. Declared fields may differ.
pub fn same_config(stored: &VectorConfig, asked: &VectorConfig) -> Result<()> {
    if (stored.dimensions, stored.metric) == (asked.dimensions, asked.metric) {
        return Ok(());
    }
    Err(Error::config(format!(
        "the store holds {} dimensions compared by {}, not {} by {}; use the store's own, or another namespace",
        stored.dimensions, stored.metric, asked.dimensions, asked.metric
    )))
}

/// Checks a whole upsert and answers each node's embedding as the store keeps it, so that a refusal comes before
/// the first write and names every node at fault.
pub fn upsert(nodes: &[Node], mode: AddMode, config: &VectorConfig) -> Result<Vec<Option<Embedding>>> {
    doc_query::valid_ids(nodes.iter().map(|node| &node.id))?;
    if mode == AddMode::Fail {
        check::no_duplicates("node id", nodes.iter().map(|node| node.id.as_str()))?;
    }
    let mut first = None;
    let mut failed = Vec::new();
    let mut embeddings = Vec::with_capacity(nodes.len());
    for node in nodes {
        let embedding = node.embedding_f32();
        if let Some(vector) = &embedding
            && let Err(error) = config.metric.check(vector, config.dimensions)
        {
            failed.push(node.id.as_str());
            first.get_or_insert((node, error));
        }
        embeddings.push(embedding);
    }
    match first {
        None => Ok(embeddings),
        Some((node, error)) => {
            let message = format!("{}; nothing was written", error.message());
            Err(Error::invalid_input(message).with_key(node.id.as_str()).with_failed(failed))
        }
    }
}

/// Refuses a query that can not be answered: `top_k` of 0, a bad embedding, weights outside 0 to 1, a bad filter.
pub fn query(query: &VectorQuery, config: &VectorConfig) -> Result<()> {
    if query.top_k == 0 {
        return Err(Error::invalid_input("top_k is 0; it must be at least 1"));
    }
    if query.min_score.is_some_and(f64::is_nan) {
        return Err(Error::invalid_input("min_score is not a number"));
    }
    let embedding = |vector: &[f32]| config.metric.check(vector, config.dimensions);
    match &query.kind {
        QueryKind::Dense { embedding: vector } => embedding(vector)?,
        QueryKind::Text { .. } => {}
        QueryKind::Hybrid { embedding: vector, alpha, .. } => {
            embedding(vector)?;
            share("alpha", *alpha)?;
        }
        QueryKind::Mmr { embedding: vector, threshold } => {
            embedding(vector)?;
            share("threshold", *threshold)?;
        }
        QueryKind::Range { embedding: vector, radius } => {
            embedding(vector)?;
            if radius.is_nan() {
                return Err(Error::invalid_input("radius is not a number"));
            }
        }
    }
    check::valid_selector(&query.selector)
}

fn share(name: &str, value: f64) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid_input(format!("{name} is {value}; it must lie between 0 and 1")))
}

/// Refuses a patch that sets and removes the same entry.
pub fn patch(patch: &MetadataPatch) -> Result<()> {
    match patch.unset.iter().find(|key| patch.set.contains_key(*key)) {
        None => Ok(()),
        Some(key) => {
            Err(Error::invalid_input("the patch both sets and removes the entry").with_key(key.as_str()))
        }
    }
}
