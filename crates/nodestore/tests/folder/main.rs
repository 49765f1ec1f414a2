//! Folders of LlamaIndex's `StorageContext`: imported, exported, broken, interrupted.

#![cfg(feature = "embedded")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod broken;
mod kept;
mod round_trip;
mod target;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nodestore::folder::{Export, Import, ImportReport};
use nodestore::{Backend, Result};
use serde_json::Value;
use tempfile::TempDir;

/// A folder for a test.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With these files in the folder `storage`.
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self::new();
        std::fs::create_dir(folder.storage()).unwrap();
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    /// A folder with something in each file.
    fn small() -> Self {
        Self::with(&[
            ("docstore.json", DOCSTORE),
            ("index_store.json", INDEX_STORE),
            ("default__vector_store.json", VECTORS),
            ("summaries__vector_store.json", SUMMARIES),
            ("graph_store.json", "{\"graph_dict\": {\"a\": [[\"b\", \"c\"]]}}"),
        ])
    }

    fn storage(&self) -> PathBuf {
        self.0.path().join("storage")
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.storage().join(name), bytes).unwrap();
    }

    async fn import(&self, store: &Arc<dyn Backend>) -> Result<ImportReport> {
        Import::new(self.storage()).run(&**store).await
    }

    /// The files of an export of the store.
    async fn export(&self, store: &Arc<dyn Backend>) -> BTreeMap<String, Vec<u8>> {
        let out = self.0.path().join("out");
        Export::new(&out).with_force(true).run(&**store).await.unwrap();
        files(&out)
    }

    /// [`export`](Self::export) of a store whose files are not all JSON.
    async fn export_beside(&self, store: &Arc<dyn Backend>) -> BTreeMap<String, Vec<u8>> {
        let out = tempfile::tempdir().unwrap();
        Export::new(out.path().join("out")).run(&**store).await.unwrap();
        files(&out.path().join("out"))
    }
}

/// The files of a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect()
}

async fn memory() -> Arc<dyn Backend> {
    nodestore::open("memory:").await.unwrap()
}

async fn on_disk(folder: &Folder) -> Arc<dyn Backend> {
    nodestore::open(&nodestore::embedded_url(&folder.0.path().join("kb"))).await.unwrap()
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// As Python 0.14 writes it: two nodes of one document, a hash alone and a node without text.
const DOCSTORE: &str = concat!(
    r#"{"docstore/data": {"n1": {"__data__": {"id_": "n1", "embedding": null, "metadata": {"tag": "\u017c", "n": 2.0}, "#,
    r#""excluded_embed_metadata_keys": [], "excluded_llm_metadata_keys": [], "relationships": {"1": {"node_id": "d1", "#,
    r#""node_type": "4", "metadata": {}, "hash": "h", "class_name": "RelatedNodeInfo"}}, "metadata_template": "{key}: {value}", "#,
    r#""metadata_separator": "\n", "text": "first wine", "mimetype": "text/plain", "start_char_idx": 0, "end_char_idx": 10, "#,
    r#""text_template": "{metadata_str}\n\n{content}", "class_name": "TextNode"}, "__type__": "1"}, "#,
    r#""n2": {"__data__": {"id_": "n2", "embedding": null, "metadata": {}, "#,
    r#""excluded_embed_metadata_keys": [], "excluded_llm_metadata_keys": [], "relationships": {"1": {"node_id": "d1", "#,
    r#""node_type": "4", "metadata": {}, "hash": "h", "class_name": "RelatedNodeInfo"}}, "metadata_template": "{key}: {value}", "#,
    r#""metadata_separator": "\n", "text": "second wine", "mimetype": "text/plain", "start_char_idx": 10, "end_char_idx": 21, "#,
    r#""text_template": "{metadata_str}\n\n{content}", "class_name": "TextNode"}, "__type__": "1"}}, "#,
    r#""docstore/metadata": {"n1": {"doc_hash": "h1", "ref_doc_id": "d1"}, "#,
    r#""n2": {"doc_hash": "h2", "ref_doc_id": "d1"}, "textless": {"doc_hash": "h3", "ref_doc_id": "d1"}, "lonely": {"doc_hash": "h0"}}, "#,
    r#""docstore/ref_doc_info": {"d1": {"node_ids": ["n2", "textless", "n1"], "metadata": {"of": "the document"}}}}"#
);

const INDEX_STORE: &str = concat!(
    r#"{"index_store/data": {"i1": {"__type__": "vector_store", "__data__": "{\"index_id\": \"i1\", \"summary\": null, "#,
    r#"\"nodes_dict\": {\"n1\": \"n1\", \"n2\": \"n2\", \"alone\": \"alone\"}, \"doc_id_dict\": {}, \"embeddings_dict\": {}}"}, "#,
    r#""i2": {"__type__": "list", "__data__": "{\"index_id\": \"i2\", \"summary\": \"\\u017c\", \"nodes\": [\"n2\", \"n1\"]}"}}}"#
);

const VECTORS: &str = concat!(
    r#"{"embedding_dict": {"alone": [0.25, -1.0], "n1": [0.5, 1.0], "n2": [0.1, 3e-07]}, "#,
    r#""text_id_to_ref_doc_id": {"alone": "None", "n1": "d1", "n2": "d1"}, "#,
    r#""metadata_dict": {"alone": {"k": [1], "_node_type": "IndexNode", "document_id": "None", "doc_id": "None", "ref_doc_id": "None"}, "#,
    r#""n1": {"tag": "\u017c", "n": 2.0, "_node_type": "TextNode", "document_id": "d1", "doc_id": "d1", "ref_doc_id": "d1"}, "#,
    r#""n2": {"_node_type": "TextNode", "document_id": "d1", "doc_id": "d1", "ref_doc_id": "d1"}}}"#
);

const SUMMARIES: &str = concat!(
    r#"{"embedding_dict": {"n1": [1.0, 2.0, 3.0]}, "text_id_to_ref_doc_id": {"n1": "d1"}, "metadata_dict": "#,
    r#"{"n1": {"tag": "\u017c", "n": 2.0, "_node_type": "TextNode", "document_id": "d1", "doc_id": "d1", "ref_doc_id": "d1"}}}"#
);
