#![doc = include_str!("../README.md")]
#![expect(dead_code, reason = "the suites of vectors, filters, concurrency and limits follow")]

mod case;
mod chat;
mod check;
mod data;
mod docs;
mod harness;
mod index;
mod kv;
mod model;
mod nodes;
mod run;

pub use case::Case;
pub use harness::Harness;
pub use run::{Outcome, Verdict, cases, outcomes, run, run_all};

/// Every suite's files, each with its list of cases.
const SUITES: &[&[&[Case]]] = &[kv::SUITES, docs::SUITES, index::SUITES, chat::SUITES];
