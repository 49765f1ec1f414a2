//! Test stores: the memory stores with every call written down, and one write of choice that fails.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::{
    AddMode, AddOptions, AddReport, BoxStream, DocQuery, DocStore, Error, ErrorKind, GetOptions, JsonObject,
    KvCapabilities, KvStore, MetadataPatch, Node, NodeId, Page, PutOptions, QueryPlan, RefDocDeleted,
    RefDocId, RefDocInfo, Result, ScanOptions, ScoredNode, Selector, UpdateFn, VectorCapabilities,
    VectorConfig, VectorFields, VectorQuery, VectorStore,
};

/// When the chosen write fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Before,
    /// After the first half of its items.
    Half,
    After,
}

/// Which write fails, counted over all stores that share this.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pending: Mutex<Option<(usize, Moment)>>,
    calls: Mutex<Vec<(&'static str, usize)>>,
}

impl Faults {
    /// The `n`th write from now (from 0) fails, and all after it: the process is dead.
    pub(super) fn kill_at(&self, n: usize, moment: Moment) {
        *self.pending.lock().unwrap() = Some((n, moment));
    }

    pub(super) fn revive(&self) {
        *self.pending.lock().unwrap() = None;
        self.calls.lock().unwrap().clear();
    }

    /// Calls since the last `revive`, with how many items each.
    pub(super) fn calls(&self) -> Vec<(&'static str, usize)> {
        self.calls.lock().unwrap().clone()
    }

    fn read(&self, call: &'static str, items: usize) {
        self.calls.lock().unwrap().push((call, items));
    }

    /// `None`: the write goes through.
    fn write(&self, call: &'static str, items: usize) -> Option<Moment> {
        self.read(call, items);
        let mut pending = self.pending.lock().unwrap();
        let (left, moment) = (*pending)?;
        if left > 0 {
            *pending = Some((left - 1, moment));
            return None;
        }
        *pending = Some((0, Moment::Before));
        Some(moment)
    }
}

fn killed<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Unavailable, "killed"))
}

/// How many of `len` items a write that dies at `moment` gets through.
fn survivors(moment: Moment, len: usize) -> usize {
    match moment {
        Moment::Before => 0,
        Moment::Half => len / 2,
        Moment::After => len,
    }
}

macro_rules! faulty {
    ($name:ident, $role:ident) => {
        #[derive(Clone, Debug)]
        pub(super) struct $name {
            pub(super) inner: Arc<dyn $role>,
            pub(super) faults: Arc<Faults>,
        }
    };
}
faulty!(FaultyDocs, DocStore);
faulty!(FaultyVectors, VectorStore);
faulty!(FaultyKv, KvStore);

#[async_trait]
impl DocStore for FaultyDocs {
    async fn add(&self, mut nodes: Vec<Node>, options: AddOptions) -> Result<AddReport> {
        let Some(moment) = self.faults.write("add", nodes.len()) else {
            return self.inner.add(nodes, options).await;
        };
        nodes.truncate(survivors(moment, nodes.len()));
        self.inner.add(nodes, options).await?;
        killed()
    }

    async fn get_many(&self, ids: &[NodeId]) -> Result<Vec<Option<Node>>> {
        self.faults.read("get_many", ids.len());
        self.inner.get_many(ids).await
    }

    async fn delete_many(&self, ids: &[NodeId]) -> Result<usize> {
        let Some(moment) = self.faults.write("delete_many", ids.len()) else {
            return self.inner.delete_many(ids).await;
        };
        self.inner.delete_many(&ids[..survivors(moment, ids.len())]).await?;
        killed()
    }

    async fn find(&self, query: &DocQuery) -> Result<Page<JsonObject>> {
        self.inner.find(query).await
    }

    async fn ref_doc(&self, id: &RefDocId) -> Result<Option<RefDocInfo>> {
        self.faults.read("ref_doc", 1);
        self.inner.ref_doc(id).await
    }

    async fn delete_ref_doc(&self, id: &RefDocId) -> Result<Option<RefDocDeleted>> {
        match self.faults.write("delete_ref_doc", 1) {
            None => return self.inner.delete_ref_doc(id).await,
            Some(Moment::After) => drop(self.inner.delete_ref_doc(id).await?),
            Some(_) => {}
        }
        killed()
    }

    async fn hashes(&self, ids: &[NodeId]) -> Result<Vec<Option<String>>> {
        self.faults.read("hashes", ids.len());
        self.inner.hashes(ids).await
    }

    async fn set_hashes(&self, mut hashes: Vec<(NodeId, String)>) -> Result<()> {
        let Some(moment) = self.faults.write("set_hashes", hashes.len()) else {
            return self.inner.set_hashes(hashes).await;
        };
        hashes.truncate(survivors(moment, hashes.len()));
        self.inner.set_hashes(hashes).await?;
        killed()
    }

    fn scan(&self, after: Option<NodeId>) -> BoxStream<Node> {
        self.faults.read("scan", 1);
        self.inner.scan(after)
    }

    fn scan_ref_docs(&self, after: Option<RefDocId>) -> BoxStream<(RefDocId, RefDocInfo)> {
        self.faults.read("scan_ref_docs", 1);
        self.inner.scan_ref_docs(after)
    }

    fn scan_hashes(&self, after: Option<NodeId>) -> BoxStream<(NodeId, String)> {
        self.faults.read("scan_hashes", 1);
        self.inner.scan_hashes(after)
    }
}

#[async_trait]
impl VectorStore for FaultyVectors {
    async fn configure(&self, config: VectorConfig) -> Result<()> {
        self.inner.configure(config).await
    }

    async fn config(&self) -> Result<Option<VectorConfig>> {
        self.inner.config().await
    }

    fn capabilities(&self) -> VectorCapabilities {
        self.inner.capabilities()
    }

    async fn upsert(&self, mut nodes: Vec<Node>, mode: AddMode) -> Result<AddReport> {
        let Some(moment) = self.faults.write("upsert", nodes.len()) else {
            return self.inner.upsert(nodes, mode).await;
        };
        nodes.truncate(survivors(moment, nodes.len()));
        self.inner.upsert(nodes, mode).await?;
        killed()
    }

    async fn query_many(&self, queries: &[VectorQuery]) -> Result<Vec<Vec<ScoredNode>>> {
        self.inner.query_many(queries).await
    }

    async fn explain(&self, query: &VectorQuery) -> Result<QueryPlan> {
        self.inner.explain(query).await
    }

    async fn get(&self, selector: &Selector, options: GetOptions) -> Result<Page<Node>> {
        self.faults.read("get", 1);
        self.inner.get(selector, options).await
    }

    async fn update(&self, selector: &Selector, patch: &MetadataPatch) -> Result<usize> {
        self.inner.update(selector, patch).await
    }

    async fn delete(&self, selector: &Selector) -> Result<usize> {
        let Some(moment) = self.faults.write("delete", 1) else {
            return self.inner.delete(selector).await;
        };
        let mut nodes = self.inner.get(selector, GetOptions::default()).await?.items;
        nodes.truncate(survivors(moment, nodes.len()));
        self.inner.delete(&Selector::ids(nodes.into_iter().map(|node| node.id))).await?;
        killed()
    }

    async fn count(&self, selector: &Selector) -> Result<usize> {
        self.inner.count(selector).await
    }

    async fn clear(&self) -> Result<()> {
        self.inner.clear().await
    }

    fn fields(&self) -> Option<&dyn VectorFields> {
        self.inner.fields()
    }
}

#[async_trait]
impl KvStore for FaultyKv {
    async fn get_many(&self, collection: &str, keys: &[&str]) -> Result<Vec<Option<JsonObject>>> {
        self.inner.get_many(collection, keys).await
    }

    async fn put_many(
        &self,
        collection: &str,
        mut entries: Vec<(String, JsonObject)>,
        options: PutOptions,
    ) -> Result<()> {
        let Some(moment) = self.faults.write("put_many", entries.len()) else {
            return self.inner.put_many(collection, entries, options).await;
        };
        entries.truncate(survivors(moment, entries.len()));
        self.inner.put_many(collection, entries, options).await?;
        killed()
    }

    async fn delete_many(&self, collection: &str, keys: &[&str]) -> Result<usize> {
        let Some(moment) = self.faults.write("delete_many", keys.len()) else {
            return self.inner.delete_many(collection, keys).await;
        };
        self.inner.delete_many(collection, &keys[..survivors(moment, keys.len())]).await?;
        killed()
    }

    async fn update_many(
        &self,
        collection: &str,
        keys: &[&str],
        apply: &mut UpdateFn<'_>,
    ) -> Result<Vec<Option<JsonObject>>> {
        let Some(moment) = self.faults.write("update_many", keys.len()) else {
            return self.inner.update_many(collection, keys, apply).await;
        };
        self.inner.update_many(collection, &keys[..survivors(moment, keys.len())], apply).await?;
        killed()
    }

    fn scan(&self, collection: &str, options: ScanOptions) -> BoxStream<(String, JsonObject)> {
        self.inner.scan(collection, options)
    }

    fn capabilities(&self) -> KvCapabilities {
        self.inner.capabilities()
    }
}
