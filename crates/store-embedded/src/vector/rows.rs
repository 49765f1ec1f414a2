//! Nodes as rows: what one write of the vector store changes, in one transaction.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;

use serde_json::Value;
use store_core::kit::{check, field_values, vector_check};
use store_core::{Embedding, Error, JsonObject, Node, RefDocId, Result, VectorConfig};
use uuid::Uuid;

use super::filter::{Index, row_number};
use super::metadata_keys;
use crate::codec::{Span, from_json, join, split, take_u64, text, to_json};
use crate::engine::{Table, WriteTable, WriteTx};
use crate::packed::{from_packed, pack};
use crate::schema::{MAX_KEY_BYTES, MAX_VALUE_BYTES, Tables};

/// Rows of the table `vector_meta`.
const CONFIG: &[u8] = b"config";
const INCARNATION: &[u8] = b"incarnation";
const VERSION: &[u8] = b"version";
const NEXT_ROW: &[u8] = b"next_row";
/// The word log holds everything after this version.
const LOG_START: &[u8] = b"log_start";

/// A state of one vector store: which life of it (a dropped one begins anew), and how many writes it saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) incarnation: Uuid,
    pub(super) number: u64,
}

/// The stored configuration.
pub(super) fn config(meta: &dyn Table) -> Result<Option<VectorConfig>> {
    meta.get(CONFIG)?.map(|config| from_json(config.value())).transpose()
}

/// The stored configuration; `Config` when there is none.
pub(super) fn configured(meta: &dyn Table) -> Result<VectorConfig> {
    config(meta)?.ok_or_else(vector_check::not_configured)
}

/// The stored version.
pub(super) fn version(meta: &dyn Table) -> Result<Version> {
    let incarnation = meta.get(INCARNATION)?.map(|id| Uuid::from_slice(id.value())).transpose();
    let incarnation = incarnation
        .map_err(|error| Error::corrupt("the vector store's own id is damaged").with_source(error))?
        .unwrap_or_default();
    let number = number(meta, VERSION)?;
    // No store gets so far; what comes after it could not be told.
    if number == u64::MAX {
        return Err(Error::corrupt("the vector store's version is damaged"));
    }
    Ok(Version { incarnation, number })
}

/// The version after which the word log begins.
pub(super) fn log_start(meta: &dyn Table) -> Result<u64> {
    number(meta, LOG_START)
}

fn number(meta: &dyn Table, name: &[u8]) -> Result<u64> {
    meta.get(name)?.map_or(Ok(0), |number| Ok(take_u64(number.value())?.0))
}

/// Stores the configuration; what is stored already must agree.
pub(super) fn configure(tx: &WriteTx, tables: &Tables, config: &VectorConfig) -> Result<()> {
    let mut meta = tx.table(&tables.vector_meta)?;
    match self::config(&meta)? {
        Some(stored) => {
            vector_check::same_config(&stored, config)?;
            if stored == *config {
                return Ok(());
            }
        }
        None => {
            meta.insert(INCARNATION, Uuid::new_v4().as_bytes())?;
        }
    }
    meta.insert(CONFIG, &to_json(config)?)?;
    Ok(())
}

/// A node made ready to be written: everything that takes time is done before the transaction.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) id: String,
    ref_doc: Option<String>,
    metadata: JsonObject,
    /// Packed JSON.
    stored: Vec<u8>,
    embedding: Option<Embedding>,
}

impl Prepared {
    pub(super) fn new(mut node: Node, embedding: Option<Embedding>) -> Result<Self> {
        node.embedding = None;
        let id = node.id.as_str();
        let ref_doc = node.ref_doc_id().map(RefDocId::into_string);
        check::within("node id", id, id.len(), MAX_KEY_BYTES)?;
        if let Some(ref_doc) = &ref_doc {
            check::non_empty("id of the source document", ref_doc)
                .map_err(|error| error.with_key(id).with_failed([id]))?;
            check::within("id of the source document", id, ref_doc.len(), MAX_KEY_BYTES)?;
        }
        let json = to_json(&node)?;
        check::within("node", id, json.len(), MAX_VALUE_BYTES)?;
        Ok(Self {
            id: node.id.into_string(),
            ref_doc,
            metadata: node.metadata,
            stored: pack(json),
            embedding,
        })
    }
}

/// What a write means for the vectors in memory.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) version: Version,
    pub(super) set: Vec<(u32, Embedding)>,
    pub(super) unset: Vec<u32>,
}

/// The tables of one write, and what it counts up.
pub(super) struct Writer<'tx> {
    meta: WriteTable<'tx>,
    ids: WriteTable<'tx>,
    rows: WriteTable<'tx>,
    free: WriteTable<'tx>,
    nodes: WriteTable<'tx>,
    vectors: WriteTable<'tx>,
    index: WriteTable<'tx>,
    fields: WriteTable<'tx>,
    log: WriteTable<'tx>,
    next_row: u32,
    field_counts: BTreeMap<(String, u8), i64>,
    change: Change,
}

impl<'tx> Writer<'tx> {
    /// Opens the tables; `Config` when the store is not configured.
    pub(super) fn open(tx: &'tx WriteTx, tables: &Tables) -> Result<(Self, VectorConfig)> {
        let meta = tx.table(&tables.vector_meta)?;
        let config = configured(&meta)?;
        let mut version = version(&meta)?;
        version.number += 1;
        let next_row = u32::try_from(number(&meta, NEXT_ROW)?).unwrap_or(u32::MAX);
        let writer = Self {
            meta,
            ids: tx.table(&tables.vector_ids)?,
            rows: tx.table(&tables.vector_rows)?,
            free: tx.table(&tables.vector_free)?,
            nodes: tx.table(&tables.vector_nodes)?,
            vectors: tx.table(&tables.vectors)?,
            index: tx.table(&tables.vector_index)?,
            fields: tx.table(&tables.vector_fields)?,
            log: tx.table(&tables.word_log)?,
            next_row,
            field_counts: BTreeMap::new(),
            change: Change { version, set: Vec::new(), unset: Vec::new() },
        };
        Ok((writer, config))
    }

    pub(super) fn index(&self) -> Index<'_> {
        Index::new(&self.index, &self.ids, &self.rows, &self.nodes)
    }

    /// How many entries the word log holds.
    pub(super) fn log_len(&self) -> Result<u64> {
        self.log.len()
    }

    /// Which of these ids exist.
    pub(super) fn existing<'a>(&self, ids: impl Iterator<Item = &'a str>) -> Result<HashSet<&'a str>> {
        let mut existing = HashSet::new();
        for id in ids {
            if self.ids.get(id.as_bytes())?.is_some() {
                existing.insert(id);
            }
        }
        Ok(existing)
    }

    /// Writes a node, in place of the one of its id.
    pub(super) fn put(&mut self, node: &Prepared) -> Result<()> {
        let stored = self.ids.get(node.id.as_bytes())?.map(|row| row_number(row.value())).transpose()?;
        let (row, old) = match stored {
            Some(row) => (row, Some(self.described(row)?)),
            None => (self.take_row()?, None),
        };
        let number = row.to_be_bytes();
        if old.is_none() {
            self.ids.insert(node.id.as_bytes(), &number)?;
            self.rows.insert(&number, node.id.as_bytes())?;
        }
        self.nodes.insert(&number, &node.stored)?;
        self.log(row)?;
        match &node.embedding {
            Some(embedding) => {
                self.vectors.insert(&number, &vector_bytes(embedding))?;
                self.change.set.push((row, embedding.clone()));
            }
            None if old.is_some() => {
                self.vectors.remove(&number)?;
                self.change.unset.push(row);
            }
            None => {}
        }
        let old = old.as_ref().map(|(metadata, ref_doc)| (metadata, ref_doc.as_deref()));
        self.describe(row, old, Some((&node.metadata, node.ref_doc.as_deref())))
    }

    /// Removes a node.
    pub(super) fn remove(&mut self, row: u32) -> Result<()> {
        let number = row.to_be_bytes();
        let Some(id) = self.rows.get(&number)?.map(|id| id.value().to_vec()) else { return Ok(()) };
        let (metadata, ref_doc) = self.described(row)?;
        self.describe(row, Some((&metadata, ref_doc.as_deref())), None)?;
        self.rows.remove(&number)?;
        self.ids.remove(&id)?;
        self.nodes.remove(&number)?;
        self.free.insert(&number, &[])?;
        self.log(row)?;
        if self.vectors.remove(&number)?.is_some() {
            self.change.unset.push(row);
        }
        Ok(())
    }

    /// Changes a node's metadata.
    pub(super) fn patch(&mut self, row: u32, patch: &store_core::MetadataPatch) -> Result<()> {
        let number = row.to_be_bytes();
        let Some(mut json) =
            self.nodes.get(&number)?.map(|node| from_packed::<JsonObject>(node.value())).transpose()?
        else {
            return Ok(());
        };
        let (old, ref_doc) = self.described(row)?;
        let mut new = old.clone();
        patch.apply(&mut new);
        if let Some(Value::Object(data)) = json.get_mut("__data__") {
            data.insert("metadata".into(), Value::Object(new.clone()));
        }
        let json = to_json(&json)?;
        if json.len() > MAX_VALUE_BYTES {
            let id = self.rows.get(&number)?.map(|id| text(id.value()).map(str::to_owned)).transpose()?;
            check::within("node", id.as_deref().unwrap_or_default(), json.len(), MAX_VALUE_BYTES)?;
        }
        self.nodes.insert(&number, &pack(json))?;
        self.describe(row, Some((&old, ref_doc.as_deref())), Some((&new, ref_doc.as_deref())))
    }

    /// Removes everything but the configuration.
    pub(super) fn clear(&mut self) -> Result<()> {
        for row in self.index().everything()? {
            self.log(row)?;
            self.change.unset.push(row);
        }
        let tables = [&mut self.ids, &mut self.rows, &mut self.free, &mut self.nodes, &mut self.vectors];
        for table in tables.into_iter().chain([&mut self.index, &mut self.fields]) {
            table.remove_span(&Span::all())?;
        }
        self.next_row = 0;
        Ok(())
    }

    /// Writes what was counted up; answers what memory must be told.
    pub(super) fn finish(mut self, words: Option<Version>) -> Result<Change> {
        for ((name, kind), more) in &self.field_counts {
            let key = join(name, &[*kind]);
            let before =
                self.fields.get(&key)?.map_or(Ok(0), |count| Ok::<_, Error>(take_u64(count.value())?.0))?;
            match before.saturating_add_signed(*more) {
                0 => self.fields.remove(&key)?,
                count => self.fields.insert(&key, &count.to_be_bytes())?,
            };
        }
        self.meta.insert(VERSION, &self.change.version.number.to_be_bytes())?;
        self.meta.insert(NEXT_ROW, &u64::from(self.next_row).to_be_bytes())?;
        // What the word index holds durably needs no log any more.
        let taken = words.filter(|words| words.incarnation == self.change.version.incarnation);
        let taken = taken.map_or(0, |words| words.number).min(self.change.version.number - 1);
        if taken > log_start(&self.meta)? {
            let span = Span { high: Bound::Excluded((taken + 1).to_be_bytes().to_vec()), ..Span::all() };
            self.log.remove_span(&span)?;
            self.meta.insert(LOG_START, &taken.to_be_bytes())?;
        }
        Ok(self.change)
    }

    fn take_row(&mut self) -> Result<u32> {
        let free = self.free.range(&Span::all())?.next().transpose()?.map(|(row, _)| row_number(row.value()));
        if let Some(row) = free.transpose()? {
            self.free.remove(&row.to_be_bytes())?;
            return Ok(row);
        }
        let row = self.next_row;
        self.next_row = row.checked_add(1).ok_or_else(|| {
            let message = "a vector store holds at most 4,294,967,294 nodes; use another namespace";
            Error::new(store_core::ErrorKind::LimitExceeded, message)
        })?;
        Ok(row)
    }

    fn log(&mut self, row: u32) -> Result<()> {
        let mut key = self.change.version.number.to_be_bytes().to_vec();
        key.extend_from_slice(&row.to_be_bytes());
        self.log.insert(&key, &[])?;
        Ok(())
    }

    /// A stored node's metadata and ref doc.
    fn described(&self, row: u32) -> Result<(JsonObject, Option<String>)> {
        let Some(stored) = self.nodes.get(&row.to_be_bytes())? else { return Ok((JsonObject::new(), None)) };
        let node: Node = from_packed(stored.value())?;
        let ref_doc = node.ref_doc_id().map(RefDocId::into_string);
        Ok((node.metadata, ref_doc))
    }

    /// Brings the metadata index and the field counts from what a row said to what it says.
    fn describe(
        &mut self,
        row: u32,
        old: Option<(&JsonObject, Option<&str>)>,
        new: Option<(&JsonObject, Option<&str>)>,
    ) -> Result<()> {
        let keys = |said: Option<(&JsonObject, Option<&str>)>| {
            said.map_or_else(BTreeSet::new, |(metadata, ref_doc)| metadata_keys::keys(row, metadata, ref_doc))
        };
        let (before, after) = (keys(old), keys(new));
        for key in before.difference(&after) {
            self.index.remove(key)?;
        }
        for key in after.difference(&before) {
            self.index.insert(key, &[])?;
        }
        for (said, step) in [(old, -1), (new, 1)] {
            for (name, value) in said.into_iter().flat_map(|(metadata, _)| metadata) {
                if let Some(kind) = field_values::kind_of(value) {
                    *self.field_counts.entry((name.clone(), super::fields::kind_byte(kind))).or_default() +=
                        step;
                }
            }
        }
        self.field_counts.retain(|_, count| *count != 0);
        Ok(())
    }
}

/// How many nodes have each top-level field, by name and kind.
pub(super) fn field_kinds(fields: &dyn Table) -> Result<Vec<(String, u8)>> {
    let mut kinds = Vec::new();
    for row in fields.range(&Span::all())? {
        let (key, _) = row?;
        let (name, kind) = split(key.value())?;
        kinds.extend(kind.first().map(|kind| (name.clone().into_owned(), *kind)));
    }
    Ok(kinds)
}

fn vector_bytes(embedding: &[f32]) -> Vec<u8> {
    embedding.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A stored embedding.
pub(super) fn read_vector(bytes: &[u8], into: &mut Vec<f32>) {
    into.clear();
    into.extend(bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap_or_default())));
}
