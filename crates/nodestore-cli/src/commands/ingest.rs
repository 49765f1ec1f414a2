//! `ingest`: files into the store.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use clap::Args;
use futures::StreamExt;
use nodestore::{Document, IngestEvent, IngestReport, Ingestion, Node, NodeId, Result as StoreResult};
use serde_json::{Value, json};

use crate::chunks::splitter;
use crate::cli::Global;
use crate::embedding::{self, EmbedderArgs};
use crate::failure::{Failure, Outcome};
use crate::files::{self, Found};
use crate::output::{STRONG, count, one_line, print, print_json, say};
use crate::progress::{Progress, Unit};
use crate::store::{Access, Store, shown_path, with_store};

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
    #[command(flatten)]
    pub(crate) embedder: EmbedderArgs,
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

/// A file that was left out, and why.
type Failed = (String, String);

pub(crate) async fn run(options: &Ingest, global: &Global) -> Result<Outcome, Failure> {
    let splitter = splitter(options.chunk_size as usize, options.overlap as usize)?;
    let found = files::find(&options.paths)?;
    if options.prune && found.folders.is_empty() {
        return Err(Failure::usage(
            "--prune forgets files that are gone from a folder, and no folder is named",
        )
        .with_help("name the folder: nodestore ingest docs/ --prune"));
    }
    with_store(global, Access::Create, async |store| ingest(options, found, splitter, store).await).await
}

async fn ingest(
    options: &Ingest,
    found: Found,
    splitter: impl Fn(&Document) -> StoreResult<Vec<Node>> + Send + Sync + 'static,
    store: &Store,
) -> Result<Outcome, Failure> {
    let start = Instant::now();
    let embedder = embedding::for_writing(store, &options.embedder).await?;

    let progress = Progress::new(Some(found.files.len() as u64), Unit::Items("files"));
    let failed = Arc::new(Mutex::new(found.unreadable.clone()));
    for (path, why) in &found.unreadable {
        tell_failed(&progress, path, why);
    }
    let mut ingestion = Ingestion::new(store.backend.docs()?, splitter)
        .with_vectors(store.vectors().await?, Arc::clone(&embedder) as Arc<_>)
        .with_rewrite(options.rewrite)
        .with_observer(observer(progress.clone(), Arc::clone(&failed)));
    // What could not be looked into may hold files that only seem to be gone.
    let prune = options.prune && found.unreadable.is_empty();
    if prune {
        let folders = found.folders.clone();
        ingestion = ingestion.with_prune_where(move |id| is_below(id, &folders));
    }
    let most_bytes = options.max_file_size << 20;
    let files = found.files.clone();
    let documents = futures::stream::iter(files).map(move |path| files::read(&path, most_bytes)).boxed();
    let report = ingestion.run_stream(documents).await;
    progress.finish();
    let report = report?;

    let failed = failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let prune_skipped = options.prune && (!prune || report.prune_skipped);
    if options.json {
        print_json(&to_json(&report, &failed, prune_skipped))?;
    } else {
        tell(&report, &found, failed.len(), store, start)?;
        if report.added > 0 {
            say(format_args!("note: {}", embedder.remark()));
        }
    }
    if prune_skipped {
        say(
            "note: nothing was pruned, because a file could not be read and may be among those that seem gone",
        );
    }
    Ok(if failed.is_empty() { Outcome::Done } else { Outcome::SomeFailed })
}

/// Whether a document is a file below one of these folders.
fn is_below(id: &NodeId, folders: &[PathBuf]) -> bool {
    folders.iter().any(|folder| Path::new(id.as_str()).starts_with(folder))
}

fn observer(progress: Progress, failed: Arc<Mutex<Vec<Failed>>>) -> impl Fn(&IngestEvent<'_>) + Send + Sync {
    move |event| match event {
        IngestEvent::Started { id } => progress.message(&shown_path(id.as_str())),
        IngestEvent::Unchanged { .. } | IngestEvent::Written { .. } => progress.add(1),
        IngestEvent::Failed { id, error } => {
            progress.add(1);
            let path = id.map(NodeId::as_str).or(error.key()).unwrap_or("a file").to_owned();
            tell_failed(&progress, &path, error.message());
            failed.lock().unwrap_or_else(PoisonError::into_inner).push((path, error.message().to_owned()));
        }
        _ => {}
    }
}

fn tell_failed(progress: &Progress, path: &str, why: &str) {
    let line = format!("skipped {}: {}", one_line(&shown_path(path), 500), one_line(why, 500));
    progress.say(line);
}

fn tell(
    report: &IngestReport,
    found: &Found,
    failed: usize,
    store: &Store,
    start: Instant,
) -> Result<(), Failure> {
    let mut parts = vec![
        format!("{} new", report.added),
        format!("{} changed", report.changed),
        format!("{} unchanged", report.unchanged),
    ];
    parts.extend((report.pruned > 0).then(|| format!("{} pruned", report.pruned)));
    parts.extend((failed > 0).then(|| format!("{failed} skipped")));
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
            report.nodes_embedded,
            start.elapsed().as_secs_f64()
        ))?;
    }
    if !found.others.is_empty() {
        let others = count(found.others.values().sum(), "file");
        say(format_args!("{others} of other kinds passed over ({})", found.others_shown()));
    }
    Ok(())
}

fn to_json(report: &IngestReport, failed: &[Failed], prune_skipped: bool) -> Value {
    let failed: Vec<Value> = failed.iter().map(|(path, why)| json!({"file": path, "error": why})).collect();
    json!({
        "added": report.added,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "pruned": report.pruned,
        "prune_skipped": prune_skipped,
        "chunks_written": report.nodes_written,
        "chunks_embedded": report.nodes_embedded,
        "failed": failed,
    })
}
