//! Index structs: how an index of LlamaIndex is put together, by index id.

use async_trait::async_trait;

use crate::{BoxStream, IndexStruct, Result};

/// A store of index structs.
#[async_trait]
pub trait IndexStore: std::fmt::Debug + Send + Sync + 'static {
    /// Stores a struct under its index id, replacing what was there.
    async fn put(&self, index: IndexStruct) -> Result<()>;

    /// The struct of that index id.
    async fn get(&self, index_id: &str) -> Result<Option<IndexStruct>>;

    /// Removes it; answers whether it existed.
    async fn delete(&self, index_id: &str) -> Result<bool>;

    /// All structs after that index id, in an order that is a function of the id alone.
    fn scan(&self, after: Option<String>) -> BoxStream<IndexStruct>;
}
