//! What is broken is refused with its place, and nothing of it is imported.

use std::sync::Arc;

use futures::TryStreamExt;
use nodestore::folder::Import;
use nodestore::{Backend, ErrorKind, KvStoreExt, Metric, VectorConfig};

use crate::{DOCSTORE, Folder, INDEX_STORE, VECTORS, memory};

/// Nothing is in the store.
async fn assert_empty(store: &Arc<dyn Backend>) {
    let docs = store.docs().unwrap();
    assert_eq!(docs.scan(None).try_collect::<Vec<_>>().await.unwrap(), []);
    assert_eq!(docs.scan_hashes(None).try_collect::<Vec<_>>().await.unwrap(), []);
    assert_eq!(store.index().unwrap().scan(None).try_collect::<Vec<_>>().await.unwrap(), []);
    assert_eq!(store.vectors().unwrap().config().await.unwrap(), None);
    assert_eq!(store.kv().unwrap().get("nodestore", "folder").await.unwrap(), None);
}

/// The message when this file stands in the folder instead of the right one.
async fn refusal(name: &str, text: &str) -> String {
    let (folder, store) = (Folder::small(), memory().await);
    folder.write(name, text);
    let error = folder.import(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert_empty(&store).await;
    let place = folder.storage().display().to_string() + "/";
    error.message().replace(&place, "")
}

#[tokio::test]
async fn a_file_cut_anywhere_is_refused() {
    for (name, text) in [
        ("docstore.json", DOCSTORE),
        ("index_store.json", INDEX_STORE),
        ("default__vector_store.json", VECTORS),
    ] {
        let folder = Folder::small();
        for length in (0..text.len()).step_by(3) {
            folder.write(name, text.get(..length).unwrap());
            let error = Import::new(folder.storage()).check().await.unwrap_err();
            let cut = error.message().contains("cut short") || error.message().contains("is empty");
            assert!(cut, "{name} cut at {length}: {error}");
        }
    }
    let half = refusal("default__vector_store.json", VECTORS.get(..VECTORS.len() / 2).unwrap()).await;
    assert!(half.starts_with(&format!("default__vector_store.json:1:{}: ", VECTORS.len() / 2 + 1)), "{half}");
}

#[tokio::test]
async fn a_folder_that_no_storage_context_wrote_is_told() {
    let (folder, store) = (Folder::with(&[("notes.md", "x"), ("graph_store.json", "{}")]), memory().await);
    let error = folder.import(&store).await.unwrap_err();
    let why = "there is no docstore.json, no index_store.json and no default__vector_store.json in it";
    assert!(error.message().contains(why), "{error}");
    let error = Import::new(folder.storage().join("notes.md")).check().await.unwrap_err();
    assert!(error.message().ends_with("notes.md is a file; name the folder it lies in"), "{error}");
    let error = Import::new(folder.storage().join("nope")).check().await.unwrap_err();
    assert!(error.message().ends_with("nope does not exist"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_can_not_be_read_is_told() {
    let (folder, store) = (Folder::small(), memory().await);
    std::os::unix::fs::symlink("nowhere", folder.storage().join("index_store.json.bak")).unwrap();
    let error = folder.import(&store).await.unwrap_err();
    assert!(error.message().contains("index_store.json.bak can not be read: "), "{error}");
    assert_empty(&store).await;
}

#[tokio::test]
async fn every_kind_of_wrong_entry_is_told_with_its_place() {
    let default = "default__vector_store.json";
    for (name, text, message) in [
        ("docstore.json", "[]", "docstore.json:1:1: '['"),
        (
            "docstore.json",
            "{\"docstore/data\": []}",
            "docstore.json:1:19: the collection \"docstore/data\" must be",
        ),
        (
            "docstore.json",
            "{\"a\":\n {\"x\": {\"y\": 1}}}",
            "docstore.json:2:8: the entry \"x\" of \"a\" is no node",
        ),
        (
            "docstore.json",
            "{\"a\": {\"x\": {\"__type__\": \"9\", \"__data__\": {}}}}",
            "docstore.json:1:13: the entry \"x\" of \"a\": unknown node type \"9\"",
        ),
        (
            "docstore.json",
            "{\"a\": {\"x\": {\"doc_hash\": 1}}}",
            "docstore.json:1:13: the entry \"x\" of \"a\": its doc_hash must be a text",
        ),
        (
            "docstore.json",
            "{\"a\": {\"x\": {\"node_ids\": [1]}}}",
            "docstore.json:1:13: the entry \"x\" of \"a\": its node ids must be a list of texts",
        ),
        (
            "docstore.json",
            "{\"a\": {\"x\": {\"doc_hash\": \"h\"}}, \"b\": {\"x\": {\"doc_hash\": \"h\"}}}",
            "docstore.json:1:33: \"b\" and \"a\" hold the same kind of entries",
        ),
        (
            "docstore.json",
            "{\"a\": {\"x\": {\"doc_hash\": \"h\"},\n  \"x\": {\"doc_hash\": \"h\"}}}",
            "docstore.json:2:3: the key \"x\" stands twice in \"a\"",
        ),
        (
            "docstore.json",
            "{\"a\": {\"\": {\"doc_hash\": \"h\"}}}",
            "docstore.json:1:12: the entry \"\" of \"a\": its id",
        ),
        (
            "index_store.json",
            "{\"a\": {\"i\": 1}}",
            "index_store.json:1:13: the entry \"i\" must be an object",
        ),
        (
            "index_store.json",
            "{\"a\": {\"i\": {\"__type__\": \"list\", \"__data__\": \"{\"}}}",
            "index_store.json:1:13: the index struct \"i\": the text is not valid JSON",
        ),
        (
            default,
            "{\"embedding_dict\": {\"a\": [1, 2], \"b\": [1]}}",
            "the vector \"b\" has 1 values, the ones before",
        ),
        (
            default,
            "{\"embedding_dict\": {\"a\": [1, NaN]}}",
            "the vector \"a\" holds no finite number at place 1",
        ),
        (default, "{\"embedding_dict\": {\"a\": [1e39]}}", "at place 0 a number beyond 32-bit floats"),
        (default, "{\"embedding_dict\": {\"a\": [\"x\"]}}", "something else than a number at place 0"),
        (default, "{\"embedding_dict\": {\"a\": []}}", "the vector \"a\" has no values"),
        (default, "{\"embedding_dict\": {\"a\": 1}}", ":1:26: the vector \"a\" is no list of numbers"),
        (default, "{\"metadata_dict\": {\"a\": 1}}", "the entry \"a\" of metadata_dict must be an object"),
        (default, "{\"text_id_to_ref_doc_id\": {\"a\": 1}}", "must be a text"),
        (default, "FAISS", "default__vector_store.json:1:1: 'F' stands where the `{` of an object"),
    ] {
        let told = refusal(name, text).await;
        assert!(told.contains(message), "{text}\n{told}");
    }
}

#[tokio::test]
async fn a_store_that_can_not_take_the_folder_is_told_before_the_first_write() {
    let (folder, store) = (Folder::small(), memory().await);
    store.vectors().unwrap().configure(VectorConfig::new(3, Metric::Cosine)).await.unwrap();
    let error = folder.import(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let why = "default__vector_store.json:1:30: the vector \"alone\" has 2 values, but the store holds vectors of 3";
    assert!(error.message().contains(why), "{error}");
    assert_eq!(store.docs().unwrap().scan(None).try_collect::<Vec<_>>().await.unwrap(), []);

    let disk = Folder::small();
    let store = crate::on_disk(&disk).await;
    disk.write("docstore.json", DOCSTORE.replace("lonely", &"x".repeat(5000)));
    let error = disk.import(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(error.message().contains("the key has 5000 bytes; the store takes at most 4096"), "{error}");
    assert_empty(&store).await;
}

#[tokio::test]
async fn a_vector_of_zeros_is_imported_without_it_and_told() {
    let (folder, store) = (Folder::small(), memory().await);
    folder.write("default__vector_store.json", VECTORS.replace("[0.5, 1.0]", "[0.0, 1e-60]"));
    let report = folder.import(&store).await.unwrap();
    assert!(report.contents.notes[0].contains("1 vector of zeros"), "{:?}", report.contents.notes);
    let out = folder.export(&store).await;
    let written = crate::json(&out["default__vector_store.json"]);
    assert_eq!(written["embedding_dict"].as_object().unwrap().len(), 2);
}

#[tokio::test]
async fn a_folder_that_changes_meanwhile_is_refused() {
    let (folder, store) = (Folder::small(), memory().await);
    let import = Import::new(folder.storage());
    let checked = import.check().await.unwrap();
    folder.write("docstore.json", DOCSTORE.replace("first wine", "another wine"));
    let error = import.write(&checked, &*store).await.unwrap_err();
    assert!(error.message().contains("docstore.json changed while it was imported"), "{error}");
}
