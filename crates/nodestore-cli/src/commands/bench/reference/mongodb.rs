//! The MongoDB driver, bare: the commands a careful person would send for LlamaIndex's layout, with the settings of
//! the store's own client. JSON goes to the driver as it is, by serde, which is its quickest way.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures::{FutureExt as _, TryStreamExt as _, try_join};
use nodestore::filter::{Condition, Scalar};
use nodestore::mongodb::bson::{Document, doc};
use nodestore::mongodb::mongodb::options::ReturnDocument;
use nodestore::mongodb::mongodb::{self, Client, Collection, Database, IndexModel};
use nodestore::mongodb::{MongoBackend, MongoConfig};
use nodestore::{ChatMessage, Filter, JsonObject, Node, NodeId, QueryKind, RefDocId, VectorQuery};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::commands::bench::corpus::DIMENSIONS;
use crate::commands::bench::subject::{COLLECTION, SESSION, Subject, not_offered};
use crate::commands::bench::workload::Workload::{self, C1, C2, D1, D2, D4, K1, K2, R1, V1, V2, V3};
use crate::failure::Failure;

pub(super) const NAME: &str = "mongodb driver";
pub(super) const WORKLOADS: &[Workload] = &[D1, D2, D4, C1, C2, V1, V2, V3, R1, K1, K2];

const NODES: &str = "docstore/data";
const METADATA: &str = "docstore/metadata";
const SOURCES: &str = "docstore/ref_doc_info";
const VECTORS: &str = "vectors";
const MESSAGES: &str = "sessions";
const HEADS: &str = "heads";

/// A database of its own.
#[derive(Debug)]
pub(super) struct Bare {
    client: Client,
    database: Database,
}

impl Bare {
    /// The database of this name, with a client of its own, made as the store makes its own.
    pub(super) async fn connect(url: &str, database: &str) -> Result<Self, Failure> {
        let config: MongoConfig = url.parse()?;
        let client = MongoBackend::connect(config).await?.client()?.clone();
        let database = client.database(database);
        Ok(Self { client, database })
    }

    fn values(&self, collection: &str) -> Collection<JsonObject> {
        self.database.collection(collection)
    }

    async fn read(&self, collection: &str, keys: Vec<&str>) -> Result<usize, Failure> {
        let found = self.values(collection).find(doc! {"_id": {"$in": keys}}).await.map_err(failed)?;
        Ok(found.try_collect::<Vec<JsonObject>>().await.map_err(failed)?.len())
    }
}

fn failed(error: mongodb::error::Error) -> Failure {
    Failure::new(format!("mongodb: {}", error.kind)).with_cause(error)
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(object) => object,
        other => JsonObject::from_iter([("value".to_owned(), other)]),
    }
}

fn with_id(id: &str, value: JsonObject) -> JsonObject {
    let mut document = JsonObject::from_iter([("_id".to_owned(), Value::from(id))]);
    document.extend(value);
    document
}

/// A node in LlamaIndex's layout.
#[derive(Serialize)]
struct VectorRow {
    #[serde(rename = "_id")]
    id: String,
    embedding: Vec<f64>,
    text: String,
    metadata: JsonObject,
}

/// What a search gives.
#[derive(Deserialize)]
#[expect(dead_code, reason = "it is read, as whoever searches needs it")]
struct Hit {
    #[serde(rename = "_id")]
    id: String,
    text: String,
    metadata: JsonObject,
    score: f64,
}

/// A key-value as a document.
#[derive(Deserialize)]
#[expect(dead_code, reason = "it is read, as whoever loads documents needs it")]
struct Entry {
    #[serde(rename = "_id")]
    id: String,
    text: String,
}

/// The cosine of the stored embedding with this one, by the quickest expression that a plain server knows: the products
/// written out, the norm from mean and deviation.
fn cosine(query: &[f32]) -> Document {
    let norm = query.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    let products: Vec<Document> = (0..)
        .zip(query)
        .map(|(at, value): (i32, &f32)| {
            doc! {"$multiply": [{"$arrayElemAt": ["$$vector", at]}, f64::from(*value) / norm]}
        })
        .collect();
    let deviation = doc! {"$pow": [{"$stdDevPop": "$$vector"}, 2]};
    let mean = doc! {"$pow": [{"$avg": "$$vector"}, 2]};
    let squares = doc! {"$multiply": [query.len() as f64, {"$add": [deviation, mean]}]};
    let cosine = doc! {"$divide": [{"$sum": products}, {"$sqrt": "$$squares"}]};
    let rounded = doc! {"$round": [{"$max": [-1.0, {"$min": [1.0, cosine]}]}, 12]};
    let score = doc! {"$cond": [{"$gt": ["$$squares", 0]}, rounded, 0.0]};
    let with_squares = doc! {"$let": {"vars": {"squares": squares}, "in": score}};
    doc! {"$let": {"vars": {"vector": "$embedding"}, "in": with_squares}}
}

#[async_trait]
impl Subject for Bare {
    async fn add_nodes(&self, nodes: Vec<Node>) -> Result<(), Failure> {
        let (mut data, mut metadata) = (Vec::new(), Vec::new());
        let mut sources: BTreeMap<String, (Vec<String>, JsonObject)> = BTreeMap::new();
        for node in nodes {
            let id = node.id.as_str().to_owned();
            let source = node.ref_doc_id().map(nodestore::RefDocId::into_string).unwrap_or_default();
            let entry = json!({"doc_hash": node.hash(), "ref_doc_id": source});
            metadata.push(with_id(&id, object(entry)));
            let stored = json!({"__data__": node.to_json(), "__type__": "1"});
            data.push(with_id(&id, object(stored)));
            let (ids, fields) = sources.entry(source).or_default();
            ids.push(id);
            *fields = node.metadata;
        }
        let updates = sources.into_iter().map(|(source, (ids, fields))| {
            let update = json!({"$set": {"metadata": fields}, "$addToSet": {"node_ids": {"$each": ids}}});
            json!({"q": {"_id": source}, "u": update, "upsert": true})
        });
        let updates = updates.collect::<Vec<_>>();
        let update = json!({
            "update": SOURCES,
            "updates": updates,
            "ordered": false,
            "writeConcern": {"w": "majority"},
        });
        let update = nodestore::mongodb::bson::serialize_to_document(&update)
            .map_err(|error| Failure::new(format!("no BSON: {error}")))?;
        let (nodes, entries) = (self.values(NODES), self.values(METADATA));
        try_join!(
            nodes.insert_many(data).ordered(false).into_future(),
            entries.insert_many(metadata).ordered(false).into_future(),
            self.database.run_command(update).into_future(),
        )
        .map_err(failed)?;
        Ok(())
    }

    async fn get_nodes(&self, ids: &[NodeId]) -> Result<usize, Failure> {
        self.read(NODES, ids.iter().map(NodeId::as_str).collect()).await
    }

    async fn append(&self, message: ChatMessage) -> Result<(), Failure> {
        let mut session = self.client.start_session().await.map_err(failed)?;
        let stored = message.to_json();
        // A position of its own, and the message at it: both or none.
        session
            .start_transaction()
            .and_run((&self.database, &stored), |session, (database, stored)| {
                async move {
                    let heads = database.collection::<Document>(HEADS);
                    let head = heads
                        .find_one_and_update(doc! {"_id": SESSION}, doc! {"$inc": {"next": 1_i64}})
                        .upsert(true)
                        .return_document(ReturnDocument::After)
                        .session(&mut *session)
                        .await?;
                    let index = head.and_then(|head| head.get_i64("next").ok()).unwrap_or(1) - 1;
                    let row = json!({"session_id": SESSION, "index": index, "message": stored});
                    let messages = database.collection::<Value>(MESSAGES);
                    messages.insert_one(row).session(session).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
            .map_err(failed)
    }

    async fn messages(&self) -> Result<usize, Failure> {
        let messages = self.values(MESSAGES);
        let found =
            messages.find(doc! {"session_id": SESSION}).sort(doc! {"index": 1}).await.map_err(failed)?;
        Ok(found.try_collect::<Vec<JsonObject>>().await.map_err(failed)?.len())
    }

    async fn put(&self, entries: Vec<(String, JsonObject)>) -> Result<(), Failure> {
        let entries: Vec<_> = entries.into_iter().map(|(key, value)| with_id(&key, value)).collect();
        self.values(COLLECTION).insert_many(entries).ordered(false).await.map_err(failed)?;
        Ok(())
    }

    async fn get(&self, keys: &[&str]) -> Result<usize, Failure> {
        self.read(COLLECTION, keys.to_vec()).await
    }

    async fn delete_source(&self, id: &RefDocId) -> Result<usize, Failure> {
        let source = doc! {"_id": id.as_str()};
        let found = self.values(SOURCES).find_one(source.clone()).await.map_err(failed)?;
        let ids = found.as_ref().and_then(|found| found.get("node_ids")?.as_array());
        let ids: Vec<&str> = ids.into_iter().flatten().filter_map(Value::as_str).collect();
        // In this order, so that one that was interrupted can be repeated.
        let entries = doc! {"_id": {"$in": &ids}, "ref_doc_id": id.as_str()};
        self.values(METADATA).delete_many(entries).await.map_err(failed)?;
        let nodes = self.values(NODES).delete_many(doc! {"_id": {"$in": &ids}}).await.map_err(failed)?;
        self.values(SOURCES).delete_one(source).await.map_err(failed)?;
        Ok(usize::try_from(nodes.deleted_count).unwrap_or(usize::MAX))
    }

    async fn configure_vectors(&self) -> Result<(), Failure> {
        let index = IndexModel::builder().keys(doc! {"metadata.ref_doc_id": 1}).build();
        self.values(VECTORS).create_index(index).await.map_err(failed)?;
        Ok(())
    }

    async fn add_embedded(&self, nodes: Vec<Node>) -> Result<(), Failure> {
        let rows = nodes.into_iter().map(|mut node| {
            let metadata = node.to_vector_metadata(false)?;
            Ok(VectorRow {
                id: node.id.as_str().to_owned(),
                embedding: node.embedding.take().unwrap_or_default(),
                text: node.text_content().to_owned(),
                metadata,
            })
        });
        let rows = rows.collect::<Result<Vec<_>, Failure>>()?;
        let vectors = self.database.collection::<VectorRow>(VECTORS);
        vectors.insert_many(rows).ordered(false).await.map_err(failed)?;
        Ok(())
    }

    async fn search(&self, query: &VectorQuery) -> Result<Vec<String>, Failure> {
        let QueryKind::Dense { embedding } = &query.kind else { return Err(not_offered()) };
        let mut matches = doc! {"embedding": {"$size": number(DIMENSIONS)}};
        match &query.selector.filter {
            None => {}
            Some(Filter::Field { key, condition: Condition::Eq(Scalar::Text(text)) }) => {
                matches.insert(format!("metadata.{key}"), text);
            }
            Some(_) => return Err(not_offered()),
        }
        let stages = [
            doc! {"$match": matches},
            doc! {"$project": {"text": 1, "metadata": 1, "score": cosine(embedding)}},
            doc! {"$sort": {"score": -1, "_id": 1}},
            doc! {"$limit": number(query.top_k)},
        ];
        let found = self.values(VECTORS).aggregate(stages).with_type::<Hit>().await.map_err(failed)?;
        let hits: Vec<Hit> = found.try_collect().await.map_err(failed)?;
        Ok(hits.into_iter().map(|hit| hit.id).collect())
    }

    async fn load(&self) -> Result<usize, Failure> {
        let entries = self.database.collection::<Entry>(COLLECTION);
        let read = entries.find(doc! {}).sort(doc! {"_id": 1}).projection(doc! {"text": 1});
        let mut entries = read.await.map_err(failed)?;
        let mut count = 0;
        while entries.try_next().await.map_err(failed)?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    async fn clear(&self) -> Result<(), Failure> {
        self.database.drop().await.map_err(failed)
    }
}
