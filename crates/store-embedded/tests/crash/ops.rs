//! An endless list of writes for each role, the same in every process, and a way to compare what is stored.

use std::collections::HashMap;

use futures::TryStreamExt as _;
use serde_json::json;
use store_core::{
    AddMode, AddOptions, Backend, ChatMessage, GetOptions, IndexStruct, JsonObject, KvStoreExt as _,
    MetadataPatch, Metric, Node, NodeId, PutOptions, QueryKind, Result, ScanOptions, Selector, Update,
    VectorConfig, VectorQuery, filter::field,
};

/// The roles that the child writes to, each from a task of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Docs,
    Kv,
    Chat,
    Index,
    Vectors,
}

impl Role {
    pub(crate) const ALL: [Self; 5] = [Self::Docs, Self::Kv, Self::Chat, Self::Index, Self::Vectors];

    /// A letter for each, for the pipe.
    pub(crate) fn letter(self) -> char {
        match self {
            Self::Docs => 'd',
            Self::Kv => 'k',
            Self::Chat => 'c',
            Self::Index => 'i',
            Self::Vectors => 'v',
        }
    }

    /// Makes write number `n`; its outcome depends on nothing but `n` and what the store holds.
    pub(crate) async fn apply(self, store: &dyn Backend, n: u64) -> Result<()> {
        let random = Random::new(n * 8 + u64::from(self as u8));
        match self {
            Self::Docs => docs(store, n, random).await,
            Self::Kv => kv(store, n, random).await,
            Self::Chat => chat(store, n, random).await,
            Self::Index => index(store, n, random).await,
            Self::Vectors => vectors(store, n, random).await,
        }
    }

    /// Everything the role holds, one line each, in an order that is the same for equal stores.
    pub(crate) async fn dump(self, store: &dyn Backend) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        match self {
            Self::Docs => {
                let docs = store.docs()?;
                let nodes: Vec<Node> = docs.scan(None).try_collect().await?;
                lines.extend(nodes.iter().map(|node| json!(node.to_json()).to_string()));
                let hashes: Vec<_> = docs.scan_hashes(None).try_collect().await?;
                lines.extend(hashes.iter().map(|(id, hash)| format!("hash {id} {hash}")));
                let ref_docs: Vec<_> = docs.scan_ref_docs(None).try_collect().await?;
                lines.extend(ref_docs.iter().map(|(id, info)| {
                    let ids: Vec<&str> = info.node_ids.iter().map(AsRef::as_ref).collect();
                    format!("ref doc {id} {ids:?} {}", json!(info.metadata))
                }));
            }
            Self::Kv => {
                let entries: Vec<_> = store.kv()?.scan("c", ScanOptions::default()).try_collect().await?;
                lines.extend(entries.iter().map(|(key, value)| format!("{key} {}", json!(value))));
            }
            Self::Chat => {
                let chat = store.chat()?;
                for key in chat.keys(None).try_collect::<Vec<_>>().await? {
                    let messages = chat.messages(&key, None).await?;
                    lines.push(format!(
                        "{key} {:?}",
                        messages.iter().map(ChatMessage::text).collect::<Vec<_>>()
                    ));
                }
            }
            Self::Index => {
                let structs: Vec<IndexStruct> = store.index()?.scan(None).try_collect().await?;
                lines.extend(structs.iter().map(|index| json!(index.to_json()).to_string()));
            }
            Self::Vectors => lines = vector_lines(store).await?,
        }
        lines.sort();
        Ok(lines)
    }
}

/// A small generator (splitmix64): the child and the model must draw the same numbers.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }
}

fn object(value: serde_json::Value) -> JsonObject {
    match value {
        serde_json::Value::Object(object) => object,
        _ => JsonObject::new(),
    }
}

async fn docs(store: &dyn Backend, n: u64, mut random: Random) -> Result<()> {
    let docs = store.docs()?;
    let id = |random: &mut Random| format!("node {}", random.below(300));
    match random.below(10) {
        0 => docs.delete_ref_doc(&format!("source {}", random.below(15)).into()).await.map(|_| ()),
        1 => {
            let ids: Vec<_> = (0..5).map(|_| id(&mut random).into()).collect();
            docs.delete_many(&ids).await.map(|_| ())
        }
        2 => docs.set_hashes(vec![(id(&mut random).into(), n.to_string())]).await,
        kind => {
            let nodes = (0..=random.below(30)).map(|_| {
                let node = Node::text(format!("written by {n}"))
                    .with_id(id(&mut random))
                    .with_metadata("n", n)
                    .with_metadata("text", "x".repeat(usize::try_from(random.below(2000)).unwrap_or(0)));
                match random.below(20) {
                    source @ 0..15 => node.with_source(format!("source {source}")),
                    _ => node,
                }
            });
            let mode = if kind == 3 { AddMode::Skip } else { AddMode::Overwrite };
            docs.add(nodes.collect(), AddOptions::default().with_mode(mode)).await.map(|_| ())
        }
    }
}

async fn kv(store: &dyn Backend, n: u64, mut random: Random) -> Result<()> {
    let kv = store.kv()?;
    let key = |random: &mut Random| format!("key {}", random.below(200));
    match random.below(8) {
        0 => {
            let keys: Vec<String> = (0..5).map(|_| key(&mut random)).collect();
            kv.delete_many("c", &keys.iter().map(String::as_str).collect::<Vec<_>>()).await.map(|_| ())
        }
        1 | 2 => {
            let count = |old: Option<&JsonObject>| {
                let old = old.and_then(|old| old.get("n")).and_then(serde_json::Value::as_u64).unwrap_or(0);
                Ok(Update::Put(object(json!({"n": old + 1}))))
            };
            kv.update("c", "counter", count).await.map(|_| ())
        }
        _ => {
            let entries = (0..=random.below(30)).map(|place| {
                let text = "y".repeat(usize::try_from(random.below(3000)).unwrap_or(0));
                (key(&mut random), object(json!({"n": n, "place": place, "text": text})))
            });
            kv.put_many("c", entries.collect(), PutOptions::default()).await
        }
    }
}

async fn chat(store: &dyn Backend, n: u64, mut random: Random) -> Result<()> {
    let chat = store.chat()?;
    let key = format!("session {}", random.below(5));
    match random.below(20) {
        0 => chat.delete(&key).await.map(|_| ()),
        1 => {
            let messages = (0..30).map(|place| ChatMessage::user(format!("{n}.{place}")));
            chat.replace(&key, messages.collect()).await
        }
        2..6 => chat.remove_at(&key, if random.below(2) == 0 { 1 } else { -2 }).await.map(|_| ()),
        6..10 => chat.insert_at(&key, 1, ChatMessage::assistant(format!("{n} inserted"))).await,
        _ => chat.append(&key, vec![ChatMessage::user(n.to_string()), ChatMessage::assistant("yes")]).await,
    }
}

async fn index(store: &dyn Backend, n: u64, mut random: Random) -> Result<()> {
    let index = store.index()?;
    let id = format!("index {}", random.below(20));
    if random.below(4) == 0 {
        return index.delete(&id).await.map(|_| ());
    }
    index
        .put(IndexStruct::new(
            "list",
            object(json!({"index_id": id, "summary": null, "nodes": [n.to_string()]})),
        )?)
        .await
}

fn embedding(random: &mut Random) -> Vec<f32> {
    let value = |random: &mut Random| f32::from(u8::try_from(random.below(200)).unwrap_or(0)) - 99.5;
    (0..DIMENSIONS).map(|_| value(random)).collect()
}

const DIMENSIONS: usize = 8;
const WORDS: u64 = 30;

pub(crate) async fn configure(store: &dyn Backend) -> Result<()> {
    store.vectors()?.configure(VectorConfig::new(DIMENSIONS, Metric::Cosine)).await
}

async fn vectors(store: &dyn Backend, n: u64, mut random: Random) -> Result<()> {
    configure(store).await?;
    let vectors = store.vectors()?;
    if n.is_multiple_of(3) {
        // Brings the word index up to date, so that kills hit it at that as well.
        vectors.query_many(&[VectorQuery::text("word1", 1)]).await?;
    }
    let id = |random: &mut Random| format!("vector {}", random.below(300));
    match random.below(12) {
        0 => {
            let ids: Vec<String> = (0..5).map(|_| id(&mut random)).collect();
            vectors.delete(&Selector::ids(ids)).await.map(|_| ())
        }
        1 => vectors
            .delete(&Selector::all().with_filter(field("group").eq(random.below(20))))
            .await
            .map(|_| ()),
        2 | 3 => {
            let group = Selector::all().with_filter(field("group").eq(random.below(20)));
            vectors.update(&group, &MetadataPatch::new().with_set("patched", n)).await.map(|_| ())
        }
        4 if random.below(10) == 0 => vectors.clear().await,
        _ => {
            let nodes = (0..=random.below(30)).map(|_| {
                let words: Vec<String> = (0..5).map(|_| format!("word{}", random.below(WORDS))).collect();
                let node = Node::text(words.join(" "))
                    .with_id(id(&mut random))
                    .with_source(format!("source {}", random.below(15)))
                    .with_metadata("n", n)
                    .with_metadata("group", random.below(20));
                // Some nodes are found by their words alone.
                if random.below(8) == 0 { node } else { node.with_embedding(embedding(&mut random)) }
            });
            vectors.upsert(nodes.collect(), AddMode::Overwrite).await.map(|_| ())
        }
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The nodes, and what searches by vector, by filter and by each word find of them.
async fn vector_lines(store: &dyn Backend) -> Result<Vec<String>> {
    let vectors = store.vectors()?;
    if vectors.config().await?.is_none() {
        return Ok(Vec::new());
    }
    let mut lines = Vec::new();
    let nodes = vectors.get(&Selector::all(), GetOptions::default().with_embeddings(true)).await?.items;
    lines.extend(nodes.iter().map(|node| json!(node.to_json()).to_string()));
    let mut queries = Vec::new();
    let mut random = Random::new(7);
    for group in 0..5 {
        let embedding = embedding(&mut random);
        queries.push(VectorQuery::dense(embedding.clone(), 1000));
        queries.push(VectorQuery::dense(embedding, 10).with_selector(field("group").eq(group)));
    }
    queries.extend((0..WORDS).map(|word| VectorQuery::text(format!("word{word}"), 1000)));
    let embeddings: HashMap<&NodeId, Vec<f32>> =
        nodes.iter().filter_map(|node| Some((&node.id, node.embedding_f32()?))).collect();
    for (place, (query, found)) in queries.iter().zip(vectors.query_many(&queries).await?).enumerate() {
        if !found.is_sorted_by(|a, b| a.score >= b.score) {
            lines.push(format!("query {place} is answered out of order"));
        }
        let mut found: Vec<String> = found
            .iter()
            .map(|found| match &query.kind {
                QueryKind::Dense { embedding } => {
                    let right = embeddings.get(&found.node.id).map(|own| cosine(embedding, own));
                    // The last digits of a score depend on where the vector lies in memory.
                    let right = right.is_some_and(|right| (right - found.score).abs() < 1e-5);
                    if right {
                        found.node.id.to_string()
                    } else {
                        format!("{} {}", found.node.id, found.score)
                    }
                }
                _ => found.node.id.to_string(),
            })
            .collect();
        found.sort();
        lines.push(format!("query {place} {found:?}"));
    }
    Ok(lines)
}
