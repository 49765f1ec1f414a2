//! `ingest` that is killed or stopped on its way, and run again.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use futures::TryStreamExt;
use nodestore::{
    Backend, Embedder, GetOptions, HashEmbedder, JsonObject, Node, Selector, VectorQuery, VectorStoreExt,
};
use serde_json::{Value, json};

use crate::{Home, Run};

const KILLS: usize = 5;

/// Numbers that a seed decides (splitmix64).
struct Random(u64);

impl Random {
    /// `STORE_TEST_SEED`, or else one that differs from run to run.
    fn new() -> Self {
        let set = std::env::var("STORE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seed = set.unwrap_or(now.as_secs());
        println!("STORE_TEST_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn words(&mut self, count: u64) -> String {
        let mut text = String::new();
        for place in 0..count {
            let end = if place % 12 == 11 { ".\n\n" } else { " " };
            write!(text, "w{}{end}", self.below(400)).unwrap();
        }
        text
    }
}

fn is_soak() -> bool {
    std::env::var_os("STORE_TEST_SOAK").is_some()
}

/// Writes the files of a tree: most are new texts, some are rows.
fn write_tree(home: &Home, random: &mut Random, files: usize) {
    for n in 0..files {
        let folder = n % 7;
        let words = 20 + random.below(400);
        match n % 20 {
            0 => {
                let rows =
                    (0..10).map(|row| json!({"id": row, "text": random.words(30), "row": row}).to_string());
                let rows: Vec<String> = rows.collect();
                home.write(&format!("tree/{folder}/{n}.jsonl"), rows.join("\n"));
            }
            1 => {
                home.write(
                    &format!("tree/{folder}/{n}.md"),
                    format!("---\nn: {n}\n---\n# T{n}\n\n{}", random.words(words)),
                );
            }
            _ => {
                home.write(&format!("tree/{folder}/{n}.txt"), random.words(words));
            }
        }
    }
}

/// All that a store holds, and what it answers.
#[derive(Debug, PartialEq)]
struct State {
    documents: Vec<JsonObject>,
    hashes: Vec<(String, String)>,
    ref_docs: Vec<(String, Vec<String>, JsonObject)>,
    vectors: Vec<JsonObject>,
    answers: Vec<(String, Vec<(String, f64)>)>,
}

async fn state(store: &dyn Backend) -> State {
    let docs = store.docs().unwrap();
    let nodes: Vec<Node> = docs.scan(None).try_collect().await.unwrap();
    let hashes: Vec<_> = docs.scan_hashes(None).try_collect().await.unwrap();
    let ref_docs: Vec<_> = docs.scan_ref_docs(None).try_collect().await.unwrap();
    let vectors = store.vectors().unwrap();
    let options = GetOptions::default().with_embeddings(true);
    let mut held = vectors.get(&Selector::all(), options).await.unwrap().items;
    held.sort_by(|a, b| a.id.cmp(&b.id));
    let embedder = HashEmbedder::new(vectors.config().await.unwrap().unwrap().dimensions).unwrap();
    let mut answers = Vec::new();
    for question in ["w1 w2 w3", "w17", "w300 w301"] {
        let embedding = embedder.embed(&[question]).await.unwrap().remove(0);
        for query in [VectorQuery::dense(embedding, 10), VectorQuery::text(question, 10)] {
            let found = vectors.query(&query).await.unwrap();
            let found = found.into_iter().map(|hit| (hit.node.id.to_string(), hit.score));
            answers.push((question.to_owned(), found.collect()));
        }
    }
    State {
        documents: nodes.iter().map(Node::to_json).collect(),
        hashes: hashes.into_iter().map(|(id, hash)| (id.to_string(), hash)).collect(),
        ref_docs: ref_docs
            .into_iter()
            .map(|(id, info)| {
                (id.to_string(), info.node_ids.iter().map(ToString::to_string).collect(), info.metadata)
            })
            .collect(),
        vectors: held.iter().map(Node::to_json).collect(),
        answers,
    }
}

fn state_of(folder: &Path) -> State {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = nodestore::open(&nodestore::embedded_url(folder)).await.unwrap();
        let state = state(&*store).await;
        store.close().await.unwrap();
        state
    })
}

fn ingest(home: &Home, store: &str, more: &[&str]) -> Command {
    let mut arguments = vec!["ingest", "tree", "--prune", "--json"];
    arguments.extend(more);
    let mut command = home.command(&arguments);
    command.env("NODESTORE_URL", store).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_crash_five_times_on_the_way_leaves_no_trace() {
    let mut random = Random::new();
    let home = Home::new();
    write_tree(&home, &mut random, if is_soak() { 3000 } else { 200 });
    let start = Instant::now();
    Run::of(&mut ingest(&home, "whole", &[])).ok();
    let whole = start.elapsed();

    let mut kills = 0;
    for round in 0..50 {
        // Now and then all is written again over what is there.
        let more: &[&str] = if round >= KILLS || random.below(3) == 0 { &["--rewrite"] } else { &[] };
        let mut child = ingest(&home, "killed", more).spawn().unwrap();
        std::thread::sleep(whole * u32::try_from(3 + random.below(35)).unwrap() / 100);
        kills += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        if kills == KILLS {
            break;
        }
    }
    assert_eq!(kills, KILLS, "it was done before it could be killed");
    Run::of(&mut ingest(&home, "killed", &[])).ok();
    let report: Value = serde_json::from_str(&Run::of(&mut ingest(&home, "killed", &[])).ok().out).unwrap();
    assert_eq!((&report["added"], &report["changed"]), (&json!(0), &json!(0)), "{report}");

    let (whole, killed) = (state_of(&home.path().join("whole")), state_of(&home.path().join("killed")));
    assert_eq!(killed.documents, whole.documents);
    assert_eq!(killed.hashes, whole.hashes);
    assert_eq!(killed.ref_docs, whole.ref_docs);
    assert_eq!(killed.vectors, whole.vectors);
    assert_eq!(killed.answers, whole.answers);
    assert!(whole.answers.iter().all(|(_, found)| !found.is_empty()));
}

#[cfg(unix)]
fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

#[cfg(unix)]
#[test]
fn an_interrupt_stops_cleanly_and_the_next_run_goes_on() {
    let home = Home::new();
    let arguments = ["ingest", "-", "--format", "jsonl", "--id", "feed"];
    let mut command = home.command(&arguments);
    command.env("NODESTORE_URL", "kb").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let rows: Vec<String> = (1..=400).map(|n| format!("{{\"text\":\"row {n}\"}}\n")).collect();
    for row in &rows[..300] {
        input.write_all(row.as_bytes()).unwrap();
    }
    input.write_all(b"no row\n").unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let named = said.by_ref().map(Result::unwrap).find(|line| line.contains("skipped standard input:301"));
    assert!(named.is_some());
    // The input stays open: only the interrupt ends the run.
    interrupt(&child);
    let said: Vec<String> = said.map(Result::unwrap).collect();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{said:?}");
    assert!(said.iter().any(|line| line.starts_with("stopped; what is written is complete")), "{said:?}");
    drop(input);

    let input = home.write("rows", rows.concat());
    let file = std::fs::File::open(input).unwrap();
    let run = Run::of(home.command(&arguments).env("NODESTORE_URL", "kb").stdin(file)).ok();
    let words: Vec<&str> = run.out.split_whitespace().collect();
    let number = |word: &str| {
        let place = words.iter().position(|at| at.trim_end_matches(',') == word).unwrap();
        words[place - 1].parse::<usize>().unwrap()
    };
    assert_eq!((number("new") + number("unchanged"), number("changed")), (400, 0), "{run:?}");
    // Row 301 is read when one of two batches is written.
    assert!(number("unchanged") > 0, "what was written before the interrupt is there: {run:?}");
    home.run(&["search", "row", "--mode", "text"]).ok();
}
