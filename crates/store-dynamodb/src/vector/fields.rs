//! Questions about metadata fields, answered from the metadata of what is selected, which is read in pages.

use async_trait::async_trait;
use futures::TryStreamExt as _;
use store_core::kit::check;
use store_core::{JsonObject, MetadataPass, Result, Selector};

use super::DynamoDbVectorStore;
use super::rows::Keep;
use crate::error::NAME;

#[async_trait]
impl MetadataPass for DynamoDbVectorStore {
    const BACKEND: &'static str = NAME;

    async fn each_metadata(
        &self,
        selector: &Selector,
        mut show: impl for<'a> FnMut(&'a JsonObject) + Send,
    ) -> Result<()> {
        let ready = self.set.configured().await?;
        check::valid_selector(selector)?;
        let consistent = self.set.space.config.consistent_reads;
        let mut rows = self.selected(&ready, selector, Keep::METADATA, consistent).await?;
        while let Some(part) = rows.try_next().await? {
            part.iter().filter_map(|row| row.node.as_ref()).for_each(|node| show(&node.metadata));
        }
        Ok(())
    }
}
