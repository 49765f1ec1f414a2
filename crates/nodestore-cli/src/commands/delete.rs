//! `delete`: documents and nodes, from the documents and from the vectors.

use clap::Args;
use nodestore::{DocQuery, DocStoreExt, Filter, GetOptions, NodeId, RefDocId, Selector};
use serde_json::json;

use super::{can_delete, or_path, parse_filter};
use crate::cli::Global;
use crate::failure::{Failure, Outcome};
use crate::output::{count, print, print_json, say};
use crate::store::{Access, Store, with_store};

/// Delete documents and nodes, with their vectors
///
/// The id of a document deletes it with all its nodes. Asks before it deletes; without a terminal it wants --yes.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore delete README.md                 a document and its nodes
  nodestore delete 8c1f5a52-…                one node
  nodestore delete --filter 'file_type == \"text/plain\"' --yes

The exit code is 4 when there is nothing to delete.")]
pub(crate) struct Delete {
    /// Ids of documents or nodes, or files that were ingested
    #[arg(value_name = "ID", required_unless_present_any = ["ref_doc", "filter"])]
    pub(crate) ids: Vec<String>,
    /// Ids of source documents: deletes their nodes also where the document itself is not stored
    #[arg(long, value_name = "ID")]
    pub(crate) ref_doc: Vec<String>,
    /// Everything whose metadata matches, in words or as LlamaIndex's JSON
    #[arg(long, value_name = "FILTER", conflicts_with_all = ["ids", "ref_doc"])]
    pub(crate) filter: Option<String>,
    /// Does not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Prints a report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Ids in one call of a store.
const BATCH: usize = 1000;

/// The class of whole documents.
const DOCUMENT: &str = "Document";

/// What is going to be deleted.
#[derive(Debug, Default)]
struct Plan {
    /// Source documents, with all their nodes.
    documents: Vec<RefDocId>,
    /// How many nodes these have.
    document_nodes: usize,
    /// Single nodes, and documents that are deleted by themselves.
    nodes: Vec<NodeId>,
    /// How many of these are documents.
    single_documents: usize,
    /// Ids that are not there.
    missing: Vec<String>,
}

pub(crate) async fn run(options: &Delete, global: &Global) -> Result<Outcome, Failure> {
    let filter = options.filter.as_deref().map(parse_filter).transpose()?;
    can_delete(options.yes)?;
    with_store(global, Access::Existing, async |store| plan_and_delete(options, filter, store).await).await
}

async fn plan_and_delete(
    options: &Delete,
    filter: Option<Filter>,
    store: &Store,
) -> Result<Outcome, Failure> {
    let plan = match filter {
        Some(filter) => plan_by_filter(filter, store).await?,
        None => plan_by_id(options, store).await?,
    };
    for id in &plan.missing {
        say(format_args!("there is no document or node {id:?} in {}", store.shown));
    }
    if plan.documents.is_empty() && plan.nodes.is_empty() {
        if options.json {
            print_json(&json!({"documents": 0, "nodes": 0, "missing": plan.missing}))?;
        } else {
            say("nothing to delete; `nodestore list` shows what the store holds");
        }
        return Ok(Outcome::NothingFound);
    }
    if !options.yes && !plan_confirmed(&plan, store)? {
        say("nothing was deleted");
        return Ok(Outcome::Done);
    }
    let nodes = delete(&plan, store).await?;
    let documents = plan.documents.len() + plan.single_documents;
    if options.json {
        print_json(&json!({"documents": documents, "nodes": nodes, "missing": plan.missing}))?;
    } else {
        let (documents, nodes) = (count(documents, "document"), count(nodes, "node"));
        print(format_args!("deleted {documents} and {nodes} from {}", store.shown))?;
    }
    Ok(if plan.missing.is_empty() { Outcome::Done } else { Outcome::NothingFound })
}

/// Sorts the ids into documents, nodes, and what is not there.
async fn plan_by_id(options: &Delete, store: &Store) -> Result<Plan, Failure> {
    let mut plan = Plan::default();
    for id in &options.ref_doc {
        if !plan_document(&mut plan, store, id, true).await? {
            plan.missing.push(id.clone());
        }
    }
    for id in &options.ids {
        if id.is_empty() {
            return Err(Failure::usage("an id is empty"));
        }
        let mut found = false;
        for id in [Some(id.clone()), or_path(id)].into_iter().flatten() {
            found = plan_document(&mut plan, store, &id, false).await?
                || plan_node(&mut plan, store, &id).await?;
            if found {
                break;
            }
        }
        if !found {
            plan.missing.push(id.clone());
        }
    }
    Ok(plan)
}

/// Plans a source document if `id` is one; `by_name` also finds nodes that only the vectors have.
async fn plan_document(plan: &mut Plan, store: &Store, id: &str, by_name: bool) -> Result<bool, Failure> {
    let document = RefDocId::new(id);
    if plan.documents.contains(&document) {
        return Ok(true);
    }
    let mut nodes = store.backend.docs()?.ref_doc(&document).await?.map(|info| info.node_ids.len());
    if nodes.is_none() && by_name {
        let in_vectors = if is_configured(store).await? {
            store.vectors().await?.count(&Selector::ref_docs([id])).await?
        } else {
            0
        };
        let stored = store.backend.docs()?.exists(&NodeId::new(id)).await?;
        nodes = (stored || in_vectors > 0).then_some(in_vectors);
    }
    let Some(nodes) = nodes else { return Ok(false) };
    plan.document_nodes += nodes;
    plan.documents.push(document);
    Ok(true)
}

async fn plan_node(plan: &mut Plan, store: &Store, id: &str) -> Result<bool, Failure> {
    let node = NodeId::new(id);
    if plan.nodes.contains(&node) {
        return Ok(true);
    }
    let stored = store.backend.docs()?.get(&node).await?;
    let found = stored.is_some()
        || is_configured(store).await? && store.vectors().await?.count(&Selector::ids([id])).await? > 0;
    if found {
        plan.nodes.push(node);
        plan.single_documents += usize::from(stored.is_some_and(|node| node.class_name() == DOCUMENT));
    }
    Ok(found)
}

/// Everything whose metadata matches, in the documents or in the vectors.
async fn plan_by_filter(filter: Filter, store: &Store) -> Result<Plan, Failure> {
    let mut plan = Plan::default();
    let docs = store.backend.docs()?;
    let mut query = DocQuery::new().with_filter(filter.clone()).with_projection(["id_"]).with_limit(BATCH);
    loop {
        let page = docs.find(&query).await?;
        for item in page.items {
            let text = |key: &str| item.get("__data__").and_then(|data| data.get(key)?.as_str());
            plan.nodes.extend(text("id_").map(NodeId::from));
            plan.single_documents += usize::from(text("class_name") == Some(DOCUMENT));
        }
        let Some(next) = page.next else { break };
        query = query.with_after(next);
    }
    if is_configured(store).await? {
        let vectors = store.vectors().await?;
        let selector = Selector::from(filter);
        let mut options = GetOptions::default().with_limit(BATCH);
        loop {
            let page = vectors.get(&selector, options.clone()).await?;
            plan.nodes.extend(page.items.into_iter().map(|node| node.id));
            let Some(next) = page.next else { break };
            options = options.with_after(next);
        }
    }
    plan.nodes.sort();
    plan.nodes.dedup();
    Ok(plan)
}

async fn is_configured(store: &Store) -> Result<bool, Failure> {
    Ok(store.vectors().await?.config().await?.is_some())
}

fn plan_confirmed(plan: &Plan, store: &Store) -> Result<bool, Failure> {
    let documents = plan.documents.len() + plan.single_documents;
    let nodes = plan.document_nodes + plan.nodes.len() - plan.single_documents;
    let (documents, nodes) = (count(documents, "document"), count(nodes, "node"));
    super::confirmed(format_args!("Delete {documents} and {nodes} from {}?", store.shown))
}

/// Deletes, and answers how many nodes that are no documents. The vectors go first: if the command is cut short, the documents still name what is left.
async fn delete(plan: &Plan, store: &Store) -> Result<usize, Failure> {
    let docs = store.backend.docs()?;
    let vectors = if is_configured(store).await? { Some(store.vectors().await?) } else { None };
    let mut deleted = plan.nodes.len() - plan.single_documents;
    for id in &plan.documents {
        let in_vectors = match &vectors {
            Some(vectors) => vectors.delete(&Selector::ref_docs([id.as_str()])).await?,
            None => 0,
        };
        let in_docs = docs.delete_ref_doc(id).await?.map_or(0, |deleted| deleted.nodes);
        deleted += in_docs.max(in_vectors);
    }
    for ids in plan.nodes.chunks(BATCH) {
        if let Some(vectors) = &vectors {
            vectors.delete(&Selector::ids(ids.iter().map(NodeId::as_str))).await?;
        }
        docs.delete_many(ids).await?;
    }
    Ok(deleted)
}
