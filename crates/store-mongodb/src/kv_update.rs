//! Reading, deciding and writing key-values in one step.
//!
//! Python's layout has no versions: a change is made if the document is still what was read, by a write with the whole
//! old document as its condition. To the server `1` and `1.0` are equal; we hold the sizes against each other as well,
//! which differ between an int32 and any other number. What is left can not be told apart in a condition: an int64 or a
//! 0.0 that another has replaced by a double of the same value, or one number made longer and another one shorter, with
//! nothing else changed. Such a change of a number's type alone may be overwritten.
//!
//! The server says of a batch only how many of its conditions held. So keys are changed one by one, 16 at once, each
//! write repeated by the driver so that it is made exactly once; but for updates that do no harm if they are made twice:
//! those go in one request, and who lost is found by reading.
//! Where both documents are too great for one command, a transaction compares them.
//! Transactions are for nothing else: other writes of the same documents wait for one, and if they hold all of the
//! pool's connections meanwhile, it can not go on.

use async_trait::async_trait;
use bson::oid::ObjectId;
use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{DateTime, Document, doc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use mongodb::{ClientSession, Collection};
use store_core::kit::batches::cut;
use store_core::kit::check;
use store_core::kit::rounds::{self, CompareAndSwap};
use store_core::{Error, ErrorKind, JsonObject, Result, Update, UpdateFn};

use crate::kv::{MongoKvStore, one_of};
use crate::kv_layout::{decode, encode, file_of, fits, pointer};
use crate::transaction::{Attempts, supported};
use crate::{bulk, codec, grid_fs};

/// Keys that one round reads, decides and writes.
const KEYS: usize = 1_000;
/// Writes of one update that are under way at once, where each has a request of its own.
const WRITES: usize = 16;
/// Most bytes of old and new document in a command of their own, which takes 16 MB.
const MAX_CONDITION_BYTES: usize = 15 << 20;
/// Bytes of old and new documents in one request that makes many changes.
const MAX_RUN_BYTES: usize = 12 << 20;
/// Bytes of old and new documents in one transaction.
const TRANSACTION_BYTES: usize = 32 << 20;

/// What becomes of a document: the one that must still be there, and the new one.
#[derive(Debug)]
struct Change {
    place: usize,
    old: Option<RawDocumentBuf>,
    new: Option<RawDocumentBuf>,
}

impl Change {
    fn bytes(&self) -> usize {
        self.old.iter().chain(&self.new).map(|document| document.as_bytes().len()).sum()
    }
}

/// How a transaction ended.
enum Together {
    /// Made, but those at these places, which others had changed.
    Made(Vec<usize>),
    /// Nothing was made: others wrote the same documents.
    Conflict,
    /// The server has no transactions.
    Unsupported,
}

/// The documents of one collection.
struct Values<'a> {
    store: &'a MongoKvStore,
    collection: &'a Collection<RawDocumentBuf>,
}

#[async_trait]
impl CompareAndSwap for Values<'_> {
    type Stored = RawDocumentBuf;
    type Change = Change;

    async fn read(&self, keys: &[&str]) -> Result<Vec<Option<RawDocumentBuf>>> {
        let mut stored = vec![None; keys.len()];
        let keep = |place: usize, document: &RawDocument| {
            if let Some(slot) = stored.get_mut(place) {
                *slot = Some(document.to_owned());
            }
            Ok(())
        };
        self.store.read(self.collection, keys, keep).await?;
        Ok(stored)
    }

    async fn decide(
        &self,
        place: usize,
        key: &str,
        stored: Option<RawDocumentBuf>,
        apply: &mut UpdateFn<'_>,
    ) -> Result<(Option<JsonObject>, Option<Change>)> {
        let old = match &stored {
            Some(document) => {
                let read = decode(document, DateTime::now()).map_err(|error| error.with_key(key))?;
                self.store.value_of(self.collection, key, read).await?
            }
            None => None,
        };
        Ok(match apply(key, old.as_ref())? {
            Update::Keep => (old, None),
            Update::Put(value) => {
                let new = encode(key, &value, None, 0)?;
                let fits = fits(key, &new);
                let new = if fits.is_err() && self.store.spills() {
                    pointer(key, grid_fs::save(&self.store.space, key, key, &value).await?)?
                } else {
                    fits.map(|()| new)?
                };
                (Some(value), Some(Change { place, old: stored, new: Some(new) }))
            }
            // What has expired is left to the server.
            Update::Delete => {
                let change = old.and(stored).map(|stored| Change { place, old: Some(stored), new: None });
                (None, change)
            }
        })
    }

    async fn change(&self, changes: Vec<Change>) -> Result<Vec<usize>> {
        self.store.change(self.collection, changes).await
    }
}

impl MongoKvStore {
    pub(crate) async fn update(
        &self,
        collection: &str,
        keys: &[&str],
        apply: &mut UpdateFn<'_>,
    ) -> Result<Vec<Option<JsonObject>>> {
        check::collection_and_keys(collection, keys.iter().copied())?;
        check::no_duplicates("key", keys.iter().copied())?;
        let target = self.collection(collection)?;
        let mut after = Vec::with_capacity(keys.len());
        for keys in keys.chunks(KEYS) {
            after.extend(rounds::update(&Values { store: self, collection: &target }, keys, apply).await?);
        }
        Ok(after)
    }

    /// Makes the changes whose old document is still there; answers the places of the others.
    async fn change(
        &self,
        collection: &Collection<RawDocumentBuf>,
        changes: Vec<Change>,
    ) -> Result<Vec<usize>> {
        let (new, conditional): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| change.old.is_none());
        let mut files = Files::default();
        files.note(new.iter().chain(&conditional));
        let mut open = self.insert_new(collection, new).await?;
        let groups: Vec<&[Change]> =
            cut(&conditional, usize::MAX, TRANSACTION_BYTES, Change::bytes).collect();
        for group in groups {
            open.extend(self.change_group(collection, group).await?);
        }
        open.sort_unstable();
        grid_fs::remove(&self.space, files.unused(&open)).await?;
        Ok(open)
    }

    /// Inserts the documents of keys that were absent; answers the places of those that are not any more.
    async fn insert_new(
        &self,
        collection: &Collection<RawDocumentBuf>,
        changes: Vec<Change>,
    ) -> Result<Vec<usize>> {
        let (places, documents): (Vec<usize>, Vec<RawDocumentBuf>) =
            changes.into_iter().filter_map(|change| Some((change.place, change.new?))).unzip();
        let (mut open, mut done) = (Vec::new(), 0);
        for request in bulk::requests(&documents) {
            for refused in bulk::insert(&self.space, collection, request).await? {
                if !refused.is_duplicate() {
                    let key = request.get(refused.index).map(|document| bulk::id(document)).transpose()?;
                    return Err(refused.error().with_key(key.unwrap_or_default()));
                }
                open.extend(places.get(done + refused.index));
            }
            done += request.len();
        }
        Ok(open)
    }

    async fn change_group(
        &self,
        collection: &Collection<RawDocumentBuf>,
        changes: &[Change],
    ) -> Result<Vec<usize>> {
        let (large, small): (Vec<&Change>, Vec<&Change>) =
            changes.iter().partition(|change| change.bytes() > MAX_CONDITION_BYTES);
        if large.is_empty() {
            return self.change_each(collection, small).await;
        }
        match self.change_together(collection, &large).await? {
            Together::Made(open) => {
                let mut all = self.change_each(collection, small).await?;
                all.extend(open);
                return Ok(all);
            }
            Together::Unsupported => {
                let old = large.first().and_then(|change| change.old.as_ref());
                let key = old.map(|old| bulk::id(old)).transpose()?.unwrap_or_default();
                let message = format!(
                    "old and new value together take more than {MAX_CONDITION_BYTES} bytes: such an update needs \
                     transactions, which a single server has not; make it a replica set, or put the value"
                );
                return Err(Error::new(ErrorKind::LimitExceeded, message).with_key(key).with_failed([key]));
            }
            Together::Conflict => {}
        }
        // Those of others stay; who meets whom is found one by one.
        let mut open = self.change_each(collection, small).await?;
        open.extend(large.iter().map(|change| change.place));
        Ok(open)
    }

    async fn change_each(
        &self,
        collection: &Collection<RawDocumentBuf>,
        changes: Vec<&Change>,
    ) -> Result<Vec<usize>> {
        if self.repeatable && changes.len() > 1 {
            return self.change_all(collection, &changes).await;
        }
        let mut writes = Vec::with_capacity(changes.len());
        for change in changes {
            writes.push(self.change_one(collection, change));
        }
        let mut writes = stream::iter(writes).buffer_unordered(WRITES);
        let mut open = Vec::new();
        while let Some((place, made)) = writes.try_next().await? {
            if !made {
                open.push(place);
            }
        }
        Ok(open)
    }

    /// Makes changes in few requests; answers the places of those that were not made. For updates that do no harm if
    /// they are made twice: a change that another made just so counts as ours.
    async fn change_all(
        &self,
        collection: &Collection<RawDocumentBuf>,
        changes: &[&Change],
    ) -> Result<Vec<usize>> {
        let mut open = Vec::new();
        for run in cut(changes, KEYS, MAX_RUN_BYTES, |change| change.bytes() + 256) {
            let statements: Vec<bulk::Change<'_>> =
                run.iter().filter_map(|change| Some((change.old.as_ref()?, change.new.as_ref()))).collect();
            let all = match bulk::change(&self.space, collection, &statements).await {
                Ok(made) => made == statements.len(),
                Err(error) if error.kind() == ErrorKind::Unavailable => false,
                Err(error) => return Err(error),
            };
            if !all {
                open.extend(self.not_made(collection, run).await?);
            }
        }
        Ok(open)
    }

    /// The places of the changes that are not what is stored now.
    async fn not_made(
        &self,
        collection: &Collection<RawDocumentBuf>,
        changes: &[&Change],
    ) -> Result<Vec<usize>> {
        let olds = changes.iter().filter_map(|change| change.old.as_ref());
        let keys = olds.map(|old| bulk::id(old)).collect::<Result<Vec<_>>>()?;
        let mut stored: Vec<Option<RawDocumentBuf>> = vec![None; keys.len()];
        let keep = |place: usize, document: &RawDocument| {
            if let Some(slot) = stored.get_mut(place) {
                *slot = Some(document.to_owned());
            }
            Ok(())
        };
        self.read(collection, &keys, keep).await?;
        let lost = changes.iter().zip(stored).filter(|(change, stored)| change.new != *stored);
        Ok(lost.map(|(change, _)| change.place).collect())
    }

    /// Replaces or removes a document if it is still as it was; answers its place, and whether it was.
    async fn change_one(
        &self,
        collection: &Collection<RawDocumentBuf>,
        change: &Change,
    ) -> Result<(usize, bool)> {
        let Some(old) = &change.old else { return Ok((change.place, true)) };
        let same = Document::try_from(bulk::same(old)?.as_ref()).map_err(codec::damaged)?;
        let made = match &change.new {
            Some(new) => self.space.call(collection.replace_one(same, new)).await?.matched_count > 0,
            None => self.space.call(collection.delete_one(same)).await?.deleted_count > 0,
        };
        Ok((change.place, made))
    }

    /// Makes all changes in one transaction. What it reads is what it replaces: the server ends it when another
    /// writes one of the documents.
    async fn change_together(
        &self,
        collection: &Collection<RawDocumentBuf>,
        changes: &[&Change],
    ) -> Result<Together> {
        if !supported(&self.space).await? {
            return Ok(Together::Unsupported);
        }
        let mut attempts = Attempts::new(&self.space, self.space.config.operation_timeout);
        let mut session = attempts.begin().await?;
        let made = self.write_together(collection, changes, &mut session).await;
        // Another attempt begins with reading anew what others wrote.
        match attempts.end(session, made).await {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(Together::Conflict),
            answer => Ok(answer?.map_or(Together::Conflict, Together::Made)),
        }
    }

    async fn write_together(
        &self,
        collection: &Collection<RawDocumentBuf>,
        changes: &[&Change],
        session: &mut ClientSession,
    ) -> Result<Vec<usize>> {
        let olds = changes.iter().filter_map(|change| change.old.as_ref());
        let keys = olds.map(|old| bulk::id(old)).collect::<Result<Vec<_>>>()?;
        let by_key: std::collections::HashMap<&str, &Change> =
            keys.iter().copied().zip(changes.iter().copied()).collect();
        let size = bulk::one_batch(keys.len());
        let find = collection.find(one_of(&keys)).batch_size(size).session(&mut *session);
        // As it is, its two lifetimes are more than the compiler can follow.
        let mut cursor = self.space.call(find.into_future()).await?;
        let (mut replaced, mut removed) = (Vec::new(), Vec::new());
        let mut open: std::collections::HashSet<usize> = changes.iter().map(|change| change.place).collect();
        while self.space.call(cursor.advance(session)).await? {
            let now = cursor.current();
            let Some(change) = by_key.get(bulk::id(now)?) else { continue };
            if change.old.as_ref().is_some_and(|old| old.as_bytes() == now.as_bytes()) {
                open.remove(&change.place);
                match &change.new {
                    Some(new) => replaced.push(new),
                    None => removed.push(bulk::id(now)?.to_owned()),
                }
            }
        }
        for request in bulk::requests(&replaced).collect::<Vec<_>>() {
            bulk::replace_in(&self.space, collection, request, session).await?;
        }
        if !removed.is_empty() {
            let delete = collection.delete_many(doc! {"_id": {"$in": removed}}).session(&mut *session);
            self.space.call(delete).await?;
        }
        Ok(open.into_iter().collect())
    }
}

/// The files that changes take out of use: the old one of a change that is made, the new one of one that is not.
#[derive(Debug, Default)]
struct Files(Vec<(usize, Option<ObjectId>, Option<ObjectId>)>);

impl Files {
    fn note<'a>(&mut self, changes: impl Iterator<Item = &'a Change>) {
        self.0.extend(changes.filter_map(|change| {
            let file = |document: &Option<RawDocumentBuf>| document.as_ref().and_then(|one| file_of(one));
            let (old, new) = (file(&change.old), file(&change.new));
            (old.is_some() || new.is_some()).then_some((change.place, old, new))
        }));
    }

    fn unused(self, open: &[usize]) -> impl Iterator<Item = ObjectId> {
        self.0.into_iter().filter_map(|(place, old, new)| if open.contains(&place) { new } else { old })
    }
}
