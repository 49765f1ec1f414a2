//! Vectors shared with the real LlamaIndex: what Python writes is read, filtered and deleted here, and the other way.
//!
//! Needs a node, named by `STORE_TEST_CASSANDRA_URL`, and a Python that has `scripts/python/requirements.txt`, named by
//! `NODESTORE_TEST_PYTHON`. Without them the tests show as ignored, or fail when `STORE_TEST_REQUIRE` is set.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use store_cassandra::{CassandraBackend, CassandraConfig, CassandraVectorOptions};
use store_core::filter::field;
use store_core::{
    AddMode, Backend as _, GetOptions, MetadataPatch, Metric, Node, QueryKind, Selector, VectorConfig,
    VectorQuery, VectorStore, VectorStoreExt as _,
};

const SERVER: &str = "STORE_TEST_CASSANDRA_URL";
const PYTHON: &str = "NODESTORE_TEST_PYTHON";
const DIMENSIONS: usize = 3;

fn main() {
    let skip = [SERVER, PYTHON].iter().any(|name| std::env::var_os(name).is_none())
        && std::env::var_os("STORE_TEST_REQUIRE").is_none();
    let trial = |name, run: fn(&Shared)| {
        let run = move || -> Result<(), Failed> {
            run(&Shared::new(name));
            Ok(())
        };
        Trial::test(format!("python::{name}"), run).with_ignored_flag(skip)
    };
    let trials = vec![
        trial("python_finds_our_nodes", python_finds_our_nodes),
        trial("python_deletes_our_nodes", python_deletes_our_nodes),
        trial("we_find_nodes_of_python", we_find_nodes_of_python),
        trial("we_change_nodes_of_python", we_change_nodes_of_python),
        trial("both_write_one_node", both_write_one_node),
        trial("python_reads_an_exclusive_set", python_reads_an_exclusive_set),
        trial("diverse_nodes_are_the_same", diverse_nodes_are_the_same),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A table that both sides use.
struct Shared {
    url: String,
    table: String,
    runtime: tokio::runtime::Runtime,
}

impl Shared {
    fn new(test: &str) -> Self {
        let url = std::env::var(SERVER).unwrap_or_else(|_| panic!("{SERVER} is not set"));
        let table = format!("p{}_{}", std::process::id(), test.chars().take(24).collect::<String>());
        Self { url, table, runtime: tokio::runtime::Runtime::new().unwrap() }
    }

    fn config(&self) -> CassandraConfig {
        self.url.parse().unwrap()
    }

    async fn backend(
        &self,
        set: impl Fn(CassandraVectorOptions) -> CassandraVectorOptions,
    ) -> CassandraBackend {
        let options = set(CassandraVectorOptions::default().with_table(self.table.as_str()));
        let config = self.config().with_create(true).with_vectors(options);
        CassandraBackend::connect(config.with_operation_timeout(Duration::from_mins(1))).await.unwrap()
    }

    async fn store(&self) -> Arc<dyn VectorStore> {
        configured(&self.backend(|options| options).await).await
    }

    fn python(&self, command: &str, given: &str) -> Value {
        let program = std::env::var_os(PYTHON).unwrap_or_else(|| {
            panic!("set {PYTHON} to what `scripts/python-env scripts/python/requirements.txt` prints")
        });
        let config = self.config();
        let place = config.connection.hosts.first().unwrap().clone();
        let place = if place.contains(':') { place } else { format!("{place}:9042") };
        let keyspace = config.keyspace.clone().unwrap_or_else(|| "nodestore".to_owned());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/vectors.py");
        let output = Command::new(program)
            .arg(script)
            .args([&place, &keyspace, &self.table, &DIMENSIONS.to_string(), command, given])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn python_finds(&self, query: &Value) -> Vec<Value> {
        let answers = self.python("query", &json!([query]).to_string());
        answers[0].as_array().unwrap().clone()
    }

    fn run<T>(&self, run: impl Future<Output = T>) -> T {
        self.runtime.block_on(run)
    }
}

async fn configured(backend: &CassandraBackend) -> Arc<dyn VectorStore> {
    let store = backend.vectors().unwrap();
    store.configure(VectorConfig::new(DIMENSIONS, Metric::Cosine)).await.unwrap();
    store
}

fn node(id: &str, embedding: [f32; DIMENSIONS], metadata: &Value) -> Node {
    let mut node = Node::text(format!("text of {id}")).with_id(id).with_embedding(embedding);
    node.metadata.clone_from(metadata.as_object().unwrap());
    node
}

fn ours() -> Vec<Node> {
    vec![
        node("a", [1.0, 0.0, 0.0], &json!({"year": 1999, "tag": "it's", "good": true})).with_source("one"),
        node("b", [0.9, 0.1, 0.0], &json!({"year": 2024.5, "tag": "it's", "list": [1, 2]}))
            .with_source("two"),
        node("c", [0.0, 1.0, 0.0], &json!({"year": 1999, "nothing": null})),
    ]
}

fn theirs() -> Value {
    json!([
        {"id": "p", "text": "text of p", "metadata": {"year": 1999, "tag": "it's", "good": true}, "source": "one",
         "embedding": [1.0, 0.0, 0.0]},
        {"id": "q", "text": "text of q", "metadata": {"year": 2024.5, "when": "2024-05-01"}, "source": "two",
         "embedding": [0.9, 0.1, 0.0]},
        {"id": "r", "text": "text of r", "metadata": {"year": 9_007_199_254_740_993_i64, "nothing": null},
         "embedding": [0.0, 1.0, 0.0]},
    ])
}

fn ids(found: &[Value]) -> Vec<&str> {
    found.iter().map(|found| found["id"].as_str().unwrap()).collect()
}

async fn selected(store: &dyn VectorStore, selector: impl Into<Selector>) -> Vec<String> {
    let page = store.get(&selector.into(), GetOptions::default()).await.unwrap();
    let mut ids: Vec<String> = page.items.into_iter().map(|node| node.id.into_string()).collect();
    ids.sort_unstable();
    ids
}

async fn found(store: &dyn VectorStore, query: &VectorQuery) -> Vec<String> {
    let found = store.query(query).await.unwrap();
    found.into_iter().map(|found| found.node.id.into_string()).collect()
}

fn nearest(selector: impl Into<Selector>) -> VectorQuery {
    VectorQuery::dense(vec![1.0, 0.05, 0.0], 5).with_selector(selector.into())
}

fn python_finds_our_nodes(shared: &Shared) {
    shared.run(async {
        shared.store().await.upsert(ours(), AddMode::Overwrite).await.unwrap();
    });
    let found = shared.python_finds(&json!({"embedding": [1.0, 0.0, 0.0], "k": 3}));
    assert_eq!(ids(&found), ["a", "b", "c"]);
    let first = &found[0];
    assert_eq!(first["text"], "text of a");
    assert_eq!(first["metadata"], json!({"year": 1999, "tag": "it's", "good": true}));
    assert_eq!((&first["source"], &first["score"]), (&json!("one"), &json!(1.0)));
    assert_eq!(found[1]["metadata"]["list"], json!([1, 2]));
    for (filters, expected) in [
        (json!({"year": 1999}), vec!["a", "c"]),
        (json!({"year": 2024.5}), vec!["b"]),
        (json!({"tag": "it's"}), vec!["a", "b"]),
        (json!({"tag": "it's", "year": 1999}), vec!["a"]),
        (json!({"ref_doc_id": "two"}), vec!["b"]),
        (json!({"tag": "other"}), vec![]),
    ] {
        let query = json!({"embedding": [1.0, 0.0, 0.0], "k": 5, "filters": filters});
        assert_eq!(ids(&shared.python_finds(&query)), expected, "{query}");
    }
}

fn python_deletes_our_nodes(shared: &Shared) {
    let store = shared.run(async {
        let store = shared.store().await;
        store.upsert(ours(), AddMode::Overwrite).await.unwrap();
        store
    });
    shared.python("delete", "one");
    shared.run(async {
        assert_eq!(selected(&*store, Selector::all()).await, ["b", "c"]);
        assert_eq!(found(&*store, &nearest(Selector::all())).await, ["b", "c"]);
    });
}

fn we_find_nodes_of_python(shared: &Shared) {
    shared.python("add", &theirs().to_string());
    shared.run(async {
        let store = shared.store().await;
        let all = store.query(&nearest(Selector::all())).await.unwrap();
        assert_eq!(all[0].node.text_content(), "text of p");
        assert_eq!(Value::Object(all[0].node.metadata.clone()), theirs()[0]["metadata"]);
        assert_eq!(all[0].node.ref_doc_id().unwrap().as_str(), "one");
        let at: store_core::Timestamp = "2024-05-01T00:00:00Z".parse().unwrap();
        for (filter, expected) in [
            (field("year").eq(1999), vec!["p"]),
            (field("year").gt(2000), vec!["q", "r"]),
            (field("year").eq(9_007_199_254_740_993_i64), vec!["r"]),
            (field("year").eq(9_007_199_254_740_992_i64), vec![]),
            (field("tag").eq("it's").and(field("good").eq(true)), vec!["p"]),
            (field("tag").eq("it's").or(field("year").eq(2024.5)), vec!["p", "q"]),
            (field("when").eq(at), vec!["q"]),
            (field("nothing").is_missing(), vec!["p", "q", "r"]),
            (!field("tag").exists(), vec!["q", "r"]),
        ] {
            assert_eq!(selected(&*store, filter.clone()).await, expected, "{filter}");
            assert_eq!(found(&*store, &nearest(filter.clone())).await, expected, "{filter}");
        }
        assert_eq!(selected(&*store, Selector::ids(["q", "x"])).await, ["q"]);
        assert_eq!(selected(&*store, Selector::ref_docs(["one"])).await, ["p"]);
        assert_eq!(store.delete(&field("year").lt(2000).into()).await.unwrap(), 1);
        assert_eq!(store.delete(&Selector::ref_docs(["two"])).await.unwrap(), 1);
        assert_eq!(store.delete(&Selector::ids(["r"])).await.unwrap(), 1);
    });
    assert!(shared.python_finds(&json!({"embedding": [1.0, 0.0, 0.0], "k": 3})).is_empty());
}

fn we_change_nodes_of_python(shared: &Shared) {
    shared.python("add", &theirs().to_string());
    shared.run(async {
        let store = shared.store().await;
        let mut patch = MetadataPatch::default();
        patch.set.insert("tag".to_owned(), json!("new"));
        patch.unset.push("good".to_owned());
        assert_eq!(store.update(&field("year").eq(1999).into(), &patch).await.unwrap(), 1);
    });
    let found =
        shared.python_finds(&json!({"embedding": [1.0, 0.0, 0.0], "k": 3, "filters": {"tag": "new"}}));
    assert_eq!(found[0]["metadata"], json!({"year": 1999, "tag": "new"}));
    assert_eq!((&found[0]["text"], &found[0]["source"]), (&json!("text of p"), &json!("one")));
}

fn both_write_one_node(shared: &Shared) {
    let store = shared.run(async {
        let store = shared.store().await;
        let document = Node::document("ours").with_id("p").with_embedding([0.0, 0.0, 1.0]).with_source("one");
        store.upsert(vec![document], AddMode::Overwrite).await.unwrap();
        store
    });
    shared.python("add", &theirs().to_string());
    shared.run(async {
        let found = store.query(&nearest(field("good").eq(true))).await.unwrap();
        assert_eq!(found.len(), 1);
        // What our column said of the document holds no more.
        assert_eq!((found[0].node.text_content(), found[0].node.class_name()), ("text of p", "TextNode"));
        // Python has all nodes without a source in one partition; ours leaves that one.
        let moved = node("r", [0.0, 1.0, 0.0], &json!({"year": 1}));
        store.upsert(vec![moved], AddMode::Overwrite).await.unwrap();
        assert_eq!(store.count(&Selector::all()).await.unwrap(), 3);
    });
    let query = json!({"embedding": [0.0, 1.0, 0.0], "k": 9});
    assert_eq!(ids(&shared.python_finds(&query)), ["r", "q", "p"]);
}

fn python_reads_an_exclusive_set(shared: &Shared) {
    let store = shared.run(async {
        let backend = shared.backend(|options| options.with_exclusive(true)).await;
        let store = configured(&backend).await;
        store.upsert(ours(), AddMode::Overwrite).await.unwrap();
        store
    });
    let query = json!({"embedding": [1.0, 0.0, 0.0], "k": 5, "filters": {"year": 1999}});
    assert_eq!(ids(&shared.python_finds(&query)), ["a", "c"]);
    shared.python("delete", "one");
    shared.run(async {
        assert_eq!(selected(&*store, field("list").contains(2)).await, ["b"]);
        assert_eq!(found(&*store, &nearest(field("year").exists())).await, ["b", "c"]);
    });
}

/// Python weighs four times as many as wanted.
fn diverse_nodes_are_the_same(shared: &Shared) {
    let nodes: Vec<Node> = (0..40_u8)
        .map(|n| {
            let angle = f32::from(n) * 0.07;
            node(&format!("n{n:02}"), [angle.cos(), angle.sin(), f32::from(n % 5) * 0.1], &json!({}))
        })
        .collect();
    let store = shared.run(async {
        let backend = shared.backend(|options| options.with_mmr_prefetch(4.0)).await;
        let store = configured(&backend).await;
        store.upsert(nodes, AddMode::Overwrite).await.unwrap();
        store
    });
    for threshold in [0.5, 0.9] {
        let query = json!({"embedding": [1.0, 0.2, 0.1], "k": 5, "mode": "mmr", "threshold": threshold});
        let python = shared.python_finds(&query);
        let kind = QueryKind::Mmr { embedding: vec![1.0, 0.2, 0.1], threshold };
        let ours = shared.run(async { store.query(&VectorQuery::new(kind, 5)).await.unwrap() });
        let chosen: Vec<&str> = ours.iter().map(|found| found.node.id.as_str()).collect();
        assert_eq!(ids(&python), chosen, "threshold {threshold}");
        for (python, ours) in python.iter().zip(&ours) {
            assert!((python["score"].as_f64().unwrap() - ours.score).abs() < 1e-5);
        }
    }
}
