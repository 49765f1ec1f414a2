//! What a run does, over the memory store.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};

use super::faults::{Faults, FaultyDocs};
use super::*;
use crate::{
    Backend, DocStoreExt, Embedding, Error, ErrorKind, GetOptions, HashEmbedder, MemoryBackend, Metric,
    Selector, VectorConfig, VectorQuery, VectorStoreExt,
};

pub(super) fn document(id: &str, text: &str) -> Document {
    Document::new(text).with_id(id)
}

/// A splitter: one chunk for each line; it refuses a text that says so.
pub(super) fn by_line(document: &Document) -> Result<Vec<Node>> {
    let text = document.text_content();
    if text.contains("refuse me") {
        return Err(Error::invalid_input("the text asked for it"));
    }
    let lines = text.split_inclusive('\n').scan(0, |end, line| {
        let start = *end;
        *end += line.len();
        Some(start..start + line.trim_end().len())
    });
    nodes_from_chunks(document, lines)
}

/// The hash embedder, with its calls counted; a text with "poison" gets a vector no store takes.
#[derive(Debug)]
struct Counting {
    embedder: HashEmbedder,
    texts: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Counting {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            embedder: HashEmbedder::new(16).unwrap(),
            texts: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
        })
    }
}

#[async_trait]
impl Embedder for Counting {
    async fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>> {
        self.texts.fetch_add(texts.len(), Ordering::Relaxed);
        let at_once = self.at_once.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_at_once.fetch_max(at_once, Ordering::Relaxed);
        tokio::task::yield_now().await;
        let mut embeddings = self.embedder.embed(texts).await?;
        for (embedding, text) in embeddings.iter_mut().zip(texts) {
            if text.contains("poison") {
                embedding.fill(f32::NAN);
            }
        }
        self.at_once.fetch_sub(1, Ordering::Relaxed);
        Ok(embeddings)
    }

    fn dimensions(&self) -> usize {
        self.embedder.dimensions()
    }

    fn model(&self) -> &'static str {
        "counting"
    }
}

struct World {
    docs: Arc<dyn DocStore>,
    vectors: Arc<dyn VectorStore>,
    embedder: Arc<Counting>,
    ingestion: Ingestion,
}

async fn world() -> World {
    let store = MemoryBackend::new();
    let (docs, vectors) = (store.docs().unwrap(), store.vectors().unwrap());
    vectors.configure(VectorConfig::new(16, Metric::Cosine)).await.unwrap();
    let embedder = Counting::new();
    let ingestion = Ingestion::new(Arc::clone(&docs), by_line)
        .with_vectors(Arc::clone(&vectors), Arc::<Counting>::clone(&embedder));
    World { docs, vectors, embedder, ingestion }
}

impl World {
    async fn texts(&self, id: &str) -> Vec<String> {
        let page = self.vectors.get(&Selector::ref_docs([id]), GetOptions::default()).await.unwrap();
        let mut texts: Vec<String> = page.items.iter().map(|node| node.text_content().to_owned()).collect();
        texts.sort();
        texts
    }
}

#[tokio::test]
async fn writes_the_document_and_its_linked_nodes() {
    let world = world().await;
    let document = document("d", "Zażółć\ngęślą").with_metadata("lang", "pl");
    let report = world.ingestion.run(vec![document.clone()]).await.unwrap();
    assert_eq!((report.added, report.nodes_written, report.nodes_embedded), (1, 2, 2));

    assert_eq!(world.docs.get(&"d".into()).await.unwrap(), Some(document.clone().into_node()));
    assert_eq!(world.docs.hash(&"d".into()).await.unwrap(), Some(document.hash()));
    let info = world.docs.ref_doc(&"d".into()).await.unwrap().unwrap();
    let nodes = world.docs.get_many(&info.node_ids).await.unwrap();
    let [Some(first), Some(second)] = &nodes[..] else { panic!("two nodes") };
    assert_eq!((first.text_content(), second.text_content()), ("Zażółć", "gęślą"));
    assert_eq!(first.metadata, document.metadata);
    assert_eq!(first.embedding, None);
    assert_eq!(first.relationships.source().unwrap().hash, Some(document.hash()));
    assert_eq!(first.relationships.next().unwrap().node_id, second.id);
    assert_eq!(second.relationships.previous().unwrap().hash, Some(first.hash()));
    let place = |node: &Node| node.content.as_text().map(|text| (text.start_char_idx, text.end_char_idx));
    assert_eq!(place(first), Some((Some(0), Some(6))));
    assert_eq!(place(second), Some((Some(7), Some(12))));

    let options = GetOptions::default().with_embeddings(true);
    let page = world.vectors.get(&Selector::ref_docs(["d"]), options).await.unwrap();
    for mut node in page.items {
        let text = node.content_with(crate::MetadataMode::Embed).unwrap();
        let expected = world.embedder.embedder.embed(&[&text]).await.unwrap().remove(0);
        assert_eq!(node.embedding_f32(), Some(expected));
        node.embedding = None;
        assert!(nodes.contains(&Some(node)));
    }
}

#[tokio::test]
async fn asks_only_for_the_hashes_of_what_comes_in() {
    let faults = Arc::new(Faults::default());
    let inner = MemoryBackend::new().docs().unwrap();
    let docs = Arc::new(FaultyDocs { inner, faults: Arc::clone(&faults) });
    let ingestion = Ingestion::new(docs, by_line).with_batch_documents(40);
    let documents: Vec<Document> = (0..100).map(|n| document(&format!("d{n}"), "text")).collect();
    ingestion.run(documents.clone()).await.unwrap();
    faults.revive();
    let report = ingestion.run(documents[..90].to_vec()).await.unwrap();
    assert_eq!((report.unchanged, report.added), (90, 0));
    assert_eq!(faults.calls(), [("hashes", 40), ("hashes", 40), ("hashes", 10)]);
}

#[tokio::test]
async fn embeds_only_the_chunks_that_changed() {
    let world = world().await;
    world.ingestion.run(vec![document("d", "alpha\nbeta\ngamma")]).await.unwrap();
    assert_eq!(world.embedder.texts.load(Ordering::Relaxed), 3);
    let report = world.ingestion.run(vec![document("d", "zero\nalpha\ngamma\nalpha")]).await.unwrap();
    assert_eq!((report.changed, report.nodes_written, report.nodes_embedded), (1, 4, 2));
    assert_eq!(world.embedder.texts.load(Ordering::Relaxed), 5);
    assert_eq!(world.texts("d").await, ["alpha", "alpha", "gamma", "zero"]);
    // The text for embedding holds the metadata: all of it changed.
    let report = world.ingestion.run(vec![document("d", "zero\nalpha").with_metadata("a", 1)]).await.unwrap();
    assert_eq!((report.nodes_written, report.nodes_embedded), (2, 2));
    let rewrite = world.ingestion.clone().with_rewrite(true);
    let report = rewrite.run(vec![document("d", "zero\nalpha").with_metadata("a", 1)]).await.unwrap();
    assert_eq!((report.changed, report.nodes_embedded), (1, 2));
}

#[tokio::test]
async fn documents_with_the_same_text_stay_two() {
    let world = world().await;
    let twins = vec![document("a", "the same"), document("b", "the same")];
    assert_eq!(world.ingestion.run(twins.clone()).await.unwrap().added, 2);
    assert_eq!(world.ingestion.run(twins.clone()).await.unwrap().unchanged, 2);
    let report = world.ingestion.clone().with_prune().run(vec![twins[1].clone()]).await.unwrap();
    assert_eq!((report.unchanged, report.pruned), (1, 1));
    assert_eq!(world.texts("a").await, Vec::<String>::new());
    assert_eq!(world.texts("b").await, ["the same"]);
    assert!(!world.docs.exists(&"a".into()).await.unwrap());
}

#[tokio::test]
async fn one_bad_document_does_not_stop_the_others() {
    let world = world().await;
    let good = vec![document("splitter", "old one"), document("vector", "old two")];
    world.ingestion.run(good).await.unwrap();
    let parent = Document::try_from(document("child", "x").into_node().with_source("parent")).unwrap();
    let report = world
        .ingestion
        .run(vec![
            document("first", "one"),
            document("splitter", "refuse me"),
            document("vector", "sweet\npoison"),
            document("first", "two"),
            document("", "nameless"),
            parent,
            document("last", "one"),
        ])
        .await
        .unwrap();
    assert_eq!((report.added, report.failed, report.changed), (2, 5, 0));
    let failed: Vec<&str> =
        report.failures.iter().map(|failure| failure.id.as_ref().unwrap().as_str()).collect();
    assert_eq!(failed, ["first", "", "child", "splitter", "vector"]);
    assert!(report.failures.iter().all(|failure| failure.error.kind() == ErrorKind::InvalidInput));
    assert_eq!(world.texts("first").await, ["one"]);
    assert_eq!(world.texts("last").await, ["one"]);
    assert_eq!(world.texts("splitter").await, ["old one"]);
    assert_eq!(world.texts("vector").await, ["old two"]);
}

#[tokio::test]
async fn nodes_that_do_not_belong_are_refused() {
    let docs = MemoryBackend::new().docs().unwrap();
    let id_of = |node: Node| {
        move |document: &Document| Ok(vec![node.clone().with_metadata("of", document.id.as_str())])
    };
    for bad in
        [Node::text("x").with_id(""), Node::text("x").with_id("d"), Node::text("x").with_source("other")]
    {
        let report =
            Ingestion::new(Arc::clone(&docs), id_of(bad)).run(vec![document("d", "t")]).await.unwrap();
        assert_eq!((report.failed, report.added), (1, 0));
    }
    let twice = |_: &Document| Ok(vec![Node::text("x").with_id("n"), Node::text("y").with_id("n")]);
    let report = Ingestion::new(Arc::clone(&docs), twice).run(vec![document("d", "t")]).await.unwrap();
    assert_eq!(report.failed, 1);
    assert_eq!(docs.hash(&"d".into()).await.unwrap(), None);

    let bare = |_: &Document| Ok(vec![Node::text("x").with_id("n")]);
    Ingestion::new(Arc::clone(&docs), bare).run(vec![document("d", "t")]).await.unwrap();
    assert_eq!(docs.get(&"n".into()).await.unwrap().unwrap().ref_doc_id(), Some("d".into()));
}

#[tokio::test]
async fn nodes_keep_an_embedding_they_bring_and_blank_ones_get_none() {
    let world = world().await;
    let nodes = |document: &Document| {
        let id = |suffix: &str| format!("{}-{suffix}", document.id);
        Ok(vec![
            Node::text("x").with_id(id("own")).with_embedding([1.0; 16]),
            Node::text(" ").with_id(id("blank")),
        ])
    };
    let ingestion = Ingestion::new(Arc::clone(&world.docs), nodes)
        .with_vectors(Arc::clone(&world.vectors), Arc::<Counting>::clone(&world.embedder));
    let report = ingestion.run(vec![document("d", "t")]).await.unwrap();
    assert_eq!((report.nodes_written, report.nodes_embedded), (2, 0));
    let found = world.vectors.query(&VectorQuery::dense(vec![1.0; 16], 5)).await.unwrap();
    assert_eq!(found.iter().map(|answer| answer.node.id.as_str()).collect::<Vec<_>>(), ["d-own"]);
    assert_eq!(world.vectors.count(&Selector::all()).await.unwrap(), 2);
}

#[tokio::test]
async fn pruning_keeps_to_its_scope_and_refuses_an_empty_source() {
    let world = world().await;
    let all = vec![document("a/1", "x"), document("a/2", ""), document("b/1", "x"), document("b/2", "")];
    world.ingestion.run(all).await.unwrap();
    let lone = Node::text("nobody's").with_id("lone");
    world.docs.add(vec![lone], crate::AddOptions::default()).await.unwrap();

    let only_a = world.ingestion.clone().with_prune_where(|id| id.as_str().starts_with("a/"));
    let error = only_a.run(Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let report = only_a.run(vec![document("a/3", "y")]).await.unwrap();
    assert_eq!((report.added, report.pruned), (1, 2));
    let report = world.ingestion.clone().with_prune().run(vec![document("a/3", "y")]).await.unwrap();
    assert_eq!((report.unchanged, report.pruned), (1, 2));
    let nodes: Vec<Node> = world.docs.scan(None).try_collect().await.unwrap();
    assert_eq!(nodes.len(), 3, "the document, its node and the node without a source");
    assert_eq!(world.vectors.count(&Selector::all()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_document_that_fails_is_not_pruned_and_a_source_that_fails_prunes_nothing() {
    let world = world().await;
    world.ingestion.run(vec![document("a", "x"), document("b", "y")]).await.unwrap();
    let prune = world.ingestion.clone().with_prune();
    let report = prune.run(vec![document("a", "refuse me")]).await.unwrap();
    assert_eq!((report.failed, report.pruned, report.prune_skipped), (1, 1, false));
    assert_eq!(world.texts("a").await, ["x"]);

    let unreadable = || Err(Error::new(ErrorKind::Unavailable, "can not be read"));
    let source = stream::iter(vec![unreadable(), Ok(document("c", "z")), unreadable()]).boxed();
    let report = prune.run_stream(source).await.unwrap();
    assert_eq!((report.failed, report.added, report.pruned, report.prune_skipped), (2, 1, 0, true));
    assert!(report.failures.iter().all(|failure| failure.id.is_none()));
    assert_eq!(world.texts("a").await, ["x"]);
}

#[tokio::test]
async fn the_observer_sees_each_document() {
    let world = world().await;
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&events);
    let observed = world.ingestion.clone().with_prune().with_observer(move |event| {
        log.lock().unwrap().push(match event {
            IngestEvent::Started { id } => format!("started {id}"),
            IngestEvent::Unchanged { id } => format!("unchanged {id}"),
            IngestEvent::Written { id, nodes, changed } => format!("written {id} {nodes} {changed}"),
            IngestEvent::Failed { id, error } => format!("failed {} {}", id.unwrap(), error.kind()),
            IngestEvent::Pruned { id, nodes } => format!("pruned {id} {nodes}"),
        });
    });
    observed.run(vec![document("a", "x"), document("b", "y\nz")]).await.unwrap();
    observed.run(vec![document("a", "x"), document("c", "refuse me"), document("b", "y")]).await.unwrap();
    observed.run(vec![document("b", "y")]).await.unwrap();
    let expected = [
        "started a",
        "started b",
        "written a 1 false",
        "written b 2 false", // first run
        "unchanged a",
        "started c",
        "failed c invalid_input",
        "started b",
        "written b 1 true", // second run
        "unchanged b",
        "pruned a 1", // third run
    ];
    assert_eq!(*events.lock().unwrap(), expected);
}

#[tokio::test]
async fn other_errors_end_the_run_and_the_next_one_goes_on() {
    let faults = Arc::new(Faults::default());
    let inner = MemoryBackend::new().docs().unwrap();
    let docs: Arc<dyn DocStore> = Arc::new(FaultyDocs { inner, faults: Arc::clone(&faults) });
    let ingestion = Ingestion::new(Arc::clone(&docs), by_line).with_batch_documents(1);
    faults.kill_at(4, super::faults::Moment::Before);
    let documents = vec![document("a", "x"), document("b", "y")];
    let error = ingestion.run(documents.clone()).await.unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Unavailable, Some("ingestion.run")));
    faults.revive();
    let report = ingestion.run(documents.clone()).await.unwrap();
    assert_eq!((report.unchanged, report.changed), (1, 1), "one was begun and not finished");
    assert_eq!(ingestion.run(documents).await.unwrap().unchanged, 2);
}

#[tokio::test]
async fn a_vector_store_that_does_not_fit_is_found_before_anything_is_read() {
    let store = MemoryBackend::new();
    let vectors = store.vectors().unwrap();
    let ingestion = Ingestion::new(store.docs().unwrap(), by_line)
        .with_vectors(Arc::clone(&vectors), Arc::new(HashEmbedder::new(8).unwrap()));
    let source = || stream::poll_fn(|_| panic!("read")).boxed();
    let error = ingestion.run_stream(source()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    vectors.configure(VectorConfig::new(9, Metric::Cosine)).await.unwrap();
    let error = ingestion.run_stream(source()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("9 dimensions"), "{error}");
}

#[tokio::test]
async fn a_dropped_run_is_taken_up_by_the_next() {
    let documents: Vec<Document> =
        (0..20).map(|n| document(&format!("d{n}"), &format!("one {n}\ntwo"))).collect();
    for polls in 0..40 {
        let world = world().await;
        let ingestion = world.ingestion.clone().with_batch_documents(4).with_embed_batch(2);
        {
            let mut run = std::pin::pin!(ingestion.run(documents.clone()));
            for _ in 0..polls {
                if futures::poll!(&mut run).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        ingestion.run(documents.clone()).await.unwrap();
        assert_eq!(world.vectors.count(&Selector::all()).await.unwrap(), 40);
        assert_eq!(world.docs.scan(None).try_collect::<Vec<_>>().await.unwrap().len(), 60);
        assert_eq!(ingestion.run(documents.clone()).await.unwrap().unchanged, 20);
    }
}

#[tokio::test]
async fn runs_in_a_task_with_no_more_calls_at_once_than_allowed() {
    for allowed in [1, 2, 3, 4, 7] {
        let world = world().await;
        let ingestion =
            world.ingestion.clone().with_concurrency(allowed).with_embed_batch(3).with_batch_documents(5);
        let text = (0..20).map(|n| format!("line {n}")).collect::<Vec<_>>().join("\n");
        let documents = (0..40).map(|n| document(&format!("d{n}"), &text)).collect();
        let report = tokio::spawn(async move { ingestion.run(documents).await }).await.unwrap().unwrap();
        assert_eq!((report.added, report.nodes_embedded), (40, 800));
        let most = world.embedder.most_at_once.load(Ordering::Relaxed);
        assert!(most <= allowed && most >= allowed.min(2), "{most} of {allowed}");
    }
}

#[tokio::test]
async fn a_stopped_run_leaves_whole_documents_prunes_nothing_and_the_next_goes_on() {
    let documents: Vec<Document> =
        (0..12).map(|n| document(&format!("d{n}"), &format!("one {n}\ntwo"))).collect();
    for after in 0..12 {
        let world = world().await;
        world.ingestion.run(vec![document("old", "x")]).await.unwrap();
        let (stop, stopped) = futures::channel::oneshot::channel::<()>();
        let stop = Mutex::new(Some(stop));
        let seen = AtomicUsize::new(0);
        let ingestion = world.ingestion.clone().with_batch_documents(2).with_prune();
        let stoppable = ingestion
            .clone()
            .with_observer(move |event| {
                let counts = matches!(event, IngestEvent::Written { .. });
                if counts && seen.fetch_add(1, Ordering::Relaxed) == after {
                    stop.lock().unwrap().take();
                }
            })
            .with_stop(async {
                let _ = stopped.await;
            });
        // A source that never ends, as a pipe that nobody closes.
        let source = stream::iter(documents.clone().into_iter().map(Ok)).chain(stream::pending()).boxed();
        let report = stoppable.run_stream(source).await.unwrap();
        assert!(report.stopped && report.added > after && report.pruned == 0, "{report:?}");
        let held = world.docs.scan_hashes(None).try_collect::<Vec<_>>().await.unwrap();
        assert!(held.iter().all(|(_, hash)| hash != super::batch::UNFINISHED), "{held:?}");
        let next = ingestion.run(documents.clone()).await.unwrap();
        assert_eq!((next.unchanged, next.added), (report.added, 12 - report.added), "after {after}");
        assert_eq!((next.changed, next.pruned, next.stopped), (0, 1, false));
        assert_eq!(world.vectors.count(&Selector::all()).await.unwrap(), 24);
    }
}

#[tokio::test]
async fn a_run_that_is_stopped_at_once_writes_nothing() {
    let world = world().await;
    let ingestion = world.ingestion.clone().with_stop(async {});
    let report = ingestion.run(vec![document("a", "x")]).await.unwrap();
    assert_eq!((report.stopped, report.added), (true, 0));
    assert_eq!(world.texts("a").await, [""; 0]);
}
