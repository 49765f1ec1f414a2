//! Making the indexes and views that were declared for a table, and comparing those that are there.

use std::fmt;

use store_core::kit::check;
use store_core::{Error, ErrorKind, Result};

use super::indexes::{CassandraIndex, LiveIndex};
use super::views::{CassandraView, Column, LiveView};
use crate::CassandraBackend;
use crate::codec::{read_map, text};
use crate::config::CassandraConsistency;
use crate::error::at;
use crate::schema::qualified;
use crate::session::{Call, Class, Rows, Value};
use crate::space::Space;

/// What [`CassandraBackend::ensure_schema`] found and did; names of indexes and views.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemaReport {
    /// Made now. The nodes build them of what is in the table in the background.
    pub made: Vec<String>,
    /// There already, and as declared, perhaps under another name.
    pub present: Vec<String>,
    /// Declared, and not there: of [`compare_schema`](CassandraBackend::compare_schema), which makes nothing.
    pub missing: Vec<String>,
    /// There, but otherwise. They are left as they are.
    pub different: Vec<SchemaDifference>,
    /// On the table, but not declared. They are left as they are.
    pub undeclared: Vec<String>,
}

/// An index or view that is not as it was declared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemaDifference {
    /// Its name on the nodes.
    pub name: String,
    /// What differs: `kind: declared sai, found secondary`.
    pub differences: Vec<String>,
}

impl fmt::Display for SchemaDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({})", self.name, self.differences.join("; "))
    }
}

impl SchemaReport {
    /// The report, or `Config` if something is not as declared: drop it yourself, or declare it as it is.
    pub fn all_as_declared(self) -> Result<Self> {
        if self.different.is_empty() {
            return Ok(self);
        }
        let list: Vec<String> = self.different.iter().map(ToString::to_string).collect();
        Err(Error::config(format!(
            "indexes or views are there that were declared otherwise: {}; what exists is never altered: drop them, or \
             declare them as they are",
            list.join(", ")
        )))
    }
}

impl CassandraBackend {
    /// Makes those of the declared indexes and views of a table that are missing, and waits until all nodes know of them.
    /// The table is one of the store's keyspace, by its full name, whoever made it.
    ///
    /// Nothing that exists is altered or dropped; what differs from its declaration is in the report, and
    /// [`SchemaReport::all_as_declared`] makes an error of it. Calling again changes nothing, and several programs may call
    /// at once. The nodes build what is new in the background; until then they refuse queries by a SAI index, and a view
    /// lacks rows.
    ///
    /// # Errors
    /// `NotFound` without such a table. `InvalidInput` for what can not be made of it: nothing is made then. `Config` when
    /// the nodes have views switched off, as Cassandra 5 has by default.
    pub async fn ensure_schema(
        &self,
        table: &str,
        indexes: &[CassandraIndex],
        views: &[CassandraView],
    ) -> Result<SchemaReport> {
        let ensured = ensure(&self.space, table, indexes, views).await;
        ensured.map_err(|error| at("ensure_schema")(error).with_collection(table))
    }

    /// The same without making anything.
    pub async fn compare_schema(
        &self,
        table: &str,
        indexes: &[CassandraIndex],
        views: &[CassandraView],
    ) -> Result<SchemaReport> {
        let compared = compare(&self.space, table, indexes, views).await;
        let compared = compared.map(|(report, _)| report);
        compared.map_err(|error| at("compare_schema")(error).with_collection(table))
    }
}

pub(super) async fn ensure(
    space: &Space,
    table: &str,
    indexes: &[CassandraIndex],
    views: &[CassandraView],
) -> Result<SchemaReport> {
    let _changing = space.tables.changing().await;
    let (report, missing) = compare(space, table, indexes, views).await?;
    if missing.is_empty() {
        return Ok(report);
    }
    for statement in missing {
        space.driver().change_schema(&statement).await.map_err(without_views)?;
    }
    let made = report.missing;
    // Another may have been faster, and said otherwise.
    let (mut report, _) = compare(space, table, indexes, views).await?;
    report.present.retain(|name| !made.contains(name));
    report.made = made;
    report.made.retain(|name| !report.different.iter().any(|found| found.name == *name));
    Ok(report)
}

/// What is there, and the statements that make what is not.
async fn compare(
    space: &Space,
    table: &str,
    indexes: &[CassandraIndex],
    views: &[CassandraView],
) -> Result<(SchemaReport, Vec<String>)> {
    check::no_duplicates("view", views.iter().map(CassandraView::name))?;
    let live = Live::read(space, table).await?;
    let full = qualified(&space.keyspace, table);
    let (mut report, mut statements) = (SchemaReport::default(), Vec::new());
    let mut declared: Vec<String> = Vec::new();
    let mut note = |name: &str, found: Option<Vec<String>>, statement: &dyn Fn() -> String| {
        let name = name.to_owned();
        declared.push(name.clone());
        match found {
            None => {
                statements.push(statement());
                report.missing.push(name);
            }
            Some(differences) if differences.is_empty() => report.present.push(name),
            Some(differences) => report.different.push(SchemaDifference { name, differences }),
        }
    };
    for index in indexes {
        if !live.columns.iter().any(|column| column.name == index.column) {
            let message = format!("the index can not be: the table has no column {:?}", index.column);
            return Err(Error::invalid_input(message));
        }
        match index.counterpart(table, &live.indexes) {
            Some((found, differences)) => note(&found.name, Some(differences), &String::new),
            None => note(&index.name(table), None, &|| index.create(table, &full)),
        }
    }
    for view in views {
        let wanted = view.of(&live.columns)?;
        let found = live.views.iter().find(|found| found.name == wanted.name);
        let differences = found.map(|found| wanted.differences(found));
        note(&wanted.name, differences, &|| wanted.create(&space.keyspace, &full));
    }
    let there = live.indexes.iter().map(|index| &index.name).chain(live.views.iter().map(|view| &view.name));
    report.undeclared = there.filter(|name| !declared.contains(name)).cloned().collect();
    Ok((report, statements))
}

/// A table as the nodes list it, with all that hangs on it.
struct Live {
    columns: Vec<Column>,
    indexes: Vec<LiveIndex>,
    views: Vec<LiveView>,
}

impl Live {
    async fn read(space: &Space, table: &str) -> Result<Self> {
        let indexes = "SELECT index_name, options FROM system_schema.indexes WHERE keyspace_name = ? AND table_name = ?";
        let views = "SELECT view_name, base_table_name, include_all_columns FROM system_schema.views \
                     WHERE keyspace_name = ?";
        let keyspace = || text(space.keyspace.as_str());
        let (columns, indexes, views) = futures::try_join!(
            columns(space, table),
            listed(space, indexes, vec![keyspace(), text(table)]),
            listed(space, views, vec![keyspace()]),
        )?;
        if columns.is_empty() {
            let message = format!(
                "there is no table {}.{table}; make it first, or check keyspace and name",
                space.keyspace
            );
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        let mut live = Self { columns, indexes: Vec::new(), views: Vec::new() };
        for row in indexes.iter() {
            let options = row.bytes("options")?.map(|options| read_map("options", options)).transpose()?;
            live.indexes.push(LiveIndex::of(row.needed_text("index_name")?, &options.unwrap_or_default()));
        }
        for row in views.iter() {
            if row.text("base_table_name")? == Some(table) {
                let name = row.needed_text("view_name")?;
                let all = row.flag("include_all_columns")?;
                live.views.push(LiveView::listed(name, all, &self::columns(space, name).await?));
            }
        }
        Ok(live)
    }
}

/// The columns of a table or view.
async fn columns(space: &Space, table: &str) -> Result<Vec<Column>> {
    let columns = "SELECT column_name, kind, position, clustering_order FROM system_schema.columns \
                   WHERE keyspace_name = ? AND table_name = ?";
    let rows = listed(space, columns, vec![text(space.keyspace.as_str()), text(table)]).await?;
    let mut columns = Vec::with_capacity(rows.len());
    for row in rows.iter() {
        columns.push(Column {
            name: row.needed_text("column_name")?.to_owned(),
            kind: row.needed_text("kind")?.to_owned(),
            position: row.integer("position")?.unwrap_or_default(),
            descending: row.text("clustering_order")?.is_some_and(|order| order.eq_ignore_ascii_case("desc")),
        });
    }
    // Those of the partition key first, then the clustering ones, each in their order.
    columns
        .sort_by_key(|column| (column.kind != "partition_key", column.kind != "clustering", column.position));
    Ok(columns)
}

/// Every node has its own copy of these tables.
async fn listed(space: &Space, statement: &str, values: Vec<Value>) -> Result<Rows> {
    let list = Call::new(Class::Read, statement, values);
    space.run(list.with_consistency(CassandraConsistency::One)).await
}

/// Says what to do where the nodes have views switched off.
fn without_views(error: Error) -> Error {
    if !error.message().contains("aterialized views are disabled") {
        return error;
    }
    let message = "the nodes have materialised views switched off, as Cassandra 5 has by default, since they are \
                   experimental; set materialized_views_enabled: true in the cassandra.yaml of every node and restart \
                   it, or take an index or a second table";
    Error::config(message).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_that_are_off_are_told() {
        let says = "the node refuses the statement: Materialized views are disabled. Enable in cassandra.yaml to use";
        let error = without_views(Error::invalid_input(says));
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains("materialized_views_enabled: true"), "{error}");
        assert_eq!(without_views(Error::invalid_input("other")).kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn differences_are_an_error_where_that_is_wanted() {
        let mut report = SchemaReport::default();
        assert!(report.clone().all_as_declared().is_ok());
        let differences = vec!["kind: declared sai, found secondary".to_owned()];
        report.different.push(SchemaDifference { name: "by_a".to_owned(), differences });
        let error = report.all_as_declared().unwrap_err();
        assert!(error.message().contains("\"by_a\" (kind: declared sai, found secondary)"), "{error}");
    }
}
