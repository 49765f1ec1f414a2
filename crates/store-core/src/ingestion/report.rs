//! What a run tells while it goes, and at its end.

use crate::{Error, NodeId};

/// What happens to a document in a run of [`Ingestion`](crate::Ingestion).
#[derive(Debug)]
#[non_exhaustive]
pub enum IngestEvent<'a> {
    /// It is new or changed, and is about to be cut, embedded and written.
    Started {
        /// The document.
        id: &'a NodeId,
    },
    /// It is unchanged and was passed over.
    Unchanged {
        /// The document.
        id: &'a NodeId,
    },
    /// It is stored, with all its nodes.
    Written {
        /// The document.
        id: &'a NodeId,
        /// Nodes it was cut into.
        nodes: usize,
        /// Whether the store knew it before.
        changed: bool,
    },
    /// It was left out; the run goes on.
    Failed {
        /// The document; `None` when the source failed before it was known.
        id: Option<&'a NodeId>,
        /// What was wrong.
        error: &'a Error,
    },
    /// The source no longer has it, and it was deleted with its nodes.
    Pruned {
        /// The document.
        id: &'a NodeId,
        /// Nodes deleted.
        nodes: usize,
    },
}

/// A document that was left out.
#[derive(Debug)]
#[non_exhaustive]
pub struct IngestFailure {
    /// The document; `None` when the source failed before it was known.
    pub id: Option<NodeId>,
    /// What was wrong.
    pub error: Error,
}

/// What a run did. Each document of the run counts as one of added, changed, unchanged or failed.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct IngestReport {
    /// Documents the store did not know.
    pub added: usize,
    /// Documents replaced: their content changed, an earlier run did not finish them, or everything is rewritten.
    pub changed: usize,
    /// Documents passed over.
    pub unchanged: usize,
    /// Documents left out because something was wrong with them.
    pub failed: usize,
    /// Documents deleted because the source no longer has them.
    pub pruned: usize,
    /// Whether pruning was asked for and did not happen, because the source failed to give a document.
    pub prune_skipped: bool,
    /// Whether [`with_stop`](crate::Ingestion::with_stop) ended the run early; not all is pruned then.
    pub stopped: bool,
    /// Nodes of added and changed documents.
    pub nodes_written: usize,
    /// Nodes of them that were embedded; the others kept their vector, brought one or need none.
    pub nodes_embedded: usize,
    /// The first [`IngestReport::FAILURES_KEPT`] failures.
    pub failures: Vec<IngestFailure>,
}

impl IngestReport {
    /// How many failures a report keeps; the observer sees all of them.
    pub const FAILURES_KEPT: usize = 100;
}
