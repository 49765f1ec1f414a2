//! Questions about metadata fields, answered from the metadata of what is selected, which is read in pages.

use async_trait::async_trait;
use store_core::kit::check;
use store_core::{JsonObject, MetadataPass, Result, Selector};

use super::CassandraVectorStore;
use crate::error::NAME;

#[async_trait]
impl MetadataPass for CassandraVectorStore {
    const BACKEND: &'static str = NAME;

    async fn each_metadata(
        &self,
        selector: &Selector,
        mut show: impl for<'a> FnMut(&'a JsonObject) + Send,
    ) -> Result<()> {
        let ready = self.set.configured().await?;
        check::valid_selector(selector)?;
        self.each_selected(&ready, selector, |node| show(&node.metadata)).await
    }
}
