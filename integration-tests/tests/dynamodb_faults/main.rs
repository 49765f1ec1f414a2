//! What happens to a store on DynamoDB when the service throttles, answers in part, loses answers, freezes, or is not
//! what it should be.
//!
//! Most tests share a server and have a proxy of their own before it that makes the faults; its own tests are those
//! whose names begin with `proxy`. With `STORE_TEST_SOAK` the random ones are long.

#[path = "../common/mod.rs"]
mod common;
mod connecting;
mod histories;
mod outages;
mod patterns;
mod proxied;
mod proxy;
mod proxy_checks;
mod random;
mod transactions;
#[path = "../common/writers.rs"]
mod writers;

use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nodestore_integration_tests::{Missing, Server, dynamodb};
use store_core::Error;
use store_dynamodb::{DynamoDbBackend, DynamoDbConfig};

fn main() -> ExitCode {
    if let Some(ended) = connecting::as_child() {
        return ended;
    }
    common::run_all(
        3,
        &[
            proxy_checks::TRIALS,
            proxied::TRIALS,
            histories::TRIALS,
            transactions::TRIALS,
            patterns::TRIALS,
            random::TRIALS,
            outages::TRIALS,
            connecting::TRIALS,
        ],
    )
}

/// The URL of the server that all share who do it no harm; it ends with this process.
fn server() -> Result<&'static str, Missing> {
    static SERVER: OnceLock<Result<Server, Missing>> = OnceLock::new();
    SERVER.get_or_init(dynamodb::find).as_ref().map(|server| server.url.as_str()).map_err(Clone::clone)
}

/// A namespace that no other test has, on a server that may have been used before.
fn namespace() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("f{}n{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A store in a namespace, with the tables that it needs, whose calls may take this long.
async fn open(url: &str, namespace: &str, timeout: Duration) -> Result<DynamoDbBackend, Error> {
    let url = format!("{url}&store.namespace={namespace}&store.create=true&store.consistent_reads=true");
    DynamoDbBackend::connect(url.parse::<DynamoDbConfig>()?.with_operation_timeout(timeout)).await
}
