//! Random document histories against a model.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use store_core::{
    AddMode, AddOptions, AddReport, DocStore, ErrorKind, JsonObject, Node, NodeId, RefDocId, RefDocInfo,
};

use crate::case::{Need, cases};
use crate::check::{CaseResult, failed_exactly, invalid, refused, same, same_items};
use crate::data::all;
use crate::harness::Env;
use crate::model::histories;

cases! { "docs", Env:
    random_operations_match_a_model [Need::Docs],
}

const NODES: [&str; 7] = ["a", "ab", "é", "a/b", "😀", "source 1", "source 2"];
const SOURCES: [&str; 3] = ["source 1", "source 2", "source 3"];

#[derive(Clone, Debug)]
struct NewNode {
    id: usize,
    source: Option<usize>,
    metadata: Vec<(String, Value)>,
}

#[derive(Clone, Debug)]
enum Op {
    Add(Vec<NewNode>, u8, bool),
    Delete(Vec<usize>),
    DeleteRefDoc(usize),
    SetHash(usize, String),
}

fn new_node() -> impl Strategy<Value = NewNode> {
    let value = prop_oneof![any::<i32>().prop_map(Value::from), Just(json!(1.0)), Just(json!("x"))];
    let metadata = prop::collection::vec(("[abz]", value), 0..3);
    (0..NODES.len(), prop::option::weighted(0.8, 0..SOURCES.len()), metadata).prop_map(
        |(id, source, metadata)| {
            // A document that is its own source has no meaning that Python gives it.
            let source = source.filter(|source| SOURCES.get(*source) != NODES.get(id));
            NewNode { id, source, metadata }
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (prop::collection::vec(new_node(), 1..5), 0..4_u8, prop::bool::weighted(0.85))
            .prop_map(|(nodes, mode, store_text)| Op::Add(nodes, mode, store_text)),
        2 => prop::collection::vec(0..NODES.len(), 1..4).prop_map(Op::Delete),
        1 => (0..SOURCES.len()).prop_map(Op::DeleteRefDoc),
        1 => (0..NODES.len(), "[a-c]{0,3}").prop_map(|(id, hash)| Op::SetHash(id, hash)),
    ]
}

/// Random adds, deletes and hashes, each compared with a model of nodes, hashes and ref docs.
async fn random_operations_match_a_model(env: &Env) -> CaseResult {
    let store = env.docs()?;
    histories(
        &env.harness,
        || prop::collection::vec(op(), 1..16),
        move |number, ops| {
            let store = Arc::clone(&store);
            Box::pin(async move {
                // Names of its own for each history.
                let mut model = Model { prefix: format!("{number}:"), ..Model::default() };
                let result = model.run(&*store, ops).await;
                let cleared = model.clear(&*store).await;
                result.and(cleared)
            })
        },
    )
    .await
}

#[derive(Default)]
struct Model {
    prefix: String,
    nodes: BTreeMap<String, Node>,
    hashes: BTreeMap<String, (String, Option<String>)>,
    ref_docs: BTreeMap<String, (Vec<String>, JsonObject)>,
}

impl Model {
    fn name(&self, names: &[&str], number: usize) -> String {
        format!("{}{}", self.prefix, names.get(number).copied().unwrap_or("a"))
    }

    fn node(&self, new: &NewNode) -> Node {
        let id = self.name(&NODES, new.id);
        let text = format!("{:?}", new.metadata);
        let mut node = if new.id >= 5 { Node::document(text) } else { Node::text(text) }.with_id(id);
        for (key, value) in &new.metadata {
            node = node.with_metadata(key.as_str(), value.clone());
        }
        match new.source {
            Some(source) => node.with_source(self.name(&SOURCES, source)),
            None => node,
        }
    }

    async fn apply(&mut self, store: &dyn DocStore, op: Op) -> CaseResult {
        match op {
            Op::Add(new, mode, store_text) => {
                let nodes: Vec<Node> = new.iter().map(|new| self.node(new)).collect();
                let mode = [AddMode::Overwrite, AddMode::Overwrite, AddMode::Skip, AddMode::Fail]
                    .get(usize::from(mode))
                    .copied()
                    .unwrap_or_default();
                self.add(store, nodes, mode, store_text).await
            }
            Op::Delete(numbers) => {
                let ids: Vec<String> = numbers.into_iter().map(|number| self.name(&NODES, number)).collect();
                let expected = ids.iter().filter(|id| self.remove(id)).count();
                let ids: Vec<NodeId> = ids.into_iter().map(NodeId::from).collect();
                same("deleted", &store.delete_many(&ids).await?, &expected)
            }
            Op::DeleteRefDoc(number) => {
                let id = self.name(&SOURCES, number);
                let members = self.ref_docs.get(&id).map(|(members, _)| members.clone());
                let known = self.hashes.contains_key(&id) || members.is_some();
                for member in members.iter().flatten() {
                    self.remove(member);
                }
                self.remove(&id);
                let expected = known.then(|| members.map_or(0, |members| members.len()));
                let deleted = store.delete_ref_doc(&RefDocId::from(id)).await?;
                same("deleted ref doc", &deleted, &expected)
            }
            Op::SetHash(number, hash) => {
                let id = self.name(&NODES, number);
                store.set_hashes(vec![(id.as_str().into(), hash.clone())]).await?;
                self.hashes.entry(id).or_default().0 = hash;
                Ok(())
            }
        }
    }

    async fn add(
        &mut self,
        store: &dyn DocStore,
        nodes: Vec<Node>,
        mode: AddMode,
        store_text: bool,
    ) -> CaseResult {
        let result =
            store.add(nodes.clone(), AddOptions::default().with_mode(mode).with_store_text(store_text)).await;
        let total = nodes.len();
        let mut chosen: Vec<Node> = Vec::new();
        for node in nodes {
            match chosen.iter().position(|other| other.id == node.id) {
                None => chosen.push(node),
                Some(_) if mode == AddMode::Skip => {}
                // The last wins, and stands where the id was first named.
                Some(place) => {
                    if let Some(slot) = chosen.get_mut(place) {
                        *slot = node;
                    }
                }
            }
        }
        if mode == AddMode::Fail && chosen.len() < total {
            invalid("equal ids", result)?;
            return Ok(());
        }
        let exists = |node: &Node| mode != AddMode::Overwrite && self.nodes.contains_key(node.id.as_str());
        let (old, new): (Vec<Node>, Vec<Node>) = chosen.into_iter().partition(exists);
        let report = AddReport::new(new.len(), old.len());
        self.write(new, store_text);
        if mode == AddMode::Fail && !old.is_empty() {
            let error = refused("existing ids", result, &[ErrorKind::AlreadyExists])?;
            return failed_exactly(&error, &old.iter().map(|node| node.id.as_str()).collect::<Vec<_>>());
        }
        same("report", &result?, &report)
    }

    fn write(&mut self, nodes: Vec<Node>, store_text: bool) {
        let mut metadata: BTreeMap<String, JsonObject> = BTreeMap::new();
        let mut moved = Vec::new();
        for node in nodes {
            let (id, source) = (node.id.as_str().to_owned(), node.ref_doc_id().map(RefDocId::into_string));
            let before = self.hashes.insert(id.clone(), (node.hash(), source.clone()));
            if let Some(before) = before.and_then(|(_, before)| before)
                && Some(&before) != source.as_ref()
            {
                moved.push((before, id.clone()));
            }
            if let Some(source) = source {
                let (members, _) = self.ref_docs.entry(source.clone()).or_default();
                if !members.contains(&id) {
                    members.push(id.clone());
                }
                metadata.entry(source).or_default().extend(node.metadata.clone());
            }
            if store_text {
                self.nodes.insert(id, node);
            }
        }
        for (source, metadata) in metadata {
            if let Some((_, kept)) = self.ref_docs.get_mut(&source)
                && kept.is_empty()
            {
                *kept = metadata;
            }
        }
        // Last: a ref doc that has nodes before and after the call keeps its metadata.
        for (before, id) in moved {
            self.leave(&before, &id);
        }
    }

    fn leave(&mut self, source: &str, id: &str) {
        if let Some((members, _)) = self.ref_docs.get_mut(source) {
            members.retain(|member| member != id);
            if members.is_empty() {
                self.ref_docs.remove(source);
            }
        }
    }

    fn remove(&mut self, id: &str) -> bool {
        if let Some((_, Some(source))) = self.hashes.remove(id) {
            self.leave(&source, id);
        }
        self.nodes.remove(id).is_some()
    }

    async fn run(&mut self, store: &dyn DocStore, ops: Vec<Op>) -> CaseResult {
        for (step, op) in ops.into_iter().enumerate() {
            self.apply(store, op).await?;
            self.compare(store, step).await?;
        }
        Ok(())
    }

    /// Leaves nothing behind for the next history, and holds the store to that.
    async fn clear(&self, store: &dyn DocStore) -> CaseResult {
        let names = (0..NODES.len()).map(|number| self.name(&NODES, number));
        store.delete_many(&names.map(NodeId::from).collect::<Vec<_>>()).await?;
        let mut left: Vec<String> = crate::nodes::ids_of(&all(store.scan(None)).await?);
        left.extend(all(store.scan_hashes(None)).await?.into_iter().map(|(id, _)| id.into_string()));
        left.extend(all(store.scan_ref_docs(None)).await?.into_iter().map(|(id, _)| id.into_string()));
        left.retain(|id| id.starts_with(&self.prefix));
        same("left when all nodes are deleted", &left, &[(); 0])
    }

    async fn compare(&self, store: &dyn DocStore, step: usize) -> CaseResult {
        let names: Vec<String> = (0..NODES.len()).map(|number| self.name(&NODES, number)).collect();
        let ids: Vec<NodeId> = names.iter().map(|name| name.as_str().into()).collect();
        let nodes: Vec<Option<&Node>> = names.iter().map(|name| self.nodes.get(name)).collect();
        same(format!("nodes after step {step}"), &store.get_many(&ids).await?, &nodes)?;
        let hashes: Vec<Option<&String>> =
            names.iter().map(|name| self.hashes.get(name).map(|(hash, _)| hash)).collect();
        same(format!("hashes after step {step}"), &store.hashes(&ids).await?, &hashes)?;
        for number in 0..SOURCES.len() {
            let name = self.name(&SOURCES, number);
            let expected = self.ref_docs.get(&name).map(|(members, metadata)| {
                RefDocInfo::new(members.iter().map(|id| id.as_str().into()).collect(), metadata.clone())
            });
            let found = store.ref_doc(&name.as_str().into()).await?;
            same(format!("{name} after step {step}"), &found, &expected)?;
        }
        let scanned = all(store.scan(None)).await?;
        let ours: Vec<&Node> =
            scanned.iter().filter(|node| node.id.as_str().starts_with(&self.prefix)).collect();
        same_items(format!("the scan after step {step}"), &ours, &self.nodes.values().collect::<Vec<_>>())
    }
}
