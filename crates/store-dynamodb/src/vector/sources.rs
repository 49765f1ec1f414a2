//! The source documents of rows that Python wrote: nothing in such a row names it, but an item in a partition of its own.

use aws_sdk_dynamodb::types::AttributeValue;
use store_core::Result;

use super::rows::{Keep, Row};
use super::set::{Ready, Set};
use crate::batch;

/// Gives the nodes of such rows their source documents, if these are to be kept.
pub(super) async fn complete(
    set: &Set,
    ready: &Ready,
    mut rows: Vec<&mut Row>,
    keep: Keep,
    consistent: bool,
) -> Result<()> {
    if !keep.source {
        return Ok(());
    }
    rows.retain(|row| row.bare);
    let read = batch::Read {
        table: &ready.table,
        key: &[&ready.keys.partition, &ready.keys.sort],
        fields: Some(&[ready.names.vector]),
        consistent,
    };
    let keys = rows.iter().filter_map(|row| ready.source_key(&row.id)).collect();
    for (row, item) in rows.into_iter().zip(batch::get(&set.space, &read, keys).await?) {
        let source = item.and_then(|mut item| item.remove(ready.names.vector));
        if let Some(AttributeValue::S(source)) = source
            && !source.is_empty()
        {
            row.node = row.node.take().map(|node| node.with_source(source));
        }
    }
    Ok(())
}
