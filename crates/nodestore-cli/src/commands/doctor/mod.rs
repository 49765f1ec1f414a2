//! `doctor`: whether the store answers, what it can do, and what is going to hurt.

mod checks;
mod show;

use std::time::{Duration, Instant};

use clap::Args;
use nodestore::{Capabilities, Diagnosis, Severity};
use serde_json::json;

use self::checks::Counts;
use crate::cli::Global;
use crate::failure::{Failure, Outcome};
use crate::output::print_json;
use crate::store::{self, Access, Store};

/// Check the store: does it answer, what can it do, what is going to hurt
///
/// Opens the store, asks it a few times for a sign of life, and shows its versions and settings, what each role can
/// do, what it holds, and everything worth a word, each with what to do about it. Looks only, and changes nothing.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore doctor
  nodestore --store ./kb doctor --json       for a program that watches the store
  nodestore doctor --all                     counts everything, however long it takes

Notes are good to know; warnings hurt, or are going to. The exit code is 0 when there are at most
notes, 3 when there are warnings or errors, and 1 when the store can not be reached.")]
pub(crate) struct Doctor {
    /// Counts everything; else counting ends after three seconds
    #[arg(long)]
    pub(crate) all: bool,
    /// Prints a report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Signs of life that are asked for.
const PINGS: usize = 5;
/// How long counting may take without `--all`.
const PATIENCE: Duration = Duration::from_secs(3);

/// Everything that was found out.
#[derive(Debug)]
struct Report {
    shown: String,
    backend: &'static str,
    /// `NODESTORE_URL` without secrets, if it is set.
    variable: Option<String>,
    /// How long the pings took, fastest first.
    pings: Vec<Duration>,
    capabilities: Capabilities,
    counts: Counts,
    /// The backend's own facts, and all findings, worst first.
    diagnosis: Diagnosis,
}

pub(crate) async fn run(options: &Doctor, global: &Global) -> Result<Outcome, Failure> {
    let report = examine_and_close(options, global).await;
    match report {
        Ok(report) => {
            if options.json {
                print_json(&show::to_json(&report))?;
            } else {
                show::show(&report)?;
            }
            let worst = report.diagnosis.findings.iter().map(|finding| finding.severity).max();
            Ok(if worst > Some(Severity::Note) { Outcome::SomeFailed } else { Outcome::Done })
        }
        Err(failure) => {
            if options.json {
                print_json(
                    &json!({"reachable": false, "error": failure.message(), "advice": failure.help()}),
                )?;
            }
            Err(failure)
        }
    }
}

async fn examine_and_close(options: &Doctor, global: &Global) -> Result<Report, Failure> {
    let store = store::open(global, Access::Existing).await?;
    let report = examine(options, global, &store).await;
    let closed = store.backend.close().await;
    let report = report?;
    closed?;
    Ok(report)
}

async fn examine(options: &Doctor, global: &Global, store: &Store) -> Result<Report, Failure> {
    let pings = ping(store).await?;
    let capabilities = store.backend.capabilities();
    let mut diagnosis = store.backend.diagnose().await?;
    let until = if options.all { None } else { Instant::now().checked_add(PATIENCE) };
    let counts = checks::count_all(store, &capabilities, until).await?;
    diagnosis.findings.extend(checks::findings(store, &capabilities, &counts, &pings).await?);
    let variable = std::env::var("NODESTORE_URL").ok().filter(|url| !url.trim().is_empty());
    diagnosis.findings.extend(checks::environment(variable.as_deref(), global));
    diagnosis.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(Report {
        shown: store.shown.clone(),
        backend: store.backend.name(),
        variable: variable.as_deref().map(nodestore::redact),
        pings,
        capabilities,
        counts,
        diagnosis,
    })
}

async fn ping(store: &Store) -> Result<Vec<Duration>, Failure> {
    let mut pings = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let start = Instant::now();
        store.backend.ping().await?;
        pings.push(start.elapsed());
    }
    pings.sort();
    Ok(pings)
}
