//! What happens to a store on MongoDB when its server is killed, frozen, started again, or not what it should be.
//!
//! Every test starts a server of its own and hurts it. With `STORE_TEST_SOAK` the failover is the long one.

#[path = "../common/mod.rs"]
mod common;
mod connecting;
mod failover;
mod leftovers;
mod outages;
mod reading;
#[path = "../common/writers.rs"]
mod writers;

use std::process::ExitCode;
use std::time::Duration;

use store_core::Error;
use store_mongodb::{MongoBackend, MongoConfig};

fn main() -> ExitCode {
    common::run_all(
        3,
        &[failover::TRIALS, outages::TRIALS, reading::TRIALS, connecting::TRIALS, leftovers::TRIALS],
    )
}

/// A store in a namespace of its own, whose calls may take this long.
async fn open(url: &str, timeout: Duration) -> Result<MongoBackend, Error> {
    let config = MongoConfig::new(url.to_owned()).with_namespace("faults").with_operation_timeout(timeout);
    MongoBackend::connect(config).await
}
