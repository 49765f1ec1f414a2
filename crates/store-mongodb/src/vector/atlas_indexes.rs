//! The search indexes of one vector set on the server: found out about, made, waited for, dropped.

use std::sync::Arc;
use std::time::Duration;

use bson::Document;
use futures::TryStreamExt as _;
use store_core::{Error, ErrorKind, Result, VectorConfig};
use tokio::time::Instant;

use super::atlas_search::AtlasSearch;
use super::search_index::{
    FoundIndex, no_search, refused, text_definition, text_model, unfit, vector_definition, vector_model,
};
use super::{EMBEDDING, TEXT};
use crate::error::server_code;

/// How often a building index is looked at, as in LlamaIndex.
const POLL: Duration = Duration::from_millis(500);
/// How long it is taken for true that an index is missing or building.
const RELIST: Duration = Duration::from_secs(5);
const NAMESPACE_EXISTS: i32 = 48;
const INDEX_NOT_FOUND: i32 = 27;
const INDEX_ALREADY_EXISTS: i32 = 68;

/// What is known of a server's search.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Why there is no search, in words.
    pub(crate) absent: Option<String>,
    /// Whether that will not change while the store is open.
    certain: bool,
    pub(crate) vector: Option<FoundIndex>,
    pub(crate) text: Option<FoundIndex>,
}

impl Known {
    /// Whether what is absent stays so while the store is open.
    pub(super) fn is_certain(&self) -> bool {
        self.certain
    }

    /// Whether nothing can become better.
    fn is_settled(&self) -> bool {
        let ready = |index: &Option<FoundIndex>| index.as_ref().is_some_and(|index| index.queryable);
        self.certain || (ready(&self.vector) && ready(&self.text))
    }
}

impl AtlasSearch {
    /// What the server has; asked for once, and again while indexes are missing or building.
    pub(crate) async fn known(&self) -> Result<Arc<Known>> {
        let mut slot = self.memory.known.lock().await;
        if let Some((at, known)) = slot.as_ref()
            && (known.is_settled() || at.elapsed() < RELIST)
        {
            return Ok(Arc::clone(known));
        }
        let known = Arc::new(self.list().await?);
        *slot = Some((Instant::now(), Arc::clone(&known)));
        Ok(known)
    }

    async fn list(&self) -> Result<Known> {
        let config = &self.space.config;
        if !config.search.enabled {
            let absent = Some("search is turned off in the settings".to_owned());
            return Ok(Known { absent, certain: true, ..Known::default() });
        }
        let collection = self.collection()?;
        let listing = async {
            let entries: Vec<Document> = collection.list_search_indexes().await?.try_collect().await?;
            mongodb::error::Result::Ok(entries)
        };
        match self.space.call(listing).await {
            Ok(entries) => {
                let named =
                    |name: &str| entries.iter().filter_map(FoundIndex::read).find(|it| it.name == name);
                let (vector, text) = (named(&config.vector_index), named(&config.text_index));
                Ok(Known { vector, text, ..Known::default() })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Known::default()),
            Err(error) if no_search(&error) => Ok(Known {
                absent: Some("this server has no search".to_owned()),
                certain: true,
                ..Known::default()
            }),
            // A server of another make, or a user who may not look.
            Err(error) if refused(&error) => {
                let absent = Some(format!("the search indexes can not be listed: {}", error.message()));
                Ok(Known { absent, ..Known::default() })
            }
            Err(error) => Err(error),
        }
    }

    async fn forget(&self) {
        *self.memory.known.lock().await = None;
    }

    /// Makes the indexes that are missing and waits for them. `Config` when an existing one does not fit,
    /// `Timeout` when they are not queryable in time: they are built nevertheless.
    pub(crate) async fn ensure(&self, config: &VectorConfig) -> Result<()> {
        self.forget().await;
        let known = self.known().await?;
        if known.absent.is_some() {
            return Ok(());
        }
        if let Some(index) = &known.vector {
            let differences = index.differences(config, EMBEDDING);
            if !differences.is_empty() {
                return Err(unfit(index, &differences).with_collection(&self.collection));
            }
            let missing = index.missing_filters(config);
            if !missing.is_empty() {
                tracing::warn!(
                    index = index.name,
                    collection = self.collection,
                    fields = missing.join(", "),
                    "the search index does not declare fields that queries filter by; such filters are applied \
                     to more candidates afterwards"
                );
            }
        }
        let create = self.space.config.create;
        if create {
            self.create_missing(&known, config).await?;
        }
        self.wait(create).await
    }

    async fn create_missing(&self, known: &Known, config: &VectorConfig) -> Result<()> {
        let names = &self.space.config;
        let mut models = Vec::new();
        if known.vector.is_none() {
            models.push(vector_model(&names.vector_index, vector_definition(config, EMBEDDING)));
        }
        if known.text.is_none() {
            models.push(text_model(&names.text_index, text_definition(TEXT)));
        }
        if models.is_empty() {
            return Ok(());
        }
        // A search index needs its collection. One that exists already is what is wanted.
        let created =
            self.space.call(self.space.vector_database()?.create_collection(&self.collection)).await;
        if let Err(error) = created
            && server_code(&error) != Some(NAMESPACE_EXISTS)
        {
            return Err(error.with_collection(&self.collection));
        }
        match self.space.call(self.collection()?.create_search_indexes(models)).await {
            Ok(names) => tracing::info!(indexes = names.join(", "), collection = self.collection, "made"),
            // Another process was first.
            Err(error) if server_code(&error) == Some(INDEX_ALREADY_EXISTS) => {}
            Err(error) => return Err(error.with_collection(&self.collection)),
        }
        self.forget().await;
        Ok(())
    }

    /// Waits until the indexes are queryable: those that exist, or `both`, as a new one may not be listed at once.
    async fn wait(&self, both: bool) -> Result<()> {
        let limit = self.space.config.search.index_wait;
        let started = Instant::now();
        let mut told = started;
        while !limit.is_zero() {
            let known = self.list().await?;
            let names = [&self.space.config.vector_index, &self.space.config.text_index];
            let building: Vec<String> = [&known.vector, &known.text]
                .into_iter()
                .zip(names)
                .filter_map(|(index, name)| match index {
                    Some(index) if !index.queryable => Some(format!("{name} is {}", index.status)),
                    None if both => Some(format!("{name} is not listed yet")),
                    _ => None,
                })
                .collect();
            if let Some(failed) = building.iter().find(|state| state.ends_with("FAILED")) {
                let message =
                    format!("the search index {failed}; see its message in Atlas, drop it and try again");
                return Err(Error::config(message).with_collection(&self.collection));
            }
            if building.is_empty() {
                break;
            }
            if started.elapsed() >= limit {
                let message = format!(
                    "the search indexes are not queryable after {} s ({}); they are still being built, and until \
                     then the plain server answers: configure again to wait on",
                    limit.as_secs(),
                    building.join(", ")
                );
                let error = Error::new(ErrorKind::Timeout, message).with_retryable(true);
                return Err(error.with_collection(&self.collection));
            }
            if told.elapsed() >= Duration::from_secs(5) {
                told = Instant::now();
                let waited = started.elapsed().as_secs();
                tracing::info!(state = building.join(", "), waited, "waiting for search indexes");
            }
            tokio::time::sleep(POLL.min(limit)).await;
        }
        self.forget().await;
        Ok(())
    }

    /// Drops the indexes of the store's names, where there are any.
    pub(crate) async fn drop_indexes(&self) -> Result<()> {
        let known = self.known().await?;
        for index in [&known.vector, &known.text].into_iter().flatten() {
            match self.space.call(self.collection()?.drop_search_index(&index.name)).await {
                Err(error) if server_code(&error) != Some(INDEX_NOT_FOUND) => return Err(error),
                _ => {}
            }
        }
        self.forget().await;
        Ok(())
    }
}
