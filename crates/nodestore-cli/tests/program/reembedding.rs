//! `reembed`: another model, other dimensions, stops, kills and bad endpoints.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use nodestore::{Backend, GetOptions, KvStoreExt, Metric, Node, Selector, VectorConfig};
use serde_json::{Value, json};

use super::embedders::{assert_right, once, openai, sections, spawn, text, wait_for, write_documents};
use super::endpoint::{Endpoint, Reply};
use super::errors::in_store;
use super::{Home, Run};

/// A home whose store holds so many documents, with vectors of the hash.
fn hashed(documents: usize) -> Home {
    let home = Home::new();
    write_documents(&home, documents);
    home.run(&["ingest", "docs", "--chunk-size", "40", "--dimensions", "32"]).ok();
    home
}

fn reembed(home: &Home, arguments: &[&str]) -> Value {
    let run = home.with_key(&[&["reembed", "--json"], arguments].concat()).ok();
    serde_json::from_str(&run.out).unwrap()
}

fn sets(home: &Home) -> (Vec<String>, bool) {
    let found = std::sync::Mutex::default();
    in_store(home, &async |store: &dyn Backend| {
        let default = store.vectors().unwrap().config().await.unwrap().is_some();
        *found.lock().unwrap() = (store.vector_sets().await.unwrap(), default);
    });
    found.into_inner().unwrap()
}

/// The files whose nodes are in a set.
fn files_of_set(home: &Home, set: &str) -> BTreeSet<String> {
    let found = std::sync::Mutex::default();
    in_store(home, &async |store: &dyn Backend| {
        let vectors = store.vector_set(set).unwrap();
        let page = vectors.get(&Selector::all(), GetOptions::default()).await.unwrap();
        let names = page
            .items
            .iter()
            .map(|node| node.metadata.get("file_name").unwrap().as_str().unwrap().to_owned());
        *found.lock().unwrap() = names.collect();
    });
    found.into_inner().unwrap()
}

fn contents(nodes: &[Node]) -> BTreeSet<(String, String)> {
    nodes.iter().map(|node| (node.id.to_string(), text(node))).collect()
}

#[test]
fn another_model_makes_every_vector_anew_once() {
    let home = hashed(150);
    let before = home.vectors();
    let endpoint = Endpoint::faulty(5, 24);
    let report = reembed(&home, &["--embedder", &openai(&endpoint)]);
    assert_eq!((&report["switched"], &report["embedded"]), (&true.into(), &before.len().into()), "{report}");

    let nodes = home.vectors();
    assert_eq!(contents(&nodes), contents(&before));
    assert_right(&nodes, 24);
    let mut done = endpoint.done();
    done.remove("How many dimensions?");
    assert_eq!(done, once(&nodes));
    assert_eq!(sets(&home), (vec!["v2".to_owned()], false), "the old set is gone");

    // The store is used as before, with the new model.
    endpoint.forget();
    home.with_key(&["search", "--mode", "vector", "it says 7"]).ok();
    home.write("docs/7.md", "# Another seven\n");
    home.with_key(&["ingest", "docs", "--chunk-size", "40"]).ok().shows(&["1 changed", "149 unchanged"]);
    assert_eq!(endpoint.done().len(), 2, "the question and the changed chunk");
    assert_right(&home.vectors(), 24);
    home.with_key(&["reembed", "--embedder", &openai(&endpoint)]).ok().says(&["nothing to do"]);

    // And back, with other dimensions; what was embedded is known when the model is taken again.
    let report = reembed(&home, &["--embedder", "hash:16", "--keep"]);
    assert_eq!(report["dimensions"], 16);
    assert_eq!(sets(&home).0, ["v2", "v3"]);
    endpoint.forget();
    reembed(&home, &["--embedder", &openai(&endpoint)]);
    assert!(endpoint.done().keys().all(|text| text == "How many dimensions?"), "{:?}", endpoint.done());
    assert_right(&home.vectors(), 24);
    home.with_key(&["reembed", "--clear-cache"]).ok().shows(&["embeddings removed from the cache"]);
}

#[test]
fn killed_and_stopped_it_goes_on() {
    let home = Home::new();
    for number in 0..100 {
        home.write(&format!("docs/{number}.md"), format!("# {number}\n\n{}", sections(15)));
    }
    home.run(&["ingest", "docs", "--chunk-size", "40", "--dimensions", "32"]).ok();
    let before = home.vectors();
    assert!(before.len() >= 1500, "{}", before.len());
    let endpoint = Endpoint::start(|_| Reply::Late(Duration::from_millis(40), 8));
    let embedder = openai(&endpoint);
    let arguments = ["reembed", "--embedder", &embedder];
    let mut in_flight = 0;
    for texts in [300, 800] {
        let mut child = spawn(&home, &arguments);
        wait_for(&endpoint, texts);
        child.kill().unwrap();
        child.wait().unwrap();
        in_flight += 256;
    }
    let child = spawn(&home, &["reembed"]);
    wait_for(&endpoint, 1200);
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("`nodestore reembed` goes on from here"), "{said}");
    in_flight += 256;

    // Searches go to the old vectors; another model is told what is going on.
    home.run(&["search", "document"]).ok();
    home.with_key(&["reembed", "--embedder", "hash:64"]).exits(1).says(&["is not finished", "--discard"]);
    assert_eq!(contents(&home.vectors()), contents(&before));

    // What is written between the runs is caught up.
    let filled = files_of_set(&home, "v2");
    let (changed, gone) = (filled.first().unwrap(), filled.last().unwrap());
    home.write(&format!("docs/{changed}"), "# Something else\n");
    std::fs::remove_file(home.path().join("docs").join(gone)).unwrap();
    home.run(&["ingest", "docs", "--chunk-size", "40", "--prune"]).ok().shows(&["1 changed", "1 pruned"]);
    let old = home.vectors();

    let report = reembed(&home, &[]);
    assert!(report["done_before"].as_u64().unwrap() >= 768, "{report}");
    assert!(report["removed"].as_u64().unwrap() >= 2, "{report}");
    let nodes = home.vectors();
    assert_eq!(contents(&nodes), contents(&old));
    assert_right(&nodes, 8);
    let done = endpoint.done();
    let twice: usize = done.values().map(|times| times - 1).sum();
    // Four requests of 64 texts at a time; if nothing were kept it would be 300 + 800 + 1200 and more.
    assert!(twice <= in_flight, "{twice} texts were embedded again");
}

#[test]
fn killed_behind_its_switch_it_only_cleans_up() {
    let home = hashed(5);
    reembed(&home, &["--embedder", "hash:16"]);
    let nodes = home.vectors();
    in_store(&home, &async |store: &dyn Backend| {
        let old = store.vector_set("old").unwrap();
        old.configure(VectorConfig::new(32, Metric::Cosine)).await.unwrap();
        // The note may have got another endpoint meanwhile; it is the set that counts.
        let next =
            json!({"model": "nodestore-hash-1", "dimensions": 16, "endpoint": "http://h", "set": "v2"});
        let state = json!({"next": next, "from": "old", "keep": false}).as_object().unwrap().clone();
        store.kv().unwrap().put("nodestore", "reembed", state).await.unwrap();
    });
    assert_eq!(sets(&home).0, ["old", "v2"]);
    home.run(&["reembed", "--discard"]).exits(4).says(&["was complete", "no re-embedding to discard"]);
    assert_eq!(sets(&home), (vec!["v2".to_owned()], false));
    assert_eq!(home.vectors(), nodes);
}

#[test]
fn a_bad_endpoint_changes_nothing() {
    let home = hashed(100);
    let before = home.vectors();
    let poison = text(&before[42]);
    let refusing = Endpoint::start(move |asked| {
        if asked.texts().contains(&poison) { Reply::status(400, "too long") } else { Reply::Good(8) }
    });
    let changing = Endpoint::start(|asked| Reply::Good(if asked.number < 3 { 8 } else { 9 }));
    let run = home.with_key(&["reembed", "--embedder", &openai(&refusing)]).exits(1);
    run.says(&[
        &format!("the node {} can not be embedded", before[42].id),
        "nothing was switched",
        "text 1 of 1",
    ]);
    home.with_key(&["reembed", "--discard"]).ok().shows(&["discarded"]);
    home.with_key(&["reembed", "--discard"]).exits(4);
    home.with_key(&["reembed", "--embedder", &openai(&changing), "--no-cache"])
        .exits(1)
        .says(&["8 dimensions were expected, 9 came"]);
    assert_eq!(home.vectors(), before);
    home.run(&["search", "document"]).ok();
    home.with_key(&["reembed", "--discard"]).ok();
    assert_eq!(sets(&home), (Vec::new(), true));

    home.with_key(&["reembed"]).exits(2).says(&["what shall the vectors be made with?"]);
    let empty = Home::new();
    empty.run(&["reembed", "--embedder", "hash"]).exits(1).says(&["there is no store"]);
}

#[test]
fn vectors_of_another_program_get_an_embedder() {
    let home = Home::new();
    in_store(&home, &async |store: &dyn Backend| {
        let vectors = store.vectors().unwrap();
        vectors.configure(VectorConfig::new(2, Metric::Cosine)).await.unwrap();
        let nodes = vec![
            Node::text("hello world").with_embedding([1.0, 2.0]),
            Node::text("").with_embedding([2.0, 1.0]),
        ];
        vectors.upsert(nodes, nodestore::AddMode::Overwrite).await.unwrap();
    });
    let run: Run = home.run(&["reembed", "--embedder", "hash"]).ok();
    run.shows(&["1 node embedded", "512 values"]).says(&["1 node without text got no vector"]);
    let found = home.run(&["search", "--mode", "vector", "hello"]).ok().shows(&["hello world"]);
    assert!(!found.err.contains("another program"), "{found:?}");
}
