//! The commands, one file each.

pub(crate) mod bench;
pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod copy;
pub(crate) mod delete;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod import;
pub(crate) mod ingest;
pub(crate) mod list;
pub(crate) mod man;
pub(crate) mod quickstart;
pub(crate) mod reembed;
pub(crate) mod search;
pub(crate) mod stats;

use std::fmt::Display;
use std::io::BufRead;

use nodestore::Filter;

use crate::cli::{Cli, Command};
use crate::failure::{Failure, Outcome};
use crate::output::{can_ask, say};

/// Runs the command of the command line.
pub(crate) async fn run(cli: &Cli) -> Result<Outcome, Failure> {
    match &cli.command {
        Command::Quickstart(_) => quickstart::run(&cli.global).await,
        Command::Ingest(options) => ingest::run(options, &cli.global).await,
        Command::Search(options) => search::run(options, &cli.global).await,
        Command::Get(options) => get::run(options, &cli.global).await,
        Command::List(options) => list::run(options, &cli.global).await,
        Command::Delete(options) => delete::run(options, &cli.global).await,
        Command::Reembed(options) => reembed::run(options, &cli.global).await,
        Command::Chat(options) => chat::run(options, &cli.global).await,
        Command::Import(options) => import::run(options, &cli.global).await,
        Command::Export(options) => export::run(options, &cli.global).await,
        Command::Copy(options) => copy::run(options, &cli.global).await,
        Command::Stats(options) => stats::run(options, &cli.global).await,
        Command::Completions(options) => completions::run(options),
        Command::Man(options) => man::run(options),
        Command::Doctor(options) => doctor::run(options, &cli.global).await,
        Command::Bench(options) => bench::run(options, &cli.global).await,
    }
}

/// Reads `--filter`: LlamaIndex's JSON, or the form for people.
fn parse_filter(text: &str) -> Result<Filter, Failure> {
    let is_json = text.trim_start().starts_with('{');
    let filter = if is_json {
        serde_json::from_str(text)
            .map_err(|error| Failure::usage(format!("--filter is no JSON: {error}")))
            .and_then(|value| {
                Filter::from_json(&value)
                    .map_err(|error| Failure::usage(format!("--filter: {}", error.message())))
            })
    } else {
        Filter::parse(text).map_err(|error| Failure::usage(error.message()))
    };
    filter.and_then(|filter| match filter.validate() {
        Ok(()) => Ok(filter),
        Err(error) => Err(Failure::usage(error.message())),
    })
    .map_err(|failure| {
        failure.with_help(
            "a filter looks like: year >= 2024 and (tag in [\"a\", \"b\"] or not draft); `nodestore search --help` \
             shows all of it",
        )
    })
}

/// Refuses to delete where nobody can be asked.
fn can_delete(yes: bool) -> Result<(), Failure> {
    if yes || can_ask() {
        return Ok(());
    }
    Err(Failure::usage("nobody can be asked here whether to delete")
        .with_help("add --yes to delete without asking"))
}

/// Asks the person at the terminal; anything but yes is no.
fn confirmed(question: impl Display) -> Result<bool, Failure> {
    say(format_args!("{question} [y/N]"));
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::new("the answer can not be read").with_cause(error))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// The id under which something is stored: the text itself, or the absolute path if it is a file's.
fn or_path(id: &str) -> Option<String> {
    std::path::Path::new(id).canonicalize().ok()?.to_str().map(str::to_owned)
}
