//! `copy`.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::folders::{files, write_folder};
use crate::{Home, Run};

/// Runs the program with no store named but those of the command.
fn copy(home: &Home, arguments: &[&str]) -> Run {
    Run::of(&mut home.command(&[&["copy"], arguments].concat()))
}

fn copy_json(home: &Home, arguments: &[&str]) -> Value {
    let run = copy(home, &[arguments, &["--json"]].concat());
    serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {run:?}"))
}

#[test]
fn a_store_is_counted_copied_and_searched() {
    let home = Home::with_documents();
    home.run(&["chat", "append", "anna", "hello"]).ok();
    let run = copy(&home, &["kb", "other", "--dry-run"]).ok();
    run.shows(&["nothing was written", "source documents", "chats", "not looked at"])
        .says(&["there is no store"]);
    assert!(!home.path().join("other").exists(), "a dry run makes no store");

    let run = copy(&home, &["kb", "other"]).ok();
    run.shows(&[
        "read back, and the same on both sides",
        "nodes",
        "vectors",
        "chats",
        "key-values of nodestore",
    ])
    .says(&["can not list its collections of key-values"]);
    let other = |arguments: &[&str]| Run::of(home.command(arguments).env("NODESTORE_URL", "other"));
    other(&["search", "who barks at strangers?"]).ok().shows(&["dogs.md", "bark"]);
    other(&["chat", "show", "anna"]).ok().shows(&["hello"]);
    other(&["ingest", "docs"]).ok().shows(&["3 unchanged"]);
    assert!(!home.path().join("data/nodestore/copies").read_dir().unwrap().any(|_| true), "no job is left");

    copy(&home, &["kb", "other"]).exits(1).says(&["holds source documents already", "--overwrite"]);
    copy(&home, &["kb", "other", "--dry-run"]).ok().shows(&["some already"]).says(&["--overwrite"]);
    copy(&home, &["kb", "other", "--overwrite"]).ok().shows(&["the same on both sides"]);
}

#[test]
fn collections_of_key_values_are_named() {
    let home = Home::with_documents();
    let run = copy(&home, &["kb", "other", "--only", "kv"]).exits(2);
    run.says(&["can not list its collections of key-values", "--collection NAME"]);
    let report = copy_json(&home, &["kb", "other", "--only", "kv", "--collection", "prices"]);
    let parts: Vec<&str> =
        report["parts"].as_array().unwrap().iter().map(|part| part["part"].as_str().unwrap()).collect();
    assert_eq!(parts, ["key-values of nodestore"]);
    assert!(report["notes"].to_string().contains("no key-values of prices to copy"), "{report}");
}

#[test]
fn reports_for_programs_are_whole() {
    let home = Home::with_documents();
    let plan = copy_json(&home, &["kb", "other", "--dry-run", "--only", "vectors", "--only", "docs"]);
    assert_eq!((&plan["dry_run"], &plan["to"]), (&json!(true), &json!(null)));
    let report = copy_json(&home, &["kb", "other", "--only", "vectors", "--only", "docs"]);
    assert_eq!((&report["dry_run"], &report["equal"]), (&json!(false), &json!(true)));
    let parts = report["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 4);
    for (planned, part) in plan["parts"].as_array().unwrap().iter().zip(parts) {
        assert_eq!((&planned["part"], &planned["records"]), (&part["part"], &part["records"]));
        assert_eq!(part["checksum"], part["found_checksum"]);
        assert_eq!(part["checksum"].as_str().unwrap().len(), 32);
        assert_eq!((&part["different"], &part["surplus"]), (&json!(0), &json!(0)));
    }
}

#[test]
fn what_can_not_be_meant_is_said() {
    let home = Home::with_documents();
    copy(&home, &["kb", "./kb"]).exits(2).says(&["FROM and TO are the same store"]);
    copy(&home, &["kb", "other", "--namespace", "x"]).exits(2).says(&["--namespace", "store.namespace"]);
    copy(&home, &["nowhere", "other"]).exits(1).says(&["there is no store at"]);
    assert!(!home.path().join("other").exists());
    copy(&home, &["memory:", "other"]).exits(4).says(&["there is nothing to copy"]);
    write_folder(&home.path().join("storage"), 5, 4);
    copy(&home, &["kb", "storage"])
        .exits(1)
        .says(&["a folder that LlamaIndex persisted", "nodestore export"]);
}

/// From Python's folder into a store, and out of it as a folder again.
#[test]
fn a_folder_of_python_is_copied() {
    let home = Home::new();
    write_folder(&home.path().join("storage"), 300, 8);
    let run = copy(&home, &["storage", "kb", "--dry-run"]).ok();
    run.shows(&["nodes", "300", "source documents", "vectors"]);
    copy(&home, &["storage", "kb"]).ok().shows(&["from ", "storage into ", "the same on both sides"]);
    assert!(!home.path().join("data/nodestore/copies").read_dir().unwrap().any(|_| true), "nothing is left");
    home.run(&["export", "out"]).ok();
    Run::of(home.command(&["import", "storage"]).env("NODESTORE_URL", "imported")).ok();
    Run::of(home.command(&["export", "expected"]).env("NODESTORE_URL", "imported")).ok();
    assert_eq!(files(&home.path().join("out")), files(&home.path().join("expected")));

    fs::write(home.path().join("storage/docstore.json"), "{\"docstore/data\": {").unwrap();
    let run = copy(&home, &["storage", "broken"]).exits(1);
    run.says(&["storage/docstore.json:1:", "it was cut short", "nothing was copied"]);
}

fn start(home: &Home, arguments: &[&str]) -> Child {
    let mut command = home.command(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Kills the program again and again, later each time, until it comes to its end.
#[test]
fn a_killed_copy_is_completed_by_the_next() {
    let home = Home::new();
    write_folder(&home.path().join("storage"), 1500, 16);
    home.run(&["import", "storage"]).ok();
    home.run(&["export", "expected"]).ok();
    let (mut killed, mut with_job) = (0, 0);
    for round in 1_u32.. {
        let mut copying = start(&home, &["copy", "kb", "other"]);
        let end = Instant::now() + Duration::from_millis(60) * round * round;
        while Instant::now() < end && copying.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        copying.kill().unwrap();
        if copying.wait().unwrap().success() {
            break;
        }
        killed += 1;
        let jobs = home.path().join("data/nodestore/copies");
        with_job += usize::from(jobs.read_dir().is_ok_and(|mut jobs| jobs.next().is_some()));
    }
    assert!(killed > 0 && with_job > 0, "killed {killed} times, {with_job} of them within the copy");
    Run::of(home.command(&["export", "out"]).env("NODESTORE_URL", "other")).ok();
    assert_eq!(files(&home.path().join("out")), files(&home.path().join("expected")));
}

#[cfg(unix)]
#[test]
fn a_copy_that_is_asked_to_stop_says_how_to_go_on() {
    let home = Home::new();
    write_folder(&home.path().join("storage"), 6000, 64);
    home.run(&["import", "storage"]).ok();
    let copying = start(&home, &["copy", "kb", "other"]);
    let jobs = home.path().join("data/nodestore/copies");
    // The job is there as soon as the writing begins.
    while !jobs.read_dir().is_ok_and(|mut jobs| jobs.next().is_some()) {
        std::thread::sleep(Duration::from_millis(2));
    }
    let asked =
        std::process::Command::new("kill").args(["-INT", &copying.id().to_string()]).status().unwrap();
    assert!(asked.success());
    let output = copying.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("the same command goes on from here"), "{said}");
    let run = copy(&home, &["kb", "other"]).ok();
    run.shows(&["the same on both sides"]).says(&["going on with a copy that was begun"]);

    // Begun anew, it finds what the other wrote.
    let run = copy(&home, &["kb", "other", "--restart"]).exits(1);
    run.says(&["holds source documents already"]);
}
