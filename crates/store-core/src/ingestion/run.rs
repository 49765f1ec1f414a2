//! One run: documents come in, are gathered into batches, and batches are worked on side by side.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::future::{self, Either};
use futures::stream::{Fuse, StreamExt};
use futures::{TryStreamExt, stream};

use super::id_set::IdSet;
use super::{IngestEvent, IngestFailure, IngestReport, Ingestion};
use crate::{BoxStream, Document, Error, NodeId, Result};

/// A batch ends when it holds this much text, in bytes.
const BATCH_BYTES: usize = 1 << 20;

/// What a run knows so far.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) ingestion: &'a Ingestion,
    report: Mutex<IngestReport>,
    /// The documents that came, also those that failed.
    seen: Mutex<IdSet>,
    /// Documents the source could not give.
    unread: Mutex<usize>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Run<'a> {
    pub(super) fn new(ingestion: &'a Ingestion) -> Self {
        Self { ingestion, report: Mutex::default(), seen: Mutex::default(), unread: Mutex::default() }
    }

    pub(super) fn into_report(self) -> IngestReport {
        self.report.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn ingest(&self, documents: BoxStream<Document>) -> Result<()> {
        self.check_target().await?;
        // One batch is written while the other is embedded; together they make `concurrency` calls at most.
        let batches_at_once = self.ingestion.concurrency.min(2);
        let batches = stream::unfold(documents.fuse(), |mut documents| async {
            let batch = self.unless_stopped(self.next_batch(&mut documents)).await?;
            (!batch.is_empty()).then_some((Ok(batch), documents))
        });
        batches.try_for_each_concurrent(batches_at_once, |batch| self.ingest_batch(batch)).await?;
        if lock(&self.report).stopped {
            return Ok(());
        }
        if let Some(scope) = &self.ingestion.prune {
            if lock(&self.seen).is_empty() {
                return Err(Error::invalid_input(
                    "the source gave no document, and pruning would delete all that are stored: check the source, \
                     or drop the store if that is meant",
                ));
            }
            if *lock(&self.unread) > 0 {
                lock(&self.report).prune_skipped = true;
            } else {
                let seen = std::mem::take(&mut *lock(&self.seen));
                self.prune(&seen, scope).await?;
            }
        }
        Ok(())
    }

    /// What the work gives; `None` when the run is to stop first, and then the work is dropped where it stands.
    pub(super) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let Some(stop) = self.ingestion.stop.clone() else { return Some(work.await) };
        match future::select(stop, pin!(work)).await {
            Either::Left(_) => {
                lock(&self.report).stopped = true;
                None
            }
            Either::Right((done, _)) => Some(done),
        }
    }

    /// Finds a vector store that can not take the embeddings before they are paid for.
    async fn check_target(&self) -> Result<()> {
        let Some(target) = &self.ingestion.target else { return Ok(()) };
        let dimensions = target.embedder.dimensions();
        match target.store.config().await? {
            Some(config) if config.dimensions == dimensions => Ok(()),
            Some(config) => Err(Error::config(format!(
                "the vector store holds embeddings of {} dimensions, but {} makes {dimensions}: use the embedder the \
                 store was filled with, or another store",
                config.dimensions,
                target.embedder.model()
            ))),
            None => Err(Error::config(format!(
                "the vector store is not configured: call configure with {dimensions} dimensions first"
            ))),
        }
    }

    /// The next documents, of different ids; empty at the end.
    async fn next_batch(&self, documents: &mut Fuse<BoxStream<Document>>) -> Vec<Document> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < self.ingestion.batch_documents && bytes < BATCH_BYTES {
            match documents.next().await {
                Some(Ok(document)) => {
                    if let Err(error) = self.admit(&document) {
                        self.failed(Some(&document.id), error);
                        continue;
                    }
                    bytes += document.text_content().len();
                    batch.push(document);
                }
                Some(Err(error)) => {
                    *lock(&self.unread) += 1;
                    self.failed(None, error);
                }
                None => break,
            }
        }
        batch
    }

    fn admit(&self, document: &Document) -> Result<()> {
        let id = document.id.as_str();
        let refuse = |why: String| Err(Error::invalid_input(why).with_key(id).with_failed([id]));
        if id.is_empty() {
            return refuse("the id of a document is empty".to_owned());
        }
        if !lock(&self.seen).insert(&document.id) {
            return refuse("another document of this run has the same id; the first one counts".to_owned());
        }
        match document.ref_doc_id() {
            Some(source) => {
                refuse(format!("the document names a source itself ({source}): only nodes have one"))
            }
            None => Ok(()),
        }
    }

    fn tell(&self, event: &IngestEvent<'_>) {
        if let Some(observer) = &self.ingestion.observer {
            observer(event);
        }
    }

    pub(super) fn started(&self, id: &NodeId) {
        self.tell(&IngestEvent::Started { id });
    }

    pub(super) fn unchanged(&self, id: &NodeId) {
        lock(&self.report).unchanged += 1;
        self.tell(&IngestEvent::Unchanged { id });
    }

    pub(super) fn written(&self, id: &NodeId, nodes: usize, embedded: usize, changed: bool) {
        {
            let mut report = lock(&self.report);
            *(if changed { &mut report.changed } else { &mut report.added }) += 1;
            report.nodes_written += nodes;
            report.nodes_embedded += embedded;
        }
        self.tell(&IngestEvent::Written { id, nodes, changed });
    }

    pub(super) fn failed(&self, id: Option<&NodeId>, error: Error) {
        self.tell(&IngestEvent::Failed { id, error: &error });
        let mut report = lock(&self.report);
        report.failed += 1;
        if report.failures.len() < IngestReport::FAILURES_KEPT {
            report.failures.push(IngestFailure { id: id.cloned(), error });
        }
    }

    pub(super) fn pruned(&self, id: &NodeId, nodes: usize) {
        lock(&self.report).pruned += 1;
        self.tell(&IngestEvent::Pruned { id, nodes });
    }
}
