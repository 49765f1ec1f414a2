//! Documents with a fault.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use store_core::{
    AddMode, AddOptions, AddReport, BoxStream, DocQuery, DocStore, JsonObject, KvStore, KvStoreExt, Node,
    NodeId, Order, Page, RefDocDeleted, RefDocId, RefDocInfo, Result,
};

use super::Fault;

#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) inner: Arc<dyn DocStore>,
    /// What the documents are kept in.
    pub(crate) kv: Arc<dyn KvStore>,
    pub(crate) fault: Fault,
}

#[async_trait]
impl DocStore for Faulty {
    async fn add(&self, nodes: Vec<Node>, mut options: AddOptions) -> Result<AddReport> {
        if self.fault == Fault::SkipOverwrites && options.mode == AddMode::Skip {
            options.mode = AddMode::Overwrite;
        }
        if self.fault == Fault::AddReplacesTheRefDoc {
            for ref_doc in nodes.iter().filter_map(Node::ref_doc_id) {
                self.kv.delete("docstore/ref_doc_info", ref_doc.as_str()).await?;
            }
        }
        let mut nodes = nodes;
        if self.fault == Fault::AddTrustsStoredNodes {
            let ids: Vec<NodeId> = nodes.iter().map(|node| node.id.clone()).collect();
            let stored = self.inner.get_many(&ids).await?;
            nodes.retain(|node| !stored.iter().flatten().any(|other| other == node));
        }
        self.inner.add(nodes, options).await
    }

    async fn get_many(&self, ids: &[NodeId]) -> Result<Vec<Option<Node>>> {
        self.inner.get_many(ids).await
    }

    async fn delete_many(&self, ids: &[NodeId]) -> Result<usize> {
        match self.fault {
            Fault::DeleteLeavesTheEdges if !ids.is_empty() => {
                let keys: Vec<&str> = ids.iter().map(NodeId::as_str).collect();
                self.kv.delete_many("docstore/metadata", &keys).await?;
                self.kv.delete_many("docstore/data", &keys).await
            }
            Fault::DeleteTrustsTheHashEntries => {
                // Without the nodes nothing but the entries says their source documents.
                let keys: Vec<&str> = ids.iter().map(NodeId::as_str).collect();
                let count = self.kv.delete_many("docstore/data", &keys).await?;
                self.inner.delete_many(ids).await.map(|rest| count + rest)
            }
            Fault::DeletingTheLastNodeDeletesTheDocument => {
                let nodes = self.inner.get_many(ids).await?;
                let count = self.inner.delete_many(ids).await?;
                for ref_doc in nodes.iter().flatten().filter_map(Node::ref_doc_id) {
                    if self.inner.ref_doc(&ref_doc).await?.is_none() {
                        self.inner.delete_many(&[NodeId::from(ref_doc)]).await?;
                    }
                }
                Ok(count)
            }
            _ => self.inner.delete_many(ids).await,
        }
    }

    async fn find(&self, query: &DocQuery) -> Result<Page<JsonObject>> {
        let mut query = query.clone();
        match (self.fault, query.filter.clone()) {
            (Fault::FindLimitsBeforeItFilters, Some(filter)) => {
                query.filter = None;
                let mut page = self.inner.find(&query).await?;
                let metadata =
                    |node: &JsonObject| node.get("__data__")?.get("metadata")?.as_object().cloned();
                page.items.retain(|node| metadata(node).is_some_and(|metadata| filter.matches(&metadata)));
                Ok(page)
            }
            (Fault::FindBreaksTiesByPlace, _) if !query.sort.is_empty() && query.limit.is_none() => {
                for (_, order) in &mut query.sort {
                    *order = if *order == Order::Ascending { Order::Descending } else { Order::Ascending };
                }
                let mut page = self.inner.find(&query).await?;
                page.items.reverse();
                Ok(page)
            }
            _ => self.inner.find(&query).await,
        }
    }

    async fn ref_doc(&self, id: &RefDocId) -> Result<Option<RefDocInfo>> {
        self.inner.ref_doc(id).await
    }

    async fn delete_ref_doc(&self, id: &RefDocId) -> Result<Option<RefDocDeleted>> {
        self.inner.delete_ref_doc(id).await
    }

    async fn hashes(&self, ids: &[NodeId]) -> Result<Vec<Option<String>>> {
        self.inner.hashes(ids).await
    }

    async fn set_hashes(&self, hashes: Vec<(NodeId, String)>) -> Result<()> {
        if self.fault != Fault::SetHashesDropsTheRefDoc {
            return self.inner.set_hashes(hashes).await;
        }
        for (id, hash) in hashes {
            let entry = JsonObject::from_iter([("doc_hash".to_owned(), json!(hash))]);
            self.kv.put("docstore/metadata", id.as_str(), entry).await?;
        }
        Ok(())
    }

    fn scan(&self, after: Option<NodeId>) -> BoxStream<Node> {
        self.inner.scan(after)
    }

    fn scan_ref_docs(&self, after: Option<RefDocId>) -> BoxStream<(RefDocId, RefDocInfo)> {
        self.inner.scan_ref_docs(after)
    }

    fn scan_hashes(&self, after: Option<NodeId>) -> BoxStream<(NodeId, String)> {
        self.inner.scan_hashes(after)
    }
}
