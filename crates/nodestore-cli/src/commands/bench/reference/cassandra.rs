//! cdrs-tokio, bare: the statements a careful person would run on tables like the store's, prepared, as many at once,
//! at the store's levels of consistency, through a session made as the store makes its own.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use nodestore::cassandra::cdrs_tokio::consistency::Consistency;
use nodestore::cassandra::cdrs_tokio::error::Error;
use nodestore::cassandra::cdrs_tokio::frame::Envelope;
use nodestore::cassandra::cdrs_tokio::frame::message_batch::BatchType;
use nodestore::cassandra::cdrs_tokio::frame::message_response::ResponseBody;
use nodestore::cassandra::cdrs_tokio::frame::message_result::ResResultBody;
use nodestore::cassandra::cdrs_tokio::query::{BatchQueryBuilder, PreparedQuery, QueryValues};
use nodestore::cassandra::cdrs_tokio::statement::StatementParamsBuilder;
use nodestore::cassandra::cdrs_tokio::types::CBytes;
use nodestore::cassandra::cdrs_tokio::types::value::{Bytes, Value as Bound};
use nodestore::cassandra::{CassandraBackend, CassandraConfig, CassandraConsistency, CassandraSession};
use nodestore::filter::{Condition, Scalar};
use nodestore::{Backend as _, ChatMessage, Filter, JsonObject, Node, NodeId, QueryKind, VectorQuery};
use serde_json::{Value, json};

use crate::commands::bench::corpus::DIMENSIONS;
use crate::commands::bench::subject::{COLLECTION, SESSION, Subject, not_offered};
use crate::commands::bench::workload::Workload::{self, C1, C2, D1, D2, K1, K2, V1, V2, V3};
use crate::failure::Failure;

pub(super) const NAME: &str = "cdrs-tokio";
pub(super) const WORKLOADS: &[Workload] = &[D1, D2, C1, C2, V1, V2, V3, K1, K2];

const NODES: &str = "docstore/data";
const METADATA: &str = "docstore/metadata";
const SOURCES: &str = "docstore/ref_doc_info";

const VALUES: &str =
    "(collection text, bucket int, key text, value text, PRIMARY KEY ((collection, bucket), key))";
const MESSAGES: &str = "(session text, position bigint, message text, next bigint static, \
                        PRIMARY KEY (session, position))";
/// Partitions of a collection.
const BUCKETS: u32 = 32;
/// Rows of one request.
const WRITE_ROWS: usize = 64;
const READ_ROWS: usize = 32;
/// Rows of a page of messages.
const PAGE: i32 = 1_000;
/// Requests at the same time.
const WRITES: usize = 64;
const READS: usize = 32;
const TRANSACTIONS: usize = 16;

type Row = Vec<CBytes>;

/// Tables that begin with a name of their own.
#[derive(Debug)]
pub(super) struct Bare {
    store: CassandraBackend,
    name: String,
    read: Consistency,
    write: Consistency,
    serial: Consistency,
    statements: Mutex<HashMap<String, Arc<PreparedQuery>>>,
    /// Messages appended.
    appended: AtomicI64,
}

impl Bare {
    /// Tables that begin with this name, and a session made as the store makes its own.
    pub(super) async fn connect(url: &str, name: &str) -> Result<Self, Failure> {
        let config: CassandraConfig = url.parse()?;
        let serial = if config.local_serial { Consistency::LocalSerial } else { Consistency::Serial };
        let (read, write) = (level(config.read_consistency), level(config.write_consistency));
        let store = CassandraBackend::connect(config.with_namespace(name)).await?;
        Ok(Self {
            store,
            name: name.to_owned(),
            read,
            write,
            serial,
            statements: Mutex::default(),
            appended: AtomicI64::new(0),
        })
    }

    /// The full name of a table.
    fn table(&self, table: &str) -> String {
        let keyspace = self.store.config().keyspace.as_deref().unwrap_or("nodestore");
        format!("\"{keyspace}\".{}_{table}", self.name)
    }

    /// Runs a statement as it is, at the driver's own level.
    async fn ask(&self, statement: &str) -> Result<Vec<Row>, Failure> {
        let answer = match self.store.session()? {
            CassandraSession::Tcp(session) => session.query(statement).await,
            CassandraSession::Tls(session) => session.query(statement).await,
        };
        rows(&answer.map_err(failed)?)
    }

    /// Changes the schema, and waits until all nodes know it.
    async fn change(&self, statement: &str) -> Result<(), Failure> {
        self.ask(statement).await?;
        loop {
            let mut versions = self.ask("SELECT schema_version FROM system.local").await?;
            versions.extend(self.ask("SELECT schema_version FROM system.peers").await?);
            versions.dedup();
            if versions.len() <= 1 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn prepared(&self, statement: &str) -> Result<Arc<PreparedQuery>, Failure> {
        let known = || self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known().get(statement) {
            return Ok(Arc::clone(known));
        }
        let prepared = match self.store.session()? {
            CassandraSession::Tcp(session) => session.prepare(statement).await,
            CassandraSession::Tls(session) => session.prepare(statement).await,
        };
        let prepared = Arc::new(prepared.map_err(failed)?);
        known().insert(statement.to_owned(), Arc::clone(&prepared));
        Ok(prepared)
    }

    /// Runs a prepared statement; the values of the partition's key tell the driver where.
    async fn run(
        &self,
        statement: &str,
        values: Vec<Bound>,
        parameters: StatementParamsBuilder,
    ) -> Result<Vec<Row>, Failure> {
        let prepared = self.prepared(statement).await?;
        let parameters = parameters.with_values(QueryValues::SimpleValues(values));
        let parameters = parameters.with_serial_consistency(self.serial).build();
        let answer = match self.store.session()? {
            CassandraSession::Tcp(session) => session.exec_with_params(&prepared, &parameters).await,
            CassandraSession::Tls(session) => session.exec_with_params(&prepared, &parameters).await,
        };
        rows(&answer.map_err(failed)?)
    }

    fn reading(&self) -> StatementParamsBuilder {
        StatementParamsBuilder::new().with_consistency(self.read).idempotent(true)
    }

    /// Makes writes to one partition in one request.
    async fn batch(&self, writes: Vec<(&str, Vec<Bound>)>) -> Result<Vec<Row>, Failure> {
        let mut batch = BatchQueryBuilder::new()
            .with_batch_type(BatchType::Unlogged)
            .with_consistency(self.write)
            .with_serial_consistency(self.serial);
        for (statement, values) in writes {
            let prepared = self.prepared(statement).await?;
            batch = batch.add_query_prepared(&prepared, QueryValues::SimpleValues(values));
        }
        let batch = batch.build().map_err(failed)?;
        let answer = match self.store.session()? {
            CassandraSession::Tcp(session) => session.batch(batch).await,
            CassandraSession::Tls(session) => session.batch(batch).await,
        };
        rows(&answer.map_err(failed)?)
    }

    /// Writes texts to a collection, those of a bucket in one request. With `IF NOT EXISTS` nobody's is lost unseen;
    /// answers the requests that met others.
    async fn write(
        &self,
        collection: &str,
        entries: Vec<(String, String)>,
        condition: &str,
    ) -> Result<Vec<Vec<(String, String)>>, Failure> {
        let table = self.table("values");
        let insert =
            format!("INSERT INTO {table} (collection, bucket, key, value) VALUES (?, ?, ?, ?){condition}");
        let mut groups: BTreeMap<i32, Vec<(String, String)>> = BTreeMap::new();
        for entry in entries {
            groups.entry(bucket(&entry.0)).or_default().push(entry);
        }
        let mut writes = Vec::with_capacity(groups.len());
        for (bucket, entries) in groups {
            let mut entries = entries.into_iter().peekable();
            while entries.peek().is_some() {
                let run = entries.by_ref().take(WRITE_ROWS).collect();
                writes.push(self.write_run(&insert, collection, bucket, run, !condition.is_empty()));
            }
        }
        let at_once = if condition.is_empty() { WRITES } else { TRANSACTIONS };
        let refused = stream::iter(writes).buffer_unordered(at_once);
        refused.try_filter_map(|refused| async { Ok(refused) }).try_collect().await
    }

    /// Answers the entries if the condition did not hold.
    async fn write_run(
        &self,
        insert: &str,
        collection: &str,
        bucket: i32,
        entries: Vec<(String, String)>,
        conditional: bool,
    ) -> Result<Option<Vec<(String, String)>>, Failure> {
        let again = if conditional { entries.clone() } else { Vec::new() };
        let values =
            |(key, value): (String, String)| vec![collection.into(), bucket.into(), key.into(), value.into()];
        let mut writes: Vec<Vec<Bound>> = entries.into_iter().map(values).collect();
        let answer = match writes.pop() {
            Some(values) if writes.is_empty() => {
                let writing = StatementParamsBuilder::new().with_consistency(self.write);
                self.run(insert, values, writing.idempotent(!conditional)).await?
            }
            last => {
                self.batch(writes.into_iter().chain(last).map(|values| (insert, values)).collect()).await?
            }
        };
        Ok((!applied(&answer)).then_some(again))
    }

    /// Reads and parses the values of keys, those of a bucket in one request; answers how many there are.
    async fn read(&self, collection: &str, keys: impl Iterator<Item = &str>) -> Result<usize, Failure> {
        let mut groups: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        for key in keys {
            groups.entry(bucket(key)).or_default().push(key.to_owned());
        }
        let mut reads = Vec::with_capacity(groups.len());
        for (bucket, keys) in &groups {
            for keys in keys.chunks(READ_ROWS) {
                reads.push(self.read_run(collection, *bucket, keys));
            }
        }
        let found: Vec<HashMap<String, JsonObject>> =
            stream::iter(reads).buffer_unordered(READS).try_collect().await?;
        Ok(found.iter().map(HashMap::len).sum())
    }

    async fn read_run(
        &self,
        collection: &str,
        bucket: i32,
        keys: &[String],
    ) -> Result<HashMap<String, JsonObject>, Failure> {
        let (which, keys): (&str, Bound) = match keys {
            [key] => ("= ?", key.as_str().into()),
            keys => ("IN ?", keys.to_vec().into()),
        };
        let table = self.table("values");
        let read =
            format!("SELECT key, value FROM {table} WHERE collection = ? AND bucket = ? AND key {which}");
        let rows = self.run(&read, vec![collection.into(), bucket.into(), keys], self.reading()).await?;
        rows.iter().map(|row| Ok((text(row, 0)?.to_owned(), parse(text(row, 1)?)?))).collect()
    }

    /// Puts ids behind those that a source has already.
    async fn extend(&self, source: &str, ids: &[String]) -> Result<(), Failure> {
        let table = self.table("values");
        let key = || -> Vec<Bound> { vec![SOURCES.into(), bucket(source).into(), source.into()] };
        let read = format!("SELECT value FROM {table} WHERE collection = ? AND bucket = ? AND key = ?");
        let change = format!(
            "UPDATE {table} SET value = ? WHERE collection = ? AND bucket = ? AND key = ? IF value = ?"
        );
        loop {
            let found = self.run(&read, key(), self.reading()).await?;
            let old = found.first().map_or(Ok("{}"), |row| text(row, 0))?;
            let mut info: Value = parse(old)?;
            if let Some(known) = info.get_mut("node_ids").and_then(Value::as_array_mut) {
                known.extend(ids.iter().map(|id| json!(id)));
            }
            let mut values: Vec<Bound> = vec![info.to_string().into()];
            values.extend(key());
            values.push(old.into());
            let writing = StatementParamsBuilder::new().with_consistency(self.write);
            if applied(&self.run(&change, values, writing).await?) {
                return Ok(());
            }
        }
    }
}

fn level(level: CassandraConsistency) -> Consistency {
    match level {
        CassandraConsistency::One => Consistency::One,
        CassandraConsistency::LocalOne => Consistency::LocalOne,
        CassandraConsistency::Quorum => Consistency::Quorum,
        CassandraConsistency::EachQuorum => Consistency::EachQuorum,
        CassandraConsistency::All => Consistency::All,
        _ => Consistency::LocalQuorum,
    }
}

fn failed(error: Error) -> Failure {
    Failure::new(format!("cdrs-tokio: {error}")).with_cause(error)
}

fn rows(answer: &Envelope) -> Result<Vec<Row>, Failure> {
    match answer.response_body().map_err(failed)? {
        ResponseBody::Result(ResResultBody::Rows(rows)) => Ok(rows.rows_content),
        _ => Ok(Vec::new()),
    }
}

/// Whether a condition held; the first column of the answer says so.
fn applied(answer: &[Row]) -> bool {
    let said = answer.first().and_then(|row| row.first()).and_then(CBytes::as_slice);
    said.is_none_or(|said| said != [0])
}

fn text(row: &Row, column: usize) -> Result<&str, Failure> {
    let bytes = row.get(column).and_then(CBytes::as_slice).unwrap_or_default();
    std::str::from_utf8(bytes).map_err(|error| Failure::new(format!("the server gave no text: {error}")))
}

fn parse<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, Failure> {
    serde_json::from_str(json).map_err(|error| Failure::new(format!("the server gave no JSON: {error}")))
}

fn bucket(key: &str) -> i32 {
    let hash =
        key.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    i32::try_from(hash % BUCKETS).unwrap_or_default()
}

/// As the index has them: big end first, without their count.
fn vector(values: impl Iterator<Item = f32>) -> Bound {
    Bound::new(Bytes::new(values.flat_map(f32::to_be_bytes).collect()))
}

#[async_trait]
impl Subject for Bare {
    async fn make_ready(&self) -> Result<(), Failure> {
        for (table, columns) in [("values", VALUES), ("messages", MESSAGES)] {
            self.change(&format!("CREATE TABLE IF NOT EXISTS {} {columns}", self.table(table))).await?;
        }
        Ok(())
    }

    async fn add_nodes(&self, nodes: Vec<Node>) -> Result<(), Failure> {
        let (mut data, mut metadata) = (Vec::with_capacity(nodes.len()), Vec::with_capacity(nodes.len()));
        let mut sources: BTreeMap<String, (Vec<String>, JsonObject)> = BTreeMap::new();
        for node in nodes {
            let id = node.id.as_str().to_owned();
            let source = node.ref_doc_id().map(nodestore::RefDocId::into_string).unwrap_or_default();
            metadata.push((id.clone(), json!({"doc_hash": node.hash(), "ref_doc_id": source}).to_string()));
            data.push((id.clone(), json!({"__data__": node.to_json(), "__type__": "1"}).to_string()));
            let (ids, fields) = sources.entry(source).or_default();
            ids.push(id);
            *fields = node.metadata;
        }
        let info = |(source, (ids, fields)): (&String, &(Vec<String>, JsonObject))| {
            (source.clone(), json!({"node_ids": ids, "metadata": fields}).to_string())
        };
        let infos = sources.iter().map(info).collect();
        self.write(NODES, data, "").await?;
        if !self.write(METADATA, metadata, " IF NOT EXISTS").await?.is_empty() {
            return Err(Failure::new("some of the nodes were there already"));
        }
        for (source, _) in self.write(SOURCES, infos, " IF NOT EXISTS").await?.into_iter().flatten() {
            if let Some((ids, _)) = sources.get(&source) {
                self.extend(&source, ids).await?;
            }
        }
        Ok(())
    }

    async fn get_nodes(&self, ids: &[NodeId]) -> Result<usize, Failure> {
        self.read(NODES, ids.iter().map(NodeId::as_str)).await
    }

    async fn append(&self, message: ChatMessage) -> Result<(), Failure> {
        let table = self.table("messages");
        let position = self.appended.fetch_add(1, Ordering::Relaxed);
        // The head says where the next one goes, so that two writers never take the same place.
        let head = format!("UPDATE {table} SET next = ? WHERE session = ? IF next = ?");
        let here: Bound = (position > 0).then_some(position).into();
        let insert = format!("INSERT INTO {table} (session, position, message) VALUES (?, ?, ?)");
        let message = Value::Object(message.to_json()).to_string();
        let writes: Vec<(&str, Vec<Bound>)> = vec![
            (&head, vec![(position + 1).into(), SESSION.into(), here]),
            (&insert, vec![SESSION.into(), position.into(), message.into()]),
        ];
        if applied(&self.batch(writes).await?) {
            Ok(())
        } else {
            Err(Failure::new("the history was changed by another"))
        }
    }

    async fn messages(&self) -> Result<usize, Failure> {
        let table = self.table("messages");
        let read = format!("SELECT message FROM {table} WHERE session = ? ORDER BY position");
        // The benchmark's history goes into one page.
        let rows = self.run(&read, vec![SESSION.into()], self.reading().with_page_size(PAGE)).await?;
        let messages =
            rows.iter().map(|row| parse(text(row, 0)?)).collect::<Result<Vec<JsonObject>, Failure>>()?;
        Ok(messages.len())
    }

    async fn put(&self, entries: Vec<(String, JsonObject)>) -> Result<(), Failure> {
        let entries = entries.into_iter().map(|(key, value)| (key, Value::Object(value).to_string()));
        self.write(COLLECTION, entries.collect(), "").await.map(drop)
    }

    async fn get(&self, keys: &[&str]) -> Result<usize, Failure> {
        self.read(COLLECTION, keys.iter().copied()).await
    }

    async fn configure_vectors(&self) -> Result<(), Failure> {
        let table = self.table("vectors");
        self.change(&format!(
            "CREATE TABLE {table} (partition_id text, row_id text, attributes_blob text, body_blob text, \
             metadata_s map<text, text>, vector vector<float, {DIMENSIONS}>, PRIMARY KEY (partition_id, row_id))"
        ))
        .await?;
        let options = " WITH OPTIONS = {'similarity_function': 'cosine'}";
        for (target, options) in [("vector", options), ("ENTRIES(metadata_s)", ""), ("row_id", "")] {
            let index = "USING 'StorageAttachedIndex'";
            self.change(&format!("CREATE CUSTOM INDEX ON {table} ({target}) {index}{options}")).await?;
        }
        Ok(())
    }

    async fn add_embedded(&self, nodes: Vec<Node>) -> Result<(), Failure> {
        let insert = format!(
            "INSERT INTO {} (partition_id, row_id, attributes_blob, body_blob, metadata_s, vector) VALUES (?, ?, ?, ?, \
             ?, ?)",
            self.table("vectors")
        );
        let mut writes = Vec::with_capacity(nodes.len());
        for node in nodes {
            let source = node.ref_doc_id().map(nodestore::RefDocId::into_string).unwrap_or_default();
            let mut entries = node.to_vector_metadata(false)?;
            let content = entries.shift_remove("_node_content").unwrap_or_default();
            let as_text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let entries: HashMap<String, String> =
                entries.into_iter().map(|(name, value)| (name, as_text(value))).collect();
            #[expect(clippy::cast_possible_truncation, reason = "the index keeps 32 bits")]
            let vector = vector(node.embedding.iter().flatten().map(|value| *value as f32));
            let values = vec![
                source.into(),
                node.id.as_str().into(),
                json!({"_node_content": content}).to_string().into(),
                node.text_content().into(),
                entries.into(),
                vector,
            ];
            let writing = StatementParamsBuilder::new().with_consistency(self.write).idempotent(true);
            writes.push(self.run(&insert, values, writing));
        }
        stream::iter(writes).buffer_unordered(WRITES).try_for_each(|_| async { Ok(()) }).await
    }

    async fn search(&self, query: &VectorQuery) -> Result<Vec<String>, Failure> {
        let QueryKind::Dense { embedding } = &query.kind else { return Err(not_offered()) };
        let wanted = || vector(embedding.iter().copied());
        let top = i32::try_from(query.top_k).unwrap_or(i32::MAX);
        let mut values = vec![wanted()];
        let entry = match &query.selector.filter {
            None => "",
            Some(Filter::Field { key, condition: Condition::Eq(Scalar::Text(value)) }) => {
                values.extend([key.as_str().into(), value.as_str().into()]);
                " WHERE metadata_s[?] = ?"
            }
            Some(_) => return Err(not_offered()),
        };
        values.extend([wanted(), top.into()]);
        let search = format!(
            "SELECT row_id, body_blob, attributes_blob, similarity_cosine(vector, ?) FROM {}{entry} ORDER BY vector ANN \
             OF ? LIMIT ?",
            self.table("vectors")
        );
        // The server takes no other level for this.
        let reading = self.reading().with_consistency(Consistency::LocalOne);
        let (mut ids, mut nodes) = (Vec::with_capacity(query.top_k), Vec::with_capacity(query.top_k));
        for row in self.run(&search, values, reading).await? {
            ids.push(text(&row, 0)?.to_owned());
            let attributes: HashMap<String, String> = parse(text(&row, 2)?)?;
            let content = attributes.get("_node_content").map_or("{}", String::as_str);
            nodes.push((parse::<JsonObject>(content)?, text(&row, 1)?.to_owned()));
        }
        drop(nodes);
        Ok(ids)
    }

    async fn clear(&self) -> Result<(), Failure> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.appended.store(0, Ordering::Relaxed);
        Ok(self.store.drop_namespace().await?)
    }
}
