//! The folders open in this process, each at most once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use store_core::Result;

use super::Engine;

#[derive(Default)]
struct Registry {
    /// An entry stays from before the file is opened until after it is let go, so that a folder closed a
    /// moment ago is never opened while its lock is still held. Empty while the file is being opened.
    folders: Mutex<HashMap<PathBuf, Weak<Engine>>>,
    changed: Condvar,
}

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::default);

impl Registry {
    fn folders(&self) -> MutexGuard<'_, HashMap<PathBuf, Weak<Engine>>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove(&self, folder: &Path) {
        self.folders().remove(folder);
        self.changed.notify_all();
    }
}

/// The engine of a folder: the one that is open, or else what `start` opens. `start` gets what must be called
/// when the file was let go.
pub(super) fn open(
    folder: PathBuf,
    start: impl FnOnce(PathBuf, Box<dyn FnOnce() + Send>) -> Result<Arc<Engine>>,
) -> Result<Arc<Engine>> {
    let mut folders = REGISTRY.folders();
    while let Some(engine) = folders.get(&folder) {
        if let Some(engine) = engine.upgrade() {
            return Ok(engine);
        }
        folders = REGISTRY.changed.wait(folders).unwrap_or_else(PoisonError::into_inner);
    }
    folders.insert(folder.clone(), Weak::new());
    drop(folders);

    let closing = folder.clone();
    let started = start(folder.clone(), Box::new(move || REGISTRY.remove(&closing)));
    match &started {
        Ok(engine) => {
            REGISTRY.folders().insert(folder, Arc::downgrade(engine));
            REGISTRY.changed.notify_all();
        }
        Err(_) => REGISTRY.remove(&folder),
    }
    started
}

/// Waits until the file of a dropped engine is let go. Returns at once when somebody holds the engine.
pub(super) fn wait_until_closed(folder: &Path) {
    let mut folders = REGISTRY.folders();
    while folders.get(folder).is_some_and(|engine| engine.strong_count() == 0) {
        folders = REGISTRY.changed.wait(folders).unwrap_or_else(PoisonError::into_inner);
    }
}
