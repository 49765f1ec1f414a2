//! Writing objects entry by entry, in the spacing of Python's `json.dumps`.

use serde::Serialize;

use super::target::Out;
use super::watch::{FolderEvent, Watch};
use crate::{Result, python};

/// The members of an object that are being written, without its braces.
#[derive(Debug)]
pub(super) struct Members<'a> {
    out: Out,
    begun: bool,
    told: u64,
    watch: &'a Watch,
}

impl<'a> Members<'a> {
    pub(super) fn of(out: Out, watch: &'a Watch) -> Self {
        Self { out, begun: false, told: 0, watch }
    }

    /// Adds a member.
    pub(super) fn add<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<()> {
        self.key(key)?;
        self.raw(python::dumps(value)?)?;
        let bytes = self.out.bytes();
        if bytes - self.told >= 64 << 10 {
            self.watch.tell(FolderEvent::Bytes(bytes - self.told));
            self.told = bytes;
            self.watch.go_on()?;
        }
        Ok(())
    }

    /// Begins a member whose value is written by [`raw`](Self::raw).
    pub(super) fn key(&mut self, key: &str) -> Result<()> {
        if self.begun {
            self.out.write(", ")?;
        }
        self.begun = true;
        self.out.write(python::dumps(key)?)?;
        self.out.write(": ")
    }

    pub(super) fn raw(&mut self, text: impl AsRef<[u8]>) -> Result<()> {
        self.out.write(text)
    }

    /// Begins a member that is an object.
    pub(super) fn open(&mut self, key: &str) -> Result<()> {
        self.key(key)?;
        self.begun = false;
        self.raw("{")
    }

    /// Ends the object that was begun last.
    pub(super) fn close(&mut self) -> Result<()> {
        self.begun = true;
        self.raw("}")
    }

    /// Adds a member that is text already.
    pub(super) fn item(&mut self, text: &[u8]) -> Result<()> {
        if self.begun {
            self.raw(", ")?;
        }
        self.begun = true;
        self.raw(text)
    }

    /// Adds all that was written to another file, as it is; that file goes.
    pub(super) fn append(&mut self, members: Members<'_>) -> Result<()> {
        let before = self.out.bytes();
        members.out.append_to(&mut self.out)?;
        // It was told when it was written.
        self.told += self.out.bytes() - before;
        Ok(())
    }

    /// Gives up what was written aside.
    pub(super) fn discard(self) -> Result<()> {
        self.out.discard()
    }

    /// Adds an object whose members were written to another file.
    pub(super) fn add_members(&mut self, key: &str, members: Members<'_>) -> Result<()> {
        self.open(key)?;
        self.append(members)?;
        self.close()
    }

    /// Ends the file; answers its size.
    pub(super) fn finish(self) -> Result<u64> {
        self.watch.tell(FolderEvent::Bytes(self.out.bytes() - self.told));
        self.out.finish()
    }
}
