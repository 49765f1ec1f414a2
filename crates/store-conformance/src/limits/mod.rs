//! Great values, great batches, and stated limits to the byte.

mod kv;
mod others;

use crate::case::Case;

pub(crate) const SUITES: &[&[Case]] = &[kv::CASES, others::CASES];
