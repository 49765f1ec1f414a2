//! A store behind a bridge, and what cases say of its answers.

use serde_json::{Value, json};

use crate::CaseResult;
use crate::process::{Bridge, Pending};

/// An open store.
pub(crate) struct Store {
    pub(crate) bridge: Bridge,
    pub(crate) url: String,
    handle: i64,
    capabilities: Value,
}

#[expect(clippy::needless_pass_by_value, reason = "arguments are written where the call is")]
impl Store {
    /// Opens a store with a bridge of its own.
    pub(crate) fn open(bridge: Bridge, url: String, namespace: &str) -> CaseResult<Self> {
        let mut store = Self { bridge, url, handle: 0, capabilities: Value::Null };
        store.handle = store.open_again(namespace)?;
        store.capabilities = store.ok("capabilities", json!({}))?;
        Ok(store)
    }

    /// Opens another namespace, or the same again; answers its handle.
    pub(crate) fn open_again(&self, namespace: &str) -> CaseResult<i64> {
        let args = json!({"url": self.url, "namespace": namespace});
        let opened = answered("open", &args, self.bridge.send(None, "open", &args)?.wait()?)?;
        opened.get("store").and_then(Value::as_i64).ok_or_else(|| format!("open answered {opened}"))
    }

    /// What `capabilities` says under this name.
    pub(crate) fn can(&self, name: &str) -> &Value {
        self.capabilities.get(name).unwrap_or(&Value::Null)
    }

    /// The operations it offers.
    pub(crate) fn offered(&self) -> impl Iterator<Item = &str> {
        self.can("ops").as_array().into_iter().flatten().filter_map(Value::as_str)
    }

    /// Sends a request and does not wait.
    pub(crate) fn send(&self, op: &str, args: &Value) -> CaseResult<Pending<'_>> {
        self.bridge.send(Some(self.handle), op, args)
    }

    /// Through another handle of the same bridge.
    pub(crate) fn through(&self, handle: i64, op: &str, args: Value) -> CaseResult<Result<Value, Value>> {
        self.bridge.send(Some(handle), op, &args)?.wait()
    }

    /// The answer.
    pub(crate) fn ok(&self, op: &str, args: Value) -> CaseResult<Value> {
        answered(op, &args, self.send(op, &args)?.wait()?)
    }

    /// The answer is this one, to the order of members and the kind of numbers.
    pub(crate) fn is(&self, op: &str, args: Value, expected: Value) -> CaseResult {
        let what = format!("{op} {args}");
        same(&what, &self.ok(op, args)?, &expected)
    }

    /// The answer is an error of this kind, whose `failed` has these keys in any order.
    pub(crate) fn refused(&self, op: &str, args: Value, kind: &str, failed: &[&str]) -> CaseResult<String> {
        let what = format!("{op} {args}");
        match self.send(op, &args)?.wait()? {
            Ok(answer) => Err(format!("{what}: answered {answer}, not {kind}")),
            Err(error) => check_error(&what, &error, op, kind, failed),
        }
    }

    /// All items of a listing, read by pages of two; a page holds two unless it is the last.
    pub(crate) fn pages(&self, op: &str, args: Value) -> CaseResult<Vec<Value>> {
        let mut all = Vec::new();
        let mut after = Value::Null;
        loop {
            let mut args = args.clone();
            if let Some(args) = args.as_object_mut() {
                args.insert("limit".to_owned(), 2.into());
                args.insert("after".to_owned(), after);
            }
            let page = self.ok(op, args)?;
            let next = page.get("next").cloned().unwrap_or_default();
            let items = page.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
            if items.len() > 2 || (items.len() < 2 && !next.is_null()) {
                return Err(format!("{op}: a page of {} items of 2 that goes on at {next}", items.len()));
            }
            all.extend(items);
            if next.is_null() {
                return Ok(all);
            }
            after = next;
        }
    }
}

fn answered(op: &str, args: &Value, answer: Result<Value, Value>) -> CaseResult<Value> {
    answer.map_err(|error| format!("{op} {args}: {error}"))
}

/// Whether both are written alike.
pub(crate) fn same(what: &str, found: &Value, expected: &Value) -> CaseResult {
    let [written, right] = [found, expected].map(Value::to_string);
    if written == right {
        return Ok(());
    }
    Err(format!("{what}:\n   found {found}\nexpected {expected}"))
}

/// Holds an error against its form; answers its message.
pub(crate) fn check_error(
    what: &str,
    error: &Value,
    op: &str,
    kind: &str,
    failed: &[&str],
) -> CaseResult<String> {
    let members: Vec<&str> = error.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let known = ["kind", "message", "backend", "operation", "retryable", "failed"];
    let text = |name: &str| error.get(name).and_then(Value::as_str);
    let mut keys: Vec<&str> = error
        .get("failed")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    keys.sort_unstable();
    let holds = members == known
        && text("kind") == Some(kind)
        && text("operation") == Some(op)
        && text("message").is_some_and(|message| !message.is_empty())
        && text("backend").is_some_and(|backend| !backend.is_empty())
        && error.get("retryable").is_some_and(Value::is_boolean)
        && keys == failed;
    if holds {
        return Ok(text("message").unwrap_or_default().to_owned());
    }
    Err(format!("{what}: {error}; expected {kind} of {op} with failed {failed:?}"))
}
