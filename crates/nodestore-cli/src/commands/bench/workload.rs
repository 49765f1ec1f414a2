//! What there is to measure.

use clap::ValueEnum;

/// A workload; its comment is its line in the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
#[value(rename_all = "verbatim")]
pub(crate) enum Workload {
    /// Documents: add all nodes
    D1,
    /// Documents: read all nodes by id, 100 ids a call
    D2,
    /// Documents: list all content hashes, then all source documents
    D3,
    /// Documents: delete every tenth source document with its 20 nodes
    D4,
    /// Chat: append 500 messages to a session, one at a time
    C1,
    /// Chat: read that session back
    C2,
    /// Chat: append at a history of 10, 2,000 and 20,000 messages; the cost must not grow
    C3,
    /// Vectors: add all nodes with their embeddings
    V1,
    /// Vectors: 100 queries, top 10, one at a time, then 8 at a time
    V2,
    /// Vectors: the same with a filter that keeps 1 % of the nodes
    V3,
    /// Text: 100 queries by words, top 10
    T1,
    /// Reader: load all documents
    R1,
    /// Key-values: put values of 1 KB, 100 a call, then singly with 64 calls at a time
    K1,
    /// Key-values: get them, 100 a call, then singly with 64 calls at a time
    K2,
}

impl Workload {
    /// `D1`.
    pub(super) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}
