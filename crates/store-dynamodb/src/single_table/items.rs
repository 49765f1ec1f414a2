//! The items of one entity.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::{Error, JsonObject, Result};

use super::bulk::DynamoDbBatch;
use super::model::{Entity, Model};
use super::query::{DynamoDbQuery, DynamoDbRecord};
use super::write::{self, Write};
use super::{Inner, item};
use crate::DynamoDbTransaction;
use crate::batch::{self, Read};
use crate::codec::Item;
use crate::error::at;
use crate::kv_layout::now;
use crate::transaction::{Committed, commit};

/// How often an upsert that meets an item past its time, or is met by another writer, begins anew.
const TURNS: usize = 8;

/// The items of an entity of a [`DynamoDbSingleTable`](crate::DynamoDbSingleTable), as values of your type `T`.
///
/// What writes an item is told apart:
///
/// | | there is none | there is one |
/// |---|---|---|
/// | [`create`](Self::create) | made | `AlreadyExists` |
/// | [`put`](Self::put) | made | replaced whole; with versions only the one that was read, else `Conflict` |
/// | [`upsert`](Self::upsert) | made of the fields given | the fields given are set, others stay |
/// | [`patch`](Self::patch) | `NotFound` | the fields given are set, others stay |
///
/// A key is anything that serializes to the fields of the key's templates: `json!({"user_id": "u1"})`, a struct, the
/// item itself; other fields of it do not matter.
///
/// Writes with a condition go as transactions of one item, at twice the price, since only those are done once though the
/// driver repeats a request whose answer was lost: all but `delete`, and `put` of an entity without versions.
pub struct DynamoDbItems<T> {
    inner: Arc<Inner>,
    place: usize,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for DynamoDbItems<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), place: self.place, value: PhantomData }
    }
}

impl<T> fmt::Debug for DynamoDbItems<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.inner.entity(self.place).map_or("", |entity| entity.name.as_str());
        f.debug_struct("DynamoDbItems")
            .field("table", &self.inner.model.table)
            .field("entity", &name)
            .finish_non_exhaustive()
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> DynamoDbItems<T> {
    pub(super) fn new(inner: Arc<Inner>, place: usize) -> Self {
        Self { inner, place, value: PhantomData }
    }

    /// The item of a key; `None` if there is none.
    ///
    /// # Errors
    /// `Corrupt` for an item that is no `T`.
    pub async fn get(&self, key: &impl Serialize) -> Result<Option<T>> {
        let get = async {
            let key = self.key(key)?;
            self.inner.ready().await?;
            let get = self.space().client()?.get_item().table_name(&self.model().table);
            let get = get.set_key(Some(key)).consistent_read(self.space().config.consistent_reads);
            self.kept(self.space().call(get.send()).await?.item)
        };
        get.await.map_err(self.at("single_table.get"))
    }

    /// The items of many keys, in their order, `None` where there is none: 100 in a request, several at once.
    ///
    /// # Errors
    /// As [`get`](Self::get). `Throttled` if the service left keys unread until the time of the call was over; they are
    /// never taken for missing.
    pub async fn get_many(&self, keys: &[impl Serialize]) -> Result<Vec<Option<T>>> {
        let keys: Result<Vec<Item>> = keys.iter().map(|key| self.key(key)).collect();
        let get = async {
            let keys = keys?;
            self.inner.ready().await?;
            let model = self.model();
            let read = Read {
                table: &model.table,
                key: &[&model.keys.partition, &model.keys.sort],
                fields: None,
                consistent: self.space().config.consistent_reads,
            };
            let items = batch::get(self.space(), &read, keys).await?;
            items.into_iter().map(|item| self.kept(item)).collect::<Result<Vec<_>>>()
        };
        get.await.map_err(self.at("single_table.get_many"))
    }

    /// Puts an item that must be new, and answers it as it is stored: with the version 1, if the entity has versions.
    ///
    /// # Errors
    /// `AlreadyExists` if there is one. `InvalidInput` for a field of a key that is missing, empty or no scalar, for a
    /// value that could not be read back (NaN), and for fields that the table needs for itself; `LimitExceeded` for a key or
    /// an item that is too long. Nothing is written then.
    pub async fn create(&self, item: &T) -> Result<T> {
        let planned = self.planned(item, write::create);
        let create = async {
            let (write, value) = planned?;
            self.commit(write, None).await?;
            Ok(value)
        };
        create.await.map_err(self.at("single_table.create"))
    }

    /// Puts an item over what is there, or makes it, and answers it as it is stored. In an entity with versions an item
    /// of the version 0 must be new, and another must be there in that version; the next is stored.
    ///
    /// # Errors
    /// As [`create`](Self::create); `Conflict` if another changed it since it was read, `NotFound` if it is gone.
    pub async fn put(&self, item: &T) -> Result<T> {
        let given = self.version_of(item);
        let planned = self.planned(item, write::put);
        let put = async {
            let (write, value) = planned?;
            match write {
                Write::Put(item, None) => {
                    self.inner.ready().await?;
                    let put = self.space().client()?.put_item().table_name(&self.model().table);
                    self.space().call(put.set_item(Some(item)).send()).await?;
                }
                write => self.commit(write, given?).await?,
            }
            Ok(value)
        };
        put.await.map_err(self.at("single_table.put"))
    }

    /// Puts many items over what is there, in batches. See [`DynamoDbBatch`].
    ///
    /// # Errors
    /// As [`DynamoDbBatch::put`] and [`DynamoDbBatch::send`].
    pub async fn put_many(&self, items: impl IntoIterator<Item = T>) -> Result<()> {
        let mut batch = DynamoDbBatch::new(Arc::clone(&self.inner));
        for item in items {
            batch = batch.put(self, &item)?;
        }
        batch.send().await
    }

    /// Sets these fields of an item, which is made of them if it is not there. A null removes its field. They must have
    /// the fields of the key, and where one of an index's key is among them, all of that key. The version counts by itself
    /// and is left out.
    ///
    /// # Errors
    /// As [`create`](Self::create), but for `AlreadyExists`.
    pub async fn upsert(&self, fields: &impl Serialize) -> Result<()> {
        let fields = item::object("item", fields);
        let upsert = async {
            let (model, entity) = (self.model(), self.entity()?);
            let mut fields = fields?;
            item::expire(model, entity, &mut fields);
            let write = write::upsert(model, entity, &fields)?;
            self.inner.ready().await?;
            for _ in 0..TURNS {
                if self.made(write.clone()).await?.is_ok() {
                    return Ok(());
                }
                // There is an item past its time, of which nothing is to stay.
                let mut new = item::fields_of(model, entity, &fields)?;
                new.retain(|_, value| !value.is_null());
                let (create, _) = write::create(model, entity, new)?;
                if self.made(create).await?.is_ok() {
                    return Ok(());
                }
            }
            Err(crate::transaction::conflict(self.space()))
        };
        upsert.await.map_err(self.at("single_table.upsert"))
    }

    /// Sets fields of an item that is there; a null removes its field. The fields of its key can not be changed. Where a
    /// field of an index's key is changed, all fields of that key are needed, in the item's key or in the changes.
    ///
    /// # Errors
    /// `NotFound` if there is none. `InvalidInput` as said, and as in [`create`](Self::create).
    pub async fn patch(&self, key: &impl Serialize, changes: &impl Serialize) -> Result<()> {
        self.patched(key, changes, None).await.map_err(self.at("single_table.patch"))
    }

    /// As [`patch`](Self::patch), of an item that is in this version.
    ///
    /// # Errors
    /// As [`patch`](Self::patch); `Conflict` if it is in another version, `InvalidInput` if the entity has none.
    pub async fn patch_if(&self, key: &impl Serialize, version: u64, changes: &impl Serialize) -> Result<()> {
        self.patched(key, changes, Some(version)).await.map_err(self.at("single_table.patch_if"))
    }

    async fn patched(
        &self,
        key: &impl Serialize,
        changes: &impl Serialize,
        version: Option<u64>,
    ) -> Result<()> {
        let (key, changes) = (item::object("key", key)?, item::object("change", changes)?);
        let write = write::patch(self.model(), self.entity()?, &key, &changes, version)?;
        self.commit(write, version).await
    }

    /// Deletes the item of a key, of any version. One that is not there is no error.
    pub async fn delete(&self, key: &impl Serialize) -> Result<()> {
        let key = self.key(key);
        let delete = async {
            let key = key?;
            self.inner.ready().await?;
            let delete = self.space().client()?.delete_item().table_name(&self.model().table);
            self.space().call(delete.set_key(Some(key)).send()).await.map(|_| ())
        };
        delete.await.map_err(self.at("single_table.delete"))
    }

    /// Deletes an item that is in this version.
    ///
    /// # Errors
    /// `Conflict` if it is in another, `NotFound` if there is none, `InvalidInput` if the entity has no versions.
    pub async fn delete_if(&self, key: &impl Serialize, version: u64) -> Result<()> {
        let key = item::object("key", key);
        let delete = async {
            let write = write::delete(self.model(), self.entity()?, &key?, Some(version))?;
            self.commit(write, Some(version)).await
        };
        delete.await.map_err(self.at("single_table.delete_if"))
    }

    /// The items of one partition of the table, by the fields of the partition key.
    ///
    /// # Errors
    /// `InvalidInput` if they are not all and only those of the template.
    pub fn query(&self, partition: &impl Serialize) -> Result<DynamoDbQuery<T>> {
        let query = DynamoDbQuery::new(&self.inner, self.place, None, partition, typed::<T>, false);
        query.map_err(self.at("single_table.query"))
    }

    /// The items of one partition of an index. Of a local index it is that of the table.
    ///
    /// # Errors
    /// As [`query`](Self::query), and if the entity has no keys in the index.
    pub fn query_index(&self, index: &str, partition: &impl Serialize) -> Result<DynamoDbQuery<T>> {
        let query = DynamoDbQuery::new(&self.inner, self.place, Some(index), partition, typed::<T>, false);
        query.map_err(self.at("single_table.query"))
    }

    /// The items of all entities in one partition of the table. Conditions on the sort key are by this entity's template.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub fn collection(&self, partition: &impl Serialize) -> Result<DynamoDbQuery<DynamoDbRecord>> {
        let query = DynamoDbQuery::new(&self.inner, self.place, None, partition, any, true);
        query.map_err(self.at("single_table.collection"))
    }

    /// The items of all entities in one partition of an index. Conditions on the sort key are by this entity's template.
    ///
    /// # Errors
    /// As [`query_index`](Self::query_index).
    pub fn collection_index(
        &self,
        index: &str,
        partition: &impl Serialize,
    ) -> Result<DynamoDbQuery<DynamoDbRecord>> {
        let query = DynamoDbQuery::new(&self.inner, self.place, Some(index), partition, any, true);
        query.map_err(self.at("single_table.collection"))
    }

    /// Adds to a transaction what [`create`](Self::create) does. The table is not looked at before.
    ///
    /// # Errors
    /// As [`create`](Self::create), of what is known before it is sent.
    pub fn create_in(&self, transaction: DynamoDbTransaction, item: &T) -> Result<DynamoDbTransaction> {
        self.add(transaction, self.planned(item, write::create).map(|(write, _)| write))
    }

    /// Adds to a transaction what [`put`](Self::put) does. The table is not looked at before.
    ///
    /// # Errors
    /// As [`put`](Self::put), of what is known before it is sent.
    pub fn put_in(&self, transaction: DynamoDbTransaction, item: &T) -> Result<DynamoDbTransaction> {
        self.add(transaction, self.planned(item, write::put).map(|(write, _)| write))
    }

    /// Adds to a transaction what [`patch`](Self::patch) does, or with a version [`patch_if`](Self::patch_if). The table
    /// is not looked at before.
    ///
    /// # Errors
    /// As [`patch`](Self::patch), of what is known before it is sent.
    pub fn patch_in(
        &self,
        transaction: DynamoDbTransaction,
        key: &impl Serialize,
        version: Option<u64>,
        changes: &impl Serialize,
    ) -> Result<DynamoDbTransaction> {
        let write = || {
            let (key, changes) = (item::object("key", key)?, item::object("change", changes)?);
            write::patch(self.model(), self.entity()?, &key, &changes, version)
        };
        self.add(transaction, write())
    }

    /// Adds to a transaction what [`delete`](Self::delete) does, or with a version [`delete_if`](Self::delete_if). The
    /// table is not looked at before.
    ///
    /// # Errors
    /// As [`delete`](Self::delete), of what is known before it is sent.
    pub fn delete_in(
        &self,
        transaction: DynamoDbTransaction,
        key: &impl Serialize,
        version: Option<u64>,
    ) -> Result<DynamoDbTransaction> {
        let write = || write::delete(self.model(), self.entity()?, &item::object("key", key)?, version);
        self.add(transaction, write())
    }

    fn add(&self, transaction: DynamoDbTransaction, write: Result<Write>) -> Result<DynamoDbTransaction> {
        let action = write.and_then(|write| write.action(&self.model().table));
        Ok(transaction.with(action.map_err(self.at("single_table.transaction"))?))
    }

    /// What is to be written of an item, and the item as it is stored then. One that could not be read back is refused.
    fn planned(
        &self,
        value: &T,
        plan: impl Fn(&Model, &Entity, JsonObject) -> Result<(Write, JsonObject)>,
    ) -> Result<(Write, T)> {
        let (model, entity) = (self.model(), self.entity()?);
        let (write, fields) = plan(model, entity, item::fields_of(model, entity, value)?)?;
        let stored = item::value(model, fields).map_err(|error| {
            Error::invalid_input(format!("the item could not be read back as it is written: {error}"))
                .with_source(error)
        })?;
        Ok((write, stored))
    }

    /// The item that is to be put in a batch.
    pub(super) fn item_of(&self, value: &T) -> Result<Item> {
        if self.entity()?.version.is_some() {
            return Err(Error::invalid_input(
                "the entity has versions, and a batch has no conditions: use put, or put_in with a transaction",
            ));
        }
        match self.planned(value, write::put)? {
            (Write::Put(item, _), _) => Ok(item),
            _ => Err(Error::invalid_input("the item can not be put")),
        }
    }

    /// The version that an item says it is in, for errors; `None` for a new one.
    fn version_of(&self, value: &T) -> Result<Option<u64>> {
        let Some(version) = &self.entity()?.version else { return Ok(None) };
        let fields = item::object("item", value)?;
        Ok(Some(write::version_of(&fields, version)).filter(|version| *version > 0))
    }

    /// Makes a conditional write.
    async fn commit(&self, write: Write, given: Option<u64>) -> Result<()> {
        self.inner.ready().await?;
        let entity = self.entity()?;
        let made = self.made(write).await?;
        made.map_err(|met| write::lost(self.model(), entity, given, met))
    }

    /// Makes a write, once; else answers what did not fulfil its condition.
    async fn made(&self, write: Write) -> Result<std::result::Result<(), Option<Item>>> {
        let action = write.action(&self.model().table)?;
        Ok(match commit(self.space(), vec![action]).await? {
            Committed::Yes => Ok(()),
            Committed::No(met) => Err(met.into_iter().next().flatten()),
        })
    }

    pub(super) fn key(&self, key: &(impl Serialize + ?Sized)) -> Result<Item> {
        self.model().key(self.entity()?, &item::object("key", key)?)
    }

    /// An item as a value, if it is of the entity and not past its time.
    fn kept(&self, item: Option<Item>) -> Result<Option<T>> {
        let (model, entity) = (self.model(), self.entity()?);
        let kept = item.filter(|item| {
            !item::is_expired(model, item, now())
                && model.entity_of(item).is_some_and(|of| of.name == entity.name)
        });
        kept.map(|item| item::read(model, item)).transpose()
    }

    pub(super) fn is_of(&self, inner: &Arc<Inner>) -> bool {
        Arc::ptr_eq(&self.inner, inner)
    }

    fn model(&self) -> &Model {
        &self.inner.model
    }

    fn entity(&self) -> Result<&Entity> {
        self.inner.entity(self.place)
    }

    fn space(&self) -> &crate::space::Space {
        &self.inner.space
    }

    /// Names the operation and the entity in an error on its way out.
    pub(super) fn at(&self, operation: &'static str) -> impl Fn(Error) -> Error {
        let name = self.entity().map_or_else(|_| String::new(), |entity| entity.name.clone());
        move |error| at(operation)(error).with_collection(name.clone())
    }
}

/// An item of the entity that a query asks for.
fn typed<T: DeserializeOwned>(model: &Model, entity: &Entity, item: Item) -> Result<Option<T>> {
    match model.entity_of(&item) {
        Some(of) if of.name == entity.name => item::read(model, item).map(Some),
        _ => Ok(None),
    }
}

/// An item of any entity.
#[expect(clippy::unnecessary_wraps, reason = "of one shape with `typed`")]
fn any(model: &Model, _: &Entity, item: Item) -> Result<Option<DynamoDbRecord>> {
    let Some(of) = model.entity_of(&item) else { return Ok(None) };
    Ok(Some(DynamoDbRecord { entity: of.name.clone(), fields: item::decode(model, item) }))
}
