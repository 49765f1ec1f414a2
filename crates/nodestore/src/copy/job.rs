//! The job file: how far each part of a copy is.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::report::digest;
use crate::{Error, ErrorKind, Result};

/// The form of the file.
const VERSION: u32 = 1;

/// A name in `folder` for the job of copying one store into another: another for each pair, the same for a pair however
/// often it is asked. `from` and `to` are URLs, or any other names of the two; secrets in URLs do not count.
#[must_use]
pub fn job_file(folder: &Path, from: &str, to: &str) -> PathBuf {
    let pair = digest(&crate::redact(from), crate::redact(to).as_bytes());
    folder.join(format!("{pair:032x}.json"))
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    version: u32,
    parts: BTreeMap<String, Progress>,
}

/// How far a part is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    /// Whether the store held nothing of it before.
    was_empty: bool,
    /// Where the last page ended that was acknowledged.
    after: Option<String>,
    /// Whether it is all there.
    done: bool,
    /// Records written.
    records: usize,
}

/// What a run finds of a part in its job.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) after: Option<String>,
    pub(super) done: bool,
    pub(super) records: usize,
}

/// A job, on disk if it has a file.
#[derive(Debug)]
pub(super) struct Job {
    file: Option<PathBuf>,
    state: State,
}

impl Job {
    /// The job of this file, or a new one.
    pub(super) fn open(file: Option<PathBuf>) -> Result<Self> {
        let new = State { version: VERSION, parts: BTreeMap::new() };
        let Some(path) = &file else { return Ok(Self { file, state: new }) };
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self { file, state: new }),
            Err(error) => return Err(failed(path, "read", error)),
        };
        let refuse = |why: &str| {
            let help = "remove it to begin the copy anew";
            Error::corrupt(format!("the job file {} {why}; {help}", path.display()))
        };
        let state: State =
            serde_json::from_slice(&bytes).map_err(|error| refuse("is damaged").with_source(error))?;
        if state.version != VERSION {
            return Err(refuse("is of another version of nodestore"));
        }
        Ok(Self { file, state })
    }

    pub(super) fn knows(&self, part: &str) -> bool {
        self.state.parts.contains_key(part)
    }

    pub(super) fn begin(&mut self, part: &str, was_empty: bool) {
        let progress = Progress { was_empty, ..Progress::default() };
        self.state.parts.insert(part.to_owned(), progress);
    }

    pub(super) fn was_empty(&self, part: &str) -> bool {
        self.state.parts.get(part).is_some_and(|progress| progress.was_empty)
    }

    pub(super) fn place(&self, part: &str) -> Place {
        let progress = self.state.parts.get(part).cloned().unwrap_or_default();
        Place { after: progress.after, done: progress.done, records: progress.records }
    }

    /// So many more records are in the store, up to this mark.
    pub(super) fn reached(&mut self, part: &str, mark: String, records: usize) -> Result<()> {
        if let Some(progress) = self.state.parts.get_mut(part) {
            progress.after = Some(mark);
            progress.records += records;
        }
        self.save()
    }

    /// The part is all there.
    pub(super) fn finish(&mut self, part: &str) -> Result<()> {
        if let Some(progress) = self.state.parts.get_mut(part) {
            progress.done = true;
        }
        self.save()
    }

    /// Puts the file into place: the old one or the new one is there, and whole.
    pub(super) fn save(&self) -> Result<()> {
        let Some(path) = &self.file else { return Ok(()) };
        let aside = path.with_extension("new");
        let write = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let mut file = File::create(&aside)?;
            file.write_all(&serde_json::to_vec(&self.state)?)?;
            file.sync_all()?;
            fs::rename(&aside, path)
        };
        write().map_err(|error| failed(path, "written", error))
    }

    /// The copy is complete.
    pub(super) fn remove(self) -> Result<()> {
        let Some(path) = &self.file else { return Ok(()) };
        fs::remove_file(path).map_err(|error| failed(path, "removed", error))
    }
}

fn failed(path: &Path, what: &str, error: io::Error) -> Error {
    let message = format!("the job file {} can not be {what}: {error}", path.display());
    Error::new(ErrorKind::Other, message).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_has_its_file_and_secrets_do_not_count() {
        let file = |from, to| job_file(Path::new("jobs"), from, to);
        assert_eq!(file("redis://me:one@h/", "memory:"), file("redis://me:two@h/", "memory:"));
        let files = [file("a:", "b:"), file("b:", "a:"), file("a:b", ":"), file("a:", "b:c")];
        for (place, one) in files.iter().enumerate() {
            assert!(files.iter().skip(place + 1).all(|other| other != one), "{files:?}");
        }
    }

    #[test]
    fn a_job_is_found_again_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/job.json");
        let mut job = Job::open(Some(file.clone())).unwrap();
        assert!(!job.knows("nodes"));
        job.begin("nodes", true);
        job.reached("nodes", "n-7".to_owned(), 7).unwrap();
        job.reached("nodes", "n-9".to_owned(), 2).unwrap();
        let again = Job::open(Some(file.clone())).unwrap();
        let place = again.place("nodes");
        assert_eq!((place.after.as_deref(), place.done, place.records), (Some("n-9"), false, 9));
        assert!(again.was_empty("nodes") && !again.was_empty("chats"));
        job.finish("nodes").unwrap();
        assert!(Job::open(Some(file.clone())).unwrap().place("nodes").done);
        job.remove().unwrap();
        assert!(!file.exists());
    }

    #[test]
    fn a_damaged_job_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("job.json");
        for text in ["{", r#"{"version": 2, "parts": {}}"#] {
            fs::write(&file, text).unwrap();
            let error = Job::open(Some(file.clone())).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.message().contains("job.json"), "{error}");
        }
    }
}
