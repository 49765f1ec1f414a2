//! Readers of collections, keys and indexes, and the retriever over any index.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

mod common;

use std::process::ExitCode;

use common::{Db, eventually, on_both, on_search};
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use store_core::{
    AddMode, Backend as _, Document, ErrorKind, KvStoreExt as _, Metric, Node, Reader, Result,
    Retriever as _, VectorConfig,
};
use store_redis::{MissingField, RedisCommand};

fn main() -> ExitCode {
    common::run([
        on_both("reads_a_collection_in_order", reads_a_collection_in_order),
        on_both("reads_hashes_by_a_pattern", reads_hashes_by_a_pattern),
        on_both("says_what_is_missing", says_what_is_missing),
        on_search("reads_an_index_and_finds_words_in_it", reads_an_index_and_finds_words_in_it),
    ])
}

async fn all(reader: &dyn Reader) -> Result<Vec<Document>> {
    reader.read().try_collect().await
}

fn texts(documents: &[Document]) -> Vec<(&str, &str)> {
    documents.iter().map(|document| (document.id.as_str(), document.text_content())).collect()
}

async fn reads_a_collection_in_order(db: Db) {
    let kv = db.store.kv().unwrap();
    for (key, value) in [
        ("b", json!({"text": "two", "author": {"name": "B"}, "n": 2.0})),
        ("a", json!({"text": "one", "author": {"name": "A"}, "n": [1, null, "x"]})),
        ("c", json!({"text": "three", "n": true})),
    ] {
        let Value::Object(value) = value else { panic!() };
        kv.put("pages", key, value).await.unwrap();
    }
    let plain = db.store.collection_reader("pages").unwrap();
    let documents = all(&*plain).await.unwrap();
    assert_eq!(texts(&documents), [("a", "one"), ("b", "two"), ("c", "three")]);
    assert!(documents.iter().all(|document| document.metadata.is_empty()));
    let reader = db.store.reader("pages").with_fields(["text", "n"]).with_separator(" ");
    let reader = reader.with_metadata_as([("author.name", "author")]).after_id("a").with_limit(2);
    let documents = all(&reader).await.unwrap();
    // Python's `str`.
    assert_eq!(texts(&documents), [("b", "two 2.0"), ("c", "three True")]);
    let metadata: Vec<Value> =
        documents.iter().map(|document| Value::Object(document.metadata.clone())).collect();
    let expected =
        [json!({"author": "B", "collection": "pages"}), json!({"author": null, "collection": "pages"})];
    assert_eq!(metadata, expected);
    assert!(all(&db.store.reader("none")).await.unwrap().is_empty());
}

async fn hash(db: &Db, key: &str, fields: &[(&str, &str)]) {
    let set = RedisCommand::write("HSET").key(key);
    let set = fields.iter().fold(set, |set, (name, value)| set.arg(*name).arg(*value));
    db.store.command(set).await.unwrap();
}

async fn reads_hashes_by_a_pattern(db: Db) {
    for n in 0..350 {
        hash(&db, &format!("product:{n}"), &[("title", "T"), ("body", &n.to_string()), ("price", "1")]).await;
    }
    hash(&db, "other:1", &[("title", "not this")]).await;
    let no_hash = RedisCommand::write("SET").key("product:text").arg("no hash");
    db.store.command(no_hash).await.unwrap();
    let reader = db.store.key_reader(format!("{}:product:*", db.name)).with_fields(["title", "body"]);
    let reader = reader.with_separator("-").with_metadata(["price", "size"]);
    let mut documents = all(&reader).await.unwrap();
    assert_eq!(documents.len(), 350);
    documents.sort_by_key(|document| document.id.clone());
    documents.dedup_by_key(|document| document.id.clone());
    assert_eq!(documents.len(), 350);
    let id = format!("{}:product:17", db.name);
    let one = documents.iter().find(|document| document.id.as_str() == id).unwrap();
    assert_eq!(one.text_content(), "T-17");
    assert_eq!((&one.metadata["price"], &one.metadata["size"]), (&json!("1"), &Value::Null));
    assert_eq!(all(&reader.clone().with_limit(7).with_batch_size(3)).await.unwrap().len(), 7);
    let error = all(&reader.clone().after_id("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(all(&reader.with_batch_size(0)).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

async fn says_what_is_missing(db: Db) {
    hash(&db, "p:1", &[("text", "one"), ("more", "1")]).await;
    hash(&db, "p:2", &[("text", "two")]).await;
    let reader = db.store.key_reader(format!("{}:p:*", db.name)).with_fields(["text", "more"]);
    let mut read = Vec::new();
    let mut documents = reader.read();
    loop {
        match documents.try_next().await {
            Ok(Some(document)) => read.push(document.text_content().to_owned()),
            Ok(None) => break,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
                assert!(error.to_string().contains("more") && error.to_string().contains("p:2"), "{error}");
                read.push("error".to_owned());
            }
        }
    }
    read.sort();
    assert_eq!(read, ["error", "one1"]);
    let skipped = all(&reader.clone().with_missing(MissingField::SkipDocument)).await.unwrap();
    assert_eq!(skipped.len(), 1);
    let mut left = all(&reader.with_missing(MissingField::LeaveOut)).await.unwrap();
    left.sort_by_key(|document| document.id.clone());
    assert_eq!(texts(&left).into_iter().map(|(_, text)| text).collect::<Vec<_>>(), ["one1", "two"]);
}

async fn reads_an_index_and_finds_words_in_it(db: Db) {
    // Before the index is made: a row that is written while a new index looks for rows may be taken in twice, and of
    // so few rows the words would then stand in more than there are, for which BM25STD of Redis Stack 7.4 has no
    // sensible score.
    hash(&db, "art:1", &[("body", "cats sleep by day, cats"), ("tag", "pet")]).await;
    hash(&db, "art:2", &[("body", "dogs sleep at night")]).await;
    hash(&db, "art:3", &[("body", "the moon")]).await;
    hash(&db, "elsewhere:1", &[("body", "cats")]).await;
    let index = format!("{}:articles", db.name);
    let create = RedisCommand::write("FT.CREATE").key("articles");
    let words = format!("ON HASH PREFIX 1 {}:art: SCHEMA body TEXT tag TAG", db.name);
    let create = words.split(' ').fold(create, RedisCommand::arg);
    db.store.command(create).await.unwrap();
    let reader = db.store.index_reader(index.as_str()).with_fields(["body"]);
    eventually("the index holds all", async || all(&reader).await.unwrap().len() == 3).await;
    let retriever = db.store.text_retriever(index.as_str()).with_text_field("body").with_metadata(["tag"]);
    let found = retriever.retrieve("Do cats sleep? (*) | @tag:{x}").await.unwrap();
    let names: Vec<&str> =
        found.iter().filter_map(|found| found.node.id.as_str().split(':').next_back()).collect();
    assert_eq!(names, ["1", "2"]);
    let best = found.first().unwrap();
    assert_eq!(best.node.text_content(), "cats sleep by day, cats");
    assert_eq!(Value::Object(best.node.metadata.clone()), json!({"tag": "pet"}));
    let few = retriever.clone().with_min_score(best.score).retrieve("cats sleep").await.unwrap();
    assert_eq!(few.len(), 1);
    for (bad, question) in [
        (retriever.clone().with_top_k(0), "cats"),
        (retriever.clone().with_text_field("body}:(x"), "cats"),
        (retriever.clone(), " "),
    ] {
        assert_eq!(bad.retrieve(question).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    // The store's own rows come back as the nodes that they are.
    let vectors = db.store.vectors().unwrap();
    vectors.configure(VectorConfig::new(2, Metric::Cosine)).await.unwrap();
    let node =
        Node::text("a cat").with_id("a/vector_b").with_metadata("n", json!([1])).with_embedding([1.0, 0.0]);
    vectors.upsert(vec![node.clone()], AddMode::Overwrite).await.unwrap();
    let own = db.store.text_retriever(format!("{}:llama_index", db.name));
    eventually("it is found", async || !own.retrieve("cat").await.unwrap().is_empty()).await;
    let found = own.retrieve("cat").await.unwrap();
    let [found] = found.try_into().unwrap();
    let mut expected = node;
    expected.embedding = None;
    assert_eq!(found.node, expected);
}
