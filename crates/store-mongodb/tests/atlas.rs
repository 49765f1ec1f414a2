//! The vector role on servers with search, a stand-in for Atlas, and without, a real one.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

mod common;
#[path = "support/stub.rs"]
mod stub;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};

use bson::{Bson, Document, doc};
use common::{Db, test};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use store_core::filter::field;
use store_core::{
    AddMode, Backend as _, Embedder as _, FieldType, FilterableField, HashEmbedder, HybridRetriever, Metric,
    Node, QueryKind, Retriever as _, TextRetriever, VectorConfig, VectorQuery, VectorStoreExt as _,
};
use store_mongodb::mongodb::Client;
use store_mongodb::mongodb::event::EventHandler;
use store_mongodb::mongodb::event::command::CommandEvent;
use store_mongodb::mongodb::options::ClientOptions;
use store_mongodb::{MongoBackend, MongoConfig};
use stub::{Stub, batch, refuse};

fn main() -> ExitCode {
    common::run(vec![
        test("a_plain_server_is_asked_once_and_answers_itself", plain),
        test("retrievers_work_on_a_plain_server", retrievers),
        test("multiples_of_one_vector_are_ordered_by_id", multiples),
        test("a_server_with_search_is_used", |_| with_search()),
        python("python_sends_the_same_searches", python_sends_the_same_searches),
    ])
}

/// A test that needs a Python with `scripts/python/requirements.txt`.
fn python(name: &str, run: fn()) -> Trial {
    let skip = std::env::var_os(PYTHON).is_none() && std::env::var_os("STORE_TEST_REQUIRE").is_none();
    let run = move || {
        run();
        Ok(())
    };
    Trial::test(format!("python::{name}"), run).with_ignored_flag(skip)
}

const PYTHON: &str = "NODESTORE_TEST_PYTHON";

async fn nodes(embedder: &HashEmbedder) -> Vec<Node> {
    let mut nodes = Vec::new();
    for (id, text) in
        [("a", "cats sleep by day"), ("b", "dogs sleep by night"), ("c", "stocks fell on Monday")]
    {
        let embedding = embedder.embed(&[text]).await.unwrap().remove(0);
        nodes.push(Node::text(text).with_id(id).with_embedding(embedding).with_metadata("year", 1999));
    }
    nodes
}

async fn plain(db: Db) {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&sent);
    let mut options = ClientOptions::parse(common::url().unwrap()).await.unwrap();
    options.command_event_handler = Some(EventHandler::callback(move |event| {
        if let CommandEvent::Started(event) = event {
            log.lock().unwrap().push(event.command);
        }
    }));
    let client = Client::with_options(options).unwrap();
    let config = MongoConfig::new("mongodb://unused").with_namespace(db.name);
    let store = MongoBackend::from_client(client, config).unwrap();
    let embedder = HashEmbedder::new(8).unwrap();
    let vectors = store.vectors().unwrap();
    vectors.configure(VectorConfig::new(8, Metric::Cosine)).await.unwrap();
    vectors.upsert(nodes(&embedder).await, AddMode::Overwrite).await.unwrap();
    let embedding = embedder.embed(&["cats sleep by day"]).await.unwrap().remove(0);
    let query = VectorQuery::dense(embedding, 2).with_selector(field("year").eq(1999));
    for _ in 0..3 {
        // Another handle of the same store.
        let found = store.vectors().unwrap().query(&query).await.unwrap();
        assert_eq!(found[0].node.id.as_str(), "a");
    }
    let plan = vectors.explain(&query).await.unwrap();
    assert!(plan.summary.ends_with("this server has no search"), "{}", plan.summary);
    let diagnosis = store.diagnose().await.unwrap();
    let fact = diagnosis.facts.iter().find(|fact| fact.name == "vector search").unwrap();
    assert_eq!(fact.value, "by the plain server: this server has no search");
    let commands = sent.lock().unwrap();
    let stages = commands.iter().filter_map(|command| command.get_array("pipeline").ok()).flatten();
    let lists = stages.filter(|stage| stage.as_document().unwrap().contains_key("$listSearchIndexes"));
    assert_eq!(lists.count(), 1);
    let search = |name: &str| commands.iter().any(|command| command.to_string().contains(name));
    assert!(!search("$vectorSearch") && !search("createSearchIndexes"));
}

async fn retrievers(db: Db) {
    let embedder = Arc::new(HashEmbedder::new(64).unwrap());
    let vectors = db.store.vectors().unwrap();
    vectors.configure(VectorConfig::new(64, Metric::Cosine)).await.unwrap();
    vectors.upsert(nodes(&embedder).await, AddMode::Overwrite).await.unwrap();
    let by_words = TextRetriever::new(Arc::clone(&vectors)).retrieve("night dogs").await.unwrap();
    assert_eq!(by_words[0].node.id.as_str(), "b");
    let by_both =
        HybridRetriever::new(vectors, embedder).with_top_k(1).retrieve("cats sleep by day").await.unwrap();
    assert_eq!(by_both[0].node.id.as_str(), "a");
    let text = db.store.text_retriever("default_collection").retrieve("stocks").await.unwrap();
    assert_eq!(text[0].node.id.as_str(), "c");
    assert!(text[0].node.embedding.is_none());
}

async fn multiples(db: Db) {
    let vectors = db.store.vectors().unwrap();
    vectors.configure(VectorConfig::new(3, Metric::Cosine)).await.unwrap();
    let factors = [1.0_f32, 3.0, 7.0, 0.1, 11.0, 1e-3];
    let node = |(at, factor): (usize, &f32)| {
        Node::text("t").with_id(format!("n{at}")).with_embedding([*factor, *factor, 0.5 * factor])
    };
    vectors.upsert(factors.iter().enumerate().map(node).collect(), AddMode::Overwrite).await.unwrap();
    for query in [vec![3.0, 3.0, 1.5], vec![0.3, -0.7, 0.2], vec![-1.0, 0.3, 0.1]] {
        let found = vectors.query(&VectorQuery::dense(query.clone(), 4)).await.unwrap();
        let ids: Vec<_> = found.iter().map(|answer| answer.node.id.as_str()).collect();
        assert_eq!(ids, ["n0", "n1", "n2", "n3"], "{query:?}");
        let exact = Metric::Cosine.score(&query, &[1.0, 1.0, 0.5]);
        assert!(found.iter().all(|answer| (answer.score - exact).abs() < 1e-6), "{query:?}");
    }
}

/// A node as it is stored, with a score.
fn row(id: &str, text: &str, score: f64) -> Document {
    let node = Node::text(text).with_id(id).with_metadata("year", 1999);
    let metadata = bson::serialize_to_bson(&node.to_vector_metadata(false).unwrap()).unwrap();
    doc! {"_id": id, "text": text, "metadata": metadata, "score": score}
}

/// A server with search that knows `$rankFusion` or not.
async fn search_stub(fuses: bool) -> Stub {
    let made: Mutex<Vec<Document>> = Mutex::default();
    let configured: Mutex<Option<Bson>> = Mutex::default();
    Stub::start(move |name, command| {
        let first = command.get_array("pipeline").ok().and_then(|stages| stages[0].as_document().cloned());
        match (name, first) {
            ("aggregate", Some(stage)) if stage.contains_key("$listSearchIndexes") => {
                batch(made.lock().unwrap().clone())
            }
            ("aggregate", Some(stage)) if stage.contains_key("$vectorSearch") => {
                batch([row("a", "cats", 1.0), row("b", "dogs", 0.5)])
            }
            ("aggregate", Some(stage)) if stage.contains_key("$search") => batch([row("b", "dogs", 3.0)]),
            ("aggregate", Some(stage)) if stage.contains_key("$rankFusion") && !fuses => {
                refuse(40_324, "Unrecognized pipeline stage name: '$rankFusion'")
            }
            ("aggregate", _) => batch([]),
            ("createSearchIndexes", _) => {
                for index in command.get_array("indexes").unwrap() {
                    let mut entry = index.as_document().unwrap().clone();
                    entry.extend(doc! {"queryable": true, "status": "READY"});
                    let definition = entry.remove("definition").unwrap();
                    entry.insert("latestDefinition", definition);
                    made.lock().unwrap().push(entry);
                }
                doc! {"ok": 1, "indexesCreated": [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}]}
            }
            ("dropSearchIndex", _) => {
                let name = command.get_str("name").unwrap();
                made.lock().unwrap().retain(|entry| entry.get_str("name").unwrap() != name);
                doc! {"ok": 1}
            }
            ("find", _) => match &*configured.lock().unwrap() {
                Some(config) => batch([doc! {"_id": "vectors/default_collection", "config": config.clone()}]),
                None => batch([]),
            },
            ("update", _) => {
                let update = command.get_array("updates").unwrap()[0].as_document().unwrap();
                let set = update.get_document("u").unwrap().get_document("$set").unwrap();
                *configured.lock().unwrap() = set.get("config").cloned();
                doc! {"ok": 1, "n": 1, "nModified": 0}
            }
            ("delete", _) => {
                *configured.lock().unwrap() = None;
                doc! {"ok": 1, "n": 1}
            }
            _ => doc! {"ok": 1},
        }
    })
    .await
}

async fn with_search() {
    let stub = search_stub(false).await;
    let url = format!("{}&store.namespace=db&store.search_oversampling=20", stub.url());
    let store = MongoBackend::connect(url.parse().unwrap()).await.unwrap();
    let vectors = store.vectors().unwrap();
    vectors.configure(VectorConfig::new(2, Metric::Cosine)).await.unwrap();
    assert_eq!(stub.sent("createSearchIndexes").len(), 1);

    let query = VectorQuery::dense(vec![1.0, 0.0], 2);
    let found = vectors.query(&query).await.unwrap();
    let found: Vec<_> = found.iter().map(|answer| (answer.node.text_content(), answer.score)).collect();
    assert_eq!(found, [("cats", 1.0), ("dogs", 0.0)]);
    let plan = vectors.explain(&query).await.unwrap();
    assert!(plan.summary.contains("40 candidates for 2 answers"), "{}", plan.summary);
    assert!(plan.native.unwrap().contains("\"queryVector\":\"2 numbers\""));
    let found = vectors.query(&VectorQuery::text("dogs", 2)).await.unwrap();
    assert_eq!(found[0].node.id.as_str(), "b");
    let found = vectors.query(&VectorQuery::hybrid(vec![1.0, 0.0], "dogs", 2)).await.unwrap();
    assert_eq!(found[0].node.id.as_str(), "b");

    assert!(store.drop_vector_set(None).await.unwrap());
    assert_eq!(stub.sent("dropSearchIndex").len(), 2);
    assert_eq!(stub.sent("drop").len(), 1);
}

/// The pipelines that Python sends for these queries.
fn pythons(queries: &Value) -> Vec<Value> {
    let program = std::env::var_os(PYTHON).unwrap_or_else(|| {
        panic!("set {PYTHON} to what `scripts/python-env scripts/python/requirements.txt` prints")
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/pipelines.py");
    let output = Command::new(program).arg("-B").arg(script).arg(queries.to_string()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The pipelines that ours sends for a query, as JSON.
async fn ours(query: &VectorQuery, fuses: bool) -> Vec<Value> {
    let stub = search_stub(fuses).await;
    let store =
        MongoBackend::connect(format!("{}&store.namespace=db", stub.url()).parse().unwrap()).await.unwrap();
    let vectors = store.vectors().unwrap();
    let year = FilterableField { key: "year".to_owned(), field_type: FieldType::Integer };
    vectors.configure(VectorConfig::new(2, Metric::Cosine).with_filterable([year])).await.unwrap();
    let before = stub.pipelines().len();
    vectors.query(query).await.unwrap();
    // Plain documents: what stands in them is JSON too.
    stub.pipelines().into_iter().skip(before).map(|stages| serde_json::to_value(stages).unwrap()).collect()
}

/// A search with other numbers of answers and candidates.
fn with_limit(mut stages: Vec<Value>, limit: usize) -> Vec<Value> {
    for stage in &mut stages {
        if let Some(search) = stage.get_mut("$vectorSearch") {
            search["limit"] = limit.into();
            search["numCandidates"] = (10 * limit).into();
        }
        if let Some(most) = stage.get_mut("$limit") {
            *most = limit.into();
        }
    }
    stages
}

/// What is sent for each kind of query is the same to the server, but for what is told here, and on the page.
fn python_sends_the_same_searches() {
    let embedding = vec![0.5, 0.25];
    let year = json!({"filters": [{"key": "year", "value": 1, "operator": "=="}]});
    let pythons = pythons(&json!([
        {"mode": "default", "query_embedding": embedding, "similarity_top_k": 3, "filters": year},
        {"mode": "text_search", "query_str": "cats", "similarity_top_k": 5},
        {"mode": "text_search", "query_str": "cats", "similarity_top_k": 5, "filters": year},
        {"mode": "hybrid", "query_embedding": embedding, "query_str": "cats", "similarity_top_k": 2, "alpha": 0.25},
    ]));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ours = |query: &VectorQuery, fuses| runtime.block_on(ours(query, fuses));
    // Ours leaves the embedding, which nobody asked for, on the server.
    let rest = json!({"$project": {"embedding": 0}});
    let with_rest =
        |pipeline: &Value| [pipeline.as_array().unwrap().as_slice(), std::slice::from_ref(&rest)].concat();

    let nearest = VectorQuery::dense(vec![0.5, 0.25], 3).with_selector(field("year").eq(1));
    assert_eq!(ours(&nearest, true), [json!(with_rest(&pythons[0]))]);
    let words = VectorQuery::text("cats", 5);
    assert_eq!(ours(&words, true), [json!(with_rest(&pythons[1]))]);

    // A list that holds the value matches Python's filter; it is not equal to it, which ours says to the server.
    let filtered = ours(&words.with_selector(field("year").eq(1)), true).remove(0);
    let mut expected = with_rest(&pythons[2]);
    assert_eq!(expected[1], json!({"$match": {"metadata.year": {"$eq": 1}}}));
    expected[1] = filtered[1].clone();
    assert_eq!(filtered, json!(expected));
    assert!(filtered[1]["$match"].to_string().contains("metadata.year"), "{filtered}");

    // Python fuses by stages that collect whole documents into one, which fails at 16 MB, and takes an alpha of 0 for
    // 0.5. Ours has $rankFusion do it, or fuses itself what two requests answer, and looks at longer rankings.
    let both = QueryKind::Hybrid { embedding: vec![0.5, 0.25], text: "cats".to_owned(), alpha: 0.25 };
    let both = VectorQuery::new(both, 2);
    let union = pythons[3].as_array().unwrap().iter().find_map(|stage| stage.get("$unionWith")).unwrap();
    let (by_vector, by_words) = (&pythons[3][0], &union["pipeline"].as_array().unwrap()[..2]);
    let searches = [vec![by_vector.clone()], by_words.to_vec()].map(|stages| with_limit(stages, 100));
    let fused = ours(&both, true).remove(0);
    let fusion = &fused[0]["$rankFusion"];
    assert_eq!(fusion["input"]["pipelines"], json!({"vector": searches[0], "text": searches[1]}));
    assert_eq!(fusion["combination"]["weights"], json!({"vector": 0.25, "text": 0.75}));
    let weighed = json!({"$multiply": [0.25, "$vector_score"]}).to_string();
    assert!(pythons[3].to_string().contains(&weighed), "{}", pythons[3]);
    assert_eq!(fused[1], json!({"$limit": 2}));
    let score = |name: &str| json!({"$set": {"score": {"$meta": name}}});
    let apart = ["vectorSearchScore", "searchScore"].map(score);
    let expected = searches
        .into_iter()
        .zip(apart)
        .map(|(search, score)| json!([search, vec![score, rest.clone()]].concat()));
    let mut sent = ours(&both, false).split_off(1);
    // They go out at the same time.
    sent.sort_by_key(|pipeline| pipeline[0].get("$search").is_some());
    assert_eq!(sent, expected.collect::<Vec<_>>());
}
