//! The engine's file: opened, checked, opened again after a disk error, let go.

use std::any::Any;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::{Database, ReadableDatabase as _};
use store_core::{Error, ErrorKind, Result};

use super::overlay::Overlay;
use super::tx::{ReadTx, Table as _, WriteTx};
use crate::error::{NAME, closed, from_io, from_panic, from_redb};
use crate::schema::{FILE, FORMAT, META, META_FORMAT};

/// The end of a file's name while it is made.
const UNFINISHED: &str = ".new";

/// The file of one store in this process.
#[derive(Debug)]
pub(super) struct StoreFile {
    folder: PathBuf,
    cache_bytes: usize,
    state: RwLock<State>,
    /// Whether the engine met damage since the file was opened. Set while others hold the state.
    damaged: AtomicBool,
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
    /// Whether an older program made it: the first commit then says that older ones may misread it.
    older: bool,
}

impl State {
    /// Drops the database. On a damaged file that may panic, having let go of the file all the same.
    fn let_go(&mut self, damaged: bool) {
        let database = self.database.take();
        catch_unwind(AssertUnwindSafe(|| {
            let _database = database;
            if damaged {
                // The engine's last commit goes through pages that may be the damaged ones, and a panic while
                // another one unwinds ends the process. In a thread that unwinds the engine only closes the file.
                resume_unwind(Box::new(()));
            }
        }))
        .ok();
    }
}

/// A database for as long as it may not be reopened.
pub(super) struct Held<'a> {
    state: RwLockReadGuard<'a, State>,
}

impl StoreFile {
    /// Opens the folder's file, or makes it.
    pub(super) fn open(folder: PathBuf, cache_bytes: usize) -> Result<Self> {
        let opened = open(&folder, cache_bytes)?;
        let state = RwLock::new(State { database: Some(opened), closed: false, generation: 0 });
        Ok(Self { folder, cache_bytes, state, damaged: AtomicBool::new(false) })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn cache_bytes(&self) -> usize {
        self.cache_bytes
    }

    /// Why nothing can be written, if so.
    pub(super) fn read_only(&self) -> Option<String> {
        self.read().database.as_ref()?.read_only.as_ref().map(ToString::to_string)
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
        state.let_go(self.damaged.swap(false, Ordering::Relaxed));
        state.generation += 1;
        state.database = Some(open(&self.folder, self.cache_bytes)?);
        Ok(())
    }

    /// The error of a panic of the engine, which it gives for damage. The file is let go of with care then.
    pub(super) fn panicked(&self, panic: &(dyn Any + Send)) -> Error {
        self.damaged.store(true, Ordering::Relaxed);
        from_panic(panic)
    }

    /// Lets go of the file for good.
    pub(super) fn close(&self) {
        let mut state = self.write();
        state.closed = true;
        state.let_go(self.damaged.load(Ordering::Relaxed));
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
        let tx = begin_write(&opened.database)?;
        if opened.older {
            set_format(&tx)?;
        }
        Ok(tx)
    }
}

/// Notes the present layout.
fn set_format(tx: &WriteTx) -> Result<()> {
    tx.table(META)?.insert(META_FORMAT, FORMAT.to_string().as_bytes())?;
    Ok(())
}

fn begin_write(database: &Database) -> Result<WriteTx> {
    let mut transaction = database.begin_write().map_err(from_redb)?;
    // Costs a little on each commit and makes opening after a crash take a millisecond, whatever the size.
    transaction.set_quick_repair(true);
    Ok(WriteTx::new(transaction))
}

/// Opens the folder's file, and makes it first if there is none.
fn open(folder: &Path, cache_bytes: usize) -> Result<Opened> {
    let place = |error: Error| error.with_collection(folder.display().to_string());
    // The engine may panic on a damaged file.
    catch_unwind(|| open_or_make(folder, cache_bytes))
        .unwrap_or_else(|panic| Err(from_panic(panic.as_ref())))
        .map_err(place)
}

fn open_or_make(folder: &Path, cache_bytes: usize) -> Result<Opened> {
    let path = folder.join(FILE);
    if !path.exists() {
        make(folder, &path)?;
    }
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes);
    let opened = match builder.open(&path) {
        Ok(database) => Ok(Opened { database, read_only: None, older: false }),
        Err(error) => match unwritable(&error) {
            Some(why) => Overlay::open(&path)
                .map_err(|error| redb::DatabaseError::Storage(redb::StorageError::Io(error)))
                .and_then(|overlay| builder.create_with_backend(overlay))
                .map(|database| Opened { database, read_only: Some(why), older: false }),
            None => Err(error),
        },
    };
    let mut opened = opened.map_err(from_redb)?;
    opened.older = check_format(&opened.database)? < FORMAT;
    if opened.read_only.is_none() {
        tidy(folder);
    }
    Ok(opened)
}

/// Makes a store's file under another name and gives it its own once it is whole: a process that dies on the
/// way leaves no half-made store. Of two processes that make it at once, one wins and both open that one.
fn make(folder: &Path, path: &Path) -> Result<()> {
    let unfinished = folder.join(format!("{FILE}.{:016x}{UNFINISHED}", RandomState::new().hash_one(0)));
    let made = Database::builder().create(&unfinished).map_err(from_redb).and_then(|database| {
        let tx = begin_write(&database)?;
        set_format(&tx)?;
        tx.into_inner().commit().map_err(from_redb)
    });
    let named = made.and_then(|()| {
        // A link, unlike a renaming, never replaces a file that came into being meanwhile; not every kind of
        // disk has links.
        std::fs::hard_link(&unfinished, path)
            .or_else(|error| if path.exists() { Ok(()) } else { Err(error) })
            .or_else(|_| std::fs::rename(&unfinished, path))
            .and_then(|()| sync_folder(folder))
            .map_err(|error| from_redb(redb::Error::Io(error)))
    });
    std::fs::remove_file(&unfinished).ok();
    named
}

/// Removes what those left who died while they made the store. Only once there is a store: whoever is still
/// making one then meets it, and needs its own file no more.
fn tidy(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(FILE) && name.ends_with(UNFINISHED) {
            std::fs::remove_file(entry.path()).ok();
        }
    }
}

/// Makes a new name in the folder last through a power failure; where folders can be synced at all.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { std::fs::File::open(folder)?.sync_all() } else { Ok(()) }
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

/// The file's layout. Refuses a file of a newer version, and one that is no store.
fn check_format(database: &Database) -> Result<u32> {
    let tx = ReadTx::new(database.begin_read().map_err(from_redb)?);
    let meta = tx.table(META)?;
    let Some(stored) = meta.get(META_FORMAT)? else {
        return Err(Error::config(format!(
            "{FILE} was not made by nodestore; open another folder, or move that file away"
        ))
        .with_backend(NAME));
    };
    let format = std::str::from_utf8(stored.value()).ok().and_then(|text| text.parse::<u32>().ok());
    match format {
        Some(format) if format <= FORMAT => Ok(format),
        Some(format) => Err(Error::config(format!(
            "made by a newer nodestore (format {format}, this one reads up to {FORMAT}): upgrade, or open \
             another folder"
        ))
        .with_backend(NAME)),
        None => Err(Error::corrupt("the store's format version is no number").with_backend(NAME)),
    }
}

/// Makes the folder, if it may, and answers its one true path.
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
