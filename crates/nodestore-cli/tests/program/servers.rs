//! The commands on a store of a server.

use std::process::Stdio;

use crate::{Home, Run};

/// A namespace of the server that the tests are given, removed at the end.
struct Namespace(String);

impl Namespace {
    /// `None` without a server, unless one is required.
    fn new(name: &str) -> Option<Self> {
        let Some(url) = std::env::var("STORE_TEST_MONGODB_URL").ok().filter(|url| !url.is_empty()) else {
            assert!(std::env::var_os("STORE_TEST_REQUIRE").is_none(), "STORE_TEST_MONGODB_URL is not set");
            return None;
        };
        let joint = if url.contains('?') { '&' } else { '?' };
        Some(Self(format!("{url}{joint}store.namespace={name}{}", std::process::id())))
    }

    fn run(&self, home: &Home, arguments: &[&str]) -> Run {
        Run::of(home.command(arguments).env("NODESTORE_URL", &self.0))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = nodestore::open(&self.0).await.unwrap();
            store.drop_namespace().await.unwrap();
            store.close().await.unwrap();
        });
    }
}

#[test]
fn every_command_works_on_a_server() {
    let Some(server) = Namespace::new("program") else { return };
    let home = Home::with_documents();
    let run = |arguments: &[&str]| server.run(&home, arguments);
    run(&["ingest", "docs"]).ok().shows(&["3 documents: 3 new"]);
    run(&["ingest", "docs"]).ok().shows(&["3 unchanged"]);
    run(&["search", "who barks at strangers?"]).ok().shows(&["dogs.md", "bark"]);
    run(&["search", "fish", "--mode", "text", "--filter", "file_name == 'cats.md'"]).ok().shows(&["cats.md"]);
    run(&["list"]).ok().shows(&["cats.md", "dogs.md", "birds.txt"]);
    let dogs = home.path().join("docs/dogs.md").canonicalize().unwrap().display().to_string();
    run(&["get", &dogs]).ok().shows(&["file_name: dogs.md"]);
    run(&["stats"]).ok().shows(&["mongodb", "documents"]);
    run(&["chat", "append", "me", "hello"]).ok();
    run(&["chat", "append", "me", "again"]).ok();
    run(&["chat", "show", "me"]).ok().shows(&["hello", "again"]);
    run(&["chat", "sessions"]).ok().shows(&["me", "2"]);
    run(&["export", "folder"]).ok();
    assert!(home.path().join("folder/docstore.json").is_file());
    run(&["reembed", "--embedder", "hash:64"]).ok().shows(&["64 values"]);
    run(&["search", "who barks at strangers?"]).ok().shows(&["dogs.md"]);
    run(&["delete", "--yes", &dogs]).ok();
    run(&["list"]).ok();
    run(&["get", &dogs]).exits(4);
    // Warnings of the server's version and the like may stand there.
    let doctor = run(&["doctor"]);
    assert!([0, 3].contains(&doctor.code), "{doctor:?}");
    doctor.shows(&["MongoDB", "topology", "write concern"]);

    let copy = Namespace::new("copy").unwrap();
    copy.run(&home, &["import", "folder"]).ok();
    copy.run(&home, &["list"]).ok().shows(&["cats.md", "dogs.md"]);
}

/// A list that ends early leaves a stream on the server, which is ended before the program ends.
#[test]
fn a_list_may_end_before_its_stream() {
    let Some(server) = Namespace::new("early") else { return };
    let home = Home::new();
    std::fs::write(home.path().join("rows.jsonl"), "{\"text\": \"A row.\"}\n".repeat(500)).unwrap();
    server.run(&home, &["ingest", "rows.jsonl"]).ok();
    for _ in 0..5 {
        server.run(&home, &["list", "--nodes", "--limit", "1"]).ok();
    }
}

#[test]
fn what_is_on_a_server_outlives_the_quickstart() {
    let Some(server) = Namespace::new("quick") else { return };
    let home = Home::new();
    server.run(&home, &["quickstart"]).ok().shows(&[
        "5. Close the store, open it again",
        "Still there",
        "5 documents as ",
        "list --chats",
    ]);
}

#[test]
fn bench_measures_the_bare_driver_beside_and_leaves_nothing() {
    let Some(server) = Namespace::new("unused") else { return };
    let home = Home::new();
    let url =
        server.0.split_once("store.namespace").map(|(url, _)| url.trim_end_matches(['?', '&'])).unwrap();
    let workloads = "D1,D2,D4,C1,V1,R1,K1";
    let mut bench =
        home.command(&["bench", "--size", "small", "--workload", workloads, "--reference", "driver"]);
    let run = Run::of(bench.env("NODESTORE_URL", url).stdin(Stdio::null())).ok();
    run.shows(&["mongodb driver, bare", "store / driver"]).says(&["in the namespace bench"]);
    // Each on both sides.
    for workload in workloads.split(',') {
        assert!(run.out.matches(workload).count() >= 2, "{workload}: {}", run.out);
    }
}

#[test]
fn a_server_that_is_not_there_is_told_with_the_next_step_and_no_password() {
    let home = Home::new();
    let url = "mongodb://me:s3cret@127.0.0.1:1/?serverSelectionTimeoutMS=300";
    for arguments in [&["list"][..], &["doctor"], &["stats"]] {
        let run = Run::of(home.command(arguments).env("NODESTORE_URL", url));
        assert_ne!(run.code, 0, "{run:?}");
        let said = format!("{}{}", run.out, run.err);
        assert!(said.contains("nothing listens there") && !said.contains("s3cret"), "{said}");
    }
    let wrong = "mongodb://me:s3cret@h/?maxPoolSise=3";
    let run = Run::of(home.command(&["list"]).env("NODESTORE_URL", wrong)).exits(1);
    assert!(run.err.contains("maxPoolSize") && !run.err.contains("s3cret"), "{run:?}");
}
