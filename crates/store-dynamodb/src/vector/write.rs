//! Writing nodes, and changing their metadata.

use std::sync::Arc;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::kit::rounds::{self, Round, SHORT_PAUSE};
use store_core::kit::{check, vector_check};
use store_core::{AddMode, AddReport, Embedding, MetadataPatch, Node, RefDocId, Result, Selector};

use super::DynamoDbVectorStore;
use super::rows::{self, Keep, Row};
use super::set::Ready;
use crate::batch;
use crate::codec::Item;
use crate::error::from_driver;
use crate::filter::Expression;

/// Requests of one item that are under way at once.
const AT_ONCE: usize = 16;
/// Nodes that an update reads at once.
const READ: usize = 100;

/// A node ready to be written.
struct Write {
    id: String,
    item: Item,
    bytes: usize,
    /// What LlamaIndex's layout says of its source document.
    source: Option<Item>,
}

/// How a conditional write went.
enum Outcome {
    Done,
    /// The condition did not hold.
    Refused,
}

impl DynamoDbVectorStore {
    pub(super) async fn write(&self, ready: &Ready, nodes: Vec<Node>, mode: AddMode) -> Result<AddReport> {
        let embeddings = vector_check::upsert(&nodes, mode, &ready.config)?;
        let pairs: Vec<(Node, Option<Embedding>)> = nodes.into_iter().zip(embeddings).collect();
        let pairs = check::unique_by(pairs, mode == AddMode::Overwrite, |(node, _)| node.id.clone());
        let encode = |(node, embedding): (Node, Option<Embedding>)| {
            let id = node.id.as_str().to_owned();
            let (item, bytes) = rows::to_item(ready, &node, embedding.as_deref())?;
            let source = ready.source_key(&id).map(|mut key| {
                let source = node.ref_doc_id().map(RefDocId::into_string);
                let source = source.map_or(AttributeValue::Null(true), AttributeValue::S);
                key.insert(ready.names.vector.to_owned(), source);
                key
            });
            Ok(Write { id, item, bytes, source })
        };
        let writes = pairs.into_iter().map(encode).collect::<Result<Vec<Write>>>()?;
        let count = writes.len();
        if mode == AddMode::Overwrite {
            let (mut sources, mut items) = (Vec::new(), Vec::with_capacity(count));
            for write in writes {
                sources.extend(write.source.map(batch::Write::put));
                items.push(batch::Write::put_of(write.item, write.bytes));
            }
            let (space, sort) = (&self.set.space, &ready.keys.sort);
            batch::write(space, &ready.table, sources, sort).await?;
            batch::write(space, &ready.table, items, sort).await?;
            return Ok(AddReport::new(count, 0));
        }
        let mut existing = self.insert(ready, writes).await?;
        if mode == AddMode::Fail && !existing.is_empty() {
            existing.sort_unstable();
            return Err(check::already_exist("node", existing));
        }
        Ok(AddReport::new(count - existing.len(), existing.len()))
    }

    /// Writes what is not there; answers the ids of what is.
    async fn insert(&self, ready: &Ready, writes: Vec<Write>) -> Result<Vec<String>> {
        let inserts: Vec<_> = writes
            .into_iter()
            .map(|write| async move {
                let outcome = self.insert_one(ready, write.item).await;
                (write.id, write.source, outcome)
            })
            .collect();
        let mut inserts = stream::iter(inserts).buffered(AT_ONCE);
        let (mut existing, mut failed, mut first, mut sources) = (Vec::new(), Vec::new(), None, Vec::new());
        while let Some((id, source, outcome)) = inserts.next().await {
            match outcome {
                Ok(Outcome::Done) => sources.extend(source.map(batch::Write::put)),
                Ok(Outcome::Refused) => existing.push(id),
                Err(error) => {
                    first = first.or_else(|| Some(error.with_key(&id)));
                    failed.push(id);
                }
            }
        }
        let written = batch::write(&self.set.space, &ready.table, sources, &ready.keys.sort).await;
        match first {
            None => written.map(|()| existing),
            Some(error) => Err(error.with_failed(failed)),
        }
    }

    async fn insert_one(&self, ready: &Ready, item: Item) -> Result<Outcome> {
        let revision = item.get(ready.names.revision).cloned();
        let put = self
            .set
            .space
            .client()?
            .put_item()
            .table_name(&ready.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(#s)")
            .expression_attribute_names("#s", &ready.keys.sort)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match self.set.space.try_call(put.send()).await? {
            Ok(_) => Ok(Outcome::Done),
            Err(error) => match there(&error) {
                // The driver repeated the request, and the first one was done.
                Some(item) if item.get(ready.names.revision) == revision.as_ref() => Ok(Outcome::Done),
                Some(_) => Ok(Outcome::Refused),
                None => Err(from_driver(error)),
            },
        }
    }

    /// Changes the metadata of what is selected; answers how many nodes.
    ///
    /// The content is a text that the service can not change in part, so each node is read, changed here, and written
    /// if it is still what was read; otherwise it is looked at again.
    pub(super) async fn patch(
        &self,
        ready: &Arc<Ready>,
        selector: &Selector,
        patch: &MetadataPatch,
    ) -> Result<usize> {
        // Ids first: a change may move a node out of what is selected, and must not be met again.
        let rows = self.selected(ready, selector, Keep::METADATA, true).await?;
        let ids = rows.map_ok(|rows| rows.into_iter().map(|row| row.id).collect::<Vec<_>>());
        let ids: Vec<String> = ids.try_concat().await?;
        let selector = super::select::resolved(&self.set, ready, selector, true).await?;
        let round = |open| self.patch_round(ready, &selector, open, patch);
        rounds::settle(&ids, READ, SHORT_PAUSE, round).await
    }

    async fn patch_round(
        &self,
        ready: &Ready,
        selector: &Selector,
        ids: Vec<String>,
        patch: &MetadataPatch,
    ) -> Result<Round> {
        let rows = self.set.read(ready, &ids, Keep::UPDATE, true).await?;
        let mut changes = Vec::with_capacity(rows.len());
        for row in rows.into_iter().flatten() {
            let Some(mut node) = row.node.clone().filter(|node| selector.selects(node)) else {
                continue;
            };
            patch.apply(&mut node.metadata);
            let mut item = Item::new();
            rows::metadata(ready, &node, &mut item)
                .map_err(|error| error.with_key(&row.id).with_failed([&row.id]))?;
            changes.push(async move {
                let outcome = self.change(ready, &row, item).await;
                outcome
                    .map(|outcome| (row.id.clone(), matches!(outcome, Outcome::Done)))
                    .map_err(|error| error.with_key(&row.id).with_failed([&row.id]))
            });
        }
        stream::iter(changes).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Writes the attributes that the metadata decides, if the row is still what was read.
    async fn change(&self, ready: &Ready, row: &Row, item: Item) -> Result<Outcome> {
        let names = ready.names;
        let mut expression = Expression::default();
        let revision = expression.name(names.revision);
        let condition = if let Some(read) = &row.revision {
            format!("{revision} = {}", expression.value(AttributeValue::S(read.clone())))
        } else {
            // It was not written by us.
            let sort = expression.name(&ready.keys.sort);
            format!("attribute_exists({sort}) AND attribute_not_exists({revision})")
        };
        let mut may_go = vec![names.shadow.to_owned(), names.odd.to_owned(), names.extra.to_owned()];
        may_go.extend(
            ready.index.iter().flat_map(|index| &index.fields).map(|field| rows::inline_name(&field.key)),
        );
        let gone = may_go.into_iter().filter(|name| !item.contains_key(name));
        let gone: Vec<String> = gone.map(|name| expression.name(&name)).collect();
        let written = item.get(names.revision).cloned();
        let set: Vec<String> = item
            .into_iter()
            .map(|(name, value)| format!("{} = {}", expression.name(&name), expression.value(value)))
            .collect();
        let mut update = format!("SET {}", set.join(", "));
        if !gone.is_empty() {
            update = format!("{update} REMOVE {}", gone.join(", "));
        }
        let request = self
            .set
            .space
            .client()?
            .update_item()
            .table_name(&ready.table)
            .set_key(Some(ready.key(&row.id)))
            .update_expression(update)
            .condition_expression(condition)
            .set_expression_attribute_names(expression.names())
            .set_expression_attribute_values(expression.values())
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match self.set.space.try_call(request.send()).await? {
            Ok(_) => Ok(Outcome::Done),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                    let there = failed.item().and_then(|item| item.get(names.revision));
                    // The driver repeated the request, and the first one was done.
                    let ours = there.is_some() && there == written.as_ref();
                    Ok(if ours { Outcome::Done } else { Outcome::Refused })
                }
                _ => Err(from_driver(error)),
            },
        }
    }
}

/// The item that was there, if that is why a put was refused.
fn there<R>(error: &SdkError<PutItemError, R>) -> Option<Item> {
    match error.as_service_error()? {
        PutItemError::ConditionalCheckFailedException(failed) => {
            Some(failed.item().cloned().unwrap_or_default())
        }
        _ => None,
    }
}
