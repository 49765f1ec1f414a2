//! The shared suite on real servers.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use store_conformance::Harness;
use store_core::Backend;
use store_dynamodb::{DynamoDbBackend, DynamoDbConfig};

/// Each server that the suite runs on, and the variable that names it.
const SERVERS: [(&str, &str); 1] = [("dynamodb", "STORE_TEST_DYNAMODB_URL")];

fn main() -> ExitCode {
    store_conformance::run_all(SERVERS.map(|(name, variable)| {
        harness(name, variable).unwrap_or_else(|| {
            let reason = format!("{variable} is not set; scripts/servers/with starts a server and sets it");
            Harness::unavailable(name, reason)
        })
    }))
}

fn harness(name: &'static str, variable: &str) -> Option<Harness> {
    let url = std::env::var(variable).ok().filter(|url| !url.is_empty())?;
    let open = move |namespace: String| {
        let config = url.parse::<DynamoDbConfig>().map(|config| {
            // Server and tests share a machine that may be busy.
            let config = config.with_namespace(namespace).with_create(true).with_consistent_reads(true);
            config.with_operation_timeout(Duration::from_mins(1))
        });
        async move { Ok(Arc::new(DynamoDbBackend::connect(config?).await?) as Arc<dyn Backend>) }
    };
    Some(Harness::new(name, open).with_deadline(Duration::from_mins(10)))
}
