//! `ingest`: files into the store.

mod reading;
mod scope;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use clap::Args;
use nodestore::{Document, IngestEvent, IngestReport, Ingestion, Node, NodeId, Result as StoreResult};
use serde_json::{Value, json};

use self::reading::{How, Source, Tally};
use self::scope::{Naming, Scope};
use crate::chunks::splitter;
use crate::cli::Global;
use crate::embedding::{self, EmbedderArgs};
use crate::failure::{Failure, Outcome};
use crate::files::{self, Found, Selection};
use crate::formats::{Format, Origin, RowOptions};
use crate::output::{STRONG, count, one_line, print, print_json, say, thousands};
use crate::progress::{Progress, Unit};
use crate::stop::Stop;
use crate::store::{Access, Store, shown_path, with_store};

/// Read files, folders or standard input into the store
///
/// Reads Markdown, plain text, HTML, JSON, JSONL, CSV and TSV, in UTF-8. Of a folder it reads all files with those
/// endings, in sorted order, without hidden files; .gitignore is not looked at, since what is kept out of git is
/// often what one wants to search: --exclude leaves things out. A file named itself is read whatever its name ends
/// in, as text if the ending is not known.
///
/// A file is one document, but for JSON, JSONL, CSV and TSV, where an object or a row is one. Each document is cut into
/// chunks at headings, paragraphs and sentences; document and chunks are stored, and the chunks get a vector each.
/// Documents that did not change since the last time are passed over.
///
/// Ids: a file's is its absolute path (--relative-to makes it a relative one), a row's is the file's with `#` and
/// the row's own id (--id-field) or its number. Numbers shift when a row is inserted in the middle, and the rows behind
/// it are then written again: files that change should have a field with an id.
///
/// Metadata: `file_path`, `file_name` and `file_type`; the title and the front matter of Markdown (YAML between lines of
/// ---, TOML between +++), the title of HTML, the other fields of a row.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore ingest docs/
  nodestore ingest README.md notes/ --chunk-size 600
  nodestore ingest src/ --glob '*.rs' --glob '*.md' --exclude target
  nodestore ingest 'talks/**/*.html'
  nodestore ingest faq.csv --id-field id --text-field question --text-field answer
  curl -s https://example.org/feed.jsonl | nodestore ingest - --format jsonl --id feed
  nodestore ingest docs/ --prune             forget files that are gone from docs/
  nodestore ingest docs/ --json              a report for a program

A file or row that can not be read is named, the others go on, and the exit code is 3. Ctrl-C stops
after the documents that are being written; the same command goes on from there.")]
pub(crate) struct Ingest {
    /// Files, folders, patterns in quotes ('docs/**/*.md'), or - for standard input
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    /// Reads the files of folders that match, of any ending: '*.rs' is about names, 'src/**/*.rs' about the path
    /// below the folder; may be given several times
    #[arg(long, value_name = "PATTERN", help_heading = "What is read")]
    pub(crate) glob: Vec<String>,
    /// Leaves out files and folders that match; may be given several times
    #[arg(long, value_name = "PATTERN", help_heading = "What is read")]
    pub(crate) exclude: Vec<String>,
    /// Reads everything as this kind, whatever its ending
    #[arg(long, value_enum, value_name = "KIND", help_heading = "What is read")]
    pub(crate) format: Option<Format>,
    /// Skips documents of more than so many megabytes: files, or rows of JSON, JSONL and CSV
    #[arg(long, value_name = "MB", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=1024), help_heading = "What is read")]
    pub(crate) max_file_size: u64,

    /// The field of JSON, JSONL and CSV with the text; several are joined by blank lines [default: text, content, body
    /// or `page_content`, else all fields as `name: value` lines]
    #[arg(long, value_name = "FIELD", help_heading = "Documents")]
    pub(crate) text_field: Vec<String>,
    /// The field with the row's id [default: the number of the row]
    #[arg(long, value_name = "FIELD", help_heading = "Documents")]
    pub(crate) id_field: Option<String>,
    /// The fields for metadata, separated by commas [default: all others but lists, objects and long texts]
    #[arg(long, value_name = "FIELD,...", value_delimiter = ',', help_heading = "Documents")]
    pub(crate) metadata: Option<Vec<String>>,
    /// Makes ids and `file_path` relative to this folder, so that the store can move to another machine
    #[arg(long, value_name = "DIR", help_heading = "Documents")]
    pub(crate) relative_to: Option<PathBuf>,
    /// The id of what comes from standard input
    #[arg(long, value_name = "ID", help_heading = "Documents")]
    pub(crate) id: Option<String>,

    /// Most characters in a chunk
    #[arg(long, value_name = "CHARACTERS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(20..))]
    pub(crate) chunk_size: u32,
    /// Characters that a chunk repeats from the one before it, at most
    #[arg(long, value_name = "CHARACTERS", default_value_t = 0)]
    pub(crate) overlap: u32,
    #[command(flatten)]
    pub(crate) embedder: EmbedderArgs,
    /// Deletes documents of these folders whose files are gone, and rows that are gone from these files
    #[arg(long)]
    pub(crate) prune: bool,
    /// Writes unchanged files again too, for another chunk size
    #[arg(long)]
    pub(crate) rewrite: bool,
    /// Prints a report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Documents written together: many files are small, and each batch waits for the disk.
const BATCH_DOCUMENTS: usize = 128;

/// What was left out, and why.
#[derive(Debug, Default)]
struct Failures(Mutex<(usize, Vec<(String, String)>)>);

impl Failures {
    /// How many the report as JSON names; the others are told all the same.
    const KEPT: usize = 1000;

    fn held(&self) -> MutexGuard<'_, (usize, Vec<(String, String)>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, progress: &Progress, place: &str, why: &str) {
        progress.say(format_args!("skipped {}: {}", one_line(&shown_path(place), 500), one_line(why, 500)));
        let (count, first) = &mut *self.held();
        *count += 1;
        if first.len() < Self::KEPT {
            first.push((place.to_owned(), why.to_owned()));
        }
    }

    fn count(&self) -> usize {
        self.held().0
    }
}

/// What a command line asks for, checked before anything is written.
struct Plan {
    sources: Vec<Source>,
    found: Found,
    prune: Option<Scope>,
    how: How,
}

pub(crate) async fn run(options: &Ingest, global: &Global) -> Result<Outcome, Failure> {
    let splitter = splitter(options.chunk_size as usize, options.overlap as usize)?;
    let plan = plan(options)?;
    options.embedder.check()?;
    with_store(global, Access::Create, async |store| ingest(options, plan, splitter, store).await).await
}

fn plan(options: &Ingest) -> Result<Plan, Failure> {
    let naming = Naming::new(options.relative_to.as_deref())?;
    let selection = Selection::new(&options.glob, &options.exclude, options.format)?;
    let paths: Vec<PathBuf> = options.paths.iter().filter(|path| !is_stdin(path)).cloned().collect();
    let with_stdin = paths.len() < options.paths.len();
    let mut found = if paths.is_empty() { Found::default() } else { files::find(&paths, &selection)? };
    naming.check(&found.files)?;
    let mut sources: Vec<Source> = std::mem::take(&mut found.files).into_iter().map(Source::File).collect();
    if with_stdin {
        sources.push(stdin(options)?);
    } else if options.id.is_some() {
        return Err(Failure::usage("--id is for standard input, which is not read here")
            .with_help("name it with -: nodestore ingest - --format text --id notes"));
    }
    let prune = options.prune.then(|| Scope::new(&naming, &found.folders, &sources)).transpose()?;
    let rows = RowOptions {
        text: options.text_field.clone(),
        id: options.id_field.clone(),
        metadata: options.metadata.clone(),
    };
    Ok(Plan { sources, found, prune, how: How { naming, rows, most_bytes: options.max_file_size << 20 } })
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

fn stdin(options: &Ingest) -> Result<Source, Failure> {
    const EXAMPLE: &str = "for example: nodestore ingest - --format jsonl --id feed < feed.jsonl";
    let Some(format) = options.format else {
        return Err(Failure::usage("standard input has no ending that says what it is; --format says it")
            .with_help(EXAMPLE));
    };
    let Some(id) = options.id.clone().filter(|id| !id.is_empty()) else {
        return Err(Failure::usage(
            "standard input has no name; --id gives one, by which the next run knows what it has",
        )
        .with_help(EXAMPLE));
    };
    if std::io::stdin().is_terminal() {
        say("reading from the terminal; Ctrl-D ends the text");
    }
    let origin = Origin { id, shown: "standard input".to_owned(), file: None, format };
    Ok(Source::StandardInput(origin))
}

async fn ingest(
    options: &Ingest,
    plan: Plan,
    splitter: impl Fn(&Document) -> StoreResult<Vec<Node>> + Send + Sync + 'static,
    store: &Store,
) -> Result<Outcome, Failure> {
    let start = Instant::now();
    let embedder = embedding::for_writing(store, &options.embedder).await?;
    let Plan { sources, found, prune, how } = plan;

    let total = sources.iter().map(Source::size).sum();
    let progress = Progress::new(total, Unit::Bytes);
    let failed = Arc::new(Failures::default());
    for (path, why) in &found.unreadable {
        failed.add(&progress, path, why);
    }
    let tally = Tally::new(progress.clone());
    let stop = Stop::listen();
    let mut ingestion = Ingestion::new(store.backend.docs()?, splitter)
        .with_vectors(store.vectors().await?, Arc::clone(&embedder) as Arc<_>)
        .with_batch_documents(BATCH_DOCUMENTS)
        .with_rewrite(options.rewrite)
        .with_stop(stop.wait())
        .with_observer(observer(progress.clone(), tally.clone(), Arc::clone(&failed)));
    // What could not be looked into may hold files that only seem to be gone.
    let can_prune = found.unreadable.is_empty();
    if let (Some(scope), true) = (prune, can_prune) {
        ingestion = ingestion.with_prune_where(move |id| scope.holds(id.as_str()));
    }
    let report = ingestion.run_stream(reading::documents(sources, how, tally)).await;
    progress.finish();
    let report = report?;

    let prune_skipped = options.prune && (!can_prune || report.prune_skipped);
    if options.json {
        print_json(&to_json(&report, &failed, prune_skipped))?;
    } else {
        tell(&report, &found, failed.count(), store, start)?;
        if report.added > 0 {
            say(format_args!("note: {}", embedder.remark()));
        }
    }
    if report.stopped {
        say("stopped; what is written is complete, and the same command goes on from here");
        return Ok(Outcome::Stopped);
    }
    if prune_skipped {
        say("note: nothing was pruned, because something could not be read and may be among what seems gone");
    }
    Ok(if failed.count() == 0 { Outcome::Done } else { Outcome::SomeFailed })
}

fn observer(
    progress: Progress,
    tally: Tally,
    failed: Arc<Failures>,
) -> impl Fn(&IngestEvent<'_>) + Send + Sync {
    move |event| match event {
        IngestEvent::Started { id } => progress.message(&shown_path(id.as_str())),
        IngestEvent::Unchanged { id } | IngestEvent::Written { id, .. } => tally.done(id.as_str()),
        IngestEvent::Failed { id, error } => {
            let place = id.map(NodeId::as_str).or(error.key()).unwrap_or("a file").to_owned();
            tally.done(&place);
            failed.add(&progress, &place, error.message());
        }
        _ => {}
    }
}

fn tell(
    report: &IngestReport,
    found: &Found,
    failed: usize,
    store: &Store,
    start: Instant,
) -> Result<(), Failure> {
    let mut parts = vec![
        format!("{} new", thousands(report.added)),
        format!("{} changed", thousands(report.changed)),
        format!("{} unchanged", thousands(report.unchanged)),
    ];
    parts.extend((report.pruned > 0).then(|| format!("{} pruned", thousands(report.pruned))));
    parts.extend((failed > 0).then(|| format!("{} skipped", thousands(failed))));
    let documents = report.added + report.changed + report.unchanged;
    print(format_args!(
        "{STRONG}{}{STRONG:#}: {}, in {}",
        count(documents, "document"),
        parts.join(", "),
        store.shown
    ))?;
    if report.nodes_written > 0 {
        print(format_args!(
            "{} written, {} embedded, in {:.1} s",
            count(report.nodes_written, "chunk"),
            thousands(report.nodes_embedded),
            start.elapsed().as_secs_f64()
        ))?;
    }
    if !found.others.is_empty() {
        let others = count(found.others.values().sum(), "file");
        say(format_args!("{others} of other kinds passed over ({})", found.others_shown()));
    }
    Ok(())
}

fn to_json(report: &IngestReport, failed: &Failures, prune_skipped: bool) -> Value {
    let (count, first) = &*failed.held();
    let first: Vec<Value> = first.iter().map(|(path, why)| json!({"file": path, "error": why})).collect();
    json!({
        "added": report.added,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "pruned": report.pruned,
        "prune_skipped": prune_skipped,
        "stopped": report.stopped,
        "chunks_written": report.nodes_written,
        "chunks_embedded": report.nodes_embedded,
        "skipped": count,
        "failed": first,
    })
}
