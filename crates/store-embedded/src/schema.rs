//! What lies in the store's folder.
//!
//! `store.redb` holds one table for each namespace and role, named `namespace/role`, the vector tables of each
//! named vector set, named `namespace.set/role`, and the table `meta` with the version of this layout. Every table maps bytes to bytes; the roles' modules say what their rows are.

/// The version of the layout, raised when an older program could misread it.
/// 1: nodes as plain JSON. 2: nodes packed or plain; see [`crate::packed`].
pub(crate) const FORMAT: u32 = 2;

/// The engine's file in the store's folder.
pub(crate) const FILE: &str = "store.redb";

/// Longest key, id, session or collection name, in UTF-8 bytes: a few of them must fit on a page of the file.
pub(crate) const MAX_KEY_BYTES: usize = 4096;

/// Largest value as JSON, in bytes: a value is read and written in one piece of memory.
pub(crate) const MAX_VALUE_BYTES: usize = 16 << 20;

/// The table of the store itself, and its row for [`FORMAT`] (decimal text).
pub(crate) const META: &str = "meta";
pub(crate) const META_FORMAT: &[u8] = b"format";

/// What the name of a space's table `vector_meta` ends in.
pub(crate) const VECTOR_META: &str = "/vector_meta";

/// The table names of one namespace. `a · b` is a composite key of [`crate::codec`].
#[derive(Debug)]
pub(crate) struct Tables {
    /// `namespace/`, which all of them begin with.
    pub(crate) prefix: String,
    /// Key-values: `collection · key` → expiry and JSON.
    pub(crate) kv: String,
    /// What expires, by time: expiry and key of `kv` → nothing.
    pub(crate) kv_expiry: String,
    /// Nodes: id → JSON, packed.
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
    /// The vector store itself: configuration, version, next row number; see `vector::rows`.
    pub(crate) vector_meta: String,
    /// Nodes with embeddings: id → row number.
    pub(crate) vector_ids: String,
    /// Row number → id; the row numbers in use.
    pub(crate) vector_rows: String,
    /// Row numbers below the next one that are free: row number → nothing.
    pub(crate) vector_free: String,
    /// Row number → the node's JSON, packed, without its embedding.
    pub(crate) vector_nodes: String,
    /// Row number → embedding, `f32` little-endian.
    pub(crate) vectors: String,
    /// What the nodes' metadata says; see `vector::metadata_keys`.
    pub(crate) vector_index: String,
    /// How many nodes have a top-level metadata field of a kind: `name, kind` → count.
    pub(crate) vector_fields: String,
    /// What the word index has not taken in yet: `version ‖ row number` → nothing.
    pub(crate) word_log: String,
}

impl Tables {
    /// The tables of the vector role.
    pub(crate) fn vector_tables(&self) -> [&str; 9] {
        [
            &self.vector_meta,
            &self.vector_ids,
            &self.vector_rows,
            &self.vector_free,
            &self.vector_nodes,
            &self.vectors,
            &self.vector_index,
            &self.vector_fields,
            &self.word_log,
        ]
    }

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
            vector_meta: format!("{namespace}{VECTOR_META}"),
            vector_ids: name("vector_ids"),
            vector_rows: name("vector_rows"),
            vector_free: name("vector_free"),
            vector_nodes: name("vector_nodes"),
            vectors: name("vectors"),
            vector_index: name("vector_index"),
            vector_fields: name("vector_fields"),
            word_log: name("word_log"),
        }
    }
}
