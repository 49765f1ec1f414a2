//! Documents: core's layer over key-values, with what Cassandra does better itself: what exists and how many there are
//! is told without values on the wire.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use store_core::kit::doc_query;
use store_core::{
    AddOptions, AddReport, BoxStream, DocCollections, DocQuery, DocStore, Filter, JsonObject, KvDocStore,
    Node, NodeId, Page, RefDocDeleted, RefDocId, RefDocInfo, Result,
};

use crate::error::{NAME, at};
use crate::kv::CassandraKvStore;
use crate::kv_scan;
use crate::session::Row;
use crate::space::Space;

/// The document role.
#[derive(Debug)]
pub(crate) struct CassandraDocStore {
    kv: CassandraKvStore,
    layer: KvDocStore<CassandraKvStore>,
    names: DocCollections,
}

impl CassandraDocStore {
    pub(crate) fn new(space: Arc<Space>) -> Self {
        let names = DocCollections::default();
        let kv = CassandraKvStore::new(space);
        let layer = KvDocStore::with_collections(kv.clone(), names.clone()).with_backend(NAME);
        Self { kv, layer, names }
    }

    async fn exist(&self, ids: &[NodeId]) -> Result<Vec<bool>> {
        doc_query::valid_ids(ids)?;
        let keys: Vec<&str> = ids.iter().map(NodeId::as_str).collect();
        CassandraKvStore::check(&self.names.nodes, keys.iter().copied())?;
        let mut there = HashSet::with_capacity(keys.len());
        let take = |row: &Row<'_>| {
            if row.integer("written")?.is_some() {
                there.insert(row.needed_text("key")?.to_owned());
            }
            Ok(())
        };
        self.kv.read(&self.names.nodes, &keys, "key, WRITETIME(value) AS written", take).await?;
        Ok(keys.iter().map(|key| there.contains(*key)).collect())
    }
}

#[async_trait]
impl DocStore for CassandraDocStore {
    async fn add(&self, nodes: Vec<Node>, options: AddOptions) -> Result<AddReport> {
        self.layer.add(nodes, options).await
    }

    async fn get_many(&self, ids: &[NodeId]) -> Result<Vec<Option<Node>>> {
        self.layer.get_many(ids).await
    }

    async fn exist_many(&self, ids: &[NodeId]) -> Result<Vec<bool>> {
        self.exist(ids).await.map_err(at("docs.exist_many"))
    }

    async fn count(&self, filter: Option<&Filter>) -> Result<usize> {
        match filter {
            None => kv_scan::count(&self.kv, &self.names.nodes).await.map_err(at("docs.count")),
            Some(_) => self.layer.count(filter).await,
        }
    }

    async fn delete_many(&self, ids: &[NodeId]) -> Result<usize> {
        self.layer.delete_many(ids).await
    }

    async fn find(&self, query: &DocQuery) -> Result<Page<JsonObject>> {
        self.layer.find(query).await
    }

    async fn ref_doc(&self, id: &RefDocId) -> Result<Option<RefDocInfo>> {
        self.layer.ref_doc(id).await
    }

    async fn delete_ref_doc(&self, id: &RefDocId) -> Result<Option<RefDocDeleted>> {
        self.layer.delete_ref_doc(id).await
    }

    async fn hashes(&self, ids: &[NodeId]) -> Result<Vec<Option<String>>> {
        self.layer.hashes(ids).await
    }

    async fn set_hashes(&self, hashes: Vec<(NodeId, String)>) -> Result<()> {
        self.layer.set_hashes(hashes).await
    }

    fn scan(&self, after: Option<NodeId>) -> BoxStream<Node> {
        self.layer.scan(after)
    }

    fn scan_ref_docs(&self, after: Option<RefDocId>) -> BoxStream<(RefDocId, RefDocInfo)> {
        self.layer.scan_ref_docs(after)
    }

    fn scan_hashes(&self, after: Option<NodeId>) -> BoxStream<(NodeId, String)> {
        self.layer.scan_hashes(after)
    }
}
