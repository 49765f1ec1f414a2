//! An embedder that keeps what it embedded.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store_core::{
    Embedder, Embedding, Error, ErrorKind, JsonObject, KvStore, PutOptions, Result, ScanOptions,
};
use tokio::sync::Notify;

use super::base64;

/// The field of a cached embedding.
const FIELD: &str = "embedding";
/// Texts embedded and then written together.
const BATCH: usize = 64;
/// Batches embedded at one time.
const BATCHES_AT_ONCE: usize = 4;
/// Keys deleted together.
const DELETED_AT_ONCE: usize = 1000;

/// Wraps an embedder and keeps every embedding in a collection of a key-value store, so that no text is embedded twice:
/// not within a call, not by two calls at the same time, not after a restart or a crash.
///
/// The key is the SHA-256 of model, dimensions and text, joined by NUL, in hexadecimal; the value
/// `{"embedding": base64 of little-endian f32}`. A call reads the store once for each 64 texts, embeds what is missing in
/// its order, and writes that before it goes on, so a crash loses one batch at most. An entry that can not be read
/// counts as missing and is written anew. It needs tokio's runtime.
///
/// **The cache only grows**: about 5.4 bytes for each value, 8 KB for 1,536 dimensions. [`clear`](Self::clear) empties
/// it, and so does the deletion of its collection; nothing else depends on it. For an embedder that is faster than the
/// store, such as [`HashEmbedder`](crate::HashEmbedder), it is of no use.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> nodestore::Result<()> {
/// use std::sync::Arc;
/// use nodestore::{CachedEmbedder, Embedder, HashEmbedder};
///
/// let store = nodestore::open("memory:").await?;
/// let model = Arc::new(HashEmbedder::new(64)?); // a slow or costly one, in truth
/// let embedder = CachedEmbedder::new(model, store.kv()?, "embeddings");
/// embedder.embed(&["a", "b", "a"]).await?;
/// embedder.embed(&["b", "c"]).await?;
/// assert_eq!((embedder.counts().hits, embedder.counts().misses), (2, 3));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct CachedEmbedder {
    cache: Arc<Cache>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug)]
struct Cache {
    embedder: Arc<dyn Embedder>,
    kv: Arc<dyn KvStore>,
    collection: String,
    /// Keys that are worked on; others that want them wait.
    claimed: Mutex<HashSet<String>>,
    released: Notify,
}

/// A text and its key.
type Keyed = (String, String);

/// The embeddings of some keys, and how many of them were made now.
#[derive(Debug, Default)]
struct Done {
    embeddings: Vec<(String, Embedding)>,
    made: usize,
}

/// What a [`CachedEmbedder`] has answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheCounts {
    /// Texts that were not embedded: found in the cache, or repeated within a call.
    pub hits: u64,
    /// Texts that were embedded.
    pub misses: u64,
}

impl CachedEmbedder {
    /// Keeps the embeddings of `embedder` in a collection, which several embedders may share.
    #[must_use]
    pub fn new(embedder: Arc<dyn Embedder>, kv: Arc<dyn KvStore>, collection: impl Into<String>) -> Self {
        let cache = Cache {
            embedder,
            kv,
            collection: collection.into(),
            claimed: Mutex::default(),
            released: Notify::new(),
        };
        Self { cache: Arc::new(cache), hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// What it has answered so far.
    #[must_use]
    pub fn counts(&self) -> CacheCounts {
        CacheCounts { hits: self.hits.load(Ordering::Relaxed), misses: self.misses.load(Ordering::Relaxed) }
    }

    /// Empties a cache's collection, whatever embedders filled it; answers how many embeddings there were.
    pub async fn clear(kv: &dyn KvStore, collection: &str) -> Result<usize> {
        let mut deleted = 0;
        let mut chunks = kv.scan(collection, ScanOptions::default()).chunks(DELETED_AT_ONCE);
        while let Some(chunk) = chunks.next().await {
            let keys =
                chunk.into_iter().map(|entry| entry.map(|(key, _)| key)).collect::<Result<Vec<_>>>()?;
            deleted +=
                kv.delete_many(collection, &keys.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        }
        Ok(deleted)
    }
}

impl Cache {
    fn key(&self, text: &str) -> String {
        let digest = Sha256::new()
            .chain_update(self.embedder.model())
            .chain_update([0])
            .chain_update(self.embedder.dimensions().to_string())
            .chain_update([0])
            .chain_update(text)
            .finalize();
        digest.iter().fold(String::with_capacity(64), |mut key, byte| {
            let _ = write!(key, "{byte:02x}");
            key
        })
    }

    fn claimed(&self) -> MutexGuard<'_, HashSet<String>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes those of `wanted` that nobody works on; the others stay.
    fn claim(self: &Arc<Self>, wanted: &mut Vec<Keyed>) -> Claim {
        let mut claimed = self.claimed();
        let (mine, theirs) =
            std::mem::take(wanted).into_iter().partition(|(key, _)| claimed.insert(key.clone()));
        *wanted = theirs;
        Claim { cache: Arc::clone(self), keyed: mine }
    }

    /// The embeddings of texts without repeats.
    async fn batch(self: Arc<Self>, mut wanted: Vec<Keyed>) -> Result<Done> {
        let mut done = Done::default();
        while !wanted.is_empty() {
            // Before looking, so that no release between is missed.
            let released = self.released.notified();
            let claim = self.claim(&mut wanted);
            if claim.keyed.is_empty() {
                released.await;
                continue;
            }
            let mut filled = self.fill(&claim.keyed).await?;
            done.embeddings.append(&mut filled.embeddings);
            done.made += filled.made;
        }
        Ok(done)
    }

    /// The embeddings of keys that are ours alone: from the store, else embedded and then stored.
    async fn fill(&self, wanted: &[Keyed]) -> Result<Done> {
        let keys: Vec<&str> = wanted.iter().map(|(key, _)| key.as_str()).collect();
        let cached = self.kv.get_many(&self.collection, &keys).await?;
        let mut embeddings = Vec::with_capacity(wanted.len());
        let (mut missing, mut texts) = (Vec::new(), Vec::new());
        for ((key, text), value) in wanted.iter().zip(cached) {
            match value.as_ref().map(|value| self.read(value)) {
                Some(Some(embedding)) => embeddings.push((key.clone(), embedding)),
                found => {
                    if found.is_some() {
                        tracing::warn!(collection = %self.collection, %key, "a cached embedding is damaged; made anew");
                    }
                    missing.push(key.clone());
                    texts.push(text.as_str());
                }
            }
        }
        if !texts.is_empty() {
            let made = self.embedder.embed(&texts).await?;
            self.check(&made, texts.len())?;
            let entries = missing.iter().zip(&made).map(|(key, embedding)| {
                (key.clone(), JsonObject::from_iter([(FIELD.to_owned(), json!(base64::encode(embedding)))]))
            });
            self.kv.put_many(&self.collection, entries.collect(), PutOptions::default()).await?;
            embeddings.extend(missing.into_iter().zip(made));
        }
        Ok(Done { embeddings, made: texts.len() })
    }

    fn read(&self, value: &JsonObject) -> Option<Embedding> {
        let embedding = value.get(FIELD).and_then(Value::as_str).and_then(base64::decode)?;
        let good =
            embedding.len() == self.embedder.dimensions() && embedding.iter().all(|value| value.is_finite());
        good.then_some(embedding)
    }

    /// What is kept must be right.
    fn check(&self, embeddings: &[Embedding], texts: usize) -> Result<()> {
        let dimensions = self.embedder.dimensions();
        let wrong = |what: String| {
            let model = self.embedder.model();
            Err(Error::new(ErrorKind::Other, format!("the embedder {model} answered {what}"))
                .with_operation("embedder.embed"))
        };
        if embeddings.len() != texts {
            return wrong(format!("{} embeddings for {texts} texts", embeddings.len()));
        }
        match embeddings.iter().find(|embedding| embedding.len() != dimensions) {
            Some(other) => wrong(format!("{} values in place of {dimensions}", other.len())),
            None => Ok(()),
        }
    }
}

/// Texts that one call works on, given back at its end, however it ends.
#[derive(Debug)]
struct Claim {
    cache: Arc<Cache>,
    keyed: Vec<Keyed>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claimed = self.cache.claimed();
        for (key, _) in &self.keyed {
            claimed.remove(key);
        }
        drop(claimed);
        if !self.keyed.is_empty() {
            self.cache.released.notify_waiters();
        }
    }
}

#[async_trait]
impl Embedder for CachedEmbedder {
    async fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>> {
        let keys: Vec<String> = texts.iter().map(|text| self.cache.key(text)).collect();
        let mut seen = HashSet::new();
        let keyed = keys.iter().zip(texts).filter(|(key, _)| seen.insert(key.as_str()));
        let wanted: Vec<Keyed> = keyed.map(|(key, text)| (key.clone(), (*text).to_owned())).collect();
        // In tasks of their own: what was paid for is stored even when this call is dropped, and two calls that wait
        // for each other's texts go on although nobody polls one of them.
        let batches: Vec<_> = wanted
            .chunks(BATCH)
            .map(|batch| {
                let (cache, batch) = (Arc::clone(&self.cache), batch.to_vec());
                async move { tokio::spawn(cache.batch(batch)).await }
            })
            .collect();
        // Every batch is let to its end, so that what the others embedded is kept when one fails.
        let answers: Vec<_> = stream::iter(batches).buffered(BATCHES_AT_ONCE).collect().await;
        let ended = |error| {
            Error::new(ErrorKind::Other, "the embedder ended unexpectedly")
                .with_operation("embedder.embed")
                .with_source(error)
        };
        let (mut embeddings, mut made) = (HashMap::with_capacity(wanted.len()), 0);
        for answer in answers {
            let done = answer.map_err(ended)??;
            embeddings.extend(done.embeddings);
            made += done.made;
        }
        self.misses.fetch_add(made as u64, Ordering::Relaxed);
        self.hits.fetch_add((texts.len() - made) as u64, Ordering::Relaxed);
        let lost = || Error::new(ErrorKind::Other, "an embedding got lost").with_operation("embedder.embed");
        keys.iter().map(|key| embeddings.get(key).cloned().ok_or_else(lost)).collect()
    }

    fn dimensions(&self) -> usize {
        self.cache.embedder.dimensions()
    }

    fn model(&self) -> &str {
        self.cache.embedder.model()
    }
}
