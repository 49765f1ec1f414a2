//! Who gets in, and what those who do not are told.

use std::process::{Command, ExitCode};
use std::time::Duration;

use store_core::{
    AddMode, Backend as _, ChatMessage, DocStoreExt as _, Error, ErrorKind, KvStoreExt as _, Metric, Node,
    VectorConfig,
};
use store_dynamodb::aws_sdk_dynamodb::types::ScalarAttributeType;
use store_dynamodb::{DynamoDbBackend, DynamoDbConfig};

use crate::common::{Done, Test, block_on, expect, value};
use crate::proxy::{Code, Fault, Proxy};
use crate::proxy_checks::make_table;
use crate::{namespace, open, server};

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("fault_nothing_listens", nothing_listens),
    ("fault_wrong_key", wrong_key),
    ("fault_unknown_key", unknown_key),
    ("fault_expired_credentials", expired),
    ("fault_no_region", no_region),
    ("fault_no_table", no_table),
    ("fault_table_without_a_sort_key", no_sort_key),
    ("fault_table_with_a_number_as_key", number_as_key),
    ("fault_silent_server", silent),
];

const TIMEOUT: Duration = Duration::from_secs(3);
/// Longer than any of these may take on a machine that is busy.
const END: Duration = Duration::from_mins(1);
/// Set for a child of this process, which is to open a store without a region.
const CHILD: &str = "NODESTORE_TEST_NO_REGION";

/// Calls, and must be refused so; answers the error.
async fn refused(store: Result<DynamoDbBackend, Error>, kind: ErrorKind, next_step: &str) -> Done {
    let call = async { store?.kv()?.put("kept", "key", value(1)).await };
    let answer = tokio::time::timeout(END, call).await.map_err(|_| "it does not end")?;
    let Err(error) = answer else { return Err("it was let in".into()) };
    if error.is_retryable() != (kind == ErrorKind::Unavailable || kind == ErrorKind::Timeout) {
        return Err(format!("a retry helps, or not: {error:?}").into());
    }
    expect(&error, kind, next_step)
}

/// The URL of the shared server with other keys.
fn with_keys(url: &str, keys: &str) -> String {
    url.replace("test:test@", &format!("{keys}@"))
}

fn nothing_listens() -> Done {
    // A port that is given to nobody.
    let url = "dynamodb://test:s3cret@eu-central-1/?endpoint_url=http%3A%2F%2F127.0.0.1%3A1";
    block_on(async { refused(open(url, "faults", TIMEOUT).await, ErrorKind::Unavailable, "endpoint").await })
}

/// The server knows keys of letters and digits only.
fn wrong_key() -> Done {
    block_on(async {
        let url = with_keys(server()?, "wrong%2Dkey:s3cret");
        refused(open(&url, &namespace(), TIMEOUT).await, ErrorKind::Unauthorized, "access key").await
    })
}

fn unknown_key() -> Done {
    told(Code::UnrecognizedClient, "access key")
}

fn expired() -> Done {
    told(Code::ExpiredToken, "expired")
}

/// In every role, and at once: no repetition helps.
fn told(code: Code, next_step: &'static str) -> Done {
    block_on(async {
        let proxy = Proxy::start(server()?).await?;
        let url = with_keys(proxy.url(), "test:s3cret");
        let store = open(&url, &namespace(), TIMEOUT).await?;
        // The tables are there; the keys are refused from now on.
        store.kv()?.put("kept", "key", value(1)).await?;
        store.vectors()?.configure(VectorConfig::new(2, Metric::Cosine)).await?;
        proxy.set(move |_| Some(Fault::Refuse(code)));
        refused(open(&url, &namespace(), TIMEOUT).await, ErrorKind::Unauthorized, next_step).await?;
        let message = vec![ChatMessage::user("hello")];
        let node = Node::text("hello").with_id("n").with_embedding([1.0, 0.0]);
        let answers = [
            ("kv", store.kv()?.get("kept", "key").await.err()),
            ("docs", store.docs()?.get(&"n".into()).await.err()),
            ("chat", store.chat()?.append("session", message).await.err()),
            ("vectors", store.vectors()?.upsert(vec![node], AddMode::Overwrite).await.err()),
        ];
        let roles = answers.len();
        for (role, error) in answers {
            let error = error.ok_or_else(|| format!("{role} was let in"))?;
            expect(&error, ErrorKind::Unauthorized, next_step)?;
            if error.is_retryable() || error.to_string().contains("s3cret") {
                return Err(format!("{role}: {error:?}").into());
            }
        }
        if proxy.faults() == roles + 1 {
            Ok(())
        } else {
            Err(format!("{} requests for {} calls", proxy.faults(), roles + 1).into())
        }
    })
}

/// By a process that inherits none from its environment.
fn no_region() -> Done {
    let home = std::env::temp_dir().join("nodestore-without-aws");
    let mut child = Command::new(std::env::current_exe()?);
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_CONFIG_FILE"] {
        child.env_remove(name);
    }
    child.env(CHILD, "1").env("HOME", home).env("AWS_EC2_METADATA_DISABLED", "true");
    let output = child.output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
    }
}

/// What the child does, in such a process.
pub(crate) fn as_child() -> Option<ExitCode> {
    std::env::var_os(CHILD)?;
    let ended = block_on(async {
        let url = "dynamodb://test:s3cret@/app?endpoint_url=http%3A%2F%2F127.0.0.1%3A1";
        let store = open(url, "faults", TIMEOUT).await;
        refused(store, ErrorKind::Config, "AWS_REGION").await
    });
    if let Err(failed) = ended {
        eprintln!("{}", failed.message().unwrap_or("it failed"));
        return Some(ExitCode::FAILURE);
    }
    Some(ExitCode::SUCCESS)
}

/// A store that makes no tables.
async fn on_table(table: &str) -> Result<DynamoDbBackend, Error> {
    let url = server().map_err(|error| Error::config(error.to_string()))?;
    let url = url.replace("/?", &format!("/{table}?"));
    DynamoDbBackend::connect(url.parse::<DynamoDbConfig>()?.with_operation_timeout(TIMEOUT)).await
}

fn no_table() -> Done {
    block_on(async { refused(on_table(&namespace()).await, ErrorKind::NotFound, "store.create=true").await })
}

fn no_sort_key() -> Done {
    wrong_schema("id", &ScalarAttributeType::S, None)
}

fn number_as_key() -> Done {
    wrong_schema("id", &ScalarAttributeType::N, Some("sort"))
}

fn wrong_schema(partition: &str, kind: &ScalarAttributeType, sort: Option<&str>) -> Done {
    block_on(async {
        let table = namespace();
        let store = on_table(&table).await?;
        make_table(store.client()?, &table, partition, kind, sort).await?;
        refused(Ok(store), ErrorKind::Config, "a partition key and a sort key").await?;
        refused(on_table(&table).await, ErrorKind::Config, &table).await
    })
}

/// It takes the request and never answers.
fn silent() -> Done {
    block_on(async {
        let proxy = Proxy::start(server()?).await?;
        proxy.set(|_| Some(Fault::DelayBefore(END * 2)));
        let url = with_keys(proxy.url(), "test:s3cret");
        refused(open(&url, &namespace(), TIMEOUT).await, ErrorKind::Timeout, "3000 ms").await
    })
}
