//! The embedded store keeps every rule.

use std::process::ExitCode;
use std::sync::Arc;

use store_conformance::Harness;
use store_core::Backend;
use store_embedded::{EmbeddedBackend, EmbeddedConfig};

fn main() -> ExitCode {
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => return store_conformance::run(Harness::unavailable("embedded", error.to_string())),
    };
    let path = folder.path().to_owned();
    store_conformance::run(Harness::new("embedded", move |namespace| {
        let config = EmbeddedConfig::new(&path).with_namespace(namespace);
        async move { Ok(Arc::new(EmbeddedBackend::open(config).await?) as Arc<dyn Backend>) }
    }))
}
