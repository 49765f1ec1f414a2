//! Collections of key-values.

use async_trait::async_trait;

use super::part::{Both, PAGE, Page, Part, Side, json, pages};
use crate::{BoxStream, JsonObject, KvStore, PutOptions, Result, ScanOptions};

type Entry = (String, JsonObject);

/// One collection.
#[derive(Debug)]
pub(super) struct KeyValues {
    pub(super) stores: Both<dyn KvStore>,
    pub(super) collection: String,
    name: String,
}

impl KeyValues {
    pub(super) fn new(stores: Both<dyn KvStore>, collection: String) -> Self {
        let name = format!("key-values of {collection}");
        Self { stores, collection, name }
    }
}

#[async_trait]
impl Part for KeyValues {
    type Record = Entry;

    fn name(&self) -> &str {
        &self.name
    }

    fn pages(&self, side: Side, after: Option<String>) -> BoxStream<Page<Entry>> {
        let mut options = ScanOptions::default();
        options.after = after;
        pages::<Self>(self.stores.of(side).scan(&self.collection, options), PAGE)
    }

    async fn write(&self, entries: Vec<Entry>) -> Result<()> {
        self.stores.to.put_many(&self.collection, entries, PutOptions::default()).await
    }

    async fn find(&self, entries: &[Entry]) -> Result<Vec<Option<Entry>>> {
        let keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
        let found = self.stores.to.get_many(&self.collection, &keys).await?;
        Ok(entries.iter().zip(found).map(|((key, _), value)| Some((key.clone(), value?))).collect())
    }

    fn key((key, _): &Entry) -> &str {
        key
    }

    fn content((_, value): &Entry) -> Result<Vec<u8>> {
        json(value)
    }

    fn bytes((key, value): &Entry) -> usize {
        // One that can not be encoded is refused where it is written.
        key.len() + crate::check::encoded_size(value).unwrap_or_default()
    }
}
