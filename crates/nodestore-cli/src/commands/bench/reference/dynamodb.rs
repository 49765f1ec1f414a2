//! Amazon's SDK, bare: the requests a careful person would send for LlamaIndex's layout, at the service's limits and
//! several at once, through a client made as the store makes its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use nodestore::dynamodb::aws_sdk_dynamodb::Client;
use nodestore::dynamodb::aws_sdk_dynamodb::client::Waiters as _;
use nodestore::dynamodb::aws_sdk_dynamodb::error::{BuildError, DisplayErrorContext, SdkError};
use nodestore::dynamodb::aws_sdk_dynamodb::operation::put_item::PutItemError;
use nodestore::dynamodb::aws_sdk_dynamodb::primitives::Blob;
use nodestore::dynamodb::aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, KeysAndAttributes,
    LocalSecondaryIndex, Projection, ProjectionType, Put, PutRequest, ScalarAttributeType, TransactWriteItem,
    Update, WriteRequest,
};
use nodestore::dynamodb::{DynamoDbBackend, DynamoDbConfig};
use nodestore::{ChatMessage, JsonObject, Node, NodeId};
use serde_json::{Map, Number, Value, json};
use tokio::sync::Mutex;

use crate::commands::bench::subject::{COLLECTION, SESSION, Subject};
use crate::commands::bench::workload::Workload::{self, C1, C2, D1, D2, K1, K2, V1};
use crate::failure::Failure;

pub(super) const NAME: &str = "aws-sdk-dynamodb";
pub(super) const WORKLOADS: &[Workload] = &[D1, D2, C1, C2, V1, K1, K2];

const NODES: &str = "docstore/data";
const METADATA: &str = "docstore/metadata";
const SOURCES: &str = "docstore/ref_doc_info";
/// The attribute and the index of the source of a node with an embedding.
const SOURCE: &str = "doc_id";
/// The partition of chats, and the item in it that knows how many messages there are.
const CHAT: &str = "chat";
const HEAD: &str = "head";
/// The service's limits.
const WRITE_ITEMS: usize = 25;
const READ_KEYS: usize = 100;
const TRANSACTION_ITEMS: usize = 100;
/// Requests at the same time.
const AT_ONCE: usize = 8;
/// How long a table may take to come or to go.
const PATIENCE: Duration = Duration::from_mins(5);

type Item = std::collections::HashMap<String, AttributeValue>;

/// A table of its own, and one for vectors.
#[derive(Debug)]
pub(super) struct Bare {
    client: Client,
    table: String,
    vectors: String,
    consistent: bool,
    /// The tables that are there.
    made: Mutex<Vec<String>>,
    /// Messages appended.
    appended: AtomicU64,
}

impl Bare {
    /// A table that begins with this name, and a client made as the store makes its own.
    pub(super) async fn connect(url: &str, name: &str) -> Result<Self, Failure> {
        let config: DynamoDbConfig = url.parse()?;
        let consistent = config.consistent_reads;
        let client = DynamoDbBackend::connect(config.with_namespace(name)).await?.client()?.clone();
        Ok(Self {
            client,
            table: format!("{name}.bare"),
            vectors: format!("{name}.bare-vectors"),
            consistent,
            made: Mutex::default(),
            appended: AtomicU64::new(0),
        })
    }

    /// Makes a table, if it is not there; one for vectors with an index of the nodes of a source.
    async fn make(&self, table: &str) -> Result<(), Failure> {
        let mut made = self.made.lock().await;
        if made.iter().any(|there| there == table) {
            return Ok(());
        }
        let element = |name: &str, kind: KeyType| {
            KeySchemaElement::builder().attribute_name(name).key_type(kind).build().map_err(unbuilt)
        };
        let mut create =
            self.client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
        let mut attributes = vec!["pk", "sk"];
        if table == self.vectors {
            attributes.push(SOURCE);
            let index = LocalSecondaryIndex::builder()
                .index_name(SOURCE)
                .key_schema(element("pk", KeyType::Hash)?)
                .key_schema(element(SOURCE, KeyType::Range)?)
                .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build());
            create = create.local_secondary_indexes(index.build().map_err(unbuilt)?);
        }
        for name in attributes {
            let text = ScalarAttributeType::S;
            let definition = AttributeDefinition::builder().attribute_name(name).attribute_type(text).build();
            create = create.attribute_definitions(definition.map_err(unbuilt)?);
        }
        let create =
            create.key_schema(element("pk", KeyType::Hash)?).key_schema(element("sk", KeyType::Range)?);
        create.send().await.map_err(failed)?;
        let exists = self.client.wait_until_table_exists().table_name(table);
        exists.wait(PATIENCE).await.map_err(|error| Failure::new(format!("the SDK: {error}")))?;
        made.push(table.to_owned());
        Ok(())
    }

    /// Writes items in requests of 25, or one by itself.
    async fn write(&self, table: &str, items: Vec<Item>) -> Result<(), Failure> {
        self.make(table).await?;
        if let [item] = items.as_slice() {
            let put = self.client.put_item().table_name(table).set_item(Some(item.clone()));
            put.send().await.map_err(failed)?;
            return Ok(());
        }
        let writes: Vec<_> =
            batches(items, WRITE_ITEMS).into_iter().map(|batch| self.write_batch(table, batch)).collect();
        stream::iter(writes).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Writes items that are not there yet: none that another wrote is lost unseen. In transactions, the only requests
    /// that put many under conditions.
    async fn insert(&self, items: Vec<Item>) -> Result<(), Failure> {
        let batches = batches(items, TRANSACTION_ITEMS);
        let inserts: Vec<_> = batches.into_iter().map(|batch| self.insert_batch(batch)).collect();
        stream::iter(inserts).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn insert_batch(&self, items: Vec<Item>) -> Result<(), Failure> {
        let mut puts = Vec::with_capacity(items.len());
        for item in items {
            let put = Put::builder().table_name(&self.table).set_item(Some(item));
            let put = put.condition_expression("attribute_not_exists(pk)").build().map_err(unbuilt)?;
            puts.push(TransactWriteItem::builder().put(put).build());
        }
        let insert = self.client.transact_write_items().set_transact_items(Some(puts));
        insert.send().await.map_err(failed)?;
        Ok(())
    }

    async fn write_batch(&self, table: &str, items: Vec<Item>) -> Result<(), Failure> {
        let mut left = Vec::new();
        for item in items {
            let put = PutRequest::builder().set_item(Some(item)).build().map_err(unbuilt)?;
            left.push(WriteRequest::builder().put_request(put).build());
        }
        while !left.is_empty() {
            let write = self.client.batch_write_item().request_items(table, left);
            let answer = write.send().await.map_err(failed)?;
            left = answer.unprocessed_items.unwrap_or_default().remove(table).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads items as JSON; answers how many there are.
    async fn read(&self, partition: &str, keys: &[&str]) -> Result<usize, Failure> {
        // A closure over borrowed keys would be too narrow for the future to be sent.
        let mut reads = Vec::new();
        for keys in keys.chunks(READ_KEYS) {
            reads.push(self.read_batch(partition, keys));
        }
        let counts: Vec<usize> = stream::iter(reads).buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(counts.into_iter().sum())
    }

    async fn read_batch(&self, partition: &str, keys: &[&str]) -> Result<usize, Failure> {
        if let [key] = keys {
            let get = self.client.get_item().table_name(&self.table).consistent_read(self.consistent);
            let answer = get.set_key(Some(key_of(partition, key))).send().await.map_err(failed)?;
            return Ok(usize::from(answer.item.map(object).transpose()?.is_some()));
        }
        let mut left: Vec<Item> = keys.iter().map(|key| key_of(partition, key)).collect();
        let mut found = 0;
        while !left.is_empty() {
            let wanted = KeysAndAttributes::builder().set_keys(Some(left)).consistent_read(self.consistent);
            let get =
                self.client.batch_get_item().request_items(&self.table, wanted.build().map_err(unbuilt)?);
            let answer = get.send().await.map_err(failed)?;
            for item in answer.responses.unwrap_or_default().remove(&self.table).unwrap_or_default() {
                std::hint::black_box(object(item)?);
                found += 1;
            }
            let unprocessed = answer.unprocessed_keys.unwrap_or_default().remove(&self.table);
            left = unprocessed.map(|wanted| wanted.keys).unwrap_or_default();
        }
        Ok(found)
    }

    /// Writes what a source has, if nothing is there yet; else puts ids behind those that it has.
    async fn add_source(&self, source: &str, ids: &[String], fields: &JsonObject) -> Result<(), Failure> {
        let info = json!({"node_ids": ids, "metadata": fields});
        let put = self.client.put_item().table_name(&self.table);
        let put =
            put.set_item(Some(item(SOURCES, source, &info))).condition_expression("attribute_not_exists(pk)");
        match put.send().await {
            Ok(_) => return Ok(()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception) => {}
            Err(error) => return Err(failed(error)),
        }
        let ids = ids.iter().map(|id| AttributeValue::S(id.clone())).collect();
        let update = self.client.update_item().table_name(&self.table);
        let update = update.set_key(Some(key_of(SOURCES, source)));
        let update = update.update_expression("SET node_ids = list_append(node_ids, :ids)");
        update.expression_attribute_values(":ids", AttributeValue::L(ids)).send().await.map_err(failed)?;
        Ok(())
    }
}

fn failed<E, R>(error: SdkError<E, R>) -> Failure
where
    E: std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    Failure::new(format!("the SDK: {}", DisplayErrorContext(&error))).with_cause(error)
}

fn unbuilt(error: BuildError) -> Failure {
    Failure::new(format!("a request can not be built: {error}")).with_cause(error)
}

/// Cuts items into what goes in one request.
fn batches(items: Vec<Item>, most: usize) -> Vec<Vec<Item>> {
    let mut batches = Vec::new();
    let mut items = items.into_iter().peekable();
    while items.peek().is_some() {
        batches.push(items.by_ref().take(most).collect());
    }
    batches
}

fn key_of(partition: &str, key: &str) -> Item {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    Item::from([("pk".to_owned(), text(partition)), ("sk".to_owned(), text(key))])
}

fn item(partition: &str, key: &str, value: &Value) -> Item {
    let mut item = key_of(partition, key);
    if let Value::Object(members) = value {
        item.extend(members.iter().map(|(name, value)| (name.clone(), attribute(value))));
    }
    item
}

fn attribute(value: &Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(value) => AttributeValue::Bool(*value),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(text) => AttributeValue::S(text.clone()),
        Value::Array(values) => AttributeValue::L(values.iter().map(attribute).collect()),
        Value::Object(members) => {
            AttributeValue::M(members.iter().map(|(name, value)| (name.clone(), attribute(value))).collect())
        }
    }
}

/// An item as JSON; the order of members is lost, and 2.0 becomes 2.
fn object(item: Item) -> Result<JsonObject, Failure> {
    item.into_iter().map(|(name, value)| Ok((name, json_of(value)?))).collect()
}

fn json_of(value: AttributeValue) -> Result<Value, Failure> {
    Ok(match value {
        AttributeValue::Bool(value) => Value::Bool(value),
        AttributeValue::N(text) => {
            let number: Number = serde_json::from_str(&text)
                .map_err(|error| Failure::new(format!("the service gave no number: {error}")))?;
            Value::Number(number)
        }
        AttributeValue::S(text) => Value::String(text),
        AttributeValue::L(values) => values.into_iter().map(json_of).collect::<Result<_, _>>()?,
        AttributeValue::M(members) => {
            let members = members.into_iter().map(|(name, value)| Ok((name, json_of(value)?)));
            Value::Object(members.collect::<Result<Map<_, _>, Failure>>()?)
        }
        _ => Value::Null,
    })
}

#[async_trait]
impl Subject for Bare {
    async fn make_ready(&self) -> Result<(), Failure> {
        self.make(&self.table).await
    }

    async fn add_nodes(&self, nodes: Vec<Node>) -> Result<(), Failure> {
        let (mut items, mut entries) = (Vec::with_capacity(nodes.len()), Vec::with_capacity(nodes.len()));
        let mut sources: BTreeMap<String, (Vec<String>, JsonObject)> = BTreeMap::new();
        for node in nodes {
            let id = node.id.as_str().to_owned();
            let source = node.ref_doc_id().map(nodestore::RefDocId::into_string).unwrap_or_default();
            entries.push(item(METADATA, &id, &json!({"doc_hash": node.hash(), "ref_doc_id": source})));
            items.push(item(NODES, &id, &json!({"__data__": node.to_json(), "__type__": "1"})));
            let (ids, fields) = sources.entry(source).or_default();
            ids.push(id);
            *fields = node.metadata;
        }
        self.write(&self.table, items).await?;
        self.insert(entries).await?;
        let mut adding = Vec::new();
        for (source, (ids, fields)) in &sources {
            adding.push(self.add_source(source, ids, fields));
        }
        stream::iter(adding).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn get_nodes(&self, ids: &[NodeId]) -> Result<usize, Failure> {
        let ids: Vec<&str> = ids.iter().map(NodeId::as_str).collect();
        self.read(NODES, &ids).await
    }

    async fn append(&self, message: ChatMessage) -> Result<(), Failure> {
        self.make(&self.table).await?;
        let position = self.appended.fetch_add(1, Ordering::Relaxed);
        let text = Value::Object(message.to_json()).to_string();
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item(SESSION, &format!("{position:020}"), &json!({"message": text}))))
            .build()
            .map_err(unbuilt)?;
        // The head says where the next one goes, so that two writers never take the same place.
        let mut head = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key_of(CHAT, HEAD)))
            .update_expression("SET #next = :next")
            .expression_attribute_names("#next", "next")
            .expression_attribute_values(":next", AttributeValue::N((position + 1).to_string()));
        head = if position == 0 {
            head.condition_expression("attribute_not_exists(#next)")
        } else {
            head.condition_expression("#next = :here")
                .expression_attribute_values(":here", AttributeValue::N(position.to_string()))
        };
        let head = TransactWriteItem::builder().update(head.build().map_err(unbuilt)?).build();
        let put = TransactWriteItem::builder().put(put).build();
        self.client
            .transact_write_items()
            .transact_items(head)
            .transact_items(put)
            .send()
            .await
            .map_err(failed)?;
        Ok(())
    }

    async fn messages(&self) -> Result<usize, Failure> {
        let query = self.client.query().table_name(&self.table).consistent_read(self.consistent);
        let query = query.key_condition_expression("pk = :session");
        let query = query.expression_attribute_values(":session", AttributeValue::S(SESSION.to_owned()));
        let mut pages = query.into_paginator().send();
        let mut found = 0;
        while let Some(page) = pages.next().await {
            for mut item in page.map_err(failed)?.items.unwrap_or_default() {
                if let Some(AttributeValue::S(text)) = item.remove("message") {
                    let message: JsonObject = serde_json::from_str(&text)
                        .map_err(|error| Failure::new(format!("the service gave no JSON: {error}")))?;
                    std::hint::black_box(message);
                    found += 1;
                }
            }
        }
        Ok(found)
    }

    async fn put(&self, entries: Vec<(String, JsonObject)>) -> Result<(), Failure> {
        let items = entries.into_iter().map(|(key, value)| item(COLLECTION, &key, &Value::Object(value)));
        self.write(&self.table, items.collect()).await
    }

    async fn get(&self, keys: &[&str]) -> Result<usize, Failure> {
        self.read(COLLECTION, keys).await
    }

    async fn configure_vectors(&self) -> Result<(), Failure> {
        self.make(&self.vectors).await
    }

    async fn add_embedded(&self, nodes: Vec<Node>) -> Result<(), Failure> {
        let mut items = Vec::with_capacity(nodes.len());
        for node in nodes {
            let id = node.id.as_str();
            let partition =
                id.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
            let source = node.ref_doc_id().map(nodestore::RefDocId::into_string).unwrap_or_default();
            let fields = Value::Object(node.metadata.clone());
            let value = json!({"text": node.text_content(), SOURCE: source, "metadata": fields});
            let mut item = item(&format!("node/{}", partition % 4), id, &value);
            for (name, value) in node.to_vector_metadata(false)? {
                if let (true, Value::String(text)) = (name.starts_with("_node"), value) {
                    item.insert(name, AttributeValue::S(text));
                }
            }
            #[expect(clippy::cast_possible_truncation, reason = "the store keeps 32 bits")]
            let vector = node.embedding.iter().flatten().flat_map(|value| (*value as f32).to_le_bytes());
            item.insert("vector".to_owned(), AttributeValue::B(Blob::new(vector.collect::<Vec<u8>>())));
            items.push(item);
        }
        self.write(&self.vectors, items).await
    }

    async fn clear(&self) -> Result<(), Failure> {
        for table in self.made.lock().await.drain(..) {
            self.client.delete_table().table_name(&table).send().await.map_err(failed)?;
            let gone = self.client.wait_until_table_not_exists().table_name(&table);
            gone.wait(PATIENCE).await.map_err(|error| Failure::new(format!("the SDK: {error}")))?;
        }
        self.appended.store(0, Ordering::Relaxed);
        Ok(())
    }
}
