//! Reading a whole collection of key-values, in the order of the keys: a Query of its partition, page by page.

use std::sync::Arc;
use std::vec::IntoIter;

use aws_sdk_dynamodb::types::{AttributeValue, Select};
use store_core::kit::check;
use store_core::{Error, ErrorKind, JsonObject, Result, ScanOptions};
use tokio::task::JoinSet;

use crate::codec::{self, Item};
use crate::filter::{Expression, Native};
use crate::kv::{DynamoKvStore, MAX_KEY_BYTES};
use crate::kv_layout::{is_expired, key, now, seconds};
use crate::schema::EXPIRES;
use crate::space::Space;
use crate::tables::Keys;

/// Items in the first page: who reads no further pays for no more.
const FIRST_ITEMS: i32 = 100;

/// The way to an attribute: its name, and the names of the members within.
pub(crate) type Path = Vec<String>;

/// Which items of a collection a query reads.
#[derive(Clone, Debug)]
pub(crate) struct Pages {
    space: Arc<Space>,
    keys: Keys,
    collection: String,
    prefix: String,
    part: Part,
    after: Option<Item>,
}

/// What is read of a collection.
#[derive(Clone, Debug)]
struct Part {
    /// Only these attributes, besides the key's; `None` = all. None is within another.
    fields: Option<Arc<[Path]>>,
    /// Only items that this admits.
    filter: Arc<Native>,
}

/// A page, and where the next one begins.
type Page = (Vec<Item>, Option<Item>);

impl Pages {
    async fn fetch(self, most: Option<i32>) -> Result<Page> {
        let mut expression = Expression::default();
        let name = expression.name(&self.keys.partition);
        let mut condition =
            format!("{name} = {}", expression.value(AttributeValue::S(self.collection.clone())));
        if !self.prefix.is_empty() {
            let name = expression.name(&self.keys.sort);
            let prefix = expression.value(AttributeValue::S(self.prefix.clone()));
            condition = format!("{condition} AND begins_with({name}, {prefix})");
        }
        let filter = expression.text(&self.part.filter);
        let projection = self.part.fields.as_ref().map(|fields| {
            let keys = expression.list(&[self.keys.partition.as_str(), &self.keys.sort]);
            fields.iter().fold(keys, |list, path| format!("{list},{}", expression.path(path)))
        });
        let query = self
            .space
            .client()?
            .query()
            .table_name(&self.space.main)
            .key_condition_expression(condition)
            .set_filter_expression(filter)
            .set_projection_expression(projection)
            .set_expression_attribute_names(expression.names())
            .set_expression_attribute_values(expression.values())
            .set_exclusive_start_key(self.after.clone())
            .set_limit(most)
            .consistent_read(self.space.config.consistent_reads);
        let page = self.space.call(query.send()).await?;
        Ok((page.items.unwrap_or_default(), page.last_evaluated_key))
    }
}

/// A scan under way, at most one page ahead of who reads.
#[derive(Debug)]
pub(crate) struct Items {
    pages: Pages,
    page: IntoIter<Item>,
    /// The one page on its way; ends when this is dropped.
    ahead: JoinSet<Result<Page>>,
    begun: bool,
    ended: bool,
}

impl Items {
    fn new(pages: Pages) -> Self {
        Self { pages, page: Vec::new().into_iter(), ahead: JoinSet::new(), begun: false, ended: false }
    }

    /// The next item that has not expired.
    pub(crate) async fn next(&mut self) -> Result<Option<Item>> {
        loop {
            self.pages.space.client()?;
            let now = now();
            if let Some(item) = self.page.find(|item| !is_expired(item, now)) {
                return Ok(Some(item));
            }
            if self.ended {
                return Ok(None);
            }
            let (items, after) = match self.ahead.join_next().await {
                Some(fetched) => fetched.map_err(|error| {
                    let message = "the reading was cut off as its runtime ended";
                    Error::new(ErrorKind::Unavailable, message).with_retryable(false).with_source(error)
                })??,
                None => self.pages.clone().fetch((!self.begun).then_some(FIRST_ITEMS)).await?,
            };
            self.page = items.into_iter();
            self.ended = after.is_none();
            self.pages.after = after;
            if std::mem::replace(&mut self.begun, true) && !self.ended {
                self.ahead.spawn(self.pages.clone().fetch(None));
            }
        }
    }
}

/// A scan of a collection.
#[derive(Debug)]
pub(crate) struct Scan {
    store: DynamoKvStore,
    collection: String,
    options: ScanOptions,
    part: Part,
    /// Nothing is to be found.
    nothing: bool,
    /// `None` until the first is asked for.
    items: Option<(Keys, Items)>,
}

impl Scan {
    pub(crate) fn new(store: DynamoKvStore, collection: &str, options: ScanOptions) -> Result<Self> {
        let after = options.after.as_deref().filter(|after| !after.is_empty());
        DynamoKvStore::check(collection, [])?;
        if let Some(after) = after {
            check::within("key", after, after.len(), MAX_KEY_BYTES)?;
        }
        // No key is so long, or all that begin so come before.
        let nothing = options.prefix.len() > MAX_KEY_BYTES
            || after
                .is_some_and(|after| after > options.prefix.as_str() && !after.starts_with(&options.prefix));
        let part = Part { fields: None, filter: Arc::new(Native::Everything) };
        Ok(Self { store, collection: collection.to_owned(), options, part, nothing, items: None })
    }

    /// Reads only these, besides the key. None may be within another.
    pub(crate) fn with_fields(mut self, fields: Vec<Path>) -> Self {
        self.part.fields = Some(fields.into());
        self
    }

    /// Reads only items that this admits.
    pub(crate) fn with_filter(mut self, filter: Native) -> Self {
        self.nothing |= filter == Native::Nothing;
        self.part.filter = Arc::new(filter);
        self
    }

    /// The next key and item that has not expired.
    pub(crate) async fn next_item(&mut self) -> Result<Option<(String, Item)>> {
        if self.nothing {
            return Ok(None);
        }
        if self.items.is_none() {
            let keys = self.store.keys().await?;
            // A place before the first key with the prefix is none that the service takes.
            let after = self.options.after.as_deref();
            let after = after.filter(|after| !after.is_empty() && after.starts_with(&self.options.prefix));
            let pages = Pages {
                space: Arc::clone(&self.store.space),
                collection: self.collection.clone(),
                prefix: self.options.prefix.clone(),
                part: self.part.clone(),
                after: after.map(|after| key(&keys, &self.collection, after)),
                keys: keys.clone(),
            };
            self.items = Some((keys, Items::new(pages)));
        }
        let Some((keys, items)) = &mut self.items else { return Ok(None) };
        let Some(item) = items.next().await? else { return Ok(None) };
        let name = item.get(&keys.sort).and_then(|name| name.as_s().ok()).cloned().unwrap_or_default();
        Ok(Some((name, item)))
    }

    /// The value of an item of this scan; of one that was read in part, what it tells.
    pub(crate) fn decode(&self, item: Item) -> JsonObject {
        self.items.as_ref().map_or_else(JsonObject::new, |(keys, _)| codec::decode(item, keys))
    }

    /// The next entry; `Unavailable` once the store is closed.
    pub(crate) async fn next(&mut self) -> Result<Option<(String, JsonObject)>> {
        while let Some((name, item)) = self.next_item().await? {
            let Some((keys, _)) = &self.items else { return Ok(None) };
            if let Some(value) = self.store.value(keys, &self.collection, &name, item).await? {
                return Ok(Some((name, value)));
            }
        }
        Ok(None)
    }
}

/// How many items of a collection have not expired; none of them is read.
pub(crate) async fn count(store: &DynamoKvStore, collection: &str) -> Result<usize> {
    let space = &store.space;
    let keys = store.keys().await?;
    let (mut count, mut after) = (0, None);
    loop {
        let query = space
            .client()?
            .query()
            .table_name(&space.main)
            .key_condition_expression("#p = :p")
            .filter_expression("attribute_not_exists(#e) OR #e > :now")
            .expression_attribute_names("#p", &keys.partition)
            .expression_attribute_names("#e", EXPIRES)
            .expression_attribute_values(":p", AttributeValue::S(collection.to_owned()))
            .expression_attribute_values(":now", seconds(now()))
            .select(Select::Count)
            .set_exclusive_start_key(after)
            .consistent_read(space.config.consistent_reads);
        let page = space.call(query.send()).await?;
        count += usize::try_from(page.count).unwrap_or_default();
        after = page.last_evaluated_key;
        if after.is_none() {
            return Ok(count);
        }
    }
}
