//! Reading on a thread of its own, a little ahead of the store.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nodestore::{BoxStream, Document, Error, Result};
use tokio::sync::mpsc;

use super::scope::Naming;
use crate::files;
use crate::formats::{self, Item, Origin, RowOptions};
use crate::progress::Progress;

/// Documents that wait for the store.
const AHEAD: usize = 8;

/// Something to read documents from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    File(files::File),
    /// Its name is the user's, its size nobody's.
    StandardInput(Origin),
}

impl Source {
    /// Bytes in the progress; `None` where they are not known.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::File(file) => Some(file.size),
            Self::StandardInput(_) => None,
        }
    }
}

/// How everything is read.
#[derive(Clone, Debug)]
pub(super) struct How {
    pub(super) naming: Naming,
    pub(super) rows: RowOptions,
    /// Most bytes of a document.
    pub(super) most_bytes: u64,
}

/// Bytes of documents that were read and not stored yet, by id or place, and the bar that shows them when they are.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    progress: Progress,
    waiting: Arc<Mutex<HashMap<String, u64>>>,
}

impl Tally {
    pub(super) fn new(progress: Progress) -> Self {
        Self { progress, waiting: Arc::default() }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expect(&self, key: &str, bytes: u64) {
        *self.waiting().entry(key.to_owned()).or_default() += bytes;
    }

    /// This one is stored, or failed.
    pub(super) fn done(&self, key: &str) {
        let bytes = self.waiting().remove(key).unwrap_or_default();
        self.progress.add(bytes);
    }
}

/// The documents of all sources, one after the other. What can not be read is an error with its place as key.
pub(super) fn documents(sources: Vec<Source>, how: How, tally: Tally) -> BoxStream<Document> {
    let (send, mut receive) = mpsc::channel(AHEAD);
    // Not one of the runtime's threads: the program can end while this one waits for standard input.
    std::thread::spawn(move || {
        for source in sources {
            if read(&source, &how, &tally, &send).is_break() {
                break;
            }
        }
    });
    Box::pin(futures::stream::poll_fn(move |context| receive.poll_recv(context)))
}

fn read(source: &Source, how: &How, tally: &Tally, send: &mpsc::Sender<Result<Document>>) -> ControlFlow<()> {
    let origin = match source {
        Source::File(file) => &how.naming.origin(file),
        Source::StandardInput(origin) => origin,
    };
    let mut left = source.size().unwrap_or(u64::MAX);
    let mut out = |item: Item| {
        let (key, bytes, document) = match item {
            Item::Note(note) => {
                tally.progress.say(format_args!("note: {note}"));
                return ControlFlow::Continue(());
            }
            Item::Document { document, bytes } => (document.id.as_str().to_owned(), bytes, Ok(*document)),
            Item::Failed { place, why, bytes } => {
                let error = Error::invalid_input(why).with_key(&place).with_failed([place.clone()]);
                (place, bytes, Err(error))
            }
        };
        // A file may have grown since it was found.
        let bytes = bytes.min(left);
        left = left.saturating_sub(bytes);
        tally.expect(&key, bytes);
        match send.blocking_send(document) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    };
    let flow = match open(source, how) {
        Ok(reader) => formats::read(reader, origin, &how.rows, how.most_bytes, &mut out),
        Err(why) => out(Item::Failed { place: origin.shown.clone(), why, bytes: 0 }),
    };
    // Headers, blank lines, and what could not be read.
    if source.size().is_some() {
        tally.progress.add(left);
    }
    flow
}

fn open(source: &Source, how: &How) -> std::result::Result<Box<dyn Read + Send>, String> {
    let Source::File(files::File { path, format, .. }) = source else { return Ok(Box::new(io::stdin())) };
    if path.to_str().is_none() {
        return Err("its name is not UTF-8; rename it".to_owned());
    }
    let file = File::open(path).map_err(|error| formats::can_not_be_read(&error))?;
    let metadata = file.metadata().map_err(|error| formats::can_not_be_read(&error))?;
    if !format.has_rows() && metadata.len() > how.most_bytes {
        let (size, most) = (metadata.len().div_ceil(1 << 20), how.most_bytes >> 20);
        return Err(format!("has {size} MB, the limit is {most} MB; --max-file-size sets it"));
    }
    Ok(Box::new(file))
}
