//! Batches of writes to items of several entities.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::{Error, Result};

use super::Inner;
use super::items::DynamoDbItems;
use crate::batch::{self, Write};
use crate::codec::Item;
use crate::error::at;

/// Puts and deletes of items of several entities of a table, sent in batches of 25, several at once. What the service
/// leaves undone is sent again, with growing pauses, until the time of the call is over.
///
/// It is no transaction, and has no conditions: items of an entity with versions can not be put by it.
///
/// ```no_run
/// # use serde::{Deserialize, Serialize};
/// # use serde_json::json;
/// # #[derive(Serialize, Deserialize)]
/// # struct User { user_id: String }
/// # #[derive(Serialize, Deserialize)]
/// # struct Event { user_id: String, at: String, event_id: String }
/// # async fn example(table: store_dynamodb::DynamoDbSingleTable, user: User, event: Event) -> store_core::Result<()> {
/// let users = table.entity::<User>("user")?;
/// let events = table.entity::<Event>("event")?;
/// table.batch().put(&users, &user)?.put(&events, &event)?.delete(&users, &json!({"user_id": "u2"}))?.send().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct DynamoDbBatch {
    inner: Arc<Inner>,
    writes: Vec<Write>,
    seen: HashSet<String>,
}

impl DynamoDbBatch {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self { inner, writes: Vec::new(), seen: HashSet::new() }
    }

    /// Puts an item over what is there.
    ///
    /// # Errors
    /// As [`DynamoDbItems::create`], of what is known before it is sent. `InvalidInput` for an entity with versions, for
    /// one of another table, and for an item that the batch writes already.
    pub fn put<T: Serialize + DeserializeOwned + Send + 'static>(
        self,
        entity: &DynamoDbItems<T>,
        item: &T,
    ) -> Result<Self> {
        let built = entity.item_of(item).map(|item| {
            let name = self.inner.model.name_of(&item);
            (name, Write::put(item))
        });
        self.add(entity, built)
    }

    /// Deletes the item of a key, of any version. One that is not there is no error.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn delete<T: Serialize + DeserializeOwned + Send + 'static>(
        self,
        entity: &DynamoDbItems<T>,
        key: &impl Serialize,
    ) -> Result<Self> {
        let built = entity.key(key).map(|key| {
            let name = self.inner.model.name_of(&key);
            (name, Write::delete(key))
        });
        self.add(entity, built)
    }

    fn add<T: Serialize + DeserializeOwned + Send + 'static>(
        mut self,
        entity: &DynamoDbItems<T>,
        built: Result<(String, Write)>,
    ) -> Result<Self> {
        let add = || {
            let (name, write) = built?;
            if !entity.is_of(&self.inner) {
                return Err(Error::invalid_input("the entity is of another table than the batch"));
            }
            if !self.seen.insert(name.clone()) {
                return Err(Error::invalid_input(
                    "the batch writes the item already; the service takes each item once",
                )
                .with_key(name));
            }
            self.writes.push(write);
            Ok(())
        };
        add().map_err(entity.at("single_table.batch"))?;
        Ok(self)
    }

    /// How many writes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Makes the writes; of none it does nothing.
    ///
    /// # Errors
    /// `failed` has the keys, `partition / sort`, of all that was not written, or of which it is not known; `Throttled` if
    /// the service left some undone until the time of the call was over.
    pub async fn send(self) -> Result<()> {
        let Inner { space, model, .. } = &*self.inner;
        let send = async {
            if self.writes.is_empty() {
                return Ok(());
            }
            self.inner.ready().await?;
            let name = |item: &Item| model.name_of(item);
            batch::write_named(space, &model.table, self.writes, &name).await
        };
        send.await.map_err(at("single_table.batch"))
    }
}
