//! Ingestion into a store on disk: the same as into memory, across restarts and interrupted runs.

#![allow(clippy::unwrap_used, reason = "a test may end at once")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use store_core::{
    Backend, Document, Embedder, GetOptions, HashEmbedder, IngestReport, Ingestion, MemoryBackend, Metric,
    Node, NodeId, Result, Retriever, Selector, TextRetriever, VectorConfig, VectorRetriever,
    nodes_from_chunks,
};
use store_embedded::{EmbeddedBackend, EmbeddedConfig};

async fn open(folder: &Path) -> EmbeddedBackend {
    EmbeddedBackend::open(EmbeddedConfig::new(folder)).await.unwrap()
}

/// Chunks of about 40 bytes, cut after a blank.
fn split(document: &Document) -> Result<Vec<Node>> {
    let text = document.text_content();
    let (mut chunks, mut chunk) = (Vec::new(), 0..0);
    for word in text.split_inclusive(' ') {
        if chunk.len() + word.len() > 40 {
            chunks.push(chunk.clone());
            chunk.start = chunk.end;
        }
        chunk.end += word.len();
    }
    chunks.push(chunk);
    nodes_from_chunks(document, chunks)
}

async fn ingestion(store: &dyn Backend) -> Ingestion {
    let embedder = Arc::new(HashEmbedder::new(32).unwrap());
    let vectors = store.vectors().unwrap();
    vectors.configure(VectorConfig::new(embedder.dimensions(), Metric::Cosine)).await.unwrap();
    Ingestion::new(store.docs().unwrap(), split)
        .with_vectors(vectors, embedder)
        .with_batch_documents(7)
        .with_prune()
}

/// Documents as they are at a time: some change at every step, some come and go.
fn documents(step: usize) -> Vec<Document> {
    let text = |n: usize| {
        let version = if n.is_multiple_of(3) { step } else { 0 };
        let words = (0..10 + n % 30).map(|at| format!("word{} ", (at * 7 + n + version * (at % 4)) % 50));
        words.collect::<String>()
    };
    let here = |n: &usize| !(n + step).is_multiple_of(5);
    let document = |n: usize| Document::new(text(n)).with_id(format!("file-{n}.md")).with_metadata("n", n);
    (0..60).filter(here).map(document).collect()
}

/// All that both roles hold.
async fn state(store: &dyn Backend) -> (Vec<Node>, Vec<(NodeId, String)>, Vec<Node>) {
    let docs = store.docs().unwrap();
    let mut nodes: Vec<Node> = docs.scan(None).try_collect().await.unwrap();
    let mut hashes: Vec<(NodeId, String)> = docs.scan_hashes(None).try_collect().await.unwrap();
    let options = GetOptions::default().with_embeddings(true);
    let mut vectors = store.vectors().unwrap().get(&Selector::all(), options).await.unwrap().items;
    nodes.sort_by(|a, b| a.id.cmp(&b.id));
    hashes.sort();
    vectors.sort_by(|a, b| a.id.cmp(&b.id));
    (nodes, hashes, vectors)
}

fn by_vector(store: &dyn Backend) -> Box<dyn Retriever> {
    let embedder = Arc::new(HashEmbedder::new(32).unwrap());
    Box::new(VectorRetriever::new(store.vectors().unwrap(), embedder).with_top_k(20))
}

fn by_words(store: &dyn Backend) -> Box<dyn Retriever> {
    Box::new(TextRetriever::new(store.vectors().unwrap()).with_top_k(10_000))
}

/// What answers, in the order of ids: the two stores weigh words a little differently.
async fn found(retriever: &dyn Retriever) -> Vec<NodeId> {
    let answers = retriever.retrieve("word7 and word49").await.unwrap();
    let mut ids: Vec<NodeId> = answers.into_iter().map(|answer| answer.node.id).collect();
    assert!(ids.len() > 10);
    ids.sort();
    ids
}

/// Whether a run is at its end after so many steps; it is dropped there.
async fn finishes(run: impl Future<Output = Result<IngestReport>>, steps: usize) -> bool {
    let mut run = std::pin::pin!(run);
    for _ in 0..steps {
        if futures::poll!(&mut run).is_ready() {
            return true;
        }
        // The store's own threads go on meanwhile.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    false
}

fn counts(report: &IngestReport) -> [usize; 6] {
    [
        report.added,
        report.changed,
        report.unchanged,
        report.pruned,
        report.nodes_written,
        report.nodes_embedded,
    ]
}

#[tokio::test]
async fn equals_the_memory_store_across_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let memory = MemoryBackend::new();
    let in_memory = ingestion(&memory).await;
    for step in 0..4 {
        let disk = open(folder.path()).await;
        let on_disk = ingestion(&disk).await;
        let expected = in_memory.run(documents(step)).await.unwrap();
        let report = on_disk.run(documents(step)).await.unwrap();
        assert_eq!(counts(&report), counts(&expected));
        let again = on_disk.run(documents(step)).await.unwrap();
        assert_eq!(again.unchanged, documents(step).len());
        assert_eq!(state(&disk).await, state(&memory).await);
        disk.close().await.unwrap();
    }
}

#[tokio::test]
async fn interrupted_runs_are_made_good() {
    let folder = tempfile::tempdir().unwrap();
    let mut interrupted = 0;
    for step in 0..40 {
        let disk = open(folder.path()).await;
        let run = ingestion(&disk).await;
        interrupted += usize::from(!finishes(run.run(documents(step)), step % 20).await);
        drop(run);
        disk.close().await.unwrap();
        if step % 4 != 3 {
            continue;
        }
        let memory = MemoryBackend::new();
        ingestion(&memory).await.run(documents(step)).await.unwrap();
        let disk = open(folder.path()).await;
        ingestion(&disk).await.run(documents(step)).await.unwrap();
        assert_eq!(state(&disk).await, state(&memory).await, "after step {step}");
        for retriever in [by_vector, by_words] {
            assert_eq!(
                found(&*retriever(&disk)).await,
                found(&*retriever(&memory)).await,
                "after step {step}"
            );
        }
        disk.close().await.unwrap();
    }
    assert!(interrupted > 10, "{interrupted} of 40 runs were interrupted");
}
