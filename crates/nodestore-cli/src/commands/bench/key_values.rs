//! K1 and K2: key-values; and R1, which reads them as documents.

use std::sync::Arc;

use nodestore::JsonObject;

use super::subject::Side;
use super::workload::Workload::{self, K1, K2, R1};
use super::{Halt, Run, lost, places};

pub(super) const WORKLOADS: &[Workload] = &[R1, K1, K2];

/// Entries of one call.
const BATCH: usize = 100;
/// Calls under way at a time, of one entry each.
const WIDTH: usize = 64;
/// How often everything is read as documents.
const LOADS: usize = 5;
/// One entry of so many is written and read again singly.
const SINGLES: usize = 10;

pub(super) async fn run(run: &mut Run<'_>, side: &Side) -> Result<(), Halt> {
    let corpus = run.corpus;
    // Singly written entries are new ones.
    let singles = corpus.nodes..corpus.nodes + corpus.nodes.div_ceil(SINGLES);
    let mut meter = run.meter(K1, "put 100", "values", corpus.nodes)?;
    for places in places(corpus.nodes, BATCH) {
        let entries: Vec<(String, JsonObject)> =
            meter.prepare(|| places.map(|place| corpus.entry(place)).collect());
        meter.call(entries.len(), side.subject.put(entries)).await?;
    }
    run.keep(meter);
    if run.wants(R1) {
        let mut meter = run.meter(R1, "read all", "documents", LOADS * corpus.nodes)?;
        for _ in 0..LOADS {
            let found = meter.call(corpus.nodes, side.subject.load()).await?;
            lost(R1, corpus.nodes, found)?;
        }
        run.keep(meter);
    }
    let mut meter = run.meter(K1, "put 1, 64 at once", "values", singles.len())?;
    let entries: Vec<_> = meter.prepare(|| singles.clone().map(|place| corpus.entry(place)).collect());
    let calls = entries.into_iter().map(|entry| {
        let subject = Arc::clone(&side.subject);
        async move { subject.put(vec![entry]).await }
    });
    meter.at_once(WIDTH, calls).await?;
    run.keep(meter);

    if run.wants(K2) {
        let mut meter = run.meter(K2, "get 100", "values", corpus.nodes)?;
        for places in places(corpus.nodes, BATCH) {
            let keys: Vec<String> = meter.prepare(|| places.map(|place| corpus.key(place)).collect());
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let found = meter.call(keys.len(), side.subject.get(&keys)).await?;
            lost(K2, keys.len(), found)?;
        }
        run.keep(meter);
        let mut meter = run.meter(K2, "get 1, 64 at once", "values", singles.len())?;
        let keys: Vec<String> = meter.prepare(|| singles.map(|place| corpus.key(place)).collect());
        let calls = keys.into_iter().map(|key| {
            let subject = Arc::clone(&side.subject);
            async move { lost(K2, 1, subject.get(&[&key]).await?) }
        });
        meter.at_once(WIDTH, calls).await?;
        run.keep(meter);
    }
    Ok(())
}
