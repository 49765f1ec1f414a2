//! One batch: find what changed, cut, embed, and write in the order that survives a crash.
//!
//! The writes for the documents D of a batch, and what a kill after each leaves behind:
//!
//! 1. the hash of each D becomes [`UNFINISHED`]. From here until 6, D is taken for changed by every run, whatever
//!    its content is by then, and pruning finds it even if it has nothing else.
//! 2. new nodes go into the vector store. It now has old and new nodes of D, and says so: it is asked for the nodes
//!    of D before each write, so a later run finds what this one left there.
//! 3. all nodes of D that the document store or the vector store know leave the document store (their hashes
//!    and D's ref-doc entry too, so that its metadata and the order of its nodes begin anew). Nodes are first in and
//!    last out of the vector store, so it knows their ids where a document store whose calls are not atomic was
//!    killed inside one and has nodes without a ref-doc entry.
//! 4. new nodes go into the document store.
//! 5. old nodes leave the vector store.
//! 6. D itself is written, and with it its hash, which `DocStore::add` writes last: the commit.
//!
//! Each step repeated gives the same result, so a run over a killed one ends like an undisturbed one. What remains:
//! without a vector store, over a document store whose `add` is not atomic, a kill inside 4 leaves nodes that only
//! the same content finds again; if the document changes once more or goes before the next run, they stay.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};

use super::Target;
use super::chunks::link;
use super::run::Run;
use crate::{
    AddMode, AddOptions, Document, Embedding, Error, ErrorKind, GetOptions, MetadataMode, Node, NodeId,
    RefDocId, Relationship, Result, Selector,
};

/// Stands in place of a document's hash while the document is written or deleted.
pub(super) const UNFINISHED: &str = "ingesting";

/// Nodes in one page of the vector store.
const PAGE: usize = 500;
/// Ref docs read at one time.
const READS_AT_ONCE: usize = 8;

/// A document to write.
#[derive(Debug)]
struct Work {
    document: Document,
    known: bool,
    nodes: Vec<NewNode>,
}

#[derive(Debug)]
struct NewNode {
    node: Node,
    /// What is embedded; `None` when nothing is.
    text: Option<String>,
    embedding: Option<Embedding>,
    embedded_now: bool,
}

impl Work {
    fn ref_doc_id(&self) -> RefDocId {
        RefDocId::new(self.document.id.as_str())
    }
}

impl Run<'_> {
    pub(super) async fn ingest_batch(&self, batch: Vec<Document>) -> Result<()> {
        let ids: Vec<NodeId> = batch.iter().map(|document| document.id.clone()).collect();
        let stored = self.ingestion.docs.hashes(&ids).await?;
        let mut works = Vec::new();
        for (document, stored) in batch.into_iter().zip(stored) {
            if !self.ingestion.rewrite && stored.as_deref() == Some(&document.hash()) {
                self.unchanged(&document.id);
                continue;
            }
            self.started(&document.id);
            match self.cut(&document) {
                Ok(nodes) => works.push(Work { document, known: stored.is_some(), nodes }),
                Err(error) => self.failed(Some(&document.id), error),
            }
        }
        match self.store(&mut works).await {
            Err(error) if is_about_input(&error) => {}
            done => return done,
        }
        // One of them is at fault: each on its own, to find it and let the others through.
        for work in &mut works {
            match self.store(std::slice::from_mut(work)).await {
                Err(error) if is_about_input(&error) => self.failed(Some(&work.document.id), error),
                done => done?,
            }
        }
        Ok(())
    }

    fn cut(&self, document: &Document) -> Result<Vec<NewNode>> {
        let mut ids = HashSet::new();
        let nodes = (self.ingestion.splitter)(document)?;
        let refuse = |node: &Node, why: &str| {
            Err(Error::invalid_input(format!("the splitter gave a node {} {why}", node.id)))
        };
        let mut cut = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            if node.id.as_str().is_empty() {
                return refuse(&node, "without an id");
            }
            if node.id == document.id {
                return refuse(&node, "with the id of its document: give it another");
            }
            if !ids.insert(node.id.clone()) {
                return refuse(&node, "twice");
            }
            match node.relationships.source() {
                Some(source) if source.node_id != document.id => return refuse(&node, "of another source"),
                Some(_) => {}
                None => node.relationships.set(Relationship::Source, link(document)),
            }
            let text = match &self.ingestion.target {
                Some(_) if node.embedding.is_none() => Some(node.content_with(MetadataMode::Embed)?),
                _ => None,
            };
            let text = text.filter(|text| !text.trim().is_empty());
            cut.push(NewNode { node, text, embedding: None, embedded_now: false });
        }
        Ok(cut)
    }

    async fn store(&self, works: &mut [Work]) -> Result<()> {
        if works.is_empty() {
            return Ok(());
        }
        let ids: Vec<RefDocId> = works.iter().map(Work::ref_doc_id).collect();
        let in_vectors = self.nodes_in_vectors(&ids, true).await?;
        if let Some(target) = &self.ingestion.target {
            if !self.ingestion.rewrite {
                reuse_embeddings(works, &in_vectors);
            }
            let Some(embedded) = self.unless_stopped(self.embed(target, works)).await else { return Ok(()) };
            embedded?;
        }
        let in_vectors: Vec<NodeId> = in_vectors.into_iter().map(|node| node.id).collect();
        self.write(works, in_vectors).await?;
        for work in works {
            let embedded = work.nodes.iter().filter(|node| node.embedded_now).count();
            self.written(&work.document.id, work.nodes.len(), embedded, work.known);
        }
        Ok(())
    }

    /// The nodes of these documents in the vector store; none when there is no vector store.
    pub(super) async fn nodes_in_vectors(
        &self,
        documents: &[RefDocId],
        with_embeddings: bool,
    ) -> Result<Vec<Node>> {
        let Some(target) = &self.ingestion.target else { return Ok(Vec::new()) };
        let selector = Selector::ref_docs(documents.iter().cloned());
        let options = GetOptions::default().with_embeddings(with_embeddings).with_limit(PAGE);
        let mut page = target.store.get(&selector, options.clone()).await?;
        let mut nodes = page.items;
        while let Some(next) = page.next {
            page = target.store.get(&selector, options.clone().with_after(next)).await?;
            nodes.append(&mut page.items);
        }
        Ok(nodes)
    }

    async fn embed(&self, target: &Target, works: &mut [Work]) -> Result<()> {
        let mut waiting: Vec<&mut NewNode> = works
            .iter_mut()
            .flat_map(|work| &mut work.nodes)
            .filter(|node| node.text.is_some() && node.embedding.is_none())
            .collect();
        let texts: Vec<&str> = waiting.iter().filter_map(|node| node.text.as_deref()).collect();
        let calls: Vec<_> =
            texts.chunks(self.ingestion.embed_batch).map(|texts| embed(target, texts)).collect();
        // Two batches may be at work: each makes half of the calls allowed.
        let calls_at_once = (self.ingestion.concurrency / 2).max(1);
        let embeddings: Vec<Vec<Embedding>> =
            stream::iter(calls).buffered(calls_at_once).try_collect().await?;
        for (node, embedding) in waiting.iter_mut().zip(embeddings.into_iter().flatten()) {
            node.embedding = Some(embedding);
            node.embedded_now = true;
        }
        Ok(())
    }

    /// The six steps above.
    async fn write(&self, works: &[Work], in_vectors: Vec<NodeId>) -> Result<()> {
        let docs = &self.ingestion.docs;
        let new: HashSet<&NodeId> =
            works.iter().flat_map(|work| &work.nodes).map(|new| &new.node.id).collect();

        self.mark_unfinished(works.iter().map(|work| &work.document.id)).await?;

        if let Some(target) = &self.ingestion.target {
            let nodes = works.iter().flat_map(|work| &work.nodes).map(NewNode::for_vectors).collect();
            target.store.upsert(nodes, AddMode::Overwrite).await?;
        }

        self.clear_docs(works, &in_vectors).await?;

        let nodes: Vec<Node> = works.iter().flat_map(|work| &work.nodes).map(NewNode::for_docs).collect();
        docs.add(nodes, AddOptions::default()).await?;

        let stale: Vec<NodeId> = in_vectors.into_iter().filter(|id| !new.contains(id)).collect();
        if let (Some(target), false) = (&self.ingestion.target, stale.is_empty()) {
            target.store.delete(&Selector::ids(stale)).await?;
        }

        let documents = works.iter().map(|work| work.document.clone().into_node()).collect();
        docs.add(documents, AddOptions::default()).await?;
        Ok(())
    }

    /// Step 3.
    async fn clear_docs(&self, works: &[Work], in_vectors: &[NodeId]) -> Result<()> {
        let docs = &self.ingestion.docs;
        let ids: Vec<RefDocId> = works.iter().map(Work::ref_doc_id).collect();
        let reads: Vec<_> = ids.iter().map(|id| docs.ref_doc(id)).collect();
        let infos: Vec<_> = stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
        if self.ingestion.target.is_none() {
            // Nobody else knows the nodes: `delete_ref_doc` forgets them last of all. It takes the mark too, but
            // when it is done there is nothing left that the mark would have to point at.
            for (id, _) in ids.iter().zip(infos).filter(|(_, info)| info.is_some()) {
                docs.delete_ref_doc(id).await?;
            }
            return Ok(());
        }
        let in_docs = infos.into_iter().flatten().flat_map(|info| info.node_ids);
        let old: HashSet<NodeId> = in_docs.chain(in_vectors.iter().cloned()).collect();
        if !old.is_empty() {
            docs.delete_many(&old.into_iter().collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    pub(super) async fn mark_unfinished(&self, ids: impl Iterator<Item = &NodeId> + Send) -> Result<()> {
        let marks = ids.map(|id| (id.clone(), UNFINISHED.to_owned())).collect();
        self.ingestion.docs.set_hashes(marks).await
    }
}

impl NewNode {
    fn for_vectors(&self) -> Node {
        let mut node = self.node.clone();
        if let Some(embedding) = &self.embedding {
            node.set_embedding(embedding);
        }
        node
    }

    fn for_docs(&self) -> Node {
        let mut node = self.node.clone();
        node.embedding = None;
        node
    }
}

/// Gives nodes the vector they have in the store, where the text that was embedded is the same.
fn reuse_embeddings(works: &mut [Work], stored: &[Node]) {
    let stored: HashMap<&NodeId, &Node> = stored.iter().map(|node| (&node.id, node)).collect();
    for new in works.iter_mut().flat_map(|work| &mut work.nodes) {
        let Some(stored) = stored.get(&new.node.id) else { continue };
        if new.text.is_some() && stored.content_with(MetadataMode::Embed).ok() == new.text {
            new.embedding = stored.embedding_f32();
        }
    }
}

async fn embed(target: &Target, texts: &[&str]) -> Result<Vec<Embedding>> {
    let embeddings = target.embedder.embed(texts).await?;
    if embeddings.len() == texts.len() {
        return Ok(embeddings);
    }
    Err(Error::new(
        ErrorKind::Other,
        format!(
            "the embedder {} answered {} embeddings for {} texts",
            target.embedder.model(),
            embeddings.len(),
            texts.len()
        ),
    ))
}

/// Whether the data is at fault, and not the store.
fn is_about_input(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::LimitExceeded)
}
