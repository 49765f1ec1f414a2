//! What the program itself can see, through any backend.

use std::time::{Duration, Instant};

use futures::StreamExt;
use nodestore::{BoxStream, Capabilities, EmbedderNote, Finding, Metric, Selector, Severity};

use crate::cli::Global;
use crate::failure::Failure;
use crate::output::{count, thousands};
use crate::store::Store;

/// A slower sign of life is told: a search takes several of them.
const SLOW: Duration = Duration::from_millis(200);

/// A number of items, or at least so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) items: usize,
    /// Whether time was up before the end.
    pub(super) at_least: bool,
}

/// What the store holds; `None` where the role is not offered.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// Source documents.
    pub(super) documents: Option<Count>,
    /// Nodes cut from them.
    pub(super) nodes: Option<Count>,
    pub(super) chats: Option<Count>,
    pub(super) indexes: Option<Count>,
    /// Vectors, where the store is configured for any.
    pub(super) vectors: Option<usize>,
    /// Their dimensions and how they are compared.
    pub(super) shape: Option<(usize, Metric)>,
}

/// Counts what the store holds, until time is up.
pub(super) async fn count_all(
    store: &Store,
    capabilities: &Capabilities,
    until: Option<Instant>,
) -> Result<Counts, Failure> {
    let mut counts = Counts::default();
    let backend = &store.backend;
    if capabilities.vectors.is_some() {
        let vectors = store.vectors().await?;
        if let Some(config) = vectors.config().await? {
            counts.shape = Some((config.dimensions, config.metric));
            counts.vectors = Some(vectors.count(&Selector::all()).await?);
        }
    }
    if capabilities.chat {
        counts.chats = Some(length(backend.chat()?.keys(None), until, |_| 1).await?.0);
    }
    if capabilities.index {
        counts.indexes = Some(length(backend.index()?.scan(None), until, |_| 1).await?.0);
    }
    if capabilities.docs {
        let scan = backend.docs()?.scan_ref_docs(None);
        let (documents, nodes) = length(scan, until, |(_, info)| info.node_ids.len()).await?;
        counts.documents = Some(documents);
        counts.nodes = Some(nodes);
    }
    Ok(counts)
}

/// How many items come, and the sum of what each holds.
async fn length<T>(
    mut stream: BoxStream<T>,
    until: Option<Instant>,
    holds: impl Fn(&T) -> usize,
) -> Result<(Count, Count), Failure> {
    let (mut items, mut sum) = (Count::default(), Count::default());
    while let Some(item) = stream.next().await {
        let item = item?;
        items.items += 1;
        sum.items += holds(&item);
        if until.is_some_and(|until| Instant::now() >= until) {
            items.at_least = true;
            sum.at_least = true;
            break;
        }
    }
    Ok((items, sum))
}

/// What the program can tell of any store.
pub(super) async fn findings(
    store: &Store,
    capabilities: &Capabilities,
    counts: &Counts,
    pings: &[Duration],
) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    let median = pings.get(pings.len() / 2).copied().unwrap_or_default();
    if median > SLOW {
        findings.push(Finding::warning(
            "latency",
            format!("an answer takes {:.0} ms; a search needs several", median.as_secs_f64() * 1e3),
            "run the program nearer to the store, or look what slows the network or the server",
        ));
    }
    if capabilities.vectors.is_some() {
        let note = EmbedderNote::read(&*store.backend).await?;
        findings.extend(vectors_and_nodes(counts));
        findings.extend(embedder(note.as_ref(), counts));
        findings.extend(unused_sets(&store.backend.vector_sets().await?, note.as_ref()));
    }
    Ok(findings)
}

/// Holds the number of vectors against the number of nodes.
fn vectors_and_nodes(counts: &Counts) -> Option<Finding> {
    let Some(vectors) = counts.vectors else {
        return Some(Finding::note(
            "vectors",
            "the store holds no vectors yet",
            "`nodestore ingest PATH` makes them",
        ));
    };
    let nodes = counts.nodes?;
    if nodes.at_least {
        let message = "there are more nodes than were counted in three seconds, so they were not held against the vectors";
        return Some(Finding::note("vectors", message, "`nodestore doctor --all` counts all of them"));
    }
    let (more, than) = (thousands(vectors.max(nodes.items)), thousands(vectors.min(nodes.items)));
    match vectors.cmp(&nodes.items) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Less => Some(Finding::warning(
            "vectors",
            format!("{more} nodes are stored, but only {than} vectors: a search does not find the others"),
            "run the ingest again, as it may have been cut short; what stays without a vector, delete and ingest anew",
        )),
        std::cmp::Ordering::Greater => Some(Finding::note(
            "vectors",
            format!("there are {more} vectors, but only {than} nodes cut from stored documents"),
            "nothing to do if the documents are kept elsewhere; else `nodestore delete --ref-doc ID` removes vectors \
             of documents that are gone",
        )),
    }
}

/// Holds the note about the embedder against the vectors.
fn embedder(note: Option<&EmbedderNote>, counts: &Counts) -> Option<Finding> {
    let (Some((dimensions, _)), Some(1..)) = (counts.shape, counts.vectors) else { return None };
    let Some(note) = note else {
        return Some(Finding::note(
            "embedder",
            "the store does not say what made its vectors: another program filled it",
            "search by words (--mode text), or by vector with the embedder that made them",
        ));
    };
    (note.dimensions != dimensions).then(|| {
        Finding::new(
            Severity::Error,
            "embedder",
            format!(
                "the store notes an embedder of {} dimensions, but its vectors have {dimensions}",
                note.dimensions
            ),
            "questions can not be compared with these vectors: search by words (--mode text), or let `nodestore \
             reembed` make them anew",
        )
    })
}

/// Names vector sets that are not in use: they take room.
fn unused_sets(sets: &[String], note: Option<&EmbedderNote>) -> Option<Finding> {
    let in_use = note.and_then(|note| note.set.as_ref());
    let unused: Vec<&str> = sets.iter().filter(|set| Some(*set) != in_use).map(String::as_str).collect();
    (!unused.is_empty()).then(|| {
        Finding::note(
            "vector sets",
            format!("{} lie beside the vectors in use: {}", count(unused.len(), "vector set"), unused.join(", ")),
            "`nodestore reembed` goes on with one that it has begun, `nodestore reembed --discard` removes that; \
             others belong to programs of yours",
        )
    })
}

/// What the environment says that a person may not think of.
pub(super) fn environment(variable: Option<&str>, global: &Global) -> Option<Finding> {
    let variable = variable.filter(|variable| global.store.as_deref() != Some(*variable))?;
    Some(Finding::note(
        "NODESTORE_URL",
        format!("--store is used, and NODESTORE_URL ({}) is not", nodestore::redact(variable)),
        "nothing to do; without --store the commands work with the other one",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(vectors: usize, nodes: usize, at_least: bool) -> Counts {
        Counts { vectors: Some(vectors), nodes: Some(Count { items: nodes, at_least }), ..Counts::default() }
    }

    #[test]
    fn vectors_are_held_against_nodes() {
        let severity = |counts| vectors_and_nodes(&counts).map(|finding| finding.severity);
        assert_eq!(severity(counts(3, 3, false)), None);
        assert_eq!(severity(counts(2, 3, false)), Some(Severity::Warning));
        assert_eq!(severity(counts(4, 3, false)), Some(Severity::Note));
        assert_eq!(severity(counts(2, 3, true)), Some(Severity::Note));
        assert_eq!(severity(Counts::default()), Some(Severity::Note));
    }

    #[test]
    fn the_note_is_held_against_the_vectors() {
        let mut counts = counts(3, 3, false);
        counts.shape = Some((64, Metric::Cosine));
        let severity =
            |note: Option<EmbedderNote>| embedder(note.as_ref(), &counts).map(|finding| finding.severity);
        assert_eq!(severity(None), Some(Severity::Note));
        assert_eq!(severity(Some(EmbedderNote::new("m", 64))), None);
        assert_eq!(severity(Some(EmbedderNote::new("m", 32))), Some(Severity::Error));
    }

    #[test]
    fn sets_that_are_not_in_use_are_named() {
        let mut note = EmbedderNote::new("m", 64);
        note.set = Some("v2".into());
        let sets = ["v2".to_owned(), "v3".to_owned()];
        assert!(unused_sets(&sets, Some(&note)).unwrap().message.ends_with("in use: v3"));
        assert_eq!(unused_sets(&sets[..1], Some(&note)), None);
    }

    #[tokio::test]
    async fn counting_stops_when_time_is_up() {
        let stream = || -> BoxStream<usize> { Box::pin(futures::stream::iter((0..10).map(Ok))) };
        let (items, sum) = length(stream(), None, |item| *item).await.unwrap();
        assert_eq!((items.items, sum.items, items.at_least), (10, 45, false));
        let (items, _) = length(stream(), Some(Instant::now()), |item| *item).await.unwrap();
        assert_eq!(items, Count { items: 1, at_least: true });
    }
}
