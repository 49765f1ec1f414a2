//! What is written of an item, and under which condition.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use serde_json::Value;
use store_core::{Error, ErrorKind, JsonObject, Result};

use super::item;
use super::model::{Entity, IndexKeys, Model};
use crate::codec::{self, Item};
use crate::kv_layout::{now, seconds};
use crate::transaction::{self, Condition};

/// A write of one item.
#[derive(Clone, Debug)]
pub(super) enum Write {
    Put(Item, Option<Condition>),
    Update { key: Item, change: String, condition: Condition },
    Delete(Item, Option<Condition>),
}

impl Write {
    /// As a part of a transaction.
    pub(super) fn action(self, table: &str) -> Result<TransactWriteItem> {
        match self {
            Self::Put(item, condition) => transaction::put(table, item, condition),
            Self::Update { key, change, condition } => transaction::update(table, key, &change, condition),
            Self::Delete(key, condition) => transaction::delete(table, key, condition),
        }
    }
}

/// There is no item, or one that is past its time.
fn absent(model: &Model) -> Condition {
    let condition = Condition::default().named("#p", &model.keys.partition);
    match &model.expires {
        None => condition.with("attribute_not_exists(#p)"),
        Some(expires) => condition
            .with("attribute_not_exists(#p) OR #e <= :now")
            .named("#e", expires)
            .valued(":now", seconds(now())),
    }
}

/// Names the time to live for [`alive`].
fn with_expiry(model: &Model, condition: Condition) -> Condition {
    match &model.expires {
        None => condition,
        Some(expires) => condition.named("#e", expires).valued(":now", seconds(now())),
    }
}

/// There is an item that is not past its time, of this version.
fn present(model: &Model, entity: &Entity, version: Option<u64>) -> Result<Condition> {
    let mut expression = "attribute_exists(#p)".to_owned();
    let mut condition = with_expiry(model, Condition::default().named("#p", &model.keys.partition));
    if model.expires.is_some() {
        expression.push_str(" AND NOT #e <= :now");
    }
    if let Some(version) = version {
        let field = entity.version.as_deref().ok_or_else(|| unversioned(entity))?;
        expression.push_str(" AND #v = :v");
        condition = condition.named("#v", field).valued(":v", AttributeValue::N(version.to_string()));
    }
    Ok(condition.with(&expression))
}

fn unversioned(entity: &Entity) -> Error {
    Error::invalid_input(format!(
        "the entity {:?} has no versions; declare one by DynamoDbEntity::with_version",
        entity.name
    ))
}

/// Puts an item that must be new. With it the fields as they are stored.
pub(super) fn create(model: &Model, entity: &Entity, mut fields: JsonObject) -> Result<(Write, JsonObject)> {
    item::check(model, entity, &fields)?;
    if let Some(version) = &entity.version {
        let given = version_of(&fields, version);
        if given > 0 {
            return Err(Error::invalid_input(format!(
                "the field {version:?} is {given}; an item that is new has the version 0 or none"
            )));
        }
        fields.insert(version.clone(), 1.into());
    }
    Ok((Write::Put(item::build(model, entity, &fields)?, Some(absent(model))), fields))
}

/// Puts an item over what is there; one with versions only over the version that it was read with.
pub(super) fn put(model: &Model, entity: &Entity, mut fields: JsonObject) -> Result<(Write, JsonObject)> {
    let Some(version) = &entity.version else {
        return Ok((Write::Put(item::build(model, entity, &fields)?, None), fields));
    };
    item::check(model, entity, &fields)?;
    let given = version_of(&fields, version);
    if given == 0 {
        return create(model, entity, fields);
    }
    fields.insert(version.clone(), given.saturating_add(1).into());
    let condition = present(model, entity, Some(given))?;
    Ok((Write::Put(item::build(model, entity, &fields)?, Some(condition)), fields))
}

/// The version in fields; 0 for none.
pub(super) fn version_of(fields: &JsonObject, version: &str) -> u64 {
    fields.get(version).and_then(Value::as_u64).unwrap_or_default()
}

/// Deletes an item; of a version if one is given.
pub(super) fn delete(
    model: &Model,
    entity: &Entity,
    key: &JsonObject,
    version: Option<u64>,
) -> Result<Write> {
    let condition = version.map(|_| present(model, entity, version)).transpose()?;
    Ok(Write::Delete(model.key(entity, key)?, condition))
}

/// Changes fields of an item that is there.
pub(super) fn patch(
    model: &Model,
    entity: &Entity,
    key: &JsonObject,
    changes: &JsonObject,
    version: Option<u64>,
) -> Result<Write> {
    let keys = model.table_parts(entity);
    if let Some(name) = changes.keys().find(|name| keys.iter().any(|part| part.template.has(name))) {
        return Err(Error::invalid_input(format!(
            "the field {name:?} is in the key of the item, which can not be changed; put a new item and delete the old"
        )));
    }
    if changes.is_empty() {
        return Err(Error::invalid_input("there is nothing to change; give at least one field"));
    }
    refuse_version(entity, changes)?;
    let condition = present(model, entity, version)?;
    update(model, entity, key, changes, condition)
}

/// Sets these fields of an item, which is made if it is not there.
pub(super) fn upsert(model: &Model, entity: &Entity, fields: &JsonObject) -> Result<Write> {
    refuse_version(entity, fields)?;
    let condition = match &model.expires {
        None => Condition::default(),
        Some(_) => with_expiry(model, Condition::default()).with("NOT #e <= :now"),
    };
    update(model, entity, fields, fields, condition)
}

fn refuse_version(entity: &Entity, fields: &JsonObject) -> Result<()> {
    match &entity.version {
        Some(version) if fields.contains_key(version) => Err(Error::invalid_input(format!(
            "the field {version:?} is the item's version, which counts by itself; leave it out"
        ))),
        _ => Ok(()),
    }
}

fn update(
    model: &Model,
    entity: &Entity,
    key: &JsonObject,
    changes: &JsonObject,
    mut condition: Condition,
) -> Result<Write> {
    item::check(model, entity, changes)?;
    let item_key = model.key(entity, key)?;
    let mut removed: Vec<String> = Vec::new();
    let mut set = Item::new();
    for (name, value) in changes {
        if value.is_null() {
            removed.push(name.clone());
        } else {
            set.extend(codec::to_attributes(JsonObject::from_iter([(name.clone(), value.clone())]))?);
        }
    }
    // The fields that are known: those of the key, and the new ones.
    let mut known: JsonObject = model
        .table_parts(entity)
        .iter()
        .flat_map(|part| part.template.fields())
        .filter_map(|name| Some((name.to_owned(), key.get(name)?.clone())))
        .collect();
    known.extend(changes.iter().map(|(name, value)| (name.clone(), value.clone())));
    for part in entity.indexes.iter().flat_map(IndexKeys::parts) {
        if !part.template.fields().any(|name| changes.contains_key(name)) {
            continue;
        }
        if let Some(name) = part.template.fields().find(|name| !known.contains_key(*name)) {
            return Err(Error::invalid_input(format!(
                "the key attribute {:?} is made by {:?} and has to change, so the field {name:?} is needed too",
                part.attribute, part.template.text
            )));
        }
        match part.render(&known)? {
            Some(key) => {
                set.insert(part.attribute.to_owned(), AttributeValue::S(key));
            }
            None => removed.push(part.attribute.to_owned()),
        }
    }
    set.insert(model.mark.clone(), AttributeValue::S(entity.name.clone()));
    let name = model.name_of(&item_key);
    let whole: Item =
        set.iter().chain(&item_key).map(|(name, value)| (name.clone(), value.clone())).collect();
    codec::check_size(&name, &whole)?;

    let mut sets = Vec::with_capacity(set.len());
    for (place, (name, value)) in set.into_iter().enumerate() {
        sets.push(format!("#s{place} = :s{place}"));
        condition = condition.named(&format!("#s{place}"), &name).valued(&format!(":s{place}"), value);
    }
    let mut change = format!("SET {}", sets.join(", "));
    let placeholders: Vec<String> = (0..removed.len()).map(|place| format!("#r{place}")).collect();
    if !placeholders.is_empty() {
        change = format!("{change} REMOVE {}", placeholders.join(", "));
    }
    for (placeholder, name) in placeholders.iter().zip(&removed) {
        condition = condition.named(placeholder, name);
    }
    if let Some(version) = &entity.version {
        change.push_str(" ADD #n :one");
        condition = condition.named("#n", version).valued(":one", AttributeValue::N("1".to_owned()));
    }
    Ok(Write::Update { key: item_key, change, condition })
}

/// The error of a write whose condition did not hold, by what it met.
pub(super) fn lost(model: &Model, entity: &Entity, given: Option<u64>, met: Option<Item>) -> Error {
    let met = met.filter(|met| !item::is_expired(model, met, now()));
    let entity_name = &entity.name;
    match (given, met) {
        (None, Some(_)) => Error::new(
            ErrorKind::AlreadyExists,
            format!("there is such a {entity_name:?} already, which keeps its value"),
        ),
        (_, None) => Error::new(
            ErrorKind::NotFound,
            format!("there is no such {entity_name:?}, or not any more; nothing was written"),
        ),
        (Some(given), Some(met)) => {
            let version = entity.version.as_ref().and_then(|version| met.get(version)?.as_n().ok());
            let stored = version.map_or("none", String::as_str);
            Error::new(
                ErrorKind::Conflict,
                format!(
                    "another changed the {entity_name:?}: its version is {stored}, not {given}; read it again and \
                     repeat the change"
                ),
            )
        }
    }
}
