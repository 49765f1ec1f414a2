//! Running a statement within its limits.

use serde_json::Value as Json;
use store_core::{Error, ErrorKind, JsonObject, Result};

use super::CassandraTool;
use super::answer::{ToolColumn, ToolRows, ToolTable};
use super::parser::{Limit, Select};
use super::request::CqlQuery;
use super::schema;
use crate::cells::{self, Column, encode};
use crate::session::{Call, Class, Row, Rows, Value};

/// Rows of the first page: it is not known yet how large they are.
const FIRST_PAGE: usize = 20;
/// Rows of a page at most. One row of an answer may be made of all rows of many pages.
const PAGE: usize = 1_000;
/// The most names that an error lists.
const LISTED: usize = 100;

impl CassandraTool {
    pub(super) async fn run(&self, query: &CqlQuery) -> Result<ToolRows> {
        let mut select = Select::parse(&query.query)?;
        let keyspace = select.keyspace.take().unwrap_or_else(|| self.space.keyspace.clone());
        self.scope.check(&keyspace, &select.table)?;
        let mut values = select.values(query.values.as_ref())?;
        let table = self.known_table(&keyspace, &select.table).await?;
        self.admit(&select, &table)?;

        let own = match select.limit {
            Limit::None => None,
            Limit::Rows(rows) => Some(rows),
            Limit::Marker => Some(positive(values.pop().as_ref())?),
        };
        let asked = query.limit.map(rows);
        let wanted = match (own, asked) {
            (None, None) => rows(self.rows.0),
            (own, asked) => own.unwrap_or(u64::MAX).min(asked.unwrap_or(u64::MAX)),
        };
        let wanted = wanted.clamp(1, rows(self.rows.1).max(1));
        // One more tells whether there are more; the nearest ones to a vector are all searched for at once.
        let ahead = u64::from(!select.nearest);
        let text = select.text(&keyspace, own.unwrap_or(u64::MAX).min(wanted + ahead));

        let driver = self.space.driver();
        let described = driver.describe(&text).await.map_err(|error| self.advise(error, &table))?;
        if described.columns.is_empty() || described.tables != [(keyspace, select.table.clone())] {
            let message = "the server understood the statement in another way; it was not run";
            return Err(Error::new(ErrorKind::Other, message));
        }
        let values = bound(&described.markers, &values)?;
        let most = query.max_bytes.unwrap_or(self.bytes.0).clamp(1, self.bytes.1.max(1));
        let mut answer = Answer::new(usize::try_from(wanted).unwrap_or(usize::MAX), most);
        let mut page = if select.aggregates { PAGE } else { FIRST_PAGE.min(answer.left()) };
        let mut state = None;
        loop {
            let call = page_of(&values, page, state.take());
            let rows =
                driver.run_described(&described, call).await.map_err(|error| self.advise(error, &table))?;
            let full = answer.take(&rows)?;
            match rows.next() {
                Some(next) if !full => state = Some(next.to_vec()),
                _ => break,
            }
            if !select.aggregates {
                page = answer.next_page();
            }
        }
        let mut answer = answer.rows;
        answer.more |= select.nearest && own.is_some_and(|own| own > wanted);
        Ok(answer)
    }

    /// The table of the live schema; `NotFound` with those that are there.
    async fn known_table(&self, keyspace: &str, name: &str) -> Result<ToolTable> {
        if let Some(table) = schema::one(&self.space, keyspace, name).await? {
            return Ok(table);
        }
        let names: Vec<String> =
            schema::tables(&self.space, keyspace, None).await?.into_iter().map(|table| table.name).collect();
        let names: Vec<&str> =
            names.iter().map(String::as_str).filter(|name| self.scope.allows(keyspace, name)).collect();
        let message = match names.as_slice() {
            [] if !schema::has_keyspace(&self.space, keyspace).await? => {
                format!("there is no keyspace {keyspace}; name another one, or have it made")
            }
            [] => format!("there is no table {keyspace}.{name}, and no other either"),
            names => {
                format!("there is no table {keyspace}.{name}; there are {}", listed(names.iter().copied()))
            }
        };
        Err(Error::new(ErrorKind::NotFound, message))
    }

    /// Refuses what the server would take, but the tool must not ask for, and columns that are not there.
    fn admit(&self, select: &Select, table: &ToolTable) -> Result<()> {
        let place = format!("{}.{}", table.keyspace, table.name);
        for (name, quotes) in &select.columns {
            let known = |column: &&ToolColumn| column.name == *name;
            if table.columns.iter().any(|column| known(&column)) {
                continue;
            }
            let like = table.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name));
            let advice = match like {
                Some(column) if !*quotes => {
                    format!("names with capitals need double quotes: \"{}\"", column.name)
                }
                Some(column) => format!("did you mean {}?", column.name),
                None => format!("it has {}", listed(table.columns.iter().map(|column| column.name.as_str()))),
            };
            return Err(Error::invalid_input(format!("{place} has no column {name}; {advice}")));
        }
        for (keyspace, function) in &select.functions {
            let name = keyspace
                .as_deref()
                .map_or_else(|| function.clone(), |keyspace| format!("{keyspace}.{function}"));
            if !self.functions.contains(&name) {
                return Err(not_allowed(format!(
                    "the function {name} is none of Cassandra's own, and may not be called here"
                )));
            }
        }
        if self.scans {
            return Ok(());
        }
        if select.filtering {
            let message = format!(
                "ALLOW FILTERING may read all of {place}, and is not allowed here; {}",
                found_by(table)
            );
            return Err(not_allowed(message));
        }
        if select.aggregates && !table.partition_key.iter().all(|key| select.equal.contains(key)) {
            return Err(not_allowed(format!(
                "to count or sum up reads all of {place}, which is not allowed here; name its partition key by = or IN: {}",
                table.partition_key.join(", ")
            )));
        }
        Ok(())
    }

    /// Says what to ask instead of what the server refuses.
    fn advise(&self, error: Error, table: &ToolTable) -> Error {
        let says = |what: &str| error.message().contains(what);
        let message = if says("ALLOW FILTERING") || says("data filtering") {
            let place = format!("{}.{}", table.keyspace, table.name);
            let scan = if self.scans { "; or add ALLOW FILTERING, which reads the whole table" } else { "" };
            format!("these conditions do not say where in {place} the rows are; {}{scan}", found_by(table))
        } else if says("Cannot page queries") {
            "rows of several partitions (IN) can not be ordered; ask once for each of them, or without an order".to_owned()
        } else if error.kind() == ErrorKind::InvalidInput {
            format!("{}; {}", error.message(), found_by(table))
        } else {
            return error;
        };
        Error::invalid_input(message).with_source(error)
    }
}

/// By what the rows of a table are found.
fn found_by(table: &ToolTable) -> String {
    let mut ways =
        vec![format!("name the whole partition key by = or IN ({})", table.partition_key.join(", "))];
    if !table.clustering.is_empty() {
        let names: Vec<&str> = table.clustering.iter().map(|(name, _)| name.as_str()).collect();
        ways.push(format!("then if you like the clustering columns in this order ({})", names.join(", ")));
    }
    let indexed = table.indexes.iter().filter_map(|index| index.options.get("target")?.as_str());
    let indexed: Vec<&str> = indexed.collect();
    if !indexed.is_empty() {
        ways.push(format!("or what is indexed ({})", indexed.join(", ")));
    }
    ways.join(", ")
}

fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(LISTED);
    let text = names.take(LISTED).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{text} and {more} more") } else { text }
}

fn not_allowed(message: String) -> Error {
    Error::new(ErrorKind::Unauthorized, message)
}

fn rows(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

/// The value of `LIMIT ?`.
fn positive(value: Option<&Json>) -> Result<u64> {
    let rows = value.and_then(Json::as_u64).filter(|rows| *rows > 0);
    rows.ok_or_else(|| Error::invalid_input("the value for the limit must be a whole number above 0"))
}

fn bound(markers: &[Column], values: &[Json]) -> Result<Vec<Value>> {
    if markers.len() != values.len() {
        let message = format!("the server asks for {} values, and {} are given", markers.len(), values.len());
        return Err(Error::invalid_input(message));
    }
    let one = |(n, (marker, value)): (usize, (&Column, &Json))| {
        encode(&format!("value {} ({})", n + 1, marker.name), &marker.kind, value)
    };
    markers.iter().zip(values).enumerate().map(one).collect()
}

fn page_of(values: &[Value], rows: usize, state: Option<Vec<u8>>) -> Call {
    let call = Call::new(Class::Read, String::new(), values.to_vec());
    let call = call.with_page(i32::try_from(rows).unwrap_or(i32::MAX));
    match state {
        Some(state) => call.after(state),
        None => call,
    }
}

/// Rows as they come, and how many more may.
struct Answer {
    rows: ToolRows,
    wanted: usize,
    bytes: usize,
    most: usize,
}

impl Answer {
    fn new(wanted: usize, most: usize) -> Self {
        let rows = ToolRows { columns: Vec::new(), rows: Vec::new(), more: false };
        Self { rows, wanted, bytes: 0, most }
    }

    /// Rows that are still to be asked for.
    fn left(&self) -> usize {
        (self.wanted - self.rows.rows.len()).saturating_add(1)
    }

    /// Takes what fits; `true` when no more does.
    fn take(&mut self, rows: &Rows) -> Result<bool> {
        let columns = rows.columns();
        if self.rows.columns.is_empty() {
            let column =
                |column: &Column| ToolColumn { name: column.name.clone(), r#type: column.kind.to_string() };
            self.rows.columns = columns.iter().map(column).collect();
        }
        for row in rows.iter() {
            if self.rows.rows.len() == self.wanted || !self.push(&columns, row)? {
                self.rows.more = true;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn push(&mut self, columns: &[Column], row: Row<'_>) -> Result<bool> {
        let row = cells::object(columns, row)?;
        let size = size(&row);
        if self.bytes + size > self.most {
            if self.rows.rows.is_empty() {
                return Err(too_large(&row, size, self.most));
            }
            return Ok(false);
        }
        self.bytes += size;
        self.rows.rows.push(row);
        Ok(true)
    }

    /// As many rows as are wanted and will fit, by the size of those that came.
    fn next_page(&self) -> usize {
        let room = match self.bytes.checked_div(self.rows.rows.len()) {
            Some(average) => (self.most - self.bytes) / average.max(1) + 1,
            None => FIRST_PAGE,
        };
        room.min(self.left()).clamp(1, PAGE)
    }
}

fn size(row: &JsonObject) -> usize {
    // A row with text keys can always be written.
    serde_json::to_string(row).map_or(0, |text| text.len() + 1)
}

fn too_large(row: &JsonObject, size: usize, most: usize) -> Error {
    let largest = row.iter().max_by_key(|(_, value)| value.to_string().len());
    let largest = largest.map_or("", |(name, _)| name.as_str());
    Error::new(
        ErrorKind::LimitExceeded,
        format!(
            "one row alone has {size} bytes, and an answer at most {most}; select fewer columns, without {largest}, or \
             ask with a greater max_bytes"
        ),
    )
}
