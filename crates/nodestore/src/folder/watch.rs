//! Who watches the work: told how far it is, asked whether it shall stop.

use std::fmt;
use std::sync::Arc;

use crate::{Error, ErrorKind, Result};

/// What happens while a folder is read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FolderEvent<'a> {
    /// A file is begun to be checked.
    Checking {
        /// Its name in the folder.
        file: &'a str,
    },
    /// A file is begun to be imported.
    Importing {
        /// Its name in the folder.
        file: &'a str,
    },
    /// A file is begun to be exported.
    Exporting {
        /// Its name in the folder.
        file: &'a str,
    },
    /// So many more bytes of files are done. An import counts each byte twice: checked and imported.
    Bytes(u64),
}

type Observer = Arc<dyn Fn(&FolderEvent<'_>) + Send + Sync>;
type Asked = Arc<dyn Fn() -> bool + Send + Sync>;

/// The observer and the question whether to stop.
#[derive(Clone, Default)]
pub(super) struct Watch {
    pub(super) observer: Option<Observer>,
    pub(super) stop: Option<Asked>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("observer", &self.observer.is_some())
            .field("stop", &self.stop.is_some())
            .finish()
    }
}

impl Watch {
    pub(super) fn tell(&self, event: FolderEvent<'_>) {
        if let Some(observer) = &self.observer {
            observer(&event);
        }
    }

    /// An error when somebody wants the work to stop.
    pub(super) fn go_on(&self) -> Result<()> {
        if self.stop.as_ref().is_some_and(|asked| asked()) {
            return Err(Error::new(ErrorKind::Other, "stopped before the end"));
        }
        Ok(())
    }
}

/// Tells how far the reading of one file is, in steps worth telling.
#[derive(Debug)]
pub(super) struct Meter<'a> {
    watch: &'a Watch,
    told: u64,
}

impl<'a> Meter<'a> {
    const STEP: u64 = 64 << 10;

    pub(super) fn new(watch: &'a Watch) -> Self {
        Self::from(watch, 0)
    }

    /// A reading that begins within the file.
    pub(super) fn from(watch: &'a Watch, offset: u64) -> Self {
        Self { watch, told: offset }
    }

    /// The work has come to this offset.
    pub(super) fn reached(&mut self, offset: u64) -> Result<()> {
        if offset >= self.told + Self::STEP {
            self.watch.tell(FolderEvent::Bytes(offset - self.told));
            self.told = offset;
            self.watch.go_on()?;
        }
        Ok(())
    }

    /// The file is done.
    pub(super) fn finish(self, size: u64) {
        self.watch.tell(FolderEvent::Bytes(size.saturating_sub(self.told)));
    }
}
