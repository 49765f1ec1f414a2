//! Ingestion: documents go in, are cut and embedded, and only what changed is written.

mod batch;
mod chunks;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod faults;
mod id_set;
mod prune;
mod report;
mod run;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt, Shared};
use futures::{StreamExt, stream};

pub use self::chunks::nodes_from_chunks;
pub use self::report::{IngestEvent, IngestFailure, IngestReport};

use self::run::Run;
use crate::{BoxStream, DocStore, Document, Embedder, Node, NodeId, Result, VectorStore};

/// Documents read together unless [`Ingestion::with_batch_documents`] says otherwise.
const BATCH_DOCUMENTS: usize = 32;
/// Texts in one call of the embedder unless [`Ingestion::with_embed_batch`] says otherwise.
const EMBED_BATCH: usize = 64;
/// Calls of the embedder at one time unless [`Ingestion::with_concurrency`] says otherwise.
const CONCURRENCY: usize = 4;

type Splitter = Arc<dyn Fn(&Document) -> Result<Vec<Node>> + Send + Sync>;
type Observer = Arc<dyn Fn(&IngestEvent<'_>) + Send + Sync>;
type Stop = Shared<BoxFuture<'static, ()>>;
type Scope = Arc<dyn Fn(&NodeId) -> bool + Send + Sync>;

/// Where embedded nodes go, and what embeds them.
#[derive(Clone, Debug)]
struct Target {
    store: Arc<dyn VectorStore>,
    embedder: Arc<dyn Embedder>,
}

/// Keeps a document store, and a vector store if there is one, in step with a source of documents.
///
/// Each [`run`](Self::run) compares every document's content hash with the one stored under its id. Unchanged
/// documents are passed over; new ones are cut by the splitter, embedded and written; changed ones are replaced
/// together with their nodes. What the source no longer has goes only when [`with_prune`](Self::with_prune) asks
/// for it. Documents are told apart by id alone: two with the same text stay two, and a second document with an
/// id that came before in the run is refused.
///
/// **What is stored.** In the document store the document itself under its id, as LlamaIndex does, and its nodes
/// without embeddings, with the document as their source; in the vector store the nodes with their embeddings. A
/// chunk whose text for embedding ([`MetadataMode::Embed`](crate::MetadataMode)) did not change keeps its vector
/// and is not embedded again. A node that the splitter gave an embedding keeps it; one without any text gets none.
///
/// **Crashes.** A run may be killed, dropped or fail at any point: the next run of the same documents leaves what
/// an undisturbed one would have left. Before anything else a document's stored hash is replaced by the word
/// `ingesting`, and its true hash is the very last thing written, so a document that was begun and not finished is
/// never taken for unchanged, whatever the source has by then, and is found by pruning if the source no longer has
/// it. While a document is replaced, searches find its old nodes, then both, then the new ones.
///
/// **Errors.** What is wrong with one document (the splitter's error, a bad id, a value the store refuses as
/// `InvalidInput` or `LimitExceeded`) is told to the observer, counted in the report, and the others go on; its old
/// version stays searchable. Any other error of a store or the embedder ends the run.
///
/// **Memory.** Two batches of documents with their nodes and embeddings, and about 30 bytes for each document of
/// the run; pruning takes as much again for each node in the store.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> store_core::Result<()> {
/// use std::sync::Arc;
/// use store_core::{
///     Backend, Document, Embedder, HashEmbedder, Ingestion, MemoryBackend, Metric, VectorConfig, nodes_from_chunks,
/// };
///
/// let store = MemoryBackend::new();
/// let embedder = Arc::new(HashEmbedder::new(64)?);
/// let vectors = store.vectors()?;
/// vectors.configure(VectorConfig::new(embedder.dimensions(), Metric::Cosine)).await?;
///
/// // Any splitter that knows its byte ranges fits in: here, one chunk for each line.
/// let by_line = |document: &Document| {
///     let text = document.text_content();
///     let lines = text.split_inclusive('\n').scan(0, |end, line| {
///         let start = *end;
///         *end += line.len();
///         Some(start..start + line.trim_end().len())
///     });
///     nodes_from_chunks(document, lines)
/// };
/// let ingestion = Ingestion::new(store.docs()?, by_line).with_vectors(vectors, embedder);
///
/// let first = Document::new("One line.\nAnother line.").with_id("notes.txt");
/// let report = ingestion.run(vec![first.clone()]).await?;
/// assert_eq!((report.added, report.nodes_written), (1, 2));
///
/// let second = Document::new("One line.\nA changed line.").with_id("notes.txt");
/// let report = ingestion.run(vec![second.clone()]).await?;
/// assert_eq!((report.changed, report.nodes_embedded), (1, 1));
/// assert_eq!(ingestion.run(vec![second]).await?.unchanged, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Ingestion {
    docs: Arc<dyn DocStore>,
    target: Option<Target>,
    splitter: Splitter,
    observer: Option<Observer>,
    prune: Option<Scope>,
    stop: Option<Stop>,
    rewrite: bool,
    batch_documents: usize,
    embed_batch: usize,
    concurrency: usize,
}

impl fmt::Debug for Ingestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingestion")
            .field("docs", &self.docs)
            .field("target", &self.target)
            .field("prune", &self.prune.is_some())
            .field("stop", &self.stop.is_some())
            .field("rewrite", &self.rewrite)
            .field("batch_documents", &self.batch_documents)
            .field("embed_batch", &self.embed_batch)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

impl Ingestion {
    /// Ingestion into a document store, of nodes cut by `splitter`; see [`nodes_from_chunks`].
    ///
    /// The splitter gives the same nodes with the same ids each time it sees the same document, and other ids for
    /// another document. Where a node names no source it gets the document; one that names another source is
    /// refused.
    #[must_use]
    pub fn new(
        docs: Arc<dyn DocStore>,
        splitter: impl Fn(&Document) -> Result<Vec<Node>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            docs,
            target: None,
            splitter: Arc::new(splitter),
            observer: None,
            prune: None,
            stop: None,
            rewrite: false,
            batch_documents: BATCH_DOCUMENTS,
            embed_batch: EMBED_BATCH,
            concurrency: CONCURRENCY,
        }
    }

    /// Also embeds the nodes and writes them to a vector store, which must be configured for the embedder's
    /// dimensions.
    #[must_use]
    pub fn with_vectors(mut self, store: Arc<dyn VectorStore>, embedder: Arc<dyn Embedder>) -> Self {
        self.target = Some(Target { store, embedder });
        self
    }

    /// Tells `observer` what happens to each document, as it happens. It should return soon: the run waits for it.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(&IngestEvent<'_>) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// After the run, deletes every stored document that was not in it, with its nodes.
    ///
    /// A run without any document is then refused (`InvalidInput`), so that a wrong path does not empty the store;
    /// and when the source failed to give a document, nothing is pruned, since it may be one of those missing.
    #[must_use]
    pub fn with_prune(self) -> Self {
        self.with_prune_where(|_| true)
    }

    /// [`with_prune`](Self::with_prune), but only of documents whose id `scope` says yes to, for a store with several
    /// sources.
    #[must_use]
    pub fn with_prune_where(mut self, scope: impl Fn(&NodeId) -> bool + Send + Sync + 'static) -> Self {
        self.prune = Some(Arc::new(scope));
        self
    }

    /// Ends runs when `stop` is done, for Ctrl-C or a service that shuts down.
    ///
    /// Documents that are being written are finished; those that are still read or embedded are given up, as if they
    /// had not come. Nothing more is pruned, and [`IngestReport::stopped`] says so. The next run of the same documents goes
    /// on from there.
    #[must_use]
    pub fn with_stop(mut self, stop: impl Future<Output = ()> + Send + 'static) -> Self {
        self.stop = Some(stop.boxed().shared());
        self
    }

    /// Says whether unchanged documents are written and embedded again too, for a new splitter, embedder or vector
    /// store; default `false`.
    #[must_use]
    pub fn with_rewrite(mut self, rewrite: bool) -> Self {
        self.rewrite = rewrite;
        self
    }

    /// Sets how many documents are written together; default 32, at least 1. A batch ends early when it holds 1 MB
    /// of text.
    #[must_use]
    pub fn with_batch_documents(mut self, documents: usize) -> Self {
        self.batch_documents = documents.max(1);
        self
    }

    /// Sets the most texts in one call of the embedder; default 64, at least 1.
    #[must_use]
    pub fn with_embed_batch(mut self, texts: usize) -> Self {
        self.embed_batch = texts.max(1);
        self
    }

    /// Sets the most calls of the embedder at one time; default 4, at least 1. From 2 on, one batch is embedded
    /// while another is written.
    #[must_use]
    pub fn with_concurrency(mut self, calls: usize) -> Self {
        self.concurrency = calls.max(1);
        self
    }

    /// Ingests these documents.
    pub async fn run(&self, documents: Vec<Document>) -> Result<IngestReport> {
        self.run_stream(stream::iter(documents.into_iter().map(Ok)).boxed()).await
    }

    /// Ingests a stream of documents, for example what a [`Reader`](crate::Reader) reads; an error in it counts as
    /// one failed document.
    ///
    /// `Config` when the vector store is not configured, or for other dimensions than the embedder's; nothing is
    /// read then.
    pub async fn run_stream(&self, documents: BoxStream<Document>) -> Result<IngestReport> {
        let run = Run::new(self);
        run.ingest(documents).await.map_err(|error| error.with_operation("ingestion.run"))?;
        Ok(run.into_report())
    }
}
