//! `import` and `export`.

use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::{Home, Run};

/// Writes a folder as Python does, of so many nodes with vectors of so many values.
pub(crate) fn write_folder(folder: &Path, nodes: usize, dimensions: usize) {
    fs::create_dir_all(folder).unwrap();
    let file = |name: &str| BufWriter::new(fs::File::create(folder.join(name)).unwrap());
    let comma = |at: usize| if at == 0 { "" } else { ", " };
    let mut docs = file("docstore.json");
    write!(docs, "{{\"docstore/data\": {{").unwrap();
    for at in 0..nodes {
        let source = json!({"node_id": format!("document {}", at / 10), "node_type": "4", "metadata": {}, "hash": null,
            "class_name": "RelatedNodeInfo"});
        let data = json!({"id_": format!("node {at}"), "embedding": null, "metadata": {"number": at},
            "relationships": {"1": source}, "text": format!("wine number {at} {}", "grows here ".repeat(30)),
            "class_name": "TextNode"});
        let node = json!({"__data__": data, "__type__": "1"});
        write!(docs, "{}\"node {at}\": {node}", comma(at)).unwrap();
    }
    write!(docs, "}}, \"docstore/metadata\": {{").unwrap();
    for at in 0..nodes {
        let entry = json!({"doc_hash": format!("{at:064}"), "ref_doc_id": format!("document {}", at / 10)});
        write!(docs, "{}\"node {at}\": {entry}", comma(at)).unwrap();
    }
    write!(docs, "}}, \"docstore/ref_doc_info\": {{").unwrap();
    for document in 0..nodes.div_ceil(10) {
        let ids: Vec<String> =
            (document * 10..nodes.min(document * 10 + 10)).map(|at| format!("node {at}")).collect();
        let info = json!({"node_ids": ids, "metadata": {"number": document * 10}});
        write!(docs, "{}\"document {document}\": {info}", comma(document)).unwrap();
    }
    write!(docs, "}}}}").unwrap();
    docs.flush().unwrap();

    let mut vectors = file("default__vector_store.json");
    let mut random = 1_u32;
    write!(vectors, "{{\"embedding_dict\": {{").unwrap();
    for at in 0..nodes {
        write!(vectors, "{}\"node {at}\": [", comma(at)).unwrap();
        for place in 0..dimensions {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // 24 bits, so a float of 32 bits holds it.
            let value = f64::from(random >> 8) / f64::from(1 << 23) - 1.0;
            write!(vectors, "{}{value:?}", comma(place)).unwrap();
        }
        write!(vectors, "]").unwrap();
    }
    write!(vectors, "}}, \"text_id_to_ref_doc_id\": {{").unwrap();
    for at in 0..nodes {
        write!(vectors, "{}\"node {at}\": \"document {}\"", comma(at), at / 10).unwrap();
    }
    write!(vectors, "}}, \"metadata_dict\": {{").unwrap();
    for at in 0..nodes {
        write!(vectors, "{}\"node {at}\": {{\"number\": {at}, \"_node_type\": \"TextNode\"}}", comma(at))
            .unwrap();
    }
    write!(vectors, "}}}}").unwrap();
    vectors.flush().unwrap();
    fs::write(folder.join("index_store.json"), "{\"index_store/data\": {}}").unwrap();
    fs::write(folder.join("graph_store.json"), "{\"graph_dict\": {}}").unwrap();
}

pub(crate) fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_folder_is_checked_imported_searched_and_exported() {
    let home = Home::new();
    write_folder(&home.path().join("storage"), 25, 8);
    let run = home.run(&["import", "storage", "--dry-run"]).ok();
    run.shows(&["25 nodes in storage", "nothing was written", "25 vectors of 8 values"]).says(&["no store"]);
    assert!(!home.path().join("kb").exists(), "a dry run makes no store");

    let run = home.run(&["import", "storage"]).ok();
    run.shows(&[
        "25 nodes from storage into ",
        "3 source documents",
        "1 file kept as they are: graph_store.json",
    ])
    .says(&["--mode text"]);
    home.run(&["search", "wine 7", "--mode", "text"]).ok().shows(&["document 0", "wine number 7"]);
    home.run(&["import", "storage", "--dry-run"]).ok();
    home.run(&["import", "storage"]).ok().says(&["the store was not empty"]);

    let run = home.run(&["export", "out"]).ok();
    run.shows(&["25 nodes and 25 vectors from ", "the index struct \"nodestore\" was made"]);
    home.run(&["export", "out"]).exits(1).says(&["out is not empty", "--force"]);
    home.run(&["export", "out", "--force"]).ok();
    // The export is imported into another store, and comes out of it the same.
    let other = |arguments: &[&str]| Run::of(home.command(arguments).env("NODESTORE_URL", "other")).ok();
    other(&["import", "out"]);
    other(&["export", "again"]);
    assert_eq!(files(&home.path().join("again")), files(&home.path().join("out")));
}

#[test]
fn reports_for_programs_are_whole() {
    let home = Home::new();
    write_folder(&home.path().join("storage"), 12, 4);
    let checked = home.json(&["import", "storage", "--dry-run"]);
    assert_eq!(
        (&checked["dry_run"], &checked["store"], &checked["nodes"]),
        (&json!(true), &json!(null), &json!(12))
    );
    let imported = home.json(&["import", "storage"]);
    assert_eq!(imported["dry_run"], json!(false));
    assert_eq!(imported["vectors_written"], json!(12));
    assert_eq!(imported["vectors_without_node"], json!(0));
    assert_eq!(imported["source_documents"], json!(2));
    assert_eq!(imported["vectors"][0]["dimensions"], json!(4));
    assert_eq!(imported["kept_files"], json!(["graph_store.json"]));
    let exported = home.json(&["export", "out"]);
    assert_eq!((&exported["vectors"], &exported["index_made"]), (&json!(12), &json!("nodestore")));
    assert_eq!(exported["files"].as_array().unwrap().len(), files(&home.path().join("out")).len());
    let bytes: usize = files(&home.path().join("out")).iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(exported["bytes"], json!(bytes));
}

#[test]
fn a_broken_folder_changes_nothing_and_says_where() {
    let home = Home::new();
    let folder = home.path().join("storage");
    write_folder(&folder, 20, 4);
    let vectors = fs::read(folder.join("default__vector_store.json")).unwrap();
    fs::write(folder.join("default__vector_store.json"), vectors.get(..vectors.len() / 2).unwrap()).unwrap();
    let place = format!("error: storage/default__vector_store.json:1:{}: ", vectors.len() / 2 + 1);
    let run = home.run(&["import", "storage"]).exits(1);
    run.says(&[&place, "it was cut short", "help: nothing was imported"]);
    assert!(!home.path().join("kb").exists());

    home.run(&["import", "nope"]).exits(1).says(&["error: nope does not exist"]);
    fs::create_dir(home.path().join("empty")).unwrap();
    let run = home.run(&["import", "empty"]).exits(1);
    run.says(&[
        "empty is no folder that LlamaIndex persisted",
        "docstore.json",
        "default__vector_store.json",
    ]);
}

#[test]
fn other_dimensions_than_the_stores_are_refused() {
    let home = Home::with_documents();
    write_folder(&home.path().join("storage"), 20, 4);
    for extra in [&["--dry-run"][..], &[]] {
        let run = home.run(&[&["import", "storage"], extra].concat()).exits(1);
        run.says(&["has 4 values, but the store holds vectors of 512", "--namespace"]);
    }
    home.run(&["search", "wine", "--mode", "text"]).exits(4);
}

#[test]
fn an_embedder_is_noted_for_searching() {
    let home = Home::new();
    write_folder(&home.path().join("storage"), 20, 4);
    let run = home.run(&["import", "storage", "--embedder", "hash:8"]).exits(1);
    run.says(&["the vectors of the folder have 4 values, and those of nodestore-hash-1 have 8"]);
    home.run(&["import", "storage"]).ok().says(&["import with --embedder"]);
    home.run(&["search", "wine"]).ok().says(&["another program filled this store"]);
    home.run(&["import", "storage", "--embedder", "hash"]).ok();
    let run = home.run(&["search", "wine"]).ok();
    assert!(!run.err.contains("another program"), "{run:?}");
}

/// Kills the program again and again, a little later each time, until it comes to its end.
#[test]
fn a_killed_import_is_completed_by_the_next() {
    let home = Home::new();
    write_folder(&home.path().join("storage"), 800, 16);
    let undisturbed =
        |arguments: &[&str]| Run::of(home.command(arguments).env("NODESTORE_URL", "whole")).ok();
    undisturbed(&["import", "storage"]);
    undisturbed(&["export", "expected"]);
    let mut killed = 0;
    for round in 1_u32.. {
        let mut import = start(&home, &["import", "storage"]);
        let end = Instant::now() + Duration::from_millis(150) * round;
        while Instant::now() < end && import.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        import.kill().unwrap();
        if import.wait().unwrap().success() {
            break;
        }
        killed += 1;
    }
    assert!(killed > 0, "it was killed at least once");
    home.run(&["export", "out"]).ok();
    assert_eq!(files(&home.path().join("out")), files(&home.path().join("expected")));
}

fn start(home: &Home, arguments: &[&str]) -> Child {
    let mut command = home.command(arguments);
    command.env("NODESTORE_URL", "kb").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[cfg(unix)]
#[test]
fn an_import_that_is_asked_to_stop_says_how_to_go_on() {
    let home = Home::new();
    write_folder(&home.path().join("storage"), 6000, 64);
    let import = start(&home, &["import", "storage"]);
    // The store is there as soon as the folder was checked and the writing begins.
    while !home.path().join("kb/store.redb").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(100));
    let killed =
        std::process::Command::new("kill").args(["-INT", &import.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = import.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("the same command again completes it"), "{said}");
    home.run(&["import", "storage"]).ok().shows(&["6,000 nodes"]);
}

/// The most memory of a run, and the bytes of the largest file it read or wrote.
#[cfg(target_os = "linux")]
fn peak(home: &Home, arguments: &[&str]) -> u64 {
    let mut child = start(home, arguments);
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).map_or(0, |kib| kib.parse().unwrap());
        most = most.max(kib << 10);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(child.wait().unwrap().success());
    assert!(most > 0, "the memory was seen");
    most
}

/// With `STORE_TEST_SOAK` the folder has some 350 MB, else 45.
#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_folder_soak() {
    let (small, large) =
        if std::env::var_os("STORE_TEST_SOAK").is_some() { (2_000, 20_000) } else { (800, 2_600) };
    let mut peaks = Vec::new();
    for nodes in [small, large] {
        let home = Home::new();
        write_folder(&home.path().join("storage"), nodes, 768);
        let import = peak(&home, &["import", "storage"]);
        let export = peak(&home, &["export", "out"]);
        let bytes: u64 =
            files(&home.path().join("storage")).iter().map(|(_, bytes)| bytes.len() as u64).sum();
        peaks.push((nodes, bytes, import, export));
    }
    let [(_, few_bytes, few_import, few_export), (_, many_bytes, many_import, many_export)] =
        peaks.as_slice()
    else {
        panic!("two runs");
    };
    let more = many_bytes - few_bytes;
    assert!(more > 25 << 20, "{peaks:?}");
    // The embedded store keeps the vectors it searches in memory: 4 bytes a value, of the 19 in the file.
    assert!(many_import.saturating_sub(*few_import) < more / 2, "{peaks:?}");
    assert!(many_export.saturating_sub(*few_export) < more / 2, "{peaks:?}");
}
