//! The whole way of a query, against a stand-in for Atlas: no server that can be installed here has search.

#![allow(clippy::float_cmp, reason = "the very same arithmetic")]

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bson::raw::RawDocumentBuf;
use store_core::filter::field;
use store_core::{FieldType, FilterableField, Metric};

use self::stub::{Stub, batch, refuse};
use bson::{Bson, doc};

use super::*;
use crate::MongoConfig;
use crate::vector::SearchConfig;
use crate::vector::search_index::{text_definition, vector_definition};

#[path = "../../tests/support/stub.rs"]
mod stub;

fn config() -> VectorConfig {
    let year = FilterableField { key: "year".to_owned(), field_type: FieldType::Integer };
    VectorConfig::new(2, Metric::Cosine).with_filterable([year])
}

fn settings() -> MongoConfig {
    let mut settings = MongoConfig::new("mongodb://unused").with_namespace("db");
    settings.search = SearchConfig::default().with_index_wait(Duration::from_mins(1));
    settings
}

async fn search_with(stub: &Stub, settings: MongoConfig) -> AtlasSearch {
    let client = mongodb::Client::with_uri_str(stub.url()).await.unwrap();
    AtlasSearch::new(Arc::new(Space::of_caller(client, settings)), "c")
}

async fn search(stub: &Stub) -> AtlasSearch {
    search_with(stub, settings()).await
}

/// Entries of both indexes.
fn indexes(status: &str) -> Vec<Document> {
    let entry = |name: &str, definition| {
        doc! {"id": name, "name": name, "status": status, "queryable": status == "READY",
        "latestDefinition": definition}
    };
    vec![
        entry("vector_index", vector_definition(&config(), EMBEDDING)),
        entry("fulltext_index", text_definition(TEXT)),
    ]
}

fn lists(command: &Document) -> bool {
    command.get_array("pipeline").is_ok_and(|stages| {
        stages.iter().any(|stage| stage.as_document().unwrap().contains_key("$listSearchIndexes"))
    })
}

/// A stored node as the server would answer it.
fn row(id: &str, year: i64, score: f64) -> Document {
    let node = Node::text(format!("text of {id}")).with_id(id).with_metadata("year", year).with_source("d");
    let metadata = bson::serialize_to_bson(&node.to_vector_metadata(false).unwrap()).unwrap();
    doc! {"_id": id, "text": node.text_content(), "metadata": metadata, "score": score}
}

/// A server whose indexes are ready and which answers every query by `rows`, given its pipeline.
async fn ready(rows: impl Fn(&[Bson]) -> Document + Send + Sync + 'static) -> Stub {
    Stub::start(move |name, command| match name {
        "aggregate" if lists(command) => batch(indexes("READY")),
        "aggregate" => rows(command.get_array("pipeline").unwrap()),
        _ => refuse(59, "no such command"),
    })
    .await
}

fn ids(found: &[ScoredNode]) -> Vec<&str> {
    found.iter().map(|answer| answer.node.id.as_str()).collect()
}

/// Documents are equal in whatever order their members stand; bytes are not.
fn assert_bytes(sent: &[Vec<Document>], expected: &[Vec<Document>]) {
    let bytes = |stages: &[Vec<Document>]| -> Vec<Vec<u8>> {
        stages.iter().flatten().map(|stage| bson::serialize_to_vec(stage).unwrap()).collect()
    };
    assert_eq!(sent, expected);
    assert_eq!(bytes(sent), bytes(expected));
}

fn limit_of(pipeline: &[Bson]) -> usize {
    let stage = pipeline[0].as_document().unwrap().get_document("$vectorSearch").unwrap();
    usize::try_from(stage.get_i32("limit").unwrap()).unwrap()
}

#[tokio::test]
async fn nearest_answers_are_read_scored_and_ordered() {
    let stub = ready(|_| batch([row("b", 1, 0.75), row("a", 1, 0.75), row("c", 1, 0.25)])).await;
    let search = search(&stub).await;
    let query = VectorQuery::dense(vec![0.5, 0.25], 3).with_selector(field("year").eq(1));
    let found = search.query(&config(), &query).await.unwrap().unwrap();
    assert_eq!(ids(&found), ["a", "b", "c"]);
    assert_eq!(found.iter().map(|answer| answer.score).collect::<Vec<_>>(), [0.5, 0.5, -0.5]);
    assert_eq!(found[0].node.text_content(), "text of a");
    assert_eq!(found[0].node.metadata["year"], 1);
    assert_eq!(found[0].node.ref_doc_id().unwrap().as_str(), "d");
    let expected = vec![
        doc! {"$vectorSearch": {"index": "vector_index", "path": "embedding", "queryVector": [0.5, 0.25],
        "numCandidates": 30, "limit": 3, "filter": {"metadata.year": {"$eq": 1}}}},
        doc! {"$set": {"score": {"$meta": "vectorSearchScore"}}},
        doc! {"$project": {"embedding": 0}},
    ];
    assert_bytes(&stub.pipelines(), &[expected]);
    let far = query.clone().with_min_score(0.0);
    assert_eq!(ids(&search.query(&config(), &far).await.unwrap().unwrap()), ["a", "b"]);
    // The indexes were listed once.
    assert_eq!(stub.sent("aggregate").len(), 3);
}

#[tokio::test]
async fn an_exact_search_is_asked_for() {
    let stub = ready(|_| batch([])).await;
    let mut settings = settings();
    settings.search = settings.search.with_exact(true);
    let search = search_with(&stub, settings).await;
    let query = VectorQuery::dense(vec![0.5, 0.25], 3).with_embeddings(true);
    assert_eq!(search.query(&config(), &query).await.unwrap().unwrap(), []);
    let expected = vec![
        doc! {"$vectorSearch": {"index": "vector_index", "path": "embedding", "queryVector": [0.5, 0.25],
        "exact": true, "limit": 3, "filter": {}}},
        doc! {"$set": {"score": {"$meta": "vectorSearchScore"}}},
    ];
    assert_bytes(&stub.pipelines(), &[expected]);
}

#[tokio::test]
async fn a_filter_that_is_applied_afterwards_widens_the_search() {
    // Of any ten, one is admitted.
    let nodes = |pipeline: &[Bson]| {
        let limit = limit_of(pipeline);
        batch((0..limit).map(|at| row(&format!("n{at:05}"), i64::from(at % 100 == 99), 0.5)))
    };
    let stub = ready(nodes).await;
    let search = search(&stub).await;
    let query = VectorQuery::dense(vec![0.5, 0.25], 2).with_selector(field("year").ne(0));
    let found = search.query(&config(), &query).await.unwrap().unwrap();
    assert_eq!(ids(&found), ["n00099", "n00199"]);
    let limits = |stub: &Stub| {
        let stages = stub.pipelines();
        let limit = |stages: &Vec<Document>| {
            stages[0].get_document("$vectorSearch").unwrap().get_i32("limit").unwrap()
        };
        stages.iter().map(limit).collect::<Vec<_>>()
    };
    assert_eq!(limits(&stub), [20, 80, 320]);
    // A filter that leaves nothing of the ten thousand nearest is the plain server's.
    let hopeless = VectorQuery::dense(vec![0.5, 0.25], 2).with_selector(!field("year").lt(2));
    assert_eq!(search.query(&config(), &hopeless).await.unwrap(), None);
    assert_eq!(limits(&stub)[3..], [20, 80, 320, 1_280, 5_120, 10_000]);
    let plan = search.explain(&config(), &query).await.unwrap().unwrap();
    assert_eq!((plan.pushed_down, plan.applied_after), (None, Some(field("year").ne(0))));
    assert!(plan.summary.contains("up to 10,000"), "{}", plan.summary);
}

#[tokio::test]
async fn what_the_index_admits_too_much_is_taken_out() {
    // A list of years holds the year, but is not equal to it.
    let mut listed = row("list", 1, 0.9);
    let node = Node::text("x").with_id("list").with_metadata("year", serde_json::json!([1, 2]));
    let metadata = bson::serialize_to_bson(&node.to_vector_metadata(false).unwrap()).unwrap();
    listed.insert("metadata", metadata);
    let stub = ready(move |pipeline| {
        let all = [listed.clone(), row("a", 1, 0.8), row("b", 1, 0.7)];
        batch(all.into_iter().take(limit_of(pipeline)))
    })
    .await;
    let search = search(&stub).await;
    let query = VectorQuery::dense(vec![0.5, 0.25], 2).with_selector(field("year").eq(1));
    let found = search.query(&config(), &query).await.unwrap().unwrap();
    assert_eq!(ids(&found), ["a", "b"]);
}

#[tokio::test]
async fn words_are_searched_with_the_whole_filter() {
    let stub = ready(|_| batch([row("b", 1, 2.5), row("a", 1, 2.5)])).await;
    let search = search(&stub).await;
    let query = VectorQuery::text("cats", 5)
        .with_selector(Selector::ids(["a", "b"]).with_filter(field("year").ne(0)));
    let found = search.query(&config(), &query).await.unwrap().unwrap();
    assert_eq!(ids(&found), ["a", "b"]);
    assert_eq!(found[0].score, 2.5);
    let pipelines = stub.pipelines();
    assert_eq!(
        pipelines[0][0],
        doc! {"$search": {"index": "fulltext_index", "text": {"query": "cats", "path": "text"}}}
    );
    let matched = pipelines[0][1].get_document("$match").unwrap().get_array("$and").unwrap();
    assert_eq!(matched[0].as_document().unwrap(), &doc! {"_id": {"$in": ["a", "b"]}});
    assert_eq!(pipelines[0][2..4], [doc! {"$limit": 5}, doc! {"$set": {"score": {"$meta": "searchScore"}}}]);
    // A text of no words asks nobody.
    let query = VectorQuery::text(" ", 5);
    assert_eq!(search.query(&config(), &query).await.unwrap().unwrap(), []);
    assert_eq!(stub.pipelines().len(), 1);
}

/// A server that knows `$rankFusion` or not.
async fn hybrid_stub(knows: bool) -> Stub {
    ready(move |pipeline| {
        let first = pipeline[0].as_document().unwrap().keys().next().unwrap().as_str();
        match first {
            "$rankFusion" if knows => batch([row("b", 1, 0.5 / 61.0 + 0.5 / 62.0), row("a", 1, 0.5 / 61.0)]),
            "$rankFusion" => refuse(40_324, "Unrecognized pipeline stage name: '$rankFusion'"),
            "$vectorSearch" => batch([row("a", 1, 0.9), row("b", 1, 0.8)]),
            _ => batch([row("b", 1, 7.0), row("c", 1, 6.0)]),
        }
    })
    .await
}

#[tokio::test]
async fn both_are_fused_by_the_server_or_here() {
    let query = VectorQuery::hybrid(vec![0.5, 0.25], "cats", 2);
    let stub = hybrid_stub(true).await;
    let found = search(&stub).await.query(&config(), &query).await.unwrap().unwrap();
    assert_eq!(ids(&found), ["b", "a"]);
    let pipelines = stub.pipelines();
    let weights = pipelines[0][0].get_document("$rankFusion").unwrap().get_document("combination").unwrap();
    assert_eq!(weights, &doc! {"weights": {"vector": 0.5, "text": 0.5}});

    let stub = hybrid_stub(false).await;
    let search = search(&stub).await;
    for queries in [3, 5] {
        let found = search.query(&config(), &query).await.unwrap().unwrap();
        assert_eq!(ids(&found), ["b", "a"]);
        assert_eq!(found[0].score, 0.5 / 62.0 + 0.5 / 61.0);
        assert_eq!(stub.pipelines().len(), queries);
    }
    // Weights of one side only ask that side; 0 is no 0.5.
    for (alpha, expected) in [(0.0, ["b", "c"]), (1.0, ["a", "b"])] {
        let kind = QueryKind::Hybrid { embedding: vec![0.5, 0.25], text: "cats".to_owned(), alpha };
        let before = stub.pipelines().len();
        let found = search.query(&config(), &VectorQuery::new(kind, 2)).await.unwrap().unwrap();
        assert_eq!(ids(&found), expected);
        assert_eq!(stub.pipelines().len(), before + 1);
    }
}

#[tokio::test]
async fn diverse_answers_are_chosen_here() {
    let with = |id: &str, score: f64, embedding: [f64; 2]| {
        let mut row = row(id, 1, score);
        row.insert("embedding", embedding.to_vec());
        row
    };
    let stub = ready(move |_| {
        batch([with("a", 1.0, [1.0, 0.0]), with("b", 1.0, [1.0, 0.0]), with("c", 0.8, [0.6, 0.8])])
    })
    .await;
    let search = search(&stub).await;
    let query = VectorQuery::mmr(vec![1.0, 0.0], 2);
    let found = search.query(&config(), &query).await.unwrap().unwrap();
    assert_eq!(ids(&found), ["a", "b"]);
    let kind = QueryKind::Mmr { embedding: vec![0.8, 0.6], threshold: 0.4 };
    let found = search.query(&config(), &VectorQuery::new(kind, 3)).await.unwrap().unwrap();
    assert_eq!(ids(&found), ["c", "a", "b"]);
    assert!(found[0].node.embedding.is_none());
    assert_eq!(limit_of(&[Bson::Document(stub.pipelines()[0][0].clone())]), DEPTH);
}

#[tokio::test]
async fn servers_without_search_are_asked_once() {
    for code in [59, 115, 31_082, 40_324, 6_047_401] {
        let stub = Stub::start(move |_, _| refuse(code, "only on Atlas")).await;
        let search = search(&stub).await;
        for _ in 0..3 {
            let query = VectorQuery::dense(vec![0.5, 0.25], 3);
            assert_eq!(search.query(&config(), &query).await.unwrap(), None);
        }
        search.ensure(&config()).await.unwrap();
        search.drop_indexes().await.unwrap();
        let why = search.explain(&config(), &VectorQuery::text("x", 1)).await.unwrap().unwrap_err();
        assert_eq!(why, "this server has no search");
        // Once for queries, once to make indexes, once after they are gone.
        assert_eq!(stub.sent("aggregate").len(), 3, "{code}");
    }
    // Turned off: nobody is asked.
    let stub = Stub::start(|_, _| refuse(59, "unexpected")).await;
    let mut off = settings();
    off.search = off.search.with_enabled(false);
    let search = search_with(&stub, off).await;
    assert_eq!(search.query(&config(), &VectorQuery::text("x", 1)).await.unwrap(), None);
    assert_eq!(stub.sent("aggregate").len(), 0);
}

#[tokio::test]
async fn errors_of_a_query_are_told() {
    let stub =
        ready(|_| refuse(8, "PlanExecutor error :: caused by :: embedding is not indexed as vector")).await;
    let search = search(&stub).await;
    let error = search.query(&config(), &VectorQuery::dense(vec![0.5, 0.25], 3)).await.unwrap_err();
    assert!(error.to_string().contains("not indexed as vector"), "{error}");
    assert_eq!(error.collection(), Some("c"));
    // Neither is one of a server that is stepping down taken for a server without search.
    let stub = Stub::start(|_, _| refuse(11_602, "interrupted")).await;
    let error = search_with(&stub, settings()).await.known().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn indexes_that_are_missing_building_or_different_leave_it_to_the_plain_server() {
    let other = VectorConfig::new(3, Metric::Cosine);
    let stub = ready(|_| batch([])).await;
    let wider = search(&stub).await;
    let query = VectorQuery::dense(vec![0.5, 0.25, 0.0], 3);
    assert_eq!(wider.query(&other, &query).await.unwrap(), None);
    let why = wider.explain(&other, &query).await.unwrap().unwrap_err();
    assert!(why.contains("dimensions: 2 in the index, 3 in the store"), "{why}");
    let error = wider.ensure(&other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("dimensions: 2 in the index, 3 in the store"), "{error}");
    for selector in [Selector::ids(["a"]), Selector::ids([""; 0])] {
        let query = VectorQuery::dense(vec![0.5, 0.25], 3).with_selector(selector);
        assert_eq!(wider.query(&config(), &query).await.unwrap(), None);
    }

    for (entries, expected) in [
        (indexes("BUILDING"), "is BUILDING and not queryable yet"),
        (Vec::new(), "the collection has no search index"),
    ] {
        let stub = Stub::start(move |_, _| batch(entries.clone())).await;
        let search = search(&stub).await;
        for query in [VectorQuery::dense(vec![0.5, 0.25], 3), VectorQuery::text("x", 1)] {
            assert_eq!(search.query(&config(), &query).await.unwrap(), None);
            let why = search.explain(&config(), &query).await.unwrap().unwrap_err();
            assert!(why.contains(expected), "{why}");
        }
        assert_eq!(stub.sent("aggregate").len(), 1);
    }
}

#[tokio::test]
async fn a_diagnosis_says_who_answers() {
    let diagnosed = |entries: Document, config: VectorConfig| async move {
        let config = bson::serialize_to_bson(&config).unwrap();
        let stub = Stub::start(move |name, _| match name {
            "find" => batch([doc! {"_id": "vectors/default_collection", "config": config.clone()}]),
            _ => entries.clone(),
        })
        .await;
        let client = mongodb::Client::with_uri_str(stub.url()).await.unwrap();
        let space = Arc::new(Space::of_caller(client, settings()));
        let found = crate::vector::diagnose(&space, store_core::Diagnosis::new()).await.unwrap();
        let messages: Vec<String> = found.findings.iter().map(|finding| finding.message.clone()).collect();
        (found.facts[0].value.clone(), messages)
    };
    let (fact, findings) = diagnosed(batch(indexes("READY")), config()).await;
    assert_eq!(fact, "by Atlas, with the indexes vector_index READY, fulltext_index READY");
    assert_eq!(findings, [""; 0]);
    let (fact, findings) = diagnosed(refuse(31_082, "no"), config()).await;
    assert_eq!((fact.as_str(), findings.len()), ("by the plain server: this server has no search", 0));
    let (_, findings) = diagnosed(refuse(13, "not authorized"), config()).await;
    assert!(findings[0].contains("not authorized"), "{findings:?}");
    let (_, findings) = diagnosed(batch([]), config()).await;
    assert!(
        findings.len() == 2 && findings[1].contains("no search index \"fulltext_index\""),
        "{findings:?}"
    );
    let (_, findings) = diagnosed(batch(indexes("FAILED")), config()).await;
    assert!(findings[0].contains("could not be built"), "{findings:?}");
    let (_, findings) = diagnosed(batch(indexes("BUILDING")), config()).await;
    assert!(findings[0].contains("is BUILDING"), "{findings:?}");
    let (_, findings) = diagnosed(batch(indexes("READY")), VectorConfig::new(9, Metric::Cosine)).await;
    assert!(findings.len() == 1 && findings[0].contains("2 in the index, 9 in the store"), "{findings:?}");
    let tag = FilterableField { key: "tag".to_owned(), field_type: FieldType::Text };
    let (_, findings) = diagnosed(batch(indexes("READY")), config().with_filterable([tag])).await;
    assert!(findings.len() == 1 && findings[0].contains("declare metadata.tag"), "{findings:?}");
}

/// A server that has no indexes until they are made, and lists them as `states` say, one after the other.
async fn making(states: &'static [&'static str]) -> Stub {
    let (made, listed) = (AtomicBool::new(false), AtomicUsize::new(0));
    Stub::start(move |name, command| match name {
        "aggregate" if lists(command) && !made.load(Ordering::SeqCst) => batch([]),
        "aggregate" if lists(command) => {
            let at = listed.fetch_add(1, Ordering::SeqCst).min(states.len() - 1);
            batch(if states[at].is_empty() { Vec::new() } else { indexes(states[at]) })
        }
        "create" => refuse(48, "Collection db.c already exists."),
        "createSearchIndexes" => {
            made.store(true, Ordering::SeqCst);
            doc! {"ok": 1, "indexesCreated": [
                {"id": "1", "name": "vector_index"}, {"id": "2", "name": "fulltext_index"},
            ]}
        }
        "dropSearchIndex" => refuse(27, "not found"),
        _ => batch([]),
    })
    .await
}

#[tokio::test]
async fn missing_indexes_are_made_and_waited_for() {
    let stub = making(&["", "PENDING", "BUILDING", "READY"]).await;
    let search = search(&stub).await;
    search.ensure(&config()).await.unwrap();
    let expected = doc! {"createSearchIndexes": "c", "indexes": [
        {"definition": vector_definition(&config(), "embedding"), "name": "vector_index", "type": "vectorSearch"},
        {"definition": text_definition("text"), "name": "fulltext_index", "type": "search"},
    ]};
    let raw = |document: &Document| RawDocumentBuf::try_from(document).unwrap();
    let sent = stub.sent("createSearchIndexes");
    assert_eq!(sent.iter().map(raw).collect::<Vec<_>>(), [raw(&expected)]);
    assert!(search.query(&config(), &VectorQuery::dense(vec![0.5, 0.25], 1)).await.unwrap().is_some());
    search.ensure(&config()).await.unwrap();
    assert_eq!(stub.sent("createSearchIndexes").len(), 1);
    search.drop_indexes().await.unwrap();
    let dropped: Vec<_> =
        stub.sent("dropSearchIndex").iter().map(|it| it.get_str("name").unwrap().to_owned()).collect();
    assert_eq!(dropped, ["vector_index", "fulltext_index"]);
}

#[tokio::test]
async fn waiting_ends_at_the_deadline_and_with_a_failure() {
    let stub = making(&["BUILDING"]).await;
    let mut settings = settings();
    settings.search = settings.search.with_index_wait(Duration::from_secs(1));
    let error = search_with(&stub, settings).await.ensure(&config()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("vector_index is BUILDING"), "{error}");
    let stub = making(&["FAILED"]).await;
    let error = search(&stub).await.ensure(&config()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("vector_index is FAILED"), "{error}");
}

#[tokio::test]
async fn nothing_is_made_unasked() {
    let stub = making(&["READY"]).await;
    let mut settings = settings();
    settings.create = false;
    let search = search_with(&stub, settings).await;
    search.ensure(&config()).await.unwrap();
    assert_eq!(stub.sent("createSearchIndexes").len() + stub.sent("create").len(), 0);
    let mut settings = self::settings();
    settings.search = settings.search.with_index_wait(Duration::ZERO);
    let stub = making(&["BUILDING"]).await;
    search_with(&stub, settings).await.ensure(&config()).await.unwrap();
    assert_eq!(stub.sent("createSearchIndexes").len(), 1);
}
