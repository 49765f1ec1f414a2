//! An embedder ready for work.

use std::sync::Arc;

use async_trait::async_trait;
use nodestore::{
    CachedEmbedder, Embedder, EmbedderNote, Embedding, HashEmbedder, KvStore, Result as StoreResult,
};
#[cfg(feature = "openai")]
use nodestore::{OpenAiConfig, OpenAiEmbedder};

#[cfg(feature = "openai")]
use super::CACHE;
use super::choice::{Choice, EmbedderArgs};
use super::{COMPARES_WORDING, DIMENSIONS};
use crate::failure::Failure;
#[cfg(feature = "openai")]
use crate::output::thousands;

/// The model of the hash.
pub(super) const HASH: &str = "nodestore-hash-1";

/// An embedder that fits a store, and what to say about it.
#[derive(Debug)]
pub(crate) struct Chosen {
    kind: Kind,
    cache: Option<CachedEmbedder>,
}

#[derive(Debug)]
enum Kind {
    Hash(HashEmbedder),
    #[cfg(feature = "openai")]
    OpenAi {
        embedder: Arc<OpenAiEmbedder>,
        asks_dimensions: bool,
    },
}

impl Chosen {
    /// Makes it. `dimensions` are those of the store, or those asked for; where `sure`, the model has them and is not
    /// asked first.
    pub(super) async fn make(
        choice: &Choice,
        args: &EmbedderArgs,
        note: Option<&EmbedderNote>,
        dimensions: Option<usize>,
        sure: bool,
    ) -> Result<Self, Failure> {
        let kind = match choice {
            Choice::Hash { .. } => Kind::Hash(HashEmbedder::new(dimensions.unwrap_or(DIMENSIONS))?),
            #[cfg(feature = "openai")]
            Choice::OpenAi { url, model } => {
                let asks_dimensions = note.map_or(args.dimensions.is_some(), |note| note.asks_dimensions);
                let mut config = OpenAiConfig::new(url, model).with_api_key_env(args.api_key_env());
                if let (true, Some(dimensions)) = (asks_dimensions, dimensions) {
                    config = config.with_dimensions(dimensions);
                }
                let embedder = match dimensions {
                    Some(dimensions) if sure => OpenAiEmbedder::new(config, dimensions)?,
                    _ => OpenAiEmbedder::connect(config).await?,
                };
                Kind::OpenAi { embedder: Arc::new(embedder), asks_dimensions }
            }
            #[cfg(not(feature = "openai"))]
            Choice::OpenAi { .. } => {
                let _ = (args, note, sure);
                return Err(Failure::new(format!(
                    "this program was built without the feature openai: {choice}"
                )));
            }
        };
        Ok(Self { kind, cache: None })
    }

    /// Keeps what is embedded from now on, where that is of use: the hash is faster than a store.
    pub(super) fn keep_in(&mut self, kv: Arc<dyn KvStore>) {
        match &self.kind {
            Kind::Hash(_) => drop(kv),
            #[cfg(feature = "openai")]
            Kind::OpenAi { embedder, .. } => {
                let embedder = Arc::clone(embedder) as Arc<dyn Embedder>;
                self.cache = Some(CachedEmbedder::new(embedder, kv, CACHE));
            }
        }
    }

    /// What a store should remember, in the vector set that is noted already.
    pub(crate) fn note(&self, old: Option<&EmbedderNote>) -> EmbedderNote {
        let mut note = EmbedderNote::new(self.model(), self.dimensions());
        note.set = old.and_then(|old| old.set.clone());
        match &self.kind {
            Kind::Hash(_) => {}
            #[cfg(feature = "openai")]
            Kind::OpenAi { embedder, asks_dimensions } => {
                note.endpoint = Some(embedder.endpoint());
                note.asks_dimensions = *asks_dimensions;
            }
        }
        note
    }

    /// What a person should know about the vectors, when the work is done.
    pub(crate) fn remark(&self) -> String {
        match &self.kind {
            Kind::Hash(_) => COMPARES_WORDING.to_owned(),
            #[cfg(feature = "openai")]
            Kind::OpenAi { embedder, .. } => {
                let counts = embedder.counts();
                let number = |number: u64| thousands(usize::try_from(number).unwrap_or(usize::MAX));
                let mut remark = format!(
                    "{} texts embedded by {} at {}",
                    number(counts.texts),
                    embedder.model(),
                    embedder.endpoint()
                );
                if counts.tokens > 0 {
                    remark = format!("{remark}, {} tokens", number(counts.tokens));
                }
                if counts.retries > 0 {
                    remark = format!("{remark}, {} requests sent again", number(counts.retries));
                }
                match self.cache.as_ref().map(CachedEmbedder::counts) {
                    Some(cache) if cache.hits > 0 => {
                        format!("{remark}; {} were embedded before", number(cache.hits))
                    }
                    _ => remark,
                }
            }
        }
    }

    fn embedder(&self) -> &dyn Embedder {
        match (&self.cache, &self.kind) {
            (Some(cache), _) => cache,
            (None, Kind::Hash(hash)) => hash,
            #[cfg(feature = "openai")]
            (None, Kind::OpenAi { embedder, .. }) => &**embedder,
        }
    }
}

#[async_trait]
impl Embedder for Chosen {
    async fn embed(&self, texts: &[&str]) -> StoreResult<Vec<Embedding>> {
        self.embedder().embed(texts).await
    }

    fn dimensions(&self) -> usize {
        self.embedder().dimensions()
    }

    fn model(&self) -> &str {
        self.embedder().model()
    }
}
