//! A way to the service that counts what goes through it, loses answers, and leaves work undone.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use std::time::Duration;

use serde_json::{Value, json};
use store_dynamodb::aws_sdk_dynamodb::Client;
use store_dynamodb::aws_sdk_dynamodb::config::http::HttpResponse;
use store_dynamodb::aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
};
use store_dynamodb::aws_sdk_dynamodb::config::retry::RetryConfig;
use store_dynamodb::aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use store_dynamodb::aws_sdk_dynamodb::error::BoxError;
use store_dynamodb::{DynamoDbBackend, DynamoDbConfig};

/// What becomes of the next answers to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The service did it, but its answer is an error 500.
    Lost,
    /// The answer says that nothing of the batch was done.
    Undone,
    /// The answer says that the service is too busy.
    Throttled,
    /// The answer says that another transaction was in the way.
    Conflict,
    /// There is no answer, and the driver gives up.
    Dropped,
}

#[derive(Debug, Default)]
struct State {
    counts: BTreeMap<String, usize>,
    /// Bytes of answers.
    bytes: usize,
    faults: Vec<(&'static str, Fault, usize)>,
    /// How many of a thousand answers are spoiled, and the state of the generator that chooses.
    random: Option<(u64, u64)>,
    spoiled: BTreeMap<String, usize>,
    /// What was asked by the requests under way, by where the driver keeps its notes of them.
    under_way: HashMap<usize, (String, Value)>,
}

impl State {
    fn at_random(&mut self, operation: &str) -> Option<Fault> {
        let (of_thousand, state) = self.random.as_mut()?;
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let drawn = *state >> 33;
        if drawn % 1_000 >= *of_thousand {
            return None;
        }
        let fault = match (drawn / 1_000 % 8, operation) {
            (0, _) => Fault::Dropped,
            (1 | 2, _) => Fault::Throttled,
            (_, "BatchGetItem" | "BatchWriteItem") if drawn % 2 == 0 => Fault::Undone,
            (_, "TransactWriteItems") if drawn % 2 == 0 => Fault::Conflict,
            _ => Fault::Lost,
        };
        *self.spoiled.entry(format!("{operation} {fault:?}")).or_default() += 1;
        Some(fault)
    }
}

/// Counts requests and spoils answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Arc<Mutex<State>>);

impl Faults {
    /// A store like that of `config` whose requests go this way.
    pub(crate) fn store(&self, client: &Client, config: DynamoDbConfig) -> DynamoDbBackend {
        let retries =
            RetryConfig::standard().with_initial_backoff(Duration::from_millis(5)).with_max_attempts(4);
        let settings = client.config().to_builder().retry_config(retries).interceptor(self.clone()).build();
        DynamoDbBackend::from_client(Client::from_conf(settings), config).unwrap()
    }

    /// Spoils the next answers to an operation.
    pub(crate) fn spoil(&self, operation: &'static str, fault: Fault, times: usize) {
        self.0.lock().unwrap().faults.push((operation, fault, times));
    }

    /// Spoils so many of a thousand answers in some way or other, always the same for one seed and one order.
    pub(crate) fn spoil_at_random(&self, of_thousand: u64, seed: u64) {
        self.0.lock().unwrap().random = Some((of_thousand, seed));
    }

    /// Spoils nothing any more.
    pub(crate) fn heal(&self) {
        let mut state = self.0.lock().unwrap();
        state.faults.clear();
        state.random = None;
    }

    /// How many answers were spoiled at random, by how.
    pub(crate) fn spoiled(&self) -> BTreeMap<String, usize> {
        self.0.lock().unwrap().spoiled.clone()
    }

    /// How many requests were sent since the last look, by operation.
    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.0.lock().unwrap().counts)
    }

    /// How many bytes were answered since the last look.
    pub(crate) fn bytes(&self) -> usize {
        std::mem::take(&mut self.0.lock().unwrap().bytes)
    }
}

impl Intercept for Faults {
    fn name(&self) -> &'static str {
        "faults"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        notes: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.split('.').next_back().unwrap_or_default().to_owned();
        let mut state = self.0.lock().unwrap();
        *state.counts.entry(operation.clone()).or_default() += 1;
        if !state.faults.is_empty() || state.random.is_some() {
            let asked = serde_json::from_slice(request.body().bytes().unwrap_or_default())?;
            state.under_way.insert(std::ptr::from_mut(notes).addr(), (operation, asked));
        }
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        notes: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let length =
            context.response().headers().get("content-length").and_then(|length| length.parse().ok());
        let mut state = self.0.lock().unwrap();
        state.bytes += length.unwrap_or(0_usize);
        let under_way = state.under_way.remove(&std::ptr::from_mut(notes).addr());
        let Some((operation, asked)) = under_way else { return Ok(()) };
        let found = state.faults.iter_mut().find(|(name, _, left)| *name == operation && *left > 0);
        let planned = found.map(|(_, fault, left)| {
            *left -= 1;
            *fault
        });
        let fault = planned.or_else(|| state.at_random(&operation));
        let error = |kind: &str| json!({"message": "spoiled", "__type": format!("com.amazonaws.dynamodb.v20120810#{kind}")});
        let (status, body) = match fault {
            None => return Ok(()),
            Some(Fault::Dropped) => return Err("the connection was dropped".into()),
            Some(Fault::Lost) => (500_u16, error("InternalServerError")),
            Some(Fault::Throttled) => (400, error("ThrottlingException")),
            Some(Fault::Conflict) => {
                let count = asked["TransactItems"].as_array().map_or(0, Vec::len);
                let mut body = error("TransactionCanceledException");
                body["CancellationReasons"] = vec![json!({"Code": "TransactionConflict"}); count].into();
                (400, body)
            }
            Some(Fault::Undone) if operation == "BatchGetItem" => {
                (200, json!({"Responses": {}, "UnprocessedKeys": asked["RequestItems"]}))
            }
            Some(Fault::Undone) => (200, json!({"UnprocessedItems": asked["RequestItems"]})),
        };
        *context.response_mut() = HttpResponse::new(status.try_into()?, body.to_string().into());
        Ok(())
    }
}
