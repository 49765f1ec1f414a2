//! A way to the service that counts what goes through it, loses answers, and leaves work undone.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use store_dynamodb::aws_sdk_dynamodb::Client;
use store_dynamodb::aws_sdk_dynamodb::config::http::HttpResponse;
use store_dynamodb::aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
};
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
}

#[derive(Debug, Default)]
struct State {
    counts: BTreeMap<String, usize>,
    faults: Vec<(&'static str, Fault, usize)>,
    /// What was asked by the requests under way, by where the driver keeps its notes of them.
    under_way: HashMap<usize, (String, Value)>,
}

/// Counts requests and spoils answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Arc<Mutex<State>>);

impl Faults {
    /// A store like that of `config` whose requests go this way.
    pub(crate) fn store(&self, client: &Client, config: DynamoDbConfig) -> DynamoDbBackend {
        let settings = client.config().to_builder().interceptor(self.clone()).build();
        DynamoDbBackend::from_client(Client::from_conf(settings), config).unwrap()
    }

    /// Spoils the next answers to an operation.
    pub(crate) fn spoil(&self, operation: &'static str, fault: Fault, times: usize) {
        self.0.lock().unwrap().faults.push((operation, fault, times));
    }

    /// Spoils nothing any more.
    pub(crate) fn heal(&self) {
        self.0.lock().unwrap().faults.clear();
    }

    /// How many requests were sent since the last look, by operation.
    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.0.lock().unwrap().counts)
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
        if !state.faults.is_empty() {
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
        let mut state = self.0.lock().unwrap();
        let under_way = state.under_way.remove(&std::ptr::from_mut(notes).addr());
        let Some((operation, asked)) = under_way else { return Ok(()) };
        let found = state.faults.iter_mut().find(|(name, _, left)| *name == operation && *left > 0);
        let fault = found.map(|(_, fault, left)| {
            *left -= 1;
            *fault
        });
        let (status, body) = match fault {
            None => return Ok(()),
            Some(Fault::Lost) => {
                let kind = "com.amazonaws.dynamodb.v20120810#InternalServerError";
                (500_u16, json!({"__type": kind, "message": "lost"}))
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
