//! Who watches the work: told how far it is, asked whether it shall stop.

use crate::Result;

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

pub(super) type Watch = crate::watch::Watch<dyn Fn(&FolderEvent<'_>) + Send + Sync>;

impl Watch {
    pub(super) fn tell(&self, event: FolderEvent<'_>) {
        if let Some(observer) = &self.observer {
            observer(&event);
        }
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
