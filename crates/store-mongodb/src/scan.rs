//! The documents of a collection in the order of their keys.
//!
//! By its index the server looks each document up on its own, which takes it four times as long as reading all of them
//! as they lie. So a small collection is read as it lies and put into order here.

use std::sync::Arc;

use bson::doc;
use bson::raw::{RawDocument, RawDocumentBuf};
use futures::{StreamExt as _, TryStreamExt as _, join, stream};
use mongodb::Collection;
use mongodb::options::FindOptions;
use store_core::{BoxStream, ErrorKind, Result};

use crate::batches::{BATCH, Batch, Batches};
use crate::bulk;
use crate::kv_layout::key_range;
use crate::space::Space;

/// Bytes of documents that are held to be put into order.
const MAX_HELD_BYTES: usize = 4 << 20;
/// Documents that are read at once, without a look whether somebody waits for the first of them.
const AT_ONCE: usize = 64;

/// A scan under way.
pub(crate) struct Scan {
    wanted: Wanted,
    from: Option<From>,
}

/// Documents whose keys have a prefix and come after one.
struct Wanted {
    space: Arc<Space>,
    target: Collection<RawDocumentBuf>,
    prefix: String,
    after: Option<String>,
}

/// Where documents come from.
enum From {
    Held(Held),
    Server(Box<Batches>, Option<Batch>),
}

impl Scan {
    /// The documents whose keys have this prefix and come after this one.
    pub(crate) fn new(
        space: Arc<Space>,
        target: Collection<RawDocumentBuf>,
        prefix: String,
        after: Option<String>,
    ) -> Self {
        Self { wanted: Wanted { space, target, prefix, after }, from: None }
    }

    /// Goes to the next document; `false` after the last one. A cursor that the server gave up, or whose connection
    /// failed, is opened anew after the last key, once for each step.
    pub(crate) async fn advance(&mut self) -> Result<bool> {
        // Nothing is given any more after the store was closed.
        self.wanted.space.client()?;
        if self.step() {
            return Ok(true);
        }
        match self.fetch().await {
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                self.from = None;
                self.fetch().await
            }
            answer => answer,
        }
    }

    /// The document that it went to.
    pub(crate) fn current(&self) -> Result<Option<&RawDocument>> {
        match &self.from {
            Some(From::Held(held)) => held.at(held.taken.checked_sub(1)),
            Some(From::Server(_, Some(batch))) => batch.last(),
            Some(From::Server(_, None)) | None => Ok(None),
        }
    }

    /// The key before the document that it went to.
    fn before(&self) -> Result<Option<String>> {
        let before = match &self.from {
            Some(From::Held(held)) => held.at(held.taken.checked_sub(2))?,
            Some(From::Server(_, Some(batch))) => batch.before()?,
            Some(From::Server(_, None)) | None => None,
        };
        Ok(match before {
            Some(before) => Some(bulk::id(before)?.to_owned()),
            None => self.wanted.after.clone(),
        })
    }

    /// Goes to the next document if it is here already.
    fn step(&mut self) -> bool {
        match &mut self.from {
            Some(From::Held(held)) => held.step(),
            Some(From::Server(_, Some(batch))) => batch.step(),
            Some(From::Server(_, None)) | None => false,
        }
    }

    /// Goes to the first document of what the server sends next.
    async fn fetch(&mut self) -> Result<bool> {
        if let Some(last) = self.current()? {
            self.wanted.after = Some(bulk::id(last)?.to_owned());
        }
        let from = match self.from.take() {
            Some(from) => from,
            None => match self.wanted.hold().await? {
                Some(held) => From::Held(held),
                None => From::Server(Box::new(self.wanted.open().await?), None),
            },
        };
        let from = self.from.insert(from);
        if let From::Server(batches, batch) = from {
            *batch = None;
            *batch = batches.next().await?;
        }
        Ok(self.step())
    }
}

impl Wanted {
    /// Asks for it in the order of the keys.
    async fn open(&self) -> Result<Batches> {
        let keys = doc! {"_id": key_range(&self.prefix, self.after.as_deref())};
        let options = FindOptions::builder().sort(doc! {"_id": 1}).batch_size(BATCH).build();
        Batches::open(&self.space, self.target.clone(), keys, options).await
    }

    /// Reads all there is, if all is wanted and it is not too much.
    async fn hold(&self) -> Result<Option<Held>> {
        if !self.prefix.is_empty() || self.after.is_some() {
            return Ok(None);
        }
        let options = FindOptions::builder().batch_size(BATCH).build();
        let (batches, count) = join!(
            Batches::open(&self.space, self.target.clone(), doc! {}, options),
            self.space.call(self.target.estimated_document_count()),
        );
        let (mut batches, mut held, mut bytes) = (batches?, Vec::new(), 0);
        // Who may not count may read.
        let count = count.ok().and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
        while let Some(batch) = batches.next().await? {
            bytes += batch.bytes();
            let expected = if held.is_empty() {
                (batch.bytes() / batch.len().max(1)).saturating_mul(count)
            } else {
                bytes
            };
            if expected.max(bytes) > MAX_HELD_BYTES {
                return Ok(None);
            }
            batches.hurry();
            held.push(batch);
        }
        Held::new(held).map(Some)
    }
}

/// All documents of a collection.
struct Held {
    batches: Vec<Batch>,
    /// In which batch at which place the documents stand, in the order of their keys.
    order: Vec<(usize, usize)>,
    taken: usize,
}

impl Held {
    fn new(batches: Vec<Batch>) -> Result<Self> {
        let mut keys = Vec::with_capacity(batches.iter().map(Batch::len).sum());
        for (of, batch) in batches.iter().enumerate() {
            for place in 0..batch.len() {
                // A key that is no text is not ours to see.
                let key = batch.get(place)?.and_then(|document| document.get_str("_id").ok());
                keys.extend(key.map(|key| (key, (of, place))));
            }
        }
        keys.sort_unstable_by(|(key, place), (other, later)| key.cmp(other).then(later.cmp(place)));
        // One that was removed and put anew while it was read may have come twice.
        keys.dedup_by_key(|(key, _)| *key);
        let order = keys.into_iter().map(|(_, place)| place).collect();
        Ok(Self { order, batches, taken: 0 })
    }

    fn step(&mut self) -> bool {
        let more = self.taken < self.order.len();
        self.taken += usize::from(more);
        more
    }

    fn at(&self, place: Option<usize>) -> Result<Option<&RawDocument>> {
        let Some((batch, place)) = place.and_then(|place| self.order.get(place)) else { return Ok(None) };
        self.batches.get(*batch).map_or(Ok(None), |batch| batch.get(*place))
    }
}

/// What `read` makes of the documents. From the first on of which it can make nothing, it is what `rest` gives after the
/// key before.
pub(crate) fn read<T: Send + 'static>(
    scan: Scan,
    read: fn(&RawDocument) -> Option<T>,
    rest: impl FnOnce(Option<String>) -> BoxStream<T> + Send + 'static,
) -> BoxStream<T> {
    let items = stream::try_unfold((Some(scan), Some(rest)), move |(scan, rest)| async move {
        let Some(mut scan) = scan else { return Ok(None) };
        let mut items = Vec::with_capacity(AT_ONCE);
        let mut more = scan.advance().await?;
        while more {
            let Some(item) = scan.current()?.and_then(read) else {
                let after = scan.before()?;
                let rest = rest.map(|rest| rest(after));
                let items = stream::iter(items).map(Ok).chain(stream::iter(rest).flatten()).boxed();
                return Ok(Some((items, (None, None))));
            };
            items.push(item);
            more = items.len() < AT_ONCE && scan.step();
        }
        let some = !items.is_empty();
        Ok(some.then(|| (stream::iter(items).map(Ok).boxed(), (Some(scan), rest))))
    });
    items.try_flatten().boxed()
}
