#![doc = include_str!("../README.md")]

mod case;
mod check;
mod data;
mod harness;
mod kv;
mod model;
mod run;

pub use case::Case;
pub use harness::Harness;
pub use run::{Outcome, Verdict, cases, outcomes, run, run_all};

/// Every suite's files, each with its list of cases.
const SUITES: &[&[&[Case]]] = &[kv::SUITES];
