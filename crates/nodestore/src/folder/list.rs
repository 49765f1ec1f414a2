//! What lies in a folder, and what each file is.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::scan::unreadable;
use crate::kit::check;
use crate::{Error, Result};

pub(super) const DOCSTORE: &str = "docstore.json";
pub(super) const INDEX_STORE: &str = "index_store.json";
pub(super) const GRAPH_STORE: &str = "graph_store.json";
pub(super) const DEFAULT_VECTORS: &str = "default__vector_store.json";
pub(super) const IMAGE_VECTORS: &str = "image__vector_store.json";
/// The name of the vectors before LlamaIndex had namespaces, and the end of every other name.
const VECTORS: &str = "vector_store.json";
/// The namespace whose vectors are the store's own.
pub(super) const DEFAULT: &str = "default";
/// The namespace that LlamaIndex keeps for images.
const IMAGE: &str = "image";

/// Whether a folder looks like one that a `StorageContext` persisted: a docstore, an index store or vectors are in it.
#[must_use]
pub fn is_persisted(folder: &Path) -> bool {
    [DOCSTORE, INDEX_STORE, DEFAULT_VECTORS, VECTORS].iter().any(|name| folder.join(name).is_file())
}

/// A file of the folder.
#[derive(Clone, Debug)]
pub(super) struct FolderFile {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) bytes: u64,
    modified: Option<SystemTime>,
}

impl FolderFile {
    fn of(path: PathBuf, name: String) -> Result<Self> {
        let metadata = std::fs::metadata(&path).map_err(|error| unreadable(&path, error))?;
        Ok(Self { bytes: metadata.len(), modified: metadata.modified().ok(), path, name })
    }

    /// Refuses a file that is not as it was when it was checked.
    pub(super) fn unchanged(&self) -> Result<()> {
        let now = Self::of(self.path.clone(), self.name.clone())?;
        if (now.bytes, now.modified) == (self.bytes, self.modified) {
            return Ok(());
        }
        let message =
            format!("{} changed while it was imported; import the folder again", self.path.display());
        Err(Error::invalid_input(message))
    }
}

/// The files of a folder by what they are.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) docstore: Option<FolderFile>,
    pub(super) index_store: Option<FolderFile>,
    /// Vectors by namespace.
    pub(super) vectors: Vec<(String, FolderFile)>,
    pub(super) others: Vec<FolderFile>,
    pub(super) notes: Vec<String>,
}

impl Listing {
    /// Looks into a folder. One that holds no part of a `StorageContext` is refused.
    pub(super) fn of(folder: &Path) -> Result<Self> {
        let entries = std::fs::read_dir(folder).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotADirectory => {
                Error::invalid_input(format!("{} is a file; name the folder it lies in", folder.display()))
            }
            std::io::ErrorKind::NotFound => {
                Error::invalid_input(format!("{} does not exist", folder.display())).with_source(error)
            }
            _ => unreadable(folder, error),
        })?;
        let (mut listing, mut files) = (Self::default(), Vec::new());
        for entry in entries {
            let path = entry.map_err(|error| unreadable(folder, error))?.path();
            let shown = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                listing.notes.push(format!("the folder {shown:?} inside is left out"));
            } else if path.file_name().and_then(|name| name.to_str()).is_none() {
                listing.notes.push(format!("{shown:?} is left out: its name is not UTF-8"));
            } else {
                files.push(FolderFile::of(path, shown)?);
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let has_default = files.iter().any(|file| file.name == DEFAULT_VECTORS);
        for file in files {
            listing.take(file, has_default);
        }
        if listing.docstore.is_none() && listing.index_store.is_none() && listing.vectors.is_empty() {
            return Err(Error::invalid_input(format!(
                "{} is no folder that LlamaIndex persisted: there is no {DOCSTORE}, no {INDEX_STORE} and no \
                 {DEFAULT_VECTORS} in it",
                folder.display()
            )));
        }
        Ok(listing)
    }

    fn take(&mut self, file: FolderFile, has_default: bool) {
        match file.name.as_str() {
            DOCSTORE => self.docstore = Some(file),
            INDEX_STORE => self.index_store = Some(file),
            VECTORS if !has_default => self.vectors.push((DEFAULT.to_owned(), file)),
            name => match name.strip_suffix(VECTORS).and_then(|name| name.strip_suffix("__")) {
                Some(set) if is_set_name(set) => self.vectors.push((set.to_owned(), file)),
                _ => self.others.push(file),
            },
        }
    }
}

/// Whether a backend can hold a vector set of that name, as far as LlamaIndex does not keep it for images.
fn is_set_name(name: &str) -> bool {
    name != IMAGE && check::plain_name("vector set", name).is_ok()
}

/// The file of a vector set.
pub(super) fn vectors_file(set: &str) -> String {
    format!("{set}__{VECTORS}")
}
