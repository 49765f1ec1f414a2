//! A reading under way.

use std::borrow::Cow;
use std::sync::Arc;

use store_core::filter::lookup;
use store_core::kit::records::ended_after;
use store_core::{Cursor, Document, Error, ErrorKind, Result, ScanOptions};

use super::pages::{self, Pages};
use super::place::{self, Key, Place, damaged};
use super::record::Record;
use super::statement::Statement;
use super::table::Table;
use super::{CassandraReader, READ, Source};
use crate::error::at;
use crate::kv::CassandraKvStore;
use crate::kv_scan::Scan;

/// A reading under way.
#[derive(Debug)]
pub(super) struct Reading {
    reader: CassandraReader,
    begun: Option<Begun>,
    /// After what was given of pages before the one in hand.
    place: Option<Place>,
    left: Option<usize>,
    ended: bool,
}

#[derive(Debug)]
enum Begun {
    Collection(Scan),
    Rows(Box<Rows>),
}

/// Rows that are being read.
#[derive(Debug)]
struct Rows {
    pages: Pages,
    /// Columns of the primary key that come first in each row; `None` for a statement.
    key: Option<usize>,
    /// The columns that the id is made of.
    id: Vec<String>,
    record: Option<Record>,
    /// A page of which some rows were given before.
    resumed: Option<place::Page>,
    page: Option<pages::Page>,
    /// Rows of it that were looked at.
    at: usize,
}

impl Rows {
    fn new(pages: Pages, id: Vec<String>) -> Self {
        Self { pages, key: None, id, record: None, resumed: None, page: None, at: 0 }
    }

    /// The place after the rows that were looked at, if that is one in the page in hand.
    fn place(&self) -> Option<Place> {
        let page = self.page.as_ref()?;
        let row = page.rows.get(self.at.checked_sub(1)?)?;
        Some(match self.key {
            Some(columns) => Place::Row(Key::of(row.cells().take(columns), page.upto)),
            None => Place::Page(place::Page::after(page.state.as_deref(), self.at, row)),
        })
    }

    /// Goes to the next page; `false` at the end.
    async fn turn(&mut self, reader: &CassandraReader) -> Result<bool> {
        self.page = None;
        self.at = 0;
        self.page = self.pages.next().await?;
        let Some(page) = &self.page else { return Ok(false) };
        if self.record.is_none() {
            self.record = Some(Record::new(reader, page.rows.columns(), &self.id));
        }
        if let Some(resumed) = self.resumed.take() {
            self.at = resumed.given(&page.rows);
        }
        Ok(true)
    }

    /// The next row of the page in hand as a document, if there is one.
    fn row(&mut self, reader: &CassandraReader) -> Option<Result<Option<Document>>> {
        let row = self.page.as_ref()?.rows.get(self.at)?;
        self.at += 1;
        Some(self.record.as_ref()?.document(reader, row))
    }
}

impl Reading {
    pub(super) fn new(reader: CassandraReader) -> Self {
        let left = reader.limit;
        Self { reader, begun: None, place: None, left, ended: false }
    }

    /// The next document; `None` once nothing can be read any more.
    pub(super) async fn next(&mut self) -> Option<Result<Document>> {
        while !self.ended && self.left != Some(0) {
            match self.step().await {
                Ok(None) => {}
                Ok(Some(row)) => {
                    self.left = self.left.map(|left| left - 1);
                    return Some(row.map_err(|error| self.named(error)));
                }
                Err(error) => return Some(Err(self.end(error))),
            }
        }
        None
    }

    /// The place after what was given.
    pub(super) fn cursor(&self) -> Cursor {
        Cursor::encode(&self.reader.definition(), &self.place())
    }

    fn place(&self) -> Option<Place> {
        let in_hand = match &self.begun {
            Some(Begun::Rows(rows)) => rows.place(),
            _ => None,
        };
        in_hand.or_else(|| self.place.clone())
    }

    /// Looks at the next record, or goes to the next page. What is wrong with one record is told in its place; all else
    /// ends the reading.
    async fn step(&mut self) -> Result<Option<Result<Document>>> {
        // Nothing is given any more after the store was closed.
        self.reader.space.driver().session()?;
        if self.begun.is_none() {
            self.begun = Some(self.begin().await?);
        }
        match &mut self.begun {
            Some(Begun::Collection(scan)) => {
                let (key, value) = match scan.next().await {
                    Ok(Some(entry)) => entry,
                    Ok(None) => {
                        self.ended = true;
                        return Ok(None);
                    }
                    Err(error) => {
                        let key = error.key().filter(|_| error.kind() == ErrorKind::Corrupt);
                        let Some(key) = key.map(str::to_owned) else { return Err(error) };
                        self.place = Some(Place::Key(key));
                        return Ok(Some(Err(error)));
                    }
                };
                let find = |path: &str| Ok(lookup(&value, path).map(Cow::Borrowed));
                let document = self.reader.shape.document(&key, self.reader.source.name(), find);
                self.place = Some(Place::Key(key));
                Ok(document.transpose())
            }
            Some(Begun::Rows(rows)) => {
                if let Some(row) = rows.row(&self.reader) {
                    return Ok(row.transpose());
                }
                if let Some(place) = rows.place() {
                    self.place = Some(place);
                }
                self.ended = !rows.turn(&self.reader).await?;
                Ok(None)
            }
            None => Ok(None),
        }
    }

    async fn begin(&mut self) -> Result<Begun> {
        let reader = &self.reader;
        reader.check()?;
        if let Some(cursor) = &reader.after {
            self.place = cursor.decode(&reader.definition())?;
        }
        match &reader.source {
            Source::Collection(collection) => {
                let mut options = ScanOptions::default();
                options.after = match &self.place {
                    None => reader.after_id.clone(),
                    Some(Place::Key(key)) => Some(key.clone()),
                    Some(_) => return Err(damaged()),
                };
                let store = CassandraKvStore::new(Arc::clone(&reader.space));
                Scan::new(store, collection, options).map(Begun::Collection)
            }
            Source::Table { keyspace, name } => {
                let after = match &self.place {
                    None => None,
                    Some(Place::Row(key)) => Some(key),
                    Some(_) => return Err(damaged()),
                };
                let keyspace = keyspace.as_deref().unwrap_or(&reader.space.keyspace);
                let table = Table::look(&reader.space, keyspace, name).await?;
                let wanted = table.wanted(reader)?;
                let parts = table.parts(reader, &wanted, after).await?;
                let key: Vec<String> = table.key().map(str::to_owned).collect();
                let columns = key.len();
                let id = reader.id_field.clone().map_or(key, |field| vec![field]);
                let mut rows = Rows::new(Pages::new(reader, parts), id);
                rows.key = Some(columns);
                Ok(Begun::Rows(Box::new(rows)))
            }
            Source::Statement { text, parameters } => {
                let from = match &self.place {
                    None => None,
                    Some(Place::Page(page)) => Some(page.clone()),
                    Some(_) => return Err(damaged()),
                };
                let statement = Statement::of(reader, text, parameters, from.as_ref()).await?;
                let mut rows = Rows::new(Pages::new(reader, vec![statement.part]), statement.id);
                rows.resumed = from;
                Ok(Begun::Rows(Box::new(rows)))
            }
        }
    }

    fn named(&self, error: Error) -> Error {
        at(READ)(error).with_collection(self.reader.source.name())
    }

    /// Ends the reading with an error, which says where to go on.
    fn end(&mut self, error: Error) -> Error {
        self.ended = true;
        let begun = self.place().is_some() && self.begun.is_some();
        if let Some(Begun::Rows(rows)) = &mut self.begun {
            rows.pages.stop();
        }
        let error = if begun { ended_after(error, &self.cursor()) } else { error };
        self.named(error)
    }
}
