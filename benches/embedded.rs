//! The embedded store against its engine, bare: `benches/run embedded [--check]`.
//!
//! Puts: values of 1 KB (random text, so that nothing shrinks) in durable batches of 100, ours by `put_many`, the
//! engine's by one transaction a batch, with the same durability and cache; both take turns on one disk, odd rounds
//! in reverse order. Open: a store of 100,000 nodes with embeddings, from `open` to its first answers.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use redb::{Database, TableDefinition};
use serde_json::{Value, json};
use store_core::{
    AddMode, Backend, JsonObject, Metric, Node, PutOptions, Selector, VectorConfig, VectorQuery,
    VectorStoreExt, filter::field,
};
use store_embedded::{EmbeddedBackend, EmbeddedConfig};

const VALUES: usize = 20_000;
const BATCH: usize = 100;
const ROUNDS: usize = 7;
const NODES: usize = 100_000;
const DIMENSIONS: usize = 384;
const CACHE: usize = 64 << 20;
const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("kv");

/// Our throughput over the engine's, at least.
const PUT_GOAL: f64 = 0.9;
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
    let puts = runtime.block_on(puts(folder.path()))?;
    let open = runtime.block_on(open(&folder.path().join("nodes")))?;
    if check && (puts < PUT_GOAL || open > OPEN_GOAL) {
        return Err("a goal was missed".into());
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

fn batches(random: &mut Random) -> Vec<Vec<(String, JsonObject)>> {
    let entry = |place: usize, random: &mut Random| {
        // Keys in no order, as ids are.
        let key = format!("{:016x}{place:06}", random.next());
        let mut value = JsonObject::new();
        value.insert("text".into(), Value::String(random.text(1000)));
        (key, value)
    };
    let entries: Vec<_> = (0..VALUES).map(|place| entry(place, random)).collect();
    entries.chunks(BATCH).map(<[_]>::to_vec).collect()
}

async fn put_ours(folder: &Path, batches: Vec<Vec<(String, JsonObject)>>) -> Outcome<Duration> {
    let config = EmbeddedConfig::new(folder).with_cache_bytes(CACHE);
    let store = EmbeddedBackend::open(config).await?;
    let kv = store.kv()?;
    let start = Instant::now();
    for batch in batches {
        kv.put_many("values", batch, PutOptions::default()).await?;
    }
    let taken = start.elapsed();
    store.close().await?;
    Ok(taken)
}

fn put_bare(folder: &Path, batches: &[Vec<(String, JsonObject)>]) -> Outcome<Duration> {
    std::fs::create_dir_all(folder)?;
    let file = Database::builder().set_cache_size(CACHE).create(folder.join("bare.redb"))?;
    let start = Instant::now();
    for batch in batches {
        let mut transaction = file.begin_write()?;
        transaction.set_quick_repair(true);
        {
            let mut table = transaction.open_table(TABLE)?;
            for (key, value) in batch {
                table.insert(key.as_bytes(), serde_json::to_vec(value)?.as_slice())?;
            }
        }
        transaction.commit()?;
    }
    Ok(start.elapsed())
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

async fn puts(folder: &Path) -> Outcome<f64> {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let batches = batches(&mut Random(round as u64 + 1));
        let (our_folder, bare_folder) = (folder.join("ours"), folder.join("bare"));
        if round % 2 == 0 {
            bare.push(put_bare(&bare_folder, &batches)?);
            ours.push(put_ours(&our_folder, batches).await?);
        } else {
            ours.push(put_ours(&our_folder, batches.clone()).await?);
            bare.push(put_bare(&bare_folder, &batches)?);
        }
        for folder in [our_folder, bare_folder] {
            std::fs::remove_dir_all(folder)?;
        }
    }
    let (ours, bare) = (median(&mut ours), median(&mut bare));
    let ratio = bare / ours;
    println!("puts of 1 KB values, durable batches of {BATCH}, {VALUES} values, median of {ROUNDS} rounds:");
    println!("  store-embedded {ours:8.0} ms   {:8.0} values/s", VALUES as f64 / ours * 1e3);
    println!("  redb, bare     {bare:8.0} ms   {:8.0} values/s", VALUES as f64 / bare * 1e3);
    println!("  throughput ours / bare {ratio:.2} (goal {PUT_GOAL})");
    Ok(ratio)
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
    println!("\n{NODES} nodes of 1 KB text, 8 metadata fields, {DIMENSIONS} dimensions:");
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
