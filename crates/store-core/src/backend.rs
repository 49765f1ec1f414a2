//! Backends: a database that serves one or more roles.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    ChatStore, Diagnosis, DocStore, Error, IndexStore, KvCapabilities, KvStore, Reader, Result,
    VectorCapabilities, VectorStore,
};

#[allow(clippy::struct_excessive_bools, reason = "each role is offered or not, independently")]
/// What a backend can do, by role; `None` or `false` = the role is not offered.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Whether other processes see the data.
    pub shared: bool,
    /// The key-value role.
    pub kv: Option<KvCapabilities>,
    /// Whether the document role is offered.
    pub docs: bool,
    /// Whether the index role is offered.
    pub index: bool,
    /// Whether the chat role is offered.
    pub chat: bool,
    /// The vector role.
    pub vectors: Option<VectorCapabilities>,
    /// Whether collections are read as documents ([`Backend::collection_reader`]).
    pub reader: bool,
}

impl Capabilities {
    /// No role; set those the backend offers.
    #[must_use]
    pub fn new(shared: bool) -> Self {
        Self { shared, kv: None, docs: false, index: false, chat: false, vectors: None, reader: false }
    }
}

/// A database that serves one or more roles; what `nodestore::open` answers.
///
/// Opening is cheap. What a role needs is created at its first use.
#[async_trait]
pub trait Backend: std::fmt::Debug + Send + Sync + 'static {
    /// The backend's name: `"embedded"`.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// One round trip to the server (for a local store: one read).
    async fn ping(&self) -> Result<()>;

    /// Versions and settings of the store, and what is wrong with it or is going to be: indexes missing or
    /// behind, space running out, settings that hurt. Looks only, and changes nothing. What would take more
    /// than a few seconds is left out, and a note says so.
    async fn diagnose(&self) -> Result<Diagnosis>;

    /// Removes all data of the namespace; the backend stays usable, empty and unconfigured. Refused with
    /// `InvalidInput` when the store was opened without a namespace on a server that others may share.
    async fn drop_namespace(&self) -> Result<()>;

    /// Writes out what is pending and lets go of connections and files. Later calls are `Unavailable`, also on
    /// roles taken before; a store in memory, which has nothing to let go of, goes on.
    async fn close(&self) -> Result<()>;

    /// The key-value role.
    fn kv(&self) -> Result<Arc<dyn KvStore>>;

    /// The document role.
    fn docs(&self) -> Result<Arc<dyn DocStore>>;

    /// The index role.
    fn index(&self) -> Result<Arc<dyn IndexStore>>;

    /// The chat role.
    fn chat(&self) -> Result<Arc<dyn ChatStore>>;

    /// The vector role: the default vector set.
    fn vectors(&self) -> Result<Arc<dyn VectorStore>>;

    /// A named vector set beside the default one: a vector store with its own configuration, nodes and indexes.
    /// For the same nodes embedded by another model, or for what is searched apart. Like all else it comes to be
    /// at its first use, by [`configure`](VectorStore::configure), and goes with the namespace.
    ///
    /// `name` is of [`check::plain_name`](crate::kit::check::plain_name); another is `InvalidInput`.
    fn vector_set(&self, name: &str) -> Result<Arc<dyn VectorStore>>;

    /// The names of the configured vector sets but the default one, in order.
    async fn vector_sets(&self) -> Result<Vec<String>>;

    /// Removes a vector set whole, with its configuration; `None` is the default one. Answers whether it was
    /// configured. Handles to it stay usable, empty and unconfigured.
    async fn drop_vector_set(&self, name: Option<&str>) -> Result<bool>;

    /// A reader of a collection, whoever wrote it, by the name that the database has for it: a document for each of
    /// its records, with the record's id, and as its text the field `text`, which every record must have. A
    /// key-value collection can be read so.
    ///
    /// What else a reader can do (other fields, metadata, filters, going on where it ended) is set on the backend's
    /// own type. `Unsupported`, unless [`Capabilities::reader`] says otherwise; that is the default.
    fn collection_reader(&self, collection: &str) -> Result<Arc<dyn Reader>> {
        let _ = collection;
        Err(Error::unsupported(self.name(), "collection_reader"))
    }
}
