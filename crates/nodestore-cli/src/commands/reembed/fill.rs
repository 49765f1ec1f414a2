//! Fills a vector set from another one, with vectors of another embedder.
//!
//! Each page of the old set is held against the new one: what is there with the same content is passed over, so a run
//! that was stopped goes on, and a pass over a finished set changes nothing.

use std::collections::HashMap;

use nodestore::{
    AddMode, Embedder, Error, ErrorKind, GetOptions, MetadataMode, Node, NodeId, Selector, VectorStore,
};

use crate::embedding::Chosen;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::stop::Stop;

/// Nodes read, embedded and written together.
const PAGE: usize = 256;

/// From where to where, and with what.
#[derive(Debug)]
pub(super) struct Fill<'a> {
    pub(super) old: &'a dyn VectorStore,
    pub(super) new: &'a dyn VectorStore,
    pub(super) embedder: &'a Chosen,
    pub(super) stop: &'a Stop,
}

/// What passes over the sets did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Nodes that were written, embedded anew.
    pub(super) written: usize,
    /// Of these, those without text, which have no vector.
    pub(super) without_text: usize,
    /// Nodes that were in the new set already.
    pub(super) passed_over: usize,
    /// Nodes removed from the new set, since the old one no longer has them.
    pub(super) removed: usize,
    /// Ctrl-C came before the end.
    pub(super) stopped: bool,
}

impl Fill<'_> {
    /// Writes what the new set lacks.
    pub(super) async fn pass(&self, progress: &Progress) -> Result<Report, Failure> {
        let mut report = Report::default();
        let mut after = None;
        loop {
            let mut options = GetOptions::default().with_limit(PAGE);
            options.after = after;
            let page = self.old.get(&Selector::all(), options).await?;
            let nodes = page.items.len() as u64;
            let missing = self.missing(page.items).await?;
            report.passed_over += usize::try_from(nodes).unwrap_or(usize::MAX) - missing.len();
            if !missing.is_empty() {
                tokio::select! {
                    biased;
                    () = self.stop.wait() => report.stopped = true,
                    done = self.write(missing, &mut report) => done?,
                }
            }
            if report.stopped || self.stop.requested() {
                report.stopped = true;
                return Ok(report);
            }
            progress.add(nodes);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(report),
            }
        }
    }

    /// Those of the nodes that the new set does not have just so.
    async fn missing(&self, nodes: Vec<Node>) -> Result<Vec<Node>, Failure> {
        let ids = nodes.iter().map(|node| node.id.clone());
        let there = self.new.get(&Selector::ids(ids), GetOptions::default()).await?.items;
        let there: HashMap<NodeId, Node> =
            there.into_iter().map(|node| (node.id.clone(), bare(node))).collect();
        let missing = nodes.into_iter().map(bare).filter(|node| there.get(&node.id) != Some(node));
        Ok(missing.collect())
    }

    async fn write(&self, mut nodes: Vec<Node>, report: &mut Report) -> Result<(), Failure> {
        let texts = nodes.iter().map(|node| node.content_with(MetadataMode::Embed));
        let texts: Vec<String> = texts.collect::<Result<_, _>>()?;
        // As the ingestion does: what has no text gets no vector.
        let has_text = |text: &&str| !text.trim().is_empty();
        let asked: Vec<&str> = texts.iter().map(String::as_str).filter(has_text).collect();
        let embeddings = match self.embedder.embed(&asked).await {
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::LimitExceeded) => {
                return Err(self.refused(&nodes, &texts, error).await);
            }
            embeddings => embeddings?,
        };
        let mut embeddings = embeddings.into_iter();
        let mut without_text = 0;
        for (node, text) in nodes.iter_mut().zip(&texts) {
            match has_text(&text.as_str()).then(|| embeddings.next()).flatten() {
                Some(embedding) => node.set_embedding(&embedding),
                None => without_text += 1,
            }
        }
        let written = nodes.len();
        self.new.upsert(nodes, AddMode::Overwrite).await?;
        report.written += written;
        report.without_text += without_text;
        Ok(())
    }

    /// Finds the node whose text is refused, one by one; what is embedded on the way is kept.
    async fn refused(&self, nodes: &[Node], texts: &[String], mut error: Error) -> Failure {
        let mut named = None;
        for (node, text) in nodes.iter().zip(texts).filter(|(_, text)| !text.trim().is_empty()) {
            if let Err(its_own) = self.embedder.embed(&[text]).await {
                (named, error) = (Some(node.id.as_str()), its_own);
                break;
            }
        }
        let node = named.map_or_else(|| "a node".to_owned(), |id| format!("the node {id}"));
        Failure::new(format!("{node} can not be embedded: {}", error.message()))
            .with_help(
                "nothing was switched, and the same command goes on from here; `nodestore delete ID` removes the node, \
                 `nodestore reembed --discard` ends the attempt",
            )
            .with_cause(error)
    }

    /// Removes from the new set what the old one no longer has.
    pub(super) async fn prune(&self) -> Result<usize, Failure> {
        let (mut removed, mut after) = (0, None);
        loop {
            let mut options = GetOptions::default().with_limit(PAGE);
            options.after = after;
            let page = self.new.get(&Selector::all(), options).await?;
            let ids = page.items.into_iter().map(|node| node.id);
            let ids: Vec<NodeId> = ids.collect();
            let there = self.old.get(&Selector::ids(ids.iter().cloned()), GetOptions::default()).await?.items;
            let there: Vec<NodeId> = there.into_iter().map(|node| node.id).collect();
            let there: std::collections::HashSet<&NodeId> = there.iter().collect();
            let gone: Vec<NodeId> = ids.iter().filter(|id| !there.contains(id)).cloned().collect();
            if !gone.is_empty() {
                removed += self.new.delete(&Selector::ids(gone)).await?;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(removed),
            }
        }
    }
}

/// A node without its vector.
fn bare(mut node: Node) -> Node {
    node.embedding = None;
    node
}
