//! A reading under way.

use bson::raw::{RawBson, RawDocument, RawDocumentBuf};
use bson::{Bson, Document as BsonDocument, doc};
use store_core::{Document, Error, Filter, Result};

use super::{MongoReader, READ};
use crate::batches::{Batch, Batches};
use crate::codec::{damaged, to_json};
use crate::error::server_code;
use crate::filter::{Place, Translated, translate};
use crate::python_text::python_str;
use crate::target::backoff;

/// How often a read that lost its server or its cursor goes on without having read anything in between.
const ATTEMPTS: u32 = 8;
/// The server's codes of a cursor that is gone: not found, killed.
const LOST_CURSOR: [i32; 2] = [43, 237];

/// The query for the server, and what of the filter is left to us.
struct Plan {
    query: BsonDocument,
    rest: Option<Filter>,
    /// The id to begin after.
    after: Option<Bson>,
}

type Row = Result<(Document, RawBson)>;

/// A reading under way.
pub(super) struct Rows {
    reader: MongoReader,
    plan: Option<Plan>,
    batches: Option<Batches>,
    batch: Option<Batch>,
    /// The last id of the batches before this one.
    last: Option<RawBson>,
    left: Option<usize>,
    /// Attempts in vain since something was read.
    attempt: u32,
    ended: bool,
}

/// What stood next in a batch.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is given away at once")]
enum Taken {
    Row(Row),
    /// A document that does not match, or is to be left out.
    LeftOut,
    BatchEnds,
}

impl Rows {
    pub(super) fn new(reader: MongoReader) -> Self {
        let left = reader.limit;
        Self { reader, plan: None, batches: None, batch: None, last: None, left, attempt: 0, ended: false }
    }

    /// The next document; `None` once nothing can be read any more.
    pub(super) async fn next(&mut self) -> Option<Row> {
        while !self.ended && self.left != Some(0) {
            match self.take() {
                Ok(Taken::Row(row)) => {
                    self.left = self.left.map(|left| left - 1);
                    return Some(row.map_err(|error| self.reader.target.at(READ)(error)));
                }
                Ok(Taken::LeftOut) => {}
                Ok(Taken::BatchEnds) => match self.fetch().await {
                    Ok(more) => self.ended = !more,
                    Err(error) if self.heals(&error) => {
                        self.batches = None;
                        tokio::time::sleep(backoff(self.attempt)).await;
                        self.attempt += 1;
                        tracing::debug!(
                            attempt = self.attempt,
                            "the reading lost its cursor and goes on with a new one"
                        );
                    }
                    Err(error) => return Some(Err(self.end(error))),
                },
                Err(error) => return Some(Err(self.end(error))),
            }
        }
        None
    }

    /// Takes the next document of the batch.
    fn take(&mut self) -> Result<Taken> {
        let (Some(batch), Some(plan)) = (&mut self.batch, &self.plan) else { return Ok(Taken::BatchEnds) };
        // Nothing is given any more after the store was closed.
        self.reader.target.space.client()?;
        let Some(stored) = batch.take()? else { return Ok(Taken::BatchEnds) };
        self.attempt = 0;
        let matches = |rest: &Filter| to_json(stored).map(|json| rest.matches(&json));
        let row = match plan.rest.as_ref().map_or(Ok(true), matches) {
            Ok(true) => self.reader.document(stored),
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        Ok(row.transpose().map_or(Taken::LeftOut, Taken::Row))
    }

    /// Goes to the next batch; `false` when there is none.
    async fn fetch(&mut self) -> Result<bool> {
        if let Some(last) = self.last_id()? {
            self.last = Some(last);
        }
        self.batch = None;
        let batches = match &mut self.batches {
            Some(batches) => batches,
            none => {
                let plan = match &mut self.plan {
                    Some(plan) => plan,
                    none => none.insert(plan(&self.reader)?),
                };
                let last = self.last.clone().map(Bson::try_from).transpose().map_err(damaged)?;
                let query = after(plan.query.clone(), last.or_else(|| plan.after.clone()));
                let options = self.reader.find_options(self.left, plan.rest.as_ref());
                let collection = self.reader.target.collection::<RawDocumentBuf>()?;
                let space = &self.reader.target.space;
                none.insert(Batches::open(space, collection, query, options).await?)
            }
        };
        self.batch = batches.next().await?;
        Ok(self.batch.is_some())
    }

    /// The id of the last document taken of this batch.
    fn last_id(&self) -> Result<Option<RawBson>> {
        let stored: Option<&RawDocument> = self.batch.as_ref().map_or(Ok(None), Batch::last)?;
        Ok(stored.and_then(|stored| stored.get("_id").ok().flatten()).map(RawBson::from))
    }

    /// Whether a new cursor after the last document may go on where this one failed.
    fn heals(&self, error: &Error) -> bool {
        let lost_cursor = server_code(error).is_some_and(|code| LOST_CURSOR.contains(&code));
        !self.reader.natural_order && self.attempt < ATTEMPTS && (lost_cursor || error.is_retryable())
    }

    /// Ends the reading with an error, which says where to go on.
    fn end(&mut self, error: Error) -> Error {
        self.ended = true;
        let last = self.last_id().ok().flatten().or_else(|| self.last.clone());
        let last = last.and_then(|id| python_str(id.as_raw_bson_ref()).ok());
        let error = match last.filter(|_| !self.reader.natural_order) {
            Some(last) => {
                let message = format!(
                    "{}; the last document read was {last:?}: begin after it, with after or after_id, to read \
                     the rest",
                    error.message()
                );
                Error::new(error.kind(), message).with_retryable(error.is_retryable()).with_source(error)
            }
            None => error,
        };
        self.reader.target.at(READ)(error)
    }
}

fn plan(reader: &MongoReader) -> Result<Plan> {
    reader.check()?;
    let after = reader.begins_after()?;
    let Some(filter) = &reader.filter else {
        return Ok(Plan { query: reader.query.clone(), rest: None, after });
    };
    let Translated { matches, rest, .. } = translate(filter, Place::Root);
    Ok(Plan { query: both(reader.query.clone(), matches), rest, after })
}

/// The query for what comes after this id. `$expr` compares values of all types as the index does, where `$gt`
/// alone would find only ids of the same type; `$literal` keeps an id that looks like an expression from being one.
fn after(query: BsonDocument, id: Option<Bson>) -> BsonDocument {
    let Some(id) = id else { return query };
    both(query, doc! {"$expr": {"$gt": ["$_id", {"$literal": id}]}})
}

fn both(query: BsonDocument, other: BsonDocument) -> BsonDocument {
    match (query.is_empty(), other.is_empty()) {
        (true, _) => other,
        (_, true) => query,
        _ => doc! {"$and": [query, other]},
    }
}
