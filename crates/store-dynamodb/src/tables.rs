//! Tables: looked at before their first use, made when the configuration says so, waited for, never changed.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ProvisionedThroughput, ScalarAttributeType,
    TableDescription, TableStatus, TimeToLiveSpecification,
};
use store_core::{Error, ErrorKind, Result};
use tokio::sync::Mutex;

use crate::config::{DynamoDbBilling, DynamoDbTableOptions};
use crate::error::NAME;
use crate::schema::{self, EXPIRES, PARTITION_KEY, SORT_KEY};
use crate::space::Space;

/// How long to wait between two looks at a table that is being made or deleted, at first and at most.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LOOK: Duration = Duration::from_secs(1);

/// How long a table may take to come or to go: seconds as a rule, minutes for one with indexes.
const PATIENCE: Duration = Duration::from_mins(5);

/// The key attributes of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) partition: String,
    /// Empty where a table has none.
    pub(crate) sort: String,
}

/// The tables that were looked at.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    known: Mutex<HashMap<String, Keys>>,
}

impl Tables {
    /// Forgets what is known, since tables went.
    pub(crate) async fn forget(&self) {
        self.known.lock().await.clear();
    }

    /// Has the next call look at the tables again, since one is said not to be there; unless somebody looks just now.
    pub(crate) fn doubt(&self) {
        if let Ok(mut known) = self.known.try_lock() {
            known.clear();
        }
    }
}

/// What a table must be like, and is made like: keys of type S, of whatever name, as in LlamaIndex.
#[derive(Debug)]
struct Shape {
    /// What it is for.
    role: &'static str,
    /// What it needs, in words.
    needs: &'static str,
    partition: &'static str,
    sort: Option<&'static str>,
    /// The attribute with the second at which an item expires.
    expires: &'static str,
}

const MAIN: Shape = Shape {
    role: "the store",
    needs: "a partition key and a sort key, both of type S",
    partition: PARTITION_KEY,
    sort: Some(SORT_KEY),
    expires: EXPIRES,
};
const CHATS: Shape = Shape {
    role: "LlamaIndex's chats",
    needs: "a partition key of type S and no sort key",
    partition: schema::CHAT_SESSION,
    sort: None,
    expires: schema::CHAT_EXPIRES,
};

/// The keys of the main table, which is made if the configuration says so. `NotFound` when it is not there and is not
/// to be made.
pub(crate) async fn main(space: &Space) -> Result<Keys> {
    ready(space, &space.main, &MAIN).await
}

/// The key of the table of chats in LlamaIndex's layout; there is no sort key. As [`main`] else.
pub(crate) async fn chats(space: &Space, name: &str) -> Result<Keys> {
    ready(space, name, &CHATS).await
}

async fn ready(space: &Space, name: &str, shape: &Shape) -> Result<Keys> {
    let mut known = space.tables.known.lock().await;
    if let Some(keys) = known.get(name) {
        return Ok(keys.clone());
    }
    let table = match describe(space, name).await? {
        Some(table) if table.table_status == Some(TableStatus::Creating) => active(space, name).await?,
        Some(table) => table,
        None if space.config.create => {
            create(space, name, shape).await?;
            let table = active(space, name).await?;
            expire(space, name, shape.expires).await?;
            table
        }
        None => {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!(
                    "there is no table {name:?}; make it with {}, or open the store with store.create=true",
                    shape.needs
                ),
            ));
        }
    };
    let keys =
        text_keys(&table).filter(|keys| keys.sort.is_empty() == shape.sort.is_none()).ok_or_else(|| {
            Error::config(format!("the table {name:?} can not hold {}: it needs {}", shape.role, shape.needs))
                .with_backend(NAME)
        })?;
    known.insert(name.to_owned(), keys.clone());
    Ok(keys)
}

/// A table's description; `None` when there is none.
pub(crate) async fn describe(space: &Space, name: &str) -> Result<Option<TableDescription>> {
    match space.call(space.client()?.describe_table().table_name(name).send()).await {
        Ok(answer) => Ok(answer.table),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The names of the store's tables that are there.
pub(crate) async fn of_store(space: &Space) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let list = space.client()?.list_tables().set_exclusive_start_table_name(after);
        let answer = space.call(list.send()).await?;
        found.extend(
            answer
                .table_names
                .unwrap_or_default()
                .into_iter()
                .filter(|name| schema::is_of(&space.main, name)),
        );
        after = answer.last_evaluated_table_name;
        if after.is_none() {
            return Ok(found);
        }
    }
}

/// Deletes a table and waits until it is gone. One that is gone already is no error.
pub(crate) async fn delete(space: &Space, name: &str) -> Result<()> {
    match space.call(space.client()?.delete_table().table_name(name).send()).await {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let gone = async {
        let mut wait = FIRST_LOOK;
        while describe(space, name).await?.is_some() {
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LOOK);
        }
        Ok(())
    };
    in_time(name, "deleted", gone).await?;
    space.tables.forget().await;
    Ok(())
}

/// The request that makes a table, as the configuration says tables are made, without its keys.
pub(crate) fn creation(space: &Space, name: &str) -> Result<CreateTableFluentBuilder> {
    let options = &space.config.tables;
    let create = space.client()?.create_table().table_name(name);
    let create = create.deletion_protection_enabled(options.deletion_protection);
    match options.billing {
        DynamoDbBilling::OnDemand => Ok(create.billing_mode(BillingMode::PayPerRequest)),
        DynamoDbBilling::Provisioned => {
            Ok(create.billing_mode(BillingMode::Provisioned).set_provisioned_throughput(throughput(options)?))
        }
    }
}

/// The capacity of a table, and of each of its global indexes, where it is not paid by request.
pub(crate) fn throughput(options: &DynamoDbTableOptions) -> Result<Option<ProvisionedThroughput>> {
    if options.billing == DynamoDbBilling::OnDemand {
        return Ok(None);
    }
    let throughput = ProvisionedThroughput::builder()
        .read_capacity_units(options.read_units.unwrap_or(1))
        .write_capacity_units(options.write_units.unwrap_or(1));
    throughput.build().map(Some).map_err(unbuilt)
}

async fn create(space: &Space, name: &str, shape: &Shape) -> Result<()> {
    let mut create = creation(space, name)?;
    let sort = shape.sort.map(|sort| (sort, KeyType::Range));
    for (attribute, kind) in [(shape.partition, KeyType::Hash)].into_iter().chain(sort) {
        let definition = AttributeDefinition::builder()
            .attribute_name(attribute)
            .attribute_type(ScalarAttributeType::S)
            .build();
        let element = KeySchemaElement::builder().attribute_name(attribute).key_type(kind).build();
        create =
            create.attribute_definitions(definition.map_err(unbuilt)?).key_schema(element.map_err(unbuilt)?);
    }
    match space.call(create.send()).await {
        // Another made it meanwhile.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        answer => answer.map(|_| ()),
    }
}

/// Has the service remove items that are past their time.
pub(crate) async fn expire(space: &Space, name: &str, attribute: &str) -> Result<()> {
    let expires = TimeToLiveSpecification::builder().attribute_name(attribute).enabled(true).build();
    let update = space.client()?.update_time_to_live().table_name(name);
    let update = update.time_to_live_specification(expires.map_err(unbuilt)?);
    match space.call(update.send()).await {
        // It is so already: another made the table with us.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        answer => answer.map(|_| ()),
    }
}

/// Waits until a table can be used.
pub(crate) async fn active(space: &Space, name: &str) -> Result<TableDescription> {
    let made = async {
        let mut wait = FIRST_LOOK;
        loop {
            if let Some(table) = describe(space, name).await?
                && table.table_status == Some(TableStatus::Active)
            {
                return Ok(table);
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LOOK);
        }
    };
    in_time(name, "made", made).await
}

/// What is done to a table, if that is done within [`PATIENCE`].
async fn in_time<T>(name: &str, what: &str, done: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(PATIENCE, done).await.map_err(|_| {
        let message = format!(
            "the table {name:?} is still being {what} after {} s; look at it, then repeat the call",
            PATIENCE.as_secs()
        );
        Error::new(ErrorKind::Timeout, message).with_backend(NAME)
    })?
}

/// The keys of a table that can be the main one.
pub(crate) fn keys_of(table: &TableDescription) -> Option<Keys> {
    text_keys(table).filter(|keys| !keys.sort.is_empty())
}

/// The keys of a table, if they are texts; the sort key is empty where there is none.
fn text_keys(table: &TableDescription) -> Option<Keys> {
    let text = |name: &str| {
        let mut definitions = table.attribute_definitions.iter().flatten();
        definitions.any(|one| one.attribute_name == name && one.attribute_type == ScalarAttributeType::S)
    };
    let key = |kind: &KeyType| {
        let found = table.key_schema.iter().flatten().find(|element| element.key_type == *kind);
        found.map_or(Some(String::new()), |found| {
            text(&found.attribute_name).then(|| found.attribute_name.clone())
        })
    };
    let keys = Keys { partition: key(&KeyType::Hash)?, sort: key(&KeyType::Range)? };
    (!keys.partition.is_empty()).then_some(keys)
}

/// The error of a request that lacks a part; the driver's builders want each to be looked at.
pub(crate) fn unbuilt(error: aws_sdk_dynamodb::error::BuildError) -> Error {
    Error::new(ErrorKind::Other, "a request can not be built").with_backend(NAME).with_source(error)
}
