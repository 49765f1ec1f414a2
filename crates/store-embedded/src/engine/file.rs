//! The engine's file: opened, checked, opened again after a disk error, let go.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::{Database, ReadableDatabase as _};
use store_core::{Error, ErrorKind, Result};

use super::overlay::Overlay;
use super::tx::{ReadTx, Table as _, WriteTx};
use crate::error::{NAME, closed, from_io, from_redb};
use crate::schema::{FILE, FORMAT, META, META_FORMAT};

/// The file of one store in this process.
#[derive(Debug)]
pub(super) struct StoreFile {
    folder: PathBuf,
    cache_bytes: usize,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    /// `None` after a failed reopening, and once closed.
    database: Option<Opened>,
    closed: bool,
    /// Counts reopenings, so that of many callers who met one error only one reopens.
    generation: u64,
}

#[derive(Debug)]
struct Opened {
    database: Database,
    /// Why nothing can be written, if so.
    read_only: Option<io::Error>,
}

/// A database for as long as it may not be reopened.
pub(super) struct Held<'a> {
    state: RwLockReadGuard<'a, State>,
}

impl StoreFile {
    /// Opens the folder's file, or makes it.
    pub(super) fn open(folder: PathBuf, cache_bytes: usize) -> Result<Self> {
        let opened = open(&folder, cache_bytes)?;
        let state = State { database: Some(opened), closed: false, generation: 0 };
        Ok(Self { folder, cache_bytes, state: RwLock::new(state) })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// How often the file was opened again. What memory keeps beside the file and updates after commits is
    /// surely the same as the file only while this number stays.
    pub(super) fn generation(&self) -> u64 {
        self.read().generation
    }

    /// Begins a snapshot; also answers the generation it belongs to, for [`StoreFile::reopen`].
    pub(super) fn begin_read(&self) -> Result<(ReadTx, u64)> {
        let held = self.hold()?;
        let transaction = held.opened()?.database.begin_read().map_err(from_redb)?;
        Ok((ReadTx::new(transaction), held.generation()))
    }

    /// The database, opened again first if need be. No reopening happens while it is held.
    pub(super) fn hold(&self) -> Result<Held<'_>> {
        let state = self.read();
        if state.database.is_some() || state.closed {
            return Ok(Held { state });
        }
        let generation = state.generation;
        drop(state);
        self.reopen(generation)?;
        Ok(Held { state: self.read() })
    }

    /// Opens the file again, unless another caller did since `generation`.
    pub(super) fn reopen(&self, generation: u64) -> Result<()> {
        let mut state = self.write();
        if state.closed || state.generation != generation {
            return Ok(());
        }
        // The file's lock goes with the old handle, so that comes first.
        state.database = None;
        state.generation += 1;
        state.database = Some(open(&self.folder, self.cache_bytes)?);
        Ok(())
    }

    /// Lets go of the file for good.
    pub(super) fn close(&self) {
        let mut state = self.write();
        state.closed = true;
        state.database = None;
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held<'_> {
    pub(super) fn generation(&self) -> u64 {
        self.state.generation
    }

    fn opened(&self) -> Result<&Opened> {
        self.state.database.as_ref().ok_or_else(closed)
    }

    /// Begins a write; refused when the disk can not be written.
    pub(super) fn begin_write(&self) -> Result<WriteTx> {
        let opened = self.opened()?;
        if let Some(why) = &opened.read_only {
            let error = from_io(why.kind(), &why.to_string());
            // A full disk may have room again: the source makes the writer open the file anew.
            let full = why.kind() == io::ErrorKind::StorageFull;
            return Err(if full { error.with_source(redb::Error::Io(why.kind().into())) } else { error });
        }
        begin_write(&opened.database)
    }
}

fn begin_write(database: &Database) -> Result<WriteTx> {
    let mut transaction = database.begin_write().map_err(from_redb)?;
    // Costs a little on each commit and makes opening after a crash take a millisecond, whatever the size.
    transaction.set_quick_repair(true);
    Ok(WriteTx::new(transaction))
}

fn open(folder: &Path, cache_bytes: usize) -> Result<Opened> {
    let path = folder.join(FILE);
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes);
    let opened = match builder.create(&path) {
        Ok(database) => Ok(Opened { database, read_only: None }),
        Err(error) => match unwritable(&error) {
            Some(why) if path.is_file() => Overlay::open(&path)
                .map_err(|error| redb::DatabaseError::Storage(redb::StorageError::Io(error)))
                .and_then(|overlay| builder.create_with_backend(overlay))
                .map(|database| Opened { database, read_only: Some(why) }),
            _ => Err(error),
        },
    };
    let opened = opened.map_err(|error| from_redb(error).with_collection(folder.display().to_string()))?;
    check_format(&opened).map_err(|error| error.with_collection(folder.display().to_string()))?;
    Ok(opened)
}

/// The disk's error, if it says that nothing can be written.
fn unwritable(error: &redb::DatabaseError) -> Option<io::Error> {
    let redb::DatabaseError::Storage(redb::StorageError::Io(error)) = error else { return None };
    let kind = error.kind();
    matches!(
        kind,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::StorageFull
    )
    .then(|| io::Error::new(kind, error.to_string()))
}

/// Reads the layout's version, or writes it into a new file.
fn check_format(opened: &Opened) -> Result<()> {
    let tx = ReadTx::new(opened.database.begin_read().map_err(from_redb)?);
    if let Some(stored) = tx.table(META)?.get(META_FORMAT)? {
        let format = std::str::from_utf8(stored.value()).ok().and_then(|text| text.parse::<u32>().ok());
        return match format {
            Some(format) if format <= FORMAT => Ok(()),
            Some(format) => Err(Error::config(format!(
                "made by a newer nodestore (format {format}, this one reads up to {FORMAT}): upgrade, or open \
                 another folder"
            ))
            .with_backend(NAME)),
            None => Err(Error::corrupt("the store's format version is no number").with_backend(NAME)),
        };
    }
    if !tx.table_names()?.is_empty() {
        return Err(Error::config(format!(
            "{FILE} is no store of nodestore: it holds tables of another program; open another folder"
        ))
        .with_backend(NAME));
    }
    if let Some(why) = &opened.read_only {
        return Err(Error::new(
            ErrorKind::Unavailable,
            format!("the folder holds no store yet and can not be written ({why}); make it writable first"),
        )
        .with_retryable(false)
        .with_backend(NAME));
    }
    let tx = begin_write(&opened.database)?;
    tx.table(META)?.insert(META_FORMAT, FORMAT.to_string().as_bytes())?;
    tx.into_inner().commit().map_err(from_redb)
}

/// Makes the folder and answers its one true path.
pub(super) fn prepare_folder(path: &Path, create: bool) -> Result<PathBuf> {
    let place = || path.display().to_string();
    let refuse = |error: io::Error| {
        from_io(error.kind(), &error.to_string()).with_collection(place()).with_source(redb::Error::Io(error))
    };
    if path.as_os_str().is_empty() {
        return Err(Error::config("the store's path is empty; name a folder").with_backend(NAME));
    }
    if path.exists() && !path.is_dir() {
        return Err(Error::config("the store's path is a file; name a folder")
            .with_backend(NAME)
            .with_collection(place()));
    }
    if create {
        std::fs::create_dir_all(path).map_err(refuse)?;
    } else if !path.join(FILE).is_file() {
        return Err(Error::new(ErrorKind::NotFound, "there is no store in this folder; create it first")
            .with_backend(NAME)
            .with_collection(place()));
    }
    path.canonicalize().map_err(refuse)
}
