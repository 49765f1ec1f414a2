//! A reading under way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::vec::IntoIter;

use store_core::kit::records::ended_after;
use store_core::{Cursor, Document, Error, ErrorKind, Result};
use tokio::task::JoinSet;

use super::place::{self, Place};
use super::plan::{Answer, Ask, Plan};
use super::{DynamoDbReader, READ, record};
use crate::codec::Item;
use crate::error::at;
use crate::kv_layout::{is_expired, now};

/// Parts that are read at the same time: each has a page on its way, of 1 MB at most.
pub(super) const AT_ONCE: usize = 8;

/// The page in hand.
#[derive(Debug)]
struct Page {
    part: usize,
    items: IntoIter<Item>,
    next: Place,
}

type Fetched = (usize, Place, Result<Answer>);

/// A reading under way.
#[derive(Debug)]
pub(super) struct Rows {
    reader: DynamoDbReader,
    plan: Option<Arc<Plan>>,
    /// How far each part was read.
    places: Vec<Place>,
    /// Parts that were not begun.
    waiting: VecDeque<usize>,
    /// Pages on their way; that ends when this is dropped.
    ahead: JoinSet<Fetched>,
    page: Option<Page>,
    left: Option<usize>,
    ended: bool,
}

impl Rows {
    pub(super) fn new(reader: DynamoDbReader) -> Self {
        let left = reader.limit;
        Self {
            reader,
            plan: None,
            places: Vec::new(),
            waiting: VecDeque::new(),
            ahead: JoinSet::new(),
            page: None,
            left,
            ended: false,
        }
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
    pub(super) fn place(&self) -> Cursor {
        place::encode(&self.reader.definition(), &self.places)
    }

    /// Looks at the next item, or goes to the next page.
    async fn step(&mut self) -> Result<Option<Result<Document>>> {
        let plan = match &self.plan {
            Some(plan) => Arc::clone(plan),
            None => self.begin().await?,
        };
        // Nothing is given any more after the store was closed.
        self.reader.space.client()?;
        let Some(page) = &mut self.page else {
            self.turn(&plan).await?;
            return Ok(None);
        };
        let part = page.part;
        let Some(item) = page.items.next() else {
            let next = page.next.clone();
            self.page = None;
            self.set(part, next);
            return Ok(None);
        };
        let after = match plan.ask {
            Ask::Execute { .. } => self.places.get(part).cloned().unwrap_or_default().one_more(&item),
            Ask::Query { .. } | Ask::Scan { .. } => Place::after(&item, &plan.place),
        };
        let row = if is_expired(&item, now()) {
            None
        } else {
            record::document(&self.reader, plan.keys.as_ref(), item).await.transpose()
        };
        // Another item may be right where this one is wrong; a fault of the service ends the reading before it.
        if let Some(Err(error)) = &row
            && !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Corrupt)
        {
            return row.transpose().map(|_| None);
        }
        self.set(part, after);
        Ok(row)
    }

    fn set(&mut self, part: usize, place: Place) {
        if let Some(slot) = self.places.get_mut(part) {
            *slot = place;
        }
    }

    async fn begin(&mut self) -> Result<Arc<Plan>> {
        let plan = Arc::new(Plan::of(&self.reader).await?);
        self.places = plan.places(&self.reader)?;
        let open = self.places.iter().enumerate().filter(|(_, place)| **place != Place::End);
        self.waiting = open.map(|(part, _)| part).collect();
        self.ended = plan.nothing;
        self.plan = Some(Arc::clone(&plan));
        Ok(plan)
    }

    /// Takes the next page that has come.
    async fn turn(&mut self, plan: &Arc<Plan>) -> Result<()> {
        while self.ahead.len() < AT_ONCE
            && let Some(part) = self.waiting.pop_front()
        {
            let from = self.places.get(part).cloned().unwrap_or_default();
            self.fetch(plan, part, from);
        }
        let Some(fetched) = self.ahead.join_next().await else {
            self.ended = true;
            return Ok(());
        };
        let (part, from, answer) = fetched.map_err(|error| {
            let message = "the reading was cut off as its runtime ended";
            Error::new(ErrorKind::Unavailable, message).with_retryable(false).with_source(error)
        })?;
        let Answer { mut items, next } = answer?;
        let given = from.given(&items);
        items.drain(..given);
        self.set(part, if given == 0 { from.at_its_begin() } else { from });
        // Who wants a few does not pay for what comes after them.
        let enough = self.left.is_some_and(|left| left <= items.len());
        if next != Place::End {
            if enough {
                self.waiting.push_front(part);
            } else {
                self.fetch(plan, part, next.clone());
            }
        }
        self.page = Some(Page { part, items: items.into_iter(), next });
        Ok(())
    }

    fn fetch(&mut self, plan: &Arc<Plan>, part: usize, from: Place) {
        let plan = Arc::clone(plan);
        // Items that are left out do not count.
        let most = self.left.filter(|_| self.reader.takes_every_item());
        self.ahead.spawn(async move {
            let answer = plan.fetch(part, &from, most).await;
            (part, from, answer)
        });
    }

    fn named(&self, error: Error) -> Error {
        at(READ)(error).with_collection(self.reader.source.name())
    }

    /// Ends the reading with an error, which says where to go on.
    fn end(&mut self, error: Error) -> Error {
        self.ended = true;
        self.ahead.abort_all();
        let begun = self.places.iter().any(|place| *place != Place::Begin);
        let error = if begun { ended_after(error, &self.place()) } else { error };
        self.named(error)
    }
}
