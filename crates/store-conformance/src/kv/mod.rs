//! Key-values: bridge section 4.

mod batches;
mod keys;
mod model;
mod scan;
mod ttl;
mod update;
mod values;

use crate::case::Case;

pub(crate) const SUITES: &[&[Case]] =
    &[batches::CASES, update::CASES, keys::CASES, values::CASES, scan::CASES, ttl::CASES, model::CASES];

/// The collection most cases use.
const C: &str = "things";
