//! The MongoDB driver, bare: the commands a careful person would send for LlamaIndex's layout, with the settings of
//! the store's own client. JSON goes to the driver as it is, by serde, which is its quickest way.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures::{FutureExt as _, TryStreamExt as _, try_join};
use nodestore::mongodb::bson::{Document, doc};
use nodestore::mongodb::mongodb::options::ReturnDocument;
use nodestore::mongodb::mongodb::{self, Client, Collection, Database};
use nodestore::mongodb::{MongoBackend, MongoConfig};
use nodestore::{ChatMessage, JsonObject, Node, NodeId};
use serde_json::{Value, json};

use crate::commands::bench::subject::{COLLECTION, SESSION, Subject};
use crate::failure::Failure;

pub(super) const NAME: &str = "mongodb driver";

const NODES: &str = "docstore/data";
const METADATA: &str = "docstore/metadata";
const SOURCES: &str = "docstore/ref_doc_info";
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

    async fn clear(&self) -> Result<(), Failure> {
        self.database.drop().await.map_err(failed)
    }
}
