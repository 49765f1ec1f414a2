//! Questions about metadata fields, answered from the metadata of what is selected, which is read in parts.

use async_trait::async_trait;
use futures::TryStreamExt as _;
use store_core::kit::check;
use store_core::{JsonObject, MetadataPass, Result, Selector};

use super::RedisVectorStore;
use super::rows::Keep;
use crate::error::NAME;

#[async_trait]
impl MetadataPass for RedisVectorStore {
    const BACKEND: &'static str = NAME;

    async fn each_metadata(
        &self,
        selector: &Selector,
        mut show: impl for<'a> FnMut(&'a JsonObject) + Send,
    ) -> Result<()> {
        let config = self.configured().await?;
        check::valid_selector(selector)?;
        let mut parts = self.candidates(&config, selector);
        while let Some(part) = parts.try_next().await? {
            for node in self.set.read(&part.ids, Keep::NODE).await?.into_iter().flatten() {
                if selector.selects(&node) {
                    show(&node.metadata);
                }
            }
        }
        Ok(())
    }
}
