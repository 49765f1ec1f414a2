//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// What stands at the end of `nodestore --help`.
const AFTER_HELP: &str = "\
Examples:
  nodestore quickstart                       see it work, in a store of its own
  nodestore ingest docs/ notes.txt           read a folder and a file into your store
  nodestore search \"how do I resume a scan?\"
  nodestore list                             what the store holds
  nodestore --store ./kb stats               the same commands on a store in the folder kb

Stores (--store or NODESTORE_URL):
  a folder, ./kb or embedded:///data/kb      on disk, no server; made when it is not there
  memory:                                    gone when the command ends
  Without either, the folder {default}.

The embedder is a hash of words and letter groups: it needs no model and compares wording, not meaning.

Exit codes:
  0  done
  1  an error; the message says what and what to do
  2  the command line is wrong
  3  done, but some items failed or were skipped; each is named
  4  what was asked for is not there (no hit, unknown id)

NO_COLOR turns colours off. NODESTORE_LOG=debug shows what happens inside.";

fn after_help() -> String {
    let folder = crate::store::data_folder("default").map(|folder| folder.display().to_string());
    AFTER_HELP.replace("{default}", folder.as_deref().unwrap_or("nodestore under your data directory"))
}

/// Ingest, search and look into a store of documents, vectors and chats.
#[derive(Debug, Parser)]
#[command(name = "nodestore", version, after_help = after_help(), arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// The store: a folder, or a URL
    #[arg(
        long,
        global = true,
        env = "NODESTORE_URL",
        hide_env_values = true,
        value_name = "STORE",
        help_heading = "Options of every command"
    )]
    pub(crate) store: Option<String>,
    /// Keeps several stores in one place apart: a–z and 0–9, starting with a letter
    #[arg(long, global = true, value_name = "NAME", help_heading = "Options of every command")]
    pub(crate) namespace: Option<String>,
    /// Shows the cause of an error, and events; -vv shows more
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Options of every command")]
    pub(crate) verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Quickstart(Quickstart),
    Ingest(Ingest),
    Search(Search),
    Get(Get),
    List(List),
    Delete(Delete),
    Stats(Stats),
}

/// See it work: documents, search and a chat, on disk, in a few seconds
///
/// Stores a few documents about nodestore in a store of its own, asks it questions by vector and by words, remembers
/// a chat, closes the store, opens it again, and shows that everything is still there. Your own store is not touched
/// unless --store names it. Run in a checkout of nodestore it also reads README.md and docs/*.md.
#[derive(Args, Debug)]
pub(crate) struct Quickstart {}

/// Read Markdown and text files into the store
///
/// Folders are read with all that is in them: .md, .markdown, .txt and .text files, in sorted order, without hidden
/// ones. A file named itself is read whatever its name ends in. Files must be UTF-8.
///
/// Each file is cut into chunks at headings, paragraphs and sentences; document and chunks are stored, and the chunks
/// get a vector each. The id of a document is the absolute path of its file. Files that did not change since the last
/// time are passed over.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore ingest docs/
  nodestore ingest README.md notes/ --chunk-size 600
  nodestore ingest docs/ --prune             forget files that are gone from docs/
  nodestore ingest docs/ --json              a report for a program

A file that can not be read is named, the others go on, and the exit code is 3.")]
pub(crate) struct Ingest {
    /// Files and folders
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Most characters in a chunk
    #[arg(long, value_name = "CHARACTERS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(20..))]
    pub(crate) chunk_size: u32,
    /// Characters that a chunk repeats from the one before it, at most
    #[arg(long, value_name = "CHARACTERS", default_value_t = 0)]
    pub(crate) overlap: u32,
    /// Values in a vector; only for a store that has none yet [default: 512]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) dimensions: Option<u32>,
    /// Deletes documents of these folders whose files are gone
    #[arg(long)]
    pub(crate) prune: bool,
    /// Writes unchanged files again too, for another chunk size
    #[arg(long)]
    pub(crate) rewrite: bool,
    /// Skips files of more than so many megabytes
    #[arg(long, value_name = "MB", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub(crate) max_file_size: u64,
    /// Prints a report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Search the store, best answers first
///
/// Shows for each answer its score, the file and lines it comes from, and the part that matches. Scores can be
/// compared within one answer list only: cosine in [-1, 1] for vector, BM25 for text, a sum of ranks for hybrid.
#[derive(Args, Debug)]
#[command(after_help = SEARCH_EXAMPLES, after_long_help = search_help())]
pub(crate) struct Search {
    /// The question; several words need no quotes
    #[arg(required = true, value_name = "QUERY")]
    pub(crate) query: Vec<String>,
    /// How to search
    #[arg(long, value_enum, default_value_t = Mode::Hybrid)]
    pub(crate) mode: Mode,
    /// Most answers
    #[arg(short = 'k', long = "top-k", value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) top_k: u32,
    /// Only nodes whose metadata matches, in words or as LlamaIndex's JSON
    #[arg(long, value_name = "FILTER")]
    pub(crate) filter: Option<String>,
    /// Also shows how the store answers
    #[arg(long)]
    pub(crate) explain: bool,
    /// Prints JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const SEARCH_EXAMPLES: &str = "\
Examples:
  nodestore search \"resume a scan\"
  nodestore search --mode text -k 10 fsync durable
  nodestore search cursor --filter 'file_name == \"design.md\" or title matches \"Design\"'
  nodestore search cursor --json | jq '.hits[0].text'

`nodestore get ID` shows the metadata that filters see. The exit code is 4 when nothing is found.";

fn search_help() -> String {
    format!("{SEARCH_EXAMPLES}\n\n{}", nodestore::filter::SYNTAX_HELP)
}

/// How `search` searches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Nearest vectors
    Vector,
    /// Best by words (BM25); only nodes that hold a word of the question
    Text,
    /// Both, joined by rank
    Hybrid,
    /// Near the question, but unlike each other
    Mmr,
}

/// Show documents and nodes by id
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore get README.md                    the document of a file
  nodestore get 8c1f5a52-… --json            a node in LlamaIndex's JSON

Ids are what `list` and `search` show. The exit code is 4 when one is not there.")]
pub(crate) struct Get {
    /// Ids of documents or nodes, or files that were ingested
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Prints a JSON list of nodes, in LlamaIndex's form
    #[arg(long)]
    pub(crate) json: bool,
}

/// List what the store holds: documents, nodes, chats or key-values
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore list                             documents and their number of chunks
  nodestore list --nodes --limit 10
  nodestore list --chats
  nodestore list --kv nodestore --json    what this program noted about the store

A page ends with the option that shows the next one.")]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) what: ListWhat,
    /// Most items
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Goes on after this item
    #[arg(long, value_name = "ID")]
    pub(crate) after: Option<String>,
    /// Prints JSON: {"items": […], "next": …}
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `list` lists; documents unless something else is asked for.
#[derive(Args, Debug)]
#[group(multiple = false)]
pub(crate) struct ListWhat {
    /// Documents (the default)
    #[arg(long)]
    pub(crate) docs: bool,
    /// Documents and their nodes
    #[arg(long)]
    pub(crate) nodes: bool,
    /// Chats
    #[arg(long)]
    pub(crate) chats: bool,
    /// The entries of a key-value collection
    #[arg(long, value_name = "COLLECTION")]
    pub(crate) kv: Option<String>,
}

/// Delete documents and nodes, with their vectors
///
/// The id of a document deletes it with all its nodes. Asks before it deletes; without a terminal it wants --yes.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore delete README.md                 a document and its nodes
  nodestore delete 8c1f5a52-…                one node
  nodestore delete --filter 'file_type == \"text/plain\"' --yes

The exit code is 4 when there is nothing to delete.")]
pub(crate) struct Delete {
    /// Ids of documents or nodes, or files that were ingested
    #[arg(value_name = "ID", required_unless_present_any = ["ref_doc", "filter"])]
    pub(crate) ids: Vec<String>,
    /// Ids of source documents: deletes their nodes also where the document itself is not stored
    #[arg(long, value_name = "ID")]
    pub(crate) ref_doc: Vec<String>,
    /// Everything whose metadata matches, in words or as LlamaIndex's JSON
    #[arg(long, value_name = "FILTER", conflicts_with_all = ["ids", "ref_doc"])]
    pub(crate) filter: Option<String>,
    /// Does not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Prints a report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Count what the store holds
#[derive(Args, Debug)]
pub(crate) struct Stats {
    /// Prints JSON
    #[arg(long)]
    pub(crate) json: bool,
}
