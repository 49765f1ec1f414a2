//! `bench`: the report, and that nothing of it stays.

use std::path::Path;

use serde_json::Value;

use crate::{Home, Run};

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Every figure is there and makes sense.
fn check_figures(report: &Value) {
    for figure in report["figures"].as_array().unwrap() {
        let number = |name: &str| figure[name].as_f64().unwrap_or_else(|| panic!("no {name}: {figure}"));
        assert!(number("per_second") > 0.0, "{figure}");
        assert!(number("items") >= 1.0 && number("calls") >= 1.0, "{figure}");
        let latency = &figure["latency_ms"];
        let order = ["min", "p1", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "p99.9", "max"];
        let times: Vec<f64> = order.iter().map(|name| latency[name].as_f64().unwrap()).collect();
        assert!(times.is_sorted() && latency["min"].as_f64() > Some(0.0), "{figure}");
        let rounds = figure["rounds"].as_array().unwrap();
        assert_eq!(rounds.len() as u64, report["rounds"].as_u64().unwrap());
        assert!(rounds.iter().all(|round| round["seconds"].as_f64().unwrap() > 0.0));
        if cfg!(target_os = "linux") {
            assert!(number("cpu_seconds") >= 0.0 && number("peak_memory_bytes") > 1e6, "{figure}");
        }
    }
}

/// Workload and part of every figure of a side.
fn parts(report: &Value, side: &str) -> Vec<(String, String)> {
    let figures = report["figures"].as_array().unwrap().iter().filter(|figure| figure["side"] == side);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    figures.map(|figure| (text(&figure["workload"]), text(&figure["part"]))).collect()
}

#[test]
fn every_workload_is_measured_and_nothing_stays() {
    let home = Home::with_documents();
    let before = home.json(&["stats"]);
    let run = home.run(&["bench", "--size", "small", "--json", "figures.json"]).ok();
    run.shows(&["D1", "p99.9", "peak MB", "R1 not measured: no reader"]).says(&["in the namespace bench"]);

    let report = read_json(&home.path().join("figures.json"));
    assert_eq!((report["backend"].as_str(), report["nodes"].as_u64()), (Some("embedded"), Some(1000)));
    assert_eq!(report["not_measured"], serde_json::json!({"R1": "no reader"}));
    check_figures(&report);
    let parts = parts(&report, "store");
    let mut names: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
    names.dedup();
    assert_eq!(
        names,
        ["D1", "D2", "D3", "D4", "C1", "C2", "C3", "V1", "V2", "V3", "T1", "K1", "K2"],
        "{parts:?}"
    );
    // The filter keeps other nodes than no filter does; both are the corpus's and so always the same.
    let answers = |workload: &str| {
        let figures = report["figures"].as_array().unwrap();
        let figure = figures.iter().find(|it| it["workload"] == workload && it["answers"].is_string());
        figure.unwrap()["answers"].as_str().unwrap().to_owned()
    };
    assert_ne!(answers("V2"), answers("V3"));

    // The documents are as before, and the store's file names no namespace of the run.
    let mut after = home.json(&["stats"]);
    after["bytes_on_disk"] = before["bytes_on_disk"].clone();
    assert_eq!(before, after);
    let namespaces: Vec<_> = walkdir(&home.path().join("kb"));
    assert!(namespaces.iter().all(|name| !name.contains("bench")), "{namespaces:?}");
}

/// The names of everything below a folder.
fn walkdir(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        names.push(entry.file_name().to_string_lossy().into_owned());
        if entry.file_type().unwrap().is_dir() {
            names.extend(walkdir(&entry.path()));
        }
    }
    names
}

#[test]
fn a_folder_made_for_the_run_goes_with_it() {
    let home = Home::new();
    home.run(&["bench", "--size", "small", "--workload", "C1"]).ok().shows(&["C1", "append"]);
    assert!(!home.path().join("kb").exists());
    // Without a store: one under the data directory.
    let run = Run::of(&mut home.command(&["bench", "--size", "small", "--workload", "c1,c2"])).ok();
    run.shows(&["C1", "C2"]);
    assert_eq!(walkdir(&home.path().join("data")), ["nodestore"]);
}

#[test]
fn the_memory_store_is_measured_too_and_finds_the_same() {
    let home = Home::new();
    let answers = |store: &str| {
        let run =
            ["--store", store, "bench", "--size", "small", "--workload", "V2", "--json", "figures.json"];
        Run::of(&mut home.command(&run)).ok();
        let report = read_json(&home.path().join("figures.json"));
        check_figures(&report);
        let figures = report["figures"].as_array().unwrap();
        figures.iter().find_map(|figure| figure["answers"].as_str().map(str::to_owned)).unwrap()
    };
    assert_eq!(answers("memory:"), answers("kb"));
}

#[test]
fn the_bare_driver_takes_turns() {
    let home = Home::new();
    let run = [
        "bench",
        "--size",
        "small",
        "--workload",
        "D1,D2,K1,C1,C2",
        "--reference",
        "driver",
        "--repeat",
        "2",
        "--json",
        "f.json",
    ];
    home.run(&run).ok().shows(&["redb, bare", "store / driver"]).says(&["round 2 of 2"]);
    let report = read_json(&home.path().join("f.json"));
    check_figures(&report);
    assert_eq!(parts(&report, "store"), parts(&report, "redb"));
    let none = ["--store", "memory:", "bench", "--size", "small", "--reference", "driver"];
    Run::of(&mut home.command(&none)).exits(1).says(&["no bare driver", "memory", "leave --reference out"]);
}

#[test]
fn what_can_not_be_meant_is_refused_before_anything_is_written() {
    let home = Home::new();
    let run = home.run(&["bench", "--workload", "D1,X9"]).exits(2);
    run.says(&["X9", "D1, D2, D3, D4, C1, C2, C3, V1, V2, V3, T1, R1, K1, K2"]);
    home.run(&["bench", "--namespace", "mine"]).exits(2).says(&["a namespace of its own"]);
    home.run(&["bench", "--json", "no/folder.json"]).exits(1).says(&["no/folder.json can not be written"]);
    assert!(!home.path().join("kb").exists());
}

#[test]
fn the_corpus_is_written_the_same_again() {
    let home = Home::new();
    let lines = |folder: &str, seed: &str| {
        home.run(&["bench", "--size", "small", "--seed", seed, "--write-corpus", folder]).ok();
        let read = |name: &str| std::fs::read_to_string(home.path().join(folder).join(name)).unwrap();
        ["nodes.jsonl", "queries.jsonl", "messages.jsonl"].map(read)
    };
    let first = lines("a", "1");
    assert_eq!(first.each_ref().map(|text| text.lines().count()), [1000, 100, 20_100]);
    assert!(first == lines("b", "1"));
    assert!(first != lines("c", "2"));
    let node: Value = serde_json::from_str(first[0].lines().next().unwrap()).unwrap();
    assert_eq!(node["__data__"]["embedding"].as_array().unwrap().len(), 384);
}

/// Ctrl-C in the middle: the namespace goes all the same.
#[cfg(target_os = "linux")]
#[test]
fn a_stopped_run_removes_what_it_wrote() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let home = Home::new();
    let mut command = home.command(&["--store", "kb", "bench", "--size", "large"]);
    let mut program = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(program.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("in the namespace bench"), "{line}");
    // It is at work now, for minutes yet.
    let stopped = Command::new("kill").args(["-INT", &program.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    assert_eq!(program.wait().unwrap().code(), Some(130));
    assert!(!home.path().join("kb").exists());
}
