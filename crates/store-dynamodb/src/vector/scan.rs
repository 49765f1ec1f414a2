//! The rows of a set, read by Query: page by page, some partitions side by side.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_sdk_dynamodb::types::{AttributeValue, Select};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::{BoxStream, Error, ErrorKind, RefDocId, Result};

use super::rows::{self, BY_DOC, DOC_ID, Keep, Row};
use super::set::{Ready, Set, item_key};
use super::sources;
use crate::codec::Item;
use crate::filter::{Expression, Native, Test};

/// Partitions that are read at the same time; a page has 1 MB at most.
const AT_ONCE: usize = 8;

/// What is read of the rows.
#[derive(Clone, Debug)]
pub(super) struct Want {
    pub(super) keep: Keep,
    /// Admits rows, besides those without a shadow.
    pub(super) filter: Native,
    /// Whether every write that was answered is seen.
    pub(super) consistent: bool,
}

impl Want {
    /// The condition that the service is asked for, if there is one.
    fn condition(&self, ready: &Ready) -> Native {
        match &self.filter {
            Native::Everything => Native::Everything,
            filter => {
                let odd = Native::Is(Test::There(vec![ready.names.odd.to_owned()]));
                Native::any([filter.clone(), odd])
            }
        }
    }
}

/// Rows of one partition after this id, at most one page of the service's, or fewer; and the id after which it goes
/// on, if there are more.
pub(super) async fn page(
    set: &Set,
    ready: &Ready,
    want: &Want,
    partition: &str,
    after: Option<&str>,
) -> Result<(Vec<Row>, Option<String>)> {
    let mut expression = Expression::default();
    let key = expression.name(&ready.keys.partition);
    let value = expression.value(AttributeValue::S(partition.to_owned()));
    let filter = expression.text(&want.condition(ready));
    let projection = expression.list(&want.keep.attributes(ready));
    let query = set
        .space
        .client()?
        .query()
        .table_name(&ready.table)
        .key_condition_expression(format!("{key} = {value}"))
        .set_filter_expression(filter)
        .projection_expression(projection)
        .set_expression_attribute_names(expression.names())
        .set_expression_attribute_values(expression.values())
        .consistent_read(want.consistent)
        .set_exclusive_start_key(after.map(|after| item_key(&ready.keys, partition, after)));
    let answer = set.space.call(query.send()).await?;
    let items = answer.items.unwrap_or_default();
    let rows = items.into_iter().map(|item| rows::from_item(ready, item, want.keep));
    let mut rows = rows.collect::<Result<Vec<_>>>()?;
    sources::complete(set, ready, rows.iter_mut().collect(), want.keep, want.consistent).await?;
    let next = answer.last_evaluated_key.and_then(|mut key| sort_key(ready, &mut key));
    Ok((rows, next))
}

fn sort_key(ready: &Ready, item: &mut Item) -> Option<String> {
    match item.remove(&ready.keys.sort) {
        Some(AttributeValue::S(id)) => Some(id),
        _ => None,
    }
}

/// All rows of a set, in parts and in no order.
pub(super) fn rows(set: &Arc<Set>, ready: &Arc<Ready>, want: Want) -> BoxStream<Vec<Row>> {
    if want.filter == Native::Nothing {
        return stream::empty().boxed();
    }
    let want = Arc::new(want);
    let partition = |partition: String| {
        let (set, ready, want) = (Arc::clone(set), Arc::clone(ready), Arc::clone(&want));
        stream::try_unfold(Some(None::<String>), move |after| {
            let (set, ready, want) = (Arc::clone(&set), Arc::clone(&ready), Arc::clone(&want));
            let partition = partition.clone();
            async move {
                let Some(after) = after else { return Ok(None) };
                let (rows, next) = page(&set, &ready, &want, &partition, after.as_deref()).await?;
                Ok::<_, Error>(Some((rows, next.map(Some))))
            }
        })
        .boxed()
    };
    let partitions: Vec<_> = ready.partitions.iter().cloned().map(partition).collect();
    stream::iter(partitions).flatten_unordered(AT_ONCE).boxed()
}

/// How many rows the set has.
pub(super) async fn count(set: &Set, ready: &Ready, consistent: bool) -> Result<usize> {
    let counts: Vec<_> =
        ready.partitions.iter().map(|partition| count_partition(set, ready, partition, consistent)).collect();
    stream::iter(counts)
        .buffer_unordered(AT_ONCE)
        .try_fold(0, |sum, count| async move { Ok(sum + count) })
        .await
}

async fn count_partition(set: &Set, ready: &Ready, partition: &str, consistent: bool) -> Result<usize> {
    let (mut count, mut after) = (0, None);
    loop {
        let query = set
            .space
            .client()?
            .query()
            .table_name(&ready.table)
            .key_condition_expression("#p = :p")
            .expression_attribute_names("#p", &ready.keys.partition)
            .expression_attribute_values(":p", AttributeValue::S(partition.to_owned()))
            .select(Select::Count)
            .consistent_read(consistent)
            .set_exclusive_start_key(after);
        let answer = set.space.call(query.send()).await?;
        count += usize::try_from(answer.count).unwrap_or(0);
        after = answer.last_evaluated_key;
        if after.is_none() {
            return Ok(count);
        }
    }
}

/// The ids of the nodes of these source documents, in order. No row is read for it: our own layout has a local index,
/// LlamaIndex's a partition that names the document of each node.
pub(super) async fn of_sources(
    set: &Set,
    ready: &Ready,
    sources: &[RefDocId],
    consistent: bool,
) -> Result<Vec<String>> {
    let mut sources: Vec<&str> = sources.iter().map(RefDocId::as_str).collect();
    sources.sort_unstable();
    sources.dedup();
    // A longer one can not be the key of an index, and no node has it.
    sources.retain(|source| !source.is_empty() && source.len() <= rows::MAX_KEY);
    if sources.is_empty() {
        return Ok(Vec::new());
    }
    let mut queries = Vec::new();
    if ready.by_doc {
        for partition in &ready.partitions {
            for source in &sources {
                queries.push(Lookup { partition, source: Some(*source), wanted: Vec::new() });
            }
        }
    } else if let Some(partition) = &ready.sources {
        // Each partition is read once, whatever is looked for.
        for wanted in sources.chunks(100) {
            queries.push(Lookup { partition, source: None, wanted: wanted.to_vec() });
        }
    } else {
        return Err(Error::new(ErrorKind::Other, "the set does not know the source documents of its nodes"));
    }
    let lookups: Vec<_> = queries.into_iter().map(|lookup| look_up(set, ready, lookup, consistent)).collect();
    let found: Vec<Vec<String>> = stream::iter(lookups).buffer_unordered(AT_ONCE).try_collect().await?;
    let ids: BTreeSet<String> = found.into_iter().flatten().collect();
    Ok(ids.into_iter().collect())
}

/// A search for the nodes of source documents in one partition.
struct Lookup<'a> {
    partition: &'a str,
    /// By the local index.
    source: Option<&'a str>,
    /// By LlamaIndex's own partition.
    wanted: Vec<&'a str>,
}

async fn look_up(set: &Set, ready: &Ready, lookup: Lookup<'_>, consistent: bool) -> Result<Vec<String>> {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let mut expression = Expression::default();
    let key = expression.name(&ready.keys.partition);
    let value = expression.value(text(lookup.partition));
    let mut condition = format!("{key} = {value}");
    let mut filter = None;
    if let Some(source) = lookup.source {
        let (name, value) = (expression.name(DOC_ID), expression.value(text(source)));
        condition = format!("{condition} AND {name} = {value}");
    } else {
        let values = lookup.wanted.into_iter().map(text).collect();
        filter = expression.text(&Native::Is(Test::In(vec![ready.names.vector.to_owned()], values)));
    }
    let projection = expression.list(&[ready.keys.sort.as_str()]);
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let query = set
            .space
            .client()?
            .query()
            .table_name(&ready.table)
            .set_index_name(lookup.source.map(|_| BY_DOC.to_owned()))
            .key_condition_expression(&condition)
            .set_filter_expression(filter.clone())
            .projection_expression(&projection)
            .set_expression_attribute_names(expression.names())
            .set_expression_attribute_values(expression.values())
            .consistent_read(consistent)
            .set_exclusive_start_key(after);
        let answer = set.space.call(query.send()).await?;
        let items = answer.items.unwrap_or_default();
        ids.extend(items.into_iter().filter_map(|mut item| sort_key(ready, &mut item)));
        after = answer.last_evaluated_key;
        if after.is_none() {
            return Ok(ids);
        }
    }
}
