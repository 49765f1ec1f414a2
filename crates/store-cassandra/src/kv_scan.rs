//! Reading a whole collection of key-values: its buckets in order, the keys of each in order. Some buckets are read
//! ahead, each at most two pages.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::vec::IntoIter;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::kit::check;
use store_core::{JsonObject, Result, ScanOptions};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinSet;

use crate::codec::text;
use crate::kv::CassandraKvStore;
use crate::kv_layout::{KEY_VALUES, MAX_KEY_BYTES, after_prefix, bucket, decode, partition};
use crate::runs::READS;
use crate::session::{Call, Class, Rows};
use crate::space::Space;

/// Buckets that are read at the same time.
const AHEAD: usize = 8;
/// Bytes that a page should have.
const PAGE_BYTES: usize = 1 << 20;
/// Rows that a page has at most.
const PAGE_ROWS: usize = 1_000;
/// What a row is taken to have as long as none was seen.
const ROW_BYTES: usize = 16 << 10;
/// Rows of a page without values.
const COUNT_ROWS: i32 = 5_000;

/// The rows of one bucket.
#[derive(Clone, Debug)]
struct Bucket {
    space: Arc<Space>,
    collection: Arc<str>,
    number: i32,
    /// The first key, and whether it is left out.
    from: Option<(String, bool)>,
    /// The first key that is not read any more.
    to: Option<String>,
    /// The bytes of a row, as pages so far had them.
    row_bytes: Arc<AtomicUsize>,
}

/// Keys and values, as they are stored.
type Page = Vec<(String, String)>;

impl Bucket {
    fn call(&self, table: &str, rows: i32, state: Option<&[u8]>) -> Call {
        let mut values = partition(&self.collection, self.number);
        let mut select = format!("SELECT key, value FROM {table} WHERE collection = ? AND bucket = ?");
        if let Some((from, without)) = &self.from {
            select += if *without { " AND key > ?" } else { " AND key >= ?" };
            values.push(text(from.as_str()));
        }
        if let Some(to) = &self.to {
            select += " AND key < ?";
            values.push(text(to.as_str()));
        }
        let call = Call::new(Class::Read, select, values).with_page(rows);
        match state {
            Some(state) => call.after(state.to_vec()),
            None => call,
        }
    }

    async fn page(&self, state: Option<&[u8]>) -> Result<Rows> {
        let rows = PAGE_BYTES / self.row_bytes.load(Ordering::Relaxed).max(1);
        let rows = i32::try_from(rows.clamp(1, PAGE_ROWS)).unwrap_or(1);
        self.space.on(&KEY_VALUES, |table| self.call(table, rows, state)).await
    }

    /// Reads page after page into the returned end of a channel.
    fn read(self, tasks: &mut JoinSet<()>) -> Receiver<Result<Page>> {
        let (pages, receiver) = channel(1);
        tasks.spawn(async move {
            let mut state = None;
            loop {
                let page = self.page(state.as_deref()).await;
                let page = page.and_then(|rows| {
                    state = rows.next().map(<[u8]>::to_vec);
                    self.entries(&rows)
                });
                let ended = state.is_none() || page.is_err();
                if pages.send(page).await.is_err() || ended {
                    return;
                }
            }
        });
        receiver
    }

    fn entries(&self, rows: &Rows) -> Result<Page> {
        let mut page = Vec::with_capacity(rows.len());
        let mut bytes = 0;
        for row in rows.iter() {
            // The mark of a deletion may stand alone.
            if let Some(value) = row.text("value")? {
                let key = row.needed_text("key")?;
                bytes += key.len() + value.len();
                page.push((key.to_owned(), value.to_owned()));
            }
        }
        if !page.is_empty() {
            self.row_bytes.store(bytes / page.len(), Ordering::Relaxed);
        }
        Ok(page)
    }
}

/// A scan of a collection.
#[derive(Debug)]
pub(crate) struct Scan {
    store: CassandraKvStore,
    collection: Arc<str>,
    options: ScanOptions,
    /// `None` until the first is asked for.
    begun: Option<Begun>,
}

/// A scan under way.
#[derive(Debug)]
struct Begun {
    /// Buckets that nobody reads yet.
    rest: VecDeque<Bucket>,
    /// Those that are being read.
    reading: VecDeque<Receiver<Result<Page>>>,
    /// They end when this is dropped.
    tasks: JoinSet<()>,
    page: IntoIter<(String, String)>,
}

impl Scan {
    pub(crate) fn new(store: CassandraKvStore, collection: &str, options: ScanOptions) -> Result<Self> {
        CassandraKvStore::check(collection, [])?;
        if let Some(after) = options.after.as_deref() {
            check::within("key", after, after.len(), MAX_KEY_BYTES)?;
        }
        Ok(Self { store, collection: collection.into(), options, begun: None })
    }

    async fn begin(&self) -> Result<Begun> {
        let ScanOptions { prefix, after, .. } = &self.options;
        let after = after.as_deref().filter(|after| !after.is_empty());
        let buckets = self.store.buckets().await?;
        let first = after.map_or(0, |after| bucket(after, buckets));
        let row_bytes = Arc::new(AtomicUsize::new(ROW_BYTES));
        let mut rest = VecDeque::new();
        // No key is longer than the limit, so none has such a prefix.
        let numbers = if prefix.len() > MAX_KEY_BYTES { 0..0 } else { first..i32::from(buckets) };
        for number in numbers {
            let with_prefix = (!prefix.is_empty()).then(|| (prefix.clone(), false));
            let from = match after.filter(|after| number == first && *after >= prefix.as_str()) {
                Some(after) => Some((after.to_owned(), true)),
                None => with_prefix,
            };
            rest.push_back(Bucket {
                space: Arc::clone(&self.store.space),
                collection: Arc::clone(&self.collection),
                number,
                from,
                to: after_prefix(prefix),
                row_bytes: Arc::clone(&row_bytes),
            });
        }
        Ok(Begun { rest, reading: VecDeque::new(), tasks: JoinSet::new(), page: Vec::new().into_iter() })
    }

    /// The next entry; `Unavailable` once the store is closed.
    pub(crate) async fn next(&mut self) -> Result<Option<(String, JsonObject)>> {
        self.store.space.driver().session()?;
        if self.begun.is_none() {
            self.begun = Some(self.begin().await?);
        }
        let Some(begun) = &mut self.begun else { return Ok(None) };
        loop {
            if let Some((key, stored)) = begun.page.next() {
                let value = decode(&key, &stored)?;
                return Ok(Some((key, value)));
            }
            while begun.reading.len() < AHEAD
                && let Some(bucket) = begun.rest.pop_front()
            {
                begun.reading.push_back(bucket.read(&mut begun.tasks));
            }
            let Some(reading) = begun.reading.front_mut() else { return Ok(None) };
            if let Some(page) = reading.recv().await {
                begun.page = page?.into_iter();
            } else {
                begun.reading.pop_front();
                while begun.tasks.try_join_next().is_some() {}
            }
        }
    }
}

/// How many keys of a collection have a value; no value is read.
pub(crate) async fn count(store: &CassandraKvStore, collection: &str) -> Result<usize> {
    CassandraKvStore::check(collection, [])?;
    let buckets = i32::from(store.buckets().await?);
    let counts = stream::iter(0..buckets).map(|bucket| count_bucket(store, collection, bucket));
    counts.buffer_unordered(READS).try_fold(0, |sum, count| async move { Ok(sum + count) }).await
}

async fn count_bucket(store: &CassandraKvStore, collection: &str, bucket: i32) -> Result<usize> {
    let mut state: Option<Vec<u8>> = None;
    let mut count = 0;
    loop {
        let call = |table: &str| {
            let select = format!(
                "SELECT WRITETIME(value) AS written FROM {table} WHERE collection = ? AND bucket = ?"
            );
            let call = Call::new(Class::Read, select, partition(collection, bucket)).with_page(COUNT_ROWS);
            match &state {
                Some(state) => call.after(state.clone()),
                None => call,
            }
        };
        let rows = store.space.on(&KEY_VALUES, call).await?;
        for row in rows.iter() {
            count += usize::from(row.integer("written")?.is_some());
        }
        state = rows.next().map(<[u8]>::to_vec);
        if state.is_none() {
            return Ok(count);
        }
    }
}
