//! Single-table design: entities declared once, typed items, queries by partition and by index.

mod bulk;
mod definition;
mod design;
mod fields;
mod item;
mod items;
mod lint;
mod model;
mod query;
mod template;
mod write;

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::{Error, Result};
use tokio::sync::OnceCell;

pub use bulk::DynamoDbBatch;
pub use design::{DynamoDbEntity, DynamoDbIndex, DynamoDbTableDesign};
pub use items::DynamoDbItems;
pub use query::{DynamoDbQuery, DynamoDbRecord};

use crate::DynamoDbBackend;
use crate::error::at;
use crate::schema::is_of;
use crate::space::Space;
use model::{Entity, Model};

/// A table of several entities, by its declaration.
///
/// At its first use the table is looked at: one that is not there is made if the store was opened with
/// `store.create=true`, one whose keys or indexes are not as they are declared is refused. What exists is never changed.
///
/// ```no_run
/// use futures::TryStreamExt as _;
/// use serde::{Deserialize, Serialize};
/// use serde_json::json;
/// use store_dynamodb::{
///     DynamoDbBackend, DynamoDbConfig, DynamoDbEntity, DynamoDbIndex, DynamoDbSingleTable, DynamoDbTableDesign,
/// };
///
/// #[derive(Clone, Debug, Serialize, Deserialize)]
/// struct Event {
///     user_id: String,
///     at: String,
///     event_id: String,
///     kind: String,
///     day: String,
/// }
///
/// # async fn example() -> store_core::Result<()> {
/// let store = DynamoDbBackend::connect(DynamoDbConfig::new("shop").with_create(true)).await?;
/// let design = DynamoDbTableDesign::new("shop")
///     .with_index(DynamoDbIndex::global("by_type", "gsi1pk", "gsi1sk"))
///     .with_entity(
///         DynamoDbEntity::new("event", "USER#{user_id:..64}", "EVENT#{at:time}#{event_id:..64}")
///             .with_index("by_type", "TYPE#{kind:..32}#{day:date}", "{at:time}#{event_id:..64}"),
///     );
/// let table = DynamoDbSingleTable::new(&store, &design)?;
/// let events = table.entity::<Event>("event")?;
///
/// // Events in batches.
/// let event = |n: u32| Event {
///     user_id: "u1".into(),
///     at: format!("2026-01-31T09:30:{n:02}Z"),
///     event_id: format!("e{n}"),
///     kind: "click".into(),
///     day: "2026-01-31".into(),
/// };
/// events.put_many((0..60).map(event)).await?;
///
/// // Events of a user, newest first, page by page.
/// let newest = events.query(&json!({"user_id": "u1"}))?.descending().limit(20);
/// let first = newest.page(None).await?;
/// let second = newest.page(first.next.as_ref()).await?;
///
/// // Events of a type and a day, between two times.
/// let clicks = events.query_index("by_type", &json!({"kind": "click", "day": "2026-01-31"}))?;
/// let clicks = clicks.between(&json!({"at": "2026-01-31T09:00:00Z"}), &json!({"at": "2026-01-31T09:30:10Z"}))?;
/// let clicks: Vec<Event> = clicks.stream().try_collect().await?;
/// # let _ = (second, clicks);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DynamoDbSingleTable {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    space: Arc<Space>,
    model: Model,
    ready: OnceCell<()>,
}

impl Inner {
    /// Looks at the table before its first use.
    async fn ready(&self) -> Result<()> {
        let look = async {
            let table = match definition::live(&self.space, &self.model).await? {
                Some(table) => table,
                None if self.space.config.create => definition::create(&self.space, &self.model).await?,
                None => return Err(definition::missing(&self.model)),
            };
            definition::check(&self.model, &table)
        };
        self.ready.get_or_try_init(|| look).await.copied()
    }

    /// The entity at a place that was found before.
    fn entity(&self, place: usize) -> Result<&Entity> {
        self.model.entities.get(place).ok_or_else(|| Error::invalid_input("there is no such entity"))
    }
}

impl DynamoDbSingleTable {
    /// The table of a declaration, which is checked. Nothing is sent yet.
    ///
    /// # Errors
    /// `Config` for a declaration that can not be: a template that can not be read back, an index that is not declared,
    /// two entities that could have the same key, names that the service does not take, and a table that holds the
    /// store's vectors or chats.
    pub fn new(backend: &DynamoDbBackend, design: &DynamoDbTableDesign) -> Result<Self> {
        let new = || {
            let model = Model::new(design)?;
            let space = Arc::clone(&backend.space);
            if model.table != space.main && is_of(&space.main, &model.table) {
                return Err(design::refused(format!(
                    "the table {:?} holds the store's own vectors or chats; give the entities another",
                    model.table
                )));
            }
            Ok(Self { inner: Arc::new(Inner { space, model, ready: OnceCell::new() }) })
        };
        new().map_err(at("single_table"))
    }

    /// The items of an entity, as values of yours. Their fields are attributes of the same names.
    ///
    /// # Errors
    /// `InvalidInput` if no such entity is declared, if its templates or its version name a field that the struct does
    /// not have, or the struct has one that is a key (where serde tells its fields: not with a flattened part).
    pub fn entity<T: Serialize + DeserializeOwned + Send + 'static>(
        &self,
        name: &str,
    ) -> Result<DynamoDbItems<T>> {
        self.typed(name).map_err(at("single_table.entity"))
    }

    fn typed<T: Serialize + DeserializeOwned + Send + 'static>(
        &self,
        name: &str,
    ) -> Result<DynamoDbItems<T>> {
        let model = &self.inner.model;
        let Some(place) = model.entities.iter().position(|entity| entity.name == name) else {
            let known: Vec<&str> = model.entities.iter().map(|entity| entity.name.as_str()).collect();
            return Err(Error::invalid_input(format!(
                "there is no entity {name:?}; the table has {known:?}"
            )));
        };
        if let Some(known) = fields::of::<T>() {
            if let Some(field) = known.iter().find(|name| model.is_own(name)) {
                return Err(Error::invalid_input(format!(
                    "the type has the field {field:?}, which is an attribute that the table needs for itself; rename one"
                )));
            }
            let entity = self.inner.entity(place)?;
            let placeholders = model
                .parts_of(entity)
                .flat_map(|part| part.template.fields().map(move |name| (name, part.template.text.as_str())));
            let version = entity.version.as_deref().map(|name| (name, "its version"));
            if let Some((field, by)) = placeholders.chain(version).find(|(name, _)| !known.contains(name)) {
                return Err(Error::invalid_input(format!(
                    "the entity {name:?} needs the field {field:?} ({by}), and the type has only {known:?}"
                )));
            }
        }
        Ok(DynamoDbItems::new(Arc::clone(&self.inner), place))
    }

    /// A batch of writes to items of any of its entities.
    pub fn batch(&self) -> DynamoDbBatch {
        DynamoDbBatch::new(Arc::clone(&self.inner))
    }

    /// Makes the table as it is declared and waits until it can be used, whatever the store says of `store.create`;
    /// `false` if it is there already. How it is paid and protected is in the store's configuration
    /// ([`DynamoDbTableOptions`](crate::DynamoDbTableOptions)); global indexes get the table's capacity each.
    ///
    /// # Errors
    /// `Config` if it is there and is not as it is declared.
    pub async fn create_table(&self) -> Result<bool> {
        let Inner { space, model, .. } = &*self.inner;
        let create = async {
            let live = definition::live(space, model).await?;
            let made = live.is_none();
            let table = match live {
                Some(table) => table,
                None => definition::create(space, model).await?,
            };
            definition::check(model, &table)?;
            Ok(made)
        };
        create.await.map_err(at("single_table.create_table"))
    }

    /// In what the table is other than its declaration, in words: keys, indexes, stream, time to live; nothing if it
    /// fits.
    ///
    /// # Errors
    /// `NotFound` if there is no table.
    pub async fn compare(&self) -> Result<Vec<String>> {
        let Inner { space, model, .. } = &*self.inner;
        let compare = async {
            let table = definition::live(space, model).await?.ok_or_else(|| definition::missing(model))?;
            let mut found = definition::differences(model, &table);
            found.extend(definition::expiry(space, model).await?);
            Ok(found.into_iter().map(|difference| difference.message).collect())
        };
        compare.await.map_err(at("single_table.compare"))
    }
}
