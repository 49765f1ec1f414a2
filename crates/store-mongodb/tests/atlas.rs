//! The vector role on servers with search, a stand-in for Atlas, and without, a real one.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod common;
#[path = "support/stub.rs"]
mod stub;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use bson::{Bson, Document, doc};
use common::{Db, test};
use store_core::filter::field;
use store_core::{
    AddMode, Backend as _, Embedder as _, HashEmbedder, HybridRetriever, Metric, Node, Retriever as _,
    TextRetriever, VectorConfig, VectorQuery, VectorStoreExt as _,
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
    ])
}

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

async fn with_search() {
    let made: Mutex<Vec<Document>> = Mutex::default();
    let configured: Mutex<Option<Bson>> = Mutex::default();
    let stub = Stub::start(move |name, command| {
        let first = command.get_array("pipeline").ok().and_then(|stages| stages[0].as_document().cloned());
        match (name, first) {
            ("aggregate", Some(stage)) if stage.contains_key("$listSearchIndexes") => {
                batch(made.lock().unwrap().clone())
            }
            ("aggregate", Some(stage)) if stage.contains_key("$vectorSearch") => {
                batch([row("a", "cats", 1.0), row("b", "dogs", 0.5)])
            }
            ("aggregate", Some(stage)) if stage.contains_key("$search") => batch([row("b", "dogs", 3.0)]),
            ("aggregate", Some(stage)) if stage.contains_key("$rankFusion") => {
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
    .await;
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
