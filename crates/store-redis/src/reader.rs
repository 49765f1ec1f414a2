//! Reading hashes of any kind as documents: a collection of key-values, keys by a pattern, what an index holds.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;
use store_core::filter::lookup;
use store_core::kit::records::RecordShape;
use store_core::{BoxStream, Document, Error, JsonObject, KvStore as _, Reader, Result, ScanOptions};

use crate::RedisBackend;
use crate::driver::{Cmd, bytes, items};
use crate::error::at;
use crate::keys::{Keys, keys};
use crate::kv::RedisKvStore;
use crate::space::Space;
use crate::vector::keys_of_index;

const READ: &str = "reader.read";
/// Records that one round trip reads, and round trips that are under way at once.
const BATCH: usize = 100;
const READS: usize = 2;

/// What is read.
#[derive(Clone, Debug)]
enum Source {
    /// The fields of one hash, whose values are JSON.
    Collection(String),
    /// Every hash whose key matches.
    Keys(String),
    /// Every hash that an index of the search module holds.
    Index(String),
}

/// Reads what stands in Redis as documents: the text from some fields, metadata from others.
///
/// | made by | a document for each | its id | order |
/// |---|---|---|---|
/// | [`RedisBackend::reader`] | key-value of a collection | its key | by key |
/// | [`RedisBackend::key_reader`] | hash whose key matches a pattern | the key of the hash | none |
/// | [`RedisBackend::index_reader`] | hash in an index of the search module | the key of the hash | none |
///
/// Fields of a key-value are paths (`author.name`), and values that are no texts have Python's `str` as their text.
/// Fields of a hash are names, their values texts. A record comes once; what is added or removed meanwhile may come
/// or not. No more than two batches are held at a time, and the names of all records: SCAN may meet one twice.
///
/// ```no_run
/// # use store_redis::{MissingField, RedisBackend, RedisConfig};
/// use futures::TryStreamExt;
/// use store_core::Reader;
///
/// # async fn read() -> store_core::Result<()> {
/// let store = RedisBackend::connect(RedisConfig::new("redis://localhost")).await?;
/// let reader = store
///     .key_reader("product:*")
///     .with_fields(["title", "description"])
///     .with_separator("\n")
///     .with_metadata(["price"])
///     .with_missing(MissingField::LeaveOut);
/// let mut documents = reader.read();
/// while let Some(document) = documents.try_next().await? {
///     println!("{}: {}", document.id, document.text_content());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisReader {
    space: Arc<Space>,
    source: Source,
    shape: RecordShape,
    limit: Option<usize>,
    batch_size: usize,
    after: Option<String>,
}

impl RedisBackend {
    /// A reader of a collection of key-values of this store; see [`RedisReader`]. Nothing is sent before the first
    /// document is asked for.
    #[must_use]
    pub fn reader(&self, collection: impl Into<String>) -> RedisReader {
        self.reader_of(Source::Collection(collection.into()))
    }

    /// A reader of every hash whose key matches, be it of this store or of others: `*`, `?`, `[a-c]` and `\` in the
    /// pattern are SCAN's. SCAN looks at every key of the server, however few match.
    #[must_use]
    pub fn key_reader(&self, pattern: impl Into<String>) -> RedisReader {
        self.reader_of(Source::Keys(pattern.into()))
    }

    /// A reader of every hash that an index of the search module holds, by the index's own name. Reading it is
    /// `Unsupported` without the module.
    #[must_use]
    pub fn index_reader(&self, index: impl Into<String>) -> RedisReader {
        self.reader_of(Source::Index(index.into()))
    }

    fn reader_of(&self, source: Source) -> RedisReader {
        RedisReader {
            space: Arc::clone(&self.space),
            source,
            shape: RecordShape::default(),
            limit: None,
            batch_size: BATCH,
            after: None,
        }
    }
}

impl RedisReader {
    store_core::record_options!();

    /// At most this many documents; default all.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// How many hashes one round trip reads; default 100. A collection's batches are by the size of its values.
    #[must_use]
    pub fn with_batch_size(mut self, records: usize) -> Self {
        self.batch_size = records;
        self
    }

    /// Begins after this id, which need not exist any more: to go on where a reading ended. Of a collection only, as
    /// nothing else has an order; else reading is `InvalidInput`.
    #[must_use]
    pub fn after_id(mut self, id: impl Into<String>) -> Self {
        self.after = Some(id.into());
        self
    }

    fn check(&self) -> Result<()> {
        if self.after.is_some() && !matches!(self.source, Source::Collection(_)) {
            return Err(Error::invalid_input(
                "hashes come in no order, so that there is no place to begin after; read a collection, or all",
            ));
        }
        if self.batch_size == 0 {
            return Err(Error::invalid_input("the batch size is 0; it must be at least 1"));
        }
        if let Source::Keys(name) | Source::Index(name) = &self.source
            && name.is_empty()
        {
            return Err(Error::invalid_input("the pattern or the name of the index is empty"));
        }
        Ok(())
    }

    fn documents(&self) -> BoxStream<Document> {
        if let Err(error) = self.check() {
            return stream::iter([Err(error)]).boxed();
        }
        let reader = self.clone();
        match &self.source {
            Source::Collection(collection) => {
                let mut options = ScanOptions::default();
                options.after.clone_from(&self.after);
                let values = RedisKvStore::new(Arc::clone(&self.space)).scan(collection, options);
                let make = move |entry: Result<(String, JsonObject)>| match entry {
                    Ok((id, value)) => {
                        reader.document(&id, |path| Ok(lookup(&value, path).map(Cow::Borrowed))).transpose()
                    }
                    Err(error) => Some(Err(error)),
                };
                values.filter_map(move |entry| std::future::ready(make(entry))).boxed()
            }
            Source::Keys(pattern) => {
                let wanted = Keys { pattern: pattern.clone(), kind: Some("hash") };
                reader.hashes(keys(&self.space, wanted))
            }
            Source::Index(index) => reader.hashes(keys_of_index(&self.space, index)),
        }
    }

    /// The documents of these hashes, each once.
    fn hashes(self, keys: BoxStream<Vec<Bytes>>) -> BoxStream<Document> {
        let (size, mut seen) = (self.batch_size, HashSet::new());
        let batches = keys.map_ok(move |keys| {
            let new: Vec<Bytes> = keys.into_iter().filter(|key| seen.insert(key.clone())).collect();
            let batches: Vec<Result<Vec<Bytes>>> = new.chunks(size).map(|keys| Ok(keys.to_vec())).collect();
            stream::iter(batches)
        });
        let reader = Arc::new(self);
        let read = move |keys: Vec<Bytes>| {
            let reader = Arc::clone(&reader);
            async move { reader.batch(keys).await }
        };
        let documents = batches.try_flatten().map_ok(read).try_buffered(READS);
        let each = |batch: Result<Vec<Result<Document>>>| match batch {
            Ok(documents) => stream::iter(documents),
            Err(error) => stream::iter(vec![Err(error)]),
        };
        documents.map(each).flatten().boxed()
    }

    async fn batch(&self, keys: Vec<Bytes>) -> Result<Vec<Result<Document>>> {
        let fields: Vec<&str> = self.shape.fields().collect();
        if fields.is_empty() {
            let blank = keys.iter().map(|key| self.document(&String::from_utf8_lossy(key), |_| Ok(None)));
            return Ok(blank.filter_map(Result::transpose).collect());
        }
        let command = |key: &Bytes| Cmd::read("HMGET", key.clone()).args(fields.iter().copied());
        let answers = self.space.pipeline(keys.iter().map(command).collect()).await?;
        let mut documents = Vec::with_capacity(keys.len());
        for (key, answer) in keys.iter().zip(answers) {
            let id = String::from_utf8_lossy(key);
            let values: Vec<Option<Bytes>> = match answer {
                Ok(values) => items(values).into_iter().map(bytes).collect(),
                Err(error) => {
                    documents.push(Err(error.with_key(id)));
                    continue;
                }
            };
            let find = |name: &str| {
                let place = fields.iter().position(|field| *field == name);
                let value = place.and_then(|place| values.get(place)).and_then(Option::as_ref);
                value.map(|value| text_of(name, value).map(Cow::Owned)).transpose()
            };
            documents.extend(self.document(&id, find).transpose());
        }
        Ok(documents)
    }

    /// A record as a document; `None` when it is to be left out.
    fn document<'a>(
        &self,
        id: &str,
        find: impl Fn(&str) -> Result<Option<Cow<'a, Value>>>,
    ) -> Result<Option<Document>> {
        let (Source::Collection(name) | Source::Keys(name) | Source::Index(name)) = &self.source;
        self.shape.document(id, name, find)
    }
}

/// The value of a field of a hash.
fn text_of(field: &str, value: &Bytes) -> Result<Value> {
    let text = std::str::from_utf8(value).map_err(|_| {
        Error::invalid_input(format!("the field {field:?} is no UTF-8 text; leave it out of what is read"))
    })?;
    Ok(text.into())
}

impl Reader for RedisReader {
    fn read(&self) -> BoxStream<Document> {
        let documents = self.documents().map_err(at(READ));
        match self.limit {
            Some(limit) => documents.take(limit).boxed(),
            None => documents.boxed(),
        }
    }
}

impl fmt::Debug for RedisReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisReader")
            .field("source", &self.source)
            .field("fields", &self.shape.fields().collect::<Vec<_>>())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
