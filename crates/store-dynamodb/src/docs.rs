//! Documents: core's layer over key-values, in Python's layout, with what DynamoDB does better itself: what exists and
//! how many there are is told without reading values, and a source document goes in four steps, however many nodes it
//! has.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;
use store_core::kit::{check, doc_query};
use store_core::{
    AddOptions, AddReport, BoxStream, DocCollections, DocQuery, DocStore, Filter, JsonObject, KvDocStore,
    KvStore as _, KvStoreExt, Node, NodeId, Page, RefDocDeleted, RefDocId, RefDocInfo, Result, ScanOptions,
    Update,
};

use crate::batch::{self, Write};
use crate::codec::{self, Item};
use crate::conditional::{self, Change};
use crate::docs_find;
use crate::error::{NAME, at};
use crate::kv::DynamoKvStore;
use crate::kv_layout::{is_expired, key, now};
use crate::kv_scan::{self, Scan};
use crate::kv_update::same;
use crate::schema::{EXPIRES, LARGE};
use crate::space::Space;
use crate::tables::Keys;
use crate::transaction::{self, Condition};

/// The attribute of a node's hash.
const HASH: &str = "doc_hash";
/// The bytes of a delete, for the limit of a transaction.
const DELETE_BYTES: usize = 2_048;

/// What is known of a source document.
#[derive(Debug)]
struct Known {
    /// Its entry as it is stored, if it has one.
    listed: Option<Item>,
    /// The nodes that it names.
    named: Vec<String>,
    /// Whether there is a hash under its own id.
    own: bool,
}

/// The document role.
#[derive(Debug)]
pub(crate) struct DynamoDocStore {
    kv: DynamoKvStore,
    layer: KvDocStore<DynamoKvStore>,
    /// What writes by what it reads: a read that lags would leave nodes in the wrong lists.
    writer: KvDocStore<DynamoKvStore>,
    names: DocCollections,
}

impl DynamoDocStore {
    pub(crate) fn new(space: Arc<Space>) -> Self {
        let names = DocCollections::default();
        let kv = DynamoKvStore::new(space);
        let layer = |kv| KvDocStore::with_collections(kv, names.clone()).with_backend(NAME);
        Self { layer: layer(kv.clone()), writer: layer(kv.strong()), kv, names }
    }

    async fn exist(&self, ids: &[NodeId]) -> Result<Vec<bool>> {
        doc_query::valid_ids(ids)?;
        let ids: Vec<&str> = ids.iter().map(NodeId::as_str).collect();
        DynamoKvStore::check(&self.names.nodes, ids.iter().copied())?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let keys = self.kv.keys().await?;
        let items =
            self.kv.read(&keys, &self.names.nodes, &ids, Some(&[EXPIRES]), self.kv.consistent()).await?;
        Ok(items.iter().map(Option::is_some).collect())
    }

    async fn count_nodes(&self, filter: Option<&Filter>) -> Result<usize> {
        let Some(filter) = filter else { return kv_scan::count(&self.kv, &self.names.nodes).await };
        docs_find::count(&self.kv, &self.names.nodes, filter).await
    }

    /// The hashes of ids; nothing else of their entries is read.
    async fn hashes_of(&self, ids: &[NodeId]) -> Result<Vec<Option<String>>> {
        doc_query::valid_ids(ids)?;
        let ids: Vec<&str> = ids.iter().map(NodeId::as_str).collect();
        DynamoKvStore::check(&self.names.metadata, ids.iter().copied())?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let keys = self.kv.keys().await?;
        let consistent = self.kv.space.config.consistent_reads;
        let fields = Some([HASH, EXPIRES].as_slice());
        let items = self.kv.read(&keys, &self.names.metadata, &ids, fields, consistent).await?;
        Ok(items.iter().map(|item| item.as_ref().and_then(hash)).collect())
    }

    /// Removes a source document. An entry of the oldest form, and a document that has a source itself, are left to
    /// the layer. The list of the nodes goes last: until then a call that failed is made good by repeating it.
    async fn remove_ref_doc(&self, id: &RefDocId) -> Result<Option<RefDocDeleted>> {
        check::non_empty("ref doc id", id.as_str())?;
        DynamoKvStore::check(&self.names.ref_docs, [id.as_str()])?;
        let keys = self.kv.keys().await?;
        let Some(known) = self.known(&keys, id.as_str()).await? else {
            return self.writer.delete_ref_doc(id).await;
        };
        let named = known.named.iter().map(String::as_str);
        // The document of its own id goes with it.
        let members = named.filter(|name| *name != id.as_str()).chain([id.as_str()]).collect();
        let mut members = check::unique_by(members, false, |name: &&str| *name);
        let elsewhere = self.leave(&keys, id.as_str(), &members).await?;
        members.retain(|name| !elsewhere.contains(name));
        let had_nodes = if known.listed.is_some() && !self.kv.spills() {
            let deletes = members.iter().map(|name| Write::delete(key(&keys, &self.names.nodes, name)));
            let space = &self.kv.space;
            batch::write(space, &space.main, deletes.collect(), &keys.sort).await?;
            true
        } else {
            self.kv.delete_many(&self.names.nodes, &members).await? > 0
        };
        let listed = known.listed.is_some();
        if let Some(entry) = &known.listed
            && !self.remove_entry(&keys, id.as_str(), entry).await?
        {
            self.remove_names(id.as_str(), &known.named).await?;
        }
        let count = members.iter().filter(|name| **name != id.as_str()).count();
        Ok((listed || known.own || had_nodes).then(|| RefDocDeleted::new(count)))
    }

    /// What the entry of a source document names; `None` where the layer is needed.
    async fn known(&self, keys: &Keys, id: &str) -> Result<Option<Known>> {
        let both = [&self.names.ref_docs, &self.names.metadata].map(|name| key(keys, name, id)).to_vec();
        let attributes = [keys.partition.as_str(), &keys.sort];
        let space = &self.kv.space;
        let read = batch::Read { table: &space.main, key: &attributes, fields: None, consistent: true };
        let now = now();
        let mut items = batch::get(space, &read, both)
            .await?
            .into_iter()
            .map(|item| item.filter(|item| !is_expired(item, now)));
        let (listed, own) = (items.next().flatten(), items.next().flatten());
        let text = |value: &AttributeValue| value.as_s().ok().filter(|text| !text.is_empty()).cloned();
        let source = own.as_ref().and_then(|own| text(own.get("ref_doc_id")?));
        if source.is_some_and(|source| source != id) {
            return Ok(None);
        }
        let named = match &listed {
            None => Some(Vec::new()),
            Some(entry) if entry.contains_key(LARGE) => None,
            Some(entry) => {
                let ids = entry.get("node_ids").and_then(|ids| ids.as_l().ok());
                ids.and_then(|ids| ids.iter().map(text).collect::<Option<Vec<String>>>())
            }
        };
        Ok(named.map(|named| Known { listed, named, own: own.is_some() }))
    }

    /// Removes the metadata entries of a source document's nodes; answers the nodes that belong to another by now.
    async fn leave<'a>(&self, keys: &Keys, id: &str, members: &[&'a str]) -> Result<HashSet<&'a str>> {
        let space = &self.kv.space;
        let mut changes = Vec::with_capacity(members.len());
        for (place, name) in members.iter().enumerate() {
            let condition = Condition { quiet: true, ..Condition::default() }
                .with("attribute_not_exists(#r) OR #r = :r")
                .named("#r", "ref_doc_id")
                .valued(":r", AttributeValue::S(id.to_owned()));
            let entry = key(keys, &self.names.metadata, name);
            let write = transaction::delete(&space.main, entry, Some(condition))?;
            changes.push(Change { place, key: (*name).to_owned(), write, bytes: DELETE_BYTES });
        }
        let elsewhere = conditional::each(space, changes).await?;
        Ok(elsewhere.into_iter().filter_map(|place| members.get(place).copied()).collect())
    }

    /// Removes the entry of a source document if it still is what was read; answers whether it was.
    async fn remove_entry(&self, keys: &Keys, id: &str, entry: &Item) -> Result<bool> {
        let space = &self.kv.space;
        let condition = same(entry, keys);
        let write = transaction::delete(&space.main, key(keys, &self.names.ref_docs, id), Some(condition))?;
        let change = Change { place: 0, key: id.to_owned(), write, bytes: codec::item_size(entry) };
        // What fails here is no node.
        let lost = conditional::each(space, vec![change]).await;
        Ok(lost.map_err(|error| error.with_failed([""; 0]))?.is_empty())
    }

    /// Takes names from a source document's list, and the list away when none is left.
    async fn remove_names(&self, id: &str, named: &[String]) -> Result<()> {
        let named: HashSet<&str> = named.iter().map(String::as_str).collect();
        let gone = |name: &Value| name.as_str().is_some_and(|name| named.contains(name));
        let apply = |old: Option<&JsonObject>| {
            let list = old.and_then(|old| old.get("node_ids")).and_then(Value::as_array);
            let (Some(old), Some(list)) = (old, list) else { return Ok(Update::Keep) };
            let left: Vec<Value> = list.iter().filter(|name| !gone(name)).cloned().collect();
            if left.is_empty() {
                return Ok(Update::Delete);
            }
            // Others added nodes in the meantime; theirs stay.
            let mut new = old.clone();
            new.insert("node_ids".to_owned(), Value::Array(left));
            Ok(Update::Put(new))
        };
        KvStoreExt::update(&self.kv, &self.names.ref_docs, id, apply).await.map(drop)
    }
}

fn hash(entry: &Item) -> Option<String> {
    entry.get(HASH)?.as_s().ok().cloned()
}

#[async_trait]
impl DocStore for DynamoDocStore {
    async fn add(&self, nodes: Vec<Node>, options: AddOptions) -> Result<AddReport> {
        self.writer.add(nodes, options).await
    }

    async fn get_many(&self, ids: &[NodeId]) -> Result<Vec<Option<Node>>> {
        self.layer.get_many(ids).await
    }

    async fn exist_many(&self, ids: &[NodeId]) -> Result<Vec<bool>> {
        self.exist(ids).await.map_err(at("docs.exist_many"))
    }

    async fn count(&self, filter: Option<&Filter>) -> Result<usize> {
        self.count_nodes(filter).await.map_err(at("docs.count"))
    }

    async fn delete_many(&self, ids: &[NodeId]) -> Result<usize> {
        self.writer.delete_many(ids).await
    }

    async fn find(&self, query: &DocQuery) -> Result<Page<JsonObject>> {
        docs_find::find(&self.kv, &self.names.nodes, query).await.map_err(at("docs.find"))
    }

    async fn ref_doc(&self, id: &RefDocId) -> Result<Option<RefDocInfo>> {
        self.layer.ref_doc(id).await
    }

    async fn delete_ref_doc(&self, id: &RefDocId) -> Result<Option<RefDocDeleted>> {
        self.remove_ref_doc(id).await.map_err(at("docs.delete_ref_doc"))
    }

    async fn hashes(&self, ids: &[NodeId]) -> Result<Vec<Option<String>>> {
        self.hashes_of(ids).await.map_err(at("docs.hashes"))
    }

    async fn set_hashes(&self, hashes: Vec<(NodeId, String)>) -> Result<()> {
        self.writer.set_hashes(hashes).await
    }

    fn scan(&self, after: Option<NodeId>) -> BoxStream<Node> {
        self.layer.scan(after)
    }

    fn scan_ref_docs(&self, after: Option<RefDocId>) -> BoxStream<(RefDocId, RefDocInfo)> {
        self.layer.scan_ref_docs(after)
    }

    fn scan_hashes(&self, after: Option<NodeId>) -> BoxStream<(NodeId, String)> {
        let mut options = ScanOptions::default();
        options.after = after.map(NodeId::into_string);
        let scan = match Scan::new(self.kv.clone(), &self.names.metadata, options) {
            Ok(scan) => scan.with_fields([HASH, EXPIRES].map(|name| vec![name.to_owned()]).to_vec()),
            Err(error) => return stream::iter([Err(at("docs.scan_hashes")(error))]).boxed(),
        };
        let next = |mut scan: Scan| async move {
            while let Some((id, entry)) = scan.next_item().await? {
                if let Some(hash) = hash(&entry) {
                    return Ok(Some(((NodeId::from(id), hash), scan)));
                }
            }
            Ok(None)
        };
        stream::try_unfold(scan, next).map_err(at("docs.scan_hashes")).boxed()
    }
}
