//! The store's file on a read-only disk: reads go to the file, writes stay in memory.
//!
//! The engine writes when it opens a file that was not closed cleanly, and opens no such file for reading only.
//! With this backend it repairs in memory; the disk is never written. The store above refuses writes.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

const BLOCK: u64 = 4096;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Overlay(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    file: File,
    /// Bytes of the file that still count; past it everything is zero or in `written`.
    base: u64,
    len: u64,
    /// Whole blocks, by number.
    written: HashMap<u64, Vec<u8>>,
}

impl Overlay {
    /// Opens the file under a shared lock: other readers may, a writer may not.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        file.try_lock_shared().map_err(|error| match error {
            TryLockError::WouldBlock => io::ErrorKind::ResourceBusy.into(),
            TryLockError::Error(error) => error,
        })?;
        let len = file.metadata()?.len();
        Ok(Self(Mutex::new(Inner { file, base: len, len, written: HashMap::new() })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Fills `out` from the file at `offset`, with zeroes past its end.
    fn read_base(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        out.fill(0);
        let available = usize::try_from(self.base.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = available.min(out.len());
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.read_exact(out.get_mut(..count).unwrap_or_default())
    }

    fn block(&mut self, number: u64) -> io::Result<Vec<u8>> {
        let mut block = vec![0; usize::try_from(BLOCK).unwrap_or(4096)];
        self.read_base(number * BLOCK, &mut block)?;
        Ok(block)
    }
}

/// The pieces of `offset..offset + len` that lie in one block each: block number, start in it, length.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut at = offset;
    let end = offset + len as u64;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let start = at % BLOCK;
        let count = (BLOCK - start).min(end - at);
        let piece = (at / BLOCK, usize::try_from(start).ok()?, usize::try_from(count).ok()?);
        at += count;
        Some(piece)
    })
}

impl redb::StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.inner().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut inner = self.inner();
        if offset + out.len() as u64 > inner.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        inner.read_base(offset, out)?;
        if inner.written.is_empty() {
            return Ok(());
        }
        let mut rest = out;
        for (number, start, count) in pieces(offset, rest.len()) {
            let (piece, after) = rest.split_at_mut(count);
            if let Some(bytes) = inner.written.get(&number).and_then(|block| block.get(start..start + count))
            {
                piece.copy_from_slice(bytes);
            }
            rest = after;
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        let mut rest = data;
        for (number, start, count) in pieces(offset, data.len()) {
            let (piece, after) = rest.split_at(count);
            let mut block = match inner.written.remove(&number) {
                Some(block) => block,
                None => inner.block(number)?,
            };
            if let Some(place) = block.get_mut(start..start + count) {
                place.copy_from_slice(piece);
            }
            inner.written.insert(number, block);
            rest = after;
        }
        inner.len = inner.len.max(offset + data.len() as u64);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut inner = self.inner();
        if len < inner.len {
            // What is cut off must read as zero when the length grows again.
            inner.base = inner.base.min(len);
            inner.written.retain(|number, _| number * BLOCK < len);
            let start = usize::try_from(len % BLOCK).unwrap_or_default();
            if let Some(tail) = inner.written.get_mut(&(len / BLOCK)).and_then(|block| block.get_mut(start..))
            {
                tail.fill(0);
            }
        }
        inner.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use redb::StorageBackend as _;

    use super::*;

    #[test]
    fn writes_stay_in_memory_and_cut_off_bytes_come_back_as_zero() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let bytes: Vec<u8> = (0..10_000u32).map(|n| u8::try_from(n % 251 + 1).unwrap()).collect();
        std::fs::write(&path, &bytes).unwrap();
        let overlay = Overlay::open(&path).unwrap();
        let read = |from: u64, count: usize| {
            let mut out = vec![9; count];
            overlay.read(from, &mut out).map(|()| out)
        };

        assert_eq!(read(4000, 200).unwrap(), bytes[4000..4200]);
        assert!(read(9_990, 11).is_err());
        overlay.write(4090, &[0; 12]).unwrap();
        assert_eq!(read(4088, 16).unwrap(), [&bytes[4088..4090], &[0; 12], &bytes[4102..4104]].concat());
        overlay.write(9_998, &[7; 4]).unwrap();
        assert_eq!(overlay.len().unwrap(), 10_002);
        overlay.set_len(4091).unwrap();
        overlay.set_len(10_002).unwrap();
        assert_eq!(read(4091, 5911).unwrap(), vec![0; 5911]);
        assert_eq!(read(4000, 90).unwrap(), bytes[4000..4090]);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}
