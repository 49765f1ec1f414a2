//! `copy`: one store into another, of any kind.

mod origin;
mod show;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::{Args, ValueEnum};
use nodestore::ErrorKind;
use nodestore::copy::{CopyEvent, CopyReport, CopyRole, StoreCopy, job_file};

use self::origin::Origin;
use crate::cli::Global;
use crate::failure::{Failure, Outcome};
use crate::output::{one_line, say};
use crate::progress::{Progress, Unit};
use crate::stop::Stop;
use crate::store::{self, Access, Store};

/// Copy a store into another, of any kind
///
/// Copies documents with their hashes and sources, index structs, chats, vectors with their embeddings, and key-values;
/// then reads both stores, compares record by record, and shows how many there are and a checksum of each side. It
/// streams, so memory does not grow with the store.
///
/// TO must hold nothing of it yet, unless --overwrite is given. A copy that was stopped or killed goes on when the same
/// command runs again: how far it is stands in a small file under your data directory. Nothing else should write to
/// either store meanwhile.
///
/// FROM may also be a folder that LlamaIndex persisted. It is first imported into a store on this
/// disk, beside that file, which takes about as much room as the folder; `export` writes such folders.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore copy ./kb 'mongodb://host/?store.namespace=kb' --dry-run
                                             count what there is, and look whether it fits
  nodestore copy ./kb 'mongodb://host/?store.namespace=kb'
  nodestore copy ./storage 'redis://host/?store.namespace=kb'
                                             from Python's folder into Redis
  nodestore copy redis://host/ dynamodb://eu-central-1/app --only chats --only docs
  nodestore copy ./kb ./backup --collection prices --collection users
  nodestore copy ./kb ./backup --overwrite   again, over what is there

A namespace stands in the URL: 'embedded:///data/kb?store.namespace=kb'. Tables of DynamoDB and
Cassandra are made when TO says store.create=true.

A store can not list its collections of key-values: name yours with --collection. Those in which
nodestore keeps the embedder's name and the files of an imported folder are copied by themselves.
When values or chats expire is not copied.

The exit code is 1 when the stores differ at the end, and 4 when there is nothing to copy.")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct Copy {
    /// The store to copy: a folder or a URL, or a folder that LlamaIndex persisted
    #[arg(value_name = "FROM")]
    pub(crate) from: String,
    /// The store to copy into: a folder or a URL
    #[arg(value_name = "TO")]
    pub(crate) to: String,
    /// Copies only this; can be given several times
    #[arg(long, value_name = "WHAT", value_enum)]
    pub(crate) only: Vec<Only>,
    /// Copies this collection of key-values too; can be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) collection: Vec<String>,
    /// Replaces what TO holds under the same keys, and keeps the rest
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Counts what there is to copy and looks at TO; writes nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Forgets a copy that was not finished, and begins anew
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) restart: bool,
    /// Prints a report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `--only` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Only {
    /// Documents and nodes, their hashes and sources
    Docs,
    /// Index structs
    Indexes,
    /// Chats
    Chats,
    /// Vectors with their nodes, of every set
    Vectors,
    /// Key-values: nodestore's own, and those of --collection
    Kv,
}

impl Only {
    fn role(self) -> CopyRole {
        match self {
            Self::Docs => CopyRole::Documents,
            Self::Indexes => CopyRole::Indexes,
            Self::Chats => CopyRole::Chats,
            Self::Vectors => CopyRole::Vectors,
            Self::Kv => CopyRole::KeyValues,
        }
    }
}

pub(crate) async fn run(options: &Copy, global: &Global) -> Result<Outcome, Failure> {
    if global.namespace.is_some() {
        return Err(Failure::usage("--namespace can not say of which of the two stores it is")
            .with_help("a namespace stands in the URL: 'embedded:///data/kb?store.namespace=kb'"));
    }
    if options.only.contains(&Only::Kv) && options.only.len() == 1 && options.collection.is_empty() {
        return Err(Failure::usage("a store can not list its collections of key-values")
            .with_help("name those that are to be copied: --collection NAME"));
    }
    let (from, to) = (store::to_url(&options.from)?, store::to_url(&options.to)?);
    if nodestore::redact(&from) == nodestore::redact(&to) {
        return Err(Failure::usage("FROM and TO are the same store"));
    }
    if let Some(folder) = store::folder(&to).filter(|folder| nodestore::folder::is_persisted(folder)) {
        let message = format!("{} is a folder that LlamaIndex persisted, and no store", folder.display());
        return Err(Failure::new(message).with_help("`nodestore export` writes such folders"));
    }
    let job = job_file(&store::data_folder("copies")?, &from, &to);
    if options.restart {
        forget(&job)?;
    }
    let start = Instant::now();
    let stop = Stop::listen();
    let Some(origin) = Origin::open(&from, &job, &stop).await? else { return Ok(stopped()) };
    let outcome = with_origin(options, &origin.store, &to, &job, &stop, start).await;
    let closed = origin.close(&job).await;
    let outcome = outcome?;
    closed?;
    Ok(outcome)
}

/// Opens the other store, works, and closes it, also when the work failed.
async fn with_origin(
    options: &Copy,
    from: &Store,
    to: &str,
    job: &Path,
    stop: &Stop,
    start: Instant,
) -> Result<Outcome, Failure> {
    if options.dry_run {
        return dry_run(options, from, to, stop).await;
    }
    let to = store::open_url(to, None, Access::Create).await?;
    let outcome = copy(options, from, &to, job.to_owned(), stop, start).await;
    let closed = to.backend.close().await;
    let outcome = outcome?;
    closed?;
    Ok(outcome)
}

fn copying(options: &Copy, stop: &Stop) -> StoreCopy {
    let asked = stop.clone();
    let mut copy = StoreCopy::new()
        .with_collections(&options.collection)
        .with_overwrite(options.overwrite)
        .with_stop(move || asked.requested());
    if !options.only.is_empty() {
        copy = copy.with_roles(options.only.iter().map(|only| only.role()));
    }
    copy
}

async fn dry_run(options: &Copy, from: &Store, to: &str, stop: &Stop) -> Result<Outcome, Failure> {
    let to = match store::open_url(to, None, Access::Existing).await {
        Ok(to) => Some(to),
        Err(error) => {
            say(format_args!("note: TO was not looked at: {}", error.message()));
            None
        }
    };
    let backend = to.as_ref().map(|to| &*to.backend);
    let plan = copying(options, stop).plan(&*from.backend, backend).await;
    if let Some(to) = &to {
        to.backend.close().await?;
    }
    let plan = match plan {
        Err(_) if stop.requested() => return Ok(stopped()),
        plan => plan?,
    };
    show::plan(options, from, to.as_ref(), &plan)?;
    notes(&plan.notes);
    Ok(if plan.parts.is_empty() { nothing(from) } else { Outcome::Done })
}

async fn copy(
    options: &Copy,
    from: &Store,
    to: &Store,
    job: PathBuf,
    stop: &Stop,
    start: Instant,
) -> Result<Outcome, Failure> {
    if job.exists() {
        say("going on with a copy that was begun; --restart begins anew");
    }
    let bar = Bar::default();
    let report = copying(options, stop)
        .with_job(job)
        .with_observer({
            let bar = bar.clone();
            move |event| bar.see(event)
        })
        .run(&*from.backend, &*to.backend)
        .await;
    bar.finish();
    let report = match report {
        Err(_) if stop.requested() => return Ok(stopped()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::new(error.message()).with_help(
                "nothing was written; name an empty store, or another namespace in its URL, or replace with \
                 --overwrite what it holds under the same keys",
            ));
        }
        Err(error) if error.kind() == ErrorKind::LimitExceeded => {
            return Err(Failure::from(error)
                .with_help("the same command goes on from here; --only leaves out what does not fit"));
        }
        report => report?,
    };
    show::report(options, from, to, &report, start)?;
    notes(&report.notes);
    if report.parts.is_empty() {
        return Ok(nothing(from));
    }
    if report.is_equal() { Ok(Outcome::Done) } else { Err(differs(from, to, &report)) }
}

/// One sentence about what is not the same.
fn differs(from: &Store, to: &Store, report: &CopyReport) -> Failure {
    let different = report.parts.iter().filter(|part| !part.is_equal()).map(|part| {
        let mut what = Vec::new();
        if part.different > 0 {
            let keys: Vec<String> =
                part.examples.iter().map(|key| format!("{:?}", one_line(key, 80))).collect();
            what.push(format!("{} missing or not the same (such as {})", part.different, keys.join(", ")));
        }
        if part.surplus > 0 {
            what.push(format!("{} too many", part.surplus));
        }
        format!("of {} {}", part.name, what.join(" and "))
    });
    let different: Vec<String> = different.collect();
    Failure::new(format!("{} is not the same as {}: {}", to.shown, from.shown, different.join("; "))).with_help(
        "did anything write to one of them meanwhile? `nodestore copy … --overwrite` copies and compares again",
    )
}

fn notes(notes: &[String]) {
    for note in notes {
        say(format_args!("note: {}", one_line(note, 500)));
    }
}

fn nothing(from: &Store) -> Outcome {
    say(format_args!("there is nothing to copy in {}", from.shown));
    Outcome::NothingFound
}

fn stopped() -> Outcome {
    say("stopped: the same command goes on from here");
    Outcome::Stopped
}

/// Removes a job and what was imported for it.
fn forget(job: &Path) -> Result<(), Failure> {
    let removed = match std::fs::remove_file(job) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    removed.and_then(|()| origin::remove(&origin::staged(job))).map_err(|error| {
        Failure::new(format!("the copy that was begun can not be forgotten: {error}")).with_cause(error)
    })
}

/// A bar for each part of the copy.
#[derive(Clone, Debug, Default)]
struct Bar(std::sync::Arc<Mutex<Option<Progress>>>);

impl Bar {
    fn see(&self, event: &CopyEvent<'_>) {
        let mut bar = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            CopyEvent::Part { name, step, done, total } => {
                if let Some(last) = bar.take() {
                    last.finish();
                }
                let next = Progress::new(total.map(|total| total as u64), Unit::Items("records"));
                next.message(&format!("{} {name}", step.as_str()));
                next.add(*done as u64);
                *bar = Some(next);
            }
            CopyEvent::Records(records) => {
                if let Some(bar) = &*bar {
                    bar.add(*records as u64);
                }
            }
            _ => {}
        }
    }

    fn finish(&self) {
        if let Some(bar) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish();
        }
    }
}
