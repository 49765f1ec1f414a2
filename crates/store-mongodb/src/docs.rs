//! Documents: core's layer over key-values, in Python's layout, with what MongoDB does better itself: queries are
//! answered by the server, and a source document goes in five requests, one after the other but for the first two, however
//! many nodes it has.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf};
use bson::{Bson, Document, doc};
use futures::{StreamExt as _, TryStreamExt as _, join};
use mongodb::Collection;
use store_core::kit::check;
use store_core::kit::doc_query::{self, MAX_SORTED, Place};
use store_core::{
    AddOptions, AddReport, BoxStream, DocCollections, DocQuery, DocStore, Error, Filter, JsonObject,
    KvDocStore, Node, NodeId, Page, RefDocDeleted, RefDocId, RefDocInfo, Result,
};

use crate::error::{NAME, at};
use crate::kv::{MongoKvStore, key_batches};
use crate::kv_layout::key_range;
use crate::scan::{self, Scan};
use crate::space::Space;
use crate::{bulk, codec, doc_entries, docs_query, filter};

/// Ids in one request.
const READ_IDS: usize = 10_000;

/// The document role.
#[derive(Debug)]
pub(crate) struct MongoDocStore {
    space: Arc<Space>,
    kv: MongoKvStore,
    layer: KvDocStore<MongoKvStore>,
    names: DocCollections,
}

impl MongoDocStore {
    pub(crate) fn new(space: Arc<Space>) -> Self {
        let names = DocCollections::default();
        // Its updates merge: made twice they are made once.
        let kv = MongoKvStore::new(Arc::clone(&space)).with_repeatable_updates();
        let layer = KvDocStore::with_collections(kv.clone(), names.clone()).with_backend(NAME);
        Self { space, kv, layer, names }
    }

    async fn page(&self, query: &DocQuery) -> Result<Page<JsonObject>> {
        doc_query::validate(query)?;
        let nodes = self.kv.collection(&self.names.nodes)?;
        let by_metadata = query.filter.is_some() || !query.sort.is_empty();
        if by_metadata && self.holds_oldest(&nodes).await? {
            return doc_query::find_by_scan(|after| self.scan(after), query).await;
        }
        let translated = query.filter.as_ref().map(|filter| filter::translate(filter, filter::Place::Docs));
        let (matches, rest) = translated.map_or_else(Default::default, |t| (t.matches, t.rest));
        let place = Place::of(query)?;
        let sorted = !query.sort.is_empty();
        let from = place.as_ref().filter(|_| !sorted).map(|place| place.id.as_str());
        let mut stages = vec![doc! {"$match": {"_id": key_range("", from)}}];
        if !matches.is_empty() {
            stages.push(doc! {"$match": matches});
        }
        if sorted {
            stages.extend(docs_query::sort_stages(query, place.as_ref()));
        } else {
            stages.push(doc! {"$sort": {"_id": 1}});
        }
        let most = query.limit.unwrap_or(if sorted { MAX_SORTED } else { usize::MAX });
        if let Some(limit) = i64::try_from(most).ok().and_then(|most| most.checked_add(1))
            && rest.is_none()
        {
            stages.push(doc! {"$limit": limit});
        }
        let projected = docs_query::projection(query, rest.is_some());
        stages.extend(projected.iter().map(|fields| doc! {"$project": fields}));
        let mut found = self.read(&nodes, stages, rest.as_ref(), most, projected.is_some()).await?;
        let more = found.len() > most;
        if more && query.limit.is_none() {
            return Err(doc_query::too_many());
        }
        found.truncate(most);
        let last = found.last().filter(|_| more);
        let next = last.map(|last| {
            let keys = docs_query::metadata(&last.json)
                .map_or_else(Vec::new, |metadata| doc_query::sort_keys(metadata, query));
            Place { id: last.id.clone(), keys }.cursor(query)
        });
        Ok(Page { items: self.items(found, query, projected.is_some()).await?, next })
    }

    /// Runs a pipeline and reads up to `most` documents and one more.
    async fn read(
        &self,
        nodes: &Collection<RawDocumentBuf>,
        stages: Vec<Document>,
        rest: Option<&Filter>,
        most: usize,
        projected: bool,
    ) -> Result<Vec<Found>> {
        let mut find = nodes.aggregate(stages).allow_disk_use(true);
        if most < MAX_SORTED {
            find = find.batch_size(bulk::one_batch(most + 1));
        }
        let mut cursor = self.space.call(find).await?;
        let (mut found, nothing) = (Vec::new(), JsonObject::new());
        while found.len() <= most && self.space.call(cursor.advance()).await? {
            let document = cursor.current();
            let id = bulk::id(document)?.to_owned();
            let json = codec::to_json(document)
                .map_err(|error| error.with_collection(&self.names.nodes).with_key(&id))?;
            let metadata = docs_query::metadata(&json).unwrap_or(&nothing);
            if rest.is_none_or(|rest| rest.matches(metadata)) {
                let whole = !projected;
                found.push(Found { id, json, whole });
            }
        }
        Ok(found)
    }

    async fn nodes(&self, ids: &[NodeId]) -> Result<Vec<Option<Node>>> {
        doc_query::valid_ids(ids)?;
        let nodes = self.kv.collection(&self.names.nodes)?;
        let keys: Vec<&str> = ids.iter().map(NodeId::as_str).collect();
        let (mut found, mut others) = (vec![None; ids.len()], Vec::new());
        let read = |place: usize, document: &RawDocument| {
            match (found.get_mut(place), doc_entries::node(document)) {
                (Some(slot), Some(node)) => *slot = Some(node),
                _ => others.push(place),
            }
            Ok(())
        };
        self.kv.read(&nodes, &keys, read).await?;
        if !others.is_empty() {
            let ids: Vec<NodeId> = others.iter().filter_map(|place| ids.get(*place).cloned()).collect();
            for (place, node) in others.into_iter().zip(self.layer.get_many(&ids).await?) {
                if let Some(slot) = found.get_mut(place) {
                    *slot = node;
                }
            }
        }
        Ok(found)
    }

    /// A scan of one of the collections by `read`, and by the layer where that does not do.
    fn scan_by<T: Send + 'static>(
        &self,
        operation: &'static str,
        collection: &str,
        after: Option<String>,
        read: fn(&RawDocument) -> Option<T>,
        rest: fn(&KvDocStore<MongoKvStore>, Option<String>) -> BoxStream<T>,
    ) -> BoxStream<T> {
        let Ok(target) = self.kv.collection(collection) else { return rest(&self.layer, after) };
        let documents = Scan::new(Arc::clone(&self.space), target, String::new(), after);
        let layer = self.layer.clone();
        let collection = collection.to_owned();
        let named = move |error| at(operation)(error).with_collection(&collection);
        scan::read(documents, read, move |after| rest(&layer, after)).map_err(named).boxed()
    }

    async fn exist(&self, ids: &[NodeId]) -> Result<Vec<bool>> {
        doc_query::valid_ids(ids)?;
        let nodes = self.kv.collection(&self.names.nodes)?;
        let keys: Vec<&str> = ids.iter().map(NodeId::as_str).collect();
        let mut found: HashSet<String> = HashSet::new();
        for keys in key_batches(&keys) {
            let size = bulk::one_batch(keys.len());
            let find = nodes.find(doc! {"_id": {"$in": keys}}).projection(doc! {"_id": 1}).batch_size(size);
            let mut cursor = self.space.call(find).await?;
            while self.space.call(cursor.advance()).await? {
                found.insert(bulk::id(cursor.current())?.to_owned());
            }
        }
        Ok(keys.iter().map(|key| found.contains(*key)).collect())
    }

    async fn count_nodes(&self, filter: Option<&Filter>) -> Result<usize> {
        filter.map_or(Ok(()), Filter::validate)?;
        let nodes = self.kv.collection(&self.names.nodes)?;
        if filter.is_some() && self.holds_oldest(&nodes).await? {
            return doc_query::count_by_scan(|| self.scan(None), filter).await;
        }
        let translated = filter.map(|filter| filter::translate(filter, filter::Place::Docs));
        let (matches, rest) = translated.map_or_else(Default::default, |t| (t.matches, t.rest));
        let matches = doc! {"$and": [{"_id": key_range("", None)}, matches]};
        let Some(rest) = rest else {
            let count = self.space.call(nodes.count_documents(matches)).await?;
            return Ok(usize::try_from(count).unwrap_or(usize::MAX));
        };
        let metadata = doc! {"__data__.metadata": 1, "__type__": 1};
        let mut cursor = self.space.call(nodes.find(matches).projection(metadata)).await?;
        let (mut count, nothing) = (0, JsonObject::new());
        while self.space.call(cursor.advance()).await? {
            let json = codec::to_json(cursor.current())?;
            count += usize::from(rest.matches(docs_query::metadata(&json).unwrap_or(&nothing)));
        }
        Ok(count)
    }

    /// What was found as the caller wants it. A document of an older form has its members in other places, so that a
    /// part of it is not enough: it is read once more.
    async fn items(&self, found: Vec<Found>, query: &DocQuery, projected: bool) -> Result<Vec<JsonObject>> {
        let projection = query.projection.as_deref();
        let old: Vec<NodeId> = found
            .iter()
            .filter(|found| projected && !docs_query::is_todays(&found.json))
            .map(|found| NodeId::from(found.id.as_str()))
            .collect();
        let mut old = self.layer.get_many(&old).await?.into_iter();
        let mut items = Vec::with_capacity(found.len());
        for Found { id, mut json, whole } in found {
            json.shift_remove("_id");
            if whole {
                let node = Node::from_json(json).map_err(|error| self.unreadable(&id, &error))?;
                items.push(doc_query::project(&node, projection));
            } else if docs_query::is_todays(&json) {
                items.push(doc_query::project_json(json, projection));
            } else {
                let node = old.next().flatten();
                items.extend(node.map(|node| doc_query::project(&node, projection)));
            }
        }
        Ok(items)
    }

    fn unreadable(&self, id: &str, error: &Error) -> Error {
        Error::corrupt(format!("the stored node can not be read: {}", error.message()))
            .with_collection(&self.names.nodes)
            .with_key(id)
    }

    /// Whether there are nodes of the form before LlamaIndex 0.6.38, whose metadata lies elsewhere. Nobody writes
    /// them any more, so that they are looked for once.
    async fn holds_oldest(&self, nodes: &Collection<RawDocumentBuf>) -> Result<bool> {
        let known = format!("no extra_info in {}", nodes.namespace());
        if self.space.known.has(&known) {
            return Ok(false);
        }
        let one = nodes.find_one(doc! {"__data__.extra_info": {"$exists": true}}).projection(doc! {"_id": 1});
        let found = self.space.call(one).await?.is_some();
        self.space.known.set(&known, !found);
        Ok(found)
    }

    /// Removes a source document. An entry of the oldest form, and a document that has a source itself, are left to
    /// the layer. The list of the nodes goes last: until then a call that failed is made good by repeating it.
    async fn remove_ref_doc(&self, id: &RefDocId) -> Result<Option<RefDocDeleted>> {
        check::non_empty("ref doc id", id.as_str())?;
        let ref_docs = self.kv.collection(&self.names.ref_docs)?;
        let metadata = self.kv.collection(&self.names.metadata)?;
        let fields = doc! {"ref_doc_id": 1};
        let (stored, own) = join!(
            self.space.call(ref_docs.find_one(doc! {"_id": id.as_str()})),
            self.space.call(metadata.find_one(doc! {"_id": id.as_str()}).projection(fields)),
        );
        let (stored, own) = (stored?, own?);
        let listed = stored.is_some();
        let named = stored.map_or_else(|| Ok(Some(Vec::new())), |stored| node_ids(&stored))?;
        let has_source = own.as_ref().is_some_and(|own| belongs_elsewhere(own, id.as_str()));
        let Some(named) = named.filter(|_| !has_source) else { return self.layer.delete_ref_doc(id).await };
        let mut members = check::unique_by(named.iter().map(String::as_str).collect(), false, |name| *name);
        members.retain(|name| *name != id.as_str());
        let entries = members.len() + usize::from(own.is_some());
        members.push(id.as_str());
        // An entry that belongs to another source by now, or that others write at this moment, is not ours to remove.
        // Python leaves such nodes listed.
        let mut deleted = 0;
        for ids in members.chunks(READ_IDS) {
            let ours = doc! {"_id": {"$in": ids}, "ref_doc_id": {"$in": [id.as_str(), Bson::Null]}};
            deleted += self.space.call(metadata.delete_many(ours)).await?.deleted_count;
        }
        if usize::try_from(deleted).is_ok_and(|deleted| deleted < entries) {
            let moved = self.moved(&metadata, id.as_str(), &members).await?;
            members.retain(|member| !moved.contains(*member));
        }
        let had_nodes = self.kv.delete(&self.names.nodes, &members).await? > 0;
        let count = members.iter().filter(|member| **member != id.as_str()).count();
        if listed {
            self.remove_names(&ref_docs, id.as_str(), &named).await?;
        }
        Ok((listed || deleted > 0 || had_nodes).then(|| RefDocDeleted::new(count)))
    }

    /// Takes names from a source document's list, and the list away when none is left.
    async fn remove_names(
        &self,
        ref_docs: &Collection<RawDocumentBuf>,
        id: &str,
        named: &[String],
    ) -> Result<()> {
        let all = doc! {"_id": id, "node_ids": {"$not": {"$elemMatch": {"$nin": named}}}};
        if self.space.call(ref_docs.delete_one(all)).await?.deleted_count > 0 {
            return Ok(());
        }
        // Others added nodes in the meantime; theirs stay.
        let pull = ref_docs.update_one(doc! {"_id": id}, doc! {"$pull": {"node_ids": {"$in": named}}});
        self.space.call(pull).await?;
        Ok(())
    }

    /// Which of the metadata entries of `ids` are of another source document.
    async fn moved(
        &self,
        metadata: &Collection<RawDocumentBuf>,
        id: &str,
        ids: &[&str],
    ) -> Result<HashSet<String>> {
        let mut moved = HashSet::new();
        for ids in ids.chunks(READ_IDS) {
            let fields = doc! {"ref_doc_id": 1};
            let size = bulk::one_batch(ids.len());
            let find = metadata.find(doc! {"_id": {"$in": ids}}).projection(fields).batch_size(size);
            let mut cursor = self.space.call(find).await?;
            while self.space.call(cursor.advance()).await? {
                if belongs_elsewhere(cursor.current(), id) {
                    moved.insert(bulk::id(cursor.current())?.to_owned());
                }
            }
        }
        Ok(moved)
    }
}

/// Whether a metadata entry is of another source document than this one.
fn belongs_elsewhere(entry: &RawDocument, id: &str) -> bool {
    entry.get_str("ref_doc_id").is_ok_and(|other| other != id)
}

/// A document that a query found.
struct Found {
    id: String,
    json: JsonObject,
    whole: bool,
}

/// The node ids of a source document's entry; `None` for the oldest form.
fn node_ids(entry: &RawDocument) -> Result<Option<Vec<String>>> {
    let Ok(ids) = entry.get_array("node_ids") else { return Ok(None) };
    ids.into_iter()
        .map(|id| match id.map_err(codec::damaged)? {
            RawBsonRef::String(id) => Ok(Some(id.to_owned())),
            _ => Ok(None),
        })
        .collect()
}

#[async_trait]
impl DocStore for MongoDocStore {
    async fn add(&self, nodes: Vec<Node>, options: AddOptions) -> Result<AddReport> {
        self.layer.add(nodes, options).await
    }

    async fn get_many(&self, ids: &[NodeId]) -> Result<Vec<Option<Node>>> {
        self.nodes(ids).await.map_err(at("docs.get_many"))
    }

    async fn exist_many(&self, ids: &[NodeId]) -> Result<Vec<bool>> {
        self.exist(ids).await.map_err(at("docs.exist_many"))
    }

    async fn count(&self, filter: Option<&Filter>) -> Result<usize> {
        self.count_nodes(filter).await.map_err(at("docs.count"))
    }

    async fn delete_many(&self, ids: &[NodeId]) -> Result<usize> {
        self.layer.delete_many(ids).await
    }

    async fn find(&self, query: &DocQuery) -> Result<Page<JsonObject>> {
        self.page(query).await.map_err(at("docs.find"))
    }

    async fn ref_doc(&self, id: &RefDocId) -> Result<Option<RefDocInfo>> {
        self.layer.ref_doc(id).await
    }

    async fn delete_ref_doc(&self, id: &RefDocId) -> Result<Option<RefDocDeleted>> {
        self.remove_ref_doc(id).await.map_err(at("docs.delete_ref_doc"))
    }

    async fn hashes(&self, ids: &[NodeId]) -> Result<Vec<Option<String>>> {
        self.layer.hashes(ids).await
    }

    async fn set_hashes(&self, hashes: Vec<(NodeId, String)>) -> Result<()> {
        self.layer.set_hashes(hashes).await
    }

    fn scan(&self, after: Option<NodeId>) -> BoxStream<Node> {
        let after = after.map(NodeId::into_string);
        let rest = |layer: &KvDocStore<_>, after: Option<String>| layer.scan(after.map(NodeId::from));
        self.scan_by("docs.scan", &self.names.nodes, after, doc_entries::node, rest)
    }

    fn scan_ref_docs(&self, after: Option<RefDocId>) -> BoxStream<(RefDocId, RefDocInfo)> {
        let after = after.map(RefDocId::into_string);
        let rest =
            |layer: &KvDocStore<_>, after: Option<String>| layer.scan_ref_docs(after.map(RefDocId::from));
        self.scan_by("docs.scan_ref_docs", &self.names.ref_docs, after, doc_entries::ref_doc, rest)
    }

    fn scan_hashes(&self, after: Option<NodeId>) -> BoxStream<(NodeId, String)> {
        let after = after.map(NodeId::into_string);
        let rest = |layer: &KvDocStore<_>, after: Option<String>| layer.scan_hashes(after.map(NodeId::from));
        self.scan_by("docs.scan_hashes", &self.names.metadata, after, doc_entries::hash, rest)
    }
}
