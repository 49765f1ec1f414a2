//! Readers: documents out of a database or a folder, as a stream.

use crate::{BoxStream, Document};

/// A source of documents.
pub trait Reader: std::fmt::Debug + Send + Sync + 'static {
    /// The documents, in the source's order, one at a time: nothing is held beyond what is being read.
    fn read(&self) -> BoxStream<Document>;
}
