//! A folder that is written aside and put into place when it is whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Component, Path, PathBuf};

use super::list::{DEFAULT_VECTORS, DOCSTORE, INDEX_STORE};
use crate::{Error, ErrorKind, Result};

/// Bytes collected before they are written.
const BUFFER: usize = 256 << 10;

/// The folder to be: a hidden one beside it until [`commit`](Self::commit), removed when that does not come.
#[derive(Debug)]
pub(super) struct Target {
    folder: PathBuf,
    aside: PathBuf,
    is_done: bool,
    /// Keeps other exports out.
    _lock: Option<File>,
}

impl Target {
    /// Prepares to write `folder`. One that holds something is refused, unless `force` is set, it is a persisted
    /// folder, and all it holds are files of one: `.json`, or of a name among `own`.
    pub(super) fn new(folder: &Path, force: bool, own: &[String]) -> Result<Self> {
        let folder = std::path::absolute(folder).map_err(|error| failed(folder, error))?;
        let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
            return Err(Error::invalid_input(format!(
                "{} can not be replaced; name a folder in it",
                folder.display()
            )));
        };
        may_be_replaced(&folder, force, own)?;
        fs::create_dir_all(parent).map_err(|error| failed(parent, error))?;
        let aside = parent.join(hidden(name, ".exporting"));
        fs::create_dir_all(&aside).map_err(|error| failed(&aside, error))?;
        let lock = File::open(&aside).ok();
        if let Some(Err(fs::TryLockError::WouldBlock)) = lock.as_ref().map(File::try_lock) {
            let message = format!("another export is writing {}", folder.display());
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let target = Self { folder, aside, is_done: false, _lock: lock };
        // What a killed export left.
        for entry in fs::read_dir(&target.aside).map_err(|error| failed(&target.aside, error))? {
            let path = entry.map_err(|error| failed(&target.aside, error))?.path();
            fs::remove_file(&path).map_err(|error| failed(&path, error))?;
        }
        Ok(target)
    }

    /// A new file in the folder. A name that leads out of it is refused: names come from the store, where others write.
    pub(super) fn create(&self, name: &str) -> Result<Out> {
        let mut parts = Path::new(name).components();
        if !matches!((parts.next(), parts.next()), (Some(Component::Normal(only)), None) if only == name) {
            return Err(Error::corrupt(format!(
                "the store names a file {name:?}, which is no name of a file in a folder"
            )));
        }
        let path = self.aside.join(name);
        let file = File::create_new(&path).map_err(|error| failed(&path, error))?;
        Ok(Out { writer: BufWriter::with_capacity(BUFFER, file), path, bytes: 0 })
    }

    /// Puts the folder into place.
    pub(super) fn commit(mut self) -> Result<()> {
        let (folder, aside) = (&self.folder, &self.aside);
        sync(aside)?;
        let old = folder.with_file_name(hidden(folder.file_name().unwrap_or_default(), ".replaced"));
        let replaces = folder.exists();
        if replaces {
            remove(&old)?;
            fs::rename(folder, &old).map_err(|error| failed(folder, error))?;
        }
        if let Err(error) = fs::rename(aside, folder) {
            if replaces {
                fs::rename(&old, folder).map_err(|error| failed(&old, error))?;
            }
            return Err(failed(folder, error));
        }
        self.is_done = true;
        if let Some(parent) = self.folder.parent() {
            sync(parent)?;
        }
        remove(&old)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.is_done {
            // What can not be removed is removed by the next export.
            let _ = fs::remove_dir_all(&self.aside);
        }
    }
}

fn may_be_replaced(folder: &Path, force: bool, own: &[String]) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(Error::invalid_input(format!("{} is a file", folder.display())));
        }
        Err(error) => return Err(failed(folder, error)),
    };
    let (mut is_empty, mut is_persisted) = (true, false);
    for entry in entries {
        let path = entry.map_err(|error| failed(folder, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        is_empty = false;
        is_persisted = is_persisted || [DOCSTORE, INDEX_STORE, DEFAULT_VECTORS].contains(&name.as_str());
        let is_json = path.extension().is_some_and(|ending| ending == "json");
        if force && !(path.is_file() && (is_json || own.contains(&name))) {
            return Err(Error::invalid_input(format!(
                "{} holds {name}, which no persisted folder holds, so it is not replaced",
                folder.display()
            )));
        }
    }
    if is_empty || (force && is_persisted) {
        return Ok(());
    }
    if force {
        let why = format!(
            "{} is no persisted folder, so it is not replaced: there is no {DOCSTORE} in it",
            folder.display()
        );
        return Err(Error::invalid_input(why));
    }
    Err(Error::new(ErrorKind::AlreadyExists, format!("{} is not empty", folder.display())))
}

fn hidden(name: &std::ffi::OsStr, ending: &str) -> OsString {
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(ending);
    hidden
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(folder, error)),
        _ => Ok(()),
    }
}

/// Makes the entries of a folder last; a system that can not do this is left alone.
fn sync(folder: &Path) -> Result<()> {
    match File::open(folder) {
        Ok(file) if cfg!(unix) => file.sync_all().map_err(|error| failed(folder, error)),
        _ => Ok(()),
    }
}

fn failed(path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Other, format!("{} can not be written: {error}", path.display())).with_source(error)
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Out {
    writer: BufWriter<File>,
    path: PathBuf,
    bytes: u64,
}

impl Out {
    pub(super) fn write(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        let bytes = bytes.as_ref();
        self.bytes += bytes.len() as u64;
        self.writer.write_all(bytes).map_err(|error| failed(&self.path, error))
    }

    /// Bytes written.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the file last.
    pub(super) fn finish(mut self) -> Result<u64> {
        let done = self.writer.flush().and_then(|()| self.writer.get_ref().sync_all());
        done.map_err(|error| failed(&self.path, error))?;
        Ok(self.bytes)
    }

    /// Moves all that was written here to the end of another file; this one goes.
    pub(super) fn append_to(mut self, other: &mut Out) -> Result<()> {
        self.writer.flush().map_err(|error| failed(&self.path, error))?;
        let mut file = File::open(&self.path).map_err(|error| failed(&self.path, error))?;
        io::copy(&mut file, &mut other.writer).map_err(|error| failed(&other.path, error))?;
        other.bytes += self.bytes;
        self.discard()
    }

    /// Removes the file.
    pub(super) fn discard(self) -> Result<()> {
        fs::remove_file(&self.path).map_err(|error| failed(&self.path, error))
    }
}
