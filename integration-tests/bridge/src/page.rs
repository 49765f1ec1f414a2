//! Pages of listings.

use futures::StreamExt as _;
use nodestore::{BoxStream, Page, Result};
use serde_json::Value;

use crate::answer::object;

/// One page of a stream: at most `limit` items. `shape` gives an item's key, which the next page begins after, and
/// its JSON.
pub(crate) async fn of_stream<T>(
    mut stream: BoxStream<T>,
    limit: Option<usize>,
    shape: impl Fn(T) -> (String, Value),
) -> Result<Value> {
    let mut items = Vec::new();
    let mut last = None;
    while limit.is_none_or(|limit| items.len() < limit) {
        let Some(item) = stream.next().await.transpose()? else { return Ok(page(items, None)) };
        let (key, item) = shape(item);
        items.push(item);
        last = Some(key);
    }
    Ok(page(items, last))
}

/// A page that the store made.
pub(crate) fn of_store<T>(given: Page<T>, shape: impl FnMut(T) -> Value) -> Value {
    let items: Vec<Value> = given.items.into_iter().map(shape).collect();
    page(items, given.next.map(|next| next.to_string()))
}

fn page(items: Vec<Value>, next: Option<String>) -> Value {
    object([("items", Value::Array(items)), ("next", next.map_or(Value::Null, Value::String))])
}
