//! The commands on a store of a server.

use std::process::Stdio;

use crate::folders::{files, write_folder};
use crate::{Home, Run};

/// A kind of server that the tests may be given.
struct Kind {
    variable: &'static str,
    /// The backend's name.
    name: &'static str,
    /// What `doctor` says of it.
    health: &'static [&'static str],
    /// Its driver, as `bench` names it.
    driver: &'static str,
    /// Workloads that the driver does too.
    compared: &'static str,
    /// One that is not there.
    nobody: &'static str,
    /// One with an option that nobody knows, and the one that was meant.
    wrong: (&'static str, &'static str),
}

const KINDS: &[Kind] = &[
    #[cfg(feature = "cassandra")]
    Kind {
        variable: "STORE_TEST_CASSANDRA_URL",
        name: "cassandra",
        health: &["cluster", "nodes", "keyspace", "tables"],
        driver: "cdrs-tokio, bare",
        compared: "D1,D2,C1,C2,V1,V2,K1,K2",
        nobody: "cassandra://me:s3cret@127.0.0.1:1/kb",
        wrong: ("cassandra://me:s3cret@h/kb?datacentre=dc1", "datacenter"),
    },
    #[cfg(feature = "dynamodb")]
    Kind {
        variable: "STORE_TEST_DYNAMODB_URL",
        name: "dynamodb",
        health: &["region", "endpoint", "table", "expired items"],
        driver: "aws-sdk-dynamodb, bare",
        compared: "D1,D2,C1,K1",
        nobody: "dynamodb://me:s3cret@eu-central-1/app?endpoint_url=http://127.0.0.1:1&max_attempts=1",
        wrong: ("dynamodb://me:s3cret@eu-central-1/app?endpoint_uri=x", "endpoint_url"),
    },
    #[cfg(feature = "mongodb")]
    Kind {
        variable: "STORE_TEST_MONGODB_URL",
        name: "mongodb",
        health: &["MongoDB", "topology", "write concern"],
        driver: "mongodb driver, bare",
        compared: "D1,D2,D4,C1,V1,R1,K1",
        nobody: "mongodb://me:s3cret@127.0.0.1:1/?serverSelectionTimeoutMS=300",
        wrong: ("mongodb://me:s3cret@h/?maxPoolSise=3", "maxPoolSize"),
    },
    #[cfg(feature = "redis")]
    Kind {
        variable: "STORE_TEST_REDIS_STACK_URL",
        name: "redis",
        health: &["Redis", "topology", "memory", "persistence", "search module"],
        driver: "fred, bare",
        compared: "D1,D2,C1,V1,K1",
        nobody: "redis://me:s3cret@127.0.0.1:1/",
        wrong: ("redis://me:s3cret@h/?poolSise=3", "poolSize"),
    },
];

/// A namespace of a server that the tests are given, removed at the end.
struct Namespace(String, &'static Kind);

impl Namespace {
    /// One on each server; none of a server that is not there, unless one is required.
    fn each(name: &str) -> Vec<Self> {
        KINDS.iter().filter_map(|kind| Self::on(kind, name)).collect()
    }

    fn on(kind: &'static Kind, name: &str) -> Option<Self> {
        let Some(url) = std::env::var(kind.variable).ok().filter(|url| !url.is_empty()) else {
            assert!(std::env::var_os("STORE_TEST_REQUIRE").is_none(), "{} is not set", kind.variable);
            return None;
        };
        let joint = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{joint}store.namespace={name}{}&store.create=true", std::process::id());
        Some(Self(url, kind))
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
    Namespace::each("program").iter().for_each(every_command_works);
}

fn every_command_works(server: &Namespace) {
    let home = Home::with_documents();
    let run = |arguments: &[&str]| server.run(&home, arguments);
    run(&["ingest", "docs"]).ok().shows(&["3 documents: 3 new"]);
    run(&["ingest", "docs"]).ok().shows(&["3 unchanged"]);
    run(&["search", "who barks at strangers?"]).ok().shows(&["dogs.md", "bark"]);
    run(&["search", "fish", "--mode", "text", "--filter", "file_name == 'cats.md'"]).ok().shows(&["cats.md"]);
    run(&["list"]).ok().shows(&["cats.md", "dogs.md", "birds.txt"]);
    let dogs = home.path().join("docs/dogs.md").canonicalize().unwrap().display().to_string();
    run(&["get", &dogs]).ok().shows(&["file_name: dogs.md"]);
    run(&["stats"]).ok().shows(&[server.1.name, "documents"]);
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
    doctor.shows(server.1.health);

    let copy = Namespace::on(server.1, "copy").unwrap();
    copy.run(&home, &["import", "folder"]).ok();
    copy.run(&home, &["list"]).ok().shows(&["cats.md", "dogs.md"]);
}

/// From a folder of Python to each server, from one server to the next, and back to disk.
#[test]
fn a_store_goes_from_server_to_server() {
    let home = Home::new();
    write_folder(&home.path().join("storage"), 300, 8);
    let copy = |from: &str, to: &str| {
        let run = Run::of(&mut home.command(&["copy", from, to])).ok();
        run.shows(&["read back, and the same on both sides", "vectors", "chats"])
    };
    home.run(&["import", "storage"]).ok();
    home.run(&["chat", "append", "anna", "żółw"]).ok();
    home.run(&["export", "expected"]).ok();
    let servers = Namespace::each("moved");
    let mut last = "kb".to_owned();
    for server in &servers {
        copy(&last, &server.0);
        last.clone_from(&server.0);
    }
    copy(&last, "back");
    Run::of(home.command(&["export", "out"]).env("NODESTORE_URL", "back")).ok();
    assert_eq!(files(&home.path().join("out")), files(&home.path().join("expected")));
}

/// Kept files as a release before cut them: too large for a table as it is.
#[cfg(feature = "dynamodb")]
#[test]
fn pieces_that_a_table_does_not_take_are_told_with_the_option() {
    let home = Home::with_documents();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = nodestore::open(&nodestore::embedded_url(&home.path().join("kb"))).await.unwrap();
        let piece = serde_json::json!({"base64": "A".repeat(699_052)});
        let piece = serde_json::from_value(piece).unwrap();
        let kv = store.kv().unwrap();
        let entries = vec![("file/graph_store.json/00000000".to_owned(), piece)];
        kv.put_many("nodestore_folder", entries, nodestore::PutOptions::default()).await.unwrap();
        store.close().await.unwrap();
    });
    let kind = KINDS.iter().find(|kind| kind.name == "dynamodb").unwrap();
    let Some(table) = Namespace::on(kind, "pieces") else { return };
    let copy = |to: &str| Run::of(&mut home.command(&["copy", "kb", to]));
    copy(&table.0).exits(1).says(&["graph_store.json", "store.large_values=chunks"]);
    // Nothing was written: what is there would be refused.
    copy(&format!("{}&store.large_values=chunks", table.0)).ok().shows(&["the same on both sides"]);
}

/// A list that ends early leaves a stream on the server, which is ended before the program ends.
#[test]
fn a_list_may_end_before_its_stream() {
    for server in Namespace::each("early") {
        let home = Home::new();
        std::fs::write(home.path().join("rows.jsonl"), "{\"text\": \"A row.\"}\n".repeat(500)).unwrap();
        server.run(&home, &["ingest", "rows.jsonl"]).ok();
        for _ in 0..5 {
            server.run(&home, &["list", "--nodes", "--limit", "1"]).ok();
        }
    }
}

#[test]
fn what_is_on_a_server_outlives_the_quickstart() {
    for server in Namespace::each("quick") {
        let home = Home::new();
        server.run(&home, &["quickstart"]).ok().shows(&[
            "5. Close the store, open it again",
            "Still there",
            "5 documents as ",
            "list --chats",
        ]);
    }
}

#[test]
fn bench_measures_the_bare_driver_beside_and_leaves_nothing() {
    for server in Namespace::each("unused") {
        let home = Home::new();
        let url =
            server.0.split_once("store.namespace").map(|(url, _)| url.trim_end_matches(['?', '&'])).unwrap();
        let workloads = server.1.compared;
        let mut bench =
            home.command(&["bench", "--size", "small", "--workload", workloads, "--reference", "driver"]);
        let run = Run::of(bench.env("NODESTORE_URL", url).stdin(Stdio::null())).ok();
        let run = run.shows(&[server.1.driver, "store / driver"]).says(&["in the namespace bench"]);
        // Each on both sides.
        for workload in workloads.split(',') {
            assert!(run.out.matches(workload).count() >= 2, "{workload}: {}", run.out);
        }
    }
}

#[test]
fn a_server_that_is_not_there_is_told_with_the_next_step_and_no_password() {
    let home = Home::new();
    for kind in KINDS {
        for arguments in [&["list"][..], &["doctor"], &["stats"]] {
            let run = Run::of(home.command(arguments).env("NODESTORE_URL", kind.nobody));
            assert_ne!(run.code, 0, "{run:?}");
            let said = format!("{}{}", run.out, run.err);
            assert!(said.contains("nothing listens") && !said.contains("s3cret"), "{said}");
        }
        let (url, meant) = kind.wrong;
        let run = Run::of(home.command(&["list"]).env("NODESTORE_URL", url)).exits(1);
        assert!(run.err.contains(meant) && !run.err.contains("s3cret"), "{run:?}");
    }
}
