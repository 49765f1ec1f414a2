//! The memory store keeps every rule.

use std::process::ExitCode;
use std::sync::Arc;

use store_conformance::Harness;
use store_core::{Backend, MemoryBackend};

fn main() -> ExitCode {
    let harness = Harness::new("memory", |namespace| async move {
        Ok(Arc::new(MemoryBackend::shared(&namespace)) as Arc<dyn Backend>)
    });
    store_conformance::run(harness.with_durable(false))
}
