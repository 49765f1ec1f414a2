//! Finding and counting nodes. The service leaves out what it can tell does not match, and sends of the others what the
//! query looks at; order, pages and the filter's last word are core's.
//!
//! A part of an item does not tell which numbers are floats, as that stands beside the whole of it. Where that matters,
//! or a node is of an older form, the whole is read, a batch at a time.

use std::collections::VecDeque;

use aws_sdk_dynamodb::types::AttributeValue;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::kit::doc_query;
use store_core::{
    BoxStream, DocQuery, Error, Filter, JsonObject, KvStore as _, Node, NodeId, Page, Result, ScanOptions,
};

use crate::admit::{admitting, untold};
use crate::codec::{self, Item};
use crate::filter::{Native, Test};
use crate::kv::DynamoKvStore;
use crate::kv_scan::{Path, Scan};
use crate::schema::{BESIDE, EXPIRES, LARGE};

const DATA: &str = "__data__";
const TYPE: &str = "__type__";
const METADATA: &str = "metadata";
/// What the metadata is called in the oldest form.
const EXTRA_INFO: &str = "extra_info";
/// Members that are always read: the id, the class and what it needs, and what tells today's form from older ones.
const FIXED: [&str; 6] =
    ["id_", "class_name", "index_id", "metadata_separator", "metadata_seperator", EXTRA_INFO];
/// Members that hold a text.
const TEXT: [&str; 2] = ["text", "text_resource"];
/// Members that stand alone in today's form.
const ALONE: [&str; 10] = [
    "embedding",
    METADATA,
    "excluded_embed_metadata_keys",
    "excluded_llm_metadata_keys",
    "relationships",
    "metadata_template",
    "text_template",
    "text",
    "start_char_idx",
    "end_char_idx",
];
/// Nodes that are read at once.
const BATCH: usize = 100;

/// Which members of nodes are read.
#[derive(Clone, Debug)]
struct Members {
    /// `None` = all.
    names: Option<Vec<&'static str>>,
    /// Whether it matters which numbers are floats.
    kinds: bool,
}

impl Members {
    /// What a filter and a sort look at.
    fn metadata() -> Self {
        Self { names: Some(vec![METADATA]), kinds: false }
    }

    /// What a query looks at.
    fn of(query: &DocQuery) -> Self {
        let mut members = Self { names: None, kinds: true };
        let Some(projection) = &query.projection else { return members };
        let looks = !query.sort.is_empty() || query.filter.is_some();
        let mut names = if looks { vec![METADATA] } else { Vec::new() };
        members.kinds = false;
        for path in projection {
            let first = path.split('.').next().unwrap_or_default();
            members.kinds |= matches!(first, METADATA | "relationships");
            match ALONE.into_iter().find(|name| *name == first) {
                Some("text") => names.extend(TEXT),
                Some(name) => names.push(name),
                None if FIXED.contains(&first) => {}
                None => return Self { names: None, kinds: true },
            }
        }
        names.sort_unstable();
        names.dedup();
        Self { names: Some(names), ..members }
    }

    fn paths(&self) -> Option<Vec<Path>> {
        let names = self.names.as_ref()?;
        let members = FIXED.iter().chain(names).map(|name| vec![DATA.to_owned(), (*name).to_owned()]);
        let beside = [TYPE, BESIDE, EXPIRES, LARGE].map(|name| vec![name.to_owned()]);
        Some(members.chain(beside).collect())
    }

    /// Whether the whole of an item is needed that was read in part.
    fn is_not_enough(&self, item: &Item) -> bool {
        let beside = item.get(BESIDE);
        let marked = |beside: &AttributeValue| beside.as_s().is_ok_and(|beside| beside.len() > 16);
        item.contains_key(LARGE)
            || beside.is_some_and(|beside| codec::hides_values(beside) || (self.kinds && marked(beside)))
            || !item.get(DATA).is_some_and(is_todays)
    }
}

fn is_todays(data: &AttributeValue) -> bool {
    let Ok(data) = data.as_m() else { return false };
    let there = |name: &str| matches!(data.get(name), Some(AttributeValue::S(_)));
    let older = ["metadata_seperator", EXTRA_INFO].iter().any(|name| data.contains_key(*name));
    ["id_", "class_name", "metadata_separator"].into_iter().all(there) && !older
}

/// What admits all nodes whose metadata matches, also those of the oldest form.
fn admitted(filter: Option<&Filter>) -> Native {
    let Some(filter) = filter else { return Native::Everything };
    let native = admitting(filter, &[DATA, METADATA], &|_| false);
    let oldest = Native::Is(Test::There(vec![DATA.to_owned(), EXTRA_INFO.to_owned()]));
    let native = Native::any([native, untold(), oldest]);
    if native.fits() { native } else { Native::Everything }
}

fn node(id: &str, stored: JsonObject) -> Result<Node> {
    Node::from_json(stored).map_err(|error| {
        Error::corrupt(format!("the stored node can not be read: {}", error.message())).with_key(id)
    })
}

/// A reading of nodes.
struct Nodes {
    kv: DynamoKvStore,
    collection: String,
    scan: Scan,
    members: Members,
    batch: usize,
    ready: VecDeque<Node>,
}

impl Nodes {
    async fn next(&mut self) -> Result<Option<Node>> {
        while self.ready.is_empty() {
            if !self.fill().await? {
                return Ok(None);
            }
        }
        Ok(self.ready.pop_front())
    }

    /// Reads a batch; answers whether there was anything to read.
    async fn fill(&mut self) -> Result<bool> {
        let mut found: Vec<(String, Option<JsonObject>)> = Vec::new();
        while found.len() < self.batch
            && let Some((id, item)) = self.scan.next_item().await?
        {
            let whole = self.members.names.is_none() && !item.contains_key(LARGE);
            let enough = whole || (self.members.names.is_some() && !self.members.is_not_enough(&item));
            found.push((id, enough.then(|| self.scan.decode(item))));
        }
        let any = !found.is_empty();
        let missing: Vec<&str> =
            found.iter().filter(|(_, value)| value.is_none()).map(|(id, _)| id.as_str()).collect();
        let mut wholes = match missing.as_slice() {
            [] => Vec::new(),
            missing => self.kv.get_many(&self.collection, missing).await?,
        }
        .into_iter();
        for (id, value) in found {
            // One that went meanwhile is left out.
            let Some(value) = value.or_else(|| wholes.next().flatten()) else { continue };
            self.ready.push_back(node(&id, value)?);
        }
        Ok(any)
    }
}

/// The nodes that may match, with the members that are asked for.
fn nodes(
    kv: &DynamoKvStore,
    collection: &str,
    filter: Option<&Filter>,
    members: Members,
    after: Option<NodeId>,
    batch: usize,
) -> BoxStream<Node> {
    let mut options = ScanOptions::default();
    options.after = after.map(NodeId::into_string);
    let mut scan = match Scan::new(kv.clone(), collection, options) {
        Ok(scan) => scan.with_filter(admitted(filter)),
        Err(error) => return stream::iter([Err(error)]).boxed(),
    };
    if let Some(paths) = members.paths() {
        scan = scan.with_fields(paths);
    }
    let collection = collection.to_owned();
    let reading = Nodes { kv: kv.clone(), collection, scan, members, batch, ready: VecDeque::new() };
    let next = |mut reading: Nodes| async move {
        let node = reading.next().await?;
        Ok(node.map(|node| (node, reading)))
    };
    stream::try_unfold(reading, next).boxed()
}

/// How many nodes match.
pub(crate) async fn count(kv: &DynamoKvStore, collection: &str, filter: &Filter) -> Result<usize> {
    filter.validate()?;
    let found = nodes(kv, collection, Some(filter), Members::metadata(), None, BATCH);
    found
        .try_fold(0, |count, node| async move { Ok(count + usize::from(filter.matches(&node.metadata))) })
        .await
}

/// One page of a query.
pub(crate) async fn find(kv: &DynamoKvStore, collection: &str, query: &DocQuery) -> Result<Page<JsonObject>> {
    doc_query::validate(query)?;
    let filter = query.filter.as_ref();
    let members = Members::of(query);
    let in_order = !query.sort.is_empty() && query.limit.is_some();
    if !in_order || (members.names.is_some() && !members.kinds) {
        let batch = if query.sort.is_empty() { query.limit.unwrap_or(BATCH).min(BATCH) } else { BATCH };
        let scan = |after| nodes(kv, collection, filter, members, after, batch);
        return doc_query::find_by_scan(scan, query).await;
    }
    // The order is found by the metadata of all, then the nodes of the page are read.
    let scan = |after| nodes(kv, collection, filter, Members::metadata(), after, BATCH);
    let page = doc_query::find_by_scan(scan, &query.clone().with_projection([""; 0])).await?;
    let ids: Vec<&str> = page.items.iter().filter_map(|item| item.get(DATA)?.get("id_")?.as_str()).collect();
    let mut items = Vec::with_capacity(ids.len());
    for (id, stored) in ids.iter().zip(kv.get_many(collection, &ids).await?) {
        // One that went meanwhile is left out.
        let Some(stored) = stored else { continue };
        items.push(doc_query::project(&node(id, stored)?, query.projection.as_deref()));
    }
    Ok(Page { items, next: page.next })
}
