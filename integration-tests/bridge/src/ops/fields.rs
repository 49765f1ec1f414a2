//! Questions about the metadata fields of vectors.

use nodestore::{DistinctOptions, Error, JsonObject, Result, VectorFields, VectorStore};
use serde_json::{Value, json};

use super::vectors::{SELECTOR, selector};
use super::{Call, Op};
use crate::answer::object;
use crate::args::{Arg, COUNT, TEXT, TEXTS, may, must};

const KEY: Arg = must("key", TEXT);

pub(crate) const OPS: &[Op] = &[
    Op {
        name: "vectors.distinct",
        args: &[KEY, SELECTOR, may("search", TEXT), may("offset", COUNT), may("limit", COUNT)],
        answer: r#"{"values":[scalar...],"total":int}"#,
        about: "The different values of a field.",
        run: |call| Box::pin(distinct(call)),
    },
    Op {
        name: "vectors.count_distinct",
        args: &[must("keys", TEXTS), SELECTOR],
        answer: "{key:int...}",
        about: "How many different values fields have.",
        run: |call| Box::pin(count_distinct(call)),
    },
    Op {
        name: "vectors.min_max",
        args: &[KEY, SELECTOR],
        answer: r#"{"min":scalar|null,"max":scalar|null}"#,
        about: "The least and the greatest value of a field.",
        run: |call| Box::pin(min_max(call)),
    },
    Op {
        name: "vectors.field_info",
        args: &[],
        answer: r#"{key:{"type":text}...}"#,
        about: "The types of the fields in use.",
        run: |call| Box::pin(field_info(call)),
    },
];

async fn distinct(mut call: Call) -> Result<Value> {
    let key: String = call.args.must("key")?;
    let selector = selector(&mut call.args)?;
    let mut options = DistinctOptions::default();
    options.search = call.args.may("search")?;
    options.offset = call.args.may("offset")?.unwrap_or_default();
    options.limit = call.args.may("limit")?;
    let store = call.store()?.vectors()?;
    let found = fields(&*store)?.distinct(&key, &selector, options).await?;
    Ok(object([("values", Value::Array(found.values)), ("total", found.total.into())]))
}

async fn count_distinct(mut call: Call) -> Result<Value> {
    let keys: Vec<String> = call.args.must("keys")?;
    let selector = selector(&mut call.args)?;
    let store = call.store()?.vectors()?;
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let counts = fields(&*store)?.count_distinct(&names, &selector).await?;
    Ok(Value::Object(keys.into_iter().zip(counts.into_iter().map(Value::from)).collect()))
}

async fn min_max(mut call: Call) -> Result<Value> {
    let key: String = call.args.must("key")?;
    let selector = selector(&mut call.args)?;
    let store = call.store()?.vectors()?;
    let (min, max) = fields(&*store)?.min_max(&key, &selector).await?.unwrap_or_default();
    Ok(object([("min", min), ("max", max)]))
}

async fn field_info(call: Call) -> Result<Value> {
    let store = call.store()?.vectors()?;
    let info = fields(&*store)?.field_info().await?;
    let info: JsonObject = info.into_iter().map(|(key, kind)| (key, json!({"type": kind}))).collect();
    Ok(Value::Object(info))
}

fn fields(store: &dyn VectorStore) -> Result<&dyn VectorFields> {
    let message = "this backend answers no questions about fields";
    store.fields().ok_or_else(|| Error::new(nodestore::ErrorKind::Unsupported, message))
}
