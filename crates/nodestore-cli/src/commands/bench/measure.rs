//! Measuring: latencies, processor time, memory.

use std::future::Future;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use hdrhistogram::Histogram;

use super::Halt;
use super::workload::Workload;
use crate::failure::Failure;
use crate::progress::{Progress, Unit};
use crate::stop::Stop;

/// Longest latency that is told apart from longer ones, in nanoseconds: an hour.
const LONGEST: u64 = 3_600_000_000_000;

/// What one part of a workload took in one round.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) workload: Workload,
    /// What was done, for people: `add`.
    pub(super) part: &'static str,
    /// What is counted: `nodes`.
    pub(super) unit: &'static str,
    /// How many of them.
    pub(super) items: u64,
    /// The time of the calls; with several at a time, from the first to the last.
    pub(super) elapsed: Duration,
    /// The time of each call, in nanoseconds.
    pub(super) calls: Histogram<u64>,
    /// Processor time of the whole program, without the making of the corpus.
    pub(super) cpu: Option<Duration>,
    /// Most memory of the whole program meanwhile, in bytes.
    pub(super) peak_memory: Option<u64>,
    /// A number made from the ids that were found; equal answers, equal numbers.
    pub(super) answers: Option<u64>,
}

/// Measures one part of a workload.
#[derive(Debug)]
pub(super) struct Meter {
    measured: Measured,
    stop: Stop,
    progress: Progress,
    cpu_before: Option<Duration>,
    cpu_apart: Duration,
}

impl Meter {
    /// Starts; `items` is how many there will be.
    pub(super) fn start(
        workload: Workload,
        part: &'static str,
        unit: &'static str,
        items: usize,
        stop: &Stop,
    ) -> Result<Self, Failure> {
        let calls = Histogram::new_with_bounds(1, LONGEST, 3)
            .map_err(|error| Failure::new("latencies can not be counted").with_cause(error))?;
        let progress = Progress::new(Some(items as u64), Unit::Items(unit));
        progress.message(&format!("{} {part}", workload.name()));
        forget_peak_memory();
        Ok(Self {
            measured: Measured {
                workload,
                part,
                unit,
                items: 0,
                elapsed: Duration::ZERO,
                calls,
                cpu: None,
                peak_memory: None,
                answers: None,
            },
            stop: stop.clone(),
            progress,
            cpu_before: cpu_of_program(),
            cpu_apart: Duration::ZERO,
        })
    }

    /// Makes what a call needs; its time does not count.
    pub(super) fn prepare<T>(&mut self, make: impl FnOnce() -> T) -> T {
        let before = cpu_of_thread();
        let result = make();
        if let (Some(before), Some(after)) = (before, cpu_of_thread()) {
            self.cpu_apart += after.saturating_sub(before);
        }
        result
    }

    /// Times one call that does so many items.
    pub(super) async fn call<T, E>(
        &mut self,
        items: usize,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Halt>
    where
        Halt: From<E>,
    {
        if self.stop.requested() {
            return Err(Halt::Stopped);
        }
        let start = Instant::now();
        let answer = call.await?;
        let taken = start.elapsed();
        self.measured.elapsed += taken;
        self.record(items, taken);
        Ok(answer)
    }

    /// Times calls of one item each, so many under way at a time.
    pub(super) async fn at_once<T, E, F>(
        &mut self,
        width: usize,
        calls: impl IntoIterator<Item = F>,
    ) -> Result<(), Halt>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
        Halt: From<E>,
    {
        let start = Instant::now();
        let stop = self.stop.clone();
        let started = calls.into_iter().take_while(|_| !stop.requested()).map(|call| {
            tokio::spawn(async move {
                let start = Instant::now();
                let answer = call.await;
                (start.elapsed(), answer.map(|_| ()))
            })
        });
        let mut results = stream::iter(started).buffer_unordered(width);
        let mut failed = None;
        while let Some(joined) = results.next().await {
            match joined {
                Ok((taken, Ok(()))) => self.record(1, taken),
                Ok((_, Err(error))) => {
                    failed = Some(Halt::from(error));
                    break;
                }
                Err(error) => {
                    failed = Some(Failure::new("a call ended half-way").with_cause(error).into());
                    break;
                }
            }
        }
        // Those under way end before anything is removed.
        while failed.is_some() && results.next().await.is_some() {}
        drop(results);
        self.measured.elapsed += start.elapsed();
        match failed {
            Some(halt) => Err(halt),
            None if self.stop.requested() => Err(Halt::Stopped),
            None => Ok(()),
        }
    }

    /// Keeps a number made from what was found.
    pub(super) fn answers(&mut self, answers: u64) {
        self.measured.answers = Some(answers);
    }

    /// Ends the measurement.
    pub(super) fn finish(mut self) -> Measured {
        self.measured.cpu = match (self.cpu_before, cpu_of_program()) {
            (Some(before), Some(after)) => Some(after.saturating_sub(before).saturating_sub(self.cpu_apart)),
            _ => None,
        };
        self.measured.peak_memory = peak_memory();
        self.progress.finish();
        self.measured
    }

    fn record(&mut self, items: usize, taken: Duration) {
        let nanoseconds = u64::try_from(taken.as_nanos()).unwrap_or(LONGEST);
        self.measured.calls.saturating_record(nanoseconds.max(1));
        self.measured.items += items as u64;
        self.progress.add(items as u64);
    }
}

#[cfg(unix)]
fn cpu(clock: rustix::time::ClockId) -> Option<Duration> {
    let time = rustix::time::clock_gettime(clock);
    Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?))
}

#[cfg(unix)]
fn cpu_of_program() -> Option<Duration> {
    cpu(rustix::time::ClockId::ProcessCPUTime)
}

#[cfg(unix)]
fn cpu_of_thread() -> Option<Duration> {
    cpu(rustix::time::ClockId::ThreadCPUTime)
}

#[cfg(not(unix))]
fn cpu_of_program() -> Option<Duration> {
    None
}

#[cfg(not(unix))]
fn cpu_of_thread() -> Option<Duration> {
    None
}

/// Most memory the program had since it was last forgotten, where the system tells (Linux).
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Begins anew with the most memory; answers whether the system allows it (Linux). Else it is that of the whole run.
pub(super) fn forget_peak_memory() -> bool {
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}
