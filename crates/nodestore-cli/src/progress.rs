//! Progress of long work: a bar on a terminal's stderr, elsewhere nothing.

use std::fmt::{self, Display};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::output::{one_line, say};

/// What the bar counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Things with a name: `files`.
    Items(&'static str),
    /// Bytes, shown as KiB, MiB and GiB.
    Bytes,
}

/// A bar with rate and time left. Clones move the same bar.
#[derive(Clone, Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar up to `total`; without one it shows what is done and how fast.
    pub(crate) fn new(total: Option<u64>, unit: Unit) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(10));
        let done = match (unit, total) {
            (Unit::Items(what), Some(_)) => format!("{{human_pos}}/{{human_len}} {what}  {{rate}}"),
            (Unit::Items(what), None) => format!("{{human_pos}} {what}  {{rate}}"),
            (Unit::Bytes, Some(_)) => {
                "{binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}".to_owned()
            }
            (Unit::Bytes, None) => "{binary_bytes}  {binary_bytes_per_sec}".to_owned(),
        };
        let template = match total {
            Some(_) => format!("{{bar:30}} {done}{{left}}{{wide_msg}}"),
            None => format!("{{spinner}} {done}  {{wide_msg}}"),
        };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.with_key("left", left).with_key("rate", rate));
        }
        *shown() = Some(bar.clone());
        Self(bar)
    }

    /// Shows nothing.
    pub(crate) fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// What is worked on now.
    pub(crate) fn message(&self, text: &str) {
        self.0.set_message(one_line(text, 60));
    }

    /// So many more are done.
    pub(crate) fn add(&self, done: u64) {
        self.0.inc(done);
    }

    /// A line about the work, above the bar.
    pub(crate) fn say(&self, line: impl Display) {
        self.0.suspend(|| say(line));
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// `12/s`, `0.5/s`.
fn rate(state: &ProgressState, out: &mut dyn fmt::Write) {
    let rate = state.per_sec();
    let digits = usize::from(rate < 10.0);
    // A bar that can not be drawn is no reason to stop the work.
    let _ = write!(out, "{rate:.digits$}/s");
}

/// The time left, once there is something to tell it by.
fn left(state: &ProgressState, out: &mut dyn fmt::Write) {
    if state.pos() > 0 {
        let _ = write!(out, ", {:#} left  ", HumanDuration(state.eta()));
    }
}

/// The bar on the terminal, if there is one.
fn shown() -> MutexGuard<'static, Option<ProgressBar>> {
    static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes to stderr, above the bar: for events, which come from anywhere.
#[derive(Debug)]
pub(crate) struct AboveTheBar;

impl io::Write for AboveTheBar {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bar = shown().clone();
        match bar.filter(|bar| !bar.is_finished()) {
            Some(bar) => bar.suspend(|| io::stderr().write(bytes)),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
