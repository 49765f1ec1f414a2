//! What the vectors and the word index say of their health.

use std::fmt;

use serde::Deserialize;
use store_core::Result;
use tantivy::Index;
use tantivy::directory::MmapDirectory;
use uuid::Uuid;

use super::rows::{self, Version};
use crate::engine::{ReadTx, Table as _};
use crate::schema::Tables;
use crate::space::Space;

/// How far the word index is with what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WordState {
    UpToDate,
    /// It lacks so many writes.
    Behind(u64),
    /// There is none, none that can be read, or one of another life of the store.
    Missing,
    /// It goes with the process.
    InMemory,
}

impl fmt::Display for WordState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UpToDate => "up to date",
            Self::Behind(_) => "behind",
            Self::Missing => "not built yet",
            Self::InMemory => "in memory",
        })
    }
}

/// Whether vectors may be stored.
pub(crate) fn is_configured(tx: &ReadTx, tables: &Tables) -> Result<bool> {
    Ok(rows::config(&tx.table(&tables.vector_meta)?)?.is_some())
}

/// Bytes that the vectors take in memory once they are searched.
pub(crate) fn bytes_in_memory(tx: &ReadTx, tables: &Tables) -> Result<u64> {
    let Some(config) = rows::config(&tx.table(&tables.vector_meta)?)? else { return Ok(0) };
    let each = (config.dimensions as u64).saturating_mul(4).saturating_add(8);
    Ok(tx.table(&tables.vectors)?.len()?.saturating_mul(each))
}

/// Holds the word index against the store, without opening it for writing.
pub(crate) fn word_state(space: &Space, tx: &ReadTx) -> Result<WordState> {
    let meta = tx.table(&space.tables.vector_meta)?;
    let wanted = rows::version(&meta)?;
    if wanted.number == 0 {
        return Ok(WordState::UpToDate);
    }
    if space.vectors.words_in_memory() {
        return Ok(WordState::InMemory);
    }
    let start = rows::log_start(&meta)?;
    Ok(match noted(space) {
        Some(own) if own.incarnation == wanted.incarnation && own.number >= start => {
            match wanted.number.saturating_sub(own.number) {
                0 => WordState::UpToDate,
                behind => WordState::Behind(behind),
            }
        }
        _ => WordState::Missing,
    })
}

/// What the last commit of the word index says that it holds.
fn noted(space: &Space) -> Option<Version> {
    #[derive(Deserialize)]
    struct Note {
        incarnation: Uuid,
        version: u64,
    }
    let folder = space.words_folder();
    let directory = MmapDirectory::open(&folder).ok()?;
    let note = Index::open(directory).ok()?.load_metas().ok()?.payload?;
    let note: Note = serde_json::from_str(&note).ok()?;
    Some(Version { incarnation: note.incarnation, number: note.version })
}
