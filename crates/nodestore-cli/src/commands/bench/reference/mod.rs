//! The bare drivers of databases, doing the same work with the same guarantees: what a store costs beyond them.
//!
//! One file for each driver, behind the cargo feature of its backend.

#[cfg(feature = "cassandra")]
mod cassandra;
#[cfg(feature = "dynamodb")]
mod dynamodb;
#[cfg(feature = "mongodb")]
mod mongodb;
#[cfg(feature = "embedded")]
mod redb;
#[cfg(feature = "redis")]
mod redis;

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
    /// What it does too.
    pub(super) workloads: &'static [Workload],
}

/// The bare driver of the store's database, if there is one. What it writes goes under the name
/// of the namespace too; it is gone when the driver is cleared and dropped.
#[cfg_attr(
    not(any(feature = "cassandra", feature = "dynamodb", feature = "mongodb", feature = "redis")),
    expect(unused_variables, clippy::unused_async, reason = "only a server is asked, and by its URL")
)]
pub(super) async fn of(store: &Store, url: &str, namespace: &str) -> Result<Option<Reference>, Failure> {
    match (store.backend.name(), &store.folder) {
        #[cfg(feature = "embedded")]
        ("embedded", Some(folder)) => {
            let driver = Arc::new(redb::Bare::open(&folder.join(format!("{namespace}-driver")))?);
            Ok(Some(Reference { name: redb::NAME, driver, workloads: redb::WORKLOADS }))
        }
        #[cfg(feature = "cassandra")]
        ("cassandra", _) => {
            let driver = Arc::new(cassandra::Bare::connect(url, &format!("{namespace}driver")).await?);
            Ok(Some(Reference { name: cassandra::NAME, driver, workloads: cassandra::WORKLOADS }))
        }
        #[cfg(feature = "dynamodb")]
        ("dynamodb", _) => {
            let driver = Arc::new(dynamodb::Bare::connect(url, &format!("{namespace}driver")).await?);
            Ok(Some(Reference { name: dynamodb::NAME, driver, workloads: dynamodb::WORKLOADS }))
        }
        #[cfg(feature = "mongodb")]
        ("mongodb", _) => {
            let driver = Arc::new(mongodb::Bare::connect(url, &format!("{namespace}driver")).await?);
            Ok(Some(Reference { name: mongodb::NAME, driver, workloads: mongodb::WORKLOADS }))
        }
        #[cfg(feature = "redis")]
        ("redis", _) => {
            let driver = redis::Bare::connect(url, &format!("{namespace}driver")).await?;
            let workloads = driver.workloads().await;
            Ok(Some(Reference { name: redis::NAME, driver: Arc::new(driver), workloads }))
        }
        _ => Ok(None),
    }
}
