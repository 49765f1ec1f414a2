//! `search`: ranked answers with their sources.

use clap::{Args, ValueEnum};
use nodestore::{
    Embedder, Embedding, Filter, Node, QueryPlan, ScoredNode, Selector, VectorQuery, VectorStoreExt,
};
use serde_json::{Value, json};

use super::parse_filter;
use crate::cli::Global;
use crate::embedding::{self, EmbedderArgs};
use crate::failure::{Failure, Outcome};
use crate::output::{FAINT, one_line, print, print_json, print_table, say, table};
use crate::snippet::Words;
use crate::source::{self, Source};
use crate::store::{Access, Store, with_store};

/// Search the store, best answers first
///
/// Shows for each answer its score, the file and lines it comes from, and the part that matches. Scores can be
/// compared within one answer list only: cosine in [-1, 1] for vector, BM25 for text, a sum of ranks for hybrid.
#[derive(Args, Debug)]
#[command(after_help = SEARCH_EXAMPLES, after_long_help = search_help())]
pub(crate) struct Search {
    /// The question; several words need no quotes
    #[arg(required = true, value_name = "QUERY")]
    pub(crate) query: Vec<String>,
    /// How to search
    #[arg(long, value_enum, default_value_t = Mode::Hybrid)]
    pub(crate) mode: Mode,
    /// Most answers
    #[arg(short = 'k', long = "top-k", value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) top_k: u32,
    /// Only nodes whose metadata matches, in words or as LlamaIndex's JSON
    #[arg(long, value_name = "FILTER")]
    pub(crate) filter: Option<String>,
    #[command(flatten)]
    pub(crate) embedder: EmbedderArgs,
    /// Also shows how the store answers
    #[arg(long)]
    pub(crate) explain: bool,
    /// Prints JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const SEARCH_EXAMPLES: &str = "\
Examples:
  nodestore search \"resume a scan\"
  nodestore search --mode text -k 10 fsync durable
  nodestore search cursor --filter 'file_name == \"design.md\" or title matches \"Design\"'
  nodestore search cursor --json | jq '.hits[0].text'

`nodestore get ID` shows the metadata that filters see. The exit code is 4 when nothing is found.";

fn search_help() -> String {
    format!("{SEARCH_EXAMPLES}\n\n{}", nodestore::filter::SYNTAX_HELP)
}

/// How `search` searches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Nearest vectors
    Vector,
    /// Best by words (BM25); only nodes that hold a word of the question
    Text,
    /// Both, joined by rank
    Hybrid,
    /// Near the question, but unlike each other
    Mmr,
}

/// Characters of a text that are shown.
const SNIPPET: usize = 240;

pub(crate) async fn run(options: &Search, global: &Global) -> Result<Outcome, Failure> {
    let question = options.query.join(" ");
    if question.trim().is_empty() {
        return Err(
            Failure::usage("the question is empty").with_help("nodestore search \"how do I resume a scan?\"")
        );
    }
    let filter = options.filter.as_deref().map(parse_filter).transpose()?;
    with_store(global, Access::Existing, async |store| search(options, &question, filter, store).await).await
}

async fn search(
    options: &Search,
    question: &str,
    filter: Option<Filter>,
    store: &Store,
) -> Result<Outcome, Failure> {
    let vectors = store.vectors().await?;
    let Some(config) = vectors.config().await? else {
        if options.json {
            print_json(&to_json(options, question, &[], &[], None))?;
        }
        say(format_args!("nothing found: {} is still empty; `nodestore ingest PATH` fills it", store.shown));
        return Ok(Outcome::NothingFound);
    };
    let embedding = if options.mode == Mode::Text {
        Embedding::new()
    } else {
        let embedder = embedding::for_searching(store, &options.embedder, config.dimensions).await?;
        embedder.embed(&[question]).await?.into_iter().next().unwrap_or_default()
    };
    let query = query(options, question, embedding, filter);
    let plan = if options.explain { Some(vectors.explain(&query).await?) } else { None };
    let hits = vectors.query(&query).await?;
    let nodes: Vec<&Node> = hits.iter().map(|hit| &hit.node).collect();
    let sources = source::of(&*store.backend.docs()?, &nodes).await?;

    if options.json {
        print_json(&to_json(options, question, &hits, &sources, plan.as_ref()))?;
    } else {
        show(question, &hits, &sources)?;
        if let Some(plan) = &plan {
            show_plan(plan)?;
        }
    }
    if hits.is_empty() {
        say(match (options.mode, &options.filter) {
            (Mode::Text, _) => "nothing found; try other words, or --mode vector",
            (_, Some(_)) => "nothing found; does the filter fit? `nodestore get ID` shows metadata",
            _ => "nothing found; `nodestore list` shows what the store holds",
        });
        return Ok(Outcome::NothingFound);
    }
    Ok(Outcome::Done)
}

fn query(options: &Search, question: &str, embedding: Embedding, filter: Option<Filter>) -> VectorQuery {
    let top_k = options.top_k as usize;
    let query = match options.mode {
        Mode::Vector => VectorQuery::dense(embedding, top_k),
        Mode::Text => VectorQuery::text(question, top_k),
        Mode::Hybrid => VectorQuery::hybrid(embedding, question, top_k),
        Mode::Mmr => VectorQuery::mmr(embedding, top_k),
    };
    query.with_selector(filter.map_or_else(Selector::all, Selector::from))
}

fn show(question: &str, hits: &[ScoredNode], sources: &[Source]) -> Result<(), Failure> {
    if hits.is_empty() {
        return Ok(());
    }
    let words = Words::new(question);
    let mut table = table(&["score", "source and text"]);
    for (hit, source) in hits.iter().zip(sources) {
        let snippet = words.snippet(hit.node.text_content(), SNIPPET);
        let (place, id) = (source.shown(), one_line(hit.node.id.as_str(), 200));
        let text = format!("{FAINT}{place}{FAINT:#}\n{snippet}\n{FAINT}{id}{FAINT:#}\n");
        table.add_row([score(hit.score), text]);
    }
    print_table(&table)?;
    Ok(())
}

/// Four digits that tell scores apart, whatever their size: ranks joined are hundredths, BM25 is tens.
pub(super) fn score(score: f64) -> String {
    if score.abs() < 1.0 { format!("{score:.4}") } else { format!("{score:.2}") }
}

fn show_plan(plan: &QueryPlan) -> Result<(), Failure> {
    print(format_args!("how it was answered: {}", plan.summary))?;
    if let Some(candidates) = plan.candidates {
        print(format_args!("  nodes that took part: {candidates}"))?;
    }
    if let Some(filter) = &plan.pushed_down {
        print(format_args!("  filter applied by the store: {filter}"))?;
    }
    if let Some(filter) = &plan.applied_after {
        print(format_args!("  filter applied after reading: {filter}"))?;
    }
    if let Some(native) = &plan.native {
        print(format_args!("  native query: {}", one_line(native, 2000)))?;
    }
    Ok(())
}

fn to_json(
    options: &Search,
    question: &str,
    hits: &[ScoredNode],
    sources: &[Source],
    plan: Option<&QueryPlan>,
) -> Value {
    let hits: Vec<Value> = hits
        .iter()
        .zip(sources)
        .map(|(hit, source)| {
            json!({
                "id": hit.node.id.as_str(),
                "score": hit.score,
                "document": hit.node.ref_doc_id().map(nodestore::RefDocId::into_string),
                "source": source.to_json(),
                "text": hit.node.text_content(),
                "metadata": hit.node.metadata,
            })
        })
        .collect();
    let mode = match options.mode {
        Mode::Vector => "vector",
        Mode::Text => "text",
        Mode::Hybrid => "hybrid",
        Mode::Mmr => "mmr",
    };
    let mut answer = json!({"query": question, "mode": mode, "hits": hits});
    if let (Some(plan), Some(answer)) = (plan, answer.as_object_mut()) {
        let filter = |filter: &Option<Filter>| filter.as_ref().map(ToString::to_string);
        answer.insert(
            "plan".to_owned(),
            json!({
                "summary": plan.summary,
                "candidates": plan.candidates,
                "filter_in_store": filter(&plan.pushed_down),
                "filter_after": filter(&plan.applied_after),
                "native": plan.native,
            }),
        );
    }
    answer
}
