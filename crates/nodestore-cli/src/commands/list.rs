//! `list`: a page of documents, nodes, chats or key-values.

use clap::Args;
use futures::StreamExt;
use nodestore::{BoxStream, Node, NodeId, RefDocId, RefDocInfo, ScanOptions};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::failure::{Failure, Outcome};
use crate::output::{one_line, print, print_json, print_table, say, table};
use crate::store::{Access, Store, shown_path, with_store};

/// List what the store holds: documents, nodes, chats or key-values
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore list                             documents and their number of chunks
  nodestore list --nodes --limit 10
  nodestore list --chats
  nodestore list --kv nodestore --json       what this program noted about the store

A page ends with the option that shows the next one.")]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) what: ListWhat,
    /// Most items
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Goes on after this item
    #[arg(long, value_name = "ID")]
    pub(crate) after: Option<String>,
    /// Prints JSON: {"items": […], "next": …}
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `list` lists; documents unless something else is asked for.
#[derive(Args, Debug)]
#[group(multiple = false)]
pub(crate) struct ListWhat {
    /// Documents (the default)
    #[arg(long)]
    pub(crate) docs: bool,
    /// Documents and their nodes
    #[arg(long)]
    pub(crate) nodes: bool,
    /// Chats
    #[arg(long)]
    pub(crate) chats: bool,
    /// The entries of a key-value collection
    #[arg(long, value_name = "COLLECTION")]
    pub(crate) kv: Option<String>,
}

/// Characters of a text or value that are shown.
const SHOWN: usize = 100;

/// A page of some kind of item.
struct Listing {
    /// The items for programs.
    items: Vec<Value>,
    /// The items for people.
    rows: Vec<Vec<String>>,
    headings: &'static [&'static str],
    what: &'static str,
    /// The last key of the page, when there is more.
    next: Option<String>,
}

pub(crate) async fn run(options: &List, global: &Global) -> Result<Outcome, Failure> {
    with_store(global, Access::Existing, async |store| list(options, store).await).await
}

/// Which chats are listed, and how.
#[derive(Args, Debug)]
pub(crate) struct ChatsPage {
    /// Most sessions
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Goes on after this session
    #[arg(long, value_name = "SESSION")]
    pub(crate) after: Option<String>,
    /// Prints JSON: {"items": […], "next": …}
    #[arg(long)]
    pub(crate) json: bool,
}

/// Lists chats.
pub(super) async fn list_chats(options: &ChatsPage, store: &Store) -> Result<Outcome, Failure> {
    let listing = chats(options.limit as usize, options.after.clone(), store).await?;
    show(&listing, options.json, options.after.is_some(), store)
}

async fn list(options: &List, store: &Store) -> Result<Outcome, Failure> {
    let listing = read(options, store).await?;
    show(&listing, options.json, options.after.is_some(), store)
}

fn show(listing: &Listing, json: bool, goes_on: bool, store: &Store) -> Result<Outcome, Failure> {
    if json {
        print_json(&json!({"items": listing.items, "next": listing.next}))?;
        return Ok(Outcome::Done);
    }
    if listing.rows.is_empty() {
        let more = if goes_on { " more" } else { "" };
        print(format_args!("no{more} {} in {}", listing.what, store.shown))?;
        return Ok(Outcome::Done);
    }
    let mut table = table(listing.headings);
    table.add_rows(&listing.rows);
    print_table(&table)?;
    if let Some(next) = &listing.next {
        say(format_args!("there is more: --after '{next}'"));
    }
    Ok(Outcome::Done)
}

async fn read(options: &List, store: &Store) -> Result<Listing, Failure> {
    let backend = &store.backend;
    let after = options.after.clone();
    let limit = options.limit as usize;
    if let Some(collection) = &options.what.kv {
        let mut scan = ScanOptions::default();
        scan.after = after;
        let (items, more) = page(backend.kv()?.scan(collection, scan), limit).await?;
        let next = items.last().filter(|_| more).map(|(key, _)| key.clone());
        return Ok(Listing {
            rows: items
                .iter()
                .map(|(key, value)| {
                    vec![one_line(key, SHOWN), one_line(&Value::from(value.clone()).to_string(), SHOWN)]
                })
                .collect(),
            items: items.into_iter().map(|(key, value)| json!({"key": key, "value": value})).collect(),
            headings: &["key", "value"],
            what: "entries of this collection",
            next,
        });
    }
    if options.what.chats {
        return chats(limit, after, store).await;
    }
    if options.what.nodes {
        let (nodes, more) = page(backend.docs()?.scan(after.map(NodeId::new)), limit).await?;
        return Ok(nodes_listing(&nodes, more));
    }
    let (documents, more) = page(backend.docs()?.scan_ref_docs(after.map(RefDocId::new)), limit).await?;
    Ok(documents_listing(documents, more))
}

/// At most `limit` items of a stream, and whether there are more.
async fn page<T>(mut stream: BoxStream<T>, limit: usize) -> Result<(Vec<T>, bool), Failure> {
    let mut items = Vec::new();
    while let Some(item) = stream.next().await {
        if items.len() == limit {
            return Ok((items, true));
        }
        items.push(item?);
    }
    Ok((items, false))
}

fn documents_listing(documents: Vec<(RefDocId, RefDocInfo)>, more: bool) -> Listing {
    let next = documents.last().filter(|_| more).map(|(id, _)| id.as_str().to_owned());
    let title = |info: &RefDocInfo| {
        let title = info.metadata.get("title").and_then(Value::as_str);
        one_line(title.unwrap_or_default(), SHOWN)
    };
    Listing {
        rows: documents
            .iter()
            .map(|(id, info)| {
                vec![one_line(&shown_path(id.as_str()), 300), info.node_ids.len().to_string(), title(info)]
            })
            .collect(),
        items: documents
            .into_iter()
            .map(|(id, info)| {
                let nodes: Vec<&str> = info.node_ids.iter().map(NodeId::as_str).collect();
                json!({"id": id.as_str(), "nodes": nodes, "metadata": info.metadata})
            })
            .collect(),
        headings: &["document", "nodes", "title"],
        what: "documents",
        next,
    }
}

fn nodes_listing(nodes: &[Node], more: bool) -> Listing {
    Listing {
        rows: nodes
            .iter()
            .map(|node| {
                let text = one_line(node.text_content(), SHOWN);
                vec![one_line(&shown_path(node.id.as_str()), 300), node.class_name().to_owned(), text]
            })
            .collect(),
        items: nodes.iter().map(|node| Value::Object(node.to_json())).collect(),
        headings: &["node", "class", "text"],
        what: "nodes",
        next: nodes.last().filter(|_| more).map(|node| node.id.as_str().to_owned()),
    }
}

async fn chats(limit: usize, after: Option<String>, store: &Store) -> Result<Listing, Failure> {
    let chat = store.backend.chat()?;
    let (keys, more) = page(chat.keys(after), limit).await?;
    let mut rows = Vec::new();
    let mut items = Vec::new();
    for key in &keys {
        let messages = chat.messages(key, None).await?;
        let last = messages.last().and_then(nodestore::ChatMessage::text).unwrap_or_default();
        rows.push(vec![one_line(key, SHOWN), messages.len().to_string(), one_line(&last, SHOWN)]);
        items.push(json!({"key": key, "messages": messages.len()}));
    }
    let next = keys.into_iter().next_back().filter(|_| more);
    Ok(Listing { items, rows, headings: &["chat", "messages", "last message"], what: "chats", next })
}
