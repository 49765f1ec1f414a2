//! Changes of several items that are made together or not at all.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use store_core::{Error, ErrorKind, Result};

use crate::batch::Backoff;
use crate::codec::Item;
use crate::error::{NAME, from_driver};
use crate::space::Space;
use crate::tables::unbuilt;

/// The most items of a transaction.
pub(crate) const MAX_ITEMS: usize = 100;
/// The most bytes of a transaction's items, with some room for what the service counts besides.
pub(crate) const MAX_BYTES: usize = 4_000_000;

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
}

impl Condition {
    /// There is no item of this key.
    pub(crate) fn absent(partition: &str) -> Self {
        Self::default().with("attribute_not_exists(#p)").named("#p", partition)
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
    if let Some(Condition { expression, names, values }) = condition {
        put = put
            .condition_expression(expression)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values).filter(|values| !values.is_empty()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    }
    Ok(TransactWriteItem::builder().put(put.build().map_err(unbuilt)?).build())
}

/// Deletes an item, if the condition holds.
pub(crate) fn delete(table: &str, key: Item, condition: Option<Condition>) -> Result<TransactWriteItem> {
    let mut delete = Delete::builder().table_name(table).set_key(Some(key));
    if let Some(Condition { expression, names, values }) = condition {
        delete = delete
            .condition_expression(expression)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values).filter(|values| !values.is_empty()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    }
    Ok(TransactWriteItem::builder().delete(delete.build().map_err(unbuilt)?).build())
}

/// Makes a transaction. One that meets others, or is throttled, is tried again for as long as a call may take.
///
/// The driver gives it a token, by which the service knows a request that is repeated since its answer was lost.
pub(crate) async fn commit(space: &Space, actions: Vec<TransactWriteItem>) -> Result<Committed> {
    let mut backoff = Backoff::new(space.config.operation_timeout);
    loop {
        let request = space.client()?.transact_write_items().set_transact_items(Some(actions.clone()));
        let Err(error) = space.try_call(request.send()).await? else { return Ok(Committed::Yes) };
        let Some(reasons) = reasons(&error) else { return Err(from_driver(error)) };
        let said = |code: &str| reasons.iter().any(|reason| reason.code() == Some(code));
        if said("ConditionalCheckFailed") {
            return Ok(Committed::No(reasons.iter().map(|reason| reason.item.clone()).collect()));
        }
        let throttled = said("ThrottlingError") || said("ProvisionedThroughputExceeded");
        if !throttled && !said("TransactionConflict") {
            return Err(refused(reasons).with_source(error));
        }
        if !backoff.pause(false).await {
            return Err(
                if throttled { backoff.throttled(Vec::new()) } else { conflict(space) }.with_source(error)
            );
        }
    }
}

fn reasons<R>(error: &SdkError<TransactWriteItemsError, R>) -> Option<&[CancellationReason]> {
    match error.as_service_error()? {
        TransactWriteItemsError::TransactionCanceledException(canceled) => {
            Some(canceled.cancellation_reasons())
        }
        _ => None,
    }
}

fn refused(reasons: &[CancellationReason]) -> Error {
    let reason = reasons.iter().find(|reason| reason.code().is_some_and(|code| code != "None"));
    let code = reason.and_then(CancellationReason::code).unwrap_or_default();
    let says = reason.and_then(CancellationReason::message).unwrap_or("no reason");
    let kind = match code {
        "ValidationError" => ErrorKind::InvalidInput,
        "ItemCollectionSizeLimitExceeded" => ErrorKind::LimitExceeded,
        _ => ErrorKind::Other,
    };
    Error::new(kind, format!("the service refuses the transaction: {code}: {says}")).with_backend(NAME)
}

/// The error of what met others each time that it was tried, for as long as a call may take.
pub(crate) fn conflict(space: &Space) -> Error {
    let limit = space.config.operation_timeout.as_millis();
    let message =
        format!("others changed the same each time that it was tried, for {limit} ms; try it again");
    Error::new(ErrorKind::Conflict, message).with_backend(NAME)
}
