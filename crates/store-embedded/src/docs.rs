//! Documents: nodes, hashes and ref docs in four tables, changed together in one commit.
//!
//! `nodes` maps an id to the node's packed JSON. `node_meta` maps an id to its hash, its ref doc and its place there.
//! `edges` lists the nodes of a ref doc in the order added, `ref doc · place` → id, so that no change of a ref
//! doc reads or writes all of its ids. `ref_docs` holds the metadata of each ref doc that has nodes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use store_core::kit::{check, doc_query};
use store_core::{
    AddMode, AddOptions, AddReport, BoxStream, DocQuery, DocStore, Error, Filter, JsonObject, Node, NodeId,
    Page, RefDocDeleted, RefDocId, RefDocInfo, Result,
};

use crate::codec::{self, Span};
use crate::engine::{Table, WriteTable, WriteTx, blocking};
use crate::error::at;
use crate::packed;
use crate::schema::{MAX_KEY_BYTES, MAX_VALUE_BYTES, Tables};
use crate::space::{Chunk, Handle};

/// The document role.
#[derive(Debug)]
pub(crate) struct EmbeddedDocStore {
    handle: Arc<Handle>,
}

impl EmbeddedDocStore {
    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self { handle }
    }

    async fn add_all(&self, nodes: Vec<Node>, options: AddOptions) -> Result<AddReport> {
        validate(&nodes, options.mode)?;
        let nodes = check::unique_by(nodes, options.mode == AddMode::Overwrite, |node| node.id.clone());
        if nodes.is_empty() {
            return Ok(AddReport::default());
        }
        let entries: Arc<[Entry]> =
            blocking(move || nodes.into_iter().map(Entry::new).collect::<Result<_>>()).await?;
        let total = entries.len();
        let written = Arc::clone(&entries);
        let write = self.handle.write(move |tx, tables| DocTables::open(tx, tables)?.add(&written, options));
        let existing = write.await?;
        if options.mode == AddMode::Fail && !existing.is_empty() {
            let ids = existing.iter().filter_map(|place| entries.get(*place)).map(|entry| entry.id.clone());
            let mut ids: Vec<String> = ids.collect();
            ids.sort_unstable();
            return Err(check::already_exist("node", ids));
        }
        Ok(AddReport::new(total - existing.len(), existing.len()))
    }

    /// Reads one thing of each id in one snapshot.
    async fn read_each<T, F>(
        &self,
        ids: &[NodeId],
        table: fn(&Tables) -> &str,
        read: F,
    ) -> Result<Vec<Option<T>>>
    where
        T: Send + 'static,
        F: Fn(&[u8]) -> Result<T> + Send + 'static,
    {
        doc_query::valid_ids(ids)?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids = ids.to_vec();
        let read = self.handle.read(move |tx, tables| {
            let table = tx.table(table(tables))?;
            let value = |id: &NodeId| {
                let stored = table.get(id.as_str().as_bytes())?;
                stored
                    .map(|stored| read(stored.value()))
                    .transpose()
                    .map_err(|error| error.with_key(id.as_str()))
            };
            ids.iter().map(value).collect()
        });
        read.await
    }
}

/// A node on its way into the tables.
#[derive(Debug)]
struct Entry {
    id: String,
    /// Packed JSON.
    stored: Vec<u8>,
    hash: String,
    ref_doc: Option<String>,
    /// The node's metadata, for its ref doc.
    metadata: JsonObject,
}

impl Entry {
    fn new(node: Node) -> Result<Self> {
        let id = node.id.as_str().to_owned();
        let json = codec::to_json(&node).map_err(|error| error.with_key(&id).with_failed([&id]))?;
        check::within("node", &id, json.len(), MAX_VALUE_BYTES)?;
        let hash = node.hash();
        let ref_doc = node.ref_doc_id().map(RefDocId::into_string);
        let metadata = if ref_doc.is_some() { node.metadata } else { JsonObject::new() };
        Ok(Self { id, stored: packed::pack(json), hash, ref_doc, metadata })
    }
}

/// A row of `node_meta`: place in the ref doc (8 bytes), length of the hash (8 bytes), hash, ref doc.
#[derive(Debug, Default)]
struct Meta {
    hash: String,
    edge: Option<Edge>,
}

/// Where a node stands in its ref doc.
#[derive(Debug)]
struct Edge {
    ref_doc: String,
    place: u64,
}

impl Edge {
    fn row(&self) -> Vec<u8> {
        codec::join(&self.ref_doc, &self.place.to_be_bytes())
    }
}

impl Meta {
    fn read(bytes: &[u8]) -> Result<Self> {
        let (place, rest) = codec::take_u64(bytes)?;
        let (length, rest) = codec::take_u64(rest)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (hash, ref_doc) =
            rest.split_at_checked(length).ok_or_else(|| Error::corrupt("a stored hash is cut short"))?;
        let edge = match codec::text(ref_doc)? {
            "" => None,
            ref_doc => Some(Edge { ref_doc: ref_doc.to_owned(), place }),
        };
        Ok(Self { hash: codec::text(hash)?.to_owned(), edge })
    }

    fn write(hash: &str, edge: Option<&Edge>) -> Vec<u8> {
        let place = edge.map_or(0, |edge| edge.place);
        let ref_doc = edge.map_or("", |edge| &edge.ref_doc);
        let length = hash.len() as u64;
        [&place.to_be_bytes(), &length.to_be_bytes(), hash.as_bytes(), ref_doc.as_bytes()].concat()
    }
}

/// The rows of a ref doc's edges.
fn edges_of(ref_doc: &str) -> Span {
    Span::prefix(&codec::join(ref_doc, b""))
}

/// The ids of a ref doc in the order added, with the rows they stand in.
fn members(edges: &impl Table, ref_doc: &str) -> Result<Vec<(Vec<u8>, String)>> {
    edges
        .range(&edges_of(ref_doc))?
        .map(|edge| {
            let (row, id) = edge?;
            Ok((row.value().to_vec(), codec::text(id.value())?.to_owned()))
        })
        .collect()
}

fn ref_doc_info(edges: &impl Table, ref_doc: &str, metadata: &[u8]) -> Result<RefDocInfo> {
    let ids = members(edges, ref_doc)?.into_iter().map(|(_, id)| NodeId::new(id)).collect();
    Ok(RefDocInfo::new(ids, codec::object(metadata)?))
}

/// The four tables of a write.
struct DocTables<'tx> {
    nodes: WriteTable<'tx>,
    meta: WriteTable<'tx>,
    edges: WriteTable<'tx>,
    ref_docs: WriteTable<'tx>,
    /// Ref docs that lost a node in this write; they go if none is left at its end.
    left: BTreeSet<String>,
}

impl<'tx> DocTables<'tx> {
    fn open(tx: &'tx WriteTx, tables: &Tables) -> Result<Self> {
        Ok(Self {
            nodes: tx.table(&tables.nodes)?,
            meta: tx.table(&tables.node_meta)?,
            edges: tx.table(&tables.edges)?,
            ref_docs: tx.table(&tables.ref_docs)?,
            left: BTreeSet::new(),
        })
    }

    /// Writes the entries the mode allows; answers the places of those which exist and stay.
    fn add(mut self, entries: &[Entry], options: AddOptions) -> Result<Vec<usize>> {
        let mut existing = Vec::new();
        let mut metadata: BTreeMap<&str, JsonObject> = BTreeMap::new();
        for (place, entry) in entries.iter().enumerate() {
            let id = entry.id.as_bytes();
            if options.mode != AddMode::Overwrite && self.nodes.get(id)?.is_some() {
                existing.push(place);
                continue;
            }
            if options.store_text {
                self.nodes.insert(id, &entry.stored)?;
            }
            let old = self.read_meta(id)?.and_then(|meta| meta.edge);
            let edge = self.move_edge(&entry.id, old, entry.ref_doc.as_deref())?;
            self.meta.insert(id, &Meta::write(&entry.hash, edge.as_ref()))?;
            if let Some(ref_doc) = &entry.ref_doc {
                let union = metadata.entry(ref_doc).or_default();
                doc_query::merge_metadata(union, &entry.metadata);
            }
        }
        for (ref_doc, union) in metadata {
            let known = self.ref_docs.get(ref_doc.as_bytes())?;
            let known = known.map(|known| codec::object(known.value())).transpose()?;
            if known.is_none_or(|known| known.is_empty()) {
                self.ref_docs.insert(ref_doc.as_bytes(), &codec::to_json(&union)?)?;
            }
        }
        self.finish()?;
        Ok(existing)
    }

    fn read_meta(&self, id: &[u8]) -> Result<Option<Meta>> {
        self.meta.get(id)?.map(|stored| Meta::read(stored.value())).transpose()
    }

    /// Where the node stands after it was written with this ref doc: where it stood, or at the end.
    fn move_edge(&mut self, id: &str, old: Option<Edge>, ref_doc: Option<&str>) -> Result<Option<Edge>> {
        if old.as_ref().map(|old| old.ref_doc.as_str()) == ref_doc {
            return Ok(old);
        }
        if let Some(old) = old {
            self.remove_edge(old)?;
        }
        let Some(ref_doc) = ref_doc else { return Ok(None) };
        let last = match self.edges.range(&edges_of(ref_doc))?.next_back().transpose()? {
            Some((row, _)) => Some(codec::take_u64(codec::split(row.value())?.1)?.0),
            None => None,
        };
        let edge = Edge { ref_doc: ref_doc.to_owned(), place: last.map_or(0, |last| last + 1) };
        self.edges.insert(&edge.row(), id.as_bytes())?;
        Ok(Some(edge))
    }

    fn remove_edge(&mut self, edge: Edge) -> Result<()> {
        self.edges.remove(&edge.row())?;
        self.left.insert(edge.ref_doc);
        Ok(())
    }

    /// Removes a node with its hash and its edge; answers whether the node existed, and whether anything did.
    fn remove(&mut self, id: &str) -> Result<(bool, bool)> {
        let existed = self.nodes.remove(id.as_bytes())?.is_some();
        let meta = self.meta.remove(id.as_bytes())?.map(|stored| Meta::read(stored.value())).transpose()?;
        let known = meta.is_some();
        if let Some(edge) = meta.and_then(|meta| meta.edge) {
            self.remove_edge(edge)?;
        }
        Ok((existed, existed || known))
    }

    fn remove_ref_doc(mut self, ref_doc: &str) -> Result<Option<RefDocDeleted>> {
        let mut ids: HashSet<String> = members(&self.edges, ref_doc)?.into_iter().map(|(_, id)| id).collect();
        let had_nodes = !ids.is_empty();
        ids.remove(ref_doc);
        let (_, had_document) = self.remove(ref_doc)?;
        for id in &ids {
            self.remove(id)?;
        }
        self.finish()?;
        Ok((had_nodes || had_document).then(|| RefDocDeleted::new(ids.len())))
    }

    /// Removes the ref docs that no node is left of.
    fn finish(mut self) -> Result<()> {
        for ref_doc in &self.left {
            let empty = self.edges.range(&edges_of(ref_doc))?.next().is_none();
            if empty {
                self.ref_docs.remove(ref_doc.as_bytes())?;
            }
        }
        Ok(())
    }
}

fn validate(nodes: &[Node], mode: AddMode) -> Result<()> {
    for node in nodes {
        let id = node.id.as_str();
        valid_id("node id", id)?;
        if let Some(ref_doc) = node.ref_doc_id() {
            valid_id("id of the source document", ref_doc.as_str())
                .map_err(|error| error.with_key(id).with_failed([id]))?;
        }
        // JSON has no such numbers: they would come back as null.
        if node.embedding.iter().flatten().any(|value| !value.is_finite()) {
            let message = format!("the embedding of node {id:?} has a value that is not finite");
            return Err(Error::invalid_input(message).with_key(id).with_failed([id]));
        }
    }
    if mode == AddMode::Fail {
        check::no_duplicates("node id", nodes.iter().map(|node| node.id.as_str()))?;
    }
    Ok(())
}

fn valid_id(what: &str, id: &str) -> Result<()> {
    check::non_empty(what, id).map_err(|error| error.with_failed([id]))?;
    check::within(what, id, id.len(), MAX_KEY_BYTES)
}

fn node(stored: &[u8]) -> Result<Node> {
    Node::from_json(packed::from_packed(stored)?)
}

/// A whole table after a key, which is the id itself.
fn after_id(next: Option<&[u8]>, first: Option<&str>) -> Span {
    let after = next.or(first.map(str::as_bytes));
    after.map_or_else(Span::all, |after| Span::all().after(after))
}

#[async_trait]
impl DocStore for EmbeddedDocStore {
    async fn add(&self, nodes: Vec<Node>, options: AddOptions) -> Result<AddReport> {
        self.add_all(nodes, options).await.map_err(at("docs.add"))
    }

    async fn get_many(&self, ids: &[NodeId]) -> Result<Vec<Option<Node>>> {
        self.read_each(ids, |tables| &tables.nodes, node).await.map_err(at("docs.get_many"))
    }

    async fn exist_many(&self, ids: &[NodeId]) -> Result<Vec<bool>> {
        let read = self.read_each(ids, |tables| &tables.nodes, |_| Ok(()));
        let found = read.await.map_err(at("docs.exist_many"))?;
        Ok(found.iter().map(Option::is_some).collect())
    }

    async fn count(&self, filter: Option<&Filter>) -> Result<usize> {
        let count = async {
            if filter.is_some() {
                return doc_query::count_by_scan(|| self.scan(None), filter).await;
            }
            let count = self.handle.read(move |tx, tables| tx.table(&tables.nodes)?.len()).await?;
            Ok(usize::try_from(count).unwrap_or(usize::MAX))
        };
        count.await.map_err(at("docs.count"))
    }

    async fn delete_many(&self, ids: &[NodeId]) -> Result<usize> {
        doc_query::valid_ids(ids).map_err(at("docs.delete_many"))?;
        if ids.is_empty() {
            return Ok(0);
        }
        let ids = ids.to_vec();
        let write = self.handle.write(move |tx, tables| {
            let mut docs = DocTables::open(tx, tables)?;
            let mut removed = 0;
            for id in &ids {
                removed += usize::from(docs.remove(id.as_str())?.0);
            }
            docs.finish()?;
            Ok(removed)
        });
        write.await.map_err(at("docs.delete_many"))
    }

    async fn find(&self, query: &DocQuery) -> Result<Page<JsonObject>> {
        doc_query::find_by_scan(|after| self.scan(after), query).await.map_err(at("docs.find"))
    }

    async fn ref_doc(&self, id: &RefDocId) -> Result<Option<RefDocInfo>> {
        check::non_empty("ref doc id", id.as_str()).map_err(at("docs.ref_doc"))?;
        let id = id.as_str().to_owned();
        let read = self.handle.read(move |tx, tables| {
            let Some(metadata) = tx.table(&tables.ref_docs)?.get(id.as_bytes())?.map(|m| m.value().to_vec())
            else {
                return Ok(None);
            };
            ref_doc_info(&tx.table(&tables.edges)?, &id, &metadata).map(Some)
        });
        read.await.map_err(at("docs.ref_doc"))
    }

    async fn delete_ref_doc(&self, id: &RefDocId) -> Result<Option<RefDocDeleted>> {
        check::non_empty("ref doc id", id.as_str()).map_err(at("docs.delete_ref_doc"))?;
        let id = id.as_str().to_owned();
        let write = self.handle.write(move |tx, tables| DocTables::open(tx, tables)?.remove_ref_doc(&id));
        write.await.map_err(at("docs.delete_ref_doc"))
    }

    async fn hashes(&self, ids: &[NodeId]) -> Result<Vec<Option<String>>> {
        let hash = |meta: &[u8]| Ok(Meta::read(meta)?.hash);
        self.read_each(ids, |tables| &tables.node_meta, hash).await.map_err(at("docs.hashes"))
    }

    async fn set_hashes(&self, hashes: Vec<(NodeId, String)>) -> Result<()> {
        hashes
            .iter()
            .try_for_each(|(id, _)| valid_id("node id", id.as_str()))
            .map_err(at("docs.set_hashes"))?;
        if hashes.is_empty() {
            return Ok(());
        }
        let write = self.handle.write(move |tx, tables| {
            let mut meta = tx.table(&tables.node_meta)?;
            for (id, hash) in &hashes {
                let id = id.as_str().as_bytes();
                let old = meta.get(id)?.map(|stored| Meta::read(stored.value())).transpose()?;
                let edge = old.and_then(|old| old.edge);
                meta.insert(id, &Meta::write(hash, edge.as_ref()))?;
            }
            Ok(())
        });
        write.await.map_err(at("docs.set_hashes"))
    }

    fn scan(&self, after: Option<NodeId>) -> BoxStream<Node> {
        self.handle.stream("docs.scan", move |tx, tables, next| {
            let table = tx.table(&tables.nodes)?;
            Chunk::fill(table.range(&after_id(next, after.as_ref().map(NodeId::as_str)))?.map(|row| {
                let (id, stored) = row?;
                let json = packed::unpack(stored.value())?;
                Ok((id.value().to_vec(), json.len(), Node::from_json(codec::object(&json)?)?))
            }))
        })
    }

    fn scan_ref_docs(&self, after: Option<RefDocId>) -> BoxStream<(RefDocId, RefDocInfo)> {
        self.handle.stream("docs.scan_ref_docs", move |tx, tables, next| {
            let (table, edges) = (tx.table(&tables.ref_docs)?, tx.table(&tables.edges)?);
            Chunk::fill(table.range(&after_id(next, after.as_ref().map(RefDocId::as_str)))?.map(|row| {
                let (id, metadata) = row?;
                let text = codec::text(id.value())?;
                let info = ref_doc_info(&edges, text, metadata.value())?;
                let size = metadata.value().len() + info.node_ids.len() * 64;
                Ok((id.value().to_vec(), size, (RefDocId::from(text), info)))
            }))
        })
    }

    fn scan_hashes(&self, after: Option<NodeId>) -> BoxStream<(NodeId, String)> {
        self.handle.stream("docs.scan_hashes", move |tx, tables, next| {
            let table = tx.table(&tables.node_meta)?;
            Chunk::fill(table.range(&after_id(next, after.as_ref().map(NodeId::as_str)))?.map(|row| {
                let (id, meta) = row?;
                let item = (NodeId::from(codec::text(id.value())?), Meta::read(meta.value())?.hash);
                Ok((id.value().to_vec(), meta.value().len(), item))
            }))
        })
    }
}

#[cfg(test)]
#[path = "docs_tests.rs"]
mod tests;
