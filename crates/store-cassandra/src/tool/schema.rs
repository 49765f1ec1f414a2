//! What the live schema says of tables.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use store_core::{Error, JsonObject, Result};

use super::answer::{ToolColumn, ToolIndex, ToolTable};
use crate::cells;
use crate::codec::{text, texts};
use crate::config::CassandraConsistency;
use crate::session::{Call, Class, Value};
use crate::space::Space;

/// Tables that are described by one request.
const AT_ONCE: usize = 100;

#[derive(Deserialize)]
struct TableRow {
    table_name: String,
    comment: Option<String>,
}

#[derive(Deserialize)]
struct ViewRow {
    view_name: String,
    base_table_name: String,
    comment: Option<String>,
}

#[derive(Deserialize)]
struct ColumnRow {
    table_name: String,
    column_name: String,
    r#type: String,
    kind: String,
    position: i32,
    clustering_order: String,
}

#[derive(Deserialize)]
struct IndexRow {
    table_name: String,
    index_name: String,
    kind: String,
    options: Option<JsonObject>,
}

/// The tables and views of a keyspace in order of their names, without columns; only that of the name, if one is given.
pub(super) async fn tables(space: &Space, keyspace: &str, name: Option<&str>) -> Result<Vec<ToolTable>> {
    let mut values = vec![text(keyspace)];
    values.extend(name.map(text));
    let of = |column: &str| if name.is_some() { format!(" AND {column} = ?") } else { String::new() };
    let tables = format!(
        "SELECT table_name, comment FROM system_schema.tables WHERE keyspace_name = ?{}",
        of("table_name")
    );
    let views = format!(
        "SELECT view_name, base_table_name, comment FROM system_schema.views WHERE keyspace_name = ?{}",
        of("view_name")
    );
    let (tables, views) = futures::try_join!(
        rows::<TableRow>(space, &tables, values.clone()),
        rows::<ViewRow>(space, &views, values.clone())
    )?;
    let table = |name: String, comment: Option<String>, view_of: Option<String>| ToolTable {
        keyspace: keyspace.to_owned(),
        name,
        comment: comment.filter(|comment| !comment.is_empty()),
        view_of,
        ..ToolTable::default()
    };
    let tables = tables.into_iter().map(|row| table(row.table_name, row.comment, None));
    let views = views.into_iter().map(|row| table(row.view_name, row.comment, Some(row.base_table_name)));
    let mut all: Vec<ToolTable> = tables.chain(views).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Fills in columns, keys and indexes of tables of one keyspace.
pub(super) async fn describe(space: &Space, keyspace: &str, tables: &mut [ToolTable]) -> Result<()> {
    for tables in tables.chunks_mut(AT_ONCE) {
        let names = texts(tables.iter().map(|table| table.name.as_str()));
        let values = vec![text(keyspace), names];
        let columns = "SELECT table_name, column_name, type, kind, position, clustering_order FROM \
                       system_schema.columns WHERE keyspace_name = ? AND table_name IN ?";
        let indexes = "SELECT table_name, index_name, kind, options FROM system_schema.indexes WHERE keyspace_name = \
                       ? AND table_name IN ?";
        let (columns, indexes) = futures::try_join!(
            rows::<ColumnRow>(space, columns, values.clone()),
            rows::<IndexRow>(space, indexes, values.clone())
        )?;
        let mut by_name: BTreeMap<String, &mut ToolTable> =
            tables.iter_mut().map(|table| (table.name.clone(), table)).collect();
        let mut keys = Vec::new();
        for row in columns {
            let Some(table) = by_name.get_mut(&row.table_name) else { continue };
            table.columns.push(ToolColumn { name: row.column_name.clone(), r#type: row.r#type.clone() });
            keys.push(row);
        }
        keys.sort_by_key(|row| row.position);
        for row in keys {
            let Some(table) = by_name.get_mut(&row.table_name) else { continue };
            match row.kind.as_str() {
                "partition_key" => table.partition_key.push(row.column_name),
                "clustering" => table.clustering.push((row.column_name, row.clustering_order)),
                _ => {}
            }
        }
        for row in indexes {
            let Some(table) = by_name.get_mut(&row.table_name) else { continue };
            let options = row.options.unwrap_or_default();
            table.indexes.push(ToolIndex { name: row.index_name, kind: row.kind, options });
        }
    }
    Ok(())
}

/// A table with all that is known of it; `None` when it is not there.
pub(super) async fn one(space: &Space, keyspace: &str, name: &str) -> Result<Option<ToolTable>> {
    let table = ToolTable { keyspace: keyspace.to_owned(), name: name.to_owned(), ..ToolTable::default() };
    let mut table = [table];
    describe(space, keyspace, &mut table).await?;
    let [table] = table;
    Ok(Some(table).filter(|table| !table.columns.is_empty()))
}

/// Whether there is a keyspace of the name.
pub(super) async fn has_keyspace(space: &Space, keyspace: &str) -> Result<bool> {
    let find = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
    Ok(!rows::<Json>(space, find, vec![text(keyspace)]).await?.is_empty())
}

async fn rows<T: DeserializeOwned>(space: &Space, statement: &str, values: Vec<Value>) -> Result<Vec<T>> {
    // Every node has its own copy of these tables.
    let read = Call::new(Class::Read, statement, values).with_consistency(CassandraConsistency::One);
    let rows = space.run(read).await?;
    let columns = rows.columns();
    let typed = |row| {
        serde_json::from_value(Json::Object(cells::object(&columns, row)?))
            .map_err(|error| Error::corrupt("the server's own tables have another form").with_source(error))
    };
    rows.iter().map(typed).collect()
}
