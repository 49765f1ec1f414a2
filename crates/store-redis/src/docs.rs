//! Documents: core's layer over key-values, in Python's layout, with what Redis does better itself: a source document
//! goes in four round trips, however many nodes it has.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value as Json;
use store_core::kit::batches::cut;
use store_core::kit::check;
use store_core::{
    AddOptions, AddReport, BoxStream, DocCollections, DocQuery, DocStore, JsonObject, KvDocStore,
    KvStore as _, KvStoreExt, Node, NodeId, Page, RefDocDeleted, RefDocId, RefDocInfo, Result, Update,
};

use crate::driver::{Cmd, bytes, integer, items, unexpected};
use crate::error::{NAME, at};
use crate::kv::{RUN_BYTES, RUN_KEYS, RedisKvStore, decode};
use crate::schema;
use crate::script::Script;
use crate::space::Space;

/// Removes the metadata entries of a source document's nodes. `KEYS`: the hash. `ARGV`: the source document, then each
/// node. Answers for each node whether it belongs there (its entry is removed, 2, or there was none, 1) or to another
/// source document by now (0). If one of them can not be read, nothing is removed, and the answer is -1 alone.
static LEAVE: Script = Script::new(
    "local found = {}
for i = 2, #ARGV do
  local entry = redis.call('HGET', KEYS[1], ARGV[i])
  if entry then
    local read, value = pcall(cjson.decode, entry)
    if not read or type(value) ~= 'table' then return -1 end
    local source = value.ref_doc_id
    found[i - 1] = (type(source) ~= 'string' or source == ARGV[1]) and 2 or 0
  else
    found[i - 1] = 1
  end
end
for i = 2, #ARGV do
  if found[i - 1] == 2 then redis.call('HDEL', KEYS[1], ARGV[i]) end
end
return found",
);

/// What is known of a source document.
#[derive(Debug)]
struct Known {
    /// Its entry as it is stored, if it has one.
    listed: Option<Bytes>,
    /// The nodes that it names.
    named: Vec<String>,
}

/// The document role.
#[derive(Debug)]
pub(crate) struct RedisDocStore {
    space: Arc<Space>,
    kv: RedisKvStore,
    layer: KvDocStore<RedisKvStore>,
    names: DocCollections,
}

impl RedisDocStore {
    pub(crate) fn new(space: Arc<Space>) -> Self {
        let names = schema::doc_collections();
        let kv = RedisKvStore::new(Arc::clone(&space));
        let layer = KvDocStore::with_collections(kv.clone(), names.clone()).with_backend(NAME);
        Self { space, kv, layer, names }
    }

    /// Removes a source document. An entry of the oldest form, and a document that has a source itself, are left to
    /// the layer. The list of the nodes goes last: until then a call that failed is made good by repeating it.
    async fn remove_ref_doc(&self, id: &RefDocId) -> Result<Option<RefDocDeleted>> {
        check::non_empty("ref doc id", id.as_str())?;
        let Some(known) = self.known(id.as_str()).await? else { return self.layer.delete_ref_doc(id).await };
        let named = known.named.iter().map(String::as_str);
        // The document of its own id goes with it.
        let members: Vec<&str> = named.filter(|name| *name != id.as_str()).chain([id.as_str()]).collect();
        let Some((ours, entries)) = self.leave(id.as_str(), &members).await? else {
            return self.layer.delete_ref_doc(id).await;
        };
        let nodes = self.kv.delete_many(&self.names.nodes, &ours).await?;
        if let Some(listed) = &known.listed
            && !self.kv.remove_if(&self.names.ref_docs, id.as_str(), listed).await?
        {
            self.remove_names(id.as_str(), &known.named).await?;
        }
        let count = ours.iter().filter(|member| **member != id.as_str()).count();
        Ok((known.listed.is_some() || entries > 0 || nodes > 0).then(|| RefDocDeleted::new(count)))
    }

    /// What the entry of a source document names; `None` where the layer is needed.
    async fn known(&self, id: &str) -> Result<Option<Known>> {
        let (ref_docs, metadata) = (self.kv.hash(&self.names.ref_docs)?, self.kv.hash(&self.names.metadata)?);
        let both = [ref_docs, metadata].map(|hash| Cmd::read("HGET", hash).arg(id)).to_vec();
        let mut read = self.space.pipeline(both).await?.into_iter().map(|answer| answer.map(bytes));
        let mut next = || read.next().transpose().map(Option::flatten);
        let (listed, own) = (next()?, next()?);
        let own = own.map(|own| decode(id, &own)).transpose()?;
        if own.is_some_and(|own| own.get("ref_doc_id").is_some_and(|source| source != id)) {
            return Ok(None);
        }
        let Some(stored) = &listed else { return Ok(Some(Known { listed, named: Vec::new() })) };
        let entry = decode(id, stored)?;
        let name = |name: &Json| name.as_str().filter(|name| !name.is_empty()).map(str::to_owned);
        let list = entry.get("node_ids").and_then(Json::as_array);
        let named: Option<Vec<String>> = list.and_then(|list| list.iter().map(name).collect());
        Ok(named.map(|named| Known { listed, named }))
    }

    /// Removes the metadata entries of a source document's nodes: those which belong to it, and how many of them had
    /// an entry. `None` where the layer is needed.
    async fn leave<'a>(&self, id: &str, members: &[&'a str]) -> Result<Option<(Vec<&'a str>, usize)>> {
        let metadata = self.kv.hash(&self.names.metadata)?;
        let runs: Vec<&[&str]> = cut(members, RUN_KEYS, RUN_BYTES, |member| member.len()).collect();
        let text = |text: &str| Bytes::from(text.to_owned());
        let calls = runs.iter().map(|run| {
            let args = std::iter::once(text(id)).chain(run.iter().map(|member| text(member)));
            (vec![metadata.clone()], args.collect())
        });
        let answers = self.space.scripts(&LEAVE, calls.collect()).await?;
        let (mut ours, mut entries) = (Vec::with_capacity(members.len()), 0);
        let mut member = members.iter();
        for answer in answers {
            let answer = answer?;
            if integer(&answer).is_some() {
                return Ok(None);
            }
            for found in items(answer) {
                match (integer(&found), member.next()) {
                    (Some(0), Some(_)) => {}
                    (Some(found), Some(member)) => {
                        ours.push(*member);
                        entries += usize::from(found == 2);
                    }
                    _ => return Err(unexpected("a script", &found)),
                }
            }
        }
        Ok(Some((ours, entries)))
    }

    /// Takes names from a source document's list, and the list away when none is left.
    async fn remove_names(&self, id: &str, named: &[String]) -> Result<()> {
        let named: HashSet<&str> = named.iter().map(String::as_str).collect();
        let gone = |name: &Json| name.as_str().is_some_and(|name| named.contains(name));
        let apply = |old: Option<&JsonObject>| {
            let list = old.and_then(|old| old.get("node_ids")).and_then(Json::as_array);
            let (Some(old), Some(list)) = (old, list) else { return Ok(Update::Keep) };
            let left: Vec<Json> = list.iter().filter(|name| !gone(name)).cloned().collect();
            if left.is_empty() {
                return Ok(Update::Delete);
            }
            // Others added nodes in the meantime; theirs stay.
            let mut new = old.clone();
            new.insert("node_ids".to_owned(), Json::Array(left));
            Ok(Update::Put(new))
        };
        KvStoreExt::update(&self.kv, &self.names.ref_docs, id, apply).await.map(drop)
    }
}

#[async_trait]
impl DocStore for RedisDocStore {
    async fn add(&self, nodes: Vec<Node>, options: AddOptions) -> Result<AddReport> {
        self.layer.add(nodes, options).await
    }

    async fn get_many(&self, ids: &[NodeId]) -> Result<Vec<Option<Node>>> {
        self.layer.get_many(ids).await
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
        self.remove_ref_doc(id).await.map_err(at("docs.delete_ref_doc"))
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
