//! Readers: documents out of a database or a folder, as a stream.

use crate::{BoxStream, Document};

/// A source of documents.
pub trait Reader: std::fmt::Debug + Send + Sync + 'static {
    /// The documents, in the source's order, one at a time: nothing is held beyond what is being read.
    fn read(&self) -> BoxStream<Document>;
}

/// What a reader of records does with one that has not all of the fields its text is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissingField {
    /// Gives an error that names the field and the record, and goes on with the next one. The default, as in Python
    /// (which ends there).
    #[default]
    Fail,
    /// Leaves the record out.
    SkipDocument,
    /// Makes the text of the other fields.
    LeaveOut,
}
