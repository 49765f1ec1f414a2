//! `search`: ranked answers with their sources.

use nodestore::{Embedding, Filter, Node, QueryPlan, ScoredNode, Selector, VectorQuery, VectorStoreExt};
use serde_json::{Value, json};

use super::parse_filter;
use crate::cli::{Global, Mode, Search};
use crate::embedding;
use crate::failure::{Failure, Outcome};
use crate::output::{FAINT, one_line, print, print_json, print_table, say, table};
use crate::snippet::Words;
use crate::source::{self, Source};
use crate::store::{Access, Store, with_store};

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
    let vectors = store.backend.vectors()?;
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
        let embedder = embedding::for_searching(&*store.backend, config.dimensions).await?;
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
