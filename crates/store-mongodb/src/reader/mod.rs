//! Reading collections of any kind as documents, as LlamaIndex's `SimpleMongoReader` does.

mod rows;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bson::raw::{RawBson, RawBsonRef, RawDocument, RawDocumentBuf};
use bson::{Bson, Document as BsonDocument, doc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use mongodb::options::FindOptions;
use serde_json::Value;
use store_core::kit::records::{Record, RecordShape};
use store_core::{BoxStream, Cursor, Document, Error, Filter, JsonObject, Reader, Result};

use crate::MongoBackend;
use crate::batches::BATCH;
use crate::codec::damaged;
use crate::config::ReadPreference;
use crate::field_path;
use crate::python_text::python_str;
use crate::target::{Target, criteria};
use rows::Rows;

const READ: &str = "reader.read";

type Extractor = Arc<dyn Fn(&Value) -> Result<String> + Send + Sync>;

/// Reads any collection as documents: the text from some fields, metadata from others.
///
/// It does what LlamaIndex's `SimpleMongoReader` does, and gives the same ids and texts: a document's id is
/// Python's `str(_id)` (24 hex digits for an `ObjectId`), a text is `str` of each field's value, joined by the
/// separator. Beyond that, names of fields may be paths (`author.name`, `tags.0`; through a list of documents a
/// path finds a list), and values in the metadata are clean JSON: an `ObjectId` is its hex digits, a date RFC 3339
/// in UTC, bytes base64, a UUID and a Decimal128 that is no integer their own text.
///
/// Documents come in the order of their `_id`, which makes a reading resumable: after a lost connection, or when
/// the server closed the cursor because the consumer took more than its ten minutes, the reader goes on by itself
/// after the last document it gave. One that has to give up says in its error which document it gave last. From the
/// second batch on, the next one is fetched while one is read: no more than these two are held. A stream that is
/// dropped ends its query on the server.
///
/// ```no_run
/// # use store_mongodb::{MongoBackend, MongoConfig, MissingField};
/// use bson::doc;
/// use futures::TryStreamExt;
/// use store_core::Reader;
///
/// # async fn read() -> store_core::Result<()> {
/// let store = MongoBackend::connect(MongoConfig::new("mongodb://localhost/shop")).await?;
/// let reader = store
///     .reader("products")
///     .with_fields(["title", "details.description"])
///     .with_separator("\n")
///     .with_metadata(["price", "details.maker"])
///     .with_query(doc! {"on_sale": true})
///     .with_missing(MissingField::LeaveOut);
/// let mut documents = reader.read();
/// while let Some(document) = documents.try_next().await? {
///     println!("{}: {}", document.id, document.text_content());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MongoReader {
    pub(crate) target: Target,
    shape: RecordShape,
    /// Fields whose text is made by a function.
    extractors: HashMap<String, Extractor>,
    query: BsonDocument,
    pub(crate) filter: Option<Filter>,
    limit: Option<usize>,
    pub(crate) batch_size: Option<u32>,
    natural_order: bool,
    after: Option<Cursor>,
    after_id: Option<Bson>,
    pub(crate) read_preference: Option<ReadPreference>,
}

impl MongoBackend {
    /// A reader of a collection of the store's database; see [`MongoReader`]. Nothing is sent before the first
    /// document is asked for.
    #[must_use]
    pub fn reader(&self, collection: impl Into<String>) -> MongoReader {
        MongoReader {
            target: Target::new(&self.space, collection),
            shape: RecordShape::default(),
            extractors: HashMap::new(),
            query: BsonDocument::new(),
            filter: None,
            limit: None,
            batch_size: None,
            natural_order: false,
            after: None,
            after_id: None,
            read_preference: None,
        }
    }
}

impl MongoReader {
    store_core::record_options!();

    /// Reads in another database of the same server. Default: the store's own, which for a store without a
    /// namespace is that of key-values and documents.
    #[must_use]
    pub fn in_database(mut self, database: impl Into<String>) -> Self {
        self.target.database = Some(database.into());
        self
    }

    /// Makes a field's text by a function of its value as JSON instead of Python's `str`; a field that is not yet
    /// among [`with_fields`](Self::with_fields) is added to them. An error of the function names the document.
    #[must_use]
    pub fn with_extractor(
        mut self,
        field: impl Into<String>,
        extractor: impl Fn(&Value) -> Result<String> + Send + Sync + 'static,
    ) -> Self {
        let field = field.into();
        self.shape.add_field(&field);
        self.extractors.insert(field, Arc::new(extractor));
        self
    }

    /// Reads only what this query of MongoDB's own finds, operators and all: never put a text of a user's into it
    /// but as a value under `$eq`. For conditions that are safe to build from input there is
    /// [`with_filter`](Self::with_filter).
    #[must_use]
    pub fn with_query(mut self, query: BsonDocument) -> Self {
        self.query = query;
        self
    }

    /// As [`with_query`](Self::with_query), from MongoDB's extended JSON (`{"_id": {"$oid": "…"}}`).
    ///
    /// # Errors
    /// `InvalidInput` for what is no extended JSON.
    pub fn with_json_query(mut self, query: JsonObject) -> Result<Self> {
        self.query = serde_json::from_value(Value::Object(query)).map_err(|error| {
            Error::invalid_input(format!("the query is no extended JSON of MongoDB's: {error}"))
                .with_source(error)
        })?;
        Ok(self)
    }

    /// Reads only what matches this filter, whose keys are paths in the stored documents (`author.name`). A timestamp
    /// compares with the server's own dates and with texts of one; a text never equals an `ObjectId`, which
    /// [`with_query`](Self::with_query) finds. The server answers it, by its indexes where it has them. With a query,
    /// both must match.
    #[must_use]
    pub fn with_filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// At most this many documents; default all.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// How many documents the server sends at a time; the reader holds two such batches at most. Default
    /// 1,000, or as many as 16 MB hold.
    #[must_use]
    pub fn with_batch_size(mut self, documents: u32) -> Self {
        self.batch_size = Some(documents);
        self
    }

    /// Reads in the order in which the server keeps the documents, as Python, which may be somewhat faster for a
    /// whole collection. Such a reading can not be resumed, and a lost connection ends it.
    #[must_use]
    pub fn in_natural_order(mut self) -> Self {
        self.natural_order = true;
        self
    }

    /// Begins after the document of this `_id`, which may have any type, and need not exist any more. Ids come in
    /// the server's order: numbers, then texts, documents, bytes, object ids, bools, dates.
    #[must_use]
    pub fn after_id(mut self, id: impl Into<Bson>) -> Self {
        self.after_id = Some(id.into());
        self
    }

    /// Begins after the place that [`read_resumable`](Self::read_resumable) gave with a document. It is bound to what is
    /// read: another collection, query or filter is `InvalidInput`; fields, metadata and limit may differ.
    #[must_use]
    pub fn after(mut self, place: Cursor) -> Self {
        self.after = Some(place);
        self
    }

    /// Which members of a replica set serve the reading; default as the store's connection says.
    #[must_use]
    pub fn with_read_preference(mut self, preference: ReadPreference) -> Self {
        self.read_preference = Some(preference);
        self
    }

    /// The documents, each with the place after it, to store and to go on from with [`after`](Self::after).
    /// `InvalidInput` with [`in_natural_order`](Self::in_natural_order).
    #[must_use]
    pub fn read_resumable(&self) -> BoxStream<(Document, Cursor)> {
        if self.natural_order {
            let message = "a reading in natural order can not be resumed; read in the order of the ids";
            let error = self.target.at(READ)(Error::invalid_input(message));
            return stream::iter([Err(error)]).boxed();
        }
        let query = self.query_text();
        let place = move |id: RawBson| {
            let mut place = RawDocumentBuf::new();
            place.append(bson::raw::cstr!("_id"), id);
            Cursor::encode(&query, &STANDARD.encode(place.as_bytes()))
        };
        self.rows().map_ok(move |(document, id)| (document, place(id))).boxed()
    }

    /// What must stay the same from one reading to the next.
    fn query_text(&self) -> String {
        let filter = self.filter.as_ref().map(ToString::to_string);
        format!("{:?} {} {} {filter:?}", self.target.database, self.target.collection, self.query)
    }

    fn rows(&self) -> BoxStream<(Document, RawBson)> {
        let rows = Box::new(Rows::new(self.clone()));
        stream::unfold(rows, |mut rows| async move { Some((rows.next().await?, rows)) }).boxed()
    }

    /// Everything that the caller can get wrong.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |message: &str| Err(Error::invalid_input(message));
        if self.after.is_some() && self.after_id.is_some() {
            return refuse("there are two places to begin after; give one");
        }
        if self.natural_order && (self.after.is_some() || self.after_id.is_some()) {
            return refuse(
                "a reading in natural order has no place to begin after; read in the order of the ids",
            );
        }
        for path in self.paths() {
            field_path::check("field", path)?;
        }
        if let Some(filter) = &self.filter {
            filter.validate()?;
            filter.keys().into_iter().try_for_each(|key| field_path::check("field of the filter", key))?;
        }
        Ok(())
    }

    pub(crate) fn has_query(&self) -> bool {
        !self.query.is_empty()
    }

    /// The id to begin after.
    fn begins_after(&self) -> Result<Option<Bson>> {
        let Some(place) = &self.after else { return Ok(self.after_id.clone()) };
        let broken = || Error::invalid_input("the place to go on from is damaged; begin again without one");
        let text: String = place.decode(&self.query_text())?;
        let bytes = STANDARD.decode(text).map_err(|error| broken().with_source(error))?;
        let document = RawDocumentBuf::from_bytes(bytes).map_err(|error| broken().with_source(error))?;
        let id = document.get("_id").ok().flatten().and_then(|id| Bson::try_from(id).ok());
        id.map(Some).ok_or_else(broken)
    }

    /// The paths of all that is read.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.shape.fields()
    }

    fn find_options(&self, left: Option<usize>, rest: Option<&Filter>) -> FindOptions {
        let mut options = FindOptions::default();
        options.projection = Some(projection(self.paths().chain(rest.map(Filter::keys).unwrap_or_default())));
        options.sort = (!self.natural_order).then(|| doc! {"_id": 1});
        // A filter may serve better than the index on _id; its documents are then sorted, on disk if they must be.
        options.allow_disk_use = (!self.natural_order).then_some(true);
        options.batch_size = Some(self.batch_size.unwrap_or(BATCH));
        options.selection_criteria = self.read_preference.map(criteria);
        if self.shape.takes_every_record() && rest.is_none() {
            options.limit = left.and_then(|left| i64::try_from(left).ok());
        }
        options
    }

    /// A stored document as one of ours; `None` when it is to be left out.
    pub(crate) fn document(&self, stored: &RawDocument) -> Result<Option<(Document, RawBson)>> {
        let raw_id = stored.get("_id").map_err(damaged)?.unwrap_or(RawBsonRef::Null);
        let id = python_str(raw_id)?;
        let record = Stored { document: stored, extractors: &self.extractors };
        let document = self.shape.document_of(&id, &self.target.collection, &record)?;
        Ok(document.map(|document| (document, RawBson::from(raw_id))))
    }
}

/// A stored document, whose texts are those of Python.
struct Stored<'a> {
    document: &'a RawDocument,
    extractors: &'a HashMap<String, Extractor>,
}

impl Record for Stored<'_> {
    fn push_text(&self, field: &str, text: &mut String) -> Result<bool> {
        let Some(found) = field_path::lookup(self.document, field)? else { return Ok(false) };
        match self.extractors.get(field) {
            Some(extractor) => text.push_str(&extractor(&found.to_json()?)?),
            None => found.push_text(text)?,
        }
        Ok(true)
    }

    fn value(&self, field: &str) -> Result<Option<Value>> {
        field_path::lookup(self.document, field)?.map(|found| found.to_json()).transpose()
    }
}

/// Reads these paths, and no path within another.
pub(crate) fn projection<'a>(paths: impl Iterator<Item = &'a str>) -> BsonDocument {
    let paths: Vec<&str> = paths.map(field_path::projected).collect();
    let inside = |path: &str, other: &str| path.strip_prefix(other).is_some_and(|rest| rest.starts_with('.'));
    let mut projection = doc! {"_id": 1};
    for path in &paths {
        if *path != "_id" && !paths.iter().any(|other| inside(path, other)) && !path.starts_with("_id.") {
            projection.insert(*path, 1);
        }
    }
    projection
}

impl Reader for MongoReader {
    fn read(&self) -> BoxStream<Document> {
        self.rows().map_ok(|(document, _)| document).boxed()
    }
}

impl fmt::Debug for MongoReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoReader")
            .field("database", &self.target.database)
            .field("collection", &self.target.collection)
            .field("fields", &self.shape.fields().collect::<Vec<_>>())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
