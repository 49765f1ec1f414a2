//! Small helpers between serde and JSON objects.

use serde::Serialize;
use serde_json::Value;

use crate::{Error, JsonObject, Result};

/// The JSON object a type of ours serializes to.
pub(crate) fn object_of<T: Serialize>(value: &T) -> JsonObject {
    match serde_json::to_value(value) {
        Ok(Value::Object(object)) => object,
        // Not reached: the types given here are objects with text keys, and nothing in them fails to serialize.
        _ => JsonObject::new(),
    }
}

/// The members of an object that is being read, taken out one by one, by value.
///
/// An absent member and one of the wrong type are different things: the first is `None`, the second an error that
/// names the member.
///
/// They stand in a list: to look one up among a dozen there is quicker than to hash its name.
pub(crate) struct Members(Vec<(String, Value)>);

impl Members {
    pub(crate) fn new(object: JsonObject) -> Self {
        Self(object.into_iter().collect())
    }

    /// The members of `value`, which must be an object; `name` is for the error.
    pub(crate) fn of(value: Value, name: &str) -> Result<Self> {
        object(value, name).map(Self::new)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        // The order of what is left is never looked at, so the quick removal will do.
        Some(self.0.swap_remove(place).1)
    }

    /// As [`take`](Self::take), where `null` is the same as absent.
    pub(crate) fn take_some(&mut self, name: &str) -> Option<Value> {
        self.take(name).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>> {
        self.take(name).map(|value| text(value, name)).transpose()
    }

    pub(crate) fn text_or(&mut self, name: &str, default: &str) -> Result<String> {
        Ok(self.text(name)?.unwrap_or_else(|| default.to_owned()))
    }

    pub(crate) fn required_text(&mut self, name: &str) -> Result<String> {
        self.text(name)?.ok_or_else(|| Error::invalid_input(format!("the member {name:?} is missing")))
    }

    pub(crate) fn nullable_text(&mut self, name: &str) -> Result<Option<String>> {
        self.take_some(name).map(|value| text(value, name)).transpose()
    }

    pub(crate) fn object(&mut self, name: &str) -> Result<Option<JsonObject>> {
        self.take(name).map(|value| object(value, name)).transpose()
    }

    pub(crate) fn nullable_integer(&mut self, name: &str) -> Result<Option<i64>> {
        let Some(value) = self.take_some(name) else { return Ok(None) };
        integer(&value).map(Some).ok_or_else(|| wrong(name, "an integer or null", &value))
    }

    pub(crate) fn nullable_floats(&mut self, name: &str) -> Result<Option<Vec<f64>>> {
        self.take_some(name).map(|value| floats(value, name)).transpose()
    }

    pub(crate) fn texts(&mut self, name: &str) -> Result<Vec<String>> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.into_iter().map(|item| text(item, name)).collect(),
            Some(other) => Err(wrong(name, "a list of texts", &other)),
        }
    }
}

fn object(value: Value, name: &str) -> Result<JsonObject> {
    match value {
        Value::Object(object) => Ok(object),
        other => Err(wrong(name, "an object", &other)),
    }
}

fn text(value: Value, name: &str) -> Result<String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(wrong(name, "text", &other)),
    }
}

/// An integer, also one written as a float (`4.0`), as document databases may give it back.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    let whole = || value.as_f64().filter(|float| float.fract() == 0.0);
    // The text of a whole float is parsed back exactly, or not at all when it is beyond 64 bits.
    value.as_i64().or_else(|| whole().and_then(|float| format!("{float:.0}").parse().ok()))
}

pub(crate) fn floats(value: Value, name: &str) -> Result<Vec<f64>> {
    let Value::Array(items) = value else { return Err(wrong(name, "a list of numbers or null", &value)) };
    let number = |(i, item): (usize, Value)| {
        item.as_f64().ok_or_else(|| wrong(&format!("{name}[{i}]"), "a number", &item))
    };
    items.into_iter().enumerate().map(number).collect()
}

pub(crate) fn wrong(name: &str, expected: &str, found: &Value) -> Error {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    let name = shorten(name);
    Error::invalid_input(format!("the member {name:?} must be {expected}, not {found}"))
}

/// A name or another short text in a message: on one line, cut short.
pub(crate) fn shorten(text: &str) -> String {
    const LONGEST: usize = 40;
    let shown = match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    };
    shown.replace(char::is_control, " ")
}

/// What serde says is wrong with a value, without the value: what was stored has no place in a message.
pub(crate) fn mismatch(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(", expected ") {
        Some((found, expected)) if found.starts_with("unknown variant") => {
            format!("{}, expected {expected}", shorten(found))
        }
        Some((_, expected)) => format!("{expected} is expected"),
        None => text,
    }
}
