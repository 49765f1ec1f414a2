//! `reembed`: vectors of another model for the same nodes.

mod fill;
mod state;

use std::time::Instant;

use clap::Args;
use nodestore::{Embedder, EmbedderNote, Selector, VectorConfig};
use serde_json::json;

use self::fill::{Fill, Report};
use self::state::State;
use crate::cli::Global;
use crate::embedding::{self, Chosen, EmbedderArgs};
use crate::failure::{Failure, Outcome};
use crate::output::{STRONG, count, print, print_json, say};
use crate::progress::{Progress, Unit};
use crate::stop::Stop;
use crate::store::{Access, Store, with_store};

/// Give the store vectors of another model, or of other dimensions
///
/// Fills a new vector set beside the one in use, from its nodes: the same text is embedded as by `ingest`, no file is
/// read. Searches use the old set until the new one is complete; then one write switches to it, and the old one is
/// removed. Stopped or killed at any point, the same command goes on where it stopped.
///
/// What is written meanwhile by another process is caught up before the switch, but for the last moment: best ingest
/// nothing while it runs. Services follow the switch when they start again (`nodestore::vectors_in_use`).
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore reembed --embedder openai:http://127.0.0.1:8080/v1,nomic-embed-text
  nodestore reembed --embedder openai:https://api.openai.com/v1,text-embedding-3-small
  nodestore reembed --dimensions 256         the embedder in use, with other dimensions
  nodestore reembed                          go on with one that was stopped
  nodestore reembed --discard                forget it

The embeddings of an endpoint are kept in the store, so that no text is embedded twice;
they take about as much room as the vectors. `nodestore reembed --clear-cache` removes
them. --discard exits with 4 when there is nothing to discard.")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct Reembed {
    #[command(flatten)]
    pub(crate) embedder: EmbedderArgs,
    /// Keeps the old vector set, for programs that still use it
    #[arg(long)]
    pub(crate) keep: bool,
    /// Removes what a re-embedding that was not finished has made
    #[arg(long, conflicts_with_all = ["keep", "clear_cache"])]
    pub(crate) discard: bool,
    /// Removes the embeddings kept of endpoints, and does nothing else
    #[arg(long, conflicts_with = "keep")]
    pub(crate) clear_cache: bool,
    /// Prints a report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Passes over the sets in which others may still write.
const MOST_PASSES: usize = 10;

pub(crate) async fn run(options: &Reembed, global: &Global) -> Result<Outcome, Failure> {
    with_store(global, Access::Extended, async |store| {
        if options.clear_cache {
            return clear_cache(options, store).await;
        }
        let mut state = State::read(store).await?;
        let note = EmbedderNote::read(&*store.backend).await?;
        let in_use = note.as_ref().and_then(|note| note.set.as_deref());
        if let Some(switched) = state.take_if(|state| in_use.is_some() && state.next.set.as_deref() == in_use)
        {
            // The last run was killed right behind its switch.
            switched.clean_up(store).await?;
            say("the last re-embedding was complete; what it left was removed");
        }
        if options.discard {
            discard(options, store, state).await
        } else {
            reembed(options, store, note, state).await
        }
    })
    .await
}

async fn clear_cache(options: &Reembed, store: &Store) -> Result<Outcome, Failure> {
    let removed = nodestore::CachedEmbedder::clear(&*store.backend.kv()?, embedding::CACHE).await?;
    if options.json {
        print_json(&json!({"removed_from_cache": removed}))?;
    } else {
        print(format_args!("{} removed from the cache", count(removed, "embedding")))?;
    }
    Ok(Outcome::Done)
}

async fn discard(options: &Reembed, store: &Store, state: Option<State>) -> Result<Outcome, Failure> {
    let discarded = state.as_ref().map(|state| state.next.model.clone());
    if let Some(state) = &state {
        store.backend.drop_vector_set(Some(state.set()?)).await?;
        State::forget(store).await?;
    }
    if options.json {
        print_json(&json!({"discarded": discarded}))?;
    } else if let Some(model) = &discarded {
        print(format_args!("the re-embedding by {model} is discarded; the vectors in use stay"))?;
    }
    if discarded.is_none() {
        say("there is no re-embedding to discard");
        return Ok(Outcome::NothingFound);
    }
    Ok(Outcome::Done)
}

async fn reembed(
    options: &Reembed,
    store: &Store,
    note: Option<EmbedderNote>,
    state: Option<State>,
) -> Result<Outcome, Failure> {
    let start = Instant::now();
    let old = store.vectors().await?;
    let Some(config) = old.config().await? else {
        return Err(Failure::new(format!("{} holds no vectors yet", store.shown))
            .with_help("`nodestore ingest PATH` makes them; it has --embedder too"));
    };
    let next = state.as_ref().map(|state| &state.next);
    let embedder = embedding::for_reembedding(store, &options.embedder, note.as_ref(), next).await?;
    let state = match state {
        Some(state) => go_on(state, &embedder, options)?,
        None => match begin(store, note.as_ref(), &embedder, options).await? {
            Some(state) => state,
            None => return Ok(nothing_to_do(options, &embedder)?),
        },
    };
    state.write(store).await?;

    let new = store.backend.vector_set(state.set()?)?;
    let mut new_config = VectorConfig::new(embedder.dimensions(), config.metric);
    new_config.filterable = config.filterable;
    new.configure(new_config).await?;

    let stop = Stop::listen();
    let fill = Fill { old: &*old, new: &*new, embedder: &embedder, stop: &stop };
    let total = old.count(&Selector::all()).await?;
    let report = until_equal(&fill, total).await?;
    if !report.stopped {
        state.next.write(&*store.backend).await?;
        state.clean_up(store).await?;
    }
    tell(options, &report, &state, &embedder, total, start)?;
    if report.stopped {
        let left = total.saturating_sub(new.count(&Selector::all()).await?);
        say(format_args!(
            "stopped with {} left; searches use the old vectors, and `nodestore reembed` goes on from here",
            count(left, "node")
        ));
        return Ok(Outcome::Stopped);
    }
    Ok(Outcome::Done)
}

/// A re-embedding that was begun, if it is the one asked for.
fn go_on(mut state: State, embedder: &Chosen, options: &Reembed) -> Result<State, Failure> {
    let next = &state.next;
    if (next.model.as_str(), next.dimensions) != (embedder.model(), embedder.dimensions()) {
        return Err(Failure::new(format!(
            "a re-embedding by {} ({} values) is not finished, and {} ({} values) is another",
            next.model,
            next.dimensions,
            embedder.model(),
            embedder.dimensions()
        ))
        .with_help("`nodestore reembed` goes on with it, `nodestore reembed --discard` forgets it"));
    }
    let set = state.next.set.take();
    state.next = embedder.note(Some(&state.next));
    state.next.set = set;
    state.keep |= options.keep;
    Ok(state)
}

/// A new one; `None` when the vectors in use are just so.
async fn begin(
    store: &Store,
    note: Option<&EmbedderNote>,
    embedder: &Chosen,
    options: &Reembed,
) -> Result<Option<State>, Failure> {
    let same = |note: &EmbedderNote| {
        (note.model.as_str(), note.dimensions) == (embedder.model(), embedder.dimensions())
    };
    if note.is_some_and(same) {
        return Ok(None);
    }
    let from = note.and_then(|note| note.set.clone());
    let mut next = embedder.note(None);
    next.set = Some(state::free_name(store, from.as_deref()).await?);
    Ok(Some(State { next, from, keep: options.keep }))
}

fn nothing_to_do(options: &Reembed, embedder: &Chosen) -> Result<Outcome, std::io::Error> {
    if options.json {
        print_json(
            &json!({"switched": false, "model": embedder.model(), "dimensions": embedder.dimensions()}),
        )?;
    }
    say(format_args!(
        "nothing to do: the vectors are by {} already, {} values each",
        embedder.model(),
        embedder.dimensions()
    ));
    Ok(Outcome::Done)
}

/// Passes over both sets until one changes nothing.
async fn until_equal(fill: &Fill<'_>, total: usize) -> Result<Report, Failure> {
    let progress = Progress::new(Some(total as u64), Unit::Items("nodes"));
    let first = fill.pass(&progress).await;
    progress.finish();
    let mut all = first?;
    for _ in 0..MOST_PASSES {
        if all.stopped {
            return Ok(all);
        }
        let removed = fill.prune().await?;
        let pass = fill.pass(&Progress::hidden()).await?;
        all.removed += removed;
        all.written += pass.written;
        all.without_text += pass.without_text;
        all.stopped = pass.stopped;
        if (removed, pass.written) == (0, 0) {
            return Ok(all);
        }
    }
    Err(Failure::new("another process writes into the store all the time, so the new vectors never catch up")
        .with_help("nothing was switched; stop the other process and run the same command again"))
}

fn tell(
    options: &Reembed,
    report: &Report,
    state: &State,
    embedder: &Chosen,
    total: usize,
    start: Instant,
) -> Result<(), Failure> {
    if options.json {
        print_json(&json!({
            "switched": !report.stopped,
            "stopped": report.stopped,
            "model": embedder.model(),
            "dimensions": embedder.dimensions(),
            "set": state.next.set,
            "nodes": total,
            "embedded": report.written - report.without_text,
            "without_text": report.without_text,
            "done_before": report.passed_over,
            "removed": report.removed,
        }))?;
        return Ok(());
    }
    let before = if report.passed_over > 0 {
        format!(", {} done before", crate::output::thousands(report.passed_over))
    } else {
        String::new()
    };
    print(format_args!(
        "{STRONG}{} embedded{STRONG:#}{before}, in {:.1} s",
        count(report.written - report.without_text, "node"),
        start.elapsed().as_secs_f64()
    ))?;
    if report.without_text > 0 {
        say(format_args!("note: {} without text got no vector", count(report.without_text, "node")));
    }
    if !report.stopped {
        let kept = match (&state.from, state.keep) {
            (_, false) => "the old ones are removed".to_owned(),
            (Some(set), true) => format!("the old ones stay in the set {set}"),
            (None, true) => "the old ones stay in the default set".to_owned(),
        };
        print(format_args!(
            "The vectors in use are by {} now, {} values each; {kept}.",
            embedder.model(),
            embedder.dimensions()
        ))?;
    }
    say(format_args!("note: {}", embedder.remark()));
    Ok(())
}
