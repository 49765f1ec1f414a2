//! Reading a part of one partition, page by page.

use aws_sdk_dynamodb::types::AttributeValue;
use store_core::Result;

use crate::batch::projection;
use crate::codec::Item;
use crate::space::Space;
use crate::tables::Keys;

/// A part of a partition.
#[derive(Clone, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) partition: String,
    /// The first and the last sort key, both included.
    pub(crate) from: String,
    pub(crate) to: String,
    /// Whether the greatest sort key comes first.
    pub(crate) backwards: bool,
    /// Only these attributes, besides the keys; `None` = all.
    pub(crate) fields: Option<&'a [&'a str]>,
    /// Whether the read sees every write that was answered before it.
    pub(crate) consistent: bool,
}

/// One page.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Item>,
    /// Where to go on; `None` at the end.
    pub(crate) next: Option<Item>,
}

/// A page of at most so many items, and 1 MB.
pub(crate) async fn page(
    space: &Space,
    table: &str,
    keys: &Keys,
    part: &Part<'_>,
    most: Option<usize>,
    after: Option<Item>,
) -> Result<Page> {
    let mut query = space
        .client()?
        .query()
        .table_name(table)
        .key_condition_expression("#p = :p AND #s BETWEEN :from AND :to")
        .expression_attribute_names("#p", &keys.partition)
        .expression_attribute_names("#s", &keys.sort)
        .expression_attribute_values(":p", AttributeValue::S(part.partition.clone()))
        .expression_attribute_values(":from", AttributeValue::S(part.from.clone()))
        .expression_attribute_values(":to", AttributeValue::S(part.to.clone()))
        .scan_index_forward(!part.backwards)
        .consistent_read(part.consistent)
        .set_limit(most.map(|most| i32::try_from(most).unwrap_or(i32::MAX)))
        .set_exclusive_start_key(after);
    if let Some(fields) = part.fields {
        let own = [keys.partition.as_str(), keys.sort.as_str()];
        let (names, expression) = projection(own.into_iter().chain(fields.iter().copied()));
        query = query.projection_expression(expression);
        for (placeholder, name) in names {
            query = query.expression_attribute_names(placeholder, name);
        }
    }
    let answer = space.call(query.send()).await?;
    Ok(Page { items: answer.items.unwrap_or_default(), next: answer.last_evaluated_key })
}
