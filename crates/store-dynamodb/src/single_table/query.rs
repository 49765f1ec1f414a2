//! Queries of one partition.

use std::fmt;
use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::{BoxStream, Cursor, Error, ErrorKind, JsonObject, Page, Result};

use super::design::DynamoDbIndex;
use super::model::{Entity, KeyPart, MAX_SORT, Model};
use super::template::LAST;
use super::{Inner, item};
use crate::codec::Item;
use crate::error::at;
use crate::kv_layout::now;

/// Items that a further request of a page asks for at least, when the first gave some that do not count.
const FURTHER: usize = 100;

/// An item of any entity of a table.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DynamoDbRecord {
    /// The name of its entity.
    pub entity: String,
    /// Its fields.
    pub fields: JsonObject,
}

impl DynamoDbRecord {
    /// The item as a value of your type.
    ///
    /// # Errors
    /// `Corrupt` if it is none.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(self.fields.clone().into()).map_err(|error| {
            Error::corrupt(format!("the item is no value of the type asked for: {error}"))
                .with_collection(self.entity.clone())
                .with_source(error)
        })
    }
}

/// Which sort keys.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Range {
    All,
    Exactly(String),
    Begins(String),
    /// Both included.
    Between(String, String),
}

type Reader<T> = fn(&Model, &Entity, Item) -> Result<Option<T>>;

/// A query of the items in one partition of a table or an index, in the order of their sort keys. Made by
/// [`DynamoDbItems`](crate::DynamoDbItems).
///
/// Conditions are given by fields of the sort key's template, the first ones of it: of `EVENT#{at:time}#{id}`
/// `json!({"at": …})`, or `json!({"at": …, "id": …})`. Each of the methods replaces the condition before. Texts are
/// compared as keys are, by their bytes; the separator and `%` count as `%XX`.
///
/// Items of other entities in between, and those past their time, are read and left out: they cost, too.
pub struct DynamoDbQuery<T> {
    inner: Arc<Inner>,
    place: usize,
    index: Option<DynamoDbIndex>,
    partition: String,
    range: Range,
    descending: bool,
    limit: Option<usize>,
    strong: Option<bool>,
    collection: bool,
    reader: Reader<T>,
}

impl<T> Clone for DynamoDbQuery<T> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            index: self.index.clone(),
            partition: self.partition.clone(),
            range: self.range.clone(),
            ..*self
        }
    }
}

impl<T> fmt::Debug for DynamoDbQuery<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbQuery")
            .field("table", &self.inner.model.table)
            .field("index", &self.index.as_ref().map(|index| &index.name))
            .field("partition", &self.partition)
            .field("range", &self.range)
            .field("descending", &self.descending)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl<T: Send + 'static> DynamoDbQuery<T> {
    pub(super) fn new(
        inner: &Arc<Inner>,
        place: usize,
        index: Option<&str>,
        partition: &impl Serialize,
        reader: Reader<T>,
        collection: bool,
    ) -> Result<Self> {
        let (model, entity) = (&inner.model, inner.entity(place)?);
        let keys = match index {
            None => None,
            Some(name) => {
                let keys = entity.indexes.iter().find(|keys| keys.index.name == name);
                Some(keys.ok_or_else(|| {
                    let known: Vec<&str> =
                        entity.indexes.iter().map(|keys| keys.index.name.as_str()).collect();
                    Error::invalid_input(format!(
                        "the entity has no keys in the index {name:?}; it is in {known:?}"
                    ))
                })?)
            }
        };
        let [table_partition, _] = model.table_parts(entity);
        let part = match keys {
            Some(keys) if keys.partition.is_some() => keys.parts().next().unwrap_or(table_partition),
            _ => table_partition,
        };
        let partition = item::object("partition", partition)?;
        part.knows(&partition)?;
        let mut query = Self {
            inner: Arc::clone(inner),
            place,
            index: keys.map(|keys| keys.index.clone()),
            partition: part.required(&partition)?,
            range: Range::All,
            descending: false,
            limit: None,
            strong: None,
            collection,
            reader,
        };
        if !collection && query.sort().is_ok() {
            query.range = query.beginning(&JsonObject::new(), false)?;
        }
        Ok(query)
    }

    /// The sort key of what is asked.
    fn sort(&self) -> Result<KeyPart<'_>> {
        let entity = self.inner.entity(self.place)?;
        let [_, table_sort] = self.inner.model.table_parts(entity);
        match &self.index {
            None => Ok(table_sort),
            Some(index) => entity
                .indexes
                .iter()
                .find(|keys| keys.index == *index)
                .and_then(|keys| keys.parts().find(|part| part.limit == MAX_SORT))
                .ok_or_else(|| {
                    Error::invalid_input(format!("the index {:?} has no sort key to ask for", index.name))
                }),
        }
    }

    fn beginning(&self, fields: &JsonObject, open: bool) -> Result<Range> {
        let (key, whole) = self.sort()?.prefix(fields, open)?;
        Ok(match (whole, key.is_empty()) {
            (true, _) => Range::Exactly(key),
            (false, true) => Range::All,
            (false, false) => Range::Begins(key),
        })
    }

    /// Only items with these values of the first fields of the sort key.
    ///
    /// # Errors
    /// `InvalidInput` for a field that is no placeholder of the sort key, or that leaves out one before it, and as keys
    /// are refused.
    pub fn matching(self, fields: &impl Serialize) -> Result<Self> {
        self.with_range(|query| query.beginning(&item::object("condition", fields)?, false))
    }

    /// The same, but of the last field given only how it begins, which must be text: `json!({"at": "2026-01"})`.
    ///
    /// # Errors
    /// As [`matching`](Self::matching).
    pub fn begins_with(self, fields: &impl Serialize) -> Result<Self> {
        self.with_range(|query| query.beginning(&item::object("condition", fields)?, true))
    }

    /// Only items from these values of the first fields of the sort key to those, both included.
    ///
    /// # Errors
    /// As [`matching`](Self::matching); also if the first are behind the last.
    pub fn between(self, from: &impl Serialize, to: &impl Serialize) -> Result<Self> {
        self.with_range(|query| {
            let range = (query.lower(from)?, query.upper(to)?);
            if range.0 > range.1 {
                return Err(Error::invalid_input(format!(
                    "the range begins behind its end: {:?} to {:?}; exchange them",
                    range.0, range.1
                )));
            }
            Ok(Range::Between(range.0, range.1))
        })
    }

    /// Only items from these values of the first fields of the sort key on, these included.
    ///
    /// # Errors
    /// As [`matching`](Self::matching).
    pub fn at_least(self, from: &impl Serialize) -> Result<Self> {
        self.with_range(|query| Ok(Range::Between(query.lower(from)?, query.upper(&JsonObject::new())?)))
    }

    /// Only items up to these values of the first fields of the sort key, these included.
    ///
    /// # Errors
    /// As [`matching`](Self::matching).
    pub fn at_most(self, to: &impl Serialize) -> Result<Self> {
        self.with_range(|query| Ok(Range::Between(query.lower(&JsonObject::new())?, query.upper(to)?)))
    }

    fn with_range(mut self, range: impl FnOnce(&Self) -> Result<Range>) -> Result<Self> {
        self.range = range(&self).map_err(self.at())?;
        Ok(self)
    }

    fn lower(&self, fields: &impl Serialize) -> Result<String> {
        let (key, _) = self.sort()?.prefix(&item::object("condition", fields)?, false)?;
        // A bound can not be empty.
        Ok(if key.is_empty() { "\0".to_owned() } else { key })
    }

    /// The greatest key that begins so.
    fn upper(&self, fields: &impl Serialize) -> Result<String> {
        let (mut key, whole) = self.sort()?.prefix(&item::object("condition", fields)?, false)?;
        if !whole {
            key.push(LAST);
        }
        if key.len() > MAX_SORT {
            let message = format!("the end of the range takes {} bytes, the limit is {MAX_SORT}", key.len());
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        Ok(key)
    }

    /// The greatest sort key first: newest first where keys begin with a time.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.descending = true;
        self
    }

    /// The least sort key first, the default.
    #[must_use]
    pub fn ascending(mut self) -> Self {
        self.descending = false;
        self
    }

    /// At most so many items: of a page, or of the whole stream. Default: a page is what the service answers at once, up
    /// to 1 MB, a stream has all.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Sees every write that was answered before, at twice the price. Of a global index that can not be had: the query is
    /// refused.
    #[must_use]
    pub fn strong(mut self) -> Self {
        self.strong = Some(true);
        self
    }

    /// May lag a moment behind writes. Default: as the store was opened, by `store.consistent_reads`.
    #[must_use]
    pub fn eventual(mut self) -> Self {
        self.strong = Some(false);
        self
    }

    /// A page: from the beginning, or from where the cursor of another page of the same query points; only the limit and
    /// the consistency may be others then. A page without limit may have few items or none, and still a next one.
    ///
    /// # Errors
    /// `InvalidInput` for a cursor of another query, `Unsupported` for a strong read of a global index, `Corrupt` for an
    /// item that is not of the type.
    pub async fn page(&self, after: Option<&Cursor>) -> Result<Page<T>> {
        let page = async {
            let place = after.map(|cursor| self.decoded(cursor)).transpose()?;
            let (items, next) = self.read(place, self.limit).await?;
            Ok(Page { items, next: next.map(|place| Cursor::encode(&self.binding(), &place)) })
        };
        page.await.map_err(self.at())
    }

    /// The items, one after the other, read page by page as they are asked for.
    ///
    /// # Errors
    /// As [`page`](Self::page).
    #[must_use]
    pub fn stream(&self) -> BoxStream<T> {
        let begin = (self.clone(), None, self.limit, false);
        let pages = stream::try_unfold(begin, |(query, place, left, over)| async move {
            if over || left == Some(0) {
                return Ok(None);
            }
            let (items, next) = query.read(place, left).await.map_err(query.at())?;
            let left = left.map(|left| left.saturating_sub(items.len()));
            let over = next.is_none();
            Ok::<_, Error>(Some((stream::iter(items.into_iter().map(Ok)), (query, next, left, over))))
        });
        pages.try_flatten().boxed()
    }

    /// At most so many items from a place on, and where to go on. Without a limit what one request gives.
    async fn read(
        &self,
        place: Option<Vec<String>>,
        limit: Option<usize>,
    ) -> Result<(Vec<T>, Option<Vec<String>>)> {
        let (model, entity) = (&self.inner.model, self.inner.entity(self.place)?);
        let strong = self.consistency()?;
        if limit == Some(0) {
            return Err(Error::invalid_input("the limit is 0; ask for at least one item"));
        }
        self.inner.ready().await?;
        let mut start = place.map(|place| self.start(place)).transpose()?;
        let mut found = Vec::new();
        let mut most = limit;
        loop {
            let (items, next) = self.request(strong, most, start).await?;
            let count = items.len();
            for (number, item) in items.into_iter().enumerate() {
                if item::is_expired(model, &item, now()) {
                    continue;
                }
                let place = self.place_of(&item);
                let Some(value) = (self.reader)(model, entity, item)? else { continue };
                found.push(value);
                if limit == Some(found.len()) {
                    let more = number + 1 < count || next.is_some();
                    return Ok((found, more.then_some(place)));
                }
            }
            match next {
                None => return Ok((found, None)),
                Some(next) if limit.is_none() => return Ok((found, Some(self.place_of(&next)))),
                Some(next) => start = Some(next),
            }
            most = limit.map(|limit| (limit - found.len()).max(FURTHER));
        }
    }

    async fn request(
        &self,
        strong: bool,
        most: Option<usize>,
        start: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>)> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let mut expression = "#p = :p".to_owned();
        let mut query = self
            .inner
            .space
            .client()?
            .query()
            .table_name(&self.inner.model.table)
            .set_index_name(self.index.as_ref().map(|index| index.name.clone()))
            .expression_attribute_names("#p", self.partition_attribute())
            .expression_attribute_values(":p", text(&self.partition))
            .scan_index_forward(!self.descending)
            .consistent_read(strong)
            .set_limit(most.map(|most| i32::try_from(most).unwrap_or(i32::MAX)))
            .set_exclusive_start_key(start);
        if self.range != Range::All {
            query = query.expression_attribute_names("#s", self.sort()?.attribute);
        }
        match &self.range {
            Range::All => {}
            Range::Exactly(key) => {
                expression.push_str(" AND #s = :s");
                query = query.expression_attribute_values(":s", text(key));
            }
            Range::Begins(key) => {
                expression.push_str(" AND begins_with(#s, :s)");
                query = query.expression_attribute_values(":s", text(key));
            }
            Range::Between(from, to) => {
                expression.push_str(" AND #s BETWEEN :from AND :to");
                query = query.expression_attribute_values(":from", text(from));
                query = query.expression_attribute_values(":to", text(to));
            }
        }
        let answer = self.inner.space.call(query.key_condition_expression(expression).send()).await?;
        Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key))
    }

    /// Whether the read is strong; `Unsupported` where it can not be.
    fn consistency(&self) -> Result<bool> {
        let strong = self.strong.unwrap_or(self.inner.space.config.consistent_reads);
        match &self.index {
            Some(index) if index.partition.is_some() && strong => {
                let who = if self.strong.is_some() {
                    "the query"
                } else {
                    "the store (store.consistent_reads=true)"
                };
                let message = format!(
                    "{who} asks for strong reads, and the global index {:?} is always a moment behind; say eventual(), or \
                     ask the table",
                    index.name
                );
                Err(Error::new(ErrorKind::Unsupported, message))
            }
            _ => Ok(strong),
        }
    }

    fn partition_attribute(&self) -> &str {
        let own = self.index.as_ref().and_then(|index| index.partition.as_deref());
        own.unwrap_or(&self.inner.model.keys.partition)
    }

    /// The attributes that say where an item is in the query, whose partition is known.
    fn place_attributes(&self) -> Vec<&str> {
        let keys = &self.inner.model.keys;
        let mut names = Vec::with_capacity(3);
        if let Some(index) = &self.index {
            names.extend(index.partition.is_some().then_some(keys.partition.as_str()));
            names.extend(index.sort.as_deref());
        }
        names.push(&keys.sort);
        names
    }

    fn place_of(&self, item: &Item) -> Vec<String> {
        let text =
            |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
        self.place_attributes().into_iter().map(text).collect()
    }

    fn decoded(&self, cursor: &Cursor) -> Result<Vec<String>> {
        cursor.decode(&self.binding())
    }

    /// The key from which the service goes on.
    fn start(&self, place: Vec<String>) -> Result<Item> {
        let names = self.place_attributes();
        if names.len() != place.len() || place.iter().any(String::is_empty) {
            return Err(Error::invalid_input("the cursor is damaged; begin again without one"));
        }
        let own = (self.partition_attribute().to_owned(), AttributeValue::S(self.partition.clone()));
        let others = names.into_iter().map(str::to_owned).zip(place.into_iter().map(AttributeValue::S));
        Ok(std::iter::once(own).chain(others).collect())
    }

    /// What must stay the same from page to page.
    fn binding(&self) -> String {
        let index = self.index.as_ref().map(|index| &index.name);
        let entity = self.inner.entity(self.place).map_or("", |entity| entity.name.as_str());
        let of = (&self.inner.model.table, index, entity, self.collection);
        format!("{of:?} {:?} {:?} {}", self.partition, self.range, self.descending)
    }

    fn at(&self) -> impl Fn(Error) -> Error + use<T> {
        let name = self.inner.entity(self.place).map_or_else(|_| String::new(), |entity| entity.name.clone());
        move |error| at("single_table.query")(error).with_collection(name.clone())
    }
}
