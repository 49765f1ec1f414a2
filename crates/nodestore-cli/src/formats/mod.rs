//! The kinds of files that `ingest` reads, one file each.

mod csv;
mod front_matter;
mod html;
mod input;
mod json;
mod jsonl;
mod markdown;
mod rows;

use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;

use clap::ValueEnum;
use nodestore::{Document, JsonObject, Node};

use crate::store::shown_path;

pub(crate) use self::front_matter::body as markdown_body;
use self::input::Input;
pub(crate) use self::input::can_not_be_read;
pub(crate) use self::rows::RowOptions;

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Markdown, with YAML or TOML front matter
    Markdown,
    /// Plain text
    Text,
    /// A web page: its readable text
    Html,
    /// An object, or an array of objects
    Json,
    /// An object on each line
    Jsonl,
    /// A row on each line, below a header; separated by commas, semicolons or tabs
    Csv,
    /// The same, separated by tabs
    Tsv,
}

/// What is read in folders, by ending.
const ENDINGS: [(&str, Format); 12] = [
    ("md", Format::Markdown),
    ("markdown", Format::Markdown),
    ("txt", Format::Text),
    ("text", Format::Text),
    ("html", Format::Html),
    ("htm", Format::Html),
    ("xhtml", Format::Html),
    ("json", Format::Json),
    ("jsonl", Format::Jsonl),
    ("ndjson", Format::Jsonl),
    ("csv", Format::Csv),
    ("tsv", Format::Tsv),
];

impl Format {
    /// The kind that a file's ending says.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_string_lossy().to_lowercase();
        ENDINGS.iter().find(|(known, _)| ending == *known).map(|(_, format)| *format)
    }

    /// `.md .markdown .txt …`.
    pub(crate) fn endings() -> String {
        ENDINGS.map(|(ending, _)| format!(".{ending}")).join(" ")
    }

    /// Whether a file holds a document in each row.
    pub(crate) fn has_rows(self) -> bool {
        matches!(self, Self::Json | Self::Jsonl | Self::Csv | Self::Tsv)
    }

    /// The media type.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Markdown => "text/markdown",
            Self::Text => "text/plain",
            Self::Html => "text/html",
            Self::Json => "application/json",
            Self::Jsonl => "application/x-ndjson",
            Self::Csv => "text/csv",
            Self::Tsv => "text/tab-separated-values",
        }
    }
}

/// Where documents come from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The id of a document that is the whole file; those of rows begin with it.
    pub(crate) id: String,
    /// The file in messages.
    pub(crate) shown: String,
    /// The file in metadata; standard input has none.
    pub(crate) file: Option<String>,
    pub(crate) format: Format,
}

impl Origin {
    /// A file with its absolute path as id.
    pub(crate) fn of_file(path: &str, format: Format) -> Self {
        Self { id: path.to_owned(), shown: path.to_owned(), file: Some(path.to_owned()), format }
    }

    /// A document of this origin. Where it lies says nothing about what it means, so that is not embedded.
    fn document(&self, id: &str, text: impl Into<String>) -> Node {
        let mut node = Node::document(text).with_id(id);
        let mut own = vec!["file_type".to_owned()];
        if let Some(file) = &self.file {
            let name = Path::new(file).file_name().map(|name| name.to_string_lossy().into_owned());
            node = node.with_metadata("file_path", file.as_str()).with_metadata("file_name", name);
            own = ["file_path", "file_name", "file_type"].map(str::to_owned).to_vec();
        }
        node = node.with_metadata("file_type", self.format.media_type());
        node.excluded_embed_metadata_keys = own;
        node.excluded_llm_metadata_keys = vec!["file_type".to_owned()];
        node
    }
}

/// One thing that was read, and how many bytes of the file it took.
#[derive(Debug)]
pub(crate) enum Item {
    Document {
        document: Box<Document>,
        bytes: u64,
    },
    /// A file or row that is no document.
    Failed {
        /// The file, and the line in it.
        place: String,
        why: String,
        bytes: u64,
    },
    /// Something to say about a file that was read all the same.
    Note(String),
}

impl Item {
    fn document(document: Document, bytes: u64) -> Self {
        Self::Document { document: Box::new(document), bytes }
    }
}

/// Takes what is read; `Break` when nobody wants more.
pub(crate) type Out<'a> = dyn FnMut(Item) -> ControlFlow<()> + 'a;

/// Reads all documents of a file. A whole file, or a row of one, has `most_bytes` at most.
pub(crate) fn read(
    source: Box<dyn Read + Send>,
    origin: &Origin,
    rows: &RowOptions,
    most_bytes: u64,
    out: &mut Out<'_>,
) -> ControlFlow<()> {
    let mut input = match Input::new(source, most_bytes) {
        Ok(input) => input,
        Err(why) => return out(failed(origin, why)),
    };
    match origin.format {
        Format::Json => return json::read(&mut input, origin, rows, out),
        Format::Jsonl => return jsonl::read(&mut input, origin, rows, out),
        Format::Csv | Format::Tsv => return csv::read(input, origin, rows, out),
        Format::Markdown | Format::Text | Format::Html => {}
    }
    let text = match input.whole_text() {
        Ok(text) => text,
        Err(why) => return out(failed(origin, why)),
    };
    let bytes = input.take_bytes();
    let node = match origin.format {
        Format::Markdown => {
            let (node, why_no_metadata) = markdown::node(origin, &text);
            if let Some(why) = why_no_metadata {
                out(Item::Note(format!("{}: {why}", shown_path(&origin.shown))))?;
            }
            node
        }
        Format::Html => html::node(origin, &text),
        _ => origin.document(&origin.id, text),
    };
    out(match Document::try_from(node) {
        Ok(document) => Item::document(document, bytes),
        Err(error) => failed(origin, error.message().to_owned()),
    })
}

/// The whole file failed.
fn failed(origin: &Origin, why: String) -> Item {
    Item::Failed { place: origin.shown.clone(), why, bytes: 0 }
}

/// Puts a file's own metadata behind ours; its values win.
fn add_metadata(node: &mut Node, values: JsonObject) {
    for (key, value) in values {
        // What the file says about itself is worth embedding, whatever its name.
        node.excluded_embed_metadata_keys.retain(|own| *own != key);
        node.metadata.insert(key, value);
    }
}

/// The one document of a text file that is held in memory; `Err` says why it is none.
pub(crate) fn document(path: &str, bytes: &[u8]) -> Result<Document, String> {
    let format = Format::of(Path::new(path)).filter(|format| !format.has_rows()).unwrap_or(Format::Text);
    let mut answer = Err("is empty".to_owned());
    let source = Box::new(std::io::Cursor::new(bytes.to_vec()));
    let _ = read(source, &Origin::of_file(path, format), &RowOptions::default(), u64::MAX, &mut |item| {
        match item {
            Item::Document { document, .. } => answer = Ok(*document),
            Item::Failed { why, .. } => answer = Err(why),
            Item::Note(_) => {}
        }
        ControlFlow::Continue(())
    });
    answer
}

#[cfg(test)]
mod tests;
