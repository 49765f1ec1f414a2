//! Reading items as documents: a collection of key-values, a partition, a whole table, the answer to a statement.

mod key;
mod place;
mod plan;
mod record;
mod rows;
mod statement;

use std::fmt;
use std::sync::Arc;

use futures::{StreamExt as _, stream};
use serde_json::Value;
use store_core::kit::records::RecordShape;
use store_core::{BoxStream, Cursor, Document, Filter, Reader};

pub use self::key::{DynamoDbKey, DynamoDbSortKey};
#[cfg(any(test, nodestore_fuzz))]
pub(crate) use self::place::read_cursor;
use self::rows::Rows;
use crate::DynamoDbBackend;
use crate::space::Space;

const READ: &str = "reader.read";
/// Segments of a table, unless the caller says otherwise.
const SEGMENTS: usize = 4;

/// Whether a statement only reads: for the fuzz target.
#[cfg(any(test, nodestore_fuzz))]
pub(crate) fn read_only(statement: &str) -> store_core::Result<()> {
    statement::read_only(statement).map(drop)
}

/// What is read.
#[derive(Clone, Debug)]
enum Source {
    /// Key-values of this store.
    Collection(String),
    /// Items of one partition of a table, or of an index.
    Partition { table: String, key: DynamoDbKey },
    /// All items of a table, or of an index.
    Table(String),
    /// What a statement selects.
    Statement { text: String, parameters: Vec<Value> },
}

impl Source {
    fn name(&self) -> &str {
        match self {
            Self::Collection(name) | Self::Table(name) | Self::Partition { table: name, .. } => name,
            Self::Statement { .. } => "PartiQL",
        }
    }
}

/// Reads what stands in DynamoDB as documents: the text from some fields, metadata from others.
///
/// | made by | reads | a document's id | order |
/// |---|---|---|---|
/// | [`DynamoDbBackend::reader`] | key-values of a collection, by Query | the key | by key |
/// | [`DynamoDbBackend::partition_reader`] | a partition of any table or index, by Query | the item's key | by sort key |
/// | [`DynamoDbBackend::table_reader`] | a whole table or index, by a Scan in segments | the item's key | none |
/// | [`DynamoDbBackend::partiql_reader`] | what a `SELECT` finds | the item's key | the statement's |
///
/// A field is an attribute's name, or a path through maps (`author.name`). A value that is no text has Python's `str`
/// as its text; bytes are base64, sets lists. Values of a collection come as they were stored (2.0 is not 2); items of
/// other tables as Python reads them. The id of an item is its partition key and, where the table has one, its sort key,
/// as `partition/sort`, with `%2F` for a slash in the first.
///
/// **Memory**: a page of 1 MB at most for each segment that is being read, eight at a time, and the one in hand. Pages
/// are fetched ahead; with a limit no further than it.
///
/// **Filters** go to the service as far as it can tell, and what it sends is held against the filter here. It leaves
/// nothing out that matches, and bills what it has looked at, as ever.
///
/// **Going on**: [`read_resumable`](Self::read_resumable) gives a place with each document, to be kept and given to
/// [`after`](Self::after); an error in the middle names it, too. A reading that goes on gives each item that is there
/// all the time, and none twice; of a statement, which the service goes on with at pages only, a page that has changed
/// meanwhile comes again. When the service asks for a slower pace, a page is asked for again until the store's
/// `operation_timeout`.
///
/// ```no_run
/// # use store_dynamodb::{DynamoDbBackend, DynamoDbConfig, DynamoDbSortKey, MissingField};
/// use futures::TryStreamExt;
/// use store_core::filter::field;
///
/// # async fn read(config: DynamoDbConfig) -> store_core::Result<()> {
/// let store = DynamoDbBackend::connect(config).await?;
/// let reader = store
///     .partition_reader("shop", "USER#17")
///     .with_sort_key(DynamoDbSortKey::BeginsWith("ORDER#".into()))
///     .with_fields(["title", "details.description"])
///     .with_separator("\n")
///     .with_metadata(["price"])
///     .with_filter(field("price").gte(10))
///     .with_missing(MissingField::LeaveOut);
/// let mut documents = reader.read_resumable();
/// while let Some((document, place)) = documents.try_next().await? {
///     println!("{}: {} (go on after {place})", document.id, document.text_content());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DynamoDbReader {
    space: Arc<Space>,
    source: Source,
    shape: RecordShape,
    id_field: Option<String>,
    filter: Option<Filter>,
    sort: Option<DynamoDbSortKey>,
    index: Option<String>,
    segments: usize,
    descending: bool,
    consistent: Option<bool>,
    limit: Option<usize>,
    page_size: Option<usize>,
    after: Option<Cursor>,
    after_id: Option<String>,
}

impl DynamoDbBackend {
    /// A reader of a collection of key-values of this store; see [`DynamoDbReader`]. Nothing is sent before the first
    /// document is asked for.
    #[must_use]
    pub fn reader(&self, collection: impl Into<String>) -> DynamoDbReader {
        self.reader_of(Source::Collection(collection.into()), 1)
    }

    /// A reader of one partition of any table, or of one of its indexes, by its partition key.
    #[must_use]
    pub fn partition_reader(
        &self,
        table: impl Into<String>,
        partition: impl Into<DynamoDbKey>,
    ) -> DynamoDbReader {
        self.reader_of(Source::Partition { table: table.into(), key: partition.into() }, 1)
    }

    /// A reader of a whole table, or of one of its indexes: every item is looked at, and paid for.
    ///
    /// ```no_run
    /// # async fn read(store: store_dynamodb::DynamoDbBackend) -> store_core::Result<()> {
    /// use futures::TryStreamExt;
    /// use store_core::Reader;
    ///
    /// let reader = store.table_reader("articles").with_segments(16).with_fields(["body"]).with_id_field("slug");
    /// let mut documents = reader.read();
    /// while let Some(document) = documents.try_next().await? {
    ///     println!("{}", document.id);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn table_reader(&self, table: impl Into<String>) -> DynamoDbReader {
        self.reader_of(Source::Table(table.into()), SEGMENTS)
    }

    /// A reader of what a PartiQL statement finds. It is parsed, and refused before anything is sent unless it is one
    /// `SELECT` that only reads; values go as parameters, by [`with_parameters`](DynamoDbReader::with_parameters).
    ///
    /// The statement must select what ids and fields are made of. One without the partition key in its `WHERE` reads the
    /// whole table.
    ///
    /// ```no_run
    /// # async fn read(store: store_dynamodb::DynamoDbBackend) -> store_core::Result<()> {
    /// use futures::TryStreamExt;
    /// use store_core::Reader;
    ///
    /// let statement = r#"SELECT pk, sk, body FROM "articles" WHERE pk = ? AND begins_with(sk, ?)"#;
    /// let reader = store.partiql_reader(statement).with_parameters(["news", "2026-"]).with_fields(["body"]);
    /// let mut documents = reader.read();
    /// while let Some(document) = documents.try_next().await? {
    ///     println!("{}", document.id);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn partiql_reader(&self, statement: impl Into<String>) -> DynamoDbReader {
        self.reader_of(Source::Statement { text: statement.into(), parameters: Vec::new() }, 1)
    }

    fn reader_of(&self, source: Source, segments: usize) -> DynamoDbReader {
        DynamoDbReader {
            space: Arc::clone(&self.space),
            source,
            shape: RecordShape::default(),
            id_field: None,
            filter: None,
            sort: None,
            index: None,
            segments,
            descending: false,
            consistent: None,
            limit: None,
            page_size: None,
            after: None,
            after_id: None,
        }
    }
}

impl DynamoDbReader {
    store_core::record_options!();

    /// The attribute that is a document's id, a text, a number or bytes; default the item's key.
    #[must_use]
    pub fn with_id_field(mut self, field: impl Into<String>) -> Self {
        self.id_field = Some(field.into());
        self
    }

    /// Only what matches this filter, whose keys are paths in the items (`author.name`). Bytes equal no text. Of a
    /// statement the filter is held against what it finds.
    #[must_use]
    pub fn with_filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Only these sort keys of the partition, or keys of the collection.
    #[must_use]
    pub fn with_sort_key(mut self, sort: DynamoDbSortKey) -> Self {
        self.sort = Some(sort);
        self
    }

    /// Reads an index of the table instead; a partition is then one of the index. What the index does not project is not
    /// there. A global index can not be read consistently, and may have several items of one key.
    #[must_use]
    pub fn with_index(mut self, index: impl Into<String>) -> Self {
        self.index = Some(index.into());
        self
    }

    /// In how many segments a table is read, from 1 to 1,000,000, eight at a time; default 4.
    #[must_use]
    pub fn with_segments(mut self, segments: usize) -> Self {
        self.segments = segments;
        self
    }

    /// The greatest sort key first.
    #[must_use]
    pub fn in_descending_order(mut self) -> Self {
        self.descending = true;
        self
    }

    /// Whether the reading sees every write that was answered before it, at twice the price; default as the store's
    /// `consistent_reads`.
    #[must_use]
    pub fn with_consistent_reads(mut self, consistent: bool) -> Self {
        self.consistent = Some(consistent);
        self
    }

    /// At most this many documents; default all.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// How many items the service looks at for a page; default as many as 1 MB holds.
    #[must_use]
    pub fn with_page_size(mut self, items: usize) -> Self {
        self.page_size = Some(items);
        self
    }

    /// The values for the question marks of a statement, in order. Of other sources there are none.
    #[must_use]
    pub fn with_parameters(mut self, values: impl IntoIterator<Item = impl Into<Value>>) -> Self {
        if let Source::Statement { parameters, .. } = &mut self.source {
            *parameters = values.into_iter().map(Into::into).collect();
        }
        self
    }

    /// Goes on after a place that [`read_resumable`](Self::read_resumable) or an error gave. It is bound to what is read:
    /// source, index, sort keys, order, filter and segments must be the same, else the reading is `InvalidInput`; fields,
    /// metadata and limit may differ.
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
        let rows = Box::new(Rows::new(self.clone()));
        let next = |mut rows: Box<Rows>| async move {
            let row = rows.next().await?;
            let row = row.map(|document| (document, rows.place()));
            Some((row, rows))
        };
        stream::unfold(rows, next).boxed()
    }

    /// What must stay the same from one reading to the next.
    fn definition(&self) -> String {
        let filter = self.filter.as_ref().map(ToString::to_string);
        format!(
            "{:?} {} {:?} {:?} {} {} {filter:?}",
            self.source, self.space.main, self.index, self.sort, self.descending, self.segments
        )
    }

    /// All attributes and paths that are looked at, besides the keys.
    fn looked_at(&self) -> impl Iterator<Item = &str> {
        let fields = self.shape.fields().chain(self.id_field.as_deref());
        fields.chain(self.filter.as_ref().map(Filter::keys).unwrap_or_default())
    }

    /// Whether each item is a document, or an error.
    fn takes_every_item(&self) -> bool {
        self.filter.is_none() && self.shape.takes_every_record()
    }
}

impl Reader for DynamoDbReader {
    fn read(&self) -> BoxStream<Document> {
        let rows = Box::new(Rows::new(self.clone()));
        stream::unfold(rows, |mut rows| async move { Some((rows.next().await?, rows)) }).boxed()
    }
}

impl fmt::Debug for DynamoDbReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbReader")
            .field("source", &self.source.name())
            .field("index", &self.index)
            .field("fields", &self.shape.fields().collect::<Vec<_>>())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
