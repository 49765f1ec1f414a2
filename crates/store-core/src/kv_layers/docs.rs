//! The document store over any key-value store, in LlamaIndex's layout.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, future};
use serde_json::Value;

use super::named;
use super::ref_docs::{self, RefDocChange};
use crate::kit::{check, doc_query};
use crate::{
    AddMode, AddOptions, AddReport, BoxStream, DocQuery, DocStore, Error, ErrorKind, JsonObject, KvStore,
    KvStoreExt, Node, NodeId, Page, PutMode, PutOptions, RefDocDeleted, RefDocId, RefDocInfo, Result,
    ScanOptions, Update, UpdateFn,
};

/// How often a writer that meets others on the same nodes looks again whether its edges still stand.
const SETTLE_ROUNDS: usize = 8;

/// The three collections of a document store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocCollections {
    /// Nodes by id; Python's default is `docstore/data` (Redis: `docstore/doc`).
    pub nodes: String,
    /// Hash and ref-doc id by node id; `docstore/metadata`.
    pub metadata: String,
    /// Node ids and metadata by ref-doc id; `docstore/ref_doc_info`.
    pub ref_docs: String,
}

impl Default for DocCollections {
    fn default() -> Self {
        Self {
            nodes: "docstore/data".into(),
            metadata: "docstore/metadata".into(),
            ref_docs: "docstore/ref_doc_info".into(),
        }
    }
}

/// LlamaIndex's document store over any key-value store.
///
/// Each call makes a fixed number of batched reads and writes, however many nodes it carries. New hashes and ref docs are
/// inserted, and those that exist merged by [`KvStore::update_many`], so that concurrent writers lose nothing. The three
/// collections are written one after the other: a call that fails between two of them is made good by repeating it.
/// A node is listed under its ref doc before its metadata entry says so, and leaves its old one after: whoever changes
/// the entry next finds it in the list, and takes it out. Two writers that race to overwrite one id may pair the node of
/// one with the hash of the other.
#[derive(Clone, Debug)]
pub struct KvDocStore<K> {
    kv: K,
    backend: Option<&'static str>,
    names: DocCollections,
    /// What was found there lately.
    found: Arc<Found>,
}

/// Whether most entries that were lately written existed before: then inserting them first is a detour.
#[derive(Debug, Default)]
struct Found {
    metadata: AtomicBool,
    ref_docs: AtomicBool,
}

/// A node, and what the metadata collection keeps of it.
#[derive(Debug)]
struct Entry<'a> {
    node: &'a Node,
    hash: String,
    ref_doc: Option<RefDocId>,
}

impl<'a> Entry<'a> {
    fn new(node: &'a Node) -> Self {
        Self { node, hash: node.hash(), ref_doc: node.ref_doc_id() }
    }

    fn id(&self) -> &'a str {
        self.node.id.as_str()
    }
}

/// A node in the list of a source document, or taken from it.
#[derive(Debug)]
struct Edge {
    ref_doc: RefDocId,
    id: NodeId,
    listed: bool,
}

impl<K: KvStore> KvDocStore<K> {
    /// With Python's default collections.
    #[must_use]
    pub fn new(kv: K) -> Self {
        Self::with_collections(kv, DocCollections::default())
    }

    /// With other collections.
    #[must_use]
    pub fn with_collections(kv: K, names: DocCollections) -> Self {
        Self { kv, backend: None, names, found: Arc::default() }
    }

    /// Names the backend in this layer's own errors; the key-value store names itself in its own.
    #[must_use]
    pub fn with_backend(mut self, backend: &'static str) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Writes the nodes themselves, and answers the ids which existed and stay as they are.
    async fn write_nodes(&self, nodes: &[Node], options: AddOptions) -> Result<HashSet<String>> {
        if !options.store_text {
            if options.mode == AddMode::Overwrite {
                return Ok(HashSet::new());
            }
            let ids: Vec<&str> = nodes.iter().map(|node| node.id.as_str()).collect();
            let stored = self.kv.get_many(&self.names.nodes, &ids).await?;
            return Ok(ids
                .iter()
                .zip(stored)
                .filter_map(|(id, node)| node.map(|_| (*id).to_owned()))
                .collect());
        }
        let mode = if options.mode == AddMode::Overwrite { PutMode::Upsert } else { PutMode::Insert };
        match self.kv.put_nodes(&self.names.nodes, nodes, mode).await {
            Ok(()) => Ok(HashSet::new()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Ok(error.failed().iter().cloned().collect())
            }
            Err(error) => Err(error),
        }
    }

    /// Writes hashes and ref-doc ids, and answers the ref docs that each node was seen to belong to before.
    async fn write_metadata(&self, entries: &[Entry<'_>]) -> Result<RefDocsSeen> {
        let by_id: HashMap<&str, &Entry<'_>> = entries.iter().map(|entry| (entry.id(), entry)).collect();
        let new = |entry: &Entry<'_>| metadata_entry(&entry.hash, entry.ref_doc.as_ref());
        let all = entries.iter().map(|entry| (entry.id(), Some(new(entry)))).collect();
        let mut before = HashMap::new();
        let mut apply = |id: &str, old: Option<&JsonObject>| {
            note(&mut before, id, old);
            let Some(entry) = by_id.get(id) else { return Ok(Update::Keep) };
            let new = new(entry);
            Ok(if old == Some(&new) { Update::Keep } else { Update::Put(new) })
        };
        self.insert_or_update(&self.names.metadata, &self.found.metadata, all, &mut apply).await?;
        Ok(before)
    }

    async fn write_ref_docs(&self, changes: &BTreeMap<String, RefDocChange>) -> Result<()> {
        let mut all = Vec::with_capacity(changes.len());
        for (id, change) in changes {
            let new = match change.apply(None).map_err(|error| error.with_key(id))? {
                Update::Put(new) => Some(new),
                Update::Keep | Update::Delete => None,
            };
            all.push((id.as_str(), new));
        }
        let mut apply = |id: &str, old: Option<&JsonObject>| match changes.get(id) {
            Some(change) => change.apply(old).map_err(|error| error.with_key(id)),
            None => Ok(Update::Keep),
        };
        let write = self.insert_or_update(&self.names.ref_docs, &self.found.ref_docs, all, &mut apply);
        // What fails here is no node.
        write.await.map_err(|error| error.with_failed([""; 0]))
    }

    /// Inserts the entries, as long as most are new, without reading before; what is there already is updated, and what
    /// has no value to insert.
    async fn insert_or_update(
        &self,
        collection: &str,
        found: &AtomicBool,
        entries: Vec<(&str, Option<JsonObject>)>,
        apply: &mut UpdateFn<'_>,
    ) -> Result<()> {
        let mut open: Vec<&str> = entries.iter().map(|(key, _)| *key).collect();
        let mut new = Vec::with_capacity(open.len());
        for (key, value) in entries {
            new.extend(value.map(|value| (key.to_owned(), value)));
        }
        let (total, only_updates) = (open.len(), new.is_empty());
        if !only_updates && !found.load(Ordering::Relaxed) {
            let inserted: HashSet<String> = new.iter().map(|(key, _)| key.clone()).collect();
            let insert = PutOptions::default().with_mode(PutMode::Insert);
            match self.kv.put_many(collection, new, insert).await {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    let existing: HashSet<&str> = error.failed().iter().map(String::as_str).collect();
                    open.retain(|key| existing.contains(key) || !inserted.contains(*key));
                }
                answer => {
                    answer?;
                    open.retain(|key| !inserted.contains(*key));
                }
            }
        }
        let mut there = 0;
        if !open.is_empty() {
            let mut counted = |key: &str, old: Option<&JsonObject>| {
                there += usize::from(old.is_some());
                apply(key, old)
            };
            self.kv.update_many(collection, &open, &mut counted).await?;
        }
        if !only_updates {
            found.store(there * 2 > total, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Puts back into their lists those nodes that another writer took out between our two writes.
    async fn confirm(&self, listed: BTreeMap<String, RefDocChange>) -> Result<()> {
        let ids: Vec<&str> = listed.keys().map(String::as_str).collect();
        let lists =
            if ids.is_empty() { Vec::new() } else { self.kv.get_many(&self.names.ref_docs, &ids).await? };
        let mut missing = BTreeMap::new();
        for ((id, mut change), list) in listed.into_iter().zip(lists) {
            let list = list.as_ref().map(ref_docs::read).transpose().map_err(|error| error.with_key(&id))?;
            let there: HashSet<NodeId> = list.unwrap_or_default().node_ids.into_iter().collect();
            change.remove = change.add.drain(..).filter(|id| !there.contains(id)).collect();
            if !change.remove.is_empty() {
                missing.insert(id, change);
            }
        }
        self.settle(missing).await
    }

    /// The metadata entry says where a node belongs, and the lists follow it: another writer may have moved a node back
    /// to where we took it from. Who takes a node from a list looks at its entry once more, so that the last of them
    /// leaves the list right.
    async fn settle(&self, taken: BTreeMap<String, RefDocChange>) -> Result<()> {
        let (mut edges, mut fields) = (Vec::new(), HashMap::new());
        for (ref_doc, RefDocChange { remove, metadata, .. }) in taken {
            let edge = |id| Edge { ref_doc: RefDocId::from(ref_doc.as_str()), id, listed: false };
            edges.extend(remove.into_iter().map(edge));
            fields.insert(ref_doc, metadata);
        }
        for _ in 0..SETTLE_ROUNDS {
            if edges.is_empty() {
                return Ok(());
            }
            let ids: Vec<&str> = edges.iter().map(|edge| edge.id.as_str()).collect();
            let entries = self.kv.get_many(&self.names.metadata, &ids).await?;
            let mut changes: BTreeMap<String, RefDocChange> = BTreeMap::new();
            let mut wrong = Vec::new();
            for (mut edge, entry) in edges.into_iter().zip(entries) {
                let ours = entry.as_ref().and_then(ref_doc_of).as_ref() == Some(&edge.ref_doc);
                if ours == edge.listed {
                    continue;
                }
                let change = changes.entry(edge.ref_doc.as_str().to_owned()).or_default();
                if ours {
                    change.add.push(edge.id.clone());
                    change.metadata.extend(fields.remove(edge.ref_doc.as_str()).unwrap_or_default());
                } else {
                    change.remove.insert(edge.id.clone());
                }
                edge.listed = ours;
                wrong.push(edge);
            }
            self.write_ref_docs(&changes).await?;
            edges = wrong;
        }
        Ok(())
    }

    /// The ref docs whose lists nodes stand in. Where the entry says none the node itself is asked: Python's
    /// `set_document_hash` leaves nothing but the hash, and an add that failed half-way no entry. That of a document
    /// which is removed with its nodes is not missed.
    async fn sources(&self, ids: &[&str], leaving: Option<&RefDocId>) -> Result<Vec<Option<RefDocId>>> {
        let known = self.kv.get_many(&self.names.metadata, ids).await?;
        let silent = |entry: &Option<JsonObject>| match entry {
            Some(entry) => ref_doc_of(entry).is_none(),
            None => leaving.is_none(),
        };
        let asked: Vec<&str> =
            ids.iter().zip(&known).filter(|(_, entry)| silent(entry)).map(|(id, _)| *id).collect();
        let nodes =
            if asked.is_empty() { Vec::new() } else { self.kv.get_many(&self.names.nodes, &asked).await? };
        // A node that can not be read says nothing, and can be deleted all the same.
        let source = |node: Option<JsonObject>| Node::from_json(node?).ok()?.ref_doc_id();
        let mut told = nodes.into_iter().map(|node| source(node).filter(|id| !id.as_str().is_empty()));
        let edge = |entry: Option<JsonObject>| {
            let asked = silent(&entry);
            if asked { told.next().flatten() } else { ref_doc_of(&entry?) }
        };
        Ok(known.into_iter().map(edge).collect())
    }

    /// Removes nodes and hashes, and answers how many nodes existed. The lists are written before the metadata entries
    /// go, so that a repeated call still knows the edges, and after, for who has listed a node in between.
    async fn remove(&self, ids: &[&str], leaving: Option<&RefDocId>) -> Result<usize> {
        let edges = self.sources(ids, leaving).await?;
        let other = |ref_doc: &RefDocId| leaving != Some(ref_doc);
        let mut changes: BTreeMap<String, RefDocChange> = BTreeMap::new();
        for (id, ref_doc) in ids.iter().zip(edges) {
            if let Some(ref_doc) = ref_doc.filter(other) {
                take_out(&mut changes, ref_doc, NodeId::from(*id));
            }
        }
        self.write_ref_docs(&changes).await?;
        let existed = self.kv.delete_many(&self.names.nodes, ids).await?;
        let mut last = HashMap::new();
        let mut apply = |id: &str, old: Option<&JsonObject>| {
            note(&mut last, id, old);
            Ok(if old.is_some() { Update::Delete } else { Update::Keep })
        };
        self.kv.update_many(&self.names.metadata, ids, &mut apply).await?;
        for (id, seen) in last {
            for ref_doc in seen.into_iter().filter(other) {
                take_out(&mut changes, ref_doc, NodeId::from(id.as_str()));
            }
        }
        self.take(changes).await?;
        Ok(existed)
    }

    /// Takes nodes from lists, whose entries say so by now.
    async fn take(&self, changes: BTreeMap<String, RefDocChange>) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        self.write_ref_docs(&changes).await?;
        self.settle(changes).await
    }

    async fn add_unnamed(&self, nodes: Vec<Node>, options: AddOptions) -> Result<AddReport> {
        validate(&nodes, options.mode)?;
        let nodes = check::unique_by(nodes, options.mode == AddMode::Overwrite, |node| node.id.clone());
        let total = nodes.len();
        if total == 0 {
            return Ok(AddReport::default());
        }
        let mut entries: Vec<Entry<'_>> = nodes.iter().map(Entry::new).collect();
        let existing = self.write_nodes(&nodes, options).await?;
        entries.retain(|entry| !existing.contains(entry.id()));
        if !entries.is_empty() {
            let listed = listed(&entries);
            self.write_ref_docs(&listed).await?;
            let before = self.write_metadata(&entries).await?;
            self.take(left(&entries, before)).await?;
            self.confirm(listed).await?;
        }
        if options.mode == AddMode::Fail && !existing.is_empty() {
            let mut existing: Vec<String> = existing.into_iter().collect();
            existing.sort_unstable();
            return Err(check::already_exist("node", existing));
        }
        Ok(AddReport::new(entries.len(), total - entries.len()))
    }

    async fn delete_ref_doc_unnamed(&self, id: &RefDocId) -> Result<Option<RefDocDeleted>> {
        check::non_empty("ref doc id", id.as_str())?;
        let info = self.ref_doc(id).await?;
        let existed = info.is_some();
        let named = info.map(|info| info.node_ids).unwrap_or_default();
        let keys: Vec<&str> = named.iter().map(NodeId::as_str).collect();
        let stored = self.kv.get_many(&self.names.metadata, &keys).await?;
        // Python leaves a node in its old ref doc when it moves: only what still belongs here is removed.
        let belongs =
            |entry: &Option<JsonObject>| entry.as_ref().and_then(ref_doc_of).is_none_or(|other| other == *id);
        let mut ids: Vec<&str> =
            keys.iter().zip(&stored).filter(|(_, entry)| belongs(entry)).map(|(key, _)| *key).collect();
        ids.retain(|member| *member != id.as_str());
        let nodes = ids.len();
        ids.push(id.as_str());
        let own_hash = self.kv.get(&self.names.metadata, id.as_str()).await?.is_some();
        let removed_before = self.remove(&ids, Some(id)).await?;
        let change = RefDocChange { remove: named.into_iter().collect(), ..RefDocChange::default() };
        self.take(BTreeMap::from([(id.as_str().to_owned(), change)])).await?;
        Ok((existed || own_hash || removed_before > 0).then(|| RefDocDeleted::new(nodes)))
    }
}

fn validate(nodes: &[Node], mode: AddMode) -> Result<()> {
    doc_query::valid_ids(nodes.iter().map(|node| &node.id))?;
    for node in nodes {
        if let Some(ref_doc) = node.ref_doc_id() {
            check::non_empty("id of the source document", ref_doc.as_str())
                .map_err(|error| error.with_key(node.id.as_str()).with_failed([node.id.as_str()]))?;
        }
    }
    if mode == AddMode::Fail {
        check::no_duplicates("node id", nodes.iter().map(|node| node.id.as_str()))?;
    }
    Ok(())
}

/// The ref docs that nodes were seen to belong to; several of one where others moved it meanwhile.
type RefDocsSeen = HashMap<String, Vec<RefDocId>>;

fn note(seen: &mut RefDocsSeen, id: &str, entry: Option<&JsonObject>) {
    if let Some(ref_doc) = entry.and_then(ref_doc_of) {
        seen.entry(id.to_owned()).or_default().push(ref_doc);
    }
}

/// The lists that the nodes are to stand in.
fn listed(entries: &[Entry<'_>]) -> BTreeMap<String, RefDocChange> {
    let mut changes: BTreeMap<String, RefDocChange> = BTreeMap::new();
    for entry in entries {
        if let Some(ref_doc) = &entry.ref_doc {
            let change = changes.entry(ref_doc.as_str().to_owned()).or_default();
            change.add.push(entry.node.id.clone());
            doc_query::merge_metadata(&mut change.metadata, &entry.node.metadata);
        }
    }
    changes
}

fn take_out(changes: &mut BTreeMap<String, RefDocChange>, ref_doc: RefDocId, id: NodeId) {
    changes.entry(ref_doc.into_string()).or_default().remove.insert(id);
}

/// The lists that the nodes have left.
fn left(entries: &[Entry<'_>], mut before: RefDocsSeen) -> BTreeMap<String, RefDocChange> {
    let mut changes: BTreeMap<String, RefDocChange> = BTreeMap::new();
    for entry in entries {
        let before = before.remove(entry.id()).unwrap_or_default();
        for old in before.into_iter().filter(|old| Some(old) != entry.ref_doc.as_ref()) {
            take_out(&mut changes, old, entry.node.id.clone());
        }
    }
    changes
}

fn metadata_entry(hash: &str, ref_doc: Option<&RefDocId>) -> JsonObject {
    let mut entry = JsonObject::new();
    entry.insert("doc_hash".into(), Value::from(hash));
    if let Some(ref_doc) = ref_doc {
        entry.insert("ref_doc_id".into(), Value::from(ref_doc.as_str()));
    }
    entry
}

fn ref_doc_of(entry: &JsonObject) -> Option<RefDocId> {
    entry.get("ref_doc_id").and_then(Value::as_str).filter(|id| !id.is_empty()).map(RefDocId::from)
}

fn hash_of(entry: &JsonObject) -> Option<String> {
    entry.get("doc_hash").and_then(Value::as_str).map(str::to_owned)
}

fn node(key: &str, stored: JsonObject) -> Result<Node> {
    Node::from_json(stored).map_err(|error| {
        Error::corrupt(format!("the stored node can not be read: {}", error.message())).with_key(key)
    })
}

fn texts(ids: &[NodeId]) -> Vec<&str> {
    ids.iter().map(NodeId::as_str).collect()
}

#[async_trait]
impl<K: KvStore> DocStore for KvDocStore<K> {
    async fn add(&self, nodes: Vec<Node>, options: AddOptions) -> Result<AddReport> {
        self.add_unnamed(nodes, options).await.map_err(|error| named(error, self.backend, "docs.add"))
    }

    async fn get_many(&self, ids: &[NodeId]) -> Result<Vec<Option<Node>>> {
        let read = async {
            doc_query::valid_ids(ids)?;
            let stored = self.kv.get_many(&self.names.nodes, &texts(ids)).await?;
            ids.iter()
                .zip(stored)
                .map(|(id, stored)| stored.map(|stored| node(id.as_str(), stored)).transpose())
                .collect::<Result<Vec<_>>>()
        };
        read.await.map_err(|error: Error| named(error, self.backend, "docs.get_many"))
    }

    async fn delete_many(&self, ids: &[NodeId]) -> Result<usize> {
        let delete = async {
            doc_query::valid_ids(ids)?;
            let ids = check::unique_by(texts(ids), false, |id| *id);
            if ids.is_empty() { Ok(0) } else { self.remove(&ids, None).await }
        };
        delete.await.map_err(|error| named(error, self.backend, "docs.delete_many"))
    }

    async fn find(&self, query: &DocQuery) -> Result<Page<JsonObject>> {
        doc_query::find_by_scan(|after| self.scan(after), query)
            .await
            .map_err(|error| named(error, self.backend, "docs.find"))
    }

    async fn ref_doc(&self, id: &RefDocId) -> Result<Option<RefDocInfo>> {
        let read = async {
            check::non_empty("ref doc id", id.as_str())?;
            let stored = self.kv.get(&self.names.ref_docs, id.as_str()).await?;
            stored.as_ref().map(ref_docs::read).transpose().map_err(|error| error.with_key(id.as_str()))
        };
        read.await.map_err(|error| named(error, self.backend, "docs.ref_doc"))
    }

    async fn delete_ref_doc(&self, id: &RefDocId) -> Result<Option<RefDocDeleted>> {
        self.delete_ref_doc_unnamed(id)
            .await
            .map_err(|error| named(error, self.backend, "docs.delete_ref_doc"))
    }

    async fn hashes(&self, ids: &[NodeId]) -> Result<Vec<Option<String>>> {
        let read = async {
            doc_query::valid_ids(ids)?;
            let stored = self.kv.get_many(&self.names.metadata, &texts(ids)).await?;
            Ok(stored.iter().map(|entry| entry.as_ref().and_then(hash_of)).collect())
        };
        read.await.map_err(|error: Error| named(error, self.backend, "docs.hashes"))
    }

    async fn set_hashes(&self, hashes: Vec<(NodeId, String)>) -> Result<()> {
        let write = async {
            doc_query::valid_ids(hashes.iter().map(|(id, _)| id))?;
            let hashes: HashMap<&str, &str> =
                hashes.iter().map(|(id, hash)| (id.as_str(), hash.as_str())).collect();
            let ids: Vec<&str> = hashes.keys().copied().collect();
            let mut apply = |id: &str, old: Option<&JsonObject>| {
                let mut entry = old.cloned().unwrap_or_default();
                entry.insert("doc_hash".into(), hashes.get(id).copied().unwrap_or_default().into());
                Ok(Update::Put(entry))
            };
            if !ids.is_empty() {
                self.kv.update_many(&self.names.metadata, &ids, &mut apply).await?;
            }
            Ok(())
        };
        write.await.map_err(|error: Error| named(error, self.backend, "docs.set_hashes"))
    }

    fn scan(&self, after: Option<NodeId>) -> BoxStream<Node> {
        let stored = self.kv.scan(&self.names.nodes, scan_options(after.map(NodeId::into_string)));
        stored.and_then(|(key, stored)| future::ready(node(&key, stored))).boxed()
    }

    fn scan_ref_docs(&self, after: Option<RefDocId>) -> BoxStream<(RefDocId, RefDocInfo)> {
        let stored = self.kv.scan(&self.names.ref_docs, scan_options(after.map(RefDocId::into_string)));
        let read = |(key, stored): (String, JsonObject)| match ref_docs::read(&stored) {
            Ok(info) => Ok((RefDocId::from(key), info)),
            Err(error) => Err(error.with_key(key)),
        };
        stored.and_then(move |entry| future::ready(read(entry))).boxed()
    }

    fn scan_hashes(&self, after: Option<NodeId>) -> BoxStream<(NodeId, String)> {
        let stored = self.kv.scan(&self.names.metadata, scan_options(after.map(NodeId::into_string)));
        let hash =
            |(key, stored): (String, JsonObject)| Ok(hash_of(&stored).map(|hash| (NodeId::from(key), hash)));
        stored.try_filter_map(move |entry| future::ready(hash(entry))).boxed()
    }
}

fn scan_options(after: Option<String>) -> ScanOptions {
    ScanOptions { after, ..ScanOptions::default() }
}
