//! `doctor`.

use nodestore::{AddOptions, Node};

use crate::errors::in_store;
use crate::{Home, Run};

#[test]
fn a_healthy_store_is_well() {
    let home = Home::with_documents();
    home.run(&["search", "purr"]).ok();
    home.run(&["doctor"]).ok().shows(&[
        "backend             embedded",
        "layout version      2",
        "3 documents, 3 nodes",
        "3 vectors of 512 dimensions, cosine",
        "\nall is well",
    ]);
    let report = home.json(&["doctor"]);
    assert_eq!(report["reachable"], true);
    assert_eq!(report["ping_ms"].as_array().unwrap().len(), 5);
    assert_eq!(report["holds"]["nodes"], serde_json::json!({"count": 3, "complete": true}));
    assert_eq!(report["capabilities"]["vectors"]["query_kinds"][0], "dense");
    assert!(report["facts"]["word index"].as_str().unwrap().ends_with("up to date"), "{report}");
}

#[test]
fn a_node_without_a_vector_is_a_warning() {
    let home = Home::with_documents();
    in_store(&home, &async |store| {
        let node = Node::text("lost").with_id("lost").with_source("docs");
        store.docs().unwrap().add(vec![node], AddOptions::default()).await.unwrap();
    });
    home.run(&["doctor"]).exits(3).shows(&[
        "warning: vectors: 4 nodes are stored, but only 3 vectors",
        "advice: run the ingest again",
        "1 warning (",
    ]);
    let run = home.run(&["doctor", "--json"]).exits(3);
    let report: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(report["findings"][0]["severity"], "warning");
}

#[test]
fn a_store_that_can_not_be_reached_is_an_error() {
    let home = Home::new();
    let unreachable = |home: &Home, text: &str| {
        let run = home.run(&["doctor", "--json"]).exits(1).says(&["error: ", text]);
        let report: serde_json::Value = serde_json::from_str(&run.out).unwrap();
        assert_eq!(report["reachable"], false);
        assert!(report["error"].as_str().unwrap().contains(text), "{report}");
    };
    unreachable(&home, "there is no store at");
    assert!(!home.path().join("kb").exists());
    let home = Home::with_documents();
    in_store(&home, &async |_| unreachable(&home, "another process"));
}

#[test]
fn the_other_store_of_the_environment_is_named_without_its_password() {
    let home = Home::with_documents();
    let mut command = home.command(&["--store", "kb", "doctor"]);
    let run = Run::of(command.env("NODESTORE_URL", "redis://me:s3cret@h")).ok();
    run.shows(&["note: NODESTORE_URL: --store is used, and NODESTORE_URL (redis://me:***@h) is not"]);
}
