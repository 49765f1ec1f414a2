//! How long the embedded store takes to open: `benches/run embedded [--check]`.
//!
//! A store of 100,000 nodes with embeddings, from `open` to its first answers. What it does in a second is measured
//! by the program: `benches/run program`.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use store_core::{
    AddMode, Backend, Metric, Node, Selector, VectorConfig, VectorQuery, VectorStoreExt, filter::field,
};
use store_embedded::{EmbeddedBackend, EmbeddedConfig};

const NODES: usize = 100_000;
const DIMENSIONS: usize = 384;
const CACHE: usize = 64 << 20;

/// Milliseconds to open, at most.
const OPEN_GOAL: f64 = 1000.0;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    // A test run (`cargo test --benches`) only builds this.
    if !std::env::args().any(|argument| argument == "--run") {
        println!("This takes a few minutes; run benches/run embedded.");
        return Ok(());
    }
    let check = std::env::args().any(|argument| argument == "--check");
    let runtime = tokio::runtime::Runtime::new()?;
    let folder = tempfile::tempdir_in(".")?;
    let open = runtime.block_on(open(&folder.path().join("nodes")))?;
    if check && open > OPEN_GOAL {
        return Err("the goal was missed".into());
    }
    Ok(())
}

/// Pseudo-random numbers, the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn text(&mut self, bytes: usize) -> String {
        let letters = |mut bits: u64| {
            std::iter::repeat_with(move || {
                let letter = char::from(b'a' + u8::try_from(bits % 26).unwrap_or_default());
                bits /= 26;
                letter
            })
            .take(8)
        };
        (0..bytes.div_ceil(8)).flat_map(|_| letters(self.next())).take(bytes).collect()
    }
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

fn nodes(from: usize, to: usize, random: &mut Random) -> Vec<Node> {
    (from..to)
        .map(|place| {
            let embedding: Vec<f32> = (0..DIMENSIONS)
                .map(|_| f32::from(u16::try_from(random.next() >> 48).unwrap_or_default()) - 32767.5)
                .collect();
            let words: Vec<String> = (0..150).map(|_| random.text(6)).collect();
            Node::text(words.join(" "))
                .with_id(format!("node-{place:06}"))
                .with_source(format!("document-{:05}", place / 20))
                .with_metadata("group", format!("group-{:02}", place % 100))
                .with_metadata("title", random.text(20))
                .with_metadata("author", random.text(10))
                .with_metadata("page", place)
                .with_metadata("year", 1990 + place % 35)
                .with_metadata("score", json!(place % 1000).as_f64().unwrap_or_default() / 1000.0)
                .with_metadata("weight", 0.5)
                .with_metadata("public", place % 2 == 0)
                .with_embedding(embedding)
        })
        .collect()
}

async fn open(folder: &Path) -> Outcome<f64> {
    let config = EmbeddedConfig::new(folder).with_cache_bytes(CACHE);
    let store = EmbeddedBackend::open(config.clone()).await?;
    let vectors = store.vectors()?;
    vectors.configure(VectorConfig::new(DIMENSIONS, Metric::Cosine)).await?;
    let mut random = Random(42);
    let mut writing = Duration::ZERO;
    for from in (0..NODES).step_by(1000) {
        let nodes = nodes(from, from + 1000, &mut random);
        let start = Instant::now();
        vectors.upsert(nodes, AddMode::Overwrite).await?;
        writing += start.elapsed();
    }
    let start = Instant::now();
    vectors.query(&VectorQuery::text("nothing", 1)).await?;
    let indexing = start.elapsed();
    drop(vectors);
    store.close().await?;
    println!("{NODES} nodes of 1 KB text, 8 metadata fields, {DIMENSIONS} dimensions:");
    println!(
        "  written durably in batches of 1,000: {:.1} s, the last words indexed in {:.1} s",
        writing.as_secs_f64(),
        indexing.as_secs_f64()
    );
    let embedding = nodes(0, 1, &mut random).pop().and_then(|node| node.embedding_f32()).unwrap_or_default();
    let mut opened = Vec::new();
    let mut firsts = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..5 {
        let start = Instant::now();
        let store = EmbeddedBackend::open(config.clone()).await?;
        let vectors = store.vectors()?;
        vectors.count(&Selector::all()).await?;
        opened.push(start.elapsed());
        let group = field("group").eq("group-42");
        let queries = [
            VectorQuery::dense(embedding.clone(), 10),
            VectorQuery::dense(embedding.clone(), 10),
            VectorQuery::dense(embedding.clone(), 10).with_selector(group),
            VectorQuery::text(random.text(6), 10),
        ];
        for (query, times) in queries.iter().zip(&mut firsts) {
            let start = Instant::now();
            vectors.query(query).await?;
            times.push(start.elapsed());
        }
        drop(vectors);
        store.close().await?;
    }
    let open = median(&mut opened);
    println!("  open and count: {open:.1} ms (goal {OPEN_GOAL:.0})");
    let names = [
        "first vector search (reads the vectors)",
        "next vector search",
        "with a filter that keeps 1 %",
        "text search",
    ];
    for (name, times) in names.iter().zip(&mut firsts) {
        println!("  {name}: {:.1} ms", median(times));
    }
    Ok(open)
}
