//! What the service sends: no more than what is asked for.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod common;
mod faults;

use std::process::ExitCode;

use common::{Db, test};
use faults::Faults;
use serde_json::json;
use store_core::filter::field;
use store_core::{
    AddMode, AddOptions, Backend as _, DocQuery, GetOptions, Metric, Node, NodeId, Order, Selector,
    VectorConfig,
};

fn main() -> ExitCode {
    common::run([
        test("texts_of_nodes_are_sent_where_they_are_asked_for", texts_of_nodes),
        test("embeddings_are_sent_where_they_are_asked_for", embeddings),
    ])
}

const COUNT: usize = 200;
const TEXT: usize = 3_000;

fn node(n: usize) -> Node {
    let node = Node::text("x".repeat(TEXT)).with_id(format!("n{n:03}")).with_source("source");
    node.with_metadata("even", n.is_multiple_of(2)).with_metadata("n", n)
}

async fn texts_of_nodes(db: Db) {
    let faults = Faults::default();
    let store = faults.store(db.client(), db.config.clone());
    let docs = store.docs().unwrap();
    let ids: Vec<NodeId> = (0..COUNT).map(|n| node(n).id).collect();
    docs.add((0..COUNT).map(node).collect(), AddOptions::default()).await.unwrap();
    let sent = |what: &str, most: usize| {
        let bytes = faults.bytes();
        println!("{what}: {bytes} bytes");
        assert!(bytes <= most, "{what}: {bytes} bytes were sent, of at most {most}");
    };
    faults.bytes();
    let few = field("n").lt(5);
    let small = COUNT * 600;
    let found = docs.find(&DocQuery::new().with_filter(few.clone())).await.unwrap();
    assert_eq!(found.items.len(), 5);
    assert!(found.items.iter().all(|item| item["__data__"]["text"].as_str().unwrap().len() == TEXT));
    sent("five whole nodes", 5 * 2 * TEXT);
    assert_eq!(docs.count(Some(&few)).await.unwrap(), 5);
    sent("a count of five", 5 * 600);
    assert_eq!(docs.count(None).await.unwrap(), COUNT);
    sent("a count", 2_000);
    let metadata = docs.find(&DocQuery::new().with_projection(["metadata.n"])).await.unwrap();
    assert_eq!(metadata.items.len(), COUNT);
    let first =
        json!({"__data__": {"id_": "n000", "metadata": {"n": 0}, "class_name": "TextNode"}, "__type__": "1"});
    assert_eq!(json!(metadata.items.first()), first);
    sent("metadata", small);
    let sorted = DocQuery::new().with_sort("n", Order::Descending).with_limit(3);
    let found = docs.find(&sorted).await.unwrap();
    assert_eq!(
        found.items.iter().map(|item| item["__data__"]["id_"].as_str().unwrap()).collect::<Vec<_>>(),
        ["n199", "n198", "n197"]
    );
    sent("the last three", small + 3 * 2 * TEXT);
    assert_eq!(docs.exist_many(&ids).await.unwrap().len(), COUNT);
    sent("what exists", COUNT * 200);
    assert!(docs.hashes(&ids).await.unwrap().iter().all(Option::is_some));
    sent("hashes", COUNT * 300);
}

async fn embeddings(db: Db) {
    let faults = Faults::default();
    let store = faults.store(db.client(), db.config.clone());
    let vectors = store.vectors().unwrap();
    let dimensions = 1_024;
    vectors.configure(VectorConfig::new(dimensions, Metric::Cosine)).await.unwrap();
    let embedded = |n: usize| {
        let mut node = node(n).with_embedding(vec![0.123_456_7; dimensions]);
        node.set_text("short");
        node
    };
    vectors.upsert((0..COUNT).map(embedded).collect(), AddMode::Overwrite).await.unwrap();
    let sent = |what: &str| {
        let bytes = faults.bytes();
        println!("{what}: {bytes} bytes");
        // An embedding takes some 5,500 bytes as it is sent.
        assert!(bytes <= COUNT * 1_500, "{what}: {bytes} bytes were sent");
    };
    faults.bytes();
    let even = Selector::all().with_filter(field("even").eq(true));
    assert_eq!(vectors.count(&even).await.unwrap(), COUNT / 2);
    sent("a count");
    assert_eq!(vectors.get(&Selector::all(), GetOptions::default()).await.unwrap().items.len(), COUNT);
    sent("nodes without embeddings");
    let fields = vectors.fields().unwrap();
    assert_eq!(fields.field_info().await.unwrap().len(), 2);
    assert_eq!(fields.count_distinct(&["n"], &even).await.unwrap(), [COUNT / 2]);
    sent("fields");
    let options = GetOptions::default().with_embeddings(true);
    assert_eq!(vectors.get(&Selector::all(), options).await.unwrap().items.len(), COUNT);
    assert!(faults.bytes() > COUNT * 5_000);
}
