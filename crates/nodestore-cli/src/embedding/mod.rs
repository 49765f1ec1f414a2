//! Which embedder fits the vectors of a store.
//!
//! Vectors of two embedders can not be compared, so the first ingest notes in the store which one it used.

mod choice;
mod chosen;

use std::sync::Arc;

use nodestore::{Embedder, EmbedderNote, Metric, Selector, VectorConfig};

pub(crate) use self::choice::EmbedderArgs;
pub(crate) use self::chosen::Chosen;

use self::choice::Choice;
use crate::failure::Failure;
use crate::output::say;
use crate::store::Store;

/// The collection of the notes about embedders.
pub(crate) const COLLECTION: &str = EmbedderNote::COLLECTION;
/// Where embeddings of an endpoint are kept.
pub(crate) const CACHE: &str = "nodestore/embeddings";
/// Values in a vector of the hash unless something else is said.
const DIMENSIONS: usize = 512;

/// What a person should know about the hash.
pub(crate) const COMPARES_WORDING: &str =
    "vectors come from a hash of words and letter groups: they compare wording, not meaning";

/// The embedder to fill a store with; a new store is configured for it and remembers it.
pub(crate) async fn for_writing(store: &Store, args: &EmbedderArgs) -> Result<Arc<Chosen>, Failure> {
    let vectors = store.vectors().await?;
    let config = vectors.config().await?;
    let asked = args.dimensions()?;
    if let (Some(config), Some(asked)) = (&config, asked)
        && config.dimensions != asked
    {
        return Err(Failure::new(format!(
            "--dimensions {asked} does not fit: the store holds vectors of {} values",
            config.dimensions
        ))
        .with_help(
            "leave --dimensions out; `nodestore reembed` changes the vectors of a store, --namespace or --store names \
             another",
        ));
    }
    let note = EmbedderNote::read(&*store.backend).await?;
    if note.is_none() && config.is_some() && vectors.count(&Selector::all()).await? > 0 {
        return Err(Failure::new("the store holds vectors that this program did not make").with_help(
            "vectors of two embedders can not be compared; `nodestore reembed` makes all of them anew, --namespace or \
             --store names another store",
        ));
    }
    let choice = choose(args, note.as_ref())?;
    let known = config.as_ref().map(|config| config.dimensions);
    let mut chosen = Chosen::make(&choice, args, note.as_ref(), known.or(asked), note.is_some()).await?;
    if let Some(dimensions) = known.filter(|dimensions| *dimensions != chosen.dimensions()) {
        return Err(Failure::new(format!(
            "the store takes vectors of {dimensions} values, and those of {} have {}",
            chosen.model(),
            chosen.dimensions()
        ))
        .with_help("start another store with --namespace or --store"));
    }
    if config.is_none() {
        vectors.configure(VectorConfig::new(chosen.dimensions(), Metric::Cosine)).await?;
    }
    let mut new = chosen.note(note.as_ref());
    new.set = note.as_ref().and_then(|note| note.set.clone());
    if note.as_ref() != Some(&new) {
        new.write(&*store.backend).await?;
    }
    if !args.no_cache {
        chosen.keep_in(store.backend.kv()?);
    }
    Ok(Arc::new(chosen))
}

/// The embedder to search a store with, whose vectors have so many dimensions.
pub(crate) async fn for_searching(
    store: &Store,
    args: &EmbedderArgs,
    dimensions: usize,
) -> Result<Arc<Chosen>, Failure> {
    let note = EmbedderNote::read(&*store.backend).await?;
    let choice = choose(args, note.as_ref())?;
    if note.is_none() && args.choice()?.is_none() {
        say("note: another program filled this store; if it used a model, only --mode text answers well");
    }
    Ok(Arc::new(Chosen::make(&choice, args, note.as_ref(), Some(dimensions), true).await?))
}

/// The embedder to make all vectors of a store anew with: the one that the options name, else that of a re-embedding
/// that was begun (`next`), else the one in use with the other dimensions asked for.
pub(crate) async fn for_reembedding(
    store: &Store,
    args: &EmbedderArgs,
    note: Option<&EmbedderNote>,
    next: Option<&EmbedderNote>,
) -> Result<Chosen, Failure> {
    let asked = args.dimensions()?;
    let choice = match (args.choice()?, next, note) {
        (Some(choice), ..) => choice,
        (None, Some(next), _) => noted(next)?,
        (None, None, Some(note)) if asked.is_some() => noted(note)?,
        (None, None, _) => {
            return Err(Failure::usage("what shall the vectors be made with?").with_help(
                "name another model, --embedder openai:URL,MODEL, or other dimensions, --dimensions NUMBER",
            ));
        }
    };
    let begun = next
        .filter(|next| next.model == choice.model() && asked.is_none_or(|asked| asked == next.dimensions));
    let dimensions = begun.map(|begun| begun.dimensions).or(asked);
    let mut chosen = Chosen::make(&choice, args, begun, dimensions, begun.is_some()).await?;
    if !args.no_cache {
        chosen.keep_in(store.backend.kv()?);
    }
    Ok(chosen)
}

/// Notes that vectors of so many values, which come from elsewhere, were made by the embedder that the options name.
pub(crate) async fn for_imported(
    store: &Store,
    args: &EmbedderArgs,
    dimensions: usize,
) -> Result<(), Failure> {
    let note = EmbedderNote::read(&*store.backend).await?;
    let choice = choose(args, note.as_ref())?;
    let known = match &choice {
        Choice::Hash { .. } => Some(args.dimensions()?.unwrap_or(dimensions)),
        Choice::OpenAi { .. } => args.dimensions()?,
    };
    let chosen = Chosen::make(&choice, args, note.as_ref(), known, false).await?;
    if chosen.dimensions() != dimensions {
        return Err(Failure::new(format!(
            "the vectors of the folder have {dimensions} values, and those of {} have {}",
            chosen.model(),
            chosen.dimensions()
        ))
        .with_help(
            "nothing was imported; name the embedder that made the vectors, or leave --embedder out",
        ));
    }
    chosen.note(note.as_ref()).write(&*store.backend).await?;
    Ok(())
}

/// The embedder that the options name, if it fits the note; else the noted one, else the hash.
fn choose(args: &EmbedderArgs, note: Option<&EmbedderNote>) -> Result<Choice, Failure> {
    match (args.choice()?, note) {
        (Some(choice), Some(note)) if choice.model() != note.model => Err(other_model(note, choice.model())),
        (Some(choice), _) => Ok(choice),
        (None, Some(note)) => noted(note),
        (None, None) => Ok(Choice::Hash { dimensions: None }),
    }
}

/// The embedder of a note.
fn noted(note: &EmbedderNote) -> Result<Choice, Failure> {
    match &note.endpoint {
        Some(url) if url.contains("***") => Err(Failure::new(format!(
            "the store's vectors come from {} at {url}, and the store does not keep what is hidden here",
            note.model
        ))
        .with_help("name it again: --embedder or NODESTORE_EMBEDDER, as in openai:URL,MODEL")),
        Some(url) => Ok(Choice::OpenAi { url: url.clone(), model: note.model.clone() }),
        None if note.model == chosen::HASH => Ok(Choice::Hash { dimensions: None }),
        None => Err(other_model(note, chosen::HASH)),
    }
}

fn other_model(note: &EmbedderNote, model: &str) -> Failure {
    Failure::new(format!(
        "the store's vectors were made by {}, not by {model}, and the two can not be compared",
        note.model
    ))
    .with_help(
        "`nodestore reembed` gives the store vectors of another model, --namespace or --store names another store; \
         `nodestore search --mode text` compares words alone",
    )
}
