//! Lightweight transactions, each made once, also when its answer is lost.
//!
//! Who gets no answer does not know whether the transaction was made, will be, or never. So what transactions change has
//! a list of *marks*, one of each store that has changed it, the newest first. A transaction writes its own before those
//! that it saw. A serial read ends what is under way, and the marks then tell: ours is there, or it never will be. As each
//! store has one mark only, and one transaction at a time on a thing, the list forgets ours after as many *stores* as it
//! has places, however many changes those make. A deletion leaves the marks behind for a while.

use std::time::Duration;

use store_core::{Error, ErrorKind, Result};
use tokio::time::{Instant, sleep, timeout_at};

use crate::deadline;
use crate::error::{may_be_made, timed_out};
use crate::session::{Row, Value, bytes};

/// Marks that are kept.
const KEPT: usize = 32;
/// How long the marks of what was deleted stay, in seconds: far longer than a call may take.
pub(crate) const MARK_SECONDS: i32 = 3_600;
/// The longest pause after others were faster.
const PAUSE: Duration = Duration::from_millis(100);

/// The mark of one transaction: eight bytes of the store that makes it, eight of its own.
pub(crate) type Mark = [u8; 16];

/// A store, as the marks of its transactions name it.
#[derive(Debug)]
pub(crate) struct Writer(u64);

impl Default for Writer {
    fn default() -> Self {
        Self(fastrand::u64(..))
    }
}

impl Writer {
    /// A mark that no other transaction has.
    pub(crate) fn mark(&self) -> Mark {
        (u128::from(self.0) << 64 | u128::from(fastrand::u64(..))).to_be_bytes()
    }
}

/// The marks of the stores that made the last transactions, the newest first: a `blob`, one mark after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(Vec<u8>);

impl Marks {
    /// Of a column; null has none.
    pub(crate) fn read(row: &Row<'_>, column: &str) -> Result<Self> {
        Ok(Self(row.bytes(column)?.unwrap_or_default().to_vec()))
    }

    /// For a column.
    pub(crate) fn value(&self) -> Value {
        if self.0.is_empty() { Value::Null } else { bytes(self.0.clone()) }
    }

    /// How many bytes they take.
    pub(crate) fn size(&self) -> usize {
        self.0.len()
    }

    /// Those after a transaction with this mark.
    pub(crate) fn with(&self, mark: &Mark) -> Self {
        let is_its = |other: &&Mark| other.first_chunk::<8>() == mark.first_chunk::<8>();
        let others = self.all().iter().filter(|other| !is_its(other));
        Self([mark].into_iter().chain(others).take(KEPT).flatten().copied().collect())
    }

    fn all(&self) -> &[Mark] {
        self.0.as_chunks().0
    }
}

/// What became of a transaction whose answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Made,
    /// It was not made, and may yet be: all is as it must be for it.
    Open,
    /// It was not made and never will be, since others were faster.
    Missed,
    /// Too many others came since.
    Unknown,
}

impl Fate {
    /// By the marks before it and those that were found, and whether all is as it must be for it.
    pub(crate) fn of(mark: &Mark, before: &Marks, found: &Marks, same: bool) -> Self {
        let (before, found) = (before.all(), found.all());
        if found.contains(mark) {
            return Self::Made;
        }
        if same {
            return Self::Open;
        }
        // Marks leave a list at its end: ours would stand before those that were there, and none has left one that is
        // not full.
        let told =
            before.iter().any(|mark| found.contains(mark)) || (before.len()..KEPT).contains(&found.len());
        if told { Self::Missed } else { Self::Unknown }
    }

    /// Of a transaction of several rows, by each of them.
    pub(crate) fn of_rows(rows: &[Self]) -> Self {
        if rows.contains(&Self::Made) {
            Self::Made
        } else if rows.iter().all(|row| *row == Self::Open) {
            Self::Open
        } else if rows.iter().any(|row| *row != Self::Unknown) {
            // All rows are changed or none, and some are no longer as they must be.
            Self::Missed
        } else {
            Self::Unknown
        }
    }
}

/// Makes a transaction within this time: `false` when it was not made, and never will be. `attempt` sends it, with the
/// same mark each time, and says whether it was made; `look` reads serially what became of it.
pub(crate) async fn once<A, L>(limit: Duration, attempt: impl Fn() -> A, look: impl Fn() -> L) -> Result<bool>
where
    A: Future<Output = Result<bool>>,
    L: Future<Output = Result<Fate>>,
{
    let mut pauses = Pauses::new(limit);
    let mut lost: Option<Error> = None;
    loop {
        // The first has the driver's own limits, which let it make a table.
        let made = match &lost {
            None => attempt().await,
            Some(_) => timeout_at(pauses.until, attempt()).await.unwrap_or_else(|_| Err(timed_out(limit))),
        };
        match made {
            Ok(true) => return Ok(true),
            Ok(false) if lost.is_none() => return Ok(false),
            // This one was not; the one before may have been.
            Ok(false) => {}
            Err(error) if may_be_made(&error) => lost = Some(error),
            Err(error) => return Err(lost.unwrap_or(error)),
        }
        let fate = loop {
            match timeout_at(pauses.until, look()).await {
                Ok(Ok(fate)) => break fate,
                Ok(Err(error)) if may_be_made(&error) && pauses.pause().await => {}
                Ok(Err(error)) => return Err(lost.unwrap_or(error)),
                Err(_) => return Err(lost.unwrap_or_else(|| timed_out(limit))),
            }
        };
        match fate {
            Fate::Made => return Ok(true),
            Fate::Missed => return Ok(false),
            Fate::Open => {
                let again = lost.as_ref().is_none_or(Error::is_retryable) && pauses.pause().await;
                if !again {
                    return Err(lost.unwrap_or_else(|| timed_out(limit)));
                }
            }
            Fate::Unknown => return Err(unknown(lost)),
        }
    }
}

fn unknown(lost: Option<Error>) -> Error {
    let message = "the answer was lost, and too many others have changed the same since: whether the change was made can \
                   not be known";
    let error = Error::new(ErrorKind::Timeout, message).with_retryable(false);
    match lost {
        Some(lost) => error.with_source(lost),
        None => error,
    }
}

/// Growing pauses of random length, until the time is over.
#[derive(Debug)]
pub(crate) struct Pauses {
    until: Instant,
    longest: Duration,
}

impl Pauses {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { until: deadline::until(limit), longest: Duration::from_millis(2) }
    }

    /// `false` once the time is over.
    pub(crate) async fn pause(&mut self) -> bool {
        sleep(self.longest.mul_f64(fastrand::f64())).await;
        self.longest = (self.longest * 2).min(PAUSE);
        Instant::now() < self.until
    }
}

#[cfg(test)]
#[path = "transaction_tests.rs"]
mod tests;
