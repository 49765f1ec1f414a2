//! redb, bare: the tables a careful person would make of it, with the durability and the cache of the embedded store.
//!
//! Calls block their thread: that is what the engine offers, and a hop to another thread would be a cost of its own.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use nodestore::embedded::EmbeddedConfig;
use nodestore::{ChatMessage, JsonObject, Node, NodeId};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde_json::Value;
use tokio::task::block_in_place;

use crate::commands::bench::subject::Subject;
use crate::commands::bench::workload::Workload::{self, C1, C2, D1, D2, K1, K2};
use crate::failure::Failure;

pub(super) const NAME: &str = "redb";
pub(super) const WORKLOADS: &[Workload] = &[D1, D2, C1, C2, K1, K2];

type Bytes = TableDefinition<'static, &'static [u8], &'static [u8]>;

const NODES: Bytes = TableDefinition::new("nodes");
/// Id → hash and source document.
const HASHES: Bytes = TableDefinition::new("hashes");
/// Source document and id → nothing.
const SOURCES: Bytes = TableDefinition::new("sources");
/// Source document → metadata.
const SOURCE_METADATA: Bytes = TableDefinition::new("source_metadata");
const VALUES: Bytes = TableDefinition::new("values");
const MESSAGES: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("messages");

/// A file of its own.
#[derive(Debug)]
pub(super) struct Bare {
    folder: PathBuf,
    database: Database,
}

impl Bare {
    /// Makes the file in this folder, which goes with it.
    pub(super) fn open(folder: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(folder)?;
        let cache = EmbeddedConfig::default().cache_bytes;
        let path = folder.join("bare.redb");
        let database = Database::builder().set_cache_size(cache).create(path).map_err(failed)?;
        Ok(Self { folder: folder.to_owned(), database })
    }

    /// One durable transaction.
    fn write(&self, work: impl FnOnce(&WriteTransaction) -> Result<(), Failure>) -> Result<(), Failure> {
        block_in_place(|| {
            let mut transaction = self.database.begin_write().map_err(failed)?;
            transaction.set_quick_repair(true);
            work(&transaction)?;
            transaction.commit().map_err(failed)
        })
    }

    /// Reads and parses the values of some keys; answers how many there are.
    fn read<'a>(&self, table: Bytes, keys: impl Iterator<Item = &'a [u8]>) -> Result<usize, Failure> {
        block_in_place(|| {
            let transaction = self.database.begin_read().map_err(failed)?;
            let table = transaction.open_table(table).map_err(failed)?;
            let mut values = Vec::new();
            for key in keys {
                if let Some(value) = table.get(key).map_err(failed)? {
                    values.push(parse(value.value())?);
                }
            }
            Ok(values.len())
        })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // What is left is named by nobody and lies beside the store; there is nobody to tell.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn failed(error: impl Into<redb::Error>) -> Failure {
    let error = error.into();
    Failure::new(format!("redb: {error}")).with_cause(error)
}

fn parse(json: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(json).map_err(|error| Failure::new(format!("redb gave no JSON: {error}")))
}

fn json(value: &JsonObject) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value).map_err(|error| Failure::new(format!("no JSON: {error}")))
}

#[async_trait]
impl Subject for Bare {
    async fn add_nodes(&self, nodes: Vec<Node>) -> Result<(), Failure> {
        self.write(|transaction| {
            let mut texts = transaction.open_table(NODES).map_err(failed)?;
            let mut hashes = transaction.open_table(HASHES).map_err(failed)?;
            let mut sources = transaction.open_table(SOURCES).map_err(failed)?;
            let mut metadata = transaction.open_table(SOURCE_METADATA).map_err(failed)?;
            for node in nodes {
                let id = node.id.as_str().as_bytes();
                let source = node.ref_doc_id().map(nodestore::RefDocId::into_string).unwrap_or_default();
                let hash = [node.hash().as_bytes(), source.as_bytes()].concat();
                let edge = [source.as_bytes(), b"\0", id].concat();
                texts.insert(id, json(&node.to_json())?.as_slice()).map_err(failed)?;
                hashes.insert(id, hash.as_slice()).map_err(failed)?;
                sources.insert(edge.as_slice(), id).map_err(failed)?;
                metadata.insert(source.as_bytes(), json(&node.metadata)?.as_slice()).map_err(failed)?;
            }
            Ok(())
        })
    }

    async fn get_nodes(&self, ids: &[NodeId]) -> Result<usize, Failure> {
        self.read(NODES, ids.iter().map(|id| id.as_str().as_bytes()))
    }

    async fn append(&self, message: ChatMessage) -> Result<(), Failure> {
        self.write(|transaction| {
            let mut table = transaction.open_table(MESSAGES).map_err(failed)?;
            let next = table.last().map_err(failed)?.map_or(0, |(place, _)| place.value() + 1);
            table.insert(next, json(&message.to_json())?.as_slice()).map_err(failed)?;
            Ok(())
        })
    }

    async fn messages(&self) -> Result<usize, Failure> {
        block_in_place(|| {
            let transaction = self.database.begin_read().map_err(failed)?;
            let table = transaction.open_table(MESSAGES).map_err(failed)?;
            let rows = table.iter().map_err(failed)?;
            let read = rows.map(|row| parse(row.map_err(failed)?.1.value()));
            Ok(read.collect::<Result<Vec<_>, Failure>>()?.len())
        })
    }

    async fn put(&self, entries: Vec<(String, JsonObject)>) -> Result<(), Failure> {
        self.write(|transaction| {
            let mut table = transaction.open_table(VALUES).map_err(failed)?;
            for (key, value) in &entries {
                table.insert(key.as_bytes(), json(value)?.as_slice()).map_err(failed)?;
            }
            Ok(())
        })
    }

    async fn get(&self, keys: &[&str]) -> Result<usize, Failure> {
        self.read(VALUES, keys.iter().map(|key| key.as_bytes()))
    }

    async fn clear(&self) -> Result<(), Failure> {
        self.write(|transaction| {
            for table in [NODES, HASHES, SOURCES, SOURCE_METADATA, VALUES] {
                transaction.delete_table(table).map_err(failed)?;
            }
            transaction.delete_table(MESSAGES).map_err(failed)?;
            Ok(())
        })
    }
}
