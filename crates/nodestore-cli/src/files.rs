//! Finding the files to ingest.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use walkdir::{DirEntry, WalkDir};

use crate::failure::Failure;
use crate::formats::Format;
use crate::output::count;

/// Which files of a folder are read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// `None`: those of known endings.
    wanted: Option<Patterns>,
    left_out: Patterns,
    /// The kind of every file.
    format: Option<Format>,
}

/// Patterns with a `/` are about the path below the folder, the others about names.
#[derive(Clone, Debug, Default)]
struct Patterns {
    paths: GlobSet,
    names: GlobSet,
}

impl Patterns {
    fn new(option: &str, patterns: &[String]) -> Result<Self, Failure> {
        let (mut paths, mut names) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in patterns {
            let glob = glob(option, pattern)?;
            if pattern.contains('/') {
                paths.add(glob)
            } else {
                names.add(glob)
            };
        }
        let build = |set: GlobSetBuilder| {
            set.build().map_err(|error| Failure::usage(format!("{option} can not be used: {error}")))
        };
        Ok(Self { paths: build(paths)?, names: build(names)? })
    }

    fn matches(&self, below: &Path) -> bool {
        self.paths.is_match(below) || below.file_name().is_some_and(|name| self.names.is_match(name))
    }
}

fn glob(option: &str, pattern: &str) -> Result<Glob, Failure> {
    let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
    GlobBuilder::new(pattern).literal_separator(true).build().map_err(|error| {
        Failure::usage(format!("{option} {pattern:?} is no pattern: {}", error.kind()))
            .with_help("patterns look like '*.rs', 'src/**/*.md' or '{a,b}/*.txt', in quotes")
    })
}

impl Selection {
    /// Files that one of `wanted` matches and none of `left_out`; without `wanted` those of known endings.
    pub(crate) fn new(
        wanted: &[String],
        left_out: &[String],
        format: Option<Format>,
    ) -> Result<Self, Failure> {
        let wanted = (!wanted.is_empty()).then(|| Patterns::new("--glob", wanted)).transpose()?;
        Ok(Self { wanted, left_out: Patterns::new("--exclude", left_out)?, format })
    }

    /// The kind of a file that is read whatever its ending.
    fn format(&self, path: &Path) -> Format {
        self.format.or_else(|| Format::of(path)).unwrap_or(Format::Text)
    }

    /// The kind of a file in a folder, by its path below that; `None` when it is not read.
    fn select(&self, below: &Path) -> Option<Format> {
        match &self.wanted {
            Some(wanted) => wanted.matches(below).then(|| self.format(below)),
            None => Format::of(below).map(|known| self.format.unwrap_or(known)),
        }
    }
}

/// A file to read.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Absolute.
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
    /// In bytes.
    pub(crate) size: u64,
}

/// What the paths of a command line hold.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Each once, in the order of the paths, sorted within folders.
    pub(crate) files: Vec<File>,
    /// The given folders, and what is read in them.
    pub(crate) folders: Vec<Folder>,
    /// Files in folders that are not read, by ending.
    pub(crate) others: BTreeMap<String, usize>,
    /// What could not be looked into, and why.
    pub(crate) unreadable: Vec<(String, String)>,
}

/// A folder that was looked through.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    /// Absolute.
    pub(crate) path: PathBuf,
    selection: Selection,
}

impl Folder {
    /// Whether a file lies in the folder and would be read.
    pub(crate) fn reads(&self, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(&self.path) else { return false };
        let is_open =
            |part: &Path| !part.file_name().is_some_and(is_hidden) && !self.selection.left_out.matches(part);
        let parts = below.ancestors().filter(|part| !part.as_os_str().is_empty());
        self.selection.select(below).is_some() && parts.into_iter().all(is_open)
    }

    fn walk(&self, found: &mut Found) {
        let entries = WalkDir::new(&self.path).sort_by_file_name().into_iter();
        let is_open = |entry: &DirEntry| {
            entry.depth() == 0
                || !is_hidden(entry.file_name())
                    && !entry
                        .path()
                        .strip_prefix(&self.path)
                        .is_ok_and(|below| self.selection.left_out.matches(below))
        };
        for entry in entries.filter_entry(is_open) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let path = error.path().map(|path| path.display().to_string()).unwrap_or_default();
                    let why = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                    found.unreadable.push((path, why));
                    continue;
                }
            };
            if !entry.file_type().is_file() {
                continue;
            }
            let below = entry.path().strip_prefix(&self.path).unwrap_or(entry.path());
            if let Some(format) = self.selection.select(below) {
                let size = entry.metadata().map_or(0, |metadata| metadata.len());
                found.files.push(File { path: entry.into_path(), format, size });
            } else {
                let ending = below.extension().map(|ending| ending.to_string_lossy().to_lowercase());
                let ending =
                    ending.map_or_else(|| "without ending".to_owned(), |ending| format!(".{ending}"));
                *found.others.entry(ending).or_default() += 1;
            }
        }
    }
}

impl Found {
    /// `.rs 10, .toml 2`, the most frequent endings first.
    pub(crate) fn others_shown(&self) -> String {
        let mut others: Vec<(&String, &usize)> = self.others.iter().collect();
        others.sort_by(|(a, m), (b, n)| n.cmp(m).then(a.cmp(b)));
        let shown: Vec<String> = others.iter().take(5).map(|(end, n)| format!("{end} {n}")).collect();
        let more = if others.len() > 5 { ", …" } else { "" };
        format!("{}{more}", shown.join(", "))
    }
}

/// Finds the files of the given paths, which may be patterns. A path that is not there is an error: most likely it
/// is misspelt.
pub(crate) fn find(paths: &[PathBuf], selection: &Selection) -> Result<Found, Failure> {
    let mut found = Found::default();
    for path in paths {
        let real = match path.canonicalize() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && is_pattern(path) => {
                expand(path, selection, &mut found)?;
                continue;
            }
            real => real.map_err(|error| not_there(path, error))?,
        };
        let metadata = real.metadata().map_err(|error| not_there(path, error))?;
        if metadata.is_dir() {
            let folder = Folder { path: real, selection: selection.clone() };
            folder.walk(&mut found);
            found.folders.push(folder);
        } else {
            let format = selection.format(&real);
            found.files.push(File { path: real, format, size: metadata.len() });
        }
    }
    if paths.len() > 1 {
        let mut seen = HashSet::new();
        found.files.retain(|file| seen.insert(file.path.clone()));
    }
    if found.files.is_empty() && found.unreadable.is_empty() {
        return Err(nothing_to_read(paths, selection, &found));
    }
    Ok(found)
}

fn not_there(path: &Path, error: std::io::Error) -> Failure {
    let message = if error.kind() == std::io::ErrorKind::NotFound {
        format!("{} does not exist", path.display())
    } else {
        format!("{} can not be read: {error}", path.display())
    };
    Failure::new(message).with_help("nothing was read; correct the path and run it again").with_cause(error)
}

fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '[', '{'])
}

/// The files that a pattern matches: those of the folder before its first wildcard.
fn expand(pattern: &Path, selection: &Selection, found: &mut Found) -> Result<(), Failure> {
    let is_plain = |part: &std::path::Component<'_>| !is_pattern(Path::new(part.as_os_str()));
    let base: PathBuf = pattern.components().take_while(is_plain).collect();
    let below: PathBuf = pattern.components().skip_while(is_plain).collect();
    let below = below.to_string_lossy();
    let here = if base.as_os_str().is_empty() { Path::new(".") } else { base.as_path() };
    let path = here.canonicalize().map_err(|error| not_there(here, error))?;
    let mut wanted = GlobSetBuilder::new();
    wanted.add(glob("the path", &below)?);
    let paths = wanted.build().map_err(|error| Failure::usage(error.to_string()))?;
    let wanted = Some(Patterns { paths, names: GlobSet::empty() });
    let folder = Folder { path, selection: Selection { wanted, ..selection.clone() } };
    let before = found.files.len();
    let others = found.others.clone();
    folder.walk(found);
    // Who writes a pattern knows that it passes over the others.
    found.others = others;
    if found.files.len() == before {
        return Err(Failure::new(format!("no file matches {}", pattern.display()))
            .with_help("* stands for anything but /, ** for any folders; hidden files are left out"));
    }
    found.folders.push(folder);
    Ok(())
}

fn nothing_to_read(paths: &[PathBuf], selection: &Selection, found: &Found) -> Failure {
    let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let shown = shown.join(", ");
    let passed = match found.others.values().sum() {
        0 => String::new(),
        others => format!("; {} passed over ({})", count(others, "other file"), found.others_shown()),
    };
    if selection.wanted.is_some() {
        return Failure::new(format!("--glob matches no file in {shown}"))
            .with_help(format!("'*.rs' matches names, 'src/**/*.rs' the path below the folder{passed}"));
    }
    Failure::new(format!("there is no file to read in {shown}")).with_help(format!(
        "folders are read for {}, without hidden files{passed}. --glob '*.rs' reads others, and a file named itself \
         is read whatever its ending",
        Format::endings()
    ))
}

fn is_hidden(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}
