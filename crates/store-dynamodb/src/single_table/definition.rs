//! The table of a declaration: made as it says, or held against it. It is never changed.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, GlobalSecondaryIndex, KeySchemaElement, KeyType, LocalSecondaryIndex, Projection,
    ProjectionType, ScalarAttributeType, StreamSpecification, TableDescription, TableStatus,
    TimeToLiveStatus,
};
use store_core::{Error, ErrorKind, Result};

use super::design::DynamoDbIndex;
use super::model::Model;
use crate::error::NAME;
use crate::space::Space;
use crate::tables::{self, unbuilt};

/// In what a table is other than its declaration.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) message: String,
    /// Whether the declaration can not be used on the table.
    pub(super) hinders: bool,
}

/// The table as it is, once it can be used; `None` when there is none.
pub(super) async fn live(space: &Space, model: &Model) -> Result<Option<TableDescription>> {
    let Some(table) = tables::describe(space, &model.table).await? else { return Ok(None) };
    match table.table_status {
        Some(TableStatus::Deleting) => {
            let message =
                format!("the table {:?} is just being deleted; try again when it is gone", model.table);
            Err(Error::new(ErrorKind::Conflict, message).with_retryable(true))
        }
        Some(TableStatus::Creating) => tables::active(space, &model.table).await.map(Some),
        _ => Ok(Some(table)),
    }
}

/// The error of a table that is not there.
pub(super) fn missing(model: &Model) -> Error {
    let message = format!(
        "there is no table {:?}; make it by create_table, or open the store with store.create=true",
        model.table
    );
    Error::new(ErrorKind::NotFound, message)
}

/// Refuses a table that the declaration can not be used on; what else is different goes to the log.
pub(super) fn check(model: &Model, table: &TableDescription) -> Result<()> {
    let (hinders, others): (Vec<Difference>, Vec<Difference>) =
        differences(model, table).into_iter().partition(|difference| difference.hinders);
    for other in others {
        tracing::warn!(table = model.table, "{}", other.message);
    }
    if hinders.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = hinders.into_iter().map(|difference| difference.message).collect();
    let message = format!(
        "the table {:?} is not as it is declared: {}; change the declaration or the table, which is not changed here",
        model.table,
        told.join("; ")
    );
    Err(Error::config(message).with_backend(NAME))
}

/// Makes the table and waits for it.
pub(super) async fn create(space: &Space, model: &Model) -> Result<TableDescription> {
    let mut create = tables::creation(space, &model.table)?
        .set_key_schema(Some(schema(&model.keys.partition, Some(&model.keys.sort))?));
    let mut attributes = vec![model.keys.partition.as_str(), model.keys.sort.as_str()];
    for index in &model.indexes {
        attributes.extend(index.partition.as_deref());
        attributes.extend(index.sort.as_deref());
        let all = Projection::builder().projection_type(ProjectionType::All).build();
        let partition = index.partition.as_deref().unwrap_or(&model.keys.partition);
        let keys = Some(schema(partition, index.sort.as_deref())?);
        create = if index.partition.is_some() {
            let built = GlobalSecondaryIndex::builder().index_name(&index.name).set_key_schema(keys);
            let built = built.set_provisioned_throughput(tables::throughput(&space.config.tables)?);
            create.global_secondary_indexes(built.projection(all).build().map_err(unbuilt)?)
        } else {
            let built = LocalSecondaryIndex::builder().index_name(&index.name).set_key_schema(keys);
            create.local_secondary_indexes(built.projection(all).build().map_err(unbuilt)?)
        };
    }
    for name in attributes {
        let definition = AttributeDefinition::builder().attribute_name(name);
        let definition = definition.attribute_type(ScalarAttributeType::S).build().map_err(unbuilt)?;
        create = create.attribute_definitions(definition);
    }
    if let Some(view) = &model.stream {
        let stream = StreamSpecification::builder().stream_enabled(true).stream_view_type(view.clone());
        create = create.stream_specification(stream.build().map_err(unbuilt)?);
    }
    match space.call(create.send()).await {
        // Another made it meanwhile.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        answer => {
            answer?;
        }
    }
    let table = tables::active(space, &model.table).await?;
    if let Some(attribute) = &model.expires {
        tables::expire(space, &model.table, attribute).await?;
    }
    Ok(table)
}

fn schema(partition: &str, sort: Option<&str>) -> Result<Vec<KeySchemaElement>> {
    let keys = [Some((partition, KeyType::Hash)), sort.map(|sort| (sort, KeyType::Range))];
    let element = |(name, kind)| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().map_err(unbuilt)
    };
    keys.into_iter().flatten().map(element).collect()
}

/// In what a table is other than its declaration, but for its time to live.
pub(super) fn differences(model: &Model, table: &TableDescription) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut add = |hinders, message| found.push(Difference { message, hinders });
    let keys = table.key_schema.as_deref().unwrap_or_default();
    if let Some(message) = keys_differ(table, keys, &model.keys.partition, Some(&model.keys.sort)) {
        add(true, format!("its {message}"));
    }
    for index in &model.indexes {
        match find(table, index) {
            None => {
                let what = if index.partition.is_some() { "global" } else { "local" };
                add(true, format!("it has no {what} index {:?}", index.name));
            }
            Some((keys, projection)) => {
                let partition = index.partition.as_deref().unwrap_or(&model.keys.partition);
                if let Some(message) = keys_differ(table, keys, partition, index.sort.as_deref()) {
                    add(true, format!("the index {:?}'s {message}", index.name));
                }
                let projected = projection.and_then(|projection| projection.projection_type.as_ref());
                if projected.is_some_and(|projected| *projected != ProjectionType::All) {
                    add(true, format!("the index {:?} does not have all attributes", index.name));
                }
            }
        }
    }
    if let Some(wanted) = &model.stream {
        let live = table.stream_specification.as_ref().filter(|stream| stream.stream_enabled);
        match live.and_then(|stream| stream.stream_view_type.as_ref()) {
            Some(view) if view == wanted => {}
            Some(view) => add(false, format!("its stream shows {view}, not {wanted}")),
            None => add(false, "it has no stream".to_owned()),
        }
    }
    found
}

fn find<'a>(
    table: &'a TableDescription,
    index: &DynamoDbIndex,
) -> Option<(&'a [KeySchemaElement], Option<&'a Projection>)> {
    let name = Some(index.name.as_str());
    if index.partition.is_some() {
        let mut live = table.global_secondary_indexes.iter().flatten();
        let live = live.find(|live| live.index_name.as_deref() == name)?;
        Some((live.key_schema.as_deref().unwrap_or_default(), live.projection.as_ref()))
    } else {
        let mut live = table.local_secondary_indexes.iter().flatten();
        let live = live.find(|live| live.index_name.as_deref() == name)?;
        Some((live.key_schema.as_deref().unwrap_or_default(), live.projection.as_ref()))
    }
}

/// How keys differ from what they should be, in words.
fn keys_differ(
    table: &TableDescription,
    live: &[KeySchemaElement],
    partition: &str,
    sort: Option<&str>,
) -> Option<String> {
    let kind = |name: &str| {
        let mut definitions = table.attribute_definitions.iter().flatten();
        let found = definitions.find(|definition| definition.attribute_name == name);
        found.map_or_else(String::new, |found| found.attribute_type.as_str().to_owned())
    };
    let shown = |keys: Vec<(String, String)>| {
        let keys: Vec<String> = keys.into_iter().map(|(name, kind)| format!("{name:?} ({kind})")).collect();
        keys.join(" and ")
    };
    let key = |wanted: KeyType| live.iter().find(|element| element.key_type == wanted);
    let is: Vec<(String, String)> = [key(KeyType::Hash), key(KeyType::Range)]
        .into_iter()
        .flatten()
        .map(|element| (element.attribute_name.clone(), kind(&element.attribute_name)))
        .collect();
    let should: Vec<(String, String)> =
        [Some(partition), sort].into_iter().flatten().map(|name| (name.to_owned(), "S".to_owned())).collect();
    (is != should).then(|| format!("keys are {}, not {}", shown(is), shown(should)))
}

/// How the live time to live differs from the declared one.
pub(super) async fn expiry(space: &Space, model: &Model) -> Result<Option<Difference>> {
    let Some(wanted) = &model.expires else { return Ok(None) };
    let ask = space.client()?.describe_time_to_live().table_name(&model.table);
    let live = space.call(ask.send()).await?.time_to_live_description;
    let on = live.as_ref().and_then(|live| live.time_to_live_status.as_ref());
    let on = matches!(on, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling));
    let attribute = live.as_ref().and_then(|live| live.attribute_name.as_deref()).filter(|_| on);
    let message = match attribute {
        Some(attribute) if attribute == wanted => return Ok(None),
        Some(attribute) => format!("items expire by {attribute:?}, not by {wanted:?}"),
        None => format!("the service removes no items by {wanted:?}; they are only hidden from reads here"),
    };
    Ok(Some(Difference { message, hinders: false }))
}
