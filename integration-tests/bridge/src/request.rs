//! Requests: what a line asks for.

use nodestore::{Error, JsonObject, Result};
use serde_json::Value;

/// A line that is a request; what it holds beside id and operation may still be wrong.
pub(crate) struct Request {
    /// An integer.
    pub(crate) id: Value,
    pub(crate) op: String,
    rest: JsonObject,
}

/// What an operation is given.
pub(crate) struct Given {
    /// The handle of a store.
    pub(crate) store: Option<u64>,
    pub(crate) args: JsonObject,
}

impl Request {
    /// Reads a line.
    ///
    /// # Errors
    /// `InvalidInput` when it is no JSON object, or has no integer `id` or no text `op`.
    pub(crate) fn read(line: &[u8]) -> Result<Self> {
        let refuse = |why: String| Error::invalid_input(format!("the line is no request: {why}"));
        let value =
            serde_json::from_slice(line).map_err(|error| refuse(format!("it is no JSON: {error}")))?;
        let Value::Object(mut rest) = value else { return Err(refuse("it is no JSON object".to_owned())) };
        let id = rest.shift_remove("id").filter(|id| id.is_i64() || id.is_u64());
        let id = id.ok_or_else(|| refuse("it has no \"id\" that is an integer".to_owned()))?;
        match rest.shift_remove("op") {
            Some(Value::String(op)) => Ok(Self { id, op, rest }),
            _ => Err(refuse("it has no \"op\" that is text".to_owned())),
        }
    }

    /// The store and the arguments.
    ///
    /// # Errors
    /// `InvalidInput` for a handle that is no integer, arguments that are no object, and members not known.
    pub(crate) fn given(&mut self) -> Result<Given> {
        let mut given = Given { store: None, args: JsonObject::new() };
        for (name, value) in std::mem::take(&mut self.rest) {
            match (name.as_str(), value) {
                ("store" | "args", Value::Null) => {}
                // What no handle can be is an unknown handle.
                ("store", Value::Number(number)) if number.is_i64() || number.is_u64() => {
                    given.store = Some(number.as_u64().unwrap_or_default());
                }
                ("store", _) => {
                    return Err(Error::invalid_input("\"store\" must be an integer, as open gave it"));
                }
                ("args", Value::Object(args)) => given.args = args,
                ("args", _) => return Err(Error::invalid_input("\"args\" must be an object")),
                _ => {
                    return Err(Error::invalid_input(format!(
                        "unknown member {name:?}; a request has \"id\", \"store\", \"op\" and \"args\""
                    )));
                }
            }
        }
        Ok(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_request_is_refused() {
        let lines: &[&[u8]] = &[
            b"",
            b"{",
            b"[]",
            b"7",
            b"\xff",
            b"{}",
            br#"{"op":"ping"}"#,
            br#"{"id":"1","op":"ping"}"#,
            br#"{"id":1.0,"op":"ping"}"#,
            br#"{"id":null,"op":"ping"}"#,
            br#"{"id":1}"#,
            br#"{"id":1,"op":3}"#,
            br#"{"id":1,"op":"ping"} {}"#,
        ];
        for line in lines {
            let error = Request::read(line).err().unwrap();
            assert_eq!(error.kind(), nodestore::ErrorKind::InvalidInput, "{line:?}");
        }
    }

    #[test]
    fn a_request_is_taken_apart() {
        let mut request = Request::read(br#"{"id":-7,"store":2,"op":"kv.scan","args":{"limit":1}}"#).unwrap();
        assert_eq!((request.id.as_i64(), request.op.as_str()), (Some(-7), "kv.scan"));
        let given = request.given().unwrap();
        assert_eq!((given.store, given.args.len()), (Some(2), 1));
    }

    #[test]
    fn nothing_else_may_stand_in_a_request() {
        for members in [r#""store":"1""#, r#""store":1.5"#, r#""args":[]"#, r#""argz":{}"#] {
            let line = format!(r#"{{"id":1,"op":"ping",{members}}}"#);
            assert!(Request::read(line.as_bytes()).unwrap().given().is_err(), "{members}");
        }
        let mut request = Request::read(br#"{"id":1,"op":"ping","store":null,"args":null}"#).unwrap();
        assert!(request.given().unwrap().args.is_empty());
    }
}
