//! What can befall a request, as the service words it.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Request;
use super::http::Message;

/// What befalls a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An error instead of doing it.
    Refuse(Code),
    /// It is done, and the answer is an error.
    ErrorAfter,
    /// The connection is cut, and it is not done.
    DropBefore,
    /// It is done, and the connection is cut.
    DropAfter,
    /// It is done after this time.
    DelayBefore(Duration),
    /// It is done, and the answer comes after this time.
    DelayAfter(Duration),
    /// So many of a batch are done, and the others handed back as not processed.
    Split(usize),
}

/// The service's errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Provisioned,
    Throttling,
    /// Another transaction, or a write beside it, is in the way.
    Conflict,
    /// The same transaction is just being made.
    InProgress,
    Internal,
    ServiceUnavailable,
    ExpiredToken,
    UnrecognizedClient,
}

impl Code {
    /// The error as an answer to a request.
    pub(super) fn answer(self, request: &Request) -> Message {
        const OWN: &str = "com.amazonaws.dynamodb.v20120810";
        const COMMON: &str = "com.amazon.coral.service";
        let (status, space, code, message) = match self {
            Self::Provisioned => (
                400,
                OWN,
                "ProvisionedThroughputExceededException",
                "The level of configured provisioned throughput for the table was exceeded.",
            ),
            Self::Throttling => (
                400,
                "com.amazon.coral.availability",
                "ThrottlingException",
                "Rate of requests exceeds the allowed throughput.",
            ),
            Self::Conflict => match cancelled(request) {
                Some(body) => return Message::answer(400, &body),
                None => (400, OWN, "TransactionConflictException", "Transaction is ongoing for the item"),
            },
            Self::InProgress => (
                400,
                OWN,
                "TransactionInProgressException",
                "The transaction with the given request token is already in progress.",
            ),
            Self::Internal => (500, OWN, "InternalServerError", "The request could not be processed."),
            Self::ServiceUnavailable => {
                (503, COMMON, "ServiceUnavailable", "The service is unavailable. Please retry.")
            }
            Self::ExpiredToken => (
                400,
                COMMON,
                "ExpiredTokenException",
                "The security token included in the request is expired",
            ),
            Self::UnrecognizedClient => (
                400,
                COMMON,
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            ),
        };
        Message::answer(status, &json!({ "__type": format!("{space}#{code}"), "message": message }))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Provisioned => "throughput exceeded",
            Self::Throttling => "throttled",
            Self::Conflict => "transaction conflicts",
            Self::InProgress => "transactions in progress",
            Self::Internal => "internal errors",
            Self::ServiceUnavailable => "unavailable",
            Self::ExpiredToken => "expired tokens",
            Self::UnrecognizedClient => "unrecognized clients",
        }
    }
}

/// The error of a transaction of which the first item is in another one; `None` for a request of another kind.
fn cancelled(request: &Request) -> Option<Value> {
    let items = request.body.get("TransactItems")?.as_array()?;
    let reasons: Vec<Value> = (0..items.len())
        .map(|place| match place {
            0 => json!({ "Code": "TransactionConflict", "Message": "Transaction is ongoing for the item" }),
            _ => json!({ "Code": "None" }),
        })
        .collect();
    let codes: Vec<&str> = reasons.iter().filter_map(|reason| reason.get("Code")?.as_str()).collect();
    Some(json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": format!(
            "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
            codes.join(", ")
        ),
        "CancellationReasons": reasons,
    }))
}

impl Fault {
    /// What the service does in its place to a request that it can not befall.
    pub(super) fn fit(self, request: &Request) -> Self {
        match self {
            // A batch of which nothing could be done is an error of the service's.
            Self::Split(count) if count == 0 || count >= batch_size(&request.body) => {
                Self::Refuse(Code::Provisioned)
            }
            Self::Refuse(Code::InProgress) if request.operation != "TransactWriteItems" => {
                Self::Refuse(Code::Provisioned)
            }
            Self::Refuse(Code::Conflict) if !takes_part_in_transactions(&request.operation) => {
                Self::Refuse(Code::Throttling)
            }
            fault => fault,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Refuse(code) => code.name(),
            Self::ErrorAfter => "internal errors after it was done",
            Self::DropBefore => "dropped before",
            Self::DropAfter => "dropped after it was done",
            Self::DelayBefore(_) => "done late",
            Self::DelayAfter(_) => "answered late",
            Self::Split(_) => "batches in part",
        }
    }
}

fn takes_part_in_transactions(operation: &str) -> bool {
    ["PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "TransactGetItems"].contains(&operation)
}

/// A fault for so many of a hundred requests, of every kind.
pub(crate) fn random(seed: u64, percent: u64) -> impl Fn(&Request) -> Option<Fault> + Send + Sync {
    move |request| {
        let mut random = fastrand::Rng::with_seed(seed ^ request.number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        if random.u64(0..100) >= percent {
            return None;
        }
        let time = Duration::from_millis(random.u64(1..100));
        Some(match random.u8(0..12) {
            0 => Fault::Refuse(Code::Provisioned),
            1 => Fault::Refuse(Code::Throttling),
            2 => Fault::Refuse(Code::Internal),
            3 => Fault::Refuse(Code::ServiceUnavailable),
            4 => Fault::Refuse(Code::Conflict),
            5 => Fault::Refuse(Code::InProgress),
            6 => Fault::ErrorAfter,
            7 => Fault::DropBefore,
            8 => Fault::DropAfter,
            9 => Fault::DelayBefore(time),
            10 => Fault::DelayAfter(time),
            _ => Fault::Split(random.usize(1..25)),
        })
    }
}

/// The keys or writes of a table's part of a batch.
fn entries(table: &mut Value) -> Option<&mut Vec<Value>> {
    match table {
        Value::Object(reads) => reads.get_mut("Keys")?.as_array_mut(),
        writes => writes.as_array_mut(),
    }
}

fn batch_size(body: &Value) -> usize {
    let tables = body.get("RequestItems").and_then(Value::as_object);
    tables.into_iter().flatten().filter_map(|(_, table)| Some(entries(&mut table.clone())?.len())).sum()
}

/// Leaves the first of a batch in the request; answers the others, as a request of their own.
pub(super) fn split(body: &mut Value, mut count: usize) -> Map<String, Value> {
    let mut rest = Map::new();
    let Some(tables) = body.get_mut("RequestItems").and_then(Value::as_object_mut) else { return rest };
    for (name, table) in tables.iter_mut() {
        let mut left = table.clone();
        if let (Some(now), Some(later)) = (entries(table), entries(&mut left)) {
            later.drain(..count.min(later.len()));
            now.truncate(count);
            count -= now.len();
            if !later.is_empty() {
                rest.insert(name.clone(), left);
            }
        }
    }
    // A table without any key would be refused.
    tables.retain(|_, table| entries(table).is_some_and(|left| !left.is_empty()));
    rest
}

/// Hands back what was not asked of the server, beside what it handed back itself.
pub(super) fn leave(answer: &mut Value, operation: &str, rest: Map<String, Value>) {
    let name = if operation == "BatchGetItem" { "UnprocessedKeys" } else { "UnprocessedItems" };
    let Some(answer) = answer.as_object_mut() else { return };
    let Some(all) = answer.entry(name).or_insert_with(|| json!({})).as_object_mut() else { return };
    for (table, mut left) in rest {
        match all.get_mut(&table) {
            Some(there) => {
                if let (Some(there), Some(left)) = (entries(there), entries(&mut left)) {
                    there.append(left);
                }
            }
            None => {
                all.insert(table, left);
            }
        }
    }
}
