//! The vectors in memory: read from disk at the first search, then kept in step with every write.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use store_core::kit::vector_table::{VectorSnapshot, VectorTable};
use store_core::{Error, Result};

use super::filter::row_number;
use super::rows::{Change, Version, configured, read_vector, version};
use super::words::{WordSearcher, Words};
use crate::codec::Span;
use crate::engine::{ReadTx, Table as _};
use crate::schema::Tables;

/// What the backends of one namespace share beside the file.
#[derive(Debug, Default)]
pub(crate) struct SharedVectors {
    memory: Mutex<Option<Memory>>,
    words: Mutex<Option<Words>>,
    /// What the word index held durably when it was last looked at.
    words_taken: Mutex<Option<Version>>,
}

#[derive(Debug)]
struct Memory {
    /// Which opening of the file it was read from; see `Engine::generation`.
    generation: u64,
    version: Version,
    table: VectorTable,
}

impl SharedVectors {
    /// The vectors as `tx` sees the store. `None` when memory is a commit ahead or behind: the caller begins a
    /// new snapshot.
    pub(super) fn at(&self, tx: &ReadTx, tables: &Tables, generation: u64) -> Result<Option<VectorSnapshot>> {
        let meta = tx.table(&tables.vector_meta)?;
        let wanted = version(&meta)?;
        let mut memory = lock(&self.memory);
        if let Some(memory) = memory.as_ref().filter(|memory| memory.generation == generation) {
            return Ok((memory.version == wanted).then(|| memory.table.snapshot()));
        }
        // Writes that commit meanwhile wait for the lock before they tell memory, and find it behind them.
        let mut table = VectorTable::new(configured(&meta)?.dimensions);
        let mut vector = Vec::with_capacity(table.dimensions());
        // Row numbers are given one after the other, and those of removed nodes again: memory is taken up to the
        // highest, which a damaged one must not say.
        let numbers =
            tx.table(&tables.vector_rows)?.len()?.saturating_add(tx.table(&tables.vector_free)?.len()?);
        for row in tx.table(&tables.vectors)?.range(&Span::all())? {
            let (row, bytes) = row?;
            let row = row_number(row.value())?;
            read_vector(bytes.value(), &mut vector);
            if u64::from(row) >= numbers {
                return Err(Error::corrupt(format!("the stored vector {row} is of no node")));
            }
            table.set(row, &vector).map_err(|error| {
                Error::corrupt(format!("the stored vector {row} can not be read: {}", error.message()))
            })?;
        }
        let snapshot = table.snapshot();
        *memory = Some(Memory { generation, version: wanted, table });
        Ok(Some(snapshot))
    }

    /// Takes in a committed write. Called in the order of commits.
    pub(super) fn apply(&self, change: &Change, generation: u64) {
        let mut slot = lock(&self.memory);
        let Some(memory) = slot.as_mut() else { return };
        let same_life =
            memory.generation == generation && memory.version.incarnation == change.version.incarnation;
        if same_life && memory.version.number >= change.version.number {
            return;
        }
        let next = same_life && memory.version.number + 1 == change.version.number;
        let set = |memory: &mut Memory| {
            change.set.iter().try_for_each(|(row, vector)| memory.table.set(*row, vector))
        };
        if next && set(memory).is_ok() {
            for row in &change.unset {
                memory.table.remove(*row);
            }
            memory.version = change.version;
        } else {
            *slot = None;
        }
    }

    /// The word index as `tx` sees the store, brought up to it where it lags. `None` when it is ahead already:
    /// the caller begins a new snapshot.
    pub(super) fn words_at(
        &self,
        tx: &ReadTx,
        tables: &Tables,
        folder: &Path,
    ) -> Result<Option<WordSearcher>> {
        let wanted = version(&tx.table(&tables.vector_meta)?)?;
        let mut slot = lock(&self.words);
        let ahead = |own: &Version| own.incarnation == wanted.incarnation && own.number > wanted.number;
        if slot.as_ref().and_then(Words::version).as_ref().is_some_and(ahead) {
            return Ok(None);
        }
        let caught_up = |mut words: Words| words.catch_up(tx, tables, wanted).map(|()| words);
        // One in memory stands in while the disk takes no writes; a new version shows that it may again.
        let (on_disk, stand_in) = match slot.take() {
            Some(words) if words.is_in_memory() && words.version() != Some(wanted) => (None, Some(words)),
            words => (words, None),
        };
        // After an error the index is opened again: its writer may be of no more use.
        let words = match on_disk.map_or_else(|| Words::open(folder), Ok).and_then(caught_up) {
            Ok(words) => {
                if !words.is_in_memory() {
                    *lock(&self.words_taken) = Some(wanted);
                }
                words
            }
            Err(error) => {
                // A full disk, a folder that can not be written: reading goes on.
                let words = stand_in.map_or_else(Words::in_memory, Ok).and_then(caught_up);
                tracing::warn!(%error, "the word index can not be written; it is kept in memory");
                words.map_err(|_| error)?
            }
        };
        Ok(Some(slot.insert(words).searcher()))
    }

    /// What the word index holds durably, as far as is known.
    pub(super) fn words_taken(&self) -> Option<Version> {
        *lock(&self.words_taken)
    }

    /// Whether the word index goes with the process, since the disk takes no writes.
    pub(super) fn words_in_memory(&self) -> bool {
        lock(&self.words).as_ref().is_some_and(Words::is_in_memory)
    }

    /// Forgets the vectors; the next search reads them again.
    pub(super) fn reset(&self) {
        *lock(&self.memory) = None;
    }

    /// Forgets everything, and removes the word index in `folder`: the namespace was dropped. What can not be
    /// removed is known by its other life and built anew.
    pub(crate) fn dropped(&self, folder: &Path) {
        self.reset();
        let mut words = lock(&self.words);
        *words = None;
        if let Err(error) = std::fs::remove_dir_all(folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the word index of a dropped namespace could not be removed");
        }
    }
}

/// Locks what a panic elsewhere does not take down with it: every change here is made whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
