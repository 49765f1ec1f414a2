//! The shared suite on real servers.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use store_conformance::Harness;
use store_core::Backend;
use store_dynamodb::{DynamoDbBackend, DynamoDbChatLayout, DynamoDbConfig};

/// Amazon's own, which has no vector indexes, and a server that has.
const LOCAL: &str = "STORE_TEST_DYNAMODB_URL";
const INDEXED: &str = "STORE_TEST_DYNOXIDE_URL";

fn main() -> ExitCode {
    let python = harness("dynamodb_llamaindex_chats", LOCAL, DynamoDbChatLayout::LlamaIndex);
    let python = python.with_chats_only(false);
    let own = DynamoDbChatLayout::Nodestore;
    store_conformance::run_all([harness("dynamodb", LOCAL, own), python, harness("dynoxide", INDEXED, own)])
}

fn harness(name: &'static str, variable: &str, chats: DynamoDbChatLayout) -> Harness {
    let Some(url) = std::env::var(variable).ok().filter(|url| !url.is_empty()) else {
        let reason = format!("{variable} is not set; scripts/servers/with starts a server and sets it");
        return Harness::unavailable(name, reason);
    };
    let open = move |namespace: String| {
        let config = url.parse::<DynamoDbConfig>().map(|config| {
            // Server and tests share a machine that may be busy.
            let config = config.with_namespace(namespace).with_create(true).with_consistent_reads(true);
            let vectors = config.vectors.clone().with_partitions(2);
            let config = config.with_vectors(vectors).with_chat_layout(chats);
            config.with_operation_timeout(Duration::from_mins(1))
        });
        async move { Ok(Arc::new(DynamoDbBackend::connect(config?).await?) as Arc<dyn Backend>) }
    };
    Harness::new(name, open).with_deadline(Duration::from_mins(10))
}
