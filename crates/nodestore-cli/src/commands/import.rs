//! `import`: a folder that LlamaIndex persisted, into the store.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use futures::StreamExt;
use nodestore::EmbedderNote;
use nodestore::folder::{CheckedFolder, FolderContents, FolderEvent, Import as Importing, ImportReport};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::embedding::{self, EmbedderArgs};
use crate::failure::{Failure, Outcome};
use crate::output::{STRONG, count, one_line, print, print_json, say, thousands};
use crate::progress::{Progress, Unit};
use crate::stop::Stop;
use crate::store::{self, Access, Store, with_store};

/// Read a folder that LlamaIndex persisted into the store
///
/// The folder is what Python writes when it persists a storage context: a docstore, an index store, vectors and more.
/// Nodes, relationships, hashes, source documents, index structs and vectors go into the store; graphs, images and all
/// other files are kept as they are, and `nodestore export` writes them again.
///
/// Every file is read and checked before anything is written, so a broken folder changes nothing. What the store holds
/// under the same id is replaced, everything else stays. An import that was stopped is completed by running it again.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore import storage/ --dry-run        check the folder and count what is in it
  nodestore import storage/
  nodestore search \"which wines grow there?\" --mode text
  nodestore import storage/ --embedder openai:http://127.0.0.1:8080/v1,bge-small-en
                                             names the model of the vectors, to search by them too

The folder does not say which model made its vectors. Without --embedder, search by words: --mode
text.")]
pub(crate) struct Import {
    /// The folder
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Checks the folder and counts what is in it; writes nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Prints a report as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) embedder: EmbedderArgs,
}

pub(crate) async fn run(options: &Import, global: &Global) -> Result<Outcome, Failure> {
    let (start, stop) = (Instant::now(), Stop::listen());
    let progress = bar(&options.folder);
    let checked = importing(options, &progress, &stop).check().await;
    progress.finish();
    let folder = match checked {
        Ok(folder) => folder,
        Err(_) if stop.requested() => return Ok(stopped("nothing was imported")),
        Err(error) => {
            return Err(Failure::new(error.message())
                .with_cause(error)
                .with_help("nothing was imported; every file is checked before the first write"));
        }
    };
    if options.dry_run {
        return dry_run(options, global, &folder, start).await;
    }
    with_store(global, Access::Create, async |store| import(options, &folder, store, &stop, start).await)
        .await
}

fn importing(options: &Import, progress: &Progress, stop: &Stop) -> Importing {
    let (progress, stop) = (progress.clone(), stop.clone());
    Importing::new(&options.folder)
        .with_observer(move |event| match event {
            FolderEvent::Bytes(bytes) => progress.add(*bytes),
            FolderEvent::Checking { file } => progress.message(&format!("checking {file}")),
            FolderEvent::Importing { file } => progress.message(&format!("importing {file}")),
            _ => {}
        })
        .with_stop(move || stop.requested())
}

/// A bar over the bytes of the folder.
fn bar(folder: &Path) -> Progress {
    Progress::new(Some(super::stats::size(folder)), Unit::Bytes)
}

fn stopped(what: &str) -> Outcome {
    say(format_args!("stopped: {what}"));
    Outcome::Stopped
}

async fn dry_run(
    options: &Import,
    global: &Global,
    folder: &CheckedFolder,
    start: Instant,
) -> Result<Outcome, Failure> {
    match store::open(global, Access::Existing).await {
        Ok(store) => {
            let fits = fits(folder, &store).await;
            store.backend.close().await?;
            fits?;
        }
        Err(_) => say("note: no store could be opened, so the folder was not compared with one"),
    }
    let report = Report { folder: &options.folder, store: None, contents: folder.contents(), done: None };
    report.show(options.json, start)?;
    Ok(Outcome::Done)
}

async fn fits(folder: &CheckedFolder, store: &Store) -> Result<(), Failure> {
    let fits = folder.fits(&*store.backend, Some(&store.vectors().await?)).await;
    fits.map_err(|error| {
        Failure::new(error.message()).with_cause(error).with_help(
            "nothing was imported; another store is named with --store, a part of this one with --namespace",
        )
    })
}

async fn import(
    options: &Import,
    folder: &CheckedFolder,
    store: &Store,
    stop: &Stop,
    start: Instant,
) -> Result<Outcome, Failure> {
    fits(folder, store).await?;
    let had_nodes = store.backend.docs()?.scan(None).next().await.is_some();
    let default = folder.contents().vectors.iter().find(|set| set.namespace == "default");
    let is_named = options.embedder.embedder.is_some();
    if let Some(dimensions) = default.and_then(|set| set.dimensions) {
        if is_named {
            embedding::for_imported(store, &options.embedder, dimensions).await?;
        } else if let Some(note) = EmbedderNote::read(&*store.backend).await? {
            say(format_args!(
                "note: the store's vectors were made by {}; vectors of another model can not be compared with them",
                note.model
            ));
        }
    }
    let progress = bar(&options.folder);
    let importing = importing(options, &progress, stop).with_vectors(store.vectors().await?);
    let report = importing.write(folder, &*store.backend).await;
    progress.finish();
    let report = match report {
        Ok(report) => report,
        Err(_) if stop.requested() => {
            return Ok(stopped("a part of the folder is in the store; the same command again completes it"));
        }
        Err(error) => {
            return Err(Failure::from(error)
                .with_help("a part of the folder is in the store; the same command again completes it"));
        }
    };
    let shown = Report {
        folder: &options.folder,
        store: Some(store),
        contents: &report.contents,
        done: Some(&report),
    };
    shown.show(options.json, start)?;
    if had_nodes {
        say("note: the store was not empty; what it held under the same id was replaced, the rest stays");
    }
    if report.vectors_written > 0 && !is_named && !options.json {
        say(
            "note: search by words with --mode text; to search by vector, import with --embedder and the model that \
             made the vectors",
        );
    }
    Ok(Outcome::Done)
}

/// What is told at the end.
struct Report<'a> {
    folder: &'a Path,
    store: Option<&'a Store>,
    contents: &'a FolderContents,
    done: Option<&'a ImportReport>,
}

impl Report<'_> {
    fn show(&self, json: bool, start: Instant) -> Result<(), Failure> {
        if json {
            print_json(&self.to_json())?;
        } else {
            self.tell(start)?;
        }
        for note in &self.contents.notes {
            say(format_args!("note: {}", one_line(note, 500)));
        }
        Ok(())
    }

    fn tell(&self, start: Instant) -> Result<(), Failure> {
        let contents = self.contents;
        let what = format!("{STRONG}{}{STRONG:#}", count(contents.nodes, "node"));
        let seconds = start.elapsed().as_secs_f64();
        let folder = self.folder.display();
        print(match self.store {
            Some(store) => format!("{what} from {folder} into {}, in {seconds:.1} s", store.shown),
            None => format!("{what} in {folder}, checked in {seconds:.1} s; nothing was written"),
        })?;
        print(format_args!(
            "  {}, {}, {}",
            count(contents.hashes, "content hash"),
            count(contents.ref_docs, "source document"),
            count(contents.index_structs, "index struct")
        ))?;
        for set in &contents.vectors {
            let dimensions = set.dimensions.map(|dimensions| format!(" of {} values", thousands(dimensions)));
            let vectors = count(set.vectors, "vector");
            print(format_args!("  {vectors}{} in {}", dimensions.unwrap_or_default(), set.file))?;
        }
        if let Some(without) = self.done.map(|done| done.vectors_without_node).filter(|without| *without > 0)
        {
            print(format_args!("  {} without a node in {}", count(without, "vector"), "docstore.json"))?;
        }
        if !contents.kept_files.is_empty() {
            let files = count(contents.kept_files.len(), "file");
            let names = one_line(&contents.kept_files.join(", "), 200);
            print(format_args!("  {files} kept as they are: {names}"))?;
        }
        Ok(())
    }

    fn to_json(&self) -> Value {
        let contents = self.contents;
        let vectors: Vec<Value> = contents
            .vectors
            .iter()
            .map(|set| {
                json!({
                    "namespace": set.namespace,
                    "file": set.file,
                    "vectors": set.vectors,
                    "dimensions": set.dimensions,
                })
            })
            .collect();
        json!({
            "folder": self.folder.display().to_string(),
            "store": self.store.map(|store| store.shown.as_str()),
            "dry_run": self.store.is_none(),
            "nodes": contents.nodes,
            "hashes": contents.hashes,
            "source_documents": contents.ref_docs,
            "indexes": contents.index_structs,
            "vectors": vectors,
            "vectors_written": self.done.map(|done| done.vectors_written),
            "vectors_without_node": self.done.map(|done| done.vectors_without_node),
            "kept_files": contents.kept_files,
            "bytes": contents.bytes,
            "notes": contents.notes,
        })
    }
}
