//! `export`: the store as a folder that LlamaIndex loads.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use nodestore::ErrorKind;
use nodestore::folder::{Export as Exporting, ExportReport, FolderEvent};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::failure::{Failure, Outcome};
use crate::output::{STRONG, count, one_line, print, print_json, say};
use crate::progress::{Progress, Unit};
use crate::stop::Stop;
use crate::store::{Access, Store, with_store};

/// Write the store as a folder that LlamaIndex loads
///
/// Any store can be exported. Where it holds vectors and no index struct, one named "nodestore" over all vectors is
/// written, since without one Python finds no index to load.
///
/// The folder is written aside and put into place at the end: it is there whole or not at all.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore export storage/
  nodestore export storage/ --force          replace the folder
  nodestore export storage/ --index          also an index struct over all vectors

In Python:
  from llama_index.core import StorageContext, load_index_from_storage
  index = load_index_from_storage(StorageContext.from_defaults(persist_dir=\"storage\"))")]
pub(crate) struct Export {
    /// The folder; it must be absent or empty
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Replaces the folder if it is a persisted one and holds no other files
    #[arg(long)]
    pub(crate) force: bool,
    /// Writes an index struct named "nodestore" over all vectors, also beside others
    #[arg(long)]
    pub(crate) index: bool,
    /// Prints a report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) async fn run(options: &Export, global: &Global) -> Result<Outcome, Failure> {
    with_store(global, Access::Existing, async |store| export(options, store).await).await
}

async fn export(options: &Export, store: &Store) -> Result<Outcome, Failure> {
    let (start, stop, progress) = (Instant::now(), Stop::listen(), Progress::new(None, Unit::Bytes));
    let (bar, asked) = (progress.clone(), stop.clone());
    let exporting = Exporting::new(&options.folder)
        .with_vectors(store.vectors().await?)
        .with_force(options.force)
        .with_index(options.index)
        .with_observer(move |event| match event {
            FolderEvent::Bytes(bytes) => bar.add(*bytes),
            FolderEvent::Exporting { file } => bar.message(&format!("writing {file}")),
            _ => {}
        })
        .with_stop(move || asked.requested());
    let report = exporting.run(&*store.backend).await;
    progress.finish();
    let report = match report {
        Ok(report) => report,
        Err(_) if stop.requested() => {
            say("stopped: no folder was written");
            return Ok(Outcome::Stopped);
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::new(error.message())
                .with_help("nothing was written; name another folder, or replace this one with --force"));
        }
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            return Err(Failure::new(error.message()).with_help("nothing was written; name another folder"));
        }
        Err(error) => return Err(error.into()),
    };
    if options.json {
        print_json(&to_json(options, store, &report))?;
    } else {
        tell(options, store, &report, start)?;
    }
    for note in &report.notes {
        say(format_args!("note: {}", one_line(note, 500)));
    }
    Ok(Outcome::Done)
}

fn tell(options: &Export, store: &Store, report: &ExportReport, start: Instant) -> Result<(), Failure> {
    print(format_args!(
        "{STRONG}{}{STRONG:#} and {} from {} into {}, in {:.1} s",
        count(report.nodes, "node"),
        count(report.vectors, "vector"),
        store.shown,
        options.folder.display(),
        start.elapsed().as_secs_f64()
    ))?;
    print(format_args!(
        "  {}, {}, {}",
        count(report.ref_docs, "source document"),
        count(report.index_structs, "index struct"),
        count(report.files.len(), "file")
    ))?;
    if let Some(id) = &report.index_made {
        print(format_args!("  the index struct {id:?} was made for the vectors"))?;
    }
    if report.without_vector > 0 {
        print(format_args!(
            "  {} without a vector left out of the vectors' files",
            count(report.without_vector, "node")
        ))?;
    }
    Ok(())
}

fn to_json(options: &Export, store: &Store, report: &ExportReport) -> Value {
    json!({
        "folder": options.folder.display().to_string(),
        "store": store.shown,
        "nodes": report.nodes,
        "hashes": report.hashes,
        "source_documents": report.ref_docs,
        "indexes": report.index_structs,
        "index_made": report.index_made,
        "vectors": report.vectors,
        "without_vector": report.without_vector,
        "files": report.files,
        "bytes": report.bytes,
        "notes": report.notes,
    })
}
