//! `ingest`.

use crate::Home;

#[test]
fn what_was_ingested_is_found_by_later_runs() {
    let home = Home::with_documents();
    for mode in ["vector", "text", "hybrid", "mmr"] {
        let run = home.run(&["search", "cats purr", "--mode", mode]).ok();
        run.shows(&["docs/cats.md:", "Cats purr when they are content."]);
    }
}

#[test]
fn a_second_run_passes_unchanged_files_over() {
    let home = Home::with_documents();
    home.write("docs/dogs.md", "# Dogs\n\nDogs wag their tails.\n");
    home.write("docs/fish.txt", "Fish swim.\n");
    home.run(&["ingest", "docs"]).ok().shows(&["4 documents", "1 new, 1 changed, 2 unchanged"]);
    home.run(&["search", "tails", "--mode", "text"]).ok().shows(&["docs/dogs.md:"]);
    home.run(&["search", "strangers", "--mode", "text"]).exits(4);
}

#[test]
fn however_a_file_is_named_it_is_one_document() {
    let home = Home::with_documents();
    let path = home.path().join("docs/../docs/cats.md");
    let run = home.run(&["ingest", "./docs/cats.md", path.to_str().unwrap(), "docs"]).ok();
    run.shows(&["3 documents: 0 new, 0 changed, 3 unchanged"]);
}

#[test]
fn folders_are_read_without_hidden_and_other_files() {
    let home = Home::new();
    for name in ["a/.hidden.md", "a/.git/x.md", "a/x.rs", "a/y.rs", "a/LICENSE", "a/SHOUT.MD"] {
        home.write(name, "text");
    }
    let run = home.run(&["ingest", "a"]).ok().shows(&["1 document: 1 new"]);
    run.says(&["3 files of other kinds passed over (.rs 2, without ending 1)"]);
    home.run(&["ingest", "a/x.rs", "a/.hidden.md"]).ok().shows(&["2 documents: 2 new"]);
}

#[test]
fn bad_files_are_named_and_the_others_go_on() {
    let home = Home::new();
    home.write("docs/good.md", "# Good\n\nAll is well.\n");
    home.write("docs/latin.txt", b"caf\xe9");
    home.write("docs/wide.txt", b"\xff\xfea\0");
    home.write("docs/zero.txt", "a\0b");
    home.write("docs/big.txt", "x".repeat(1 << 20) + "y");
    let run = home.run(&["ingest", "docs", "--max-file-size", "1"]).exits(3);
    run.shows(&["1 document: 1 new, 0 changed, 0 unchanged, 4 skipped"]).says(&[
        "skipped docs/latin.txt: is not UTF-8 text (byte 3)",
        "skipped docs/wide.txt: is UTF-16 text",
        "skipped docs/zero.txt: is not text",
        "skipped docs/big.txt: has 2 MB, the limit is 1 MB",
    ]);
    home.run(&["search", "well", "--mode", "text"]).ok().shows(&["docs/good.md:"]);

    let report = home.json(&["ingest", "docs", "--max-file-size", "1"]);
    assert_eq!(report["unchanged"], 1);
    let failed = report["failed"].as_array().unwrap();
    assert_eq!(failed.len(), 4);
    assert!(failed[0]["file"].as_str().unwrap().ends_with("docs/big.txt"));
}

#[test]
fn prune_forgets_what_is_gone_from_the_folders_only() {
    let home = Home::with_documents();
    home.write("else.md", "# Elsewhere\n");
    home.run(&["ingest", "else.md"]).ok();
    for gone in ["docs/cats.md", "else.md"] {
        std::fs::remove_file(home.path().join(gone)).unwrap();
    }
    home.run(&["ingest", "docs"]).ok().shows(&["2 unchanged"]);
    home.run(&["search", "purr", "--mode", "text"]).ok();
    home.run(&["ingest", "docs", "--prune"]).ok().shows(&["1 pruned"]);
    home.run(&["search", "purr", "--mode", "text"]).exits(4);
    home.run(&["list"]).ok().shows(&["else.md", "docs/dogs.md"]);
    home.run(&["ingest", "docs/dogs.md", "--prune"]).exits(2).says(&["no folder is named"]);
}

#[test]
fn prune_waits_while_a_file_can_not_be_read() {
    let home = Home::with_documents();
    home.write("docs/cats.md", b"\xff");
    std::fs::remove_file(home.path().join("docs/dogs.md")).unwrap();
    home.run(&["ingest", "docs", "--prune"]).exits(3).says(&["nothing was pruned"]);
    home.run(&["search", "purr", "--mode", "text"]).ok();
    home.run(&["search", "bark", "--mode", "text"]).ok();
}

#[test]
fn rewrite_cuts_unchanged_files_anew() {
    let home = Home::new();
    let sentences: Vec<String> = (0..40).map(|n| format!("This is sentence number {n}.")).collect();
    home.write("long.txt", sentences.join(" "));
    assert_eq!(home.json(&["ingest", "long.txt"])["chunks_written"], 2);
    assert_eq!(home.json(&["ingest", "long.txt", "--chunk-size", "100"])["chunks_written"], 0);
    let rewritten = home.json(&["ingest", "long.txt", "--chunk-size", "100", "--rewrite"]);
    assert!(rewritten["chunks_written"].as_u64().unwrap() > 10, "{rewritten}");
    let count = home.json(&["stats"])["vectors"]["count"].clone();
    assert_eq!(count, rewritten["chunks_written"]);
}

#[test]
fn overlap_repeats_the_end_of_a_chunk() {
    let home = Home::new();
    let words: Vec<String> = (0..60).map(|n| format!("word{n}")).collect();
    home.write("words.txt", words.join(" "));
    let cut = |overlap: &str| {
        let report =
            home.json(&["ingest", "words.txt", "--chunk-size", "100", "--overlap", overlap, "--rewrite"]);
        report["chunks_written"].as_u64().unwrap()
    };
    assert!(cut("50") > cut("0"));
    home.run(&["ingest", "words.txt", "--chunk-size", "100", "--overlap", "100"])
        .exits(2)
        .says(&["--overlap 100 is not less than --chunk-size 100"]);
}

#[test]
fn dimensions_are_those_of_the_store() {
    let home = Home::new();
    home.write("a.md", "# A\n");
    home.run(&["ingest", "a.md", "--dimensions", "64"]).ok();
    assert_eq!(home.json(&["stats"])["vectors"]["dimensions"], 64);
    home.write("a.md", "# B\n");
    home.run(&["ingest", "a.md"]).ok().shows(&["1 changed"]);
    home.run(&["ingest", "a.md", "--dimensions", "128"]).exits(1).says(&[
        "--dimensions 128 does not fit: the store holds vectors of 64 values",
        "leave --dimensions out",
    ]);
}
