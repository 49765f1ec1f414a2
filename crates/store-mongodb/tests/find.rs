//! Document queries answered by the server agree with core's own, which reads everything.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod common;

use std::process::ExitCode;

use common::{Db, test};
use serde_json::{Value, json};
use store_core::{
    AddOptions, Backend as _, DocQuery, DocStore, Filter, JsonObject, MemoryBackend, Node, Order,
};

fn main() -> ExitCode {
    common::run(vec![test("pages_agree_with_a_scan", pages_agree_with_a_scan)])
}

/// Values of every kind, equal ones among them, and some that only look like a path's end.
fn value(random: &mut fastrand::Rng) -> Option<Value> {
    let n = random.i64(-2..3);
    Some(match random.u8(0..14) {
        0 | 1 => return None,
        2 => Value::Null,
        3 => json!(random.bool()),
        4 => json!(n),
        5 => json!(n as f64),
        6 => json!(0.5),
        7 => json!(u64::MAX - random.u64(0..2)),
        8 => json!(9_007_199_254_740_992_i64 + n),
        9 => json!(["", "a", "B", "é", "😀", "$x"][random.usize(0..6)]),
        10 => json!([n, "x", {"x": 1}]),
        11 => json!([{"x": n}, {"x": 2}]),
        12 => json!({}),
        _ => json!({"x": n, "y": [n]}),
    })
}

fn node(number: usize, random: &mut fastrand::Rng) -> Node {
    let mut node = Node::text("t").with_id(format!("n{:03}", number * 77 % 500));
    for key in ["a", "b", "o", "$d", "o.x"] {
        if let Some(value) = value(random) {
            node = node.with_metadata(key, value);
        }
    }
    node
}

fn query(random: &mut fastrand::Rng) -> DocQuery {
    let mut query = DocQuery::new().with_limit(random.usize(5..60));
    for _ in 0..random.usize(0..3) {
        let key = ["a", "b", "o", "o.x", "o.y", "$d", "a.x", "nobody"][random.usize(0..8)];
        query = query.with_sort(key, if random.bool() { Order::Ascending } else { Order::Descending });
    }
    if random.bool() {
        let filters = [
            json!({"key": "a", "operator": "exists"}),
            json!({"key": "o.x", "operator": ">=", "value": 0}),
            json!({"key": "b", "operator": "!=", "value": "a"}),
            json!({"key": "a", "operator": "contains", "value": "x"}),
        ];
        query = query.with_filter(Filter::from_json(&filters[random.usize(0..4)]).unwrap());
    }
    match random.u8(0..5) {
        0 => query.with_projection(["text", "metadata.o.x"]),
        1 => query.with_projection(["metadata.a", "metadata.a.x", "metadata.o.y.z", "relationships"]),
        2 => query.with_projection(["metadata.$d", "mimetype"]),
        3 => query.with_projection([] as [&str; 0]),
        _ => query,
    }
}

async fn pages(store: &dyn DocStore, mut query: DocQuery) -> (Vec<JsonObject>, Vec<usize>) {
    let (mut items, mut sizes) = (Vec::new(), Vec::new());
    loop {
        let page = store.find(&query).await.unwrap();
        if !page.items.is_empty() {
            sizes.push(page.items.len());
        }
        items.extend(page.items);
        let Some(next) = page.next else { return (items, sizes) };
        query = query.with_after(next);
    }
}

async fn pages_agree_with_a_scan(db: Db) {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let memory = MemoryBackend::new();
    let (ours, reference) = (db.store.docs().unwrap(), memory.docs().unwrap());
    let nodes: Vec<Node> = (0..120).map(|number| node(number, &mut random)).collect();
    ours.add(nodes.clone(), AddOptions::default()).await.unwrap();
    reference.add(nodes, AddOptions::default()).await.unwrap();
    for _ in 0..60 {
        let query = query(&mut random);
        let expected = pages(&*reference, query.clone()).await;
        assert_eq!(pages(&*ours, query.clone()).await, expected, "seed {seed}: {query:?}");
    }
}
