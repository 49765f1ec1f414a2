//! Items of entities: your values as native attributes, with the keys made from them, and back.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use store_core::{Error, JsonObject, Result};

use super::fields;
use super::model::{Entity, Model};
use crate::codec::{self, Item};
use crate::kv_layout::expiry;
use crate::schema::BESIDE;

/// A value as an object; `what` says of what.
pub(super) fn object(what: &str, value: &(impl Serialize + ?Sized)) -> Result<JsonObject> {
    match serde_json::to_value(value) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Error::invalid_input(format!("the {what} is no struct or map with names of fields"))),
        Err(error) => {
            Err(Error::invalid_input(format!("the {what} can not be written: {error}")).with_source(error))
        }
    }
}

/// The fields of a value that is to be put, with the second at which it expires.
pub(super) fn fields_of(model: &Model, entity: &Entity, value: &impl Serialize) -> Result<JsonObject> {
    let mut fields = object("item", value)?;
    expire(model, entity, &mut fields);
    if let Some(expires) = &model.expires
        && fields.get(expires).is_some_and(Value::is_null)
    {
        fields.shift_remove(expires);
    }
    Ok(fields)
}

/// Says when an item expires that does not say so itself.
pub(super) fn expire(model: &Model, entity: &Entity, fields: &mut JsonObject) {
    if let (Some(expires), Some(ttl)) = (&model.expires, entity.ttl)
        && fields.get(expires).is_none_or(Value::is_null)
    {
        fields.insert(expires.clone(), expiry(ttl).into());
    }
}

/// Refuses fields that can not be attributes of an item.
pub(super) fn check(model: &Model, entity: &Entity, fields: &JsonObject) -> Result<()> {
    let expires = model.expires.as_deref();
    for (name, value) in fields {
        if name.is_empty() {
            return Err(Error::invalid_input("a field has no name"));
        }
        if model.is_own(name) || (name.starts_with(BESIDE) && expires != Some(name)) {
            return Err(Error::invalid_input(format!(
                "the field {name:?} has the name of an attribute that the table needs for itself; name it otherwise"
            )));
        }
        if expires == Some(name) && !value.is_u64() && !value.is_null() {
            return Err(Error::invalid_input(format!(
                "the field {name:?} says when the item expires, so it is a whole number of seconds since 1970"
            )));
        }
        if entity.version.as_deref() == Some(name) && !value.is_u64() && !value.is_null() {
            return Err(Error::invalid_input(format!(
                "the field {name:?} is the item's version, so it is a whole number, 0 or null for a new one"
            )));
        }
    }
    Ok(())
}

/// The item of these fields, with all its keys.
pub(super) fn build(model: &Model, entity: &Entity, fields: &JsonObject) -> Result<Item> {
    check(model, entity, fields)?;
    let key = model.key(entity, fields)?;
    let name = model.name_of(&key);
    let mut item = codec::to_attributes(fields.clone())?;
    for part in entity.indexes.iter().flat_map(super::model::IndexKeys::parts) {
        if let Some(key) = part.render(fields)? {
            item.insert(part.attribute.to_owned(), AttributeValue::S(key));
        }
    }
    item.insert(model.mark.clone(), AttributeValue::S(entity.name.clone()));
    item.extend(key);
    codec::check_size(&name, &item)?;
    Ok(item)
}

/// Fields as a value of yours.
pub(super) fn value<T: DeserializeOwned>(model: &Model, mut fields: JsonObject) -> serde_json::Result<T> {
    // A struct that allows no other fields is not to stumble over the table's own.
    if let Some(expires) = &model.expires
        && fields::of::<T>().is_some_and(|known| !known.contains(&expires.as_str()))
    {
        fields.shift_remove(expires);
    }
    serde_json::from_value(Value::Object(fields))
}

/// The fields of an item, without the keys.
pub(super) fn decode(model: &Model, mut item: Item) -> JsonObject {
    let expires = model.expires.as_deref();
    item.retain(|name, _| !model.is_own(name) && (!name.starts_with(BESIDE) || expires == Some(name)));
    codec::from_map(item)
}

/// An item as a value of yours.
pub(super) fn read<T: DeserializeOwned>(model: &Model, item: Item) -> Result<T> {
    let name = model.name_of(&item);
    value(model, decode(model, item)).map_err(|error| {
        Error::corrupt(format!("the item is no value of the type asked for: {error}"))
            .with_key(name)
            .with_source(error)
    })
}

/// Whether an item is hidden, since its time has passed.
pub(super) fn is_expired(model: &Model, item: &Item, now: u64) -> bool {
    let expires = model.expires.as_ref().and_then(|name| item.get(name)?.as_n().ok());
    expires.and_then(|second| second.parse::<u64>().ok()).is_some_and(|second| second <= now)
}
