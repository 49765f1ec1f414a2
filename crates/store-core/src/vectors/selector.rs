//! Which nodes an operation is about, and what it does to them.

use serde_json::Value;

use crate::{Cursor, Filter, JsonObject, Node, NodeId, RefDocId};

/// Which nodes an operation is about: its present parts, joined by AND.
///
/// An absent part does not restrict; an empty list selects nothing. Reading, an empty selector means
/// everything; `update` and `delete` refuse it, so that no call erases a store by accident.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Selector {
    /// Only these nodes.
    pub ids: Option<Vec<NodeId>>,
    /// Only nodes of these source documents.
    pub ref_docs: Option<Vec<RefDocId>>,
    /// Only nodes whose metadata matches.
    pub filter: Option<Filter>,
}

impl Selector {
    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// These nodes.
    #[must_use]
    pub fn ids(ids: impl IntoIterator<Item = impl Into<NodeId>>) -> Self {
        Self { ids: Some(ids.into_iter().map(Into::into).collect()), ..Self::default() }
    }

    /// The nodes of these source documents.
    #[must_use]
    pub fn ref_docs(ids: impl IntoIterator<Item = impl Into<RefDocId>>) -> Self {
        Self { ref_docs: Some(ids.into_iter().map(Into::into).collect()), ..Self::default() }
    }

    /// Also restricts by metadata.
    #[must_use]
    pub fn with_filter(mut self, filter: impl Into<Filter>) -> Self {
        self.filter = Some(filter.into());
        self
    }

    /// Also restricts to these nodes.
    #[must_use]
    pub fn with_ids(mut self, ids: impl IntoIterator<Item = impl Into<NodeId>>) -> Self {
        self.ids = Some(ids.into_iter().map(Into::into).collect());
        self
    }

    /// Also restricts to the nodes of these source documents.
    #[must_use]
    pub fn with_ref_docs(mut self, ids: impl IntoIterator<Item = impl Into<RefDocId>>) -> Self {
        self.ref_docs = Some(ids.into_iter().map(Into::into).collect());
        self
    }

    /// Whether nothing restricts: no part, or only an empty `All` filter.
    #[must_use]
    pub fn is_unrestricted(&self) -> bool {
        let everything = |filter: &Filter| matches!(filter, Filter::All(parts) if parts.is_empty());
        self.ids.is_none() && self.ref_docs.is_none() && self.filter.as_ref().is_none_or(everything)
    }

    /// Whether this node is selected: the law that every backend's answer is held against.
    #[must_use]
    pub fn selects(&self, node: &Node) -> bool {
        self.ids.as_ref().is_none_or(|ids| ids.contains(&node.id))
            && self
                .ref_docs
                .as_ref()
                .is_none_or(|sources| node.ref_doc_id().is_some_and(|source| sources.contains(&source)))
            && self.filter.as_ref().is_none_or(|filter| filter.matches(&node.metadata))
    }
}

impl From<Filter> for Selector {
    fn from(filter: Filter) -> Self {
        Self::default().with_filter(filter)
    }
}

/// Options of [`VectorStore::get`](crate::VectorStore::get).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct GetOptions {
    /// Whether nodes carry their embeddings; default `false`.
    pub with_embeddings: bool,
    /// Most items in the page; `None` (default) = all.
    pub limit: Option<usize>,
    /// Goes on after a page of the same selector.
    pub after: Option<Cursor>,
}

impl GetOptions {
    /// Says whether nodes carry their embeddings; default `false`.
    #[must_use]
    pub fn with_embeddings(mut self, with_embeddings: bool) -> Self {
        self.with_embeddings = with_embeddings;
        self
    }

    /// Sets the page size; at least 1.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Goes on after a page of the same selector.
    #[must_use]
    pub fn with_after(mut self, after: Cursor) -> Self {
        self.after = Some(after);
        self
    }
}

/// A change of top-level metadata; the other metadata, text and embedding stay.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct MetadataPatch {
    /// Entries to set: an existing one keeps its place, a new one goes last.
    pub set: JsonObject,
    /// Entries to remove; a key that is also set is `InvalidInput`.
    pub unset: Vec<String>,
}

impl MetadataPatch {
    /// A patch that changes nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an entry.
    #[must_use]
    pub fn with_set(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.set.insert(key.into(), value.into());
        self
    }

    /// Removes an entry.
    #[must_use]
    pub fn with_unset(mut self, key: impl Into<String>) -> Self {
        self.unset.push(key.into());
        self
    }

    /// Changes `metadata` as the patch says.
    pub fn apply(&self, metadata: &mut JsonObject) {
        metadata.retain(|key, _| !self.unset.contains(key));
        metadata.extend(self.set.clone());
    }
}
