//! Connecting, closing and where the data is, on a real server.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod common;

use std::process::ExitCode;
use std::time::Duration;

use bson::doc;
use common::{Db, run, test, url};
use futures::StreamExt as _;
use store_core::{Backend as _, ChatMessage, ErrorKind, JsonObject, PutOptions, ScanOptions, Severity};
use store_mongodb::mongodb::Client;
use store_mongodb::{MongoBackend, MongoConfig};

fn main() -> ExitCode {
    run(vec![
        test("a_closed_store_and_its_clones_are_unavailable", closed),
        test("a_client_of_the_caller_stays_open", of_caller),
        test("the_path_of_the_url_is_where_all_roles_are", path),
        test("a_replica_set_of_another_name_is_told", other_set),
        test("hopeless_calls_end_within_the_configured_time", hopeless),
        test("the_diagnosis_tells_of_the_server_and_of_missing_indexes", diagnosis),
    ])
}

fn with(option: &str) -> String {
    let url = url().unwrap();
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}{option}")
}

fn value() -> JsonObject {
    JsonObject::from_iter([("a".to_owned(), 1.into())])
}

async fn closed(db: Db) {
    let store =
        MongoBackend::connect(MongoConfig::new(url().unwrap()).with_namespace(&db.name)).await.unwrap();
    let clone = store.clone();
    let kv = store.kv().unwrap();
    let entries = (0..5000).map(|place| (format!("k{place}"), value())).collect();
    kv.put_many("c", entries, PutOptions::default()).await.unwrap();
    let mut scan = kv.scan("c", ScanOptions::default());
    scan.next().await.unwrap().unwrap();
    store.close().await.unwrap();
    store.close().await.unwrap();
    for error in [
        store.ping().await.unwrap_err(),
        clone.ping().await.unwrap_err(),
        kv.get_many("c", &["k1"]).await.unwrap_err(),
        clone.diagnose().await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(!error.is_retryable(), "{error}");
    }
    assert!(store.client().is_err());
    // An open stream gives what it holds, and then says why it ends.
    let mut last = None;
    while let Some(item) = scan.next().await {
        last = item.err();
    }
    assert_eq!(last.unwrap().kind(), ErrorKind::Unavailable);
}

async fn of_caller(db: Db) {
    let client = Client::with_uri_str(url().unwrap()).await.unwrap();
    let config = MongoConfig::default().with_namespace(&db.name);
    let store = MongoBackend::from_client(client.clone(), config).unwrap();
    store.kv().unwrap().put_many("c", vec![("k".to_owned(), value())], PutOptions::default()).await.unwrap();
    let found = store.diagnose().await.unwrap().findings;
    assert!(found.iter().any(|finding| finding.subject == "write concern"), "{found:?}");
    store.close().await.unwrap();
    assert_eq!(store.ping().await.unwrap_err().kind(), ErrorKind::Unavailable);
    client.database(&db.name).run_command(doc! {"ping": 1}).await.unwrap();
}

async fn path(db: Db) {
    let url = url().unwrap();
    let (servers, query) = url.split_once('?').unwrap_or((&url, ""));
    let in_path = format!("{}/{}?{query}", servers.trim_end_matches('/'), db.name);
    let store = MongoBackend::connect(in_path.parse().unwrap()).await.unwrap();
    store.kv().unwrap().put_many("c", vec![("k".to_owned(), value())], PutOptions::default()).await.unwrap();
    store.chat().unwrap().append("s", vec![ChatMessage::user("hello")]).await.unwrap();
    assert_eq!(db.collection("c").count_documents(doc! {}).await.unwrap(), 1);
    assert_eq!(db.collection("sessions").count_documents(doc! {}).await.unwrap(), 1);
    assert_eq!(store.drop_namespace().await.unwrap_err().kind(), ErrorKind::InvalidInput);
    store.close().await.unwrap();
}

async fn other_set(_db: Db) {
    let url = url().unwrap();
    let (servers, _) = url.split_once('?').unwrap_or((&url, ""));
    let wrong = format!("{servers}?replicaSet=other&serverSelectionTimeoutMS=500");
    let store = MongoBackend::connect(wrong.parse().unwrap()).await.unwrap();
    let error = store.ping().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.message().contains("\"other\"") && !error.is_retryable(), "{error}");
}

/// Without its settings each of these calls would take 30 seconds: so long the driver looks for a server.
async fn hopeless(_db: Db) {
    let url = url().unwrap();
    let (servers, _) = url.split_once('?').unwrap_or((&url, ""));
    let hosts = servers.trim_start_matches("mongodb://").rsplit('@').next().unwrap_or_default();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cases = [
        (format!("mongodb://{free}/?"), ErrorKind::Unavailable, "nothing listens"),
        (format!("{servers}?replicaSet=other&"), ErrorKind::Config, "\"other\""),
        (format!("mongodb://nobody:wrong@{hosts}?"), ErrorKind::Unauthorized, "password"),
    ];
    for (url, kind, part) in cases {
        let store = MongoBackend::connect(format!("{url}serverSelectionTimeoutMS=500").parse().unwrap());
        let store = store.await.unwrap();
        let ping = tokio::time::timeout(Duration::from_secs(25), store.ping());
        let error = ping.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(part) && !error.to_string().contains("wrong@"), "{error}");
    }
}

async fn diagnosis(db: Db) {
    let facts = |diagnosis: &store_core::Diagnosis, name: &str| {
        let fact = diagnosis.facts.iter().find(|fact| fact.name == name);
        fact.map(|fact| fact.value.clone()).unwrap_or_default()
    };
    let weak = MongoBackend::connect(
        with(&format!("w=1&retryWrites=false&store.namespace={}", db.name)).parse().unwrap(),
    );
    let weak = weak.await.unwrap();
    let found = weak.diagnose().await.unwrap();
    assert!(facts(&found, "server").starts_with("MongoDB "), "{found:?}");
    assert_eq!(facts(&found, "databases"), db.name);
    assert_eq!(facts(&found, "write concern"), "w=1");
    let subjects: Vec<&str> = found.findings.iter().map(|finding| finding.subject.as_str()).collect();
    assert!(subjects.contains(&"write concern") && subjects.contains(&"retryWrites"), "{subjects:?}");
    assert!(!subjects.contains(&"missing index"), "{subjects:?}");
    weak.close().await.unwrap();

    // As LlamaIndex's package leaves it behind.
    db.collection("sessions").insert_one(doc! {"session_id": "a", "index": 0}).await.unwrap();
    let found = db.store.diagnose().await.unwrap();
    assert_eq!(facts(&found, "write concern"), "majority");
    let missing = found.findings.iter().find(|finding| finding.subject == "missing index").unwrap();
    assert_eq!(missing.severity, Severity::Warning);
    assert!(missing.message.contains("sessions") && missing.message.contains("session_id"), "{missing:?}");
    db.store.chat().unwrap().append("a", vec![ChatMessage::user("hello")]).await.unwrap();
    let found = db.store.diagnose().await.unwrap();
    assert!(found.findings.iter().all(|finding| finding.subject != "missing index"), "{found:?}");
}
