//! `delete`.

use crate::Home;

#[test]
fn a_document_goes_with_its_nodes_and_vectors() {
    let home = Home::with_documents();
    let before = home.json(&["stats"]);
    let report = home.json(&["delete", "docs/dogs.md", "--yes"]);
    assert_eq!(report["documents"], 1);
    let after = home.json(&["stats"]);
    assert_eq!(after["documents"], 2);
    let gone = before["nodes"].as_u64().unwrap() - after["nodes"].as_u64().unwrap();
    assert_eq!(report["nodes"], gone);
    assert_eq!(after["nodes"], after["vectors"]["count"]);
    home.run(&["search", "bark", "--mode", "text"]).exits(4);
    // It is not taken for unchanged afterwards.
    home.run(&["ingest", "docs"]).ok().shows(&["1 new, 0 changed, 2 unchanged"]);
    home.run(&["search", "bark", "--mode", "text"]).ok();
}

#[test]
fn a_node_goes_alone() {
    let home = Home::with_documents();
    let hit = home.json(&["search", "sing", "-k", "1", "--mode", "text"])["hits"][0].clone();
    let id = hit["id"].as_str().unwrap();
    home.run(&["delete", id, "-y"]).ok().shows(&["deleted 0 documents and 1 node"]);
    home.run(&["search", "sing", "--mode", "text"]).exits(4);
    home.run(&["get", "docs/deep/birds.txt"]).ok();
}

#[test]
fn a_filter_deletes_what_matches_everywhere() {
    let home = Home::with_documents();
    let run = home.run(&["delete", "--filter", "file_type == \"text/markdown\"", "--yes"]).ok();
    run.shows(&["deleted 2 documents and 2 nodes"]);
    let stats = home.json(&["stats"]);
    assert_eq!(
        (&stats["documents"], &stats["nodes"], &stats["vectors"]["count"]),
        (&1.into(), &1.into(), &1.into())
    );
    home.run(&["list"]).ok().shows(&["docs/deep/birds.txt"]);
}

#[test]
fn a_source_document_can_be_named_as_such() {
    let home = Home::with_documents();
    let id = home.path().canonicalize().unwrap().join("docs/cats.md");
    home.run(&["delete", "--ref-doc", id.to_str().unwrap(), "--yes"]).ok().shows(&["deleted 1 document and"]);
    home.run(&["delete", "--ref-doc", id.to_str().unwrap(), "--yes"]).exits(4).says(&["nothing to delete"]);
}

#[test]
fn nothing_is_deleted_without_a_yes() {
    let home = Home::with_documents();
    home.run(&["delete", "docs/cats.md"]).exits(2).says(&["nobody can be asked", "--yes"]);
    assert_eq!(home.json(&["stats"])["documents"], 3);
    home.run(&["delete", "--yes"]).exits(2);
    home.run(&["delete", "--filter", "a == 1", "x", "--yes"]).exits(2);
}

#[test]
fn an_unknown_id_is_named_and_the_others_go() {
    let home = Home::with_documents();
    home.run(&["delete", "nope", "docs/cats.md", "--yes"])
        .exits(4)
        .says(&["\"nope\""])
        .shows(&["deleted 1 document"]);
    home.run(&["delete", "nope", "--yes"]).exits(4).says(&["nothing to delete"]);
}
