//! `search`, `get`, `list`, `stats`, and how answers are printed.

use std::io::Read;
use std::process::Stdio;

use crate::{Home, Run};

#[test]
fn answers_name_score_file_and_lines() {
    let home = Home::with_documents();
    let answer = home.json(&["search", "who", "barks", "at", "strangers?", "-k", "1"]);
    assert_eq!(answer["query"], "who barks at strangers?");
    assert_eq!(answer["mode"], "hybrid");
    let hits = answer["hits"].as_array().unwrap();
    assert_eq!(hits.len(), 1);
    let hit = &hits[0];
    assert!(hit["score"].as_f64().unwrap() > 0.0);
    assert!(hit["source"]["name"].as_str().unwrap().ends_with("docs/dogs.md"));
    assert_eq!(hit["source"]["lines"], serde_json::json!([1, 5]));
    assert_eq!(hit["metadata"]["title"], "Dogs");
    assert!(hit["text"].as_str().unwrap().contains("Dogs bark"));
    home.run(&["search", "barks"]).ok().shows(&["score", "docs/dogs.md:1-5", hit["id"].as_str().unwrap()]);
}

#[test]
fn filters_narrow_before_the_best_are_chosen() {
    let home = Home::with_documents();
    let names = |filter: &str| -> Vec<String> {
        let answer = home.json(&["search", "cats", "--mode", "vector", "--filter", filter]);
        let hits = answer["hits"].as_array().unwrap();
        hits.iter().map(|hit| hit["metadata"]["file_name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("title == \"Dogs\""), ["dogs.md"]);
    assert_eq!(names("not title exists"), ["birds.txt"]);
    assert_eq!(names(r#"{"key": "file_name", "operator": "in", "value": ["birds.txt"]}"#), ["birds.txt"]);
    home.run(&["search", "cats", "--filter", "year > 3"]).exits(4).says(&["does the filter fit?"]);
}

#[test]
fn explain_tells_how_it_was_answered() {
    let home = Home::with_documents();
    home.run(&["search", "cats", "--explain", "--filter", "title == \"Cats\""])
        .ok()
        .shows(&["how it was answered: "]);
    let plan = home.json(&["search", "cats", "--explain"])["plan"]["summary"].clone();
    assert!(!plan.as_str().unwrap().is_empty());
}

#[test]
fn words_are_marked_in_colour_only_when_asked_for() {
    let home = Home::with_documents();
    let bold = "\u{1b}[1mpurr";
    let plain = home.run(&["search", "purr"]).ok();
    assert!(!plain.out.contains('\u{1b}'), "{plain:?}");
    let run = |variables: &[(&str, &str)]| {
        let mut command = home.command(&["--store", "kb", "search", "purr"]);
        Run::of(command.envs(variables.iter().copied())).ok().out
    };
    assert!(run(&[("CLICOLOR_FORCE", "1")]).contains(bold));
    assert!(!run(&[("NO_COLOR", "1")]).contains('\u{1b}'));
}

#[test]
fn get_shows_documents_and_nodes() {
    let home = Home::with_documents();
    home.run(&["get", "docs/cats.md"]).ok().shows(&["Document", "title: Cats", "Cats eat fish."]);
    let hit = home.json(&["search", "purr", "-k", "1", "--mode", "text"])["hits"][0].clone();
    let id = hit["id"].as_str().unwrap();
    home.run(&["get", id]).ok().shows(&[id, "TextNode", "document: ", "Cats purr"]);
    let nodes = home.json(&["get", id, "docs/cats.md"]);
    assert_eq!(nodes[0]["__data__"]["id_"], *id);
    assert_eq!(nodes[0]["__type__"], "1");
    assert_eq!(nodes[1]["__type__"], "4");
}

#[test]
fn an_unknown_id_is_named_and_the_known_ones_are_shown() {
    let home = Home::with_documents();
    home.run(&["get", "nope", "docs/cats.md"]).exits(4).shows(&["Cats eat fish."]).says(&["\"nope\""]);
}

#[test]
fn lists_are_paged() {
    let home = Home::with_documents();
    let first = home.json(&["list", "--limit", "2"]);
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let next = first["next"].as_str().unwrap();
    let second = home.json(&["list", "--limit", "2", "--after", next]);
    assert_eq!(second["items"].as_array().unwrap().len(), 1);
    assert!(second["next"].is_null());
    home.run(&["list", "--limit", "2"]).ok().says(&[&format!("there is more: --after '{next}'")]);
    home.run(&["list"]).ok().shows(&["docs/cats.md", "docs/dogs.md", "docs/deep/birds.txt", "Dogs"]);
    home.run(&["list", "--nodes"]).ok().shows(&["TextNode", "Document", "Birds sing"]);
    home.run(&["list", "--chats"]).ok().shows(&["no chats in"]);
    home.run(&["list", "--kv", "nodestore"]).ok().shows(&["embedder", "dimensions"]);
}

#[test]
fn stats_count_what_is_there() {
    let home = Home::with_documents();
    let stats = home.json(&["stats"]);
    assert_eq!(stats["backend"], "embedded");
    assert_eq!(stats["documents"], 3);
    assert_eq!(stats["source_documents"], 3);
    assert_eq!(stats["nodes"], stats["vectors"]["count"]);
    assert_eq!(stats["vectors"]["metric"], "cosine");
    assert_eq!(stats["vectors"]["dimensions"], 512);
    assert!(stats["bytes_on_disk"].as_u64().unwrap() > 0);
    home.run(&["stats"]).ok().shows(&["512 dimensions, compared by cosine", " MB"]);
}

#[test]
fn namespaces_are_kept_apart() {
    let home = Home::with_documents();
    home.run(&["--namespace", "other", "list"]).ok().shows(&["no documents"]);
    home.write("x.md", "# X\n");
    home.run(&["--namespace", "other", "ingest", "x.md"]).ok();
    assert_eq!(home.json(&["stats"])["documents"], 3);
    assert_eq!(home.json(&["--namespace", "other", "stats"])["documents"], 1);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let home = Home::new();
    // More than a pipe holds, so that the program is still writing when the reader goes.
    home.write("long.txt", "line\n".repeat(200_000));
    home.run(&["ingest", "long.txt"]).ok();
    let mut child = home
        .command(&["--store", "kb", "get", "long.txt"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut some = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    let Run { code, err, .. } = {
        let output = child.wait_with_output().unwrap();
        Run {
            code: output.status.code().unwrap(),
            out: String::new(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    };
    assert_eq!((code, err.as_str()), (0, ""));
}

#[test]
fn help_teaches_by_examples() {
    let home = Home::new();
    for command in ["quickstart", "ingest", "search", "get", "list", "delete", "stats", "doctor"] {
        let help = Run::of(&mut home.command(&[command, "--help"])).ok();
        help.shows(&["Usage: nodestore", "--store <STORE>", "Examples:\n  nodestore "]);
        Run::of(&mut home.command(&["--help"])).ok().shows(&[&format!("  {command} ")]);
    }
    Run::of(&mut home.command(&["--help"])).ok().shows(&["Exit codes:", "NODESTORE_URL", "NO_COLOR"]);
    Run::of(&mut home.command(&["search", "--help"])).ok().shows(&["year >= 2024", "imatches"]);
    Run::of(&mut home.command(&["--version"])).ok().shows(&[env!("CARGO_PKG_VERSION")]);
}
