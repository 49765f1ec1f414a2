//! The MongoDB store keeps every rule, on the servers that `scripts/test-all` starts or the variables name.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use store_conformance::Harness;
use store_core::Backend;
use store_mongodb::{MongoBackend, MongoConfig};

fn main() -> ExitCode {
    let plain = harness("mongodb", "STORE_TEST_MONGODB_URL").unwrap_or_else(|| {
        let reason = "STORE_TEST_MONGODB_URL is not set; scripts/servers/with starts a server and sets it";
        Harness::unavailable("mongodb", reason)
    });
    // It comes only as a container: where there is none, the run on a plain server has to do.
    let atlas = harness("mongodb_atlas", "STORE_TEST_MONGODB_ATLAS_URL");
    store_conformance::run_all([plain].into_iter().chain(atlas))
}

fn harness(name: &'static str, variable: &str) -> Option<Harness> {
    let url = std::env::var(variable).ok().filter(|url| !url.is_empty())?;
    let open = move |namespace: String| {
        let config = MongoConfig::new(url.clone()).with_namespace(namespace);
        async move { Ok(Arc::new(MongoBackend::connect(config).await?) as Arc<dyn Backend>) }
    };
    // Server and tests share a machine that may be busy.
    Some(Harness::new(name, open).with_deadline(Duration::from_mins(10)))
}
