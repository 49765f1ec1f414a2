//! What the tests on real servers share: they run on the server of `STORE_TEST_DYNAMODB_URL`, each in a namespace of its
//! own. Without a server they are shown as ignored, and fail with `STORE_TEST_REQUIRE` set.

#![allow(dead_code, unused_imports, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::collections::HashMap;
use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::{Map, Value, json};
use store_conformance::server;
pub(crate) use store_conformance::server::{eventually, run};
pub(crate) use store_core::kit::epoch::seconds;
use store_core::{Backend as _, Error, ErrorKind};
use store_dynamodb::aws_sdk_dynamodb::Client;
use store_dynamodb::aws_sdk_dynamodb::primitives::Blob;
use store_dynamodb::aws_sdk_dynamodb::types::AttributeValue;
use store_dynamodb::{DynamoDbBackend, DynamoDbConfig};

const SERVER: &str = "STORE_TEST_DYNAMODB_URL";

/// An item, as the driver has it.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// A store in a namespace of its own.
#[derive(Clone, Debug)]
pub(crate) struct Db {
    pub(crate) store: DynamoDbBackend,
    pub(crate) config: DynamoDbConfig,
    pub(crate) name: String,
}

impl Db {
    /// Another store on the same namespace, with a client of its own: what another process would have.
    pub(crate) async fn another(&self) -> DynamoDbBackend {
        self.with(|config| config).await
    }

    /// The same namespace, opened otherwise.
    pub(crate) async fn with(
        &self,
        change: impl FnOnce(DynamoDbConfig) -> DynamoDbConfig,
    ) -> DynamoDbBackend {
        DynamoDbBackend::connect(change(self.config.clone())).await.unwrap()
    }

    pub(crate) fn client(&self) -> &Client {
        self.store.client().unwrap()
    }

    /// The main table's name.
    pub(crate) fn main(&self) -> String {
        format!("{}.{}", self.config.table.as_deref().unwrap_or("nodestore"), self.name)
    }

    /// The name of a table beside it.
    pub(crate) fn beside(&self, what: &str) -> String {
        format!("{}-{what}", self.main())
    }

    /// All items of a table, in the service's notation, in the order of their keys.
    pub(crate) async fn items(&self, table: &str) -> Vec<Value> {
        let (mut items, mut start) = (Vec::new(), None);
        loop {
            let scan = self.client().scan().table_name(table).set_exclusive_start_key(start);
            let page = scan.consistent_read(true).send().await.unwrap();
            items.extend(page.items.unwrap_or_default().into_iter().map(notation));
            start = page.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        items.sort_by_key(|item: &Value| {
            (item["pk"].to_string(), item["sk"].to_string(), item["SessionId"].to_string())
        });
        items
    }

    /// Puts an item in the service's notation.
    pub(crate) async fn put(&self, table: &str, item: Value) {
        let Value::Object(item) = item else { panic!("no object: {item}") };
        self.client().put_item().table_name(table).set_item(Some(attributes(item))).send().await.unwrap();
    }
}

/// Attributes from the service's notation: `{"pk": {"S": "a"}}`.
pub(crate) fn attributes(item: Map<String, Value>) -> Item {
    item.into_iter().map(|(name, value)| (name, attribute(value))).collect()
}

fn attribute(value: Value) -> AttributeValue {
    let Value::Object(value) = value else { panic!("no attribute: {value}") };
    let (kind, value) = value.into_iter().next().unwrap();
    match (kind.as_str(), value) {
        ("S", Value::String(text)) => AttributeValue::S(text),
        ("N", Value::String(number)) => AttributeValue::N(number),
        ("B", Value::String(bytes)) => AttributeValue::B(Blob::new(bytes)),
        ("BOOL", Value::Bool(value)) => AttributeValue::Bool(value),
        ("NULL", Value::Bool(_)) => AttributeValue::Null(true),
        ("L", Value::Array(items)) => AttributeValue::L(items.into_iter().map(attribute).collect()),
        ("M", Value::Object(members)) => AttributeValue::M(attributes(members)),
        (kind, value) => panic!("no attribute: {kind} {value}"),
    }
}

/// An item in the service's notation; bytes stand as their text.
pub(crate) fn notation(item: Item) -> Value {
    let mut members: Vec<(String, AttributeValue)> = item.into_iter().collect();
    members.sort_by(|one, other| one.0.cmp(&other.0));
    members.into_iter().map(|(name, value)| (name, noted(value))).collect()
}

fn noted(value: AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({"S": text}),
        AttributeValue::N(number) => json!({"N": number}),
        AttributeValue::B(bytes) => json!({"B": String::from_utf8(bytes.into_inner()).unwrap()}),
        AttributeValue::Bool(value) => json!({"BOOL": value}),
        AttributeValue::Null(_) => json!({"NULL": true}),
        AttributeValue::L(items) => json!({"L": items.into_iter().map(noted).collect::<Vec<_>>()}),
        AttributeValue::M(members) => json!({"M": notation(members)}),
        other => panic!("not expected: {other:?}"),
    }
}

/// What an item takes.
pub(crate) const ITEM: usize = 400 << 10;

/// How many bytes something would take, as the error says that refuses it for its size.
pub(crate) fn told(error: &Error) -> usize {
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
    assert!(error.message().contains(&ITEM.to_string()), "{error}");
    let (before, _) = error.message().split_once(" bytes").unwrap();
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Numbers at and past what the service can hold: 38 digits between 1e-130 and 1e126.
pub(crate) fn numbers() -> Value {
    let numbers = r#"{"38": 12345678901234567890123456789012345678, "39": 123456789012345678901234567890123456789,
        "least": 5e-324, "below": -5e-324, "great": 1e126, "deep": -1e126, "near": 9.999999999999999e125,
        "most": 1.7976931348623157e308, "small": 1e-130, "smaller": 1e-131, "zero": -0.0,
        "max": 18446744073709551615, "min": -9223372036854775808, "whole": 2.0, "list": [5e-324, [1e126]]}"#;
    serde_json::from_str(numbers).unwrap()
}

/// Names that mean something in an expression.
pub(crate) fn names() -> Vec<&'static str> {
    vec![
        "SELECT",
        "name",
        "status",
        "size",
        "#",
        "#n",
        ":",
        ":v",
        "a:b",
        "[0]",
        "size(a)",
        "_nodestore",
        "pk",
        "sk",
    ]
}

/// The test on a server, by its name.
pub(crate) fn test<F: Future<Output = ()> + Send>(
    name: &'static str,
    body: impl Fn(Db) -> F + Send + 'static,
) -> Trial {
    server::test(name, SERVER, move |url| async move {
        let db = open(&url).await;
        body(db.clone()).await;
        db.store.drop_namespace().await.unwrap();
    })
}

/// A store on this server, in a namespace that no other test has.
async fn open(url: &str) -> Db {
    let name = server::fresh_namespace();
    let config: DynamoDbConfig = url.parse().unwrap();
    let config = config.with_namespace(name.clone()).with_create(true).with_consistent_reads(true);
    let config = config.with_operation_timeout(Duration::from_mins(1));
    Db { store: DynamoDbBackend::connect(config.clone()).await.unwrap(), config, name }
}
