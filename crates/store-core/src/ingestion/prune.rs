//! Pruning: what is stored and was not in the run goes.

use futures::StreamExt;

use super::Scope;
use super::batch::UNFINISHED;
use super::id_set::IdSet;
use super::run::Run;
use crate::{NodeContent, NodeId, RefDocId, Result, Selector};

/// Documents deleted together.
const BATCH: usize = 32;
/// Nodes read together.
const PAGE: usize = 500;

impl Run<'_> {
    /// Reads the ref docs, which name every document with nodes, then the hashes, for documents without nodes and
    /// those an earlier run began and did not finish. Holds the digests of all node ids.
    pub(super) async fn prune(&self, seen: &IdSet, scope: &Scope) -> Result<()> {
        let docs = &self.ingestion.docs;
        let is_missing = |id: &NodeId| !seen.contains(id) && scope(id);
        let mut members = IdSet::default();
        let mut missing = Vec::new();
        let mut ref_docs = docs.scan_ref_docs(None);
        while let Some(entry) = ref_docs.next().await {
            let (id, info) = entry?;
            for node in &info.node_ids {
                members.insert(node);
            }
            let id = NodeId::new(id.into_string());
            if is_missing(&id) {
                missing.push(id);
                if missing.len() == BATCH {
                    self.remove(std::mem::take(&mut missing), &members).await?;
                }
            }
        }
        self.remove(std::mem::take(&mut missing), &members).await?;

        let mut unsure = Vec::new();
        let mut hashes = docs.scan_hashes(None);
        while let Some(entry) = hashes.next().await {
            let (id, hash) = entry?;
            if !is_missing(&id) || members.contains(&id) {
                continue;
            }
            if hash == UNFINISHED {
                missing.push(id);
                if missing.len() == BATCH {
                    self.remove(std::mem::take(&mut missing), &members).await?;
                }
            } else {
                unsure.push(id);
                if unsure.len() == PAGE {
                    self.remove_documents(std::mem::take(&mut unsure), &members).await?;
                }
            }
        }
        self.remove(missing, &members).await?;
        self.remove_documents(unsure, &members).await
    }

    /// Deletes those that are documents, and leaves nodes without a source alone.
    async fn remove_documents(&self, ids: Vec<NodeId>, members: &IdSet) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let is_document = |content: &NodeContent| {
            matches!(content, NodeContent::Document(_) | NodeContent::ImageDocument(_))
        };
        let nodes = self.ingestion.docs.get_many(&ids).await?;
        let documents = nodes.into_iter().flatten().filter(|node| is_document(&node.content));
        let ids: Vec<NodeId> = documents.map(|node| node.id).collect();
        for batch in ids.chunks(BATCH) {
            self.remove(batch.to_vec(), members).await?;
        }
        Ok(())
    }

    /// Deletes documents. The mark goes first, as in a write: should one come back after a crash half-way, it is not
    /// taken for unchanged. The document store goes last: until then a later run finds the documents there.
    async fn remove(&self, ids: Vec<NodeId>, members: &IdSet) -> Result<()> {
        if ids.is_empty() || self.unless_stopped(std::future::ready(())).await.is_none() {
            return Ok(());
        }
        let docs = &self.ingestion.docs;
        self.mark_unfinished(ids.iter()).await?;
        let ref_docs: Vec<RefDocId> = ids.iter().map(|id| RefDocId::new(id.as_str())).collect();
        if let Some(target) = &self.ingestion.target {
            // Nodes that a killed write left without a ref-doc entry: only the vector store knows their ids.
            let mut orphans = self.nodes_in_vectors(&ref_docs, false).await?;
            orphans.retain(|node| !members.contains(&node.id));
            if !orphans.is_empty() {
                docs.delete_many(&orphans.into_iter().map(|node| node.id).collect::<Vec<_>>()).await?;
            }
            target.store.delete(&Selector::ref_docs(ref_docs.iter().cloned())).await?;
        }
        for (id, ref_doc) in ids.iter().zip(&ref_docs) {
            let deleted = docs.delete_ref_doc(ref_doc).await?;
            self.pruned(id, deleted.map_or(0, |deleted| deleted.nodes));
        }
        Ok(())
    }
}
