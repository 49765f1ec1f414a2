//! The Redis store keeps every rule, on the servers that `scripts/test-all` starts or the variables name.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use store_conformance::Harness;
use store_core::Backend;
use store_redis::{RedisBackend, RedisConfig, RedisConnection, RedisVectorEngine, RedisVectorOptions};

/// Where vectors are found by a vector set, not by the search module.
const VECTOR_SET: &str = "redis8_vector_set";
/// Each server that the suite runs on, and the variable that names it.
const SERVERS: [(&str, &str); 6] = [
    ("redis", "STORE_TEST_REDIS_URL"),
    ("redis_stack", "STORE_TEST_REDIS_STACK_URL"),
    ("redis8", "STORE_TEST_REDIS8_URL"),
    (VECTOR_SET, "STORE_TEST_REDIS8_URL"),
    ("redis_cluster", "STORE_TEST_REDIS_CLUSTER_URL"),
    ("redis_tls", "STORE_TEST_REDIS_TLS_URL"),
];

fn main() -> ExitCode {
    store_conformance::run_all(SERVERS.map(|(name, variable)| harness(name, variable)))
}

fn harness(name: &'static str, variable: &str) -> Harness {
    let open = move |url: &str, namespace: String| {
        // Server and tests share a machine that may be busy.
        let patient = RedisConnection::default().with_connect_timeout(Duration::from_mins(1));
        let config = url.parse::<RedisConfig>().map(|config| {
            let config = config.with_connection(patient).with_namespace(namespace);
            let config = if name == VECTOR_SET { config.with_vectors(vector_set()) } else { config };
            config.with_operation_timeout(Duration::from_mins(1))
        });
        async move { Ok(Arc::new(RedisBackend::connect(config?).await?) as Arc<dyn Backend>) }
    };
    Harness::on_server(name, variable, open).with_deadline(Duration::from_mins(10))
}

/// Its graph is walked far enough to miss none of the few nodes of a case.
fn vector_set() -> RedisVectorOptions {
    let mut options = RedisVectorOptions::default();
    options.engine = RedisVectorEngine::VectorSet;
    options.hnsw_ef_runtime = 20_000;
    options
}
