//! The program itself: lines, errors, and its end.

use serde_json::{Value, json};

use crate::CaseResult;
use crate::process::{whole_run, with_argument};
use crate::store::{check_error, same};

/// A case that needs no backend, and its name.
pub(super) type ProgramCase = (&'static str, fn() -> CaseResult);

pub(super) const CASES: &[ProgramCase] = &[
    ("help_names_every_operation", help_names_every_operation),
    ("an_argument_is_refused", an_argument_is_refused),
    ("no_input_is_a_good_end", no_input_is_a_good_end),
    ("bad_lines_are_answered_and_end_nothing", bad_lines_are_answered_and_end_nothing),
    ("bad_requests_keep_their_id", bad_requests_keep_their_id),
    ("opening_is_refused_without_secrets", opening_is_refused_without_secrets),
    ("filters_match_without_a_store", filters_match_without_a_store),
    ("numbers_keep_their_kind", numbers_keep_their_kind),
    ("a_long_line_is_read", a_long_line_is_read),
    ("what_runs_is_finished_at_the_end", what_runs_is_finished_at_the_end),
];

/// The answers to these lines, after a good end.
fn answers(input: &[u8]) -> CaseResult<Vec<Value>> {
    let (answers, status) = whole_run(input)?;
    if status.success() { Ok(answers) } else { Err(format!("the bridge ended with {status}")) }
}

fn holds(what: &str, holds: bool) -> CaseResult {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

fn help_names_every_operation() -> CaseResult {
    let (help, status) = with_argument("--help")?;
    holds("--help fails", status.success())?;
    for op in ["ping{}", "kv.put_many{collection,entries,[mode],[ttl_ms]}", "vectors.field_info{}"] {
        holds(&format!("--help is silent on {op}"), help.contains(op))?;
    }
    Ok(())
}

fn an_argument_is_refused() -> CaseResult {
    let (text, status) = with_argument("--port")?;
    holds("--port was not refused", status.code() == Some(2) && text.is_empty())
}

fn no_input_is_a_good_end() -> CaseResult {
    holds("there was an answer to nothing", answers(b"")?.is_empty())
}

fn bad_lines_are_answered_and_end_nothing() -> CaseResult {
    let too_deep = b"[".repeat(100_000);
    let lines: [&[u8]; 9] = [
        b"",
        b"rubbish",
        b"[1]",
        b"{\"id\":1,\"op\":\"ping\"",
        b"{\"op\":\"ping\"}",
        b"{\"id\":1.0,\"op\":\"ping\"}",
        b"{\"id\":2}",
        b"{\"id\":3,\"op\":\"\xff\"}",
        &too_deep,
    ];
    let mut input = lines.join(&b'\n');
    // Also without an end of its own, a last line is one.
    input.extend_from_slice(b"\n{\"id\":-5,\"op\":\"ping\"}");
    let (bad, good): (Vec<_>, Vec<_>) =
        answers(&input)?.into_iter().partition(|answer| answer.get("id").is_some_and(Value::is_null));
    same("the good line", &Value::from(good), &json!([{"id": -5, "ok": {"protocol": 1}}]))?;
    holds(&format!("{} bad lines of {} were answered", bad.len(), lines.len()), bad.len() == lines.len())?;
    for answer in bad {
        let error = answer.get("error").unwrap_or(&Value::Null);
        check_error("a bad line", error, "", "invalid_input", &[])?;
    }
    Ok(())
}

/// What a line holds behind id and operation, and the kind of its refusal.
const BAD_REQUESTS: &[(&str, &str, &str)] = &[
    ("nothing.such", "", "unsupported"),
    ("kv", "", "unsupported"),
    ("ping", r#","args":{"a":1}"#, "invalid_input"),
    ("ping", r#","args":{"a":null}"#, "invalid_input"),
    ("ping", r#","args":[]"#, "invalid_input"),
    ("ping", r#","arg":{}"#, "invalid_input"),
    ("ping", r#","store":"1""#, "invalid_input"),
    ("capabilities", "", "invalid_input"),
    ("capabilities", r#","store":null"#, "invalid_input"),
    ("capabilities", r#","store":1"#, "invalid_input"),
    ("close", r#","store":-1"#, "invalid_input"),
    ("open", "", "invalid_input"),
    ("open", r#","args":{"url":"memory:"}"#, "invalid_input"),
    ("open", r#","args":{"url":7,"namespace":"a"}"#, "invalid_input"),
    ("filter.matches", r#","args":{"metadata":{}}"#, "invalid_input"),
];

fn bad_requests_keep_their_id() -> CaseResult {
    let line = |(id, (op, rest, _)): (usize, &(&str, &str, &str))| {
        format!("{{\"id\":{id},\"op\":\"{op}\"{rest}}}\n")
    };
    let input: String = BAD_REQUESTS.iter().enumerate().map(line).collect();
    let mut found = answers(input.as_bytes())?;
    found.sort_by_key(|answer| answer.get("id").and_then(Value::as_u64));
    holds("an answer is missing", found.len() == BAD_REQUESTS.len())?;
    for (id, (answer, (op, rest, kind))) in found.iter().zip(BAD_REQUESTS).enumerate() {
        let what = format!("{op} {rest}: {answer}");
        holds(&what, answer.get("id").and_then(Value::as_u64) == u64::try_from(id).ok())?;
        check_error(&what, answer.get("error").unwrap_or(&Value::Null), op, kind, &[])?;
    }
    Ok(())
}

/// Each URL and namespace, and the kind of its refusal.
const BAD_STORES: &[(&str, &str, &str)] = &[
    ("", "a", "config"),
    ("nosuch://u:s3cret@h/", "a", "config"),
    ("/tmp/a", "a", "config"),
    ("memory:s3cret", "a", "config"),
    ("redis://u:s3cret@h:1/?no_such=1", "a", "config"),
    ("mongodb://u:s3cret@h:x/", "a", "config"),
    ("dynamodb://", "a", "config"),
    ("memory:?store.namespace=b", "a", "config"),
    ("memory:", "", "invalid_input"),
    ("memory:", "A", "invalid_input"),
    ("memory:", "1a", "invalid_input"),
    ("memory:", "a-b", "invalid_input"),
    ("memory:", "abcdefghijklmnopqrstuvwxyz0123456", "invalid_input"),
];

fn opening_is_refused_without_secrets() -> CaseResult {
    for (url, namespace, kind) in BAD_STORES {
        let line = json!({"id": 1, "op": "open", "args": {"url": url, "namespace": namespace}});
        let found = answers(line.to_string().as_bytes())?;
        let error = found.first().and_then(|answer| answer.get("error")).unwrap_or(&Value::Null);
        check_error(&line.to_string(), error, "open", kind, &[])?;
        let shown = error.to_string();
        holds(
            &format!("a secret is shown: {shown}"),
            url.starts_with("memory") || !shown.contains("s3cret"),
        )?;
    }
    Ok(())
}

/// A filter, and what it says of `{"a":{"b":1},"t":"2024-05-01","l":["x"],"n":null}`.
const FILTERS: &[(&str, Option<bool>)] = &[
    (r#"{"filters":[]}"#, Some(true)),
    (r#"{"filters":[],"condition":"or"}"#, Some(false)),
    (r#"{"key":"a.b","value":1.0}"#, Some(true)),
    (r#"{"key":"a.b","operator":"==","value":"1"}"#, Some(false)),
    (r#"{"not":{"key":"a.b","operator":">","value":1}}"#, Some(true)),
    (r#"{"key":"n","operator":"exists"}"#, Some(false)),
    (r#"{"key":"n","value":null}"#, Some(true)),
    (r#"{"key":"l","operator":"contains","value":"x"}"#, Some(true)),
    (r#"{"key":"t","operator":"<","value":{"timestamp":"2024-05-01T00:00:01Z"}}"#, Some(true)),
    (r#"{"filters":[{"key":"a.b","operator":"between","value":[0,2]}],"condition":"not"}"#, Some(false)),
    (r#"{"key":"a.b"}"#, None),
    (r#"{"key":"a..b","value":1}"#, None),
    (r#"{"key":"a","operator":"=~","value":1}"#, None),
    (r#"{"key":"a","value":1,"more":2}"#, None),
    (r#"{"filters":[],"condition":"xor"}"#, None),
    (r#"{"key":"t","value":{"timestamp":"today"}}"#, None),
    ("[]", None),
    ("7", None),
];

fn filters_match_without_a_store() -> CaseResult {
    let metadata = r#"{"a":{"b":1},"t":"2024-05-01","l":["x"],"n":null}"#;
    let line = |(id, (filter, _)): (usize, &(&str, Option<bool>))| {
        format!(
            "{{\"id\":{id},\"op\":\"filter.matches\",\"args\":{{\"filter\":{filter},\"metadata\":{metadata}}}}}\n"
        )
    };
    let input: String = FILTERS.iter().enumerate().map(line).collect();
    let mut found = answers(input.as_bytes())?;
    found.sort_by_key(|answer| answer.get("id").and_then(Value::as_u64));
    holds("an answer is missing", found.len() == FILTERS.len())?;
    for (answer, (filter, expected)) in found.iter().zip(FILTERS) {
        match (answer.get("ok"), answer.get("error"), expected) {
            (Some(found), None, Some(expected)) => same(filter, found, &json!(expected))?,
            (None, Some(error), None) => {
                check_error(filter, error, "filter.matches", "invalid_input", &[])?;
            }
            _ => return Err(format!("{filter}: {answer}")),
        }
    }
    Ok(())
}

/// A bridge on a store in memory, as its lines need no waiting: the first opens, and each waits for nothing but it.
fn on_memory(lines: &[String]) -> CaseResult<Vec<Value>> {
    let bridge = crate::process::Bridge::start()?;
    let store = crate::store::Store::open(bridge, "memory:".to_owned(), "lines")?;
    let mut found = Vec::new();
    for args in lines {
        let args: Value = serde_json::from_str(args).map_err(|error| error.to_string())?;
        store.ok("kv.put_many", args)?;
        found.push(store.ok("kv.get_many", json!({"collection": "c", "keys": ["k"]}))?);
    }
    store.bridge.end()?;
    Ok(found)
}

fn numbers_keep_their_kind() -> CaseResult {
    let value = r#"{"z":1,"a":1.0,"big":18446744073709551615,"small":-9223372036854775808,"f":0.1,"e":1e300,"t":"\u0000é\n"}"#;
    let found = on_memory(&[format!(r#"{{"collection":"c","entries":[["k",{value}]]}}"#)])?;
    let expected: Value = serde_json::from_str(&format!("[[{value}]]")).map_err(|error| error.to_string())?;
    same("the value", &Value::from(found), &expected)
}

fn a_long_line_is_read() -> CaseResult {
    let text = "é".repeat(10 << 20);
    let found = on_memory(&[json!({"collection": "c", "entries": [["k", {"t": text}]]}).to_string()])?;
    holds("the long text differs", found == [json!([{"t": text}])])
}

/// Requests that were read are answered, though nobody waits before the input ends.
fn what_runs_is_finished_at_the_end() -> CaseResult {
    let line = |id| format!("{{\"id\":{id},\"op\":\"ping\"}}\n");
    let input: String = (0..2_000).map(line).collect();
    let mut ids: Vec<_> =
        answers(input.as_bytes())?.iter().filter_map(|answer| answer.get("id")?.as_u64()).collect();
    ids.sort_unstable();
    holds("an answer is missing or doubled", ids.into_iter().eq(0..2_000))
}
