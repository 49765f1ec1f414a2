//! A set's table: its name, how it is made, and what the live schema says of it.
//!
//! The configuration stands in the table's comment, as JSON, so that it is there with the table and gone with it.
//! Dimensions and metric are what the schema says; a table that another made (LlamaIndex) needs no comment.

use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use store_core::{Error, ErrorKind, FilterableField, Metric, Result, VectorConfig};
use tokio::time::Instant;

use super::rows::{OWN, hash};
use super::terms::{self, TERMS};
use crate::codec::{read_map, text};
use crate::config::{CassandraConfig, CassandraConsistency};
use crate::error::NAME;
use crate::schema::{self, qualified, quoted, string};
use crate::session::{Call, Class};
use crate::space::Space;
use crate::tables;

/// Values in a vector (the type's own limit).
pub(super) const MAX_DIMENSIONS: usize = 8192;
/// The longest name of a table.
const MAX_NAME: usize = 48;
/// The class of every index here.
const INDEX: &str = "StorageAttachedIndex";
/// Declared fields that have columns. Each has an index, and a node warns of more than 32 in a table.
const MAX_FIELDS: usize = 16;
/// How long a new index may take until it can be searched.
const BUILD: Duration = Duration::from_mins(5);
/// How often it is looked at meanwhile.
const BUILD_EVERY: Duration = Duration::from_millis(50);

/// What a set was made with, in the comment of its table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    /// The name of the set; `None` for the default one.
    pub(super) set: Option<String>,
    pub(super) config: VectorConfig,
    /// Where all rows are ours: the fields that were declared when the table was made, and have columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) own: Option<Vec<FilterableField>>,
}

impl Settings {
    /// The settings of a set to be made.
    pub(super) fn new(space: &Space, set: Option<&str>, config: &VectorConfig) -> Self {
        let declared = || config.filterable.iter().flatten().take(MAX_FIELDS).cloned().collect();
        let own = space.config.vectors.exclusive.then(declared);
        Self { set: set.map(str::to_owned), config: config.clone(), own }
    }

    /// The columns of ours that filters use.
    pub(super) fn columns(&self) -> Vec<String> {
        let numbers = self.own.iter().flatten().filter_map(terms::column);
        self.own.iter().map(|_| TERMS.to_owned()).chain(numbers).collect()
    }
}

/// What tells whether a table is still what it was: its id and its comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    id: Vec<u8>,
    comment: String,
}

impl Stamp {
    /// What stands in the comment, if it is ours.
    pub(super) fn settings(&self) -> Option<Settings> {
        serde_json::from_str(&self.comment).ok()
    }
}

/// What the live schema says of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Live {
    pub(super) dimensions: usize,
    /// Of the vector index, if there is one.
    pub(super) metric: Option<Metric>,
    /// Whether `metadata_s` has an index of its entries.
    pub(super) entries: bool,
    /// Whether rows are found by their id.
    pub(super) by_id: bool,
    /// Whether there is a column of ours.
    pub(super) own: bool,
    /// The columns of ours that filters use.
    pub(super) columns: HashSet<String>,
    /// Those of them that have an index.
    pub(super) indexed: HashSet<String>,
}

impl Live {
    /// Whether all is there that a table of ours has.
    pub(super) fn is_whole(&self, settings: Option<&Settings>) -> bool {
        let columns = settings.map(Settings::columns).unwrap_or_default();
        let own = columns.iter().all(|column| self.indexed.contains(column));
        let found = self.metric.is_some() || settings.is_some_and(|settings| !can_be_found(&settings.config));
        found && self.entries && self.by_id && self.own && own
    }
}

/// The name of a set's table.
pub(super) fn name(config: &CassandraConfig, set: Option<&str>) -> String {
    let name = schema::table_name(config, &config.vectors.table);
    // Two underscores: no namespace ends in one.
    let name = set.map_or(name.clone(), |set| format!("{name}__{set}"));
    if name.len() <= MAX_NAME {
        return name;
    }
    let hash = hash(&name);
    let begin = name.get(..MAX_NAME - 1 - hash.len()).unwrap_or_default();
    format!("{begin}_{hash}")
}

/// The table as it is now, if it is there.
pub(super) async fn stamp(space: &Space, name: &str) -> Result<Option<Stamp>> {
    let find = "SELECT id, comment FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?";
    let rows = space.run(of_schema(find, vec![text(space.keyspace.as_str()), text(name)])).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let id = row.bytes("id")?.unwrap_or_default().to_vec();
    Ok(Some(Stamp { id, comment: row.text("comment")?.unwrap_or_default().to_owned() }))
}

/// Every node has its own copy of these tables.
fn of_schema(statement: &str, values: Vec<crate::session::Value>) -> Call {
    Call::new(Class::Read, statement, values).with_consistency(CassandraConsistency::One)
}

/// The sets of the store that are configured, in no order.
pub(super) async fn sets(space: &Space) -> Result<Vec<String>> {
    let list = "SELECT table_name, comment FROM system_schema.tables WHERE keyspace_name = ?";
    let rows = space.run(of_schema(list, vec![text(space.keyspace.as_str())])).await?;
    let mut sets = Vec::new();
    for row in rows.iter() {
        let comment = row.text("comment")?.unwrap_or_default();
        let Ok(Settings { set: Some(set), .. }) = serde_json::from_str(comment) else { continue };
        if row.needed_text("table_name")? == name(&space.config, Some(&set)) {
            sets.push(set);
        }
    }
    Ok(sets)
}

/// Reads the live schema of a table; `Config` when it is not of cassio's form.
pub(super) async fn live(space: &Space, name: &str) -> Result<Live> {
    let columns =
        "SELECT column_name, type FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?";
    let indexes = "SELECT options FROM system_schema.indexes WHERE keyspace_name = ? AND table_name = ?";
    let read = |statement| space.run(of_schema(statement, vec![text(space.keyspace.as_str()), text(name)]));
    let (columns, indexes) = futures::try_join!(read(columns), read(indexes))?;
    let mut types = Vec::with_capacity(columns.len());
    for row in columns.iter() {
        types.push((row.needed_text("column_name")?, row.needed_text("type")?));
    }
    let is = |column: &str, of: &str| types.iter().any(|(name, found)| *name == column && *found == of);
    let vector = types.iter().find(|(name, _)| *name == "vector").map(|(_, found)| *found);
    let dimensions = vector.and_then(|found| {
        found.strip_prefix("vector<float,")?.strip_suffix('>')?.trim().parse::<usize>().ok()
    });
    let texts = ["partition_id", "row_id", "body_blob", "attributes_blob"];
    let (Some(dimensions), true, true) =
        (dimensions, texts.iter().all(|name| is(name, "text")), is("metadata_s", "map<text, text>"))
    else {
        let message = format!(
            "the table {}.{name} is there and is no table of vectors as LlamaIndex and this store make it; name \
             another by store.vector_table",
            space.keyspace
        );
        return Err(Error::config(message).with_backend(NAME));
    };
    let ours = |(name, found): &&(&str, &str)| match *found {
        "set<text>" => *name == TERMS,
        "varint" => name.starts_with("nodestore_"),
        _ => false,
    };
    let mut live = Live {
        dimensions,
        metric: None,
        entries: false,
        by_id: false,
        own: is(OWN, "text"),
        columns: types.iter().filter(ours).map(|(name, _)| (*name).to_owned()).collect(),
        indexed: HashSet::new(),
    };
    for row in indexes.iter() {
        let options = row.bytes("options")?.map(|options| read_map("options", options)).transpose()?;
        let options = options.unwrap_or_default();
        let option = |name| options.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let class = option("class_name").unwrap_or_default();
        if !class.eq_ignore_ascii_case("sai") && !class.ends_with(INDEX) {
            continue;
        }
        match option("target").unwrap_or_default().replace('"', "").as_str() {
            "vector" => live.metric = Some(metric(option("similarity_function"))?),
            "entries(metadata_s)" => live.entries = true,
            "row_id" => live.by_id = true,
            other => {
                let column = other.strip_prefix("values(").and_then(|name| name.strip_suffix(')'));
                live.indexed.extend(live.columns.get(column.unwrap_or(other)).cloned());
            }
        }
    }
    Ok(live)
}

/// The metric of an index; without one it is cosine (Cassandra's documentation, "vector search").
fn metric(function: Option<&str>) -> Result<Metric> {
    match function.unwrap_or("cosine").to_ascii_lowercase().as_str() {
        "cosine" => Ok(Metric::Cosine),
        "dot_product" => Ok(Metric::Dot),
        "euclidean" => Ok(Metric::Euclidean),
        other => {
            let message = format!("the vector index compares by {other:?}, which this store does not know");
            Err(Error::config(message).with_backend(NAME))
        }
    }
}

fn function(metric: Metric) -> &'static str {
    match metric {
        Metric::Cosine => "cosine",
        Metric::Dot => "dot_product",
        Metric::Euclidean => "euclidean",
    }
}

/// Whether an index can hold the vectors: not the cosine of one dimension, which Cassandra refuses.
fn can_be_found(config: &VectorConfig) -> bool {
    config.dimensions > 1 || config.metric != Metric::Cosine
}

/// Refuses a table whose schema is not what the set was made with.
pub(super) fn agree(space: &Space, name: &str, live: &Live, config: &VectorConfig) -> Result<()> {
    let found = match live.metric {
        _ if live.dimensions != config.dimensions => format!("vectors of {} dimensions", live.dimensions),
        Some(metric) if metric != config.metric => format!("an index that compares by {metric}"),
        _ => return Ok(()),
    };
    let message = format!(
        "the table {}.{name} has {found}, the set was made with {} dimensions compared by {}; make the index as it \
         was, or drop the set",
        space.keyspace, config.dimensions, config.metric
    );
    Err(Error::config(message).with_backend(NAME))
}

/// Refuses a table that lacks a column which it was made with: rows without it would not be found any more.
pub(super) fn has_columns(space: &Space, name: &str, live: &Live, settings: &Settings) -> Result<()> {
    let columns = settings.columns();
    let Some(lacks) = columns.iter().find(|column| !live.columns.contains(*column)) else { return Ok(()) };
    let message = format!(
        "the table {}.{name} lacks the column {lacks}, which its comment tells of; drop the set and fill it anew",
        space.keyspace
    );
    Err(Error::config(message).with_backend(NAME))
}

/// Makes the table and its indexes, where they are not there.
pub(super) async fn make(space: &Space, name: &str, settings: &Settings) -> Result<()> {
    let _changing = space.tables.changing().await;
    tables::make_keyspace(space).await?;
    let full = qualified(&space.keyspace, name);
    let driver = space.driver();
    let sort = |column: &String| if column == TERMS { "set<text>" } else { "varint" };
    let columns = settings.columns();
    let own: String = columns.iter().flat_map(|column| [", ", column, " ", sort(column)]).collect();
    let create = format!(
        "CREATE TABLE IF NOT EXISTS {full} (partition_id text, row_id text, attributes_blob text, body_blob text, \
         metadata_s map<text, text>, {OWN} text{own}, vector vector<float, {}>, PRIMARY KEY (partition_id, row_id)) \
         WITH CLUSTERING ORDER BY (row_id ASC) AND comment = {}",
        settings.config.dimensions,
        string(&comment(settings)?)
    );
    driver.change_schema(&create).await?;
    let there = live(space, name).await?;
    // Another may have been faster, and have made it otherwise.
    let settings = &stamp(space, name).await?.and_then(|stamp| stamp.settings()).unwrap_or(settings.clone());
    // The names are those that cassio asks for.
    let index = |begin: &str, target: &str, options: &str| {
        let index = quoted(&format!("{begin}_{name}"));
        format!("CREATE CUSTOM INDEX IF NOT EXISTS {index} ON {full} ({target}) USING '{INDEX}'{options}")
    };
    if there.metric.is_none() && can_be_found(&settings.config) {
        let options =
            format!(" WITH OPTIONS = {{'similarity_function': '{}'}}", function(settings.config.metric));
        driver.change_schema(&index("idx_vector", "vector", &options)).await?;
    }
    if !there.entries {
        driver.change_schema(&index("eidx_metadata_s", "ENTRIES(metadata_s)", "")).await?;
    }
    if !there.by_id {
        driver.change_schema(&index("idx_row_id", "row_id", "")).await?;
    }
    for column in settings.columns().iter().filter(|column| !there.indexed.contains(*column)) {
        driver.change_schema(&index(&format!("idx_{column}"), column, "")).await?;
    }
    Ok(())
}

/// Waits until every index of a table can be asked; it may be another who is making it.
pub(super) async fn await_indexes(space: &Space, full: &str, settings: &Settings) -> Result<()> {
    let until = Instant::now() + BUILD;
    let probe = crate::codec::vector(&vec![1.0; settings.config.dimensions]);
    let nearest = (format!("SELECT row_id FROM {full} ORDER BY vector ANN OF ? LIMIT 1"), vec![probe]);
    let nearest = can_be_found(&settings.config).then_some(nearest);
    let of_column = |column: String| {
        let (test, value) =
            if column == TERMS { ("CONTAINS", text("a")) } else { (">", crate::codec::varint(0)) };
        (format!("SELECT row_id FROM {full} WHERE {column} {test} ? LIMIT 1"), vec![value])
    };
    let asked = [
        (format!("SELECT row_id FROM {full} WHERE metadata_s[?] = ? LIMIT 1"), vec![text("a"), text("a")]),
        (format!("SELECT row_id FROM {full} WHERE row_id = ? LIMIT 1"), vec![text("a")]),
    ];
    let own = settings.columns().into_iter().map(of_column);
    for (statement, values) in nearest.into_iter().chain(asked).chain(own) {
        loop {
            let ask = Call::new(Class::Read, statement.clone(), values.clone());
            match space.run(ask.with_consistency(CassandraConsistency::LocalOne)).await {
                Ok(_) => break,
                Err(error) if !is_building(&error) || Instant::now() >= until => return Err(error),
                Err(_) => tokio::time::sleep(BUILD_EVERY).await,
            }
        }
    }
    Ok(())
}

/// Whether a node could not answer since its index is not built.
pub(super) fn is_building(error: &Error) -> bool {
    let says = |what| error.message().contains(what);
    matches!(error.kind(), ErrorKind::Other | ErrorKind::InvalidInput)
        && ["the read failed on a replica", "not available", "not yet", "might involve data filtering"]
            .into_iter()
            .any(says)
}

fn comment(settings: &Settings) -> Result<String> {
    serde_json::to_string(settings)
        .map_err(|error| Error::config("the configuration can not be encoded").with_source(error))
}

/// Keeps the configuration in the comment.
pub(super) async fn describe(space: &Space, name: &str, settings: &Settings) -> Result<()> {
    let _changing = space.tables.changing().await;
    let (full, comment) = (qualified(&space.keyspace, name), string(&comment(settings)?));
    space.driver().change_schema(&format!("ALTER TABLE {full} WITH comment = {comment}")).await
}

/// Drops the table.
pub(super) async fn drop(space: &Space, name: &str) -> Result<()> {
    let _changing = space.tables.changing().await;
    let full = qualified(&space.keyspace, name);
    space.driver().change_schema(&format!("DROP TABLE IF EXISTS {full}")).await
}
