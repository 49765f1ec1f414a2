//! What lies in the store's folder.
//!
//! `store.redb` holds one table for each namespace and role, named `namespace/role`, and the table `meta` with
//! the version of this layout. Every table maps bytes to bytes; the roles' modules say what their rows are.

/// The version of the layout, raised when an older program could misread it.
pub(crate) const FORMAT: u32 = 1;

/// The engine's file in the store's folder.
pub(crate) const FILE: &str = "store.redb";

/// Longest key, id, session or collection name, in UTF-8 bytes: a few of them must fit on a page of the file.
pub(crate) const MAX_KEY_BYTES: usize = 4096;

/// Largest value as JSON, in bytes: a value is read and written in one piece of memory.
pub(crate) const MAX_VALUE_BYTES: usize = 64 << 20;

/// The table of the store itself, and its row for [`FORMAT`] (decimal text).
pub(crate) const META: &str = "meta";
pub(crate) const META_FORMAT: &[u8] = b"format";

/// The table names of one namespace. `a · b` is a composite key of [`crate::codec`].
#[derive(Debug)]
pub(crate) struct Tables {
    /// `namespace/`, which all of them begin with.
    pub(crate) prefix: String,
    /// Key-values: `collection · key` → expiry and JSON.
    pub(crate) kv: String,
    /// What expires, by time: expiry and key of `kv` → nothing.
    pub(crate) kv_expiry: String,
    /// Nodes: id → JSON.
    pub(crate) nodes: String,
    /// What is known of a node: id → hash, ref doc and place in it.
    pub(crate) node_meta: String,
    /// The nodes of ref docs, in the order added: `ref doc · place` → id.
    pub(crate) edges: String,
    /// Ref docs: id → metadata as JSON; one for each ref doc with nodes.
    pub(crate) ref_docs: String,
    /// Index structs: id → JSON.
    pub(crate) indexes: String,
    /// Chat messages: `session · position` → JSON.
    pub(crate) chat: String,
}

impl Tables {
    pub(crate) fn new(namespace: &str) -> Self {
        let name = |role: &str| format!("{namespace}/{role}");
        Self {
            prefix: name(""),
            kv: name("kv"),
            kv_expiry: name("kv_expiry"),
            nodes: name("nodes"),
            node_meta: name("node_meta"),
            edges: name("edges"),
            ref_docs: name("ref_docs"),
            indexes: name("indexes"),
            chat: name("chat"),
        }
    }
}
