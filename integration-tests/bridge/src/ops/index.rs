//! Index structs.

use nodestore::{IndexStruct, JsonObject, Result};
use serde_json::Value;

use super::{Call, Op};
use crate::args::{AFTER, LIMIT, TEXT, must};
use crate::page;

pub(crate) const OPS: &[Op] = &[
    Op {
        name: "index.put",
        args: &[must("struct", r#"an index struct {"__type__":"list","__data__":{"index_id":...}}"#)],
        answer: "null",
        about: "Stores an index struct under its index id.",
        run: |call| Box::pin(put(call)),
    },
    Op {
        name: "index.get",
        args: &[must("index_id", TEXT)],
        answer: "struct|null",
        about: "The struct of an index id.",
        run: |call| Box::pin(get(call)),
    },
    Op {
        name: "index.delete",
        args: &[must("index_id", TEXT)],
        answer: "bool",
        about: "Removes it; answers whether it existed.",
        run: |call| Box::pin(delete(call)),
    },
    Op {
        name: "index.scan",
        args: &[AFTER, LIMIT],
        answer: r#"{"items":[struct...],"next":text|null}"#,
        about: "A page of all structs.",
        run: |call| Box::pin(scan(call)),
    },
];

async fn put(mut call: Call) -> Result<Value> {
    let index: JsonObject = call.args.must("struct")?;
    call.store()?.index()?.put(IndexStruct::from_json(index)?).await?;
    Ok(Value::Null)
}

async fn get(mut call: Call) -> Result<Value> {
    let id: String = call.args.must("index_id")?;
    let index = call.store()?.index()?.get(&id).await?;
    Ok(index.map_or(Value::Null, |index| Value::Object(index.to_json())))
}

async fn delete(mut call: Call) -> Result<Value> {
    let id: String = call.args.must("index_id")?;
    Ok(call.store()?.index()?.delete(&id).await?.into())
}

async fn scan(mut call: Call) -> Result<Value> {
    let after: Option<String> = call.args.may("after")?;
    let limit = call.args.limit()?;
    let all = call.store()?.index()?.scan(after);
    let shape = |index: IndexStruct| (index.index_id().to_owned(), Value::Object(index.to_json()));
    page::of_stream(all, limit, shape).await
}
