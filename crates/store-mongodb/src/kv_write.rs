//! Putting and deleting key-values.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bson::oid::ObjectId;
use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{DateTime, doc};
use mongodb::options::IndexOptions;
use mongodb::{Collection, IndexModel};
use store_core::kit::check;
use store_core::{Error, JsonObject, KvCapabilities, Node, PutMode, PutOptions, Result};

use crate::bulk::{self, Refused, failed};
use crate::grid_fs;
use crate::kv::{MongoKvStore, key_batches, one_of};
use crate::kv_layout::{encode, encode_node, expiry, file_of, fits, is_expired, pointer};
use crate::schema::{EXPIRES_AT_PATH, FILE_PATH};

impl MongoKvStore {
    pub(crate) async fn put(
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
        let documents = self.documents(collection, &entries, expires).await?;
        if expires.is_some() {
            self.ensure_expiry(&target).await?;
        }
        let keys: Vec<String> = entries.into_iter().map(|(key, _)| key).collect();
        let files: Vec<ObjectId> = documents.iter().filter_map(|document| file_of(document)).collect();
        let written = self.write(&target, &keys, documents, options.mode).await;
        if let Err(error) = &written
            && !files.is_empty()
        {
            self.drop_unused(&target, &keys, error, files).await?;
        }
        written
    }

    /// As [`put`](Self::put) of the nodes' JSON under their ids; each id once.
    pub(crate) async fn write_nodes(&self, collection: &str, nodes: &[Node], mode: PutMode) -> Result<()> {
        let keys: Vec<String> = nodes.iter().map(|node| node.id.as_str().to_owned()).collect();
        check::collection_and_keys(collection, keys.iter().map(String::as_str))?;
        check::no_duplicates("key", keys.iter().map(String::as_str))?;
        let mut documents: Vec<RawDocumentBuf> = Vec::with_capacity(nodes.len());
        for node in nodes {
            let about = documents.last().map_or(0, |document| document.as_bytes().len() + 64);
            let document = encode_node(node, about)?;
            fits(node.id.as_str(), &document)?;
            documents.push(document);
        }
        self.write(&self.collection(collection)?, &keys, documents, mode).await
    }

    async fn write(
        &self,
        target: &Collection<RawDocumentBuf>,
        keys: &[String],
        documents: Vec<RawDocumentBuf>,
        mode: PutMode,
    ) -> Result<()> {
        match mode {
            PutMode::Insert => self.insert(target, keys, &documents).await,
            PutMode::Upsert if self.spills() => {
                let plain = self.upsert_files(target, documents).await?;
                bulk::upsert(&self.space, target, &plain).await
            }
            PutMode::Upsert => bulk::upsert(&self.space, target, &documents).await,
        }
    }

    /// The documents of entries; of equal keys the last. Values too large for one are written to files, after all
    /// others were found right.
    async fn documents(
        &self,
        collection: &str,
        entries: &[(String, JsonObject)],
        expires: Option<DateTime>,
    ) -> Result<Vec<RawDocumentBuf>> {
        let mut last: HashMap<&str, usize> = HashMap::with_capacity(entries.len());
        for (place, (key, _)) in entries.iter().enumerate() {
            last.insert(key, place);
        }
        let mut documents: Vec<RawDocumentBuf> = Vec::with_capacity(last.len());
        let mut large = Vec::new();
        for (place, (key, value)) in entries.iter().enumerate() {
            // The values of a batch tend to be alike.
            let about = documents.last().map_or(0, |document| document.as_bytes().len() + 64);
            let document = encode(key, value, expires, about)?;
            let fits = fits(key, &document);
            if fits.is_err() && self.spills() && expires.is_none() {
                if last.get(key.as_str()) == Some(&place) {
                    large.push((key, value));
                }
                continue;
            }
            fits?;
            if last.get(key.as_str()) == Some(&place) {
                documents.push(document);
            }
        }
        for (key, value) in large {
            let file = grid_fs::save(&self.space, &format!("{collection}/{key}"), key, value).await;
            documents.push(pointer(key, file.map_err(|error| error.with_key(key).with_failed([key]))?)?);
        }
        Ok(documents)
    }

    /// Removes the files of a batch that no document points to.
    async fn drop_unused(
        &self,
        collection: &Collection<RawDocumentBuf>,
        keys: &[String],
        error: &Error,
        files: Vec<ObjectId>,
    ) -> Result<()> {
        if !error.is_retryable() {
            let mut unused: HashSet<ObjectId> = files.into_iter().collect();
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let keep = |_: usize, document: &RawDocument| {
                file_of(document).map(|file| unused.remove(&file));
                Ok(())
            };
            self.read(collection, &keys, keep).await?;
            grid_fs::remove(&self.space, unused).await?;
        }
        Ok(())
    }

    /// An index by which the server removes what has expired; made at the first use of a time to live.
    async fn ensure_expiry(&self, collection: &Collection<RawDocumentBuf>) -> Result<()> {
        let known = format!("expiry of {}", collection.namespace());
        if !self.space.config.create || self.space.known.has(&known) {
            return Ok(());
        }
        let options = IndexOptions::builder().expire_after(Duration::ZERO).build();
        let index = IndexModel::builder().keys(doc! { EXPIRES_AT_PATH: 1 }).options(options).build();
        self.space.call(collection.create_index(index)).await?;
        self.space.known.set(&known, true);
        Ok(())
    }

    /// Writes the documents that point to a file or stand in the place of one that does, one by one, so that no
    /// file is lost or stays behind. Answers the others.
    async fn upsert_files(
        &self,
        collection: &Collection<RawDocumentBuf>,
        documents: Vec<RawDocumentBuf>,
    ) -> Result<Vec<RawDocumentBuf>> {
        let keys = documents.iter().map(|document| bulk::id(document)).collect::<Result<Vec<_>>>()?;
        let filed = self.keys_with_files(collection, &keys).await?;
        let has_file = |document: &RawDocumentBuf| {
            bulk::id(document).is_ok_and(|key| filed.contains(key)) || file_of(document).is_some()
        };
        let (with_file, plain): (Vec<_>, Vec<_>) = documents.into_iter().partition(has_file);
        for (place, document) in with_file.iter().enumerate() {
            let replace =
                collection.find_one_and_replace(doc! {"_id": bulk::id(document)?}, document).upsert(true);
            let unsent = with_file.get(place..).unwrap_or_default().iter().chain(&plain);
            let old = self.space.call(replace).await.map_err(|error| failed(error, unsent))?;
            grid_fs::remove(&self.space, old.and_then(|old| file_of(&old))).await?;
        }
        Ok(plain)
    }

    async fn keys_with_files(
        &self,
        collection: &Collection<RawDocumentBuf>,
        keys: &[&str],
    ) -> Result<HashSet<String>> {
        let mut filed = HashSet::new();
        for keys in key_batches(keys) {
            let mut filter = one_of(keys);
            filter.insert(FILE_PATH, doc! {"$exists": true});
            let mut cursor = self.space.call(collection.find(filter).projection(doc! {"_id": 1})).await?;
            while self.space.call(cursor.advance()).await? {
                filed.insert(bulk::id(cursor.current())?.to_owned());
            }
        }
        Ok(filed)
    }

    async fn insert(
        &self,
        collection: &Collection<RawDocumentBuf>,
        keys: &[String],
        documents: &[RawDocumentBuf],
    ) -> Result<()> {
        let (mut existing, mut done) = (HashSet::new(), 0);
        for request in bulk::requests(documents) {
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
        let existing = keys.iter().filter(|key| existing.contains(*key)).cloned();
        Err(check::already_exist("key", existing.collect()))
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
            let filter = doc! {"_id": key, EXPIRES_AT_PATH: {"$lte": now}};
            let won = expired
                && self.space.call(collection.replace_one(filter, *document)).await?.matched_count > 0;
            if !won {
                existing.push((*key).to_owned());
            }
        }
        Ok(existing)
    }

    pub(crate) async fn delete(&self, collection: &str, keys: &[&str]) -> Result<usize> {
        check::collection_and_keys(collection, keys.iter().copied())?;
        let target = self.collection(collection)?;
        let mut keys = check::unique_by(keys.to_vec(), false, |key| *key);
        let mut deleted = 0;
        if self.spills() {
            let filed = self.keys_with_files(&target, &keys).await?;
            for key in &filed {
                let old = self.space.call(target.find_one_and_delete(doc! {"_id": key})).await?;
                deleted += usize::from(old.is_some());
                grid_fs::remove(&self.space, old.and_then(|old| file_of(&old))).await?;
            }
            keys.retain(|key| !filed.contains(*key));
        }
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
}
