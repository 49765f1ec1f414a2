//! Errors: one sentence, the next step, the right exit code, no secret.

use nodestore::{Backend, KvStoreExt, Metric, Node, VectorConfig};
use serde_json::json;

use crate::{Home, Run};

/// Works with the store `kb` in this process, and closes it.
pub(crate) fn in_store(home: &Home, work: &impl AsyncFn(&dyn Backend)) {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = nodestore::open(&nodestore::embedded_url(&home.path().join("kb"))).await.unwrap();
        work(&*store).await;
        store.close().await.unwrap();
    });
}

#[test]
fn an_empty_folder_is_told_with_what_is_read() {
    let home = Home::new();
    std::fs::create_dir(home.path().join("empty")).unwrap();
    home.run(&["ingest", "empty"]).exits(1).says(&[
        "error: there is no file to read in empty",
        "help: ",
        ".md .markdown .txt .text",
    ]);
    home.write("code/a.rs", "x");
    home.run(&["ingest", "code"]).exits(1).says(&["1 other file passed over (.rs 1)"]);
    assert!(!home.path().join("kb").exists(), "nothing to read makes no store");
}

#[test]
fn a_path_that_is_not_there_stops_before_anything_is_read() {
    let home = Home::new();
    home.write("a.md", "# A\n");
    home.run(&["ingest", "a.md", "nope"]).exits(1).says(&["error: nope does not exist", "nothing was read"]);
    assert!(!home.path().join("kb").exists());
}

#[test]
fn a_broken_filter_is_shown_with_the_place() {
    let home = Home::with_documents();
    let run = home.run(&["search", "x", "--filter", "year >= and tag"]).exits(2);
    run.says(&["  year >= and tag\n          ^", "help: a filter looks like: "]);
    home.run(&["search", "x", "--filter", "year ~ 3"]).exits(2).says(&["unexpected `~`"]);
    home.run(&["search", "x", "--filter", "{\"key\""]).exits(2).says(&["--filter is no JSON"]);
    home.run(&["search", "x", "--filter", r#"{"key": "a", "operator": "~~", "value": 1}"#])
        .exits(2)
        .says(&["unknown operator \"~~\"", "text_match_insensitive"]);
}

#[test]
fn schemes_are_told_apart() {
    let home = Home::new();
    let run = |store: &str| Run::of(&mut home.command(&["--store", store, "list"])).exits(1);
    run("sqlite:///x").says(&["error: unknown scheme sqlite:", "embedded:, memory:"]);
    run("embedded:///x?cache=1").says(&["unknown option", "store.cache_bytes"]);
}

#[test]
fn no_password_is_shown() {
    let home = Home::new();
    for store in [
        "redis://me:s3cret@127.0.0.1:1",
        "redis://me:s3cret@127.0.0.1:1/?pollSize=s3cret",
        "redis-sentinel://127.0.0.1:1/?sentinelServiceName=x&sentinelPassword=s3cret",
        "dynamodb://me:s3cret@eu-central-1/app?endpoint_url=http://127.0.0.1:1&max_attempts=1",
        "dynamodb://me:s3cret@eu-central-1/app?session_tokens=s3cret",
        "s3:me:s3cret@h",
        "me:s3cret@h/db",
        "memory://me:s3cret@h?token=s3cret",
        "mongodb://me:s3cret@127.0.0.1:1/db?serverSelectionTimeoutMS=100",
        "mongodb://me:s3cret@127.0.0.1:1/db?sslKeyPassword=s3cret",
    ] {
        let run = Run::of(&mut home.command(&["--store", store, "-vv", "list"])).exits(1);
        assert!(!run.err.contains("s3cret"), "{run:?}");
    }
    let mut help = home.command(&["--help"]);
    let help = Run::of(help.env("NODESTORE_URL", "redis://me:s3cret@h")).ok();
    assert!(!help.out.contains("s3cret"));
}

#[test]
fn a_store_that_is_not_there_is_not_made_by_looking() {
    let home = Home::new();
    let commands: [&[&str]; 5] =
        [&["list"], &["stats"], &["get", "x"], &["search", "x"], &["delete", "x", "-y"]];
    for command in commands {
        home.run(command).exits(1).says(&["error: there is no store at ", "/kb\n", "help: "]);
    }
    assert!(!home.path().join("kb").exists());
    std::fs::create_dir(home.path().join("kb")).unwrap();
    home.run(&["list"]).exits(1).says(&["there is no store at"]);
}

#[test]
fn bad_names_and_numbers_are_refused() {
    let home = Home::with_documents();
    home.run(&["--namespace", "Up", "list"]).exits(1).says(&["the namespace \"Up\" is not allowed"]);
    home.run(&["search", "x", "-k", "0"]).exits(2);
    home.run(&["search", " "]).exits(2).says(&["the question is empty"]);
    home.run(&["search"]).exits(2);
    home.run(&["sear", "x"]).exits(2).says(&["search"]);
    home.run(&["ingest", "docs", "--dimensions", "0"]).exits(2);
}

#[test]
fn a_file_named_as_a_store_is_told() {
    let home = Home::new();
    home.write("a.md", "# A\n");
    for command in ["list", "doctor"] {
        let run = Run::of(&mut home.command(&["--store", "a.md", command])).exits(1);
        run.says(&["/a.md is a file; a store is a folder", "help: --store names the folder"]);
    }
    Run::of(&mut home.command(&["--store", "a.md", "ingest", "a.md"])).exits(1);
    Run::of(&mut home.command(&["--store", "embedded:", "list"]))
        .exits(1)
        .says(&["path is empty; name a folder"]);
}

#[test]
fn what_is_empty_is_named_with_its_namespace() {
    let home = Home::with_documents();
    home.run(&["--namespace", "other", "list"]).ok().shows(&["no documents in ", "/kb, namespace other"]);
    home.run(&["--namespace", "other", "search", "x"])
        .exits(4)
        .says(&["/kb, namespace other is still empty"]);
}

#[test]
fn a_cause_is_shown_when_asked_for() {
    let home = Home::new();
    home.run(&["ingest", "nope", "-v"]).exits(1).says(&["error: ", "cause: ", "help: "]);
}

#[test]
fn a_file_that_is_no_store_is_told() {
    let home = Home::with_documents();
    for entry in std::fs::read_dir(home.path().join("kb")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::write(path, "not a store").unwrap();
        }
    }
    let run = home.run(&["list"]).exits(1);
    assert!(run.err.starts_with("error: embedded"), "{run:?}");
}

#[test]
fn a_store_in_use_is_told() {
    let home = Home::with_documents();
    in_store(&home, &async |_| {
        home.run(&["list"]).exits(1).says(&["error: embedded", "another process"]);
    });
    home.run(&["list"]).ok();
}

#[test]
fn vectors_of_another_program_are_not_mixed_with_ours() {
    let home = Home::new();
    home.write("a.md", "# A\n");
    in_store(&home, &async |store| {
        let vectors = store.vectors().unwrap();
        vectors.configure(VectorConfig::new(2, Metric::Dot)).await.unwrap();
        let node = Node::text("hello world").with_embedding([1.0, 2.0]);
        vectors.upsert(vec![node], nodestore::AddMode::Overwrite).await.unwrap();
    });
    home.run(&["ingest", "a.md"]).exits(1).says(&["vectors that this program did not make", "--namespace"]);
    home.run(&["search", "hello"]).ok().says(&["note: another program filled this store"]);
    home.run(&["search", "hello", "--mode", "text"]).ok().shows(&["hello world"]);

    in_store(&home, &async |store| {
        let note = json!({"model": "their-model", "dimensions": 2}).as_object().unwrap().clone();
        store.kv().unwrap().put("nodestore", "embedder", note).await.unwrap();
    });
    home.run(&["ingest", "a.md"]).exits(1).says(&["were made by their-model"]);
    home.run(&["search", "hello"]).exits(1).says(&["their-model", "--mode text"]);
    home.run(&["search", "hello", "--mode", "text"]).ok();
}
