use serde_json::json;
use store_core::{DocStoreExt as _, ErrorKind};

use super::*;
use crate::{EmbeddedBackend, EmbeddedConfig};

struct Store {
    docs: EmbeddedDocStore,
    _folder: tempfile::TempDir,
}

async fn store() -> Store {
    let folder = tempfile::tempdir().unwrap();
    let backend = EmbeddedBackend::open(EmbeddedConfig::new(folder.path())).await.unwrap();
    let docs = EmbeddedDocStore::new(Arc::new(Handle::new(backend.space().unwrap())));
    Store { docs, _folder: folder }
}

impl Store {
    /// Rows of the four tables.
    async fn rows(&self) -> [u64; 4] {
        let read = self.docs.handle.read(|tx, t| {
            let len = |name: &str| tx.table(name)?.len();
            Ok([len(&t.nodes)?, len(&t.node_meta)?, len(&t.edges)?, len(&t.ref_docs)?])
        });
        read.await.unwrap()
    }

    async fn members(&self, ref_doc: &str) -> Vec<String> {
        let info = self.docs.ref_doc(&ref_doc.into()).await.unwrap();
        info.unwrap_or_default().node_ids.into_iter().map(NodeId::into_string).collect()
    }

    async fn add(&self, nodes: &[(&str, &str)]) {
        let nodes = nodes.iter().map(|(id, source)| {
            let node = Node::text(*id).with_id(*id);
            if source.is_empty() { node } else { node.with_source(*source) }
        });
        self.docs.add(nodes.collect(), AddOptions::default()).await.unwrap();
    }
}

#[tokio::test]
async fn nodes_keep_their_place_move_and_leave_nothing_behind() {
    let store = store().await;
    store.add(&[("1", "a"), ("2", "a"), ("3", "b"), ("4", "")]).await;
    assert_eq!(store.rows().await, [4, 4, 3, 2]);
    store.add(&[("1", "a"), ("4", "a")]).await;
    assert_eq!(store.members("a").await, ["1", "2", "4"]);
    store.add(&[("1", "b"), ("2", "")]).await;
    assert_eq!(
        (store.members("a").await, store.members("b").await),
        (vec!["4".into()], vec!["3".into(), "1".into()])
    );
    store.add(&[("4", "b")]).await;
    assert_eq!(store.docs.ref_doc(&"a".into()).await.unwrap(), None);
    assert_eq!(store.rows().await, [4, 4, 3, 1]);
    assert_eq!(store.docs.delete_many(&["1".into(), "3".into(), "1".into(), "no".into()]).await.unwrap(), 2);
    assert_eq!(store.members("b").await, ["4"]);
    assert_eq!(store.docs.delete_ref_doc(&"b".into()).await.unwrap(), Some(RefDocDeleted::new(1)));
    assert_eq!(store.rows().await, [1, 1, 0, 0]);
    assert!(store.docs.delete(&"2".into()).await.unwrap());
    assert_eq!(store.rows().await, [0; 4]);
}

#[tokio::test]
async fn a_ref_doc_emptied_and_filled_in_one_call_keeps_its_metadata() {
    let store = store().await;
    let node = |id: &str| Node::text(id).with_id(id);
    let first = node("1").with_source("a").with_metadata("title", "kept");
    store.docs.add(vec![first], AddOptions::default()).await.unwrap();
    store
        .docs
        .add(
            vec![node("1"), node("2").with_source("a").with_metadata("title", "late")],
            AddOptions::default(),
        )
        .await
        .unwrap();
    let info = store.docs.ref_doc(&"a".into()).await.unwrap().unwrap();
    assert_eq!(json!(info.metadata), json!({"title": "kept"}));
    assert_eq!(info.node_ids, ["2".into()]);
}

#[tokio::test]
async fn a_ref_doc_goes_with_its_document_and_its_own_edge() {
    let store = store().await;
    store.add(&[("a", "parent"), ("1", "a"), ("2", "a")]).await;
    assert_eq!(store.docs.delete_ref_doc(&"a".into()).await.unwrap(), Some(RefDocDeleted::new(2)));
    assert_eq!(store.rows().await, [0; 4]);
    assert_eq!(store.docs.delete_ref_doc(&"a".into()).await.unwrap(), None);
}

#[tokio::test]
async fn the_modes_and_hashes_without_text() {
    let store = store().await;
    store.add(&[("1", "a")]).await;
    let nodes = || vec![Node::text("new").with_id("1"), Node::text("new").with_id("2").with_source("a")];
    let skip = store.docs.add(nodes(), AddOptions::default().with_mode(AddMode::Skip)).await.unwrap();
    assert_eq!((skip.written, skip.skipped), (1, 1));
    assert_eq!(store.docs.get(&"1".into()).await.unwrap().unwrap().text_content(), "1");
    let error = store.docs.add(nodes(), AddOptions::default().with_mode(AddMode::Fail)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.failed()),
        (ErrorKind::AlreadyExists, ["1".to_owned(), "2".to_owned()].as_slice())
    );
    store
        .docs
        .add(
            vec![Node::text("x").with_id("3").with_source("a")],
            AddOptions::default().with_store_text(false),
        )
        .await
        .unwrap();
    assert_eq!(store.docs.get(&"3".into()).await.unwrap(), None);
    assert!(store.docs.hash(&"3".into()).await.unwrap().is_some());
    assert_eq!(store.members("a").await, ["1", "2", "3"]);
    store.docs.set_hashes(vec![("1".into(), "h".into()), ("9".into(), String::new())]).await.unwrap();
    assert_eq!(
        store.docs.hashes(&["1".into(), "9".into(), "8".into()]).await.unwrap(),
        [Some("h".into()), Some(String::new()), None]
    );
    assert_eq!(store.members("a").await, ["1", "2", "3"]);
}

#[tokio::test]
async fn bad_nodes_are_refused_before_anything_is_written() {
    let store = store().await;
    let good = || Node::text("good").with_id("good");
    for (bad, kind) in [
        (Node::text("x").with_id(""), ErrorKind::InvalidInput),
        (Node::text("x").with_source(""), ErrorKind::InvalidInput),
        (Node::text("x").with_embedding([1.0, f32::NAN]), ErrorKind::InvalidInput),
        (Node::text("x").with_id("x".repeat(MAX_KEY_BYTES + 1)), ErrorKind::LimitExceeded),
    ] {
        let error = store.docs.add(vec![good(), bad], AddOptions::default()).await.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (kind, Some("docs.add")), "{error}");
    }
    assert_eq!(store.rows().await, [0; 4]);
}
