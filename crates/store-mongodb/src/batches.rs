//! The batches of a query's answer: while one is worked on, the next one is fetched.

use std::ops::Range;
use std::sync::Arc;

use bson::Document as BsonDocument;
use bson::raw::{RawDocument, RawDocumentBuf};
use futures::StreamExt as _;
use mongodb::Collection;
use mongodb::options::FindOptions;
use mongodb::raw_batch_cursor::{RawBatch, RawBatchCursor};
use store_core::{Error, ErrorKind, Result};
use tokio::task::JoinSet;

use crate::codec::damaged;
use crate::error::from_driver;
use crate::space::Space;

/// Documents in a batch, if nobody says otherwise: few enough that the server works on the next while one is read, and
/// so many that a round trip for each costs little.
pub(crate) const BATCH: u32 = 1_000;

/// The cursor of a query, at most one batch ahead of who reads.
pub(crate) struct Batches {
    space: Arc<Space>,
    cursor: Option<RawBatchCursor>,
    /// The one batch on its way, with the cursor; ends when this is dropped.
    ahead: JoinSet<Fetched>,
    begun: bool,
}

/// What came, and the cursor for more.
type Fetched = (RawBatchCursor, Result<Option<RawBatch>>);

impl Batches {
    /// Sends the query.
    pub(crate) async fn open(
        space: &Arc<Space>,
        collection: Collection<RawDocumentBuf>,
        query: BsonDocument,
        options: FindOptions,
    ) -> Result<Self> {
        let cursor = space.call(collection.find(query).with_options(options).batch()).await?;
        Ok(Self { space: Arc::clone(space), cursor: Some(cursor), ahead: JoinSet::new(), begun: false })
    }

    /// Fetches the next batch while the one before is not asked for yet: it will be wanted.
    pub(crate) fn hurry(&mut self) {
        if let Some(cursor) = self.cursor.take() {
            self.ahead.spawn(fetch(cursor, Arc::clone(&self.space)));
        }
    }

    /// The next batch; `None` after the last one, and after an error.
    pub(crate) async fn next(&mut self) -> Result<Option<Batch>> {
        let (cursor, batch) = match (self.ahead.join_next().await, self.cursor.take()) {
            (Some(fetched), _) => fetched.map_err(|error| {
                let message = "the reading was cut off as its runtime ended";
                Error::new(ErrorKind::Unavailable, message).with_retryable(false).with_source(error)
            })?,
            (None, Some(cursor)) => fetch(cursor, Arc::clone(&self.space)).await,
            (None, None) => return Ok(None),
        };
        let Some(batch) = batch? else { return Ok(None) };
        // The first batch is a small one: who reads no further costs the server no more than that.
        if std::mem::replace(&mut self.begun, true) {
            self.ahead.spawn(fetch(cursor, Arc::clone(&self.space)));
        } else {
            self.cursor = Some(cursor);
        }
        Batch::new(batch).map(Some)
    }
}

async fn fetch(mut cursor: RawBatchCursor, space: Arc<Space>) -> Fetched {
    let batch = space.call(async { cursor.next().await.transpose() }).await;
    (cursor, batch)
}

/// The documents of one answer of the server's, where they lie in it.
pub(crate) struct Batch {
    answer: RawBatch,
    /// Where they stand in its bytes.
    places: Vec<Range<usize>>,
    /// How many of them were taken.
    taken: usize,
}

impl Batch {
    fn new(answer: RawBatch) -> Result<Self> {
        let mut places = Vec::new();
        let list = answer.doc_slices().map_err(from_driver)?;
        // A list begins with its length; a member is a type, a name and a NUL, and then the value.
        let list_start =
            list.as_bytes().as_ptr().addr() - answer.as_raw_document().as_bytes().as_ptr().addr();
        let mut end = list_start + 4;
        for item in list.iter_elements() {
            let item = item.map_err(damaged)?;
            let start = end + item.key().as_str().len() + 2;
            end = start + item.size();
            places.push(start..end);
        }
        Ok(Self { answer, places, taken: 0 })
    }

    /// How many documents there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// How many bytes of memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.answer.as_raw_document().as_bytes().len()
    }

    /// Takes the next document; `None` after the last one.
    pub(crate) fn take(&mut self) -> Result<Option<&RawDocument>> {
        if self.step() { self.last() } else { Ok(None) }
    }

    /// Takes the next document, for [`last`](Self::last) to give; `false` after the last one.
    pub(crate) fn step(&mut self) -> bool {
        let more = self.taken < self.places.len();
        self.taken += usize::from(more);
        more
    }

    /// The document that was taken last, if one was.
    pub(crate) fn last(&self) -> Result<Option<&RawDocument>> {
        self.taken.checked_sub(1).map_or(Ok(None), |place| self.get(place))
    }

    /// The document that was taken before that one.
    pub(crate) fn before(&self) -> Result<Option<&RawDocument>> {
        self.taken.checked_sub(2).map_or(Ok(None), |place| self.get(place))
    }

    /// The document at a place.
    pub(crate) fn get(&self, place: usize) -> Result<Option<&RawDocument>> {
        let Some(place) = self.places.get(place) else { return Ok(None) };
        let bytes = self.answer.as_raw_document().as_bytes().get(place.clone()).unwrap_or_default();
        RawDocument::from_bytes(bytes).map_err(damaged).map(Some)
    }
}
