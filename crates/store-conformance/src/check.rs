//! What cases say about answers: comparisons that read well when they fail.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::Location;

use serde_json::Value;
use store_core::{
    AddReport, ChatMessage, Error, ErrorKind, IndexStruct, JsonObject, Node, NodeId, RefDocDeleted, RefDocId,
    RefDocInfo, Result,
};

/// What a case answers.
pub(crate) type CaseResult<T = ()> = Result<T, Failure>;

/// Why a case failed, and the line of the suite that says so.
pub(crate) struct Failure {
    message: String,
    place: &'static Location<'static>,
}

impl Failure {
    /// A failure at the caller's line.
    #[track_caller]
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: Location::caller() }
    }
}

impl From<Error> for Failure {
    #[track_caller]
    fn from(error: Error) -> Self {
        Self::new(format!("an unexpected error: {}", describe(&error)))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  in {}:{}", self.message, self.place.file(), self.place.line())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An error in one line: kind, sentence, sources.
pub(crate) fn describe(error: &Error) -> String {
    let mut text = format!("[{}] {error}", error.kind());
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

/// Fails unless `truth`.
#[track_caller]
pub(crate) fn holds(truth: bool, what: impl fmt::Display) -> CaseResult {
    if truth { Ok(()) } else { Err(Failure::new(what.to_string())) }
}

/// Fails unless both are the same JSON, member order and number kinds included.
#[track_caller]
pub(crate) fn same<A: Json + ?Sized, B: Json + ?Sized>(
    what: impl fmt::Display,
    actual: &A,
    expected: &B,
) -> CaseResult {
    let (actual, expected) = (actual.json().to_string(), expected.json().to_string());
    if actual == expected {
        return Ok(());
    }
    let (actual, expected) = excerpts(&actual, &expected);
    Err(Failure::new(format!("{what}\n  expected: {expected}\n    actual: {actual}")))
}

/// Fails unless both hold the same items, each as often, in any order.
#[track_caller]
pub(crate) fn same_items<A: Json, B: Json>(
    what: impl fmt::Display,
    actual: &[A],
    expected: &[B],
) -> CaseResult {
    let mut actual: Vec<String> = actual.iter().map(|item| item.json().to_string()).collect();
    let mut expected: Vec<String> = expected.iter().map(|item| item.json().to_string()).collect();
    actual.sort_unstable();
    expected.sort_unstable();
    if actual == expected {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{what}\n  missing: {}\n  too many: {}",
        shorten(&surplus(&expected, &actual).join(", ")),
        shorten(&surplus(&actual, &expected).join(", ")),
    )))
}

// What `of` has more often than `than`; both sorted.
fn surplus(of: &[String], than: &[String]) -> Vec<String> {
    let mut other = than.iter().peekable();
    let mut rest = Vec::new();
    for item in of {
        while other.next_if(|candidate| *candidate < item).is_some() {}
        if other.next_if(|candidate| *candidate == item).is_none() {
            rest.push(item.clone());
        }
    }
    rest
}

/// Fails unless the two numbers are within `tolerance`, relative for numbers above 1.
#[track_caller]
pub(crate) fn near(what: impl fmt::Display, actual: f64, expected: f64, tolerance: f64) -> CaseResult {
    let room = tolerance * expected.abs().max(1.0);
    holds((actual - expected).abs() <= room, format!("{what}: expected about {expected}, got {actual}"))
}

/// Fails unless the call was refused with one of these kinds; answers the error.
#[track_caller]
pub(crate) fn refused<T>(
    what: impl fmt::Display,
    result: Result<T>,
    kinds: &[ErrorKind],
) -> CaseResult<Error> {
    let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    match result {
        Ok(_) => {
            Err(Failure::new(format!("{what}: expected the error {}, got an answer", names.join(" or "))))
        }
        Err(error) if kinds.contains(&error.kind()) => Ok(error),
        Err(error) => Err(Failure::new(format!(
            "{what}: expected the error {}, got {}",
            names.join(" or "),
            describe(&error)
        ))),
    }
}

/// Fails unless the call was refused with `InvalidInput`; answers the error.
#[track_caller]
pub(crate) fn invalid<T>(what: impl fmt::Display, result: Result<T>) -> CaseResult<Error> {
    refused(what, result, &[ErrorKind::InvalidInput])
}

/// Fails unless the error's `failed` names exactly these keys, in any order.
#[track_caller]
pub(crate) fn failed_exactly(error: &Error, keys: &[&str]) -> CaseResult {
    let actual: BTreeSet<&str> = error.failed().iter().map(String::as_str).collect();
    let expected: BTreeSet<&str> = keys.iter().copied().collect();
    if actual == expected && actual.len() == error.failed().len() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "the error's failed keys\n  expected: {expected:?}\n    actual: {:?}\n  of: {}",
        error.failed(),
        describe(error)
    )))
}

const EXCERPT: usize = 600;

// Both texts around the place where they part.
fn excerpts(actual: &str, expected: &str) -> (String, String) {
    let common = actual.chars().zip(expected.chars()).take_while(|(a, b)| a == b).count();
    let from = if common > EXCERPT / 2 { common - EXCERPT / 4 } else { 0 };
    let cut = |text: &str| {
        let mut part: String = text.chars().skip(from).take(EXCERPT).collect();
        if from > 0 {
            part.insert(0, '…');
        }
        if text.chars().count() > from + EXCERPT {
            part.push('…');
        }
        part
    };
    (cut(actual), cut(expected))
}

/// At most a few lines of a text.
pub(crate) fn shorten(text: &str) -> String {
    let mut part: String = text.chars().take(EXCERPT).collect();
    if part.len() < text.len() {
        part.push('…');
    }
    part
}

/// What can be compared and shown as JSON.
pub(crate) trait Json {
    /// The JSON.
    fn json(&self) -> Value;
}

macro_rules! json_by {
    ($($kind:ty => |$it:ident| $json:expr;)*) => {
        $(impl Json for $kind {
            fn json(&self) -> Value {
                let $it = self;
                Value::from($json)
            }
        })*
    };
}
json_by! {
    Value => |it| it.clone();
    JsonObject => |it| it.clone();
    Node => |it| it.to_json();
    ChatMessage => |it| it.to_json();
    IndexStruct => |it| it.to_json();
    NodeId => |it| it.as_str();
    RefDocId => |it| it.as_str();
    RefDocInfo => |it| vec![it.node_ids.json(), it.metadata.json()];
    RefDocDeleted => |it| it.nodes;
    AddReport => |it| vec![it.written, it.skipped];
    str => |it| it;
    String => |it| it.as_str();
    bool => |it| *it;
    usize => |it| *it;
    i64 => |it| *it;
    f64 => |it| *it;
    () => |_it| Value::Null;
}

impl<T: Json + ?Sized> Json for &T {
    fn json(&self) -> Value {
        (**self).json()
    }
}

impl<T: Json> Json for Option<T> {
    fn json(&self) -> Value {
        self.as_ref().map_or(Value::Null, Json::json)
    }
}

impl<T: Json> Json for [T] {
    fn json(&self) -> Value {
        self.iter().map(Json::json).collect()
    }
}

impl<T: Json> Json for Vec<T> {
    fn json(&self) -> Value {
        self.as_slice().json()
    }
}

impl<T: Json, const N: usize> Json for [T; N] {
    fn json(&self) -> Value {
        self.as_slice().json()
    }
}

impl<A: Json, B: Json> Json for (A, B) {
    fn json(&self) -> Value {
        Value::from(vec![self.0.json(), self.1.json()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn number_kinds_signs_and_member_order_count() {
        for (left, right) in [
            (json!(1), json!(1.0)),
            (json!(0.0), json!(-0.0)),
            (json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1})),
        ] {
            assert!(same("x", &left, &right).is_err(), "{left} {right}");
            assert!(same("x", &left, &left).is_ok());
        }
    }

    #[test]
    fn surplus_items_are_named_with_their_number() {
        let error = same_items("what", &["a", "b", "b"], &["a", "b", "c"]).unwrap_err().to_string();
        assert!(error.starts_with("what\n  missing: \"c\"\n  too many: \"b\"\n"), "{error}");
    }

    #[test]
    fn a_failure_names_its_line() {
        let failure = holds(false, "x").unwrap_err().to_string();
        assert!(failure.contains("check.rs:"), "{failure}");
    }
}
