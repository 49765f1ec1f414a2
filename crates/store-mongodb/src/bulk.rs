//! Writes of many documents at once, with an exact account of what failed.
//!
//! New documents are inserted (some three times the speed of upserts on a real server), existing ones replaced
//! (three times the speed of inserts that fail). The driver has no helper that sends many replacements to a server
//! before 8.0, so they go as an `update` command of our own.

use std::borrow::Borrow;

use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{Document, doc};
use mongodb::error::{ErrorKind as Driver, IndexedWriteError};
use mongodb::options::{Acknowledgment, WriteConcern};
use mongodb::{ClientSession, Collection};
use store_core::kit::batches::cut;
use store_core::{Error, ErrorKind, Result};

use crate::codec::{DocumentWriter, Index};
use crate::error::{DUPLICATE, by_code, from_driver, not_confirmed};
use crate::space::Space;

/// Documents in one request; the server takes 100,000.
const MAX_COUNT: usize = 1_000;
/// Bytes of documents in one request. A command takes 16 MB, with what stands around the documents; but the driver
/// holds three copies of a request while it is sent.
const MAX_BYTES: usize = 4 << 20;
/// How often an upsert that raced with another for the same new key is sent again.
const UPSERT_ROUNDS: usize = 8;

/// A write that the server refused: which of the documents, and why.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) index: usize,
    code: i32,
    message: String,
}

impl Refused {
    /// Whether a document with the same key (`_id` or another unique one) is there.
    pub(crate) fn is_duplicate(&self) -> bool {
        self.code == DUPLICATE
    }

    /// Our error for it.
    pub(crate) fn error(&self) -> Error {
        let (kind, message) = by_code(self.code, &self.message);
        Error::new(kind, message)
    }
}

/// Cuts documents into requests that the server takes, in order.
pub(crate) fn requests<D: Borrow<RawDocumentBuf>>(documents: &[D]) -> impl Iterator<Item = &[D]> {
    cut(documents, MAX_COUNT, MAX_BYTES, |document| document.borrow().as_bytes().len())
}

/// The batch size with which so many documents come in one answer: a server that may send just as many as there are
/// does not say that these are all, and is asked once more.
pub(crate) fn one_batch(documents: usize) -> u32 {
    u32::try_from(documents).map_or(u32::MAX, |documents| documents.saturating_add(1))
}

/// Inserts the documents of one request, in any order; answers those that were refused. The driver repeats it once
/// if the connection fails, and the server then writes nothing twice.
pub(crate) async fn insert(
    space: &Space,
    collection: &Collection<RawDocumentBuf>,
    documents: &[RawDocumentBuf],
) -> Result<Vec<Refused>> {
    let inserted = space.try_call(collection.insert_many(documents).ordered(false)).await?;
    let Err(failure) = inserted else { return Ok(Vec::new()) };
    match failure.kind.as_ref() {
        Driver::InsertMany(many) if many.write_concern_error.is_none() => {
            let refused = |error: &IndexedWriteError| Refused {
                index: error.index,
                code: error.code,
                message: error.message.clone(),
            };
            Ok(many.write_errors.iter().flatten().map(refused).collect())
        }
        _ => Err(from_driver(failure)),
    }
}

/// What became of the documents of a request.
#[derive(Debug, Default)]
pub(crate) struct Replaced {
    /// How many were new.
    pub(crate) new: usize,
    /// How many were new or there before.
    matched: usize,
    /// Which were refused.
    pub(crate) refused: Vec<Refused>,
}

/// Puts the documents of one request in place of those with their `_id`, or inserts them; in any order.
///
/// The driver does not repeat such a command when the connection fails; we do, once: it replaces whole documents,
/// so that written twice is written once.
pub(crate) async fn replace(
    space: &Space,
    collection: &Collection<RawDocumentBuf>,
    documents: &[RawDocumentBuf],
) -> Result<Replaced> {
    let mut open: Vec<usize> = (0..documents.len()).collect();
    let mut replaced = Replaced::default();
    for round in 0..UPSERT_ROUNDS {
        let statements: Vec<_> = open.iter().filter_map(|place| documents.get(*place)).collect();
        let answer = match send_updates(space, collection, &statements).await {
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                send_updates(space, collection, &statements).await?
            }
            answer => answer?,
        };
        replaced.new += answer.new;
        replaced.matched += answer.matched;
        let mut again = Vec::new();
        for refused in answer.refused {
            let Some(place) = open.get(refused.index).copied() else { continue };
            // Two upserts of one new key may both try to insert it; the second try finds it.
            if refused.is_duplicate() && round + 1 < UPSERT_ROUNDS {
                again.push(place);
            } else {
                replaced.refused.push(Refused { index: place, ..refused });
            }
        }
        open = again;
        if open.is_empty() {
            break;
        }
    }
    Ok(replaced)
}

/// Puts documents in place of those with their `_id`, all of them, in a transaction.
pub(crate) async fn replace_in(
    space: &Space,
    collection: &Collection<RawDocumentBuf>,
    documents: &[&RawDocumentBuf],
    session: &mut ClientSession,
) -> Result<()> {
    let command = update_command(collection, documents, false)?;
    let database = space.client()?.database(&collection.namespace().db);
    let answer = account(&space.call(database.run_raw_command(command).session(session)).await?)?;
    answer.refused.first().map_or(Ok(()), |refused| Err(refused.error()))
}

/// A document that must still be as it was, and what takes its place, if anything does.
pub(crate) type Change<'a> = (&'a RawDocumentBuf, Option<&'a RawDocumentBuf>);

/// Matches a document that is still what it was, in values, order of members, and size: numbers of one value are
/// equal to the server, but an int32 takes fewer bytes than any other.
pub(crate) fn same(old: &RawDocument) -> Result<RawDocumentBuf> {
    let mut filter = DocumentWriter::with_capacity(old.as_bytes().len() + 192);
    filter.text("_id", id(old)?)?;
    filter.open_object("$expr")?;
    filter.open_array("$and")?;
    // The size first: it settles most without a comparison.
    filter.open_object("0")?;
    filter.open_array("$eq")?;
    filter.open_object("0")?;
    filter.text("$bsonSize", "$$ROOT")?;
    filter.close();
    filter.integer("1", i64::try_from(old.as_bytes().len()).unwrap_or(i64::MAX))?;
    filter.close();
    filter.close();
    filter.open_object("1")?;
    filter.open_array("$eq")?;
    filter.text("0", "$$ROOT")?;
    filter.open_object("1")?;
    filter.document("$literal", old)?;
    filter.close();
    filter.close();
    filter.close();
    filter.close();
    filter.close();
    filter.finish()
}

/// Makes the changes whose old document is still there, in one request for those that replace and one for those that
/// remove; answers how many were made. The server does not say which. It is not repeated when the connection fails.
pub(crate) async fn change(
    space: &Space,
    collection: &Collection<RawDocumentBuf>,
    changes: &[Change<'_>],
) -> Result<usize> {
    let (new, gone): (Vec<Change<'_>>, Vec<Change<'_>>) =
        changes.iter().copied().partition(|(_, new)| new.is_some());
    let database = space.client()?.database(&collection.namespace().db);
    let mut made = 0;
    for (name, statements, changes) in [("update", "updates", new), ("delete", "deletes", gone)] {
        if changes.is_empty() {
            continue;
        }
        let mut command = DocumentWriter::new();
        command.text(name, collection.name())?;
        command.open_array(statements)?;
        let mut index = Index::new();
        for (old, new) in changes {
            command.open_object(index.text())?;
            command.document("q", &same(old)?)?;
            match new {
                Some(new) => command.document("u", new)?,
                None => command.integer("limit", 1)?,
            }
            command.close();
            index.advance();
        }
        command.close();
        command.flag("ordered", false)?;
        if let Some(concern) = concern(collection)? {
            command.document("writeConcern", &concern)?;
        }
        let answer = account(&space.call(database.run_raw_command(command.finish()?)).await?)?;
        if let Some(first) = answer.refused.first() {
            return Err(first.error());
        }
        made += answer.matched;
    }
    Ok(made)
}

async fn send_updates(
    space: &Space,
    collection: &Collection<RawDocumentBuf>,
    documents: &[&RawDocumentBuf],
) -> Result<Replaced> {
    let command = update_command(collection, documents, true)?;
    let database = space.client()?.database(&collection.namespace().db);
    account(&space.call(database.run_raw_command(command)).await?)
}

fn update_command(
    collection: &Collection<RawDocumentBuf>,
    documents: &[&RawDocumentBuf],
    with_concern: bool,
) -> Result<RawDocumentBuf> {
    let bytes: usize = documents.iter().map(|document| document.as_bytes().len() + 128).sum();
    let mut command = DocumentWriter::with_capacity(bytes + 256);
    command.text("update", collection.name())?;
    command.open_array("updates")?;
    let mut index = Index::new();
    for document in documents {
        command.open_object(index.text())?;
        command.open_object("q")?;
        command.text("_id", id(document)?)?;
        command.close();
        command.document("u", document)?;
        command.flag("upsert", true)?;
        command.close();
        index.advance();
    }
    command.close();
    command.flag("ordered", false)?;
    if with_concern && let Some(concern) = concern(collection)? {
        command.document("writeConcern", &concern)?;
    }
    command.finish()
}

/// What the server says became of an update command.
fn account(answer: &Document) -> Result<Replaced> {
    if let Some(error) = not_confirmed(answer) {
        return Err(error);
    }
    let refused = answer.get_array("writeErrors").into_iter().flatten().filter_map(|error| {
        let error = error.as_document()?;
        Some(Refused {
            index: usize::try_from(error.get_i32("index").ok()?).ok()?,
            code: error.get_i32("code").ok()?,
            message: error.get_str("errmsg").unwrap_or_default().to_owned(),
        })
    });
    let new = answer.get_array("upserted").map_or(0, Vec::len);
    let matched =
        answer.get_i32("n").ok().and_then(|matched| usize::try_from(matched).ok()).unwrap_or_default();
    Ok(Replaced { new, matched, refused: refused.collect() })
}

/// Writes documents over those that are there; an error says in `failed` which were not written for sure. Each
/// request takes the way that suited the one before: inserts while the keys are new, replacements while they are not.
pub(crate) async fn upsert(
    space: &Space,
    collection: &Collection<RawDocumentBuf>,
    documents: &[RawDocumentBuf],
) -> Result<()> {
    let known = format!("replaced {}", collection.namespace());
    if let [document] = documents {
        let put = upsert_one(space, collection, document, &known);
        return put.await.map_err(|error| failed(error, documents));
    }
    let mut done = 0;
    for request in requests(documents) {
        let rest = documents.get(done..).unwrap_or_default();
        let insert = !space.known.has(&known);
        let answer = if insert {
            insert_or_replace(space, collection, request).await
        } else {
            replace(space, collection, request).await
        };
        let answer = answer.map_err(|error| failed(error, rest))?;
        // A quarter of replacements costs as much by the one way as by the other.
        space.known.set(&known, answer.new * 4 < request.len() * 3);
        done += request.len();
        if let Some(first) = answer.refused.first() {
            let lost = answer.refused.iter().filter_map(|refused| request.get(refused.index));
            let unsent = documents.get(done..).unwrap_or_default();
            return Err(failed(first.error(), lost.chain(unsent)));
        }
    }
    Ok(())
}

/// As [`upsert`], of one document. That one was new says less than that many were: where one was not, the next is
/// replaced.
async fn upsert_one(
    space: &Space,
    collection: &Collection<RawDocumentBuf>,
    document: &RawDocumentBuf,
    known: &str,
) -> Result<()> {
    if !space.known.has(known) {
        match insert(space, collection, std::slice::from_ref(document)).await?.first() {
            None => return Ok(()),
            Some(refused) if refused.is_duplicate() => space.known.set(known, true),
            Some(refused) => return Err(refused.error()),
        }
    }
    let replace = collection.replace_one(doc! {"_id": id(document)?}, document).upsert(true);
    space.call(replace).await.map(drop)
}

/// Inserts the new ones and replaces the others.
async fn insert_or_replace(
    space: &Space,
    collection: &Collection<RawDocumentBuf>,
    documents: &[RawDocumentBuf],
) -> Result<Replaced> {
    let refused = insert(space, collection, documents).await?;
    let new = documents.len() - refused.len();
    let (existing, mut refused): (Vec<_>, Vec<_>) = refused.into_iter().partition(Refused::is_duplicate);
    if !existing.is_empty() {
        let places: Vec<usize> = existing.iter().map(|existing| existing.index).collect();
        let again: Vec<RawDocumentBuf> =
            places.iter().filter_map(|place| documents.get(*place).cloned()).collect();
        for mut late in replace(space, collection, &again).await?.refused {
            late.index = places.get(late.index).copied().unwrap_or_default();
            refused.push(late);
        }
    }
    Ok(Replaced { new, matched: documents.len() - refused.len(), refused })
}

/// Names documents in an error, by their keys.
pub(crate) fn failed<'a>(error: Error, documents: impl IntoIterator<Item = &'a RawDocumentBuf>) -> Error {
    let keys = documents.into_iter().filter_map(|document| id(document).ok());
    error.with_failed(keys)
}

/// The `_id` of a document of ours, which is text.
pub(crate) fn id(document: &RawDocument) -> Result<&str> {
    document.get_str("_id").map_err(|error| {
        Error::corrupt(format!("a stored document has no text as its _id: {error}")).with_source(error)
    })
}

/// The write concern for a command of our own, to which the driver adds none: the collection's, else majority.
fn concern(collection: &Collection<RawDocumentBuf>) -> Result<Option<RawDocumentBuf>> {
    let majority = WriteConcern::builder().w(Acknowledgment::Majority).build();
    let concern = collection.write_concern().unwrap_or(&majority);
    let concern = bson::serialize_to_raw_document_buf(concern)
        .map_err(|error| Error::config("the write concern can not be encoded").with_source(error))?;
    Ok((!concern.is_empty()).then_some(concern))
}
