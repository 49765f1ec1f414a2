//! LlamaIndex's formats, without Python: fixed samples, older forms, broken input and random round trips.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod chat;
#[path = "../common/mod.rs"]
mod common;
mod hashes;
mod index_structs;
mod legacy;
mod nodes;
mod texts;
mod vector_metadata;

use proptest::prelude::*;
use serde_json::Value;
use store_core::{ErrorKind, JsonObject};

fn object(text: &str) -> JsonObject {
    serde_json::from_str(text).unwrap()
}

fn text_of(object: JsonObject) -> String {
    Value::Object(object).to_string()
}

/// A form written by us or Python in which one member, at any depth, is another JSON value or missing.
fn damaged(whole: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    (whole, any::<prop::sample::Index>(), prop::option::of(common::json_value())).prop_map(
        |(mut value, index, other)| {
            let mut paths = Vec::new();
            collect_paths(&value, String::new(), &mut paths);
            let path = index.get(&paths).clone();
            let place = value.pointer_mut(&path).unwrap();
            match (other, path.rsplit_once('/')) {
                (Some(other), _) => *place = other,
                (None, Some((parent, name))) => {
                    let name = name.replace("~1", "/").replace("~0", "~");
                    if let Some(Value::Object(parent)) = value.pointer_mut(parent) {
                        parent.shift_remove(&name);
                    }
                }
                (None, None) => {}
            }
            value
        },
    )
}

fn collect_paths(value: &Value, path: String, paths: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                collect_paths(member, format!("{path}/{name}"), paths);
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                collect_paths(item, format!("{path}/{i}"), paths);
            }
        }
        _ => {}
    }
    paths.push(path);
}

/// Refused as bad input, with these words.
fn assert_refused<T: std::fmt::Debug>(result: store_core::Result<T>, part: &str, case: &str) {
    let error = result.expect_err(case);
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{case}");
    assert!(error.to_string().contains(part), "{case}: {error} does not say {part:?}");
}
