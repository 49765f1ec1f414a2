//! Items as documents.

use std::borrow::Cow;
use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;
use store_core::filter::lookup;
use store_core::{Document, Error, JsonObject, Result};

use super::{DynamoDbReader, Source};
use crate::batch::name_of;
use crate::codec::{self, Item};
use crate::kv::DynamoKvStore;
use crate::large::Head;
use crate::schema::BESIDE;
use crate::tables::Keys;

/// An item as a document; `None` when it does not match, or is to be left out.
pub(super) async fn document(
    reader: &DynamoDbReader,
    keys: Option<&Keys>,
    item: Item,
) -> Result<Option<Document>> {
    let id = id(reader, keys, &item);
    // What a filter sees has nothing in the place of bytes, which equal no text.
    let seen = reader.filter.as_ref().filter(|_| item.values().any(has_bytes));
    let seen = match (seen, keys) {
        (Some(_), Some(keys)) => Some(value(reader, keys, "", without_bytes(&item)).await?),
        (Some(_), None) => Some(Some(plain(without_bytes(&item)))),
        (None, _) => None,
    };
    let name = id.as_deref().unwrap_or_default();
    let value = match keys {
        Some(keys) => value(reader, keys, name, item).await.map_err(|error| error.with_key(name))?,
        None => Some(plain(item)),
    };
    let Some(value) = value else { return Ok(None) };
    if let Some(filter) = &reader.filter
        && !filter.matches(seen.as_ref().and_then(Option::as_ref).unwrap_or(&value))
    {
        return Ok(None);
    }
    let id = id?;
    reader.shape.document(&id, reader.source.name(), |field| Ok(find(&value, field).map(Cow::Borrowed)))
}

/// The value of an item; `None` for one that is gone by now.
async fn value(reader: &DynamoDbReader, keys: &Keys, id: &str, item: Item) -> Result<Option<JsonObject>> {
    match &reader.source {
        Source::Collection(collection) if Head::of(&item).is_some() => {
            DynamoKvStore::new(Arc::clone(&reader.space)).value(keys, collection, id, item).await
        }
        Source::Collection(_) => Ok(Some(codec::decode(item, keys))),
        Source::Partition { .. } | Source::Table(_) | Source::Statement { .. } => Ok(Some(plain(item))),
    }
}

/// An item as Python reads it, without attributes of ours.
fn plain(mut item: Item) -> JsonObject {
    item.retain(|name, _| !name.starts_with(BESIDE));
    codec::from_map(item)
}

/// The id of an item's document: a field of it, or its key. Of a key of two parts the first one has `%2F` for a slash
/// and `%25` for a percent sign, so that no two keys are one id.
fn id(reader: &DynamoDbReader, keys: Option<&Keys>, item: &Item) -> Result<String> {
    let part = |name: &str| match item.get(name) {
        Some(AttributeValue::S(_) | AttributeValue::N(_) | AttributeValue::B(_)) => Ok(name_of(item, name)),
        Some(_) => Err(Error::invalid_input(format!(
            "the attribute {name:?} is neither text, number nor bytes, and can not be an id"
        ))),
        None => Err(Error::invalid_input(format!(
            "an item has no attribute {name:?}, which its id is made of; have it read, or say with_id_field which \
             one to take"
        ))),
    };
    match (&reader.id_field, &reader.source, keys) {
        (Some(field), ..) => part(field),
        (None, Source::Collection(_), Some(keys)) => part(&keys.sort),
        (None, _, Some(keys)) if keys.sort.is_empty() => part(&keys.partition),
        (None, _, Some(keys)) => {
            let partition = part(&keys.partition)?.replace('%', "%25").replace('/', "%2F");
            Ok(format!("{partition}/{}", part(&keys.sort)?))
        }
        (None, _, None) => Err(Error::invalid_input("say with_id_field which attribute is the id")),
    }
}

/// A field: the member of that name, or the one at the path.
fn find<'a>(value: &'a JsonObject, field: &str) -> Option<&'a Value> {
    value.get(field).or_else(|| lookup(value, field))
}

fn has_bytes(attribute: &AttributeValue) -> bool {
    match attribute {
        AttributeValue::B(_) | AttributeValue::Bs(_) => true,
        AttributeValue::L(items) => items.iter().any(has_bytes),
        AttributeValue::M(members) => members.values().any(has_bytes),
        _ => false,
    }
}

fn without_bytes(item: &Item) -> Item {
    fn without(attribute: &AttributeValue) -> AttributeValue {
        let nothing = || AttributeValue::M(Item::new());
        match attribute {
            AttributeValue::B(_) => nothing(),
            AttributeValue::Bs(all) => AttributeValue::L(all.iter().map(|_| nothing()).collect()),
            AttributeValue::L(items) => AttributeValue::L(items.iter().map(without).collect()),
            AttributeValue::M(members) => AttributeValue::M(without_bytes(members)),
            other => other.clone(),
        }
    }
    item.iter().map(|(name, attribute)| (name.clone(), without(attribute))).collect()
}
