//! What went in comes out.

use std::task::Poll;

use nodestore::folder::{Export, Import};
use nodestore::{
    AddMode, AddOptions, DocStoreExt, IndexStruct, KvStoreExt, Metric, Node, NodeId, RefDocId, Selector,
    VectorConfig, VectorQuery, VectorStoreExt,
};
use serde_json::{Value, json};

use crate::{DOCSTORE, Folder, files, json, memory, on_disk};

#[tokio::test]
async fn a_folder_comes_back_byte_for_byte() {
    let folder = Folder::small();
    let before = files(&folder.storage());
    for store in [memory().await, on_disk(&folder).await] {
        let report = folder.import(&store).await.unwrap();
        assert_eq!((report.vectors_written, report.vectors_without_node), (4, 1));
        let contents = report.contents;
        assert_eq!(
            (contents.nodes, contents.hashes, contents.ref_docs, contents.index_structs),
            (2, 4, 1, 2)
        );
        let after = folder.export(&store).await;
        for (name, bytes) in &before {
            let (was, is) = (String::from_utf8_lossy(bytes), String::from_utf8_lossy(&after[name]));
            assert_eq!(is, was, "{name}");
        }
        assert_eq!(after.len(), before.len());
    }
}

#[tokio::test]
async fn what_was_imported_is_found_in_the_store() {
    let (folder, store) = (Folder::small(), memory().await);
    folder.import(&store).await.unwrap();
    let docs = store.docs().unwrap();
    assert_eq!(docs.get(&"n1".into()).await.unwrap().unwrap().text_content(), "first wine");
    assert_eq!(docs.hash(&"n1".into()).await.unwrap().unwrap(), "h1", "also where it is not the node's own");
    assert_eq!(docs.hash(&"lonely".into()).await.unwrap().unwrap(), "h0");
    let info = docs.ref_doc(&RefDocId::from("d1")).await.unwrap().unwrap();
    assert_eq!(info.node_ids, ["n2", "textless", "n1"].map(NodeId::from));
    assert_eq!(Value::Object(info.metadata), json!({"of": "the document"}));

    let vectors = store.vectors().unwrap();
    let hits = vectors.query(&VectorQuery::dense(vec![0.5, 1.0], 2)).await.unwrap();
    assert_eq!(hits[0].node.text_content(), "first wine");
    let red = nodestore::Filter::parse("tag = 'ż'").unwrap();
    assert_eq!(vectors.count(&Selector::from(red)).await.unwrap(), 1);
    let words = vectors.query(&VectorQuery::text("second", 5)).await.unwrap();
    assert_eq!(words[0].node.id.as_str(), "n2");
    assert_eq!(store.vector_set("summaries").unwrap().count(&Selector::all()).await.unwrap(), 1);
    assert_eq!(store.index().unwrap().get("i2").await.unwrap().unwrap().node_ids(), ["n2", "n1"]);
}

/// The import is dropped after so many polls, as a killed program would.
#[tokio::test]
async fn an_import_given_up_anywhere_is_completed_by_the_next() {
    let folder = Folder::small();
    let undisturbed = memory().await;
    folder.import(&undisturbed).await.unwrap();
    let whole = folder.export(&undisturbed).await;
    let mut finished = 0;
    for polls in 1.. {
        let kb = Folder::new();
        let store = on_disk(&kb).await;
        let import = Import::new(folder.storage());
        let done = {
            let mut run = std::pin::pin!(import.run(&*store));
            let mut left = polls;
            std::future::poll_fn(|context| {
                left -= 1;
                match run.as_mut().poll(context) {
                    Poll::Ready(done) => Poll::Ready(Some(done)),
                    Poll::Pending if left == 0 => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await
        };
        finished += usize::from(done.is_some());
        folder.import(&store).await.unwrap();
        assert_eq!(folder.export(&store).await, whole, "given up after {polls} polls");
        store.close().await.unwrap();
        if finished == 2 {
            assert!(polls > 10, "the import was given up at many places");
            break;
        }
    }
}

#[tokio::test]
async fn numbers_keep_the_digits_they_had() {
    let file = |numbers: &str| {
        format!(
            r#"{{"embedding_dict": {{"a": {numbers}}}, "text_id_to_ref_doc_id": {{}}, "metadata_dict": {{}}}}"#
        )
    };
    // Shortest digits, 32-bit floats as 64-bit ones, and numbers between 32-bit floats.
    for (numbers, expected) in [
        ("[0.1, -0.0069293645, 1e-07, 16777216.0]", "[0.1, -0.0069293645, 1e-07, 16777216.0]"),
        ("[0.10000000149011612, -0.006929364521056414]", "[0.10000000149011612, -0.006929364521056414]"),
        ("[0.1234567890123, 1]", "[0.12345679, 1.0]"),
    ] {
        let folder = Folder::with(&[("default__vector_store.json", &file(numbers))]);
        let store = memory().await;
        folder.import(&store).await.unwrap();
        let out = folder.export(&store).await;
        let text = String::from_utf8(out["default__vector_store.json"].clone()).unwrap();
        assert!(text.starts_with(&format!(r#"{{"embedding_dict": {{"a": {expected}}}"#)), "{text}");
    }
}

#[tokio::test]
async fn a_second_import_replaces_by_id_and_keeps_the_rest() {
    let (folder, store) = (Folder::small(), memory().await);
    store.docs().unwrap().add(vec![Node::text("mine").with_id("mine")], AddOptions::default()).await.unwrap();
    folder.import(&store).await.unwrap();
    folder.write("docstore.json", DOCSTORE.replace("first wine", "better wine"));
    folder.import(&store).await.unwrap();
    let docs = store.docs().unwrap();
    assert_eq!(docs.get(&"n1".into()).await.unwrap().unwrap().text_content(), "better wine");
    assert_eq!(docs.get(&"mine".into()).await.unwrap().unwrap().text_content(), "mine");
}

#[tokio::test]
async fn any_store_is_written_with_an_index_for_its_vectors() {
    let (folder, store) = (Folder::new(), memory().await);
    let empty = folder.export(&store).await;
    assert_eq!(json(&empty["index_store.json"]), json!({"index_store/data": {}}));
    assert_eq!(json(&empty["default__vector_store.json"])["embedding_dict"], json!({}));

    let node = Node::text("a text").with_id("id \"\\\" ż").with_source("d").with_metadata("k", 1);
    store.docs().unwrap().add(vec![node.clone()], AddOptions::default()).await.unwrap();
    let vectors = store.vectors().unwrap();
    vectors.configure(VectorConfig::new(2, Metric::Cosine)).await.unwrap();
    let nodes = vec![node.clone().with_embedding([0.5, 0.1]), Node::text("bare").with_id("bare")];
    vectors.upsert(nodes, AddMode::Overwrite).await.unwrap();
    let out = folder.export(&store).await;
    assert_eq!(out.len(), 5, "{:?}", out.keys());
    let stored = json(&out["index_store.json"])["index_store/data"]["nodestore"].clone();
    let made = IndexStruct::from_json(stored.as_object().unwrap().clone()).unwrap();
    assert_eq!(made.node_ids(), [node.id.as_str()]);
    let written = json(&out["default__vector_store.json"]);
    assert_eq!(written["embedding_dict"], json!({"id \"\\\" ż": [0.5, 0.1]}));
    assert_eq!(written["metadata_dict"]["id \"\\\" ż"]["ref_doc_id"], json!("d"));

    // The index struct that was made is made again when it is imported with its folder, and grows with the store.
    let (again, other) = (Folder::new(), memory().await);
    Import::new(folder.0.path().join("out")).run(&*other).await.unwrap();
    assert_eq!(again.export(&other).await, out);
    let more = Node::text("more").with_id("more").with_embedding([1.0, 0.0]);
    other.vectors().unwrap().upsert(vec![more], AddMode::Overwrite).await.unwrap();
    let report = Export::new(again.storage()).run(&*other).await.unwrap();
    assert_eq!((report.index_structs, report.index_made.as_deref()), (1, Some("nodestore")));
    assert!(String::from_utf8_lossy(&files(&again.storage())["index_store.json"]).contains(r#"\"more\""#));
}

#[tokio::test]
async fn vectors_outside_every_index_struct_are_told() {
    let (folder, store) = (Folder::small(), memory().await);
    folder.import(&store).await.unwrap();
    let more = Node::text("more").with_id("more").with_embedding([1.0, 0.0]);
    store.vectors().unwrap().upsert(vec![more], AddMode::Overwrite).await.unwrap();
    let out = folder.0.path().join("out");
    let report = Export::new(&out).run(&*store).await.unwrap();
    assert!(report.notes[0].starts_with("1 vector is in no index struct"), "{:?}", report.notes);
    assert_eq!((report.index_structs, report.index_made), (2, None));
    let report = Export::new(&out).with_force(true).with_index(true).run(&*store).await.unwrap();
    assert_eq!((report.index_structs, report.index_made.as_deref()), (3, Some("nodestore")));
    assert_eq!(report.notes, [""; 0]);
}

#[tokio::test]
async fn folders_of_old_releases_are_read() {
    // Up to 0.11: no class names, other members, misspelt ones; before 0.6: other names of everything.
    let docstore = json!({"docstore/data": {
        "d": {"__type__": "4", "__data__": {"id_": "d", "embedding": null, "metadata": {}, "text": "whole",
            "metadata_seperator": "|", "relationships": {}, "hash": "old"}},
        "n": {"__type__": "1", "__data__": {"doc_id": "n", "text": "part", "extra_info": {"k": 1},
            "relationships": {"1": "d"}, "node_info": {}, "doc_hash": "old"}},
    }, "docstore/metadata": {"d": {"doc_hash": "old"}, "n": {"doc_hash": "older", "ref_doc_id": "d"}},
    "docstore/ref_doc_info": {"d": {"doc_ids": ["n"], "extra_info": {"k": 2}}}});
    let vectors = r#"{"embedding_dict": {"n": [1, 2]}, "text_id_to_doc_id": {"n": "d"}}"#;
    let folder = Folder::with(&[
        ("docstore.json", &docstore.to_string()),
        ("vector_store.json", vectors),
        (
            "index_store.json",
            r#"{"index_store/data": {"i": {"__type__": "list", "__data__": {"index_id": "i", "nodes": ["n"]}}}}"#,
        ),
    ]);
    let store = memory().await;
    folder.import(&store).await.unwrap();
    let docs = store.docs().unwrap();
    assert_eq!(docs.hash(&"n".into()).await.unwrap().unwrap(), "older");
    let out = folder.export(&store).await;
    let docstore = json(&out["docstore.json"]);
    assert_eq!(docstore["docstore/data"]["d"]["__data__"]["metadata_separator"], json!("|"));
    assert_eq!(docstore["docstore/data"]["n"]["__data__"]["relationships"]["1"]["node_id"], json!("d"));
    assert_eq!(docstore["docstore/ref_doc_info"]["d"], json!({"node_ids": ["n"], "metadata": {"k": 2}}));
    let vectors = json(&out["default__vector_store.json"]);
    assert_eq!(vectors["embedding_dict"], json!({"n": [1.0, 2.0]}));
    assert_eq!(vectors["text_id_to_ref_doc_id"], json!({"n": "d"}));
    assert_eq!(vectors["metadata_dict"]["n"]["k"], json!(1));
}

#[tokio::test]
async fn names_of_collections_are_kept() {
    let docstore = DOCSTORE
        .replace("docstore/data", "mine/nodes")
        .replace("docstore/metadata", "mine/metadata")
        .replace("docstore/ref_doc_info", "mine/of documents");
    let index = r#"{"other/data": {"i": {"__type__": "empty", "__data__": "{\"index_id\": \"i\"}"}}}"#;
    let folder = Folder::with(&[("docstore.json", &docstore), ("index_store.json", index)]);
    let store = memory().await;
    folder.import(&store).await.unwrap();
    let out = folder.export(&store).await;
    assert_eq!(String::from_utf8_lossy(&out["docstore.json"]), docstore);
    assert_eq!(String::from_utf8_lossy(&out["index_store.json"]), index);
    assert!(store.kv().unwrap().get("nodestore", "folder").await.unwrap().is_some());
}

#[tokio::test]
async fn members_that_are_not_known_are_told() {
    let vectors = r#"{"embedding_dict": {"a": [1.0]}, "future": [{"x": 1}]}"#;
    let folder = Folder::with(&[("default__vector_store.json", vectors)]);
    let report = folder.import(&memory().await).await.unwrap();
    let note = "default__vector_store.json: the member \"future\" is not known and left out";
    assert_eq!(report.contents.notes, [note]);
}

#[tokio::test]
async fn what_json_does_not_know_is_read_as_far_as_it_goes() {
    let docstore = DOCSTORE.replace("\"n\": 2.0", r#""n": NaN, "big": 18446744073709551616, "s": "\ud800""#);
    let folder = Folder::with(&[("docstore.json", &docstore)]);
    let store = memory().await;
    let report = folder.import(&store).await.unwrap();
    assert!(
        report.contents.notes[0].starts_with("docstore.json: 1 entry holds what can not be kept exactly")
    );
    let node = store.docs().unwrap().get(&"n1".into()).await.unwrap().unwrap();
    let expected = json!({"tag": "ż", "n": null, "big": 18_446_744_073_709_551_616.0, "s": "\u{fffd}"});
    assert_eq!(Value::Object(node.metadata), expected);
}
