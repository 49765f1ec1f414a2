//! Random vector histories against a map.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use store_core::{
    AddMode, AddReport, ErrorKind, GetOptions, MetadataPatch, Metric, Node, Selector, VectorQuery,
    VectorStore, VectorStoreExt,
};

use super::{configure, embedded, is_ranking};
use crate::case::{Need, cases};
use crate::check::{CaseResult, failed_exactly, invalid, refused, same, same_items};
use crate::data::filter;
use crate::harness::Env;
use crate::model::histories;

cases! { "vectors", Env:
    random_operations_match_a_map [Need::Vectors],
}

const IDS: [&str; 7] = ["a", "ab", "A", "é", "a/b", "😀", "z"];
const SOURCES: [&str; 3] = ["doc", "doc/2", "None"];

#[derive(Clone, Debug)]
struct NewNode {
    id: usize,
    source: Option<usize>,
    at: Option<(i8, i8)>,
    group: u8,
}

#[derive(Clone, Debug)]
enum Choice {
    Ids(Vec<usize>),
    Sources(Vec<usize>),
    Group(u8),
    Both(Vec<usize>, u8),
}

#[derive(Clone, Debug)]
enum Op {
    Upsert(Vec<NewNode>, u8),
    Update(Choice, u8),
    Delete(Choice),
    Count(Choice),
    Query((i8, i8), usize, Option<Choice>),
}

fn new_node() -> impl Strategy<Value = NewNode> {
    let at = prop::option::weighted(0.85, (any::<i8>(), 1..100_i8));
    (0..IDS.len(), prop::option::of(0..SOURCES.len()), at, 0..3_u8)
        .prop_map(|(id, source, at, group)| NewNode { id, source, at, group })
}

fn choice() -> impl Strategy<Value = Choice> {
    let ids = || prop::collection::vec(0..IDS.len(), 0..4);
    prop_oneof![
        2 => ids().prop_map(Choice::Ids),
        1 => prop::collection::vec(0..SOURCES.len(), 0..3).prop_map(Choice::Sources),
        2 => (0..4_u8).prop_map(Choice::Group),
        1 => (ids(), 0..4_u8).prop_map(|(ids, group)| Choice::Both(ids, group)),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => (prop::collection::vec(new_node(), 1..5), 0..4_u8).prop_map(|(nodes, mode)| Op::Upsert(nodes, mode)),
        2 => (choice(), 0..3_u8).prop_map(|(choice, group)| Op::Update(choice, group)),
        2 => choice().prop_map(Op::Delete),
        1 => choice().prop_map(Op::Count),
        3 => ((any::<i8>(), 1..100_i8), 1..9_usize, prop::option::of(choice()))
            .prop_map(|(at, top_k, choice)| Op::Query(at, top_k, choice)),
    ]
}

/// Random upserts, updates, deletes, counts and queries, each compared with a map and a search by hand.
async fn random_operations_match_a_map(env: &Env) -> CaseResult {
    let store = env.vectors()?;
    let metric = configure(&*store, 2).await?;
    histories(
        &env.harness,
        || prop::collection::vec(op(), 1..20),
        move |_, ops| {
            let store = Arc::clone(&store);
            Box::pin(async move {
                store.clear().await?;
                let mut model = Model { metric, nodes: BTreeMap::new() };
                for (step, op) in ops.into_iter().enumerate() {
                    model.apply(&*store, step, op).await?;
                }
                let options = GetOptions::default().with_embeddings(true);
                let stored = store.get(&Selector::all(), options).await?.items;
                same_items("all at the end", &stored, &model.nodes.into_values().collect::<Vec<_>>())
            })
        },
    )
    .await
}

struct Model {
    metric: Metric,
    nodes: BTreeMap<String, Node>,
}

fn name(names: &[&str], number: usize) -> String {
    names.get(number).copied().unwrap_or("a").to_owned()
}

fn node(new: &NewNode) -> Node {
    let node = Node::text(format!("{new:?}")).with_id(name(&IDS, new.id)).with_metadata("group", new.group);
    let node = match new.at {
        Some((x, y)) => node.with_embedding([f32::from(x), f32::from(y)]),
        None => node,
    };
    match new.source {
        Some(source) => node.with_source(name(&SOURCES, source)),
        None => node,
    }
}

fn selector(choice: &Choice) -> CaseResult<Selector> {
    let group = |group: &u8| filter(&json!({"key": "group", "value": group}));
    let names = |of: &[&str], numbers: &[usize]| numbers.iter().map(|n| name(of, *n)).collect::<Vec<_>>();
    Ok(match choice {
        Choice::Ids(ids) => Selector::ids(names(&IDS, ids)),
        Choice::Sources(sources) => Selector::ref_docs(names(&SOURCES, sources)),
        Choice::Group(number) => group(number)?.into(),
        Choice::Both(ids, number) => Selector::ids(names(&IDS, ids)).with_filter(group(number)?),
    })
}

impl Model {
    fn selected(&self, selector: &Selector) -> Vec<Node> {
        let takes_part = |node: &&Node| {
            selector.ids.as_ref().is_none_or(|ids| ids.contains(&node.id))
                && selector
                    .ref_docs
                    .as_ref()
                    .is_none_or(|of| node.ref_doc_id().is_some_and(|id| of.contains(&id)))
                && selector.filter.as_ref().is_none_or(|filter| filter.matches(&node.metadata))
        };
        self.nodes.values().filter(takes_part).cloned().collect()
    }

    async fn apply(&mut self, store: &dyn VectorStore, step: usize, op: Op) -> CaseResult {
        match op {
            Op::Upsert(new, mode) => {
                let modes = [AddMode::Overwrite, AddMode::Overwrite, AddMode::Skip, AddMode::Fail];
                let mode = modes.get(usize::from(mode)).copied().unwrap_or_default();
                let nodes = embedded(store, new.iter().map(node).collect()).await?;
                self.upsert(store, nodes, mode).await
            }
            Op::Update(choice, group) => {
                let selector = selector(&choice)?;
                let selected = self.selected(&selector);
                let patch =
                    MetadataPatch::new().with_set("group", group).with_set("step", step).with_unset("x");
                same(
                    format!("step {step}: updated"),
                    &store.update(&selector, &patch).await?,
                    &selected.len(),
                )?;
                for node in selected {
                    if let Some(node) = self.nodes.get_mut(node.id.as_str()) {
                        node.metadata.insert("group".to_owned(), group.into());
                        node.metadata.insert("step".to_owned(), step.into());
                    }
                }
                Ok(())
            }
            Op::Delete(choice) => {
                let selector = selector(&choice)?;
                let selected = self.selected(&selector);
                same(format!("step {step}: deleted"), &store.delete(&selector).await?, &selected.len())?;
                for node in selected {
                    self.nodes.remove(node.id.as_str());
                }
                Ok(())
            }
            Op::Count(choice) => {
                let selector = selector(&choice)?;
                let expected = self.selected(&selector).len();
                same(format!("step {step}: count"), &store.count(&selector).await?, &expected)
            }
            Op::Query((x, y), top_k, choice) => {
                let selector = choice.map_or_else(|| Ok(Selector::all()), |choice| selector(&choice))?;
                let mut part = self.selected(&selector);
                part.retain(|node| node.embedding.is_some());
                let at = [f32::from(x), f32::from(y)];
                let query = VectorQuery::dense(at.to_vec(), top_k).with_selector(selector);
                is_ranking(
                    &format!("step {step}"),
                    self.metric,
                    &at,
                    &part,
                    top_k,
                    &store.query(&query).await?,
                )
            }
        }
    }

    async fn upsert(&mut self, store: &dyn VectorStore, nodes: Vec<Node>, mode: AddMode) -> CaseResult {
        let result = store.upsert(nodes.clone(), mode).await;
        let mut chosen: BTreeMap<String, Node> = BTreeMap::new();
        let total = nodes.len();
        for node in nodes {
            let id = node.id.as_str().to_owned();
            if mode != AddMode::Skip || !chosen.contains_key(&id) {
                chosen.insert(id, node);
            }
        }
        if mode == AddMode::Fail && chosen.len() < total {
            invalid("equal ids", result)?;
            return Ok(());
        }
        let different = chosen.len();
        let existing: Vec<String> = chosen
            .keys()
            .filter(|id| mode != AddMode::Overwrite && self.nodes.contains_key(*id))
            .cloned()
            .collect();
        chosen.retain(|id, _| !existing.contains(id));
        self.nodes.extend(chosen);
        if mode == AddMode::Fail && !existing.is_empty() {
            let error = refused("existing ids", result, &[ErrorKind::AlreadyExists])?;
            return failed_exactly(&error, &existing.iter().map(String::as_str).collect::<Vec<_>>());
        }
        same("report", &result?, &AddReport::new(different - existing.len(), existing.len()))
    }
}
