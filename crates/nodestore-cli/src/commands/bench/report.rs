//! The report: a table for people, JSON for programs.

use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table};
use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::corpus::Corpus;
use super::measure::{Measured, forget_peak_memory};
use super::workload::Workload;
use super::{Bench, Size};
use crate::failure::Failure;
use crate::output::{FAINT, STRONG, print, print_table, table, thousands};
use crate::store::Store;

/// The percentiles of the table.
const SHOWN: [f64; 4] = [50.0, 90.0, 99.0, 99.9];
/// The percentiles of the JSON.
const PERCENTILES: [f64; 9] = [1.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9];

/// One part of a workload on one side, over all rounds.
#[derive(Debug)]
struct Row {
    /// The bare driver's name; `None` is the store.
    driver: Option<&'static str>,
    rounds: Vec<Measured>,
    /// The latencies of all rounds.
    calls: Histogram<u64>,
}

/// All figures of a run.
#[derive(Debug)]
pub(super) struct Report {
    store: String,
    backend: &'static str,
    size: Size,
    corpus: Corpus,
    batch: u32,
    repeat: u32,
    reference: Option<&'static str>,
    rows: Vec<Row>,
    skipped: Vec<(Workload, &'static str)>,
}

impl Report {
    pub(super) fn new(
        options: &Bench,
        corpus: Corpus,
        store: &Store,
        reference: Option<&'static str>,
        skipped: Vec<(Workload, &'static str)>,
    ) -> Self {
        Self {
            store: store.shown.clone(),
            backend: store.backend.name(),
            size: options.size,
            corpus,
            batch: options.batch,
            repeat: options.repeat,
            reference,
            rows: Vec::new(),
            skipped,
        }
    }

    /// Takes in what one side did in one round.
    pub(super) fn add(
        &mut self,
        driver: Option<&'static str>,
        measured: Vec<Measured>,
    ) -> Result<(), Failure> {
        for measured in measured {
            let same = |row: &&mut Row| row.driver == driver && row.is(&measured);
            if let Some(row) = self.rows.iter_mut().find(same) {
                row.calls
                    .add(&measured.calls)
                    .map_err(|error| Failure::new("latencies can not be added up").with_cause(error))?;
                row.rounds.push(measured);
            } else {
                let calls = measured.calls.clone();
                self.rows.push(Row { driver, rounds: vec![measured], calls });
            }
        }
        Ok(())
    }

    /// Prints the tables.
    pub(super) fn print(&self) -> Result<(), Failure> {
        print(format_args!(
            "{STRONG}{}{STRONG:#}: {} nodes, {} in a call, seed {}, {}",
            self.backend,
            thousands(self.corpus.nodes),
            thousands(self.batch as usize),
            self.corpus.seed,
            if self.repeat == 1 { "one round".to_owned() } else { format!("{} rounds", self.repeat) }
        ))?;
        let headings =
            ["", "", "per second", "", "calls", "p50", "p90", "p99", "p99.9", "max", "CPU s", "peak MB"];
        let mut figures = table(&headings);
        for row in self.rows.iter().filter(|row| row.driver.is_none()) {
            figures.add_row(row.cells());
        }
        align(&mut figures, &[0, 1, 3]);
        print_table(&figures)?;
        for (workload, why) in &self.skipped {
            print(format_args!("{} not measured: {why}", workload.name()))?;
        }
        let memory = if forget_peak_memory() { "" } else { "; memory is that of the whole run so far" };
        print(format_args!(
            "{FAINT}latencies in ms for each call; CPU and memory are this program's{memory}{FAINT:#}"
        ))?;
        self.print_reference()
    }

    /// Prints what the bare driver did, and the ratios.
    fn print_reference(&self) -> Result<(), Failure> {
        let Some(name) = self.reference else { return Ok(()) };
        print(format_args!("\n{STRONG}{name}, bare{STRONG:#}: the same work, as durable"))?;
        let mut ratios =
            table(&["", "", "per second", "", "p50", "p99", "CPU s", "store / driver", "CPU store / driver"]);
        for row in self.rows.iter().filter(|row| row.driver.is_some()) {
            let Some((theirs, ours)) =
                row.first().zip(self.rows.iter().find(|other| {
                    other.driver.is_none() && row.first().is_some_and(|first| other.is(first))
                }))
            else {
                continue;
            };
            let ratio = |ours: Option<f64>, theirs: Option<f64>| {
                ours.zip(theirs).map_or_else(String::new, |(ours, theirs)| format!("{:.2}", ours / theirs))
            };
            ratios.add_row([
                theirs.workload.name(),
                theirs.part.to_owned(),
                rate(row.per_second()),
                theirs.unit.to_owned(),
                milliseconds(row.calls.value_at_percentile(50.0)),
                milliseconds(row.calls.value_at_percentile(99.0)),
                row.cpu().map_or_else(String::new, |cpu| format!("{cpu:.2}")),
                ratio(Some(ours.per_second()), Some(row.per_second())),
                ratio(ours.cpu(), row.cpu()),
            ]);
        }
        align(&mut ratios, &[0, 1, 3]);
        print_table(&ratios)?;
        Ok(())
    }

    /// The figures for programs.
    pub(super) fn to_json(&self) -> Value {
        let skipped: Map<String, Value> =
            self.skipped.iter().map(|(workload, why)| (workload.name(), json!(why))).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "store": self.store,
            "backend": self.backend,
            "size": match self.size {
                Size::Small => "small",
                Size::Full => "full",
                Size::Large => "large",
            },
            "nodes": self.corpus.nodes,
            "seed": self.corpus.seed,
            "batch": self.batch,
            "rounds": self.repeat,
            "cpus": std::thread::available_parallelism().ok().map(std::num::NonZero::get),
            "reference": self.reference,
            "peak_memory_of": if forget_peak_memory() { "workload" } else { "run" },
            "figures": self.rows.iter().map(Row::to_json).collect::<Vec<_>>(),
            "not_measured": skipped,
        })
    }
}

impl Row {
    fn first(&self) -> Option<&Measured> {
        self.rounds.first()
    }

    /// Whether it is of the same part of the same workload.
    fn is(&self, other: &Measured) -> bool {
        self.first().is_some_and(|first| (first.workload, first.part) == (other.workload, other.part))
    }

    /// Items in a second.
    fn per_second(&self) -> f64 {
        median(self.rounds.iter().map(per_second)).unwrap_or_default()
    }

    /// Processor seconds.
    fn cpu(&self) -> Option<f64> {
        median(self.rounds.iter().filter_map(|round| round.cpu.map(|cpu| cpu.as_secs_f64())))
    }

    /// Bytes.
    fn peak_memory(&self) -> Option<f64> {
        median(self.rounds.iter().filter_map(|round| round.peak_memory.map(|bytes| bytes as f64)))
    }

    fn cells(&self) -> Vec<String> {
        let Some(first) = self.first() else { return Vec::new() };
        let mut cells = vec![
            first.workload.name(),
            first.part.to_owned(),
            rate(self.per_second()),
            first.unit.to_owned(),
            thousands(usize::try_from(self.calls.len()).unwrap_or(usize::MAX)),
        ];
        cells.extend(SHOWN.map(|percentile| milliseconds(self.calls.value_at_percentile(percentile))));
        cells.push(milliseconds(self.calls.max()));
        cells.push(self.cpu().map_or_else(String::new, |cpu| format!("{cpu:.2}")));
        cells.push(self.peak_memory().map_or_else(String::new, |bytes| format!("{:.0}", bytes / 1e6)));
        cells
    }

    fn to_json(&self) -> Value {
        let Some(first) = self.first() else { return Value::Null };
        let in_ms = |nanoseconds: u64| nanoseconds as f64 / 1e6;
        let mut latency = Map::new();
        latency.insert("min".to_owned(), json!(in_ms(self.calls.min())));
        for percentile in PERCENTILES {
            latency
                .insert(format!("p{percentile}"), json!(in_ms(self.calls.value_at_percentile(percentile))));
        }
        latency.insert("max".to_owned(), json!(in_ms(self.calls.max())));
        latency.insert("mean".to_owned(), json!(self.calls.mean() / 1e6));
        let rounds: Vec<Value> = self
            .rounds
            .iter()
            .map(|round| {
                json!({
                    "seconds": round.elapsed.as_secs_f64(),
                    "per_second": per_second(round),
                    "cpu_seconds": round.cpu.map(|cpu| cpu.as_secs_f64()),
                    "peak_memory_bytes": round.peak_memory,
                })
            })
            .collect();
        json!({
            "workload": first.workload.name(),
            "part": first.part,
            "side": self.driver.unwrap_or("store"),
            "unit": first.unit,
            "items": first.items,
            "calls": self.calls.len(),
            "per_second": self.per_second(),
            "latency_ms": latency,
            "cpu_seconds": self.cpu(),
            "peak_memory_bytes": self.peak_memory(),
            "answers": first.answers.map(|answers| format!("{answers:016x}")),
            "rounds": rounds,
        })
    }
}

fn per_second(measured: &Measured) -> f64 {
    measured.items as f64 / measured.elapsed.max(Duration::from_nanos(1)).as_secs_f64()
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    let lower = if values.len().is_multiple_of(2) { *values.get(middle.checked_sub(1)?)? } else { upper };
    Some(f64::midpoint(lower, upper))
}

/// Text to the left in these columns, figures to the right in the others.
fn align(table: &mut Table, text: &[usize]) {
    // Wrapped figures can not be read.
    table.set_content_arrangement(ContentArrangement::Disabled);
    for (place, column) in table.column_iter_mut().enumerate() {
        if !text.contains(&place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// `12,345`, or `1.2` for less than a hundred.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is positive and far below 2^64"
)]
fn rate(per_second: f64) -> String {
    if per_second < 100.0 { format!("{per_second:.1}") } else { thousands(per_second.round() as usize) }
}

/// Milliseconds of three digits.
fn milliseconds(nanoseconds: u64) -> String {
    let ms = nanoseconds as f64 / 1e6;
    match ms {
        ..10.0 => format!("{ms:.3}"),
        ..100.0 => format!("{ms:.2}"),
        ..1000.0 => format!("{ms:.1}"),
        _ => format!("{ms:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_an_even_number_lies_between_two() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }

    #[test]
    fn figures_keep_about_three_digits() {
        for (nanoseconds, text) in
            [(1_234, "0.001"), (1_234_567, "1.235"), (12_345_678, "12.35"), (1_234_567_890, "1235")]
        {
            assert_eq!(milliseconds(nanoseconds), text);
        }
        assert_eq!((rate(12.34), rate(12_345.6)), ("12.3".to_owned(), "12,346".to_owned()));
    }
}
