//! V1 to V3, and T1: vectors and words.

use std::sync::Arc;

use nodestore::{Backend, QueryKindName, VectorQuery};

use super::corpus::{Corpus, QUERIES};
use super::subject::{Side, Subject};
use super::workload::Workload::{self, T1, V1, V2, V3};
use super::{Halt, Run, places};

pub(super) const WORKLOADS: &[Workload] = &[V1, V2, V3, T1];

/// Answers to each query.
const TOP: usize = 10;
/// Queries under way at a time.
const WIDTH: usize = 8;

/// Whether the store searches by words.
pub(super) fn has_text(store: &dyn Backend) -> bool {
    let vectors = store.capabilities().vectors;
    vectors.is_some_and(|vectors| vectors.query_kinds.contains(&QueryKindName::Text))
}

pub(super) async fn run(run: &mut Run<'_>, side: &Side) -> Result<(), Halt> {
    let corpus = run.corpus;
    let subject = &side.subject;
    subject.configure_vectors().await?;
    let mut meter = run.meter(V1, "add", "nodes", corpus.nodes)?;
    for places in places(corpus.nodes, run.batch) {
        let nodes = meter.prepare(|| corpus.embedded_nodes(places));
        meter.call(nodes.len(), subject.add_embedded(nodes)).await?;
    }
    run.keep(meter);

    let dense = |place| VectorQuery::dense(corpus.query(place), TOP);
    let filtered = |place| dense(place).with_selector(Corpus::filter(place));
    if run.wants(V2) || run.wants(V3) {
        let parts = Parts { workload: V2, first: "first query", single: "query", many: "query, 8 at once" };
        measure(run, subject, parts, dense).await?;
    }
    if run.wants(V3) {
        let parts =
            Parts { workload: V3, first: "first, filter", single: "filter", many: "filter, 8 at once" };
        measure(run, subject, parts, filtered).await?;
    }
    if run.wants(T1) && side.store.as_deref().is_some_and(has_text) {
        let parts = Parts { workload: T1, first: "first by words", single: "words", many: "" };
        measure(run, subject, parts, |place| VectorQuery::text(corpus.text_query(place), TOP)).await?;
    }
    Ok(())
}

/// The names of a workload's parts; an empty one is left out.
#[derive(Clone, Copy, Debug)]
struct Parts {
    workload: Workload,
    /// The first query after the writes, which may find things that are yet to be read or indexed.
    first: &'static str,
    single: &'static str,
    many: &'static str,
}

async fn measure(
    run: &mut Run<'_>,
    subject: &Arc<dyn Subject>,
    parts: Parts,
    query: impl Fn(usize) -> VectorQuery,
) -> Result<(), Halt> {
    let mut meter = run.meter(parts.workload, parts.first, "queries", 1)?;
    meter.call(1, subject.search(&query(QUERIES))).await?;
    run.keep(meter);

    let mut meter = run.meter(parts.workload, parts.single, "queries", run.queries)?;
    let mut answers = Fnv::new();
    for place in 0..run.queries {
        let query = meter.prepare(|| query(place));
        let hits = meter.call(1, subject.search(&query)).await?;
        meter.prepare(|| answers.add(&hits));
    }
    meter.answers(answers.0);
    run.keep(meter);
    if parts.many.is_empty() {
        return Ok(());
    }

    let mut meter = run.meter(parts.workload, parts.many, "queries", run.queries)?;
    let queries: Vec<VectorQuery> = meter.prepare(|| (0..run.queries).map(&query).collect());
    let calls = queries.into_iter().map(|query| {
        let subject = Arc::clone(subject);
        async move { subject.search(&query).await }
    });
    meter.at_once(WIDTH, calls).await?;
    run.keep(meter);
    Ok(())
}

/// FNV-1a over the ids of all answers, each with a new line: peers compute the same to see that they found the same.
#[derive(Debug)]
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, ids: &[String]) {
        for byte in ids.iter().flat_map(|id| id.bytes().chain([b'\n'])) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
