//! The MongoDB store keeps every rule, on the servers that `scripts/test-all` starts or the variables name.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use store_conformance::{Harness, server};
use store_core::Backend;
use store_mongodb::{MongoBackend, MongoConfig};

const ATLAS: &str = "STORE_TEST_MONGODB_ATLAS_URL";

fn main() -> ExitCode {
    let mut harnesses = vec![harness("mongodb", "STORE_TEST_MONGODB_URL")];
    // It comes only as a container: where there is none, the run on a plain server has to do.
    if server::url(ATLAS).is_some() {
        harnesses.push(harness("mongodb_atlas", ATLAS));
    }
    store_conformance::run_all(harnesses)
}

fn harness(name: &'static str, variable: &str) -> Harness {
    let open = |url: &str, namespace: String| {
        let config = MongoConfig::new(url.to_owned()).with_namespace(namespace);
        async move { Ok(Arc::new(MongoBackend::connect(config).await?) as Arc<dyn Backend>) }
    };
    // Server and tests share a machine that may be busy.
    Harness::on_server(name, variable, open).with_deadline(Duration::from_mins(10))
}
