//! Which embedder fits the vectors of a store.
//!
//! Vectors of two embedders can not be compared, so the first ingest notes which one it used.

mod choice;

use std::sync::Arc;

use async_trait::async_trait;
use nodestore::{
    Embedder, Embedding, HashEmbedder, JsonObject, KvStoreExt, Metric, Result as StoreResult, Selector,
    VectorConfig,
};
use serde_json::json;

pub(crate) use self::choice::EmbedderArgs;

use self::choice::Choice;
use crate::failure::Failure;
use crate::output::say;
use crate::store::Store;

/// The collection and the key of the note.
pub(crate) const COLLECTION: &str = "nodestore";
pub(crate) const KEY: &str = "embedder";
/// Values in a vector unless `--dimensions` says otherwise.
const DIMENSIONS: usize = 512;

/// What a person should know about the hash.
pub(crate) const COMPARES_WORDING: &str =
    "vectors come from a hash of words and letter groups: they compare wording, not meaning";

/// An embedder that fits a store, and what to say about it.
#[derive(Debug)]
pub(crate) struct Chosen {
    embedder: HashEmbedder,
}

impl Chosen {
    /// What a person should know about the vectors, when the work is done.
    pub(crate) fn remark(&self) -> &'static str {
        COMPARES_WORDING
    }
}

#[async_trait]
impl Embedder for Chosen {
    async fn embed(&self, texts: &[&str]) -> StoreResult<Vec<Embedding>> {
        self.embedder.embed(texts).await
    }

    fn dimensions(&self) -> usize {
        self.embedder.dimensions()
    }

    fn model(&self) -> &str {
        self.embedder.model()
    }
}

/// The embedder to fill a store with; a new store is configured for it and remembers it.
pub(crate) async fn for_writing(store: &Store, args: &EmbedderArgs) -> Result<Arc<Chosen>, Failure> {
    let vectors = store.vectors().await?;
    let config = vectors.config().await?;
    let dimensions = match (&config, args.dimensions()?) {
        (Some(config), Some(asked)) if config.dimensions != asked => {
            return Err(Failure::new(format!(
                "--dimensions {asked} does not fit: the store holds vectors of {} values",
                config.dimensions
            ))
            .with_help("leave --dimensions out, or start another store with --namespace or --store"));
        }
        (Some(config), _) => config.dimensions,
        (None, asked) => asked.unwrap_or(DIMENSIONS),
    };
    let embedder = make(args, dimensions)?;
    let note = note(store).await?;
    match &note {
        Some(model) if model != embedder.model() => return Err(other_model(model, &embedder)),
        None if config.is_some() && vectors.count(&Selector::all()).await? > 0 => {
            return Err(Failure::new("the store holds vectors that this program did not make").with_help(
                "vectors of two embedders can not be compared; use --namespace or another --store",
            ));
        }
        _ => {}
    }
    if config.is_none() {
        vectors.configure(VectorConfig::new(dimensions, Metric::Cosine)).await?;
    }
    if note.is_none() {
        let mut value = JsonObject::new();
        value.insert("model".to_owned(), json!(embedder.model()));
        value.insert("dimensions".to_owned(), json!(dimensions));
        store.backend.kv()?.put(COLLECTION, KEY, value).await?;
    }
    Ok(embedder)
}

/// The embedder to search a store with, whose vectors have so many dimensions.
pub(crate) async fn for_searching(
    store: &Store,
    args: &EmbedderArgs,
    dimensions: usize,
) -> Result<Arc<Chosen>, Failure> {
    let embedder = make(args, dimensions)?;
    match note(store).await? {
        Some(model) if model != embedder.model() => {
            Err(other_model(&model, &embedder).with_help("search by words: --mode text"))
        }
        Some(_) => Ok(embedder),
        None => {
            say("note: another program filled this store; if it used a model, only --mode text answers well");
            Ok(embedder)
        }
    }
}

fn make(args: &EmbedderArgs, dimensions: usize) -> Result<Arc<Chosen>, Failure> {
    match args.choice()? {
        None | Some(Choice::Hash { .. }) => Ok(Arc::new(Chosen { embedder: HashEmbedder::new(dimensions)? })),
        Some(choice @ Choice::OpenAi { .. }) => {
            Err(Failure::new(format!("this program was built without {choice}")))
        }
    }
}

/// The model noted in the store.
async fn note(store: &Store) -> Result<Option<String>, Failure> {
    let value = store.backend.kv()?.get(COLLECTION, KEY).await?;
    Ok(value.and_then(|value| value.get("model")?.as_str().map(str::to_owned)))
}

fn other_model(model: &str, embedder: &Chosen) -> Failure {
    Failure::new(format!(
        "the store's vectors were made by {model}; this program makes them with {}, and the two can not be compared",
        embedder.model()
    ))
    .with_help("start another store with --namespace or --store")
}
