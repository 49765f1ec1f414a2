//! fred, bare: the commands a careful person would send for LlamaIndex's layout, through a pool made as the store makes
//! its own. JSON is read and written by serde, as text. Rows of vectors are written whole, and their metadata can be
//! filtered by, since the store does both.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use async_trait::async_trait;
use nodestore::filter::{Condition, Scalar};
use nodestore::redis::fred::clients::{Client, Pool};
use nodestore::redis::fred::error::Error;
use nodestore::redis::fred::interfaces::ClientLike as _;
use nodestore::redis::fred::types::{ClusterHash, CustomCommand, Value as Answer};
use nodestore::redis::fred::util::redis_keyslot;
use nodestore::redis::{RedisBackend, RedisConfig};
use nodestore::{ChatMessage, Filter, JsonObject, Node, NodeId, QueryKind, VectorQuery};
use serde_json::{Value, json};

use crate::commands::bench::corpus::DIMENSIONS;
use crate::commands::bench::subject::{COLLECTION, SESSION, Subject, not_offered};
use crate::commands::bench::workload::Workload::{self, C1, C2, D1, D2, K1, K2, V1, V2, V3};
use crate::failure::Failure;

pub(super) const NAME: &str = "fred";
const WORKLOADS: &[Workload] = &[D1, D2, C1, C2, K1, K2];
/// With the search module.
const WITH_VECTORS: &[Workload] = &[D1, D2, C1, C2, V1, V2, V3, K1, K2];

const NODES: &str = "docstore/data";
const METADATA: &str = "docstore/metadata";
const SOURCES: &str = "docstore/ref_doc_info";
const INDEX: &str = "vectors";
const ALL: [&str; 5] = [NODES, METADATA, SOURCES, COLLECTION, SESSION];

/// Writes the fields that are not there yet, and answers the names of the others.
const ADD_NEW: &str = "local there = {}
for i = 1, #ARGV, 2 do
  if redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1]) == 0 then there[#there + 1] = ARGV[i] end
end
return there";
/// Changes a field if it is still what was read.
const CHANGE: &str = "if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1";
/// Writes a hash whole: nothing of an older one stays, and no reader sees a part of it.
const REPLACE: &str = "redis.call('DEL', KEYS[1])
return redis.call('HSET', KEYS[1], unpack(ARGV))";
/// The metadata of the corpus as fields of the index, so that each can be filtered by, as in the store.
const FIELDS: [&str; 16] = [
    "group", "TAG", "title", "TAG", "author", "TAG", "page", "NUMERIC", "year", "NUMERIC", "quality",
    "NUMERIC", "weight", "NUMERIC", "reviewed", "TAG",
];

/// Keys that begin with a name of their own.
#[derive(Debug)]
pub(super) struct Bare {
    store: RedisBackend,
    prefix: String,
    /// The name under which the server keeps [`REPLACE`].
    replace: OnceLock<String>,
}

impl Bare {
    /// Keys that begin with this name, and a pool made as the store makes its own.
    pub(super) async fn connect(url: &str, name: &str) -> Result<Self, Failure> {
        let config: RedisConfig = url.parse()?;
        Ok(Self {
            store: RedisBackend::connect(config).await?,
            prefix: format!("{name}:"),
            replace: OnceLock::new(),
        })
    }

    fn client(&self) -> Result<&Client, Failure> {
        let pool: &Pool = self.store.client()?;
        Ok(pool.next())
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// What it does on this server.
    pub(super) async fn workloads(&self) -> &'static [Workload] {
        let searches = self.send("FT._LIST", Vec::new()).await.is_ok();
        if searches { WITH_VECTORS } else { WORKLOADS }
    }

    /// Sends a command whose first argument is the key.
    async fn send(&self, name: &'static str, args: Vec<Answer>) -> Result<Answer, Failure> {
        let key = args.first().and_then(Answer::as_bytes).unwrap_or_default();
        let command = command(name, key);
        self.client()?.custom(command, args).await.map_err(failed)
    }

    /// Runs a script on the sources.
    async fn script(&self, script: &'static str, args: Vec<String>) -> Result<Answer, Failure> {
        let key = self.key(SOURCES);
        let command = command("EVAL", key.as_bytes());
        let mut all: Vec<Answer> = vec![script.into(), 1.into(), key.into()];
        all.extend(args.into_iter().map(Answer::from));
        self.client()?.custom(command, all).await.map_err(failed)
    }

    /// Reads and parses fields of a hash; answers how many there are.
    async fn read(&self, hash: &str, fields: impl Iterator<Item = &str>) -> Result<usize, Failure> {
        let mut args: Vec<Answer> = vec![self.key(hash).into()];
        args.extend(fields.map(Answer::from));
        parse_all(self.send("HMGET", args).await?)
    }

    /// Puts ids behind those that a source has already.
    async fn extend(&self, source: &str, ids: &[String]) -> Result<(), Failure> {
        loop {
            let old = self.send("HGET", vec![self.key(SOURCES).into(), source.into()]).await?;
            let old = old.as_bytes().unwrap_or_default();
            let mut info: Value = parse(old)?;
            if let Some(known) = info.get_mut("node_ids").and_then(Value::as_array_mut) {
                known.extend(
                    ids.iter()
                        .filter(|id| !known.contains(&json!(id)))
                        .map(|id| json!(id))
                        .collect::<Vec<_>>(),
                );
            }
            let old = String::from_utf8_lossy(old).into_owned();
            let changed = self.script(CHANGE, vec![source.to_owned(), old, info.to_string()]).await?;
            if changed.as_i64() == Some(1) {
                return Ok(());
            }
        }
    }
}

/// A command to the node of a key.
fn command(name: &'static str, key: &[u8]) -> CustomCommand {
    CustomCommand::new_static(name, ClusterHash::Custom(redis_keyslot(key)), false)
}

fn failed(error: Error) -> Failure {
    Failure::new(format!("fred: {}", error.details())).with_cause(error)
}

fn parse<T: serde::de::DeserializeOwned>(json: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(json).map_err(|error| Failure::new(format!("the server gave no JSON: {error}")))
}

/// Little-endian, as the search module has them.
fn bytes(vector: impl Iterator<Item = f32>) -> Answer {
    let bytes: Vec<u8> = vector.flat_map(f32::to_le_bytes).collect();
    Answer::Bytes(bytes.into())
}

fn parse_all(answer: Answer) -> Result<usize, Failure> {
    let Answer::Array(values) = answer else { return Ok(0) };
    let values = values.iter().filter_map(Answer::as_bytes).map(parse::<JsonObject>);
    Ok(values.collect::<Result<Vec<_>, Failure>>()?.len())
}

#[async_trait]
impl Subject for Bare {
    async fn add_nodes(&self, nodes: Vec<Node>) -> Result<(), Failure> {
        let mut data: Vec<Answer> = vec![self.key(NODES).into()];
        let mut metadata: Vec<Answer> = vec![self.key(METADATA).into()];
        let mut sources: BTreeMap<String, (Vec<String>, JsonObject)> = BTreeMap::new();
        for node in nodes {
            let id = node.id.as_str().to_owned();
            let source = node.ref_doc_id().map(nodestore::RefDocId::into_string).unwrap_or_default();
            metadata.push(id.as_str().into());
            metadata.push(json!({"doc_hash": node.hash(), "ref_doc_id": source}).to_string().into());
            data.push(id.as_str().into());
            data.push(json!({"__data__": node.to_json(), "__type__": "1"}).to_string().into());
            let (ids, fields) = sources.entry(source).or_default();
            ids.push(id);
            *fields = node.metadata;
        }
        let infos = sources.iter().flat_map(|(source, (ids, fields))| {
            [source.clone(), json!({"node_ids": ids, "metadata": fields}).to_string()]
        });
        let key = self.key(SOURCES);
        let mut add: Vec<Answer> = vec![ADD_NEW.into(), 1.into(), key.as_str().into()];
        add.extend(infos.map(Answer::from));

        let pipeline = self.client()?.pipeline();
        for (name, key, args) in
            [("HSET", self.key(NODES), data), ("HSET", self.key(METADATA), metadata), ("EVAL", key, add)]
        {
            let _: Answer = pipeline.custom(command(name, key.as_bytes()), args).await.map_err(failed)?;
        }
        let answers: Vec<Answer> = pipeline.all().await.map_err(failed)?;
        let Some(Answer::Array(there)) = answers.into_iter().next_back() else { return Ok(()) };
        for source in there.iter().filter_map(Answer::as_str) {
            if let Some((ids, _)) = sources.get(&*source) {
                self.extend(&source, ids).await?;
            }
        }
        Ok(())
    }

    async fn get_nodes(&self, ids: &[NodeId]) -> Result<usize, Failure> {
        self.read(NODES, ids.iter().map(NodeId::as_str)).await
    }

    async fn append(&self, message: ChatMessage) -> Result<(), Failure> {
        let stored = Value::Object(message.to_json()).to_string();
        self.send("RPUSH", vec![self.key(SESSION).into(), stored.into()]).await.map(|_| ())
    }

    async fn messages(&self) -> Result<usize, Failure> {
        parse_all(self.send("LRANGE", vec![self.key(SESSION).into(), 0.into(), (-1).into()]).await?)
    }

    async fn put(&self, entries: Vec<(String, JsonObject)>) -> Result<(), Failure> {
        let mut args: Vec<Answer> = vec![self.key(COLLECTION).into()];
        for (key, value) in entries {
            args.push(key.into());
            args.push(Value::Object(value).to_string().into());
        }
        self.send("HSET", args).await.map(|_| ())
    }

    async fn get(&self, keys: &[&str]) -> Result<usize, Failure> {
        self.read(COLLECTION, keys.iter().copied()).await
    }

    async fn configure_vectors(&self) -> Result<(), Failure> {
        let dimensions = DIMENSIONS.to_string();
        let key = self.key("vector_");
        let args = [
            &*self.key(INDEX),
            "ON",
            "HASH",
            "PREFIX",
            "1",
            &key,
            "SCHEMA",
            "id",
            "TAG",
            "doc_id",
            "TAG",
            "text",
            "TEXT",
            "vector",
            "VECTOR",
            "FLAT",
            "6",
            "TYPE",
            "FLOAT32",
            "DIM",
            &dimensions,
            "DISTANCE_METRIC",
            "COSINE",
        ];
        let args = args.into_iter().chain(FIELDS).map(Answer::from).collect();
        self.send("FT.CREATE", args).await?;
        let loaded = self.send("SCRIPT", vec!["LOAD".into(), REPLACE.into()]).await?;
        self.replace.get_or_init(|| loaded.as_string().unwrap_or_default());
        Ok(())
    }

    async fn add_embedded(&self, nodes: Vec<Node>) -> Result<(), Failure> {
        let replace = self.replace.get().map(String::as_str).unwrap_or_default();
        let pipeline = self.client()?.pipeline();
        for node in nodes {
            let id = node.id.as_str();
            let key = self.key(&format!("vector_{id}"));
            let mut args: Vec<Answer> =
                vec![replace.into(), 1.into(), key.as_str().into(), "id".into(), id.into()];
            args.extend(["text".into(), node.text_content().into()]);
            #[expect(clippy::cast_possible_truncation, reason = "the index keeps 32 bits")]
            let vector = node.embedding.iter().flatten().map(|value| *value as f32);
            args.extend(["vector".into(), bytes(vector)]);
            for (name, value) in node.to_vector_metadata(false)? {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                args.extend([name.into(), value.into()]);
            }
            let _: Answer =
                pipeline.custom(command("EVALSHA", key.as_bytes()), args).await.map_err(failed)?;
        }
        let _: Vec<Answer> = pipeline.all().await.map_err(failed)?;
        Ok(())
    }

    async fn search(&self, query: &VectorQuery) -> Result<Vec<String>, Failure> {
        let QueryKind::Dense { embedding } = &query.kind else { return Err(not_offered()) };
        let top = query.top_k.to_string();
        let filter = match &query.selector.filter {
            None => "*".to_owned(),
            Some(Filter::Field { key, condition: Condition::Eq(Scalar::Text(text)) }) => {
                format!("(@{key}:{{{}}})", text.replace('-', "\\-"))
            }
            Some(_) => return Err(not_offered()),
        };
        let mut args: Vec<Answer> =
            vec![self.key(INDEX).into(), format!("{filter}=>[KNN {top} @vector $v AS score]").into()];
        args.extend(["PARAMS", "2", "v"].map(Answer::from));
        args.push(bytes(embedding.iter().copied()));
        let fields = ["RETURN", "4", "id", "text", "_node_content", "score"];
        args.extend(fields.map(Answer::from));
        args.extend(["SORTBY", "score", "LIMIT", "0", &top, "DIALECT", "2"].map(Answer::from));
        let Answer::Array(found) = self.send("FT.SEARCH", args).await? else { return Ok(Vec::new()) };
        let (mut ids, mut nodes) = (Vec::with_capacity(query.top_k), Vec::with_capacity(query.top_k));
        for row in found {
            let Answer::Array(fields) = row else { continue };
            let mut text = String::new();
            for pair in fields.chunks(2) {
                let [name, value] = pair else { continue };
                match name.as_bytes() {
                    Some(b"id") => ids.extend(value.as_string()),
                    Some(b"text") => text = value.as_string().unwrap_or_default(),
                    Some(b"_node_content") => {
                        let content: JsonObject = parse(value.as_bytes().unwrap_or_default())?;
                        nodes.push((content, std::mem::take(&mut text)));
                    }
                    _ => {}
                }
            }
        }
        drop(nodes);
        Ok(ids)
    }

    async fn clear(&self) -> Result<(), Failure> {
        // It answers an error when there is none.
        let _ = self.send("FT.DROPINDEX", vec![self.key(INDEX).into(), "DD".into()]).await;
        for name in ALL {
            self.send("UNLINK", vec![self.key(name).into()]).await?;
        }
        Ok(())
    }
}
