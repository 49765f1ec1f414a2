//! Index structs: one row each, id → `{"__type__", "__data__"}` as JSON.

use std::sync::Arc;

use async_trait::async_trait;
use store_core::kit::check;
use store_core::{BoxStream, IndexStore, IndexStruct, Result};

use crate::codec::{self, Span};
use crate::engine::Table as _;
use crate::error::at;
use crate::schema::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use crate::space::{Chunk, Handle};

/// The index role.
#[derive(Debug)]
pub(crate) struct EmbeddedIndexStore {
    handle: Arc<Handle>,
}

impl EmbeddedIndexStore {
    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self { handle }
    }
}

fn decode(json: &[u8]) -> Result<IndexStruct> {
    IndexStruct::from_json(codec::object(json)?)
}

fn encode(index: &IndexStruct) -> Result<Vec<u8>> {
    let id = index.index_id();
    check::non_empty("index id", id)?;
    check::within("index id", id, id.len(), MAX_KEY_BYTES)?;
    let json = codec::to_json(&index.to_json())?;
    check::within("index struct", id, json.len(), MAX_VALUE_BYTES)?;
    Ok(json)
}

#[async_trait]
impl IndexStore for EmbeddedIndexStore {
    async fn put(&self, index: IndexStruct) -> Result<()> {
        let json = encode(&index).map_err(at("index.put"))?;
        let id = index.index_id().to_owned();
        let write = self.handle.write(move |tx, tables| {
            tx.table(&tables.indexes)?.insert(id.as_bytes(), &json)?;
            Ok(())
        });
        write.await.map_err(at("index.put"))
    }

    async fn get(&self, index_id: &str) -> Result<Option<IndexStruct>> {
        check::non_empty("index id", index_id).map_err(at("index.get"))?;
        let id = index_id.to_owned();
        let read = self.handle.read(move |tx, tables| {
            tx.table(&tables.indexes)?.get(id.as_bytes())?.map(|json| decode(json.value())).transpose()
        });
        read.await.map_err(at("index.get"))
    }

    async fn delete(&self, index_id: &str) -> Result<bool> {
        check::non_empty("index id", index_id).map_err(at("index.delete"))?;
        let id = index_id.to_owned();
        let write = self
            .handle
            .write(move |tx, tables| Ok(tx.table(&tables.indexes)?.remove(id.as_bytes())?.is_some()));
        write.await.map_err(at("index.delete"))
    }

    fn scan(&self, after: Option<String>) -> BoxStream<IndexStruct> {
        self.handle.stream("index.scan", move |tx, tables, next| {
            let table = tx.table(&tables.indexes)?;
            let after = next.or(after.as_deref().map(str::as_bytes));
            let span = after.map_or_else(Span::all, |after| Span::all().after(after));
            Chunk::fill(table.range(&span)?.map(|row| {
                let (id, json) = row?;
                Ok((id.value().to_vec(), json.value().len(), decode(json.value())?))
            }))
        })
    }
}
