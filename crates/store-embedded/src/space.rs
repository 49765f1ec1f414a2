//! A namespace of an open store, and the handle by which a backend and its roles hold it.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};

use store_core::{BoxStream, Error, Result};
use tokio::sync::{Mutex, MutexGuard};

use crate::engine::{Engine, ReadTx, WriteTx, blocking};
use crate::error::{NAME, closed};
use crate::schema::Tables;
use crate::vector::SharedVectors;

/// Locks for updates; two keys share one now and then, which costs only time.
const LOCKS: usize = 64;

/// One namespace of an open store, shared by all who opened it in this process. State that must be one for all
/// of them (the vectors in memory, the word index) belongs here.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) engine: Arc<Engine>,
    pub(crate) namespace: String,
    pub(crate) tables: Tables,
    pub(crate) vectors: SharedVectors,
    /// Whether key-values that expire may be stored; false only when it is known that none are.
    pub(crate) expiring: AtomicBool,
    locks: Vec<Mutex<()>>,
    hasher: RandomState,
    /// The named vector sets that were used: spaces of which only the vector tables are.
    sets: std::sync::Mutex<HashMap<String, Arc<Space>>>,
    /// Last, so that all else is let go (files and locks of the word index) before the next one may begin.
    leave: Arc<Leave>,
}

/// Tells the engine that a space is gone, and keeps the engine until then.
#[derive(Debug)]
struct Leave {
    engine: Arc<Engine>,
    namespace: String,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.engine.leave(&self.namespace);
    }
}

impl Space {
    pub(crate) fn new(engine: Arc<Engine>, namespace: &str) -> Self {
        let leave = Leave { engine: Arc::clone(&engine), namespace: namespace.to_owned() };
        Self::with_leave(engine, namespace, Arc::new(leave))
    }

    fn with_leave(engine: Arc<Engine>, namespace: &str, leave: Arc<Leave>) -> Self {
        Self {
            engine,
            namespace: namespace.to_owned(),
            tables: Tables::new(namespace),
            vectors: SharedVectors::default(),
            expiring: AtomicBool::new(true),
            locks: (0..LOCKS).map(|_| Mutex::new(())).collect(),
            hasher: RandomState::new(),
            sets: std::sync::Mutex::default(),
            leave,
        }
    }

    /// The space of a vector set. No namespace has a dot in its name, so none is ever mistaken for a set.
    pub(crate) fn set(&self, name: &str) -> Arc<Self> {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let space = format!("{}.{name}", self.namespace);
            Arc::new(Self::with_leave(Arc::clone(&self.engine), &space, Arc::clone(&self.leave)))
        };
        Arc::clone(sets.entry(name.to_owned()).or_insert_with(make))
    }

    /// What all spaces of sets have before their own names.
    pub(crate) fn set_prefix(&self) -> String {
        format!("{}.", self.namespace)
    }

    /// Forgets what memory and the word indexes hold: the namespace was dropped with all its sets.
    pub(crate) fn dropped(&self) {
        self.vectors.dropped(&self.words_folder());
        let sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        sets.values().for_each(|set| set.dropped());
        // Those of sets that nobody used since the folder was opened.
        let prefix = self.set_prefix();
        let folders = std::fs::read_dir(self.engine.folder().join("words")).into_iter().flatten().flatten();
        for folder in folders.filter(|folder| folder.file_name().to_string_lossy().starts_with(&prefix)) {
            SharedVectors::default().dropped(&folder.path());
        }
    }

    /// Where the word index of the namespace is.
    pub(crate) fn words_folder(&self) -> PathBuf {
        self.engine.folder().join("words").join(&self.namespace)
    }

    /// Locks keys for a read, a decision and a write. Always taken in one order, so nobody waits in a circle.
    pub(crate) async fn lock_keys<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a [u8]> + Send,
    ) -> Vec<MutexGuard<'_, ()>> {
        let mut wanted = [false; LOCKS];
        for key in keys {
            let place = usize::try_from(self.hasher.hash_one(key) % LOCKS as u64).unwrap_or_default();
            if let Some(wanted) = wanted.get_mut(place) {
                *wanted = true;
            }
        }
        let mut guards = Vec::new();
        for (lock, _) in self.locks.iter().zip(wanted).filter(|(_, wanted)| *wanted) {
            guards.push(lock.lock().await);
        }
        guards
    }
}

/// What a backend and all its roles share: the space, until the backend is closed.
#[derive(Debug)]
pub(crate) enum Handle {
    /// Of the namespace.
    Namespace(RwLock<Option<Arc<Space>>>),
    /// Of a vector set in it.
    Set {
        /// The namespace's.
        namespace: Arc<Handle>,
        /// The set's name.
        name: String,
    },
}

impl Handle {
    pub(crate) fn new(space: Arc<Space>) -> Self {
        Self::Namespace(RwLock::new(Some(space)))
    }

    /// The space; `Unavailable` after [`Handle::close`].
    pub(crate) fn space(&self) -> Result<Arc<Space>> {
        match self {
            Self::Namespace(space) => {
                space.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(closed)
            }
            Self::Set { namespace, name } => Ok(namespace.space()?.set(name)),
        }
    }

    /// [`Engine::read`], with the namespace's tables.
    pub(crate) async fn read<T, F>(&self, mut read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&ReadTx, &Tables) -> Result<T> + Send + 'static,
    {
        let space = self.space()?;
        let inner = Arc::clone(&space);
        space.engine.read(move |tx| read(tx, &inner.tables)).await
    }

    /// [`Engine::write`], with the namespace's tables.
    pub(crate) async fn write<T, F>(&self, mut write: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&WriteTx, &Tables) -> Result<T> + Send + 'static,
    {
        let space = self.space()?;
        let inner = Arc::clone(&space);
        space.engine.write(move |tx| write(tx, &inner.tables)).await
    }

    /// A stream of chunks, each from a fresh snapshot: nothing is held while the reader thinks. `fetch` gets the
    /// last chunk's `next` (at first `None`).
    pub(crate) fn stream<T, F>(self: &Arc<Self>, operation: &'static str, fetch: F) -> BoxStream<T>
    where
        T: Send + 'static,
        F: Fn(&ReadTx, &Tables, Option<&[u8]>) -> Result<Chunk<T>> + Send + Sync + 'static,
    {
        use futures::{StreamExt as _, TryStreamExt as _, stream};

        let handle = Arc::clone(self);
        let fetch = Arc::new(fetch);
        let chunks = stream::try_unfold(Some(None::<Vec<u8>>), move |place| {
            let (handle, fetch) = (Arc::clone(&handle), Arc::clone(&fetch));
            async move {
                let Some(after) = place else { return Ok(None) };
                let chunk = handle
                    .read(move |tx, tables| fetch(tx, tables, after.as_deref()))
                    .await
                    .map_err(|error| error.with_backend(NAME).with_operation(operation))?;
                Ok::<_, Error>(Some((stream::iter(chunk.items).map(Ok), chunk.next.map(Some))))
            }
        });
        Box::pin(chunks.try_flatten())
    }

    /// Lets go of the space; when no other backend holds it, waits until the file is free.
    pub(crate) async fn close(&self) -> Result<()> {
        let Self::Namespace(space) = self else { return Ok(()) };
        let Some(space) = space.write().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        blocking(move || {
            let folder = space.engine.folder().to_owned();
            drop(space);
            Engine::wait_until_closed(&folder);
            Ok(())
        })
        .await
    }
}

/// A row for a [`Chunk`]: its key, its size in bytes, and the item.
pub(crate) type ChunkRow<T> = (Vec<u8>, usize, T);

/// A bounded piece of a listing.
#[derive(Debug)]
pub(crate) struct Chunk<T> {
    pub(crate) items: Vec<T>,
    /// The key after which the next chunk begins; `None` at the end.
    pub(crate) next: Option<Vec<u8>>,
}

impl<T> Chunk<T> {
    /// Most rows and bytes in one chunk.
    const ROWS: usize = 256;
    const BYTES: usize = 1 << 20;

    /// Takes rows from an iterator of key, size and item until the chunk is full or the rows end.
    pub(crate) fn fill(rows: impl Iterator<Item = Result<ChunkRow<T>>>) -> Result<Self> {
        let mut chunk = Self { items: Vec::new(), next: None };
        let mut bytes = 0;
        for row in rows {
            let (key, size, item) = row?;
            chunk.items.push(item);
            bytes += size;
            if chunk.items.len() >= Self::ROWS || bytes >= Self::BYTES {
                chunk.next = Some(key);
                break;
            }
        }
        Ok(chunk)
    }
}
