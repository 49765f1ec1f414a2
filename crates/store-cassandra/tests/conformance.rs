//! The shared suite on a real node.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use store_cassandra::{CassandraBackend, CassandraConfig, CassandraVectorOptions};
use store_conformance::Harness;
use store_core::Backend;

fn main() -> ExitCode {
    store_conformance::run_all([
        harness("cassandra", "STORE_TEST_CASSANDRA_URL", false),
        harness("cassandra_exclusive", "STORE_TEST_CASSANDRA_URL", true)
            .with_vectors_only()
            .with_random_filters(500),
    ])
}

fn harness(name: &'static str, variable: &str, exclusive: bool) -> Harness {
    let open = move |url: &str, namespace: String| {
        let config = url.parse::<CassandraConfig>().map(|config| {
            // Server and tests share a machine that may be busy.
            let config = config.with_namespace(namespace).with_create(true);
            let vectors = CassandraVectorOptions::default().with_exclusive(exclusive);
            config.with_vectors(vectors).with_operation_timeout(Duration::from_mins(1))
        });
        async move { Ok(Arc::new(CassandraBackend::connect(config?).await?) as Arc<dyn Backend>) }
    };
    Harness::on_server(name, variable, open).with_deadline(Duration::from_mins(10))
}
