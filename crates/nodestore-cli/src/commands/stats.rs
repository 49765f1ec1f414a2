//! `stats`: what the store holds, in numbers.

use std::path::Path;

use clap::Args;
use futures::StreamExt;
use nodestore::{BoxStream, Metric, NodeContent, Selector};
use serde_json::json;

use crate::cli::Global;
use crate::failure::{Failure, Outcome};
use crate::output::{STRONG, print, print_json, thousands};
use crate::store::{Access, Store, with_store};

/// Count what the store holds
///
/// Reads every document to count it: in a large store that takes a while. `doctor` counts for three seconds only.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore stats
  nodestore stats --json | jq .vectors.count")]
pub(crate) struct Stats {
    /// Prints JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) async fn run(options: &Stats, global: &Global) -> Result<Outcome, Failure> {
    with_store(global, Access::Existing, async |store| stats(options, store).await).await
}

async fn stats(options: &Stats, store: &Store) -> Result<Outcome, Failure> {
    let backend = &store.backend;
    let (mut whole, mut nodes) = (0_usize, 0_usize);
    let mut scan = backend.docs()?.scan(None);
    while let Some(node) = scan.next().await {
        match node?.content {
            NodeContent::Document(_) | NodeContent::ImageDocument(_) => whole += 1,
            _ => nodes += 1,
        }
    }
    let sources = length(backend.docs()?.scan_ref_docs(None)).await?;
    let config = store.vectors().await?.config().await?;
    let vectors = match &config {
        Some(_) => store.vectors().await?.count(&Selector::all()).await?,
        None => 0,
    };
    let chats = length(backend.chat()?.keys(None)).await?;
    let indexes = length(backend.index()?.scan(None)).await?;
    let bytes = store.folder.as_deref().map(size);
    let metric = config.as_ref().map(|config| match config.metric {
        Metric::Cosine => "cosine",
        Metric::Dot => "dot",
        Metric::Euclidean => "euclidean",
    });
    let dimensions = config.as_ref().map(|config| config.dimensions);

    if options.json {
        print_json(&json!({
            "store": store.shown,
            "backend": backend.name(),
            "documents": whole,
            "nodes": nodes,
            "source_documents": sources,
            "vectors": {"count": vectors, "dimensions": dimensions, "metric": metric},
            "chats": chats,
            "indexes": indexes,
            "bytes_on_disk": bytes,
        }))?;
        return Ok(Outcome::Done);
    }
    let line = |name: &str, value: String| print(format_args!("{STRONG}{name:<14}{STRONG:#}{value}"));
    line("store", store.shown.clone())?;
    line("backend", backend.name().to_owned())?;
    line("documents", thousands(whole))?;
    line("nodes", format!("{} cut from {}", thousands(nodes), crate::output::count(sources, "document")))?;
    line(
        "vectors",
        match (dimensions, metric) {
            (Some(dimensions), Some(metric)) => {
                format!(
                    "{} of {} dimensions, compared by {metric}",
                    thousands(vectors),
                    thousands(dimensions)
                )
            }
            _ => "none yet".to_owned(),
        },
    )?;
    line("chats", thousands(chats))?;
    line("indexes", thousands(indexes))?;
    if let Some(bytes) = bytes {
        line("on disk", megabytes(bytes))?;
    }
    Ok(Outcome::Done)
}

async fn length<T>(mut stream: BoxStream<T>) -> Result<usize, Failure> {
    let mut items = 0;
    while let Some(item) = stream.next().await {
        item?;
        items += 1;
    }
    Ok(items)
}

/// Bytes of all files in a folder; one that goes away meanwhile counts nothing.
pub(super) fn size(folder: &Path) -> u64 {
    let files = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
    files
        .filter_map(|file| file.metadata().ok())
        .filter(std::fs::Metadata::is_file)
        .map(|file| file.len())
        .sum()
}

/// `1.5 MB`, in units of a million bytes.
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
