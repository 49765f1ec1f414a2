//! Documents: bridge section 5.

mod find;
mod hashes;
mod model;
mod nodes;
mod python;
mod ref_docs;

use crate::case::Case;

pub(crate) const SUITES: &[&[Case]] =
    &[nodes::CASES, hashes::CASES, ref_docs::CASES, find::CASES, model::CASES, python::CASES];
