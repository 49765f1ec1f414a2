//! The one thread that writes: it takes what waits, commits it together, and answers after the commit.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use store_core::{Error, Result};
use tokio::sync::{mpsc, oneshot};

use super::file::StoreFile;
use super::tx::WriteTx;
use crate::error::{NAME, from_panic, from_redb, is_broken};

/// Writes that may wait in the queue; more wait in their callers.
pub(super) const QUEUE: usize = 256;
/// Most writes in one commit.
const GROUP: usize = 256;
/// A group takes no more in once it ran so long: the first of it should not wait for ever.
const GROUP_TIME: Duration = Duration::from_millis(20);

/// One logical write on its way through the writer.
pub(super) trait Job: Send {
    /// Does the write; may run again in another transaction.
    fn run(&mut self, tx: &WriteTx) -> Result<()>;
    /// The write is on disk.
    fn committed(self: Box<Self>);
    /// Nothing of the write is on disk (after a disk error during the commit: perhaps all of it).
    fn failed(self: Box<Self>, error: Error);
}

/// A write of closures.
pub(super) struct Write<T, F, A> {
    pub(super) run: F,
    pub(super) after: A,
    pub(super) value: Option<T>,
    pub(super) reply: oneshot::Sender<Result<T>>,
}

impl<T, F, A> Job for Write<T, F, A>
where
    T: Send,
    F: FnMut(&WriteTx) -> Result<T> + Send,
    A: FnOnce(&mut T) + Send,
{
    fn run(&mut self, tx: &WriteTx) -> Result<()> {
        self.value = Some((self.run)(tx)?);
        Ok(())
    }

    fn committed(self: Box<Self>) {
        let Self { run, after, value, reply } = *self;
        // What it owns (the store, perhaps) must be let go before the caller may close the store.
        drop(run);
        let Some(mut value) = value else { return };
        // A panic in the hook must not take the writer down; what was committed stays committed.
        let done = catch_unwind(AssertUnwindSafe(|| after(&mut value)));
        let answer = done.map(|()| value).map_err(|panic| from_panic(panic.as_ref()));
        // A caller that went away has its write all the same.
        reply.send(answer).ok();
    }

    fn failed(self: Box<Self>, error: Error) {
        let Self { run, after, value, reply } = *self;
        drop((run, after, value));
        reply.send(Err(error)).ok();
    }
}

/// Runs until every sender is gone.
pub(super) fn run(file: &Arc<StoreFile>, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
    while let Some(first) = jobs.blocking_recv() {
        let mut group = Group { file, queue: VecDeque::from([first]), done: Vec::new(), open: true };
        while group.attempt(&mut jobs) {}
    }
}

struct Group<'a> {
    file: &'a StoreFile,
    /// Still to run in the next transaction.
    queue: VecDeque<Box<dyn Job>>,
    /// Ran in the present transaction.
    done: Vec<Box<dyn Job>>,
    /// Whether more may join from the channel.
    open: bool,
}

impl Group<'_> {
    /// One transaction over the group. Answers whether another is needed: a write that failed after it had
    /// touched tables spoils the transaction, so the others run again without it.
    fn attempt(&mut self, jobs: &mut mpsc::Receiver<Box<dyn Job>>) -> bool {
        let held = match self.file.hold() {
            Ok(held) => held,
            Err(error) => return self.fail(error),
        };
        let generation = held.generation();
        // The engine may panic on a damaged file, also outside of the writes themselves.
        let work = || held.begin_write().and_then(|tx| self.run(tx, jobs));
        let result = catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|panic| Err(self.file.panicked(panic.as_ref())));
        // A reopening waits until nobody holds the database.
        drop(held);
        match result {
            Ok(Ended::Committed) => {
                self.done.drain(..).for_each(Job::committed);
                false
            }
            Ok(Ended::Spoiled) => {
                self.open = false;
                let rest = std::mem::take(&mut self.queue);
                self.queue.extend(self.done.drain(..).chain(rest));
                !self.queue.is_empty()
            }
            Err(error) => {
                if is_broken(&error) {
                    // If this fails, the next call tries again.
                    self.file.reopen(generation).ok();
                }
                self.fail(error)
            }
        }
    }

    /// Runs what waits and commits it. An error is one of the disk, and concerns every write of the group.
    fn run(&mut self, tx: WriteTx, jobs: &mut mpsc::Receiver<Box<dyn Job>>) -> Result<Ended> {
        let started = Instant::now();
        let mut changed = false;
        while let Some(mut job) = self.next(jobs) {
            tx.untouch();
            let result = catch_unwind(AssertUnwindSafe(|| job.run(&tx)))
                .unwrap_or_else(|panic| Err(self.file.panicked(panic.as_ref())));
            match result {
                Ok(()) => {
                    changed |= tx.touched();
                    self.done.push(job);
                }
                Err(error) if is_broken(&error) => {
                    self.done.push(job);
                    return Err(error);
                }
                Err(error) => {
                    job.failed(error);
                    if tx.touched() {
                        return Ok(Ended::Spoiled);
                    }
                }
            }
            self.open &= self.done.len() < GROUP && started.elapsed() < GROUP_TIME;
        }
        // When nothing changed there is nothing to make durable: leaving the transaction ends it.
        if changed {
            tx.into_inner().commit().map_err(from_redb)?;
        }
        Ok(Ended::Committed)
    }

    fn next(&mut self, jobs: &mut mpsc::Receiver<Box<dyn Job>>) -> Option<Box<dyn Job>> {
        self.queue.pop_front().or_else(|| if self.open { jobs.try_recv().ok() } else { None })
    }

    /// Answers the whole group with the error; only the first answer carries its source.
    fn fail(&mut self, error: Error) -> bool {
        let group = self.done.drain(..).chain(self.queue.drain(..));
        let (kind, message, retryable) = (error.kind(), error.message().to_owned(), error.is_retryable());
        let mut first = Some(error);
        for job in group {
            let copy = || Error::new(kind, &message).with_retryable(retryable).with_backend(NAME);
            job.failed(first.take().unwrap_or_else(copy));
        }
        false
    }
}

/// How a transaction over a group ended.
enum Ended {
    Committed,
    /// A write failed with its tables touched; the transaction is given up.
    Spoiled,
}
