//! Which documents a run is about: their ids, and what pruning may touch.

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::files::{File, Folder};
use crate::formats::Origin;

use super::reading::Source;

/// What ids are made of: absolute paths, or paths below a folder.
#[derive(Clone, Debug)]
pub(super) struct Naming {
    base: Option<PathBuf>,
}

impl Naming {
    pub(super) fn new(relative_to: Option<&Path>) -> Result<Self, Failure> {
        let Some(base) = relative_to else { return Ok(Self { base: None }) };
        let failure = |why: &str| {
            Failure::usage(format!("--relative-to {} {why}", base.display()))
                .with_help("name a folder that holds all that is ingested")
        };
        match base.canonicalize() {
            Ok(path) if path.is_dir() => Ok(Self { base: Some(path) }),
            Ok(_) => Err(failure("is no folder")),
            Err(error) => Err(failure("does not exist").with_cause(error)),
        }
    }

    /// Refuses files that get no id.
    pub(super) fn check(&self, files: &[File]) -> Result<(), Failure> {
        let Some(base) = &self.base else { return Ok(()) };
        match files.iter().find(|file| !file.path.starts_with(base)) {
            None => Ok(()),
            Some(file) => {
                let (path, base) = (file.path.display(), base.display());
                Err(Failure::usage(format!("{path} is not below {base}"))
                    .with_help("with --relative-to, everything lies below that folder"))
            }
        }
    }

    /// Where the documents of a file come from. A name that is not UTF-8 is refused when it is read.
    pub(super) fn origin(&self, file: &File) -> Origin {
        let below = self.base.as_ref().and_then(|base| file.path.strip_prefix(base).ok());
        let id = below.unwrap_or(&file.path).to_string_lossy().into_owned();
        let shown = file.path.display().to_string();
        Origin { file: Some(id.clone()), id, shown, format: file.format }
    }
}

/// What pruning may delete: documents of these folders, files and standard input.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    base: Option<PathBuf>,
    folders: Vec<Folder>,
    /// Ids of files with rows, each with a `#` behind it.
    rows: Vec<String>,
}

impl Scope {
    /// Refuses what could delete documents of others.
    pub(super) fn new(naming: &Naming, folders: &[Folder], sources: &[Source]) -> Result<Self, Failure> {
        let mut rows: Vec<String> = Vec::new();
        for source in sources {
            match source {
                Source::StandardInput(origin) if origin.format.has_rows() => {
                    rows.push(format!("{}#", origin.id));
                }
                // The folder holds the others.
                Source::File(file)
                    if file.format.has_rows() && !folders.iter().any(|folder| folder.reads(&file.path)) =>
                {
                    rows.push(format!("{}#", naming.origin(file).id));
                }
                _ => {}
            }
        }
        if folders.is_empty() && rows.is_empty() {
            return Err(Failure::usage(
                "--prune forgets files that are gone from a folder, and no folder is named",
            )
            .with_help("name the folder: nodestore ingest docs/ --prune"));
        }
        if let Some(folder) = folders.iter().find(|folder| Some(&folder.path) == naming.base.as_ref()) {
            return Err(Failure::usage(format!(
                "--prune can not tell the documents of {} from others: with --relative-to the same folder, nothing \
                 in their ids names it",
                folder.path.display()
            ))
            .with_help("name the folder above it with --relative-to, so that ids begin with the folder's name"));
        }
        Ok(Self { base: naming.base.clone(), folders: folders.to_vec(), rows })
    }

    /// Whether a document that was not in the run goes: it is a row of a file that was read, or below a folder, and
    /// its file is gone or would have been read.
    pub(super) fn holds(&self, id: &str) -> bool {
        if self.rows.iter().any(|rows| id.starts_with(rows.as_str())) {
            return true;
        }
        let path = |id: &str| self.base.as_ref().map_or_else(|| PathBuf::from(id), |base| base.join(id));
        let mut files = std::iter::once(id).chain(id.match_indices('#').filter_map(|(at, _)| id.get(..at)));
        let whole = path(id);
        if !self.folders.iter().any(|folder| whole.starts_with(&folder.path)) {
            return false;
        }
        let is_read = |path: &Path| self.folders.iter().any(|folder| folder.reads(path));
        let mut exists = false;
        let was_read = files.any(|id| {
            let path = path(id);
            exists |= path.is_file();
            is_read(&path)
        });
        was_read || !exists
    }
}
