//! Files and index structs that are kept as they are.

use nodestore::folder::Export;
use nodestore::{ErrorKind, IndexStruct, KvStoreExt as _};

use crate::{Folder, SUMMARIES, memory, on_disk};

#[tokio::test]
async fn other_files_are_kept_to_the_byte() {
    let folder = Folder::small();
    let bytes: Vec<u8> = (0..1_300_000_u32).map(|at| at.to_le_bytes()[usize::from(at % 3 == 0)]).collect();
    folder.write("image__vector_store.json", "not even {JSON");
    folder.write("Pictures__vector_store.json", SUMMARIES);
    folder.write("some picture.png", &bytes);
    folder.write("empty", "");
    std::fs::create_dir(folder.storage().join("inside")).unwrap();
    for store in [memory().await, on_disk(&folder).await] {
        let report = folder.import(&store).await.unwrap();
        assert_eq!(report.contents.kept_files.len(), 5);
        assert_eq!(report.contents.notes, ["the folder \"inside\" inside is left out"]);
        let out = folder.export_beside(&store).await;
        assert_eq!(out["some picture.png"], bytes);
        assert_eq!(out["empty"], b"");
        assert_eq!(out["image__vector_store.json"], b"not even {JSON");
        assert_eq!(out["Pictures__vector_store.json"], SUMMARIES.as_bytes());
    }
}

#[tokio::test]
async fn a_kept_file_is_replaced_by_a_shorter_one() {
    let (folder, store) = (Folder::small(), memory().await);
    folder.write("property_graph_store.json", "x".repeat(2_000_000));
    folder.import(&store).await.unwrap();
    folder.write("property_graph_store.json", "{}");
    folder.import(&store).await.unwrap();
    assert_eq!(folder.export_beside(&store).await["property_graph_store.json"], b"{}");
    let chunks = futures::TryStreamExt::try_collect::<Vec<_>>(
        store.kv().unwrap().scan("nodestore_folder", nodestore::ScanOptions::default()),
    );
    assert_eq!(chunks.await.unwrap().len(), 2, "that and graph_store.json");
}

#[tokio::test]
async fn an_index_struct_too_large_for_a_value_is_kept_whole() {
    let ids = (0..80_000).map(|at| format!("a long id of a node, number {at:030}"));
    let large = IndexStruct::list(ids).with_id("large");
    let text = nodestore::python::dumps(&serde_json::json!({
        "index_store/data": {"small": IndexStruct::empty().with_id("small").to_stored_json(),
                             "large": large.to_stored_json()},
    }))
    .unwrap();
    assert!(text.len() > 4 << 20);
    let folder = Folder::small();
    folder.write("index_store.json", &text);
    let store = on_disk(&folder).await;
    let report = folder.import(&store).await.unwrap();
    assert_eq!(report.contents.index_structs, 2);
    assert_eq!(String::from_utf8_lossy(&folder.export_beside(&store).await["index_store.json"]), text);
}

/// The note of an imported folder is in the store, where others write, too.
#[tokio::test]
async fn no_file_is_written_outside_of_the_folder() {
    let (folder, store) = (Folder::small(), memory().await);
    folder.import(&store).await.unwrap();
    let kv = store.kv().unwrap();
    let note = kv.get("nodestore", "folder").await.unwrap().unwrap();
    let outside = folder.storage().with_file_name("outside");
    for name in ["../outside", outside.to_str().unwrap(), "..", "", "a/b", "a/"] {
        let mut note = note.clone();
        note["files"] = serde_json::json!([{"name": name, "bytes": 0, "chunks": 0}]);
        kv.put("nodestore", "folder", note).await.unwrap();
        let out = folder.storage().with_file_name("out");
        let error = Export::new(&out).run(&*store).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{name:?}: {error}");
        assert!(!outside.exists() && !out.exists(), "{name:?}");
    }
}
