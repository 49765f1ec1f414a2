//! Materialised views, declared.

use store_core::{Error, Result};

use crate::schema::quoted;

/// A materialised view as it shall be, see [`ensure_schema`](crate::CassandraBackend::ensure_schema): the rows of a table
/// under another key, which the nodes keep in step.
///
/// Its key has every column of the table's key, and one other column at most; those of the table's key that are not named
/// follow by themselves. Rows in which a column of the key is null are not in it. Cassandra 5 calls views experimental and
/// has them switched off by default (`materialized_views_enabled` in `cassandra.yaml`): each write costs a read, and a view
/// that lost a write is mended by repairing it. Where an index does, take that; where the program can write both tables,
/// a second table is the safer way.
///
/// ```
/// use store_cassandra::CassandraView;
///
/// let by_type = CassandraView::new("events_by_type", ["type"]).then_descending("time").with_columns(["data"]);
/// assert_eq!(by_type.name(), "events_by_type");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct CassandraView {
    name: String,
    partition: Vec<String>,
    clustering: Vec<(String, bool)>,
    /// None: all.
    columns: Vec<String>,
}

impl CassandraView {
    /// A view of this name, with these columns as its partition key.
    pub fn new(name: impl Into<String>, partition: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let partition = partition.into_iter().map(Into::into).collect();
        Self { name: name.into(), partition, clustering: Vec::new(), columns: Vec::new() }
    }

    /// Within a partition by this column, small values first.
    pub fn then(mut self, column: impl Into<String>) -> Self {
        self.clustering.push((column.into(), false));
        self
    }

    /// Within a partition by this column, great values first.
    pub fn then_descending(mut self, column: impl Into<String>) -> Self {
        self.clustering.push((column.into(), true));
        self
    }

    /// Only these columns, beside those of the key; default: all.
    pub fn with_columns(mut self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.columns = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The view that this declaration makes of a table with these columns.
    pub(super) fn of(&self, table: &[Column]) -> Result<LiveView> {
        let refused = |message: String| {
            Err(Error::invalid_input(format!("the view {:?} can not be: {message}", self.name)))
        };
        let named = self.partition.iter().chain(self.clustering.iter().map(|(column, _)| column));
        let mut key: Vec<&String> = Vec::new();
        let mut others = 0;
        for name in named {
            let Some(column) = table.iter().find(|column| column.name == *name) else {
                return refused(format!("the table has no column {name:?}"));
            };
            if key.contains(&name) {
                return refused(format!("its key has {name:?} twice"));
            }
            others += usize::from(!column.is_key());
            key.push(name);
        }
        if self.partition.is_empty() {
            return refused("it has no partition key".to_owned());
        }
        if others > 1 {
            return refused(
                "its key has more than one column that is not in the table's; Cassandra allows one"
                    .to_owned(),
            );
        }
        if let Some(unknown) =
            self.columns.iter().find(|name| !table.iter().any(|column| column.name == **name))
        {
            return refused(format!("the table has no column {unknown:?}"));
        }
        let rest = table.iter().filter(|column| column.is_key() && !key.contains(&&column.name));
        let mut clustering = self.clustering.clone();
        clustering.extend(rest.map(|column| (column.name.clone(), false)));
        let in_key = |name: &String| {
            self.partition.contains(name) || clustering.iter().any(|(column, _)| column == name)
        };
        let mut columns: Vec<String> = if self.columns.is_empty() {
            table.iter().map(|column| column.name.clone()).collect()
        } else {
            self.columns.clone()
        };
        columns.retain(|name| !in_key(name));
        columns.sort_unstable();
        columns.dedup();
        let partition = self.partition.clone();
        Ok(LiveView { name: self.name.clone(), partition, clustering, all: self.columns.is_empty(), columns })
    }
}

/// A column of a table or view as the nodes list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// `partition_key`, `clustering`, `static` or `regular`.
    pub(super) kind: String,
    pub(super) position: i64,
    pub(super) descending: bool,
}

impl Column {
    fn is_key(&self) -> bool {
        matches!(self.kind.as_str(), "partition_key" | "clustering")
    }
}

/// A view as the nodes have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LiveView {
    pub(super) name: String,
    partition: Vec<String>,
    clustering: Vec<(String, bool)>,
    /// Whether it has all columns, also those that are added to the table.
    all: bool,
    /// The columns beside the key's, in order.
    columns: Vec<String>,
}

impl LiveView {
    /// From the nodes' lists.
    pub(super) fn listed(name: &str, all: bool, columns: &[Column]) -> Self {
        let of = |kind: &str| {
            let mut of: Vec<&Column> = columns.iter().filter(|column| column.kind == kind).collect();
            of.sort_unstable_by_key(|column| column.position);
            of
        };
        let names = |columns: Vec<&Column>| columns.iter().map(|column| column.name.clone()).collect();
        let clustering =
            of("clustering").iter().map(|column| (column.name.clone(), column.descending)).collect();
        let mut rest: Vec<String> = names(of("regular"));
        rest.sort_unstable();
        Self { name: name.to_owned(), partition: names(of("partition_key")), clustering, all, columns: rest }
    }

    /// The statement that makes it, of a table in this keyspace.
    pub(super) fn create(&self, keyspace: &str, full: &str) -> String {
        let list = |names: &mut dyn Iterator<Item = &String>| -> String {
            names.map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
        };
        let key: Vec<&String> =
            self.partition.iter().chain(self.clustering.iter().map(|(column, _)| column)).collect();
        let columns =
            if self.all { "*".to_owned() } else { list(&mut key.iter().copied().chain(&self.columns)) };
        let present: Vec<String> = key.iter().map(|name| format!("{} IS NOT NULL", quoted(name))).collect();
        let rest: Vec<String> =
            self.clustering.iter().map(|(name, _)| format!(", {}", quoted(name))).collect();
        let order: Vec<String> = self
            .clustering
            .iter()
            .map(|(name, descending)| {
                format!("{} {}", quoted(name), if *descending { "DESC" } else { "ASC" })
            })
            .collect();
        let order = match order.as_slice() {
            [] => String::new(),
            order => format!(" WITH CLUSTERING ORDER BY ({})", order.join(", ")),
        };
        format!(
            "CREATE MATERIALIZED VIEW IF NOT EXISTS {}.{} AS SELECT {columns} FROM {full} WHERE {} PRIMARY KEY \
             (({}){rest}){order}",
            quoted(keyspace),
            quoted(&self.name),
            present.join(" AND "),
            list(&mut self.partition.iter()),
            rest = rest.concat(),
        )
    }

    pub(super) fn differences(&self, found: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let mut compare = |what: &str, wanted: String, found: String| {
            if wanted != found {
                differences.push(format!("{what}: declared {wanted}, found {found}"));
            }
        };
        let order = |view: &Self| {
            let columns = view.clustering.iter();
            let shown = columns.map(|(name, down)| format!("{name} {}", if *down { "DESC" } else { "ASC" }));
            shown.collect::<Vec<_>>().join(", ")
        };
        compare("partition key", self.partition.join(", "), found.partition.join(", "));
        compare("clustering", order(self), order(found));
        compare("columns", self.columns.join(", "), found.columns.join(", "));
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: &str, position: i64) -> Column {
        Column { name: name.to_owned(), kind: kind.to_owned(), position, descending: false }
    }

    fn table() -> Vec<Column> {
        vec![
            column("bucket", "partition_key", 0),
            column("shard", "partition_key", 1),
            column("time", "clustering", 0),
            column("user", "clustering", 1),
            column("type", "regular", -1),
            column("data", "regular", -1),
        ]
    }

    #[test]
    fn the_tables_key_follows() {
        let view = CassandraView::new("v\"", ["type"]).then_descending("time").with_columns(["data", "time"]);
        let live = view.of(&table()).unwrap();
        assert_eq!(
            live.create("k", "\"k\".\"t\""),
            "CREATE MATERIALIZED VIEW IF NOT EXISTS \"k\".\"v\"\"\" AS SELECT \"type\", \"time\", \"bucket\", \
             \"shard\", \"user\", \"data\" FROM \"k\".\"t\" WHERE \"type\" IS NOT NULL AND \"time\" IS NOT NULL AND \
             \"bucket\" IS NOT NULL AND \"shard\" IS NOT NULL AND \"user\" IS NOT NULL PRIMARY KEY ((\"type\"), \
             \"time\", \"bucket\", \"shard\", \"user\") WITH CLUSTERING ORDER BY (\"time\" DESC, \"bucket\" ASC, \
             \"shard\" ASC, \"user\" ASC)"
        );
    }

    #[test]
    fn what_can_not_be_is_refused() {
        for view in [
            CassandraView::new("v", [""; 0]),
            CassandraView::new("v", ["none"]),
            CassandraView::new("v", ["type"]).then("data"),
            CassandraView::new("v", ["type"]).then("type"),
            CassandraView::new("v", ["type"]).with_columns(["none"]),
        ] {
            let error = view.of(&table()).unwrap_err();
            assert!(error.message().contains("\"v\" can not be"), "{error}");
        }
    }

    #[test]
    fn differences_are_told() {
        let wanted = CassandraView::new("v", ["type"]).then("time").of(&table()).unwrap();
        let mut listed = vec![
            column("type", "partition_key", 0),
            column("user", "clustering", 3),
            column("time", "clustering", 0),
            column("bucket", "clustering", 1),
            column("shard", "clustering", 2),
            column("data", "regular", -1),
        ];
        let found = LiveView::listed("v", true, &listed);
        assert_eq!((wanted.differences(&found), &wanted), (Vec::new(), &found));
        listed[2].descending = true;
        listed.pop();
        let differences = wanted.differences(&LiveView::listed("v", true, &listed));
        assert_eq!(
            differences,
            [
                "clustering: declared time ASC, bucket ASC, shard ASC, user ASC, found time DESC, bucket ASC, shard ASC, \
                 user ASC",
                "columns: declared data, found "
            ]
        );
    }
}
