//! What each kind of record has of its own: how it is listed, written, found again and compared.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::{BoxStream, Result};

/// Most records in a page.
pub(super) const PAGE: usize = 256;
/// About as many bytes are in a page, or one record.
const PAGE_BYTES: usize = 1 << 20;

/// One of the two stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    From,
    To,
}

/// A role of both stores.
#[derive(Debug)]
pub(super) struct Both<S: ?Sized> {
    pub(super) from: Arc<S>,
    pub(super) to: Arc<S>,
}

impl<S: ?Sized> Both<S> {
    pub(super) fn of(&self, side: Side) -> &Arc<S> {
        match side {
            Side::From => &self.from,
            Side::To => &self.to,
        }
    }
}

/// Some records, and the mark behind which the next page begins.
#[derive(Debug)]
pub(super) struct Page<R> {
    pub(super) records: Vec<R>,
    pub(super) mark: String,
}

/// A kind of record.
#[async_trait]
pub(super) trait Part: Debug + Send + Sync + 'static {
    type Record: Send + Sync + 'static;

    /// For people, and in the job: `nodes`.
    fn name(&self) -> &str;

    /// The records of a store behind a mark.
    fn pages(&self, side: Side, after: Option<String>) -> BoxStream<Page<Self::Record>>;

    /// Refuses a store that can not take them.
    async fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Before the first write.
    async fn prepare(&self) -> Result<()> {
        Ok(())
    }

    /// Writes records; again is fine.
    async fn write(&self, records: Vec<Self::Record>) -> Result<()>;

    /// What the other store holds in their place.
    async fn find(&self, records: &[Self::Record]) -> Result<Vec<Option<Self::Record>>>;

    /// How many a store holds.
    async fn count(&self, side: Side) -> Result<usize> {
        self.pages(side, None).try_fold(0, async |sum, page| Ok(sum + page.records.len())).await
    }

    /// How many to show a bar for, where that is known at once.
    async fn total(&self) -> Result<Option<usize>> {
        Ok(None)
    }

    /// What should be found of a record that was not found as it is; `None` if nothing.
    async fn expected(&self, record: Self::Record) -> Result<Option<Self::Record>> {
        Ok(Some(record))
    }

    /// Whether a record that was joined to one which was there before is in it.
    fn is_within(_record: &Self::Record, _found: &Self::Record) -> bool {
        false
    }

    fn key(record: &Self::Record) -> &str;

    /// All of a record but its key, byte for byte.
    fn content(record: &Self::Record) -> Result<Vec<u8>>;

    /// About how much memory it takes.
    fn bytes(record: &Self::Record) -> usize;

    /// By how much it moves the bar.
    fn weight(_record: &Self::Record) -> usize {
        1
    }
}

/// Cuts a listing into pages of at most so many records.
pub(super) fn pages<P: Part>(records: BoxStream<P::Record>, most: usize) -> BoxStream<Page<P::Record>> {
    let pages = stream::try_unfold(records.fuse(), move |mut records| async move {
        let (mut page, mut bytes) = (Vec::new(), 0_usize);
        while page.len() < most && bytes < PAGE_BYTES {
            let Some(record) = records.try_next().await? else { break };
            bytes = bytes.saturating_add(P::bytes(&record));
            page.push(record);
        }
        let mark = page.last().map(|record| P::key(record).to_owned());
        Ok(mark.map(|mark| (Page { records: page, mark }, records)))
    });
    Box::pin(pages)
}

/// Content that is JSON: the order of members and the kinds of numbers count.
pub(super) fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|error| crate::Error::corrupt("the record can not be written as JSON").with_source(error))
}
