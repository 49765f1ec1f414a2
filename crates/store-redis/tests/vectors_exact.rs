//! Vectors where no search module helps: every row is read, and the answers are those of the store in memory.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

mod common;

use std::process::ExitCode;
use std::sync::Arc;

use common::{Db, on_both, on_search};
use store_core::filter::field;
use store_core::{
    AddMode, Backend as _, ErrorKind, Filter, GetOptions, MemoryBackend, MetadataPatch, Metric, Node,
    QueryKind, Selector, VectorConfig, VectorQuery, VectorStore, VectorStoreExt as _,
};
use store_redis::{RedisBackend, RedisCommand, RedisConfig};

const DIMENSIONS: usize = 8;
const WORDS: [&str; 6] = ["cat", "dog", "moon", "town", "érable", "red"];

fn main() -> ExitCode {
    common::run([
        on_both("answers_are_those_of_memory", answers_are_those_of_memory),
        on_both("rows_of_python_are_found", rows_of_python_are_found),
        on_both("only_rows_of_the_set_are_met", only_rows_of_the_set_are_met),
        on_both("a_plan_says_that_all_is_read", a_plan_says_that_all_is_read),
        on_search("both_engines_have_the_same_rows", both_engines_have_the_same_rows),
    ])
}

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn embedding(&mut self) -> Vec<f32> {
        // Few values, so that there are equals.
        (0..DIMENSIONS)
            .map(|_| [-1.0, -0.5, 0.25, 0.5, 1.0][usize::try_from(self.next(5)).unwrap()])
            .collect()
    }

    fn words(&mut self) -> String {
        let count = self.next(6);
        let words: Vec<&str> = (0..count).map(|_| WORDS[usize::try_from(self.next(6)).unwrap()]).collect();
        words.join(" ")
    }
}

fn nodes(numbers: &mut Numbers, count: usize) -> Vec<Node> {
    let node = |n: usize| {
        let mut node = Node::text(numbers.words()).with_id(format!("n{n}"));
        node = node.with_metadata("year", numbers.next(10)).with_metadata("even", n.is_multiple_of(2));
        if numbers.next(10) > 0 {
            node = node.with_embedding(numbers.embedding());
        }
        if numbers.next(2) > 0 { node.with_source(format!("doc{}", numbers.next(5))) } else { node }
    };
    (0..count).map(node).collect()
}

async fn store(db: &Db, metric: Metric) -> Arc<dyn VectorStore> {
    let store = db.store.vectors().unwrap();
    store.configure(VectorConfig::new(DIMENSIONS, metric)).await.unwrap();
    store
}

fn ids_and_scores(found: Vec<store_core::ScoredNode>) -> Vec<(String, f64)> {
    found.into_iter().map(|found| (found.node.id.into_string(), found.score)).collect()
}

async fn answers_are_those_of_memory(db: Db) {
    let memory = MemoryBackend::new();
    for (metric, name) in [(Metric::Cosine, "a"), (Metric::Dot, "b"), (Metric::Euclidean, "c")] {
        let mut numbers = Numbers(7);
        let (ours, oracle) = (db.store.vector_set(name).unwrap(), memory.vector_set(name).unwrap());
        let nodes = nodes(&mut numbers, 350);
        for store in [&ours, &oracle] {
            store.configure(VectorConfig::new(DIMENSIONS, metric)).await.unwrap();
            store.upsert(nodes.clone(), AddMode::Overwrite).await.unwrap();
        }
        let some = || field("year").gte(4).and(field("even").eq(true));
        let selectors = [
            Selector::all(),
            Selector::from(some()),
            Selector::ref_docs(["doc1", "doc3"]),
            Selector::ids(["n1", "n2", "n2", "n300", "none"]),
            Selector::ids((0..200).map(|n| format!("n{n}"))).with_filter(Filter::none([some()])),
            Selector::ref_docs(Vec::<String>::new()),
        ];
        for selector in selectors {
            let embedding = numbers.embedding();
            let text = "Red cats, a CAT and the érable".to_owned();
            let kinds = [
                QueryKind::Dense { embedding: embedding.clone() },
                QueryKind::Range { embedding: embedding.clone(), radius: 0.3 },
                QueryKind::Text { text: text.clone() },
                QueryKind::Text { text: "?!".to_owned() },
                QueryKind::Hybrid { embedding: embedding.clone(), text: text.clone(), alpha: 0.4 },
                QueryKind::Hybrid { embedding: embedding.clone(), text: text.clone(), alpha: 0.0 },
                QueryKind::Hybrid { embedding: embedding.clone(), text, alpha: 1.0 },
                QueryKind::Mmr { embedding, threshold: 0.4 },
            ];
            let queries: Vec<VectorQuery> = kinds
                .into_iter()
                .flat_map(|kind| {
                    let query = VectorQuery::new(kind, 9).with_selector(selector.clone());
                    [query.clone(), query.with_min_score(0.01)]
                })
                .collect();
            let expected = oracle.query_many(&queries).await.unwrap();
            let found = ours.query_many(&queries).await.unwrap();
            for ((query, expected), found) in queries.iter().zip(expected).zip(found) {
                assert_eq!(ids_and_scores(found), ids_and_scores(expected), "{query:?}");
            }
            assert_eq!(ours.count(&selector).await.unwrap(), oracle.count(&selector).await.unwrap());
            let page = GetOptions::default().with_embeddings(true);
            let (mut here, there) = (
                ours.get(&selector, page.clone()).await.unwrap(),
                oracle.get(&selector, page).await.unwrap(),
            );
            here.items.sort_by(|left, right| left.id.cmp(&right.id));
            assert_eq!(here.items, there.items);
        }
        let patch = MetadataPatch::new().with_set("seen", true);
        let old = Selector::from(field("year").lt(3));
        let changed = ours.update(&old, &patch).await.unwrap();
        assert_eq!(changed, oracle.update(&old, &patch).await.unwrap());
        assert!(changed > 0);
        let seen = Selector::from(field("seen").eq(true));
        assert_eq!(ours.delete(&seen).await.unwrap(), changed);
        assert_eq!(ours.count(&Selector::all()).await.unwrap(), 350 - changed);
    }
}

async fn rows_of_python_are_found(db: Db) {
    let store = store(&db, Metric::Cosine).await;
    let content = r#"{"id_": "p", "embedding": null, "metadata": {"tag": "a|b"}, "excluded_embed_metadata_keys": [], "excluded_llm_metadata_keys": [], "relationships": {}, "text": "", "start_char_idx": null, "end_char_idx": null, "class_name": "TextNode"}"#;
    let vector: Vec<u8> = [1.0_f32; DIMENSIONS].iter().flat_map(|value| value.to_le_bytes()).collect();
    let fields = [("id", "p"), ("doc_id", "None"), ("text", "words of Python"), ("tag", "a|b")];
    let set = RedisCommand::write("HSET").key("llama_index/vector_p");
    let set = fields.into_iter().fold(set, |set, (name, value)| set.arg(name).arg(value));
    let set = set.arg("_node_content").arg(content).arg("_node_type").arg("TextNode");
    db.store.command(set.arg("vector").arg(vector)).await.unwrap();
    let filter = Selector::from(field("tag").eq("a|b"));
    for kind in [
        QueryKind::Dense { embedding: vec![1.0; DIMENSIONS] },
        QueryKind::Text { text: "python".to_owned() },
        QueryKind::Mmr { embedding: vec![1.0; DIMENSIONS], threshold: 0.5 },
    ] {
        let found = store.query(&VectorQuery::new(kind, 3).with_selector(filter.clone())).await.unwrap();
        let [only] = found.try_into().unwrap();
        assert_eq!((only.node.id.as_str(), only.node.text_content()), ("p", "words of Python"));
    }
    assert_eq!(store.count(&Selector::from(field("tag").eq("a"))).await.unwrap(), 0);
}

async fn only_rows_of_the_set_are_met(db: Db) {
    let (one, other) = (store(&db, Metric::Dot).await, db.store.vector_set("other").unwrap());
    other.configure(VectorConfig::new(DIMENSIONS, Metric::Dot)).await.unwrap();
    let node = |id: &str| Node::text("a cat").with_id(id).with_embedding([1.0; DIMENSIONS]);
    one.upsert(vec![node("1"), node("x*[y]?\\")], AddMode::Overwrite).await.unwrap();
    other.upsert(vec![node("2")], AddMode::Overwrite).await.unwrap();
    let text = RedisCommand::write("SET").key("llama_index/vector_text").arg("no node");
    db.store.command(text).await.unwrap();
    let query = VectorQuery::dense(vec![1.0; DIMENSIONS], 9);
    let found = ids_and_scores(one.query(&query).await.unwrap());
    assert_eq!(found.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["1", "x*[y]?\\"]);
    assert_eq!(other.count(&Selector::all()).await.unwrap(), 1);
    one.clear().await.unwrap();
    assert_eq!(one.count(&Selector::all()).await.unwrap(), 0);
    assert_eq!(other.query(&query).await.unwrap().len(), 1);
    let there = db.store.command(RedisCommand::read("GET").key("llama_index/vector_text")).await.unwrap();
    assert_eq!(there.as_str(), Some("no node"));
}

async fn a_plan_says_that_all_is_read(db: Db) {
    let store = store(&db, Metric::Cosine).await;
    let filter = field("tag").eq("a");
    let query = VectorQuery::dense(vec![1.0; DIMENSIONS], 3).with_selector(filter.clone());
    let plan = store.explain(&query).await.unwrap();
    assert!(plan.summary.contains("every node") && plan.summary.contains("exactly"), "{plan:?}");
    assert!(plan.native.unwrap().contains("SCAN"));
    assert_eq!((plan.pushed_down, plan.applied_after), (None, Some(filter)));
    let by_id = VectorQuery::dense(vec![1.0; DIMENSIONS], 3).with_selector(Selector::ids(["a", "b", "a"]));
    let plan = store.explain(&by_id).await.unwrap();
    assert!(plan.summary.contains("2 named") && plan.native.is_none(), "{plan:?}");
    let wrong = VectorQuery::dense(vec![1.0; 3], 3);
    assert_eq!(store.query(&wrong).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

async fn both_engines_have_the_same_rows(db: Db) {
    let joint = if db.url.contains('?') { "&" } else { "?" };
    let config = format!("{}{joint}store.vector_engine=exact", db.url).parse::<RedisConfig>().unwrap();
    let exact = RedisBackend::connect(config.with_namespace(db.name.clone())).await.unwrap();
    let (by_module, exact) = (store(&db, Metric::Cosine).await, exact.vectors().unwrap());
    let mut numbers = Numbers(11);
    let nodes = nodes(&mut numbers, 200);
    let (half, rest) = nodes.split_at(100);
    by_module.upsert(half.to_vec(), AddMode::Overwrite).await.unwrap();
    exact.upsert(rest.to_vec(), AddMode::Overwrite).await.unwrap();
    for selector in [Selector::all(), Selector::from(field("year").gte(4))] {
        let query = VectorQuery::dense(numbers.embedding(), 1_000).with_selector(selector.clone());
        let (one, other) = (by_module.query(&query).await.unwrap(), exact.query(&query).await.unwrap());
        let ids = |found: Vec<store_core::ScoredNode>| {
            let mut ids: Vec<String> = found.into_iter().map(|found| found.node.id.into_string()).collect();
            ids.sort_unstable();
            ids
        };
        let (one, other) = (ids(one), ids(other));
        assert!(one.len() > 50);
        assert_eq!(one, other);
        assert_eq!(by_module.count(&selector).await.unwrap(), exact.count(&selector).await.unwrap());
    }
}
