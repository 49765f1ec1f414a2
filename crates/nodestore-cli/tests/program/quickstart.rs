//! `quickstart`.

use crate::{Home, Run};

#[test]
fn shows_everything_and_keeps_it() {
    let home = Home::new();
    let run = Run::of(&mut home.command(&["quickstart"])).ok();
    let run = run.shows(&[
        "1. Open the store",
        "2. Ingest 5 documents",
        "5 new, 0 changed, 0 unchanged",
        "3. Search by vector and by words",
        "nodestore/quickstart/chats.md:",
        "4. Remember a chat",
        "5. Close the store, open it again",
        "5 documents as ",
        "Is a chat history still there after a restart?",
        "compare wording, not meaning",
        &format!("{} --store ", env!("CARGO_BIN_EXE_nodestore")),
    ]);
    assert!(!run.out.contains('\u{1b}'), "colours without a terminal: {run:?}");

    // The next command it tells about works, in another process.
    let told = run.out.lines().find(|line| line.contains("list --chats")).unwrap();
    let arguments: Vec<&str> = told.split_whitespace().skip(1).collect();
    Run::of(&mut home.command(&arguments)).ok().shows(&["quickstart", "3"]);

    // Once more: nothing is new, and nothing is doubled.
    let again = Run::of(&mut home.command(&["quickstart"])).ok();
    again.shows(&["0 new, 0 changed, 5 unchanged", "5 documents as "]);
    Run::of(&mut home.command(&arguments)).ok().shows(&["quickstart", "3"]);
}

#[test]
fn leaves_the_own_store_alone() {
    let home = Home::new();
    Run::of(&mut home.command(&["quickstart"])).ok();
    Run::of(&mut home.command(&["list"])).exits(1).says(&["there is no store at", "nodestore ingest PATH"]);
}

#[test]
fn takes_a_store_by_name() {
    let home = Home::new();
    Run::of(&mut home.command(&["quickstart", "--store", "my kb"])).ok().shows(&["--store 'my kb' list"]);
    assert!(home.path().join("my kb").is_dir());
    Run::of(&mut home.command(&["--store", "my kb", "list"])).ok().shows(&["nodestore/quickstart/search.md"]);
    Run::of(&mut home.command(&["quickstart", "--store", "memory:"])).ok().shows(&["Not opened again"]);
}

#[test]
fn reads_the_docs_of_a_checkout() {
    let home = Home::new();
    home.write("README.md", "# The readme\n\nWhat happens to a file that did not change?\n");
    home.write("docs/more.md", "# More\n");
    Run::of(&mut home.command(&["quickstart"])).ok().shows(&["Ingest 5 documents"]);
    home.write("crates/nodestore-cli/quickstart/x.md", "x");
    Run::of(&mut home.command(&["quickstart"])).ok().shows(&[
        "Ingest 7 documents",
        "2 new, 0 changed, 5 unchanged",
        "README.md:1-3",
    ]);
}
