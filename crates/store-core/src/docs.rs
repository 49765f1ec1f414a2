//! Documents: nodes by id, with their content hashes and the source documents they were cut from.

use async_trait::async_trait;

use crate::kit::doc_query;
use crate::{BoxStream, Cursor, Filter, JsonObject, Node, NodeId, Page, RefDocId, Result};

/// What a write does with ids that exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddMode {
    /// Replace them; of equal ids in one call the last wins.
    #[default]
    Overwrite,
    /// Leave them; of equal ids in one call the first wins.
    Skip,
    /// Write the absent ones, then fail with `AlreadyExists` naming the existing ids. Equal ids in one call
    /// are `InvalidInput`.
    Fail,
}

/// Options of [`DocStore::add`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddOptions {
    /// What happens to existing ids; default overwrite.
    pub mode: AddMode,
    /// `false` writes hash and ref doc but no node, as in LlamaIndex (such a node does not exist for `Skip`
    /// and `Fail`); default `true`.
    pub store_text: bool,
}

impl Default for AddOptions {
    fn default() -> Self {
        Self { mode: AddMode::Overwrite, store_text: true }
    }
}

impl AddOptions {
    /// Sets the mode.
    #[must_use]
    pub fn with_mode(mut self, mode: AddMode) -> Self {
        self.mode = mode;
        self
    }

    /// Says whether nodes are written, or only their hashes and ref docs.
    #[must_use]
    pub fn with_store_text(mut self, store_text: bool) -> Self {
        self.store_text = store_text;
        self
    }
}

/// What an add did; `written + skipped` is the number of different ids given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddReport {
    /// Ids written.
    pub written: usize,
    /// Ids left as they were (only with [`AddMode::Skip`]).
    pub skipped: usize,
}

impl AddReport {
    /// A report of these counts.
    #[must_use]
    pub fn new(written: usize, skipped: usize) -> Self {
        Self { written, skipped }
    }
}

/// What is known of a source document.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RefDocInfo {
    /// Its nodes, in the order added.
    pub node_ids: Vec<NodeId>,
    /// Metadata: the union over the nodes of the call that first gave any, later nodes winning.
    pub metadata: JsonObject,
}

impl RefDocInfo {
    /// Info of these nodes and this metadata.
    #[must_use]
    pub fn new(node_ids: Vec<NodeId>, metadata: JsonObject) -> Self {
        Self { node_ids, metadata }
    }
}

/// What [`DocStore::delete_ref_doc`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefDocDeleted {
    /// Nodes removed; the document stored under the ref doc's own id is not counted.
    pub nodes: usize,
}

impl RefDocDeleted {
    /// So many nodes were removed.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        Self { nodes }
    }
}

/// Sort direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Smallest first.
    Ascending,
    /// Greatest first.
    Descending,
}

/// A query over stored nodes.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DocQuery {
    /// Sees the node's metadata; `None` = all.
    pub filter: Option<Filter>,
    /// Metadata paths to sort by, in dot notation. Missing counts as smallest, then bools, then numbers, then
    /// texts, then the rest; ties by id ascending. Empty = the store's own order.
    pub sort: Vec<(String, Order)>,
    /// Members of a node's JSON, or `metadata.a.b` paths, to keep (`id_` and `class_name` always stay);
    /// `None` = everything.
    pub projection: Option<Vec<String>>,
    /// Most items in the page; `None` = all.
    pub limit: Option<usize>,
    /// Goes on after a page of the same query.
    pub after: Option<Cursor>,
}

impl DocQuery {
    /// Everything, in the store's order.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only nodes whose metadata matches.
    #[must_use]
    pub fn with_filter(mut self, filter: impl Into<Filter>) -> Self {
        self.filter = Some(filter.into());
        self
    }

    /// Adds a sort key, in dot notation.
    #[must_use]
    pub fn with_sort(mut self, key: impl Into<String>, order: Order) -> Self {
        self.sort.push((key.into(), order));
        self
    }

    /// Keeps only these members.
    #[must_use]
    pub fn with_projection(mut self, members: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.projection = Some(members.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the page size; at least 1.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Goes on after a page of the same query.
    #[must_use]
    pub fn with_after(mut self, after: Cursor) -> Self {
        self.after = Some(after);
        self
    }
}

/// A store of nodes with their content hashes and source documents.
///
/// What was added comes back equal: metadata order and number kinds are kept. A node belongs to the ref doc of
/// its source relationship as last written; added again under another or no source, it moves.
#[async_trait]
pub trait DocStore: std::fmt::Debug + Send + Sync + 'static {
    /// Writes nodes, their hashes and their ref-doc entries.
    async fn add(&self, nodes: Vec<Node>, options: AddOptions) -> Result<AddReport>;

    /// The nodes of `ids`, in their order; `None` where there is none.
    async fn get_many(&self, ids: &[NodeId]) -> Result<Vec<Option<Node>>>;

    /// Whether a node is stored under each of `ids`, in their order. As it is here, it reads them.
    async fn exist_many(&self, ids: &[NodeId]) -> Result<Vec<bool>> {
        Ok(self.get_many(ids).await?.iter().map(Option::is_some).collect())
    }

    /// How many nodes are stored, or, with a filter, those whose metadata matches. As it is here, it reads all nodes.
    async fn count(&self, filter: Option<&Filter>) -> Result<usize> {
        doc_query::count_by_scan(|| self.scan(None), filter).await
    }

    /// Removes nodes with their hashes and ref-doc entries; answers how many nodes existed. A ref doc left
    /// without nodes goes too; a document stored under its id stays.
    async fn delete_many(&self, ids: &[NodeId]) -> Result<usize>;

    /// One page of nodes as their JSON `{"__data__", "__type__"}` (projected).
    async fn find(&self, query: &DocQuery) -> Result<Page<JsonObject>>;

    /// What is known of a source document.
    async fn ref_doc(&self, id: &RefDocId) -> Result<Option<RefDocInfo>>;

    /// Removes a source document: its nodes, their hashes, its info, and the document stored under its id
    /// (also if it has no nodes) with its hash (also if it stands alone). `None` if there was nothing.
    async fn delete_ref_doc(&self, id: &RefDocId) -> Result<Option<RefDocDeleted>>;

    /// The content hashes of `ids`, in their order.
    async fn hashes(&self, ids: &[NodeId]) -> Result<Vec<Option<String>>>;

    /// Sets content hashes and keeps the ref docs; also for ids without a node.
    async fn set_hashes(&self, hashes: Vec<(NodeId, String)>) -> Result<()>;

    /// All nodes after `after`, in an order that is a function of the id alone.
    fn scan(&self, after: Option<NodeId>) -> BoxStream<Node>;

    /// All ref docs after `after`, in an order that is a function of the id alone.
    fn scan_ref_docs(&self, after: Option<RefDocId>) -> BoxStream<(RefDocId, RefDocInfo)>;

    /// All content hashes after `after`, in an order that is a function of the id alone.
    fn scan_hashes(&self, after: Option<NodeId>) -> BoxStream<(NodeId, String)>;
}

/// Single-item calls for every [`DocStore`].
#[async_trait]
pub trait DocStoreExt: DocStore {
    /// One node.
    async fn get(&self, id: &NodeId) -> Result<Option<Node>> {
        Ok(self.get_many(std::slice::from_ref(id)).await?.into_iter().next().flatten())
    }

    /// Whether a node is stored under `id`.
    async fn exists(&self, id: &NodeId) -> Result<bool> {
        Ok(self.exist_many(std::slice::from_ref(id)).await? == [true])
    }

    /// Removes one node; answers whether it existed.
    async fn delete(&self, id: &NodeId) -> Result<bool> {
        Ok(self.delete_many(std::slice::from_ref(id)).await? > 0)
    }

    /// One content hash.
    async fn hash(&self, id: &NodeId) -> Result<Option<String>> {
        Ok(self.hashes(std::slice::from_ref(id)).await?.into_iter().next().flatten())
    }
}

impl<T: DocStore + ?Sized> DocStoreExt for T {}
