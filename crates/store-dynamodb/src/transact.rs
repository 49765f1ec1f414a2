//! Transactions of the caller's own.

use std::sync::Arc;

use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, TransactWriteItem, Update};
use store_core::{Error, ErrorKind, Result};

use crate::DynamoDbBackend;
use crate::batch::Backoff;
use crate::error::at;
use crate::space::Space;
use crate::transaction::{MAX_ITEMS, Outcome, attempt};

/// The greatest token.
const TOKEN_CHARS: usize = 36;

/// Several writes of one or more tables that happen together or not at all: up to 100 items, 4 MB in all, each item
/// at most once.
///
/// The writes are the driver's own types, with conditions where they need some. While another transaction is in the
/// way, or the service asks for a slower pace, it is sent again until the store's `operation_timeout`; it happens once,
/// since it carries a token.
///
/// ```no_run
/// # async fn example(store: store_dynamodb::DynamoDbBackend) -> store_core::Result<()> {
/// use store_dynamodb::aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Put};
///
/// let key = |sk: &str| [("pk", "orders"), ("sk", sk)].map(|(k, v)| (k.to_owned(), AttributeValue::S(v.to_owned())));
/// let order = Put::builder().table_name("shop").set_item(Some(key("7").into())).build();
/// let open = ConditionCheck::builder()
///     .table_name("shop")
///     .set_key(Some(key("shop is open").into()))
///     .condition_expression("attribute_exists(pk)")
///     .build();
/// # let (order, open) = (order.unwrap(), open.unwrap());
/// store.transaction().put(order).check(open).with_token("order 7").send().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct DynamoDbTransaction {
    space: Arc<Space>,
    items: Vec<TransactWriteItem>,
    token: Option<String>,
}

impl DynamoDbBackend {
    /// A transaction on this store's account and region; any of its tables may take part.
    pub fn transaction(&self) -> DynamoDbTransaction {
        DynamoDbTransaction { space: Arc::clone(&self.space), items: Vec::new(), token: None }
    }
}

impl DynamoDbTransaction {
    /// Puts an item.
    pub fn put(mut self, put: Put) -> Self {
        self.items.push(TransactWriteItem::builder().put(put).build());
        self
    }

    /// Changes an item.
    pub fn update(mut self, update: Update) -> Self {
        self.items.push(TransactWriteItem::builder().update(update).build());
        self
    }

    /// Deletes an item.
    pub fn delete(mut self, delete: Delete) -> Self {
        self.items.push(TransactWriteItem::builder().delete(delete).build());
        self
    }

    /// Goes through only if the condition holds for an item that is not written.
    pub fn check(mut self, check: ConditionCheck) -> Self {
        self.items.push(TransactWriteItem::builder().condition_check(check).build());
        self
    }

    pub(crate) fn with(mut self, item: TransactWriteItem) -> Self {
        self.items.push(item);
        self
    }

    /// A token of your own, at most 36 characters: the same transaction with the same token, sent again within ten
    /// minutes, happens once. Default: one for each [`send`](Self::send).
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// How many writes and checks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Makes the writes; of none it does nothing.
    ///
    /// # Errors
    /// `LimitExceeded` for more than 100 items, before anything is sent. `Conflict` when a condition does not hold, or
    /// others were in the way until the time was over: nothing was written, the message has a reason for each item,
    /// and `failed` the places of those at fault, from 0 on. The driver's own error is the source.
    pub async fn send(self) -> Result<()> {
        let send = async {
            if self.items.is_empty() {
                return Ok(());
            }
            if self.items.len() > MAX_ITEMS {
                let count = self.items.len();
                let message =
                    format!("the transaction has {count} items, the service takes at most {MAX_ITEMS}");
                return Err(Error::new(ErrorKind::LimitExceeded, message));
            }
            if let Some(token) = &self.token
                && (token.is_empty() || token.chars().count() > TOKEN_CHARS)
            {
                let message = format!("the token {token:?} has not 1 to {TOKEN_CHARS} characters");
                return Err(Error::invalid_input(message));
            }
            let mut backoff = Backoff::new(self.space.config.operation_timeout);
            match attempt(&self.space, &self.items, self.token.as_deref(), &mut backoff).await? {
                Outcome::Done => Ok(()),
                Outcome::Undone { error, .. } => Err(error),
            }
        };
        send.await.map_err(at("transaction"))
    }
}
