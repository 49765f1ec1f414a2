#![doc = include_str!("../README.md")]

mod backend;
mod case;
mod chat;
mod check;
mod concurrency;
mod data;
mod docs;
mod filters;
mod harness;
mod index;
mod kv;
mod limits;
mod model;
mod nodes;
mod reader;
mod run;
pub mod server;
mod table;
mod vectors;

pub use case::Case;
pub use harness::Harness;
pub use run::{Outcome, Verdict, cases, outcomes, run, run_all};
pub use table::capability_rows;

/// Every suite's files, each with its list of cases.
const SUITES: &[&[&[Case]]] = &[
    backend::SUITES,
    kv::SUITES,
    docs::SUITES,
    index::SUITES,
    chat::SUITES,
    vectors::SUITES,
    filters::SUITES,
    concurrency::SUITES,
    limits::SUITES,
    reader::SUITES,
];
