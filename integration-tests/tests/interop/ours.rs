//! Our side: the requests as calls of the roles.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use nodestore::{
    AddMode, AddOptions, Backend, BoxStream, ChatMessage, DocStoreExt as _, FieldType, Filter,
    FilterableField, IndexStruct, JsonObject, KvStoreExt as _, MetadataPatch, Metric, Node, NodeId, RefDocId,
    ScanOptions, ScoredNode, Selector, VectorConfig, VectorQuery, VectorStore, VectorStoreExt as _,
    filter::field,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::CaseResult;
use crate::side::Side;

/// Values in each embedding, as in `stores.py`.
pub(crate) const DIMENSIONS: usize = 3;

/// Ours at one store.
pub(crate) struct Ours<'a> {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) runtime: &'a Runtime,
    /// The collection of nodes in documents, as Python names it.
    pub(crate) nodes: &'static str,
}

impl Side for Ours<'_> {
    fn name(&self) -> &'static str {
        "ours"
    }

    fn call(&self, op: &str, args: Value) -> CaseResult<Value> {
        let Value::Object(args) = args else { return Err(format!("{op}: the arguments are no object")) };
        let (role, name) = op.split_once('.').unwrap_or_default();
        let (name, args) = (name, Args(args));
        let answer = self.runtime.block_on(async {
            match role {
                "kv" => self.key_values(name, args).await,
                "docs" => self.documents(name, args).await,
                "index" => self.index_structs(name, args).await,
                "chat" => self.chats(name, args).await,
                "vectors" => self.vectors(name, args).await,
                _ => Err("no such role".to_owned()),
            }
        });
        answer.map_err(|error| format!("ours: {op}: {error}"))
    }
}

impl Ours<'_> {
    async fn key_values(&self, name: &str, mut args: Args) -> CaseResult<Value> {
        let kv = self.backend.kv().map_err(told)?;
        let collection: String = args.take("collection")?;
        match name {
            "put" => {
                let (key, value): (String, JsonObject) = (args.take("key")?, args.take("value")?);
                kv.put(&collection, &key, value).await.map_err(told)?;
                Ok(Value::Null)
            }
            // Adds one to a member and leaves the others as they are.
            "count" => {
                let (key, member): (String, String) = (args.take("key")?, args.take("member")?);
                let count = |old: Option<&JsonObject>| {
                    let mut value = old.cloned().unwrap_or_default();
                    let next = value.get(&member).and_then(Value::as_i64).unwrap_or_default() + 1;
                    value.insert(member.clone(), next.into());
                    Ok(nodestore::Update::Put(value))
                };
                kv.update(&collection, &key, count).await.map_err(told)?;
                Ok(Value::Null)
            }
            "get" => Ok(json!(kv.get(&collection, &args.take::<String>("key")?).await.map_err(told)?)),
            "delete" => Ok(json!(kv.delete(&collection, &args.take::<String>("key")?).await.map_err(told)?)),
            "all" => {
                let entries = kv.scan(&collection, ScanOptions::default());
                let mut entries: Vec<(String, JsonObject)> = entries.try_collect().await.map_err(told)?;
                entries.sort_by(|one, other| one.0.cmp(&other.0));
                Ok(entries.into_iter().map(|(key, value)| (key, Value::Object(value))).collect())
            }
            _ => Err(unknown(name)),
        }
    }

    async fn documents(&self, name: &str, mut args: Args) -> CaseResult<Value> {
        let docs = self.backend.docs().map_err(told)?;
        match name {
            "add" => {
                let insert = args.take_or::<bool>("insert", false)?;
                let mode = if insert { AddMode::Fail } else { AddMode::Overwrite };
                let text = args.take_or("store_text", true)?;
                let options = AddOptions::default().with_mode(mode).with_store_text(text);
                docs.add(args.nodes()?, options).await.map_err(told)?;
                Ok(Value::Null)
            }
            "add_old" => {
                let (part, id): (String, String) = (args.take("part")?, args.take("id")?);
                let collection =
                    if part == "data" { self.nodes.to_owned() } else { format!("docstore/{part}") };
                let kv = self.backend.kv().map_err(told)?;
                kv.put(&collection, &id, args.take("value")?).await.map_err(told)?;
                Ok(Value::Null)
            }
            "get" => {
                let ids: Vec<NodeId> = args.ids("ids")?;
                let found = docs.get_many(&ids).await.map_err(told)?;
                let shown = |node: Node| json!({"node": node.to_json(), "hash": node.hash()});
                Ok(found.into_iter().map(|node| node.map_or(Value::Null, shown)).collect())
            }
            "delete" => {
                docs.delete_many(&args.ids("ids")?).await.map_err(told)?;
                Ok(Value::Null)
            }
            "ref_doc" => {
                let info = docs.ref_doc(&args.ref_doc("id")?).await.map_err(told)?;
                Ok(info.map_or(Value::Null, |info| {
                    let ids: Vec<&str> = info.node_ids.iter().map(NodeId::as_str).collect();
                    json!({"node_ids": ids, "metadata": info.metadata})
                }))
            }
            "delete_ref_doc" => {
                docs.delete_ref_doc(&args.ref_doc("id")?).await.map_err(told)?;
                Ok(Value::Null)
            }
            "hash" => Ok(json!(docs.hash(&args.take::<String>("id")?.into()).await.map_err(told)?)),
            "set_hash" => {
                let (id, hash): (String, String) = (args.take("id")?, args.take("hash")?);
                docs.set_hashes(vec![(id.into(), hash)]).await.map_err(told)?;
                Ok(Value::Null)
            }
            "listed" => {
                let prefix: String = args.take("prefix")?;
                let nodes = names(docs.scan(None), &prefix, |node| node.id.into_string()).await?;
                let ref_docs = names(docs.scan_ref_docs(None), &prefix, |(id, _)| id.into_string()).await?;
                let hashes = names(docs.scan_hashes(None), &prefix, |(id, _)| id.into_string()).await?;
                Ok(json!({"nodes": nodes, "ref_docs": ref_docs, "hashes": hashes}))
            }
            _ => Err(unknown(name)),
        }
    }

    async fn index_structs(&self, name: &str, mut args: Args) -> CaseResult<Value> {
        let index = self.backend.index().map_err(told)?;
        match name {
            "put" => {
                let index_struct = IndexStruct::from_json(args.take("struct")?).map_err(told)?;
                index.put(index_struct).await.map_err(told)?;
                Ok(Value::Null)
            }
            "get" => {
                let found = index.get(&args.take::<String>("id")?).await.map_err(told)?;
                Ok(json!(found.map(|found| found.to_stored_json())))
            }
            "delete" => {
                index.delete(&args.take::<String>("id")?).await.map_err(told)?;
                Ok(Value::Null)
            }
            "listed" => {
                let prefix: String = args.take("prefix")?;
                let ids = names(index.scan(None), &prefix, |one| one.index_id().to_owned()).await?;
                Ok(json!(ids))
            }
            _ => Err(unknown(name)),
        }
    }

    async fn chats(&self, name: &str, mut args: Args) -> CaseResult<Value> {
        let chat = self.backend.chat().map_err(told)?;
        if name == "keys" {
            let prefix: String = args.take("prefix")?;
            return Ok(json!(names(chat.keys(None), &prefix, |key| key).await?));
        }
        let key: String = args.take("key")?;
        match name {
            "set" => chat.replace(&key, args.take("messages")?).await.map(|()| Value::Null),
            "add" => chat.append(&key, vec![args.take("message")?]).await.map(|()| Value::Null),
            "get" => chat.messages(&key, None).await.map(|messages| json!(messages)),
            "insert" => {
                let message: ChatMessage = args.take("message")?;
                chat.insert_at(&key, args.take("index")?, message).await.map(|()| Value::Null)
            }
            "remove" => chat.remove_at(&key, args.take("index")?).await.map(|message| json!(message)),
            "pop" => chat.pop(&key).await.map(|message| json!(message)),
            "delete" => chat.delete(&key).await.map(|_| Value::Null),
            _ => return Err(unknown(name)),
        }
        .map_err(told)
    }

    async fn vectors(&self, name: &str, mut args: Args) -> CaseResult<Value> {
        let vectors = self.backend.vectors().map_err(told)?;
        // The fields of the schema in `stores.py`, which Python filters by.
        let [tag, year] = [("tag", FieldType::Text), ("year", FieldType::Integer)]
            .map(|(key, field_type)| FilterableField { key: key.to_owned(), field_type });
        let config = VectorConfig::new(DIMENSIONS, Metric::Cosine).with_filterable([tag, year]);
        vectors.configure(config).await.map_err(told)?;
        match name {
            "add" => {
                vectors.upsert(args.nodes()?, AddMode::Overwrite).await.map_err(told)?;
                Ok(Value::Null)
            }
            "query" => nearest(&*vectors, args).await,
            "update" => {
                let selector = Selector::ids([args.take::<String>("id")?]);
                let set: JsonObject = args.take("set")?;
                let patch = set
                    .into_iter()
                    .fold(MetadataPatch::new(), |patch, (key, value)| patch.with_set(key, value));
                Ok(json!(vectors.update(&selector, &patch).await.map_err(told)?))
            }
            "delete" => {
                let selector = Selector::ref_docs([args.take::<String>("source")?]);
                vectors.delete(&selector).await.map_err(told)?;
                Ok(Value::Null)
            }
            _ => Err(unknown(name)),
        }
    }
}

/// The ids with a prefix among the k nearest, with their scores and nodes.
async fn nearest(vectors: &dyn VectorStore, mut args: Args) -> CaseResult<Value> {
    let (embedding, k): (Vec<f32>, usize) = (args.take("embedding")?, args.take("k")?);
    let prefix: String = args.take("prefix")?;
    let filters: JsonObject = args.take_or("filters", JsonObject::new())?;
    let mut query = VectorQuery::dense(embedding, k);
    if !filters.is_empty() {
        let equal = filters.into_iter().map(|(key, value)| match value {
            Value::String(text) => field(key).eq(text),
            Value::Bool(truth) => field(key).eq(truth),
            value => match value.as_i64() {
                Some(whole) => field(key).eq(whole),
                None => field(key).eq(value.as_f64().unwrap_or(f64::NAN)),
            },
        });
        query = query.with_selector(Filter::All(equal.collect()));
    }
    let found = vectors.query(&query).await.map_err(told)?;
    let found = found.into_iter().filter(|found| found.node.id.as_str().starts_with(&prefix));
    let shown = |found: ScoredNode| {
        // Four digits: the servers count with 32 bits.
        let score = (found.score * 1e4).round() / 1e4;
        json!({"id": found.node.id.as_str(), "score": score, "node": found.node.to_json()})
    };
    Ok(found.map(shown).collect())
}

/// The names in a listing that begin with a prefix, in their order.
async fn names<T: 'static>(
    listing: BoxStream<T>,
    prefix: &str,
    name: fn(T) -> String,
) -> CaseResult<Vec<String>> {
    let mut names: Vec<String> = listing.map(|item| item.map(name)).try_collect().await.map_err(told)?;
    names.retain(|name| name.starts_with(prefix));
    names.sort_unstable();
    Ok(names)
}

/// The arguments of a request.
struct Args(JsonObject);

impl Args {
    fn take<T: DeserializeOwned>(&mut self, name: &str) -> CaseResult<T> {
        let value = self.0.remove(name).ok_or_else(|| format!("the argument {name} is missing"))?;
        T::deserialize(value).map_err(|error| format!("the argument {name}: {error}"))
    }

    fn take_or<T: DeserializeOwned>(&mut self, name: &str, default: T) -> CaseResult<T> {
        if self.0.contains_key(name) { self.take(name) } else { Ok(default) }
    }

    fn nodes(&mut self) -> CaseResult<Vec<Node>> {
        let nodes: Vec<JsonObject> = self.take("nodes")?;
        nodes.into_iter().map(|node| Node::from_json(node).map_err(told)).collect()
    }

    fn ids(&mut self, name: &str) -> CaseResult<Vec<NodeId>> {
        Ok(self.take::<Vec<String>>(name)?.into_iter().map(NodeId::from).collect())
    }

    fn ref_doc(&mut self, name: &str) -> CaseResult<RefDocId> {
        Ok(self.take::<String>(name)?.as_str().into())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn told(error: nodestore::Error) -> String {
    error.to_string()
}

fn unknown(name: &str) -> String {
    format!("no request {name}")
}
