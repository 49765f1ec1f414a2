//! Finding and reading the files to ingest.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nodestore::{Document, Error, Node, Result};
use walkdir::{DirEntry, WalkDir};

use crate::failure::Failure;
use crate::output::count;

/// Media type of Markdown files.
pub(crate) const MARKDOWN: &str = "text/markdown";
const PLAIN: &str = "text/plain";
/// What is read in folders, by ending, with its media type.
const ENDINGS: [(&str, &str); 4] =
    [("md", MARKDOWN), ("markdown", MARKDOWN), ("txt", PLAIN), ("text", PLAIN)];

/// What the paths of a command line hold.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Files to read, absolute, each once, in the order of the paths, sorted within folders.
    pub(crate) files: Vec<PathBuf>,
    /// The given folders, absolute.
    pub(crate) folders: Vec<PathBuf>,
    /// Files in folders that are not read, by ending.
    pub(crate) others: BTreeMap<String, usize>,
    /// What could not be looked into, and why.
    pub(crate) unreadable: Vec<(String, String)>,
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

/// Finds the files of the given paths. A path that is not there is an error: most likely it is misspelt.
pub(crate) fn find(paths: &[PathBuf]) -> std::result::Result<Found, Failure> {
    let mut found = Found::default();
    let mut seen = std::collections::HashSet::new();
    for path in paths {
        let path = path.canonicalize().map_err(|error| {
            let message = if error.kind() == std::io::ErrorKind::NotFound {
                format!("{} does not exist", path.display())
            } else {
                format!("{} can not be read: {error}", path.display())
            };
            Failure::new(message)
                .with_help("nothing was read; correct the path and run it again")
                .with_cause(error)
        })?;
        if path.is_dir() {
            walk(&path, &mut found);
            found.folders.push(path);
        } else {
            found.files.push(path);
        }
    }
    found.files.retain(|file| seen.insert(file.clone()));
    if found.files.is_empty() && found.unreadable.is_empty() {
        return Err(nothing_to_read(paths, &found));
    }
    Ok(found)
}

fn nothing_to_read(paths: &[PathBuf], found: &Found) -> Failure {
    let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let failure = Failure::new(format!("there is no Markdown or text file in {}", shown.join(", ")));
    let endings: Vec<String> = ENDINGS.iter().map(|(ending, _)| format!(".{ending}")).collect();
    let endings = endings.join(" ");
    if found.others.is_empty() {
        return failure.with_help(format!("folders are read for {endings}, without hidden files"));
    }
    failure.with_help(format!(
        "folders are read for {endings}; {} passed over ({}). A file named itself is read whatever its ending",
        count(found.others.values().sum(), "other file"),
        found.others_shown()
    ))
}

fn walk(folder: &Path, found: &mut Found) {
    let entries = WalkDir::new(folder).sort_by_file_name().into_iter();
    for entry in entries.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry)) {
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
        let ending = ending(entry.path());
        if ENDINGS.iter().any(|(known, _)| ending == *known) {
            found.files.push(entry.into_path());
        } else {
            let ending = if ending.is_empty() { "without ending".to_owned() } else { format!(".{ending}") };
            *found.others.entry(ending).or_default() += 1;
        }
    }
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with('.')
}

fn ending(path: &Path) -> String {
    path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// Reads a file as a document: its absolute path is the id; path, name, media type and title are metadata.
/// `InvalidInput` with the path as its key when that can not be.
pub(crate) fn read(path: &Path, most_bytes: u64) -> Result<Document> {
    let refuse = |why: String| {
        let shown = path.display().to_string();
        Error::invalid_input(why).with_key(&shown).with_failed([shown])
    };
    let Some(id) = path.to_str() else {
        return Err(refuse("its name is not UTF-8; rename it".to_owned()));
    };
    let size = fs::metadata(path).map_err(|error| refuse(format!("can not be read: {error}")))?.len();
    if size > most_bytes {
        let (size, most) = (size.div_ceil(1 << 20), most_bytes >> 20);
        return Err(refuse(format!("has {size} MB, the limit is {most} MB; --max-file-size sets it")));
    }
    let bytes = fs::read(path).map_err(|error| refuse(format!("can not be read: {error}")))?;
    document(id, bytes).map_err(refuse)
}

/// A document of a file's bytes; `Err` says why they are no text.
pub(crate) fn document(path: &str, bytes: Vec<u8>) -> std::result::Result<Document, String> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err("is UTF-16 text; convert it to UTF-8 first".to_owned());
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        format!("is not UTF-8 text (byte {place}); convert it, or leave it out")
    })?;
    if let Some(place) = text.find('\0') {
        return Err(format!("is not text (a zero at byte {place})"));
    }
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
    let name =
        Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let ending = ending(Path::new(path));
    let kind = ENDINGS.iter().find(|(known, _)| ending == *known).map_or(PLAIN, |(_, kind)| kind);
    let mut node = Node::document(text)
        .with_id(path)
        .with_metadata("file_path", path)
        .with_metadata("file_name", name)
        .with_metadata("file_type", kind);
    // Where a text lies says nothing about what it means.
    node.excluded_embed_metadata_keys = ["file_path", "file_name", "file_type"].map(str::to_owned).to_vec();
    node.excluded_llm_metadata_keys = vec!["file_type".to_owned()];
    if kind == MARKDOWN
        && let Some(title) = title(text)
    {
        node = node.with_metadata("title", title);
    }
    Document::try_from(node).map_err(|error| error.to_string())
}

/// The first heading of the first level, outside code.
fn title(text: &str) -> Option<String> {
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code && let Some(title) = line.strip_prefix("# ") {
            let title = title.trim().trim_end_matches('#').trim();
            return (!title.is_empty()).then(|| title.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(path: &str, bytes: &[u8], key: &str) -> Option<String> {
        let document = document(path, bytes.to_vec()).unwrap();
        document.metadata.get(key).and_then(|value| value.as_str()).map(str::to_owned)
    }

    #[test]
    fn the_title_is_the_first_heading_outside_code() {
        let text = "intro\n```sh\n# no title\n```\n## second level\n# The *title* #\n# another\n";
        assert_eq!(metadata("/a.md", text.as_bytes(), "title").unwrap(), "The *title*");
        assert_eq!(metadata("/a.txt", b"# x\n", "title"), None);
        assert_eq!(metadata("/a.md", b"# \ntext", "title"), None);
    }

    #[test]
    fn what_is_no_utf8_text_says_why() {
        for (bytes, why) in [
            (b"ab\xff".as_slice(), "is not UTF-8 text (byte 2)"),
            (b"\xff\xfea\0", "is UTF-16 text"),
            (b"a\0b", "is not text (a zero at byte 1)"),
        ] {
            let error = document("/a.txt", bytes.to_vec()).unwrap_err();
            assert!(error.starts_with(why), "{error}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        let document = document("/a.md", "\u{FEFF}# T\n".as_bytes().to_vec()).unwrap();
        assert_eq!(document.text_content(), "# T\n");
    }
}
