//! A run killed at any write, then another run: the stores end as if nothing had happened.

use std::sync::Arc;

use futures::TryStreamExt;

use super::faults::{Faults, FaultyDocs, FaultyKv, FaultyVectors, Moment};
use super::tests::{by_line, document};
use super::*;
use crate::{
    Backend, GetOptions, HashEmbedder, JsonObject, KvDocStore, MemoryBackend, Metric, Selector, VectorConfig,
};

/// Where writes are counted and killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Level {
    /// Calls of the document and the vector store.
    Stores,
    /// Calls of the key-value store below the document store, so that its own calls are not atomic.
    KeyValues,
}

struct World {
    docs: Arc<dyn DocStore>,
    vectors: Option<Arc<dyn VectorStore>>,
    faults: Arc<Faults>,
}

impl World {
    async fn new(level: Level, with_vectors: bool) -> Self {
        let store = MemoryBackend::new();
        let faults = Arc::new(Faults::default());
        let docs: Arc<dyn DocStore> = match level {
            Level::Stores => {
                Arc::new(FaultyDocs { inner: store.docs().unwrap(), faults: Arc::clone(&faults) })
            }
            Level::KeyValues => Arc::new(KvDocStore::new(FaultyKv {
                inner: store.kv().unwrap(),
                faults: Arc::clone(&faults),
            })),
        };
        let inner = store.vectors().unwrap();
        inner.configure(VectorConfig::new(16, Metric::Cosine)).await.unwrap();
        let vectors: Arc<dyn VectorStore> = Arc::new(FaultyVectors { inner, faults: Arc::clone(&faults) });
        Self { docs, vectors: with_vectors.then_some(vectors), faults }
    }

    fn ingestion(&self) -> Ingestion {
        let ingestion = Ingestion::new(Arc::clone(&self.docs), by_line)
            .with_batch_documents(3)
            .with_concurrency(1)
            .with_prune();
        match &self.vectors {
            Some(vectors) => {
                ingestion.with_vectors(Arc::clone(vectors), Arc::new(HashEmbedder::new(16).unwrap()))
            }
            None => ingestion,
        }
    }

    /// Everything the stores hold.
    async fn state(&self) -> State {
        let nodes: Vec<Node> = self.docs.scan(None).try_collect().await.unwrap();
        let hashes: Vec<(NodeId, String)> = self.docs.scan_hashes(None).try_collect().await.unwrap();
        let ref_docs: Vec<_> = self.docs.scan_ref_docs(None).try_collect().await.unwrap();
        let mut vectors = Vec::new();
        if let Some(store) = &self.vectors {
            let options = GetOptions::default().with_embeddings(true);
            vectors = store.get(&Selector::all(), options).await.unwrap().items;
            vectors.sort_by(|a, b| a.id.cmp(&b.id));
        }
        State {
            nodes: nodes.iter().map(Node::to_json).collect(),
            hashes,
            ref_docs: ref_docs
                .into_iter()
                .map(|(id, info)| (id.into_string(), info.node_ids, info.metadata))
                .collect(),
            vectors: vectors.iter().map(Node::to_json).collect(),
        }
    }
}

#[derive(Debug, PartialEq)]
struct State {
    nodes: Vec<JsonObject>,
    hashes: Vec<(NodeId, String)>,
    ref_docs: Vec<(String, Vec<NodeId>, JsonObject)>,
    vectors: Vec<JsonObject>,
}

/// What the source has before, and what while the run is killed.
fn before() -> Vec<Document> {
    vec![
        document("same", "one\ntwo\nthree"),
        document("changed", "alpha\nbeta\ngamma\ndelta").with_metadata("version", 1),
        document("emptied", "full"),
        document("gone", "good\nbye"),
        document("gone and empty", ""),
    ]
}

fn after() -> Vec<Document> {
    vec![
        document("new", "un\ndeux"),
        document("same", "one\ntwo\nthree"),
        document("changed", "zero\nalpha\nbeta 2\ndelta").with_metadata("version", 2),
        document("emptied", ""),
        document("new and empty", " \n "),
        document("twin of new", "un\ndeux"),
    ]
}

/// What the source may have when the next run comes.
fn next_sources() -> Vec<Vec<Document>> {
    let mut third = after();
    third[0] = document("new", "deux\ntrois");
    third[2] = document("changed", "gamma\nomega").with_metadata("version", 3);
    third[3] = document("emptied", "full again");
    vec![after(), before(), third, vec![document("same", "one\ntwo\nthree")]]
}

/// Kills at every write in turn and compares the end with that of a store which saw only the last source.
async fn kill_everywhere(level: Level, with_vectors: bool, next_sources: Vec<Vec<Document>>) -> usize {
    let mut kills = 0;
    for next in next_sources {
        let undisturbed = World::new(level, with_vectors).await;
        undisturbed.ingestion().run(next.clone()).await.unwrap();
        let expected = undisturbed.state().await;
        for moment in [Moment::Before, Moment::Half, Moment::After] {
            for n in 0.. {
                let world = World::new(level, with_vectors).await;
                world.ingestion().run(before()).await.unwrap();
                world.faults.kill_at(n, moment);
                let finished = world.ingestion().run(after()).await.is_ok();
                world.faults.revive();
                world.ingestion().run(next.clone()).await.unwrap();
                let state = world.state().await;
                assert_eq!(state, expected, "write {n} killed {moment:?}, then {:?}", next.last());
                if finished {
                    break;
                }
                kills += 1;
            }
        }
    }
    kills
}

#[tokio::test]
async fn a_killed_run_leaves_no_trace_after_the_next() {
    assert!(kill_everywhere(Level::Stores, true, next_sources()).await > 150);
}

#[tokio::test]
async fn nor_without_vectors() {
    assert!(kill_everywhere(Level::Stores, false, next_sources()).await > 100);
}

#[tokio::test]
async fn nor_inside_the_calls_of_a_document_store_that_is_not_atomic() {
    assert!(kill_everywhere(Level::KeyValues, true, next_sources()).await > 250);
}

/// Without vectors only the same source is promised to mend a kill inside a call; see `batch`.
#[tokio::test]
async fn nor_there_without_vectors_when_the_source_is_the_same() {
    assert!(kill_everywhere(Level::KeyValues, false, vec![after()]).await > 50);
}

/// While the process is dead, what was acknowledged before is whole: the old or the new version, or a mark.
#[tokio::test]
async fn a_document_with_its_true_hash_is_complete_at_every_kill() {
    for moment in [Moment::Before, Moment::Half, Moment::After] {
        for n in 0.. {
            let world = World::new(Level::Stores, true).await;
            world.ingestion().run(before()).await.unwrap();
            world.faults.kill_at(n, moment);
            let finished = world.ingestion().run(after()).await.is_ok();
            world.faults.revive();
            for document in before().into_iter().chain(after()) {
                let hash = world.docs.hashes(std::slice::from_ref(&document.id)).await.unwrap().remove(0);
                if hash != Some(document.hash()) {
                    continue;
                }
                let fresh = World::new(Level::Stores, true).await;
                fresh.ingestion().run(vec![document.clone()]).await.unwrap();
                let nodes = |world: &World| {
                    let (vectors, id) = (world.vectors.clone().unwrap(), document.id.clone());
                    async move {
                        let selector = Selector::ref_docs([id.as_str()]);
                        let mut nodes = vectors.get(&selector, GetOptions::default()).await.unwrap().items;
                        nodes.sort_by(|a, b| a.id.cmp(&b.id));
                        nodes
                    }
                };
                assert_eq!(nodes(&world).await, nodes(&fresh).await, "{} at {n} {moment:?}", document.id);
            }
            if finished {
                break;
            }
        }
    }
}
