//! Retrieving by words, by `$text` on a real server and by Atlas Search on a stand-in for it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod common;
#[path = "support/stub.rs"]
mod stub;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use bson::oid::ObjectId;
use bson::{Document, doc};
use common::{Db, test};
use store_core::{ErrorKind, Node, Retriever as _, ScoredNode};
use store_mongodb::mongodb::event::EventHandler;
use store_mongodb::mongodb::event::command::CommandEvent;
use store_mongodb::mongodb::options::{ClientOptions, IndexOptions};
use store_mongodb::mongodb::{Client, IndexModel};
use store_mongodb::{MongoBackend, MongoConfig};
use stub::{Stub, batch, refuse};

fn main() -> ExitCode {
    common::run(vec![
        test("text_index_ranks_and_reads", text_index_ranks_and_reads),
        test("questions_are_words_only", questions_are_words_only),
        test("missing_index_is_named", missing_index_is_named),
        test("bad_arguments_are_refused", bad_arguments_are_refused),
        test("search_is_sent_as_python_sends_it", search_is_sent_as_python_sends_it),
        test("search_answers_are_read", |_| search_answers_are_read()),
        test("finds_out_what_the_server_has", |_| finds_out_what_the_server_has()),
    ])
}

fn texts(answers: &[ScoredNode]) -> Vec<&str> {
    answers.iter().map(|answer| answer.node.text_content()).collect()
}

async fn index(db: &Db, field: &str) {
    let options = IndexOptions::builder().default_language("none".to_owned()).build();
    let model = IndexModel::builder().keys(doc! {field: "text"}).options(options).build();
    db.collection("c").create_index(model).await.unwrap();
}

async fn text_index_ranks_and_reads(db: Db) {
    index(&db, "body.words").await;
    let id = ObjectId::new();
    let documents = vec![
        doc! {"_id": 1, "body": {"words": "cats and dogs"}, "about": {"year": 1999}, "embedding": [1.0]},
        doc! {"_id": id, "body": {"words": "cats, cats and cats"}, "about": {"year": 2024}},
        doc! {"_id": "x", "body": {"words": "birds"}},
        doc! {"_id": "b", "body": {"words": "dogs and cats"}, "about": 3},
    ];
    db.collection("c").insert_many(documents).await.unwrap();
    let retriever = db.store.text_retriever("c").with_text_field("body.words").with_metadata_field("about");
    let answers = retriever.retrieve("cats").await.unwrap();
    assert_eq!(texts(&answers), ["cats, cats and cats", "cats and dogs", "dogs and cats"]);
    assert!(answers[0].score > answers[1].score && answers[1].score > 0.0);
    let ids: Vec<&str> = answers.iter().map(|answer| answer.node.id.as_str()).collect();
    assert_eq!(ids, [id.to_hex().as_str(), "1", "b"]);
    assert_eq!(answers[0].node.metadata["year"], 2024);
    assert!(answers[2].node.metadata.is_empty());
    let best = retriever.clone().with_top_k(1).retrieve("cats").await.unwrap();
    assert_eq!(texts(&best), ["cats, cats and cats"]);
    let old =
        retriever.clone().with_match(doc! {"about.year": {"$lt": 2000}}).retrieve("cats dogs").await.unwrap();
    assert_eq!(texts(&old), ["cats and dogs"]);
    let least = retriever.clone().with_min_score(best[0].score).retrieve("cats").await.unwrap();
    assert_eq!(least.len(), 1);
    assert_eq!(retriever.retrieve("nothing such").await.unwrap(), []);
    let error = db.store.text_retriever("absent").retrieve("cats").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

async fn questions_are_words_only(db: Db) {
    index(&db, "text").await;
    let node = Node::text("the quick fox").with_id("n").with_metadata("k", "v").with_source("d");
    let metadata = bson::serialize_to_bson(&node.to_vector_metadata(false).unwrap()).unwrap();
    db.collection("c")
        .insert_one(doc! {"_id": "n", "text": "the quick fox", "metadata": metadata})
        .await
        .unwrap();
    let retriever = db.store.text_retriever("c").with_text_index();
    // Neither is `quick` excluded, nor must the phrase be there.
    for question in ["fox -quick", "\"fox the\"", "-quick", "fox \"", "{\"$ne\": 1} fox"] {
        let answers = retriever.retrieve(question).await.unwrap();
        assert_eq!(answers.len(), 1, "{question}");
        assert_eq!(answers[0].node, node);
    }
    for question in ["-", "\"\"", "-\""] {
        assert_eq!(retriever.retrieve(question).await.unwrap(), [], "{question}");
    }
}

async fn missing_index_is_named(db: Db) {
    db.collection("c").insert_one(doc! {"text": "cats"}).await.unwrap();
    let error = db.store.text_retriever("c").retrieve("cats").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("no text index"), "{error}");
    assert_eq!(error.collection(), Some("c"));
    let error = db.store.text_retriever("c").with_search_index("default").retrieve("cats").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("with_text_index"), "{error}");
}

async fn bad_arguments_are_refused(db: Db) {
    let retriever = db.store.text_retriever("c");
    for bad in [
        retriever.clone().with_top_k(0).retrieve("x").await,
        retriever.clone().with_min_score(f64::NAN).retrieve("x").await,
        retriever.clone().with_text_field("a..b").retrieve("x").await,
        retriever.clone().with_metadata_field("$where").retrieve("x").await,
        retriever.clone().with_embedding_field("").retrieve("x").await,
        retriever.clone().in_database("a b").retrieve("x").await,
        db.store.text_retriever("a$b").retrieve("x").await,
        retriever.retrieve(" \n").await,
    ] {
        assert_eq!(bad.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

/// The driver says what it sends before the server answers; that this server refuses it does no harm.
async fn search_is_sent_as_python_sends_it(db: Db) {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&sent);
    let mut options = ClientOptions::parse(common::url().unwrap()).await.unwrap();
    options.command_event_handler = Some(EventHandler::callback(move |event| {
        if let CommandEvent::Started(event) = event
            && event.command_name == "aggregate"
        {
            log.lock().unwrap().push(event.command);
        }
    }));
    let client = Client::with_options(options).unwrap();
    let config = MongoConfig::new("mongodb://unused").with_namespace(db.name);
    let store = MongoBackend::from_client(client, config).unwrap();
    let retriever = store.text_retriever("c").with_search_index("default").with_top_k(2);
    retriever.retrieve("cats \"and\" -dogs").await.unwrap_err();
    let sent = sent.lock().unwrap();
    let stages = sent[0].get_array("pipeline").unwrap();
    let expected = [
        doc! {"$search": {"index": "default", "text": {"query": "cats \"and\" -dogs", "path": "text"}}},
        doc! {"$addFields": {"score": {"$meta": "searchScore"}}},
        doc! {"$sort": {"score": -1}},
        doc! {"$limit": 2},
        // Ours: Python reads each document again, whole.
        doc! {"$project": {"embedding": 0}},
    ];
    let bytes = |stage: &Document| bson::serialize_to_vec(stage).unwrap();
    let stages: Vec<_> = stages.iter().map(|stage| bytes(stage.as_document().unwrap())).collect();
    assert_eq!(stages, expected.iter().map(bytes).collect::<Vec<_>>());
}

async fn stub_store(stub: &Stub) -> MongoBackend {
    MongoBackend::connect(MongoConfig::new(stub.url()).with_namespace("db")).await.unwrap()
}

async fn search_answers_are_read() {
    let node = Node::text("about cats").with_id("n").with_metadata("k", 1).with_source("d");
    let metadata = bson::serialize_to_bson(&node.to_vector_metadata(false).unwrap()).unwrap();
    let stub = Stub::start(move |_, _| {
        batch([
            doc! {"_id": 2, "text": "cats too", "score": 1.5},
            doc! {"_id": "n", "text": "about cats", "metadata": metadata.clone(), "score": 1.5},
            doc! {"_id": 1, "text": "cats", "metadata": {"a": {"b": 1}}, "score": 1.5},
        ])
    })
    .await;
    let retriever = stub_store(&stub).await.text_retriever("c").with_search_index("default");
    let answers = retriever.retrieve("cats").await.unwrap();
    assert_eq!(texts(&answers), ["cats", "cats too", "about cats"]);
    assert_eq!(answers[2].node, node);
    assert_eq!(answers[0].node.metadata["a"]["b"], 1);
    // One query, whatever the number of answers.
    assert_eq!(stub.sent("aggregate").len() + stub.sent("find").len(), 1);
    let stub = Stub::start(|_, _| batch([doc! {"_id": 1, "text": "cats"}])).await;
    let retriever = stub_store(&stub).await.text_retriever("c").with_search_index("default");
    let error = retriever.retrieve("cats").await.unwrap_err();
    assert!(error.to_string().contains("without a score"), "{error}");
}

async fn finds_out_what_the_server_has() {
    let definition =
        |field: &str| doc! {"mappings": {"dynamic": false, "fields": {field: [{"type": "string"}]}}};
    let entry = |name: &str, queryable: bool, field: &str| {
        doc! {"name": name, "queryable": queryable, "status": "READY", "latestDefinition": definition(field)}
    };
    let search = "$search";
    for (entries, expected) in [
        (vec![entry("a", true, "title"), entry("b", true, "text")], Some("b")),
        (vec![entry("b", false, "text")], None),
        (vec![], None),
    ] {
        let stub = Stub::start(move |_, command| {
            let first = command.get_array("pipeline").unwrap()[0].as_document().unwrap();
            if first.contains_key("$listSearchIndexes") { batch(entries.clone()) } else { batch([]) }
        })
        .await;
        let retriever = stub_store(&stub).await.text_retriever("c");
        for _ in 0..2 {
            assert_eq!(retriever.clone().retrieve("cats").await.unwrap(), []);
        }
        let pipelines = stub.pipelines();
        assert_eq!((pipelines.len(), stub.sent("aggregate").len()), (2, 3));
        let index = pipelines[0][0].get_document(search).ok().map(|stage| stage.get_str("index").unwrap());
        assert_eq!(index, expected);
    }
    let stub = Stub::start(|_, command| {
        let first = command.get_array("pipeline").unwrap()[0].as_document().unwrap();
        if first.contains_key("$listSearchIndexes") { refuse(31_082, "no search") } else { batch([]) }
    })
    .await;
    stub_store(&stub).await.text_retriever("c").retrieve("cats").await.unwrap();
    assert!(stub.pipelines()[0][0].contains_key("$match"));
}
