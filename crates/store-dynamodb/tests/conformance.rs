//! The shared suite on real servers.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use store_conformance::Harness;
use store_core::Backend;
use store_dynamodb::{DynamoDbBackend, DynamoDbChatLayout, DynamoDbConfig, DynamoDbVectorLayout};

/// Amazon's own, which has no vector indexes, and a server that has.
const LOCAL: &str = "STORE_TEST_DYNAMODB_URL";
const INDEXED: &str = "STORE_TEST_DYNOXIDE_URL";

fn main() -> ExitCode {
    let chats = |config: DynamoDbConfig| config.with_chat_layout(DynamoDbChatLayout::LlamaIndex);
    let vectors = |config: DynamoDbConfig| {
        let options = config.vectors.clone().with_layout(DynamoDbVectorLayout::LlamaIndex);
        config.with_vectors(options)
    };
    store_conformance::run_all([
        // Each filter is a dozen requests, and some 150 a second are what this server answers.
        harness("dynamodb", LOCAL, |config| config).with_random_filters(600).with_model_runs(24),
        harness("dynamodb_llamaindex_chats", LOCAL, chats).with_chats_only(false).with_model_runs(24),
        // Its rows are searched by the code that searches ours.
        vectors_only("dynamodb_llamaindex_vectors", LOCAL, vectors),
        // The other roles know nothing of vector indexes.
        vectors_only("dynoxide", INDEXED, |config| config),
    ])
}

fn vectors_only(name: &'static str, variable: &str, layout: fn(DynamoDbConfig) -> DynamoDbConfig) -> Harness {
    harness(name, variable, layout).with_vectors_only().with_random_filters(100).with_model_runs(12)
}

fn harness(name: &'static str, variable: &str, layout: fn(DynamoDbConfig) -> DynamoDbConfig) -> Harness {
    let open = move |url: &str, namespace: String| {
        let config = url.parse::<DynamoDbConfig>().map(|config| {
            // Server and tests share a machine that may be busy.
            let config = config.with_namespace(namespace).with_create(true).with_consistent_reads(true);
            let vectors = config.vectors.clone().with_partitions(2);
            layout(config.with_vectors(vectors)).with_operation_timeout(Duration::from_mins(1))
        });
        async move { Ok(Arc::new(DynamoDbBackend::connect(config?).await?) as Arc<dyn Backend>) }
    };
    Harness::on_server(name, variable, open).with_deadline(Duration::from_mins(10))
}
