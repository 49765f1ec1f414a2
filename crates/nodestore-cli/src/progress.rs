//! Progress of long work: a bar on a terminal's stderr, elsewhere nothing.

use std::fmt::Display;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

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
            (Unit::Items(what), Some(_)) => format!("{{human_pos}}/{{human_len}} {what}  {{per_sec}}"),
            (Unit::Items(what), None) => format!("{{human_pos}} {what}  {{per_sec}}"),
            (Unit::Bytes, Some(_)) => {
                "{binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}".to_owned()
            }
            (Unit::Bytes, None) => "{binary_bytes}  {binary_bytes_per_sec}".to_owned(),
        };
        let template = match total {
            Some(_) => format!("{{bar:30}} {done}, {{eta}} left  {{wide_msg}}"),
            None => format!("{{spinner}} {done}  {{wide_msg}}"),
        };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
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
