//! What happens to a store on Redis when its server is killed, frozen, started again, replaced, or not what it should
//! be.
//!
//! Every test starts servers of its own and hurts them. With `STORE_TEST_SOAK` those that kill are the long ones.

#[path = "../common/mod.rs"]
mod common;
mod connecting;
mod failover;
mod locks;
mod outages;
mod refusals;
mod resharding;
mod rights;
mod subscribers;
#[path = "../common/writers.rs"]
mod writers;

use std::process::ExitCode;
use std::time::Duration;

use store_core::Error;
use store_redis::{RedisBackend, RedisConfig};

fn main() -> ExitCode {
    common::run_all(
        3,
        &[
            failover::TRIALS,
            locks::TRIALS,
            subscribers::TRIALS,
            resharding::TRIALS,
            outages::TRIALS,
            refusals::TRIALS,
            rights::TRIALS,
            connecting::TRIALS,
        ],
    )
}

/// A store in a namespace of its own, whose calls may take this long.
async fn open(url: &str, timeout: Duration) -> Result<RedisBackend, Error> {
    let config = url.parse::<RedisConfig>()?.with_namespace("faults").with_operation_timeout(timeout);
    RedisBackend::connect(config).await
}
