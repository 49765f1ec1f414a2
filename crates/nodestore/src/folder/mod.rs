//! Folders that LlamaIndex's `StorageContext` persisted: [`Import`] and [`Export`].
//!
//! Both stream: what is in memory is a batch of nodes or vectors, and for an import 16 bytes for each id.

mod check;
mod entries;
mod export;
mod import;
mod keys;
mod list;
mod manifest;
mod numbers;
mod scan;
mod target;
mod watch;
mod writer;

pub use export::{Export, ExportReport};
pub use import::{CheckedFolder, Import};
pub use list::is_persisted;
pub(crate) use manifest::CHUNKS as KEPT_FILES;
pub use watch::FolderEvent;

/// What is in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FolderContents {
    /// Nodes and documents in `docstore.json`.
    pub nodes: usize,
    /// Content hashes, also those of nodes that are not there.
    pub hashes: usize,
    /// Source documents that nodes were cut from.
    pub ref_docs: usize,
    /// Index structs in `index_store.json`.
    pub index_structs: usize,
    /// Vectors, by namespace.
    pub vectors: Vec<FolderVectors>,
    /// Files that are kept as they are.
    pub kept_files: Vec<String>,
    /// Bytes of all files.
    pub bytes: u64,
    /// What a person should know: what is left out or changed, and why.
    pub notes: Vec<String>,
}

/// A file of vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FolderVectors {
    /// The namespace: `default` for the vectors that the store uses.
    pub namespace: String,
    /// The file.
    pub file: String,
    /// How many there are.
    pub vectors: usize,
    /// Values in each; `None` when there is none.
    pub dimensions: Option<usize>,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportReport {
    /// What was in the folder, all of which is in the store now.
    pub contents: FolderContents,
    /// Vectors written, of all namespaces.
    pub vectors_written: usize,
    /// Those among them whose node is not in the docstore: they have an id, metadata and a ref doc, but no text.
    pub vectors_without_node: usize,
}

/// `1 vector`, `2 vectors`.
fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
