//! `get`: documents and nodes by id.

use clap::Args;
use nodestore::{GetOptions, Node, NodeId, Selector};
use serde_json::Value;

use super::or_path;
use crate::cli::Global;
use crate::failure::{Failure, Outcome};
use crate::output::{FAINT, STRONG, one_line, print, print_json, printable, say};
use crate::store::{Access, Store, with_store};

/// Show documents and nodes by id
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore get README.md                    the document of a file
  nodestore get 8c1f5a52-… --json            a node in LlamaIndex's JSON

Ids are what `list` and `search` show. The exit code is 4 when one is not there.")]
pub(crate) struct Get {
    /// Ids of documents or nodes, or files that were ingested
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Prints a JSON list of nodes, in LlamaIndex's form
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) async fn run(options: &Get, global: &Global) -> Result<Outcome, Failure> {
    with_store(global, Access::Existing, async |store| get(options, store).await).await
}

async fn get(options: &Get, store: &Store) -> Result<Outcome, Failure> {
    let mut nodes = Vec::new();
    let mut missing = Vec::new();
    for id in &options.ids {
        match find(store, id).await? {
            Some(node) => nodes.push(node),
            None => missing.push(id),
        }
    }
    if options.json {
        print_json(&Value::Array(nodes.iter().map(|node| Value::Object(node.to_json())).collect()))?;
    } else {
        for (place, node) in nodes.iter().enumerate() {
            if place > 0 {
                print("")?;
            }
            show(node)?;
        }
    }
    for id in &missing {
        say(format_args!("there is no document or node {:?} in {}", id, store.shown));
    }
    if missing.is_empty() {
        return Ok(Outcome::Done);
    }
    say("`nodestore list` shows the ids of documents, `nodestore list --nodes` those of nodes");
    Ok(Outcome::NothingFound)
}

/// The node of an id, or of the file of that name; nodes that only the vector store has count too.
async fn find(store: &Store, id: &str) -> Result<Option<Node>, Failure> {
    if id.is_empty() {
        return Err(Failure::usage("an id is empty"));
    }
    let mut ids = vec![NodeId::new(id)];
    ids.extend(or_path(id).map(NodeId::new));
    let stored = store.backend.docs()?.get_many(&ids).await?;
    if let Some(node) = stored.into_iter().flatten().next() {
        return Ok(Some(node));
    }
    let vectors = store.vectors().await?;
    if vectors.config().await?.is_none() {
        return Ok(None);
    }
    let page = vectors.get(&Selector::ids([id]), GetOptions::default()).await?;
    Ok(page.items.into_iter().next())
}

fn show(node: &Node) -> Result<(), Failure> {
    print(format_args!("{STRONG}{}{STRONG:#}  {}", one_line(node.id.as_str(), 500), node.class_name()))?;
    let line =
        |key: &str, value: &str| print(format_args!("{FAINT}{key}:{FAINT:#} {}", one_line(value, 500)));
    if let Some(document) = node.ref_doc_id() {
        line("document", document.as_str())?;
    }
    let neighbours = [("previous", node.relationships.previous()), ("next", node.relationships.next())];
    for (name, neighbour) in neighbours {
        if let Some(neighbour) = neighbour {
            line(name, neighbour.node_id.as_str())?;
        }
    }
    for (key, value) in &node.metadata {
        line(key, &value.as_str().map_or_else(|| value.to_string(), str::to_owned))?;
    }
    print(format_args!("\n{}", printable(node.text_content().trim_end())))?;
    Ok(())
}
