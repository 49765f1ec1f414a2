//! Reading rows as documents: a collection of key-values, a whole table, what a statement selects.

mod pages;
mod place;
mod reading;
mod record;
mod statement;
mod table;

use std::fmt;
use std::sync::Arc;

use futures::{StreamExt as _, stream};
use serde_json::Value;
use store_core::kit::records::RecordShape;
use store_core::{BoxStream, Cursor, Document, Error, Reader, Result};

use crate::CassandraBackend;
use crate::config::CassandraConsistency;
use crate::space::Space;
use reading::Reading;

const READ: &str = "reader.read";
/// Ranges of tokens that a table is read in, unless the caller says otherwise.
const SEGMENTS: usize = 128;
/// The most: each is a request at least.
const MAX_SEGMENTS: usize = 1_000_000;

/// What is read.
#[derive(Clone, Debug)]
enum Source {
    /// Key-values of this store.
    Collection(String),
    /// All rows of a table.
    Table { keyspace: Option<String>, name: String },
    /// What a statement selects.
    Statement { text: String, parameters: Vec<Value> },
}

impl Source {
    fn name(&self) -> &str {
        match self {
            Self::Collection(name) | Self::Table { name, .. } => name,
            Self::Statement { .. } => "CQL",
        }
    }
}

/// Reads what stands in Cassandra as documents: the text from some columns, metadata from others.
///
/// | made by | reads | a document's id | order |
/// |---|---|---|---|
/// | [`CassandraBackend::reader`] | key-values of a collection | the key | by bucket, then by key |
/// | [`CassandraBackend::table_reader`] | a whole table, by ranges of tokens | the primary key | by token, then as the table clusters its rows |
/// | [`CassandraBackend::cql_reader`] | what a `SELECT` finds | the primary key, where it is selected | the statement's |
///
/// The order is the same at every reading, however many ranges are read at once. A field is the name of a column, or a
/// path from a column into its map, user-defined type or object (`author.name`); of a collection a path in the value. A
/// column that is null is missing. What JSON has no type for is a text as CQL writes it (`uuid`, `decimal`, `timestamp`,
/// `0x…` for a `blob`), and a value that is no text has Python's `str` in the document's text. The id of a row is its
/// primary key, the parts joined by `/`, with `%2F` for a slash and `%25` for a percent sign in all but the last. A field
/// that is no column is refused before the first document. LlamaIndex has no reader for Cassandra; the settings are
/// those of our other readers.
///
/// **Memory**: pages of about 1 MB and 1,000 rows at most, two of each range that is being read, four ranges at a time,
/// and the page in hand. A page is as many rows as were 1 MB so far, since Cassandra counts a page in rows.
///
/// **Going on**: [`read_resumable`](Self::read_resumable) gives a place with each document, to be kept and given to
/// [`after`](Self::after); an error in the middle names it, too. A reading that goes on gives each row that is there all
/// the time, and none twice: of a table it goes on after the row's key, whether the row is still there or not. Of a
/// statement it goes on at the page that Cassandra knows, and a page that has changed meanwhile comes again; the
/// statement's own `LIMIT` is counted on, not anew.
///
/// ```no_run
/// # use store_cassandra::{CassandraBackend, CassandraConfig, MissingField};
/// use futures::TryStreamExt;
///
/// # async fn read(config: CassandraConfig) -> store_core::Result<()> {
/// let store = CassandraBackend::connect(config).await?;
/// let reader = store
///     .table_reader("articles")
///     .with_fields(["title", "body"])
///     .with_separator("\n")
///     .with_metadata(["author.name", "published"])
///     .with_missing(MissingField::LeaveOut);
/// let mut documents = reader.read_resumable();
/// while let Some((document, place)) = documents.try_next().await? {
///     println!("{}: {} (go on after {place})", document.id, document.text_content());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CassandraReader {
    space: Arc<Space>,
    source: Source,
    shape: RecordShape,
    id_field: Option<String>,
    segments: usize,
    consistency: Option<CassandraConsistency>,
    limit: Option<usize>,
    page_size: Option<usize>,
    after: Option<Cursor>,
    after_id: Option<String>,
}

impl CassandraBackend {
    /// A reader of a collection of key-values of this store; see [`CassandraReader`]. Nothing is sent before the first
    /// document is asked for.
    #[must_use]
    pub fn reader(&self, collection: impl Into<String>) -> CassandraReader {
        self.reader_of(Source::Collection(collection.into()))
    }

    /// A reader of a whole table, or a materialized view, of the store's keyspace, whoever made it. The name is taken as
    /// it is: capital letters count.
    ///
    /// ```no_run
    /// # async fn read(store: store_cassandra::CassandraBackend) -> store_core::Result<()> {
    /// use futures::TryStreamExt;
    /// use store_core::Reader;
    ///
    /// let reader = store.table_reader("articles").in_keyspace("shop").with_fields(["body"]).with_id_field("slug");
    /// let mut documents = reader.read();
    /// while let Some(document) = documents.try_next().await? {
    ///     println!("{}", document.id);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn table_reader(&self, table: impl Into<String>) -> CassandraReader {
        self.reader_of(Source::Table { keyspace: None, name: table.into() })
    }

    /// A reader of what a statement finds. It is parsed, and refused before anything is sent unless it is one `SELECT`
    /// that only reads; values go as parameters, by [`with_parameters`](CassandraReader::with_parameters).
    ///
    /// The statement must select what ids and fields are made of. One without the whole partition key in its `WHERE`
    /// reads the whole table, or an index. A table without keyspace is one of the store's keyspace only if the session
    /// uses it: name both.
    ///
    /// ```no_run
    /// # async fn read(store: store_cassandra::CassandraBackend) -> store_core::Result<()> {
    /// use futures::TryStreamExt;
    /// use serde_json::json;
    /// use store_core::Reader;
    ///
    /// let statement = "SELECT topic, day, body FROM shop.news WHERE topic = ? AND day >= ?";
    /// let reader = store.cql_reader(statement).with_parameters([json!("cats"), json!("2026-01-01")]);
    /// let mut documents = reader.with_fields(["body"]).read();
    /// while let Some(document) = documents.try_next().await? {
    ///     println!("{}", document.id);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn cql_reader(&self, statement: impl Into<String>) -> CassandraReader {
        self.reader_of(Source::Statement { text: statement.into(), parameters: Vec::new() })
    }

    fn reader_of(&self, source: Source) -> CassandraReader {
        CassandraReader {
            space: Arc::clone(&self.space),
            source,
            shape: RecordShape::default(),
            id_field: None,
            segments: SEGMENTS,
            consistency: None,
            limit: None,
            page_size: None,
            after: None,
            after_id: None,
        }
    }
}

impl CassandraReader {
    store_core::record_options!();

    /// The column that is a document's id; default the primary key. Not of a collection, whose ids are its keys.
    #[must_use]
    pub fn with_id_field(mut self, field: impl Into<String>) -> Self {
        self.id_field = Some(field.into());
        self
    }

    /// Reads a table of another keyspace. Of other sources it changes nothing.
    #[must_use]
    pub fn in_keyspace(mut self, keyspace: impl Into<String>) -> Self {
        if let Source::Table { keyspace: own, .. } = &mut self.source {
            *own = Some(keyspace.into());
        }
        self
    }

    /// In how many ranges of tokens a table is read, from 1 to 1,000,000, four at a time; default 128. A range is a
    /// request at least; a table of many gigabytes is read faster in more.
    #[must_use]
    pub fn with_segments(mut self, segments: usize) -> Self {
        self.segments = segments;
        self
    }

    /// How many replicas must answer; default the store's `read_consistency`.
    #[must_use]
    pub fn with_consistency(mut self, consistency: CassandraConsistency) -> Self {
        self.consistency = Some(consistency);
        self
    }

    /// At most this many documents; default all.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// How many rows a page has; default as many as 1 MB holds, 1,000 at most. Not of a collection.
    #[must_use]
    pub fn with_page_size(mut self, rows: usize) -> Self {
        self.page_size = Some(rows);
        self
    }

    /// The values for the question marks of a statement, in order, each as JSON of the type that the statement wants
    /// there. Of other sources there are none.
    #[must_use]
    pub fn with_parameters(mut self, values: impl IntoIterator<Item = impl Into<Value>>) -> Self {
        if let Source::Statement { parameters, .. } = &mut self.source {
            *parameters = values.into_iter().map(Into::into).collect();
        }
        self
    }

    /// Goes on after a place that [`read_resumable`](Self::read_resumable) or an error gave. It is bound to what is read:
    /// another table, statement or parameters are `InvalidInput`; fields, metadata, segments, page size and limit may
    /// differ.
    #[must_use]
    pub fn after(mut self, place: Cursor) -> Self {
        self.after = Some(place);
        self
    }

    /// Begins after this id, which need not exist any more. Of a collection only, else reading is `InvalidInput`.
    #[must_use]
    pub fn after_id(mut self, id: impl Into<String>) -> Self {
        self.after_id = Some(id.into());
        self
    }

    /// The documents, each with the place after it.
    #[must_use]
    pub fn read_resumable(&self) -> BoxStream<(Document, Cursor)> {
        let reading = Box::new(Reading::new(self.clone()));
        let next = |mut reading: Box<Reading>| async move {
            let row = reading.next().await?;
            let row = row.map(|document| (document, reading.cursor()));
            Some((row, reading))
        };
        stream::unfold(reading, next).boxed()
    }

    /// What must stay the same from one reading to the next.
    fn definition(&self) -> String {
        format!("{:?} {}", self.source, self.space.keyspace)
    }

    /// The fields that are looked at.
    fn looked_at(&self) -> impl Iterator<Item = &str> {
        self.shape.fields().chain(self.id_field.as_deref())
    }

    /// What the caller can get wrong.
    fn check(&self) -> Result<()> {
        let refuse = |message: &str| Err(Error::invalid_input(message));
        let collection = matches!(self.source, Source::Collection(_));
        if self.page_size == Some(0) {
            return refuse("the page size is 0; it must be at least 1");
        }
        if !(1..=MAX_SEGMENTS).contains(&self.segments) {
            return refuse("a table is read in 1 to 1,000,000 ranges");
        }
        if self.after.is_some() && self.after_id.is_some() {
            return refuse("there are two places to begin after; give one");
        }
        if self.after_id.is_some() && !collection {
            return refuse(
                "only a collection is read by its ids; go on with the place that read_resumable gave",
            );
        }
        if collection && self.id_field.is_some() {
            return refuse("the ids of a collection are its keys; leave with_id_field out");
        }
        if self.looked_at().any(str::is_empty) { refuse("a field has no name") } else { Ok(()) }
    }
}

impl Reader for CassandraReader {
    fn read(&self) -> BoxStream<Document> {
        let reading = Box::new(Reading::new(self.clone()));
        let next = |mut reading: Box<Reading>| async move { Some((reading.next().await?, reading)) };
        stream::unfold(reading, next).boxed()
    }
}

impl fmt::Debug for CassandraReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CassandraReader")
            .field("source", &self.source.name())
            .field("fields", &self.shape.fields().collect::<Vec<_>>())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
