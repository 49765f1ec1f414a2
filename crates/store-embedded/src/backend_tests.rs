use store_core::{
    AddMode, AddOptions, ErrorKind, KvStoreExt as _, Metric, Node, VectorConfig, VectorQuery,
    VectorStoreExt as _,
};

use super::*;

async fn open(folder: &Path, namespace: &str) -> EmbeddedBackend {
    let config = EmbeddedConfig::new(folder).with_namespace(namespace).with_cache_bytes(1 << 20);
    EmbeddedBackend::open(config).await.unwrap()
}

#[tokio::test]
async fn namespaces_are_apart_and_the_same_one_is_shared() {
    let folder = tempfile::tempdir().unwrap();
    let (a, ab, again) =
        (open(folder.path(), "a").await, open(folder.path(), "ab").await, open(folder.path(), "a").await);
    for backend in [&a, &ab] {
        backend.kv().unwrap().put("c", "k", store_core::JsonObject::new()).await.unwrap();
        backend.docs().unwrap().add(vec![Node::text("x").with_id("n")], AddOptions::default()).await.unwrap();
    }
    assert!(again.kv().unwrap().get("c", "k").await.unwrap().is_some());
    assert!(Arc::ptr_eq(&a.space().unwrap(), &again.space().unwrap()));
    a.drop_namespace().await.unwrap();
    assert_eq!(again.kv().unwrap().get("c", "k").await.unwrap(), None);
    assert_eq!(a.docs().unwrap().hashes(&["n".into()]).await.unwrap(), [None]);
    assert!(ab.kv().unwrap().get("c", "k").await.unwrap().is_some());
    a.kv().unwrap().put("c", "k", store_core::JsonObject::new()).await.unwrap();
    a.ping().await.unwrap();
}

#[tokio::test]
async fn after_closing_every_call_is_unavailable_and_the_file_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let backend = open(folder.path(), "a").await;
    let other = open(folder.path(), "b").await;
    let kv = backend.kv().unwrap();
    kv.put("c", "k", store_core::JsonObject::new()).await.unwrap();
    backend.close().await.unwrap();
    backend.close().await.unwrap();
    let error = kv.get("c", "k").await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, false));
    assert_eq!(backend.ping().await.unwrap_err().kind(), ErrorKind::Unavailable);

    // The other namespace goes on and keeps the file.
    other.kv().unwrap().put("c", "k", store_core::JsonObject::new()).await.unwrap();
    let path = folder.path().join(crate::schema::FILE);
    assert!(matches!(redb::Database::open(&path), Err(redb::DatabaseError::DatabaseAlreadyOpen)));
    other.close().await.unwrap();
    drop(redb::Database::open(&path).unwrap());
    assert!(open(folder.path(), "a").await.kv().unwrap().get("c", "k").await.unwrap().is_some());
}

#[tokio::test]
async fn nothing_is_made_when_the_config_forbids_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig::new(folder.path().join("absent")).with_create(false);
    let error = EmbeddedBackend::open(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_file_is_free_as_soon_as_close_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(crate::schema::FILE);
    for round in 0..30 {
        let backend = open(folder.path(), "a").await;
        let kv = backend.kv().unwrap();
        kv.put("c", &round.to_string(), store_core::JsonObject::new()).await.unwrap();
        kv.get("c", "0").await.unwrap();
        // A refused write must let go as well.
        let insert = store_core::PutOptions::default().with_mode(store_core::PutMode::Insert);
        let again = vec![("0".to_owned(), store_core::JsonObject::new())];
        assert_eq!(kv.put_many("c", again, insert).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
        backend.close().await.unwrap();
        drop(redb::Database::open(&path).unwrap());
    }
}

#[tokio::test]
async fn what_a_dead_process_left_while_making_the_store_goes() {
    let folder = tempfile::tempdir().unwrap();
    let leftover = folder.path().join(format!("{}.77.new", crate::schema::FILE));
    std::fs::write(&leftover, "half").unwrap();
    std::fs::write(folder.path().join("notes.txt"), "not ours").unwrap();
    open(folder.path(), "a").await.close().await.unwrap();
    let mut names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["notes.txt", crate::schema::FILE]);
}

/// A namespace dropped here and opened there at the same moment never meets its own locks.
#[test]
fn opening_and_dropping_at_once_never_fails() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let path = folder.path();
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(async {
                    for round in 0..10 {
                        let backend = open(path, "a").await;
                        let vectors = backend.vectors().unwrap();
                        vectors.configure(VectorConfig::new(2, Metric::Cosine)).await.unwrap();
                        let id = format!("{thread} {round}");
                        let node = Node::text(&*id).with_id(&*id).with_embedding([1.0, 2.0]);
                        vectors.upsert(vec![node], AddMode::Overwrite).await.unwrap();
                        let found = vectors.query_many(&[VectorQuery::text(&*id, 100)]).await.unwrap();
                        assert!(found[0].iter().any(|found| found.node.id.as_str() == id));
                    }
                });
            });
        }
    });
}

#[tokio::test]
async fn a_store_of_layout_1_is_read_and_becomes_one_of_layout_2_when_written() {
    let folder = tempfile::tempdir().unwrap();
    let backend = open(folder.path(), "a").await;
    let old = Node::text("plain").with_id("old").with_metadata("n", 1).with_embedding([1.0, 0.0]);
    backend.vectors().unwrap().configure(VectorConfig::new(2, Metric::Cosine)).await.unwrap();
    backend.vectors().unwrap().upsert(vec![old.clone()], AddMode::Overwrite).await.unwrap();
    backend.docs().unwrap().add(vec![old.clone()], AddOptions::default()).await.unwrap();
    let space = backend.space().unwrap();
    let inner = Arc::clone(&space);
    let to_layout_1 = move |tx: &crate::engine::WriteTx| {
        for name in [&inner.tables.nodes, &inner.tables.vector_nodes] {
            let mut table = tx.table(name)?;
            let rows = table.range(&crate::codec::Span::all())?;
            let rows: Vec<_> =
                rows.map(|row| row.map(|(id, node)| (id.value().to_vec(), node.value().to_vec()))).collect();
            for row in rows {
                let (id, node) = row?;
                table.insert(&id, &crate::packed::unpack(&node)?)?;
            }
        }
        tx.table(META)?.insert(crate::schema::META_FORMAT, b"1")?;
        Ok(())
    };
    space.engine.write(to_layout_1).await.unwrap();
    drop(space);
    backend.close().await.unwrap();

    let backend = open(folder.path(), "a").await;
    let (docs, vectors) = (backend.docs().unwrap(), backend.vectors().unwrap());
    let read = |id: &'static str| {
        let docs = Arc::clone(&docs);
        async move { docs.get_many(&[id.into()]).await.unwrap().remove(0) }
    };
    let format = || {
        backend.handle.read(|tx, _| {
            Ok(tx.table(META)?.get(crate::schema::META_FORMAT)?.map(|row| row.value().to_vec()))
        })
    };
    assert_eq!(read("old").await, Some(old.clone()));
    let found = vectors.query(&VectorQuery::text("plain", 1)).await.unwrap();
    assert_eq!(found[0].node.metadata, old.metadata);
    assert_eq!(format().await.unwrap().as_deref(), Some(b"1".as_slice()));
    docs.add(vec![Node::text("packed").with_id("new")], AddOptions::default()).await.unwrap();
    assert_eq!(format().await.unwrap().as_deref(), Some(b"2".as_slice()));
    assert_eq!(read("old").await, Some(old));
    assert_eq!(read("new").await, Some(Node::text("packed").with_id("new")));
}
