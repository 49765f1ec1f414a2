//! Which embedder fits the vectors of a store.
//!
//! Vectors of two embedders can not be compared, so the first ingest notes which one it used.

use std::sync::Arc;

use nodestore::{Backend, Embedder, HashEmbedder, JsonObject, KvStoreExt, Metric, VectorConfig};
use serde_json::json;

use crate::failure::Failure;
use crate::output::say;

/// The collection and the key of the note.
const COLLECTION: &str = "nodestore";
const KEY: &str = "embedder";
/// Values in a vector unless `--dimensions` says otherwise.
const DIMENSIONS: usize = 512;

/// What a person should know about the embedder.
pub(crate) const COMPARES_WORDING: &str =
    "vectors come from a hash of words and letter groups: they compare wording, not meaning";

/// The embedder to fill a store with; a new store is configured for it.
pub(crate) async fn for_writing(
    backend: &dyn Backend,
    dimensions: Option<usize>,
) -> Result<Arc<dyn Embedder>, Failure> {
    let vectors = backend.vectors()?;
    let config = vectors.config().await?;
    let dimensions = match (&config, dimensions) {
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
    let embedder = HashEmbedder::new(dimensions)?;
    let note = note(backend).await?;
    match &note {
        Some(model) if model != embedder.model() => return Err(other_model(model, &embedder)),
        None if config.is_some() && vectors.count(&nodestore::Selector::all()).await? > 0 => {
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
        backend.kv()?.put(COLLECTION, KEY, value).await?;
    }
    Ok(Arc::new(embedder))
}

/// The embedder to search a store of so many dimensions with.
pub(crate) async fn for_searching(
    backend: &dyn Backend,
    dimensions: usize,
) -> Result<Arc<dyn Embedder>, Failure> {
    let embedder = HashEmbedder::new(dimensions)?;
    match note(backend).await? {
        Some(model) if model != embedder.model() => {
            Err(other_model(&model, &embedder).with_help("search by words: --mode text"))
        }
        Some(_) => Ok(Arc::new(embedder)),
        None => {
            say("note: another program filled this store; if it used a model, only --mode text answers well");
            Ok(Arc::new(embedder))
        }
    }
}

/// The model noted in the store.
async fn note(backend: &dyn Backend) -> Result<Option<String>, Failure> {
    let value = backend.kv()?.get(COLLECTION, KEY).await?;
    Ok(value.and_then(|value| value.get("model")?.as_str().map(str::to_owned)))
}

fn other_model(model: &str, embedder: &HashEmbedder) -> Failure {
    Failure::new(format!(
        "the store's vectors were made by {model}; this program makes them with {}, and the two can not be compared",
        embedder.model()
    ))
    .with_help("start another store with --namespace or --store")
}
