//! Key-values: a document each, in a collection of the same name, as in Python.
//!
//! A document is `{"_id": key, …members}`. What Python has no place for stands in the member `_nodestore`: the
//! time of expiry (`expires_at`), and the whole value (`value`) where it can not stand beside `_id`: when it has a
//! member `_id`, `_nodestore` or one that begins with `$`. Documents whose `_id` is no text are not ours to see.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf};
use bson::{DateTime, Document, doc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use mongodb::options::IndexOptions;
use mongodb::{Collection, Cursor, IndexModel};
use store_core::{
    BoxStream, Error, ErrorKind, JsonObject, KvCapabilities, KvStore, PutMode, PutOptions, Result,
    ScanOptions, Update, UpdateFn, check,
};

use crate::bulk::{self, Refused, failed};
use crate::codec::{self, DocumentWriter, MAX_DOCUMENT_BYTES};
use crate::error::at;
use crate::schema::{self, EXPIRES_AT, EXPIRES_AT_PATH, EXTRA, VALUE};
use crate::space::Space;

/// Keys in one read.
const READ_KEYS: usize = 10_000;
/// Bytes of keys in one read; a command takes 16 MB.
const READ_BYTES: usize = 8 << 20;
/// Keys that one round of an update reads, decides and writes.
const UPDATE_KEYS: usize = 1_000;
/// Writes of one update that are under way at once.
const UPDATE_WRITES: usize = 16;
/// How often an update that meets other writers on its keys looks again before it answers `Conflict`.
const UPDATE_ROUNDS: u64 = 200;

pub(crate) fn capabilities() -> KvCapabilities {
    KvCapabilities::new().with_ttl(true).with_max_value_bytes(MAX_DOCUMENT_BYTES)
}

/// The key-value role.
#[derive(Clone, Debug)]
pub(crate) struct MongoKvStore {
    space: Arc<Space>,
}

impl MongoKvStore {
    pub(crate) fn new(space: Arc<Space>) -> Self {
        Self { space }
    }

    /// The MongoDB collection of a key-value collection.
    pub(crate) fn collection(&self, name: &str) -> Result<Collection<RawDocumentBuf>> {
        Ok(self.space.kv_database()?.collection(&schema::kv_collection(name, &self.space.config)))
    }

    async fn get(&self, collection: &str, keys: &[&str]) -> Result<Vec<Option<JsonObject>>> {
        check::collection_and_keys(collection, keys.iter().copied())?;
        let target = self.collection(collection)?;
        let now = DateTime::now();
        let mut values = vec![None; keys.len()];
        let read = |place: usize, document: &RawDocument| {
            if let Some(slot) = values.get_mut(place) {
                *slot = decode(document, now)?;
            }
            Ok(())
        };
        self.read(&target, keys, read).await?;
        Ok(values)
    }

    /// Hands over the stored documents of `keys`, each with the place of its key; expired ones too.
    async fn read(
        &self,
        collection: &Collection<RawDocumentBuf>,
        keys: &[&str],
        mut take: impl FnMut(usize, &RawDocument) -> Result<()>,
    ) -> Result<()> {
        let mut places: HashMap<&str, Vec<usize>> = HashMap::with_capacity(keys.len());
        for (place, key) in keys.iter().enumerate() {
            places.entry(key).or_default().push(place);
        }
        for keys in key_batches(keys) {
            let filter = one_of(keys);
            let size = u32::try_from(keys.len()).unwrap_or(u32::MAX);
            let mut cursor = self.space.call(collection.find(filter).batch_size(size)).await?;
            while self.space.call(cursor.advance()).await? {
                let document = cursor.current();
                let key = bulk::id(document)?;
                for place in places.get(key).into_iter().flatten() {
                    take(*place, document).map_err(|error| error.with_key(key))?;
                }
            }
        }
        Ok(())
    }

    async fn put(
        &self,
        collection: &str,
        entries: Vec<(String, JsonObject)>,
        options: PutOptions,
    ) -> Result<()> {
        // Values are measured as they are encoded, not once more before.
        check::put(collection, &entries, &options, &KvCapabilities::new().with_ttl(true))?;
        if entries.is_empty() {
            return Ok(());
        }
        let target = self.collection(collection)?;
        let expires = options.ttl.map(|ttl| expiry(DateTime::now(), ttl));
        let documents = encode_all(&entries, expires)?;
        if expires.is_some() {
            self.ensure_expiry(&target).await?;
        }
        let keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
        match options.mode {
            PutMode::Insert => self.insert(&target, &keys, documents).await,
            PutMode::Upsert => bulk::upsert(&self.space, &target, &documents).await,
        }
    }

    /// An index by which the server removes what has expired; made at the first use of a time to live.
    async fn ensure_expiry(&self, collection: &Collection<RawDocumentBuf>) -> Result<()> {
        let known = format!("expiry of {}", collection.namespace());
        if self.space.known.has(&known) {
            return Ok(());
        }
        let options = IndexOptions::builder().expire_after(Duration::ZERO).build();
        let index = IndexModel::builder().keys(doc! { EXPIRES_AT_PATH: 1 }).options(options).build();
        self.space.call(collection.create_index(index)).await?;
        self.space.known.set(&known, true);
        Ok(())
    }

    async fn insert(
        &self,
        collection: &Collection<RawDocumentBuf>,
        keys: &[&str],
        documents: Vec<RawDocumentBuf>,
    ) -> Result<()> {
        let (mut existing, mut done) = (Vec::new(), 0);
        for request in bulk::requests(&documents) {
            done += request.len();
            let unsent = documents.get(done..).unwrap_or_default();
            let unknown = |error| failed(error, request.iter().chain(unsent));
            let refused = bulk::insert(&self.space, collection, request).await;
            let refused = refused.map_err(unknown)?;
            let (there, other): (Vec<_>, Vec<_>) = refused.into_iter().partition(Refused::is_duplicate);
            let there: Vec<&RawDocumentBuf> = there.iter().filter_map(|one| request.get(one.index)).collect();
            let there = self.insert_over_expired(collection, there).await;
            existing.extend(there.map_err(unknown)?);
            if let Some(first) = other.first() {
                let lost = other.iter().filter_map(|refused| request.get(refused.index));
                return Err(failed(first.error(), lost.chain(unsent)));
            }
        }
        if existing.is_empty() {
            return Ok(());
        }
        // In the order of the call.
        existing.sort_by_cached_key(|key| keys.iter().position(|other| other == key));
        Err(check::already_exist("key", existing))
    }

    /// Replaces those of the documents whose key has expired but is not yet removed; answers the other keys.
    async fn insert_over_expired(
        &self,
        collection: &Collection<RawDocumentBuf>,
        documents: Vec<&RawDocumentBuf>,
    ) -> Result<Vec<String>> {
        let keys = documents.iter().map(|document| bulk::id(document)).collect::<Result<Vec<_>>>()?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let now = DateTime::now();
        let mut expired = vec![false; keys.len()];
        let look = |place: usize, document: &RawDocument| {
            if let Some(slot) = expired.get_mut(place) {
                *slot = is_expired(document, now);
            }
            Ok(())
        };
        self.read(collection, &keys, look).await?;
        let mut existing = Vec::new();
        for ((key, document), expired) in keys.iter().zip(&documents).zip(expired) {
            // Another may have been quicker: the condition holds for one of them only.
            let mut filter = doc! {"_id": key};
            filter.insert(EXPIRES_AT_PATH, doc! {"$lte": now});
            let won = expired
                && self.space.call(collection.replace_one(filter, *document)).await?.matched_count > 0;
            if !won {
                existing.push((*key).to_owned());
            }
        }
        Ok(existing)
    }

    async fn delete(&self, collection: &str, keys: &[&str]) -> Result<usize> {
        check::collection_and_keys(collection, keys.iter().copied())?;
        let target = self.collection(collection)?;
        let keys = check::unique_by(keys.to_vec(), false, |key| *key);
        let mut deleted = 0;
        for batch in key_batches(&keys) {
            let mut filter = one_of(batch);
            // What has expired is the server's to remove, and was not there.
            filter.insert(EXPIRES_AT_PATH, doc! {"$not": {"$lte": DateTime::now()}});
            // The driver repeats a delete of one document when the connection fails, not one of many.
            let answer = if batch.len() == 1 {
                self.space.call(target.delete_one(filter)).await
            } else {
                self.space.call(target.delete_many(filter)).await
            };
            let answer = answer.map_err(|error| error.with_failed(batch.iter().copied()))?;
            deleted += usize::try_from(answer.deleted_count).unwrap_or(usize::MAX);
        }
        Ok(deleted)
    }

    async fn update(
        &self,
        collection: &str,
        keys: &[&str],
        apply: &mut UpdateFn<'_>,
    ) -> Result<Vec<Option<JsonObject>>> {
        check::collection_and_keys(collection, keys.iter().copied())?;
        check::no_duplicates("key", keys.iter().copied())?;
        let target = self.collection(collection)?;
        let mut after = Vec::with_capacity(keys.len());
        for keys in keys.chunks(UPDATE_KEYS) {
            after.extend(self.update_chunk(&target, keys, apply).await?);
        }
        Ok(after)
    }

    async fn update_chunk(
        &self,
        collection: &Collection<RawDocumentBuf>,
        keys: &[&str],
        apply: &mut UpdateFn<'_>,
    ) -> Result<Vec<Option<JsonObject>>> {
        let mut after = vec![None; keys.len()];
        let mut open: Vec<usize> = (0..keys.len()).collect();
        for round in 0..UPDATE_ROUNDS {
            let wanted: Vec<&str> = open.iter().filter_map(|place| keys.get(*place).copied()).collect();
            let mut stored: Vec<Option<RawDocumentBuf>> = vec![None; wanted.len()];
            let keep = |place: usize, document: &RawDocument| {
                if let Some(slot) = stored.get_mut(place) {
                    *slot = Some(document.to_owned());
                }
                Ok(())
            };
            self.read(collection, &wanted, keep).await?;
            let now = DateTime::now();
            let (mut changes, mut refused) = (Vec::new(), None);
            for ((place, key), stored) in open.iter().zip(&wanted).zip(stored) {
                match decide(key, stored, now, apply) {
                    Ok((value, change)) => {
                        if let Some(slot) = after.get_mut(*place) {
                            *slot = value;
                        }
                        changes.extend(change.map(|change| (*place, change)));
                    }
                    Err(error) => {
                        refused = Some(error);
                        break;
                    }
                }
            }
            open = self.change(collection, keys, changes).await?;
            if let Some(error) = refused {
                return Err(error);
            }
            if open.is_empty() {
                return Ok(after);
            }
            // Those who met are spread, so that they do not meet again.
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=round.min(10)))).await;
        }
        let key = open.first().and_then(|place| keys.get(*place)).copied().unwrap_or_default();
        let message = format!("others changed the key each of the {UPDATE_ROUNDS} times it was read");
        Err(Error::new(ErrorKind::Conflict, message).with_key(key))
    }

    /// Makes the changes whose old document is still there; answers the places of the others.
    async fn change(
        &self,
        collection: &Collection<RawDocumentBuf>,
        keys: &[&str],
        changes: Vec<(usize, Change)>,
    ) -> Result<Vec<usize>> {
        let (mut new, mut conditional) = (Vec::new(), Vec::new());
        for (place, change) in changes {
            match change {
                Change { old: None, new: Some(document) } => new.push((place, document)),
                change => conditional.push((place, change)),
            }
        }
        let (places, documents): (Vec<usize>, Vec<RawDocumentBuf>) = new.into_iter().unzip();
        let mut open = Vec::new();
        let mut done = 0;
        for request in bulk::requests(&documents) {
            for refused in bulk::insert(&self.space, collection, request).await? {
                let place = places.get(done + refused.index).copied().unwrap_or_default();
                if !refused.is_duplicate() {
                    let key = keys.get(place).copied().unwrap_or_default();
                    return Err(refused.error().with_key(key));
                }
                open.push(place);
            }
            done += request.len();
        }
        let writes: Vec<_> = conditional
            .into_iter()
            .map(|(place, change)| async move {
                Ok::<_, Error>((place, self.change_one(collection, change).await?))
            })
            .collect();
        let mut writes = stream::iter(writes).buffer_unordered(UPDATE_WRITES);
        while let Some((place, made)) = writes.try_next().await? {
            if !made {
                open.push(place);
            }
        }
        open.sort_unstable();
        Ok(open)
    }

    /// Replaces or removes a document if it is still as it was.
    async fn change_one(&self, collection: &Collection<RawDocumentBuf>, change: Change) -> Result<bool> {
        let Some(old) = &change.old else { return Ok(true) };
        let whole = Document::try_from(old.as_ref()).map_err(codec::damaged)?;
        let same = doc! {"_id": bulk::id(old)?, "$expr": {"$eq": ["$$ROOT", {"$literal": whole}]}};
        Ok(match &change.new {
            Some(new) => self.space.call(collection.replace_one(same, new)).await?.matched_count > 0,
            None => self.space.call(collection.delete_one(same)).await?.deleted_count > 0,
        })
    }

    /// Opens a scan after a key.
    async fn open_scan(
        &self,
        collection: &Collection<RawDocumentBuf>,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Cursor<RawDocumentBuf>> {
        let find = collection.find(doc! {"_id": key_range(prefix, after)}).sort(doc! {"_id": 1});
        self.space.call(find).await
    }
}

/// What becomes of a document: the one that must still be there, and the new one.
#[derive(Debug)]
struct Change {
    old: Option<RawDocumentBuf>,
    new: Option<RawDocumentBuf>,
}

/// Asks `apply` about one key: the value afterwards, and the change to make, if any.
fn decide(
    key: &str,
    stored: Option<RawDocumentBuf>,
    now: DateTime,
    apply: &mut UpdateFn<'_>,
) -> Result<(Option<JsonObject>, Option<Change>)> {
    let old = match &stored {
        Some(document) => decode(document, now).map_err(|error| error.with_key(key))?,
        None => None,
    };
    Ok(match apply(key, old.as_ref())? {
        Update::Keep => (old, None),
        Update::Put(value) => {
            let new = encode(key, &value, None, 0)?;
            (Some(value), Some(Change { old: stored, new: Some(new) }))
        }
        // What has expired is left to the server.
        Update::Delete => (None, old.and(stored).map(|stored| Change { old: Some(stored), new: None })),
    })
}

/// Cuts keys into reads that the server takes, in order.
fn key_batches<'a, 'k>(keys: &'a [&'k str]) -> impl Iterator<Item = &'a [&'k str]> {
    let mut rest = keys;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |key: &&&str| {
            bytes += key.len() + 16;
            bytes <= READ_BYTES
        };
        let count = rest.iter().take(READ_KEYS).take_while(fits).count().max(1);
        let (batch, left) = rest.split_at(count.min(rest.len()));
        rest = left;
        (!batch.is_empty()).then_some(batch)
    })
}

fn one_of(keys: &[&str]) -> Document {
    match keys {
        [key] => doc! {"_id": key},
        keys => doc! {"_id": {"$in": keys}},
    }
}

/// The keys with a prefix, after a key: text is ordered by bytes, and only text compares with text.
pub(crate) fn key_range(prefix: &str, after: Option<&str>) -> Document {
    let mut range = match after {
        Some(after) if after >= prefix => doc! {"$gt": after},
        _ => doc! {"$gte": prefix},
    };
    if let Some(end) = end_of_prefix(prefix) {
        range.insert("$lt", end);
    }
    range
}

/// The least text greater than every one with this prefix, if there is one.
fn end_of_prefix(prefix: &str) -> Option<String> {
    let mut end: Vec<char> = prefix.chars().collect();
    while let Some(last) = end.pop() {
        // The greatest character has no successor; between U+D7FF and U+E000 there are none.
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            end.push(next);
            return Some(end.into_iter().collect());
        }
    }
    None
}

/// When something that lives so long from now expires.
fn expiry(now: DateTime, ttl: Duration) -> DateTime {
    let ttl = i64::try_from(ttl.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX);
    // Later than the server can say is as good as never.
    let latest = DateTime::from_millis(253_402_300_799_999);
    DateTime::from_millis(now.timestamp_millis().saturating_add(ttl)).min(latest)
}

fn encode_all(entries: &[(String, JsonObject)], expires: Option<DateTime>) -> Result<Vec<RawDocumentBuf>> {
    // Of equal keys the last wins.
    let mut last: HashMap<&str, usize> = HashMap::with_capacity(entries.len());
    for (place, (key, _)) in entries.iter().enumerate() {
        last.insert(key, place);
    }
    let mut documents: Vec<RawDocumentBuf> = Vec::with_capacity(last.len());
    for (place, (key, value)) in entries.iter().enumerate() {
        // The values of a batch tend to be alike.
        let about = documents.last().map_or(0, |document| document.as_bytes().len() + 64);
        let document = encode(key, value, expires, about)?;
        if last.get(key.as_str()) == Some(&place) {
            documents.push(document);
        }
    }
    Ok(documents)
}

/// The document of a key and its value; `about` is how many bytes it may take.
fn encode(key: &str, value: &JsonObject, expires: Option<DateTime>, about: usize) -> Result<RawDocumentBuf> {
    let encode = || {
        let mut document = DocumentWriter::with_capacity(about);
        document.text("_id", key)?;
        let beside = !value.keys().any(|name| name == "_id" || name == EXTRA || name.starts_with('$'));
        if beside {
            document.members(value)?;
        }
        if !beside || expires.is_some() {
            document.open_object(EXTRA)?;
            if !beside {
                document.object(VALUE, value)?;
            }
            if let Some(expires) = expires {
                document.date(EXPIRES_AT, expires)?;
            }
            document.close();
        }
        document.finish()
    };
    let document = encode().map_err(|error: Error| error.with_key(key).with_failed([key]))?;
    check::within("value with its key", key, document.as_bytes().len(), MAX_DOCUMENT_BYTES)?;
    Ok(document)
}

/// The value of a stored document; `None` when it has expired.
fn decode(document: &RawDocument, now: DateTime) -> Result<Option<JsonObject>> {
    let mut value = JsonObject::new();
    for member in document {
        let (name, member) = member.map_err(codec::damaged)?;
        match (name.as_str(), member) {
            ("_id", _) => {}
            (EXTRA, RawBsonRef::Document(extra)) => {
                if is_past(extra, now) {
                    return Ok(None);
                }
                if let Ok(whole) = extra.get_document(VALUE) {
                    return codec::to_json(whole).map(Some);
                }
            }
            (name, member) => {
                value.insert(name.to_owned(), codec::to_value(member)?);
            }
        }
    }
    Ok(Some(value))
}

fn is_expired(document: &RawDocument, now: DateTime) -> bool {
    document.get_document(EXTRA).is_ok_and(|extra| is_past(extra, now))
}

fn is_past(extra: &RawDocument, now: DateTime) -> bool {
    extra.get_datetime(EXPIRES_AT).is_ok_and(|at| at <= now)
}

/// A scan under way.
struct Scan {
    store: MongoKvStore,
    target: Collection<RawDocumentBuf>,
    prefix: String,
    after: Option<String>,
    cursor: Option<Cursor<RawDocumentBuf>>,
}

impl Scan {
    /// The next entry. A cursor that the server gave up, or whose connection failed, is opened anew after the last
    /// key, once for each step.
    async fn next(&mut self) -> Result<Option<(String, JsonObject)>> {
        match self.step().await {
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                self.cursor = None;
                self.step().await
            }
            answer => answer,
        }
    }

    async fn step(&mut self) -> Result<Option<(String, JsonObject)>> {
        let mut cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => self.store.open_scan(&self.target, &self.prefix, self.after.as_deref()).await?,
        };
        while self.store.space.call(cursor.advance()).await? {
            let document = cursor.current();
            let key = bulk::id(document)?.to_owned();
            let value = decode(document, DateTime::now()).map_err(|error| error.with_key(&key))?;
            self.after = Some(key.clone());
            if let Some(value) = value {
                self.cursor = Some(cursor);
                return Ok(Some((key, value)));
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl KvStore for MongoKvStore {
    async fn get_many(&self, collection: &str, keys: &[&str]) -> Result<Vec<Option<JsonObject>>> {
        self.get(collection, keys).await.map_err(|error| at("kv.get_many")(error).with_collection(collection))
    }

    async fn put_many(
        &self,
        collection: &str,
        entries: Vec<(String, JsonObject)>,
        options: PutOptions,
    ) -> Result<()> {
        self.put(collection, entries, options)
            .await
            .map_err(|error| at("kv.put_many")(error).with_collection(collection))
    }

    async fn delete_many(&self, collection: &str, keys: &[&str]) -> Result<usize> {
        self.delete(collection, keys)
            .await
            .map_err(|error| at("kv.delete_many")(error).with_collection(collection))
    }

    async fn update_many(
        &self,
        collection: &str,
        keys: &[&str],
        apply: &mut UpdateFn<'_>,
    ) -> Result<Vec<Option<JsonObject>>> {
        self.update(collection, keys, apply)
            .await
            .map_err(|error| at("kv.update_many")(error).with_collection(collection))
    }

    fn scan(&self, collection: &str, options: ScanOptions) -> BoxStream<(String, JsonObject)> {
        let open = check::non_empty("collection name", collection).and_then(|()| self.collection(collection));
        let named = {
            let collection = collection.to_owned();
            move |error: Error| at("kv.scan")(error).with_collection(&collection)
        };
        let target = match open {
            Ok(target) => target,
            Err(error) => return stream::iter([Err(named(error))]).boxed(),
        };
        let ScanOptions { prefix, after, .. } = options;
        let scan = Scan { store: self.clone(), target, prefix, after, cursor: None };
        stream::try_unfold(scan, |mut scan| async move {
            let entry = scan.next().await?;
            Ok(entry.map(|entry| (entry, scan)))
        })
        .map_err(named)
        .boxed()
    }

    fn capabilities(&self) -> KvCapabilities {
        capabilities()
    }
}
