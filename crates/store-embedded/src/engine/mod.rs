//! The engine: one file, many readers with snapshots, one writer that groups.
//!
//! A folder is open at most once in a process, whoever asks for it; see [`Engine::open`]. Reads run on the
//! runtime's blocking threads, writes on a thread of the engine's own, so no async task ever waits for the disk.

mod file;
mod overlay;
mod registry;
mod tx;
mod writer;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};

use store_core::{Error, ErrorKind, Result};
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::tx::{Guard, ReadTable, ReadTx, Rows, Table, WriteTable, WriteTx};

use self::file::StoreFile;
use self::writer::{Job, Write};
use crate::error::{NAME, closed, from_panic, is_broken};
use crate::space::Space;

/// An open store folder. The file is let go when the last one who holds the engine drops it.
#[derive(Debug)]
pub(crate) struct Engine {
    file: Arc<StoreFile>,
    jobs: mpsc::Sender<Box<dyn Job>>,
    /// An entry stays until its space is wholly gone.
    spaces: Mutex<HashMap<String, Weak<Space>>>,
    space_left: Condvar,
}

impl Engine {
    /// Opens the store in `folder`, or shares the engine of whoever has it open in this process. Blocks.
    pub(crate) fn open(folder: &Path, create: bool, cache_bytes: usize) -> Result<Arc<Self>> {
        let folder = file::prepare_folder(folder, create)?;
        registry::open(folder, |folder, on_close| Self::start(folder, cache_bytes, on_close))
    }

    fn start(
        folder: PathBuf,
        cache_bytes: usize,
        on_close: impl FnOnce() + Send + 'static,
    ) -> Result<Arc<Self>> {
        let file = Arc::new(StoreFile::open(folder, cache_bytes)?);
        let (jobs, queue) = mpsc::channel(writer::QUEUE);
        let writing = Arc::clone(&file);
        std::thread::Builder::new()
            .name("nodestore-writer".to_owned())
            .spawn(move || {
                // Whatever goes wrong, the folder must be free to open again.
                catch_unwind(AssertUnwindSafe(|| writer::run(&writing, queue))).ok();
                writing.close();
                on_close();
            })
            .map_err(|error| {
                Error::new(ErrorKind::Unavailable, "the system gives no thread for the writer")
                    .with_backend(NAME)
                    .with_source(error)
            })?;
        Ok(Arc::new(Self { file, jobs, spaces: Mutex::default(), space_left: Condvar::new() }))
    }

    /// Waits until the file of a dropped engine is free; returns at once when somebody holds the engine.
    pub(crate) fn wait_until_closed(folder: &Path) {
        registry::wait_until_closed(folder);
    }

    /// The store's folder.
    pub(crate) fn folder(&self) -> &Path {
        self.file.folder()
    }

    /// Bytes of memory for the page cache.
    pub(crate) fn cache_bytes(&self) -> usize {
        self.file.cache_bytes()
    }

    /// Why nothing can be written, if so.
    pub(crate) fn read_only(&self) -> Option<String> {
        self.file.read_only()
    }

    /// How often the file was opened again after a disk error. What memory keeps beside the file, and updates
    /// after commits, is surely equal to the file only while this number stays.
    pub(crate) fn generation(&self) -> u64 {
        self.file.generation()
    }

    /// The namespace's space, shared by all who ask for it. Blocks while an earlier one is being let go.
    pub(crate) fn space(self: &Arc<Self>, namespace: &str) -> Arc<Space> {
        let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(space) = spaces.get(namespace) {
            if let Some(space) = space.upgrade() {
                return space;
            }
            spaces = self.space_left.wait(spaces).unwrap_or_else(PoisonError::into_inner);
        }
        let space = Arc::new(Space::new(Arc::clone(self), namespace));
        spaces.insert(namespace.to_owned(), Arc::downgrade(&space));
        space
    }

    /// A namespace's space is gone.
    pub(crate) fn leave(&self, namespace: &str) {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner).remove(namespace);
        self.space_left.notify_all();
    }

    /// Runs `read` on a snapshot of what is committed, on a blocking thread. It may run twice: after a disk
    /// error the file is opened again.
    pub(crate) async fn read<T, F>(&self, mut read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&ReadTx) -> Result<T> + Send + 'static,
    {
        let file = Arc::clone(&self.file);
        blocking(move || read_now(&file, &mut read)).await
    }

    /// Runs `write` in a transaction of the writer thread and answers its value once it is on disk.
    ///
    /// All or nothing: an error of `write`, or from the disk, leaves no trace of it, and of no other write that
    /// shares its commit. It may run more than once, each time on tables without its own earlier run, so it
    /// must not use up what it owns. Check everything before the first change: a refusal after one makes the
    /// whole group run again. A dropped future may have written or not, never half.
    pub(crate) async fn write<T, F>(&self, write: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&WriteTx) -> Result<T> + Send + 'static,
    {
        self.write_then(write, |_| ()).await
    }

    /// [`Engine::write`], and `after` on the writer thread: after the commit, before the answer, in the order
    /// of commits. It should be short: all other writes wait.
    pub(crate) async fn write_then<T, F, A>(&self, write: F, after: A) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&WriteTx) -> Result<T> + Send + 'static,
        A: FnOnce(&mut T) + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Write { run: write, after, value: None, reply });
        self.jobs.send(job).await.map_err(|_| closed())?;
        answer.await.map_err(|_| {
            Error::new(ErrorKind::Other, "the writer ended without an answer").with_backend(NAME)
        })?
    }
}

fn read_now<T>(file: &StoreFile, read: &mut impl FnMut(&ReadTx) -> Result<T>) -> Result<T> {
    let mut attempt = || {
        let mut seen = None;
        let result = file.begin_read().and_then(|(tx, generation)| {
            seen = Some(generation);
            catch_unwind(AssertUnwindSafe(|| read(&tx)))
                .unwrap_or_else(|panic| Err(file.panicked(panic.as_ref())))
        });
        (result, seen)
    };
    match attempt() {
        (Err(error), seen) if is_broken(&error) => {
            file.reopen(seen.unwrap_or_else(|| file.generation()))?;
            attempt().0
        }
        (result, _) => result,
    }
}

/// Runs `work` on one of the runtime's blocking threads; outside a runtime, right here.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return work() };
    runtime.spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(match error.try_into_panic() {
            Ok(panic) => from_panic(panic.as_ref()),
            Err(error) => Error::new(ErrorKind::Unavailable, "the runtime is shutting down")
                .with_retryable(false)
                .with_backend(NAME)
                .with_source(error),
        })
    })
}

#[cfg(test)]
mod tests;
