//! `bench`: what a store does in a second, and how long the slowest calls take.

mod chat;
mod corpus;
mod documents;
mod key_values;
mod measure;
mod reference;
mod report;
mod subject;
mod vectors;
mod workload;

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};
use futures::StreamExt;
use nodestore::{BoxStream, Capabilities, Error, NodeId};

use self::corpus::Corpus;
use self::measure::{Measured, Meter};
use self::reference::Reference;
use self::report::Report;
use self::subject::{Ours, Side};
use self::workload::Workload;
use crate::cli::Global;
use crate::failure::{Failure, Outcome};
use crate::output::say;
use crate::stop::Stop;
use crate::store::{self, Access, Store};

/// Measure a store: operations per second, latencies, processor time, memory
///
/// Writes a corpus into the store, reads, searches and deletes it, and shows for each workload how many operations it
/// did in a second, the latencies of the calls, the processor seconds of this program and its peak memory. Everything
/// happens in a namespace of its own, which is removed at the end; what the store holds is not touched. Without
/// --store, an embedded store is made for the run and removed.
///
/// The corpus is made from a seed, the same on every machine: nodes of about 1 KB of text, 8 metadata fields, 20 nodes
/// for each source document, and an embedding of 384 values. Making it is not in the figures.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore bench                                    all, in a store of its own: half a minute
  nodestore bench --store ./kb --workload D1,V2      two workloads, in a store of yours
  nodestore bench --repeat 5 --reference driver      beside the bare driver, taking turns
  nodestore bench --size large --json figures.json

A workload that reads needs what another one writes: that is written too, and not shown. The first
query of its kind has a line of its own, as it may find things that are yet to be read or indexed.

Comparing: run on a quiet machine, the same size, batch and seed, at least --repeat 5, and twice;
figures that differ between the two runs say nothing yet. Rates, processor time and memory are the
median of the rounds, latencies are those of all rounds. Wall times tell what a caller waits,
processor time what this machine pays for it; the processor time of a database server is not in it.
Memory is that of the whole program, with what earlier workloads left and what the bare driver
keeps: for a clean figure measure one workload alone. A file of an embedded store keeps the space
it grew by.")]
pub(crate) struct Bench {
    /// Only these workloads; several with commas
    #[arg(long, value_enum, value_name = "NAME", value_delimiter = ',', ignore_case = true)]
    pub(crate) workload: Vec<Workload>,
    /// How many nodes
    #[arg(long, value_enum, default_value_t = Size::Full)]
    pub(crate) size: Size,
    /// Rounds, each on an empty namespace
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) repeat: u32,
    /// Nodes and messages of one call of bulk writes (D1, V1)
    #[arg(long, value_name = "NODES", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) batch: u32,
    /// Queries of each kind (V2, V3, T1)
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) queries: u32,
    /// Also does D1, D2, C1, C2, K1 and K2 with this, with the same guarantees, taking turns; of MongoDB also D4, V1,
    /// V2, V3 and R1, of Cassandra and of Redis with the search module V1 to V3, of DynamoDB V1
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) reference: Option<ReferenceKind>,
    /// Where the corpus comes from; figures of two seeds can not be compared
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Also writes the figures, with every percentile and every round, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Measures nothing: writes the corpus into a folder as nodes.jsonl, queries.jsonl and messages.jsonl, for programs
    /// that do the same elsewhere
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["workload", "reference", "json"])]
    pub(crate) write_corpus: Option<PathBuf>,
}

/// How many nodes the corpus has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Size {
    /// 1,000; to see that it works
    Small,
    /// 10,000; to compare
    Full,
    /// 100,000; takes minutes, with a gigabyte on the disk
    Large,
}

impl Size {
    fn nodes(self) -> usize {
        match self {
            Self::Small => 1000,
            Self::Full => 10_000,
            Self::Large => 100_000,
        }
    }
}

/// What a store is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReferenceKind {
    /// The database's own driver, bare
    Driver,
}

/// Why the measuring ended early.
#[derive(Debug)]
enum Halt {
    /// Ctrl-C.
    Stopped,
    Failed(Failure),
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error.into())
    }
}

/// A round on one side.
struct Run<'a> {
    corpus: Corpus,
    /// Nodes of one call.
    batch: usize,
    /// Queries of each kind.
    queries: usize,
    wanted: &'a BTreeSet<Workload>,
    stop: &'a Stop,
    measured: Vec<Measured>,
}

impl Run<'_> {
    fn wants(&self, workload: Workload) -> bool {
        self.wanted.contains(&workload)
    }

    fn meter(
        &self,
        workload: Workload,
        part: &'static str,
        unit: &'static str,
        items: usize,
    ) -> Result<Meter, Failure> {
        Meter::start(workload, part, unit, items, self.stop)
    }

    /// Ends a measurement, and keeps it if it was asked for.
    fn keep(&mut self, meter: Meter) {
        let measured = meter.finish();
        if self.wants(measured.workload) {
            self.measured.push(measured);
        }
    }
}

pub(crate) async fn run(options: &Bench, global: &Global) -> Result<Outcome, Failure> {
    let corpus = Corpus { seed: options.seed, nodes: options.size.nodes() };
    if let Some(folder) = &options.write_corpus {
        corpus::write(corpus, folder)?;
        return Ok(Outcome::Done);
    }
    if global.namespace.is_some() {
        return Err(Failure::usage("bench makes a namespace of its own, and removes it")
            .with_help("leave --namespace out"));
    }
    if let Some(file) = &options.json {
        check_writable(file)?;
    }
    let namespace = namespace();
    let url = match &global.store {
        Some(_) => store::url(global)?,
        None => nodestore::embedded_url(&store::data_folder(&namespace)?),
    };
    // From here on something is made, which is to go when the run is stopped.
    let stop = Stop::listen();
    let made = store::folder(&url).filter(|folder| !folder.exists());
    let store = store::open_url(&url, Some(&namespace), Access::Own).await?;
    say(format_args!("measuring {} in the namespace {namespace}, which is removed at the end", store.shown));

    let measured = measure(options, corpus, &store, &url, &namespace, &stop).await;
    let removed = remove(&store, &namespace, made.as_deref()).await;
    let report = match measured {
        Ok(report) => report,
        Err(halt) => {
            if let Err(failure) = removed {
                failure.report(global.verbose);
            }
            return match halt {
                Halt::Stopped => Ok(Outcome::Stopped),
                Halt::Failed(failure) => Err(failure),
            };
        }
    };
    report.print()?;
    if let Some(file) = &options.json {
        std::fs::write(file, format!("{:#}\n", report.to_json())).map_err(|error| unwritable(file, error))?;
    }
    removed?;
    Ok(Outcome::Done)
}

/// All rounds.
async fn measure(
    options: &Bench,
    corpus: Corpus,
    store: &Store,
    url: &str,
    namespace: &str,
    stop: &Stop,
) -> Result<Report, Halt> {
    let reference = match options.reference {
        Some(ReferenceKind::Driver) => {
            Some(reference::of(store, url, namespace).await?.ok_or_else(|| {
                Failure::new(format!(
                    "there is no bare driver to compare the {} store with",
                    store.backend.name()
                ))
                .with_help("leave --reference out")
            })?)
        }
        None => None,
    };
    let measured = rounds(options, corpus, store, reference.as_ref(), stop).await;
    if let Some(reference) = &reference {
        // Of a run that ended early something may be left.
        let cleared = reference.driver.clear().await;
        let report = measured?;
        cleared?;
        return Ok(report);
    }
    measured
}

async fn rounds(
    options: &Bench,
    corpus: Corpus,
    store: &Store,
    reference: Option<&Reference>,
    stop: &Stop,
) -> Result<Report, Halt> {
    let mut wanted: BTreeSet<Workload> = options.workload.iter().copied().collect();
    if wanted.is_empty() {
        wanted.extend(Workload::value_variants());
    }
    let skipped = skipped(&wanted, store);
    for (workload, _) in &skipped {
        wanted.remove(workload);
    }
    let start = Instant::now();
    let mut report = Report::new(options, corpus, store, reference.map(|it| it.name), skipped);
    let ours =
        Side { subject: Arc::new(Ours(Arc::clone(&store.backend))), store: Some(Arc::clone(&store.backend)) };
    for round in 0..options.repeat {
        if options.repeat > 1 {
            say(format_args!(
                "round {} of {}, after {:.0} s",
                round + 1,
                options.repeat,
                start.elapsed().as_secs_f64()
            ));
        }
        for group in [Group::Documents, Group::Chat, Group::Vectors, Group::KeyValues] {
            let theirs = reference.and_then(|reference| theirs(reference, group, &wanted));
            let mut sides = vec![(None, &ours, wanted.clone())];
            if let Some((side, wanted)) = &theirs {
                sides.push((reference.map(|it| it.name), side, wanted.clone()));
            }
            // Whoever comes first meets other caches: the sides take turns with that too.
            if round % 2 == 1 {
                sides.reverse();
            }
            for (driver, side, wanted) in sides {
                let mut run = Run {
                    corpus,
                    batch: options.batch as usize,
                    queries: options.queries as usize,
                    wanted: &wanted,
                    stop,
                    measured: Vec::new(),
                };
                group.run(&mut run, side).await?;
                report.add(driver, run.measured)?;
            }
        }
    }
    Ok(report)
}

/// The bare driver's part in a group, if it has any.
fn theirs(
    reference: &Reference,
    group: Group,
    wanted: &BTreeSet<Workload>,
) -> Option<(Side, BTreeSet<Workload>)> {
    let wanted: BTreeSet<Workload> =
        wanted.iter().copied().filter(|workload| reference.workloads.contains(workload)).collect();
    let side = Side { subject: Arc::clone(&reference.driver), store: None };
    group.is_wanted(&wanted).then_some((side, wanted))
}

/// Workloads that share what they write.
#[derive(Clone, Copy, Debug)]
enum Group {
    Documents,
    Chat,
    Vectors,
    KeyValues,
}

impl Group {
    fn is_wanted(self, wanted: &BTreeSet<Workload>) -> bool {
        let workloads = match self {
            Self::Documents => documents::WORKLOADS,
            Self::Chat => chat::WORKLOADS,
            Self::Vectors => vectors::WORKLOADS,
            Self::KeyValues => key_values::WORKLOADS,
        };
        workloads.iter().any(|workload| wanted.contains(workload))
    }

    /// Has made what the first calls would make, tables and the like: a workload's figures are those of its calls.
    async fn make_ready(self, corpus: Corpus, side: &Side) -> Result<(), Halt> {
        side.subject.make_ready().await?;
        let Some(store) = &side.store else { return Ok(()) };
        match self {
            Self::Documents => drop(store.docs()?.get_many(&[corpus.id(0)]).await?),
            Self::Chat => {
                let chat = store.chat()?;
                chat.append("ready", vec![corpus.message(0)]).await?;
                chat.delete("ready").await?;
            }
            // They are configured first.
            Self::Vectors => {}
            Self::KeyValues => drop(store.kv()?.get_many(subject::COLLECTION, &["ready"]).await?),
        }
        Ok(())
    }

    /// Runs what is wanted of the group, and clears the side.
    async fn run(self, run: &mut Run<'_>, side: &Side) -> Result<(), Halt> {
        if !self.is_wanted(run.wanted) {
            return Ok(());
        }
        self.make_ready(run.corpus, side).await?;
        match self {
            Self::Documents => documents::run(run, side).await?,
            Self::Chat => chat::run(run, side).await?,
            Self::Vectors => vectors::run(run, side).await?,
            Self::KeyValues => key_values::run(run, side).await?,
        }
        side.subject.clear().await?;
        Ok(())
    }
}

/// The workloads that were asked for and can not run, and why.
fn skipped(wanted: &BTreeSet<Workload>, store: &Store) -> Vec<(Workload, &'static str)> {
    let Capabilities { kv, docs, chat, vectors, reader, .. } = store.backend.capabilities();
    let why = |workload: Workload| match workload {
        Workload::R1 if !reader => Some("no reader"),
        Workload::T1 if vectors.is_some() && !vectors::has_text(&*store.backend) => Some("no text search"),
        _ if documents::WORKLOADS.contains(&workload) => (!docs).then_some("no documents"),
        _ if chat::WORKLOADS.contains(&workload) => (!chat).then_some("no chats"),
        _ if vectors::WORKLOADS.contains(&workload) => vectors.is_none().then_some("no vectors"),
        _ => kv.is_none().then_some("no key-values"),
    };
    wanted.iter().filter_map(|&workload| Some((workload, why(workload)?))).collect()
}

/// Removes the namespace, and the folder if it was made for the run.
async fn remove(store: &Store, namespace: &str, made: Option<&Path>) -> Result<(), Failure> {
    let left = |error: Error| {
        let failure = Failure::from(error);
        say(format_args!(
            "the namespace {namespace} of {} could not be removed and is left over",
            store.shown
        ));
        failure
    };
    let dropped = store.backend.drop_namespace().await.map_err(left);
    let closed = store.backend.close().await;
    dropped?;
    closed?;
    if let Some(folder) = made {
        std::fs::remove_dir_all(folder).map_err(|error| {
            Failure::new(format!("the folder {} is left over: {error}", folder.display())).with_cause(error)
        })?;
    }
    Ok(())
}

/// A name that no other run has.
fn namespace() -> String {
    let random = NodeId::random();
    let random = random.as_str().chars().filter(char::is_ascii_alphanumeric).take(12);
    "bench".chars().chain(random).collect()
}

/// Said before the measuring, not after it.
fn check_writable(file: &Path) -> Result<(), Failure> {
    let opened = OpenOptions::new().append(true).create(true).open(file);
    opened.map(drop).map_err(|error| unwritable(file, error))
}

fn unwritable(file: &Path, error: std::io::Error) -> Failure {
    Failure::new(format!("{} can not be written: {error}", file.display())).with_cause(error)
}

/// `0..items` in pieces.
fn places(items: usize, piece: usize) -> impl Iterator<Item = Range<usize>> {
    (0..items).step_by(piece).map(move |from| from..(from + piece).min(items))
}

/// Reads a stream to its end; answers how many items it gave.
async fn consume<T>(mut stream: BoxStream<T>) -> Result<usize, Error> {
    let mut items = 0;
    while let Some(item) = stream.next().await {
        item?;
        items += 1;
    }
    Ok(items)
}

/// Refuses figures of a store that does not give back what it was given.
fn lost(workload: Workload, expected: usize, found: usize) -> Result<(), Failure> {
    if expected == found {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{}: the store answered {found} of {expected} items that were written; its figures mean nothing",
        workload.name()
    )))
}
