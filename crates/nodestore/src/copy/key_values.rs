//! Collections of key-values.

use async_trait::async_trait;
use futures::TryStreamExt as _;

use super::part::{Both, PAGE, Page, Part, Side, json, pages};
use crate::folder::KEPT_FILES;
use crate::kit::check;
use crate::{BoxStream, Error, ErrorKind, JsonObject, KvStore, PutOptions, Result, ScanOptions};

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

    /// The pieces of kept files are as large as the store took them that they are read from. They are plain text, so
    /// what they take is known before they are written.
    async fn check(&self) -> Result<()> {
        let can = self.stores.to.capabilities();
        let Some(most) = can.max_value_bytes.filter(|_| self.collection == KEPT_FILES) else { return Ok(()) };
        let mut pages = self.pages(Side::From, None);
        while let Some(page) = pages.try_next().await? {
            for (key, value) in &page.records {
                let bytes = check::encoded_size(value)?;
                if bytes > most {
                    let remedy = can.larger_values.map_or_else(String::new, |option| {
                        format!("; with the option {option} in its URL it takes more")
                    });
                    let message = format!(
                        "{}: {key:?} has {bytes} bytes, and the store to copy into takes at most {most} in a value{remedy}",
                        self.name
                    );
                    return Err(Error::new(ErrorKind::LimitExceeded, message));
                }
            }
        }
        Ok(())
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
        key.len() + check::encoded_size(value).unwrap_or_default()
    }
}
