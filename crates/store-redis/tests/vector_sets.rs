//! Vectors found by a vector set (Redis 8), which changes in one step with the rows.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

mod common;

use std::process::ExitCode;
use std::sync::Arc;

use common::{Db, on_both, on_vector_sets};
use store_core::filter::field;
use store_core::{
    AddMode, Backend as _, ErrorKind, Filter, MetadataPatch, Metric, Node, QueryKind, Selector, VectorConfig,
    VectorQuery, VectorStore, VectorStoreExt as _,
};
use store_redis::{RedisBackend, RedisCommand, RedisConfig};

/// The key of the default vector set.
const SET: &str = "nodestore:vector_set:llama_index";

fn main() -> ExitCode {
    common::run([
        on_vector_sets("rows_and_elements_change_together", rows_and_elements_change_together),
        on_vector_sets("rows_that_are_there_are_taken_in", rows_that_are_there_are_taken_in),
        on_vector_sets("answers_are_those_of_every_row", answers_are_those_of_every_row),
        on_vector_sets("a_refused_element_leaves_the_row", a_refused_element_leaves_the_row),
        on_vector_sets("a_plan_says_what_the_server_does", a_plan_says_what_the_server_does),
        on_both("a_server_without_is_refused", a_server_without_is_refused),
    ])
}

/// The same namespace, opened with this engine.
async fn by(db: &Db, engine: &str) -> RedisBackend {
    let joint = if db.url.contains('?') { "&" } else { "?" };
    let config = format!("{}{joint}store.vector_engine={engine}", db.url).parse::<RedisConfig>().unwrap();
    RedisBackend::connect(config.with_namespace(db.name.clone())).await.unwrap()
}

async fn configured(store: &RedisBackend) -> Arc<dyn VectorStore> {
    let vectors = store.vectors().unwrap();
    vectors.configure(VectorConfig::new(3, Metric::Cosine)).await.unwrap();
    vectors
}

fn node(n: u16) -> Node {
    let embedding = [f32::from(n % 7) - 3.0, f32::from(n % 5) + 1.0, f32::from(n % 11)];
    Node::text(format!("text {n}"))
        .with_id(format!("n{n} \"|*]"))
        .with_metadata("n", n)
        .with_metadata("group", n % 3)
        .with_source(format!("doc{}", n % 2))
        .with_embedding(embedding)
}

async fn number(db: &Db, command: RedisCommand) -> Option<i64> {
    db.store.command(command).await.unwrap().to().unwrap()
}

async fn elements(db: &Db) -> i64 {
    number(db, RedisCommand::read("VCARD").key(SET)).await.unwrap()
}

async fn found(store: &Arc<dyn VectorStore>, selector: impl Into<Selector>) -> Vec<String> {
    let query = VectorQuery::dense(vec![1.0, 2.0, 3.0], 100).with_selector(selector);
    store.query(&query).await.unwrap().into_iter().map(|found| found.node.id.into_string()).collect()
}

async fn rows_and_elements_change_together(db: Db) {
    let store = configured(&by(&db, "vector_set").await).await;
    store.upsert((0..20).map(node).collect(), AddMode::Overwrite).await.unwrap();
    assert_eq!(elements(&db).await, 20);
    // One that is there is skipped, with its element.
    let mut other = node(3).with_metadata("group", "other").with_embedding([1.0, 0.0, 0.0]);
    store.upsert(vec![other.clone()], AddMode::Skip).await.unwrap();
    assert!(found(&store, field("group").eq("other")).await.is_empty());
    store.upsert(vec![other.clone()], AddMode::Overwrite).await.unwrap();
    assert_eq!(found(&store, field("group").eq("other")).await, [other.id.as_str()]);
    // Without an embedding it is no element.
    other.embedding = None;
    store.upsert(vec![other.clone()], AddMode::Overwrite).await.unwrap();
    assert_eq!(elements(&db).await, 19);
    assert_eq!(store.count(&Selector::all()).await.unwrap(), 20);
    // Attributes follow the metadata.
    let patch = MetadataPatch::new().with_set("group", "new");
    assert_eq!(store.update(&Selector::from(field("n").eq(4)), &patch).await.unwrap(), 1);
    assert_eq!(found(&store, field("group").eq("new")).await, [node(4).id.as_str()]);
    assert!(!found(&store, field("group").eq(1)).await.contains(&node(4).id.into_string()));
    assert_eq!(store.delete(&Selector::from(field("group").eq(2))).await.unwrap(), 6);
    assert_eq!(elements(&db).await, 13);
    store.clear().await.unwrap();
    assert_eq!(number(&db, RedisCommand::read("EXISTS").key(SET)).await, Some(0));
    assert!(found(&store, Selector::all()).await.is_empty());
}

async fn rows_that_are_there_are_taken_in(db: Db) {
    let before = configured(&by(&db, "exact").await).await;
    before.upsert((0..250).map(node).collect(), AddMode::Overwrite).await.unwrap();
    let after = configured(&by(&db, "vector_set").await).await;
    assert_eq!(elements(&db).await, 250);
    assert_eq!(found(&after, field("n").eq(17)).await, [node(17).id.as_str()]);
    // From now on everybody keeps it up.
    for engine in ["exact", "auto"] {
        let other = by(&db, engine).await.vectors().unwrap();
        let error = other.upsert(vec![node(1)], AddMode::Overwrite).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("store.vector_engine=vector_set"), "{error}");
    }
    // Whoever drops the set ends that.
    assert!(by(&db, "exact").await.drop_vector_set(None).await.unwrap());
    let again = configured(&by(&db, "exact").await).await;
    again.upsert(vec![node(1)], AddMode::Overwrite).await.unwrap();
    assert_eq!(number(&db, RedisCommand::read("EXISTS").key(SET)).await, Some(0));
}

async fn answers_are_those_of_every_row(db: Db) {
    let nodes: Vec<Node> = (0..400).map(node).collect();
    let by_graph = configured(&by(&db, "vector_set").await).await;
    by_graph.upsert(nodes.clone(), AddMode::Overwrite).await.unwrap();
    let memory = store_core::MemoryBackend::new().vectors().unwrap();
    memory.configure(VectorConfig::new(3, Metric::Cosine)).await.unwrap();
    memory.upsert(nodes, AddMode::Overwrite).await.unwrap();
    let selectors = [
        Selector::all(),
        Selector::from(field("group").eq(1)),
        Selector::from(Filter::none([field("group").eq(1), field("n").lt(200)])),
        Selector::from(Filter::any([field("n").gte(380), field("absent").exists()])),
        Selector::from(field("n").one_of(0..40_i64)),
        Selector::ref_docs(["doc1"]),
        Selector::ref_docs(Vec::<String>::new()),
        Selector::ids([node(1).id, node(2).id]),
        Selector::from(field("group").eq("\" or .u == 0 or \"")),
    ];
    for selector in selectors {
        for kind in [
            QueryKind::Dense { embedding: vec![1.0, 2.0, 3.0] },
            QueryKind::Range { embedding: vec![-1.0, 2.0, 0.5], radius: 0.7 },
            QueryKind::Text { text: "text 7".to_owned() },
        ] {
            for top in [1, 7, 60] {
                let query = VectorQuery::new(kind.clone(), top).with_selector(selector.clone());
                let answers = |found: Vec<store_core::ScoredNode>| -> Vec<(String, f64)> {
                    found.into_iter().map(|found| (found.node.id.into_string(), found.score)).collect()
                };
                let found = answers(by_graph.query(&query).await.unwrap());
                assert_eq!(found, answers(memory.query(&query).await.unwrap()), "{query:?}");
            }
        }
    }
}

async fn a_refused_element_leaves_the_row(db: Db) {
    let store = configured(&by(&db, "vector_set").await).await;
    store.upsert(vec![node(1)], AddMode::Overwrite).await.unwrap();
    for command in [RedisCommand::write("DEL").key(SET), RedisCommand::write("SET").key(SET).arg("mine")] {
        db.store.command(command).await.unwrap();
    }
    let error = store.upsert(vec![node(1).with_metadata("n", "new"), node(2)], AddMode::Overwrite).await;
    assert_eq!(error.unwrap_err().failed().len(), 2);
    let rows = store.get(&Selector::all(), store_core::GetOptions::default()).await.unwrap().items;
    assert_eq!(rows.iter().map(|row| &row.metadata["n"]).collect::<Vec<_>>(), [&serde_json::json!(1)]);
    db.store.command(RedisCommand::write("DEL").key(SET)).await.unwrap();
}

async fn a_plan_says_what_the_server_does(db: Db) {
    let store = configured(&by(&db, "vector_set").await).await;
    let (here, there) = (field("n").gt(3), field("group").eq(1));
    let query = VectorQuery::dense(vec![1.0, 2.0, 3.0], 3).with_selector(there.clone().and(here.clone()));
    let plan = store.explain(&query).await.unwrap();
    assert!(plan.summary.contains("graph") && plan.summary.contains("may miss"), "{plan:?}");
    let native = plan.native.unwrap();
    assert!(native.starts_with("VSIM ") && native.contains(" in .t"), "{native}");
    assert_eq!((plan.pushed_down, plan.applied_after), (Some(there), Some(here)));
    let words = store.explain(&VectorQuery::text("word", 3)).await.unwrap();
    assert!(words.summary.contains("every node"), "{words:?}");
    let dot = store.configure(VectorConfig::new(3, Metric::Dot)).await.unwrap_err();
    assert_eq!(dot.kind(), ErrorKind::Config);
    let other = by(&db, "vector_set").await.vector_set("other").unwrap();
    let dot = other.configure(VectorConfig::new(3, Metric::Dot)).await.unwrap_err();
    assert_eq!(dot.kind(), ErrorKind::Unsupported);
}

async fn a_server_without_is_refused(db: Db) {
    let store = by(&db, "vector_set").await;
    assert!(store.capabilities().vectors.is_none());
    let error = store.vectors().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("vector set"), "{error}");
}
