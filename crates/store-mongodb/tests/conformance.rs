//! The MongoDB store keeps every rule.

use std::process::ExitCode;
use std::sync::Arc;

use store_conformance::Harness;
use store_core::Backend;
use store_mongodb::{MongoBackend, MongoConfig};

fn main() -> ExitCode {
    let url = match std::env::var("STORE_TEST_MONGODB_URL") {
        Ok(url) => url,
        Err(_) => {
            let reason = "STORE_TEST_MONGODB_URL is not set";
            return store_conformance::run(Harness::unavailable("mongodb", reason));
        }
    };
    store_conformance::run(Harness::new("mongodb", move |namespace| {
        let config = MongoConfig::new(url.clone()).with_namespace(namespace);
        async move { Ok(Arc::new(MongoBackend::connect(config).await?) as Arc<dyn Backend>) }
    }))
}
