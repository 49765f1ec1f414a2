//! `quickstart`: everything once, in a store of its own.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use futures::StreamExt;
use nodestore::{
    ChatMessage, Document, Embedder, Error, Ingestion, NodeId, Result as StoreResult, Selector, VectorQuery,
    VectorStoreExt,
};

use super::search::score;
use super::stats::{megabytes, size};
use crate::chunks::splitter;
use crate::cli::Global;
use crate::embedding::{self, EmbedderArgs};
use crate::failure::{Failure, Outcome};
use crate::formats;
use crate::output::{FAINT, STRONG, count, print, print_table, printable, say, table};
use crate::snippet::Words;
use crate::source;
use crate::store::{self, Access, Store};

/// See it work: documents, search and a chat, on disk, in a few seconds
///
/// Stores a few documents about nodestore in a store of its own, asks it questions by vector and by words, remembers
/// a chat, closes the store, opens it again, and shows that everything is still there. Your own store is not touched
/// unless --store names it. Run in a checkout of nodestore it also reads README.md and docs/*.md.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore quickstart
  nodestore --store memory: quickstart       leaves nothing behind")]
pub(crate) struct Quickstart {}

/// Documents that come with the program, by file name.
const BUNDLED: [(&str, &str); 5] = [
    ("nodestore.md", include_str!("../../quickstart/nodestore.md")),
    ("stores.md", include_str!("../../quickstart/stores.md")),
    ("search.md", include_str!("../../quickstart/search.md")),
    ("ingestion.md", include_str!("../../quickstart/ingestion.md")),
    ("chats.md", include_str!("../../quickstart/chats.md")),
];

/// What is asked.
const QUESTIONS: [&str; 3] = [
    "What happens to a file that did not change?",
    "Does the embedder compare words or meaning?",
    "Is a chat history still there after a restart?",
];

/// The key of the chat.
const CHAT: &str = "quickstart";
/// Most characters in a chunk: small, since the documents are.
const CHUNK: usize = 500;
/// Answers to each question and way of searching.
const TOP_K: usize = 2;

pub(crate) async fn run(global: &Global) -> Result<Outcome, Failure> {
    let own_store = global.store.is_none();
    let url =
        if own_store { Some(nodestore::embedded_url(&store::data_folder("quickstart")?)) } else { None };
    let open = async || match &url {
        Some(url) => store::open_url(url, global.namespace.as_deref(), Access::Create).await,
        None => store::open(global, Access::Create).await,
    };

    let first = open().await?;
    step(1, &format!("Open the store {}", first.shown))?;
    if first.folder.is_some() {
        print("It is a folder on this disk: no server, no model, no network.")?;
    }
    ingest(&first).await?;
    let answer = ask(&first).await?;
    remember(&first, &answer).await?;
    first.backend.close().await?;
    // A folder, or a server: what other processes see outlives this one.
    let keeps = first.folder.is_some() || first.backend.capabilities().shared;
    drop(first);

    if keeps {
        step(5, "Close the store, open it again")?;
        let start = Instant::now();
        let again = open().await?;
        still_there(&again, start).await?;
        again.backend.close().await?;
    } else {
        step(5, "Not opened again")?;
        print(
            "This store lives in memory and ends with the command. Leave --store out to see one that stays.",
        )?;
    }
    next_steps(own_store, keeps, global)?;
    Ok(Outcome::Done)
}

fn step(number: usize, what: &str) -> Result<(), Failure> {
    print(format_args!("\n{STRONG}{number}. {what}{STRONG:#}"))?;
    Ok(())
}

/// The documents: those that come with the program and, in a checkout of nodestore, its own.
fn documents() -> Vec<StoreResult<Document>> {
    let bundled = BUNDLED.iter().map(|(name, text)| {
        let id = format!("nodestore/quickstart/{name}");
        formats::document(&id, text.as_bytes()).map_err(|why| Error::invalid_input(why).with_key(id))
    });
    bundled.chain(checkout().iter().map(|path| read(path))).collect()
}

fn read(path: &Path) -> StoreResult<Document> {
    let id = path.display().to_string();
    let read = std::fs::read(path).map_err(|error| error.to_string());
    read.and_then(|bytes| formats::document(&id, &bytes))
        .map_err(|why| Error::invalid_input(why).with_key(&id).with_failed([id]))
}

/// README.md and docs/*.md of the working directory, if that is a checkout of nodestore.
fn checkout() -> Vec<PathBuf> {
    if !Path::new("crates/nodestore-cli/quickstart").is_dir() {
        return Vec::new();
    }
    let docs =
        walkdir::WalkDir::new("docs").max_depth(1).sort_by_file_name().into_iter().filter_map(Result::ok);
    let docs = docs.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "md"));
    let paths = std::iter::once(PathBuf::from("README.md")).chain(docs.map(walkdir::DirEntry::into_path));
    paths.filter_map(|path| path.canonicalize().ok()).collect()
}

async fn ingest(store: &Store) -> Result<(), Failure> {
    let documents = documents();
    step(2, &format!("Ingest {}", count(documents.len(), "document")))?;
    let start = Instant::now();
    let embedder = embedding::for_writing(store, &EmbedderArgs::default()).await?;
    let dimensions = embedder.dimensions();
    let ingestion = Ingestion::new(store.backend.docs()?, splitter(CHUNK, 0)?)
        .with_vectors(store.vectors().await?, embedder);
    let report = ingestion.run_stream(futures::stream::iter(documents).boxed()).await?;
    for failure in &report.failures {
        say(format_args!("skipped: {}", failure.error));
    }
    print(format_args!(
        "{} new, {} changed, {} unchanged since the last time; {} cut and embedded in {:.2} s.",
        report.added,
        report.changed,
        report.unchanged,
        count(report.nodes_written, "chunk"),
        start.elapsed().as_secs_f64()
    ))?;
    print(format_args!(
        "{FAINT}Each chunk has {dimensions} values; {}.{FAINT:#}",
        embedding::COMPARES_WORDING
    ))?;
    Ok(())
}

/// Asks every question by vector and by words; answers the best text for the last.
async fn ask(store: &Store) -> Result<String, Failure> {
    step(3, "Search by vector and by words")?;
    let vectors = store.vectors().await?;
    let dimensions = vectors.config().await?.map_or(0, |config| config.dimensions);
    let embedder = embedding::for_searching(store, &EmbedderArgs::default(), dimensions).await?;
    let embeddings = embedder.embed(&QUESTIONS).await?;
    let mut best = String::new();
    for (question, embedding) in QUESTIONS.iter().zip(embeddings) {
        print(format_args!("\n{STRONG}{question}{STRONG:#}"))?;
        let words = Words::new(question);
        let mut table = table(&["by", "score", "source and text"]);
        for (name, query) in
            [("vector", VectorQuery::dense(embedding, TOP_K)), ("words", VectorQuery::text(*question, TOP_K))]
        {
            let hits = vectors.query(&query).await?;
            let nodes: Vec<_> = hits.iter().map(|hit| &hit.node).collect();
            let sources = source::of(&*store.backend.docs()?, &nodes).await?;
            for (hit, source) in hits.iter().zip(sources) {
                let text = words.snippet(hit.node.text_content(), 75);
                let place = format!("{FAINT}{}{FAINT:#}", source.shown());
                table.add_row([name.to_owned(), score(hit.score), format!("{place}\n{text}")]);
            }
            if let Some(hit) = hits.first() {
                best = hit.node.text_content().to_owned();
            }
        }
        print_table(&table)?;
    }
    Ok(best)
}

async fn remember(store: &Store, answer: &str) -> Result<(), Failure> {
    step(4, "Remember a chat")?;
    let question = QUESTIONS.last().copied().unwrap_or_default();
    let messages = vec![
        ChatMessage::system("Answer from the documents."),
        ChatMessage::user(question),
        ChatMessage::assistant(answer),
    ];
    let number = messages.len();
    store.backend.chat()?.replace(CHAT, messages).await?;
    print(format_args!("{} stored under the key {CHAT:?}.", count(number, "message")))?;
    Ok(())
}

async fn still_there(store: &Store, start: Instant) -> Result<(), Failure> {
    let mut documents = 0;
    let mut scan = store.backend.docs()?.scan_ref_docs(None);
    while let Some(document) = scan.next().await {
        document?;
        documents += 1;
    }
    let nodes = store.vectors().await?.count(&Selector::all()).await?;
    let folder = store.folder.as_deref().map(|folder| format!(", {} on disk", megabytes(size(folder))));
    print(format_args!(
        "Still there, after {:.2} s: {} as {}{}.",
        start.elapsed().as_secs_f64(),
        count(documents, "document"),
        count(nodes, "chunk"),
        folder.unwrap_or_default()
    ))?;
    for message in store.backend.chat()?.messages(CHAT, None).await? {
        let text = crate::output::one_line(&message.text().unwrap_or_default(), 90);
        print(format_args!("  {FAINT}{:<10}{FAINT:#}{text}", message.role.as_str()))?;
    }
    let id = NodeId::new("nodestore/quickstart/chats.md");
    if store.backend.docs()?.get_many(&[id]).await?.iter().all(Option::is_none) {
        return Err(Failure::new("a document is missing after the store was opened again"));
    }
    Ok(())
}

fn next_steps(own_store: bool, keeps: bool, global: &Global) -> Result<(), Failure> {
    step(6, "Go on")?;
    let folder = match &global.store {
        Some(store) => nodestore::redact(store),
        None => store::data_folder("quickstart")?.display().to_string(),
    };
    let folder = quoted(&printable(&folder));
    let program = program();
    if keeps {
        let namespace =
            global.namespace.as_ref().map(|name| format!(" --namespace {name}")).unwrap_or_default();
        let at = format!("--store {folder}{namespace}");
        print(format_args!("  {program} {at} search \"how is a chat kept?\""))?;
        print(format_args!("  {program} {at} list"))?;
        print(format_args!("  {program} {at} list --chats"))?;
    }
    print(format_args!("  {program} ingest PATH        your own documents, into your own store"))?;
    print(format_args!("  {program} --help             everything else"))?;
    if own_store {
        print(format_args!("To remove what quickstart made, delete the folder {folder}."))?;
    }
    Ok(())
}

/// The program as it was called, so that the next command works where it is not installed.
fn program() -> String {
    let called = std::env::args_os().next();
    called.map_or_else(|| "nodestore".to_owned(), |name| quoted(&printable(&name.to_string_lossy())))
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:~+=@%,".contains(c);
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}
