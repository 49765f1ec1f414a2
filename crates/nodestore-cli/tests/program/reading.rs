//! `ingest` of many kinds of files, of patterns and of standard input.

use std::io::Write;
use std::process::Stdio;

use crate::{Home, Run};

/// Runs the program on the store `kb` with this on its standard input.
fn run_with_input(home: &Home, arguments: &[&str], input: &[u8]) -> Run {
    let mut command = home.command(arguments);
    command.env("NODESTORE_URL", "kb").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that refuses its command line reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The ids of the documents in the store, without the folder of the home.
fn ids(home: &Home) -> Vec<String> {
    let list = home.json(&["list"]);
    let here = format!("{}/", home.path().canonicalize().unwrap().display());
    let mut ids: Vec<String> = list
        .get("items")
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .map(|document| document.get("id").unwrap().as_str().unwrap().replace(&here, ""))
        .collect();
    ids.sort();
    ids
}

#[test]
fn every_kind_of_file_in_a_folder_is_read() {
    let home = Home::new();
    home.write("in/page.html", "<title>Owls</title><script>x</script><p>Owls hunt at night.");
    home.write("in/one.json", "{\"text\": \"Foxes are red.\", \"year\": 2024}");
    home.write("in/many.json", "[{\"text\": \"Hares run.\"}, {\"text\": \"Moles dig.\"}]");
    home.write("in/log.jsonl", "{\"text\": \"Bats hang.\"}\n{\"text\": \"Rats swim.\"}\n");
    home.write("in/table.csv", "text,legs\nAnts march.,6\nCrabs walk sideways.,10\n");
    home.write("in/table.tsv", "text\tlegs\nSpiders weave.\t8\n");
    home.write("in/notes.md", "---\nauthor: Ada\n---\n# Notes\n\nBees dance.\n");
    home.run(&["ingest", "in"]).ok().shows(&["10 documents: 10 new"]);
    home.run(&["ingest", "in"]).ok().shows(&["10 documents: 0 new, 0 changed, 10 unchanged"]);

    home.run(&["search", "owls", "--mode", "text"]).ok().shows(&["in/page.html:1", "Owls hunt at night."]);
    home.run(&["search", "moles", "--mode", "text"]).ok().shows(&["in/many.json#2"]);
    home.run(&["search", "rats", "--mode", "text"]).ok().shows(&["in/log.jsonl#2"]);
    home.run(&["search", "bees", "--mode", "text", "--filter", "author == \"Ada\""])
        .ok()
        .shows(&["in/notes.md:4-6"]);
    home.run(&["search", "walk", "--mode", "text", "--filter", "legs > 8"]).ok().shows(&["in/table.csv#2"]);
    home.run(&["search", "march", "--mode", "text", "--filter", "legs > 8"]).exits(4);
}

#[test]
fn fields_are_chosen_by_name() {
    let home = Home::new();
    let csv = "key,question,answer,note\nq1,Who purrs?,Cats do.,easy\nq2,Who barks?,Dogs do.,hard\n";
    home.write("faq.csv", csv);
    let arguments =
        ["ingest", "faq.csv", "--id-field", "key", "--text-field", "question", "--text-field", "answer"];
    home.run(&arguments).ok().shows(&["2 documents: 2 new"]);
    home.run(&["search", "barks", "--mode", "text"]).ok().shows(&["faq.csv#q2", "Who barks? Dogs do."]);

    // A row put in the middle changes no other row's id.
    home.write("faq.csv", csv.replace("q2,", "q3,Who sings?,Birds do.,easy\nq2,"));
    home.run(&arguments).ok().shows(&["3 documents: 1 new, 0 changed, 2 unchanged"]);
    home.write("faq.csv", "key,question,answer,note\nq3,Who sings?,Birds do.,easy\n");
    let mut prune = arguments.to_vec();
    prune.push("--prune");
    home.run(&prune).ok().shows(&["1 document: 0 new, 0 changed, 1 unchanged, 2 pruned"]);
    assert_eq!(ids(&home), ["faq.csv#q3"]);

    home.run(&["ingest", "faq.csv", "--text-field", "reply"])
        .exits(3)
        .says(&["skipped faq.csv:1: there is no column \"reply\"; there are: key, question, answer, note"]);
}

#[test]
fn patterns_choose_files_and_pruning_keeps_to_them() {
    let home = Home::new();
    for name in
        ["src/a.rs", "src/deep/b.rs", "src/deep/c.toml", "src/target/d.rs", "src/.git/e.rs", "src/f.md"]
    {
        home.write(name, format!("text of {name}"));
    }
    home.run(&["ingest", "src", "--glob", "*.rs", "--exclude", "target"]).ok().shows(&["2 new"]);
    assert_eq!(ids(&home), ["src/a.rs", "src/deep/b.rs"]);
    home.run(&["ingest", "src", "--glob", "deep/*"]).ok().shows(&["1 new", "1 unchanged"]);
    home.run(&["ingest", "src/**/*.md"]).ok().shows(&["1 document: 1 new"]);
    assert_eq!(ids(&home), ["src/a.rs", "src/deep/b.rs", "src/deep/c.toml", "src/f.md"]);

    // What another command line reads is not gone, a file that does not exist is.
    home.run(&["ingest", "src", "--prune"]).ok().shows(&["1 document: 0 new, 0 changed, 1 unchanged, in "]);
    std::fs::remove_file(home.path().join("src/a.rs")).unwrap();
    home.run(&["ingest", "src", "--prune"]).ok().shows(&["1 pruned"]);
    assert_eq!(ids(&home), ["src/deep/b.rs", "src/deep/c.toml", "src/f.md"]);
    home.run(&["ingest", "src", "--glob", "*.md", "--glob", "[.rs"])
        .exits(2)
        .says(&["--glob \"[.rs\" is no pattern"]);
    home.run(&["ingest", "src", "--glob", "*.py"]).exits(1).says(&["--glob matches no file in src"]);
    home.run(&["ingest", "src/*.py"]).exits(1).says(&["no file matches src/*.py"]);
}

#[test]
fn binary_files_that_a_pattern_matches_are_named() {
    let home = Home::new();
    home.write("in/logo.png", b"\x89PNG\0\0");
    home.write("in/notes", "plain");
    let run = home.run(&["ingest", "in", "--glob", "*"]).exits(3).shows(&["1 new", "1 skipped"]);
    run.says(&["skipped in/logo.png: is not text (a zero at byte 4)"]);
}

#[test]
fn relative_ids_stay_the_same_elsewhere() {
    let home = Home::new();
    home.write("one/docs/a.md", "# A\n");
    home.write("one/docs/rows.csv", "text\nx\n");
    home.run(&["ingest", "one/docs", "--relative-to", "one"]).ok().shows(&["2 new"]);
    assert_eq!(ids(&home), ["docs/a.md", "docs/rows.csv#1"]);
    std::fs::rename(home.path().join("one"), home.path().join("two")).unwrap();
    std::fs::remove_file(home.path().join("two/docs/a.md")).unwrap();
    let run = home.run(&["ingest", "two/docs", "--relative-to", "two", "--prune"]).ok();
    run.shows(&["1 document: 0 new, 0 changed, 1 unchanged, 1 pruned"]);
    assert_eq!(ids(&home), ["docs/rows.csv#1"]);

    home.write("else.md", "x");
    home.run(&["ingest", "else.md", "--relative-to", "two"]).exits(2).says(&["is not below"]);
    home.run(&["ingest", "two", "--relative-to", "nowhere"]).exits(2).says(&["nowhere does not exist"]);
    home.run(&["ingest", "two", "--relative-to", "two", "--prune"])
        .exits(2)
        .says(&["help: name the folder above"]);
}

#[test]
fn standard_input_has_a_name_and_a_kind() {
    let home = Home::new();
    run_with_input(&home, &["ingest", "-", "--format", "text", "--id", "memo"], b"Remember the milk.")
        .ok()
        .shows(&["1 document: 1 new"]);
    let rows = b"{\"text\":\"Geese fly.\"}\n{\"text\":\"Ducks dive.\"}\n";
    let feed = ["ingest", "-", "--format", "jsonl", "--id", "feed"];
    run_with_input(&home, &feed, rows).ok().shows(&["2 documents: 2 new"]);
    run_with_input(&home, &feed, rows).ok().shows(&["2 unchanged"]);
    assert_eq!(ids(&home), ["feed#1", "feed#2", "memo"]);
    home.run(&["search", "milk", "--mode", "text"]).ok().shows(&["memo:1"]);
    let prune = ["ingest", "-", "--format", "jsonl", "--id", "feed", "--prune"];
    run_with_input(&home, &prune, &rows[..22]).ok().shows(&["1 unchanged, 1 pruned"]);
    assert_eq!(ids(&home), ["feed#1", "memo"]);

    let run = |arguments: &[&str]| run_with_input(&home, arguments, b"x").exits(2);
    run(&["ingest", "-", "--id", "x"]).says(&["--format says it", "help: for example"]);
    run(&["ingest", "-", "--format", "csv"]).says(&["--id gives one"]);
    run(&["ingest", ".", "--id", "x"]).says(&["--id is for standard input"]);
}

#[test]
fn broken_rows_are_named_with_their_place_and_the_others_are_kept() {
    let home = Home::new();
    let rows: Vec<String> = (1..=41).map(|n| format!("{{\"text\": \"row {n}\"}}")).collect();
    home.write("cut.json", format!("[{},\n{{\"text\": \"ro", rows.join(",\n")));
    home.write("bad.jsonl", "{\"text\":\"good\"}\n{\"text\":}\n{\"text\":\"better\"}\n");
    home.write("bad.csv", "text,n\ngood,1\nlonely\nbetter,2\n");
    let run = home.run(&["ingest", "cut.json", "bad.jsonl", "bad.csv"]).exits(3);
    run.shows(&["45 documents: 45 new, 0 changed, 0 unchanged, 3 skipped"]).says(&[
        "skipped cut.json:42:13: the file ends inside the row that begins on line 42; rows 1 to 41 are kept, what \
         follows was not read",
        "skipped bad.jsonl:2:9: is not JSON here: expected value",
        "skipped bad.csv:3: the row has 1 fields, the header 2",
    ]);
}
