//! Who writes while a server is hurt, and what must be there afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use store_core::Error;

use crate::common::Done;

/// What the writers have done together.
#[derive(Debug)]
pub(crate) struct Progress {
    acknowledged: AtomicU64,
    /// When the last write was acknowledged, and the longest time between two.
    pause: Mutex<(Instant, Duration)>,
    stop: AtomicBool,
}

impl Progress {
    pub(crate) fn new() -> Arc<Self> {
        let pause = Mutex::new((Instant::now(), Duration::ZERO));
        Arc::new(Self { acknowledged: AtomicU64::new(0), pause, stop: AtomicBool::new(false) })
    }

    fn acknowledge(&self) {
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        pause.1 = pause.1.max(pause.0.elapsed());
        pause.0 = Instant::now();
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Until this many writes are acknowledged, or the writers have given up.
    pub(crate) async fn reach(&self, count: u64) {
        while self.acknowledged() < count && !self.stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Until this many more are.
    pub(crate) async fn go_on(&self, more: u64) {
        self.reach(self.acknowledged() + more).await;
    }

    /// Tells the writers to stop.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// One line of what has happened.
    pub(crate) fn tell<'a>(&self, written: impl IntoIterator<Item = &'a Written>, hurt: &str) {
        let unknown: usize = written.into_iter().map(|one| one.unknown.len()).sum();
        println!(
            "{} writes acknowledged and {unknown} of unknown outcome while {hurt}; the longest pause between two \
             acknowledged ones was {} ms",
            self.acknowledged(),
            self.pause.lock().unwrap_or_else(PoisonError::into_inner).1.as_millis()
        );
    }
}

/// What one writer knows of its writes, by number.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) acknowledged: BTreeSet<u64>,
    /// The error said that it is not known whether they were made.
    pub(crate) unknown: BTreeSet<u64>,
}

/// Writes one after the other until it is told to stop, and none twice.
pub(crate) async fn write<W: Future<Output = Result<(), Error>>>(
    progress: Arc<Progress>,
    mut one: impl FnMut(u64) -> W,
) -> Result<Written, Error> {
    let mut written = Written::default();
    for number in 0.. {
        if progress.stop.load(Ordering::Relaxed) {
            break;
        }
        match one(number).await {
            Ok(()) => {
                progress.acknowledge();
                written.acknowledged.insert(number);
            }
            Err(error) if error.is_retryable() => {
                eprintln!("{number}: {error}");
                written.unknown.insert(number);
            }
            Err(error) => {
                progress.stop();
                return Err(error);
            }
        }
    }
    Ok(written)
}

/// What a writer writes: nobody else, and nothing else the same.
pub(crate) fn key(writer: usize, number: u64) -> String {
    format!("{writer} {number}")
}

/// What must be there, and what may be.
#[derive(Debug)]
pub(crate) struct Expected {
    must: BTreeSet<String>,
    may: BTreeSet<String>,
}

impl Expected {
    /// Of these writers, which have written under these names.
    pub(crate) fn of<'a>(written: impl IntoIterator<Item = (usize, &'a Written)>) -> Self {
        let (mut must, mut may) = (BTreeSet::new(), BTreeSet::new());
        for (name, written) in written {
            must.extend(written.acknowledged.iter().map(|number| key(name, *number)));
            may.extend(written.unknown.iter().map(|number| key(name, *number)));
        }
        Self { must, may }
    }

    /// What of it was acknowledged and is not there; an error if something is that nobody wrote.
    pub(crate) fn lost(&self, what: &str, found: &BTreeSet<String>) -> Result<Vec<String>, Failed> {
        if self.must.is_empty() {
            return Err(format!("{what}: nothing was acknowledged at all").into());
        }
        match found.iter().find(|one| !self.must.contains(*one) && !self.may.contains(*one)) {
            Some(strange) => Err(format!("{what}: nobody wrote {strange:?}").into()),
            None => Ok(self.must.difference(found).cloned().collect()),
        }
    }

    /// Whether what is there is all that must be and nothing that may not.
    pub(crate) fn compare(&self, what: &str, found: &BTreeSet<String>) -> Done {
        match self.lost(what, found)?.first() {
            Some(lost) => Err(format!("{what}: {lost:?} was acknowledged and is lost").into()),
            None => Ok(()),
        }
    }
}

/// Each writer's messages are in its own order.
pub(crate) fn in_order(texts: &[String]) -> Done {
    let mut last = BTreeMap::new();
    for text in texts {
        let (writer, number) = text.split_once(' ').ok_or("a message of nobody's")?;
        let number: u64 = number.parse()?;
        if last.insert(writer, number).is_some_and(|before| before >= number) {
            return Err(format!("{text:?} comes after a later one of the same writer").into());
        }
    }
    Ok(())
}
