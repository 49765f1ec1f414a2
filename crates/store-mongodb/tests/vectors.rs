//! Vectors on a real server, beyond what every store keeps: LlamaIndex's documents as they lie there, filters that
//! are finished by us, indexes, and documents of others.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod common;

use std::process::ExitCode;
use std::sync::Arc;

use bson::oid::ObjectId;
use bson::{DateTime, Document as BsonDocument, doc};
use common::{Db, test};
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use store_core::filter::field;
use store_core::{
    AddMode, Backend as _, ErrorKind, FieldType, Filter, FilterableField, GetOptions, MetadataPatch, Metric,
    Node, NodeContent, Selector, Timestamp, VectorConfig, VectorQuery, VectorStore, VectorStoreExt as _,
};

fn main() -> ExitCode {
    common::run(vec![
        test("documents_are_llamaindex_own", documents_are_llamaindex_own),
        test("reads_what_python_wrote", reads_what_python_wrote),
        test("reads_the_oldest_form", reads_the_oldest_form),
        test("an_update_keeps_both_places_in_step", an_update_keeps_both_places_in_step),
        test("filters_that_are_finished_here", filters_that_are_finished_here),
        test("filters_see_dates_of_the_server", filters_see_dates_of_the_server),
        test("filters_of_every_depth_and_length", filters_of_every_depth_and_length),
        test("values_are_never_operators", values_are_never_operators),
        test("indexes_serve_deletes_and_declared_fields", indexes_serve_deletes_and_declared_fields),
        test("dimensions_of_another_program_are_seen", dimensions_of_another_program_are_seen),
        test("documents_of_others_do_no_harm", documents_of_others_do_no_harm),
        test("explain_shows_the_pipeline", explain_shows_the_pipeline),
    ])
}

const NAME: &str = "default_collection";

async fn store(db: &Db, dimensions: usize) -> Arc<dyn VectorStore> {
    let store = db.store.vectors().unwrap();
    store.configure(VectorConfig::new(dimensions, Metric::Cosine)).await.unwrap();
    store
}

async fn put(store: &dyn VectorStore, nodes: Vec<Node>) {
    store.upsert(nodes, AddMode::Overwrite).await.unwrap();
}

async fn ids(store: &dyn VectorStore, selector: impl Into<Selector>) -> Vec<String> {
    let page = store.get(&selector.into(), GetOptions::default()).await.unwrap();
    page.items.into_iter().map(|node| node.id.into_string()).collect()
}

async fn stored(db: &Db, id: &str) -> BsonDocument {
    db.collection(NAME).find_one(doc! {"_id": id}).await.unwrap().unwrap()
}

/// A node as `MongoDBAtlasVectorSearch.add` of llama-index-vector-stores-mongodb writes it (formats 6.1 and 6.3).
fn python_document() -> BsonDocument {
    let content = concat!(
        r#"{"id_": "n1", "embedding": null, "metadata": {"year": 1999, "naïve": "ja", "tags": ["a", 1.5]}, "#,
        r#""excluded_embed_metadata_keys": [], "excluded_llm_metadata_keys": [], "relationships": {"1": "#,
        r#"{"node_id": "d1", "node_type": "4", "metadata": {}, "hash": null, "class_name": "RelatedNodeInfo"}}, "#,
        r#""metadata_template": "{key}: {value}", "metadata_separator": "\n", "text": "", "mimetype": "#,
        r#""text/plain", "start_char_idx": null, "end_char_idx": null, "text_template": "#,
        r#""{metadata_str}\n\n{content}", "class_name": "TextNode"}"#,
    );
    doc! {
        "_id": "n1",
        "embedding": [0.5, -0.25],
        "text": "Wine grows in Tokaj.",
        "metadata": {
            "year": 1999,
            "naïve": "ja",
            "tags": ["a", 1.5],
            "_node_content": content,
            "_node_type": "TextNode",
            "document_id": "d1",
            "doc_id": "d1",
            "ref_doc_id": "d1",
        },
    }
}

fn python_node() -> Node {
    Node::text("Wine grows in Tokaj.")
        .with_id("n1")
        .with_metadata("year", 1999)
        .with_metadata("naïve", "ja")
        .with_metadata("tags", json!(["a", 1.5]))
        .with_source("d1")
        .with_embedding([0.5, -0.25])
}

async fn documents_are_llamaindex_own(db: Db) {
    let store = store(&db, 2).await;
    put(&*store, vec![python_node(), Node::text("orphan").with_id("n2").with_embedding([1.0, 0.0])]).await;
    // Order and types of members included.
    assert_eq!(stored(&db, "n1").await.to_string(), python_document().to_string());
    let orphan = stored(&db, "n2").await;
    let metadata = orphan.get_document("metadata").unwrap();
    for name in ["document_id", "doc_id", "ref_doc_id"] {
        assert_eq!(metadata.get_str(name).unwrap(), "None");
    }
    assert_eq!(ids(&*store, Selector::ref_docs(["None"])).await, Vec::<String>::new());
}

async fn reads_what_python_wrote(db: Db) {
    db.collection(NAME).insert_one(python_document()).await.unwrap();
    let store = store(&db, 2).await;
    let found = store.query(&VectorQuery::dense(vec![1.0, -0.5], 1).with_embeddings(true)).await.unwrap();
    assert_eq!(found[0].node, python_node());
    assert!((found[0].score - 1.0).abs() < 1e-12);
    assert_eq!(ids(&*store, field("naïve").eq("ja").and(field("tags").contains(1.5))).await, ["n1"]);
    assert_eq!(store.query(&VectorQuery::text("tokaj", 1)).await.unwrap()[0].node.id.as_str(), "n1");
    assert_eq!(store.delete(&Selector::ref_docs(["d1"])).await.unwrap(), 1);
}

async fn reads_the_oldest_form(db: Db) {
    let oldest = doc! {
        "_id": "old",
        "embedding": [1.0, 0.0],
        "text": "Long ago",
        "metadata": {
            "year": 2022,
            "text": "Long ago",
            "node_info": r#"{"start": 3, "end": 11}"#,
            "relationships": r#"{"1": "d1"}"#,
            "id": "d1",
            "document_id": "d1",
            "doc_id": "d1",
            "ref_doc_id": "d1",
        },
    };
    db.collection(NAME).insert_one(oldest).await.unwrap();
    let store = store(&db, 2).await;
    let node = store.get(&Selector::ids(["old"]), GetOptions::default()).await.unwrap().items.remove(0);
    assert_eq!(node.text_content(), "Long ago");
    assert_eq!(Value::from(node.metadata.clone()), json!({"year": 2022}));
    assert_eq!(node.ref_doc_id().unwrap().as_str(), "d1");
    // Changed, it is written in today's form.
    let patch = MetadataPatch::new().with_set("year", 2023);
    assert_eq!(store.update(&Selector::ids(["old"]), &patch).await.unwrap(), 1);
    let metadata = stored(&db, "old").await.get_document("metadata").unwrap().clone();
    assert!(metadata.get_str("_node_content").unwrap().contains(r#""year": 2023"#));
    assert!(!metadata.contains_key("node_info"));
    assert_eq!(ids(&*store, field("year").eq(2023)).await, ["old"]);
}

async fn an_update_keeps_both_places_in_step(db: Db) {
    let store = store(&db, 2).await;
    put(&*store, vec![python_node(), Node::document("d").with_id("n2").with_metadata("doc_id", 7)]).await;
    let patch = MetadataPatch::new().with_set("year", 2000).with_set("doc_id", "mine").with_unset("tags");
    assert_eq!(store.update(&Selector::ids(["n1", "n2"]), &patch).await.unwrap(), 2);
    let document = stored(&db, "n1").await;
    let metadata = document.get_document("metadata").unwrap();
    let content: Value = serde_json::from_str(metadata.get_str("_node_content").unwrap()).unwrap();
    assert_eq!(content["metadata"], json!({"year": 2000, "naïve": "ja", "doc_id": "mine"}));
    assert_eq!(metadata.get_i32("year").unwrap(), 2000);
    assert_eq!(metadata.get_str("doc_id").unwrap(), "d1");
    assert!(!metadata.contains_key("tags"));
    assert_eq!(document.get_array("embedding").unwrap().len(), 2);
    assert_eq!(ids(&*store, field("doc_id").eq("mine")).await, ["n1", "n2"]);
    let cleaned = MetadataPatch::new().with_unset("doc_id");
    store.update(&Selector::ids(["n1", "n2"]), &cleaned).await.unwrap();
    assert_eq!(ids(&*store, field("doc_id").exists()).await, Vec::<String>::new());
    let node = store.get(&Selector::ids(["n2"]), GetOptions::default()).await.unwrap().items.remove(0);
    assert!(matches!(node.content, NodeContent::Document(_)));
}

async fn filters_that_are_finished_here(db: Db) {
    let store = store(&db, 2).await;
    let texts = ["ΟΔΟΣ", "οδος", "οδοσ", "ΟΔΟΣΑ", "odos"];
    let nodes = texts.iter().enumerate().map(|(n, text)| {
        Node::text("x")
            .with_id(format!("n{n}"))
            .with_metadata("v", *text)
            .with_metadata("n", n)
            .with_embedding([1.0, 0.5])
    });
    put(&*store, nodes.collect()).await;
    let sigma = |part: &str| field("v").text_match_insensitive(part);
    // A final sigma is another letter than one within a word.
    assert_eq!(ids(&*store, sigma("ΟΔΟΣ")).await, ["n0", "n1"]);
    assert_eq!(ids(&*store, sigma("οδοσ")).await, ["n2", "n3"]);
    assert_eq!(ids(&*store, !sigma("οδος")).await, ["n2", "n3", "n4"]);
    let both = sigma("ς").and(field("n").gt(0));
    let query = VectorQuery::dense(vec![1.0, 0.0], 5).with_selector(both.clone());
    let plan = store.explain(&query).await.unwrap();
    assert_eq!(plan.pushed_down, Some(field("n").gt(0)));
    assert_eq!(plan.applied_after, Some(sigma("ς")));
    assert_eq!(store.query(&query).await.unwrap().len(), 1);
    assert_eq!(store.count(&both.clone().into()).await.unwrap(), 1);
    let patch = MetadataPatch::new().with_set("seen", true);
    assert_eq!(store.update(&both.clone().into(), &patch).await.unwrap(), 1);
    assert_eq!(ids(&*store, field("seen").eq(true)).await, ["n1"]);
    assert_eq!(store.delete(&both.into()).await.unwrap(), 1);
    assert_eq!(store.count(&Selector::all()).await.unwrap(), 4);
}

async fn filters_see_dates_of_the_server(db: Db) {
    let mut document = python_document();
    let date = DateTime::parse_rfc3339_str("2024-05-01T12:00:00.500Z").unwrap();
    document.get_document_mut("metadata").unwrap().insert("when", date);
    db.collection(NAME).insert_one(document).await.unwrap();
    let store = store(&db, 2).await;
    let at = |text: &str| -> Timestamp { text.parse().unwrap() };
    for (filter, matches) in [
        (field("when").eq(at("2024-05-01T14:00:00.5+02:00")), true),
        (field("when").eq(at("2024-05-01T12:00:00.500000001Z")), false),
        (field("when").gt(at("2024-05-01T12:00:00.499999999Z")), true),
        (field("when").gt(at("2024-05-01T12:00:00.5Z")), false),
        (field("when").between(at("2024-05-01"), at("2024-05-02")), true),
        (field("when").gt("2024"), false),
    ] {
        assert_eq!(ids(&*store, filter.clone()).await.len(), usize::from(matches), "{filter}");
    }
}

async fn filters_of_every_depth_and_length(db: Db) {
    let store = store(&db, 2).await;
    put(&*store, vec![Node::text("x").with_id("n").with_metadata("v", "a".repeat(20_000))]).await;
    let deepest = (0..63).fold(field("v").exists(), |filter, n| {
        if n % 2 == 0 {
            Filter::Not(Box::new(filter))
        } else {
            Filter::Any(vec![filter, field("w").exists()])
        }
    });
    assert!(deepest.validate().is_ok());
    assert_eq!(ids(&*store, deepest).await.len(), 1);
    // Longer than any pattern may be.
    assert_eq!(ids(&*store, field("v").text_match("a".repeat(19_999))).await, ["n"]);
    assert_eq!(ids(&*store, field("v").text_match_insensitive("A".repeat(19_999))).await, ["n"]);
    assert_eq!(ids(&*store, field("v").text_match_insensitive("A".repeat(20_001))).await.len(), 0);
    assert_eq!(ids(&*store, field("v").text_match(format!("$v{}", "a".repeat(9_999)))).await.len(), 0);
    let long_path = vec!["x"; 150].join(".");
    assert_eq!(ids(&*store, field(long_path).is_missing()).await, ["n"]);
    assert_eq!(ids(&*store, field(vec!["x"; 90].join(".")).is_missing()).await, ["n"]);
    assert_eq!(ids(&*store, field("v").none_of((0..50_000).map(|n| format!("value {n}")))).await, ["n"]);
}

async fn values_are_never_operators(db: Db) {
    let store = store(&db, 2).await;
    let hostile = json!({"$where": "sleep(1000)", "$gt": "", "a": {"$ne": null}, "$expr": {"$eq": [1, 1]}});
    let mut node = Node::text("x").with_id("n");
    node.metadata = hostile.as_object().unwrap().clone();
    put(&*store, vec![node.clone(), Node::text("y").with_id("other")]).await;
    for (filter, found) in [
        (field("$where").eq("sleep(1000)"), vec!["n"]),
        (field("$where").eq("return true"), vec![]),
        (field("a.$ne").is_missing(), vec!["n", "other"]),
        (field("a").eq("$metadata.a"), vec![]),
        (field("$gt").eq("$$ROOT"), vec![]),
        (field("$where").contains("$where"), vec![]),
        (field("$where").text_match(".*"), vec![]),
        (field("$where").gte("2024-05-01".parse::<Timestamp>().unwrap()), vec![]),
    ] {
        assert_eq!(ids(&*store, filter.clone()).await, found, "{filter}");
    }
    let patch = MetadataPatch::new().with_set("$set", json!({"$inc": 1})).with_set("a.$[]", "$metadata");
    assert_eq!(store.update(&Selector::ids(["n"]), &patch).await.unwrap(), 1);
    patch.apply(&mut node.metadata);
    assert_eq!(store.get(&Selector::ids(["n"]), GetOptions::default()).await.unwrap().items, [node]);
    // An id is a text, never an operator on ids.
    assert_eq!(store.count(&Selector::ids(["{\"$ne\": null}"])).await.unwrap(), 0);
}

async fn indexes_serve_deletes_and_declared_fields(db: Db) {
    let store = db.store.vectors().unwrap();
    let year = FilterableField { key: "year".to_owned(), field_type: FieldType::Integer };
    let odd = FilterableField { key: "$odd".to_owned(), field_type: FieldType::Text };
    let config = VectorConfig::new(2, Metric::Cosine).with_filterable([year, odd]);
    store.configure(config).await.unwrap();
    put(
        &*store,
        (0..50).map(|n| Node::text("x").with_id(format!("n{n}")).with_metadata("year", n)).collect(),
    )
    .await;
    let indexes: Vec<String> = db.collection(NAME).list_index_names().await.unwrap();
    assert!(indexes.contains(&"metadata_delete_index".to_owned()), "{indexes:?}");
    let plan = async |matches: BsonDocument| {
        let command = doc! {"explain": {"find": NAME, "filter": matches}, "verbosity": "executionStats"};
        let answer = db.database().run_command(command).await.unwrap();
        answer.get_document("executionStats").unwrap().get_i32("totalDocsExamined").unwrap()
    };
    let not_list = doc! {"$not": {"$type": "array"}};
    let mut equal = doc! {"$eq": 7_i64};
    equal.extend(not_list);
    assert_eq!(plan(doc! {"metadata.year": equal}).await, 1);
    assert_eq!(plan(doc! {"metadata.ref_doc_id": "None"}).await, 50);
    assert_eq!(plan(doc! {"metadata.ref_doc_id": "d"}).await, 0);
}

async fn dimensions_of_another_program_are_seen(db: Db) {
    db.collection(NAME).insert_one(python_document()).await.unwrap();
    let store = db.store.vectors().unwrap();
    let error = store.configure(VectorConfig::new(3, Metric::Cosine)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("2 dimensions"), "{error}");
    assert_eq!(store.config().await.unwrap(), None);
    store.configure(VectorConfig::new(2, Metric::Dot)).await.unwrap();
}

async fn documents_of_others_do_no_harm(db: Db) {
    let store = store(&db, 2).await;
    put(&*store, vec![python_node()]).await;
    let others = [
        doc! {"_id": ObjectId::new(), "embedding": [1.0, 0.0], "text": "tokaj"},
        doc! {"_id": 7, "metadata": {"year": 1999}},
        doc! {"_id": "short", "embedding": [1.0], "text": "x", "metadata": {}},
        doc! {"_id": "zero", "embedding": [0.0, 0.0], "text": "x", "metadata": {}},
        doc! {"_id": "nan", "embedding": [f64::NAN, 1.0], "text": "x", "metadata": {}},
        doc! {"_id": "bare"},
    ];
    db.collection(NAME).insert_many(others).await.unwrap();
    let found = store.query(&VectorQuery::dense(vec![1.0, -0.5], 10)).await.unwrap();
    assert_eq!(found[0].node.id.as_str(), "n1");
    assert!(found.iter().all(|found| found.score.is_finite()));
    let text = store.query(&VectorQuery::text("tokaj", 10)).await.unwrap();
    assert_eq!(text.len(), 1);
    assert_eq!(ids(&*store, Selector::all()).await, ["bare", "n1", "nan", "short", "zero"]);
    let broken = doc! {"_id": "broken", "text": "x", "metadata": {"_node_content": "{"}};
    db.collection(NAME).insert_one(broken).await.unwrap();
    let error = store.get(&Selector::ids(["broken"]), GetOptions::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupt, Some("broken")));
    let all: Vec<BsonDocument> =
        db.collection(NAME).find(doc! {}).await.unwrap().try_collect().await.unwrap();
    assert_eq!(all.len(), 8);
}

async fn explain_shows_the_pipeline(db: Db) {
    let store = store(&db, 100).await;
    let query = VectorQuery::dense(vec![1.0; 100], 3).with_selector(field("year").gt(1990));
    let plan = store.explain(&query).await.unwrap();
    let native = plan.native.unwrap();
    for part in ["$match", "metadata.year", "$arrayElemAt", "… 97 more", "$sort", "$limit"] {
        assert!(native.contains(part), "{part} is not in {native}");
    }
    assert_eq!(plan.pushed_down, query.selector.filter);
    assert_eq!(plan.applied_after, None);
}
