//! Aggregations with typed results.

use std::marker::PhantomData;
use std::time::Duration;

use bson::raw::RawDocumentBuf;
use bson::{Bson, Document};
use futures::{StreamExt as _, stream};
use mongodb::Cursor;
use mongodb::options::{AggregateOptions, Collation, Hint, ReadConcern as DriverConcern};
use serde::de::DeserializeOwned;
use store_core::{BoxStream, Error, Result};

use crate::MongoBackend;
use crate::config::{ReadConcern, ReadPreference};
use crate::error::{from_driver, server_code, timed_out};
use crate::python_text::python_str;
use crate::target::{Target, criteria};

const AGGREGATE: &str = "aggregation.run";
/// What a server may need to say that the time is over.
const GRACE: Duration = Duration::from_secs(5);

/// An aggregation of one collection, whose results are read one by one as a type of yours.
///
/// Stages are MongoDB's own documents; [`stage`] builds those that hold names or values from outside.
///
/// ```no_run
/// # use store_mongodb::{DateRange, MongoBackend, MongoConfig};
/// use bson::doc;
/// use futures::TryStreamExt;
/// use serde::Deserialize;
/// use store_mongodb::stage;
///
/// #[derive(Debug, Deserialize)]
/// struct Total {
///     #[serde(rename = "_id")]
///     country: String,
///     sum: f64,
/// }
///
/// # async fn totals(country: &str) -> store_core::Result<()> {
/// let store = MongoBackend::connect(MongoConfig::new("mongodb://localhost/shop")).await?;
/// let may = DateRange::parse("2024-05-01T00:00:00Z", "2024-06-01T00:00:00Z")?;
/// let mut totals = store
///     .aggregation("orders")
///     .stage(stage::dates("sold_at", may)?)
///     .stage(stage::equals("country", country)?)
///     .stage(doc! {"$group": {"_id": "$country", "sum": {"$sum": "$price"}}})
///     .with_allow_disk_use(true)
///     .stream::<Total>();
/// while let Some(total) = totals.try_next().await? {
///     println!("{total:?}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MongoAggregation {
    target: Target,
    stages: Vec<Document>,
    options: AggregateOptions,
    collation: Option<Document>,
}

impl MongoBackend {
    /// An aggregation of a collection of the store's database; see [`MongoAggregation`].
    #[must_use]
    pub fn aggregation(&self, collection: impl Into<String>) -> MongoAggregation {
        MongoAggregation::new(Target::new(&self.space, collection))
    }
}

impl MongoAggregation {
    pub(crate) fn new(target: Target) -> Self {
        Self { target, stages: Vec::new(), options: AggregateOptions::default(), collation: None }
    }

    /// Aggregates in another database of the same server.
    #[must_use]
    pub fn in_database(mut self, database: impl Into<String>) -> Self {
        self.target.database = Some(database.into());
        self
    }

    /// Adds a stage.
    #[must_use]
    pub fn stage(mut self, stage: Document) -> Self {
        self.stages.push(stage);
        self
    }

    /// Adds stages.
    #[must_use]
    pub fn stages(mut self, stages: impl IntoIterator<Item = Document>) -> Self {
        self.stages.extend(stages);
        self
    }

    /// Whether stages that need more than 100 MB may write to the server's disk; default as the server is set, which
    /// from 6.0 on is yes.
    #[must_use]
    pub fn with_allow_disk_use(mut self, allow: bool) -> Self {
        self.options.allow_disk_use = Some(allow);
        self
    }

    /// How many results the server sends at a time. Default: as many as 16 MB hold.
    #[must_use]
    pub fn with_batch_size(mut self, results: u32) -> Self {
        self.options.batch_size = Some(results);
        self
    }

    /// How long the server may work; then it ends with `Timeout`. May be longer than the store's timeout of one call.
    #[must_use]
    pub fn with_max_time(mut self, time: Duration) -> Self {
        self.options.max_time = Some(time);
        self
    }

    /// A comment, to find the aggregation by in the server's log and profiler.
    #[must_use]
    pub fn with_comment(mut self, comment: impl Into<String>) -> Self {
        self.options.comment = Some(Bson::String(comment.into()));
        self
    }

    /// The name of the index to use; one that is not there is an error.
    #[must_use]
    pub fn with_index(mut self, name: impl Into<String>) -> Self {
        self.options.hint = Some(Hint::Name(name.into()));
        self
    }

    /// How texts compare, as MongoDB writes it: `{"locale": "pl", "strength": 1}`.
    #[must_use]
    pub fn with_collation(mut self, collation: Document) -> Self {
        self.collation = Some(collation);
        self
    }

    /// Which writes are seen; default as the connection says.
    #[must_use]
    pub fn with_read_concern(mut self, concern: ReadConcern) -> Self {
        self.options.read_concern = Some(match concern {
            ReadConcern::Local => DriverConcern::local(),
            ReadConcern::Available => DriverConcern::available(),
            ReadConcern::Majority => DriverConcern::majority(),
            ReadConcern::Linearizable => DriverConcern::linearizable(),
        });
        self
    }

    /// Which members of a replica set serve it; default as the connection says.
    #[must_use]
    pub fn with_read_preference(mut self, preference: ReadPreference) -> Self {
        self.options.selection_criteria = Some(criteria(preference));
        self
    }

    /// The results, one by one. One that is no `T` is an error that names it, and the next ones follow.
    #[must_use]
    pub fn stream<T: DeserializeOwned + Send + 'static>(&self) -> BoxStream<T> {
        let results =
            Results { aggregation: self.clone(), cursor: None, place: 0, kind: PhantomData::<fn() -> T> };
        stream::unfold(Some(results), |results| async move { results?.next().await }).boxed()
    }

    /// The first result; `None` when there is none.
    pub async fn first<T: DeserializeOwned + Send + 'static>(&self) -> Result<Option<T>> {
        self.stream().next().await.transpose()
    }

    /// Runs to the end and looks at no result: for an aggregation that ends in `$out` or `$merge`.
    pub async fn run(&self) -> Result<()> {
        let at = self.target.at(AGGREGATE);
        let mut cursor = self.open().await.map_err(&at)?;
        while self.call(cursor.advance()).await.map_err(&at)? {}
        Ok(())
    }

    async fn open(&self) -> Result<Cursor<RawDocumentBuf>> {
        let mut options = self.options.clone();
        if let Some(collation) = &self.collation {
            let collation: Collation =
                bson::deserialize_from_document(collation.clone()).map_err(|error| {
                    Error::invalid_input(format!("the collation is none of MongoDB's: {error}"))
                        .with_source(error)
                })?;
            options.collation = Some(collation);
        }
        let collection = self.target.collection::<RawDocumentBuf>()?;
        let aggregate = collection.aggregate(self.stages.clone()).with_options(options);
        self.call(aggregate.with_type::<RawDocumentBuf>()).await
    }

    async fn call<T>(&self, call: impl IntoFuture<Output = mongodb::error::Result<T>>) -> Result<T> {
        let space = &self.target.space;
        let limit = self.options.max_time.map(|time| time + GRACE);
        let answer = match limit.filter(|limit| *limit > space.config.operation_timeout) {
            None => space.call(call).await,
            Some(limit) => match tokio::time::timeout(limit, call.into_future()).await {
                Ok(answer) => answer.map_err(from_driver),
                Err(_) => Err(timed_out(limit)),
            },
        };
        answer.map_err(explained)
    }
}

/// An aggregation under way.
struct Results<T> {
    aggregation: MongoAggregation,
    cursor: Option<Cursor<RawDocumentBuf>>,
    place: u64,
    kind: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Results<T> {
    /// The next result and the rest, which is `None` once nothing can be read any more.
    async fn next(mut self) -> Option<(Result<T>, Option<Self>)> {
        match self.advance().await {
            Ok(false) => None,
            Ok(true) => {
                let result = self.read().map_err(self.aggregation.target.at(AGGREGATE));
                self.place += 1;
                Some((result, Some(self)))
            }
            Err(error) => Some((Err(self.aggregation.target.at(AGGREGATE)(error)), None)),
        }
    }

    async fn advance(&mut self) -> Result<bool> {
        let cursor = match &mut self.cursor {
            Some(cursor) => cursor,
            none => none.insert(self.aggregation.open().await?),
        };
        self.aggregation.call(cursor.advance()).await
    }

    fn read(&self) -> Result<T> {
        let Some(cursor) = &self.cursor else { return Err(Error::corrupt("there is no result")) };
        let result = cursor.current();
        bson::deserialize_from_slice(result.as_bytes()).map_err(|error| {
            let name = std::any::type_name::<T>();
            let message = format!("result {} can not be read as {name}: {error}", self.place);
            let id = result.get("_id").ok().flatten().and_then(|id| python_str(id).ok());
            let refused = Error::corrupt(message).with_source(error);
            match id {
                Some(id) => refused.with_key(id),
                None => refused,
            }
        })
    }
}

/// Says what to do about an aggregation that needs more memory than it may have.
fn explained(error: Error) -> Error {
    if server_code(&error) == Some(292) {
        let message = "a stage needs more than 100 MB of memory; let it use the disk by with_allow_disk_use(true), or \
                       give it less by a match or an index before it";
        return Error::new(store_core::ErrorKind::LimitExceeded, message).with_source(error);
    }
    error
}

/// Stages made of names and values from outside: names are checked, and values stay values whatever they hold.
pub mod stage {
    use bson::{Bson, Document, doc};
    use store_core::{Error, ErrorKind, Filter, Order, Result};

    use crate::date_range::DateRange;
    use crate::field_path;
    use crate::filter::{Place, translate};

    /// `$match`: the field equals the value, or is a list with such an element. A document is compared whole, also
    /// one that looks like an operator.
    pub fn equals(field: &str, value: impl Into<Bson>) -> Result<Document> {
        field_path::check("field", field)?;
        Ok(doc! {"$match": {field: {"$eq": value.into()}}})
    }

    /// `$match`: the field is a date in the range.
    pub fn dates(field: &str, range: DateRange) -> Result<Document> {
        Ok(doc! {"$match": range.on(field)?})
    }

    /// `$match`: the document matches the filter, whose keys are paths in it. `Unsupported` for a filter that the
    /// server can not answer wholly (`imatches` with a small sigma).
    pub fn filter(filter: &Filter) -> Result<Document> {
        filter.validate()?;
        filter.keys().into_iter().try_for_each(|key| field_path::check("field of the filter", key))?;
        let translated = translate(filter, Place::Root);
        match translated.rest {
            None => Ok(doc! {"$match": translated.matches}),
            Some(rest) => Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "the server can not answer {rest} exactly, and an aggregation has no one to finish it"
                ),
            )),
        }
    }

    /// `$sort` by these fields, the first one first.
    pub fn sort<'a>(fields: impl IntoIterator<Item = (&'a str, Order)>) -> Result<Document> {
        let mut keys = Document::new();
        for (field, order) in fields {
            field_path::check("field", field)?;
            keys.insert(field, if order == Order::Descending { -1 } else { 1 });
        }
        if keys.is_empty() {
            return Err(Error::invalid_input("there is no field to sort by"));
        }
        Ok(doc! {"$sort": keys})
    }

    /// `$limit`: the first so many; `InvalidInput` for 0, which the server refuses.
    pub fn limit(count: u32) -> Result<Document> {
        if count == 0 {
            return Err(Error::invalid_input("a limit is at least 1"));
        }
        Ok(doc! {"$limit": i64::from(count)})
    }

    /// `$sortByCount`: how many documents have each value of the field, as `{_id, count}`, most frequent first.
    pub fn count_by(field: &str) -> Result<Document> {
        Ok(doc! {"$sortByCount": path(field)?})
    }

    /// The field in an expression: `$field`.
    pub fn path(field: &str) -> Result<String> {
        field_path::check("field", field)?;
        Ok(format!("${field}"))
    }

    /// A value in an expression, where a text that begins with `$` would be a field otherwise.
    #[must_use]
    pub fn literal(value: impl Into<Bson>) -> Document {
        doc! {"$literal": value.into()}
    }
}
