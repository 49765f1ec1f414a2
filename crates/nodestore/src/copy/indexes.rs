//! Index structs.

use async_trait::async_trait;

use super::part::{Both, Page, Part, Side, json, pages};
use crate::{BoxStream, IndexStore, IndexStruct, Result};

/// One may list every node of a store.
const STRUCTS: usize = 1;

/// Index structs.
#[derive(Debug)]
pub(super) struct Indexes(pub(super) Both<dyn IndexStore>);

#[async_trait]
impl Part for Indexes {
    type Record = IndexStruct;

    fn name(&self) -> &'static str {
        "index structs"
    }

    fn pages(&self, side: Side, after: Option<String>) -> BoxStream<Page<IndexStruct>> {
        pages::<Self>(self.0.of(side).scan(after), STRUCTS)
    }

    async fn write(&self, structs: Vec<IndexStruct>) -> Result<()> {
        for index in structs {
            self.0.to.put(index).await?;
        }
        Ok(())
    }

    async fn find(&self, structs: &[IndexStruct]) -> Result<Vec<Option<IndexStruct>>> {
        let mut found = Vec::with_capacity(structs.len());
        for index in structs {
            found.push(self.0.to.get(index.index_id()).await?);
        }
        Ok(found)
    }

    fn key(index: &IndexStruct) -> &str {
        index.index_id()
    }

    fn content(index: &IndexStruct) -> Result<Vec<u8>> {
        json(&index.to_stored_json())
    }

    fn bytes(_index: &IndexStruct) -> usize {
        0
    }
}
