//! Pages of several statements, one statement after the other, some of them read ahead.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use store_core::Result;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinSet;

use super::CassandraReader;
use crate::config::CassandraConsistency;
use crate::session::{Call, Class, Row, Rows, Value};
use crate::space::Space;

/// Statements that are read at the same time.
const AHEAD: usize = 4;
/// Bytes that a page should have.
const PAGE_BYTES: usize = 1 << 20;
/// Rows that a page has at most.
const PAGE_ROWS: usize = 1_000;
/// What a row is taken to have as long as none was seen.
const ROW_BYTES: usize = 16 << 10;

/// A statement, whose answer is one part of what is read.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) statement: Arc<str>,
    pub(super) values: Vec<Value>,
    /// The last token of the range that it is about, and of those that were read before it.
    pub(super) upto: i64,
    /// The page that it begins with, and how many rows that has at least.
    pub(super) from: Option<Vec<u8>>,
    pub(super) first: usize,
}

/// A page of a part.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) rows: Rows,
    /// Where Cassandra began it.
    pub(super) state: Option<Vec<u8>>,
    pub(super) upto: i64,
}

/// How pages are asked for.
#[derive(Clone, Debug)]
struct How {
    space: Arc<Space>,
    consistency: Option<CassandraConsistency>,
    /// Rows of a page, where the caller has said how many.
    rows: Option<usize>,
    /// At most so many.
    most: usize,
    /// The bytes of a row, as pages so far had them.
    row_bytes: Arc<AtomicUsize>,
}

impl How {
    fn rows(&self) -> i32 {
        let fitting = PAGE_BYTES / self.row_bytes.load(Ordering::Relaxed).max(1);
        let rows = self.rows.unwrap_or(fitting.clamp(1, PAGE_ROWS)).min(self.most);
        i32::try_from(rows).unwrap_or(i32::MAX)
    }

    async fn page(&self, part: &Part, state: Option<Vec<u8>>, least: usize) -> Result<Page> {
        let rows = self.rows().max(i32::try_from(least).unwrap_or(i32::MAX));
        let mut call = Call::new(Class::Read, &*part.statement, part.values.clone()).with_page(rows);
        if let Some(consistency) = self.consistency {
            call = call.with_consistency(consistency);
        }
        if let Some(state) = &state {
            call = call.after(state.clone());
        }
        let rows = self.space.run(call).await?;
        let size = |row: Row<'_>| row.cells().map(|cell| cell.map_or(0, <[u8]>::len) + 4).sum::<usize>();
        let bytes: usize = rows.iter().map(size).sum();
        if let Some(each) = bytes.checked_div(rows.len()) {
            self.row_bytes.store(each, Ordering::Relaxed);
        }
        Ok(Page { rows, state, upto: part.upto })
    }

    /// Reads page after page into the returned end of a channel.
    fn read(self, part: Part, tasks: &mut JoinSet<()>) -> Receiver<Result<Page>> {
        let (pages, receiver) = channel(1);
        tasks.spawn(async move {
            let (mut state, mut least) = (part.from.clone(), part.first);
            loop {
                let page = self.page(&part, state.take(), std::mem::take(&mut least)).await;
                state = page.as_ref().ok().and_then(|page| page.rows.next()).map(<[u8]>::to_vec);
                if pages.send(page).await.is_err() || state.is_none() {
                    return;
                }
            }
        });
        receiver
    }
}

/// The pages of parts, in order.
#[derive(Debug)]
pub(super) struct Pages {
    how: How,
    /// Parts that nobody reads yet.
    rest: VecDeque<Part>,
    /// Those that are being read.
    reading: VecDeque<Receiver<Result<Page>>>,
    /// They end when this is dropped.
    tasks: JoinSet<()>,
}

impl Pages {
    pub(super) fn new(reader: &CassandraReader, parts: Vec<Part>) -> Self {
        // Rows that are left out do not count.
        let most = reader.limit.filter(|_| reader.shape.takes_every_record());
        let how = How {
            space: Arc::clone(&reader.space),
            consistency: reader.consistency,
            rows: reader.page_size,
            most: most.unwrap_or(usize::MAX).max(1),
            row_bytes: Arc::new(AtomicUsize::new(ROW_BYTES)),
        };
        Self { how, rest: parts.into(), reading: VecDeque::new(), tasks: JoinSet::new() }
    }

    /// The next page; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Page>> {
        loop {
            while self.reading.len() < AHEAD
                && let Some(part) = self.rest.pop_front()
            {
                let pages = self.how.clone().read(part, &mut self.tasks);
                self.reading.push_back(pages);
            }
            let Some(reading) = self.reading.front_mut() else { return Ok(None) };
            if let Some(page) = reading.recv().await {
                return page.map(Some);
            }
            self.reading.pop_front();
            while self.tasks.try_join_next().is_some() {}
        }
    }

    /// Lets go of what is being read.
    pub(super) fn stop(&mut self) {
        self.tasks.abort_all();
        self.reading.clear();
        self.rest.clear();
    }
}
