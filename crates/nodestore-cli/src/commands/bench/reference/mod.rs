//! The bare drivers of databases, doing the same work with the same guarantees: what a store costs beyond them.
//!
//! One file for each driver, behind the cargo feature of its backend.

#[cfg(feature = "embedded")]
mod redb;

use std::sync::Arc;

use super::subject::Subject;
use super::workload::Workload;
use crate::failure::Failure;
use crate::store::Store;

/// A bare driver.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    /// Its name: `redb`.
    pub(super) name: &'static str,
    pub(super) driver: Arc<dyn Subject>,
}

/// The workloads that a bare driver does too.
pub(super) const WORKLOADS: &[Workload] =
    &[Workload::D1, Workload::D2, Workload::C1, Workload::C2, Workload::K1, Workload::K2];

/// The bare driver of the store's database, if there is one. What it writes goes under the name
/// of the namespace too, and goes away with the answer.
#[cfg_attr(
    not(feature = "embedded"),
    expect(unused_variables, reason = "no backend of this build has a bare driver")
)]
pub(super) fn of(store: &Store, namespace: &str) -> Result<Option<Reference>, Failure> {
    match (store.backend.name(), &store.folder) {
        #[cfg(feature = "embedded")]
        ("embedded", Some(folder)) => {
            let driver = Arc::new(redb::Bare::open(&folder.join(format!("{namespace}-driver")))?);
            Ok(Some(Reference { name: redb::NAME, driver }))
        }
        _ => Ok(None),
    }
}
