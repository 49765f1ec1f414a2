//! Our side of the vector benchmark. `benches/run vectors` drives it, in turns with its peers.
//!
//! `vectors make FILE ROWS DIMENSIONS QUERIES` writes that many random unit vectors as little-endian `f32`, the
//! rows first. `vectors serve FILE ROWS DIMENSIONS QUERIES` loads them, then answers each line on standard input
//! with one line of JSON, `{"ms": […], "ids": [[…]…]}`: `read COUNT`, `single METRIC COUNT`, `batch METRIC COUNT`.

use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufWriter, Read, Write, stdin, stdout};
use std::path::Path;
use std::time::Instant;

use serde_json::json;
use store_core::kit::similarity::Metric;
use store_core::kit::vector_search::{ScoredRow, Search};
use store_core::kit::vector_table::{VectorSnapshot, VectorTable};

const TOP: usize = 10;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    // cargo bench adds --bench.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["make", file, rows, dimensions, queries] => {
            make(Path::new(file), rows.parse::<usize>()? + queries.parse::<usize>()?, dimensions.parse()?)
        }
        ["serve", file, rows, dimensions, queries] => {
            serve(&Data::load(Path::new(file), rows.parse()?, dimensions.parse()?, queries.parse()?)?)
        }
        _ => {
            println!("This is one half of a benchmark; run benches/run vectors.");
            Ok(())
        }
    }
}

struct Data {
    // The rows once more, in one piece, for the plain read.
    plain: Vec<f32>,
    queries: Vec<f32>,
    dimensions: usize,
    table: VectorSnapshot,
}

impl Data {
    fn load(file: &Path, rows: usize, dimensions: usize, queries: usize) -> Outcome<Self> {
        let mut bytes = Vec::new();
        File::open(file)?.read_to_end(&mut bytes)?;
        let (values, _) = bytes.as_chunks::<4>();
        let mut plain: Vec<f32> = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
        if plain.len() != (rows + queries) * dimensions {
            return Err("the file has another size".into());
        }
        let queries = plain.split_off(rows * dimensions);
        let mut table = VectorTable::new(dimensions);
        for row in plain.chunks_exact(dimensions) {
            table.insert(row)?;
        }
        Ok(Self { plain, queries, dimensions, table: table.snapshot() })
    }

    fn queries(&self) -> Vec<&[f32]> {
        self.queries.chunks_exact(self.dimensions).collect()
    }
}

fn serve(data: &Data) -> Outcome<()> {
    println!("{}", json!({"ready": true}));
    for line in stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match words.as_slice() {
            ["read", count] => {
                let (ms, sums) = timed(0..count.parse()?, |_: usize| Ok(read(&data.plain)))?;
                black_box(sums);
                json!({"ms": ms})
            }
            ["single", metric, count] => {
                let search = Search::new(metric.parse()?, TOP);
                let queries = data.queries().into_iter().take(count.parse()?);
                let (ms, found) =
                    timed(queries, |query| Ok(data.table.search(query, &search, |a, b| a.cmp(&b))?))?;
                json!({"ms": ms, "ids": ids(&found)})
            }
            ["batch", metric, count] => {
                let search = Search::new(metric.parse::<Metric>()?, TOP);
                let queries = data.queries();
                let (ms, mut found) = timed(0..count.parse()?, |_: usize| {
                    Ok(data.table.search_batch(&queries, &search, |a, b| a.cmp(&b))?)
                })?;
                json!({"ms": ms, "ids": ids(&found.pop().unwrap_or_default())})
            }
            _ => return Err(format!("unknown command: {line}").into()),
        };
        println!("{answer}");
        stdout().flush()?;
    }
    Ok(())
}

fn timed<T, R>(
    items: impl Iterator<Item = T>,
    mut run: impl FnMut(T) -> Outcome<R>,
) -> Outcome<(Vec<f64>, Vec<R>)> {
    let (mut ms, mut results) = (Vec::new(), Vec::new());
    for item in items {
        let start = Instant::now();
        results.push(run(item)?);
        ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok((ms, results))
}

fn ids(found: &[Vec<ScoredRow>]) -> Vec<Vec<u32>> {
    found.iter().map(|found| found.iter().map(|found| found.row).collect()).collect()
}

/// Reads every byte once and does as little with it as the compiler lets pass: one addition.
fn read(values: &[f32]) -> u32 {
    const LANES: usize = 64;
    let mut sums = [0_u32; LANES];
    for values in black_box(values).as_chunks::<LANES>().0 {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum = sum.wrapping_add(value.to_bits());
        }
    }
    sums.into_iter().fold(0, u32::wrapping_add)
}

fn make(file: &Path, vectors: usize, dimensions: usize) -> Outcome<()> {
    let mut out = BufWriter::new(File::create(file)?);
    let mut random = Random(1);
    let mut vector = vec![0.0; dimensions];
    for _ in 0..vectors {
        for value in &mut vector {
            *value = random.normal();
        }
        let norm = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
        for value in &vector {
            #[allow(clippy::cast_possible_truncation)] // The file holds f32.
            out.write_all(&((value / norm) as f32).to_le_bytes())?;
        }
    }
    out.flush()?;
    Ok(())
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Normal by the central limit: near enough for directions.
    fn normal(&mut self) -> f64 {
        (0..4).map(|_| self.uniform() - 0.5).sum()
    }
}
