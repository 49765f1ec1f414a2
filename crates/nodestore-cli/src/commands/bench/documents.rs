//! D1 to D4: documents.

use nodestore::NodeId;

use super::corpus::NODES_IN_DOCUMENT;
use super::subject::Side;
use super::workload::Workload::{self, D1, D2, D3, D4};
use super::{Halt, Run, consume, lost, places};

pub(super) const WORKLOADS: &[Workload] = &[D1, D2, D3, D4];

/// Ids read in one call.
const IDS: usize = 100;
/// How often everything is listed.
const LISTINGS: usize = 5;
/// One source document of so many is deleted.
const DELETED: usize = 10;

pub(super) async fn run(run: &mut Run<'_>, side: &Side) -> Result<(), Halt> {
    let corpus = run.corpus;
    let mut meter = run.meter(D1, "add", "nodes", corpus.nodes)?;
    for places in places(corpus.nodes, run.batch) {
        let nodes = meter.prepare(|| corpus.nodes(places));
        meter.call(nodes.len(), side.subject.add_nodes(nodes)).await?;
    }
    run.keep(meter);

    if run.wants(D2) {
        let mut meter = run.meter(D2, "read by id", "nodes", corpus.nodes)?;
        for places in places(corpus.nodes, IDS) {
            let ids: Vec<NodeId> = meter.prepare(|| places.map(|place| corpus.id(place)).collect());
            let found = meter.call(ids.len(), side.subject.get_nodes(&ids)).await?;
            lost(D2, ids.len(), found)?;
        }
        run.keep(meter);
    }
    if let Some(store) = side.store.as_ref().filter(|_| run.wants(D3)) {
        let docs = store.docs()?;
        let mut meter = run.meter(D3, "list hashes", "hashes", LISTINGS * corpus.nodes)?;
        for _ in 0..LISTINGS {
            let found = meter.call(corpus.nodes, consume(docs.scan_hashes(None))).await?;
            lost(D3, corpus.nodes, found)?;
        }
        run.keep(meter);
        let mut meter = run.meter(D3, "list sources", "documents", LISTINGS * corpus.documents())?;
        for _ in 0..LISTINGS {
            let found = meter.call(corpus.documents(), consume(docs.scan_ref_docs(None))).await?;
            lost(D3, corpus.documents(), found)?;
        }
        run.keep(meter);
    }
    if run.wants(D4) {
        let mut meter = run.meter(D4, "delete", "documents", corpus.documents().div_ceil(DELETED))?;
        for place in (0..corpus.documents()).step_by(DELETED) {
            let id = corpus.document(place);
            let deleted = meter.call(1, side.subject.delete_source(&id)).await?;
            lost(D4, NODES_IN_DOCUMENT, deleted)?;
        }
        run.keep(meter);
    }
    Ok(())
}
