//! The shared suite on real servers.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use store_conformance::Harness;
use store_core::Backend;
use store_dynamodb::{DynamoDbBackend, DynamoDbChatLayout, DynamoDbConfig};

const VARIABLE: &str = "STORE_TEST_DYNAMODB_URL";

fn main() -> ExitCode {
    let python = harness("dynamodb_llamaindex_chats", DynamoDbChatLayout::LlamaIndex);
    let python = python.with_chats_only(false);
    store_conformance::run_all([harness("dynamodb", DynamoDbChatLayout::Nodestore), python])
}

fn harness(name: &'static str, chats: DynamoDbChatLayout) -> Harness {
    let Some(url) = std::env::var(VARIABLE).ok().filter(|url| !url.is_empty()) else {
        let reason = format!("{VARIABLE} is not set; scripts/servers/with starts a server and sets it");
        return Harness::unavailable(name, reason);
    };
    let open = move |namespace: String| {
        let config = url.parse::<DynamoDbConfig>().map(|config| {
            // Server and tests share a machine that may be busy.
            let config = config.with_namespace(namespace).with_create(true).with_consistent_reads(true);
            config.with_chat_layout(chats).with_operation_timeout(Duration::from_mins(1))
        });
        async move { Ok(Arc::new(DynamoDbBackend::connect(config?).await?) as Arc<dyn Backend>) }
    };
    Harness::new(name, open).with_deadline(Duration::from_mins(10))
}
