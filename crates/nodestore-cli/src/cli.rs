//! The command line.

use clap::{Args, Parser, Subcommand};

use crate::commands::bench::Bench;
use crate::commands::chat::Chat;
use crate::commands::completions::Completions;
use crate::commands::copy::Copy;
use crate::commands::delete::Delete;
use crate::commands::doctor::Doctor;
use crate::commands::export::Export;
use crate::commands::get::Get;
use crate::commands::import::Import;
use crate::commands::ingest::Ingest;
use crate::commands::list::List;
use crate::commands::man::Man;
use crate::commands::quickstart::Quickstart;
use crate::commands::reembed::Reembed;
use crate::commands::search::Search;
use crate::commands::stats::Stats;

/// What stands at the end of `nodestore --help`.
const AFTER_HELP: &str = "\
Examples:
  nodestore quickstart                       see it work, in a store of its own
  nodestore ingest docs/ notes.txt           read a folder and a file into your store
  nodestore search \"how do I resume a scan?\"
  nodestore list                             what the store holds
  nodestore doctor                           whether the store is well
  nodestore --store ./kb stats               the same commands on a store in the folder kb

Stores (--store or NODESTORE_URL):
  a folder, ./kb or embedded:///data/kb      on disk, no server; made when it is not there
  mongodb://host/?store.namespace=kb         a MongoDB server; mongodb+srv:// for Atlas
  redis://host/?store.namespace=kb           a Redis server; rediss:// with TLS, redis-cluster://,
                                             redis-sentinel://, valkey://
  cassandra://HOST/KEYSPACE                  a keyspace of Cassandra
  dynamodb://REGION/TABLE                    a table of Amazon DynamoDB
  memory:                                    gone when the command ends
  Without either, the folder {default}.

Vectors come from a hash of words and letter groups, which compares wording, not meaning, unless
--embedder or NODESTORE_EMBEDDER names a model: see `nodestore ingest --help`.

Exit codes:
  0  done
  1  an error; the message says what and what to do
  2  the command line is wrong
  3  done, but some items failed or were skipped, each is named; of doctor: there are warnings
  4  what was asked for is not there (no hit, unknown id)
130  stopped by Ctrl-C; the same command goes on from there

NO_COLOR turns colours off. NODESTORE_LOG=debug shows what happens inside.";

fn after_help() -> String {
    let folder = crate::store::data_folder("default").map(|folder| folder.display().to_string());
    folder.map_or_else(|_| manual(), |folder| AFTER_HELP.replace("{default}", &folder))
}

/// The same for a manual page, which is read on any machine.
pub(crate) fn manual() -> String {
    AFTER_HELP.replace("{default}", "nodestore/default under your data directory")
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
    Reembed(Reembed),
    Chat(Chat),
    Import(Import),
    Export(Export),
    Copy(Copy),
    Stats(Stats),
    Doctor(Doctor),
    Bench(Bench),
    Completions(Completions),
    Man(Man),
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
