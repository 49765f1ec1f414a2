//! Filters, by `Filter::matches`.

use nodestore::{JsonObject, Result};
use serde_json::Value;

use super::{Call, Op};
use crate::args::{OBJECT, must};

/// What a filter is, for people.
pub(crate) const FILTER: &str = "a filter in LlamaIndex's JSON";

pub(crate) const OPS: &[Op] = &[Op {
    name: "filter.matches",
    args: &[must("filter", FILTER), must("metadata", OBJECT)],
    answer: "bool",
    about: "Whether a filter matches this metadata.",
    run: |call| Box::pin(async move { matches(call) }),
}];

fn matches(mut call: Call) -> Result<Value> {
    let filter = call.args.filter("filter")?.ok_or_else(|| call.args.missing("filter"))?;
    let metadata: JsonObject = call.args.must("metadata")?;
    Ok(Value::Bool(filter.matches(&metadata)))
}
