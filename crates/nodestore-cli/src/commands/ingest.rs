//! `ingest`: files into the store.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures::StreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nodestore::{Document, IngestEvent, IngestReport, Ingestion, Node, NodeId, Result as StoreResult};
use serde_json::{Value, json};

use crate::chunks::splitter;
use crate::cli::{Global, Ingest};
use crate::embedding;
use crate::failure::{Failure, Outcome};
use crate::files::{self, Found};
use crate::output::{STRONG, count, one_line, print, print_json, say};
use crate::store::{Access, Store, shown_path, with_store};

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
    let embedder =
        embedding::for_writing(&*store.backend, options.dimensions.map(|dimensions| dimensions as usize))
            .await?;

    let progress = progress(found.files.len());
    let failed = Arc::new(Mutex::new(found.unreadable.clone()));
    for (path, why) in &found.unreadable {
        tell_failed(&progress, path, why);
    }
    let mut ingestion = Ingestion::new(store.backend.docs()?, splitter)
        .with_vectors(store.backend.vectors()?, embedder)
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
    progress.finish_and_clear();
    let report = report?;

    let failed = failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let prune_skipped = options.prune && (!prune || report.prune_skipped);
    if options.json {
        print_json(&to_json(&report, &failed, prune_skipped))?;
    } else {
        tell(&report, &found, failed.len(), store, start)?;
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

/// A bar on a terminal's stderr; elsewhere nothing.
fn progress(files: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(files as u64), ProgressDrawTarget::stderr_with_hz(10));
    let template = "{bar:30} {human_pos}/{human_len} files  {per_sec}, {eta} left  {wide_msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn observer(
    progress: ProgressBar,
    failed: Arc<Mutex<Vec<Failed>>>,
) -> impl Fn(&IngestEvent<'_>) + Send + Sync {
    move |event| match event {
        IngestEvent::Started { id } => progress.set_message(one_line(&shown_path(id.as_str()), 60)),
        IngestEvent::Unchanged { .. } | IngestEvent::Written { .. } => progress.inc(1),
        IngestEvent::Failed { id, error } => {
            progress.inc(1);
            let path = id.map(NodeId::as_str).or(error.key()).unwrap_or("a file").to_owned();
            tell_failed(&progress, &path, error.message());
            failed.lock().unwrap_or_else(PoisonError::into_inner).push((path, error.message().to_owned()));
        }
        _ => {}
    }
}

fn tell_failed(progress: &ProgressBar, path: &str, why: &str) {
    let line = format!("skipped {}: {}", one_line(&shown_path(path), 500), one_line(why, 500));
    progress.suspend(|| say(line));
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
    if report.added > 0 {
        say(format_args!("note: {}", embedding::COMPARES_WORDING));
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
