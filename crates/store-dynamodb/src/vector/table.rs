//! The table of a vector set, and its vector index: made at `configure` when the configuration says so, held against
//! the set's settings before use, never changed.

use std::time::Instant;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, IndexStatus, KeySchemaElement, KeyType, LocalSecondaryIndex,
    Projection, ProjectionType, ScalarAttributeType, SearchSchemaElement, SearchSchemaElementType,
    TableDescription, TableStatus, VectorAttributeDefinition, VectorDistanceFunction, VectorIndex,
};
use store_core::{Error, ErrorKind, Metric, Result, VectorConfig};

use super::rows::{BY_DOC, DOC_ID, OWN, TENANT, inline_name, inline_type};
use super::set::{Index, Settings, State};
use crate::error::NAME;
use crate::schema::{PARTITION_KEY, SORT_KEY};
use crate::space::Space;
use crate::tables::{self, unbuilt};

/// The name of the vector index.
pub(super) const INDEX: &str = "by_vector";
/// Dimensions that a vector index takes.
pub(super) const MAX_DIMENSIONS: usize = 4096;

/// Whether the service has vector indexes.
pub(super) async fn offers_indexes(space: &Space) -> Result<bool> {
    // A search of an index that is not there: what it is refused with tells.
    let search = space
        .client()?
        .search_vectors()
        .table_name(&space.main)
        .index_name(INDEX)
        .search_vector(AttributeValue::N("1".to_owned()))
        .top_k(1);
    match space.call(search.send()).await {
        Err(error) => match error.kind() {
            ErrorKind::Unsupported => Ok(false),
            ErrorKind::NotFound | ErrorKind::InvalidInput => Ok(true),
            _ => Err(error),
        },
        Ok(_) => Ok(true),
    }
}

/// Makes the table if it is not there, and is to be made; else holds it against what it must be. Answers whether the
/// table has a vector index.
pub(super) async fn ensure(space: &Space, name: &str, settings: &Settings) -> Result<bool> {
    let table = match tables::describe(space, name).await? {
        Some(table) if table.table_status == Some(TableStatus::Deleting) => {
            let message =
                format!("the table {name:?} is just being deleted; configure the set when it is gone");
            return Err(Error::new(ErrorKind::Conflict, message).with_retryable(true));
        }
        Some(_) => tables::active(space, name).await?,
        None if space.config.create => {
            create(space, name, settings).await?;
            tables::active(space, name).await?
        }
        None => {
            let message = format!(
                "there is no table {name:?} for the vectors; open the store with store.create=true, or make it with the \
                 partition key {PARTITION_KEY:?}, the sort key {SORT_KEY:?}, and a local index {BY_DOC:?} of the sort \
                 key {DOC_ID:?} that projects the keys, all of type S"
            );
            return Err(Error::new(ErrorKind::NotFound, message));
        }
    };
    check(&table, name)?;
    Ok(table.vector_indexes.iter().flatten().any(|index| index.index_name.as_deref() == Some(INDEX)))
}

/// Refuses a table that can not hold a set.
fn check(table: &TableDescription, name: &str) -> Result<()> {
    let key = |schema: &Option<Vec<KeySchemaElement>>, kind: &KeyType, name: &str| {
        schema.iter().flatten().any(|key| key.key_type == *kind && key.attribute_name == name)
    };
    let wrong = |what: &str| {
        let message = format!(
            "the table {name:?} can not hold vectors: {what}; keys and indexes of a table can not be changed, so \
             delete it, and make it anew or let configure do so with store.create=true"
        );
        Error::config(message).with_backend(NAME)
    };
    if !key(&table.key_schema, &KeyType::Hash, PARTITION_KEY)
        || !key(&table.key_schema, &KeyType::Range, SORT_KEY)
    {
        return Err(wrong(&format!("its keys are not {PARTITION_KEY:?} and {SORT_KEY:?}")));
    }
    let mut locals = table.local_secondary_indexes.iter().flatten();
    let by_doc = locals.any(|index| {
        index.index_name.as_deref() == Some(BY_DOC) && key(&index.key_schema, &KeyType::Range, DOC_ID)
    });
    if by_doc { Ok(()) } else { Err(wrong(&format!("it has no local index {BY_DOC:?} of {DOC_ID:?}"))) }
}

async fn create(space: &Space, name: &str, settings: &Settings) -> Result<()> {
    let definition = |name: &str, letter: &str| {
        let definition = AttributeDefinition::builder().attribute_name(name);
        definition.attribute_type(ScalarAttributeType::from(letter)).build().map_err(unbuilt)
    };
    let element = |name: &str, kind| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().map_err(unbuilt)
    };
    let by_doc = LocalSecondaryIndex::builder()
        .index_name(BY_DOC)
        .key_schema(element(PARTITION_KEY, KeyType::Hash)?)
        .key_schema(element(DOC_ID, KeyType::Range)?)
        .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build())
        .build()
        .map_err(unbuilt)?;
    let mut create = tables::creation(space, name)?
        .key_schema(element(PARTITION_KEY, KeyType::Hash)?)
        .key_schema(element(SORT_KEY, KeyType::Range)?)
        .attribute_definitions(definition(PARTITION_KEY, "S")?)
        .attribute_definitions(definition(SORT_KEY, "S")?)
        .attribute_definitions(definition(DOC_ID, "S")?)
        .local_secondary_indexes(by_doc);
    if let Some(index) = &settings.index {
        if index.tenant.is_some() {
            create = create.attribute_definitions(definition(TENANT, "S")?);
        }
        for field in &index.fields {
            create = create.attribute_definitions(definition(&inline_name(&field.key), inline_type(field))?);
        }
        create = create.vector_indexes(vector_index(&settings.config, index)?);
    }
    match space.call(create.send()).await {
        // Another made it meanwhile.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        answer => answer.map(|_| ()),
    }
}

fn vector_index(config: &VectorConfig, index: &Index) -> Result<VectorIndex> {
    let attribute = VectorAttributeDefinition::builder().attribute_name(OWN.vector).build();
    let mut built = VectorIndex::builder()
        .index_name(INDEX)
        .vector_attribute(attribute.map_err(unbuilt)?)
        .dimensions(i64::try_from(config.dimensions).unwrap_or(i64::MAX))
        .distance_function(distance(config.metric))
        .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build());
    for (name, kind) in search_schema(index) {
        let element = SearchSchemaElement::builder().attribute_name(name).search_schema_element_type(kind);
        built = built.search_schema(element.build().map_err(unbuilt)?);
    }
    built.build().map_err(unbuilt)
}

fn search_schema(index: &Index) -> Vec<(String, SearchSchemaElementType)> {
    let tenant = index.tenant.iter().map(|_| (TENANT.to_owned(), SearchSchemaElementType::Hash));
    let fields =
        index.fields.iter().map(|field| (inline_name(&field.key), SearchSchemaElementType::InlineFilter));
    tenant.chain(fields).collect()
}

pub(super) fn distance(metric: Metric) -> VectorDistanceFunction {
    match metric {
        Metric::Dot => VectorDistanceFunction::DotProduct,
        Metric::Euclidean => VectorDistanceFunction::Euclidean,
        Metric::Cosine => VectorDistanceFunction::Cosine,
    }
}

/// Whether a search was refused since its index does not hold all rows yet, or is gone. The service has one code for all
/// that is wrong with a request.
pub(super) fn is_not_ready(error: &Error) -> bool {
    let says = |what| error.message().contains(what);
    error.kind() == ErrorKind::InvalidInput
        && (says("backfilling") || says("does not have the specified index"))
}

/// How a set in this table is searched, in words.
pub(crate) fn how(table: &TableDescription) -> &'static str {
    let mut indexes = table.vector_indexes.iter().flatten();
    match indexes.find(|index| index.index_name.as_deref() == Some(INDEX)) {
        None => "searched by a read of every node, as it has no vector index",
        Some(index) if index.index_status == Some(IndexStatus::Active) && index.backfilling != Some(true) => {
            "searched by its vector index"
        }
        Some(_) => "searched by a read of every node while its vector index is built",
    }
}

/// What the service says of the vector index; `Config` when it is not what the set was made with.
pub(super) async fn state(space: &Space, name: &str, config: &VectorConfig, index: &Index) -> Result<State> {
    let table = tables::describe(space, name).await?;
    let live = table.and_then(|table| table.vector_indexes).unwrap_or_default();
    let Some(live) = live.into_iter().find(|live| live.index_name.as_deref() == Some(INDEX)) else {
        return Ok(State::Gone);
    };
    let mut schema: Vec<_> = live
        .search_schema
        .into_iter()
        .flatten()
        .map(|element| (element.attribute_name, element.search_schema_element_type))
        .collect();
    let mut expected = search_schema(index);
    schema.sort_by(|left, right| left.0.cmp(&right.0));
    expected.sort_by(|left, right| left.0.cmp(&right.0));
    let attribute = live.vector_attribute.map(|attribute| attribute.attribute_name);
    let differs = if live.dimensions != i64::try_from(config.dimensions).ok() {
        Some(format!("its dimensions are {:?}, the set's {}", live.dimensions, config.dimensions))
    } else if live.distance_function.as_ref() != Some(&distance(config.metric)) {
        Some(format!("its distance function does not fit the set's metric, {}", config.metric))
    } else if attribute.as_deref() != Some(OWN.vector) {
        Some(format!("it indexes {attribute:?}, not {:?}", OWN.vector))
    } else if schema != expected {
        Some("it parts or filters by other attributes than the set was made with".to_owned())
    } else {
        None
    };
    if let Some(what) = differs {
        let message = format!(
            "the vector index {INDEX:?} of the table {name:?} is not the set's own: {what}; an index can not be \
             changed, so delete it (searches then read every node) and add it anew as it was, or drop the set"
        );
        return Err(Error::config(message).with_backend(NAME));
    }
    Ok(match live.index_status {
        Some(IndexStatus::Active) if live.backfilling != Some(true) => State::Active,
        _ => State::Building(Instant::now()),
    })
}
