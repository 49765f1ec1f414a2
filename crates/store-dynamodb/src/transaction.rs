//! Changes of several items that are made together or not at all.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
    Update,
};
use store_core::{Error, ErrorKind, Result};

use crate::batch::Backoff;
use crate::codec::Item;
use crate::error::{NAME, from_driver, too_large};
use crate::space::Space;
use crate::tables::unbuilt;

/// The most items of a transaction.
pub(crate) const MAX_ITEMS: usize = 100;
/// The most bytes of a transaction's items, with some room for what the service counts besides.
pub(crate) const MAX_BYTES: usize = 4_000_000;

const ALL_OLD: ReturnValuesOnConditionCheckFailure = ReturnValuesOnConditionCheckFailure::AllOld;
/// The service's word for a condition that does not hold.
pub(crate) const FAILED_CONDITION: &str = "ConditionalCheckFailed";
const THROTTLED: [&str; 2] = ["ProvisionedThroughputExceeded", "ThrottlingError"];
const CONFLICT: &str = "TransactionConflict";

/// What became of a transaction.
#[derive(Debug)]
pub(crate) enum Committed {
    /// It was made.
    Yes,
    /// A condition did not hold, and nothing was changed: for each action the item that it met, if its condition was
    /// the one and there was an item.
    No(Vec<Option<Item>>),
}

/// A condition on an item, with its names and values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Condition {
    pub(crate) expression: String,
    pub(crate) names: HashMap<String, String>,
    pub(crate) values: Item,
    /// Whether the item that does not fulfil it is not to be told.
    pub(crate) quiet: bool,
}

impl Condition {
    /// There is no item of this key.
    pub(crate) fn absent(partition: &str) -> Self {
        Self::default().with("attribute_not_exists(#p)").named("#p", partition)
    }

    /// The item that does not fulfil it is not to be told.
    pub(crate) fn quietly(self) -> Self {
        Self { quiet: true, ..self }
    }

    pub(crate) fn with(mut self, expression: &str) -> Self {
        expression.clone_into(&mut self.expression);
        self
    }

    pub(crate) fn named(mut self, placeholder: &str, name: &str) -> Self {
        self.names.insert(placeholder.to_owned(), name.to_owned());
        self
    }

    pub(crate) fn valued(mut self, placeholder: &str, value: AttributeValue) -> Self {
        self.values.insert(placeholder.to_owned(), value);
        self
    }
}

/// Puts an item, if the condition holds.
pub(crate) fn put(table: &str, item: Item, condition: Option<Condition>) -> Result<TransactWriteItem> {
    let mut put = Put::builder().table_name(table).set_item(Some(item));
    if let Some(Condition { expression, names, values, quiet }) = condition {
        put = put
            .condition_expression(expression)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values).filter(|values| !values.is_empty()))
            .set_return_values_on_condition_check_failure((!quiet).then_some(ALL_OLD));
    }
    Ok(TransactWriteItem::builder().put(put.build().map_err(unbuilt)?).build())
}

/// Changes an item, if the condition holds; its names and values are the change's too.
pub(crate) fn update(
    table: &str,
    key: Item,
    change: &str,
    condition: Condition,
) -> Result<TransactWriteItem> {
    let Condition { expression, names, values, quiet } = condition;
    let update = Update::builder()
        .table_name(table)
        .set_key(Some(key))
        .update_expression(change)
        .set_condition_expression(Some(expression).filter(|expression| !expression.is_empty()))
        .set_expression_attribute_names(Some(names))
        .set_expression_attribute_values(Some(values).filter(|values| !values.is_empty()))
        .set_return_values_on_condition_check_failure((!quiet).then_some(ALL_OLD));
    Ok(TransactWriteItem::builder().update(update.build().map_err(unbuilt)?).build())
}

/// Deletes an item, if the condition holds.
pub(crate) fn delete(table: &str, key: Item, condition: Option<Condition>) -> Result<TransactWriteItem> {
    let mut delete = Delete::builder().table_name(table).set_key(Some(key));
    if let Some(Condition { expression, names, values, quiet }) = condition {
        delete = delete
            .condition_expression(expression)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values).filter(|values| !values.is_empty()))
            .set_return_values_on_condition_check_failure((!quiet).then_some(ALL_OLD));
    }
    Ok(TransactWriteItem::builder().delete(delete.build().map_err(unbuilt)?).build())
}

/// Makes a transaction. One that meets others, or is throttled, is tried again for as long as a call may take.
///
/// It has a token, by which the service knows a request that is repeated since its answer was lost.
pub(crate) async fn commit(space: &Space, actions: Vec<TransactWriteItem>) -> Result<Committed> {
    let mut backoff = Backoff::new(space.config.operation_timeout);
    // The places of its items tell the caller nothing.
    let unnamed = |error: Error| error.with_failed(Vec::<String>::new());
    match attempt(space, &actions, None, &mut backoff).await.map_err(unnamed)? {
        Outcome::Done => Ok(Committed::Yes),
        Outcome::Undone { reasons, .. } if reasons.iter().any(|reason| code(reason) == FAILED_CONDITION) => {
            Ok(Committed::No(reasons.into_iter().map(|reason| reason.item).collect()))
        }
        Outcome::Undone { error, .. } => Err(unnamed(error)),
    }
}

/// What became of an attempt.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done,
    /// The service undid it, for each item for a reason, and would do so again.
    Undone {
        reasons: Vec<CancellationReason>,
        error: Error,
    },
}

/// Makes a transaction, again and again while only others are in the way. By its `token`, or else by one of its own,
/// the service knows it again: one whose answer was lost, and which is then throttled, happens once.
pub(crate) async fn attempt(
    space: &Space,
    actions: &[TransactWriteItem],
    token: Option<&str>,
    backoff: &mut Backoff,
) -> Result<Outcome> {
    let token = token.map_or_else(|| format!("{:032x}", fastrand::u128(..)), str::to_owned);
    loop {
        let request = space
            .client()?
            .transact_write_items()
            .set_transact_items(Some(actions.to_vec()))
            .client_request_token(&token);
        let Err(error) = backoff.within(space.try_call(request.send())).await? else {
            return Ok(Outcome::Done);
        };
        let error = match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                let reasons = canceled.cancellation_reasons().to_vec();
                let passing = |reason: &CancellationReason| {
                    matches!(code(reason), "None" | CONFLICT) || THROTTLED.contains(&code(reason))
                };
                let passes = reasons.iter().all(passing);
                let error = undone(&reasons).with_source(error);
                if !passes {
                    return Ok(Outcome::Undone { reasons, error });
                }
                error
            }
            Some(TransactWriteItemsError::TransactionInProgressException(_)) => from_driver(error),
            _ => {
                let error = from_driver(error);
                if error.kind() != ErrorKind::Throttled {
                    return Err(error);
                }
                error
            }
        };
        if !backoff.pause(false).await {
            return Err(error);
        }
    }
}

/// Why an item was not written.
pub(crate) fn code(reason: &CancellationReason) -> &str {
    reason.code().unwrap_or("None")
}

/// The error of a transaction that was undone, with the reasons; `failed` names the places of the items.
fn undone(reasons: &[CancellationReason]) -> Error {
    let faults: Vec<(usize, &CancellationReason)> =
        reasons.iter().enumerate().filter(|(_, reason)| code(reason) != "None").collect();
    let any = |wanted: &str| faults.iter().any(|(_, reason)| code(reason) == wanted);
    let large = |reason: &CancellationReason| reason.message().is_some_and(too_large);
    let kind = if faults.iter().any(|(_, reason)| large(reason)) {
        ErrorKind::LimitExceeded
    } else if any("ValidationError") {
        ErrorKind::InvalidInput
    } else if any("ItemCollectionSizeLimitExceeded") {
        ErrorKind::LimitExceeded
    } else if any(FAILED_CONDITION) || any(CONFLICT) {
        ErrorKind::Conflict
    } else if faults.iter().any(|(_, reason)| THROTTLED.contains(&code(reason))) {
        ErrorKind::Throttled
    } else {
        ErrorKind::Other
    };
    let told: Vec<String> = faults
        .iter()
        .map(|(place, reason)| {
            format!("item {place}: {} ({})", code(reason), reason.message().unwrap_or("no reason"))
        })
        .collect();
    Error::new(kind, format!("the transaction was undone, nothing was written: {}", told.join("; ")))
        .with_backend(NAME)
        .with_failed(faults.iter().map(|(place, _)| place.to_string()))
}

/// The error of what met others each time that it was tried, for as long as a call may take.
pub(crate) fn conflict(space: &Space) -> Error {
    let limit = space.config.operation_timeout.as_millis();
    let message =
        format!("others changed the same each time that it was tried, for {limit} ms; try it again");
    Error::new(ErrorKind::Conflict, message).with_backend(NAME)
}
