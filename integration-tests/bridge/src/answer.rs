//! Answers: what is written for a request.

use nodestore::{Error, Result};
use serde::Serialize;
use serde_json::{Value, json};

/// Stands in an error that no store gave.
const OURSELVES: &str = "bridge";

/// A whole answer: one of `ok` and `error`.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer<'a> {
    Ok { id: &'a Value, ok: Value },
    Error { id: &'a Value, error: Value },
}

/// The line of an answer, with its end.
pub(crate) fn line(id: &Value, op: &str, backend: Option<&'static str>, outcome: Result<Value>) -> Vec<u8> {
    let answer = match outcome {
        Ok(ok) => Answer::Ok { id, ok },
        Err(error) => Answer::Error { id, error: fault(&error, op, backend) },
    };
    // JSON always serializes to memory.
    let mut line = serde_json::to_vec(&answer).unwrap_or_default();
    line.push(b'\n');
    line
}

/// A JSON object of these members. Unlike `json!` it copies nothing.
pub(crate) fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// An error as the protocol has it. What lies behind it goes to the log.
fn fault(error: &Error, op: &str, backend: Option<&'static str>) -> Value {
    tracing::debug!(op, ?error, "refused");
    json!({
        "kind": error.kind().as_str(),
        "message": message(error),
        "backend": error.backend().or(backend).unwrap_or(OURSELVES),
        "operation": op,
        "retryable": error.is_retryable(),
        "failed": error.failed(),
    })
}

/// The sentence with collection and key before it; backend and operation have members of their own.
fn message(error: &Error) -> String {
    let place = match (error.collection(), error.key()) {
        (Some(collection), Some(key)) => format!("{collection} {key:?}: "),
        (Some(collection), None) => format!("{collection}: "),
        (None, Some(key)) => format!("{key:?}: "),
        (None, None) => String::new(),
    };
    place + error.message()
}

#[cfg(test)]
mod tests {
    use nodestore::ErrorKind;

    use super::*;

    #[test]
    fn an_error_says_everything_once() {
        let error = Error::new(ErrorKind::Throttled, "slow down")
            .with_operation("kv.inner")
            .with_collection("c")
            .with_key("k")
            .with_failed(["k"]);
        let line = line(&json!(3), "kv.put_many", Some("memory"), Err(error));
        let expected = r#"{"id":3,"error":{"kind":"throttled","message":"c \"k\": slow down","backend":"memory","operation":"kv.put_many","retryable":true,"failed":["k"]}}"#;
        assert_eq!(String::from_utf8(line).unwrap(), format!("{expected}\n"));
    }

    #[test]
    fn an_answer_is_one_line() {
        let line = line(&json!(1), "ping", None, Ok(json!({"text": "a\nb", "one": 1, "two": 2.0})));
        assert_eq!(line, b"{\"id\":1,\"ok\":{\"text\":\"a\\nb\",\"one\":1,\"two\":2.0}}\n");
    }
}
